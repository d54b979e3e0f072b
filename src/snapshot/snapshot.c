/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot's life: open and lock the layers, choose the driver, mount, wait for a daemon, and
 * at the end leave the upper directory in a state that every driver reads. Runs in the process
 * that launches the step, with CAP_SYS_ADMIN in its user namespace.
 */
#include <sys/file.h>
#include <unistd.h>
#include "base/file.h"
#include "snapshot/snap_private.h"

static const char *const driver_names[] = {
	[SNAP_AUTO] = "auto",           [SNAP_NATIVE] = "native", [SNAP_FUSE] = "fuse",
	[SNAP_FUSE_PATH] = "fuse-path", [SNAP_BIND] = "bind",
};

const char *snap_driver_name(enum snap_driver driver)
{
	return driver_names[driver];
}

int snap_driver_parse(const char *name, enum snap_driver *ret_driver)
{
	for (size_t i = 0; i < ARRAY_LEN(driver_names); i++) {
		if (str_eq(name, driver_names[i])) {
			*ret_driver = (enum snap_driver)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* One directory as it is: the upper one, or a single lower one read-only. */
static int bind_mount(const struct snap_layers *layers, int *ret_mount, struct rb_err *err)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
	int from = layers->upper >= 0 ? layers->upper : layers->lower[0];
	CLEANUP_FD int mount = sys_open_tree(from, "",
					     AT_EMPTY_PATH | OPEN_TREE_CLONE | AT_RECURSIVE);
	int r = mount < 0 ? mount : 0;

	if (r == 0 && layers->upper < 0)
		r = sys_mount_setattr(mount, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr);
	if (r < 0)
		return err_set(err, RB_SNAP_MOUNT, -r, "cannot bind the directory");
	*ret_mount = fd_take(&mount);
	return 0;
}

/* Nothing to stack means nothing to choose. */
static int choose_driver(struct arena *arena, const struct snap_layers *layers,
			 struct snapshot *snapshot, struct rb_err *err)
{
	const struct snap_spec *spec = layers->spec;
	bool single = layers->n_lower + (layers->upper >= 0) == 1;

	if (spec->driver == SNAP_BIND && !single) {
		err_set(err, RB_SNAP_DRIVER, 0, "the driver bind takes one directory, not %zu",
			layers->n_lower + (layers->upper >= 0));
		err_fix(err, "leave the driver to auto");
		return -EINVAL;
	}
	if (single) {
		snapshot->driver = SNAP_BIND;
		snprintf(snapshot->why, sizeof(snapshot->why), "bind: there is one directory only");
		return 0;
	}
	if (layers->upper >= 0 && layers->work < 0) {
		err_set(err, RB_SNAP_UPPER, 0, "an upper directory needs a work directory");
		err_fix(err, "name an empty directory on the same file system");
		return -EINVAL;
	}
	snapshot->driver = spec->driver;
	if (spec->driver != SNAP_AUTO) {
		snprintf(snapshot->why, sizeof(snapshot->why), "%s: asked for",
			 snap_driver_name(spec->driver));
		return 0;
	}
	if (layers->work >= 0)
		return snap_probe(arena, layers->work, spec->cache_dir, &snapshot->driver,
				  snapshot->why, sizeof(snapshot->why), err);
	/* read-only: nothing can be removed, so the mount itself is the trial */
	snapshot->driver = SNAP_NATIVE;
	snprintf(snapshot->why, sizeof(snapshot->why), "native: read-only");
	return 0;
}

static int mount_layers(struct arena *arena, const struct snap_layers *layers,
			struct snapshot *snapshot, struct rb_err *err)
{
	bool free_choice = layers->spec->driver == SNAP_AUTO && layers->upper < 0;
	int r = mark_check(layers, snapshot->driver, err);

	if (r < 0)
		return r;
	switch (snapshot->driver) {
	case SNAP_BIND: return bind_mount(layers, &snapshot->mount, err);
	case SNAP_NATIVE: r = native_mount(layers, &snapshot->mount, err); break;
	default:
		return fuse_begin(arena, layers, snapshot->driver == SNAP_FUSE_PATH, snapshot, err);
	}
	if (r < 0 && free_choice) {
		snapshot->driver = SNAP_FUSE;
		snprintf(snapshot->why, sizeof(snapshot->why), "fuse, because native: %.150s",
			 err ? err->what : "it does not mount");
		return fuse_begin(arena, layers, false, snapshot, err);
	}
	return r;
}

/* overlayfs.rst, "Volatile mount": the mark that a mount which did not end well leaves behind. */
static int check_volatile(const struct snap_layers *layers, struct rb_err *err)
{
	struct stat st;

	if (layers->work < 0 ||
	    fstatat(layers->work, "work/incompat/volatile", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	err_set(err, RB_SNAP_UPPER, 0,
		"the upper directory '%s' was in use with \"volatile\" and not left cleanly: files "
		"may be missing or cut off",
		layers->spec->upper);
	err_fix(err, "throw upper and work away and begin again");
	return -EUCLEAN;
}

int snapshot_begin(struct arena *arena, const struct snap_spec *spec, struct snapshot *ret_snapshot,
		   struct rb_err *err)
{
	struct snapshot snapshot = SNAPSHOT_NONE;
	struct snap_layers layers;
	int r = layers_open(arena, spec, &layers, err);

	if (r < 0)
		return r;
	snapshot.throw_away = spec->throw_away;
	r = check_volatile(&layers, err);
	if (r == 0)
		r = choose_driver(arena, &layers, &snapshot, err);
	if (r == 0)
		r = mount_layers(arena, &layers, &snapshot, err);
	snapshot.upper = fd_take(&layers.upper);
	snapshot.work = fd_take(&layers.work);
	layers_close(&layers);
	if (r < 0)
		(void)snapshot_close(&snapshot, NULL);
	else
		*ret_snapshot = snapshot;
	return r;
}

/* What a daemon said, or how it ended, before it ever answered. */
static int daemon_failed(struct snapshot *snapshot, const char *what, struct rb_err *err)
{
	const char *words;

	if (sys_now_ms() >= snapshot->deadline_ms && snapshot->daemon >= 0)
		(void)sys_pidfd_send_signal(snapshot->daemon, SIGKILL);
	words = fuse_words(snapshot);
	err_set(err, RB_SNAP_DAEMON, 0, "fuse-overlayfs %s%s%s", what, words[0] ? ": " : "", words);
	err_fix(err, "run it by hand with the same directories to see why");
	(void)snapshot_close(snapshot, NULL);
	return -EIO;
}

int snapshot_advance(struct snapshot *snapshot, struct rb_err *err)
{
	siginfo_t info = {0};

	if (snapshot->prober < 0)
		return 1;
	if (sys_wait_pidfd(snapshot->prober, &info, WEXITED | WNOHANG) == 0 && info.si_pid) {
		fd_close(&snapshot->prober);
		if (info.si_code == CLD_EXITED && info.si_status == 0)
			return 1;
		return daemon_failed(snapshot, "ended before it served anything", err);
	}
	if (sys_now_ms() >= snapshot->deadline_ms)
		return daemon_failed(snapshot, "does not answer", err);
	return 0;
}

size_t snapshot_poll(const struct snapshot *snapshot, struct pollfd fds[2])
{
	size_t n = 0;

	if (snapshot->prober >= 0)
		fds[n++] = (struct pollfd){.fd = snapshot->prober, .events = POLLIN};
	else if (snapshot->daemon >= 0)
		fds[n++] = (struct pollfd){.fd = snapshot->daemon, .events = POLLIN};
	return n;
}

int snapshot_open(struct arena *arena, const struct snap_spec *spec, struct snapshot *ret_snapshot,
		  struct rb_err *err)
{
	int r = snapshot_begin(arena, spec, ret_snapshot, err);

	while (r == 0 && (r = snapshot_advance(ret_snapshot, err)) == 0) {
		struct pollfd fds[2];
		size_t n = snapshot_poll(ret_snapshot, fds);
		int64_t left = ret_snapshot->deadline_ms - sys_now_ms();

		(void)poll(fds, n, left > 0 ? (int)left : 0);
	}
	return r < 0 ? r : 0;
}

static void daemon_text(struct snapshot *snapshot, const siginfo_t *info, struct rb_err *err)
{
	const char *words = fuse_words(snapshot);

	if (info->si_code == CLD_EXITED)
		err_set(err, RB_SNAP_DAEMON, 0,
			"the snapshot's daemon fuse-overlayfs ended with status %d while the step "
			"ran%s%s",
			info->si_status, words[0] ? ": " : "", words);
	else
		err_set(err, RB_SNAP_DAEMON, 0,
			"the snapshot's daemon fuse-overlayfs was killed by signal %d (%s) while the "
			"step ran%s%s",
			info->si_status, sigabbrev_np(info->si_status), words[0] ? ": " : "",
			words);
	err_fix(err, "what the step says about its files follows from that; run it again, with the "
		     "driver native if the kernel allows it");
}

bool snapshot_is_dead(struct snapshot *snapshot, struct rb_err *err)
{
	siginfo_t info = {0};

	if (snapshot->daemon < 0 ||
	    sys_wait_pidfd(snapshot->daemon, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
	    !info.si_pid || fuse_ended_with_mount(snapshot, &info))
		return false;
	daemon_text(snapshot, &info, err);
	return true;
}

/* Nobody has the mount any more, so what the kernel marked as unfinished is finished. */
static void clear_volatile(const struct snapshot *snapshot)
{
	if (snapshot->throw_away && snapshot->work >= 0 && snapshot->driver == SNAP_NATIVE)
		(void)file_remove_tree_at(snapshot->work, "work/incompat", 4);
}

/* Not by closing alone: a guard may hold the same description for a moment longer. flock(2) */
static void unlock(int *fd)
{
	if (*fd >= 0)
		(void)flock(*fd, LOCK_UN);
	fd_close(fd);
}

int snapshot_close(struct snapshot *snapshot, struct rb_err *err)
{
	bool fuse = snapshot->daemon >= 0;
	siginfo_t info = {.si_code = CLD_EXITED};
	int r = 0;

	fuse_end(snapshot, &info);
	if (fuse && !fuse_ended_with_mount(snapshot, &info)) {
		daemon_text(snapshot, &info, err);
		r = -EIO;
	} else if (fuse && snapshot->upper >= 0 && snapshot->work >= 0) {
		r = mark_convert(snapshot->upper, err);
		if (r == 0)
			mark_set(snapshot->upper, snapshot->work, "native");
		r = 0; /* what has no counterpart stays for the driver fuse, and the note says so */
	}
	clear_volatile(snapshot);
	fd_close(&snapshot->output);
	unlock(&snapshot->upper);
	unlock(&snapshot->work);
	return r;
}
