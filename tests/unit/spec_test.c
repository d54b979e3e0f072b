/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json to struct spec: the document and "process". What is taken, and
 * for everything that is not: its code and the JSON pointer of the culprit. The capability table
 * is judged by libcap.
 */
#include <strings.h>
#include <sys/capability.h>
#include <sys/resource.h>
#include "base/strbuf.h"
#include "base/sys.h"
#include "config.h"

/* ---- the document -------------------------------------------------------------------------- */

static void minimal_configuration_is_taken(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec *spec = parse_with(&arena, TOP, "");

	if (!spec)
		return;
	CHECK_STR(spec->oci_version, "1.2.0");
	CHECK_STR(spec->root_path, "/bundle/rootfs");
	CHECK_STR(spec->cgroups_path, "");
	CHECK(!spec->root_readonly && !spec->hostname && spec->n_mounts == 0);
	CHECK(spec->process.present && !spec->process.caps.present && !spec->process.has_umask);
	CHECK(spec->n_namespaces == 4 && spec_namespace_find(spec, CLONE_NEWNS));
	CHECK(!spec_namespace_find(spec, CLONE_NEWPID) && !spec->seccomp.present);
}

static void buildkits_configuration_is_taken(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const char *text = tree_file(&arena, "tests/data/buildkit-rootless.json.in", NULL);
	const struct spec *spec = text ? parse_text(&arena, text) : NULL;

	if (!spec)
		return;
	CHECK(spec->n_mounts == 8 && spec->masked_paths.n == 11 && spec->readonly_paths.n == 5);
	CHECK_STR(spec->mounts[2].origin, "/mounts/2");
	CHECK_STR(spec->hostname, "buildkitsandbox");
	CHECK(spec->process.args.n == 3 && !spec->process.args.v[3]);
	CHECK(spec->process.n_groups == 1 && spec->process.groups[0] == 0);
	CHECK(spec->process.caps.bounding == 0xa80425fb && spec->process.caps.ambient == 0);
	CHECK(spec->seccomp.present && spec->seccomp.n_rules == 15 &&
	      spec->seccomp.default_action == (SECCOMP_RET_ERRNO | EPERM));
}

static void configuration_cut_at_any_byte_is_refused(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	size_t len = 0;
	char *text = tree_file(&arena, "tests/data/buildkit-rootless.json.in", &len);
	size_t wrong = 0;

	while (len > 0 && text[len - 1] != '}')
		len--;
	for (size_t cut = 0; cut < len; cut++) {
		CLEANUP_ARENA struct arena one = {0};
		const struct spec *spec = NULL;
		struct rb_err err = {0};
		/* an exact copy, so that a sanitizer sees a read beyond it */
		CLEANUP_FREE char *copy = malloc(cut ? cut : 1);

		memcpy(copy, text, cut);
		wrong += spec_parse(&one, copy, cut, "/bundle", &spec, &err) != -EINVAL || spec ||
			 err.code != RB_CONFIG_SYNTAX;
	}
	CHECK(len > 10000 && wrong == 0);
}

static void documents_that_are_not_a_configuration_are_refused(void)
{
	static const struct refusal rows[] = {
		{WHOLE, "", RB_CONFIG_SYNTAX, ""},
		{WHOLE, "[]", RB_CONFIG_TYPE, ""},
		{WHOLE, "null", RB_CONFIG_TYPE, ""},
		{WHOLE, "{}", RB_CONFIG_MISSING, ""},
		{WHOLE, "{\"ociVersion\":1}", RB_CONFIG_TYPE, "/ociVersion"},
		{WHOLE, "{\"ociVersion\":\"2.0.0\"}", RB_CONFIG_VERSION, "/ociVersion"},
		{WHOLE, "{\"ociVersion\":\"10.0\"}", RB_CONFIG_VERSION, "/ociVersion"},
		{WHOLE, "{\"ociVersion\":\"\"}", RB_CONFIG_VERSION, "/ociVersion"},
		{WHOLE, "{\"ociVersion\":\"1.0.2\"}", RB_CONFIG_MISSING, ""},
		{WHOLE, "{\"ociVersion\":\"1.0.2\",\"root\":\"/\"}", RB_CONFIG_TYPE, "/root"},
		{WHOLE, "{\"ociVersion\":\"1.0.2\",\"root\":{}}", RB_CONFIG_MISSING, "/root"},
		{WHOLE, "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"\"}}", RB_CONFIG_MISSING,
		 "/root"},
		{WHOLE, "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\",\"readonly\":1}}",
		 RB_CONFIG_TYPE, "/root/readonly"},
		{TOP, ",\"process\":{}", RB_CONFIG_DUPLICATE, ""},
		{TOP, ",\"mounts\":{}", RB_CONFIG_TYPE, "/mounts"},
		{TOP, ",\"hooks\":[]", RB_CONFIG_TYPE, "/hooks"},
		{TOP, ",\"annotations\":{\"a\":1}", RB_CONFIG_TYPE, "/annotations/a"},
		{TOP, ",\"annotations\":{\"a/b\":null}", RB_CONFIG_TYPE, "/annotations/a~1b"},
		{TOP, ",\"hostname\":1", RB_CONFIG_TYPE, "/hostname"},
		{WHOLE, "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"process\":[]}",
		 RB_CONFIG_TYPE, "/process"},
		{WHOLE, "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"linux\":1}",
		 RB_CONFIG_TYPE, "/linux"},
	};

	check_refusals(rows, ARRAY_LEN(rows));
}

static void duplicate_members_are_refused_at_every_level(void)
{
	static const struct refusal rows[] = {
		{WHOLE, "{\"ociVersion\":\"1.0.2\",\"ociVersion\":\"1.0.2\"}", RB_CONFIG_DUPLICATE,
		 ""},
		{PROCESS, ",\"cwd\":\"/tmp\"", RB_CONFIG_DUPLICATE, "/process"},
		{PROCESS, ",\"user\":{\"uid\":0,\"uid\":1000}", RB_CONFIG_DUPLICATE,
		 "/process/user"},
		{LINUX,
		 ",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultAction\":"
		 "\"SCMP_ACT_ALLOW\"}",
		 RB_CONFIG_DUPLICATE, "/linux/seccomp"},
		/* also in what is not read otherwise */
		{TOP, ",\"windows\":[{\"x\":1,\"x\":2}]", RB_CONFIG_DUPLICATE, "/windows/0"},
	};

	check_refusals(rows, ARRAY_LEN(rows));
}

static void unknown_members_are_ignored(void)
{
	CLEANUP_ARENA struct arena arena = {0};

	/* runtime-spec config.md#extensibility */
	CHECK(parse_with(&arena, TOP, ",\"x-new\":{\"a\":[1]}"));
	CHECK(parse_with(&arena, PROCESS, ",\"x-new\":1"));
	CHECK(parse_with(&arena, LINUX, ",\"x-new\":1"));
}

static void null_members_count_as_absent(void)
{
	CLEANUP_ARENA struct arena arena = {0};

	/* Go programs write nil slices and maps so */
	CHECK(parse_with(&arena, TOP, ",\"mounts\":null,\"hooks\":null,\"hostname\":null"));
	CHECK(parse_with(&arena, PROCESS, ",\"env\":null,\"capabilities\":null,\"rlimits\":null"));
	CHECK(parse_with(&arena, LINUX, ",\"resources\":null,\"seccomp\":null,\"devices\":null"));
}

static void bytes_beyond_any_limit_are_one_error(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf text = {0};
	const struct spec *spec = NULL;
	struct rb_err err = {0};
	char *deep = arena_alloc(&arena, 1000001);

	memset(deep, '[', 1000000);
	strbuf_printf(&text, "{\"ociVersion\":%s", deep);
	CHECK(spec_parse(&arena, text.text, text.len, "/b", &spec, &err) == -EINVAL);
	CHECK(err.code == RB_CONFIG_LIMIT && !spec);
}

static void host_names_need_their_namespace(void)
{
	static const char none[] = "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},"
				   "\"hostname\":\"h\",\"linux\":{}}";
	static const char domain[] = "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},"
				     "\"domainname\":\"d\"}";
	static const struct refusal rows[] = {
		{WHOLE, none, RB_CONFIG_CONFLICT, "/hostname"},
		{WHOLE, domain, RB_CONFIG_CONFLICT, "/domainname"},
		{TOP,
		 ",\"hostname\":\"0123456789012345678901234567890123456789012345678901234567890"
		 "1234\"",
		 RB_CONFIG_LIMIT, "/hostname"},
	};
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec *spec;

	check_refusals(rows, ARRAY_LEN(rows));
	spec = parse_with(&arena, TOP, ",\"hostname\":\"h\",\"domainname\":\"d\"");
	CHECK(spec);
	CHECK_STR(spec->hostname, "h");
	CHECK_STR(spec->domainname, "d");
	spec = parse_with(&arena, TOP, ",\"hostname\":\"\"");
	CHECK(spec && !spec->hostname);
}

/* ---- process ------------------------------------------------------------------------------- */

static void process_is_read_whole(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec *spec = parse_with(
		&arena, PROCESS,
		",\"terminal\":true,\"consoleSize\":{\"height\":24,\"width\":80},"
		"\"user\":{\"uid\":4294967294,\"gid\":7,\"umask\":18,\"additionalGids\":[1,2,3]},"
		"\"env\":[\"A=b\",\"C=\"],\"noNewPrivileges\":true,\"oomScoreAdj\":-1000,"
		"\"apparmorProfile\":\"p\",\"selinuxLabel\":\"l\","
		"\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_CHECKPOINT_RESTORE\"],"
		"\"effective\":[\"CAP_KILL\"],\"permitted\":[],\"ambient\":[\"CAP_SETUID\"]}");
	const struct spec_process *p = spec ? &spec->process : NULL;

	if (!p)
		return;
	CHECK(p->terminal && p->rows == 24 && p->columns == 80);
	CHECK(p->uid == 4294967294u && p->gid == 7 && p->has_umask && p->umask == 022);
	CHECK(p->n_groups == 3 && p->groups[2] == 3);
	CHECK(p->env.n == 2 && !p->env.v[2]);
	CHECK_STR(p->env.v[1], "C=");
	CHECK_STR(p->env.origin, "/process/env");
	CHECK(p->no_new_privileges && p->has_oom_score_adj && p->oom_score_adj == -1000);
	CHECK(p->caps.present && p->caps.bounding == ((1ull << 40) | 1) &&
	      p->caps.effective == 1 << 5 && p->caps.permitted == 0 && p->caps.inheritable == 0 &&
	      p->caps.ambient == 1 << 7 && !p->caps_unknown);
	CHECK_STR(p->apparmor_profile, "p");
	CHECK_STR(p->selinux_label, "l");
}

static void process_members_of_wrong_type_or_value_are_refused(void)
{
	static const struct refusal rows[] = {
		{PROCESS, ",\"terminal\":1", RB_CONFIG_TYPE, "/process/terminal"},
		{PROCESS, ",\"terminal\":\"true\"", RB_CONFIG_TYPE, "/process/terminal"},
		{PROCESS, ",\"consoleSize\":[]", RB_CONFIG_TYPE, "/process/consoleSize"},
		{PROCESS, ",\"consoleSize\":{\"height\":65536}", RB_CONFIG_VALUE,
		 "/process/consoleSize"},
		{PROCESS, ",\"consoleSize\":{\"width\":-1}", RB_CONFIG_VALUE,
		 "/process/consoleSize/width"},
		{PROCESS, ",\"user\":0", RB_CONFIG_TYPE, "/process/user"},
		{PROCESS, ",\"user\":{\"uid\":\"0\"}", RB_CONFIG_TYPE, "/process/user/uid"},
		{PROCESS, ",\"user\":{\"uid\":4294967295}", RB_CONFIG_ID, "/process/user/uid"},
		{PROCESS, ",\"user\":{\"gid\":4294967295}", RB_CONFIG_ID, "/process/user/gid"},
		{PROCESS, ",\"user\":{\"uid\":4294967296}", RB_CONFIG_VALUE, "/process/user/uid"},
		{PROCESS, ",\"user\":{\"uid\":-1}", RB_CONFIG_VALUE, "/process/user/uid"},
		{PROCESS, ",\"user\":{\"uid\":1.5}", RB_CONFIG_VALUE, "/process/user/uid"},
		{PROCESS, ",\"user\":{\"additionalGids\":[0,4294967295]}", RB_CONFIG_ID,
		 "/process/user/additionalGids/1"},
		{PROCESS, ",\"user\":{\"additionalGids\":{}}", RB_CONFIG_TYPE,
		 "/process/user/additionalGids"},
		{PROCESS, ",\"user\":{\"umask\":512}", RB_CONFIG_VALUE, "/process/user/umask"},
		{PROCESS, ",\"env\":[\"A=b\",1]", RB_CONFIG_TYPE, "/process/env/1"},
		{PROCESS, ",\"env\":{}", RB_CONFIG_TYPE, "/process/env"},
		{PROCESS, ",\"noNewPrivileges\":0", RB_CONFIG_TYPE, "/process/noNewPrivileges"},
		{PROCESS, ",\"oomScoreAdj\":1001", RB_CONFIG_VALUE, "/process/oomScoreAdj"},
		{PROCESS, ",\"oomScoreAdj\":-1001", RB_CONFIG_VALUE, "/process/oomScoreAdj"},
		{PROCESS, ",\"oomScoreAdj\":\"0\"", RB_CONFIG_TYPE, "/process/oomScoreAdj"},
		{PROCESS, ",\"capabilities\":[]", RB_CONFIG_TYPE, "/process/capabilities"},
		{PROCESS, ",\"capabilities\":{\"ambient\":\"CAP_KILL\"}", RB_CONFIG_TYPE,
		 "/process/capabilities/ambient"},
		{PROCESS, ",\"capabilities\":{\"bounding\":[5]}", RB_CONFIG_TYPE,
		 "/process/capabilities/bounding/0"},
		{PROCESS, ",\"apparmorProfile\":1", RB_CONFIG_TYPE, "/process/apparmorProfile"},
	};

	check_refusals(rows, ARRAY_LEN(rows));
}

#define START(process)                                                                             \
	"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"process\":" process "}"

static void process_without_args_or_absolute_cwd_is_refused(void)
{
	static const struct refusal rows[] = {
		{WHOLE, START("{}"), RB_CONFIG_MISSING, "/process"},
		{WHOLE, START("{\"cwd\":\"/\"}"), RB_CONFIG_MISSING, "/process"},
		{WHOLE, START("{\"args\":[\"sh\"]}"), RB_CONFIG_MISSING, "/process"},
		{WHOLE, START("{\"cwd\":\"/\",\"args\":[]}"), RB_CONFIG_VALUE, "/process/args"},
		{WHOLE, START("{\"cwd\":\"/\",\"args\":[\"\"]}"), RB_CONFIG_VALUE, "/process/args"},
		{WHOLE, START("{\"cwd\":\"/\",\"args\":\"sh\"}"), RB_CONFIG_TYPE, "/process/args"},
		{WHOLE, START("{\"cwd\":\"\",\"args\":[\"sh\"]}"), RB_CONFIG_VALUE, "/process/cwd"},
		{WHOLE, START("{\"cwd\":\"tmp\",\"args\":[\"sh\"]}"), RB_CONFIG_VALUE,
		 "/process/cwd"},
		{WHOLE, START("{\"cwd\":\"./\",\"args\":[\"sh\"]}"), RB_CONFIG_VALUE,
		 "/process/cwd"},
	};

	check_refusals(rows, ARRAY_LEN(rows));
}

static void scheduling_that_makes_no_sense_is_refused(void)
{
	static const struct refusal rows[] = {
		{PROCESS, ",\"scheduler\":{}", RB_CONFIG_MISSING, "/process/scheduler"},
		{PROCESS, ",\"scheduler\":{\"policy\":\"SCHED_X\"}", RB_CONFIG_UNKNOWN,
		 "/process/scheduler/policy"},
		{PROCESS, ",\"scheduler\":{\"policy\":\"SCHED_RR\",\"priority\":100}",
		 RB_CONFIG_VALUE, "/process/scheduler"},
		{PROCESS, ",\"scheduler\":{\"policy\":\"SCHED_RR\",\"flags\":[\"X\"]}",
		 RB_CONFIG_UNKNOWN, "/process/scheduler/flags/0"},
		{PROCESS, ",\"ioPriority\":{}", RB_CONFIG_MISSING, "/process/ioPriority"},
		{PROCESS, ",\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":8}",
		 RB_CONFIG_VALUE, "/process/ioPriority"},
		{PROCESS, ",\"execCPUAffinity\":{\"initial\":\"3-1\"}", RB_CONFIG_VALUE,
		 "/process/execCPUAffinity/initial"},
		{PROCESS, ",\"execCPUAffinity\":{\"final\":\"0,4096\"}", RB_CONFIG_VALUE,
		 "/process/execCPUAffinity/final"},
	};

	check_refusals(rows, ARRAY_LEN(rows));
}

static void string_longer_than_the_kernel_takes_is_refused(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf members = {0};
	char *text = arena_alloc(&arena, LIMIT_STRING_BYTES + 1);
	struct refusal row = {PROCESS, NULL, RB_CONFIG_LIMIT, "/process/env/0"};

	memset(text, 'x', LIMIT_STRING_BYTES);
	strbuf_printf(&members, ",\"env\":[\"%s\"]", text);
	row.members = members.text;
	check_refusals(&row, 1);
	text[LIMIT_STRING_BYTES - 1] = '\0';
	CHECK(parse_with(&arena, PROCESS, arena_printf(&arena, ",\"env\":[\"%s\"]", text)));
}

static void unknown_capabilities_are_noted_not_refused(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec *spec = parse_with(
		&arena, PROCESS, ",\"capabilities\":{\"bounding\":[\"CAP_NEW\",\"CAP_KILL\"]}");

	/* runtime-spec config.md#linux-process */
	CHECK(spec && spec->process.caps_unknown && spec->process.caps.bounding == 1 << 5);
}

static void capability_names_are_libcaps(void)
{
	char first_unknown[16];

	for (unsigned cap = 0; cap < 64; cap++) {
		char *name = cap_to_name((cap_value_t)cap);
		const char *ours = spec_cap_name(cap);

		/* libcap gives a number for what it does not know */
		CHECK(!ours || strcasecmp(name, ours) == 0 || name[0] < 'a');
		CHECK(ours || name[0] < 'a');
		if (ours)
			CHECK(spec_cap_number(ours) == (int)cap);
		cap_free(name);
	}
	snprintf(first_unknown, sizeof(first_unknown), "cap_kill");
	CHECK(spec_cap_number(first_unknown) == -1 && spec_cap_number("") == -1 &&
	      spec_cap_number("KILL") == -1);
}

static void resource_limits_of_every_name_are_taken(void)
{
	static const struct {
		const char *name;
		int resource;
	} rows[] = {
		{"AS", RLIMIT_AS},
		{"CORE", RLIMIT_CORE},
		{"CPU", RLIMIT_CPU},
		{"DATA", RLIMIT_DATA},
		{"FSIZE", RLIMIT_FSIZE},
		{"LOCKS", RLIMIT_LOCKS},
		{"MEMLOCK", RLIMIT_MEMLOCK},
		{"MSGQUEUE", RLIMIT_MSGQUEUE},
		{"NICE", RLIMIT_NICE},
		{"NOFILE", RLIMIT_NOFILE},
		{"NPROC", RLIMIT_NPROC},
		{"RSS", RLIMIT_RSS},
		{"RTPRIO", RLIMIT_RTPRIO},
		{"RTTIME", RLIMIT_RTTIME},
		{"SIGPENDING", RLIMIT_SIGPENDING},
		{"STACK", RLIMIT_STACK},
	};

	_Static_assert(ARRAY_LEN(rows) == RLIM_NLIMITS, "getrlimit(2) knows another one");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		const struct spec *spec = parse_with(
			&arena, PROCESS,
			arena_printf(&arena,
				     ",\"rlimits\":[{\"type\":\"RLIMIT_%s\",\"soft\":1,\"hard\":"
				     "18446744073709551615}]",
				     rows[i].name));

		CHECK(spec && spec->process.n_rlimits == 1 &&
		      spec->process.rlimits[0].resource == rows[i].resource &&
		      spec->process.rlimits[0].soft == 1 &&
		      spec->process.rlimits[0].hard == UINT64_MAX);
		CHECK_STR(spec->process.rlimits[0].origin, "/process/rlimits/0");
	}
}

#define LIMIT(soft, hard) "{\"type\":\"RLIMIT_CPU\",\"soft\":" soft ",\"hard\":" hard "}"

static void resource_limits_that_make_no_sense_are_refused(void)
{
	static const struct refusal rows[] = {
		{PROCESS, ",\"rlimits\":{}", RB_CONFIG_TYPE, "/process/rlimits"},
		{PROCESS, ",\"rlimits\":[1]", RB_CONFIG_TYPE, "/process/rlimits/0"},
		{PROCESS, ",\"rlimits\":[{}]", RB_CONFIG_MISSING, "/process/rlimits/0"},
		{PROCESS, ",\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":1}]", RB_CONFIG_MISSING,
		 "/process/rlimits/0"},
		{PROCESS, ",\"rlimits\":[" LIMIT("2", "1") "]", RB_CONFIG_VALUE,
		 "/process/rlimits/0"},
		{PROCESS, ",\"rlimits\":[" LIMIT("-1", "1") "]", RB_CONFIG_VALUE,
		 "/process/rlimits/0/soft"},
		{PROCESS, ",\"rlimits\":[" LIMIT("1", "18446744073709551616") "]", RB_CONFIG_VALUE,
		 "/process/rlimits/0/hard"},
		{PROCESS, ",\"rlimits\":[" LIMIT("1", "1") "," LIMIT("1", "1") "]",
		 RB_CONFIG_CONFLICT, "/process/rlimits/1"},
		{PROCESS, ",\"rlimits\":[{\"type\":\"RLIMIT_NEW\",\"soft\":1,\"hard\":1}]",
		 RB_CONFIG_UNKNOWN, "/process/rlimits/0/type"},
		{PROCESS, ",\"rlimits\":[{\"type\":\"CPU\",\"soft\":1,\"hard\":1}]",
		 RB_CONFIG_UNKNOWN, "/process/rlimits/0/type"},
	};

	check_refusals(rows, ARRAY_LEN(rows));
}

static void process_json_is_read_like_process(void)
{
	static const char good[] = "{\"args\":[\"true\"],\"cwd\":\"/\",\"user\":{\"uid\":5}}";
	static const char bad[] = "{\"args\":[\"true\"],\"cwd\":\"x\"}";
	CLEANUP_ARENA struct arena arena = {0};
	struct spec_process process = {.uid = 9};
	struct rb_err err;

	CHECK(spec_parse_process(&arena, bad, strlen(bad), &process, &err) < 0);
	CHECK_STR(err.origin, "/cwd");
	CHECK(process.uid == 9);
	CHECK(spec_parse_process(&arena, good, strlen(good), &process, &err) == 0);
	CHECK(process.uid == 5 && process.present);
}

TAP_MAIN(TEST(minimal_configuration_is_taken), TEST(buildkits_configuration_is_taken),
	 TEST(configuration_cut_at_any_byte_is_refused),
	 TEST(documents_that_are_not_a_configuration_are_refused),
	 TEST(duplicate_members_are_refused_at_every_level), TEST(unknown_members_are_ignored),
	 TEST(null_members_count_as_absent), TEST(bytes_beyond_any_limit_are_one_error),
	 TEST(host_names_need_their_namespace), TEST(process_is_read_whole),
	 TEST(process_members_of_wrong_type_or_value_are_refused),
	 TEST(process_without_args_or_absolute_cwd_is_refused),
	 TEST(scheduling_that_makes_no_sense_is_refused),
	 TEST(string_longer_than_the_kernel_takes_is_refused),
	 TEST(unknown_capabilities_are_noted_not_refused), TEST(capability_names_are_libcaps),
	 TEST(resource_limits_of_every_name_are_taken),
	 TEST(resource_limits_that_make_no_sense_are_refused),
	 TEST(process_json_is_read_like_process))
