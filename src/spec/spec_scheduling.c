/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the process is scheduled and where its memory and clocks come from: scheduler, ioPriority,
 * execCPUAffinity, memoryPolicy, personality, timeOffsets. runtime-spec config.md#linux-process,
 * config-linux.md. Pure.
 */
#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <linux/sched.h>
#include "base/num.h"
#include "spec/spec_read.h"

/* linux/mempolicy.h, newer than Debian 12's headers; and linux/sched.h hides SCHED_ISO */
enum { MEMPOLICY_WEIGHTED_INTERLEAVE = 6, POLICY_ISO = 4 };
enum { PERSONALITY_LINUX32 = 8 }; /* personality(2): PER_LINUX32 */

struct word {
	const char *name;
	uint64_t value;
};

static int find_word(struct spec_parser *p, const struct json_node *node, const struct word *words,
		     size_t n, uint64_t *ret)
{
	int r = json_expect(node, JSON_STRING, p->err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (str_eq(node->text, words[i].name)) {
			*ret = words[i].value;
			return 0;
		}
	}
	return json_error(node, p->err, RB_CONFIG_UNKNOWN, "unknown value \"%.60s\"", node->text);
}

static int find_words(struct spec_parser *p, const struct json_node *object, const char *key,
		      const struct word *words, size_t n, uint64_t *ret)
{
	const struct json_node *array = NULL;
	int r = read_array(p, object, key, 64, &array);

	JSON_FOREACH (item, array) {
		uint64_t value;

		if (r < 0 || (r = find_word(p, item, words, n, &value)) < 0)
			return r;
		*ret |= value;
	}
	return r;
}

static int read_i32(struct spec_parser *p, const struct json_node *object, const char *key,
		    int32_t *ret)
{
	const struct json_node *node = json_member(object, key);
	int64_t value;
	int r;

	if (!node)
		return 0;
	r = json_i64(node, &value, p->err);
	if (r < 0)
		return r;
	if (value < INT32_MIN || value > INT32_MAX)
		return json_error(node, p->err, RB_CONFIG_VALUE, "not a 32-bit number");
	*ret = (int32_t)value;
	return 0;
}

static int read_u64(struct spec_parser *p, const struct json_node *object, const char *key,
		    uint64_t *ret)
{
	const struct json_node *node = json_member(object, key);

	return node ? json_u64(node, UINT64_MAX, ret, p->err) : 0;
}

/* "0-3,7" into bits. */
static int read_bits(struct spec_parser *p, const struct json_node *object, const char *key,
		     struct spec_bits *ret)
{
	const struct json_node *node = json_member(object, key);
	const char *at;
	int r;

	if (!node)
		return 0;
	r = json_expect(node, JSON_STRING, p->err);
	if (r < 0)
		return r;
	for (at = node->text; *at;) {
		size_t len = strspn(at, "0123456789");
		uint64_t first;
		uint64_t last;

		if (num_parse_u64(at, len, SPEC_BITS - 1, &first) < 0)
			break;
		at += len;
		last = first;
		if (*at == '-') {
			len = strspn(++at, "0123456789");
			if (num_parse_u64(at, len, SPEC_BITS - 1, &last) < 0 || last < first)
				break;
			at += len;
		}
		for (uint64_t bit = first; bit <= last; bit++)
			ret->word[bit / 32] |= UINT32_C(1) << bit % 32;
		ret->present = true;
		if (*at != ',')
			break;
		at++;
		at += strspn(at, " ");
	}
	if (*at)
		return json_error(node, p->err, RB_CONFIG_VALUE,
				  "\"%.60s\" is not a list like 0-3,7 of numbers below %d",
				  node->text, SPEC_BITS);
	ret->origin = read_origin(p, node);
	return 0;
}

static int read_scheduler(struct spec_parser *p, const struct json_node *node,
			  struct spec_scheduler *scheduler)
{
	/* sched(7) */
	static const struct word policies[] = {
		{"SCHED_OTHER", SCHED_NORMAL},
		{"SCHED_FIFO", SCHED_FIFO},
		{"SCHED_RR", SCHED_RR},
		{"SCHED_BATCH", SCHED_BATCH},
		{"SCHED_ISO", POLICY_ISO},
		{"SCHED_IDLE", SCHED_IDLE},
		{"SCHED_DEADLINE", SCHED_DEADLINE},
	};
	static const struct word flags[] = {
		{"SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK},
		{"SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM},
		{"SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN},
		{"SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY},
		{"SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS},
		{"SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN},
		{"SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX},
	};
	const struct json_node *policy = json_member(node, "policy");
	uint64_t value = 0;
	int r;

	if (!policy)
		return read_missing(p, node, "policy");
	if ((r = find_word(p, policy, policies, ARRAY_LEN(policies), &value)) < 0 ||
	    (r = read_i32(p, node, "nice", &scheduler->nice)) < 0 ||
	    (r = read_i32(p, node, "priority", &scheduler->priority)) < 0 ||
	    (r = find_words(p, node, "flags", flags, ARRAY_LEN(flags), &scheduler->flags)) < 0 ||
	    (r = read_u64(p, node, "runtime", &scheduler->runtime)) < 0 ||
	    (r = read_u64(p, node, "deadline", &scheduler->deadline)) < 0 ||
	    (r = read_u64(p, node, "period", &scheduler->period)) < 0)
		return r;
	if (scheduler->nice < -20 || scheduler->nice > 19)
		return json_error(node, p->err, RB_CONFIG_VALUE, "nice is not between -20 and 19");
	if (scheduler->priority < 0 || scheduler->priority > 99)
		return json_error(node, p->err, RB_CONFIG_VALUE,
				  "priority is not between 0 and 99");
	scheduler->policy = (uint32_t)value;
	scheduler->present = true;
	scheduler->origin = read_origin(p, node);
	return 0;
}

static int read_io_priority(struct spec_parser *p, const struct json_node *node,
			    struct spec_process *process)
{
	static const struct word classes[] = {
		{"IOPRIO_CLASS_RT", IOPRIO_CLASS_RT},
		{"IOPRIO_CLASS_BE", IOPRIO_CLASS_BE},
		{"IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE},
	};
	const struct json_node *class = json_member(node, "class");
	uint64_t value = 0;
	int32_t priority = 0;
	int r;

	if (!class || !json_member(node, "priority"))
		return read_missing(p, node, class ? "priority" : "class");
	if ((r = find_word(p, class, classes, ARRAY_LEN(classes), &value)) < 0 ||
	    (r = read_i32(p, node, "priority", &priority)) < 0)
		return r;
	if (priority < 0 || priority > 7)
		return json_error(node, p->err, RB_CONFIG_VALUE, "priority is not between 0 and 7");
	process->has_io_priority = true;
	process->io_priority = (uint32_t)(value << IOPRIO_CLASS_SHIFT | (uint64_t)priority);
	return 0;
}

int spec_read_process_scheduling(struct spec_parser *p, const struct json_node *node,
				 struct spec_process *process)
{
	const struct json_node *scheduler = NULL;
	const struct json_node *priority = NULL;
	const struct json_node *affinity = NULL;
	int r;

	if ((r = read_object(p, node, "scheduler", &scheduler)) < 0 ||
	    (scheduler && (r = read_scheduler(p, scheduler, &process->scheduler)) < 0) ||
	    (r = read_object(p, node, "ioPriority", &priority)) < 0 ||
	    (priority && (r = read_io_priority(p, priority, process)) < 0) ||
	    (r = read_object(p, node, "execCPUAffinity", &affinity)) < 0 ||
	    (r = read_bits(p, affinity, "initial", &process->affinity_initial)) < 0)
		return r;
	return read_bits(p, affinity, "final", &process->affinity_final);
}

static int read_memory_policy(struct spec_parser *p, const struct json_node *node,
			      struct spec *spec)
{
	/* set_mempolicy(2) */
	static const struct word modes[] = {
		{"MPOL_DEFAULT", MPOL_DEFAULT},
		{"MPOL_PREFERRED", MPOL_PREFERRED},
		{"MPOL_BIND", MPOL_BIND},
		{"MPOL_INTERLEAVE", MPOL_INTERLEAVE},
		{"MPOL_LOCAL", MPOL_LOCAL},
		{"MPOL_PREFERRED_MANY", MPOL_PREFERRED_MANY},
		{"MPOL_WEIGHTED_INTERLEAVE", MEMPOLICY_WEIGHTED_INTERLEAVE},
	};
	static const struct word flags[] = {
		{"MPOL_F_NUMA_BALANCING", MPOL_F_NUMA_BALANCING},
		{"MPOL_F_RELATIVE_NODES", MPOL_F_RELATIVE_NODES},
		{"MPOL_F_STATIC_NODES", MPOL_F_STATIC_NODES},
	};
	const struct json_node *mode = json_member(node, "mode");
	uint64_t value = 0;
	uint64_t bits = 0;
	int r;

	if (!mode)
		return read_missing(p, node, "mode");
	if ((r = find_word(p, mode, modes, ARRAY_LEN(modes), &value)) < 0 ||
	    (r = find_words(p, node, "flags", flags, ARRAY_LEN(flags), &bits)) < 0 ||
	    (r = read_bits(p, node, "nodes", &spec->memory_nodes)) < 0)
		return r;
	spec->has_memory_policy = true;
	spec->memory_policy = (uint32_t)(value | bits);
	return 0;
}

static int read_personality(struct spec_parser *p, const struct json_node *node, struct spec *spec)
{
	static const struct word domains[] = {{"LINUX", 0}, {"LINUX32", PERSONALITY_LINUX32}};
	const struct json_node *domain = json_member(node, "domain");
	const struct json_node *flags = NULL;
	uint64_t value = 0;
	int r;

	if (!domain)
		return read_missing(p, node, "domain");
	if ((r = find_word(p, domain, domains, ARRAY_LEN(domains), &value)) < 0 ||
	    (r = read_array(p, node, "flags", 64, &flags)) < 0)
		return r;
	/* config-linux.md#personality: "Currently no flag values are supported" */
	if (flags && flags->count)
		return json_error(flags, p->err, RB_UNSUPPORTED,
				  "personality flags are not supported");
	spec->has_personality = true;
	spec->personality = (uint32_t)value;
	return 0;
}

/* time_namespaces(7): lines "CLOCK SECONDS NANOSECONDS" */
static int read_time_offsets(struct spec_parser *p, const struct json_node *node, struct spec *spec)
{
	const struct spec_namespace *ns = spec_namespace_find(spec, CLONE_NEWTIME);
	char text[256] = "";
	size_t len = 0;

	if (node->count && (!ns || ns->path)) {
		json_error(node, p->err, RB_CONFIG_CONFLICT,
			   "time offsets need a new time namespace");
		err_fix(p->err, "add {\"type\":\"time\"} to linux.namespaces");
		return -EINVAL;
	}
	JSON_FOREACH (item, node) {
		const struct json_node *seconds;
		int64_t secs = 0;
		uint32_t nanosecs = 0;
		int r = json_expect(item, JSON_OBJECT, p->err);

		if (r < 0)
			return r;
		if (!str_eq(item->key, "monotonic") && !str_eq(item->key, "boottime"))
			return json_error(item, p->err, RB_CONFIG_UNKNOWN,
					  "unknown clock \"%.40s\": not monotonic or boottime",
					  item->key);
		seconds = json_member(item, "secs");
		if ((seconds && (r = json_i64(seconds, &secs, p->err)) < 0) ||
		    (r = read_u32(p, item, "nanosecs", &nanosecs)) < 0)
			return r;
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s %" PRId64 " %u\n",
					item->key, secs, nanosecs);
	}
	if (len == 0)
		return 0;
	spec->time_offsets = arena_strdup(p->arena, text);
	return spec->time_offsets ? 0 : err_set(p->err, RB_NO_MEMORY, ENOMEM, "time offsets");
}

int spec_read_linux_scheduling(struct spec_parser *p, const struct json_node *node,
			       struct spec *spec)
{
	const struct json_node *policy = NULL;
	const struct json_node *personality = NULL;
	const struct json_node *offsets = NULL;
	int r;

	if ((r = read_object(p, node, "memoryPolicy", &policy)) < 0 ||
	    (policy && (r = read_memory_policy(p, policy, spec)) < 0) ||
	    (r = read_object(p, node, "personality", &personality)) < 0 ||
	    (personality && (r = read_personality(p, personality, spec)) < 0) ||
	    (r = read_object(p, node, "timeOffsets", &offsets)) < 0)
		return r;
	return offsets ? read_time_offsets(p, offsets, spec) : 0;
}
