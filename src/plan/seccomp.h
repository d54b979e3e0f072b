/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the parts of the seccomp compiler share. A profile goes through three forms:
 *
 *   seccomp_rules.c    names and conditions -> for each number of one ABI its verdict
 *   seccomp_ranges.c   verdicts             -> decisions over ranges of 32-bit words
 *   seccomp_code.c     decisions            -> instructions
 *
 * and seccomp_compile.c puts the ABIs together. Everything lives in the arena of the caller.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "plan/plan.h"
#include "plan/syscall_table.h"

enum {
	/* places of a table over all numbers; see seccomp_slot_number() */
	SECCOMP_SLOTS = SYSCALL_LIMIT + SYSCALL_ARM_COUNT,
	/* conditional rules of one ABI; each that matters costs an instruction or more */
	SECCOMP_MATCHES = LIMIT_BPF_INSNS,
};

/* One way into the kernel: an architecture as the profile names it. */
struct seccomp_abi {
	const char *name; /* SCMP_ARCH_... */
	uint32_t audit;   /* AUDIT_ARCH_* of its calls; x32 has that of x86_64 */
	uint32_t kernel;  /* AUDIT_ARCH_* of the native calls of the kernel that serves it */
	enum syscall_abi column;
	uint32_t number_bit; /* set in every number: x32 */
	bool wide;           /* comparisons see 64 bits of an argument, otherwise the low 32 */
	bool multiplexed;    /* has socketcall(2) and ipc(2) */
};

enum seccomp_op {
	SECCOMP_EQ, /* (argument & mask) == value */
	SECCOMP_GE,
	SECCOMP_GT,
};

/* A condition on one argument. Not wide: only the low words of argument, mask and value. */
struct seccomp_cond {
	uint8_t index;
	uint8_t op; /* enum seccomp_op */
	bool negated;
	bool wide;
	uint64_t mask; /* SECCOMP_EQ */
	uint64_t value;
};

/* All conditions hold: action. At most one condition for each argument, at least one in all. */
struct seccomp_match {
	struct seccomp_match *next;
	uint32_t action;
	uint32_t n;
	struct seccomp_cond cond[];
};

enum seccomp_verdict_kind { VERDICT_DEFAULT, VERDICT_ACTION, VERDICT_MATCHES };

/* What happens to one number: the default, one action, or the first of the matches that holds. */
struct seccomp_verdict {
	enum seccomp_verdict_kind kind;
	uint32_t action;
	struct seccomp_match *first, *last;
};

/* The rules of one ABI. */
struct seccomp_rules {
	const struct seccomp_abi *abi;
	uint32_t last; /* the largest number that the profile names */
	size_t n_matches;
	struct seccomp_verdict verdict[SECCOMP_SLOTS];
};

/* A name of the profile with its row of the table. */
struct seccomp_use {
	const struct syscall_row *row;
	const struct spec_seccomp_rule *rule;
};

struct seccomp_compiler {
	struct arena *arena;
	const struct spec_seccomp *spec;
	bool big_endian;
	bool enosys; /* numbers beyond the largest named one get ENOSYS */
	const struct seccomp_use *use;
	size_t n_use;
	struct rb_err *err;
};

/* A decision over the value of one word of struct seccomp_data. */
struct seccomp_word;

/* From `first` up to where the next range begins; word and matches are NULL for a plain action. */
struct seccomp_range {
	uint32_t first;
	uint32_t action;
	const struct seccomp_word *word;
	const struct seccomp_match *matches;
};

struct seccomp_word {
	uint32_t offset; /* in struct seccomp_data */
	uint32_t end;    /* the last value of the last range */
	size_t n;
	const struct seccomp_range *range; /* the first begins at 0 */
};

/* The number that a place of the table stands for. */
static inline uint32_t seccomp_slot_number(size_t slot)
{
	return (uint32_t)(slot < SYSCALL_LIMIT ? slot : SYSCALL_ARM_BASE + slot - SYSCALL_LIMIT);
}

/* The offset of the low or high word of an argument. */
static inline uint32_t seccomp_arg_offset(const struct seccomp_compiler *c, unsigned index,
					  bool high)
{
	return (uint32_t)(offsetof(struct seccomp_data, args) + 8 * index +
			  (high != c->big_endian ? 4 : 0));
}

/* Looks all names up: c->use. Errors: RB_SECCOMP, RB_NO_MEMORY. */
int seccomp_resolve(struct seccomp_compiler *c);

/* Fills *rules for one ABI. Errors: RB_CONFIG_LIMIT, RB_NO_MEMORY. */
int seccomp_rules_fill(struct seccomp_compiler *c, const struct seccomp_abi *abi,
		       struct seccomp_rules *rules);

/* The decision over the number of a call. Errors: RB_NO_MEMORY. */
int seccomp_ranges_build(struct seccomp_compiler *c, const struct seccomp_rules *rules,
			 struct seccomp_word *ret_word);

/* Whether calls beyond rules->last get ENOSYS. */
bool seccomp_rules_bounded(const struct seccomp_compiler *c, const struct seccomp_rules *rules);

/*
 * The assembler. It writes a program from its end to its beginning: every jump of classic BPF goes
 * forward, so every target is already in place and every distance known.
 */
struct seccomp_code {
	struct sock_filter
		*end; /* behind the last instruction; there is room for LIMIT_BPF_INSNS */
	size_t n;     /* instructions so far */
	bool full;    /* more than LIMIT_BPF_INSNS: the program is useless */
	struct {
		uint32_t action;
		size_t at;
	} last_return[16]; /* the latest return of an action, for sharing */
};

/* A place to jump to: return an action, or the instruction that is `at`-th from the end. */
struct seccomp_label {
	bool returns;
	uint32_t action;
	size_t at;
};

static inline struct seccomp_label seccomp_return(uint32_t action)
{
	return (struct seccomp_label){.returns = true, .action = action};
}

/* if (accumulator OP value) goto yes; else goto no; -- op is BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JSET */
struct seccomp_label seccomp_jump(struct seccomp_code *code, unsigned op, uint32_t value,
				  struct seccomp_label yes, struct seccomp_label no);

/* accumulator = the word of struct seccomp_data; goto next. A return needs no load. */
struct seccomp_label seccomp_load(struct seccomp_code *code, uint32_t offset,
				  struct seccomp_label next);

/* Makes sure that the program begins with `entry`. */
void seccomp_begin(struct seccomp_code *code, struct seccomp_label entry);

/* The decision over a word that is already in the accumulator. Errors: RB_NO_MEMORY. */
int seccomp_emit_ranges(const struct seccomp_compiler *c, struct seccomp_code *code,
			const struct seccomp_word *word, struct seccomp_label *ret_entry);
