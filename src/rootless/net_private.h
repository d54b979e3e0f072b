/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the network share. */
#include "base/sys.h"
#include "net/slirp.h"
#include "net/spawn.h"
#include "rootless/net.h"

enum { NET_READY_MS = 10000 };

/* net_helper.c */

/* What the helper writes to standard error: logged, and its end kept for when it ends. */
void net_listen(struct net *net);

/* Has the helper ended? Then it is reaped and everything of it closed. */
bool net_reap(struct net *net, int *ret_status, bool *ret_signal);

/* Kills the helper, waits for it and closes everything of it. */
void net_helper_end(struct net *net);

/*
 * net_tap.c: makes a tap in the network namespace of a process. Errors: RB_TUN.
 */
int net_tap_make(pid_t target, const char *ifname, int *ret_tap, struct rb_err *err);

/*
 * In a child that is about to execute a helper: the helper's TUNSETIFF will wait for whoever has the
 * descriptor that this returns. -errno: EBUSY, a filter around us does such things already.
 */
int net_tap_await_request(void);

/* Answers a request: the helper's descriptor becomes one of this tap. */
void net_tap_hand_over(int listener, int tap);

/* net_slirp.c */
/*
 * Puts the filter of net/filter.h on the tap of the network, `fresh` before its first frame is
 * read; again when the host's addresses have changed. Errors: RB_NET_FILTER.
 */
int net_close(struct net *net, bool fresh, struct rb_err *err);
void net_watch_hosts(struct net *net);
int slirp_start(struct net *net, struct rb_err *err);
int slirp_publish(struct net *net, struct port_entry *entry, struct rb_err *err);
int slirp_unpublish(struct net *net, const struct port_entry *entry, struct rb_err *err);

/* If net->hosts_watch has something to say: the filter again, with the addresses of now. */
void slirp_hosts_event(struct net *net);

/* If it complains: a slirp4netns whose tap was removed is ended, and is replaced by its end. */
void slirp_tap_event(struct net *net);

/* net_pasta.c */
int pasta_start(struct net *net, struct rb_err *err);
