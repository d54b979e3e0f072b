/* SPDX-License-Identifier: Apache-2.0 */
/* A sample that breaks one rule of the lint and no other. */
#include <stdlib.h>
char *host_x(void)
{
	return system("true") ? 0 : realpath(".", 0);
}
