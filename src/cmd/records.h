/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of `records` share. */
#include "base/arena.h"
#include "base/err.h"

/*
 * records_export.c: writes a record as an OCI bundle into a new directory, or nothing. Needs the
 * privilege to mount for layers. Errors: RB_RECORD, RB_SNAP_*, those of a description.
 */
int record_export(struct arena *arena, int records, const char *records_path, const char *id,
		  const char *directory, struct rb_err *err);
