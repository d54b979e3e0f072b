/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /etc/subuid and /etc/subgid: subuid(5). Pure. Most reports about rootless tools are about
 * these two files, so every oddity that can be healed is: lines by name and by number, identical
 * and overlapping ranges (newuidmap's "Invalid argument"), the user's own id inside a range.
 */
#include "base/log.h"
#include "base/num.h"
#include "base/strbuf.h"
#include "rootless/subid.h"

struct subid_line {
	const char *owner;
	size_t owner_len;
	uint32_t start, count;
	bool valid;
};

/* name:start:count, up to the end of the line. */
static struct subid_line line_parse(const char *text, size_t len)
{
	struct subid_line line = {.owner = text};
	const char *first = memchr(text, ':', len);
	const char *second = first ? memchr(first + 1, ':', len - (size_t)(first + 1 - text))
				   : NULL;
	uint64_t start;
	uint64_t count;

	line.owner_len = first ? (size_t)(first - text) : len;
	if (!second || line.owner_len == 0)
		return line;
	if (num_parse_u64(first + 1, (size_t)(second - first - 1), SUBID_NONE - 1, &start) < 0 ||
	    num_parse_u64(second + 1, len - (size_t)(second + 1 - text), SUBID_NONE - 1, &count) <
		    0 ||
	    start + count > SUBID_NONE)
		return line;
	line.start = (uint32_t)start;
	line.count = (uint32_t)count;
	line.valid = true;
	return line;
}

static bool line_is_for(const struct subid_line *line, const char *user, uint32_t uid)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", uid);
	return (line->owner_len == strlen(user) &&
		memcmp(line->owner, user, line->owner_len) == 0) ||
	       (line->owner_len == strlen(number) &&
		memcmp(line->owner, number, line->owner_len) == 0);
}

static int range_compare(const void *a, const void *b)
{
	const struct subid_range *x = a;
	const struct subid_range *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Sorted ranges without overlaps; adjacent ones become one. Returns how many are left. */
static size_t ranges_merge(struct subid_range *ranges, size_t n, const char *file)
{
	size_t kept = 0;

	qsort(ranges, n, sizeof(*ranges), range_compare);
	for (size_t i = 1; i < n; i++) {
		struct subid_range *last = &ranges[kept];
		uint64_t end = (uint64_t)last->start + last->count;
		uint64_t next_end = (uint64_t)ranges[i].start + ranges[i].count;

		if (ranges[i].start > end) {
			ranges[++kept] = ranges[i];
			continue;
		}
		if (ranges[i].start < end &&
		    !(ranges[i].start == last->start && ranges[i].count == last->count))
			log_warn_code(RB_SUBID_OVERLAP, "make the two lines one",
				      "%s: lines %u and %u overlap; using both as one range", file,
				      last->line, ranges[i].line);
		if (next_end > end)
			last->count = (uint32_t)(next_end - last->start);
	}
	return n ? kept + 1 : 0;
}

/* Cuts one id out; the array has room for one more element. */
static size_t ranges_cut(struct subid_range *ranges, size_t n, uint32_t id, const char *file)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t offset = id - ranges[i].start;
		uint32_t after;

		if (id < ranges[i].start || offset >= ranges[i].count)
			continue;
		log_warn_code(RB_SUBID_OWN, "change it to a range that starts at 100000 or above",
			      "%s: line %u contains the user's own id %u, which is left out of it",
			      file, ranges[i].line, id);
		after = ranges[i].count - offset - 1;
		if (after) {
			memmove(&ranges[i + 2], &ranges[i + 1], (n - i - 1) * sizeof(*ranges));
			ranges[i + 1] = (struct subid_range){id + 1, after, ranges[i].line};
			n++;
		}
		ranges[i].count = offset;
		if (!offset) {
			memmove(&ranges[i], &ranges[i + 1], (n - i - 1) * sizeof(*ranges));
			n--;
		}
		break;
	}
	return n;
}

static bool ranges_meet(const struct subid_range *ranges, size_t n, const struct subid_line *line,
			uint32_t *ret_first, uint32_t *ret_last)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t end = (uint64_t)ranges[i].start + ranges[i].count;
		uint64_t line_end = (uint64_t)line->start + line->count;
		uint32_t first = line->start > ranges[i].start ? line->start : ranges[i].start;

		if (first >= end || first >= line_end)
			continue;
		*ret_first = first;
		*ret_last = (uint32_t)((end < line_end ? end : line_end) - 1);
		return true;
	}
	return false;
}

/* Nothing fails for it, so nobody would find out. The first such line of another user is named. */
static void ranges_warn_shared(const struct subid_range *ranges, size_t n, const char *file,
			       const char *text, const char *user, uint32_t uid)
{
	for (unsigned number = 1; *text; number++) {
		size_t len = strcspn(text, "\n");
		struct subid_line line = line_parse(text, len);
		uint32_t first;
		uint32_t last;

		text += len + (text[len] == '\n');
		if (!line.valid || line.owner[0] == '#' || line_is_for(&line, user, uid) ||
		    !ranges_meet(ranges, n, &line, &first, &last))
			continue;
		log_warn_code(
			RB_SUBID_SHARED, "give each user a range of their own",
			"%s: line %u gives %u-%u to %.*s as well: files of one are the other's",
			file, number, first, last, (int)line.owner_len, line.owner);
		return;
	}
}

static int line_bad(const char *file, unsigned number, const struct subid_line *line,
		    struct rb_err *err)
{
	if (!line->valid) {
		err_set(err, RB_SUBID_LINE, 0, "%s line %u is not name:start:count", file, number);
		err_fix(err, "correct the line, for example USER:100000:65536");
		return -EINVAL;
	}
	err_set(err, RB_SUBID_ROOT, 0, "%s line %u hands out id 0 of the host", file, number);
	err_fix(err, "change it to a range that starts at 100000 or above");
	return -EINVAL;
}

int subid_parse(struct arena *arena, const char *file, const char *text, const char *user,
		uint32_t uid, uint32_t own_id, struct subid_range **ret_ranges, size_t *ret_n,
		struct rb_err *err)
{
	struct subid_range *ranges = arena_array(arena, LIMIT_SUBID_RANGES + 1, sizeof(*ranges));
	const char *whole = text;
	unsigned number = 0;
	size_t n = 0;

	if (!ranges)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "%s", file);
	while (*text) {
		size_t len = strcspn(text, "\n");
		struct subid_line line = line_parse(text, len);

		number++;
		text += len + (text[len] == '\n');
		if (line.owner_len == 0 || line.owner[0] == '#' || !line_is_for(&line, user, uid))
			continue;
		if (!line.valid || (line.start == 0 && line.count > 0))
			return line_bad(file, number, &line, err);
		if (line.count == 0)
			continue;
		if (n == LIMIT_SUBID_RANGES)
			return err_set(err, RB_IDMAP_LIMIT, 0, "%s: more than %u ranges for %s",
				       file, LIMIT_SUBID_RANGES, user);
		ranges[n++] = (struct subid_range){line.start, line.count, number};
	}
	n = ranges_merge(ranges, n, file);
	if (own_id != SUBID_NONE)
		n = ranges_cut(ranges, n, own_id, file);
	if (n == 0) {
		err_set(err, RB_SUBID_NONE, 0, "no subordinate ids for %s (uid %u) in %s", user,
			uid, file);
		return -ENOENT;
	}
	ranges_warn_shared(ranges, n, file, whole, user, uid);
	*ret_ranges = ranges;
	*ret_n = n;
	return 0;
}

uint32_t subid_free_block(const char *text)
{
	uint32_t start = 100000;
	bool moved = true;

	/* each pass moves behind the lines that are in the way; there are finitely many */
	while (moved && start < SUBID_NONE - 65536) {
		moved = false;
		for (const char *at = text; *at;) {
			size_t len = strcspn(at, "\n");
			struct subid_line line = line_parse(at, len);

			at += len + (at[len] == '\n');
			if (line.valid && line.count && line.start < (uint64_t)start + 65536 &&
			    start < (uint64_t)line.start + line.count) {
				uint64_t next = (uint64_t)line.start + line.count;

				start = next < SUBID_NONE ? (uint32_t)next : SUBID_NONE - 1;
				moved = true;
			}
		}
	}
	return start;
}

/* The part of the range that one line of the outer map covers. */
static bool range_in_extent(const struct subid_range *range, const struct host_extent *extent,
			    struct subid_range *ret_part)
{
	uint64_t from = range->start > extent->inside ? range->start : extent->inside;
	uint64_t range_end = (uint64_t)range->start + range->count;
	uint64_t extent_end = (uint64_t)extent->inside + extent->count;
	uint64_t end = range_end < extent_end ? range_end : extent_end;

	if (from >= end)
		return false;
	*ret_part = (struct subid_range){(uint32_t)from, (uint32_t)(end - from), range->line};
	return true;
}

struct subid_range *subid_clip(struct arena *arena, const struct subid_range *ranges, size_t *n,
			       const struct host_idmap *outer, uint64_t *ret_lost)
{
	struct subid_range *parts = arena_array(arena, *n * (outer->n + 1) + 1, sizeof(*parts));
	size_t found = 0;
	uint64_t lost = 0;

	if (!parts)
		return NULL;
	for (size_t i = 0; i < *n; i++) {
		lost += ranges[i].count;
		for (size_t k = 0; k < outer->n; k++) {
			if (!range_in_extent(&ranges[i], &outer->v[k], &parts[found]))
				continue;
			lost -= parts[found].count;
			found++;
		}
	}
	*n = found;
	*ret_lost = lost;
	return parts;
}

const char *subid_map_text(struct arena *arena, uint32_t own_id, const struct subid_range *ranges,
			   size_t n)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	uint64_t inside = 1;

	strbuf_printf(&text, "0 %u 1\n", own_id);
	for (size_t i = 0; i < n; i++) {
		uint32_t count = ranges[i].count;

		if (inside + count > SUBID_NONE)
			count = (uint32_t)(SUBID_NONE - inside);
		if (count)
			strbuf_printf(&text, "%u %u %u\n", (unsigned)inside, ranges[i].start,
				      count);
		inside += count;
	}
	return text.failed ? NULL : arena_strndup(arena, text.text, text.len);
}
