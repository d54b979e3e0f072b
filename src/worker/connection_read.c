/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a peer sends: its bytes to lines, descriptors to the lines that announce them, each line to
 * who handles it. Never blocks, and executes no line that has no end.
 */
#include "worker/worker_private.h"

/* The connection cannot go on: what was wrong, then nothing more is read. */
static void fatal(struct connection *c, const char *id, enum worker_kind kind, const char *text,
		  const char *fix)
{
	struct rb_err err = {0};

	err_set(&err, kind == KIND_BAD_FDS ? RB_STEP_FDS : RB_OK, 0, "%s", text);
	err_fix(&err, "%s", fix);
	connection_error(c, id, kind, &err, NULL);
	c->closing = true;
	c->ended = true;
	for (size_t i = 0; i < c->n_fds; i++)
		close(c->fds[i]);
	c->n_fds = 0;
}

/* A line that is not a message: the answer, and the end after too many of them. */
static void refuse_line(struct connection *c, struct call *call, enum worker_kind kind,
			const struct rb_err *err)
{
	if (c->n_fds > 0) {
		fatal(c, NULL, KIND_BAD_FDS, "a line that cannot be read, with descriptors waiting",
		      "send the descriptors with the first byte of their line");
		return;
	}
	connection_error(c, call->message.id, kind, err, NULL);
	if (++c->bad_lines >= WORKER_BAD_LINES) {
		c->closing = true;
		c->ended = true;
	}
}

static void take_fds(struct connection *c, struct call *call)
{
	size_t n = call->message.n_fds;

	memcpy(call->fds, c->fds, n * sizeof(int));
	c->n_fds -= n;
	memmove(c->fds, c->fds + n, c->n_fds * sizeof(int));
}

static void handle_line(struct connection *c, const char *line, size_t len)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct call call = {.connection = c, .arena = &arena};
	enum worker_kind kind = KIND_PARSE;
	struct rb_err err = {0};

	for (size_t i = 0; i < ARRAY_LEN(call.fds); i++)
		call.fds[i] = -1;
	c->messages++;
	if (message_parse(&arena, line, len, &call.message, &kind, &err) < 0) {
		refuse_line(c, &call, kind, &err);
		return;
	}
	if (call.message.n_fds > c->n_fds) {
		fatal(c, call.message.id, KIND_BAD_FDS, "fewer descriptors came than \"fds\" says",
		      "send them with the first byte of the line, over AF_UNIX");
		return;
	}
	take_fds(c, &call);
	call_handle(&call);
	for (size_t i = 0; i < ARRAY_LEN(call.fds); i++)
		fd_close(&call.fds[i]);
}

/* All complete lines, before anything more is read. */
static void handle_lines(struct connection *c)
{
	size_t at = 0;

	while (!c->closing && !c->dead) {
		char *line = c->input + at;
		char *end = memchr(c->input + at + c->scanned, '\n',
				   c->input_len - at - c->scanned);
		size_t len;

		if (!end)
			break;
		c->scanned = 0;
		len = (size_t)(end - line);
		at += len + 1;
		if (len > WORKER_LINE_BYTES) {
			fatal(c, NULL, KIND_LINE_TOO_LONG, "a line of more than 4 MiB",
			      "describe the step in fewer bytes");
			break;
		}
		if (len > 0)
			handle_line(c, line, len);
	}
	c->input_len -= at;
	memmove(c->input, c->input + at, c->input_len);
	c->scanned = c->input_len;
	if (!c->closing && c->input_len > WORKER_LINE_BYTES)
		fatal(c, NULL, KIND_LINE_TOO_LONG, "a line of more than 4 MiB",
		      "describe the step in fewer bytes");
	if (c->input_len == 0 && c->input_size > 1 << 16) {
		free(c->input); /* a large request must not stay with an idle connection */
		c->input = NULL;
		c->input_size = 0;
	}
}

static bool grow_input(struct connection *c)
{
	size_t size = c->input_size ? c->input_size * 2 : 1 << 14;
	char *larger;

	if (c->input_size - c->input_len >= 4096)
		return true;
	larger = realloc(c->input, size);
	if (!larger)
		return false;
	c->input = larger;
	c->input_size = size;
	return true;
}

/* Descriptors of one recvmsg, in their order. false: too many, or some were lost. */
static bool queue_fds(struct connection *c, struct msghdr *message)
{
	bool good = !(message->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *h = CMSG_FIRSTHDR(message); h; h = CMSG_NXTHDR(message, h)) {
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
			if (c->n_fds == MAX_QUEUED_FDS) {
				close(fd);
				good = false;
			} else {
				c->fds[c->n_fds++] = fd;
			}
		}
	}
	return good;
}

static ssize_t receive(struct connection *c, bool *ret_fds_good)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * 253)]; /* unix(7): SCM_MAX_FD */
	} control;
	struct iovec iov = {.iov_base = c->input + c->input_len,
			    .iov_len = c->input_size - c->input_len};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t r;

	*ret_fds_good = true;
	if (!c->is_socket) {
		r = read(c->in, iov.iov_base, iov.iov_len);
		return r < 0 ? -errno : r;
	}
	r = recvmsg(c->in, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (r < 0)
		return -errno;
	*ret_fds_good = queue_fds(c, &message);
	return r;
}

void connection_end(struct connection *c)
{
	c->ended = true;
	/* a last line without LF is never executed; descriptors without a line are nobody's */
	for (size_t i = 0; i < c->n_fds; i++)
		close(c->fds[i]);
	c->n_fds = 0;
	if (!c->drains)
		c->dead = true;
}

void connection_read(struct connection *c)
{
	bool fds_good;
	ssize_t r;

	if (!grow_input(c)) {
		c->dead = true;
		return;
	}
	r = receive(c, &fds_good);
	if (r == -EAGAIN || r == -EINTR)
		return;
	if (r < 0) {
		c->dead = true; /* ECONNRESET: hang-up */
		return;
	}
	if (r == 0) {
		connection_end(c);
		return;
	}
	c->input_len += (size_t)r;
	if (!fds_good) {
		fatal(c, NULL, KIND_BAD_FDS, "more than 32 descriptors are waiting",
		      "send at most 16 with a message, and the message with them");
		return;
	}
	handle_lines(c);
}
