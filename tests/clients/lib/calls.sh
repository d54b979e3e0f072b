# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # the suite sets and reads
#
# Calls of a client, and what is expected of them.

# of a daemon that start_daemon started
daemon_network=host

# prints TEXT COMMAND…: COMMAND succeeds, prints TEXT and no error.
prints() {
	local expected=$1 out status=0

	shift
	out=$("$@" 2>"$scratch/err" | tr -d '\r\0') || status=$?
	[[ $status == 0 && ! -s $scratch/err ]] ||
		fail "status $status: $*" "$out" "$(cat "$scratch/err")" || return 1
	same "the output of: $*" "$expected" "$out"
}

# exits STATUS COMMAND…: its output is in $scratch/out and $scratch/err.
exits() {
	local expected=$1 status=0

	shift
	"$@" >"$scratch/out" 2>"$scratch/err" || status=$?
	same "the status of: $*" "$expected" "$status" || fail "$(cat "$scratch/out" "$scratch/err" | tr -d '\0')"
}

# shows TEXT COMMAND…: COMMAND succeeds, with TEXT somewhere in what it prints.
shows() {
	local text=$1

	shift
	exits 0 "$@" || return 1
	cat "$scratch/err" >>"$scratch/out"
	contains "$scratch/out" "$text" || fail "printed: $(<"$scratch/out")"
}

# on_terminal COMMAND…: the last line of COMMAND, a function of ours or not, on
# a terminal of 31 lines and 97 columns.
on_terminal() {
	{
		declare -f
		declare -p client_environment as user user_id owner home scratch runtime packaged store daemon_network
		printf 'stty rows 31 cols 97\n'
		printf '%q ' "$@"
	} >"$scratch/on-terminal"
	# Its own input stays open: script(1) passes an end on, and a client may then
	# close the terminal.
	script -qec "$BASH $scratch/on-terminal" /dev/null <&"$nap_fd" | tr -dc '[:print:]\n' | tail -n 1
}

# For the inside of a container: waits until its terminal has the size above,
# which the client sets after the start, then prints it.
# shellcheck disable=SC2034 # the case files read it
readonly show_size='until stty size 2>/dev/null | grep 97; do sleep 0.05; done'

# process_runs WORD…: a process with exactly this command line.
process_runs() {
	grep -qasxzF -e "$1" /proc/[0-9]*/cmdline
}

# With a reduced bounding set runc refuses what it cannot give; we give the rest.
needs_all_capabilities() {
	local last

	[[ $("$runtime" --version) == runc* ]] || return 0
	last=$(</proc/sys/kernel/cap_last_cap)
	(($((16#$(awk '$1 == "CapBnd:" { print $2 }' /proc/self/status))) == (2 << last) - 1)) ||
		skip 'this machine has not all capabilities, and runc wants all or none'
}

# start_daemon NETWORK FOLDERS COMMAND…: a daemon in the background; an ordinary user's is
# root in namespaces that the launcher makes, under the name that the daemons'
# own scripts call, with writable copies of FOLDERS. Its words are
# in $store/log. Sets daemon and daemon_network.
start_daemon() {
	local folder folders=() launcher=()

	# shellcheck disable=SC2086 # words
	for folder in $2; do
		folders+=("--copy-up=$folder")
	done
	if [[ $as == user ]]; then
		[[ ${runtime##*/} == runbuild ]] || skip_everything 'the launcher under test is runbuild'
		ln -s "$runtime" "$scratch/bin/rootlesskit"
		launcher=(rootlesskit --state-dir="$home/launcher" --net="$1" "${folders[@]}" --propagation=rslave)
	fi
	daemon_network=$1
	shift 2
	exec_as_caller "${launcher[@]}" "$@" >"$store/log" 2>&1 &
	daemon=$!
	[[ $as == root ]] || await 20 test -s "$home/launcher/child_pid" || refuse "the launcher: $(tail -n 5 "$store/log")"
}

# beside_daemon COMMAND…: where the daemon sees the same files and ids.
beside_daemon() {
	local enter=() network=()

	# the machine's own is not the user's to enter
	[[ $daemon_network == host ]] || network=(--net)
	[[ $as == root ]] || enter=(nsenter --user --preserve-credentials --mount "${network[@]}" --target "$(<"$home/launcher/child_pid")" --)
	as_caller "${enter[@]}" "$@"
}
