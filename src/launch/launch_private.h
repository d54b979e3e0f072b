/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of launch/ share and nobody else needs. */
#include "base/sys.h"
#include "exec/handshake.h"
#include "exec/exec.h"
#include "launch/launch.h"

/* launch_part.c: OP_SEND_PLAN */
int launch_send_plan(struct launch *l, struct rb_err *err);
/* A sealed memory file with a copy. */
int plan_seal(const struct plan *plan, struct rb_err *err);

/* launch_clone.c: OP_CLONE */
int launch_clone(struct launch *l, const struct plan_op *op, struct rb_err *err);

/* launch_reaper.c: the same by a parent of its own; and its end, with everything below it */
int launch_clone_reaped(struct launch *l, const struct plan_op *op, struct rb_err *err);
void launch_reaper_end(struct launch *l);

/* monitor_process.c */
/* A process of its own: its group, no signals, not dumpable, a name. */
void monitor_become(const char *name);

void monitor_wait_dead(int pidfd);
/*
 * The group that the child was joined to, or will be: the plan says which; NULL: none of its own.
 * The monitor removes it.
 */
const char *launch_cgroup(const struct launch *l);

/* launch_monitor.c: OP_MONITOR */
int launch_monitor(struct launch *l, struct rb_err *err);
void launch_monitor_end(struct launch *l);

/* launch_guard.c: the same through a shared guard */
int guard_add(struct launch *l, struct rb_err *err);
void guard_drop(struct launch *l);

/* launch_error.c: "bad system call (31)", as runc's clients look for it. Returns text. */
const char *signal_text(int sig, char text[64]);

/* launch_tree.c: OP_HOST_TREE; net_device.c: OP_NET_DEVICE */
int launch_host_tree(struct launch *l, const struct plan_op *op, struct rb_err *err);
int launch_net_device(struct launch *l, const struct plan_op *op, struct rb_err *err);

/* resctrl.c: OP_RESCTRL */
int launch_resctrl(struct launch *l, const struct plan_op *op, struct rb_err *err);

/* launch_network.c: OP_TAKE_NETWORK to OP_PUBLISH_PORT; await, publish as launch_advance() */
int launch_network_take(struct launch *l, const struct plan_op *op, struct rb_err *err);
int launch_network_start(struct launch *l, const struct plan_op *op, struct rb_err *err);
int launch_network_keep(struct launch *l, const struct plan_op *op, struct rb_err *err);
int launch_network_await(struct launch *l, struct rb_err *err);
int launch_network_close(struct launch *l, const struct plan_op *op, struct rb_err *err);
int launch_network_publish(struct launch *l, const struct plan_op *op, struct rb_err *err);
/* Ends it, and waits: nobody else would reap slirp4netns, and nothing is to outlive the step. */
void launch_network_end(struct launch *l);

/* launch_cgroup.c: OP_CGROUP and what follows it; launch_scope.c: its systemd half */
int launch_cgroup_find(struct launch *l, const struct plan_op *op, struct rb_err *err);
int launch_cgroup_write(struct launch *l, const struct plan_op *op, struct rb_err *err);
int launch_cgroup_devices(struct launch *l, const struct plan_op *op, struct rb_err *err);
int launch_cgroup_join(struct launch *l, const struct plan_op *op, struct rb_err *err);
int launch_scope(struct launch *l, const struct plan_op *op, struct rb_err *err);

/*
 * launch_receive.c: the next record of the child, and a descriptor that came with it (*ret_fd, -1
 * without). flags are those of recvmsg(2). 1: a record; 0: end of file; -errno.
 */
int launch_receive(int sock, int flags, struct handshake *record, int *ret_fd);
void launch_drop_plan(struct launch *l);

/* launch_run.c: one op of the parent's list. 1: it would have to wait, and the caller prefers to come back. */
int launch_op(struct launch *l, const struct plan_op *op, struct rb_err *err);

/* launch_reaper.c: reaps orphans. True: the child `first` has ended; it is not reaped. */
bool first_child_has_ended(pid_t first);

/* A hook to be started, and how one has ended: si_code and si_status of sigaction(2). */
struct hook_call {
	const char *path;
	char *const *argv, *const *envp;
	int input;
};
struct hook_end {
	int32_t code, status;
};

/*
 * The hook by a keeper: its pidfd, or -errno. SIGTERM to the keeper, or our death, ends the hook
 * with everything below it. Once it has ended, *ret_report holds a struct hook_end, or nothing when
 * the hook did not end by itself.
 */
int hook_keeper_start(const struct hook_call *call, int *ret_report);
