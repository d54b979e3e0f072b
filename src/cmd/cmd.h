/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The verbs: arguments, one call, one printed error, one exit status. Private to cmd/.
 *
 * Exit status: the step's own for a foreground `run` and `exec`; 0; 1 for an error (255 for
 * `exec`), 3 for an unknown command: runc's numbers, which its clients know. 125 is ours: `run`
 * has started the step, and then lost it to an error of its own.
 */
#include "base/log.h"
#include "base/strbuf.h"
#include "base/sys.h"
#include "cmd/options.h"
#include "launch/launch.h"

struct globals {
	const char *root;
	const char *log;
	const char *log_format;
	bool debug;
	bool systemd_cgroup;
	const char *rootless;
	const char *cgroup_manager;
	const char *criu;
	bool version;
	char **argv; /* the whole command line, for sealing our program file */
};

struct verb {
	const char *name;
	const char *summary;
	const char *args;       /* synopsis of what follows the options */
	int min_args, max_args; /* max_args -1: any number */
	const struct option_entry *options;
	size_t options_size; /* of the struct the options are stored in */
	int error_status;    /* 0: 1 */
	/*
	 * argv holds the words after the options, NULL-terminated. Returns an exit status, or
	 * -errno with *err set.
	 */
	int (*run)(struct arena *arena, const struct globals *globals, const void *options,
		   int argc, char **argv, struct rb_err *err);
};

extern const struct option_entry global_options[];
extern const struct verb *const verbs[]; /* NULL-terminated */

/* A bundle that has been read and understood. */
struct bundle {
	const char *path; /* absolute */
	char *config;     /* the bytes of config.json */
	size_t config_len;
	const struct spec *spec;
};

/* path NULL means the current directory. Errors: RB_BUNDLE, RB_CONFIG_*. */
int bundle_load(struct arena *arena, const char *path, struct bundle *ret_bundle,
		struct rb_err *err);

/* What the host facts of a spec need to be probed for. */
unsigned bundle_host_wants(const struct spec *spec);

/* The spec's compiled filter, from the cache below the root or compiled and stored there. */
int bundle_filter(struct arena *arena, const struct spec *spec, const struct state_root *root,
		  struct plan_options *options, struct rb_err *err);

/* The annotations in the form state/ writes. */
const struct state_annotation *bundle_annotations(struct arena *arena, const struct spec *spec);

/*
 * Executes this program again from a sealed copy when the container could write its file
 * (CVE-2019-5736); returns 0 when there is nothing to do. Errors: RB_SETUP_STEP.
 */
int self_seal(const struct host *host, char **argv, struct rb_err *err);

/* Prints to standard output in one piece; -EIO with *err when it cannot. */
int print_all(const struct strbuf *text, struct rb_err *err);

/* --cgroup-manager, --systemd-cgroup and --rootless as the planner takes them. Errors: RB_USAGE. */
int globals_cgroup(const struct globals *globals, const struct host *host,
		   struct plan_options *plan_options, struct rb_err *err);

/* A network that a pool of the launcher's has lent; -1: none. */
struct network_lease {
	int connection, netns;
};

/*
 * The network of a container whose configuration leaves it in ours, by the launcher's policy in the
 * environment. lease NULL: nothing is borrowed or looked for, only planned. Errors: RB_STEP_NET,
 * RB_SLIRP_MISSING, RB_TUN.
 */
int network_choose(struct arena *arena, const struct spec *spec, const struct host *host,
		   struct plan_options *options, struct network_lease *lease, struct rb_err *err);

/* What `state` says: the process, and whether its cgroup is frozen; as container_status(). */
int status_with_freezer(struct arena *arena, const struct container *container);

/* The open cgroup of a container. Errors: RB_CGROUP when it has none. */
int open_container_cgroup(struct arena *arena, const struct container *container,
			  struct cgroup *ret_cgroup, struct rb_err *err);

/* The processes of a container, by its cgroup or else its pid namespace; in the arena. */
int container_pids(struct arena *arena, const struct container *container, pid_t **ret_pids,
		   size_t *ret_n, struct rb_err *err);

/* Opens an existing container for a verb. */
int open_container(struct arena *arena, const struct globals *globals, const char *id,
		   struct state_root *ret_root, struct container *ret_container,
		   struct rb_err *err);

/*
 * What `delete` does: with force the container is killed first. Its group, its poststop hooks, its
 * record. Errors: RB_STILL_RUNNING, RB_STATE_WRITE.
 */
int container_delete(struct arena *arena, const struct state_root *root,
		     struct container *container, bool force, struct rb_err *err);

/* For an -errno with which it cannot be known whether the container lives. Returns it. */
int status_unknown(int r, const struct container *container, struct rb_err *err);

/* "KILL", "SIGKILL", "9", "RTMIN+1" -> number. Errors: RB_BAD_SIGNAL. */
int signal_parse(const char *text, int *ret_signal, struct rb_err *err);

/* The text of `--version` and of `features`. */
void version_text(const char *name, struct strbuf *out);
