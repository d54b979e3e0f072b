# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# A launcher in the background, its processes, and helpers in place of the real
# ones.

# start_launcher OPTION…: a launcher in the background whose command writes "up"
# and stays, with a descendant in a session of its own. Sets launcher, inner, state.
start_launcher() {
	: >"$scratch/marker"
	rm -rf "$scratch/home/state"
	state=$scratch/home/state
	launch_into "$state" "$@"
}

launch_into() {
	local state=$1

	shift
	: >"$scratch/launcher.out"
	exec_as_user deaths watch runbuild rootless --state-dir="$state" "$@" -- \
		sh -c 'trap "exit 42" USR1; setsid sleep 1000 & echo up; while :; do wait; done' \
		>"$scratch/launcher.out" 2>"$scratch/launcher.err" 9<"$scratch/marker" &
	watcher=$!
	# end_services ends the tree as well
	[[ -n ${services[*]+set} ]] || trap end_tree EXIT
	await 20 grep -q up "$scratch/launcher.out" || fail "$(cat "$scratch/launcher.err")"
	launcher=$(child_named "$watcher" runbuild)
	inner=$(cat "$state/child_pid")
}

# A test that fails leaves no tree behind: the launcher's death ends it.
end_tree() {
	local pid

	for pid in $(children_of "$watcher" runbuild); do
		kill -KILL "$pid" || true
	done
}

# child_named PARENT COMM: waits for such a child and prints its number.
child_named() {
	await 10 child_exists "$1" "$2" || fail "no child $2 of $1"
	children_of "$1" "$2" | head -n 1
}

child_exists() {
	[[ -n $(children_of "$1" "$2") ]]
}

children_of() {
	local pid

	# shellcheck disable=SC2013
	for pid in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
		[[ $(cat "/proc/$pid/comm" 2>/dev/null) != "$2" ]] || printf '%s\n' "$pid"
	done
}

# The launcher has ended: nothing of it is left a second later, and its state
# directory can be used again.
nothing_is_left() {
	local status=0

	wait "$watcher" || status=$?
	((status == 0)) || fail "survivors: $(cat "$scratch/launcher.out")"
}

stop_launcher() {
	kill -KILL "$launcher"
	nothing_is_left
}

# helper_that SCRIPT NAME: a program NAME, first in the PATH of this test.
helper_that() {
	mkdir -p "$scratch/home/bin"
	printf '#!/bin/sh\n%s\n' "$1" >"$scratch/home/bin/$2"
	chmod 0755 "$scratch/home/bin/$2"
}

as_user_with_helpers() {
	(with_helpers "$@")
}

with_helpers() {
	exec_as_user env PATH="$scratch/home/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" "$@"
}

# The next test wants the same port: this one's launcher is waited for.
end_server() {
	kill "$launcher" 2>/dev/null || true
	wait "$launcher" 2>/dev/null || true
}
