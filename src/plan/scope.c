/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroupsPath and limits as systemd sees them. Pure. Names as runc derives them, because podman,
 * CRI-O and containerd look for the unit under that name.
 */
#include "base/num.h"
#include "plan/resources.h"
#include "plan/scope.h"
#include "plan/scope_annotation.h"

struct property_list {
	struct arena *arena;
	const char **v;
	size_t n, room;
	bool failed;
};

enum { PROPERTIES_MAX = 32 };

static void property_add(struct property_list *list, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void property_add(struct property_list *list, const char *fmt, ...)
{
	char text[640];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (list->n == PROPERTIES_MAX || !(list->v[list->n] = arena_strdup(list->arena, text)))
		list->failed = true;
	else
		list->n++;
}

/* A limit in systemd's spelling of "no limit". */
static void property_limit(struct property_list *list, const char *name, int64_t value)
{
	property_add(list, "%s=t:%" PRIu64, name, value < 0 ? UINT64_MAX : (uint64_t)value);
}

static bool is_set(const struct spec_number *number)
{
	return number->present && number->value != 0;
}

static void properties_memory(struct property_list *list, const struct spec_memory *m, bool v2)
{
	if (is_set(&m->limit))
		property_limit(list, v2 ? "MemoryMax" : "MemoryLimit", m->limit.value);
	if (!v2)
		return;
	if (is_set(&m->reservation))
		property_limit(list, "MemoryLow", m->reservation.value);
	if (is_set(&m->swap) && (m->swap.value < 0 || m->swap.value >= m->limit.value))
		property_limit(list, "MemorySwapMax",
			       m->swap.value < 0 ? -1 : m->swap.value - m->limit.value);
}

/*
 * systemd keeps the quota per second, in steps of 10 ms; the file gets the exact value afterwards.
 */
static void properties_quota(struct property_list *list, int64_t quota, int64_t period)
{
	uint64_t per_second = UINT64_MAX;

	if (quota > 0) {
		per_second = (uint64_t)quota * 1000000 / (uint64_t)period;
		per_second = (per_second + 9999) / 10000 * 10000;
	}
	property_add(list, "CPUQuotaPeriodUSec=t:%" PRId64, period);
	property_add(list, "CPUQuotaPerSecUSec=t:%" PRIu64, per_second);
}

/* "0-3,7" as the bytes of a mask, in hex. */
static int property_mask(struct property_list *list, const char *name, const char *text)
{
	uint8_t mask[256] = {0};
	char hex[2 * sizeof(mask) + 1];
	size_t bytes = 0;

	while (*text) {
		size_t len = strspn(text, "0123456789");
		uint64_t first;
		uint64_t last;

		if (num_parse_u64(text, len, 8 * sizeof(mask) - 1, &first) < 0)
			return -EINVAL;
		text += len;
		last = first;
		if (*text == '-') {
			len = strspn(++text, "0123456789");
			if (num_parse_u64(text, len, 8 * sizeof(mask) - 1, &last) < 0)
				return -EINVAL;
			text += len;
		}
		for (uint64_t cpu = first; cpu <= last; cpu++)
			mask[cpu / 8] |= (uint8_t)(1u << cpu % 8);
		if (last / 8 + 1 > bytes)
			bytes = last / 8 + 1;
		if (*text && *text++ != ',')
			return -EINVAL;
	}
	for (size_t i = 0; i < bytes; i++)
		snprintf(hex + 2 * i, 3, "%02x", mask[i]);
	if (bytes)
		property_add(list, "%s=ay:%s", name, hex);
	return 0;
}

static void properties_cpu(struct property_list *list, const struct spec_cpu *cpu, bool v2)
{
	if (is_set(&cpu->shares)) {
		if (v2)
			property_add(list, "CPUWeight=t:%" PRIu64,
				     resources_cpu_weight((uint64_t)cpu->shares.value));
		else
			property_add(list, "CPUShares=t:%" PRId64, cpu->shares.value);
	}
	if (is_set(&cpu->quota) || is_set(&cpu->period))
		properties_quota(list, cpu->quota.value,
				 is_set(&cpu->period) ? cpu->period.value : 100000);
	if (!v2)
		return;
	/* what does not parse here is refused when the file is written, with the value */
	if (cpu->cpus.value)
		(void)property_mask(list, "AllowedCPUs", cpu->cpus.value);
	if (cpu->mems.value)
		(void)property_mask(list, "AllowedMemoryNodes", cpu->mems.value);
}

/* "QUOTA PERIOD" in microseconds; "max" is what systemd assumes anyway. */
static void properties_cpu_max(struct property_list *list, const char *text)
{
	size_t len = strcspn(text, " ");
	uint64_t quota;
	uint64_t period;

	if (num_parse_u64(text, len, INT64_MAX / 1000000, &quota) == 0 && text[len] &&
	    num_parse_u64(text + len + 1, strlen(text + len + 1), INT64_MAX, &period) == 0 &&
	    period > 0)
		properties_quota(list, (int64_t)quota, (int64_t)period);
}

/* The unified files that systemd has a property for. */
static void properties_unified(struct property_list *list, const struct spec_resources *resources)
{
	static const char *const names[][2] = {
		{"memory.min", "MemoryMin"},          {"memory.low", "MemoryLow"},
		{"memory.high", "MemoryHigh"},        {"memory.max", "MemoryMax"},
		{"memory.swap.max", "MemorySwapMax"}, {"pids.max", "TasksMax"},
		{"cpu.weight", "CPUWeight"},
	};

	for (size_t i = 0; i < resources->n_unified; i++) {
		const struct spec_unified *u = &resources->unified[i];
		uint64_t value = UINT64_MAX;

		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			if (str_eq(u->file, names[k][0]) &&
			    (str_eq(u->value, "max") ||
			     num_parse_u64(u->value, strlen(u->value), UINT64_MAX, &value) == 0))
				property_add(list, "%s=t:%" PRIu64, names[k][1], value);
		if (str_eq(u->file, "cpu.max"))
			properties_cpu_max(list, u->value);
		if (str_eq(u->file, "cpuset.cpus"))
			(void)property_mask(list, "AllowedCPUs", u->value);
		if (str_eq(u->file, "cpuset.mems"))
			(void)property_mask(list, "AllowedMemoryNodes", u->value);
	}
}

/* First those of the annotations, so that a limit that is asked for as a limit holds. */
static int scope_all_properties(struct arena *arena, const struct spec *spec,
				const struct host *host, struct scope *ret_scope,
				struct rb_err *err)
{
	size_t room = spec->n_annotations + PROPERTIES_MAX;
	const char **all = arena_array(arena, room, sizeof(*all));
	size_t n = 0;
	int r;

	if (!all)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "systemd properties");
	if ((r = scope_annotations(arena, spec, all, &n, err)) < 0 ||
	    (r = scope_properties(arena, &spec->resources, host, ret_scope, err)) < 0)
		return r;
	for (size_t i = 0; i < ret_scope->n_properties; i++)
		all[n++] = ret_scope->properties[i];
	ret_scope->properties = all;
	ret_scope->n_properties = n;
	return 0;
}

int scope_properties(struct arena *arena, const struct spec_resources *resources,
		     const struct host *host, struct scope *ret_scope, struct rb_err *err)
{
	bool v2 = host->cgroup_mode == HOST_CGROUP_V2;
	struct property_list list = {
		.arena = arena,
		.v = arena_array(arena, PROPERTIES_MAX, sizeof(*list.v)),
	};

	if (!list.v)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "systemd properties");
	properties_memory(&list, &resources->memory, v2);
	properties_cpu(&list, &resources->cpu, v2);
	if (is_set(&resources->pids))
		property_limit(&list, "TasksMax", resources->pids.value);
	if (is_set(&resources->blkio.weight))
		property_add(&list, "%s=t:%" PRIu64, v2 ? "IOWeight" : "BlockIOWeight",
			     v2 ? resources_io_weight((uint64_t)resources->blkio.weight.value)
				: (uint64_t)resources->blkio.weight.value);
	if (v2)
		properties_unified(&list, resources);
	if (list.failed)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "systemd properties");
	ret_scope->properties = list.v;
	ret_scope->n_properties = list.n;
	return 0;
}

/* systemd.unit(5): what may stand in a unit's name without escapes. */
static bool is_unit_word(const char *word)
{
	return word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				 ":-_.\\@+")] == '\0' &&
	       strlen(word) < 250;
}

static int scope_path_error(const char *path, struct rb_err *err)
{
	err_set(err, RB_CONFIG_VALUE, 0,
		"expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got "
		"\"%.100s\" instead",
		path);
	err_origin(err, "/linux/cgroupsPath");
	err_fix(err, "leave --systemd-cgroup out for a path");
	return -EINVAL;
}

int scope_describe(struct arena *arena, const struct spec *spec, const struct host *host,
		   const char *id, struct scope *ret_scope, struct rb_err *err)
{
	bool user = host->euid != 0 || host->in_user_namespace;
	const char *path = spec->cgroups_path;
	const char *slice = user ? "user.slice" : "system.slice";
	const char *prefix = "runbuild";
	const char *name = id;

	if (path[0]) {
		const char *first = strchr(path, ':');
		const char *second = first ? strchr(first + 1, ':') : NULL;

		if (!second || strchr(second + 1, ':') || second[1] == '\0')
			return scope_path_error(path, err);
		if (first > path)
			slice = arena_strndup(arena, path, (size_t)(first - path));
		prefix = arena_strndup(arena, first + 1, (size_t)(second - first) - 1);
		name = second + 1;
	}
	if (!slice || !prefix)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "cgroupsPath");
	if (!is_unit_word(slice) || !is_unit_word(prefix) || !is_unit_word(name) ||
	    strlen(slice) < 7 || !str_eq(slice + strlen(slice) - 6, ".slice"))
		return scope_path_error(path, err);
	ret_scope->slice = slice;
	ret_scope->unit = prefix[0] ? arena_printf(arena, "%s-%s.scope", prefix, name)
				    : arena_printf(arena, "%s.scope", name);
	if (!ret_scope->unit)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "cgroupsPath");
	return scope_all_properties(arena, spec, host, ret_scope, err);
}

/* systemd puts "_" in front of what could be a file of cgroupfs: src/basic/cgroup-util.c. */
static bool is_filed_under_another_name(const char *unit)
{
	size_t len = strcspn(unit, ".");

	for (int i = 0; i < CONTROLLERS; i++) {
		const char *name = host_controller_v1_name((enum host_controller)i);

		if (strlen(name) == len && memcmp(name, unit, len) == 0)
			return true;
	}
	return unit[0] == '_' || unit[0] == '.' || str_starts(unit, "cgroup.") ||
	       str_starts(unit, "io.") || str_starts(unit, "misc.");
}

const char *scope_group(struct arena *arena, const struct scope *scope)
{
	size_t len = strlen(scope->slice) - strlen(".slice");
	const char *path = "";

	if (is_filed_under_another_name(scope->unit))
		return NULL;
	for (size_t end = 1; path && len > 0 && scope->slice[0] != '-' && end <= len; end++)
		if (end == len || scope->slice[end] == '-')
			path = arena_printf(arena, "%s/%.*s.slice", path, (int)end, scope->slice);
	return path ? arena_printf(arena, "%s/%s", path, scope->unit) : NULL;
}
