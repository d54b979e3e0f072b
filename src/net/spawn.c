/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a network helper. Runs in whoever waits for it. The helper gets a fixed environment, no
 * descriptor but those that are meant for it, a process group of its own (a Ctrl-C for the command
 * is not for the network) and our death signal, which some drivers lose on the way: they get a
 * pipe whose end they watch, or a guard.
 */
#include "base/fd_message.h"
#include "net/spawn.h"

/* The parent is told what preparing has given, also when it has failed. */
static void wait_at_gate(const struct net_exec *exec)
{
	int prepared = exec->prepare ? exec->prepare() : 0;
	char byte;

	fd_close(&exec->gate[1]);
	if (exec->prepare && fd_message_send(exec->gate[0], &prepared, sizeof(prepared),
					     prepared < 0 ? -1 : prepared) < 0)
		sys_exit(127);
	if (sys_read(exec->gate[0], &byte, 1) != 1)
		sys_exit(127);
}

static void net_exec(const struct net_exec *exec, pid_t parent) __attribute__((noreturn));
static void net_exec(const struct net_exec *exec, pid_t parent)
{
	static const char *const envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	int null;

	if (exec->gate)
		wait_at_gate(exec);
	null = sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);

	(void)sys_dup3(null, 0, 0);
	(void)sys_dup3(null, 1, 0);
	(void)sys_dup3(exec->output, 2, 0);
	(void)sys_close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	for (size_t i = 0; i < ARRAY_LEN(exec->keep); i++)
		if (exec->keep[i] >= 0)
			(void)sys_fcntl(exec->keep[i], F_SETFD, 0);
	if (exec->dir >= 0)
		(void)sys_fchdir(exec->dir);
	if (!exec->same_group)
		(void)setpgid(0, 0);
	sys_die_with(parent);
	sys_signals_reset(); /* pasta of 2023 takes an ignored SIGPIPE for an error */
	(void)sys_execve(exec->path, exec->argv, (char *const *)envp);
	sys_exit(127);
}

int net_spawn(const struct net_exec *exec, int *ret_pidfd)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
	};
	pid_t parent = getpid();
	pid_t pid = sys_clone3(&args);

	if (pid == 0)
		net_exec(exec, parent);
	return pid;
}
