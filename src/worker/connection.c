/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One peer, and what it is sent (connection_read.c: what it sends). Never blocks: what cannot be
 * sent waits, and while much waits nothing is read. Answers go before output, because output is
 * read from a step only when nothing else waits.
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
