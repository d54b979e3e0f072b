/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The worker's protocol as bytes: lines to messages, results and errors to lines. Pure: no system
 * calls, so a fuzzer can drive it. runbuild-protocol(7) is the specification.
 */
#include "base/json.h"
#include "base/strbuf.h"
#include "spec/step.h"

#define WORKER_LINE_BYTES LIMIT_CONFIG_BYTES
#define WORKER_JSON_DEPTH 32u
/* Raw bytes in one step.output; the protocol allows 48 KiB. What is begun, no answer overtakes. */
#define WORKER_OUTPUT_CUT 16384u
#define WORKER_BAD_LINES  32u /* then the connection is closed */

/* The stable names of errors, with the numbers of JSON-RPC beside them. */
/* clang-format off */
#define WORKER_KINDS(X) \
	X(KIND_PARSE, -32700, "parse") \
	X(KIND_INVALID_REQUEST, -32600, "invalid-request") \
	X(KIND_DUPLICATE_ID, -32600, "duplicate-id") \
	X(KIND_NO_SUCH_METHOD, -32601, "no-such-method") \
	X(KIND_INVALID_PARAMS, -32602, "invalid-params") \
	X(KIND_UNKNOWN_MEMBER, -32602, "unknown-member") \
	X(KIND_INTERNAL, -32603, "internal") \
	X(KIND_LINE_TOO_LONG, -32001, "line-too-long") \
	X(KIND_NO_HELLO, -32002, "no-hello") \
	X(KIND_VERSION, -32003, "version") \
	X(KIND_BAD_FDS, -32004, "bad-fds") \
	X(KIND_DUPLICATE_STEP, -32010, "duplicate-step") \
	X(KIND_SHUTTING_DOWN, -32011, "shutting-down") \
	X(KIND_NO_SUCH_STEP, -32012, "no-such-step") \
	X(KIND_BAD_OFFSET, -32013, "bad-offset") \
	X(KIND_TOO_MANY_STEPS, -32014, "too-many-steps") \
	X(KIND_DENIED, -32015, "denied") \
	X(KIND_UNSUPPORTED, -32016, "unsupported") \
	X(KIND_EXEC_FAILED, -32020, "exec-failed") \
	X(KIND_ROOTFS, -32021, "rootfs") \
	X(KIND_MOUNT, -32022, "mount") \
	X(KIND_NET, -32023, "net") \
	X(KIND_CGROUP, -32024, "cgroup") \
	X(KIND_SECCOMP, -32025, "seccomp") \
	X(KIND_USER_NOT_FOUND, -32026, "user-not-found") \
	X(KIND_IDMAP, -32027, "idmap") \
	X(KIND_TTY, -32028, "tty") \
	X(KIND_HOOK, -32029, "hook") \
	X(KIND_CANCELLED, -32030, "cancelled-before-start")
/* clang-format on */

enum worker_kind {
#define X(kind, number, name) kind,
	WORKER_KINDS(X)
#undef X
};

/* One line, understood. Everything lives in the arena it was parsed into. */
struct message {
	const char *id; /* as JSON ("7", "\"a\""), or NULL: a notification */
	const char *method;
	const struct json_node *params; /* an object, or NULL: none were given */
	uint32_t n_fds;
};

/*
 * Checks and parses one line without its end. Errors: the kind in *ret_kind and a text in *err;
 * ret_message->id is then set if it could be read. 0 or -EINVAL.
 */
int message_parse(struct arena *arena, const char *line, size_t len, struct message *ret_message,
		  enum worker_kind *ret_kind, struct rb_err *err);

/* What message_parse() checks on the bytes before JSON: NULL, or what is wrong. */
const char *line_check(const char *line, size_t len);

/* Only members of the list may stand in params. Errors: KIND_UNKNOWN_MEMBER's text. */
int params_known(struct arena *arena, const struct json_node *params, const char *names,
		 struct step_unknown *ret_unknown, struct rb_err *err);

/* The kind that an error of ours is told as. */
enum worker_kind kind_of(const struct rb_err *err);

/* Lines without the ending LF. id NULL is null; unknown may be NULL. */
void reply_error(struct strbuf *out, const char *id, enum worker_kind kind,
		 const struct rb_err *err, const struct step_unknown *unknown);
void reply_begin(struct strbuf *out, const char *id);         /* {...,"result":{ */
void reply_begin_with_fd(struct strbuf *out, const char *id); /* one descriptor goes along */
void notify_begin(struct strbuf *out, const char *method);    /* {...,"params":{ */
void message_end(struct strbuf *out);                         /* }} */

/*
 * "text" for len bytes that are UTF-8 without NUL, else "data" in base64. A character that is cut
 * off at the end is left for the next time unless `last`; returns the bytes taken, 0 with nothing
 * added when there is only such a character.
 */
size_t add_output(struct strbuf *out, const char *bytes, size_t len, bool last);

/* The bytes of "text" or "data" of step.stdin, in the arena. */
int read_input(struct arena *arena, const struct json_node *params, const char **ret_bytes,
	       size_t *ret_len, struct rb_err *err);
