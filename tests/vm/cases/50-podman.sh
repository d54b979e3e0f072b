# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # scratch, runtime: set by the guest script; builder's script
#
# podman with both cgroup managers, as root and as an ordinary user: what it is
# told to limit is what the kernel says, and running out of memory is reported.

# The step prints its own limits from its cgroup namespace.
check_podman_limits() {
	local output

	output=$(podman_as "$1" "$2" run --rm --network none --rootfs \
		--memory 64m --pids-limit 33 --cpus 0.5 "$scratch/rootfs" \
		/bin/sh -c 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max')
	same "limits with $2" $'67108864\n33\n50000 100000' "$output"
}

check_podman_oom() {
	local status=0

	podman_as "$1" "$2" run --rm --network none --rootfs --memory 32m --memory-swap 32m \
		"$scratch/rootfs" /bin/sh -c 'tail /dev/zero' >/dev/null 2>&1 || status=$?
	same "status after running out of memory with $2" 137 "$status"
}

test_podman_root_cgroupfs_limits() { check_podman_limits root cgroupfs; }
test_podman_root_systemd_limits() { check_podman_limits root systemd; }
test_podman_root_systemd_oom_gives_137() { check_podman_oom root systemd; }

# Without systemd podman asks for no limits as an ordinary user; the step has to run all the same.
test_podman_user_cgroupfs_runs() {
	same 'output' ran "$(podman_as builder cgroupfs run --rm --network none --rootfs "$scratch/rootfs" /bin/echo ran)"
}

# With a parent of the user's own it does.
test_podman_user_cgroupfs_limits_below_a_delegated_group() {
	local output

	output=$(as_builder bash -c "$step_aside"'
		podman --runtime "$1" --cgroup-manager cgroupfs --events-backend file run --rm --network none \
			--cgroup-parent "$own/parent" --memory 64m --pids-limit 33 --cpus 0.5 --rootfs "$2" \
			/bin/sh -c "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max" 2>/tmp/vmpodman.log ||
			{ cat /tmp/vmpodman.log; exit 1; }
		left=$(find "/sys/fs/cgroup$own" -name "libpod-*" -type d)
		[[ -z $left ]] || echo "left: $left"' delegated "$runtime" "$scratch/rootfs" 2>&1) || fail "$output"
	same 'limits' $'67108864\n33\n50000 100000' "$output"
}

test_podman_user_systemd_limits() { check_podman_limits builder systemd; }
test_podman_user_systemd_oom_gives_137() { check_podman_oom builder systemd; }
