/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reaper of a step without a pid namespace of its own. It is the parent of the step's first
 * process and a child subreaper, so everything that the step starts stays below it: when the first
 * process has ended, or whoever runs the step is gone, it kills what is left. It says how the first
 * process has ended, which only a parent can know.
 *
 * It has its own process group, is not dumpable and blocks every signal. A step that shares the pid
 * namespace and has its privilege can kill it all the same: then the step ends, and what it has
 * left behind is only in its cgroup, if it has one.
 */
#include <sys/signalfd.h>
#include "base/descendants.h"
#include "base/fd_message.h"
#include "base/file.h"
#include "launch/launch_private.h"

/* What it says once the first process is born, or cannot be. */
struct reaper_birth {
	int32_t rc;
	int32_t pid;
	struct rb_err err;
};

/* What it says when that has ended. */
struct reaper_end {
	int32_t code, status; /* si_code and si_status: sigaction(2) */
	struct rusage usage;
};

bool first_child_has_ended(pid_t first)
{
	for (;;) {
		siginfo_t info = {0};

		if (SYS_CALL(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL,
			     NULL) < 0 ||
		    info.si_pid == 0)
			return false;
		if (info.si_pid == first)
			return true;
		(void)waitpid(info.si_pid, NULL, __WALL);
	}
}

/* Until the first process has ended; it is killed when the other side of the socket is gone. */
static void reaper_wait(int sock, int first_pidfd, pid_t first)
{
	sigset_t set;
	CLEANUP_FD int signals = -1;
	struct signalfd_siginfo info;
	bool alone = false;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	while (!first_child_has_ended(first)) {
		struct pollfd fds[] = {{.fd = alone ? -1 : sock, .events = POLLIN},
				       {.fd = signals, .events = POLLIN},
				       {.fd = first_pidfd, .events = POLLIN}};

		if (poll(fds, 3, -1) < 0)
			continue;
		if (fds[0].revents) {
			alone = true;
			(void)sys_pidfd_send_signal(first_pidfd, SIGKILL);
		}
		while (signals >= 0 && read(signals, &info, sizeof(info)) == sizeof(info))
			;
	}
}

static void reaper_serve(int sock, int first_pidfd, pid_t first)
{
	const struct pid_list nobody = {.n = 0};
	struct reaper_end end = {0};
	siginfo_t info = {0};

	reaper_wait(sock, first_pidfd, first);
	(void)SYS_CALL(SYS_waitid, P_PID, first, &info, WEXITED | __WALL, &end.usage);
	end.code = info.si_code;
	end.status = info.si_status;
	(void)fd_message_send(sock, &end, sizeof(end), -1);
	descendants_end(&nobody);
}

static void reaper_main(struct launch *l, const struct plan_op *op, int sock)
	__attribute__((noreturn));
static void reaper_main(struct launch *l, const struct plan_op *op, int sock)
{
	struct reaper_birth birth = {0};
	int keep[2];

	/* the child is still dumpable: it writes to its own files in /proc */
	birth.rc = sys_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (birth.rc < 0)
		err_set(&birth.err, RB_SETUP_STEP, -birth.rc, "cannot start the reaper");
	else
		birth.rc = launch_clone(l, op, &birth.err);
	birth.pid = l->pid;
	monitor_become("runbuild-reap");
	keep[0] = sock;
	keep[1] = l->pidfd;
	fd_keep_only(keep, ARRAY_LEN(keep));
	(void)sys_chdir("/");
	if (fd_message_send(sock, &birth, sizeof(birth), l->pidfd) < 0 || birth.rc < 0)
		sys_exit(1);
	reaper_serve(sock, l->pidfd, l->pid);
	sys_exit(0);
}

int launch_clone_reaped(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&l->reaper.pidfd,
		.exit_signal = SIGCHLD,
	};
	struct reaper_birth birth;
	int pair[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, RB_SETUP_STEP, errno, "cannot start the reaper");
	l->reaper.pid = sys_clone3(&args);
	if (l->reaper.pid == 0)
		reaper_main(l, op, pair[1]);
	close(pair[1]);
	l->reaper.sock = pair[0];
	if (l->reaper.pid < 0)
		return err_set(err, RB_SETUP_STEP, -l->reaper.pid, "cannot start the reaper");
	r = fd_message_receive(l->reaper.sock, &birth, sizeof(birth), &l->pidfd);
	if (r < 0)
		return err_set(err, RB_SETUP_KILLED, -r, "the reaper was killed");
	if (birth.rc < 0) {
		*err = birth.err;
		return birth.rc;
	}
	l->pid = birth.pid;
	return l->pidfd < 0 ? err_set(err, RB_NAMESPACE, EPROTO, "no process descriptor") : 0;
}

int launch_end_fd(const struct launch *launch)
{
	return launch->reaper.sock >= 0 ? launch->reaper.sock : launch->pidfd;
}

bool launch_reap(struct launch *launch, siginfo_t *info, struct rusage *usage)
{
	struct reaper_end end = {0};
	int fd = -1;
	ssize_t r;

	*info = (siginfo_t){0};
	if (launch->reaper.sock < 0)
		return SYS_CALL(SYS_waitid, P_PIDFD, launch->pidfd, info,
				WEXITED | WNOHANG | __WALL, usage) == 0 &&
		       info->si_pid;
	r = fd_message_take(launch->reaper.sock, &end, sizeof(end), MSG_DONTWAIT, &fd);
	if (r == -EAGAIN)
		return false;
	if (r != sizeof(end)) { /* it was killed: nobody knows how the step would have ended */
		(void)sys_pidfd_send_signal(launch->pidfd, SIGKILL);
		end = (struct reaper_end){.code = CLD_KILLED, .status = SIGKILL};
	}
	info->si_code = end.code;
	info->si_status = end.status;
	*usage = end.usage;
	return true;
}

bool launch_reaper_is_gone(struct launch *launch)
{
	siginfo_t info = {0};

	if (launch->reaper.pidfd < 0)
		return true;
	if (sys_wait_pidfd(launch->reaper.pidfd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
		return false;
	fd_close(&launch->reaper.pidfd);
	return true;
}

void launch_reaper_end(struct launch *l)
{
	siginfo_t info;

	fd_close(&l->reaper.sock);
	if (l->reaper.pidfd >= 0)
		(void)sys_wait_pidfd(l->reaper.pidfd, &info, WEXITED);
	fd_close(&l->reaper.pidfd);
}
