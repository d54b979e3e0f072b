/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP connections of the builtin port driver. Runs in the forwarder. Bytes go from socket to pipe
 * to socket by splice(2) and are never seen. An end of one direction is passed on as such, an
 * error of either side resets the other: each peer sees what it would have seen without us.
 */
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include "rootless/forward_private.h"

enum { CHUNK = 1 << 20, ACCEPTS = 64, HOST = 0, INSIDE = 1 };

/* One direction: out of side i, through the pipe, into the other side. */
struct flow {
	int pipe[2];
	size_t held; /* bytes in the pipe */
	bool ended;  /* the side it comes from has no more */
	bool closed; /* and the other one was told */
};

struct connection {
	struct garbage garbage; /* first: loop_free() */
	struct side {
		struct source source;
		struct connection *connection;
	} side[2];
	struct flow flow[2]; /* by the side it comes from */
	bool connecting;
};

static void connection_end(struct loop *loop, struct connection *c, bool reset)
{
	struct linger now = {.l_onoff = 1};

	for (size_t i = 0; i < 2; i++) {
		if (reset && c->side[i].source.fd >= 0)
			(void)setsockopt(c->side[i].source.fd, SOL_SOCKET, SO_LINGER, &now,
					 sizeof(now));
		loop_close(loop, &c->side[i].source);
		fd_close(&c->flow[i].pipe[0]);
		fd_close(&c->flow[i].pipe[1]);
	}
	loop->n_connections--;
	loop_resume(loop);
	loop_free(loop, &c->garbage);
}

/* Moves what can be moved now. Errors: of either socket. */
static int flow_move(const struct connection *c, size_t from, struct flow *flow)
{
	int in = c->side[from].source.fd;
	int out = c->side[!from].source.fd;
	ssize_t n;

	if (!flow->ended && flow->held == 0) {
		n = splice(in, NULL, flow->pipe[1], NULL, CHUNK, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		flow->ended = n == 0;
		flow->held = n > 0 ? (size_t)n : 0;
	}
	if (flow->held > 0) {
		n = splice(flow->pipe[0], NULL, out, NULL, flow->held,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		flow->held -= n > 0 ? (size_t)n : 0;
	}
	if (flow->ended && flow->held == 0 && !flow->closed) {
		flow->closed = true;
		/* ENOTCONN: it has been reset, which the next call tells */
		(void)shutdown(out, SHUT_WR);
	}
	return 0;
}

static int connection_want(struct loop *loop, struct connection *c)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < 2; i++) {
		uint32_t events = 0;

		if (c->connecting)
			events = i == INSIDE ? EPOLLOUT : 0;
		else if (!c->flow[i].ended && c->flow[i].held == 0)
			events = EPOLLIN;
		if (!c->connecting && c->flow[!i].held > 0)
			events |= EPOLLOUT;
		rc = loop_want(loop, &c->side[i].source, events);
	}
	return rc;
}

static int connected(struct connection *c)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(c->side[INSIDE].source.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	c->connecting = false;
	return -error;
}

static void side_act(struct loop *loop, struct source *source, uint32_t events)
{
	struct connection *c = ((struct side *)source)->connection;
	int rc = c->connecting ? connected(c) : 0;

	(void)events;
	for (size_t i = 0; rc == 0 && i < 2; i++)
		rc = flow_move(c, i, &c->flow[i]);
	if (rc == 0)
		rc = connection_want(loop, c);
	if (rc < 0 || (c->flow[HOST].closed && c->flow[INSIDE].closed))
		connection_end(loop, c, rc < 0);
}

/* A client of IPv4, on a socket of either family: ipv6(7), IPv4-mapped addresses. */
static bool client_is_v4(const struct sockaddr_in6 *client, struct sockaddr_in *ret)
{
	if (client->sin6_family == AF_INET) {
		memcpy(ret, client, sizeof(*ret));
		return true;
	}
	if (!IN6_IS_ADDR_V4MAPPED(&client->sin6_addr))
		return false;
	*ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = client->sin6_port};
	memcpy(&ret->sin_addr, &client->sin6_addr.s6_addr[12], sizeof(ret->sin_addr));
	return true;
}

/*
 * Makes the socket speak as the client. With the client's own port when that is free here, which
 * what logs both will be glad of; the kernel chooses one otherwise. A client on the loopback of
 * the host is nobody that this namespace could tell from itself.
 */
static void keep_address(int fd, const struct sockaddr_in6 *client)
{
	struct sockaddr_in from;
	int mark = FORWARD_MARK;
	int one = 1;

	/* the connection inside is of IPv4 */
	if (!client_is_v4(client, &from) || ntohl(from.sin_addr.s_addr) >> 24 == 127)
		return;
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ||
	    setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof(one)) < 0)
		return;
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0)
		return;
	from.sin_port = 0;
	/* without a port it is our own address that is seen, and the answers find us the same */
	(void)bind(fd, (struct sockaddr *)&from, sizeof(from));
}

static int connection_open(struct loop *loop, const struct listener *listener,
			   const struct sockaddr_in6 *client, struct connection *c)
{
	int one = 1;
	int fd = sys_socket(listener->target.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	c->side[INSIDE].source.fd = fd;
	if (fd < 0)
		return fd;
	for (size_t i = 0; i < 2; i++) {
		(void)setsockopt(c->side[i].source.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (pipe2(c->flow[i].pipe, O_CLOEXEC | O_NONBLOCK) < 0)
			return -errno;
	}
	/* the way back of netlink_way_back() is one of IPv4 */
	if (loop->keep_address && listener->target.any.sa_family == AF_INET)
		keep_address(fd, client);
	if (connect(fd, &listener->target.any, sizeof(listener->target)) < 0 &&
	    errno != EINPROGRESS)
		return -errno;
	return connection_want(loop, c);
}

static struct connection *connection_new(int fd)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->connecting = true;
	for (size_t i = 0; i < 2; i++) {
		c->side[i].source = (struct source){.act = side_act, .fd = -1};
		c->side[i].connection = c;
		c->flow[i].pipe[0] = c->flow[i].pipe[1] = -1;
	}
	c->side[HOST].source.fd = fd;
	return c;
}

/* What cannot be had now stays in the queue of the listener. */
static void pause_listeners(struct loop *loop)
{
	loop->full = true;
	for (struct listener *at = loop->listeners; at; at = at->next)
		if (at->source.act == tcp_accept)
			(void)loop_want(loop, &at->source, 0);
}

void tcp_accept(struct loop *loop, struct source *source, uint32_t events)
{
	const struct listener *listener = (void *)((char *)source -
						   offsetof(struct listener, source));

	(void)events;
	for (int i = 0; i < ACCEPTS && !loop->full; i++) {
		struct sockaddr_in6 client = {0};
		socklen_t size = sizeof(client);
		struct connection *c;
		int fd;

		if (loop->n_connections >= loop->most_connections) {
			pause_listeners(loop);
			return;
		}
		fd = accept4(source->fd, (struct sockaddr *)&client, &size,
			     SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			    errno == ENOMEM)
				pause_listeners(loop);
			return;
		}
		c = connection_new(fd);
		if (!c) {
			close(fd);
			return;
		}
		loop->n_connections++;
		if (connection_open(loop, listener, &client, c) < 0)
			connection_end(loop, c, true);
	}
}
