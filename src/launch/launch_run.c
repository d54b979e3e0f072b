/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop over the parent's ops. Runs in the calling process with its privilege. Every failure
 * leaves nothing: the child is killed and reaped, the monitor ended, the cgroup removed.
 */
#include <sys/mman.h>
#include "base/file.h"
#include "base/log.h"
#include "launch/launch_private.h"
#include "launch/tty_pump.h"

/* The child reads the plan from a sealed copy, mapped before it is born. */
int launch_keep_plan(const struct plan *plan, const struct plan **ret_kept, int *ret_fd,
		     struct rb_err *err)
{
	CLEANUP_FD int fd = plan_seal(plan, err);
	void *map;

	if (fd < 0)
		return fd;
	map = mmap(NULL, plan->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return err_set(err, RB_SETUP_STEP, errno, "cannot map the plan");
	*ret_kept = map;
	if (ret_fd)
		*ret_fd = fd_take(&fd);
	return 0;
}

void launch_forget_plan(const struct plan *kept)
{
	munmap((void *)kept, kept->size);
}

static int plan_map(struct launch *l, const struct plan *plan, struct rb_err *err)
{
	int r = 0;

	l->plan = plan;
	if (!l->context->plan_is_kept)
		r = launch_keep_plan(plan, &l->plan, NULL, err);
	if (r < 0)
		return r;
	l->plan_size = l->context->plan_is_kept ? 0 : plan->size;
	return 0;
}

static const struct plan_op *plan_find_child_op(const struct plan *plan, enum plan_op_kind kind)
{
	const struct plan_op *ops = plan_child_ops(plan);

	for (size_t i = 0; i < plan->n_child; i++)
		if (ops[i].kind == kind)
			return &ops[i];
	return NULL;
}

/* Pointers to a list's strings, with `spare` empty places behind them. */
static char **list_pointers(struct arena *arena, const struct plan *plan, uint32_t offset,
			    size_t spare, size_t *ret_n)
{
	const struct plan_list *list = plan_list_at(plan, offset);
	size_t n = list ? list->count : 0;
	char **v = arena_array(arena, n + spare + 1, sizeof(*v));

	for (size_t i = 0; v && i < n; i++)
		v[i] = (char *)plan_str(plan, list->item[i]);
	if (ret_n)
		*ret_n = n;
	return v;
}

/* Everything the child needs memory for. */
static int child_prepare(struct launch *l, struct rb_err *err)
{
	const struct plan_op *exec = plan_find_child_op(l->plan, OP_EXEC);
	struct exec_child *child = &l->child;
	struct arena *arena = l->context->arena;

	if (!exec && l->plan->part != PLAN_FIRST) /* plan_check() has made sure of it */
		return err_set(err, RB_INTERNAL, 0, "plan without execve");
	child->plan = l->plan;
	child->handed = l->context->handed;
	child->n_handed = l->context->n_handed;
	child->default_signals = l->context->default_signals;
	child->argv = list_pointers(arena, l->plan, exec ? exec->list : 0, 0, NULL);
	child->envp = list_pointers(arena, l->plan, exec ? exec->list2 : 0, 1, &child->n_envp);
	if (!child->argv || !child->envp)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "arguments");
	child->slots[SLOT_INIT] = l->context->init_pidfd;
	child->slots[SLOT_START] = l->context->start_socket;
	if (plan_find_child_op(l->plan, OP_HOOK)) {
		/* filled once the pid is known; the child reads them after a sync */
		child->slots[SLOT_STATE_CREATING] = fd_from_bytes("state", "", 0);
		child->slots[SLOT_STATE_CREATED] = fd_from_bytes("state", "", 0);
		if (child->slots[SLOT_STATE_CREATING] < 0 || child->slots[SLOT_STATE_CREATED] < 0)
			return err_set(err, RB_NO_MEMORY, ENOMEM, "state for hooks");
	}
	return 0;
}

static void state_for_hooks(struct launch *l, const char *status, struct strbuf *out)
{
	const struct launch_context *context = l->context;

	state_json(context->record, context->annotations, context->n_annotations, status, l->pid,
		   out);
}

/* What hooks in the child read on standard input. */
static int fill_child_states(struct launch *l, struct rb_err *err)
{
	static const struct {
		enum plan_slot slot;
		const char *status;
	} states[] = {{SLOT_STATE_CREATING, "creating"}, {SLOT_STATE_CREATED, "created"}};

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		CLEANUP_STRBUF struct strbuf text = {0};
		int fd = l->child.slots[states[i].slot];
		int r;

		if (fd < 0)
			continue;
		state_for_hooks(l, states[i].status, &text);
		r = text.failed ? -ENOMEM : fd_write_all(fd, text.text, text.len);
		if (r < 0)
			return err_set(err, RB_HOOK, -r, "state for hooks");
	}
	return 0;
}

/* The child ended without a word: somebody killed it, or it ran out of memory. */
static int child_vanished(struct launch *l, struct rb_err *err)
{
	siginfo_t info = {0};

	if (sys_wait_pidfd(l->pidfd, &info, WEXITED | WNOWAIT) == 0 && info.si_code != CLD_EXITED)
		err_set(err, RB_SETUP_KILLED, 0,
			"the container was killed by signal %d (%s) while "
			"it was being set up",
			info.si_status, sigabbrev_np(info.si_status));
	else
		err_set(err, RB_SETUP_KILLED, 0, "the container ended while it was being set up");
	return -ECANCELED;
}

/*
 * Takes records until the child has reached the stage, sent its terminal or reported execve.
 * 1: the next one is not there yet, and the caller prefers to come back for it.
 */
static int child_listen(struct launch *l, int stage, bool want_exec, int *ret_tty,
			struct rb_err *err)
{
	int flags = l->context->may_return ? MSG_DONTWAIT : 0;

	for (;;) {
		struct handshake record;
		int fd = -1;
		int r;

		if (stage >= 0 && l->reached[stage])
			return 0;
		r = launch_receive(l->sock, flags, &record, &fd);
		if (r == -EAGAIN)
			return 1;
		if (r == -ECONNRESET) /* unix(7): it ended before it had read what we sent */
			r = 0;
		if (r < 0)
			return err_set(err, RB_INTERNAL, -r, "handshake");
		if (r == 0 && want_exec && l->exec_reported)
			return 0;
		/* both say that the program has not run */
		if (r == 0 || record.type == HS_FAIL)
			l->started = false;
		if (r == 0)
			return child_vanished(l, err);
		switch (record.type) {
		case HS_FAIL: return launch_failure(&record, l->plan, l->child.argv[0], err);
		case HS_EXEC: l->exec_reported = true; break;
		case HS_REACHED:
			if (record.stage >= STAGE_COUNT)
				return err_set(err, RB_INTERNAL, EPROTO, "handshake");
			l->reached[record.stage] = true;
			break;
		case HS_LISTENER:
			if (fd < 0)
				return err_set(err, RB_INTERNAL, EPROTO, "handshake");
			fd_close(&l->listener);
			l->listener = fd;
			return 0;
		case HS_TTY:
			if (!ret_tty || fd < 0) {
				fd_close(&fd);
				return err_set(err, RB_INTERNAL, EPROTO, "handshake");
			}
			*ret_tty = fd;
			return 0;
		default: return err_set(err, RB_INTERNAL, EPROTO, "handshake");
		}
	}
}

static int run_open_ns(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	const char *path = plan_str(l->plan, op->str[0]);
	int fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);

	if (fd < 0) {
		err_set(err, RB_NAMESPACE, -fd, "cannot open the namespace '%s'", path);
		err_origin(err, plan_str(l->plan, op->origin));
		if (fd == -ENOENT)
			err_fix(err,
				"name a namespace that is there: /proc/PID/ns of a process that "
				"lives, or a file it is bound to");
		return fd;
	}
	l->child.slots[op->slot] = fd;
	return 0;
}

static int run_init_root(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	char path[64];
	int fd;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/root", (int)l->context->init_pid);
	fd = sys_openat(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
	/* alive now: so the number was its own when the root was opened */
	r = fd < 0 ? fd : sys_pidfd_send_signal(l->context->init_pidfd, 0);
	if (r < 0) {
		fd_close(&fd);
		err_set(err, RB_NAMESPACE, -r, "cannot enter the container's root");
		err_fix(err, "exec must be called by the user that started the container; a "
			     "created one needs a 'start' first");
		return r;
	}
	l->child.slots[op->slot] = fd;
	return 0;
}

static int run_idmap(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	int r = idmap_write(l->context->arena, l->pid, plan_str(l->plan, op->str[0]),
			    plan_str(l->plan, op->str[1]), (enum plan_idmap_method)op->arg[0], err);

	if (r < 0)
		err_origin(err, plan_str(l->plan, op->origin));
	return r;
}

static int run_record(struct launch *l, const struct plan_op *op UNUSED, struct rb_err *err)
{
	const struct launch_context *context = l->context;
	struct state_process init;
	int r = state_process_identify(l->pid, &init);

	if (r == -ESRCH)
		return child_vanished(l, err);
	if (r < 0)
		return err_set(err, RB_SETUP_STEP, -r, "cannot identify the container's process");
	r = container_write(context->container, &init, context->state_flags, context->record,
			    context->annotations, context->n_annotations, err);
	return r < 0 ? r : fill_child_states(l, err);
}

static int run_release(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	struct handshake record = {.type = HS_GO, .stage = op->stage};
	int r = handshake_send(l->sock, &record, -1);

	/* it died, or failed, after it had reached the stage */
	if (r == -EPIPE)
		return child_listen(l, -1, false, NULL, err);
	l->started |= r == 0 && op->stage == STAGE_READY;
	return r < 0 ? err_set(err, RB_INTERNAL, -r, "handshake") : 0;
}

static int start_hook(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf state = {0};
	struct arena *arena = l->context->arena;
	char **argv = list_pointers(arena, l->plan, op->list, 0, NULL);
	char **envp = list_pointers(arena, l->plan, op->list2, 0, NULL);

	state_for_hooks(l, op->arg[1] == HOOK_POSTSTART ? "running" : "creating", &state);
	if (!argv || !envp || state.failed)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "hook");
	return hook_start(&l->hook, plan_str(l->plan, op->str[0]), argv, envp, state.text,
			  state.len, op->arg[0], err);
}

static int run_hook(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	int r = l->hook.pidfd < 0 ? start_hook(l, op, err) : 0;

	if (r == 0)
		r = hook_finish(&l->hook, !l->context->may_return, err);
	if (r >= 0)
		return r;
	err_context(err, "error running %s hook #%u", spec_hook_names[op->arg[1]],
		    (unsigned)op->arg[2]);
	err_origin(err, plan_str(l->plan, op->origin));
	if (op->arg[1] != HOOK_POSTSTART)
		return r;
	/* runtime.md#lifecycle: a failing poststart hook is logged, the container goes on */
	log_warn("%s", err->what);
	return 0;
}

static int run_take_tty(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	CLEANUP_FD int master = -1;
	int r = child_listen(l, -1, false, &master, err);

	if (r != 0)
		return r;
	if (op->arg[0] == CONSOLE_SOCKET)
		return console_send(l->context->console_socket, master, err);
	/* before the program can ask; ENOTTY: we have no terminal to take a size from */
	(void)tty_pump_size(master);
	l->tty_master = fd_take(&master);
	return 0;
}

/* runc sends "pidfd" along. */
static int run_send_pidfd(struct launch *l, struct rb_err *err)
{
	const char *path = l->context->pidfd_socket;
	int r = descriptor_send(path, l->pidfd, "pidfd", 5);

	if (r < 0) {
		err_set(err, RB_CONSOLE_SOCKET, -r, "cannot send the process descriptor to '%s'",
			path);
		err_fix(err, "--pidfd-socket names a unix stream socket that somebody listens on");
	}
	return r;
}

static int pid_file_failure(const char *path, int r, struct rb_err *err)
{
	err_set(err, RB_PID_FILE, -r, "cannot write the pid file '%s'", path);
	err_fix(err, "name a file in a directory that exists and is writable");
	return r;
}

/* Writes PID, without a line end, by rename: readers parse it without trimming. */
static int run_await_exec(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	const struct launch_context *context = l->context;
	CLEANUP_STRBUF struct strbuf state = {0};
	int r = child_listen(l, -1, true, NULL, err);

	if (r < 0 || l->listener < 0)
		return r;
	/* exec has no record of its own: the agent knows the container by its id */
	if (context->record)
		state_for_hooks(l, context->init_pid > 0 ? "running" : "creating", &state);
	r = listener_send(plan_str(l->plan, op->str[0]), l->listener, l->pid,
			  plan_str(l->plan, op->str[1]), state.text ? state.text : "{}", err);
	fd_close(&l->listener);
	if (r < 0) {
		err_origin(err, plan_str(l->plan, op->origin));
		return r;
	}
	return child_listen(l, -1, true, NULL, err);
}

static int run_pid_file(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	const char *path = plan_str(l->plan, op->str[0]);
	const char *slash = strrchr(path, '/');
	char number[16];
	int len = snprintf(number, sizeof(number), "%d", (int)l->pid);
	int r = file_replace_at(l->pid_file_dir, slash ? slash + 1 : path, number, (size_t)len,
				0644);

	return r < 0 ? pid_file_failure(path, r, err) : 0;
}

/* A wrong path must be noticed before the program runs, though the file is written after. */
static int open_pid_file_dir(struct launch *l, struct rb_err *err)
{
	const struct plan_op *ops = plan_parent_ops(l->plan);

	for (size_t i = 0; i < l->plan->n_parent; i++) {
		const char *path = plan_str(l->plan, ops[i].str[0]);
		const char *slash = strrchr(path, '/');
		char *directory;
		int fd;

		if (ops[i].kind != OP_PID_FILE)
			continue;
		directory = slash ? arena_strndup(l->context->arena, path,
						  (size_t)(slash - path) + 1)
				  : arena_strdup(l->context->arena, ".");
		fd = directory ? sys_openat(AT_FDCWD, directory, O_PATH | O_DIRECTORY, 0) : -ENOMEM;
		if (fd < 0)
			return pid_file_failure(path, fd, err);
		l->pid_file_dir = fd;
	}
	return 0;
}

int launch_op(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	switch (op->kind) {
	case OP_OPEN_NS: return run_open_ns(l, op, err);
	case OP_CLONE:
		return op->arg[2] ? launch_clone_reaped(l, op, err) : launch_clone(l, op, err);
	case OP_INIT_ROOT: return run_init_root(l, op, err);
	case OP_IDMAP: return run_idmap(l, op, err);
	case OP_HOST_TREE: return launch_host_tree(l, op, err);
	case OP_NET_DEVICE: return launch_net_device(l, op, err);
	case OP_TAKE_NETWORK: return launch_network_take(l, op, err);
	case OP_STEP_NETWORK: return launch_network_start(l, op, err);
	case OP_KEEP_NETWORK: return launch_network_keep(l, op, err);
	case OP_AWAIT_NETWORK: return launch_network_await(l, err);
	case OP_CLOSE_NETWORK: return launch_network_close(l, op, err);
	case OP_PUBLISH_PORT: return launch_network_publish(l, op, err);
	case OP_CGROUP: return launch_cgroup_find(l, op, err);
	case OP_CGROUP_WRITE: return launch_cgroup_write(l, op, err);
	case OP_CGROUP_DEVICES: return launch_cgroup_devices(l, op, err);
	case OP_CGROUP_JOIN: return launch_cgroup_join(l, op, err);
	case OP_RESCTRL: return launch_resctrl(l, op, err);
	case OP_RECORD: return run_record(l, op, err);
	case OP_PUBLISH: return container_publish(l->context->container, err);
	case OP_MONITOR: return launch_monitor(l, err);
	case OP_AWAIT: return child_listen(l, op->stage, false, NULL, err);
	case OP_RELEASE: return run_release(l, op, err);
	case OP_RUN_HOOK: return run_hook(l, op, err);
	case OP_TAKE_TTY: return run_take_tty(l, op, err);
	case OP_AWAIT_EXEC: return run_await_exec(l, op, err);
	case OP_SEND_PLAN: return launch_send_plan(l, err);
	case OP_SEND_PIDFD: return run_send_pidfd(l, err);
	case OP_PID_FILE: return run_pid_file(l, op, err);
	default: return err_set(err, RB_INTERNAL, 0, "unknown operation");
	}
}

/* After the clone only the child needs its end, and what it inherited. */
static void drop_child_side(struct launch *l)
{
	fd_close(&l->child.sock);
	for (int slot = SLOT_USER_NS; slot <= SLOT_TIME_NS; slot++)
		fd_close(&l->child.slots[slot]);
	for (size_t i = 0; i < LIMIT_HOST_TREES; i++)
		fd_close(&l->child.trees[i]);
}

static void launch_undo(struct launch *l)
{
	siginfo_t info;

	hook_kill(&l->hook);
	if (l->pidfd >= 0) {
		(void)sys_pidfd_send_signal(l->pidfd, SIGKILL);
		(void)sys_wait_pidfd(l->pidfd, &info, WEXITED);
	}
	/* a group that was there before is somebody else's */
	for (size_t i = 0; l->cgroup && i < l->group.n; i++) {
		if (l->group.v[i].made) {
			(void)cgroup_remove(l->cgroup);
			break;
		}
	}
	launch_end(l);
}

void launch_abandon(struct launch *launch)
{
	launch_undo(launch);
}

void launch_init(struct launch *launch, const struct launch_context *context)
{
	*launch = (struct launch){
		.context = context,
		.sock = -1,
		.pidfd = -1,
		.monitor_pipe = -1,
		.monitor_pidfd = -1,
		.tty_master = -1,
		.pid_file_dir = -1,
		.listener = -1,
		.net = {.keeper = -1, .keeper_pidfd = -1, .lease = -1, .api = -1},
		.reaper = {.pidfd = -1, .sock = -1},
		.hook = {.pidfd = -1},
	};
	slirp_init(&launch->net.slirp);
	launch->child.sock = -1;
	for (size_t i = 0; i < LIMIT_HOST_TREES; i++)
		launch->child.trees[i] = -1;
	for (int slot = 0; slot < SLOT_COUNT; slot++)
		launch->child.slots[slot] = -1;
}

int launch_begin(struct launch *launch, const struct plan *plan,
		 const struct launch_context *context, struct rb_err *err)
{
	int pair[2];
	int r;

	launch_init(launch, context);
	if ((r = plan_map(launch, plan, err)) < 0 || (r = child_prepare(launch, err)) < 0 ||
	    (r = open_pid_file_dir(launch, err)) < 0) {
		launch_end(launch);
		return r;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		launch_end(launch);
		return err_set(err, RB_SETUP_STEP, errno, "socketpair");
	}
	launch->sock = pair[0];
	launch->child.sock = pair[1];
	return 0;
}

void launch_adopt(struct launch *launch, const struct plan *plan,
		  const struct launch_context *context, const struct launch_begun *begun)
{
	launch_init(launch, context);
	launch->plan = plan;
	launch->pid = begun->pid;
	launch->pidfd = begun->pidfd;
	launch->sock = begun->sock;
	launch->guard_key = begun->guard_key;
}

void launch_part_with(struct launch *launch)
{
	launch->guard_key = 0; /* the guard keeps it */
	launch_end(launch);
}

/* For who wants to know where the time goes: before and after an op. */
static void start_clock(struct launch *l, enum plan_op_kind kind)
{
	if (kind == OP_IDMAP)
		l->idmap_us -= sys_now_us();
	else if (kind == OP_STEP_NETWORK)
		l->net_began_us = sys_now_us();
}

static void stop_clock(struct launch *l, enum plan_op_kind kind)
{
	if (kind == OP_IDMAP)
		l->idmap_us += sys_now_us();
	else if (kind == OP_CLOSE_NETWORK || kind == OP_PUBLISH_PORT)
		l->net_us = sys_now_us() - l->net_began_us;
}

int launch_advance(struct launch *launch, struct rb_err *err)
{
	const struct plan_op *ops = plan_parent_ops(launch->plan);

	for (; launch->next_op < launch->plan->n_parent; launch->next_op++) {
		const struct plan_op *op = &ops[launch->next_op];
		int r;

		start_clock(launch, (enum plan_op_kind)op->kind);
		r = launch_op(launch, op, err);
		stop_clock(launch, (enum plan_op_kind)op->kind);
		if (op->kind == OP_CLONE)
			drop_child_side(launch);
		if (r < 0)
			launch_undo(launch);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	if (launch->plan->part != PLAN_FIRST)
		fd_close(&launch->sock);
	return 1;
}

int launch_start(struct launch *launch, const struct plan *plan,
		 const struct launch_context *context, struct rb_err *err)
{
	int r = launch_begin(launch, plan, context, err);

	if (r == 0)
		r = launch_advance(launch, err);
	/* 1: it is through, as it must be when it may not return before */
	return r < 0 ? r : 0;
}

void launch_end(struct launch *launch)
{
	launch_reaper_end(launch);
	launch_network_end(launch);
	launch_monitor_end(launch);
	cgroup_close(&launch->group);
	fd_close(&launch->sock);
	fd_close(&launch->child.sock);
	fd_close(&launch->pidfd);
	fd_close(&launch->tty_master);
	fd_close(&launch->pid_file_dir);
	fd_close(&launch->listener);
	for (int slot = 0; slot < SLOT_COUNT; slot++)
		if (slot != SLOT_INIT && slot != SLOT_START)
			fd_close(&launch->child.slots[slot]);
	launch_drop_plan(launch);
}

/* config-linux.md#the-container-process-state */
int listener_send(const char *path, int listener, pid_t pid, const char *metadata,
		  const char *state, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	int r;

	strbuf_printf(&text,
		      "{\"ociVersion\":\"1.0.2\",\"fds\":[\"seccompFd\"],\"pid\":%d,"
		      "\"metadata\":",
		      (int)pid);
	strbuf_add_json(&text, metadata);
	strbuf_printf(&text, ",\"state\":%s}", state);
	r = text.failed ? -ENOMEM : descriptor_send(path, listener, text.text, text.len);
	if (r < 0) {
		err_set(err, RB_SECCOMP, -r, "failed to connect with seccomp agent '%s'", path);
		err_fix(err, "listenerPath names a unix stream socket that the agent listens on");
	}
	return r;
}

int launch_await_start(int sock, bool *exec_reported, int *ret_listener, struct rb_err *err)
{
	*ret_listener = -1;
	for (;;) {
		struct handshake record;
		int fd = -1;
		int r = launch_receive(sock, 0, &record, &fd);

		if (r < 0 && r != -ECONNRESET)
			return err_set(err, RB_INTERNAL, -r, "handshake");
		if (r <= 0 && *exec_reported)
			return 0;
		if (r <= 0)
			return err_set(err, RB_SETUP_KILLED, 0,
				       "the container ended before its program was started");
		if (record.type == HS_LISTENER) {
			*ret_listener = fd;
			return 1;
		}
		fd_close(&fd);
		if (record.type == HS_FAIL)
			return launch_failure(&record, NULL, NULL, err);
		*exec_reported |= record.type == HS_EXEC;
	}
}
