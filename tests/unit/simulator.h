/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Classic BPF as seccomp(2) runs it, for programs of ours and of libseccomp. An instruction that
 * the kernel would not take, a read outside struct seccomp_data or an end without a return is an
 * assertion, so running a program also judges it.
 */
#include <assert.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "base/base.h"

struct program {
	struct sock_filter *insn;
	size_t n;
	bool big_endian; /* of the machine that would run it */
};

static inline uint32_t sim_load(const struct program *p, const struct seccomp_data *data,
				uint32_t offset)
{
	uint64_t arg;

	if (offset == offsetof(struct seccomp_data, nr))
		return (uint32_t)data->nr;
	if (offset == offsetof(struct seccomp_data, arch))
		return data->arch;
	assert(offset >= 16 && offset < sizeof(*data) && offset % 4 == 0);
	arg = data->args[(offset - 16) / 8];
	return (uint32_t)((offset % 8 == 0) == p->big_endian ? arg >> 32 : arg);
}

static inline bool sim_compare(const struct sock_filter *f, uint32_t acc)
{
	switch (BPF_OP(f->code)) {
	case BPF_JEQ: return acc == f->k;
	case BPF_JGT: return acc > f->k;
	case BPF_JGE: return acc >= f->k;
	case BPF_JSET: return acc & f->k;
	}
	assert(!"comparison");
	return false;
}

/* The action of a program; also proves that it ends and stays in bounds on this path. */
static inline uint32_t simulate(const struct program *p, const struct seccomp_data *data)
{
	uint32_t acc = 0;

	for (size_t pc = 0; pc < p->n;) {
		const struct sock_filter *f = &p->insn[pc++];

		switch (f->code) {
		case BPF_RET | BPF_K: return f->k;
		case BPF_LD | BPF_W | BPF_ABS: acc = sim_load(p, data, f->k); break;
		case BPF_ALU | BPF_AND | BPF_K: acc &= f->k; break;
		case BPF_JMP | BPF_JA: pc += f->k; break;
		default:
			assert(BPF_CLASS(f->code) == BPF_JMP && BPF_SRC(f->code) == BPF_K);
			pc += sim_compare(f, acc) ? f->jt : f->jf;
		}
	}
	assert(!"the program ends without a return");
	return 0;
}
