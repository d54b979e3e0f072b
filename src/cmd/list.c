/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `list` and `ps`: containers, and the processes in one. Both print what runc prints, because
 * scripts and containerd's shim read it.
 */
#include <dirent.h>
#include "base/file.h"
#include "base/num.h"
#include "cmd/cmd.h"
#include "cmd/verbs.h"
#include "host/helper.h"

struct format_options {
	const char *format;
	bool quiet;
};

#define OPT(member) offsetof(struct format_options, member)

static const struct option_entry list_option_table[] = {
	{"format", 'f', OPTION_STRING, OPT(format), "table|json", "format of the list"},
	{"quiet", 'q', OPTION_FLAG, OPT(quiet), NULL, "print ids only"},
	OPTION_END,
};

static const struct option_entry ps_option_table[] = {
	{"format", 'f', OPTION_STRING, OPT(format), "table|json",
	 "a table of ps(1), or the process ids as JSON"},
	OPTION_END,
};

static int format_check(const char *format, bool *ret_json, struct rb_err *err)
{
	*ret_json = format && str_eq(format, "json");
	if (!format || *ret_json || str_eq(format, "table"))
		return 0;
	err_set(err, RB_USAGE, 0, "invalid format option: '%.40s'", format);
	err_fix(err, "use table or json");
	return -EINVAL;
}

/* list */

struct list_entry {
	const char *id;
	struct state_record record;
	int status;
	pid_t pid;
	const char *owner;
};

struct list {
	struct arena *arena;
	struct list_entry *v;
	size_t n, room;
};

/* The owner's name, or its number when it has none here. */
static const char *owner_name(struct arena *arena, uint32_t uid)
{
	struct user user;

	if (user_find(arena, uid, &user))
		return user.name;
	return arena_printf(arena, "#%u", uid);
}

static int list_add(struct list *list, const struct state_root *root, const char *id)
{
	CLEANUP_CONTAINER struct container container = {.dir = -1};
	struct list_entry entry = {.id = arena_strdup(list->arena, id)};
	struct rb_err err;

	/* one that is being made or removed at this moment, or is damaged, is left out */
	if (container_open(root, id, &container, &err) < 0 ||
	    container_read(list->arena, &container, &entry.record, &err) < 0)
		return 0;
	entry.status = status_with_freezer(list->arena, &container);
	if (entry.status < 0)
		return 0;
	entry.pid = entry.status == STATUS_STOPPED ? 0 : container.init.pid;
	entry.owner = owner_name(list->arena, entry.record.owner);
	if (list->n == list->room) {
		size_t room = 2 * list->room + 16;
		struct list_entry *v = arena_array(list->arena, room, sizeof(*v));

		if (!v)
			return -ENOMEM;
		if (list->n)
			memcpy(v, list->v, list->n * sizeof(*v));
		list->v = v;
		list->room = room;
	}
	list->v[list->n++] = entry;
	return 0;
}

static int list_compare(const void *a, const void *b)
{
	return strcmp(((const struct list_entry *)a)->id, ((const struct list_entry *)b)->id);
}

static int list_read(struct list *list, const struct state_root *root, struct rb_err *err)
{
	struct dirent *entry;
	DIR *stream;
	int fd = root->fd < 0 ? -1 : sys_openat(root->fd, ".", O_RDONLY | O_DIRECTORY, 0);
	int r = 0;

	if (fd < 0)
		return 0; /* no state directory, no containers */
	stream = fdopendir(fd);
	if (!stream) {
		close(fd);
		return err_set(err, RB_STATE_ROOT, ENOMEM, "cannot read '%s'", root->path);
	}
	while (r == 0 && (entry = readdir(stream))) {
		struct rb_err ignored;

		/* "@seccomp" and the like are no ids */
		if (state_id_check(entry->d_name, &ignored) == 0)
			r = list_add(list, root, entry->d_name);
	}
	closedir(stream);
	if (r < 0)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "list");
	if (list->n)
		qsort(list->v, list->n, sizeof(*list->v), list_compare);
	return 0;
}

static void list_print_json(const struct list *list, struct strbuf *out)
{
	strbuf_add(out, list->n ? "[" : "null");
	for (size_t i = 0; i < list->n; i++) {
		const struct list_entry *e = &list->v[i];
		const char *const pairs[][2] = {
			{"status", container_status_names[e->status]},
			{"bundle", e->record.bundle},
			{"rootfs", e->record.rootfs},
			{"created", e->record.created},
		};

		strbuf_add(out, i ? ",{\"ociVersion\":" : "{\"ociVersion\":");
		strbuf_add_json(out, e->record.oci_version);
		strbuf_add(out, ",\"id\":");
		strbuf_add_json(out, e->id);
		strbuf_printf(out, ",\"pid\":%d", (int)e->pid);
		for (size_t k = 0; k < ARRAY_LEN(pairs); k++) {
			strbuf_printf(out, ",\"%s\":", pairs[k][0]);
			strbuf_add_json(out, pairs[k][1]);
		}
		strbuf_add(out, ",\"owner\":");
		strbuf_add_json(out, e->owner);
		strbuf_add_char(out, '}');
	}
	strbuf_add(out, list->n ? "]\n" : "\n");
}

/* Columns as wide as their widest word and three blanks, as Go's tabwriter makes them. */
static void list_print_table(const struct list *list, struct strbuf *out)
{
	static const char *const heads[] = {"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"};
	size_t width[ARRAY_LEN(heads)];

	for (size_t c = 0; c < ARRAY_LEN(heads); c++)
		width[c] = strlen(heads[c]) < 9 ? 9 : strlen(heads[c]);
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i <= list->n; i++) {
			const struct list_entry *e = i ? &list->v[i - 1] : NULL;
			char pid[16];
			const char *row[ARRAY_LEN(heads)] = {heads[0], heads[1], heads[2],
							     heads[3], heads[4], heads[5]};

			if (e) {
				snprintf(pid, sizeof(pid), "%d", (int)e->pid);
				row[0] = e->id;
				row[1] = pid;
				row[2] = container_status_names[e->status];
				row[3] = e->record.bundle;
				row[4] = e->record.created;
				row[5] = e->owner;
			}
			for (size_t c = 0; c < ARRAY_LEN(heads); c++) {
				if (pass == 0 && strlen(row[c]) > width[c])
					width[c] = strlen(row[c]);
				else if (pass == 1 && c + 1 < ARRAY_LEN(heads))
					strbuf_printf(out, "%-*s", (int)width[c] + 3, row[c]);
				else if (pass == 1)
					strbuf_printf(out, "%s\n", row[c]);
			}
		}
	}
}

static int list_main(struct arena *arena, const struct globals *globals, const void *options,
		     int argc UNUSED, char **argv UNUSED, struct rb_err *err)
{
	const struct format_options *list_options = options;
	CLEANUP(state_root_close) struct state_root root = {.fd = -1};
	CLEANUP_STRBUF struct strbuf text = {0};
	struct list list = {.arena = arena};
	bool json;
	int r;

	if ((r = format_check(list_options->format, &json, err)) < 0 ||
	    (r = state_root_open(arena, globals->root, false, &root, err)) < 0 ||
	    (r = list_read(&list, &root, err)) < 0)
		return r;
	if (list_options->quiet)
		for (size_t i = 0; i < list.n; i++)
			strbuf_printf(&text, "%s\n", list.v[i].id);
	else if (json)
		list_print_json(&list, &text);
	else
		list_print_table(&list, &text);
	return print_all(&text, err);
}

const struct verb verb_list = {
	.name = "list",
	.summary = "list the containers of this state directory",
	.args = "",
	.options = list_option_table,
	.options_size = sizeof(struct format_options),
	.run = list_main,
};

/* ps */

static int compare_pids(const void *a, const void *b)
{
	return *(const pid_t *)a < *(const pid_t *)b ? -1 : 1;
}

/* Runs ps(1) and gives back what it prints. It sees what we see, so the numbers are ours. */
static int ps_run(struct arena *arena, int argc, char **argv, char **ret_text, struct rb_err *err)
{
	const char *path = helper_find(arena, "ps");
	const char **words = arena_array(arena, (size_t)argc + 3, sizeof(*words));
	size_t n = 0;
	int r;

	if (!words)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "ps");
	if (!path) {
		err_set(err, RB_USAGE, 0, "the program ps is not installed");
		err_fix(err, "sudo apt install procps, or use --format json");
		return -ENOENT;
	}
	words[n++] = "ps";
	if (argc == 0)
		words[n++] = "-ef";
	for (int i = 0; i < argc; i++)
		words[n++] = argv[i];
	r = program_output(arena, path, words, ret_text);
	return r < 0 ? err_set(err, RB_USAGE, -r, "ps failed") : 0;
}

/* The position of the column PID in the heading. */
static int ps_column(const char *heading, size_t len, struct rb_err *err)
{
	int column = 0;

	for (size_t at = 0; at < len;) {
		size_t word;

		at += strspn(heading + at, " ");
		word = strcspn(heading + at, " \n");
		if (word == 3 && memcmp(heading + at, "PID", 3) == 0)
			return column;
		if (word == 0)
			break;
		at += word;
		column++;
	}
	err_set(err, RB_USAGE, 0, "couldn't find PID field in ps output");
	err_fix(err, "let the options of ps print the column PID");
	return -EINVAL;
}

static bool ps_line_wanted(const char *line, int column, const pid_t *pids, size_t n)
{
	uint64_t pid;

	for (int i = 0; i < column; i++) {
		line += strspn(line, " ");
		line += strcspn(line, " \n");
	}
	line += strspn(line, " ");
	if (num_parse_u64(line, strcspn(line, " \n"), INT_MAX, &pid) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((uint64_t)pids[i] == pid)
			return true;
	return false;
}

static int ps_table(struct arena *arena, int argc, char **argv, const pid_t *pids, size_t n,
		    struct strbuf *out, struct rb_err *err)
{
	char *text;
	size_t len;
	int column;
	int r = ps_run(arena, argc, argv, &text, err);

	if (r < 0)
		return r;
	len = strcspn(text, "\n");
	column = ps_column(text, len, err);
	if (column < 0)
		return column;
	strbuf_add_bytes(out, text, len);
	strbuf_add_char(out, '\n');
	for (const char *line = text + len + (text[len] == '\n'); *line;) {
		len = strcspn(line, "\n");
		if (ps_line_wanted(line, column, pids, n)) {
			strbuf_add_bytes(out, line, len);
			strbuf_add_char(out, '\n');
		}
		line += len + (line[len] == '\n');
	}
	return 0;
}

static int ps_main(struct arena *arena, const struct globals *globals, const void *options,
		   int argc, char **argv, struct rb_err *err)
{
	const struct format_options *ps_options = options;
	CLEANUP_CONTAINER struct container container = {.dir = -1};
	CLEANUP(state_root_close) struct state_root root = {.fd = -1};
	CLEANUP_STRBUF struct strbuf text = {0};
	pid_t *pids;
	size_t n;
	bool json;
	int r;

	if ((r = format_check(ps_options->format, &json, err)) < 0 ||
	    (r = open_container(arena, globals, argv[0], &root, &container, err)) < 0 ||
	    (r = container_pids(arena, &container, &pids, &n, err)) < 0)
		return r;
	if (!json) {
		r = ps_table(arena, argc - 1, argv + 1, pids, n, &text, err);
		return r < 0 ? r : print_all(&text, err);
	}
	if (n)
		qsort(pids, n, sizeof(*pids), compare_pids);
	strbuf_add(&text, n ? "[" : "null");
	for (size_t i = 0; i < n; i++)
		strbuf_printf(&text, "%s%d", i ? "," : "", (int)pids[i]);
	strbuf_add(&text, n ? "]\n" : "\n");
	return print_all(&text, err);
}

const struct verb verb_ps = {
	.name = "ps",
	.summary = "list the processes of a container",
	.args = "ID [PS-OPTION...]",
	.min_args = 1,
	.max_args = -1,
	.options = ps_option_table,
	.options_size = sizeof(struct format_options),
	.run = ps_main,
};
