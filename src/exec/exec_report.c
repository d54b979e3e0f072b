/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the child says to its parent, and what it hears: the records of handshake.h, and its last
 * word when an op has failed. Runs on either side of the socket; in the child it must not
 * allocate or print, as all of exec/.
 */
#include "exec/ops.h"

/* One record, with fd attached unless it is negative. */
int handshake_send(int sock, struct handshake *record, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = record, .iov_len = sizeof(*record)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t r;

	record->magic = HANDSHAKE_MAGIC;
	record->version = HANDSHAKE_VERSION;
	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(sizeof(int));
	}
	do
		r = sys_result(syscall(SYS_sendmsg, sock, &message, MSG_NOSIGNAL));
	while (r == -EINTR);
	return r < 0 ? (int)r : 0;
}

/* One record without a descriptor. -EPIPE: the other side is gone. */
int handshake_receive(int sock, struct handshake *record)
{
	ssize_t r;

	do
		r = sys_read(sock, record, sizeof(*record));
	while (r == -EINTR);
	if (r < 0)
		return (int)r;
	if (r == 0)
		return -EPIPE;
	if ((size_t)r != sizeof(*record) || record->magic != HANDSHAKE_MAGIC ||
	    record->version != HANDSHAKE_VERSION)
		return -EPROTO;
	return 0;
}

static void copy_cut(char *to, size_t size, const char *from)
{
	size_t len = strlen(from);

	if (len >= size)
		len = size - 1;
	memcpy(to, from, len);
	to[len] = '\0';
}

void exec_fail(struct exec_child *child, const struct plan_op *op, int errnum, int status)
{
	struct handshake record = {
		.type = HS_FAIL,
		.op = (uint32_t)(op - plan_child_ops(child->plan)),
		.kind = op->kind,
		.errnum = errnum,
		.status = status,
	};

	copy_cut(record.detail, sizeof(record.detail),
		 op->kind == OP_EXEC || op->kind == OP_FIND_PROGRAM ? child->argv[0]
								    : op_str(child, op, 0));
	copy_cut(record.origin, sizeof(record.origin), plan_str(child->plan, op->origin));
	/* nobody left to tell: the exit status has to do */
	(void)handshake_send(child->sock, &record, -1);
	sys_exit(op->kind != OP_EXEC && op->kind != OP_FIND_PROGRAM ? 125
		 : errnum == ENOENT                                 ? 127
								    : 126);
}
