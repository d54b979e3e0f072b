/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The id maps of a configuration, and the outer map they must lie in. The bytes are numbers: the
 * outer extents, then the mappings. What comes out in the plan never wraps, overlaps, is empty,
 * holds 4294967295 or crosses the end of an outer extent.
 */
#include "base/strbuf.h"
#include "fuzz.h"
#include "plan/plan.h"

struct reader {
	const uint8_t *data;
	size_t left;
};

/* Small numbers and those at the edges are the interesting ones. */
static uint32_t next_number(struct reader *r)
{
	uint32_t value = 0;
	uint8_t kind;

	if (r->left == 0)
		return 0;
	kind = *r->data++;
	r->left--;
	if (kind < 0x80)
		return kind;
	if (kind < 0xc0)
		return UINT32_MAX - (kind & 0x3f);
	for (size_t i = 0; i < 4 && r->left; i++, r->left--)
		value = value << 8 | *r->data++;
	return value;
}

static struct host_extent next_extent(struct reader *r)
{
	struct host_extent extent = {.inside = next_number(r)};

	extent.outside = next_number(r);
	extent.count = next_number(r);
	return extent;
}

static void print_maps(struct reader *r, struct strbuf *out)
{
	for (unsigned i = 0; i < 4 && r->left; i++) {
		struct host_extent e = next_extent(r);

		strbuf_printf(out, "%s{\"containerID\":%u,\"hostID\":%u,\"size\":%u}", i ? "," : "",
			      e.inside, e.outside, e.count);
	}
}

static bool inside_one(const struct host_extent *line, const struct host_idmap *outer)
{
	for (size_t k = 0; k < outer->n; k++)
		if (line->outside >= outer->v[k].inside &&
		    (uint64_t)line->outside + line->count <=
			    (uint64_t)outer->v[k].inside + outer->v[k].count)
			return true;
	return false;
}

/* Each line inside one outer extent, no two lines with a common id on either side. */
static void check_map(const char *map, const struct host_idmap *outer)
{
	struct host_idmap lines;

	assert(host_idmap_parse(map, &lines) == 0 && lines.n > 0);
	for (size_t i = 0; i < lines.n; i++) {
		const struct host_extent *a = &lines.v[i];

		assert(a->count > 0 && inside_one(a, outer));
		assert((uint64_t)a->inside + a->count <= UINT32_MAX);
		assert((uint64_t)a->outside + a->count <= UINT32_MAX);
		for (size_t k = 0; k < i; k++) {
			const struct host_extent *b = &lines.v[k];

			assert(a->inside >= (uint64_t)b->inside + b->count ||
			       b->inside >= (uint64_t)a->inside + a->count);
			assert(a->outside >= (uint64_t)b->outside + b->count ||
			       b->outside >= (uint64_t)a->outside + a->count);
		}
	}
}

static void check_plan(const struct plan *plan, const struct host *host)
{
	const struct plan_op *ops = plan_parent_ops(plan);

	for (uint32_t i = 0; i < plan->n_parent; i++) {
		if (ops[i].kind != OP_IDMAP)
			continue;
		check_map(plan_str(plan, ops[i].str[0]), &host->uid_map);
		check_map(plan_str(plan, ops[i].str[1]), &host->gid_map);
	}
}

static void print_config(struct reader *r, struct strbuf *out)
{
	strbuf_printf(out,
		      "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"process\":{\"args\":"
		      "[\"sh\"],\"cwd\":\"/\",\"user\":{\"uid\":%u}},\"linux\":{\"namespaces\":["
		      "{\"type\":\"mount\"},{\"type\":\"user\"}],",
		      next_number(r));
	strbuf_printf(out,
		      "\"gidMappings\":[{\"containerID\":0,\"hostID\":%u,\"size\":1}],"
		      "\"uidMappings\":[",
		      next_number(r));
	print_maps(r, out);
	strbuf_add(out, "]}}");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct plan_options options = {.foreground = true};
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf text = {0};
	struct reader r = {data, size};
	struct host *host = arena_alloc(&arena, sizeof(*host));
	const struct spec *spec = NULL;
	const struct plan *plan = NULL;
	struct rb_err err = {0};

	assert(host);
	while (host->uid_map.n < 3)
		host->uid_map.v[host->uid_map.n++] = next_extent(&r);
	host->gid_map = host->uid_map;
	host->caps_effective = next_number(&r) & 1 ? UINT64_MAX : 0;
	print_config(&r, &text);
	if (spec_parse(&arena, text.text, text.len, "/b", &spec, &err) < 0)
		return 0;
	if (plan_build(&arena, spec, host, &options, &plan, &err) < 0) {
		assert(err.code && !plan);
		return 0;
	}
	assert(plan_check(plan, &err) == 0);
	check_plan(plan, host);
	return 0;
}
