/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `daemonless`: a buildkitd for one client. Three processes: this one, the launcher with buildkitd
 * inside (for root: buildkitd itself), and the client. buildkitd says on NOTIFY_SOCKET when it is
 * ready, so nothing is polled. Its output goes to a file and is shown only when it does not start.
 */
#include <sys/signalfd.h>
#include <sys/un.h>
#include "base/env.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sys.h"
#include "cmd/cmd.h"
#include "cmd/rootless_options.h"
#include "cmd/verbs.h"
#include "diag/daemon_hints.h"
#include "host/helper.h"

enum { READY_MS = 60000, STOP_MS = 10000, SHOWN_LINES = 12 };

struct daemonless {
	struct arena *arena;
	struct rootless_options rootless;
	char *dir; /* everything of this run */
	int dir_fd;
	int notify, log, signals;
	int daemon, client; /* pidfds, -1: none */
	char *const *command;
};

static const char *const files[] = {"notify", "log", "buildkitd.sock"};

static int prepare(struct daemonless *d, struct rb_err *err)
{
	const char *runtime = env_get("XDG_RUNTIME_DIR");
	const char *tmp = env_get("TMPDIR");
	bool usable = runtime && sys_faccessat2(AT_FDCWD, runtime, W_OK, AT_EACCESS) == 0;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	sigset_t set;

	d->dir = arena_printf(d->arena, "%s/runbuild-daemonless-XXXXXX",
			      usable ? runtime
			      : tmp  ? tmp
				     : "/tmp");
	if (!d->dir || !mkdtemp(d->dir)) {
		err_set(err, RB_STATE_DIR, errno, "cannot make a temporary directory");
		err_fix(err, "set XDG_RUNTIME_DIR or TMPDIR to a directory of yours");
		return -EACCES;
	}
	d->dir_fd = sys_openat(AT_FDCWD, d->dir, O_RDONLY | O_DIRECTORY, 0);
	d->log = sys_openat(d->dir_fd, "log", O_RDWR | O_CREAT | O_APPEND, 0600);
	d->notify = sys_socket(AF_UNIX, SOCK_DGRAM, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/notify", d->dir_fd);
	sigfillset(&set);
	for (int sig = 1; sig < NSIG; sig++)
		if (sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL ||
		    sig == SIGABRT || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU ||
		    sig == SIGCONT)
			sigdelset(&set, sig);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	d->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->log < 0 || d->notify < 0 || d->signals < 0 ||
	    bind(d->notify, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, RB_STATE_DIR, errno, "cannot prepare '%s'", d->dir);
	return 0;
}

/* buildkitd, its flags (words without quoting, as in buildctl-daemonless.sh), the address. */
static char **daemon_argv(struct daemonless *d, const char *program, struct rb_err *err)
{
	const char *flags = env_get("BUILDKITD_FLAGS");
	char **argv = arena_array(d->arena, 80, sizeof(*argv));
	char self[LIMIT_PATH_BYTES];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t n = 0;

	if (argv) {
		argv[n++] = arena_strdup(d->arena, program);
		argv[n++] = arena_printf(d->arena, "--addr=unix://%s/buildkitd.sock", d->dir);
		if (len > 0 && !(flags && strstr(flags, "--oci-worker-binary")))
			argv[n++] = arena_printf(d->arena, "--oci-worker-binary=%.*s", (int)len,
						 self);
		while (flags && n < 79 && *(flags += strspn(flags, " \t\n"))) {
			size_t word = strcspn(flags, " \t\n");

			argv[n++] = arena_strndup(d->arena, flags, word);
			flags += word;
		}
	}
	for (size_t i = 0; argv && i < n; i++)
		if (!argv[i])
			argv = NULL;
	if (!argv)
		(void)err_set(err, RB_NO_MEMORY, ENOMEM, "buildkitd");
	return argv;
}

/* Our environment with one variable more, or instead; NULL: no memory. */
static char **environment_with(struct arena *arena, const char *name, const char *value)
{
	size_t len = strlen(name);
	size_t n = 0;
	char **v;

	while (environ[n])
		n++;
	v = arena_array(arena, n + 2, sizeof(*v));
	if (!v)
		return NULL;
	v[0] = arena_printf(arena, "%s=%s", name, value);
	n = 1;
	for (char **at = environ; *at; at++)
		if (strncmp(*at, name, len) != 0 || (*at)[len] != '=')
			v[n++] = *at;
	return v[0] ? v : NULL;
}

/* In the new process: its own process group, so that a Ctrl-C is for the client alone. */
static int daemon_main(struct daemonless *d, char **argv)
{
	char *notify = arena_printf(d->arena, "%s/notify", d->dir);
	char **environment = environment_with(d->arena, "NOTIFY_SOCKET", notify ? notify : "");
	int null = sys_openat(AT_FDCWD, "/dev/null", O_RDONLY, 0);
	struct rb_err err = {0};
	int rc = -ENOMEM;

	(void)setpgid(0, 0);
	(void)sys_dup3(null, 0, 0);
	(void)sys_dup3(d->log, 1, 0);
	(void)sys_dup3(d->log, 2, 0);
	if (geteuid() == 0 && environment) {
		sys_signals_reset();
		rc = sys_execve(argv[0], argv, environment);
		err_set(&err, RB_EXEC_FAILED, -rc, "%s", argv[0]);
	} else if (notify) {
		d->rootless.command = argv;
		d->rootless.notify_socket = notify;
		rc = rootless_run(d->arena, &d->rootless, &err);
	}
	if (rc < 0)
		log_error(&err);
	return rc < 0 ? 125 : rc;
}

static int client_main(const struct daemonless *d)
{
	char *address = arena_printf(d->arena, "unix://%s/buildkitd.sock", d->dir);
	char **environment = environment_with(d->arena, "BUILDKIT_HOST", address ? address : "");
	const char *name = d->command[0];
	const char *path = strchr(name, '/') ? name : helper_find(d->arena, name);
	struct rb_err err = {0};
	int rc = -ENOENT;

	sys_signals_reset();
	if (environment && path)
		rc = sys_execve(path, d->command, environment);
	err_set(&err, rc == -ENOENT ? RB_EXEC_NOT_FOUND : RB_EXEC_PERMISSION, -rc,
		"cannot execute %s", name);
	err_fix(&err, "install the client, or give its path");
	log_error(&err);
	return rc == -ENOENT ? 127 : 126;
}

/* A child that our death kills. argv NULL: the client. */
static int spawn(struct daemonless *d, char **argv, int *ret_pidfd)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
	};
	pid_t parent = getpid();
	pid_t pid;

	pid = sys_clone3(&args);
	if (pid == 0) {
		sys_die_with(parent);
		_exit(argv ? daemon_main(d, argv) : client_main(d));
	}
	return pid;
}

static int status_of(int *pidfd)
{
	siginfo_t info = {0};

	if (sys_wait_pidfd(*pidfd, &info, WEXITED) < 0)
		return 125;
	fd_close(pidfd);
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

static bool says_ready(int notify)
{
	char text[4096];
	ssize_t len = recv(notify, text, sizeof(text) - 1, MSG_DONTWAIT);

	if (len <= 0)
		return false;
	text[len] = '\0';
	return str_starts(text, "READY=1") || strstr(text, "\nREADY=1");
}

/* The signal that came, 0: none. */
static int next_signal(int signals)
{
	struct signalfd_siginfo info;

	while (read(signals, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo != SIGCHLD && info.ssi_signo != SIGPIPE)
			return (int)info.ssi_signo;
	return 0;
}

/* The beginning of the line in front of the one at `at`; NULL: there is none. */
static const char *line_before(const char *text, const char *at)
{
	if (at == text)
		return NULL;
	for (at--; at > text && at[-1] != '\n'; at--)
		;
	return at;
}

/* Go prints a stack below an error, two lines a frame: a name, then a place behind a tab. */
static bool line_is_frame(const char *line)
{
	const char *next = strchr(line, '\n');

	return line[0] == '\t' || (next && next[1] == '\t');
}

/*
 * The end of the daemon's output to standard error, without stacks, which push away what they are
 * about. Returns the whole of it to look for hints in.
 */
static const char *show_log(struct daemonless *d)
{
	const char *shown[SHOWN_LINES];
	char *text = NULL;
	size_t len = 0;
	size_t n = 0;

	if (file_read_at(d->arena, d->dir_fd, "log", LIMIT_CONFIG_BYTES, &text, &len) < 0)
		return "";
	for (const char *at = text + len; n < SHOWN_LINES && (at = line_before(text, at));)
		if (!line_is_frame(at))
			shown[n++] = at;
	while (n-- > 0) {
		size_t line = strcspn(shown[n], "\n");

		(void)fd_write_all(STDERR_FILENO, shown[n], line);
		(void)fd_write_all(STDERR_FILENO, "\n", 1);
	}
	return text;
}

static int not_started(struct daemonless *d, const char *why, struct rb_err *err)
{
	const char *hint = daemon_hint(show_log(d));

	err_set(err, RB_DAEMON, 0, "buildkitd did not start: %s", why);
	err_fix(err, "%s", hint ? hint : "see its last lines above");
	return -ECHILD;
}

/* 0: ready; 128 + N: we were told to stop; -errno. */
static int await_ready(struct daemonless *d, struct rb_err *err)
{
	char why[64];

	for (;;) {
		struct pollfd fds[] = {{.fd = d->notify, .events = POLLIN},
				       {.fd = d->daemon, .events = POLLIN},
				       {.fd = d->signals, .events = POLLIN}};
		int n = poll(fds, ARRAY_LEN(fds), READY_MS);
		int sig = n > 0 && fds[2].revents ? next_signal(d->signals) : 0;

		if (sig)
			return 128 + sig;
		if (n > 0 && fds[0].revents && says_ready(d->notify))
			return 0;
		if (n == 0)
			return not_started(d, "it is not ready after a minute", err);
		if (n > 0 && fds[1].revents) {
			snprintf(why, sizeof(why), "it ended with status %d",
				 status_of(&d->daemon));
			return not_started(d, why, err);
		}
	}
}

static int run_client(struct daemonless *d, struct rb_err *err)
{
	pid_t pid = spawn(d, NULL, &d->client);

	if (pid < 0)
		return err_set(err, RB_EXEC_FAILED, -pid, "cannot start the client");
	for (;;) {
		struct pollfd fds[] = {{.fd = d->client, .events = POLLIN},
				       {.fd = d->signals, .events = POLLIN},
				       {.fd = d->notify, .events = POLLIN},
				       {.fd = d->daemon, .events = POLLIN}};
		int sig;

		if (poll(fds, ARRAY_LEN(fds), -1) < 0)
			continue;
		sig = fds[1].revents ? next_signal(d->signals) : 0;
		/* the terminal has told the client itself about SIGINT and SIGQUIT */
		if (sig && sig != SIGINT && sig != SIGQUIT)
			(void)sys_pidfd_send_signal(d->client, sig);
		if (fds[2].revents)
			(void)says_ready(d->notify);
		if (fds[0].revents)
			return status_of(&d->client);
		if (fds[3].revents) {
			log_warn("buildkitd has ended with status %d; its last lines:",
				 status_of(&d->daemon));
			(void)show_log(d);
		}
	}
}

static void stop(struct daemonless *d)
{
	if (d->daemon >= 0) {
		struct pollfd fd = {.fd = d->daemon, .events = POLLIN};

		(void)sys_pidfd_send_signal(d->daemon, SIGTERM);
		if (poll(&fd, 1, STOP_MS) == 0)
			(void)sys_pidfd_send_signal(d->daemon, SIGKILL);
		(void)status_of(&d->daemon);
	}
	for (size_t i = 0; i < ARRAY_LEN(files) && d->dir_fd >= 0; i++)
		(void)unlinkat(d->dir_fd, files[i], 0);
	if (d->dir_fd >= 0)
		(void)rmdir(d->dir);
	fd_close(&d->dir_fd);
	fd_close(&d->notify);
	fd_close(&d->log);
	fd_close(&d->signals);
}

static const char *find_buildkitd(struct arena *arena, const char *option, struct rb_err *err)
{
	const char *name = option ? option : env_get("BUILDKITD");
	const char *found;

	if (!name)
		name = "buildkitd";
	found = strchr(name, '/') ? name : helper_find(arena, name);
	if (found && sys_faccessat2(AT_FDCWD, found, X_OK, AT_EACCESS) == 0)
		return found;
	err_set(err, RB_EXEC_NOT_FOUND, 0, "%s not found", name);
	err_fix(err, "install BuildKit, or name its daemon with --buildkitd or $BUILDKITD");
	return NULL;
}

static int daemonless_main(struct arena *arena, const struct globals *globals UNUSED,
			   const void *options, int argc UNUSED, char **argv, struct rb_err *err)
{
	const struct rootless_arguments *arguments = options;
	struct daemonless d = {.arena = arena,
			       .dir_fd = -1,
			       .notify = -1,
			       .log = -1,
			       .signals = -1,
			       .daemon = -1,
			       .client = -1,
			       .command = argv};
	const char *program = find_buildkitd(arena, arguments->buildkitd, err);
	char **words = NULL;
	int rc = program ? rootless_options_read(arena, arguments, &d.rootless, err) : -ENOENT;

	if (rc == 0)
		rc = prepare(&d, err);
	if (rc == 0)
		words = daemon_argv(&d, program, err);
	if (rc == 0 && words)
		rc = spawn(&d, words, &d.daemon);
	if (rc > 0)
		rc = await_ready(&d, err);
	if (rc == 0)
		rc = run_client(&d, err);
	stop(&d);
	return rc;
}

static const struct option_entry daemonless_table[] = {
	ROOTLESS_OPTIONS,
	{"buildkitd", 0, OPTION_STRING, ROOTLESS_OPT(buildkitd), "PROGRAM",
	 "the daemon; default: $BUILDKITD, or buildkitd in PATH"},
	OPTION_END,
};

const struct verb verb_daemonless = {
	.name = "daemonless",
	.summary = "run a client, usually buildctl, with a buildkitd of its own",
	.args = "-- CLIENT [ARGUMENT...]",
	.min_args = 1,
	.max_args = -1,
	.options = daemonless_table,
	.options_size = sizeof(struct rootless_arguments),
	.error_status = 125,
	.run = daemonless_main,
};
