// SPDX-License-Identifier: Apache-2.0
/*
 * The client half of bench/worker.c: requests and answers through librunbuild-client, and what
 * /proc tells of the worker's processes. Runs as root of an ordinary user's namespace.
 */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/json_scan.h"
#include "worker.h"

void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("worker: ", stderr);
	vfprintf(stderr, format, arguments);
	fputs("\n", stderr);
	va_end(arguments);
	exit(2);
}

/* ---- figures ---- */

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a;
	int64_t y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

double percentile_us(int64_t *ns, size_t n, unsigned percent)
{
	qsort(ns, n, sizeof(*ns), compare);
	return (double)ns[n * percent / 100] / 1e3;
}

void row(struct bench *b, const char *name, double value, const char *unit, double limit)
{
	bool met = limit < 0 ? value >= -limit : value <= limit;
	char goal[32];

	snprintf(goal, sizeof(goal), "%s %g", limit < 0 ? ">=" : "<=", limit < 0 ? -limit : limit);
	printf("%-38s %10.3f %-5s %10s %s\n", name, value, unit, goal, met ? "met" : "MISSED");
	fflush(stdout);
	b->met += met;
	b->missed += !met;
}

int64_t *room_for(size_t n)
{
	int64_t *values = calloc(n, sizeof(*values));

	if (!values)
		die("out of memory");
	return values;
}

/* ---- talking to the worker ---- */

struct runbuild_message next(struct bench *b)
{
	struct runbuild_message message;
	int r = runbuild_client_next(b->client, ANSWER_MS, &message);

	if (r <= 0)
		die("no answer from the worker: %s", r ? strerror(-r) : "timeout");
	if (message.pidfd >= 0)
		close(message.pidfd);
	return message;
}

uint64_t ask(struct bench *b, const char *method, const char *params, int fd)
{
	uint64_t id = 0;
	int r = runbuild_client_request(b->client, method, params, &fd, fd >= 0, &id);

	if (r < 0)
		die("%s: %s", method, strerror(-r));
	return id;
}

struct runbuild_message answer(struct bench *b, uint64_t id)
{
	struct runbuild_message message;

	do
		message = next(b);
	while (message.id != id);
	return message;
}

struct runbuild_message good_answer(struct bench *b, uint64_t id)
{
	struct runbuild_message message = answer(b, id);

	if (message.kind == RUNBUILD_ERROR)
		die("%s", message.error_text ? message.error_text : "error");
	return message;
}

uint64_t start_step(struct bench *b)
{
	char params[1024];

	snprintf(params, sizeof(params),
		 "{\"step\":\"s%llu\",\"process\":{\"args\":[\"/bin/true\"]},"
		 "\"rootfs\":{\"path\":\"%s\"},\"io\":{\"inband\":false}}",
		 (unsigned long long)++b->number, b->root);
	return ask(b, "step.run", params, -1);
}

void check_step(const struct runbuild_message *message)
{
	if (message->kind == RUNBUILD_ERROR || message->code != 0)
		die("a step failed: %s", message->result ? message->result : "");
}

static struct scan whole(const char *text)
{
	return (struct scan){text, text + strlen(text)};
}

void run_step(struct bench *b, const struct phases *phases, size_t i)
{
	struct runbuild_message message = answer(b, start_step(b));
	struct scan root;
	uint64_t value;

	check_step(&message);
	if (!phases)
		return;
	root = whole(message.result);
	if (scan_number(scan_member(scan_member(root, "setupUsec"), "exec"), &value))
		phases->setup_us[i] = (int64_t)value;
	if (scan_number(scan_member(scan_member(root, "usage"), "wallUsec"), &value))
		phases->run_us[i] = (int64_t)value;
}

uint64_t stats(struct bench *b, const char *member)
{
	struct runbuild_message message = good_answer(b, ask(b, "stats", NULL, -1));
	struct scan root = whole(message.result);
	uint64_t value = 0;

	if (!scan_number(scan_member(root, member), &value))
		die("stats without \"%s\"", member);
	return value;
}

/* ---- processes ---- */

/* User and system time of a process and of what it has waited for, in ticks; 0: it is gone. */
static int64_t ticks_of(pid_t pid)
{
	char path[64];
	char text[1024] = "";
	unsigned long long times[4];
	char *at;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	at = fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
	fclose(file);
	if (!at || sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu",
			  &times[0], &times[1], &times[2], &times[3]) != 4)
		return 0;
	return (int64_t)(times[0] + times[1] + times[2] + times[3]);
}

double cpu_of(const struct rusage *usage)
{
	return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1e6 +
	       (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

/* The processes below the worker, its guard among them. */
static int64_t ticks_of_children(pid_t pid)
{
	char path[64];
	int64_t sum = 0;
	int child;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	file = fopen(path, "re");
	while (file && fscanf(file, "%d", &child) == 1)
		sum += ticks_of(child);
	if (file)
		fclose(file);
	return sum;
}

double worker_cpu_us(const struct bench *b)
{
	return (double)(ticks_of(b->worker) + ticks_of_children(b->worker)) * 1e6 /
	       (double)sysconf(_SC_CLK_TCK);
}

int64_t open_descriptors(pid_t pid)
{
	char path[64];
	const struct dirent *item;
	int64_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	while (dir && (item = readdir(dir))) {
		char target[256];
		ssize_t len = readlinkat(dirfd(dir), item->d_name, target, sizeof(target) - 1);

		if (len < 0)
			continue;
		target[len] = '\0';
		n += strncmp(target, "net:[", 5) != 0 && !strstr(target, "/net/dev") &&
		     !strstr(target, "/net/sockstat");
	}
	if (dir)
		closedir(dir);
	return n;
}

int64_t run_floor(const char *program, int64_t *cpu_ns)
{
	char *argv[] = {(char *)program, NULL};
	struct usage usage;

	if (proc_run(argv, -1, &usage) != 0)
		die("%s does not run", program);
	*cpu_ns += usage.cpu_ns;
	return usage.wall_ns;
}

bool take_message(struct bench *b, int timeout_ms, uint64_t *bytes, uint64_t *ret_id)
{
	struct runbuild_message message;
	int r = runbuild_client_next(b->client, timeout_ms, &message);

	if (r < 0)
		die("the worker is gone: %s", strerror(-r));
	if (r == 0)
		return false;
	if (message.kind == RUNBUILD_OUTPUT)
		*bytes += message.len;
	if (message.pidfd >= 0)
		close(message.pidfd);
	*ret_id = message.id;
	return true;
}
