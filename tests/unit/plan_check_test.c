/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_check() refuses a plan for each rule that can be broken. A good plan is copied into memory
 * of exactly its size (a sanitizer then sees a read beyond it), one thing is changed, and the
 * error must name the rule.
 */
#include <linux/filter.h>
#include "planning.h"

/* A writable copy of a good plan. */
struct broken {
	struct plan *plan;
	struct plan_op *child, *parent;
};

static void broken_free(struct broken *b)
{
	free(b->plan);
}
#define CLEANUP_BROKEN CLEANUP(broken_free)

/* no_new_privs: with it, or with CAP_SYS_ADMIN kept until after the filter */
static struct broken copy_plan(bool no_new_privs)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct plan_options options = run_options;
	const struct plan *plan;
	struct broken b = {0};

	options.console = CONSOLE_OWN;
	plan = make_plan(&arena,
			 rich_config(&arena,
				     no_new_privs ? ",\"terminal\":true,\"noNewPrivileges\":true"
						  : ",\"terminal\":true",
				     ""),
			 host_rootless, &options);
	if (!plan)
		exit(2);
	b.plan = malloc(plan->size);
	memcpy(b.plan, plan, plan->size);
	b.child = (struct plan_op *)((char *)b.plan + b.plan->child);
	b.parent = (struct plan_op *)((char *)b.plan + b.plan->parent);
	return b;
}

static struct plan_op *find(struct broken *b, enum plan_op_kind kind)
{
	int at = child_first(b->plan, kind);

	if (at >= 0)
		return &b->child[at];
	at = parent_first(b->plan, kind);
	CHECK(at >= 0);
	return &b->parent[at < 0 ? 0 : at];
}

/* Puts the op of one kind in front of the first of another; those between move up. */
static void move_before(struct broken *b, enum plan_op_kind what, enum plan_op_kind before)
{
	struct plan_op *from = find(b, what);
	struct plan_op *to = find(b, before);
	struct plan_op moved = *from;

	if (from > to)
		memmove(to + 1, to, (size_t)(from - to) * sizeof(*to));
	else
		memmove(from, from + 1, (size_t)(--to - from) * sizeof(*to));
	*to = moved;
}

static void break_magic(struct broken *b)
{
	b->plan->magic++;
}
static void break_version(struct broken *b)
{
	b->plan->version++;
}
static void break_child_count(struct broken *b)
{
	b->plan->n_child = UINT32_MAX;
}
static void break_parent_count(struct broken *b)
{
	b->plan->n_parent = UINT32_MAX;
}
static void break_child_place(struct broken *b)
{
	b->plan->child = b->plan->size - 8;
}
static void break_child_alignment(struct broken *b)
{
	b->plan->child += 4;
}
static void break_filter_count(struct broken *b)
{
	b->plan->n_bpf = LIMIT_BPF_INSNS + 1;
}
static void break_filter_place(struct broken *b)
{
	b->plan->bpf = b->plan->size;
}
static void break_kind(struct broken *b)
{
	find(b, OP_UMASK)->kind = OP_KINDS;
}
static void break_slot(struct broken *b)
{
	find(b, OP_OPEN_TREE)->slot = SLOT_COUNT;
}
static void break_negative_slot(struct broken *b)
{
	find(b, OP_MOVE_MOUNT)->slot2 = -2;
}
static void break_no_slot(struct broken *b)
{
	find(b, OP_MOVE_MOUNT)->slot = SLOT_NONE;
}
static void break_no_slot2(struct broken *b)
{
	find(b, OP_OPEN_TTY)->slot2 = SLOT_NONE;
}
static void break_skip(struct broken *b)
{
	find(b, OP_KEYRING)->skip = UINT16_MAX;
}
static void break_string(struct broken *b)
{
	find(b, OP_HOSTNAME)->str[0] = b->plan->size;
}
static void break_string_in_header(struct broken *b)
{
	find(b, OP_HOSTNAME)->str[0] = 8;
}
static void break_origin(struct broken *b)
{
	find(b, OP_UMASK)->origin = UINT32_MAX;
}
static void break_list(struct broken *b)
{
	find(b, OP_EXEC)->list = b->plan->size - 2;
}
static void break_list_alignment(struct broken *b)
{
	find(b, OP_EXEC)->list++;
}

static void break_list_count(struct broken *b)
{
	*(uint32_t *)((char *)b->plan + find(b, OP_EXEC)->list) = UINT32_MAX;
}

static void break_list_item(struct broken *b)
{
	((struct plan_list *)((char *)b->plan + find(b, OP_EXEC)->list))->item[0] = b->plan->size;
}

static void break_string_without_end(struct broken *b)
{
	/* whatever ends the blob holds no zero byte any more */
	memset((char *)b->plan + b->plan->size - 16, 'x', 16);
	find(b, OP_HOSTNAME)->str[0] = b->plan->size - 8;
}

static void break_ids_error(struct broken *b)
{
	find(b, OP_IDS)->on_error = ON_EPERM;
}
static void break_mask_error(struct broken *b)
{
	find(b, OP_MASK)->on_error = ON_EPERM;
}
static void break_filter_error(struct broken *b)
{
	find(b, OP_SECCOMP)->on_error = ON_EINVAL;
}
static void break_attribute_error(struct broken *b)
{
	find(b, OP_MOUNT_SETATTR)->on_error = ON_EPERM;
}

static void break_optional_filter(struct broken *b)
{
	find(b, OP_SECCOMP)->flags |= OPF_IF_EMPTY;
}

static void break_optional_pivot(struct broken *b)
{
	find(b, OP_PIVOT)->flags |= OPF_IF_EMPTY;
}
static void break_skip_of_masks(struct broken *b)
{
	struct plan_op *op = find(b, OP_KEYRING);

	op->skip = (uint16_t)(find(b, OP_MASK) - op);
}

static void break_skip_by_error(struct broken *b)
{
	/* the copy stays out when the source is missing, but not the mount */
	(find(b, OP_COPY_UP) - 1)->skip = 3;
}

static void break_skip_without_reason(struct broken *b)
{
	find(b, OP_UMASK)->skip = 1;
}

static void break_path(struct broken *b)
{
	*((char *)b->plan + find(b, OP_MASK)->str[0]) = 'x';
}

static void break_empty_slot(struct broken *b)
{
	find(b, OP_MOVE_MOUNT)->slot = SLOT_TTY;
}
static void break_empty_slot2(struct broken *b)
{
	find(b, OP_MOVE_MOUNT)->slot2 = SLOT_TTY;
}
static void break_used_slot(struct broken *b)
{
	/* what was attached is no longer in the slot */
	struct plan_op *op = find(b, OP_MOVE_MOUNT);

	op[1] = *op;
}

static void break_no_root(struct broken *b)
{
	move_before(b, OP_MAKE_TARGET, OP_ATTACH_ROOT);
}
static void break_null(struct broken *b)
{
	int null = child_first(b->plan, OP_MASK) - 1;

	CHECK(b->child[null].kind == OP_OPEN_DEVICE);
	b->child[null].slot = SLOT_TREE;
}

static void break_uid(struct broken *b)
{
	find(b, OP_IDS)->arg[0] = UINT32_MAX;
}
static void break_gid(struct broken *b)
{
	find(b, OP_IDS)->arg[1] = UINT64_MAX;
}
static void break_group(struct broken *b)
{
	((struct plan_list *)((char *)b->plan + find(b, OP_IDS)->list))->item[1] = UINT32_MAX;
}

static void break_effective(struct broken *b)
{
	find(b, OP_CAPS)->arg[0] |= 1u << 20;
}
static void break_no_new_privs(struct broken *b)
{
	find(b, OP_NO_NEW_PRIVS)->kind = OP_DEATH_SIGNAL;
}

static void break_landlock(struct broken *b)
{
	find(b, OP_DEATH_SIGNAL)->kind = OP_LANDLOCK; /* before no_new_privs */
}

static void break_reaper(struct broken *b)
{
	b->parent[parent_first(b->plan, OP_CLONE)].arg[2] = 1;
}

static void break_sys_admin(struct broken *b)
{
	find(b, OP_CAPS)->arg[0] &= ~(1ull << 21);
}
static void break_mask_after_pivot(struct broken *b)
{
	move_before(b, OP_PIVOT, OP_MASK);
}
static void break_mount_after_mask(struct broken *b)
{
	move_before(b, OP_READONLY, OP_MOVE_MOUNT);
}
static void break_close_before_pivot(struct broken *b)
{
	move_before(b, OP_CLOSE_FDS, OP_PIVOT);
}
static void break_chdir_before_close(struct broken *b)
{
	move_before(b, OP_CHDIR, OP_CLOSE_FDS);
}
static void break_ids_before_close(struct broken *b)
{
	move_before(b, OP_IDS, OP_CLOSE_FDS);
}
static void break_bounding_after_ids(struct broken *b)
{
	move_before(b, OP_IDS, OP_BOUNDING);
}
static void break_caps_before_ids(struct broken *b)
{
	move_before(b, OP_CAPS, OP_IDS);
}
static void break_dumpable(struct broken *b)
{
	move_before(b, OP_ATTACH_ROOT, OP_UNDUMPABLE);
}
static void break_filter_early(struct broken *b)
{
	move_before(b, OP_SECCOMP, OP_REPORT_EXEC);
}
static void break_host_path_late(struct broken *b)
{
	struct plan_op op = *find(b, OP_OPEN_TREE);

	op.flags = op.skip = 0;
	*find(b, OP_RLIMIT) = op;
}

static void break_ready(struct broken *b)
{
	b->child[child_last(b->plan, OP_SYNC)].kind = OP_RESET_SIGNALS;
}

static void break_stages(struct broken *b)
{
	b->child[child_last(b->plan, OP_SYNC)].stage = STAGE_NAMESPACES;
}

static void break_ready_early(struct broken *b)
{
	find(b, OP_SYNC)->stage = STAGE_READY;
}
static void break_child_stage(struct broken *b)
{
	find(b, OP_SYNC)->stage = STAGE_COUNT;
}
static void break_no_exec(struct broken *b)
{
	find(b, OP_EXEC)->kind = OP_CAPS;
}
static void break_nothing_to_do(struct broken *b)
{
	b->plan->n_child = 0;
}
static void break_exec_early(struct broken *b)
{
	find(b, OP_REPORT_EXEC)->kind = OP_EXEC;
}
static void break_parents_op(struct broken *b)
{
	find(b, OP_UMASK)->kind = OP_RECORD;
}
static void break_childs_op(struct broken *b)
{
	find(b, OP_RECORD)->kind = OP_UMASK;
}
static void break_no_filter(struct broken *b)
{
	b->plan->bpf = b->plan->n_bpf = 0;
}
static void break_filter_missing(struct broken *b)
{
	find(b, OP_SECCOMP)->kind = OP_RESET_SIGNALS;
}
static void break_clone(struct broken *b)
{
	find(b, OP_CLONE)->kind = OP_RECORD;
}
static void break_second_clone(struct broken *b)
{
	find(b, OP_RECORD)->kind = OP_CLONE;
}
static void break_unpublished(struct broken *b)
{
	find(b, OP_PUBLISH)->kind = OP_AWAIT_EXEC;
}
static void break_published_early(struct broken *b)
{
	find(b, OP_PUBLISH)->kind = OP_MONITOR;
	find(b, OP_MONITOR)->kind = OP_PUBLISH;
}
static void break_release(struct broken *b)
{
	b->parent[parent_last(b->plan, OP_RELEASE)].stage = STAGE_MOUNTS;
}

static void break_parent_stage(struct broken *b)
{
	find(b, OP_RELEASE)->stage = STAGE_COUNT;
}
static void break_cgroup_late(struct broken *b)
{
	move_before(b, OP_RELEASE, OP_CGROUP);
}
static void break_resctrl_nowhere(struct broken *b)
{
	find(b, OP_CGROUP)->kind = OP_RESCTRL;
}
static void break_resctrl_path(struct broken *b)
{
	find(b, OP_RUN_HOOK)->kind = OP_RESCTRL;
}
static void break_monitor_late(struct broken *b)
{
	struct plan_op *last = &b->parent[parent_last(b->plan, OP_RELEASE)];
	struct plan_op *monitor = find(b, OP_MONITOR);
	struct plan_op moved = *monitor;

	memmove(monitor, monitor + 1, (size_t)(last - monitor) * sizeof(*last));
	*last = moved;
}

/* A list of empty strings at the end of the blob, one longer than is taken. */
static void break_hook_strings(struct broken *b)
{
	uint32_t at = (b->plan->size + 3) / 4 * 4;
	uint32_t size = at + 4 * (LIMIT_HOOK_STRINGS + 2);

	b->plan = realloc(b->plan, size);
	memset((char *)b->plan + b->plan->size, 0, size - b->plan->size);
	*(uint32_t *)((char *)b->plan + at) = LIMIT_HOOK_STRINGS + 1;
	b->plan->size = size;
	b->child = (struct plan_op *)((char *)b->plan + b->plan->child);
	b->parent = (struct plan_op *)((char *)b->plan + b->plan->parent);
	find(b, OP_HOOK)->list = at;
}

struct flaw {
	void (*make)(struct broken *b);
	const char *rule;
	bool with_sys_admin; /* in the plan without no_new_privs */
};

static void check_flaws(const struct flaw *flaws, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		CLEANUP_BROKEN struct broken b = copy_plan(!flaws[i].with_sys_admin);
		struct rb_err err = {0};

		flaws[i].make(&b);
		if (plan_check(b.plan, &err) < 0 && err.code == RB_INTERNAL &&
		    strstr(err.what, flaws[i].rule))
			continue;
		printf("# flaw %zu: got \"%s\", expected \"%s\"\n", i, err.what, flaws[i].rule);
		tap_ok = false;
	}
}

static void plan_check_takes_the_plan_that_is_broken_below(void)
{
	for (int i = 0; i < 2; i++) {
		CLEANUP_BROKEN struct broken b = copy_plan(i);
		struct rb_err err = {0};

		CHECK(plan_check(b.plan, &err) == 0);
	}
}

static void plan_check_refuses_what_lies_outside_the_blob(void)
{
	static const struct flaw flaws[] = {
		{break_magic, "blob op 0: not a plan of this version", false},
		{break_version, "not a plan of this version", false},
		{break_child_count, "a list lies outside the blob", false},
		{break_parent_count, "a list lies outside the blob", false},
		{break_child_place, "a list lies outside the blob", false},
		{break_child_alignment, "a list lies outside the blob", false},
		{break_filter_count, "a list lies outside the blob", false},
		{break_filter_place, "a list lies outside the blob", false},
		{break_kind, "unknown kind", false},
		{break_slot, "no such slot", false},
		{break_negative_slot, "no such slot", false},
		{break_no_slot, "names no slot", false},
		{break_no_slot2, "names no slot", false},
		{break_skip, "skips beyond the end", false},
		{break_string, "a string lies outside the blob", false},
		{break_string_in_header, "a string lies outside the blob", false},
		{break_string_without_end, "a string lies outside the blob", false},
		{break_origin, "a string lies outside the blob", false},
		{break_list, "a string lies outside the blob", false},
		{break_list_alignment, "a string lies outside the blob", false},
		{break_list_count, "a string lies outside the blob", false},
		{break_list_item, "a string lies outside the blob", false},
	};

	check_flaws(flaws, ARRAY_LEN(flaws));
}

static void plan_check_refuses_to_ignore_what_protects(void)
{
	static const struct flaw flaws[] = {
		{break_ids_error, "an error that must not be ignored", false},
		{break_mask_error, "an error that must not be ignored", false},
		{break_filter_error, "an error that must not be ignored", false},
		{break_attribute_error, "setting a mount attribute must not be optional", false},
		{break_optional_filter, "must not be optional", false},
		{break_optional_pivot, "must not be optional", false},
		{break_skip_of_masks, "skips an op that protects", false},
		{break_skip_by_error, "skips an op that protects", false},
		{break_skip_without_reason, "skips without a reason", false},
	};

	check_flaws(flaws, ARRAY_LEN(flaws));
}

static void plan_check_refuses_slots_and_paths_that_lead_nowhere(void)
{
	static const struct flaw flaws[] = {
		{break_path, "a path inside the root that is not absolute", false},
		{break_empty_slot, "uses an empty slot", false},
		{break_empty_slot2, "uses an empty second slot", false},
		{break_used_slot, "uses an empty slot", false},
		{break_no_root, "works below a root that is not open", false},
		{break_null, "has nothing to mask with", false},
	};

	check_flaws(flaws, ARRAY_LEN(flaws));
}

static void plan_check_refuses_a_wrong_identity(void)
{
	static const struct flaw flaws[] = {
		{break_uid, "id 4294967295", false},
		{break_gid, "id 4294967295", false},
		{break_group, "group 4294967295", false},
		{break_effective, "effective capabilities beyond the permitted ones", false},
		{break_no_new_privs, "a filter needs no_new_privs or CAP_SYS_ADMIN", false},
		{break_sys_admin, "a filter needs no_new_privs or CAP_SYS_ADMIN", true},
		{break_landlock, "landlock without no_new_privs", false},
		{break_reaper, "a reaper beside a pid namespace", false},
	};

	check_flaws(flaws, ARRAY_LEN(flaws));
}

static void plan_check_refuses_a_wrong_order(void)
{
	static const struct flaw flaws[] = {
		{break_dumpable, "stands in the wrong phase", false},
		{break_mount_after_mask, "stands in the wrong phase", false},
		{break_mask_after_pivot, "stands in the wrong phase", false},
		{break_host_path_late, "stands in the wrong phase", false},
		{break_close_before_pivot, "the host's root is still", false},
		{break_chdir_before_close, "stands in the wrong phase", false},
		{break_ids_before_close, "stands in the wrong phase", false},
		{break_bounding_after_ids, "stands in the wrong phase", false},
		{break_caps_before_ids, "stands in the wrong phase", false},
		{break_filter_early, "stands in the wrong phase", false},
		{break_no_exec, "execve is the last op and the only one", false},
		{break_exec_early, "execve is the last op and the only one", false},
		{break_nothing_to_do, "execve is the last op and the only one", false},
		{break_no_filter, "the filter is installed exactly once", false},
		{break_filter_missing, "the filter is installed exactly once", false},
	};

	check_flaws(flaws, ARRAY_LEN(flaws));
}

static void plan_check_refuses_a_child_that_does_not_wait(void)
{
	static const struct flaw flaws[] = {
		{break_ready, "reports execve without having waited for the guards", false},
		{break_stages, "stages out of order", false},
		{break_child_stage, "stages out of order", false},
		{break_ready_early, "is ready exactly once it is the container's user", false},
		{break_parents_op, "belongs to the parent", false},
	};

	check_flaws(flaws, ARRAY_LEN(flaws));
}

static void plan_check_refuses_a_parent_without_its_guards(void)
{
	static const struct flaw flaws[] = {
		{break_childs_op, "belongs to the child", false},
		{break_resctrl_nowhere, "a resctrl group without a place or a name", false},
		{break_resctrl_path, "a resctrl group that is not a name", false},
		{break_clone, "the parent clones exactly once", false},
		{break_second_clone, "the parent clones exactly once", false},
		{break_unpublished, "a record that nobody publishes", false},
		{break_published_early, "enterable before it is set up", false},
		{break_release, "the parent clones exactly once and releases the child", false},
		{break_parent_stage, "no such stage", false},
		{break_cgroup_late, "a guard after the child was released", false},
		{break_monitor_late, "a guard after the child was released", false},
		{break_hook_strings, "a hook with too many strings", false},
	};

	check_flaws(flaws, ARRAY_LEN(flaws));
}

/* Whatever one byte says, the check ends, and what it lets through can be printed. */
static void plan_check_survives_any_changed_byte(void)
{
	static const unsigned char values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	CLEANUP_BROKEN struct broken b = copy_plan(true);
	unsigned char *bytes = (unsigned char *)b.plan;
	size_t passed = 0;

	for (size_t at = offsetof(struct plan, n_child); at < b.plan->bpf; at++) {
		unsigned char saved = bytes[at];

		if (at >= offsetof(struct plan, size) && at < offsetof(struct plan, n_child))
			continue; /* the blob's true size is the caller's business */
		for (size_t i = 0; i < ARRAY_LEN(values); i++) {
			CLEANUP_STRBUF struct strbuf text = {0};
			struct rb_err err = {0};

			bytes[at] = values[i];
			if (plan_check(b.plan, &err) < 0)
				continue;
			passed++;
			if (at % 7 == 0)
				plan_print(b.plan, at & 1 ? PLAN_PRINT_JSON : 0, &text);
		}
		bytes[at] = saved;
	}
	CHECK(passed > 0);
}

TAP_MAIN(TEST(plan_check_takes_the_plan_that_is_broken_below),
	 TEST(plan_check_refuses_what_lies_outside_the_blob),
	 TEST(plan_check_refuses_to_ignore_what_protects),
	 TEST(plan_check_refuses_slots_and_paths_that_lead_nowhere),
	 TEST(plan_check_refuses_a_wrong_identity), TEST(plan_check_refuses_a_wrong_order),
	 TEST(plan_check_refuses_a_child_that_does_not_wait),
	 TEST(plan_check_refuses_a_parent_without_its_guards),
	 TEST(plan_check_survives_any_changed_byte))
