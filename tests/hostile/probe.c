/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile program in a container tries. Prints one word per attempt. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* TIOCSTI into a terminal of the caller, by every way to one. */
static int try_terminal(void)
{
	int tty = open("/dev/tty", O_RDWR);
	int reached = tty >= 0;

	for (int fd = 0; fd < 3; fd++)
		reached |= ioctl(fd, TIOCSTI, "x") == 0;
	for (int fd = 0; fd < 3; fd++)
		reached |= ioctl(fd, TIOCSCTTY, 1) == 0 && ioctl(fd, TIOCSTI, "x") == 0;
	puts(reached ? "reached" : "no terminal");
	return reached;
}

static bool is_file(int fd, const char *path)
{
	struct stat one;
	struct stat other;

	return fstat(fd, &one) == 0 && stat(path, &other) == 0 && one.st_ino == other.st_ino &&
	       one.st_dev == other.st_dev;
}

/* The program file of a process that is not of this image; -1. */
static int foreign_exe(int pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && (is_file(fd, "/bin/probe") || is_file(fd, "/bin/busybox"))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Through a descriptor that was opened while it ran: ETXTBSY ends with the process. */
static bool overwrite(int from)
{
	char path[64];
	bool done;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", from);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	done = fd >= 0 && write(fd, "x", 1) == 1;
	if (fd >= 0)
		close(fd);
	return done;
}

/* Until it is killed: whoever enters this container next is the target. */
static int haunt_exes(void) __attribute__((noreturn));
static int haunt_exes(void)
{
	int held[16] = {0};
	size_t at = 0;

	puts("started");
	fflush(stdout);
	for (;;) {
		for (int pid = 2; pid < 200; pid++) {
			int fd = foreign_exe(pid);

			if (fd < 0)
				continue;
			if (held[at])
				close(held[at]);
			held[at] = fd;
			at = (at + 1) % 16;
		}
		for (size_t i = 0; i < 16; i++) {
			if (!held[i] || !overwrite(held[i]))
				continue;
			puts("written");
			fflush(stdout);
		}
	}
}

/* Is the path a null device, whatever the image put there? */
static int show_node(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return puts("absent") < 0;
	printf("%s %u:%u\n",
	       S_ISCHR(st.st_mode)   ? "char"
	       : S_ISDIR(st.st_mode) ? "dir"
				     : "other",
	       major(st.st_rdev), minor(st.st_rdev));
	return 0;
}

/* Every descriptor but the standard ones. */
static int count_descriptors(void)
{
	int n = 0;

	for (int fd = 3; fd < 4096; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	printf("%d\n", n);
	return n != 0;
}

static int show_ids(void)
{
	uid_t real, effective, saved;

	if (getresuid(&real, &effective, &saved) < 0)
		return 1;
	printf("%u %u %u\n", real, effective, saved);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "terminal"))
		return try_terminal();
	if (!strcmp(what, "haunt"))
		return haunt_exes();
	if (!strcmp(what, "node") && argc > 2)
		return show_node(argv[2]);
	if (!strcmp(what, "descriptors"))
		return count_descriptors();
	if (!strcmp(what, "ids"))
		return show_ids();
	return 2;
}
