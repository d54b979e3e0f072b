/* SPDX-License-Identifier: Apache-2.0 */
/* The list of verbs, in the order of the help. */
#include "cmd/cmd.h"
#include "cmd/verbs.h"

const struct verb *const verbs[] = {
	&verb_run,      &verb_create,  &verb_start,  &verb_state,      &verb_kill,
	&verb_delete,   &verb_exec,    &verb_list,   &verb_ps,         &verb_pause,
	&verb_resume,   &verb_update,  &verb_events, &verb_checkpoint, &verb_restore,
	&verb_rootless, &verb_unshare, &verb_enter,  &verb_daemonless, &verb_features,
	&verb_spec,     &verb_explain, &verb_step,   &verb_shell,      &verb_replay,
	&verb_records,  &verb_worker,  &verb_dial,   &verb_schema,     &verb_doctor,
	NULL,
};
