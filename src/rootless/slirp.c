/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slirp4netns: a network for the child's network namespace in user space. Runs in the parent.
 * Always with its sandbox and filter, because it parses what steps send, and without a way to
 * the host's loopback. It ends when our end of the exit pipe closes, whatever happens to us.
 */
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
	for (int i = 0; i < 2; i++)
		(void)fcntl(keep[i], F_SETFD, 0);
	(void)setpgid(0, 0); /* a Ctrl-C for the command is not for the network */
	(void)sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)sys_execve(path, argv, (char *const *)envp);
	sys_exit(127);
}

/* "1" on the ready pipe; otherwise the first line of what it says. */
static int slirp_wait(struct rootless *r, int ready, int output, char *said, size_t size)
{
	struct pollfd fds[] = {{.fd = ready, .events = POLLIN},
			       {.fd = r->slirp_pidfd, .events = POLLIN}};
	ssize_t len;
	char byte;
	int n;

	said[0] = '\0';
	do
		n = poll(fds, 2, SLIRP_READY_MS);
	while (n < 0 && errno == EINTR);
	if (n > 0 && (fds[0].revents & POLLIN) && read(ready, &byte, 1) == 1 && byte == '1')
		return 0;
	if (n == 0)
		return -ETIMEDOUT;
	/* it has ended, or is about to: its last words are in the pipe */
	(void)fcntl(output, F_SETFL, O_NONBLOCK);
	len = read(output, said, size - 1);
	said[len > 0 ? len : 0] = '\0';
	said[strcspn(said, "\n")] = '\0';
	return -EPIPE;
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
	char said[256];
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
		if (pipe2(pipes[i], O_CLOEXEC) < 0)
			rc = err_set(err, RB_SLIRP_FAILED, errno, "pipe");
	if (rc == 0)
		rc = slirp_spawn(r, path, pipes, err);
	fd_close(&pipes[0][0]);
	fd_close(&pipes[1][1]);
	fd_close(&pipes[2][1]);
	r->slirp_exit = pipes[0][1];
	if (rc == 0) {
		rc = slirp_wait(r, pipes[1][0], pipes[2][0], said, sizeof(said));
		if (rc < 0) {
			err_set(err, RB_SLIRP_FAILED, 0, "slirp4netns did not get ready: %s",
				rc == -ETIMEDOUT ? "it takes too long"
				: said[0]        ? said
						 : "it ended without a word");
			slirp_end(r);
		}
	}
	fd_close(&pipes[1][0]);
	fd_close(&pipes[2][0]);
	return rc;
}

void slirp_end(struct rootless *r)
{
	siginfo_t info;

	fd_close(&r->slirp_exit);
	if (r->slirp_pidfd < 0)
		return;
	(void)sys_pidfd_send_signal(r->slirp_pidfd, SIGKILL);
	(void)sys_wait_pidfd(r->slirp_pidfd, &info, WEXITED);
	fd_close(&r->slirp_pidfd);
}
