/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts by descriptor. Runs in the child, as root of its user namespace, in its own mount
 * namespace (or one it was told to join). Nothing here resolves a path of the image: targets
 * come as descriptors from ops_root.c. Host paths are opened once, before the pivot.
 */
#include <linux/magic.h>
#include "exec/ops.h"

#define EMPTY_BOTH (MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)

int mount_attach(int tree, int target)
{
	return sys_move_mount(tree, "", target, "", EMPTY_BOTH);
}

int op_propagation(struct exec_child *child, const struct plan_op *op)
{
	struct mount_attr attr = {.propagation = op->arg[0]};
	unsigned flags = op->flags & OPF_RECURSIVE ? AT_RECURSIVE : 0;

	if (op->slot == SLOT_NONE)
		return sys_mount_setattr(AT_FDCWD, op_str(child, op, 0), flags, &attr);
	return sys_mount_setattr(child->slots[op->slot], "", flags | AT_EMPTY_PATH, &attr);
}

/*
 * pivot_root(2) refuses a new root whose parent mount is shared. The parent is the mount that
 * holds the directory; its root is found by going up, on descriptors.
 */
static int mount_make_parent_private(int fd)
{
	struct mount_attr attr = {.propagation = MS_PRIVATE};
	int at = fd_dup_path(fd);

	for (int up = 0; at >= 0 && up < 4096; up++) {
		struct statx st;
		int next;
		int r = fd_statx(at, &st);

		if (r == 0 && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
			r = sys_mount_setattr(at, "", AT_EMPTY_PATH, &attr);
		else if (r == 0) {
			next = sys_openat(at, "..", O_PATH | O_DIRECTORY, 0);
			sys_close(at);
			at = next;
			continue;
		}
		sys_close(at);
		return r;
	}
	return at < 0 ? at : -ELOOP;
}

/* The root file system cloned over itself: pivot_root(2) wants a mount point. */
int op_attach_root(struct exec_child *child, const struct plan_op *op)
{
	int fd = sys_openat(AT_FDCWD, op_str(child, op, 0), O_PATH | O_DIRECTORY, 0);
	int tree;
	int r;

	if (fd < 0)
		return fd;
	tree = sys_open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | AT_RECURSIVE);
	r = tree < 0 ? tree : mount_make_parent_private(fd);
	if (r == 0)
		r = mount_attach(tree, fd);
	sys_close(fd);
	if (r < 0) {
		sys_close_slot(&tree);
		return r;
	}
	slot_set(child, op->slot, tree);
	return 0;
}

/* A mount that the parent made or was given: nobody else can reach it yet. */
int op_take_mount(struct exec_child *child, const struct plan_op *op)
{
	if (op->arg[0] >= child->n_handed)
		return -EBADF;
	slot_set(child, op->slot, child->handed[op->arg[0]]);
	return 0;
}

/*
 * pivot_root(2) wants the new root below the current one. On top of "/" itself is below it, needs
 * no directory of the host, and hides nothing: paths still start at the old root.
 */
int op_stack_root(struct exec_child *child, const struct plan_op *op)
{
	int root = sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
	int r;

	if (root < 0)
		return root;
	r = mount_make_parent_private(root);
	if (r == 0)
		r = mount_attach(child->slots[op->slot], root);
	sys_close(root);
	return r;
}

int op_open_root(struct exec_child *child, const struct plan_op *op)
{
	int fd = sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);

	if (fd >= 0)
		slot_set(child, op->slot, fd);
	return fd < 0 ? fd : 0;
}

/* "/" is still the first part's own root, and nothing in it is anybody else's. */
int op_open_mount(struct exec_child *child, const struct plan_op *op)
{
	int fd = sys_openat2(AT_FDCWD, op_str(child, op, 0), O_PATH | O_DIRECTORY, 0,
			     RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);

	if (fd >= 0)
		slot_set(child, op->slot, fd);
	return fd < 0 ? fd : 0;
}

int op_open_tree(struct exec_child *child, const struct plan_op *op)
{
	unsigned flags = OPEN_TREE_CLONE | (op->flags & OPF_RECURSIVE ? AT_RECURSIVE : 0) |
			 (op->flags & OPF_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0);
	int fd = sys_open_tree(AT_FDCWD, op_str(child, op, 0), flags);

	/* mount_namespaces(7): mounts below the source that are locked only come along as a tree */
	if (fd == -EINVAL && !(flags & AT_RECURSIVE))
		fd = sys_open_tree(AT_FDCWD, op_str(child, op, 0), flags | AT_RECURSIVE);
	if (fd >= 0)
		slot_set(child, op->slot, fd);
	return fd < 0 ? fd : 0;
}

int op_open_device(struct exec_child *child, const struct plan_op *op)
{
	dev_t dev = (dev_t)op->arg[0];
	int fd = sys_open_tree(AT_FDCWD, op_str(child, op, 0), OPEN_TREE_CLONE);
	struct statx st;
	int r;

	if (fd < 0)
		return fd;
	r = fd_statx(fd, &st);
	if (r == 0 && (!S_ISCHR(st.stx_mode) && !S_ISBLK(st.stx_mode)))
		r = -ENODEV;
	if (r == 0 && makedev(st.stx_rdev_major, st.stx_rdev_minor) != dev)
		r = -ENODEV;
	if (r < 0) {
		sys_close(fd);
		return r;
	}
	slot_set(child, op->slot, fd);
	return 0;
}

/* One option of the file system: "key=value" or "flag". */
static int fsmount_option(int fs, const char *option)
{
	char key[64];
	size_t len = 0;

	while (option[len] && option[len] != '=')
		len++;
	if (len >= sizeof(key))
		return -EINVAL;
	memcpy(key, option, len);
	key[len] = '\0';
	if (option[len] == '=')
		return sys_fsconfig(fs, FSCONFIG_SET_STRING, key, option + len + 1, 0);
	return sys_fsconfig(fs, FSCONFIG_SET_FLAG, key, NULL, 0);
}

/*
 * Who has said EPERM: a filter around us, or the kernel, which gives a fresh procfs or sysfs only
 * to those who see a whole one? A tmpfs it gives to every root of a mount namespace.
 */
static bool filter_refuses_mounts(void)
{
	int fs = sys_fsopen("tmpfs");
	int mount = fs;
	int r;

	if (fs >= 0) {
		r = sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
		mount = r < 0 ? r : sys_fsmount(fs, 0);
		sys_close(fs);
	}
	if (mount >= 0)
		sys_close(mount);
	return mount == -EPERM;
}

static int fsmount_failed(struct exec_child *child, const struct plan_op *op, int r)
{
	if (r == -EPERM && !(op->on_error & ON_EPERM) && filter_refuses_mounts())
		exec_fail(child, op, EPERM, HS_STATUS_FILTER);
	return r;
}

int op_fsmount(struct exec_child *child, const struct plan_op *op)
{
	const struct plan_list *options = plan_list_at(child->plan, op->list);
	int fs = sys_fsopen(op_str(child, op, 0));
	int mount;
	int r = 0;

	if (fs < 0)
		return fsmount_failed(child, op, fs);
	/* the source is only a label; a file system without one says EINVAL, which is fine */
	(void)sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", op_str(child, op, 1), 0);
	for (uint32_t i = 0; r == 0 && options && i < options->count; i++) {
		r = fsmount_option(fs, plan_str(child->plan, options->item[i]));
		if (r == -EINVAL)
			exec_fail(child, op, EINVAL, HS_STATUS_OPTION + (int)i);
	}
	if (r == 0)
		r = sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	mount = r < 0 ? r : sys_fsmount(fs, (unsigned)op->arg[0]);
	sys_close(fs);
	if (mount < 0)
		return fsmount_failed(child, op, mount);
	slot_set(child, op->slot, mount);
	return 0;
}

/* The mount is open for its path only: "." of it is a descriptor that can be written through. */
int op_label(struct exec_child *child, const struct plan_op *op)
{
	const char *label = op_str(child, op, 0);
	int fd = sys_openat(child->slots[op->slot], ".", O_RDONLY | O_DIRECTORY, 0);
	int r;

	if (fd < 0)
		return fd;
	r = sys_fsetxattr(fd, "security.selinux", label, strlen(label) + 1);
	sys_close(fd);
	return r;
}

int op_mount_setattr(struct exec_child *child, const struct plan_op *op)
{
	struct mount_attr attr = {.attr_set = op->arg[0], .attr_clr = op->arg[1]};
	unsigned flags = AT_EMPTY_PATH | (op->flags & OPF_RECURSIVE ? AT_RECURSIVE : 0);

	return sys_mount_setattr(child->slots[op->slot], "", flags, &attr);
}

/* move_mount(2) says EINVAL for a directory on a file as for all else; mount(2) says ENOTDIR. */
static int move_failure(int tree, int target, int error)
{
	struct statx from, onto;

	if (error != -EINVAL || fd_statx(tree, &from) < 0 || fd_statx(target, &onto) < 0)
		return error;
	return S_ISDIR(from.stx_mode) == S_ISDIR(onto.stx_mode) ? error : -ENOTDIR;
}

int op_move_mount(struct exec_child *child, const struct plan_op *op)
{
	int tree = child->slots[op->slot], target = child->slots[op->slot2];
	int r = mount_attach(tree, target);

	if (r < 0)
		r = move_failure(tree, target, r);
	sys_close_slot(&child->slots[op->slot]);
	sys_close_slot(&child->slots[op->slot2]);
	return r;
}

/* A copy of an attached mount, onto the target. */
static int mount_attach_copy(int mount, int target)
{
	int copy = sys_open_tree(mount, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
	int r;

	if (copy < 0)
		return copy;
	r = mount_attach(copy, target);
	sys_close(copy);
	return r;
}

/*
 * The first use of a slot attaches its own mount, whose descriptor stays valid, and later ones
 * clone that. Kernels before 6.15 cannot clone a mount that is not attached anywhere; and one that
 * never was takes the kernel's RCU with it when its descriptor is closed.
 */
int op_mask(struct exec_child *child, const struct plan_op *op)
{
	int target = sys_openat2(child->slots[SLOT_ROOT], op_str(child, op, 0), O_PATH, 0,
				 RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	struct statx st;
	int slot;
	int r;

	if (target < 0)
		return target;
	r = fd_statx(target, &st);
	slot = r == 0 && S_ISDIR(st.stx_mode) ? SLOT_EMPTY : SLOT_NULL;
	if (r == 0 && child->attached[slot])
		r = mount_attach_copy(child->slots[slot], target);
	else if (r == 0)
		r = mount_attach(child->slots[slot], target);
	if (r == 0)
		child->attached[slot] = true;
	sys_close(target);
	return r;
}

int op_readonly(struct exec_child *child, const struct plan_op *op)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
	int target = sys_openat2(child->slots[SLOT_ROOT], op_str(child, op, 0), O_PATH, 0,
				 RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	int tree;
	int r;

	if (target < 0)
		return target;
	tree = sys_open_tree(target, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | AT_RECURSIVE);
	r = tree < 0 ? tree : sys_mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr);
	if (r == 0)
		r = mount_attach(tree, target);
	sys_close_slot(&tree);
	sys_close(target);
	return r;
}

/*
 * pivot_root(2), "pivot_root(".", ".")": the old root ends up below the new one's directory "."
 * and is detached from there. Nothing of it stays reachable.
 */
int op_pivot(struct exec_child *child, const struct plan_op *op)
{
	int r = sys_fchdir(child->slots[op->slot]);

	if (r == 0)
		r = sys_pivot_root(".", ".");
	if (r == 0)
		r = sys_umount2(".", MNT_DETACH);
	if (r == 0)
		r = sys_chdir("/");
	return r;
}

int op_move_root(struct exec_child *child, const struct plan_op *op)
{
	int root = child->slots[op->slot];
	int r = sys_fchdir(root);

	if (r == 0)
		r = hide_host_mounts();
	if (r == 0)
		r = sys_move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH);
	if (r == 0)
		r = sys_chroot(".");
	if (r == 0)
		r = sys_chdir("/");
	return r;
}

static int become_root(int fd)
{
	int r = sys_fchdir(fd);

	if (r == 0)
		r = sys_chroot(".");
	if (r == 0)
		r = sys_chdir("/");
	return r;
}

int op_chroot(struct exec_child *child, const struct plan_op *op)
{
	return become_root(child->slots[op->slot]);
}

/*
 * The container is to have the runtime's mount namespace, and its mounts are not to be in it. They
 * were made in a namespace of ours, which ends when we leave it. The clone is in none: when its
 * descriptor is closed it stays whole below whoever has it as root, and goes with the last of
 * them, however that ends; open_tree(2), "OPEN_TREE_CLONE".
 */
int op_detach_root(struct exec_child *child, const struct plan_op *op)
{
	int tree = sys_open_tree(child->slots[op->slot], "",
				 AT_EMPTY_PATH | OPEN_TREE_CLONE | AT_RECURSIVE);
	int r = tree < 0 ? tree : sys_setns(child->slots[op->slot2], CLONE_NEWNS);

	if (r == 0)
		r = become_root(tree);
	if (tree >= 0)
		slot_set(child, op->slot, tree);
	return r;
}
