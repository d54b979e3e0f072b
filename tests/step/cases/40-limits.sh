# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016,SC2034 # set by the suite and by capture; scripts of steps
#
# Limits of a step, and what is told when one is reached. As root: only root has
# a cgroup everywhere.

bundle=$scratch/s/out

# need_controller NAME: where limits of this kind can be set at all.
need_controller() {
	local words

	if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
		words=$(</sys/fs/cgroup/cgroup.controllers)
		[[ " $words " == *" $1 "* ]] || skip "cgroup v2 has no controller $1 here"
		[[ -w /sys/fs/cgroup/cgroup.subtree_control ]] || skip 'the cgroup file system may not be written'
	else
		[[ -w /sys/fs/cgroup/$1/cgroup.procs ]] || skip "there is no controller $1 that may be written"
	fi
}

groups_of_steps() {
	find /sys/fs/cgroup -type d -name 'run-*-step-*' 2>/dev/null || true
}

test_a_step_that_needs_too_much_memory_is_told() {
	local before

	need_controller memory
	before=$(groups_of_steps)
	capture "$runbuild" step --memory 24m --json --rootfs "$base" -- \
		sh -c 'tail -c 100000000 /dev/zero; echo "tail $?"; exit 4' </dev/null
	same 'output' 'tail 137' "$(<"$bundle/out")"
	same 'the status' 4 "$status"
	same 'killed, by how much' 'true 1 true' "$(tail -n 1 "$bundle/err" |
		jq -r '"\(.oom.killed) \(.oom.count) \(.cgroup.memoryPeak <= 24 * 1024 * 1024)"')"
	same 'groups that are left' "$before" "$(groups_of_steps)"
	capture "$runbuild" step --memory 24m --rootfs "$base" -- sh -c 'tail -c 100000000 /dev/zero; exit 4'
	contains "$bundle/err" 'runbuild: exit 4 in ' '; out of memory: 1 killed)'
}

test_a_step_within_its_limits_is_told_nothing() {
	need_controller memory
	need_controller pids
	capture "$runbuild" step --memory 64m --pids 50 --rootfs "$base" -- sh -c 'head -c 1000000 /dev/zero | wc -c'
	same 'output' 1000000 "$(<"$bundle/out")"
	same 'lines' 1 "$(wc -l <"$bundle/err")"
	[[ $(<"$bundle/err") != *'out of memory'* ]] || fail "$(<"$bundle/err")"
}

test_a_step_with_too_many_processes_cannot_fork() {
	need_controller pids
	capture "$runbuild" step --quiet --pids 5 --rootfs "$base" -- \
		sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo no limit'
	((status != 0)) || fail 'eight processes were there'
	contains "$bundle/err" "can't fork"
	capture "$runbuild" step --quiet --pids 50 --rootfs "$base" -- sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo fits'
	output_is fits
}
