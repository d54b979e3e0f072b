/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What `step`, `shell` and `replay` share; private to cmd/. */
#include "cmd/cmd.h"
#include "worker/job.h"

struct step_options {
	const char *rootfs;
	struct option_list lower;
	const char *upper;
	const char *work;
	const char *driver;
	bool throw_away;
	bool read_only;
	struct option_list mount;
	struct option_list env;
	const char *net;
	const char *cidr;
	const char *user;
	const char *cwd;
	const char *hostname;
	const char *seccomp;
	const char *memory;
	const char *cpus;
	uint32_t pids;
	const char *timeout;
	bool tty;
	bool insecure;
	bool changes;
	bool json;
	bool quiet;
	bool print;
	const char *record;
	bool record_env;
};

/* The step description that the options stand for, as runbuild-protocol(7) has it. */
int step_spec_text(struct arena *arena, const struct step_options *options, char *const *argv,
		   struct strbuf *out, struct rb_err *err);

/* A network's name on the command line in the words of a description; NULL: unknown (RB_USAGE). */
const char *step_net_mode(const char *text, struct rb_err *err);

/* "512", "64k", "100M", "2G": bytes. -EINVAL for anything else. */
int step_parse_size(const char *text, uint64_t *ret);

/* How a step is run in the foreground. */
struct step_run {
	const struct globals *globals;
	const char *text; /* the description */
	size_t len;
	bool changes, json, quiet;
	enum step_keep record;
	bool record_env;
	const char *scratch; /* a directory that goes when we are killed; the caller's otherwise */
};

/* Runs a description to its end. Returns the exit status, or -errno. */
int step_run(const struct step_run *run, struct rb_err *err);

/*
 * step_nest.c: an ordinary user runs the same command line inside the launcher. Returns its
 * status, or -EAGAIN when there is no need: this process may mount.
 */
int step_nest(struct arena *arena, const struct globals *globals, struct rb_err *err);

/* "A path", "M path", "D path": lines for people, from the text of a "changes" array. */
void step_changes_text(struct arena *arena, const char *json, struct strbuf *out);

/* step_progress.c: a status line on the terminal while a step runs, and its output beside it. */
struct step_progress {
	bool on;
	bool shown; /* the line is on the screen */
	bool at_line_start;
	int pipes[2]; /* our ends of the step's output and error */
	pid_t pid;
	int64_t next_us;
};
int step_progress_begin(struct step_progress *progress, int stdio[3]);
size_t step_progress_poll(const struct step_progress *progress, struct pollfd fds[2]);
void step_progress_copy(struct step_progress *progress, const struct pollfd fds[2]);
void step_progress_tick(struct step_progress *progress, const struct job *job);
void step_progress_end(struct step_progress *progress);
