# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # scratch, runtime: set by the guest script; the container's script
#
# A host whose systemd keeps cgroup v1 and nothing else: one hierarchy for each
# controller, and a container's group in every one of them.

# on_v1 PATH CONTROLLER/FILE…: the values of a group's files, one a line.
on_v1() {
	local path=$1 file

	shift
	for file in "$@"; do
		tr '\n' ' ' <"/sys/fs/cgroup/${file%/*}$path/${file##*/}"
		echo
	done
}

# Groups of that name in any hierarchy.
groups_named() {
	find /sys/fs/cgroup -type d -name "$1" 2>/dev/null
}

no_group_is_left() {
	same 'groups' '' "$(groups_named "$1")"
}

test_host_has_cgroup_v1_only() {
	same 'the file system' tmpfs "$(stat -f -c %T /sys/fs/cgroup)"
	! grep -q ' - cgroup2 ' /proc/self/mountinfo || fail "$(grep cgroup2 /proc/self/mountinfo)"
}

readonly all_limits='.linux.cgroupsPath = "/vmtest/limits" | .linux.resources = {
	memory: {limit: 67108864, swap: 134217728, reservation: 33554432, swappiness: 10},
	cpu: {quota: 25000, period: 50000, shares: 512, cpus: "1", mems: "0"}, pids: {limit: 40},
	hugepageLimits: [{pageSize: "2MB", limit: 4194304}], network: {classID: 1048577, priorities: [{name: "lo", priority: 3}]}}'

test_limits_set_are_limits_read() {
	start_sleeper limits "$all_limits"
	same 'limits' $'67108864 \n134217728 \n33554432 \n10 \n25000 \n50000 \n512 \n1 \n0 \n40 \n4194304 \n1048577 ' \
		"$(on_v1 /vmtest/limits memory/memory.{limit_in_bytes,memsw.limit_in_bytes,soft_limit_in_bytes,swappiness} \
			cpu/cpu.{cfs_quota_us,cfs_period_us,shares} cpuset/cpuset.{cpus,mems} pids/pids.max \
			hugetlb/hugetlb.2MB.limit_in_bytes net_cls/net_cls.classid)"
	grep -qx 'lo 3' /sys/fs/cgroup/net_prio/vmtest/limits/net_prio.ifpriomap ||
		fail "priorities: $(cat /sys/fs/cgroup/net_prio/vmtest/limits/net_prio.ifpriomap)"
}

# Debian's kernel gives groups no real-time budget: CONFIG_RT_GROUP_SCHED.
test_real_time_budget_of_a_kernel_without_is_refused() {
	local option

	[[ ! -e /sys/fs/cgroup/cpu/vmtest/limits/cpu.rt_runtime_us ]] || skip 'this kernel has budgets'
	for option in --cpu-rt-runtime=1000 --cpu-rt-period=500000; do
		! "$runtime" update "$option" limits 2>"$scratch/rt.log" || fail "$option was taken"
		contains "$scratch/rt.log" "cpu.rt_" || fail "$(cat "$scratch/rt.log")"
		same 'lines' 1 "$(wc -l <"$scratch/rt.log")"
	done
}

# In every hierarchy, and so is what exec starts.
test_processes_are_in_every_hierarchy() {
	local pid lines

	pid=$(pid_of limits)
	lines=$(grep -vc ':/vmtest/limits$' "/proc/$pid/cgroup" || true)
	same 'hierarchies without the group' 0 "$lines"
	"$runtime" exec --detach --pid-file "$scratch/pid" limits /bin/sleep 1000
	same 'of exec' "$(cat "/proc/$pid/cgroup")" "$(cat "/proc/$(cat "$scratch/pid")/cgroup")"
	same 'ps' 2 "$("$runtime" ps --format json limits | jq length)"
}

test_container_sees_its_own_group() {
	same 'the limit, from inside' 67108864 \
		"$("$runtime" exec limits /bin/cat /sys/fs/cgroup/memory/memory.limit_in_bytes)"
}

test_update_changes_limits() {
	"$runtime" update --memory 134217728 --memory-swap 268435456 --pids-limit 50 --cpu-quota 30000 limits
	same 'after flags' $'134217728 \n268435456 \n50 \n30000 \n50000 ' "$(on_v1 /vmtest/limits \
		memory/memory.{limit_in_bytes,memsw.limit_in_bytes} pids/pids.max cpu/cpu.{cfs_quota_us,cfs_period_us})"
	printf '{"memory":{"limit":100663296},"cpu":{"cpus":"0-1","shares":256}}' | "$runtime" update --resources - limits
	same 'after --resources' $'100663296 \n0-1 \n256 ' \
		"$(on_v1 /vmtest/limits memory/memory.limit_in_bytes cpuset/cpuset.cpus cpu/cpu.shares)"
}

# Both at once cannot be lowered in either order but one: the memory limit may not exceed the other.
test_update_lowers_memory_and_swap_together() {
	"$runtime" update --memory 33554432 --memory-swap 33554432 limits
	same 'lowered' $'33554432 \n33554432 ' "$(on_v1 /vmtest/limits memory/memory.{limit_in_bytes,memsw.limit_in_bytes})"
	"$runtime" update --memory 100663296 --memory-swap 201326592 limits
	same 'raised' $'100663296 \n201326592 ' "$(on_v1 /vmtest/limits memory/memory.{limit_in_bytes,memsw.limit_in_bytes})"
}

test_events_stats_are_the_group_s() {
	local stats

	stats=$("$runtime" events --stats limits)
	same 'type, limit, processes, huge pages' $'stats\n100663296\n2\n0' \
		"$(jq -r '.type, .data.memory.usage.limit, .data.pids.current, .data.hugetlb["2MB"].failcnt' <<<"$stats")"
	jq -e '.data.cpu.usage.total > 0 and .data.memory.usage.usage > 0' <<<"$stats" >/dev/null || fail "$stats"
}

test_pause_freezes_and_resume_thaws() {
	"$runtime" pause limits
	same 'status' paused "$("$runtime" state limits | jq -r .status)"
	same 'the freezer' 'FROZEN ' "$(on_v1 /vmtest/limits freezer/freezer.state)"
	! "$runtime" exec limits /bin/true 2>"$scratch/paused.log" || fail 'exec went on'
	contains "$scratch/paused.log" 'cannot exec in a paused container'
	"$runtime" resume limits
	same 'status' running "$("$runtime" state limits | jq -r .status)"
	same 'the freezer' 'THAWED ' "$(on_v1 /vmtest/limits freezer/freezer.state)"
}

# A paused one as well: frozen processes of v1 do not die before they are thawed.
test_delete_removes_every_group() {
	"$runtime" pause limits
	"$runtime" delete --force limits
	no_group_is_left limits
}

test_io_limits_slow_the_disk_and_are_counted() {
	local began number written

	number=$(disk)
	start_sleeper io ".linux.cgroupsPath = \"/vmtest/io\" | .linux.resources = $(io_limits 1048576 500)"
	same 'limits' "$number 1048576 $number 1048576 $number 500 " "$(on_v1 /vmtest/io \
		blkio/blkio.throttle.{read_bps,write_bps,read_iops}_device | tr -d '\n')"
	began=$(microseconds)
	"$runtime" exec io /bin/dd if=/dev/zero of=/root/written bs=64k count=32 oflag=direct 2>"$scratch/io.log" ||
		fail "dd: $(cat "$scratch/io.log")"
	(($(microseconds) - began > 1000000)) || fail 'nothing was slowed'
	rm -- "$scratch/rootfs/root/written"
	written=$("$runtime" events --stats io | jq --argjson major "${number%:*}" --argjson minor "${number#*:}" \
		'[.data.blkio.ioServiceBytesRecursive[] | select(.major == $major and .minor == $minor
			and .op == "Write").value] | add')
	((written >= 2097152)) || fail "written: $written"
	jq -n "$(io_limits 4194304 900)" | "$runtime" update --resources - io
	same 'after update' "$number 4194304 $number 4194304 $number 900 " "$(on_v1 /vmtest/io \
		blkio/blkio.throttle.{read_bps,write_bps,read_iops}_device | tr -d '\n')"
	"$runtime" delete --force io
	no_group_is_left io
}

test_limit_that_is_not_taken_names_file_and_value() {
	refused nodisk '.linux.cgroupsPath = "/vmtest/nodisk" | .linux.resources = {blockIO: {throttleReadBpsDevice:
		[{major: 250, minor: 77, rate: 1}]}}' blkio.throttle.read_bps_device 250:77
	refused nocpu '.linux.cgroupsPath = "/vmtest/nocpu" | .linux.resources = {cpu: {cpus: "77"}}' cpuset.cpus 77
	no_group_is_left 'nodisk'
	no_group_is_left 'nocpu'
}

test_devices_that_are_not_allowed_do_not_open() {
	same 'what was allowed' $'null written\nkmsg written\nport made' "$(devices_that_open nodes)"
	no_group_is_left nodes
}

test_running_out_of_memory_is_reported() {
	local status=0

	"$runtime" run --keep --bundle "$(make_bundle oom '.linux.cgroupsPath = "/vmtest/oom"
		| .linux.resources = {memory: {limit: 16777216, swap: 16777216}}' 'tail /dev/zero')" oom \
		</dev/null >/dev/null 2>&1 || status=$?
	same 'status' 137 "$status"
	grep -qE '^oom_kill [1-9]' /sys/fs/cgroup/memory/vmtest/oom/memory.oom_control
	"$runtime" delete oom
	no_group_is_left oom
	events_tell_the_oom_killer
}

# No cgroup.kill here: the group is frozen, or signalled until it is empty.
test_kill_all_ends_every_process_of_the_group() {
	local group=/sys/fs/cgroup/pids/vmtest/all

	start_sleeper all '.linux.cgroupsPath = "/vmtest/all"
		| .linux.namespaces |= map(select(.type != "pid"))' \
		'sleep 1001 & sleep 1002 & exec sleep 1003'
	await 60 processes_in "$group" 3
	"$runtime" kill --all all KILL
	await 60 processes_in "$group" 0
	await 60 state_is all stopped
	"$runtime" delete all
	no_group_is_left all
}

test_systemd_scope_has_the_limits() {
	"$runtime" --systemd-cgroup create --bundle "$(make_bundle scope '.linux.cgroupsPath = "system.slice:vmtest:scope"
		| .linux.resources = {memory: {limit: 67108864}, pids: {limit: 40},
			cpu: {shares: 512, quota: 25000, period: 50000}}' 'exec sleep 1000')" \
		scope </dev/null >"$scratch/scope.log" 2>&1 || fail "create: $(cat "$scratch/scope.log")"
	"$runtime" start scope
	same 'limits' $'67108864 \n40 \n512 \n25000 \n50000 ' "$(on_v1 /system.slice/vmtest-scope.scope \
		memory/memory.limit_in_bytes pids/pids.max cpu/cpu.{shares,cfs_quota_us,cfs_period_us})"
	same 'unit' active "$(systemctl is-active vmtest-scope.scope || true)"
	same 'MemoryLimit of the unit' MemoryLimit=67108864 "$(systemctl show -p MemoryLimit vmtest-scope.scope)"
	same 'hierarchies without the scope' '' "$(grep -vE ':/system.slice/vmtest-scope.scope$' "/proc/$(pid_of scope)/cgroup" || true)"
	same 'the limit, from inside' 40 "$("$runtime" exec scope /bin/cat /sys/fs/cgroup/pids/pids.max)"
	"$runtime" update --memory 134217728 --pids-limit 50 scope
	same 'after update' $'134217728 \n50 ' \
		"$(on_v1 /system.slice/vmtest-scope.scope memory/memory.limit_in_bytes pids/pids.max)"
	# what systemd has not been told it would take back
	systemctl daemon-reload
	same 'after a reload' $'134217728 \n50 ' \
		"$(on_v1 /system.slice/vmtest-scope.scope memory/memory.limit_in_bytes pids/pids.max)"
	"$runtime" pause scope
	same 'status' paused "$("$runtime" state scope | jq -r .status)"
	"$runtime" resume scope
	"$runtime" delete --force scope
	await 60 scope_is_gone vmtest-scope.scope || fail 'the scope is still active'
	no_group_is_left vmtest-scope.scope
}
