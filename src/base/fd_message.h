/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One message with at most one descriptor over a SOCK_SEQPACKET connection: unix(7) SCM_RIGHTS. */
#include "base/base.h"

/* fd is borrowed, -1: none. -errno. */
int fd_message_send(int sock, const void *data, size_t len, int fd);

/*
 * A message of at most size bytes; flags are those of recvmsg(2). Its length; 0: the other side is
 * gone; -EPROTO: it was longer, or brought more than one descriptor. *ret_fd is -1 without one.
 */
ssize_t fd_message_take(int sock, void *data, size_t size, int flags, int *ret_fd);

/*
 * A message of exactly len bytes; *ret_fd is -1 without a descriptor. -EPIPE: the other side is
 * gone; -EPROTO: another message.
 */
int fd_message_receive(int sock, void *data, size_t len, int *ret_fd);
