/* SPDX-License-Identifier: Apache-2.0 */
/* A sample that breaks one rule of the lint and no other. */
const char *x(void)
{
	return env_get("PATH") && env_get("UNKNOWN") ? env_get("SECRET") : 0;
}
