# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # the suite sets and reads
#
# What the client and the runtime may not leave behind. A case file defines
# stop_client; cgroups_of_client lists the parent cgroups that the client itself
# makes and never removes, as a pattern for grep -xE.

mounts_of_machine() {
	awk '{ print $5 }' /proc/self/mountinfo | sort
}

# runtime_state: every file below the places where a runtime keeps state. Only
# the cache of compiled filters is meant to stay: runbuild(1), FILES.
runtime_state() {
	local root

	for root in /run/runbuild /run/runc /run/crun "$home"/run/{runbuild,runc,crun} \
		/run/user/*/{runbuild,runc,crun} "${state_roots[@]}"; do
		[[ ! -d $root ]] || find "$root" -mindepth 1 ! -path '*/@seccomp*' ! -path "$root/default" ! -path "$root/moby"
	done
}

test_the_client_stops() {
	stop_client
}

test_no_process_is_left() {
	await 10 no_processes || fail 'processes:' "$(machine_processes)"
}

no_processes() {
	[[ -z $(machine_processes) ]]
}

test_no_mount_is_left() {
	same 'mounts' "$mounts_before" "$(mounts_of_machine)"
}

test_no_state_is_left() {
	same 'state of the runtime' '' "$(runtime_state)"
}

test_no_cgroup_is_left() {
	same 'cgroups' '' "$(machine_cgroups | grep -vxE "${cgroups_of_client:-}" || true)"
}
