/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What `restore` shares with `run`: the way from a bundle to a container that is looked after. */
#include "cmd/cmd.h"

struct run_options {
	const char *bundle;
	const char *console_socket;
	const char *pid_file;
	const char *pidfd_socket;
	bool detach;
	bool keep;
	bool no_pivot;
	bool no_mount_fallback;
	bool no_new_keyring;
	uint32_t preserve_fds;
};

struct run_restore {
	/* Once the configuration is read: what criu is asked for. */
	int (*prepare)(void *data, const struct spec *spec, struct launch_restore *ret_restore,
		       struct rb_err *err);
	void *data;
};

struct run_how {
	bool create;                       /* the container waits for `start` */
	const struct run_restore *restore; /* its processes come out of images */
};

/* Returns an exit status, or -errno with *err set. */
int run_main(struct arena *arena, const struct globals *globals, const struct run_options *options,
	     const char *id, const struct run_how *how, struct rb_err *err);
