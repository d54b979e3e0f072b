# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # variables of the suite; single quotes hold the container's scripts
#
# Limits, the verbs that read and change them, and what is left afterwards.

need_root() {
	[[ $caller == root ]] || skip 'needs root'
}

needs_v1() {
	need_root
	[[ $(stat -f -c %T /sys/fs/cgroup) != cgroup2fs ]] || skip 'cgroup v2 alone: the files have other names'
}

# group_file CONTROLLER V1-FILE V2-FILE: where the container's limit stands; skips without one.
group_file() {
	if [[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]]; then
		[[ -e /sys/fs/cgroup/$suite_id/one/$3 ]] || skip "no cgroup v2 controller $1 here"
		printf '%s' "/sys/fs/cgroup/$suite_id/one/$3"
	else
		[[ -e /sys/fs/cgroup/$1/$suite_id/one/$2 ]] || skip "no cgroup v1 controller $1 here"
		printf '%s' "/sys/fs/cgroup/$1/$suite_id/one/$2"
	fi
}

# has_controller NAME: on either version, for limits of this caller.
has_controller() {
	if [[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]]; then
		[[ $caller == root ]] && grep -qw "$1" /sys/fs/cgroup/cgroup.controllers
	else
		[[ -d /sys/fs/cgroup/$1 ]]
	fi
}

need_controllers() {
	local name

	for name; do
		has_controller "$name" || skip "no controller $name here"
	done
}

# The number of a disk of this machine.
a_disk() {
	local file

	for file in /sys/block/*; do
		[[ $file == *loop* ]] || break
	done
	printf '%s' "$(<"$file/dev")"
}

# grouped NAME: a bundle whose container sleeps in the group one of the suite.
grouped() {
	new_bundle "$1"
	edit_config --arg path "/$suite_id/one" '.linux.cgroupsPath = $path | .process.args = ["/bin/sleep", "1000"]'
}

# up ID: creates and starts the container of $bundle.
up() {
	runtime create --bundle "$bundle" "$1" </dev/null >"$bundle/out" 2>"$bundle/err" ||
		fail "create: $(cat "$bundle/err")" || return 1
	runtime start "$1"
}

down() {
	runtime delete --force "$1"
	find /sys/fs/cgroup -mindepth 1 -depth -type d -path "*$suite_id*" -exec rmdir {} \; 2>/dev/null || true
	same 'groups that are left' '' "$(find /sys/fs/cgroup -type d -path "*$suite_id/*")"
}

status_of() {
	runtime state "$1" | jq -r .status
}

test_limits_set_are_limits_read() {
	local file

	need_root
	need_controllers memory pids cpu
	grouped limits
	edit_config '.linux.resources.memory = {limit: 67108864} | .linux.resources.pids = {limit: 33}
		| .linux.resources.cpu = {quota: 50000, period: 100000}'
	up limits
	file=$(group_file memory memory.limit_in_bytes memory.max)
	same memory 67108864 "$(<"$file")"
	file=$(group_file pids pids.max pids.max)
	same pids 33 "$(<"$file")"
	file=$(group_file cpu cpu.cfs_quota_us cpu.max)
	same cpu 50000 "$(cut -d' ' -f1 "$file")"
	down limits
}

test_update_changes_what_it_names_and_remembers() {
	local memory pids

	need_root
	need_controllers memory pids
	grouped update
	edit_config '.linux.resources.memory = {limit: 67108864} | .linux.resources.pids = {limit: 33}'
	up update
	memory=$(group_file memory memory.limit_in_bytes memory.max)
	pids=$(group_file pids pids.max pids.max)
	runtime update --memory 32M update
	same memory 33554432 "$(<"$memory")"
	same 'pids stay' 33 "$(<"$pids")"
	printf '{"pids": {"limit": 44}}' | runtime update --resources - update
	same pids 44 "$(<"$pids")"
	printf '{"pids": {"limit": -1}}' | runtime update --resources=- update
	same pids max "$(<"$pids")"
	runtime update update --pids-limit 7
	same 'options behind the id' 7 "$(<"$pids")"
	same 'memory stays' 33554432 "$(<"$memory")"
	down update
}

test_value_that_the_kernel_refuses_is_named_with_its_file() {
	need_root
	has_controller cpu || skip 'no controller cpu here'
	grouped refused
	edit_config '.linux.resources.cpu = {period: 100}'
	capture runtime create --bundle "$bundle" refused
	refused 1 'unable to apply cgroup configuration' "'" 'Invalid argument' '/linux/resources/cpu/period'
	grep -qE 'cpu.cfs_period_us|cpu.max' "$bundle/err" || fail "$(<"$bundle/err")"
	same 'nothing is left' '' "$(runtime list -q)"
	down refused
}

test_words_that_are_no_limits_are_refused() {
	grouped words
	up words
	capture runtime update --memory lots words
	refused 1 "invalid value for memory: 'lots'"
	printf '{"pids": {"limit": "x"}}' >"$bundle/bad"
	capture runtime update -r "$bundle/bad" words
	refused 1 '/pids/limit'
	down words
}

test_throttled_device_is_throttled() {
	local file device name

	need_root
	name=blkio
	[[ $(stat -f -c %T /sys/fs/cgroup) != cgroup2fs ]] || name=io
	need_controllers "$name"
	device=$(a_disk)
	grouped throttle
	edit_config --argjson major "${device%:*}" --argjson minor "${device#*:}" \
		'.linux.resources.blockIO.throttleReadBpsDevice = [{major: $major, minor: $minor, rate: 1048576}]'
	up throttle
	file=$(group_file blkio blkio.throttle.read_bps_device io.max)
	grep -qE "^$device (1048576|.*rbps=1048576)" "$file" || fail "$(<"$file")"
	down throttle
	edit_config '.linux.resources.blockIO.throttleReadBpsDevice[0].major = 4000'
	capture runtime create --bundle "$bundle" throttle
	refused 1 'unable to apply cgroup configuration' '4000:' /linux/resources/blockIO/throttleReadBpsDevice/0
	down throttle
}

test_process_limit_holds() {
	need_root
	has_controller pids || skip 'no controller pids here'
	grouped forks
	edit_config '.linux.resources.pids = {limit: 5}'
	set_script 'for i in 1 2 3 4 5 6 7 8; do sleep 5 & done 2>&1; kill $(jobs -p); true'
	run_container forks
	grep -qi "can't fork" "$bundle/out" "$bundle/err" || fail "$(cat "$bundle/out" "$bundle/err")"
	down forks
}

test_devices_are_denied_until_a_rule_allows_them() {
	need_root
	grouped devices
	edit_config '.process.capabilities |= with_entries(.value += ["CAP_MKNOD"])'
	set_script 'mknod /tmp/loop b 7 0 && ! cat /tmp/loop 2>&1; echo x >/dev/null && echo null'
	run_container devices
	contains "$bundle/out" 'Operation not permitted' null
	grouped devices2
	edit_config 'del(.linux.resources.devices) | .linux.devices = [{path: "/dev/tun0", type: "c", major: 10, minor: 200}]'
	set_script ': <>/dev/tun0 || echo cannot'
	run_container devices2
	! grep -q 'Operation not permitted' "$bundle/out" "$bundle/err" || fail "$(cat "$bundle/out" "$bundle/err")"
	down devices
}

test_memory_kill_is_reported() {
	need_root
	has_controller memory || skip 'no controller memory here'
	grouped oom
	edit_config '.linux.resources.memory = {limit: 33554432, swap: 33554432}'
	set_script 'tail /dev/zero'
	runtime create --bundle "$bundle" oom </dev/null >"$bundle/out" 2>"$bundle/err" || skip "$(tail -n 1 "$bundle/err")"
	runtime events --interval 1h oom >"$bundle/events" &
	await 5 test -d "/proc/$!"
	runtime start oom
	wait $!
	contains "$bundle/events" '{"type":"oom","id":"oom"}'
	same status stopped "$(status_of oom)"
	down oom
}

test_pause_stops_and_resume_goes_on() {
	grouped pause
	up pause
	runtime pause pause
	same 'after pause' paused "$(status_of pause)"
	# what is not refused would wait for the end of the pause
	capture timeout 60 "$runbuild" --root "$state_root" exec pause true
	refused 255 'cannot exec in a paused container (use --ignore-paused to override)'
	capture runtime pause pause
	refused 1 'container not running or created: paused'
	runtime resume pause
	same 'after resume' running "$(status_of pause)"
	capture runtime resume pause
	refused 1 'container not paused'
	capture runtime exec pause echo ran
	output_is ran
	down pause
}

# The process is in the frozen group before it is the program.
test_exec_that_ignores_the_pause_runs_when_it_ends() {
	grouped ignores
	up ignores
	runtime pause ignores
	runtime exec --ignore-paused ignores echo ran >"$bundle/out" 2>"$bundle/err" </dev/null &
	await 20 eval '(($(runtime ps -f json ignores | jq length) == 2))' || fail "$(runtime ps -f json ignores)"
	same 'while it is paused' '' "$(<"$bundle/out")"
	runtime resume ignores
	wait $! || fail "$(<"$bundle/err")"
	same 'after resume' ran "$(<"$bundle/out")"
	down ignores
}

test_exec_joins_the_group_below_that_is_named() {
	local controllers='' group

	grouped below
	up below
	for group in /sys/fs/cgroup{,/unified,/pids}/"$suite_id/one"; do
		[[ ! -d $group ]] || mkdir "$group/sub"
	done
	# the other hierarchies of v1 have no such group
	[[ ! -d /sys/fs/cgroup/pids/$suite_id/one ]] || controllers=pids:
	capture runtime exec --cgroup "${controllers}sub" below grep "${controllers:-0::}" /proc/self/cgroup
	grep -q '/sub$' "$bundle/out" || fail "$(cat "$bundle/out" "$bundle/err")"
	capture runtime exec below grep "${controllers:-0::}" /proc/self/cgroup
	! grep '/sub$' "$bundle/out" || fail 'the group of another process'
	down below
}

test_paused_container_can_be_killed() {
	grouped frozen
	up frozen
	runtime pause frozen
	runtime kill frozen KILL
	await 10 eval '[[ $(status_of frozen) == stopped ]]' || fail "$(status_of frozen)"
	down frozen
	grouped frozen2
	up frozen2
	runtime pause frozen2
	down frozen2
}

test_processes_are_listed() {
	grouped ps
	set_script 'sleep 1001 & sleep 1002'
	up ps
	await 10 eval '(($(runtime ps -f json ps | jq length) >= 2))' || fail "$(runtime ps -f json ps)"
	runtime ps -f json ps | jq -e 'all(type == "number")' >/dev/null
	if type -P ps >/dev/null; then
		runtime ps ps -o pid,args >"$bundle/table"
		contains "$bundle/table" PID 'sleep 1001' 'sleep 1002'
		same 'lines' 3 "$(wc -l <"$bundle/table")"
	fi
	runtime kill --all ps KILL
	await 10 eval '[[ $(status_of ps) == stopped ]]'
	same 'of a stopped one' null "$(runtime ps -f json ps)"
	down ps
}

test_containers_are_listed() {
	grouped list
	up list
	same ids list "$(runtime list -q)"
	same head 'ID PID STATUS BUNDLE CREATED OWNER' "$(runtime list | head -n 1 | tr -s ' ')"
	same 'one line' 1 "$(runtime list -f json | wc -l)"
	runtime list -f json | jq -e --arg bundle "$bundle" 'length == 1 and (.[0] | .id == "list" and .status == "running"
		and .bundle == $bundle
		and keys_unsorted == ["ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "owner"])' >/dev/null ||
		fail "$(runtime list -f json)"
	down list
	same 'of none' null "$(runtime list -f json)"
}

test_statistics_are_one_line_of_json() {
	grouped stats
	up stats
	runtime events --stats stats >"$bundle/stats"
	same lines 1 "$(wc -l <"$bundle/stats")"
	jq -e '.type == "stats" and .id == "stats" and (.data | .cpu.usage.total >= 0 and .cpu.throttling.periods >= 0
		and (.memory.usage | has("limit") and has("failcnt")) and (.memory.raw | type == "object")
		and .pids.current >= 0 and (.blkio | type == "object") and (.hugetlb | type == "object"))' \
		"$bundle/stats" >/dev/null || fail "$(<"$bundle/stats")"
	down stats
	capture runtime events --stats stats
	refused 1 'container does not exist'
}

# For ever, until the container's end.
test_events_come_again_and_again() {
	grouped again
	up again
	runtime events --interval 30ms again >"$bundle/events" 2>"$bundle/err" &
	await 20 eval '(($(wc -l <"$bundle/events") >= 3))' || fail "$(<"$bundle/err")"
	runtime kill again KILL
	wait $! || fail "$(<"$bundle/err")"
	jq -es 'length >= 3 and all(.type == "stats" and .id == "again" and .data.pids.current >= 0)' "$bundle/events" >/dev/null ||
		fail "$(<"$bundle/events")"
	capture runtime events --interval 0s again
	refused 1 'duration interval must be greater than 0'
	down again
}

test_cgroup_path_that_climbs_is_refused() {
	new_bundle climbs
	edit_config '.linux.cgroupsPath = "/a/../../b"'
	capture runtime create --bundle "$bundle" climbs
	refused 1 'contains ".."' /linux/cgroupsPath
	grouped below
	up below
	capture runtime exec --cgroup ../x below true
	refused 255 'is not a sub cgroup path'
	capture runtime exec --cgroup nothere below true
	refused 255 'adding pid' '/nothere/cgroup.procs: no such file'
	capture runtime exec --cgroup whaaat:/ below true
	refused 255 'unknown controller whaaat'
	down below
}

test_frozen_group_is_refused() {
	local file

	grouped used
	up used
	runtime pause used
	new_bundle second
	edit_config --arg path "/$suite_id/one" '.linux.cgroupsPath = $path'
	capture runtime create --bundle "$bundle" second
	refused 1 "container's cgroup unexpectedly frozen"
	same 'the first one' paused "$(status_of used)"
	down used
}

test_container_sees_its_own_group_only() {
	need_root
	grouped view
	set_script 'cat /proc/self/cgroup | cut -d: -f3 | sort -u; ls -d /sys/fs/cgroup/*/one /sys/fs/cgroup/one 2>/dev/null; true'
	run_container view
	output_is /
	down view
}

# "rootless" is whether a step may run without the limits that nobody can apply.
test_limits_are_wanted_unless_the_caller_is_rootless() {
	local words

	needs_v1
	[[ ! -d /sys/fs/cgroup/rdma ]] || skip 'this kernel has rdma for v1'
	grouped rootless
	edit_config '.process.args = ["/bin/echo", "ran"] | .linux.resources.rdma = {mlx5_1: {hcaHandles: 3}}'
	capture runtime --rootless=true run --bundle "$bundle" rootless
	output_is ran
	contains "$bundle/log" 'level=warning' 'no cgroup controller \"rdma\"; the step runs without limits'
	for words in --rootless=false '--rootless auto'; do
		# shellcheck disable=SC2086 # an option and its value
		capture runtime $words run --bundle "$bundle" rootless
		refused 1 'unable to apply cgroup configuration' rdma
	done
	capture runtime --rootless perhaps run --bundle "$bundle" rootless
	refused 1 "--rootless: 'perhaps' is not true, false or auto"
	down rootless
}

test_manager_of_files_is_named() {
	grouped files
	runtime --cgroup-manager=cgroupfs create --bundle "$bundle" files </dev/null >"$bundle/out" 2>"$bundle/err" ||
		fail "$(<"$bundle/err")"
	[[ -n $(find /sys/fs/cgroup -type d -path "*$suite_id/one") ]] || fail 'no group'
	down files
}

test_explain_shows_the_limits() {
	grouped explain
	edit_config '.linux.resources.pids = {limit: 99}'
	capture "$runbuild" explain --bundle "$bundle"
	has_controller pids || skip 'no controller pids here'
	grep -qE 'cgroup_write +pids.max = 99' "$bundle/out" || fail "$(<"$bundle/out")"
}
