# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # scratch, runtime: set by the guest script; the container's script
#
# An ordinary user, to whom v1 delegates nothing, and podman, on cgroup v1.

# rootless_bundle NAME JQ: of builder, for a container that says "ran".
rootless_bundle() {
	local dir=$scratch/user-$1

	mkdir -p "$dir"
	(cd "$dir" && rm -f config.json && "$runtime" spec --rootless)
	jq --arg root "$scratch/rootfs" ".root = {path: \$root, readonly: false} | .process.terminal = false
		| .process.args = [\"/bin/echo\", \"ran\"] | .process.env = [\"PATH=/bin\"]
		| .linux.uidMappings[0].hostID = 1001 | .linux.gidMappings[0].hostID = 1001 | $2" \
		"$dir/config.json" >"$dir/config.new"
	mv -- "$dir/config.new" "$dir/config.json"
	printf '%s' "$dir"
}

test_user_runs_without_limits() {
	same 'the output' ran "$(as_builder "$runtime" run --bundle "$(rootless_bundle plain .)" plain </dev/null 2>&1)"
	no_user_group_is_left
}

# A container that has a path but no limits goes without its group, as with runc.
test_user_runs_without_a_group_it_may_not_make() {
	same 'the output' ran "$(as_builder "$runtime" run \
		--bundle "$(rootless_bundle path '.linux.cgroupsPath = "/vmtest/foreign"')" path </dev/null 2>/dev/null)"
	no_user_group_is_left
}

# Limits that cannot be set are refused where somebody waits for the answer, and not silently left out.
test_user_is_told_of_limits_that_cannot_be_set() {
	local status=0

	as_builder "$runtime" create --bundle "$(rootless_bundle limits '.linux.cgroupsPath = "/vmtest/foreign"
		| .linux.resources = {memory: {limit: 67108864}, pids: {limit: 40}}')" limited \
		</dev/null >"$scratch/said" 2>&1 || status=$?
	same 'status' 1 "$status"
	contains "$scratch/said" 'permission denied' || fail "$(cat "$scratch/said")"
	! as_builder "$runtime" state limited >/dev/null 2>&1 || fail 'its state is left'
	no_user_group_is_left
}

no_user_group_is_left() {
	same 'groups' '' "$(find /sys/fs/cgroup -name foreign -type d)"
}

check_podman_root() {
	local output status=0

	output=$(podman_as root "$1" run --rm --network none --rootfs --memory 64m --pids-limit 33 --cpus 0.5 \
		"$scratch/rootfs" /bin/sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us' \
		2>"$scratch/podman.log") || fail "$(cat "$scratch/podman.log")"
	same "limits with $1" $'67108864\n33\n50000' "$output"
	podman_as root "$1" run --rm --network none --rootfs --memory 32m --memory-swap 32m \
		"$scratch/rootfs" /bin/sh -c 'tail /dev/zero' >/dev/null 2>&1 || status=$?
	same "status after running out of memory with $1" 137 "$status"
}

test_podman_root_cgroupfs_limits_and_oom() { check_podman_root cgroupfs; }
test_podman_root_systemd_limits_and_oom() { check_podman_root systemd; }

test_podman_root_pauses_updates_and_removes() {
	podman_as root systemd run --detach --name held --network none --rootfs "$scratch/rootfs" \
		/bin/sleep 1000 >/dev/null 2>"$scratch/podman.log" || fail "$(cat "$scratch/podman.log")"
	podman_as root systemd pause held >/dev/null 2>"$scratch/podman.log" || fail "$(cat "$scratch/podman.log")"
	same 'state' paused "$(podman_as root systemd inspect --format '{{.State.Status}}' held 2>/dev/null)"
	podman_as root systemd unpause held >/dev/null 2>"$scratch/podman.log" || fail "$(cat "$scratch/podman.log")"
	same 'exec' x "$(podman_as root systemd exec held /bin/echo x 2>/dev/null)"
	podman_as root systemd rm --force --time 0 held >/dev/null 2>"$scratch/podman.log" || fail "$(cat "$scratch/podman.log")"
	same 'groups' '' "$(find /sys/fs/cgroup -type d -name 'libpod-*')"
}

# podman asks for no limits as an ordinary user on v1.
test_podman_user_runs() {
	same 'output' ran "$(podman_as builder cgroupfs run --rm --network none --rootfs "$scratch/rootfs" /bin/echo ran 2>/dev/null)"
}
