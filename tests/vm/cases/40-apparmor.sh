# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # scratch, runtime: set by the guest script
#
# AppArmor is active in the guest: the profile that is asked for is the one that
# the process has, and holds.

readonly profile='.process.apparmorProfile = "vmtest-box" | .linux.cgroupsPath = "/vmtest/apparmor"'

# A profile that lets everything be done but writing to /root.
test_profiles_are_loaded() {
	same 'AppArmor' Y "$(cat /sys/module/apparmor/parameters/enabled)"
	apparmor_parser --replace --skip-cache <<-'P'
		profile vmtest-box flags=(attach_disconnected,mediate_deleted) {
			file,
			network,
			capability,
			mount,
			umount,
			pivot_root,
			signal,
			ptrace,
			deny /root/denied w,
		}
		profile vmtest-other flags=(attach_disconnected,mediate_deleted) {
			file,
			signal,
			capability,
		}
	P
}

test_profile_is_applied() {
	local output

	output=$("$runtime" run --bundle "$(make_bundle aa "$profile" \
		'cat /proc/self/attr/current; echo x >/root/allowed && echo allowed; echo x >/root/denied || echo denied')" \
		aa </dev/null 2>/dev/null)
	same 'the label and what it does' $'vmtest-box (enforce)\nallowed\ndenied' "$output"
	rm -- "$scratch/rootfs/root/allowed"
	[[ ! -e $scratch/rootfs/root/denied ]] || fail 'the file is there'
}

test_profile_holds_without_new_privileges() {
	same 'the label' 'vmtest-box (enforce)' "$("$runtime" run --bundle "$(make_bundle nnp \
		"$profile | .process.noNewPrivileges = true" 'cat /proc/self/attr/current')" nnp </dev/null 2>&1)"
}

test_unconfined_and_no_profile_are_unconfined() {
	local words

	for words in '.process.apparmorProfile = "unconfined"' '.process.apparmorProfile = ""' 'del(.process.apparmorProfile)'; do
		same "$words" unconfined "$("$runtime" run --bundle "$(make_bundle bare "$words" \
			'cat /proc/self/attr/current')" bare </dev/null 2>&1)"
	done
}

test_profile_that_is_not_loaded_is_one_error() {
	refused unloaded '.process.apparmorProfile = "vmtest-absent" | .linux.cgroupsPath = "/vmtest/unloaded"' \
		vmtest-absent apparmorProfile 'not loaded' RB0317
	[[ ! -e /sys/fs/cgroup/vmtest/unloaded ]] || fail 'its group is left'
}

test_exec_has_the_profile() {
	start_sleeper held "$profile"
	same 'the container s' 'vmtest-box (enforce)' "$("$runtime" exec held /bin/cat /proc/self/attr/current)"
	same 'one of its own' 'vmtest-other (enforce)' \
		"$("$runtime" exec --apparmor vmtest-other held /bin/cat /proc/self/attr/current)"
	! "$runtime" exec --apparmor vmtest-absent held /bin/true 2>"$scratch/refusal" || fail 'it ran'
	contains "$scratch/refusal" vmtest-absent 'not loaded'
	"$runtime" delete --force held
}

# podman makes and loads its default profile by itself.
test_podman_loads_and_uses_its_default_profile() {
	local label

	label=$(podman_as root cgroupfs run --rm --network none --rootfs "$scratch/rootfs" \
		/bin/cat /proc/self/attr/current 2>"$scratch/aa.log") || fail "$(cat "$scratch/aa.log")"
	[[ $label == containers-default-*' (enforce)' ]] || fail "the label is '$label'"
	same 'one by name' 'vmtest-box (enforce)' "$(podman_as root cgroupfs run --rm --network none \
		--security-opt apparmor=vmtest-box --rootfs "$scratch/rootfs" /bin/cat /proc/self/attr/current)"
}

# SELinux is the other one, and absent when AppArmor is there.
test_selinux_label_is_refused_where_selinux_is_absent() {
	refused selinux '.process.selinuxLabel = "system_u:system_r:container_t:s0"' \
		'SELinux is not active on this host' /process/selinuxLabel RB0317
	refused mountlabel '.linux.mountLabel = "system_u:object_r:container_file_t:s0"' \
		'SELinux is not active on this host' RB0317
}
