// SPDX-License-Identifier: Apache-2.0
/*
 * The benchmark harness: runs the passes of a plan and reports them. bench/run writes the plan
 * and starts this program as root of an unprivileged user's user namespace; it needs that (and
 * CAP_SYS_ADMIN in it) only for rows that run in a mount namespace of their own.
 *
 *   harness [--runs N] [--format text|markdown|json] [--check] PLAN
 *   harness --bind-socket PATH       leaves a unix socket at PATH for the bundle
 *
 * A pass is interleaved: every round runs every row once, the first row being another one in each
 * round and the direction changing from round to round, so that what disturbs the machine hits
 * all rows alike. Two rounds of warm-up are thrown away. A row that fails once is void: its
 * numbers are not shown, and it is not run again. Series run after the rounds, one at a time.
 *
 * Static and small on purpose: a child started by vfork shares the parent's memory until it
 * executes, so the kernel counts the parent's size as the child's peak (bench/README.md).
 *
 * Exit status: 0; 1 a goal was missed and --check was given; 2 usage, or nothing could be
 * measured; 130 ended by a signal.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

struct harness {
	struct plan plan;
	size_t runs;
	enum format format;
	bool check;
	FILE *out;
	FILE *err;
	uint64_t next_id;
};

/* A command's words with the placeholders filled in. */
struct command {
	char *argv[MAX_ARGS + 1];
	char text[8192];
	size_t used;
};

/* One round's result of one row. */
struct round {
	struct usage usage; /* sums, but rss_kb, which is the maximum */
	struct census live;
	bool timed, sampled;
};

/* Appends a copy of WORD with @ID@ and @CID@ replaced. NULL when the buffer is full. */
static char *command_add(struct command *command, const char *word, const struct row *row,
			 const char *id)
{
	char *start = command->text + command->used;
	size_t left = sizeof(command->text) - command->used;
	size_t len = 0;

	while (*word) {
		const char *value = NULL;
		size_t skip = 1, n = 1;

		if (strncmp(word, "@ID@", 4) == 0) {
			value = id;
			skip = 4;
		} else if (strncmp(word, "@CID@", 5) == 0) {
			value = row->standing_id;
			skip = 5;
		}
		if (value)
			n = strlen(value);
		if (n >= left - len)
			return NULL;
		memcpy(start + len, value ? value : word, n);
		len += n;
		word += skip;
	}
	if (len + 1 > left)
		return NULL;
	start[len] = '\0';
	command->used += len + 1;
	return start;
}

static void harness_make_id(struct harness *harness, char prefix, char *ret_id)
{
	/* Letters and digits only, 25 of them, as BuildKit's. */
	snprintf(ret_id, ID_LEN + 1, "%c%08x%016llx", prefix, (unsigned)getpid(),
		 (unsigned long long)harness->next_id++);
}

/* The last line of the runtime's log, for the failure's text. */
static void read_last_line(const char *path, char *buf, size_t size)
{
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n = -1;
	char *line;

	if (fd >= 0) {
		off_t end = lseek(fd, 0, SEEK_END);
		off_t from = end > (off_t)size - 1 ? end - (off_t)size + 1 : 0;

		n = pread(fd, buf, size - 1, from);
		close(fd);
	}
	buf[n > 0 ? n : 0] = '\0';
	if (n > 0 && buf[n - 1] == '\n')
		buf[n - 1] = '\0';
	line = strrchr(buf, '\n');
	if (line)
		memmove(buf, line + 1, strlen(line + 1) + 1);
}

/* Makes the row void. status is a wait status, or -errno. The first failure stays. */
static void row_fail(struct row *row, const struct step *step, int status)
{
	const char *verb = step->argv[0] ? step->argv[0] : step->file ? step->file : "";
	char what[160], log[256];
	size_t words = 0;

	if (row->failure[0])
		return;
	while (step->argv[words])
		words++;
	if (status < 0)
		snprintf(what, sizeof(what), "%s", strerror(-status));
	else if (WIFSIGNALED(status))
		snprintf(what, sizeof(what), "killed by signal %d", WTERMSIG(status));
	else
		snprintf(what, sizeof(what), "exited with %d", WEXITSTATUS(status));
	read_last_line(row->log, log, sizeof(log));
	/* The verb of an OCI command line stands after the global options. */
	for (size_t i = 1; i + 1 < words; i++)
		if (strcmp(step->argv[i], "json") == 0)
			verb = step->argv[i + 1];
	snprintf(row->failure, sizeof(row->failure), "after %zu good rounds: %s: %s%s%s",
		 row->count, verb, what, log[0] ? "; log: " : "", log);
}

static int step_command(struct row *row, const struct step *step, const struct command *command,
			struct round *round)
{
	struct usage usage = {0};
	int r = proc_run(command->argv, row->ns_fd, &usage);

	if (r == 0 && step->kind == STEP_TIME) {
		round->usage.wall_ns += usage.wall_ns;
		round->usage.cpu_ns += usage.cpu_ns;
		if (usage.rss_kb > round->usage.rss_kb)
			round->usage.rss_kb = usage.rss_kb;
		round->timed = true;
	}
	return r;
}

static int step_spawn(struct row *row, const char *fifo, const struct command *command)
{
	pid_t pid = proc_spawn(command->argv, row->ns_fd);
	int r;

	if (pid < 0)
		return pid;
	row->spawned = pid;
	r = proc_wait_ready(fifo, pid);
	if (r == -ESRCH) { /* its status says more */
		row->spawned = 0;
		r = proc_wait(pid, 0, NULL);
		return r ? r : -ESRCH;
	}
	return r;
}

/* Returns 0, a wait status, or -errno. */
static int step_run(struct row *row, const struct step *step, const char *id, struct round *round)
{
	struct command command = {.used = 0};
	char *file = NULL;
	int r = 0;

	for (size_t i = 0; step->argv[i]; i++) {
		command.argv[i] = command_add(&command, step->argv[i], row, id);
		if (!command.argv[i])
			return -E2BIG;
	}
	if (step->file) {
		file = command_add(&command, step->file, row, id);
		if (!file)
			return -E2BIG;
	}
	switch (step->kind) {
	case STEP_RUN:
	case STEP_TIME: return step_command(row, step, &command, round);
	case STEP_WAIT: return proc_wait_pidfile(file);
	case STEP_SPAWN: return step_spawn(row, file, &command);
	case STEP_SAMPLE:
		round->sampled = true;
		return proc_census(row->spawned, true, false, &round->live);
	case STEP_JOIN:
		if (row->spawned)
			r = proc_wait(row->spawned, 0, NULL);
		row->spawned = 0;
		return r < 0 ? r : 0; /* killed as a rule, so its status says nothing */
	}
	return -EINVAL;
}

/*
 * Runs the steps of one stage. A failing step makes the row void and ends the stage, but for the
 * two that clean up: there the rest is still tried.
 */
static void row_run_stage(const struct pass *pass, struct row *row, enum stage stage,
			  const char *id, struct round *round)
{
	bool cleanup = stage == STAGE_AFTER || stage == STAGE_END || stage == STAGE_LAST;

	for (size_t i = 0; i < row->step_count; i++) {
		const struct step *step = &row->steps[i];
		int r;

		if (step->stage != stage)
			continue;
		r = step_run(row, step, id, round);
		proc_reap_orphans(pass);
		if (r != 0)
			row_fail(row, step, r);
		if (r != 0 && !cleanup)
			return;
	}
}

/* Where the value of a metric and round stands in the row's file. max: values of one metric. */
static off_t value_offset(enum metric metric, size_t round, size_t max)
{
	return (off_t)(((size_t)metric * max + round) * sizeof(int64_t));
}

/*
 * Keeps a value. In a file and not in memory, because the harness must not grow while it
 * measures: its size is a floor under each child's peak.
 */
static void row_push(struct row *row, enum metric metric, int64_t value, size_t max)
{
	if (row->values_fd < 0)
		row->values_fd = memfd_create("values", MFD_CLOEXEC);
	if (pwrite(row->values_fd, &value, sizeof(value), value_offset(metric, row->count, max)) !=
	    sizeof(value))
		snprintf(row->failure, sizeof(row->failure), "cannot keep the values");
	row->recorded[metric] = true;
}

/* Brings the values into memory, when all passes are over. */
static void row_load_values(struct row *row, size_t max)
{
	size_t size = row->count * sizeof(int64_t);

	for (int m = 0; m < METRIC_COUNT && size; m++) {
		int64_t *values = row->recorded[m] ? malloc(size) : NULL;

		if (values && pread(row->values_fd, values, size,
				    value_offset((enum metric)m, 0, max)) == (ssize_t)size)
			row->values[m] = values;
	}
}

static void row_record(struct row *row, const struct round *round, size_t max)
{
	if (round->timed) {
		row_push(row, METRIC_WALL, round->usage.wall_ns, max);
		row_push(row, METRIC_CPU, round->usage.cpu_ns, max);
		row_push(row, METRIC_RSS, round->usage.rss_kb, max);
	}
	if (round->sampled) {
		row_push(row, METRIC_LIVE_RSS, round->live.rss_kb, max);
		row_push(row, METRIC_LIVE_PSS, round->live.pss_kb, max);
		row_push(row, METRIC_PROCS, round->live.procs, max);
	}
}

static void row_begin(struct harness *harness, const struct pass *pass, struct row *row)
{
	struct round unused = {0};

	harness_make_id(harness, 'c', row->standing_id);
	row->begun = true;
	row_run_stage(pass, row, STAGE_BEGIN, row->standing_id, &unused);
}

static void row_end(const struct pass *pass, struct row *row)
{
	struct round unused = {0};

	if (row->begun)
		row_run_stage(pass, row, STAGE_END, row->standing_id, &unused);
	row->begun = false;
}

static void row_round(struct harness *harness, const struct pass *pass, struct row *row,
		      bool warm_up)
{
	struct round round = {0};
	char id[ID_LEN + 1];

	if (row->failure[0])
		return;
	harness_make_id(harness, 'b', id);
	row_run_stage(pass, row, STAGE_EACH, id, &round);
	row_run_stage(pass, row, STAGE_AFTER, id, &round);
	if (row->failure[0])
		return;
	row_record(row, &round, harness->runs);
	row->count += !warm_up; /* the next round overwrites a warm-up's values */
}

static void pass_rounds(struct harness *harness, const struct pass *pass)
{
	struct row *rows[MAX_ROWS];
	size_t count = 0;

	for (size_t i = 0; i < pass->row_count; i++)
		if (!pass->rows[i].series)
			rows[count++] = &pass->rows[i];
	for (size_t i = 0; i < count && !proc_interrupted(); i++)
		row_begin(harness, pass, rows[i]);
	for (size_t round = 0; count && round < WARM_UP + harness->runs; round++)
		for (size_t i = 0; i < count && !proc_interrupted(); i++) {
			size_t place = round % 2 ? count - 1 - i : i;

			row_round(harness, pass, rows[(round / 2 + place) % count],
				  round < WARM_UP);
		}
	for (size_t i = 0; i < count; i++)
		row_end(pass, rows[i]);
}

/* What a series may leave behind, now. */
static void series_count(const struct pass *pass, int64_t *ret_values)
{
	struct census census = {0};

	/* An error leaves zeros, which a growth of the numbers would show. */
	proc_census(getpid(), false, true, &census);
	ret_values[METRIC_PROCS] = census.procs;
	ret_values[METRIC_FDS] = census.fds;
	ret_values[METRIC_PSS] = census.pss_kb;
	ret_values[METRIC_FILES] = pass->watch ? count_files(pass->watch) : 0;
	ret_values[METRIC_MOUNTS] = count_lines("/proc/self/mountinfo");
}

static void series_call(struct harness *harness, const struct pass *pass, struct row *row, char *id)
{
	int64_t values[METRIC_COUNT] = {0};
	struct round round = {0};
	struct usage yardstick = {0};

	if (row->yardstick && proc_run(row->yardstick, -1, &yardstick) != 0) {
		snprintf(row->failure, sizeof(row->failure), "the yardstick failed");
		return;
	}
	harness_make_id(harness, 's', id);
	row_run_stage(pass, row, STAGE_EACH, id, &round);
	row_run_stage(pass, row, STAGE_AFTER, id, &round);
	if (row->failure[0])
		return;
	row_record(row, &round, row->series);
	if (yardstick.wall_ns > 0)
		row_push(row, METRIC_REL, round.usage.wall_ns * 1000 / yardstick.wall_ns,
			 row->series);
	series_count(pass, values);
	for (int m = METRIC_PROCS; m < METRIC_COUNT; m++)
		row_push(row, (enum metric)m, values[m], row->series);
	row->count++;
}

/* COUNT calls, and STAGE_LAST for each of their ids. */
static void series_calls(struct harness *harness, const struct pass *pass, struct row *row,
			 size_t count)
{
	char(*ids)[ID_LEN + 1] = calloc(count, sizeof(*ids));
	size_t done = 0;

	if (!ids) {
		snprintf(row->failure, sizeof(row->failure), "out of memory");
		return;
	}
	row->count = 0;
	while (done < count && !row->failure[0] && !proc_interrupted())
		series_call(harness, pass, row, ids[done++]);
	for (size_t i = 0; i < done; i++) {
		struct round unused = {0};

		row_run_stage(pass, row, STAGE_LAST, ids[i], &unused);
	}
	free(ids);
}

static void series_run(struct harness *harness, const struct pass *pass, struct row *row)
{
	int64_t before[METRIC_COUNT] = {0}, after[METRIC_COUNT] = {0};

	row_begin(harness, pass, row);
	if (!row->failure[0])
		series_calls(harness, pass, row, WARM_UP);
	series_count(pass, before);
	if (!row->failure[0])
		series_calls(harness, pass, row, row->series);
	series_count(pass, after);
	row_end(pass, row);
	for (int m = 0; m < METRIC_COUNT; m++)
		row->left[m] = after[m] - before[m];
}

static void pass_run(struct harness *harness, struct pass *pass)
{
	double load[3] = {0};
	char names[256];
	int swept;

	if (getloadavg(load, 3) == 3)
		snprintf(pass->load, sizeof(pass->load), "%.2f %.2f %.2f", load[0], load[1],
			 load[2]);
	fprintf(harness->err, "bench: %s, load %s\n", pass->name, pass->load);
	pass_rounds(harness, pass);
	for (size_t i = 0; i < pass->row_count && !proc_interrupted(); i++)
		if (pass->rows[i].series)
			series_run(harness, pass, &pass->rows[i]);
	swept = proc_sweep(names, sizeof(names));
	if (swept)
		fprintf(harness->err,
			"bench: %s: %d processes were left and have been killed: %s\n", pass->name,
			swept, names);
}

/*
 * The floor under every peak: this process's own. VmHWM and not ru_maxrss, which still counts the
 * shell that became the harness; proc(5), /proc/pid/status.
 */
static void note_own_size(struct plan *plan)
{
	static char text[96];
	char line[128];
	FILE *status = fopen("/proc/self/status", "re");
	long kb = 0;

	if (!status || plan->note_count == MAX_NOTES)
		return;
	while (!kb && fgets(line, sizeof(line), status))
		if (strncmp(line, "VmHWM:", 6) == 0)
			kb = strtol(line + 6, NULL, 10);
	fclose(status);
	snprintf(text, sizeof(text), "%ld KB, the harness's own", kb);
	plan->notes[plan->note_count++] = (struct note){"smallest peak that can be seen", text};
}

static bool goals_are_met(const struct plan *plan)
{
	for (size_t i = 0; i < plan->pass_count; i++)
		for (size_t g = 0; g < plan->passes[i].goal_count; g++) {
			double unused;

			if (goal_check(&plan->passes[i], &plan->passes[i].goals[g], &unused) ==
			    VERDICT_MISSED)
				return false;
		}
	return true;
}

static int bind_socket(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return close(fd);
}

/*
 * Moves stdout and stderr up and puts /dev/null in the place of 0, 1 and 2, which the commands
 * inherit; nothing else is inherited.
 */
static int streams_init(struct harness *harness)
{
	int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	int err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (out < 0 || err < 0 || null < 0)
		return -errno;
	for (int fd = 0; fd <= 2; fd++)
		if (null > 2 && dup3(null, fd, 0) < 0)
			return -errno;
	close(null);
	if (syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) < 0)
		return -errno;
	harness->out = fdopen(out, "w");
	harness->err = fdopen(err, "w");
	if (!harness->out || !harness->err)
		return -ENOMEM;
	setlinebuf(harness->err);
	return 0;
}

static int usage(void)
{
	fputs("usage: harness [--runs N] [--format text|markdown|json] [--check] PLAN\n"
	      "       harness --bind-socket PATH\n",
	      stderr);
	return 2;
}

static bool parse_format(const char *text, enum format *ret_format)
{
	static const char *const names[] = {
		[FORMAT_TEXT] = "text", [FORMAT_MARKDOWN] = "markdown", [FORMAT_JSON] = "json"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret_format = (enum format)i;
			return true;
		}
	return false;
}

/* Returns the plan's path, or NULL and the exit status in *ret_status. */
static const char *parse_options(struct harness *harness, int argc, char **argv, int *ret_status)
{
	static const struct option options[] = {
		{"runs", required_argument, NULL, 'r'},
		{"format", required_argument, NULL, 'f'},
		{"check", no_argument, NULL, 'c'},
		{"bind-socket", required_argument, NULL, 's'},
		{NULL, 0, NULL, 0},
	};
	bool good = true;
	char *end;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'r':
			harness->runs = strtoul(optarg, &end, 10);
			good &= *end == '\0' && harness->runs > 0 && harness->runs <= 100000;
			break;
		case 'f': good &= parse_format(optarg, &harness->format); break;
		case 'c': harness->check = true; break;
		case 's':
			r = bind_socket(optarg);
			if (r < 0)
				fprintf(stderr, "harness: %s: %s\n", optarg, strerror(-r));
			*ret_status = r < 0 ? 2 : 0;
			return NULL;
		default: good = false;
		}
	}
	if (good && optind == argc - 1)
		return argv[optind];
	*ret_status = usage();
	return NULL;
}

int main(int argc, char **argv)
{
	struct harness harness = {.runs = 30};
	char names[256];
	const char *path;
	int status = 0;

	path = parse_options(&harness, argc, argv, &status);
	if (!path)
		return status;
	status = streams_init(&harness);
	if (status < 0)
		return 2;
	status = plan_read(&harness.plan, path, harness.err);
	if (status < 0)
		return 2;
	status = proc_init();
	if (status < 0 || chdir("/") < 0) {
		fprintf(harness.err, "harness: %s\n", strerror(status < 0 ? -status : errno));
		return 2;
	}
	/* What bash started before it became this program held the mount namespaces that
	 * plan_read() has opened. */
	proc_sweep(names, sizeof(names));
	for (size_t i = 0; i < harness.plan.pass_count && !proc_interrupted(); i++)
		pass_run(&harness, &harness.plan.passes[i]);
	proc_sweep(names, sizeof(names));
	if (proc_interrupted())
		return 130;
	note_own_size(&harness.plan);
	for (size_t p = 0; p < harness.plan.pass_count; p++)
		for (size_t i = 0; i < harness.plan.passes[p].row_count; i++) {
			struct row *row = &harness.plan.passes[p].rows[i];

			row_load_values(row, row->series ? row->series : harness.runs);
		}
	report_print(&harness.plan, harness.format, harness.runs, harness.out);
	if (fflush(harness.out) == EOF)
		return 2;
	return harness.check && !goals_are_met(&harness.plan) ? 1 : 0;
}
