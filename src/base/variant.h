/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A value of D-Bus from its text, as annotations for systemd carry it: 'inactive', true,
 * uint64 5, ['a', 'b'], [('/dev/sda', uint64 1)]. Reference: "GVariant Text Format" of GLib, and
 * the type system of the D-Bus specification.
 */
#include "base/arena.h"

enum variant_kind {
	VARIANT_NUMBER,
	VARIANT_BOOL,
	VARIANT_STRING,
	VARIANT_BYTES, /* an array of bytes, given as b'...' */
	VARIANT_ARRAY,
	VARIANT_DICT, /* an array: its children are a key, its value, the next key */
	VARIANT_TUPLE,
	VARIANT_VARIANT,
};

struct variant {
	enum variant_kind kind;
	const char *type;             /* D-Bus signature of one complete type */
	bool typed;                   /* the text named the type itself */
	const char *text;             /* number as written, or the string */
	uint64_t number;              /* its value: two's complement; the bits of a double */
	struct variant *child, *next; /* elements, and the element after this one */
};

/* 0, or -EINVAL with the reason in *ret_why, or -ENOMEM. Everything lives in the arena. */
int variant_parse(struct arena *arena, const char *text, const struct variant **ret,
		  const char **ret_why);
