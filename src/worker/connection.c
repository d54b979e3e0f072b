/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One peer: its bytes to lines, descriptors to the lines that announce them, answers back. Never
 * blocks: what cannot be sent waits, and while much waits nothing is read. Answers go before
 * output, because output is read from a step only when nothing else waits.
 */
#include <sys/uio.h>
#include "base/file.h"
#include "base/log.h"
#include "worker/worker_private.h"

/* Pipes get a description of our own, so that not blocking is our business alone: pipe(7). */
static int own_description(int fd, int mode)
{
	char path[32];
	struct stat st;
	int again;

	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = sys_openat(AT_FDCWD, path, mode | O_NONBLOCK, 0);
	if (again < 0) {
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		return fd;
	}
	close(fd);
	/* above the numbers that children use */
	fd = fd_dup(again, 100);
	if (fd < 0)
		return again;
	close(again);
	return fd;
}

struct connection *connection_new(struct worker *worker, int in, int out)
{
	struct connection *c = calloc(1, sizeof(*c));
	int buffer = SOCKET_BYTES;
	struct stat st;

	if (!c)
		return NULL;
	c->worker = worker;
	c->is_socket = in == out && fstat(in, &st) == 0 && S_ISSOCK(st.st_mode);
	c->in = in == out ? in : own_description(in, O_RDONLY);
	c->out = in == out ? in : own_description(out, O_WRONLY);
	if (c->is_socket)
		(void)setsockopt(c->out, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	c->hello_ms = sys_now_ms() + HELLO_MS;
	c->next = worker->connections;
	worker->connections = c;
	worker->n_connections++;
	return c;
}

static void packet_free(struct packet *packet)
{
	fd_close(&packet->fd);
	free(packet->text);
	free(packet);
}

void connection_free(struct connection *c)
{
	if (c->current)
		packet_free(c->current);
	while (c->first) {
		struct packet *next = c->first->next;

		packet_free(c->first);
		c->first = next;
	}
	for (size_t i = 0; i < c->n_fds; i++)
		close(c->fds[i]);
	if (c->out != c->in)
		close(c->out);
	close(c->in);
	free(c->input);
	free(c);
}

bool connection_is_idle(const struct connection *c)
{
	return !c->current && !c->first;
}

bool connection_may_rest(const struct connection *c)
{
	return connection_is_idle(c) || c->soon_us;
}

void connection_send_soon(struct connection *c, struct strbuf *text, int fd)
{
	bool idle = connection_may_rest(c);

	connection_send(c, text, fd);
	if (idle && !c->dead)
		c->soon_us = sys_now_us() + SOON_US;
}

void connection_send(struct connection *c, struct strbuf *text, int fd)
{
	struct packet *packet = calloc(1, sizeof(*packet));

	c->soon_us = 0;
	strbuf_add_char(text, '\n');
	if (!packet || text->failed || c->dead) {
		/* without memory for an answer the peer can only be told by closing */
		c->dead |= !packet || text->failed;
		free(packet);
		strbuf_free(text);
		fd_close(&fd);
		return;
	}
	*packet = (struct packet){.text = text->text, .len = text->len, .fd = fd};
	c->queued_bytes += text->len;
	*text = (struct strbuf){0};
	if (c->last && c->first)
		c->last->next = packet;
	else
		c->first = packet;
	c->last = packet;
}

void connection_error(struct connection *c, const char *id, enum worker_kind kind,
		      const struct rb_err *err, const struct step_unknown *unknown)
{
	struct strbuf text = {0};

	reply_error(&text, id, kind, err, unknown);
	connection_send(c, &text, -1);
}

void connection_warn(struct connection *c, const char *step, const char *kind, const char *text)
{
	struct strbuf out = {0};

	if (!c)
		return;
	notify_begin(&out, "step.warn");
	strbuf_add(&out, "\"step\":");
	strbuf_add_json(&out, step);
	strbuf_printf(&out, ",\"kind\":\"%s\",\"message\":", kind);
	strbuf_add_json(&out, text);
	message_end(&out);
	connection_send(c, &out, -1);
}

enum { GATHER = 16 };

/*
 * What waits, up to the next descriptor, as one message: each one of its own would wake the peer.
 * Returns the number of pieces.
 */
static size_t gather(const struct connection *c, struct iovec *iov)
{
	size_t n = 1;

	iov[0] = (struct iovec){c->current->text + c->sent, c->current->len - c->sent};
	for (const struct packet *next = c->first; next && n < GATHER && next->fd < 0;
	     next = next->next)
		iov[n++] = (struct iovec){next->text, next->len};
	return n;
}

void worker_log(struct worker *worker, enum worker_log level, const char *text)
{
	static const char *const names[] = {"none", "error", "warn", "info"};

	if (level < WORKER_LOG_INFO)
		log_warn("%s", text);
	for (struct connection *c = worker->connections; c; c = c->next) {
		struct strbuf out = {0};

		if (c->dead || c->log < level)
			continue;
		notify_begin(&out, "log");
		strbuf_printf(&out, "\"level\":\"%s\",\"message\":", names[level]);
		strbuf_add_json(&out, text);
		message_end(&out);
		connection_send(c, &out, -1);
	}
}

/* One sendmsg or writev. Returns bytes or -errno. */
static ssize_t send_some(struct connection *c)
{
	struct packet *packet = c->current;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov[GATHER];
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = gather(c, iov)};
	ssize_t r;

	if (!c->is_socket) {
		r = writev(c->out, iov, (int)message.msg_iovlen);
		return r < 0 ? -errno : r;
	}
	if (packet->fd >= 0 && c->sent == 0) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &packet->fd, sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(sizeof(int));
	}
	r = sendmsg(c->out, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	return r < 0 ? -errno : r;
}

static void take_next(struct connection *c)
{
	c->current = c->first;
	c->first = c->first->next;
	c->sent = 0;
	c->queued_bytes -= c->current->len;
}

/* So many bytes are on their way: what of the queue they are is done. */
static void forget_sent(struct connection *c, size_t bytes)
{
	for (;;) {
		size_t left = c->current->len - c->sent;

		if (bytes < left) {
			c->sent += bytes;
			return;
		}
		bytes -= left;
		packet_free(c->current);
		c->current = NULL;
		if (bytes == 0)
			return;
		take_next(c);
	}
}

void connection_flush(struct connection *c)
{
	if (c->soon_us && !c->ended && !c->closing && sys_now_us() < c->soon_us)
		return;
	c->soon_us = 0;
	while (!c->dead) {
		ssize_t r;

		if (!c->current && !c->first)
			return;
		if (!c->current)
			take_next(c);
		r = send_some(c);
		if (r == -EINTR)
			continue;
		if (r == -EAGAIN)
			return;
		if (r < 0) { /* EPIPE, ECONNRESET: the peer is gone */
			c->dead = true;
			return;
		}
		forget_sent(c, (size_t)r);
	}
}

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
