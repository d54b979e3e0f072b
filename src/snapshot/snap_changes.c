/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a step has changed, read from its upper directory: entries are additions or modifications,
 * character devices 0:0 are deletions, and an opaque directory hides everything below it:
 * overlayfs.rst, "whiteouts and opaque directories". Runs in the process that mounted, after the
 * mount is gone or beside it; only lstat(2) and readdir(3), sorted, so that a page can be
 * continued at the name where the last one ended.
 */
#include <dirent.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include "snapshot/snap_private.h"

struct changes {
	struct arena *arena;
	const struct snap_layers *layers;
	const char *cursor;
	bool (*visit)(const struct snap_change *change, void *context);
	void *context;
	struct rb_err *err;
	bool stopped;
};

static char type_letter(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR: return 'd';
	case S_IFLNK: return 'l';
	case S_IFCHR: return 'c';
	case S_IFBLK: return 'b';
	case S_IFIFO: return 'p';
	case S_IFSOCK: return 's';
	default: return 'f';
	}
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool is_opaque(int dir)
{
	char value = 0;

	return (fgetxattr(dir, "user.overlay.opaque", &value, 1) == 1 && value == 'y') ||
	       fgetxattr(dir, "user.fuseoverlayfs.opaque", &value, 1) == 1;
}

/* Does the path exist in the layers below? Links of layers lead nowhere: RESOLVE_IN_ROOT. */
static bool exists_below(const struct changes *c, const char *path, struct stat *ret_st)
{
	for (size_t i = 0; i < c->layers->n_lower; i++) {
		CLEANUP_FD int fd = sys_openat2(c->layers->lower[i], path, O_PATH | O_NOFOLLOW, 0,
						RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);

		if (fd >= 0 && fstat(fd, ret_st) == 0)
			return !is_whiteout(ret_st);
	}
	return false;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(struct changes *c, int dir, char ***ret_names, size_t *ret_n)
{
	int copy = sys_openat(dir, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *item;
	size_t size = 64;
	char **names = arena_array(c->arena, size, sizeof(*names));
	size_t n = 0;

	if (!stream) {
		fd_close(&copy);
		return -EIO;
	}
	while (names && (item = readdir(stream))) {
		if (str_eq(item->d_name, ".") || str_eq(item->d_name, ".."))
			continue;
		if (n == size) {
			char **larger = arena_array(c->arena, size * 2, sizeof(*names));

			if (larger)
				memcpy(larger, names, n * sizeof(*names));
			size *= 2;
			names = larger;
		}
		if (names && !(names[n++] = arena_strdup(c->arena, item->d_name)))
			names = NULL;
	}
	closedir(stream);
	if (!names)
		return -ENOMEM;
	qsort(names, n, sizeof(*names), compare_names);
	*ret_names = names;
	*ret_n = n;
	return 0;
}

/* The order of the walk: by components, so a directory comes right before its content. */
static int compare_paths(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	if (*a == *b)
		return 0;
	if (*a == '\0' || (*a == '/' && *b))
		return -1;
	if (*b == '\0' || *b == '/')
		return 1;
	return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}

static void report(struct changes *c, const char *path, const struct stat *st, bool hidden)
{
	struct snap_change change = {
		.path = path,
		.type = type_letter(st->st_mode),
		.size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
	};
	struct stat below;
	bool existed = !hidden && exists_below(c, path, &below);

	if (c->cursor && compare_paths(path, c->cursor) <= 0)
		return;
	change.kind = existed ? 'M' : 'A';
	if (is_whiteout(st)) {
		if (!existed)
			return; /* it never was, or a directory above hides it */
		change.kind = 'D';
		change.type = type_letter(below.st_mode);
		change.size = 0;
	}
	c->stopped = !c->visit(&change, c->context);
}

static int walk(struct changes *c, int dir, const char *prefix, bool hidden, unsigned depth)
{
	char **names;
	size_t n;
	int r = depth > LIMIT_UPPER_DEPTH ? -ELOOP : read_names(c, dir, &names, &n);

	for (size_t i = 0; r == 0 && i < n && !c->stopped; i++) {
		CLEANUP_FD int below = -1;
		char *path = arena_printf(c->arena, "%s%s%s", prefix, prefix[0] ? "/" : "",
					  names[i]);
		struct stat st;

		if (!path)
			return -ENOMEM;
		if (fstatat(dir, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* it went while we looked */
		if (str_starts(names[i], ".wh."))
			continue; /* fuse-overlayfs's own, while it runs */
		report(c, path, &st, hidden);
		if (c->stopped || !S_ISDIR(st.st_mode))
			continue;
		below = sys_openat(dir, names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (below >= 0)
			r = walk(c, below, path, hidden || is_opaque(below), depth + 1);
	}
	return r;
}

int snap_changes(struct arena *arena, const struct snap_spec *spec, const char *cursor,
		 bool (*visit)(const struct snap_change *change, void *context), void *context,
		 struct rb_err *err)
{
	struct snap_layers layers = {.spec = spec, .upper = -1, .work = -1};
	struct changes c = {
		.arena = arena,
		.layers = &layers,
		.cursor = cursor,
		.visit = visit,
		.context = context,
		.err = err,
	};
	struct snap_spec below = {.lower = spec->lower, .n_lower = spec->n_lower};
	int upper;
	int r = 0;

	if (!spec->upper)
		return 0;
	upper = sys_openat(AT_FDCWD, spec->upper, O_RDONLY | O_DIRECTORY, 0);
	if (upper < 0)
		return err_set(err, RB_SNAP_LAYER, -upper, "cannot read the upper directory '%s'",
			       spec->upper);
	/* without the locks: the snapshot may be mounted */
	if (spec->n_lower)
		r = layers_open(arena, &below, &layers, err);
	if (r == 0 && (r = walk(&c, upper, "", false, 0)) < 0)
		err_set(err, RB_SNAP_LAYER, -r, "cannot read the upper directory '%s'",
			spec->upper);
	layers_close(&layers);
	close(upper);
	return r;
}
