/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Supervision of a foreground step: one poll loop over the child, our signals and the terminal.
 * Runs in the parent. The step ends when its first process ends; what still holds its output
 * open is not waited for.
 */
#include <sys/signalfd.h>
#include "launch/launch_private.h"
#include "launch/tty_pump.h"

/* Everything that can be caught, but for what the kernel sends about our own faults. */
static void forwarded_signals(sigset_t *set)
{
	static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};

	sigfillset(set);
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		sigdelset(set, own[i]);
}

void launch_block_signals(void)
{
	sigset_t set;

	forwarded_signals(&set);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

static void handle_signal(struct launch *l, int signals)
{
	struct signalfd_siginfo info;

	while (read(signals, &info, sizeof(info)) == sizeof(info)) {
		int sig = (int)info.ssi_signo;

		/* our children are watched by descriptor; SIGPIPE is about our own writes */
		if (sig == SIGCHLD || sig == SIGPIPE)
			continue;
		if (sig == SIGWINCH && l->tty_master >= 0) {
			(void)tty_pump_size(l->tty_master);
			continue;
		}
		/* ESRCH: it ended at this moment, and the loop is about to notice */
		(void)sys_pidfd_send_signal(l->pidfd, sig);
	}
}

/* Without its helpers (the daemon of a snapshot) the step would see nothing but errors. */
static void end_without_helpers(struct launch *l, const struct pollfd *fds)
{
	for (size_t i = 0; i < l->context->n_watched; i++)
		if (fds[i].revents)
			(void)sys_pidfd_send_signal(l->pidfd, SIGKILL);
}

static int exit_status(struct launch *l)
{
	siginfo_t info = {0};

	if (sys_wait_pidfd(l->pidfd, &info, WEXITED) < 0)
		return 255;
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

int launch_wait(struct launch *launch)
{
	CLEANUP_FD int signals = -1;
	bool terminal = launch->tty_master >= 0;
	struct tty_pump pump;
	sigset_t set;

	forwarded_signals(&set);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (terminal)
		tty_pump_begin(&pump, launch->tty_master);
	for (;;) {
		struct pollfd fds[5 + LIMIT_SNAPSHOTS] = {{.fd = launch->pidfd, .events = POLLIN},
							  {.fd = signals, .events = POLLIN}};
		size_t n = terminal ? 5 : 2;
		size_t n_watched = launch->context->n_watched;

		if (terminal)
			tty_pump_poll(&pump, fds + 2);
		for (size_t i = 0; i < n_watched; i++)
			fds[n + i] = launch->context->watched[i];
		if (poll(fds, n + n_watched, -1) < 0)
			continue; /* EINTR, ENOMEM: nothing is lost by asking again */
		if (fds[1].revents)
			handle_signal(launch, signals);
		if (terminal)
			tty_pump_copy(&pump, fds + 2);
		end_without_helpers(launch, fds + n);
		if (fds[0].revents)
			break;
	}
	if (terminal) {
		tty_pump_drain(&pump);
		tty_pump_end(&pump);
	}
	return exit_status(launch);
}
