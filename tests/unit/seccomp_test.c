/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seccomp compiler against three judges: libseccomp, whose program for the same profile is run
 * in the same simulator of classic BPF; a model that reads the rules naively, for what libseccomp
 * does not know or leaves open; and the kernel, which must accept a program and obey it.
 *
 * Where runc adds its ENOSYS stub in front of libseccomp's program, the expectation adds it too.
 * Every other difference is a failure.
 */
#include <assert.h>
#include <linux/audit.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/file.h"
#include "plan/plan.h"
#include "plan/syscall_table.h"
#include "simulator.h"
#include "tap.h"

#ifdef __SANITIZE_ADDRESS__
enum { ROUNDS = 15 };

/* libseccomp 2.5.4 loses some memory of a profile it refuses */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libseccomp.so";
}
#else
enum { ROUNDS = 120 };
#endif

#define X32_BIT       0x40000000u
#define ENOSYS_ACTION (SECCOMP_RET_ERRNO | ENOSYS)

/* ---- architectures ------------------------------------------------------------------------- */

struct abi {
	const char *name;
	uint32_t token, audit, kernel;
	enum syscall_abi column;
	bool wide, multiplexed;
};

static const struct abi abis[] = {
	{"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, AUDIT_ARCH_X86_64, SYSCALL_X86_64,
	 true, false},
	{"SCMP_ARCH_X86", SCMP_ARCH_X86, AUDIT_ARCH_I386, AUDIT_ARCH_X86_64, SYSCALL_X86, false,
	 true},
	{"SCMP_ARCH_X32", SCMP_ARCH_X32, AUDIT_ARCH_X86_64, AUDIT_ARCH_X86_64, SYSCALL_X32, false,
	 false},
	{"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, AUDIT_ARCH_AARCH64,
	 SYSCALL_AARCH64, true, false},
	{"SCMP_ARCH_ARM", SCMP_ARCH_ARM, AUDIT_ARCH_ARM, AUDIT_ARCH_AARCH64, SYSCALL_ARM, false,
	 false},
	{"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64, AUDIT_ARCH_RISCV64, AUDIT_ARCH_RISCV64,
	 SYSCALL_RISCV64, true, false},
	{"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE, AUDIT_ARCH_PPC64LE, AUDIT_ARCH_PPC64LE,
	 SYSCALL_PPC64LE, true, true},
	{"SCMP_ARCH_S390X", SCMP_ARCH_S390X, AUDIT_ARCH_S390X, AUDIT_ARCH_S390X, SYSCALL_S390X,
	 true, true},
	{"SCMP_ARCH_S390", SCMP_ARCH_S390, AUDIT_ARCH_S390, AUDIT_ARCH_S390X, SYSCALL_S390, false,
	 true},
};

static const uint32_t kernels[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64, AUDIT_ARCH_RISCV64,
				   AUDIT_ARCH_PPC64LE, AUDIT_ARCH_S390X};

static bool spec_lists(const struct spec_seccomp *spec, const char *name)
{
	for (size_t i = 0; i < spec->architectures.n; i++)
		if (str_eq(spec->architectures.v[i], name))
			return true;
	return false;
}

/* Whether a filter for that kernel must serve the ABI. */
static bool abi_served(const struct spec_seccomp *spec, uint32_t kernel, const struct abi *abi)
{
	if (abi->audit == kernel && abi->column != SYSCALL_X32)
		return true;
	return abi->kernel == kernel && spec_lists(spec, abi->name);
}

/* The served ABI that a call belongs to, or NULL. */
static const struct abi *abi_of(const struct spec_seccomp *spec, uint32_t kernel,
				const struct seccomp_data *data)
{
	for (size_t i = 0; i < ARRAY_LEN(abis); i++) {
		bool x32 = abis[i].column == SYSCALL_X32;

		if (abis[i].audit == data->arch && abi_served(spec, kernel, &abis[i]) &&
		    (data->arch != AUDIT_ARCH_X86_64 || !(data->nr & X32_BIT) == !x32))
			return &abis[i];
	}
	return NULL;
}

/* As above where libseccomp decides: to it everything from x32's bit on is x32, 0x80000000 too. */
static const struct abi *abi_of_rules(const struct spec_seccomp *spec, uint32_t kernel,
				      const struct seccomp_data *data)
{
	struct seccomp_data seen = *data;

	if (seen.arch == AUDIT_ARCH_X86_64 && (uint32_t)seen.nr >= X32_BIT)
		seen.nr = (int)((uint32_t)seen.nr | X32_BIT);
	return abi_of(spec, kernel, &seen);
}

/* ---- libseccomp ---------------------------------------------------------------------------- */

/* Adds a rule as runc's matchCall() does. Returns what libseccomp says. */
static int oracle_add(scmp_filter_ctx ctx, const struct spec_seccomp_rule *rule, int number)
{
	static const enum scmp_compare ops[] = {SCMP_CMP_NE,       SCMP_CMP_LT, SCMP_CMP_LE,
						SCMP_CMP_EQ,       SCMP_CMP_GE, SCMP_CMP_GT,
						SCMP_CMP_MASKED_EQ};
	struct scmp_arg_cmp cmp[64];
	unsigned seen = 0, n = (unsigned)rule->n_args;
	bool repeated = false;
	int r = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct spec_seccomp_arg *arg = &rule->args[i];

		cmp[i] = (struct scmp_arg_cmp){arg->index, ops[arg->op], arg->value,
					       arg->value_two};
		repeated |= seen >> arg->index & 1;
		seen |= 1u << arg->index;
	}
	if (!repeated)
		return seccomp_rule_add_array(ctx, rule->action, number, n, cmp);
	for (unsigned i = 0; i < n && r == 0; i++)
		r = seccomp_rule_add_array(ctx, rule->action, number, 1, &cmp[i]);
	return r;
}

static int oracle_rules(scmp_filter_ctx ctx, const struct spec_seccomp *spec)
{
	for (size_t i = 0; i < spec->n_rules; i++) {
		const struct spec_seccomp_rule *rule = &spec->rules[i];

		for (size_t k = 0; k < rule->names.n; k++) {
			int number = seccomp_syscall_resolve_name(rule->names.v[k]);
			int r;

			if (number == __NR_SCMP_ERROR || rule->action == spec->default_action)
				continue;
			r = oracle_add(ctx, rule, number);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int oracle_archs(scmp_filter_ctx ctx, const struct spec_seccomp *spec, uint32_t kernel)
{
	int r = seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE);

	for (size_t i = 0; i < ARRAY_LEN(abis) && r == 0; i++)
		if (abi_served(spec, kernel, &abis[i]))
			r = seccomp_arch_add(ctx, abis[i].token);
	return r;
}

/* libseccomp's program, in memory of the arena; < 0: it refuses the profile. */
static int oracle_compile(struct arena *arena, const struct spec_seccomp *spec, uint32_t kernel,
			  unsigned optimize, struct program *program)
{
	scmp_filter_ctx ctx = seccomp_init(spec->default_action);
	CLEANUP_FD int fd = memfd_create("bpf", MFD_CLOEXEC);
	char *bytes;
	size_t len;
	int r;

	assert(ctx && fd >= 0);
	if (optimize)
		assert(seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, optimize) == 0);
	r = oracle_archs(ctx, spec, kernel);
	if (r == 0)
		r = oracle_rules(ctx, spec);
	if (r == 0)
		r = seccomp_export_bpf(ctx, fd);
	seccomp_release(ctx);
	if (r < 0)
		return r;
	assert(lseek(fd, 0, SEEK_SET) == 0);
	assert(file_read_fd(arena, fd, 1 << 20, &bytes, &len) == 0);
	program->insn = (struct sock_filter *)bytes;
	program->n = len / sizeof(struct sock_filter);
	program->big_endian = !(kernel & __AUDIT_ARCH_LE);
	for (size_t i = 0; i < program->n && program->big_endian; i++) {
		program->insn[i].code = __builtin_bswap16(program->insn[i].code);
		program->insn[i].k = __builtin_bswap32(program->insn[i].k);
	}
	return 0;
}

/* ---- the model ----------------------------------------------------------------------------- */

static bool model_arg(const struct spec_seccomp_arg *arg, bool wide, const __u64 *args)
{
	uint64_t width = wide ? UINT64_MAX : UINT32_MAX;
	uint64_t a = args[arg->index] & width, v = arg->value & width;

	switch ((enum spec_seccomp_op)arg->op) {
	case SPEC_CMP_NE: return a != v;
	case SPEC_CMP_LT: return a < v;
	case SPEC_CMP_LE: return a <= v;
	case SPEC_CMP_EQ: return a == v;
	case SPEC_CMP_GE: return a >= v;
	case SPEC_CMP_GT: return a > v;
	case SPEC_CMP_MASKED_EQ: return (a & v) == (arg->value_two & v);
	}
	return false;
}

/* a condition that holds for every value in libseccomp's eyes */
static bool model_arg_empty(const struct spec_seccomp_arg *arg, bool wide)
{
	return arg->op == SPEC_CMP_MASKED_EQ && !(wide ? arg->value : (uint32_t)arg->value);
}

enum model_result { MODEL_NO, MODEL_HOLDS, MODEL_ALWAYS };

/* Arguments [from, to) of a rule, all of them. */
static enum model_result model_args(const struct spec_seccomp_rule *rule, size_t from, size_t to,
				    const struct abi *abi, unsigned part, const __u64 *args)
{
	enum model_result result = part ? MODEL_HOLDS : MODEL_ALWAYS;

	for (size_t i = from; i < to; i++) {
		if ((part && rule->args[i].index == 0) ||
		    model_arg_empty(&rule->args[i], abi->wide))
			continue;
		if (!model_arg(&rule->args[i], abi->wide, args))
			return MODEL_NO;
		result = MODEL_HOLDS;
	}
	return result;
}

static enum model_result model_rule(const struct spec_seccomp_rule *rule, const struct abi *abi,
				    unsigned part, const __u64 *args)
{
	enum model_result best = MODEL_NO;
	unsigned seen = 0;
	bool repeated = false;

	for (size_t i = 0; i < rule->n_args; i++) {
		repeated |= seen >> rule->args[i].index & 1;
		seen |= 1u << rule->args[i].index;
	}
	if (!repeated)
		return model_args(rule, 0, rule->n_args, abi, part, args);
	for (size_t i = 0; i < rule->n_args; i++) {
		enum model_result r = model_args(rule, i, i + 1, abi, part, args);

		best = r > best ? r : best;
	}
	return best;
}

/* What the profile says about a call of a served ABI, without the ENOSYS stub. */
static uint32_t model(const struct spec_seccomp *spec, const struct abi *abi,
		      const struct seccomp_data *data)
{
	int32_t nr = (int32_t)((uint32_t)data->nr & ~(abi->column == SYSCALL_X32 ? X32_BIT : 0));
	int32_t socketcall = syscall_find("socketcall")->number[abi->column];
	int32_t ipc = syscall_find("ipc")->number[abi->column];
	uint64_t call = abi->wide ? data->args[0] : (uint32_t)data->args[0];
	const struct spec_seccomp_rule *held = NULL;

	for (size_t i = 0; i < spec->n_rules; i++) {
		const struct spec_seccomp_rule *rule = &spec->rules[i];

		for (size_t k = 0; k < rule->names.n && rule->action != spec->default_action; k++) {
			const struct syscall_row *row = syscall_find(rule->names.v[k]);
			enum model_result r = MODEL_NO;

			if (!row || nr < 0)
				continue;
			if (row->number[abi->column] == nr)
				r = model_rule(rule, abi, 0, data->args);
			else if (abi->multiplexed && row->part && call == row->part % 100 &&
				 nr == (row->part < 200 ? socketcall : ipc))
				r = model_rule(rule, abi, row->part, data->args);
			if (r == MODEL_ALWAYS)
				return rule->action;
			if (r == MODEL_HOLDS && !held)
				held = rule;
		}
	}
	return held ? held->action : spec->default_action;
}

/* The largest number that a profile names, which bounds what is not ENOSYS; 0: no bound. */
static uint32_t stub_last(const struct spec_seccomp *spec, const struct abi *abi)
{
	uint32_t kind = spec->default_action & SECCOMP_RET_ACTION_FULL;
	uint32_t last = 0;

	if (kind == SECCOMP_RET_ALLOW || kind == SECCOMP_RET_LOG || kind == SECCOMP_RET_TRACE ||
	    spec->default_action == ENOSYS_ACTION)
		return 0;
	for (size_t i = 0; i < spec->n_rules; i++)
		for (size_t k = 0; k < spec->rules[i].names.n; k++) {
			const struct syscall_row *row = syscall_find(spec->rules[i].names.v[k]);

			if (row && row->number[abi->column] > (int32_t)last)
				last = (uint32_t)row->number[abi->column];
		}
	return last;
}

static bool stub_applies(const struct spec_seccomp *spec, const struct abi *abi,
			 const struct seccomp_data *data)
{
	uint32_t last = abi ? stub_last(spec, abi) : 0;
	bool s390 = abi && (abi->column == SYSCALL_S390X || abi->column == SYSCALL_S390);

	if (!last)
		return false;
	if (abi->column == SYSCALL_X32)
		last |= X32_BIT;
	return (uint32_t)data->nr > last || (s390 && data->nr == 0);
}

/* Whether the profile names a call that has this number, and libseccomp does not know it. */
static bool newer_than_oracle(const struct spec_seccomp *spec, const struct abi *abi,
			      const struct seccomp_data *data)
{
	int32_t nr = (int32_t)((uint32_t)data->nr & ~(abi->column == SYSCALL_X32 ? X32_BIT : 0));

	for (size_t i = 0; i < spec->n_rules; i++)
		for (size_t k = 0; k < spec->rules[i].names.n; k++) {
			const char *name = spec->rules[i].names.v[k];
			const struct syscall_row *row = syscall_find(name);
			int known = seccomp_syscall_resolve_name_arch(abi->token, name);

			/* -1: unknown everywhere; beyond -10000: known, but not there */
			if (row && row->number[abi->column] == nr &&
			    (known == __NR_SCMP_ERROR || known <= -10000))
				return true;
		}
	return false;
}

/* ---- comparing ----------------------------------------------------------------------------- */

struct values {
	uint64_t v[4096];
	size_t n;
};

static void values_add(struct values *values, uint64_t value)
{
	for (size_t i = 0; i < values->n; i++)
		if (values->v[i] == value)
			return;
	if (values->n < ARRAY_LEN(values->v))
		values->v[values->n++] = value;
}

/* Every value at which a comparison of the profile can change, and the same in the other word. */
static void values_collect(const struct spec_seccomp *spec, struct values *values)
{
	static const uint64_t fixed[] = {0,         1, UINT32_MAX, 1ull << 32, (1ull << 32) + 1,
					 UINT64_MAX};

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		values_add(values, fixed[i]);
	for (uint64_t i = 1; i <= 24; i++)
		values_add(values, i); /* the calls of socketcall(2) and ipc(2) */
	for (size_t i = 0; i < spec->n_rules; i++)
		for (size_t k = 0; k < spec->rules[i].n_args; k++) {
			const struct spec_seccomp_arg *arg = &spec->rules[i].args[k];
			const uint64_t base[] = {arg->value, arg->value_two,
						 arg->value | arg->value_two, ~arg->value,
						 arg->value_two | ~arg->value};

			for (size_t b = 0; b < ARRAY_LEN(base); b++) {
				values_add(values, base[b]);
				values_add(values, base[b] - 1);
				values_add(values, base[b] + 1);
				values_add(values, base[b] ^ (1ull << 32));
				values_add(values, base[b] + (1ull << 32));
				values_add(values, base[b] & UINT32_MAX);
			}
		}
}

static uint64_t random_next(uint64_t *state)
{
	/* splitmix64 */
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint32_t random_below(uint64_t *state, uint32_t n)
{
	return (uint32_t)(random_next(state) % n);
}

struct comparison {
	const struct spec_seccomp *spec;
	uint32_t kernel;
	struct program ours, oracle;
	bool use_oracle;      /* else the model judges alone */
	bool sparse;          /* fewer numbers */
	bool model_overrules; /* libseccomp may be wrong: see random_profiles() */
	size_t overruled;
	size_t calls, enosys, newer; /* what was compared, and where the expectation came from */
	size_t differences;
};

static uint32_t expected_action(struct comparison *c, const struct seccomp_data *data)
{
	const struct abi *abi = abi_of(c->spec, c->kernel, data);
	uint32_t action;

	c->calls++;
	if (stub_applies(c->spec, abi, data)) {
		c->enosys++;
		return ENOSYS_ACTION;
	}
	if (!c->use_oracle && data->nr == -1 && data->arch == c->kernel)
		return c->spec->default_action;
	abi = abi_of_rules(c->spec, c->kernel, data);
	if (abi && (!c->use_oracle || newer_than_oracle(c->spec, abi, data))) {
		c->newer++;
		return model(c->spec, abi, data);
	}
	if (!c->use_oracle)
		return SECCOMP_RET_KILL;
	action = simulate(&c->oracle, data);
	/* libseccomp 2.5.4 copies a return that is too far for a jump in the host's byte order */
	if (c->oracle.big_endian && action == __builtin_bswap32(SECCOMP_RET_ALLOW))
		action = SECCOMP_RET_ALLOW;
	return action;
}

static void compare_call(struct comparison *c, const struct seccomp_data *data)
{
	uint32_t expected = expected_action(c, data);
	uint32_t actual = simulate(&c->ours, data);

	if (actual != expected && c->model_overrules) {
		const struct abi *abi = abi_of_rules(c->spec, c->kernel, data);

		if (abi && actual == model(c->spec, abi, data)) {
			c->overruled++;
			return;
		}
	}
	if (actual == expected || c->differences++ >= 5)
		return;
	printf("# arch %x nr %d (0x%x) args %llx %llx %llx: %x, expected %x\n", data->arch,
	       data->nr, (unsigned)data->nr, (unsigned long long)data->args[0],
	       (unsigned long long)data->args[1], (unsigned long long)data->args[2], actual,
	       expected);
}

/* One number with all values in one place at a time, and mixed. */
static void compare_number(struct comparison *c, uint32_t arch, uint32_t nr,
			   const struct values *values, uint64_t *state)
{
	struct seccomp_data data = {.arch = arch, .nr = (int)nr};

	for (size_t i = 0; i < values->n; i++) {
		for (int k = 0; k < 6; k++)
			data.args[k] = values->v[i];
		compare_call(c, &data);
		for (int k = 0; k < 6; k++)
			data.args[k] = values->v[random_below(state, (uint32_t)values->n)];
		compare_call(c, &data);
	}
}

/* A number in every variant that some architecture gives a meaning. */
static void compare_variants(struct comparison *c, uint32_t arch, uint32_t nr,
			     const struct values *values)
{
	static const uint32_t bits[] = {0, X32_BIT, 0x80000000u, 0xc0000000u, SYSCALL_ARM_BASE};
	uint64_t state = arch;

	for (size_t b = 0; b < ARRAY_LEN(bits); b++)
		compare_number(c, arch, nr | bits[b], values, &state);
}

/* Numbers without regard to arguments: all below 600, or those around the named ones. */
static void compare_numbers(struct comparison *c, uint32_t arch, const struct values *values)
{
	static const uint32_t edges[] = {0x3fffffff, 0x7fffffff, 0xbfffffff, 0xfffffffe,
					 0xffffffff};
	uint64_t state = arch;

	for (size_t i = 0; i < ARRAY_LEN(edges); i++)
		compare_number(c, arch, edges[i], values, &state);
	for (uint32_t nr = 0; nr < 600; nr += c->sparse ? 37 : 1)
		compare_variants(c, arch, nr, values);
	for (size_t i = 0; i < c->spec->n_rules && c->sparse; i++)
		for (size_t k = 0; k < c->spec->rules[i].names.n; k++) {
			const struct syscall_row *row = syscall_find(c->spec->rules[i].names.v[k]);

			for (size_t a = 0; row && a < SYSCALL_ABIS; a++)
				for (int32_t d = -1; d <= 1 && row->number[a] >= 0; d++)
					compare_variants(c, arch, (uint32_t)(row->number[a] + d),
							 values);
		}
}

/* Our program, or a failed check. */
static bool compile(struct arena *arena, const struct spec_seccomp *spec, uint32_t kernel,
		    struct program *program)
{
	struct rb_err err = {0};
	char line[1200];

	program->big_endian = !(kernel & __AUDIT_ARCH_LE);
	if (seccomp_compile(arena, spec, kernel, &program->insn, &program->n, &err) == 0)
		return true;
	printf("# %s\n", err_line(&err, line, sizeof(line)));
	return false;
}

/* The calls whose verdict depends on arguments, with every interesting value. */
static void compare_conditions(struct comparison *c, const struct syscall_row *row,
			       const struct values *values)
{
	for (size_t a = 0; row && a < ARRAY_LEN(abis); a++) {
		uint32_t bit = abis[a].column == SYSCALL_X32 ? X32_BIT : 0;
		int32_t nr = row->number[abis[a].column];
		uint64_t state = a;

		if (nr >= 0)
			compare_number(c, abis[a].audit, (uint32_t)nr | bit, values, &state);
		if (row->part)
			compare_number(c, abis[a].audit, row->part < 200 ? 102 : 117, values,
				       &state);
	}
}

static void compare_profile(struct comparison *c)
{
	static const uint32_t archs[] = {AUDIT_ARCH_X86_64,  AUDIT_ARCH_I386,  AUDIT_ARCH_AARCH64,
					 AUDIT_ARCH_ARM,     AUDIT_ARCH_S390X, AUDIT_ARCH_S390,
					 AUDIT_ARCH_RISCV64, AUDIT_ARCH_PPC64, AUDIT_ARCH_PPC64LE,
					 AUDIT_ARCH_MIPS,    UINT32_MAX};
	static struct values values, few;

	values.n = few.n = 0;
	values_collect(c->spec, &values);
	for (size_t i = 0; i < 3; i++)
		values_add(&few, values.v[i * (values.n / 3)]);
	for (size_t i = 0; i < ARRAY_LEN(archs); i++)
		compare_numbers(c, archs[i], &few);
	for (size_t i = 0; i < c->spec->n_rules; i++)
		for (size_t k = 0; k < c->spec->rules[i].names.n && c->spec->rules[i].n_args; k++)
			compare_conditions(c, syscall_find(c->spec->rules[i].names.v[k]), &values);
	CHECK(c->differences == 0);
}

/* The whole comparison for one kernel; false: libseccomp refuses the profile. */
static bool equals_oracle(const struct spec_seccomp *spec, uint32_t kernel, bool random,
			  struct comparison *ret)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct comparison c = {.spec = spec,
			       .kernel = kernel,
			       .use_oracle = true,
			       .sparse = random,
			       .model_overrules = random};
	bool compiled;

	if (oracle_compile(&arena, spec, kernel, 0, &c.oracle) < 0)
		return false;
	compiled = compile(&arena, spec, kernel, &c.ours);
	CHECK(compiled);
	if (compiled)
		compare_profile(&c);
	if (ret)
		*ret = c;
	return true;
}

static void equals_model(const struct spec_seccomp *spec, uint32_t kernel)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct comparison c = {.spec = spec, .kernel = kernel, .sparse = true};
	bool compiled = compile(&arena, spec, kernel, &c.ours);

	CHECK(compiled);
	if (compiled)
		compare_profile(&c);
}

/* ---- profiles ------------------------------------------------------------------------------ */

static bool profile_from_text(struct arena *arena, const char *text, struct spec_seccomp *spec)
{
	const struct json_node *root, *node;
	struct rb_err err = {0};

	if (json_parse(arena, "profile", text, strlen(text), &root, &err) < 0)
		goto failed;
	node = json_member(root, "linux");
	node = node ? json_member(node, "seccomp") : root;
	if (spec_parse_seccomp(arena, node, spec, &err) == 0)
		return true;
failed:
	printf("# %s\n", err.what);
	return false;
}

static bool profile_from_file(struct arena *arena, const char *name, struct spec_seccomp *spec)
{
	const char *top = getenv("top_srcdir");
	const char *path = arena_printf(arena, "%s/%s", top ? top : ".", name);
	char *text;
	size_t len;

	if (file_read_at(arena, AT_FDCWD, path, 1 << 20, &text, &len) == 0)
		return profile_from_text(arena, text, spec);
	printf("# cannot read %s\n", path);
	return false;
}

#define ARCHS "\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"]"

/* A profile for x86_64 with x86 and x32, from the text of its "syscalls". */
static bool profile_x86(struct arena *arena, const char *action, const char *syscalls,
			struct spec_seccomp *spec)
{
	return profile_from_text(arena,
				 arena_printf(arena,
					      "{\"defaultAction\":\"SCMP_ACT_%s\"," ARCHS
					      ",\"syscalls\":[%s]}",
					      action, syscalls),
				 spec);
}

/* The action of a one-off call. */
static uint32_t decide(const struct program *p, uint32_t arch, uint32_t nr, uint64_t arg0)
{
	struct seccomp_data data = {.arch = arch, .nr = (int)nr, .args = {arg0}};

	return simulate(p, &data);
}

/* ---- the rules ----------------------------------------------------------------------------- */

/* Compares a profile of the tree for every kernel; small: its program for x86_64 is. */
static void file_equals_oracle(const char *name, size_t max_insns)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct spec_seccomp spec;
	struct comparison c = {0};

	CHECK(profile_from_file(&arena, name, &spec));
	if (!tap_ok)
		return;
	for (size_t i = 0; i < ARRAY_LEN(kernels); i++) {
		CHECK(equals_oracle(&spec, kernels[i], false, &c));
		if (kernels[i] != AUDIT_ARCH_X86_64)
			continue;
		printf("# %s: %zu instructions (libseccomp: %zu), %zu calls compared, %zu by the "
		       "stub, %zu newer than libseccomp\n",
		       name, c.ours.n, c.oracle.n, c.calls, c.enosys, c.newer);
		CHECK(c.ours.n <= max_insns);
	}
	/* without the compatibility architectures x32 is a bad architecture */
	spec.architectures.n = 0;
	CHECK(equals_oracle(&spec, AUDIT_ARCH_X86_64, false, NULL));
}

static void buildkit_profile_equals_libseccomp(void)
{
	file_equals_oracle("tests/data/buildkit-rootless.json.in", 400);
}

static void default_profile_equals_libseccomp(void)
{
	file_equals_oracle("seccomp/default.json", 400);
}

static const char *const random_names[] = {
	"read",        "write",      "clone",  "socket",  "socketpair",
	"accept",      "send",       "bind",   "semop",   "shmctl",
	"personality", "ioctl",      "prctl",  "mmap",    "fcntl",
	"futex",       "getppid",    "execve", "openat2", "close_range",
	"_llseek",     "socketcall", "ipc",    "set_tls", "sync_file_range2",
	"arch_prctl",  "readv",      "ptrace",
};

static const uint32_t random_actions[] = {
	SECCOMP_RET_ALLOW,          SECCOMP_RET_LOG,   SECCOMP_RET_ERRNO | EPERM,
	SECCOMP_RET_ERRNO | ENOSYS, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS,
	SECCOMP_RET_KILL_THREAD,    SECCOMP_RET_TRAP,  SECCOMP_RET_TRACE | 7,
	SECCOMP_RET_USER_NOTIF,
};

static uint64_t random_value(uint64_t *state)
{
	static const uint64_t values[] = {
		0,
		1,
		2,
		3,
		40,
		0x7fffffff,
		0x80000000,
		0x80000001,
		0xfffffffe,
		0xffffffff,
		0x100000000,
		0x100000001,
		0x1ffffffff,
		0x200000000,
		0x200000003,
		0xffff0000,
		0x7e020000,
		0xffffffff00000000,
		0xffffffff00000001,
		0xfffffffffffffffe,
		UINT64_MAX,
	};

	if (random_below(state, 8) == 0)
		return random_next(state);
	return values[random_below(state, ARRAY_LEN(values))];
}

static void random_arg(uint64_t *state, struct spec_seccomp_arg *arg, uint32_t index)
{
	*arg = (struct spec_seccomp_arg){
		.index = index,
		.op = (int)random_below(state, 7),
		.value = random_value(state),
		.value_two = random_value(state),
	};
	if (arg->op == SPEC_CMP_MASKED_EQ && random_below(state, 2))
		arg->value_two &= arg->value;
}

/* How wild the arguments of random rules are. */
enum random_args { ARGS_ONE, ARGS_MANY };

/*
 * Some calls, each with one action for all its rules, so that no two rules contradict each other.
 */
static void random_profile(struct arena *arena, uint64_t *state, enum random_args kind,
			   struct spec_seccomp *spec)
{
	size_t n_calls = 1 + random_below(state, 6), n = 0;
	struct spec_seccomp_rule *rules = arena_array(arena, 6 * 5, sizeof(*rules));
	const char **archs = arena_array(arena, ARRAY_LEN(abis), sizeof(*archs));
	size_t start = random_below(state, ARRAY_LEN(random_names));

	*spec = (struct spec_seccomp){
		.present = true,
		.default_action =
			random_actions[random_below(state, ARRAY_LEN(random_actions) - 1)],
		.architectures.v = archs,
		.rules = rules,
	};
	for (size_t i = 0; i < ARRAY_LEN(abis); i++)
		if (random_below(state, 3))
			archs[spec->architectures.n++] = abis[i].name;
	for (size_t i = 0; i < n_calls; i++) {
		uint32_t action = random_actions[random_below(state, ARRAY_LEN(random_actions))];
		size_t n_rules = 1 + random_below(state, 5);

		for (size_t k = 0; k < n_rules; k++, n++) {
			struct spec_seccomp_arg *args = arena_array(arena, 3, sizeof(*args));
			const char **name = arena_array(arena, 1, sizeof(*name));
			uint32_t index = random_below(state, 2);

			*name = random_names[(start + i * 5) % ARRAY_LEN(random_names)];
			rules[n].names = (struct spec_strings){.v = name, .n = 1};
			rules[n].action = action;
			rules[n].args = args;
			rules[n].n_args = random_below(state, 8) ? 1 : 0;
			if (rules[n].n_args && kind == ARGS_MANY)
				rules[n].n_args = 1 + random_below(state, 3);
			for (size_t a = 0; a < rules[n].n_args; a++)
				random_arg(state, &args[a],
					   random_below(state, 6) ? index + (uint32_t)a : index);
		}
	}
	spec->n_rules = n;
}

static void profile_print(const struct spec_seccomp *spec, uint32_t kernel, int round)
{
	printf("# round %d, kernel %x, default %x, architectures", round, kernel,
	       spec->default_action);
	for (size_t i = 0; i < spec->architectures.n; i++)
		printf(" %s", spec->architectures.v[i]);
	for (size_t i = 0; i < spec->n_rules; i++) {
		const struct spec_seccomp_rule *rule = &spec->rules[i];

		printf("\n# %s %x", rule->names.v[0], rule->action);
		for (size_t k = 0; k < rule->n_args; k++)
			printf(" [%u %s %llx %llx]", rule->args[k].index,
			       spec_seccomp_op_names[rule->args[k].op],
			       (unsigned long long)rule->args[k].value,
			       (unsigned long long)rule->args[k].value_two);
	}
	printf("\n");
}

/*
 * libseccomp 2.5.4 merges some rules with several comparisons of one argument wrongly: with
 *	bind(2): [1] != 0xc02b1e07f8a88d6 and [2] >= 2, or [0] >= 0x28 and [1] < 0x9ec5f69ae3150030,
 *	or [0] <= 0xffffffff00000001 and [1] >= 0xffffffff and [2] >= 3, or [1] >= 0xbb499e46d944c31b
 * the kernel finds a match for bind(1, 1, 1). Where it differs, the model decides: our program
 * must then be what the rules say. Profiles of the tree get no such allowance.
 */
static void random_profiles(enum random_args kind, uint64_t seed, int rounds, bool use_oracle)
{
	uint64_t state = seed;
	int refused = 0;
	int overruled = 0;

	for (int i = 0; i < rounds && tap_ok; i++) {
		CLEANUP_ARENA struct arena arena = {0};
		uint32_t kernel = kernels[random_below(&state, ARRAY_LEN(kernels))];
		struct comparison c = {0};
		struct spec_seccomp spec;

		random_profile(&arena, &state, kind, &spec);
		if (!use_oracle)
			equals_model(&spec, kernel);
		else
			refused += !equals_oracle(&spec, kernel, true, &c);
		overruled += c.overruled > 0;
		if (!tap_ok)
			profile_print(&spec, kernel, i);
	}
	if (!use_oracle)
		return;
	printf("# %d profiles: libseccomp refuses %d and is wrong about %d\n", rounds, refused,
	       overruled);
	/* an oracle that is wrong more often than not is none */
	CHECK(overruled < rounds / 2);
}

static void random_profiles_equal_libseccomp(void)
{
	random_profiles(ARGS_ONE, 1, ROUNDS, true);
}

static void random_profiles_with_many_args_equal_libseccomp(void)
{
	random_profiles(ARGS_MANY, 2, ROUNDS, true);
}

static void random_profiles_equal_the_model(void)
{
	random_profiles(ARGS_MANY, 3, ROUNDS, false);
}

/* What seccomp/README.md promises, call by call. */
static void default_profile_decides_as_its_readme_says(void)
{
	const uint32_t eperm = SECCOMP_RET_ERRNO | EPERM;
	const uint32_t enosys = SECCOMP_RET_ERRNO | ENOSYS;
	const struct {
		uint32_t arch;
		const char *call;
		uint64_t arg0;
		uint32_t action;
	} cases[] = {
		{AUDIT_ARCH_X86_64, "read", 0, SECCOMP_RET_ALLOW},
		{AUDIT_ARCH_X86_64, "mount", 0, eperm},
		{AUDIT_ARCH_X86_64, "io_uring_setup", 0, eperm},
		{AUDIT_ARCH_X86_64, "keyctl", 0, eperm},
		{AUDIT_ARCH_X86_64, "clone3", 0, enosys},
		{AUDIT_ARCH_X86_64, "clone", 0x3d0f00 /* a thread */, SECCOMP_RET_ALLOW},
		{AUDIT_ARCH_X86_64, "clone", 0x10000000 | SIGCHLD /* CLONE_NEWUSER */, eperm},
		{AUDIT_ARCH_X86_64, "unshare", 0x200 /* CLONE_FS */, SECCOMP_RET_ALLOW},
		{AUDIT_ARCH_X86_64, "unshare", 0x20000 /* CLONE_NEWNS */, eperm},
		{AUDIT_ARCH_X86_64, "unshare", 0x80 /* CLONE_NEWTIME */, eperm},
		{AUDIT_ARCH_X86_64, "socket", 1 /* AF_UNIX */, SECCOMP_RET_ALLOW},
		{AUDIT_ARCH_X86_64, "socket", 10 /* AF_INET6 */, SECCOMP_RET_ALLOW},
		{AUDIT_ARCH_X86_64, "socket", 38 /* AF_ALG */, eperm},
		{AUDIT_ARCH_X86_64, "socket", 40 /* AF_VSOCK */, eperm},
		{AUDIT_ARCH_X86_64, "socket", UINT64_C(0x100000026) /* AF_ALG, for an int */,
		 eperm},
		{AUDIT_ARCH_X86_64, "socketpair", 38, eperm},
		{AUDIT_ARCH_X86_64, "socketpair", 1, SECCOMP_RET_ALLOW},
		{AUDIT_ARCH_X86_64, "personality", 0x40000 /* ADDR_NO_RANDOMIZE */,
		 SECCOMP_RET_ALLOW},
		{AUDIT_ARCH_X86_64, "personality", 0x400000 /* READ_IMPLIES_EXEC */, eperm},
		{AUDIT_ARCH_I386, "socketcall", 1 /* SYS_SOCKET */, enosys},
		{AUDIT_ARCH_I386, "socketcall", 3 /* SYS_CONNECT */, enosys},
		{AUDIT_ARCH_I386, "socket", 2, SECCOMP_RET_ALLOW},
		{AUDIT_ARCH_I386, "vm86", 0, eperm},
	};
	CLEANUP_ARENA struct arena arena = {0};
	struct spec_seccomp spec;
	struct program p;

	CHECK(profile_from_file(&arena, "seccomp/default.json", &spec) &&
	      compile(&arena, &spec, AUDIT_ARCH_X86_64, &p));
	for (size_t i = 0; tap_ok && i < ARRAY_LEN(cases); i++) {
		const struct syscall_row *row = syscall_find(cases[i].call);
		int column = cases[i].arch == AUDIT_ARCH_I386 ? SYSCALL_X86 : SYSCALL_X86_64;
		uint32_t action = decide(&p, cases[i].arch, (uint32_t)row->number[column],
					 cases[i].arg0);

		CHECK(action == cases[i].action);
		if (!tap_ok)
			printf("# %s(%#" PRIx64 "): %#x\n", cases[i].call, cases[i].arg0, action);
	}
	if (!tap_ok)
		return;
	/* newer than every known one, and through the entrance of x32 */
	CHECK(decide(&p, AUDIT_ARCH_X86_64, 100000, 0) == enosys);
	CHECK(decide(&p, AUDIT_ARCH_X86_64, 0x40000000, 0) != SECCOMP_RET_ALLOW);
	CHECK(decide(&p, AUDIT_ARCH_AARCH64, 0, 0) == SECCOMP_RET_KILL_THREAD);
}

/* ---- the kernel ----------------------------------------------------------------------------- */

/* In a child: installs the program, then makes the calls. 0: every one ended as it should. */
static int obey(const struct program *p)
{
	struct sock_fprog fprog = {.len = (unsigned short)p->n, .filter = p->insn};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &fprog) < 0)
		return 1;
	if (syscall(SYS_getppid) != -1 || errno != 77)
		return 2;
	/* matched in both words of an argument, or not at all */
	if (syscall(SYS_lseek, -1, 0x100000002, 0) != -1 || errno != 78)
		return 3;
	if (syscall(SYS_lseek, -1, 2, 0) != -1 || errno != EBADF)
		return 4;
	if (syscall(SYS_lseek, -1, 0x100000003, 0) != -1 || errno != EBADF)
		return 5;
	return 0;
}

static void kernel_takes_the_program_and_obeys_it(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct spec_seccomp spec;
	struct program program;
	int status = -1;
	pid_t pid;

	CHECK(profile_x86(&arena, "ALLOW",
			  "{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":77},"
			  "{\"names\":[\"lseek\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":78,"
			  "\"args\":[{\"index\":1,\"value\":4294967298,\"op\":\"SCMP_CMP_EQ\"}]}",
			  &spec) &&
	      compile(&arena, &spec, seccomp_native_arch(), &program));
	if (!tap_ok)
		return;
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(obey(&program));
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (status != 0)
		printf("# status %#x\n", (unsigned)status);
	CHECK(status == 0);
}

TAP_MAIN(TEST(buildkit_profile_equals_libseccomp), TEST(default_profile_equals_libseccomp),
	 TEST(default_profile_decides_as_its_readme_says), TEST(random_profiles_equal_libseccomp),
	 TEST(random_profiles_with_many_args_equal_libseccomp),
	 TEST(random_profiles_equal_the_model), TEST(kernel_takes_the_program_and_obeys_it))
