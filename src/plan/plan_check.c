/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules a plan must satisfy, whoever built it. Pure; run on every plan before it is carried
 * out. It restates the planner's order on purpose: a planner bug becomes an error message here
 * instead of a container without its masks.
 *
 *  - the blob is well formed: every offset, string and list lies inside it
 *  - the child waits for every guard (STAGE_READY) as its user, and ends with execve
 *  - ops stand in phases (the table below); no phase is entered twice
 *  - a new root has become "/" before descriptors are closed
 *  - a slot is filled before it is used, and an op names all the slots it works on
 *  - ops that protect are never skipped after an error and never optional
 *  - paths inside the root are absolute; ids are never 4294967295
 *  - without no_new_privs the filter is installed with CAP_SYS_ADMIN, which is dropped after it
 *  - the parent clones once; id maps and cgroup stand before the first release, the record and
 *    the monitor before that of STAGE_READY
 *  - a plan in two parts: the first ends with an empty root of its own, waiting, and has met the
 *    guard; the second opens no host path and has an end like any other
 *  - trees of the parent are made before the clone and each taken once
 *  - a network of slirp4netns is started for a namespace of its own, is ready and closed towards
 *    this host before the child is released, and somebody ends it; a lent one is entered; ports
 *    are published after that
 *  - nothing is mounted in the runtime's own mount namespace
 *  - a cgroup is found before it is limited, limited before it is joined, and always joined; its
 *    files are names, not paths
 */
#include <linux/filter.h>
#include "base/sys.h"
#include "plan/plan.h"

enum phase {
	PHASE_BEGIN,    /* born */
	PHASE_MOUNTS,   /* undumpable: may touch the image */
	PHASE_PROTECT,  /* masks and read-only paths: nothing is mounted after them */
	PHASE_ROOTED,   /* the container's root is "/": no host path any more */
	PHASE_CLOSED,   /* no descriptor of ours is left: may enter the working directory */
	PHASE_USER,     /* the container's user */
	PHASE_FILTERED, /* under the filter */
};

enum side { CHILD, PARENT };

struct op_rule {
	enum side side;
	enum phase first, last; /* where the op may stand (CHILD) */
	uint16_t may_ignore;    /* errnos it may have in on_error; 0: it protects */
	uint8_t slots;          /* how many it must name: slot, then slot2 */
	bool fills;             /* slot is an output */
	bool in_root;           /* str[0] is a path inside the root */
};

#define ANY_ERRNO 0xffff

static const struct op_rule op_rules[OP_KINDS] = {
	[OP_SYNC] = {CHILD, PHASE_BEGIN, PHASE_USER, 0, 0, false, false},
	[OP_SETNS] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 1, false, false},
	/* a time namespace before PHASE_MOUNTS: its offsets are written while dumpable */
	[OP_UNSHARE] = {CHILD, PHASE_BEGIN, PHASE_MOUNTS, 0, 0, false, false},
	[OP_AFFINITY] = {CHILD, PHASE_BEGIN, PHASE_ROOTED, 0, 0, false, false},
	[OP_ENTER_TIME] = {CHILD, PHASE_BEGIN, PHASE_BEGIN, 0, 1, false, false},
	[OP_TEXT_FILE] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 1, true, false},
	[OP_TAKE_TREE] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 1, true, false},
	[OP_SCHEDULER] = {CHILD, PHASE_MOUNTS, PHASE_ROOTED, 0, 0, false, false},
	[OP_IO_PRIORITY] = {CHILD, PHASE_MOUNTS, PHASE_ROOTED, 0, 0, false, false},
	[OP_MEMORY_POLICY] = {CHILD, PHASE_MOUNTS, PHASE_ROOTED, 0, 0, false, false},
	[OP_PERSONALITY] = {CHILD, PHASE_MOUNTS, PHASE_ROOTED, 0, 0, false, false},
	[OP_ROOT_IDS] = {CHILD, PHASE_BEGIN, PHASE_MOUNTS, ON_EINVAL, 0, false, false},
	[OP_UNDUMPABLE] = {CHILD, PHASE_BEGIN, PHASE_BEGIN, 0, 0, false, false},
	[OP_UMASK] = {CHILD, PHASE_MOUNTS, PHASE_USER, 0, 0, false, false},
	[OP_HOSTNAME] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 0, false, false},
	[OP_DOMAINNAME] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 0, false, false},
	[OP_LOOPBACK] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 0, false, false},
	[OP_KEYRING] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, ANY_ERRNO, 0, false, false},
	[OP_SETSID] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 0, false, false},
	[OP_PROPAGATION] = {CHILD, PHASE_MOUNTS, PHASE_ROOTED, 0, 0, false, false},
	[OP_ATTACH_ROOT] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 1, true, false},
	[OP_TAKE_MOUNT] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 1, true, false},
	[OP_STACK_ROOT] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 1, false, false},
	[OP_OPEN_ROOT] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 1, true, false},
	/* EACCES only where the parent has opened the tree too: op_check_tree() */
	[OP_OPEN_TREE] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, ON_EACCES, 1, true, false},
	[OP_OPEN_DEVICE] = {CHILD, PHASE_MOUNTS, PHASE_PROTECT, 0, 1, true, false},
	[OP_FSMOUNT] = {CHILD, PHASE_BEGIN, PHASE_PROTECT, ON_EPERM, 1, true, false},
	/* EPERM only where flags are cleared or about times: checked in op_check_errors() */
	[OP_MOUNT_SETATTR] = {CHILD, PHASE_MOUNTS, PHASE_PROTECT, ON_EPERM, 1, false, false},
	[OP_OPEN_IN_ROOT] = {CHILD, PHASE_MOUNTS, PHASE_PROTECT, ON_ENOENT, 1, true, true},
	[OP_MAKE_TARGET] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 2, true, true},
	[OP_MOVE_MOUNT] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 2, false, false},
	[OP_LABEL] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 1, false, false},
	[OP_COPY_UP] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 2, false, false},
	[OP_MKDIR_IN_ROOT] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, ANY_ERRNO, 0, false, true},
	[OP_SYMLINK_IN_ROOT] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, ON_EEXIST, 0, false, false},
	[OP_MKNOD_IN_ROOT] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 0, false, true},
	[OP_MASK] = {CHILD, PHASE_MOUNTS, PHASE_PROTECT, ON_ENOENT | ON_ENOTDIR, 0, false, true},
	[OP_READONLY] = {CHILD, PHASE_MOUNTS, PHASE_PROTECT, ON_ENOENT | ON_ENOTDIR, 0, false,
			 true},
	[OP_OPEN_MOUNT] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 1, true, false},
	[OP_AWAIT_PLAN] = {CHILD, PHASE_ROOTED, PHASE_ROOTED, 0, 0, false, false},
	[OP_PIVOT] = {CHILD, PHASE_MOUNTS, PHASE_PROTECT, 0, 1, false, false},
	[OP_MOVE_ROOT] = {CHILD, PHASE_MOUNTS, PHASE_PROTECT, 0, 1, false, false},
	[OP_CHROOT] = {CHILD, PHASE_MOUNTS, PHASE_PROTECT, 0, 1, false, false},
	[OP_DETACH_ROOT] = {CHILD, PHASE_MOUNTS, PHASE_PROTECT, 0, 2, false, false},
	[OP_WRITE_PROC] = {CHILD, PHASE_BEGIN, PHASE_ROOTED, ON_EACCES | ON_EPERM, 1, false, false},
	[OP_RLIMIT] = {CHILD, PHASE_MOUNTS, PHASE_ROOTED, 0, 0, false, false},
	[OP_OPEN_TTY] = {CHILD, PHASE_MOUNTS, PHASE_ROOTED, 0, 2, true, false},
	[OP_CONSOLE] = {CHILD, PHASE_MOUNTS, PHASE_MOUNTS, 0, 1, false, false},
	[OP_SEND_TTY] = {CHILD, PHASE_MOUNTS, PHASE_ROOTED, 0, 1, false, false},
	[OP_TTY_STDIO] = {CHILD, PHASE_MOUNTS, PHASE_ROOTED, 0, 1, false, false},
	[OP_CONTROLLING_TTY] = {CHILD, PHASE_MOUNTS, PHASE_ROOTED, 0, 0, false, false},
	[OP_STDIO_OWNER] = {CHILD, PHASE_MOUNTS, PHASE_ROOTED, 0, 0, false, false},
	[OP_HOOK] = {CHILD, PHASE_MOUNTS, PHASE_USER, 0, 1, false, false},
	[OP_HOME] = {CHILD, PHASE_MOUNTS, PHASE_ROOTED, 0, 0, false, false},
	[OP_BOUNDING] = {CHILD, PHASE_ROOTED, PHASE_CLOSED, 0, 0, false, false},
	[OP_IDS] = {CHILD, PHASE_CLOSED, PHASE_CLOSED, 0, 0, false, false},
	[OP_CAPS] = {CHILD, PHASE_USER, PHASE_FILTERED, 0, 0, false, false},
	[OP_AMBIENT] = {CHILD, PHASE_USER, PHASE_USER, 0, 0, false, false},
	[OP_NO_NEW_PRIVS] = {CHILD, PHASE_USER, PHASE_USER, 0, 0, false, false},
	[OP_DEATH_SIGNAL] = {CHILD, PHASE_USER, PHASE_USER, 0, 0, false, false},
	[OP_CLOSE_FDS] = {CHILD, PHASE_MOUNTS, PHASE_ROOTED, 0, 0, false, false},
	[OP_CHDIR] = {CHILD, PHASE_CLOSED, PHASE_USER, ON_EACCES, 1, true, false},
	[OP_FIND_PROGRAM] = {CHILD, PHASE_USER, PHASE_USER, 0, 0, false, false},
	[OP_WAIT_START] = {CHILD, PHASE_USER, PHASE_USER, 0, 1, false, false},
	[OP_RESET_SIGNALS] = {CHILD, PHASE_ROOTED, PHASE_USER, 0, 0, false, false},
	[OP_LANDLOCK] = {CHILD, PHASE_USER, PHASE_USER, 0, 0, false, false},
	[OP_REPORT_EXEC] = {CHILD, PHASE_USER, PHASE_USER, 0, 0, false, false},
	[OP_SECCOMP] = {CHILD, PHASE_USER, PHASE_USER, 0, 0, false, false},
	[OP_EXEC] = {CHILD, PHASE_USER, PHASE_FILTERED, 0, 0, false, false},
	[OP_OPEN_NS] = {PARENT, 0, 0, 0, 1, true, false},
	[OP_INIT_ROOT] = {PARENT, 0, 0, 0, 1, true, false},
	[OP_CLONE] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_IDMAP] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_HOST_TREE] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_NET_DEVICE] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_TAKE_NETWORK] = {PARENT, 0, 0, 0, 1, true, false},
	[OP_STEP_NETWORK] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_KEEP_NETWORK] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_AWAIT_NETWORK] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_PUBLISH_PORT] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_CLOSE_NETWORK] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_CGROUP] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_CGROUP_WRITE] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_CGROUP_DEVICES] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_CGROUP_JOIN] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_RESCTRL] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_RECORD] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_PUBLISH] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_MONITOR] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_SEND_PLAN] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_AWAIT] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_RELEASE] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_RUN_HOOK] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_TAKE_TTY] = {PARENT, 0, 0, 0, 1, true, false},
	[OP_AWAIT_EXEC] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_SEND_PIDFD] = {PARENT, 0, 0, 0, 0, false, false},
	[OP_PID_FILE] = {PARENT, 0, 0, 0, 0, false, false},
};

/* An op that ends a phase: what follows is in the next one. */
static enum phase phase_after(enum plan_op_kind kind, enum phase phase)
{
	static const struct {
		enum plan_op_kind kind;
		enum phase next;
	} steps[] = {
		{OP_UNDUMPABLE, PHASE_MOUNTS}, {OP_READONLY, PHASE_PROTECT},
		{OP_MASK, PHASE_PROTECT},      {OP_PIVOT, PHASE_ROOTED},
		{OP_MOVE_ROOT, PHASE_ROOTED},  {OP_CHROOT, PHASE_ROOTED},
		{OP_CLOSE_FDS, PHASE_CLOSED},  {OP_IDS, PHASE_USER},
		{OP_SECCOMP, PHASE_FILTERED},  {OP_DETACH_ROOT, PHASE_ROOTED},
	};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (steps[i].kind == kind)
			return steps[i].next;
	return phase;
}

/* Descriptors that exist before the first op: made by the parent, inherited over clone. */
static const enum plan_slot inherited[] = {SLOT_START, SLOT_STATE_CREATING, SLOT_STATE_CREATED,
					   SLOT_INIT};

enum network_progress { NETWORK_NONE, NETWORK_STARTED, NETWORK_READY, NETWORK_CLOSED };

enum cgroup_progress { CGROUP_UNKNOWN, CGROUP_BORN, CGROUP_FOUND, CGROUP_JOINED };

struct checker {
	const struct plan *plan;
	struct rb_err *err;
	const char *list; /* "child" or "parent" */
	size_t at;
	enum phase phase;
	bool filled[SLOT_COUNT];
	bool sys_admin; /* the last capset kept CAP_SYS_ADMIN */
	bool no_new_privs;
	bool root_attached;
	int stage;
	enum cgroup_progress cgroup;
	enum network_progress network;
	bool cloned;
	bool network_lent, network_entered, network_own, network_ours, monitored;
	size_t trees; /* of the parent that the child takes */
};

static int broken(struct checker *c, const char *rule)
{
	return err_set(c->err, RB_INTERNAL, 0, "plan check: %s op %zu: %s", c->list, c->at, rule);
}

static bool string_inside(const struct plan *plan, uint32_t offset)
{
	if (offset == 0)
		return true;
	return offset >= sizeof(*plan) && offset < plan->size &&
	       memchr((const char *)plan + offset, '\0', plan->size - offset);
}

static bool list_inside(const struct plan *plan, uint32_t offset, bool strings)
{
	const struct plan_list *list = plan_list_at(plan, offset);

	if (!list)
		return true;
	if (offset < sizeof(*plan) || offset % sizeof(uint32_t) ||
	    plan->size - sizeof(list->count) < offset ||
	    list->count > (plan->size - offset - sizeof(list->count)) / sizeof(list->item[0]))
		return false;
	for (uint32_t i = 0; strings && i < list->count; i++)
		if (!string_inside(plan, list->item[i]))
			return false;
	return true;
}

static bool op_list_is_numbers(unsigned kind)
{
	static const enum plan_op_kind kinds[] = {OP_IDS, OP_CGROUP_DEVICES, OP_AFFINITY,
						  OP_SCHEDULER, OP_MEMORY_POLICY};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i] == kind)
			return true;
	return false;
}

static int op_check_shape(struct checker *c, const struct plan_op *op, size_t left)
{
	if (op->kind >= OP_KINDS)
		return broken(c, "unknown kind");
	if (op->slot < SLOT_NONE || op->slot >= SLOT_COUNT || op->slot2 < SLOT_NONE ||
	    op->slot2 >= SLOT_COUNT)
		return broken(c, "no such slot");
	if ((op_rules[op->kind].slots > 0 && op->slot == SLOT_NONE) ||
	    (op_rules[op->kind].slots > 1 && op->slot2 == SLOT_NONE))
		return broken(c, "names no slot");
	if (op->skip >= left)
		return broken(c, "skips beyond the end");
	if (!string_inside(c->plan, op->str[0]) || !string_inside(c->plan, op->str[1]) ||
	    !string_inside(c->plan, op->origin) ||
	    !list_inside(c->plan, op->list, !op_list_is_numbers(op->kind)) ||
	    !list_inside(c->plan, op->list2, true))
		return broken(c, "a string lies outside the blob");
	return 0;
}

static int op_check_errors(struct checker *c, const struct plan_op *op)
{
	const struct op_rule *rule = &op_rules[op->kind];

	if (op->on_error & ~rule->may_ignore)
		return broken(c, "an error that must not be ignored");
	if (op->kind == OP_MOUNT_SETATTR && op->on_error && (op->arg[0] & ~PLAN_ATTR_TIMES))
		return broken(c, "setting a mount attribute must not be optional");
	if (op->kind == OP_MAKE_TARGET && op->arg[0] && op->arg[0] != S_IFDIR &&
	    op->arg[0] != S_IFREG)
		return broken(c, "a mount point that is neither file nor directory");
	if (rule->in_root && plan_str(c->plan, op->str[0])[0] != '/')
		return broken(c, "a path inside the root that is not absolute");
	return 0;
}

/*
 * What may be left out: the content of a copy whose source is missing, and what only a stand-in
 * needs. An op is optional itself only where something else takes its place.
 */
static int op_check_skip(struct checker *c, const struct plan_op *op)
{
	bool if_empty = (op->flags & OPF_IF_EMPTY) != 0;

	if (if_empty && op->kind != OP_OPEN_TREE && op->kind != OP_TAKE_TREE &&
	    op->kind != OP_CHDIR)
		return broken(c, "must not be optional");
	if (op->skip && !if_empty && !op->on_error)
		return broken(c, "skips without a reason");
	for (uint16_t i = 1; i <= op->skip; i++)
		if (op[i].kind != OP_COPY_UP && !(if_empty && op[i].kind == OP_MOUNT_SETATTR))
			return broken(c, "skips an op that protects");
	return 0;
}

static int op_check_slots(struct checker *c, const struct plan_op *op)
{
	bool optional = (op->flags & OPF_IF_EMPTY) || op->on_error;
	bool fills = op_rules[op->kind].fills;

	if ((op_rules[op->kind].in_root || op->kind == OP_SYMLINK_IN_ROOT ||
	     op->kind == OP_CONSOLE) &&
	    !c->filled[SLOT_ROOT])
		return broken(c, "works below a root that is not open");
	if (op->kind == OP_MASK && (!c->filled[SLOT_NULL] || !c->filled[SLOT_EMPTY]))
		return broken(c, "has nothing to mask with");
	if (!fills && op->slot != SLOT_NONE && !c->filled[op->slot])
		return broken(c, "uses an empty slot");
	if (op->slot2 != SLOT_NONE && !c->filled[op->slot2] && op->kind != OP_OPEN_TTY)
		return broken(c, "uses an empty second slot");
	if (fills && op->slot != SLOT_NONE &&
	    !((op->kind == OP_FSMOUNT || op->kind == OP_OPEN_TREE) && optional &&
	      !(op->flags & OPF_IF_EMPTY)))
		c->filled[op->slot] = true;
	if (op->kind == OP_OPEN_TTY)
		c->filled[op->slot2] = true;
	if (op->kind == OP_MOVE_MOUNT)
		c->filled[op->slot] = c->filled[op->slot2] = false;
	return 0;
}

static int op_check_hook(struct checker *c, const struct plan_op *op)
{
	const struct plan_list *args = plan_list_at(c->plan, op->list);
	const struct plan_list *env = plan_list_at(c->plan, op->list2);

	if (op->kind != OP_HOOK && op->kind != OP_RUN_HOOK)
		return 0;
	if ((args && args->count > LIMIT_HOOK_STRINGS) || (env && env->count > LIMIT_HOOK_STRINGS))
		return broken(c, "a hook with too many strings");
	return 0;
}

static int op_check_identity(struct checker *c, const struct plan_op *op)
{
	const struct plan_list *groups = plan_list_at(c->plan, op->list);

	if (op->kind == OP_IDS || op->kind == OP_ROOT_IDS) {
		if (op->arg[0] >= UINT32_MAX || op->arg[1] >= UINT32_MAX)
			return broken(c, "id 4294967295");
		for (uint32_t i = 0; groups && i < groups->count; i++)
			if (groups->item[i] == UINT32_MAX)
				return broken(c, "group 4294967295");
	}
	if (op->kind == OP_CAPS) {
		if (op->arg[0] & ~op->arg[1])
			return broken(c, "effective capabilities beyond the permitted ones");
		c->sys_admin = (op->arg[0] >> 21 & 1) != 0;
	}
	if (op->kind == OP_NO_NEW_PRIVS)
		c->no_new_privs = true;
	if (op->kind == OP_LANDLOCK && !c->no_new_privs)
		return broken(c, "landlock without no_new_privs");
	if (op->kind == OP_SECCOMP && !c->no_new_privs && !c->sys_admin)
		return broken(c, "a filter needs no_new_privs or CAP_SYS_ADMIN");
	return 0;
}

static int op_check_phase(struct checker *c, const struct plan_op *op)
{
	const struct op_rule *rule = &op_rules[op->kind];
	enum phase next;

	if (c->phase < rule->first || c->phase > rule->last)
		return broken(c, "stands in the wrong phase");
	if (op->kind == OP_SYNC) {
		if (op->stage >= STAGE_COUNT || (int)op->stage <= c->stage)
			return broken(c, "stages out of order");
		c->stage = op->stage;
		if ((op->stage == STAGE_READY) != (c->phase == PHASE_USER))
			return broken(c, "is ready exactly once it is the container's user");
	}
	if (op->kind == OP_REPORT_EXEC && c->stage != STAGE_READY)
		return broken(c, "reports execve without having waited for the guards");
	if (op->kind == OP_ATTACH_ROOT || op->kind == OP_STACK_ROOT)
		c->root_attached = true;
	if (op->kind == OP_CLOSE_FDS && c->root_attached && c->phase != PHASE_ROOTED)
		return broken(c, "the host's root is still \"/\"");
	next = phase_after(op->kind, c->phase);
	if (next < c->phase)
		return broken(c, "goes back a phase");
	c->phase = next;
	return 0;
}

/* The second part finds an empty root where the host's was. */
static int op_check_part(struct checker *c, const struct plan_op *op)
{
	static const enum plan_op_kind of_the_host[] = {
		OP_ATTACH_ROOT, OP_OPEN_TREE, OP_TAKE_TREE, OP_OPEN_DEVICE,
		OP_OPEN_ROOT,   OP_SETNS,     OP_MOVE_ROOT, OP_DETACH_ROOT,
	};

	if (op->kind == OP_OPEN_MOUNT &&
	    (c->plan->part != PLAN_SECOND || plan_str(c->plan, op->str[0])[0] != '/'))
		return broken(c, "opens a mount that no first part has made");
	for (size_t i = 0; i < ARRAY_LEN(of_the_host); i++)
		if (c->plan->part == PLAN_SECOND && of_the_host[i] == op->kind)
			return broken(c, "looks for the host in an empty root");
	if ((op->kind == OP_CLOSE_FDS || op->kind == OP_CHROOT) && c->plan->part == PLAN_SECOND &&
	    !c->root_attached)
		return broken(c, "the first part's root is still \"/\"");
	if ((op->kind == OP_CHROOT || op->kind == OP_DETACH_ROOT) && c->plan->part == PLAN_FIRST)
		return broken(c, "the host's root is still below");
	return 0;
}

/* What could not be opened must come from the parent, at once. */
static int op_check_tree(struct checker *c, const struct plan_op *op)
{
	if (op->kind == OP_OPEN_TREE && op->on_error &&
	    (op->skip || op[1].kind != OP_TAKE_TREE || op[1].slot != op->slot))
		return broken(c, "a source that nobody else opens must not be optional");
	return 0;
}

static int check_child(struct checker *c)
{
	const struct plan_op *ops = plan_child_ops(c->plan);
	size_t n = c->plan->n_child;
	enum plan_op_kind end = c->plan->part == PLAN_FIRST ? OP_AWAIT_PLAN : OP_EXEC;
	size_t filters = 0;
	int r;

	c->list = "child";
	if (c->plan->part == PLAN_SECOND) {
		c->phase = PHASE_MOUNTS;
		c->stage = STAGE_READY; /* check_parent_part() */
	}
	for (c->at = 0; c->at < n; c->at++) {
		const struct plan_op *op = &ops[c->at];

		if ((r = op_check_shape(c, op, n - c->at)) < 0)
			return r;
		if (op_rules[op->kind].side != CHILD)
			return broken(c, "belongs to the parent");
		if ((r = op_check_errors(c, op)) < 0 || (r = op_check_skip(c, op)) < 0 ||
		    (r = op_check_slots(c, op)) < 0 || (r = op_check_tree(c, op)) < 0 ||
		    (r = op_check_hook(c, op)) < 0 || (r = op_check_identity(c, op)) < 0 ||
		    (r = op_check_part(c, op)) < 0 || (r = op_check_phase(c, op)) < 0)
			return r;
		if ((op->kind == end) != (c->at == n - 1) ||
		    (op->kind != end && (op->kind == OP_EXEC || op->kind == OP_AWAIT_PLAN)))
			return broken(c, "execve is the last op and the only one");
		filters += op->kind == OP_SECCOMP;
		c->network_entered |= op->kind == OP_SETNS && op->slot == SLOT_NET_NS;
		if (op->kind == OP_TAKE_TREE && op->arg[0] != c->trees++)
			return broken(c, "trees of the parent are taken in order");
	}
	if (n == 0)
		return broken(c, "execve is the last op and the only one");
	if (filters != (c->plan->bpf != 0))
		return broken(c, "the filter is installed exactly once");
	return 0;
}

/* The cgroup's ops come in one order; an unlimited first instruction is a hole. */
static int op_check_cgroup(struct checker *c, const struct plan_op *op)
{
	const struct plan_list *program = plan_list_at(c->plan, op->list);
	const char *file = plan_str(c->plan, op->str[0]);

	switch (op->kind) {
	case OP_CLONE:
		if (c->cgroup == CGROUP_BORN)
			c->cgroup = CGROUP_JOINED;
		return 0;
	case OP_CGROUP:
		if (op->arg[1] == CGROUP_HANDED && c->cloned)
			return broken(c, "too late to be born into a cgroup");
		if (c->cgroup != CGROUP_UNKNOWN || !file[0])
			return broken(c, "one cgroup, with a name");
		c->cgroup = op->arg[1] == CGROUP_HANDED ? CGROUP_BORN : CGROUP_FOUND;
		return 0;
	case OP_CGROUP_WRITE:
		if (!file[0] || file[0] == '.' || strchr(file, '/'))
			return broken(c, "a cgroup file that is not a name");
		return c->cgroup == CGROUP_FOUND ? 0 : broken(c, "a limit outside the cgroup");
	case OP_CGROUP_DEVICES:
		if (!program || program->count == 0 || program->count % 2)
			return broken(c, "a device program of no whole instructions");
		return c->cgroup == CGROUP_FOUND ? 0 : broken(c, "a limit outside the cgroup");
	case OP_CGROUP_JOIN:
		if (c->cgroup != CGROUP_FOUND)
			return broken(c, "joins no cgroup");
		c->cgroup = CGROUP_JOINED;
		return 0;
	default: return 0;
	}
}

/* Its groups are names below one place, so nothing else can be made, written or removed. */
static int op_check_resctrl(struct checker *c, const struct plan_op *op)
{
	const struct plan_list *groups = plan_list_at(c->plan, op->list);

	if (op->kind != OP_RESCTRL)
		return 0;
	if (plan_str(c->plan, op->str[0])[0] != '/' || !groups || groups->count < 1 ||
	    groups->count > 2)
		return broken(c, "a resctrl group without a place or a name");
	for (uint32_t i = 0; i < groups->count; i++) {
		const char *name = plan_str(c->plan, groups->item[i]);

		if (!name[0] || str_eq(name, ".") || str_eq(name, "..") ||
		    (strchr(name, '/') &&
		     (i > 0 || !str_eq(name, "/") || op->arg[0] & RESCTRL_OWN)))
			return broken(c, "a resctrl group that is not a name");
	}
	return 0;
}

static bool op_is_early_guard(const struct plan_op *op)
{
	return op->kind == OP_NET_DEVICE || op->kind == OP_IDMAP || op->kind == OP_CGROUP ||
	       op->kind == OP_CGROUP_WRITE || op->kind == OP_CGROUP_DEVICES ||
	       op->kind == OP_CGROUP_JOIN || op->kind == OP_RESCTRL;
}

/* A first part meets the guard and waits; a second one is sent before anything is awaited. */
static int check_parent_part(struct checker *c)
{
	const struct plan_op *ops = plan_parent_ops(c->plan);
	size_t n = c->plan->n_parent;
	size_t sent = 0;
	bool guarded = false;

	if (c->plan->part == PLAN_FIRST)
		return n == 2 && ops[0].kind == OP_CLONE && ops[1].kind == OP_MONITOR
			       ? 0
			       : broken(c, "a first part is cloned and guarded, no more");
	for (c->at = 0; c->at < n; c->at++) {
		guarded |= ops[c->at].kind == OP_MONITOR;
		sent += ops[c->at].kind == OP_SEND_PLAN && guarded;
		if (c->plan->part == PLAN_SECOND &&
		    (op_is_early_guard(&ops[c->at]) || ops[c->at].kind == OP_RUN_HOOK ||
		     (!sent && ops[c->at].kind != OP_MONITOR)))
			return broken(c, "too late for a first part that waits already");
	}
	if (sent != (c->plan->part == PLAN_SECOND))
		return broken(c, "a second part is sent exactly once");
	return 0;
}

/* Both ports are numbers, and slirp4netns can be asked at a socket of a plain name. */
static bool port_is_sound(const struct checker *c, const struct plan_op *op)
{
	const char *socket = plan_str(c->plan, op->str[0]);
	uint32_t parent = (uint32_t)op->arg[0];
	uint32_t child = (uint32_t)op->arg[1];

	return socket[0] && !strchr(socket, '/') && parent >= 1 && parent <= UINT16_MAX &&
	       child >= 1 && child <= UINT16_MAX && op->arg[2] <= 1;
}

/* A first instruction in a network that is not there, or is open, is a hole; one left over, too. */
static int op_check_network(struct checker *c, const struct plan_op *op)
{
	static const struct {
		enum plan_op_kind kind;
		enum network_progress from;
	} order[] = {{OP_STEP_NETWORK, NETWORK_NONE},
		     {OP_KEEP_NETWORK, NETWORK_NONE},
		     {OP_AWAIT_NETWORK, NETWORK_STARTED},
		     {OP_CLOSE_NETWORK, NETWORK_READY}};

	if (op->kind == OP_TAKE_NETWORK) {
		if (c->network_lent || c->network_own || op->slot != SLOT_NET_NS)
			return broken(c, "a lent network comes first, and alone");
		c->network_lent = true;
	}
	if (op->kind == OP_CLONE && op->arg[2] && (op->arg[0] | op->arg[1]) & CLONE_NEWPID)
		return broken(c, "a reaper beside a pid namespace");
	c->cloned |= op->kind == OP_CLONE;
	if (op->kind == OP_CLONE)
		c->network_own = (op->arg[0] & CLONE_NEWNET) != 0;
	c->monitored |= op->kind == OP_MONITOR;
	if (op->kind == OP_RELEASE && op->stage == STAGE_READY &&
	    (c->network == NETWORK_STARTED || c->network == NETWORK_READY))
		return broken(c, "the child is released into a network that is not closed");
	if (op->kind == OP_PUBLISH_PORT && (c->network != NETWORK_CLOSED || !port_is_sound(c, op)))
		return broken(c, "a port of a network that is not closed, or of no number");
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		if (order[i].kind != op->kind)
			continue;
		if (c->network != order[i].from || !c->network_own || c->network_lent)
			return broken(c, "a network out of order, or of somebody else");
		c->network = op->kind == OP_AWAIT_NETWORK   ? NETWORK_READY
			     : op->kind == OP_CLOSE_NETWORK ? NETWORK_CLOSED
							    : NETWORK_STARTED;
		c->network_ours |= op->kind == OP_STEP_NETWORK;
	}
	return 0;
}

static int check_networks(struct checker *c)
{
	if (c->network_lent != c->network_entered || (c->network_lent && c->network_own))
		return broken(c, "a lent network that nobody enters");
	if (c->network != NETWORK_NONE && c->network != NETWORK_CLOSED)
		return broken(c, "a network that is never closed");
	if (c->network_ours && !c->monitored)
		return broken(c, "a network without a monitor that ends its step");
	return 0;
}

static int check_parent(struct checker *c)
{
	const struct plan_op *ops = plan_parent_ops(c->plan);
	size_t n = c->plan->n_parent;
	size_t clones = 0;
	size_t trees = 0;
	bool released = false;
	bool ready = false;
	bool set_up = false;
	bool unpublished = false;
	int r;

	c->list = "parent";
	for (c->at = 0; c->at < n; c->at++) {
		const struct plan_op *op = &ops[c->at];

		if ((r = op_check_shape(c, op, n - c->at)) < 0)
			return r;
		if (op_rules[op->kind].side != PARENT)
			return broken(c, "belongs to the child");
		if ((r = op_check_errors(c, op)) < 0 || (r = op_check_hook(c, op)) < 0 ||
		    (r = op_check_cgroup(c, op)) < 0 || (r = op_check_resctrl(c, op)) < 0 ||
		    (r = op_check_network(c, op)) < 0)
			return r;
		if (op->stage >= STAGE_COUNT)
			return broken(c, "no such stage");
		if (op->kind == OP_CLONE)
			clones++;
		if (op->kind == OP_CLONE && clones == 1 && c->root_attached &&
		    !((op->arg[0] | op->arg[1]) & CLONE_NEWNS))
			return broken(c, "the mounts would be made in the runtime's namespace");
		/* the child inherits it, and can find it: number N is the Nth */
		if (op->kind == OP_HOST_TREE &&
		    (clones || op->arg[0] != trees++ || trees > LIMIT_HOST_TREES))
			return broken(c, "a tree that the child cannot inherit");
		if ((released && op_is_early_guard(op)) ||
		    (ready && (op->kind == OP_RECORD || op->kind == OP_MONITOR)))
			return broken(c, "a guard after the child was released");
		set_up |= op->kind == OP_AWAIT && op->stage == STAGE_READY;
		if (op->kind == OP_PUBLISH && (!set_up || ready))
			return broken(c, "enterable before it is set up, or after it has begun");
		unpublished |= op->kind == OP_RECORD;
		unpublished &= op->kind != OP_PUBLISH;
		released |= op->kind == OP_RELEASE;
		ready |= op->kind == OP_RELEASE && op->stage == STAGE_READY;
	}
	if (trees != c->trees)
		return broken(c, "a tree that the child does not take, or takes twice");
	if ((r = check_networks(c)) < 0)
		return r;
	if (c->cgroup == CGROUP_FOUND || c->cgroup == CGROUP_BORN)
		return broken(c, "a cgroup that nobody joins");
	if (unpublished)
		return broken(c, "a record that nobody publishes");
	if ((r = check_parent_part(c)) < 0)
		return r;
	if (clones != (c->plan->part != PLAN_SECOND) || ready != (c->plan->part == PLAN_WHOLE))
		return broken(c, "the parent clones exactly once and releases the child");
	return 0;
}

int plan_check(const struct plan *plan, struct rb_err *err)
{
	struct checker c = {.plan = plan, .err = err, .list = "blob", .stage = -1};
	uint64_t child_end;
	uint64_t parent_end;
	int r;

	if (plan->magic != PLAN_MAGIC || plan->version != PLAN_VERSION || plan->part > PLAN_SECOND)
		return broken(&c, "not a plan of this version");
	child_end = plan->child + (uint64_t)plan->n_child * sizeof(struct plan_op);
	parent_end = plan->parent + (uint64_t)plan->n_parent * sizeof(struct plan_op);
	if (plan->child % 8 || plan->parent % 8 || plan->bpf % 8 || child_end > plan->size ||
	    parent_end > plan->size || plan->n_bpf > LIMIT_BPF_INSNS ||
	    plan->bpf + (uint64_t)plan->n_bpf * sizeof(struct sock_filter) > plan->size)
		return broken(&c, "a list lies outside the blob");
	for (size_t i = 0; i < ARRAY_LEN(inherited); i++)
		c.filled[inherited[i]] = true;
	for (size_t i = 0; i < plan->n_parent; i++) {
		const struct plan_op *op = &plan_parent_ops(plan)[i];

		c.filled[SLOT_NET_NS] |= op->kind == OP_TAKE_NETWORK;
		c.filled[SLOT_ROOT] |= op->kind == OP_INIT_ROOT;
		c.filled[SLOT_OUTER_MOUNTS] |= op->kind == OP_OPEN_NS &&
					       op->slot == SLOT_OUTER_MOUNTS;
	}
	if ((r = check_child(&c)) < 0)
		return r;
	return check_parent(&c);
}
