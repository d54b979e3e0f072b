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

# Others may run steps of their own meanwhile: only those are told whose process is gone.
groups_of_dead_steps() {
	local path

	find /sys/fs/cgroup -type d -name 'runbuild-step-*' 2>/dev/null | while read -r path; do
		[[ -e /proc/${path##*-} ]] || printf '%s\n' "$path"
	done
}

test_a_step_that_needs_too_much_memory_is_told() {
	local before

	need_controller memory
	before=$(groups_of_dead_steps)
	capture "$runbuild" step --memory 24m --json --rootfs "$base" -- \
		sh -c 'tail -c 100000000 /dev/zero; echo "tail $?"; exit 4' </dev/null
	same 'output' 'tail 137' "$(<"$bundle/out")"
	same 'the status' 4 "$status"
	same 'killed, by how much' 'true 1 true' "$(tail -n 1 "$bundle/err" |
		jq -r '"\(.oom.killed) \(.oom.count) \(.cgroup.memoryPeak <= 24 * 1024 * 1024)"')"
	same 'groups that are left' "$before" "$(groups_of_dead_steps)"
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

# guards_of PID: those of a process.
guards_of() {
	local pid parent name

	for pid in /proc/[0-9]*; do
		{ read -r _ name parent < <(sed 's/(\(.*\)) ./\1/' "$pid/stat") || continue; } 2>/dev/null
		[[ $name != runbuild-guard || ${parent%% *} != "$1" ]] || printf '%s\n' "${pid##*/}"
	done
}

is_over() {
	[[ ! -e /proc/$1 || $(<"/proc/$1/stat") == *') Z '* ]]
}

# nobody_in GROUP...: no process, in any hierarchy.
nobody_in() {
	local path

	for path in "$@"; do
		[[ -z $(<"$path/cgroup.procs") ]] || return 1
	done
}

# v1 keeps a group busy for an instant after its last process is gone
the_next_step_removes() {
	local path

	"$runbuild" step --quiet --rootfs "$base" -- true || return 1
	for path in "$@"; do
		[[ ! -e $path ]] || return 1
	done
}

test_groups_of_a_step_killed_with_its_guard_are_removed_by_the_next() {
	local step guard before left

	need_controller memory
	before=$(groups_of_dead_steps)
	"$runbuild" step --quiet --memory 64m --rootfs "$base" -- sh -c 'echo up; exec sleep 1000' \
		>"$bundle/up" 2>&1 </dev/null &
	step=$!
	await 20 grep -q up "$bundle/up"
	guard=$(guards_of "$step")
	[[ $guard =~ ^[0-9]+$ ]] || fail "guards: $guard"
	kill -STOP "$guard"
	kill -KILL "$step" "$guard"
	wait "$step" 2>/dev/null || true
	await 20 is_over "$guard"
	mapfile -t left < <(groups_of_dead_steps | grep -vxF -e "${before:-none}" || true)
	((${#left[@]} > 0)) || fail 'no group was left: nothing is tested'
	await 20 nobody_in "${left[@]}"
	await 20 the_next_step_removes "${left[@]}"
	same 'private directories' '' "$(find "$XDG_RUNTIME_DIR" -name '@run-*')"
}

# In a bundle the limit is one of any runtime's.
test_the_limit_of_a_record_holds_in_another_runtime() {
	local id

	need_controller memory
	type -P runc >/dev/null || skip 'runc is not installed'
	capture "$runbuild" step --quiet --memory 24m --record always --rootfs "$base" -- \
		sh -c 'tail -c 100000000 /dev/zero; echo "tail $?"; exit 4' </dev/null
	id=$("$runbuild" records ls | awk '{ print $1 }')
	"$runbuild" records export "$id" "$scratch/s/limited"
	capture runc run --bundle "$scratch/s/limited" "limited-$$" </dev/null
	same 'output' 'tail 137' "$(<"$bundle/out")" || fail "$(cat "$bundle/err")"
	same 'the status' 4 "$status"
}

# crun takes no tree of v1 and v2 together: it gets one of v2 alone.
test_a_bundle_runs_in_crun() {
	local id

	type -P crun >/dev/null || skip 'crun is not installed'
	cgroup2_tree >/dev/null || skip 'there is no cgroup v2 that may be written'
	rm -rf "$HOME/.local/state/runbuild"
	capture "$runbuild" step --quiet --record always --rootfs "$base" -- sh -c 'id -u; hostname; exit 4' </dev/null
	same 'the status' 4 "$status"
	id=$("$runbuild" records ls | awk '{ print $1 }')
	"$runbuild" records export "$id" "$scratch/s/for-crun"
	cp "$bundle/out" "$scratch/s/expected"
	capture in_private_cgroup "runbuild-step-crun-$$" root crun run --bundle "$scratch/s/for-crun" "crun-$$" </dev/null
	same 'the status' 4 "$status" || fail "$(cat "$bundle/err")"
	same 'output' "$(<"$scratch/s/expected")" "$(<"$bundle/out")"
}
