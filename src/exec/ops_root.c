/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths inside the root file system, whose every entry may be hostile and may change while we
 * look. Runs in the child, as root of its user namespace, before and after the pivot.
 *
 * Existing paths are looked up by the kernel: openat2(2) with RESOLVE_IN_ROOT. Only what is
 * missing is walked here, one component at a time on descriptors opened with O_NOFOLLOW: ".."
 * goes back along the descriptors we came by, never through the directory, and an absolute link
 * starts again at the root's descriptor. So no step can leave the root, whatever is renamed.
 */
#include "exec/ops.h"

#define RESOLVE_ROOT (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
enum { WALK_DEPTH = 128 };

static int root_open(int root, const char *path, uint64_t flags, uint16_t op_flags)
{
	uint64_t resolve = RESOLVE_ROOT;

	if (op_flags & OPF_NO_SYMLINKS)
		resolve |= RESOLVE_NO_SYMLINKS;
	return sys_openat2(root, path, flags | O_PATH, 0, resolve);
}

struct walk {
	int dirs[WALK_DEPTH];        /* dirs[0] is the root, borrowed */
	size_t depth;                /* the current directory is dirs[depth] */
	char rest[LIMIT_PATH_BYTES]; /* still to resolve */
	unsigned links;
	uint16_t op_flags;
};

static int walk_enter(struct walk *walk, int fd)
{
	if (walk->depth + 1 == WALK_DEPTH) {
		sys_close(fd);
		return -ENAMETOOLONG;
	}
	walk->dirs[++walk->depth] = fd;
	return 0;
}

static void walk_leave(struct walk *walk, size_t to)
{
	while (walk->depth > to)
		sys_close(walk->dirs[walk->depth--]);
}

/* Puts a link's text in front of what is left; len includes neither end mark. */
static int walk_splice(struct walk *walk, const char *rest, const char *link, size_t len)
{
	size_t rest_len = strlen(rest);

	if (len + 1 + rest_len >= sizeof(walk->rest))
		return -ENAMETOOLONG;
	memmove(walk->rest + len + 1, rest, rest_len + 1);
	memcpy(walk->rest, link, len);
	walk->rest[len] = '/';
	return 0;
}

static int walk_follow(struct walk *walk, int fd, const char *rest)
{
	char link[LIMIT_PATH_BYTES];
	ssize_t len;

	if ((walk->op_flags & OPF_NO_SYMLINKS) || ++walk->links > LIMIT_SYMLINKS)
		return -ELOOP;
	len = sys_readlinkat(fd, "", link, sizeof(link));
	if (len < 0)
		return (int)len;
	if (len == 0 || (size_t)len == sizeof(link))
		return -ENAMETOOLONG;
	if (link[0] == '/')
		walk_leave(walk, 0);
	return walk_splice(walk, rest, link, (size_t)len);
}

static int walk_create(struct walk *walk, const char *name, bool file)
{
	int dir = walk->dirs[walk->depth];
	int fd;

	if (!file)
		return sys_mkdirat(dir, name, 0755);
	fd = sys_openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK, 0644);
	if (fd >= 0)
		sys_close(fd);
	return fd < 0 ? fd : 0;
}

/* One component: enters it, creates it or follows it. *ret_leaf is set for a last file. */
static int walk_component(struct walk *walk, const char *name, const char *rest,
			  enum root_kind kind, int *ret_leaf)
{
	bool last = rest[0] == '\0';
	struct statx st;
	int fd = -ENOENT;
	int r;

	for (int tries = 0; tries < 2 && fd == -ENOENT; tries++) {
		fd = sys_openat(walk->dirs[walk->depth], name, O_PATH | O_NOFOLLOW, 0);
		if (fd != -ENOENT || tries)
			break;
		r = walk_create(walk, name, last && kind == ROOT_FILE);
		if (r < 0 && r != -EEXIST) /* somebody else made it: look again */
			return r;
	}
	if (fd < 0)
		return fd;
	r = fd_statx(fd, &st);
	if (r == 0 && S_ISLNK(st.stx_mode)) {
		r = walk_follow(walk, fd, rest);
		sys_close(fd);
		return r;
	}
	if (r == 0 && S_ISDIR(st.stx_mode)) {
		memmove(walk->rest, rest, strlen(rest) + 1);
		return walk_enter(walk, fd);
	}
	if (r == 0 && last && kind == ROOT_FILE) {
		walk->rest[0] = '\0';
		*ret_leaf = fd;
		return 0;
	}
	sys_close(fd);
	return r < 0 ? r : -ENOTDIR;
}

/* Takes the first component off walk->rest into name; returns what follows it. */
static const char *walk_next(struct walk *walk, char name[NAME_MAX + 1], int *ret_error)
{
	const char *at = walk->rest;
	size_t len = 0;

	while (*at == '/')
		at++;
	while (at[len] && at[len] != '/')
		len++;
	*ret_error = len > NAME_MAX ? -ENAMETOOLONG : 0;
	if (*ret_error == 0) {
		memcpy(name, at, len);
		name[len] = '\0';
	}
	at += len;
	while (*at == '/')
		at++;
	return at;
}

static int walk_make(struct walk *walk, enum root_kind kind)
{
	int leaf = -1;
	int r = 0;

	while (r == 0 && leaf < 0) {
		char name[NAME_MAX + 1];
		const char *rest = walk_next(walk, name, &r);

		if (r < 0)
			break;
		if (name[0] == '\0') {
			/* the end: the directory we stand in */
			leaf = fd_dup_path(walk->dirs[walk->depth]);
			r = leaf < 0 ? leaf : 0;
		} else if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && !name[2]))) {
			if (name[1] && walk->depth > 0)
				walk_leave(walk, walk->depth - 1);
			memmove(walk->rest, rest, strlen(rest) + 1);
		} else {
			r = walk_component(walk, name, rest, kind, &leaf);
		}
	}
	walk_leave(walk, 0);
	return r < 0 ? r : leaf;
}

/* Where the last component of a path begins; 0: there is none that could be made. */
static size_t last_component(const char *path)
{
	size_t len = strlen(path);
	size_t at = len;

	while (at > 0 && path[at - 1] != '/')
		at--;
	if (len - at == 0 || len - at > NAME_MAX)
		return 0;
	return path[at] == '.' ? 0 : at;
}

/*
 * Where only the last directory is missing, which is nearly always so: its parent is looked up by
 * the kernel, and neither mkdirat(2) nor O_NOFOLLOW follows what lies at one name without a slash.
 * Any error is for the walk, which finds out what is there.
 */
static int root_make_directory(int root, const char *path, uint16_t op_flags)
{
	char parent_path[LIMIT_PATH_BYTES];
	size_t at = last_component(path);
	int parent;
	int fd;

	if (at == 0 || at >= sizeof(parent_path))
		return -ENOENT;
	memcpy(parent_path, path, at);
	parent_path[at] = '\0';
	/* "/" is the root itself */
	parent = at == 1 ? root : root_open(root, parent_path, O_DIRECTORY, op_flags);
	if (parent < 0)
		return parent;
	fd = sys_mkdirat(parent, path + at, 0755);
	if (fd == 0)
		fd = sys_openat(parent, path + at, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (parent != root)
		sys_close(parent);
	return fd;
}

int root_make(int root, const char *path, enum root_kind kind, uint16_t op_flags)
{
	struct walk walk;
	size_t len = strlen(path);
	int fd = root_open(root, path, 0, op_flags);

	if (fd != -ENOENT)
		return fd;
	/* where only the file is missing. O_EXCL: a dangling link is for the walk */
	if (kind == ROOT_FILE) {
		fd = sys_openat2(
			root, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK, 0644,
			RESOLVE_ROOT | (op_flags & OPF_NO_SYMLINKS ? RESOLVE_NO_SYMLINKS : 0));
		if (fd >= 0)
			return fd;
	}
	if (kind == ROOT_DIRECTORY) {
		fd = root_make_directory(root, path, op_flags);
		if (fd >= 0)
			return fd;
	}
	if (len >= sizeof(walk.rest))
		return -ENAMETOOLONG;
	walk.dirs[0] = root;
	walk.depth = 0;
	walk.links = 0;
	walk.op_flags = op_flags;
	memcpy(walk.rest, path, len + 1);
	return walk_make(&walk, kind);
}

int root_make_parent(int root, const char *path, char *name, size_t size)
{
	char directory[LIMIT_PATH_BYTES];
	size_t len = strlen(path);
	size_t slash;

	while (len > 1 && path[len - 1] == '/')
		len--;
	slash = len;
	while (slash > 0 && path[slash - 1] != '/')
		slash--;
	if (slash == 0 || len - slash == 0 || len - slash >= size || slash >= sizeof(directory))
		return -EINVAL;
	memcpy(name, path + slash, len - slash);
	name[len - slash] = '\0';
	if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && !name[2])))
		return -EINVAL;
	memcpy(directory, path, slash);
	directory[slash] = '\0';
	return root_make(root, directory, ROOT_DIRECTORY, 0);
}

int op_open_in_root(struct exec_child *child, const struct plan_op *op)
{
	int fd = root_open(child->slots[SLOT_ROOT], op_str(child, op, 0), 0, op->flags);

	if (fd >= 0)
		slot_set(child, op->slot, fd);
	return fd < 0 ? fd : 0;
}

/* The place to mount on: what is there, or a new file or directory like the one to be mounted. */
int op_make_target(struct exec_child *child, const struct plan_op *op)
{
	enum root_kind kind = ROOT_DIRECTORY;
	int fd;

	if (!(op->flags & OPF_DIRECTORY)) {
		struct statx st;
		int r = fd_statx(child->slots[op->slot2], &st);

		if (r < 0)
			return r;
		if (!S_ISDIR(st.stx_mode))
			kind = ROOT_FILE;
		if (op->arg[0] && (op->arg[0] == S_IFDIR) != (kind == ROOT_DIRECTORY))
			exec_fail(child, op, kind == ROOT_FILE ? ENOTDIR : EISDIR,
				  HS_STATUS_SOURCE);
	}
	fd = root_make(child->slots[SLOT_ROOT], op_str(child, op, 0), kind, op->flags);
	if (fd >= 0)
		slot_set(child, op->slot, fd);
	return fd < 0 ? fd : 0;
}

int op_mkdir_in_root(struct exec_child *child, const struct plan_op *op)
{
	int fd = root_make(child->slots[SLOT_ROOT], op_str(child, op, 0), ROOT_DIRECTORY,
			   op->flags);

	if (fd >= 0)
		sys_close(fd);
	return fd < 0 ? fd : 0;
}

int op_symlink_in_root(struct exec_child *child, const struct plan_op *op)
{
	char name[NAME_MAX + 1];
	int parent = root_make_parent(child->slots[SLOT_ROOT], op_str(child, op, 1), name,
				      sizeof(name));
	int r;

	if (parent < 0)
		return parent;
	r = sys_symlinkat(op_str(child, op, 0), parent, name);
	if (r == -EEXIST && (op->flags & OPF_REPLACE)) {
		r = sys_unlinkat(parent, name, 0);
		if (r == 0)
			r = sys_symlinkat(op_str(child, op, 0), parent, name);
	}
	sys_close(parent);
	return r;
}

/* Is NAME already the wanted node? Anything else there is the image's and is replaced. */
static bool node_is(int parent, const char *name, mode_t mode, dev_t dev)
{
	struct statx st;
	int r = SYS_CALL(SYS_statx, parent, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st);

	return r == 0 && (st.stx_mode & S_IFMT) == (mode & S_IFMT) &&
	       makedev(st.stx_rdev_major, st.stx_rdev_minor) == dev;
}

int op_mknod_in_root(struct exec_child *child, const struct plan_op *op)
{
	char name[NAME_MAX + 1];
	mode_t mode = (mode_t)op->arg[0];
	dev_t dev = (dev_t)op->arg[1];
	int parent = root_make_parent(child->slots[SLOT_ROOT], op_str(child, op, 0), name,
				      sizeof(name));
	int r;

	if (parent < 0)
		return parent;
	r = sys_mknodat(parent, name, mode, dev);
	if (r == -EEXIST && node_is(parent, name, mode, dev)) {
		sys_close(parent);
		return 0;
	}
	if (r == -EEXIST && (r = sys_unlinkat(parent, name, 0)) == 0)
		r = sys_mknodat(parent, name, mode, dev);
	if (r == 0)
		r = sys_fchownat(parent, name, (uid_t)(op->arg[2] >> 32), (gid_t)op->arg[2],
				 AT_SYMLINK_NOFOLLOW);
	sys_close(parent);
	return r;
}
