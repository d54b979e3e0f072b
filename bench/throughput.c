// SPDX-License-Identifier: Apache-2.0
/*
 * Compares what passes through slirp4netns under two launchers. Each session starts a client
 * (stream.c) under both; then they take turns in the order A B B A, some tens of milliseconds each,
 * over connections that stay open. What the machine does otherwise changes slower than that, so it
 * is the same for the two of a pair.
 *
 * A session gives one value: the median of the logarithms of its pairs' ratios. Sessions are
 * independent, transfers within one are not, so the interval is Student's of the sessions'. Beside
 * the speed stands the processor time of slirp4netns, client and server, which other people's
 * load disturbs least: it says what a launcher costs, the speed says also what luck did.
 */
#include <ctype.h>
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SESSIONS_MAX = 64, PAIRS_MAX = 256, WARM_UP = 2, WORDS_MAX = 64 };
enum figure { SPEED, SLIRP, ALL, FIGURES };

/* One side of a session: its launcher, the client in it, its slirp4netns. */
struct side {
	char *argv[WORDS_MAX];
	pid_t pid;
	FILE *to;
	FILE *from;
	clockid_t slirp;
};

/* Of one transfer, in units per nanosecond or nanoseconds: more is better only for the first. */
struct sample {
	double figure[FIGURES];
};

struct totals {
	double log_ratio[FIGURES][SESSIONS_MAX];
	double log_side[2][FIGURES][SESSIONS_MAX];
	size_t n;
};

static void die(const char *what)
{
	fprintf(stderr, "throughput: %s: %s\n", what, strerror(errno));
	exit(2);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare_doubles);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* The child of the launcher that is called slirp4netns: proc(5), /proc/PID/stat. */
static pid_t find_slirp(pid_t launcher)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	pid_t found = 0;

	while (proc && !found && (entry = readdir(proc))) {
		char path[300], name[32] = "";
		int parent = 0;
		FILE *stat;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		stat = fopen(path, "re");
		if (stat && fscanf(stat, "%*d (%31[^)]) %*c %d", name, &parent) == 2 &&
		    parent == launcher && strcmp(name, "slirp4netns") == 0)
			found = (pid_t)atoi(entry->d_name);
		if (stat)
			fclose(stat);
	}
	if (proc)
		closedir(proc);
	return found;
}

static double slirp_ns(const struct side *side)
{
	struct timespec now;

	if (clock_gettime(side->slirp, &now) < 0)
		die("slirp4netns has ended");
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static struct sample transfer(struct side *side, uint64_t bytes)
{
	double slirp = slirp_ns(side);
	double wall, client, server;

	fprintf(side->to, "%" PRIu64 "\n", bytes);
	fflush(side->to);
	if (fscanf(side->from, "%lf %lf %lf", &wall, &client, &server) != 3)
		die("a client has ended");
	slirp = slirp_ns(side) - slirp;
	return (struct sample){{(double)bytes / wall, slirp / (double)bytes,
				(slirp + client + server) / (double)bytes}};
}

static void start(struct side *side, uint64_t bytes)
{
	int in[2], out[2];
	pid_t slirp;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		die("pipe");
	side->pid = fork();
	if (side->pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execvp(side->argv[0], side->argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	side->to = fdopen(in[1], "w");
	side->from = fdopen(out[0], "r");
	/* a first answer says that all of it runs */
	fprintf(side->to, "%" PRIu64 "\n", bytes);
	fflush(side->to);
	if (fscanf(side->from, "%*f %*f %*f") == EOF)
		die("a client has ended");
	slirp = find_slirp(side->pid);
	if (!slirp || clock_getcpuclockid(slirp, &side->slirp) != 0)
		die("no slirp4netns below the launcher");
}

static void end(struct side *side)
{
	fclose(side->to);
	fclose(side->from);
	while (waitpid(side->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void session(struct side sides[2], uint64_t bytes, size_t pairs, struct totals *totals)
{
	static double ratio[FIGURES][PAIRS_MAX];
	static double value[2][FIGURES][PAIRS_MAX];

	for (size_t i = 0; i < 2; i++)
		start(&sides[i], bytes);
	for (size_t i = 0; i < WARM_UP; i++)
		for (size_t k = 0; k < 2; k++)
			(void)transfer(&sides[k], bytes);
	for (size_t i = 0; i < pairs; i++) {
		size_t first = (i + totals->n) % 2;
		struct sample pair[2];

		pair[first] = transfer(&sides[first], bytes);
		pair[!first] = transfer(&sides[!first], bytes);
		for (size_t f = 0; f < FIGURES; f++) {
			ratio[f][i] = log(pair[0].figure[f] / pair[1].figure[f]);
			for (size_t k = 0; k < 2; k++)
				value[k][f][i] = log(pair[k].figure[f]);
		}
	}
	for (size_t i = 0; i < 2; i++)
		end(&sides[i]);
	for (size_t f = 0; f < FIGURES; f++) {
		totals->log_ratio[f][totals->n] = median(ratio[f], pairs);
		for (size_t k = 0; k < 2; k++)
			totals->log_side[k][f][totals->n] = median(value[k][f], pairs);
	}
	totals->n++;
}

/* 0.975 of Student's distribution: Cornish and Fisher's expansion, within 0.5 % from 4 on. */
static double student(double degrees)
{
	double z = 1.959964;
	double z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;

	return z + (z3 + z) / (4 * degrees) +
	       (5 * z5 + 16 * z3 + 3 * z) / (96 * degrees * degrees) +
	       (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * degrees * degrees * degrees);
}

struct interval {
	double estimate, low, high;
};

static struct interval interval_of(const double *logs, size_t n)
{
	double mean = 0, squares = 0, half;

	for (size_t i = 0; i < n; i++)
		mean += logs[i] / (double)n;
	for (size_t i = 0; i < n; i++)
		squares += (logs[i] - mean) * (logs[i] - mean);
	half = student((double)n - 1) * sqrt(squares / (double)(n - 1) / (double)n);
	return (struct interval){exp(mean), exp(mean - half), exp(mean + half)};
}

static const char *verdict(struct interval speed, double goal)
{
	if (speed.low >= goal)
		return "met";
	return speed.high < goal ? "MISSED" : "undecided";
}

/* Gbit/s of both, their ratio, seconds of processor time per gigabyte of both, their ratio. */
static int report(const char *what, const struct totals *totals, double goal)
{
	struct interval ratio[FIGURES];
	double side[2][FIGURES];

	for (size_t f = 0; f < FIGURES; f++) {
		ratio[f] = interval_of(totals->log_ratio[f], totals->n);
		for (size_t k = 0; k < 2; k++)
			side[k][f] = interval_of(totals->log_side[k][f], totals->n).estimate;
	}
	printf("%-17s %6.2f %6.2f  %.3f (%.3f to %.3f)", what, side[0][SPEED] * 8,
	       side[1][SPEED] * 8, ratio[SPEED].estimate, ratio[SPEED].low, ratio[SPEED].high);
	for (enum figure f = SLIRP; f < FIGURES; f++)
		printf("  %5.2f %5.2f  %.3f (%.3f to %.3f)", side[0][f], side[1][f],
		       ratio[f].estimate, ratio[f].low, ratio[f].high);
	printf("  %s\n", verdict(ratio[SPEED], goal));
	return ratio[SPEED].high < goal;
}

int main(int argc, char **argv)
{
	struct side sides[2] = {0};
	struct totals totals = {0};
	size_t sessions, pairs;
	uint64_t bytes;
	int at = 6;

	if (argc < 9) {
		fprintf(stderr,
			"usage: throughput TITLE GOAL BYTES SESSIONS PAIRS CALL… vs CALL…\n");
		return 2;
	}
	bytes = strtoull(argv[3], NULL, 10);
	sessions = strtoul(argv[4], NULL, 10);
	pairs = strtoul(argv[5], NULL, 10);
	errno = EINVAL;
	if (sessions < 3 || sessions > SESSIONS_MAX || pairs < 1 || pairs > PAIRS_MAX)
		die("3 to 64 sessions of 1 to 256 pairs");
	for (size_t k = 0; k < 2; k++, at++)
		for (size_t n = 0; at < argc && n < WORDS_MAX - 1 && strcmp(argv[at], "vs") != 0;)
			sides[k].argv[n++] = argv[at++];
	signal(SIGPIPE, SIG_IGN);
	while (totals.n < sessions)
		session(sides, bytes, pairs, &totals);
	return report(argv[1], &totals, strtod(argv[2], NULL));
}
