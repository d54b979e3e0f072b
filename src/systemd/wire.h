/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * As much of D-Bus as two method calls need: marshalling, the handshake, one message at a time.
 * Reference: the D-Bus specification, "Message Protocol" and "Authentication Protocol".
 */
#include "base/base.h"

enum { WIRE_BYTES = 65536 };

/* A message under construction, or one that was read. Overflow is remembered. */
struct wire {
	uint8_t bytes[WIRE_BYTES];
	size_t len;
	bool failed;
};

/* Writing. Alignment is that of the type, from the beginning of the buffer. */
void wire_align(struct wire *w, size_t n);
void wire_u8(struct wire *w, uint8_t value);
void wire_u32(struct wire *w, uint32_t value);
void wire_u64(struct wire *w, uint64_t value);
void wire_string(struct wire *w, const char *s);    /* types s and o */
void wire_signature(struct wire *w, const char *s); /* type g */

/* An array: begin returns a mark, end fills the length in. align is that of its elements. */
size_t wire_array_begin(struct wire *w, size_t align);
void wire_array_end(struct wire *w, size_t mark, size_t align);

/* What came in. Texts point into the message. */
enum wire_type { WIRE_CALL = 1, WIRE_REPLY, WIRE_ERROR, WIRE_SIGNAL };

struct wire_message {
	struct wire raw;
	enum wire_type type;
	uint32_t reply_to;          /* serial of the call; 0: none */
	const char *member, *error; /* "" when absent */
	size_t body;                /* offset of the body */
};

/* Connects to a unix socket and authenticates as whoever we are. A descriptor, or -errno. */
int wire_connect(const char *path);

struct wire_call {
	const char *destination, *path, *interface, *member, *signature;
	uint32_t serial;
	const struct wire *body;
};
int wire_send(int sock, const struct wire_call *call);

/* The next message. -EPIPE: the connection has ended; -EPROTO: not D-Bus. */
int wire_receive(int sock, struct wire_message *ret);

/* Reads from a body at *offset, which moves on. NULL or 0 with *offset = SIZE_MAX: malformed. */
const char *wire_read_string(const struct wire_message *m, size_t *offset);
uint32_t wire_read_u32(const struct wire_message *m, size_t *offset);
