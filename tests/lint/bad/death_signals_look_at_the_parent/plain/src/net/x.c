/* SPDX-License-Identifier: Apache-2.0 */
/* A sample that breaks one rule of the lint and no other. */
#include "base/sys.h"

void child(void)
{
	(void)sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}
