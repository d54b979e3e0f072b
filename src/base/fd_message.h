/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Messages with descriptors over a SOCK_SEQPACKET connection: unix(7) SCM_RIGHTS. */
#include "base/base.h"

enum { LIMIT_MESSAGE_MANY = 8 }; /* descriptors of one message */

/* fd is borrowed, -1: none. -errno. */
int fd_message_send(int sock, const void *data, size_t len, int fd);

/* The same with n <= LIMIT_MESSAGE_MANY descriptors. */
int fd_message_send_many(int sock, const void *data, size_t len, const int *fds, size_t n);

/*
 * A message of at most size bytes; flags are those of recvmsg(2). Its length; 0: the other side is
 * gone; -EPROTO: it was longer, or brought more than one descriptor. *ret_fd is -1 without one.
 */
ssize_t fd_message_take(int sock, void *data, size_t size, int flags, int *ret_fd);

/*
 * The same with up to LIMIT_MESSAGE_MANY descriptors, *ret_n of them. -EPROTO also when one found
 * no room among ours: then none is left open, and the data are in place.
 */
ssize_t fd_message_take_many(int sock, void *data, size_t size, int flags,
			     int ret_fds[LIMIT_MESSAGE_MANY], size_t *ret_n);

/*
 * A message of exactly len bytes; *ret_fd is -1 without a descriptor. -EPIPE: the other side is
 * gone; -EPROTO: another message.
 */
int fd_message_receive(int sock, void *data, size_t len, int *ret_fd);
