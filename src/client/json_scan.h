/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Reading single members out of a line of JSON, without building anything. Private. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of a line: one JSON value. begin NULL: there is none. */
struct scan {
	const char *begin, *end;
};

/* A member of an object; nothing when value is none, or no object. */
struct scan scan_member(struct scan value, const char *key);

/*
 * Several members in one pass: a line can be long. Those that are not there are nothing. false:
 * value, which need not have been checked before, is no object from its begin to its end.
 */
bool scan_members(struct scan value, const char *const keys[], size_t n, struct scan ret[]);

bool scan_is_string(struct scan value);
bool scan_number(struct scan value, uint64_t *ret);

/* The bytes of a string, with an end mark, into out of at least the value's length. */
size_t scan_string(struct scan value, char *out);
