// SPDX-License-Identifier: Apache-2.0
/*
 * Reads a plan, the file in which bench/run says what to measure. One statement on a line, its
 * words separated by tabs, '#' at the beginning of a line for a comment:
 *
 *   note KEY VALUE                  a line in the head of the report
 *   pass NAME TITLE                 begins a pass: all its rows are interleaved
 *   watch DIR                       count the files below DIR (series)
 *   row NAME                        begins a row (a candidate) of the pass
 *   ns PATH                         its commands run in this mount namespace
 *   log PATH                        shown when the row fails
 *   series COUNT                    COUNT calls one after the other, not interleaved
 *   yardstick ARGV...               timed before each call of a series, for rel
 *   STAGE run|time ARGV...          STAGE is begin, each, after, last or end
 *   STAGE wait PIDFILE
 *   STAGE spawn FIFO ARGV...
 *   STAGE sample | STAGE join
 *   baseline METRIC ROW LABEL       a ratio column of the pass
 *   goal ROW METRIC ROW|- LIMIT     a ratio, or with '-' a number, that must not be exceeded;
 *                                   METRIC.over: the difference of two rows, in us
 *
 * In the words of a command and in file names @ID@ is a container id that is fresh in every
 * round, @CID@ one that is the row's for the whole pass. The plan is written by bench/run and
 * trusted as much as bench/run is: this reader must report mistakes, not resist attacks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

const char *const metric_names[METRIC_COUNT] = {
	[METRIC_WALL] = "wall",         [METRIC_CPU] = "cpu",           [METRIC_RSS] = "rss",
	[METRIC_LIVE_RSS] = "live_rss", [METRIC_LIVE_PSS] = "live_pss", [METRIC_REL] = "rel",
	[METRIC_PROCS] = "procs",       [METRIC_FDS] = "fds",           [METRIC_PSS] = "pss",
	[METRIC_FILES] = "files",       [METRIC_MOUNTS] = "mounts",
};

static const char *const stage_names[] = {
	[STAGE_BEGIN] = "begin", [STAGE_EACH] = "each", [STAGE_AFTER] = "after",
	[STAGE_LAST] = "last",   [STAGE_END] = "end",
};

static const char *const kind_names[] = {
	[STEP_RUN] = "run",     [STEP_TIME] = "time",     [STEP_WAIT] = "wait",
	[STEP_SPAWN] = "spawn", [STEP_SAMPLE] = "sample", [STEP_JOIN] = "join",
};

/* One line, cut into words in place. */
struct line {
	char *word[MAX_ARGS + 4];
	size_t count;
};

static int name_find(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -1;
}

/* False when the line has too many words. */
static bool line_split(char *text, struct line *ret_line)
{
	char *next = text;

	ret_line->count = 0;
	while (next) {
		char *word = strsep(&next, "\t");

		if (ret_line->count == ARRAY_LEN(ret_line->word))
			return false;
		ret_line->word[ret_line->count++] = word;
	}
	return true;
}

/* A copy of the words from FIRST on, with the end mark. NULL when memory is exhausted. */
static char **copy_argv(const struct line *line, size_t first)
{
	/* Not an array of the greatest size: the harness must stay small (harness.c). */
	char **argv = calloc(line->count - first + 1, sizeof(*argv));

	for (size_t i = first; argv && i < line->count; i++)
		argv[i - first] = line->word[i];
	return argv;
}

static const char *read_step(struct row *row, const struct line *line, int stage)
{
	int kind = line->count < 2 ? -1
				   : name_find(kind_names, ARRAY_LEN(kind_names), line->word[1]);
	bool has_file = kind == STEP_WAIT || kind == STEP_SPAWN;
	bool has_argv = kind == STEP_RUN || kind == STEP_TIME || kind == STEP_SPAWN;
	size_t first = has_file ? 3 : 2;
	struct step *step;

	if (kind < 0)
		return "no such kind of step";
	if (line->count < first || (line->count > first) != has_argv)
		return "wrong number of words";
	if (row->step_count == MAX_STEPS || line->count - first > MAX_ARGS)
		return "too many steps or words";
	step = &row->steps[row->step_count++];
	step->stage = (enum stage)stage;
	step->kind = (enum step_kind)kind;
	step->file = has_file ? line->word[2] : NULL;
	step->argv = copy_argv(line, first);
	return step->argv ? NULL : "out of memory";
}

static const char *read_row_line(struct row *row, const struct line *line)
{
	int stage = name_find(stage_names, ARRAY_LEN(stage_names), line->word[0]);

	if (stage >= 0)
		return read_step(row, line, stage);
	if (line->count < 2)
		return "no such statement, or a word is missing";
	if (strcmp(line->word[0], "yardstick") == 0) {
		row->yardstick = copy_argv(line, 1);
		return row->yardstick ? NULL : "out of memory";
	}
	if (line->count > 2)
		return "no such statement, or too many words";
	if (strcmp(line->word[0], "ns") == 0) {
		row->ns_fd = open(line->word[1], O_RDONLY | O_CLOEXEC);
		return row->ns_fd < 0 ? strerror(errno) : NULL;
	}
	if (strcmp(line->word[0], "log") == 0) {
		row->log = line->word[1];
		return NULL;
	}
	if (strcmp(line->word[0], "series") == 0) {
		row->series = strtoul(line->word[1], NULL, 10);
		return row->series > 1 ? NULL : "a series has at least two calls";
	}
	return "no such statement";
}

static const char *read_row(struct pass *pass, const struct line *line)
{
	struct row *row;

	if (line->count != 2)
		return "wrong number of words";
	if (pass->row_count == MAX_ROWS)
		return "too many rows";
	row = &pass->rows[pass->row_count++];
	row->name = line->word[1];
	row->ns_fd = -1;
	row->values_fd = -1;
	return NULL;
}

static const char *read_baseline(struct pass *pass, const struct line *line)
{
	int metric = line->count == 4 ? name_find(metric_names, METRIC_COUNT, line->word[1]) : -1;

	if (metric < 0 || pass->baseline_count == MAX_BASELINES)
		return "wrong number of words, no such metric, or too many baselines";
	pass->baselines[pass->baseline_count++] = (struct baseline){
		.metric = (enum metric)metric, .row = line->word[2], .label = line->word[3]};
	return NULL;
}

static const char *read_goal(struct pass *pass, const struct line *line)
{
	char *end;

	if (line->count != 5 || pass->goal_count == MAX_GOALS)
		return "wrong number of words, or too many goals";
	pass->goals[pass->goal_count++] = (struct goal){.row = line->word[1],
							.metric = line->word[2],
							.base = line->word[3],
							.limit = strtod(line->word[4], &end)};
	return *end ? "the limit is not a number" : NULL;
}

static const char *read_pass_line(struct pass *pass, const struct line *line)
{
	const char *verb = line->word[0];

	if (strcmp(verb, "row") == 0)
		return read_row(pass, line);
	if (strcmp(verb, "baseline") == 0)
		return read_baseline(pass, line);
	if (strcmp(verb, "goal") == 0)
		return read_goal(pass, line);
	if (strcmp(verb, "watch") == 0 && line->count == 2) {
		pass->watch = line->word[1];
		return NULL;
	}
	if (!pass->row_count)
		return "a row's statement before the first row";
	return read_row_line(&pass->rows[pass->row_count - 1], line);
}

static const char *read_line(struct plan *plan, const struct line *line)
{
	if (strcmp(line->word[0], "note") == 0) {
		if (line->count != 3 || plan->note_count == MAX_NOTES)
			return "wrong number of words, or too many notes";
		plan->notes[plan->note_count++] = (struct note){.key = line->word[1],
								.value = line->word[2]};
		return NULL;
	}
	if (strcmp(line->word[0], "pass") == 0) {
		struct pass *pass;

		if (line->count != 3 || plan->pass_count == MAX_PASSES)
			return "wrong number of words, or too many passes";
		pass = &plan->passes[plan->pass_count++];
		pass->name = line->word[1];
		pass->title = line->word[2];
		/* Untouched pages of it stay unallocated, which keeps the harness small. */
		pass->rows = calloc(MAX_ROWS, sizeof(*pass->rows));
		return pass->rows ? NULL : "out of memory";
	}
	if (!plan->pass_count)
		return "a pass's statement before the first pass";
	return read_pass_line(&plan->passes[plan->pass_count - 1], line);
}

static int file_slurp(const char *path, char **ret_text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	size_t used = 0;
	ssize_t n = 1;
	int r = 0;

	if (fd < 0)
		return -errno;
	text = calloc(1, MAX_PLAN + 1);
	if (!text)
		r = -ENOMEM;
	while (r == 0 && n > 0 && used < MAX_PLAN) {
		n = read(fd, text + used, MAX_PLAN - used);
		if (n < 0)
			r = -errno;
		else
			used += (size_t)n;
	}
	close(fd);
	if (r == 0 && used == MAX_PLAN)
		r = -EFBIG;
	if (r < 0) {
		free(text);
		return r;
	}
	*ret_text = text;
	return 0;
}

int plan_read(struct plan *plan, const char *path, FILE *err)
{
	char *text = NULL;
	int r = file_slurp(path, &text);

	if (r < 0) {
		fprintf(err, "harness: %s: %s\n", path, strerror(-r));
		return r;
	}
	for (unsigned number = 1; text; number++) {
		char *start = strsep(&text, "\n");
		const char *problem;
		struct line line;

		if (*start == '\0' || *start == '#')
			continue;
		problem = line_split(start, &line) ? read_line(plan, &line) : "too many words";
		if (problem) {
			fprintf(err, "harness: %s:%u: %s: %s\n", path, number, start, problem);
			return -EINVAL;
		}
	}
	return 0;
}
