/* SPDX-License-Identifier: Apache-2.0 */
/*
 * D-Bus by hand, little-endian both ways (systemd answers in the machine's order, and this project
 * knows no big-endian one with systemd; a big-endian answer is refused). Every length that comes
 * in is checked against what was read.
 */
#include <poll.h>
#include <sys/un.h>
#include "base/file.h"
#include "base/sys.h"
#include "systemd/wire.h"

void wire_align(struct wire *w, size_t n)
{
	while (w->len % n)
		wire_u8(w, 0);
}

void wire_u8(struct wire *w, uint8_t value)
{
	if (w->len == sizeof(w->bytes)) {
		w->failed = true;
		/* keep aligned loops finite */
		w->len = 0;
	}
	w->bytes[w->len++] = value;
}

void wire_u32(struct wire *w, uint32_t value)
{
	wire_align(w, 4);
	for (int shift = 0; shift < 32; shift += 8)
		wire_u8(w, (uint8_t)(value >> shift));
}

void wire_u64(struct wire *w, uint64_t value)
{
	wire_align(w, 8);
	for (int shift = 0; shift < 64; shift += 8)
		wire_u8(w, (uint8_t)(value >> shift));
}

void wire_string(struct wire *w, const char *s)
{
	wire_u32(w, (uint32_t)strlen(s));
	while (*s)
		wire_u8(w, (uint8_t)*s++);
	wire_u8(w, 0);
}

void wire_signature(struct wire *w, const char *s)
{
	wire_u8(w, (uint8_t)strlen(s));
	while (*s)
		wire_u8(w, (uint8_t)*s++);
	wire_u8(w, 0);
}

size_t wire_array_begin(struct wire *w, size_t align)
{
	size_t mark;

	wire_u32(w, 0);
	mark = w->len - 4;
	wire_align(w, align); /* not counted in the length */
	return mark;
}

void wire_array_end(struct wire *w, size_t mark, size_t align)
{
	size_t begin = (mark + 4 + align - 1) / align * align;
	uint32_t len = (uint32_t)(w->len - begin);

	if (w->failed)
		return;
	for (size_t i = 0; i < 4; i++)
		w->bytes[mark + i] = (uint8_t)(len >> 8 * i);
}

/* One line of the handshake, without its end. */
static int read_line(int sock, char *line, size_t size)
{
	size_t len = 0;

	while (len < size - 1) {
		ssize_t n = read(sock, line + len, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		if (line[len] == '\n') {
			line[len] = '\0';
			return 0;
		}
		len++;
	}
	return -EPROTO;
}

int wire_connect(const char *path)
{
	/* no name: the server takes the socket's credentials, which no namespace changes */
	static const char hello[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP_FD int sock = sys_socket(AF_UNIX, SOCK_STREAM, 0);
	char line[256];
	int r;

	if (sock < 0)
		return sock;
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	r = fd_write_all(sock, hello, sizeof(hello) - 1);
	/* "DATA", then "OK <server's id>" */
	for (int i = 0; r == 0 && i < 4; i++) {
		r = read_line(sock, line, sizeof(line));
		if (r == 0 && str_starts(line, "OK"))
			return fd_take(&sock);
		if (r == 0 && !str_starts(line, "DATA"))
			return -EACCES;
	}
	return r < 0 ? r : -EPROTO;
}

static void header_field(struct wire *w, uint8_t code, const char *type, const char *value)
{
	wire_align(w, 8);
	wire_u8(w, code);
	wire_signature(w, type);
	if (type[0] == 'g')
		wire_signature(w, value);
	else
		wire_string(w, value);
}

int wire_send(int sock, const struct wire_call *call)
{
	static struct wire header; /* 64 KiB: too much for a stack frame; one thread */
	size_t fields;
	int r;

	header.len = 0;
	header.failed = false;
	wire_u8(&header, 'l');
	wire_u8(&header, WIRE_CALL);
	wire_u8(&header, 0);
	wire_u8(&header, 1);
	wire_u32(&header, (uint32_t)call->body->len);
	wire_u32(&header, call->serial);
	fields = wire_array_begin(&header, 8);
	header_field(&header, 1, "o", call->path);
	header_field(&header, 2, "s", call->interface);
	header_field(&header, 3, "s", call->member);
	header_field(&header, 6, "s", call->destination);
	header_field(&header, 8, "g", call->signature);
	wire_array_end(&header, fields, 8);
	wire_align(&header, 8);
	if (header.failed || call->body->failed)
		return -EMSGSIZE;
	r = fd_write_all(sock, header.bytes, header.len);
	return r < 0 ? r : fd_write_all(sock, call->body->bytes, call->body->len);
}

static int read_exactly(int sock, struct wire *w, size_t len)
{
	if (len > sizeof(w->bytes) - w->len)
		return -EMSGSIZE;
	while (len > 0) {
		ssize_t n = read(sock, w->bytes + w->len, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		w->len += (size_t)n;
		len -= (size_t)n;
	}
	return 0;
}

uint32_t wire_read_u32(const struct wire_message *m, size_t *offset)
{
	size_t at = (*offset + 3) / 4 * 4;
	const uint8_t *b = m->raw.bytes + at;

	if (*offset > m->raw.len || at + 4 > m->raw.len) {
		*offset = SIZE_MAX;
		return 0;
	}
	*offset = at + 4;
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

const char *wire_read_string(const struct wire_message *m, size_t *offset)
{
	uint32_t len = wire_read_u32(m, offset);
	const char *s;

	if (*offset == SIZE_MAX || len >= m->raw.len - *offset ||
	    m->raw.bytes[*offset + len] != '\0') {
		*offset = SIZE_MAX;
		return NULL;
	}
	s = (const char *)m->raw.bytes + *offset;
	*offset += len + 1;
	return s;
}

/* One header field at *offset: the ones of interest are strings, an object path or a number. */
static int read_field(struct wire_message *m, size_t *offset, size_t end)
{
	size_t at = (*offset + 7) / 8 * 8;
	uint8_t code;
	char type;
	const char *text = NULL;
	uint32_t number = 0;

	if (at + 4 > end)
		return -EPROTO;
	code = m->raw.bytes[at];
	/* a signature of one letter: length, letter, end mark */
	if (m->raw.bytes[at + 1] != 1 || m->raw.bytes[at + 3] != 0)
		return -EPROTO;
	type = (char)m->raw.bytes[at + 2];
	*offset = at + 4;
	if (type == 's' || type == 'o') {
		text = wire_read_string(m, offset);
	} else if (type == 'u') {
		number = wire_read_u32(m, offset);
	} else if (type == 'g') {
		if (*offset >= end)
			return -EPROTO;
		*offset += m->raw.bytes[*offset] + 2u;
	} else {
		return -EPROTO;
	}
	if (*offset > end)
		return -EPROTO;
	if (code == 3 && text)
		m->member = text;
	if (code == 4 && text)
		m->error = text;
	if (code == 5)
		m->reply_to = number;
	return 0;
}

int wire_receive(int sock, struct wire_message *ret)
{
	size_t offset = 4;
	uint32_t body;
	uint32_t fields;
	size_t end;
	int r;

	ret->raw.len = 0;
	ret->member = ret->error = "";
	ret->reply_to = 0;
	r = read_exactly(sock, &ret->raw, 16);
	if (r < 0)
		return r;
	if (ret->raw.bytes[0] != 'l' || ret->raw.bytes[3] != 1)
		return -EPROTO;
	ret->type = (enum wire_type)ret->raw.bytes[1];
	body = wire_read_u32(ret, &offset);
	offset = 12;
	fields = wire_read_u32(ret, &offset);
	if (fields > WIRE_BYTES || body > WIRE_BYTES)
		return -EMSGSIZE;
	end = 16 + fields;
	ret->body = (end + 7) / 8 * 8;
	r = read_exactly(sock, &ret->raw, ret->body - 16 + body);
	while (r == 0 && offset < end)
		r = read_field(ret, &offset, end);
	return r;
}
