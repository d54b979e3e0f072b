/* SPDX-License-Identifier: Apache-2.0 */
/* The growing text. Runs in the parent and in the monitor, never between clone and exec. */
#include "base/strbuf.h"

static bool strbuf_reserve(struct strbuf *buf, size_t more)
{
	size_t need;
	size_t size = buf->size ? buf->size : 256;
	char *text;

	if (buf->failed)
		return false;
	if (__builtin_add_overflow(buf->len, more, &need) || need >= SIZE_MAX / 2) {
		buf->failed = true;
		return false;
	}
	need++;
	if (need <= buf->size)
		return true;
	while (size < need)
		size *= 2;
	text = realloc(buf->text, size);
	if (!text) {
		buf->failed = true;
		return false;
	}
	buf->text = text;
	buf->size = size;
	return true;
}

void strbuf_add_bytes(struct strbuf *buf, const char *s, size_t len)
{
	if (!strbuf_reserve(buf, len))
		return;
	if (len) /* s may be NULL then, which memcpy(3) does not take */
		memcpy(buf->text + buf->len, s, len);
	buf->len += len;
	buf->text[buf->len] = '\0';
}

void strbuf_add(struct strbuf *buf, const char *s)
{
	strbuf_add_bytes(buf, s, strlen(s));
}

void strbuf_add_char(struct strbuf *buf, char c)
{
	strbuf_add_bytes(buf, &c, 1);
}

void strbuf_printf(struct strbuf *buf, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0 || !strbuf_reserve(buf, (size_t)len)) {
		buf->failed = true;
		return;
	}
	va_start(args, fmt);
	vsnprintf(buf->text + buf->len, (size_t)len + 1, fmt, args);
	va_end(args);
	buf->len += (size_t)len;
}

/* Length of the well-formed UTF-8 sequence at s (RFC 3629) within len bytes, or 0. */
static size_t utf8_len(const unsigned char *s, size_t left)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4 || len > left)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

enum { JSON_BLOCK = 64, JSON_LONGEST = 6 }; /* characters at a time; bytes of "\\u001f" */

/* What is neither itself in a JSON string nor a short escape. Returns the bytes it took of s. */
static size_t json_put_other(char *out, size_t *ret_len, const unsigned char *s, size_t left)
{
	static const char hex[] = "0123456789abcdef";
	size_t len = s[0] < 0x80 ? 0 : utf8_len(s, left);

	*ret_len = len ? len : JSON_LONGEST;
	if (len) {
		memcpy(out, s, len);
		return len;
	}
	if (s[0] < 0x80) {
		memcpy(out, "\\u00", 4);
		out[4] = hex[s[0] >> 4];
		out[5] = hex[s[0] & 15];
	} else {
		memcpy(out, "\\ufffd", JSON_LONGEST);
	}
	return 1;
}

/* Up to JSON_BLOCK characters. Returns the bytes they took of s. */
static size_t json_put_block(struct strbuf *buf, const unsigned char *s, size_t left)
{
	char *out = buf->text + buf->len;
	size_t at = 0;

	for (int i = 0; i < JSON_BLOCK && at < left; i++) {
		unsigned char c = s[at];
		size_t len;

		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
			*out++ = (char)c;
			at++;
		} else if (c == '\n' || c == '"' || c == '\\') {
			*out++ = '\\';
			*out++ = c == '\n' ? 'n' : (char)c;
			at++;
		} else {
			at += json_put_other(out, &len, s + at, left - at);
			out += len;
		}
	}
	*out = '\0';
	buf->len = (size_t)(out - buf->text);
	return at;
}

/* A step's output goes through here: room is asked for once in a block, not for each character. */
void strbuf_add_json_bytes(struct strbuf *buf, const char *s, size_t len)
{
	const unsigned char *at = (const unsigned char *)s;
	const unsigned char *end = at + len;

	strbuf_add_char(buf, '"');
	(void)strbuf_reserve(buf, len + len / 8);
	while (at < end) {
		if (!strbuf_reserve(buf, (size_t)JSON_BLOCK * JSON_LONGEST))
			return;
		at += json_put_block(buf, at, (size_t)(end - at));
	}
	strbuf_add_char(buf, '"');
}

void strbuf_add_json(struct strbuf *buf, const char *s)
{
	strbuf_add_json_bytes(buf, s, strlen(s));
}

void strbuf_free(struct strbuf *buf)
{
	free(buf->text);
	*buf = (struct strbuf){0};
}
