/* SPDX-License-Identifier: Apache-2.0 */
/*
 * criu(8) as a worker of ours ("criu swrk"): one process, one socket, one request. Runs in the
 * parent with the privilege of host root. The service is used and not the command line because
 * it tells us the process before it runs (its record, its monitor and its hooks come first) and
 * hands over the terminal as a descriptor. criu dies with us; for a restore it works in a mount
 * namespace of its own, so that the mounts it needs can be left nowhere.
 */
#include <linux/mount.h>
#include <sys/signalfd.h>
#include "base/fd_message.h"
#include "base/file.h"
#include "launch/criu.h"
#include "launch/launch_private.h"

enum {
	CRIU_SOCKET = 3,
	CRIU_FDS_MAX = LIMIT_CRIU_FDS + 3,
	CRIU_MESSAGE_BYTES = 65536,
	CRIU_TAIL_BYTES = 65536
};

/* criu wants the root to be a mount point: it is bound onto itself. */
static int bind_root(const char *root)
{
	struct mount_attr slave = {.propagation = MS_SLAVE};
	CLEANUP_FD int tree = -1;
	int r = sys_mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &slave);

	if (r < 0)
		return r;
	tree = sys_open_tree(AT_FDCWD, root, OPEN_TREE_CLONE | AT_RECURSIVE);
	return tree < 0 ? tree : sys_move_mount(tree, "", AT_FDCWD, root, MOVE_MOUNT_F_EMPTY_PATH);
}

/*
 * criu takes its directories from whoever made its socket (SO_PEERCRED), and mounts in them: they
 * must be of its own mount namespace. So a criu that has one makes the socket and opens the
 * directories itself. Returns its end of the socket; the other one goes through `sock`.
 */
static int own_socket(const struct criu_start *start, int sock, int directories[2])
{
	struct handshake record = {.type = HS_GO};
	int pair[2];
	int r;

	directories[0] = sys_openat(AT_FDCWD, start->images, O_RDONLY | O_DIRECTORY, 0);
	directories[1] = sys_openat(AT_FDCWD, start->work, O_RDONLY | O_DIRECTORY, 0);
	if (directories[0] < 0 || directories[1] < 0)
		return -ENOENT;
	r = SYS_CALL(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
	if (r == 0)
		r = handshake_send(sock, &record, pair[0]);
	/* ours must be the only end in this process, or its end of file would never come */
	if (r == 0)
		r = sys_close(pair[0]);
	return r < 0 ? r : pair[1];
}

/* Gives descriptors the numbers from 3 on and lets execve(2) close the others. */
static void place_fds(const int *fds, size_t n)
{
	int high[CRIU_FDS_MAX];

	/* out of the way first: their numbers may be those that are wanted */
	for (size_t i = 0; i < n; i++)
		high[i] = fd_dup(fds[i], CRIU_SOCKET + CRIU_FDS_MAX);
	for (size_t i = 0; i < n; i++)
		if (high[i] < 0 || sys_dup3(high[i], CRIU_SOCKET + (int)i, 0) < 0)
			sys_exit(126);
	(void)sys_close_range(CRIU_SOCKET + (unsigned)n, UINT_MAX, CLOSE_RANGE_CLOEXEC);
}

static void criu_child(const struct criu_start *start, int sock, pid_t parent)
	__attribute__((noreturn));
static void criu_child(const struct criu_start *start, int sock, pid_t parent)
{
	static const char *const envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	const char *const argv[] = {start->path, "swrk", "3", NULL};
	int fds[CRIU_FDS_MAX] = {sock};
	size_t n = 1 + start->n_fds;

	sys_die_with(parent);
	for (size_t i = 0; i < start->n_fds; i++)
		fds[1 + i] = start->fds[i];
	if (start->root) {
		if (bind_root(start->root) < 0 || (fds[0] = own_socket(start, sock, fds + n)) < 0)
			sys_exit(126);
		n += 2;
	} else {
		int null = sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);

		for (int fd = 0; fd < 3 && null >= 0; fd++)
			(void)sys_dup3(null, fd, 0);
	}
	place_fds(fds, n);
	sys_signals_reset();
	(void)sys_execve(start->path, (char *const *)argv, (char *const *)envp);
	sys_exit(127);
}

int criu_start(const struct criu_start *start, struct criu *ret_criu, struct rb_err *err)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND | (start->root ? CLONE_NEWNS : 0),
		.pidfd = (uint64_t)(uintptr_t)&ret_criu->pidfd,
		.exit_signal = SIGCHLD,
	};
	struct handshake record;
	pid_t parent = getpid();
	int pair[2];
	int r;

	*ret_criu = (struct criu){.pidfd = -1, .sock = -1};
	if (start->n_fds > LIMIT_CRIU_FDS)
		return err_set(err, RB_CRIU, E2BIG, "descriptors for criu");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, RB_CRIU, errno, "socketpair");
	ret_criu->pid = sys_clone3(&args);
	if (ret_criu->pid == 0)
		criu_child(start, pair[1], parent);
	close(pair[1]);
	if (ret_criu->pid > 0 && !start->root) {
		ret_criu->sock = pair[0];
		return 0;
	}
	r = ret_criu->pid;
	if (r > 0)
		r = launch_receive(pair[0], 0, &record, &ret_criu->sock);
	close(pair[0]);
	if (r > 0 && ret_criu->sock >= 0)
		return 0;
	criu_end(ret_criu);
	return err_set(err, RB_CRIU, r < 0 ? -r : EPIPE, "cannot prepare mounts for %s",
		       start->path);
}

void criu_request_directories(const struct criu_start *start, struct criu_request *request)
{
	if (!start->root)
		return;
	request->images = CRIU_SOCKET + 1 + (int)start->n_fds;
	request->work = request->images + 1;
}

void criu_end(struct criu *criu)
{
	fd_close(&criu->sock);
	sys_pidfd_end(&criu->pidfd);
}

static int criu_send(const struct criu *criu, const struct strbuf *message)
{
	if (message->failed)
		return -ENOMEM;
	return send(criu->sock, message->text, message->len, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* A signal that asks us to end; the others are of no interest while nothing runs. */
static bool signal_ends(int signals)
{
	struct signalfd_siginfo info;
	bool ends = false;

	while (read(signals, &info, sizeof(info)) == sizeof(info))
		ends |= info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM ||
			info.ssi_signo == SIGHUP || info.ssi_signo == SIGQUIT;
	return ends;
}

/* 0 once a message is there; -ECANCELED. */
static int criu_await(const struct criu *criu, int signals)
{
	struct pollfd fds[] = {{.fd = criu->sock, .events = POLLIN},
			       {.fd = signals, .events = POLLIN}};

	for (;;) {
		int r = sys_ppoll(fds, 2, NULL);

		if (r < 0 && r != -EINTR)
			return r;
		if (r > 0 && fds[0].revents)
			return 0;
		if (r > 0 && signal_ends(signals))
			return -ECANCELED;
	}
}

/* The next reply, with a descriptor that may have come along. 0: criu has closed the socket. */
static int criu_receive(const struct criu *criu, struct criu_reply *reply, int *ret_fd)
{
	char bytes[CRIU_MESSAGE_BYTES];
	ssize_t len = fd_message_take(criu->sock, bytes, sizeof(bytes), 0, ret_fd);

	if (len <= 0)
		return len == -ECONNRESET ? 0 : (int)len;
	return criu_decode(bytes, (size_t)len, reply) < 0 ? -EPROTO : 1;
}

/* One reply. 1: criu is done; 0: there is more to come. */
static int criu_step(const struct criu *criu, const struct criu_request *request,
		     const struct criu_listener *listener, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf answer = {0};
	CLEANUP_FD int fd = -1;
	struct criu_reply reply;
	int r = criu_await(criu, listener->signals);

	if (r == 0)
		r = criu_receive(criu, &reply, &fd);
	else if (r == -ECANCELED)
		return err_set(err, RB_CRIU, -r, "interrupted");
	if (r <= 0)
		return err_set(err, RB_CRIU, r < 0 ? -r : EPIPE, "criu ended without an answer");
	if (!reply.success)
		return err_set(err, RB_CRIU, reply.errnum > 0 ? reply.errnum : 0, "criu failed");
	if (reply.type != CRIU_NOTIFY)
		return reply.type == (int)request->type
			       ? 1
			       : err_set(err, RB_CRIU, EPROTO, "answer of type %d", reply.type);
	r = listener->noted ? listener->noted(listener->data, &reply, &fd, err) : 0;
	/* told of a failure, criu undoes what it has done; its end is awaited by criu_end() */
	criu_encode_noted(r == 0, &answer);
	if (r == 0 && (r = criu_send(criu, &answer)) < 0)
		return err_set(err, RB_CRIU, -r, "cannot answer criu");
	if (r < 0)
		(void)criu_send(criu, &answer);
	return r;
}

int criu_ask(struct criu *criu, const struct criu_request *request,
	     const struct criu_listener *listener, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf message = {0};
	siginfo_t info = {0};
	int r;

	criu_encode(request, &message);
	r = criu_send(criu, &message);
	/* EPIPE: it has ended already, and the end of the file says so */
	if (r < 0 && r != -EPIPE)
		return err_set(err, RB_CRIU, -r, "cannot ask criu");
	do
		r = criu_step(criu, request, listener, err);
	while (r == 0);
	if (r < 0)
		return r;
	/* after a pre-dump it would wait for the dump */
	if (request->type == CRIU_PRE_DUMP)
		return 0;
	(void)shutdown(criu->sock, SHUT_WR);
	r = sys_wait_pidfd(criu->pidfd, &info, WEXITED);
	fd_close(&criu->pidfd);
	if (r == 0 && info.si_code == CLD_EXITED && info.si_status == 0)
		return 0;
	return err_set(err, RB_CRIU, 0, "criu failed with status %d", info.si_status);
}

/*
 * The last of criu's errors, "(00.012345) Error (file.c:1): what", before the one that says only
 * that all has failed ("Dumping FAILED.").
 */
void criu_explain(int work, const char *log, struct rb_err *err)
{
	CLEANUP_FD int fd = sys_openat(work, log, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	char text[CRIU_TAIL_BYTES];
	const char *last = NULL;
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	ssize_t len;

	if (size < 0)
		return;
	len = pread(fd, text, sizeof(text) - 1,
		    size < (off_t)sizeof(text) ? 0 : size - (off_t)sizeof(text) + 1);
	if (len < 0)
		return;
	text[len] = '\0';
	for (char *at = text; (at = strstr(at, "Error (")); at++) {
		const char *failed = strstr(at, " FAILED.");

		if (!last || !failed || failed > strchrnul(at, '\n'))
			last = at;
	}
	if (last)
		err_set(err, RB_CRIU, 0, "criu failed: %.*s", (int)strcspn(last, "\n"), last);
}
