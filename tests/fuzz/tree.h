/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A directory of the target's own that plays the image; one for the whole run. */
#include "base/file.h"
#include "base/sys.h"

enum { TREE_DEPTH = 64 };

/* Empty at each call. The descriptor is the caller's. */
static inline int tree_open(const char *label)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/runbuild-%s.%d", P_tmpdir, label, (int)getpid());
	assert(mkdirat(AT_FDCWD, path, 0700) == 0 || errno == EEXIST);
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	assert(fd >= 0);
	assert(file_remove_content(fd, TREE_DEPTH) == 0);
	return fd;
}

/* Nothing is left behind by a run that ends well. */
static inline void tree_close(const char *label, int fd)
{
	char path[256];

	(void)file_remove_content(fd, TREE_DEPTH);
	close(fd);
	snprintf(path, sizeof(path), "%s/runbuild-%s.%d", P_tmpdir, label, (int)getpid());
	(void)unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}
