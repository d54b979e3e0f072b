/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A unit test is a program that prints TAP: one line per rule, named after the rule. Included by
 * exactly one file per program; it has main() call the table of tests.
 */
#include "base/base.h"

static unsigned tap_number;
static unsigned tap_failed;
static const char *tap_name;
static bool tap_ok;

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition);                   \
			tap_ok = false;                                                            \
		}                                                                                  \
	} while (0)

/* Compares texts and shows both when they differ. */
#define CHECK_STR(actual, expected)                                                                \
	do {                                                                                       \
		const char *a_ = (actual);                                                         \
		const char *e_ = (expected);                                                       \
		if (!a_ || strcmp(a_, e_) != 0) {                                                  \
			printf("# %s:%d: got \"%s\", expected \"%s\"\n", __FILE__, __LINE__,       \
			       a_ ? a_ : "(null)", e_);                                            \
			tap_ok = false;                                                            \
		}                                                                                  \
	} while (0)

struct tap_test {
	const char *name;
	void (*run)(void);
};

#define TEST(name)                                                                                 \
	{                                                                                          \
#name, name                                                                        \
	}

/* Runs the tests and returns the exit status of main(). */
static inline int tap_main(const struct tap_test *tests, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		tap_name = tests[i].name;
		tap_ok = true;
		tests[i].run();
		printf("%sok %u - %s\n", tap_ok ? "" : "not ", ++tap_number, tap_name);
		tap_failed += !tap_ok;
		fflush(stdout);
	}
	printf("1..%u\n", tap_number);
	return tap_failed ? 1 : 0;
}

#define TAP_MAIN(...)                                                                              \
	int main(void)                                                                             \
	{                                                                                          \
		static const struct tap_test tests[] = {__VA_ARGS__};                              \
		return tap_main(tests, ARRAY_LEN(tests));                                          \
	}
