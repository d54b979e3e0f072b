/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent's half of the builtin port driver, and how the forwarder gets where it is.
 *
 * The parent binds each port, as the user on the host, so that "in use" and "privileged" are said
 * by the kernel and not guessed, and passes the socket on. The forwarder is a child that never
 * executes anything of its own: it joins the user and network namespaces of the target, keeps
 * CAP_NET_ADMIN there (IP_TRANSPARENT and SO_MARK, ip(7) and socket(7)) and nothing else, has no
 * descriptor but its socket to the parent, and ends with the parent.
 *
 * How a client's address is kept: the forwarder's connection inside is bound to the address of
 * the client (IP_TRANSPARENT) and marked. tcp_fwmark_accept makes the accepted socket inherit the
 * mark, fwmark_reflect the kernel's own refusal, and a rule sends what is marked to a table in
 * which every address is local. So answers come back to the forwarder, and nothing else in the
 * namespace is routed otherwise.
 */
#include <linux/capability.h>
#include "base/fd_message.h"
#include "base/log.h"
#include "launch/launch.h"
#include "rootless/forward_private.h"

enum { ANSWER_SECONDS = 10 };

static bool turn_on(const char *sysctl)
{
	CLEANUP_FD int fd = sys_openat(AT_FDCWD, sysctl, O_WRONLY, 0);

	return fd >= 0 && sys_write(fd, "1", 1) == 1;
}

/* Rule and table by runbuild-netlink, in the namespace we are in: linux/ip-sysctl.rst. */
static bool way_back(const char *netlink)
{
	CLEANUP_ARENA struct arena arena = {0};
	char mark[16];
	const char *const argv[] = {netlink, "way-back", mark, NULL};
	char *answer;

	snprintf(mark, sizeof(mark), "%u", FORWARD_MARK);
	answer = helper_output(&arena, netlink, argv);
	return answer && str_eq(answer, "ok\n") &&
	       turn_on("/proc/sys/net/ipv4/tcp_fwmark_accept") &&
	       turn_on("/proc/sys/net/ipv4/fwmark_reflect");
}

/* CAP_NET_ADMIN over the network namespace and no other capability, for good. */
static int drop_rest(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
		{.effective = 1U << CAP_NET_ADMIN, .permitted = 1U << CAP_NET_ADMIN}};
	int rc = sys_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);

	for (unsigned long cap = 0; sys_prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		(void)sys_prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	return rc < 0 ? rc : SYS_CALL(SYS_capset, &header, data);
}

/*
 * The forwarder, from its first instruction. The death signal comes after the last change of
 * credentials.
 */
static void forwarder_main(const struct forward *forward, int target, int sock, pid_t parent)
	__attribute__((noreturn));
static void forwarder_main(const struct forward *forward, int target, int sock, pid_t parent)
{
	struct forward_message ready = {.type = FORWARD_DONE};
	int null = sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);

	(void)setpgid(0, 0);
	for (int fd = 0; fd < 3; fd++)
		(void)sys_dup3(null, fd, 0);
	ready.error = sys_setns(target, CLONE_NEWUSER | CLONE_NEWNET);
	if (ready.error == 0 && !forward->hide_clients)
		ready.keeps_address = way_back(forward->netlink);
	if (ready.error == 0)
		ready.error = drop_rest();
	(void)sys_chdir("/");
	(void)sys_dup3(sock, 3, O_CLOEXEC);
	(void)sys_close_range(4, UINT_MAX, 0);
	sys_die_with(parent);
	if (fd_message_send(3, &ready, sizeof(ready), -1) < 0 || ready.error < 0)
		sys_exit(1);
	forward_loop(3, ready.keeps_address);
}

static int forward_lost(struct forward *forward, int rc, struct rb_err *err)
{
	forward_end(forward);
	err_set(err, RB_PORT, -rc, "the builtin port driver");
	err_fix(err, "--port-driver=slirp4netns does without it");
	return rc;
}

/* Waits for FORWARD_DONE. */
static int forward_answer(struct forward *forward, struct forward_message *ret_answer,
			  struct rb_err *err)
{
	CLEANUP_FD int fd = -1;
	int rc = fd_message_receive(forward->sock, ret_answer, sizeof(*ret_answer), &fd);

	if (rc == -EAGAIN)
		rc = -ETIMEDOUT;
	if (rc == 0)
		rc = ret_answer->error;
	return rc < 0 ? forward_lost(forward, rc, err) : 0;
}

static int spawn(struct forward *forward, int target, int sock)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&forward->pidfd,
		.exit_signal = SIGCHLD,
	};
	pid_t parent = getpid();
	pid_t pid = sys_clone3(&args);

	if (pid == 0)
		forwarder_main(forward, target, sock, parent);
	return pid;
}

int forward_start(struct forward *forward, pid_t target, struct rb_err *err)
{
	struct timeval patience = {.tv_sec = ANSWER_SECONDS};
	CLEANUP_FD int theirs = -1;
	CLEANUP_FD int pidfd = sys_pidfd_open(target);
	struct forward_message ready;
	int pair[2];
	int rc;

	if (pidfd < 0)
		return forward_lost(forward, pidfd, err);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return forward_lost(forward, -errno, err);
	forward->sock = pair[0];
	theirs = pair[1];
	(void)setsockopt(forward->sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	rc = spawn(forward, pidfd, theirs);
	fd_close(&theirs);
	if (rc < 0)
		return forward_lost(forward, rc, err);
	rc = forward_answer(forward, &ready, err);
	if (rc == 0 && !ready.keeps_address && !forward->hide_clients)
		log_warn("published ports: the addresses of clients are not kept, because policy "
			 "routing or /proc/sys/net is not to be had here");
	return rc;
}

static struct in6_addr child_of(const struct port_spec *spec)
{
	struct in6_addr address = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
	uint32_t four = htonl(spec->child_ip ? spec->child_ip : INADDR_LOOPBACK);

	memcpy(&address.s6_addr[12], &four, sizeof(four));
	return spec->child_is_v6 ? spec->child_v6 : address;
}

int forward_publish(struct forward *forward, const struct port_entry *entry, struct rb_err *err)
{
	const struct port_spec *spec = &entry->spec;
	struct forward_message request = {
		.type = FORWARD_ADD,
		.id = entry->id,
		.child = child_of(spec),
		.child_port = spec->child_port,
		.udp = spec->udp,
	};
	CLEANUP_FD int fd = -1;
	int rc = port_open(spec, &fd, err);

	if (rc < 0)
		return rc;
	rc = fd_message_send(forward->sock, &request, sizeof(request), fd);
	return rc < 0 ? forward_lost(forward, rc, err) : forward_answer(forward, &request, err);
}

int forward_unpublish(struct forward *forward, const struct port_entry *entry, struct rb_err *err)
{
	struct forward_message request = {.type = FORWARD_REMOVE, .id = entry->id};
	int rc = fd_message_send(forward->sock, &request, sizeof(request), -1);

	return rc < 0 ? forward_lost(forward, rc, err) : forward_answer(forward, &request, err);
}

void forward_end(struct forward *forward)
{
	fd_close(&forward->sock);
	sys_pidfd_end(&forward->pidfd);
}
