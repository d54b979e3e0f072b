/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to typed value, in two passes: what is written becomes a tree, and then each node gets its
 * type, its own or the one that its place asks for, and must fit it. Pure. Depth and length are
 * bounded; nothing is guessed: an empty array without a type is an error. Of Debian's libraries only
 * GLib reads this text, and linked in it would make the program larger by half and more.
 */
#include <ctype.h>
#include "base/variant.h"

enum { VARIANT_DEPTH = 16, SIGNATURE_MAX = 255 };

struct reader {
	struct arena *arena;
	const char *at;
	unsigned depth;
	const char *why;
};

static struct variant *read_value(struct reader *r);

static void *failed(struct reader *r, const char *why)
{
	if (!r->why)
		r->why = why;
	return NULL;
}

static void skip_space(struct reader *r)
{
	r->at += strspn(r->at, " \t\n\r");
}

static struct variant *new_node(struct reader *r, enum variant_kind kind)
{
	struct variant *node = arena_alloc(r->arena, sizeof(*node));

	if (!node)
		return failed(r, "");
	node->kind = kind;
	return node;
}

/* The length of one complete type, or 0. Only an array may have entries of a dictionary. */
static size_t type_length(const char *sig, unsigned depth)
{
	size_t len = 1;
	size_t part;

	if (depth == VARIANT_DEPTH || !sig[0])
		return 0;
	if (strchr("ybnqiuxtdsogv", sig[0]))
		return 1;
	if (sig[0] == 'a' && sig[1] == '{') {
		if (!sig[2] || !strchr("ybnqiuxtdsog", sig[2]))
			return 0;
		part = type_length(sig + 3, depth + 1);
		return part && sig[3 + part] == '}' ? part + 4 : 0;
	}
	if (sig[0] == 'a') {
		part = type_length(sig + 1, depth + 1);
		return part ? part + 1 : 0;
	}
	if (sig[0] != '(' || sig[1] == ')')
		return 0;
	for (; sig[len] != ')'; len += part) {
		part = type_length(sig + len, depth + 1);
		if (!part)
			return 0;
	}
	return len + 1;
}

/* One character after a backslash; false: it stands for no text. */
static bool read_escape(struct reader *r, bool bytes, char *out, size_t *len)
{
	static const char names[] = "abfnrtv";
	static const char values[] = "\a\b\f\n\r\t\v";
	char c = *r->at++;
	const char *name = c ? strchr(names, c) : NULL;
	size_t digits = c == 'u' ? 4 : 8;
	uint32_t code = 0;

	if (name) {
		out[(*len)++] = values[name - names];
		return true;
	}
	if (bytes && c >= '0' && c <= '7') {
		for (int i = 1; i <= 3; i++, c = *r->at++) {
			code = code << 3 | (uint32_t)(c - '0');
			if (i == 3 || *r->at < '0' || *r->at > '7')
				break;
		}
		out[(*len)++] = (char)code;
		return code != 0 && code < 256;
	}
	if (c != '\0' && (bytes || (c != 'u' && c != 'U'))) {
		out[(*len)++] = c;
		return true;
	}
	for (size_t i = 0; i < digits; i++) {
		if (!isxdigit((unsigned char)r->at[i]))
			return false;
		code = code << 4 |
		       (uint32_t)(isdigit((unsigned char)r->at[i]) ? r->at[i] - '0'
								   : (r->at[i] | 0x20) - 'a' + 10);
	}
	r->at += digits;
	if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return false;
	if (code < 0x80) {
		out[(*len)++] = (char)code;
		return true;
	}
	if (code >= 0x10000)
		out[(*len)++] = (char)(0xf0 | code >> 18);
	if (code >= 0x800)
		out[(*len)++] = (char)(code >= 0x10000 ? 0x80 | (code >> 12 & 0x3f)
						       : 0xe0 | code >> 12);
	out[(*len)++] = (char)(code >= 0x800 ? 0x80 | (code >> 6 & 0x3f) : 0xc0 | code >> 6);
	out[(*len)++] = (char)(0x80 | (code & 0x3f));
	return true;
}

/* 'text', "text", b'bytes' */
static struct variant *read_string(struct reader *r, enum variant_kind kind)
{
	struct variant *node = new_node(r, kind);
	char quote = *r->at++;
	/* no escape is shorter than what it stands for */
	char *text = arena_alloc(r->arena, strlen(r->at) + 1);
	size_t len = 0;

	if (!node || !text)
		return failed(r, "");
	while (*r->at != quote) {
		if (*r->at == '\0')
			return failed(r, "a string without its end");
		if (*r->at != '\\') {
			text[len++] = *r->at++;
			continue;
		}
		r->at++;
		if (*r->at == '\0' || !read_escape(r, kind == VARIANT_BYTES, text, &len))
			return failed(r, "an escape that stands for no character");
	}
	r->at++;
	text[len] = '\0';
	node->text = text;
	return node;
}

static struct variant *with_type(struct reader *r, const char *type, size_t len)
{
	struct variant *node;

	if (len == 0 || len > SIGNATURE_MAX || type_length(type, 0) != len)
		return failed(r, "a type that D-Bus does not have");
	node = read_value(r);
	if (!node)
		return NULL;
	if (node->typed)
		return failed(r, "a value with two types");
	node->typed = true;
	node->type = arena_strndup(r->arena, type, len);
	return node->type ? node : failed(r, "");
}

/* A word: true, false, or a type's name with its value behind it. */
static struct variant *read_word(struct reader *r)
{
	static const char *const types[][2] = {
		{"boolean", "b"}, {"byte", "y"},   {"int16", "n"},      {"uint16", "q"},
		{"int32", "i"},   {"uint32", "u"}, {"int64", "x"},      {"uint64", "t"},
		{"double", "d"},  {"string", "s"}, {"objectpath", "o"}, {"signature", "g"},
	};
	const char *word = r->at;
	size_t len = 0;

	while (isalnum((unsigned char)word[len]))
		len++;
	r->at += len;
	if ((len == 4 && !memcmp(word, "true", 4)) || (len == 5 && !memcmp(word, "false", 5))) {
		struct variant *node = new_node(r, VARIANT_BOOL);

		if (node)
			node->number = len == 4;
		return node;
	}
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strlen(types[i][0]) == len && !memcmp(word, types[i][0], len))
			return with_type(r, types[i][1], 1);
	return failed(r, "a word that is no value: strings stand in quotes");
}

static struct variant *read_number(struct reader *r)
{
	struct variant *node = new_node(r, VARIANT_NUMBER);
	size_t len = strspn(r->at, "+-.0123456789abcdefABCDEFxX");

	if (!node)
		return NULL;
	node->text = arena_strndup(r->arena, r->at, len);
	r->at += len;
	return node->text ? node : failed(r, "");
}

/* Elements up to the closing bracket, with commas between them; "key: value" in a dictionary. */
static struct variant *read_list(struct reader *r, enum variant_kind kind, char end)
{
	struct variant *node = new_node(r, kind);
	struct variant **last = node ? &node->child : NULL;
	bool value = false;

	r->at++;
	for (skip_space(r); node && *r->at != end; skip_space(r)) {
		*last = read_value(r);
		if (!*last)
			return NULL;
		last = &(*last)->next;
		skip_space(r);
		value = kind == VARIANT_DICT && !value;
		if (*r->at == (value ? ':' : ','))
			r->at++;
		else if (value || *r->at != end)
			return failed(
				r, "a list whose elements are not separated, or without its end");
	}
	r->at++;
	if (node && (value || (kind == VARIANT_TUPLE && !node->child) ||
		     (kind == VARIANT_VARIANT && (!node->child || node->child->next))))
		return failed(r, "brackets without what belongs in them");
	return node;
}

static struct variant *read_any(struct reader *r)
{
	char c = *r->at;

	switch (c) {
	case '@': {
		const char *type = ++r->at;

		r->at += strcspn(type, " \t\n\r");
		return with_type(r, type, (size_t)(r->at - type));
	}
	case '[': return read_list(r, VARIANT_ARRAY, ']');
	case '{': return read_list(r, VARIANT_DICT, '}');
	case '(': return read_list(r, VARIANT_TUPLE, ')');
	case '<': return read_list(r, VARIANT_VARIANT, '>');
	case '\'':
	case '"': return read_string(r, VARIANT_STRING);
	case '\0': return failed(r, "a value is missing");
	default: break;
	}
	if (c == 'b' && (r->at[1] == '\'' || r->at[1] == '"')) {
		r->at++;
		return read_string(r, VARIANT_BYTES);
	}
	if (isalpha((unsigned char)c))
		return read_word(r);
	if (isdigit((unsigned char)c) || c == '+' || c == '-' || c == '.')
		return read_number(r);
	return failed(r, "a character that begins no value");
}

static struct variant *read_value(struct reader *r)
{
	struct variant *node;

	skip_space(r);
	if (r->depth == VARIANT_DEPTH)
		return failed(r, "a value within too many others");
	r->depth++;
	node = read_any(r);
	r->depth--;
	return node;
}

/* Does the text itself say what type this is? */
static bool is_definite(const struct variant *node)
{
	bool definite = node->typed ||
			(node->kind != VARIANT_NUMBER && node->kind != VARIANT_STRING &&
			 node->kind != VARIANT_ARRAY);

	for (const struct variant *v = node->child; !definite && v; v = v->next)
		definite = is_definite(v);
	return definite;
}

static const char *infer_type(struct reader *r, const struct variant *node);

/* The one type of every nth element: of the first that names its own, else of the first. */
static const char *infer_elements(struct reader *r, const struct variant *first, int step)
{
	const struct variant *chosen = first;

	for (const struct variant *v = first; v; v = v->next) {
		if (is_definite(v)) {
			chosen = v;
			break;
		}
		for (int i = 1; i < step && v; i++)
			v = v->next;
		if (!v)
			break;
	}
	return chosen ? infer_type(r, chosen) : failed(r, "an empty list needs its type: @as []");
}

static const char *infer_type(struct reader *r, const struct variant *node)
{
	const char *type = "";
	const char *value;

	if (node->typed)
		return node->type;
	switch (node->kind) {
	case VARIANT_NUMBER:
		return !strpbrk(node->text, "xX") && strpbrk(node->text, ".eE") ? "d" : "i";
	case VARIANT_BOOL: return "b";
	case VARIANT_STRING: return "s";
	case VARIANT_BYTES: return "ay";
	case VARIANT_VARIANT: return "v";
	case VARIANT_ARRAY:
		type = infer_elements(r, node->child, 1);
		return type ? arena_printf(r->arena, "a%s", type) : NULL;
	case VARIANT_DICT:
		type = infer_elements(r, node->child, 2);
		value = type ? infer_elements(r, node->child->next, 2) : NULL;
		return value ? arena_printf(r->arena, "a{%s%s}", type, value) : NULL;
	case VARIANT_TUPLE:
		for (const struct variant *v = node->child; type && v; v = v->next) {
			value = infer_type(r, v);
			type = value ? arena_printf(r->arena, "%s%s", type, value) : NULL;
		}
		return type ? arena_printf(r->arena, "(%s)", type) : NULL;
	}
	return NULL;
}

/* As in C: 10, 0x0a, 012. */
static bool read_integer(const char *text, uint64_t *ret)
{
	uint64_t base = 10;
	uint64_t value = 0;

	if (text[0] == '0' && text[1]) {
		base = (text[1] | 0x20) == 'x' ? 16 : 8;
		text += base == 16 ? 2 : 1;
	}
	if (!*text)
		return false;
	for (; *text; text++) {
		uint64_t digit = isdigit((unsigned char)*text) ? (uint64_t)(*text - '0')
				 : isxdigit((unsigned char)*text)
					 ? (uint64_t)((*text | 0x20) - 'a' + 10)
					 : base;

		if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return false;
	}
	*ret = value;
	return true;
}

static bool fits_integer(const char *text, char type, uint64_t *ret)
{
	static const struct {
		char type;
		unsigned bits;
		bool is_signed;
	} types[] = {{'y', 8, false},  {'n', 16, true}, {'q', 16, false}, {'i', 32, true},
		     {'u', 32, false}, {'x', 64, true}, {'t', 64, false}};
	bool negative = *text == '-';
	uint64_t max = 0;
	uint64_t value;

	text += *text == '-' || *text == '+';
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (types[i].type == type) {
			max = UINT64_MAX >> (64 - types[i].bits + types[i].is_signed);
			if (negative && !types[i].is_signed)
				max = 0;
			else if (negative)
				max++;
		}
	if (!read_integer(text, &value) || value > max)
		return false;
	*ret = negative ? 0 - value : value;
	return true;
}

static bool fits_number(struct variant *node, const char *type)
{
	double value;
	char *end;

	if (type[0] != 'd')
		return strchr("ynqiuxt", type[0]) &&
		       fits_integer(node->text, type[0], &node->number);
	value = strtod(node->text, &end);
	memcpy(&node->number, &value, sizeof(value));
	return end != node->text && !*end;
}

/* The D-Bus specification, "Valid Object Paths" and "Valid Signatures". */
static bool fits_string(const char *text, char type)
{
	size_t len = strlen(text);

	if (type == 'o')
		return text[0] == '/' && !strstr(text, "//") &&
		       (len == 1 || text[len - 1] != '/') &&
		       text[strspn(text, "/_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					 "0123456789")] == '\0';
	if (type == 'g') {
		for (size_t part = 1; part && *text; text += part)
			part = type_length(text, 0);
		return len <= SIGNATURE_MAX && !*text;
	}
	return type == 's';
}

static bool set_type(struct reader *r, struct variant *node, const char *type);

/* Each child's type follows that of the one before: all of a tuple, again and again of a list. */
static bool set_children(struct reader *r, struct variant *node, const char *types, bool again)
{
	const char *at = types;

	for (struct variant *v = node->child; v; v = v->next) {
		size_t len;

		if (again && (*at == '\0' || *at == '}'))
			at = types;
		len = type_length(at, 0);
		if (len == 0 || !set_type(r, v, arena_strndup(r->arena, at, len)))
			return false;
		at += len;
	}
	return again || *at == ')';
}

/* The type is well formed. false with the reason in r. */
static bool set_type(struct reader *r, struct variant *node, const char *type)
{
	bool fits = false;

	if (!type)
		return failed(r, "");
	if (node->typed && !str_eq(node->type, type))
		return failed(r, "elements of different types");
	node->type = type;
	switch (node->kind) {
	case VARIANT_NUMBER: fits = type[0] && !type[1] && fits_number(node, type); break;
	case VARIANT_BOOL: fits = str_eq(type, "b"); break;
	case VARIANT_STRING: fits = type[0] && !type[1] && fits_string(node->text, type[0]); break;
	case VARIANT_BYTES: fits = str_eq(type, "ay"); break;
	case VARIANT_VARIANT:
		fits = str_eq(type, "v") && set_type(r, node->child, infer_type(r, node->child));
		break;
	case VARIANT_ARRAY:
		fits = type[0] == 'a' && type[1] != '{' && set_children(r, node, type + 1, true);
		break;
	case VARIANT_DICT:
		fits = str_starts(type, "a{") && set_children(r, node, type + 2, true);
		break;
	case VARIANT_TUPLE: fits = type[0] == '(' && set_children(r, node, type + 1, false); break;
	}
	return fits ||
	       failed(r, "a value that its type cannot have, or elements of different types");
}

int variant_parse(struct arena *arena, const char *text, const struct variant **ret,
		  const char **ret_why)
{
	struct reader r = {.arena = arena, .at = text};
	struct variant *node = read_value(&r);
	const char *type = node ? infer_type(&r, node) : NULL;

	if (node)
		skip_space(&r);
	if (node && *r.at)
		failed(&r, "something after the value");
	if (type && !r.why && strlen(type) > SIGNATURE_MAX)
		failed(&r, "a type that is too long");
	if (node && !r.why && set_type(&r, node, type)) {
		*ret = node;
		return 0;
	}
	*ret_why = r.why && r.why[0] ? r.why : "no memory";
	return r.why && r.why[0] ? -EINVAL : -ENOMEM;
}
