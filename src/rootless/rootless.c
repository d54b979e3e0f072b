/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent of the launcher: id maps, network, signals, exit status. Runs on the host side as
 * the ordinary user, single-threaded, without ever executing itself again: the child keeps its
 * capabilities because it does not exec before it has its ids.
 */
#include <sys/signalfd.h>
#include "base/file.h"
#include "base/log.h"
#include "host/userns_check.h"
#include "rootless/rootless_private.h"

/* Job control stays the shell's: stopping and continuing reach the whole group anyway. */
void rootless_signals(sigset_t *set)
{
	static const int left[] = {SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGTRAP, SIGABRT,
				   SIGSYS,  SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT};

	sigfillset(set);
	for (size_t i = 0; i < ARRAY_LEN(left); i++)
		sigdelset(set, left[i]);
}

static uint64_t clone_flags(const struct rootless *r)
{
	const struct rootless_options *options = r->options;

	return CLONE_NEWUSER | CLONE_NEWNS | (r->pid_namespace ? CLONE_NEWPID : 0) |
	       (rootless_inside_network(r) ? CLONE_NEWNET : 0) |
	       (options->ipcns ? CLONE_NEWIPC : 0) | (options->utsns ? CLONE_NEWUTS : 0) |
	       (options->cgroupns ? CLONE_NEWCGROUP : 0);
}

static int clone_child(struct rootless *r, struct rb_err *err)
{
	struct clone_args args = {
		.flags = clone_flags(r) | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&r->pidfd,
		.exit_signal = SIGCHLD,
	};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, RB_INTERNAL, errno, "socketpair");
	r->sock = pair[0];
	r->child_sock = pair[1];
	r->pid = sys_clone3(&args);
	if (r->pid == 0)
		rootless_child(r);
	fd_close(&r->child_sock);
	return r->pid < 0 ? userns_explain((int)-r->pid, true, err) : 0;
}

/* Waits for one message, and for the end of a helper that has to do its part for it. */
static int await_readable(struct rootless *r, struct rb_err *err)
{
	for (;;) {
		struct pollfd fds[] = {{.fd = r->sock, .events = POLLIN},
				       {.fd = r->net.pidfd, .events = POLLIN}};

		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents)
			return 0;
		if (fds[1].revents)
			return net_failed(&r->net, -EPIPE, err);
	}
}

/* 1: the child could not mount /proc. */
static int await(struct rootless *r, enum rootless_message_type type, struct rb_err *err)
{
	struct rootless_message message;
	int rc = await_readable(r, err);

	if (rc < 0)
		return rc;
	rc = message_receive(r->sock, &message);
	if (rc < 0) {
		err_set(err, RB_SETUP_KILLED, 0, "the child was killed while it set itself up");
		err_fix(err, "did memory run out, or was it ended from outside? Try again");
		return rc;
	}
	if (message.type == MSG_ERROR) {
		*err = message.err;
		return -ECANCELED;
	}
	if (message.type == MSG_NO_PROC)
		return 1;
	return message.type == type ? 0 : err_set(err, RB_INTERNAL, EPROTO, "handshake");
}

static int tell_fd(struct rootless *r, enum rootless_message_type type, int fd, struct rb_err *err)
{
	if (message_send_fd(r->sock, type, fd) == 0)
		return 0;
	err_set(err, RB_SETUP_KILLED, 0, "the child was killed while it set itself up");
	err_fix(err, "did memory run out, or was it ended from outside? Try again");
	return -EPIPE;
}

static int tell(struct rootless *r, enum rootless_message_type type, struct rb_err *err)
{
	return tell_fd(r, type, -1, err);
}

static void end_child(struct rootless *r)
{
	sys_pidfd_end(&r->pidfd);
	fd_close(&r->sock);
}

/* child_pid, by rename, and only once everything inside is in place. */
static int publish(struct rootless *r, struct rb_err *err)
{
	char number[16];
	int len = snprintf(number, sizeof(number), "%d", (int)r->pid);
	int rc = file_replace_at(r->state_fd, "child_pid", number, (size_t)len, 0444);

	return rc < 0 ? err_set(err, RB_STATE_DIR, -rc, "cannot write child_pid") : 0;
}

static int start_detached(struct rootless *r, struct rb_err *err)
{
	int rc = net_hold(r, err);

	if (rc == 0)
		rc = net_start(&r->net, r->net.holder, err);
	return rc == 0 ? net_hold_await(&r->net, err) : rc;
}

/* A driver that is started again needs somebody in the namespace. */
static void network_event(struct rootless *r)
{
	struct rb_err err = {0};
	bool lost = r->options->net.detached && !net_is_held(&r->net);

	if (lost) {
		if (net_hold(r, &err) < 0)
			log_error(&err);
		r->net.target = r->net.holder;
	}
	net_event(&r->net);
	/* a driver that was started while the keeper was on its way out has failed */
	if (lost)
		net_retry(&r->net);
}

static int set_up_network(struct rootless *r, struct rb_err *err)
{
	int rc = await(r, MSG_MOUNTED, err);

	if (rc != 0)
		return rc;
	rc = r->options->net.detached ? start_detached(r, err) : net_start(&r->net, r->pid, err);
	if (rc == 0)
		rc = tell_fd(r, MSG_NETWORK, r->net.netns, err);
	return rc == 0 ? await(r, MSG_READY, err) : rc;
}

static int set_up(struct rootless *r, struct rb_err *err)
{
	int rc = clone_child(r, err);

	if (rc == 0)
		rc = idmap_write(r->arena, r->pid, r->uid_map, r->gid_map, r->idmap_method, err);
	/* the root of the cgroup namespace is where the child was born */
	if (rc == 0 && r->options->evacuate_cgroup2)
		rc = evacuate_cgroup2(r->options->evacuate_cgroup2, err);
	if (rc == 0)
		rc = tell(r, MSG_MAPPED, err);
	return rc == 0 ? set_up_network(r, err) : rc;
}

static int start(struct rootless *r, struct rb_err *err)
{
	int rc;

	r->api.net = &r->net;
	r->api.state_dir = r->state_dir;
	r->api.child = r->pid;
	rc = api_open(&r->api, r->arena, r->state_fd, err);
	if (rc == 0)
		rc = publish(r, err);
	return rc == 0 ? tell(r, MSG_GO, err) : rc;
}

static void forward(struct rootless *r, int signals)
{
	struct signalfd_siginfo info;

	while (read(signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD || info.ssi_signo == SIGPIPE ||
		    info.ssi_code == SI_KERNEL)
			continue;
		(void)sys_pidfd_send_signal(r->pidfd, (int)info.ssi_signo);
	}
}

/* The only message after GO says why the command could not be executed. */
static void hear(struct rootless *r)
{
	struct rootless_message message;

	if (message_receive(r->sock, &message) == 0 && message.type == MSG_ERROR)
		log_error(&message.err);
	else
		fd_close(&r->sock);
}

enum {
	FD_CHILD,
	FD_SIGNALS,
	FD_SOCK,
	FD_NET,
	FD_NET_OUTPUT,
	FD_NET_HOSTS,
	FD_HOLDER,
	FD_FORWARD,
	FD_NOTIFY,
	FD_API
};

static void serve(struct rootless *r, int signals, const struct pollfd *fds)
{
	if (fds[FD_SIGNALS].revents)
		forward(r, signals);
	if (fds[FD_SOCK].revents)
		hear(r);
	if (fds[FD_NET].revents || fds[FD_NET_OUTPUT].revents || fds[FD_NET_HOSTS].revents ||
	    fds[FD_HOLDER].revents || fds[FD_FORWARD].revents)
		network_event(r);
	if (fds[FD_NOTIFY].revents)
		notify_forward(r);
	api_poll_act(&r->api, &fds[FD_API]);
}

static int supervise(struct rootless *r)
{
	CLEANUP_FD int signals = -1;
	siginfo_t info = {0};
	sigset_t set;

	rootless_signals(&set);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	for (;;) {
		struct pollfd fds[FD_API + API_FDS] = {
			[FD_CHILD] = {.fd = r->pidfd, .events = POLLIN},
			[FD_SIGNALS] = {.fd = signals, .events = POLLIN},
			[FD_SOCK] = {.fd = r->sock, .events = POLLIN},
			[FD_NET] = {.fd = r->net.pidfd, .events = POLLIN},
			[FD_NET_OUTPUT] = {.fd = r->net.output, .events = POLLIN},
			[FD_NET_HOSTS] = {.fd = r->net.hosts_watch, .events = POLLIN},
			[FD_HOLDER] = {.fd = r->net.holder_pidfd, .events = POLLIN},
			[FD_FORWARD] = {.fd = r->net.forward.pidfd, .events = POLLIN},
			[FD_NOTIFY] = {.fd = r->notify_in, .events = POLLIN},
		};

		api_poll_set(&r->api, &fds[FD_API]);
		if (poll(fds, ARRAY_LEN(fds), -1) < 0)
			continue;
		serve(r, signals, fds);
		if (fds[FD_CHILD].revents)
			break;
	}
	if (sys_wait_pidfd(r->pidfd, &info, WEXITED) < 0)
		return 255;
	if (info.si_code == CLD_EXITED)
		return info.si_status;
	return r->options->compatible ? 255 : 128 + info.si_status;
}

/* When the init inside is killed, its descendants become ours and end with us. */
static void become_subreaper(struct rootless *r)
{
	if (r->options->no_reaper)
		return;
	(void)sys_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	descendants_list(&r->strangers);
}

/* A masked /proc around us: go on with the outer one and its process ids, if that is allowed. */
static int without_proc(struct rootless *r, struct rb_err *err)
{
#define UNMASK_PROC                                                                                \
	"docker: --security-opt systempaths=unconfined; Kubernetes: procMount: Unmasked with "     \
	"hostUsers: false"

	end_child(r);
	if (r->options->pidns == PIDNS_YES) {
		err_set(err, RB_PROC_REFUSED, EPERM,
			"parts of the outer /proc are hidden, so a new one is refused");
		err_fix(err, UNMASK_PROC "; or leave --pidns out");
		return -EPERM;
	}
	r->pid_namespace = false;
	become_subreaper(r);
	log_warn_code(RB_PROC_REFUSED, UNMASK_PROC "; or --pidns=false, without this warning",
		      "a new /proc is refused here, so there is no pid namespace either; the "
		      "command sees the outer processes");
#undef UNMASK_PROC
	return set_up(r, err);
}

/* Before the first step fails for it. */
static int step_net_check(struct rootless *r, struct rb_err *err)
{
	struct net_policy policy = {.mode = r->options->step_net};

	return net_policy_find(r->arena, &policy, err);
}

/* Steps' networks have the addresses of ours: rootless_env.c says why. */
static void choose_network(struct rootless_options *options)
{
	enum net_driver driver = options->net.driver;

	if (driver == NET_SLIRP4NETNS || driver == NET_PASTA ||
	    options->step_net == NET_POLICY_SLIRP)
		net_choose_network(&options->net);
}

/* own: r->options, which are the caller's but for what is chosen here. */
static int prepare(struct rootless *r, struct rootless_options *own, struct rb_err *err)
{
	int rc = rootless_usermap(r, err);

	if (rc == 0)
		rc = net_check(&r->net, err);
	if (rc == 0)
		rc = step_net_check(r, err);
	if (rc == 0)
		choose_network(own);
	if (rc == 0)
		rc = rootless_state_open(r, err);
	if (rc == 0)
		rc = notify_open(r, err);
	if (rc == 0)
		rc = rootless_environment(r, err);
	r->net.dir = r->state_fd;
	if (rc == 0 && !r->pid_namespace)
		become_subreaper(r);
	return rc;
}

static void tear_down(struct rootless *r)
{
	net_end(&r->net);
	net_release(&r->net);
	fd_close(&r->net.netns);
	api_close(&r->api);
	if (!r->pid_namespace && !r->options->no_reaper)
		descendants_end(&r->strangers);
	rootless_state_remove(r);
	fd_close(&r->notify_in);
	fd_close(&r->notify_out);
	fd_close(&r->state_fd);
	fd_close(&r->state_lock);
	fd_close(&r->sock);
	fd_close(&r->pidfd);
}

int rootless_run(struct arena *arena, const struct rootless_options *options, struct rb_err *err)
{
	struct rootless_options own = *options;
	struct rootless r = {
		.arena = arena,
		.options = &own,
		.pid_namespace = options->pidns != PIDNS_NO,
		.state_fd = -1,
		.state_lock = -1,
		.sock = -1,
		.child_sock = -1,
		.pidfd = -1,
		.notify_in = -1,
		.notify_out = -1,
		.api.listener = -1,
	};
	sigset_t set;
	int rc;

	net_init(&r.net, arena, &own.net);
	rc = prepare(&r, &own, err);
	rootless_signals(&set);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	if (rc == 0)
		rc = set_up(&r, err);
	if (rc == 1)
		rc = without_proc(&r, err);
	if (rc == 0)
		rc = start(&r, err);
	if (rc == 0)
		rc = supervise(&r);
	else
		end_child(&r);
	tear_down(&r);
	return rc;
}
