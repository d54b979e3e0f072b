/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool of waiting children. A class is the bytes of a plan's first part: steps whose first
 * parts are equal may use the same children, and no list of "what matters" can be forgotten. Runs
 * in the worker; makes one child in a turn, and only when nothing else is to be done.
 */
#include <sys/mman.h>
#include "base/log.h"
#include "base/sys.h"
#include "worker/pool.h"

enum {
	KEEP_US = 60 * 1000000, /* without a step of its class */
	BUSY_US = 3000,         /* after a child was taken, while steps are running */
	OWN_BYTES = 1 << 20, /* of memory that is copied before it is needed; a worker has less */
};

int pool_open(struct pool *pool, struct guard *guard, size_t most, struct rb_err *err)
{
	*pool = (struct pool){.guard = guard, .most = most};
	for (size_t i = 0; i < POOL_SLOTS; i++)
		pool->slots[i].net.ns = -1;
	pool->null = sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);
	if (pool->null < 0)
		return err_set(err, RB_SETUP_STEP, -pool->null, "/dev/null");
	pool->heap = malloc(1);
	for (size_t i = 0; i < ARRAY_LEN(pool->stdio); i++)
		pool->stdio[i] = pool->null;
	return 0;
}

static void slot_free(struct pool_slot *slot)
{
	arena_free(&slot->arena);
	used_net_close(&slot->net);
	slot->class = NULL;
	slot->waiting = false;
}

static void class_free(struct pool *pool, struct pool_class *class)
{
	for (size_t i = 0; i < POOL_SLOTS; i++) {
		struct pool_slot *slot = &pool->slots[i];

		if (!class->plan || slot->class != class)
			continue;
		launch_abandon(&slot->launch);
		slot_free(slot);
	}
	if (class->plan)
		launch_forget_plan(class->plan);
	*class = (struct pool_class){.plan = NULL};
}

void pool_close(struct pool *pool)
{
	for (size_t i = 0; i < POOL_CLASSES; i++)
		class_free(pool, &pool->classes[i]);
	used_nets_close(&pool->nets);
	fd_close(&pool->null);
	free(pool->heap);
	pool->heap = NULL;
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
	if (launch_keep_plan(first, &class->plan, &err) < 0) {
		log_warn("%s", err.what);
		return NULL;
	}
	return class;
}

/* One that waits. What has died or failed meanwhile goes. */
static struct pool_slot *slot_find(struct pool *pool, const struct pool_class *class)
{
	for (size_t i = 0; i < POOL_SLOTS; i++) {
		struct pool_slot *slot = &pool->slots[i];
		int r = 1;

		if (slot->class != class)
			continue;
		if (!slot->waiting)
			r = launch_is_waiting(&slot->launch);
		else if (!launch_is_alive(&slot->launch))
			r = -ECANCELED;
		slot->waiting = r == 1;
		if (r == 1) {
			used_net_count(&slot->net);
			return slot;
		}
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

bool pool_take(struct pool *pool, const struct plan *first, int64_t now_us,
	       struct launch *ret_launch, struct used_net *ret_net)
{
	struct pool_class *class = class_find(pool, first);
	struct pool_slot *slot = class ? slot_find(pool, class) : NULL;

	if (!slot)
		return false;
	pool->taken_us = now_us;
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
		n += pool->slots[i].class != NULL;
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

int64_t pool_deadline(const struct pool *pool, bool busy)
{
	int64_t deadline = INT64_MAX;

	if (class_short(pool) && pool_count(pool) < POOL_SLOTS)
		return busy ? pool->taken_us + BUSY_US : 0;
	for (size_t i = 0; i < POOL_CLASSES; i++)
		if (pool->classes[i].plan && pool->classes[i].used_us + KEEP_US < deadline)
			deadline = pool->classes[i].used_us + KEEP_US;
	return deadline;
}

/* The whole pages of [from, to), as far as they are there, become ours alone: madvise(2). */
static void own_pages(const void *from, const void *to)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t begin = (uintptr_t)from & -page;
	uintptr_t end = ((uintptr_t)to + page - 1) & -page;

	/* EINVAL before Linux 5.14: then each page is copied when it is written to */
	if (end > begin && end - begin <= OWN_BYTES)
		(void)madvise((void *)begin, end - begin, MADV_POPULATE_WRITE);
}

/*
 * A child that was just born shares our memory until one of us writes, and then the writer copies,
 * page by page: the next step would begin with that, and somebody waits for it. Now nobody does.
 */
static void pool_own_memory(struct pool *pool)
{
	own_pages(pool->heap, sbrk(0));
	own_pages(__builtin_frame_address(0), pool + 1);
}

static void slot_fill(struct pool *pool, struct pool_slot *slot, struct pool_class *class)
{
	struct rb_err err = {0};
	bool own_net = pool_has_own_net(class->plan);
	bool used = own_net && used_nets_take(&pool->nets, &slot->net);
	int r;

	slot->context = (struct launch_context){
		.arena = &slot->arena,
		.init_pidfd = -1,
		.start_socket = -1,
		.stdio = pool->stdio,
		.guard = pool->guard,
		.default_signals = pool->default_signals,
		.used_net = used ? &slot->net.ns : NULL,
		.plan_is_kept = true,
		.may_return = true,
	};
	r = launch_begin(&slot->launch, class->plan, &slot->context, &err);
	if (r == 0)
		r = launch_advance(&slot->launch, &err);
	if (r == 1) {
		slot->class = class;
		if (own_net && !used)
			(void)used_net_open(&slot->net, slot->launch.pid);
		return;
	}
	/* a step of this class will say the same to whoever asks for it */
	class->wanted = 0;
	slot_free(slot);
}

void pool_turn(struct pool *pool, int64_t now_us)
{
	struct pool_class *class = class_short(pool);

	for (size_t i = 0; class && i < POOL_SLOTS; i++) {
		if (pool->slots[i].class)
			continue;
		slot_fill(pool, &pool->slots[i], class);
		pool_own_memory(pool);
		return;
	}
	for (size_t i = 0; i < POOL_CLASSES; i++)
		if (pool->classes[i].plan && now_us >= pool->classes[i].used_us + KEEP_US)
			class_free(pool, &pool->classes[i]);
}
