/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A client of the runbuild worker: runbuild-protocol(7), librunbuild-client(3).
 *
 *	struct runbuild_client *client;
 *	struct runbuild_message message;
 *	uint64_t run;
 *
 *	runbuild_client_spawn("runbuild", &client);
 *	runbuild_client_request(client, "step.run",
 *		"{\"step\":\"a\",\"process\":{\"args\":[\"make\"]},\"rootfs\":{\"path\":\"/srv\"}}",
 *		NULL, 0, &run);
 *	while (runbuild_client_next(client, -1, &message) > 0) {
 *		if (message.kind == RUNBUILD_OUTPUT)
 *			fwrite(message.data, 1, message.len, stdout);
 *		if (message.id == run)
 *			break;
 *	}
 *	runbuild_client_close(client);
 *
 * No threads, no signals, no globals, no dependency but libc. A client belongs to one thread at a
 * time. Functions return >= 0, or -errno. -ECONNRESET: the worker is gone, and with it every step;
 * each open request counts as answered with the kind "worker-lost".
 */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct runbuild_client;

/*
 * Starts a worker on a socket pair, or connects to that of `runbuild worker --listen`, and says
 * hello. program is a path. The client is the caller's to close.
 */
int runbuild_client_spawn(const char *program, struct runbuild_client **ret_client);
int runbuild_client_connect(const char *path, struct runbuild_client **ret_client);

/* Ends the connection, and with it every step of it; waits for a worker that was spawned. */
void runbuild_client_close(struct runbuild_client *client);

/* The answer to hello, as JSON: features, limits, ids. Valid until close. */
const char *runbuild_client_info(const struct runbuild_client *client);

/* For a poll loop of one's own: the descriptor, and the events of poll(2) to wait for now. */
int runbuild_client_fd(const struct runbuild_client *client);
short runbuild_client_events(const struct runbuild_client *client);

/*
 * Queues a request with params as JSON (NULL: none) and sends what can be sent without waiting.
 * The fds are duplicated: they stay the caller's. *ret_id may be NULL. -E2BIG: more than 16.
 */
int runbuild_client_request(struct runbuild_client *client, const char *method, const char *params,
			    const int *fds, size_t n_fds, uint64_t *ret_id);

enum runbuild_kind {
	RUNBUILD_ANSWER, /* to the request `id`: result, as JSON */
	RUNBUILD_ERROR,  /* to the request `id`: error_kind, error_text, result has the rest */
	RUNBUILD_STARTED,
	RUNBUILD_OUTPUT, /* stream, data, len */
	RUNBUILD_EOF,    /* stream */
	RUNBUILD_EXITED, /* code, or signal */
	RUNBUILD_WARNING,
	RUNBUILD_OTHER,
};

struct runbuild_message {
	enum runbuild_kind kind;
	uint64_t id;      /* of the request; 0: a notification */
	const char *step; /* or NULL */
	int stream;       /* 1 or 2 */
	const char *data; /* raw bytes */
	size_t len;
	int code;           /* exit status, -1 when a signal ended it */
	const char *signal; /* "KILL", or NULL */
	int pid, pidfd;     /* of RUNBUILD_STARTED; pidfd is the caller's to close, -1 without */
	const char *result; /* the "result", "error" or "params" object as JSON */
	const char *error_kind, *error_text;
};

/*
 * The next message. 1: *ret_message is filled, and valid until the next call; 0: none within
 * timeout_ms (-1: waits for ever, 0: not at all). Output is acknowledged by the call after it.
 */
int runbuild_client_next(struct runbuild_client *client, int timeout_ms,
			 struct runbuild_message *ret_message);

/* The usual requests about a running step. name is a signal without SIG. */
int runbuild_client_signal(struct runbuild_client *client, const char *step, const char *name);
int runbuild_client_cancel(struct runbuild_client *client, const char *step, unsigned grace_ms);
int runbuild_client_resize(struct runbuild_client *client, const char *step, unsigned rows,
			   unsigned columns);

/* Input for a step with io.stdin; off is the number of bytes sent before. len 0 and eof 1: the end. */
int runbuild_client_input(struct runbuild_client *client, const char *step, uint64_t off,
			  const void *data, size_t len, int eof);

/* A JSON string with its quotes, for building params; to be freed. NULL: no memory, or not UTF-8. */
char *runbuild_quote(const char *text);

#ifdef __cplusplus
}
#endif
