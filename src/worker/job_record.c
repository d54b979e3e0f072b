/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of steps: the description and the result, enough to open the same sandbox again. The
 * values of variables are kept only for names that hold no secrets, or when asked; build secrets
 * come that way. Runs in the worker or in `runbuild step`, as its user.
 */
#include <sys/stat.h>
#include <time.h>
#include "base/env.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/strbuf.h"
#include "base/sys.h"
#include "worker/job_record.h"

/* Variables whose values say nothing about anybody. */
static const char *const plain_variables[] = {
	"PATH", "HOME",    "TERM", "LANG",   "LC_ALL", "SHELL",
	"USER", "LOGNAME", "PWD",  "TMPDIR", "TZ",     "DEBIAN_FRONTEND",
};

int record_error(struct rb_err *err, int errnum, const char *what, const char *name)
{
	err_set(err, RB_RECORD, errnum, "%s '%s'", what, name);
	err_fix(err, "'runbuild records ls' lists the records there are");
	return errnum ? -errnum : -EINVAL;
}

/* $XDG_STATE_HOME/runbuild/records, made if it is not there. */
int records_open(struct arena *arena, const char **ret_path, struct rb_err *err)
{
	const char *state = env_get("XDG_STATE_HOME");
	const char *home = env_get("HOME");
	char *path = state  ? arena_printf(arena, "%s/runbuild/records", state)
		     : home ? arena_printf(arena, "%s/.local/state/runbuild/records", home)
			    : arena_strdup(arena, "/var/lib/runbuild/records");
	int fd;

	if (!path)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "records");
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdirat(AT_FDCWD, path, 0700); /* EEXIST, or the open below says why */
		*slash = '/';
	}
	(void)mkdirat(AT_FDCWD, path, 0700);
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	*ret_path = path;
	return fd < 0 ? record_error(err, -fd, "cannot open", path) : fd;
}

static bool is_plain(const char *variable)
{
	size_t len = strcspn(variable, "=");

	for (size_t i = 0; i < ARRAY_LEN(plain_variables); i++)
		if (strlen(plain_variables[i]) == len &&
		    strncmp(variable, plain_variables[i], len) == 0)
			return true;
	return false;
}

static void add_variable(const char *variable, bool keep, struct strbuf *out)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	uint8_t digest[SHA256_BYTES];
	char hex[SHA256_HEX];
	struct sha256 hash;

	if (keep || is_plain(variable)) {
		strbuf_add_json(out, variable);
		return;
	}
	sha256_init(&hash);
	sha256_add(&hash, variable, strlen(variable));
	sha256_end(&hash, digest);
	sha256_hex(digest, hex);
	strbuf_printf(&text, "%.*s=redacted-%.8s", (int)strcspn(variable, "="), variable, hex);
	strbuf_add_json(out, text.failed ? "" : text.text);
}

static void add_key(struct strbuf *out, const char *key, bool first)
{
	if (!first)
		strbuf_add_char(out, ',');
	strbuf_add_json(out, key);
	strbuf_add_char(out, ':');
}

static void write_env(const struct json_node *env, bool keep, struct strbuf *out)
{
	strbuf_add_char(out, '[');
	JSON_FOREACH (item, env) {
		strbuf_add(out, item->index ? "," : "");
		add_variable(item->type == JSON_STRING ? item->text : "", keep, out);
	}
	strbuf_add_char(out, ']');
}

/* A whole configuration has variables in its process and in its hooks. */
static void write_configuration(const struct json_node *node, bool keep, struct strbuf *out)
{
	bool object = node->type == JSON_OBJECT;
	bool first = true;

	if (node->type == JSON_ARRAY && node->key && str_eq(node->key, "env")) {
		write_env(node, keep, out);
		return;
	}
	if (!object && node->type != JSON_ARRAY) {
		json_print(node, out);
		return;
	}
	strbuf_add_char(out, object ? '{' : '[');
	JSON_FOREACH (item, node) {
		if (object)
			add_key(out, item->key, first);
		else if (!first)
			strbuf_add_char(out, ',');
		first = false;
		write_configuration(item, keep, out);
	}
	strbuf_add_char(out, object ? '}' : ']');
}

static void write_process(const struct json_node *process, const struct record_rewrite *rewrite,
			  struct strbuf *out)
{
	bool first = true;

	strbuf_add_char(out, '{');
	JSON_FOREACH (member, process) {
		if (rewrite->args && (str_eq(member->key, "args") || str_eq(member->key, "tty")))
			continue;
		add_key(out, member->key, first);
		first = false;
		if (!str_eq(member->key, "env")) {
			json_print(member, out);
			continue;
		}
		write_env(member, rewrite->keep_env, out);
	}
	if (rewrite->args) {
		add_key(out, "args", first);
		for (size_t i = 0; rewrite->args[i]; i++) {
			strbuf_add(out, i ? "," : "[");
			strbuf_add_json(out, rewrite->args[i]);
		}
		strbuf_printf(out, "],\"tty\":%s", rewrite->tty ? "true" : "false");
	}
	strbuf_add_char(out, '}');
}

/* The recorded root as layers under a fresh upper directory. */
static void write_rootfs(const struct json_node *rootfs, const struct record_rewrite *rewrite,
			 struct strbuf *out)
{
	const struct json_node *snapshot = json_member(rootfs, "snapshot");
	const struct json_node *path = json_member(rootfs, "path");
	const struct json_node *upper = json_member(snapshot, "upper");
	const struct json_node *lower = json_member(snapshot, "lower");
	const struct json_node *top = upper ? upper : path;
	bool first = !top;

	if (!rewrite->upper) {
		json_print(rootfs, out);
		return;
	}
	strbuf_add(out, "{\"snapshot\":{\"lower\":[");
	if (upper && rewrite->kept)
		strbuf_add_json(out, rewrite->kept);
	else if (top)
		json_print(top, out);
	JSON_FOREACH (item, lower) {
		strbuf_add(out, first ? "" : ",");
		json_print(item, out);
		first = false;
	}
	strbuf_add(out, "],\"upper\":");
	strbuf_add_json(out, rewrite->upper);
	strbuf_add(out, ",\"work\":");
	strbuf_add_json(out, rewrite->work);
	strbuf_add_char(out, '}');
	JSON_FOREACH (member, rootfs) { /* "readonly", "propagation" */
		if (str_eq(member->key, "path") || str_eq(member->key, "snapshot"))
			continue;
		add_key(out, member->key, false);
		json_print(member, out);
	}
	strbuf_add_char(out, '}');
}

/* The protections without a filter of system calls. */
static void write_security(const struct json_node *security, struct strbuf *out)
{
	strbuf_add(out, "{\"seccomp\":\"none\"");
	JSON_FOREACH (member, security) {
		if (str_eq(member->key, "seccomp"))
			continue;
		add_key(out, member->key, false);
		json_print(member, out);
	}
	strbuf_add_char(out, '}');
}

/* Not as recorded: a replay has streams of its own, and the descriptors of a request are gone. */
static bool is_left_out(const struct json_node *member, const struct record_rewrite *rewrite)
{
	const char *key = member->key;

	return (rewrite->no_timeout && str_eq(key, "timeoutMs")) ||
	       (rewrite->net && str_eq(key, "net")) ||
	       (rewrite->no_filter && str_eq(key, "security")) ||
	       (rewrite->upper &&
		(str_eq(key, "io") || (str_eq(key, "cgroup") && json_member(member, "fd"))));
}

void record_describe(const struct json_node *step, const struct record_rewrite *rewrite,
		     struct strbuf *out)
{
	bool first = true;

	strbuf_add_char(out, '{');
	JSON_FOREACH (member, step) {
		if (is_left_out(member, rewrite))
			continue;
		add_key(out, member->key, first);
		first = false;
		if (str_eq(member->key, "process") && member->type == JSON_OBJECT)
			write_process(member, rewrite, out);
		else if (str_eq(member->key, "rootfs"))
			write_rootfs(member, rewrite, out);
		else if (str_eq(member->key, "oci"))
			write_configuration(member, rewrite->keep_env, out);
		else
			json_print(member, out);
	}
	if (rewrite->net)
		strbuf_printf(out, ",\"net\":{\"mode\":\"%s\"}", rewrite->net);
	if (rewrite->no_filter) {
		add_key(out, "security", false);
		write_security(json_member(step, "security"), out);
	}
	strbuf_add(out, "}\n");
}

/* A name of its own that sorts by time, also within a second. Returns the directory. */
static int record_make(int records, char *name, size_t size)
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	for (int n = 0; n < 1000; n++) {
		snprintf(name, size, "%04d%02d%02d-%02d%02d%02d.%06ld-%d", tm.tm_year + 1900,
			 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			 now.tv_nsec / 1000, (int)getpid());
		if (n > 0)
			snprintf(name + strlen(name), size - strlen(name), "-%d", n);
		if (mkdirat(records, name, 0700) == 0)
			return sys_openat(records, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

int record_write(struct arena *arena, const struct json_node *step, bool keep_env,
		 const struct job *job, const char **ret_id, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf description = {0};
	CLEANUP_STRBUF struct strbuf result = {0};
	const struct record_rewrite rewrite = {.keep_env = keep_env};
	const char *path;
	char name[64];
	CLEANUP_FD int records = records_open(arena, &path, err);
	CLEANUP_FD int dir = -1;
	int r;

	if (records < 0)
		return records;
	record_describe(step, &rewrite, &description);
	strbuf_add_char(&result, '{');
	job_result(job, &result);
	strbuf_add(&result, "}\n");
	if (result.failed || description.failed)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "record");
	dir = record_make(records, name, sizeof(name));
	if (dir < 0)
		return record_error(err, -dir, "cannot make the record", name);
	r = file_replace_at(dir, "step.json", description.text, description.len, 0600);
	if (r == 0)
		r = file_replace_at(dir, "result.json", result.text, result.len, 0600);
	if (r < 0)
		return record_error(err, -r, "cannot write the record", name);
	*ret_id = arena_strdup(arena, name);
	return *ret_id ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "record");
}
