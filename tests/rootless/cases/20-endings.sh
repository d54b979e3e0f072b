# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# Signals, exit status, the state directory, and that nothing outlives anything.

test_exit_status_passes() {
	local expected status

	for expected in 0 1 7 125 255; do
		status=0
		rootless -- sh -c "exit $expected" || status=$?
		same 'status' "$expected" "$status"
	done
}

test_death_by_a_signal_is_128_plus_its_number() {
	local name status

	for name in TERM KILL SEGV; do
		status=0
		rootless -- sh -c 'kill -'"$name"' $$' || status=$?
		same "$name" $((128 + $(kill -l "$name"))) "$status"
	done
}

test_a_missing_command_is_127_and_one_that_cannot_run_126() {
	fails_with 127 RB0400 'no-such-command' -- rootless -- no-such-command
	fails_with 127 RB0400 '/no/such/command' -- rootless -- /no/such/command
	printf 'text' | as_user sh -c 'cat >"$HOME/plain"'
	fails_with 126 RB0401 "$scratch/home/plain" -- rootless -- "$scratch/home/plain"
	fails_with 126 RB0401 -- rootless -- /etc
}

test_a_program_in_a_format_unknown_to_the_kernel_is_126() {
	printf 'no program' | as_user sh -c 'cat >"$HOME/data" && chmod 0755 "$HOME/data"'
	fails_with 126 RB0402 "$scratch/home/data" -- rootless -- "$scratch/home/data"
}

test_nothing_is_left_when_the_launcher_has_ended() {
	local options all=('--net=host' '--net=host --pidns=false' '--net=none')

	if type -P slirp4netns >/dev/null && [[ -w /dev/net/tun ]]; then
		all+=('--net=slirp4netns --copy-up=/etc' '--net=slirp4netns --pidns=false' '--net=slirp4netns --detach-netns'
			'--net=slirp4netns -p 127.0.0.1:8081:80/tcp' '--net=slirp4netns --port-driver=builtin -p 127.0.0.1:8081:80/tcp'
			'--net=slirp4netns --step-net=slirp4netns --step-net-pool=2')
	fi
	for options in "${all[@]}"; do
		# shellcheck disable=SC2086 # words
		as_user alone.py runbuild rootless $options -- sh -c 'sleep 300 & setsid sleep 300 & true' 2>"$scratch/err" ||
			fail "$options: $(cat "$scratch/err")"
	done
}

test_signals_reach_the_command() {
	local name status

	for name in HUP INT QUIT TERM USR1 USR2 WINCH; do
		status=0
		: >"$scratch/out"
		# a shell starts its background children with SIGINT and SIGQUIT ignored
		exec_as_user env --default-signal=INT,QUIT runbuild rootless -- \
			"$scratch/lib/await_signal.py" "$name" >"$scratch/out" 2>"$scratch/err" &
		await 10 grep -q up "$scratch/out" || fail "$(cat "$scratch/err")"
		kill -"$name" $!
		wait $! || status=$?
		same "$name" 42 "$status"
	done
}

test_an_ignored_signal_stays_ignored() {
	same 'nohup' 1 "$(as_user env --default-signal --ignore-signal=HUP runbuild rootless -- \
		grep '^SigIgn:.*1$' /proc/self/status | wc -l)"
	same 'nothing else' '0000000000000000' "$(as_user env --default-signal runbuild rootless -- \
		grep '^SigIgn' /proc/self/status | cut -f2)"
	same 'nothing blocked' '0000000000000000' "$(rootless -- grep '^SigBlk' /proc/self/status | cut -f2)"
}

test_a_signal_that_ends_the_command_ends_the_launcher_with_its_number() {
	local status=0

	start_launcher
	kill -TERM "$launcher"
	nothing_is_left
	start_launcher
	as_user kill -USR1 "$launcher"
	nothing_is_left
	exec_as_user runbuild rootless -- sh -c 'echo up; exec sleep 1000' >"$scratch/out" 2>&1 &
	await 10 grep -q up "$scratch/out"
	kill -TERM $!
	wait $! || status=$?
	same 'status' 143 "$status"
}

test_state_dir_holds_lock_and_child_pid() {
	start_launcher
	same 'mode' '700' "$(stat -c %a "$state")"
	same 'child_pid' "$inner 444" "$(cat "$state/child_pid") $(stat -c %a "$state/child_pid")"
	same 'lock' yes "$(test -f "$state/lock" && echo yes)"
	same 'its child' "$launcher" "$(awk '/^PPid:/ { print $2 }' "/proc/$inner/status")"
	fails_with 125 RB0605 'in use' -- rootless --state-dir="$state" -- true
	kill -USR1 "$launcher"
	nothing_is_left
	[[ ! -e $state ]] || fail "left: $(ls -la "$state")"
}

test_a_state_dir_that_existed_stays_without_our_files() {
	as_user mkdir "$scratch/home/kept"
	as_user touch "$scratch/home/kept/other"
	rootless --state-dir="$scratch/home/kept" -- true
	same 'what is in it' 'lock other' "$(find "$scratch/home/kept" -mindepth 1 -printf '%f\n' | sort | tr '\n' ' ' | sed 's/ $//')"
	rootless --state-dir="$scratch/home/kept" -- true
}

test_no_temporary_state_dir_is_left() {
	clear_folders
	rootless -- true
	rootless --net=none -- false || true
	nothing_was_left
}

test_state_dirs_that_nobody_could_remove_are_removed_by_the_next_launcher() {
	local run=$scratch/home/run holder

	clear_folders
	as_user mkdir "$run"/runbuild-rootless-{stale1,inuse1,empty1,other1}
	as_user touch "$run/runbuild-rootless-other1/file"
	as_user touch "$run"/runbuild-rootless-{stale1,inuse1}/lock "$run/runbuild-rootless-stale1/child_pid"
	exec {holder}<"$run/runbuild-rootless-inuse1/lock"
	flock --nonblock "$holder"
	rootless -- true
	same 'left' "$run/runbuild-rootless-inuse1 $run/runbuild-rootless-other1" \
		"$(find "$run" -mindepth 1 -maxdepth 1 -name 'runbuild-rootless-*' | sort | tr '\n' ' ' | sed 's/ $//')"
	exec {holder}<&-
	rootless -- true
	rm -r "$run/runbuild-rootless-other1"
	nothing_was_left
}

test_state_dir_is_refused_when_it_is_not_ours() {
	needs_host
	mkdir -p "$scratch/foreign"
	chmod 0777 "$scratch/foreign"
	fails_with 125 RB0605 "$scratch/foreign" -- rootless --state-dir="$scratch/foreign" -- true
	fails_with 125 RB0605 -- rootless --state-dir=/proc/nothing -- true
	fails_with 125 RB0001 -- rootless --state-dir=relative -- true
}

test_child_pid_appears_only_when_everything_is_ready() {
	needs_tun
	needs_host
	local round silent

	mkfifo "$scratch/silent"
	exec {silent}<>"$scratch/silent"
	for round in 1 2 3 4 5 6; do
		state=$scratch/home/state.$round
		exec_as_user runbuild rootless --net=slirp4netns --copy-up=/etc --state-dir="$state" -- sh -c 'read -r _ || :' \
			<&"$silent" >"$scratch/out" 2>&1 &
		until [[ -s $state/child_pid ]]; do
			kill -0 $! || fail "$(cat "$scratch/out")"
		done 2>/dev/null
		inner=$(cat "$state/child_pid")
		contains "/proc/$inner/root/etc/resolv.conf" 'nameserver 10.0.2.3' || fail "round $round"
		same 'route' 1 "$(awk '$2 == "00000000"' "/proc/$inner/net/route" | grep -c tap0)"
		kill -KILL $!
		wait $! || true
	done
}

test_killing_the_launcher_at_any_system_call_leaves_nothing() {
	as_user deaths sweep parent runbuild rootless --state-dir="$scratch/home/swept" -- \
		sh -c 'setsid sleep 300 & exit' 2>"$scratch/err"
}

test_killing_the_init_inside_at_any_system_call_leaves_nothing() {
	as_user deaths sweep inner runbuild rootless --state-dir="$scratch/home/swept" -- \
		sh -c 'setsid sleep 300 & exit' 2>"$scratch/err"
}

test_killing_the_command_at_any_system_call_leaves_nothing() {
	as_user deaths sweep command runbuild rootless --state-dir="$scratch/home/swept" -- \
		sh -c 'setsid sleep 300 & exit' 2>"$scratch/err"
}

test_killing_the_launcher_of_a_network_at_any_system_call_leaves_nothing() {
	needs_tun
	as_user deaths sweep parent runbuild rootless --net=slirp4netns --copy-up=/etc --state-dir="$scratch/home/swept" -- \
		sh -c 'setsid sleep 300 & exit' 2>"$scratch/err"
}

test_killing_the_init_inside_of_a_network_at_any_system_call_leaves_nothing() {
	needs_tun
	as_user deaths sweep inner runbuild rootless --net=slirp4netns --copy-up=/etc --state-dir="$scratch/home/swept" -- \
		sh -c 'setsid sleep 300 & exit' 2>"$scratch/err"
}

test_a_helper_killed_while_it_starts_ends_the_launcher() {
	rm -rf "$scratch/home/bin"
	helper_that 'kill -KILL $$' newuidmap
	fails_with 125 RB0208 'newuidmap was killed by signal 9' -- \
		as_user_with_helpers "$runbuild" rootless --state-dir="$scratch/home/swept" -- true
	rootless --state-dir="$scratch/home/swept" -- true
}

test_killing_the_launcher_ends_a_helper_that_hangs() {
	rm -rf "$scratch/home/bin"
	helper_that "touch $scratch/home/hangs; exec sleep 1000" newgidmap
	with_helpers "$scratch/bin/deaths" watch "$runbuild" rootless --state-dir="$scratch/home/swept" -- true \
		>"$scratch/launcher.out" 2>&1 &
	watcher=$!
	await 10 test -e "$scratch/home/hangs"
	launcher=$(child_named "$watcher" runbuild)
	stop_launcher
	rootless --state-dir="$scratch/home/swept" -- true
}

# kill_while_running WHO OPTION…: one process of a running tree dies.
kill_while_running() {
	local who=$1 pid

	shift
	start_launcher "$@"
	case $who in
	launcher) pid=$launcher ;;
	inner) pid=$inner ;;
	command) pid=$(child_named "$inner" sh) ;;
	esac
	kill -KILL "$pid"
	nothing_is_left
	rootless --state-dir="$state" -- true
}

test_killing_any_process_of_a_running_tree_ends_all() {
	local who

	for who in launcher inner command; do
		kill_while_running "$who" --net=none
	done
}

test_killing_any_process_of_a_running_tree_with_a_network_ends_all() {
	needs_tun
	local who

	for who in launcher inner command; do
		kill_while_running "$who" --net=slirp4netns --copy-up=/etc
	done
}

# Bounded on purpose: a tree that grows without end takes the machine with it before the launcher
# is killed.
test_a_command_that_forks_is_gone_with_the_launcher() {
	: >"$scratch/marker"
	exec_as_user deaths watch runbuild rootless --state-dir="$scratch/home/swept" -- \
		bash -c 'echo up; f() { setsid sleep 1000 & sleep 1000 & wait; }; for i in 1 2 3 4 5 6 7 8; do f & done; wait' \
		>"$scratch/launcher.out" 2>/dev/null &
	watcher=$!
	await 20 grep -q up "$scratch/launcher.out"
	launcher=$(child_named "$watcher" runbuild)
	stop_launcher
}

test_killing_any_process_of_a_detached_network_ends_all() {
	needs_tun
	local who

	for who in launcher inner command; do
		kill_while_running "$who" --net=slirp4netns --detach-netns --copy-up=/etc
	done
}

test_killing_the_launcher_of_a_detached_network_at_any_system_call_leaves_nothing() {
	needs_tun
	as_user deaths sweep parent runbuild rootless --net=slirp4netns --detach-netns --state-dir="$scratch/home/swept" -- \
		sh -c 'setsid sleep 300 & exit' 2>"$scratch/err"
	as_user deaths sweep inner runbuild rootless --net=slirp4netns --detach-netns --state-dir="$scratch/home/swept" -- \
		sh -c 'setsid sleep 300 & exit' 2>"$scratch/err"
}

test_killing_the_launcher_with_ports_at_any_system_call_leaves_nothing() {
	needs_tun
	as_user deaths sweep parent runbuild rootless --net=slirp4netns -p 127.0.0.1:18081:80/tcp --state-dir="$scratch/home/swept" -- \
		sh -c 'setsid sleep 300 & exit' 2>"$scratch/err"
}

# kill_at_stages ROLE OPTION…: at some of the system calls, all over the start and the end.
kill_at_stages() {
	local role=$1

	shift
	as_user deaths sweep "$role" runbuild rootless --state-dir="$scratch/home/swept" "$@" -- \
		sh -c 'setsid sleep 300 & exit' 2>"$scratch/err"
}

test_killing_a_launcher_with_a_pool_of_networks_leaves_nothing() {
	needs_tun
	kill_at_stages parent/5 --step-net=slirp4netns --step-net-pool=2
	kill_at_stages inner/3 --step-net=slirp4netns --step-net-pool=2
}

test_killing_a_launcher_with_builtin_ports_leaves_nothing() {
	needs_host
	kill_at_stages parent/5 --net=none --port-driver=builtin -p 127.0.0.1:18081:80/tcp
	kill_at_stages inner/4 --net=none --port-driver=builtin -p 127.0.0.1:18081:80/tcp
}

test_killing_the_init_inside_with_ports_leaves_nothing() {
	needs_tun
	needs_host
	kill_at_stages inner/4 --net=slirp4netns -p 127.0.0.1:18081:80/tcp
}

# Everything at once, and every process in turn.
test_killing_any_process_of_a_running_tree_with_everything_ends_all() {
	needs_tun
	needs_host
	local who

	for who in launcher inner command; do
		kill_while_running "$who" --net=slirp4netns --detach-netns --copy-up=/etc --step-net=slirp4netns \
			--step-net-pool=2 --port-driver=builtin -p 127.0.0.1:18081:80/tcp
		kill_while_running "$who" --net=slirp4netns --copy-up=/etc --step-net=slirp4netns --step-net-pool=2 \
			-p 127.0.0.1:18081:80/tcp
	done
}
