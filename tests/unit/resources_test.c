/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What linux.resources becomes on each version of cgroups, and which devices a policy lets
 * through: by the v1 rules and by the v2 program, which is run here in a small interpreter.
 */
#include <linux/bpf.h>
#include "base/strbuf.h"
#include "plan/resources_job.h"
#include "plan/scope.h"
#include "tap.h"

static const struct host host_v2 = {
	.cgroup_mode = HOST_CGROUP_V2,
	.cgroup_v2 = (1u << (CONTROLLER_MISC + 1)) - 1,
};
static const struct host host_v1 = {
	.cgroup_mode = HOST_CGROUP_V1,
	.cgroup_v1 = (1u << CONTROLLERS) - 1,
};

static int parse(struct arena *arena, const char *text, struct spec_resources *resources,
		 struct rb_err *err)
{
	const struct json_node *node;
	int r = json_parse(arena, "test", text, strlen(text), &node, err);

	return r < 0 ? r : spec_parse_resources(arena, node, resources, err);
}

/* "file=value;file=value" of what would be written; the error's sentence when it is refused. */
static const char *writes_of(struct arena *arena, const struct host *host, const char *text)
{
	struct spec_resources resources = {0};
	struct resource_writes writes = {0};
	struct rb_err err = {0};
	const char *all = "";

	if (parse(arena, text, &resources, &err) < 0 ||
	    resources_convert(arena, &resources, host, &writes, &err) < 0)
		return arena_strdup(arena, err.what);
	for (size_t i = 0; i < writes.n; i++)
		all = arena_printf(arena, "%s%s%s=%s", all, i ? ";" : "", writes.v[i].file,
				   writes.v[i].value);
	return all;
}

struct conversion {
	const struct host *host;
	const char *resources, *writes;
};

static void check_conversions(const struct conversion *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		CLEANUP_ARENA struct arena arena = {0};

		CHECK_STR(writes_of(&arena, v[i].host, v[i].resources), v[i].writes);
	}
}

static void memory_limits_are_converted(void)
{
	static const struct conversion v[] = {
		{&host_v2, "{\"memory\":{\"limit\":100}}", "memory.max=100"},
		{&host_v2, "{\"memory\":{\"limit\":0}}", ""},
		{&host_v2, "{\"memory\":{\"limit\":-1}}", "memory.swap.max=max;memory.max=max"},
		{&host_v2, "{\"memory\":{\"limit\":100,\"swap\":300}}",
		 "memory.swap.max=200;memory.max=100"},
		{&host_v2, "{\"memory\":{\"limit\":100,\"swap\":100}}",
		 "memory.swap.max=0;memory.max=100"},
		{&host_v2, "{\"memory\":{\"limit\":100,\"swap\":-1}}",
		 "memory.swap.max=max;memory.max=100"},
		{&host_v2, "{\"memory\":{\"swap\":100}}",
		 "unable to set swap limit without memory limit"},
		{&host_v2, "{\"memory\":{\"limit\":100,\"swap\":50}}",
		 "memory+swap limit 50 should be >= memory limit 100"},
		{&host_v2, "{\"memory\":{\"reservation\":7,\"swappiness\":60}}", "memory.low=7"},
		{&host_v2, "{\"memory\":{\"kernelTCP\":7}}",
		 "unable to apply cgroup configuration: cgroup v2 has no limit of TCP memory alone"},
		{&host_v1, "{\"memory\":{\"limit\":100,\"swap\":300,\"reservation\":7}}",
		 "memory.limit_in_bytes=100;memory.memsw.limit_in_bytes=300;"
		 "memory.soft_limit_in_bytes=7"},
		{&host_v1, "{\"memory\":{\"limit\":-1,\"swappiness\":0,\"disableOOMKiller\":true}}",
		 "memory.limit_in_bytes=-1;memory.swappiness=0;memory.oom_control=1"},
	};

	check_conversions(v, ARRAY_LEN(v));
}

static void cpu_limits_are_converted(void)
{
	static const struct conversion v[] = {
		{&host_v2, "{\"cpu\":{\"shares\":1024}}", "cpu.weight=39"},
		{&host_v2, "{\"cpu\":{\"shares\":2}}", "cpu.weight=1"},
		{&host_v2, "{\"cpu\":{\"shares\":262144}}", "cpu.weight=10000"},
		{&host_v2, "{\"cpu\":{\"shares\":0}}", ""},
		{&host_v2, "{\"cpu\":{\"quota\":5,\"period\":10}}", "cpu.max=5 10"},
		{&host_v2, "{\"cpu\":{\"quota\":5}}", "cpu.max=5 100000"},
		{&host_v2, "{\"cpu\":{\"quota\":-1,\"period\":10}}", "cpu.max=max 10"},
		{&host_v2, "{\"cpu\":{\"period\":10}}", "cpu.max=max 10"},
		{&host_v2, "{\"cpu\":{\"idle\":1,\"shares\":5}}", "cpu.idle=1"},
		{&host_v2, "{\"cpu\":{\"cpus\":\"0-1\",\"mems\":\"\"}}", "cpuset.cpus=0-1"},
		{&host_v2, "{\"cpu\":{\"realtimeRuntime\":1}}",
		 "unable to apply cgroup configuration: cgroup v2 has no budget for real-time "
		 "tasks"},
		{&host_v1, "{\"cpu\":{\"shares\":1024,\"quota\":-1,\"period\":10}}",
		 "cpu.shares=1024;cpu.cfs_period_us=10;cpu.cfs_quota_us=-1"},
	};

	check_conversions(v, ARRAY_LEN(v));
}

static void other_limits_are_converted(void)
{
	static const struct conversion v[] = {
		{&host_v2, "{\"pids\":{\"limit\":-1}}", "pids.max=max"},
		{&host_v1, "{\"pids\":{\"limit\":9}}", "pids.max=9"},
		{&host_v2, "{\"blockIO\":{\"weight\":10}}", "io.bfq.weight=10;io.weight=default 1"},
		{&host_v2, "{\"blockIO\":{\"weight\":1000}}",
		 "io.bfq.weight=1000;io.weight=default 10000"},
		{&host_v2,
		 "{\"blockIO\":{\"throttleWriteIOPSDevice\":[{\"major\":8,\"minor\":1,\"rate\":0}]}}",
		 "io.max=8:1 wiops=max"},
		{&host_v1, "{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4}]}",
		 "hugetlb.2MB.limit_in_bytes=4"},
		{&host_v2, "{\"rdma\":{\"mlx5\":{\"hcaObjects\":4}}}",
		 "rdma.max=mlx5 hca_object=4"},
		{&host_v2, "{\"unified\":{\"memory.high\":\"5\"}}", "memory.high=5"},
		{&host_v2, "{\"unified\":{\"../x\":\"5\"}}",
		 "unified resource \"../x\" must be a file name (no slashes) like memory.high"},
		{&host_v1, "{\"network\":{\"classID\":5}}", "net_cls.classid=5"},
		{&host_v2, "{\"network\":{\"classID\":5}}",
		 "unable to apply cgroup configuration: this host has no cgroup controller "
		 "\"net_cls\""},
	};

	check_conversions(v, ARRAY_LEN(v));
}

static void updates_are_laid_over_what_was(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf text = {0};
	struct spec_resources r = {0};
	struct rb_err err = {0};

	CHECK(parse(&arena,
		    "{\"memory\":{\"limit\":1},\"cpu\":{\"quota\":2,\"cpus\":\"0\"},"
		    "\"unified\":{\"a.b\":\"1\",\"c.d\":\"2\"}}",
		    &r, &err) == 0);
	CHECK(parse(&arena,
		    "{\"memory\":{\"swap\":5},\"cpu\":{\"quota\":-1},"
		    "\"unified\":{\"a.b\":\"3\"}}",
		    &r, &err) == 0);
	spec_print_resources(&r, &text);
	CHECK_STR(text.text, "{\"memory\":{\"limit\":1,\"swap\":5},\"cpu\":{\"quota\":-1,"
			     "\"cpus\":\"0\"},\"unified\":{\"c.d\":\"2\",\"a.b\":\"3\"}}");
	CHECK(spec_resources_limit(&r));
}

/* The instructions that devices_compile() makes, and no others. */
static int interpret(const struct bpf_insn *program, size_t n, const uint32_t context[3])
{
	uint64_t reg[11] = {0};

	for (size_t at = 0; at < n; at++) {
		const struct bpf_insn *i = &program[at];
		uint64_t operand = BPF_SRC(i->code) == BPF_X ? reg[i->src_reg]
							     : (uint64_t)(int64_t)i->imm;
		uint32_t dst = (uint32_t)reg[i->dst_reg];

		switch (i->code) {
		case BPF_LDX | BPF_MEM | BPF_W: reg[i->dst_reg] = context[i->off / 4]; break;
		case BPF_ALU64 | BPF_MOV | BPF_X:
		case BPF_ALU64 | BPF_MOV | BPF_K: reg[i->dst_reg] = operand; break;
		case BPF_ALU | BPF_MOV | BPF_X: reg[i->dst_reg] = (uint32_t)operand; break;
		case BPF_ALU | BPF_AND | BPF_K: reg[i->dst_reg] = dst & (uint32_t)operand; break;
		case BPF_ALU | BPF_RSH | BPF_K: reg[i->dst_reg] = dst >> operand; break;
		case BPF_JMP32 | BPF_JNE | BPF_K:
			at += dst != (uint32_t)operand ? i->off : 0;
			break;
		case BPF_JMP32 | BPF_JEQ | BPF_K:
			at += dst == (uint32_t)operand ? i->off : 0;
			break;
		case BPF_JMP | BPF_EXIT: return (int)reg[0];
		default: return -1;
		}
	}
	return -1;
}

static int allowed(const char *rules, char type, unsigned major, unsigned minor, unsigned access)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct spec_resources resources = {0};
	struct device_policy policy;
	struct bpf_insn *program;
	struct rb_err err = {0};
	size_t n;
	const uint32_t context[3] = {
		access << 16 | (type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR), major,
		minor};

	if (parse(&arena, rules, &resources, &err) < 0 ||
	    devices_reduce(&arena, &resources, &policy, &err) < 0 ||
	    devices_compile(&arena, &policy, &program, &n, &err) < 0)
		return -1;
	return interpret(program, n, context);
}

#define DENY_ALL  "{\"allow\":false,\"access\":\"rwm\"}"
#define ALLOW_ALL "{\"allow\":true,\"access\":\"rwm\"}"

static void denied_devices_leave_the_usual_ones(void)
{
	static const char rules[] = "{\"devices\":[" DENY_ALL "]}";

	CHECK(allowed(rules, 'c', 1, 3, DEVICE_READ | DEVICE_WRITE) == 1);
	CHECK(allowed(rules, 'c', 136, 77, DEVICE_READ) == 1);
	CHECK(allowed(rules, 'c', 10, 229, DEVICE_READ) == 0);
	CHECK(allowed(rules, 'b', 8, 0, DEVICE_READ) == 0);
	/* a node may be made, but not opened */
	CHECK(allowed(rules, 'b', 8, 0, DEVICE_MKNOD) == 1);
	CHECK(allowed(rules, 'b', 8, 0, DEVICE_MKNOD | DEVICE_READ) == 0);
}

static void exceptions_give_what_they_name(void)
{
	static const char rules[] =
		"{\"devices\":[" DENY_ALL
		",{\"allow\":true,\"type\":\"c\",\"major\":10,\"minor\":229,\"access\":\"rw\"},"
		"{\"allow\":true,\"type\":\"b\",\"major\":8,\"access\":\"r\"},"
		"{\"allow\":false,\"type\":\"c\",\"major\":10,\"minor\":229,\"access\":\"w\"}]}";

	CHECK(allowed(rules, 'c', 10, 229, DEVICE_READ) == 1);
	CHECK(allowed(rules, 'c', 10, 229, DEVICE_WRITE) == 0);
	CHECK(allowed(rules, 'b', 8, 5, DEVICE_READ) == 1);
	CHECK(allowed(rules, 'b', 8, 5, DEVICE_READ | DEVICE_WRITE) == 0);
	CHECK(allowed(rules, 'b', 9, 5, DEVICE_READ) == 0);
}

static void allowed_devices_keep_their_exceptions(void)
{
	static const char rules[] =
		"{\"devices\":[" ALLOW_ALL
		",{\"allow\":false,\"type\":\"c\",\"major\":10,\"minor\":200,\"access\":\"w\"}]}";

	CHECK(allowed(rules, 'c', 10, 200, DEVICE_READ) == 1);
	CHECK(allowed(rules, 'c', 10, 200, DEVICE_READ | DEVICE_WRITE) == 0);
	CHECK(allowed(rules, 'b', 8, 0, DEVICE_WRITE) == 1);
}

static void device_rules_of_v1_say_the_same(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct spec_resources resources = {0};
	struct resource_writes writes = {.arena = &arena};
	struct rb_err err = {0};
	struct resources_job job = {&resources, &host_v1, &writes, &err};
	struct device_policy policy;

	CHECK(parse(&arena, "{\"devices\":[" DENY_ALL "]}", &resources, &err) == 0);
	CHECK(devices_reduce(&arena, &resources, &policy, &err) == 0);
	devices_write_v1(&job, &policy);
	CHECK(writes.n == 12 && !writes.failed);
	CHECK_STR(writes.v[0].file, "devices.deny");
	CHECK_STR(writes.v[0].value, "a");
	CHECK_STR(writes.v[1].file, "devices.allow");
	CHECK_STR(writes.v[1].value, "c *:* m");
	CHECK_STR(writes.v[11].value, "c 136:* rwm");
}

static void scope_is_named_as_clients_look_for_it(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct spec spec = {.cgroups_path = "machine.slice:libpod:abc"};
	struct scope scope = {0};
	struct rb_err err = {0};

	CHECK(scope_describe(&arena, &spec, &host_v2, "id", &scope, &err) == 0);
	CHECK_STR(scope.slice, "machine.slice");
	CHECK_STR(scope.unit, "libpod-abc.scope");
	CHECK_STR(scope_group(&arena, &scope), "/machine.slice/libpod-abc.scope");
	scope.slice = "a-b-c.slice";
	CHECK_STR(scope_group(&arena, &scope), "/a.slice/a-b.slice/a-b-c.slice/libpod-abc.scope");
	scope.slice = "-.slice";
	CHECK_STR(scope_group(&arena, &scope), "/libpod-abc.scope");
	scope.unit = "memory.scope"; /* systemd's directory is _memory.scope */
	CHECK(scope_group(&arena, &scope) == NULL);
	spec.cgroups_path = "";
	CHECK(scope_describe(&arena, &spec, &host_v2, "id", &scope, &err) == 0);
	CHECK_STR(scope.slice, "system.slice");
	spec.cgroups_path = "/a/path";
	CHECK(scope_describe(&arena, &spec, &host_v2, "id", &scope, &err) == -EINVAL);
	CHECK(err.code == RB_CONFIG_VALUE);
	spec.cgroups_path = "x.slice:a/b:c";
	CHECK(scope_describe(&arena, &spec, &host_v2, "id", &scope, &err) == -EINVAL);
}

static void annotations_are_properties_of_the_scope(void)
{
	static const struct spec_annotation good[] = {
		{"org.systemd.property.CollectMode", "'inactive'"},
		{"a.b", "not a value"},
		{"org.systemd.property.TimeoutStopSec", "uint64 123"},
		{"org.systemd.property.RuntimeMaxSec", "1.5"},
		{"org.systemd.property.XSec", "'not a time: no small letter'"},
	};
	static const struct spec_annotation bad[] = {
		{"org.systemd.property.A", "5"},
		{"org.systemd.property.Ab_c", "5"},
		{"org.systemd.property.Name", "text"},
		{"org.systemd.property.StopSec", "'5'"},
		{"org.systemd.property.StopSec", "-5"},
		{"org.systemd.property.", "5"},
		{"org.systemd.property.StopSec", "-0.5"},
		{"org.systemd.property.a/b", "5"},
		{"org.systemd.property.StopSec", "uint64 18446744073710"},
	};
	CLEANUP_ARENA struct arena arena = {0};
	struct spec spec = {.cgroups_path = "a.slice:b:c", .annotations = good};
	struct scope scope = {0};
	struct rb_err err = {0};
	const char *all = "";

	spec.n_annotations = ARRAY_LEN(good);
	spec.resources.pids = (struct spec_number){.present = true, .value = 5};
	CHECK(scope_describe(&arena, &spec, &host_v2, "id", &scope, &err) == 0);
	for (size_t i = 0; i < scope.n_properties; i++)
		all = arena_printf(&arena, "%s%s; ", all, scope.properties[i]);
	CHECK_STR(all, "CollectMode=v:'inactive'; TimeoutStopUSec=v:uint64 123000000; "
		       "RuntimeMaxUSec=v:uint64 1500000; XSec=v:'not a time: no small letter'; "
		       "TasksMax=t:5; ");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		spec.annotations = &bad[i];
		spec.n_annotations = 1;
		err.code = 0;
		CHECK(scope_describe(&arena, &spec, &host_v2, "id", &scope, &err) == -EINVAL);
		CHECK(err.code == RB_CONFIG_VALUE && str_starts(err.origin, "/annotations"));
	}
}

static void limits_are_properties_of_the_scope(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct spec_resources resources = {0};
	struct scope scope = {0};
	struct rb_err err = {0};
	const char *all = "";

	CHECK(parse(&arena,
		    "{\"memory\":{\"limit\":100},\"pids\":{\"limit\":-1},"
		    "\"cpu\":{\"quota\":5000,\"period\":10000,\"cpus\":\"0,9-10\"},"
		    "\"unified\":{\"memory.high\":\"max\"}}",
		    &resources, &err) == 0);
	CHECK(scope_properties(&arena, &resources, &host_v2, &scope, &err) == 0);
	for (size_t i = 0; i < scope.n_properties; i++)
		all = arena_printf(&arena, "%s%s ", all, scope.properties[i]);
	CHECK_STR(all, "MemoryMax=t:100 CPUQuotaPeriodUSec=t:10000 CPUQuotaPerSecUSec=t:500000 "
		       "AllowedCPUs=ay:0106 TasksMax=t:18446744073709551615 "
		       "MemoryHigh=t:18446744073709551615 ");
}

TAP_MAIN(TEST(memory_limits_are_converted), TEST(cpu_limits_are_converted),
	 TEST(other_limits_are_converted), TEST(updates_are_laid_over_what_was),
	 TEST(denied_devices_leave_the_usual_ones), TEST(exceptions_give_what_they_name),
	 TEST(allowed_devices_keep_their_exceptions), TEST(device_rules_of_v1_say_the_same),
	 TEST(scope_is_named_as_clients_look_for_it), TEST(annotations_are_properties_of_the_scope),
	 TEST(limits_are_properties_of_the_scope))
