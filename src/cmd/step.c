/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `step` and `shell`: one step in the foreground, with exactly the engine that the worker uses.
 * As an ordinary user the same command line runs again inside the launcher, which has the ids and
 * may mount.
 */
#include <sys/file.h>
#include <sys/signalfd.h>
#include "base/file.h"
#include "cmd/step.h"
#include "cmd/verbs.h"
#include "worker/job_record.h"
#include "launch/tty_pump.h"

enum { STATUS_TIMEOUT = 124 };

#define OPT(member) offsetof(struct step_options, member)
/* clang-format off */
#define STEP_OPTIONS \
	{"rootfs", 0, OPTION_STRING, OPT(rootfs), "DIR", \
	 "the root file system, used as it is"}, \
	{"lower", 0, OPTION_LIST, OPT(lower), "DIR", \
	 "a layer of the root file system, topmost first"}, \
	{"upper", 0, OPTION_STRING, OPT(upper), "DIR", \
	 "where changes go; without it the root is read-only"}, \
	{"work", 0, OPTION_STRING, OPT(work), "DIR", \
	 "an empty directory on the same file system as --upper"}, \
	{"snapshot", 0, OPTION_STRING, OPT(driver), "auto|native|fuse|bind", \
	 "how layers are stacked"}, \
	{"volatile", 0, OPTION_FLAG, OPT(throw_away), NULL, \
	 "do not sync the upper directory: for results that are thrown away"}, \
	{"read-only", 0, OPTION_FLAG, OPT(read_only), NULL, \
	 "mount the root read-only"}, \
	{"mount", 0, OPTION_LIST, OPT(mount), "MOUNT", \
	 "a further mount: src=DIR,dst=DIR[,ro] or type=tmpfs,dst=DIR[,size=N]"}, \
	{"net", 0, OPTION_STRING, OPT(net), "none|host|slirp4netns", \
	 "the step's network; default: none"}, \
	{"cidr", 0, OPTION_STRING, OPT(cidr), "NETWORK/BITS", \
	 "addresses of --net=slirp4netns; default: 10.0.2.0/24"}, \
	{"user", 'u', OPTION_STRING, OPT(user), "USER[:GROUP]", \
	 "names or numbers"}, \
	{"env", 'e', OPTION_LIST, OPT(env), "NAME=VALUE", \
	 "a variable"}, \
	{"cwd", 0, OPTION_STRING, OPT(cwd), "DIR", \
	 "the working directory"}, \
	{"hostname", 0, OPTION_STRING, OPT(hostname), "NAME", \
	 "the host name"}, \
	{"memory", 0, OPTION_STRING, OPT(memory), "SIZE", \
	 "at most this much memory, where cgroups allow it"}, \
	{"pids", 0, OPTION_U32, OPT(pids), "N", \
	 "at most this many processes, likewise"}, \
	{"seccomp", 0, OPTION_STRING, OPT(seccomp), "default|none", \
	 "the filter of system calls"}, \
	{"insecure", 0, OPTION_FLAG, OPT(insecure), NULL, \
	 "every capability there is, no masks, no filter"}, \
	{"timeout", 0, OPTION_STRING, OPT(timeout), "TIME", \
	 "end the step after this time (90, 500ms, 15m, 1h); status 124"}, \
	{"record", 0, OPTION_STRING, OPT(record), "never|failure|always", \
	 "keep the description for 'replay'"}, \
	{"record-env", 0, OPTION_FLAG, OPT(record_env), NULL, \
	 "with the values of all variables"}, \
	{"quiet", 'q', OPTION_FLAG, OPT(quiet), NULL, \
	 "no progress and no summary"}, \
	{"print", 0, OPTION_FLAG, OPT(print), NULL, \
	 "print the description as a worker takes it, and do nothing"}
/* clang-format on */

static const struct option_entry step_option_table[] = {
	STEP_OPTIONS,
	{"tty", 't', OPTION_FLAG, OPT(tty), NULL, "give the step a terminal"},
	{"changes", 0, OPTION_FLAG, OPT(changes), NULL,
	 "list what the step changed in --upper, on standard error"},
	{"json", 0, OPTION_FLAG, OPT(json), NULL,
	 "the summary as one line of JSON, on standard error"},
	OPTION_END,
};

static const struct option_entry shell_option_table[] = {STEP_OPTIONS, OPTION_END};

struct foreground {
	const struct json_node *node; /* the description */
	const struct step_run *run;
	struct engine engine;
	struct job job;
	struct step step;
	struct step_progress progress;
	struct tty_pump pump;
	bool terminal; /* the pump runs */
	int signals;
	int64_t kill_at_us; /* 0: not asked to end */
	int early[8];       /* signals from before its program was known to run */
	size_t n_early;
	bool daemon_died;
	struct rb_err daemon_err;
	const char *record; /* its id, once it is written */
};

static void block_signals(sigset_t *set)
{
	static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};

	sigfillset(set);
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		sigdelset(set, own[i]);
	(void)sigprocmask(SIG_BLOCK, set, NULL);
}

/* The program may have said that it runs before its set-up was told to have ended. */
static void send_signal(struct foreground *f, int sig)
{
	if (f->job.state < JOB_RUNNING && f->n_early < ARRAY_LEN(f->early))
		f->early[f->n_early++] = sig;
	else
		(void)job_signal(&f->job, sig, JOB_INIT);
}

/* Asked to end: TERM first, KILL after the grace time; asked again: KILL. */
static void end_step(struct foreground *f, int sig)
{
	int64_t now = sys_now_us();

	send_signal(f, f->kill_at_us ? SIGKILL : sig);
	f->kill_at_us = now + (int64_t)f->step.grace_ms * 1000;
}

static void take_signals(struct foreground *f)
{
	struct signalfd_siginfo info;

	while (read(f->signals, &info, sizeof(info)) == sizeof(info)) {
		int sig = (int)info.ssi_signo;

		if (sig == SIGCHLD || sig == SIGPIPE || sig == SIGTSTP || sig == SIGCONT)
			continue;
		if (sig == SIGWINCH && f->terminal)
			(void)tty_pump_size(f->pump.master);
		else if (sig == SIGINT || sig == SIGTERM || sig == SIGHUP || sig == SIGQUIT) {
			f->job.cancelled = true;
			end_step(f, sig);
		} else {
			send_signal(f, sig);
		}
	}
}

static void check_time(struct foreground *f, int64_t now)
{
	int64_t limit = f->job.started_us + (int64_t)f->step.timeout_ms * 1000;

	if (f->job.state != JOB_RUNNING)
		return;
	if (f->kill_at_us && now >= f->kill_at_us) {
		(void)job_signal(&f->job, SIGKILL, JOB_INIT);
	} else if (f->step.timeout_ms && now >= limit && !f->job.timed_out) {
		f->job.timed_out = true;
		end_step(f, SIGTERM);
	}
}

/* Milliseconds until something is due; -1: nothing. */
static int next_timeout(const struct foreground *f, int64_t snapshot_ms)
{
	int64_t due = snapshot_ms == INT64_MAX ? INT64_MAX : snapshot_ms * 1000;
	int64_t now = sys_now_us();

	if (f->job.state == JOB_RUNNING && f->kill_at_us && f->kill_at_us < due)
		due = f->kill_at_us;
	if (f->job.state == JOB_RUNNING && f->step.timeout_ms && !f->job.timed_out &&
	    f->job.started_us + (int64_t)f->step.timeout_ms * 1000 < due)
		due = f->job.started_us + (int64_t)f->step.timeout_ms * 1000;
	if (f->progress.on && f->job.state == JOB_RUNNING && now + 500000 < due)
		due = now + 500000;
	if (due == INT64_MAX)
		return -1;
	return due <= now ? 0 : (int)((due - now) / 1000 + 1);
}

/* One turn of the loop: everything that can happen to the step and its streams. */
static void wait_once(struct foreground *f)
{
	struct pollfd fds[JOB_POLL + 6];
	int64_t snapshot_ms = INT64_MAX;
	size_t n = job_poll(&f->job, fds, &snapshot_ms);
	size_t signals = n++;
	size_t streams = n;

	fds[signals] = (struct pollfd){.fd = f->signals, .events = POLLIN};
	if (f->terminal) {
		tty_pump_poll(&f->pump, fds + n);
		n += 3;
	}
	n += step_progress_poll(&f->progress, fds + n);
	if (poll(fds, n, next_timeout(f, snapshot_ms)) < 0)
		return; /* EINTR, ENOMEM: nothing is lost by asking again */
	if (fds[signals].revents)
		take_signals(f);
	if (f->terminal)
		tty_pump_copy(&f->pump, fds + streams);
	else
		step_progress_copy(&f->progress, fds + streams);
	check_time(f, sys_now_us());
	f->daemon_died |= !f->daemon_died && job_check_daemons(&f->job, &f->daemon_err);
	step_progress_tick(&f->progress, &f->job);
}

static int open_streams(struct foreground *f, struct rb_err *err)
{
	int r = 0;

	for (int i = 0; i < 3; i++)
		f->job.stdio[i] = -1;
	f->progress = (struct step_progress){.pipes = {-1, -1}};
	if (!f->step.spec.process.terminal && !f->run->quiet)
		r = step_progress_begin(&f->progress, f->job.stdio);
	f->job.own_stdio[1] = f->job.own_stdio[2] = f->progress.on;
	for (int i = 0; r == 0 && i < 3; i++) {
		if (f->job.stdio[i] < 0)
			f->job.stdio[i] = sys_fcntl(i, F_DUPFD_CLOEXEC, 3);
		if (f->job.stdio[i] == -EBADF) /* our caller closed it */
			f->job.stdio[i] = sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);
		if (f->job.stdio[i] < 0)
			r = f->job.stdio[i];
	}
	return r < 0 ? err_set(err, RB_SETUP_STEP, -r, "cannot open the step's streams") : 0;
}

static int run_loop(struct foreground *f, struct rb_err *err)
{
	int r = job_begin(&f->job, err);

	if (f->job.warning)
		log_warn("%s", f->job.warning);
	while (r == 0 && (r = job_advance(&f->job, err)) == 0)
		wait_once(f);
	if (r < 0)
		return r;
	for (size_t i = 0; i < f->n_early; i++)
		(void)job_signal(&f->job, f->early[i], JOB_INIT);
	if (f->step.spec.process.terminal) {
		tty_pump_begin(&f->pump, f->job.launch.tty_master);
		f->terminal = true;
	}
	while (!job_reap(&f->job))
		wait_once(f);
	if (f->terminal) {
		tty_pump_drain(&f->pump);
		tty_pump_end(&f->pump);
	}
	step_progress_end(&f->progress);
	while (!job_poststop(&f->job))
		wait_once(f);
	r = job_finish(&f->job, err);
	if (r < 0 || !f->daemon_died)
		return r;
	*err = f->daemon_err;
	return -EIO;
}

static int64_t cpu_us(struct timeval time)
{
	return (int64_t)time.tv_sec * 1000000 + time.tv_usec;
}

static void summary_line(const struct foreground *f, struct strbuf *out)
{
	const struct job *job = &f->job;
	int64_t wall = job->ended_us - job->started_us;

	strbuf_add(out, "runbuild: ");
	if (job->timed_out)
		strbuf_add(out, "timed out, ");
	else if (job->cancelled)
		strbuf_add(out, "cancelled, ");
	if (job->signal)
		strbuf_printf(out, "killed by %s",
			      sigabbrev_np(job->signal) ? sigabbrev_np(job->signal) : "a signal");
	else
		strbuf_printf(out, "exit %d", job->code);
	strbuf_printf(
		out,
		" in %.3f s (cpu %.3f s user, %.3f s system; memory %.1f MiB; set up in %.1f ms",
		(double)wall / 1e6, (double)cpu_us(job->usage.ru_utime) / 1e6,
		(double)cpu_us(job->usage.ru_stime) / 1e6, (double)job->usage.ru_maxrss / 1024,
		(double)(job->started_us - job->began_us) / 1e3);
	if (job->has_figures && job->figures.oom_kills)
		strbuf_printf(out, "; out of memory: %" PRIu64 " killed", job->figures.oom_kills);
	if (job->driver)
		strbuf_printf(out, "; snapshot %s", job->driver);
	strbuf_add(out, ")\n");
}

void step_changes_text(struct arena *arena, const char *json, struct strbuf *out)
{
	const struct json_node *array;

	if (json_parse(arena, "changes", json, strlen(json), &array, NULL) < 0)
		return;
	JSON_FOREACH (item, array) {
		const struct json_node *kind = json_member(item, "kind");
		const struct json_node *path = json_member(item, "path");

		if (kind && path)
			strbuf_printf(out, "%s /%s\n", kind->text, path->text);
	}
}

static void print_results(struct foreground *f)
{
	CLEANUP_STRBUF struct strbuf out = {0};
	CLEANUP_STRBUF struct strbuf changes = {0};
	struct rb_err err = {0};

	if (f->run->changes && job_changes(&f->job, NULL, SIZE_MAX, &changes, &err) < 0)
		log_warn("%s", err.what);
	if (f->run->json) {
		strbuf_add_char(&out, '{');
		job_result(&f->job, &out);
		if (f->run->changes && !changes.failed && changes.len && !err.code)
			strbuf_printf(&out, ",%s", changes.text);
		if (f->record) {
			strbuf_add(&out, ",\"record\":");
			strbuf_add_json(&out, f->record);
		}
		strbuf_add(&out, "}\n");
	} else {
		if (f->run->changes && !changes.failed && changes.len && !err.code)
			step_changes_text(&f->job.arena, changes.text + strlen("\"changes\":"),
					  &out);
		if (!f->run->quiet)
			summary_line(f, &out);
		if (!f->run->quiet && f->record)
			strbuf_printf(&out, "runbuild: recorded: runbuild replay %s\n", f->record);
	}
	if (!out.failed && out.len)
		(void)fd_write_all(STDERR_FILENO, out.text, out.len);
}

static int exit_status(const struct job *job)
{
	if (job->timed_out)
		return STATUS_TIMEOUT;
	return job->signal ? 128 + job->signal : job->code;
}

static void keep_upper(struct foreground *f, int record)
{
	const struct step_snapshot *snapshot = f->step.root_snapshot;
	int r = snapshot && snapshot->upper ? record_keep_upper(record, snapshot->upper) : 0;

	if (r < 0)
		log_warn("the record only names the upper directory '%s', without a copy: %s",
			 snapshot->upper, record_keep_text(-r));
}

static int keep_record(struct foreground *f, struct rb_err *err)
{
	struct arena *arena = &f->job.arena;
	CLEANUP_FD int records = -1;
	CLEANUP_FD int record = -1;
	const char *path;
	const char *id = NULL;
	int r = record_write(arena, f->node, f->run->record_env, &f->job, &id, err);

	if (r < 0 || (records = records_open(arena, &path, err)) < 0)
		return r < 0 ? r : records;
	record = record_lock(records, id, LOCK_SH);
	if (record < 0)
		return record_error(err, -record, "cannot use the record", id);
	keep_upper(f, record);
	f->record = id;
	return records_prune(arena, records, LIMIT_RECORDS_KEPT, LIMIT_RECORDS_BYTES, err);
}

static int run_engine(struct foreground *f, struct rb_err *err)
{
	int r;

	if ((r = open_streams(f, err)) < 0)
		return r;
	r = run_loop(f, err);
	if (r < 0) {
		job_abandon(&f->job);
		if (err->code == RB_EXEC_NOT_FOUND || err->code == RB_EXEC_PERMISSION) {
			log_error(err);
			return err->code == RB_EXEC_NOT_FOUND ? 127 : 126;
		}
		return r;
	}
	if (f->job.driver_why && str_starts(f->job.driver, "fuse") && !f->run->quiet)
		log_warn("snapshot %s", f->job.driver_why);
	if (f->run->record == STEP_ALWAYS ||
	    (f->run->record == STEP_FAILURE && !job_is_ok(&f->job)))
		r = keep_record(f, err);
	print_results(f);
	job_drop_upper(&f->job);
	return r < 0 ? r : exit_status(&f->job);
}

static int parse_description(struct foreground *f, struct rb_err *err)
{
	struct step_unknown unknown;
	int r = json_parse(&f->job.arena, "step", f->run->text, f->run->len, &f->node, err);

	return r < 0 ? r : step_parse(&f->job.arena, f->node, 0, &f->step, &unknown, err);
}

int step_run(const struct step_run *run, struct rb_err *err)
{
	CLEANUP_FREE struct foreground *f = calloc(1, sizeof(*f));
	sigset_t set;
	int r;

	if (!f)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "step");
	f->run = run;
	for (size_t i = 0; i < ARRAY_LEN(f->job.fds); i++)
		f->job.fds[i] = -1;
	r = parse_description(f, err);
	if (r == 0)
		r = engine_open(&f->engine, run->globals->root, run->scratch, err);
	if (r < 0) {
		job_free(&f->job);
		return r;
	}
	/* before anything exists that a signal could orphan */
	block_signals(&set);
	f->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	job_init(&f->job, &f->engine, &f->step);
	r = run_engine(f, err);
	fd_close(&f->signals);
	job_free(&f->job);
	engine_close(&f->engine);
	return r;
}

static int record_choice(const char *word, enum step_keep *ret, struct rb_err *err)
{
	static const char *const words[] = {"never", "failure", "always"};

	*ret = STEP_NEVER;
	for (size_t i = 0; word && i < ARRAY_LEN(words); i++) {
		if (str_eq(word, words[i])) {
			*ret = (enum step_keep)i;
			return 0;
		}
	}
	if (!word)
		return 0;
	err_set(err, RB_USAGE, 0, "--record: unknown choice '%.40s'", word);
	err_fix(err, "use never, failure or always");
	return -EINVAL;
}

static int step_main(struct arena *arena, const struct globals *globals, const void *arguments,
		     int argc, char **argv, struct rb_err *err)
{
	const struct step_options *options = arguments;
	CLEANUP_STRBUF struct strbuf text = {0};
	struct step_run run = {
		.globals = globals,
		.changes = options->changes,
		.json = options->json,
		.quiet = options->quiet,
		.record_env = options->record_env,
	};
	int r = record_choice(options->record, &run.record, err);

	(void)argc;
	if (r < 0 || (r = step_spec_text(arena, options, argv, &text, err)) < 0)
		return r;
	if (options->print) {
		strbuf_add_char(&text, '\n');
		return print_all(&text, err);
	}
	r = step_nest(arena, globals, err);
	if (r != -EAGAIN)
		return r;
	run.text = text.text;
	run.len = text.len;
	return step_run(&run, err);
}

/* An interactive shell in the sandbox of a step. */
static int shell_main(struct arena *arena, const struct globals *globals, const void *arguments,
		      int argc, char **argv, struct rb_err *err)
{
	struct step_options options = *(const struct step_options *)arguments;
	char *shell[] = {(char[]){"/bin/sh"}, NULL};
	struct option_list env = options.env;
	const char **v = arena_array(arena, env.n + 2, sizeof(*v));

	if (!v)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "environment");
	v[0] = "TERM=xterm-256color";
	for (size_t i = 0; i < env.n; i++)
		v[i + 1] = env.v[i];
	options.env = (struct option_list){.v = v, .n = env.n + 1};
	options.tty = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	return step_main(arena, globals, &options, argc, argc ? argv : shell, err);
}

const struct verb verb_step = {
	.name = "step",
	.summary = "run one build step in a sandbox and wait for it",
	.args = "-- COMMAND [ARGUMENT...]",
	.min_args = 1,
	.max_args = -1,
	.options = step_option_table,
	.options_size = sizeof(struct step_options),
	.error_status = 125,
	.run = step_main,
};

const struct verb verb_shell = {
	.name = "shell",
	.summary = "open an interactive shell in the sandbox of a step",
	.args = "[-- COMMAND [ARGUMENT...]]",
	.max_args = -1,
	.options = shell_option_table,
	.options_size = sizeof(struct step_options),
	.error_status = 125,
	.run = shell_main,
};
