/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Names and numbers of the system calls of every kernel ABI that a filter of ours can meet. Const
 * data without relocations; scripts/update-syscall-table writes the rows.
 */
#include "base/base.h"

/* The columns of a row. x32 numbers are without bit 30, which marks them in a register. */
enum syscall_abi {
	SYSCALL_X86_64,
	SYSCALL_X86,
	SYSCALL_X32,
	SYSCALL_AARCH64,
	SYSCALL_ARM,
	SYSCALL_RISCV64,
	SYSCALL_PPC64LE,
	SYSCALL_S390X,
	SYSCALL_S390,
	SYSCALL_ABIS,
};

/*
 * Numbers are below SYSCALL_LIMIT, but for the calls that only arm has: those are
 * SYSCALL_ARM_BASE + 1 to SYSCALL_ARM_BASE + SYSCALL_ARM_COUNT - 1 (asm/unistd.h of arm).
 */
#define SYSCALL_LIMIT     1024
#define SYSCALL_ARM_BASE  0x0f0000
#define SYSCALL_ARM_COUNT 16

struct syscall_row {
	char name[32];
	int32_t number[SYSCALL_ABIS]; /* -1: the ABI does not have the call */
	uint8_t part; /* 100 + n: call n of socketcall(2); 200 + n: call n of ipc(2); 0: neither */
};

/* In alphabetical order, as strcmp(3) sees it. */
extern const struct syscall_row syscall_table[];
extern const size_t syscall_table_rows;

/* The row of a name, or NULL: no kernel that this program knows has such a call. */
const struct syscall_row *syscall_find(const char *name);
