/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What survives on disk: one directory per container below the state root, mode 0700.
 *
 *	ROOT/ID/            flock(2)ed by a foreground `run` for its life: lock held = somebody cares
 *	ROOT/ID/init        a symbolic link whose text identifies the first process:
 *	                    "PID START BOOT FLAGS", made and read in one system call each
 *	ROOT/ID/cgroup      a symbolic link whose text is the cgroup, when there is one
 *	ROOT/ID/network     a symbolic link: the keeper of its network, "PID START BOOT 0", when there
 *	                    is one
 *	ROOT/ID/resctrl     a symbolic link whose text is a resctrl group that ends with it
 *	ROOT/ID/setup.json  what will be state.json once the container is set up
 *	ROOT/ID/state.json  one line of JSON, with the identity once more, then the
 *	                    configuration as it was read
 *	ROOT/ID/start.sock  `create` only: where `start` connects; gone once started
 *	ROOT/@seccomp/      compiled filters ('@' cannot occur in an id)
 *
 * A process is never signalled by its bare number: the link's start time and boot id must match.
 */
#include <sys/types.h>
#include "base/arena.h"
#include "base/err.h"

struct strbuf;
struct json_node;

struct state_root {
	int fd;           /* -1: does not exist (and was not to be created) */
	const char *path; /* for messages */
};

/*
 * Opens the state root, by default $XDG_RUNTIME_DIR/runbuild (or /run/runbuild for root,
 * /tmp/runbuild-UID without a runtime directory), creating it with mode 0700 if asked. It must
 * be a directory, not a link, owned by the caller and not writable by others.
 * Errors: RB_STATE_ROOT.
 */
int state_root_open(struct arena *arena, const char *path, bool create, struct state_root *ret_root,
		    struct rb_err *err);
void state_root_close(struct state_root *root);

/* [A-Za-z0-9_+.-]{1,255}, not "." or "..". Errors: RB_BAD_ID. */
int state_id_check(const char *id, struct rb_err *err);

/* Identity of a process that outlives its number. */
struct state_process {
	pid_t pid;
	uint64_t start; /* clock ticks after boot: proc_pid_stat(5), field 22 */
	char boot[40];  /* /proc/sys/kernel/random/boot_id */
};

enum state_flags {
	STATE_POSTSTOP = 1 << 0,   /* poststop hooks: `delete` must read the configuration */
	STATE_POSTSTART = 1 << 1,  /* poststart hooks: `start` must */
	STATE_FOREGROUND = 1 << 2, /* a `run` without --keep: of no use once that is gone */
};

struct container {
	int dir; /* the container's directory, -1 when closed */
	char id[LIMIT_ID_BYTES + 1];
	bool has_init;
	struct state_process init;
	unsigned flags; /* enum state_flags */
};

enum container_status {
	STATUS_CREATED,
	STATUS_RUNNING,
	STATUS_PAUSED,
	STATUS_STOPPED,
	STATUS_CREATING, /* not to be entered: it may still see the host's files */
};
extern const char *const container_status_names[];

/*
 * A directory locked by the caller: a new one, or what a killed `run` left, emptied. Exactly one
 * of several callers gets it. Errors: RB_STATE_EXISTS, RB_STATE_WRITE.
 */
int container_create(const struct state_root *root, const char *id, struct container *ret,
		     struct rb_err *err);

/* An existing one, unlocked. Errors: RB_STATE_MISSING ("container does not exist"). */
int container_open(const struct state_root *root, const char *id, struct container *ret,
		   struct rb_err *err);
void container_close(struct container *container);
#define CLEANUP_CONTAINER CLEANUP(container_close)

/* Reads the init link again. -errno: still absent (-ENOENT) or damaged. */
int container_reload(struct container *container);

/*
 * Waits until the init link exists, as long as somebody holds the lock and for at most
 * timeout_ms: a `kill` that comes while `run` is still setting up. Returns 0 or -ETIMEDOUT.
 */
int container_wait_init(struct container *container, int timeout_ms);

/* Is somebody holding the lock? */
bool container_locked(const struct container *container);
/* A pidfd of the process that holds the lock; -ESRCH when it cannot be found. */
int container_lock_owner(const struct container *container);
/* Takes the lock, waiting for it; 0 or -ETIMEDOUT. */
int container_lock(const struct container *container, int timeout_ms);
/* Is the directory still there? False for ever once it was removed. */
bool container_linked(const struct container *container);

/* Fills *ret for a live process. -ESRCH: it has ended. */
int state_process_identify(pid_t pid, struct state_process *ret);

/*
 * A pidfd for exactly that process, or -ESRCH when it has ended (a zombie has). Another -errno says
 * nothing about the process: it must not be taken for an ended one.
 */
int state_process_open(const struct state_process *process);

/* The first process, by pidfd; -ESRCH when there is none or it has ended. */
int container_init_open(const struct container *container);

/* Writes the network link. 0 or -errno. */
int container_note_network(const struct container *container, pid_t keeper);
/* The keeper of its network, by pidfd; -ESRCH when there is none or it has ended. */
int container_network_open(const struct container *container);

/* enum container_status, or -errno: it cannot be known. */
int container_status(const struct container *container);

/* What state.json's first line holds. Strings live in the arena that read it. */
struct state_record {
	const char *id;
	const char *oci_version;
	const char *bundle;                  /* absolute */
	const char *rootfs;                  /* absolute */
	const char *created;                 /* RFC 3339, UTC, nanoseconds */
	const char *cgroup;                  /* name as in cgroup.h; "" when there is none */
	const char *scope;                   /* systemd unit, or NULL */
	uint32_t owner;                      /* uid of the creator */
	const struct json_node *annotations; /* object or NULL; for writing: see below */
	const char *config;                  /* the configuration */
	size_t config_len;
};

struct state_annotation {
	const char *key, *value;
};

/* "PID START BOOT FLAGS", as the init link and state.json hold it. -EINVAL: it is not. */
#define STATE_INIT_BYTES 128
void state_process_text(const struct state_process *process, unsigned flags,
			char ret_text[STATE_INIT_BYTES]);
int container_parse_init(struct container *container, const char *text);

/*
 * Writes the cgroup link: before the group is made, because its maker may be killed meanwhile, and
 * again when the name is certain; "": there is none. 0 or -errno.
 */
int container_note_cgroup(const struct container *container, const char *cgroup);

/* Writes the init link (and the cgroup link), then setup.json. Errors: RB_STATE_WRITE. */
int container_write(struct container *container, const struct state_process *init, unsigned flags,
		    const struct state_record *record, const struct state_annotation *annotations,
		    size_t n_annotations, struct rb_err *err);

/* Errors: RB_STATE_DAMAGED with a remedy. */
int container_read(struct arena *arena, const struct container *container,
		   struct state_record *ret_record, struct rb_err *err);

/* The container is set up: setup.json becomes state.json. Errors: RB_STATE_WRITE. */
int container_publish(const struct container *container, struct rb_err *err);

/*
 * The first process out of state.json, for a container whose init link is missing or damaged.
 * -errno: it is damaged as well.
 */
int container_recover(struct container *container);

/* The cgroup link's text into the arena, or NULL. */
const char *container_cgroup(struct arena *arena, const struct container *container);

/*
 * As container_open(), for `delete --force`, after that has found RB_STATE_DAMAGED: makes the
 * directory accessible, or removes what stands in its place (then: RB_STATE_MISSING).
 */
int container_open_damaged(const struct state_root *root, const char *id, struct container *ret,
			   struct rb_err *err);

/*
 * Removes the directory and all that is in it. May be repeated. The caller has made sure that nothing of the container lives. 0 or -errno.
 */
int container_remove(const struct state_root *root, const struct container *container);

/* The state of runtime-spec runtime.md#state, as hooks read it on standard input. */
void state_json(const struct state_record *record, const struct state_annotation *annotations,
		size_t n_annotations, const char *status, pid_t pid, struct strbuf *out);

/* Now, as RFC 3339 with nanoseconds in UTC; size >= 36. */
void state_time(char *buf, size_t size);

/* filter_cache.c: compiled seccomp programs, by content */
struct sock_filter;

/*
 * The program stored under the digest, or -ENOENT: not there, or not trustworthy in any way
 * (then it is compiled again; the cache never fails open). Lives in the arena.
 */
int filter_cache_load(struct arena *arena, const struct state_root *root, const uint8_t digest[32],
		      struct sock_filter **ret_program, size_t *ret_n);

/* Best effort: a cache that cannot be written costs time, nothing else. */
void filter_cache_store(const struct state_root *root, const uint8_t digest[32],
			const struct sock_filter *program, size_t n);
