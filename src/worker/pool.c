/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool of waiting children. A class is the bytes of a plan's first part: steps whose first
 * parts are equal may use the same children, and no list of "what matters" can be forgotten. Runs
 * in the worker; what makes the children is a process of its own (maker.c).
 */
#include "base/log.h"
#include "base/sys.h"
#include "worker/pool.h"

enum {
	KEEP_US = 60 * 1000000, /* without a step of its class */
	ALONE_US = 3000,        /* after a child was taken, while one step is running */
	MAKER_DEATHS = 3,       /* then no more is started, and each step makes its own child */
};

static int start_maker(struct pool *pool, struct rb_err *err)
{
	CLEANUP_FD int null = sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);

	for (size_t i = 0; i < POOL_CLASSES; i++)
		pool->classes[i].told = false;
	if (null < 0)
		return err_set(err, RB_SETUP_STEP, -null, "/dev/null");
	return maker_start(&pool->maker, pool->guard, pool->default_signals, null, err);
}

int pool_open(struct pool *pool, struct guard *guard, uint64_t default_signals, size_t most,
	      struct rb_err *err)
{
	*pool = (struct pool){
		.guard = guard,
		.default_signals = default_signals,
		.most = most,
		.maker = {.sock = -1, .pidfd = -1},
	};
	for (size_t i = 0; i < POOL_SLOTS; i++)
		pool->slots[i].net.ns = -1;
	for (size_t i = 0; i < POOL_CLASSES; i++)
		pool->classes[i].fd = -1;
	return start_maker(pool, err);
}

static void slot_free(struct pool_slot *slot)
{
	used_net_close(&slot->net);
	slot->class = NULL;
	slot->state = SLOT_FREE;
}

static void class_free(struct pool *pool, struct pool_class *class)
{
	for (size_t i = 0; class->plan && i < POOL_SLOTS; i++) {
		struct pool_slot *slot = &pool->slots[i];

		if (slot->class != class)
			continue;
		if (slot->state == SLOT_ASKED) {
			slot->class = NULL;
			continue;
		}
		launch_abandon(&slot->launch);
		slot_free(slot);
	}
	if (class->plan)
		launch_forget_plan(class->plan);
	fd_close(&class->fd);
	*class = (struct pool_class){.plan = NULL, .fd = -1};
}

/* What was asked of it will never come. */
static void end_maker(struct pool *pool)
{
	maker_end(&pool->maker);
	for (size_t i = 0; i < POOL_SLOTS; i++) {
		struct pool_slot *slot = &pool->slots[i];

		if (slot->state != SLOT_ASKED)
			continue;
		guard_forget(pool->guard, slot->guard_key);
		slot_free(slot);
	}
}

void pool_close(struct pool *pool)
{
	end_maker(pool);
	for (size_t i = 0; i < POOL_CLASSES; i++)
		class_free(pool, &pool->classes[i]);
	used_nets_close(&pool->nets);
}

static struct pool_class *class_find(struct pool *pool, const struct plan *first)
{
	for (size_t i = 0; i < POOL_CLASSES; i++) {
		struct pool_class *class = &pool->classes[i];

		if (class->plan && class->plan->size == first->size &&
		    memcmp(class->plan, first, first->size) == 0)
			return class;
	}
	return NULL;
}

/* In the place of the one that was not used for longest. */
static struct pool_class *class_new(struct pool *pool, const struct plan *first)
{
	struct pool_class *class = &pool->classes[0];
	struct rb_err err = {0};

	if (plan_check(first, &err) < 0) {
		log_warn("%s", err.what);
		return NULL;
	}
	for (size_t i = 1; i < POOL_CLASSES; i++)
		if (!pool->classes[i].plan ||
		    (class->plan && pool->classes[i].used_us < class->used_us))
			class = &pool->classes[i];
	class_free(pool, class);
	if (launch_keep_plan(first, &class->plan, &class->fd, &err) < 0) {
		log_warn("%s", err.what);
		return NULL;
	}
	return class;
}

/* Has it said that it waits? -errno: it has died or failed. */
static int slot_look(struct pool_slot *slot)
{
	int r = 1;

	if (slot->state == SLOT_STARTING)
		r = launch_is_waiting(&slot->launch);
	else if (!launch_is_alive(&slot->launch))
		r = -ECANCELED;
	if (r == 1) {
		slot->state = SLOT_READY;
		used_net_count(&slot->net);
	}
	return r;
}

/* One that waits. What has died or failed meanwhile goes. */
static struct pool_slot *slot_find(struct pool *pool, const struct pool_class *class)
{
	for (size_t i = 0; i < POOL_SLOTS; i++) {
		struct pool_slot *slot = &pool->slots[i];
		int r;

		if (slot->class != class || slot->state < SLOT_STARTING)
			continue;
		r = slot_look(slot);
		if (r == 1)
			return slot;
		if (r < 0) {
			launch_abandon(&slot->launch);
			slot_free(slot);
		}
	}
	return NULL;
}

bool pool_has(struct pool *pool, const struct plan *first, int64_t now_us)
{
	struct pool_class *class = class_find(pool, first);
	const struct pool_slot *slot;

	if (!class)
		class = class_new(pool, first);
	if (!class)
		return false;
	class->used_us = now_us;
	slot = slot_find(pool, class);
	if (!slot && class->wanted < pool->most)
		class->wanted++;
	return slot != NULL;
}

bool pool_take(struct pool *pool, const struct plan *first, struct launch *ret_launch,
	       struct used_net *ret_net)
{
	struct pool_class *class = class_find(pool, first);
	struct pool_slot *slot = class ? slot_find(pool, class) : NULL;

	if (!slot)
		return false;
	pool->taken_us = sys_now_us();
	*ret_launch = slot->launch;
	*ret_net = slot->net;
	slot->net.ns = -1;
	slot_free(slot);
	return true;
}

bool pool_has_own_net(const struct plan *plan)
{
	const uint64_t needed = CLONE_NEWNET | CLONE_NEWPID;
	const struct plan_op *ops = plan_parent_ops(plan);

	for (size_t i = 0; i < plan->n_parent; i++)
		if (ops[i].kind == OP_CLONE)
			return (ops[i].arg[0] & (needed | CLONE_NEWUSER)) == needed &&
			       !ops[i].arg[1];
	return false;
}

void pool_lend_net(struct pool *pool, const struct plan *first, struct used_net *ret_net)
{
	if (pool_has_own_net(first))
		(void)used_nets_take(&pool->nets, ret_net);
}

size_t pool_count(const struct pool *pool)
{
	size_t n = 0;

	for (size_t i = 0; i < POOL_SLOTS; i++)
		n += pool->slots[i].class && pool->slots[i].state >= SLOT_STARTING;
	return n;
}

/* The most recently used class that has fewer children than it wants. */
static struct pool_class *class_short(const struct pool *pool)
{
	const struct pool_class *found = NULL;

	for (size_t i = 0; i < POOL_CLASSES; i++) {
		const struct pool_class *class = &pool->classes[i];
		size_t n = 0;

		for (size_t k = 0; k < POOL_SLOTS; k++)
			n += pool->slots[k].class == class;
		if (class->plan && n < class->wanted && (!found || class->used_us > found->used_us))
			found = class;
	}
	return (struct pool_class *)found;
}

static struct pool_slot *slot_unused(struct pool *pool)
{
	for (size_t i = 0; i < POOL_SLOTS; i++)
		if (pool->slots[i].state == SLOT_FREE)
			return &pool->slots[i];
	return NULL;
}

int64_t pool_deadline(struct pool *pool, size_t running)
{
	int64_t deadline = INT64_MAX;

	if (pool->maker.sock >= 0 && class_short(pool) && slot_unused(pool))
		return running == 1 ? pool->taken_us + ALONE_US : 0;
	for (size_t i = 0; i < POOL_CLASSES; i++)
		if (pool->classes[i].plan && pool->classes[i].used_us + KEEP_US < deadline)
			deadline = pool->classes[i].used_us + KEEP_US;
	return deadline;
}

static void maker_died(struct pool *pool)
{
	struct rb_err err = {0};

	end_maker(pool);
	if (++pool->deaths > MAKER_DEATHS) {
		log_warn("the maker of waiting processes has died %u times: each step makes its "
			 "own process from now on, which takes longer",
			 pool->deaths);
		return;
	}
	log_warn("the maker of waiting processes has died; another one takes its place");
	if (start_maker(pool, &err) < 0)
		log_warn("%s", err.what);
}

static void slot_ask(struct pool *pool, struct pool_slot *slot, struct pool_class *class)
{
	bool own_net = pool_has_own_net(class->plan);
	bool used = own_net && used_nets_take(&pool->nets, &slot->net);
	struct maker_order order = {
		.number = (uint32_t)(slot - pool->slots),
		.plan = (uint32_t)(class - pool->classes),
		.plan_fd = class->told ? -1 : class->fd,
		.net = used ? slot->net.ns : -1,
		.wants_net = own_net && !used,
		.guard_key = guard_next_key(pool->guard),
	};

	slot->class = class;
	slot->state = SLOT_ASKED;
	slot->guard_key = order.guard_key;
	if (maker_ask(&pool->maker, &order) < 0)
		maker_died(pool);
	else
		class->told = true;
}

void pool_turn(struct pool *pool, int64_t now_us)
{
	struct pool_class *class = pool->maker.sock >= 0 ? class_short(pool) : NULL;
	struct pool_slot *slot = class ? slot_unused(pool) : NULL;

	if (slot) {
		slot_ask(pool, slot, class);
		return;
	}
	for (size_t i = 0; i < POOL_CLASSES; i++)
		if (pool->classes[i].plan && now_us >= pool->classes[i].used_us + KEEP_US)
			class_free(pool, &pool->classes[i]);
}

int pool_fd(const struct pool *pool)
{
	return pool->maker.sock;
}

static void slot_take(struct pool *pool, struct maker_child *child)
{
	struct pool_slot *slot = &pool->slots[child->number];

	slot->context = (struct launch_context){.init_pidfd = -1, .guard = pool->guard};
	launch_adopt(&slot->launch, slot->class ? slot->class->plan : NULL, &slot->context,
		     &child->begun);
	if (slot->net.ns < 0)
		slot->net = child->net;
	slot->state = SLOT_STARTING;
	if (child->error == 0 && slot->class)
		return;
	/* a step of this class will say the same to whoever asks for it */
	if (slot->class)
		slot->class->wanted = 0;
	launch_abandon(&slot->launch);
	slot_free(slot);
}

void pool_receive(struct pool *pool)
{
	struct maker_child child;
	int r;

	while ((r = maker_take(&pool->maker, &child)) == 1)
		slot_take(pool, &child);
	if (r < 0)
		maker_died(pool);
}
