# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # variables of the suite; single quotes hold jq's filters
#
# Every limit that cgroup v1 has, as the kernel's files say it: what a configuration sets, and what
# the options of update change. On cgroup v2 the suite vm does the same.

# CONTROLLER | FILE | LINE in it | FILTER that adds it to linux.resources
limit_rows() {
	local throttled="{major: ${disk%:*}, minor: ${disk#*:}, rate: 1048576}"

	cat <<-E
		memory   | memory.limit_in_bytes               | 67108864      | .memory.limit = 67108864
		memory   | memory.memsw.limit_in_bytes         | 134217728     | .memory.swap = 134217728
		memory   | memory.soft_limit_in_bytes          | 33554432      | .memory.reservation = 33554432
		memory   | memory.swappiness                   | 7             | .memory.swappiness = 7
		memory   | memory.oom_control                  | oom_kill_disable 1 | .memory.disableOOMKiller = true
		cpu      | cpu.shares                          | 512           | .cpu.shares = 512
		cpu      | cpu.cfs_period_us                   | 50000         | .cpu.period = 50000
		cpu      | cpu.cfs_quota_us                    | 25000         | .cpu.quota = 25000
		cpu      | cpu.cfs_burst_us                    | 20000         | .cpu.burst = 20000
		cpuset   | cpuset.cpus                         | 0             | .cpu.cpus = "0"
		cpuset   | cpuset.mems                         | 0             | .cpu.mems = "0"
		pids     | pids.max                            | 33            | .pids.limit = 33
		blkio    | blkio.bfq.weight                    | 500           | .blockIO.weight = 500
		blkio    | blkio.throttle.read_bps_device      | $disk 1048576 | .blockIO.throttleReadBpsDevice = [$throttled]
		blkio    | blkio.throttle.write_bps_device     | $disk 1048576 | .blockIO.throttleWriteBpsDevice = [$throttled]
		blkio    | blkio.throttle.read_iops_device     | $disk 1048576 | .blockIO.throttleReadIOPSDevice = [$throttled]
		blkio    | blkio.throttle.write_iops_device    | $disk 1048576 | .blockIO.throttleWriteIOPSDevice = [$throttled]
		net_cls  | net_cls.classid                     | 1048577       | .network.classID = 1048577
		net_prio | net_prio.ifpriomap                  | lo 5          | .network.priorities = [{name: "lo", priority: 5}]
		hugetlb  | hugetlb.2MB.limit_in_bytes          | 4194304       | .hugepageLimits = [{pageSize: "2MB", limit: 4194304}]
	E
}

# CONTROLLER | FILE | LINE in it | OPTION of update
update_rows() {
	cat <<-'E'
		memory   | memory.limit_in_bytes               | 134217728     | --memory=128M
		memory   | memory.memsw.limit_in_bytes         | 201326592     | --memory-swap 192m
		memory   | memory.soft_limit_in_bytes          | 16777216      | --memory-reservation 16384kb
		memory   | memory.kmem.tcp.limit_in_bytes      | 8388608       | --kernel-memory-tcp 8388608
		cpu      | cpu.shares                          | 100           | --cpu-share 100
		cpu      | cpu.cfs_period_us                   | 200000        | --cpu-period 200000
		cpu      | cpu.cfs_quota_us                    | 150000        | --cpu-quota 150000
		cpu      | cpu.cfs_burst_us                    | 10000         | --cpu-burst 10000
		cpuset   | cpuset.cpus                         | 0             | --cpuset-cpus 0
		cpuset   | cpuset.mems                         | 0             | --cpuset-mems 0
		pids     | pids.max                            | 44            | --pids-limit 44
		blkio    | blkio.bfq.weight                    | 300           | --blkio-weight 300
		cpu      | cpu.idle                            | 1             | --cpu-idle 1
		cpu      | cpu.rt_period_us                    | 500000        | --cpu-rt-period 500000
	E
}

# rows_of TABLE: sets rows to those whose file this kernel has, and notes the others.
rows_of() {
	local controller file line words group=/sys/fs/cgroup

	rows=()
	while IFS='|' read -r controller file line words; do
		controller=${controller// /} file=${file// /} line=${line# } words=${words# }
		line=${line%"${line##*[! ]}"}
		if [[ -e $group/$controller/$suite_id/file/$file ]]; then
			rows+=("$group/$controller/$suite_id/file/$file|$line|$words")
		else
			printf '# this kernel has no %s\n' "$file"
		fi
	done < <("$1")
	((${#rows[@]} > 0)) || skip 'no file of cgroup v1'
}

# says FILE LINE: LINE stands in FILE, perhaps behind a space.
says() {
	grep -qxE -e " *${2//./\\.}" "$1" || fail "${1##*/}: not '$2' but '$(<"$1")'"
}

# A group beside that of the tests has the files that a container's will have.
begin_rows() {
	local controller

	for controller in memory cpu cpuset pids blkio net_cls net_prio hugetlb; do
		[[ ! -d /sys/fs/cgroup/$controller ]] || mkdir -p "/sys/fs/cgroup/$controller/$suite_id/file"
	done
	disk=$(a_disk)
	rows_of "$1"
}

test_every_limit_of_v1_is_in_its_file() {
	local row file line

	needs_v1
	begin_rows limit_rows
	new_bundle files
	edit_config --arg path "/$suite_id/one" '.linux.cgroupsPath = $path | .process.args = ["/bin/sleep", "1000"]'
	for row in "${rows[@]}"; do
		edit_config ".linux.resources |= (${row##*|})"
	done
	up files
	for row in "${rows[@]}"; do
		IFS='|' read -r file line _ <<<"$row"
		says "${file/\/file\//\/one\/}" "$line"
	done
	down files
}

test_every_option_of_update_changes_its_file() {
	local row file line words

	needs_v1
	begin_rows update_rows
	grouped options
	edit_config '.linux.resources |= (.memory = {limit: 67108864, swap: 67108864} | .cpu = {quota: 50000, period: 100000})'
	up options
	# memory may not be above memory and swap together: the second first
	for row in "${rows[@]}"; do
		IFS='|' read -r file line words <<<"$row"
		[[ $words != --memory=* ]] || runtime update --memory 128M --memory-swap 160M options
		# shellcheck disable=SC2086 # an option and its value
		runtime update $words options
		says "${file/\/file\//\/one\/}" "$line"
	done
	down options
}

test_update_reads_a_file() {
	need_root
	has_controller pids || skip 'no controller pids here'
	grouped fromfile
	up fromfile
	printf '{"pids": {"limit": 21}}' >"$bundle/resources.json"
	runtime update -r "$bundle/resources.json" fromfile
	same pids 21 "$(<"$(group_file pids pids.max pids.max)")"
	capture runtime update -r "$bundle/nowhere" fromfile
	refused 1 "cannot read the resources '$bundle/nowhere'"
	down fromfile
}

test_files_of_v2_are_refused_on_v1() {
	needs_v1
	grouped unified
	edit_config '.linux.resources.unified = {"memory.high": "1000000"}'
	capture runtime create --bundle "$bundle" unified
	refused 1 'unified' /linux/resources/unified
	same 'nothing is left' '' "$(runtime list -q)"
	down unified
}

test_missing_controllers_are_named() {
	needs_v1
	[[ ! -d /sys/fs/cgroup/rdma ]] || skip 'this kernel has rdma for v1'
	grouped rdma
	edit_config '.linux.resources.rdma = {mlx5_1: {hcaHandles: 3}}'
	capture runtime create --bundle "$bundle" rdma
	refused 1 'unable to apply cgroup configuration' 'rdma' /linux/resources/rdma
	down rdma
}

# A budget that the kernel gives a group of this place is set, and one that it does not is its refusal.
test_real_time_budget_is_what_the_kernel_gives() {
	local cpu=/sys/fs/cgroup/cpu/$suite_id

	needs_v1
	grouped budget
	up budget
	if [[ ! -e $cpu/one/cpu.rt_runtime_us ]]; then
		capture runtime update --cpu-rt-runtime 1000 budget
		refused 1 cpu.rt_runtime_us
	else
		mkdir "$cpu/probe"
		if (echo 1000 >"$cpu/probe/cpu.rt_runtime_us") 2>/dev/null; then
			echo 0 >"$cpu/probe/cpu.rt_runtime_us"
			runtime update --cpu-rt-runtime 1000 budget
			says "$cpu/one/cpu.rt_runtime_us" 1000
		else
			capture runtime update --cpu-rt-runtime 1000 budget
			refused 1 cpu.rt_runtime_us 1000
			says "$cpu/one/cpu.rt_runtime_us" 0
		fi
		rmdir "$cpu/probe"
	fi
	down budget
}

test_update_of_a_class_that_the_container_has_not_is_refused() {
	grouped noclass
	up noclass
	capture runtime update --l3-cache-schema 'L3:0=f' noclass
	refused 1 'no class of resource control' linux.intelRdt
	capture runtime update --mem-bw-schema 'MB:0=50' noclass
	refused 1 'no class of resource control' linux.intelRdt
	down noclass
}
