# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# What the command finds: ids, mounts, processes, networks, files.

test_root_of_a_user_namespace_with_all_capabilities() {
	same 'id' 'uid=0(root) gid=0(root)' "$(rootless -- id | cut -d' ' -f1,2)"
	same 'capabilities' "$(printf '%016x' $(((2 << $(cat /proc/sys/kernel/cap_last_cap)) - 1)))" \
		"$(rootless -- grep CapEff /proc/self/status | cut -f2)"
	same 'supplementary groups' '' "$(rootless -- sed -n 's/^Groups:[[:space:]]*//p' /proc/self/status | tr -d ' ' | tr -d '[:digit:]')"
}

id_map() {
	sed -E 's/^ +//; s/ +/ /g' "$@"
}

test_every_range_of_both_files_is_mapped() {
	needs_host
	printf '%s\n' "$user:100000:65536" "$user:300000:1000" "$user_id:500000:10" "other:700000:9" >"$scratch/subuid"
	printf '%s\n' "$user:200000:65536" >"$scratch/subgid"
	in_host 'cover "$scratch/subuid" /etc/subuid; cover "$scratch/subgid" /etc/subgid' \
		runbuild rootless -- sh -c 'cat /proc/self/uid_map; echo; cat /proc/self/gid_map' >"$scratch/maps"
	same 'maps' "0 $user_id 1
1 100000 65536
65537 300000 1000
66537 500000 10

0 $(id -g "$user") 1
1 200000 65536" "$(id_map "$scratch/maps")"
}

test_a_range_of_two_users_is_said() {
	needs_host
	printf '%s:100000:65536\neve:165000:65536\n' "$user" >"$scratch/shared"
	as='cover "$scratch/shared" /etc/subuid'
	same 'ids' 65537 "$(in_host "$as" runbuild rootless -- awk '{ n += $3 } END { print n }' /proc/self/uid_map 2>"$scratch/err")"
	contains "$scratch/err" '/etc/subuid: line 2 gives 165000-165535 to eve as well' 'a range of their own'
	same 'warnings' 1 "$(grep -c eve "$scratch/err")"
}

test_duplicates_overlaps_and_neighbours_become_one_range() {
	needs_host
	printf '%s\n' "$user:100000:1000" "$user_id:100000:1000" "$user:100500:1000" "$user:101500:100" \
		'bad:line' 'other:0:10' >"$scratch/subuid"
	in_host 'cover "$scratch/subuid" /etc/subuid' \
		runbuild rootless -- cat /proc/self/uid_map >"$scratch/maps" 2>"$scratch/err"
	same 'map' "0 $user_id 1
1 100000 1600" "$(id_map "$scratch/maps")"
	contains "$scratch/err" 'overlap'
}

test_own_id_inside_a_range_is_left_out_with_a_warning() {
	needs_host
	printf '%s\n' "$user:$((user_id - 1)):3" "$user:100000:65536" >"$scratch/subuid"
	in_host 'cover "$scratch/subuid" /etc/subuid' \
		runbuild rootless -- cat /proc/self/uid_map >"$scratch/maps" 2>"$scratch/err"
	same 'map' "0 $user_id 1
1 $((user_id - 1)) 1
2 $((user_id + 1)) 1
3 100000 65536" "$(id_map "$scratch/maps")"
	contains "$scratch/err" "own id $user_id"
}

test_files_made_inside_belong_to_the_user_and_its_ranges() {
	rootless -- sh -c 'cd "$HOME" && touch mine theirs && chown 1:1 theirs'
	same 'owners' "$user_id 100000" "$(stat -c %u "$scratch/home/mine" "$scratch/home/theirs" | tr '\n' ' ' | sed 's/ $//')"
	rootless -- sh -c 'cd "$HOME" && rm mine theirs'
}

test_mounts_stay_inside() {
	rootless -- sh -c 'mount -t tmpfs inside-only /mnt && grep -c inside-only /proc/self/mountinfo' >"$scratch/out"
	same 'mounts inside' 1 "$(cat "$scratch/out")"
	! grep -q inside-only /proc/self/mountinfo || fail 'the mount is visible outside'
	rootless -- awk '{ for (i = 7; $i != "-"; i++) print $i }' /proc/self/mountinfo >"$scratch/out"
	same 'propagation' '' "$(cat "$scratch/out")"
}

test_processes_are_numbered_from_one_in_a_proc_of_their_own() {
	rootless -- sh -c 'echo $$; readlink /proc/self; cat /proc/1/comm' >"$scratch/out"
	{ read -r shell && read -r self && read -r first; } <"$scratch/out"
	((shell < 10 && self < 10)) || fail "pids of the host: $(cat "$scratch/out")"
	same 'process 1' runbuild "$first"
	same 'mount flags of /proc' 'nosuid,nodev,noexec' \
		"$(rootless -- awk '$5 == "/proc" { o = $6 } END { sub("^rw,", "", o); sub(",relatime", "", o); print o }' /proc/self/mountinfo)"
}

namespace_of() {
	rootless "$@" -- readlink /proc/self/ns/net
}

test_network_host_is_the_default_and_shares_the_namespace() {
	same 'default' "$(readlink /proc/self/ns/net)" "$(namespace_of)"
	same '--net=host' "$(readlink /proc/self/ns/net)" "$(namespace_of --net=host)"
}

test_network_none_has_a_loopback_and_no_route() {
	[[ $(namespace_of --net=none) != $(readlink /proc/self/ns/net) ]] || fail 'the namespace is shared'
	rootless --net=none -- sh -c 'cat /proc/net/route; ip -brief addr' >"$scratch/out"
	contains "$scratch/out" '127.0.0.1/8'
	same 'interfaces and routes' 'Iface lo' "$(awk '{ print $1 }' "$scratch/out" | tr '\n' ' ' | sed 's/ $//')"
}

test_network_slirp4netns_has_an_address_a_route_and_a_resolver() {
	needs_tun
	rootless --net=slirp4netns -- sh -c 'ip -brief -4 addr; ip route; cat /etc/resolv.conf; cat /sys/class/net/tap0/mtu' >"$scratch/out"
	contains "$scratch/out" '10.0.2.100/24' 'default via 10.0.2.2 dev tap0' 'nameserver 10.0.2.3' 65520
	rootless --net=slirp4netns --mtu=1500 -- ip link show tap0 >"$scratch/out"
	contains "$scratch/out" 'mtu 1500'
}

test_sys_shows_the_interfaces_of_the_new_network() {
	same 'interfaces' 'lo' "$(rootless --net=none -- ls /sys/class/net)"
	rootless -- sh -c 'cd /sys/fs/cgroup && ls' >"$scratch/cgroups"
	same 'cgroups' "$(cat "$scratch/cgroups")" "$(rootless --net=none -- ls /sys/fs/cgroup)"
}

test_resolv_conf_keeps_search_domains_and_replaces_servers() {
	needs_tun
	needs_host
	same 'resolv.conf' 'nameserver 10.0.2.3
search example.test
options edns0' "$(rootless --net=slirp4netns -- cat /etc/resolv.conf)"
}

# names_resolve DRIVER: through a resolver that only the host's loopback interface has.
names_resolve() {
	with_resolver
	rootless --net="$1" -- getent ahostsv4 some.example.test >"$scratch/out"
	contains "$scratch/out" '192.0.2.7'
}

# with_resolver: the one that the host's resolv.conf names is there.
with_resolver() {
	"$scratch/lib/resolver.py" 127.0.0.53 53 192.0.2.7 >"$scratch/resolver.out" 2>&1 &
	resolver=$!
	trap 'kill "$resolver"' EXIT
	await 10 grep -q ready "$scratch/resolver.out" || fail "$(cat "$scratch/resolver.out")"
}

test_names_resolve_through_a_resolver_on_the_hosts_loopback() {
	needs_tun
	needs_host
	names_resolve slirp4netns
}

test_a_dangling_resolv_conf_is_replaced() {
	needs_tun
	needs_host
	same 'resolv.conf' 'nameserver 10.0.2.3' "$(in_host '
		umount /etc/subuid /etc/subgid
		cp -a /etc "$scratch/etc"
		ln -sf /run/nowhere/resolv.conf "$scratch/etc/resolv.conf"
		cp "$scratch/subid" "$scratch/etc/subuid"
		cp "$scratch/subid" "$scratch/etc/subgid"
		cover "$scratch/etc" /etc' \
		runbuild rootless --net=slirp4netns -- cat /etc/resolv.conf)"
}

with_service() {
	# what an earlier one said must not count for this one
	: >"$scratch/service.out"
	"$scratch/lib/tcp.py" serve 127.0.0.1 8099 hello >"$scratch/service.out" 2>&1 &
	service=$!
	trap 'kill "$service"' EXIT
	await 10 grep -q ready "$scratch/service.out" || fail "$(cat "$scratch/service.out")"
}

test_the_hosts_loopback_is_out_of_reach() {
	needs_tun
	needs_host
	with_service
	same 'from the host' 'hello 127.0.0.1' "$("$scratch/lib/tcp.py" get 127.0.0.1 8099)"
	for net in none slirp4netns; do
		rootless --net=$net -- "$scratch/lib/tcp.py" get 127.0.0.1 8099 >"$scratch/out" && fail "--net=$net: $(cat "$scratch/out")"
		contains "$scratch/out" 'Connection refused'
	done
	! rootless --net=slirp4netns -- "$scratch/lib/tcp.py" get 10.0.2.2 8099 >"$scratch/out" || fail "reached: $(cat "$scratch/out")"
	same 'with the option' 'hello 127.0.0.1' \
		"$(rootless --net=slirp4netns --allow-host-loopback -- "$scratch/lib/tcp.py" get 10.0.2.2 8099)"
}

test_the_hosts_loopback_is_reached_with_the_hosts_network() {
	needs_host
	with_service
	same 'answer' 'hello 127.0.0.1' "$(rootless --net=host -- "$scratch/lib/tcp.py" get 127.0.0.1 8099)"
}

test_copy_up_makes_a_directory_writable_and_keeps_its_files() {
	local before

	before=$(find /etc -maxdepth 1 | sort)
	rootless --copy-up=/etc -- sh -c 'cat /etc/hostname >/tmp/h && mv /etc/hostname /etc/moved && echo new >/etc/hostname &&
		cat /etc/hostname && cat /etc/passwd && stat -f -c %T /etc' >"$scratch/out"
	same 'first line' new "$(head -n 1 "$scratch/out")"
	same 'file system' tmpfs "$(tail -n 1 "$scratch/out")"
	contains "$scratch/out" 'root:x:0:0'
	same 'the host' "$before" "$(find /etc -maxdepth 1 | sort)"
	same 'an entry' symlink "$(rootless --copy-up=/etc -- sh -c 'readlink /etc/passwd | sed "s#^[.]ro[^/]*/passwd#symlink#"')"
}

test_copy_up_takes_several_directories() {
	rootless --copy-up=/etc --copy-up=/opt -- touch /etc/new /opt/new
	[[ ! -e /etc/new && ! -e /opt/new ]] || fail 'the host has the files'
	fails_with 125 RB0603 "'/nonexistent/dir'" -- rootless --copy-up=/nonexistent/dir -- true
	fails_with 125 RB0001 -- rootless --copy-up=etc -- true
}

test_copy_up_of_etc_and_a_network_go_together() {
	needs_tun
	rootless --net=slirp4netns --copy-up=/etc -- sh -c 'cat /etc/resolv.conf; touch /etc/new' >"$scratch/out"
	contains "$scratch/out" 'nameserver 10.0.2.3'
}

test_descriptors_are_closed_unless_listen_fds_names_them() {
	same 'descriptors' '0 1 2 3' "$(rootless -- sh -c 'ls /proc/self/fd | tr "\n" " "' 5</dev/null 7</dev/null 2>/dev/null | sed 's/ $//')"
	as_user sh -c 'LISTEN_FDS=2 LISTEN_FDNAMES=a:b LISTEN_PID=$$ exec runbuild rootless -- sh -c "
		test \$LISTEN_PID = \$\$ && test \$LISTEN_FDNAMES = a:b && cat <&3 && cat <&4 && ls /proc/self/fd"' \
		3< <(echo three) 4< <(echo four) 5</dev/null >"$scratch/out"
	same 'what arrives' 'three four 0 1 2 3 4 5' "$(tr '\n' ' ' <"$scratch/out" | sed 's/ $//')"
}

test_listen_fds_for_another_process_are_not_passed() {
	# sd_listen_fds(3): the variables are meant for the process of that number only
	same 'descriptors and variable' '0 1 2 3 none' "$(as_user sh -c 'LISTEN_FDS=1 LISTEN_PID=1 exec runbuild rootless -- sh -c "
		ls /proc/self/fd; echo \${LISTEN_FDS-none}"' 3</dev/null | tr '\n' ' ' | sed 's/ $//')"
}

test_helpers_get_no_descriptor_of_the_caller() {
	needs_tun
	local pid

	start_launcher --net=slirp4netns
	pid=$(child_named "$launcher" slirp4netns)
	same 'descriptors' '' "$(find "/proc/$pid/fd" -lname "$scratch/marker" -printf '%f')"
	stop_launcher
}

test_slirp4netns_runs_in_its_sandbox() {
	needs_tun
	needs_host
	local pid

	start_launcher --net=slirp4netns
	pid=$(child_named "$launcher" slirp4netns)
	grep -E '^(Seccomp|NoNewPrivs):' "/proc/$pid/status" | tr '\t' ' ' >"$scratch/out"
	contains "$scratch/out" 'Seccomp: 2' 'NoNewPrivs: 1'
	same 'its file system' 'etc run' "$(find "/proc/$pid/root/" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | tr '\n' ' ' | sed 's/ $//')"
	stop_launcher
}

test_environment_has_what_buildkitd_needs() {
	rootless -- sh -c 'echo "$USER $ROOTLESSKIT_PARENT_EUID $ROOTLESSKIT_PARENT_EGID"; test -f "$ROOTLESSKIT_STATE_DIR/child_pid"' >"$scratch/out"
	same 'variables' "$user $user_id $(id -g "$user")" "$(cat "$scratch/out")"
	as_user env -u XDG_RUNTIME_DIR -u USER -u HOME runbuild rootless -- \
		sh -c 'echo "$USER"; echo "$HOME"; stat -c "%a %u" "$XDG_RUNTIME_DIR"; touch "$XDG_RUNTIME_DIR/x" && rm "$XDG_RUNTIME_DIR/x"' >"$scratch/out"
	same 'variables that were unset' "$user
$(getent passwd "$user" | cut -d: -f6)
700 0" "$(cat "$scratch/out")"
	same 'USER=root' "$user" "$(as_user env USER=root runbuild rootless -- sh -c 'echo "$USER"')"
	same 'a runtime directory that is missing' 700 "$(as_user env XDG_RUNTIME_DIR=/run/user/none runbuild rootless -- \
		sh -c 'stat -c "%a" "$XDG_RUNTIME_DIR"')"
}

test_working_directory_umask_and_output_are_the_callers() {
	same 'directory, umask' '/usr/share 0027' "$(as_user sh -c 'cd /usr/share && umask 0027 && runbuild rootless -- sh -c "pwd; umask"' | tr '\n' ' ' | sed 's/ $//')"
	same 'input' data "$(printf data | rootless -- cat)"
}
