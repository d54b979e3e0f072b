# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # variables of the suite; single quotes hold the container's scripts
#
# What clients match: exit codes and words, row by row, the same for runc where it
# can run. The words are those that containerd, podman, docker and BuildKit grep.

# STATUS | WORDS | ARGUMENTS   ("-": no words, and nothing on stderr)
client_rows() {
	cat <<-'E'
		1   | container does not exist | state missing
		1   | container does not exist | start missing
		1   | container does not exist | kill missing 9
		1   | container does not exist | kill missing KILL
		1   | container does not exist | delete missing
		0   | - | delete --force missing
		0   | - | delete -f missing
		255 | container does not exist | exec missing /bin/true
		1   | unknown signal "FOO" | kill running FOO
		0   | - | kill running 0
		1   | cannot start an already running container | start running
		1   | cannot delete container running that is not stopped: running | delete running
		255 | no such file or directory | exec running /no/such
		255 | executable file not found in $PATH | exec running nosuchprogram
		255 | permission denied | exec running /etc/passwd
		255 | process args cannot be empty | exec running
		5   | - | exec running /bin/sh -c "exit 5"
		0   | - | exec --detach running /bin/true
		255 | cannot allocate tty if runc will detach without setting console socket | exec -t -d running /bin/true
		255 | cannot use console socket if runc will not detach or allocate tty | exec --console-socket /x running /bin/true
		1   | already running container | start running
		0   | - | state running
		0   | - | state stopped
		1   | container not running | kill stopped 9
		1   | cannot start a container that has stopped | start stopped
		255 | cannot exec in a stopped container | exec stopped /bin/true
		1   | already exists | run --bundle @BUNDLE@ stopped
		1   | already exists | create --bundle @BUNDLE@ stopped
		0   | - | delete stopped
		1   | container does not exist | delete stopped
		1   | invalid container ID format | state ../x
		1   | invalid container ID format | run --bundle @BUNDLE@ ../x
		1   | invalid container ID format | run --bundle @BUNDLE@ a/b
		1   | "run" requires exactly 1 argument(s) | run
		1   | "run" requires exactly 1 argument(s) | run a b
		1   | "state" requires exactly 1 argument(s) | state
		1   | "start" requires exactly 1 argument(s) | start
		1   | "delete" requires exactly 1 argument(s) | delete
		1   | "kill" requires a minimum of 1 argument(s) | kill
		1   | "exec" requires a minimum of 1 argument(s) | exec
		3   | No help topic for 'nosuchcmd' | nosuchcmd
		0   | - | features
		0   | - | --version
		1   | config.json | run --bundle @BUNDLE@/rootfs broken
		1   | no such file or directory | run --bundle @BUNDLE@/nowhere broken
	E
}

# Rows of a wrong number of words: the usage goes to stdout.
usage_is_on_stdout() {
	capture "$RT" --root "$RT_ROOT" --log "$bundle/log" "$@"
	grep -q '^USAGE:' "$bundle/out" || printf '%s: no usage on stdout\n' "$*"
}

# prepare_rows RUNTIME ROOT NAME: containers "running" and "stopped".
prepare_rows() {
	new_bundle "rows-$3"
	set_script 'exec sleep 600'
	"$1" --root "$2" run -d --bundle "$bundle" running </dev/null >"$bundle/detached" 2>&1 &&
		"$1" --root "$2" run -d --bundle "$bundle" stopped </dev/null >>"$bundle/detached" 2>&1 &&
		"$1" --root "$2" kill stopped KILL || return 1
	await 20 row_stopped "$1" "$2"
}

row_stopped() {
	[[ $("$1" --root "$2" state stopped | jq -r .status) == stopped ]]
}

# check_rows: prints every row that comes out differently with $RT.
check_rows() {
	local expected words arguments error call

	while IFS='|' read -r expected words arguments; do
		expected=${expected// /} words=${words# } words=${words% }
		eval "call=(${arguments//@BUNDLE@/\"\$bundle\"})"
		capture timeout 60 "$RT" --root "$RT_ROOT" --log "$bundle/log" "${call[@]}" </dev/null
		error=$(<"$bundle/err")
		[[ $status == "$expected" ]] || printf '%s: status %s, not %s: %s\n' "${call[*]}" "$status" "$expected" "$error"
		if [[ $words == - ]]; then
			[[ -z $error ]] || printf '%s: stderr: %s\n' "${call[*]}" "$error"
		elif ! grep -qiF -e "$words" "$bundle/err"; then
			printf '%s: no "%s" in: %s\n' "${call[*]}" "$words" "$error"
		fi
	done < <(client_rows)
	usage_is_on_stdout run
	usage_is_on_stdout exec
}

test_words_and_codes_for_clients() {
	RT=$runbuild RT_ROOT=$state_root
	prepare_rows "$RT" "$RT_ROOT" own || fail 'no containers' "$(<"$bundle/detached")"
	check_rows >"$scratch/rows.own"
	remove running
	same 'rows that differ' '' "$(<"$scratch/rows.own")"
}

# The table itself is true: the distribution's runc gives the same answers.
test_words_and_codes_are_runcs() {
	local runc

	runc=$(PATH=$PATH:/usr/sbin type -P runc) || skip 'no runc to compare with'
	grep -q '^runc version 1\.1\.' <<<"$("$runc" --version)" || skip "the table is runc 1.1's, this is $("$runc" --version | head -n 1)"
	RT=$runc RT_ROOT=$scratch/runc-state
	if ! prepare_rows "$RT" "$RT_ROOT" runc; then
		"$RT" --root "$RT_ROOT" delete -f running >/dev/null 2>&1 || true
		"$RT" --root "$RT_ROOT" delete -f stopped >/dev/null 2>&1 || true
		skip "runc cannot run here: $(tail -n 1 "$bundle/detached")"
	fi
	check_rows >"$scratch/rows.runc"
	"$RT" --root "$RT_ROOT" delete --force running
	same 'rows that differ' '' "$(<"$scratch/rows.runc")"
}

# One buffer takes stdout and stderr of these calls, and is parsed: not one byte more.
test_parsed_output_is_clean_in_one_buffer() {
	sleeper buffer
	runtime state buffer >"$bundle/both" 2>&1
	jq -e '.status == "running"' "$bundle/both" >/dev/null || fail "$(<"$bundle/both")"
	"$runbuild" --root "$state_root" --debug --log "$bundle/log" state buffer >"$bundle/both" 2>&1
	jq -e '.status == "running"' "$bundle/both" >/dev/null || fail "$(<"$bundle/both")"
	remove buffer
}

# containerd's shim decodes the log as a stream of objects and takes the last error.
test_last_error_of_the_json_log_is_the_failure() {
	new_bundle jsonlog
	edit_config '.process.args = ["nosuchprogram"]'
	capture "$runbuild" --root "$state_root" --log "$bundle/log" --log-format json run --bundle "$bundle" jsonlog
	jq -es 'map(select(.level == "error")) | last | .msg | test("executable file not found in \\$PATH")' \
		"$bundle/log" >/dev/null || fail "$(<"$bundle/log")"
}

# BuildKit's life of a step: run --keep, state, exec, kill, delete without --force.
test_buildkits_calls_in_buildkits_order() {
	local call

	buildkit_bundle bkcalls
	set_script 'exec sleep 600'
	call=("$runbuild" --log "$bundle/log" --log-format json)
	export XDG_RUNTIME_DIR=$scratch/run
	"${call[@]}" run --bundle "$bundle" --keep bkcalls >"$bundle/out" 2>&1 </dev/null &
	await 20 bk_running || fail "$(cat "$bundle/out")"
	jq '.process | .args = ["/bin/sh", "-c", "echo inside"]' "$bundle/config.json" >"$bundle/process.json"
	same 'exec' inside "$("${call[@]}" exec --process "$bundle/process.json" --pid-file "$bundle/epid" bkcalls)"
	"${call[@]}" kill bkcalls 9
	wait $! && status=0 || status=$?
	same 'the status' 137 "$status"
	capture "${call[@]}" delete bkcalls
	output_is ''
	capture "${call[@]}" kill bkcalls 9
	refused 1 'does not exist'
}

bk_running() {
	[[ $("${call[@]}" state bkcalls 2>/dev/null | jq -r .status) == running ]]
}
