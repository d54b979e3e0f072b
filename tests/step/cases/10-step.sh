# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # set by the suite and by capture; scripts of steps


# in_base OPTION… -- COMMAND…: a quiet step on the base; see capture.
in_base() {
	bundle=$scratch/s/$FUNCNAME_OF_TEST
	mkdir -p "$bundle"
	capture "$runbuild" step --quiet --rootfs "$base" "$@"
}

FUNCNAME_OF_TEST=out

test_the_status_is_that_of_the_command() {
	in_base -- sh -c 'exit 7'
	same 'the status' 7 "$status"
	in_base -- sh -c 'kill -KILL $$; sleep 1'
	# signals that a first process sends to itself do not kill it: pid_namespaces(7)
	same 'the status' 0 "$status"
	in_base -- sh -c 'sh -c "kill -TERM \$\$"; exit $?'
	same 'the status' 143 "$status"
}

test_a_command_that_is_not_there_gives_127() {
	in_base -- nosuch
	refused 127 'exec: "nosuch": executable file not found in $PATH' '[RB0400]'
}

test_a_file_that_is_no_program_gives_126() {
	in_base -- /etc/passwd
	refused 126 'permission denied' '[RB0401]'
}

test_input_and_output_are_those_of_the_caller() {
	bundle=$scratch/s/out
	capture bash -c 'printf hello | "$@"' sh "$runbuild" step --quiet --rootfs "$base" -- sh -c 'cat; echo err >&2'
	same 'standard output' hello "$(<"$bundle/out")"
	same 'standard error' err "$(<"$bundle/err")"
}

test_the_environment_is_exactly_what_was_given() {
	in_base -e A=1 -e 'B=two words' -- env
	output_is $'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOME=/root\nA=1\nB=two words' ||
		same 'the variables' $'A=1\nB=two words\nHOME=/root\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
			"$(sort "$bundle/out")"
}

test_the_step_is_alone() {
	in_base -- sh -c 'echo $$; ls /proc | grep -c "^[0-9]"; ls /sys/class/net; hostname >/dev/null'
	same 'pid, processes, interfaces' $'1\n3\nlo' "$(<"$bundle/out")"
}

test_no_descriptor_of_ours_is_passed_on() {
	in_base -- sh -c 'ls /proc/self/fd | wc -l'
	# 0, 1, 2 and the one that ls has open
	output_is 4
}

test_the_step_runs_under_a_filter_without_new_privileges() {
	in_base -- grep -E '^(NoNewPrivs|Seccomp|CapBnd):' /proc/self/status
	same 'the status file' $'CapBnd:\t00000000a80425fb\nNoNewPrivs:\t1\nSeccomp:\t2' "$(<"$bundle/out")"
}

test_insecure_takes_the_protections_away() {
	in_base --insecure -- grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status
	same 'the status file' $'NoNewPrivs:\t0\nSeccomp:\t0' "$(<"$bundle/out")"
}

test_users_are_numbers_or_names_of_the_image() {
	in_base --user 33 -- id -u
	output_is 33
	in_base --user 33:1000 -- sh -c 'id -u; id -g'
	output_is $'33\n1000'
	in_base --user app -- id
	output_is 'uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)'
	in_base --user app:www-data -- sh -c 'id -u; id -g'
	output_is $'1000\n33'
	in_base --user nobody-there -- true
	refused 125 'no user "nobody-there" in the image' '/process/user' '[RB0802]'
	in_base --user 0:nogroup-there -- true
	refused 125 'no group "nogroup-there" in the image' '[RB0802]'
}

test_a_hostile_passwd_does_not_block() {
	local root=$scratch/s/hostile

	mkdir -p "$root/etc"
	mkfifo "$root/etc/passwd"
	bundle=$scratch/s/out
	capture timeout 20 "$runbuild" step --quiet --rootfs "$root" --user x -- true
	refused 125 "cannot read the image's /etc/passwd" '[RB0802]'
}

test_mounts_appear_where_they_were_asked_for() {
	mkdir -p "$scratch/s/source"
	echo found >"$scratch/s/source/f"
	in_base --mount "src=$scratch/s/source,dst=/m,ro" --mount type=tmpfs,dst=/t,size=64k -- \
		sh -c 'cat /m/f; touch /m/g 2>/dev/null || echo ro; stat -f -c %T /t'
	output_is $'found\nro\ntmpfs'
}

test_bad_options_are_named() {
	in_base --mount nonsense -- true
	refused 125 "--mount: cannot read 'nonsense'" '[RB0001]'
	in_base --memory much -- true
	refused 125 "--memory: 'much' is not a size" '[RB0001]'
	in_base --timeout soon -- true
	refused 125 "--timeout: 'soon' is not a duration" '[RB0001]'
	in_base --net vpn -- true
	refused 125 "unknown network 'vpn'" '[RB0001]'
	in_base --env A -- true
	refused 125 "--env: 'A' has no value" '[RB0001]'
	in_base --lower /x -- true
	refused 125 'give either --rootfs or --lower and --upper' '[RB0001]'
}

test_the_timeout_gives_124() {
	in_base --timeout 200ms -- sh -c 'trap "echo term; exit 3" TERM; while :; do sleep 0.05; done'
	same 'the status' 124 "$status"
	same 'the output' term "$(<"$bundle/out")"
}

test_the_summary_is_one_line() {
	bundle=$scratch/s/out
	capture "$runbuild" step --rootfs "$base" -- true
	grep -qE '^runbuild: exit 0 in [0-9.]+ s \(cpu [0-9.]+ s user, [0-9.]+ s system; memory [0-9.]+ MiB; set up in [0-9.]+ ms\)$' \
		"$bundle/err" || fail "$(cat "$bundle/err")"
	same 'lines' 1 "$(wc -l <"$bundle/err")"
}

test_the_summary_can_be_json() {
	bundle=$scratch/s/out
	capture "$runbuild" step --json --rootfs "$base" -- sh -c 'exit 3'
	same 'the result' 'false 3 null false' "$(jq -r '"\(.ok) \(.code) \(.signal) \(.timedOut)"' "$bundle/err")"
}

test_print_shows_what_a_worker_takes() {
	bundle=$scratch/s/out
	capture "$runbuild" step --print --rootfs / --timeout 1m --user 1 -e A=b --tty -- a b
	same 'the description' '{"process":{"args":["a","b"],"env":["A=b","PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"user":"1","tty":true},"rootfs":{"path":"/"},"net":{"mode":"none"},"timeoutMs":60000}' \
		"$(jq -c 'del(.step)' "$bundle/out")"
}

test_a_step_gets_a_terminal() {
	bundle=$scratch/s/out
	capture script -qec "$runbuild shell --quiet --rootfs $base -- tty" /dev/null
	grep -qa '/dev/pts/0' "$bundle/out" || fail "$(cat "$bundle/out")"
}

test_progress_is_shown_on_a_terminal_and_taken_away() {
	bundle=$scratch/s/out
	capture script -qec "$runbuild step --rootfs $base -- sh -c 'sleep 1.8; echo end'" /dev/null
	grep -qE '\[1\.[0-9] s, cpu [0-9.]+ s, memory [0-9]+ MiB\]' "$bundle/out" || fail "$(cat -v "$bundle/out")"
	# the line is gone before the output comes
	grep -qP '\r\x1b\[Kend' "$bundle/out" || fail "$(cat -v "$bundle/out")"
}

children_of() {
	cat "/proc/$1/task/$1/children" 2>/dev/null || true
}

test_a_killed_step_leaves_no_process() {
	local pid family=() child

	mkfifo "$scratch/s/ready"
	(exec "$runbuild" step --quiet --rootfs "$base" -- sh -c 'echo up; sleep 1000' >"$scratch/s/ready") &
	pid=$!
	read -r _ <"$scratch/s/ready"
	family=("$pid")
	for child in $(children_of "$pid"); do
		family+=("$child")
		# shellcheck disable=SC2207 # numbers
		family+=($(children_of "$child"))
	done
	((${#family[@]} >= 3)) || fail "expected several processes: ${family[*]}"
	kill -KILL "$pid"
	wait "$pid" || true
	for child in "${family[@]}"; do
		await 5 test ! -e "/proc/$child/exe" || fail "process $child lives"
	done
}
