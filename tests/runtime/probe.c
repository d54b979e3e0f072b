/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a container as a shell cannot see it. Static, so that it runs on any root. Each
 * word is one question; the answer is one line on standard output.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* call NR [ARG...]: one system call; "ok" or the name of its errno */
static int probe_call(int argc, char **argv)
{
	long arg[7] = {0};
	long r;

	for (int i = 0; i < argc && i < 7; i++)
		arg[i] = (long)strtoull(argv[i], NULL, 0);
	r = syscall(arg[0], arg[1], arg[2], arg[3], arg[4], arg[5], arg[6]);
	printf("%s\n", r == -1 ? strerrorname_np(errno) : "ok");
	return 0;
}

/* fds: the open descriptors, without looking into /proc */
static int probe_fds(void)
{
	const char *space = "";

	for (int fd = 0; fd < 1024; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		printf("%s%d", space, fd);
		space = " ";
	}
	printf("\n");
	return 0;
}

/* rlimit NUMBER: soft and hard */
static int probe_rlimit(const char *number)
{
	struct rlimit limit;

	if (getrlimit(atoi(number), &limit) < 0)
		return 1;
	printf("%llu %llu\n", (unsigned long long)limit.rlim_cur,
	       (unsigned long long)limit.rlim_max);
	return 0;
}

/* keyring: the serial number of the session keyring; keyctl(2) */
static int probe_keyring(void)
{
	long r = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);

	if (r < 0)
		printf("%s\n", strerrorname_np(errno));
	else
		printf("%ld\n", r);
	fflush(stdout);
	return 0;
}

/* in-keyring COMMAND...: a new session keyring, its number, then COMMAND */
static int probe_in_keyring(char **argv)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0)
		return 1;
	probe_keyring();
	execv(argv[0], argv);
	return 127;
}

static void nothing(int sig)
{
	(void)sig;
}

static void print_size(void)
{
	struct winsize size = {0};

	if (ioctl(0, TIOCGWINSZ, &size) < 0)
		printf("%s\n", strerrorname_np(errno));
	printf("%dx%d\n", size.ws_row, size.ws_col);
	fflush(stdout);
}

/* winch: the terminal's size, and again after SIGWINCH */
static int probe_winch(void)
{
	struct sigaction action = {.sa_handler = nothing};
	sigset_t winch;
	sigset_t before;

	/* blocked until sigsuspend: it cannot come between the line and the waiting */
	sigemptyset(&winch);
	sigaddset(&winch, SIGWINCH);
	sigprocmask(SIG_BLOCK, &winch, &before);
	sigaction(SIGWINCH, &action, NULL);
	print_size();
	sigsuspend(&before);
	print_size();
	return 0;
}

/* controlling: can /dev/tty be opened, and is it standard input's terminal? */
static int probe_controlling(void)
{
	int fd = open("/dev/tty", O_RDWR);

	printf("%s\n", fd < 0                      ? strerrorname_np(errno)
		       : tcgetpgrp(0) == getpgrp() ? "foreground"
						   : "background");
	return 0;
}

static void on_sigsys(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	printf("SIGSYS %d\n", info->si_syscall);
	fflush(stdout);
	_exit(0);
}

/* trap NR: the call raises SIGSYS and si_syscall names it */
static int probe_trap(const char *number)
{
	struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};

	sigaction(SIGSYS, &action, NULL);
	printf("returned %ld\n", syscall(atol(number)));
	return 0;
}

/* trace NR: a tracer sees PTRACE_EVENT_SECCOMP with the filter's data */
static int probe_trace(const char *number)
{
	unsigned long data = 0;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		syscall(atol(number));
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL);
	ptrace(PTRACE_CONT, pid, 0, 0);
	waitpid(pid, &status, 0);
	if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
		ptrace(PTRACE_GETEVENTMSG, pid, 0, &data);
		printf("traced %lu\n", data);
	} else {
		printf("status %#x\n", status);
	}
	return 0;
}

/* thread-kill NR: the call in a child; says how the child ended */
static int probe_child_call(const char *number)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		syscall(atol(number));
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		printf("killed by SIG%s\n", sigabbrev_np(WTERMSIG(status)));
	else
		printf("exit %d\n", WEXITSTATUS(status));
	return 0;
}

/* mountflags PATH: what statvfs(3) says about the mount */
static int probe_mountflags(const char *path)
{
	static const struct {
		unsigned long flag;
		const char *name;
	} names[] = {{ST_RDONLY, "ro"},         {ST_NOSUID, "nosuid"},
		     {ST_NODEV, "nodev"},       {ST_NOEXEC, "noexec"},
		     {ST_NOATIME, "noatime"},   {ST_NODIRATIME, "nodiratime"},
		     {ST_RELATIME, "relatime"}, {0x2000, "nosymfollow"}};
	struct statvfs st;

	if (statvfs(path, &st) < 0)
		return 1;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (st.f_flag & names[i].flag)
			printf("%s ", names[i].name);
	printf("\n");
	return 0;
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	const char *value = argc > 2 ? argv[2] : "";

	if (strcmp(word, "call") == 0)
		return probe_call(argc - 2, argv + 2);
	if (strcmp(word, "fds") == 0)
		return probe_fds();
	if (strcmp(word, "rlimit") == 0)
		return probe_rlimit(value);
	if (strcmp(word, "keyring") == 0)
		return probe_keyring();
	if (strcmp(word, "in-keyring") == 0)
		return probe_in_keyring(argv + 2);
	if (strcmp(word, "winch") == 0)
		return probe_winch();
	if (strcmp(word, "controlling") == 0)
		return probe_controlling();
	if (strcmp(word, "trap") == 0)
		return probe_trap(value);
	if (strcmp(word, "trace") == 0)
		return probe_trace(value);
	if (strcmp(word, "child-call") == 0)
		return probe_child_call(value);
	if (strcmp(word, "mountflags") == 0)
		return probe_mountflags(value);
	fprintf(stderr, "probe: unknown word '%s'\n", word);
	return 2;
}
