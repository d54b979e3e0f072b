/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A step description to a checked plan, for two hosts. What passes the parser must never make a
 * plan that breaks the rules; and without asking for it a step has a filter, no new privileges, a
 * pid namespace and a network of its own.
 */
#include "base/sys.h"
#include "fuzz.h"
#include "plan/plan.h"
#include "spec/step.h"

static const char *const hosts[] = {
	"euid 0\ncaps_effective 2199023255551\ncaps_bounding 2199023255551\n"
	"uid_map 0 0 4294967295\ngid_map 0 0 4294967295\ncgroup_mode v2\n",
	"euid 0\ncaps_effective 2199023255551\ncaps_bounding 2199023255551\nin_user_namespace 1\n"
	"uid_map 0 1001 1\nuid_map 1 100000 65536\ngid_map 0 1001 1\ngid_map 1 100000 65536\n"
	"cgroup_mode hybrid\n",
};

static void check_defaults(const struct json_node *node, const struct step *step)
{
	const struct json_node *process = json_member(node, "process");

	if (step->oci)
		return;
	assert(spec_namespace_find(&step->spec, CLONE_NEWNS));
	if (!json_member(node, "pid"))
		assert(spec_namespace_find(&step->spec, CLONE_NEWPID));
	if (!json_member(node, "net"))
		assert(spec_namespace_find(&step->spec, CLONE_NEWNET));
	if (!json_member(node, "security")) {
		assert(step->default_filter && step->spec.masked_paths.n);
		if (!json_member(process, "noNewPrivileges"))
			assert(step->spec.process.no_new_privileges);
		if (!json_member(process, "capabilities"))
			assert(step->spec.process.caps.bounding == 0xa80425fb);
	}
}

static void plan_it(const struct step *step, const char *facts)
{
	const struct plan_options options = {.foreground = true, .no_record = true};
	CLEANUP_ARENA struct arena arena = {0};
	struct host *host = arena_alloc(&arena, sizeof(*host));
	const struct plan *plan = NULL;
	struct rb_err err = {0};

	assert(host && host_load(facts, host, &err) == 0);
	if (plan_build(&arena, &step->spec, host, &options, &plan, &err) < 0)
		assert(err.code && err.what[0] && !plan);
	else
		assert(plan_check(plan, &err) == 0);
}

/* In two parts, with the mounts of the host that a second part needs handed over. */
static void plan_parts(const struct step *step, const char *facts)
{
	const struct plan_options options = {
		.foreground = true, .no_record = true, .rootless_cgroup = true};
	CLEANUP_ARENA struct arena arena = {0};
	struct host *host = arena_alloc(&arena, sizeof(*host));
	struct spec spec = step->spec;
	struct spec_mount *mounts = arena_array(&arena, spec.n_mounts + 1, sizeof(*mounts));
	const struct plan *plan = NULL;
	struct rb_err err = {0};

	assert(host && mounts && host_load(facts, host, &err) == 0);
	memcpy(mounts, spec.mounts, spec.n_mounts * sizeof(*mounts));
	for (size_t i = 0; i < spec.n_mounts; i++)
		mounts[i].handed = mounts[i].bind ? (uint32_t)i + 2 : 0;
	spec.mounts = mounts;
	spec.root_handed = 1;
	if (!plan_has_parts(&spec, &options))
		return;
	if (plan_build_first(&arena, &spec, host, &options, &plan, &err) == 0)
		assert(plan_check(plan, &err) == 0);
	if (plan_build_second(&arena, &spec, host, &options, &plan, &err) == 0)
		assert(plan_check(plan, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct step_unknown unknown = {.n = 0};
	const struct json_node *node;
	struct rb_err err = {0};
	struct step step;

	if (json_parse(&arena, "step", (const char *)data, size, &node, &err) < 0)
		return 0;
	if (step_parse(&arena, node, 4, &step, &unknown, &err) < 0) {
		assert(err.code && err.what[0] && unknown.n <= ARRAY_LEN(unknown.pointers));
		return 0;
	}
	check_defaults(node, &step);
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		plan_it(&step, hosts[i]);
		plan_parts(&step, hosts[i]);
	}
	return 0;
}
