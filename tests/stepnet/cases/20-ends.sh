# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2016,SC2034 # scratch: set by the suite; scripts of steps
#
# The runtime alone under the launcher: what is said when the network fails, and
# that nothing outlives a process that was killed.

# What lives as long as the test wants, however slow the machine is.
readonly until_done='echo up; for i in $(seq 600); do [ -e /done ] && break; sleep 0.1; done'

# step_bundle SCRIPT: a bundle as BuildKit makes it for the network of the host.
step_bundle() {
	jq --arg script "$1" '.process.args = ["/bin/sh", "-c", $script] | .root.path = "'"$scratch/base"'" |
		.process.terminal = false | .process.env = ["PATH=/bin"] | del(.linux.seccomp) |
		.linux.namespaces |= map(select(.type != "network"))' "$scratch/spec.json" >"$scratch/bundle/config.json"
}

# run_step LAUNCHER-OPTION… -- SCRIPT: a step with SCRIPT, whose output is $scratch/step.log.
run_step() {
	local options=()

	while [[ $1 != -- ]]; do
		options+=("$1")
		shift
	done
	step_bundle "$2"
	# a step's own network is the launcher's doing
	exec_as_user runbuild rootless "${options[@]}" -- sh -c 'i=0; while [ "$((i += 1))" -lt "$2" ]; do
		runbuild run --bundle "$1" s$i; done; exec runbuild run --bundle "$1" s' sh "$scratch/bundle" "${steps:-1}" \
		>"$scratch/step.log" 2>&1 &
	launcher=$!
}

prepare_step() {
	mkdir -p "$scratch/bundle"
	[[ -f $scratch/spec.json ]] || {
		"$scratch/bin/runbuild" spec --bundle "$scratch/bundle"
		mv "$scratch/bundle/config.json" "$scratch/spec.json"
	}
	chmod 0755 "$scratch/bundle"
	trap end_step EXIT
}

end_step() {
	[[ -z $launcher ]] || launcher_ended || kill -KILL "$launcher" 2>/dev/null || true
}

step_says() {
	grep -qF "$1" "$scratch/step.log" 2>/dev/null
}

step_says_twice() {
	(($(grep -cF "$1" "$scratch/step.log") == 2))
}

# pids_of NAME: processes of this host with that name.
pids_of() {
	local file

	for file in /proc/[0-9]*/comm; do
		[[ $(cat "$file" 2>/dev/null) == "$1" && $(readlink "${file%comm}ns/net" 2>/dev/null) == "$(readlink /proc/self/ns/net)" ]] ||
			continue
		printf '%s\n' "${file//[^0-9]/}"
	done
}

none_of() {
	local name

	for name; do
		[[ -z $(pids_of "$name") ]] || return 1
	done
}

some_of() {
	[[ -n $(pids_of "$1") ]]
}

# kill_first NAME: the oldest of them; one that ends just now is not the one that is meant.
kill_first() {
	await 5 try_kill_first "$1" || fail "no process $1"
}

try_kill_first() {
	local pid

	pid=$(pids_of "$1" | sort -n | sed -n 1p)
	[[ -n $pid ]] && kill -KILL "$pid" 2>/dev/null
}

all_gone() {
	await 5 none_of slirp4netns runbuild runbuild-guard runbuild-pool ||
		fail "left: $(pids_of slirp4netns) $(pids_of runbuild) $(pids_of runbuild-guard) $(pids_of runbuild-pool)"
	await 5 no_state || fail 'left:' "$(find "$scratch/home/run" "$scratch/home/tmp" -mindepth 1 -name 'runbuild-rootless*')"
}

no_state() {
	[[ -z $(find "$scratch/home/run" "$scratch/home/tmp" -mindepth 1 -name 'runbuild-rootless*') ]]
}

test_a_killed_slirp4netns_ends_the_network_alone() {
	local status=0

	prepare_step
	run_step --step-net=slirp4netns -- 'echo up; read x </dev/zero & for i in $(seq 40); do [ -e /sys/class/net/tap0 ] || cat /proc/net/dev | grep -q tap0 || break; sleep 0.1; done; sleep 1; echo went on'
	await 10 step_says up || fail "$(cat "$scratch/step.log")"
	kill_first slirp4netns
	wait "$launcher" || status=$?
	launcher=
	same 'status of the step' 0 "$status" || fail "$(cat "$scratch/step.log")"
	contains "$scratch/step.log" 'went on' 'the step has lost its network: slirp4netns has ended with signal 9' '[RB0613]' || fail "$(cat "$scratch/step.log")"
	all_gone
}

# gone_after NAME TREE: a process of a running step is killed, the launcher or the first of NAME;
# nothing of it is left.
gone_after() {
	await 10 step_says up || fail "$(cat "$scratch/step.log")"
	if [[ $1 == launcher ]]; then
		kill -KILL "$launcher"
	else
		kill_first "$1"
	fi
	exec 7>&- # a worker hears of its peer's end by this
	# for a killed guard there is another one: the step goes on
	[[ $1 != runbuild-guard ]] || touch "$2/done"
	wait "$launcher" 2>/dev/null || true
	launcher=
	all_gone
}

# Nobody is there who would reap it: the launcher may be one that is no init.
test_nothing_outlives_a_step() {
	local options

	prepare_step
	step_bundle 'sleep 300 & exit 3'
	for options in --step-net=host --step-net=none --step-net=slirp4netns '--step-net=slirp4netns --step-net-pool=2'; do
		# the first has a pool that is not filled yet
		# shellcheck disable=SC2086 # words
		as_user runbuild rootless $options -- sh -c 'for i in 1 2 3; do
			alone.py runbuild run --bundle "$1" s || [ "$?" = 3 ] || exit; done' sh "$scratch/bundle" >"$scratch/out" 2>&1 ||
			fail "$options: $(cat "$scratch/out")"
	done
}

test_a_step_ends_when_any_process_of_ours_is_killed() {
	local name round

	for round in '' --step-net-pool=2; do
		for name in runbuild runbuild-guard launcher; do
			prepare_step
			rm -f "$scratch/base/done"
			run_step --step-net=slirp4netns ${round:+"$round"} -- "$until_done"
			gone_after "$name" "$scratch/base" || fail "after the death of $name${round:+ with a pool}"
		done
	done
}

# Run inside, $1 the bundle: what is left of a network, but for what only waits to be reaped.
readonly keepers='left() {
		for status in /proc/[0-9]*/status; do
			awk "/^Name:/ { name = \$2 } /^State:/ { state = \$2 } /^Pid:/ { pid = \$2 }
				END { if (state != \"Z\" && name ~ /^(runbuild-net|slirp4netns)\$/) print name, pid }" "$status" 2>/dev/null
		done
	}
	keep() { runbuild create --bundle "$1" c </dev/null >/dev/null && runbuild start c && left | grep -c .; }'

test_delete_returns_when_the_network_is_gone() {
	prepare_step
	step_bundle 'sleep 300'
	as_user runbuild rootless --step-net=slirp4netns -- sh -c "$keepers"'
		for i in 1 2 3 4 5; do keep "$1" && runbuild delete --force c || exit; left; done' sh "$scratch/bundle" >"$scratch/out" 2>&1 ||
		fail "$(cat "$scratch/out")"
	same 'processes of the network: while it lives, and nothing after' "$(printf '2\n%.0s' 1 2 3 4 5)" "$(cat "$scratch/out")"
}

test_delete_ends_a_keeper_that_does_not() {
	prepare_step
	step_bundle 'sleep 300'
	as_user runbuild rootless --step-net=slirp4netns -- sh -c "$keepers"'
		keep "$1" && kill -STOP "$(left | sed -n "s/^runbuild-net //p")" && runbuild delete --force c || exit
		left | grep runbuild-net
		i=0; while [ -n "$(left)" ] && [ "$((i += 1))" -lt 100 ]; do sleep 0.1; done; left; runbuild list --quiet | grep -x c; true' \
		sh "$scratch/bundle" >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
	same 'processes of the network: while it lives, and nothing after' 2 "$(cat "$scratch/out")"
}

# Not even when the container comes to nothing, and the keeper does not end.
test_a_failed_create_leaves_no_keeper() {
	prepare_step
	step_bundle true
	jq --arg script "$keepers"'
		until pid=$(left | sed -n "s/^runbuild-net //p"); [ -n "$pid" ]; do :; done
		kill -STOP "$pid"; false' \
		'.hooks.createRuntime = [{path: "/bin/sh", args: ["sh", "-c", $script], timeout: 60}]' "$scratch/bundle/config.json" >"$scratch/bundle/new"
	mv "$scratch/bundle/new" "$scratch/bundle/config.json"
	as_user runbuild rootless --step-net=slirp4netns -- sh -c "$keepers"'
		keep "$1" && exit 9; left | grep runbuild-net
		i=0; while [ -n "$(left)" ] && [ "$((i += 1))" -lt 100 ]; do sleep 0.1; done; left' sh "$scratch/bundle" >"$scratch/out" 2>"$scratch/err" ||
		fail "$(cat "$scratch/out" "$scratch/err")"
	same 'processes of the network' '' "$(cat "$scratch/out")"
	contains "$scratch/err" 'createRuntime hook'
}

# A step that waits until it is let go on, by the number of its network.
readonly until_let_go='n=$(readlink /proc/self/ns/net | tr -dc 0-9); echo "up $n"
	for i in $(seq 600); do [ -e /go-$n ] && break; sleep 0.1; done'

# let_go N: the step that was the Nth to say that it is up.
let_go() {
	touch "$scratch/base/go-$(sed -n 's/^up //p' "$scratch/step.log" | sed -n "$1p")"
}

test_a_killed_pool_is_no_obstacle() {
	prepare_step
	# the first step is there before the pool is; the second borrows
	steps=2 run_step --step-net=slirp4netns --step-net-pool=1 -- "$until_let_go"
	await 20 step_says up || fail "$(cat "$scratch/step.log")"
	await 20 some_of runbuild-pool
	let_go 1
	await 20 step_says_twice up || fail "$(cat "$scratch/step.log")"
	# for a moment it stands in a namespace that it makes
	kill_first runbuild-pool
	await 20 step_says 'the step has lost its network' || fail "$(cat "$scratch/step.log")"
	let_go 2
	wait "$launcher" || true
	launcher=
	contains "$scratch/step.log" '[RB0613]'
	all_gone
	rm -f "$scratch"/base/go-*
}

# refused_with CODE TEXT…: the launcher or the step said it, in one line with a remedy.
refused_with() {
	local code=$1

	shift
	wait "$launcher" && fail 'it ended well' "$(cat "$scratch/step.log")"
	launcher=
	contains "$scratch/step.log" "[$code]" '; fix: ' "$@" || fail "$(cat "$scratch/step.log")"
	all_gone
}

test_a_missing_slirp4netns_is_said_before_the_command_runs() {
	prepare_step
	mount --bind /dev/null /usr/bin/slirp4netns
	run_step --step-net=slirp4netns -- 'echo up'
	await 5 launcher_ended || true
	umount /usr/bin/slirp4netns
	refused_with RB0600 'slirp4netns not found' '--step-net=none or host'
}

test_a_failing_slirp4netns_is_one_clear_error() {
	prepare_step
	printf '#!/bin/sh\necho "cannot do it" >&2\nexit 3\n' >"$scratch/fake"
	chmod 0755 "$scratch/fake"
	mount --bind "$scratch/fake" /usr/bin/slirp4netns
	run_step --step-net=slirp4netns -- 'echo up'
	await 10 launcher_ended || true
	umount /usr/bin/slirp4netns
	refused_with RB0601 'slirp4netns ended with status 3: cannot do it' 'slirp4netns'
	! step_says up || fail 'the step ran'
}

test_a_filter_that_is_refused_is_one_clear_error() {
	prepare_step
	wrap=("$scratch/bin/seccomp-run" pidfd_getfd=EPERM -- "$(type -P env)")
	run_step --step-net=slirp4netns -- 'echo up'
	await 10 launcher_ended || true
	refused_with RB0614 'cannot close the network towards this host' 'pidfd_getfd(2)'
	! step_says up || fail 'the step ran'
}

test_a_configuration_with_a_network_is_left_alone() {
	prepare_step
	run_step --step-net=slirp4netns -- 'grep -c tap0 /proc/net/dev; echo ended'
	await 10 step_says ended
	wait "$launcher"
	jq '.linux.namespaces += [{type: "network"}]' "$scratch/bundle/config.json" >"$scratch/bundle/new"
	mv "$scratch/bundle/new" "$scratch/bundle/config.json"
	as_user runbuild rootless --step-net=slirp4netns -- runbuild run --bundle "$scratch/bundle" s >"$scratch/own.log" 2>&1
	launcher=
	same 'taps: by policy' 1 "$(head -n 1 "$scratch/step.log")"
	same 'taps: with a network of its own' 0 "$(head -n 1 "$scratch/own.log")"
}

run_tests_in "${BASH_SOURCE[0]}"
