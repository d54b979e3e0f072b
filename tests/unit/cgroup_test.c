/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which cgroup paths are taken. Only what is refused or absent is asked for. The rest is in
 * tests/runtime and tests/oci.
 */
#include "cgroup/cgroup.h"
#include "tap.h"

static void path_that_climbs_is_refused(void)
{
	static const char *const paths[] = {
		"..", "/..", "../x", "/a/../b", "a/..", "/a//../b", "/a/b/..", "/../../x",
	};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		struct cgroup cgroup = {.n = 0};
		struct rb_err err = {0};

		CHECK(cgroup_make(&arena, paths[i], &cgroup, &err) == -EINVAL);
		CHECK(cgroup.n == 0 && err.code == RB_CGROUP &&
		      strstr(err.what, "contains \"..\""));
	}
}

static void path_that_climbs_is_not_removed(void)
{
	CHECK(cgroup_remove("/runbuild-no-such/../runbuild-no-such") == -EINVAL);
	CHECK(cgroup_remove("/runbuild-no-such/..") == -EINVAL);
}

static void path_of_the_root_group_is_not_removed(void)
{
	CHECK(cgroup_remove("/") == -EINVAL);
	CHECK(cgroup_remove("") == -EINVAL);
	CHECK(cgroup_remove("name") == -EINVAL);
	CHECK(cgroup_remove("/runbuild-no-such/") == -EINVAL);
}

static void group_that_is_gone_is_removed(void)
{
	CHECK(cgroup_remove("/runbuild-no-such-group") == 0);
	CHECK(cgroup_remove("/runbuild-no-such-group/below") == 0);
	cgroup_kill("/runbuild-no-such-group");
}

static void name_says_the_path_of_each_hierarchy(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct cgroup same = {.n = 2};
	struct cgroup differ = {.n = 2};
	struct cgroup other = {.n = 0};

	same.v[0] = (struct cgroup_member){.hierarchy = "memory", .path = "/a/b"};
	same.v[1] = (struct cgroup_member){.hierarchy = "pids", .path = "/a/b"};
	CHECK_STR(cgroup_name(&arena, &same), "/a/b");
	differ.v[0] = same.v[0];
	differ.v[1] = (struct cgroup_member){.hierarchy = "pids", .path = "/b"};
	CHECK_STR(cgroup_name(&arena, &differ), "memory /a/b\npids /b");
	CHECK(cgroup_open(&arena, "no-such-hierarchy /a", &other) < 0 && other.n == 0);
}

static void note_that_is_not_one_removes_nothing(void)
{
	static const char *const notes[] = {
		"",
		"\n",
		"/runbuild\n",
		"x unified /runbuild\n",
		"12\n",
		"12 unified\n",
		"12 no-such-hierarchy /runbuild", /* cut: its writer was killed */
	};

	for (size_t i = 0; i < ARRAY_LEN(notes); i++)
		CHECK(cgroup_remove_noted(notes[i]) == cgroup_remove_noted(""));
	CHECK(cgroup_remove_noted("12 no-such-hierarchy /runbuild\n") < 0);
}

static void controllers_of_a_hierarchy_are_known_by_each_name(void)
{
	CHECK(cgroup_names_match("cpu,cpuacct", "cpu"));
	CHECK(cgroup_names_match("cpu,cpuacct", "cpu,cpuacct"));
	CHECK(cgroup_names_match("cpuacct", "cpu,cpuacct"));
	CHECK(!cgroup_names_match("cpu,cpuacct", "cpuset"));
	CHECK(!cgroup_names_match("cpu,cpuacct", "whaaat"));
}

TAP_MAIN(TEST(name_says_the_path_of_each_hierarchy),
	 TEST(controllers_of_a_hierarchy_are_known_by_each_name), TEST(path_that_climbs_is_refused),
	 TEST(path_that_climbs_is_not_removed), TEST(path_of_the_root_group_is_not_removed),
	 TEST(group_that_is_gone_is_removed), TEST(note_that_is_not_one_removes_nothing))
