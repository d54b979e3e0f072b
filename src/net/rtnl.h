/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Questions to rtnetlink(7) by hand: an exec of runbuild-netlink would cost a step more than it. */
#include <linux/rtnetlink.h>
#include "base/err.h"

/*
 * Asks for all addresses (RTM_GETADDR) or routes (RTM_GETROUTE) of the calling process's network
 * namespace, AF_UNSPEC for all families, and hands each answer of type `reply` to take(), whose
 * error ends it. -errno.
 */
int rtnl_dump(uint16_t question, unsigned char family, uint16_t reply,
	      int (*take)(const struct nlmsghdr *answer, void *data), void *data);

struct rtnl_route {
	uint32_t network; /* host byte order */
	unsigned prefix;
	char ifname[16]; /* "": gone by now */
};

/*
 * A route of this host, but for the default one, that leads into the network. 0: none; 1: there is
 * one, *ret_route is the first; -errno.
 */
int rtnl_find_route(uint32_t network, unsigned prefix, struct rtnl_route *ret_route);
