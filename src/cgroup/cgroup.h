/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Control groups: a container's own group in every hierarchy that this host mounts below
 * /sys/fs/cgroup, made, limited, joined, frozen, killed, measured and removed. v2 first; v1 and
 * hybrid hosts have one hierarchy per controller. The absence of cgroups is never an error in
 * itself: cgroups(7).
 *
 * A group is named by one text that state/ keeps: its absolute path below the root of every
 * hierarchy ("/buildkit/ID"), or, when the paths differ, one line "HIERARCHY PATH" each.
 */
#include <sys/types.h>
#include "base/arena.h"
#include "base/err.h"

enum { HIERARCHIES_MAX = 32 };

/* The group in one hierarchy. */
struct cgroup_member {
	int fd; /* the group's directory */
	bool v2;
	bool made;          /* by us: an undo may remove it */
	char hierarchy[64]; /* directory below /sys/fs/cgroup; "" for pure v2 */
	const char *path;   /* absolute below the hierarchy's root */
};

struct cgroup {
	struct cgroup_member v[HIERARCHIES_MAX];
	size_t n;
};

void cgroup_close(struct cgroup *cgroup);
#define CLEANUP_CGROUP CLEANUP(cgroup_close)

/*
 * Makes the group in every hierarchy where this process may, and turns on the controllers of v2
 * on the way. path is absolute, or relative: then beside the caller's own group on v2 (a group
 * with processes cannot hand controllers down) and below it on v1. Errors: RB_CGROUP when no
 * hierarchy has it, and for a group that is frozen.
 */
int cgroup_make(struct arena *arena, const char *path, struct cgroup *ret_cgroup,
		struct rb_err *err);

/* The name that a group of that path will have; NULL without memory or hierarchies. */
const char *cgroup_absolute(struct arena *arena, const char *path);

/* An existing group by its name. Hierarchies that lack it are left out; none at all: -ENOENT. */
int cgroup_open(struct arena *arena, const char *name, struct cgroup *ret_cgroup);

/* The name under which cgroup_open() finds it again, in the arena. */
const char *cgroup_name(struct arena *arena, const struct cgroup *cgroup);

/* Number of processes in it, without those of groups below. */
size_t cgroup_count(const struct cgroup *cgroup);

/*
 * The member for a controller: v2's for v2, else the hierarchy that carries it. controller NULL
 * means v2's own files. NULL: the container is in no group of that controller.
 */
const struct cgroup_member *cgroup_member_for(const struct cgroup *cgroup, bool v2,
					      const char *controller);

/* One write(2) to a file of the group. -ENOENT: no such file; the errno of the kernel otherwise. */
int cgroup_write(const struct cgroup_member *member, const char *file, const char *value);

/* Words an errno of cgroup_write(): which file, which value, why. Returns -errnum. */
int cgroup_write_error(const struct cgroup_member *member, const char *file, const char *value,
		       int errnum, struct rb_err *err);

/* Moves a process into the group in every hierarchy. Errors: RB_CGROUP. */
int cgroup_add(const struct cgroup *cgroup, pid_t pid, struct rb_err *err);

/* Attaches a device program (struct bpf_insn[n]) to the v2 group: bpf(2). -errno. */
int cgroup_attach_devices(const struct cgroup *cgroup, const void *program, size_t n);

/* Every process of the group and those below it, in the caller's numbers. *ret_pids in the arena. */
int cgroup_pids(struct arena *arena, const struct cgroup *cgroup, pid_t **ret_pids, size_t *ret_n);

/* Stops or continues all of them and waits until it is so. Errors: RB_CGROUP. */
int cgroup_freeze(const struct cgroup *cgroup, bool frozen, struct rb_err *err);
bool cgroup_frozen(const struct cgroup *cgroup);

/* The same by name, for verbs that know nothing else of the group. */
bool cgroup_name_frozen(const char *name);

/* Kills whatever is in the group (cgroup.kill, else one by one), frozen or not. */
void cgroup_kill(const char *name);

/* Any other signal to every process. */
void cgroup_signal(const char *name, int sig);

/* Removes the group and those below it; waits a little for processes that are ending. 0, or
 * -EBUSY: still in use. */
int cgroup_remove(const char *name);

/*
 * For a maker that may be killed: cgroup_note() writes down which of the members were made by
 * cgroup_make(), and cgroup_remove_noted() removes those, unless anybody is in them or another
 * group has their name by now. 0: they are gone; -EBUSY and others: one is there still.
 */
struct strbuf;
void cgroup_note(const struct cgroup *cgroup, struct strbuf *out);
int cgroup_remove_noted(const char *note);

/* "data" of `events --stats` as JSON: what this host's controllers say about the group. */
void cgroup_stats(const struct cgroup *cgroup, struct strbuf *out);

/* What a group has used in all; UINT64_MAX: nobody counts it here. */
struct cgroup_figures {
	uint64_t memory_peak, cpu_usage_us, pids_peak, io_read, io_write;
	uint64_t oom_kills;
};
void cgroup_figures(const struct cgroup *cgroup, struct cgroup_figures *ret);

/* How often the OOM killer has ended a process of the group; 0 when nobody counts. */
uint64_t cgroup_oom_kills(const struct cgroup *cgroup);

/* Is every name of "cpu,cpuacct" a controller of the hierarchy, or the other way round? */
bool cgroup_names_match(const char *hierarchy, const char *names);

/*
 * Moves *member to an existing group below itself, for a process that is to join it; "/" is the
 * group itself. Errors: RB_USAGE for a path that leads out, RB_CGROUP for one that is missing.
 */
int cgroup_descend(struct arena *arena, struct cgroup_member *member, const char *path, pid_t pid,
		   struct rb_err *err);
