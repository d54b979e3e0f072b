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
