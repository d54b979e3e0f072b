/* SPDX-License-Identifier: Apache-2.0 */
/* The error catalogue: complete, and every entry says something. */
#include "diag/catalogue.h"
#include "tap.h"

static const struct {
	int code;
	const char *name;
} codes[] = {
#define X(name, number) {number, #name},
	RB_CODES(X)
#undef X
};

static void every_code_has_an_entry(void)
{
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		const struct catalogue_entry *entry = catalogue_find(codes[i].code);

		if (codes[i].code == RB_OK)
			continue;
		if (!entry)
			printf("# %s has none\n", codes[i].name);
		CHECK(entry && (int)entry->code == codes[i].code);
		CHECK(entry && entry->title[0] && entry->cause[0] && entry->fix[0]);
	}
}

static void count_entry(const struct catalogue_entry *entry UNUSED, void *context)
{
	++*(size_t *)context;
}

static void every_entry_has_a_code(void)
{
	size_t n = 0;

	catalogue_each(count_entry, &n);
	CHECK(n == ARRAY_LEN(codes) - 1); /* all but RB_OK */
}

static void code_is_printed_as_it_stands_in_messages(void)
{
	CLEANUP_STRBUF struct strbuf text = {0};

	CHECK(catalogue_print("RB0102", &text) == 0);
	CHECK(text.text && strstr(text.text, "RB0102") && strstr(text.text, "not valid JSON"));
}

static void what_is_no_code_is_refused(void)
{
	static const char *const words[] = {"",        "RB",     "RB9999", "0102x",
					    "RB0102 ", "RB-001", "RB00102"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		CLEANUP_STRBUF struct strbuf text = {0};

		if (catalogue_print(words[i], &text) == 0)
			printf("# \"%s\" was taken\n", words[i]);
		CHECK(text.len == 0);
	}
}

TAP_MAIN(TEST(every_code_has_an_entry), TEST(every_entry_has_a_code),
	 TEST(code_is_printed_as_it_stands_in_messages), TEST(what_is_no_code_is_refused))
