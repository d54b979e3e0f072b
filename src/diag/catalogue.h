/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The error catalogue: for every stable code one cause and one remedy in general words. The
 * sentence with the particulars comes from where the error happened.
 */
#include "base/err.h"
#include "base/strbuf.h"

struct catalogue_entry {
	enum rb_code code;
	const char *title; /* a few words */
	const char *cause;
	const char *fix;
};

/* The entry of a code, or NULL. */
const struct catalogue_entry *catalogue_find(int code);

/* "RB0102" -> title, cause, fix as text. -EINVAL: not a known code. */
int catalogue_print(const char *code, struct strbuf *out);

/* Calls visit for every entry, in order. */
void catalogue_each(void (*visit)(const struct catalogue_entry *entry, void *context),
		    void *context);
