/* SPDX-License-Identifier: Apache-2.0 */
/* A group in one hierarchy: which it is, what is written to it, and how one waits for it. */
#include <time.h>
#include "base/file.h"
#include "cgroup/cgroup_private.h"

bool list_has(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; *at;) {
		size_t n = strcspn(at, ",");

		if (n == len && memcmp(at, word, len) == 0)
			return true;
		at += n + (at[n] == ',');
	}
	return false;
}

bool cgroup_nap(unsigned *waited_ms)
{
	struct timespec pause = {.tv_nsec = CGROUP_POLL_MS * 1000000L};

	(void)nanosleep(&pause, NULL);
	*waited_ms += CGROUP_POLL_MS;
	return *waited_ms < CGROUP_WAIT_MS;
}

bool cgroup_names_match(const char *hierarchy, const char *names)
{
	return str_eq(hierarchy, names) || list_has(hierarchy, names) || list_has(names, hierarchy);
}

const struct cgroup_member *cgroup_member_for(const struct cgroup *cgroup, bool v2,
					      const char *controller)
{
	for (size_t i = 0; i < cgroup->n; i++) {
		const struct cgroup_member *member = &cgroup->v[i];

		if (member->v2 == v2 && (v2 || list_has(member->hierarchy, controller)))
			return member;
	}
	return NULL;
}

int cgroup_write(const struct cgroup_member *member, const char *file, const char *value)
{
	return file_write_at(member->fd, file, value, strlen(value));
}

int cgroup_write_error(const struct cgroup_member *member, const char *file, const char *value,
		       int errnum, struct rb_err *err)
{
	err_set(err, RB_CGROUP, errnum,
		"unable to apply cgroup configuration: cannot write '%s' to " CGROUP_ROOT
		"%s%s%s/%s",
		value, member->hierarchy[0] ? "/" : "", member->hierarchy,
		str_eq(member->path, "/") ? "" : member->path, file);
	if (errnum == ENOENT)
		err_fix(err, "the kernel or the group above does not offer this file: have the "
			     "controller delegated (systemd: Delegate=yes)");
	else if (errnum == EINVAL || errnum == ERANGE || errnum == ENODEV)
		err_fix(err, "the kernel does not accept this value");
	else if (errnum == EACCES || errnum == EPERM || errnum == EROFS)
		err_fix(err, "have the cgroup delegated to this user (systemd: Delegate=yes)");
	else if (errnum == EBUSY)
		err_fix(err, "it is below what the group uses now");
	return -errnum;
}
