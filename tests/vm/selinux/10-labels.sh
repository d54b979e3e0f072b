# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # scratch, runtime: set by the guest script; the container's script
#
# SELinux is active in the guest, with the policy beside this file and without
# enforcing it: the labels that are asked for are those that the kernel shows.

readonly context=system_u:system_r:container_t:s0:c1,c2
readonly file_context=system_u:object_r:container_file_t:s0:c1,c2
readonly labelled=".process.selinuxLabel = \"$context\" | .linux.mountLabel = \"$file_context\"
	| .linux.cgroupsPath = \"/vmtest/selinux\""

# Until a policy is loaded there are no labels, and SELinux does not count as active.
test_label_is_refused_before_a_policy_is_loaded() {
	mountpoint -q /sys/fs/selinux || mount -t selinuxfs selinuxfs /sys/fs/selinux
	same 'the label of a kernel without policy' kernel "$(tr -d '\0' </proc/self/attr/current)"
	refused early ".process.selinuxLabel = \"$context\"" \
		'SELinux is not active on this host' /process/selinuxLabel RB0317
}

test_policy_is_loaded() {
	awk '/^category/ { for (i = 0; i < 1024; i++) print "category c" i ";"; next } { sub(/:c0;/, ":c0.c1023;"); print }' \
		"$here/selinux/policy.conf" >"$scratch/policy.conf"
	checkpolicy -M -U allow -o "$scratch/policy" "$scratch/policy.conf" >"$scratch/policy.log" 2>&1 ||
		fail "$(cat "$scratch/policy.log")"
	# one write: selinuxfs takes no second one
	dd if="$scratch/policy" of=/sys/fs/selinux/load bs=1M status=none
	same 'our label' system_u:system_r:kernel_t:s0 "$(tr -d '\0' </proc/self/attr/current)"
	same 'enforcing' 0 "$(cat /sys/fs/selinux/enforce)"
}

label_of_run() {
	"$runtime" run --bundle "$(make_bundle "$1" "$2" 'tr -d "\0" </proc/self/attr/current')" "$1" </dev/null 2>&1
}

test_process_has_the_label() {
	same 'the label' "$context" "$(label_of_run label "$labelled")"
	same 'with a user namespace' "$context" "$(label_of_run labeluser "$labelled | .linux.namespaces += [{type: \"user\"}]
		| .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
		| .linux.gidMappings = .linux.uidMappings")"
	same 'without' system_u:system_r:kernel_t:s0 "$(label_of_run bare '.process.selinuxLabel = ""')"
}

test_label_holds_without_new_privileges() {
	same 'the label' "$context" "$(label_of_run nnp "$labelled | .process.noNewPrivileges = true")"
}

# What runc gives the context: file systems of the container's own but proc, sysfs, cgroup2; the
# tmpfs that masks directories as well.
test_mounts_have_the_mount_label() {
	local pid tree

	start_sleeper mounts "$labelled | .mounts += [{destination: \"/own\", type: \"tmpfs\", source: \"tmpfs\",
		options: [\"size=64k\", \"ro\"]}] | .linux.maskedPaths = [\"/tmp\"]"
	pid=$(pid_of mounts)
	same 'mounts with the context' $'/dev\n/dev/pts\n/dev/shm\n/own\n/tmp' \
		"$(grep -F "context=\"$file_context\"" "/proc/$pid/mountinfo" | awk '{ print $5 }' | sort)"
	for tree in / /dev /dev/null /dev/shm /dev/pts /dev/mqueue /own /tmp; do
		printf '%s %s\n' "$tree" "$(getfattr_label "/proc/$pid/root$tree")"
	done >"$scratch/labels"
	same 'labels of files' "/ $root_label
/dev $file_context
/dev/null $file_context
/dev/shm $file_context
/dev/pts $file_context
/dev/mqueue $file_context
/own $file_context
/tmp $file_context" "$(cat "$scratch/labels")"
	"$runtime" delete --force mounts
}

# On the disk nothing was labelled, and nothing has to be.
readonly root_label=system_u:object_r:file_t:s0

getfattr_label() {
	python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], "security.selinux").decode().rstrip("\0"))' "$1"
}

# Its creator's label would keep the container from its own session keyring.
test_session_keyring_has_the_label() {
	local read_label='import ctypes
c = ctypes.CDLL(None)
text = ctypes.create_string_buffer(256)
n = c.syscall(250, 17, c.syscall(250, 0, -3, 0), text, 256)
print(text.value.decode() if n > 0 else "none")'

	jq -n --arg text "$read_label" '{process: {args: ["/usr/bin/python3", "-c", $text]}}' >"$scratch/keys.json"
	same 'the label' "$context" "$("$runtime" run --bundle "$(make_bundle keys "$labelled
		| del(.linux.seccomp) | .process.args = $(jq .process.args "$scratch/keys.json")
		| .mounts += [\"usr\", \"usr/lib\", \"usr/lib64\" | {source: (\"/\" + .),
			destination: (\"/\" + if . == \"usr\" then . else .[4:] end), type: \"bind\", options: [\"bind\", \"ro\"]}]" \
		true)" keys </dev/null 2>&1)"
}

test_exec_has_the_label() {
	start_sleeper held "$labelled"
	same 'the container s' "$context" "$("$runtime" exec held /bin/cat /proc/self/attr/current | tr -d '\0')"
	same 'one of its own' system_u:system_r:other_t:s0 \
		"$("$runtime" exec --process-label system_u:system_r:other_t:s0 held /bin/cat /proc/self/attr/current | tr -d '\0')"
	! "$runtime" exec --process-label nobody:nothing:never:s0 held /bin/true 2>"$scratch/refusal" || fail 'it ran'
	contains "$scratch/refusal" nobody:nothing:never:s0 'the loaded policy does not know' RB0317
	"$runtime" delete --force held
}

test_label_that_the_policy_does_not_know_is_one_error() {
	refused unknown '.process.selinuxLabel = "system_u:system_r:absent_t:s0" | .linux.cgroupsPath = "/vmtest/unknown"' \
		'the loaded policy does not know the SELinux label' system_u:system_r:absent_t:s0 \
		/process/selinuxLabel RB0317 fix:
	[[ ! -e /sys/fs/cgroup/vmtest/unknown ]] || fail 'its group is left'
	refused unknownmount '.linux.mountLabel = "system_u:object_r:absent_t:s0" | .linux.cgroupsPath = "/vmtest/unknown"' \
		'the loaded policy does not know the SELinux label' system_u:object_r:absent_t:s0 \
		/linux/mountLabel RB0317 fix:
	[[ ! -e /sys/fs/cgroup/vmtest/unknown ]] || fail 'its group is left'
}

# podman chooses the labels by itself where SELinux is active, with categories of its own.
test_podman_labels_its_containers() {
	local output

	mkdir -p /etc/selinux/targeted/contexts
	printf 'SELINUX=permissive\nSELINUXTYPE=targeted\n' >/etc/selinux/config
	printf '%s = "system_u:%s:s0"\n' process system_r:container_t file object_r:container_file_t \
		ro_file object_r:container_file_t >/etc/selinux/targeted/contexts/lxc_contexts
	output=$(podman_as root cgroupfs run --rm --network none --rootfs "$scratch/rootfs" /bin/sh -c \
		'tr -d "\0" </proc/self/attr/current; echo; grep -o "context=.*:c[0-9,c]*" /proc/self/mountinfo | sort -u' \
		2>"$scratch/podman.log") || fail "$(cat "$scratch/podman.log")"
	[[ $output == system_u:system_r:container_t:s0:c+([0-9]),c+([0-9])$'\n'* ]] || fail "$output"
	same 'the label of its mounts' \
		"$(sed -n '1 s/system_r:container_t/object_r:container_file_t/p' <<<"$output")" \
		"$(sed -n '2 s/context="*//p' <<<"$output")"
	same 'one that was asked for' system_u:system_r:other_t:s0 "$(podman_as root cgroupfs run --rm --network none \
		--security-opt label=type:other_t --security-opt label=level:s0 --rootfs "$scratch/rootfs" \
		/bin/cat /proc/self/attr/current 2>"$scratch/podman.log" | tr -d '\0')"
}

test_apparmor_profile_is_refused_where_apparmor_is_absent() {
	refused apparmor '.process.apparmorProfile = "vmtest-box"' 'AppArmor is not active on this host' RB0317
}
