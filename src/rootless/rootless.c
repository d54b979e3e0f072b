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
static void rootless_signals(sigset_t *set)
{
	static const int left[] = {SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGTRAP, SIGABRT,
				   SIGSYS,  SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT};

	sigfillset(set);
	for (size_t i = 0; i < ARRAY_LEN(left); i++)
		sigdelset(set, left[i]);
}

static int clone_child(struct rootless *r, struct rb_err *err)
{
	uint64_t flags = CLONE_NEWUSER | CLONE_NEWNS | (r->pid_namespace ? CLONE_NEWPID : 0) |
			 (r->options->net != NET_HOST ? CLONE_NEWNET : 0);
	struct clone_args args = {
		.flags = flags | CLONE_PIDFD,
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

/* Waits for one message. 1: the child could not mount /proc. */
static int await(struct rootless *r, enum rootless_message_type type, struct rb_err *err)
{
	struct rootless_message message;
	int rc = message_receive(r->sock, &message);

	if (rc < 0)
		return err_set(err, RB_SETUP_KILLED, 0,
			       "the child was killed while it set itself up");
	if (message.type == MSG_ERROR) {
		*err = message.err;
		return -ECANCELED;
	}
	if (message.type == MSG_NO_PROC)
		return 1;
	return message.type == type ? 0 : err_set(err, RB_INTERNAL, EPROTO, "handshake");
}

static void end_child(struct rootless *r)
{
	siginfo_t info;

	if (r->pidfd >= 0) {
		(void)sys_pidfd_send_signal(r->pidfd, SIGKILL);
		(void)sys_wait_pidfd(r->pidfd, &info, WEXITED);
	}
	fd_close(&r->pidfd);
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

static int set_up(struct rootless *r, struct rb_err *err)
{
	int rc = clone_child(r, err);

	if (rc == 0)
		rc = idmap_write(r->arena, r->pid, r->uid_map, r->gid_map, r->idmap_method, err);
	if (rc == 0 && message_send(r->sock, MSG_MAPPED, NULL) < 0)
		rc = err_set(err, RB_SETUP_KILLED, 0, "the child is gone");
	if (rc == 0)
		rc = await(r, MSG_MOUNTED, err);
	if (rc != 0)
		return rc;
	if (r->options->net == NET_SLIRP4NETNS)
		rc = slirp_start(r, err);
	if (rc == 0 && message_send(r->sock, MSG_NETWORK, NULL) < 0)
		rc = err_set(err, RB_SETUP_KILLED, 0, "the child is gone");
	if (rc == 0)
		rc = await(r, MSG_READY, err);
	if (rc == 0)
		rc = publish(r, err);
	if (rc == 0 && message_send(r->sock, MSG_GO, NULL) < 0)
		rc = err_set(err, RB_SETUP_KILLED, 0, "the child is gone");
	return rc;
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

static int supervise(struct rootless *r)
{
	CLEANUP_FD int signals = -1;
	siginfo_t info = {0};
	sigset_t set;

	rootless_signals(&set);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	for (;;) {
		struct pollfd fds[] = {{.fd = r->pidfd, .events = POLLIN},
				       {.fd = signals, .events = POLLIN},
				       {.fd = r->sock, .events = POLLIN},
				       {.fd = r->slirp_pidfd, .events = POLLIN},
				       {.fd = r->slirp_output, .events = POLLIN}};

		if (poll(fds, ARRAY_LEN(fds), -1) < 0)
			continue;
		if (fds[1].revents)
			forward(r, signals);
		if (fds[2].revents)
			hear(r);
		if (fds[3].revents) {
			log_warn("slirp4netns has ended; the network is gone");
			slirp_end(r);
		}
		if (fds[4].revents)
			slirp_listen(r);
		if (fds[0].revents)
			break;
	}
	if (sys_wait_pidfd(r->pidfd, &info, WEXITED) < 0)
		return 255;
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

/* When the init inside is killed, its descendants become ours and end with us. */
static void without_pid_namespace(struct rootless *r)
{
	r->pid_namespace = false;
	(void)sys_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	descendants_list(&r->strangers);
}

int rootless_run(struct arena *arena, const struct rootless_options *options, struct rb_err *err)
{
	struct rootless r = {
		.arena = arena,
		.options = options,
		.pid_namespace = true,
		.state_fd = -1,
		.state_lock = -1,
		.sock = -1,
		.child_sock = -1,
		.pidfd = -1,
		.slirp_pidfd = -1,
		.slirp_exit = -1,
		.slirp_output = -1,
	};
	sigset_t set;
	int rc;

	rc = rootless_usermap(&r, err);
	if (rc == 0)
		rc = rootless_state_open(&r, err);
	if (rc == 0)
		rc = rootless_environment(&r, err);
	rootless_signals(&set);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	if (rc == 0)
		rc = set_up(&r, err);
	if (rc == 1) {
		/* a masked /proc around us: go on with the outer one, and with its process ids */
		end_child(&r);
		without_pid_namespace(&r);
		log_warn("a new /proc is refused here; processes that leave the command's session "
			 "may outlive it");
		rc = set_up(&r, err);
	}
	if (rc == 0)
		rc = supervise(&r);
	else
		end_child(&r);
	slirp_end(&r);
	if (!r.pid_namespace)
		descendants_end(&r.strangers);
	rootless_state_remove(&r);
	fd_close(&r.state_fd);
	fd_close(&r.state_lock);
	fd_close(&r.sock);
	fd_close(&r.pidfd);
	return rc;
}
