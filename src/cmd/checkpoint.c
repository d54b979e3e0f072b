/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `checkpoint`: the processes of a container as files, by criu(8), which is asked through its
 * command line. `restore` is known and refused: criu would have to rebuild what a plan describes,
 * past every check of it. Needs root of the host, as criu does.
 */
#include "base/file.h"
#include "cmd/cmd.h"
#include "cmd/verbs.h"
#include "host/helper.h"

struct checkpoint_options {
	const char *image_path, *work_path, *parent_path, *manage_cgroups;
	bool leave_running, tcp_established, ext_unix_sk, shell_job, file_locks, pre_dump;
	bool auto_dedup;
};

#define OPT(member) offsetof(struct checkpoint_options, member)

static const struct option_entry checkpoint_option_table[] = {
	{"image-path", 0, OPTION_STRING, OPT(image_path), "DIR",
	 "where the images go; default: checkpoint"},
	{"work-path", 0, OPTION_STRING, OPT(work_path), "DIR", "where criu's log goes"},
	{"parent-path", 0, OPTION_STRING, OPT(parent_path), "DIR",
	 "images of a pre-dump, relative to those of --image-path"},
	{"leave-running", 0, OPTION_FLAG, OPT(leave_running), NULL,
	 "let the container go on afterwards"},
	{"tcp-established", 0, OPTION_FLAG, OPT(tcp_established), NULL,
	 "allow open TCP connections"},
	{"ext-unix-sk", 0, OPTION_FLAG, OPT(ext_unix_sk), NULL, "allow external unix sockets"},
	{"shell-job", 0, OPTION_FLAG, OPT(shell_job), NULL, "allow a terminal of the caller"},
	{"file-locks", 0, OPTION_FLAG, OPT(file_locks), NULL, "allow file locks"},
	{"pre-dump", 0, OPTION_FLAG, OPT(pre_dump), NULL,
	 "only memory, for a later checkpoint; the container goes on"},
	{"auto-dedup", 0, OPTION_FLAG, OPT(auto_dedup), NULL, "drop pages that the parent has"},
	{"manage-cgroups-mode", 0, OPTION_STRING, OPT(manage_cgroups), "MODE",
	 "criu's mode: soft, full or strict"},
	OPTION_END,
};

static const struct option_entry restore_option_table[] = {OPTION_END};

struct word_list {
	struct arena *arena;
	const char **v;
	size_t n, room;
};

static void word_add(struct word_list *words, const char *word)
{
	if (word && words->n < words->room)
		words->v[words->n++] = word;
}

/* Mounts from outside are not dumped, only noted: "mnt[DESTINATION]:DESTINATION". */
static void words_mounts(struct word_list *words, const struct spec *spec)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const char *at = spec->mounts[i].destination;

		if (!spec->mounts[i].bind && !str_starts(spec->mounts[i].type, "cgroup"))
			continue;
		word_add(words, "--external");
		word_add(words, arena_printf(words->arena, "mnt[%s]:%s", at, at));
	}
	for (size_t i = 0; i < spec->masked_paths.n; i++) {
		const char *at = spec->masked_paths.v[i];

		word_add(words, "--external");
		word_add(words, arena_printf(words->arena, "mnt[%s]:%s", at, at));
	}
}

static int checkpoint_words(const struct checkpoint_options *options, const struct spec *spec,
			    pid_t pid, struct word_list *words, struct rb_err *err)
{
	const struct {
		bool wanted;
		const char *word;
	} flags[] = {
		{options->leave_running && !options->pre_dump, "--leave-running"},
		{options->tcp_established, "--tcp-established"},
		{options->ext_unix_sk, "--ext-unix-sk"},
		{options->shell_job, "--shell-job"},
		{options->file_locks, "--file-locks"},
		{options->pre_dump, "--track-mem"},
		{options->auto_dedup, "--auto-dedup"},
	};

	words->room = 64 + 2 * (spec->n_mounts + spec->masked_paths.n);
	words->v = arena_array(words->arena, words->room + 1, sizeof(*words->v));
	if (!words->v)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "checkpoint");
	word_add(words, "criu");
	word_add(words, options->pre_dump ? "pre-dump" : "dump");
	word_add(words, "--tree");
	word_add(words, arena_printf(words->arena, "%d", (int)pid));
	word_add(words, "--images-dir");
	word_add(words, options->image_path);
	word_add(words, "--work-dir");
	word_add(words, options->work_path);
	word_add(words, "--log-file");
	word_add(words, "dump.log");
	word_add(words, "-v4");
	if (options->parent_path) {
		word_add(words, "--prev-images-dir");
		word_add(words, options->parent_path);
		word_add(words, "--track-mem");
	}
	word_add(words, arena_printf(words->arena, "--manage-cgroups=%s",
				     options->manage_cgroups ? options->manage_cgroups : "soft"));
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (flags[i].wanted)
			word_add(words, flags[i].word);
	words_mounts(words, spec);
	return 0;
}

static int checkpoint_directories(struct checkpoint_options *options, struct rb_err *err)
{
	CLEANUP_FD int dir = -1;
	CLEANUP_FD int parent = -1;

	if (!options->image_path)
		options->image_path = "checkpoint";
	if (!options->work_path)
		options->work_path = options->image_path;
	if (mkdir(options->image_path, 0700) < 0 && errno != EEXIST)
		return err_set(err, RB_CRIU, errno, "cannot make --image-path '%s'",
			       options->image_path);
	if (mkdir(options->work_path, 0700) < 0 && errno != EEXIST)
		return err_set(err, RB_CRIU, errno, "cannot make --work-path '%s'",
			       options->work_path);
	if (!options->parent_path)
		return 0;
	if (options->parent_path[0] == '/')
		return err_set(err, RB_USAGE, 0, "--parent-path must be relative to --image-path");
	dir = sys_openat(AT_FDCWD, options->image_path, O_PATH | O_DIRECTORY, 0);
	parent = dir < 0 ? dir : sys_openat(dir, options->parent_path, O_PATH | O_DIRECTORY, 0);
	if (parent >= 0)
		return 0;
	return err_set(err, RB_USAGE, -parent, "invalid --parent-path '%s'", options->parent_path);
}

/* The last error of criu's log, which says more than its exit status. */
static void checkpoint_log(struct arena *arena, const char *work_path, struct rb_err *err)
{
	const char *path = arena_printf(arena, "%s/dump.log", work_path);
	const char *last = NULL;
	char *text;

	if (!path || file_read_at(arena, AT_FDCWD, path, LIMIT_STATE_BYTES, &text, NULL) < 0)
		return;
	for (char *at = text; (at = strstr(at, "Error ")); at++)
		last = at;
	if (last)
		err_set(err, RB_CRIU, 0, "criu failed: %.*s", (int)strcspn(last, "\n"), last);
	err_fix(err, "see '%s'", path);
}

static int checkpoint_run(struct arena *arena, const struct checkpoint_options *options,
			  const struct spec *spec, pid_t pid, struct rb_err *err)
{
	struct word_list words = {.arena = arena};
	const char *criu = helper_find(arena, "criu");
	struct helper helper;
	char tail[256];
	int r;

	if (!criu) {
		err_set(err, RB_CRIU, 0, "criu is not installed");
		err_fix(err, "sudo apt install criu");
		return -ENOENT;
	}
	r = checkpoint_words(options, spec, pid, &words, err);
	if (r < 0)
		return r;
	r = helper_spawn(&helper, criu, words.v);
	if (r < 0)
		return err_set(err, RB_CRIU, -r, "cannot run %s", criu);
	r = helper_finish(&helper, tail, sizeof(tail));
	if (r == 0)
		return 0;
	err_set(err, RB_CRIU, 0, "criu failed with status %d%s%s", r, tail[0] ? ": " : "", tail);
	checkpoint_log(arena, options->work_path, err);
	return -EIO;
}

static int checkpoint_main(struct arena *arena, const struct globals *globals, const void *options,
			   int argc UNUSED, char **argv, struct rb_err *err)
{
	struct checkpoint_options own = *(const struct checkpoint_options *)options;
	CLEANUP_CONTAINER struct container container = {.dir = -1};
	CLEANUP(state_root_close) struct state_root root = {.fd = -1};
	struct state_record record;
	const struct spec *spec;
	int status;
	int r = open_container(arena, globals, argv[0], &root, &container, err);

	if (r < 0)
		return r;
	status = status_with_freezer(arena, &container);
	if (status < 0)
		return status_unknown(status, &container, err);
	if (status != STATUS_RUNNING && status != STATUS_PAUSED)
		return err_set(err, RB_STATE_WRONG, 0,
			       "Container cannot be checkpointed in %s state",
			       container_status_names[status]);
	if (geteuid() != 0)
		return err_set(err, RB_CRIU, EPERM, "checkpoint needs root of the host");
	if ((r = container_read(arena, &container, &record, err)) < 0 ||
	    (r = spec_parse(arena, record.config, record.config_len, record.bundle, &spec, err)) <
		    0 ||
	    (r = checkpoint_directories(&own, err)) < 0)
		return r;
	return checkpoint_run(arena, &own, spec, container.init.pid, err);
}

static int restore_main(struct arena *arena UNUSED, const struct globals *globals UNUSED,
			const void *options UNUSED, int argc UNUSED, char **argv UNUSED,
			struct rb_err *err)
{
	err_set(err, RB_UNSUPPORTED, 0, "restore is not supported");
	err_fix(err, "restore the images with the runtime whose containers they are (runc, crun)");
	return -ENOTSUP;
}

const struct verb verb_checkpoint = {
	.name = "checkpoint",
	.summary = "write the processes of a container to disk, through criu",
	.args = "ID",
	.min_args = 1,
	.max_args = 1,
	.options = checkpoint_option_table,
	.options_size = sizeof(struct checkpoint_options),
	.run = checkpoint_main,
};

const struct verb verb_restore = {
	.name = "restore",
	.summary = "known, and refused",
	.args = "ID",
	.min_args = 1,
	.max_args = 1,
	.options = restore_option_table,
	.run = restore_main,
};
