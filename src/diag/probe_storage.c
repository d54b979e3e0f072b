/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Overlays in the directory where snapshots would be. The parent makes and removes a directory of
 * its own there; the trials mount in their own mount namespaces, inside a pid namespace, so a
 * daemon of theirs dies with them.
 */
#include <dirent.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include "base/env.h"
#include "base/file.h"
#include "diag/doctor_private.h"
#include "host/helper.h"

#define SCRATCH_NAME ".runbuild-doctor."

enum { SCRATCH_DEPTH = 16, SCRATCH_TRIES = 64 };

static const char *default_directory(const struct doctor *doctor)
{
	const char *data = env_get("XDG_DATA_HOME");
	const char *home = env_get("HOME");

	if (data && data[0] == '/')
		return data;
	if (!home || home[0] != '/')
		home = doctor->options->home;
	return home ? arena_printf(doctor->arena, "%s/.local/share", home) : "/tmp";
}

/* The directory, or the nearest one above it that exists: nothing is made that would stay. */
static int open_nearest(struct doctor *doctor, char *path)
{
	for (;;) {
		int fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
		char *slash = strrchr(path, '/');

		if (fd != -ENOENT || !slash || slash == path) {
			doctor->directory = path;
			return fd;
		}
		*slash = '\0';
	}
}

void probe_remove(struct doctor *doctor, struct finding *finding)
{
	(void)file_remove_tree_at(doctor->parent, doctor->scratch_name, SCRATCH_DEPTH);
	found_ok(finding, "removed");
}

static void scratch_remove(struct doctor *doctor)
{
	static const struct probe remove = {"remove", CLONE_NEWUSER, FINDING_ERROR, probe_remove};
	bool interrupted = doctor->interrupted;
	struct finding finding;

	if (file_remove_tree_at(doctor->parent, doctor->scratch_name, SCRATCH_DEPTH) == 0)
		return;
	/* an overlay that was killed leaves directories with mode 000: overlayfs.rst */
	doctor->interrupted = false;
	trial_run(doctor, &remove, &finding);
	doctor->interrupted |= interrupted;
}

static int scratch_open(const struct doctor *doctor)
{
	return sys_openat(doctor->parent, doctor->scratch_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
			  0);
}

/*
 * The doctor and its trials hold the lock of theirs: what a killed one has left can be locked. 1: it
 * is ours, 0: somebody else's, -errno: no locks are to be had on this file system.
 */
static int scratch_lock(int fd)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid())
		return 0;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 0 : -errno;
	return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

static void remove_stale(struct doctor *doctor)
{
	int copy = sys_openat(doctor->parent, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	if (!stream) {
		fd_close(&copy);
		return;
	}
	while ((entry = readdir(stream))) {
		CLEANUP_FD int scratch = -1;
		size_t size = strlen(entry->d_name) + 1;

		if (!str_starts(entry->d_name, SCRATCH_NAME) || size > sizeof(doctor->scratch_name))
			continue;
		memcpy(doctor->scratch_name, entry->d_name, size);
		scratch = scratch_open(doctor);
		if (scratch_lock(scratch) == 1)
			scratch_remove(doctor);
	}
	closedir(stream);
}

/* 0, or why there is none. */
static int scratch_make(struct doctor *doctor)
{
	int r = -EEXIST;

	for (int i = 0; i < SCRATCH_TRIES && r == -EEXIST; i++) {
		snprintf(doctor->scratch_name, sizeof(doctor->scratch_name), SCRATCH_NAME "%d.%d",
			 (int)getpid(), i);
		/* EEXIST: of the same number in another pid namespace */
		r = mkdirat(doctor->parent, doctor->scratch_name, 0700) < 0 ? -errno : 0;
		if (r < 0)
			continue;
		r = doctor->scratch = scratch_open(doctor);
		if (r < 0 || scratch_lock(doctor->scratch) != 0)
			break;
		/* between the two calls another doctor took it for a stale one */
		fd_close(&doctor->scratch);
		r = -EEXIST;
	}
	return r < 0 ? r : 0;
}

void storage_open(struct doctor *doctor)
{
	const char *given = doctor->options->directory;
	char *path = arena_strdup(doctor->arena, given ? given : default_directory(doctor));
	int r = -ENOMEM;

	doctor->directory = given ? given : "";
	if (path && given)
		r = doctor->parent = sys_openat(AT_FDCWD, given, O_RDONLY | O_DIRECTORY, 0);
	else if (path)
		r = doctor->parent = open_nearest(doctor, path);
	if (r >= 0) {
		remove_stale(doctor);
		r = scratch_make(doctor);
	}
	doctor->scratch_errno = -r;
}

void storage_close(struct doctor *doctor)
{
	if (doctor->scratch >= 0)
		scratch_remove(doctor);
	fd_close(&doctor->scratch);
	fd_close(&doctor->parent);
}

static const char *file_system_name(int fd)
{
	static const struct {
		unsigned long magic;
		const char *name;
	} known[] = {
		{OVERLAYFS_SUPER_MAGIC, "an overlay"},
		{NFS_SUPER_MAGIC, "NFS"},
		{FUSE_SUPER_MAGIC, "a FUSE file system"},
	};
	struct statfs fs;

	for (size_t i = 0; i < ARRAY_LEN(known) && fstatfs(fd, &fs) == 0; i++)
		if ((unsigned long)fs.f_type == known[i].magic)
			return known[i].name;
	return NULL;
}

static void try_overlay(struct doctor *doctor, bool fuse, struct finding *finding)
{
	/* opened again: an overlay is made of mounts of its own namespace only */
	const char *path = arena_printf(doctor->arena, "%s/%s", doctor->directory,
					doctor->scratch_name);
	CLEANUP_FD int scratch = doctor->scratch < 0 || !path
					 ? -doctor->scratch_errno
					 : sys_openat(AT_FDCWD, path,
						      O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	const char *kind;

	if (scratch < 0) {
		found(finding, FINDING_ERROR, RB_SNAP_DRIVER, -scratch, "cannot write in '%.200s'",
		      doctor->directory);
		err_fix(&finding->err, "name a directory of yours: runbuild doctor DIR");
		return;
	}
	if (doctor->options->tools->try_overlay(doctor->arena, scratch, fuse, &finding->err) == 0) {
		found_ok(finding, "works in %.200s", doctor->directory);
		return;
	}
	finding->status = FINDING_ERROR;
	kind = file_system_name(scratch);
	if (kind && !fuse) {
		err_context(&finding->err, "'%.200s' is on %s", doctor->directory, kind);
		err_fix(&finding->err, "keep the snapshots in a directory on ext4, xfs, btrfs or "
				       "tmpfs (a volume, in a container)");
	}
}

void probe_overlay(struct doctor *doctor, struct finding *finding)
{
	try_overlay(doctor, false, finding);
}

void probe_dev_fuse(struct doctor *doctor UNUSED, struct finding *finding)
{
	CLEANUP_FD int fd = sys_openat(AT_FDCWD, "/dev/fuse", O_RDWR, 0);
	struct stat st;

	if (fd >= 0) {
		found_ok(finding, "can be opened");
		return;
	}
	found(finding, FINDING_ERROR, RB_SNAP_FUSE, -fd, "cannot open /dev/fuse");
	if (fd == -EACCES && stat("/dev/fuse", &st) == 0)
		err_context(&finding->err, "mode %04o, owner %u", st.st_mode & 07777, st.st_uid);
	err_fix(&finding->err, "%s",
		fd == -EACCES || fd == -EPERM
			? "sudo chmod 666 /dev/fuse (for good: a udev rule)"
			: "sudo modprobe fuse, or docker run --device /dev/fuse");
}

void probe_fuse(struct doctor *doctor, struct finding *finding)
{
	if (helper_find(doctor->arena, "fuse-overlayfs")) {
		try_overlay(doctor, true, finding);
		return;
	}
	found(finding, FINDING_ERROR, RB_SNAP_FUSE, 0, "fuse-overlayfs is not installed");
	err_fix(&finding->err, "sudo apt install fuse-overlayfs (only needed where the kernel's "
			       "overlay does not work)");
}
