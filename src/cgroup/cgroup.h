/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Control groups: a container's own group, made and joined where this process may, killed and
 * removed with the container. v2 first; on v1 and hybrid hosts every controller hierarchy that
 * is mounted. The absence of cgroups is never an error in itself: cgroups(7).
 */
#include <sys/types.h>
#include "base/arena.h"
#include "base/err.h"

/*
 * Makes the group and moves the process into it. path is absolute below each hierarchy's root
 * ("/buildkit/ID"), or relative: then below the caller's own group. *ret_path is what names the
 * group from now on (absolute), in the arena. Errors: RB_CGROUP; groups made before the failure
 * are removed again.
 */
int cgroup_join(struct arena *arena, const char *path, pid_t pid, const char **ret_path,
		struct rb_err *err);

/* What names a group of that path, as cgroup_join() finds it; NULL without memory. */
const char *cgroup_absolute(struct arena *arena, const char *path);

/* Moves a further process into an existing group. */
int cgroup_enter(const char *path, pid_t pid, struct rb_err *err);

/* Kills whatever is in the group (cgroup.kill, else one by one). */
void cgroup_kill(const char *path);

/* Removes the group and those below it. 0, or -EBUSY: still in use. */
int cgroup_remove(const char *path);
