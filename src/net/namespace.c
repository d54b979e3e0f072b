/* SPDX-License-Identifier: Apache-2.0 */
/* Making network namespaces ahead. Runs in the pool of the launcher and in the worker. */
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include "base/sys.h"
#include "net/namespace.h"

/* netdevice(7); a namespace begins with its loopback interface down. */
static int raise_loopback(void)
{
	int sock = sys_socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int r = sock < 0 ? sock : sys_ioctl(sock, SIOCSIFFLAGS, (unsigned long)&request);

	if (sock >= 0)
		sys_close(sock);
	return r;
}

/* Born into it; stays until the other side has it open, and no longer than that lives. */
static void founder_main(int sock) __attribute__((noreturn));
static void founder_main(int sock)
{
	char byte = raise_loopback() < 0 ? '!' : '.';

	(void)sys_write(sock, &byte, 1);
	(void)sys_read(sock, &byte, 1); /* until it is killed, or its parent is gone */
	sys_exit(0);
}

int net_namespace_make(void)
{
	int founder = -1;
	struct clone_args args = {
		.flags = CLONE_NEWNET | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&founder,
		.exit_signal = SIGCHLD,
	};
	int pair[2];
	char path[40];
	char byte = '!';
	pid_t pid;
	int ns;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = sys_clone3(&args);
	if (pid == 0) {
		sys_close(pair[0]);
		founder_main(pair[1]);
	}
	close(pair[1]);
	ns = pid < 0 ? pid : -ECANCELED;
	if (pid > 0 && sys_read(pair[0], &byte, 1) == 1 && byte == '.') {
		snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
		ns = sys_openat(AT_FDCWD, path, O_RDONLY, 0);
	}
	sys_pidfd_end(&founder);
	close(pair[0]);
	return ns;
}
