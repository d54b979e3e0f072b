/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Network namespaces that are used again. Making and ending one is a sixth of a small step's work,
 * and most steps never touch theirs. One of which no packet was ever sent and in which no socket is
 * left cannot be told from a new one; every other goes. Runs in the worker; its maker opens them.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A namespace, and its own counters in the file systems of proc(5). ns -1: none. */
struct used_net {
	int ns;
	int devices;         /* net/dev */
	int sockets;         /* net/sockstat */
	long kernel_sockets; /* what the kernel itself has open in there; -1: not counted yet */
};

enum { USED_NETS = 8 };

struct used_nets {
	struct used_net idle[USED_NETS];
	size_t n;
};

/* That of a process of ours, which must be alive. false: it cannot be had, and net->ns is -1. */
bool used_net_open(struct used_net *net, pid_t pid);
/* Counts what is there before a step is: its process waits and holds no socket. */
void used_net_count(struct used_net *net);
void used_net_close(struct used_net *net);

/* Hands one over. false: there is none. */
bool used_nets_take(struct used_nets *nets, struct used_net *ret_net);

/* Takes *net over once all its processes have ended: it is kept when it is as new, or closed. */
void used_nets_give(struct used_nets *nets, struct used_net *net);
void used_nets_close(struct used_nets *nets);
