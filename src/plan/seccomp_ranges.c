/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From verdicts to decisions over ranges: neighbouring numbers with the same action become one
 * range, and rules on one argument become ranges of its words, so that the code for both is the
 * same search. Rules that are no ranges (several arguments, masks with holes) stay as they are.
 * Pure; runs in the parent.
 */
#include "plan/seccomp.h"

/* A set of values of one argument; not wide: of its low word, whatever the high one is. */
struct interval {
	uint64_t first, last;
	uint32_t action;
	bool wide;
};

static bool range_equal(const struct seccomp_range *a, const struct seccomp_range *b);

static bool word_equal(const struct seccomp_word *a, const struct seccomp_word *b)
{
	if (a->offset != b->offset || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->range[i].first != b->range[i].first ||
		    !range_equal(&a->range[i], &b->range[i]))
			return false;
	return true;
}

/* Whether both lead to the same decision; two lists of matches count as different. */
static bool range_equal(const struct seccomp_range *a, const struct seccomp_range *b)
{
	if (a->matches || b->matches || !a->word != !b->word)
		return false;
	return a->word ? word_equal(a->word, b->word) : a->action == b->action;
}

/* Appends a range, unless it only continues the last one. */
static void ranges_append(struct seccomp_range *ranges, size_t *n, struct seccomp_range range)
{
	if (*n > 0 && range_equal(&ranges[*n - 1], &range))
		return;
	ranges[(*n)++] = range;
}

/* The index of the range that begins at value, made by cutting one in two if need be. */
static size_t ranges_cut(struct seccomp_range *ranges, size_t *n, uint32_t value)
{
	size_t low = 0, high = *n; /* ranges[low].first <= value < ranges[high].first */

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (ranges[middle].first <= value)
			low = middle;
		else
			high = middle;
	}
	if (ranges[low].first == value)
		return low;
	memmove(&ranges[low + 2], &ranges[low + 1], (*n - low - 1) * sizeof(*ranges));
	ranges[low + 1] = ranges[low];
	ranges[low + 1].first = value;
	(*n)++;
	return low + 1;
}

static void ranges_paint(struct seccomp_range *ranges, size_t *n, uint32_t first, uint32_t last,
			 uint32_t action)
{
	size_t from = ranges_cut(ranges, n, first);
	size_t to = last == UINT32_MAX ? *n : ranges_cut(ranges, n, last + 1);

	for (size_t i = from; i < to; i++)
		ranges[i].action = action;
}

/* a mask of ones followed by zeros selects an interval */
static bool mask_is_prefix(uint64_t mask, uint64_t width)
{
	uint64_t holes = ~mask & width;

	return (holes & (holes + 1)) == 0;
}

/* The one or two intervals of a condition; -1: it is not made of intervals. */
static int cond_intervals(const struct seccomp_cond *cond, uint32_t action, struct interval out[2])
{
	bool wide = cond->wide && (cond->op != SECCOMP_EQ || cond->mask > UINT32_MAX);
	uint64_t max = wide ? UINT64_MAX : UINT32_MAX;
	uint64_t first = cond->value, last = max;
	int n = 0;

	if (cond->op == SECCOMP_EQ) {
		if (!mask_is_prefix(cond->mask, max))
			return -1;
		last = first | (~cond->mask & max);
	} else if (cond->op == SECCOMP_GT) {
		if (first == max) /* nothing is greater; negated, everything qualifies */
			goto empty;
		first++;
	}
	if (!cond->negated) {
		out[n++] = (struct interval){first, last, action, wide};
		return n;
	}
	if (first > 0)
		out[n++] = (struct interval){0, first - 1, action, wide};
	if (last < max)
		out[n++] = (struct interval){last + 1, max, action, wide};
	return n;
empty:
	if (cond->negated)
		out[n++] = (struct interval){0, max, action, wide};
	return n;
}

/* The intervals of a list of matches on one argument, in order; NULL: it is no such list. */
static struct interval *matches_intervals(struct seccomp_compiler *c,
					  const struct seccomp_match *first, size_t *ret_n)
{
	struct interval *list;
	size_t n = 0;

	for (const struct seccomp_match *m = first; m; m = m->next) {
		if (m->n != 1 || m->cond[0].index != first->cond[0].index)
			return NULL;
		n++;
	}
	list = arena_array(c->arena, 2 * n, sizeof(*list));
	n = 0;
	for (const struct seccomp_match *m = first; list && m; m = m->next) {
		int r = cond_intervals(&m->cond[0], m->action, &list[n]);

		if (r < 0)
			return NULL;
		n += (size_t)r;
	}
	*ret_n = n;
	return list;
}

/* What the low word decides when the high word is `high`. The earliest interval counts. */
static size_t low_ranges(const struct interval *list, size_t n_list, uint32_t high,
			 struct seccomp_range *ranges)
{
	size_t n = 1, kept = 0;

	for (size_t i = n_list; i-- > 0;) {
		uint32_t first = (uint32_t)list[i].first, last = (uint32_t)list[i].last;

		if (list[i].wide) {
			if (high < list[i].first >> 32 || high > list[i].last >> 32)
				continue;
			if (high > list[i].first >> 32)
				first = 0;
			if (high < list[i].last >> 32)
				last = UINT32_MAX;
		}
		ranges_paint(ranges, &n, first, last, list[i].action);
	}
	for (size_t i = 0; i < n; i++)
		ranges_append(ranges, &kept, ranges[i]);
	return kept;
}

static struct seccomp_word *word_new(struct seccomp_compiler *c, uint32_t offset,
				     const struct seccomp_range *ranges, size_t n)
{
	struct seccomp_word *word = arena_alloc(c->arena, sizeof(*word));
	struct seccomp_range *copy = arena_array(c->arena, n, sizeof(*copy));

	if (!word || !copy)
		return NULL;
	memcpy(copy, ranges, n * sizeof(*copy));
	*word = (struct seccomp_word){offset, UINT32_MAX, n, copy};
	return word;
}

/* The values of the high word at which something changes: one range from each to the next. */
static void high_cuts(const struct interval *list, size_t n_list, struct seccomp_range *ranges,
		      size_t *n)
{
	for (size_t i = 0; i < n_list; i++) {
		uint32_t ends[2] = {(uint32_t)(list[i].first >> 32),
				    (uint32_t)(list[i].last >> 32)};

		for (int k = 0; k < 2 && list[i].wide; k++) {
			ranges_cut(ranges, n, ends[k]);
			if (ends[k] < UINT32_MAX)
				ranges_cut(ranges, n, ends[k] + 1);
		}
	}
}

/*
 * Turns the matches of *range into decisions over the argument's words, if they are on a single
 * argument and made of intervals; otherwise leaves them.
 */
static int range_from_matches(struct seccomp_compiler *c, struct seccomp_range *range)
{
	unsigned index = range->matches->cond[0].index;
	struct seccomp_range *high, *low;
	size_t n_list = 0, n_high = 1, kept = 0;
	const struct interval *list = matches_intervals(c, range->matches, &n_list);

	if (!list)
		return 0;
	high = arena_array(c->arena, 4 * n_list + 1, sizeof(*high));
	low = arena_array(c->arena, 2 * n_list + 1, sizeof(*low));
	if (!high || !low)
		return err_set(c->err, RB_NO_MEMORY, ENOMEM, "seccomp profile");
	high[0] = (struct seccomp_range){.action = c->spec->default_action};
	high_cuts(list, n_list, high, &n_high);
	for (size_t i = 0; i < n_high; i++) {
		struct seccomp_range part = {.first = high[i].first};
		size_t n;

		low[0] = (struct seccomp_range){.action = c->spec->default_action};
		n = low_ranges(list, n_list, part.first, low);
		part.action = low[0].action;
		if (n > 1) {
			part.word = word_new(c, seccomp_arg_offset(c, index, false), low, n);
			if (!part.word)
				return err_set(c->err, RB_NO_MEMORY, ENOMEM, "seccomp profile");
		}
		ranges_append(high, &kept, part);
	}
	range->matches = NULL;
	range->action = high[0].action;
	range->word = high[0].word;
	if (kept > 1) {
		range->word = word_new(c, seccomp_arg_offset(c, index, true), high, kept);
		if (!range->word)
			return err_set(c->err, RB_NO_MEMORY, ENOMEM, "seccomp profile");
	}
	return 0;
}

static int range_from_verdict(struct seccomp_compiler *c, const struct seccomp_verdict *verdict,
			      struct seccomp_range *range)
{
	switch (verdict->kind) {
	case VERDICT_DEFAULT: range->action = c->spec->default_action; break;
	case VERDICT_ACTION: range->action = verdict->action; break;
	case VERDICT_MATCHES: range->matches = verdict->first; return range_from_matches(c, range);
	}
	return 0;
}

int seccomp_ranges_build(struct seccomp_compiler *c, const struct seccomp_rules *rules,
			 struct seccomp_word *ret_word)
{
	const uint32_t last = seccomp_rules_bounded(c, rules) ? rules->last : UINT32_MAX;
	const uint32_t bit = rules->abi->number_bit;
	struct seccomp_range otherwise = {.action = c->spec->default_action};
	/* every name fills at most its own slot; the multiplexers and s390's 0 come on top */
	struct seccomp_range *ranges = arena_array(c->arena, 2 * (c->n_use + 4), sizeof(*ranges));
	uint32_t next = 0; /* the first number that no range has yet */
	size_t n = 0;

	if (!ranges)
		return err_set(c->err, RB_NO_MEMORY, ENOMEM, "seccomp profile");
	for (size_t slot = 0; slot < SECCOMP_SLOTS; slot++) {
		uint32_t number = seccomp_slot_number(slot);
		struct seccomp_range range = {.first = number | bit};
		int r;

		if (rules->verdict[slot].kind == VERDICT_DEFAULT)
			continue;
		otherwise.first = next | bit;
		if (number > next)
			ranges_append(ranges, &n, otherwise);
		r = range_from_verdict(c, &rules->verdict[slot], &range);
		if (r < 0)
			return r;
		ranges_append(ranges, &n, range);
		next = number + 1;
	}
	otherwise.first = next | bit;
	if (next <= last)
		ranges_append(ranges, &n, otherwise);
	*ret_word = (struct seccomp_word){
		.offset = offsetof(struct seccomp_data, nr),
		.end = last | bit,
		.n = n,
		.range = ranges,
	};
	return 0;
}
