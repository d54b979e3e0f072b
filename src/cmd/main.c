/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry point: global options, the verb, the one place that prints an error. The program may be
 * installed under the names runc and buildkit-runc, on which nothing depends, and rootlesskit, which
 * makes it the launcher with RootlessKit's options.
 */
#include <signal.h>
#include "base/file.h"
#include "cmd/cmd.h"
#include "cmd/verbs.h"
#include "diag/catalogue.h"
#include "diag/doctor.h"

const struct option_entry global_options[] = {
	{"root", 0, OPTION_STRING, offsetof(struct globals, root), "DIR",
	 "where the state of containers is kept"},
	{"log", 0, OPTION_STRING, offsetof(struct globals, log), "FILE",
	 "append warnings and errors to FILE"},
	{"log-format", 0, OPTION_STRING, offsetof(struct globals, log_format), "text|json",
	 "format of the log"},
	{"debug", 0, OPTION_FLAG, offsetof(struct globals, debug), NULL,
	 "log debug messages as well"},
	{"systemd-cgroup", 0, OPTION_FLAG, offsetof(struct globals, systemd_cgroup), NULL,
	 "as --cgroup-manager=systemd"},
	{"cgroup-manager", 0, OPTION_STRING, offsetof(struct globals, cgroup_manager), "MANAGER",
	 "who makes cgroups: cgroupfs (default), systemd or disabled"},
	{"rootless", 0, OPTION_STRING, offsetof(struct globals, rootless), "true|false|auto",
	 "whether a cgroup that may not be made is an error"},
	{"criu", 0, OPTION_STRING, offsetof(struct globals, criu), "PATH",
	 "the program for checkpoint and restore; else looked for"},
	{"version", 'v', OPTION_FLAG, offsetof(struct globals, version), NULL, "print the version"},
	OPTION_END,
};

/* As what we were called: the program may be installed as runc. */
static const char *program_name(const struct globals *globals)
{
	const char *slash = strrchr(globals->argv[0], '/');

	return slash ? slash + 1 : globals->argv[0];
}

static void help_program(const struct globals *globals, struct strbuf *out)
{
	const char *name = program_name(globals);

	strbuf_printf(out,
		      "NAME:\n   %s - Open Container Initiative runtime and rootless launcher\n\n"
		      "USAGE:\n   %s [global options] VERB [options] [arguments]\n\nVERBS:\n",
		      name, name);
	for (size_t i = 0; verbs[i]; i++)
		strbuf_printf(out, "   %-12s %s\n", verbs[i]->name, verbs[i]->summary);
	strbuf_add(out, "\nGLOBAL OPTIONS:\n");
	options_help(global_options, out);
}

static void help_verb(const struct globals *globals, const struct verb *verb, struct strbuf *out)
{
	const char *name = program_name(globals);

	strbuf_printf(out, "NAME:\n   %s %s - %s\n\nUSAGE:\n   %s %s [options] %s\n\nOPTIONS:\n",
		      name, verb->name, verb->summary, name, verb->name, verb->args);
	options_help(verb->options, out);
}

static const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; verbs[i]; i++)
		if (str_eq(name, verbs[i]->name))
			return verbs[i];
	return NULL;
}

static int check_count(const struct verb *verb, int n, struct rb_err *err)
{
	if (n >= verb->min_args && (verb->max_args < 0 || n <= verb->max_args))
		return 0;
	if (verb->min_args == verb->max_args)
		err_set(err, RB_USAGE, 0, "\"%s\" requires exactly %d argument(s)", verb->name,
			verb->min_args);
	else if (n < verb->min_args)
		err_set(err, RB_USAGE, 0, "\"%s\" requires a minimum of %d argument(s)", verb->name,
			verb->min_args);
	else
		err_set(err, RB_USAGE, 0, "\"%s\" requires a maximum of %d argument(s)", verb->name,
			verb->max_args);
	err_fix(err, "runbuild %s [options] %s", verb->name, verb->args);
	return -EINVAL;
}

/* Too few or too many words: runc prints the verb's help on standard output as well. */
static int refuse_count(const struct globals *globals, const struct verb *verb, int n,
			struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	int r = check_count(verb, n, err);

	if (r < 0) {
		help_verb(globals, verb, &text);
		(void)print_all(&text, NULL);
	}
	return r;
}

/* *ret_started is set once the call as such was right: its errors have the verb's own status. */
static int run_verb(struct arena *arena, const struct verb *verb, const struct globals *globals,
		    int argc, char **argv, const struct verb **ret_started, struct rb_err *err)
{
	void *options = arena_alloc(arena, verb->options_size ? verb->options_size : 1);
	/* words behind a command (exec, ps, rootless) are the command's */
	struct options_result result = {.mixed = verb->max_args >= 0};
	int r;

	if (!options)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "options");
	r = options_parse(arena, verb->options, argc, argv, options, &result, err);
	if (r < 0)
		return r;
	if (result.help) {
		CLEANUP_STRBUF struct strbuf text = {0};

		help_verb(globals, verb, &text);
		return print_all(&text, err);
	}
	argc -= r;
	argv += r;
	r = refuse_count(globals, verb, argc, err);
	if (r < 0)
		return r;
	*ret_started = verb;
	log_debug("%s %s", verb->name, argc > 0 ? argv[0] : "");
	return verb->run(arena, globals, options, argc, argv, err);
}

static int run_program(struct arena *arena, struct globals *globals, int argc, char **argv,
		       const struct verb **ret_started, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	const struct verb *verb;
	struct options_result result = {.mixed = false};
	int at = options_parse(arena, global_options, argc, argv, globals, &result, err);
	int r;

	if (at < 0)
		return at;
	if (globals->version) {
		version_text(program_name(globals), &text);
		return print_all(&text, err);
	}
	if (result.help || at >= argc || (str_eq(argv[at], "help") && at + 1 >= argc)) {
		help_program(globals, &text);
		return print_all(&text, err);
	}
	if (globals->log_format && !str_eq(globals->log_format, "text") &&
	    !str_eq(globals->log_format, "json")) {
		err_set(err, RB_USAGE, 0, "unknown log format '%.40s'", globals->log_format);
		err_fix(err, "use text or json");
		return -EINVAL;
	}
	r = log_open(globals->log, globals->log_format && str_eq(globals->log_format, "json"),
		     globals->debug, err);
	if (r < 0)
		return r;
	verb = verb_find(argv[at]);
	if (!verb) {
		err_set(err, RB_UNKNOWN_COMMAND, 0, "No help topic for '%.60s'", argv[at]);
		err_fix(err, "'runbuild --help' lists the verbs");
		return -EINVAL;
	}
	return run_verb(arena, verb, globals, argc - at, argv + at, ret_started, err);
}

static bool is_called(const char *argv0, const char *name)
{
	const char *slash = argv0 ? strrchr(argv0, '/') : NULL;

	return argv0 && str_eq(slash ? slash + 1 : argv0, name);
}

/* Below the error of a launcher, when the host rather than the command line is at fault. */
static void hint(const struct verb *verb, enum rb_code code)
{
	static const char *const launchers[] = {"rootless", "unshare", "daemonless", "rootlesskit"};
	static const char text[] =
		"runbuild: hint: 'runbuild doctor' tries all that rootless builds need of this "
		"host\n";

	for (size_t i = 0; i < ARRAY_LEN(launchers); i++)
		if (verb && str_eq(verb->name, launchers[i]) && doctor_helps(code))
			(void)fd_write_all(STDERR_FILENO, text, sizeof(text) - 1);
}

/* Where the error happened nothing better was known: the general remedy of its code. */
static void add_remedy(struct rb_err *err)
{
	const struct catalogue_entry *entry = err->fix[0] ? NULL : catalogue_find((int)err->code);

	if (entry)
		err_fix(err, "%.*s",
			(int)strlen(entry->fix) - (entry->fix[strlen(entry->fix) - 1] == '.'),
			entry->fix);
}

int main(int argc, char **argv)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct globals globals = {.argv = argv};
	const struct verb *started = NULL;
	struct rb_err err = {0};
	int r;

	/* a closed log or pipe is an error of one write, not the end of a step's supervision */
	signal(SIGPIPE, SIG_IGN);
	/* ignored by our caller, children would vanish without a status: waitid(2), NOTES */
	signal(SIGCHLD, SIG_DFL);
	/* a limit on file sizes is EFBIG for us: setrlimit(2) */
	signal(SIGXFSZ, SIG_IGN);
	if (is_called(argv[0], "rootlesskit")) {
		rootlesskit_words(&arena, argc, argv);
		r = run_verb(&arena, &verb_rootlesskit, &globals, argc, argv, &started, &err);
	} else {
		r = run_program(&arena, &globals, argc, argv, &started, &err);
	}
	if (r >= 0)
		return r;
	add_remedy(&err);
	log_error(&err);
	hint(started, err.code);
	if (err.status)
		return err.status;
	if (err.code == RB_UNKNOWN_COMMAND)
		return 3;
	return started && started->error_status ? started->error_status : 1;
}
