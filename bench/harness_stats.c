// SPDX-License-Identifier: Apache-2.0
/*
 * Turns the values of a row into the few numbers that are reported, and decides whether a goal
 * is met. Pure: no clock, no files, no output.
 *
 * Medians, because on a machine that others use too the mean measures them. The slope of a
 * series is Theil and Sen's (the median of the slopes of all pairs) for the same reason.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double sorted_median(const double *sorted, size_t count)
{
	return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static bool theil_sen(const int64_t *values, size_t count, double *ret_slope)
{
	size_t pairs = count * (count - 1) / 2, used = 0;
	double *slopes = malloc(pairs * sizeof(*slopes));

	if (!slopes)
		return false;
	for (size_t i = 0; i < count; i++)
		for (size_t j = i + 1; j < count; j++)
			slopes[used++] = (double)(values[j] - values[i]) / (double)(j - i);
	qsort(slopes, used, sizeof(*slopes), compare_doubles);
	*ret_slope = sorted_median(slopes, used);
	free(slopes);
	return true;
}

bool stats_summary(const int64_t *values, size_t count, bool with_slope,
		   struct summary *ret_summary)
{
	double *sorted = malloc(count * sizeof(*sorted));
	struct summary summary = {0};

	if (!sorted)
		return false;
	for (size_t i = 0; i < count; i++)
		sorted[i] = (double)values[i];
	qsort(sorted, count, sizeof(*sorted), compare_doubles);
	summary.median = sorted_median(sorted, count);
	summary.min = sorted[0];
	summary.p90 = sorted[(count * 9 + 9) / 10 - 1]; /* nearest rank */
	free(sorted);
	if (with_slope && count > 1 && !theil_sen(values, count, &summary.slope))
		return false;
	*ret_summary = summary;
	return true;
}

struct row *pass_find_row(const struct pass *pass, const char *name)
{
	for (size_t i = 0; i < pass->row_count; i++)
		if (strcmp(pass->rows[i].name, name) == 0)
			return &pass->rows[i];
	return NULL;
}

bool row_median(const struct row *row, enum metric metric, double *ret_value)
{
	struct summary summary;

	if (!row || row->failure[0] || !row->values[metric] || !row->count)
		return false;
	if (!stats_summary(row->values[metric], row->count, false, &summary))
		return false;
	*ret_value = summary.median;
	return true;
}

/* "wall.drift" -> METRIC_WALL and ".drift". Returns METRIC_COUNT for an unknown name. */
static enum metric metric_parse(const char *text, const char **ret_suffix)
{
	size_t len = strcspn(text, ".");

	*ret_suffix = text + len;
	for (int i = 0; i < METRIC_COUNT; i++)
		if (strlen(metric_names[i]) == len && strncmp(metric_names[i], text, len) == 0)
			return (enum metric)i;
	return METRIC_COUNT;
}

/* The value of a metric, or of one of the three things that only a series has. */
static bool row_value(const struct row *row, enum metric metric, const char *suffix, double *ret)
{
	struct summary summary;
	double growth;

	if (!*suffix)
		return row_median(row, metric, ret);
	if (strcmp(suffix, ".left") == 0) {
		*ret = (double)row->left[metric];
		return true;
	}
	if (!row->values[metric] || !row->count ||
	    !stats_summary(row->values[metric], row->count, true, &summary))
		return false;
	growth = summary.slope * (double)(row->count - 1);
	if (strcmp(suffix, ".growth") == 0)
		*ret = growth;
	else if (strcmp(suffix, ".drift") == 0 && summary.median > 0)
		*ret = growth / summary.median;
	else
		return false;
	return true;
}

/*
 * How much longer the last call of a series takes than the first, as a fraction: the smallest of
 * what wall time, CPU time and wall time in yardsticks say. True growth shows in all three; a
 * machine that became busier or slower meanwhile does not.
 */
static bool time_drift(const struct row *row, double *ret)
{
	static const enum metric metrics[] = {METRIC_WALL, METRIC_CPU, METRIC_REL};
	double least = 0, value;

	for (size_t i = 0; i < ARRAY_LEN(metrics); i++) {
		if (!row_value(row, metrics[i], ".drift", &value))
			return false;
		if (i == 0 || value < least)
			least = value;
	}
	*ret = least;
	return true;
}

enum verdict goal_check(const struct pass *pass, const struct goal *goal, double *ret_value)
{
	const struct row *row = pass_find_row(pass, goal->row);
	const char *suffix;
	enum metric metric = metric_parse(goal->metric, &suffix);
	bool time = strcmp(goal->metric, "time.drift") == 0;
	bool over = strcmp(suffix, ".over") == 0;
	double value, base = 1;

	if (!row || (metric == METRIC_COUNT && !time))
		return VERDICT_UNKNOWN;
	if (row->failure[0] ||
	    !(time ? time_drift(row, &value) : row_value(row, metric, over ? "" : suffix, &value)))
		return VERDICT_MISSED; /* what should be fast has failed */
	if (strcmp(goal->base, "-") != 0 &&
	    (!row_median(pass_find_row(pass, goal->base), metric, &base) || base <= 0))
		return VERDICT_UNKNOWN;
	*ret_value = over ? (value - base) / 1000 : value / base; /* microseconds */
	return *ret_value <= goal->limit ? VERDICT_MET : VERDICT_MISSED;
}
