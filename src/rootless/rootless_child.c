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
#include <sys/signalfd.h>
#include "base/fd_message.h"
#include "base/num.h"
#include "host/userns_check.h"
#include "rootless/rootless_private.h"

int message_send(int sock, enum rootless_message_type type, const struct rb_err *err)
{
	struct rootless_message message = {.type = type, .fd = -1};

	if (err)
		message.err = *err;
	return fd_message_send(sock, &message, sizeof(message), -1);
}

int message_send_fd(int sock, enum rootless_message_type type, int fd)
{
	struct rootless_message message = {.type = type, .fd = -1};

	return fd_message_send(sock, &message, sizeof(message), fd);
}

int message_receive(int sock, struct rootless_message *message)
{
	int fd = -1;
	int rc = fd_message_receive(sock, message, sizeof(*message), &fd);

	message->fd = fd;
	return rc;
}

static void child_fail(struct rootless *r, const struct rb_err *err) __attribute__((noreturn));
static void child_fail(struct rootless *r, const struct rb_err *err)
{
	(void)message_send(r->child_sock, MSG_ERROR, err);
	_exit(125);
}

/* The parent is gone: what it would have removed is ours to remove. */
static void child_orphaned(struct rootless *r) __attribute__((noreturn));
static void child_orphaned(struct rootless *r)
{
	rootless_state_remove(r);
	_exit(125);
}

/* Waits for one message of the parent, returns its descriptor; its death ends us here. */
static int child_expect(struct rootless *r, enum rootless_message_type type)
{
	struct rootless_message message;

	if (message_receive(r->child_sock, &message) < 0 || message.type != type)
		child_orphaned(r);
	return message.fd;
}

static int child_propagation(const struct rootless_options *options)
{
	struct mount_attr attr = {.propagation = options->propagation ? options->propagation
								      : MS_PRIVATE};

	return sys_mount_setattr(AT_FDCWD, "/",
				 options->propagation_of_root_only ? 0 : AT_RECURSIVE, &attr);
}

static int child_namespaces(struct rootless *r)
{
	int rc = child_propagation(r->options);

	if (rc == 0 && r->pid_namespace) {
		rc = child_mount_proc();
		if (rc == -EPERM) {
			(void)message_send(r->child_sock, MSG_NO_PROC, NULL);
			_exit(125);
		}
	}
	if (rc == 0 && rootless_inside_network(r))
		child_mount_sys();
	return rc;
}

/* Root of a user namespace may do all this: something around it must be in the way. */
static int refused_inside(int rc, enum rb_code code, const char *what, struct rb_err *err)
{
	if (userns_explain_inside(-rc, err))
		return rc;
	err_set(err, code, -rc, "cannot %s", what);
	err_fix(err, "see the kernel's log (dmesg) for what a security module has denied");
	return rc;
}

static int child_set_up(struct rootless *r, struct rb_err *err)
{
	const struct rootless_options *options = r->options;
	int rc = sys_setresgid(0);

	if (rc == 0)
		rc = sys_setresuid(0);
	if (rc < 0)
		return refused_inside(rc, RB_CREDENTIALS, "become root of the user namespace", err);
	/* before a copy-up moves the directory out of the way */
	rc = rootless_state_reopen(r, err);
	if (rc < 0)
		return rc;
	rc = child_namespaces(r);
	if (rc < 0)
		return refused_inside(rc, RB_NAMESPACE, "set the namespaces up", err);
	if (rootless_inside_network(r)) {
		child_allow_ping(r);
		rc = net_inside_set_up(&r->net, err);
	}
	if (rc == 0 && options->evacuate_cgroup2)
		rc = child_mount_cgroup2(err);
	for (size_t i = 0; rc == 0 && i < options->n_copy_up; i++)
		rc = child_copy_up(options->copy_up[i], err);
	return rc;
}

/* A directory of PATH that may not be searched is not a command that may not be run. */
static bool is_there(const char *file)
{
	struct stat st;

	return stat(file, &st) == 0;
}

int command_exec(char *const argv[], char *const envp[])
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

			if (rc != -ENOENT && rc != -ENOTDIR && is_there(file))
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
	int errnum;

	sys_signals_reset(); /* what the caller ignores stays ignored */
	command_listen_pid(r->environment);
	command_close_fds(r->environment);
	errnum = command_exec(argv, r->environment);
	(void)!write(report, &errnum, sizeof(errnum));
	_exit(r->options->compatible ? 1 : errnum == ENOENT || errnum == ENOTDIR ? 127 : 126);
}

void command_failure(const char *name, int errnum, struct rb_err *err)
{
	if (errnum == ENOENT || errnum == ENOTDIR) {
		err_set(err, RB_EXEC_NOT_FOUND, 0, "%s: command not found", name);
		err_fix(err, "install it, or give its path");
	} else if (errnum == ENOEXEC) {
		err_set(err, RB_EXEC_FORMAT, errnum, "cannot execute %s", name);
		err_fix(err, "is it for this architecture, or a script without '#!'?");
	} else {
		err_set(err, RB_EXEC_PERMISSION, errnum, "cannot execute %s", name);
		err_fix(err, "the command must be an executable file (chmod +x), not on a noexec "
			     "mount");
	}
}

static void command_failed(struct rootless *r, int errnum)
{
	struct rb_err err = {0};

	command_failure(r->options->command[0], errnum, &err);
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
	else if (!r->options->no_reaper)
		descendants_end(&nobody);
}

/* 255 does not say which, so that is put into words, as its users know them: "killed". */
static void command_signalled(const struct rootless *r, int sig)
{
	const char *text = sigdescr_np(sig);
	struct rb_err err = {0};
	char name[64];

	snprintf(name, sizeof(name), "%s", text ? text : "no name");
	if (name[0] >= 'A' && name[0] <= 'Z')
		name[0] = (char)(name[0] - 'A' + 'a');
	err_set(&err, RB_EXEC_SIGNAL, 0, "%s was ended by signal %d: %s", r->options->command[0],
		sig, name);
	err_fix(&err, "%s",
		sig == SIGKILL ? "did memory run out? See the kernel's log (dmesg)"
			       : "see what the command said before");
	(void)message_send(r->child_sock, MSG_ERROR, &err);
}

static int status_of(const struct rootless *r, int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	if (!r->options->compatible)
		return 128 + WTERMSIG(status);
	command_signalled(r, WTERMSIG(status));
	return 255;
}

/* Reaps; true when the command itself has ended, with its status. */
static bool reap(const struct rootless *r, pid_t command, int *ret_status)
{
	bool ended = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != command)
			continue;
		*ret_status = status_of(r, status);
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
		if (reap(r, command, &status))
			return status;
		if (fds[1].revents) {
			/* the parent is gone: so is everything */
			(void)kill(command, SIGKILL);
			kill_rest(r);
			rootless_state_remove(r);
			return 255;
		}
	}
}

/* What is left to do once the driver is there. */
static int child_network(struct rootless *r, int netns, struct rb_err *err)
{
	int rc;

	if (r->options->net.detached) {
		rc = child_netns_files(r, netns, err);
		fd_close(&netns);
		return rc;
	}
	rc = net_inside_await(&r->net, r->child_sock, err);
	return rc == 0 ? child_resolv_conf(r, err) : rc;
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
	if (child_set_up(r, &err) < 0)
		child_fail(r, &err);
	if (message_send(r->child_sock, MSG_MOUNTED, NULL) < 0)
		child_orphaned(r);
	if (child_network(r, child_expect(r, MSG_NETWORK), &err) < 0 || pool_start(r, &err) < 0)
		child_fail(r, &err);
	if (!r->pid_namespace && !r->options->no_reaper)
		(void)sys_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (message_send(r->child_sock, MSG_READY, NULL) < 0)
		child_orphaned(r);
	child_expect(r, MSG_GO);
	(void)sigprocmask(SIG_SETMASK, NULL, &set); /* what the parent has blocked */
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	command = command_start(r);
	status = child_loop(r, command, signals);
	kill_rest(r);
	_exit(status);
}
