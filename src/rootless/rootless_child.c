/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first process inside: it sets the namespaces up, starts the command, forwards signals to it
 * and reaps whatever is left to it. Runs as root of the user namespace and, where /proc can be
 * mounted, as process 1 of a pid namespace: when it ends, the kernel ends everything inside.
 * Without a pid namespace it is a subreaper and kills what it can find.
 *
 * It does not use PR_SET_PDEATHSIG: the end of file on the socket tells it of the parent's death,
 * and it still removes the state directory then.
 */
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include "base/num.h"
#include "rootless/rootless_private.h"

int message_send(int sock, enum rootless_message_type type, const struct rb_err *err)
{
	struct rootless_message message = {.type = type};

	if (err)
		message.err = *err;
	return send(sock, &message, sizeof(message), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int message_receive(int sock, struct rootless_message *message)
{
	ssize_t len;

	do
		len = recv(sock, message, sizeof(*message), 0);
	while (len < 0 && errno == EINTR);
	if (len == 0)
		return -EPIPE;
	if (len < 0)
		return -errno;
	return (size_t)len == sizeof(*message) ? 0 : -EPROTO;
}

static void child_fail(struct rootless *r, const struct rb_err *err) __attribute__((noreturn));
static void child_fail(struct rootless *r, const struct rb_err *err)
{
	(void)message_send(r->child_sock, MSG_ERROR, err);
	_exit(125);
}

/* Waits for one message of the parent; its death ends us here. */
static void child_expect(struct rootless *r, enum rootless_message_type type)
{
	struct rootless_message message;

	if (message_receive(r->child_sock, &message) < 0 || message.type != type)
		_exit(125);
}

static int loopback_up(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	CLEANUP_FD int sock = sys_socket(AF_INET, SOCK_DGRAM, 0);

	if (sock < 0)
		return sock;
	if (ioctl(sock, SIOCGIFFLAGS, &request) < 0)
		return -errno;
	request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
	return ioctl(sock, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

static void child_set_up(struct rootless *r)
{
	struct mount_attr attr = {.propagation = MS_PRIVATE};
	struct rb_err err = {0};
	int rc = sys_setresgid(0);

	if (rc == 0)
		rc = sys_setresuid(0);
	if (rc < 0) {
		err_set(&err, RB_CREDENTIALS, -rc, "cannot become root of the user namespace");
		child_fail(r, &err);
	}
	/* before a copy-up moves the directory out of the way */
	if (rootless_state_reopen(r, &err) < 0)
		child_fail(r, &err);
	rc = sys_mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &attr);
	if (rc == 0 && r->pid_namespace) {
		rc = child_mount_proc();
		if (rc == -EPERM) {
			(void)message_send(r->child_sock, MSG_NO_PROC, NULL);
			_exit(125);
		}
	}
	if (rc == 0 && r->options->net != NET_HOST) {
		child_mount_sys();
		rc = loopback_up();
	}
	if (rc < 0) {
		err_set(&err, RB_NAMESPACE, -rc, "cannot set the namespaces up");
		child_fail(r, &err);
	}
	for (size_t i = 0; i < r->options->n_copy_up; i++)
		if (child_copy_up(r->options->copy_up[i], &err) < 0)
			child_fail(r, &err);
}

/* execvp(3) on the command's environment; returns the exit status of a shell. */
static int command_exec(char *const argv[], char *const envp[])
{
	const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	int result = ENOENT;

	for (size_t i = 0; envp[i]; i++)
		if (str_starts(envp[i], "PATH="))
			path = envp[i] + 5;
	if (strchr(argv[0], '/'))
		return -sys_execve(argv[0], argv, envp);
	while (*path) {
		char file[LIMIT_PATH_BYTES];
		size_t len = strcspn(path, ":");
		int n = snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, argv[0]);

		if (len && n > 0 && (size_t)n < sizeof(file)) {
			int rc = sys_execve(file, argv, envp);

			if (rc != -ENOENT && rc != -ENOTDIR)
				result = -rc;
		}
		path += len + (path[len] == ':');
	}
	return result;
}

/* sd_listen_fds(3): the number must be that of the process that uses the descriptors. */
static void command_listen_pid(char **envp)
{
	static char entry[32];

	for (size_t i = 0; envp[i]; i++) {
		if (!str_starts(envp[i], "LISTEN_PID="))
			continue;
		snprintf(entry, sizeof(entry), "LISTEN_PID=%d", (int)getpid());
		envp[i] = entry;
	}
}

/* Descriptors above the standard ones pass only when the environment says that they are meant. */
static void command_close_fds(char *const *envp)
{
	uint32_t n = 0;

	for (size_t i = 0; envp[i]; i++)
		if (str_starts(envp[i], "LISTEN_FDS="))
			(void)num_parse_u32(envp[i] + 11, &n);
	if (n <= LIMIT_PRESERVED_FDS)
		(void)sys_close_range(3 + n, UINT_MAX, CLOSE_RANGE_CLOEXEC);
}

static void command_main(struct rootless *r, int report) __attribute__((noreturn));
static void command_main(struct rootless *r, int report)
{
	char *const *argv = r->options->command;
	sigset_t none;
	int errnum;

	/* the one disposition that this program changes; what the caller ignores stays ignored */
	(void)signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	command_listen_pid(r->environment);
	command_close_fds(r->environment);
	errnum = command_exec(argv, r->environment);
	(void)!write(report, &errnum, sizeof(errnum));
	_exit(errnum == ENOENT || errnum == ENOTDIR ? 127 : 126);
}

static void command_failed(struct rootless *r, int errnum)
{
	const char *name = r->options->command[0];
	struct rb_err err = {0};

	if (errnum == ENOENT || errnum == ENOTDIR) {
		err_set(&err, RB_EXEC_NOT_FOUND, 0, "%s: command not found", name);
		err_fix(&err, "install it, or give its path");
	} else if (errnum == ENOEXEC) {
		err_set(&err, RB_EXEC_FORMAT, errnum, "cannot execute %s", name);
		err_fix(&err, "is it for this architecture, or a script without '#!'?");
	} else {
		err_set(&err, RB_EXEC_PERMISSION, errnum, "cannot execute %s", name);
		err_fix(&err, "the command must be an executable file (chmod +x), not on a noexec "
			      "mount");
	}
	(void)message_send(r->child_sock, MSG_ERROR, &err);
}

static pid_t command_start(struct rootless *r)
{
	struct rb_err err = {0};
	int pipes[2];
	int errnum = 0;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0) {
		err_set(&err, RB_INTERNAL, errno, "pipe");
		child_fail(r, &err);
	}
	pid = fork();
	if (pid == 0) {
		close(pipes[0]);
		command_main(r, pipes[1]);
	}
	close(pipes[1]);
	if (pid < 0) {
		err_set(&err, RB_EXEC_FAILED, errno, "cannot start the command");
		child_fail(r, &err);
	}
	if (read(pipes[0], &errnum, sizeof(errnum)) == sizeof(errnum))
		command_failed(r, errnum);
	close(pipes[0]);
	return pid;
}

/* Everybody below us. In a pid namespace our own end does the same, but does not wait. */
static void kill_rest(const struct rootless *r)
{
	const struct pid_list nobody = {.n = 0};

	if (r->pid_namespace)
		(void)kill(-1, SIGKILL);
	else
		descendants_end(&nobody);
}

/* Reaps; true when the command itself has ended, with its status. */
static bool reap(pid_t command, int *ret_status)
{
	bool ended = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != command)
			continue;
		*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		ended = true;
	}
	return ended;
}

static void forward(int signals, pid_t command)
{
	struct signalfd_siginfo info;

	while (read(signals, &info, sizeof(info)) == sizeof(info)) {
		/* the terminal has signalled the whole foreground group, the command included */
		if (info.ssi_signo == SIGCHLD || info.ssi_signo == SIGPIPE ||
		    info.ssi_code == SI_KERNEL)
			continue;
		(void)kill(command, (int)info.ssi_signo);
	}
}

static int child_loop(struct rootless *r, pid_t command, int signals)
{
	int status = 255;

	for (;;) {
		struct pollfd fds[] = {{.fd = signals, .events = POLLIN},
				       {.fd = r->child_sock, .events = POLLIN}};

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return 255;
		if (fds[0].revents)
			forward(signals, command);
		if (reap(command, &status))
			return status;
		if (fds[1].revents) {
			/* the parent is gone: so is everything */
			kill_rest(r);
			rootless_state_remove(r);
			return 255;
		}
	}
}

void rootless_child(struct rootless *r)
{
	struct rb_err err = {0};
	sigset_t set;
	pid_t command;
	int signals;
	int status;

	fd_close(&r->sock);
	child_expect(r, MSG_MAPPED);
	child_set_up(r);
	if (message_send(r->child_sock, MSG_MOUNTED, NULL) < 0)
		_exit(125);
	child_expect(r, MSG_NETWORK);
	if (r->options->net == NET_SLIRP4NETNS && child_resolv_conf(r, &err) < 0)
		child_fail(r, &err);
	if (!r->pid_namespace)
		(void)sys_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (message_send(r->child_sock, MSG_READY, NULL) < 0)
		_exit(125);
	child_expect(r, MSG_GO);
	(void)sigprocmask(SIG_SETMASK, NULL, &set); /* what the parent has blocked */
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	command = command_start(r);
	status = child_loop(r, command, signals);
	kill_rest(r);
	_exit(status);
}
