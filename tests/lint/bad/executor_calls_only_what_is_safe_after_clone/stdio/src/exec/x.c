/* SPDX-License-Identifier: Apache-2.0 */
/* A sample that breaks one rule of the lint and no other. */
#include <stdio.h>
int exec_x(char *s)
{
	return snprintf(s, 8, "%d", 1);
}
