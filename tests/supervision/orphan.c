/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parent that dies between the birth of a child and the child's prctl(PR_SET_PDEATHSIG): nobody
 * sends that child a signal any more, so it has to look. Runs a command again and again, and in the
 * N-th run the N-th process that asks for a death signal is held at that call, its parent is killed,
 * and only when that is gone the call goes on. The process must then end without executing
 * anything, and everything else of the command with it.
 *
 *	orphan [--after SHELL] -- COMMAND ARGUMENT...
 *
 * The calls are held with seccomp_unotify(2), which lets setuid helpers keep their rights, unlike
 * ptrace(2); it takes CAP_SYS_ADMIN in the user namespace, and is no use for a command that has an
 * agent of its own (--net=pasta), because the kernel takes one listener only. Nothing here depends on time but for
 * the deadlines of what hangs. Prints a line per wrong point and one of totals. Status 0: nothing
 * wrong; 1; 2: bad usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "sweep.h"

enum { DEADLINE_MS = 30000 };

struct watch {
	int listener;
	unsigned point; /* which request of the run */
	unsigned asked; /* requests so far */
	pid_t orphan;   /* 0: the point was not reached */
	bool executed;  /* the orphan did, afterwards */
	bool clung;     /* its parent was not gone in time */
	char name[32];
};

/* In the command's process: the number of the listener's descriptor, or -errno. */
static int filter_install(void)
{
	enum { NR = offsetof(struct seccomp_data, nr) };
	enum { OPTION = offsetof(struct seccomp_data, args[0]) };
	enum { SIGNAL = offsetof(struct seccomp_data, args[1]) };
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NR),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 5, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, OPTION),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_PDEATHSIG, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SIGNAL),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			  &program);

	return fd < 0 ? -errno : (int)fd;
}

/* Installs the filter, waits until the listener has been fetched, executes. */
static void command_main(char **argv, int report, int gate) __attribute__((noreturn));
static void command_main(char **argv, int report, int gate)
{
	int listener = filter_install();
	sigset_t none;
	char byte;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (write(report, &listener, sizeof(listener)) < 0 || listener < 0 ||
	    read(gate, &byte, 1) != 1)
		_exit(120);
	close(listener);
	execvp(argv[0], argv);
	_exit(121);
}

/* Returns the command's process, *ret_listener is its filter's. */
static pid_t command_start(char **argv, int *ret_listener)
{
	int report[2], gate[2];
	int theirs = -ENOSYS;
	int pidfd;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0 || pipe2(gate, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0)
		command_main(argv, report[1], gate[0]);
	close(report[1]);
	close(gate[0]);
	(void)!read(report[0], &theirs, sizeof(theirs));
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	*ret_listener = theirs < 0 ? theirs : (int)syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
	(void)!write(gate[1], "", 1);
	close(pidfd);
	close(report[0]);
	close(gate[1]);
	return pid;
}

/* Its parent is killed, and gone when this returns true. */
static bool orphan_make(pid_t pid)
{
	const struct timespec nap = {.tv_nsec = 200000};
	int64_t deadline = now_ms() + DEADLINE_MS;
	pid_t parent = leftovers_parent(pid);

	if (parent == 0)
		return true; /* it was killed at its call, by the very parent perhaps */
	if (parent == 1 || parent == getpid() || kill(parent, SIGKILL) < 0)
		return false;
	while (leftovers_parent(pid) == parent) {
		if (now_ms() > deadline)
			return false;
		nanosleep(&nap, NULL);
	}
	return true;
}

static void at_request(struct watch *w, const struct seccomp_notif *request)
{
	pid_t pid = (pid_t)request->pid;

	if (request->data.nr == SYS_execve) {
		w->executed |= pid == w->orphan;
		return;
	}
	if (++w->asked != w->point)
		return;
	w->orphan = pid;
	w->clung = !orphan_make(pid);
	leftovers_name(pid, w->name, sizeof(w->name));
}

/* Answers until no process has the filter any more. */
static void *listen_main(void *data)
{
	struct watch *w = data;

	for (;;) {
		struct pollfd fd = {.fd = w->listener, .events = POLLIN};
		struct seccomp_notif request = {0};
		struct seccomp_notif_resp answer = {0};

		if (poll(&fd, 1, -1) < 0)
			continue;
		if (!(fd.revents & POLLIN))
			return NULL;
		if (ioctl(w->listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
			continue; /* killed meanwhile */
		at_request(w, &request);
		answer.id = request.id;
		answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		(void)ioctl(w->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
}

/* The command's wait status; it is killed at the deadline. */
static int command_wait(pid_t pid)
{
	int64_t deadline = now_ms() + DEADLINE_MS;
	sigset_t set;
	int status;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		const struct timespec wait = {.tv_nsec = 100000000};

		if (now_ms() > deadline)
			(void)kill(pid, SIGKILL);
		(void)sigtimedwait(&set, NULL, &wait);
	}
	return status;
}

static const char *judge(const struct watch *w, int status, int left)
{
	if (w->clung)
		return "its parent could not be killed";
	if (w->executed)
		return "it went on without a parent";
	if (left > 0)
		return "processes left";
	return !w->orphan && status != 0 ? "the command fails undisturbed" : NULL;
}

/* 1: the point was reached, 0: not, -1: there is no listener. *ret_wrong grows. */
static int run_point(char **argv, const char *after, unsigned point, unsigned *ret_wrong)
{
	struct watch w = {.point = point, .name = "the command"};
	pid_t pid = command_start(argv, &w.listener);
	const char *text;
	pthread_t thread;
	int64_t took;
	int status, left;

	if (pid < 0 || w.listener < 0 || pthread_create(&thread, NULL, listen_main, &w) != 0)
		return -1;
	status = command_wait(pid);
	left = leftovers_processes(DEADLINE_MS, &took);
	pthread_join(thread, NULL);
	close(w.listener);
	text = judge(&w, status, left);
	if (!text && after && system(after) != 0)
		text = "the check afterwards failed";
	if (text) {
		printf("# point %u (%s, status %d): %s\n", point, w.name, status, text);
		(*ret_wrong)++;
	}
	return w.orphan != 0;
}

int main(int argc, char **argv)
{
	const char *after = NULL;
	unsigned points = 0, wrong = 0;
	sigset_t set;
	int at = 1;
	int r;

	if (argc > 3 && strcmp(argv[1], "--after") == 0) {
		after = argv[2];
		at = 3;
	}
	if (at + 1 >= argc || strcmp(argv[at], "--") != 0) {
		fprintf(stderr, "usage: orphan [--after SHELL] -- COMMAND ARGUMENT...\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return 2;
	while ((r = run_point(argv + at + 1, after, points + 1, &wrong)) > 0)
		points++;
	if (r < 0) {
		fprintf(stderr, "orphan: no listener (seccomp_unotify(2), CAP_SYS_ADMIN)\n");
		return 2;
	}
	printf("points %u, wrong %u\n", points, wrong);
	return wrong != 0;
}
