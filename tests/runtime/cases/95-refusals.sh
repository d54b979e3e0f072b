# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # variables of the suite; single quotes hold the container's scripts
#
# What is mandatory and not understood is refused with its place; what is extra is
# not. One row an element.

# POINTER | FILTER that spoils the configuration
refused_rows() {
	cat <<-'E'
		/ociVersion | .ociVersion = "2.0.0"
		/process/cwd | .process.cwd = "relative"
		/process/args | .process.args = []
		/process/args/0 | .process.args = [1]
		/process/env/0 | .process.env = [null]
		/process/terminal | .process.terminal = "yes"
		/process/user/uid | .process.user.uid = 4294967295
		/process/user/gid | .process.user.gid = -1
		/process/user/additionalGids/1 | .process.user.additionalGids = [0, 4294967295]
		/process/user/umask | .process.user.umask = 4096
		/process/rlimits/0/type | .process.rlimits = [{type: "RLIMIT_NEW", soft: 1, hard: 1}]
		/process/rlimits/0 | .process.rlimits = [{type: "RLIMIT_NOFILE", soft: 2, hard: 1}]
		/process/rlimits/1 | .process.rlimits = [{type: "RLIMIT_NOFILE", soft: 1, hard: 1}, {type: "RLIMIT_NOFILE", soft: 1, hard: 1}]
		/process/oomScoreAdj | .process.oomScoreAdj = 1001
		/process/scheduler | .process.scheduler = {policy: "SCHED_FIFO"}
		/process/scheduler | .process.scheduler = {policy: "SCHED_OTHER", nice: 20}
		/process/scheduler/policy | .process.scheduler = {policy: "SCHED_NEW"}
		/process/ioPriority | .process.ioPriority = {class: "IOPRIO_CLASS_IDLE"}
		/process/execCPUAffinity/initial | .process.execCPUAffinity = {initial: "a"}
		/root/path | .root.path = 7
		/mounts/0/destination | .mounts[0].destination = 1
		/mounts/0/options/0 | .mounts[0].options = [{}]
		/hostname | .hostname = ("x" * 65)
		/linux/namespaces/0 | .linux.namespaces[0].type = "nsa"
		/linux/namespaces/0 | .linux.namespaces[0].path = "relative"
		/linux/devices/0 | .linux.devices = [{path: "/dev/x", type: "q"}]
		/linux/devices/0 | .linux.devices = [{path: "dev/x", type: "c"}]
		/linux/rootfsPropagation | .linux.rootfsPropagation = "sideways"
		/linux/maskedPaths | .linux.maskedPaths = ["relative"]
		/linux/readonlyPaths | .linux.readonlyPaths = ["relative"]
		/linux/seccomp | .linux.seccomp = []
		/linux/seccomp | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir"], action: "SCMP_ACT_NOTIFY"}]}
		/linux/seccomp/listenerPath | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: "x", syscalls: [{names: ["mkdir"], action: "SCMP_ACT_NOTIFY"}]}
		/linux/personality/domain | .linux.personality = {domain: "LINUX64"}
		/linux/personality/flags | .linux.personality = {domain: "LINUX", flags: ["X"]}
		/linux/memoryPolicy/mode | .linux.memoryPolicy = {mode: "MPOL_NEW"}
		/linux/intelRdt | .linux.intelRdt = {closID: "x"}
		/linux/timeOffsets | .linux.timeOffsets = {monotonic: {secs: 1}}
		/linux/netDevices/x0 | .linux.namespaces += [{type: "network"}] | .linux.namespaces |= unique_by(.type) | .linux.netDevices = {x0: {name: "a/b"}}
		/linux/resources/memory/limit | .linux.resources = {memory: {limit: -2}}
		/linux/resources/devices/0/access | .linux.resources = {devices: [{allow: true, access: "x"}]}
		/linux/resources/cpu/cpus | .linux.resources = {cpu: {cpus: "all"}}
		/linux/resources/unified/..~1x | .linux.resources = {unified: {"../x": "1"}}
		/mounts/0 | .mounts[0] = {destination: "/x", type: "bind", source: "/", uidMappings: [{containerID: 0, hostID: 0, size: 1}]}
		/annotations/a | .annotations = {a: 1}
		/hooks/poststop/0 | .hooks = {poststop: [{}]}
	E
}

test_unknown_mandatory_elements_are_refused_with_their_place() {
	local pointer filter

	new_bundle rows
	cp -- "$bundle/config.json" "$bundle/good.json"
	while IFS='|' read -r pointer filter; do
		cp -- "$bundle/good.json" "$bundle/config.json"
		edit_config "$filter"
		(set -e && refused_at "${pointer% }") || printf 'FAILED: %s\n' "$filter"
	done < <(refused_rows) >"$scratch/rows.refused" 2>&1
	same 'rows that differ' '' "$(<"$scratch/rows.refused")"
}

test_unknown_optional_members_are_ignored() {
	new_bundle extra
	edit_config '.comment = "x" | .process.comment = {} | .linux.futureThing = null | .mounts[0].note = 1
		| .windows = {} | .vm = {} | .solaris = {}'
	set_script 'echo ran'
	run_container extra
	output_is ran
}

test_error_line_has_cause_fix_and_code() {
	new_bundle errorline
	edit_config '.process.cwd = "relative"'
	run_container errorline
	grep -qE '^runbuild: error: .+ \(at /process/cwd\); fix: .+ \[RB[0-9]{4}\]$' "$bundle/err" || fail "$(<"$bundle/err")"
	capture "$runbuild" explain "$(grep -oE 'RB[0-9]{4}' "$bundle/err")"
	ran_well
	[[ -s $bundle/out ]] || fail 'explain says nothing'
}
