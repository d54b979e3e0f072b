/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Command-line options as one table per verb: the parser, --help and the manual pages all come
 * from it (tests/lint/options compares them).
 */
#include "base/arena.h"
#include "base/err.h"

enum option_type {
	OPTION_CHOICE,  /* enum option_choice: a flag that knows when it was not given */
	OPTION_FLAG,    /* bool */
	OPTION_STRING,  /* const char * */
	OPTION_LIST,    /* struct option_list, in order */
	OPTION_U32,     /* uint32_t */
	OPTION_IGNORED, /* accepted for compatibility, without effect; takes no argument */
};

enum option_choice { CHOICE_NONE, CHOICE_YES, CHOICE_NO };

struct option_list {
	const char **v;
	size_t n;
};

struct option_entry {
	const char *name; /* long name, without dashes */
	char letter;      /* 0: none */
	enum option_type type;
	size_t offset;   /* of the member in the verb's struct */
	const char *arg; /* name of the argument in the help, NULL for flags */
	const char *help;
};

/* clang-format off */
#define OPTION_END {NULL, 0, OPTION_FLAG, 0, NULL, NULL}
/* clang-format on */

/*
 * Reads options from argv[1] on into the struct at target, up to the first word that is not one
 * or "--"; with result->mixed all of them, and the words are moved to the end of argv. Returns the
 * index of the first word in argv. -EINVAL with *err (RB_USAGE) for an unknown option or a bad
 * argument; result->help is set for -h and --help.
 */
struct options_result {
	bool mixed; /* in: options may stand behind the first word, as runc's users write them */
	bool help;
};

int options_parse(struct arena *arena, const struct option_entry *table, int argc, char **argv,
		  void *target, struct options_result *result, struct rb_err *err);

/* The OPTIONS section, one line per option. */
struct strbuf;
void options_help(const struct option_entry *table, struct strbuf *out);
