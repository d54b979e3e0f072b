# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# conmon as CRI-O calls it, and CRI-O's own calls, by hand: it is not in Debian.
# conmon reads the pid file, takes standard error of a failed call for the
# message, is the subreaper and so the parent of the container, and insists on a
# terminal arriving on the console socket.

start_client() {
	[[ $as == root ]] || skip_everything 'CRI-O runs as root; conmon as an ordinary user is under podman'
	needs_program conmon
	state_roots=("$scratch/state") cgroups_of_client='crio' manager_option=() store=$scratch
	client_environment=()
	prepare_client_bundles
	mkdir "$scratch/exits" "$scratch/sockets"
}

# The bundles of tests/lib, with a configuration that either runtime may write.
prepare_client_bundles() {
	mkdir -p "$scratch/base" "$scratch/bundles"
	cp -a "$scratch/rootfs" "$scratch/base/rootfs"
	"$runtime" spec --bundle "$scratch/base"
	jq '.process.terminal = false | .root.readonly = false | .process.env = ["PATH=/bin"]' \
		"$scratch/base/config.json" >"$scratch/base/config.new"
	mv -- "$scratch/base/config.new" "$scratch/base/config.json"
	state_root=$scratch/state
}

stop_client() {
	:
}

# CRI-O's own calls: nothing in the environment but the folder, and with the
# systemd manager the option before every verb.
rt() {
	as_caller env -i XDG_RUNTIME_DIR="$home/run" "$runtime" --root "$state_root" "${manager_option[@]}" "$@"
}

# conmon_says OPTION…: conmon as CRI-O starts it, in the bundle, with descriptor 3 to
# tell on and 4 to be told on that it may begin; sets $told to what it says first.
conmon_says() {
	local pipe

	for pipe in sync start; do
		[[ -p $bundle/$pipe ]] || mkfifo "$bundle/$pipe"
	done
	exec 7<>"$bundle/sync" 8<>"$bundle/start"
	printf '\0' >&8
	(
		cd "$bundle"
		exec env -i PATH="$packaged" XDG_RUNTIME_DIR="$home/run" _OCI_SYNCPIPE=3 _OCI_STARTPIPE=4 \
			conmon "$@" 3<>"$bundle/sync" 4<>"$bundle/start" 7>&- 8>&-
	) >"$bundle/conmon.out" 2>&1 </dev/null || true
	IFS= read -r -t 20 -u 7 told || fail "conmon said nothing: $(cat "$bundle/conmon.out")" || return 1
	exec 7>&- 8>&-
}

# conmon_for ID OPTION…: CRI-O's CreateContainer.
conmon_for() {
	local id=$1

	shift
	conmon_says -b "$bundle" -c "$id" --exit-dir "$scratch/exits" -l "$bundle/log" --log-level error \
		-n "k8s_$id" -P "$bundle/conmon-pidfile" -p "$bundle/pidfile" --persist-dir "$bundle" \
		-r "$runtime" --runtime-arg "--root=$state_root" --socket-dir-path "$scratch/sockets" \
		--syslog -u "$id" --log-size-max 1000000 "$@"
}

# exec_sync ID OPTION…: CRI-O's ExecSyncContainer of $bundle/process.json. The file for
# the process id is there before, and empty.
exec_sync() {
	local id=$1

	shift
	: >"$bundle/exec.pid"
	: >"$bundle/exec.log"
	conmon_says -c "$id" -n "k8s_$id" -r "$runtime" -p "$bundle/exec.pid" -e -l "$bundle/exec.log" \
		--socket-dir-path "$scratch/sockets" --log-level error --sync --log-global-size-max 16777216 \
		"$@" --exec-process-spec "$bundle/process.json" --runtime-arg "--root=$state_root"
}

# process_of FILTER: $bundle/process.json, the container's own process but for FILTER.
process_of() {
	jq ".process | $1" "$bundle/config.json" >"$bundle/process.json"
}

# created ID: a container by way of conmon, not started.
created() {
	conmon_for "$@"
	same 'what conmon says' "$(<"$bundle/pidfile")" "$(jq .pid <<<"$told")" || fail "$told"
	same 'the status' created "$(field "$1" .status)"
	same 'the pid' "$(<"$bundle/pidfile")" "$(field "$1" .pid)"
}

field() {
	rt state "$1" | jq -r "$2"
}

exit_is() {
	[[ -s $scratch/exits/$1 && $(<"$scratch/exits/$1") == "$2" ]]
}

# ended ID STATUS: the container's status reached conmon; nothing of it is left.
ended() {
	await 15 exit_is "$1" "$2" || fail "the exit file says '$(cat "$scratch/exits/$1")', not $2"
	same 'the status' stopped "$(field "$1" .status)"
	rt delete "$1"
	exits 0 rt delete --force "$1"
	[[ ! -s $scratch/out && ! -s $scratch/err ]] || fail "delete --force: $(cat "$scratch/out" "$scratch/err")"
	rm -f "$scratch/exits/$1"
}

test_create_start_and_the_end() {
	new_bundle plain
	set_script 'echo out; echo err >&2; exit 5'
	created plain
	rt start plain
	ended plain 5
	contains "$bundle/log" 'stdout F out' 'stderr F err'
}

test_the_container_is_the_child_of_conmon() {
	new_bundle child
	set_script 'sleep 1000'
	created child
	rt start child
	same 'the parent' "$(<"$bundle/conmon-pidfile")" "$(awk '$1 == "PPid:" { print $2 }' "/proc/$(<"$bundle/pidfile")/status")"
	rt kill child KILL
	ended child 137
}

test_a_failing_create_tells_conmon_why() {
	new_bundle failing
	edit_config '.process.args = ["no-such-program"]'
	conmon_for failing || true
	grep -q 'executable file not found in \$PATH' <<<"$told" || fail "conmon says: $told"
	exits 1 rt state failing
	contains "$scratch/err" 'does not exist'
}

test_a_terminal_arrives_at_conmon() {
	new_bundle terminal
	edit_config '.process.terminal = true'
	set_script 'tty; stty size >/dev/null && exit 4'
	created terminal --terminal
	rt start terminal
	ended terminal 4
	contains "$bundle/log" /dev/pts/0
}

test_exec_by_conmon() {
	new_bundle execs
	set_script 'sleep 1000'
	created execs
	rt start execs
	process_of '.args = ["/bin/sh", "-c", "echo from-exec; echo of-exec >&2; exit 6"]'
	exec_sync execs
	same 'what conmon says' 6 "$(jq .exit_code <<<"$told")" || fail "$told"
	contains "$bundle/exec.log" 'stdout F from-exec' 'stderr F of-exec'
	grep -qxE '[0-9]+' "$bundle/exec.pid" || fail "the pid file: $(od -c "$bundle/exec.pid")"
	rt kill execs KILL
	ended execs 137
}

test_exec_beyond_its_time_is_ended() {
	new_bundle exectime
	set_script 'sleep 1000'
	created exectime
	rt start exectime
	process_of '.args = ["/bin/sleep", "4321"]'
	exec_sync exectime -T 1
	same 'what conmon says' '-1 command timed out' "$(jq -r '"\(.exit_code) \(.message)"' <<<"$told")" || fail "$told"
	await 10 no_process_of 4321 || fail 'the process lives'
	same 'the status' running "$(field exectime .status)"
	rt kill exectime KILL
	ended exectime 137
}

no_process_of() {
	! process_runs "$1"
}

test_exec_with_a_terminal_by_conmon() {
	new_bundle exectty
	set_script 'sleep 1000'
	created exectty
	rt start exectty
	process_of '.args = ["/bin/tty"] | .terminal = true'
	exec_sync exectty -t
	same 'what conmon says' 0 "$(jq .exit_code <<<"$told")" || fail "$told"
	contains "$bundle/exec.log" /dev/pts/
	rt kill exectty KILL
	ended exectty 137
}

test_a_failing_exec_tells_conmon_why() {
	new_bundle execfail
	set_script 'sleep 1000'
	created execfail
	rt start execfail
	process_of '.args = ["no-such-program"]'
	exec_sync execfail
	same 'what conmon says' -1 "$(jq .exit_code <<<"$told")" || fail "$told"
	grep -q 'executable file not found in \$PATH' <<<"$told" || fail "conmon says: $told"
	same 'the pid file of a process that never ran' '' "$(<"$bundle/exec.pid")"
	rt kill execfail KILL
	ended execfail 137
}

# CRI-O's ExecContainer: the runtime itself, with a pipe for its input.
test_exec_by_crio_itself() {
	new_bundle execself
	set_script 'sleep 1000'
	created execself
	rt start execself
	process_of '.args = ["/bin/sh", "-c", "read line; echo got $line; echo error >&2; exit 8"]'
	exits 8 rt exec --process "$bundle/process.json" execself < <(echo typed)
	same 'its output' 'got typed' "$(<"$scratch/out")"
	same 'its errors' error "$(<"$scratch/err")"
	process_of '.args = ["/bin/tty"] | .terminal = true'
	same 'its terminal' /dev/pts/0 "$(on_terminal as_caller env -i XDG_RUNTIME_DIR="$home/run" \
		"$runtime" --root "$state_root" exec --process "$bundle/process.json" execself)"
	rt kill execself KILL
	ended execself 137
}

test_the_oom_killer_is_told() {
	[[ -d /sys/fs/cgroup/memory ]] || skip 'no v1 memory controller: v2 has its test in the guest'
	new_bundle oom
	edit_config '.linux.cgroupsPath = "/crio/oom" | .linux.resources.memory = {limit: 33554432, swap: 33554432}'
	set_script 'head -c 200000000 /dev/zero | tail -c 190000000 >/dev/null; exit $?'
	created oom
	rt start oom
	await 15 test -e "$bundle/oom" || fail 'no file "oom" by conmon'
	await 15 test -s "$scratch/exits/oom"
	rt delete oom
}

# lives_like_crio ID: what CRI-O does with a container between its start and its end.
lives_like_crio() {
	created "$1" --leave-stdin-open -i
	rt start "$1"
	same 'the state' "running $bundle pod" "$(field "$1" '"\(.status) \(.bundle) \(.annotations["io.kubernetes.pod.name"])"')"
	[[ $(field "$1" .created) == 20*T*Z ]] || fail "created: $(field "$1" .created)"
	rt pause "$1"
	same 'the status' paused "$(field "$1" .status)"
	# a paused container is resumed before its stop signal
	rt resume "$1"
	same 'the status' running "$(field "$1" .status)"
	await 5 traps_term
	rt kill "$1" 15
	await 15 exit_is "$1" 42 || fail "the exit file says '$(cat "$scratch/exits/$1")'"
	# what CRI-O takes for "it is gone already"
	exits 1 rt kill "$1" KILL
	contains "$scratch/err" 'container not running'
	ended "$1" 42
}

test_calls_of_crio() {
	new_bundle crio
	edit_config '.linux.cgroupsPath = "/crio/crio" | .annotations = {"io.kubernetes.pod.name": "pod"}'
	set_script 'trap "exit 42" TERM; while :; do sleep 0.1; done'
	lives_like_crio crio
}

# The option stands before verbs of a container whose group systemd does not have, too.
test_calls_of_crio_with_the_systemd_manager() {
	new_bundle criosystemd
	edit_config '.linux.cgroupsPath = "/crio/criosystemd" | .annotations = {"io.kubernetes.pod.name": "pod"}'
	set_script 'trap "exit 42" TERM; while :; do sleep 0.1; done'
	manager_option=(--systemd-cgroup)
	lives_like_crio criosystemd
}

# Without a pid namespace of its own a container's other processes outlive the first.
test_kill_of_all_after_the_end_reaches_the_rest() {
	new_bundle rest
	edit_config '.linux.cgroupsPath = "/crio/rest" | .linux.namespaces |= map(select(.type != "pid"))'
	set_script 'sleep 9876 & exit 7'
	created rest
	rt start rest
	await 15 exit_is rest 7 || fail "the exit file says '$(cat "$scratch/exits/rest")'"
	await 10 process_runs 9876 || fail 'nothing is left to be killed'
	same 'the status' stopped "$(field rest .status)"
	exits 0 rt kill -a rest 9
	await 10 no_process_of 9876 || fail 'the process lives'
	rt delete --force rest
	rm -f "$scratch/exits/rest"
}

# How CRI-O and podman ask what a runtime can do: everything it says is read as one text.
test_questions_before_the_first_container() {
	as_caller env -i "$runtime" features >"$scratch/both" 2>&1
	jq -e '.ociVersionMin and .ociVersionMax and (.mountOptions | index("rro"))' "$scratch/both" >/dev/null ||
		fail "$(<"$scratch/both")"
	exits 0 as_caller env -i "$runtime" checkpoint --help
	as_caller env -i "$runtime" restore --lsm-mount-context >"$scratch/both" 2>&1 || true
	grep -qE 'flag needs an argument|requires an argument' "$scratch/both" || fail "$(<"$scratch/both")"
}

test_update_by_crio() {
	local pids=/sys/fs/cgroup/pids/crio/update/pids.max

	[[ -d /sys/fs/cgroup/pids ]] || skip 'no v1 controllers: v2 has its test in the guest'
	new_bundle update
	edit_config '.linux.cgroupsPath = "/crio/update"'
	set_script 'sleep 1000'
	created update
	rt start update
	rt update --resources - update <<<'{"pids": {"limit": 55}, "cpu": {"shares": 512}}'
	same 'pids' 55 "$(<"$pids")"
	rt update --resources=- update <<<'{"pids": {"limit": 66}}'
	same 'pids' 66 "$(<"$pids")"
	rt kill -a update KILL
	ended update 137
}

test_kill_with_numbers_and_names() {
	local name

	for name in 15 TERM SIGTERM; do
		new_bundle "kill-$name"
		set_script 'trap "exit 42" TERM; while :; do sleep 0.1; done'
		created "kill-$name"
		rt start "kill-$name"
		await 5 traps_term
		rt kill "kill-$name" "$name"
		ended "kill-$name" 42
		exits 1 rt kill "kill-$name" KILL
		contains "$scratch/err" 'does not exist'
	done
}

# SIGTERM is 15: bit 14 of the caught signals, proc_pid_status(5).
traps_term() {
	((16#$(awk '$1 == "SigCgt:" { print $2 }' "/proc/$(<"$bundle/pidfile")/status") >> 14 & 1))
}

test_kill_before_start_and_delete_force_of_a_running_one() {
	new_bundle early
	set_script 'sleep 1000'
	created early
	rt kill early KILL
	ended early 137
	new_bundle forced
	set_script 'sleep 1000'
	created forced
	rt start forced
	rt delete --force forced
	await 15 exit_is forced 137
	exits 1 rt state forced
}

test_the_pid_file_has_digits_only() {
	new_bundle digits
	set_script 'exit 0'
	created digits
	same 'bytes that are no digits' '' "$(tr -d 0-9 <"$bundle/pidfile" | od -An -c)"
	rt start digits
	ended digits 0
}
