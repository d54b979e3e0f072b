/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What may leave a step's network. slirp4netns(1) connects from the host's side to whatever address
 * a frame names, and --disable-host-loopback is about its gateway only: a step with CAP_NET_RAW
 * (BuildKit gives it to all) writes frames for 127.0.0.1 and is connected. So the tap has a filter:
 * the kernel drops such frames before slirp4netns reads them.
 */
#include <linux/filter.h>
#include "base/err.h"

/* Where the step may not send, besides the ranges that filter_build() knows. Host byte order. */
struct net_hosts {
	uint32_t v[LIMIT_HOST_ADDRESSES];
	size_t n;
};

/* The IPv4 addresses of the calling process's network namespace. Errors: RB_STEP_NET. */
int net_hosts_read(struct net_hosts *ret_hosts, struct rb_err *err);

/*
 * The program: ARP and IPv4 only, nothing to 0.0.0.0/8, 127.0.0.0/8, multicast, broadcast and the
 * host's addresses; to `dns` only port 53. Pure. Returns the number of instructions.
 */
enum { NET_FILTER_INSNS = 32 + 2 * LIMIT_HOST_ADDRESSES };
size_t net_filter_build(const struct net_hosts *hosts, uint32_t dns,
			struct sock_filter program[NET_FILTER_INSNS]);

/*
 * Attaches it to the tap that the process of pidfd has open, in front of whatever it reads:
 * pidfd_getfd(2), TUNATTACHFILTER. Errors: RB_STEP_NET.
 */
int net_filter_attach(int pidfd, const struct sock_filter *program, size_t n, struct rb_err *err);
