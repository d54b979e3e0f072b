/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON reader: what is taken, and everything hostile that is not. */
#include "base/json.h"
#include "base/strbuf.h"
#include "tap.h"

/* ---- JSON ---------------------------------------------------------------------------------- */

static int parse(struct arena *arena, const char *text, const struct json_node **root,
		 struct rb_err *err)
{
	*err = (struct rb_err){0};
	return json_parse(arena, "test.json", text, strlen(text), root, err);
}

/* The text must be refused with this code. */
static bool refused(const char *text, size_t len, enum rb_code code)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct json_node *root = NULL;
	struct rb_err err = {0};
	int r = json_parse(&arena, "test.json", text, len, &root, &err);

	if (r < 0 && !root && err.code == code && err.what[0])
		return true;
	printf("# %.60s: %d, code %d, %s\n", text, r, err.code, err.what);
	return false;
}

static bool refused_text(const char *text, enum rb_code code)
{
	return refused(text, strlen(text), code);
}

static void json_reads_every_type(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct json_node *root;
	struct rb_err err;
	const struct json_node *list;
	const char *text;
	bool flag;
	uint64_t number;
	int64_t negative;

	CHECK(parse(&arena,
		    " {\"s\":\"\\u00e9\\n/\", \"t\":true, \"f\":false, \"n\":null, \"i\":-5,"
		    "\"a\":[1,[],{}], \"o\":{\"x\":18446744073709551615}} ",
		    &root, &err) == 0);
	CHECK(root->type == JSON_OBJECT && root->count == 7 && !root->parent);
	CHECK(json_string(json_member(root, "s"), &text, &err) == 0);
	CHECK_STR(text, "\xc3\xa9\n/");
	CHECK(json_bool(json_member(root, "t"), &flag, &err) == 0 && flag);
	CHECK(json_bool(json_member(root, "f"), &flag, &err) == 0 && !flag);
	CHECK(json_i64(json_member(root, "i"), &negative, &err) == 0 && negative == -5);
	list = json_member(root, "a");
	CHECK(list->type == JSON_ARRAY && list->count == 3);
	CHECK(list->child->next->type == JSON_ARRAY && list->child->next->count == 0);
	CHECK(list->child->next->next->type == JSON_OBJECT && list->child->next->next->index == 2);
	CHECK(json_u64(json_member(json_member(root, "o"), "x"), UINT64_MAX, &number, &err) == 0 &&
	      number == UINT64_MAX);
}

static void json_null_counts_as_absent(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct json_node *root;
	struct rb_err err;

	CHECK(parse(&arena, "{\"n\":null,\"a\":[]}", &root, &err) == 0);
	CHECK(!json_member(root, "n") && !json_member(root, "absent") && !json_member(NULL, "n"));
	CHECK(!json_member(json_member(root, "a"), "n"));
}

/* N arrays in each other. */
static char *nested(struct arena *arena, size_t n)
{
	char *text = arena_alloc(arena, 2 * n + 1);

	memset(text, '[', n);
	memset(text + n, ']', n);
	return text;
}

static void json_nesting_ends_at_64_levels(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct json_node *root;
	struct rb_err err;

	CHECK(parse(&arena, nested(&arena, LIMIT_JSON_DEPTH), &root, &err) == 0);
	CHECK(parse(&arena, nested(&arena, LIMIT_JSON_DEPTH + 1), &root, &err) == -EINVAL);
	CHECK(err.code == RB_CONFIG_LIMIT);
	CHECK_STR(err.what, "test.json: nested deeper than 64 levels");
	CHECK(refused_text(nested(&arena, 1000000), RB_CONFIG_LIMIT));
}

static void json_million_unclosed_brackets_are_one_error(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	char *text = nested(&arena, 1500000);

	CHECK(refused(text, 1500000, RB_CONFIG_LIMIT));
	memset(text, '{', 1500000);
	CHECK(refused(text, 1500000, RB_CONFIG_SYNTAX));
}

static void json_number_of_values_is_limited(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct json_node *root;
	struct rb_err err;
	char *text = arena_alloc(&arena, 2 * LIMIT_JSON_NODES + 8);
	size_t n = 0;

	/* with the array itself one too many */
	text[n++] = '[';
	for (size_t i = 0; i < LIMIT_JSON_NODES; i++) {
		text[n++] = '1';
		text[n++] = ',';
	}
	text[n - 1] = ']';
	CHECK(refused(text, n, RB_CONFIG_LIMIT));
	text[n - 3] = ']';
	CHECK(json_parse(&arena, "test.json", text, n - 2, &root, &err) == 0 &&
	      root->count == LIMIT_JSON_NODES - 1);
}

static void json_duplicate_members_are_refused(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf many = {0};
	const struct json_node *root;
	struct rb_err err;

	CHECK(parse(&arena, "{\"a\":{\"b\":1,\"c\":2,\"b\":1}}", &root, &err) == -EINVAL);
	CHECK(err.code == RB_CONFIG_DUPLICATE && err.fix[0]);
	CHECK_STR(err.origin, "/a");
	/* what counts is the name, not its spelling */
	CHECK(refused_text("{\"ab\":1,\"\\u0061b\":2}", RB_CONFIG_DUPLICATE));
	strbuf_add(&many, "{");
	for (int i = 0; i < 1000; i++)
		strbuf_printf(&many, "\"m%d\":0,", i);
	strbuf_add(&many, "\"m17\":0}");
	CHECK(refused_text(many.text, RB_CONFIG_DUPLICATE));
	many.text[many.len - 5] = 'x'; /* "m17" becomes "m1x" */
	CHECK(parse(&arena, many.text, &root, &err) == 0 && root->count == 1001);
}

static void json_nul_in_a_string_is_refused(void)
{
	CHECK(refused_text("[\"a\\u0000b\"]", RB_CONFIG_VALUE));
	CHECK(refused_text("{\"a\\u0000b\":1}", RB_CONFIG_VALUE));
	CHECK(refused("[1,\0]", 5, RB_CONFIG_SYNTAX));
}

static void json_bytes_after_the_document_are_refused(void)
{
	CHECK(refused_text("{} {}", RB_CONFIG_SYNTAX));
	CHECK(refused_text("[]x", RB_CONFIG_SYNTAX));
	CHECK(refused("[]\0", 3, RB_CONFIG_SYNTAX));
}

static void json_without_a_value_is_refused(void)
{
	CHECK(refused_text("", RB_CONFIG_SYNTAX));
	CHECK(refused_text(" \n\t ", RB_CONFIG_SYNTAX));
}

static void json_what_is_not_json_is_refused(void)
{
	static const char *const texts[] = {
		"{",          "[1,]",       "{\"a\"}",        "{\"a\":}", "{a:1}",
		"nul",        "[01]",       "[+1]",           "[.5]",     "[1.]",
		"[0x10]",     "[NaN]",      "['a']",          "[\"\t\"]", "[\"\\x\"]",
		"[\"\xff\"]", "[\"\xc3\"]", "// comment\n[]", "[1 2]",    "\xef\xbb\xbf[]",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		CHECK(refused_text(texts[i], RB_CONFIG_SYNTAX));
}

static void json_cut_anywhere_is_refused(void)
{
	static const char text[] =
		"{\"a\":[1,-2.5e3,true,null,\"x\\u20ac\\\\\"],\"b\":{\"c\":{}},\"d\":\"\"}";

	for (size_t len = 0; len < sizeof(text) - 1; len++)
		CHECK(refused(text, len, RB_CONFIG_SYNTAX));
}

static void json_error_names_line_and_column(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct json_node *root;
	struct rb_err err;

	CHECK(parse(&arena, "{\n \"a\": 1,\n \"b\": ?\n}", &root, &err) < 0);
	CHECK(strstr(err.what, "test.json: not valid JSON at line 3, column ") == err.what);
	CHECK(err.fix[0]);
}

static void json_pointer_follows_rfc_6901(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct json_node *root;
	const struct json_node *node;
	struct rb_err err;

	CHECK(parse(&arena, "{\"a/b\":{\"m~n\":[0,{\"\":7}]}}", &root, &err) == 0);
	CHECK_STR(json_pointer(&arena, root), "");
	node = root->child->child->child->next->child;
	CHECK_STR(json_pointer(&arena, node), "/a~1b/m~0n/1/");
}

static void json_pointer_of_long_names_is_cut(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf text = {0};
	const struct json_node *root;
	const struct json_node *node;
	struct rb_err err;

	for (int i = 0; i < 60; i++)
		strbuf_printf(&text, "{\"%0100d~/\":", 0);
	strbuf_add(&text, "1");
	for (int i = 0; i < 60; i++)
		strbuf_add(&text, "}");
	CHECK(parse(&arena, text.text, &root, &err) == 0);
	for (node = root; node->child; node = node->child)
		;
	CHECK(strlen(json_pointer(&arena, node)) < 1024);
	json_error(node, &err, RB_CONFIG_VALUE, "x");
	CHECK(strlen(err.origin) == sizeof(err.origin) - 1);
}

static void json_readers_refuse_other_types(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct json_node *root;
	const struct json_node *node;
	struct rb_err err;
	const char *text = "untouched";
	uint32_t small = 77;
	bool flag = true;
	int64_t number = 77;

	CHECK(parse(&arena, "[{\"x\":[]}]", &root, &err) == 0);
	node = root->child->child;
	CHECK(json_string(node, &text, &err) == -EINVAL && err.code == RB_CONFIG_TYPE);
	CHECK_STR(err.what, "expected a string, found array");
	CHECK_STR(err.origin, "/0/x");
	CHECK(json_bool(node, &flag, &err) < 0 && json_u32(node, &small, &err) < 0 &&
	      json_i64(node, &number, &err) < 0);
	CHECK(flag && small == 77 && number == 77);
	CHECK_STR(text, "untouched");
	CHECK(json_expect(node, JSON_OBJECT, &err) < 0);
	CHECK_STR(err.what, "expected an object, found array");
}

static void json_integers_are_exact(void)
{
	static const struct {
		const char *text;
		bool u32, u64, i64;
	} rows[] = {
		{"0", true, true, true},
		{"4294967295", true, true, true},
		{"4294967296", false, true, true},
		{"9223372036854775807", false, true, true},
		{"9223372036854775808", false, true, false},
		{"18446744073709551615", false, true, false},
		{"18446744073709551616", false, false, false},
		{"-1", false, false, true},
		{"-9223372036854775808", false, false, false}, /* no use for it */
		{"1.0", false, false, false},
		{"1e3", false, false, false},
		{"1.5", false, false, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		const struct json_node *node;
		struct rb_err err;
		uint32_t u32;
		uint64_t u64;
		int64_t i64;

		CHECK(parse(&arena, rows[i].text, &node, &err) == 0);
		CHECK((json_u32(node, &u32, &err) == 0) == rows[i].u32);
		CHECK((json_u64(node, UINT64_MAX, &u64, &err) == 0) == rows[i].u64);
		CHECK((json_i64(node, &i64, &err) == 0) == rows[i].i64);
		CHECK(rows[i].i64 || err.code == RB_CONFIG_VALUE);
	}
}

TAP_MAIN(TEST(json_reads_every_type), TEST(json_null_counts_as_absent),
	 TEST(json_nesting_ends_at_64_levels), TEST(json_million_unclosed_brackets_are_one_error),
	 TEST(json_number_of_values_is_limited), TEST(json_duplicate_members_are_refused),
	 TEST(json_nul_in_a_string_is_refused), TEST(json_bytes_after_the_document_are_refused),
	 TEST(json_without_a_value_is_refused), TEST(json_what_is_not_json_is_refused),
	 TEST(json_cut_anywhere_is_refused), TEST(json_error_names_line_and_column),
	 TEST(json_pointer_follows_rfc_6901), TEST(json_pointer_of_long_names_is_cut),
	 TEST(json_readers_refuse_other_types), TEST(json_integers_are_exact))
