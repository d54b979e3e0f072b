/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The verbs, one file each or a few that belong together; verbs.c lists them. */
struct arena;
struct verb;
extern const struct verb verb_worker, verb_dial, verb_schema;
extern const struct verb verb_step, verb_shell, verb_replay, verb_records;
extern const struct verb verb_run, verb_create, verb_start, verb_state, verb_kill, verb_delete,
	verb_exec, verb_features, verb_spec, verb_explain, verb_rootless, verb_unshare, verb_enter,
	verb_daemonless, verb_rootlesskit, verb_list, verb_ps, verb_pause, verb_resume, verb_update,
	verb_events, verb_checkpoint, verb_restore, verb_doctor;

/* Prepares the words of a command line for RootlessKit's option parser. */
void rootlesskit_words(struct arena *arena, int argc, char **argv);
