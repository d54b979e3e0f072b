/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner: namespaces, ids and capabilities, and the half of a plan that the parent carries
 * out: guards, hooks, terminal.
 */
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

/* ---- namespaces, ids, capabilities --------------------------------------------------------- */

#define USER_NS(size)                                                                              \
	"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"process\":{\"args\":[\"sh\"],"      \
	"\"cwd\":\"/\"%s},\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"user\"}],"   \
	"\"uidMappings\":[{\"containerID\":0,\"hostID\":%u,\"size\":" size "}],\"gidMappings\":["  \
	"{\"containerID\":0,\"hostID\":%u,\"size\":" size "}]}}"

static const char *user_config(struct arena *arena, uint32_t id, bool many, const char *process)
{
	return many ? arena_printf(arena, USER_NS("65536"), process, id, id)
		    : arena_printf(arena, USER_NS("1"), process, id, id);
}

static void plan_writes_id_maps_before_the_child_goes_on(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = make_plan(&arena, user_config(&arena, 1001, false, ""), host_user,
					    &run_options);
	const struct plan_op *op = parent_op(plan, OP_IDMAP);

	CHECK(parent_first(plan, OP_CLONE) < parent_first(plan, OP_IDMAP) &&
	      parent_first(plan, OP_IDMAP) < parent_first(plan, OP_RELEASE));
	CHECK_STR(plan_str(plan, op->str[0]), "0 1001 1\n");
	CHECK(child_first(plan, OP_SYNC) == 0 && plan_child_ops(plan)[0].stage == STAGE_NAMESPACES);
	CHECK(child_first(plan, OP_ROOT_IDS) == 1);
}

static void plan_chooses_how_id_maps_are_written(void)
{
	static const struct {
		const char *facts;
		uint32_t id;
		bool many;
		enum plan_idmap_method method;
	} rows[] = {
		{host_root, 100000, true, IDMAP_DIRECT},
		{host_user, 1001, false, IDMAP_DIRECT_DENY},
		{host_user, 1002, false, IDMAP_HELPER},
		{host_user, 100000, true, IDMAP_HELPER},
		{host_rootless, 0, false, IDMAP_DIRECT},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		const struct plan *plan = make_plan(
			&arena, user_config(&arena, rows[i].id, rows[i].many, ""), rows[i].facts,
			&run_options);

		CHECK(plan && parent_op(plan, OP_IDMAP)->arg[0] == rows[i].method);
	}
}

static void plan_splits_id_map_lines_where_the_outer_map_does(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = make_plan(&arena, user_config(&arena, 0, true, ""), host_rootless,
					    &run_options);

	/* one line over two extents would be EPERM */
	CHECK_STR(plan_str(plan, parent_op(plan, OP_IDMAP)->str[0]), "0 0 1\n1 1 65535\n");
}

static void refuse(const char *config, const char *facts, enum rb_code code, const char *origin)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan;
	struct rb_err err;

	CHECK(try_plan(&arena, config, facts, &run_options, &plan, &err) < 0 && !plan);
	CHECK(err.code == code && err.what[0]);
	CHECK_STR(err.origin, origin);
}

static void plan_refuses_ids_that_are_not_mapped(void)
{
	CLEANUP_ARENA struct arena arena = {0};

	/* of the process, in the container's own map */
	refuse(user_config(&arena, 1001, false, ",\"user\":{\"uid\":1}"), host_user,
	       RB_IDMAP_UNMAPPED, "/process/user/uid");
	refuse(user_config(&arena, 1001, false, ",\"user\":{\"gid\":1}"), host_user,
	       RB_IDMAP_UNMAPPED, "/process/user/gid");
	/* in the daemon's */
	refuse(config_text(&arena, PROCESS, ",\"user\":{\"uid\":65537}"), host_rootless,
	       RB_IDMAP_UNMAPPED, "/process/user/uid");
	refuse(config_text(&arena, PROCESS, ",\"user\":{\"additionalGids\":[0,70000]}"),
	       host_rootless, RB_IDMAP_UNMAPPED, "/process/user/additionalGids");
	/* outside ids that this namespace does not have */
	refuse(user_config(&arena, 65537, false, ""), host_rootless, RB_IDMAP_UNMAPPED,
	       "/linux/uidMappings/0");
	refuse(user_config(&arena, 2, true, ""), host_rootless, RB_IDMAP_UNMAPPED,
	       "/linux/uidMappings/0");
}

static void plan_refuses_groups_where_setgroups_is_denied(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	static const char denied[] =
		"euid 0\nin_user_namespace 1\nsetgroups_denied 1\nuid_map 0 1001 1\ngid_map 0 1001 10\n";
	const struct plan *plan;

	refuse(config_text(&arena, PROCESS, ",\"user\":{\"additionalGids\":[5]}"), denied,
	       RB_CONFIG_ID, "/process/user/additionalGids");
	/* the own group again asks for nothing; BuildKit writes it */
	plan = make_plan(&arena, config_text(&arena, PROCESS, ",\"user\":{\"additionalGids\":[0]}"),
			 denied, &run_options);
	CHECK(plan && child_op(plan, OP_IDS)->arg[2] == 1);
}

static void plan_refuses_a_configuration_that_would_change_the_host(void)
{
	refuse("{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"process\":{\"args\":[\"sh\"],"
	       "\"cwd\":\"/\"},\"linux\":{\"rootfsPropagation\":\"shared\"}}",
	       host_root, RB_CONFIG_CONFLICT, "/linux/rootfsPropagation");
	refuse("{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"process\":{\"args\":[\"sh\"],"
	       "\"cwd\":\"/\"}}",
	       host_user, RB_CONFIG_CONFLICT, "/linux/namespaces");
	refuse("{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"}}", host_root, RB_CONFIG_MISSING,
	       "");
}

static void plan_refuses_labels_of_a_module_that_is_not_active(void)
{
	CLEANUP_ARENA struct arena arena = {0};

	refuse(config_text(&arena, PROCESS, ",\"apparmorProfile\":\"p\""), host_root, RB_LSM,
	       "/process/apparmorProfile");
	refuse(config_text(&arena, PROCESS, ",\"selinuxLabel\":\"l\""), host_root, RB_LSM,
	       "/process/selinuxLabel");
	CHECK(small_plan(&arena, PROCESS, ",\"apparmorProfile\":\"unconfined\"", host_root));
}

static void plan_grants_no_capability_that_the_host_lacks(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	static const char weak[] = "euid 0\ncaps_effective 1\ncaps_bounding 3\n"
				   "uid_map 0 0 4294967295\ngid_map 0 0 4294967295\n";
	static const char caps[] =
		",\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_KILL\"],"
		"\"permitted\":[\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\"],\"effective\":"
		"[\"CAP_CHOWN\",\"CAP_KILL\"]}";
	const struct plan *plan = small_plan(&arena, PROCESS, caps, weak);

	CHECK(child_op(plan, OP_BOUNDING)->arg[0] == 1);
	CHECK(child_op(plan, OP_CAPS)->arg[0] == 1 && child_op(plan, OP_CAPS)->arg[1] == 1);
}

static void plan_without_capabilities_grants_none(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = small_plan(&arena, PROCESS, "", host_root);
	const struct plan_op *op = child_op(plan, OP_CAPS);

	CHECK(op->arg[0] == 0 && op->arg[1] == 0 && op->arg[2] == 0);
	CHECK(child_op(plan, OP_BOUNDING)->arg[0] == 0 && child_first(plan, OP_AMBIENT) < 0);
}

static void plan_joins_namespaces_by_path(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = make_plan(
		&arena,
		"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"process\":{\"args\":[\"sh\"],"
		"\"cwd\":\"/\"},\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"network\","
		"\"path\":\"/run/netns/x\"},{\"type\":\"pid\",\"path\":\"/proc/9/ns/pid\"}]}}",
		host_root, &run_options);
	const struct plan_op *op = parent_op(plan, OP_OPEN_NS);

	CHECK_STR(plan_str(plan, op->str[0]), "/run/netns/x");
	CHECK(op->slot == SLOT_NET_NS && op->arg[0] == CLONE_NEWNET);
	op = parent_op(plan, OP_CLONE);
	CHECK(op->arg[0] == CLONE_NEWNS && op->arg[1] == (CLONE_NEWNET | CLONE_NEWPID));
	CHECK(parent_last(plan, OP_OPEN_NS) < parent_first(plan, OP_CLONE));
	/* it is somebody's network: its loopback is not ours to change */
	CHECK(child_first(plan, OP_LOOPBACK) < 0);
}

static const char inherits_mounts[] =
	"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"process\":{\"args\":[\"sh\"],"
	"\"cwd\":\"/\"},\"linux\":{\"namespaces\":[{\"type\":\"pid\"}]}}";

static void plan_mounts_beside_an_inherited_mount_namespace(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = make_plan(&arena, inherits_mounts, host_root, &run_options);
	struct plan_op *clone = (struct plan_op *)parent_op(plan, OP_CLONE);
	struct rb_err err = {0};

	CHECK(clone->arg[0] & CLONE_NEWNS && clone->arg[1] == 0);
	CHECK(parent_op(plan, OP_OPEN_NS)->slot == SLOT_OUTER_MOUNTS);
	CHECK(parent_last(plan, OP_OPEN_NS) < parent_first(plan, OP_CLONE));
	CHECK(child_op(plan, OP_DETACH_ROOT)->slot2 == SLOT_OUTER_MOUNTS);
	CHECK(child_first(plan, OP_PIVOT) < 0 && child_first(plan, OP_CHROOT) < 0);
	BEFORE(plan, OP_ATTACH_ROOT, OP_DETACH_ROOT);
	BEFORE(plan, OP_DETACH_ROOT, OP_CLOSE_FDS);
	clone->arg[0] &= ~(uint64_t)CLONE_NEWNS;
	CHECK(plan_check(plan, &err) < 0 && strstr(err.what, "in the runtime's namespace"));
}

static void plan_of_exec_takes_the_root_of_the_first_process(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec *spec = parse_text(&arena, inherits_mounts);
	const struct plan *plan;
	struct host host;
	struct rb_err err = {0};

	CHECK(host_load(host_root, &host, &err) == 0);
	CHECK(plan_build_exec(&arena, spec, &spec->process, &host, CLONE_NEWPID, "/c/g",
			      &run_options, &plan, &err) == 0);
	CHECK(plan_check(plan, &err) == 0);
	CHECK(parent_op(plan, OP_INIT_ROOT)->slot == SLOT_ROOT);
	CHECK(parent_first(plan, OP_INIT_ROOT) < parent_first(plan, OP_CLONE));
	CHECK(child_first(plan, OP_OPEN_ROOT) < 0);
	BEFORE(plan, OP_CHROOT, OP_CLOSE_FDS);
}

static void plan_makes_the_cgroup_namespace_after_joining_the_cgroup(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);

	CHECK(!(parent_op(plan, OP_CLONE)->arg[0] & CLONE_NEWCGROUP));
	CHECK(parent_first(plan, OP_CGROUP) < parent_first(plan, OP_RELEASE));
	CHECK(child_op(plan, OP_UNSHARE)->arg[0] == CLONE_NEWCGROUP);
	CHECK(child_first(plan, OP_SYNC) < child_first(plan, OP_UNSHARE));
}

static void plan_lets_a_rootless_step_go_on_without_its_cgroup(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct plan_options options = run_options;
	const struct plan *plan = rich_plan(&arena, host_root);

	CHECK(parent_op(plan, OP_CGROUP)->arg[0] == 1);
	options.rootless_cgroup = true;
	plan = make_plan(&arena, rich_config(&arena, "", ""), host_rootless, &options);
	CHECK(parent_op(plan, OP_CGROUP)->arg[0] == 0);
	/* nobody waits for a detached one, and its caller can do something about it */
	options.foreground = false;
	plan = make_plan(&arena, rich_config(&arena, "", ""), host_rootless, &options);
	CHECK(parent_op(plan, OP_CGROUP)->arg[0] == 1);
	options.cgroup_handed = true;
	plan = make_plan(&arena, rich_config(&arena, "", ""), host_root, &options);
	CHECK(parent_first(plan, OP_CGROUP) + 1 == parent_first(plan, OP_CLONE));
	CHECK(parent_first(plan, OP_CGROUP_JOIN) < 0 && parent_first(plan, OP_CGROUP_WRITE) < 0);
	options.cgroup_handed = false;
	options.cgroup_manager = CGROUP_MANAGER_NONE;
	plan = make_plan(&arena, rich_config(&arena, "", ""), host_root, &options);
	CHECK(parent_first(plan, OP_CGROUP) < 0);
}

static void plan_sends_the_process_descriptor_before_the_program_runs(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct plan_options options = run_options;
	const struct plan *plan = rich_plan(&arena, host_root);

	CHECK(parent_first(plan, OP_SEND_PIDFD) < 0);
	options.pidfd_socket = true;
	plan = make_plan(&arena, rich_config(&arena, "", ""), host_root, &options);
	CHECK(parent_first(plan, OP_SEND_PIDFD) > parent_last(plan, OP_AWAIT));
	CHECK(parent_first(plan, OP_SEND_PIDFD) < parent_last(plan, OP_RELEASE));
}

/* ---- parent, hooks, terminal --------------------------------------------------------------- */

static void plan_starts_the_monitor_before_the_program_may_run(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	const struct plan_op *ops = plan_parent_ops(plan);
	int released = parent_last(plan, OP_RELEASE);

	CHECK(ops[released].stage == STAGE_READY);
	CHECK(parent_first(plan, OP_RECORD) < released && parent_first(plan, OP_RECORD) >= 0);
	CHECK(parent_first(plan, OP_MONITOR) < released && parent_first(plan, OP_MONITOR) >= 0);
	CHECK(ops[released + 1].kind == OP_AWAIT_EXEC);
}

static void plan_runs_early_hooks_while_the_child_waits(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	const struct plan_op *ops = plan_parent_ops(plan);
	int at = parent_first(plan, OP_RUN_HOOK);

	CHECK(ops[at - 1].kind == OP_AWAIT && ops[at - 1].stage == STAGE_MOUNTS);
	CHECK_STR(plan_str(plan, ops[at].str[0]), "/h1");
	CHECK_STR(plan_str(plan, ops[at + 1].str[0]), "/h2");
	CHECK(ops[at + 2].kind == OP_RELEASE && ops[at + 2].stage == STAGE_MOUNTS);
	/* the state they read says "creating", so the record exists */
	CHECK(parent_first(plan, OP_RECORD) < at);
}

static void plan_runs_poststart_hooks_after_the_program_began(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	const struct plan_op *op = &plan_parent_ops(plan)[parent_last(plan, OP_RUN_HOOK)];

	CHECK_STR(plan_str(plan, op->str[0]), "/h5");
	CHECK(op->arg[0] == 3 && op->arg[1] == HOOK_POSTSTART);
	CHECK(parent_last(plan, OP_RUN_HOOK) > parent_first(plan, OP_AWAIT_EXEC));
}

static void plan_gives_hooks_their_own_name_when_there_are_no_args(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = rich_plan(&arena, host_root);
	const struct plan_list *args = plan_list_at(plan, child_op(plan, OP_HOOK)->list);

	CHECK(args && args->count == 1);
	CHECK_STR(plan_str(plan, args->item[0]), "/h3");
}

static void plan_without_anything_to_wait_for_does_not_wait(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan *plan = small_plan(&arena, PROCESS, "", host_rootless);

	/* speed: one round trip, before execve */
	CHECK(child_first(plan, OP_SYNC) == child_last(plan, OP_SYNC));
	CHECK(plan_child_ops(plan)[child_first(plan, OP_SYNC)].stage == STAGE_READY);
}

static void plan_of_create_waits_for_start(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct plan_options create = {.wait_start = true, .pid_file = "/run/pid"};
	const struct plan *plan = make_plan(&arena, rich_config(&arena, "", ""), host_root,
					    &create);

	CHECK(child_first(plan, OP_WAIT_START) > child_last(plan, OP_SYNC));
	CHECK(child_last(plan, OP_HOOK) > child_first(plan, OP_WAIT_START));
	CHECK(parent_first(plan, OP_AWAIT_EXEC) < 0 && parent_first(plan, OP_MONITOR) < 0);
	CHECK(child_first(plan, OP_DEATH_SIGNAL) < 0);
	/* whoever waits for the file may call `start` at once */
	CHECK(parent_first(plan, OP_PID_FILE) > parent_first(plan, OP_RECORD));
}

static void plan_opens_the_terminal_below_the_root_before_it_is_protected(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct plan_options options = run_options;
	const struct plan *plan;

	options.console = CONSOLE_SOCKET;
	plan = make_plan(
		&arena,
		rich_config(&arena,
			    ",\"terminal\":true,\"consoleSize\":{\"height\":24,\"width\":80}", ""),
		host_root, &options);
	/* a read-only /dev has to get its /dev/console first */
	BEFORE(plan, OP_CONSOLE, OP_READONLY);
	BEFORE(plan, OP_OPEN_TTY, OP_SEND_TTY);
	BEFORE(plan, OP_PIVOT, OP_SEND_TTY);
	BEFORE(plan, OP_TTY_STDIO, OP_CLOSE_FDS);
	CHECK(child_op(plan, OP_OPEN_TTY)->arg[0] == (24 << 16 | 80));
	CHECK(parent_op(plan, OP_TAKE_TTY)->arg[0] == CONSOLE_SOCKET);
	/* the terminal belongs to the user of the process: tty_owner of runc's tests */
	BEFORE(plan, OP_TTY_STDIO, OP_STDIO_OWNER);
}

static void plan_without_pivot_moves_the_root(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct plan_options options = run_options;
	const struct plan *plan;

	options.no_pivot = true;
	options.no_new_keyring = true;
	options.preserve_fds = 4;
	plan = make_plan(&arena, rich_config(&arena, "", ""), host_root, &options);
	CHECK(child_first(plan, OP_PIVOT) < 0);
	BEFORE(plan, OP_MASK, OP_MOVE_ROOT);
	CHECK(child_first(plan, OP_KEYRING) < 0 && child_op(plan, OP_CLOSE_FDS)->arg[0] == 7);
}

static void plan_of_exec_has_no_mounts_and_no_hooks(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec *spec = parse_text(&arena, rich_config(&arena, "", ""));
	const uint64_t join = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET;
	const struct plan *plan;
	struct host host;
	struct rb_err err = {0};

	CHECK(host_load(host_root, &host, &err) == 0);
	CHECK(plan_build_exec(&arena, spec, &spec->process, &host, join, "/c/g", &run_options,
			      &plan, &err) == 0);
	CHECK(plan_check(plan, &err) == 0);
	CHECK(child_first(plan, OP_HOOK) < 0 && child_first(plan, OP_MOVE_MOUNT) < 0 &&
	      child_first(plan, OP_PIVOT) < 0 && parent_first(plan, OP_RUN_HOOK) < 0);
	/* born into the user and pid namespaces, joins the others before it opens its root */
	CHECK(parent_op(plan, OP_CLONE)->slot == SLOT_INIT);
	CHECK(parent_op(plan, OP_CLONE)->arg[1] == (CLONE_NEWUSER | CLONE_NEWPID));
	CHECK(child_op(plan, OP_SETNS)->arg[0] == (CLONE_NEWNS | CLONE_NEWNET));
	BEFORE(plan, OP_SETNS, OP_OPEN_ROOT);
	BEFORE(plan, OP_UNDUMPABLE, OP_SETNS);
}

static void plan_of_exec_changes_cpus_before_and_after_the_cgroup(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec *spec = parse_text(&arena, rich_config(&arena, "", ""));
	struct spec_process process = spec->process;
	const struct plan_list *cpus;
	const struct plan *plan;
	struct host host;
	struct rb_err err = {0};

	process.affinity_initial = (struct spec_bits){.present = true, .word = {5}};
	process.affinity_final = (struct spec_bits){.present = true, .word = {0, 1}};
	CHECK(host_load(host_root, &host, &err) == 0);
	CHECK(plan_build_exec(&arena, spec, &process, &host, CLONE_NEWNS, "/c/g", &run_options,
			      &plan, &err) == 0);
	CHECK(plan_check(plan, &err) == 0);
	CHECK(child_first(plan, OP_AFFINITY) < child_first(plan, OP_SYNC));
	CHECK(child_first(plan, OP_SYNC) < child_last(plan, OP_AFFINITY));
	cpus = plan_list_at(plan, child_op(plan, OP_AFFINITY)->list);
	CHECK(cpus && cpus->count == 1 && cpus->item[0] == 5);
}

TAP_MAIN(TEST(plan_of_exec_changes_cpus_before_and_after_the_cgroup),
	 TEST(plan_sends_the_process_descriptor_before_the_program_runs),
	 TEST(plan_writes_id_maps_before_the_child_goes_on),
	 TEST(plan_chooses_how_id_maps_are_written),
	 TEST(plan_splits_id_map_lines_where_the_outer_map_does),
	 TEST(plan_refuses_ids_that_are_not_mapped),
	 TEST(plan_refuses_groups_where_setgroups_is_denied),
	 TEST(plan_refuses_a_configuration_that_would_change_the_host),
	 TEST(plan_refuses_labels_of_a_module_that_is_not_active),
	 TEST(plan_grants_no_capability_that_the_host_lacks),
	 TEST(plan_without_capabilities_grants_none), TEST(plan_joins_namespaces_by_path),
	 TEST(plan_mounts_beside_an_inherited_mount_namespace),
	 TEST(plan_of_exec_takes_the_root_of_the_first_process),
	 TEST(plan_makes_the_cgroup_namespace_after_joining_the_cgroup),
	 TEST(plan_lets_a_rootless_step_go_on_without_its_cgroup),
	 TEST(plan_starts_the_monitor_before_the_program_may_run),
	 TEST(plan_runs_early_hooks_while_the_child_waits),
	 TEST(plan_runs_poststart_hooks_after_the_program_began),
	 TEST(plan_gives_hooks_their_own_name_when_there_are_no_args),
	 TEST(plan_without_anything_to_wait_for_does_not_wait),
	 TEST(plan_of_create_waits_for_start),
	 TEST(plan_opens_the_terminal_below_the_root_before_it_is_protected),
	 TEST(plan_without_pivot_moves_the_root), TEST(plan_of_exec_has_no_mounts_and_no_hooks))
