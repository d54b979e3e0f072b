/* SPDX-License-Identifier: Apache-2.0 */
/* `rootless`, `unshare` and `enter`; and the name rootlesskit with RootlessKit's own options. */
#include "base/env.h"
#include "cmd/cmd.h"
#include "cmd/rootless_options.h"
#include "cmd/verbs.h"
#include "rootless/enter.h"

static const struct option_entry rootless_table[] = {ROOTLESS_OPTIONS, OPTION_END};

static int rootless_main(struct arena *arena, const struct globals *globals UNUSED,
			 const void *options, int argc UNUSED, char **argv, struct rb_err *err)
{
	struct rootless_options rootless = {.command = argv};
	int rc = rootless_options_read(arena, options, &rootless, err);

	return rc < 0 ? rc : rootless_run(arena, &rootless, err);
}

const struct verb verb_rootless = {
	.name = "rootless",
	.summary = "run a command as root of a user namespace with all subordinate ids",
	.args = "-- COMMAND [ARGUMENT...]",
	.min_args = 1,
	.max_args = -1,
	.options = rootless_table,
	.options_size = sizeof(struct rootless_arguments),
	.error_status = 125,
	.run = rootless_main,
};

/* A shell when no command is given. */
static char *const *command_or_shell(struct arena *arena, int argc, char **argv)
{
	const char *shell = env_get("SHELL");
	char **command = arena_array(arena, 2, sizeof(*command));

	if (argc > 0)
		return argv;
	if (command)
		command[0] = arena_strdup(arena, shell && shell[0] == '/' ? shell : "/bin/sh");
	return command && command[0] ? command : NULL;
}

static int unshare_main(struct arena *arena, const struct globals *globals UNUSED,
			const void *options UNUSED, int argc, char **argv, struct rb_err *err)
{
	struct rootless_options rootless = {
		.pidns = PIDNS_NO,
		.command = command_or_shell(arena, argc, argv),
	};

	return rootless.command ? rootless_run(arena, &rootless, err)
				: err_set(err, RB_NO_MEMORY, ENOMEM, "command");
}

static const struct option_entry no_options[] = {OPTION_END};

const struct verb verb_unshare = {
	.name = "unshare",
	.summary = "run a command or a shell with the ids that rootless maps, to look at its files",
	.args = "[-- COMMAND [ARGUMENT...]]",
	.min_args = 0,
	.max_args = -1,
	.options = no_options,
	.options_size = 0,
	.error_status = 125,
	.run = unshare_main,
};

struct enter_arguments {
	const char *state_dir;
};

static const struct option_entry enter_table[] = {
	{"state-dir", 0, OPTION_STRING, offsetof(struct enter_arguments, state_dir), "DIR",
	 "of the launcher; default: the only one that runs"},
	OPTION_END,
};

static int enter_main(struct arena *arena, const struct globals *globals UNUSED,
		      const void *options, int argc, char **argv, struct rb_err *err)
{
	const struct enter_arguments *arguments = options;
	char *const *command = command_or_shell(arena, argc, argv);

	return command ? enter_run(arena, arguments->state_dir, command, err)
		       : err_set(err, RB_NO_MEMORY, ENOMEM, "command");
}

const struct verb verb_enter = {
	.name = "enter",
	.summary = "run a command or a shell inside a running launcher",
	.args = "[-- COMMAND [ARGUMENT...]]",
	.min_args = 0,
	.max_args = -1,
	.options = enter_table,
	.options_size = sizeof(struct enter_arguments),
	.error_status = 125,
	.run = enter_main,
};

/* ---- the name rootlesskit ---- */

static const struct option_entry rootlesskit_table[] = {
	ROOTLESS_OPTIONS,
	{"vpnkit-binary", 0, OPTION_STRING, ROOTLESS_OPT(vpnkit_binary), "PATH",
	 "accepted, not used"},
	{"lxc-user-nic-binary", 0, OPTION_STRING, ROOTLESS_OPT(lxc_binary), "PATH",
	 "accepted, not used"},
	{"lxc-user-nic-bridge", 0, OPTION_STRING, ROOTLESS_OPT(lxc_bridge), "NAME",
	 "accepted, not used"},
	{"debug", 0, OPTION_FLAG, ROOTLESS_OPT(debug), NULL, "log debug messages as well"},
	{"print-semver", 0, OPTION_FLAG, ROOTLESS_OPT(print_semver), NULL,
	 "print the version of RootlessKit that is stood in for"},
	{"version", 'v', OPTION_FLAG, ROOTLESS_OPT(version), NULL, "print the version"},
	OPTION_END,
};

#define ROOTLESSKIT_VERSION "2.3.5"

static int rootlesskit_run(struct arena *arena, const struct globals *globals UNUSED,
			   const void *options, int argc, char **argv, struct rb_err *err)
{
	const struct rootless_arguments *arguments = options;
	struct rootless_options rootless = {.command = argv, .pidns = PIDNS_NO, .compatible = true};
	CLEANUP_STRBUF struct strbuf text = {0};
	int rc;

	if (arguments->version || arguments->print_semver) {
		strbuf_printf(&text, "%s%s\n", arguments->version ? "rootlesskit version " : "",
			      ROOTLESSKIT_VERSION);
		return print_all(&text, err);
	}
	if (arguments->debug)
		(void)log_open(NULL, false, true, NULL);
	if (argc == 0) {
		err_set(err, RB_USAGE, 0, "no command specified");
		err_fix(err, "rootlesskit [options] COMMAND [ARGUMENT...]");
		return -EINVAL;
	}
	rc = rootless_options_read(arena, arguments, &rootless, err);
	rootless.net.allow_host_addresses = true; /* as its users know it */
	return rc < 0 ? rc : rootless_run(arena, &rootless, err);
}

const struct verb verb_rootlesskit = {
	.name = "rootlesskit",
	.summary = "the launcher with the options and exit statuses of RootlessKit",
	.args = "COMMAND [ARGUMENT...]",
	.min_args = 0,
	.max_args = -1,
	.options = rootlesskit_table,
	.options_size = sizeof(struct rootless_arguments),
	.error_status = 1,
	.run = rootlesskit_run,
};

static const struct option_entry *rootlesskit_option(const char *word)
{
	size_t len = strcspn(word, "=");

	for (const struct option_entry *entry = rootlesskit_table; entry->name; entry++)
		if (strlen(entry->name) == len && strncmp(entry->name, word, len) == 0)
			return entry;
	return NULL;
}

/* Go's flag package takes -name for --name; getopt_long(3) would read single letters. */
void rootlesskit_words(struct arena *arena, int argc, char **argv)
{
	for (int i = 1; i < argc && argv[i][0] == '-' && !str_eq(argv[i], "--"); i++) {
		const char *word = argv[i] + 1 + (argv[i][1] == '-');
		const struct option_entry *entry = rootlesskit_option(word);
		bool value = entry && (entry->type == OPTION_STRING || entry->type == OPTION_U32 ||
				       entry->type == OPTION_LIST);
		char *longer = entry && argv[i][1] != '-' ? arena_printf(arena, "--%s", word)
							  : NULL;

		if (longer)
			argv[i] = longer;
		if ((value && !strchr(word, '=')) || str_eq(argv[i], "-p"))
			i++;
	}
}
