/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Id maps of a new user namespace: user_namespaces(7). Runs in the parent. With CAP_SETUID and
 * CAP_SETGID the files are written directly; one own id likewise, after setgroups(2) was given
 * up; everything else goes through newuidmap(1) and newgidmap(1), both at once. The target stays
 * unreaped while they run, so its number cannot become another process.
 */
#include "base/file.h"
#include "base/sys.h"
#include "host/helper.h"
#include "launch/launch.h"

/* user_namespaces(7): a map has a limit of lines and one of bytes, and EINVAL names neither. */
static int map_check_size(const char *text, struct rb_err *err)
{
	size_t len = strlen(text);
	size_t lines = 0;

	for (const char *s = text; *s; s++)
		lines += *s == '\n';
	if (lines > LIMIT_IDMAP_EXTENTS)
		err_set(err, RB_IDMAP_LIMIT, 0, "the id map has %zu lines, the kernel takes %u",
			lines, LIMIT_IDMAP_EXTENTS);
	else if (len > LIMIT_IDMAP_BYTES)
		err_set(err, RB_IDMAP_LIMIT, 0, "the id map has %zu bytes, the kernel takes %u",
			len, LIMIT_IDMAP_BYTES);
	else
		return 0;
	err_fix(err, "use fewer, larger ranges");
	return -E2BIG;
}

static int map_file_write(pid_t pid, const char *name, const char *text, struct rb_err *err)
{
	char path[64];
	size_t len = strlen(text);
	int r;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	r = file_write_at(AT_FDCWD, path, text, len);
	if (r < 0) {
		err_set(err, RB_IDMAP_WRITE, -r, "cannot write %s", path);
		err_fix(err,
			r == -EPERM || r == -EACCES
				? "check LSM policies (AppArmor: kernel."
				  "apparmor_restrict_unprivileged_userns) and /proc/self/uid_map"
				: "check the id ranges");
	}
	return r;
}

static int idmap_write_direct(pid_t pid, const char *uid_map, const char *gid_map, bool deny,
			      struct rb_err *err)
{
	int r = 0;

	if (deny)
		r = map_file_write(pid, "setgroups", "deny", err);
	if (r == 0)
		r = map_file_write(pid, "uid_map", uid_map, err);
	if (r == 0)
		r = map_file_write(pid, "gid_map", gid_map, err);
	return r;
}

/* newuidmap PID INSIDE OUTSIDE COUNT ... */
static const char **idmap_argv(struct arena *arena, const char *path, pid_t pid, const char *map)
{
	size_t words = 3;
	const char **argv;
	size_t n = 0;
	char *text = arena_strdup(arena, map);

	for (const char *s = map; *s; s++)
		words += *s == ' ' || *s == '\n';
	argv = arena_array(arena, words + 1, sizeof(*argv));
	if (!argv || !text)
		return NULL;
	argv[n++] = path;
	argv[n++] = arena_printf(arena, "%d", (int)pid);
	while (*text) {
		argv[n++] = text;
		text += strcspn(text, " \n");
		if (*text)
			*text++ = '\0';
	}
	return argv;
}

struct idmap_job {
	const char *name; /* "newuidmap" */
	const char *path;
	struct helper helper;
};

static int idmap_start(struct arena *arena, struct idmap_job *job, pid_t pid, const char *map,
		       struct rb_err *err)
{
	const char **argv;
	int r;

	job->path = helper_find(arena, job->name);
	if (!job->path) {
		err_set(err, RB_IDMAP_HELPER_MISSING, 0, "%s not found", job->name);
		err_fix(err, "sudo apt install uidmap (Fedora: sudo dnf install shadow-utils)");
		return -ENOENT;
	}
	argv = idmap_argv(arena, job->path, pid, map);
	if (!argv)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "%s", job->name);
	r = helper_spawn(&job->helper, job->path, argv);
	if (r < 0)
		err_set(err, RB_IDMAP_HELPER_FAILED, -r, "cannot run %s", job->path);
	return r;
}

/* newuidmap(1) wants to know its caller by name. */
static bool user_is_unknown(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct user user;

	return !user_find(&arena, getuid(), &user);
}

static int idmap_failed(const struct idmap_job *job, int status, const char *said,
			struct rb_err *err)
{
	if (status > 128) {
		err_set(err, RB_IDMAP_HELPER_FAILED, 0, "%s was killed by signal %d%s%s", job->name,
			status - 128, said[0] ? ": " : "", said);
		err_fix(err, "did memory run out, or was it ended from outside? Try again");
		return -EPERM;
	}
	/* several causes share one text of the helper: look ourselves first */
	if (helper_check_idmap(job->path, err) < 0)
		return -EPERM;
	if (user_is_unknown()) {
		err_set(err, RB_NO_PASSWD, 0, "uid %u has no entry in /etc/passwd, and %s refuses",
			getuid(), job->name);
		err_fix(err, "add a line such as user:x:%u:%u::/tmp:/bin/sh to /etc/passwd",
			getuid(), getgid());
		return -EPERM;
	}
	err_set(err, RB_IDMAP_HELPER_FAILED, 0, "%s failed with status %d: %s", job->name, status,
		said[0] ? said : "it said nothing");
	err_fix(err, "check that /etc/sub%cid gives the ranges to this user and is a regular file",
		job->name[3]);
	return -EPERM;
}

static int idmap_finish(struct idmap_job *job, struct rb_err *err)
{
	char tail[256];
	int status = helper_finish(&job->helper, tail, sizeof(tail));

	return status == 0 ? 0 : idmap_failed(job, status, tail, err);
}

/* Both at once: each is a few milliseconds of exec and little else. */
static int idmap_write_helpers(struct arena *arena, pid_t pid, const char *uid_map,
			       const char *gid_map, struct rb_err *err)
{
	struct idmap_job uid = {.name = "newuidmap"};
	struct idmap_job gid = {.name = "newgidmap"};
	int r = idmap_start(arena, &uid, pid, uid_map, err);
	int other;

	if (r < 0)
		return r;
	r = idmap_start(arena, &gid, pid, gid_map, err);
	if (r < 0)
		return idmap_finish(&uid, err) < 0 ? -EPERM : r;
	r = idmap_finish(&uid, err);
	other = idmap_finish(&gid, r == 0 ? err : NULL);
	return r < 0 ? r : other;
}

/* After success of a helper: is the map really there? It may exit 0 without writing. */
static int idmap_verify(pid_t pid, const char *name, struct rb_err *err)
{
	char path[64];
	char text[8];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	if (file_read_small(AT_FDCWD, path, text, sizeof(text)) > 0)
		return 0;
	err_set(err, RB_IDMAP_HELPER_FAILED, 0, "new%.3smap ended well but wrote no %s", name,
		name);
	err_fix(err, "is the new%.3smap in PATH the one of the package uidmap?", name);
	return -EPERM;
}

int idmap_write(struct arena *arena, pid_t pid, const char *uid_map, const char *gid_map,
		enum plan_idmap_method method, struct rb_err *err)
{
	int r;

	if ((r = map_check_size(uid_map, err)) < 0 || (r = map_check_size(gid_map, err)) < 0)
		return r;
	if (method != IDMAP_HELPER)
		return idmap_write_direct(pid, uid_map, gid_map, method == IDMAP_DIRECT_DENY, err);
	r = idmap_write_helpers(arena, pid, uid_map, gid_map, err);
	if (r == 0)
		r = idmap_verify(pid, "uid_map", err);
	if (r == 0)
		r = idmap_verify(pid, "gid_map", err);
	return r;
}
