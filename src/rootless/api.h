/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * RootlessKit's REST interface on api.sock: GET /v1/info, GET and POST /v1/ports, DELETE
 * /v1/ports/ID. Served from the parent's poll loop; nothing here blocks.
 */
#include <poll.h>
#include "base/arena.h"
#include "rootless/net.h"

struct api_client {
	int fd; /* -1: free */
	size_t len;
	char text[LIMIT_API_BYTES + 1];
};

struct api {
	int listener;               /* -1: not served */
	struct api_client *clients; /* LIMIT_API_CLIENTS of them */
	struct net *net;
	const char *state_dir;
	pid_t child;
};

enum { API_FDS = 1 + LIMIT_API_CLIENTS };

/* api.sock in the directory dir; mode 0600. Errors: RB_STATE_DIR. */
int api_open(struct api *api, struct arena *arena, int dir, struct rb_err *err);
void api_close(struct api *api);

/* Fills API_FDS entries for poll(2), and acts on what it has found. */
void api_poll_set(const struct api *api, struct pollfd *fds);
void api_poll_act(struct api *api, const struct pollfd *fds);
