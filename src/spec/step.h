/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A build step after parsing: the step specification of runbuild-protocol(7), which the worker
 * receives and `runbuild step` writes from its options. The part that the planner understands is
 * a struct spec, completed by the defaults of a step (mounts, masks, capabilities); the rest says
 * where the root and the mounts come from and what happens to input, output and results.
 */
#include "spec/spec.h"

/* Where a mount or the root file system comes from. */
enum step_source { STEP_NOTHING, STEP_PATH, STEP_SNAPSHOT, STEP_FD };

struct step_snapshot {
	struct spec_strings lower; /* topmost first */
	const char *upper;         /* NULL: read-only */
	const char *work;
	const char *driver; /* "auto", "native", "fuse", "fuse-path" or "bind" */
	bool throw_away;    /* option "volatile" */
	const char *origin;
};

/* What struct spec_mount does not say; same index. */
struct step_mount {
	enum step_source source;
	const struct step_snapshot *snapshot;
	uint32_t fd;          /* index into the message's descriptors */
	const char *selector; /* below the source; NULL: all of it */
};

enum step_keep { STEP_NEVER, STEP_FAILURE, STEP_ALWAYS };

enum step_net { STEP_NET_NONE, STEP_NET_HOST, STEP_NET_SLIRP, STEP_NET_NETNS };

enum { STEP_NO_FD = -1 };

/* A port of the host that leads to one of the step. */
struct step_port {
	bool udp;
	uint32_t parent_ip, child_ip; /* IPv4, host byte order; 0: any, and the step's own */
	uint16_t parent_port, child_port;
	const char *origin;
};

/* The network of STEP_NET_SLIRP. */
struct step_slirp {
	const char *cidr; /* "10.0.2.0/24", or NULL */
	uint32_t mtu;     /* 0: the usual one */
	bool no_dns;      /* nobody in it answers questions */
	bool allow_host_loopback;
	const struct step_port *ports;
	size_t n_ports;
};

struct step_io {
	int fds[3];   /* stdin, stdout, stderr: index, or STEP_NO_FD */
	int console;  /* index of a terminal's slave, or STEP_NO_FD */
	bool in_band; /* streams without a descriptor are messages, else /dev/null */
	bool wants_stdin;
	bool merge;      /* stderr goes where stdout goes */
	uint64_t window; /* bytes a stream may be ahead of its acknowledgement; 0: no limit */
};

struct step_stubs {
	bool leaf, parents; /* what to remove of mount points that were made for the step */
};

struct step {
	const char *id;
	bool oci; /* spec came as a whole configuration: nothing is added to it */
	struct spec spec;
	enum step_source root;
	const struct step_snapshot *root_snapshot;
	uint32_t root_fd;
	const struct step_mount *mounts; /* spec.n_mounts of them; NULL for oci */
	const char *user_name;           /* NULL, or to be found in the image's /etc/passwd */
	const char *group_name;          /* likewise in /etc/group */
	bool has_group;                  /* process.gid or group_name was given */
	bool default_filter;             /* the built-in seccomp profile */
	int filter_fd;                   /* index of compiled BPF, or STEP_NO_FD */
	enum step_net net;
	const char *limits;      /* "resources" as config.json has them, or NULL */
	int cgroup_fd;           /* index of a cgroup's directory, or STEP_NO_FD */
	int netns_fd;            /* index, or STEP_NO_FD */
	struct step_slirp slirp; /* of STEP_NET_SLIRP */
	const char *hosts;       /* text of /etc/hosts, or NULL */
	const char *resolv;      /* text of /etc/resolv.conf, or NULL */
	const char *resolv_path; /* a file to show there instead, or NULL */
	const char *bundle;      /* for relative paths of oci */
	struct step_stubs stubs;
	struct step_io io;
	uint64_t timeout_ms; /* 0: none */
	uint64_t grace_ms;   /* between TERM and KILL */
	const uint8_t *valid_codes;
	size_t n_valid_codes;
	bool want_changes, want_stats;
	enum step_keep keep_upper, record;
	const char *traceparent;
};

/* Members that are not part of the protocol: the pointers of the first few. */
struct step_unknown {
	const char *pointers[16];
	size_t n;
};

/*
 * Reads a step specification. n_fds is the number of descriptors that came with it; each may be
 * used once. Pure. Errors: RB_STEP_MEMBER (with *ret_unknown), RB_STEP_FDS, RB_CONFIG_*,
 * RB_UNSUPPORTED; the origin is a pointer below `node`.
 */
int step_parse(struct arena *arena, const struct json_node *node, uint32_t n_fds,
	       struct step *ret_step, struct step_unknown *ret_unknown, struct rb_err *err);

/* The parameters of step.exec: only id, spec.process and io are filled. */
int step_parse_exec(struct arena *arena, const struct json_node *node, uint32_t n_fds,
		    struct step *ret_step, struct step_unknown *ret_unknown, struct rb_err *err);

/* The parameter "snapshot" of snapshot.mount. */
int step_parse_snapshot(struct arena *arena, const struct json_node *node,
			const struct step_snapshot **ret, struct step_unknown *ret_unknown,
			struct rb_err *err);

/* ^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$ */
bool step_id_is_valid(const char *id);

/*
 * Members of an object that are not in the list ("a b c") are added to *unknown; names that begin
 * with "x-" are always allowed.
 */
void step_check_members(struct arena *arena, const struct json_node *object, const char *names,
			struct step_unknown *unknown);
