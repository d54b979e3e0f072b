/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A network for a network namespace without privilege: one interface, several drivers. A driver
 * is a helper process on the host's side (slirp4netns, pasta) that moves packets between a tap in
 * the namespace and sockets of its own. Nothing here knows the launcher; whoever has a process in
 * a namespace can give it a network.
 *
 *   inside:  net_inside_set_up()      tap, addresses, routes; before the helper
 *   outside: net_check() net_start()  helper is there and ready
 *            net_event()              its end, its words; it is started again
 *            net_end()
 */
#include "base/arena.h"
#include "base/err.h"
#include "net/slirp.h"
#include "rootless/forward.h"
#include "net/port.h"

enum net_driver {
	NET_HOST,        /* no namespace of its own */
	NET_NONE,        /* loopback only */
	NET_SLIRP4NETNS, /* slirp4netns(1) */
	NET_PASTA,       /* pasta(1) */
};

struct net_options {
	enum net_driver driver;
	uint32_t mtu;       /* 0: 65520 */
	uint32_t network;   /* IPv4, host byte order; 0: 10.0.2.0 */
	unsigned prefix;    /* bits, 1 to 25; 0: 24 */
	const char *ifname; /* NULL: tap0 */
	bool ipv6;
	bool detached; /* the command is not inside; it finds `netns` in the state directory */
	bool allow_host_loopback;      /* the gateway's address reaches the host's 127.0.0.1 */
	bool allow_host_addresses;     /* the host's other addresses are reached */
	bool no_sandbox, no_seccomp;   /* of slirp4netns; they are on otherwise */
	const char *binary;            /* absolute path of the helper; NULL: looked for */
	const struct port_spec *ports; /* published from the start */
	size_t n_ports;
	bool builtin_ports; /* by a forwarder of ours instead of the helper */
	bool hide_clients;  /* it does not keep their addresses */
};

/* The addresses that follow from the options, host byte order: slirp4netns(1). */
struct net_addresses {
	uint32_t gateway, dns, guest;
	unsigned prefix;
};
struct net_addresses net_addresses(const struct net_options *options);

/* "10.0.2.3" into buf. Returns buf. */
const char *net_address_text(uint32_t address, char buf[16]);

/* "10.0.2.0/24". Errors: RB_USAGE. */
int net_cidr_parse(const char *text, struct net_options *options, struct rb_err *err);

/* The name of a driver, as --net has it. */
const char *net_driver_name(enum net_driver driver);

enum { NET_RESTARTS_MAX = 3 };

struct net {
	struct arena *arena;
	const struct net_options *options;
	const char *helper;  /* its path */
	const char *netlink; /* of runbuild-netlink, which configures the namespace */
	int dir;             /* borrowed: where its API socket is made, -1: none */
	pid_t target;        /* a process in the namespace */
	int pidfd;           /* of the helper, -1: not running */
	int netns;           /* the namespace, when it is detached; or -1 */
	pid_t holder;        /* the process that keeps it */
	int holder_pidfd, holder_sock;
	int guard_pidfd;           /* of the process that ends a pasta whose parent was killed */
	int exit_fd;               /* its end of file ends the helper */
	int output;                /* the helper's standard error */
	char said[NET_SAID_BYTES]; /* the end of what it said */
	int64_t started_ms;        /* CLOCK_MONOTONIC */
	unsigned restarts;         /* in a row, each soon after the start */
	struct ports ports;        /* published now */
	int tap;                   /* of pasta; -1: the helper has its own */
	int hosts_watch; /* readable: the host's addresses have changed; -1: all the same */

	/* of builtin_ports, from the first port on */
	struct forward forward;
};

void net_init(struct net *net, struct arena *arena, const struct net_options *options);

/*
 * Is what the driver needs here? Before any namespace is made, so that a missing package is the
 * first thing that is said. Errors: RB_SLIRP_MISSING, RB_PASTA_MISSING, RB_TUN.
 */
int net_check(struct net *net, struct rb_err *err);

/*
 * What the host reaches through a route of its own, the command would look for in its own network.
 * Where the default network is in such a way, *options gets another one, and a line says so, as a
 * bridge of containers is put where there is room. One that was named stays, with a warning.
 */
void net_choose_network(struct net_options *options);

/*
 * In the namespace, with CAP_NET_ADMIN there: loopback and, for slirp4netns, a persistent tap with
 * addresses and routes in one rtnetlink batch. Errors: RB_TUN, RB_NETLINK.
 */
int net_inside_set_up(const struct net *net, struct rb_err *err);

/*
 * In the namespace: blocks until the driver has configured it (pasta), at most 10 s, or the other
 * end of the socket `alive` closes: the driver may have died with its parent.
 */
int net_inside_await(const struct net *net, int alive, struct rb_err *err);

/*
 * Starts the helper for the namespace of process target and waits until it is ready; publishes the
 * ports of the options. Errors: RB_SLIRP_FAILED, RB_PASTA_FAILED, RB_PORT.
 */
int net_start(struct net *net, pid_t target, struct rb_err *err);

/*
 * Call when net->output or net->hosts_watch is readable, or net->pidfd or net->forward.pidfd says
 * that a helper has ended: logs, starts it again in the same namespace and publishes its ports
 * again, closes the host's new addresses.
 */
void net_event(struct net *net);

/* Words the failure of a helper that is not ready, with its last words, and ends it. */
int net_failed(struct net *net, int rc, struct rb_err *err);

/* Starts a helper again that net_event() could not; logs. Nothing when there is none to start. */
void net_retry(struct net *net);

/* Ends the helpers and waits for them. */
void net_end(struct net *net);

/* At run time. Errors: RB_PORT. */
int net_publish(struct net *net, const struct port_spec *spec, unsigned *ret_id,
		struct rb_err *err);
int net_unpublish(struct net *net, unsigned id, struct rb_err *err);
