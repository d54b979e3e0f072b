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
};

/* A step's description, an object, as it is recorded or replayed. */
void record_describe(const struct json_node *step, const struct record_rewrite *rewrite,
		     struct strbuf *out);

/* Writes what `replay` needs. *ret_id, in the arena, names it. Errors: RB_RECORD. */
int record_write(struct arena *arena, const struct json_node *step, bool keep_env,
		 const struct job *job, const char **ret_id, struct rb_err *err);

/* $XDG_STATE_HOME/runbuild/records, made if it is not there: a descriptor. Errors: RB_RECORD. */
int records_open(struct arena *arena, const char **ret_path, struct rb_err *err);
int record_error(struct rb_err *err, int errnum, const char *what, const char *name);
