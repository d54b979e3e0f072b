/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The parent's half: carries out a plan's parent list, words the child's failures, supervises a
 * foreground step. One process, one thread, with the caller's privilege.
 */
#include <signal.h>
#include <sys/resource.h>
#include "cgroup/cgroup.h"
#include "exec/exec.h"
#include "launch/criu.h"
#include "net/slirp.h"
#include "plan/plan.h"
#include "plan/resources.h"
#include "state/state.h"

/* What carrying out a plan needs next to the plan. Everything is borrowed. */
struct launch_context {
	struct arena *arena;
	const struct state_root *root; /* NULL for exec */
	struct container *container;   /* where OP_RECORD writes; NULL for exec */
	struct state_record *record;   /* completed by OP_CGROUP */
	const struct state_annotation *annotations;
	size_t n_annotations;
	unsigned state_flags;       /* enum state_flags */
	bool keep;                  /* the monitor leaves state and cgroup alone */
	const char *console_socket; /* for CONSOLE_SOCKET */
	const char *pidfd_socket;   /* for OP_SEND_PIDFD */
	int init_pidfd;             /* exec: the container's first process; else -1 */
	pid_t init_pid;             /* exec: its number; else 0 */
	int start_socket;           /* create: listening; else -1 */
	const int *handed;          /* detached mounts that the plan takes by number */
	size_t n_handed;
	int cgroup_fd;       /* the group that a plan is born into; borrowed, -1: none */
	int files_dir;       /* for small files of the step, which its guard removes; or -1 */
	int lease, netns;    /* of a pool, for a plan that takes them; borrowed */
	const int *used_net; /* a namespace to enter instead of a new one; NULL: none */
	pid_t *sibling; /* the child is one of our parent's, and its number is put here; or NULL */
	const int *stdio; /* 0, 1 and 2 of the child; NULL: ours */
	const int *held;  /* what must stay open until the child is dead: locks */
	size_t n_held;
	const struct pollfd *watched; /* helpers without which a foreground child is ended */
	size_t n_watched;
	bool releases_mounts;     /* they must be gone when the child is */
	struct guard *guard;      /* the monitor shared by many children; NULL: one of its own */
	bool plan_is_kept;        /* by launch_keep_plan() */
	bool may_return;          /* launch_advance() returns instead of waiting for the child */
	int signals;              /* of launch_take_signals() */
	uint64_t default_signals; /* of sys_default_signals(); 0: nothing is known */
};

/* What OP_RESCTRL asks for, as resctrl_apply() carries it out. */
struct resctrl_job {
	struct arena *arena;
	const char *root;            /* the mount */
	const char *class, *monitor; /* names below it; monitor NULL: none */
	const char *schemata;        /* lines; "": as it is */
	bool make, own, join;        /* enum plan_resctrl */
	int directory;               /* the container's, for the group to remove; or -1 */
	pid_t pid;                   /* 0: nobody joins */
};

/* Errors: RB_RDT, with the kernel's words. A group that is noted in `directory` may be left. */
int resctrl_apply(const struct resctrl_job *job, struct rb_err *err);

/* Between the writes of one set of limits. */
struct resource_progress {
	bool missing; /* the file of the last write */
	struct resource_write waiting[4];
	size_t n_waiting;
};

/*
 * One write of resources_convert() to an open group. Errors: RB_CGROUP with file and value;
 * resource_finish() reports what the kernel had refused first and never accepted later.
 */
int resource_apply(const struct cgroup *group, const struct resource_write *write,
		   struct resource_progress *progress, struct rb_err *err);
int resource_finish(const struct cgroup *group, const struct resource_progress *progress,
		    struct rb_err *err);

/*
 * Runs the helper that talks to systemd: words are its name, the manager's socket (NULL when
 * there is none), and the request. Errors: RB_SYSTEMD.
 */
int scope_call(struct arena *arena, const char *const *words, struct rb_err *err);
const char *scope_manager(struct arena *arena);

/* A hook that runs; pidfd -1: none does. */
struct hook {
	int pidfd;  /* of its keeper */
	int report; /* what that says; only while there is one */
	const char *path;
	uint64_t seconds;
	int64_t deadline_ms; /* CLOCK_MONOTONIC; INT64_MAX: no limit */
};

/* Those of a kind, one after the other. */
struct hook_queue {
	size_t next;
	struct hook running;
	const char *argv[2];
};

/* The network of a step that the plan gives it. */
struct launch_network {
	struct slirp slirp; /* pidfd -1: not ours */
	int keeper;         /* what a keeper says; -1: none */
	int keeper_pidfd;   /* -1: none */
	int lease;          /* the connection to a pool; -1: none */
	int api;            /* on which slirp4netns answers; -1: not asked */
	char answer[256];
	size_t answer_len;
	int64_t deadline_ms; /* CLOCK_MONOTONIC: for getting ready */
};

/* The parent of a step without a pid namespace of its own. */
struct launch_reaper {
	pid_t pid;
	int pidfd; /* -1: there is none, or it has ended */
	int sock;  /* what it says; its end of file is our death; -1: there is none */
};

struct launch {
	const struct plan *plan; /* sealed copy */
	size_t plan_size;
	const struct launch_context *context;
	struct exec_child child; /* as the child sees it; slots of OP_OPEN_NS are ours as well */
	int sock;                /* our end of the handshake */
	pid_t pid;
	int pidfd;
	int monitor_pipe; /* its end of file is our death */
	int monitor_pidfd;
	int tty_master;      /* CONSOLE_OWN */
	int listener;        /* of the seccomp filter, on its way to the agent */
	const char *cgroup;  /* name of the container's group, or NULL */
	struct cgroup group; /* the same, open */
	struct resource_progress group_state;
	bool cgroup_must;
	const char
		*unlimited; /* which limit of the plan there is not, and why; NULL: all are there */
	bool cgroup_noted;  /* in context->files_dir, as ID and CGROUP_NOTE */
	bool cgroup_unasked; /* nobody asked for it: where it cannot be had, not a word */
	bool below;          /* exec --cgroup: a group below it was asked for */
	int pid_file_dir;    /* opened before anything exists, or -1 */
	bool started;        /* the program may have run its first instruction */
	bool reached[STAGE_COUNT];
	bool exec_reported;
	size_t next_op; /* of the parent's list */
	struct launch_network net;
	struct launch_reaper reaper;
	int64_t idmap_us, net_us; /* what these parts have taken; net: from its start to its end */
	int64_t net_began_us;
	struct hook hook;   /* of the op that is being carried out */
	uint32_t guard_key; /* 0: not with a shared guard */
};

/*
 * Runs the parent's list. On success the child has reached what the plan asked for: its program
 * runs, or (create) it waits for `start`. On failure the child and whatever was made for it
 * (cgroup, monitor) is gone again; the record's directory is the caller's to remove.
 */
int launch_start(struct launch *launch, const struct plan *plan,
		 const struct launch_context *context, struct rb_err *err);

/*
 * What must be watched while the program runs (room for NETWORK_POLL): its network. Once something
 * of it is ready, launch_network_event() looks, and logs the end of the network;
 * launch_network_is_lost() hands the words to the caller instead.
 */
enum { NETWORK_POLL = 3 };
size_t launch_network_poll(const struct launch *launch, struct pollfd *fds);
void launch_network_event(struct launch *launch);
bool launch_network_is_lost(struct launch *launch, struct rb_err *err);

/*
 * The program has ended: so does the network, and launch_end() need not wait long for it; not at
 * all once launch_network_is_gone().
 */
void launch_network_kill(struct launch *launch);
bool launch_network_is_gone(struct launch *launch);

/*
 * A process that keeps context->held open until the container's first process is dead, and then
 * calls at_end with nothing else open.
 */
int launch_hold(const struct launch *launch, void (*at_end)(void *), void *data);

/*
 * The same in pieces, for a loop that serves several children: launch_begin() prepares,
 * launch_advance() goes on until it would have to wait (0: call again once a descriptor of
 * launch_poll() is ready or at its deadline, CLOCK_MONOTONIC) or is through (1). After an error of
 * either nothing is left. launch_poll() needs room for LAUNCH_POLL. launch_init() makes one that was
 * not begun, and may be ended all the same.
 */
enum { LAUNCH_POLL = 2 };
void launch_init(struct launch *launch, const struct launch_context *context);
int launch_begin(struct launch *launch, const struct plan *plan,
		 const struct launch_context *context, struct rb_err *err);
int launch_advance(struct launch *launch, struct rb_err *err);
size_t launch_poll(const struct launch *launch, struct pollfd *fds, int64_t *deadline_ms);

/*
 * A sealed copy of a plan that many children begin with, one after the other; it stays until it is
 * forgotten, which children that are alive do not mind. *ret_fd (NULL: not wanted): the file, for
 * another process to map. Errors: RB_SETUP_STEP.
 */
int launch_keep_plan(const struct plan *plan, const struct plan **ret_kept, int *ret_fd,
		     struct rb_err *err);
void launch_forget_plan(const struct plan *kept);

/*
 * Takes over what another process has begun with context->sibling for us: plan is the first part,
 * and context the one to go on with. sock, pidfd and the key in the guard become the launch's.
 */
struct launch_begun {
	pid_t pid;
	int pidfd;
	int sock;
	uint32_t guard_key;
};
void launch_adopt(struct launch *launch, const struct plan *plan,
		  const struct launch_context *context, const struct launch_begun *begun);

/* The other side of it: what was begun is handed over, and the launch closed without an end. */
void launch_part_with(struct launch *launch);

/*
 * A plan in two parts: launch_begin() and launch_advance() as usual with the first. Then the child
 * sets itself up; launch_is_waiting() says 1 once it is through with that, 0 not yet, -errno when
 * it has failed. launch_resume() makes ready for launch_advance() with the second part, and with
 * another context. launch_is_alive() does not wait: nothing was heard from it since it waits.
 */
int launch_is_waiting(struct launch *launch);
bool launch_is_alive(const struct launch *launch);
void launch_resume(struct launch *launch, const struct plan *plan,
		   const struct launch_context *context);

/*
 * Once launch_end_fd() is readable: has the first process ended? info has si_code and si_status.
 * What it has left where no pid namespace ends is killed by its reaper, which goes last.
 */
int launch_end_fd(const struct launch *launch);
bool launch_reap(struct launch *launch, siginfo_t *info, struct rusage *usage);
bool launch_reaper_is_gone(struct launch *launch);

/* Gives up on a child that is still being set up: as after an error of launch_advance(). */
void launch_abandon(struct launch *launch);

/* What `restore` asks criu for, and how criu is started. */
struct launch_restore {
	struct criu_start start;
	struct criu_request request;
	bool keep_tty; /* no console socket: we copy the terminal ourselves */
};

/*
 * As launch_start(), with processes out of images: when it succeeds, the container runs. Errors:
 * RB_CRIU with criu's own words.
 */
int launch_restore(struct launch *launch, const struct plan *plan,
		   const struct launch_context *context, const struct launch_restore *wanted,
		   struct rb_err *err);

/*
 * A monitor for many children: one process that outlives this one by an instant, kills what is
 * left of them and removes `directory` (absolute; NULL: nothing) with everything mounted on and
 * below its entries, and then the tree `scratch` (likewise). Errors: RB_SETUP_STEP.
 */
#define CGROUP_NOTE ".cgroup"
enum { GUARD_DROPPED = 8 };
struct guard {
	int sock;
	int pidfd;
	uint32_t last_key;
	uint32_t dropped[GUARD_DROPPED]; /* not told yet */
	size_t n_dropped;
};
int guard_start(struct guard *guard, const char *directory, const char *scratch,
		struct rb_err *err);
uint32_t guard_next_key(struct guard *guard);
void guard_forget(struct guard *guard, uint32_t key); /* of a child that is gone, or never was */
void guard_flush(struct guard *guard);                /* tells it which children are gone */
void guard_end(struct guard *guard);                  /* nothing is killed or removed */

/*
 * What a guard does with its directory at the end; also for what a dead one has left. Groups that
 * were noted in it are removed as well. A note of one that somebody is in stays, and with it the
 * directory, for the next who looks.
 */
void guard_remove_directory(const char *directory);

/*
 * Supervises a foreground child until its end: forwards signals, copies the terminal. Returns
 * its exit status, or 128 + N when signal N ended it. Errors: RB_INTERNAL, its status is lost.
 */
int launch_wait(struct launch *launch, struct rb_err *err);

/* Ends the monitor and closes everything. The child is not touched. */
void launch_end(struct launch *launch);

/* Words a FAIL record. Returns -errno. */
struct handshake;
int launch_failure(const struct handshake *record, const struct plan *plan, const char *argv0,
		   struct rb_err *err);

/*
 * Sends one descriptor with 1 to 4095 bytes of text to the listener at path: --console-socket,
 * --pidfd-socket, a seccomp agent. -errno.
 */
int descriptor_send(const char *path, int fd, const char *text, size_t len);
int console_send(const char *path, int master, struct rb_err *err);

/*
 * One hook in the runtime's own namespaces with the state on its standard input, which hook_start()
 * copies; path must live as long as it runs; seconds 0 means no limit. hook_finish() returns 1
 * while it runs (never when it may wait), and then it is gone; if its time is over, with all that it
 * has started, as when hook_kill() is called or the runtime dies. Errors of both: RB_HOOK.
 */
int hook_start(struct hook *hook, const char *path, char *const argv[], char *const envp[],
	       const char *state, size_t state_len, uint64_t seconds, struct rb_err *err);
size_t hook_poll(const struct hook *hook, struct pollfd *fd, int64_t *deadline_ms);
int hook_finish(struct hook *hook, bool wait, struct rb_err *err);
void hook_kill(struct hook *hook);

/*
 * Hooks whose failure is only logged, poststart (pid > 0) and poststop: all of a kind are run;
 * runtime.md#lifecycle. hooks_advance() is the same in pieces: true when all have ended.
 */
void hooks_run(const struct spec *spec, enum spec_hook_kind kind, const struct state_record *record,
	       const struct state_annotation *annotations, pid_t pid);
bool hooks_advance(struct hook_queue *queue, const struct spec *spec, enum spec_hook_kind kind,
		   const struct state_record *record, const struct state_annotation *annotations,
		   pid_t pid, bool wait);

/*
 * `start`: waits on the connection to a created container until its program runs (0), or it hands
 * a seccomp listener over (1, *ret_listener): then wait again, with the same *exec_reported, which
 * is false in the beginning. The program is told of before the filter that has the listener.
 */
int launch_await_start(int sock, bool *exec_reported, int *ret_listener, struct rb_err *err);

/* Hands a seccomp listener to the agent at path. state is that of runtime.md#state, as JSON. */
int listener_send(const char *path, int listener, pid_t pid, const char *metadata,
		  const char *state, struct rb_err *err);

/*
 * Blocks the signals that launch_wait() forwards; returns the descriptor it takes them from. Call
 * before anything is made. Errors: RB_SETUP_STEP.
 */
int launch_take_signals(struct rb_err *err);

/*
 * A helper program with a fixed environment, started and later waited for. It dies with us, is
 * killed after LIMIT_HELPER_SECONDS, and the first line of its standard error goes into tail.
 * helper_finish() returns its exit status, 128 + N, or -errno.
 */
struct helper {
	int pidfd;
	int output;
};
int helper_spawn(struct helper *helper, const char *path, const char *const argv[]);
int helper_finish(struct helper *helper, char *tail, size_t tail_size);

/* Runs a helper and returns what it wrote to standard output, cut to a limit; NULL: nothing. */
char *helper_output(struct arena *arena, const char *path, const char *const argv[]);

/* The same, but ended when the other end of the socket `alive` closes; -1: not watched. */
char *helper_output_while(struct arena *arena, const char *path, const char *const argv[],
			  int alive);

/* An entry of passwd(5); both in the arena. */
struct user {
	const char *name;
	const char *home; /* NULL: the entry has none */
};

/* Who uid is, in /etc/passwd or the machine's name services. False: nobody knows it. */
bool user_find(struct arena *arena, uint32_t uid, struct user *ret_user);

/*
 * Runs a program with our environment and standard error to its end; what it prints goes into the
 * arena. -ECANCELED: it failed.
 */
int program_output(struct arena *arena, const char *path, const char *const argv[],
		   char **ret_text);

/* Writes both id maps of a new user namespace. Errors: RB_IDMAP_*. */
int idmap_write(struct arena *arena, pid_t pid, const char *uid_map, const char *gid_map,
		enum plan_idmap_method method, struct rb_err *err);
