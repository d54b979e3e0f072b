/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A seccomp profile to BPF, for every kernel architecture. JSON as it comes; anything else is
 * read as a sequence of rules. The program is short enough for the kernel, and every call ends in
 * a return within bounds (see simulator.h) with an action that the profile names.
 */
#include <linux/audit.h>

#include "base/json.h"
#include "fuzz.h"
#include "plan/plan.h"
#include "simulator.h"

static const uint32_t kernels[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64, AUDIT_ARCH_RISCV64,
				   AUDIT_ARCH_PPC64LE, AUDIT_ARCH_S390X};

static bool action_is_named(const struct spec_seccomp *seccomp, uint32_t action)
{
	if (action == seccomp->default_action || action == (SECCOMP_RET_ERRNO | ENOSYS) ||
	    action == SECCOMP_RET_KILL_THREAD)
		return true; /* also the stub's, and that of a foreign architecture */
	for (size_t i = 0; i < seccomp->n_rules; i++)
		if (seccomp->rules[i].action == action)
			return true;
	return false;
}

static void run_program(const struct spec_seccomp *seccomp, const struct program *program,
			uint32_t kernel)
{
	static const uint32_t archs[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_ARM, 0};
	static const uint64_t args[] = {0, 1, UINT32_MAX, UINT64_MAX, 0x7e020000};

	for (uint32_t nr = 0; nr < 500; nr += 1 + nr % 3) {
		for (size_t a = 0; a < ARRAY_LEN(archs); a++) {
			struct seccomp_data data = {.arch = archs[a] ? archs[a] : kernel};

			data.nr = (int)(nr | (nr % 5 == 4 ? 0x40000000u : 0));
			for (size_t i = 0; i < 6; i++)
				data.args[i] = args[(nr + i) % ARRAY_LEN(args)];
			assert(action_is_named(seccomp, simulate(program, &data)));
		}
	}
}

static void compile(const struct spec_seccomp *seccomp)
{
	for (size_t i = 0; i < ARRAY_LEN(kernels); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		struct program program = {.big_endian = !(kernels[i] & __AUDIT_ARCH_LE)};
		struct rb_err err = {0};

		if (seccomp_compile(&arena, seccomp, kernels[i], &program.insn, &program.n, &err) <
		    0) {
			assert(err.code && err.what[0]);
			continue;
		}
		assert(program.n > 0 && program.n <= LIMIT_BPF_INSNS);
		run_program(seccomp, &program, kernels[i]);
	}
}

static const char *const names[] = {"read",   "socket",  "clone",        "ioctl", "openat2",
				    "accept", "semop",   "socketcall",   "ipc",   "clone3",
				    "futex",  "_llseek", "no_such_call", "mmap"};
static const uint32_t actions[] = {SECCOMP_RET_ALLOW,         SECCOMP_RET_LOG,
				   SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ERRNO | ENOSYS,
				   SECCOMP_RET_KILL_PROCESS,  SECCOMP_RET_TRAP};
static const uint64_t values[] = {0, 1, 40, UINT32_MAX, 1ull << 32, UINT64_MAX, 0x7e020000};

/* Three bytes: index and comparison, and the two values. */
static struct spec_seccomp_arg arg_from_bytes(const uint8_t *data)
{
	return (struct spec_seccomp_arg){
		.index = data[0] % 6,
		.op = data[0] / 6 % 7,
		.value = values[data[1] % ARRAY_LEN(values)] + data[1] / 64,
		.value_two = values[data[2] % ARRAY_LEN(values)],
		.origin = "/arg",
	};
}

/* Bytes as rules: action, name, number of arguments, and three bytes for each of those. */
static void rules_from_bytes(struct arena *arena, const uint8_t *data, size_t size,
			     struct spec_seccomp *seccomp)
{
	static const char *archs[] = {"SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM"};
	struct spec_seccomp_rule *rules = arena_array(arena, size + 1, sizeof(*rules));
	size_t at = 1;

	assert(rules);
	seccomp->present = true;
	seccomp->default_action = actions[size ? data[0] % ARRAY_LEN(actions) : 0];
	seccomp->architectures = (struct spec_strings){.v = archs, .n = size % 4};
	for (; at + 3 <= size && seccomp->n_rules < 200; seccomp->n_rules++) {
		struct spec_seccomp_rule *rule = &rules[seccomp->n_rules];
		struct spec_seccomp_arg *args = arena_array(arena, 4, sizeof(*args));
		const char **name = arena_array(arena, 2, sizeof(*name));
		size_t wanted = data[at + 2] % 4;

		assert(args && name);
		*name = names[data[at + 1] % ARRAY_LEN(names)];
		rule->names = (struct spec_strings){.v = name, .n = 1};
		rule->action = actions[data[at] % ARRAY_LEN(actions)];
		rule->args = args;
		rule->origin = "/rule";
		for (at += 3; rule->n_args < wanted && at + 3 <= size; at += 3)
			args[rule->n_args++] = arg_from_bytes(data + at);
	}
	seccomp->rules = rules;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct spec_seccomp seccomp = {0};
	const struct json_node *root = NULL;
	struct rb_err err = {0};

	if (size && data[0] == '{') {
		if (json_parse(&arena, "profile", (const char *)data, size, &root, &err) < 0 ||
		    spec_parse_seccomp(&arena, root, &seccomp, &err) < 0) {
			assert(err.code && err.what[0]);
			return 0;
		}
	} else {
		rules_from_bytes(&arena, data, size, &seccomp);
	}
	compile(&seccomp);
	return 0;
}
