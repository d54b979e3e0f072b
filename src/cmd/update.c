/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `update`: other limits for a running container. The new values are laid over the configuration
 * and earlier updates, because one file of the kernel may hold several of them (quota and period,
 * memory and swap); then all are written. What was updated is kept beside the state.
 */
#include "base/file.h"
#include "base/num.h"
#include "cmd/cmd.h"
#include "cmd/verbs.h"
#include "plan/scope.h"

struct update_options {
	const char *resources;
	const char *blkio_weight, *cpu_period, *cpu_quota, *cpu_burst, *cpu_share;
	const char *cpu_rt_period, *cpu_rt_runtime, *cpu_idle, *cpuset_cpus, *cpuset_mems;
	const char *memory, *memory_reservation, *memory_swap, *kernel_memory, *kernel_memory_tcp;
	const char *pids_limit;
	const char *l3_cache_schema, *mem_bw_schema;
};

#define OPT(member) offsetof(struct update_options, member)

static const struct option_entry update_option_table[] = {
	{"resources", 'r', OPTION_STRING, OPT(resources), "FILE|-",
	 "read the limits as JSON (linux.resources); other options are ignored"},
	{"blkio-weight", 0, OPTION_STRING, OPT(blkio_weight), "N", "weight of its I/O, 10 to 1000"},
	{"cpu-period", 0, OPTION_STRING, OPT(cpu_period), "US", "length of a CPU quota period"},
	{"cpu-quota", 0, OPTION_STRING, OPT(cpu_quota), "US", "CPU time in a period; -1: no limit"},
	{"cpu-burst", 0, OPTION_STRING, OPT(cpu_burst), "US", "quota that may be saved up"},
	{"cpu-share", 0, OPTION_STRING, OPT(cpu_share), "N", "weight of its CPU time, 2 to 262144"},
	{"cpu-rt-period", 0, OPTION_STRING, OPT(cpu_rt_period), "US", "real-time period"},
	{"cpu-rt-runtime", 0, OPTION_STRING, OPT(cpu_rt_runtime), "US", "real-time budget"},
	{"cpu-idle", 0, OPTION_STRING, OPT(cpu_idle), "0|1", "run only when nobody else wants to"},
	{"cpuset-cpus", 0, OPTION_STRING, OPT(cpuset_cpus), "LIST", "CPUs it may use"},
	{"cpuset-mems", 0, OPTION_STRING, OPT(cpuset_mems), "LIST", "memory nodes it may use"},
	{"memory", 0, OPTION_STRING, OPT(memory), "BYTES",
	 "limit of memory; -1: none; 64M and so on"},
	{"memory-reservation", 0, OPTION_STRING, OPT(memory_reservation), "BYTES",
	 "memory it keeps when others need some"},
	{"memory-swap", 0, OPTION_STRING, OPT(memory_swap), "BYTES",
	 "limit of memory and swap together; -1: none"},
	{"kernel-memory", 0, OPTION_STRING, OPT(kernel_memory), "BYTES",
	 "obsolete; cgroup v1 only"},
	{"kernel-memory-tcp", 0, OPTION_STRING, OPT(kernel_memory_tcp), "BYTES",
	 "obsolete; cgroup v1 only"},
	{"pids-limit", 0, OPTION_STRING, OPT(pids_limit), "N", "number of processes; -1: no limit"},
	{"l3-cache-schema", 0, OPTION_STRING, OPT(l3_cache_schema), "SCHEMA",
	 "share of the L3 caches, for a container with linux.intelRdt"},
	{"mem-bw-schema", 0, OPTION_STRING, OPT(mem_bw_schema), "SCHEMA",
	 "memory bandwidth, for a container with linux.intelRdt"},
	OPTION_END,
};

enum value_kind { VALUE_NUMBER, VALUE_BYTES, VALUE_TEXT };

/* Which member of linux.resources an option is. */
static const struct {
	const char *option;
	size_t offset;
	const char *section, *key;
	enum value_kind kind;
} members[] = {
	{"blkio-weight", OPT(blkio_weight), "blockIO", "weight", VALUE_NUMBER},
	{"cpu-period", OPT(cpu_period), "cpu", "period", VALUE_NUMBER},
	{"cpu-quota", OPT(cpu_quota), "cpu", "quota", VALUE_NUMBER},
	{"cpu-burst", OPT(cpu_burst), "cpu", "burst", VALUE_NUMBER},
	{"cpu-share", OPT(cpu_share), "cpu", "shares", VALUE_NUMBER},
	{"cpu-rt-period", OPT(cpu_rt_period), "cpu", "realtimePeriod", VALUE_NUMBER},
	{"cpu-rt-runtime", OPT(cpu_rt_runtime), "cpu", "realtimeRuntime", VALUE_NUMBER},
	{"cpu-idle", OPT(cpu_idle), "cpu", "idle", VALUE_NUMBER},
	{"cpuset-cpus", OPT(cpuset_cpus), "cpu", "cpus", VALUE_TEXT},
	{"cpuset-mems", OPT(cpuset_mems), "cpu", "mems", VALUE_TEXT},
	{"memory", OPT(memory), "memory", "limit", VALUE_BYTES},
	{"memory-reservation", OPT(memory_reservation), "memory", "reservation", VALUE_BYTES},
	{"memory-swap", OPT(memory_swap), "memory", "swap", VALUE_BYTES},
	{"kernel-memory", OPT(kernel_memory), "memory", "kernel", VALUE_BYTES},
	{"kernel-memory-tcp", OPT(kernel_memory_tcp), "memory", "kernelTCP", VALUE_BYTES},
	{"pids-limit", OPT(pids_limit), "pids", "limit", VALUE_NUMBER},
};

/* "64M", "1g", "512kb", "-1": bytes, with the units of 1024 that runc takes. */
static int parse_number(const char *text, bool bytes, int64_t *ret)
{
	static const char units[] = "bkmgtp";
	size_t digits = strspn(text, "0123456789");
	uint64_t value;
	const char *unit;

	if (str_eq(text, "-1")) {
		*ret = -1;
		return 0;
	}
	if (num_parse_u64(text, digits, INT64_MAX, &value) < 0)
		return -EINVAL;
	text += digits;
	if (*text && bytes) {
		unit = strchr(units, *text | 0x20);
		if (!unit)
			return -EINVAL;
		for (ptrdiff_t i = unit - units; i > 0; i--)
			if (__builtin_mul_overflow(value, UINT64_C(1024), &value) ||
			    value > INT64_MAX)
				return -ERANGE;
		text++;
		if ((*text == 'b' || *text == 'B') && unit != units)
			text++;
	}
	*ret = (int64_t)value;
	return *text ? -EINVAL : 0;
}

static int option_value(size_t i, const char *value, struct strbuf *out, struct rb_err *err)
{
	int64_t number;

	if (members[i].kind == VALUE_TEXT) {
		strbuf_add_json(out, value);
		return 0;
	}
	if (parse_number(value, members[i].kind == VALUE_BYTES, &number) < 0) {
		err_set(err, RB_USAGE, 0, "invalid value for %s: '%.60s'", members[i].option,
			value);
		err_fix(err, members[i].kind == VALUE_BYTES
				     ? "use bytes, or a number with k, m or g"
				     : "use a number");
		return -EINVAL;
	}
	strbuf_printf(out, "%" PRId64, number);
	return 0;
}

/* The options as the JSON that a file would hold. */
static int update_from_options(const struct update_options *options, struct strbuf *out,
			       struct rb_err *err)
{
	static const char *const sections[] = {"blockIO", "cpu", "memory", "pids"};

	strbuf_add_char(out, '{');
	for (size_t s = 0; s < ARRAY_LEN(sections); s++) {
		const char *separator = "";

		strbuf_printf(out, "%s\"%s\":{", s ? "," : "", sections[s]);
		for (size_t i = 0; i < ARRAY_LEN(members); i++) {
			const char *value = *(const char *const *)((const char *)options +
								   members[i].offset);
			int r;

			if (!value || !str_eq(members[i].section, sections[s]))
				continue;
			strbuf_printf(out, "%s\"%s\":", separator, members[i].key);
			separator = ",";
			r = option_value(i, value, out, err);
			if (r < 0)
				return r;
		}
		strbuf_add_char(out, '}');
	}
	strbuf_add_char(out, '}');
	return 0;
}

static int update_read(struct arena *arena, const struct update_options *options,
		       const struct json_node **ret_node, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	char *bytes;
	size_t len;
	int r;

	if (!options->resources) {
		r = update_from_options(options, &text, err);
		if (r == 0 && text.failed)
			r = err_set(err, RB_NO_MEMORY, ENOMEM, "update");
		return r < 0 ? r : json_parse(arena, "options", text.text, text.len, ret_node, err);
	}
	if (str_eq(options->resources, "-")) {
		r = stream_read(arena, STDIN_FILENO, LIMIT_CONFIG_BYTES, &bytes, &len);
	} else {
		r = file_read_named(arena, options->resources, LIMIT_CONFIG_BYTES, &bytes, &len);
	}
	if (r < 0)
		return err_set(err, RB_CONFIG_FILE, -r, "cannot read the resources '%s'",
			       options->resources);
	return json_parse(arena, "resources", bytes, len, ret_node, err);
}

/* What earlier updates have left, over what the configuration said. */
static int update_current(struct arena *arena, const struct container *container,
			  struct spec_resources *resources, struct rb_err *err)
{
	const struct json_node *node;
	char *text;
	size_t len;
	int r = file_read_at(arena, container->dir, "updates.json", LIMIT_CONFIG_BYTES, &text,
			     &len);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_set(err, RB_STATE_DAMAGED, -r, "cannot read the updates of container %s",
			       container->id);
	r = json_parse(arena, "updates.json", text, len, &node, err);
	return r < 0 ? r : spec_parse_resources(arena, node, resources, err);
}

static int update_merge(struct arena *arena, const struct json_node *node,
			struct spec_resources *resources, struct rb_err *err)
{
	struct spec_resources changes = {0};
	int r = spec_parse_resources(arena, node, &changes, err);

	if (r == 0)
		r = spec_parse_resources(arena, node, resources, err);
	if (r < 0)
		return r;
	/* "no limit" of memory with the old limit of both together would be no change at all */
	if (changes.memory.limit.present && changes.memory.limit.value == -1 &&
	    !changes.memory.swap.present && resources->memory.swap.present)
		resources->memory.swap.value = -1;
	/* a weight has no meaning for an idle group: giving one ends the idleness */
	if (changes.cpu.shares.present && changes.cpu.shares.value > 0 &&
	    !changes.cpu.idle.present && resources->cpu.idle.present)
		resources->cpu.idle.value = 0;
	/* devices are the filter's, which stays as it is */
	resources->n_devices = 0;
	return 0;
}

/* systemd writes its own idea of a scope's limits whenever it reloads: it must know them. */
static int update_scope(struct arena *arena, const struct state_record *record,
			const struct spec_resources *resources, const struct host *host,
			struct rb_err *err)
{
	struct scope scope;
	const char **words;
	size_t at = 0;
	int r = scope_properties(arena, resources, host, &scope, err);

	words = r < 0 ? NULL : arena_array(arena, scope.n_properties + 5, sizeof(*words));
	if (r < 0 || scope.n_properties == 0)
		return r;
	if (!words)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "systemd");
	words[at++] = "runbuild-systemd";
	words[at++] = scope_manager(arena);
	words[at++] = "set";
	words[at++] = record->scope;
	for (size_t i = 0; i < scope.n_properties; i++)
		words[at++] = scope.properties[i];
	return scope_call(arena, words, err);
}

static int update_apply(struct arena *arena, const struct container *container,
			const struct spec_resources *resources, const struct host *host,
			struct rb_err *err)
{
	CLEANUP_CGROUP struct cgroup cgroup = {.n = 0};
	struct resource_progress progress = {.n_waiting = 0};
	struct resource_writes writes;
	int r;

	if ((r = resources_convert(arena, resources, host, &writes, err)) < 0 ||
	    (r = open_container_cgroup(arena, container, &cgroup, err)) < 0)
		return r;
	for (size_t i = 0; i < writes.n; i++) {
		r = resource_apply(&cgroup, &writes.v[i], &progress, err);
		if (r < 0) {
			err_origin(err, writes.v[i].origin);
			return r;
		}
	}
	return resource_finish(&cgroup, &progress, err);
}

static int update_resctrl(struct arena *arena, const struct update_options *options,
			  const struct spec *spec, const char *id, const struct host *host,
			  struct rb_err *err)
{
	const char *caches = options->l3_cache_schema;
	const char *bandwidth = options->mem_bw_schema;
	struct resctrl_job job = {
		.arena = arena,
		.root = host->resctrl,
		.class = spec->rdt.class ? spec->rdt.class : id,
		.directory = -1,
	};

	if (!caches && !bandwidth)
		return 0;
	if (!spec->rdt.present || !host->resctrl[0]) {
		err_set(err, RB_RDT, 0, "container %s has no class of resource control", id);
		err_fix(err, "create it with linux.intelRdt, on a host that has resctrl");
		return -ENOTSUP;
	}
	job.schemata = arena_printf(arena, "%s%s%s%s", caches ? caches : "", caches ? "\n" : "",
				    bandwidth ? bandwidth : "", bandwidth ? "\n" : "");
	return job.schemata ? resctrl_apply(&job, err)
			    : err_set(err, RB_NO_MEMORY, ENOMEM, "update");
}

static int update_keep(const struct container *container, const struct spec_resources *resources,
		       struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	int r;

	spec_print_resources(resources, &text);
	r = text.failed
		    ? -ENOMEM
		    : file_replace_at(container->dir, "updates.json", text.text, text.len, 0600);
	return r < 0 ? err_set(err, RB_STATE_WRITE, -r, "cannot keep the update of container %s",
			       container->id)
		     : 0;
}

static int update_main(struct arena *arena, const struct globals *globals, const void *options,
		       int argc UNUSED, char **argv, struct rb_err *err)
{
	const struct update_options *update_options = options;
	CLEANUP_CONTAINER struct container container = {.dir = -1};
	CLEANUP(state_root_close) struct state_root root = {.fd = -1};
	const struct json_node *node;
	struct spec_resources resources;
	struct state_record record;
	const struct spec *spec;
	struct host host;
	int r;

	if ((r = open_container(arena, globals, argv[0], &root, &container, err)) < 0)
		return r;
	if (container_status(&container) == STATUS_STOPPED)
		return err_set(err, RB_NOT_RUNNING, 0, "container not running");
	if ((r = container_read(arena, &container, &record, err)) < 0 ||
	    (r = spec_parse(arena, record.config, record.config_len, record.bundle, &spec, err)) <
		    0)
		return r;
	resources = spec->resources;
	if ((r = update_current(arena, &container, &resources, err)) < 0 ||
	    (r = update_read(arena, update_options, &node, err)) < 0 ||
	    (r = update_merge(arena, node, &resources, err)) < 0 ||
	    (r = host_probe(HOST_WANT_ALL, &host, err)) < 0)
		return r;
	if (record.scope && (r = update_scope(arena, &record, &resources, &host, err)) < 0)
		return r;
	r = update_resctrl(arena, update_options, spec, container.id, &host, err);
	if (r == 0)
		r = update_apply(arena, &container, &resources, &host, err);
	return r < 0 ? r : update_keep(&container, &resources, err);
}

const struct verb verb_update = {
	.name = "update",
	.summary = "change the limits of a running container",
	.args = "ID",
	.min_args = 1,
	.max_args = 1,
	.options = update_option_table,
	.options_size = sizeof(struct update_options),
	.run = update_main,
};
