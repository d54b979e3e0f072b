/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * JSON documents as a tree in an arena. The only header behind which yajl is known. The parser
 * is stricter than RFC 8259 where a lenient reading would hide a mistake: duplicate members,
 * NUL in a string, nesting beyond LIMIT_JSON_DEPTH and trailing bytes are errors.
 */
#include "base/arena.h"
#include "base/err.h"

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_node {
	enum json_type type;
	bool boolean;                   /* JSON_BOOL */
	uint32_t count;                 /* JSON_ARRAY, JSON_OBJECT: number of children */
	uint32_t index;                 /* position in the parent */
	const char *text;               /* JSON_STRING: the value; JSON_NUMBER: its spelling */
	size_t len;                     /* bytes of text, without the end mark */
	const char *key;                /* name in the parent object, or NULL */
	const struct json_node *parent; /* NULL for the document */
	struct json_node *child;        /* first child */
	struct json_node *next;         /* next sibling */
};

#define JSON_FOREACH(item, container)                                                              \
	for (const struct json_node *item = (container) ? (container)->child : NULL; item;         \
	     item = item->next)

/*
 * Parses len bytes. The tree lives in the arena and refers to nothing else. what names the
 * document in messages ("config.json"). Errors: RB_CONFIG_SYNTAX, RB_CONFIG_LIMIT,
 * RB_CONFIG_DUPLICATE, RB_NO_MEMORY.
 */
int json_parse(struct arena *arena, const char *what, const char *text, size_t len,
	       const struct json_node **ret_root, struct rb_err *err);

/* The member of an object, or NULL: no such member, or null, or object is NULL. */
const struct json_node *json_member(const struct json_node *object, const char *key);

/* The JSON pointer (RFC 6901) of a node in the arena; "" for the document. */
const char *json_pointer(struct arena *arena, const struct json_node *node);

/* Writes a value and all below it as JSON without spaces. */
struct strbuf;
void json_print(const struct json_node *node, struct strbuf *out);

/* "string", "array", ... for messages. */
const char *json_type_name(enum json_type type);

/*
 * Typed readers. node must not be NULL. Errors: RB_CONFIG_TYPE, RB_CONFIG_VALUE with the
 * pointer of the node as origin; *ret is untouched on failure.
 */
int json_string(const struct json_node *node, const char **ret, struct rb_err *err);
int json_bool(const struct json_node *node, bool *ret, struct rb_err *err);
int json_u64(const struct json_node *node, uint64_t max, uint64_t *ret, struct rb_err *err);
int json_u32(const struct json_node *node, uint32_t *ret, struct rb_err *err);
int json_i64(const struct json_node *node, int64_t *ret, struct rb_err *err);
int json_expect(const struct json_node *node, enum json_type type, struct rb_err *err);

/* Sets *err for a node with its pointer as origin; returns -EINVAL. */
int json_error(const struct json_node *node, struct rb_err *err, enum rb_code code, const char *fmt,
	       ...) PRINTF_LIKE(4, 5);
