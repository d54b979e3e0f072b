/* SPDX-License-Identifier: Apache-2.0 */
/* What launch/ decides before it touches a process. The rest is in tests/runtime. */
#include "base/strbuf.h"
#include "launch/criu_rpc.h"
#include "launch/launch.h"
#include "scratch.h"
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

/* Fields that a dump or a restore has only when they are asked for. */
static void criu_request_has_what_was_asked_for(void)
{
	static const char expected[] = "\x08\x01\x12\x47" /* type DUMP, opts of 71 bytes */
				       "\x08\x04\x48\x04\x52\x01l"
				       "\x5a\x0d\x0a\x09"
				       "127.0.0.1"
				       "\x10\x50" /* ps, port 80 */
				       "\x60\x01\x6a\x02/r"
				       "\x90\x01\x01" /* link_remap */
				       "\xc0\x01\x01\x90\x02\x03"
				       "\xf0\x02\x01" /* tcp_skip_in_flight */
				       "\x80\x03\x01" /* lazy_pages */
				       "\x90\x03\x01"
				       "\xaa\x03\x0a"
				       "apparmor:p"
				       "\xfa\x03\x09"
				       "system_u:";
	const struct criu_request request = {
		.type = CRIU_DUMP,
		.images = 4,
		.work = -1,
		.log = "l",
		.root = "/r",
		.cgroups = CRIU_CGROUPS_SOFT,
		.link_remap = true,
		.tcp_skip_in_flight = true,
		.lazy_pages = true,
		.page_server = "127.0.0.1",
		.page_server_port = 80,
		.lsm_profile = "apparmor:p",
		.lsm_mount_context = "system_u:",
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

/* ---- resctrl: a tree with the kernel's files, which a plain directory does not grow -------- */

static struct scratch resctrl_enter(void)
{
	struct scratch scratch = scratch_enter();

	CHECK(mkdirat(scratch.fd, "info", 0700) == 0 && mkdirat(scratch.fd, "gold", 0700) == 0 &&
	      mkdirat(scratch.fd, "gold/mon_groups", 0700) == 0 &&
	      mkdirat(scratch.fd, "gold/mon_groups/c1", 0700) == 0 &&
	      mkdirat(scratch.fd, "state", 0700) == 0);
	scratch_file(&scratch, "tasks", "", 0);
	scratch_file(&scratch, "gold/tasks", "", 0);
	scratch_file(&scratch, "gold/schemata", "", 0);
	scratch_file(&scratch, "gold/mon_groups/c1/tasks", "", 0);
	return scratch;
}

static bool file_holds(const struct scratch *scratch, const char *name, const char *text)
{
	char bytes[256] = "";

	return file_read_small(scratch->fd, name, bytes, sizeof(bytes)) >= 0 && str_eq(bytes, text);
}

/* What the state directory says is to be removed, below the tree. */
static bool noted(const struct scratch *scratch, const char *name)
{
	char text[256] = "";
	char expected[256] = "";

	if (readlinkat(scratch->fd, "state/resctrl", text, sizeof(text) - 1) > 0)
		snprintf(expected, sizeof(expected), "%s/%s", scratch->path, name);
	return str_eq(text, expected) && (text[0] != '\0') == (name[0] != '\0');
}

static int resctrl_try(const struct scratch *scratch, struct resctrl_job job, struct rb_err *err)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_FD int state = openat(scratch->fd, "state", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	job.arena = &arena;
	job.root = scratch->path;
	job.directory = state;
	job.schemata = job.schemata ? job.schemata : "";
	return resctrl_apply(&job, err);
}

static void resctrl_class_gets_schemata_process_and_monitoring(void)
{
	CLEANUP_SCRATCH struct scratch scratch = resctrl_enter();
	struct rb_err err = {0};

	CHECK(resctrl_try(&scratch,
			  (struct resctrl_job){.class = "gold",
					       .monitor = "c1",
					       .schemata = "L3:0=f\nMB:0=20\n",
					       .make = true,
					       .pid = 77},
			  &err) == 0);
	CHECK(file_holds(&scratch, "gold/schemata", "L3:0=f\nMB:0=20\n"));
	CHECK(file_holds(&scratch, "gold/tasks", "77"));
	CHECK(file_holds(&scratch, "gold/mon_groups/c1/tasks", "77"));
	/* the class is shared and stays, its monitoring group does not */
	CHECK(noted(&scratch, "gold/mon_groups/c1"));
}

static void resctrl_class_of_the_container_is_noted_only_when_it_is_made(void)
{
	CLEANUP_SCRATCH struct scratch scratch = resctrl_enter();
	const struct resctrl_job own = {.make = true, .own = true, .pid = 77};
	struct resctrl_job job = own;
	struct rb_err err = {0};
	struct stat st;

	job.class = "gold";
	CHECK(resctrl_try(&scratch, job, &err) == 0 && noted(&scratch, ""));
	CHECK(file_holds(&scratch, "gold/schemata", ""));
	job.class = "c2";
	/* without the kernel the new group has no files: what was made is noted all the same */
	CHECK(resctrl_try(&scratch, job, &err) == -ENOENT && err.code == RB_RDT);
	CHECK(strstr(err.what, "join the group 'c2'"));
	CHECK(fstatat(scratch.fd, "c2", &st, 0) == 0 && noted(&scratch, "c2"));
}

static void resctrl_failures_are_told_in_the_kernels_words(void)
{
	CLEANUP_SCRATCH struct scratch scratch = resctrl_enter();
	struct rb_err err = {0};

	/* a named class of which nothing is said must be there; for exec it need not */
	CHECK(resctrl_try(&scratch, (struct resctrl_job){.class = "iron", .pid = 77}, &err) ==
	      -ENOENT);
	CHECK(err.code == RB_RDT && strstr(err.what, "find the class 'iron'") &&
	      noted(&scratch, ""));
	CHECK(resctrl_try(&scratch, (struct resctrl_job){.class = "iron", .join = true, .pid = 77},
			  &err) == 0);
	scratch_file(&scratch, "info/last_cmd_status", "mask f is out of range\n", 23);
	CHECK(unlinkat(scratch.fd, "gold/schemata", 0) == 0);
	CHECK(resctrl_try(&scratch,
			  (struct resctrl_job){
				  .class = "gold", .schemata = "L3:0=f\n", .make = true, .pid = 77},
			  &err) == -ENOENT);
	CHECK(strstr(err.what, "write the schemata of 'gold'") &&
	      str_eq(err.fix, "the kernel says: mask f is out of range"));
	/* not one instruction without the limits */
	CHECK(file_holds(&scratch, "gold/tasks", ""));
}

static void resctrl_root_class_is_the_mount(void)
{
	CLEANUP_SCRATCH struct scratch scratch = resctrl_enter();
	struct rb_err err = {0};

	CHECK(resctrl_try(&scratch, (struct resctrl_job){.class = "/", .pid = 77}, &err) == 0);
	CHECK(file_holds(&scratch, "tasks", "77") && noted(&scratch, ""));
}

TAP_MAIN(TEST(idmap_beyond_the_kernels_limits_is_refused), TEST(idmap_of_no_process_is_an_error),
	 TEST(criu_request_has_criu_s_encoding), TEST(criu_request_has_what_was_asked_for),
	 TEST(criu_reply_is_decoded), TEST(criu_reply_that_is_cut_or_wrong_is_refused),
	 TEST(resctrl_class_gets_schemata_process_and_monitoring),
	 TEST(resctrl_class_of_the_container_is_noted_only_when_it_is_made),
	 TEST(resctrl_failures_are_told_in_the_kernels_words),
	 TEST(resctrl_root_class_is_the_mount))
