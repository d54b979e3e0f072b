/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of a plan, and with it most of its safety: namespaces, mounts, devices, hooks, pivot,
 * protections, identity, filter, exec. Pure. Each section's details are in a file of its own;
 * plan_check.c states the order again as rules, on purpose.
 */
#include <linux/capability.h>
#include "base/sys.h"
#include "plan/plan_blob.h"

/* A session of its own: no controlling terminal of ours (TIOCSTI), no keys of ours. */
static void plan_add_session(struct plan_blob *b, const struct spec_process *process)
{
	blob_child(b, OP_SETSID, NULL);
	if (b->options->no_new_keyring)
		return;
	plan_add_keyring_label(b, process);
	/* ENOSYS: no keyrings; EDQUOT: 200 keys per user are used up; EPERM, EACCES: a seccomp
	 * profile around us. The step then shares ours, as it would without us. */
	blob_child(b, OP_KEYRING, NULL)->on_error = ON_ENOSYS | ON_EDQUOT | ON_EPERM | ON_EACCES;
}

/*
 * The process is born into a user namespace as an id that need not exist there; files could not
 * be made (EOVERFLOW). It becomes the namespace's root first: user_namespaces(7).
 */
static void plan_add_root_ids(struct plan_blob *b)
{
	const struct spec_namespace *user = spec_namespace_find(b->spec, CLONE_NEWUSER);
	struct plan_op *op;

	if (!user)
		return;
	op = blob_child(b, OP_ROOT_IDS, user->origin);
	if (!user->path) {
		op->arg[0] = plan_id_mapped(b, 0, false) ? 0 : b->spec->uid_map[0].inside;
		op->arg[1] = plan_id_mapped(b, 0, true) ? 0 : b->spec->gid_map[0].inside;
	} else {
		op->on_error = ON_EINVAL; /* a namespace without id 0: we stay who we are */
	}
}

/*
 * A new time namespace is for children first; the offsets are set while it is empty, then it is
 * entered: time_namespaces(7). execve would do that only since Linux 6.2.
 */
static void plan_add_time_namespace(struct plan_blob *b)
{
	const struct spec_namespace *ns = spec_namespace_find(b->spec, CLONE_NEWTIME);
	uint32_t file;
	uint32_t offsets;
	struct plan_op *op;

	if (!ns || ns->path)
		return;
	blob_child(b, OP_UNSHARE, ns->origin)->arg[0] = CLONE_NEWTIME;
	if (b->spec->time_offsets) {
		file = blob_str(b, "self/timens_offsets");
		offsets = blob_str(b, b->spec->time_offsets);
		op = blob_child(b, OP_WRITE_PROC, "/linux/timeOffsets");
		op->slot = SLOT_PROC;
		op->str[0] = file;
		op->str[1] = offsets;
	}
	blob_child(b, OP_ENTER_TIME, ns->origin)->slot = SLOT_PROC;
}

static void plan_add_names(struct plan_blob *b)
{
	const struct spec *spec = b->spec;

	if (spec->hostname) {
		uint32_t name = blob_str(b, spec->hostname);

		blob_child(b, OP_HOSTNAME, "/hostname")->str[0] = name;
	}
	if (spec->domainname) {
		uint32_t name = blob_str(b, spec->domainname);

		blob_child(b, OP_DOMAINNAME, "/domainname")->str[0] = name;
	}
}

/* Session, loopback: what a fresh set of namespaces needs first. */
static void plan_add_namespace_setup(struct plan_blob *b)
{
	const struct spec *spec = b->spec;
	const struct spec_namespace *ns = spec_namespace_find(spec, CLONE_NEWNET);

	plan_add_root_ids(b);
	blob_child(b, OP_UNDUMPABLE, NULL);
	/* every mode below is meant literally */
	blob_child(b, OP_UMASK, NULL)->arg[0] = 0;
	plan_add_session(b, &spec->process);
	if (plan_ipc_comes_later(b))
		blob_child(b, OP_UNSHARE, spec_namespace_find(spec, CLONE_NEWIPC)->origin)
			->arg[0] = CLONE_NEWIPC;
	if (plan_new_namespace(b, CLONE_NEWCGROUP))
		/* after the cgroup was joined: its own cgroup is the root of the namespace */
		blob_child(b, OP_UNSHARE, spec_namespace_find(spec, CLONE_NEWCGROUP)->origin)
			->arg[0] = CLONE_NEWCGROUP;
	if (b->part == PLAN_WHOLE)
		plan_add_names(b);
	if (plan_new_namespace(b, CLONE_NEWNET))
		blob_child(b, OP_LOOPBACK, ns ? ns->origin : NULL);
	if (b->options->network.mode == PLAN_NETWORK_LENT) {
		struct plan_op *op = blob_child(b, OP_SETNS, NULL);

		op->slot = SLOT_NET_NS;
		op->arg[0] = CLONE_NEWNET;
	}
}

/*
 * In a second part the root lies on the first part's, which left the host by a pivot of its own and
 * is empty by now: what is below it need not go. A second pivot would look at every process of the
 * machine and wait for the kernel's RCU while the step waits. Nothing leads below: "..", setns(2)
 * and a way out of a further chroot all end at the mount on top; path_resolution(7).
 */
static enum plan_op_kind plan_pivot_kind(const struct plan_blob *b)
{
	const struct spec_namespace *mount = spec_namespace_find(b->spec, CLONE_NEWNS);

	if (plan_inherits_mounts(b))
		return OP_DETACH_ROOT;
	if (mount->path)
		return OP_CHROOT;
	if (b->options->no_pivot)
		return OP_MOVE_ROOT;
	return b->part == PLAN_SECOND && host_has_cap(b->host, CAP_SYS_CHROOT) ? OP_CHROOT
									       : OP_PIVOT;
}

static void plan_add_pivot(struct plan_blob *b)
{
	struct plan_op *pivot = blob_child(b, plan_pivot_kind(b), "/root/path");

	pivot->slot = SLOT_ROOT;
	if (plan_inherits_mounts(b))
		pivot->slot2 = SLOT_OUTER_MOUNTS;
	/* private it is from the beginning; again, it would undo what single mounts were given */
	if (b->spec->rootfs_propagation && b->spec->rootfs_propagation != MS_PRIVATE) {
		struct plan_op *op = blob_child(b, OP_PROPAGATION, "/linux/rootfsPropagation");

		op->slot = SLOT_ROOT;
		op->arg[0] = b->spec->rootfs_propagation;
		op->flags = b->spec->rootfs_propagation_recursive ? OPF_RECURSIVE : 0;
	}
}

/* Made before anything becomes read-only: /dev/console may have to be created. */
static void plan_add_terminal(struct plan_blob *b, const struct spec_process *process, bool console)
{
	struct plan_op *op;

	if (!process->terminal)
		return;
	op = blob_child(b, OP_OPEN_TTY, "/process/terminal");
	op->slot = SLOT_TTY;
	op->slot2 = SLOT_TTY_MASTER;
	op->arg[0] = (uint64_t)process->rows << 16 | process->columns;
	if (console)
		blob_child(b, OP_CONSOLE, "/process/terminal")->slot = SLOT_TTY;
}

static void plan_add_terminal_use(struct plan_blob *b, const struct spec_process *process)
{
	if (!process->terminal)
		return;
	/* whoever is handed the other side may hang up at once: a terminal that has hung up cannot
	 * become a controlling one any more, but one that is stays it */
	blob_child(b, OP_TTY_STDIO, "/process/terminal")->slot = SLOT_TTY;
	blob_child(b, OP_SEND_TTY, "/process/terminal")->slot = SLOT_TTY_MASTER;
}

static void plan_add_private_proc(struct plan_blob *b, bool sysctls,
				  const struct spec_process *process)
{
	uint32_t type = blob_str(b, "proc");
	struct plan_op *op;

	if (!sysctls && !process->has_oom_score_adj && !process->apparmor_profile &&
	    !process->selinux_label)
		return;
	op = blob_child(b, OP_FSMOUNT, NULL);
	op->slot = SLOT_PROC;
	op->str[0] = op->str[1] = type;
	op->arg[0] = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
}

/* Writes through a procfs of our own: the image's /proc may be anything. */
static void plan_add_proc_writes(struct plan_blob *b)
{
	const struct spec *spec = b->spec;

	for (size_t i = 0; i < spec->n_sysctls; i++) {
		char *path = arena_printf(b->arena, "sys/%s", spec->sysctls[i].path);
		uint32_t file = blob_str(b, path);
		uint32_t value = blob_str(b, spec->sysctls[i].value);
		struct plan_op *op = blob_child(b, OP_WRITE_PROC, spec->sysctls[i].origin);

		op->slot = SLOT_PROC;
		op->str[0] = file;
		op->str[1] = value;
	}
}

static int inherited_mounts_error(struct plan_blob *b, const char *what, const char *origin)
{
	err_set(b->err, RB_CONFIG_CONFLICT, 0, "%s", what);
	err_origin(b->err, origin);
	err_fix(b->err, "add {\"type\":\"mount\"} to linux.namespaces");
	return -EINVAL;
}

/*
 * A process in a user namespace of its own may not go back to a mount namespace outside of it:
 * setns(2). And mounts that are in no namespace are nobody's peers: mount_namespaces(7).
 */
static int plan_check_inherited_mounts(struct plan_blob *b)
{
	static const char no_peers[] = "mounts of a container without a mount namespace of its own "
				       "can only be private";
	const struct spec *spec = b->spec;
	const struct spec_namespace *user = spec_namespace_find(spec, CLONE_NEWUSER);

	if (user)
		return inherited_mounts_error(
			b,
			"no mount namespace: in a user namespace of its own a "
			"process can change nothing of an inherited one",
			user->origin);
	if (spec->rootfs_propagation && spec->rootfs_propagation != MS_PRIVATE)
		return inherited_mounts_error(b, no_peers, "/linux/rootfsPropagation");
	for (size_t i = 0; i < spec->n_mounts; i++)
		if (spec->mounts[i].propagation && spec->mounts[i].propagation != MS_PRIVATE)
			return inherited_mounts_error(b, no_peers, spec->mounts[i].origin);
	if (!host_has_cap(b->host, CAP_SYS_ADMIN))
		return inherited_mounts_error(b,
					      "no mount namespace: only a caller with "
					      "CAP_SYS_ADMIN can mount for a container without "
					      "one",
					      "/linux/namespaces");
	return 0;
}

static int plan_check_spec(struct plan_blob *b)
{
	const struct spec *spec = b->spec;
	int r;

	if (!spec->process.present) {
		err_set(b->err, RB_CONFIG_MISSING, 0, "\"process\" is missing");
		return -EINVAL;
	}
	if (plan_inherits_mounts(b) && (r = plan_check_inherited_mounts(b)) < 0)
		return r;
	if (spec->rdt.present && !b->host->resctrl[0]) {
		err_set(b->err, RB_RDT, 0, "intelRdt: this host has no resctrl file system");
		err_origin(b->err, spec->rdt.origin);
		err_fix(b->err, "mount it (mount -t resctrl resctrl /sys/fs/resctrl), or remove "
				"linux.intelRdt");
		return -ENOTSUP;
	}
	if (spec->mount_label && spec->mount_label[0] && !b->host->selinux) {
		err_set(b->err, RB_LSM, 0, "SELinux is not active on this host");
		err_origin(b->err, "/linux/mountLabel");
		err_fix(b->err, "remove linux.mountLabel");
		return -EINVAL;
	}
	return plan_check_process_ids(b, &spec->process);
}

static int plan_compile_filter(struct plan_blob *b, const struct sock_filter **ret_bpf,
			       size_t *ret_n)
{
	struct sock_filter *bpf = NULL;
	int r;

	*ret_bpf = b->options->bpf;
	*ret_n = b->options->n_bpf;
	if (*ret_bpf || !b->spec->seccomp.present)
		return 0;
	r = seccomp_compile(b->arena, &b->spec->seccomp, seccomp_native_arch(), &bpf, ret_n,
			    b->err);
	*ret_bpf = bpf;
	return r;
}

int plan_build(struct arena *arena, const struct spec *spec, const struct host *host,
	       const struct plan_options *options, const struct plan **ret_plan, struct rb_err *err)
{
	struct plan_blob b = {
		.arena = arena, .spec = spec, .host = host, .options = options, .err = err};
	const struct sock_filter *bpf = NULL;
	size_t n_bpf = 0;
	int r;

	b.first_process = true;
	if ((r = plan_check_spec(&b)) < 0 || (r = plan_compile_filter(&b, &bpf, &n_bpf)) < 0 ||
	    (r = plan_add_parent_start(&b)) < 0) {
		blob_abandon(&b);
		return r;
	}
	plan_add_private_proc(&b, spec->n_sysctls > 0 || plan_new_namespace(&b, CLONE_NEWTIME),
			      &spec->process);
	plan_add_oom_score(&b, &spec->process);
	plan_add_time_namespace(&b);
	plan_add_namespace_setup(&b);
	plan_add_mounts(&b);
	plan_add_devices(&b);
	if (plan_has_early_hooks(spec))
		blob_child(&b, OP_SYNC, NULL)->stage = STAGE_MOUNTS;
	plan_add_hooks(&b, HOOK_CREATE_CONTAINER, true);
	plan_add_proc_writes(&b);
	plan_add_terminal(&b, &spec->process, true);
	plan_add_protections(&b);
	plan_add_pivot(&b);
	plan_add_terminal_use(&b, &spec->process);
	plan_add_process(&b, &spec->process);
	plan_add_parent_end(&b, spec->process.terminal);
	return blob_finish(&b, bpf, n_bpf, ret_plan);
}

static struct plan_blob begin_part(struct arena *arena, const struct spec *spec,
				   const struct host *host, const struct plan_options *options,
				   struct rb_err *err)
{
	return (struct plan_blob){.arena = arena,
				  .spec = spec,
				  .host = host,
				  .options = options,
				  .first_process = true,
				  .err = err};
}

int plan_build_first(struct arena *arena, const struct spec *spec, const struct host *host,
		     const struct plan_options *options, const struct plan **ret_plan,
		     struct rb_err *err)
{
	struct plan_blob b = begin_part(arena, spec, host, options, err);
	int r;

	b.part = PLAN_FIRST;
	r = plan_add_parent_start(&b);
	if (r < 0) {
		blob_abandon(&b);
		return r;
	}
	plan_add_namespace_setup(&b);
	plan_add_prepared(&b);
	plan_add_devices(&b);
	plan_add_protections(&b);
	blob_child(&b, OP_PIVOT, NULL)->slot = SLOT_ROOT;
	/* what a step may never have, it cannot have here either */
	plan_add_early_process(&b, &spec->process);
	blob_child(&b, OP_AWAIT_PLAN, NULL);
	return blob_finish(&b, NULL, 0, ret_plan);
}

int plan_build_second(struct arena *arena, const struct spec *spec, const struct host *host,
		      const struct plan_options *options, const struct plan **ret_plan,
		      struct rb_err *err)
{
	struct plan_blob b = begin_part(arena, spec, host, options, err);
	const struct sock_filter *bpf = NULL;
	size_t n_bpf = 0;
	int r;

	b.part = PLAN_SECOND;
	if ((r = plan_check_spec(&b)) < 0 || (r = plan_compile_filter(&b, &bpf, &n_bpf)) < 0) {
		blob_abandon(&b);
		return r;
	}
	/* whatever else the step holds: locks of its snapshots */
	blob_parent(&b, OP_MONITOR, NULL);
	blob_parent(&b, OP_SEND_PLAN, NULL);
	plan_add_names(&b);
	plan_add_mounts(&b);
	plan_add_protections(&b);
	plan_add_pivot(&b);
	plan_add_process(&b, &spec->process);
	plan_add_parent_end(&b, false);
	return blob_finish(&b, bpf, n_bpf, ret_plan);
}

int plan_build_exec(struct arena *arena, const struct spec *spec,
		    const struct spec_process *process, const struct host *host, uint64_t join,
		    const char *cgroup, const struct plan_options *options,
		    const struct plan **ret_plan, struct rb_err *err)
{
	struct plan_blob b = {
		.arena = arena, .spec = spec, .host = host, .options = options, .err = err};
	const struct sock_filter *bpf = NULL;
	size_t n_bpf = 0;
	struct plan_op *op;
	int r;

	if ((r = plan_check_process_ids(&b, process)) < 0 ||
	    (r = plan_compile_filter(&b, &bpf, &n_bpf)) < 0) {
		blob_abandon(&b);
		return r;
	}
	/* before and after the move into the container's cgroup: config.md#linux-process */
	plan_add_affinity(&b, &process->affinity_initial);
	plan_add_exec_clone(&b, join, cgroup);
	plan_add_affinity(&b, &process->affinity_final);
	blob_child(&b, OP_UNDUMPABLE, NULL);
	if (join & ~(uint64_t)PLAN_BORN_INTO) {
		op = blob_child(&b, OP_SETNS, NULL);
		op->slot = SLOT_INIT;
		op->arg[0] = join & ~(uint64_t)PLAN_BORN_INTO;
	}
	if (join & CLONE_NEWUSER)
		blob_child(&b, OP_ROOT_IDS, NULL)->on_error = ON_EINVAL;
	if (!plan_root_is_inits(&b))
		blob_child(&b, OP_OPEN_ROOT, NULL)->slot = SLOT_ROOT;
	plan_add_private_proc(&b, false, process);
	plan_add_session(&b, process);
	if (plan_root_is_inits(&b))
		blob_child(&b, OP_CHROOT, NULL)->slot = SLOT_ROOT;
	plan_add_terminal(&b, process, false);
	plan_add_terminal_use(&b, process);
	plan_add_process(&b, process);
	plan_add_parent_end(&b, process->terminal);
	return blob_finish(&b, bpf, n_bpf, ret_plan);
}
