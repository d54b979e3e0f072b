/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors between processes of ours; fd_message.h. Runs on both sides. Must not wait for a reader. */
#include "base/sys.h"
#include "base/fd_message.h"

union pass_control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int fd_message_send(int sock, const void *data, size_t len, int fd)
{
	union pass_control control = {.bytes = {0}};
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	while (sendmsg(sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* The descriptors that came along; a second one is nobody's, and closed. */
static int pass_descriptor(struct msghdr *message, int *ret_fd)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	bool alone = !(message->msg_flags & (MSG_CTRUNC | MSG_TRUNC));
	int fds[2] = {-1, -1};
	size_t n = 0;

	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	/* the alignment of the buffer leaves room for two */
	if (n > ARRAY_LEN(fds))
		n = ARRAY_LEN(fds);
	if (n > 0)
		memcpy(fds, CMSG_DATA(header), n * sizeof(int));
	if (alone && n < 2) {
		*ret_fd = fds[0];
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		fd_close(&fds[i]);
	return -EPROTO;
}

ssize_t fd_message_take(int sock, void *data, size_t size, int flags, int *ret_fd)
{
	union pass_control control = {.bytes = {0}};
	struct iovec iov = {.iov_base = data, .iov_len = size};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t len;
	int r;

	do
		len = recvmsg(sock, &message, MSG_CMSG_CLOEXEC | flags);
	while (len < 0 && errno == EINTR);
	if (len <= 0)
		return len < 0 ? -errno : 0;
	r = pass_descriptor(&message, ret_fd);
	return r < 0 ? r : len;
}

int fd_message_receive(int sock, void *data, size_t len, int *ret_fd)
{
	int fd = -1;
	ssize_t r = fd_message_take(sock, data, len, 0, &fd);

	if (r <= 0)
		return r < 0 ? (int)r : -EPIPE;
	if ((size_t)r != len) {
		fd_close(&fd);
		return -EPROTO;
	}
	*ret_fd = fd;
	return 0;
}
