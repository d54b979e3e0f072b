// SPDX-License-Identifier: Apache-2.0
/*
 * Starts commands, waits for them, and looks at processes. Runs as root of the user namespace
 * that bench/run has entered, and in that pid namespace. It is the subreaper of everything that
 * it starts, so a container whose runtime has left becomes its child: it can wait for it, and
 * nothing that it started outlives it.
 *
 * Must: signal only its own children, and only before they are waited for (then the pid cannot
 * have been given to somebody else). Must not: do anything between the clock readings but clone,
 * exec and wait.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

enum {
	CHILD_STACK = 64 << 10, /* bytes; execve needs a page or two of it */
	COMMAND_TICKS = 60,     /* seconds a command may take */
	READY_MS = 20000,       /* for a payload's first sign of life, or its end */
	MAX_PIDS = 16384,       /* large enough that calloc maps it afresh, and we stay small */
};

/* Set by the signal handlers only. */
static volatile sig_atomic_t interrupted;
static volatile sig_atomic_t ticks;

static void on_signal(int signo)
{
	if (signo == SIGALRM)
		ticks++;
	else
		interrupted = 1;
}

int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int proc_init(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGALRM};
	/* No SA_RESTART: wait4 and poll must return. */
	struct sigaction action = {.sa_handler = on_signal};
	/* A tick each second, so that one that comes just before wait4 is followed by another. */
	struct itimerval second = {.it_interval.tv_sec = 1, .it_value.tv_sec = 1};

	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (sigaction(signals[i], &action, NULL) < 0)
			return -errno;
	if (setitimer(ITIMER_REAL, &second, NULL) < 0)
		return -errno;
	return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0;
}

bool proc_interrupted(void)
{
	return interrupted;
}

struct child {
	char *const *argv;
	int ns_fd;
	int error; /* written by the child: it shares our memory until it executes */
};

static int child_main(void *arg)
{
	struct child *child = arg;

	if (child->ns_fd < 0 || setns(child->ns_fd, CLONE_NEWNS) == 0) {
		/* Both cannot fail here: prctl(2) and setpgid(2) list no error that applies. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		execve(child->argv[0], child->argv, environ);
	}
	child->error = errno;
	_exit(127);
}

pid_t proc_spawn(char *const *argv, int ns_fd)
{
	static _Alignas(16) char stack[CHILD_STACK];
	struct child child = {.argv = argv, .ns_fd = ns_fd};
	pid_t pid;

	/* vfork(2) semantics without its two returns; the handlers only store a constant, so it
	 * does no harm if one runs in the child. */
	pid = clone(child_main, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, &child);
	if (pid < 0)
		return -errno;
	if (child.error) {
		waitpid(pid, NULL, 0);
		return -child.error;
	}
	return pid;
}

static int64_t timeval_ns(struct timeval tv)
{
	return tv.tv_sec * INT64_C(1000000000) + tv.tv_usec * 1000;
}

int proc_wait(pid_t pid, int64_t start_ns, struct usage *ret_usage)
{
	int deadline = ticks + COMMAND_TICKS;
	bool killed = false;
	struct rusage usage;
	int status;

	while (wait4(pid, &status, 0, &usage) < 0) {
		if (errno != EINTR)
			return -errno;
		if (!killed && (interrupted || ticks >= deadline)) {
			kill(pid, SIGKILL);
			killed = true;
		}
	}
	if (ret_usage) {
		ret_usage->wall_ns = now_ns() - start_ns;
		ret_usage->cpu_ns = timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
		ret_usage->rss_kb = usage.ru_maxrss;
	}
	return status;
}

int proc_run(char *const *argv, int ns_fd, struct usage *ret_usage)
{
	int64_t start_ns = now_ns();
	pid_t pid = proc_spawn(argv, ns_fd);

	return pid < 0 ? pid : proc_wait(pid, start_ns, ret_usage);
}

/* pidfd_open(2); glibc has no wrapper before 2.36. */
static int pidfd_open_cloexec(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}

/* Waits for one of two descriptors. Returns the index of the first one ready, or -errno. */
static int poll_first(const int *fds, nfds_t count, int timeout_ms)
{
	int64_t end_ns = now_ns() + timeout_ms * INT64_C(1000000);
	struct pollfd set[2] = {{.fd = -1}, {.fd = -1}};

	for (nfds_t i = 0; i < count; i++)
		set[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
	while (!interrupted && now_ns() < end_ns) {
		/* Short slices: a signal that comes just before poll must not cost 20 s. */
		if (poll(set, count, 200) <= 0)
			continue; /* nothing yet, or EINTR */
		for (nfds_t i = 0; i < count; i++)
			if (set[i].revents)
				return (int)i;
	}
	return interrupted ? -EINTR : -ETIMEDOUT;
}

int proc_wait_ready(const char *fifo, pid_t pid)
{
	/* O_RDWR: so that the reader sees no hang-up between two writers; fifo(7). */
	int fds[2] = {open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC), -1};
	char buf[64];
	int r = -errno;

	if (fds[0] < 0)
		return r;
	fds[1] = pidfd_open_cloexec(pid);
	r = fds[1] < 0 ? fds[1] : poll_first(fds, 2, READY_MS);
	while (read(fds[0], buf, sizeof(buf)) > 0)
		;
	close(fds[0]);
	if (fds[1] >= 0)
		close(fds[1]);
	return r == 1 ? -ESRCH : r;
}

int proc_wait_pidfile(const char *pidfile)
{
	char buf[32] = "";
	int fd = open(pidfile, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	pid_t pid;
	int r;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	pid = n > 0 ? (pid_t)strtol(buf, NULL, 10) : 0;
	if (pid <= 0)
		return -EINVAL;
	fd = pidfd_open_cloexec(pid);
	if (fd < 0)
		return fd == -ESRCH ? 0 : fd; /* ESRCH: ended, and waited for by its parent */
	r = poll_first(&fd, 1, READY_MS);
	close(fd);
	return r;
}

void proc_reap_orphans(const struct pass *pass)
{
	for (;;) {
		siginfo_t info = {.si_pid = 0};
		bool ours = false;

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			return; /* ECHILD: none; 0: none that has ended */
		for (size_t i = 0; i < pass->row_count; i++)
			ours |= pass->rows[i].spawned == info.si_pid;
		if (ours)
			return; /* STEP_JOIN takes it, and then the others */
		waitpid(info.si_pid, NULL, 0);
	}
}

/* The first child of this process, or 0; proc(5), /proc/pid/task/tid/children. */
static pid_t first_child(void)
{
	char buf[32] = "";
	int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (read(fd, buf, sizeof(buf) - 1) < 0)
		buf[0] = '\0';
	close(fd);
	return (pid_t)strtol(buf, NULL, 10);
}

/* Reads a small file of /proc/PID. False when the process is gone. */
static bool read_pid_file(pid_t pid, const char *name, char *buf, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, buf, size - 1);
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* Adds the name of a process to a list of them. */
static void add_name(pid_t pid, char *names, size_t size)
{
	size_t used = strlen(names);
	char name[32] = "?";

	if (read_pid_file(pid, "comm", name, sizeof(name)))
		name[strcspn(name, "\n")] = '\0';
	snprintf(names + used, size - used, "%s%s", used ? ", " : "", name);
}

int proc_sweep(char *ret_names, size_t size)
{
	int count = 0;
	pid_t pid;

	*ret_names = '\0';
	/* Killing one may give us its children; hence one at a time until there is none. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	for (pid = first_child(); pid > 0; pid = first_child()) {
		add_name(pid, ret_names, size);
		kill(pid, SIGKILL);
		if (waitpid(pid, NULL, 0) < 0 && errno != EINTR)
			break;
		count++;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	return count;
}

struct entry {
	pid_t pid;
	pid_t parent;
	bool counted;
};

/* The parent's pid out of /proc/PID/stat: two fields after the last ')'. A zombie gives -1. */
static pid_t read_parent(pid_t pid)
{
	char buf[512], *end;

	if (!read_pid_file(pid, "stat", buf, sizeof(buf)))
		return -1;
	end = strrchr(buf, ')');
	if (!end || strlen(end) < 4 || end[2] == 'Z')
		return -1;
	return (pid_t)strtol(end + 4, NULL, 10);
}

static int list_processes(struct entry *entries, size_t max)
{
	DIR *dir = opendir("/proc");
	const struct dirent *item;
	size_t count = 0;

	if (!dir)
		return -errno;
	while (count < max && (item = readdir(dir))) {
		pid_t pid = (pid_t)strtol(item->d_name, NULL, 10);

		if (pid > 0)
			entries[count++] = (struct entry){.pid = pid, .parent = read_parent(pid)};
	}
	closedir(dir);
	return (int)count;
}

static bool in_own_pid_namespace(pid_t pid)
{
	struct stat own, other;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
	return stat("/proc/self/ns/pid", &own) == 0 && stat(path, &other) == 0 &&
	       own.st_ino == other.st_ino && own.st_dev == other.st_dev;
}

static int64_t count_entries(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *item;
	int64_t count = 0;

	if (!dir)
		return 0;
	while ((item = readdir(dir)))
		count += item->d_name[0] != '.';
	closedir(dir);
	return count;
}

static void census_add(pid_t pid, struct census *census)
{
	char buf[2048], path[64];
	const char *found;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	census->procs++;
	census->fds += count_entries(path);
	if (!read_pid_file(pid, "smaps_rollup", buf, sizeof(buf)))
		return;
	found = strstr(buf, "\nRss:");
	census->rss_kb += found ? strtol(found + 5, NULL, 10) : 0;
	found = strstr(buf, "\nPss:");
	census->pss_kb += found ? strtol(found + 5, NULL, 10) : 0;
}

/* Marks the descendants of root, generation by generation. */
static void mark_descendants(struct entry *entries, int count, pid_t root)
{
	bool again = true;

	while (again) {
		again = false;
		for (int i = 0; i < count; i++) {
			bool child = entries[i].parent == root;

			for (int j = 0; j < count && !child && !entries[i].counted; j++)
				child = entries[j].counted && entries[j].pid == entries[i].parent;
			if (child && !entries[i].counted)
				entries[i].counted = again = true;
		}
	}
}

int proc_census(pid_t root, bool with_root, bool with_payload, struct census *ret_census)
{
	struct census census = {0};
	struct entry *entries = calloc(MAX_PIDS, sizeof(*entries));
	int count = entries ? list_processes(entries, MAX_PIDS) : -ENOMEM;

	if (count > 0)
		mark_descendants(entries, count, root);
	if (with_root)
		census_add(root, &census);
	for (int i = 0; i < count; i++)
		if (entries[i].counted && (with_payload || in_own_pid_namespace(entries[i].pid)))
			census_add(entries[i].pid, &census);
	free(entries);
	if (count < 0)
		return count;
	*ret_census = census;
	return 0;
}

/* Takes fd. Depth is what a state directory has, with a margin. */
static int64_t count_files_fd(int fd, int depth)
{
	DIR *dir = fdopendir(fd);
	const struct dirent *item;
	int64_t count = 0;

	if (!dir) {
		close(fd);
		return 0;
	}
	while ((item = readdir(dir))) {
		int sub;

		if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
			continue;
		count++;
		sub = depth > 0 ? openat(dirfd(dir), item->d_name,
					 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
				: -1;
		if (sub >= 0)
			count += count_files_fd(sub, depth - 1);
	}
	closedir(dir);
	return count;
}

int64_t count_files(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? 0 : count_files_fd(fd, 8);
}

int64_t count_lines(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int64_t count = 0;
	char buf[4096];
	ssize_t n;

	if (fd < 0)
		return 0;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i++)
			count += buf[i] == '\n';
	close(fd);
	return count;
}
