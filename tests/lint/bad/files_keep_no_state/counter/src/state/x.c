/* SPDX-License-Identifier: Apache-2.0 */
/* A sample that breaks one rule of the lint and no other. */
int state_total = 1;

int state_next(void)
{
	static int counter;

	return ++counter + state_total;
}
