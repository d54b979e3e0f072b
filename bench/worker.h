// SPDX-License-Identifier: Apache-2.0
#pragma once
/*
 * What the two halves of the worker's benchmark share: the figures of worker.c, and how
 * worker_client.c talks to the worker and looks at its processes. Functions that cannot go on end
 * the program with a message and status 2.
 */
#include <sys/resource.h>

#include "client/runbuild-client.h"
#include "harness.h"

enum { ANSWER_MS = 60000 }; /* for the worker's answer */

struct bench {
	const char *runbuild, *root, *program, *tmpfs;
	const char *crun, *crun_state, *bundles[2];
	int crun_ns;
	size_t rounds, steps;
	struct runbuild_client *client;
	pid_t worker;
	uint64_t number; /* of the last step */
	unsigned met, missed;
};

/* The worker's own clock: until the program runs, and until it has ended. */
struct phases {
	int64_t *setup_us, *run_us;
};

void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

int64_t *room_for(size_t n);

/* Sorts. percent 50: the median. */
double percentile_us(int64_t *ns, size_t n, unsigned percent);

/* Prints a figure and whether it meets its goal: at most, or with a negative limit at least that. */
void row(struct bench *b, const char *name, double value, const char *unit, double limit);

/* A request, with a descriptor unless fd is -1. Returns its id. */
uint64_t ask(struct bench *b, const char *method, const char *params, int fd);
struct runbuild_message next(struct bench *b);
struct runbuild_message answer(struct bench *b, uint64_t id); /* may be an error */
struct runbuild_message good_answer(struct bench *b, uint64_t id);

/*
 * The next message; the bytes of output are added. As every client it reads what comes: the
 * library then acknowledges it. false: none within timeout_ms.
 */
bool take_message(struct bench *b, int timeout_ms, uint64_t *bytes, uint64_t *ret_id);

/* A step of /bin/true: begun, checked, or from its request to its answer. phases may be NULL. */
uint64_t start_step(struct bench *b);
void check_step(const struct runbuild_message *message);
void run_step(struct bench *b, const struct phases *phases, size_t i);

/* A number of the worker's `stats`. */
uint64_t stats(struct bench *b, const char *member);

/* CPU time of the worker, its guard, and of every step so far. */
double worker_cpu_us(const struct bench *b);
double cpu_of(const struct rusage *usage);

/* Without those of the at most 16 network namespaces that are kept for steps. */
int64_t open_descriptors(pid_t pid);

/* vfork, execve and wait of a program. ns of wall time; those of CPU time are added. */
int64_t run_floor(const char *program, int64_t *cpu_ns);
