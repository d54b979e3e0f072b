/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Subordinate ids: subuid(5). subid.c is pure, subid_source.c asks the system. */
#include "base/arena.h"
#include "base/err.h"
#include "host/host.h"

/* One range of subordinate ids, with the line it came from. */
struct subid_range {
	uint32_t start, count;
	unsigned line;
};

/* Where ranges come from: nsswitch.conf(5) decides, or the caller does. */
enum subid_source {
	SUBID_AUTO,    /* dynamic when nsswitch.conf names another database than "files" */
	SUBID_STATIC,  /* /etc/subuid and /etc/subgid */
	SUBID_DYNAMIC, /* getsubids(1), else the files */
};

/*
 * The ranges of one user in the text of /etc/subuid or /etc/subgid: lines by name and by number,
 * sorted, duplicates and overlaps merged, own id left out, adjacent ranges joined. Lines of other
 * users are skipped, malformed or not; one that shares ids with this user's is warned of. file names the file in messages. own_id is the id that is
 * mapped by itself (SUBID_NONE: none). ret_ranges lives in the arena.
 * Errors: RB_SUBID_LINE, RB_SUBID_ROOT. No ranges at all: RB_SUBID_NONE.
 */
#define SUBID_NONE UINT32_MAX
int subid_parse(struct arena *arena, const char *file, const char *text, const char *user,
		uint32_t uid, uint32_t own_id, struct subid_range **ret_ranges, size_t *ret_n,
		struct rb_err *err);

/*
 * The text of such a file for one user, as another database than the files has it. NULL: the
 * files count. gid: what /etc/subgid would say. *ret_from names the database in messages.
 */
const char *subid_ask(struct arena *arena, enum subid_source source, const char *user, bool gid,
		      const char **ret_from);

/* The first block of 65536 ids from 100000 on that nobody in the text has. */
uint32_t subid_free_block(const char *text);

/*
 * What of the ranges exists in the current user namespace, split where two lines of its map meet:
 * a line of a map may not span two lines of the outer one (user_namespaces(7)). *ret_lost counts
 * the ids that do not exist here. NULL: no memory.
 */
struct subid_range *subid_clip(struct arena *arena, const struct subid_range *ranges, size_t *n,
			       const struct host_idmap *outer, uint64_t *ret_lost);

/* The lines of an id map: own id as 0, then the ranges from 1 on. NULL: no memory. */
const char *subid_map_text(struct arena *arena, uint32_t own_id, const struct subid_range *ranges,
			   size_t n);
