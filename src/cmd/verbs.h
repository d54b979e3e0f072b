/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
struct verb;
extern const struct verb verb_run, verb_create, verb_start, verb_state, verb_kill, verb_delete,
	verb_exec, verb_features, verb_spec, verb_explain, verb_rootless;
