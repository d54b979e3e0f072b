/* SPDX-License-Identifier: Apache-2.0 */
/* What launch/ decides before it touches a process. The rest is in tests/runtime. */
#include "base/strbuf.h"
#include "launch/criu_rpc.h"
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

/* Bytes as protoc makes them of the same message. */
static void criu_request_has_criu_s_encoding(void)
{
	static const struct criu_pair mounts[] = {{"/a", "/b"}};
	static const struct criu_inherited inherited[] = {{"pipe:[1]", 300}};
	static const char expected[] = "\x08\x02\x12\x50" /* type RESTORE, opts of 80 bytes */
				       "\x08\x04\x18\x01\x30\x01\x48\x04\x52\x01l\x60\x01\x6a\x02/r"
				       "\x88\x01\x05\xc0\x01\x01\xd0\x01\x01\x90\x02\x03"
				       "\xb0\x02\x80\x80\x80\x80\x04\x90\x03\x01"
				       "\xba\x01\x08\x0a\x02/a\x12\x02/b"
				       "\xda\x01\x0d\x0a\x08pipe:[1]\x10\xac\x02"
				       "\xaa\x02\x0bnet[1]:NAME";
	const char *external[] = {"net[1]:NAME"};
	const struct criu_request request = {
		.type = CRIU_RESTORE,
		.images = 4,
		.work = 5,
		.log = "l",
		.root = "/r",
		.cgroups = CRIU_CGROUPS_SOFT,
		.leave_running = true,
		.empty_ns = 0x40000000,
		.mounts = mounts,
		.n_mounts = 1,
		.external = external,
		.n_external = 1,
		.inherited = inherited,
		.n_inherited = 1,
	};
	CLEANUP_STRBUF struct strbuf text = {0};

	criu_encode(&request, &text);
	CHECK(text.len == sizeof(expected) - 1);
	CHECK(text.len == sizeof(expected) - 1 && memcmp(text.text, expected, text.len) == 0);
}

static void criu_reply_is_decoded(void)
{
	static const char notify[] = "\x08\x06\x10\x01\x2a\x11\x0a\x0cpost-restore\x10\xac\x02";
	static const char failed[] = "\x08\x02\x10\x00\x38\x03\x4a\x02no\xf9\x01"
				     "12345678";
	struct criu_reply reply;

	CHECK(criu_decode(notify, sizeof(notify) - 1, &reply) == 0 && reply.success);
	CHECK(reply.type == CRIU_NOTIFY && reply.pid == 300 &&
	      str_eq(reply.script, "post-restore"));
	CHECK(criu_decode(failed, sizeof(failed) - 1, &reply) == 0 && !reply.success);
	CHECK(reply.type == CRIU_RESTORE && reply.errnum == 3);
}

static void criu_reply_that_is_cut_or_wrong_is_refused(void)
{
	static const char notify[] = "\x08\x06\x10\x01\x2a\x11\x0a\x0cpost-restore\x10\xac\x02";
	static const char *const wrong[] = {"\x08", "\x0b", "\x2a\x7f",
					    "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"};
	struct criu_reply reply = {.pid = 7};

	/* after the fourth byte the message is whole, without its notify */
	for (size_t len = 0; len < sizeof(notify) - 1; len++)
		CHECK(len == 2 || len == 4 || criu_decode(notify, len, &reply) == -EPROTO);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		CHECK(criu_decode(wrong[i], strlen(wrong[i]), &reply) == -EPROTO);
	CHECK(criu_decode("\x10\x01", 2, &reply) == -EPROTO);
}

TAP_MAIN(TEST(idmap_beyond_the_kernels_limits_is_refused), TEST(idmap_of_no_process_is_an_error),
	 TEST(criu_request_has_criu_s_encoding), TEST(criu_reply_is_decoded),
	 TEST(criu_reply_that_is_cut_or_wrong_is_refused))
