/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of steps: the description, the result and what the step left, enough to open the same
 * sandbox again. Files of a kept upper directory have subordinate ids, so an ordinary user removes
 * them inside the launcher.
 */
#include "base/file.h"
#include "base/num.h"
#include "cmd/records.h"
#include "cmd/step.h"
#include "cmd/verbs.h"
#include "worker/job_record.h"

enum { COMMAND_SHOWN = 200 }; /* bytes of a command in the list */

struct records_options {
	const char *keep;
	const char *size;
};

static const struct option_entry records_option_table[] = {
	{"keep", 0, OPTION_STRING, offsetof(struct records_options, keep), "N",
	 "prune: keep this many; default: 20"},
	{"size", 0, OPTION_STRING, offsetof(struct records_options, size), "SIZE",
	 "prune: of at most this size together; default: 1g"},
	OPTION_END,
};

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

/* Of a script in a word only one line is to be seen, and nothing that a terminal obeys. */
static void add_word(const char *word, size_t end, struct strbuf *out)
{
	for (; *word && out->len < end; word++)
		strbuf_add_char(out, (unsigned char)*word < ' ' || *word == 0x7f ? '?' : *word);
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
	size_t end;

	strbuf_printf(out, "%-28s %-8s", name, code ? code->text : signal ? signal->text : "?");
	end = out->len + COMMAND_SHOWN;
	JSON_FOREACH (item, args) {
		strbuf_add_char(out, ' ');
		add_word(item->type == JSON_STRING ? item->text : "?", end, out);
	}
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

/* The others are removed when one cannot be; the error is about the last of those. */
static int records_remove(int records, char **names, size_t n, struct rb_err *err)
{
	int result = 0;

	for (size_t i = 0; i < n; i++) {
		bool foreign = names[i][0] == '.' || strchr(names[i], '/');
		int r = foreign ? -ENOENT : record_remove(records, names[i]);

		if (r < 0)
			result = record_remove_error(err, r, names[i]);
	}
	return result;
}

/* Has one of them files that only the launcher's namespace can remove? */
static bool have_kept_files(int records, char **names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char path[LIMIT_PATH_BYTES];
		struct stat st;

		if (snprintf(path, sizeof(path), "%s/upper", names[i]) < (int)sizeof(path) &&
		    fstatat(records, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
			return true;
	}
	return false;
}

static int prune_options(const struct records_options *options, uint64_t *ret_keep,
			 uint64_t *ret_bytes, struct rb_err *err)
{
	*ret_keep = LIMIT_RECORDS_KEPT;
	*ret_bytes = LIMIT_RECORDS_BYTES;
	if (options->keep &&
	    num_parse_u64(options->keep, strlen(options->keep), LIMIT_RECORDS, ret_keep) < 0)
		return err_set(err, RB_USAGE, 0, "--keep: '%.40s' is not a number of records",
			       options->keep);
	if (options->size && step_parse_size(options->size, ret_bytes) < 0)
		return err_set(err, RB_USAGE, 0, "--size: '%.40s' is not a size", options->size);
	return 0;
}

static int records_change(struct arena *arena, const struct globals *globals,
			  const struct records_options *options, int records, int argc, char **argv,
			  struct rb_err *err)
{
	bool all = str_eq(argv[0], "prune");
	char **names = argv + 1;
	size_t n = (size_t)argc - 1;
	uint64_t keep;
	uint64_t bytes;
	int r = prune_options(options, &keep, &bytes, err);

	if (r == 0 && all && (r = record_names(arena, records, &names, &n)) < 0)
		return record_error(err, -r, "cannot read", "records");
	if (r < 0)
		return r;
	/* EAGAIN: this process may do it itself */
	if (have_kept_files(records, names, n) && (r = step_nest(arena, globals, err)) != -EAGAIN)
		return r;
	return all ? records_prune(arena, records, keep, bytes, err)
		   : records_remove(records, names, n, err);
}

static int records_main(struct arena *arena, const struct globals *globals, const void *options,
			int argc, char **argv, struct rb_err *err)
{
	const char *path;
	CLEANUP_FD int records = records_open(arena, &path, err);
	int r;

	if (records < 0)
		return records;
	if (argc == 1 && str_eq(argv[0], "ls"))
		return records_list(arena, records, err);
	/* EAGAIN: this process may mount */
	if (argc == 3 && str_eq(argv[0], "export"))
		return (r = step_nest(arena, globals, err)) != -EAGAIN
			       ? r
			       : record_export(arena, records, path, argv[1], argv[2], err);
	if ((argc > 1 && str_eq(argv[0], "rm")) || (argc == 1 && str_eq(argv[0], "prune")))
		return records_change(arena, globals, options, records, argc, argv, err);
	err_set(err, RB_USAGE, 0, "records takes ls, rm ID..., prune, or export ID DIR");
	err_fix(err, "runbuild records ls");
	return -EINVAL;
}

const struct verb verb_records = {
	.name = "records",
	.summary = "list, remove and export records of steps",
	.args = "ls | rm ID... | prune | export ID DIR",
	.min_args = 1,
	.max_args = LIMIT_RECORDS + 1, /* options may stand behind the first word */
	.options = records_option_table,
	.options_size = sizeof(struct records_options),
	.run = records_main,
};
