# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # variables of the suite; single quotes hold the container's scripts
#
# Namespaces new and by path, id maps, host names.

own_ns() {
	readlink "/proc/self/ns/$1"
}

test_listed_namespaces_are_new_and_others_are_the_callers() {
	local type expected='' kind user_ns=''

	[[ $mode != userns ]] || user_ns='user '
	new_bundle newns
	edit_config '.linux.namespaces |= (map(select(.type == "user" or .type == "mount")) + [{type: "uts"}, {type: "pid"}])
		| .mounts |= map(select(.type != "cgroup" and .destination != "/sys" and .type != "mqueue")) | del(.hostname)'
	set_script 'for t in cgroup ipc mnt net pid user uts; do echo $t $(readlink /proc/self/ns/$t); done'
	run_container newns
	ran_well
	while read -r type kind; do
		[[ $(own_ns "$type") == "$kind" ]] || expected+="$type "
	done <"$bundle/out"
	same 'new ones' "mnt pid $user_ns""uts " "$expected"
}

test_all_seven_namespaces_can_be_new() {
	local type kind old='' shared='user '

	[[ $mode != userns ]] || shared=
	new_bundle allns
	edit_config --argjson types "$([[ $mode == userns ]] && echo '["user"]' || echo '[]')" \
		'.linux.namespaces = (["pid", "network", "ipc", "uts", "mount", "cgroup"] + $types | map({type: .}))'
	set_script 'for t in cgroup ipc mnt net pid uts user; do echo $t $(readlink /proc/self/ns/$t); done'
	run_container allns
	ran_well
	while read -r type kind; do
		[[ $(own_ns "$type") != "$kind" ]] || old+="$type "
	done <"$bundle/out"
	same 'not new' "$shared" "$old"
}

test_new_network_namespace_has_only_loopback_and_it_is_up() {
	new_bundle netns
	edit_config '.linux.namespaces |= (map(select(.type != "network")) + [{type: "network"}])'
	set_script 'awk -F: "NR > 2 { print \$1 }" /proc/net/dev | tr -d " " | grep -vE "^(sit|tunl|ip6|gre|erspan|ip_vti)"; ping -c 1 127.0.0.1 >/dev/null 2>&1 ||
		cat /sys/class/net/lo/flags'
	run_container netns
	ran_well
	same 'the first interface' lo "$(head -n 1 "$bundle/out")"
	set_script 'ip link show lo | grep -o "[<,]UP[,>]" | tr -d "<,>"'
	run_container netns
	output_is UP
}

test_namespaces_are_joined_by_path() {
	local pid type

	new_bundle joinee
	edit_config --argjson types "$([[ $mode == userns ]] && echo '["user"]' || echo '[]')" \
		'.linux.namespaces = (["pid", "network", "ipc", "uts", "mount", "cgroup"] + $types | map({type: .})) | .hostname = "joined"'
	set_script 'exec sleep 600'
	start_detached joinee
	pid=$(pid_of joinee)
	for type in net ipc uts pid; do
		readlink "/proc/$pid/ns/$type"
	done >"$scratch/joinee.ns"
	new_bundle joiner
	edit_config --arg pid "$pid" --argjson user "$([[ $mode == userns ]] && echo true || echo false)" '
		.linux.namespaces = ([{type: "network", path: "/proc/\($pid)/ns/net"}, {type: "ipc", path: "/proc/\($pid)/ns/ipc"},
			{type: "uts", path: "/proc/\($pid)/ns/uts"}, {type: "pid", path: "/proc/\($pid)/ns/pid"}, {type: "mount"}]
			+ if $user then [{type: "user", path: "/proc/\($pid)/ns/user"}] else [] end)
		| if $user then del(.linux.uidMappings, .linux.gidMappings) else . end | del(.hostname)
		| .mounts |= map(select(.type != "cgroup"))'
	set_script 'for t in net ipc uts pid; do readlink /proc/self/ns/$t; done; hostname; ps -o comm | grep -c sleep'
	run_container joiner
	output_is "$(<"$scratch/joinee.ns")
joined
1"
	remove joinee
}

test_namespace_path_of_another_type_names_the_element() {
	new_bundle wrongns
	edit_config '.linux.namespaces |= (map(select(.type != "ipc")) + [{type: "ipc", path: "/proc/self/ns/uts"}]) | .mounts |= map(select(.type != "mqueue"))'
	run_container wrongns
	refused 1 /proc/self/ns/uts '(at /linux/namespaces/'
	edit_config '.linux.namespaces[-1].path = "/no/such/ns"'
	run_container wrongns
	refused 1 /no/such/ns '(at /linux/namespaces/'
}

test_hostname_and_domainname_are_the_containers() {
	local before

	before=$(uname -n)
	new_bundle names
	edit_config '.hostname = "inside" | .domainname = "example.org"'
	set_script 'hostname; cat /proc/sys/kernel/domainname'
	run_container names
	output_is 'inside
example.org'
	same 'the host' "$before" "$(uname -n)"
}

test_hostname_without_uts_namespace_is_refused() {
	new_bundle nouts
	edit_config '.hostname = "x" | .linux.namespaces |= map(select(.type != "uts"))'
	refused_at /hostname
}

test_id_maps_are_written_as_configured() {
	local uid gid

	need_mode userns
	uid=$(first_subid /etc/subuid) gid=$(first_subid /etc/subgid)
	new_bundle idmap
	set_script 'tr -s " " </proc/self/uid_map; tr -s " " </proc/self/gid_map; touch /own; chown 1000:33 /own'
	edit_config '.process.capabilities = (["CAP_CHOWN"] | {bounding: ., permitted: ., effective: .})'
	run_container idmap
	output_is " 0 $EUID 1
 1 $uid 65535
 0 $(id -g) 1
 1 $gid 65535"
	same 'the owner outside' "$((uid + 999)):$((gid + 32))" "$(stat -c %u:%g "$bundle/rootfs/own")"
}

test_single_id_map_needs_no_helper() {
	need_mode userns
	new_bundle singlemap
	edit_config '.linux.uidMappings |= [.[0]] | .linux.gidMappings |= [.[0]]'
	set_script 'id -u; cat /proc/self/setgroups'
	capture env PATH=/nonexistent "$runbuild" --root "$state_root" run --bundle "$bundle" singlemap
	output_is '0
deny'
}

test_map_inside_the_launchers_namespace() {
	need_mode user root
	new_bundle nestedmap
	edit_config '.linux.namespaces += [{type: "user"}]
		| .linux.uidMappings = [{containerID: 0, hostID: 0, size: 1}, {containerID: 1, hostID: 1000, size: 100}]
		| .linux.gidMappings = .linux.uidMappings
		| .mounts |= map(if .options then .options |= map(select(. != "gid=5")) else . end)'
	set_script 'id -u; tr -s " " </proc/self/uid_map'
	run_container nestedmap
	output_is '0
 0 0 1
 1 1000 100'
}

# Whoever makes the IPC namespace owns its message queues, and outside the map that is nobody.
test_message_queues_belong_to_the_root_of_a_user_namespace() {
	need_mode root
	new_bundle mqueueowner
	edit_config '.linux.namespaces += [{type: "user"}]
		| .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 1000}]
		| .linux.gidMappings = .linux.uidMappings'
	chmod o+x "$scratch" "$scratch/bundles" "$bundle"
	set_script 'stat -c %u:%a /dev/mqueue; readlink /proc/self/ns/ipc'
	run_container mqueueowner
	same 'owner and mode' 0:1777 "$(head -n 1 "$bundle/out")" || fail "$(cat "$bundle/err")"
	[[ $(tail -n 1 "$bundle/out") != "$(readlink /proc/self/ns/ipc)" ]] || fail 'it is not a namespace of its own'
}

test_ids_outside_the_map_are_refused() {
	new_bundle outside
	edit_config '.linux.namespaces |= (map(select(.type != "user")) + [{type: "user"}])
		| .linux.uidMappings = [{containerID: 0, hostID: 0, size: 4294967294}]
		| .linux.gidMappings = .linux.uidMappings'
	if [[ $mode == root ]]; then
		edit_config '.linux.uidMappings = [{containerID: 0, hostID: 0, size: 1}] | .linux.gidMappings = .linux.uidMappings
			| .process.user.uid = 5'
		refused_at /process/user/uid 'uid 5'
	else
		run_container outside
		refused 1 'not' '(at /linux/uidMappings'
	fi
}

test_missing_pid_namespace_is_added_with_a_warning() {
	new_bundle nopid
	edit_config '.linux.namespaces |= map(select(.type != "pid"))'
	set_script 'echo $$'
	run_container nopid
	same 'the status' 0 "$status"
	same 'stdout' 1 "$(<"$bundle/out")"
	same 'warnings' 1 "$(grep -c 'level=warning' "$bundle/log")"
}

without_mount_namespace() {
	new_bundle "$1"
	edit_config '.linux.namespaces |= map(select(.type != "mount"))'
}

# Mounts of the bundle in the mount namespace of this process.
mounts_here() {
	grep -cF " $bundle" /proc/self/mountinfo || true
}

test_missing_mount_namespace_is_inherited_and_gets_no_mount() {
	need_mode root user
	without_mount_namespace nomount
	mkdir -p "$bundle/rootfs/dir"
	edit_config --arg b "$bundle" '.linux.maskedPaths += ["/dir"]
		| .mounts += [{destination: "/given", type: "bind", source: $b, options: ["bind", "ro"]}]'
	set_script 'readlink /proc/self/ns/mnt; ls -A /dir; ls /given/config.json
		touch /given/x 2>/dev/null || echo read-only; echo x >/dev/shm/x && cat /dev/shm/x; cd /; cd ../../..; ls -d config.json 2>/dev/null
		echo end; exec sleep 600'
	start_detached nomount
	await 20 file_has "$bundle/detached" end || fail "$(cat "$bundle/detached")"
	same 'inside' "$(own_ns mnt)
/given/config.json
read-only
x
end" "$(<"$bundle/detached")"
	same 'mounts while it runs' 0 "$(mounts_here)"
	capture runtime exec nomount sh -c 'readlink /proc/self/ns/mnt; cat /dev/shm/x; ls /given/config.json'
	output_is "$(own_ns mnt)
x
/given/config.json"
	kill -KILL "$(pid_of nomount)"
	remove nomount
	same 'mounts afterwards' 0 "$(mounts_here)"
	[[ ! -e $bundle/rootfs/dev/shm/x ]] || fail 'it was written into the image'
}

# Mounts of another namespace are not trusted with the rights of a file: mnt_may_suid() of the
# kernel. With a mount namespace of its own the same program gets them.
test_setuid_program_gains_nothing_without_a_mount_namespace() {
	local kind

	need_mode root user
	need_probe
	[[ $(uname -m) == x86_64 ]] || skip 'the number of setuid(2) is that of x86_64'
	for kind in own inherited; do
		without_mount_namespace "setuid$kind"
		[[ $kind == inherited ]] || edit_config '.linux.namespaces += [{type: "mount"}]'
		cp -- "$bundle/rootfs/bin/probe" "$bundle/rootfs/bin/setuid-probe" # which others have by a link
		chmod 4755 "$bundle/rootfs/bin/setuid-probe"
		edit_config '.process.user = {uid: 1000, gid: 1000} | .process.noNewPrivileges = false
			| .process.args = ["/bin/setuid-probe", "call", "105", "0"]'
		run_container "setuid$kind"
		output_is "$([[ $kind == own ]] && echo ok || echo EPERM)"
	done
}

# One that every process could see would be needed for these.
test_inherited_mount_namespace_refuses_what_needs_its_own() {
	need_mode root user
	without_mount_namespace nopeers
	edit_config '.linux.rootfsPropagation = "shared"'
	refused_at /linux/rootfsPropagation 'without a mount namespace'
	edit_config 'del(.linux.rootfsPropagation) | .mounts += [{destination: "/given", type: "bind", source: "/", options: ["rbind", "rslave"]}]'
	refused_at "/mounts/$(jq '.mounts | length - 1' "$bundle/config.json")" 'can only be private'
	same 'mounts afterwards' 0 "$(mounts_here)"
}

test_user_namespace_does_not_inherit_a_mount_namespace() {
	need_mode userns
	without_mount_namespace usernomount
	refused_at "/linux/namespaces/$(jq '.linux.namespaces | map(.type) | index("user")' "$bundle/config.json")" 'no mount namespace'
}

# The root of a joined mount namespace is not the container's.
test_exec_enters_the_root_of_a_container_in_a_joined_mount_namespace() {
	local pid

	need_mode root user
	new_bundle mountjoinee
	set_script 'exec sleep 600'
	start_detached mountjoinee
	pid=$(pid_of mountjoinee)
	new_bundle mountjoiner
	mkdir "$scratch/bundles/mountjoinee/rootfs/second"
	tar -C "$bundle/rootfs" -c . | tar -C "$scratch/bundles/mountjoinee/rootfs/second" -x
	touch "$scratch/bundles/mountjoinee/rootfs/second/here"
	edit_config --arg pid "$pid" '.root.path = "/second" | .mounts = []
		| .linux.namespaces |= map(if .type == "mount" then .path = "/proc/\($pid)/ns/mnt" else . end)
		| del(.linux.maskedPaths, .linux.readonlyPaths)'
	set_script 'exec sleep 600'
	start_detached mountjoiner
	capture runtime exec mountjoiner ls -d /here /second
	contains "$bundle/out" '/here'
	! grep -q /second "$bundle/out" || fail 'exec stands in the root of the namespace'
	remove mountjoiner
	remove mountjoinee
}
