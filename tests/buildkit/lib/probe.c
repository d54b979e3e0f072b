// SPDX-License-Identifier: Apache-2.0
//
// What a shell cannot ask the kernel. Runs inside a build step, statically
// linked, and prints one line per question.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void print_result(long ret)
{
	if (ret >= 0)
		puts("ok");
	else if (errno == ENOSYS)
		puts("ENOSYS");
	else if (errno == EPERM)
		puts("EPERM");
	else
		printf("errno %d\n", errno);
}

// A number that no kernel has: the seccomp profile decides the errno.
static void ask_unknown_call(void)
{
	print_result(syscall(100000, 0, 0, 0, 0, 0, 0));
}

// keyctl(KEYCTL_GET_KEYRING_ID, …): in no container's default profile.
static void ask_denied_call(void)
{
	print_result(syscall(SYS_keyctl, 0, -3, 0, 0, 0));
}

static void ask_terminal(void)
{
	char byte = 0;
	int master = posix_openpt(O_RDWR | O_NOCTTY);

	if (master < 0 || grantpt(master) || unlockpt(master)) {
		print_result(-1);
		return;
	}
	int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	if (slave < 0 || write(slave, "x", 1) != 1 || read(master, &byte, 1) != 1) {
		print_result(-1);
		return;
	}
	printf("%s %c\n", ptsname(master), byte);
}

static void ask_ids(void)
{
	printf("ruid=%u euid=%u rgid=%u egid=%u\n", getuid(), geteuid(), getgid(), getegid());
}

// A fault is the one way for the first process of a pid namespace to die by a
// signal of its own.
static void die_by_fault(void)
{
	void (*volatile nowhere)(void) = NULL;

	nowhere();
}

int main(int argc, char **argv)
{
	const char *question = argc > 1 ? argv[1] : "";

	if (!strcmp(question, "unknown-call"))
		ask_unknown_call();
	else if (!strcmp(question, "denied-call"))
		ask_denied_call();
	else if (!strcmp(question, "terminal"))
		ask_terminal();
	else if (!strcmp(question, "ids"))
		ask_ids();
	else if (!strcmp(question, "fault"))
		die_by_fault();
	else
		return 2;
	return 0;
}
