# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2154 # inner shells; the suite sets
#
# Storage, network and session: what costs a feature is a warning, what costs
# every build an error.

# An overlay to keep snapshots in, on which the kernel's own does not work.
on_overlay='mkdir -p "$scratch/o/"{l,u,w,m}; chown "$user:" "$scratch/o/u"; mount -t tmpfs tmpfs "$scratch/o/u"
	mkdir "$scratch/o/u/"{u,w}; chown "$user:" "$scratch/o/u/u"
	mount -t overlay -o lowerdir="$scratch/o/l",upperdir="$scratch/o/u/u",workdir="$scratch/o/u/w" overlay "$scratch/o/m"; '
no_fuse='rm_dev() { mkdir -p "$scratch/dev2"; mount -t tmpfs -o mode=0755 tmpfs "$scratch/dev2"; cp -a /dev/. "$scratch/dev2/"; rm "$scratch/dev2/$1"; mount --bind "$scratch/dev2" /dev; }; rm_dev fuse; '

examine_store() {
	needs_host
	examine in_host "$1" "${doctor[@]}" "$scratch/o/m"
	rm -rf "$scratch/o"
}

test_without_fuse_the_kernels_overlay_is_enough() {
	examine_host "$no_fuse"
	finds dev-fuse info RB0705 '/dev/fuse' 'modprobe fuse'
	finds fuse-overlayfs info RB0705
	finds overlay ok -
	only_these dev-fuse fuse-overlayfs
	exits_with 0
}

test_a_fuse_device_that_cannot_be_opened_is_named_with_its_mode() {
	examine_host 'mknod -m 0600 "$scratch/dev/closed" c 10 229; cover "$scratch/dev/closed" /dev/fuse'
	rm -f "$scratch/dev/closed"
	finds dev-fuse info RB0705 'mode 0600, owner 0' 'chmod 666 /dev/fuse'
	exits_with 0
}

test_fuse_overlayfs_that_is_missing_is_named() {
	type -P fuse-overlayfs >/dev/null || skip 'fuse-overlayfs is not installed'
	examine_host "$hide_program hide_program fuse-overlayfs"
	finds fuse-overlayfs info RB0705 'not installed' 'apt install fuse-overlayfs'
	only_these fuse-overlayfs
}

test_a_store_on_an_overlay_needs_fuse() {
	type -P fuse-overlayfs >/dev/null || skip 'fuse-overlayfs is not installed'
	examine_store "$on_overlay"
	finds overlay warning RB0704 'is on an overlay' 'ext4'
	finds fuse-overlayfs ok -
	exits_with 0
}

test_no_way_to_stack_layers_is_an_error() {
	examine_store "$on_overlay $no_fuse"
	finds overlay error RB0704
	finds fuse-overlayfs error RB0705
	exits_with 1
}

test_a_directory_that_cannot_be_used_is_named() {
	examine as_user "${doctor[@]}" "$scratch/home/none"
	finds overlay error RB0703 'none' 'No such file' 'runbuild doctor DIR'
	exits_with 1
	examine as_user "${doctor[@]}" /proc
	finds overlay error RB0703
	((EUID != 0)) || mkdir -m 0755 "$scratch/closed"
	((EUID == 0)) || return 0
	examine as_user "${doctor[@]}" "$scratch/closed"
	finds overlay error RB0703 'Permission denied'
}

test_a_missing_tun_device_is_named() {
	examine_host 'mount -t tmpfs tmpfs /dev/net'
	finds dev-net-tun warning RB0602 'modprobe tun'
	finds slirp4netns info - 'not started'
	only_these dev-net-tun slirp4netns step-net
	exits_with 0
}

test_a_tun_device_that_cannot_be_opened_is_named_with_its_mode() {
	examine_host 'mknod -m 0600 "$scratch/dev/closed" c 10 200; cover "$scratch/dev/closed" /dev/net/tun'
	rm -f "$scratch/dev/closed"
	finds dev-net-tun warning RB0602 'mode 0600, owner 0' 'chmod 666 /dev/net/tun'
}

test_something_else_in_place_of_the_tun_device_is_noticed() {
	examine_host 'cover /dev/null /dev/net/tun'
	finds dev-net-tun warning RB0602 'makes no interface' '10:200'
}

test_slirp4netns_that_is_missing_is_named() {
	type -P slirp4netns >/dev/null || skip 'slirp4netns is not installed'
	examine_host "$hide_program hide_program slirp4netns"
	finds slirp4netns warning RB0600 'not found' 'apt install slirp4netns'
	only_these slirp4netns step-net
	exits_with 0
}

test_last_words_of_a_slirp4netns_that_fails_are_reported() {
	needs_host
	without_helpers
	helper_that 'test "$1" != --version || { echo slirp4netns version 9.9; exit; }; echo first >&2; echo prefix too long >&2; exit 3' slirp4netns
	examine with_helpers
	without_helpers
	finds slirp4netns warning RB0601 'status 3' 'first;prefix too long'
	exits_with 0
}

test_pasta_that_is_missing_is_no_problem() {
	type -P pasta >/dev/null || skip 'pasta is not installed'
	examine_host "$hide_program hide_program pasta"
	finds pasta info - 'not installed'
	exits_with 0
	examine as_user "${doctor[@]}" "$scratch/home/store"
	finds pasta ok - pasta
}

# examine_with VARIABLE…: with a changed environment.
examine_with() {
	examine as_user env "$@" "$runbuild" doctor --format json "$scratch/home/store"
	exits_with 0
}

test_the_runtime_directory_is_examined() {
	local wide=$scratch/home/wide

	examine_with -u XDG_RUNTIME_DIR
	finds runtime-dir warning RB0250 'is not set' "enable-linger $user"
	examine_with XDG_RUNTIME_DIR="$scratch/home/none"
	finds runtime-dir warning RB0250 'No such file'
	examine_with XDG_RUNTIME_DIR=/etc/passwd
	finds runtime-dir warning RB0250 'Not a directory'
	((EUID != 0)) || {
		examine_with XDG_RUNTIME_DIR=/usr
		finds runtime-dir warning RB0250 'belongs to uid 0'
	}
	as_user mkdir -m 0755 "$wide"
	examine_with XDG_RUNTIME_DIR="$wide"
	finds runtime-dir warning RB0250 'mode 0755 instead of 0700'
	as_user rmdir "$wide"
}

test_the_login_variables_are_examined() {
	examine_with -u USER
	finds login warning RB0251 'USER is not set' "export USER=$user"
	examine_with USER=root
	finds login warning RB0251 'USER is root'
	examine_with -u HOME
	finds login warning RB0251 'HOME is not set'
	examine_with HOME=/none
	finds login warning RB0251 HOME
}

test_a_resolver_on_loopback_is_noted() {
	examine_host 'printf "nameserver 127.0.0.53\nnameserver ::1\n" >"$scratch/rc"; cover "$scratch/rc" "$(readlink -f /etc/resolv.conf)"'
	finds resolver info RB0252 loopback slirp4netns
	only_these resolver
	exits_with 0
	examine_host 'printf "nameserver 127.0.0.53\nnameserver 192.0.2.1\n" >"$scratch/rc"; cover "$scratch/rc" "$(readlink -f /etc/resolv.conf)"'
	finds resolver ok - '2 name servers'
}

test_a_missing_resolv_conf_is_a_warning() {
	examine_host 'cp -a /etc "$scratch/etc"; rm -f "$scratch/etc/resolv.conf"; ln -s ../run/none/resolv.conf "$scratch/etc/resolv.conf"
		cover "$scratch/etc" /etc'
	rm -rf "${scratch:?}/etc"
	finds resolver warning RB0252 'No such file'
	exits_with 0
}

test_ping_without_privilege_is_noted() {
	needs_host
	printf '1 0' >/proc/sys/net/ipv4/ping_group_range
	examine as_user "${doctor[@]}" "$scratch/home/store"
	printf '0 2147483647' >/proc/sys/net/ipv4/ping_group_range
	finds ping info - ping_group_range
	only_these ping
}

test_a_proxy_on_loopback_is_a_warning_without_its_secrets() {
	local url

	for url in http://127.0.0.1:3128 localhost:3128 http://u:pa55w0rd@127.9.9.9:1/ 'http://[::1]:8080' socks5://127.0.0.1; do
		examine_with HTTP_PROXY=http://192.0.2.1:1 https_proxy="$url"
		finds proxy warning RB0253 https_proxy
		! grep -q -e 3128 -e pa55w0rd "$scratch/report" || fail 'the value is shown'
	done
	for url in http://192.0.2.1:3128 http://127.0.0.1@example.test:1 http://example.test/127.0.0.1 127.example.test; do
		examine_with HTTP_PROXY="$url"
		finds proxy ok - HTTP_PROXY
	done
}
