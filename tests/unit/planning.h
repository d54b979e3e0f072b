/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Plans for tests: a configuration and the facts of a host that is not here. The hosts are a real
 * root, an ordinary user, and root of the user namespace that `runbuild rootless` makes.
 */
#include "config.h"
#include "base/sys.h"
#include "plan/plan.h"

#define ALL_CAPS "2199023255551"

static const char host_root[] = "euid 0\negid 0\ncaps_effective " ALL_CAPS
				"\ncaps_bounding " ALL_CAPS "\nuid_map 0 0 4294967295\n"
				"gid_map 0 0 4294967295\ncgroup_mode v2\n";
static const char host_user[] = "euid 1001\negid 1001\ncaps_effective 0\ncaps_bounding " ALL_CAPS
				"\nuid_map 0 0 4294967295\ngid_map 0 0 4294967295\n"
				"cgroup_mode v2\n";
static const char host_rootless[] =
	"euid 0\negid 0\ncaps_effective " ALL_CAPS "\ncaps_bounding " ALL_CAPS
	"\nin_user_namespace 1\nuid_map 0 1001 1\nuid_map 1 100000 65536\n"
	"gid_map 0 1001 1\ngid_map 1 100000 65536\ncgroup_mode hybrid\n";

static const struct plan_options run_options = {.foreground = true};

/* Builds; the error is the caller's to judge. */
static inline int try_plan(struct arena *arena, const char *config, const char *facts,
			   const struct plan_options *options, const struct plan **plan,
			   struct rb_err *err)
{
	const struct spec *spec = parse_text(arena, config);
	struct host *host = arena_alloc(arena, sizeof(*host));

	*err = (struct rb_err){0};
	*plan = NULL;
	if (!spec || host_load(facts, host, err) < 0)
		return -EINVAL;
	return plan_build(arena, spec, host, options, plan, err);
}

/* Builds and checks, or fails the test. */
static inline const struct plan *make_plan(struct arena *arena, const char *config,
					   const char *facts, const struct plan_options *options)
{
	const struct plan *plan;
	struct rb_err err;
	char line[sizeof(err) + 64];

	if (try_plan(arena, config, facts, options, &plan, &err) == 0 &&
	    plan_check(plan, &err) == 0)
		return plan;
	printf("# %s\n", err_line(&err, line, sizeof(line)));
	tap_ok = false;
	return NULL;
}

/* A configuration that uses most of what there is. */
static inline const char *rich_config(struct arena *arena, const char *process,
				      const char *linux_more)
{
	return arena_printf(
		arena,
		"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
		"\"hostname\":\"h\",\"domainname\":\"d\",\"process\":{\"args\":[\"sh\",\"-c\",\"true\"],"
		"\"cwd\":\"/work\",\"env\":[\"PATH=/bin\",\"SECRET=hunter2\"],\"oomScoreAdj\":5,"
		"\"user\":{\"uid\":1000,\"gid\":1000,\"additionalGids\":[5,6]},"
		"\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_SYS_ADMIN\"],\"effective\":"
		"[\"CAP_CHOWN\"],\"permitted\":[\"CAP_CHOWN\"],\"inheritable\":[\"CAP_CHOWN\"],"
		"\"ambient\":[\"CAP_CHOWN\"]},\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":10,"
		"\"hard\":20}]%s},\"mounts\":["
		"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\",\"options\":[\"nosuid\"]},"
		"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"ro\","
		"\"mode=755\"]},"
		"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":"
		"[\"newinstance\",\"gid=5\"]},"
		"{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":[\"ro\"]},"
		"{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\",\"options\":"
		"[\"ro\"]},"
		"{\"destination\":\"/etc/hosts\",\"type\":\"bind\",\"source\":\"hosts\",\"options\":"
		"[\"rbind\",\"ro\",\"rslave\"]},"
		"{\"destination\":\"/var\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":"
		"[\"tmpcopyup\"]}],"
		"\"hooks\":{\"prestart\":[{\"path\":\"/h1\"}],\"createRuntime\":[{\"path\":\"/h2\"}],"
		"\"createContainer\":[{\"path\":\"/h3\"}],\"startContainer\":[{\"path\":\"/h4\"}],"
		"\"poststart\":[{\"path\":\"/h5\",\"timeout\":3}],\"poststop\":[{\"path\":\"/h6\"}]},"
		"\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"uts\"},"
		"{\"type\":\"ipc\"},{\"type\":\"network\"},{\"type\":\"cgroup\"}],\"cgroupsPath\":\"/c/g\","
		"\"maskedPaths\":[\"/proc/kcore\",\"/proc/keys\"],\"readonlyPaths\":[\"/proc/sys\"],"
		"\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"},\"devices\":[{\"path\":\"/dev/fuse\",\"type\":"
		"\"c\",\"major\":10,\"minor\":229,\"fileMode\":384,\"uid\":1,\"gid\":2}],"
		"\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"execve\","
		"\"read\",\"capset\"],\"action\":\"SCMP_ACT_ALLOW\"}]}%s}}",
		process, linux_more);
}

/* Position of the first or last op of a kind, or -1. */
static inline int first_of(const struct plan_op *ops, uint32_t n, enum plan_op_kind kind)
{
	for (uint32_t i = 0; i < n; i++)
		if (ops[i].kind == kind)
			return (int)i;
	return -1;
}

static inline int last_of(const struct plan_op *ops, uint32_t n, enum plan_op_kind kind)
{
	for (uint32_t i = n; i > 0; i--)
		if (ops[i - 1].kind == kind)
			return (int)i - 1;
	return -1;
}

static inline int child_first(const struct plan *plan, enum plan_op_kind kind)
{
	return first_of(plan_child_ops(plan), plan->n_child, kind);
}

static inline int child_last(const struct plan *plan, enum plan_op_kind kind)
{
	return last_of(plan_child_ops(plan), plan->n_child, kind);
}

static inline int parent_first(const struct plan *plan, enum plan_op_kind kind)
{
	return first_of(plan_parent_ops(plan), plan->n_parent, kind);
}

static inline int parent_last(const struct plan *plan, enum plan_op_kind kind)
{
	return last_of(plan_parent_ops(plan), plan->n_parent, kind);
}

/* The first op of a kind in the child's list; a zeroed one with a failed test when there is none. */
static inline const struct plan_op *child_op(const struct plan *plan, enum plan_op_kind kind)
{
	static const struct plan_op none;
	int at = child_first(plan, kind);

	CHECK(at >= 0);
	return at < 0 ? &none : &plan_child_ops(plan)[at];
}

static inline const struct plan_op *parent_op(const struct plan *plan, enum plan_op_kind kind)
{
	static const struct plan_op none;
	int at = parent_first(plan, kind);

	CHECK(at >= 0);
	return at < 0 ? &none : &plan_parent_ops(plan)[at];
}
