/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Published ports: a port of the host that leads to one of the network namespace. */
#include <netinet/in.h>
#include "base/err.h"

enum port_family {
	PORT_BOTH, /* "tcp": IPv4 and, by a driver that knows it, IPv6 as well */
	PORT_V4,   /* "tcp4" */
	PORT_V6,   /* "tcp6" */
};

struct port_spec {
	bool udp;
	enum port_family family;
	bool parent_is_v6, child_is_v6; /* the next ones in place of the ones after them */
	struct in6_addr parent_v6, child_v6;
	uint32_t parent_ip, child_ip; /* IPv4, host byte order; 0: any, and the guest's own */
	uint16_t parent_port, child_port;
};

/* "tcp", "udp6" and so on. */
const char *port_protocol(const struct port_spec *spec);

/* "[IP:]PORT:[IP:]PORT/tcp|udp[4|6]", IPv6 addresses in brackets. Errors: RB_USAGE. */
int port_parse(const char *text, struct port_spec *ret_spec, struct rb_err *err);

struct port_entry {
	unsigned id;
	int64_t helper_id; /* the driver's own number for it */
	struct port_spec spec;
};

/* What is published now, in order of the ids. */
struct ports {
	struct port_entry v[LIMIT_PORTS];
	size_t n;
	unsigned last_id;
};

/*
 * Can a helper, which knows IPv4 alone, bind this port of the host? Looked at before it is asked,
 * because helpers keep the reason for themselves. Errors: RB_PORT.
 */
int port_check(const struct port_spec *spec, struct rb_err *err);

/* Binds it, and for tcp listens; the socket does not block. Errors: RB_PORT. */
int port_open(const struct port_spec *spec, int *ret_fd, struct rb_err *err);
