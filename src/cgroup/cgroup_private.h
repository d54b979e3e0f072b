/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What common.c, left.c, member.c, v1.c, v2.c and stats.c share. */
#include "base/sys.h"
#include "cgroup/cgroup.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* How long processes that were told to stop, or to end, may take. */
enum { CGROUP_WAIT_MS = 10000, CGROUP_POLL_MS = 2, GROUP_DEPTH_MAX = 16 };

/* Is word one of the words of a list like "cpu,cpuacct"? */
bool list_has(const char *list, const char *word);

/* Sleeps and counts; false when CGROUP_WAIT_MS are over. Kernels do not signal these events. */
bool cgroup_nap(unsigned *waited_ms);

/* common.c: the roots of all hierarchies, as members of a "group" of path "/". */
int hierarchies_open(struct cgroup *all);

/* The directory that a group is in, open, and the group's name in there; -errno. */
int group_above(struct arena *arena, const struct cgroup_member *root, const char *path,
		const char **ret_name);

/* Is any process in an open group or below it? One that cannot be read counts as used. */
bool group_is_used(struct arena *arena, int group);

/* rmdir(2) from the bottom up, without waiting. */
int group_remove(int parent, const char *name, unsigned depth);

/* v1.c */
void v1_prepare(int parent, int group); /* a new cpuset group has no cpus; others keep theirs */
int v1_freeze(int group, bool frozen);
bool v1_frozen(int group);

/* v2.c */
void v2_delegate(int group); /* every controller it has goes to the groups below */
int v2_freeze(int group, bool frozen);
bool v2_frozen(int group);
