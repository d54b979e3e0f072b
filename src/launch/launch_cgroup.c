/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cgroup's ops: make or find it, write limits, attach the device program, join. Runs in the
 * parent with the caller's privilege, while the child waits. A limit that cannot be set is an
 * error; only a group that nothing depends on may be missing (OP_CGROUP says so).
 */
#include "base/file.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "launch/launch_private.h"
#include "plan/resources.h"

/* The limit that comes next in the plan, for a message: "pids". */
static const char *next_limit(const struct launch *l, const struct plan_op *op)
{
	const struct plan_op *ops = plan_parent_ops(l->plan);

	for (size_t i = (size_t)(op - ops); i < l->plan->n_parent; i++)
		if (ops[i].kind == OP_CGROUP_WRITE && ops[i].arg[0] < CONTROLLERS &&
		    ops[i].arg[0] != CONTROLLER_DEVICES)
			return host_controller_names[ops[i].arg[0]];
	return NULL;
}

/* The first of several is kept for who has asked for the step. */
static void unlimited(struct launch *l, const char *why, const char *what)
{
	log_warn("%s; the step runs without %s", why, what);
	if (!l->unlimited)
		l->unlimited = arena_printf(l->context->arena, "%s; the step runs without %s", why,
					    what);
}

static int cgroup_make_failed(struct launch *l, const struct plan_op *op, int r, struct rb_err *err)
{
	const char *limit = next_limit(l, op);

	if (!op->arg[0]) {
		if (!l->cgroup_unasked)
			unlimited(l, err->what, "limits");
		return 0;
	}
	if (op->arg[2] == 0 && limit && err->code == RB_CGROUP) {
		err_set(err, RB_CGROUP, 0,
			"cannot set %s limit: container could not join or create cgroup", limit);
		err_fix(err, "have a cgroup delegated to this user (systemd-run --user --scope -p "
			     "Delegate=yes), or remove the limit");
	}
	err_origin(err, plan_str(l->plan, op->origin));
	return r;
}

/* exec --cgroup: "[CONTROLLER[,CONTROLLER...]:]PATH" below the container's group. */
static int cgroup_below(struct launch *l, const char *text, struct rb_err *err)
{
	const char *colon = strchr(text, ':');
	const char *path = colon ? colon + 1 : text;
	char *names = colon ? arena_strndup(l->context->arena, text, (size_t)(colon - text)) : NULL;
	bool found = false;

	for (size_t i = 0; i < l->group.n; i++) {
		struct cgroup_member *member = &l->group.v[i];
		int r;

		if (names && (member->v2 || !cgroup_names_match(member->hierarchy, names)))
			continue;
		found = true;
		r = cgroup_descend(l->context->arena, member, path, l->pid, err);
		if (r < 0)
			return r;
	}
	if (found)
		return 0;
	err_set(err, RB_USAGE, 0, "unknown controller %s in --cgroup", names ? names : text);
	err_fix(err, "/proc/self/cgroup lists them; cgroup v2 has none to name");
	return -EINVAL;
}

static int cgroup_find_existing(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	const struct plan_list *below = plan_list_at(l->plan, op->list);
	int r = cgroup_open(l->context->arena, plan_str(l->plan, op->str[0]), &l->group);

	if (r < 0)
		return err_set(err, RB_CGROUP, -r, "cannot find the container's cgroup");
	l->below = below && below->count > 0;
	for (uint32_t i = 0; below && i < below->count; i++) {
		r = cgroup_below(l, plan_str(l->plan, below->item[i]), err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Not ours: nothing is written there, and nobody is killed or removed there. */
static int cgroup_take(struct launch *l, struct rb_err *err)
{
	int fd = fd_dup(l->context->cgroup_fd, 3);

	if (fd < 0)
		return err_set(err, RB_CGROUP, -fd, "cannot take the cgroup that was handed over");
	l->group = (struct cgroup){.n = 1, .v = {{.fd = fd, .v2 = true, .path = "/"}}};
	return 0;
}

/*
 * One of many children: when its guard is killed together with us, whoever comes next finds the
 * group by this note. Groups that were there before are not ours to remove.
 */
static void cgroup_take_note(struct launch *l)
{
	const struct launch_context *context = l->context;
	CLEANUP_STRBUF struct strbuf note = {0};
	CLEANUP_FD int fd = -1;
	char file[LIMIT_STEP_ID + 16];

	if (!context->guard || context->files_dir < 0)
		return;
	cgroup_note(&l->group, &note);
	if (!note.text)
		return;
	snprintf(file, sizeof(file), "%s" CGROUP_NOTE, context->record->id);
	fd = sys_openat(context->files_dir, file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
	if (note.failed || fd < 0 || fd_write_all(fd, note.text, note.len) < 0)
		log_warn("cannot note the cgroup of %s: it stays if this process and its guard are "
			 "killed at once",
			 context->record->id);
	l->cgroup_noted = fd >= 0;
}

/* A container's is noted first: whoever deletes what a killed runtime has begun finds it. */
static int note_and_make(struct launch *l, const char *path, struct rb_err *err)
{
	const struct container *container = l->context->container;
	const char *name = container ? cgroup_absolute(l->context->arena, path) : NULL;
	int r = name ? container_note_cgroup(container, name) : 0;

	if (r < 0) {
		err_set(err, RB_STATE_WRITE, -r, "cannot write the state of container %s",
			container->id);
		err_fix(err, "free some space in the state directory");
		return r;
	}
	return cgroup_make(l->context->arena, path, &l->group, err);
}

int launch_cgroup_find(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	int r;

	if (op->arg[1] == CGROUP_HANDED)
		return cgroup_take(l, err);

	l->cgroup_must = op->arg[0] != 0;
	l->cgroup_unasked = op->arg[1] != CGROUP_EXISTING && !l->cgroup_must && !op->arg[2] &&
			    !next_limit(l, op);
	if (op->arg[1] == CGROUP_FILES && op->str[1])
		unlimited(l, plan_str(l->plan, op->str[1]), "limits");
	if (op->arg[1] == CGROUP_EXISTING) {
		r = cgroup_find_existing(l, op, err);
		return r < 0 ? cgroup_make_failed(l, op, r, err) : 0;
	}
	if (op->arg[1] == CGROUP_SCOPE)
		r = launch_scope(l, op, err);
	else
		r = note_and_make(l, plan_str(l->plan, op->str[0]), err);
	if (r < 0)
		return cgroup_make_failed(l, op, r, err);
	l->cgroup = cgroup_name(l->context->arena, &l->group);
	if (!l->cgroup)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "cgroup");
	l->context->record->cgroup = l->cgroup;
	cgroup_take_note(l);
	if (cgroup_count(&l->group) > (op->arg[1] == CGROUP_SCOPE))
		log_warn("container's cgroup is not empty: %zu process(es) found",
			 cgroup_count(&l->group));
	return 0;
}

int launch_cgroup_write(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	const char *file = plan_str(l->plan, op->str[0]);
	const char *value = plan_str(l->plan, op->str[1]);
	struct resource_write write = {
		.controller = (enum host_controller)op->arg[0],
		.v2 = op->arg[1] != 0,
		.flags = (unsigned)op->arg[2],
		.file = file,
		.value = value,
		.origin = plan_str(l->plan, op->origin),
	};
	int r;

	if (l->group.n == 0) /* it could not be made, and need not be */
		return 0;
	r = resource_apply(&l->group, &write, &l->group_state, err);
	if (r < 0 && !l->cgroup_must) {
		unlimited(l, err->what, "this limit");
		return 0;
	}
	if (r < 0)
		err_origin(err, plan_str(l->plan, op->origin));
	return r;
}

int launch_cgroup_devices(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	const struct plan_list *program = plan_list_at(l->plan, op->list);
	int r;

	if (l->group.n == 0 || !program)
		return 0;
	r = cgroup_attach_devices(&l->group, program->item, program->count / 2);
	if (r >= 0)
		return 0;
	err_set(err, RB_CGROUP, -r,
		"unable to apply cgroup configuration: cannot install the device filter");
	err_fix(err, r == -EPERM ? "bpf(2) needs CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN)"
				 : "the kernel needs CONFIG_CGROUP_BPF");
	err_origin(err, plan_str(l->plan, op->origin));
	return r;
}

/*
 * A group that has handed controllers down takes no processes any more (EBUSY): the container
 * manages groups of its own, and further processes go where its first one is.
 */
static int join_beside_init(struct launch *l, struct rb_err *err)
{
	CLEANUP_CGROUP struct cgroup beside = {.n = 0};
	char lines[8192];
	char path[64];
	const char *v2;
	char *name;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)l->context->init_pid);
	if (file_read_small(AT_FDCWD, path, lines, sizeof(lines)) <= 0)
		return -ESRCH;
	v2 = str_starts(lines, "0::/") ? lines : strstr(lines, "\n0::/");
	if (!v2)
		return -ENOENT;
	v2 = strchr(v2, '/');
	name = arena_strndup(l->context->arena, v2, strcspn(v2, "\n"));
	if (!name || cgroup_open(l->context->arena, name, &beside) < 0)
		return -ENOENT;
	return cgroup_add(&beside, l->pid, err);
}

/* A group that we made and the child is not in: its container has none. */
static void cgroup_give_up(struct launch *l)
{
	bool made = false;

	for (size_t i = 0; i < l->group.n; i++)
		made = made || l->group.v[i].made;
	if (made)
		(void)cgroup_remove(l->cgroup);
	cgroup_close(&l->group);
	l->cgroup = NULL;
	l->context->record->cgroup = ""; /* none: state_record.c */
}

int launch_cgroup_join(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	bool exec = l->context->init_pid > 0;
	int r;

	if (l->group.n == 0)
		return 0;
	r = resource_finish(&l->group, &l->group_state, err);
	if (r == 0)
		r = cgroup_add(&l->group, l->pid, err);
	if (r == -EBUSY && exec && !l->below) {
		struct rb_err second;

		if (join_beside_init(l, &second) == 0)
			return 0;
	}
	if (r < 0 && l->cgroup_unasked) {
		cgroup_give_up(l);
		return 0;
	}
	if (r < 0 && !op->arg[0]) {
		log_warn("%s; the process runs outside the container's cgroup", err->what);
		return 0;
	}
	return r;
}
