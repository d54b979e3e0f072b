# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016,SC2034 # set by the suite and by capture; scripts of steps
#
# What each option of a step does to what the command sees.

test_the_working_directory_is_the_one_asked_for() {
	in_base --cwd /var -- pwd
	output_is /var
	in_base -- pwd
	output_is /
	in_base --cwd var -- pwd
	refused 125 '/process/cwd' '[RB'
}

test_the_host_name_is_the_one_asked_for() {
	in_base --hostname builder-7 -- hostname
	output_is builder-7
	same 'the host name of the caller' "$(</proc/sys/kernel/hostname)" "$(uname -n)"
	in_base --hostname "$(printf 'h%.0s' {1..65})" -- true
	refused 125 'hostname' '[RB'
}

test_a_filter_can_be_left_out_alone() {
	in_base --seccomp none -- grep -E '^(NoNewPrivs|Seccomp|CapBnd):' /proc/self/status
	same 'the status file' $'CapBnd:\t00000000a80425fb\nNoNewPrivs:\t1\nSeccomp:\t0' "$(<"$bundle/out")"
	in_base --seccomp default --insecure -- grep -E '^Seccomp:' /proc/self/status
	output_is $'Seccomp:\t2'
	in_base --seccomp mine -- true
	refused 125 "--seccomp: unknown choice 'mine'" '[RB0001]'
}

test_a_root_that_may_only_be_read() {
	in_base --read-only -- sh -c 'touch /f 2>&1; grep -c " / .*[ ,]ro[ ,]" /proc/mounts'
	output_is $'touch: /f: Read-only file system\n1'
	[[ ! -e $base/f ]] || fail 'the root was written'
	# further mounts are not part of it
	in_base --read-only --mount type=tmpfs,dst=/tmp -- sh -c 'echo written >/tmp/f; cat /tmp/f'
	output_is written
}

test_a_root_that_may_be_written_is_the_directory_itself() {
	in_base -- sh -c 'echo x >/tmp/written'
	ran_well
	same 'the file' x "$(<"$base/tmp/written")"
	in_base -- rm /tmp/written
}

test_a_single_layer_needs_no_driver() {
	bundle=$scratch/s/out
	capture "$runbuild" step --json --snapshot bind --lower "$base" -- sh -c 'touch /f 2>/dev/null || echo read-only'
	same 'the output' read-only "$(<"$bundle/out")"
	same 'the driver' bind "$(jq -r .snapshot.driver "$bundle/err")"
	mkdir -p "$scratch/s/second"
	capture "$runbuild" step --snapshot bind --lower "$base" --lower "$scratch/s/second" -- true
	refused 125 'the driver bind takes one directory, not 2' '[RB0703]'
	capture "$runbuild" step --snapshot zfs --lower "$base" -- true
	refused 125 'zfs' '[RB'
}

test_relative_names_begin_at_the_caller_s_directory() {
	bundle=$scratch/s/out
	mkdir -p "$scratch/s/relative/source"
	echo here >"$scratch/s/relative/source/f"
	capture env -C "$scratch/s/relative" "$runbuild" step --quiet --rootfs ../base --mount src=source,dst=/m -- cat /m/f
	output_is here
}

test_a_terminal_is_given_when_asked_for() {
	in_base --tty -- sh -c 'tty; test -t 0 && test -t 1 && test -t 2 && echo all'
	same 'the output' $'/dev/pts/0\nall' "$(tr -d '\r' <"$bundle/out")"
	in_base -- sh -c 'test -t 0 || test -t 1 || test -t 2 || echo none'
	output_is none
}

# A program that does not care for TERM gets KILL after the time of grace.
test_a_step_that_does_not_end_at_its_time_is_killed() {
	local began=$EPOCHSECONDS

	bundle=$scratch/s/out
	capture "$runbuild" step --timeout 100ms --rootfs "$base" -- sh -c 'trap "" TERM; while :; do sleep 0.05; done'
	same 'the status' 124 "$status"
	((EPOCHSECONDS - began >= 4)) || fail "after $((EPOCHSECONDS - began)) s"
	contains "$bundle/err" 'runbuild: timed out, killed by KILL in '
}

test_times_have_units() {
	local text

	for text in 90:90000 90s:90000 500ms:500 15m:900000 1h:3600000; do
		in_base --timeout "${text%:*}" --print -- true
		same "$text" "${text#*:}" "$(jq .timeoutMs "$bundle/out")"
	done
	for text in 512:512 64k:65536 100M:104857600 2G:2147483648; do
		in_base --memory "${text%:*}" --print -- true
		same "$text" "${text#*:}" "$(jq .cgroup.resources.memory "$bundle/out")"
	done
	for text in -1 1.5 5x 99999999999999999999 ''; do
		in_base --timeout "$text" --print -- true
		refused 125 '--timeout' '[RB0001]'
	done
}

test_changes_can_be_listed_and_counted() {
	bundle=$scratch/s/out
	rm -rf "$scratch/s/cu" "$scratch/s/cw"
	mkdir -p "$scratch/s/cu" "$scratch/s/cw"
	capture "$runbuild" step --json --changes --lower "$base" --upper "$scratch/s/cu" --work "$scratch/s/cw" -- \
		sh -c 'echo new >/etc/new; rm /etc/group'
	same 'the changes' '["M etc","D etc/group","A etc/new"]' "$(jq -c '[.changes[] | "\(.kind) \(.path)"]' "$bundle/err")"
	in_base --changes -- true
	same 'the status' 0 "$status"
	contains "$bundle/err" 'is not a snapshot'
}

test_the_summary_says_how_a_step_ended() {
	bundle=$scratch/s/out
	capture "$runbuild" step --rootfs "$base" -- sh -c 'exit 3'
	same 'the status' 3 "$status"
	contains "$bundle/err" 'runbuild: exit 3 in '
}

test_limits_without_a_cgroup_are_told_and_not_held() {
	bundle=$scratch/s/out
	capture "$runbuild" step --quiet --memory 64m --pids 100 --rootfs "$base" -- echo ran
	if [[ $(<"$bundle/err") == *'cgroup'* ]]; then
		contains "$bundle/err" 'the step runs without limits'
	fi
	same 'the output' ran "$(<"$bundle/out")"
	same 'the status' 0 "$status"
}

# up_step SCRIPT: in the background, from the moment on when it says "up": $step_pid.
up_step() {
	rm -f "$scratch/s/up-fifo"
	mkfifo "$scratch/s/up-fifo"
	bundle=$scratch/s/out
	(exec "$runbuild" step --rootfs "$base" -- sh -c "$1" >"$scratch/s/up-fifo" 2>"$bundle/err") &
	step_pid=$!
	exec 8<"$scratch/s/up-fifo"
	read -r -u 8 _
}

# ended: what the step said after "up", and its status.
ended() {
	cat <&8 >"$bundle/out"
	exec 8<&-
	status=0
	wait "$step_pid" || status=$?
}

# A background child of a shell ignores INT: TERM and HUP stand for it.
test_signals_go_to_the_command() {
	up_step 'trap "echo usr1" USR1; trap "echo hup; exit 9" HUP; echo up; while :; do sleep 0.02; done'
	kill -USR1 "$step_pid"
	read -r -u 8 word
	same 'a signal that ends nothing' usr1 "$word"
	kill -HUP "$step_pid"
	ended
	same 'the output' hup "$(<"$bundle/out")"
	same 'the status' 9 "$status"
	contains "$bundle/err" 'runbuild: cancelled, exit 9 in '
}

test_a_second_signal_kills_at_once() {
	local began=$EPOCHSECONDS

	up_step 'trap "echo term" TERM; echo up; while :; do sleep 0.02; done'
	kill -TERM "$step_pid"
	read -r -u 8 word
	same 'the first' term "$word"
	kill -TERM "$step_pid"
	ended
	same 'the status' 137 "$status"
	contains "$bundle/err" 'runbuild: cancelled, killed by KILL in '
}

# terminal OPTION… -- COMMAND…: COMMAND on a terminal of its own, what it prints in $bundle/out.
terminal() {
	bundle=$scratch/s/out
	capture python3 "$here/../runtime/terminal.py" own "$@"
	tr -d '\r' <"$bundle/out" >"$bundle/text"
}

test_a_shell_is_opened_when_no_command_is_given() {
	terminal --after '# ' --send 'echo $TERM; tty; pwd; exit 6\n' -- "$runbuild" shell --rootfs "$base"
	same 'the status' 6 "$status" || fail "$(cat -v "$bundle/out")"
	contains "$bundle/text" $'\nxterm-256color\n/dev/pts/0\n/\n' 'runbuild: exit 6 in ' || fail "$(cat -v "$bundle/out")"
}

test_a_shell_has_the_size_of_its_terminal() {
	terminal --size 20x70 --resize 33x99 -- "$runbuild" shell --quiet --rootfs "$base" -- sh -c \
		'trap "stty size; exit 0" WINCH; stty size; while :; do sleep 0.05; done'
	same 'before and after' $'20 70\n33 99' "$(<"$bundle/text")"
}

test_a_shell_without_a_terminal_reads_its_input() {
	bundle=$scratch/s/out
	capture bash -c 'echo "echo read; tty" | "$@"' sh "$runbuild" shell --quiet --rootfs "$base"
	same 'the output' $'read\nnot a tty' "$(<"$bundle/out")"
}

test_a_step_can_be_explained() {
	bundle=$scratch/s/out
	capture bash -c '"$1" step --print --user app --rootfs "$2" -- sh -c "echo x" | "$1" explain --step -' sh "$runbuild" "$base"
	contains "$bundle/out" "attach_root     root = host:$base" 'ids             uid 1000 gid 1000 groups 1000,2000' \
		'execve          sh -c "echo x"' "# this user's step runs as root of a namespace" || fail "$(cat "$bundle/out" "$bundle/err")"
	capture bash -c '"$1" step --print --rootfs "$2" -- true | "$1" rootless -- "$1" explain --step - --parts' sh "$runbuild" "$base"
	ran_well
	contains "$bundle/out" '# before the step is known:' '# once it is known:' 'await_plan' '# in a worker the network namespace is a new one, or'
	! grep -q "this user's step" "$bundle/out" || fail 'it is the root of a namespace'
	"$runbuild" step --print --rootfs "$base" -- true | sed 's/"args"/"arms"/' >"$scratch/s/bad.json"
	capture "$runbuild" explain --step "$scratch/s/bad.json"
	refused 1 '/process' '[RB'
	capture "$runbuild" explain --step "$scratch/s/nosuch.json"
	refused 1 'cannot read' '[RB0001]'
}
