/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Processes below another one, where no pid namespace ends them. */
#include "base/base.h"

/* Processes by number; only for children, whose numbers cannot be reused before they are reaped. */
struct pid_list {
	pid_t v[LIMIT_CHILDREN];
	size_t n;
};

/*
 * Kills and reaps every child of the calling process (which is a subreaper, so: every
 * descendant) except for those of the list. Where there is a pid namespace, its end does this.
 */
void descendants_list(struct pid_list *ret_list);
void descendants_end(const struct pid_list *except);

/*
 * Sends a signal to every process below `root`, as /proc shows them now, and to `root` itself when
 * told so. One that is born meanwhile may be missed. Returns how many got it; -errno: none could
 * be looked for.
 */
int descendants_signal(pid_t root, bool itself, int sig);
