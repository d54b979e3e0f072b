/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which driver works here, by trying. A mount alone says nothing: without "userxattr", or on a
 * tmpfs before Linux 6.6, it succeeds and removing a lower directory fails later. So the trial
 * removes a directory and makes it again, which needs both kinds of marks, and looks whether the
 * old content is gone. The result is kept per file system, kernel and boot.
 */
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include "base/file.h"
#include "snapshot/snap_private.h"

static const char *const probe_directories[] = {"l", "l/d", "u", "w"};
enum { PROBE_DEPTH = 8 };

struct probe {
	int dir;       /* of our own, on the file system of the upper directory */
	char name[48]; /* in its parent */
	char path[32];
};

static int probe_mount(struct arena *arena, const struct probe *probe, enum snap_driver driver,
		       struct snapshot *snapshot, struct rb_err *err)
{
	const char *lower = arena_printf(arena, "%s/l", probe->path);
	struct snap_spec spec = {
		.lower = &lower,
		.n_lower = 1,
		.upper = arena_printf(arena, "%s/u", probe->path),
		.work = arena_printf(arena, "%s/w", probe->path),
		.driver = driver,
		.cache_dir = -1,
	};

	if (!lower || !spec.upper || !spec.work)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "probe");
	return snapshot_open(arena, &spec, snapshot, err);
}

static int probe_use(int mount, const char **ret_what)
{
	struct stat st;

	*ret_what = "remove a file";
	if (unlinkat(mount, "d/f", 0) < 0)
		return -errno;
	*ret_what = "remove a lower directory";
	if (unlinkat(mount, "d", AT_REMOVEDIR) < 0)
		return -errno;
	*ret_what = "make it again";
	if (mkdirat(mount, "d", 0755) < 0)
		return -errno;
	*ret_what = "hide its old content";
	return fstatat(mount, "d/f", &st, AT_SYMLINK_NOFOLLOW) == 0 ? -EEXIST : 0;
}

static int probe_prepare(struct probe *probe, int parent)
{
	CLEANUP_FD int file = -1;

	snprintf(probe->name, sizeof(probe->name), ".runbuild-probe.%d", (int)getpid());
	if (mkdirat(parent, probe->name, 0700) < 0)
		return -errno;
	probe->dir = sys_openat(parent, probe->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (probe->dir < 0)
		return probe->dir;
	snprintf(probe->path, sizeof(probe->path), "/proc/self/fd/%d", probe->dir);
	for (size_t i = 0; i < ARRAY_LEN(probe_directories); i++)
		if (mkdirat(probe->dir, probe_directories[i], 0755) < 0)
			return -errno;
	file = sys_openat(probe->dir, "l/d/f", O_WRONLY | O_CREAT | O_EXCL, 0644);
	return file < 0 ? file : 0;
}

int snap_try(struct arena *arena, int parent, enum snap_driver driver, struct rb_err *err)
{
	struct probe probe = {.dir = -1};
	struct snapshot snapshot = SNAPSHOT_NONE;
	const char *what = "";
	int r = probe_prepare(&probe, parent);

	if (r < 0)
		err_set(err, RB_SNAP_DRIVER, -r, "cannot try it beside the upper directory");
	else if ((r = probe_mount(arena, &probe, driver, &snapshot, err)) == 0 &&
		 (r = probe_use(snapshot.mount, &what)) < 0)
		err_set(err, RB_SNAP_DRIVER, -r, "it mounts but cannot %s", what);
	(void)snapshot_close(&snapshot, NULL);
	fd_close(&probe.dir);
	(void)file_remove_tree_at(parent, probe.name, PROBE_DEPTH);
	return r;
}

/*
 * What the result depends on: where, which kernel, since when it runs, which fuse-overlayfs. The
 * numbers of devices that are none (tmpfs, overlay) are given again after an unmount, so the file
 * system's type and id belong to it; a FUSE has no id of its own, and what is found there is not
 * kept.
 */
static int probe_key(int work, char *name, size_t name_size, char *key, size_t key_size)
{
	struct utsname uts;
	struct stat st;
	struct stat fuse = {0};
	struct statfs fs;
	uint64_t id;
	char boot[40];
	ssize_t len = file_read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", boot,
				      sizeof(boot));

	if (len < 0 || uname(&uts) < 0 || fstat(work, &st) < 0 || fstatfs(work, &fs) < 0 ||
	    (unsigned long)fs.f_type == FUSE_SUPER_MAGIC)
		return -EIO;
	boot[strcspn(boot, "\n")] = '\0';
	(void)fstatat(AT_FDCWD, "/usr/bin/fuse-overlayfs", &fuse, 0);
	snprintf(name, name_size, "@snapshot-%u-%u", major(st.st_dev), minor(st.st_dev));
	memcpy(&id, &fs.f_fsid, sizeof(id)); /* opaque: statfs(2) */
	snprintf(key, key_size, PACKAGE_VERSION " %s %s %" PRId64 " %lx:%" PRIx64, uts.release,
		 boot, (int64_t)fuse.st_mtime, (unsigned long)fs.f_type, id);
	return 0;
}

/* "KEY\nDRIVER\nWHY" */
static int probe_load(int cache_dir, const char *name, const char *key,
		      enum snap_driver *ret_driver, char *why, size_t why_size)
{
	char text[1024];
	size_t key_len = strlen(key);
	char *driver;
	char *rest;

	if (cache_dir < 0 || file_read_small(cache_dir, name, text, sizeof(text)) < 0)
		return -ENOENT;
	if (!str_starts(text, key) || text[key_len] != '\n')
		return -ENOENT;
	driver = text + key_len + 1;
	rest = strchr(driver, '\n');
	if (!rest)
		return -ENOENT;
	*rest++ = '\0';
	snprintf(why, why_size, "%s", rest);
	return snap_driver_parse(driver, ret_driver);
}

static void probe_store(int cache_dir, const char *name, const char *key, enum snap_driver driver,
			const char *why)
{
	char text[1024];
	int len = snprintf(text, sizeof(text), "%s\n%s\n%s", key, snap_driver_name(driver), why);

	/* without a cache the next one tries again */
	if (cache_dir >= 0 && len < (int)sizeof(text))
		(void)file_replace_at(cache_dir, name, text, (size_t)len, 0600);
}

static int probe_run(struct arena *arena, int work, enum snap_driver *ret_driver, char *why,
		     size_t why_size, struct rb_err *err)
{
	static const enum snap_driver order[] = {SNAP_NATIVE, SNAP_FUSE, SNAP_FUSE_PATH};
	struct rb_err reasons[ARRAY_LEN(order)] = {0};

	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		if (snap_try(arena, work, order[i], &reasons[i]) < 0)
			continue;
		*ret_driver = order[i];
		if (i == 0)
			snprintf(why, why_size, "native: the kernel's overlay works here");
		else
			snprintf(why, why_size,
				 "%s, which is 2 to 10 times slower with many small files, because "
				 "native: %s",
				 snap_driver_name(order[i]), reasons[0].what);
		return 0;
	}
	err_set(err, RB_SNAP_DRIVER, 0,
		"no snapshot driver works here; native: %.180s; fuse: %.180s", reasons[0].what,
		reasons[1].what);
	err_fix(err, "use a kernel from 5.11 on with the upper directory on ext4, xfs, btrfs or "
		     "tmpfs (6.6), or install fuse-overlayfs and open /dev/fuse");
	return -ENOTSUP;
}

int snap_probe(struct arena *arena, int work, int cache_dir, enum snap_driver *ret_driver,
	       char *why, size_t why_size, struct rb_err *err)
{
	char name[64];
	char key[256];
	bool cached = probe_key(work, name, sizeof(name), key, sizeof(key)) == 0;
	int r;

	if (cached && probe_load(cache_dir, name, key, ret_driver, why, why_size) == 0)
		return 0;
	r = probe_run(arena, work, ret_driver, why, why_size, err);
	if (r == 0 && cached)
		probe_store(cache_dir, name, key, *ret_driver, why);
	return r;
}
