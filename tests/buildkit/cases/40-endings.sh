# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # scratch, buildctl, pipe …: set by the suite
#
# How steps end: by failing, by a signal, by being cancelled, with processes
# left behind, after a flood of output.

test_failing_step_shows_status_and_output() {
	local status=0

	build failing <<-'D' || status=$?
		FROM base
		RUN echo on-stdout; echo on-stderr >&2; exit 7
		RUN echo never-reached
	D
	same 'status of buildctl' 1 "$status"
	contains "$(log_of failing)" 'exit code: 7'
	same 'output' $'on-stderr\non-stdout' "$(step_output failing | sort)"
}

test_missing_program_is_named() {
	local status=0

	build missing <<-'D' || status=$?
		FROM base
		RUN ["/no/such/program", "argument"]
	D
	same 'status of buildctl' 1 "$status"
	contains "$(log_of missing)" '/no/such/program' 'no such file or directory'
}

test_signal_of_a_child_gives_137() {
	local status=0

	# shellcheck disable=SC2016 # for the step's shell
	build signal-child <<-'D' || status=$?
		FROM base
		RUN sh -c 'kill -9 $$'; exit $?
	D
	same 'status of buildctl' 1 "$status"
	contains "$(log_of signal-child)" 'exit code: 137'
}

test_fault_of_process_1_gives_139() {
	local status=0

	need_probe
	build signal-fault <<-'D' || status=$?
		FROM base
		RUN ["/bin/probe", "fault"]
	D
	same 'status of buildctl' 1 "$status"
	contains "$(log_of signal-fault)" 'exit code: 139'
}

marked_processes_are() {
	[[ $(processes_with_mark "$2" | wc -l) -eq $1 ]]
}

# What a worker makes ahead waits for the next step and has run no program yet:
# its command line is the worker's.
without_waiting() {
	local pid

	while read -r pid; do
		[[ -n $pipe && $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) == "$runtime worker "* ]] ||
			printf '%s\n' "$pid"
	done
}

new_processes_since() {
	comm -13 "$1" <(processes_of_suite) | without_waiting
}

no_new_process_since() {
	[[ -z $(new_processes_since "$1") ]]
}

test_process_1_killed_from_outside_gives_137() {
	local mark=mark-outside-$suite_id status=0

	start_build signal-outside <<-D
		FROM base
		RUN exec sh -c 'while :; do sleep 1000; done' $mark
	D
	await 30 marked_processes_are 1 "$mark" || {
		tail "$(log_of signal-outside)"
		fail 'the step did not start'
	}
	kill -KILL "$(processes_with_mark "$mark")"
	await 10 client_ended || fail 'buildctl did not end'
	wait "$client" || status=$?
	same 'status of buildctl' 1 "$status"
	contains "$(log_of signal-outside)" 'exit code: 137'
}

# Five processes: a shell that waits, one that ignores every signal it can, one
# in its own session, one of another user, and one that was orphaned.
cancel_build_and_watch() {
	local name=$1 signal=$2 mark=mark-$1-$suite_id began

	processes_of_suite >"$scratch/before"
	start_build "$name" <<-D
		FROM base
		COPY <<'S' /tree.sh
		trap '' HUP INT QUIT TERM USR1 USR2
		sh -c 'while :; do sleep 1000; done' $mark-ignores &
		setsid sh -c 'while :; do sleep 1000; done' $mark-session &
		su app -c 'sh -c "while :; do sleep 1000; done" $mark-user' &
		(setsid sh -c 'while :; do sleep 1000; done' $mark-orphan &)
		wait
		S
		RUN exec sh /tree.sh $mark-first
	D
	# su runs its command through a shell that carries the mark as well.
	await 30 tree_is_up "$mark" || {
		tail "$(log_of "$name")"
		processes_with_mark "$mark" | show_processes
		fail 'the tree of processes did not come up'
	}
	began=$(microseconds)
	kill "-$signal" "$client"
	await 1 no_process_with_mark "$mark" || {
		processes_with_mark "$mark" | show_processes
		fail 'processes of the step live 1 s after the signal'
	}
	await 1 no_new_process_since "$scratch/before" || {
		new_processes_since "$scratch/before" | show_processes
		fail 'processes of the runtime live on'
	}
	printf '# nothing left after %d ms\n' $((($(microseconds) - began) / 1000))
	await 5 client_ended || fail 'buildctl did not end'
	! wait "$client" || fail 'buildctl says that the build went well'
	await 5 no_executor_directories || fail 'left:' "$(executor_directories)"
}

tree_is_up() {
	local part

	for part in first ignores session user orphan; do
		[[ -n $(processes_with_mark "$1-$part") ]] || return 1
	done
}

test_cancelled_build_leaves_nothing_within_1_s() {
	cancel_build_and_watch cancel INT
}

test_killed_client_leaves_nothing_within_1_s() {
	cancel_build_and_watch client-killed KILL
}

test_daemon_builds_after_a_cancelled_build() {
	must_build after-cancel <<-'D'
		FROM base
		RUN echo still-here
	D
	same 'output' still-here "$(step_output after-cancel)"
}

test_background_processes_end_with_the_step() {
	local mark=mark-background-$suite_id began

	began=$(microseconds)
	must_build background <<-D
		FROM base
		RUN sh -c 'trap "" HUP TERM; while :; do sleep 1000; done' $mark & setsid sh -c 'while :; do sleep 1000; done' $mark & echo started
		RUN sleep 1000 & echo second
	D
	(($(microseconds) - began < 15000000)) || fail 'the build waited for them'
	same 'output' $'started\nsecond' "$(step_output background)"
	await 1 no_process_with_mark "$mark" || {
		processes_with_mark "$mark" | show_processes
		fail 'a process outlived its step'
	}
}

test_hundred_megabytes_of_output_arrive() {
	local line expected help

	# Not through a pipe: grep -q would end it early.
	help=$("$buildctl" build --help)
	[[ $help == *rawjson* ]] || skip 'this buildctl has no --progress=rawjson'
	line=$(printf '%01000d' 7)
	expected=$(yes "$line" | head -c 104857600 | sha256sum | cut -d ' ' -f 1 || true)
	must_build flood --progress=rawjson <<-D
		FROM base
		RUN yes $line | head -c 104857600
	D
	same 'bytes and checksum' "104857600 $expected" "$(python3 "$here/lib/logbytes.py" <"$(log_of flood)")"
	rm -f -- "$(log_of flood)"
}

test_stdout_and_stderr_are_told_apart() {
	must_build two-streams --progress=rawjson <<-'D'
		FROM base
		RUN echo to-stdout; echo to-stderr >&2
	D
	# Stream 1 is stdout, 2 is stderr; the data is base64.
	contains "$(log_of two-streams)" '"stream":1,"data":"dG8tc3Rkb3V0Cg=="' '"stream":2,"data":"dG8tc3RkZXJyCg=="'
}
