/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A network namespace that is made before the process is there that will use it. The caller stays
 * where it is. It belongs to the caller's user namespace and has its loopback interface up.
 * Returns an open descriptor, which keeps it, or -errno.
 */
int net_namespace_make(void);
