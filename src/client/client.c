/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client library: requests out, messages in, over one AF_UNIX stream. Runs in somebody else's
 * process, with whatever privilege it has: no signal handlers, no environment, no output, nothing
 * that outlives a call but the client itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "client/json_scan.h"
#include "client/runbuild-client.h"

enum { MAX_FDS = 16, MAX_LINE = 8 << 20 };

/* Ids of requests that this file makes by itself: from here on; the caller's come from 1. */
#define FIRST_OWN_ID (UINT64_C(1) << 52)

extern char **environ;

struct packet {
	struct packet *next;
	char *text;
	size_t len, sent;
	int fds[MAX_FDS];
	size_t n_fds;
};

struct runbuild_client {
	int sock;
	pid_t pid; /* 0: not ours */
	uint64_t last_id, last_own_id;
	struct packet *first, *last;
	char *input;
	size_t len, size, taken; /* taken: bytes of the message that the caller has */
	int fds[MAX_FDS];
	size_t n_fds;
	char *text; /* decoded strings of that message */
	char *info;
	char *ack_step; /* output to acknowledge with the next call */
	int ack_stream;
	uint64_t ack_off;
};

static void packet_free(struct packet *packet)
{
	for (size_t i = 0; i < packet->n_fds; i++)
		close(packet->fds[i]);
	free(packet->text);
	free(packet);
}

/* One sendmsg; all descriptors go with the first byte. */
static ssize_t packet_send(int sock, struct packet *packet)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * MAX_FDS)];
	} control;
	struct iovec iov = {packet->text + packet->sent, packet->len - packet->sent};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (packet->n_fds && packet->sent == 0) {
		memset(&control, 0, sizeof(control));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * packet->n_fds);
		memcpy(CMSG_DATA(&control.header), packet->fds, sizeof(int) * packet->n_fds);
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * packet->n_fds);
	}
	return sendmsg(sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int flush(struct runbuild_client *client)
{
	while (client->first) {
		struct packet *packet = client->first;
		ssize_t sent = packet_send(client->sock, packet);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (sent < 0)
			return -ECONNRESET;
		packet->sent += (size_t)sent;
		if (packet->sent < packet->len)
			continue;
		client->first = packet->next;
		packet_free(packet);
	}
	return 0;
}

static int add_fds(struct packet *packet, const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);

		if (fd < 0)
			return -errno;
		packet->fds[packet->n_fds++] = fd;
	}
	return 0;
}

/* id 0: a notification, without an answer. */
static int message_send(struct runbuild_client *client, uint64_t id, const char *method,
			const char *params, const int *fds, size_t n_fds)
{
	struct packet *packet = calloc(1, sizeof(*packet));
	char id_member[32] = "";
	int len;
	int r;

	if (!packet)
		return -ENOMEM;
	if (id)
		snprintf(id_member, sizeof(id_member), ",\"id\":%llu", (unsigned long long)id);
	len = asprintf(&packet->text, "{\"jsonrpc\":\"2.0\"%s,\"method\":\"%s\",\"fds\":%zu%s%s}\n",
		       id_member, method, n_fds, params ? ",\"params\":" : "",
		       params ? params : "");
	r = len < 0 ? -ENOMEM : add_fds(packet, fds, n_fds);
	if (r < 0) {
		if (len < 0)
			packet->text = NULL;
		packet_free(packet);
		return r;
	}
	packet->len = (size_t)len;
	if (client->first)
		client->last->next = packet;
	else
		client->first = packet;
	client->last = packet;
	return flush(client);
}

int runbuild_client_request(struct runbuild_client *client, const char *method, const char *params,
			    const int *fds, size_t n_fds, uint64_t *ret_id)
{
	int r;

	if (n_fds > MAX_FDS)
		return -E2BIG;
	r = message_send(client, client->last_id + 1, method, params, fds, n_fds);
	if (r < 0)
		return r;
	client->last_id++;
	if (ret_id)
		*ret_id = client->last_id;
	return r;
}

int runbuild_client_fd(const struct runbuild_client *client)
{
	return client->sock;
}

short runbuild_client_events(const struct runbuild_client *client)
{
	return client->first ? POLLIN | POLLOUT : POLLIN;
}

const char *runbuild_client_info(const struct runbuild_client *client)
{
	return client->info;
}

/* Bytes of the character at text, RFC 3629: no overlong form, no surrogate. 0: it is none. */
static size_t character(const unsigned char *text)
{
	static const struct {
		unsigned char first, last, low, high, len; /* low and high: of the second byte */
	} forms[] = {
		{0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2},
		{0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
		{0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
		{0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (text[0] < forms[i].first || text[0] > forms[i].last)
			continue;
		if (forms[i].len > 1 && (text[1] < forms[i].low || text[1] > forms[i].high))
			return 0;
		for (size_t n = 2; n < forms[i].len; n++)
			if ((text[n] & 0xc0) != 0x80)
				return 0;
		return forms[i].len;
	}
	return 0;
}

static bool is_text(const char *text)
{
	while (*text) {
		size_t len = character((const unsigned char *)text);

		if (len == 0)
			return false;
		text += len;
	}
	return true;
}

char *runbuild_quote(const char *text)
{
	char *quoted = is_text(text) ? malloc(strlen(text) * 6 + 3) : NULL;
	char *out = quoted;

	if (!quoted)
		return NULL;
	*out++ = '"';
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			*out++ = '\\';
		if (c < 0x20)
			out += snprintf(out, 7, "\\u%04x", c);
		else
			*out++ = *text;
	}
	*out++ = '"';
	*out = '\0';
	return quoted;
}

/* A notification, or a request whose answer is nobody's business. */
static int about_step(struct runbuild_client *client, bool notify, const char *method,
		      const char *step, const char *rest)
{
	uint64_t id = notify ? 0 : FIRST_OWN_ID + client->last_own_id++;
	char *quoted = runbuild_quote(step);
	char *params = NULL;
	int r = -ENOMEM;

	if (quoted && asprintf(&params, "{\"step\":%s%s}", quoted, rest) >= 0)
		r = message_send(client, id, method, params, NULL, 0);
	free(quoted);
	free(params);
	return r;
}

int runbuild_client_signal(struct runbuild_client *client, const char *step, const char *name)
{
	char rest[64];

	snprintf(rest, sizeof(rest), ",\"signal\":\"%.20s\"", name);
	return about_step(client, false, "step.signal", step, rest);
}

int runbuild_client_cancel(struct runbuild_client *client, const char *step, unsigned grace_ms)
{
	char rest[64];

	snprintf(rest, sizeof(rest), ",\"graceMs\":%u", grace_ms);
	return about_step(client, false, "step.cancel", step, rest);
}

int runbuild_client_resize(struct runbuild_client *client, const char *step, unsigned rows,
			   unsigned columns)
{
	char rest[64];

	snprintf(rest, sizeof(rest), ",\"rows\":%u,\"cols\":%u", rows, columns);
	return about_step(client, true, "step.resize", step, rest);
}

static char *base64(const unsigned char *s, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *text = malloc(len / 3 * 4 + 5);
	char *out = text;

	for (size_t i = 0; text && i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		unsigned value = (unsigned)s[i] << 16 | (n > 1 ? (unsigned)s[i + 1] << 8 : 0) |
				 (n > 2 ? s[i + 2] : 0);

		*out++ = digits[value >> 18];
		*out++ = digits[value >> 12 & 63];
		*out++ = n > 1 ? digits[value >> 6 & 63] : '=';
		*out++ = n > 2 ? digits[value & 63] : '=';
	}
	if (text)
		*out = '\0';
	return text;
}

int runbuild_client_input(struct runbuild_client *client, const char *step, uint64_t off,
			  const void *data, size_t len, int eof)
{
	char *encoded = base64(data, len);
	char *rest = NULL;
	int r = -ENOMEM;

	if (encoded && asprintf(&rest, ",\"off\":%llu,\"data\":\"%s\",\"eof\":%s",
				(unsigned long long)off, encoded, eof ? "true" : "false") >= 0)
		r = about_step(client, true, "step.stdin", step, rest);
	free(encoded);
	free(rest);
	return r;
}

/* Reads what is there. 1: something came, 0: nothing yet, -ECONNRESET: the end. */
static int receive(struct runbuild_client *client)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * MAX_FDS)];
	} control;
	struct iovec iov;
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t got;

	if (client->size - client->len < 65536) {
		char *larger = client->size < MAX_LINE
				       ? realloc(client->input, client->size * 2 + 131072)
				       : NULL;

		if (!larger)
			return -ENOMEM;
		client->input = larger;
		client->size = client->size * 2 + 131072;
	}
	iov = (struct iovec){client->input + client->len, client->size - client->len};
	got = recvmsg(client->sock, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0)
		return -ECONNRESET;
	client->len += (size_t)got;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&message); h; h = CMSG_NXTHDR(&message, h))
		for (size_t i = 0; i < (h->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
			if (client->n_fds < MAX_FDS)
				client->fds[client->n_fds++] = fd;
			else
				close(fd);
		}
	return 1;
}

/* Strings of one message share one buffer, as long as the line. */
static const char *take_string(struct scan value, char **at, size_t *ret_len)
{
	char *begin = *at;
	size_t len;

	if (!scan_is_string(value))
		return NULL;
	len = scan_string(value, begin);
	*at += len + 1;
	if (ret_len)
		*ret_len = len;
	return begin;
}

static size_t decode_base64(char *text, size_t len)
{
	size_t used = 0;
	unsigned value = 0;
	int bits = 0;

	for (size_t i = 0; i < len && text[i] != '='; i++) {
		char c = text[i];
		int digit = c >= 'A' && c <= 'Z'   ? c - 'A'
			    : c >= 'a' && c <= 'z' ? c - 'a' + 26
			    : c >= '0' && c <= '9' ? c - '0' + 52
			    : c == '+'             ? 62
						   : 63;

		value = (value << 6 | (unsigned)digit) & 0xffffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			text[used++] = (char)(value >> bits & 0xff);
		}
	}
	return used;
}

/* Members of a line, and of the "params" of a notification. */
enum line_member {
	LINE_ID,
	LINE_METHOD,
	LINE_FDS,
	LINE_PARAMS,
	LINE_ERROR,
	LINE_RESULT,
	LINE_MEMBERS
};
static const char *const line_members[] = {"id", "method", "fds", "params", "error", "result"};
enum param { PARAM_STEP, PARAM_FD, PARAM_PID, PARAM_OFF, PARAM_TEXT, PARAM_DATA, PARAMS };
static const char *const param_names[] = {"step", "fd", "pid", "off", "text", "data"};

static void note_output(struct runbuild_client *client, const struct scan params[],
			struct runbuild_message *message, char **at)
{
	bool is_text = scan_is_string(params[PARAM_TEXT]);
	uint64_t off = 0;

	message->data = take_string(params[is_text ? PARAM_TEXT : PARAM_DATA], at, &message->len);
	if (message->data && !is_text)
		message->len = decode_base64((char *)message->data, message->len);
	(void)scan_number(params[PARAM_OFF], &off);
	client->ack_step = message->step ? strdup(message->step) : NULL;
	client->ack_stream = message->stream;
	client->ack_off = off + message->len;
}

static const struct {
	const char *method;
	enum runbuild_kind kind;
} notifications[] = {
	{"step.started", RUNBUILD_STARTED}, {"step.output", RUNBUILD_OUTPUT},
	{"step.eof", RUNBUILD_EOF},         {"step.exited", RUNBUILD_EXITED},
	{"step.warn", RUNBUILD_WARNING},
};

static void read_notification(struct runbuild_client *client, const struct scan line[],
			      struct runbuild_message *message, char **at)
{
	const char *method = take_string(line[LINE_METHOD], at, NULL);
	struct scan params[PARAMS];
	uint64_t number;

	(void)scan_members(line[LINE_PARAMS], param_names, PARAMS, params);
	message->kind = RUNBUILD_OTHER;
	for (size_t i = 0; method && i < sizeof(notifications) / sizeof(notifications[0]); i++)
		if (strcmp(method, notifications[i].method) == 0)
			message->kind = notifications[i].kind;
	message->step = take_string(params[PARAM_STEP], at, NULL);
	if (scan_number(params[PARAM_FD], &number))
		message->stream = (int)number;
	if (scan_number(params[PARAM_PID], &number))
		message->pid = (int)number;
	if (message->kind == RUNBUILD_OUTPUT)
		note_output(client, params, message, at);
	if (message->kind == RUNBUILD_STARTED && scan_number(line[LINE_FDS], &number) &&
	    number == 1 && client->n_fds > 0) {
		message->pidfd = client->fds[0];
		memmove(client->fds, client->fds + 1, --client->n_fds * sizeof(int));
	}
}

static void read_status(struct scan object, struct runbuild_message *message, char **at)
{
	uint64_t number;

	if (scan_number(scan_member(object, "code"), &number))
		message->code = (int)number;
	message->signal = take_string(scan_member(object, "signal"), at, NULL);
}

/* One line into *message. 1, or -EPROTO. */
static int read_message(struct runbuild_client *client, size_t len,
			struct runbuild_message *message)
{
	struct scan root = {client->input, client->input + len};
	struct scan line[LINE_MEMBERS];
	bool good = scan_members(root, line_members, LINE_MEMBERS, line);
	struct scan error = line[LINE_ERROR];
	struct scan object = error.begin ? error : line[LINE_RESULT];
	bool answer = object.begin != NULL;
	char *at;

	*message = (struct runbuild_message){.code = -1, .pidfd = -1};
	free(client->text);
	/* no string is longer decoded than written, and the object is copied once */
	client->text = malloc(2 * len + 64);
	if (!good || !client->text)
		return client->text ? -EPROTO : -ENOMEM;
	at = client->text;
	if (!answer)
		object = line[LINE_PARAMS];
	if (object.begin) {
		message->result = at;
		memcpy(at, object.begin, (size_t)(object.end - object.begin));
		at += object.end - object.begin;
		*at++ = '\0';
	}
	(void)scan_number(line[LINE_ID], &message->id);
	if (!answer) {
		read_notification(client, line, message, &at);
		if (message->kind == RUNBUILD_EXITED)
			read_status(object, message, &at);
		return 1;
	}
	message->kind = error.begin ? RUNBUILD_ERROR : RUNBUILD_ANSWER;
	if (error.begin) {
		struct scan data = scan_member(error, "data");

		message->error_text = take_string(scan_member(error, "message"), &at, NULL);
		message->error_kind = take_string(scan_member(data, "kind"), &at, NULL);
	} else {
		message->step = take_string(scan_member(object, "step"), &at, NULL);
		read_status(object, message, &at);
	}
	return 1;
}

/* The message before is the caller's no longer: its bytes go, and its output is acknowledged. */
static int finish_last(struct runbuild_client *client)
{
	char rest[96];
	int r = 0;

	if (client->taken > 0) { /* before the first message there is no buffer at all */
		client->len -= client->taken;
		memmove(client->input, client->input + client->taken, client->len);
		client->taken = 0;
	}
	if (client->ack_step) {
		snprintf(rest, sizeof(rest), ",\"fd\":%d,\"off\":%llu", client->ack_stream,
			 (unsigned long long)client->ack_off);
		r = about_step(client, true, "step.ack", client->ack_step, rest);
		free(client->ack_step);
		client->ack_step = NULL;
	}
	return r;
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool is_own(const struct runbuild_message *message)
{
	return message->kind == RUNBUILD_ANSWER && message->id >= FIRST_OWN_ID;
}

int runbuild_client_next(struct runbuild_client *client, int timeout_ms,
			 struct runbuild_message *ret_message)
{
	long deadline = timeout_ms > 0 ? now_ms() + timeout_ms : 0;
	int r;

	for (;;) {
		char *end;
		struct pollfd fd = {.fd = client->sock, .events = runbuild_client_events(client)};
		long left = timeout_ms > 0 ? deadline - now_ms() : timeout_ms;

		if ((r = finish_last(client)) < 0 || (r = flush(client)) < 0)
			return r;
		end = client->len ? memchr(client->input, '\n', client->len) : NULL;
		if (end) {
			client->taken = (size_t)(end - client->input) + 1;
			r = read_message(client, client->taken - 1, ret_message);
			if (r < 0 || !is_own(ret_message))
				return r;
			continue;
		}
		r = receive(client);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		if (timeout_ms == 0 || (timeout_ms > 0 && left <= 0))
			return 0;
		fd.events = runbuild_client_events(client);
		if (poll(&fd, 1, (int)left) < 0 && errno != EINTR)
			return -errno;
	}
}

static int hello(struct runbuild_client *client)
{
	struct runbuild_message message;
	int r = runbuild_client_request(client, "hello",
					"{\"versions\":[1],\"client\":\"librunbuild-client\","
					"\"want\":[\"io.fds\"]}",
					NULL, 0, NULL);

	if (r >= 0)
		r = runbuild_client_next(client, 30000, &message);
	if (r == 0)
		return -ETIMEDOUT;
	if (r < 0 || message.kind != RUNBUILD_ANSWER || !message.result)
		return r < 0 ? r : -EPROTO;
	client->info = strdup(message.result);
	return client->info ? 0 : -ENOMEM;
}

static int client_new(int sock, pid_t pid, struct runbuild_client **ret_client)
{
	struct runbuild_client *client = calloc(1, sizeof(*client));
	int r;

	if (!client) {
		close(sock);
		return -ENOMEM;
	}
	client->sock = sock;
	client->pid = pid;
	r = hello(client);
	if (r < 0)
		runbuild_client_close(client);
	else
		*ret_client = client;
	return r;
}

int runbuild_client_spawn(const char *program, struct runbuild_client **ret_client)
{
	/* posix_spawn's dup2 makes 3 of it, without close-on-exec, whatever it was */
	char *const argv[] = {(char *)"runbuild", (char *)"worker", (char *)"--fd", (char *)"3",
			      NULL};
	posix_spawn_file_actions_t actions;
	int pair[2];
	pid_t pid;
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	r = posix_spawn_file_actions_init(&actions);
	if (r == 0) {
		r = posix_spawn_file_actions_adddup2(&actions, pair[1], 3);
		if (r == 0)
			r = posix_spawn(&pid, program, &actions, NULL, argv, environ);
		posix_spawn_file_actions_destroy(&actions);
	}
	close(pair[1]);
	if (r != 0) {
		close(pair[0]);
		return -r;
	}
	return client_new(pair[0], pid, ret_client);
}

int runbuild_client_connect(const char *path, struct runbuild_client **ret_client)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	if (sock < 0)
		return -errno;
	if (strlen(path) >= sizeof(address.sun_path)) {
		close(sock);
		return -ENAMETOOLONG;
	}
	memcpy(address.sun_path, path, strlen(path));
	if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0) {
		r = -errno;
		close(sock);
		return r;
	}
	return client_new(sock, 0, ret_client);
}

void runbuild_client_close(struct runbuild_client *client)
{
	if (!client)
		return;
	close(client->sock);
	while (client->pid > 0 && waitpid(client->pid, NULL, 0) < 0 && errno == EINTR)
		;
	while (client->first) {
		struct packet *next = client->first->next;

		packet_free(client->first);
		client->first = next;
	}
	for (size_t i = 0; i < client->n_fds; i++)
		close(client->fds[i]);
	free(client->ack_step);
	free(client->input);
	free(client->text);
	free(client->info);
	free(client);
}
