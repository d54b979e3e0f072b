/* SPDX-License-Identifier: Apache-2.0 */
/* A sample that breaks one rule of the lint and no other. */
int openat(int, const char *, int, ...);
int plan_x(void)
{
	return openat(-100, "/etc/passwd", 0);
}
