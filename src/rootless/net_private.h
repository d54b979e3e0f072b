/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the network share. */
#include "base/sys.h"
#include "rootless/net.h"

enum { NET_READY_MS = 10000 };

int64_t net_now_ms(void);

/* Has the helper ended? Then it is reaped and everything of it closed. */
bool net_reap(struct net *net, int *ret_status, bool *ret_signal);

/* net_spawn.c */
struct net_exec;
int net_spawn(struct net *net, const struct net_exec *exec);

/* net_slirp.c */
int slirp_start(struct net *net, struct rb_err *err);
int slirp_publish(struct net *net, struct port_entry *entry, struct rb_err *err);
int slirp_unpublish(struct net *net, const struct port_entry *entry, struct rb_err *err);

/* net_pasta.c */
int pasta_start(struct net *net, struct rb_err *err);

/* net_link.c: in the namespace */
struct net_link {
	const char *ifname;
	uint32_t mtu;
	uint32_t address, gateway; /* IPv4, host byte order */
	unsigned prefix;
	bool ipv6; /* fd00::100/64 with the gateway fd00::2 as well: slirp4netns(1) */
};

/* A persistent tap: it stays with its addresses when a helper ends. Errors: RB_TUN. */
int net_link_create_tap(const char *ifname, struct rb_err *err);

/* Loopback up, and the link (NULL: none) with addresses and routes, as one batch. RB_NETLINK. */
int net_link_configure(const struct net_link *link, struct rb_err *err);

/* Waits for a default route, which pasta makes last. Errors: RB_NETLINK. */
int net_link_await_route(struct rb_err *err);

/* Runs in the new process of a helper: standard descriptors, signals, then execve(2). */
struct net_exec {
	const char *path;
	char *const *argv;
	int keep[2]; /* descriptors to pass, -1: none */
	int output;  /* becomes its standard error */
	int dir;     /* its working directory, -1: ours */
};
void net_exec(const struct net_exec *exec) __attribute__((noreturn));
