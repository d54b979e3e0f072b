/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process around a probe. It is a child of the doctor with the namespaces that the probe asks
 * for, in a process group of its own, and says what it found in one record through a pipe. After
 * that, or at its deadline, the whole group is killed and reaped; the doctor is a subreaper, so
 * helpers whose maker is gone are reaped too (newuidmap undoes PR_SET_PDEATHSIG, prctl(2)). The
 * child's standard output and error are /dev/null: a probe speaks by its finding alone.
 */
#include "base/file.h"
#include "diag/doctor_private.h"
#include "host/userns_check.h"

void found(struct finding *finding, enum finding_status status, enum rb_code code, int errnum,
	   const char *fmt, ...)
{
	char text[sizeof(finding->err.what)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	finding->status = status;
	err_set(&finding->err, code, errnum, "%s", text);
}

/*
 * Maps the caller's own id as 0; user_namespaces(7) lets every process do that for itself, once
 * setgroups(2) is given up.
 */
static int become_root(const struct doctor *doctor)
{
	char map[32];
	int len = snprintf(map, sizeof(map), "0 %u 1\n", doctor->host.euid);
	int r = file_write_at(AT_FDCWD, "/proc/self/setgroups", "deny", 4);

	if (r == 0 || r == -ENOENT)
		r = file_write_at(AT_FDCWD, "/proc/self/uid_map", map, (size_t)len);
	len = snprintf(map, sizeof(map), "0 %u 1\n", doctor->host.egid);
	return r < 0 ? r : file_write_at(AT_FDCWD, "/proc/self/gid_map", map, (size_t)len);
}

static void trial_child(struct doctor *doctor, const struct probe *probe, int maker, int pipe)
	__attribute__((noreturn));
static void trial_child(struct doctor *doctor, const struct probe *probe, int maker, int pipe)
{
	int null = sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);
	struct finding finding = {.name = probe->name};
	int r;

	(void)setpgid(0, 0);
	sys_die_with_pidfd(maker);
	for (int fd = 0; fd <= 2; fd++)
		(void)sys_dup3(null, fd, 0);
	r = probe->namespaces & CLONE_NEWUSER ? become_root(doctor) : 0;
	if (r < 0) {
		userns_explain(-r, true, &finding.err);
		finding.status = FINDING_ERROR;
	} else {
		probe->run(doctor, &finding);
	}
	/* smaller than PIPE_BUF: all of it or nothing */
	sys_exit(sys_write(pipe, &finding, sizeof(finding)) == sizeof(finding) ? 0 : 1);
}

/* The record, or why there is none. */
static void trial_listen(struct doctor *doctor, int pipe, struct finding *finding)
{
	int64_t deadline = sys_now_ms() + DOCTOR_SECONDS * 1000;
	struct pollfd fds[] = {{.fd = pipe, .events = POLLIN},
			       {.fd = doctor->signals, .events = POLLIN}};
	struct finding record;

	for (;;) {
		int64_t left = deadline - sys_now_ms();
		int n = left > 0 ? poll(fds, 2, (int)left) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (fds[1].revents)
			doctor->interrupted = true;
		if (doctor->interrupted || n <= 0)
			break;
		if (sys_read(pipe, &record, sizeof(record)) == sizeof(record)) {
			record.name = finding->name;
			*finding = record;
			return;
		}
		found(finding, FINDING_ERROR, RB_INTERNAL, 0, "the process that tried it died");
		return;
	}
	found(finding, FINDING_ERROR, RB_TRIAL_TIME, 0,
	      "was not through after %d s and has been ended", DOCTOR_SECONDS);
}

/* Not reaped yet, so its number and that of its group are its own. */
static void trial_end(pid_t pid)
{
	siginfo_t info;

	(void)kill(pid, SIGKILL);
	(void)kill(-pid, SIGKILL);
	while (waitid(P_PID, (id_t)pid, &info, WEXITED | __WALL) < 0 && errno == EINTR)
		;
	while (waitid(P_PGID, (id_t)pid, &info, WEXITED | __WALL) == 0 || errno == EINTR)
		;
}

/* Namespaces as the launcher makes them; what needs none must also work without clone3(2). */
static pid_t trial_fork(uint64_t namespaces)
{
	struct clone_args args = {.flags = namespaces, .exit_signal = SIGCHLD};
	pid_t pid;

	if (namespaces)
		return sys_clone3(&args);
	pid = fork();
	return pid < 0 ? -errno : pid;
}

void trial_run(struct doctor *doctor, const struct probe *probe, struct finding *finding)
{
	/* with a pid namespace of its own the child cannot see us by our number */
	CLEANUP_FD int maker = sys_pidfd_open(getpid());
	int pipes[2];
	pid_t pid;

	*finding = (struct finding){.name = probe->name};
	if (pipe2(pipes, O_CLOEXEC) < 0) {
		found(finding, FINDING_ERROR, RB_INTERNAL, errno, "pipe");
		return;
	}
	pid = trial_fork(probe->namespaces);
	if (pid == 0)
		trial_child(doctor, probe, maker, pipes[1]);
	close(pipes[1]);
	if (pid < 0) {
		finding->status = FINDING_ERROR;
		userns_explain(-pid, (probe->namespaces & CLONE_NEWUSER) != 0, &finding->err);
	} else {
		(void)setpgid(pid, pid); /* whoever of us is first */
		trial_listen(doctor, pipes[0], finding);
		trial_end(pid);
	}
	close(pipes[0]);
	if (finding->status > probe->worst)
		finding->status = probe->worst;
}

static void target_child(const struct doctor *doctor, bool mapped, int maker, int pipe)
	__attribute__((noreturn));
static void target_child(const struct doctor *doctor, bool mapped, int maker, int pipe)
{
	int r = mapped ? become_root(doctor) : 0;

	sys_die_with_pidfd(maker);
	if (sys_write(pipe, &r, sizeof(r)) != sizeof(r))
		sys_exit(1);
	for (;;)
		pause();
}

int target_start(const struct doctor *doctor, uint64_t namespaces, bool mapped,
		 struct target *ret_target, struct rb_err *err)
{
	struct target target = {.pidfd = -1};
	struct clone_args args = {
		.flags = CLONE_PIDFD | namespaces,
		.pidfd = (uint64_t)(uintptr_t)&target.pidfd,
		.exit_signal = SIGCHLD,
	};
	CLEANUP_FD int maker = sys_pidfd_open(getpid());
	int pipes[2];
	int r = -EIO;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return err_set(err, RB_INTERNAL, errno, "pipe");
	target.pid = sys_clone3(&args);
	if (target.pid == 0)
		target_child(doctor, mapped, maker, pipes[1]);
	close(pipes[1]);
	if (target.pid < 0)
		r = userns_explain((int)-target.pid, true, err);
	else if (sys_read(pipes[0], &r, sizeof(r)) != sizeof(r) || r < 0)
		r = userns_explain(r < 0 ? -r : EIO, true, err);
	close(pipes[0]);
	if (r < 0 && target.pid > 0)
		target_end(&target);
	if (r == 0)
		*ret_target = target;
	return r;
}

void target_end(struct target *target)
{
	siginfo_t info = {0};

	(void)sys_pidfd_send_signal(target->pidfd, SIGKILL);
	(void)sys_wait_pidfd(target->pidfd, &info, WEXITED);
	fd_close(&target->pidfd);
}

/* In the new process: only calls that are safe after a fork. */
static void program_exec(const char *path, const char *const argv[], pid_t maker, int output)
	__attribute__((noreturn));
static void program_exec(const char *path, const char *const argv[], pid_t maker, int output)
{
	static const char *const envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	sigset_t none;

	sys_die_with(maker);
	(void)sys_dup3(output, 1, 0);
	(void)sys_dup3(output, 2, 0);
	(void)sys_close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	/* main() ignores SIGPIPE, clone3 keeps that, and pasta then gives up */
	(void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)sys_execve(path, (char *const *)argv, (char *const *)envp);
	sys_exit(127);
}

/*
 * Runs a program with a fixed environment. *ret_output reads what it says on standard output and
 * error. It dies with its maker.
 */
static int program_start(const char *path, const char *const argv[], int *ret_pidfd,
			 int *ret_output)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	pid_t maker = getpid();
	int pipes[2];
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	pid = sys_clone3(&args);
	if (pid == 0)
		program_exec(path, argv, maker, pipes[1]);
	close(pipes[1]);
	if (pid < 0) {
		close(pipes[0]);
		return (int)pid;
	}
	*ret_pidfd = pidfd;
	*ret_output = pipes[0];
	return 0;
}

int program_first_line(const char *path, const char *const argv[], char *line, size_t size)
{
	CLEANUP_FD int pidfd = -1;
	CLEANUP_FD int output = -1;
	siginfo_t info = {0};
	size_t len = 0;
	ssize_t got;
	char sink[256];
	int r = program_start(path, argv, &pidfd, &output);

	line[0] = '\0';
	if (r < 0)
		return r;
	while ((got = read(output, sink, sizeof(sink))) > 0) {
		for (ssize_t i = 0; i < got && len < size - 1; i++)
			line[len++] = sink[i];
	}
	line[len] = '\0';
	line[strcspn(line, "\n")] = '\0';
	r = sys_wait_pidfd(pidfd, &info, WEXITED);
	if (r < 0)
		return r;
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}
