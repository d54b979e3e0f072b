/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths inside the root. The input is lines: "NAME TARGET" makes a symbolic link, "NAME" alone a
 * directory, and the last line is the path that is looked up and made. Whatever the links are,
 * what comes back lies below the root, and nothing beside it has changed.
 */
#include <sys/stat.h>
#include "fuzz.h"
#include "tree.h"
#include "exec/ops.h"

/* Names of one component, so that the tree itself is made inside. */
static void add_line(int root, char *line)
{
	char *target = strchr(line, ' ');

	if (target)
		*target++ = '\0';
	if (!line[0] || strchr(line, '/') || str_eq(line, ".") || str_eq(line, ".."))
		return;
	if (target)
		(void)!symlinkat(target, root, line);
	else
		(void)mkdirat(root, line, 0755);
}

static void check_inside(int top, int fd)
{
	char link[64];
	char outside[4200];
	char inside[4200];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", top);
	n = readlink(link, outside, sizeof(outside) - 1);
	assert(n > 0);
	outside[n] = '\0';
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, inside, sizeof(inside) - 1);
	assert(n > 0);
	inside[n] = '\0';
	assert(str_starts(inside, outside) &&
	       (inside[strlen(outside)] == '/' || inside[strlen(outside)] == '\0'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int top = tree_open("path");
	char *text = fuzz_text(data, size < 4096 ? size : 4096);
	char *line = text;
	int root;

	assert(mkdirat(top, "root", 0755) == 0);
	root = sys_openat(top, "root", O_PATH | O_DIRECTORY, 0);
	assert(root >= 0);
	for (char *end; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		add_line(root, line);
	}
	for (int i = 0; i < 4; i++) {
		int fd = root_make(root, line, i & 1 ? ROOT_FILE : ROOT_DIRECTORY,
				   i & 2 ? OPF_NO_SYMLINKS : 0);

		if (fd >= 0) {
			check_inside(root, fd);
			close(fd);
		}
	}
	/* beside the root there is nothing: it was the only entry, and still is */
	assert(unlinkat(top, "x", 0) < 0 && errno == ENOENT);
	close(root);
	free(text);
	tree_close("path", top);
	return 0;
}
