/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `enter`. An ordinary process of the user joins the namespaces of the launcher's init through one
 * setns(2) on its pidfd, forks (a pid namespace begins with a child), and waits. The user who made
 * the user namespace holds every capability in it, so no helper is needed.
 */
#include <dirent.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include "base/env.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "rootless/enter.h"
#include "rootless/rootless_private.h"

static int none(const char *dir, struct rb_err *err)
{
	err_set(err, RB_LAUNCHER_NONE, 0, "no launcher runs with the state directory '%s'", dir);
	err_fix(err, "start one with 'runbuild rootless --state-dir=%s -- COMMAND'", dir);
	return -ESRCH;
}

/* Does somebody hold the lock? */
static bool is_running(int dir)
{
	CLEANUP_FD int lock = sys_openat(dir, "lock", O_RDONLY | O_NOFOLLOW | O_NOCTTY, 0);

	return lock >= 0 && flock(lock, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* The only running launcher below parent; *n counts them. */
static const char *look_below(struct arena *arena, const char *parent, unsigned *n)
{
	DIR *stream = opendir(parent);
	struct dirent *entry;
	const char *found = NULL;

	while (stream && (entry = readdir(stream))) {
		CLEANUP_FD int dir = -1;

		if (!str_starts(entry->d_name, "runbuild-rootless-"))
			continue;
		dir = sys_openat(dirfd(stream), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
				 0);
		if (dir < 0 || !is_running(dir))
			continue;
		++*n;
		found = arena_printf(arena, "%s/%s", parent, entry->d_name);
	}
	if (stream)
		closedir(stream);
	return found;
}

static const char *find_directory(struct arena *arena, struct rb_err *err)
{
	const char *runtime = env_get("XDG_RUNTIME_DIR");
	const char *tmp = env_get("TMPDIR");
	const char *found = env_get("ROOTLESSKIT_STATE_DIR");
	unsigned n = 0;

	if (found)
		return found;
	if (runtime)
		found = look_below(arena, runtime, &n);
	if (n == 0)
		found = look_below(arena, tmp ? tmp : "/tmp", &n);
	if (n == 1)
		return found;
	err_set(err, RB_LAUNCHER_NONE, 0, "%s", n ? "several launchers run" : "no launcher runs");
	err_fix(err,
		n ? "name the directory of one with --state-dir"
		  : "start one with 'runbuild rootless -- COMMAND', or name its directory with "
		    "--state-dir");
	return NULL;
}

/* A pidfd of the init. The lock is held as long as it lives, so its number is not reused. */
static int open_init(const char *path, pid_t *ret_pid, struct rb_err *err)
{
	CLEANUP_FD int dir = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	CLEANUP_FD int pidfd = -1;
	char text[16];
	uint64_t pid;
	ssize_t len;

	if (dir == -EACCES || dir == -EPERM) {
		err_set(err, RB_LAUNCHER_NONE, -dir, "cannot open the state directory '%s'", path);
		err_fix(err, "run 'enter' as the user who started the launcher");
		return dir;
	}
	if (dir < 0 || !is_running(dir))
		return none(path, err);
	len = file_read_small(dir, "child_pid", text, sizeof(text));
	if (len <= 0 || num_parse_u64(text, (size_t)len, INT32_MAX, &pid) < 0)
		return none(path, err);
	pidfd = sys_pidfd_open((pid_t)pid);
	if (pidfd < 0 || !is_running(dir))
		return none(path, err);
	*ret_pid = (pid_t)pid;
	return fd_take(&pidfd);
}

/* The environment of the command inside, the first child of the init; NULL: unreadable. */
static char **read_environment(struct arena *arena, pid_t init)
{
	char path[64];
	char child[16];
	char *text = NULL;
	size_t len;
	size_t n = 0;
	char **v;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)init, (int)init);
	if (file_read_small(AT_FDCWD, path, child, sizeof(child)) <= 0)
		return NULL;
	child[strcspn(child, " ")] = '\0';
	snprintf(path, sizeof(path), "/proc/%.15s/environ", child);
	if (file_read_at(arena, AT_FDCWD, path, LIMIT_CONFIG_BYTES, &text, &len) < 0)
		return NULL;
	for (size_t i = 0; i < len; i++)
		n += text[i] == '\0';
	v = arena_array(arena, n + 2, sizeof(*v));
	n = 0;
	for (size_t at = 0; v && at < len; at += strlen(text + at) + 1)
		v[n++] = text + at;
	return v;
}

/* The namespaces that are not ours already: setns(2) may refuse those, as they are the host's. */
static uint64_t other_namespaces(pid_t init)
{
	static const struct {
		const char *name;
		uint64_t flag;
	} kinds[] = {{"user", CLONE_NEWUSER},    {"mnt", CLONE_NEWNS},  {"pid", CLONE_NEWPID},
		     {"net", CLONE_NEWNET},      {"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS},
		     {"cgroup", CLONE_NEWCGROUP}};
	uint64_t flags = 0;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		char path[64];
		char ours[64] = "";
		char theirs[64] = "";

		snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i].name);
		(void)sys_readlinkat(AT_FDCWD, path, ours, sizeof(ours) - 1);
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)init, kinds[i].name);
		(void)sys_readlinkat(AT_FDCWD, path, theirs, sizeof(theirs) - 1);
		if (!str_eq(ours, theirs))
			flags |= kinds[i].flag;
	}
	return flags;
}

static int join(pid_t init, int pidfd, struct rb_err *err)
{
	int rc = sys_setns(pidfd, other_namespaces(init));

	if (rc == 0)
		rc = sys_setresgid(0);
	if (rc == 0)
		rc = sys_setresuid(0);
	if (rc == 0)
		return 0;
	err_set(err, RB_NAMESPACE, -rc, "cannot join the launcher");
	err_fix(err, "run 'enter' as the user who started the launcher");
	return rc;
}

static int wait_for(pid_t pid)
{
	CLEANUP_FD int signals = -1;
	sigset_t set;
	int status;

	sigprocmask(SIG_SETMASK, NULL, &set);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	for (;;) {
		struct signalfd_siginfo info;

		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (read(signals, &info, sizeof(info)) == sizeof(info) &&
		    info.ssi_signo != SIGCHLD && info.ssi_code != SI_KERNEL)
			(void)kill(pid, (int)info.ssi_signo);
	}
}

static int run(char *const *command, char **environment, const char *cwd, struct rb_err *err)
{
	CLEANUP_FD int self = sys_pidfd_open(getpid());
	sigset_t set;
	pid_t pid;

	if (self < 0)
		return err_set(err, RB_EXEC_FAILED, -self, "cannot start the command");
	rootless_signals(&set);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	pid = fork();
	if (pid == 0) {
		int errnum;

		/* born into the launcher's pid namespace, in which we have no number */
		sys_die_with_pidfd(self);
		if (sys_chdir(cwd) < 0)
			(void)sys_chdir("/");
		sys_signals_reset();
		errnum = command_exec(command, environment ? environment : environ);
		command_failure(command[0], errnum, err);
		log_error(err);
		_exit(errnum == ENOENT || errnum == ENOTDIR ? 127 : 126);
	}
	return pid < 0 ? err_set(err, RB_EXEC_FAILED, errno, "cannot start the command")
		       : wait_for(pid);
}

int enter_run(struct arena *arena, const char *state_dir, char *const *command, struct rb_err *err)
{
	const char *path = state_dir ? state_dir : find_directory(arena, err);
	CLEANUP_FD int pidfd = -1;
	char cwd[LIMIT_PATH_BYTES];
	char **environment;
	pid_t init;
	int rc;

	if (!path)
		return -ESRCH;
	if (!getcwd(cwd, sizeof(cwd)))
		snprintf(cwd, sizeof(cwd), "/");
	pidfd = open_init(path, &init, err);
	if (pidfd < 0)
		return pidfd;
	environment = read_environment(arena, init);
	rc = join(init, pidfd, err);
	return rc < 0 ? rc : run(command, environment, cwd, err);
}
