/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OP_RESCTRL: the container's first process, or a further one, into a class of Intel RDT (AMD and
 * Arm have the same file system). Runs in the parent with the caller's privilege, while the child
 * waits; what the child makes is born into its groups. Follows resctrl.rst of the kernel, and runc
 * where the specification leaves a choice: a shared class gets the schemata of whoever comes last.
 *
 * A group that ends with the container is noted in the container's directory before it is made:
 * container_remove() takes it away from there, whoever calls it and after whatever death.
 */
#include "base/file.h"
#include "launch/launch_private.h"

/* The kernel says in words why it has refused a group or a schema. */
static int resctrl_error(int root, const char *what, const char *name, int r, struct rb_err *err)
{
	char status[256];

	err_set(err, RB_RDT, -r, "intelRdt: cannot %s '%s'", what, name);
	if (file_read_small(root, "info/last_cmd_status", status, sizeof(status)) > 0 &&
	    !str_starts(status, "ok")) {
		status[strcspn(status, "\n")] = '\0';
		err_fix(err, "the kernel says: %s", status);
	} else if (r == -EACCES || r == -EPERM || r == -EROFS) {
		err_fix(err, "only root may change resource control");
	} else if (r == -ENOSPC) {
		err_fix(err, "all classes are in use: name one that is there with closID");
	}
	return r;
}

/* Opens a group below `parent`, made unless it is there. *ret_made is written when it was. */
static int group_open(int parent, const char *name, bool make, bool *ret_made)
{
	bool made = make && mkdirat(parent, name, 0755) == 0;
	int fd;

	if (make && !made && errno != EEXIST)
		return -errno;
	fd = sys_openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (made)
		*ret_made = true;
	return fd;
}

static int group_join(int root, int group, const char *name, pid_t pid, struct rb_err *err)
{
	char number[16];
	int r;

	snprintf(number, sizeof(number), "%d", (int)pid);
	r = file_write_at(group, "tasks", number, strlen(number));
	return r < 0 ? resctrl_error(root, "join the group", name, r, err) : 0;
}

/* Before the group exists, so that no death can leave one that nobody knows of. */
static int note_group(int directory, const char *path, struct rb_err *err)
{
	if (directory < 0 || symlinkat(path, directory, "resctrl") == 0)
		return 0;
	return err_set(err, RB_STATE_WRITE, errno, "cannot note the resctrl group");
}

static bool group_exists(int parent, const char *name)
{
	struct stat st;

	return fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int monitor_join(int root, int class, const struct resctrl_job *job, struct rb_err *err)
{
	CLEANUP_FD int groups = sys_openat(class, "mon_groups", O_PATH | O_DIRECTORY, 0);
	CLEANUP_FD int group = -1;
	bool made = false;

	if (groups < 0)
		return resctrl_error(root, "monitor the class", job->class, groups, err);
	group = group_open(groups, job->monitor, !job->join, &made);
	if (group < 0)
		return job->join && group == -ENOENT
			       ? 0
			       : resctrl_error(root, "make the monitoring group", job->monitor,
					       group, err);
	return group_join(root, group, job->monitor, job->pid, err);
}

/* Which of its groups ends with the container; NULL: neither. */
static const char *group_to_note(int root, const struct resctrl_job *job)
{
	const char *class = str_eq(job->class, "/") ? "." : job->class;

	if (job->join)
		return NULL;
	/* a class takes its monitoring groups along */
	if (job->own)
		return group_exists(root, class)
			       ? NULL
			       : arena_printf(job->arena, "%s/%s", job->root, job->class);
	if (!job->monitor)
		return NULL;
	return arena_printf(job->arena, "%s/%s/mon_groups/%s", job->root, class, job->monitor);
}

static int class_open(int root, const struct resctrl_job *job, struct rb_err *err)
{
	const char *name = str_eq(job->class, "/") ? "." : job->class;
	const char *note = group_to_note(root, job);
	bool made = false;
	int class = note ? note_group(job->directory, note, err) : 0;

	if (class < 0)
		return class;
	class = group_open(root, name, job->make, &made);
	/* somebody else has made it in between */
	if (class >= 0 && note && job->own && !made && job->directory >= 0)
		(void)unlinkat(job->directory, "resctrl", 0);
	if (class >= 0 || (job->join && class == -ENOENT))
		return class;
	resctrl_error(root, job->make ? "make the class" : "find the class", job->class, class,
		      err);
	if (!job->make && class == -ENOENT)
		err_fix(err, "make it before, or say in schemata what it is to be");
	return class;
}

int resctrl_apply(const struct resctrl_job *job, struct rb_err *err)
{
	CLEANUP_FD int root = sys_openat(AT_FDCWD, job->root, O_PATH | O_DIRECTORY, 0);
	CLEANUP_FD int class = -1;
	int r;

	if (root < 0)
		return err_set(err, RB_RDT, -root, "intelRdt: cannot open '%s'", job->root);
	class = class_open(root, job, err);
	if (class < 0)
		return job->join && class == -ENOENT ? 0 : class;
	/* the limits first: no instruction runs without them */
	r = job->schemata[0]
		    ? file_write_at(class, "schemata", job->schemata, strlen(job->schemata))
		    : 0;
	if (r < 0)
		return resctrl_error(root, "write the schemata of", job->class, r, err);
	r = r == 0 && job->pid ? group_join(root, class, job->class, job->pid, err) : r;
	return r < 0 || !job->monitor ? r : monitor_join(root, class, job, err);
}

int launch_resctrl(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	const struct plan_list *groups = plan_list_at(l->plan, op->list);
	const struct container *container = l->context->container;
	const struct resctrl_job job = {
		.arena = l->context->arena,
		.root = plan_str(l->plan, op->str[0]),
		.class = plan_str(l->plan, groups->item[0]),
		.monitor = groups->count > 1 ? plan_str(l->plan, groups->item[1]) : NULL,
		.schemata = plan_str(l->plan, op->str[1]),
		.make = (op->arg[0] & RESCTRL_MAKE) != 0,
		.own = (op->arg[0] & RESCTRL_OWN) != 0,
		.join = (op->arg[0] & RESCTRL_JOIN) != 0,
		.directory = container ? container->dir : -1,
		.pid = l->pid,
	};
	int r = resctrl_apply(&job, err);

	if (r < 0)
		err_origin(err, plan_str(l->plan, op->origin));
	return r;
}
