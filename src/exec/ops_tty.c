/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's terminal and standard streams. Runs in the child as root of its user namespace.
 * The pair is made from the container's own devpts, found inside the root; what was opened is
 * checked to be /dev/ptmx's device on a devpts, so a file planted by the image is refused. The
 * other end comes from the master by TIOCGPTPEER, never by a path: CVE-2025-52565.
 */
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include "exec/ops.h"

int op_open_tty(struct exec_child *child, const struct plan_op *op)
{
	struct winsize size = {.ws_row = (unsigned short)(op->arg[0] >> 16),
			       .ws_col = (unsigned short)op->arg[0]};
	struct statfs fs;
	int unlock = 0;
	int slave;
	int r = 0;
	int master = sys_openat2(child->slots[SLOT_ROOT], "/dev/pts/ptmx", O_RDWR | O_NOCTTY, 0,
				 RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);

	if (master < 0)
		return master;
	if (!fd_is_device(master, 5, 2) || SYS_CALL(SYS_fstatfs, master, &fs) < 0 ||
	    fs.f_type != DEVPTS_SUPER_MAGIC)
		r = -ENODEV;
	if (r == 0)
		r = sys_ioctl(master, TIOCSPTLCK, (unsigned long)&unlock);
	if (r == 0 && (size.ws_row || size.ws_col))
		r = sys_ioctl(master, TIOCSWINSZ, (unsigned long)&size);
	slave = r < 0 ? r : sys_ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0) {
		sys_close(master);
		return slave;
	}
	slot_set(child, op->slot, slave);
	slot_set(child, op->slot2, master);
	return 0;
}

/* The terminal as /dev/console: runtime-spec config-linux.md#default-devices. */
int op_console(struct exec_child *child, const struct plan_op *op)
{
	int tree = sys_open_tree(child->slots[op->slot], "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
	int target;
	int r;

	if (tree < 0)
		return tree;
	target = root_make(child->slots[SLOT_ROOT], "/dev/console", ROOT_FILE, OPF_NO_SYMLINKS);
	r = target < 0 ? target : mount_attach(tree, target);
	sys_close_slot(&target);
	sys_close(tree);
	return r;
}

int op_send_tty(struct exec_child *child, const struct plan_op *op)
{
	struct handshake record = {.type = HS_TTY};
	int r = handshake_send(child->sock, &record, child->slots[op->slot]);

	sys_close_slot(&child->slots[op->slot]);
	return r;
}

int op_tty_stdio(struct exec_child *child, const struct plan_op *op)
{
	int tty = child->slots[op->slot];
	int r = sys_ioctl(tty, TIOCSCTTY, 0);

	for (int fd = 0; r >= 0 && fd < 3; fd++)
		r = sys_dup3(tty, fd, 0);
	sys_close_slot(&child->slots[op->slot]);
	return r < 0 ? r : 0;
}

/*
 * The program must be able to open /dev/stdout again, which needs the owner's rights on a pipe.
 * /dev/null is left alone: it belongs to the host.
 */
int op_stdio_owner(struct exec_child *child UNUSED, const struct plan_op *op)
{
	for (int fd = 0; fd < 3; fd++) {
		struct statx st;
		int r = fd_statx(fd, &st);

		if (r == -EBADF || (r == 0 && st.stx_uid == op->arg[0]) || fd_is_device(fd, 1, 3))
			continue;
		if (r == 0)
			r = sys_fchownat(fd, "", (uid_t)op->arg[0], (gid_t)-1, AT_EMPTY_PATH);
		/* EINVAL, EPERM: the file's owner is not mapped here or the file is not ours;
		 * EROFS: a file of a read-only mount. The program then has what it inherited. */
		if (r < 0 && r != -EINVAL && r != -EPERM && r != -EROFS && r != -EACCES)
			return r;
	}
	return 0;
}

/* EPERM: it is the controlling terminal of another session. */
int op_controlling_tty(struct exec_child *child UNUSED, const struct plan_op *op UNUSED)
{
	int r = sys_ioctl(0, TIOCSCTTY, 0);

	return r < 0 ? r : 0;
}
