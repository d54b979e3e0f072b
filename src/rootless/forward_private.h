/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the forwarder's files share. All but the messages lives in the forwarder. */
#include <netinet/in.h>
#include "base/sys.h"
#include "rootless/forward.h"

/* Over a SOCK_SEQPACKET pair; each request is answered by one FORWARD_DONE. */
enum forward_type {
	FORWARD_ADD,    /* with the bound socket */
	FORWARD_REMOVE, /* by its id */
	FORWARD_DONE,   /* error: 0 or -errno; the first one says that the forwarder is ready */
};

struct forward_message {
	uint32_t type, id;
	int32_t error;
	struct in6_addr child; /* one of IPv4 as RFC 4291, 2.5.5.2 has it */
	uint16_t child_port;
	uint16_t udp;
	uint32_t keeps_address; /* when it is ready: that of a client */
};
_Static_assert(sizeof(struct forward_message) == 36, "a fixed size");

/* The routing mark of what comes from a client, and the table that leads back to it. */
enum { FORWARD_MARK = 0x5242 };

struct loop;

/* Something epoll(7) tells of. act may free any source, its own included, by loop_forget(). */
struct source {
	void (*act)(struct loop *loop, struct source *source, uint32_t events);
	int fd;
	uint32_t wanted; /* as epoll knows it; 0: epoll does not know it */
};

/* Anything that holds sources begins with this. */
struct garbage {
	struct garbage *next;
};

/* Of IPv4 or IPv6; what its family leaves over is zero. */
union address {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
};

/* A published port. */
struct listener {
	struct garbage garbage; /* first: loop_free() */
	struct source source;
	struct listener *next;
	uint32_t id;
	union address target;
	struct udp_session **sessions; /* udp: UDP_BUCKETS lists */
	size_t n_sessions;
};

struct loop {
	int epoll;
	bool keep_address; /* of a client */
	bool full; /* no listener is looked at until a connection ends, or a second passes */
	size_t n_connections, most_connections;
	struct source parent;
	struct listener *listeners;
	struct garbage *garbage; /* freed after the round, whose events may still name it */
};

/* forward_source.c */
/* Makes epoll wait for these events. 0: forgets the source. */
int loop_want(struct loop *loop, struct source *source, uint32_t events);

/* Forgets and closes. */
void loop_close(struct loop *loop, struct source *source);

/* Listeners are looked at again. */
void loop_resume(struct loop *loop);

/* After the round. */
void loop_free(struct loop *loop, struct garbage *garbage);

/* tcp */
void tcp_accept(struct loop *loop, struct source *source, uint32_t events);

/* udp */
void udp_receive(struct loop *loop, struct source *source, uint32_t events);
void udp_expire(struct loop *loop, struct listener *listener, int64_t before_ms);

/* Runs until the parent is gone. */
void forward_loop(int parent, bool keep_address) __attribute__((noreturn));
