/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories of a snapshot: opened once, checked on their descriptors, never named again.
 * Drivers refer to them as /proc/self/fd/N, so no character of a path has a meaning and no length
 * matters. Runs in the process that mounts.
 */
#include <sys/file.h>
#include "snapshot/snap_private.h"

static int layer_error(struct rb_err *err, const char *what, const char *path, int errnum)
{
	err_set(err, RB_SNAP_LAYER, errnum, "cannot use the %s directory '%s'", what, path);
	err_fix(err, "%s",
		errnum == ENOENT    ? "create it"
		: errnum == ENOTDIR ? "name a directory"
				    : "make it accessible to the root of the user namespace");
	return -errnum;
}

static bool same_directory(int a, int b)
{
	struct stat sa;
	struct stat sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

/* Does `inner` lie below `outer`? Walks up, on descriptors. */
static bool lies_below(int inner, int outer)
{
	int at = sys_fcntl(inner, F_DUPFD_CLOEXEC, 3);
	bool found = false;

	for (int depth = 0; at >= 0 && depth < 4096 && !found; depth++) {
		int up = sys_openat(at, "..", O_PATH | O_DIRECTORY, 0);

		found = same_directory(at, outer);
		if (up < 0 || same_directory(at, up))
			depth = 4096; /* the root is its own parent */
		close(at);
		at = up;
	}
	fd_close(&at);
	return found;
}

static int layers_open_lower(struct arena *arena, struct snap_layers *layers, struct rb_err *err)
{
	const struct snap_spec *spec = layers->spec;

	layers->lower = arena_array(arena, spec->n_lower + 1, sizeof(*layers->lower));
	if (!layers->lower)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "layers");
	for (size_t i = 0; i < spec->n_lower; i++) {
		int fd = sys_openat(AT_FDCWD, spec->lower[i], O_PATH | O_DIRECTORY, 0);
		bool seen = false;

		if (fd < 0)
			return layer_error(err, "lower", spec->lower[i], -fd);
		/* the kernel refuses a layer that is named twice (ELOOP); the upper one wins */
		for (size_t k = 0; k < layers->n_lower; k++)
			seen |= same_directory(fd, layers->lower[k]);
		if (seen)
			close(fd);
		else
			layers->lower[layers->n_lower++] = fd;
	}
	return 0;
}

/* One mount at a time: the kernel would accept two, and the files of both would be wrong. */
static int layer_lock(int fd, const char *what, const char *path, struct rb_err *err)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return err_set(err, RB_SNAP_LOCKED, errno, "cannot lock the %s directory '%s'",
			       what, path);
	err_set(err, RB_SNAP_LOCKED, 0, "the %s directory '%s' is in use by another snapshot", what,
		path);
	err_fix(err, "wait for the step that writes it, or give this one its own");
	return -EBUSY;
}

static int upper_error(struct rb_err *err, const char *rule, const char *fix)
{
	err_set(err, RB_SNAP_UPPER, 0, "%s", rule);
	err_fix(err, "%s", fix);
	return -EINVAL;
}

/* fuse-overlayfs accepts all of these silently and loses files; the kernel says EINVAL. */
static int layers_check_upper(const struct snap_layers *layers, struct rb_err *err)
{
	struct stat upper;
	struct stat work;

	if (fstat(layers->upper, &upper) < 0 || fstat(layers->work, &work) < 0)
		return err_set(err, RB_SNAP_UPPER, errno, "cannot stat the upper directory");
	if (upper.st_dev != work.st_dev)
		return upper_error(err, "upper and work are on different file systems",
				   "make the work directory beside the upper one");
	if (lies_below(layers->upper, layers->work) || lies_below(layers->work, layers->upper))
		return upper_error(err, "one of upper and work lies inside the other",
				   "make the work directory beside the upper one");
	for (size_t i = 0; i < layers->n_lower; i++)
		if (same_directory(layers->upper, layers->lower[i]))
			return upper_error(err, "the upper directory is also a lower one",
					   "give the step an upper directory of its own");
	return 0;
}

static int layers_open_upper(struct snap_layers *layers, struct rb_err *err)
{
	const struct snap_spec *spec = layers->spec;
	int r;

	layers->upper = sys_openat(AT_FDCWD, spec->upper, O_RDONLY | O_DIRECTORY, 0);
	if (layers->upper < 0)
		return layer_error(err, "upper", spec->upper, -layers->upper);
	if ((r = layer_lock(layers->upper, "upper", spec->upper, err)) < 0 || !spec->work)
		return r;
	layers->work = sys_openat(AT_FDCWD, spec->work, O_RDONLY | O_DIRECTORY, 0);
	if (layers->work < 0)
		return layer_error(err, "work", spec->work, -layers->work);
	if (same_directory(layers->upper, layers->work))
		return upper_error(err, "upper and work are the same directory",
				   "make the work directory beside the upper one");
	if ((r = layer_lock(layers->work, "work", spec->work, err)) < 0)
		return r;
	return layers_check_upper(layers, err);
}

int layers_open(struct arena *arena, const struct snap_spec *spec, struct snap_layers *layers,
		struct rb_err *err)
{
	int r = 0;

	*layers = (struct snap_layers){.spec = spec, .upper = -1, .work = -1};
	if (spec->n_lower > LIMIT_LAYERS) {
		err_set(err, RB_SNAP_LAYER, 0, "%zu lower directories: at most %u are possible",
			spec->n_lower, LIMIT_LAYERS);
		err_fix(err, "merge some of them");
		return -E2BIG;
	}
	if (spec->n_lower == 0 && !spec->upper)
		return upper_error(err, "a snapshot without any directory",
				   "give at least one lower or an upper directory");
	r = layers_open_lower(arena, layers, err);
	if (r == 0 && spec->upper)
		r = layers_open_upper(layers, err);
	if (r < 0)
		layers_close(layers);
	return r;
}

void layers_close(struct snap_layers *layers)
{
	for (size_t i = 0; i < layers->n_lower; i++)
		fd_close(&layers->lower[i]);
	layers->n_lower = 0;
	fd_close(&layers->upper);
	fd_close(&layers->work);
}
