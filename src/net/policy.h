/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Which network a step gets when its configuration leaves it in the daemon's. A rootless BuildKit
 * cannot say it, so the launcher does, in the environment that the daemon hands down:
 *
 *	RUNBUILD_STEP_NET       host (default), none or slirp4netns
 *	RUNBUILD_STEP_NET_CIDR  network of the steps, "10.0.2.0/24"
 *	RUNBUILD_STEP_NET_POOL  unix socket of the launcher that lends networks
 */
#include "base/arena.h"
#include "base/err.h"

enum net_policy_mode { NET_POLICY_HOST, NET_POLICY_NONE, NET_POLICY_SLIRP };

struct net_policy {
	enum net_policy_mode mode;
	const char *helper; /* of slirp4netns, in the arena */
	const char *pool;   /* NULL: no pool */
	uint32_t network;   /* IPv4, host byte order */
	unsigned prefix;
	uint32_t dns; /* where slirp4netns answers questions; 0: nowhere */
};

/* "host", "none" or "slirp4netns"; -EINVAL. */
int net_policy_mode(const char *text, enum net_policy_mode *ret_mode);

/*
 * "10.0.2.0/24", as slirp4netns takes it; the network in host byte order. -EINVAL: it is not
 * ADDRESS/BITS; -ERANGE: not between /1 and /25; -EDOM: it has bits behind the prefix;
 * -EADDRNOTAVAIL: no machine can have its addresses.
 */
int net_cidr_read(const char *text, uint32_t *ret_network, unsigned *ret_prefix);

/* From the environment; nothing is looked for yet. Errors: RB_STEP_NET. */
int net_policy_read(struct net_policy *ret_policy, struct rb_err *err);

/* A network by slirp4netns whatever the environment says, with the network's default addresses. */
void net_policy_slirp(struct net_policy *ret_policy);

/*
 * A /24 that no route of this host leads into, from each range for private use (RFC 1918,
 * RFC 2544), in host byte order. 0: the host has routes into all of them.
 */
uint32_t net_network_free(void);

/*
 * The addresses for a network that has not been named: those of RUNBUILD_STEP_NET_CIDR, which are
 * the launcher's; else the policy's own, unless this host reaches something else there. Errors:
 * RB_STEP_NET.
 */
struct net_hosts;
int net_policy_choose(struct net_policy *policy, const struct net_hosts *hosts, struct rb_err *err);

/* Finds what the policy needs on this machine. Errors: RB_SLIRP_MISSING, RB_TUN. */
int net_policy_find(struct arena *arena, struct net_policy *policy, struct rb_err *err);

/*
 * The resolv.conf of a step in such a network: name servers that it cannot reach (loopback, the
 * step's own network, IPv6, an address of this host, 0.0.0.0) are replaced by slirp4netns's, which
 * asks the host's. So are 8.8.8.8 and 8.8.4.4 unless `own`, our resolv.conf, has them: BuildKit puts
 * them in place of loopback servers, and they know no private names. NULL: the text does as it is.
 * In the arena.
 */
const char *net_resolv_conf(struct arena *arena, const struct net_policy *policy,
			    const struct net_hosts *hosts, const char *own, const char *text);

/*
 * Borrows a ready namespace from the pool. *ret_lease is the connection (the network ends with it),
 * *ret_netns the namespace. -errno: there is none to be had, for whatever reason.
 */
int net_lease_take(const struct net_policy *policy, int *ret_lease, int *ret_netns);
