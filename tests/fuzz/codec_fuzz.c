/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's codec. The input is lines, as a peer sends them, and output, as a step writes it.
 * A line that is taken satisfies line_check(); one that is not has a kind and a text, and the
 * answer to it is a line that our own parser takes. Output that is told is read back as the same
 * bytes.
 */
#include "fuzz.h"
#include "worker/codec.h"

static void check_line(const struct strbuf *text)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct json_node *node;

	assert(!text->failed && !memchr(text->text, '\n', text->len));
	assert(line_check(text->text, text->len) == NULL);
	assert(json_parse(&arena, "answer", text->text, text->len, &node, NULL) == 0);
	assert(json_member(node, "jsonrpc"));
}

static void refuse(const char *id, enum worker_kind kind, const struct rb_err *err,
		   const struct step_unknown *unknown)
{
	CLEANUP_STRBUF struct strbuf text = {0};

	assert(err->what[0]);
	reply_error(&text, id, kind, err, unknown);
	check_line(&text);
}

static void take(struct arena *arena, const struct message *message)
{
	struct step_unknown unknown = {.n = 0};
	struct rb_err err = {0};
	struct step step;
	const char *bytes;
	size_t len;

	assert(message->method && message->n_fds <= LIMIT_MESSAGE_FDS);
	if (!message->params)
		return;
	if (step_parse(arena, message->params, message->n_fds, &step, &unknown, &err) < 0)
		refuse(message->id, kind_of(&err), &err, &unknown);
	else
		assert(step.id && step.spec.process.present && unknown.n == 0);
	if (step_parse_exec(arena, message->params, message->n_fds, &step, &unknown, &err) < 0)
		refuse(message->id, kind_of(&err), &err, &unknown);
	if (read_input(arena, message->params, &bytes, &len, &err) == 0)
		assert(bytes);
}

static void line_in(const char *line, size_t len)
{
	CLEANUP_ARENA struct arena arena = {0};
	enum worker_kind kind = KIND_INTERNAL;
	struct message message;
	struct rb_err err = {0};

	if (message_parse(&arena, line, len, &message, &kind, &err) < 0) {
		refuse(message.id, kind, &err, NULL);
		return;
	}
	assert(line_check(line, len) == NULL);
	take(&arena, &message);
}

/* Told in one or two messages, read back, the same. */
static void bytes_out(const char *bytes, size_t len)
{
	size_t at = 0;
	bool last = false;

	while (at < len) {
		CLEANUP_ARENA struct arena arena = {0};
		CLEANUP_STRBUF struct strbuf text = {0};
		const struct json_node *node;
		const char *back;
		size_t back_len;
		size_t taken;

		notify_begin(&text, "step.output");
		taken = add_output(&text, bytes + at, len - at, last);
		message_end(&text);
		assert(taken <= len - at && len - at - taken <= 3 && (taken > 0 || !last));
		last = true;
		if (taken == 0)
			continue;
		check_line(&text);
		assert(json_parse(&arena, "output", text.text, text.len, &node, NULL) == 0);
		assert(read_input(&arena, json_member(node, "params"), &back, &back_len, NULL) ==
		       0);
		assert(back_len == taken && memcmp(back, bytes + at, taken) == 0);
		at += taken;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;

	for (size_t at = 0; at < size;) {
		const char *end = memchr(text + at, '\n', size - at);
		size_t len = end ? (size_t)(end - text) - at : size - at;

		line_in(text + at, len);
		at += len + 1;
	}
	if (size < 65536)
		bytes_out(text, size);
	return 0;
}
