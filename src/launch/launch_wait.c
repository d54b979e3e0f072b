/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Supervision of a foreground step: one poll loop over the child, our signals and the terminal.
 * Runs in the parent. The step ends when its first process ends; what still holds its output
 * open is not waited for.
 */
#include <sys/signalfd.h>
#include "base/log.h"
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

int launch_take_signals(struct rb_err *err)
{
	sigset_t set;
	int fd;

	forwarded_signals(&set);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0) {
		err_set(err, RB_SETUP_STEP, errno, "cannot take signals");
		fd_close(&fd);
		return -EIO;
	}
	return fd;
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

static int exit_status(struct launch *l, struct rb_err *err)
{
	siginfo_t info = {0};
	int r = -EAGAIN;

	/* ECHILD: somebody reaped our child; anything else may pass, and the status is dear */
	for (int tries = 0; tries < 3 && r < 0 && r != -ECHILD; tries++)
		r = sys_wait_pidfd(l->pidfd, &info, WEXITED);
	if (r < 0)
		return err_set(err, RB_INTERNAL, -r, "the exit status of the step is lost");
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

/* Somebody killed the monitor (the OOM killer, perhaps): the step gets another one. */
static void replace_monitor(struct launch *l)
{
	struct rb_err err = {0};

	launch_monitor_end(l);
	if (launch_monitor(l, &err) < 0)
		log_warn("%s: processes of the step may outlive this one", err.what);
}

int launch_wait(struct launch *launch, struct rb_err *err)
{
	int signals = launch->context->signals;
	bool terminal = launch->tty_master >= 0;
	struct tty_pump pump;

	if (terminal)
		tty_pump_begin(&pump, launch->tty_master);
	for (;;) {
		struct pollfd fds[6 + LIMIT_SNAPSHOTS + NETWORK_POLL] = {
			{.fd = launch->pidfd, .events = POLLIN},
			{.fd = signals, .events = POLLIN},
			{.fd = launch->monitor_pidfd, .events = POLLIN},
		};
		size_t n = terminal ? 6 : 3;
		size_t n_watched = launch->context->n_watched;
		size_t n_network;

		if (terminal)
			tty_pump_poll(&pump, fds + 3);
		for (size_t i = 0; i < n_watched; i++)
			fds[n + i] = launch->context->watched[i];
		n_network = launch_network_poll(launch, fds + n + n_watched);
		if (poll(fds, n + n_watched + n_network, -1) < 0)
			continue; /* EINTR, ENOMEM: nothing is lost by asking again */
		if (fds[1].revents)
			handle_signal(launch, signals);
		if (fds[2].revents)
			replace_monitor(launch);
		if (terminal)
			tty_pump_copy(&pump, fds + 3);
		end_without_helpers(launch, fds + n);
		if (fds[0].revents)
			break;
		for (size_t i = 0; i < n_network; i++)
			if (fds[n + n_watched + i].revents)
				launch_network_event(launch);
	}
	launch_network_kill(launch);
	if (terminal) {
		tty_pump_drain(&pump);
		tty_pump_end(&pump);
	}
	return exit_status(launch, err);
}
