/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Mounts that exist before a container is born: snapshots, and descriptors that a peer sent. The
 * plan refers to them by number (spec.root_handed, spec_mount.handed), the launcher passes them
 * on, and this list waits for their daemons and releases them at the end.
 */
#include "snapshot/snapshot.h"
#include "spec/spec.h"

struct handed {
	int *mounts; /* by number - 1; -1 once they are the child's */
	size_t n_mounts, size;
	struct snapshot *snapshots;
	uint32_t *snapshot_number; /* which mount each one is */
	size_t n_snapshots;
	int held[LIMIT_HELD_FDS]; /* locks, borrowed from the snapshots */
	size_t n_held;
	bool names_only; /* mounts are numbered and not made */
};

/* Room for at most `size` mounts. */
int handed_init(struct arena *arena, struct handed *handed, size_t size, struct rb_err *err);

/* Takes a detached mount over; *ret_number is what the spec calls it. */
void handed_add(struct handed *handed, int *mount, uint32_t *ret_number);

/* Begins a snapshot; it may not be ready yet. Errors: RB_SNAP_*. */
int handed_add_snapshot(struct arena *arena, struct handed *handed, const struct snap_spec *spec,
			uint32_t *ret_number, struct rb_err *err);

/*
 * The snapshots of a spec's mounts of type overlay and fuse-overlayfs. Returns in *ret_spec the
 * spec itself when there are none, else a copy that refers to the mounts.
 */
int handed_add_from_spec(struct arena *arena, struct handed *handed, const struct spec *spec,
			 int cache_dir, bool outlives_caller, const struct spec **ret_spec,
			 struct rb_err *err);

/*
 * The same for who reads the plan and runs nothing: nothing is opened, and *ret_names has a text for
 * each of the mounts, and NULL at its end.
 */
int handed_name_from_spec(struct arena *arena, struct handed *handed, const struct spec *spec,
			  const struct spec **ret_spec, char ***ret_names, struct rb_err *err);

/* 1: everything is ready, 0: call again when a descriptor of handed_poll() is readable. */
int handed_advance(struct handed *handed, struct rb_err *err);

/*
 * What to wait for: daemons' first answers, later their deaths. Returns the number of entries
 * written to fds (room for LIMIT_SNAPSHOTS); *deadline_ms (CLOCK_MONOTONIC) is lowered to the first
 * deadline.
 */
size_t handed_poll(const struct handed *handed, struct pollfd *fds, int64_t *deadline_ms);

/* Waits until everything is ready. */
int handed_wait(struct handed *handed, struct rb_err *err);

/* After the clone: our descriptors would keep the mounts alive. */
void handed_attached(struct handed *handed);

/* Has a daemon died under a running container? */
bool handed_is_dead(struct handed *handed, struct rb_err *err);

/* Releases everything; an error when a daemon had died (RB_SNAP_DAEMON). */
int handed_close(struct handed *handed, struct rb_err *err);

/*
 * For a container that goes on without us. Have its snapshots locks that no daemon keeps? And in
 * the process that kept them, at the end: releases those.
 */
bool handed_needs_holder(const struct handed *handed);
void handed_release(void *handed);
