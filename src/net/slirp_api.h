/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Requests to a slirp4netns that has an API socket: slirp4netns(1). */
#include "base/json.h"
#include "base/strbuf.h"
#include "net/port.h"

/*
 * Sends a request to the socket `name` in the directory dir; *ret_sock, which blocks, gets the
 * answer and then its end of file. -errno.
 */
int slirp_api_ask(int dir, const char *name, const struct strbuf *request, int *ret_sock);

/* The member "return" of an answer, which may be missing. Errors: RB_PORT with its complaint. */
int slirp_api_result(struct arena *arena, const char *reply, size_t len,
		     const struct json_node **ret_result, struct rb_err *err);

/* Words the errno of a request that was not answered. Returns it. */
int slirp_api_failed(int rc, struct rb_err *err);

/* The request for a port; guest, host byte order, is where it leads without an address. */
void slirp_api_add_port(struct strbuf *request, const struct port_spec *spec, uint32_t guest);
