/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What common.c, member.c, v1.c, v2.c and stats.c share. */
#include "base/sys.h"
#include "cgroup/cgroup.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* How long processes that were told to stop, or to end, may take. */
enum { CGROUP_WAIT_MS = 10000, CGROUP_POLL_MS = 2 };

/* Is word one of the words of a list like "cpu,cpuacct"? */
bool list_has(const char *list, const char *word);

/* Sleeps and counts; false when CGROUP_WAIT_MS are over. Kernels do not signal these events. */
bool cgroup_nap(unsigned *waited_ms);

/* v1.c */
void v1_prepare(int parent, int group); /* a new cpuset group has no cpus; others keep theirs */
int v1_freeze(int group, bool frozen);
bool v1_frozen(int group);

/* v2.c */
void v2_delegate(int group); /* every controller it has goes to the groups below */
int v2_freeze(int group, bool frozen);
bool v2_frozen(int group);
