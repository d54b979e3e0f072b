/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the planner must know about this machine and this process, as plain data: probed once,
 * printable, and loadable from a file, so that golden tests plan for hosts that are not here.
 */
#include "base/arena.h"
#include "base/err.h"

/* One line of /proc/PID/uid_map: ids inside the namespace, in its parent, how many. */
struct host_extent {
	uint32_t inside, outside, count;
};

struct host_idmap {
	struct host_extent v[LIMIT_IDMAP_EXTENTS];
	size_t n;
};

enum host_cgroup_mode {
	HOST_CGROUP_NONE, /* nothing mounted that we can use */
	HOST_CGROUP_V1,
	HOST_CGROUP_HYBRID, /* v1 controllers with a v2 tree beside them */
	HOST_CGROUP_V2,
};

/* cgroups(7). A bit each in struct host; host_controller_names has v2's spelling. */
enum host_controller {
	CONTROLLER_CPU,
	CONTROLLER_CPUACCT,
	CONTROLLER_CPUSET,
	CONTROLLER_MEMORY,
	CONTROLLER_IO, /* "blkio" on v1 */
	CONTROLLER_PIDS,
	CONTROLLER_HUGETLB,
	CONTROLLER_RDMA,
	CONTROLLER_MISC,
	CONTROLLER_DEVICES,  /* v1 only: v2 has a BPF program for it */
	CONTROLLER_FREEZER,  /* v1 only: part of v2 itself */
	CONTROLLER_NET_CLS,  /* v1 only */
	CONTROLLER_NET_PRIO, /* v1 only */
	CONTROLLERS,
};

extern const char *const host_controller_names[CONTROLLERS];

/* The directory of a controller's v1 hierarchy below /sys/fs/cgroup. */
static inline const char *host_controller_v1_name(enum host_controller controller)
{
	return controller == CONTROLLER_IO ? "blkio" : host_controller_names[controller];
}

struct host {
	uint32_t euid, egid;
	uint64_t caps_effective, caps_bounding; /* bit N is capability N */
	bool in_user_namespace;                 /* not the initial one */
	bool setgroups_denied;                  /* /proc/self/setgroups says "deny" */
	struct host_idmap uid_map, gid_map;     /* of the current user namespace */
	bool no_new_privileges;
	enum host_cgroup_mode cgroup_mode;
	uint32_t cgroup_v1, cgroup_v2; /* controllers: bit N is enum host_controller N */
	/* not on pure v2: the directories below /sys/fs/cgroup, "cpu,cpuacct memory unified" */
	char cgroup_hierarchies[512];
	bool apparmor, selinux; /* the LSM is active */
	char resctrl[256];      /* where Intel RDT's file system is mounted; "": nowhere */
	bool exe_writable;      /* our own program file could be written by us: seal it first */
};

/* The parts that cost a file read are probed on request. */
enum host_want {
	HOST_WANT_IDMAPS = 1 << 0, /* uid_map, gid_map, setgroups */
	HOST_WANT_CGROUP = 1 << 1,
	HOST_WANT_LSM = 1 << 2,
	HOST_WANT_CGROUP_AS_ROOT = 1 << 3, /* cgroups, unless in a user namespace */
	HOST_WANT_ALL = HOST_WANT_IDMAPS | HOST_WANT_CGROUP | HOST_WANT_LSM,
};

/*
 * Fills *ret_host for the calling process. Never fails for a missing interface: absence is a
 * fact too. Errors: RB_INTERNAL when /proc cannot be read at all.
 */
int host_probe(unsigned want, struct host *ret_host, struct rb_err *err);

/* Is the id mapped in the current user namespace? */
bool host_id_mapped(const struct host_idmap *map, uint32_t id);

/* Does this process hold the capability? */
static inline bool host_has_cap(const struct host *host, unsigned cap)
{
	return (host->caps_effective >> cap & 1) != 0;
}

struct strbuf;

/* "key value" lines; host_load() reads them back. */
void host_print(const struct host *host, struct strbuf *out);

/* Errors: RB_CONFIG_SYNTAX with the line number in the text. */
int host_load(const char *text, struct host *ret_host, struct rb_err *err);

/* Parses the text of a uid_map or gid_map file. -EINVAL: not such a text. */
int host_idmap_parse(const char *text, struct host_idmap *ret_map);
