/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of a command under ptrace(2) in which one process meets its fate at the entry of its
 * N-th system call: SIGKILL, or an error in place of the call. All other processes are let go at
 * once, so that they behave as they always do. x86-64 only: the registers are named here.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "sweep.h"

enum { CHILDREN_MAX = 64 };

struct tracer {
	const struct trace_job *job;
	struct trace_result *result;
	pid_t command;
	pid_t target; /* 0: not born yet */
	bool command_done;
	bool target_done; /* ended, or let go */
	bool armed;       /* calls are counted */
	bool inject;      /* at the exit of the current call */
	unsigned calls;
	pid_t children[CHILDREN_MAX]; /* processes of the command, in the order of their birth */
	unsigned n_children;
};

static void command_exec(const struct trace_job *job) __attribute__((noreturn));
static void command_exec(const struct trace_job *job)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(job->output, 1) < 0 || dup2(job->error, 2) < 0 ||
	    ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
		_exit(120);
	raise(SIGSTOP); /* until the options are set */
	execv(job->argv[0], job->argv);
	_exit(121);
}

/* A process of the command, seen for the first time by its stop or by its parent's event. */
static void tracer_meet(struct tracer *t, pid_t pid)
{
	for (unsigned i = 0; i < t->n_children; i++)
		if (t->children[i] == pid)
			return;
	if (t->n_children == CHILDREN_MAX)
		return;
	t->children[t->n_children++] = pid;
	if (t->n_children == t->job->child)
		t->target = pid;
}

static void resume(struct tracer *t, pid_t pid, int sig)
{
	if (pid == t->target && !t->target_done)
		(void)ptrace(PTRACE_SYSCALL, pid, 0, sig);
	else if (pid == t->command)
		(void)ptrace(PTRACE_CONT, pid, 0, sig);
	else
		(void)ptrace(PTRACE_DETACH, pid, 0, sig);
}

static void let_go(struct tracer *t, pid_t pid)
{
	t->target_done = true;
	(void)ptrace(PTRACE_DETACH, pid, 0, 0);
	if (pid == t->command)
		t->command_done = false; /* it is our child still: waitpid() tells of its end */
}

static void at_entry(struct tracer *t, pid_t pid, const struct __ptrace_syscall_info *info)
{
	/* signal(SIGPIPE, SIG_IGN) is the first thing that main() does; the loader has none */
	if (!t->armed && info->entry.nr == SYS_rt_sigaction)
		t->armed = true;
	if (!t->armed || ++t->calls != t->job->point) {
		resume(t, pid, 0);
		return;
	}
	t->result->number = (long)info->entry.nr;
	if (t->job->errnum && info->entry.nr == SYS_exit_group) {
		let_go(t, pid); /* it cannot fail; glibc crashes when it does */
		return;
	}
	t->result->hit = true;
	if (t->job->errnum && info->entry.nr == SYS_umask) {
		let_go(t, pid); /* umask(2): "This system call always succeeds" */
		return;
	}
	if (t->job->errnum == 0) {
		(void)kill(pid, SIGKILL);
		t->target_done = pid != t->command;
		return;
	}
	/* no such call: the kernel skips it and stops again at its exit. But close(2) closes,
	 * whatever it answers */
	if (info->entry.nr != SYS_close)
		(void)ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax),
			     -1L);
	t->inject = true;
	resume(t, pid, 0);
}

static void at_syscall(struct tracer *t, pid_t pid)
{
	struct __ptrace_syscall_info info = {0};

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) < 0)
		return; /* killed meanwhile */
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		at_entry(t, pid, &info);
	} else if (t->inject) {
		/* brk(2), NOTES: the kernel answers with a place, never with an errno */
		(void)ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax),
			     t->result->number == SYS_brk ? 0L : (long)-t->job->errnum);
		t->inject = false;
		let_go(t, pid);
	} else {
		resume(t, pid, 0);
	}
}

static void at_stop(struct tracer *t, pid_t pid, int status)
{
	unsigned long message = 0;
	int sig = WSTOPSIG(status);

	if (sig == (SIGTRAP | 0x80)) {
		at_syscall(t, pid);
		return;
	}
	switch (status >> 16) {
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		(void)ptrace(PTRACE_GETEVENTMSG, pid, 0, &message);
		if (pid == t->command)
			tracer_meet(t, (pid_t)message);
		resume(t, pid, 0);
		return;
	case PTRACE_EVENT_EXEC:
		/* the container's program: what we look at has ended; or a command that
		 * executes itself again, with the loader at work */
		if (pid == t->target && pid != t->command) {
			let_go(t, pid);
			return;
		}
		t->armed = !t->job->after_loader;
		resume(t, pid, 0);
		return;
	default: break;
	}
	if (pid != t->command)
		tracer_meet(t, pid);
	/* the SIGSTOP with which a new tracee begins is not for it to see */
	resume(t, pid, sig == SIGSTOP || sig == SIGTRAP ? 0 : sig);
}

static void at_event(struct tracer *t, pid_t pid, int status)
{
	if (WIFSTOPPED(status)) {
		at_stop(t, pid, status);
		return;
	}
	if (pid == t->command) {
		t->command_done = true;
		t->result->status = status;
	}
	if (pid == t->target)
		t->target_done = true;
}

/* One event of any process, or false at the deadline. */
static bool next_event(struct tracer *t, int64_t deadline)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (;;) {
		int64_t left = deadline - now_ms();
		struct timespec wait = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
		int status;
		pid_t pid = waitpid(-1, &status, __WALL | WNOHANG);

		if (pid > 0) {
			at_event(t, pid, status);
			return true;
		}
		if (pid < 0 || left <= 0)
			return false;
		(void)sigtimedwait(&set, NULL, &wait);
	}
}

static int tracer_begin(struct tracer *t)
{
	unsigned long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC;
	int status;

	if (t->job->child)
		options |= PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
	t->command = fork();
	if (t->command < 0)
		return -errno;
	if (t->command == 0)
		command_exec(t->job);
	if (t->job->child == 0)
		t->target = t->command;
	if (waitpid(t->command, &status, __WALL) < 0 || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, t->command, 0, options) < 0)
		return -EPERM;
	/* the loop sees the exec next; nothing of ours is counted */
	(void)ptrace(PTRACE_CONT, t->command, 0, 0);
	return 0;
}

int trace_run(const struct trace_job *job, struct trace_result *ret)
{
	struct tracer t = {.job = job, .result = ret};
	int64_t deadline = now_ms() + job->timeout_ms;
	int r;

	*ret = (struct trace_result){.hit = false};
	t.armed = job->child != 0;
	r = tracer_begin(&t);
	if (r < 0)
		return r;
	/* all of it: a target that is still stopped by us would be a hang of our own making */
	while (!t.command_done || (t.target && !t.target_done)) {
		if (next_event(&t, deadline))
			continue;
		ret->hung = true;
		(void)kill(t.command, SIGKILL);
		if (t.target && !t.target_done)
			(void)kill(t.target, SIGKILL);
		deadline = now_ms() + 1000;
		if (!next_event(&t, deadline))
			break;
	}
	return 0;
}
