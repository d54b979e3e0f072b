/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "linux.resources" of config.json, which is also what `update` reads: numbers in ranges, names,
 * lists. runtime-spec config-linux.md#control-groups. Pure.
 */
#include "base/num.h"
#include "base/strbuf.h"
#include "spec/spec_read.h"

enum { LIMIT_RESOURCE_ENTRIES = 4096 };

/* The members that are plain numbers or flags. One table reads them and writes them back. */
static const struct number_member {
	const char *section; /* member of linux.resources */
	const char *key;
	size_t offset; /* in struct spec_resources */
	bool flag;
	int64_t min, max;
} number_members[] = {
#define AT(member) offsetof(struct spec_resources, member)
	{"memory", "limit", AT(memory.limit), false, -1, INT64_MAX},
	{"memory", "reservation", AT(memory.reservation), false, -1, INT64_MAX},
	{"memory", "swap", AT(memory.swap), false, -1, INT64_MAX},
	{"memory", "kernel", AT(memory.kernel), false, -1, INT64_MAX},
	{"memory", "kernelTCP", AT(memory.kernel_tcp), false, -1, INT64_MAX},
	/* containerd and docker have written -1 for "not set" */
	{"memory", "swappiness", AT(memory.swappiness), false, -1, 100},
	{"memory", "disableOOMKiller", AT(memory.disable_oom_killer), true, 0, 1},
	{"memory", "useHierarchy", AT(memory.use_hierarchy), true, 0, 1},
	{"memory", "checkBeforeUpdate", AT(memory.check_before_update), true, 0, 1},
	{"cpu", "shares", AT(cpu.shares), false, 0, INT64_MAX},
	{"cpu", "quota", AT(cpu.quota), false, -1, INT64_MAX},
	{"cpu", "burst", AT(cpu.burst), false, 0, INT64_MAX},
	{"cpu", "period", AT(cpu.period), false, 0, INT64_MAX},
	{"cpu", "realtimeRuntime", AT(cpu.realtime_runtime), false, -1, INT64_MAX},
	{"cpu", "realtimePeriod", AT(cpu.realtime_period), false, 0, INT64_MAX},
	{"cpu", "idle", AT(cpu.idle), false, 0, 1},
	{"pids", "limit", AT(pids), false, -1, INT64_MAX},
	{"blockIO", "weight", AT(blkio.weight), false, 0, 1000},
	{"blockIO", "leafWeight", AT(blkio.leaf_weight), false, 0, 1000},
	{"network", "classID", AT(net_class), false, 0, UINT32_MAX},
};

static const struct {
	const char *section, *key;
	size_t offset;
} text_members[] = {
	{"cpu", "cpus", AT(cpu.cpus)},
	{"cpu", "mems", AT(cpu.mems)},
#undef AT
};

static int read_number(struct spec_parser *p, const struct json_node *node, int64_t min,
		       int64_t max, struct spec_number *ret)
{
	int64_t value;
	int r = json_i64(node, &value, p->err);

	if (r < 0)
		return r;
	if (value < min || value > max)
		return json_error(node, p->err, RB_CONFIG_VALUE,
				  "%" PRId64 " is not between %" PRId64 " and %" PRId64, value, min,
				  max);
	*ret = (struct spec_number){true, value, read_origin(p, node)};
	return 0;
}

static int read_number_member(struct spec_parser *p, const struct json_node *object,
			      const char *key, int64_t max, struct spec_number *ret)
{
	const struct json_node *node = json_member(object, key);

	return node ? read_number(p, node, 0, max, ret) : 0;
}

static int read_numbers(struct spec_parser *p, const struct json_node *node,
			struct spec_resources *resources)
{
	for (size_t i = 0; i < ARRAY_LEN(number_members); i++) {
		const struct number_member *m = &number_members[i];
		const struct json_node *section = NULL;
		const struct json_node *member;
		struct spec_number *number = (struct spec_number *)((char *)resources + m->offset);
		bool flag;
		int r = read_object(p, node, m->section, &section);

		if (r < 0)
			return r;
		member = json_member(section, m->key);
		if (!member)
			continue;
		if (!m->flag) {
			r = read_number(p, member, m->min, m->max, number);
		} else {
			r = json_bool(member, &flag, p->err);
			if (r == 0)
				*number = (struct spec_number){true, flag, read_origin(p, member)};
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* "0-3,7": what cpuset files take. */
static bool is_cpu_list(const char *text)
{
	return text[strspn(text, "0123456789-,")] == '\0';
}

static int read_texts(struct spec_parser *p, const struct json_node *node,
		      struct spec_resources *resources)
{
	for (size_t i = 0; i < ARRAY_LEN(text_members); i++) {
		const struct json_node *member = json_member(
			json_member(node, text_members[i].section), text_members[i].key);
		struct spec_text *text = (struct spec_text *)((char *)resources +
							      text_members[i].offset);
		int r;

		if (!member)
			continue;
		r = json_string(member, &text->value, p->err);
		if (r < 0)
			return r;
		text->origin = read_origin(p, member);
		if (!is_cpu_list(text->value))
			return json_error(member, p->err, RB_CONFIG_VALUE,
					  "\"%.60s\" is not a list like 0-3,7", text->value);
	}
	return 0;
}

static int read_device_number(struct spec_parser *p, const struct json_node *node, uint32_t *major,
			      uint32_t *minor)
{
	int r = json_expect(node, JSON_OBJECT, p->err);

	if (r < 0 || (r = read_u32(p, node, "major", major)) < 0)
		return r;
	return read_u32(p, node, "minor", minor);
}

static int read_weight_devices(struct spec_parser *p, const struct json_node *node,
			       struct spec_blkio *blkio)
{
	const struct json_node *array = NULL;
	struct spec_blkio_weight *v;
	size_t n = 0;
	int r = read_array(p, node, "weightDevice", LIMIT_RESOURCE_ENTRIES, &array);

	if (r < 0 || !array || (r = read_alloc(p, array, sizeof(*v), &v)) < 0)
		return r;
	JSON_FOREACH (item, array) {
		struct spec_blkio_weight *w = &v[n++];

		if ((r = read_device_number(p, item, &w->major, &w->minor)) < 0 ||
		    (r = read_number_member(p, item, "weight", 1000, &w->weight)) < 0 ||
		    (r = read_number_member(p, item, "leafWeight", 1000, &w->leaf_weight)) < 0)
			return r;
	}
	blkio->devices = v;
	blkio->n_devices = n;
	return 0;
}

static int read_rates(struct spec_parser *p, const struct json_node *node, struct spec_blkio *blkio)
{
	static const char *const keys[THROTTLE_KINDS] = {
		"throttleReadBpsDevice", "throttleWriteBpsDevice", "throttleReadIOPSDevice",
		"throttleWriteIOPSDevice"};

	for (size_t kind = 0; kind < THROTTLE_KINDS; kind++) {
		const struct json_node *array = NULL;
		struct spec_blkio_rate *v;
		size_t n = 0;
		int r = read_array(p, node, keys[kind], LIMIT_RESOURCE_ENTRIES, &array);

		if (r < 0)
			return r;
		if (!array)
			continue;
		if ((r = read_alloc(p, array, sizeof(*v), &v)) < 0)
			return r;
		JSON_FOREACH (item, array) {
			const struct json_node *rate;

			if ((r = read_device_number(p, item, &v[n].major, &v[n].minor)) < 0)
				return r;
			rate = json_member(item, "rate");
			if (!rate)
				return read_missing(p, item, "rate");
			if ((r = json_u64(rate, UINT64_MAX, &v[n].rate, p->err)) < 0)
				return r;
			v[n++].origin = read_origin(p, item);
		}
		blkio->rates[kind] = v;
		blkio->n_rates[kind] = n;
	}
	return 0;
}

static int read_blkio(struct spec_parser *p, const struct json_node *node, struct spec_blkio *blkio)
{
	int r = read_weight_devices(p, node, blkio);

	return r < 0 ? r : read_rates(p, node, blkio);
}

/* A name that becomes part of a file name of the cgroup file system. */
static bool is_file_name(const char *name)
{
	return name[0] && name[0] != '.' && !strchr(name, '/') && strlen(name) < 128;
}

static int read_hugepages(struct spec_parser *p, const struct json_node *node,
			  struct spec_resources *resources)
{
	const struct json_node *array = NULL;
	struct spec_hugepages *v;
	size_t n = 0;
	int r = read_array(p, node, "hugepageLimits", 64, &array);

	if (r < 0 || !array || (r = read_alloc(p, array, sizeof(*v), &v)) < 0)
		return r;
	JSON_FOREACH (item, array) {
		const struct json_node *limit;

		if ((r = json_expect(item, JSON_OBJECT, p->err)) < 0 ||
		    (r = read_string(p, item, "pageSize", &v[n].size)) < 0)
			return r;
		limit = json_member(item, "limit");
		if (!v[n].size || !limit)
			return read_missing(p, item, v[n].size ? "limit" : "pageSize");
		/* hugetlb.rst: "2MB", "1GB", "64KB" */
		if (!is_file_name(v[n].size) || v[n].size[strspn(v[n].size, "0123456789")] == '\0')
			return json_error(json_member(item, "pageSize"), p->err, RB_CONFIG_VALUE,
					  "\"%.40s\" is not a page size like 2MB", v[n].size);
		if ((r = json_u64(limit, UINT64_MAX, &v[n].limit, p->err)) < 0)
			return r;
		v[n++].origin = read_origin(p, item);
	}
	resources->hugepages = v;
	resources->n_hugepages = n;
	return 0;
}

static int read_net_priorities(struct spec_parser *p, const struct json_node *node,
			       struct spec_resources *resources)
{
	const struct json_node *array = NULL;
	struct spec_net_priority *v;
	size_t n = 0;
	int r = read_array(p, json_member(node, "network"), "priorities", 1024, &array);

	if (r < 0 || !array || (r = read_alloc(p, array, sizeof(*v), &v)) < 0)
		return r;
	JSON_FOREACH (item, array) {
		if ((r = json_expect(item, JSON_OBJECT, p->err)) < 0 ||
		    (r = read_string(p, item, "name", &v[n].interface)) < 0 ||
		    (r = read_u32(p, item, "priority", &v[n].priority)) < 0)
			return r;
		if (!v[n].interface)
			return read_missing(p, item, "name");
		v[n++].origin = read_origin(p, item);
	}
	resources->net_priorities = v;
	resources->n_net_priorities = n;
	return 0;
}

static int read_rdma(struct spec_parser *p, const struct json_node *node,
		     struct spec_resources *resources)
{
	const struct json_node *object = NULL;
	struct spec_rdma *v;
	size_t n = 0;
	int r = read_object(p, node, "rdma", &object);

	if (r < 0 || !object || (r = read_alloc(p, object, sizeof(*v), &v)) < 0)
		return r;
	JSON_FOREACH (item, object) {
		v[n].device = item->key;
		if ((r = json_expect(item, JSON_OBJECT, p->err)) < 0 ||
		    (r = read_number_member(p, item, "hcaHandles", UINT32_MAX, &v[n].handles)) <
			    0 ||
		    (r = read_number_member(p, item, "hcaObjects", UINT32_MAX, &v[n].objects)) < 0)
			return r;
		v[n++].origin = read_origin(p, item);
	}
	resources->rdma = v;
	resources->n_rdma = n;
	return 0;
}

/* Laid over the entries there are: the same file is replaced, the rest stays. */
static int read_unified(struct spec_parser *p, const struct json_node *node,
			struct spec_resources *resources)
{
	const struct json_node *object = NULL;
	struct spec_unified *v;
	size_t n = 0;
	int r = read_object(p, node, "unified", &object);

	if (r < 0 || !object)
		return r;
	v = arena_array(p->arena, object->count + resources->n_unified + 1, sizeof(*v));
	if (!v)
		return err_set(p->err, RB_NO_MEMORY, ENOMEM, "configuration");
	for (size_t i = 0; i < resources->n_unified; i++)
		if (!json_member(object, resources->unified[i].file))
			v[n++] = resources->unified[i];
	JSON_FOREACH (item, object) {
		if ((r = json_string(item, &v[n].value, p->err)) < 0)
			return r;
		if (!is_file_name(item->key) || !strchr(item->key, '.'))
			return json_error(item, p->err, RB_CONFIG_VALUE,
					  "unified resource \"%.80s\" must be a file name "
					  "(no slashes) like memory.high",
					  item->key);
		v[n].file = item->key;
		v[n++].origin = read_origin(p, item);
	}
	resources->unified = v;
	resources->n_unified = n;
	return 0;
}

static int read_device_access(struct spec_parser *p, const struct json_node *node,
			      struct spec_device_rule *rule)
{
	const char *access = NULL;
	int r = read_string(p, node, "access", &access);

	if (r < 0)
		return r;
	for (const char *c = access ? access : "rwm"; *c; c++) {
		/* 'a' has been seen in the wild, and means nothing, as with runc */
		if (*c == 'a')
			continue;
		if (!strchr("rwm", *c))
			return json_error(json_member(node, "access"), p->err, RB_CONFIG_VALUE,
					  "\"%.20s\" is not made of r, w and m", access);
		rule->access |= *c == 'r' ? DEVICE_READ : *c == 'w' ? DEVICE_WRITE : DEVICE_MKNOD;
	}
	return 0;
}

static int read_device_rule(struct spec_parser *p, const struct json_node *node,
			    struct spec_device_rule *rule)
{
	const char *const keys[] = {"major", "minor"};
	int64_t *const numbers[] = {&rule->major, &rule->minor};
	const char *type = NULL;
	int r;

	if ((r = json_expect(node, JSON_OBJECT, p->err)) < 0 ||
	    (r = read_bool(p, node, "allow", &rule->allow)) < 0 ||
	    (r = read_string(p, node, "type", &type)) < 0 ||
	    (r = read_device_access(p, node, rule)) < 0)
		return r;
	if (type && type[0] && (strlen(type) != 1 || !strchr("abcu", type[0])))
		return json_error(json_member(node, "type"), p->err, RB_CONFIG_UNKNOWN,
				  "unknown device type \"%.20s\": not a, b, c or u", type);
	rule->type = type && type[0] ? (type[0] == 'u' ? 'c' : type[0]) : 'a';
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct json_node *member = json_member(node, keys[i]);
		struct spec_number number;

		*numbers[i] = -1;
		if (!member)
			continue;
		if ((r = read_number(p, member, -1, UINT32_MAX, &number)) < 0)
			return r;
		*numbers[i] = number.value;
	}
	rule->origin = read_origin(p, node);
	return 0;
}

static int read_device_rules(struct spec_parser *p, const struct json_node *node,
			     struct spec_resources *resources)
{
	const struct json_node *array = NULL;
	struct spec_device_rule *v;
	size_t n = 0;
	int r = read_array(p, node, "devices", LIMIT_RESOURCE_ENTRIES, &array);

	if (r < 0 || !array || (r = read_alloc(p, array, sizeof(*v), &v)) < 0)
		return r;
	JSON_FOREACH (item, array)
		if ((r = read_device_rule(p, item, &v[n++])) < 0)
			return r;
	resources->devices = v;
	resources->n_devices = n;
	return 0;
}

int spec_parse_resources(struct arena *arena, const struct json_node *node,
			 struct spec_resources *resources, struct rb_err *err)
{
	struct spec_parser p = {.arena = arena, .err = err, .bundle = ""};
	const struct json_node *blkio = NULL;
	int r;

	if ((r = json_expect(node, JSON_OBJECT, err)) < 0 ||
	    (r = read_numbers(&p, node, resources)) < 0 ||
	    (r = read_texts(&p, node, resources)) < 0 ||
	    (r = read_object(&p, node, "blockIO", &blkio)) < 0 ||
	    (r = read_blkio(&p, blkio, &resources->blkio)) < 0 ||
	    (r = read_hugepages(&p, node, resources)) < 0 ||
	    (r = read_net_priorities(&p, node, resources)) < 0 ||
	    (r = read_rdma(&p, node, resources)) < 0 ||
	    (r = read_unified(&p, node, resources)) < 0 ||
	    (r = read_device_rules(&p, node, resources)) < 0)
		return r;
	resources->present = true;
	resources->origin = read_origin(&p, node);
	return 0;
}

/* One member of a section: {"memory":{"limit":1,"swap":2},"cpu":{...}} in table order. */
static void print_key(struct strbuf *out, const char **section, const char *name, const char *key)
{
	if (*section && str_eq(*section, name)) {
		strbuf_add_char(out, ',');
	} else {
		strbuf_printf(out, "%s\"%s\":{", *section ? "}," : "", name);
		*section = name;
	}
	strbuf_add_json(out, key);
	strbuf_add_char(out, ':');
}

static void print_numbers(const struct spec_resources *resources, const char *name,
			  const char **section, struct strbuf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(number_members); i++) {
		const struct number_member *m = &number_members[i];
		const struct spec_number *number = (const struct spec_number *)((const char *)
											resources +
										m->offset);

		if (!number->present || !str_eq(m->section, name))
			continue;
		print_key(out, section, name, m->key);
		if (m->flag)
			strbuf_add(out, number->value ? "true" : "false");
		else
			strbuf_printf(out, "%" PRId64, number->value);
	}
}

void spec_print_resources(const struct spec_resources *resources, struct strbuf *out)
{
	static const char *const sections[] = {"memory", "cpu", "pids", "blockIO", "network"};
	const char *section = NULL;

	strbuf_add_char(out, '{');
	for (size_t s = 0; s < ARRAY_LEN(sections); s++) {
		print_numbers(resources, sections[s], &section, out);
		for (size_t i = 0; i < ARRAY_LEN(text_members); i++) {
			const struct spec_text
				*text = (const struct spec_text *)((const char *)resources +
								   text_members[i].offset);

			if (!text->value || !str_eq(text_members[i].section, sections[s]))
				continue;
			print_key(out, &section, sections[s], text_members[i].key);
			strbuf_add_json(out, text->value);
		}
	}
	for (size_t i = 0; i < resources->n_unified; i++) {
		print_key(out, &section, "unified", resources->unified[i].file);
		strbuf_add_json(out, resources->unified[i].value);
	}
	strbuf_add(out, section ? "}}" : "}");
}

bool spec_resources_limit(const struct spec_resources *resources)
{
	for (size_t i = 0; i < ARRAY_LEN(number_members); i++) {
		const struct spec_number
			*number = (const struct spec_number *)((const char *)resources +
							       number_members[i].offset);

		if (number->present && number->value > 0 && !number_members[i].flag)
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(text_members); i++) {
		const struct spec_text *text = (const struct spec_text *)((const char *)resources +
									  text_members[i].offset);

		if (text->value && text->value[0])
			return true;
	}
	for (size_t kind = 0; kind < THROTTLE_KINDS; kind++)
		if (resources->blkio.n_rates[kind])
			return true;
	return resources->blkio.n_devices || resources->n_hugepages || resources->n_unified ||
	       resources->n_rdma || resources->n_net_priorities;
}
