/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files the program may touch: landlock(7). Runs in the child as the container's user, with
 * the container's root as "/", after no_new_privs. The paths are the step's own; they are opened
 * without reading or writing anything.
 */
#include "exec/ops.h"

/* linux/landlock.h: that of the oldest build host lacks some. */
enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_DIR = 1 << 4, /* to MAKE_SYM, the twelfth: what changes directories */
	FS_MAKE_SYM = 1 << 12,
	FS_REFER = 1 << 13,    /* since ABI 2; before, nothing may be moved to another directory */
	FS_TRUNCATE = 1 << 14, /* since ABI 3; before, truncate(2) is not restricted */
};

enum { RULESET_VERSION = 1 << 0, RULE_PATH_BENEATH = 1 };

struct ruleset_attr {
	uint64_t handled_access_fs;
};

struct path_beneath_attr {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed));

/* What a kind of access means to this kernel; for a file only that part which a file can have. */
static uint64_t access_rights(unsigned access, int abi, bool directory)
{
	uint64_t write = FS_WRITE_FILE | (abi >= 3 ? FS_TRUNCATE : 0);
	uint64_t change = (FS_MAKE_SYM << 1) - FS_REMOVE_DIR;

	change |= abi >= 2 ? FS_REFER : 0;
	switch (access) {
	case LANDLOCK_READ: return FS_READ_FILE | (directory ? FS_READ_DIR : 0);
	case LANDLOCK_WRITE: return write | (directory ? change : 0);
	default: return FS_EXECUTE;
	}
}

static int ruleset_add(int ruleset, const char *rule, int abi)
{
	struct path_beneath_attr attr = {.parent_fd = -1};
	struct statx st;
	int r = SYS_CALL(SYS_openat, AT_FDCWD, rule + 2, O_PATH | O_CLOEXEC);

	if (r < 0)
		return r;
	attr.parent_fd = r;
	r = fd_statx(attr.parent_fd, &st);
	if (r == 0) {
		attr.allowed_access = access_rights((unsigned)(rule[0] - '0'), abi,
						    S_ISDIR(st.stx_mode));
		r = SYS_CALL(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &attr, 0);
	}
	sys_close(attr.parent_fd);
	return r;
}

int op_landlock(struct exec_child *child, const struct plan_op *op)
{
	const struct plan_list *rules = plan_list_at(child->plan, op->list);
	struct ruleset_attr attr = {0};
	int abi = SYS_CALL(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);
	int ruleset;
	int r = 0;

	if (abi < 0)
		return abi;
	for (unsigned i = 0; i < LANDLOCK_ACCESSES; i++)
		if (op->arg[0] & 1u << i)
			attr.handled_access_fs |= access_rights(i, abi, true);
	ruleset = SYS_CALL(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return ruleset;
	for (uint32_t i = 0; rules && i < rules->count; i++) {
		r = ruleset_add(ruleset, plan_str(child->plan, rules->item[i]), abi);
		if (r < 0)
			exec_fail(child, op, -r, (int)i + 1);
	}
	r = SYS_CALL(SYS_landlock_restrict_self, ruleset, 0);
	sys_close(ruleset);
	return r;
}
