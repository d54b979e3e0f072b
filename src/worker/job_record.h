/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What `replay` needs of a step: its description and its result, below the records' directory. */
#include "base/json.h"
#include "worker/job.h"

/* What a replay runs instead, and whether values are kept. */
struct record_rewrite {
	bool keep_env;
	const char *const *args; /* NULL: as recorded */
	bool tty;
	const char *upper, *work; /* NULL: as recorded */
	const char *kept;         /* what the step left, in place of its upper directory; or NULL */
	bool no_timeout;
	const char *net; /* mode of another network; NULL: as recorded */
	bool no_filter;
};

/* A step's description, an object, as it is recorded or replayed. */
void record_describe(const struct json_node *step, const struct record_rewrite *rewrite,
		     struct strbuf *out);

/* Writes what `replay` needs. *ret_id, in the arena, names it. Errors: RB_RECORD. */
int record_write(struct arena *arena, const struct json_node *step, bool keep_env,
		 const struct job *job, const char **ret_id, struct rb_err *err);

/* Names of all records, oldest first; they begin with the time. -errno. */
int record_names(struct arena *arena, int records, char ***ret_names, size_t *ret_n);

/* A record's directory, locked shared (it is used) or alone: an open descriptor, or -errno. */
int record_lock(int records, const char *name, int operation);

/* -EWOULDBLOCK: it is being replayed, or written. */
int record_remove(int records, const char *name);
int record_remove_error(struct rb_err *err, int r, const char *name);

/*
 * Removes the oldest records until at most `keep` are left and these take at most `bytes` on
 * disk. Those that are in use stay. Errors: RB_RECORD.
 */
int records_prune(struct arena *arena, int records, size_t keep, uint64_t bytes,
		  struct rb_err *err);

/*
 * The upper directory is the caller's and the next step may have it: so a copy of it is kept, all
 * of it or nothing. -EFBIG: more than LIMIT_RECORD_UPPER; -EWOULDBLOCK: a step has it.
 */
int record_keep_upper(int record, const char *upper);
const char *record_keep_text(int errnum); /* why not */

#define RECORD_PARTIAL "partial" /* a copy in the making, or of somebody who was killed */
enum { RECORD_DEPTH = 1100 };    /* directories below a record, an upper one's included */

/* $XDG_STATE_HOME/runbuild/records, made if it is not there: a descriptor. Errors: RB_RECORD. */
int records_open(struct arena *arena, const char **ret_path, struct rb_err *err);
int record_error(struct rb_err *err, int errnum, const char *what, const char *name);
