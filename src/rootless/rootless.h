/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The launcher: a user namespace with all of the user's subordinate ids, a mount and a pid
 * namespace, optionally a network of its own, around one command (buildkitd, usually). Two
 * processes of ours: the parent on the host side, and an init inside. The death of either ends
 * the other, the command and every helper.
 */
#include "base/arena.h"
#include "base/err.h"
#include "host/host.h"

enum rootless_net { NET_HOST, NET_NONE, NET_SLIRP4NETNS };

struct rootless_options {
	enum rootless_net net;
	uint32_t mtu;               /* of slirp4netns's interface; 0: 65520 */
	bool allow_host_loopback;   /* let 10.0.2.2 reach the host's 127.0.0.1 */
	const char *const *copy_up; /* absolute directories */
	size_t n_copy_up;
	const char *state_dir; /* absolute, or NULL: a temporary one */
	char *const *command;  /* NULL-terminated */
};

/*
 * Runs the command to its end. Returns its exit status (128 + N for signal N, 127 when it was
 * not found, 126 when it could not be executed), or -errno with *err.
 */
int rootless_run(struct arena *arena, const struct rootless_options *options, struct rb_err *err);

/* subid.c: pure */

/* One range of subordinate ids, with the line it came from. */
struct subid_range {
	uint32_t start, count;
	unsigned line;
};

/*
 * The ranges of one user in the text of /etc/subuid or /etc/subgid: lines by name and by number,
 * sorted, duplicates and overlaps merged, own id left out, adjacent ranges joined. Lines of other
 * users are skipped, malformed or not. file names the file in messages. own_id is the id that is
 * mapped by itself (SUBID_NONE: none). ret_ranges lives in the arena.
 * Errors: RB_SUBID_LINE, RB_SUBID_ROOT. No ranges at all: RB_SUBID_NONE.
 */
#define SUBID_NONE UINT32_MAX
int subid_parse(struct arena *arena, const char *file, const char *text, const char *user,
		uint32_t uid, uint32_t own_id, struct subid_range **ret_ranges, size_t *ret_n,
		struct rb_err *err);

/* The first block of 65536 ids from 100000 on that nobody in the text has. */
uint32_t subid_free_block(const char *text);

/* The lines of an id map: own id as 0, then the ranges from 1 on. NULL: no memory. */
const char *subid_map_text(struct arena *arena, uint32_t own_id, const struct subid_range *ranges,
			   size_t n);
