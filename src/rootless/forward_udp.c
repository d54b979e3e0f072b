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
	union address client, local;
	int64_t last_ms;
};

static size_t bucket_of(const union address *client)
{
	const unsigned char *bytes = (const unsigned char *)client;
	uint32_t mixed = 0;

	for (size_t i = 0; i < sizeof(*client); i++)
		mixed = mixed * 31 + bytes[i];

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

union control {
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	struct cmsghdr align;
};

static struct msghdr datagram_header(union address *client, struct iovec *bytes,
				     union control *control)
{
	return (struct msghdr){.msg_name = client,
			       .msg_namelen = sizeof(*client),
			       .msg_iov = bytes,
			       .msg_iovlen = 1,
			       .msg_control = control->bytes,
			       .msg_controllen = sizeof(control->bytes)};
}

/* The address of the host that a datagram was sent to, and its answer comes from: ip(7), ipv6(7). */
static ssize_t datagram_receive(int fd, char *buf, union address *client, union address *local)
{
	union control control;
	struct iovec bytes = {.iov_base = buf, .iov_len = DATAGRAM_BYTES};
	struct msghdr header = datagram_header(client, &bytes, &control);
	ssize_t got;
	struct cmsghdr *cmsg;
	struct in_pktinfo four;
	struct in6_pktinfo six;

	memset(client, 0, sizeof(*client));
	memset(local, 0, sizeof(*local));
	got = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	cmsg = got >= 0 ? CMSG_FIRSTHDR(&header) : NULL;
	if (cmsg && cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_PKTINFO) {
		memcpy(&four, CMSG_DATA(cmsg), sizeof(four));
		local->four.sin_addr = four.ipi_spec_dst;
	} else if (cmsg && cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_PKTINFO) {
		memcpy(&six, CMSG_DATA(cmsg), sizeof(six));
		local->six.sin6_addr = six.ipi6_addr;
	}
	return got;
}

static void datagram_answer(const struct udp_session *session, char *buf, size_t len)
{
	union address client = session->client;
	bool six = client.any.sa_family == AF_INET6;
	struct in_pktinfo from = {.ipi_spec_dst = session->local.four.sin_addr};
	struct in6_pktinfo from_six = {.ipi6_addr = session->local.six.sin6_addr};
	size_t size = six ? sizeof(from_six) : sizeof(from);
	union control control = {0};
	struct iovec bytes = {.iov_base = buf, .iov_len = len};
	struct msghdr header = datagram_header(&client, &bytes, &control);
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);

	header.msg_namelen = six ? sizeof(client.six) : sizeof(client.four);
	header.msg_controllen = CMSG_SPACE(size);
	cmsg->cmsg_level = six ? IPPROTO_IPV6 : IPPROTO_IP;
	cmsg->cmsg_type = six ? IPV6_PKTINFO : IP_PKTINFO;
	cmsg->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(cmsg), six ? (void *)&from_six : (void *)&from, size);
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
				       const union address *client)
{
	struct udp_session **bucket = &listener->sessions[bucket_of(client)];
	struct udp_session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	*session = (struct udp_session){
		.source = {.act = session_act,
			   .fd = sys_socket(listener->target.any.sa_family,
					    SOCK_DGRAM | SOCK_NONBLOCK, 0)},
		.listener = listener,
		.client = *client,
		.next = *bucket,
	};
	if (session->source.fd < 0 ||
	    connect(session->source.fd, &listener->target.any, sizeof(listener->target)) < 0 ||
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
				       const union address *client)
{
	struct udp_session *at;

	if (!listener->sessions)
		listener->sessions = calloc(UDP_BUCKETS, sizeof(struct udp_session *));
	if (!listener->sessions)
		return NULL;
	for (at = listener->sessions[bucket_of(client)]; at; at = at->next)
		if (memcmp(&at->client, client, sizeof(*client)) == 0)
			return at;
	if (listener->n_sessions == LIMIT_SESSIONS)
		udp_expire(loop, listener, sys_now_ms() - 1000);
	return listener->n_sessions < LIMIT_SESSIONS ? session_new(loop, listener, client) : NULL;
}

void udp_receive(struct loop *loop, struct source *source, uint32_t events)
{
	struct listener *listener = (void *)((char *)source - offsetof(struct listener, source));
	char buf[DATAGRAM_BYTES];
	union address client;
	union address local;

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
