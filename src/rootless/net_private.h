/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the network share. */
#include "base/sys.h"
#include "net/slirp.h"
#include "net/spawn.h"
#include "rootless/net.h"

enum { NET_READY_MS = 10000 };

/* Has the helper ended? Then it is reaped and everything of it closed. */
bool net_reap(struct net *net, int *ret_status, bool *ret_signal);

/* Kills the helper, waits for it and closes everything of it. */
void net_helper_end(struct net *net);

/* net_slirp.c */
int slirp_start(struct net *net, struct rb_err *err);
int slirp_publish(struct net *net, struct port_entry *entry, struct rb_err *err);
int slirp_unpublish(struct net *net, const struct port_entry *entry, struct rb_err *err);

/* If net->hosts_watch has something to say: the filter again, with the addresses of now. */
void slirp_hosts_event(struct net *net);

/* If it complains: a slirp4netns whose tap was removed is ended, and is replaced by its end. */
void slirp_tap_event(struct net *net);

/* net_pasta.c */
int pasta_start(struct net *net, struct rb_err *err);
