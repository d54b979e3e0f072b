/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Children that wait for a step: made before anybody waits for them, with the first part of a plan
 * done, one kind for each class of steps. Each is used once. They end with the worker.
 */
#include "launch/launch.h"
#include "worker/maker.h"
#include "worker/used_net.h"

enum { POOL_SLOTS = 8, POOL_CLASSES = MAKER_PLANS };

struct pool_class {
	const struct plan *plan; /* the first part, kept; NULL: free */
	int fd;                  /* the same, sealed */
	bool told;               /* the maker has it */
	size_t wanted;
	int64_t used_us;
};

enum pool_slot_state {
	SLOT_FREE,
	SLOT_ASKED,    /* of the maker; class NULL: nobody wants it any more */
	SLOT_STARTING, /* it carries out its first part */
	SLOT_READY,
};

struct pool_slot {
	enum pool_slot_state state;
	struct pool_class *class;
	uint32_t guard_key;
	struct used_net net; /* its network namespace, when it has one of its own */
	struct launch_context context;
	struct launch launch;
};

struct pool {
	struct guard *guard;
	uint64_t default_signals;
	size_t most; /* of one class */
	struct maker maker;
	unsigned deaths;  /* of makers */
	int64_t taken_us; /* a child, last */
	struct used_nets nets;
	struct pool_class classes[POOL_CLASSES];
	struct pool_slot slots[POOL_SLOTS];
};

/* Errors: RB_SETUP_STEP. */
int pool_open(struct pool *pool, struct guard *guard, uint64_t default_signals, size_t most,
	      struct rb_err *err);
void pool_close(struct pool *pool);

/* What becomes readable when the maker has something for pool_receive(); -1: nothing. */
int pool_fd(const struct pool *pool);
void pool_receive(struct pool *pool);

/* Remembers that a step of this class was asked for. Is there a child for it? */
bool pool_has(struct pool *pool, const struct plan *first, int64_t now_us);

/* Hands it over for launch_resume(), with its network namespace. false: there is none. */
bool pool_take(struct pool *pool, const struct plan *first, struct launch *ret_launch,
	       struct used_net *ret_net);

/*
 * For a step of this class that finds no child waiting: a network namespace that was used before,
 * for its own child to enter. ret_net->ns stays -1 when there is none, or none is wanted.
 */
void pool_lend_net(struct pool *pool, const struct plan *first, struct used_net *ret_net);

/*
 * When pool_turn() has something to do: ask for a child, or end those that nobody has asked for.
 * One step that runs alone is not disturbed while it is likely to end soon: then the processor has
 * nothing else to do. With more of them there is no such moment. INT64_MAX: nothing.
 */
int64_t pool_deadline(struct pool *pool, size_t running);

/*
 * Has a child of this plan a network namespace of our user namespace, all of whose processes end
 * with the step's first? Then a later one may have it, or it may have an earlier one's.
 */
bool pool_has_own_net(const struct plan *plan);
void pool_turn(struct pool *pool, int64_t now_us);
size_t pool_count(const struct pool *pool);
