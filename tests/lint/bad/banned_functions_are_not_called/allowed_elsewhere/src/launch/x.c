/* SPDX-License-Identifier: Apache-2.0 */
/* A sample that breaks one rule of the lint and no other. */
#include <signal.h>
void launch_x(void)
{
	signal(1, SIG_IGN);
}
