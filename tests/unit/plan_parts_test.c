/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans in two parts: which steps have them, what stands in which, and that plan_check() refuses
 * one that would let a step run without its guards or look for the host in an empty root.
 */
#include "planning.h"
#include "spec/step.h"

static const struct plan_options step_options = {
	.foreground = true, .no_record = true, .rootless_cgroup = true, .keep_stdio_owner = true};

static struct host *facts(struct arena *arena)
{
	struct host *host = arena_alloc(arena, sizeof(*host));
	struct rb_err err = {0};

	CHECK(host && host_load(host_rootless, host, &err) == 0);
	return host;
}

/* The spec of a step with these further members, its root and mounts handed over. */
static struct spec *step_spec(struct arena *arena, const char *more)
{
	const char *text = arena_printf(
		arena,
		"{\"step\":\"a\",\"process\":{\"args\":[\"true\"]},\"rootfs\":{\"path\":\"/r\"}%s}",
		more);
	struct step *step = arena_alloc(arena, sizeof(*step));
	const struct json_node *node;
	struct step_unknown unknown;
	struct rb_err err = {0};

	CHECK(json_parse(arena, "step", text, strlen(text), &node, &err) == 0);
	CHECK(step_parse(arena, node, 4, step, &unknown, &err) == 0);
	step->spec.root_handed = 1;
	for (size_t i = 0; i < step->spec.n_mounts; i++)
		if (step->spec.mounts[i].bind)
			((struct spec_mount *)step->spec.mounts)[i].handed = (uint32_t)i + 2;
	return &step->spec;
}

static const struct plan *build(struct arena *arena, const char *more, bool second)
{
	const struct spec *spec = step_spec(arena, more);
	const struct plan *plan = NULL;
	struct rb_err err = {0};

	CHECK(plan_has_parts(spec, &step_options));
	CHECK((second ? plan_build_second : plan_build_first)(arena, spec, facts(arena),
							      &step_options, &plan, &err) == 0);
	CHECK(plan && plan_check(plan, &err) == 0);
	return plan;
}

static void a_class_is_the_bytes_of_its_first_part(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = build(&arena, "", false);
	static const char *const same[] = {
		",\"hostname\":\"h\"",
		",\"mounts\":[{\"dest\":\"/a\",\"src\":\"/b\"},{\"dest\":\"/t\",\"tmpfs\":{}}]",
		",\"hosts\":[{\"host\":\"h\",\"ip\":\"192.0.2.1\"}]",
		",\"security\":{\"seccomp\":\"none\"}",
	};
	static const char *const other[] = {
		",\"net\":{\"mode\":\"host\"}",
		",\"uts\":\"host\"",
		",\"security\":{\"mode\":\"insecure\"}",
		",\"security\":{\"maskedPaths\":[\"/proc/keys\"]}",
	};

	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		const struct plan *again = build(&arena, same[i], false);

		CHECK(again->size == plan->size && memcmp(again, plan, plan->size) == 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(other); i++) {
		const struct plan *another = build(&arena, other[i], false);

		CHECK(another->size != plan->size || memcmp(another, plan, plan->size) != 0);
	}
}

static void what_stands_among_the_standard_mounts_has_no_parts(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	static const char *const none[] = {
		",\"mounts\":[{\"dest\":\"/proc/x\",\"src\":\"/b\"}]",
		",\"mounts\":[{\"dest\":\"/dev\",\"src\":\"/b\"}]",
		",\"mounts\":[{\"dest\":\"/a/../proc/x\",\"src\":\"/b\"}]",
		",\"mounts\":[{\"dest\":\"//proc/x\",\"src\":\"/b\"}]",
		",\"security\":{\"maskedPaths\":[\"/etc/shadow\"]}",
		",\"security\":{\"maskedPaths\":[\"/proc/../etc/shadow\"]}",
		",\"security\":{\"readonlyPaths\":[\"/proc/../etc\"]}",
		",\"cgroup\":{\"path\":\"/g\"}",
		",\"ipc\":\"host\"",
		",\"pid\":\"host\"",
		",\"devices\":[{\"path\":\"/dev/x\",\"major\":1,\"minor\":3}]",
	};

	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		if (plan_has_parts(step_spec(&arena, none[i]), &step_options)) {
			printf("# has parts: %s\n", none[i]);
			tap_ok = false;
		}
}

static void masks_are_in_the_first_part_and_other_protections_in_the_second(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const char *more = ",\"security\":{\"readonlyPaths\":[\"/proc/sys\",\"/usr\"]},"
			   "\"mounts\":[{\"dest\":\"/c\",\"src\":\"/b\"}]";
	const struct plan *first = build(&arena, more, false);
	const struct plan *second = build(&arena, more, true);

	CHECK(child_first(first, OP_MASK) > 0 && child_first(second, OP_MASK) < 0);
	CHECK(child_first(first, OP_READONLY) > 0 && child_first(second, OP_READONLY) > 0);
	CHECK(child_first(first, OP_AWAIT_PLAN) == (int)first->n_child - 1);
	CHECK(child_first(first, OP_EXEC) < 0 && first->n_parent == 2);
	CHECK(child_first(second, OP_OPEN_MOUNT) >= 0 && child_first(second, OP_OPEN_TREE) < 0);
	/* the host was left in the first part; the second lies on an empty root */
	CHECK(child_first(first, OP_PIVOT) > 0 && child_first(second, OP_PIVOT) < 0);
	CHECK(child_first(second, OP_STACK_ROOT) < child_first(second, OP_CHROOT));
	CHECK(parent_first(second, OP_SEND_PLAN) > parent_first(second, OP_MONITOR));
	CHECK(child_first(first, OP_BOUNDING) > child_first(first, OP_PIVOT));
}

/* chroot(2) needs a capability of its own; without it there is the other way. */
static void without_the_right_to_chroot_the_second_part_pivots(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct host *host = facts(&arena);
	const struct plan *plan = NULL;
	struct rb_err err = {0};

	host->caps_effective &= ~(1ull << 18);
	CHECK(plan_build_second(&arena, step_spec(&arena, ""), host, &step_options, &plan, &err) ==
	      0);
	CHECK(plan && child_first(plan, OP_PIVOT) > 0 && child_first(plan, OP_CHROOT) < 0);
	CHECK(plan && plan_check(plan, &err) == 0);
}

static void a_given_terminal_is_controlled_before_descriptors_are_closed(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = build(&arena, ",\"io\":{\"consoleFd\":0}", true);
	int at = child_first(plan, OP_CONTROLLING_TTY);

	CHECK(at > child_first(plan, OP_CHROOT) && at < child_first(plan, OP_CLOSE_FDS));
	CHECK(child_first(build(&arena, "", true), OP_CONTROLLING_TTY) < 0);
}

static struct plan *copy(struct arena *arena, bool second)
{
	const struct plan *plan = build(arena, "", second);
	struct plan *writable = arena_alloc(arena, plan->size);

	memcpy(writable, plan, plan->size);
	return writable;
}

static struct plan_op *writable_op(struct plan *plan, enum plan_op_kind kind)
{
	int at = child_first(plan, kind);

	CHECK(at >= 0);
	return (struct plan_op *)plan_child_ops(plan) + (at < 0 ? 0 : at);
}

static bool refused(const struct plan *plan, const char *rule)
{
	struct rb_err err = {0};

	if (plan_check(plan, &err) < 0 && strstr(err.what, rule))
		return true;
	printf("# not \"%s\": %s\n", rule, err.what);
	return false;
}

static void a_broken_part_is_refused(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct plan *plan = copy(&arena, true);
	struct plan_op *parent = (struct plan_op *)plan_parent_ops(plan);

	plan->part = PLAN_WHOLE;
	CHECK(refused(plan, "wrong phase"));
	plan = copy(&arena, true);
	writable_op(plan, OP_TAKE_MOUNT)->kind = OP_OPEN_TREE;
	CHECK(refused(plan, "looks for the host"));
	plan = copy(&arena, true);
	writable_op(plan, OP_STACK_ROOT)->kind = OP_PROPAGATION;
	CHECK(refused(plan, "the first part's root is still"));
	plan = copy(&arena, true);
	writable_op(plan, OP_STACK_ROOT)->kind = OP_PROPAGATION;
	writable_op(plan, OP_CHROOT)->kind = OP_PROPAGATION;
	CHECK(refused(plan, "the first part's root is still"));
	plan = copy(&arena, false);
	writable_op(plan, OP_PIVOT)->kind = OP_CHROOT;
	CHECK(refused(plan, "the host's root is still below"));
	plan = copy(&arena, true);
	parent = (struct plan_op *)plan_parent_ops(plan);
	parent[0].kind = OP_SEND_PLAN; /* in place of the monitor */
	parent[1].kind = OP_MONITOR;
	CHECK(refused(plan, "too late"));
	plan = copy(&arena, false);
	writable_op(plan, OP_AWAIT_PLAN)->kind = OP_EXEC;
	CHECK(plan_check(plan, &(struct rb_err){0}) < 0);
	plan = copy(&arena, false);
	writable_op(plan, OP_PIVOT)->kind = OP_PROPAGATION;
	CHECK(plan_check(plan, &(struct rb_err){0}) < 0);
	plan = copy(&arena, false);
	((struct plan_op *)plan_parent_ops(plan))[1].kind = OP_AWAIT;
	CHECK(refused(plan, "cloned and guarded"));
	plan = copy(&arena, false);
	plan->part = 3;
	CHECK(refused(plan, "not a plan"));
}

TAP_MAIN(TEST(a_class_is_the_bytes_of_its_first_part),
	 TEST(what_stands_among_the_standard_mounts_has_no_parts),
	 TEST(masks_are_in_the_first_part_and_other_protections_in_the_second),
	 TEST(without_the_right_to_chroot_the_second_part_pivots),
	 TEST(a_given_terminal_is_controlled_before_descriptors_are_closed),
	 TEST(a_broken_part_is_refused))
