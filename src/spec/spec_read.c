/* SPDX-License-Identifier: Apache-2.0 */
/* Checked readers for members of the configuration; pure, in the parent. */
#include "spec/spec_read.h"

const char *read_origin(struct spec_parser *p, const struct json_node *node)
{
	return json_pointer(p->arena, node);
}

int read_string(struct spec_parser *p, const struct json_node *object, const char *key,
		const char **ret)
{
	const struct json_node *node = json_member(object, key);

	return node ? json_string(node, ret, p->err) : 0;
}

int read_bool(struct spec_parser *p, const struct json_node *object, const char *key, bool *ret)
{
	const struct json_node *node = json_member(object, key);

	return node ? json_bool(node, ret, p->err) : 0;
}

int read_u32(struct spec_parser *p, const struct json_node *object, const char *key, uint32_t *ret)
{
	const struct json_node *node = json_member(object, key);

	return node ? json_u32(node, ret, p->err) : 0;
}

int read_id_node(struct spec_parser *p, const struct json_node *node, uint32_t *ret)
{
	uint32_t id;
	int r = json_u32(node, &id, p->err);

	if (r < 0)
		return r;
	if (id == SPEC_ID_NONE) {
		json_error(node, p->err, RB_CONFIG_ID,
			   "id 4294967295 is not valid: the kernel takes it as \"no change\"");
		err_fix(p->err, "use an id from 0 to 4294967294");
		return -EINVAL;
	}
	*ret = id;
	return 0;
}

int read_id(struct spec_parser *p, const struct json_node *object, const char *key, uint32_t *ret)
{
	const struct json_node *node = json_member(object, key);

	return node ? read_id_node(p, node, ret) : 0;
}

int read_object(struct spec_parser *p, const struct json_node *object, const char *key,
		const struct json_node **ret)
{
	const struct json_node *node = json_member(object, key);
	int r = node ? json_expect(node, JSON_OBJECT, p->err) : 0;

	if (r == 0)
		*ret = node;
	return r;
}

int read_array(struct spec_parser *p, const struct json_node *object, const char *key, size_t max,
	       const struct json_node **ret)
{
	const struct json_node *node = json_member(object, key);
	int r = node ? json_expect(node, JSON_ARRAY, p->err) : 0;

	if (r < 0)
		return r;
	if (node && node->count > max)
		return json_error(node, p->err, RB_CONFIG_LIMIT,
				  "%u entries, at most %zu are taken", node->count, max);
	*ret = node;
	return 0;
}

int read_alloc(struct spec_parser *p, const struct json_node *array, size_t size, void *ret)
{
	/* one more than needed: zeroed, it ends a list of pointers */
	void *memory = arena_array(p->arena, array ? (size_t)array->count + 1 : 1, size);

	if (!memory)
		return err_set(p->err, RB_NO_MEMORY, ENOMEM, "configuration");
	*(void **)ret = memory;
	return 0;
}

int read_strings(struct spec_parser *p, const struct json_node *object, const char *key,
		 struct spec_strings *ret)
{
	const struct json_node *array = NULL;
	struct spec_strings list = {0};
	int r = read_array(p, object, key, LIMIT_JSON_NODES, &array);

	if (r < 0 || !array)
		return r;
	r = read_alloc(p, array, sizeof(*list.v), &list.v);
	if (r < 0)
		return r;
	JSON_FOREACH (item, array) {
		r = json_string(item, &list.v[list.n++], p->err);
		if (r < 0)
			return r;
		if (item->len >= LIMIT_STRING_BYTES)
			return json_error(item, p->err, RB_CONFIG_LIMIT,
					  "longer than the kernel's limit of 131071 bytes");
	}
	list.origin = read_origin(p, array);
	*ret = list;
	return 0;
}

int read_unsupported(struct spec_parser *p, const struct json_node *object, const char *key)
{
	const struct json_node *node = json_member(object, key);

	if (!node)
		return 0;
	json_error(node, p->err, RB_UNSUPPORTED, "\"%s\" is not supported", key);
	err_fix(p->err, "remove it from the configuration");
	return -EINVAL;
}

int read_missing(struct spec_parser *p, const struct json_node *object, const char *key)
{
	return json_error(object, p->err, RB_CONFIG_MISSING, "\"%s\" is missing", key);
}

static int read_cap_set(struct spec_parser *p, const struct json_node *caps, const char *key,
			uint64_t *ret, bool *ret_unknown)
{
	const struct json_node *array = NULL;
	uint64_t set = 0;
	int r = read_array(p, caps, key, 1024, &array);

	JSON_FOREACH (item, array) {
		const char *name;
		int number;

		r = json_string(item, &name, p->err);
		if (r < 0)
			return r;
		number = spec_cap_number(name);
		/* config.md#process: what cannot be granted is logged, the container still starts */
		if (number < 0)
			*ret_unknown = true;
		else
			set |= UINT64_C(1) << number;
	}
	*ret = set;
	return r;
}

int read_caps(struct spec_parser *p, const struct json_node *process, struct spec_caps *ret,
	      bool *ret_unknown)
{
	const struct json_node *node = NULL;
	struct spec_caps caps = {.present = true};
	int r = read_object(p, process, "capabilities", &node);

	if (r < 0 || !node)
		return r;
	if ((r = read_cap_set(p, node, "bounding", &caps.bounding, ret_unknown)) < 0 ||
	    (r = read_cap_set(p, node, "effective", &caps.effective, ret_unknown)) < 0 ||
	    (r = read_cap_set(p, node, "permitted", &caps.permitted, ret_unknown)) < 0 ||
	    (r = read_cap_set(p, node, "inheritable", &caps.inheritable, ret_unknown)) < 0 ||
	    (r = read_cap_set(p, node, "ambient", &caps.ambient, ret_unknown)) < 0)
		return r;
	*ret = caps;
	return 0;
}

/* Do [a, a+n) and [b, b+m) share an id? The sums are checked not to wrap before. */
static bool ranges_overlap(uint32_t a, uint32_t n, uint32_t b, uint32_t m)
{
	return (uint64_t)a < (uint64_t)b + m && (uint64_t)b < (uint64_t)a + n;
}

static int check_idmap(struct spec_parser *p, const struct json_node *item,
		       const struct spec_idmap *maps, size_t n)
{
	const struct spec_idmap *map = &maps[n];

	if (map->count == 0)
		return json_error(item, p->err, RB_CONFIG_ID, "a mapping of size 0");
	/* SPEC_ID_NONE itself must stay outside: user_namespaces(7) */
	if ((uint64_t)map->inside + map->count > SPEC_ID_NONE ||
	    (uint64_t)map->outside + map->count > SPEC_ID_NONE)
		return json_error(item, p->err, RB_CONFIG_ID,
				  "the mapping goes beyond id 4294967294");
	for (size_t i = 0; i < n; i++)
		if (ranges_overlap(maps[i].inside, maps[i].count, map->inside, map->count) ||
		    ranges_overlap(maps[i].outside, maps[i].count, map->outside, map->count))
			return json_error(item, p->err, RB_CONFIG_ID,
					  "the mapping overlaps mapping %zu", i);
	return 0;
}

int read_idmap(struct spec_parser *p, const struct json_node *node, const char *key,
	       const struct spec_idmap **ret, size_t *ret_n)
{
	const struct json_node *array = NULL;
	struct spec_idmap *maps = NULL;
	size_t n = 0;
	int r = read_array(p, node, key, LIMIT_IDMAP_EXTENTS, &array);

	if (r < 0 || (r = read_alloc(p, array, sizeof(*maps), &maps)) < 0)
		return r;
	JSON_FOREACH (item, array) {
		struct spec_idmap *map = &maps[n];

		if ((r = json_expect(item, JSON_OBJECT, p->err)) < 0 ||
		    (r = read_id(p, item, "containerID", &map->inside)) < 0 ||
		    (r = read_id(p, item, "hostID", &map->outside)) < 0 ||
		    (r = read_u32(p, item, "size", &map->count)) < 0 ||
		    (r = check_idmap(p, item, maps, n)) < 0)
			return r;
		map->origin = read_origin(p, item);
		n++;
	}
	*ret = maps;
	*ret_n = n;
	return 0;
}
