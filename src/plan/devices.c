/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which device nodes a container may open and make: linux.resources.devices, in the semantics of
 * the v1 devices controller (the kernel's admin-guide/cgroup-v1/devices.rst), for which the
 * specification was written, and for v2 as a BPF program. Pure.
 *
 * A policy is a default and a list of exceptions. "a" sets the default and drops the list; other
 * rules add to the list or take away from it. The last rule about a node wins.
 */
#include <linux/bpf.h>
#include "plan/resources_job.h"

/* As BPF_DEVCG_ACC_* of linux/bpf.h, so that a mask needs no translation. */
_Static_assert((int)DEVICE_MKNOD == (int)BPF_DEVCG_ACC_MKNOD &&
		       (int)DEVICE_READ == (int)BPF_DEVCG_ACC_READ &&
		       (int)DEVICE_WRITE == (int)BPF_DEVCG_ACC_WRITE,
	       "device access bits");

enum { DEVICE_ALL = DEVICE_MKNOD | DEVICE_READ | DEVICE_WRITE };

/*
 * What every container may use: config-linux.md#default-devices, terminals, and making nodes
 * (mknod(2) alone gives no access).
 */
static const struct spec_device_rule default_rules[] = {
	{true, 'c', -1, -1, DEVICE_MKNOD, NULL}, {true, 'b', -1, -1, DEVICE_MKNOD, NULL},
	{true, 'c', 1, 3, DEVICE_ALL, NULL},    /* null */
	{true, 'c', 1, 5, DEVICE_ALL, NULL},    /* zero */
	{true, 'c', 1, 7, DEVICE_ALL, NULL},    /* full */
	{true, 'c', 1, 8, DEVICE_ALL, NULL},    /* random */
	{true, 'c', 1, 9, DEVICE_ALL, NULL},    /* urandom */
	{true, 'c', 5, 0, DEVICE_ALL, NULL},    /* tty */
	{true, 'c', 5, 1, DEVICE_ALL, NULL},    /* console */
	{true, 'c', 5, 2, DEVICE_ALL, NULL},    /* ptmx */
	{true, 'c', 136, -1, DEVICE_ALL, NULL}, /* pts */
};

static bool same_node(const struct device_exception *exception, const struct spec_device_rule *rule)
{
	return exception->type == rule->type && exception->major == rule->major &&
	       exception->minor == rule->minor;
}

/* An exception takes further access; one that has none left goes. */
static void exception_add(struct device_policy *policy, const struct spec_device_rule *rule)
{
	for (size_t i = 0; i < policy->n; i++) {
		if (same_node(&policy->v[i], rule)) {
			policy->v[i].access |= rule->access;
			return;
		}
	}
	policy->v[policy->n++] = (struct device_exception){rule->type, rule->major, rule->minor,
							   rule->access};
}

static void exception_remove(struct device_policy *policy, const struct spec_device_rule *rule)
{
	for (size_t i = 0; i < policy->n; i++) {
		if (!same_node(&policy->v[i], rule))
			continue;
		policy->v[i].access &= ~rule->access;
		if (!policy->v[i].access)
			policy->v[i] = policy->v[--policy->n];
		return;
	}
}

static void policy_apply(struct device_policy *policy, const struct spec_device_rule *rule)
{
	bool all = rule->major < 0 && rule->minor < 0 && rule->access == DEVICE_ALL;

	if (rule->type == 'a' && all) {
		policy->allow = rule->allow;
		policy->n = 0;
	} else if (rule->type == 'a') {
		struct spec_device_rule each = *rule;

		/* devices.rst ignores what stands after an "a"; here it means both types */
		each.type = 'b';
		policy_apply(policy, &each);
		each.type = 'c';
		policy_apply(policy, &each);
	} else if (rule->allow == policy->allow) {
		exception_remove(policy, rule);
	} else {
		exception_add(policy, rule);
	}
}

int devices_reduce(struct arena *arena, const struct spec_resources *resources,
		   struct device_policy *ret_policy, struct rb_err *err)
{
	struct device_policy policy = {
		/* an "a" may become two */
		.v = arena_array(arena, 2 * resources->n_devices + ARRAY_LEN(default_rules),
				 sizeof(*policy.v)),
	};

	if (!policy.v)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "devices");
	for (size_t i = 0; i < resources->n_devices; i++)
		policy_apply(&policy, &resources->devices[i]);
	for (size_t i = 0; i < ARRAY_LEN(default_rules); i++)
		policy_apply(&policy, &default_rules[i]);
	*ret_policy = policy;
	return 0;
}

/* bpf(2): instructions. Registers: 1 the context, 2 type, 3 access, 4 major, 5 minor. */

#define INSN(c, d, s, o, i)                                                                        \
	((struct bpf_insn){                                                                        \
		.code = (uint8_t)(c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})

enum { EXCEPTION_INSNS_MAX = 8, EDGE_INSNS = 10 };

/* struct bpf_cgroup_dev_ctx: access_type is (access << 16) | type. */
static size_t compile_begin(struct bpf_insn *at)
{
	const struct bpf_insn begin[] = {
		INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 1,
		     offsetof(struct bpf_cgroup_dev_ctx, access_type), 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, 3, 2, 0, 0),
		INSN(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff),
		INSN(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16),
		INSN(BPF_LDX | BPF_MEM | BPF_W, 4, 1, offsetof(struct bpf_cgroup_dev_ctx, major),
		     0),
		INSN(BPF_LDX | BPF_MEM | BPF_W, 5, 1, offsetof(struct bpf_cgroup_dev_ctx, minor),
		     0),
	};

	memcpy(at, begin, sizeof(begin));
	return ARRAY_LEN(begin);
}

/*
 * One exception: every test that does not hold jumps behind it. With "deny" as default all of the
 * wanted access must be covered; with "allow", any of it being covered denies.
 */
static size_t compile_exception(struct bpf_insn *at, const struct device_exception *e, bool allow)
{
	size_t n = 0;
	size_t tests[4];
	size_t n_tests = 0;

	tests[n_tests++] = n;
	at[n++] = INSN(BPF_JMP32 | BPF_JNE | BPF_K, 2, 0, 0,
		       e->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
	if (allow || e->access != DEVICE_ALL) {
		at[n++] = INSN(BPF_ALU | BPF_MOV | BPF_X, 1, 3, 0, 0);
		at[n++] = INSN(BPF_ALU | BPF_AND | BPF_K, 1, 0, 0,
			       (int32_t)(allow ? e->access : ~e->access & DEVICE_ALL));
		tests[n_tests++] = n;
		at[n++] = INSN(BPF_JMP32 | (allow ? BPF_JEQ : BPF_JNE) | BPF_K, 1, 0, 0, 0);
	}
	if (e->major >= 0) {
		tests[n_tests++] = n;
		at[n++] = INSN(BPF_JMP32 | BPF_JNE | BPF_K, 4, 0, 0, (int32_t)e->major);
	}
	if (e->minor >= 0) {
		tests[n_tests++] = n;
		at[n++] = INSN(BPF_JMP32 | BPF_JNE | BPF_K, 5, 0, 0, (int32_t)e->minor);
	}
	at[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, allow ? 0 : 1);
	at[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	for (size_t i = 0; i < n_tests; i++)
		at[tests[i]].off = (int16_t)(n - tests[i] - 1);
	return n;
}

int devices_compile(struct arena *arena, const struct device_policy *policy,
		    struct bpf_insn **ret_program, size_t *ret_n, struct rb_err *err)
{
	struct bpf_insn *program = arena_array(
		arena, policy->n * (EXCEPTION_INSNS_MAX + 1) + EDGE_INSNS, sizeof(*program));
	size_t n;

	if (!program)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "devices");
	n = compile_begin(program);
	for (size_t i = 0; i < policy->n; i++)
		n += compile_exception(program + n, &policy->v[i], policy->allow);
	program[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, policy->allow);
	program[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	*ret_program = program;
	*ret_n = n;
	return 0;
}

/* "c 1:3 rwm", "b *:* m": devices.rst */
static void device_text(char *text, size_t size, const struct device_exception *e)
{
	char major[24] = "*";
	char minor[24] = "*";

	if (e->major >= 0)
		snprintf(major, sizeof(major), "%" PRId64, e->major);
	if (e->minor >= 0)
		snprintf(minor, sizeof(minor), "%" PRId64, e->minor);
	snprintf(text, size, "%c %s:%s %s%s%s", e->type, major, minor,
		 e->access & DEVICE_READ ? "r" : "", e->access & DEVICE_WRITE ? "w" : "",
		 e->access & DEVICE_MKNOD ? "m" : "");
}

void devices_write_v1(struct resources_job *job, const struct device_policy *policy)
{
	const char *origin = job->resources->n_devices ? job->resources->devices[0].origin : "";
	struct resource_write *w;

	/* the group inherits its parent's policy: begin from a known one */
	w = resources_add(job, CONTROLLER_DEVICES, policy->allow ? "devices.allow" : "devices.deny",
			  origin);
	resources_value(job, w, "a");
	for (size_t i = 0; i < policy->n; i++) {
		char text[64];

		device_text(text, sizeof(text), &policy->v[i]);
		w = resources_add(job, CONTROLLER_DEVICES,
				  policy->allow ? "devices.deny" : "devices.allow", origin);
		resources_value(job, w, "%s", text);
	}
}
