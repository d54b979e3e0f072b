/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks for steps, made before they are needed. A process of its own inside the launcher's user
 * namespace, which owns the network namespaces that it makes; it dies with the init inside, and
 * every slirp4netns with it. A runtime connects to its socket, gets a descriptor of a namespace,
 * and the network ends with the connection: what was used never comes back. Nothing here may fail
 * a step: who gets no answer makes a network for itself.
 */
#include <sys/un.h>
#include "base/file.h"
#include "base/log.h"
#include "net/filter.h"
#include "net/namespace.h"
#include "base/fd_message.h"
#include "rootless/rootless_private.h"

enum pool_state {
	POOL_FREE,
	POOL_STARTING, /* slirp4netns is not ready */
	POOL_READY,
	POOL_LENT,
	POOL_ENDING, /* killed, not reaped */
};

enum {
	POOL_SLOTS = 4 * LIMIT_POOL, /* ready, lent and ending ones */
	POOL_FAILURES = 3,           /* in a row, then it gives up */
	POOL_LISTENER = 3,           /* the number of its descriptor in the process */
};

struct pool_slot {
	enum pool_state state;
	int netns;       /* until it is lent: then slirp4netns keeps it alive */
	int connection;  /* POOL_LENT */
	unsigned closed; /* by the addresses of this generation; 0: not yet */
	struct slirp slirp;
};

enum { PER_SLOT = 3 }; /* descriptors to wait for */

struct pool {
	const struct net_options *options;
	const char *helper;
	int listener;
	uint32_t wanted;
	unsigned failures;
	int hosts_watch;     /* tells when they change; -1: they are read each time */
	unsigned generation; /* of hosts; 0: never read */
	struct net_hosts hosts;
	struct sock_filter program[NET_FILTER_INSNS];
	size_t program_len;
	struct pool_slot slots[POOL_SLOTS];
	struct pollfd fds[1 + PER_SLOT * POOL_SLOTS];
};

/* Nothing is waited for: the kernel needs milliseconds to take a tap down. */
static void slot_end(struct pool_slot *slot)
{
	fd_close(&slot->netns);
	fd_close(&slot->connection);
	slirp_kill(&slot->slirp);
	slot->state = POOL_ENDING;
}

static int slot_start(const struct pool *pool, struct pool_slot *slot)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct slirp_options options = {
		.helper = pool->helper,
		.mtu = 65520,
		.network = pool->options->network,
		.prefix = pool->options->prefix,
		.configure = true,
		.userns = -1,
		.dir = -1,
	};
	int netns = net_namespace_make();
	int r = netns;

	*slot = (struct pool_slot){.netns = netns, .connection = -1};
	slirp_init(&slot->slirp);
	options.netns = netns;
	if (netns >= 0)
		r = slirp_spawn(&slot->slirp, &arena, &options);
	slot->state = r < 0 ? POOL_ENDING : POOL_STARTING;
	if (r < 0)
		slot_end(slot);
	return r;
}

static void pool_failed(struct pool *pool, const char *why)
{
	if (++pool->failures == POOL_FAILURES)
		log_warn("the pool of networks gives up, steps make their own: %s", why);
}

static void pool_fill(struct pool *pool)
{
	uint32_t n = 0;

	for (size_t i = 0; i < POOL_SLOTS; i++)
		n += pool->slots[i].state == POOL_STARTING || pool->slots[i].state == POOL_READY;
	for (size_t i = 0; i < POOL_SLOTS && n < pool->wanted; i++) {
		int r;

		if (pool->slots[i].state != POOL_FREE || pool->failures >= POOL_FAILURES)
			continue;
		r = slot_start(pool, &pool->slots[i]);
		if (r < 0)
			pool_failed(pool, strerrordesc_np(-r));
		n++;
	}
}

/* The filter for the host's addresses of now, made anew only when they have changed. */
static int pool_filter(struct pool *pool, struct rb_err *err)
{
	struct net_closure closure = {
		.hosts = &pool->hosts,
		.dns = net_addresses(pool->options).dns,
	};
	struct pollfd fd = {.fd = pool->hosts_watch, .events = POLLIN};
	int r;

	if (pool->generation && pool->hosts_watch >= 0 && poll(&fd, 1, 0) == 0)
		return 0;
	if (pool->hosts_watch >= 0)
		net_hosts_heard(pool->hosts_watch);
	r = net_hosts_read(&pool->hosts, err);
	if (r < 0)
		return r;
	pool->program_len = net_filter_build(&closure, pool->program);
	pool->generation++;
	return 0;
}

/* Done when it is ready, and again when it is lent if the host has other addresses by then. */
static int slot_close(struct pool *pool, struct pool_slot *slot, struct rb_err *err)
{
	int r = pool_filter(pool, err);

	if (r == 0 && slot->closed != pool->generation)
		r = net_filter_attach(slot->slirp.pidfd, pool->program, pool->program_len, err);
	if (r == 0)
		slot->closed = pool->generation;
	return r;
}

static int slot_lend(struct pool *pool, struct pool_slot *slot, int connection)
{
	struct rb_err err;
	int r = slot_close(pool, slot, &err);

	if (r < 0)
		pool_failed(pool, err.what);
	else
		r = fd_message_send(connection, "", 1, slot->netns);
	if (r < 0) {
		slot_end(slot);
		return r;
	}
	fd_close(&slot->netns);
	slot->connection = connection;
	slot->state = POOL_LENT;
	return 0;
}

static void pool_accept(struct pool *pool)
{
	CLEANUP_FD int connection = accept4(pool->listener, NULL, NULL, SOCK_CLOEXEC);
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (connection < 0 || getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
	    peer.uid != geteuid())
		return;
	for (size_t i = 0; i < POOL_SLOTS; i++) {
		if (pool->slots[i].state != POOL_READY)
			continue;
		if (slot_lend(pool, &pool->slots[i], connection) == 0)
			(void)fd_take(&connection);
		return;
	}
}

static void slot_ready(struct pool *pool, struct pool_slot *slot)
{
	struct rb_err err;

	if (slirp_await(&slot->slirp, 0) == 0) {
		fd_close(&slot->slirp.ready);
		if (slot_close(pool, slot, &err) < 0) {
			pool_failed(pool, err.what);
			slot_end(slot);
			return;
		}
		slot->state = POOL_READY;
		pool->failures = 0;
		return;
	}
	slirp_listen(&slot->slirp);
	pool_failed(pool, slot->slirp.said[0] ? slot->slirp.said : "slirp4netns ended");
	slot_end(slot);
}

static void slot_event(struct pool *pool, struct pool_slot *slot, const struct pollfd *fds)
{
	siginfo_t info = {0};

	if (slot->slirp.output >= 0 && fds[1].revents)
		slirp_listen(&slot->slirp);
	if (slot->state == POOL_STARTING && (fds[0].revents || fds[2].revents))
		slot_ready(pool, slot);
	else if (slot->state == POOL_LENT && fds[2].revents)
		slot_end(slot); /* the step has ended: nobody sends anything */
	else if (slot->state != POOL_ENDING && slot->slirp.pidfd >= 0 && fds[0].revents)
		slot_end(slot);
	if (slot->state != POOL_ENDING)
		return;
	if (slot->slirp.pidfd >= 0 &&
	    (sys_wait_pidfd(slot->slirp.pidfd, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0))
		return;
	fd_close(&slot->slirp.pidfd);
	slirp_end(&slot->slirp);
	slot->state = POOL_FREE;
}

static void pool_loop(struct pool *pool) __attribute__((noreturn));
static void pool_loop(struct pool *pool)
{
	struct pollfd *fds = pool->fds;

	for (;;) {
		pool_fill(pool);
		fds[0] = (struct pollfd){.fd = pool->listener, .events = POLLIN};
		for (size_t i = 0; i < POOL_SLOTS; i++) {
			const struct pool_slot *slot = &pool->slots[i];
			struct pollfd *at = &fds[1 + PER_SLOT * i];
			bool used = slot->state != POOL_FREE;

			at[0] = (struct pollfd){.fd = used ? slot->slirp.pidfd : -1,
						.events = POLLIN};
			at[1] = (struct pollfd){.fd = used ? slot->slirp.output : -1,
						.events = POLLIN};
			at[2] = (struct pollfd){.fd = slot->state == POOL_STARTING
							      ? slot->slirp.ready
						      : slot->state == POOL_LENT ? slot->connection
										 : -1,
						.events = POLLIN};
		}
		if (poll(fds, ARRAY_LEN(pool->fds), -1) < 0)
			continue;
		for (size_t i = 0; i < POOL_SLOTS; i++)
			if (pool->slots[i].state != POOL_FREE)
				slot_event(pool, &pool->slots[i], &fds[1 + PER_SLOT * i]);
		if (fds[0].revents)
			pool_accept(pool);
	}
}

static void pool_main(struct rootless *r, const char *helper, int listener, pid_t parent)
	__attribute__((noreturn));
static void pool_main(struct rootless *r, const char *helper, int listener, pid_t parent)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	sigset_t all;

	(void)setpgid(0, 0);
	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	sys_die_with(parent);
	(void)sys_prctl(PR_SET_NAME, (unsigned long)"runbuild-pool", 0, 0, 0);
	/* the launcher's sockets must not stay open in here */
	if (listener != POOL_LISTENER)
		(void)sys_dup3(listener, POOL_LISTENER, O_CLOEXEC);
	(void)sys_close_range(POOL_LISTENER + 1, UINT_MAX, 0);
	if (!pool)
		_exit(1);
	pool->options = &r->options->net;
	pool->helper = helper;
	pool->listener = POOL_LISTENER;
	pool->wanted = r->options->step_net_pool;
	pool->hosts_watch = net_hosts_watch();
	pool_loop(pool);
}

static int pool_listen(const struct rootless *r)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP_FD int sock = sys_socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	mode_t mask = umask(0177);
	int rc = sock < 0 ? sock : 0;

	/* whoever connects uses the path */
	if (strlen(r->state_dir) + sizeof("/" POOL_SOCKET) > sizeof(address.sun_path))
		rc = -ENAMETOOLONG;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" POOL_SOCKET,
		 r->state_fd);
	if (rc == 0 && (bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ||
			listen(sock, POOL_SLOTS) < 0))
		rc = -errno;
	(void)umask(mask);
	return rc < 0 ? rc : fd_take(&sock);
}

int pool_start(struct rootless *r, struct rb_err *err)
{
	CLEANUP_FD int listener = -1;
	pid_t parent = getpid();
	const char *helper;
	pid_t pid;
	int rc;

	if (!r->options->step_net_pool)
		return 0;
	rc = slirp_find(r->arena, ", or leave --step-net-pool out", &helper, err);
	if (rc < 0)
		return rc;
	listener = pool_listen(r);
	if (listener < 0) {
		err_set(err, RB_STEP_NET, -listener, "cannot listen on %s/" POOL_SOCKET,
			r->state_dir);
		err_fix(err, "give another --state-dir, with a short path");
		return listener;
	}
	pid = fork();
	if (pid == 0)
		pool_main(r, helper, listener, parent);
	if (pid < 0)
		return err_set(err, RB_STEP_NET, errno, "cannot start the pool of networks");
	return 0;
}
