/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who wrote an upper directory. fuse-overlayfs marks a directory that hides what lies below it
 * with "user.fuseoverlayfs.opaque", ".wh..wh..opq" and ".wh..opq", which the kernel's overlay does not
 * know: deleted files would come back. So the driver is noted in an attribute of the work
 * directory, and what FUSE has left is translated into the kernel's marks, which both understand.
 *
 * An upper without a note (made by somebody else, or with another work directory) is looked
 * through before the native driver uses it.
 */
#include <dirent.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include "snapshot/snap_private.h"

#define MARK_NAME        "user.runbuild.upper"
#define FUSE_PREFIX      "user.fuseoverlayfs."
#define FUSE_OPAQUE      FUSE_PREFIX "opaque"
#define FUSE_ORIGIN      FUSE_PREFIX "origin"
#define FUSE_WHITEOUT    ".wh."
#define FUSE_OPAQUE_AT   ".wh..wh..opq"
#define FUSE_OPAQUE_NODE ".wh..opq" /* a character device 0:0 that 1.10 makes beside it */

/* "DRIVER DEV:INO" of the upper it is about. */
static int mark_text(int upper, const char *driver, char *text, size_t size)
{
	struct stat st;

	if (fstat(upper, &st) < 0)
		return -errno;
	snprintf(text, size, "%s %u:%u:%" PRIu64, driver, major(st.st_dev), minor(st.st_dev),
		 (uint64_t)st.st_ino);
	return 0;
}

void mark_set(int upper, int work, const char *driver)
{
	char text[96];

	/* ENOTSUP: a file system without user attributes holds FUSE uppers only */
	if (mark_text(upper, driver, text, sizeof(text)) == 0)
		(void)fsetxattr(work, MARK_NAME, text, strlen(text), 0);
}

static bool mark_is(int upper, int work, const char *driver)
{
	char expected[96];
	char text[96];
	ssize_t len = fgetxattr(work, MARK_NAME, text, sizeof(text) - 1);

	if (len < 0 || mark_text(upper, driver, expected, sizeof(expected)) < 0)
		return false;
	text[len] = '\0';
	return str_eq(text, expected);
}

static int mixed(struct rb_err *err, const char *name, const char *mark)
{
	err_set(err, RB_SNAP_MIXED, 0,
		"'%s' in the upper directory carries fuse-overlayfs's mark \"%s\", which has no "
		"counterpart in the kernel's overlay",
		name, mark);
	err_fix(err, "use the driver fuse for this upper directory");
	return -ENOTSUP;
}

/* The attributes of one entry: origin goes, opaque is translated, anything else is refused. */
static int convert_attributes(int fd, const char *name, bool *ret_opaque, struct rb_err *err)
{
	char path[40];
	char list[4096];
	ssize_t len;

	/* the f* calls refuse O_PATH descriptors: open(2) */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = listxattr(path, list, sizeof(list));
	if (len < 0)
		return errno == ENOTSUP ? 0
					: err_set(err, RB_SNAP_MIXED, errno,
						  "cannot list the "
						  "attributes of '%s'",
						  name);
	for (const char *attr = list; attr < list + len; attr += strlen(attr) + 1) {
		if (!str_starts(attr, FUSE_PREFIX))
			continue;
		if (str_eq(attr, FUSE_OPAQUE))
			*ret_opaque = true;
		else if (!str_eq(attr, FUSE_ORIGIN))
			return mixed(err, name, attr);
		if (removexattr(path, attr) < 0)
			return err_set(err, RB_SNAP_MIXED, errno, "cannot convert '%s'", name);
	}
	return 0;
}

/* ".wh.NAME" becomes the kernel's whiteout, a character device 0:0 called NAME. */
static int convert_whiteout(int dir, const char *name, bool *ret_opaque, struct rb_err *err)
{
	int r = 0;

	if (str_eq(name, FUSE_OPAQUE_AT) || str_eq(name, FUSE_OPAQUE_NODE))
		*ret_opaque = true;
	else if (mknodat(dir, name + strlen(FUSE_WHITEOUT), S_IFCHR, 0) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0 && unlinkat(dir, name, 0) < 0)
		r = -errno;
	return r < 0 ? err_set(err, RB_SNAP_MIXED, -r, "cannot convert '%s'", name) : 0;
}

static int convert_directory(int dir, const char *name, unsigned depth, struct rb_err *err);

static int convert_entry(int dir, const struct dirent *item, unsigned depth, bool *ret_opaque,
			 struct rb_err *err)
{
	CLEANUP_FD int fd = -1;
	bool opaque = false;

	if (str_eq(item->d_name, ".") || str_eq(item->d_name, ".."))
		return 0;
	if (str_starts(item->d_name, FUSE_WHITEOUT) && item->d_type != DT_DIR)
		return convert_whiteout(dir, item->d_name, ret_opaque, err);
	if (item->d_type == DT_DIR) {
		fd = sys_openat(dir, item->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		return fd < 0 ? err_set(err, RB_SNAP_MIXED, -fd, "cannot read '%s'", item->d_name)
			      : convert_directory(fd, item->d_name, depth + 1, err);
	}
	if (item->d_type != DT_REG)
		return 0; /* xattr(7): user attributes exist on files and directories only */
	fd = sys_openat(dir, item->d_name, O_PATH | O_NOFOLLOW, 0);
	return fd < 0 ? 0 : convert_attributes(fd, item->d_name, &opaque, err);
}

static int convert_directory(int dir, const char *name, unsigned depth, struct rb_err *err)
{
	int copy = sys_openat(dir, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *item;
	bool opaque = false;
	int r = convert_attributes(dir, name, &opaque, err);

	if (!stream) {
		fd_close(&copy);
		return err_set(err, RB_SNAP_MIXED, EIO, "cannot read '%s'", name);
	}
	if (depth > LIMIT_UPPER_DEPTH)
		r = err_set(err, RB_SNAP_MIXED, ELOOP, "'%s' lies too deep", name);
	while (r == 0 && (item = readdir(stream)))
		r = convert_entry(dir, item, depth, &opaque, err);
	closedir(stream);
	if (r == 0 && opaque && fsetxattr(dir, "user.overlay.opaque", "y", 1, 0) < 0)
		r = err_set(err, RB_SNAP_MIXED, errno, "cannot mark '%s' as opaque", name);
	return r;
}

int mark_convert(int upper, struct rb_err *err)
{
	return convert_directory(upper, "/", 0, err);
}

int mark_check(const struct snap_layers *layers, enum snap_driver driver, struct rb_err *err)
{
	int r;

	if (layers->upper < 0 || layers->work < 0)
		return 0;
	if (driver != SNAP_NATIVE) {
		mark_set(layers->upper, layers->work, "fuse");
		return 0;
	}
	if (mark_is(layers->upper, layers->work, "native"))
		return 0;
	r = mark_convert(layers->upper, err);
	if (r == 0)
		mark_set(layers->upper, layers->work, "native");
	return r;
}
