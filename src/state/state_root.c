/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state root and the directories in it. Runs in the parent, in the monitor (removal) and in
 * `state`, `kill`, `delete`, with the caller's privilege. Another local user must not be able to
 * plant or read anything here: every directory is opened with O_NOFOLLOW and its owner checked on
 * the descriptor.
 */
#include <dirent.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <time.h>
#include "base/env.h"
#include "base/file.h"
#include "base/num.h"
#include "base/sys.h"
#include "state/state.h"

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

int container_create(const struct state_root *root, const char *id, struct container *ret,
		     struct rb_err *err)
{
	CLEANUP_FD int dir = -1;
	struct stat st;

	if (mkdirat(root->fd, id, 0700) < 0) {
		if (errno != EEXIST)
			return err_set(err, RB_STATE_WRITE, errno, "cannot create '%s/%s'",
				       root->path, id);
		err_set(err, RB_STATE_EXISTS, 0, "container with given ID already exists: %s", id);
		err_fix(err, "use another id, or remove it with 'runbuild delete --force %s'", id);
		return -EEXIST;
	}
	dir = sys_openat(root->fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	/*
	 * A `delete --force` that runs at this moment may hold the lock for an instant and may have
	 * removed the directory: then the links are gone and the container is not ours.
	 */
	if (dir >= 0 && flock(dir, LOCK_EX) == 0 && fstat(dir, &st) == 0 && st.st_nlink > 0) {
		*ret = (struct container){.dir = fd_take(&dir)};
		memcpy(ret->id, id, strlen(id) + 1);
		return 0;
	}
	return err_set(err, RB_STATE_WRITE, dir < 0 ? -dir : ENOENT,
		       "'%s/%s' was removed while the container was being created", root->path, id);
}

/* The number at *at, which ends at `end`; *at moves behind that. */
static int init_number(const char **at, char end, uint64_t max, uint64_t *ret)
{
	size_t len = strcspn(*at, " ");

	if (num_parse_u64(*at, len, max, ret) < 0 || (*at)[len] != end)
		return -EINVAL;
	*at += len + (end != '\0');
	return 0;
}

/* "PID START BOOT FLAGS": as strict as it is written, because a signal follows from it. */
static int init_parse(const char *text, struct state_process *ret_init, unsigned *ret_flags)
{
	struct state_process init = {0};
	uint64_t pid;
	uint64_t flags;
	size_t len;

	if (init_number(&text, ' ', INT_MAX, &pid) < 0 || pid == 0 ||
	    init_number(&text, ' ', UINT64_MAX, &init.start) < 0)
		return -EINVAL;
	len = strspn(text, "0123456789abcdef-");
	if (len == 0 || len >= sizeof(init.boot) || text[len] != ' ')
		return -EINVAL;
	memcpy(init.boot, text, len);
	text += len + 1;
	if (init_number(&text, '\0', UINT_MAX, &flags) < 0)
		return -EINVAL;
	init.pid = (pid_t)pid;
	*ret_init = init;
	*ret_flags = (unsigned)flags;
	return 0;
}

int container_reload(struct container *container)
{
	char text[128];
	ssize_t len = readlinkat(container->dir, "init", text, sizeof(text) - 1);
	int r;

	if (len < 0)
		return -errno;
	text[len] = '\0';
	r = init_parse(text, &container->init, &container->flags);
	if (r == 0)
		container->has_init = true;
	return r;
}

int container_open(const struct state_root *root, const char *id, struct container *ret,
		   struct rb_err *err)
{
	struct container container = {.dir = -1};
	int r = state_id_check(id, err);

	if (r < 0)
		return r;
	if (root->fd >= 0)
		container.dir = sys_openat(root->fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (container.dir < 0 && container.dir != -1 && container.dir != -ENOENT)
		return err_set(err, RB_STATE_DAMAGED, -container.dir, "cannot open '%s/%s'",
			       root->path, id);
	if (container.dir < 0) {
		err_set(err, RB_STATE_MISSING, 0, "container does not exist");
		err_fix(err, "'%s' holds no container \"%.60s\"; --root names another place",
			root->path, id);
		return -ENOENT;
	}
	memcpy(container.id, id, strlen(id) + 1);
	/* absent: being created, or what a killed `run` left; damaged: delete --force copes */
	(void)container_reload(&container);
	*ret = container;
	return 0;
}

void container_close(struct container *container)
{
	fd_close(&container->dir);
}

int container_try_lock(const struct container *container)
{
	return flock(container->dir, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
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

int container_wait_unlocked(const struct container *container, int timeout_ms)
{
	struct timespec pause = {.tv_nsec = 2000000};

	/* flock(2) has no timeout and signals nobody: ask every 2 ms */
	for (int waited = 0; waited < timeout_ms; waited += 2) {
		if (!container_locked(container))
			return 0;
		(void)nanosleep(&pause, NULL);
	}
	return -ETIMEDOUT;
}

/* Removes every entry of a flat directory; what cannot be removed is reported at the end. */
static int directory_empty(int dir)
{
	DIR *stream;
	struct dirent *entry;
	int fd = sys_openat(dir, ".", O_RDONLY | O_DIRECTORY, 0);
	int result = 0;

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
		if (unlinkat(dir, entry->d_name, 0) < 0 && errno != ENOENT &&
		    unlinkat(dir, entry->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			result = -errno;
	}
	closedir(stream);
	return result;
}

int container_remove(const struct state_root *root, const char *id)
{
	static const char *const names[] = {"init", "state.json"};
	CLEANUP_FD int dir = sys_openat(root->fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	int r;

	if (dir == -ENOENT)
		return 0;
	if (dir == -ENOTDIR || dir == -ELOOP) /* not a directory of ours, but in its place */
		return unlinkat(root->fd, id, 0) < 0 ? -errno : 0;
	if (dir < 0)
		return dir;
	/* the usual content without reading the directory */
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unlinkat(dir, names[i], 0);
	if (unlinkat(root->fd, id, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	r = directory_empty(dir);
	if (unlinkat(root->fd, id, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return r < 0 ? r : -errno;
	return 0;
}
