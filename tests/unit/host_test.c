/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts about the machine: the text form they are printed in and loaded from, id maps, helper
 * programs, and the wording of refused namespaces.
 */
#include <sys/prctl.h>
#include <sys/wait.h>
#include "base/strbuf.h"
#include "host/helper.h"
#include "host/host.h"
#include "host/userns_check.h"
#include "scratch.h"
#include "tap.h"

/* ---- id maps ------------------------------------------------------------------------------- */

static void idmap_text_of_the_kernel_is_read(void)
{
	struct host_idmap map;

	CHECK(host_idmap_parse("         0       1001          1\n"
			       "         1     100000      65536\n",
			       &map) == 0);
	CHECK(map.n == 2 && map.v[0].inside == 0 && map.v[0].outside == 1001 &&
	      map.v[0].count == 1);
	CHECK(map.v[1].inside == 1 && map.v[1].outside == 100000 && map.v[1].count == 65536);
	CHECK(host_idmap_parse("0 0 4294967295", &map) == 0 && map.v[0].count == UINT32_MAX);
	CHECK(host_idmap_parse("", &map) == 0 && map.n == 0);
}

static void idmap_text_of_another_kind_is_refused(void)
{
	static const char *const texts[] = {"0",         "0 0",     "0 0 1 1\n",        "a b c",
					    "0 0 -1",    "-1 0 1",  "0 0 4294967296\n", "\n",
					    "0\n0\n1\n", "0 0 1x\n"};
	struct host_idmap map;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		CHECK(host_idmap_parse(texts[i], &map) == -EINVAL);
}

static void idmap_has_at_most_340_lines(void)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	struct host_idmap map;

	for (unsigned i = 0; i < 340; i++)
		strbuf_printf(&text, "%u %u 1\n", i, i);
	CHECK(host_idmap_parse(text.text, &map) == 0 && map.n == 340);
	strbuf_add(&text, "340 340 1\n");
	CHECK(host_idmap_parse(text.text, &map) == -EINVAL);
}

static void idmap_says_which_ids_are_mapped(void)
{
	struct host_idmap map = {.n = 2, .v = {{0, 1000, 1}, {4294967290u, 5, 5}}};

	CHECK(host_id_mapped(&map, 0) && !host_id_mapped(&map, 1));
	CHECK(!host_id_mapped(&map, 4294967289u) && host_id_mapped(&map, 4294967290u));
	CHECK(host_id_mapped(&map, 4294967294u) && !host_id_mapped(&map, 4294967295u));
	map.n = 0;
	CHECK(!host_id_mapped(&map, 0));
}

/* ---- the text form ------------------------------------------------------------------------- */

static void host_printed_and_loaded_is_the_same(void)
{
	static const enum host_cgroup_mode modes[] = {HOST_CGROUP_NONE, HOST_CGROUP_V1,
						      HOST_CGROUP_HYBRID, HOST_CGROUP_V2};

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		CLEANUP_STRBUF struct strbuf first = {0};
		CLEANUP_STRBUF struct strbuf second = {0};
		struct host host = {
			.euid = 1001,
			.egid = UINT32_MAX - 1,
			.caps_effective = UINT64_MAX,
			.caps_bounding = 1,
			.in_user_namespace = i & 1,
			.setgroups_denied = i & 2,
			.uid_map = {.n = 2, .v = {{0, 1001, 1}, {1, 100000, 65536}}},
			.gid_map = {.n = 1, .v = {{7, 8, 9}}},
			.no_new_privileges = !(i & 1),
			.cgroup_mode = modes[i],
			.apparmor = i & 1,
			.selinux = i & 2,
			.exe_writable = true,
		};
		struct host loaded;
		struct rb_err err;

		host_print(&host, &first);
		CHECK(host_load(first.text, &loaded, &err) == 0);
		host_print(&loaded, &second);
		CHECK_STR(second.text, first.text);
		CHECK(memcmp(&host, &loaded, sizeof(host)) == 0);
	}
}

static void host_of_this_process_survives_its_text(void)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	struct host host;
	struct host loaded;
	struct rb_err err = {0};

	CHECK(host_probe(HOST_WANT_ALL, &host, &err) == 0);
	CHECK(host.euid == geteuid() && host.egid == getegid());
	/* a process sees itself mapped unless its id is the overflow id */
	CHECK(host.uid_map.n > 0 && host.gid_map.n > 0);
	host_print(&host, &text);
	CHECK(host_load(text.text, &loaded, &err) == 0);
	CHECK(memcmp(&host, &loaded, sizeof(host)) == 0);
}

static void host_text_may_hold_comments_and_blank_lines(void)
{
	struct host host;
	struct rb_err err;

	CHECK(host_load("# a host\n\neuid 5\n", &host, &err) == 0 && host.euid == 5);
	CHECK(host_load("", &host, &err) == 0 && host.euid == 0);
	CHECK(host_load("euid 5", &host, &err) == 0 && host.euid == 5);
}

static void host_text_with_a_flaw_is_refused_with_its_line(void)
{
	static const struct {
		const char *text, *line;
	} rows[] = {
		{"euid 0\nwhat 1\n", "line 2"},
		{"euid\n", "line 1"},
		{"# c\n\neuid x\n", "line 3"},
		{"euid 4294967296\n", "line 1"},
		{"caps_effective 0x1\n", "line 1"},
		{"caps_bounding 18446744073709551616\n", "line 1"},
		{"apparmor yes\n", "line 1"},
		{"apparmor 2\n", "line 1"},
		{"apparmor 1x\n", "line 1"},
		{"apparmor \n", "line 1"},
		{"cgroup_mode v3\n", "line 1"},
		{"uid_map 0 0\n", "line 1"},
		{"uid_map \n", "line 1"},
		{"gid_map 0 0 1 1\n", "line 1"},
		{"euid 0 0\n", "line 1"},
		{" euid 0\n", "line 1"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct host host;
		struct rb_err err = {0};

		CHECK(host_load(rows[i].text, &host, &err) < 0 && err.code == RB_CONFIG_SYNTAX);
		if (!strstr(err.what, rows[i].line))
			CHECK_STR(err.what, rows[i].line);
	}
}

static void host_text_with_a_long_line_is_refused(void)
{
	char text[800];
	struct host host;
	struct rb_err err = {0};

	memset(text, '1', sizeof(text) - 1);
	memcpy(text, "euid ", 5);
	text[sizeof(text) - 1] = '\0';
	CHECK(host_load(text, &host, &err) < 0 && strstr(err.what, "line 1 is too long"));
}

/* ---- helpers ------------------------------------------------------------------------------- */

static void helper_is_an_absolute_path_of_a_program(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const char *path = helper_find(&arena, "sh");

	CHECK(path && path[0] == '/' && access(path, X_OK) == 0);
	CHECK(!helper_find(&arena, "no-such-program-of-runbuild"));
}

static void helper_in_a_callers_path_is_not_taken_with_privilege(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_ARENA struct arena arena = {0};
	struct host host;
	struct rb_err err;
	const char *found;

	scratch_file(&scratch, "runbuild-test-helper", "#!/bin/sh\n", 10);
	CHECK(fchmodat(scratch.fd, "runbuild-test-helper", 0755, 0) == 0);
	setenv("PATH", scratch.path, 1);
	CHECK(host_probe(0, &host, &err) == 0);
	found = helper_find(&arena, "runbuild-test-helper");
	CHECK((found == NULL) == (geteuid() == 0 || host.caps_effective != 0));
}

static void helper_without_setuid_bit_is_explained(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_ARENA struct arena arena = {0};
	const char *path = arena_printf(&arena, "%s/newuidmap", scratch.path);
	struct rb_err err = {0};

	scratch_file(&scratch, "newuidmap", "", 0);
	CHECK(helper_check_idmap(path, &err) == -EPERM);
	CHECK(err.code == RB_IDMAP_HELPER_PRIVILEGE || err.code == RB_NO_NEW_PRIVS ||
	      err.code == RB_IDMAP_SETUID_BOUND);
	if (err.code == RB_IDMAP_HELPER_PRIVILEGE)
		CHECK_STR(err.fix, arena_printf(&arena, "sudo chmod u+s %s", path));
}

/* In a child, because neither can be undone. */
static bool child_agrees(int (*check)(void))
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		_exit(check() ? 0 : 1);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int no_new_privs_is_named(void)
{
	struct rb_err err = {0};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       helper_check_idmap("/usr/bin/newuidmap", &err) == -EPERM &&
	       err.code == RB_NO_NEW_PRIVS && err.fix[0];
}

static void helper_under_no_new_privs_is_explained(void)
{
	CHECK(child_agrees(no_new_privs_is_named));
}

/* ---- namespaces ---------------------------------------------------------------------------- */

static void refused_namespaces_are_explained(void)
{
	static const struct {
		int errnum;
		bool user;
		enum rb_code code;
	} rows[] = {
		{ENOSPC, true, RB_USERNS_LIMIT}, {EINVAL, true, RB_KERNEL},
		{ENOSYS, false, RB_KERNEL},      {EPERM, false, RB_NOT_ROOT},
		{ENOMEM, true, RB_NAMESPACE},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rb_err err = {0};

		CHECK(userns_explain(rows[i].errnum, rows[i].user, &err) == -rows[i].errnum);
		CHECK(err.code == rows[i].code && err.what[0]);
	}
}

static void refused_user_namespace_has_a_cause(void)
{
	struct rb_err err = {0};

	/* which one depends on where this runs; each is a code of its own */
	CHECK(userns_explain(EPERM, true, &err) == -EPERM);
	CHECK(err.code == RB_USERNS_DENIED || err.code == RB_USERNS_SECCOMP ||
	      err.code == RB_USERNS_CHROOT);
}

TAP_MAIN(TEST(idmap_text_of_the_kernel_is_read), TEST(idmap_text_of_another_kind_is_refused),
	 TEST(idmap_has_at_most_340_lines), TEST(idmap_says_which_ids_are_mapped),
	 TEST(host_printed_and_loaded_is_the_same), TEST(host_of_this_process_survives_its_text),
	 TEST(host_text_may_hold_comments_and_blank_lines),
	 TEST(host_text_with_a_flaw_is_refused_with_its_line),
	 TEST(host_text_with_a_long_line_is_refused), TEST(helper_is_an_absolute_path_of_a_program),
	 TEST(helper_in_a_callers_path_is_not_taken_with_privilege),
	 TEST(helper_without_setuid_bit_is_explained), TEST(helper_under_no_new_privs_is_explained),
	 TEST(refused_namespaces_are_explained), TEST(refused_user_namespace_has_a_cause))
