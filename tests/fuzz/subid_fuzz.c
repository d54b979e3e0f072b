/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of /etc/subuid. Whatever they say, an id is only handed out when some line of the user
 * covers it, never twice, never 0, the own id or 4294967295; and the map ends before the last id.
 */
#include "base/log.h"
#include "fuzz.h"
#include "rootless/rootless.h"

enum { UID = 1001 };

/* Does a line of the user cover the id? Written independently of the parser. */
static bool file_covers(const char *text, uint32_t id)
{
	for (const char *line = text; *line;) {
		size_t len = strcspn(line, "\n");
		size_t name = strcspn(line, ":\n");
		unsigned long long start = 0;
		unsigned long long count = 0;

		if (((name == 7 && memcmp(line, "builder", 7) == 0) ||
		     (name == 4 && memcmp(line, "1001", 4) == 0)) &&
		    sscanf(line + name, ":%llu:%llu", &start, &count) == 2 && id >= start &&
		    id - start < count)
			return true;
		line += len + (line[len] == '\n');
	}
	return false;
}

static void check_ranges(const char *text, const struct subid_range *ranges, size_t n)
{
	uint64_t free_from = 1;

	for (size_t i = 0; i < n; i++) {
		uint64_t end = (uint64_t)ranges[i].start + ranges[i].count;

		assert(ranges[i].count > 0 && ranges[i].start >= free_from && end <= SUBID_NONE);
		assert(UID < ranges[i].start || UID >= end);
		assert(file_covers(text, ranges[i].start) && file_covers(text, (uint32_t)end - 1));
		assert(ranges[i].line > 0);
		free_from = end;
	}
}

/* The lines of the map follow each other without a gap and without a wrap. */
static void check_map(const char *map)
{
	uint64_t next = 0;

	while (*map) {
		unsigned long long inside;
		unsigned long long outside;
		unsigned long long count;

		assert(sscanf(map, "%llu %llu %llu\n", &inside, &outside, &count) == 3);
		assert(inside == next && count > 0 && outside + count <= SUBID_NONE);
		next = inside + count;
		map += strcspn(map, "\n") + 1;
	}
	assert(next <= SUBID_NONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *text = fuzz_text(data, size);
	CLEANUP_ARENA struct arena arena = {0};
	struct subid_range *ranges = NULL;
	struct rb_err err = {0};
	size_t n = 0;
	static bool silent;

	/* warnings would be most of the time */
	if (!silent && log_open("/dev/null", false, false, &err) < 0)
		return 0;
	silent = true;
	assert(subid_free_block(text) >= 100000);
	if (subid_parse(&arena, "/etc/subuid", text, "builder", UID, UID, &ranges, &n, &err) < 0) {
		assert(!ranges && (err.code == RB_SUBID_LINE || err.code == RB_SUBID_ROOT ||
				   err.code == RB_SUBID_NONE || err.code == RB_IDMAP_LIMIT));
		return 0;
	}
	check_ranges(text, ranges, n);
	check_map(subid_map_text(&arena, UID, ranges, n));
	return 0;
}
