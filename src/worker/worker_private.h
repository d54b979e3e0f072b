/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the worker share and nobody else needs. */
#include "base/sys.h"
#include "net/policy.h"
#include "net/slirp.h"
#include "worker/codec.h"
#include "worker/job.h"
#include "worker/worker.h"

enum {
	MAX_STEPS = 64, /* steps and execs together */
	MAX_CONNECTIONS = 64,
	MAX_PENDING = 256, /* requests of one connection without their answer */
	MAX_QUEUED_FDS = 32,
	MAX_QUEUED_BYTES = 1 << 20, /* answers; beyond that nothing more is read */
	/* of a socket, which doubles it: what is in there no answer overtakes any more */
	SOCKET_BYTES = 16 << 10,
	/* the start of a step waits so long for its end: most small steps are told in one piece */
	SOON_US = 1000,
	MAX_SIGNALS = 128, /* kept for a step that has not started: more than there are kinds */
	HELLO_MS = 10000,
	SAMPLE_US = 1000000, /* between two step.stats */
	ACCEPT_US = 100000,  /* after a peer could not be accepted */
	ORPHAN_US = 2000000, /* for what still holds a dead step's streams */
};

/* A line on its way out, with the descriptors that go with its first byte. */
struct packet {
	struct packet *next;
	char *text;
	size_t len;
	int fd; /* -1: none */
};

/* Levels of `log` notifications; each includes those before it. */
enum worker_log { WORKER_LOG_NONE, WORKER_LOG_ERROR, WORKER_LOG_WARN, WORKER_LOG_INFO };

struct connection {
	struct connection *next;
	struct worker *worker;
	int in, out; /* the same for a socket */
	bool is_socket;
	bool greeted; /* hello was answered */
	bool wants_fds;
	bool ended;          /* no more input */
	bool drains;         /* the end of input lets running steps finish */
	bool closing;        /* to be closed once everything is sent */
	bool dead;           /* to be freed at the end of the turn */
	enum worker_log log; /* what it wants to be told of */
	int64_t hello_ms;    /* deadline */
	unsigned bad_lines;
	char *input;
	size_t input_len, input_size, scanned;
	int fds[MAX_QUEUED_FDS];
	size_t n_fds;
	struct packet *current; /* partly sent */
	size_t sent;
	struct packet *first, *last;
	int64_t soon_us; /* what is queued may wait until then; 0: nothing waits */
	size_t queued_bytes;
	uint64_t messages;
};

/* One of a step's output streams, or neither open nor ended for one that is not ours. */
struct stream {
	int fd;
	uint64_t off, acked;
	bool ours, ended;
	char carry[4]; /* the beginning of a character */
	size_t n_carry;
};

struct input {
	int fd;         /* -1: closed, or not ours */
	bool ours, eof; /* eof: the peer has said so */
	char *bytes;
	size_t len;
	uint64_t off, acked; /* received, written */
};

/* A step or a further process in one, from its request to its answer. */
struct run {
	struct run *next;
	struct worker *worker;
	struct connection *owner;
	struct job job;
	struct step step;
	const char *id; /* of the request */
	const struct json_node *params;
	const char *record; /* NULL: none was written */
	int keeper;         /* pidfd of who completes it; -1: nobody */
	struct stream streams[2];
	struct input input;
	bool exited, dead;
	int signals[MAX_SIGNALS];
	size_t n_signals;
	int64_t kill_us, timeout_us, orphan_us, sample_us; /* deadlines, INT64_MAX: none */
	const char *truncated;
	const char *cancel_reason;
	bool daemon_died;
	struct rb_err daemon_err;
};

/* A snapshot that a peer holds without a step. */
struct held {
	struct held *next;
	struct connection *owner;
	struct arena arena;
	struct snapshot snapshot;
	struct snap_spec spec;
	const char *name;
	const char *request; /* its id; NULL once answered */
	const char *path;    /* where it is mounted */
	bool dead;
};

/* What can be lent: a loopback interface alone, or slirp4netns as for a step. */
enum lend_kind { LEND_NONE, LEND_SLIRP, LEND_KINDS };

/* A network that a peer has taken, or that waits for one. */
struct lent {
	struct lent *next;
	struct connection *owner; /* NULL: nobody's yet */
	struct arena arena;
	const char *request; /* its id; NULL once answered */
	enum lend_kind kind;
	int netns; /* -1 once handed over */
	struct slirp slirp;
	struct net_policy policy;
	int64_t deadline_ms; /* for slirp4netns to be ready */
	int64_t born_us;
	bool ready, dead;
};

struct source;

struct worker {
	const struct worker_options *options;
	struct engine engine;
	struct pool pool;
	struct connection *connections;
	struct run *runs;
	struct held *held;
	struct lent *lent;
	int64_t lend_asked_us[LEND_KINDS]; /* 0: never */
	unsigned lend_failures;
	uint64_t leases;
	size_t n_connections, n_runs;
	int listener, signals;
	int64_t accept_us;       /* not before */
	const char *socket_path; /* to be unlinked */
	bool stopping;           /* no new steps */
	int64_t stop_us;         /* then running ones are killed */
	uint64_t steps_done;
	char worker_id[40];
	struct pollfd *fds;
	struct source *sources;
	size_t n_fds, size_fds;
	unsigned turn; /* rotates who may send output first */
};

/* A request being handled. */
struct call {
	struct connection *connection;
	struct arena *arena; /* taken over by a step: it is then empty */
	struct message message;
	int fds[LIMIT_MESSAGE_FDS];
};

/* connection.c */
struct connection *connection_new(struct worker *worker, int in, int out);
void connection_read(struct connection *c);
void connection_flush(struct connection *c);
void connection_end(struct connection *c); /* no more input */
void connection_free(struct connection *c);
bool connection_is_idle(const struct connection *c);  /* nothing waits to be sent */
bool connection_may_rest(const struct connection *c); /* or not yet */
/* Takes text over (LF is added); fd (taken, -1: none) goes with it. */
void connection_send(struct connection *c, struct strbuf *text, int fd);
/* As connection_send(), but SOON_US later if nothing else is sent before. */
void connection_send_soon(struct connection *c, struct strbuf *text, int fd);
void connection_error(struct connection *c, const char *id, enum worker_kind kind,
		      const struct rb_err *err, const struct step_unknown *unknown);
void connection_warn(struct connection *c, const char *step, const char *kind, const char *text);

/* A line of the log: on descriptor 2 (not what is only informative), and to who wants it. */
void worker_log(struct worker *worker, enum worker_log level, const char *text);

/* methods.c */
void call_handle(struct call *call);

/* runs.c */
void run_start(struct call *call);
void run_exec(struct call *call);
struct run *run_find(struct worker *worker, const struct connection *owner, const char *name);
void run_turn(struct run *run); /* whatever has become possible */
void run_kill(struct run *run, int sig, enum job_target target);
void run_cancel(struct run *run, uint64_t grace_ms, const char *reason);
void run_write_input(struct run *run);
void run_abandon(struct run *run); /* without an answer */
/* Reads from a stream and sends; only when the connection is idle. */
void run_pump(struct run *run, unsigned number);
bool run_may_pump(const struct run *run, unsigned number);
void run_free(struct run *run);
/* What is known of it by now: members of an object, without its braces. */
const char *run_state_name(const struct run *run);
void run_stats(const struct run *run, struct strbuf *out);
void run_tell_stats(struct run *run);
void run_add_name(const struct run *run, struct strbuf *out); /* "step", "exec" */

/* keeper.c: the record of an ended step, before its answer */
void keeper_start(struct run *run);
bool keeper_is_done(struct run *run);
void keeper_end(struct run *run); /* in the middle of it */

/* lender.c */
/* false: not now, with the kind and the error. */
bool lend_take(struct call *call, const char *net, enum worker_kind *ret_kind, struct rb_err *err);
/* Is one more to be kept ready? lend_fill() makes it. */
bool lend_is_short(const struct worker *worker);
void lend_fill(struct worker *worker);
void lent_turn(struct worker *worker, struct lent *lent);
/* What to wait for, and until when (CLOCK_MONOTONIC; untouched: for ever). */
size_t lent_poll(const struct worker *worker, const struct lent *lent, struct pollfd fds[3],
		 int64_t *deadline_us);
void lent_free(struct lent *lent);

/* held.c */
void held_mount(struct call *call);
void held_unmount(struct call *call);
struct held *held_find(struct worker *worker, const struct connection *owner, const char *name);
void held_turn(struct held *held);
void held_free(struct held *held);
