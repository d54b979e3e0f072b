/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What would be done for a step, without doing it: the plan of a child of its own, or the two
 * parts that a worker splits it into when a child is waiting. It goes the way of a step that is to
 * run, with hands that only write down what they were asked for (struct job_hands): no snapshot is
 * mounted, no child made, no directory but the root's /etc looked into; what is decided only when
 * the step begins stands in the notes.
 */
#include <linux/capability.h>
#include <linux/filter.h>
#include "base/strbuf.h"
#include "base/sys.h"
#include "worker/job.h"

static void note(struct job *job, const char *text)
{
	struct job_explanation *e = job->explanation;

	if (text && e->n_notes < ARRAY_LEN(e->notes))
		e->notes[e->n_notes++] = arena_strdup(&job->arena, text);
}

/* The number of a mount that the child would be handed. */
static int hand(struct job *job, const char *text, uint32_t *ret_number)
{
	int none = -1;

	note(job, arena_printf(&job->arena, "handed mount %zu: %s", job->handed.n_mounts,
			       text ? text : ""));
	handed_add(&job->handed, &none, ret_number);
	return 0;
}

static int note_snapshot(struct job *job, const struct step_snapshot *snapshot,
			 uint32_t *ret_number, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf text = {0};

	(void)err;
	job->explanation->on_fuse |= str_starts(snapshot->driver, "fuse");
	job->explanation->auto_driver |= str_eq(snapshot->driver, "auto");
	strbuf_add(&text, "a snapshot, lower");
	for (size_t i = 0; i < snapshot->lower.n; i++)
		strbuf_printf(&text, " %s", snapshot->lower.v[i]);
	if (snapshot->upper)
		strbuf_printf(&text, ", upper %s", snapshot->upper);
	else
		strbuf_add(&text, ", read-only");
	if (snapshot->work)
		strbuf_printf(&text, ", work %s", snapshot->work);
	strbuf_printf(&text, ", driver %s%s", snapshot->driver,
		      snapshot->throw_away ? ", volatile" : "");
	return hand(job, text.text, ret_number);
}

static int note_descriptor(struct job *job, uint32_t index, uint32_t *ret_number,
			   struct rb_err *err)
{
	(void)err;
	return hand(job, arena_printf(&job->arena, "the descriptor %u", index), ret_number);
}

static int note_part(struct job *job, const char *source, const char *selector,
		     uint32_t *ret_number, struct rb_err *err)
{
	(void)err;
	return hand(job, arena_printf(&job->arena, "%s below %s", selector, source), ret_number);
}

static int note_tree(struct job *job, const char *path, unsigned flags, uint32_t *ret_number)
{
	(void)flags;
	return hand(job, path, ret_number);
}

/* They are numbered as for a configuration that is run. */
static int note_overlays(struct job *job, struct rb_err *err)
{
	const struct spec *completed;
	char **names;
	int r = handed_name_from_spec(&job->arena, &job->handed, &job->step->spec, &completed,
				      &names, err);

	if (r < 0)
		return r;
	job->spec = *completed;
	for (size_t i = 0; names[i]; i++)
		note(job, names[i]);
	return 0;
}

/* Its mount is in the plan; what it says is not. */
static int note_file(struct job *job, const char *name, const char *text, struct rb_err *err)
{
	char *line = arena_printf(&job->arena, "%s/%s: %s", job->engine->directory, name, text);

	(void)err;
	for (char *at = line; at && *at; at++)
		if (*at == '\n')
			*at = at[1] ? ';' : '\0';
		else if (*at == '\t')
			*at = ' ';
	note(job, line);
	return 0;
}

/* Its descriptor is not there; the plan names the namespace as it will be named. */
static int note_network(struct job *job, const char **ret_path, struct rb_err *err)
{
	note(job, "the network namespace is the descriptor of the request");
	*ret_path = arena_printf(&job->arena, "/proc/self/fd/%d", job->step->netns_fd);
	return *ret_path ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "network");
}

/* Only a directory that is there already, and only for a user's name. */
static int open_path(struct job *job, int *ret_fd, struct rb_err *err)
{
	const struct step *step = job->step;
	int fd = -1;

	(void)err;
	if (!step->user_name && !step->group_name)
		return 0;
	if (step->root == STEP_PATH)
		fd = sys_openat(AT_FDCWD, job->spec.root_path, O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		note(job, "the user is looked up in the root once that is mounted; 0 stands for "
			  "it here");
	*ret_fd = fd < 0 ? -1 : fd;
	return 0;
}

static int note_filter(struct job *job, struct plan_options *options, struct rb_err *err)
{
	static const struct sock_filter stand_in[] = {{.code = BPF_RET | BPF_K}};

	(void)err;
	note(job, arena_printf(&job->arena,
			       "the filter is the descriptor %d of the request; one instruction "
			       "stands for it here",
			       job->step->filter_fd));
	options->bpf = stand_in;
	options->n_bpf = ARRAY_LEN(stand_in);
	job->spec.seccomp.present = true;
	return 0;
}

static bool asked_for_fuse(const struct job *job)
{
	return job->explanation->on_fuse;
}

static const struct job_hands hands = {
	.snapshot = note_snapshot,
	.descriptor = note_descriptor,
	.part = note_part,
	.tree = note_tree,
	.overlays = note_overlays,
	.file = note_file,
	.network = note_network,
	.root = open_path,
	.filter = note_filter,
	.is_on_fuse = asked_for_fuse,
};

static const char *stream_text(struct job *job, const struct step_io *io, int number)
{
	if (io->fds[number] != STEP_NO_FD)
		return arena_printf(&job->arena, "the descriptor %d", io->fds[number]);
	if (number == 2 && io->merge)
		return "where standard output goes";
	if (!io->in_band || (number == 0 && !io->wants_stdin))
		return "/dev/null";
	if (number > 0 && io->window == 0)
		return "messages, without a window";
	return arena_printf(&job->arena, "messages, at most %" PRIu64 " bytes ahead",
			    number ? io->window : LIMIT_WINDOW);
}

/* As runs.c opens them. */
static void note_streams(struct job *job)
{
	const struct step_io *io = &job->step->io;

	if (io->console != STEP_NO_FD)
		note(job,
		     arena_printf(&job->arena, "its terminal is the descriptor %d", io->console));
	else if (job->spec.process.terminal)
		note(job, arena_printf(&job->arena,
				       "its terminal is a new one: messages, at most %" PRIu64
				       " bytes ahead",
				       io->window));
	else
		note(job, arena_printf(&job->arena, "standard input: %s; output: %s; error: %s",
				       stream_text(job, io, 0), stream_text(job, io, 1),
				       stream_text(job, io, 2)));
}

static const char *keep_text(enum step_keep keep)
{
	return keep == STEP_NEVER ? "never" : keep == STEP_FAILURE ? "after a failure" : "always";
}

/* What is done when the program has ended, or ends it. */
static void note_end(struct job *job)
{
	const struct step *step = job->step;
	CLEANUP_STRBUF struct strbuf codes = {0};

	if (step->timeout_ms)
		note(job,
		     arena_printf(&job->arena,
				  "after %" PRIu64 " ms it gets TERM, %" PRIu64 " ms later KILL",
				  step->timeout_ms, step->grace_ms));
	for (size_t i = 0; i < step->n_valid_codes; i++)
		strbuf_printf(&codes, " %u", step->valid_codes[i]);
	if (step->n_valid_codes != 1 || step->valid_codes[0] != 0)
		note(job, arena_printf(&job->arena, "its end is \"ok\" with%s",
				       codes.len ? codes.text : " no code"));
	if (step->want_stats)
		note(job, "its figures are told each second");
	if (step->want_changes)
		note(job, "the changes of its root are in the answer");
	if (step->stubs.leaf)
		note(job, step->stubs.parents
				  ? "mount points that were missing are removed, with their parents"
				  : "mount points that were missing are removed");
	if (step->root_snapshot && step->root_snapshot->upper && step->keep_upper != STEP_ALWAYS)
		note(job, arena_printf(&job->arena, "the upper directory is kept: %s",
				       keep_text(step->keep_upper)));
	if (step->record != STEP_NEVER)
		note(job,
		     arena_printf(&job->arena, "a record is written: %s", keep_text(step->record)));
}

/* What is known of them only once the step begins, or happens around the plan. */
static void note_rest(struct job *job)
{
	const struct step *step = job->step;

	note(job, job->warning);
	for (size_t i = 0; !step->oci && i < step->spec.n_mounts; i++) {
		const struct step_mount *source = &step->mounts[i];

		if (source->source == STEP_SNAPSHOT && source->selector && source->selector[0])
			note(job,
			     arena_printf(&job->arena, "handed mount %u is %s below that snapshot",
					  job->spec.mounts[i].handed - 1, source->selector));
	}
	if (job->explanation->auto_driver && !job->explanation->on_fuse && step->default_filter)
		note(job, "should a snapshot be served by fuse-overlayfs, the filter refuses "
			  "character devices 0:0 as well");
}

static const char used_net_note[] =
	"in a worker the network namespace is a new one, or that of an earlier step which sent "
	"nothing and left no socket in it";

static int build_parts(struct job *job, const struct plan_options *options, struct rb_err *err)
{
	struct job_explanation *e = job->explanation;
	const struct host *host = &job->engine->host;
	int r = plan_build_first(&job->arena, &job->spec, host, options, &e->plan, err);

	if (r < 0 || (r = plan_check(e->plan, err)) < 0)
		return r;
	if (!job_hand_over_all(job))
		return err_set(err, RB_CONFIG_LIMIT, 0, "more than %d mounts", LIMIT_PART_MOUNTS);
	r = plan_build_second(&job->arena, &job->spec, host, options, &e->second, err);
	return r == 0 ? plan_check(e->second, err) : r;
}

int job_explain(struct job *job, bool parts, struct job_explanation *ret_explanation,
		struct rb_err *err)
{
	struct job_explanation *e = ret_explanation;
	struct plan_options options;
	bool has_parts;
	int r;

	*e = (struct job_explanation){.n_notes = 0};
	job->explanation = e;
	job->hands = &hands;
	if (!host_has_cap(&job->engine->host, CAP_SYS_ADMIN))
		note(job, "this user's step runs as root of a namespace: 'runbuild rootless -- "
			  "runbuild explain' shows the plan there");
	job->spec = job->step->spec;
	if ((r = engine_default_filter(job->engine, err)) < 0 ||
	    (r = job_add_network(job, err)) < 0 || (r = job_add_mounts(job, err)) < 0 ||
	    (r = job_look_into_root(job, err)) < 0)
		return r;
	options = job_plan_options(job);
	if ((r = job_choose_filter(job, &options, err)) < 0)
		return r;
	note_rest(job);
	note_streams(job);
	note_end(job);
	has_parts = !job->step->oci && plan_has_parts(&job->spec, &options);
	if (parts && !has_parts)
		note(job, "this step has no parts: each gets a child of its own");
	if (parts && has_parts)
		r = build_parts(job, &options, err);
	else
		r = plan_build(&job->arena, &job->spec, &job->engine->host, &options, &e->plan,
			       err);
	if (r == 0 && has_parts && pool_has_own_net(e->plan))
		note(job, used_net_note);
	return r == 0 && !e->second ? plan_check(e->plan, err) : r;
}
