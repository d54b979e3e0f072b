/* SPDX-License-Identifier: Apache-2.0 */
/* A sample that breaks one rule of the lint and no other. */
#include <stdlib.h>
void *exec_x(void)
{
	return malloc(1);
}
