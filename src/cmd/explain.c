/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `explain`: what `run` would do with a bundle, without doing it; or what an error code means.
 * Needs no privilege, and with --host-facts not even the host in question.
 */
#include "base/file.h"
#include "cmd/cmd.h"
#include "cmd/verbs.h"
#include "diag/catalogue.h"

struct explain_options {
	const char *bundle;
	const char *format;
	const char *host_facts;
	bool create;
	bool no_pivot;
	bool env;
	bool print_host;
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
	unsigned flags = options->env ? PLAN_PRINT_ENV : 0;
	int r;

	if (options->format && str_eq(options->format, "json"))
		flags |= PLAN_PRINT_JSON;
	else if (options->format && !str_eq(options->format, "text"))
		return err_set(err, RB_USAGE, 0, "unknown format '%.40s'", options->format);
	r = bundle_load(arena, options->bundle, &bundle, err);
	if (r < 0)
		return r;
	if (bundle.spec->process.terminal)
		plan_options.console = options->create ? CONSOLE_SOCKET : CONSOLE_OWN;
	plan_options.add_pid_namespace = !options->create &&
					 !spec_namespace_find(bundle.spec, CLONE_NEWPID);
	if ((r = explain_host(arena, options, bundle.spec, &host, err)) < 0 ||
	    (r = globals_cgroup(globals, &host, &plan_options, err)) < 0 ||
	    (r = network_choose(arena, bundle.spec, &host, &plan_options, NULL, err)) < 0 ||
	    (r = plan_build(arena, bundle.spec, &host, &plan_options, &plan, err)) < 0 ||
	    (r = plan_check(plan, err)) < 0)
		return r;
	plan_print(plan, flags, &text);
	return print_all(&text, err);
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
	return explain_bundle(arena, globals, explain_options, err);
}

const struct verb verb_explain = {
	.name = "explain",
	.summary = "show what would be done with a bundle, or what an error code means",
	.args = "[RBnnnn]",
	.max_args = 1,
	.options = explain_option_table,
	.options_size = sizeof(struct explain_options),
	.run = explain_main,
};
