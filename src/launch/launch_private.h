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
void launch_monitor_end(struct launch *l);

/*
 * launch_run.c: the next record of the child, and a descriptor that came with it (*ret_fd, -1
 * without). 1: a record; 0: end of file; -errno.
 */
int launch_receive(int sock, struct handshake *record, int *ret_fd);
