# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # scratch, runtime: set by the guest script; the steps' scripts, jq's and builder's
#
# Limits of steps through the worker's pipe and of `runbuild step`: what is asked for is what the
# kernel says, what exceeds it is told in the result, and no group is left. As root, and as an
# ordinary user in a delegated group; with printf and jq, as anybody might.

# worker_of USER: a worker on standard streams.
worker_of() {
	if [[ $1 == root ]]; then
		"$runtime" worker --stdio
	else
		as_builder bash -c "$step_aside"' exec "$0" rootless -- "$0" worker --stdio' "$runtime"
	fi
}

# request STEP SCRIPT JQ: step.run with the id STEP.
request() {
	jq -nc --arg root "$scratch/rootfs" --arg step "$1" --arg script "$2" '{jsonrpc: "2.0", id: $step, method: "step.run",
		params: {step: $step, process: {args: ["/bin/sh", "-c", $script], env: ["PATH=/bin"]}, rootfs: {path: $root}}}
		| .params |= ('"$3"')'
}

# steps_of USER REQUEST…: runs them in one worker; what it says is in $scratch/said.
steps_of() {
	local user=$1

	shift
	printf '%s\n' '{"jsonrpc":"2.0","id":0,"method":"hello","params":{"versions":[1],"onEof":"drain"}}' "$@" |
		worker_of "$user" >"$scratch/said" 2>"$scratch/said.log" || fail "the worker: $(cat "$scratch/said.log")"
}

# output_of_step STEP STREAM
output_of_step() {
	jq -j --arg step "$1" --argjson fd "$2" 'select(.method == "step.output" and .params.step == $step and .params.fd == $fd) | .params.text' "$scratch/said"
}

# told STEP JQ: of the result of a step.
told() {
	jq -rc --arg step "$1" 'select(.id == $step) | if .result then .result else error(.error.message) end
		| '"$2" "$scratch/said"
}

warnings() {
	jq -rc 'select(.method == "step.warn") | .params' "$scratch/said"
}

groups_of_steps() {
	find /sys/fs/cgroup \( -name 'runbuild-*' -o -name 'run-*-step*' -o -path '*/vmtest/step' \) -type d
}

readonly print_limits='cd /sys/fs/cgroup
	for file in memory.max memory.swap.max pids.max cpu.max cpu.weight cpuset.cpus; do
		echo "$file $(cat $file)"
	done'
readonly memory_of_24m='.cgroup.resources = {memory: 25165824, memorySwap: 25165824}'

# limits_are_kept USER WHERE: WHERE is the rest of the member "cgroup", in jq's words.
limits_are_kept() {
	local resources='.cgroup.resources = {memory: 67108864, memorySwap: 100663296, pidsMax: 40, cpuQuota: 25000,
		cpuPeriod: 50000, cpuShares: 512, cpusetCpus: "0"}'

	steps_of "$1" "$(request limits "$print_limits" "$resources | $2")"
	same 'warnings' '' "$(warnings)"
	same 'limits' 'memory.max 67108864
memory.swap.max 33554432
pids.max 40
cpu.max 25000 50000
cpu.weight 20
cpuset.cpus 0' "$(output_of_step limits 1)"
	same 'the result' '[0,{"killed":false,"count":0},true,true]' \
		"$(told limits '[.code, .oom, (.cgroup.memoryPeak | 0 < . and . <= 67108864), .cgroup.cpuUsageUsec > 0]')"
	same 'groups that are left' '' "$(groups_of_steps)"
}

# what_exceeds_is_told USER WHERE: three steps beside each other, each in its own group.
what_exceeds_is_told() {
	steps_of "$1" \
		"$(request child 'tail /dev/zero; echo "tail $?"; exit 4' "$memory_of_24m | $2 | .onExit.stats = true")" \
		"$(request first 'exec tail /dev/zero' "$memory_of_24m | $2")" \
		"$(request forks 'for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo no limit' ".cgroup.resources.pidsMax = 5 | $2")"
	same 'warnings' '' "$(warnings)"
	same 'a child: output' 'tail 137' "$(output_of_step child 1)"
	same 'a child: result' '[4,null,{"killed":true,"count":1},true]' \
		"$(told child '[.code, .signal, .oom, .cgroup.memoryPeak <= 25165824]')"
	same 'a child: last figures' '{"killed":true,"count":1}' \
		"$(jq -c 'select(.method == "step.stats" and .params.step == "child") | .params.oom' "$scratch/said" | tail -n 1)"
	same 'the first process: result' '[null,"KILL",{"killed":true,"count":1},true]' \
		"$(told first '[.code, .signal, .oom, .cgroup.memoryPeak <= 25165824]')"
	same 'forks: words' "/bin/sh: can't fork: Resource temporarily unavailable" "$(output_of_step forks 2)"
	same 'forks: result' '[true,{"killed":false,"count":0}]' "$(told forks '[.code != 0, .oom]')"
	same 'groups that are left' '' "$(groups_of_steps)"
}

test_worker_of_root_keeps_limits() {
	limits_are_kept root '.cgroup.path = "/vmtest/step"'
	limits_are_kept root '.cgroup.parent = "/vmtest"'
}

test_worker_of_root_tells_what_exceeds_limits() {
	what_exceeds_is_told root '.cgroup.parent = "/vmtest/many"'
	rmdir /sys/fs/cgroup/vmtest/many
}

test_worker_of_a_user_keeps_limits() {
	limits_are_kept builder .
}

test_worker_of_a_user_tells_what_exceeds_limits() {
	what_exceeds_is_told builder .
}

# A group of the peer's: it stays, with its limits, and what happens in it is told all the same.
test_worker_takes_a_group_with_limits() {
	local group=/sys/fs/cgroup/vmtest/handed

	mkdir -p "$group"
	echo '+memory +pids' >/sys/fs/cgroup/cgroup.subtree_control
	echo '+memory +pids' >/sys/fs/cgroup/vmtest/cgroup.subtree_control
	echo 25165824 >"$group/memory.max"
	echo 0 >"$group/memory.swap.max"
	PYTHONPATH=/payload/python RUNBUILD=$runtime python3 - "$scratch/rootfs" "$group" >"$scratch/said" <<-'P' ||
		import json, os, sys
		from runbuild_worker import Client
		client = Client.spawn(os.environ["RUNBUILD"], "fd")
		group = os.open(sys.argv[2], os.O_RDONLY | os.O_DIRECTORY)
		print(json.dumps(client.run({"step": "a", "rootfs": {"path": sys.argv[1]}, "cgroup": {"fd": 0},
		    "process": {"args": ["/bin/sh", "-c", "tail /dev/zero; exit 4"], "env": ["PATH=/bin"]}}, fds=[group])))
		client.close()
	P
		fail "$(cat "$scratch/said")"
	same 'the result' '[4,{"killed":true,"count":1},true]' \
		"$(jq -c '[.code, .oom, .cgroup.memoryPeak <= 25165824]' "$scratch/said")"
	same 'its limit' 25165824 "$(<"$group/memory.max")"
	same 'its processes' '' "$(<"$group/cgroup.procs")"
	rmdir "$group"
}

# step_of USER OPTION…: `runbuild step`; output and words in $scratch/step and $scratch/step.log.
step_of() {
	local user=$1 status=0

	shift
	if [[ $user == root ]]; then
		"$runtime" step --rootfs "$scratch/rootfs" "$@" </dev/null >"$scratch/step" 2>"$scratch/step.log" || status=$?
	else
		as_builder bash -c "$step_aside"' exec "$0" step "$@"' "$runtime" --rootfs "$scratch/rootfs" "$@" \
			</dev/null >"$scratch/step" 2>"$scratch/step.log" || status=$?
	fi
	printf '%s' "$status"
}

step_is_limited() {
	same 'the status' 4 "$(step_of "$1" --memory 24m --pids 30 --json -- sh -c \
		'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; tail /dev/zero; exit 4')"
	same 'limits' $'25165824\n30' "$(head -n 2 "$scratch/step")"
	same 'the result' '[4,{"killed":true,"count":1},true]' \
		"$(tail -n 1 "$scratch/step.log" | jq -c '[.code, .oom, .cgroup.memoryPeak <= 25165824]')"
	same 'the status' 137 "$(step_of "$1" --memory 24m -- tail /dev/zero)"
	contains "$scratch/step.log" '; out of memory: 1 killed)'
	same 'groups that are left' '' "$(groups_of_steps)"
}

test_worker_s_step_alone_of_root_is_limited() {
	step_is_limited root
}

test_worker_s_step_alone_of_a_user_is_limited() {
	step_is_limited builder
}
