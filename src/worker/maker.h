/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A process that makes the worker's waiting children, so that no request waits for a clone with
 * all its namespaces, and no page of the worker is copied because of one. The children are the
 * worker's own: clone(2), CLONE_PARENT. Used by the pool; the maker ends with the worker.
 */
#include "launch/launch.h"
#include "worker/used_net.h"

enum { MAKER_PLANS = 4 };

struct maker {
	int sock; /* -1: there is none */
	int pidfd;
	pid_t *last; /* the number of the child made last: memory shared with it */
	pid_t taken; /* of the child taken over last */
};

/* What it is asked for. Descriptors are borrowed. */
struct maker_order {
	uint32_t number;    /* comes back with the child */
	uint32_t plan;      /* which of the MAKER_PLANS kept ones */
	int plan_fd;        /* that one, sealed, unless it was sent before; or -1 */
	int net;            /* a network namespace to be born into; or -1 */
	bool wants_net;     /* hand the child's own one over */
	uint32_t guard_key; /* that the guard knows the child by */
};

/* What comes of it. The descriptors become the caller's. */
struct maker_child {
	uint32_t number;
	int error; /* 0, or -errno: there is no child; begun has what must be ended */
	struct launch_begun begun; /* for launch_adopt() */
	struct used_net net;       /* ns -1: not asked for, or it cannot be had */
};

/* null: what children have as 0, 1 and 2; borrowed. Errors: RB_SETUP_STEP. */
int maker_start(struct maker *maker, const struct guard *guard, uint64_t default_signals, int null,
		struct rb_err *err);

/* Never waits. -errno: there is no maker any more, or it is far behind. */
int maker_ask(struct maker *maker, const struct maker_order *order);

/* 1: a child, or that there is none; 0: not yet; -errno: the maker is gone. */
int maker_take(struct maker *maker, struct maker_child *ret_child);

/* Ends it, and the child that it was about to hand over. */
void maker_end(struct maker *maker);
