/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The messages of criu(8)'s service: its images/rpc.proto, in the encoding of Protocol Buffers
 * (varints, and fields with a length). Only what a container needs. Pure, private to launch/.
 */
#include <sys/types.h>
#include "base/strbuf.h"

/* enum criu_req_type */
enum criu_type {
	CRIU_DUMP = 1,
	CRIU_RESTORE = 2,
	CRIU_PRE_DUMP = 4,
	CRIU_NOTIFY = 6,
};

/* enum criu_cg_mode */
enum criu_cgroups {
	CRIU_CGROUPS_IGNORE,
	CRIU_CGROUPS_SOFT = 3,
	CRIU_CGROUPS_FULL,
	CRIU_CGROUPS_STRICT
};

struct criu_pair {
	const char *key, *value;
};

struct criu_inherited {
	const char *key;
	int fd; /* in criu's process */
};

struct criu_request {
	enum criu_type type;
	int images;      /* directories: descriptors of the process that made the socket */
	int work;        /* -1: that of the images */
	pid_t pid;       /* dump: of the first process */
	const char *log; /* file name in the work directory */
	const char *root;
	const char *parent;        /* NULL, or the pre-dump's directory relative to the images */
	const char *freeze_cgroup; /* NULL, or its directory */
	int cgroups;               /* enum criu_cgroups */
	bool leave_running, tcp_established, ext_unix_sk, shell_job, file_locks, auto_dedup;
	bool lazy_pages, link_remap, tcp_skip_in_flight;
	const char *page_server; /* address of it, or NULL */
	uint32_t page_server_port;
	const char *lsm_profile;        /* "apparmor:NAME" or "selinux:LABEL", or NULL */
	const char *lsm_mount_context;  /* for mounts, or NULL */
	uint64_t empty_ns;              /* CLONE_NEWNET, or 0 */
	const struct criu_pair *mounts; /* from outside: path in the container, note or source */
	size_t n_mounts;
	const char **external; /* namespaces from outside: "net[INODE]:NAME" */
	size_t n_external;
	const struct criu_inherited *inherited;
	size_t n_inherited;
	const struct criu_pair *cgroup_roots; /* controllers (NULL: all others), path */
	size_t n_cgroup_roots;
};

struct criu_reply {
	int type; /* enum criu_type */
	bool success;
	int errnum;      /* criu's, 0 when it said none */
	char script[32]; /* CRIU_NOTIFY: what has happened */
	pid_t pid;       /* CRIU_NOTIFY, CRIU_RESTORE: of the first process */
};

void criu_encode(const struct criu_request *request, struct strbuf *out);
void criu_encode_noted(bool success, struct strbuf *out);

/* -EPROTO: not a reply of criu. Unknown fields are passed over. */
int criu_decode(const void *bytes, size_t len, struct criu_reply *ret_reply);
