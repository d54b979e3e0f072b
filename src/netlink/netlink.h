/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What runbuild-netlink does in the network namespace it runs in, with CAP_NET_ADMIN there. */
#include "base/err.h"

struct netlink_link {
	const char *ifname;
	uint32_t mtu;
	uint32_t address, gateway; /* IPv4, host byte order */
	unsigned prefix;
	bool ipv6; /* fd00::100/64 with the gateway fd00::2 as well: slirp4netns(1) */
};

/* Loopback up, and the link (NULL: none) with addresses and routes, as one batch. RB_NETLINK. */
int netlink_configure(const struct netlink_link *link, struct rb_err *err);

/*
 * What carries this mark is local, whatever its address: a rule, and the table of the same number.
 * Errors: RB_NETLINK.
 */
int netlink_way_back(uint32_t mark, struct rb_err *err);

/* Waits for a default route, which pasta(1) makes last; 10 s. Errors: RB_NETLINK, RB_PASTA_FAILED. */
int netlink_await_route(struct rb_err *err);
