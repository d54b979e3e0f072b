/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seccomp filter of a container: linux.seccomp of config.json to a program of classic BPF that
 * decides as the one of libseccomp and runc would, but is small and shallow. Runs in the parent as
 * part of planning; pure, so the same profile gives the same bytes and a cache may keep them.
 * Nothing is loaded here: seccomp(2) is an op of the executor.
 *
 * The program: which architecture made the call -- beyond which number is it unknown -- a search
 * over the numbers -- comparisons of arguments. Fixed rules:
 *  - Of the architectures that the profile lists, those count that the kernel can run beside its
 *    own; its own always counts. A call of any other architecture kills the thread (libseccomp's
 *    default for a bad architecture, which runc keeps).
 *  - x32 calls come with the architecture of x86_64 and bit 30 in the number. Where the profile
 *    does not list x32 they are a bad architecture, except the number -1, by which a tracer skips
 *    a call: that gets the default action (seccomp(2), SECCOMP_RET_TRACE; libseccomp gen_bpf.c).
 *  - Under a restrictive default, numbers beyond the largest one that the profile names for the
 *    architecture get ENOSYS, so that a program can fall back (runc libcontainer/seccomp/patchbpf).
 *    With x32 listed, and on all other architectures, -1 is such a number. Unlike runc's, the
 *    largest number includes i386's and s390's direct socket and IPC calls.
 */
#include <linux/audit.h>

#include "plan/seccomp.h"

#define X32_BIT 0x40000000u

/* clang-format off */
static const struct seccomp_abi abis[] = {
	/* name, architecture, of the kernel, column, bit in numbers, 64-bit arguments, multiplexers */
	{"SCMP_ARCH_X86_64",  AUDIT_ARCH_X86_64,  AUDIT_ARCH_X86_64,  SYSCALL_X86_64,  0,       true,  false},
	{"SCMP_ARCH_X32",     AUDIT_ARCH_X86_64,  AUDIT_ARCH_X86_64,  SYSCALL_X32,     X32_BIT, false, false},
	{"SCMP_ARCH_X86",     AUDIT_ARCH_I386,    AUDIT_ARCH_X86_64,  SYSCALL_X86,     0,       false, true},
	{"SCMP_ARCH_AARCH64", AUDIT_ARCH_AARCH64, AUDIT_ARCH_AARCH64, SYSCALL_AARCH64, 0,       true,  false},
	{"SCMP_ARCH_ARM",     AUDIT_ARCH_ARM,     AUDIT_ARCH_AARCH64, SYSCALL_ARM,     0,       false, false},
	{"SCMP_ARCH_RISCV64", AUDIT_ARCH_RISCV64, AUDIT_ARCH_RISCV64, SYSCALL_RISCV64, 0,       true,  false},
	{"SCMP_ARCH_PPC64LE", AUDIT_ARCH_PPC64LE, AUDIT_ARCH_PPC64LE, SYSCALL_PPC64LE, 0,       true,  true},
	{"SCMP_ARCH_S390X",   AUDIT_ARCH_S390X,   AUDIT_ARCH_S390X,   SYSCALL_S390X,   0,       true,  true},
	{"SCMP_ARCH_S390",    AUDIT_ARCH_S390,    AUDIT_ARCH_S390X,   SYSCALL_S390,    0,       false, true},
};
/* clang-format on */

/* Valid names of architectures that none of our kernels runs: config-linux.md#seccomp. */
static const char *const other_archs[] = {
	"SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",      "SCMP_ARCH_MIPS64N32",   "SCMP_ARCH_MIPSEL",
	"SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",         "SCMP_ARCH_PPC64",
	"SCMP_ARCH_PARISC",   "SCMP_ARCH_PARISC64",    "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K",
	"SCMP_ARCH_SH",       "SCMP_ARCH_SHEB",
};

/* The ABIs that the program serves; NULL: not listed or not there. */
struct served {
	const struct seccomp_abi *native;
	const struct seccomp_abi *x32;
	const struct seccomp_abi *compat;
};

unsigned seccomp_native_arch(void)
{
#if defined(__x86_64__)
	return AUDIT_ARCH_X86_64;
#elif defined(__i386__)
	return AUDIT_ARCH_I386;
#elif defined(__aarch64__)
	return AUDIT_ARCH_AARCH64;
#elif defined(__arm__)
	return AUDIT_ARCH_ARM;
#elif defined(__riscv) && __riscv_xlen == 64
	return AUDIT_ARCH_RISCV64;
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
	return AUDIT_ARCH_PPC64LE;
#elif defined(__s390x__)
	return AUDIT_ARCH_S390X;
#else
#error "no table of system calls for this architecture: see plan/syscall_table.h"
#endif
}

static bool arch_is_other(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(other_archs); i++)
		if (str_eq(name, other_archs[i]))
			return true;
	return false;
}

static const struct seccomp_abi *abi_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(abis); i++)
		if (str_eq(name, abis[i].name))
			return &abis[i];
	return NULL;
}

static int served_native(struct seccomp_compiler *c, uint32_t kernel_arch, struct served *served)
{
	for (size_t i = 0; i < ARRAY_LEN(abis); i++)
		if (abis[i].audit == kernel_arch && !abis[i].number_bit)
			served->native = &abis[i];
	if (!served->native)
		return err_set(c->err, RB_UNSUPPORTED, 0,
			       "no seccomp filters for the kernel architecture 0x%x", kernel_arch);
	return 0;
}

static int served_select(struct seccomp_compiler *c, uint32_t kernel_arch, struct served *served)
{
	const struct spec_strings *list = &c->spec->architectures;
	int r = served_native(c, kernel_arch, served);

	for (size_t i = 0; r == 0 && i < list->n; i++) {
		const struct seccomp_abi *abi = abi_find(list->v[i]);

		if (!abi && !arch_is_other(list->v[i])) {
			err_set(c->err, RB_CONFIG_UNKNOWN, 0,
				"unknown seccomp architecture \"%.60s\"", list->v[i]);
			err_fix(c->err, "use a SCMP_ARCH_ name of the runtime specification");
			err_origin(c->err,
				   list->origin ? arena_printf(c->arena, "%s/%zu", list->origin, i)
						: NULL);
			return -EINVAL;
		}
		if (!abi || abi->kernel != kernel_arch || abi == served->native)
			continue;
		if (abi->number_bit)
			served->x32 = abi;
		else
			served->compat = abi;
	}
	return r;
}

/* The decision for one ABI, with the number in the accumulator. */
static int emit_abi(struct seccomp_compiler *c, struct seccomp_code *code,
		    struct seccomp_rules *rules, const struct seccomp_abi *abi,
		    struct seccomp_label *ret_entry)
{
	struct seccomp_label entry;
	struct seccomp_word numbers;
	int r;

	if ((r = seccomp_rules_fill(c, abi, rules)) < 0 ||
	    (r = seccomp_ranges_build(c, rules, &numbers)) < 0 ||
	    (r = seccomp_emit_ranges(c, code, &numbers, &entry)) < 0)
		return r;
	if (seccomp_rules_bounded(c, rules))
		entry = seccomp_jump(code, BPF_JGT, numbers.end,
				     seccomp_return(SECCOMP_RET_ERRNO | ENOSYS), entry);
	*ret_entry = entry;
	return 0;
}

/* All calls that come as x86_64. */
static int emit_x86_64(struct seccomp_compiler *c, struct seccomp_code *code,
		       struct seccomp_rules *rules, const struct served *served,
		       struct seccomp_label *ret_entry)
{
	struct seccomp_label x32, entry;
	unsigned op = BPF_JSET;
	int r = 0;

	if (served->x32)
		r = emit_abi(c, code, rules, served->x32, &x32);
	else
		x32 = seccomp_jump(code, BPF_JEQ, UINT32_MAX,
				   seccomp_return(c->spec->default_action),
				   seccomp_return(SECCOMP_RET_KILL_THREAD));
	if (r < 0 || (r = emit_abi(c, code, rules, served->native, &entry)) < 0)
		return r;
	/* libseccomp takes any larger number for x32; runc's stub has sorted out bit 31 before */
	if (!served->x32 && !seccomp_rules_bounded(c, rules))
		op = BPF_JGE;
	*ret_entry = seccomp_jump(code, op, X32_BIT, x32, entry);
	return 0;
}

static int emit_program(struct seccomp_compiler *c, struct seccomp_code *code,
			const struct served *served)
{
	const uint32_t number = offsetof(struct seccomp_data, nr);
	struct seccomp_rules *rules = arena_alloc(c->arena, sizeof(*rules));
	struct seccomp_label next = seccomp_return(SECCOMP_RET_KILL_THREAD);
	struct seccomp_label entry;
	int r = 0;

	if (!rules)
		return err_set(c->err, RB_NO_MEMORY, ENOMEM, "seccomp filter");
	if (served->compat) {
		r = emit_abi(c, code, rules, served->compat, &entry);
		if (r < 0)
			return r;
		entry = seccomp_load(code, number, entry);
		next = seccomp_jump(code, BPF_JEQ, served->compat->audit, entry, next);
	}
	if (served->native->audit == AUDIT_ARCH_X86_64)
		r = emit_x86_64(c, code, rules, served, &entry);
	else
		r = emit_abi(c, code, rules, served->native, &entry);
	if (r < 0)
		return r;
	entry = seccomp_load(code, number, entry);
	next = seccomp_jump(code, BPF_JEQ, served->native->audit, entry, next);
	seccomp_begin(code, seccomp_load(code, offsetof(struct seccomp_data, arch), next));
	return 0;
}

int seccomp_compile(struct arena *arena, const struct spec_seccomp *seccomp, unsigned kernel_arch,
		    struct sock_filter **ret_program, size_t *ret_n, struct rb_err *err)
{
	struct seccomp_compiler c = {
		.arena = arena,
		.spec = seccomp,
		.big_endian = !(kernel_arch & __AUDIT_ARCH_LE),
		.err = err,
	};
	struct seccomp_code code = {0};
	struct served served = {0};
	struct sock_filter *program = arena_array(arena, LIMIT_BPF_INSNS, sizeof(*program));
	int r;

	if (!program)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "seccomp filter");
	code.end = program + LIMIT_BPF_INSNS;
	if ((r = served_select(&c, kernel_arch, &served)) < 0 || (r = seccomp_resolve(&c)) < 0 ||
	    (r = emit_program(&c, &code, &served)) < 0)
		return r;
	if (code.full) {
		err_set(err, RB_CONFIG_LIMIT, 0,
			"the seccomp profile needs more than the kernel's limit of %u instructions",
			LIMIT_BPF_INSNS);
		err_fix(err, "use fewer rules with conditions on arguments");
		err_origin(err, seccomp->origin);
		return -EINVAL;
	}
	*ret_program = code.end - code.n;
	*ret_n = code.n;
	return 0;
}
