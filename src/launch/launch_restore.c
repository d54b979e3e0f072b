/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `restore`: criu makes the processes, we make what stands around them. Runs in the parent. Of
 * the plan only the parent's half is carried out, in three parts: the cgroup before criu has
 * read its request (criu is in it, and so is all that it makes), record, monitor and hooks when
 * the first process exists and has not run, the rest when everything is restored. The child's
 * half is what the images hold.
 */
#include "base/file.h"
#include "launch/criu.h"
#include "launch/launch_private.h"

struct restore {
	struct launch *l;
	const struct launch_restore *wanted;
};

static int run_ops(struct launch *l, const enum plan_op_kind *kinds, size_t n, struct rb_err *err)
{
	const struct plan_op *ops = plan_parent_ops(l->plan);

	for (size_t i = 0; i < l->plan->n_parent; i++) {
		for (size_t k = 0; k < n; k++) {
			int r = ops[i].kind == kinds[k] ? launch_op(l, &ops[i], err) : 0;

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* prestart and createRuntime. poststart belongs to a program that starts; this one goes on. */
static int run_hooks_before(struct launch *l, struct rb_err *err)
{
	const struct plan_op *ops = plan_parent_ops(l->plan);
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->plan->n_parent; i++)
		if (ops[i].kind == OP_RUN_HOOK && ops[i].arg[1] != HOOK_POSTSTART)
			r = launch_op(l, &ops[i], err);
	return r;
}

static int restored_exists(struct launch *l, pid_t pid, struct rb_err *err)
{
	static const enum plan_op_kind record[] = {OP_RECORD};
	int r = sys_pidfd_open(pid);

	if (r < 0)
		return err_set(err, RB_CRIU, -r, "criu names process %d", (int)pid);
	l->pidfd = r;
	l->pid = pid;
	/* a detached one, too, must not be left half made */
	if ((r = launch_monitor(l, err)) < 0 ||
	    (r = run_ops(l, record, ARRAY_LEN(record), err)) < 0)
		return r;
	return run_hooks_before(l, err);
}

static int restored_tty(struct restore *restore, int *fd, struct rb_err *err)
{
	const struct launch_context *context = restore->l->context;

	if (*fd < 0)
		return err_set(err, RB_CRIU, EPROTO, "criu sent no terminal");
	if (context->console_socket)
		return console_send(context->console_socket, *fd, err);
	if (!restore->wanted->keep_tty)
		return 0;
	fd_close(&restore->l->tty_master);
	restore->l->tty_master = fd_take(fd);
	return 0;
}

static int restore_noted(void *data, const struct criu_reply *reply, int *fd, struct rb_err *err)
{
	static const enum plan_op_kind done[] = {OP_PUBLISH, OP_SEND_PIDFD, OP_PID_FILE};
	struct restore *restore = data;
	struct launch *l = restore->l;

	if (str_eq(reply->script, "setup-namespaces") && l->pidfd < 0)
		return restored_exists(l, reply->pid, err);
	if (str_eq(reply->script, "orphan-pts-master"))
		return restored_tty(restore, fd, err);
	if (!str_eq(reply->script, "post-restore"))
		return 0;
	if (l->pidfd < 0)
		return err_set(err, RB_CRIU, EPROTO, "criu did not name its first process");
	l->started = true;
	return run_ops(l, done, ARRAY_LEN(done), err);
}

/*
 * Where the groups of the images go now: those of each controller of v1, and of no controller,
 * which is the tree of v2. Without it criu moves what it restores into the groups of the images,
 * where the end of the source would find it.
 */
static int restore_cgroup_roots(struct launch *l, struct criu_request *request, struct rb_err *err)
{
	struct arena *arena = l->context->arena;
	char lines[8192];
	char path[64];
	struct criu_pair *pairs = arena_array(arena, HIERARCHIES_MAX, sizeof(*pairs));

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)l->pid);
	if (!pairs || file_read_small(AT_FDCWD, path, lines, sizeof(lines)) <= 0)
		return err_set(err, RB_CRIU, ESRCH, "cannot read '%s'", path);
	request->cgroup_roots = pairs;
	for (const char *at = lines; *at && request->n_cgroup_roots < HIERARCHIES_MAX;) {
		size_t len = strcspn(at, "\n");
		const char *names = memchr(at, ':', len);
		const char *end = names ? memchr(names + 1, ':', len - (size_t)(names + 1 - at))
					: NULL;

		if (end)
			pairs[request->n_cgroup_roots++] = (struct criu_pair){
				end == names + 1 ? NULL
						 : arena_strndup(arena, names + 1,
								 (size_t)(end - names - 1)),
				arena_strndup(arena, end + 1, len - (size_t)(end + 1 - at))};
		at += len + (at[len] == '\n');
	}
	return 0;
}

static int restore_by(struct restore *restore, struct criu *criu, struct rb_err *err)
{
	static const enum plan_op_kind cgroup[] = {OP_CGROUP, OP_CGROUP_WRITE, OP_CGROUP_DEVICES,
						   OP_CGROUP_JOIN, OP_RESCTRL};
	const struct criu_request *own = &restore->wanted->request;
	struct criu_request request = *own;
	struct launch *l = restore->l;
	const struct criu_listener listener = {
		.noted = restore_noted, .data = restore, .signals = l->context->signals};
	int r;

	/* in the group while it works, and with it what it makes */
	l->pid = criu->pid;
	if ((r = run_ops(l, cgroup, ARRAY_LEN(cgroup), err)) < 0 ||
	    (r = restore_cgroup_roots(l, &request, err)) < 0)
		return r;
	criu_request_directories(&restore->wanted->start, &request);
	r = criu_ask(criu, &request, &listener, err);
	if (r < 0 && err->code == RB_CRIU)
		criu_explain(own->work >= 0 ? own->work : own->images, own->log, err);
	return r;
}

/* What criu has left of the processes; a group that was there before is somebody else's. */
static void restore_kill(const struct launch *l)
{
	bool made = l->cgroup != NULL && l->group.n > 0;

	for (size_t i = 0; i < l->group.n; i++)
		made = made && l->group.v[i].made;
	if (made)
		cgroup_kill(l->cgroup);
}

int launch_restore(struct launch *launch, const struct plan *plan,
		   const struct launch_context *context, const struct launch_restore *wanted,
		   struct rb_err *err)
{
	struct restore restore = {.l = launch, .wanted = wanted};
	struct criu criu = {.pidfd = -1, .sock = -1};
	int r = launch_begin(launch, plan, context, err);

	if (r < 0)
		return r;
	r = criu_start(&wanted->start, &criu, err);
	if (r == 0)
		r = restore_by(&restore, &criu, err);
	criu_end(&criu);
	if (r < 0) {
		/* it never ran under our eyes */
		launch->started = false;
		restore_kill(launch);
		launch_abandon(launch);
	}
	return r;
}
