/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher's state directory and the command's environment. Runs in the parent. The directory
 * holds `lock`, `child_pid` and, with a network of our own, `resolv.conf`: RootlessKit's names,
 * under which BuildKit and others look for them.
 */
#include <sys/file.h>
#include "base/env.h"
#include "base/file.h"
#include "rootless/rootless_private.h"

static const char *temporary_parent(struct arena *arena)
{
	const char *runtime = env_get("XDG_RUNTIME_DIR");
	const char *tmp = env_get("TMPDIR");

	if (runtime && runtime[0] == '/' &&
	    sys_faccessat2(AT_FDCWD, runtime, W_OK, AT_EACCESS) == 0)
		return runtime;
	return tmp && tmp[0] == '/' ? tmp : arena_strdup(arena, "/tmp");
}

int rootless_state_open(struct rootless *r, struct rb_err *err)
{
	const char *path = r->options->state_dir;
	CLEANUP_FD int fd = -1;
	struct stat st;

	if (!path) {
		char *template = arena_printf(r->arena, "%s/runbuild-rootless-XXXXXX",
					      temporary_parent(r->arena));

		if (!template || !mkdtemp(template))
			return err_set(err, RB_STATE_DIR, errno, "cannot make a state directory");
		r->state_created = true;
		path = template;
	} else if (mkdir(path, 0700) == 0) {
		r->state_created = true;
	} else if (errno != EEXIST) {
		err_set(err, RB_STATE_DIR, errno, "cannot make the state directory '%s'", path);
		err_fix(err, "--state-dir takes an absolute path in a directory of yours");
		return -EINVAL;
	}
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid()) {
		err_set(err, RB_STATE_DIR, fd < 0 ? -fd : 0, "the state directory '%s' is not ours",
			path);
		err_fix(err, "name another one");
		return -EPERM;
	}
	/* the lock on the directory also keeps systemd-tmpfiles from cleaning it up */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		err_set(err, RB_STATE_DIR, 0,
			"the state directory '%s' is in use by another launcher", path);
		err_fix(err, "name another one, or end the other launcher");
		return -EBUSY;
	}
	(void)unlinkat(fd, "child_pid", 0);
	r->state_dir = path;
	r->state_fd = fd_take(&fd);
	return 0;
}

void rootless_state_remove(const struct rootless *r)
{
	static const char *const files[] = {"child_pid", "resolv.conf"};

	if (r->state_fd < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		(void)unlinkat(r->state_fd, files[i], 0);
	if (r->state_created)
		(void)rmdir(r->state_dir);
}

/* Replaces or appends NAME=VALUE; the array has room. */
static void environment_set(char **environment, size_t *n, char *entry)
{
	size_t name = strcspn(entry, "=") + 1;

	for (size_t i = 0; i < *n; i++) {
		if (strncmp(environment[i], entry, name) == 0) {
			environment[i] = entry;
			return;
		}
	}
	environment[(*n)++] = entry;
}

/*
 * buildkitd takes its rootless defaults only when USER is set and is not root, and cannot start
 * without a runtime directory; both are missing in cron jobs and containers.
 */
static const char *runtime_directory(struct rootless *r)
{
	const char *path = env_get("XDG_RUNTIME_DIR");
	struct stat st;

	if (path && path[0] == '/' && sys_faccessat2(AT_FDCWD, path, W_OK, AT_EACCESS) == 0)
		return path;
	path = arena_printf(r->arena, "/tmp/runbuild-%u", r->uid);
	if (!path || (mkdir(path, 0700) < 0 && errno != EEXIST) || lstat(path, &st) < 0 ||
	    !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return NULL;
	return path;
}

int rootless_environment(struct rootless *r, struct rb_err *err)
{
	enum { EXTRA = 8 };
	const char *user = env_get("USER");
	const char *runtime = runtime_directory(r);
	size_t n = 0;
	char **v;

	while (environ[n])
		n++;
	v = arena_array(r->arena, n + EXTRA + 1, sizeof(*v));
	if (!v)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "environment");
	memcpy(v, environ, n * sizeof(*v));
	if (!user || str_eq(user, "root"))
		environment_set(v, &n, arena_printf(r->arena, "USER=%s", r->user));
	if (runtime)
		environment_set(v, &n, arena_printf(r->arena, "XDG_RUNTIME_DIR=%s", runtime));
	environment_set(v, &n, arena_printf(r->arena, "ROOTLESSKIT_STATE_DIR=%s", r->state_dir));
	environment_set(v, &n, arena_printf(r->arena, "ROOTLESSKIT_PARENT_EUID=%u", r->uid));
	environment_set(v, &n, arena_printf(r->arena, "ROOTLESSKIT_PARENT_EGID=%u", r->gid));
	r->environment = v;
	return 0;
}
