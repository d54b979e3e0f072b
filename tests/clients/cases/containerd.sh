# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# A private containerd, its runc shim and ctr. The shim reads state and ps as
# JSON, finds the cause of a failure in the log, and is the parent of what runs.

start_client() {
	needs_program containerd ctr containerd-shim-runc-v2 nsenter
	client_environment=()
	store=$home/containerd state_roots=(/run/containerd/runc)
	# ctr puts each container below its namespace
	cgroups_of_client='default'
	install -d -o "$user_id" "$store"
	# the runtime makes the destinations of mounts in there
	chown -R "$user_id" "$scratch/rootfs"
	cat >"$store/config.toml" <<-E
		version = 2
		root = "$store/root"
		state = "$store/state"
		disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs",
			"io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs",
			"io.containerd.snapshotter.v1.devmapper"]
		[grpc]
		address = "$store/sock"
	E
	start_daemon host /run containerd -c "$store/config.toml"
	await 30 answers || refuse "containerd: $(tail -n 5 "$store/log")"
	containers=0
}

answers() {
	ctr version >/dev/null 2>&1
}

stop_client() {
	kill "$daemon"
	await 20 daemon_ended || fail 'containerd lives after SIGTERM'
}

daemon_ended() {
	[[ ! -d /proc/$daemon ]]
}

ctr() {
	beside_daemon ctr --address "$store/sock" "$@"
}

# run OPTION… NAME COMMAND…: the folder of the suite as its root.
run() {
	local options=()

	while [[ $1 == -* ]]; do
		options+=("$1")
		shift
	done
	# ctr asks for 1024 shares by itself, which a group without the controller cannot give
	[[ $as == root ]] || grep -qw cpu /sys/fs/cgroup/cgroup.controllers || options+=(--cpu-shares=0)
	ctr run --runc-binary "$runtime" --runtime io.containerd.runc.v2 --env PATH=/bin \
		"${options[@]}" --rootfs "$scratch/rootfs" "$@"
}

# started NAME OPTION…: a task in the background.
started() {
	local name=$1

	shift
	run -d "$@" "$name" sh -c 'trap "exit 42" TERM; while :; do sleep 0.1; done'
}

# ended NAME: kills the task, and removes it and the container.
ended() {
	ctr task kill --signal KILL "$1" 2>/dev/null || true
	await 10 task_is "$1" STOPPED || fail "the task $1 goes on"
	ctr task delete "$1" >/dev/null 2>&1 || true
	ctr container delete "$1"
}

# Not through a pipe: grep -q would end it early, and that looks like a failure.
task_is() {
	grep -q "^$1 .* $2" <<<"$(ctr task ls)"
}

# exec NAME COMMAND…
exec_in() {
	local name=$1

	shift
	ctr task exec --exec-id "e$RANDOM$RANDOM" "$name" "$@"
}

test_run_passes_output_and_status_on() {
	prints hello run --rm first echo hello
	exits 7 run --rm second sh -c 'exit 7'
	prints typed run --rm third head -n 1 <<<typed
}

test_a_missing_program_is_named() {
	exits 1 run --rm missing no-such-program
	contains "$scratch/err" no-such-program 'not found'
	! grep -q 'unable to retrieve OCI runtime error' "$scratch/err"
}

test_run_with_a_terminal() {
	same 'the terminal' /dev/pts/0 "$(on_terminal run --rm -t tty timeout 20 sh -c "$show_size >/dev/null; tty")"
	same 'the size' '31 97' "$(on_terminal run --rm -t size timeout 20 sh -c "$show_size")"
}

test_run_with_options() {
	prints /tmp run --rm --cwd=/tmp cwd pwd
	prints 'Seccomp:	2' run --rm --seccomp seccomp grep Seccomp: /proc/self/status
	exits 1 run --rm --read-only readonly touch /file
	prints "$(readlink /proc/self/ns/net)" run --rm --net-host host readlink /proc/self/ns/net
	exits 0 run --rm --privileged privileged mount -t tmpfs none /tmp
	prints content run --rm "--mount=type=bind,src=$scratch/file,dst=/mnt,options=rbind:ro" mount cat /mnt/in \
		< <(mkdir -p "$scratch/file" && echo content >"$scratch/file/in")
}

test_tasks_are_listed_and_killed() {
	started killed
	grep -qE '^killed +[0-9]+ +RUNNING' <<<"$(ctr task ls)"
	ctr task kill --signal TERM killed
	await 10 task_is killed STOPPED
	exits 0 ctr task delete killed
	contains "$scratch/err" 'exit code 42'
	ctr container delete killed
}

test_kill_of_all_ends_every_process() {
	started all
	exec_in all sh -c 'sleep 12345 >/dev/null 2>&1 &'
	ctr task kill --all --signal KILL all
	await 10 task_is all STOPPED
	! process_runs 12345 || fail 'the background process lives'
	ended all
}

test_exec() {
	started exec
	prints hello exec_in exec echo hello
	exits 9 exec_in exec sh -c 'exit 9'
	prints typed exec_in exec head -n 1 <<<typed
	exits 1 exec_in exec no-such-program
	contains "$scratch/err" no-such-program
	prints /tmp ctr task exec --exec-id cwd --cwd /tmp exec pwd
	prints 33 ctr task exec --exec-id user --user 33 exec id -u
	ctr task exec --detach --exec-id later exec sh -c 'echo done >/tmp/marker'
	await 10 test -s "$scratch/rootfs/tmp/marker"
	rm "$scratch/rootfs/tmp/marker"
	ended exec
}

test_exec_with_a_terminal() {
	started tty
	same 'the terminal' /dev/pts/0 "$(on_terminal ctr task exec --exec-id t --tty tty timeout 20 sh -c "$show_size >/dev/null; tty")"
	ended tty
}

test_ps_lists_the_processes() {
	local pid

	started ps
	pid=$(ctr task ls | awk '$1 == "ps" { print $2 }')
	ctr task ps ps >"$scratch/out"
	contains "$scratch/out" "$pid"
	ended ps
}

test_pause_and_resume() {
	started paused
	ctr task pause paused
	task_is paused PAUSED
	exits 1 exec_in paused true
	ctr task resume paused
	task_is paused RUNNING
	prints awake exec_in paused echo awake
	ended paused
}

test_metrics() {
	started metrics
	ctr task metrics metrics >"$scratch/out"
	contains "$scratch/out" metrics pids.current
	ended metrics
}

test_limits() {
	local memory=/sys/fs/cgroup/memory/default/limits/memory.limit_in_bytes

	grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null || [[ -d ${memory%/*/*/*} ]] ||
		skip 'no memory controller is delegated here: v2 limits have their tests in the guest'
	started limits --memory-limit=67108864
	[[ -e $memory ]] || memory=/sys/fs/cgroup/default/limits/memory.max
	same 'the limit' 67108864 "$(<"$memory")"
	ended limits
}

test_events_are_told() {
	local listener

	exec_as_caller ctr --address "$store/sock" events >"$scratch/events" 2>&1 &
	listener=$!
	# an event of our own, until the listener is there
	await 10 listener_hears
	exits 3 run --rm evented sh -c 'exit 3'
	await 10 contains "$scratch/events" /tasks/create /tasks/start /tasks/exit /tasks/delete evented >/dev/null
	kill "$listener"
}

listener_hears() {
	ctr namespaces create heard >/dev/null 2>&1 || true
	ctr namespaces remove heard >/dev/null 2>&1 || true
	grep -q heard "$scratch/events"
}

test_a_killed_shim_is_cleaned_up_after() {
	local shim

	started orphan
	for shim in /proc/[0-9]*; do
		[[ $(tr '\0' ' ' <"$shim/cmdline" 2>/dev/null) != *containerd-shim*'-id orphan '* ]] ||
			kill -KILL "${shim#/proc/}"
	done
	await 15 no_task orphan || fail 'the task is still known'
	ctr container delete orphan
}

no_task() {
	local tasks

	tasks=$(ctr task ls) && ! grep -q "^$1 " <<<"$tasks"
}

test_many_at_once() {
	local i pids=()

	for i in 1 2 3 4 5; do
		run --rm "many$i" sh -c "exit $i" &
		pids[i]=$!
	done
	for i in 1 2 3 4 5; do
		exits "$i" wait "${pids[i]}"
	done
}
