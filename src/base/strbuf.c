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

/* Length of the well-formed UTF-8 sequence at s (RFC 3629), or 0. s ends in '\0'. */
static size_t utf8_len(const unsigned char *s)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4)
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

/* One character of *s as it stands in a JSON string. Returns where the next one goes. */
static char *json_put(char *out, const unsigned char **s)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char c = **s;
	size_t len = 1;

	if (c == '"' || c == '\\' || c == '\n') {
		*out++ = '\\';
		*out++ = c == '\n' ? 'n' : (char)c;
	} else if (c >= 0x20 && c < 0x7f) {
		*out++ = (char)c;
	} else if (c < 0x80) {
		memcpy(out, "\\u00", 4);
		out[4] = hex[c >> 4];
		out[5] = hex[c & 15];
		out += JSON_LONGEST;
	} else if ((len = utf8_len(*s)) == 0) {
		memcpy(out, "\\ufffd", JSON_LONGEST);
		out += JSON_LONGEST;
		len = 1;
	} else {
		memcpy(out, *s, len);
		out += len;
	}
	*s += len;
	return out;
}

/* A step's output goes through here: room is asked for once in a block, not for each character. */
void strbuf_add_json(struct strbuf *buf, const char *s)
{
	const unsigned char *at = (const unsigned char *)s;

	strbuf_add_char(buf, '"');
	while (*at) {
		char *out;

		if (!strbuf_reserve(buf, (size_t)JSON_BLOCK * JSON_LONGEST))
			return;
		out = buf->text + buf->len;
		for (int i = 0; i < JSON_BLOCK && *at; i++)
			out = json_put(out, &at);
		*out = '\0';
		buf->len = (size_t)(out - buf->text);
	}
	strbuf_add_char(buf, '"');
}

void strbuf_free(struct strbuf *buf)
{
	free(buf->text);
	*buf = (struct strbuf){0};
}
