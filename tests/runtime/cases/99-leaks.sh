# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of the suite
#
# After everything: nothing is left. Only the cache of compiled filters stays, on
# purpose: runbuild(1), FILES.

test_no_process_is_left() {
	await 10 no_process_of_suite || {
		processes_of_suite | show_processes
		fail 'processes are left'
	}
}

test_no_state_is_left() {
	same 'entries of the state root' '' "$(find "$state_root" -mindepth 1 ! -path "$state_root/@seccomp*")"
	same 'files in the runtime directory' '' \
		"$(find "$scratch/run" -mindepth 1 ! -path "$scratch/run/runbuild" ! -path "$scratch/run/runbuild/@seccomp*")"
}

test_no_temporary_file_is_left() {
	same 'files in the temporary directory' '' "$(find "$scratch/tmp" -mindepth 1)"
	same 'hidden files next to the bundles' '' "$(find "$scratch/bundles" -maxdepth 2 -name '.*')"
}

test_no_mount_is_left() {
	same 'mounts below the scratch directory' '' "$(grep -F "$suite_id/bundles" /proc/self/mountinfo || true)"
	same 'namespaces kept by a mount' '' "$(awk '$9 == "nsfs"' /proc/self/mountinfo | grep -F "$suite_id" || true)"
}

test_no_cgroup_is_left() {
	same 'groups' '' "$(groups_of_suite)"
}

# Every network namespace of the machine that a process of ours is in, is ours.
test_no_network_namespace_is_left() {
	local pid

	for pid in $(processes_of_suite); do
		fail "process $pid is in $(readlink "/proc/$pid/ns/net")"
	done
}
