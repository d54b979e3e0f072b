# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # variables of the suite; single quotes hold the container's scripts
#
# The newer elements of the specification, and who is whose parent.

test_time_namespace_has_its_offsets() {
	[[ -e /proc/self/ns/time ]] || skip 'a kernel without time namespaces'
	new_bundle time
	edit_config '.linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {boottime: {secs: 864000}}'
	set_script 'cut -d. -f1 /proc/uptime'
	run_container time
	ran_well
	(($(<"$bundle/out") >= 864000 + $(cut -d. -f1 /proc/uptime) - 60)) || fail "uptime $(<"$bundle/out")"
}

test_scheduling_is_as_configured() {
	new_bundle sched
	edit_config '.process.scheduler = {policy: "SCHED_BATCH", nice: 3} | .process.ioPriority = {class: "IOPRIO_CLASS_BE", priority: 7}
		| .linux.personality = {domain: "LINUX32"}'
	set_script 'uname -m; ionice -p $$; cut -d" " -f19,41 /proc/self/stat'
	run_container sched
	ran_well
	[[ $(uname -m) != x86_64 ]] || same 'the machine' i686 "$(head -n 1 "$bundle/out")"
	contains "$bundle/out" 'best-effort: prio 7' '3 3'
}

test_real_time_without_the_right_is_refused() {
	[[ $caller == user ]] || skip 'root may'
	new_bundle rt
	edit_config '.process.scheduler = {policy: "SCHED_FIFO", priority: 10}'
	run_container rt
	refused 1 'cannot set the scheduler' /process/scheduler
}

test_real_time_is_set_for_those_who_may() {
	need_root
	new_bundle fifo
	edit_config '.process.args = ["/bin/cut", "-d ", "-f40,41", "/proc/self/stat"]
		| .process.scheduler = {policy: "SCHED_FIFO", priority: 10}'
	# a new group of v1 has no real-time budget: sched-rt-group.rst
	capture runtime --cgroup-manager=disabled run --bundle "$bundle" fifo
	((status == 0)) || skip "this machine gives its root no real-time scheduling: $(tail -n 1 "$bundle/err")"
	output_is '10 1'
	edit_config '.process.scheduler = {policy: "SCHED_RR", priority: 11, flags: ["SCHED_FLAG_RESET_ON_FORK"]}'
	capture runtime --cgroup-manager=disabled run --bundle "$bundle" fifo
	output_is '11 2'
}

test_deadline_is_set_for_those_who_may() {
	need_root
	chrt --deadline --sched-runtime 2000000 --sched-deadline 8000000 --sched-period 9000000 0 true 2>/dev/null ||
		skip 'this machine gives its root no deadline scheduling'
	new_bundle deadline
	edit_config '.process.args = ["/bin/cat", "/proc/self/sched"]
		| .process.scheduler = {policy: "SCHED_DEADLINE", runtime: 2000000, deadline: 8000000, period: 9000000}'
	capture runtime --cgroup-manager=disabled run --bundle "$bundle" deadline
	same 'the status' 0 "$status" || fail "$(<"$bundle/err")"
	same 'what the kernel keeps' 'policy 6
dl.runtime ok' "$(awk '$1 == "policy" { print $1, $3 } $1 == "dl.runtime" { print $1, ($3 <= 2000000 ? "ok" : $3) }' "$bundle/out")"
	# a runtime beyond the deadline: sched_setattr(2)
	edit_config '.process.scheduler.runtime = 8500000'
	capture runtime --cgroup-manager=disabled run --bundle "$bundle" deadline
	refused 1 'cannot set the scheduler' /process/scheduler
}

test_exec_runs_on_the_cpus_it_is_given() {
	grouped cpus
	up cpus
	jq '.process + {args: ["/bin/grep", "Cpus_allowed_list", "/proc/self/status"], execCPUAffinity: {initial: "0", final: "0"}}' \
		"$bundle/config.json" >"$bundle/process.json"
	capture runtime exec --process "$bundle/process.json" cpus
	same CPUs 0 "$(cut -f2 "$bundle/out")"
	down cpus
}

test_id_mapped_mount_shows_other_owners() {
	need_root
	new_bundle idmap
	mkdir "$bundle/data"
	touch "$bundle/data/file"
	edit_config --arg source "$bundle/data" '.mounts += [{destination: "/data", type: "bind", source: $source, options: ["bind", "idmap"],
		uidMappings: [{containerID: 0, hostID: 4242, size: 1}], gidMappings: [{containerID: 0, hostID: 4343, size: 1}]}]'
	set_script 'stat -c %u:%g /data/file'
	run_container idmap
	! grep -q 'does not support' "$bundle/err" || skip 'a file system without id-mapped mounts'
	output_is 4242:4343
}

test_recursive_id_mapping_reaches_the_submounts() {
	local option below

	need_root
	for option in idmap ridmap; do
		new_bundle "$option"
		mkdir -p "$bundle/data/below"
		touch "$bundle/data/file"
		edit_config --arg source "$bundle/data" --arg option "$option" '.mounts += [{destination: "/data", type: "bind",
			source: $source, options: ["rbind", $option],
			uidMappings: [{containerID: 0, hostID: 4242, size: 1}], gidMappings: [{containerID: 0, hostID: 4343, size: 1}]}]'
		set_script 'stat -c %u:%g /data/file /data/below/file'
		capture unshare --mount sh -c 'mount -t tmpfs tmpfs "$1/data/below" && touch "$1/data/below/file" &&
			exec "$2" --root "$3" run --bundle "$1" "$4"' sh "$bundle" "$runbuild" "$state_root" "$option"
		! grep -q 'does not support' "$bundle/err" || skip 'a file system without id-mapped mounts'
		below=0:0
		[[ $option == idmap ]] || below=4242:4343
		output_is "4242:4343
$below"
	done
}

test_memory_comes_from_the_nodes_of_the_policy() {
	[[ -e /proc/self/numa_maps ]] || skip 'a kernel without CONFIG_NUMA'
	new_bundle memory
	edit_config '.linux.memoryPolicy = {mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_STATIC_NODES"]}'
	set_script 'cut -d" " -f2 /proc/self/numa_maps | sort -u'
	run_container memory
	output_is 'bind=static:0'
	edit_config '.linux.memoryPolicy = {mode: "MPOL_BIND", nodes: "1000"}'
	run_container memory
	refused 1 'cannot set the memory policy' /linux/memoryPolicy
}

test_source_that_only_root_reaches_is_mounted() {
	need_root
	new_bundle hidden
	mkdir -p "$bundle/hidden/dir"
	echo content >"$bundle/hidden/dir/file"
	chmod 0700 "$bundle/hidden"
	chmod 0755 "$scratch" "$scratch/bundles" "$bundle"
	edit_config --arg source "$bundle/hidden/dir" '.linux.namespaces += [{type: "user"}]
		| .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings
		| .mounts += [{destination: "/data", type: "bind", source: $source, options: ["bind"]}]'
	chown -R 100000:100000 "$bundle/rootfs/etc" "$bundle/rootfs" 2>/dev/null || true
	set_script 'cat /data/file'
	run_container hidden
	output_is content
}

test_network_device_moves_with_its_address() {
	need_root
	type -P ip >/dev/null || skip 'no ip (Debian: iproute2)'
	new_bundle netdev
	edit_config '.linux.netDevices = {rbtest0: {name: "lan0"}}'
	set_script 'ip -o addr show lan0'
	cat >"$bundle/inside" <<-E
		ip link add rbtest0 type veth peer name rbtest1 2>/dev/null || exit 77
		ip addr add 192.0.2.7/24 dev rbtest0
		"$runbuild" --root "$state_root" run --bundle "$bundle" netdev
	E
	capture unshare --net sh "$bundle/inside"
	((status != 77)) || skip 'no virtual network devices'
	ran_well
	contains "$bundle/out" '192.0.2.7/24'
	capture runtime run --bundle "$bundle" netdev
	refused 1 "cannot find the network device 'rbtest0'" /linux/netDevices/rbtest0
}

test_seccomp_agent_gets_listener_and_state() {
	new_bundle agent
	edit_config --arg path "$bundle/agent.sock" '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: $path,
		listenerMetadata: "some data", syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY"}]}'
	set_script 'mkdir /tmp/x 2>&1'
	run_container agent
	# the program may have begun by then: not an exit status of its own
	refused 125 'failed to connect with seccomp agent'
	python3 "$here/agent.py" receive "$bundle/agent.sock" >"$bundle/agent" &
	await 10 grep -q listening "$bundle/agent"
	run_container agent
	wait $!
	contains "$bundle/out" 'Function not implemented'
	sed -n 2p "$bundle/agent" | jq -e '.fds == ["seccompFd"] and .metadata == "some data" and .pid > 0 and .state.id == "agent"' >/dev/null ||
		fail "$(<"$bundle/agent")"
}

# An agent that receives one listener: its words are in $bundle/agent, its process is $receiver.
agent_listens() {
	rm -f "$bundle/agent.sock"
	: >"$bundle/agent"
	python3 "$here/agent.py" receive "$bundle/agent.sock" >"$bundle/agent" &
	receiver=$!
	await 10 grep -q listening "$bundle/agent"
}

# agent_was_told STATUS: and has received the listener of the container agents.
agent_was_told() {
	wait "$receiver"
	sed -n 2p "$bundle/agent" | jq -e --arg status "$1" '.metadata == "some data" and .pid > 0
		and .state.id == "agents" and .state.status == $status' >/dev/null || fail "$(<"$bundle/agent")"
}

# The filter is installed late or, without no_new_privs, early: user_notif, seccomp(2).
test_seccomp_agent_gets_the_listener_of_start_and_exec() {
	local receiver privileges

	for privileges in true false; do
		grouped "agents$privileges"
		edit_config --arg path "$bundle/agent.sock" --argjson privileges "$privileges" '.process.noNewPrivileges = $privileges
			| .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: $path, listenerMetadata: "some data",
			syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY"}]}'
		agent_listens
		up agents
		agent_was_told created
		same 'status' running "$(status_of agents)"
		agent_listens
		capture runtime exec agents mkdir /tmp/x
		contains "$bundle/err" 'Function not implemented'
		agent_was_told running
		down agents
		capture runtime create --bundle "$bundle" agents
		if ((status == 0)); then
			capture runtime start agents
			runtime delete --force agents
		fi
		refused 1 'failed to connect with seccomp agent'
	done
}

test_process_descriptor_is_sent() {
	new_bundle pidfd
	python3 "$here/agent.py" receive "$bundle/pidfd.sock" >"$bundle/agent" &
	await 10 grep -q listening "$bundle/agent"
	run_container pidfd --pidfd-socket "$bundle/pidfd.sock"
	output_is ''
	wait $!
	contains "$bundle/agent" pidfd
}

test_process_descriptor_of_create_and_exec_is_sent() {
	local receiver

	grouped pidfds
	python3 "$here/agent.py" receive "$bundle/create.sock" >"$bundle/agent" &
	receiver=$!
	await 10 grep -q listening "$bundle/agent"
	runtime create --bundle "$bundle" --pidfd-socket "$bundle/create.sock" pidfds </dev/null >"$bundle/out" 2>&1 ||
		fail "$(<"$bundle/out")"
	wait "$receiver"
	contains "$bundle/agent" pidfd
	runtime start pidfds
	: >"$bundle/agent"
	python3 "$here/agent.py" receive "$bundle/exec.sock" >"$bundle/agent" &
	receiver=$!
	await 10 grep -q listening "$bundle/agent"
	capture runtime exec --pidfd-socket "$bundle/exec.sock" pidfds echo ran
	output_is ran
	wait "$receiver"
	contains "$bundle/agent" pidfd
	capture runtime exec --pidfd-socket "$bundle/nowhere.sock" pidfds echo ran
	refused 255 "$bundle/nowhere.sock"
	down pidfds
}

test_created_process_is_the_callers_child() {
	grouped reaped
	python3 "$here/agent.py" reap "$bundle/pid" "$runbuild" --root "$state_root" create --bundle "$bundle" \
		--pid-file "$bundle/pid" reaped >"$bundle/said"
	same 'what the caller saw' $'child of ours\nsignal 9' "$(<"$bundle/said")"
	down reaped
}

test_one_of_two_wins_an_id() {
	local won=0 pids=() pid

	grouped race
	for _ in 1 2 3 4; do
		runtime create --bundle "$bundle" race </dev/null >/dev/null 2>>"$bundle/race" &
		pids+=("$!")
	done
	for pid in "${pids[@]}"; do
		wait "$pid" && won=$((won + 1))
	done
	same winners 1 "$won"
	same losers 3 "$(grep -c 'container with given ID already exists: race' "$bundle/race")"
	same status created "$(status_of race)"
	down race
}

# The files and the group of the first one are as they were.
test_loser_of_an_id_changes_nothing() {
	local pid before

	grouped taken
	runtime create --bundle "$bundle" --pid-file "$bundle/pid" taken </dev/null >"$bundle/out" 2>"$bundle/err" ||
		fail "$(<"$bundle/err")"
	pid=$(<"$bundle/pid")
	before=$(things_of_taken)
	capture runtime create --bundle "$bundle" --pid-file "$bundle/pid" taken
	refused 1 'container with given ID already exists: taken'
	same 'what the first one has' "$before" "$(things_of_taken)"
	same 'its process' "created $pid" "$(runtime state taken | jq -r '"\(.status) \(.pid)"')"
	runtime start taken
	same 'its status' running "$(status_of taken)"
	down taken
}

things_of_taken() {
	find "$state_root/taken" "$bundle/pid" -printf '%p %i %T@ %s\n' | sort
	# not all of the tree: groups of others come and go while it is read
	find /sys/fs/cgroup{,/*}/"$suite_id" -type d -printf '%p %i\n' 2>/dev/null | sort || true
	cat "/proc/$pid/cgroup"
}

test_labels_without_their_module_are_refused() {
	[[ ! -e /sys/module/apparmor/parameters/enabled || $(</sys/module/apparmor/parameters/enabled) != Y ]] ||
		skip 'this host has AppArmor'
	[[ ! -e /sys/fs/selinux/enforce ]] || skip 'this host has SELinux'
	new_bundle labels
	cp -- "$bundle/config.json" "$bundle/good.json"
	edit_config '.process.apparmorProfile = "some-profile"'
	run_container labels
	refused 1 'AppArmor is not active on this host' /process/apparmorProfile RB0317
	cp -- "$bundle/good.json" "$bundle/config.json"
	edit_config '.process.selinuxLabel = "system_u:system_r:svirt_lxc_net_t:s0:c1,c2"'
	run_container labels
	refused 1 'SELinux is not active on this host' /process/selinuxLabel RB0317
	cp -- "$bundle/good.json" "$bundle/config.json"
	edit_config '.linux.mountLabel = "system_u:object_r:svirt_sandbox_file_t:s0:c1,c2"'
	run_container labels
	refused 1 'SELinux is not active on this host' /linux/mountLabel RB0317
	grouped labels2
	up labels2
	capture runtime exec --apparmor some-profile labels2 true
	refused 255 'AppArmor is not active on this host'
	capture runtime exec --process-label some-label labels2 true
	refused 255 'SELinux is not active on this host'
	# what podman writes where there is no AppArmor
	capture runtime exec --apparmor unconfined labels2 echo ran
	output_is ran
	down labels2
}

test_elements_without_support_are_refused() {
	new_bundle rdt
	edit_config '.linux.intelRdt = {closID: "x"}'
	run_container rdt
	refused 1 intelRdt /linux/intelRdt
}
