/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Children that wait for a step: made while nobody waits for them, with the first part of a plan
 * done, one kind for each class of steps. Each is used once. They end with the worker.
 */
#include "launch/launch.h"
#include "worker/used_net.h"

enum { POOL_SLOTS = 8, POOL_CLASSES = 4 };

struct pool_class {
	const struct plan *plan; /* the first part, kept; NULL: free */
	size_t wanted;
	int64_t used_us;
};

struct pool_slot {
	struct pool_class *class; /* NULL: free */
	bool waiting;             /* it has said so */
	struct used_net net;      /* its network namespace, when it has one of its own */
	struct arena arena;
	struct launch_context context;
	struct launch launch;
};

struct pool {
	struct guard *guard;
	uint64_t default_signals; /* of the engine */
	void *heap;               /* where it began: what is used for steps lies behind */
	size_t most;              /* of one class */
	int null;                 /* its 0, 1 and 2 */
	int stdio[3];
	int64_t taken_us;
	struct used_nets nets;
	struct pool_class classes[POOL_CLASSES];
	struct pool_slot slots[POOL_SLOTS];
};

/* Errors: RB_SETUP_STEP. A pool without its null device makes nothing. */
int pool_open(struct pool *pool, struct guard *guard, size_t most, struct rb_err *err);
void pool_close(struct pool *pool);

/* Remembers that a step of this class was asked for. Is there a child for it? */
bool pool_has(struct pool *pool, const struct plan *first, int64_t now_us);

/* Hands it over for launch_resume(), with its network namespace. false: there is none. */
bool pool_take(struct pool *pool, const struct plan *first, int64_t now_us,
	       struct launch *ret_launch, struct used_net *ret_net);

/*
 * For a step of this class that finds no child waiting: a network namespace that was used before,
 * for its own child to enter. ret_net->ns stays -1 when there is none, or none is wanted.
 */
void pool_lend_net(struct pool *pool, const struct plan *first, struct used_net *ret_net);

/*
 * When pool_turn() has something to do: make a child, or end those that nobody has asked for.
 * `busy`: steps are running, and their ends are more urgent. INT64_MAX: nothing.
 */
int64_t pool_deadline(const struct pool *pool, bool busy);

/*
 * Has a child of this plan a network namespace of our user namespace, all of whose processes end
 * with the step's first? Then a later one may have it, or it may have an earlier one's.
 */
bool pool_has_own_net(const struct plan *plan);
void pool_turn(struct pool *pool, int64_t now_us);
size_t pool_count(const struct pool *pool);
