/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * RUNBUILD_REPORT=FILE: one line of JSON for each foreground step, so that a person (or
 * scripts/try) can see what each step of a build was given and what the runtime cost. Off
 * unless the variable is set; a report that cannot be written never changes a step's result.
 */
#include "plan/plan.h"

/* CLOCK_MONOTONIC, nanoseconds. */
struct report_times {
	int64_t begin_ns;   /* main() has read its arguments */
	int64_t started_ns; /* the step's program runs */
	int64_t ended_ns;   /* it has ended */
};

int64_t report_now_ns(void);

/*
 * Appends the line of one step when a report is wanted. times->ended_ns to now is what cleaning
 * up took. status: as `run` returns it.
 */
void report_append(const char *id, const struct plan *plan, const struct report_times *times,
		   int status);
