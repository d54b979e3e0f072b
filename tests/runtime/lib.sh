# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # scratch, mode, suite_id …: set by the suite
#
# What the cases share beside tests/lib: conditions, background containers, leaks.

need_probe() {
	[[ -x $scratch/base/rootfs/bin/probe ]] || skip 'no C compiler that links static programs'
}

# need_mode MODE…: the rule only exists there.
need_mode() {
	[[ " $* " == *" $mode "* ]] || unrelated
}

# The processes of this suite: runtimes whose command line names the scratch
# directory, and whatever runs on a root file system below it.
processes_of_suite() {
	local file pid

	# the pattern does not match itself, so neither grep's own command line
	while IFS= read -r file; do
		pid=${file#/proc/}
		pid=${pid%/*}
		[[ $pid == "$$" || $pid == "$BASHPID" ]] || printf '%s\n' "$pid"
	done < <(grep -laEs "$suite_id/(state|bundles)" /proc/[0-9]*/{cmdline,mountinfo}) | sort -u
}

no_process_of_suite() {
	[[ -z $(processes_of_suite) ]]
}

kill_processes_of_suite() {
	local pid

	for pid in $(processes_of_suite); do
		kill -KILL "$pid" 2>/dev/null || true
	done
}

show_processes() {
	local pid

	while read -r pid; do
		printf '%s: %s %s\n' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline")" \
			"$(grep -E '^(State|PPid|NSpid)' "/proc/$pid/status" | tr '\n\t' '  ')"
	done 2>/dev/null
}

# status_of ID: the status that `state` prints; empty when it cannot.
status_of() {
	runtime state "$1" 2>/dev/null | jq -r .status
}

status_is() {
	[[ $(status_of "$1") == "$2" ]]
}

pid_of() {
	runtime state "$1" | jq -r .pid
}

# start_detached ID [OPTION…]: the bundle's program runs after it. Its output goes
# to $bundle/detached.
start_detached() {
	local id=$1

	shift
	runtime run --detach --bundle "$bundle" "$@" "$id" >"$bundle/detached" 2>&1 </dev/null ||
		fail "run --detach: $(cat "$bundle/detached")"
}

# A container that runs until it is killed.
sleeper() {
	new_bundle "$1"
	set_script 'exec sleep 600'
	start_detached "$1"
}

# A container that has stopped and still has its state.
stopped() {
	new_bundle "$1"
	run_container "$1" --keep
	((status == 0)) || fail "$(cat "$bundle/err")"
}

remove() {
	runtime delete --force "$1" || fail "delete --force $1"
}

# in_container NAME SCRIPT TEXT: a fresh bundle, whose script prints TEXT.
in_container() {
	new_bundle "$1"
	set_script "$2"
	run_container "$1"
	output_is "$3"
}

# refused_at POINTER TEXT…: the bundle is refused as a whole: status 1, one error
# line that names the element, and no state.
refused_at() {
	local pointer=$1

	shift
	run_container refused
	refused 1 "(at $pointer)" "$@" || return 1
	same 'the number of lines on stderr' 1 "$(wc -l <"$bundle/err")" || return 1
	[[ ! -e $state_root/refused ]] || fail 'state is left'
}

file_lines_at_least() {
	[[ -f $1 ]] && (($(wc -l <"$1") >= $2))
}

file_has() {
	grep -qsF -e "$2" "$1"
}

# is_dead PID: no such process, or one that only waits to be reaped.
is_dead() {
	! grep -qsE '^State:[[:space:]]+[^ZX[:space:]]' "/proc/$1/status"
}
