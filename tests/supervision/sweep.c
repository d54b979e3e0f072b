/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kill sweep and the error injection: runs a command again and again, and each time something
 * happens to one process at the entry of a later system call: it is killed, or the call fails.
 * After each run: is a process, a mount or state left, did the command hang, did it tell the
 * truth? Then a shell command of the caller checks that the world is in order again.
 *
 *	sweep [OPTION...] -- COMMAND ARGUMENT...
 *
 *	--child K         the K-th process that the command makes, instead of the command
 *	--errno NAME      the call fails with NAME (ENOMEM, ...); without it the process is killed
 *	--when TEXT       kill the command once TEXT stands on its standard output, --last times
 *	--first N, --last N, --step K      the points: every K-th from N on; the sweep ends by
 *	                  itself when the process ends before the point
 *	--every           go on to --last when the process ends before a point: it may be killed in
 *	                  its prime by the command
 *	--random N        N points between 1 and --last, drawn from a fixed sequence
 *	--expect N        the status of an undisturbed command (default 0)
 *	--mark TEXT       what the step prints when it was started
 *	--error N         the status of an error before the start (default 1)
 *	--lost N          the status of an error after the start (default 125)
 *	--survives        the end of the process must not change the command's result
 *	--before SHELL, --after SHELL      run at each point; must succeed. POINT is set
 *	--owned           what the command leaves running is ours: look after --after
 *	--state DIR       the state root; empty after --after
 *	--below TEXT      compare only mounts whose line has TEXT: others may mount at the same time
 *	--deadline MS     until when every process must be gone (default 1000)
 *	--verbose         name the points that leave state as well
 *	--timeout MS      until when the command must have ended (default 15000)
 *
 * Prints a line per wrong point and one of totals. Status 0: nothing wrong; 1; 2: bad usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "sweep.h"

#if !defined(__x86_64__)
#error "tracer.c knows the registers of x86-64 only"
#endif

struct sweep {
	char **argv;
	unsigned child, first, last, step, random;
	int errnum, expect, error, lost, deadline, timeout;
	const char *when, *mark, *before, *after, *state, *below;
	bool survives, owned, verbose, every;
	char *mounts; /* as they were */
	int output, error_output;
};

struct totals {
	unsigned points, killed, same, clean, lost, state_left, processes_left, hung, wrong;
	int64_t slowest;
};

static int errno_by_name(const char *name)
{
	for (int e = 1; e < 200; e++) {
		const char *known = strerrorname_np(e);

		if (known && strcmp(known, name) == 0)
			return e;
	}
	return 0;
}

static int usage(const char *text)
{
	fprintf(stderr, "sweep: %s\n", text);
	return 2;
}

static int parse(int argc, char **argv, struct sweep *s)
{
	static const struct option longs[] = {
		{"child", 1, NULL, 'c'},    {"errno", 1, NULL, 'e'},    {"when", 1, NULL, 'w'},
		{"first", 1, NULL, 'f'},    {"last", 1, NULL, 'l'},     {"step", 1, NULL, 's'},
		{"expect", 1, NULL, 'x'},   {"mark", 1, NULL, 'm'},     {"error", 1, NULL, 'E'},
		{"lost", 1, NULL, 'L'},     {"survives", 0, NULL, 'S'}, {"before", 1, NULL, 'b'},
		{"after", 1, NULL, 'a'},    {"owned", 0, NULL, 'o'},    {"state", 1, NULL, 'd'},
		{"deadline", 1, NULL, 'D'}, {"timeout", 1, NULL, 't'},  {"below", 1, NULL, 'B'},
		{"every", 0, NULL, 'Y'},    {"verbose", 0, NULL, 'v'},  {"random", 1, NULL, 'r'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
		switch (c) {
		case 'c': s->child = (unsigned)atoi(optarg); break;
		case 'e':
			s->errnum = errno_by_name(optarg);
			if (!s->errnum)
				return usage("--errno: unknown name");
			break;
		case 'w': s->when = optarg; break;
		case 'f': s->first = (unsigned)atoi(optarg); break;
		case 'l': s->last = (unsigned)atoi(optarg); break;
		case 's': s->step = (unsigned)atoi(optarg); break;
		case 'x': s->expect = atoi(optarg); break;
		case 'm': s->mark = optarg; break;
		case 'E': s->error = atoi(optarg); break;
		case 'L': s->lost = atoi(optarg); break;
		case 'S': s->survives = true; break;
		case 'b': s->before = optarg; break;
		case 'a': s->after = optarg; break;
		case 'o': s->owned = true; break;
		case 'd': s->state = optarg; break;
		case 'r': s->random = (unsigned)atoi(optarg); break;
		case 'v': s->verbose = true; break;
		case 'Y': s->every = true; break;
		case 'B': s->below = optarg; break;
		case 'D': s->deadline = atoi(optarg); break;
		case 't': s->timeout = atoi(optarg); break;
		default: return 2;
		}
	}
	s->argv = argv + optind;
	return optind < argc && s->step ? 0 : usage("no command, or no step");
}

/* A memory file that several processes append to. */
static int output_make(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd >= 0)
		(void)fcntl(fd, F_SETFL, O_RDWR | O_APPEND);
	return fd;
}

/* The text so far; the buffer is static. */
static const char *output_text(int fd)
{
	static char text[2][65536];
	static int turn;
	ssize_t len;

	turn = !turn;
	len = pread(fd, text[turn], sizeof(text[turn]) - 1, 0);
	text[turn][len < 0 ? 0 : len] = '\0';
	return text[turn];
}

static void wrong(const struct sweep *s, struct totals *totals, unsigned point, long number,
		  const char *what)
{
	totals->wrong++;
	printf("# point %u (system call %ld): %s\n", point, number, what);
	for (int i = 0; i < 2; i++) {
		const char *text = output_text(i ? s->error_output : s->output);

		if (text[0])
			printf("#   %s: %.400s%s", i ? "stderr" : "stdout", text,
			       text[strlen(text) - 1] == '\n' ? "" : "\n");
	}
	fflush(stdout);
}

/* A shell command of the caller; true when it succeeded. What it says is shown if it did not. */
static bool hook(const char *text, unsigned point)
{
	char number[16];
	int said = output_make("hook");
	int status = -1;
	pid_t reaped;
	pid_t pid;

	if (!text)
		return true;
	fflush(stdout);
	snprintf(number, sizeof(number), "%u", point);
	pid = fork();
	if (pid == 0) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setenv("POINT", number, 1);
		dup2(said, 1);
		dup2(said, 2);
		execl("/bin/sh", "sh", "-c", text, (char *)NULL);
		_exit(127);
	}
	/* every orphan, as an init does: a dying pid namespace waits for the last of its zombies */
	do
		reaped = waitpid(-1, &status, __WALL);
	while (reaped != pid && (reaped >= 0 || errno == EINTR));
	if (status != 0)
		printf("# point %u: '%s' failed: %s\n", point, text, output_text(said));
	close(said);
	return status == 0;
}

/* Exactly one error line, with its code. */
static bool one_error_line(const char *text)
{
	const char *at = strstr(text, "runbuild: error: ");
	const char *end = at ? strchr(at, '\n') : NULL;
	const char *code = at ? strstr(at, " [RB") : NULL;

	return at && end && code && code < end && end[-1] == ']' &&
	       !strstr(end, "runbuild: error: ");
}

/* NULL: the command told the truth. */
static const char *judge(const struct sweep *s, const struct trace_result *result,
			 struct totals *totals)
{
	bool started = s->mark && strstr(output_text(s->output), s->mark);
	bool said = one_error_line(output_text(s->error_output));
	int status;

	if (result->hung) {
		totals->hung++;
		return "hung";
	}
	if (WIFSIGNALED(result->status)) {
		if (s->errnum || s->child || WTERMSIG(result->status) != SIGKILL)
			return "ended by a signal";
		totals->killed++;
		return NULL;
	}
	status = WEXITSTATUS(result->status);
	if (status == s->expect && (started || !s->mark)) {
		totals->same++;
		return NULL;
	}
	if (s->survives)
		return "the result of the command changed";
	if (status == s->error && !started && said) {
		totals->clean++;
		return NULL;
	}
	/* a process that was killed after its last word before execve(2): the step was killed */
	if (s->child && !s->errnum && !started && status == 128 + SIGKILL) {
		totals->clean++;
		return NULL;
	}
	if (status == s->lost && said) {
		totals->lost++;
		return NULL;
	}
	if (status == s->expect)
		return "success without a start";
	return !said ? "no error line, or more than one" : "wrong status";
}

static int traced(const struct sweep *s, unsigned point, struct trace_result *result)
{
	const struct trace_job job = {
		.argv = s->argv,
		.child = s->child,
		.point = point,
		.errnum = s->errnum,
		.after_loader = s->errnum != 0 && s->child == 0,
		.output = s->output,
		.error = s->error_output,
		.timeout_ms = s->timeout,
	};

	return trace_run(&job, result);
}

/* Not traced: SIGKILL when the step says that it is there. */
static int killed_when(const struct sweep *s, struct trace_result *result)
{
	int64_t deadline = now_ms() + s->timeout;
	struct timespec nap = {.tv_nsec = 500000};
	sigset_t none;
	pid_t pid = fork();

	*result = (struct trace_result){.hit = true};
	if (pid == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		dup2(s->output, 1);
		dup2(s->error_output, 2);
		execv(s->argv[0], s->argv);
		_exit(121);
	}
	while (!strstr(output_text(s->output), s->when)) {
		if (now_ms() > deadline) {
			result->hung = true;
			break;
		}
		nanosleep(&nap, NULL);
	}
	(void)kill(pid, SIGKILL);
	return waitpid(pid, &result->status, 0) < 0 ? -errno : 0;
}

static void check_world(const struct sweep *s, struct totals *totals, unsigned point,
			const struct trace_result *result)
{
	char *mounts = leftovers_mounts(s->below);
	int64_t took = 0;
	int left = s->owned ? 0 : leftovers_processes(s->deadline, &took);

	if (took > totals->slowest)
		totals->slowest = took;
	totals->processes_left += (unsigned)left;
	if (left)
		wrong(s, totals, point, result->number, "processes left");
	if (!mounts || strcmp(mounts, s->mounts) != 0)
		wrong(s, totals, point, result->number, "the mount table changed");
	free(mounts);
	if (s->state && leftovers_state(s->state) > 0) {
		totals->state_left++;
		if (s->verbose)
			printf("# point %u (system call %ld): state left\n", point, result->number);
	}
	if (!hook(s->after, point))
		wrong(s, totals, point, result->number, "the check afterwards failed");
	if (s->owned && leftovers_processes(s->deadline, &took) > 0)
		wrong(s, totals, point, result->number, "processes left after the check");
	if (s->state && leftovers_state(s->state) > 0)
		wrong(s, totals, point, result->number, "state left after the check");
}

/* False: the process ended before the point. */
static bool run_point(const struct sweep *s, struct totals *totals, unsigned point)
{
	struct trace_result result;
	const char *text;
	int r;

	(void)!ftruncate(s->output, 0);
	(void)!ftruncate(s->error_output, 0);
	if (!hook(s->before, point))
		wrong(s, totals, point, 0, "the preparation failed");
	r = s->when ? killed_when(s, &result) : traced(s, point, &result);
	if (r < 0) {
		errno = -r;
		perror("sweep: ptrace");
		exit(2);
	}
	text = judge(s, &result, totals);
	if (text)
		wrong(s, totals, point, result.number, text);
	check_world(s, totals, point, &result);
	if (result.hit)
		totals->points++;
	return result.hit;
}

static void report(const struct totals *t)
{
	printf("points %u: killed %u, same result %u, clean error %u, result lost %u; "
	       "state left %u, processes left %u, hung %u, wrong %u; slowest end %d ms\n",
	       t->points, t->killed, t->same, t->clean, t->lost, t->state_left, t->processes_left,
	       t->hung, t->wrong, (int)t->slowest);
}

int main(int argc, char **argv)
{
	struct sweep s = {
		.first = 1,
		.last = 100000,
		.step = 1,
		.error = 1,
		.lost = 125,
		.deadline = 1000,
		.timeout = 15000,
		.output = output_make("stdout"),
		.error_output = output_make("stderr"),
	};
	struct totals totals = {0};
	unsigned early = 0;
	sigset_t set;
	int r = parse(argc, argv, &s);

	if (r)
		return r;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s.mounts = leftovers_mounts(s.below);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 || !s.mounts)
		return usage("cannot be a subreaper, or no /proc");
	srandom(1);
	for (unsigned i = 0; i < s.random; i++)
		(void)run_point(&s, &totals, 1 + (unsigned)random() % s.last);
	/* the number of calls varies a little (EAGAIN, EINTR): look twice before stopping */
	for (unsigned point = s.first; !s.random && point <= s.last && (early < 2 || s.every);
	     point += s.step)
		early = run_point(&s, &totals, point) ? 0 : early + 1;
	report(&totals);
	return totals.wrong || !(totals.points || s.every);
}
