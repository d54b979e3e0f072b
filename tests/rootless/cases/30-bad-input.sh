# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# Hosts that are not set up: one line with the cause, the remedy and a code.

fails_in_host() {
	local status=$1 code=$2 script=$3

	shift 3
	fails_with "$status" "$code" "$@" -- in_host "$script" "${host_command[@]}"
}

# The command of fails_in_host.
host_command=(runbuild rootless -- true)

test_newuidmap_that_is_missing_is_named_with_its_package() {
	needs_host
	fails_in_host 125 RB0206 'printf "" >"$scratch/none"; chmod 0644 "$scratch/none"
		cover "$scratch/none" "$(command -v newuidmap)"' 'newuidmap not found' 'apt install uidmap'
}

test_newgidmap_that_is_missing_is_named_with_its_package() {
	needs_host
	fails_in_host 125 RB0206 'printf "" >"$scratch/none"; chmod 0644 "$scratch/none"
		cover "$scratch/none" "$(command -v newgidmap)"' 'newgidmap not found' 'apt install uidmap'
}

test_newuidmap_without_the_setuid_bit_is_named_with_its_mode() {
	needs_host
	fails_in_host 125 RB0207 'install -m 0755 "$(command -v newuidmap)" "$scratch/plain"
		cover "$scratch/plain" "$(command -v newuidmap)"' 'mode 0755' 'chmod u+s'
}

test_newuidmap_on_a_nosuid_mount_is_told_apart() {
	needs_host
	fails_in_host 125 RB0207 'it=$(command -v newuidmap); cover "$it" "$it"; mount -o remount,bind,nosuid "$it"' 'mounted nosuid'
}

test_no_new_privs_is_told_apart() {
	fails_with 125 RB0211 no_new_privs allowPrivilegeEscalation -- \
		as_user setpriv --no-new-privs runbuild rootless -- true
}

test_a_bounding_set_without_setuid_is_told_apart() {
	needs_host
	fails_with 125 RB0216 CAP_SETUID 'bounding set' -- \
		setpriv --reuid="$user_id" --regid="$(id -g "$user")" --init-groups --inh-caps=-all \
		--bounding-set=-setuid,-setgid -- env -i USER="$user" TMPDIR="$scratch/home/tmp" \
		PATH="$PATH" "$runbuild" rootless -- true
}

test_no_range_is_answered_with_a_free_one() {
	needs_host
	host_command=(runbuild rootless --idmap=subids -- true)
	fails_in_host 125 RB0203 'echo other:100000:65536 >"$scratch/subuid"; cover "$scratch/subuid" /etc/subuid' \
		"$user (uid $user_id)" /etc/subuid "usermod --add-subuids 165536-231071 --add-subgids 165536-231071 $user"
	fails_in_host 125 RB0203 ': >"$scratch/subgid"; cover "$scratch/subgid" /etc/subgid' /etc/subgid
}

test_without_any_range_the_own_id_alone_is_mapped_loudly() {
	needs_host
	in_host 'echo other:100000:65536 >"$scratch/subuid"; cover "$scratch/subuid" /etc/subuid' \
		runbuild rootless -- sh -c 'cat /proc/self/uid_map /proc/self/setgroups; touch "$HOME/single"' >"$scratch/out" 2>"$scratch/err"
	same 'map' "0 $user_id 1 deny" "$(tr -s ' \n' ' ' <"$scratch/out" | sed 's/^ //; s/ $//')"
	contains "$scratch/err" 'only your own id is mapped' 'usermod --add-subuids 165536-231071' '[RB0203]'
	same 'owner' "$user_id" "$(stat -c %u "$scratch/home/single")"
	same 'on demand' "0 $user_id 1" "$(rootless --idmap=single -- cat /proc/self/uid_map | tr -s ' ' | sed 's/^ //')"
}

test_few_ids_are_warned_about() {
	needs_host
	in_host 'printf "%s:100000:10\n" "$user" >"$scratch/subuid"; cover "$scratch/subuid" /etc/subuid' \
		runbuild rootless -- true 2>"$scratch/err"
	contains "$scratch/err" 'only 11 ids are mapped'
}

test_a_range_that_starts_at_root_is_refused() {
	needs_host
	fails_in_host 125 RB0205 'printf "other:1:2\n%s:0:10\n" "$user" >"$scratch/subuid"; cover "$scratch/subuid" /etc/subuid' \
		'/etc/subuid line 2' 'id 0 of the host'
}

test_a_malformed_line_of_the_user_is_named_and_those_of_others_are_not() {
	local text

	needs_host
	for text in "$user" "$user:" "$user:100000" "$user:x:1" "$user:1:-1" "$user:100000:65536:1" \
		"$user:4294967290:65536" "$user: 100000:65536" "$user:99999999999999999999:1"; do
		printf 'other:bad\n\n%s\n' "$text" >"$scratch/subuid"
		fails_in_host 125 RB0204 'cover "$scratch/subuid" /etc/subuid' '/etc/subuid line 3' 'name:start:count' ||
			fail "line: $text"
	done
}

test_a_symbolic_link_in_place_of_subuid_is_named() {
	needs_host
	fails_in_host 125 RB0213 'umount /etc/subuid /etc/subgid; cp -a /etc "$scratch/etc-link"
		mv "$scratch/etc-link/subuid" "$scratch/etc-link/real"; ln -s real "$scratch/etc-link/subuid"
		cover "$scratch/etc-link" /etc' 'symbolic link'
}

test_a_fifo_in_place_of_subuid_does_not_hang() {
	needs_host
	fails_in_host 125 RB0203 'mkfifo "$scratch/fifo"; chmod 0666 "$scratch/fifo"; cover "$scratch/fifo" /etc/subuid' /etc/subuid
}

test_a_seccomp_profile_that_blocks_user_namespaces_is_named() {
	needs_host
	local errnum

	for errnum in 1 13; do
		wrap=("$scratch/bin/deny-userns" "$errnum")
		fails_with 125 RB0215 'seccomp profile' 'seccomp=unconfined' -- rootless -- true
	done
}

test_user_namespaces_switched_off_are_named_with_the_sysctl() {
	fails_with 125 RB0201 'user.max_user_namespaces is 0' 'sysctl -w user.max_user_namespaces' -- \
		rootless -- sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec runbuild rootless -- true'
}

test_a_chroot_is_named() {
	needs_host
	local tree=$scratch/tree name

	mkdir "$tree"
	for name in bin dev etc lib lib64 proc sbin tmp usr; do
		[[ ! -e /$name ]] || mkdir "$tree/$name"
	done
	wrap=(unshare --mount sh -c "for d in $tree/*; do mount --rbind \"/\${d##*/}\" \"\$d\"; done && exec chroot $tree \"\$@\"" sh)
	fails_with 125 RB0214 'in a chroot' -- rootless -- true
}

test_a_chroot_that_cannot_be_told_is_in_the_remedy() {
	needs_host
	mkdir "$scratch/root"
	wrap=(unshare --mount sh -c "mount --rbind / $scratch/root && exec chroot $scratch/root \"\$@\"" sh)
	fails_with 125 RB0200 'outside of a chroot' -- rootless -- true
}

test_a_uid_without_a_passwd_entry_is_explained() {
	needs_host
	printf '4242:100000:65536\n' >"$scratch/subuid"
	install -d -o 4242 "$scratch/nobody"
	fails_with 125 RB0217 'uid 4242' '/etc/passwd' -- in_nobodys_host
}

in_nobodys_host() {
	unshare --mount --propagation private sh -c "mount --bind $scratch/subuid /etc/subuid && mount --bind $scratch/subuid /etc/subgid &&
		exec setpriv --reuid=4242 --regid=4242 --clear-groups --inh-caps=-all env -i PATH=$PATH TMPDIR=$scratch/nobody $runbuild rootless -- true"
}

tun_missing='mount -t tmpfs tmpfs /dev/net'

test_a_missing_tun_device_is_named() {
	needs_tun
	needs_host
	host_command=(runbuild rootless --net=slirp4netns -- true)
	fails_in_host 125 RB0602 "$tun_missing" /dev/net/tun 'modprobe tun'
}

test_a_tun_device_that_cannot_be_opened_is_named_with_its_mode() {
	needs_tun
	needs_host
	host_command=(runbuild rootless --net=slirp4netns -- true)
	fails_in_host 125 RB0602 'mknod -m 0600 "$scratch/dev/closed" c 10 200; cover "$scratch/dev/closed" /dev/net/tun' \
		'mode 0600, owner 0' 'chmod 666 /dev/net/tun'
}

test_slirp4netns_that_is_missing_is_named_with_its_package() {
	needs_tun
	needs_host
	host_command=(runbuild rootless --net=slirp4netns -- true)
	fails_in_host 125 RB0600 'printf "" >"$scratch/none"; chmod 0644 "$scratch/none"
		cover "$scratch/none" "$(command -v slirp4netns)"' 'slirp4netns not found' 'apt install slirp4netns'
}

test_last_words_of_a_slirp4netns_that_fails_are_in_the_error() {
	[[ -c /dev/net/tun && -w /dev/net/tun ]] || skip '/dev/net/tun cannot be opened'
	rm -rf "$scratch/home/bin"
	helper_that 'echo first words >&2; echo prefix length too long >&2; exit 1' slirp4netns
	fails_with 125 RB0601 'prefix length too long' -- as_user_with_helpers "$runbuild" rootless --net=slirp4netns -- true
	helper_that 'exit 3' slirp4netns
	fails_with 125 RB0601 'status 3' -- as_user_with_helpers "$runbuild" rootless --net=slirp4netns -- true
}

test_a_missing_part_of_the_installation_is_named() {
	mkdir "$scratch/alone"
	install -m 0755 "$runbuild" "$scratch/alone/"
	fails_with 125 RB0610 'runbuild-netlink not found' 'make install' -- as_user "$scratch/alone/runbuild" rootless --net=none -- true
	as_user "$scratch/alone/runbuild" rootless -- true
	printf '#!/bin/sh\nexit 1\n' >"$scratch/alone/runbuild-netlink"
	chmod 0755 "$scratch/alone/runbuild-netlink"
	fails_with 125 RB0610 'without an answer' -- as_user "$scratch/alone/runbuild" rootless --net=none -- true
}

test_a_helper_that_fails_is_quoted() {
	needs_host
	fails_in_host 125 RB0208 'install -m 4755 "$(command -v ls)" "$scratch/fake"; cover "$scratch/fake" "$(command -v newuidmap)"' \
		'newuidmap failed with status 2: ' 'No such file or directory' '/etc/subuid'
	fails_in_host 125 RB0208 'install -m 4755 "$(type -P false)" "$scratch/fake"; cover "$scratch/fake" "$(command -v newgidmap)"' \
		'newgidmap failed with status 1: it said nothing' '/etc/subgid'
}

test_a_helper_that_does_nothing_is_noticed() {
	rm -rf "$scratch/home/bin"
	helper_that 'exit 0' newuidmap
	fails_with 125 RB0208 'wrote no uid_map' -- as_user_with_helpers "$runbuild" rootless -- true
}

test_usage_errors_name_the_option() {
	local network

	fails_with 125 RB0001 "'bridge'" 'host, none, slirp4netns, pasta' -- rootless --net=bridge -- true
	fails_with 125 RB0001 --mtu -- rootless --mtu=67 -- true
	fails_with 125 RB0001 --mtu -- rootless --mtu=65522 -- true
	fails_with 1 RB0001 --no-such-option -- rootless --no-such-option -- true
	fails_with 125 RB0001 --cidr '/26' -- rootless --net=slirp4netns --cidr=10.0.2.0/26 -- true
	fails_with 125 RB0001 --cidr -- rootless --net=slirp4netns --cidr=10.0.2.1/24 -- true
	for network in 0.0.0.0/8 127.0.0.0/16 224.0.0.0/24 240.0.0.0/4 255.255.255.0/24; do
		fails_with 125 RB0001 --cidr 'no machine can have' -- rootless --net=slirp4netns --cidr="$network" -- true
	done
	fails_with 125 RB0001 --mtu 1280 -- rootless --net=slirp4netns --ipv6 --mtu=1279 -- true
	fails_with 125 RB0001 --cidr -- rootless --net=slirp4netns --cidr=10.0.2/24 -- true
	fails_with 125 RB0001 --ifname -- rootless --net=slirp4netns --ifname=a/b -- true
	fails_with 125 RB0001 --publish 'protocol is missing' -- rootless --net=slirp4netns -p 80:80 -- true
	fails_with 125 RB0001 --publish -- rootless --net=slirp4netns -p 80:80/sctp -- true
	fails_with 125 RB0001 --publish -- rootless --net=slirp4netns -p 80/tcp -- true
	fails_with 125 RB0001 --publish -- rootless --net=slirp4netns -p 0:80/tcp -- true
	fails_with 125 RB0001 --publish -- rootless --net=slirp4netns -p 1:2:3/tcp -- true
	fails_with 125 RB0001 --publish -- rootless --net=slirp4netns -p 1.2.3.4.5:2:3/tcp -- true
	fails_with 125 RB0001 --publish 'in brackets' -- rootless --net=slirp4netns -p '[::g]:2:3/tcp' -- true
	fails_with 125 RB0001 --publish 'in brackets' -- rootless --net=slirp4netns -p '[::1:2:3/tcp' -- true
	fails_with 125 RB0001 --publish 'in brackets' -- rootless --net=slirp4netns -p '2:[::1]3/tcp' -- true
	fails_with 125 RB0001 --publish 'in brackets' -- rootless --net=slirp4netns -p '2:[]:3/tcp' -- true
	fails_with 125 RB0001 --publish -- rootless --net=slirp4netns -p '2:[::1]:[::1]:3/tcp' -- true
	fails_with 125 RB0001 --publish -- rootless --net=slirp4netns -p '[::1]:[::1]/tcp' -- true
	fails_with 125 RB0001 --publish 'do not fit' -- rootless --net=slirp4netns -p '[::1]:2:3/tcp4' -- true
	fails_with 125 RB0001 --publish 'do not fit' -- rootless --net=slirp4netns -p 127.0.0.1:2:3/udp6 -- true
	fails_with 125 RB0001 --publish -- rootless -p 80:80/tcp -- true
	fails_with 125 RB0001 --propagation -- rootless --propagation=rshared --copy-up=/etc -- true
	fails_with 125 RB0001 --evacuate-cgroup2 -- rootless --evacuate-cgroup2=x -- true
	fails_with 125 RB0009 vpnkit -- rootless --net=vpnkit -- true
}
