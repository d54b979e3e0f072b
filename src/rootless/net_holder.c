/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --detach-netns: the command stays in the host's network namespace and the new one is a file for
 * it to enter. A process of ours, child of the parent, makes the namespace and keeps it until
 * the parent ends, so that a driver finds it by a process number however often it is started
 * again. It is in the daemon's user and mount namespace, so a daemon without a pid namespace of
 * its own, which may trace it, gains nothing. It has no descriptor but its socket.
 */
#include "rootless/net_private.h"
#include "rootless/rootless_private.h"

struct holder_answer {
	int result;
	struct rb_err err;
};

/* As root of the daemon's user namespace, in the network namespace that is kept. */
static int holder_join(struct net *net, int init, pid_t parent, struct rb_err *err)
{
	int rc = sys_setns(init, CLONE_NEWUSER | CLONE_NEWNS);

	if (rc == 0)
		rc = sys_setresgid(0);
	if (rc == 0)
		rc = sys_setresuid(0);
	/* the change of credentials has cleared both; drivers find the namespace in /proc */
	sys_die_with(parent);
	(void)sys_prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (rc == 0)
		rc = net->netns >= 0 ? sys_setns(net->netns, CLONE_NEWNET)
				     : sys_unshare(CLONE_NEWNET);
	return rc < 0 ? err_set(err, RB_NAMESPACE, -rc, "cannot make the network namespace") : 0;
}

static void holder_main(struct rootless *r, pid_t parent, int sock) __attribute__((noreturn));
static void holder_main(struct rootless *r, pid_t parent, int sock)
{
	struct net *net = &r->net;
	struct holder_answer answer = {0};
	char byte;

	(void)setpgid(0, 0);
	answer.result = holder_join(net, r->pidfd, parent, &answer.err);
	if (answer.result == 0 && net->netns < 0) {
		child_allow_ping(r);
		answer.result = net_inside_set_up(net, &answer.err);
	}
	for (int fd = 3; fd < sock; fd++)
		(void)sys_close(fd);
	(void)sys_close_range((unsigned)sock + 1, UINT_MAX, 0);
	(void)send(sock, &answer, sizeof(answer), MSG_NOSIGNAL);
	/* the parent asks once whether the driver has done its part; its end is ours */
	while (recv(sock, &byte, 1, 0) == 1) {
		answer.result = net_inside_await(net, sock, &answer.err);
		(void)send(sock, &answer, sizeof(answer), MSG_NOSIGNAL);
	}
	sys_exit(0);
}

static int holder_answer(int sock, struct rb_err *err)
{
	struct holder_answer answer;
	ssize_t len;

	do
		len = recv(sock, &answer, sizeof(answer), 0);
	while (len < 0 && errno == EINTR);
	if (len != sizeof(answer)) {
		err_set(err, RB_SETUP_KILLED, 0, "the keeper of the network was killed");
		err_fix(err, "did memory run out, or was it ended from outside? Try again");
		return -EPIPE;
	}
	if (answer.result < 0)
		*err = answer.err;
	return answer.result;
}

static int holder_spawn(struct rootless *r, int *ret_sock, struct rb_err *err)
{
	struct net *net = &r->net;
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&net->holder_pidfd,
		.exit_signal = SIGCHLD,
	};
	pid_t parent = getpid();
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, RB_INTERNAL, errno, "socketpair");
	pid = sys_clone3(&args);
	if (pid == 0) {
		close(pair[0]);
		holder_main(r, parent, pair[1]);
	}
	close(pair[1]);
	*ret_sock = pair[0];
	net->holder = pid;
	return pid < 0 ? err_set(err, RB_NAMESPACE, -pid, "cannot keep the network") : 0;
}

int net_hold(struct rootless *r, struct rb_err *err)
{
	struct net *net = &r->net;
	char path[64];
	int rc;

	net_release(net);
	rc = holder_spawn(r, &net->holder_sock, err);
	if (rc == 0)
		rc = holder_answer(net->holder_sock, err);
	if (rc < 0 || net->netns >= 0)
		return rc;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)net->holder);
	net->netns = sys_openat(AT_FDCWD, path, O_RDONLY, 0);
	return net->netns < 0 ? err_set(err, RB_NAMESPACE, -net->netns,
					"cannot open the network namespace")
			      : 0;
}

int net_hold_await(struct net *net, struct rb_err *err)
{
	(void)send(net->holder_sock, "", 1, MSG_NOSIGNAL);
	return holder_answer(net->holder_sock, err);
}

bool net_is_held(const struct net *net)
{
	struct pollfd fd = {.fd = net->holder_pidfd, .events = POLLIN};

	return net->holder_pidfd >= 0 && poll(&fd, 1, 0) == 0;
}

void net_release(struct net *net)
{
	fd_close(&net->holder_sock);
	sys_pidfd_end(&net->holder_pidfd);
}
