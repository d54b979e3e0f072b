/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The engine behind `runbuild step` and the worker: one step from its description to its result,
 * in pieces that never wait, for a loop that has others to serve. The caller owns the loop, the
 * streams and the words; the engine owns snapshots, processes and what they leave.
 *
 *	job_begin -> job_advance ... 1: the program runs
 *	          -> job_reap    ... true: it has ended
 *	          -> job_finish      everything is released, the result is complete
 */
#include <sys/resource.h>
#include "launch/launch.h"
#include "spec/step.h"
#include "worker/handed.h"
#include "worker/pool.h"

/* A profile of system calls, compiled. */
struct engine_filter {
	struct spec_seccomp profile;
	const struct sock_filter *bpf; /* NULL: not yet */
	size_t n_bpf;
};

/* What outlives a step. */
struct engine {
	struct arena arena;
	struct host host;
	struct state_root root; /* caches, and the directory below */
	struct guard guard;
	const char *name;      /* of this engine among all: "run-..." */
	const char *directory; /* absolute; private files of the steps, removed by the guard */
	int directory_fd;      /* locked while we live */
	struct engine_filter filter;      /* the default */
	struct engine_filter fuse_filter; /* for steps on a snapshot of fuse-overlayfs */
	struct pool *pool;                /* children that wait for steps; NULL: none */
	uint64_t default_signals;         /* from the start on: nobody changes an action later */
};

/* The default profile of system calls, compiled into engine->filter. */
int engine_default_filter(struct engine *engine, struct rb_err *err);

/* The default filter with what fuse-overlayfs cannot bear refused; compiled at the first call. */
int engine_fuse_filter(struct engine *engine, const struct engine_filter **ret_filter,
		       struct rb_err *err);
int fuse_profile(struct arena *arena, const struct spec_seccomp *profile,
		 struct spec_seccomp *ret_profile, struct rb_err *err);

/*
 * Opens the caches, starts the guard, removes what a dead engine left. root as for --root. The
 * tree `scratch` (NULL: none) goes with us when we are killed.
 * Errors: RB_STATE_ROOT, RB_SETUP_STEP, RB_NOT_ROOT without CAP_SYS_ADMIN.
 */
int engine_open(struct engine *engine, const char *root, const char *scratch, struct rb_err *err);
void engine_close(struct engine *engine);

enum job_state {
	JOB_NEW,
	JOB_MOUNTING,  /* waits for the daemons of its snapshots */
	JOB_LAUNCHING, /* the child sets itself up */
	JOB_RUNNING,
	JOB_CLOSING, /* reaped; its network and what it left are on their way */
	JOB_ENDED,   /* reaped, not released */
	JOB_RELEASED,
};

struct job_stub {
	const char *path; /* below the root */
	size_t existed;   /* bytes of it that were there before */
};

struct job_hands;
struct job_explanation;

struct job {
	struct engine *engine;
	const struct job_hands *hands;
	struct job_explanation *explanation; /* NULL but for job_explain() */
	struct arena arena;                  /* everything of this job; freed by job_free() */
	const struct step *step;
	struct job *inside; /* an exec: the running step, else NULL */
	struct spec spec;   /* the step's, completed */
	struct handed handed;
	struct state_record record;
	const struct state_annotation *annotations;
	struct hook_queue poststop;
	struct launch_context context;
	struct launch launch;
	enum job_state state;
	bool warm;           /* a waiting child has it */
	bool entered;        /* by another process than its own */
	struct used_net net; /* of that child, for another one after it */
	struct plan_options options;
	int fds[LIMIT_MESSAGE_FDS]; /* what came with the message; taken by job_begin() */
	int cgroup_fd;              /* the group that the peer has made, borrowed; or -1 */
	int stdio[3];               /* the child's; closed once it has them */
	bool own_stdio[3];          /* a pipe that was made for the step */
	struct job_stub *stubs;
	size_t n_stubs;
	struct plan_network network;   /* what the plan is to make for it */
	const char *resolv;            /* text of its /etc/resolv.conf, or NULL */
	const char *resolv_path;       /* a file to show there instead, or NULL */
	const struct sock_filter *bpf; /* what an exec inside gets as well */
	size_t n_bpf;
	const char *driver; /* of the root's snapshot; NULL without */
	const char *driver_why;
	const char *warning; /* what its network lacks, or NULL */
	/* the result */
	bool has_figures; /* of its cgroup, read before that goes */
	struct cgroup_figures figures;
	bool cancelled, timed_out;
	int code, signal; /* signal 0: it exited with code */
	struct rusage usage;
	int64_t filter_us;                                  /* compiling it took */
	int64_t began_us, mounted_us, started_us, ended_us; /* CLOCK_MONOTONIC */
	int64_t started_wall_us;                            /* CLOCK_REALTIME */
};

/* A job for a parsed step; step and what it points to must live in job->arena. */
void job_init(struct job *job, struct engine *engine, const struct step *step);

/*
 * Each returns -errno with *err when the step failed before its program ran; everything is then
 * released but the memory.
 */
int job_begin(struct job *job, struct rb_err *err);
int job_advance(struct job *job, struct rb_err *err);

/* What to wait for; room for JOB_POLL entries. *deadline_ms (CLOCK_MONOTONIC) may be lowered. */
enum { JOB_POLL = LIMIT_SNAPSHOTS + LAUNCH_POLL + NETWORK_POLL };
size_t job_poll(const struct job *job, struct pollfd *fds, int64_t *deadline_ms);

/* Has the program ended? Then its result is in the job. */
bool job_reap(struct job *job);

/* The hooks that follow the end of its program: have all of them ended? */
bool job_poststop(struct job *job);

/* Has a daemon of its snapshots, or of its network, died under it? Then it is killed. */
bool job_check_daemons(struct job *job, struct rb_err *err);

enum job_target { JOB_INIT, JOB_GROUP, JOB_ALL };

/* Sends a signal to a running job. -ESRCH: it has ended. */
int job_signal(struct job *job, int sig, enum job_target target);

/*
 * Releases mounts, daemons, locks, cgroup and mount points. The error, if any, is that of a
 * daemon that died (RB_SNAP_DAEMON).
 */
int job_finish(struct job *job, struct rb_err *err);

/*
 * Empties the upper directory where "keepUpper" says so. After job_finish(), and once nobody wants
 * to know any more what is in it.
 */
void job_drop_upper(struct job *job);

/* Gives up a job in any state, with job_drop_upper(). */
void job_abandon(struct job *job);
void job_free(struct job *job);

/* The result of step.run as a JSON object, without what the caller knows (output, changes). */
struct strbuf;
void job_result(const struct job *job, struct strbuf *out);
void job_add_cgroup(const struct job *job, struct strbuf *out); /* "oom" and "cgroup" */
bool job_is_ok(const struct job *job);

/* Writes "changes": an array of at most `limit` entries after `cursor`. */
int job_changes(struct job *job, const char *cursor, size_t limit, struct strbuf *out,
		struct rb_err *err);
int snapshot_changes_json(struct arena *arena, const struct snap_spec *spec, const char *cursor,
			  size_t limit, struct strbuf *out, struct rb_err *err);

/* A step's snapshot in the form that snapshot/ understands. */
void job_snap_spec(const struct engine *engine, const struct step_snapshot *snapshot,
		   struct snap_spec *ret_spec);

/*
 * How a step gets what lies outside of it: for a step that is to run (job_hands.c), or written
 * down only, for `explain` (job_explain.c). What is asked for, and in which order, is decided by
 * the same code for both.
 */
struct job_hands {
	/* Mounts; *ret_number is what the plan calls each. */
	int (*snapshot)(struct job *job, const struct step_snapshot *snapshot, uint32_t *ret_number,
			struct rb_err *err);
	int (*descriptor)(struct job *job, uint32_t index, uint32_t *ret_number,
			  struct rb_err *err);
	int (*part)(struct job *job, const char *source, const char *selector, uint32_t *ret_number,
		    struct rb_err *err);
	int (*tree)(struct job *job, const char *path, unsigned flags, uint32_t *ret_number);
	/* The overlays of a whole configuration. */
	int (*overlays)(struct job *job, struct rb_err *err);
	/* A file of this name in the engine's directory. */
	int (*file)(struct job *job, const char *name, const char *text, struct rb_err *err);
	/* The network namespace that came as a descriptor, as a path. */
	int (*network)(struct job *job, const char **ret_path, struct rb_err *err);
	/* The root, for looking things up; -1 in *ret_fd: it is not there yet. */
	int (*root)(struct job *job, int *ret_fd, struct rb_err *err);
	/* The filter in the step's descriptor. */
	int (*filter)(struct job *job, struct plan_options *options, struct rb_err *err);
	/* Is one of its snapshots served by fuse-overlayfs? */
	bool (*is_on_fuse)(const struct job *job);
};
extern const struct job_hands job_hands_real;

/*
 * job_mounts.c: fills job->handed and completes job->spec; what selectors name below snapshots,
 * once those are there; removes generated files.
 */
int job_add_mounts(struct job *job, struct rb_err *err);
int job_select_in_snapshots(struct job *job, struct rb_err *err);
void job_remove_files(const struct job *job);

/*
 * A waiting child has left the host's files: it gets root and sources as mounts. false: what
 * cannot be handed over is left for the child that a step makes for itself, and that words the
 * error.
 */
bool job_hand_over_all(struct job *job);

/* Names of users become numbers, mount points that will be made are noted. */
int job_look_into_root(struct job *job, struct rb_err *err);

/* job_filter.c: the filter that its description asks for, in options. */
int job_choose_filter(struct job *job, struct plan_options *options, struct rb_err *err);

/* job_hands.c: what a selector names in a detached mount that is attached at `place`. */
int job_select_attached(int place, const char *selector, int *ret_mount);

/*
 * job_network.c: what "net" asks for, before job_add_mounts(). Errors: RB_STEP_NET,
 * RB_SLIRP_MISSING, RB_TUN.
 */
int job_add_network(struct job *job, struct rb_err *err);

/* job_user.c: names to numbers in the root file system that is open as `root`. */
int job_find_user(struct arena *arena, int root, const struct step *step,
		  struct spec_process *process, struct rb_err *err);

/* job_stubs.c: mount points that the step's mounts will make, and their removal. */
int job_note_stubs(struct job *job, int root);
void job_remove_stubs(struct job *job);

/* The planner's options for it. */
struct plan_options job_plan_options(struct job *job);

/*
 * job_explain.c: what would be done for a job that was not begun; of its engine only the facts of
 * the host and names are needed. parts: as a worker does it that has a child waiting.
 */
struct job_explanation {
	const struct plan *plan;
	const struct plan *second; /* NULL: one plan is all */
	const char *notes[2 * LIMIT_STEP_MOUNTS + 24];
	size_t n_notes;
	bool on_fuse, auto_driver; /* drivers of its snapshots */
};
int job_explain(struct job *job, bool parts, struct job_explanation *ret_explanation,
		struct rb_err *err);
