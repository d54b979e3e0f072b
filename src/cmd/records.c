/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of steps: the description and the result, enough to open the same sandbox again. A
 * replay never changes the evidence: what the step left becomes the topmost layer below a fresh
 * upper directory. The values of variables are kept only for names that hold no secrets, or when
 * asked; build secrets come that way.
 */
#include <dirent.h>
#include <time.h>
#include "base/env.h"
#include "base/file.h"
#include "base/sha256.h"
#include "cmd/step.h"
#include "cmd/verbs.h"

enum { RECORDS_KEPT = 20, RECORD_DEPTH = 1100 };

/* Variables whose values say nothing about anybody. */
static const char *const plain_variables[] = {
	"PATH", "HOME",    "TERM", "LANG",   "LC_ALL", "SHELL",
	"USER", "LOGNAME", "PWD",  "TMPDIR", "TZ",     "DEBIAN_FRONTEND",
};

static int record_error(struct rb_err *err, int errnum, const char *what, const char *name)
{
	err_set(err, RB_RECORD, errnum, "%s '%s'", what, name);
	err_fix(err, "'runbuild records ls' lists the records there are");
	return errnum ? -errnum : -EINVAL;
}

/* $XDG_STATE_HOME/runbuild/records, made if it is not there. */
static int records_open(struct arena *arena, const char **ret_path, struct rb_err *err)
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

/* What a replay runs instead, and whether values are kept. */
struct rewrite {
	bool keep_env;
	const char *const *args; /* NULL: as recorded */
	bool tty;
	const char *upper, *work; /* NULL: as recorded */
};

static void write_process(const struct json_node *process, const struct rewrite *rewrite,
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
		strbuf_add_char(out, '[');
		JSON_FOREACH (item, member) {
			strbuf_add(out, item->index ? "," : "");
			add_variable(item->text, rewrite->keep_env, out);
		}
		strbuf_add_char(out, ']');
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
static void write_rootfs(const struct json_node *rootfs, const struct rewrite *rewrite,
			 struct strbuf *out)
{
	const struct json_node *snapshot = json_member(rootfs, "snapshot");
	const struct json_node *path = json_member(rootfs, "path");
	const struct json_node *upper = json_member(snapshot, "upper");
	const struct json_node *lower = json_member(snapshot, "lower");
	const struct json_node *top = upper ? upper : path;
	bool first = true;

	if (!rewrite->upper) {
		json_print(rootfs, out);
		return;
	}
	strbuf_add(out, "{\"snapshot\":{\"lower\":[");
	if (top) {
		json_print(top, out);
		first = false;
	}
	JSON_FOREACH (item, lower) {
		strbuf_add(out, first ? "" : ",");
		json_print(item, out);
		first = false;
	}
	strbuf_add(out, "],\"upper\":");
	strbuf_add_json(out, rewrite->upper);
	strbuf_add(out, ",\"work\":");
	strbuf_add_json(out, rewrite->work);
	strbuf_add(out, "}}");
}

static int write_description(struct arena *arena, const char *text, size_t len,
			     const struct rewrite *rewrite, struct strbuf *out, struct rb_err *err)
{
	const struct json_node *root;
	int r = json_parse(arena, "record", text, len, &root, err);

	if (r < 0 || (r = json_expect(root, JSON_OBJECT, err)) < 0)
		return r;
	strbuf_add_char(out, '{');
	JSON_FOREACH (member, root) {
		add_key(out, member->key, member->index == 0);
		if (str_eq(member->key, "process") && member->type == JSON_OBJECT)
			write_process(member, rewrite, out);
		else if (str_eq(member->key, "rootfs"))
			write_rootfs(member, rewrite, out);
		else
			json_print(member, out);
	}
	strbuf_add(out, "}\n");
	return out->failed ? err_set(err, RB_NO_MEMORY, ENOMEM, "record") : 0;
}

static void record_name(char *name, size_t size)
{
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	snprintf(name, size, "%04d%02d%02d-%02d%02d%02d-%d", tm.tm_year + 1900, tm.tm_mon + 1,
		 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)getpid());
}

int record_write(struct arena *arena, const struct step_run *run, const struct job *job,
		 const char **ret_id, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf description = {0};
	CLEANUP_STRBUF struct strbuf result = {0};
	const struct rewrite rewrite = {.keep_env = run->record_env};
	const char *path;
	char name[64];
	CLEANUP_FD int records = records_open(arena, &path, err);
	CLEANUP_FD int dir = -1;
	int r;

	if (records < 0)
		return records;
	r = write_description(arena, run->text, run->len, &rewrite, &description, err);
	if (r < 0)
		return r;
	strbuf_add_char(&result, '{');
	job_result(job, &result);
	strbuf_add(&result, "}\n");
	record_name(name, sizeof(name));
	if (mkdirat(records, name, 0700) < 0)
		return record_error(err, errno, "cannot make the record", name);
	dir = sys_openat(records, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	r = dir < 0 ? dir
		    : file_replace_at(dir, "step.json", description.text, description.len, 0600);
	if (r == 0)
		r = result.failed
			    ? -ENOMEM
			    : file_replace_at(dir, "result.json", result.text, result.len, 0600);
	if (r < 0)
		return record_error(err, -r, "cannot write the record", name);
	*ret_id = arena_strdup(arena, name);
	return *ret_id ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "record");
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of all records, oldest first; they begin with the time. */
static int record_names(struct arena *arena, int records, char ***ret_names, size_t *ret_n)
{
	int copy = sys_openat(records, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *item;
	char **names = arena_array(arena, LIMIT_RECORDS, sizeof(*names));
	size_t n = 0;

	if (!stream || !names) {
		if (stream)
			closedir(stream);
		else
			fd_close(&copy);
		return -EIO;
	}
	while ((item = readdir(stream)) && n < LIMIT_RECORDS)
		if (item->d_name[0] != '.')
			names[n++] = arena_strdup(arena, item->d_name);
	closedir(stream);
	for (size_t i = 0; i < n; i++)
		if (!names[i])
			return -ENOMEM;
	qsort(names, n, sizeof(*names), compare_names);
	*ret_names = names;
	*ret_n = n;
	return 0;
}

static const struct json_node *read_json(struct arena *arena, int records, const char *name,
					 const char *file, char **ret_text, size_t *ret_len)
{
	CLEANUP_FD int dir = sys_openat(records, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	const struct json_node *node = NULL;

	if (dir < 0 || file_read_at(arena, dir, file, LIMIT_CONFIG_BYTES, ret_text, ret_len) < 0 ||
	    json_parse(arena, file, *ret_text, *ret_len, &node, NULL) < 0)
		return NULL;
	return node;
}

static void list_record(struct arena *arena, int records, const char *name, struct strbuf *out)
{
	char *text;
	size_t len;
	const struct json_node *result = read_json(arena, records, name, "result.json", &text,
						   &len);
	const struct json_node *step = read_json(arena, records, name, "step.json", &text, &len);
	const struct json_node *code = json_member(result, "code");
	const struct json_node *signal = json_member(result, "signal");
	const struct json_node *args = json_member(json_member(step, "process"), "args");

	strbuf_printf(out, "%-28s %-8s", name, code ? code->text : signal ? signal->text : "?");
	JSON_FOREACH (item, args)
		if (item->index < 8)
			strbuf_printf(out, " %s", item->type == JSON_STRING ? item->text : "?");
	strbuf_add_char(out, '\n');
}

static int records_list(struct arena *arena, int records, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf out = {0};
	char **names;
	size_t n;
	int r = record_names(arena, records, &names, &n);

	if (r < 0)
		return record_error(err, -r, "cannot read", "records");
	for (size_t i = 0; i < n; i++)
		list_record(arena, records, names[i], &out);
	return print_all(&out, err);
}

static int records_remove(int records, char **names, size_t n, struct rb_err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct stat st;
		int r;

		if (names[i][0] == '.' || strchr(names[i], '/'))
			return record_error(err, 0, "no such record:", names[i]);
		if (fstatat(records, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			return record_error(err, 0, "no such record:", names[i]);
		r = file_remove_tree_at(records, names[i], RECORD_DEPTH);
		if (r < 0)
			return record_error(err, -r, "cannot remove the record", names[i]);
	}
	return 0;
}

static int records_main(struct arena *arena, const struct globals *globals UNUSED,
			const void *options UNUSED, int argc, char **argv, struct rb_err *err)
{
	const char *path;
	CLEANUP_FD int records = records_open(arena, &path, err);
	char **names;
	size_t n;

	if (records < 0)
		return records;
	if (argc == 1 && str_eq(argv[0], "ls"))
		return records_list(arena, records, err);
	if (argc > 1 && str_eq(argv[0], "rm"))
		return records_remove(records, argv + 1, (size_t)argc - 1, err);
	if (argc == 1 && str_eq(argv[0], "prune")) {
		if (record_names(arena, records, &names, &n) < 0)
			return record_error(err, EIO, "cannot read", path);
		return records_remove(records, names, n > RECORDS_KEPT ? n - RECORDS_KEPT : 0, err);
	}
	err_set(err, RB_USAGE, 0, "records takes ls, rm ID... or prune");
	err_fix(err, "runbuild records ls");
	return -EINVAL;
}

struct replay_options {
	bool shell;
	bool quiet;
	bool print;
};

static const struct option_entry replay_option_table[] = {
	{"shell", 0, OPTION_FLAG, offsetof(struct replay_options, shell), NULL,
	 "an interactive shell instead of the recorded command"},
	{"quiet", 'q', OPTION_FLAG, offsetof(struct replay_options, quiet), NULL,
	 "no progress and no summary"},
	{"print", 0, OPTION_FLAG, offsetof(struct replay_options, print), NULL,
	 "print the description, and do nothing"},
	OPTION_END,
};

/* Fresh upper and work directories below the record, gone again afterwards. */
static int replay_directories(struct arena *arena, int record, const char *path, const char *id,
			      char *name, size_t size, struct rewrite *rewrite)
{
	char sub[80];

	snprintf(name, size, "replay-%d", (int)getpid());
	if (mkdirat(record, name, 0700) < 0)
		return -errno;
	snprintf(sub, sizeof(sub), "%s/upper", name);
	if (mkdirat(record, sub, 0755) < 0)
		return -errno;
	snprintf(sub, sizeof(sub), "%s/work", name);
	if (mkdirat(record, sub, 0755) < 0)
		return -errno;
	rewrite->upper = arena_printf(arena, "%s/%s/%s/upper", path, id, name);
	rewrite->work = arena_printf(arena, "%s/%s/%s/work", path, id, name);
	return rewrite->upper && rewrite->work ? 0 : -ENOMEM;
}

static int replay_run(struct arena *arena, const struct globals *globals,
		      const struct replay_options *options, const char *id, int records,
		      const char *path, struct rb_err *err)
{
	static const char *const shell[] = {"/bin/sh", NULL};
	CLEANUP_FD int record = sys_openat(records, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	CLEANUP_STRBUF struct strbuf text = {0};
	struct rewrite rewrite = {
		.keep_env = true,
		.args = options->shell ? shell : NULL,
		.tty = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO),
	};
	struct step_run run = {.globals = globals, .quiet = options->quiet || options->shell};
	char name[64];
	char *recorded;
	size_t len;
	int r;

	if (record < 0 || strchr(id, '/') ||
	    file_read_at(arena, record, "step.json", LIMIT_CONFIG_BYTES, &recorded, &len) < 0)
		return record_error(err, 0, "no such record:", id);
	r = replay_directories(arena, record, path, id, name, sizeof(name), &rewrite);
	if (r < 0)
		return record_error(err, -r, "cannot use the record", id);
	r = write_description(arena, recorded, len, &rewrite, &text, err);
	run.text = text.text;
	run.len = text.len;
	if (r == 0)
		r = options->print ? print_all(&text, err) : step_run(&run, err);
	(void)file_remove_tree_at(record, name, RECORD_DEPTH);
	return r;
}

static int replay_main(struct arena *arena, const struct globals *globals, const void *options,
		       int argc UNUSED, char **argv, struct rb_err *err)
{
	const char *path;
	CLEANUP_FD int records = -1;
	int r = step_nest(arena, globals, NULL, 0, err);

	if (r != -EAGAIN)
		return r;
	records = records_open(arena, &path, err);
	return records < 0 ? records
			   : replay_run(arena, globals, options, argv[0], records, path, err);
}

static const struct option_entry records_option_table[] = {OPTION_END};

const struct verb verb_replay = {
	.name = "replay",
	.summary = "run a recorded step again, on a fresh upper directory",
	.args = "ID",
	.min_args = 1,
	.max_args = 1,
	.options = replay_option_table,
	.options_size = sizeof(struct replay_options),
	.error_status = 125,
	.run = replay_main,
};

const struct verb verb_records = {
	.name = "records",
	.summary = "list and remove records of steps",
	.args = "ls | rm ID... | prune",
	.min_args = 1,
	.max_args = -1,
	.options = records_option_table,
	.run = records_main,
};
