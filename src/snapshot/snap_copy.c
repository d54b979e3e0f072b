/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy of what a step has left in its upper directory, exact enough to be a layer: whiteouts,
 * opaque marks, owners, modes, times, attributes, hard links and holes. Runs after the snapshot
 * was closed, as root of the user namespace that wrote the files. The content is the step's and
 * hostile: nothing is followed, everything is opened below its parent's descriptor.
 */
#include <linux/fs.h>
#include <dirent.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/xattr.h>
#include "snapshot/snap_private.h"

enum {
	ENTRY_BYTES = 512, /* what an entry without content counts */
	ATTRIBUTE_NAMES = 65536,
	ATTRIBUTE_BYTES = 65536, /* xattr(7): the kernel's limits for both */
};

/* A file with several names, and the first of them in the copy. */
struct copied_link {
	struct copied_link *next;
	dev_t dev; /* several, in a tree of layers */
	ino_t ino;
	const char *path;
};

struct tree_copy {
	struct arena *arena;
	int root; /* of the copy */
	uint64_t left;
	struct copied_link *links;
	char *names, *value;
};

/* In one directory. */
struct copy_place {
	int from, to;
	const char *path; /* below the root, "" or with a slash at its end */
	unsigned depth;
};

static int copy_range(int from, int to, off_t start, off_t end)
{
	if (lseek(to, start, SEEK_SET) < 0)
		return -errno;
	while (start < end) {
		ssize_t n = sendfile(to, from, &start, (size_t)(end - start));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO; /* it has become shorter */
	}
	return 0;
}

/* Shared blocks where the file system can; else what is not a hole. */
static int copy_content(int from, int to, off_t size)
{
	off_t end = 0;
	int r = 0;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	if (ftruncate(to, size) < 0)
		return -errno;
	while (r == 0 && end < size) {
		off_t start = lseek(from, end, SEEK_DATA);

		if (start < 0)
			return errno == ENXIO ? 0 : -errno; /* a hole up to the end */
		end = lseek(from, start, SEEK_HOLE);
		r = end < 0 ? -errno : copy_range(from, to, start, end);
	}
	return r;
}

/* user.* carry the overlay's marks; others may belong to a security module that says no. */
static int copy_attributes(struct tree_copy *copy, int from, int to)
{
	ssize_t len = flistxattr(from, copy->names, ATTRIBUTE_NAMES);

	if (len < 0)
		return errno == ENOTSUP ? 0 : -errno;
	for (const char *name = copy->names; name < copy->names + len; name += strlen(name) + 1) {
		ssize_t size = fgetxattr(from, name, copy->value, ATTRIBUTE_BYTES);

		if ((size < 0 || fsetxattr(to, name, copy->value, (size_t)size, 0) < 0) &&
		    str_starts(name, "user."))
			return -errno;
	}
	return 0;
}

/* After the content: chown(2) clears set-id bits and capabilities, writing changes times. */
static int copy_metadata(struct tree_copy *copy, int from, int to, const struct stat *st)
{
	const struct timespec times[] = {st->st_atim, st->st_mtim};
	int r;

	if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return -errno;
	r = copy_attributes(copy, from, to);
	return r == 0 && futimens(to, times) < 0 ? -errno : r;
}

static int copy_again(const struct tree_copy *copy, const struct copy_place *at, const char *name,
		      const struct stat *st)
{
	for (const struct copied_link *link = copy->links; link; link = link->next)
		if (link->ino == st->st_ino && link->dev == st->st_dev)
			return linkat(copy->root, link->path, at->to, name, 0) < 0 ? -errno : 1;
	return 0;
}

static int note_link(struct tree_copy *copy, const struct copy_place *at, const char *name,
		     const struct stat *st)
{
	struct copied_link *link = arena_alloc(copy->arena, sizeof(*link));

	if (!link)
		return -ENOMEM;
	*link = (struct copied_link){
		.next = copy->links,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.path = arena_printf(copy->arena, "%s%s", at->path, name),
	};
	copy->links = link;
	return link->path ? 0 : -ENOMEM;
}

static int copy_file(struct tree_copy *copy, const struct copy_place *at, const char *name,
		     const struct stat *st)
{
	CLEANUP_FD int from = sys_openat(at->from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	CLEANUP_FD int to = -1;
	int r;

	if (from < 0)
		return from;
	to = sys_openat(at->to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	r = to < 0 ? to : copy_content(from, to, st->st_size);
	return r < 0 ? r : copy_metadata(copy, from, to, st);
}

static int copy_symlink(const struct copy_place *at, const char *name)
{
	char target[LIMIT_PATH_BYTES];
	ssize_t len = sys_readlinkat(at->from, name, target, sizeof(target) - 1);

	if (len < 0)
		return (int)len;
	target[len] = '\0';
	return sys_symlinkat(target, at->to, name);
}

static int copy_directory(struct tree_copy *copy, const struct copy_place *at);

static int copy_subdirectory(struct tree_copy *copy, const struct copy_place *at, const char *name,
			     const struct stat *st)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
	CLEANUP_FD int from = sys_openat(at->from, name, flags, 0);
	CLEANUP_FD int to = -1;
	struct copy_place below = {.from = from, .depth = at->depth + 1};
	int r = from < 0 ? from : sys_mkdirat(at->to, name, 0700);

	if (r < 0)
		return r;
	to = sys_openat(at->to, name, flags, 0);
	below.to = to;
	below.path = arena_printf(copy->arena, "%s%s/", at->path, name);
	if (to < 0 || !below.path)
		return to < 0 ? to : -ENOMEM;
	r = copy_directory(copy, &below);
	return r < 0 ? r : copy_metadata(copy, from, to, st);
}

/* Links and nodes have no content of their own to count, and no descriptor to set things on. */
static int copy_node(const struct copy_place *at, const char *name, const struct stat *st)
{
	const struct timespec times[] = {st->st_atim, st->st_mtim};
	int r = S_ISLNK(st->st_mode) ? copy_symlink(at, name)
				     : sys_mknodat(at->to, name, st->st_mode, st->st_rdev);

	if (r == 0)
		r = sys_fchownat(at->to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW);
	if (r == 0 && !S_ISLNK(st->st_mode) && fchmodat(at->to, name, st->st_mode & 07777, 0) < 0)
		r = -errno;
	if (r == 0 && utimensat(at->to, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r;
}

static int copy_entry(struct tree_copy *copy, const struct copy_place *at, const char *name)
{
	struct stat st;
	uint64_t bytes;
	int r = 0;

	if (fstatat(at->from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1 && (r = copy_again(copy, at, name, &st)) != 0)
		return r < 0 ? r : 0;
	bytes = (uint64_t)st.st_blocks * 512 + ENTRY_BYTES;
	if (bytes > copy->left)
		return -EFBIG;
	copy->left -= bytes;
	if (S_ISREG(st.st_mode))
		r = copy_file(copy, at, name, &st);
	else if (S_ISDIR(st.st_mode))
		r = copy_subdirectory(copy, at, name, &st);
	else
		r = copy_node(at, name, &st);
	if (r == 0 && !S_ISDIR(st.st_mode) && st.st_nlink > 1)
		r = note_link(copy, at, name, &st);
	return r;
}

static int copy_directory(struct tree_copy *copy, const struct copy_place *at)
{
	int again = sys_openat(at->from, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = again < 0 ? NULL : fdopendir(again);
	const struct dirent *item;
	int r = at->depth > LIMIT_UPPER_DEPTH ? -ELOOP : 0;

	if (!stream) {
		fd_close(&again);
		return -EIO;
	}
	while (r == 0 && (item = readdir(stream)))
		if (!str_eq(item->d_name, ".") && !str_eq(item->d_name, ".."))
			r = copy_entry(copy, at, item->d_name);
	closedir(stream);
	return r;
}

int snap_copy_upper(const char *upper, int to_dir, const char *name, uint64_t most)
{
	CLEANUP_FD int from = sys_openat(AT_FDCWD, upper, O_RDONLY | O_DIRECTORY, 0);
	CLEANUP_FD int to = -1;
	CLEANUP_ARENA struct arena arena = {0};
	struct tree_copy copy = {.arena = &arena, .left = most};
	struct copy_place at = {.from = from, .path = ""};
	struct stat st;
	int r = from < 0 ? from : 0;

	if (r == 0 && (flock(from, LOCK_SH | LOCK_NB) < 0 || fstat(from, &st) < 0))
		return -errno; /* EWOULDBLOCK: the next step has it already */
	if (r < 0 || (r = sys_mkdirat(to_dir, name, 0700)) < 0)
		return r;
	to = sys_openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	copy.names = arena_alloc(&arena, ATTRIBUTE_NAMES);
	copy.value = arena_alloc(&arena, ATTRIBUTE_BYTES);
	if (to < 0 || !copy.names || !copy.value)
		return to < 0 ? to : -ENOMEM;
	copy.root = at.to = to;
	r = copy_directory(&copy, &at);
	return r < 0 ? r : copy_metadata(&copy, from, to, &st);
}
