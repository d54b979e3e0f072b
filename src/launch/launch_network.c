/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of a step: OP_STEP_NETWORK to OP_CLOSE_NETWORK, and what becomes of it. Runs in the
 * parent. slirp4netns is our child and ends with us; of a container that outlives the runtime it is
 * the child of a keeper, which holds descriptors of the container's first process and of
 * slirp4netns and ends with whichever ends first. A lent network is the pool's: it ends with our
 * connection to it.
 */
#include "base/file.h"
#include "base/log.h"
#include "launch/launch_private.h"
#include "net/filter.h"
#include "net/slirp_api.h"
#include "base/fd_message.h"

enum { NETWORK_READY_MS = 10000, KEEPER_END_MS = 5000 };

/* What a keeper says once: its network is ready, or why there is none. */
struct keeper_report {
	int32_t rc;
	struct rb_err err;
};

static void network_remedy(struct rb_err *err)
{
	err_fix(err,
		"does 'slirp4netns --enable-sandbox --enable-seccomp' work on this host? Another "
		"version of it, or --step-net=none or host");
}

/* Both descriptors are ours until slirp4netns has started: it opens them by number. */
static int open_namespaces(pid_t pid, int *ret_netns, int *ret_userns)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	*ret_netns = sys_openat(AT_FDCWD, path, O_RDONLY, 0);
	if (*ret_netns < 0 || geteuid() == 0)
		return *ret_netns < 0 ? *ret_netns : 0;
	/* root may enter what is below its user namespace; others become its root first */
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	*ret_userns = sys_openat(AT_FDCWD, path, O_RDONLY, 0);
	return *ret_userns < 0 ? *ret_userns : 0;
}

static int network_spawn(struct launch *l, const struct plan_op *op, struct slirp *slirp,
			 struct arena *arena, struct rb_err *err)
{
	CLEANUP_FD int netns = -1;
	CLEANUP_FD int userns = -1;
	struct slirp_options options = {
		.helper = plan_str(l->plan, op->str[0]),
		.mtu = (uint32_t)op->arg[1],
		.network = (uint32_t)(op->arg[0] >> 32),
		.prefix = (unsigned)(op->arg[0] & 0xff),
		.configure = true,
		.no_dns = op->arg[2] & SLIRP_NO_DNS,
		.allow_host_loopback = op->arg[2] & SLIRP_HOST_LOOPBACK,
		.dir = op->str[1] ? l->context->files_dir : -1,
		.api_socket = op->str[1] ? plan_str(l->plan, op->str[1]) : NULL,
	};
	int r = open_namespaces(l->pid, &netns, &userns);

	options.netns = netns;
	options.userns = userns;
	if (r == 0)
		r = slirp_spawn(slirp, arena, &options);
	if (r == -ESRCH || r == -ENOENT)
		err_set(err, RB_SETUP_KILLED, 0,
			"the container ended while its network was being set up");
	else if (r < 0)
		err_set(err, RB_SLIRP_FAILED, -r, "cannot start slirp4netns");
	return r;
}

/* Copies: the caller's are closed whatever becomes of the launch. */
int launch_network_take(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	int netns = fd_dup(l->context->netns, 3);

	if (netns >= 0)
		l->net.lease = fd_dup(l->context->lease, 3);
	l->child.slots[op->slot] = netns;
	if (netns < 0 || l->net.lease < 0)
		return err_set(err, RB_STEP_NET, netns < 0 ? -netns : -l->net.lease,
			       "cannot take the lent network");
	return 0;
}

int launch_network_start(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	l->net.deadline_ms = sys_now_ms() + NETWORK_READY_MS;
	return network_spawn(l, op, &l->net.slirp, l->context->arena, err);
}

/* Reads and throws away, so that slirp4netns never waits for us. */
static void keeper_serve(struct slirp *slirp, int child) __attribute__((noreturn));
static void keeper_serve(struct slirp *slirp, int child)
{
	for (;;) {
		struct pollfd fds[] = {{.fd = child, .events = POLLIN},
				       {.fd = slirp->pidfd, .events = POLLIN},
				       {.fd = slirp->output, .events = POLLIN}};

		if (poll(fds, 3, -1) < 0)
			continue;
		if (fds[0].revents || fds[1].revents)
			break;
		slirp_listen(slirp);
	}
	slirp_end(slirp);
	sys_exit(0);
}

static void keeper_main(struct launch *l, const struct plan_op *op, int sock)
	__attribute__((noreturn));
static void keeper_main(struct launch *l, const struct plan_op *op, int sock)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct keeper_report report = {0};
	struct slirp slirp;
	const int keep[] = {sock, l->pidfd};
	int null;

	slirp_init(&slirp);
	monitor_become("runbuild-net");
	fd_keep_only(keep, ARRAY_LEN(keep));
	/* the numbers of the standard streams are not for pipes */
	while ((null = sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0)) >= 0 && null < 3)
		;
	fd_close(&null);
	report.rc = network_spawn(l, op, &slirp, &arena, &report.err);
	if (report.rc == 0 && (report.rc = slirp_await(&slirp, NETWORK_READY_MS)) < 0) {
		report.rc = slirp_failed(&slirp, report.rc, NETWORK_READY_MS, &report.err);
		network_remedy(&report.err);
	}
	if (fd_message_send(sock, &report, sizeof(report), report.rc < 0 ? -1 : slirp.pidfd) < 0 ||
	    report.rc < 0) {
		slirp_end(&slirp);
		sys_exit(1);
	}
	fd_close(&sock);
	keeper_serve(&slirp, l->pidfd);
}

int launch_network_keep(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&l->net.keeper_pidfd,
		.exit_signal = SIGCHLD,
	};
	int pair[2];
	pid_t pid;
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, RB_STEP_NET, errno, "cannot start the keeper of the network");
	pid = sys_clone3(&args);
	if (pid == 0) {
		close(pair[0]);
		keeper_main(l, op, pair[1]);
	}
	close(pair[1]);
	l->net.keeper = pair[0];
	if (pid < 0)
		return err_set(err, RB_STEP_NET, -pid, "cannot start the keeper of the network");
	/* for `delete`, which returns when it is gone as well */
	r = l->context->container ? container_note_network(l->context->container, pid) : 0;
	/* one that has ended says why itself */
	return r == 0 || r == -ESRCH
		       ? 0
		       : err_set(err, RB_STATE_WRITE, -r, "cannot note the keeper of the network");
}

static int keeper_await(struct launch *l, struct rb_err *err)
{
	struct keeper_report report;
	int r = fd_message_receive(l->net.keeper, &report, sizeof(report), &l->net.slirp.pidfd);

	if (r < 0 || (report.rc == 0 && l->net.slirp.pidfd < 0)) {
		err_set(err, RB_STEP_NET, 0, "the keeper of the network was killed");
		err_fix(err, "did memory run out, or was it ended from outside? Try again");
		return -EPIPE;
	}
	if (report.rc < 0)
		*err = report.err;
	return report.rc;
}

int launch_network_await(struct launch *l, struct rb_err *err)
{
	int r;

	if (l->net.keeper >= 0)
		return keeper_await(l, err);
	r = slirp_await(&l->net.slirp, l->context->may_return ? 0 : NETWORK_READY_MS);
	if (r == -ETIMEDOUT && l->context->may_return && sys_now_ms() < l->net.deadline_ms)
		return 1;
	if (r < 0) {
		r = slirp_failed(&l->net.slirp, r, NETWORK_READY_MS, err);
		network_remedy(err);
	}
	return r;
}

int launch_network_close(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	const struct net_closure closure = {.dns = (uint32_t)op->arg[0],
					    .published = op->arg[1] != 0};
	int r = net_close_now(l->context->arena, l->net.slirp.pidfd, closure, err);

	/* the keeper's is not ours to end */
	if (l->net.keeper >= 0)
		fd_close(&l->net.slirp.pidfd);
	return r;
}

/* 1: more has to come, and the caller prefers to come back. */
static int publish_listen(struct launch *l)
{
	struct launch_network *net = &l->net;

	for (;;) {
		struct pollfd fd = {.fd = net->api, .events = POLLIN};
		int64_t left = net->deadline_ms - sys_now_ms();
		int n = poll(&fd, 1, l->context->may_return ? 0 : left < 0 ? 0 : (int)left);
		ssize_t got;

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			return l->context->may_return && left > 0 ? 1 : -ETIMEDOUT;
		got = recv(net->api, net->answer + net->answer_len,
			   sizeof(net->answer) - net->answer_len, 0);
		if (got <= 0)
			return got < 0 ? -errno : 0;
		net->answer_len += (size_t)got;
		if (net->answer_len == sizeof(net->answer))
			return -EMSGSIZE;
	}
}

static int publish_ask(struct launch *l, const struct plan_op *op)
{
	CLEANUP_STRBUF struct strbuf request = {0};
	const struct port_spec spec = {
		.udp = op->arg[2] != 0,
		.parent_ip = (uint32_t)(op->arg[0] >> 32),
		.parent_port = (uint16_t)op->arg[0],
		.child_ip = (uint32_t)(op->arg[1] >> 32),
		.child_port = (uint16_t)op->arg[1],
	};

	l->net.answer_len = 0;
	l->net.deadline_ms = sys_now_ms() + NETWORK_READY_MS;
	slirp_api_add_port(&request, &spec, 0);
	return slirp_api_ask(l->context->files_dir, plan_str(l->plan, op->str[0]), &request,
			     &l->net.api);
}

int launch_network_publish(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	const struct json_node *result;
	int r = l->net.api < 0 ? publish_ask(l, op) : 0;

	if (r == 0)
		r = publish_listen(l);
	if (r == 1)
		return 1;
	fd_close(&l->net.api);
	r = r < 0 ? slirp_api_failed(r, err)
		  : slirp_api_result(l->context->arena, l->net.answer, l->net.answer_len, &result,
				     err);
	if (r < 0)
		err_origin(err, plan_str(l->plan, op->origin));
	return r;
}

/*
 * Is only the end of the handshake to come, by execve or by failure? Whatever is said before it is
 * read then, and must not wake us: the hang-up does without being asked for, poll(2).
 */
static bool awaits_the_end(const struct launch *l)
{
	const struct plan_op *op = plan_parent_ops(l->plan) + l->next_op;

	/* str[0]: the agent that a filter's listener is sent to */
	return l->next_op < l->plan->n_parent && op->kind == OP_AWAIT_EXEC && !op->str[0];
}

size_t launch_poll(const struct launch *l, struct pollfd *fds, int64_t *deadline_ms)
{
	const struct plan_op *ops = plan_parent_ops(l->plan);

	if (l->hook.pidfd >= 0)
		return hook_poll(&l->hook, fds, deadline_ms);
	/* what the child says meanwhile is read later: asking for it would not let us sleep */
	if (l->next_op < l->plan->n_parent && ops[l->next_op].kind == OP_AWAIT_NETWORK) {
		fds[0] = (struct pollfd){.fd = l->net.slirp.ready, .events = POLLIN};
		fds[1] = (struct pollfd){.fd = l->net.slirp.pidfd, .events = POLLIN};
		if (l->net.deadline_ms < *deadline_ms)
			*deadline_ms = l->net.deadline_ms;
		return 2;
	}
	if (l->net.api >= 0) {
		fds[0] = (struct pollfd){.fd = l->net.api, .events = POLLIN};
		if (l->net.deadline_ms < *deadline_ms)
			*deadline_ms = l->net.deadline_ms;
		return 1;
	}
	fds[0] = (struct pollfd){.fd = l->sock, .events = awaits_the_end(l) ? 0 : POLLIN};
	return 1;
}

/* What the step's network wants to be watched for; room for NETWORK_POLL. */
size_t launch_network_poll(const struct launch *l, struct pollfd *fds)
{
	size_t n = 0;

	if (l->net.lease >= 0)
		fds[n++] = (struct pollfd){.fd = l->net.lease, .events = POLLIN};
	if (l->net.slirp.pidfd >= 0)
		fds[n++] = (struct pollfd){.fd = l->net.slirp.pidfd, .events = POLLIN};
	if (l->net.slirp.output >= 0)
		fds[n++] = (struct pollfd){.fd = l->net.slirp.output, .events = POLLIN};
	return n;
}

static bool network_lost(const char *how, struct rb_err *err)
{
	err_set(err, RB_STEP_NET, 0, "the step has lost its network: slirp4netns has ended%s", how);
	err_fix(err, "run the step again; was slirp4netns killed, or did memory run out?");
	return true;
}

bool launch_network_is_lost(struct launch *l, struct rb_err *err)
{
	struct slirp *slirp = &l->net.slirp;
	char how[sizeof(slirp->said) + 64];
	siginfo_t info = {0};
	char byte;

	if (l->net.lease >= 0 && recv(l->net.lease, &byte, 1, MSG_DONTWAIT) == 0) {
		fd_close(&l->net.lease);
		return network_lost("", err);
	}
	slirp_listen(slirp);
	if (slirp->pidfd < 0 || sys_wait_pidfd(slirp->pidfd, &info, WEXITED | WNOHANG) < 0 ||
	    info.si_pid == 0)
		return false;
	slirp_listen(slirp);
	fd_close(&slirp->pidfd);
	snprintf(how, sizeof(how), " with %s %d%s%s",
		 info.si_code == CLD_EXITED ? "status" : "signal", info.si_status,
		 slirp->said[0] ? ", saying: " : "", slirp->said);
	slirp_end(slirp);
	return network_lost(how, err);
}

/* The step goes on without a network: what it was doing fails, and it may know what to do. */
void launch_network_event(struct launch *l)
{
	struct rb_err err = {0};

	if (launch_network_is_lost(l, &err))
		log_error(&err);
}

/*
 * A step that ends because its network was killed may be noticed first (not within the few
 * milliseconds that slirp4netns takes to die after its tap has gone). One that has ended by
 * itself by now is no loss: the namespace goes with the step.
 */
static void network_last_words(struct launch *l)
{
	siginfo_t info = {0};

	if (l->net.slirp.pidfd >= 0 && l->net.keeper < 0 &&
	    sys_wait_pidfd(l->net.slirp.pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	    info.si_pid != 0 && info.si_code != CLD_EXITED)
		launch_network_event(l);
}

/* Its end takes a moment: it begins as soon as the step has ended. */
void launch_network_kill(struct launch *l)
{
	network_last_words(l);
	fd_close(&l->net.lease);
	if (l->net.keeper < 0)
		slirp_kill(&l->net.slirp);
}

bool launch_network_is_gone(struct launch *l)
{
	siginfo_t info = {0};
	struct slirp *slirp = &l->net.slirp;

	if (slirp->pidfd < 0)
		return true;
	slirp_listen(slirp);
	if (sys_wait_pidfd(slirp->pidfd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
		return false;
	fd_close(&slirp->pidfd);
	return true;
}

/*
 * The keeper of a container that has come to nothing ends with its process, which takes a
 * millisecond; of one that lives it is left alone.
 */
static void keeper_leave(struct launch *l)
{
	struct pollfd child = {.fd = l->pidfd, .events = POLLIN};

	if (l->net.keeper_pidfd >= 0 && (l->pidfd < 0 || poll(&child, 1, 0) == 1)) {
		struct pollfd keeper = {.fd = l->net.keeper_pidfd, .events = POLLIN};

		(void)poll(&keeper, 1, KEEPER_END_MS);
		sys_pidfd_end(&l->net.keeper_pidfd);
	}
	fd_close(&l->net.keeper_pidfd);
}

void launch_network_end(struct launch *l)
{
	launch_network_kill(l);
	/* the keeper waits for its own */
	if (l->net.keeper >= 0)
		fd_close(&l->net.slirp.pidfd);
	slirp_end(&l->net.slirp);
	fd_close(&l->net.keeper);
	keeper_leave(l);
	fd_close(&l->net.api);
}
