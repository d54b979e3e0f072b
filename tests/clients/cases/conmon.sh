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
	state_roots=("$scratch/state") cgroups_of_client='crio'
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

rt() {
	as_caller "$runtime" --root "$state_root" "$@"
}

# conmon_for ID OPTION…: conmon with what CRI-O gives it; sets $told to the first
# line that it writes to its caller.
conmon_for() {
	local id=$1

	shift
	[[ -p $bundle/sync ]] || mkfifo "$bundle/sync"
	exec 7<>"$bundle/sync"
	(
		export _OCI_SYNCPIPE=7
		client_environment+=(_OCI_SYNCPIPE=7)
		exec_as_caller conmon --bundle "$bundle" --cid "$id" --cuuid "$id" --name "$id" \
			--runtime "$runtime" --runtime-arg "--root=$state_root" \
			--exit-dir "$scratch/exits" --log-path "k8s-file:$bundle/log" --log-level error \
			--conmon-pidfile "$bundle/conmon.pid" --container-pidfile "$bundle/pid" \
			--persist-dir "$bundle" --socket-dir-path "$scratch/sockets" "$@" 7<>"$bundle/sync"
	) >"$bundle/conmon.out" 2>&1 </dev/null
	IFS= read -r -t 20 -u 7 told || fail "conmon said nothing: $(cat "$bundle/conmon.out")" || return 1
	exec 7>&-
}

# created ID: a container by way of conmon, not started.
created() {
	conmon_for "$@"
	grep -qE '^\{"(data|pid)": ?[0-9]+' <<<"$told" || fail "conmon says: $told"
	same 'the status' created "$(field "$1" .status)"
	same 'the pid' "$(<"$bundle/pid")" "$(field "$1" .pid)"
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
	same 'the parent' "$(<"$bundle/conmon.pid")" "$(awk '$1 == "PPid:" { print $2 }' "/proc/$(<"$bundle/pid")/status")"
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
	jq '.process | .args = ["/bin/sh", "-c", "echo from-exec; exit 6"]' "$bundle/config.json" >"$bundle/process.json"
	mkdir "$scratch/exec-exits"
	conmon_for execs --exec --exec-process-spec "$bundle/process.json" --container-pidfile "$bundle/exec.pid" \
		--exit-dir "$scratch/exec-exits" --log-path "k8s-file:$bundle/exec.log"
	await 10 grep -qs 6 "$scratch/exec-exits/execs" || fail "conmon says: $told"
	contains "$bundle/exec.log" from-exec
	rm -r "$scratch/exec-exits"
	rt kill execs KILL
	ended execs 137
}

test_exec_with_a_terminal_by_conmon() {
	new_bundle exectty
	set_script 'sleep 1000'
	created exectty
	rt start exectty
	jq '.process | .terminal = true | .args = ["/bin/tty"]' "$bundle/config.json" >"$bundle/process.json"
	mkdir "$scratch/exec-exits"
	conmon_for exectty --terminal --exec --exec-process-spec "$bundle/process.json" \
		--container-pidfile "$bundle/exec.pid" --exit-dir "$scratch/exec-exits" \
		--log-path "k8s-file:$bundle/exec.log"
	await 10 grep -qs 0 "$scratch/exec-exits/exectty" || fail "conmon says: $told"
	contains "$bundle/exec.log" /dev/pts/
	rm -r "$scratch/exec-exits"
	rt kill exectty KILL
	ended exectty 137
}

test_a_failing_exec_tells_conmon_why() {
	new_bundle execfail
	set_script 'sleep 1000'
	created execfail
	rt start execfail
	jq '.process | .args = ["no-such-program"]' "$bundle/config.json" >"$bundle/process.json"
	conmon_for execfail --exec --exec-process-spec "$bundle/process.json" --container-pidfile "$bundle/exec.pid" || true
	grep -q 'executable file not found in \$PATH' <<<"$told" || fail "conmon says: $told"
	[[ ! -e $bundle/exec.pid ]] || fail 'a pid file for a process that never ran'
	rt kill execfail KILL
	ended execfail 137
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

test_calls_of_crio() {
	new_bundle crio
	edit_config '.linux.cgroupsPath = "/crio/crio" | .annotations = {"io.kubernetes.pod.name": "pod"}'
	set_script 'trap "exit 42" TERM; while :; do sleep 0.1; done'
	created crio
	rt start crio
	same 'the state' "running $bundle pod" "$(field crio '"\(.status) \(.bundle) \(.annotations["io.kubernetes.pod.name"])"')"
	[[ $(field crio .created) == 20*T*Z ]]
	rt pause crio
	same 'the status' paused "$(field crio .status)"
	rt resume crio
	same 'the status' running "$(field crio .status)"
	jq '.process | .args = ["/bin/sh", "-c", "exit 8"]' "$bundle/config.json" >"$bundle/process.json"
	exits 8 rt exec --process "$bundle/process.json" crio
	await 5 traps_term
	rt kill crio SIGTERM
	ended crio 42
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
	((16#$(awk '$1 == "SigCgt:" { print $2 }' "/proc/$(<"$bundle/pid")/status") >> 14 & 1))
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
	same 'bytes that are no digits' '' "$(tr -d 0-9 <"$bundle/pid" | od -An -c)"
	rt start digits
	ended digits 0
}
