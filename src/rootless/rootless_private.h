/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of rootless/ share. */
#include "base/descendants.h"
#include "base/sys.h"
#include "launch/launch.h"
#include "rootless/api.h"
#include "rootless/rootless.h"

/* Messages between the two processes, over a SOCK_SEQPACKET pair. */
enum rootless_message_type {
	MSG_MAPPED = 1, /* parent: the id maps are written */
	MSG_MOUNTED,    /* child: its namespaces are set up, the network may come */
	MSG_NETWORK,    /* parent: the network is there (or none was asked for) */
	MSG_READY,      /* child: everything is in place */
	MSG_GO,         /* parent: start the command */
	MSG_NO_PROC,    /* child: a new /proc is refused; it exits */
	MSG_ERROR,      /* child: err says what failed; it exits */
};

struct rootless_message {
	uint32_t type;
	int32_t fd; /* of this process once it is received; -1: none */
	struct rb_err err;
};

int message_send(int sock, enum rootless_message_type type, const struct rb_err *err);
/* With a descriptor, which the other side takes from message->fd. */
int message_send_fd(int sock, enum rootless_message_type type, int fd);
/* -EPIPE: the other side is gone. */
int message_receive(int sock, struct rootless_message *message);

struct rootless {
	struct arena *arena;
	const struct rootless_options *options;
	const char *user; /* login name, or the uid in digits */
	const char *home; /* of the passwd entry; NULL: there is none */
	uint32_t uid, gid;
	const char *uid_map, *gid_map;
	enum plan_idmap_method idmap_method;
	bool pid_namespace;
	int state_fd;          /* the state directory, as the calling process's mounts show it */
	int state_lock;        /* its lock file; held until the last process of ours has ended */
	const char *state_dir; /* its absolute path */
	bool state_created;    /* by us: removed at the end */
	char **environment;    /* of the command */
	int sock;              /* our end */
	int child_sock;
	pid_t pid;
	int pidfd;
	struct net net;
	struct api api;
	int notify_in, notify_out; /* the command's messages, and the caller's socket; or -1 */
	struct pid_list strangers; /* children that this process had before it was us */
};

/* Has the command a network of its own around it? */
static inline bool rootless_inside_network(const struct rootless *r)
{
	return r->options->net.driver != NET_HOST && !r->options->net.detached;
}

/* net_holder.c: a detached network; starts or starts again who keeps it. */
int net_hold(struct rootless *r, struct rb_err *err);
int net_hold_await(struct net *net, struct rb_err *err);
bool net_is_held(const struct net *net);
void net_release(struct net *net);

/* net_pool.c: in the child. Below the state directory; without one, steps make their own. */
#define POOL_SOCKET "step-net.sock"
int pool_start(struct rootless *r, struct rb_err *err);

/* rootless_child.c: the init inside; never returns */
void rootless_child(struct rootless *r) __attribute__((noreturn));

/* execvp(3) with the PATH of the environment; returns the errno of the failure. */
int command_exec(char *const argv[], char *const envp[]);
/* Words it. */
void command_failure(const char *name, int errnum, struct rb_err *err);

/* rootless.c: the signals that are forwarded */
void rootless_signals(sigset_t *set);

/* rootless_state.c: the state directory */
int rootless_state_open(struct rootless *r, struct rb_err *err);
/* In the child: the same directory again, in the new mount namespace. */
int rootless_state_reopen(struct rootless *r, struct rb_err *err);
void rootless_state_remove(const struct rootless *r);

/* rootless_env.c */
int rootless_environment(struct rootless *r, struct rb_err *err);

/* usermap.c: whose ids, and how they are mapped */
int rootless_usermap(struct rootless *r, struct rb_err *err);

/* notify.c: nothing without NOTIFY_SOCKET. Errors: RB_STATE_DIR. */
int notify_open(struct rootless *r, struct rb_err *err);
void notify_forward(struct rootless *r);

/* cgroup_evacuate.c */
int evacuate_cgroup2(const char *name, struct rb_err *err);
int child_mount_cgroup2(struct rb_err *err);

/* child_mounts.c: in the child */
int child_mount_proc(void);
void child_mount_sys(void);
void child_allow_ping(const struct rootless *r);
int child_copy_up(const char *directory, struct rb_err *err);
int child_resolv_conf(const struct rootless *r, struct rb_err *err);
/* The files of a detached network: netns, resolv.conf, hosts. */
int child_netns_files(const struct rootless *r, int netns, struct rb_err *err);
