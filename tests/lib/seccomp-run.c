/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a command as if on another kernel: chosen system calls answer with an errno.
 *
 *	seccomp-run CALL=ERRNO[,CALL=ERRNO...] -- COMMAND ARGUMENT...
 *
 * The filter stays on everything below. With CAP_SYS_ADMIN in the user namespace setuid programs
 * keep working; without it no_new_privs is set: seccomp(2).
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "plan/syscall_table.h"

enum { CALLS_MAX = 32 };

#if defined(__x86_64__)
#define NATIVE SYSCALL_X86_64
#define AUDIT  AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE SYSCALL_AARCH64
#define AUDIT  AUDIT_ARCH_AARCH64
#else
#error "add this architecture's column of the table"
#endif

static int errno_by_name(const char *name)
{
	for (int e = 1; e < 200; e++) {
		const char *known = strerrorname_np(e);

		if (known && str_eq(known, name))
			return e;
	}
	return 0;
}

/* "CALL=ERRNO" as two instructions. */
static bool add_rule(char *text, struct sock_filter *out)
{
	char *errno_name = strchr(text, '=');
	const struct syscall_row *row;
	int e;

	if (!errno_name)
		return false;
	*errno_name++ = '\0';
	row = syscall_find(text);
	e = errno_by_name(errno_name);
	if (!row || row->number[NATIVE] < 0 || !e)
		return false;
	out[0] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
					      (unsigned)row->number[NATIVE], 0, 1);
	out[1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)e);
	return true;
}

int main(int argc, char **argv)
{
	struct sock_filter code[2 * CALLS_MAX + 5] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog program = {.len = 4, .filter = code};
	char *rest = argc > 1 ? argv[1] : NULL;
	int n = 0;

	if (argc < 4 || !str_eq(argv[2], "--")) {
		fprintf(stderr, "usage: seccomp-run CALL=ERRNO[,...] -- COMMAND...\n");
		return 2;
	}
	for (char *rule; (rule = strsep(&rest, ","));) {
		if (++n > CALLS_MAX || !add_rule(rule, code + program.len)) {
			fprintf(stderr, "seccomp-run: cannot use '%s'\n", rule);
			return 2;
		}
		program.len = (unsigned short)(program.len + 2);
	}
	code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 &&
	    (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	     syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)) {
		perror("seccomp-run: seccomp");
		return 2;
	}
	execv(argv[3], argv + 3);
	perror(argv[3]);
	return 127;
}
