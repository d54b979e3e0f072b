/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every stage of a launch needs and none of it owns: a record of the child, and the end of
 * the mapped plan. Runs in the parent.
 */
#include <sys/mman.h>
#include "base/fd_message.h"
#include "launch/launch_private.h"

int launch_receive(int sock, int flags, struct handshake *record, int *ret_fd)
{
	CLEANUP_FD int fd = -1;
	ssize_t r = fd_message_take(sock, record, sizeof(*record), flags, &fd);

	if (r <= 0)
		return (int)r;
	if ((size_t)r != sizeof(*record) || record->magic != HANDSHAKE_MAGIC ||
	    record->version != HANDSHAKE_VERSION)
		return -EPROTO;
	/* texts come from another process: end them here */
	record->detail[sizeof(record->detail) - 1] = '\0';
	record->origin[sizeof(record->origin) - 1] = '\0';
	if (ret_fd)
		*ret_fd = fd_take(&fd);
	return 1;
}

void launch_drop_plan(struct launch *l)
{
	if (l->plan_size)
		munmap((void *)l->plan, l->plan_size);
	l->plan_size = 0;
	l->plan = NULL;
}
