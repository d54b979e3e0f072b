/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The builtin port driver: a process of ours that accepts on sockets of the host and connects
 * inside the network namespace. A TCP connection keeps the address of its client.
 */
#include "base/err.h"
#include "net/port.h"

struct forward {
	const char *netlink; /* borrowed: runbuild-netlink, which makes the way back */
	bool hide_clients;   /* do not keep their addresses */
	int pidfd;           /* of the forwarder, -1: not running */
	int sock;            /* to it, -1: none */
};

/*
 * Starts the forwarder in the network namespace of process target. It ends with this process.
 * Errors: RB_PORT.
 */
int forward_start(struct forward *forward, pid_t target, struct rb_err *err);

/* Binds the port of the host here, which knows why it cannot be, and hands it over. RB_PORT. */
int forward_publish(struct forward *forward, const struct port_entry *entry, struct rb_err *err);

/* Connections that are open go on; the port of the host is free when this returns. RB_PORT. */
int forward_unpublish(struct forward *forward, const struct port_entry *entry, struct rb_err *err);

/* Ends the forwarder and every connection. */
void forward_end(struct forward *forward);
