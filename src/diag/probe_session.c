/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's session: directories, environment, control groups. The only thing that is made is a
 * cgroup, which goes at once.
 */
#include <linux/magic.h>
#include <sys/vfs.h>
#include "base/env.h"
#include "base/file.h"
#include "diag/doctor_private.h"

static void runtime_dir_fix(const struct doctor *doctor, struct finding *finding)
{
	err_fix(&finding->err,
		"sudo loginctl enable-linger %s, then log in again; or set XDG_RUNTIME_DIR to a "
		"directory of yours with mode 0700",
		doctor->user);
}

/* basedir-spec: owned by the user, mode 0700, gone at the end of the session. */
void probe_runtime_dir(struct doctor *doctor, struct finding *finding)
{
	const char *path = env_get("XDG_RUNTIME_DIR");
	struct statfs fs;
	struct stat st;

	if (!path && doctor->host.euid == 0) {
		found_ok(finding, "not needed by root, whose files are in /run");
		return;
	}
	if (!path || path[0] != '/')
		found(finding, FINDING_WARNING, RB_RUNTIME_DIR, 0, "XDG_RUNTIME_DIR is not set");
	else if (stat(path, &st) < 0)
		found(finding, FINDING_WARNING, RB_RUNTIME_DIR, errno, "XDG_RUNTIME_DIR");
	else if (!S_ISDIR(st.st_mode))
		found(finding, FINDING_WARNING, RB_RUNTIME_DIR, ENOTDIR, "XDG_RUNTIME_DIR");
	else if (st.st_uid != doctor->host.euid)
		found(finding, FINDING_WARNING, RB_RUNTIME_DIR, 0,
		      "XDG_RUNTIME_DIR belongs to uid %u", st.st_uid);
	else if (st.st_mode & 077)
		found(finding, FINDING_WARNING, RB_RUNTIME_DIR, 0,
		      "XDG_RUNTIME_DIR has mode %04o instead of 0700", st.st_mode & 07777);
	else if (statfs(path, &fs) == 0 && fs.f_type != TMPFS_MAGIC)
		found_info(finding, "is no tmpfs: what is left in it survives a restart");
	else
		found_ok(finding, "is a tmpfs with mode 0700");
	if (finding->status == FINDING_WARNING)
		runtime_dir_fix(doctor, finding);
}

void probe_login(struct doctor *doctor, struct finding *finding)
{
	const char *user = env_get("USER");
	const char *home = env_get("HOME");
	struct stat st;

	if (!doctor->options->user && !doctor->may_map) {
		found(finding, FINDING_WARNING, RB_NO_PASSWD, 0, "uid %u has no passwd entry",
		      doctor->host.euid);
	} else if (doctor->host.euid == 0 && !doctor->host.in_user_namespace) {
		found_ok(finding, "not needed by root");
	} else if (!user || str_eq(user, "root")) {
		found(finding, FINDING_WARNING, RB_LOGIN, 0, "USER is %s", user ? user : "not set");
		err_fix(&finding->err,
			"start the daemon by 'runbuild rootless', which sets it, or "
			"export USER=%s",
			doctor->user);
	} else if (!home || home[0] != '/') {
		found(finding, FINDING_WARNING, RB_LOGIN, 0, "HOME is not set");
		err_fix(&finding->err, "export HOME=%s",
			doctor->options->home ? doctor->options->home : "a directory of yours");
	} else if (stat(home, &st) < 0 || !S_ISDIR(st.st_mode)) {
		found(finding, FINDING_WARNING, RB_LOGIN, ENOTDIR, "HOME");
		err_fix(&finding->err, "make the directory, or set HOME to another");
	} else {
		found_ok(finding, "USER and HOME are set");
	}
}

static const char *const wanted[] = {"cpu", "memory", "pids"};

/* A group of our own can be made below the directory: tried, and undone. */
static bool group_can_be_made(const char *directory)
{
	CLEANUP_FD int fd = sys_openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY, 0);
	char name[40];

	snprintf(name, sizeof(name), "runbuild-doctor.%d", (int)getpid());
	if (fd < 0 || mkdirat(fd, name, 0700) < 0)
		return false;
	(void)unlinkat(fd, name, AT_REMOVEDIR);
	return true;
}

static bool list_has(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (; *list; list += strcspn(list, " ,\n"), list += *list != '\0')
		if (strcspn(list, " ,\n") == len && memcmp(list, name, len) == 0)
			return true;
	return false;
}

/* The controllers of one line "ID:LIST:PATH" of /proc/self/cgroup that we may use: cgroups(7). */
static void add_line(struct doctor *doctor, char *line, bool usable[ARRAY_LEN(wanted)])
{
	char *list = strchr(line, ':');
	char *path = list ? strchr(list + 1, ':') : NULL;
	char controllers[512];
	const char *directory;

	if (!path)
		return;
	*path++ = '\0';
	list++;
	directory = arena_printf(doctor->arena, "/sys/fs/cgroup%s%s%s",
				 list[0]                                          ? "/"
				 : doctor->host.cgroup_mode == HOST_CGROUP_HYBRID ? "/unified"
										  : "",
				 list, path);
	if (!directory || str_starts(list, "name=") || !group_can_be_made(directory))
		return;
	if (!list[0]) {
		const char *file = arena_printf(doctor->arena, "%s/cgroup.controllers", directory);

		/* what the group's parent passes on, for us to pass on: cgroup-v2.rst */
		if (!file || file_read_small(AT_FDCWD, file, controllers, sizeof(controllers)) < 0)
			return;
		list = controllers;
	}
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		usable[i] |= list_has(list, wanted[i]);
}

static void cgroup_found(const struct doctor *doctor, const bool *usable, struct finding *finding)
{
	static const char *const modes[] = {"none", "v1", "hybrid", "v2"};
	char names[2][64] = {"", ""};

	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		char *list = names[usable[i]];
		size_t len = strlen(list);

		snprintf(list + len, sizeof(names[0]) - len, "%s%s", len ? " " : "", wanted[i]);
	}
	if (!names[0][0]) {
		found_ok(finding, "%s: %s can be used", modes[doctor->host.cgroup_mode], names[1]);
		return;
	}
	if (doctor->host.cgroup_mode == HOST_CGROUP_NONE)
		found(finding, FINDING_WARNING, RB_CGROUP, 0,
		      "no cgroups are mounted; steps run without limits");
	else if (!names[1][0])
		found(finding, FINDING_WARNING, RB_CGROUP, 0,
		      "%s: no cgroup is delegated; steps run without limits",
		      modes[doctor->host.cgroup_mode]);
	else
		found(finding, FINDING_WARNING, RB_CGROUP, 0,
		      "%s: %s can be used; not delegated: %s", modes[doctor->host.cgroup_mode],
		      names[1], names[0]);
	err_fix(&finding->err, "/etc/systemd/system/user@.service.d/delegate.conf with [Service] "
			       "Delegate=cpu cpuset io memory pids, then sudo systemctl "
			       "daemon-reload and a new login");
}

void probe_cgroup(struct doctor *doctor, struct finding *finding)
{
	bool usable[ARRAY_LEN(wanted)] = {false};
	char *text = NULL;

	if (doctor->host.cgroup_mode != HOST_CGROUP_NONE &&
	    file_read_at(doctor->arena, AT_FDCWD, "/proc/self/cgroup", LIMIT_CONFIG_BYTES, &text,
			 NULL) == 0) {
		while (*text) {
			char *line = text;

			text += strcspn(text, "\n");
			if (*text)
				*text++ = '\0';
			add_line(doctor, line, usable);
		}
	}
	cgroup_found(doctor, usable, finding);
}
