/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Programs of others that we run: newuidmap, newgidmap, slirp4netns, hooks. Where they are, and
 * why they could not do their work.
 */
#include "base/arena.h"
#include "base/err.h"

/*
 * The absolute path of a helper: along PATH for an ordinary process, and only in the system's
 * directories when this process has more privilege than an ordinary one (euid 0 or capabilities),
 * because PATH is then somebody else's. NULL: not found.
 */
const char *helper_find(struct arena *arena, const char *name);

/*
 * A program of ours: beside this one, as in a build tree, or in dir, where it is installed. In the
 * arena; NULL: nowhere.
 */
const char *helper_find_own(struct arena *arena, const char *dir, const char *name);

/*
 * Why newuidmap or newgidmap at path cannot work, as far as it can be seen from outside: not
 * setuid and without file capabilities, on a nosuid mount, no_new_privs, no CAP_SETUID in the
 * bounding set. Sets *err with the remedy and returns -errno; 0 when nothing is wrong.
 */
int helper_check_idmap(const char *path, struct rb_err *err);
