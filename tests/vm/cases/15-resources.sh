# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # scratch, runtime: set by the guest script; the container's script
#
# linux.resources beyond memory, cpu and pids: io on a real disk, huge pages,
# rdma, unified, devices; and what is told and done while the container runs.

test_io_limits_set_are_limits_read() {
	start_sleeper io ".linux.cgroupsPath = \"/vmtest/io\" | .linux.resources = $(io_limits 1048576 500)"
	same 'io.max' "$(disk) rbps=1048576 wbps=1048576 riops=500 wiops=max " \
		"$(in_group /sys/fs/cgroup/vmtest/io io.max)"
}

# A limit of 1 MiB a second: 2 MiB past the page cache cannot be done in less than one.
test_io_limit_slows_the_disk() {
	local began

	began=$(microseconds)
	"$runtime" exec io /bin/dd if=/dev/zero of=/root/written bs=64k count=32 oflag=direct 2>"$scratch/io.log" ||
		fail "dd: $(cat "$scratch/io.log")"
	(($(microseconds) - began > 1000000)) || fail 'nothing was slowed'
	rm -- "$scratch/rootfs/root/written"
}

test_io_statistics_are_the_disk_s() {
	local number written

	number=$(disk)
	written=$("$runtime" events --stats io | jq --argjson major "${number%:*}" --argjson minor "${number#*:}" \
		'[.data.blkio.ioServiceBytesRecursive[] | select(.major == $major and .minor == $minor
			and .op == "Write").value] | add')
	((written >= 2097152)) || fail "written: $written"
}

test_update_changes_io_limits() {
	jq -n "$(io_limits 4194304 900)" | "$runtime" update --resources - io
	same 'io.max' "$(disk) rbps=4194304 wbps=4194304 riops=900 wiops=max " \
		"$(in_group /sys/fs/cgroup/vmtest/io io.max)"
	"$runtime" delete --force io
}

test_io_limit_of_no_disk_names_file_and_value() {
	refused nodisk '.linux.cgroupsPath = "/vmtest/nodisk" | .linux.resources = {blockIO: {throttleReadBpsDevice:
		[{major: 250, minor: 77, rate: 1}]}}' io.max 250:77
}

test_huge_page_limit_is_set() {
	start_sleeper huge '.linux.cgroupsPath = "/vmtest/huge"
		| .linux.resources = {hugepageLimits: [{pageSize: "2MB", limit: 4194304}]}'
	same 'the limit' '4194304 ' "$(in_group /sys/fs/cgroup/vmtest/huge hugetlb.2MB.max)"
	same 'failures' 0 "$("$runtime" events --stats huge | jq '.data.hugetlb["2MB"].failcnt')"
	"$runtime" delete --force huge
	refused hugeodd '.linux.cgroupsPath = "/vmtest/hugeodd"
		| .linux.resources = {hugepageLimits: [{pageSize: "3MB", limit: 4194304}]}' 3MB
}

# No such adapter is in the guest: the kernel's refusal has to name file and value.
test_rdma_limit_of_no_adapter_names_file_and_value() {
	refused rdma '.linux.cgroupsPath = "/vmtest/rdma" | .linux.resources = {rdma: {mlx5_0: {hcaHandles: 3}}}' \
		rdma.max mlx5_0
}

test_unified_sets_any_file() {
	start_sleeper unified '.linux.cgroupsPath = "/vmtest/unified" | .linux.resources = {memory: {limit: 67108864},
		unified: {"memory.high": "50331648", "pids.max": "30", "memory.max": "58720256", "cpu.weight": "77"}}'
	same 'files' $'50331648 \n30 \n58720256 \n77 ' \
		"$(in_group /sys/fs/cgroup/vmtest/unified memory.high pids.max memory.max cpu.weight)"
	"$runtime" delete --force unified
	refused nofile '.linux.cgroupsPath = "/vmtest/nofile" | .linux.resources = {unified: {"memory.nosuch": "1"}}' \
		memory.nosuch
	refused nocontroller '.linux.cgroupsPath = "/vmtest/nocontroller"
		| .linux.resources = {unified: {"nosuch.max": "1"}}' nosuch
}

# The rules are a BPF program here.
test_devices_that_are_not_allowed_do_not_open() {
	same 'what was allowed' $'null written\nkmsg written\nport made' "$(devices_that_open devices)"
}

# Without --stats: a reading at every interval, and the OOM killer as it strikes.
test_events_are_periodic_and_tell_the_oom_killer() {
	events_tell_the_oom_killer
	same 'ids' telling "$(jq -r .id "$scratch/events" | sort -u)"
}

# In the host's pid namespace nobody dies with process 1: cgroup.kill ends them,
# those in groups below as well.
test_kill_all_ends_every_process_of_the_group() {
	local group=/sys/fs/cgroup/vmtest/all

	start_sleeper all '.linux.cgroupsPath = "/vmtest/all"
		| .linux.namespaces |= map(select(.type != "pid"))' \
		'sleep 1001 & sleep 1002 & exec sleep 1003'
	await 60 processes_in "$group" 3
	mkdir "$group/below"
	"$runtime" exec --detach all /bin/sleep 1004
	await 60 processes_in "$group" 4
	"$runtime" ps --format json all >"$scratch/ps"
	same 'ps' 4 "$(jq length "$scratch/ps")"
	same 'their pids' "$(sort -n "$group/cgroup.procs")" "$(jq -r '.[]' "$scratch/ps" | sort -n)"
	same 'the table' '1001 1002 1003 1004' \
		"$("$runtime" ps all -o pid,args | sed -n 's/.*sleep \([0-9]*\)$/\1/p' | sort | xargs)"
	tail -n 1 "$group/cgroup.procs" >"$group/below/cgroup.procs"
	"$runtime" kill --all all KILL
	await 60 grep -qx 'populated 0' "$group/cgroup.events"
	await 60 state_is all stopped
	"$runtime" delete all
	[[ ! -e $group ]] || fail 'the group is left'
}

test_frozen_group_holds_every_process() {
	local group=/sys/fs/cgroup/vmtest/frozen before

	start_sleeper frozen '.linux.cgroupsPath = "/vmtest/frozen"' "$count_up"
	await 60 test -s "$scratch/rootfs/root/ticks"
	"$runtime" pause frozen
	grep -qx 'frozen 1' "$group/cgroup.events"
	before=$(cat "$scratch/rootfs/root/ticks")
	# what would move moves while something else takes time
	"$runtime" list >/dev/null
	same 'the count' "$before" "$(cat "$scratch/rootfs/root/ticks")"
	! "$runtime" exec frozen /bin/true 2>"$scratch/frozen.log" || fail 'exec went on'
	contains "$scratch/frozen.log" 'cannot exec in a paused container'
	"$runtime" delete --force frozen
	[[ ! -e $group ]] || fail 'the group is left'
	rm -- "$scratch/rootfs/root/ticks"
}

readonly count_up='i=0; while :; do i=$((i + 1)); echo $i >/root/ticks.new; mv /root/ticks.new /root/ticks; done'

# After all that came before.
test_no_group_is_left() {
	same 'groups' '' "$(find /sys/fs/cgroup/vmtest -mindepth 1 -type d 2>/dev/null)"
}

# On a kernel of a distribution: mounts that are in no namespace are as old as open_tree(2).
test_inherited_mount_namespace_gets_no_mount() {
	start_sleeper inherited '.linux.namespaces |= map(select(.type != "mount"))'
	same 'its namespace' "$(readlink /proc/self/ns/mnt)" "$(readlink "/proc/$(pid_of inherited)/ns/mnt")"
	same 'what exec sees' $'sleep\n'"$(readlink /proc/self/ns/mnt)" \
		"$("$runtime" exec inherited /bin/sh -c 'cat /proc/1/comm; readlink /proc/self/ns/mnt; mount -t tmpfs x /tmp 2>/dev/null && echo mounted')"
	same 'mounts' 0 "$(grep -c "$scratch" /proc/self/mountinfo || true)"
	"$runtime" delete --force inherited
	same 'mounts afterwards' 0 "$(grep -c "$scratch" /proc/self/mountinfo || true)"
}
