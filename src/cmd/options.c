/* SPDX-License-Identifier: Apache-2.0 */
/* The table-driven option parser; getopt_long(3) does the splitting. Runs before anything else. */
#include <getopt.h>
#include "base/num.h"
#include "base/strbuf.h"
#include "cmd/options.h"

enum { OPTIONS_MAX = 40 };

static int option_store(struct arena *arena, const struct option_entry *entry, const char *value,
			void *target, struct rb_err *err)
{
	char *member = (char *)target + entry->offset;

	switch (entry->type) {
	case OPTION_CHOICE:
	case OPTION_FLAG:
		/* Go's flag package, which clients are written for, knows --flag=false */
		if (value && !str_eq(value, "true") && !str_eq(value, "false"))
			return err_set(err, RB_USAGE, 0, "--%s takes no argument", entry->name);
		if (entry->type == OPTION_FLAG)
			*(bool *)member = !value || str_eq(value, "true");
		else
			*(enum option_choice *)member = !value || str_eq(value, "true") ? CHOICE_YES
											: CHOICE_NO;
		return 0;
	case OPTION_STRING: *(const char **)member = value; return 0;
	case OPTION_U32:
		if (num_parse_u32(value, (uint32_t *)member) < 0)
			return err_set(err, RB_USAGE, 0, "--%s needs a number, not '%.60s'",
				       entry->name, value);
		return 0;
	case OPTION_LIST: {
		struct option_list *list = (struct option_list *)member;
		const char **v = arena_array(arena, list->n + 2, sizeof(*v));

		if (!v)
			return err_set(err, RB_NO_MEMORY, ENOMEM, "options");
		if (list->n)
			memcpy(v, list->v, list->n * sizeof(*v));
		v[list->n++] = value;
		list->v = v;
		return 0;
	}
	case OPTION_IGNORED: return 0;
	}
	return 0;
}

static bool option_takes_value(const struct option_entry *entry)
{
	return entry->type == OPTION_STRING || entry->type == OPTION_LIST ||
	       entry->type == OPTION_U32;
}

int options_parse(struct arena *arena, const struct option_entry *table, int argc, char **argv,
		  void *target, struct options_result *result, struct rb_err *err)
{
	struct option longs[OPTIONS_MAX + 2] = {{0}};
	char shorts[3 * OPTIONS_MAX + 8] = "+:h";
	const char *order = shorts + result->mixed; /* without '+': permute, getopt(3) */
	size_t at = 3;
	size_t n = 0;
	int found;

	for (; table[n].name && n < OPTIONS_MAX; n++) {
		bool value = option_takes_value(&table[n]);

		longs[n] = (struct option){table[n].name,
					   value ? required_argument : optional_argument, NULL,
					   256 + (int)n};
		if (table[n].letter) {
			shorts[at++] = table[n].letter;
			if (value)
				shorts[at++] = ':';
		}
	}
	shorts[at] = '\0';
	longs[n] = (struct option){"help", no_argument, NULL, 'h'};
	opterr = 0;
	optind = 0; /* getopt(3), NOTES: begin again */
	while ((found = getopt_long(argc, argv, order, longs, NULL)) != -1) {
		const struct option_entry *entry = NULL;
		int r;

		if (found == 'h') {
			result->help = true;
			return 0;
		}
		if (found >= 256)
			entry = &table[found - 256];
		for (size_t i = 0; i < n && !entry; i++)
			if (table[i].letter && table[i].letter == found)
				entry = &table[i];
		if (!entry) {
			/* podman and CRI-O look for the first sentence when they ask whether an
			 * option is there */
			err_set(err, RB_USAGE, 0,
				found == ':' ? "option '%s' requires an argument"
					     : "unknown option '%s'",
				argv[optind - 1]);
			err_fix(err, "--help lists the options");
			return -EINVAL;
		}
		r = option_store(arena, entry, optarg, target, err);
		if (r < 0)
			return r;
	}
	return optind;
}

void options_help(const struct option_entry *table, struct strbuf *out)
{
	for (size_t i = 0; table[i].name; i++) {
		char left[64];
		int len = snprintf(left, sizeof(left), "--%s%s%s", table[i].name,
				   table[i].arg ? " " : "", table[i].arg ? table[i].arg : "");

		if (table[i].letter && len > 0 && (size_t)len < sizeof(left))
			snprintf(left + len, sizeof(left) - (size_t)len, ", -%c", table[i].letter);
		strbuf_printf(out, "   %-32s %s\n", left, table[i].help);
	}
	strbuf_printf(out, "   %-32s %s\n", "--help, -h", "show this help");
}
