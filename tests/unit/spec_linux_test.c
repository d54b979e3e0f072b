/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "linux" of config.json to struct spec: namespaces, id maps, devices, sysctls, paths, seccomp.
 * What is taken, and for everything that is not: its code and the JSON pointer of the culprit.
 */
#include "base/sha256.h"
#include "base/strbuf.h"
#include "base/sys.h"
#include "config.h"

#define START "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"linux\":"

/* ---- namespaces ---------------------------------------------------------------------------- */

static void namespaces_of_every_kind_are_read(void)
{
	static const struct {
		const char *name;
		uint64_t type;
	} rows[] = {
		{"pid", CLONE_NEWPID},   {"network", CLONE_NEWNET}, {"mount", CLONE_NEWNS},
		{"ipc", CLONE_NEWIPC},   {"uts", CLONE_NEWUTS},     {"cgroup", CLONE_NEWCGROUP},
		{"user", CLONE_NEWUSER},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		const struct spec *spec = parse_text(
			&arena, arena_printf(&arena,
					     START "{\"namespaces\":[{\"type\":\"%s\",\"path\":"
						   "\"/proc/1/ns/x\"}]}}",
					     rows[i].name));
		const struct spec_namespace *ns = spec ? spec_namespace_find(spec, rows[i].type)
						       : NULL;

		CHECK(ns && spec->n_namespaces == 1);
		CHECK_STR(ns->path, "/proc/1/ns/x");
		CHECK_STR(ns->origin, "/linux/namespaces/0");
		CHECK_STR(spec_namespace_name(rows[i].type), rows[i].name);
	}
	CHECK(!spec_namespace_name(CLONE_NEWNS | CLONE_NEWPID) && !spec_namespace_name(0));
}

static void namespace_with_an_empty_path_is_a_new_one(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec *spec = parse_text(
		&arena, START "{\"namespaces\":[{\"type\":\"pid\",\"path\":\"\"}]}}");

	CHECK(spec && spec->n_namespaces == 1 && !spec->namespaces[0].path);
}

#define NAMESPACES(list) START "{\"namespaces\":[" list "]}}"

static void namespaces_that_make_no_sense_are_refused(void)
{
	static const struct refusal rows[] = {
		{WHOLE, START "{\"namespaces\":{}}}", RB_CONFIG_TYPE, "/linux/namespaces"},
		{WHOLE, NAMESPACES("\"pid\""), RB_CONFIG_TYPE, "/linux/namespaces/0"},
		{WHOLE, NAMESPACES("{}"), RB_CONFIG_MISSING, "/linux/namespaces/0"},
		{WHOLE, NAMESPACES("{\"type\":\"pid\"},{\"type\":\"vm\"}"), RB_CONFIG_UNKNOWN,
		 "/linux/namespaces/1"},
		{WHOLE, NAMESPACES("{\"type\":\"net\"}"), RB_CONFIG_UNKNOWN, "/linux/namespaces/0"},
		{WHOLE, NAMESPACES("{\"type\":\"pid\"},{\"type\":\"pid\",\"path\":\"/p\"}"),
		 RB_CONFIG_CONFLICT, "/linux/namespaces/1"},
		{WHOLE, NAMESPACES("{\"type\":\"pid\",\"path\":\"proc/1/ns/pid\"}"),
		 RB_CONFIG_VALUE, "/linux/namespaces/0"},
		{WHOLE, NAMESPACES("{\"type\":\"pid\",\"path\":1}"), RB_CONFIG_TYPE,
		 "/linux/namespaces/0/path"},
	};

	check_refusals(rows, ARRAY_LEN(rows));
}

/* ---- id maps ------------------------------------------------------------------------------- */

#define MAP(c, h, s) "{\"containerID\":" c ",\"hostID\":" h ",\"size\":" s "}"
#define MAPS(uid)                                                                                  \
	START "{\"namespaces\":[{\"type\":\"user\"}],\"uidMappings\":[" uid                        \
	      "],\"gidMappings\":[" MAP("0", "0", "1") "]}}"

static void id_maps_are_read(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec *spec = parse_text(
		&arena, MAPS(MAP("0", "1000", "1") "," MAP("1", "100000", "65536") "," MAP(
				"4294967293", "4294967293", "2")));

	CHECK(spec && spec->n_uid_map == 3 && spec->n_gid_map == 1);
	CHECK(spec && spec->uid_map[1].inside == 1 && spec->uid_map[1].outside == 100000 &&
	      spec->uid_map[1].count == 65536);
	CHECK_STR(spec->uid_map[2].origin, "/linux/uidMappings/2");
}

static void id_maps_with_a_flaw_are_refused(void)
{
	static const struct refusal rows[] = {
		{WHOLE, MAPS("1"), RB_CONFIG_TYPE, "/linux/uidMappings/0"},
		/* without "size" it is 0 */
		{WHOLE, MAPS("{}"), RB_CONFIG_ID, "/linux/uidMappings/0"},
		{WHOLE, MAPS(MAP("0", "0", "0")), RB_CONFIG_ID, "/linux/uidMappings/0"},
		{WHOLE, MAPS(MAP("-1", "0", "1")), RB_CONFIG_VALUE,
		 "/linux/uidMappings/0/containerID"},
		{WHOLE, MAPS(MAP("0", "-1", "1")), RB_CONFIG_VALUE, "/linux/uidMappings/0/hostID"},
		{WHOLE, MAPS(MAP("0", "0", "-1")), RB_CONFIG_VALUE, "/linux/uidMappings/0/size"},
		{WHOLE, MAPS(MAP("4294967295", "0", "1")), RB_CONFIG_ID,
		 "/linux/uidMappings/0/containerID"},
		{WHOLE, MAPS(MAP("0", "4294967295", "1")), RB_CONFIG_ID,
		 "/linux/uidMappings/0/hostID"},
		{WHOLE, MAPS(MAP("0", "4294967296", "1")), RB_CONFIG_VALUE,
		 "/linux/uidMappings/0/hostID"},
		/* wraps around, or reaches 4294967295 */
		{WHOLE, MAPS(MAP("4294967294", "0", "2")), RB_CONFIG_ID, "/linux/uidMappings/0"},
		{WHOLE, MAPS(MAP("0", "4294967294", "2")), RB_CONFIG_ID, "/linux/uidMappings/0"},
		{WHOLE, MAPS(MAP("1", "0", "4294967295")), RB_CONFIG_ID, "/linux/uidMappings/0"},
		{WHOLE, MAPS(MAP("2147483648", "0", "2147483648")), RB_CONFIG_ID,
		 "/linux/uidMappings/0"},
		/* overlap inside, outside, by one id at either end */
		{WHOLE, MAPS(MAP("0", "1000", "10") "," MAP("9", "5000", "1")), RB_CONFIG_ID,
		 "/linux/uidMappings/1"},
		{WHOLE, MAPS(MAP("0", "1000", "10") "," MAP("20", "1009", "5")), RB_CONFIG_ID,
		 "/linux/uidMappings/1"},
		{WHOLE, MAPS(MAP("5", "1000", "10") "," MAP("0", "5000", "6")), RB_CONFIG_ID,
		 "/linux/uidMappings/1"},
		{WHOLE, MAPS(MAP("0", "0", "1") "," MAP("1", "1", "1") "," MAP("0", "9", "1")),
		 RB_CONFIG_ID, "/linux/uidMappings/2"},
	};

	check_refusals(rows, ARRAY_LEN(rows));
}

static void id_maps_that_touch_are_taken(void)
{
	CLEANUP_ARENA struct arena arena = {0};

	CHECK(parse_text(&arena, MAPS(MAP("0", "1000", "10") "," MAP("10", "1010", "10"))));
	CHECK(parse_text(&arena, MAPS(MAP("10", "0", "10") "," MAP("0", "10", "10"))));
	CHECK(parse_text(&arena, MAPS(MAP("0", "0", "4294967295"))));
}

static void id_maps_have_at_most_340_lines(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf text = {0};
	struct refusal row = {WHOLE, NULL, RB_CONFIG_LIMIT, "/linux/uidMappings"};
	size_t last = 0;

	/* user_namespaces(7) */
	strbuf_add(&text, START "{\"namespaces\":[{\"type\":\"user\"}],\"gidMappings\":[" MAP(
				  "0", "0", "1") "],\"uidMappings\":[");
	for (unsigned i = 0; i <= 340; i++) {
		last = text.len;
		strbuf_printf(&text, "%s" MAP("%u", "%u", "1"), i ? "," : "", i, i);
	}
	strbuf_add(&text, "]}}");
	row.members = text.text;
	check_refusals(&row, 1);
	text.len = last;
	strbuf_add(&text, "]}}");
	CHECK(parse_text(&arena, text.text));
}

static void id_maps_and_user_namespace_come_together(void)
{
	static const struct refusal rows[] = {
		{WHOLE, NAMESPACES("{\"type\":\"user\"}"), RB_CONFIG_CONFLICT, "/linux"},
		{WHOLE,
		 START
		 "{\"namespaces\":[{\"type\":\"user\"}],\"uidMappings\":[" MAP("0", "0", "1") "]}}",
		 RB_CONFIG_CONFLICT, "/linux"},
		{WHOLE, START "{\"uidMappings\":[" MAP("0", "0", "1") "]}}", RB_CONFIG_CONFLICT,
		 "/linux"},
		{WHOLE,
		 START
		 "{\"namespaces\":[{\"type\":\"user\",\"path\":\"/p\"}],\"uidMappings\":[" MAP(
			 "0", "0", "1") "],\"gidMappings\":[" MAP("0", "0", "1") "]}}",
		 RB_CONFIG_CONFLICT, "/linux"},
	};
	CLEANUP_ARENA struct arena arena = {0};

	check_refusals(rows, ARRAY_LEN(rows));
	CHECK(parse_text(&arena, NAMESPACES("{\"type\":\"user\",\"path\":\"/p\"}")));
	/* as BuildKit's Go library writes "none" */
	CHECK(parse_text(&arena, START "{\"uidMappings\":[],\"gidMappings\":null}}"));
}

/* ---- devices ------------------------------------------------------------------------------- */

static void devices_of_every_type_are_read(void)
{
	static const char types[] = "cbup";

	for (size_t i = 0; types[i]; i++) {
		CLEANUP_ARENA struct arena arena = {0};
		const struct spec *spec = parse_with(
			&arena, LINUX,
			arena_printf(
				&arena,
				",\"devices\":[{\"path\":\"/dev/x\",\"type\":\"%c\",\"major\":10,"
				"\"minor\":229,\"fileMode\":33206,\"uid\":1,\"gid\":2}]",
				types[i]));
		const struct spec_device *d = spec ? spec->devices : NULL;

		/* 33206 is 0100666: Docker writes the file type along */
		CHECK(d && d->type == types[i] && d->major == 10 && d->minor == 229 &&
		      d->has_mode && d->mode == 0666 && d->uid == 1 && d->gid == 2);
		CHECK_STR(d->origin, "/linux/devices/0");
	}
}

#define DEVICE(fields) ",\"devices\":[{" fields "}]"

static void devices_that_make_no_sense_are_refused(void)
{
	static const struct refusal rows[] = {
		{LINUX, ",\"devices\":{}", RB_CONFIG_TYPE, "/linux/devices"},
		{LINUX, ",\"devices\":[\"/dev/x\"]", RB_CONFIG_TYPE, "/linux/devices/0"},
		{LINUX, DEVICE("\"type\":\"c\""), RB_CONFIG_MISSING, "/linux/devices/0"},
		{LINUX, DEVICE("\"path\":\"/dev/x\""), RB_CONFIG_MISSING, "/linux/devices/0"},
		{LINUX, DEVICE("\"path\":\"dev/x\",\"type\":\"c\""), RB_CONFIG_VALUE,
		 "/linux/devices/0"},
		{LINUX, DEVICE("\"path\":\"/dev/x\",\"type\":\"d\""), RB_CONFIG_UNKNOWN,
		 "/linux/devices/0"},
		{LINUX, DEVICE("\"path\":\"/dev/x\",\"type\":\"cb\""), RB_CONFIG_UNKNOWN,
		 "/linux/devices/0"},
		{LINUX, DEVICE("\"path\":\"/dev/x\",\"type\":\"\""), RB_CONFIG_UNKNOWN,
		 "/linux/devices/0"},
		{LINUX, DEVICE("\"path\":\"/dev/x\",\"type\":\"c\",\"major\":-1"), RB_CONFIG_VALUE,
		 "/linux/devices/0/major"},
		{LINUX, DEVICE("\"path\":\"/dev/x\",\"type\":\"c\",\"uid\":4294967295"),
		 RB_CONFIG_ID, "/linux/devices/0/uid"},
	};

	check_refusals(rows, ARRAY_LEN(rows));
}

/* ---- sysctls ------------------------------------------------------------------------------- */

static void sysctls_of_own_namespaces_are_taken(void)
{
	static const struct {
		const char *key, *path;
	} rows[] = {
		{"net.ipv4.ip_forward", "net/ipv4/ip_forward"},
		{"net/ipv4/ip_forward", "net/ipv4/ip_forward"},
		{"net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"},
		{"net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"},
		{"kernel.shmmax", "kernel/shmmax"},
		{"kernel.sem", "kernel/sem"},
		{"kernel.shm_rmid_forced", "kernel/shm_rmid_forced"},
		{"fs.mqueue.msg_max", "fs/mqueue/msg_max"},
		{"kernel.domainname", "kernel/domainname"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		const struct spec *spec = parse_with(
			&arena, LINUX,
			arena_printf(&arena, ",\"sysctl\":{\"%s\":\"1\"}", rows[i].key));

		CHECK(spec && spec->n_sysctls == 1);
		CHECK_STR(spec ? spec->sysctls[0].path : "", rows[i].path);
		CHECK_STR(spec ? spec->sysctls[0].key : "", rows[i].key);
	}
}

static void sysctls_that_would_change_the_host_are_refused(void)
{
	static const char *const keys[] = {
		"kernel.core_pattern",
		"vm.swappiness",
		"kernel.shmmax2",
		"fs.mqueue",
		"fs.file-max",
		"user.max_user_namespaces",
		"kernel",
		"kernel.sem.x",
		"network.x",
	};
	static const struct refusal rows[] = {
		{LINUX, ",\"sysctl\":[]", RB_CONFIG_TYPE, "/linux/sysctl"},
		{LINUX, ",\"sysctl\":{\"net.x\":1}", RB_CONFIG_TYPE, "/linux/sysctl/net.x"},
		{WHOLE, START "{\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"}}}", RB_CONFIG_CONFLICT,
		 "/linux/sysctl/net.ipv4.ip_forward"},
		/* a way out of the directory */
		{LINUX, ",\"sysctl\":{\"net/../kernel/core_pattern\":\"x\"}", RB_CONFIG_VALUE,
		 "/linux/sysctl/net~1..~1kernel~1core_pattern"},
		{LINUX, ",\"sysctl\":{\"net...kernel.core_pattern\":\"x\"}", RB_CONFIG_VALUE,
		 "/linux/sysctl/net...kernel.core_pattern"},
		{LINUX, ",\"sysctl\":{\"net.//.x\":\"x\"}", RB_CONFIG_VALUE,
		 "/linux/sysctl/net.~1~1.x"},
		{LINUX, ",\"sysctl\":{\"\":\"x\"}", RB_CONFIG_VALUE, "/linux/sysctl/"},
		{LINUX, ",\"sysctl\":{\".net.x\":\"x\"}", RB_CONFIG_VALUE, "/linux/sysctl/.net.x"},
		{LINUX, ",\"sysctl\":{\"/net/x\":\"x\"}", RB_CONFIG_VALUE,
		 "/linux/sysctl/~1net~1x"},
		{LINUX, ",\"sysctl\":{\"net.\":\"x\"}", RB_CONFIG_VALUE, "/linux/sysctl/net."},
	};

	check_refusals(rows, ARRAY_LEN(rows));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		struct refusal row = {
			LINUX, arena_printf(&arena, ",\"sysctl\":{\"%s\":\"1\"}", keys[i]),
			RB_CONFIG_CONFLICT, arena_printf(&arena, "/linux/sysctl/%s", keys[i])};

		check_refusals(&row, 1);
	}
}

/* ---- the rest of "linux" ------------------------------------------------------------------- */

static void paths_and_propagation_are_read(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec *spec = parse_with(
		&arena, LINUX,
		",\"maskedPaths\":[\"/a\",\"/b\"],\"readonlyPaths\":[\"/c\"],\"rootfsPropagation\":"
		"\"rshared\",\"cgroupsPath\":\"/x/y\",\"mountLabel\":\"l\",\"resources\":{\"pids\":{}}");

	CHECK(spec && spec->masked_paths.n == 2 && spec->readonly_paths.n == 1 &&
	      spec->rootfs_propagation == MS_SHARED && spec->resources.present);
	CHECK_STR(spec->cgroups_path, "/x/y");
	CHECK_STR(spec->masked_paths.origin, "/linux/maskedPaths");
	spec = parse_with(&arena, LINUX, ",\"rootfsPropagation\":\"\"");
	CHECK(spec && spec->rootfs_propagation == 0);
}

static void linux_members_of_wrong_type_or_value_are_refused(void)
{
	static const struct refusal rows[] = {
		{LINUX, ",\"maskedPaths\":[\"/a\",\"proc/kcore\"]", RB_CONFIG_VALUE,
		 "/linux/maskedPaths"},
		{LINUX, ",\"readonlyPaths\":[\"\"]", RB_CONFIG_VALUE, "/linux/readonlyPaths"},
		{LINUX, ",\"readonlyPaths\":\"/a\"", RB_CONFIG_TYPE, "/linux/readonlyPaths"},
		{LINUX, ",\"rootfsPropagation\":\"up\"", RB_CONFIG_UNKNOWN,
		 "/linux/rootfsPropagation"},
		{LINUX, ",\"rootfsPropagation\":1", RB_CONFIG_TYPE, "/linux/rootfsPropagation"},
		{LINUX, ",\"cgroupsPath\":{}", RB_CONFIG_TYPE, "/linux/cgroupsPath"},
		{LINUX, ",\"resources\":[]", RB_CONFIG_TYPE, "/linux/resources"},
	};

	check_refusals(rows, ARRAY_LEN(rows));
}

static void newer_members_that_make_no_sense_are_refused(void)
{
	static const struct refusal rows[] = {
		{LINUX, ",\"personality\":{}", RB_CONFIG_MISSING, "/linux/personality"},
		{LINUX, ",\"personality\":{\"domain\":\"X\"}", RB_CONFIG_UNKNOWN,
		 "/linux/personality/domain"},
		{LINUX, ",\"timeOffsets\":{\"monotonic\":{}}", RB_CONFIG_CONFLICT,
		 "/linux/timeOffsets"},
		{LINUX, ",\"netDevices\":{\"eth0\":{\"name\":\"a/b\"}}", RB_CONFIG_VALUE,
		 "/linux/netDevices/eth0"},
		{LINUX, ",\"memoryPolicy\":{}", RB_CONFIG_MISSING, "/linux/memoryPolicy"},
		{LINUX, ",\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"x\"}",
		 RB_CONFIG_VALUE, "/linux/memoryPolicy/nodes"},
		{LINUX, ",\"intelRdt\":{\"closID\":\"../x\"}", RB_CONFIG_VALUE, "/linux/intelRdt"},
		{LINUX, ",\"intelRdt\":{\"closID\":\"..\"}", RB_CONFIG_VALUE, "/linux/intelRdt"},
		{LINUX, ",\"intelRdt\":{\"closID\":\"mon_groups\"}", RB_CONFIG_VALUE,
		 "/linux/intelRdt"},
		{LINUX, ",\"intelRdt\":{\"schemata\":[\"L3:0=f\\nMB:0=9\"]}", RB_CONFIG_VALUE,
		 "/linux/intelRdt"},
		{LINUX, ",\"intelRdt\":{\"memBwSchema\":\"MB:0=9\\nL3:0=f\"}", RB_CONFIG_VALUE,
		 "/linux/intelRdt"},
	};

	check_refusals(rows, ARRAY_LEN(rows));
}

/* ---- seccomp ------------------------------------------------------------------------------- */

static const struct spec_seccomp *seccomp_of(struct arena *arena, const char *members)
{
	const struct spec *spec = parse_with(
		arena, LINUX,
		arena_printf(arena, ",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\"%s}",
			     members));

	return spec ? &spec->seccomp : NULL;
}

static const struct {
	const char *name;
	uint32_t plain, with_13; /* the action alone, and with errnoRet 13; 0: refused */
} actions[] = {
	{"SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW, 0},
	{"SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ERRNO | 13},
	{"SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS, 0},
	{"SCMP_ACT_LOG", SECCOMP_RET_LOG, 0},
	{"SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF, 0},
	{"SCMP_ACT_TRACE", SECCOMP_RET_TRACE | EPERM, SECCOMP_RET_TRACE | 13},
	{"SCMP_ACT_TRAP", SECCOMP_RET_TRAP, 0},
};

static void seccomp_actions_become_return_values(void)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		const char *rule = arena_printf(
			&arena,
			",\"listenerPath\":\"/s\",\"syscalls\":[{\"names\":[\"read\"],"
			"\"action\":\"%s\"",
			actions[i].name);
		const struct spec_seccomp *s = seccomp_of(&arena,
							  arena_printf(&arena, "%s}]", rule));
		struct refusal row = {
			LINUX,
			arena_printf(&arena,
				     ",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\""
				     "%s,\"errnoRet\":13}]}",
				     rule),
			RB_CONFIG_CONFLICT, "/linux/seccomp/syscalls/0/errnoRet"};

		CHECK(s && s->n_rules == 1 && s->rules[0].action == actions[i].plain);
		if (!actions[i].with_13) {
			check_refusals(&row, 1);
			continue;
		}
		s = seccomp_of(&arena, arena_printf(&arena, "%s,\"errnoRet\":13}]", rule));
		CHECK(s && s->rules[0].action == actions[i].with_13);
	}
}

static void seccomp_kill_is_kill_thread(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec_seccomp *s = seccomp_of(
		&arena, ",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL\"},"
			"{\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL_THREAD\"}]");

	/* SECCOMP_RET_KILL_THREAD is 0: seccomp(2) */
	CHECK(s && s->n_rules == 2 && s->rules[0].action == SECCOMP_RET_KILL_THREAD &&
	      s->rules[1].action == SECCOMP_RET_KILL_THREAD);
}

static void seccomp_default_errno_is_eperm(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec_seccomp *s = seccomp_of(&arena, "");

	CHECK(s && s->default_action == (SECCOMP_RET_ERRNO | EPERM));
	s = seccomp_of(&arena, ",\"defaultErrnoRet\":38");
	CHECK(s && s->default_action == (SECCOMP_RET_ERRNO | ENOSYS));
	s = seccomp_of(&arena, ",\"defaultErrnoRet\":0");
	CHECK(s && s->default_action == SECCOMP_RET_ERRNO);
}

static void seccomp_comparisons_are_read(void)
{
	static const char *const names[] = {"NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"};

	for (int i = 0; i < (int)ARRAY_LEN(names); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		const struct spec_seccomp *s = seccomp_of(
			&arena,
			arena_printf(
				&arena,
				",\"syscalls\":[{\"names\":[\"read\"],\"action\":"
				"\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":5,\"value\":"
				"18446744073709551615,\"valueTwo\":7,\"op\":\"SCMP_CMP_%s\"}]}]",
				names[i]));
		const struct spec_seccomp_arg *arg = s ? s->rules[0].args : NULL;

		CHECK(arg && s->rules[0].n_args == 1 && arg->index == 5 &&
		      arg->value == UINT64_MAX && arg->value_two == 7 && arg->op == i);
		CHECK_STR(arg->origin, "/linux/seccomp/syscalls/0/args/0");
	}
}

static void seccomp_flags_are_read(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec_seccomp *s = seccomp_of(
		&arena, ",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\",\"SECCOMP_FILTER_FLAG_TSYNC\"],"
			"\"architectures\":[\"SCMP_ARCH_X86\"]");

	/* one thread: nothing to synchronise */
	CHECK(s && s->flags == SECCOMP_FILTER_FLAG_LOG && s->architectures.n == 1);
	s = seccomp_of(&arena, ",\"flags\":[\"SECCOMP_FILTER_FLAG_SPEC_ALLOW\"]");
	CHECK(s && s->flags == SECCOMP_FILTER_FLAG_SPEC_ALLOW);
}

#define SECCOMP(members) ",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\"," members "}"
#define RULE(members)    SECCOMP("\"syscalls\":[{" members "}]")
#define ARG(members)                                                                               \
	RULE("\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{" members "}]")

static void seccomp_profiles_that_make_no_sense_are_refused(void)
{
	static const struct refusal rows[] = {
		{LINUX, ",\"seccomp\":[]", RB_CONFIG_TYPE, "/linux/seccomp"},
		{LINUX, ",\"seccomp\":{}", RB_CONFIG_MISSING, "/linux/seccomp"},
		{LINUX, ",\"seccomp\":{\"defaultAction\":1}", RB_CONFIG_TYPE,
		 "/linux/seccomp/defaultAction"},
		{LINUX, ",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_MAYBE\"}", RB_CONFIG_UNKNOWN,
		 "/linux/seccomp/defaultAction"},
		{LINUX, ",\"seccomp\":{\"defaultAction\":\"allow\"}", RB_CONFIG_UNKNOWN,
		 "/linux/seccomp/defaultAction"},
		{LINUX, SECCOMP("\"defaultErrnoRet\":65536"), RB_CONFIG_VALUE,
		 "/linux/seccomp/defaultErrnoRet"},
		{LINUX, RULE("\"names\":[\"mkdir\"],\"action\":\"SCMP_ACT_NOTIFY\""), RB_SECCOMP,
		 "/linux/seccomp"},
		{LINUX, RULE("\"names\":[\"write\"],\"action\":\"SCMP_ACT_NOTIFY\""), RB_SECCOMP,
		 "/linux/seccomp/syscalls/0"},
		{LINUX, SECCOMP("\"flags\":[\"SECCOMP_FILTER_FLAG_NEW_LISTENER\"]"),
		 RB_CONFIG_UNKNOWN, "/linux/seccomp/flags/0"},
		{LINUX, SECCOMP("\"flags\":[1]"), RB_CONFIG_TYPE, "/linux/seccomp/flags/0"},
		{LINUX, SECCOMP("\"flags\":\"x\""), RB_CONFIG_TYPE, "/linux/seccomp/flags"},
		{LINUX, SECCOMP("\"architectures\":[1]"), RB_CONFIG_TYPE,
		 "/linux/seccomp/architectures/0"},
		{LINUX, SECCOMP("\"syscalls\":{}"), RB_CONFIG_TYPE, "/linux/seccomp/syscalls"},
		{LINUX, SECCOMP("\"syscalls\":[1]"), RB_CONFIG_TYPE, "/linux/seccomp/syscalls/0"},
		{LINUX, RULE(""), RB_CONFIG_MISSING, "/linux/seccomp/syscalls/0"},
		{LINUX, RULE("\"names\":[\"read\"]"), RB_CONFIG_MISSING,
		 "/linux/seccomp/syscalls/0"},
		{LINUX, RULE("\"action\":\"SCMP_ACT_ALLOW\""), RB_CONFIG_MISSING,
		 "/linux/seccomp/syscalls/0"},
		{LINUX, RULE("\"names\":[],\"action\":\"SCMP_ACT_ALLOW\""), RB_CONFIG_MISSING,
		 "/linux/seccomp/syscalls/0"},
		{LINUX, RULE("\"names\":[1],\"action\":\"SCMP_ACT_ALLOW\""), RB_CONFIG_TYPE,
		 "/linux/seccomp/syscalls/0/names/0"},
		{LINUX, RULE("\"names\":[\"read\"],\"action\":\"SCMP_ACT_X\""), RB_CONFIG_UNKNOWN,
		 "/linux/seccomp/syscalls/0/action"},
		{LINUX, ARG(""), RB_CONFIG_MISSING, "/linux/seccomp/syscalls/0/args/0"},
		{LINUX, ARG("\"index\":6,\"value\":0,\"op\":\"SCMP_CMP_EQ\""), RB_CONFIG_VALUE,
		 "/linux/seccomp/syscalls/0/args/0/index"},
		{LINUX, ARG("\"index\":0,\"value\":-1,\"op\":\"SCMP_CMP_EQ\""), RB_CONFIG_VALUE,
		 "/linux/seccomp/syscalls/0/args/0/value"},
		{LINUX, ARG("\"index\":0,\"value\":0,\"op\":\"SCMP_CMP_XX\""), RB_CONFIG_UNKNOWN,
		 "/linux/seccomp/syscalls/0/args/0/op"},
		{LINUX, ARG("\"index\":0,\"value\":0,\"op\":3"), RB_CONFIG_TYPE,
		 "/linux/seccomp/syscalls/0/args/0/op"},
		{LINUX, ARG("\"index\":0,\"value\":0,\"valueTwo\":\"1\",\"op\":\"SCMP_CMP_EQ\""),
		 RB_CONFIG_TYPE, "/linux/seccomp/syscalls/0/args/0/valueTwo"},
	};

	check_refusals(rows, ARRAY_LEN(rows));
}

static const char *digest_of(struct arena *arena, const char *members)
{
	const struct spec_seccomp *s = seccomp_of(arena, members);
	uint8_t digest[SHA256_BYTES];
	char *hex = arena_alloc(arena, SHA256_HEX);

	if (!s)
		return "";
	spec_seccomp_digest(s, "salt", digest);
	sha256_hex(digest, hex);
	return hex;
}

#define PROFILE(name, action, index, value)                                                        \
	",\"syscalls\":[{\"names\":[\"" name "\"],\"action\":\"" action                            \
	"\",\"args\":[{\"index\":" index ",\"value\":" value ",\"op\":\"SCMP_CMP_EQ\"}]}]"

static void seccomp_digest_is_of_the_meaning(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const char *one = digest_of(&arena, PROFILE("read", "SCMP_ACT_ALLOW", "0", "1"));

	CHECK(strlen(one) == 64);
	/* the order of members, blanks and a comment are spelling */
	CHECK_STR(digest_of(&arena, ", \"syscalls\" : [ { \"comment\":\"c\", \"args\":[{\"op\":"
				    "\"SCMP_CMP_EQ\",\"value\":1,\"index\":0}],\"action\":"
				    "\"SCMP_ACT_ALLOW\",\"names\":[\"read\"]} ]"),
		  one);
}

static void seccomp_digest_changes_with_every_part(void)
{
	static const char *const variants[] = {
		PROFILE("read", "SCMP_ACT_ALLOW", "0", "1"),
		PROFILE("write", "SCMP_ACT_ALLOW", "0", "1"),
		PROFILE("read", "SCMP_ACT_LOG", "0", "1"),
		PROFILE("read", "SCMP_ACT_ALLOW", "1", "1"),
		PROFILE("read", "SCMP_ACT_ALLOW", "0", "2"),
		PROFILE("read\",\"write", "SCMP_ACT_ALLOW", "0", "1"),
		PROFILE("readwrite", "SCMP_ACT_ALLOW", "0", "1"),
		PROFILE("read", "SCMP_ACT_ALLOW", "0",
			"1") ",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"]",
		PROFILE("read", "SCMP_ACT_ALLOW", "0",
			"1") ",\"architectures\":[\"SCMP_ARCH_X86\"]",
		PROFILE("read", "SCMP_ACT_ALLOW", "0", "1") ",\"defaultErrnoRet\":2",
		"",
	};
	CLEANUP_ARENA struct arena arena = {0};
	const char *digests[ARRAY_LEN(variants)];

	for (size_t i = 0; i < ARRAY_LEN(variants); i++) {
		digests[i] = digest_of(&arena, variants[i]);
		for (size_t k = 0; k < i; k++)
			CHECK(!str_eq(digests[i], digests[k]));
	}
}

static void seccomp_default_profile_is_taken(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	size_t len = 0;
	char *text = tree_file(&arena, "seccomp/default.json", &len);
	const struct json_node *root;
	struct spec_seccomp seccomp;
	struct rb_err err;

	CHECK(json_parse(&arena, "default.json", text, len, &root, &err) == 0 &&
	      spec_parse_seccomp(&arena, root, &seccomp, &err) == 0);
	CHECK(seccomp.present);
}

TAP_MAIN(TEST(namespaces_of_every_kind_are_read), TEST(namespace_with_an_empty_path_is_a_new_one),
	 TEST(namespaces_that_make_no_sense_are_refused), TEST(id_maps_are_read),
	 TEST(id_maps_with_a_flaw_are_refused), TEST(id_maps_that_touch_are_taken),
	 TEST(id_maps_have_at_most_340_lines), TEST(id_maps_and_user_namespace_come_together),
	 TEST(devices_of_every_type_are_read), TEST(devices_that_make_no_sense_are_refused),
	 TEST(sysctls_of_own_namespaces_are_taken),
	 TEST(sysctls_that_would_change_the_host_are_refused), TEST(paths_and_propagation_are_read),
	 TEST(linux_members_of_wrong_type_or_value_are_refused),
	 TEST(newer_members_that_make_no_sense_are_refused),
	 TEST(seccomp_actions_become_return_values), TEST(seccomp_kill_is_kill_thread),
	 TEST(seccomp_default_errno_is_eperm), TEST(seccomp_comparisons_are_read),
	 TEST(seccomp_flags_are_read), TEST(seccomp_profiles_that_make_no_sense_are_refused),
	 TEST(seccomp_digest_is_of_the_meaning), TEST(seccomp_digest_changes_with_every_part),
	 TEST(seccomp_default_profile_is_taken))
