/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks in the runtime's own namespaces: prestart, createRuntime, poststart, poststop. Runs in the
 * parent (and in `delete`). runtime-spec config.md#posix-platform-hooks: the state comes on
 * standard input; a hook's standard output goes to standard error, because ours is the step's.
 */
#include "base/file.h"
#include "base/log.h"
#include "launch/launch_private.h"

static void hook_child(const char *path, char *const argv[], char *const envp[], int input)
{

	(void)sys_dup3(input, 0, 0);
	(void)sys_dup3(2, 1, 0);
	(void)sys_close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	sys_signals_reset();
	(void)sys_execve(path, argv, envp);
	sys_exit(127);
}

/* 0: ended by itself; -ETIME: killed when its time was up. */
static int hook_wait(int pidfd, uint64_t seconds, siginfo_t *info)
{
	struct pollfd fd = {.fd = pidfd, .events = POLLIN};
	struct timespec timeout = {.tv_sec = (time_t)seconds};
	int r = 1;

	if (seconds) {
		do
			r = sys_ppoll(&fd, 1, &timeout);
		while (r == -EINTR);
	}
	if (r == 0)
		(void)sys_pidfd_send_signal(pidfd, SIGKILL);
	if (sys_wait_pidfd(pidfd, info, WEXITED) < 0)
		return -ECHILD;
	return r == 0 ? -ETIME : 0;
}

int hook_run(const char *path, char *const argv[], char *const envp[], const char *state,
	     size_t state_len, uint64_t seconds, struct rb_err *err)
{
	CLEANUP_FD int input = fd_from_bytes("state", state, state_len);
	CLEANUP_FD int pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	siginfo_t info = {0};
	char text[64];
	pid_t pid;
	int r;

	if (input < 0)
		return err_set(err, RB_HOOK, -input, "hook '%s'", path);
	pid = sys_clone3(&args);
	if (pid == 0)
		hook_child(path, argv, envp, input);
	if (pid < 0)
		return err_set(err, RB_HOOK, -pid, "hook '%s'", path);
	r = hook_wait(pidfd, seconds, &info);
	if (r == -ETIME)
		err_set(err, RB_HOOK, 0, "'%s' ran out of time (%" PRIu64 " s)", path, seconds);
	else if (info.si_code != CLD_EXITED)
		err_set(err, RB_HOOK, 0, "error running hook '%s': signal: %s", path,
			signal_text(info.si_status, text));
	else if (info.si_status == 127)
		err_set(err, RB_HOOK, 0, "'%s': exit status 127 (or it cannot be executed)", path);
	else if (info.si_status != 0)
		err_set(err, RB_HOOK, 0, "'%s': exit status %d", path, info.si_status);
	else
		return 0;
	return r < 0 ? r : -ECANCELED;
}

void hooks_run(const struct spec *spec, enum spec_hook_kind kind, const struct state_record *record,
	       const struct state_annotation *annotations, pid_t pid)
{
	static char *const no_env[] = {NULL};
	const struct spec_hooks *hooks = &spec->hooks[kind];
	CLEANUP_STRBUF struct strbuf state = {0};

	state_json(record, annotations, spec->n_annotations, pid ? "running" : "stopped", pid,
		   &state);
	for (size_t i = 0; i < hooks->n && !state.failed; i++) {
		const struct spec_hook *hook = &hooks->v[i];
		const char *own_argv[] = {hook->path, NULL};
		struct rb_err err;
		int r = hook_run(hook->path,
				 (char *const *)(hook->args.n ? hook->args.v : own_argv),
				 hook->env.n ? (char *const *)hook->env.v : no_env, state.text,
				 state.len, hook->timeout_s, &err);

		if (r < 0)
			log_warn("error running %s hook #%zu: %s", spec_hook_names[kind], i,
				 err.what);
	}
}
