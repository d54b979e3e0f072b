/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /etc/subuid and /etc/subgid as they are found in the wild. The user is builder, uid 1001.
 */
#include "base/log.h"
#include "base/strbuf.h"
#include "rootless/rootless.h"
#include "scratch.h"
#include "tap.h"

/* The map of the text, "INSIDE OUTSIDE COUNT; ..." after the own id, or the error's number. */
static const char *map_of(struct arena *arena, const char *text, uint32_t own_id)
{
	struct subid_range *ranges = NULL;
	struct rb_err err = {0};
	char *map;
	size_t n = 0;
	int r = subid_parse(arena, "/etc/subuid", text, "builder", 1001, own_id, &ranges, &n, &err);

	if (r < 0)
		return arena_printf(arena, "RB%04d %s", (int)err.code, err.what);
	for (size_t i = 0; i < n; i++) {
		/* the invariant of everything below */
		CHECK(ranges[i].count > 0 && ranges[i].start > 0);
		CHECK((uint64_t)ranges[i].start + ranges[i].count <= SUBID_NONE);
		CHECK(i == 0 ||
		      (uint64_t)ranges[i - 1].start + ranges[i - 1].count <= ranges[i].start);
		CHECK(own_id == SUBID_NONE || own_id < ranges[i].start ||
		      own_id - ranges[i].start >= ranges[i].count);
	}
	map = arena_strdup(arena, subid_map_text(arena, own_id, ranges, n));
	for (char *c = map; *c; c++)
		*c = *c == '\n' ? ';' : *c;
	return strchr(map, ';') + 1;
}

struct row {
	const char *text, *map;
};

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		CLEANUP_ARENA struct arena arena = {0};

		CHECK_STR(map_of(&arena, rows[i].text, 1001), rows[i].map);
	}
}

/* Runs a check with the log in a file and returns the file's text. */
static const char *warnings_of(struct arena *arena, const char *text)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct rb_err err;
	char *log = NULL;

	CHECK(log_open(arena_printf(arena, "%s/log", scratch.path), true, false, &err) == 0);
	map_of(arena, text, 1001);
	CHECK(log_open(NULL, false, false, &err) == 0);
	CHECK(file_read_at(arena, scratch.fd, "log", 1 << 16, &log, NULL) == 0);
	return log ? log : "";
}

static void range_by_name_is_taken(void)
{
	static const struct row rows[] = {
		{"builder:100000:65536\n", "1 100000 65536;"},
		{"other:100000:65536\nbuilder:200000:10\n", "1 200000 10;"},
	};

	check_rows(rows, ARRAY_LEN(rows));
}

static void range_by_uid_is_taken(void)
{
	static const struct row rows[] = {
		{"1001:100000:65536\n", "1 100000 65536;"},
		{"builder:100000:10\n1001:200000:10\n", "1 100000 10;11 200000 10;"},
		{"01001:100000:10\n",
		 "RB0203 no subordinate ids for builder (uid 1001) in /etc/subuid"},
	};

	check_rows(rows, ARRAY_LEN(rows));
}

static void same_range_by_name_and_uid_counts_once(void)
{
	static const struct row rows[] = {
		{"builder:100000:65536\n1001:100000:65536\n", "1 100000 65536;"},
	};

	check_rows(rows, ARRAY_LEN(rows));
}

static void duplicate_lines_count_once(void)
{
	static const struct row rows[] = {
		{"builder:100000:65536\nbuilder:100000:65536\nbuilder:100000:65536\n",
		 "1 100000 65536;"},
	};
	CLEANUP_ARENA struct arena arena = {0};

	check_rows(rows, ARRAY_LEN(rows));
	CHECK_STR(warnings_of(&arena, rows[0].text), "");
}

static void overlapping_ranges_become_their_union_with_a_warning(void)
{
	static const struct row rows[] = {
		{"builder:100000:100\nbuilder:100050:100\n", "1 100000 150;"},
		{"builder:100050:100\nbuilder:100000:100\n", "1 100000 150;"},
		{"builder:100000:100\nbuilder:100010:5\n", "1 100000 100;"},
		{"builder:100000:10\nbuilder:100000:100\n", "1 100000 100;"},
		{"builder:1:10\nbuilder:5:10\nbuilder:12:10\n", "1 1 21;"},
	};
	CLEANUP_ARENA struct arena arena = {0};

	check_rows(rows, ARRAY_LEN(rows));
	CHECK(strstr(warnings_of(&arena, rows[0].text),
		     "/etc/subuid: lines 1 and 2 overlap; using both as one range"));
}

static void adjacent_ranges_become_one(void)
{
	static const struct row rows[] = {
		{"builder:100000:10\nbuilder:100010:10\n", "1 100000 20;"},
		{"builder:100010:10\nbuilder:100000:10\n", "1 100000 20;"},
		{"builder:100000:10\nbuilder:100011:10\n", "1 100000 10;11 100011 10;"},
	};
	CLEANUP_ARENA struct arena arena = {0};

	check_rows(rows, ARRAY_LEN(rows));
	CHECK_STR(warnings_of(&arena, rows[0].text), "");
}

static void own_id_is_left_out_with_a_warning(void)
{
	static const struct row rows[] = {
		{"builder:1000:10\n", "1 1000 1;2 1002 8;"},
		{"builder:1001:10\n", "1 1002 9;"},
		{"builder:992:10\n", "1 992 9;"},
		{"builder:1001:1\nbuilder:5000:5\n", "1 5000 5;"},
		{"builder:1001:1\n",
		 "RB0203 no subordinate ids for builder (uid 1001) in /etc/subuid"},
		{"builder:500:10\nbuilder:1000:5\nbuilder:3000:5\n",
		 "1 500 10;11 1000 1;12 1002 3;15 3000 5;"},
	};
	CLEANUP_ARENA struct arena arena = {0};

	check_rows(rows, ARRAY_LEN(rows));
	CHECK(strstr(warnings_of(&arena, rows[0].text), "line 1 contains the user's own id 1001"));
}

static void several_ranges_follow_each_other(void)
{
	static const struct row rows[] = {
		{"builder:300000:5\nbuilder:100000:5\nbuilder:200000:5\n",
		 "1 100000 5;6 200000 5;11 300000 5;"},
	};

	check_rows(rows, ARRAY_LEN(rows));
}

static void range_that_starts_at_root_is_refused(void)
{
	static const struct row rows[] = {
		{"builder:0:10\n", "RB0205 /etc/subuid line 1 hands out id 0 of the host"},
		{"# c\nbuilder:100000:5\nbuilder:0:1\n",
		 "RB0205 /etc/subuid line 3 hands out id 0 of the host"},
		{"other:0:10\nbuilder:100000:5\n", "1 100000 5;"},
		{"builder:0:0\nbuilder:100000:5\n", "1 100000 5;"},
	};

	check_rows(rows, ARRAY_LEN(rows));
}

static void bad_line_of_the_user_is_named(void)
{
	static const char *const lines[] = {
		"builder",
		"builder:",
		"builder:100000",
		"builder:100000:",
		"builder::65536",
		"builder:x:65536",
		"builder:100000:y",
		"builder:-1:10",
		"builder:100000:-1",
		"builder:100000:65536:",
		"builder:100000:65536 ",
		"builder: 100000:65536",
		"1001:bad",
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		CLEANUP_ARENA struct arena arena = {0};

		CHECK_STR(map_of(&arena, arena_printf(&arena, "\nroot:1:1\n%s\n", lines[i]), 1001),
			  "RB0204 /etc/subuid line 3 is not name:start:count");
	}
}

static void bad_line_of_another_user_is_skipped(void)
{
	static const struct row rows[] = {
		{"bad:line\nbuilder:100000:5\n", "1 100000 5;"},
		{"other:x:y\n:::\n::\n:\n\n \nbuilder:100000:5\n", "1 100000 5;"},
		{"other:4294967295:4294967295\nbuilder:100000:5\n", "1 100000 5;"},
	};

	check_rows(rows, ARRAY_LEN(rows));
}

static void ids_that_another_user_has_too_are_warned_of(void)
{
	static const struct {
		const char *text, *warning;
	} rows[] = {
		{"eve:100000:5\nbuilder:100000:5\n", "line 1 gives 100000-100004 to eve as well"},
		{"builder:100000:10\neve:100005:100\n",
		 "line 2 gives 100005-100009 to eve as well"},
		{"builder:100000:10\n1002:1:100000\n",
		 "line 2 gives 100000-100000 to 1002 as well"},
		{"builder:200000:9\neve:100000:9\nbuilder:100000:9\n", "line 2 gives"},
	};
	static const char *const quiet[] = {
		"builder:100000:5\neve:100005:5\nbob:99990:10\n",
		"builder:100000:5\n1001:100000:5\n#eve:100000:5\neve:100000:x\neve:100001:0\n",
	};
	CLEANUP_ARENA struct arena arena = {0};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CHECK(strstr(warnings_of(&arena, rows[i].text), rows[i].warning));
	for (size_t i = 0; i < ARRAY_LEN(quiet); i++)
		CHECK_STR(warnings_of(&arena, quiet[i]), "");
}

static void names_that_begin_alike_are_other_users(void)
{
	static const struct row rows[] = {
		{"builder2:100000:5\nbuild:200000:5\nbuilder:300000:5\n", "1 300000 5;"},
		{"10011:100000:5\n100:200000:5\n1001:300000:5\n", "1 300000 5;"},
	};

	check_rows(rows, ARRAY_LEN(rows));
}

static void comments_and_blank_lines_are_skipped(void)
{
	static const struct row rows[] = {
		{"# builder:1:1\n\n#builder:2:2\nbuilder:100000:5\n\n", "1 100000 5;"},
	};

	check_rows(rows, ARRAY_LEN(rows));
}

static void last_line_needs_no_newline(void)
{
	static const struct row rows[] = {
		{"builder:100000:65536", "1 100000 65536;"},
		{"builder:100000", "RB0204 /etc/subuid line 1 is not name:start:count"},
	};

	check_rows(rows, ARRAY_LEN(rows));
}

static void file_without_a_range_says_so(void)
{
	static const struct row rows[] = {
		{"", "RB0203 no subordinate ids for builder (uid 1001) in /etc/subuid"},
		{"builder:100000:0\n",
		 "RB0203 no subordinate ids for builder (uid 1001) in /etc/subuid"},
		{"root:100000:65536\n",
		 "RB0203 no subordinate ids for builder (uid 1001) in /etc/subuid"},
	};

	check_rows(rows, ARRAY_LEN(rows));
}

static void ranges_end_before_the_last_id(void)
{
	static const struct row rows[] = {
		/* 4294967295 is (uid_t)-1 and never an id */
		{"builder:4294967294:1\n", "1 4294967294 1;"},
		{"builder:4294967290:5\n", "1 4294967290 5;"},
		{"builder:4294967290:6\n", "RB0204 /etc/subuid line 1 is not name:start:count"},
		{"builder:4294967295:1\n", "RB0204 /etc/subuid line 1 is not name:start:count"},
		{"builder:4294967296:1\n", "RB0204 /etc/subuid line 1 is not name:start:count"},
		{"builder:1:4294967295\n", "RB0204 /etc/subuid line 1 is not name:start:count"},
		{"builder:18446744073709551615:2\n",
		 "RB0204 /etc/subuid line 1 is not name:start:count"},
	};

	check_rows(rows, ARRAY_LEN(rows));
}

static void map_ends_before_the_last_id(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct subid_range all = {1, 4294967294u, 1};
	const struct subid_range two[] = {{1, 4294967290u, 1}, {4294967291u, 4, 2}};

	/* the own id takes 0, so as many ids fit as are left below 4294967295 */
	CHECK_STR(subid_map_text(&arena, 1001, &all, 1), "0 1001 1\n1 1 4294967294\n");
	CHECK_STR(subid_map_text(&arena, 1001, two, 2),
		  "0 1001 1\n1 1 4294967290\n4294967291 4294967291 4\n");
}

static void map_without_an_own_id_keeps_the_range(void)
{
	CLEANUP_ARENA struct arena arena = {0};

	CHECK_STR(map_of(&arena, "builder:1000:10\n", SUBID_NONE), "1 1000 10;");
}

static void more_ranges_than_the_limit_are_refused(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf text = {0};

	for (unsigned i = 0; i <= LIMIT_SUBID_RANGES; i++)
		strbuf_printf(&text, "builder:%u:1\n", 100000 + 2 * i);
	CHECK_STR(map_of(&arena, text.text, 1001),
		  "RB0212 /etc/subuid: more than 4096 ranges for builder");
}

static void ranges_that_merge_do_not_count_against_the_kernels_limit(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf text = {0};

	for (unsigned i = 0; i < 1000; i++)
		strbuf_printf(&text, "builder:%u:1\n", 100000 + i);
	CHECK_STR(map_of(&arena, text.text, 1001), "1 100000 1000;");
}

static void free_block_is_the_first_gap(void)
{
	static const struct {
		const char *text;
		uint32_t start;
	} rows[] = {
		{"", 100000},
		{"a:100000:65536\n", 165536},
		{"a:165536:65536\nb:100000:65536\n", 231072},
		{"a:100000:65536\nb:200000:1\n", 200001},
		{"a:99999:2\n", 100001},
		{"a:1:99999\n", 100000},
		{"junk\na:100000:0\n", 100000},
		{"a:165535:1\n", 165536},
		{"a:165536:1", 100000},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CHECK(subid_free_block(rows[i].text) == rows[i].start);
}

TAP_MAIN(TEST(range_by_name_is_taken), TEST(range_by_uid_is_taken),
	 TEST(same_range_by_name_and_uid_counts_once), TEST(duplicate_lines_count_once),
	 TEST(overlapping_ranges_become_their_union_with_a_warning),
	 TEST(adjacent_ranges_become_one), TEST(own_id_is_left_out_with_a_warning),
	 TEST(several_ranges_follow_each_other), TEST(range_that_starts_at_root_is_refused),
	 TEST(bad_line_of_the_user_is_named), TEST(bad_line_of_another_user_is_skipped),
	 TEST(ids_that_another_user_has_too_are_warned_of),
	 TEST(names_that_begin_alike_are_other_users), TEST(comments_and_blank_lines_are_skipped),
	 TEST(last_line_needs_no_newline), TEST(file_without_a_range_says_so),
	 TEST(ranges_end_before_the_last_id), TEST(map_ends_before_the_last_id),
	 TEST(map_without_an_own_id_keeps_the_range), TEST(more_ranges_than_the_limit_are_refused),
	 TEST(ranges_that_merge_do_not_count_against_the_kernels_limit),
	 TEST(free_block_is_the_first_gap))
