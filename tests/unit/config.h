/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Configurations for tests: a minimal one with members added at the top, to "process" or to
 * "linux", and the refusals that each must give.
 */
#include "spec/spec.h"
#include "base/file.h"
#include "tap.h"

enum place { TOP, PROCESS, LINUX, WHOLE };

/* Members begin with a comma; NULL means none. WHOLE: the text is the document. */
static inline const char *config_text(struct arena *arena, enum place place, const char *members)
{
	if (place == WHOLE)
		return members;
	return arena_printf(arena,
			    "{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"rootfs\"}%s,"
			    "\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\"%s},\"linux\":{"
			    "\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"uts\"},"
			    "{\"type\":\"ipc\"},{\"type\":\"network\"}]%s}}",
			    place == TOP ? members : "", place == PROCESS ? members : "",
			    place == LINUX ? members : "");
}

/* Parses, or fails the test with the error's text. */
static inline const struct spec *parse_text(struct arena *arena, const char *text)
{
	const struct spec *spec = NULL;
	struct rb_err err = {0};
	char line[sizeof(err) + 64];

	if (spec_parse(arena, text, strlen(text), "/bundle", &spec, &err) < 0) {
		printf("# %s\n", err_line(&err, line, sizeof(line)));
		tap_ok = false;
	}
	return spec;
}

static inline const struct spec *parse_with(struct arena *arena, enum place place,
					    const char *members)
{
	return parse_text(arena, config_text(arena, place, members));
}

struct refusal {
	enum place place;
	const char *members;
	enum rb_code code;
	const char *origin;
};

/* Each must be refused with its code and its pointer, and leave the result alone. */
static inline void check_refusals(const struct refusal *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		CLEANUP_ARENA struct arena arena = {0};
		const char *text = config_text(&arena, rows[i].place, rows[i].members);
		const struct spec *spec = NULL;
		struct rb_err err = {0};
		int r = spec_parse(&arena, text, strlen(text), "/bundle", &spec, &err);

		if (r == -EINVAL && !spec && err.code == rows[i].code && err.what[0] &&
		    str_eq(err.origin, rows[i].origin))
			continue;
		printf("# %.200s\n#   returned %d, RB%04d at \"%s\": %s\n#   expected RB%04d at "
		       "\"%s\"\n",
		       rows[i].members, r, (int)err.code, err.origin, err.what, (int)rows[i].code,
		       rows[i].origin);
		tap_ok = false;
	}
}

/* A file of the source tree. */
static inline char *tree_file(struct arena *arena, const char *name, size_t *ret_len)
{
	const char *top = getenv("top_srcdir");
	char *text = NULL;

	if (file_read_at(arena, AT_FDCWD, arena_printf(arena, "%s/%s", top ? top : ".", name),
			 LIMIT_CONFIG_BYTES, &text, ret_len) < 0) {
		printf("# cannot read %s\n", name);
		tap_ok = false;
	}
	return text;
}
