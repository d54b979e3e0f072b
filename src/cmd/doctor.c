/* SPDX-License-Identifier: Apache-2.0 */
/* `doctor`: what this host lacks for rootless builds; and the code that its trials share. */
#include <langinfo.h>
#include <locale.h>
#include "cmd/cmd.h"
#include "cmd/verbs.h"
#include "diag/doctor.h"
#include "launch/launch.h"
#include "rootless/subid.h"
#include "snapshot/snapshot.h"

struct doctor_arguments {
	const char *format;
};

static const struct option_entry doctor_option_table[] = {
	{"format", 0, OPTION_STRING, offsetof(struct doctor_arguments, format), "text|json",
	 "for people (default) or for programs"},
	OPTION_END,
};

static const char *ask_database(struct arena *arena, const char *user, bool gid,
				const char **ret_from)
{
	return subid_ask(arena, SUBID_AUTO, user, gid, ret_from);
}

static int map_from_text(struct arena *arena, const struct doctor_owner *owner, const char *text,
			 const char **ret_map, struct rb_err *err)
{
	struct subid_range *ranges;
	uint64_t lost;
	size_t n;
	int r = subid_parse(arena, owner->file, text, owner->user, owner->uid, owner->own_id,
			    &ranges, &n, err);

	if (r < 0)
		return r;
	ranges = subid_clip(arena, ranges, &n, owner->outer, &lost);
	*ret_map = ranges ? subid_map_text(arena, owner->own_id, ranges, n) : NULL;
	return *ret_map ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "%s", owner->file);
}

static int write_maps(struct arena *arena, pid_t pid, const char *uid_map, const char *gid_map,
		      bool helpers, struct rb_err *err)
{
	return idmap_write(arena, pid, uid_map, gid_map, helpers ? IDMAP_HELPER : IDMAP_DIRECT,
			   err);
}

static int try_overlay(struct arena *arena, int directory, bool fuse, struct rb_err *err)
{
	if (!fuse)
		return snap_try(arena, directory, SNAP_NATIVE, err);
	/* the second for versions that insist on mounting by themselves */
	if (snap_try(arena, directory, SNAP_FUSE, err) == 0)
		return 0;
	return snap_try(arena, directory, SNAP_FUSE_PATH, NULL);
}

static int doctor_main(struct arena *arena, const struct globals *globals UNUSED,
		       const void *options, int argc, char **argv, struct rb_err *err)
{
	static const struct doctor_tools tools = {ask_database, map_from_text, subid_free_block,
						  write_maps, try_overlay};
	const struct doctor_arguments *arguments = options;
	struct doctor_options doctor = {.directory = argc > 0 ? argv[0] : NULL, .tools = &tools};
	bool json = arguments->format && str_eq(arguments->format, "json");
	struct user user = {NULL, NULL};
	struct doctor_report *report = arena_alloc(arena, sizeof(*report));
	CLEANUP_STRBUF struct strbuf text = {0};
	int r;

	if (!report)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "report");
	if (arguments->format && !json && !str_eq(arguments->format, "text")) {
		err_set(err, RB_USAGE, 0, "unknown format '%.40s'", arguments->format);
		err_fix(err, "use text or json");
		return -EINVAL;
	}
	if (user_find(arena, geteuid(), &user)) {
		doctor.user = user.name;
		doctor.home = user.home;
	}
	r = doctor_run(arena, &doctor, report, err);
	if (r < 0)
		return r;
	if (json)
		doctor_print_json(report, &text);
	else
		doctor_print_text(report,
				  setlocale(LC_CTYPE, "") && str_eq(nl_langinfo(CODESET), "UTF-8"),
				  &text);
	r = print_all(&text, err);
	return r < 0 ? r : !doctor_is_well(report);
}

const struct verb verb_doctor = {
	.name = "doctor",
	.summary = "try what a rootless build needs of this host, and name what is missing",
	.args = "[DIR]",
	.max_args = 1,
	.options = doctor_option_table,
	.options_size = sizeof(struct doctor_arguments),
	.error_status = 2,
	.run = doctor_main,
};
