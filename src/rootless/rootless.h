/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The launcher: a user namespace with all of the user's subordinate ids, a mount and a pid
 * namespace, optionally a network of its own, around one command (buildkitd, usually). Two
 * processes of ours: the parent on the host side, and an init inside. The death of either ends
 * the other, the command and every helper.
 */
#include "base/arena.h"
#include "base/err.h"
#include "host/host.h"
#include "net/policy.h"
#include "rootless/net.h"
#include "rootless/subid.h"

enum rootless_pidns {
	PIDNS_AUTO, /* yes, but go on without where a new /proc is refused */
	PIDNS_YES,
	PIDNS_NO,
};

enum rootless_idmap {
	ROOTLESS_IDMAP_AUTO, /* all subordinate ids; the own id alone, with a warning, if there are none */
	ROOTLESS_IDMAP_SUBIDS, /* all subordinate ids or an error */
	ROOTLESS_IDMAP_SINGLE, /* the own id alone */
};

struct rootless_options {
	struct net_options net;
	const char *const *copy_up; /* absolute directories */
	size_t n_copy_up;
	uint64_t propagation; /* MS_PRIVATE, MS_SLAVE or MS_SHARED of all mounts; 0: private */
	bool propagation_of_root_only; /* not recursively */
	enum rootless_pidns pidns;
	bool ipcns, utsns, cgroupns;
	bool no_reaper;               /* without a pid namespace: let orphans go */
	const char *evacuate_cgroup2; /* name of the cgroup to move everything to, or NULL */
	enum rootless_idmap idmap;
	enum subid_source subid_source;
	bool compatible; /* RootlessKit's exit statuses: 255 after a signal, 1 for its errors */
	enum net_policy_mode step_net; /* network of steps that share the command's */
	bool step_net_chosen;          /* else it is what the environment says */
	uint32_t step_net_pool;        /* networks kept ready for them */
	const char *notify_socket;     /* for sd_notify(3); NULL: $NOTIFY_SOCKET */
	const char *state_dir;         /* absolute, or NULL: a temporary one */
	char *const *command;          /* NULL-terminated */
};

/*
 * Runs the command to its end. Returns its exit status (128 + N for signal N, 127 when it was
 * not found, 126 when it could not be executed), or -errno with *err.
 */
int rootless_run(struct arena *arena, const struct rootless_options *options, struct rb_err *err);
