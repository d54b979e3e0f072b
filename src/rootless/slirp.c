/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slirp4netns: a network for the child's network namespace in user space. Runs in the parent.
 * Always with its sandbox and filter, because it parses what steps send, and without a way to
 * the host's loopback. It ends when our end of the exit pipe closes, whatever happens to us.
 */
#include "base/log.h"
#include "host/helper.h"
#include "rootless/rootless_private.h"

enum { SLIRP_READY_MS = 10000 };

static void slirp_exec(const char *path, char *const argv[], const int keep[2], int output)
{
	static const char *const envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	int null = sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);
	sigset_t none;

	(void)sys_dup3(null, 0, 0);
	(void)sys_dup3(null, 1, 0);
	(void)sys_dup3(output, 2, 0);
	(void)sys_close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	for (int i = 0; i < 2; i++)
		(void)fcntl(keep[i], F_SETFD, 0);
	(void)setpgid(0, 0); /* a Ctrl-C for the command is not for the network */
	(void)sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)sys_execve(path, argv, (char *const *)envp);
	sys_exit(127);
}

/* Its last words, as one line: what it says last is why it gave up. */
static void slirp_hear(int output, char *said, size_t size)
{
	char text[4096];
	size_t len = 0;
	ssize_t got;
	char *from;

	while ((got = read(output, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)got;
	while (len > 0 && text[len - 1] == '\n')
		len--;
	text[len] = '\0';
	from = len < size ? text : text + len - size + 1;
	for (char *at = from; *at; at++)
		if (*at == '\n')
			*at = ';';
	memcpy(said, from, strlen(from) + 1);
}

/* "1" on the ready pipe; -ETIMEDOUT, or -EPIPE when it has ended. */
static int slirp_wait(struct rootless *r, int ready)
{
	struct pollfd fds[] = {{.fd = ready, .events = POLLIN},
			       {.fd = r->slirp_pidfd, .events = POLLIN}};
	char byte;
	int n;

	do
		n = poll(fds, 2, SLIRP_READY_MS);
	while (n < 0 && errno == EINTR);
	if (n > 0 && (fds[0].revents & POLLIN) && read(ready, &byte, 1) == 1 && byte == '1')
		return 0;
	return n == 0 ? -ETIMEDOUT : -EPIPE;
}

static int slirp_failed(struct rootless *r, int rc, const char *path, struct rb_err *err)
{
	siginfo_t info = {0};
	char said[256];

	/* its end of the ready pipe closes a moment before it ends and after its last words */
	if (rc == -ETIMEDOUT)
		(void)sys_pidfd_send_signal(r->slirp_pidfd, SIGKILL);
	(void)sys_wait_pidfd(r->slirp_pidfd, &info, WEXITED);
	fd_close(&r->slirp_pidfd);
	slirp_hear(r->slirp_output, said, sizeof(said));
	if (rc == -ETIMEDOUT)
		err_set(err, RB_SLIRP_FAILED, 0, "slirp4netns was not ready after %d s: %s",
			SLIRP_READY_MS / 1000, said);
	else
		err_set(err, RB_SLIRP_FAILED, 0, "slirp4netns ended with %s %d: %s",
			info.si_code == CLD_EXITED ? "status" : "signal", info.si_status,
			said[0] ? said : "it said nothing");
	err_fix(err, "use another version of %s, or --net=host", path);
	return rc;
}

static int slirp_check_tun(struct rb_err *err)
{
	struct stat st;

	if (sys_faccessat2(AT_FDCWD, "/dev/net/tun", R_OK | W_OK, AT_EACCESS) == 0)
		return 0;
	if (stat("/dev/net/tun", &st) < 0) {
		err_set(err, RB_TUN, errno, "/dev/net/tun");
		err_fix(err, "sudo modprobe tun, or docker run --device /dev/net/tun");
	} else {
		err_set(err, RB_TUN, 0,
			"/dev/net/tun has mode %04o, owner %u, and cannot be opened",
			st.st_mode & 07777, st.st_uid);
		err_fix(err, "sudo chmod 666 /dev/net/tun (for good: a udev rule)");
	}
	return -EACCES;
}

static int slirp_spawn(struct rootless *r, const char *path, const int pipes[3][2],
		       struct rb_err *err)
{
	uint32_t mtu = r->options->mtu ? r->options->mtu : 65520;
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)&r->slirp_pidfd,
		.exit_signal = SIGCHLD,
	};
	const int keep[2] = {pipes[0][0], pipes[1][1]};
	char *argv[16];
	size_t n = 0;
	pid_t pid;

	argv[n++] = arena_strdup(r->arena, path);
	argv[n++] = arena_strdup(r->arena, "--configure");
	argv[n++] = arena_printf(r->arena, "--mtu=%u", mtu);
	argv[n++] = arena_printf(r->arena, "--exit-fd=%d", keep[0]);
	argv[n++] = arena_printf(r->arena, "--ready-fd=%d", keep[1]);
	argv[n++] = arena_strdup(r->arena, "--enable-sandbox");
	argv[n++] = arena_strdup(r->arena, "--enable-seccomp");
	if (!r->options->allow_host_loopback)
		argv[n++] = arena_strdup(r->arena, "--disable-host-loopback");
	argv[n++] = arena_printf(r->arena, "%d", (int)r->pid);
	argv[n++] = arena_strdup(r->arena, "tap0");
	argv[n] = NULL;
	pid = sys_clone3(&args);
	if (pid == 0)
		slirp_exec(path, argv, keep, pipes[2][1]);
	return pid < 0 ? err_set(err, RB_SLIRP_FAILED, -pid, "cannot start slirp4netns") : 0;
}

int slirp_start(struct rootless *r, struct rb_err *err)
{
	const char *path = helper_find(r->arena, "slirp4netns");
	int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}}; /* exit, ready, standard error */
	int rc = 0;

	if (!path) {
		err_set(err, RB_SLIRP_MISSING, 0, "slirp4netns not found");
		err_fix(err,
			"sudo apt install slirp4netns (Fedora: sudo dnf install slirp4netns), or "
			"--net=host");
		return -ENOENT;
	}
	rc = slirp_check_tun(err);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(pipes); i++)
		if (pipe2(pipes[i], O_CLOEXEC | (i == 2 ? O_NONBLOCK : 0)) < 0)
			rc = err_set(err, RB_SLIRP_FAILED, errno, "pipe");
	if (rc == 0)
		rc = slirp_spawn(r, path, pipes, err);
	fd_close(&pipes[0][0]);
	fd_close(&pipes[1][1]);
	fd_close(&pipes[2][1]);
	r->slirp_exit = pipes[0][1];
	r->slirp_output = pipes[2][0];
	if (rc == 0)
		rc = slirp_wait(r, pipes[1][0]);
	if (rc < 0 && r->slirp_pidfd >= 0)
		(void)slirp_failed(r, rc, path, err);
	fd_close(&pipes[1][0]);
	return rc;
}

void slirp_end(struct rootless *r)
{
	siginfo_t info;

	fd_close(&r->slirp_exit);
	fd_close(&r->slirp_output);
	if (r->slirp_pidfd < 0)
		return;
	(void)sys_pidfd_send_signal(r->slirp_pidfd, SIGKILL);
	(void)sys_wait_pidfd(r->slirp_pidfd, &info, WEXITED);
	fd_close(&r->slirp_pidfd);
}

void slirp_listen(struct rootless *r)
{
	char text[1024];
	ssize_t len = read(r->slirp_output, text, sizeof(text) - 1);

	if (len <= 0) {
		fd_close(&r->slirp_output);
		return;
	}
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	log_debug("slirp4netns: %s", text);
}
