# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # variables of the suite; single quotes hold the container's scripts
#
# Terminals: one of our own as BuildKit wants it, or handed over the console socket.

terminal() {
	"$here/terminal.py" "$@"
}

tty_bundle() {
	new_bundle "$1"
	edit_config '.process.terminal = true'
}

test_terminal_without_a_socket_is_copied() {
	tty_bundle tty
	set_script 'tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo terminal; exit 6'
	capture terminal own -- "$runbuild" --root "$state_root" --log "$bundle/log" run --bundle "$bundle" tty
	same 'the status' 6 "$status"
	same 'output' '/dev/pts/0
terminal' "$(tr -d '\r' <"$bundle/out")"
}

test_terminal_works_with_plain_pipes_outside() {
	tty_bundle ttypipe
	set_script 'read line; echo "got $line"'
	printf 'typed\n' | runtime run --bundle "$bundle" ttypipe >"$bundle/out"
	grep -q 'got typed' "$bundle/out" || fail "$(<"$bundle/out")"
}

test_terminal_is_the_controlling_one_and_the_console() {
	need_probe
	tty_bundle ttycontrol
	set_script '/bin/probe controlling; stat -c "%F" /dev/console; [ "$(stat -c %t:%T /dev/console)" = "$(stat -L -c %t:%T /dev/stdin)" ] && echo same'
	capture terminal own -- "$runbuild" --root "$state_root" run --bundle "$bundle" ttycontrol
	same 'output' 'foreground
character special file
same' "$(tr -d '\r' <"$bundle/out")"
}

test_terminal_takes_the_callers_size_and_follows_sigwinch() {
	need_probe
	tty_bundle ttysize
	edit_config '.process.args = ["/bin/probe", "winch"]'
	capture terminal own --size 33x101 --resize 44x122 -- \
		"$runbuild" --root "$state_root" run --bundle "$bundle" ttysize
	same 'output' '33x101
44x122' "$(tr -d '\r' <"$bundle/out")"
}

test_terminal_passes_typed_signals() {
	tty_bundle ttyint
	set_script 'trap "echo interrupted; exit 3" INT; echo ready; while :; do sleep 0.05; done'
	capture terminal own --send '\x03' -- "$runbuild" --root "$state_root" run --bundle "$bundle" ttyint
	same 'the status' 3 "$status"
	grep -q interrupted "$bundle/out" || fail "$(<"$bundle/out")"
}

test_terminal_console_size_is_set() {
	need_probe
	tty_bundle ttyconsole
	edit_config '.process.consoleSize = {height: 11, width: 22}'
	set_script 'stty size'
	runtime run --bundle "$bundle" ttyconsole </dev/null | tr -d '\r' >"$bundle/out"
	same 'output' '11 22' "$(<"$bundle/out")"
}

test_terminal_goes_over_the_console_socket() {
	tty_bundle ttysocket
	set_script 'tty; echo done'
	capture terminal receive "$bundle/console.sock" -- \
		"$runbuild" --root "$state_root" run --detach --console-socket "$bundle/console.sock" --bundle "$bundle" ttysocket
	same 'the status' 0 "$status"
	same 'output' 'received 9 bytes, 1 descriptors
/dev/pts/0
done' "$(tr -d '\r' <"$bundle/out")"
	await 20 status_is ttysocket stopped
	remove ttysocket
}

test_terminal_of_create_goes_over_a_long_socket_path() {
	local long

	long=$scratch/$(printf 'd%.0s' {1..120})
	mkdir -p "$long"
	tty_bundle ttycreate
	set_script 'echo started'
	# bind(2) takes 107 bytes: the receiver binds in its own directory
	(cd "$long" && capture terminal receive console.sock -- sh -c '
		"$1" --root "$2" create --console-socket "$3/console.sock" --bundle "$4" ttycreate && "$1" --root "$2" start ttycreate' \
		sh "$runbuild" "$state_root" "$long" "$bundle"
	same 'the status' 0 "$status" || fail "$(cat "$bundle/err")"
	grep -q started "$bundle/out" || fail "$(<"$bundle/out")") || fail
	remove ttycreate
}

test_console_socket_that_nobody_listens_on_fails() {
	tty_bundle ttynobody
	run_container ttynobody --detach --console-socket "$scratch/nowhere.sock"
	refused 1 "$scratch/nowhere.sock"
	[[ ! -e $state_root/ttynobody ]] || fail 'state is left'
}

# Whether the message or the hanging up comes first is the scheduler's choice: either an error that
# leaves nothing, or a container whose terminal has hung up.
test_console_socket_that_closes_early_leaves_no_doubt() {
	local round

	for round in 1 2 3 4 5 6 7 8; do
		tty_bundle "ttyclose$round"
		set_script 'exec sleep 600'
		capture terminal close "$bundle/console.sock" -- "$runbuild" --root "$state_root" \
			create --console-socket "$bundle/console.sock" --bundle "$bundle" "ttyclose$round"
		if ((status == 0)); then
			status_is "ttyclose$round" created || fail "status $(status_of "ttyclose$round")"
			remove "ttyclose$round"
		else
			refused 1 "$bundle/console.sock"
		fi
		[[ ! -e $state_root/ttyclose$round ]] || fail 'state is left'
	done
}

test_terminal_detached_without_a_socket_is_refused_in_runcs_words() {
	tty_bundle ttydetach
	run_container ttydetach --detach
	refused 1 'cannot allocate tty if runc will detach without setting console socket'
	new_bundle nottysocket
	run_container nottysocket --console-socket "$scratch/nowhere.sock"
	refused 1 'cannot use console socket if runc will not detach or allocate tty'
}

test_exec_with_a_terminal() {
	sleeper exectty
	capture terminal own --size 21x55 -- "$runbuild" --root "$state_root" exec --tty exectty /bin/sh -c 'tty; stty size; exit 4'
	same 'the status' 4 "$status"
	same 'output' '/dev/pts/0
21 55' "$(tr -d '\r' <"$bundle/out")"
	capture runtime exec -t -d exectty /bin/true
	refused 255 'cannot allocate tty if runc will detach without setting console socket'
	capture terminal receive "$bundle/console.sock" -- "$runbuild" --root "$state_root" \
		exec -t -d --console-socket "$bundle/console.sock" exectty /bin/echo over-there
	same 'output' 'received 9 bytes, 1 descriptors
over-there' "$(tr -d '\r' <"$bundle/out")"
	remove exectty
}
