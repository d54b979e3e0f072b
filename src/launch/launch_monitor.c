/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor: a process of ours that outlives us by an instant. It runs outside the step's
 * namespaces, holds a pidfd of the step's first process and the reading end of a pipe whose only
 * writing end is ours. When we die, by whatever signal, it kills the first process, with which
 * the kernel kills its whole pid namespace, and removes what we held. PR_SET_PDEATHSIG alone
 * does not do: the step can undo it with one prctl.
 *
 * It has its own process group (a kill of ours must miss it), is not dumpable, blocks every
 * signal, and keeps no descriptor but the four it needs: the caller's pipes must see our end.
 * Must not allocate before it is needed, and never writes anywhere.
 */
#include "base/file.h"
#include "launch/launch_private.h"

/* What `run` would have removed at its end, if it is still there. */
static void monitor_clean_up(const struct launch *l)
{
	const struct launch_context *context = l->context;
	const char *cgroup;

	if (context->keep)
		return;
	cgroup = launch_cgroup(l);
	if (cgroup) {
		cgroup_kill(cgroup);
		(void)cgroup_remove(cgroup);
	}
	/* else it was removed, and the name may belong to another container by now */
	if (context->container && container_linked(context->container))
		(void)container_remove(context->root, context->container);
}

/* True when our parent is gone; false when it needs us no more. */
static bool monitor_listen(int pipe_end)
{
	ssize_t r;
	char byte;

	/* an error is neither: only the end of the file is the parent's end */
	do
		r = sys_read(pipe_end, &byte, 1);
	while (r < 0);
	return r == 0;
}

static void monitor_main(struct launch *l, int pipe_end) __attribute__((noreturn));
static void monitor_main(struct launch *l, int pipe_end)
{
	const struct launch_context *context = l->context;
	int keep[4 + LIMIT_HELD_FDS] = {
		pipe_end,
		l->pidfd,
		context->root ? context->root->fd : -1,
		context->container ? context->container->dir : -1,
	};

	monitor_become("runbuild-guard");
	for (size_t i = 0; i < LIMIT_HELD_FDS; i++)
		keep[4 + i] = i < context->n_held ? context->held[i] : -1;
	fd_keep_only(keep, ARRAY_LEN(keep));
	if (!monitor_listen(pipe_end))
		sys_exit(0);
	(void)sys_pidfd_send_signal(l->pidfd, SIGKILL);
	monitor_wait_dead(l->pidfd);
	monitor_clean_up(l);
	sys_exit(0);
}

int launch_monitor(struct launch *l, struct rb_err *err)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&l->monitor_pidfd,
		.exit_signal = SIGCHLD,
	};
	int pipes[2];
	pid_t pid;

	if (l->context->guard)
		return guard_add(l, err);
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return err_set(err, RB_SETUP_STEP, errno, "cannot start the monitor");
	pid = sys_clone3(&args);
	if (pid == 0) {
		close(pipes[1]);
		monitor_main(l, pipes[0]);
	}
	close(pipes[0]);
	if (pid < 0) {
		close(pipes[1]);
		return err_set(err, RB_SETUP_STEP, -pid, "cannot start the monitor");
	}
	/* from both sides, as shells do: whoever comes first */
	(void)setpgid(pid, pid);
	l->monitor_pipe = pipes[1];
	return 0;
}

void launch_monitor_end(struct launch *l)
{
	siginfo_t info;

	guard_drop(l);
	if (l->monitor_pidfd < 0)
		return;
	/*
	 * Before its pipe closes: it must not remove what was kept. ESRCH: it was killed. Should
	 * the signal fail in another way, a word does as well.
	 */
	if (sys_pidfd_send_signal(l->monitor_pidfd, SIGKILL) < 0)
		(void)sys_write(l->monitor_pipe, "", 1);
	(void)sys_wait_pidfd(l->monitor_pidfd, &info, WEXITED);
	fd_close(&l->monitor_pidfd);
	fd_close(&l->monitor_pipe);
}

/*
 * The caller leaves and the container goes on: somebody has to keep the locks, as the daemon of a
 * FUSE snapshot does. Whoever reaps the caller's orphans reaps this one at the container's end.
 */
int launch_hold(const struct launch *l, void (*at_end)(void *), void *data)
{
	const struct launch_context *context = l->context;
	struct clone_args args = {.exit_signal = SIGCHLD};
	int keep[1 + LIMIT_HELD_FDS] = {l->pidfd};
	pid_t pid = sys_clone3(&args);

	if (pid != 0)
		return pid < 0 ? pid : 0;
	monitor_become("runbuild-lock");
	for (size_t i = 0; i < LIMIT_HELD_FDS; i++)
		keep[1 + i] = i < context->n_held ? context->held[i] : -1;
	fd_keep_only(keep, ARRAY_LEN(keep));
	(void)sys_chdir("/");
	monitor_wait_dead(l->pidfd);
	at_end(data);
	sys_exit(0);
}
