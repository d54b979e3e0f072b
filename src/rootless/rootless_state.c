/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher's state directory. Runs in the parent; the init inside removes it when the parent
 * was killed. It holds `lock`, `child_pid`, `api.sock` and, with a network of our own,
 * `resolv.conf`: RootlessKit's names, under which BuildKit and others look for them. Only these names are ever
 * removed from it: somebody may pass a directory of his own.
 */
#include <dirent.h>
#include <sys/file.h>
#include <sys/mount.h>
#include "base/env.h"
#include "base/file.h"
#include "rootless/rootless_private.h"

#define TEMPORARY_NAME "runbuild-rootless-"

static const char *temporary_parent(void)
{
	const char *runtime = env_get("XDG_RUNTIME_DIR");
	const char *tmp = env_get("TMPDIR");

	if (runtime && runtime[0] == '/' &&
	    sys_faccessat2(AT_FDCWD, runtime, W_OK, AT_EACCESS) == 0)
		return runtime;
	return tmp && tmp[0] == '/' ? tmp : "/tmp";
}

static int state_fails(int errnum, const char *path, struct rb_err *err)
{
	err_set(err, RB_STATE_DIR, errnum, "cannot make the state directory '%s'", path);
	err_fix(err, "--state-dir takes an absolute path in a directory of yours");
	return -errnum;
}

static void state_clear(int dir);

/*
 * One that both the launcher and its init, killed at once, have left: nobody holds its lock, or it
 * is empty. Who is just making it sees that it has gone, and makes another one.
 */
static void state_remove_stale(int parent, const char *name)
{
	CLEANUP_FD int dir = -1;
	CLEANUP_FD int lock = -1;
	struct stat st;

	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno != ENOTEMPTY)
		return;
	dir = sys_openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	lock = dir < 0 ? dir : sys_openat(dir, "lock", O_RDWR | O_NOFOLLOW, 0);
	if (lock < 0 || fstat(dir, &st) < 0 || st.st_uid != geteuid() ||
	    flock(lock, LOCK_EX | LOCK_NB) < 0)
		return;
	state_clear(dir);
	(void)unlinkat(dir, "lock", 0);
	(void)unlinkat(parent, name, AT_REMOVEDIR);
}

static void state_sweep(const char *parent)
{
	int fd = sys_openat(AT_FDCWD, parent, O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!stream) {
		fd_close(&fd);
		return;
	}
	while ((entry = readdir(stream)))
		if (str_starts(entry->d_name, TEMPORARY_NAME))
			state_remove_stale(dirfd(stream), entry->d_name);
	closedir(stream);
}

static int state_make_temporary(struct rootless *r, struct rb_err *err)
{
	const char *parent = temporary_parent();
	char *template = arena_printf(r->arena, "%s/" TEMPORARY_NAME "XXXXXX", parent);

	if (!template)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "state directory");
	state_sweep(parent);
	if (!mkdtemp(template)) {
		err_set(err, RB_STATE_DIR, errno, "cannot make a state directory in '%s'", parent);
		err_fix(err, "set TMPDIR or XDG_RUNTIME_DIR to a directory of yours, or give "
			     "--state-dir");
		return -EACCES;
	}
	r->state_dir = template;
	r->state_created = true;
	return 0;
}

/* mkdir -p; the directory itself is for its owner only. */
static int state_make(struct rootless *r, const char *path, struct rb_err *err)
{
	char *parent = arena_strdup(r->arena, path);

	if (!parent)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "state directory");
	for (char *at = parent + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		(void)mkdir(parent, 0755); /* what fails here fails below */
		*at = '/';
	}
	r->state_created = mkdir(path, 0700) == 0;
	if (!r->state_created && errno != EEXIST)
		return state_fails(errno, path, err);
	r->state_dir = path;
	return 0;
}

/* 1: as below. */
static int state_open_directory(struct rootless *r, struct rb_err *err)
{
	CLEANUP_FD int fd = sys_openat(AT_FDCWD, r->state_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
				       0);
	struct stat st;

	if (fd == -ENOENT)
		return 1;
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid()) {
		err_set(err, RB_STATE_DIR, fd < 0 ? -fd : 0, "the state directory '%s' is not ours",
			r->state_dir);
		err_fix(err, "name one that belongs to you, or one that does not exist yet");
		return -EPERM;
	}
	/* a shared lock on the directory keeps systemd-tmpfiles(8) from cleaning it up */
	(void)flock(fd, LOCK_SH | LOCK_NB);
	r->state_fd = fd_take(&fd);
	return 0;
}

/* 1: the directory was removed by its last user meanwhile. */
static int state_lock(struct rootless *r, struct rb_err *err)
{
	CLEANUP_FD int fd = sys_openat(r->state_fd, "lock",
				       O_RDWR | O_CREAT | O_NOFOLLOW | O_NOCTTY, 0600);
	struct stat st;

	if (fd == -ENOENT)
		return 1;
	if (fd < 0)
		return state_fails(-fd, r->state_dir, err);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		err_set(err, RB_STATE_DIR, 0,
			"the state directory '%s' is in use by another launcher", r->state_dir);
		err_fix(err, "name another one, or end the other launcher");
		return -EBUSY;
	}
	if (fstat(fd, &st) < 0 || st.st_nlink == 0)
		return 1;
	r->state_lock = fd_take(&fd);
	return 0;
}

/* NAME, ".NAME" of a helper, or ".NAME.PID", which file_replace_at() makes on the way to it. */
static bool state_file_is_ours(const char *name)
{
	static const char *const files[] = {"child_pid",   "resolv.conf", "hosts",    "netns",
					    "notify.sock", "s4nn.sock",   "api.sock", POOL_SOCKET};

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		size_t len = strlen(files[i]);

		if (str_eq(name, files[i]) ||
		    (name[0] == '.' && strncmp(name + 1, files[i], len) == 0 &&
		     (name[len + 1] == '.' || name[len + 1] == '\0')))
			return true;
	}
	return false;
}

static void state_clear(int dir)
{
	int list = sys_openat(dir, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = list < 0 ? NULL : fdopendir(list);
	struct dirent *entry;

	if (!stream) {
		fd_close(&list);
		return;
	}
	while ((entry = readdir(stream)))
		if (state_file_is_ours(entry->d_name))
			(void)unlinkat(dir, entry->d_name, 0);
	closedir(stream);
}

int rootless_state_open(struct rootless *r, struct rb_err *err)
{
	int rc = 1;

	for (int tries = 0; rc == 1 && tries < 16; tries++) {
		fd_close(&r->state_fd);
		rc = r->options->state_dir ? state_make(r, r->options->state_dir, err)
					   : state_make_temporary(r, err);
		if (rc == 0)
			rc = state_open_directory(r, err);
		if (rc == 0)
			rc = state_lock(r, err);
	}
	if (rc == 1)
		return state_fails(EAGAIN, r->state_dir, err);
	if (rc == 0)
		state_clear(r->state_fd);
	else
		fd_close(&r->state_fd);
	return rc;
}

int rootless_state_reopen(struct rootless *r, struct rb_err *err)
{
	int fd = sys_openat(AT_FDCWD, r->state_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	if (fd < 0)
		return state_fails(-fd, r->state_dir, err);
	fd_close(&r->state_fd);
	r->state_fd = fd;
	return 0;
}

/* In the init inside, where the file is a mount point; in the parent it is a plain file. */
static void rootless_netns_unmount(const struct rootless *r)
{
	char path[LIMIT_PATH_BYTES];
	int len = snprintf(path, sizeof(path), "%s/netns", r->state_dir);

	if (r->options->net.detached && len > 0 && (size_t)len < sizeof(path))
		(void)sys_umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
}

void rootless_state_remove(const struct rootless *r)
{
	if (r->state_fd < 0)
		return;
	rootless_netns_unmount(r);
	state_clear(r->state_fd);
	if (!r->state_created)
		return;
	(void)unlinkat(r->state_fd, "lock", 0);
	(void)rmdir(r->state_dir);
}
