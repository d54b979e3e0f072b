/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A container's description after parsing: the OCI runtime-spec's config.json (and process.json)
 * as checked, immutable data. Everything points into the arena that parsed it. `origin` members
 * are JSON pointers into the document, for messages and for `runbuild explain`.
 *
 * Reference: https://github.com/opencontainers/runtime-spec, config.md and config-linux.md, 1.3.
 * Ids are those inside the container's user namespace unless a name says "outside".
 */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "spec/spec_resources.h"

#define SPEC_ID_NONE UINT32_MAX /* (uid_t)-1 means "no change" to the kernel: never a valid id */

/* A list of strings; v[n] is NULL, so v serves as an argv. */
struct spec_strings {
	const char **v;
	size_t n;
	const char *origin;
};

struct spec_caps {
	bool present; /* false: the process gets none, as with runc */
	uint64_t bounding, effective, permitted, inheritable, ambient; /* bit N is capability N */
};

struct spec_rlimit {
	int resource; /* RLIMIT_... */
	uint64_t soft, hard;
	const char *name;
	const char *origin;
};

/* A set of CPUs or memory nodes. */
enum { SPEC_BITS = 4096 };
struct spec_bits {
	bool present;
	uint32_t word[SPEC_BITS / 32];
	const char *origin;
};

/* sched_setattr(2); times in nanoseconds */
struct spec_scheduler {
	bool present;
	uint32_t policy;
	uint64_t flags;
	int32_t nice, priority;
	uint64_t runtime, deadline, period;
	const char *origin;
};

struct spec_process {
	bool present;
	bool terminal;
	bool terminal_given;    /* 0, 1 and 2 are one of the caller's */
	uint16_t rows, columns; /* 0: not given */
	uint32_t uid, gid;
	const uint32_t *groups;
	size_t n_groups;
	bool has_umask;
	uint32_t umask;
	struct spec_strings args;
	struct spec_strings env;
	const char *cwd;
	struct spec_caps caps;
	bool caps_unknown; /* a capability was named that this program does not know: worth a warning */
	const struct spec_rlimit *rlimits;
	size_t n_rlimits;
	bool no_new_privileges;
	bool has_oom_score_adj;
	int32_t oom_score_adj;
	const char *apparmor_profile; /* NULL or a name */
	const char *selinux_label;
	struct spec_scheduler scheduler;
	bool has_io_priority;
	uint32_t io_priority;                              /* as ioprio_set(2) takes it */
	struct spec_bits affinity_initial, affinity_final; /* exec only */
};

struct spec_idmap {
	uint32_t inside, outside, count;
	const char *origin;
};

/* The destination of a mount where it is missing, and what the source has to be for it. */
enum spec_target { TARGET_LIKE_SOURCE, TARGET_DIRECTORY, TARGET_FILE, TARGET_MUST_EXIST };

/* One entry of "mounts". */
struct spec_mount {
	const char *destination; /* absolute */
	const char *type;        /* "" for a bind mount without a type */
	const char *source;      /* absolute after parsing for a bind mount */
	bool bind;
	bool recursive;                             /* rbind */
	bool copy_up;                               /* tmpcopyup */
	bool no_follow_source;                      /* src-nofollow */
	bool idmap, idmap_recursive;                /* mount_setattr(2) MOUNT_ATTR_IDMAP */
	const struct spec_idmap *uid_map, *gid_map; /* none: those of the container */
	size_t n_uid_map, n_gid_map;
	uint64_t attr_set; /* MOUNT_ATTR_*, for the mount itself */
	uint64_t attr_clear;
	uint64_t attr_set_recursive; /* the r* options: for the whole tree */
	uint64_t attr_clear_recursive;
	uint64_t propagation; /* MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE or 0 */
	bool propagation_recursive;
	struct spec_strings data; /* what is left: "key=value" or "flag", for the file system */
	enum spec_target target;
	bool standard;   /* of every step, not of this one */
	uint32_t handed; /* N > 0: mount number N-1 that the launcher was handed, not a new one */
	const char *origin;
};

struct spec_namespace {
	uint64_t type;    /* CLONE_NEW... */
	const char *path; /* NULL: a new one */
	const char *origin;
};

struct spec_device {
	char type; /* 'c', 'b', 'u' or 'p' */
	const char *path;
	uint32_t major, minor;
	bool has_mode;
	uint32_t mode; /* permission bits */
	uint32_t uid, gid;
	const char *origin;
};

/* linux.netDevices: a device of the host's namespace and its name in the container's. */
struct spec_net_device {
	const char *name, *new_name;
	const char *origin;
};

/* linux.intelRdt */
struct spec_rdt {
	bool present;
	const char *class; /* closID; NULL: the container's id */
	struct spec_strings schemata;
	bool monitoring;
	const char *origin;
};

/*
 * landlock(7): each kind of access that is named is allowed below its paths and nowhere else; one
 * that is not named is not restricted.
 */
enum landlock_access { LANDLOCK_READ, LANDLOCK_WRITE, LANDLOCK_EXECUTE, LANDLOCK_ACCESSES };

struct spec_landlock {
	unsigned named; /* bit N: enum landlock_access N */
	struct spec_strings paths[LANDLOCK_ACCESSES];
	const char *origin;
};

/* "read" and so on, as in a description. */
extern const char *const spec_landlock_names[LANDLOCK_ACCESSES];

struct spec_hook {
	const char *path; /* absolute */
	struct spec_strings args;
	struct spec_strings env;
	uint32_t timeout_s; /* 0: none */
	const char *origin;
};

enum spec_hook_kind {
	HOOK_PRESTART,
	HOOK_CREATE_RUNTIME,
	HOOK_CREATE_CONTAINER,
	HOOK_START_CONTAINER,
	HOOK_POSTSTART,
	HOOK_POSTSTOP,
	HOOK_KINDS,
};

struct spec_hooks {
	const struct spec_hook *v;
	size_t n;
};

/* "createRuntime" and so on, as in config.json. */
extern const char *const spec_hook_names[HOOK_KINDS];

/* seccomp: config-linux.md#seccomp */
struct spec_seccomp_arg {
	uint32_t index; /* 0..5 */
	uint64_t value, value_two;
	int op; /* enum spec_seccomp_op */
	const char *origin;
};

enum spec_seccomp_op {
	SPEC_CMP_NE,
	SPEC_CMP_LT,
	SPEC_CMP_LE,
	SPEC_CMP_EQ,
	SPEC_CMP_GE,
	SPEC_CMP_GT,
	SPEC_CMP_MASKED_EQ, /* (argument & value) == value_two */
};

struct spec_seccomp_rule {
	struct spec_strings names;
	uint32_t action; /* SECCOMP_RET_... with its data */
	const struct spec_seccomp_arg *args;
	size_t n_args;
	const char *origin;
};

struct spec_seccomp {
	bool present;
	uint32_t default_action;           /* SECCOMP_RET_... with its data */
	struct spec_strings architectures; /* "SCMP_ARCH_..."; the native one is implied */
	uint32_t flags;                    /* SECCOMP_FILTER_FLAG_... */
	const struct spec_seccomp_rule *rules;
	size_t n_rules;
	const char *listener_path; /* NULL: none */
	const char *listener_metadata;
	const char *origin;
	const struct json_node *node; /* the section as it stands in the document */
};

struct spec_annotation {
	const char *key, *value;
};

struct spec_sysctl {
	const char *key;  /* dots, as in config.json */
	const char *path; /* below /proc/sys, with slashes */
	const char *value;
	const char *origin;
};

struct spec {
	const char *oci_version;
	struct spec_process process;
	const char *root_path; /* absolute */
	uint32_t root_handed;  /* as spec_mount.handed; root_path is then only a name */
	bool root_readonly;
	const char *hostname;   /* NULL: unchanged */
	const char *domainname; /* NULL: unchanged */
	const struct spec_mount *mounts;
	size_t n_mounts;
	struct spec_hooks hooks[HOOK_KINDS];
	const struct spec_annotation *annotations;
	size_t n_annotations;
	/* linux */
	const struct spec_namespace *namespaces;
	size_t n_namespaces;
	const struct spec_idmap *uid_map, *gid_map;
	size_t n_uid_map, n_gid_map;
	const struct spec_device *devices;
	size_t n_devices;
	const struct spec_sysctl *sysctls;
	size_t n_sysctls;
	const char *cgroups_path; /* "" when absent */
	struct spec_resources resources;
	struct spec_seccomp seccomp;
	uint64_t rootfs_propagation; /* MS_... or 0 */
	bool rootfs_propagation_recursive;
	struct spec_strings masked_paths;
	struct spec_strings readonly_paths;
	struct spec_landlock landlock; /* of a step's description only */
	const char *mount_label;
	bool has_personality;
	uint32_t personality;     /* personality(2) */
	const char *time_offsets; /* text for /proc/PID/timens_offsets, or NULL */
	bool has_memory_policy;
	uint32_t memory_policy; /* mode and flags of set_mempolicy(2) */
	struct spec_bits memory_nodes;
	const struct spec_net_device *net_devices;
	size_t n_net_devices;
	struct spec_rdt rdt;
};

/*
 * Parses a config.json of len bytes. bundle is the absolute path of the bundle directory, against
 * which relative paths of root and bind sources are resolved. Pure: opens nothing.
 * Errors: RB_CONFIG_*, RB_UNSUPPORTED, RB_NO_MEMORY with the pointer of the offending element.
 */
int spec_parse(struct arena *arena, const char *text, size_t len, const char *bundle,
	       const struct spec **ret_spec, struct rb_err *err);

/* The same from a parsed document, into *ret_spec. */
int spec_parse_node(struct arena *arena, const struct json_node *root, const char *bundle,
		    struct spec *ret_spec, struct rb_err *err);

/* Parts that are a text already; NULL: as in the struct, or none. */
struct spec_texts {
	const char *seccomp, *resources;
};

/* A config.json of what the description of a step can say. */
struct strbuf;
void spec_print(const struct spec *spec, const struct spec_texts *texts, struct strbuf *out);

/* Parses a process.json (the argument of `exec --process`). */
int spec_parse_process(struct arena *arena, const char *text, size_t len,
		       struct spec_process *ret_process, struct rb_err *err);

/* Only the seccomp section, as spec_parse() would; used for seccomp/default.json too. */
int spec_parse_seccomp(struct arena *arena, const struct json_node *node,
		       struct spec_seccomp *ret_seccomp, struct rb_err *err);

/* SHA-256 over the meaning of a profile, not its spelling: the key under which it is cached. */
void spec_seccomp_digest(const struct spec_seccomp *seccomp, const char *salt, uint8_t digest[32]);

/* The new or joined namespace of a type, or NULL when the container keeps the runtime's. */
const struct spec_namespace *spec_namespace_find(const struct spec *spec, uint64_t type);

/* "pid", "network", ... as in config.json, or NULL. */
const char *spec_namespace_name(uint64_t type);

/* Capability number for "CAP_...", or -1; and the name of a number, or NULL. */
int spec_cap_number(const char *name);
const char *spec_cap_name(unsigned number);

/* The names that `runbuild features` lists; NULL-terminated. */
extern const char *const spec_mount_option_names[];
extern const char *const spec_seccomp_action_names[];
extern const char *const spec_seccomp_op_names[];
extern const char *const spec_seccomp_flag_names[];
