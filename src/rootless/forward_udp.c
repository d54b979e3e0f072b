/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UDP of the builtin port driver. Runs in the forwarder. Each client of a port has a socket inside
 * for as long as it is used, so that answers find their way; they leave from the address that the
 * client wrote to. A server inside sees the forwarder, not the client: an answer to a foreign
 * address has no mark to come back by (udp sockets inherit none), unlike with TCP.
 */
#include <sys/epoll.h>
#include "rootless/forward_private.h"
#include "rootless/net_private.h"

enum { UDP_BUCKETS = 64, DATAGRAM_BYTES = 65536, DATAGRAMS = 64 };

struct udp_session {
	struct garbage garbage; /* first: loop_free() */
	struct source source;
	struct listener *listener;
	struct udp_session *next;
	struct sockaddr_in client;
	struct in_addr local; /* what it wrote to */
	int64_t last_ms;
};

static size_t bucket_of(const struct sockaddr_in *client)
{
	uint32_t mixed = ntohl(client->sin_addr.s_addr) * 31 + ntohs(client->sin_port);

	return (mixed ^ mixed >> 6 ^ mixed >> 12) % UDP_BUCKETS;
}

static void session_end(struct loop *loop, struct udp_session *session)
{
	session->listener->n_sessions--;
	loop_close(loop, &session->source);
	loop_free(loop, &session->garbage);
}

void udp_expire(struct loop *loop, struct listener *listener, int64_t before_ms)
{
	for (size_t i = 0; listener->sessions && i < UDP_BUCKETS; i++) {
		struct udp_session **at = &listener->sessions[i];

		while (*at) {
			struct udp_session *session = *at;

			if (session->last_ms >= before_ms) {
				at = &session->next;
				continue;
			}
			*at = session->next;
			session_end(loop, session);
		}
	}
}

/* The address of the host that a datagram was sent to, and its answer comes from: ip(7). */
static ssize_t datagram_receive(int fd, char *buf, struct sockaddr_in *client,
				struct in_addr *local)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
		struct cmsghdr align;
	} control;
	struct iovec bytes = {.iov_base = buf, .iov_len = DATAGRAM_BYTES};
	struct msghdr header = {.msg_name = client,
				.msg_namelen = sizeof(*client),
				.msg_iov = &bytes,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = sizeof(control.bytes)};
	ssize_t got = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *cmsg = got >= 0 ? CMSG_FIRSTHDR(&header) : NULL;
	struct in_pktinfo info = {0};

	if (cmsg && cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_PKTINFO)
		memcpy(&info, CMSG_DATA(cmsg), sizeof(info));
	*local = info.ipi_spec_dst;
	return got;
}

static void datagram_answer(const struct udp_session *session, char *buf, size_t len)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
		struct cmsghdr align;
	} control = {0};
	struct in_pktinfo info = {.ipi_spec_dst = session->local};
	struct sockaddr_in client = session->client;
	struct iovec bytes = {.iov_base = buf, .iov_len = len};
	struct msghdr header = {.msg_name = &client,
				.msg_namelen = sizeof(client),
				.msg_iov = &bytes,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);

	cmsg->cmsg_level = IPPROTO_IP;
	cmsg->cmsg_type = IP_PKTINFO;
	cmsg->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
	/* a datagram that does not fit or find its way is lost, as datagrams are */
	(void)sendmsg(session->listener->source.fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ECONNREFUSED: nobody listens inside now. The session stays, somebody may later. */
static void session_act(struct loop *loop, struct source *source, uint32_t events)
{
	struct udp_session *session = (void *)((char *)source -
					       offsetof(struct udp_session, source));
	char buf[DATAGRAM_BYTES];

	(void)loop;
	(void)events;
	session->last_ms = sys_now_ms();
	for (int i = 0; i < DATAGRAMS; i++) {
		ssize_t got = recv(source->fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (got < 0)
			return;
		datagram_answer(session, buf, (size_t)got);
	}
}

static struct udp_session *session_new(struct loop *loop, struct listener *listener,
				       const struct sockaddr_in *client)
{
	struct udp_session **bucket = &listener->sessions[bucket_of(client)];
	struct udp_session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	*session = (struct udp_session){
		.source = {.act = session_act,
			   .fd = sys_socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)},
		.listener = listener,
		.client = *client,
		.next = *bucket,
	};
	if (session->source.fd < 0 ||
	    connect(session->source.fd, (struct sockaddr *)&listener->target,
		    sizeof(listener->target)) < 0 ||
	    loop_want(loop, &session->source, EPOLLIN) < 0) {
		fd_close(&session->source.fd);
		free(session);
		return NULL;
	}
	*bucket = session;
	listener->n_sessions++;
	return session;
}

/* With every place taken the idle ones give way, the ones of the last second stay. */
static struct udp_session *session_for(struct loop *loop, struct listener *listener,
				       const struct sockaddr_in *client)
{
	struct udp_session *at;

	if (!listener->sessions)
		listener->sessions = calloc(UDP_BUCKETS, sizeof(struct udp_session *));
	if (!listener->sessions)
		return NULL;
	for (at = listener->sessions[bucket_of(client)]; at; at = at->next)
		if (at->client.sin_addr.s_addr == client->sin_addr.s_addr &&
		    at->client.sin_port == client->sin_port)
			return at;
	if (listener->n_sessions == LIMIT_SESSIONS)
		udp_expire(loop, listener, sys_now_ms() - 1000);
	return listener->n_sessions < LIMIT_SESSIONS ? session_new(loop, listener, client) : NULL;
}

void udp_receive(struct loop *loop, struct source *source, uint32_t events)
{
	struct listener *listener = (void *)((char *)source - offsetof(struct listener, source));
	char buf[DATAGRAM_BYTES];
	struct sockaddr_in client;
	struct in_addr local;

	(void)events;
	for (int i = 0; i < DATAGRAMS; i++) {
		ssize_t got = datagram_receive(source->fd, buf, &client, &local);
		struct udp_session *session = got >= 0 ? session_for(loop, listener, &client)
						       : NULL;

		if (got < 0)
			return;
		if (!session)
			continue;
		session->local = local;
		session->last_ms = sys_now_ms();
		/* ECONNREFUSED and the like: lost, as datagrams are */
		(void)send(session->source.fd, buf, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}
