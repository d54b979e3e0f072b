/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's group as a scope unit of systemd. Runs in the parent. All talk with the bus is
 * in a program of its own (src/systemd/), so that this one needs no library for it and its code
 * does not share a process with a container's set-up.
 */
#include "base/env.h"
#include "base/file.h"
#include "launch/launch_private.h"

static const char *scope_helper(struct arena *arena)
{
	static const char name[] = "runbuild-systemd";
	const char *dir = env_get("RUNBUILD_LIBEXECDIR");
	const char *path = arena_printf(arena, "%s/%s", dir ? dir : RB_LIBEXECDIR, name);

	return path && sys_faccessat2(AT_FDCWD, path, X_OK, AT_EACCESS) == 0 ? path : NULL;
}

int scope_call(struct arena *arena, const char *const *words, struct rb_err *err)
{
	const char *path = scope_helper(arena);
	struct helper helper;
	char tail[256];
	int r;

	if (!path) {
		err_set(err, RB_SYSTEMD, 0, "the helper runbuild-systemd is not installed in %s",
			RB_LIBEXECDIR);
		err_fix(err, "install it, or use --cgroup-manager=cgroupfs");
		return -ENOENT;
	}
	r = helper_spawn(&helper, path, words);
	if (r < 0)
		return err_set(err, RB_SYSTEMD, -r, "cannot run %s", path);
	r = helper_finish(&helper, tail, sizeof(tail));
	if (r == 0)
		return 0;
	err_set(err, RB_SYSTEMD, 0, "unable to apply cgroup configuration: systemd: %s",
		tail[0] ? tail : "the helper said nothing");
	err_fix(err, "is systemd running, and XDG_RUNTIME_DIR that of its user manager? "
		     "Else use --cgroup-manager=cgroupfs");
	return -EIO;
}

const char *scope_manager(struct arena *arena)
{
	const char *runtime = env_get("XDG_RUNTIME_DIR");
	char text[64];
	bool initial = file_read_small(AT_FDCWD, "/proc/self/uid_map", text, sizeof(text)) > 0 &&
		       strstr(text, "4294967295");

	/* the user's own manager for everybody who is not root of the host */
	if (geteuid() == 0 && initial)
		return "/run/systemd/private";
	return runtime ? arena_printf(arena, "%s/systemd/private", runtime) : NULL;
}

/* Where systemd has put the process, as a path that cgroup_make() takes for every hierarchy. */
static const char *scope_path(struct launch *l)
{
	char lines[8192];
	char path[64];
	const char *line;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)l->pid);
	if (file_read_small(AT_FDCWD, path, lines, sizeof(lines)) <= 0)
		return NULL;
	line = strstr(lines, ":name=systemd:/");
	if (line)
		line += strlen(":name=systemd:");
	else if (str_starts(lines, "0::/"))
		line = lines + 3;
	else if ((line = strstr(lines, "\n0::/")))
		line += 4;
	return line ? arena_strndup(l->context->arena, line, strcspn(line, "\n")) : NULL;
}

int launch_scope(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	const struct plan_list *properties = plan_list_at(l->plan, op->list);
	struct arena *arena = l->context->arena;
	const char *unit = plan_str(l->plan, op->str[1]);
	size_t n = properties ? properties->count : 0;
	const char **words = arena_array(arena, n + 8, sizeof(*words));
	const char *path;
	size_t at = 0;
	int r;

	if (!words)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "systemd");
	words[at++] = "runbuild-systemd";
	words[at++] = scope_manager(arena);
	if (!words[at - 1]) {
		err_set(err, RB_SYSTEMD, 0,
			"unable to apply cgroup configuration: no user manager of systemd");
		err_fix(err, "set XDG_RUNTIME_DIR, or use --cgroup-manager=cgroupfs");
		return -ENOENT;
	}
	words[at++] = "start";
	words[at++] = unit;
	words[at++] = plan_str(l->plan, op->str[0]);
	words[at++] = arena_printf(arena, "%d", (int)l->pid);
	for (size_t i = 0; i < n; i++)
		words[at++] = plan_str(l->plan, properties->item[i]);
	r = scope_call(arena, words, err);
	if (r < 0)
		return r;
	path = scope_path(l);
	if (!path)
		return err_set(err, RB_SYSTEMD, ESRCH, "cannot find the scope of the container");
	l->context->record->scope = unit;
	return cgroup_make(arena, path, &l->group, err);
}
