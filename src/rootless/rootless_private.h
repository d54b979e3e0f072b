/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of rootless/ share. */
#include "base/sys.h"
#include "launch/launch.h"
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
	struct rb_err err;
};

int message_send(int sock, enum rootless_message_type type, const struct rb_err *err);
/* -EPIPE: the other side is gone. */
int message_receive(int sock, struct rootless_message *message);

struct rootless {
	struct arena *arena;
	const struct rootless_options *options;
	const char *user; /* login name, or the uid in digits */
	uint32_t uid, gid;
	const char *uid_map, *gid_map;
	enum plan_idmap_method idmap_method;
	bool pid_namespace;
	int state_fd;          /* the state directory */
	const char *state_dir; /* its absolute path */
	bool state_created;    /* by us: removed at the end */
	char **environment;    /* of the command */
	int sock;              /* our end */
	int child_sock;
	pid_t pid;
	int pidfd;
	int slirp_pidfd;
	int slirp_exit; /* its end of file ends slirp4netns */
};

/* rootless_child.c: the init inside; never returns */
void rootless_child(struct rootless *r) __attribute__((noreturn));

/* rootless_state.c: directory and environment */
int rootless_state_open(struct rootless *r, struct rb_err *err);
void rootless_state_remove(const struct rootless *r);
int rootless_environment(struct rootless *r, struct rb_err *err);

/* usermap.c: whose ids, and how they are mapped */
int rootless_usermap(struct rootless *r, struct rb_err *err);

/* slirp.c */
int slirp_start(struct rootless *r, struct rb_err *err);
void slirp_end(struct rootless *r);

/* child_mounts.c: in the child */
int child_mount_proc(void);
int child_copy_up(const char *directory, struct rb_err *err);
int child_resolv_conf(const struct rootless *r, struct rb_err *err);
