/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The parts of the sweep driver: one traced run (tracer.c), and what it left (leftovers.c).
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct trace_job {
	char *const *argv;
	unsigned child;    /* 0: the command itself; K: the K-th process that it makes */
	unsigned point;    /* the system call at whose entry it happens, from 1 */
	int errnum;        /* 0: SIGKILL; else that call fails with this errno instead of running */
	bool after_loader; /* count from the program's first rt_sigaction(2): its main() */
	int output;        /* descriptors for standard output and standard error */
	int error;
	int timeout_ms;
};

struct trace_result {
	bool hit;    /* the point was reached */
	long number; /* of the system call there */
	bool hung;   /* the command was still there at the timeout, and was killed */
	int status;  /* wait status of the command */
};

/*
 * Runs the command once. The caller must be a child subreaper with SIGCHLD blocked. Returns 0, or
 * -errno when tracing itself failed.
 */
int trace_run(const struct trace_job *job, struct trace_result *ret);

/* Milliseconds of a clock that only goes forward. */
int64_t now_ms(void);

/*
 * Waits until every process below us is gone and reaps them. Returns how many were still there
 * at the deadline; those are named on standard output and killed. *ret_ms is how long it took.
 */
int leftovers_processes(int deadline_ms, int64_t *ret_ms);

/* The parent of a process, 0: there is none. */
pid_t leftovers_parent(pid_t pid);

/* What ps(1) calls a process, cut to the size; empty when it is gone. */
void leftovers_name(pid_t pid, char *name, size_t size);

/*
 * The mount table of this mount namespace, or its lines that contain a text (NULL: all), for
 * free(3). NULL without memory or /proc.
 */
char *leftovers_mounts(const char *below);

/* Entries of the state root that stand for a container; a missing directory has none. */
int leftovers_state(const char *directory);
