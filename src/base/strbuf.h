/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A growing text, for output that is built before it is written in one piece: state records,
 * JSON, `explain`. An allocation failure is remembered and reported once at the end, so callers
 * append without checking.
 */
#include "base/base.h"

struct strbuf {
	char *text; /* always ends in '\0' when not NULL */
	size_t len; /* without the end mark */
	size_t size;
	bool failed; /* memory ran out; text is incomplete */
};

void strbuf_add(struct strbuf *buf, const char *s);
void strbuf_add_bytes(struct strbuf *buf, const char *s, size_t len);
void strbuf_add_char(struct strbuf *buf, char c);
void strbuf_printf(struct strbuf *buf, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A JSON string with its quotes; s is UTF-8, bytes that are not are replaced by U+FFFD. */
void strbuf_add_json(struct strbuf *buf, const char *s);
/* Of so many bytes; zero bytes are among them. */
void strbuf_add_json_bytes(struct strbuf *buf, const char *s, size_t len);

void strbuf_free(struct strbuf *buf);
#define CLEANUP_STRBUF CLEANUP(strbuf_free)
