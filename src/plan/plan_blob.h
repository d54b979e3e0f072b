/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The plan under construction: two growing lists of ops and a pool of strings that becomes the
 * blob. Private to plan/. Running out of memory is remembered and reported by blob_finish(), so
 * the planner appends without checking.
 */
#include "plan/plan.h"

struct plan_ops {
	struct plan_op *v;
	size_t n, room;
};

struct plan_blob {
	struct arena *arena;
	struct strbuf pool; /* begins with room for struct plan, so its offsets are the blob's */
	struct plan_ops child, parent;
	struct plan_op scrap;    /* where ops go when memory has run out */
	const char *last_origin; /* the string most recently added as an origin, and its offset */
	uint32_t last_origin_at;
	const struct spec *spec;
	const struct host *host;
	const struct plan_options *options;
	uint64_t trees; /* of the parent that the child's ops have taken */
	enum plan_part part;
	bool first_process; /* not `exec`: the container's hooks belong to this plan */
	struct rb_err *err;
};

/* Adds a string, a list of strings or a list of numbers; returns its offset. */
uint32_t blob_str(struct plan_blob *b, const char *s);
uint32_t blob_list(struct plan_blob *b, const char *const *v, size_t n);
uint32_t blob_numbers(struct plan_blob *b, const uint32_t *v, size_t n);

/*
 * Appends an op with no slots to the child's or the parent's list. The pointer is valid until
 * the next call.
 */
struct plan_op *blob_child(struct plan_blob *b, enum plan_op_kind kind, const char *origin);
struct plan_op *blob_parent(struct plan_blob *b, enum plan_op_kind kind, const char *origin);

/* Puts it all together and frees the pool. */
int blob_finish(struct plan_blob *b, const struct sock_filter *bpf, size_t n_bpf,
		const struct plan **ret_plan);
void blob_abandon(struct plan_blob *b);

/* The parts of a plan, each in a file of its own. They return 0 or -errno with *b->err set. */
void plan_add_mounts(struct plan_blob *b);      /* root, "mounts" */
void plan_add_prepared(struct plan_blob *b);    /* the mounts of a first part, and its root */
void plan_add_devices(struct plan_blob *b);     /* nodes and links below /dev */
void plan_add_protections(struct plan_blob *b); /* masked, read-only paths, read-only root */
void plan_add_open_null(struct plan_blob *b);   /* -> SLOT_NULL */
int plan_check_process_ids(struct plan_blob *b, const struct spec_process *process);
void plan_add_oom_score(struct plan_blob *b, const struct spec_process *process);
void plan_add_process(struct plan_blob *b, const struct spec_process *process);
void plan_add_early_process(struct plan_blob *b, const struct spec_process *process);
void plan_add_affinity(struct plan_blob *b, const struct spec_bits *cpus);
void plan_add_hooks(struct plan_blob *b, enum spec_hook_kind kind, bool in_child);
int plan_add_parent_start(struct plan_blob *b); /* up to and including the clone and its guards */
/* `exec`: what the child is born into; it enters the other namespaces by itself: setns(2) */
#define PLAN_BORN_INTO (CLONE_NEWUSER | CLONE_NEWPID)
void plan_add_exec_clone(struct plan_blob *b, uint64_t join, const char *cgroup);
void plan_add_parent_end(struct plan_blob *b, bool terminal);
/* Does the parent open this mount's source, as its tree of that number? */
bool plan_mount_has_tree(const struct plan_blob *b, const struct spec_mount *mount,
			 uint64_t number);

/* A mount of type cgroup that is more than a mount; false: nothing was added. */
bool plan_add_cgroup_mount(struct plan_blob *b, const struct spec_mount *mount);
bool plan_wants_cgroup(const struct plan_blob *b);
void plan_add_handed_cgroup(struct plan_blob *b);
int plan_add_cgroup(struct plan_blob *b, bool *ret_used);
bool plan_add_exec_cgroup(struct plan_blob *b, const char *cgroup);
void plan_add_resctrl(struct plan_blob *b);
enum plan_idmap_method plan_idmap_method(const struct plan_blob *b);

/*
 * Hooks before the pivot: the child waits at STAGE_MOUNTS for those of the runtime, and its own
 * must not run before the parent has written the state they read.
 */
static inline bool plan_has_early_hooks(const struct spec *spec)
{
	return spec->hooks[HOOK_PRESTART].n || spec->hooks[HOOK_CREATE_RUNTIME].n ||
	       spec->hooks[HOOK_CREATE_CONTAINER].n;
}

/* Will the container's user namespace be one that this process has no privilege outside of? */
bool plan_in_user_namespace(const struct plan_blob *b);

/* Is the id (inside the container) mapped there? */
bool plan_id_mapped(const struct plan_blob *b, uint32_t id, bool gid);

/* Does the caller's policy give it a network that the configuration does not ask for? */
bool plan_network_by_policy(const struct plan_blob *b);

/* Is the mount's source a text of ours? */
bool plan_mount_is_text(const struct plan_blob *b, const struct spec_mount *mount);
void plan_add_text(struct plan_blob *b, const struct spec_mount *mount);

/* plan_label.c */
/* AppArmor's profile or SELinux' label of the program that is executed next. */
void plan_add_lsm(struct plan_blob *b, const struct spec_process *process);
/* The SELinux label of the session keyring that is made next. */
void plan_add_keyring_label(struct plan_blob *b, const struct spec_process *process);
/* linux.mountLabel as an option of a file system of that type: 1, or 0 without one. */
size_t plan_mount_context(struct plan_blob *b, const char *type, const char **ret_option);
/* linux.mountLabel on the root in SLOT_TREE of a file system that takes no such option. */
void plan_add_root_label(struct plan_blob *b);

/* plan_network.c: the parent's ops of a network, in the order of the calls */
void plan_add_lent_network(struct plan_blob *b);
void plan_add_network(struct plan_blob *b);
void plan_add_network_end(struct plan_blob *b);

/* Has the container the runtime's own mount namespace? Its mounts are then made beside it. */
bool plan_inherits_mounts(const struct plan_blob *b);

/* Is the container's root not that of its mount namespace? `exec` then takes it from its init. */
bool plan_root_is_inits(const struct plan_blob *b);

/* A namespace that the plan creates (not one it joins). */
bool plan_new_namespace(const struct plan_blob *b, uint64_t type);
/*
 * The file system of message queues belongs to who makes the IPC namespace, which at clone(2) is
 * still the id outside. Where that is nobody in the new user namespace, its root makes it instead:
 * ipc_namespaces(7), mq_overview(7).
 */
bool plan_ipc_comes_later(const struct plan_blob *b);
