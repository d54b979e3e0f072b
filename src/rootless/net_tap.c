/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap for a helper that would make its own. The parent keeps a descriptor of it, with the filter
 * of net/filter.h, and hands it to the helper in place of the one that it asks the kernel for:
 * seccomp_unotify(2). So no frame is read without the filter, and the filter follows the host's
 * addresses, although nobody may look into the helper (pasta is not dumpable once it has joined the
 * user namespace). A child of the parent makes the tap, as root of the target's namespaces; the
 * helper's guard answers.
 */
#include <linux/audit.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include "base/fd_message.h"
#include "net/filter.h"
#include "rootless/net_private.h"

static void tap_main(const char *ifname, int target, int sock) __attribute__((noreturn));
static void tap_main(const char *ifname, int target, int sock)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int r = sys_setns(target, CLONE_NEWUSER | CLONE_NEWNET);
	int tap = -1;

	/* as pasta opens it: the flag belongs to what both have open */
	if (r == 0)
		r = tap = sys_openat(AT_FDCWD, "/dev/net/tun", O_RDWR | O_NONBLOCK, 0);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	if (r >= 0)
		r = sys_ioctl(tap, TUNSETIFF, (unsigned long)&request);
	(void)fd_message_send(sock, &r, sizeof(r), r < 0 ? -1 : tap);
	sys_exit(0);
}

int net_tap_make(pid_t target, const char *ifname, int *ret_tap, struct rb_err *err)
{
	struct clone_args args = {.exit_signal = SIGCHLD};
	CLEANUP_FD int pidfd = sys_pidfd_open(target);
	siginfo_t info;
	int pair[2];
	int result = 0;
	pid_t pid;
	int rc;

	if (pidfd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, RB_TUN, pidfd < 0 ? -pidfd : errno, "cannot make the tap");
	pid = sys_clone3(&args);
	if (pid == 0)
		tap_main(ifname, pidfd, pair[1]);
	close(pair[1]);
	rc = pid < 0 ? pid : fd_message_receive(pair[0], &result, sizeof(result), ret_tap);
	close(pair[0]);
	while (pid > 0 && waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 && errno == EINTR)
		;
	if (rc == 0 && result >= 0 && *ret_tap >= 0)
		return 0;
	err_set(err, RB_TUN, rc < 0 ? -rc : -result, "cannot make the interface %s", ifname);
	err_fix(err, "use another --ifname");
	return -EINVAL;
}

int net_tap_await_request(void)
{
	/* the arguments' low halves stand first on every architecture that there is a table for */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)TUNSETIFF, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {ARRAY_LEN(code), code};
	int r = sys_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);

	return r < 0 ? r
		     : sys_seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
				   &program);
}

void net_tap_hand_over(int listener, int tap)
{
	struct seccomp_notif request = {0};
	struct seccomp_notif_resp answer = {0};
	struct seccomp_notif_addfd descriptor = {
		.flags = SECCOMP_ADDFD_FLAG_SETFD,
		.srcfd = (uint32_t)tap,
		.newfd_flags = O_CLOEXEC,
	};

	if (sys_ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, (unsigned long)&request) < 0)
		return; /* ENOENT: it was killed meanwhile */
	descriptor.id = answer.id = request.id;
	/* the descriptor of /dev/net/tun that was to become a tap */
	descriptor.newfd = (uint32_t)request.data.args[0];
	answer.error = sys_ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, (unsigned long)&descriptor);
	if (answer.error > 0)
		answer.error = 0;
	(void)sys_ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, (unsigned long)&answer);
}
