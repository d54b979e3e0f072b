/* SPDX-License-Identifier: Apache-2.0 */
/* The error catalogue: complete, and every entry says something. */
#include "diag/catalogue.h"
#include "diag/doctor.h"
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

/* ---- the doctor's report ------------------------------------------------------------------- */

static struct doctor_report report_of(enum finding_status status, enum rb_code code,
				      const char *fix)
{
	struct doctor_report report = {.n = 1, .v = {{.name = "name", .status = status}}};

	err_set(&report.v[0].err, code, 0, "a \"word\"\n");
	err_fix(&report.v[0].err, "%s", fix);
	return report;
}

static void report_is_well_without_an_error(void)
{
	struct doctor_report report = report_of(FINDING_WARNING, RB_TUN, "");

	CHECK(doctor_is_well(&report));
	report.v[report.n++] = (struct finding){.name = "second", .status = FINDING_ERROR};
	CHECK(!doctor_is_well(&report));
}

static void report_as_json_is_escaped(void)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	struct doctor_report report = report_of(FINDING_WARNING, RB_TUN, "do \\ it");

	doctor_print_json(&report, &text);
	CHECK_STR(text.text,
		  "[\n  {\"name\": \"name\", \"status\": \"warning\", \"code\": \"RB0602\", "
		  "\"what\": \"a \\\"word\\\"\\n\", \"fix\": \"do \\\\ it\"}\n]\n");
}

static void report_without_findings_is_an_array(void)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	struct doctor_report report = {.n = 0};

	doctor_print_json(&report, &text);
	CHECK_STR(text.text, "[\n]\n");
}

static void report_has_the_general_remedy_where_there_is_no_particular_one(void)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	struct doctor_report report = report_of(FINDING_ERROR, RB_TUN, "");

	doctor_print_text(&report, false, &text);
	CHECK(strstr(text.text, "x name") && strstr(text.text, "[RB0602]"));
	CHECK(strstr(text.text, catalogue_find(RB_TUN)->cause));
	CHECK(strstr(text.text, catalogue_find(RB_TUN)->fix));
}

static void report_of_what_is_fine_is_one_line(void)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	struct doctor_report report = report_of(FINDING_OK, RB_OK, "");

	doctor_print_text(&report, true, &text);
	CHECK(str_starts(text.text, "\u2713 name") && !strstr(text.text, "fix:"));
	CHECK(!strstr(text.text, "why:") && !strstr(text.text, "RB0000"));
}

TAP_MAIN(TEST(report_is_well_without_an_error), TEST(report_as_json_is_escaped),
	 TEST(report_without_findings_is_an_array),
	 TEST(report_has_the_general_remedy_where_there_is_no_particular_one),
	 TEST(report_of_what_is_fine_is_one_line), TEST(every_code_has_an_entry),
	 TEST(every_entry_has_a_code), TEST(code_is_printed_as_it_stands_in_messages),
	 TEST(what_is_no_code_is_refused))
