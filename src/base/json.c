/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON by yajl's event parser into our own arena tree. Runs in the parent, on bytes that may be
 * hostile. yajl's own tree API must not be used: it recurses without limit and overflows the
 * stack on deep nesting (1.5 million '['); the callbacks here stop at LIMIT_JSON_DEPTH.
 */
#include <yajl/yajl_parse.h>
#include "base/json.h"
#include "base/num.h"
#include "base/strbuf.h"

struct json_builder {
	struct arena *arena;
	const char *what;
	struct rb_err *err;
	struct json_node *root;
	struct json_node *open[LIMIT_JSON_DEPTH]; /* containers that are not finished */
	struct json_node *last[LIMIT_JSON_DEPTH]; /* newest child of each */
	unsigned depth;
	unsigned nodes;
	const char *key; /* read, its value still to come */
	bool failed;     /* *err is set */
};

static int json_builder_fail(struct json_builder *b, enum rb_code code, const char *text)
{
	b->failed = true;
	err_set(b->err, code, 0, "%s: %s", b->what, text);
	if (b->depth)
		err_origin(b->err, json_pointer(b->arena, b->open[b->depth - 1]));
	return 0; /* yajl_parse(3): false cancels */
}

static struct json_node *json_builder_add(struct json_builder *b, enum json_type type)
{
	struct json_node *node;
	struct json_node *parent = b->depth ? b->open[b->depth - 1] : NULL;

	if (++b->nodes > LIMIT_JSON_NODES) {
		json_builder_fail(b, RB_CONFIG_LIMIT, "more than 262144 values");
		return NULL;
	}
	node = arena_alloc(b->arena, sizeof(*node));
	if (!node) {
		json_builder_fail(b, RB_NO_MEMORY, "out of memory");
		return NULL;
	}
	node->type = type;
	node->key = b->key;
	node->parent = parent;
	b->key = NULL;
	if (!parent) {
		b->root = node;
	} else {
		node->index = parent->count++;
		if (b->last[b->depth - 1])
			b->last[b->depth - 1]->next = node;
		else
			parent->child = node;
		b->last[b->depth - 1] = node;
	}
	return node;
}

static int json_on_null(void *context)
{
	return json_builder_add(context, JSON_NULL) != NULL;
}

static int json_on_bool(void *context, int value)
{
	struct json_node *node = json_builder_add(context, JSON_BOOL);

	if (node)
		node->boolean = value != 0;
	return node != NULL;
}

static int json_builder_text(struct json_builder *b, enum json_type type, const char *text,
			     size_t len)
{
	struct json_node *node = json_builder_add(b, type);

	if (!node)
		return 0;
	node->text = arena_strndup(b->arena, text, len);
	node->len = len;
	if (!node->text)
		return json_builder_fail(b, RB_NO_MEMORY, "out of memory");
	return 1;
}

static int json_on_number(void *context, const char *text, size_t len)
{
	return json_builder_text(context, JSON_NUMBER, text, len);
}

static int json_on_string(void *context, const unsigned char *text, size_t len)
{
	if (memchr(text, '\0', len))
		return json_builder_fail(context, RB_CONFIG_VALUE, "a string contains NUL");
	return json_builder_text(context, JSON_STRING, (const char *)text, len);
}

static int json_on_key(void *context, const unsigned char *text, size_t len)
{
	struct json_builder *b = context;

	if (memchr(text, '\0', len))
		return json_builder_fail(b, RB_CONFIG_VALUE, "a member name contains NUL");
	b->key = arena_strndup(b->arena, (const char *)text, len);
	return b->key ? 1 : json_builder_fail(b, RB_NO_MEMORY, "out of memory");
}

static int json_builder_open(struct json_builder *b, enum json_type type)
{
	struct json_node *node;

	if (b->depth == LIMIT_JSON_DEPTH)
		return json_builder_fail(b, RB_CONFIG_LIMIT, "nested deeper than 64 levels");
	node = json_builder_add(b, type);
	if (!node)
		return 0;
	b->open[b->depth] = node;
	b->last[b->depth] = NULL;
	b->depth++;
	return 1;
}

static int json_on_object(void *context)
{
	return json_builder_open(context, JSON_OBJECT);
}

static int json_on_array(void *context)
{
	return json_builder_open(context, JSON_ARRAY);
}

static int json_key_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The name that occurs twice in an object, or NULL. Objects are small, hostile ones are sorted. */
static const char *json_duplicate_key(struct arena *arena, const struct json_node *object)
{
	const char **keys;
	size_t n = 0;

	if (object->count <= 16) {
		JSON_FOREACH (a, object)
			for (const struct json_node *b = a->next; b; b = b->next)
				if (str_eq(a->key, b->key))
					return a->key;
		return NULL;
	}
	keys = arena_array(arena, object->count, sizeof(*keys));
	if (!keys)
		return object->child->key; /* refuse rather than skip the check */
	JSON_FOREACH (member, object)
		keys[n++] = member->key;
	qsort(keys, n, sizeof(*keys), json_key_compare);
	for (size_t i = 1; i < n; i++)
		if (str_eq(keys[i - 1], keys[i]))
			return keys[i];
	return NULL;
}

static int json_on_end(void *context)
{
	struct json_builder *b = context;
	const struct json_node *node = b->open[b->depth - 1];

	if (node->type == JSON_OBJECT) {
		const char *key = json_duplicate_key(b->arena, node);

		if (key) {
			char text[96];

			snprintf(text, sizeof(text), "duplicate member \"%.60s\"", key);
			json_builder_fail(b, RB_CONFIG_DUPLICATE, text);
			err_fix(b->err, "keep one of them");
			return 0;
		}
	}
	b->depth--;
	return 1;
}

static const yajl_callbacks json_callbacks = {
	.yajl_null = json_on_null,
	.yajl_boolean = json_on_bool,
	.yajl_number = json_on_number,
	.yajl_string = json_on_string,
	.yajl_start_map = json_on_object,
	.yajl_map_key = json_on_key,
	.yajl_end_map = json_on_end,
	.yajl_start_array = json_on_array,
	.yajl_end_array = json_on_end,
};

/* Line and column (both from 1) of a byte offset. */
static void json_position(const char *text, size_t offset, unsigned *ret_line, unsigned *ret_column)
{
	*ret_line = 1;
	*ret_column = 1;
	for (size_t i = 0; i < offset; i++) {
		++*ret_column;
		if (text[i] == '\n') {
			++*ret_line;
			*ret_column = 1;
		}
	}
}

static void json_syntax_error(yajl_handle handle, struct json_builder *b, const char *text,
			      size_t len)
{
	unsigned char *reason = yajl_get_error(handle, 0, (const unsigned char *)text, len);
	size_t offset = yajl_get_bytes_consumed(handle);
	unsigned line;
	unsigned column;
	int reason_len = reason ? (int)strcspn((const char *)reason, "\n") : 0;

	json_position(text, offset < len ? offset : len, &line, &column);
	err_set(b->err, RB_CONFIG_SYNTAX, 0, "%s: not valid JSON at line %u, column %u%s%.*s",
		b->what, line, column, reason ? ": " : "", reason_len,
		reason ? (char *)reason : "");
	err_fix(b->err, "check the file with a JSON validator, for example 'jq . %s'", b->what);
	yajl_free_error(handle, reason);
}

int json_parse(struct arena *arena, const char *what, const char *text, size_t len,
	       const struct json_node **ret_root, struct rb_err *err)
{
	struct json_builder b = {.arena = arena, .what = what, .err = err};
	yajl_handle handle;
	yajl_status status;

	handle = yajl_alloc(&json_callbacks, NULL, &b);
	if (!handle)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "%s", what);
	status = yajl_parse(handle, (const unsigned char *)text, len);
	if (status == yajl_status_ok)
		status = yajl_complete_parse(handle);
	if (status != yajl_status_ok && !b.failed) {
		json_syntax_error(handle, &b, text, len);
		b.failed = true;
	}
	yajl_free(handle);
	if (b.failed)
		return -EINVAL;
	if (!b.root)
		return err_set(err, RB_CONFIG_SYNTAX, 0, "%s: empty", what);
	*ret_root = b.root;
	return 0;
}

const struct json_node *json_member(const struct json_node *object, const char *key)
{
	if (!object || object->type != JSON_OBJECT)
		return NULL;
	JSON_FOREACH (member, object)
		if (str_eq(member->key, key))
			return member->type == JSON_NULL ? NULL : member;
	return NULL;
}

/* Appends "/token" with the escapes of RFC 6901; the buffer is large enough for LIMIT_JSON_DEPTH */
static size_t json_pointer_token(char *out, size_t size, const struct json_node *node)
{
	size_t n = 0;

	if (!node->key)
		return (size_t)snprintf(out, size, "/%u", node->index);
	if (size > 1)
		out[n++] = '/';
	for (const char *s = node->key; *s && n + 3 < size; s++) {
		if (*s == '~' || *s == '/') {
			out[n++] = '~';
			out[n++] = *s == '~' ? '0' : '1';
		} else {
			out[n++] = *s;
		}
	}
	out[n] = '\0';
	return n;
}

const char *json_pointer(struct arena *arena, const struct json_node *node)
{
	const struct json_node *chain[LIMIT_JSON_DEPTH + 1];
	char buf[1024];
	size_t used = 0;
	size_t n = 0;
	char *copy;

	for (; node && node->parent && n < ARRAY_LEN(chain); node = node->parent)
		chain[n++] = node;
	buf[0] = '\0';
	while (n > 0 && used + 8 < sizeof(buf))
		used += json_pointer_token(buf + used, sizeof(buf) - used, chain[--n]);
	if (used >= sizeof(buf))
		used = sizeof(buf) - 1;
	copy = arena_strndup(arena, buf, used);
	return copy ? copy : "";
}

const char *json_type_name(enum json_type type)
{
	static const char *const names[] = {"null",   "boolean", "number",
					    "string", "array",   "object"};

	return names[type];
}

int json_error(const struct json_node *node, struct rb_err *err, enum rb_code code, const char *fmt,
	       ...)
{
	CLEANUP_ARENA struct arena arena = {0};
	char text[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	err_set(err, code, 0, "%s", text);
	err_origin(err, json_pointer(&arena, node));
	return -EINVAL;
}

int json_expect(const struct json_node *node, enum json_type type, struct rb_err *err)
{
	if (node->type == type)
		return 0;
	return json_error(node, err, RB_CONFIG_TYPE, "expected %s %s, found %s",
			  type == JSON_ARRAY || type == JSON_OBJECT ? "an" : "a",
			  json_type_name(type), json_type_name(node->type));
}

int json_string(const struct json_node *node, const char **ret, struct rb_err *err)
{
	int r = json_expect(node, JSON_STRING, err);

	if (r == 0)
		*ret = node->text;
	return r;
}

int json_bool(const struct json_node *node, bool *ret, struct rb_err *err)
{
	int r = json_expect(node, JSON_BOOL, err);

	if (r == 0)
		*ret = node->boolean;
	return r;
}

int json_u64(const struct json_node *node, uint64_t max, uint64_t *ret, struct rb_err *err)
{
	int r = json_expect(node, JSON_NUMBER, err);

	if (r < 0)
		return r;
	if (num_parse_u64(node->text, node->len, max, ret) < 0)
		return json_error(node, err, RB_CONFIG_VALUE,
				  "%.40s is not an integer from 0 to %" PRIu64, node->text, max);
	return 0;
}

int json_u32(const struct json_node *node, uint32_t *ret, struct rb_err *err)
{
	uint64_t value;
	int r = json_u64(node, UINT32_MAX, &value, err);

	if (r == 0)
		*ret = (uint32_t)value;
	return r;
}

int json_i64(const struct json_node *node, int64_t *ret, struct rb_err *err)
{
	uint64_t value;
	bool negative;
	int r = json_expect(node, JSON_NUMBER, err);

	if (r < 0)
		return r;
	negative = node->text[0] == '-';
	if (num_parse_u64(node->text + negative, node->len - negative, INT64_MAX, &value) < 0)
		return json_error(node, err, RB_CONFIG_VALUE, "%.40s is not a 64-bit integer",
				  node->text);
	*ret = negative ? -(int64_t)value : (int64_t)value;
	return 0;
}

static void json_print_members(const struct json_node *node, struct strbuf *out)
{
	bool object = node->type == JSON_OBJECT;

	strbuf_add_char(out, object ? '{' : '[');
	JSON_FOREACH (item, node) {
		if (item->index)
			strbuf_add_char(out, ',');
		if (object) {
			strbuf_add_json(out, item->key);
			strbuf_add_char(out, ':');
		}
		json_print(item, out); /* at most LIMIT_JSON_DEPTH deep */
	}
	strbuf_add_char(out, object ? '}' : ']');
}

void json_print(const struct json_node *node, struct strbuf *out)
{
	switch (node->type) {
	case JSON_NULL: strbuf_add(out, "null"); return;
	case JSON_BOOL: strbuf_add(out, node->boolean ? "true" : "false"); return;
	case JSON_NUMBER: strbuf_add(out, node->text); return;
	case JSON_STRING: strbuf_add_json(out, node->text); return;
	default: json_print_members(node, out);
	}
}
