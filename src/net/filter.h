/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What may leave a network of slirp4netns. slirp4netns(1) connects from the host's side to whatever
 * address a frame names, and --disable-host-loopback is about its gateway only: a step with
 * CAP_NET_RAW (BuildKit gives it to all) writes frames for 127.0.0.1 and is connected. So the tap
 * has a filter: the kernel drops such frames before slirp4netns reads them. For steps' networks and
 * for the launcher's own.
 */
#include <linux/filter.h>
#include "base/arena.h"
#include "base/err.h"

/* An IPv6 address as four words in host byte order. */
struct net_v6 {
	uint32_t word[4];
};

/* Where nobody inside may send, besides the ranges that net_filter_build() knows. */
struct net_hosts {
	uint32_t v[LIMIT_HOST_ADDRESSES]; /* host byte order */
	size_t n;
	struct net_v6 v6[LIMIT_HOST_V6];
	size_t n6;
};

/* The addresses of the calling process's network namespace. Errors: RB_NET_FILTER. */
int net_hosts_read(struct net_hosts *ret_hosts, struct rb_err *err);

/*
 * A socket that becomes readable when they change: rtnetlink(7), RTMGRP_IPV4_IFADDR. -errno. Open
 * it before they are read. net_hosts_heard() takes what has come.
 */
int net_hosts_watch(void);
void net_hosts_heard(int watch);

struct net_closure {
	const struct net_hosts *hosts; /* NULL: the host's own addresses stay open */
	uint32_t dns;                  /* slirp4netns's name server, host byte order */
	bool published; /* what a client on the host has begun, by a published port, is answered */
	bool ipv6;      /* and not only IPv4 */
};

/*
 * The program: ARP, IPv4 and, if told so, IPv6. Nothing to 0.0.0.0/8, 127.0.0.0/8, multicast,
 * broadcast and the host's addresses; to the name server only port 53. Of IPv6 nothing to ::/64
 * (unspecified, loopback, addresses of IPv4), and to links and multicast only neighbour discovery.
 * Pure. Returns the number of instructions.
 */
enum { NET_FILTER_INSNS = 128 + 2 * LIMIT_HOST_ADDRESSES + 9 * LIMIT_HOST_V6 };
_Static_assert(NET_FILTER_INSNS <= 4096, "BPF_MAXINSNS");
size_t net_filter_build(const struct net_closure *closure,
			struct sock_filter program[NET_FILTER_INSNS]);

/*
 * The tap that the process of pidfd has open: pidfd_getfd(2). -ENODEV: it has none (yet); -ESRCH:
 * it has ended.
 */
int net_tap_find(int pidfd);

/* Puts the program in front of whatever reads from the tap, in place of an earlier one. -errno. */
int net_tap_filter(int tap, const struct sock_filter *program, size_t n);

/* Throws away what was written before the filter was there. */
void net_tap_drain(int tap);

/* Finds the tap and puts the program there. Errors: RB_NET_FILTER. */
int net_filter_attach(int pidfd, const struct sock_filter *program, size_t n, struct rb_err *err);

/*
 * The same with the host's addresses of now: whatever closure->hosts says. What it needs is in the
 * arena. Errors: RB_NET_FILTER, RB_NO_MEMORY.
 */
int net_close_now(struct arena *arena, int pidfd, struct net_closure closure, struct rb_err *err);

/* Words the errno of one of these. Returns it. */
int net_filter_failed(int rc, struct rb_err *err);
