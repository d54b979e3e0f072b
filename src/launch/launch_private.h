/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of launch/ share and nobody else needs. */
#include "base/sys.h"
#include "exec/handshake.h"
#include "exec/exec.h"
#include "launch/launch.h"

/* launch_clone.c: OP_CLONE */
int launch_clone(struct launch *l, const struct plan_op *op, struct rb_err *err);

/* launch_monitor.c: OP_MONITOR */
int launch_monitor(struct launch *l, struct rb_err *err);
/*
 * The group that the child was joined to, or will be: the plan says which; NULL: none of its own.
 * The monitor removes it.
 */
const char *launch_cgroup(const struct launch *l);
void launch_monitor_end(struct launch *l);

/* Closes every descriptor but those of the list (in any order, negative ones are ignored). */
void monitor_keep_only(const int *keep, size_t n);
void monitor_wait_dead(int pidfd);

/* launch_guard.c: the same through a shared guard */
int guard_add(struct launch *l, struct rb_err *err);
void guard_drop(struct launch *l);

/*
 * launch_run.c: the next record of the child, and a descriptor that came with it (*ret_fd, -1
 * without). flags are those of recvmsg(2). 1: a record; 0: end of file; -errno.
 */
int launch_receive(int sock, int flags, struct handshake *record, int *ret_fd);
