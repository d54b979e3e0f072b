/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `explain`: what `run` would do with a bundle, or `step` and a worker with a step, without doing
 * it; or what an error code means.
 * Needs no privilege, and with --host-facts not even the host in question.
 */
#include "base/file.h"
#include "cmd/cmd.h"
#include "cmd/verbs.h"
#include "diag/catalogue.h"
#include "worker/job.h"

struct explain_options {
	const char *bundle;
	const char *format;
	const char *host_facts;
	bool create;
	bool no_pivot;
	bool env;
	bool print_host;
	const char *step;
	bool parts;
};

#define OPT(member) offsetof(struct explain_options, member)

static const struct option_entry explain_option_table[] = {
	{"bundle", 'b', OPTION_STRING, OPT(bundle), "DIR",
	 "the bundle; default: the current directory"},
	{"format", 0, OPTION_STRING, OPT(format), "text|json", "format of the plan"},
	{"create", 0, OPTION_FLAG, OPT(create), NULL, "what 'create' would do instead of 'run'"},
	{"no-pivot", 0, OPTION_FLAG, OPT(no_pivot), NULL, "as the option of 'run'"},
	{"env", 0, OPTION_FLAG, OPT(env), NULL, "show environment values; they may be secret"},
	{"host-facts", 0, OPTION_STRING, OPT(host_facts), "FILE",
	 "plan for the host described in FILE instead of this one"},
	{"print-host-facts", 0, OPTION_FLAG, OPT(print_host), NULL,
	 "print the facts of this host in the form --host-facts reads"},
	{"step", 0, OPTION_STRING, OPT(step), "FILE",
	 "a step, as 'step --print' prints it, instead of a bundle; -: standard input"},
	{"parts", 0, OPTION_FLAG, OPT(parts), NULL,
	 "the step as a worker does it that has a process waiting"},
	OPTION_END,
};

static int explain_code(const char *code, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf text = {0};

	if (catalogue_print(code, &text) < 0) {
		err_set(err, RB_USAGE, 0, "unknown error code '%.20s'", code);
		err_fix(err, "codes look like RB0102; runbuild-errors(7) lists them");
		return -EINVAL;
	}
	return print_all(&text, err);
}

static int explain_host(struct arena *arena, const struct explain_options *options,
			const struct spec *spec, struct host *host, struct rb_err *err)
{
	char *text;
	int r;

	if (!options->host_facts)
		return host_probe(spec ? bundle_host_wants(spec) : HOST_WANT_ALL, host, err);
	r = file_read_at(arena, AT_FDCWD, options->host_facts, LIMIT_CONFIG_BYTES, &text, NULL);
	if (r < 0)
		return err_set(err, RB_USAGE, -r, "cannot read host facts '%s'",
			       options->host_facts);
	return host_load(text, host, err);
}

static int print_flags(const struct explain_options *options, unsigned *ret_flags,
		       struct rb_err *err)
{
	*ret_flags = options->env ? PLAN_PRINT_ENV : 0;
	if (options->format && str_eq(options->format, "json"))
		*ret_flags |= PLAN_PRINT_JSON;
	else if (options->format && !str_eq(options->format, "text"))
		return err_set(err, RB_USAGE, 0, "unknown format '%.40s'", options->format);
	return 0;
}

/* Overlays are mounted before the container is made, as run_mount_overlays() does. */
static int name_overlays(struct arena *arena, const struct spec **spec, unsigned flags,
			 struct strbuf *out, struct rb_err *err)
{
	struct handed handed = {0};
	char **names;
	int r = handed_name_from_spec(arena, &handed, *spec, spec, &names, err);

	for (size_t i = 0; r == 0 && !(flags & PLAN_PRINT_JSON) && names[i]; i++)
		strbuf_printf(out, "# %s\n", names[i]);
	return r;
}

static int explain_bundle(struct arena *arena, const struct globals *globals,
			  const struct explain_options *options, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	struct plan_options plan_options = {
		.id = "ID",
		.foreground = !options->create,
		.wait_start = options->create,
		.no_pivot = options->no_pivot,
	};
	const struct plan *plan;
	struct bundle bundle;
	struct host host;
	unsigned flags;
	int r = print_flags(options, &flags, err);

	if (r < 0 || (r = bundle_load(arena, options->bundle, &bundle, err)) < 0)
		return r;
	if (bundle.spec->process.terminal)
		plan_options.console = options->create ? CONSOLE_SOCKET : CONSOLE_OWN;
	plan_options.add_pid_namespace = !options->create &&
					 !spec_namespace_find(bundle.spec, CLONE_NEWPID);
	if ((r = explain_host(arena, options, bundle.spec, &host, err)) < 0 ||
	    (r = globals_cgroup(globals, &host, &plan_options, err)) < 0 ||
	    (r = network_choose(arena, bundle.spec, &host, &plan_options, NULL, err)) < 0 ||
	    (r = name_overlays(arena, &bundle.spec, flags, &text, err)) < 0 ||
	    (r = plan_build(arena, bundle.spec, &host, &plan_options, &plan, err)) < 0 ||
	    (r = plan_check(plan, err)) < 0)
		return r;
	plan_print(plan, flags, &text);
	return print_all(&text, err);
}

/* The parameters of step.run, or the whole request. */
static int read_step(struct arena *arena, const char *path, struct step *step, struct rb_err *err)
{
	const struct json_node *node;
	struct step_unknown unknown;
	char *text;
	size_t len;
	int r = str_eq(path, "-")
			? stream_read(arena, STDIN_FILENO, LIMIT_CONFIG_BYTES, &text, &len)
			: file_read_named(arena, path, LIMIT_CONFIG_BYTES, &text, &len);

	if (r < 0) {
		err_set(err, RB_USAGE, -r, "cannot read '%s'", path);
		err_fix(err, "name the file of a step, as 'runbuild step --print' writes it, or -");
		return r;
	}
	r = json_parse(arena, path, text, len, &node, err);
	if (r < 0)
		return r;
	if (json_member(node, "method"))
		node = json_member(node, "params");
	return step_parse(arena, node, LIMIT_MESSAGE_FDS, step, &unknown, err);
}

static void print_json_explanation(const struct job_explanation *e, unsigned flags,
				   struct strbuf *out)
{
	strbuf_add(out, "{\"notes\":[");
	for (size_t i = 0; i < e->n_notes; i++) {
		strbuf_add(out, i ? "," : "");
		strbuf_add_json(out, e->notes[i]);
	}
	strbuf_add(out, "],\"plan\":");
	plan_print(e->plan, flags, out);
	if (e->second) {
		strbuf_add(out, ",\"second\":");
		plan_print(e->second, flags, out);
	}
	strbuf_add(out, "}\n");
}

static void print_explanation(const struct job_explanation *e, unsigned flags, struct strbuf *out)
{
	if (flags & PLAN_PRINT_JSON) {
		print_json_explanation(e, flags, out);
		return;
	}
	for (size_t i = 0; i < e->n_notes; i++)
		strbuf_printf(out, "# %s\n", e->notes[i]);
	if (e->second)
		strbuf_add(out, "# before the step is known:\n");
	plan_print(e->plan, flags, out);
	if (!e->second)
		return;
	strbuf_add(out, "# once it is known:\n");
	plan_print(e->second, flags, out);
}

static int explain_step(struct arena *arena, const struct explain_options *options,
			struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	CLEANUP_FREE struct job *job = calloc(1, sizeof(*job));
	struct job_explanation *e = arena_alloc(arena, sizeof(*e));
	struct engine engine = {
		.name = "run-ID", .directory = "RUN", .directory_fd = -1, .root.fd = -1};
	struct step step;
	unsigned flags;
	int r = print_flags(options, &flags, err);

	if (!job || !e)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "step");
	if (r < 0 || (r = read_step(arena, options->step, &step, err)) < 0 ||
	    (r = explain_host(arena, options, NULL, &engine.host, err)) < 0)
		return r;
	job_init(job, &engine, &step);
	r = job_explain(job, options->parts, e, err);
	if (r == 0) {
		print_explanation(e, flags, &text);
		r = print_all(&text, err);
	}
	arena_free(&job->arena);
	arena_free(&engine.arena);
	return r;
}

static int explain_main(struct arena *arena, const struct globals *globals, const void *options,
			int argc, char **argv, struct rb_err *err)
{
	const struct explain_options *explain_options = options;

	if (argc == 1)
		return explain_code(argv[0], err);
	if (explain_options->print_host) {
		CLEANUP_STRBUF struct strbuf text = {0};
		struct host host;
		int r = explain_host(arena, explain_options, NULL, &host, err);

		if (r < 0)
			return r;
		host_print(&host, &text);
		return print_all(&text, err);
	}
	if (explain_options->step)
		return explain_step(arena, explain_options, err);
	return explain_bundle(arena, globals, explain_options, err);
}

const struct verb verb_explain = {
	.name = "explain",
	.summary = "show what would be done with a bundle or a step, or what an error code means",
	.args = "[RBnnnn]",
	.max_args = 1,
	.options = explain_option_table,
	.options_size = sizeof(struct explain_options),
	.run = explain_main,
};
