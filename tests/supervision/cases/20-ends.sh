# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # set by the suite and its library
#
# How a step ends, and who is told what.

# background_run ID [OPTION…]: starts $bundle, its process in $run, and waits
# until the step has printed "started".
background_run() {
	local id=$1

	shift
	: >"$bundle/out"
	"$runbuild" --root "$state_root" --log "$bundle/log" run --bundle "$bundle" "$@" "$id" \
		>"$bundle/out" 2>"$bundle/err" </dev/null &
	run=$!
	await 20 grep -q started "$bundle/out" || fail 'the step did not start' "$(cat "$bundle/err")"
}

# ended STATUS: what `run` ended with.
ended() {
	local status=0

	wait "$run" || status=$?
	same 'the status' "$1" "$status"
}

test_the_status_is_the_steps_own() {
	local code

	new_bundle status
	for code in 0 1 2 124 125 126 127 128 255; do
		set_script "exit $code"
		run_container s
		same "status of exit $code" "$code" "$status"
	done
	state_is_empty
}

test_a_killed_step_is_128_and_the_signal() {
	new_bundle killed
	set_script 'echo started; sleep 60'
	background_run k
	runtime kill k KILL
	ended 137
	state_is_empty
}

test_signals_reach_the_step() {
	local sig

	new_bundle signals
	# shellcheck disable=SC2016
	set_script 'for s in HUP INT QUIT USR1 USR2 TERM CONT WINCH; do trap "echo got $s" $s; done
		trap "exit 7" ALRM; echo started; while :; do sleep 0.02; done'
	background_run sig
	for sig in HUP INT QUIT USR1 USR2 TERM CONT WINCH; do
		kill -s "$sig" "$run"
		await 10 grep -q "got $sig" "$bundle/out" || fail "$sig did not arrive" "$(cat "$bundle/out")"
	done
	kill -s ALRM "$run"
	ended 7
	state_is_empty
}

test_a_step_that_ignores_term_ends_by_kill() {
	new_bundle ignores
	set_script 'trap "" TERM; echo started; while :; do sleep 0.05; done'
	background_run ig
	runtime kill ig TERM
	runtime kill ig 0
	kill -0 "$run"
	runtime kill ig 9
	ended 137
	state_is_empty
}

test_a_step_with_stopped_children_ends_at_once() {
	new_bundle stopped
	set_script 'for i in 1 2 3; do sh -c "kill -STOP \$\$" & done; echo started; wait'
	background_run st
	runtime kill st KILL
	ended 137
	state_is_empty
}

test_the_end_of_the_first_process_is_the_end() {
	new_bundle holder
	# a child that keeps standard output open, in a session of its own
	set_script 'setsid sleep 100 & echo started; exit 4'
	run_container hold
	same 'the status' 4 "$status"
	state_is_empty
}

test_kill_of_a_container_that_is_gone_says_so() {
	new_bundle gone
	run_container --keep 2>/dev/null || true
	capture runtime kill nosuch 9
	refused 1 'container does not exist'
	capture runtime run --bundle "$bundle" --keep kept
	same 'the status' 0 "$status"
	capture runtime kill kept 9
	refused 1 'container not running'
	capture runtime kill --all kept 9
	ran_well
	runtime delete kept
	capture runtime delete kept
	refused 1 'container does not exist'
	capture runtime delete --force kept
	ran_well
	state_is_empty
}

test_a_reader_that_stops_blocks_nobody_but_the_step() {
	local line

	new_bundle reader
	set_script 'echo started; exec 2>/dev/null; while :; do echo 0123456789012345678901234567890123456789; done'
	mkfifo "$bundle/pipe"
	exec {reader}<>"$bundle/pipe"
	"$runbuild" --root "$state_root" --log "$bundle/log" run --bundle "$bundle" full \
		>"$bundle/pipe" 2>"$bundle/err" </dev/null {reader}<&- &
	run=$!
	read -r -t 20 -u "$reader" line && [[ $line == started ]]
	runtime kill full KILL
	ended 137
	state_is_empty
	exec {reader}<&-
}

test_a_closed_stdout_is_not_ours_to_mind() {
	new_bundle closed
	set_script 'exit 5'
	status=0
	runtime run --bundle "$bundle" closed <&- >&- 2>"$bundle/err" || status=$?
	same 'the status' 5 "$status"
	status=0
	runtime run --bundle "$bundle" closed <&- >&- 2>&- || status=$?
	same 'the status without any standard stream' 5 "$status"
	state_is_empty
}

test_a_stopped_run_can_still_be_deleted() {
	new_bundle stoppedrun
	set_script 'echo started; sleep 60'
	background_run sr
	kill -s STOP "$run"
	# 10 seconds for a run that tidies up, then it is ended
	runtime delete --force sr
	ended 137
	state_is_empty
}

test_the_terminal_is_runs_own_pty_and_follows_its_size() {
	new_bundle tty
	set_script 'tty; stty size; trap "stty size; exit 3" WINCH; echo started; while :; do sleep 0.05; done'
	edit_config '.process.terminal = true'
	python3 "$here/lib/pty_size.py" "$runbuild" --root "$state_root" run --bundle "$bundle" tty \
		>"$bundle/out" 2>&1 || fail "$(cat "$bundle/out")"
	contains "$bundle/out" /dev/pts/0 '24 80' '50 132'
	state_is_empty
}
