/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks in the runtime's own namespaces: prestart, createRuntime, poststart, poststop. Runs in the
 * parent (and in `delete`). runtime-spec config.md#posix-platform-hooks: the state comes on
 * standard input; a hook's standard output goes to standard error, because ours is the step's.
 */
#include "base/file.h"
#include "base/log.h"
#include "launch/launch_private.h"

int hook_start(struct hook *hook, const char *path, char *const argv[], char *const envp[],
	       const char *state, size_t state_len, uint64_t seconds, struct rb_err *err)
{
	CLEANUP_FD int input = fd_from_bytes("state", state, state_len);
	const struct hook_call call = {.path = path, .argv = argv, .envp = envp, .input = input};

	hook->pidfd = input < 0 ? input : hook_keeper_start(&call, &hook->report);
	if (hook->pidfd < 0) {
		err_set(err, RB_HOOK, -hook->pidfd, "hook '%s'", path);
		hook->pidfd = -1;
		return -ECANCELED;
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

/* The keeper ends what is left of the hook first, and takes no longer than that. */
static void hook_end_all(struct hook *hook)
{
	(void)sys_pidfd_send_signal(hook->pidfd, SIGTERM);
}

/* How the hook has ended: what the keeper, which is gone, has said. Both are closed. */
static struct hook_end hook_reap(struct hook *hook)
{
	struct hook_end end;
	siginfo_t info;

	(void)sys_wait_pidfd(hook->pidfd, &info, WEXITED); /* ECHILD: taken by somebody else */
	fd_close(&hook->pidfd);
	if (read(hook->report, &end, sizeof(end)) != sizeof(end))
		end = (struct hook_end){.code = CLD_KILLED, .status = SIGKILL};
	fd_close(&hook->report);
	return end;
}

int hook_finish(struct hook *hook, bool wait, struct rb_err *err)
{
	siginfo_t info = {0};
	struct hook_end end;
	char text[64];
	bool late;

	if (hook_await(hook, wait))
		return 1;
	late = hook->deadline_ms <= sys_now_ms() &&
	       sys_wait_pidfd(hook->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && !info.si_pid;
	if (late)
		hook_end_all(hook);
	end = hook_reap(hook);
	if (late)
		err_set(err, RB_HOOK, 0, "'%s' ran out of time (%" PRIu64 " s)", hook->path,
			hook->seconds);
	else if (end.code != CLD_EXITED)
		err_set(err, RB_HOOK, 0, "error running hook '%s': signal: %s", hook->path,
			signal_text(end.status, text));
	else if (end.status != 0)
		err_set(err, RB_HOOK, 0, "'%s': exit status %d%s", hook->path, end.status,
			end.status == 127 ? " (or it cannot be executed)" : "");
	else
		return 0;
	if (end.code == CLD_EXITED && end.status == 127)
		err_fix(err,
			"is it there and executable? Its output, if any, is above this message");
	return -ECANCELED;
}

void hook_kill(struct hook *hook)
{
	if (hook->pidfd < 0)
		return;
	hook_end_all(hook);
	(void)hook_reap(hook);
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
