/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner: which ops, in which order, for which host. Each test is a rule that a container's
 * safety or its clients depend on. Golden tests (tests/golden) show whole plans.
 */
#include <sys/sysmacros.h>
#include "planning.h"

#define BEFORE(plan, a, b)                                                                         \
	CHECK(child_last(plan, a) >= 0 && child_first(plan, b) >= 0 &&                             \
	      child_last(plan, a) < child_first(plan, b))

static const struct plan *rich_plan(struct arena *arena, const char *facts)
{
	return make_plan(arena, rich_config(arena, ",\"noNewPrivileges\":true", ""), facts,
			 &run_options);
}

/* A minimal container with more members of "process" or "linux". */
static const struct plan *small_plan(struct arena *arena, enum place place, const char *members,
				     const char *facts)
{
	return make_plan(arena, config_text(arena, place, members), facts, &run_options);
}

/* ---- order of the child's list ------------------------------------------------------------- */

static void plan_is_undumpable_before_it_touches_the_image(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);

	BEFORE(plan, OP_UNDUMPABLE, OP_ATTACH_ROOT);
	BEFORE(plan, OP_UNDUMPABLE, OP_OPEN_TREE);
}

static void plan_makes_the_tree_private_before_it_mounts(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	const struct plan_op *op = child_op(plan, OP_PROPAGATION);

	CHECK(child_first(plan, OP_PROPAGATION) < child_first(plan, OP_ATTACH_ROOT));
	CHECK_STR(plan_str(plan, op->str[0]), "/");
	CHECK(op->arg[0] == MS_SLAVE && op->flags == OPF_RECURSIVE && !op->on_error);
}

static void plan_masks_paths_after_mounts(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);

	BEFORE(plan, OP_MOVE_MOUNT, OP_READONLY);
	CHECK(child_last(plan, OP_MOVE_MOUNT) < child_first(plan, OP_MASK));
	CHECK(child_last(plan, OP_MASK) - child_first(plan, OP_MASK) == 1);
}

static void plan_masks_after_hooks_that_see_the_mounts(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);

	CHECK(child_first(plan, OP_HOOK) > child_last(plan, OP_MOVE_MOUNT));
	CHECK(child_first(plan, OP_HOOK) < child_first(plan, OP_MASK));
}

static void plan_pivots_after_masks(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);

	BEFORE(plan, OP_MASK, OP_PIVOT);
	BEFORE(plan, OP_READONLY, OP_PIVOT);
	BEFORE(plan, OP_MOUNT_SETATTR, OP_PIVOT); /* the root becomes read-only before */
}

static void plan_closes_descriptors_before_it_enters_the_working_directory(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);

	/* CVE-2024-21626 */
	BEFORE(plan, OP_CLOSE_FDS, OP_CHDIR);
	CHECK(child_op(plan, OP_CLOSE_FDS)->arg[0] == 3);
}

static void plan_cuts_the_bounding_set_before_it_changes_ids(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);

	BEFORE(plan, OP_BOUNDING, OP_IDS);
	BEFORE(plan, OP_IDS, OP_CAPS);
	BEFORE(plan, OP_CAPS, OP_AMBIENT);
	CHECK(child_op(plan, OP_BOUNDING)->arg[0] == (1 | 1 << 21));
}

static void plan_sets_limits_before_it_loses_privilege(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	const struct plan_op *op = child_op(plan, OP_RLIMIT);

	BEFORE(plan, OP_RLIMIT, OP_IDS);
	CHECK(op->arg[1] == 10 && op->arg[2] == 20);
}

static void plan_waits_for_its_guards_as_the_containers_user(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	const struct plan_op *op = &plan_child_ops(plan)[child_last(plan, OP_SYNC)];

	CHECK(op->stage == STAGE_READY);
	CHECK(child_last(plan, OP_SYNC) > child_last(plan, OP_IDS));
	CHECK(child_last(plan, OP_SYNC) < child_first(plan, OP_REPORT_EXEC));
}

static void plan_sets_its_death_signal_after_the_last_change_of_ids(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);

	/* which clears it: prctl(2), PR_SET_PDEATHSIG */
	BEFORE(plan, OP_IDS, OP_DEATH_SIGNAL);
	BEFORE(plan, OP_CAPS, OP_DEATH_SIGNAL);
}

static void plan_installs_the_filter_right_before_execve(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);

	CHECK(child_first(plan, OP_SECCOMP) == (int)plan->n_child - 2);
	CHECK(child_first(plan, OP_EXEC) == (int)plan->n_child - 1);
	CHECK(plan->n_bpf > 0 && plan->bpf);
	BEFORE(plan, OP_NO_NEW_PRIVS, OP_SECCOMP);
}

static void plan_drops_cap_sys_admin_after_a_filter_without_no_new_privs(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = make_plan(&arena, rich_config(&arena, "", ""), host_root,
					    &run_options);
	const struct plan_op *ops = plan_child_ops(plan);
	int first = child_first(plan, OP_CAPS);
	int last = child_last(plan, OP_CAPS);

	CHECK(child_first(plan, OP_NO_NEW_PRIVS) < 0);
	CHECK(first < child_first(plan, OP_SECCOMP) && last > child_first(plan, OP_SECCOMP));
	CHECK(ops[first].arg[0] == (1 | 1 << 21) && ops[last].arg[0] == 1 && ops[last].arg[1] == 1);
}

static void plan_resets_signals_after_its_last_hook(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);

	CHECK(child_last(plan, OP_HOOK) < child_first(plan, OP_RESET_SIGNALS));
	BEFORE(plan, OP_RESET_SIGNALS, OP_EXEC);
}

/* ---- mounts -------------------------------------------------------------------------------- */

static void plan_sets_attributes_before_a_mount_can_be_seen(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	const struct plan_op *ops = plan_child_ops(plan);
	int tree = child_first(plan, OP_OPEN_TREE);

	CHECK(tree >= 0 && ops[tree].slot == SLOT_TREE && ops[tree].flags == OPF_RECURSIVE);
	CHECK_STR(plan_str(plan, ops[tree].str[0]), "/bundle/hosts");
	CHECK(ops[tree + 1].kind == OP_MOUNT_SETATTR && ops[tree + 1].arg[0] == MOUNT_ATTR_RDONLY &&
	      !ops[tree + 1].on_error);
	CHECK(ops[tree + 2].kind == OP_MAKE_TARGET && ops[tree + 3].kind == OP_MOVE_MOUNT);
	/* propagation is a property of where it hangs */
	CHECK(ops[tree + 4].kind == OP_OPEN_IN_ROOT && ops[tree + 5].kind == OP_PROPAGATION &&
	      ops[tree + 5].arg[0] == MS_SLAVE && ops[tree + 5].flags == OPF_RECURSIVE);
}

static void plan_looks_every_target_up_inside_the_root(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	const struct plan_op *ops = plan_child_ops(plan);

	for (uint32_t i = 1; i < plan->n_child; i++) {
		if (ops[i].kind != OP_MOVE_MOUNT)
			continue;
		CHECK(ops[i].slot == SLOT_TREE && ops[i].slot2 == SLOT_TARGET);
		CHECK(ops[i - 1].kind == OP_MAKE_TARGET && ops[i - 1].slot == SLOT_TARGET);
	}
}

static void plan_mounts_proc_on_no_link_of_the_image(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	const struct plan_op *op = child_op(plan, OP_MAKE_TARGET);

	CHECK_STR(plan_str(plan, op->str[0]), "/proc");
	CHECK(op->flags == (OPF_DIRECTORY | OPF_NO_SYMLINKS));
}

static void plan_fills_a_read_only_tmpfs_before_it_seals_it(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	const struct plan_op *ops = plan_child_ops(plan);
	int sealed = -1;

	for (uint32_t i = 1; i < plan->n_child; i++)
		if (ops[i].kind == OP_MOUNT_SETATTR && ops[i].slot == SLOT_TARGET) {
			sealed = (int)i;
			CHECK_STR(plan_str(plan, ops[i - 1].str[0]), "/dev");
			CHECK(ops[i].arg[0] == MOUNT_ATTR_RDONLY && !ops[i].on_error);
		}
	CHECK(sealed > child_last(plan, OP_MKNOD_IN_ROOT) && sealed < child_first(plan, OP_PIVOT));
}

static void plan_copies_up_before_it_covers_the_directory(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	const struct plan_op *ops = plan_child_ops(plan);
	int at = child_first(plan, OP_COPY_UP);

	CHECK(at > 0 && ops[at - 1].kind == OP_OPEN_IN_ROOT && ops[at - 1].on_error == ON_ENOENT &&
	      ops[at - 1].skip == 1);
	CHECK(ops[at].slot == SLOT_TREE && ops[at].slot2 == SLOT_TARGET);
	CHECK(ops[at + 1].kind == OP_MAKE_TARGET);
	CHECK_STR(plan_str(plan, ops[at + 1].str[0]), "/var");
}

static void plan_keeps_flags_that_are_locked_rather_than_fail(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = small_plan(
		&arena, TOP,
		",\"mounts\":[{\"destination\":\"/d\",\"source\":\"/s\",\"options\":[\"bind\",\"nosuid\","
		"\"rw\",\"exec\"]}]",
		host_rootless);
	const struct plan_op *ops = plan_child_ops(plan);
	int at = child_first(plan, OP_MOUNT_SETATTR);

	/* setting must work; clearing may be refused: mount_namespaces(7) */
	CHECK(at > 0 && ops[at].arg[0] == MOUNT_ATTR_NOSUID && ops[at].arg[1] == 0 &&
	      !ops[at].on_error);
	CHECK(ops[at + 1].arg[0] == 0 &&
	      ops[at + 1].arg[1] == (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC) &&
	      ops[at + 1].on_error == ON_EPERM);
}

static void plan_binds_the_hosts_sysfs_where_a_new_one_is_refused(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_rootless);
	const struct plan_op *ops = plan_child_ops(plan);
	int at = -1;

	for (uint32_t i = 0; i < plan->n_child && at < 0; i++)
		if (ops[i].kind == OP_FSMOUNT && str_eq(plan_str(plan, ops[i].str[0]), "sysfs"))
			at = (int)i;
	CHECK(at >= 0 && ops[at].on_error == ON_EPERM);
	CHECK(ops[at + 1].kind == OP_OPEN_TREE &&
	      ops[at + 1].flags == (OPF_RECURSIVE | OPF_IF_EMPTY) && ops[at + 1].skip == 1);
	CHECK(ops[at + 2].kind == OP_MOUNT_SETATTR && !ops[at + 2].on_error &&
	      ops[at + 2].arg[0] == (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				     MOUNT_ATTR_NOEXEC));
}

static bool has_option(const struct plan *plan, const char *type, const char *option)
{
	const struct plan_op *ops = plan_child_ops(plan);

	for (uint32_t i = 0; i < plan->n_child; i++) {
		const struct plan_list *list = plan_list_at(plan, ops[i].list);

		if (ops[i].kind != OP_FSMOUNT || !str_eq(plan_str(plan, ops[i].str[0]), type))
			continue;
		for (uint32_t k = 0; list && k < list->count; k++)
			if (str_eq(plan_str(plan, list->item[k]), option))
				return true;
	}
	return false;
}

static void plan_drops_the_terminal_group_that_is_not_mapped(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	static const char mounts[] =
		",\"mounts\":[{\"destination\":\"/dev/pts\",\"type\":\"devpts\","
		"\"options\":[\"gid=5\",\"mode=620\"]}]";
	static const char narrow[] = "euid 0\nin_user_namespace 1\nuid_map 0 1001 1\n"
				     "gid_map 0 1001 1\n";
	const struct plan *plan = small_plan(&arena, TOP, mounts, host_rootless);

	CHECK(has_option(plan, "devpts", "gid=5"));
	plan = small_plan(&arena, TOP, mounts, narrow);
	CHECK(!has_option(plan, "devpts", "gid=5") && has_option(plan, "devpts", "mode=620"));
}

static void plan_makes_the_working_directory_if_it_can(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	const struct plan_op *op = child_op(plan, OP_MKDIR_IN_ROOT);

	CHECK_STR(plan_str(plan, op->str[0]), "/work");
	CHECK(op->on_error & ON_EROFS);
}

/* ---- devices ------------------------------------------------------------------------------- */

static void plan_makes_device_nodes_as_real_root(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	const struct plan_op *op = &plan_child_ops(plan)[child_last(plan, OP_MKNOD_IN_ROOT)];

	CHECK(child_last(plan, OP_MKNOD_IN_ROOT) - child_first(plan, OP_MKNOD_IN_ROOT) == 6);
	CHECK_STR(plan_str(plan, op->str[0]), "/dev/fuse");
	CHECK(op->arg[0] == (S_IFCHR | 0600) && op->arg[1] == makedev(10, 229) &&
	      op->arg[2] == (1ull << 32 | 2));
}

static void plan_binds_device_nodes_in_a_user_namespace(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_rootless);
	const struct plan_op *ops = plan_child_ops(plan);
	size_t n = 0;

	CHECK(child_first(plan, OP_MKNOD_IN_ROOT) < 0);
	for (uint32_t i = 0; i < plan->n_child; i++)
		n += ops[i].kind == OP_OPEN_DEVICE && ops[i].slot == SLOT_TREE;
	CHECK(n == 7);
}

static void plan_masks_with_a_null_device_that_is_verified(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	const struct plan_op *op = child_op(plan, OP_OPEN_DEVICE);

	CHECK(op->slot == SLOT_NULL && op->arg[0] == makedev(1, 3) && !op->on_error);
	BEFORE(plan, OP_OPEN_DEVICE, OP_MASK);
}

static void plan_leaves_dev_alone_when_the_configuration_binds_it(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = small_plan(
		&arena, TOP,
		",\"mounts\":[{\"destination\":\"/dev\",\"type\":\"bind\",\"source\":\"/dev\"}]",
		host_root);

	CHECK(child_first(plan, OP_MKNOD_IN_ROOT) < 0 && child_first(plan, OP_SYMLINK_IN_ROOT) < 0);
}

/* ---- the plan as data ---------------------------------------------------------------------- */

static void plan_is_pure(void)
{
	static const char *const hosts[] = {host_root, host_rootless};

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		CLEANUP_ARENA struct arena first = {0};
		CLEANUP_ARENA struct arena second = {0};
		const struct plan *a = rich_plan(&first, hosts[i]);
		const struct plan *b;

		/* at other addresses, after other work */
		CHECK(arena_printf(&second, "%0100000d", 0));
		rich_plan(&second, host_user);
		b = rich_plan(&second, hosts[i]);
		CHECK(a && b && a->size == b->size && memcmp(a, b, a->size) == 0);
	}
}

static void plan_prints_the_same_after_a_copy(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf one = {0};
	CLEANUP_STRBUF struct strbuf two = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	CLEANUP_FREE struct plan *copy = malloc(plan->size);

	/* offsets only: it is read from another address after execve or fork */
	memcpy(copy, plan, plan->size);
	plan_print(plan, PLAN_PRINT_ENV, &one);
	plan_print(copy, PLAN_PRINT_ENV, &two);
	CHECK(one.len > 1000);
	CHECK_STR(two.text, one.text);
}

static void plan_prints_no_environment_values_unless_asked(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);

	for (unsigned flags = 0; flags < 4; flags++) {
		CLEANUP_STRBUF struct strbuf text = {0};

		plan_print(plan, flags, &text);
		CHECK(strstr(text.text, "SECRET"));
		CHECK((strstr(text.text, "hunter2") != NULL) == ((flags & PLAN_PRINT_ENV) != 0));
	}
}

static void plan_prints_json_that_lists_every_op(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf text = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	const struct json_node *root = NULL;
	const struct json_node *child;
	struct rb_err err;

	plan_print(plan, PLAN_PRINT_JSON, &text);
	CHECK(json_parse(&arena, "plan", text.text, text.len, &root, &err) == 0);
	child = json_member(root, "child");
	CHECK(child && child->count == plan->n_child);
	CHECK(json_member(root, "parent")->count == plan->n_parent);
	CHECK_STR(json_member(child->child, "op")->text,
		  plan_op_name((enum plan_op_kind)plan_child_ops(plan)[0].kind));
}

static void plan_names_every_kind_of_op_once(void)
{
	for (int i = 0; i < OP_KINDS; i++) {
		CHECK(!str_eq(plan_op_name((enum plan_op_kind)i), "?"));
		for (int k = 0; k < i; k++)
			CHECK(!str_eq(plan_op_name((enum plan_op_kind)i),
				      plan_op_name((enum plan_op_kind)k)));
	}
	CHECK_STR(plan_op_name(OP_KINDS), "?");
}

static void plan_of_buildkit_is_checked_for_every_host(void)
{
	static const char *const hosts[] = {host_root, host_rootless};

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		const char *text = tree_file(&arena, "tests/data/buildkit-rootless.json.in", NULL);

		CHECK(text && make_plan(&arena, text, hosts[i], &run_options));
	}
}

/* A spec whose root and one mount are handed over, as the worker makes it. */
static const struct plan *handed_plan(struct arena *arena)
{
	const struct spec *parsed = parse_text(
		arena, config_text(arena, TOP,
				   ",\"mounts\":[{\"destination\":\"/m\",\"type\":\"bind\","
				   "\"source\":\"/host\",\"options\":[\"rbind\",\"ro\"]}]"));
	struct spec *spec = arena_alloc(arena, sizeof(*spec));
	struct spec_mount *mount = arena_alloc(arena, sizeof(*mount));
	struct host *host = arena_alloc(arena, sizeof(*host));
	const struct plan *plan = NULL;
	struct rb_err err = {0};

	CHECK(parsed && parsed->n_mounts == 1 && host_load(host_rootless, host, &err) == 0);
	*spec = *parsed;
	*mount = parsed->mounts[0];
	spec->root_handed = 2;
	mount->handed = 1;
	spec->mounts = mount;
	CHECK(plan_build(arena, spec, host, &run_options, &plan, &err) == 0);
	CHECK(plan && plan_check(plan, &err) == 0);
	return plan;
}

static void plan_takes_handed_mounts_and_opens_no_source(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = handed_plan(&arena);
	const struct plan_op *ops = plan_child_ops(plan);

	CHECK(child_first(plan, OP_OPEN_TREE) < 0 && child_first(plan, OP_ATTACH_ROOT) < 0);
	CHECK(ops[child_first(plan, OP_TAKE_MOUNT)].arg[0] == 1); /* the root is number 2 */
	CHECK(ops[child_last(plan, OP_TAKE_MOUNT)].arg[0] == 0);
	CHECK(ops[child_last(plan, OP_TAKE_MOUNT)].slot == SLOT_TREE);
	BEFORE(plan, OP_TAKE_MOUNT, OP_MOVE_MOUNT);
	BEFORE(plan, OP_TAKE_MOUNT, OP_MOUNT_SETATTR); /* read-only before it can be seen */
}

static void plan_stacks_a_handed_root_for_the_pivot(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = handed_plan(&arena);

	CHECK(child_op(plan, OP_STACK_ROOT)->slot == SLOT_ROOT);
	BEFORE(plan, OP_PROPAGATION, OP_STACK_ROOT);
	BEFORE(plan, OP_STACK_ROOT, OP_PIVOT);
}

TAP_MAIN(TEST(plan_is_undumpable_before_it_touches_the_image),
	 TEST(plan_makes_the_tree_private_before_it_mounts), TEST(plan_masks_paths_after_mounts),
	 TEST(plan_masks_after_hooks_that_see_the_mounts), TEST(plan_pivots_after_masks),
	 TEST(plan_closes_descriptors_before_it_enters_the_working_directory),
	 TEST(plan_cuts_the_bounding_set_before_it_changes_ids),
	 TEST(plan_sets_limits_before_it_loses_privilege),
	 TEST(plan_waits_for_its_guards_as_the_containers_user),
	 TEST(plan_sets_its_death_signal_after_the_last_change_of_ids),
	 TEST(plan_installs_the_filter_right_before_execve),
	 TEST(plan_drops_cap_sys_admin_after_a_filter_without_no_new_privs),
	 TEST(plan_resets_signals_after_its_last_hook),
	 TEST(plan_sets_attributes_before_a_mount_can_be_seen),
	 TEST(plan_looks_every_target_up_inside_the_root),
	 TEST(plan_mounts_proc_on_no_link_of_the_image),
	 TEST(plan_fills_a_read_only_tmpfs_before_it_seals_it),
	 TEST(plan_copies_up_before_it_covers_the_directory),
	 TEST(plan_keeps_flags_that_are_locked_rather_than_fail),
	 TEST(plan_binds_the_hosts_sysfs_where_a_new_one_is_refused),
	 TEST(plan_drops_the_terminal_group_that_is_not_mapped),
	 TEST(plan_makes_the_working_directory_if_it_can),
	 TEST(plan_makes_device_nodes_as_real_root),
	 TEST(plan_binds_device_nodes_in_a_user_namespace),
	 TEST(plan_masks_with_a_null_device_that_is_verified),
	 TEST(plan_leaves_dev_alone_when_the_configuration_binds_it), TEST(plan_is_pure),
	 TEST(plan_prints_the_same_after_a_copy),
	 TEST(plan_prints_no_environment_values_unless_asked),
	 TEST(plan_prints_json_that_lists_every_op), TEST(plan_names_every_kind_of_op_once),
	 TEST(plan_takes_handed_mounts_and_opens_no_source),
	 TEST(plan_stacks_a_handed_root_for_the_pivot),
	 TEST(plan_of_buildkit_is_checked_for_every_host))
