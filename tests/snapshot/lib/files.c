/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single operations on files inside a step, whose result is printed as an errno name: the tools of
 * a small image hide too much.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static void print_result(const char *what, int r)
{
	printf("%s %s\n", what, r < 0 ? strerrorname_np(errno) : "ok");
}

/* The read-only mapping and descriptor see what is written after the copy-up. */
static void read_before_copy_up(const char *path)
{
	char byte = 0;
	int reader = open(path, O_RDONLY);
	int writer = open(path, O_WRONLY);

	print_result("open", reader < 0 || writer < 0 ? -1 : 0);
	print_result("write", (int)pwrite(writer, "Z", 1, 0));
	print_result("read", (int)pread(reader, &byte, 1, 0));
	printf("sees %s\n", byte == 'Z' ? "new" : "old");
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	const char *path = argc > 2 ? argv[2] : "";

	if (strcmp(what, "whiteout") == 0)
		print_result(what, mknod(path, S_IFCHR | 0666, makedev(0, 0)));
	else if (strcmp(what, "tmpfile") == 0)
		print_result(what, open(path, O_TMPFILE | O_RDWR, 0600));
	else if (strcmp(what, "setxattr") == 0)
		print_result(what, setxattr(path, argv[3], "y", 1, 0));
	else if (strcmp(what, "read-before-copy-up") == 0)
		read_before_copy_up(path);
	else if (strcmp(what, "unlink") == 0)
		print_result(what, unlink(path));
	else if (strcmp(what, "stat") == 0) {
		struct stat st;
		int r = stat(path, &st);

		print_result(what, r);
		if (r == 0)
			printf("mode %04o links %u\n", st.st_mode & 07777, (unsigned)st.st_nlink);
	} else
		return 2;
	return 0;
}
