/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state root and the directories in it. Runs in the parent, in the monitor (removal) and in
 * `state`, `kill`, `delete`, with the caller's privilege. Another local user must not be able to
 * plant or read anything here: every directory is opened with O_NOFOLLOW and its owner checked on
 * the descriptor.
 */
#include <dirent.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include "base/env.h"
#include "base/file.h"
#include "base/num.h"
#include "base/sys.h"
#include "state/state.h"

/* How often a directory may be removed under a `run`, and how long it may be locked by a reader. */
enum { CLAIM_TRIES = 8, CLAIM_WAIT_MS = 20 };

static const char *state_root_default(struct arena *arena)
{
	const char *runtime = env_get("XDG_RUNTIME_DIR");

	if (runtime && runtime[0] == '/')
		return arena_printf(arena, "%s/runbuild", runtime);
	/* root of the host, or of a user namespace that left /run to its root */
	if (geteuid() == 0 && sys_faccessat2(AT_FDCWD, "/run", W_OK, AT_EACCESS) == 0)
		return "/run/runbuild";
	return arena_printf(arena, "/tmp/runbuild-%u", geteuid());
}

/* mkdir -p with mode 0700 for what is missing. */
static int make_directories(const char *path)
{
	char part[LIMIT_PATH_BYTES];
	size_t len = strlen(path);

	if (len >= sizeof(part))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

int state_root_open(struct arena *arena, const char *path, bool create, struct state_root *ret_root,
		    struct rb_err *err)
{
	CLEANUP_FD int fd = -1;
	struct stat st;

	if (!path)
		path = state_root_default(arena);
	if (!path)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "state root");
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd == -ENOENT && create) {
		int r = make_directories(path);

		if (r < 0) {
			err_set(err, RB_STATE_ROOT, -r, "cannot create the state directory '%s'",
				path);
			err_fix(err, "set XDG_RUNTIME_DIR or --root to a directory of yours");
			return r;
		}
		fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	}
	if (fd == -ENOENT && !create) {
		*ret_root = (struct state_root){.fd = -1, .path = path};
		return 0;
	}
	if (fd < 0) {
		err_set(err, RB_STATE_ROOT, fd == -ELOOP ? ENOTDIR : -fd,
			"cannot open the state directory '%s'", path);
		err_fix(err, "set XDG_RUNTIME_DIR or --root to a directory of yours");
		return fd;
	}
	if (fstat(fd, &st) < 0)
		return err_set(err, RB_STATE_ROOT, errno, "cannot stat '%s'", path);
	if (st.st_uid != geteuid() || (st.st_mode & 022)) {
		err_set(err, RB_STATE_ROOT, 0, "the state directory '%s' %s", path,
			st.st_uid != geteuid() ? "belongs to another user"
					       : "is writable by other users");
		err_fix(err,
			st.st_uid != geteuid()
				? "set XDG_RUNTIME_DIR or --root to a directory of yours"
				: "chmod 700 '%s'",
			path);
		return -EPERM;
	}
	*ret_root = (struct state_root){.fd = fd_take(&fd), .path = path};
	return 0;
}

void state_root_close(struct state_root *root)
{
	fd_close(&root->fd);
}

int state_id_check(const char *id, struct rb_err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_+.-";
	size_t len = strlen(id);

	if (len > 0 && len <= LIMIT_ID_BYTES && strspn(id, allowed) == len && !str_eq(id, ".") &&
	    !str_eq(id, ".."))
		return 0;
	err_set(err, RB_BAD_ID, 0, "invalid container ID format: \"%.80s\"", id);
	err_fix(err, "use 1 to 255 letters, digits, '_', '+', '.' or '-'");
	return -EINVAL;
}

static void pause_ms(long ms)
{
	struct timespec pause = {.tv_nsec = ms * 1000000};

	(void)nanosleep(&pause, NULL);
}

int container_lock(const struct container *container, int timeout_ms)
{
	/* flock(2) has no timeout and signals nobody: ask every 2 ms */
	for (int waited = 0;; waited += 2) {
		if (flock(container->dir, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (waited >= timeout_ms)
			return -ETIMEDOUT;
		pause_ms(2);
	}
}

bool container_linked(const struct container *container)
{
	struct stat st;

	return fstat(container->dir, &st) == 0 && st.st_nlink > 0;
}

/*
 * Does the directory, whose lock we hold, belong to nobody? Then the `run` that made it was
 * killed: before it had written anything, or together with its monitor.
 */
static bool container_abandoned(struct container *container)
{
	struct stat st;
	int r = container_reload(container);

	if (r == -ENOENT)
		/* with a record, the link was damaged later, and the process may live */
		return fstatat(container->dir, "state.json", &st, AT_SYMLINK_NOFOLLOW) < 0 &&
		       errno == ENOENT &&
		       fstatat(container->dir, "setup.json", &st, AT_SYMLINK_NOFOLLOW) < 0 &&
		       errno == ENOENT;
	return r == 0 && (container->flags & STATE_FOREGROUND) &&
	       container_init_open(container) == -ESRCH;
}

/*
 * The resctrl group that was made for the container: processes that are still in it fall back to
 * the default one. The link may be anything on a damaged disk: only that file system is touched.
 */
static void resctrl_remove(int dir)
{
	char path[LIMIT_PATH_BYTES];
	struct statfs fs;
	ssize_t len = readlinkat(dir, "resctrl", path, sizeof(path));

	if (len <= 0 || (size_t)len == sizeof(path))
		return;
	path[len] = '\0';
	if (path[0] == '/' && statfs(path, &fs) == 0 && fs.f_type == RDTGROUP_SUPER_MAGIC)
		(void)rmdir(path);
}

static int directory_empty(int dir, unsigned depth);

/*
 * Opens, locks and empties the directory of ID if nobody owns it. -EEXIST: somebody does; -EAGAIN:
 * it was removed meanwhile.
 */
static int container_take(const struct state_root *root, const char *id, struct container *take)
{
	int r;

	take->dir = sys_openat(root->fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (take->dir < 0)
		return take->dir == -ENOENT ? -EAGAIN : take->dir;
	/* not at once: a `kill` that asks whether it is locked holds it for an instant */
	r = container_lock(take, CLAIM_WAIT_MS);
	if (r < 0)
		return r == -ETIMEDOUT ? -EEXIST : r;
	if (!container_linked(take))
		return -EAGAIN;
	/* even if we made it: whoever had the lock first may have filled it */
	if (!container_abandoned(take))
		return -EEXIST;
	resctrl_remove(take->dir);
	return directory_empty(take->dir, 0);
}

static int container_claim(const struct state_root *root, const char *id, struct container *claim)
{
	bool made = mkdirat(root->fd, id, 0700) == 0;
	int r = made || errno == EEXIST ? container_take(root, id, claim) : -errno;

	/* empty still, unless somebody else has it */
	if (r < 0 && made)
		(void)unlinkat(root->fd, id, AT_REMOVEDIR);
	return r == -ENOTDIR || r == -ELOOP ? -EEXIST : r;
}

int container_create(const struct state_root *root, const char *id, struct container *ret,
		     struct rb_err *err)
{
	int r = -EAGAIN;

	for (int tries = 0; tries < CLAIM_TRIES && r == -EAGAIN; tries++) {
		CLEANUP_CONTAINER struct container claim = {.dir = -1};

		r = container_claim(root, id, &claim);
		if (r == 0) {
			*ret = (struct container){.dir = fd_take(&claim.dir)};
			memcpy(ret->id, id, strlen(id) + 1);
			return 0;
		}
	}
	if (r != -EEXIST)
		return err_set(err, RB_STATE_WRITE, -r, "cannot create '%s/%s'", root->path, id);
	err_set(err, RB_STATE_EXISTS, 0, "container with given ID already exists: %s", id);
	err_fix(err, "use another id, or remove it with 'runbuild delete --force %s'", id);
	return -EEXIST;
}

int container_open(const struct state_root *root, const char *id, struct container *ret,
		   struct rb_err *err)
{
	struct container container = {.dir = -1};
	int r = state_id_check(id, err);

	if (r < 0)
		return r;
	container.dir = root->fd < 0
				? -ENOENT
				: sys_openat(root->fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (container.dir < 0 && container.dir != -ENOENT) {
		err_set(err, RB_STATE_DAMAGED, -container.dir, "cannot open '%s/%s'", root->path,
			id);
		err_fix(err, "remove it with 'runbuild delete --force %s'", id);
		return container.dir;
	}
	if (container.dir < 0) {
		err_set(err, RB_STATE_MISSING, 0, "container does not exist");
		err_fix(err, "'%s' holds no container \"%.60s\"; --root names another place",
			root->path, id);
		return -ENOENT;
	}
	memcpy(container.id, id, strlen(id) + 1);
	/* absent: being created, or what a killed `run` left; damaged: there is a second place */
	if (container_reload(&container) < 0)
		(void)container_recover(&container);
	*ret = container;
	return 0;
}

void container_close(struct container *container)
{
	fd_close(&container->dir);
}

bool container_locked(const struct container *container)
{
	/* another open description of the directory, so that our probe does not keep a lock */
	CLEANUP_FD int probe = sys_openat(container->dir, ".", O_RDONLY | O_DIRECTORY, 0);

	return probe >= 0 && flock(probe, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* proc_locks(5): "1: FLOCK  ADVISORY  WRITE PID MAJ:MIN:INODE 0 EOF" */
int container_lock_owner(const struct container *container)
{
	CLEANUP_ARENA struct arena arena = {0};
	char *text;
	char wanted[64];
	struct stat st;

	if (fstat(container->dir, &st) < 0 ||
	    file_read_at(&arena, AT_FDCWD, "/proc/locks", LIMIT_STATE_BYTES, &text, NULL) < 0)
		return -ESRCH;
	snprintf(wanted, sizeof(wanted), " %02x:%02x:%" PRIu64 " ", major(st.st_dev),
		 minor(st.st_dev), (uint64_t)st.st_ino);
	for (char *line = text; *line;) {
		size_t len = strcspn(line, "\n");
		char *number;
		int pid;

		line[len] = '\0';
		number = strstr(line, "FLOCK") ? strstr(line, "WRITE") : NULL;
		if (number && strstr(line, wanted) && sscanf(number, "WRITE %d", &pid) == 1 &&
		    pid > 0) {
			int pidfd = sys_pidfd_open(pid);

			/* it holds the lock still, so the number is still its own */
			if (pidfd >= 0 && container_locked(container))
				return pidfd;
			fd_close(&pidfd);
			return -ESRCH;
		}
		line += len + 1;
	}
	return -ESRCH;
}

static int entry_remove(int dir, const char *name, unsigned depth)
{
	CLEANUP_FD int below = -1;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	/* a directory, which is not from us */
	below = sys_openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (below >= 0 && depth < LIMIT_TREE_DEPTH)
		(void)directory_empty(below, depth + 1);
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

/* Removes every entry of a directory; what cannot be removed is reported at the end. */
static int directory_empty(int dir, unsigned depth)
{
	DIR *stream;
	struct dirent *entry;
	int fd = sys_openat(dir, ".", O_RDONLY | O_DIRECTORY, 0);
	int result = 0;
	int r;

	if (fd < 0)
		return fd;
	stream = fdopendir(fd);
	if (!stream) {
		close(fd);
		return -errno;
	}
	while ((entry = readdir(stream))) {
		if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
			continue;
		r = entry_remove(dir, entry->d_name, depth);
		if (r < 0)
			result = r;
	}
	closedir(stream);
	return result;
}

int container_open_damaged(const struct state_root *root, const char *id, struct container *ret,
			   struct rb_err *err)
{
	struct stat st;
	/* the root is ours alone: nobody exchanges the entry meanwhile */
	int r = fstatat(root->fd, id, &st, AT_SYMLINK_NOFOLLOW);

	if (r == 0 && S_ISDIR(st.st_mode))
		r = fchmodat(root->fd, id, 0700, 0);
	else if (r == 0)
		r = unlinkat(root->fd, id, 0);
	if (r < 0 && errno != ENOENT)
		return err_set(err, RB_STATE_DAMAGED, errno, "cannot repair '%s/%s'", root->path,
			       id);
	return container_open(root, id, ret, err);
}

int container_remove(const struct state_root *root, const struct container *container)
{
	static const char *const names[] = {"init", "state.json"};
	const char *id = container->id;
	int r;

	/* the usual content without reading the directory */
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unlinkat(container->dir, names[i], 0);
	if (unlinkat(root->fd, id, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	resctrl_remove(container->dir);
	r = directory_empty(container->dir, 0);
	if (unlinkat(root->fd, id, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return r < 0 ? r : -errno;
	return 0;
}
