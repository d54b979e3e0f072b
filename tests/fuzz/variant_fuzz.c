/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts of systemd's properties. What is a value has one complete type that its parts add up to,
 * and numbers that the type can hold; and written down again, with its type, it is the same
 * value. What is none has a reason.
 */
#include "base/arena.h"
#include "base/strbuf.h"
#include "base/variant.h"
#include "fuzz.h"

/* The signature that follows from the parts; an array without any is taken at its word. */
static void add_type(const struct variant *v, struct strbuf *out)
{
	switch (v->kind) {
	case VARIANT_TUPLE:
		strbuf_add_char(out, '(');
		for (const struct variant *item = v->child; item; item = item->next)
			add_type(item, out);
		strbuf_add_char(out, ')');
		break;
	case VARIANT_ARRAY:
		strbuf_add(out, v->child ? "a" : v->type);
		if (v->child)
			add_type(v->child, out);
		break;
	case VARIANT_DICT:
		strbuf_add(out, v->child ? "a{" : v->type);
		if (!v->child)
			break;
		assert(v->child->next && strchr("ybnqiuxtdsog", v->child->type[0]));
		add_type(v->child, out);
		add_type(v->child->next, out);
		strbuf_add_char(out, '}');
		break;
	default: strbuf_add(out, v->type);
	}
}

static void check_number(const struct variant *v)
{
	int64_t value = (int64_t)v->number;

	switch (v->type[0]) {
	case 'y': assert(v->number <= UINT8_MAX); break;
	case 'q': assert(v->number <= UINT16_MAX); break;
	case 'u': assert(v->number <= UINT32_MAX); break;
	case 'n': assert(value >= INT16_MIN && value <= INT16_MAX); break;
	case 'i': assert(value >= INT32_MIN && value <= INT32_MAX); break;
	default: assert(strchr("xtd", v->type[0]));
	}
}

static void check_value(const struct variant *v)
{
	CLEANUP_STRBUF struct strbuf type = {0};
	size_t n = 0;

	add_type(v, &type);
	assert(type.text && str_eq(type.text, v->type));
	if (v->kind == VARIANT_NUMBER)
		check_number(v);
	assert(v->kind != VARIANT_BOOL || v->number <= 1);
	assert((v->kind != VARIANT_STRING && v->kind != VARIANT_BYTES) || v->text);
	for (const struct variant *item = v->child; item; item = item->next) {
		check_value(item);
		n++;
		/* of one type, by twos in a dictionary */
		if (v->kind == VARIANT_ARRAY)
			assert(str_eq(item->type, v->child->type));
		else if (v->kind == VARIANT_DICT)
			assert(str_eq(item->type, n % 2 ? v->child->type : v->child->next->type));
	}
	assert(v->kind != VARIANT_DICT || n % 2 == 0);
	assert(v->kind != VARIANT_VARIANT || n == 1);
}

static void write_string(const char *text, struct strbuf *out)
{
	strbuf_add_char(out, '\'');
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			strbuf_add_char(out, '\\');
		strbuf_add_char(out, *text);
	}
	strbuf_add_char(out, '\'');
}

static void write_value(const struct variant *v, bool named, struct strbuf *out);

static void write_children(const struct variant *v, const char *brackets, struct strbuf *out)
{
	bool key = v->kind == VARIANT_DICT;

	strbuf_add_char(out, brackets[0]);
	for (const struct variant *item = v->child; item; item = item->next) {
		write_value(item, v->kind == VARIANT_VARIANT, out);
		/* a tuple of one ends with a comma */
		if (item->next || (v->kind == VARIANT_TUPLE && item == v->child))
			strbuf_add_char(out, key ? ':' : ',');
		key = v->kind == VARIANT_DICT && !key;
	}
	strbuf_add_char(out, brackets[1]);
}

/* What is inside takes its type from there, but for what a variant holds. */
static void write_value(const struct variant *v, bool named, struct strbuf *out)
{
	if (named && v->kind != VARIANT_BYTES)
		strbuf_printf(out, "@%s ", v->type);
	switch (v->kind) {
	case VARIANT_NUMBER: strbuf_add(out, v->text); break;
	case VARIANT_BOOL: strbuf_add(out, v->number ? "true" : "false"); break;
	case VARIANT_BYTES: strbuf_add_char(out, 'b'); /* fall through */
	case VARIANT_STRING: write_string(v->text, out); break;
	case VARIANT_ARRAY: write_children(v, "[]", out); break;
	case VARIANT_DICT: write_children(v, "{}", out); break;
	case VARIANT_TUPLE: write_children(v, "()", out); break;
	case VARIANT_VARIANT: write_children(v, "<>", out); break;
	}
}

static void check_same(const struct variant *a, const struct variant *b)
{
	assert(a->kind == b->kind && str_eq(a->type, b->type) && a->number == b->number);
	assert((a->kind != VARIANT_STRING && a->kind != VARIANT_BYTES) || str_eq(a->text, b->text));
	a = a->child;
	b = b->child;
	for (; a && b; a = a->next, b = b->next)
		check_same(a, b);
	assert(!a && !b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *text = fuzz_text(data, size);
	CLEANUP_STRBUF struct strbuf written = {0};
	CLEANUP_ARENA struct arena arena = {0};
	const struct variant *value = NULL;
	const struct variant *again = NULL;
	const char *why = NULL;

	if (variant_parse(&arena, text, &value, &why) < 0) {
		assert(!value && why && why[0]);
		return 0;
	}
	check_value(value);
	write_value(value, true, &written);
	assert(!written.failed);
	/* a type that is named is one level more, and there is a limit */
	if (variant_parse(&arena, written.text, &again, &why) < 0)
		assert(strstr(why, "too many others"));
	else
		check_same(value, again);
	return 0;
}
