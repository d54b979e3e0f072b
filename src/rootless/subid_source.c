/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subordinate ids from another database than the two files: nsswitch.conf(5) may say
 * "subid: sss", and then the files do not count. Runs in the parent before any namespace exists.
 * runbuild-subids asks libsubid, where that was found when this was built, and getsubids(1)
 * otherwise; no library in this process does, because the modules of name services cannot be
 * loaded into a static program. What is said is put into the files' own form, so that one parser
 * judges all.
 */
#include "base/file.h"
#include "base/num.h"
#include "base/strbuf.h"
#include "base/sys.h"
#include "launch/launch.h"
#include "host/helper.h"
#include "rootless/subid.h"

/* The first database of the line "subid:" that is not the files; NULL: there is none. */
static const char *other_database(struct arena *arena)
{
	char *text = NULL;
	const char *at;

	if (file_read_at(arena, AT_FDCWD, "/etc/nsswitch.conf", LIMIT_SUBID_BYTES, &text, NULL) < 0)
		return NULL;
	for (at = text; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		size_t len;

		at += strspn(at, " \t");
		if (!str_starts(at, "subid:"))
			continue;
		at += strlen("subid:");
		at += strspn(at, " \t");
		len = strcspn(at, " \t\n");
		/* subid(5): one database only, and it is the first */
		return len == 0 || strncmp(at, "files", len) == 0 ? NULL
								  : arena_strndup(arena, at, len);
	}
	return NULL;
}

/* "0: USER START COUNT" lines into the files' form. */
static const char *getsubids_text(struct arena *arena, const char *user, const char *said)
{
	CLEANUP_STRBUF struct strbuf text = {0};

	for (const char *at = said; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		const char *start = memchr(at, ':', strcspn(at, "\n"));
		size_t len;

		if (!start)
			continue;
		start += 1 + strspn(start + 1, " ");
		len = strlen(user);
		if (strncmp(start, user, len) != 0 || start[len] != ' ')
			continue;
		start += len + 1;
		len = strspn(start, "0123456789");
		strbuf_printf(&text, "%s:%.*s:%.*s\n", user, (int)len, start,
			      (int)strspn(start + len + (start[len] == ' '), "0123456789"),
			      start + len + (start[len] == ' '));
	}
	return text.len && !text.failed ? arena_strndup(arena, text.text, text.len) : NULL;
}

static const char *ask_getsubids(struct arena *arena, const char *user, bool gid)
{
	const char *path = helper_find(arena, "getsubids");
	const char *const argv[] = {path, gid ? "-g" : user, gid ? user : NULL, NULL};
	char *said = path ? helper_output(arena, path, argv) : NULL;

	return said ? getsubids_text(arena, user, said) : NULL;
}

/* NULL: it is not there, or failed. */
static const char *ask_library(struct arena *arena, const char *user, bool gid)
{
	const char *path = helper_find_own(arena, PKGLIBEXECDIR, "runbuild-subids");
	const char *const argv[] = {path, gid ? "gid" : "uid", user, NULL};

	return path ? helper_output(arena, path, argv) : NULL;
}

const char *subid_ask(struct arena *arena, enum subid_source source, const char *user, bool gid,
		      const char **ret_from)
{
	const char *database = source == SUBID_STATIC ? NULL : other_database(arena);
	const char *text = NULL;

	if (!database && source != SUBID_DYNAMIC)
		return NULL;
	text = ask_library(arena, user, gid);
	if (!text)
		text = ask_getsubids(arena, user, gid);
	*ret_from = arena_printf(arena, "the database '%s' of nsswitch.conf",
				 database ? database : "files");
	/* nothing is an answer when the database replaces the files: subid(5) */
	return text || !database ? text : arena_strdup(arena, "");
}
