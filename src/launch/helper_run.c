/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a program of somebody else to its end: newuidmap and its like. Runs in the parent. The
 * helper gets a fixed environment, no descriptor of ours, dies with us, and is killed when it
 * takes too long; a hanging newuidmap must not hang a build.
 */
#include <time.h>
#include "base/file.h"
#include "base/sys.h"
#include "launch/launch.h"

/* In the new process: only calls that are safe after a fork. */
static void helper_exec(const char *path, const char *const argv[], int output, int standard)
{
	static const char *const envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	int null = sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);

	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		(void)sys_dup3(null, fd, 0);
	(void)sys_dup3(output, standard, 0);
	(void)sys_close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	sys_signals_reset();
	(void)sys_execve(path, (char *const *)argv, (char *const *)envp);
	sys_exit(127);
}

/* The first line of what the helper says, until it ends or its time is up. */
static bool helper_listen(int pidfd, int output, char *tail, size_t size)
{
	int64_t deadline = sys_now_ms() + LIMIT_HELPER_SECONDS * 1000;
	size_t len = 0;

	tail[0] = '\0';
	for (;;) {
		struct pollfd fds[] = {{.fd = output, .events = POLLIN},
				       {.fd = pidfd, .events = POLLIN}};
		int64_t left = deadline - sys_now_ms();
		char sink[256];
		ssize_t got;
		int r = left <= 0 ? 0 : poll(fds, 2, (int)left);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		if (fds[0].revents & POLLIN) {
			got = read(output, sink, sizeof(sink));
			for (ssize_t i = 0; i < got && len < size - 1; i++)
				tail[len++] = sink[i];
			tail[len] = '\0';
			continue;
		}
		if (fds[1].revents)
			break;
		if (fds[0].revents) /* it closed its end: wait for its exit alone */
			output = -1;
	}
	tail[strcspn(tail, "\n")] = '\0';
	return true;
}

static int helper_start(struct helper *helper, const char *path, const char *const argv[],
			int standard)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)&helper->pidfd,
		.exit_signal = SIGCHLD,
	};
	int pipes[2];
	pid_t parent = getpid();
	pid_t pid;

	*helper = (struct helper){.pidfd = -1, .output = -1};
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	pid = sys_clone3(&args);
	if (pid == 0) {
		sys_die_with(parent);
		helper_exec(path, argv, pipes[1], standard);
	}
	close(pipes[1]);
	if (pid < 0) {
		close(pipes[0]);
		return pid;
	}
	helper->output = pipes[0];
	return 0;
}

int helper_finish(struct helper *helper, char *tail, size_t tail_size)
{
	siginfo_t info = {0};
	int r;

	if (!helper_listen(helper->pidfd, helper->output, tail, tail_size)) {
		(void)sys_pidfd_send_signal(helper->pidfd, SIGKILL);
		snprintf(tail, tail_size, "killed after %u seconds", LIMIT_HELPER_SECONDS);
	}
	r = sys_wait_pidfd(helper->pidfd, &info, WEXITED);
	fd_close(&helper->pidfd);
	fd_close(&helper->output);
	if (r < 0)
		return r;
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

int helper_spawn(struct helper *helper, const char *path, const char *const argv[])
{
	return helper_start(helper, path, argv, STDERR_FILENO);
}

/* Is there more, in time, and is the other end of `alive` still there? */
static bool output_await(int output, int alive)
{
	struct pollfd fds[] = {{.fd = output, .events = POLLIN}, {.fd = alive}};

	return poll(fds, 2, LIMIT_HELPER_SECONDS * 1000) > 0 && !fds[1].revents;
}

char *helper_output_while(struct arena *arena, const char *path, const char *const argv[],
			  int alive)
{
	char *text = arena_alloc(arena, LIMIT_HELPER_OUTPUT + 1);
	struct helper helper;
	siginfo_t info = {0};
	size_t len = 0;
	ssize_t got;

	if (!text || helper_start(&helper, path, argv, STDOUT_FILENO) < 0)
		return NULL;
	while (output_await(helper.output, alive)) {
		got = read(helper.output, text + len, LIMIT_HELPER_OUTPUT - len);
		if (got <= 0)
			break;
		len += (size_t)got;
	}
	(void)sys_pidfd_send_signal(helper.pidfd, SIGKILL); /* if it still runs, it hangs */
	(void)sys_wait_pidfd(helper.pidfd, &info, WEXITED);
	fd_close(&helper.pidfd);
	fd_close(&helper.output);
	return text;
}

char *helper_output(struct arena *arena, const char *path, const char *const argv[])
{
	return helper_output_while(arena, path, argv, -1);
}

/* In the new process: standard output into the pipe, the rest is ours. */
static void output_exec(const char *path, const char *const argv[], int output)
{
	(void)sys_dup3(output, 1, 0);
	(void)sys_close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	sys_signals_reset();
	(void)sys_execve(path, (char *const *)argv, environ);
	sys_exit(127);
}

int program_output(struct arena *arena, const char *path, const char *const argv[], char **ret_text)
{
	CLEANUP_FD int pidfd = -1;
	CLEANUP_FD int reader = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	siginfo_t info = {0};
	int pipes[2];
	size_t len;
	pid_t parent = getpid();
	pid_t pid;
	int r;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	reader = pipes[0];
	pid = sys_clone3(&args);
	if (pid == 0) {
		sys_die_with(parent);
		output_exec(path, argv, pipes[1]);
	}
	close(pipes[1]);
	if (pid < 0)
		return pid;
	r = stream_read(arena, reader, LIMIT_STATE_BYTES, ret_text, &len);
	if (sys_wait_pidfd(pidfd, &info, WEXITED) < 0)
		return -ECHILD;
	if (r == 0 && (info.si_code != CLD_EXITED || info.si_status != 0))
		r = -ECANCELED;
	return r;
}
