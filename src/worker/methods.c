/* SPDX-License-Identifier: Apache-2.0 */
/* The methods of the protocol: runbuild-protocol(7), "Methods". One handler each. */
#include <ctype.h>
#include <sys/utsname.h>
#include "base/file.h"
#include "base/log.h"
#include "host/helper.h"
#include "worker/worker_private.h"

typedef void handler_fn(struct call *call);

static void send_empty(struct call *call)
{
	struct strbuf out = {0};

	if (!call->message.id)
		return;
	reply_begin(&out, call->message.id);
	message_end(&out);
	connection_send(call->connection, &out, -1);
}

/* An error of a request; of a notification it is a line of the log. */
static void refuse(struct call *call, enum worker_kind kind, const struct rb_err *err)
{
	const struct json_node *step = json_member(call->message.params, "step");

	if (call->message.id)
		connection_error(call->connection, call->message.id, kind, err, NULL);
	else if (step && step->type == JSON_STRING)
		connection_warn(call->connection, step->text, "bad-notification", err->what);
	else
		worker_log(call->connection->worker, WORKER_LOG_WARN,
			   arena_printf(call->arena, "%s: %s", call->message.method, err->what));
}

static void refuse_text(struct call *call, enum worker_kind kind, const char *text)
{
	struct rb_err err = {0};

	err_set(&err, RB_OK, 0, "%s", text);
	refuse(call, kind, &err);
}

/* Refuses unknown members. */
static bool known(struct call *call, const char *names)
{
	struct step_unknown unknown;
	struct rb_err err = {0};

	if (params_known(call->arena, call->message.params, names, &unknown, &err) == 0)
		return true;
	if (call->message.id)
		connection_error(call->connection, call->message.id, KIND_UNKNOWN_MEMBER, &err,
				 &unknown);
	else
		refuse(call, KIND_UNKNOWN_MEMBER, &err);
	return false;
}

/* A member of params, or an error. */
static const char *text_member(struct call *call, const char *key)
{
	const struct json_node *node = json_member(call->message.params, key);

	if (node && node->type == JSON_STRING)
		return node->text;
	return NULL;
}

/* *ret is untouched when the member is absent. */
static bool number_member(struct call *call, const char *key, uint64_t max, uint64_t *ret)
{
	const struct json_node *node = json_member(call->message.params, key);
	struct rb_err err = {0};

	if (!node || json_u64(node, max, ret, &err) == 0)
		return true;
	refuse(call, KIND_INVALID_PARAMS, &err);
	return false;
}

/* The run that params.step names; of any connection's owner it must be ours. */
static struct run *run_of(struct call *call)
{
	const char *name = text_member(call, "step");
	struct run *run = name ? run_find(call->connection->worker, call->connection, name) : NULL;

	if (!name)
		refuse_text(call, KIND_INVALID_PARAMS, "\"step\" is missing");
	else if (!run)
		refuse_text(call, KIND_NO_SUCH_STEP, "no such step is running here");
	return run;
}

static void add_idmap(struct strbuf *out, const struct host_idmap *map)
{
	strbuf_add_char(out, '[');
	for (size_t i = 0; i < map->n; i++)
		strbuf_printf(out, "%s[%u,%u,%u]", i ? "," : "", map->v[i].inside,
			      map->v[i].outside, map->v[i].count);
	strbuf_add_char(out, ']');
}

static void add_features(const struct call *call, struct strbuf *out)
{
	const struct worker *worker = call->connection->worker;
	CLEANUP_FD int fuse = sys_openat(AT_FDCWD, "/dev/fuse", O_RDWR, 0);

	strbuf_add(out, "\"features\":[\"io.inband\",");
	if (call->connection->is_socket && worker->options->lend)
		strbuf_add(out, "\"warm.take\",");
	if (call->connection->is_socket)
		strbuf_add(out, "\"io.fds\",\"net.netns\",\"cgroup.fd\",");
	strbuf_add(
		out,
		"\"eof.drain\",\"tty\",\"net.none\",\"net.host\",\"net.slirp\",\"snap.overlay\",");
	if (fuse >= 0 && helper_find(call->arena, "fuse-overlayfs"))
		strbuf_add(out, "\"snap.fuse\",");
	if (worker->engine.host.cgroup_mode == HOST_CGROUP_V2)
		strbuf_add(out, "\"cgroup2\",");
	if (SYS_CALL(SYS_landlock_create_ruleset, NULL, 0, 1) > 0) /* its version */
		strbuf_add(out, "\"landlock\",");
	strbuf_add(out, "\"seccomp\"]");
}

static bool offers_version_1(const struct json_node *versions)
{
	uint64_t number;

	JSON_FOREACH (item, versions)
		if (item->type == JSON_NUMBER && json_u64(item, UINT32_MAX, &number, NULL) == 0 &&
		    number == 1)
			return true;
	return false;
}

static void method_hello(struct call *call)
{
	struct connection *c = call->connection;
	const struct engine *engine = &c->worker->engine;
	const struct json_node *want = json_member(call->message.params, "want");
	const struct json_node *eof = json_member(call->message.params, "onEof");
	char boot[40] = "";
	struct strbuf out = {0};

	if (!known(call, "versions client want onEof"))
		return;
	if (!offers_version_1(json_member(call->message.params, "versions"))) {
		refuse_text(call, KIND_VERSION, "no version in common: this worker speaks 1");
		return;
	}
	if (eof && (eof->type != JSON_STRING ||
		    (!str_eq(eof->text, "kill") && !str_eq(eof->text, "drain")))) {
		refuse_text(call, KIND_INVALID_PARAMS, "\"onEof\" is neither kill nor drain");
		return;
	}
	c->greeted = true;
	c->drains = eof && str_eq(eof->text, "drain");
	JSON_FOREACH (item, want)
		c->wants_fds |= c->is_socket && item->type == JSON_STRING &&
				str_eq(item->text, "io.fds");
	(void)file_read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", boot, sizeof(boot));
	boot[strcspn(boot, "\n")] = '\0';
	reply_begin(&out, call->message.id);
	strbuf_printf(&out,
		      "\"version\":1,\"server\":\"runbuild/" PACKAGE_VERSION
		      "\",\"workerId\":\"%s\",\"bootId\":\"%s\",",
		      c->worker->worker_id, boot);
	add_features(call, &out);
	strbuf_printf(
		&out,
		",\"limits\":{\"line\":%u,\"depth\":%u,\"steps\":%d,\"args\":%u,\"window\":%u,"
		"\"pending\":%d,\"fds\":%u,\"mounts\":%u},\"ids\":{\"uid\":",
		WORKER_LINE_BYTES, WORKER_JSON_DEPTH, MAX_STEPS, LIMIT_STRING_BYTES, LIMIT_WINDOW,
		MAX_PENDING, LIMIT_MESSAGE_FDS, LIMIT_STEP_MOUNTS);
	add_idmap(&out, &engine->host.uid_map);
	strbuf_add(&out, ",\"gid\":");
	add_idmap(&out, &engine->host.gid_map);
	strbuf_add_char(&out, '}');
	message_end(&out);
	connection_send(c, &out, -1);
}

static void method_ping(struct call *call)
{
	if (known(call, ""))
		send_empty(call);
}

static int signal_number(const char *name)
{
	uint32_t unused;

	(void)unused;
	for (int sig = 1; name && sig < SIGRTMIN; sig++) {
		const char *known_name = sigabbrev_np(sig);

		if (known_name && str_eq(name, known_name))
			return sig;
	}
	return -1;
}

static void method_signal(struct call *call)
{
	static const char *const targets[] = {"init", "group", "all"};
	const char *target = text_member(call, "target");
	int sig = signal_number(text_member(call, "signal"));
	size_t which = 0;
	struct run *run;

	if (!known(call, "step signal target"))
		return;
	while (target && which < ARRAY_LEN(targets) && !str_eq(target, targets[which]))
		which++;
	if (sig < 0 || which == ARRAY_LEN(targets)) {
		refuse_text(call, KIND_INVALID_PARAMS,
			    sig < 0 ? "\"signal\" is not a name of signal(7) without SIG"
				    : "\"target\" is not init, group or all");
		return;
	}
	run = run_of(call);
	if (!run)
		return;
	send_empty(call);
	run_kill(run, sig, (enum job_target)which);
}

static void method_cancel(struct call *call)
{
	const char *reason = text_member(call, "reason");
	uint64_t grace = 0;
	struct run *run;

	if (!known(call, "step graceMs reason") ||
	    !number_member(call, "graceMs", UINT32_MAX, &grace) || !(run = run_of(call)))
		return;
	send_empty(call);
	run_cancel(run, grace, reason);
}

static void method_resize(struct call *call)
{
	uint64_t rows = 0;
	uint64_t cols = 0;
	struct run *run;
	struct {
		unsigned short rows, cols, x, y;
	} size = {0};

	if (!known(call, "step rows cols") || !number_member(call, "rows", UINT16_MAX, &rows) ||
	    !number_member(call, "cols", UINT16_MAX, &cols) || !(run = run_of(call)))
		return;
	if (run->job.launch.tty_master < 0) {
		refuse_text(call, KIND_INVALID_PARAMS, "the step has no terminal");
		return;
	}
	size.rows = (unsigned short)rows;
	size.cols = (unsigned short)cols;
	(void)sys_ioctl(run->job.launch.tty_master, 0x5414 /* TIOCSWINSZ */, (unsigned long)&size);
	send_empty(call);
}

static void method_stdin(struct call *call)
{
	const struct json_node *eof = json_member(call->message.params, "eof");
	struct rb_err err = {0};
	const char *bytes;
	uint64_t off = 0;
	struct input *input;
	struct run *run;
	char *larger;
	size_t len;

	if (!known(call, "step off text data eof") ||
	    !number_member(call, "off", UINT64_MAX >> 11, &off) || !(run = run_of(call)))
		return;
	input = &run->input;
	if (read_input(call->arena, call->message.params, &bytes, &len, &err) < 0) {
		refuse(call, KIND_INVALID_PARAMS, &err);
		return;
	}
	if (!input->ours || input->eof) {
		refuse_text(call, KIND_INVALID_PARAMS, "the step takes no input");
		return;
	}
	if (off != input->off || input->off + len - input->acked > LIMIT_WINDOW) {
		refuse_text(call, KIND_BAD_OFFSET, "input at a wrong offset, or beyond its credit");
		run_cancel(run, 0, "bad-offset");
		return;
	}
	larger = len ? realloc(input->bytes, input->len + len) : input->bytes;
	if (len && !larger) {
		run_cancel(run, 0, "out-of-memory");
		return;
	}
	input->bytes = larger;
	if (len)
		memcpy(input->bytes + input->len, bytes, len);
	input->len += len;
	input->off += len;
	input->eof = eof && eof->type == JSON_BOOL && eof->boolean;
	send_empty(call);
	run_write_input(run);
}

static void method_ack(struct call *call)
{
	uint64_t number = 0;
	uint64_t off = 0;
	const char *name = text_member(call, "step");
	struct connection *c = call->connection;
	struct stream *stream;
	struct run *run;

	/* it was on its way when the step ended: no fault of the peer's */
	if (!call->message.id && name && !run_find(c->worker, c, name))
		return;
	if (!known(call, "step fd off") || !number_member(call, "fd", 2, &number) ||
	    !number_member(call, "off", UINT64_MAX >> 11, &off) || !(run = run_of(call)))
		return;
	stream = number ? &run->streams[number - 1] : NULL;
	if (!stream || !stream->ours || off > stream->off) {
		refuse_text(call, KIND_BAD_OFFSET, "an acknowledgement of what was not sent");
		return;
	}
	if (off > stream->acked)
		stream->acked = off;
	send_empty(call);
}

static void method_list(struct call *call)
{
	const struct worker *worker = call->connection->worker;
	struct strbuf out = {0};
	size_t n = 0;

	if (!known(call, ""))
		return;
	reply_begin(&out, call->message.id);
	strbuf_add(&out, "\"steps\":[");
	for (const struct run *run = worker->runs; run; run = run->next) {
		if (run->dead) /* answered already; its memory goes at the end of the turn */
			continue;
		strbuf_add(&out, n++ ? ",{\"step\":" : "{\"step\":");
		strbuf_add_json(&out, run->step.id);
		strbuf_printf(
			&out,
			",\"state\":\"%s\",\"pid\":%d,\"startedUsec\":%" PRId64 ",\"owner\":%s}",
			run_state_name(run), (int)run->job.launch.pid, run->job.started_wall_us,
			run->owner == call->connection ? "true" : "false");
	}
	strbuf_add_char(&out, ']');
	message_end(&out);
	connection_send(call->connection, &out, -1);
}

static int changes_of(struct call *call, const char *cursor, size_t limit, struct strbuf *out,
		      struct rb_err *err)
{
	struct worker *worker = call->connection->worker;
	const char *id = text_member(call, "id");
	const char *step = text_member(call, "step");
	struct held *held = id ? held_find(worker, call->connection, id) : NULL;
	struct run *run = step ? run_find(worker, call->connection, step) : NULL;

	if ((id != NULL) == (step != NULL)) {
		err_set(err, RB_CONFIG_CONFLICT, 0, "one of \"id\" and \"step\" is needed");
		return -EINVAL;
	}
	if (held)
		return snapshot_changes_json(call->arena, &held->spec, cursor, limit, out, err);
	if (run)
		return job_changes(&run->job, cursor, limit, out, err);
	err_set(err, RB_NOT_RUNNING, 0, "no such snapshot or step here");
	return -ESRCH;
}

static void method_changes(struct call *call)
{
	uint64_t limit = 1000;
	struct rb_err err = {0};
	struct strbuf out = {0};

	if (!known(call, "id step limit cursor") || !number_member(call, "limit", 10000, &limit))
		return;
	reply_begin(&out, call->message.id);
	if (changes_of(call, text_member(call, "cursor"), limit, &out, &err) < 0) {
		strbuf_free(&out);
		refuse(call, err.code == RB_NOT_RUNNING ? KIND_NO_SUCH_STEP : kind_of(&err), &err);
		return;
	}
	message_end(&out);
	connection_send(call->connection, &out, -1);
}

/* Figures of the worker itself, for whoever watches that nothing grows. */
static void worker_stats(const struct worker *worker, struct strbuf *out)
{
	char text[512] = "";
	const char *rss;

	(void)file_read_small(AT_FDCWD, "/proc/self/statm", text, sizeof(text));
	rss = strchr(text, ' ');
	strbuf_printf(out,
		      "\"steps\":%zu,\"stepsDone\":%" PRIu64
		      ",\"connections\":%zu,\"warm\":%zu,\"rssPages\":%.*s,\"pageSize\":%ld",
		      worker->n_runs, worker->steps_done, worker->n_connections,
		      worker->engine.pool ? pool_count(worker->engine.pool) : 0,
		      rss ? (int)strcspn(rss + 1, " ") : 1, rss ? rss + 1 : "0",
		      sysconf(_SC_PAGESIZE));
}

static void method_stats(struct call *call)
{
	const struct json_node *step = json_member(call->message.params, "step");
	struct run *run = NULL;
	struct strbuf out = {0};

	if (!known(call, "step") || (step && !(run = run_of(call))))
		return;
	reply_begin(&out, call->message.id);
	if (run)
		run_stats(run, &out);
	else
		worker_stats(call->connection->worker, &out);
	message_end(&out);
	connection_send(call->connection, &out, -1);
}

static void method_log_level(struct call *call)
{
	static const char *const levels[] = {"none", "error", "warn", "info"};
	const struct json_node *notify = json_member(call->message.params, "notify");
	const char *level = text_member(call, "level");
	size_t which = WORKER_LOG_INFO;

	if (!known(call, "level notify"))
		return;
	if (level)
		for (which = 0; which < ARRAY_LEN(levels) && !str_eq(levels[which], level);)
			which++;
	if (which == ARRAY_LEN(levels) || (notify && notify->type != JSON_BOOL)) {
		refuse_text(call, KIND_INVALID_PARAMS,
			    "\"level\" is none, error, warn or info, \"notify\" a boolean");
		return;
	}
	call->connection->log = notify && notify->boolean ? (enum worker_log)which
							  : WORKER_LOG_NONE;
	send_empty(call);
}

static void method_shutdown(struct call *call)
{
	struct worker *worker = call->connection->worker;
	const char *mode = text_member(call, "mode");

	if (!known(call, "mode"))
		return;
	if (!mode || (!str_eq(mode, "drain") && !str_eq(mode, "now"))) {
		refuse_text(call, KIND_INVALID_PARAMS, "\"mode\" is neither drain nor now");
		return;
	}
	worker->stopping = true;
	worker->stop_us = str_eq(mode, "now") ? sys_now_us() : INT64_MAX;
	send_empty(call);
}

static void method_warm_take(struct call *call)
{
	enum worker_kind kind = KIND_INTERNAL;
	struct rb_err err = {0};

	if (known(call, "net") && !lend_take(call, text_member(call, "net"), &kind, &err))
		refuse(call, kind, &err);
}

static const struct {
	const char *name;
	handler_fn *handler;
	bool may_notify; /* also without an id */
	bool waits;      /* its answer may come later than the next request */
} methods[] = {
	{"hello", method_hello, false, false},
	{"ping", method_ping, false, false},
	{"step.run", run_start, false, true},
	{"step.exec", run_exec, false, true},
	{"step.signal", method_signal, false, false},
	{"step.cancel", method_cancel, false, false},
	{"step.resize", method_resize, true, false},
	{"step.stdin", method_stdin, true, false},
	{"step.ack", method_ack, true, false},
	{"step.list", method_list, false, false},
	{"snapshot.mount", held_mount, false, true},
	{"snapshot.umount", held_unmount, false, false},
	{"snapshot.changes", method_changes, false, false},
	{"warm.take", method_warm_take, false, true},
	{"stats", method_stats, false, false},
	{"log.level", method_log_level, false, false},
	{"shutdown", method_shutdown, false, false},
};

/* The requests of a connection that wait for their answer. */
struct pending {
	const char *id; /* is it one of them? */
	bool has_id;
	size_t n;
};

static void pending_add(struct pending *pending, const char *request)
{
	pending->n++;
	pending->has_id |= pending->id && str_eq(request, pending->id);
}

static struct pending find_pending(const struct connection *c, const char *id)
{
	struct pending pending = {.id = id};

	for (const struct run *run = c->worker->runs; run; run = run->next)
		if (!run->dead && run->owner == c && run->id)
			pending_add(&pending, run->id);
	for (const struct held *held = c->worker->held; held; held = held->next)
		if (!held->dead && held->owner == c && held->request)
			pending_add(&pending, held->request);
	for (const struct lent *lent = c->worker->lent; lent; lent = lent->next)
		if (!lent->dead && lent->owner == c && lent->request)
			pending_add(&pending, lent->request);
	return pending;
}

/* An id may not be used again before its answer, and not too many requests may wait for theirs. */
static bool may_be_asked(struct call *call, bool waits)
{
	struct pending pending = {.n = 0};

	if (call->message.id)
		pending = find_pending(call->connection, call->message.id);
	if (pending.has_id)
		refuse_text(call, KIND_DUPLICATE_ID, "a request with this id is not answered yet");
	else if (waits && pending.n >= MAX_PENDING)
		refuse_text(call, KIND_TOO_MANY_STEPS, "256 requests wait for their answer");
	else
		return true;
	return false;
}

void call_handle(struct call *call)
{
	const struct message *message = &call->message;

	if (!call->connection->greeted && !str_eq(message->method, "hello")) {
		refuse_text(call, KIND_NO_HELLO, "the first request must be hello");
		return;
	}
	if (call->connection->greeted && str_eq(message->method, "hello")) {
		refuse_text(call, KIND_INVALID_REQUEST, "hello was said already");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (!str_eq(methods[i].name, message->method))
			continue;
		if (!message->id && !methods[i].may_notify)
			refuse_text(call, KIND_INVALID_REQUEST, "this method needs an id");
		else if (may_be_asked(call, methods[i].waits))
			methods[i].handler(call);
		return;
	}
	if (may_be_asked(call, false))
		refuse_text(call, KIND_NO_SUCH_METHOD, "there is no such method");
}
