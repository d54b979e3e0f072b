/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The executor: carries out the child's half of a plan between clone and execve. In its process
 * only async-signal-safe calls are allowed: no malloc, no stdio, no locks. Everything that needs
 * memory was prepared by the parent in struct exec_child.
 */
#include "plan/plan.h"

/* "HOME=" and the longest directory taken from /etc/passwd, with the end mark. */
#define EXEC_HOME_BYTES (5 + 1024)

/*
 * A second part comes with descriptors: 0, 1 and 2, then mounts; unix(7): at most 253. The plan is
 * in the message, or when it is larger than that, in a sealed file before them.
 */
enum { PART_STDIO = 3, LIMIT_PART_MOUNTS = 60, PART_PLAN_BYTES = 32 * 1024 };

struct exec_child {
	const struct plan *plan;     /* checked by plan_check() */
	int sock;                    /* the handshake; closed on exec */
	int slots[SLOT_COUNT];       /* -1: empty. Inherited ones are filled by the parent */
	bool attached[SLOT_COUNT];   /* OP_MASK: its mount is in use already */
	int trees[LIMIT_HOST_TREES]; /* made by the parent, for OP_TAKE_TREE; -1: none */
	const int *handed;           /* detached mounts for OP_TAKE_MOUNT */
	size_t n_handed;
	int received[LIMIT_PART_MOUNTS]; /* filled by OP_AWAIT_PLAN */
	char **argv;                     /* of OP_EXEC, NULL-terminated */
	char **envp;                    /* likewise, with one free place for HOME before the NULL */
	size_t n_envp;                  /* entries in use */
	uint64_t default_signals;       /* bit N - 1: signal N has its default action already */
	char home[EXEC_HOME_BYTES];     /* filled by OP_HOME */
	char program[LIMIT_PATH_BYTES]; /* filled by OP_FIND_PROGRAM */
};

/*
 * Runs the plan and never returns: execve, or a FAIL record and exit status 127 (program not
 * found), 126 (not executable) or 125.
 */
void exec_run(struct exec_child *child) __attribute__((noreturn));
