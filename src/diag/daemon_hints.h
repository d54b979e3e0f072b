/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the last words of a buildkitd that did not start mean, and what to do about them. */

/* The remedy for the first known message in the text, or NULL. */
const char *daemon_hint(const char *text);
