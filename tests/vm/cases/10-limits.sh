# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # scratch, runtime: set by the guest script
#
# The runtime itself on a pure cgroup v2: what is set is what the kernel says,
# is changed by update, is frozen by pause, and is gone after delete.

readonly limits='.linux.cgroupsPath = "/vmtest/limits"
	| .linux.resources = {memory: {limit: 67108864}, pids: {limit: 40},
		cpu: {quota: 25000, period: 50000, shares: 512}}'

test_limits_set_are_limits_read() {
	start_sleeper limits "$limits"
	same 'limits' $'67108864 \n40 \n25000 50000 ' \
		"$(in_group "$(cgroup_of "$(pid_of limits)")" memory.max pids.max cpu.max)"
}

test_update_changes_limits() {
	local group

	group=$(cgroup_of "$(pid_of limits)")
	"$runtime" update --memory 134217728 --pids-limit 50 limits
	same 'after flags' $'134217728 \n50 ' "$(in_group "$group" memory.max pids.max)"
	printf '{"memory":{"limit":100663296}}' | "$runtime" update --resources - limits
	same 'after --resources' $'100663296 ' "$(in_group "$group" memory.max)"
}

test_pause_freezes_and_resume_thaws() {
	local group

	group=$(cgroup_of "$(pid_of limits)")
	"$runtime" pause limits
	same 'status' paused "$("$runtime" state limits | jq -r .status)"
	grep -qx 'frozen 1' "$group/cgroup.events"
	"$runtime" resume limits
	same 'status' running "$("$runtime" state limits | jq -r .status)"
	await 60 grep -qx 'frozen 0' "$group/cgroup.events"
}

test_events_stats_are_the_group_s() {
	local stats

	stats=$("$runtime" events --stats limits)
	same 'type and limit' $'stats\n100663296' "$(jq -r '.type, .data.memory.usage.limit' <<<"$stats")"
	same 'processes' 1 "$(jq -r '.data.pids.current' <<<"$stats")"
}

test_delete_removes_the_group() {
	local group

	group=$(cgroup_of "$(pid_of limits)")
	"$runtime" delete --force limits
	[[ ! -e $group ]] || fail "$group is left"
}

# What BuildKit reads after a step that ran out of memory.
test_memory_events_are_kept_with_keep() {
	local status=0 bundle

	bundle=$(make_bundle oom '.linux.cgroupsPath = "/vmtest/oom"
		| .linux.resources = {memory: {limit: 16777216, swap: 16777216}}' 'tail /dev/zero')
	"$runtime" run --keep --bundle "$bundle" oom </dev/null >/dev/null 2>&1 || status=$?
	same 'status' 137 "$status"
	grep -qE '^oom_kill [1-9]' /sys/fs/cgroup/vmtest/oom/memory.events
	"$runtime" delete oom
	[[ ! -e /sys/fs/cgroup/vmtest/oom ]] || fail 'the group is left'
}

test_systemd_scope_has_the_limits() {
	"$runtime" --systemd-cgroup create --bundle "$(make_bundle scope '.linux.cgroupsPath = "system.slice:vmtest:scope"
		| .linux.resources = {memory: {limit: 67108864}, pids: {limit: 40}}' 'exec sleep 1000')" \
		scope </dev/null >"$scratch/scope.log" 2>&1 || fail "create: $(cat "$scratch/scope.log")"
	"$runtime" start scope
	same 'limits' $'67108864 \n40 ' "$(in_group "$(cgroup_of "$(pid_of scope)")" memory.max pids.max)"
	same 'unit' active "$(systemctl is-active vmtest-scope.scope || true)"
	same 'MemoryMax of the unit' MemoryMax=67108864 "$(systemctl show -p MemoryMax vmtest-scope.scope)"
	"$runtime" delete --force scope
	await 60 scope_is_gone vmtest-scope.scope || fail 'the scope is still active'
}

# Every kind of value, through a real systemd.
test_annotations_are_properties_of_the_scope() {
	"$runtime" --systemd-cgroup create --bundle "$(make_bundle props '.linux.cgroupsPath = "system.slice:vmtest:props"
		| .linux.resources = {pids: {limit: 40}}
		| .annotations = {"org.systemd.property.CollectMode": "\u0027inactive\u0027",
			"org.systemd.property.TimeoutStopSec": "uint64 123",
			"org.systemd.property.RuntimeMaxUSec": "uint64 3600000000",
			"org.systemd.property.MemoryHigh": "uint64 104857600",
			"org.systemd.property.SendSIGHUP": "true",
			"org.systemd.property.KillSignal": "10",
			"org.systemd.property.After": "[\u0027basic.target\u0027, \u0027multi-user.target\u0027]",
			"org.systemd.property.AllowedCPUs": "[byte 1]",
			"org.systemd.property.IOReadBandwidthMax": "[(\u0027/dev/vda\u0027, uint64 1048576)]",
			"org.systemd.property.TasksMax": "uint64 7",
			"org.example": "text"}' 'exec sleep 1000')" \
		props </dev/null >"$scratch/props.log" 2>&1 || fail "create: $(cat "$scratch/props.log")"
	same 'properties' 'CollectMode=inactive
IOReadBandwidthMax=/dev/vda 1048576
KillSignal=10
MemoryHigh=104857600
RuntimeMaxUSec=1h
SendSIGHUP=yes
TasksMax=40
TimeoutStopUSec=2min 3s' "$(systemctl show -p CollectMode -p TimeoutStopUSec -p RuntimeMaxUSec -p MemoryHigh -p SendSIGHUP \
		-p KillSignal -p IOReadBandwidthMax -p TasksMax vmtest-props.scope | sort)"
	systemctl show -p After vmtest-props.scope | grep -w basic.target | grep -qw multi-user.target || fail 'After'
	same 'its files' $'104857600 \n0 ' "$(in_group "$(cgroup_of "$(pid_of props)")" memory.high cpuset.cpus)"
	"$runtime" delete --force props
	await 60 scope_is_gone vmtest-props.scope || fail 'the scope is still active'
}

test_property_that_systemd_does_not_know_is_its_refusal() {
	local status=0

	"$runtime" --systemd-cgroup create --bundle "$(make_bundle noprop '.linux.cgroupsPath = "system.slice:vmtest:noprop"
		| .annotations = {"org.systemd.property.NoSuchThing": "true"}' 'exec sleep 1000')" \
		noprop </dev/null >"$scratch/noprop.log" 2>&1 || status=$?
	same 'status' 1 "$status"
	grep -q 'NoSuchThing.*RB0319' "$scratch/noprop.log" || fail "$(cat "$scratch/noprop.log")"
	same 'nothing is left' '' "$("$runtime" list -q)"
}
