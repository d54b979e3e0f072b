/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which cgroup paths are taken. Only what is refused or absent is asked for, and for a process
 * that cannot exist, so that a mistake here moves nobody. The rest is in tests/runtime.
 */
#include "cgroup/cgroup.h"
#include "tap.h"

enum { NO_PROCESS = INT_MAX };

static void path_that_climbs_is_refused(void)
{
	static const char *const paths[] = {
		"..", "/..", "../x", "/a/../b", "a/..", "/a//../b", "/a/b/..", "/../../x",
	};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		const char *path = NULL;
		struct rb_err err = {0};

		CHECK(cgroup_join(&arena, paths[i], NO_PROCESS, &path, &err) == -EINVAL);
		CHECK(!path && err.code == RB_CGROUP && strstr(err.what, "contains \"..\""));
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

TAP_MAIN(TEST(path_that_climbs_is_refused), TEST(path_that_climbs_is_not_removed),
	 TEST(path_of_the_root_group_is_not_removed), TEST(group_that_is_gone_is_removed))
