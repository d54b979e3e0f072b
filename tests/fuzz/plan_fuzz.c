/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plan with changed bytes: triples of (offset, value). plan_check() must end, and what it lets
 * through must be printable without leaving the blob.
 */
#include "base/strbuf.h"
#include "fuzz.h"
#include "plan/plan.h"

static const char config[] =
	"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"process\":{\"args\":[\"sh\"],"
	"\"cwd\":\"/\",\"env\":[\"A=b\"],\"user\":{\"additionalGids\":[1]}},\"hostname\":\"h\","
	"\"hooks\":{\"createContainer\":[{\"path\":\"/h\",\"args\":[\"h\"]}]},\"mounts\":["
	"{\"destination\":\"/d\",\"type\":\"tmpfs\",\"options\":[\"tmpcopyup\",\"size=1\"]},"
	"{\"destination\":\"/e\",\"source\":\"/s\",\"options\":[\"rbind\",\"ro\"]}],\"linux\":{"
	"\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"uts\"}],\"maskedPaths\":[\"/m\"],"
	"\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\"}}}";

static const char facts[] = "euid 0\ncaps_effective 2199023255551\ncaps_bounding 2199023255551\n"
			    "uid_map 0 0 4294967295\ngid_map 0 0 4294967295\n";

/* A copy of the plan in memory of exactly its size. */
static struct plan *copy_plan(void)
{
	const struct plan_options options = {.foreground = true};
	CLEANUP_ARENA struct arena arena = {0};
	struct host *host = arena_alloc(&arena, sizeof(*host));
	const struct spec *spec;
	const struct plan *plan;
	struct plan *copy;
	struct rb_err err;

	assert(host && host_load(facts, host, &err) == 0);
	assert(spec_parse(&arena, config, strlen(config), "/b", &spec, &err) == 0);
	assert(plan_build(&arena, spec, host, &options, &plan, &err) == 0);
	copy = malloc(plan->size);
	assert(copy);
	memcpy(copy, plan, plan->size);
	return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE struct plan *plan = copy_plan();
	CLEANUP_STRBUF struct strbuf text = {0};
	struct rb_err err = {0};
	uint32_t length = plan->size;

	for (size_t i = 0; i + 3 <= size; i += 3) {
		size_t at = (data[i] | (size_t)data[i + 1] << 8) % length;

		/* its size is what the kernel says it is */
		if (at < offsetof(struct plan, size) || at >= offsetof(struct plan, n_child))
			((uint8_t *)plan)[at] = data[i + 2];
	}
	if (plan_check(plan, &err) < 0) {
		assert(err.code == RB_INTERNAL && err.what[0]);
		return 0;
	}
	plan_print(plan, PLAN_PRINT_JSON, &text);
	plan_print(plan, PLAN_PRINT_ENV, &text);
	return 0;
}
