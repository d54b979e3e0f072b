/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One criu(8) and one request to it: `checkpoint` and `restore`. Private to launch/ and cmd/. */
#include "base/err.h"
#include "launch/criu_rpc.h"

struct criu_start {
	const char *path;          /* of the program */
	const char *root;          /* restore: the container's root; NULL for a dump */
	const char *images, *work; /* restore: the directories */
	const int *fds;            /* become 4, 5, ... in criu; at most LIMIT_CRIU_FDS */
	size_t n_fds;
};

struct criu {
	pid_t pid;
	int pidfd;
	int sock;
};

/* Told of what criu does; a descriptor at *fd may be taken. An error makes criu give up. */
struct criu_listener {
	int (*noted)(void *data, const struct criu_reply *reply, int *fd, struct rb_err *err);
	void *data;
	int signals; /* of launch_take_signals(), or -1 */
};

/* Starts criu, which waits for its request. Errors: RB_CRIU. */
int criu_start(const struct criu_start *start, struct criu *ret_criu, struct rb_err *err);

/* A criu with a mount namespace of its own has the directories open itself: where. */
void criu_request_directories(const struct criu_start *start, struct criu_request *request);

/* One request, until criu has ended well. Errors: RB_CRIU, those of the listener. */
int criu_ask(struct criu *criu, const struct criu_request *request,
	     const struct criu_listener *listener, struct rb_err *err);

/* Ends it, whatever it does. May be repeated. */
void criu_end(struct criu *criu);

/* Puts the last error of criu's log in the place of *err; leaves it where there is none. */
void criu_explain(int work, const char *log, struct rb_err *err);
