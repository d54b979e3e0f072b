/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which of the proxies in the environment a network of one's own cuts off. Reads names only. */
#include "base/base.h"

/* Is it in 127.0.0.0/8, ::1, or a name for them? */
bool proxy_host_is_loopback(const char *host, size_t len);

/*
 * The first variable that names a proxy on the loopback interface, or NULL. *ret_set: one that is
 * set, or NULL. Values are never handed out: they may hold a password.
 */
const char *proxy_on_loopback(const char **ret_set);
