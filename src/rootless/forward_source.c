/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the forwarder's loop, and those that it calls, know a source by: whether epoll(7) watches it,
 * and what is freed after the round. Runs in the forwarder.
 */
#include <sys/epoll.h>
#include "rootless/forward_private.h"

int loop_want(struct loop *loop, struct source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};
	int op = source->wanted == 0 ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;

	if (events == source->wanted)
		return 0;
	if (epoll_ctl(loop->epoll, op, source->fd, &event) < 0)
		return -errno;
	source->wanted = events;
	return 0;
}

void loop_close(struct loop *loop, struct source *source)
{
	if (source->fd >= 0)
		(void)loop_want(loop, source, 0);
	fd_close(&source->fd);
}

void loop_free(struct loop *loop, struct garbage *garbage)
{
	garbage->next = loop->garbage;
	loop->garbage = garbage;
}

void loop_resume(struct loop *loop)
{
	for (struct listener *at = loop->listeners; loop->full && at; at = at->next)
		(void)loop_want(loop, &at->source, EPOLLIN);
	loop->full = false;
}
