/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `replay`: a recorded step once more. It never changes the evidence: what the step left becomes
 * the topmost layer below a fresh upper directory, which is removed at the end.
 */
#include <dirent.h>
#include <sys/file.h>
#include "base/file.h"
#include "cmd/step.h"
#include "cmd/verbs.h"
#include "worker/job_record.h"

struct replay_options {
	bool shell;
	bool quiet;
	bool print;
	const char *net;
	const char *seccomp;
};

static const struct option_entry replay_option_table[] = {
	{"shell", 0, OPTION_FLAG, offsetof(struct replay_options, shell), NULL,
	 "an interactive shell instead of the recorded command"},
	{"net", 0, OPTION_STRING, offsetof(struct replay_options, net), "none|host|slirp4netns",
	 "this network instead of the recorded one"},
	{"seccomp", 0, OPTION_STRING, offsetof(struct replay_options, seccomp), "none",
	 "without a filter of system calls"},
	{"quiet", 'q', OPTION_FLAG, offsetof(struct replay_options, quiet), NULL,
	 "no progress and no summary"},
	{"print", 0, OPTION_FLAG, offsetof(struct replay_options, print), NULL,
	 "print the description, and do nothing"},
	OPTION_END,
};

/* What is needed to run it. */
struct replay {
	int record; /* its directory, locked against removal */
	const char *id;
	const char *path; /* of the record */
	char name[48];    /* of the fresh directories, in there */
	struct record_rewrite rewrite;
};

/* Of replays that were killed: nobody else has the record. */
static void remove_stale(int record)
{
	int copy = sys_openat(record, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *item;

	if (!stream)
		fd_close(&copy);
	while (stream && (item = readdir(stream)))
		if (str_starts(item->d_name, "replay-") || str_eq(item->d_name, RECORD_PARTIAL))
			(void)file_remove_tree_at(record, item->d_name, RECORD_DEPTH);
	if (stream)
		closedir(stream);
}

/* Several replays of one record may run beside each other; none while it is being removed. */
static int open_record(struct arena *arena, int records, const char *path, const char *id,
		       struct replay *replay, struct rb_err *err)
{
	if (!strchr(id, '/')) {
		replay->record = record_lock(records, id, LOCK_EX);
		if (replay->record >= 0)
			remove_stale(replay->record);
		else if (replay->record == -EWOULDBLOCK)
			replay->record = sys_openat(records, id,
						    O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	}
	if (replay->record < 0)
		return record_error(err, 0, "no such record:", id);
	if (flock(replay->record, LOCK_SH | LOCK_NB) < 0)
		return record_error(err, errno, "cannot use the record", id);
	replay->id = id;
	replay->path = arena_printf(arena, "%s/%s", path, id);
	return replay->path ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "record");
}

/* Fresh upper and work directories below the record, gone again afterwards. */
static int make_directories(struct arena *arena, struct replay *replay)
{
	struct record_rewrite *rewrite = &replay->rewrite;
	char sub[80];
	struct stat st;

	snprintf(replay->name, sizeof(replay->name), "replay-%d", (int)getpid());
	if (mkdirat(replay->record, replay->name, 0700) < 0)
		return -errno;
	snprintf(sub, sizeof(sub), "%s/upper", replay->name);
	if (mkdirat(replay->record, sub, 0755) < 0)
		return -errno;
	rewrite->upper = arena_printf(arena, "%s/%s", replay->path, sub);
	snprintf(sub, sizeof(sub), "%s/work", replay->name);
	if (mkdirat(replay->record, sub, 0755) < 0)
		return -errno;
	rewrite->work = arena_printf(arena, "%s/%s", replay->path, sub);
	if (fstatat(replay->record, "upper", &st, AT_SYMLINK_NOFOLLOW) == 0)
		rewrite->kept = arena_printf(arena, "%s/upper", replay->path);
	return rewrite->upper && rewrite->work ? 0 : -ENOMEM;
}

static int describe(struct arena *arena, struct replay *replay, struct strbuf *out,
		    struct rb_err *err)
{
	const struct json_node *node;
	char *recorded;
	size_t len;
	int r = file_read_at(arena, replay->record, "step.json", LIMIT_CONFIG_BYTES, &recorded,
			     &len);

	if (r < 0)
		return record_error(err, -r, "cannot read the record", replay->id);
	r = make_directories(arena, replay);
	if (r < 0)
		return record_error(err, -r, "cannot use the record", replay->id);
	if ((r = json_parse(arena, "record", recorded, len, &node, err)) < 0 ||
	    (r = json_expect(node, JSON_OBJECT, err)) < 0)
		return r;
	record_describe(node, &replay->rewrite, out);
	return out->failed ? err_set(err, RB_NO_MEMORY, ENOMEM, "record") : 0;
}

static int rewrite_sandbox(const struct replay_options *options, struct record_rewrite *rewrite,
			   struct rb_err *err)
{
	rewrite->no_filter = options->seccomp != NULL;
	if (options->net && !(rewrite->net = step_net_mode(options->net, err)))
		return -EINVAL;
	if (options->seccomp && !str_eq(options->seccomp, "none")) {
		err_set(err, RB_USAGE, 0, "--seccomp: unknown choice '%.40s'", options->seccomp);
		err_fix(err, "use none, or leave it out for the recorded filter");
		return -EINVAL;
	}
	return 0;
}

static int replay_run(struct arena *arena, const struct globals *globals,
		      const struct replay_options *options, struct replay *replay,
		      struct rb_err *err)
{
	static const char *const shell[] = {"/bin/sh", NULL};
	CLEANUP_STRBUF struct strbuf text = {0};
	struct step_run run = {.globals = globals, .quiet = options->quiet || options->shell};
	int r;

	replay->rewrite = (struct record_rewrite){
		.keep_env = true,
		.args = options->shell ? shell : NULL,
		.tty = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO),
		.no_timeout = options->shell,
	};
	r = rewrite_sandbox(options, &replay->rewrite, err);
	if (r == 0)
		r = describe(arena, replay, &text, err);
	run.text = text.text;
	run.len = text.len;
	run.scratch = arena_printf(arena, "%s/%s", replay->path, replay->name);
	if (r == 0)
		r = options->print ? print_all(&text, err) : step_run(&run, err);
	if (replay->name[0])
		(void)file_remove_tree_at(replay->record, replay->name, RECORD_DEPTH);
	return r;
}

static int replay_main(struct arena *arena, const struct globals *globals, const void *options,
		       int argc UNUSED, char **argv, struct rb_err *err)
{
	const char *path;
	CLEANUP_FD int records = -1;
	struct replay replay = {.record = -1};
	int r = step_nest(arena, globals, err);

	if (r != -EAGAIN)
		return r;
	records = records_open(arena, &path, err);
	if (records < 0)
		return records;
	r = open_record(arena, records, path, argv[0], &replay, err);
	if (r == 0)
		r = replay_run(arena, globals, options, &replay, err);
	fd_close(&replay.record);
	return r;
}

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
