/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpcopyup: what a directory of the image holds, copied into the tmpfs that will cover it. Runs
 * in the child, as root of its user namespace, before the pivot. The source is the image's and
 * hostile: every entry is opened with O_NOFOLLOW below its parent's descriptor, regular files
 * non-blocking; devices, sockets and fifos are remade as empty nodes or left out; depth is
 * bounded. Owners, modes and link texts are kept.
 */
#include <dirent.h>
#include "exec/ops.h"

struct copy_dirent {
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

static int copy_directory(int from, int to, unsigned depth);

static int copy_bytes(int from, int to)
{
	char buf[16384];

	for (;;) {
		ssize_t len = sys_read(from, buf, sizeof(buf));
		ssize_t done = 0;

		if (len == -EINTR)
			continue;
		if (len <= 0)
			return (int)len;
		while (done < len) {
			ssize_t r = sys_write(to, buf + done, (size_t)(len - done));

			if (r == -EINTR)
				continue;
			if (r < 0)
				return (int)r;
			done += r;
		}
	}
}

static int copy_file(int from_dir, int to_dir, const char *name, const struct statx *st)
{
	int from = sys_openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	struct statx now;
	int to;
	int r;

	if (from < 0)
		return from;
	r = fd_statx(from, &now);
	if (r == 0 && !S_ISREG(now.stx_mode))
		r = -EINVAL; /* it was exchanged since */
	to = r < 0 ? r : sys_openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	r = to < 0 ? to : copy_bytes(from, to);
	if (r == 0)
		r = sys_fchownat(to, "", st->stx_uid, st->stx_gid, AT_EMPTY_PATH);
	if (r == 0)
		r = sys_fchmod(to, st->stx_mode & 07777); /* after chown, which clears setuid */
	sys_close_slot(&to);
	sys_close(from);
	return r;
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct statx *st)
{
	char target[LIMIT_PATH_BYTES];
	ssize_t len = sys_readlinkat(from_dir, name, target, sizeof(target));
	int r;

	if (len < 0)
		return (int)len;
	if ((size_t)len == sizeof(target))
		return -ENAMETOOLONG;
	target[len] = '\0';
	r = sys_symlinkat(target, to_dir, name);
	if (r == 0)
		r = sys_fchownat(to_dir, name, st->stx_uid, st->stx_gid, AT_SYMLINK_NOFOLLOW);
	return r;
}

static int copy_subdirectory(int from_dir, int to_dir, const char *name, const struct statx *st,
			     unsigned depth)
{
	int from = sys_openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	int to = -1;
	int r = from < 0 ? from : sys_mkdirat(to_dir, name, 0700);

	if (r == 0) {
		to = sys_openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		r = to < 0 ? to : copy_directory(from, to, depth + 1);
	}
	if (r == 0)
		r = sys_fchownat(to, "", st->stx_uid, st->stx_gid, AT_EMPTY_PATH);
	if (r == 0)
		r = sys_fchmod(to, st->stx_mode & 07777);
	sys_close_slot(&to);
	sys_close_slot(&from);
	return r;
}

static int copy_entry(int from, int to, const char *name, unsigned depth)
{
	struct statx st;
	int r = SYS_CALL(SYS_statx, from, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st);

	if (r == -ENOENT) /* removed since */
		return 0;
	if (r < 0)
		return r;
	switch (st.stx_mode & S_IFMT) {
	case S_IFREG: return copy_file(from, to, name, &st);
	case S_IFLNK: return copy_link(from, to, name, &st);
	case S_IFDIR: return copy_subdirectory(from, to, name, &st, depth);
	case S_IFIFO: return sys_mknodat(to, name, st.stx_mode, 0);
	default: return 0; /* sockets are dead here; devices cannot be made in a user namespace */
	}
}

static int copy_directory(int from, int to, unsigned depth)
{
	char buf[4096] __attribute__((aligned(8)));

	if (depth > LIMIT_TREE_DEPTH)
		return -ELOOP;
	for (;;) {
		long len = sys_getdents64(from, buf, sizeof(buf));

		if (len <= 0)
			return (int)len;
		for (long at = 0; at < len;) {
			const struct copy_dirent *entry = (const struct copy_dirent *)(buf + at);
			const char *name = entry->name;
			int r = 0;

			at += entry->reclen;
			if (!(name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]))))
				r = copy_entry(from, to, name, depth);
			if (r < 0)
				return r;
		}
	}
}

int op_copy_up(struct exec_child *child, const struct plan_op *op)
{
	/* the slot is O_PATH; "." below it is the same directory, readable */
	int from = sys_openat(child->slots[op->slot2], ".", O_RDONLY | O_DIRECTORY, 0);
	int to = from < 0 ? from
			  : sys_openat(child->slots[op->slot], ".", O_RDONLY | O_DIRECTORY, 0);
	struct statx st;
	int r = to < 0 ? to : copy_directory(from, to, 0);

	if (r == 0)
		r = fd_statx(from, &st);
	if (r == 0)
		r = sys_fchownat(to, "", st.stx_uid, st.stx_gid, AT_EMPTY_PATH);
	if (r == 0)
		r = sys_fchmod(to, st.stx_mode & 07777);
	sys_close_slot(&to);
	sys_close_slot(&from);
	return r;
}

/* The bytes of a text into a new file below dir. */
static int text_write(int dir, const char *name, const char *text)
{
	int fd = sys_openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
	size_t len = strlen(text);
	int r = fd;

	while (r >= 0 && len > 0) {
		r = (int)sys_write(fd, text, len);
		if (r == -EINTR)
			continue;
		if (r > 0) {
			text += r;
			len -= (size_t)r;
		}
	}
	if (fd >= 0)
		sys_close(fd);
	return r < 0 ? r : 0;
}

/*
 * The file of a tmpfs as a mount of its own. Kernels before 6.15 clone only what is attached: so the
 * tmpfs covers the root for a moment, in our mount namespace alone.
 */
static int text_tree(int root, int mount, const char *name)
{
	int tree;
	int r = mount_attach(mount, root);

	if (r < 0)
		return r;
	tree = sys_open_tree(mount, name, OPEN_TREE_CLONE);
	r = sys_fchdir(mount);
	if (r == 0)
		r = sys_umount2(".", MNT_DETACH);
	if (r == 0)
		return tree;
	if (tree >= 0)
		sys_close(tree);
	return r;
}

/* A file that is nowhere on disk: resolv.conf of a network that the runtime has chosen. */
int op_text_file(struct exec_child *child, const struct plan_op *op)
{
	int fs = sys_fsopen("tmpfs");
	int mount;
	int r;

	if (fs < 0)
		return fs;
	r = sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	mount = r < 0 ? r
		      : sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	sys_close(fs);
	if (mount < 0)
		return mount;
	r = text_write(mount, op_str(child, op, 0), op_str(child, op, 1));
	if (r == 0)
		r = text_tree(child->slots[SLOT_ROOT], mount, op_str(child, op, 0));
	sys_close(mount);
	if (r < 0)
		return r;
	slot_set(child, op->slot, r);
	return 0;
}
