/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop over the child's ops. Runs in the new process between clone and execve, as root of its
 * user namespace until OP_IDS. Must not allocate, print or take a lock, and must not do anything
 * that is not in the plan: what it does is what `explain` showed.
 */
#include "exec/ops.h"

static int op_sync(struct exec_child *child, const struct plan_op *op)
{
	struct handshake record = {.type = HS_REACHED, .stage = op->stage};
	int r = handshake_send(child->sock, &record, -1);

	if (r == 0)
		r = handshake_receive(child->sock, &record);
	if (r == 0 && (record.type != HS_GO || record.stage != op->stage))
		r = -EPROTO;
	if (r == -EPIPE)
		sys_exit(125); /* the parent died: so do we, before anything was started */
	return r;
}

static int op_report_exec(struct exec_child *child, const struct plan_op *op UNUSED)
{
	struct handshake record = {.type = HS_EXEC};
	int r = handshake_send(child->sock, &record, -1);

	if (r == -EPIPE)
		sys_exit(125);
	return r;
}

static exec_op_fn *const handlers[OP_KINDS] = {
	[OP_SYNC] = op_sync,
	[OP_SETNS] = op_setns,
	[OP_UNSHARE] = op_unshare,
	[OP_ROOT_IDS] = op_root_ids,
	[OP_UNDUMPABLE] = op_undumpable,
	[OP_UMASK] = op_umask,
	[OP_HOSTNAME] = op_hostname,
	[OP_DOMAINNAME] = op_domainname,
	[OP_LOOPBACK] = op_loopback,
	[OP_KEYRING] = op_keyring,
	[OP_SETSID] = op_setsid,
	[OP_PROPAGATION] = op_propagation,
	[OP_ATTACH_ROOT] = op_attach_root,
	[OP_TAKE_MOUNT] = op_take_mount,
	[OP_STACK_ROOT] = op_stack_root,
	[OP_OPEN_ROOT] = op_open_root,
	[OP_OPEN_TREE] = op_open_tree,
	[OP_AFFINITY] = op_affinity,
	[OP_ENTER_TIME] = op_enter_time,
	[OP_TAKE_TREE] = op_take_tree,
	[OP_TEXT_FILE] = op_text_file,
	[OP_SCHEDULER] = op_scheduler,
	[OP_IO_PRIORITY] = op_io_priority,
	[OP_MEMORY_POLICY] = op_memory_policy,
	[OP_PERSONALITY] = op_personality,
	[OP_OPEN_DEVICE] = op_open_device,
	[OP_FSMOUNT] = op_fsmount,
	[OP_MOUNT_SETATTR] = op_mount_setattr,
	[OP_OPEN_IN_ROOT] = op_open_in_root,
	[OP_MAKE_TARGET] = op_make_target,
	[OP_MOVE_MOUNT] = op_move_mount,
	[OP_LABEL] = op_label,
	[OP_COPY_UP] = op_copy_up,
	[OP_MKDIR_IN_ROOT] = op_mkdir_in_root,
	[OP_SYMLINK_IN_ROOT] = op_symlink_in_root,
	[OP_MKNOD_IN_ROOT] = op_mknod_in_root,
	[OP_MASK] = op_mask,
	[OP_READONLY] = op_readonly,
	[OP_OPEN_MOUNT] = op_open_mount,
	[OP_AWAIT_PLAN] = op_await_plan,
	[OP_PIVOT] = op_pivot,
	[OP_MOVE_ROOT] = op_move_root,
	[OP_CHROOT] = op_chroot,
	[OP_DETACH_ROOT] = op_detach_root,
	[OP_WRITE_PROC] = op_write_proc,
	[OP_RLIMIT] = op_rlimit,
	[OP_OPEN_TTY] = op_open_tty,
	[OP_CONSOLE] = op_console,
	[OP_SEND_TTY] = op_send_tty,
	[OP_TTY_STDIO] = op_tty_stdio,
	[OP_CONTROLLING_TTY] = op_controlling_tty,
	[OP_STDIO_OWNER] = op_stdio_owner,
	[OP_HOOK] = op_hook,
	[OP_HOME] = op_home,
	[OP_BOUNDING] = op_bounding,
	[OP_IDS] = op_ids,
	[OP_CAPS] = op_caps,
	[OP_AMBIENT] = op_ambient,
	[OP_NO_NEW_PRIVS] = op_no_new_privs,
	[OP_DEATH_SIGNAL] = op_death_signal,
	[OP_CLOSE_FDS] = op_close_fds,
	[OP_CHDIR] = op_chdir,
	[OP_FIND_PROGRAM] = op_find_program,
	[OP_WAIT_START] = op_wait_start,
	[OP_RESET_SIGNALS] = op_reset_signals,
	[OP_LANDLOCK] = op_landlock,
	[OP_REPORT_EXEC] = op_report_exec,
	[OP_SECCOMP] = op_seccomp,
	[OP_EXEC] = op_exec,
};

/* Does the op's mask cover the errno? */
static bool op_ignores(const struct plan_op *op, int errnum)
{
	static const struct {
		int errnum;
		uint16_t bit;
	} bits[] = {
		{ENOENT, ON_ENOENT}, {EPERM, ON_EPERM},     {EACCES, ON_EACCES},
		{ENOSYS, ON_ENOSYS}, {EINVAL, ON_EINVAL},   {EDQUOT, ON_EDQUOT},
		{EEXIST, ON_EEXIST}, {ENOTDIR, ON_ENOTDIR}, {EROFS, ON_EROFS},
	};

	for (size_t i = 0; i < ARRAY_LEN(bits); i++)
		if (bits[i].errnum == errnum)
			return (op->on_error & bits[i].bit) != 0;
	return false;
}

void exec_run(struct exec_child *child)
{
	const struct plan_op *ops = plan_child_ops(child->plan);

	for (size_t i = 0; i < child->plan->n_child; i++) {
		const struct plan_op *op = &ops[i];
		int r;

		if ((op->flags & OPF_IF_EMPTY) && child->slots[op->slot] >= 0) {
			i += op->skip;
			continue;
		}
		r = handlers[op->kind](child, op);
		if (r >= 0)
			continue;
		if (!op_ignores(op, -r))
			exec_fail(child, op, -r, 0);
		i += op->skip;
	}
	sys_exit(125); /* not reached: plan_check() makes execve the last op */
}
