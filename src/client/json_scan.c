/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scanner for the worker's messages, in the client's process. It never allocates and never
 * recurses deeper than the protocol's limit; a text that is not JSON has no members. It is not
 * strict where strictness protects nobody: the worker writes what it reads.
 */
#include <string.h>
#include "client/json_scan.h"

enum { SCAN_DEPTH = 64 };

static const char *skip_space(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
		at++;
	return at;
}

/* Is what stands at `at` meant literally, after an odd number of backslashes? */
static bool is_escaped(const char *begin, const char *at)
{
	const char *first = at;

	while (first > begin && first[-1] == '\\')
		first--;
	return (at - first) % 2;
}

/*
 * Behind the closing quote; NULL: there is none. A step's output is one long string, so memchr(3)
 * looks for the quote. Backslashes before it are counted back to the quote before at most: no byte
 * is counted twice.
 */
static const char *skip_string(const char *at, const char *end)
{
	for (const char *begin = at + 1; begin < end; begin = at + 1) {
		at = memchr(begin, '"', (size_t)(end - begin));
		if (!at)
			return NULL;
		if (!is_escaped(begin, at))
			return at + 1;
	}
	return NULL;
}

static const char *skip_value(const char *at, const char *end, unsigned depth);

/* An object or array: values between commas, in objects each with a key and a colon before it. */
static const char *skip_members(const char *at, const char *end, unsigned depth)
{
	bool object = *at == '{';
	char close = object ? '}' : ']';

	at = skip_space(at + 1, end);
	if (at < end && *at == close)
		return at + 1;
	while (at && at < end) {
		if (object) {
			at = *at == '"' ? skip_string(at, end) : NULL;
			at = at ? skip_space(at, end) : NULL;
			if (!at || at == end || *at != ':')
				return NULL;
			at = skip_space(at + 1, end);
		}
		at = skip_value(at, end, depth + 1);
		at = at ? skip_space(at, end) : NULL;
		if (!at || at == end)
			return NULL;
		if (*at == close)
			return at + 1;
		if (*at != ',')
			return NULL;
		at = skip_space(at + 1, end);
	}
	return NULL;
}

static const char *skip_value(const char *at, const char *end, unsigned depth)
{
	if (at >= end || depth > SCAN_DEPTH)
		return NULL;
	if (*at == '"')
		return skip_string(at, end);
	if (*at == '{' || *at == '[')
		return skip_members(at, end, depth);
	for (const char *begin = at;; at++)
		if (at == end || strchr(",]} \t\r\n", *at))
			return at > begin ? at : NULL;
}

bool scan_members(struct scan value, const char *const keys[], size_t n, struct scan ret[])
{
	const char *at = value.begin ? skip_space(value.begin, value.end) : NULL;

	for (size_t i = 0; i < n; i++)
		ret[i] = (struct scan){NULL, NULL};
	if (!at || at == value.end || *at != '{')
		return false;
	at = skip_space(at + 1, value.end);
	while (at && at < value.end && *at == '"') {
		const char *name = at + 1;
		const char *after = skip_string(at, value.end);
		const char *begin = after ? skip_space(after, value.end) : NULL;

		if (!begin || begin == value.end || *begin != ':')
			return false;
		begin = skip_space(begin + 1, value.end);
		at = skip_value(begin, value.end, 0);
		for (size_t i = 0; at && i < n; i++)
			if (!ret[i].begin && (size_t)(after - name) == strlen(keys[i]) + 1 &&
			    memcmp(name, keys[i], strlen(keys[i])) == 0)
				ret[i] = (struct scan){begin, at};
		at = at ? skip_space(at, value.end) : NULL;
		if (!at || at == value.end || *at != ',')
			break;
		at = skip_space(at + 1, value.end);
		if (at < value.end && *at == '}') /* a comma before the end */
			return false;
	}
	return at && at < value.end && *at == '}' && skip_space(at + 1, value.end) == value.end;
}

struct scan scan_member(struct scan value, const char *key)
{
	struct scan member;

	(void)scan_members(value, &key, 1, &member);
	return member;
}

bool scan_is_string(struct scan value)
{
	return value.begin && *value.begin == '"';
}

bool scan_number(struct scan value, uint64_t *ret)
{
	uint64_t number = 0;

	if (!value.begin || value.end - value.begin > 19)
		return false;
	for (const char *c = value.begin; c < value.end; c++) {
		if (*c < '0' || *c > '9')
			return false;
		number = number * 10 + (uint64_t)(*c - '0');
	}
	*ret = number;
	return true;
}

static unsigned hex(const char *s)
{
	unsigned value = 0;

	for (int i = 0; i < 4; i++) {
		unsigned char c = (unsigned char)s[i];

		value = value << 4 | (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return value & 0xffff;
}

static char *put_utf8(char *out, unsigned c)
{
	if (c < 0x80) {
		*out++ = (char)c;
	} else if (c < 0x800) {
		*out++ = (char)(0xc0 | c >> 6);
		*out++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*out++ = (char)(0xe0 | c >> 12);
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
		*out++ = (char)(0x80 | (c & 0x3f));
	} else {
		*out++ = (char)(0xf0 | c >> 18);
		*out++ = (char)(0x80 | (c >> 12 & 0x3f));
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
		*out++ = (char)(0x80 | (c & 0x3f));
	}
	return out;
}

/* What stands behind a backslash but "u"; the quote, the slash and the backslash are themselves. */
static char meaning(char letter)
{
	switch (letter) {
	case 'n': return '\n';
	case 'r': return '\r';
	case 't': return '\t';
	case 'b': return '\b';
	case 'f': return '\f';
	default: return letter;
	}
}

/* What stands behind a backslash; *at moves over it. An escape is never shorter than its bytes. */
static char *put_escape(const char **at, const char *end, char *out)
{
	unsigned c;

	if (**at != 'u' || end - *at < 5) {
		*out++ = meaning(**at);
		(*at)++;
		return out;
	}
	c = hex(*at + 1);
	*at += 5;
	if (c >= 0xd800 && c < 0xdc00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
		c = 0x10000 + ((c & 0x3ff) << 10) + (hex(*at + 2) & 0x3ff);
		*at += 6;
	}
	return put_utf8(out, c);
}

size_t scan_string(struct scan value, char *out)
{
	char *begin = out;
	const char *at = value.begin + 1;
	const char *end = value.end - 1;

	while (at < end) {
		if (*at != '\\') {
			*out++ = *at++;
			continue;
		}
		if (++at < end)
			out = put_escape(&at, end, out);
	}
	*out = '\0';
	return (size_t)(out - begin);
}
