/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The birth of the child. Runs in the parent. Usually one clone3(2) with all new namespaces.
 *
 * When the child is to be born into existing namespaces (by path, or those of a container for
 * `exec`), the parent must stay where it is: hooks and the monitor belong into the runtime's
 * namespaces. A short-lived joiner enters them and clones the child with CLONE_PARENT: the child
 * is ours, born into the joined namespaces, and owned by the joined user namespace from its first
 * instruction on.
 */
#include "base/file.h"
#include "host/userns_check.h"
#include "launch/launch_private.h"

static const struct {
	uint64_t type;
	enum plan_slot slot;
} joined_slots[] = {
	/* order: see join_all() */
	{CLONE_NEWPID, SLOT_PID_NS},  {CLONE_NEWNET, SLOT_NET_NS},
	{CLONE_NEWIPC, SLOT_IPC_NS},  {CLONE_NEWUTS, SLOT_UTS_NS},
	{CLONE_NEWNS, SLOT_MOUNT_NS}, {CLONE_NEWCGROUP, SLOT_CGROUP_NS},
};

static void child_main(struct launch *l) __attribute__((noreturn));
static void child_main(struct launch *l)
{
	/* end of file on the handshake must mean the parent's death: drop our copy of its end */
	sys_close(l->sock);
	for (int fd = 0; l->context->stdio && fd < 3; fd++)
		(void)sys_dup3(l->context->stdio[fd], fd, 0);
	if (l->context->used_net && sys_setns(*l->context->used_net, CLONE_NEWNET) < 0)
		sys_exit(1); /* its pool makes another child */
	if (l->plan->part == PLAN_FIRST) {
		/* it waits for long: what others hold must not be held here as well */
		const int keep[] = {0, 1, 2, l->child.sock};

		fd_keep_only(keep, ARRAY_LEN(keep));
		(void)sys_prctl(PR_SET_NAME, (unsigned long)"runbuild-warm", 0, 0, 0);
	}
	exec_run(&l->child);
}

/* Did OP_CGROUP hand a group over for the clone? */
static bool born_into_cgroup(const struct launch *l)
{
	const struct plan_op *ops = plan_parent_ops(l->plan);

	for (size_t i = 0; i < l->plan->n_parent; i++)
		if (ops[i].kind == OP_CGROUP)
			return ops[i].arg[1] == CGROUP_HANDED && l->group.n == 1;
	return false;
}

/* cgroups(7), "Cgroup delegation: containment rules" and "no internal processes". */
static int clone_failed(const struct launch *l, int e, bool user, struct rb_err *err)
{
	if (!born_into_cgroup(l) || e == ENOSYS || e == ENOSPC || e == EAGAIN || e == ENOMEM)
		return userns_explain(e, user, err);
	err_set(err, RB_CGROUP, e, "cannot start in the cgroup that was handed over");
	err_origin(err, "/cgroup/fd");
	err_fix(err,
		e == EBUSY || e == EOPNOTSUPP
			? "it must be a group that may have processes: none that hands "
			  "controllers down, and no threaded one"
			: "this user must be able to write to its cgroup.procs, and to that of "
			  "the nearest group above both");
	return -e;
}

static int clone_child(struct launch *l, uint64_t fresh, uint64_t extra, int *ret_pidfd)
{
	struct clone_args args = {
		.flags = fresh | extra | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)ret_pidfd,
		/* with CLONE_PARENT the joiner's own exit signal is taken: clone(2) */
		.exit_signal = extra & CLONE_PARENT ? 0 : SIGCHLD,
	};
	pid_t pid;

	if (l->context->sibling) {
		args.flags |= CLONE_PARENT_SETTID;
		args.parent_tid = (uint64_t)(uintptr_t)l->context->sibling;
	}
	if (l->context->used_net)
		args.flags &= ~(uint64_t)CLONE_NEWNET;
	if (born_into_cgroup(l)) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)l->group.v[0].fd;
	}
	pid = sys_clone3(&args);
	if (pid == 0)
		child_main(l);
	return pid;
}

/*
 * Namespaces that the caller may enter with its own rights come first, then the user namespace,
 * then what needs the rights in it.
 */
static int join_all(struct launch *l, int *ret_slot)
{
	bool joined[ARRAY_LEN(joined_slots)] = {false};
	int user = l->child.slots[SLOT_USER_NS];
	int r;

	for (int pass = user >= 0 ? 0 : 1; pass < 2; pass++) {
		for (size_t i = 0; i < ARRAY_LEN(joined_slots); i++) {
			*ret_slot = joined_slots[i].slot;
			if (joined[i] || l->child.slots[*ret_slot] < 0)
				continue;
			r = sys_setns(l->child.slots[*ret_slot], joined_slots[i].type);
			if (r < 0 && !(pass == 0 && r == -EPERM))
				return r;
			joined[i] = r == 0;
		}
		*ret_slot = SLOT_USER_NS;
		if (pass == 0 && (r = sys_setns(user, CLONE_NEWUSER)) < 0)
			return r;
	}
	return 0;
}

/*
 * The namespaces of a container that runs: setns(2) takes the user namespace first, and with it
 * the right to enter the others. Not dumpable before: whoever is in there must not trace the
 * child before its own first operation (CVE-2016-9962).
 */
static int join_container(struct launch *l, uint64_t types)
{
	int r = sys_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);

	return r < 0 ? r : sys_setns(l->child.slots[SLOT_INIT], types);
}

/* In the joiner: enter, clone, send the pidfd. status of the record is the pid or the bad slot. */
static void joiner_main(struct launch *l, const struct plan_op *op, int report)
	__attribute__((noreturn));
static void joiner_main(struct launch *l, const struct plan_op *op, int report)
{
	struct handshake record = {.type = HS_GO};
	int slot = op->slot;
	int pidfd = -1;
	int r = slot == SLOT_INIT ? join_container(l, op->arg[1]) : join_all(l, &slot);

	if (r == 0) {
		slot = SLOT_NONE;
		r = clone_child(l, op->arg[0], CLONE_PARENT, &pidfd);
	}
	if (r < 0) {
		record.type = HS_FAIL;
		record.errnum = -r;
		record.status = slot;
	} else {
		record.status = r;
	}
	r = handshake_send(report, &record, pidfd);
	sys_exit(r < 0 ? 1 : 0);
}

static int joiner_failure(struct launch *l, const struct handshake *record, bool user,
			  struct rb_err *err)
{
	const struct plan_op *ops = plan_parent_ops(l->plan);

	if (record->status == SLOT_NONE)
		return clone_failed(l, record->errnum, user, err);
	if (record->status == SLOT_INIT) {
		err_set(err, RB_NAMESPACE, record->errnum,
			"cannot join the container's namespaces");
		err_fix(err, "exec must be called by the user, and in the user namespace, that "
			     "started the container");
	}
	for (size_t i = 0; i < l->plan->n_parent; i++) {
		if (ops[i].kind != OP_OPEN_NS || ops[i].slot != record->status)
			continue;
		err_set(err, RB_NAMESPACE, record->errnum, "cannot join the namespace '%s'",
			plan_str(l->plan, ops[i].str[0]));
		err_origin(err, plan_str(l->plan, ops[i].origin));
		err_fix(err,
			record->errnum == EINVAL
				? "the file must be a namespace of the type in the configuration"
				: "the caller needs CAP_SYS_ADMIN in its user namespace");
	}
	return -record->errnum;
}

static int clone_joined(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	CLEANUP_FD int joiner = -1;
	CLEANUP_FD int ours = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&joiner,
		.exit_signal = SIGCHLD,
	};
	struct handshake record;
	siginfo_t info;
	int pair[2];
	pid_t pid;
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, RB_NAMESPACE, errno, "socketpair");
	ours = pair[0];
	pid = sys_clone3(&args);
	if (pid == 0)
		joiner_main(l, op, pair[1]);
	close(pair[1]);
	if (pid < 0)
		return err_set(err, RB_NAMESPACE, -pid, "cannot clone");
	r = launch_receive(ours, 0, &record, &l->pidfd);
	(void)sys_wait_pidfd(joiner, &info, WEXITED);
	if (r <= 0)
		return err_set(err, RB_NAMESPACE, r < 0 ? -r : EPIPE,
			       "the helper that joins namespaces died");
	if (record.type == HS_FAIL)
		return joiner_failure(l, &record, op->arg[0] & CLONE_NEWUSER, err);
	if (l->pidfd < 0)
		return err_set(err, RB_NAMESPACE, EPROTO, "no process descriptor");
	l->pid = record.status;
	return 0;
}

int launch_clone(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	pid_t pid;

	if (op->arg[1])
		return clone_joined(l, op, err);
	pid = clone_child(l, op->arg[0], l->context->sibling ? CLONE_PARENT : 0, &l->pidfd);
	if (pid < 0)
		return clone_failed(l, -pid, op->arg[0] & CLONE_NEWUSER, err);
	l->pid = pid;
	return 0;
}
