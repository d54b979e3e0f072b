/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of snapshot/ share and nobody else needs. */
#include "base/sys.h"
#include "snapshot/snapshot.h"

/* A snapshot's directories, opened. upper and work are O_RDONLY, for flock(2). */
struct snap_layers {
	const struct snap_spec *spec;
	int *lower; /* O_PATH, without duplicates; borrowed numbers are closed by layers_close() */
	size_t n_lower;
	int upper, work;
};

/* snap_layers.c: opens, checks and locks. Errors: RB_SNAP_LAYER, RB_SNAP_UPPER, RB_SNAP_LOCKED. */
int layers_open(struct arena *arena, const struct snap_spec *spec, struct snap_layers *layers,
		struct rb_err *err);
void layers_close(struct snap_layers *layers);

/* snap_native.c. Errors: RB_SNAP_MOUNT. */
int native_mount(const struct snap_layers *layers, int *ret_mount, struct rb_err *err);
/* As above for kernels before 6.5, whose file system contexts have no "lowerdir+". */
int native_mount_string(const struct snap_layers *layers, int *ret_mount, struct rb_err *err);

/* snap_fuse.c: fills mount, daemon, output and prober. Errors: RB_SNAP_FUSE, RB_SNAP_DAEMON. */
int fuse_begin(struct arena *arena, const struct snap_layers *layers, bool by_path,
	       struct snapshot *snapshot, struct rb_err *err);
/* Ends the daemon, at the latest after two seconds. Its wait status goes to *ret_info. */
void fuse_end(struct snapshot *snapshot, siginfo_t *ret_info);
/* The last line the daemon has said; "" for none. Belongs to the snapshot. */
const char *fuse_words(struct snapshot *snapshot);
/* Whether a daemon that ended so did because its mount was gone, as it must be after a step. */
bool fuse_ended_with_mount(struct snapshot *snapshot, const siginfo_t *info);

/*
 * snap_mark.c: which driver writes an upper is kept in an attribute of its work directory.
 * mark_check() makes the upper fit for the driver: what fuse-overlayfs has written is converted
 * for native. Errors: RB_SNAP_MIXED.
 */
int mark_check(const struct snap_layers *layers, enum snap_driver driver, struct rb_err *err);
int mark_convert(int upper, struct rb_err *err);
void mark_set(int upper, int work, const char *driver);
