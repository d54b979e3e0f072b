/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's loop. Each turn: build the list of what to wait for, wait, let everything that can
 * go on go on, then free what has ended. Nothing is freed while the list of a turn is in use, so
 * an event never names something that is gone.
 *
 * The descriptors of the protocol are moved away from 0 and 1 first: no child can write into the
 * stream. Diagnostics go to descriptor 2 only.
 */
#include <sys/signalfd.h>
#include <sys/un.h>
#include "base/file.h"
#include "base/log.h"
#include "worker/worker_private.h"

enum { FIRST_FD = 100 };

enum source_kind {
	FROM_LISTENER,
	FROM_SIGNALS,
	FROM_PEER,   /* to read */
	TO_PEER,     /* to write */
	FROM_STREAM, /* a step's output */
	TO_INPUT,    /* a step's input */
	OF_RUN,      /* handshake, end, daemons */
	OF_HELD,
	OF_LENT,
	FROM_MAKER,
};

struct source {
	enum source_kind kind;
	void *of;
	unsigned number; /* of the stream */
};

static void wait_for(struct worker *w, int fd, short events, enum source_kind kind, void *of,
		     unsigned number)
{
	if (w->n_fds == w->size_fds) {
		size_t size = w->size_fds ? w->size_fds * 2 : 64;
		struct pollfd *fds = realloc(w->fds, size * sizeof(*fds));
		struct source *sources = fds ? realloc(w->sources, size * sizeof(*sources)) : NULL;

		if (fds)
			w->fds = fds;
		if (!sources)
			return; /* the next turn tries again */
		w->sources = sources;
		w->size_fds = size;
	}
	w->fds[w->n_fds] = (struct pollfd){.fd = fd, .events = events};
	w->sources[w->n_fds++] = (struct source){kind, of, number};
}

static void lower(int64_t *deadline, int64_t other)
{
	if (other < *deadline)
		*deadline = other;
}

static void wait_for_connection(struct worker *w, struct connection *c, int64_t *deadline_us)
{
	bool readable = !c->ended && c->queued_bytes < MAX_QUEUED_BYTES;

	if (readable)
		wait_for(w, c->in, POLLIN, FROM_PEER, c, 0);
	/* a socket tells its hang-up without being asked; a pipe on its writing end only */
	if (!connection_may_rest(c) || !c->is_socket)
		wait_for(w, c->out, connection_may_rest(c) ? 0 : POLLOUT, TO_PEER, c, 0);
	else if (!readable)
		wait_for(w, c->in, 0, TO_PEER, c, 0);
	if (!c->greeted)
		lower(deadline_us, c->hello_ms * 1000);
	if (c->soon_us)
		lower(deadline_us, c->soon_us);
}

static void wait_for_run(struct worker *w, struct run *run, int64_t *deadline_us)
{
	struct pollfd fds[JOB_POLL];
	int64_t deadline_ms = INT64_MAX;
	size_t n = job_poll(&run->job, fds, &deadline_ms);

	for (size_t i = 0; i < n; i++)
		wait_for(w, fds[i].fd, fds[i].events, OF_RUN, run, 0);
	if (deadline_ms != INT64_MAX)
		lower(deadline_us, deadline_ms * 1000);
	for (unsigned i = 0; i < ARRAY_LEN(run->streams); i++)
		if (run_may_pump(run, i) && connection_may_rest(run->owner))
			wait_for(w, run->streams[i].fd, POLLIN, FROM_STREAM, run, i);
	if (run->keeper >= 0)
		wait_for(w, run->keeper, POLLIN, OF_RUN, run, 0);
	if (run->input.len > 0 && run->input.fd >= 0)
		wait_for(w, run->input.fd, POLLOUT, TO_INPUT, run, 0);
	lower(deadline_us, run->kill_us);
	lower(deadline_us, run->timeout_us);
	if (run->job.state == JOB_RUNNING)
		lower(deadline_us, run->sample_us);
	if (run->job.state == JOB_ENDED)
		lower(deadline_us, run->orphan_us);
}

static void wait_for_held(struct worker *w, struct held *held, int64_t *deadline_us)
{
	struct pollfd fds[2];
	size_t n = held->request ? snapshot_poll(&held->snapshot, fds) : 0;

	for (size_t i = 0; i < n; i++)
		wait_for(w, fds[i].fd, fds[i].events, OF_HELD, held, 0);
	if (held->request)
		lower(deadline_us, held->snapshot.deadline_ms * 1000);
}

static void wait_for_lent(struct worker *w, struct lent *lent, int64_t *deadline_us)
{
	struct pollfd fds[3];
	int64_t own_us = INT64_MAX;
	size_t n = lent_poll(w, lent, fds, &own_us);

	for (size_t i = 0; i < n; i++)
		wait_for(w, fds[i].fd, fds[i].events, OF_LENT, lent, 0);
	lower(deadline_us, own_us);
}

static void accept_peer(struct worker *w)
{
	CLEANUP_FD int fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int high;

	/* EMFILE and the like: the peer still waits, and would be told of without a pause */
	if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
		w->accept_us = sys_now_us() + ACCEPT_US;
	if (fd < 0 || w->n_connections >= MAX_CONNECTIONS || w->stopping)
		return;
	/* anybody else, root of the host included, shows as another uid: unix(7), SO_PEERCRED */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.uid != geteuid()) {
		worker_log(w, WORKER_LOG_WARN, "a peer with another uid was refused");
		return;
	}
	high = fd_dup(fd, FIRST_FD);
	if (high >= 0 && !connection_new(w, high, high))
		close(high);
}

static void take_signals(struct worker *w)
{
	struct signalfd_siginfo info;

	while (read(w->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGTERM && info.ssi_signo != SIGINT)
			continue;
		w->stop_us = w->stopping ? 0
					 : sys_now_us() + (int64_t)w->options->drain_s * 1000000;
		w->stopping = true;
	}
}

static void handle_peer(struct connection *c, short revents, bool readable)
{
	if (c->dead)
		return;
	if (readable && (revents & (POLLIN | POLLHUP | POLLERR)))
		connection_read(c);
	else if (!readable && (revents & (POLLERR | POLLHUP)) && !(revents & POLLOUT))
		c->dead = true; /* nobody reads any more */
}

static void handle_event(struct worker *w, const struct source *source, short revents)
{
	struct run *run = source->of;

	switch (source->kind) {
	case FROM_LISTENER: accept_peer(w); break;
	case FROM_SIGNALS: take_signals(w); break;
	case FROM_PEER: handle_peer(source->of, revents, true); break;
	case TO_PEER: handle_peer(source->of, revents, false); break;
	case FROM_STREAM:
		/* an earlier event of this turn may have ended it or made its owner busy */
		if (!run->dead && run_may_pump(run, source->number) &&
		    connection_may_rest(run->owner)) {
			run_pump(run, source->number);
			connection_flush(run->owner);
		}
		break;
	case TO_INPUT:
		if (!run->dead)
			run_write_input(run);
		break;
	case FROM_MAKER: pool_receive(w->engine.pool); break;
	case OF_RUN:
	case OF_HELD:
	case OF_LENT: break; /* every run and snapshot has its turn anyway */
	}
}

static bool has_work(const struct worker *w, const struct connection *c)
{
	for (const struct run *run = w->runs; run; run = run->next)
		if (run->owner == c && !run->dead)
			return true;
	return false;
}

/* Whatever a connection that ended still owns ends as well. */
static void end_owned(struct worker *w, const struct connection *c)
{
	for (struct run *run = w->runs; run; run = run->next)
		if (run->owner == c && !run->dead)
			run_abandon(run);
	for (struct held *held = w->held; held; held = held->next)
		if (held->owner == c)
			held->dead = true;
	for (struct lent *lent = w->lent; lent; lent = lent->next)
		if (lent->owner == c)
			lent->dead = true;
}

static void free_ended_runs(struct worker *w, const struct connection *owner)
{
	struct run **run = &w->runs;

	while (*run) {
		struct run *next = (*run)->next;

		if ((*run)->dead && (!owner || (*run)->owner == owner)) {
			run_free(*run);
			w->n_runs--;
			*run = next;
		} else {
			run = &(*run)->next;
		}
	}
}

static void free_ended_held(struct worker *w)
{
	struct held **held = &w->held;

	while (*held) {
		struct held *next = (*held)->next;

		if ((*held)->dead) {
			held_free(*held);
			*held = next;
		} else {
			held = &(*held)->next;
		}
	}
}

static void free_ended_lent(struct worker *w)
{
	struct lent **lent = &w->lent;

	while (*lent) {
		struct lent *next = (*lent)->next;

		if ((*lent)->dead) {
			lent_free(*lent);
			*lent = next;
		} else {
			lent = &(*lent)->next;
		}
	}
}

static void free_ended(struct worker *w)
{
	struct connection **c = &w->connections;

	for (struct connection *each = w->connections; each; each = each->next)
		if (each->dead)
			end_owned(w, each);
	free_ended_runs(w, NULL);
	free_ended_held(w);
	free_ended_lent(w);
	while (*c) {
		struct connection *next = (*c)->next;

		if ((*c)->dead) {
			connection_free(*c);
			w->n_connections--;
			*c = next;
		} else {
			c = &(*c)->next;
		}
	}
}

/* An exec must not outlive the step it is in, nor point to it. */
static void end_execs_of_ended(struct worker *w)
{
	for (struct run *run = w->runs; run; run = run->next)
		for (const struct run *step = w->runs; step; step = step->next)
			if (!run->dead && run->job.inside == &step->job && step->dead)
				run_abandon(run);
}

static void turn_connections(struct worker *w)
{
	int64_t now = sys_now_ms();

	for (struct connection *c = w->connections; c; c = c->next) {
		struct rb_err err = {0};

		if (!c->greeted && !c->ended && now >= c->hello_ms) {
			err_set(&err, RB_OK, 0, "no hello within 10 s");
			connection_error(c, NULL, KIND_NO_HELLO, &err, NULL);
			c->closing = c->ended = true;
		}
		connection_flush(c);
		if (connection_is_idle(c) && (c->closing || (c->ended && !has_work(w, c))))
			c->dead = true;
	}
}

/* `shutdown` and SIGTERM: running steps have until stop_us. */
static void turn_stop(struct worker *w)
{
	if (!w->stopping || sys_now_us() < w->stop_us)
		return;
	for (struct run *run = w->runs; run; run = run->next)
		if (!run->dead)
			run_cancel(run, 0, "shutdown");
	w->stop_us = INT64_MAX;
}

static bool is_finished(const struct worker *w)
{
	bool idle = true;

	for (const struct connection *c = w->connections; c; c = c->next)
		idle &= connection_is_idle(c);
	if (w->stopping && !w->runs)
		return idle;
	return w->listener < 0 && !w->connections;
}

/* A minute at most: clocks that jump do no harm. */
static struct timespec until(int64_t now_us, int64_t deadline_us)
{
	int64_t left = deadline_us - now_us;

	if (deadline_us <= now_us)
		left = 0;
	else if (deadline_us == INT64_MAX || left > 60000000)
		left = 60000000;
	return (struct timespec){.tv_sec = left / 1000000, .tv_nsec = left % 1000000 * 1000};
}

static void turn(struct worker *w)
{
	int64_t deadline_us = w->stopping ? w->stop_us : INT64_MAX;
	int64_t now;
	struct timespec timeout;
	int ready;

	w->n_fds = 0;
	if (w->listener >= 0 && w->accept_us > sys_now_us())
		lower(&deadline_us, w->accept_us);
	else if (w->listener >= 0)
		wait_for(w, w->listener, POLLIN, FROM_LISTENER, NULL, 0);
	wait_for(w, w->signals, POLLIN, FROM_SIGNALS, NULL, 0);
	for (struct connection *c = w->connections; c; c = c->next)
		wait_for_connection(w, c, &deadline_us);
	for (struct run *run = w->runs; run; run = run->next)
		wait_for_run(w, run, &deadline_us);
	for (struct held *held = w->held; held; held = held->next)
		wait_for_held(w, held, &deadline_us);
	for (struct lent *lent = w->lent; lent; lent = lent->next)
		wait_for_lent(w, lent, &deadline_us);
	if (lend_is_short(w))
		lower(&deadline_us, 0);
	if (w->engine.pool && pool_fd(w->engine.pool) >= 0)
		wait_for(w, pool_fd(w->engine.pool), POLLIN, FROM_MAKER, NULL, 0);
	if (w->engine.pool)
		lower(&deadline_us, pool_deadline(w->engine.pool, w->n_runs));
	if (w->engine.guard.n_dropped && !w->runs)
		lower(&deadline_us, 0);
	now = sys_now_us();
	timeout = until(now, deadline_us);
	ready = ppoll(w->fds, w->n_fds, &timeout, NULL);
	if (ready < 0)
		return; /* EINTR, ENOMEM: nothing is lost by asking again */
	now = sys_now_us();
	if (ready == 0 && w->engine.pool && now >= pool_deadline(w->engine.pool, w->n_runs))
		pool_turn(w->engine.pool, now);
	if (ready == 0 && lend_is_short(w))
		lend_fill(w);
	if (ready == 0 && !w->runs)
		guard_flush(&w->engine.guard);
	/* who comes first rotates: one flooding step must not starve the others */
	w->turn++;
	for (size_t i = 0; i < w->n_fds; i++) {
		size_t at = (i + w->turn) % w->n_fds;

		if (w->fds[at].revents)
			handle_event(w, &w->sources[at], w->fds[at].revents);
	}
	for (struct run *run = w->runs; run; run = run->next)
		run_turn(run);
	end_execs_of_ended(w);
	for (struct held *held = w->held; held; held = held->next)
		held_turn(held);
	for (struct lent *lent = w->lent; lent; lent = lent->next)
		lent_turn(w, lent);
	turn_stop(w);
	turn_connections(w);
	free_ended(w);
}

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set,
		  SIGHUP); /* taken and left: the end of a terminal shows as the end of input */
	(void)sigprocmask(SIG_BLOCK, set, NULL);
}

static int make_socket(struct worker *w, const char *path, struct rb_err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP_FD int fd = sys_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	const char *slash = strrchr(path, '/');
	char *parent = slash ? arena_strndup(&w->engine.arena, path, (size_t)(slash - path) + 1)
			     : arena_strdup(&w->engine.arena, ".");
	CLEANUP_FD int dir = parent ? sys_openat(AT_FDCWD, parent, O_PATH | O_DIRECTORY, 0) : -1;
	const char *temporary;
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(address.sun_path)) {
		err_set(err, RB_WORKER_LISTEN, 0,
			"the path '%.120s' is too long for a socket: unix(7)", path);
		err_fix(err, "use one of at most 107 bytes");
		return -ENAMETOOLONG;
	}
	/* under another name until somebody listens: whoever sees the path can connect */
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/.runbuild.%d", dir,
		 (int)getpid());
	temporary = strrchr(address.sun_path, '/') + 1;
	mask = umask(0177);
	r = fd < 0 ? fd : bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(mask);
	if (r == 0 && listen(fd, 64) < 0)
		r = -errno;
	/* in place of a socket that a killed worker has left */
	if (r == 0 && renameat(dir, temporary, AT_FDCWD, path) < 0)
		r = -errno;
	if (r < 0 && dir >= 0)
		(void)unlinkat(dir, temporary, 0);
	if (r < 0) {
		err_set(err, RB_WORKER_LISTEN, -r, "cannot listen on '%s'", path);
		err_fix(err, "name a path in a directory of yours with mode 0700");
		return r;
	}
	w->listener = fd_take(&fd);
	w->socket_path = path;
	return 0;
}

static int open_peer(struct worker *w, int in, int out, struct rb_err *err)
{
	int high_in = fd_dup(in, FIRST_FD);
	int high_out = in == out ? high_in : fd_dup(out, FIRST_FD);

	if (high_in >= 0 && high_out >= 0 && connection_new(w, high_in, high_out))
		return 0;
	err_set(err, RB_WORKER_LISTEN, EBADF, "cannot use the descriptors %d and %d", in, out);
	err_fix(err, "whoever starts the worker must leave a socket, or both ends of pipes, open "
		     "in it");
	return -EBADF;
}

/*
 * Closed standard descriptors would be given to the engine's sockets, and covered with them below.
 * A side of --stdio that is closed stays an error.
 */
static int fill_stdio(const struct worker_options *options, struct rb_err *err)
{
	for (int fd = 0; fd < 3; fd++) {
		int null;

		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (options->stdio && fd < 2)
			return err_set(err, RB_WORKER_LISTEN, EBADF,
				       "--stdio, but descriptor %d is closed", fd);
		null = sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0); /* the lowest: this one */
		if (null != fd)
			return err_set(err, RB_WORKER_LISTEN, null < 0 ? -null : EBADF,
				       "cannot open /dev/null as descriptor %d", fd);
		(void)fcntl(fd, F_SETFD, 0);
	}
	return 0;
}

/* From now on descriptors 0 and 1 are nobody's. */
static void cover_stdio(void)
{
	CLEANUP_FD int null = sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);

	if (null >= 0)
		(void)sys_dup3(null, 0, 0);
	if (sys_dup3(2, 1, 0) < 0 && null >= 0) {
		(void)sys_dup3(null, 1, 0);
		(void)sys_dup3(null, 2, 0);
	}
}

static int open_transport(struct worker *w, struct rb_err *err)
{
	const struct worker_options *options = w->options;
	int r = 0;

	if (options->stdio)
		r = open_peer(w, 0, 1, err);
	else if (options->fd >= 0) {
		r = open_peer(w, options->fd, options->fd, err);
		if (r == 0 && options->fd > 2)
			close(options->fd);
	} else if (options->listen)
		r = make_socket(w, options->listen, err);
	else
		w->listener = options->listener;
	cover_stdio();
	return r;
}

static void close_all(struct worker *w)
{
	for (struct connection *c = w->connections; c; c = c->next) {
		connection_flush(c);
		c->dead = true;
	}
	for (struct lent *lent = w->lent; lent; lent = lent->next)
		lent->dead = true;
	free_ended(w);
	fd_close(&w->listener);
	fd_close(&w->signals);
	if (w->socket_path)
		(void)unlink(w->socket_path);
	if (w->engine.pool)
		pool_close(w->engine.pool);
	engine_close(&w->engine);
	free(w->fds);
	free(w->sources);
}

int worker_run(const struct worker_options *options, struct rb_err *err)
{
	struct worker w = {.options = options, .listener = -1, .signals = -1, .stop_us = INT64_MAX};
	sigset_t set;
	int r;

	if ((r = fill_stdio(options, err)) < 0)
		return r;
	block_signals(&set);
	r = engine_open(&w.engine, options->root, NULL, err);
	if (r == 0)
		r = open_transport(&w, err);
	if (r == 0) {
		snprintf(w.worker_id, sizeof(w.worker_id), "w-%x-%" PRIx64, (unsigned)getpid(),
			 (uint64_t)sys_now_us());
		if (options->warm && pool_open(&w.pool, &w.engine.guard, w.engine.default_signals,
					       options->warm, err) == 0)
			w.engine.pool = &w.pool;
		w.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
		while (!is_finished(&w))
			turn(&w);
	}
	close_all(&w);
	return r;
}

static bool copy_some(int from, int to)
{
	char bytes[65536];
	ssize_t got = read(from, bytes, sizeof(bytes));

	if (got < 0 && errno == EINTR)
		return true;
	return got > 0 && fd_write_all(to, bytes, (size_t)got) == 0;
}

int worker_dial(const char *path, struct rb_err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP_FD int fd = sys_socket(AF_UNIX, SOCK_STREAM, 0);
	struct pollfd fds[2];

	if (strlen(path) < sizeof(address.sun_path))
		memcpy(address.sun_path, path, strlen(path));
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		err_set(err, RB_WORKER_CONNECT, errno, "cannot connect to '%s'", path);
		err_fix(err, "start 'runbuild worker --listen %s' as the same user", path);
		return -ECONNREFUSED;
	}
	fds[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = fd, .events = POLLIN};
	for (;;) {
		if (poll(fds, 2, -1) < 0)
			continue;
		/* the end of our input is told; what comes back is copied until the worker is done */
		if (fds[0].revents && !copy_some(STDIN_FILENO, fd)) {
			(void)shutdown(fd, SHUT_WR);
			fds[0].fd = -1;
		}
		if (fds[1].revents && !copy_some(fd, STDOUT_FILENO))
			return 0;
	}
}
