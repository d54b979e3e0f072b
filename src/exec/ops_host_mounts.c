/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --no-pivot leaves the host's mounts in the container's mount namespace, out of reach of every
 * path. They still count: the kernel lets a user namespace mount a fresh procfs or sysfs, without
 * the masks of the container's own, when its mount namespace has a whole one (mount_namespaces(7),
 * "Restrictions on mount namespaces"). So the host's are taken away, and covered where the kernel
 * has locked them. Runs in the child, as root of its user namespace, just before the root moves;
 * the paths are those of the host, as the kernel prints them.
 */
#include "exec/ops.h"

enum { MOUNTINFO_LINE = 8192 };

struct mount_lines {
	int fd;
	size_t at, len;
	char bytes[MOUNTINFO_LINE];
};

/* The next line with its end cut off; NULL at the end of the file or when *ret_error is set. */
static char *line_next(struct mount_lines *lines, int *ret_error)
{
	for (;;) {
		char *line = lines->bytes + lines->at;
		char *end = memchr(line, '\n', lines->len - lines->at);
		ssize_t r;

		if (end) {
			*end = '\0';
			lines->at = (size_t)(end + 1 - lines->bytes);
			return line;
		}
		lines->len -= lines->at;
		memmove(lines->bytes, line, lines->len);
		lines->at = 0;
		if (lines->len == sizeof(lines->bytes)) {
			*ret_error = -E2BIG;
			return NULL;
		}
		do
			r = sys_read(lines->fd, lines->bytes + lines->len,
				     sizeof(lines->bytes) - lines->len);
		while (r == -EINTR);
		if (r < 0)
			*ret_error = (int)r;
		if (r <= 0)
			return NULL;
		lines->len += (size_t)r;
	}
}

/* Cuts the line after its first word and returns what follows; NULL: nothing. */
static char *word_end(char *line)
{
	char *blank = line ? strchr(line, ' ') : NULL;

	if (!blank)
		return NULL;
	*blank = '\0';
	return blank + 1;
}

/* Blank, tab, line end and backslash are "\NNN" there: proc_pid_mountinfo(5). */
static void unescape(char *text)
{
	char *out = text;

	for (const char *in = text; *in;) {
		if (in[0] == '\\' && in[1] && in[2] && in[3]) {
			*out++ = (char)((in[1] - '0') << 6 | (in[2] - '0') << 3 | (in[3] - '0'));
			in += 4;
		} else {
			*out++ = *in++;
		}
	}
	*out = '\0';
}

static bool is_below(const char *path, const char *directory)
{
	size_t len = strlen(directory);

	return len == 1 || (str_starts(path, directory) && (!path[len] || path[len] == '/'));
}

/* The mount point of a whole procfs or sysfs outside of root; NULL: the line is another's. */
static const char *host_mount(char *line, const char *root)
{
	/* "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS…] - TYPE …"; no field before has " - " */
	char *type = line;
	char *field = line;
	char *point;

	while ((type = strchr(type, ' ')) && !str_starts(type, " - "))
		type++;
	if (!type || (!str_starts(type, " - proc ") && !str_starts(type, " - sysfs ")))
		return NULL;
	for (int i = 0; i < 3; i++)
		field = word_end(field);
	point = word_end(field);
	if (!point || !word_end(point) || strcmp(field, "/") != 0)
		return NULL;
	unescape(point);
	return is_below(point, root) ? NULL : point;
}

/* Takes the mount number `skip` away. 1: done; 0: there are no more; *ret_covered: covered only. */
static int host_mount_hide(int mounts, const char *root, size_t skip, bool *ret_covered)
{
	struct mount_lines lines = {.fd = mounts};
	const char *point = NULL;
	char *line;
	int r = (int)SYS_CALL(SYS_lseek, mounts, 0, SEEK_SET);

	while (r == 0 && !point && (line = line_next(&lines, &r))) {
		point = host_mount(line, root);
		if (point && skip > 0) {
			skip--;
			point = NULL;
		}
	}
	if (r < 0 || !point)
		return r;
	r = sys_umount2(point, MNT_DETACH | UMOUNT_NOFOLLOW);
	/* locked: it came with the mount namespace of another user namespace */
	*ret_covered = r == -EINVAL || r == -EPERM;
	if (*ret_covered)
		r = sys_mount("tmpfs", point, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
			      "size=4k");
	return r < 0 ? r : 1;
}

int hide_host_mounts(void)
{
	char root[LIMIT_PATH_BYTES];
	size_t covered = 0;
	/* once: it stays readable when /proc itself is gone */
	int mounts = sys_openat(AT_FDCWD, "/proc/self/mountinfo", O_RDONLY, 0);
	int r = mounts < 0 ? mounts : (int)SYS_CALL(SYS_getcwd, root, sizeof(root));

	r = r < 0 ? r : 1;
	while (r == 1) {
		bool only_covered = false;

		r = host_mount_hide(mounts, root, covered, &only_covered);
		covered += only_covered;
	}
	sys_close_slot(&mounts);
	return r;
}
