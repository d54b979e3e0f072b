/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Overlay snapshots: directories stacked into the root file system of a step. A snapshot is a
 * detached mount, reached through a descriptor only; the launcher attaches it inside the step's
 * mount namespace, and it ends with that namespace. Linux: overlayfs.rst, fsopen(2), fuse(4).
 *
 *	native  overlayfs of the kernel, with "userxattr"
 *	fuse    fuse-overlayfs(1), served on a descriptor that we opened
 *	bind    one directory as it is
 *
 * The caller needs CAP_SYS_ADMIN in its user namespace.
 */
#include <poll.h>
#include "base/arena.h"
#include "base/err.h"

enum snap_driver {
	SNAP_AUTO,
	SNAP_NATIVE,
	SNAP_FUSE,
	SNAP_FUSE_PATH, /* as fuse, for versions that insist on mounting by themselves */
	SNAP_BIND,
};

/* "auto", "native", "fuse", "fuse-path", "bind". snap_driver_parse: -EINVAL for another name. */
const char *snap_driver_name(enum snap_driver driver);
int snap_driver_parse(const char *name, enum snap_driver *ret_driver);

/* What to mount. Paths are of the host; nothing in them has a special meaning. */
struct snap_spec {
	const char *const *lower; /* topmost first */
	size_t n_lower;
	const char *upper; /* NULL: read-only */
	const char *work;  /* with upper, on the same file system; NULL for bind */
	enum snap_driver driver;
	bool throw_away;      /* "volatile": faster, the upper is lost if the machine crashes */
	bool outlives_caller; /* the container goes on without us: so must a daemon */
	int cache_dir;        /* where the probe's result is kept, -1: nowhere */
};

struct snapshot {
	enum snap_driver driver; /* never SNAP_AUTO */
	int mount;               /* detached; close it once the step has taken it */
	int upper, work;         /* -1 without; they hold the locks */
	int daemon;              /* pidfd of fuse-overlayfs, or -1 */
	int output;              /* what it says */
	char words[200];         /* its last line, as far as that has been read */
	int prober;              /* pidfd of the process that waits for its first answer, or -1 */
	int64_t deadline_ms;     /* for that, CLOCK_MONOTONIC */
	bool throw_away;
	char why[200]; /* one line: which driver and why */
};

/* A snapshot that holds nothing. */
#define SNAPSHOT_NONE                                                                              \
	((struct snapshot){                                                                        \
		.mount = -1, .upper = -1, .work = -1, .daemon = -1, .output = -1, .prober = -1})

/*
 * Mounts. On failure nothing is left. Errors: RB_SNAP_*, with the layer in the text.
 * snapshot_begin() may return before a FUSE daemon has answered; then snapshot_advance() returns
 * 0 until it has (1), to be called when one of the descriptors of snapshot_poll() is readable or
 * snapshot->deadline_ms has passed. snapshot_open() does both and waits.
 */
int snapshot_begin(struct arena *arena, const struct snap_spec *spec, struct snapshot *ret_snapshot,
		   struct rb_err *err);
int snapshot_advance(struct snapshot *snapshot, struct rb_err *err);
size_t snapshot_poll(const struct snapshot *snapshot, struct pollfd fds[2]);
int snapshot_open(struct arena *arena, const struct snap_spec *spec, struct snapshot *ret_snapshot,
		  struct rb_err *err);

/*
 * After the namespace that had the mount is gone (or when it was never attached): waits for the
 * daemon, makes a FUSE-written upper readable for every driver, clears the volatile mark, drops
 * the locks. An error (RB_SNAP_DAEMON) when the daemon died by itself before: whatever the step
 * said about its files is then explained by it.
 */
int snapshot_close(struct snapshot *snapshot, struct rb_err *err);

/* Has the daemon died while the snapshot is in use? Fills *err if so. */
bool snapshot_is_dead(struct snapshot *snapshot, struct rb_err *err);

/*
 * The driver that SNAP_AUTO means for an upper directory beside `work`, found out by a real
 * trial; *ret_why gets one line. Errors: RB_SNAP_DRIVER with what was wrong with each.
 */
int snap_probe(struct arena *arena, int work, int cache_dir, enum snap_driver *ret_driver,
	       char *why, size_t why_size, struct rb_err *err);

/*
 * Tries one driver in a new directory in `parent`, which is removed again: mounts, and uses the
 * mount. Errors: RB_SNAP_*.
 */
int snap_try(struct arena *arena, int parent, enum snap_driver driver, struct rb_err *err);

/*
 * The options of a mount of type overlay or fuse-overlayfs: "lowerdir=a:b", "upperdir=", with
 * overlayfs.rst's escapes. What has no meaning here is refused. Errors: RB_SNAP_OPTION.
 */
int snap_spec_from_options(struct arena *arena, const char *type, const char *const *options,
			   size_t n_options, struct snap_spec *ret_spec, struct rb_err *err);

/* Is it a type that snap_spec_from_options() understands? */
bool snap_is_overlay_type(const char *type);

/* One difference between an upper directory and what lies below it. */
struct snap_change {
	const char *path; /* relative to the root, without a leading slash */
	char kind;        /* 'A' added, 'M' modified, 'D' deleted */
	char type;        /* 'f' 'd' 'l' 'c' 'b' 'p' 's'; of a deleted entry what it was */
	uint64_t size;
};

/*
 * Visits the changes in an order that does not depend on the file system, beginning after
 * `cursor` (NULL: from the start), until visit returns false. Errors: RB_SNAP_LAYER.
 */
int snap_changes(struct arena *arena, const struct snap_spec *spec, const char *cursor,
		 bool (*visit)(const struct snap_change *change, void *context), void *context,
		 struct rb_err *err);

/*
 * Copies an upper directory, with everything a layer needs, to a new directory `name` below
 * to_dir. After snapshot_close(). -EWOULDBLOCK: another snapshot has it. -EFBIG: it takes more
 * than `most` bytes. After an error a part of the copy may be there.
 */
int snap_copy_upper(const char *upper, int to_dir, const char *name, uint64_t most);
