/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kills one process of the launcher's tree and looks whether anything survives. It is a child
 * subreaper: whoever outlives the launcher becomes its child, so "nothing is left" is exact and
 * needs no list of processes.
 *
 *   deaths sweep parent|inner|command[/STEP] CMD...
 *       Runs CMD again and again under ptrace(2), and kills the named process at the entry of its
 *       first, second, third ... system call, until a run ends before that; with a STEP of 4 at the
 *       first, fifth, ninth ... one. Each run must be gone 1 s after the kill, and each run but the
 *       killed ones must end with status 0.
 *   deaths watch CMD...
 *       Runs CMD to its end and lets whatever it leaves behind 1 s.
 *
 * Status: 0 nothing survived; 1 something did; 2 trouble. newuidmap and slirp4netns are let go
 * before they execute: a traced setuid program gets no privilege.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LEFT_MS = 1000, TICK_MS = 10, RUN_MS = 30000, TRACED_MAX = 256, CALLS_MAX = 2000 };
enum role { ROLE_NONE, ROLE_PARENT, ROLE_INNER, ROLE_COMMAND };

struct traced {
	pid_t pid;
	enum role role;
};

struct run {
	struct traced traced[TRACED_MAX];
	size_t n;
	enum role victim;
	int calls, at; /* system calls of the victim so far; the one to kill it at */
	pid_t parent;
	bool killed, ended;
	int status;
	int left_ms;
};

static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	exit(2);
}

static struct traced *find(struct run *run, pid_t pid)
{
	for (size_t i = 0; i < run->n; i++)
		if (run->traced[i].pid == pid)
			return &run->traced[i];
	if (run->n == TRACED_MAX)
		die("more than %d processes\n", TRACED_MAX);
	run->traced[run->n] = (struct traced){pid, ROLE_NONE};
	return &run->traced[run->n++];
}

/* The number behind a key of /proc/PID/status. */
static pid_t parent_of(pid_t pid)
{
	char path[64];
	char line[256];
	pid_t found = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, "PPid:", 5) == 0)
			found = (pid_t)strtol(line + 5, NULL, 10);
	if (file)
		fclose(file);
	return found;
}

static bool same_user_namespace(pid_t a, pid_t b)
{
	char path[64];
	char x[64] = "";
	char y[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)a);
	if (readlink(path, x, sizeof(x) - 1) < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)b);
	return readlink(path, y, sizeof(y) - 1) > 0 && strcmp(x, y) == 0;
}

/* A new process at its first stop, before it has run. */
static enum role role_of(struct run *run, pid_t pid)
{
	pid_t parent = parent_of(pid);
	enum role theirs = find(run, parent)->role;

	if (theirs == ROLE_PARENT)
		return same_user_namespace(pid, parent) ? ROLE_NONE : ROLE_INNER;
	return theirs == ROLE_NONE ? ROLE_NONE : ROLE_COMMAND;
}

static void adopt(struct run *run, pid_t pid)
{
	struct traced *traced = find(run, pid);

	if (pid == run->parent) {
		long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
			       PTRACE_O_TRACECLONE;

		traced->role = ROLE_PARENT;
		if (ptrace(PTRACE_SETOPTIONS, pid, 0, options) < 0)
			die("PTRACE_SETOPTIONS: %s\n", strerror(errno));
	} else {
		traced->role = role_of(run, pid);
		if (traced->role == ROLE_NONE) {
			(void)ptrace(PTRACE_DETACH, pid, 0, 0);
			return;
		}
	}
	(void)ptrace(traced->role == run->victim ? PTRACE_SYSCALL : PTRACE_CONT, pid, 0, 0);
}

static bool at_entry(pid_t pid)
{
	struct __ptrace_syscall_info info = {0};

	return ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0 &&
	       info.op == PTRACE_SYSCALL_INFO_ENTRY;
}

static void stopped(struct run *run, pid_t pid, int status)
{
	struct traced *traced = find(run, pid);
	int sig = WSTOPSIG(status);

	if (traced->role == ROLE_NONE) {
		adopt(run, pid);
		return;
	}
	if (sig == (SIGTRAP | 0x80)) {
		sig = 0;
		if (!run->killed && traced->role == run->victim && at_entry(pid) &&
		    ++run->calls == run->at) {
			run->killed = true;
			run->left_ms = LEFT_MS;
			(void)kill(pid, SIGKILL);
			return;
		}
	} else if (sig == SIGTRAP || status >> 16) {
		sig = 0; /* an event, or the stop after an execve */
	}
	(void)ptrace(traced->role == run->victim && !run->killed ? PTRACE_SYSCALL : PTRACE_CONT,
		     pid, 0, sig);
}

static void nothing(int sig)
{
	(void)sig;
}

/*
 * waitpid() for so many milliseconds; 0: they have passed, -1: nobody is left. Counted in short
 * ticks, so that a machine that stands still for a second does not use it up.
 */
static pid_t wait_any(int *status, int *left_ms)
{
	sigset_t block;
	sigset_t old;
	pid_t pid;

	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_BLOCK, &block, &old);
	sigdelset(&old, SIGCHLD);
	while ((pid = waitpid(-1, status, __WALL | WNOHANG)) == 0 && *left_ms > 0) {
		struct timespec tick = {0, TICK_MS * 1000000};

		if (ppoll(NULL, 0, &tick, &old) == 0)
			*left_ms -= TICK_MS;
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

/* Names whoever is still our child, and ends it. */
static int survivors(const char *when)
{
	char path[64];
	char line[4096] = "";
	int found = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	file = fopen(path, "r");
	if (file && fgets(line, sizeof(line), file)) {
		for (char *at = line; *at > ' ';) {
			pid_t pid = (pid_t)strtol(at, &at, 10);
			char comm[64] = "?";
			FILE *name;

			snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
			name = fopen(path, "r");
			if (name && fgets(comm, sizeof(comm), name))
				comm[strcspn(comm, "\n")] = '\0';
			if (name)
				fclose(name);
			printf("%s: %d (%s) is still there\n", when, (int)pid, comm);
			kill(pid, SIGKILL);
			found++;
			at += *at == ' ';
		}
	}
	if (file)
		fclose(file);
	return found;
}

static pid_t start(char **argv, bool traced)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if (traced) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
	}
	execvp(argv[0], argv);
	_exit(127);
}

/* One run; true when somebody survived. */
static bool run_once(struct run *run, char **argv)
{
	char when[64];
	int status;
	pid_t pid;

	run->left_ms = RUN_MS;
	run->parent = start(argv, true);
	while ((pid = wait_any(&status, &run->left_ms)) > 0) {
		if (WIFSTOPPED(status)) {
			stopped(run, pid, status);
		} else if (pid == run->parent) {
			run->ended = true;
			run->status = status;
			if (!run->killed)
				run->left_ms = LEFT_MS;
		}
	}
	snprintf(when, sizeof(when), "1 s after system call %d", run->at);
	return pid == 0 && survivors(when) > 0;
}

static int sweep(enum role victim, int step, char **argv)
{
	for (int at = 1; at < CALLS_MAX; at += step) {
		struct run run = {.victim = victim, .at = at};

		if (run_once(&run, argv)) {
			printf("killed at system call %d\n", at);
			return 1;
		}
		if (!run.ended || (!run.killed && run.status != 0)) {
			printf("run %d: status 0x%x without a kill\n", at, (unsigned)run.status);
			return 2;
		}
		if (!run.killed) {
			printf("# killed at each of %d system calls\n", (at - 1) / step);
			return at > 1 ? 0 : 2;
		}
	}
	printf("more than %d system calls\n", CALLS_MAX);
	return 2;
}

static int watch(char **argv)
{
	pid_t first = start(argv, false);
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, 0)) != first)
		;
	for (int left = LEFT_MS; pid > 0;)
		pid = wait_any(&status, &left);
	return pid == 0 && survivors("1 s after the end") > 0;
}

int main(int argc, char **argv)
{
	static const char *const names[] = {"", "parent", "inner", "command"};
	size_t len = argc > 2 ? strcspn(argv[2], "/") : 0;
	int step = argc > 2 && argv[2][len] ? atoi(argv[2] + len + 1) : 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGCHLD, nothing);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (argc > 2 && strcmp(argv[1], "watch") == 0)
		return watch(argv + 2);
	for (int role = ROLE_PARENT; argc > 3 && step > 0 && role <= ROLE_COMMAND; role++)
		if (strcmp(argv[1], "sweep") == 0 && strlen(names[role]) == len &&
		    strncmp(argv[2], names[role], len) == 0)
			return sweep((enum role)role, step, argv + 3);
	die("usage: deaths sweep parent|inner|command[/STEP] CMD... | deaths watch CMD...\n");
}
