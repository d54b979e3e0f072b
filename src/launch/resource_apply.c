/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One limit at a time into a group's files, for a new container and for `update`. Runs in the
 * parent. Which files and values is the planner's business (plan/resources.h); here is only what
 * depends on the kernel's answer: files that need not exist, and v1's pairs of files that the
 * kernel accepts in one order only.
 */
#include "launch/launch.h"

static const struct cgroup_member *write_member(const struct cgroup *group,
						const struct resource_write *write)
{
	if (write->controller >= CONTROLLERS || write->v2)
		return cgroup_member_for(group, true, NULL);
	return cgroup_member_for(group, false, host_controller_v1_name(write->controller));
}

static int write_failed(const struct cgroup_member *member, const struct resource_write *write,
			int r, struct rb_err *err)
{
	cgroup_write_error(member, write->file, write->value, -r, err);
	err_origin(err, write->origin);
	if (write->controller == CONTROLLERS || !write->origin ||
	    !strstr(write->origin, "/unified/"))
		return r;
	err_context(err, "unable to set unified resource \"%s\"", write->file);
	return r;
}

/* What had to wait may be accepted now that its counterpart has changed. */
static int retry_waiting(const struct cgroup *group, struct resource_progress *progress)
{
	size_t left = 0;

	for (size_t i = 0; i < progress->n_waiting; i++) {
		const struct resource_write *write = &progress->waiting[i];

		if (cgroup_write(write_member(group, write), write->file, write->value) < 0)
			progress->waiting[left++] = *write;
	}
	progress->n_waiting = left;
	return 0;
}

int resource_apply(const struct cgroup *group, const struct resource_write *write,
		   struct resource_progress *progress, struct rb_err *err)
{
	const struct cgroup_member *member = write_member(group, write);
	int r;

	if ((write->flags & RESOURCE_ELSE) && !progress->missing)
		return 0;
	if (!member) {
		err_set(err, RB_CGROUP, 0,
			"cannot set %s limit: container could not join or create cgroup",
			write->controller < CONTROLLERS ? host_controller_names[write->controller]
							: write->file);
		err_fix(err, "have a cgroup delegated to this user, or remove the limit");
		return -ENOENT;
	}
	r = cgroup_write(member, write->file, write->value);
	progress->missing = r == -ENOENT;
	if (r == -ENOENT && (write->flags & RESOURCE_IF_EXISTS))
		return 0;
	if (r == -EINVAL && (write->flags & RESOURCE_MAY_WAIT) &&
	    progress->n_waiting < ARRAY_LEN(progress->waiting)) {
		progress->waiting[progress->n_waiting++] = *write;
		return 0;
	}
	if (r < 0)
		return write_failed(member, write, r, err);
	if (write->flags & RESOURCE_MAY_WAIT)
		return retry_waiting(group, progress);
	return 0;
}

int resource_finish(const struct cgroup *group, const struct resource_progress *progress,
		    struct rb_err *err)
{
	if (progress->n_waiting == 0)
		return 0;
	return write_failed(write_member(group, &progress->waiting[0]), &progress->waiting[0],
			    -EINVAL, err);
}
