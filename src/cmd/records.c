/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of steps: the description and the result, enough to open the same sandbox again. A
 * replay never changes the evidence: what the step left becomes the topmost layer below a fresh
 * upper directory.
 */
#include <dirent.h>
#include "base/file.h"
#include "cmd/step.h"
#include "cmd/verbs.h"
#include "worker/job_record.h"

enum { RECORDS_KEPT = 20, RECORD_DEPTH = 1100 };

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
			      char *name, size_t size, struct record_rewrite *rewrite)
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
	const struct json_node *node;
	struct record_rewrite rewrite = {
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
	r = json_parse(arena, "record", recorded, len, &node, err);
	if (r == 0)
		r = json_expect(node, JSON_OBJECT, err);
	if (r == 0)
		record_describe(node, &rewrite, &text);
	if (r == 0 && text.failed)
		r = err_set(err, RB_NO_MEMORY, ENOMEM, "record");
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
	int r = step_nest(arena, globals, err);

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
