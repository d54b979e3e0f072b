// SPDX-License-Identifier: Apache-2.0
/*
 * Prints what was measured, as aligned text, as Markdown or as JSON. Times are microseconds in
 * the tables and nanoseconds in JSON; memory is KB (1024 bytes) in both.
 */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

enum { MAX_COLUMNS = 16, MAX_CELL = 96 };

struct table {
	char cell[MAX_ROWS * MAX_PASSES + 1][MAX_COLUMNS][MAX_CELL]; /* row 0 is the head */
	size_t rows;
	size_t columns;
};

static void cell_next(struct table *table)
{
	table->rows++;
}

static void __attribute__((format(printf, 3, 4)))
cell_set(struct table *table, size_t column, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(table->cell[table->rows][column], MAX_CELL, fmt, args);
	va_end(args);
	if (column >= table->columns)
		table->columns = column + 1;
}

static size_t column_width(const struct table *table, size_t column)
{
	size_t width = 3;

	for (size_t i = 0; i < table->rows; i++) {
		size_t len = strlen(table->cell[i][column]);

		width = len > width ? len : width;
	}
	return width;
}

static void print_rule(const struct table *table, enum format format, FILE *out)
{
	for (size_t c = 0; c < table->columns; c++) {
		int width = (int)column_width(table, c);

		if (format == FORMAT_MARKDOWN)
			fprintf(out, c ? "-%.*s:|" : "|-%.*s-|", width,
				"----------------------------------------------------------------"
				"--------------------------------");
		else
			fprintf(out, "%s%.*s", c ? "  " : "", width,
				"----------------------------------------------------------------"
				"--------------------------------");
	}
	fputc('\n', out);
}

static void table_print(const struct table *table, enum format format, FILE *out)
{
	bool markdown = format == FORMAT_MARKDOWN;

	for (size_t r = 0; r < table->rows; r++) {
		for (size_t c = 0; c < table->columns; c++) {
			int width = (int)column_width(table, c);
			const char *text = table->cell[r][c];

			if (markdown)
				fprintf(out, c ? " %*s |" : "| %-*s |", width, text);
			else
				fprintf(out, c ? "  %*s" : "%-*s", width, text);
		}
		fputc('\n', out);
		if (r == 0)
			print_rule(table, format, out);
	}
	fputc('\n', out);
}

static double micro(double ns)
{
	return ns / 1000;
}

static bool row_summary(const struct row *row, enum metric metric, bool slope, struct summary *ret)
{
	return !row->failure[0] && row->values[metric] && row->count &&
	       stats_summary(row->values[metric], row->count, slope, ret);
}

static void put_ratios(struct table *table, const struct pass *pass, const struct row *row,
		       size_t column)
{
	for (size_t i = 0; i < pass->baseline_count; i++) {
		const struct baseline *base = &pass->baselines[i];
		double value, divisor;

		if (row_median(row, base->metric, &value) &&
		    row_median(pass_find_row(pass, base->row), base->metric, &divisor) &&
		    divisor > 0)
			cell_set(table, column + i, "%.*f", value / divisor < 2 ? 3 : 2,
				 value / divisor);
		else
			cell_set(table, column + i, "-");
	}
}

/* Rows of the interleaved rounds that time something. */
static void fill_rounds(struct table *table, const struct pass *pass)
{
	static const char *const head[] = {"row", "median us", "min", "p90", "cpu us", "peak KB"};

	for (size_t c = 0; c < ARRAY_LEN(head); c++)
		cell_set(table, c, "%s", head[c]);
	for (size_t i = 0; i < pass->baseline_count; i++)
		cell_set(table, ARRAY_LEN(head) + i, "%s", pass->baselines[i].label);
	cell_next(table);
	for (size_t i = 0; i < pass->row_count; i++) {
		const struct row *row = &pass->rows[i];
		struct summary wall, cpu, rss;

		if (row->series || (!row->values[METRIC_WALL] && !row->failure[0]))
			continue;
		cell_set(table, 0, "%s", row->name);
		if (row_summary(row, METRIC_WALL, false, &wall) &&
		    row_summary(row, METRIC_CPU, false, &cpu) &&
		    row_summary(row, METRIC_RSS, false, &rss)) {
			cell_set(table, 1, "%.0f", micro(wall.median));
			cell_set(table, 2, "%.0f", micro(wall.min));
			cell_set(table, 3, "%.0f", micro(wall.p90));
			cell_set(table, 4, "%.0f", micro(cpu.median));
			cell_set(table, 5, "%.0f", rss.median);
			put_ratios(table, pass, row, ARRAY_LEN(head));
		} else {
			cell_set(table, 1, "void");
		}
		cell_next(table);
	}
}

/* Rows that look at the runtime's processes while the payload runs. */
static void fill_live(struct table *table, const struct pass *pass)
{
	static const char *const head[] = {"while the step runs", "processes", "rss KB", "pss KB"};
	static const enum metric metrics[] = {METRIC_PROCS, METRIC_LIVE_RSS, METRIC_LIVE_PSS};

	for (size_t c = 0; c < ARRAY_LEN(head); c++)
		cell_set(table, c, "%s", head[c]);
	cell_next(table);
	for (size_t i = 0; i < pass->row_count; i++) {
		const struct row *row = &pass->rows[i];
		struct summary summary;

		if (row->series || !row->values[METRIC_LIVE_RSS])
			continue;
		cell_set(table, 0, "%s", row->name);
		for (size_t m = 0; m < ARRAY_LEN(metrics); m++)
			if (row_summary(row, metrics[m], false, &summary))
				cell_set(table, m + 1, "%.0f", summary.median);
			else
				cell_set(table, m + 1, "void");
		cell_next(table);
	}
}

/* How much a series' value has grown from the first call to the last, along its slope. */
static double drift_percent(const struct row *row, const struct summary *summary)
{
	return 100 * summary->slope * (double)(row->count - 1) / summary->median;
}

static void put_series_row(struct table *table, const struct row *row)
{
	static const enum metric drifts[] = {METRIC_WALL, METRIC_CPU, METRIC_REL};
	static const enum metric slopes[] = {METRIC_RSS, METRIC_PROCS, METRIC_FDS, METRIC_PSS,
					     METRIC_FILES};
	static const enum metric left[] = {METRIC_PROCS, METRIC_FILES, METRIC_MOUNTS};
	struct summary summary;
	size_t column = 4;

	cell_set(table, 0, "%s", row->name);
	cell_set(table, 1, "%zu", row->series);
	if (!row_summary(row, METRIC_WALL, true, &summary)) {
		cell_set(table, 2, "void");
		return;
	}
	cell_set(table, 2, "%.0f", micro(summary.median));
	cell_set(table, 3, "%+.2f", micro(summary.slope));
	for (size_t i = 0; i < ARRAY_LEN(drifts); i++, column++)
		if (row_summary(row, drifts[i], true, &summary))
			cell_set(table, column, "%+.1f", drift_percent(row, &summary));
	for (size_t i = 0; i < ARRAY_LEN(slopes); i++, column++)
		if (row_summary(row, slopes[i], true, &summary))
			cell_set(table, column, "%+.2f", summary.slope);
	for (size_t i = 0; i < ARRAY_LEN(left); i++, column++)
		cell_set(table, column, "%+lld", (long long)row->left[left[i]]);
}

static void fill_series(struct table *table, const struct pass *pass)
{
	static const char *const head[] = {"series",     "calls",      "median us",  "us/call",
					   "wall %",     "cpu %",      "x true %",   "peak KB",
					   "procs",      "fds",        "pss KB",     "files",
					   "procs left", "files left", "mounts left"};

	for (size_t c = 0; c < ARRAY_LEN(head); c++)
		cell_set(table, c, "%s", head[c]);
	cell_next(table);
	for (size_t i = 0; i < pass->row_count; i++)
		if (pass->rows[i].series) {
			put_series_row(table, &pass->rows[i]);
			cell_next(table);
		}
}

static void print_filled(void (*fill)(struct table *, const struct pass *), const struct pass *pass,
			 enum format format, FILE *out)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return;
	fill(table, pass);
	if (table->rows > 1)
		table_print(table, format, out);
	free(table);
}

static const char *const verdict_names[] = {
	[VERDICT_MET] = "met",
	[VERDICT_MISSED] = "MISSED",
	[VERDICT_UNKNOWN] = "not measured",
};

static void fill_goals(struct table *table, const struct pass *pass)
{
	for (size_t i = 0; i < pass->goal_count; i++) {
		const struct goal *goal = &pass->goals[i];
		bool ratio = strcmp(goal->base, "-") != 0;
		const char *separator = strstr(goal->metric, ".over") ? " - " : " / ";
		double value = NAN;
		enum verdict verdict = goal_check(pass, goal, &value);

		cell_set(table, 0, "%s: %s%s%s", pass->name, goal->row, ratio ? separator : "",
			 ratio ? goal->base : "");
		cell_set(table, 1, "%s", goal->metric);
		cell_set(table, 2, "%g", goal->limit);
		if (isnan(value))
			cell_set(table, 3, "-");
		else
			cell_set(table, 3, "%.3f", value);
		cell_set(table, 4, "%s", verdict_names[verdict]);
		cell_next(table);
	}
}

static void print_goals(const struct plan *plan, enum format format, FILE *out)
{
	static const char *const head[] = {"goal", "metric", "at most", "measured", "verdict"};
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return;
	for (size_t c = 0; c < ARRAY_LEN(head); c++)
		cell_set(table, c, "%s", head[c]);
	cell_next(table);
	for (size_t i = 0; i < plan->pass_count; i++)
		fill_goals(table, &plan->passes[i]);
	if (table->rows > 1)
		table_print(table, format, out);
	free(table);
}

static void print_tables(const struct plan *plan, enum format format, size_t runs, FILE *out)
{
	bool markdown = format == FORMAT_MARKDOWN;

	for (size_t i = 0; i < plan->note_count; i++)
		fprintf(out, markdown ? "* %s: %s\n" : "%s: %s\n", plan->notes[i].key,
			plan->notes[i].value);
	for (size_t i = 0; i < plan->pass_count; i++) {
		const struct pass *pass = &plan->passes[i];

		fprintf(out, "\n%s%s: %s (", markdown ? "#### " : "", pass->name, pass->title);
		if (pass->row_count && !pass->rows[0].series)
			fprintf(out, "%zu runs, ", runs);
		fprintf(out, "load %s)\n\n", pass->load);
		print_filled(fill_rounds, pass, format, out);
		print_filled(fill_live, pass, format, out);
		print_filled(fill_series, pass, format, out);
		for (size_t r = 0; r < pass->row_count; r++)
			if (pass->rows[r].failure[0])
				fprintf(out, "%svoid: %s: %s\n\n", markdown ? "* " : "",
					pass->rows[r].name, pass->rows[r].failure);
	}
	print_goals(plan, format, out);
}

static void json_string(const char *text, FILE *out)
{
	fputc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

static void json_member(const char *key, const char *value, FILE *out)
{
	json_string(key, out);
	fputc(':', out);
	json_string(value, out);
}

static void json_metric(const struct row *row, enum metric metric, FILE *out)
{
	struct summary summary;

	if (!stats_summary(row->values[metric], row->count, row->series > 0, &summary))
		return;
	fprintf(out, "{\"median\":%.1f,\"min\":%.0f,\"p90\":%.0f", summary.median, summary.min,
		summary.p90);
	if (row->series)
		fprintf(out, ",\"slope\":%.4f,\"left\":%lld", summary.slope,
			(long long)row->left[metric]);
	fputs(",\"values\":[", out);
	for (size_t i = 0; i < row->count; i++)
		fprintf(out, "%s%lld", i ? "," : "", (long long)row->values[metric][i]);
	fputs("]}", out);
}

static void json_row(const struct row *row, FILE *out)
{
	bool first = true;

	fputc('{', out);
	json_member("name", row->name, out);
	fprintf(out, ",\"series\":%zu,\"valid\":%s,", row->series,
		row->failure[0] ? "false" : "true");
	json_member("failure", row->failure, out);
	fputs(",\"metrics\":{", out);
	for (int m = 0; m < METRIC_COUNT; m++) {
		if (!row->values[m] || !row->count)
			continue;
		fprintf(out, "%s\"%s\":", first ? "" : ",", metric_names[m]);
		json_metric(row, (enum metric)m, out);
		first = false;
	}
	fputs("}}", out);
}

static void json_goal(const struct pass *pass, const struct goal *goal, FILE *out)
{
	double value = NAN;
	enum verdict verdict = goal_check(pass, goal, &value);

	fputc('{', out);
	json_member("row", goal->row, out);
	fputc(',', out);
	json_member("base", goal->base, out);
	fputc(',', out);
	json_member("metric", goal->metric, out);
	fprintf(out, ",\"limit\":%g,\"measured\":", goal->limit);
	if (isnan(value))
		fputs("null,", out);
	else
		fprintf(out, "%.4f,", value);
	json_member("verdict", verdict_names[verdict], out);
	fputc('}', out);
}

static void json_pass(const struct pass *pass, FILE *out)
{
	fputc('{', out);
	json_member("name", pass->name, out);
	fputc(',', out);
	json_member("title", pass->title, out);
	fputc(',', out);
	json_member("load", pass->load, out);
	fputs(",\"rows\":[", out);
	for (size_t i = 0; i < pass->row_count; i++) {
		fputs(i ? "," : "", out);
		json_row(&pass->rows[i], out);
	}
	fputs("],\"goals\":[", out);
	for (size_t i = 0; i < pass->goal_count; i++) {
		fputs(i ? "," : "", out);
		json_goal(pass, &pass->goals[i], out);
	}
	fputs("]}", out);
}

static void print_json(const struct plan *plan, size_t runs, FILE *out)
{
	fputs("{\"units\":{\"wall\":\"ns\",\"cpu\":\"ns\",\"rss\":\"KB\",\"live_rss\":\"KB\","
	      "\"live_pss\":\"KB\",\"pss\":\"KB\"},\"notes\":[",
	      out);
	for (size_t i = 0; i < plan->note_count; i++) {
		fputs(i ? ",{" : "{", out);
		json_member(plan->notes[i].key, plan->notes[i].value, out);
		fputc('}', out);
	}
	fprintf(out, "],\"runs\":%zu,\"passes\":[", runs);
	for (size_t i = 0; i < plan->pass_count; i++) {
		fputs(i ? "," : "", out);
		json_pass(&plan->passes[i], out);
	}
	fputs("]}\n", out);
}

void report_print(const struct plan *plan, enum format format, size_t runs, FILE *out)
{
	if (format == FORMAT_JSON)
		print_json(plan, runs, out);
	else
		print_tables(plan, format, runs, out);
}
