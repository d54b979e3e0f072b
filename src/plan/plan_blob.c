/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blob's layout: struct plan, strings and lists, the child's ops, the parent's ops, the
 * filter. Pure. Offsets are checked for overflow once, at the end, because the pool's size is
 * bounded by the configuration's (LIMIT_CONFIG_BYTES).
 */
#include <linux/filter.h>
#include "plan/plan_blob.h"

static void blob_init_pool(struct plan_blob *b)
{
	static const struct plan empty;

	if (b->pool.len == 0)
		strbuf_add_bytes(&b->pool, (const char *)&empty, sizeof(empty));
}

uint32_t blob_str(struct plan_blob *b, const char *s)
{
	uint32_t at;

	if (!s || !*s)
		return 0;
	blob_init_pool(b);
	at = (uint32_t)b->pool.len;
	strbuf_add_bytes(&b->pool, s, strlen(s) + 1);
	return at;
}

static void blob_align(struct plan_blob *b, size_t alignment)
{
	static const char zeros[8];

	blob_init_pool(b);
	if (b->pool.len % alignment)
		strbuf_add_bytes(&b->pool, zeros, alignment - b->pool.len % alignment);
}

uint32_t blob_numbers(struct plan_blob *b, const uint32_t *v, size_t n)
{
	uint32_t count = (uint32_t)n;
	uint32_t at;

	blob_align(b, sizeof(uint32_t));
	at = (uint32_t)b->pool.len;
	strbuf_add_bytes(&b->pool, (const char *)&count, sizeof(count));
	strbuf_add_bytes(&b->pool, (const char *)v, n * sizeof(*v));
	return at;
}

uint32_t blob_list(struct plan_blob *b, const char *const *v, size_t n)
{
	uint32_t *offsets = arena_array(b->arena, n + 1, sizeof(*offsets));

	if (!offsets) {
		b->pool.failed = true;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		offsets[i] = blob_str(b, v[i]);
	return blob_numbers(b, offsets, n);
}

static struct plan_op *blob_op(struct plan_blob *b, struct plan_ops *ops, enum plan_op_kind kind,
			       const char *origin)
{
	struct plan_op *op;

	if (ops->n == ops->room) {
		/* of the parent's there are few */
		size_t first = ops == &b->child ? 128 : 16;
		size_t room = ops->room ? 2 * ops->room : first;
		struct plan_op *v = arena_array(b->arena, room, sizeof(*v));

		if (!v) {
			b->pool.failed = true;
			return &b->scrap;
		}
		if (ops->n)
			memcpy(v, ops->v, ops->n * sizeof(*v));
		ops->v = v;
		ops->room = room;
	}
	if (origin != b->last_origin) {
		b->last_origin = origin;
		b->last_origin_at = blob_str(b, origin);
	}
	op = &ops->v[ops->n++];
	*op = (struct plan_op){
		.kind = (uint8_t)kind,
		.slot = SLOT_NONE,
		.slot2 = SLOT_NONE,
		.origin = b->last_origin_at,
	};
	return op;
}

struct plan_op *blob_child(struct plan_blob *b, enum plan_op_kind kind, const char *origin)
{
	return blob_op(b, &b->child, kind, origin);
}

struct plan_op *blob_parent(struct plan_blob *b, enum plan_op_kind kind, const char *origin)
{
	return blob_op(b, &b->parent, kind, origin);
}

/* Appends an aligned array and returns its offset. */
static uint32_t blob_array(struct plan_blob *b, const void *v, size_t bytes)
{
	uint32_t at;

	blob_align(b, 8);
	at = (uint32_t)b->pool.len;
	strbuf_add_bytes(&b->pool, v, bytes);
	return at;
}

int blob_finish(struct plan_blob *b, const struct sock_filter *bpf, size_t n_bpf,
		const struct plan **ret_plan)
{
	struct plan header = {.magic = PLAN_MAGIC, .version = PLAN_VERSION, .part = b->part};
	char *blob;

	header.n_child = (uint32_t)b->child.n;
	header.n_parent = (uint32_t)b->parent.n;
	header.child = blob_array(b, b->child.v, b->child.n * sizeof(*b->child.v));
	header.parent = blob_array(b, b->parent.v, b->parent.n * sizeof(*b->parent.v));
	if (n_bpf) {
		header.bpf = blob_array(b, bpf, n_bpf * sizeof(*bpf));
		header.n_bpf = (uint32_t)n_bpf;
	}
	if (b->pool.failed || b->pool.len > UINT32_MAX) {
		blob_abandon(b);
		return err_set(b->err, RB_NO_MEMORY, ENOMEM, "plan");
	}
	header.size = (uint32_t)b->pool.len;
	blob = arena_alloc(b->arena, b->pool.len);
	if (!blob) {
		blob_abandon(b);
		return err_set(b->err, RB_NO_MEMORY, ENOMEM, "plan");
	}
	memcpy(blob, b->pool.text, b->pool.len);
	memcpy(blob, &header, sizeof(header));
	blob_abandon(b);
	*ret_plan = (const struct plan *)blob;
	return 0;
}

void blob_abandon(struct plan_blob *b)
{
	strbuf_free(&b->pool);
}
