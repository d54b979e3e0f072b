/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of the worker: from the request to the answer, with everything that is told in between.
 * For each: `started` before output, ends of streams and `exited`; all of these before the answer.
 * A signal or cancel that comes before the start is kept; KILL ends the step then.
 */
#include "base/log.h"
#include "worker/worker_private.h"

enum { NOT_ASKED = 0 };

struct run *run_find(struct worker *worker, const struct connection *owner, const char *name)
{
	for (struct run *run = worker->runs; run; run = run->next)
		if (!run->dead && str_eq(run->step.id, name) && (!owner || run->owner == owner))
			return run;
	return NULL;
}

static void close_streams(struct run *run)
{
	for (size_t i = 0; i < ARRAY_LEN(run->streams); i++)
		fd_close(&run->streams[i].fd);
	fd_close(&run->input.fd);
}

void run_free(struct run *run)
{
	close_streams(run);
	free(run->input.bytes);
	job_free(&run->job);
	free(run);
}

static void run_done(struct run *run)
{
	run->dead = true;
	run->worker->steps_done++;
	close_streams(run);
}

/* The request failed before its program ran. */
static void run_fail(struct run *run, enum worker_kind kind, const struct rb_err *err,
		     const struct step_unknown *unknown)
{
	if (run->owner)
		connection_error(run->owner, run->id, kind, err, unknown);
	run_done(run);
}

void run_abandon(struct run *run)
{
	keeper_end(run);
	job_abandon(&run->job);
	run_done(run);
}

static void fail_cancelled(struct run *run)
{
	struct rb_err err = {0};

	job_abandon(&run->job);
	err_set(&err, RB_STEP_CANCELLED, 0, "the step was ended before its program was started%s%s",
		run->cancel_reason ? ": " : "", run->cancel_reason ? run->cancel_reason : "");
	run_fail(run, KIND_CANCELLED, &err, NULL);
}

/* Pipes, sockets, terminals and files may be streams; fstat(2) tells. */
static int take_stream(struct call *call, int index, int *ret_fd, struct rb_err *err)
{
	struct stat st;

	if (fstat(call->fds[index], &st) < 0 || !(S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) ||
						  S_ISCHR(st.st_mode) || S_ISREG(st.st_mode))) {
		err_set(err, RB_STEP_FDS, 0, "descriptor %d cannot be a stream", index);
		err_fix(err, "send a pipe, a socket, a terminal or a file");
		return -EINVAL;
	}
	*ret_fd = fd_take(&call->fds[index]);
	return 0;
}

/* A pipe of which the step gets one end. number 0: for its input. */
static int make_pipe(struct run *run, int number, struct rb_err *err)
{
	int ends[2];
	int ours = number == 0 ? 1 : 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, RB_SETUP_STEP, errno, "cannot make a pipe");
	(void)fcntl(ends[ours], F_SETFL, O_NONBLOCK);
	run->job.stdio[number] = ends[!ours];
	run->job.own_stdio[number] = true;
	if (number == 0) {
		run->input.fd = ends[ours];
		run->input.ours = true;
	} else {
		run->streams[number - 1].fd = ends[ours];
		run->streams[number - 1].ours = true;
	}
	return 0;
}

/* 0, 1 and 2 are the slave side of a terminal that the peer keeps. */
static int open_console(struct run *run, struct call *call, struct rb_err *err)
{
	int index = run->step.io.console;
	int *stdio = run->job.stdio;

	if (!isatty(call->fds[index])) {
		err_set(err, RB_STEP_FDS, ENOTTY, "descriptor %d is not a terminal", index);
		err_fix(err, "send the slave side of a pty: pts(4)");
		return -ENOTTY;
	}
	stdio[0] = fd_take(&call->fds[index]);
	stdio[1] = sys_fcntl(stdio[0], F_DUPFD_CLOEXEC, 3);
	stdio[2] = sys_fcntl(stdio[0], F_DUPFD_CLOEXEC, 3);
	return stdio[1] < 0 || stdio[2] < 0 ? err_set(err, RB_SETUP_STEP, EMFILE, "terminal") : 0;
}

/* *null: the number of a stream that is the null device; -1: none is yet. */
static int open_stream(struct run *run, struct call *call, int number, int *null,
		       struct rb_err *err)
{
	const struct step_io *io = &run->step.io;
	bool in_band = io->in_band && !run->step.spec.process.terminal;

	if (io->fds[number] != STEP_NO_FD)
		return take_stream(call, io->fds[number], &run->job.stdio[number], err);
	if (number == 2 && io->merge && !run->step.spec.process.terminal) {
		run->job.stdio[2] = sys_fcntl(run->job.stdio[1], F_DUPFD_CLOEXEC, 3);
		return run->job.stdio[2] < 0 ? err_set(err, RB_SETUP_STEP, EMFILE, "stderr") : 0;
	}
	if (in_band && (number != 0 || io->wants_stdin))
		return make_pipe(run, number, err);
	/* one for all streams of a step, but never one for several steps */
	run->job.stdio[number] = *null >= 0 ? sys_fcntl(run->job.stdio[*null], F_DUPFD_CLOEXEC, 3)
					    : sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);
	*null = number;
	return run->job.stdio[number] < 0
		       ? err_set(err, RB_SETUP_STEP, -run->job.stdio[number], "/dev/null")
		       : 0;
}

static int open_streams(struct run *run, struct call *call, struct rb_err *err)
{
	bool console = run->step.io.console != STEP_NO_FD;
	int r = console ? open_console(run, call, err) : 0;
	int null = -1;

	for (int i = 0; r == 0 && !console && i < 3; i++)
		r = open_stream(run, call, i, &null, err);
	/* what is left belongs to mounts, networks and filters */
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(call->fds); i++)
		run->job.fds[i] = fd_take(&call->fds[i]);
	return r;
}

static struct run *run_new(struct call *call)
{
	struct worker *worker = call->connection->worker;
	struct run *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	run->worker = worker;
	run->owner = call->connection;
	run->streams[0].fd = run->streams[1].fd = run->input.fd = run->keeper = -1;
	run->kill_us = run->timeout_us = run->orphan_us = run->sample_us = INT64_MAX;
	for (size_t i = 0; i < ARRAY_LEN(run->job.fds); i++)
		run->job.fds[i] = -1;
	for (size_t i = 0; i < 3; i++)
		run->job.stdio[i] = -1;
	/* the description lives as long as the step */
	run->job.arena = *call->arena;
	*call->arena = (struct arena){0};
	run->id = call->message.id;
	run->params = call->message.params;
	run->next = worker->runs;
	worker->runs = run;
	worker->n_runs++;
	return run;
}

static bool may_start(struct call *call, struct rb_err *err, enum worker_kind *ret_kind)
{
	struct worker *worker = call->connection->worker;
	const char *text = NULL;

	if (worker->stopping) {
		*ret_kind = KIND_SHUTTING_DOWN;
		text = "the worker is shutting down";
	} else if (worker->n_runs >= MAX_STEPS) {
		*ret_kind = KIND_TOO_MANY_STEPS;
		text = "64 steps are running";
	}
	if (text)
		err_set(err, RB_OK, 0, "%s", text);
	return text == NULL;
}

static bool name_is_free(struct run *run, struct rb_err *err)
{
	for (struct run *other = run->worker->runs; other; other = other->next) {
		if (other == run || other->dead || !other->step.id ||
		    !str_eq(other->step.id, run->step.id))
			continue;
		err_set(err, RB_OK, 0, "a step called \"%s\" is running", run->step.id);
		return false;
	}
	return true;
}

static void run_launch(struct run *run, struct call *call)
{
	struct rb_err err = {0};
	int r;

	job_init(&run->job, &run->worker->engine, &run->step);
	if (!name_is_free(run, &err)) {
		run_fail(run, KIND_DUPLICATE_STEP, &err, NULL);
		return;
	}
	r = open_streams(run, call, &err);
	if (r == 0)
		r = job_begin(&run->job, &err);
	if (r < 0) {
		job_abandon(&run->job);
		run_fail(run, kind_of(&err), &err, NULL);
		return;
	}
	if (run->job.driver_why && str_starts(run->job.driver, "fuse"))
		connection_warn(run->owner, run->step.id, "snapshot", run->job.driver_why);
	if (run->job.warning)
		connection_warn(run->owner, run->step.id, "net", run->job.warning);
	run_turn(run);
}

void run_start(struct call *call)
{
	const struct json_node *params = call->message.params;
	static const struct json_node nothing = {.type = JSON_OBJECT};
	struct step_unknown unknown = {.n = 0};
	enum worker_kind kind = KIND_INTERNAL;
	struct rb_err err = {0};
	struct run *run;

	if (!may_start(call, &err, &kind) || !(run = run_new(call))) {
		connection_error(call->connection, call->message.id, kind, &err, NULL);
		return;
	}
	if (step_parse(&run->job.arena, params ? params : &nothing, call->message.n_fds, &run->step,
		       &unknown, &err) < 0) {
		run->step.id = NULL;
		job_abandon(&run->job);
		run_fail(run, kind_of(&err), &err, &unknown);
		return;
	}
	run_launch(run, call);
}

void run_exec(struct call *call)
{
	const struct json_node *name = json_member(call->message.params, "step");
	struct connection *c = call->connection;
	struct run *inside = name && name->type == JSON_STRING ? run_find(c->worker, c, name->text)
							       : NULL;
	struct step_unknown unknown = {.n = 0};
	enum worker_kind kind = KIND_NO_SUCH_STEP;
	struct rb_err err = {0};
	struct run *run;

	err_set(&err, RB_OK, 0, "no such step is running here");
	if (!inside || inside->job.inside || inside->job.state != JOB_RUNNING ||
	    !may_start(call, &err, &kind) || !(run = run_new(call))) {
		connection_error(c, call->message.id, kind, &err, NULL);
		return;
	}
	if (step_parse_exec(&run->job.arena, call->message.params, call->message.n_fds, &run->step,
			    &unknown, &err) < 0) {
		run->step.id = NULL;
		job_abandon(&run->job);
		run_fail(run, kind_of(&err), &err, &unknown);
		return;
	}
	run->job.inside = &inside->job;
	run_launch(run, call);
}

static void tell_started(struct run *run)
{
	struct strbuf out = {0};
	int pidfd = -1;

	if (run->owner->wants_fds)
		pidfd = sys_fcntl(run->job.launch.pidfd, F_DUPFD_CLOEXEC, 3);
	if (pidfd >= 0)
		strbuf_add(
			&out,
			"{\"jsonrpc\":\"2.0\",\"fds\":1,\"method\":\"step.started\",\"params\":{");
	else
		notify_begin(&out, "step.started");
	run_add_name(run, &out);
	strbuf_printf(&out, ",\"pid\":%d%s", (int)run->job.launch.pid,
		      pidfd >= 0 ? ",\"pidFd\":0" : "");
	message_end(&out);
	connection_send_soon(run->owner, &out, pidfd);
}

static void tell_exited(struct run *run)
{
	struct strbuf out = {0};

	notify_begin(&out, "step.exited");
	run_add_name(run, &out);
	if (run->job.signal)
		strbuf_printf(&out, ",\"code\":null,\"signal\":\"%s\"",
			      sigabbrev_np(run->job.signal) ? sigabbrev_np(run->job.signal) : "RT");
	else
		strbuf_printf(&out, ",\"code\":%d,\"signal\":null", run->job.code);
	message_end(&out);
	connection_send(run->owner, &out, -1);
	run->exited = true;
}

/* The terminal's master serves as stream 1 and as input. */
static void open_terminal(struct run *run)
{
	int master = run->job.launch.tty_master;

	if (!run->step.spec.process.terminal || master < 0)
		return;
	(void)fcntl(master, F_SETFL, fcntl(master, F_GETFL) | O_NONBLOCK);
	run->streams[0].fd = sys_fcntl(master, F_DUPFD_CLOEXEC, 3);
	run->streams[0].ours = run->streams[0].fd >= 0;
	run->input.fd = sys_fcntl(master, F_DUPFD_CLOEXEC, 3);
	run->input.ours = run->input.fd >= 0;
}

/* What became of a step, with the trace it belongs to. */
static void log_run(struct run *run, const char *what)
{
	const char *trace = run->step.traceparent;

	worker_log(run->worker, WORKER_LOG_INFO,
		   arena_printf(&run->job.arena, "step %s: %s%s%s", run->step.id, what,
				trace ? " " : "", trace ? trace : ""));
}

static void begin_running(struct run *run)
{
	open_terminal(run);
	if (run->step.timeout_ms)
		run->timeout_us = run->job.started_us + (int64_t)run->step.timeout_ms * 1000;
	if (run->step.want_stats)
		run->sample_us = run->job.started_us + SAMPLE_US;
	tell_started(run);
	log_run(run, "started");
	if (run->job.launch.unlimited && !run->job.inside)
		connection_warn(run->owner, run->step.id, "cgroup", run->job.launch.unlimited);
	for (size_t i = 0; i < run->n_signals; i++)
		(void)job_signal(&run->job, run->signals[i], JOB_INIT);
	run->n_signals = 0;
	if (run->input.ours)
		run_write_input(run);
}

static bool streams_ended(const struct run *run)
{
	for (size_t i = 0; i < ARRAY_LEN(run->streams); i++)
		if (run->streams[i].ours && !run->streams[i].ended)
			return false;
	return true;
}

static void add_answer(struct run *run, struct strbuf *out)
{
	struct rb_err err = {0};

	reply_begin(out, run->id);
	job_result(&run->job, out);
	strbuf_printf(out, ",\"output\":{\"1\":%" PRIu64 ",\"2\":%" PRIu64 ",\"truncated\":",
		      run->streams[0].off, run->streams[1].off);
	if (run->truncated)
		strbuf_printf(out, "\"%s\"}", run->truncated);
	else
		strbuf_add(out, "false}");
	if (run->cancel_reason) {
		strbuf_add(out, ",\"reason\":");
		strbuf_add_json(out, run->cancel_reason);
	}
	if (run->step.want_changes) {
		strbuf_add_char(out, ',');
		if (job_changes(&run->job, NULL, 1000, out, &err) < 0)
			worker_log(run->worker, WORKER_LOG_WARN, err.what);
	}
	if (run->record) {
		strbuf_add(out, ",\"record\":");
		strbuf_add_json(out, run->record);
	}
	message_end(out);
}

static void answer(struct run *run)
{
	struct strbuf out = {0};

	log_run(run, "ended");
	add_answer(run, &out);
	job_drop_upper(&run->job);
	connection_send(run->owner, &out, -1);
	run_done(run);
}

/* Nothing of it is left but its upper directory. */
static void release(struct run *run)
{
	struct rb_err err = {0};
	int r = job_finish(&run->job, &err);

	if (r == 0 && !run->daemon_died) {
		keeper_start(run);
		return;
	}
	if (r == 0)
		err = run->daemon_err;
	job_drop_upper(&run->job);
	run_fail(run, err.code == RB_STEP_NET ? KIND_NET : KIND_ROOTFS, &err, NULL);
}

static void check_deadlines(struct run *run, int64_t now)
{
	if (run->job.state == JOB_RUNNING && now >= run->sample_us) {
		run->sample_us = now + SAMPLE_US;
		run_tell_stats(run);
	}
	if (run->job.state == JOB_RUNNING && now >= run->kill_us) {
		run->kill_us = INT64_MAX;
		(void)job_signal(&run->job, SIGKILL, JOB_INIT);
	}
	if (run->job.state == JOB_RUNNING && now >= run->timeout_us) {
		run->timeout_us = INT64_MAX;
		run->job.timed_out = true;
		(void)job_signal(&run->job, SIGTERM, JOB_INIT);
		run->kill_us = now + (int64_t)run->step.grace_ms * 1000;
	}
	if (run->job.state == JOB_ENDED && now >= run->orphan_us) {
		run->orphan_us = INT64_MAX;
		if (streams_ended(run))
			return;
		run->truncated = "orphan";
		for (size_t i = 0; i < ARRAY_LEN(run->streams); i++)
			run->streams[i].ended = true;
	}
}

static void start_further(struct run *run)
{
	struct rb_err err = {0};
	int r = job_advance(&run->job, &err);

	if (r < 0)
		run_fail(run, kind_of(&err), &err, NULL);
	else if (r == 1)
		begin_running(run);
}

void run_turn(struct run *run)
{
	if (run->dead)
		return;
	if (run->job.state == JOB_MOUNTING || run->job.state == JOB_LAUNCHING)
		start_further(run);
	if (run->dead)
		return;
	if (!run->daemon_died && job_check_daemons(&run->job, &run->daemon_err))
		run->daemon_died = true;
	if ((run->job.state == JOB_RUNNING || run->job.state == JOB_CLOSING) &&
	    job_reap(&run->job)) {
		run->orphan_us = sys_now_us() + ORPHAN_US;
		run->sample_us = INT64_MAX;
		tell_exited(run);
		if (run->step.want_stats)
			run_tell_stats(run);
	}
	check_deadlines(run, sys_now_us());
	if (run->job.state == JOB_ENDED && streams_ended(run) && job_poststop(&run->job))
		release(run);
	if (!run->dead && run->job.state == JOB_RELEASED && keeper_is_done(run))
		answer(run);
}

/* As the kernel keeps those of a stopped process: of the standard ones, each once. signal(7) */
static void keep_signal(struct run *run, int sig)
{
	for (size_t i = 0; sig < SIGRTMIN && i < run->n_signals; i++)
		if (run->signals[i] == sig)
			return;
	if (run->n_signals < MAX_SIGNALS)
		run->signals[run->n_signals++] = sig;
}

void run_kill(struct run *run, int sig, enum job_target target)
{
	if (run->job.state == JOB_RUNNING) {
		(void)job_signal(&run->job, sig, target);
	} else if (run->job.state < JOB_RUNNING) {
		if (sig == SIGKILL)
			fail_cancelled(run);
		else
			keep_signal(run, sig);
	}
}

void run_cancel(struct run *run, uint64_t grace_ms, const char *reason)
{
	if (reason && !run->cancel_reason)
		run->cancel_reason = arena_strdup(&run->job.arena, reason);
	if (run->job.state < JOB_RUNNING) {
		fail_cancelled(run);
		return;
	}
	if (run->job.state != JOB_RUNNING)
		return;
	run->job.cancelled = true;
	(void)job_signal(&run->job, grace_ms ? SIGTERM : SIGKILL, JOB_INIT);
	if (grace_ms)
		run->kill_us = sys_now_us() + (int64_t)grace_ms * 1000;
}

static void tell_input_taken(struct run *run)
{
	struct strbuf out = {0};

	notify_begin(&out, "step.ack");
	run_add_name(run, &out);
	strbuf_printf(&out, ",\"fd\":0,\"off\":%" PRIu64, run->input.acked);
	message_end(&out);
	connection_send(run->owner, &out, -1);
}

void run_write_input(struct run *run)
{
	struct input *input = &run->input;
	uint64_t before = input->acked;

	while (input->len > 0 && input->fd >= 0) {
		ssize_t put = write(input->fd, input->bytes, input->len);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && errno == EAGAIN)
			break;
		if (put < 0) /* EPIPE, EIO: the step reads no more; what comes is taken and lost */
			fd_close(&input->fd);
		put = put < 0 ? (ssize_t)input->len : put;
		input->len -= (size_t)put;
		input->acked += (uint64_t)put;
		memmove(input->bytes, input->bytes + put, input->len);
	}
	if (input->fd < 0 && input->len > 0) {
		input->acked += input->len;
		input->len = 0;
	}
	if (input->acked != before)
		tell_input_taken(run);
	if (!input->eof || input->len > 0 || input->fd < 0)
		return;
	/* a terminal has no end of input: its end-of-file character does, termios(3) */
	if (run->step.spec.process.terminal)
		(void)!write(input->fd, "\004", 1);
	fd_close(&input->fd);
}

bool run_may_pump(const struct run *run, unsigned number)
{
	const struct stream *stream = &run->streams[number];
	uint64_t window = run->step.io.window;

	return stream->fd >= 0 && !stream->ended && run->job.state >= JOB_RUNNING &&
	       run->job.state <= JOB_ENDED && (window == 0 || stream->off - stream->acked < window);
}

static void send_output(struct run *run, unsigned number, const char *bytes, size_t len, bool last)
{
	struct stream *stream = &run->streams[number];
	struct strbuf out = {0};
	size_t taken;

	notify_begin(&out, "step.output");
	run_add_name(run, &out);
	strbuf_printf(&out, ",\"fd\":%u,\"off\":%" PRIu64 ",", number + 1, stream->off);
	taken = add_output(&out, bytes, len, last);
	message_end(&out);
	stream->off += taken;
	stream->n_carry = len - taken;
	memmove(stream->carry, bytes + taken, stream->n_carry);
	if (taken)
		connection_send(run->owner, &out, -1);
	else
		strbuf_free(&out);
}

/* The first bytes of what is kept of a character. */
static void send_part(struct run *run, unsigned number, const char *bytes, size_t len)
{
	struct stream *stream = &run->streams[number];
	size_t rest = stream->n_carry - len;

	send_output(run, number, bytes, len, true);
	memcpy(stream->carry, bytes + len, rest);
	stream->n_carry = rest;
}

static void end_stream(struct run *run, unsigned number)
{
	struct stream *stream = &run->streams[number];
	struct strbuf out = {0};
	char rest[sizeof(stream->carry)];

	if (stream->n_carry) {
		size_t len = stream->n_carry;

		memcpy(rest, stream->carry, len);
		send_output(run, number, rest, len, true);
	}
	stream->ended = true;
	fd_close(&stream->fd);
	notify_begin(&out, "step.eof");
	run_add_name(run, &out);
	strbuf_printf(&out, ",\"fd\":%u,\"off\":%" PRIu64, number + 1, stream->off);
	message_end(&out);
	connection_send(run->owner, &out, -1);
}

void run_pump(struct run *run, unsigned number)
{
	struct stream *stream = &run->streams[number];
	char bytes[WORKER_OUTPUT_CUT];
	uint64_t window = run->step.io.window;
	uint64_t room = window ? window - (stream->off - stream->acked) : UINT64_MAX;
	size_t most = sizeof(bytes) - stream->n_carry;
	ssize_t got;

	/* a window that ends within a character: its bytes are sent as such */
	if (room <= stream->n_carry) {
		memcpy(bytes, stream->carry, stream->n_carry);
		send_part(run, number, bytes, (size_t)room);
		return;
	}
	if (room - stream->n_carry < most)
		most = (size_t)room - stream->n_carry;
	memcpy(bytes, stream->carry, stream->n_carry);
	got = read(stream->fd, bytes + stream->n_carry, most);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0)
		send_output(run, number, bytes, stream->n_carry + (size_t)got, false);
	else /* EIO of a terminal: nobody has the other side open */
		end_stream(run, number);
}
