/* SPDX-License-Identifier: Apache-2.0 */
/* A sample that breaks one rule of the lint and no other. */
static const char *const env_names[] = {
	"PATH", "FORGOTTEN",
	"SECRET",
};
