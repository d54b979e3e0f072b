// SPDX-License-Identifier: Apache-2.0
#pragma once
/*
 * The data that the parts of the benchmark harness share: the plan as read, the values as
 * measured. Nothing here has state. See harness.c for how a pass runs and bench/README.md for
 * what the numbers mean.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define ARRAY_LEN(a)      (sizeof(a) / sizeof((a)[0]))
#define CLEANUP(function) __attribute__((cleanup(function)))

enum limits {
	MAX_ARGS = 32,      /* words of one command */
	MAX_STEPS = 24,     /* commands of one row */
	MAX_ROWS = 32,      /* rows of one pass */
	MAX_PASSES = 16,    /* passes of one plan */
	MAX_NOTES = 32,     /* lines in the head of a report */
	MAX_BASELINES = 6,  /* ratio columns of one pass */
	MAX_GOALS = 24,     /* goals of one pass */
	MAX_PLAN = 1 << 20, /* bytes of a plan file */
	WARM_UP = 2,        /* rounds that are run and thrown away */
	ID_LEN = 25,        /* characters of a container id, as many as BuildKit's have */
};

/* When a step of a row runs. */
enum stage {
	STAGE_BEGIN, /* once, before the first round */
	STAGE_EACH,  /* in every round */
	STAGE_AFTER, /* in every round, even if a step before it failed */
	STAGE_LAST,  /* series only: once for each id, after the last call */
	STAGE_END,   /* once, after the last round, even if something failed */
};

/* What a step does. */
enum step_kind {
	STEP_RUN,    /* run a command, not timed */
	STEP_TIME,   /* run a command, timed; several in one round add up */
	STEP_WAIT,   /* wait until the process whose pid stands in a file has ended */
	STEP_SPAWN,  /* start a command, wait for a byte from a fifo, leave it running */
	STEP_SAMPLE, /* memory of the spawned command, its payload left out */
	STEP_JOIN,   /* wait for the spawned command; its status does not matter */
};

/* What is recorded, one value for each round. */
enum metric {
	METRIC_WALL,     /* ns, of the timed commands of a round */
	METRIC_CPU,      /* ns, user and system, with waited-for descendants */
	METRIC_RSS,      /* KB, the largest peak of any one process of the timed commands */
	METRIC_LIVE_RSS, /* KB, sum over the runtime's processes while the payload runs */
	METRIC_LIVE_PSS, /* KB, the same, shared pages counted in shares */
	METRIC_REL,      /* series: wall in 1/1000 of the yardstick run just before it */
	METRIC_PROCS,    /* processes: of the runtime (sample), of the whole series (series) */
	METRIC_FDS,      /* series: open descriptors of all processes of the series */
	METRIC_PSS,      /* series: KB, memory of all processes of the series */
	METRIC_FILES,    /* series: files below the watched directory */
	METRIC_MOUNTS,   /* series: mounts in the harness's mount namespace */
	METRIC_COUNT,
};

struct step {
	enum stage stage;
	enum step_kind kind;
	const char *file; /* wait: pid file; spawn: fifo; else NULL */
	char **argv;      /* with the end mark; empty for wait, sample and join */
};

struct row {
	const char *name;
	int ns_fd;       /* mount namespace to enter before exec, or -1 */
	const char *log; /* the runtime's log file, shown when the row fails, or NULL */
	struct step steps[MAX_STEPS];
	size_t step_count;
	size_t series;                /* calls of a series, 0 = part of the interleaved rounds */
	char **yardstick;             /* series: command timed before each call, or NULL */
	char standing_id[ID_LEN + 1]; /* @CID@ */
	pid_t spawned;                /* 0 = none */
	bool begun;
	int64_t *values[METRIC_COUNT]; /* count values each, or NULL; set by row_load_values() */
	size_t count;
	int values_fd; /* memfd: the values while the passes run, or -1 */
	bool recorded[METRIC_COUNT];
	int64_t left[METRIC_COUNT]; /* series: what the end found more than the beginning */
	char failure[512];          /* empty = the row is valid */
};

struct baseline {
	enum metric metric;
	const char *row;
	const char *label;
};

struct goal {
	const char *row;
	const char *
		metric; /* a metric's name, maybe with .over, .drift, .growth or .left; time.drift */
	const char *base; /* row to divide by, with .over to subtract, or "-" */
	double limit;
};

struct pass {
	const char *name;
	const char *title;
	char load[32];     /* the three load averages when the pass began */
	const char *watch; /* directory whose files are counted, or NULL */
	struct row *rows;
	size_t row_count;
	struct baseline baselines[MAX_BASELINES];
	size_t baseline_count;
	struct goal goals[MAX_GOALS];
	size_t goal_count;
};

struct note {
	const char *key;
	const char *value;
};

struct plan {
	struct note notes[MAX_NOTES];
	size_t note_count;
	struct pass passes[MAX_PASSES];
	size_t pass_count;
};

enum format { FORMAT_TEXT, FORMAT_MARKDOWN, FORMAT_JSON };

/* ---- harness_plan.c ---- */

/*
 * Reads the plan. All strings of the plan live in a buffer that is never freed. Returns 0, or
 * -EINVAL after a message on ERR that names the line, or -errno.
 */
int plan_read(struct plan *plan, const char *path, FILE *err);

extern const char *const metric_names[METRIC_COUNT];

/* ---- harness_proc.c ---- */

/* What wait4(2) reports for one command: see bench/README.md, "Memory". */
struct usage {
	int64_t wall_ns; /* from before clone(2) until wait4(2) has returned */
	int64_t cpu_ns;
	int64_t rss_kb;
};

/* Memory and descriptors of a set of processes at one moment. */
struct census {
	int64_t procs;
	int64_t fds;
	int64_t rss_kb;
	int64_t pss_kb;
};

/* Blocks nothing, installs the handlers for INT, TERM and HUP and the clock tick. */
int proc_init(void);

/* Whether a signal asked the harness to end. */
bool proc_interrupted(void);

/*
 * Starts argv[0] by vfork and execve in its own process group, with PDEATHSIG=KILL (as BuildKit
 * starts a runtime), after joining the mount namespace ns_fd unless it is -1. Returns the pid or
 * -errno, execve's included.
 */
pid_t proc_spawn(char *const *argv, int ns_fd);

/*
 * Waits for a command that proc_spawn() started; kills it after a minute or when a signal asked
 * the harness to end. Returns the wait status (>= 0), or -errno. ret_usage may be NULL.
 */
int proc_wait(pid_t pid, int64_t start_ns, struct usage *ret_usage);

/* proc_spawn() and proc_wait(). */
int proc_run(char *const *argv, int ns_fd, struct usage *ret_usage);

/*
 * Waits until FIFO can be read, and empties it. -ESRCH: pid ended first. -ETIMEDOUT: after 20 s.
 */
int proc_wait_ready(const char *fifo, pid_t pid);

/* Waits until the process named in PIDFILE has ended. 0, also when it is gone; -ETIMEDOUT. */
int proc_wait_pidfile(const char *pidfile);

/* Waits for orphans that have ended. Leaves the pids in rows' spawned alone. */
void proc_reap_orphans(const struct pass *pass);

/*
 * Kills whatever is still a child of the harness, by pid. Returns how many there were; their names
 * are a text in ret_names, as many as have room.
 */
int proc_sweep(char *ret_names, size_t size);

/*
 * Counts ROOT's descendants. with_root counts ROOT too; with_payload counts processes in another
 * pid namespace, which are the payload's, too.
 */
int proc_census(pid_t root, bool with_root, bool with_payload, struct census *ret_census);

/* Number of files below DIR, or 0 when it cannot be read. */
int64_t count_files(const char *dir);

/* Number of lines of a file of /proc. */
int64_t count_lines(const char *path);

/* CLOCK_MONOTONIC, ns. */
int64_t now_ns(void);

/* ---- harness_stats.c ---- */

struct summary {
	double median;
	double min;
	double p90;
	double slope; /* per call, Theil-Sen: the median of the slopes of all pairs of points */
};

/* Of count > 0 values. False when memory is exhausted. */
bool stats_summary(const int64_t *values, size_t count, bool with_slope,
		   struct summary *ret_summary);

struct row *pass_find_row(const struct pass *pass, const char *name);

/* The row's median of a metric; false when it has none or is void. */
bool row_median(const struct row *row, enum metric metric, double *ret_value);

enum verdict { VERDICT_MET, VERDICT_MISSED, VERDICT_UNKNOWN };
enum verdict goal_check(const struct pass *pass, const struct goal *goal, double *ret_value);

/* ---- harness_report.c ---- */
void report_print(const struct plan *plan, enum format format, size_t runs, FILE *out);
