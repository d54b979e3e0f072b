/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of D-Bus values: what they are, and what is none. */
#include "base/variant.h"
#include "tap.h"

/* The value written back: types where D-Bus has them, elements in brackets. */
static const char *shown(struct arena *arena, const struct variant *v)
{
	const char *text = "";

	if (v->kind == VARIANT_STRING || v->kind == VARIANT_BYTES)
		return arena_printf(arena, "%s:%s", v->type, v->text);
	if (v->kind == VARIANT_NUMBER || v->kind == VARIANT_BOOL)
		return arena_printf(arena, "%s:%" PRIu64, v->type, v->number);
	for (const struct variant *item = v->child; item; item = item->next)
		text = arena_printf(arena, "%s%s%s", text, *text ? " " : "", shown(arena, item));
	return arena_printf(arena, "%s[%s]", v->type, text);
}

static void values_have_the_type_that_is_written_or_follows(void)
{
	static const char *const rows[][2] = {
		{"'text'", "s:text"},
		{" \"it's\" ", "s:it's"},
		{"'a\\'b\\\\\\n\\u00e9\\u20ac\\U0001f600'",
		 "s:a'b\\\n\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"''", "s:"},
		{"true", "b:1"},
		{"boolean false", "b:0"},
		{"5", "i:5"},
		{"-1", "i:18446744073709551615"},
		{"0x10", "i:16"},
		{"010", "i:8"},
		{"byte 255", "y:255"},
		{"int16 -32768", "n:18446744073709518848"},
		{"uint16 65535", "q:65535"},
		{"uint32 4294967295", "u:4294967295"},
		{"int64 -9223372036854775808", "x:9223372036854775808"},
		{"uint64 18446744073709551615", "t:18446744073709551615"},
		{"@t 7", "t:7"},
		{"1.5", "d:4609434218613702656"},
		{"double 2", "d:4611686018427387904"},
		{"objectpath '/a/b_1'", "o:/a/b_1"},
		{"signature 'a{sv}'", "g:a{sv}"},
		{"['a', 'b']", "as[s:a s:b]"},
		{"['a',]", "as[s:a]"},
		{"@as []", "as[]"},
		{"[1, uint64 2]", "at[t:1 t:2]"},
		{"[[], ['x']]", "(none)"},
		{"@aas [[], ['x']]", "aas[as[] as[s:x]]"},
		{"b'a\\tb\\101'", "ay:a\tbA"},
		{"[('/dev/sda', uint64 5), ('/dev/sdb', 6)]",
		 "a(st)[(st)[s:/dev/sda t:5] (st)[s:/dev/sdb t:6]]"},
		{"{'a': <5>, 'b': <'x'>}", "a{sv}[s:a v[i:5] s:b v[s:x]]"},
		{"@a{si} {}", "a{si}[]"},
		{"<uint32 1>", "v[u:1]"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		const struct variant *value;
		const char *why = "";

		if (str_eq(rows[i][1], "(none)")) {
			CHECK(variant_parse(&arena, rows[i][0], &value, &why) == -EINVAL);
			continue;
		}
		CHECK(variant_parse(&arena, rows[i][0], &value, &why) == 0);
		if (*why)
			printf("# %s: %s\n", rows[i][0], why);
		else
			CHECK_STR(shown(&arena, value), rows[i][1]);
	}
}

static void texts_that_are_no_value_are_refused_with_the_reason(void)
{
	static const char *const rows[][2] = {
		{"", "missing"},
		{"text", "quotes"},
		{"'text", "without its end"},
		{"'\\u12'", "escape"},
		{"'\\ud800'", "escape"},
		{"'\\", "escape"},
		{"b'\\000'", "escape"},
		{"5 6", "after the value"},
		{"--5", "type cannot have"},
		{"0x", "type cannot have"},
		{"1.2.3", "type cannot have"},
		{"2147483648", "type cannot have"},
		{"byte 256", "type cannot have"},
		{"uint64 -1", "type cannot have"},
		{"uint64 18446744073709551616", "type cannot have"},
		{"uint64 'x'", "type cannot have"},
		{"uint64", "missing"},
		{"uint64 uint64 5", "two types"},
		{"objectpath 'a'", "type cannot have"},
		{"objectpath '/a/'", "type cannot have"},
		{"signature 'a'", "type cannot have"},
		{"@ 5", "D-Bus does not have"},
		{"@z 5", "D-Bus does not have"},
		{"@a{vs} {}", "D-Bus does not have"},
		{"@() ()", "D-Bus does not have"},
		{"[]", "needs its type"},
		{"{}", "needs its type"},
		{"()", "without what belongs"},
		{"<>", "without what belongs"},
		{"['a' 'b']", "not separated"},
		{"['a', 5]", "different types"},
		{"[uint32 1, int32 2]", "different types"},
		{"@(ss) ('a',)", "different types"},
		{"@as ('a',)", "different types"},
		{"{'a', 5}", "not separated"},
		{"{'a': 5, 'b'}", "not separated"},
		{"['a'", "without its end"},
		{"?", "begins no value"},
		{"[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]", "too many"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		const struct variant *value;
		const char *why = "";

		CHECK(variant_parse(&arena, rows[i][0], &value, &why) == -EINVAL);
		if (!strstr(why, rows[i][1])) {
			printf("# %s: %s\n", rows[i][0], why);
			CHECK(false);
		}
	}
}

TAP_MAIN(TEST(values_have_the_type_that_is_written_or_follows),
	 TEST(texts_that_are_no_value_are_refused_with_the_reason))
