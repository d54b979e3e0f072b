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

int fd_message_receive(int sock, void *data, size_t len, int *ret_fd)
{
	union pass_control control = {.bytes = {0}};
	struct iovec iov = {.iov_base = data, .iov_len = len};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	int fd = -1;
	ssize_t r;

	do
		r = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		return r < 0 ? -errno : -EPIPE;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	if ((size_t)r != len || (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC))) {
		fd_close(&fd);
		return -EPROTO;
	}
	*ret_fd = fd;
	return 0;
}
