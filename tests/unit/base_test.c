/* SPDX-License-Identifier: Apache-2.0 */
/* The ground floor: memory, errors, numbers, hashes, texts. */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/num.h"
#include "base/sha256.h"
#include "base/strbuf.h"
#include "tap.h"

/* ---- arena --------------------------------------------------------------------------------- */

static void arena_memory_is_zeroed_and_aligned(void)
{
	CLEANUP_ARENA struct arena arena = {0};

	for (size_t size = 0; size < 600; size++) {
		unsigned char *p = arena_alloc(&arena, size);
		bool zero = true;

		for (size_t i = 0; i < size; i++)
			zero &= p[i] == 0;
		CHECK(p && zero && (uintptr_t)p % _Alignof(max_align_t) == 0);
		memset(p, 0xff, size);
	}
}

static void arena_refuses_sizes_that_overflow(void)
{
	CLEANUP_ARENA struct arena arena = {0};

	CHECK(!arena_alloc(&arena, SIZE_MAX));
	CHECK(!arena_alloc(&arena, SIZE_MAX - 16));
	CHECK(!arena_array(&arena, SIZE_MAX / 2, 3));
	CHECK(!arena_strndup(&arena, "", SIZE_MAX));
	CHECK(arena_alloc(&arena, 1));
}

static void arena_memory_stays_when_it_grows(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	unsigned char *blocks[64];
	size_t size[64];

	for (size_t i = 0; i < 64; i++) {
		size[i] = 1 + i * i * 97;
		blocks[i] = arena_alloc(&arena, size[i]);
		memset(blocks[i], (int)i + 1, size[i]);
	}
	for (size_t i = 0; i < 64; i++) {
		bool same = true;

		for (size_t k = 0; k < size[i]; k++)
			same &= blocks[i][k] == i + 1;
		CHECK(same);
	}
}

static void arena_can_be_used_again_after_free(void)
{
	struct arena arena = {0};

	CHECK_STR(arena_strdup(&arena, "one"), "one");
	arena_free(&arena);
	CHECK(!arena.block);
	CHECK_STR(arena_printf(&arena, "%s-%d", "two", 2), "two-2");
	CHECK_STR(arena_strndup(&arena, "three", 2), "th");
	arena_free(&arena);
	arena_free(&arena);
}

/* ---- errors -------------------------------------------------------------------------------- */

static void err_line_holds_cause_origin_fix_and_code(void)
{
	struct rb_err err;
	char line[sizeof(err) + 64];

	CHECK(err_set(&err, RB_MOUNT, EPERM, "cannot mount %s", "/proc") == -EPERM);
	CHECK(err.errnum == EPERM && err.code == RB_MOUNT);
	err_fix(&err, "ask %s", "root");
	err_origin(&err, "/mounts/0");
	err_context(&err, "step %d", 7);
	CHECK_STR(
		err_line(&err, line, sizeof(line)),
		"step 7: cannot mount /proc: Operation not permitted (at /mounts/0); fix: ask root "
		"[RB0303]");
}

static void err_without_an_errno_is_einval(void)
{
	struct rb_err err;
	char line[sizeof(err) + 64];

	CHECK(err_set(&err, RB_USAGE, 0, "what") == -EINVAL);
	CHECK_STR(err_line(&err, line, sizeof(line)), "what [RB0001]");
}

static void err_without_a_place_still_returns_the_number(void)
{
	CHECK(err_set(NULL, RB_MOUNT, ENOENT, "%s", "nothing") == -ENOENT);
	CHECK(err_set(NULL, RB_MOUNT, 0, "%s", "nothing") == -EINVAL);
	err_fix(NULL, "%s", "nothing");
	err_context(NULL, "%s", "nothing");
	err_origin(NULL, "/x");
}

static void err_texts_that_are_too_long_are_cut(void)
{
	char text[2000];
	struct rb_err err;
	char line[100];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err_set(&err, RB_MOUNT, ENOENT, "%s", text);
	err_fix(&err, "%s", text);
	err_origin(&err, text);
	err_context(&err, "%s", text);
	CHECK(strlen(err.what) == sizeof(err.what) - 1 && strlen(err.fix) == sizeof(err.fix) - 1 &&
	      strlen(err.origin) == sizeof(err.origin) - 1);
	CHECK(strlen(err_line(&err, line, sizeof(line))) == sizeof(line) - 1);
}

static void err_codes_are_unique(void)
{
	static const int codes[] = {
#define X(name, number) number,
		RB_CODES(X)
#undef X
	};

	for (size_t i = 1; i < ARRAY_LEN(codes); i++) {
		CHECK(codes[i] > codes[i - 1]); /* sorted, so a duplicate is a neighbour */
		CHECK(codes[i] < 10000);
	}
}

/* ---- numbers ------------------------------------------------------------------------------- */

static void num_takes_digits_only(void)
{
	static const char *const bad[] = {"",    " 1", "1 ", "+1",  "-1",
					  "0x1", "1a", "a",  "1.0", "\n"};
	uint64_t value = 7;
	uint32_t small = 7;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK(num_parse_u64(bad[i], strlen(bad[i]), UINT64_MAX, &value) == -EINVAL);
		CHECK(num_parse_u32(bad[i], &small) == -EINVAL);
	}
	CHECK(value == 7 && small == 7);
	CHECK(num_parse_u64("0012", 4, UINT64_MAX, &value) == 0 && value == 12);
	CHECK(num_parse_u64("12345", 2, UINT64_MAX, &value) == 0 && value == 12);
	CHECK(num_parse_octal("0755", 07777, &small) == 0 && small == 0755);
	CHECK(num_parse_octal("8", 07777, &small) == -EINVAL);
}

static void num_refuses_what_does_not_fit(void)
{
	uint64_t value = 7;
	uint32_t small = 7;

	CHECK(num_parse_u64("18446744073709551615", 20, UINT64_MAX, &value) == 0 &&
	      value == UINT64_MAX);
	CHECK(num_parse_u64("18446744073709551616", 20, UINT64_MAX, &value) == -ERANGE);
	CHECK(num_parse_u64("99999999999999999999999", 23, UINT64_MAX, &value) == -ERANGE);
	CHECK(num_parse_u64("11", 2, 10, &value) == -ERANGE && value == UINT64_MAX);
	CHECK(num_parse_u32("4294967295", &small) == 0 && small == UINT32_MAX);
	CHECK(num_parse_u32("4294967296", &small) == -ERANGE);
	CHECK(num_parse_octal("10000", 07777, &small) == -ERANGE);
}

/* ---- SHA-256 ------------------------------------------------------------------------------- */

static const char *hash_of(const char *text, size_t len, size_t chunk, char hex[SHA256_HEX])
{
	struct sha256 hash;
	uint8_t digest[SHA256_BYTES];

	sha256_init(&hash);
	for (size_t at = 0; at < len; at += chunk)
		sha256_add(&hash, text + at, len - at < chunk ? len - at : chunk);
	sha256_end(&hash, digest);
	sha256_hex(digest, hex);
	return hex;
}

/* FIPS 180-4's examples and the million of its predecessor, section B.3 */
static void sha256_gives_the_vectors_of_the_standard(void)
{
	static const struct {
		const char *text, *hex;
	} rows[] = {
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
		{"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopq"
		 "klmnopqrlmnopqrsmnopqrstnopqrstu",
		 "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
	};
	CLEANUP_ARENA struct arena arena = {0};
	char hex[SHA256_HEX];
	char *million = arena_alloc(&arena, 1000000);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CHECK_STR(hash_of(rows[i].text, strlen(rows[i].text), SIZE_MAX / 2, hex),
			  rows[i].hex);
	memset(million, 'a', 1000000);
	CHECK_STR(hash_of(million, 1000000, 1000, hex),
		  "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void sha256_does_not_depend_on_the_pieces(void)
{
	char text[200];
	char whole[SHA256_HEX];
	char pieces[SHA256_HEX];

	memset(text, 'q', sizeof(text));
	/* around 55 and 64 the padding takes another block */
	for (size_t len = 0; len < sizeof(text); len++) {
		hash_of(text, len, sizeof(text), whole);
		for (size_t chunk = 1; chunk < 67; chunk += 13)
			CHECK_STR(hash_of(text, len, chunk, pieces), whole);
	}
}

/* ---- texts --------------------------------------------------------------------------------- */

static void strbuf_grows_and_stays_terminated(void)
{
	CLEANUP_STRBUF struct strbuf buf = {0};

	for (int i = 0; i < 5000; i++)
		strbuf_printf(&buf, "%d,", i % 10);
	CHECK(!buf.failed && buf.len == 10000 && strlen(buf.text) == 10000);
	strbuf_add_bytes(&buf, "a\0b", 3);
	CHECK(buf.len == 10003 && buf.text[10003] == '\0' && buf.text[10001] == '\0');
	strbuf_free(&buf);
	CHECK(!buf.text && buf.len == 0);
	strbuf_add(&buf, "again");
	CHECK_STR(buf.text, "again");
}

static void strbuf_remembers_that_memory_ran_out(void)
{
	CLEANUP_STRBUF struct strbuf buf = {0};

	strbuf_add(&buf, "x");
	strbuf_add_bytes(&buf, "", SIZE_MAX - 1);
	CHECK(buf.failed);
	strbuf_add(&buf, "y");
	CHECK(buf.failed && buf.len == 1);
}

static void strbuf_json_is_always_valid(void)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"", "\"\""},
		{"a\"b\\c/", "\"a\\\"b\\\\c/\""},
		{"\n\t\x01\x1f\x7f", "\"\\n\\u0009\\u0001\\u001f\\u007f\""},
		{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
		 "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
		{"\xff", "\"\\ufffd\""},
		{"\xc3", "\"\\ufffd\""},                                  /* cut off */
		{"\xc0\xaf", "\"\\ufffd\\ufffd\""},                       /* overlong */
		{"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},            /* surrogate */
		{"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* beyond U+10FFFF */
		{"\xe0\x80\x80x", "\"\\ufffd\\ufffd\\ufffdx\""},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_STRBUF struct strbuf buf = {0};

		strbuf_add_json(&buf, rows[i].in);
		CHECK_STR(buf.text, rows[i].out);
	}
}

static void strbuf_json_of_any_two_bytes_parses(void)
{
	for (unsigned a = 1; a < 256; a++) {
		for (unsigned b = 1; b < 256; b++) {
			const char text[] = {(char)a, (char)b, '\0'};
			CLEANUP_STRBUF struct strbuf buf = {0};
			CLEANUP_ARENA struct arena arena = {0};
			const struct json_node *root;
			struct rb_err err;

			if (b > 1 && a < 0x80 && a >= 0x20 && b % 16)
				continue; /* nothing new */
			strbuf_add_json(&buf, text);
			CHECK(json_parse(&arena, "text", buf.text, buf.len, &root, &err) == 0);
		}
	}
}

/* Nothing behind the last byte is looked at: a character that is cut off there is none. */
static void strbuf_json_of_bytes_ends_with_them(void)
{
	static const char text[] = "a\0\n\xe2\x82\xac";
	CLEANUP_STRBUF struct strbuf whole = {0};
	CLEANUP_STRBUF struct strbuf cut = {0};
	CLEANUP_STRBUF struct strbuf large = {0};

	strbuf_add_json_bytes(&whole, text, 6);
	CHECK_STR(whole.text, "\"a\\u0000\\n\xe2\x82\xac\"");
	strbuf_add_json_bytes(&cut, text, 5);
	CHECK_STR(cut.text, "\"a\\u0000\\n\\ufffd\\ufffd\"");
	for (int i = 0; i < 5000; i++)
		strbuf_add_json_bytes(&large, "\x01\x01\x01", 3);
	CHECK(!large.failed && large.len == 5000 * (3 * 6 + 2));
}

TAP_MAIN(TEST(arena_memory_is_zeroed_and_aligned), TEST(arena_refuses_sizes_that_overflow),
	 TEST(arena_memory_stays_when_it_grows), TEST(arena_can_be_used_again_after_free),
	 TEST(err_line_holds_cause_origin_fix_and_code), TEST(err_without_an_errno_is_einval),
	 TEST(err_without_a_place_still_returns_the_number),
	 TEST(err_texts_that_are_too_long_are_cut), TEST(err_codes_are_unique),
	 TEST(num_takes_digits_only), TEST(num_refuses_what_does_not_fit),
	 TEST(sha256_gives_the_vectors_of_the_standard), TEST(sha256_does_not_depend_on_the_pieces),
	 TEST(strbuf_grows_and_stays_terminated), TEST(strbuf_remembers_that_memory_ran_out),
	 TEST(strbuf_json_is_always_valid), TEST(strbuf_json_of_any_two_bytes_parses),
	 TEST(strbuf_json_of_bytes_ends_with_them))
