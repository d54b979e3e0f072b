/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A private directory for tests that need files. Gone when the program ends, also after a failed
 * assertion, because its entries are removed as soon as it is left.
 */
#include <dirent.h>
#include <sys/stat.h>
#include "base/file.h"

struct scratch {
	int fd;
	char path[64];
};

static inline void scratch_empty(int fd)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fdopendir(again);
	struct dirent *entry;

	while (stream && (entry = readdir(stream))) {
		int below;

		if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
			continue;
		if (unlinkat(fd, entry->d_name, 0) == 0)
			continue;
		below = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below >= 0) {
			scratch_empty(below);
			close(below);
		}
		unlinkat(fd, entry->d_name, AT_REMOVEDIR);
	}
	if (stream)
		closedir(stream);
}

static inline void scratch_leave(struct scratch *scratch)
{
	scratch_empty(scratch->fd);
	fd_close(&scratch->fd);
	rmdir(scratch->path);
}
#define CLEANUP_SCRATCH CLEANUP(scratch_leave)

static inline struct scratch scratch_enter(void)
{
	struct scratch scratch = {.path = "/tmp/runbuild-test-XXXXXX"};

	if (!mkdtemp(scratch.path)) {
		perror("mkdtemp");
		exit(2);
	}
	scratch.fd = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return scratch;
}

static inline void scratch_file(const struct scratch *scratch, const char *name, const char *text,
				size_t len)
{
	int fd = openat(scratch->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || fd_write_all(fd, text, len) < 0) {
		perror(name);
		exit(2);
	}
	close(fd);
}
