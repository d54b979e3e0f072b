/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks in the runtime's own namespaces: prestart, createRuntime, poststart, poststop. Runs in the
 * parent (and in `delete`). runtime-spec config.md#posix-platform-hooks: the state comes on
 * standard input; a hook's standard output goes to standard error, because ours is the step's.
 */
#include "base/file.h"
#include "base/log.h"
#include "launch/launch_private.h"

static void hook_child(const char *path, char *const argv[], char *const envp[], int input,
		       pid_t parent)
{
	/* a hook that hangs must not outlive a runtime that is killed; what it has made into a
	 * daemon does */
	sys_die_with(parent);
	(void)sys_dup3(input, 0, 0);
	(void)sys_dup3(2, 1, 0);
	(void)sys_close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	sys_signals_reset();
	(void)sys_execve(path, argv, envp);
	sys_exit(127);
}

int hook_start(struct hook *hook, const char *path, char *const argv[], char *const envp[],
	       const char *state, size_t state_len, uint64_t seconds, struct rb_err *err)
{
	CLEANUP_FD int input = fd_from_bytes("state", state, state_len);
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)&hook->pidfd,
		.exit_signal = SIGCHLD,
	};
	pid_t parent = getpid();
	pid_t pid;

	hook->pidfd = -1;
	if (input < 0)
		return err_set(err, RB_HOOK, -input, "hook '%s'", path);
	pid = sys_clone3(&args);
	if (pid == 0)
		hook_child(path, argv, envp, input, parent);
	if (pid < 0) {
		hook->pidfd = -1;
		return err_set(err, RB_HOOK, -pid, "hook '%s'", path);
	}
	hook->path = path;
	hook->seconds = seconds;
	hook->deadline_ms = seconds && seconds < INT32_MAX ? sys_now_ms() + (int64_t)seconds * 1000
							   : INT64_MAX;
	return 0;
}

size_t hook_poll(const struct hook *hook, struct pollfd *fd, int64_t *deadline_ms)
{
	*fd = (struct pollfd){.fd = hook->pidfd, .events = POLLIN};
	if (hook->deadline_ms < *deadline_ms)
		*deadline_ms = hook->deadline_ms;
	return 1;
}

/* 1: it runs, and has time left; 0: it has ended, or its time has. */
static int hook_await(const struct hook *hook, bool wait)
{
	struct pollfd fd;
	int64_t deadline = INT64_MAX;
	int r;

	(void)hook_poll(hook, &fd, &deadline);
	do {
		int64_t left = deadline - sys_now_ms();

		if (left < 0)
			left = 0;
		r = poll(&fd, 1, !wait ? 0 : left > INT_MAX ? -1 : (int)left);
	} while (r < 0 && errno == EINTR);
	return r == 0 && !wait && sys_now_ms() < deadline;
}

int hook_finish(struct hook *hook, bool wait, struct rb_err *err)
{
	siginfo_t info = {0};
	char text[64];
	bool late;

	if (hook_await(hook, wait))
		return 1;
	late = hook->deadline_ms <= sys_now_ms() &&
	       sys_wait_pidfd(hook->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && !info.si_pid;
	if (late)
		(void)sys_pidfd_send_signal(hook->pidfd, SIGKILL);
	if (sys_wait_pidfd(hook->pidfd, &info, WEXITED) < 0)
		info.si_code = CLD_EXITED; /* somebody else has taken its status */
	fd_close(&hook->pidfd);
	if (late)
		err_set(err, RB_HOOK, 0, "'%s' ran out of time (%" PRIu64 " s)", hook->path,
			hook->seconds);
	else if (info.si_code != CLD_EXITED)
		err_set(err, RB_HOOK, 0, "error running hook '%s': signal: %s", hook->path,
			signal_text(info.si_status, text));
	else if (info.si_status == 127)
		err_set(err, RB_HOOK, 0, "'%s': exit status 127 (or it cannot be executed)",
			hook->path);
	else if (info.si_status != 0)
		err_set(err, RB_HOOK, 0, "'%s': exit status %d", hook->path, info.si_status);
	else
		return 0;
	return -ECANCELED;
}

void hook_kill(struct hook *hook)
{
	sys_pidfd_end(&hook->pidfd);
}

/* The next of a kind; a failure is a line of the log. */
static void queue_start(struct hook_queue *queue, const struct spec_hook *hook,
			const struct strbuf *state, struct rb_err *err)
{
	static char *const no_env[] = {NULL};

	queue->argv[0] = hook->path;
	queue->argv[1] = NULL;
	if (state->failed)
		err_set(err, RB_NO_MEMORY, ENOMEM, "hook '%s'", hook->path);
	else
		(void)hook_start(&queue->running, hook->path,
				 (char *const *)(hook->args.n ? hook->args.v : queue->argv),
				 hook->env.n ? (char *const *)hook->env.v : no_env, state->text,
				 state->len, hook->timeout_s, err);
}

bool hooks_advance(struct hook_queue *queue, const struct spec *spec, enum spec_hook_kind kind,
		   const struct state_record *record, const struct state_annotation *annotations,
		   pid_t pid, bool wait)
{
	const struct spec_hooks *hooks = &spec->hooks[kind];
	CLEANUP_STRBUF struct strbuf state = {0};

	for (;;) {
		struct rb_err err = {0};
		size_t number = queue->next;

		if (queue->running.pidfd >= 0) {
			number--;
			if (hook_finish(&queue->running, wait, &err) == 1)
				return false;
		} else if (queue->next == hooks->n) {
			return true;
		} else {
			if (state.len == 0)
				state_json(record, annotations, spec->n_annotations,
					   pid ? "running" : "stopped", pid, &state);
			queue_start(queue, &hooks->v[queue->next++], &state, &err);
		}
		if (err.code)
			log_warn("error running %s hook #%zu: %s", spec_hook_names[kind], number,
				 err.what);
	}
}

void hooks_run(const struct spec *spec, enum spec_hook_kind kind, const struct state_record *record,
	       const struct state_annotation *annotations, pid_t pid)
{
	struct hook_queue queue = {.running = {.pidfd = -1}};

	(void)hooks_advance(&queue, spec, kind, record, annotations, pid, true);
}
