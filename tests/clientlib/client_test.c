/* SPDX-License-Identifier: Apache-2.0 */
/*
 * librunbuild-client against a worker: client-test RUNBUILD ROOT. Ends at the first broken rule,
 * with the line that says so. Built with the address and undefined-behaviour sanitizers.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <runbuild-client.h>

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #condition);            \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

enum { DEADLINE_MS = 30000 };

static const char *program, *root;

static struct runbuild_client *spawn(void)
{
	struct runbuild_client *client = NULL;

	CHECK(runbuild_client_spawn(program, &client) == 0 && client);
	CHECK(strstr(runbuild_client_info(client), "\"features\""));
	return client;
}

static uint64_t start(struct runbuild_client *client, const char *name, const char *script,
		      const char *more, const int *fds, size_t n_fds)
{
	char *quoted = runbuild_quote(script);
	char *params;
	uint64_t id = 0;

	CHECK(asprintf(&params,
		       "{\"step\":\"%s\",\"process\":{\"args\":[\"sh\",\"-c\",%s],"
		       "\"env\":[\"PATH=/bin\"]},\"rootfs\":{\"path\":\"%s\"}%s}",
		       name, quoted, root, more) > 0);
	CHECK(runbuild_client_request(client, "step.run", params, fds, n_fds, &id) == 0 && id > 0);
	free(quoted);
	free(params);
	return id;
}

/* The next message, which there has to be. */
static void next(struct runbuild_client *client, struct runbuild_message *ret)
{
	CHECK(runbuild_client_next(client, DEADLINE_MS, ret) > 0);
	if (ret->pidfd >= 0)
		close(ret->pidfd);
}

static struct runbuild_message until(struct runbuild_client *client, enum runbuild_kind kind)
{
	struct runbuild_message message;

	do
		next(client, &message);
	while (message.kind != kind);
	return message;
}

static void messages_come_in_order_and_bytes_are_raw(void)
{
	struct runbuild_client *client = spawn();
	uint64_t id = start(client, "a", "printf 'x\\377\\000\"y'; exit 7", "", NULL, 0);
	struct runbuild_message message;
	char seen[16];
	size_t len = 0;

	next(client, &message);
	CHECK(message.kind == RUNBUILD_STARTED && message.pid > 0 && !strcmp(message.step, "a"));
	for (next(client, &message); message.kind != RUNBUILD_ANSWER; next(client, &message)) {
		if (message.kind != RUNBUILD_OUTPUT)
			continue;
		CHECK(message.stream == 1 && len + message.len <= sizeof(seen));
		memcpy(seen + len, message.data, message.len);
		len += message.len;
	}
	CHECK(len == 5 && !memcmp(seen, "x\377\0\"y", 5));
	CHECK(message.id == id && message.code == 7 && !message.signal);
	runbuild_client_close(client);
}

/* Quotes behind odd and even numbers of backslashes, every kind of escape, a last backslash. */
static void text_is_what_the_step_wrote(void)
{
	static const char text[] =
		"\"\\\"\\\\\"\\\\\\\"x\t\n\r\b\f\x01\x7f\xc3\xa9\xf0\x9f\x98\x80/u0041\\";
	struct runbuild_client *client = spawn();
	struct runbuild_message message;
	char seen[sizeof(text)];
	char script[128];
	size_t len = 0;

	snprintf(script, sizeof(script), "printf %%s '%s'", text);
	(void)start(client, "t", script, "", NULL, 0);
	for (next(client, &message); message.kind != RUNBUILD_ANSWER; next(client, &message)) {
		if (message.kind != RUNBUILD_OUTPUT)
			continue;
		CHECK(len + message.len < sizeof(seen));
		memcpy(seen + len, message.data, message.len);
		len += message.len;
	}
	CHECK(len == sizeof(text) - 1 && !memcmp(seen, text, len));
	runbuild_client_close(client);
}

static void a_foreign_poll_loop_drives_it(void)
{
	struct runbuild_client *client = spawn();
	uint64_t id = start(client, "p", "sleep 0.1; echo late", "", NULL, 0);
	bool answered = false;

	while (!answered) {
		struct pollfd fd = {.fd = runbuild_client_fd(client),
				    .events = runbuild_client_events(client)};
		struct runbuild_message message;
		int r;

		CHECK(poll(&fd, 1, DEADLINE_MS) == 1);
		while (!answered && (r = runbuild_client_next(client, 0, &message)) > 0) {
			if (message.pidfd >= 0)
				close(message.pidfd);
			answered = message.kind == RUNBUILD_ANSWER;
			CHECK(!answered || (message.id == id && message.code == 0));
		}
		CHECK(r >= 0);
	}
	runbuild_client_close(client);
}

static void input_signals_and_cancel_reach_the_step(void)
{
	struct runbuild_client *client = spawn();
	struct runbuild_message message;

	start(client, "i", "cat; trap 'exit 9' USR1; echo up; while :; do sleep 0.01; done",
	      ",\"io\":{\"stdin\":true}", NULL, 0);
	until(client, RUNBUILD_STARTED);
	CHECK(runbuild_client_input(client, "i", 0, "typed\n", 6, 0) == 0);
	message = until(client, RUNBUILD_OUTPUT);
	CHECK(message.len == 6 && !memcmp(message.data, "typed\n", 6));
	CHECK(runbuild_client_input(client, "i", 6, "", 0, 1) == 0);
	until(client, RUNBUILD_OUTPUT);
	CHECK(runbuild_client_signal(client, "i", "USR1") == 0);
	message = until(client, RUNBUILD_EXITED);
	CHECK(message.code == 9);
	start(client, "c", "exec sleep 1000", "", NULL, 0);
	until(client, RUNBUILD_STARTED);
	CHECK(runbuild_client_cancel(client, "c", 0) == 0);
	message = until(client, RUNBUILD_EXITED);
	CHECK(message.code == -1 && !strcmp(message.signal, "KILL"));
	runbuild_client_close(client);
}

/* Also one with an empty result; what the library says by itself shows nowhere. */
static void only_own_requests_are_answered(void)
{
	struct runbuild_client *client = spawn();
	uint64_t id = start(client, "p", "echo last words", "", NULL, 0);
	struct runbuild_message message;
	uint64_t ping = 0;

	do {
		next(client, &message);
		CHECK(message.kind != RUNBUILD_WARNING && message.kind != RUNBUILD_ERROR);
	} while (message.id != id);
	CHECK(runbuild_client_signal(client, "gone", "TERM") == 0);
	CHECK(runbuild_client_request(client, "ping", NULL, NULL, 0, &ping) == 0);
	until(client, RUNBUILD_ERROR); /* of the signal: that was a fault */
	next(client, &message);
	CHECK(message.kind == RUNBUILD_ANSWER && message.id == ping);
	runbuild_client_close(client);
}

/* Collects output until it ends with the text. */
static void read_until(struct runbuild_client *client, const char *text)
{
	char seen[512] = "";
	size_t len = 0;

	while (!strstr(seen, text)) {
		struct runbuild_message message = until(client, RUNBUILD_OUTPUT);

		CHECK(len + message.len < sizeof(seen));
		memcpy(seen + len, message.data, message.len);
		len += message.len;
		seen[len] = '\0';
	}
}

static void a_terminal_can_be_resized(void)
{
	struct runbuild_client *client = spawn();
	char *params;

	CHECK(asprintf(&params,
		       "{\"step\":\"t\",\"process\":{\"args\":[\"sh\",\"-c\",\"stty size; read x; "
		       "stty size\"],\"env\":[\"PATH=/bin\"],\"tty\":true,\"rows\":11,\"cols\":22},"
		       "\"rootfs\":{\"path\":\"%s\"},\"io\":{\"stdin\":true}}",
		       root) > 0);
	CHECK(runbuild_client_request(client, "step.run", params, NULL, 0, NULL) == 0);
	free(params);
	read_until(client, "11 22");
	CHECK(runbuild_client_resize(client, "t", 33, 44) == 0);
	CHECK(runbuild_client_input(client, "t", 0, "\n", 1, 0) == 0);
	read_until(client, "33 44");
	runbuild_client_close(client);
}

static void a_passed_descriptor_is_used(void)
{
	struct runbuild_client *client = spawn();
	struct runbuild_message message;
	char text[8] = "";
	int ends[2];

	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	start(client, "f", "echo piped", ",\"io\":{\"inband\":false,\"fds\":{\"stdout\":0}}",
	      &ends[1], 1);
	close(ends[1]);
	message = until(client, RUNBUILD_ANSWER);
	CHECK(message.code == 0);
	CHECK(read(ends[0], text, sizeof(text)) == 6 && !memcmp(text, "piped\n", 6));
	close(ends[0]);
	runbuild_client_close(client);
}

static void refusals_have_a_kind(void)
{
	struct runbuild_client *client = spawn();
	struct runbuild_message message;
	uint64_t id;

	CHECK(runbuild_client_request(client, "step.run", "{\"step\":\"x\"}", NULL, 0, &id) == 0);
	message = until(client, RUNBUILD_ERROR);
	CHECK(message.id == id && !strcmp(message.error_kind, "invalid-params"));
	runbuild_client_close(client);
}

static void only_utf8_is_quoted(void)
{
	static const char *const bad[] = {"\xff",         "a\xc3",        "\xc0\x80",
					  "\xed\xa0\x80", "\xe0\x80\xaf", "\xf4\x90\x80\x80",
					  "\x80"};
	char *quoted = runbuild_quote("\"\\\n\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");

	CHECK(quoted && !strcmp(quoted, "\"\\\"\\\\\\u000a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""));
	free(quoted);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(runbuild_quote(bad[i]) == NULL);
}

static void a_lost_worker_is_told(void)
{
	struct runbuild_client *client = spawn();
	struct runbuild_message message;
	uint64_t id = start(client, "l", "exec sleep 1000", "", NULL, 0);
	bool lost = false;
	int r;

	until(client, RUNBUILD_STARTED);
	CHECK(runbuild_client_request(client, "shutdown", "{\"mode\":\"now\"}", NULL, 0, NULL) ==
	      0);
	while ((r = runbuild_client_next(client, DEADLINE_MS, &message)) > 0)
		lost |= message.id == id;
	CHECK(r < 0 && lost);
	runbuild_client_close(client);
}

int main(int argc, char **argv)
{
	CHECK(argc == 3);
	program = argv[1];
	root = argv[2];
	messages_come_in_order_and_bytes_are_raw();
	text_is_what_the_step_wrote();
	a_foreign_poll_loop_drives_it();
	input_signals_and_cancel_reach_the_step();
	only_own_requests_are_answered();
	a_terminal_can_be_resized();
	a_passed_descriptor_is_used();
	refusals_have_a_kind();
	only_utf8_is_quoted();
	a_lost_worker_is_told();
	return 0;
}
