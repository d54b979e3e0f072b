/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Starting the program of a network: slirp4netns(1), pasta(1). */
#include "base/sys.h"

struct net_exec {
	const char *path;
	char *const *argv;
	int keep[4];     /* descriptors to pass, -1: none */
	int output;      /* becomes its standard error */
	int dir;         /* its working directory, -1: ours */
	bool same_group; /* it stays in ours */
	int (*prepare)(
		void); /* in the child: a descriptor to send through the gate, a socket pair; or NULL */
	int *gate;     /* pipe(2): it is executed when a byte comes through, never after an end */
};

/*
 * A child with a fixed environment, no descriptor but those that are meant for it, a process group
 * of its own unless told otherwise, and our death signal. Returns its process id, its descriptor in
 * *ret_pidfd; -errno.
 */
int net_spawn(const struct net_exec *exec, int *ret_pidfd);
