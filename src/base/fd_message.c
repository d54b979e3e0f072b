/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors between processes of ours; fd_message.h. Runs on both sides. Must not wait for a reader. */
#include "base/sys.h"
#include "base/fd_message.h"

union pass_control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int) * LIMIT_MESSAGE_MANY)];
};

int fd_message_send_many(int sock, const void *data, size_t len, const int *fds, size_t n)
{
	union pass_control control = {.bytes = {0}};
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n > 0) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n);
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * n);
	}
	while (sendmsg(sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int fd_message_send(int sock, const void *data, size_t len, int fd)
{
	return fd_message_send_many(sock, data, len, &fd, fd >= 0);
}

ssize_t fd_message_take_many(int sock, void *data, size_t size, int flags,
			     int ret_fds[LIMIT_MESSAGE_MANY], size_t *ret_n)
{
	union pass_control control = {.bytes = {0}};
	struct iovec iov = {.iov_base = data, .iov_len = size};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	const struct cmsghdr *header;
	ssize_t len;

	*ret_n = 0;
	do
		len = recvmsg(sock, &message, MSG_CMSG_CLOEXEC | flags);
	while (len < 0 && errno == EINTR);
	if (len <= 0)
		return len < 0 ? -errno : 0;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		*ret_n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	if (*ret_n > 0)
		memcpy(ret_fds, CMSG_DATA(header), *ret_n * sizeof(int));
	if (!(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return len;
	while (*ret_n > 0)
		close(ret_fds[--*ret_n]);
	return -EPROTO;
}

ssize_t fd_message_take(int sock, void *data, size_t size, int flags, int *ret_fd)
{
	int fds[LIMIT_MESSAGE_MANY];
	size_t n;
	ssize_t len = fd_message_take_many(sock, data, size, flags, fds, &n);

	if (len <= 0)
		return len;
	if (n <= 1) {
		*ret_fd = n ? fds[0] : -1;
		return len;
	}
	while (n > 0)
		close(fds[--n]);
	return -EPROTO;
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
