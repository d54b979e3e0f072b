/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The worker: build steps on request, over a pipe or an AF_UNIX stream. One process, one thread,
 * one poll loop. runbuild-protocol(7) is the specification, runbuild-worker(1) the manual.
 */
#include "base/err.h"

struct worker_options {
	bool stdio;          /* requests on 0, replies on 1 */
	int fd;              /* one end of a socket pair, or -1 */
	const char *listen;  /* path of a socket to make, or NULL */
	int listener;        /* a listening socket of socket activation, or -1 */
	uint32_t warm;       /* children that wait for steps of one kind */
	uint32_t lend;       /* networks kept ready for peers, of a kind; 0: none is lent */
	uint32_t lend_age_s; /* how long one is kept that nobody takes */
	uint32_t drain_s;    /* how long SIGTERM waits for running steps */
	const char *root;    /* as for --root */
};

/* Serves until the end of its input, SIGTERM or `shutdown`. Returns 0, or -errno with *err. */
int worker_run(const struct worker_options *options, struct rb_err *err);

/* Copies between standard streams and the worker's socket until one side ends. */
int worker_dial(const char *path, struct rb_err *err);

/* The JSON Schema of requests: `runbuild schema`. */
extern const char worker_schema[];
