/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json to a checked plan, for two hosts. An error must have a code and a text; a plan must
 * satisfy plan_check(), be the same when built again, and be printable.
 */
#include "base/strbuf.h"
#include "fuzz.h"
#include "plan/plan.h"

static const char *const hosts[] = {
	"euid 0\ncaps_effective 2199023255551\ncaps_bounding 2199023255551\n"
	"uid_map 0 0 4294967295\ngid_map 0 0 4294967295\ncgroup_mode v2\n",
	"euid 0\ncaps_effective 2199023255551\ncaps_bounding 2199023255551\nin_user_namespace 1\n"
	"uid_map 0 1001 1\nuid_map 1 100000 65536\ngid_map 0 1001 1\ngid_map 1 100000 65536\n"
	"cgroup_mode hybrid\napparmor 1\nselinux 1\n",
};

static void plan_it(const struct spec *spec, const char *facts)
{
	const struct plan_options options = {.foreground = true};
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf text = {0};
	struct host *host = arena_alloc(&arena, sizeof(*host));
	const struct plan *plan = NULL;
	const struct plan *again = NULL;
	struct rb_err err = {0};

	assert(host && host_load(facts, host, &err) == 0);
	if (plan_build(&arena, spec, host, &options, &plan, &err) < 0) {
		assert(err.code && err.what[0] && !plan);
		return;
	}
	assert(plan_check(plan, &err) == 0);
	assert(plan_build(&arena, spec, host, &options, &again, &err) == 0);
	assert(plan->size == again->size && memcmp(plan, again, plan->size) == 0);
	plan_print(plan, PLAN_PRINT_JSON, &text);
	plan_print(plan, PLAN_PRINT_ENV, &text);
	assert(!text.failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec *spec = NULL;
	struct spec_process process;
	struct rb_err err = {0};

	if (spec_parse(&arena, (const char *)data, size, "/bundle", &spec, &err) < 0)
		assert(err.code && err.what[0] && !spec);
	else
		for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
			plan_it(spec, hosts[i]);
	(void)spec_parse_process(&arena, (const char *)data, size, &process, &err);
	return 0;
}
