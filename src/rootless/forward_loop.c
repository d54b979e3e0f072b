/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forwarder's event loop. Runs in the forwarder, in the network namespace; the listening
 * sockets it was given are the host's. Level-triggered: a source is known to epoll only while
 * something is wanted of it, so an end that nobody can take yet makes no noise.
 */
#include <sys/epoll.h>
#include "base/fd_message.h"
#include "rootless/forward_private.h"
#include "rootless/net_private.h"

enum { EVENTS = 64, TICK_MS = 1000, UDP_IDLE_MS = 90000, CONNECTION_FDS = 6 };

static void loop_sweep(struct loop *loop)
{
	struct garbage *next;

	for (struct garbage *at = loop->garbage; at; at = next) {
		next = at->next;
		free(at);
	}
	loop->garbage = NULL;
}

static union address target_of(const struct forward_message *request)
{
	union address target = {.six = {.sin6_family = AF_INET6,
					.sin6_port = htons(request->child_port),
					.sin6_addr = request->child}};

	if (!IN6_IS_ADDR_V4MAPPED(&request->child))
		return target;
	target = (union address){
		.four = {.sin_family = AF_INET, .sin_port = htons(request->child_port)}};
	memcpy(&target.four.sin_addr, &request->child.s6_addr[12], sizeof(target.four.sin_addr));
	return target;
}

static int listener_add(struct loop *loop, const struct forward_message *request, int *fd)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	int rc;

	if (!listener || *fd < 0) {
		free(listener);
		return *fd < 0 ? -EPROTO : -ENOMEM;
	}
	*listener = (struct listener){
		.source = {.act = request->udp ? udp_receive : tcp_accept, .fd = *fd},
		.id = request->id,
		.target = target_of(request),
		.next = loop->listeners,
	};
	rc = loop_want(loop, &listener->source, EPOLLIN);
	if (rc < 0) {
		free(listener);
		return rc;
	}
	*fd = -1;
	loop->listeners = listener;
	return 0;
}

static int listener_remove(struct loop *loop, uint32_t id)
{
	for (struct listener **at = &loop->listeners; *at; at = &(*at)->next) {
		struct listener *listener = *at;

		if (listener->id != id)
			continue;
		*at = listener->next;
		udp_expire(loop, listener, INT64_MAX);
		loop_close(loop, &listener->source);
		free(listener->sessions);
		loop_free(loop, &listener->garbage);
		return 0;
	}
	return -ENOENT;
}

/* The parent's requests; its end is ours. */
static void parent_act(struct loop *loop, struct source *source, uint32_t events)
{
	struct forward_message message = {0};
	CLEANUP_FD int fd = -1;
	int rc = fd_message_receive(source->fd, &message, sizeof(message), &fd);

	(void)events;
	if (rc < 0)
		sys_exit(0);
	if (message.type == FORWARD_ADD)
		rc = listener_add(loop, &message, &fd);
	else
		rc = listener_remove(loop, message.id);
	message = (struct forward_message){.type = FORWARD_DONE, .error = rc};
	if (fd_message_send(source->fd, &message, sizeof(message), -1) < 0)
		sys_exit(0);
}

/* Once a second: what could not be accepted is tried again, and what is idle ends. */
static void loop_tick(struct loop *loop, int64_t now)
{
	loop_resume(loop);
	for (struct listener *at = loop->listeners; at; at = at->next)
		udp_expire(loop, at, now - UDP_IDLE_MS);
}

/* As many descriptors as the user may have; the rest waits in the queues of the listeners. */
static size_t most_connections(void)
{
	struct rlimit64 limit = {.rlim_cur = 1024};

	if (sys_prlimit(0, RLIMIT_NOFILE, NULL, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)sys_prlimit(0, RLIMIT_NOFILE, &limit, NULL);
	}
	if (limit.rlim_cur / CONNECTION_FDS > LIMIT_CONNECTIONS)
		return LIMIT_CONNECTIONS;
	return limit.rlim_cur < LIMIT_PORTS + 64 + CONNECTION_FDS
		       ? 1
		       : (limit.rlim_cur - LIMIT_PORTS - 64) / CONNECTION_FDS;
}

void forward_loop(int parent, bool keep_address)
{
	struct loop loop = {
		.epoll = epoll_create1(EPOLL_CLOEXEC),
		.keep_address = keep_address,
		.most_connections = most_connections(),
		.parent = {.act = parent_act, .fd = parent},
	};
	int64_t next = sys_now_ms() + TICK_MS;

	if (loop.epoll < 0 || loop_want(&loop, &loop.parent, EPOLLIN) < 0)
		sys_exit(1);
	for (;;) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(loop.epoll, events, EVENTS, loop.listeners ? TICK_MS : -1);
		int64_t now = sys_now_ms();

		for (int i = 0; i < n; i++) {
			struct source *source = events[i].data.ptr;

			/* an earlier event of this round may have closed it */
			if (source->fd >= 0)
				source->act(&loop, source, events[i].events);
		}
		if (now >= next) {
			loop_tick(&loop, now);
			next = now + TICK_MS;
		}
		loop_sweep(&loop);
	}
}
