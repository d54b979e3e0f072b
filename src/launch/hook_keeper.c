/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent of a hook in the runtime's namespaces. A runtime can be killed at any time, and then
 * the hook is to end with all that it has started, which no death signal does: prctl(2) gives it to
 * one process and not to its children. So the hook has a parent of its own, a child subreaper: it
 * outlives the runtime by as long as it takes to end everything below it. The same when the hook's
 * time is over. When the hook ends by itself the keeper says how, and goes; what the hook has made
 * into a daemon is then whose it always was.
 */
#include "base/descendants.h"
#include "base/file.h"
#include "launch/launch_private.h"

static void hook_main(const struct hook_call *call, pid_t keeper) __attribute__((noreturn));
static void hook_main(const struct hook_call *call, pid_t keeper)
{
	sys_die_with(keeper);
	(void)sys_dup3(call->input, 0, 0);
	(void)sys_dup3(2, 1, 0);
	(void)sys_close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	sys_signals_reset();
	(void)sys_execve(call->path, call->argv, call->envp);
	sys_exit(127);
}

/* The hook's end, or the order to end it: SIGTERM, from the runtime or by its death. */
static void keep(pid_t hook, const sigset_t *set, int report)
{
	const struct pid_list nobody = {.n = 0};
	siginfo_t info = {0};

	while (!first_child_has_ended(hook)) {
		if (sigwaitinfo(set, &info) == SIGTERM) {
			descendants_end(&nobody);
			sys_exit(1);
		}
	}
	info = (siginfo_t){0};
	if (SYS_CALL(SYS_waitid, P_PID, hook, &info, WEXITED | __WALL, NULL) == 0) {
		const struct hook_end end = {.code = info.si_code, .status = info.si_status};

		(void)fd_write_all(report, &end, sizeof(end));
	}
}

static void keeper_main(const struct hook_call *call, pid_t runtime, int report)
	__attribute__((noreturn));
static void keeper_main(const struct hook_call *call, pid_t runtime, int report)
{
	const struct sigaction usual = {.sa_handler = SIG_DFL};
	struct clone_args args = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
	sigset_t set;
	pid_t hook;

	sigfillset(&set);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	/* ignored, it would take the hook's status away: wait(2) */
	(void)sigaction(SIGCHLD, &usual, NULL);
	sys_signal_at_death_of(runtime, SIGTERM);
	if (sys_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		sys_exit(1);
	runtime = SYS_CALL(SYS_getpid);
	hook = sys_clone3(&args);
	if (hook == 0)
		hook_main(call, runtime);
	/* nothing of the runtime's stays open here: its callers wait for the end of a file */
	fd_keep_only(&report, 1);
	(void)sys_chdir("/");
	if (hook > 0)
		keep(hook, &set, report);
	sys_exit(0);
}

int hook_keeper_start(const struct hook_call *call, int *ret_report)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	pid_t runtime = getpid();
	int pair[2];
	pid_t pid;

	/* never waited for: it holds what there is once the keeper has ended */
	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	pid = sys_clone3(&args);
	if (pid == 0)
		keeper_main(call, runtime, pair[1]);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return pid;
	}
	*ret_report = pair[0];
	return pidfd;
}
