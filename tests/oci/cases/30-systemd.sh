# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of the suite
#
# The systemd manager: the helper against a stand-in for the other end, and what is
# said where there is none. With a real systemd: tests/vm.

# speak RESULT WORD…: calls the helper while the stand-in answers with RESULT.
speak() {
	local result=$1

	shift
	[[ -x $helper ]] || skip "no $helper"
	rm -f "$bundle/bus"
	: >"$bundle/agent" # an earlier one's word would be taken for this one's
	python3 "$here/agent.py" systemd "$bundle/bus" "$result" >"$bundle/agent" 2>&1 &
	await 10 grep -q listening "$bundle/agent"
	capture "$helper" "$bundle/bus" "$@"
	wait $! || fail "$(<"$bundle/agent")"
}

test_scope_is_asked_for_with_its_limits() {
	new_bundle scope
	speak 'done' start x-y.scope machine.slice 1 MemoryMax=t:4096 AllowedCPUs=ay:01
	output_is ''
	same 'what was asked' $'listening\nstart\nSlice PIDs Delegate MemoryMax AllowedCPUs CollectMode\nx-y.scope' "$(<"$bundle/agent")"
	speak 'done' start x-y.scope machine.slice 1 "Slice=v:'other'" 'MemoryMax=v:uint64 5' "AllowedCPUs=v:[byte 1, 2]"
	output_is ''
	speak 'done' set x-y.scope MemoryMax=t:8192
	output_is ''
	contains "$bundle/agent" set MemoryMax x-y.scope
}

test_value_of_an_annotation_that_is_none_is_refused() {
	new_bundle badproperty
	edit_config '.linux.cgroupsPath = "machine.slice:x:y" | .annotations = {"org.systemd.property.StopSec": "soon"}'
	capture runtime --systemd-cgroup create --bundle "$bundle" badproperty
	refused 1 'org.systemd.property.StopSec=soon: a word that is no value' '(at /annotations/org.systemd.property.StopSec)'
	edit_config '.annotations = {"org.systemd.property.Kill-Mode": "5"}'
	capture runtime --systemd-cgroup create --bundle "$bundle" badproperty
	refused 1 'letters only' '(at /annotations/org.systemd.property.Kill-Mode)' RB0106
	same 'nothing is left' '' "$(runtime list -q)"
}

test_refusal_of_the_manager_is_passed_on() {
	new_bundle refusal
	speak refused start x-y.scope machine.slice 1
	refused 1 'Unit x-y.scope already exists.' UnitExists
	speak failed start x-y.scope machine.slice 1
	refused 1 'the job for the scope ended with: failed'
}

test_manager_that_is_not_there_is_said() {
	[[ ! -S /run/systemd/private || $caller == user ]] || skip 'there is a systemd'
	new_bundle nosystemd
	edit_config '.linux.cgroupsPath = "machine.slice:x:y"'
	capture env RUNBUILD_LIBEXECDIR="${helper%/*}" "$runbuild" --root "$state_root" --systemd-cgroup create --bundle "$bundle" nosystemd
	refused 1 'unable to apply cgroup configuration: systemd'
	edit_config '.linux.cgroupsPath = "/a/path"'
	capture runtime --cgroup-manager=systemd create --bundle "$bundle" nosystemd
	refused 1 'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups'
	capture runtime --cgroup-manager=other create --bundle "$bundle" nosystemd
	refused 1 "--cgroup-manager: 'other' is not cgroupfs, systemd or disabled"
	same 'nothing is left' '' "$(runtime list -q)"
}
