/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding helper programs and diagnosing the setuid ones. Runs in the parent; only looks.
 * Four different causes give newuidmap's identical "Operation not permitted", so they are told
 * apart here before or after the fact.
 */
#include <linux/capability.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include "base/env.h"
#include "base/sys.h"
#include "host/helper.h"
#include "host/host.h"

static bool helper_usable(const char *path)
{
	struct stat st;

	return sys_faccessat2(AT_FDCWD, path, X_OK, AT_EACCESS) == 0 && stat(path, &st) == 0 &&
	       S_ISREG(st.st_mode);
}

static bool privileged(void)
{
	struct host host;

	return geteuid() != getuid() || geteuid() == 0 ||
	       (host_probe(0, &host, NULL) == 0 && host.caps_effective != 0);
}

const char *helper_find(struct arena *arena, const char *name)
{
	static const char system_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:"
					  "/bin:/run/wrappers/bin";
	const char *own = privileged() ? NULL : env_get("PATH");
	const char *const lists[] = {own, system_path};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		for (const char *at = lists[i]; at && *at;) {
			size_t len = strcspn(at, ":");
			char *path = len && at[0] == '/'
					     ? arena_printf(arena, "%.*s/%s", (int)len, at, name)
					     : NULL;

			if (path && helper_usable(path))
				return path;
			at += len + (at[len] == ':');
		}
	}
	return NULL;
}

const char *helper_find_own(struct arena *arena, const char *dir, const char *name)
{
	char self[LIMIT_PATH_BYTES];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;
	const char *path;

	self[len > 0 ? len : 0] = '\0';
	slash = strrchr(self, '/');
	path = slash ? arena_printf(arena, "%.*s/%s", (int)(slash - self), self, name) : NULL;
	if (path && sys_faccessat2(AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
		return path;
	path = arena_printf(arena, "%s/%s", dir, name);
	return path && sys_faccessat2(AT_FDCWD, path, X_OK, AT_EACCESS) == 0 ? path : NULL;
}

int helper_check_idmap(const char *path, struct rb_err *err)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	bool gid = str_eq(name, "newgidmap");
	unsigned cap = gid ? CAP_SETGID : CAP_SETUID;
	struct statvfs fs;
	struct stat st;
	char value[64];
	bool setuid_root;

	if (sys_prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) {
		err_set(err, RB_NO_NEW_PRIVS, 0, "no_new_privs is set, so %s gets no privilege",
			name);
		err_fix(err, "Kubernetes: allowPrivilegeEscalation: true, or hostUsers: false; "
			     "systemd: NoNewPrivileges=no");
		return -EPERM;
	}
	if (sys_prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 0) {
		err_set(err, RB_IDMAP_SETUID_BOUND, 0,
			"%s is not in the bounding set of this container, so %s cannot work",
			gid ? "CAP_SETGID" : "CAP_SETUID", name);
		err_fix(err, "add the capabilities SETUID and SETGID to the container");
		return -EPERM;
	}
	if (stat(path, &st) < 0)
		return err_set(err, RB_IDMAP_HELPER_MISSING, errno, "%s", path);
	setuid_root = (st.st_mode & S_ISUID) && st.st_uid == 0;
	if (!setuid_root && getxattr(path, "security.capability", value, sizeof(value)) < 0) {
		err_set(err, RB_IDMAP_HELPER_PRIVILEGE, 0,
			"%s has mode %04o, owner %u and no file capabilities: it is not setuid root",
			path, st.st_mode & 07777, st.st_uid);
		err_fix(err, "sudo chmod u+s %s", path);
		return -EPERM;
	}
	if (statvfs(path, &fs) == 0 && (fs.f_flag & ST_NOSUID)) {
		err_set(err, RB_IDMAP_HELPER_PRIVILEGE, 0,
			"%s is on a file system mounted nosuid, so it gets no privilege", path);
		err_fix(err, "mount it without nosuid");
		return -EPERM;
	}
	return 0;
}
