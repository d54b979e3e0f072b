/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The handlers of the executor, one per op kind: int (*)(child, op), 0 or -errno. Private to
 * exec/. In a handler a descriptor lives in a slot or is closed before it returns.
 */
#include <sys/sysmacros.h>
#include "base/sys.h"
#include "exec/exec.h"
#include "exec/handshake.h"

typedef int exec_op_fn(struct exec_child *child, const struct plan_op *op);

static inline const char *op_str(const struct exec_child *child, const struct plan_op *op, int i)
{
	return plan_str(child->plan, op->str[i]);
}

/* Puts a descriptor into a slot, closing what was there. */
static inline void slot_set(struct exec_child *child, int slot, int fd)
{
	sys_close_slot(&child->slots[slot]);
	child->slots[slot] = fd;
}

/* statx(2) of a descriptor: type, rdev, owner. glibc's fstat is not on the allow-list. */
static inline int fd_statx(int fd, struct statx *st)
{
	return SYS_CALL(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, st);
}

/* A second O_PATH descriptor of the same directory. */
static inline int fd_dup_path(int fd)
{
	return sys_fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* Is the descriptor the character device major:minor? */
static inline bool fd_is_device(int fd, unsigned dev_major, unsigned dev_minor)
{
	struct statx st;

	return fd_statx(fd, &st) == 0 && (st.stx_mode & S_IFMT) == S_IFCHR &&
	       st.stx_rdev_major == dev_major && st.stx_rdev_minor == dev_minor;
}

/* ops_root.c: paths inside the root */

enum root_kind { ROOT_DIRECTORY, ROOT_FILE };

/*
 * Opens path (absolute, inside the root that is open as `root`) with O_PATH, creating missing
 * directories with mode 0755 and, for ROOT_FILE, an empty last file. Symbolic links are followed
 * inside the root only, dangling ones to where they point. Returns a descriptor or -errno.
 */
int root_make(int root, const char *path, enum root_kind kind, uint16_t op_flags);

/* As root_make for the directory that holds path; *ret_name is its last component. */
int root_make_parent(int root, const char *path, char *name, size_t size);

exec_op_fn op_open_in_root, op_make_target, op_mkdir_in_root, op_symlink_in_root, op_mknod_in_root;

/* ops_mount.c */
exec_op_fn op_propagation, op_attach_root, op_take_mount, op_stack_root, op_open_root,
	op_open_mount, op_open_tree, op_open_device, op_fsmount, op_mount_setattr, op_move_mount,
	op_mask, op_readonly, op_pivot, op_move_root, op_chroot, op_detach_root;
int mount_attach(int tree, int target);

/*
 * ops_host_mounts.c: no procfs or sysfs of the host stays whole in this mount namespace but what
 * is below the working directory. -errno.
 */
int hide_host_mounts(void);

/* ops_part.c */
exec_op_fn op_await_plan;

/* ops_copy.c */
exec_op_fn op_copy_up, op_text_file, op_label;

/* ops_tty.c */
exec_op_fn op_open_tty, op_console, op_send_tty, op_tty_stdio, op_controlling_tty, op_stdio_owner;

/* ops_setup.c: namespaces, identity */
exec_op_fn op_setns, op_unshare, op_root_ids, op_undumpable, op_umask, op_hostname, op_domainname,
	op_loopback, op_keyring, op_setsid, op_write_proc, op_rlimit, op_bounding, op_ids, op_caps,
	op_ambient, op_no_new_privs, op_death_signal, op_seccomp, op_reset_signals;

int filter_install(const struct exec_child *child, uint64_t flags); /* the descriptor, 0, -errno */

/* ops_sched.c */
exec_op_fn op_affinity, op_scheduler, op_io_priority, op_memory_policy, op_personality,
	op_enter_time, op_take_tree;

/* ops_landlock.c */
exec_op_fn op_landlock;

/* ops_start.c: the last steps */
exec_op_fn op_home, op_close_fds, op_chdir, op_find_program, op_wait_start, op_hook, op_exec;

/* exec_run.c */
int handshake_receive(int sock, struct handshake *record);
void exec_fail(struct exec_child *child, const struct plan_op *op, int errnum, int status)
	__attribute__((noreturn));
