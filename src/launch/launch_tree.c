/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mount sources that the parent clones for the child to inherit: those that only it can reach, and
 * those with an id map, that of a user namespace made for nothing else. Runs in the parent, which
 * has the privilege over the file system that the kernel asks for. mount_setattr(2), "ID-mapped
 * mounts".
 */
#include "launch/launch_private.h"

/* A process whose only purpose is its user namespace; it ends when it is killed. */
static pid_t namespace_holder(int *ret_pidfd)
{
	struct clone_args args = {
		.flags = CLONE_NEWUSER | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
	};
	pid_t parent = getpid();
	pid_t pid = sys_clone3(&args);

	if (pid == 0) {
		sys_die_with(parent);
		for (;;)
			(void)sys_ppoll(NULL, 0, NULL);
	}
	return pid;
}

static int mapped_namespace(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	const struct plan_list *maps = plan_list_at(l->plan, op->list);
	CLEANUP_FD int pidfd = -1;
	siginfo_t info;
	char path[64];
	pid_t pid = namespace_holder(&pidfd);
	int fd = -1;
	int r;

	if (pid < 0)
		return err_set(err, RB_NAMESPACE, -pid,
			       "cannot make a user namespace for an id-mapped mount");
	r = idmap_write(l->context->arena, pid, plan_str(l->plan, maps->item[0]),
			plan_str(l->plan, maps->item[1]), (enum plan_idmap_method)op->arg[2], err);
	if (r == 0) {
		snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
		fd = sys_openat(AT_FDCWD, path, O_RDONLY, 0);
		if (fd < 0)
			r = err_set(err, RB_NAMESPACE, -fd, "cannot open '%s'", path);
	}
	(void)sys_pidfd_send_signal(pidfd, SIGKILL);
	(void)sys_wait_pidfd(pidfd, &info, WEXITED);
	return r < 0 ? r : fd;
}

static int tree_failed(const char *source, int r, struct rb_err *err)
{
	err_set(err, RB_MOUNT, -r, "cannot map the ids of the mount source '%s'", source);
	if (r == -EPERM)
		err_fix(err, "id-mapped mounts need CAP_SYS_ADMIN in the user namespace that owns "
			     "the file system");
	else if (r == -EINVAL)
		err_fix(err, "the file system (or one below it, with ridmap) does not support "
			     "id-mapped mounts");
	return r;
}

int launch_host_tree(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	const char *source = plan_str(l->plan, op->str[0]);
	unsigned flags = OPEN_TREE_CLONE | (op->flags & OPF_RECURSIVE ? AT_RECURSIVE : 0) |
			 (op->flags & OPF_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0);
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP};
	CLEANUP_FD int user = -1;
	CLEANUP_FD int tree = sys_open_tree(AT_FDCWD, source, flags);
	int r;

	/* the child tries by itself first, and words what it finds */
	if (tree < 0 && !op->list)
		return 0;
	if (tree < 0) {
		err_set(err, RB_MOUNT_SOURCE, -tree, "cannot open mount source '%s'", source);
		err_origin(err, plan_str(l->plan, op->origin));
		return tree;
	}
	if (!op->list) {
		l->child.trees[op->arg[0] % LIMIT_HOST_TREES] = fd_take(&tree);
		return 0;
	}
	user = mapped_namespace(l, op, err);
	if (user < 0)
		return user;
	attr.userns_fd = (uint64_t)user;
	r = sys_mount_setattr(tree, "", AT_EMPTY_PATH | (op->arg[1] ? AT_RECURSIVE : 0), &attr);
	if (r < 0) {
		tree_failed(source, r, err);
		err_origin(err, plan_str(l->plan, op->origin));
		return r;
	}
	l->child.trees[op->arg[0] % LIMIT_HOST_TREES] = fd_take(&tree);
	return 0;
}
