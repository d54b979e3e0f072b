/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Joining a running launcher. */
#include "base/arena.h"
#include "base/err.h"

/*
 * Runs the command as root inside the launcher whose state directory it is (NULL:
 * $ROOTLESSKIT_STATE_DIR, else the only temporary one that runs): its namespaces, ids and
 * environment, and the caller's working directory where it exists there. Returns the exit status
 * (128 + N, 126, 127 as rootless_run() does). Errors: RB_LAUNCHER_NONE, RB_NAMESPACE.
 */
int enter_run(struct arena *arena, const char *state_dir, char *const *command, struct rb_err *err);
