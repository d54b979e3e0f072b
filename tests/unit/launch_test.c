/* SPDX-License-Identifier: Apache-2.0 */
/* What launch/ decides before it touches a process. The rest is in tests/runtime. */
#include "base/strbuf.h"
#include "launch/launch.h"
#include "tap.h"

/* Above the largest number a process can have: nothing can happen to anybody. */
enum { NO_PROCESS = INT_MAX };

static bool refused(const char *uid_map, const char *gid_map, const char *what)
{
	static const enum plan_idmap_method methods[] = {IDMAP_DIRECT, IDMAP_DIRECT_DENY,
							 IDMAP_HELPER};
	bool right = true;

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		struct rb_err err = {0};
		int r = idmap_write(&arena, NO_PROCESS, uid_map, gid_map, methods[i], &err);

		right &= r == -E2BIG && err.code == RB_IDMAP_LIMIT && err.fix[0] &&
			 str_eq(err.what, what);
	}
	return right;
}

static void idmap_beyond_the_kernels_limits_is_refused(void)
{
	CLEANUP_STRBUF struct strbuf lines = {0};
	CLEANUP_STRBUF struct strbuf bytes = {0};

	for (unsigned i = 0; i < 341; i++)
		strbuf_printf(&lines, "%u %u 1\n", i, i);
	for (unsigned i = 0; i < 200; i++)
		strbuf_printf(&bytes, "%u %u 1\n", 1000000000 + i, 1000000000 + i);
	CHECK(refused(lines.text, "0 0 1\n", "the id map has 341 lines, the kernel takes 340"));
	CHECK(refused("0 0 1\n", lines.text, "the id map has 341 lines, the kernel takes 340"));
	CHECK(refused(bytes.text, "0 0 1\n", "the id map has 4800 bytes, the kernel takes 4095"));
}

static void idmap_of_no_process_is_an_error(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct rb_err err = {0};

	CHECK(idmap_write(&arena, NO_PROCESS, "0 0 1\n", "0 0 1\n", IDMAP_DIRECT, &err) == -ENOENT);
	CHECK(err.code == RB_IDMAP_WRITE);
}

TAP_MAIN(TEST(idmap_beyond_the_kernels_limits_is_refused), TEST(idmap_of_no_process_is_an_error))
