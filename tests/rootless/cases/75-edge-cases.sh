# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# Hosts that are odd: what is worth knowing is a warning with a code and a
# remedy, what is harmless is not mentioned.

# with_subuids TEXT COMMAND…: with these lines in /etc/subuid.
with_subuids() {
	printf '%s' "$1" >"$scratch/subuid"
	shift
	in_host 'cover "$scratch/subuid" /etc/subuid' "$@"
}

test_odd_ranges_are_warnings_with_a_code() {
	needs_host
	warns_with RB0221 'lines 1 and 2 overlap' 'one' -- \
		with_subuids "$user:100000:65536"$'\n'"$user:120000:65536"$'\n' runbuild rootless -- true
	warns_with RB0220 "line 1 contains the user's own id $user_id" '100000' -- \
		with_subuids "$user:$user_id:70000"$'\n' runbuild rootless -- true
	warns_with RB0219 'line 2 gives 165535-165535 to other' 'a range of their own' -- \
		with_subuids "$user:100000:65536"$'\n'"other:165535:1"$'\n' runbuild rootless -- true
	warns_with RB0218 'only 11 ids' "sudo usermod --add-subuids 165536-231071 $user" -- \
		with_subuids "$user:100000:10"$'\n'"other:100010:65526"$'\n' runbuild rootless -- true
	same 'identical lines' '' "$(with_subuids "$user:100000:65536"$'\n'"$user:100000:65536"$'\n' runbuild rootless -- true 2>&1)"
}

test_more_ranges_than_the_kernel_takes_are_counted() {
	needs_host
	local apart adjacent long

	apart=$(awk -v user="$user" 'BEGIN { for (i = 0; i < 400; i++) print user ":" 100000 + 2 * i ":1" }')
	adjacent=$(awk -v user="$user" 'BEGIN { for (i = 0; i < 400; i++) print user ":" 100000 + 200 * i ":200" }')
	long=$(awk -v user="$user" 'BEGIN { for (i = 0; i < 300; i++) print user ":40000" 10000 + 2 * i ":1" }')
	fails_with 125 RB0212 '401 lines' '340' 'larger ranges' -- quietly with_subuids "$apart" runbuild rootless -- true
	fails_with 125 RB0212 'bytes' '4095' 'larger ranges' -- quietly with_subuids "$long" runbuild rootless -- true
	same 'neighbours' '1 100000 80000' \
		"$(with_subuids "$adjacent" runbuild rootless -- sed -n 2p /proc/self/uid_map | tr -s ' ' | sed 's/^ //')"
}

# quietly COMMAND…: without its warnings, which are not what is looked at.
quietly() {
	local status=0

	"$@" 2>"$scratch/all" || status=$?
	grep -v level=warning "$scratch/all" >&2 || true
	return "$status"
}

test_a_process_without_a_mapped_uid_is_named() {
	local status=0

	as_user unshare --user runbuild rootless --idmap=single -- true 2>"$scratch/err" || status=$?
	same 'status' 125 "$status"
	contains "$scratch/err" '[RB0200]' 'no mapped uid' '; fix: ' 'uid_map'
}

test_capabilities_that_apparmor_takes_away_are_named() {
	needs_host
	local call

	mkdir -p "$scratch/taken"
	printf '1\n' >"$scratch/taken/apparmor_restrict_unprivileged_userns"
	chmod -R a+rX "$scratch/taken"
	for call in mount_setattr=EACCES mount_setattr=EPERM; do
		fails_with 125 RB0222 'AppArmor takes all capabilities away from this program' \
			"profile runbuild $runbuild flags=(unconfined) { userns, }" 'sudo apparmor_parser -r /etc/apparmor.d/runbuild' -- \
			in_host 'cover "$scratch/taken" /proc/sys/kernel
				exec "$scratch/bin/seccomp-run" '"$call"' -- "$BASH" -euc "wrap=(); $(declare -f exec_as_user); exec_as_user \"\$@\"" x "$@"' \
			runbuild rootless -- true
	done
}

test_mounts_that_a_seccomp_profile_forbids_inside_are_named() {
	needs_host
	wrap=("$scratch/bin/seccomp-run" mount_setattr=EPERM -- "$(type -P env)")
	fails_with 125 RB0215 'seccomp profile' 'or mounts' 'seccomp=unconfined' -- rootless -- true
}

test_the_limit_of_an_outer_user_namespace_is_named() {
	fails_with 125 RB0201 'here or in an outer user namespace' 'user.max_*_namespaces' -- \
		rootless -- sh -c 'echo 1 >/proc/sys/user/max_user_namespaces; unshare --user sleep 1000 & sleeper=$!
			until [ "$(readlink /proc/$sleeper/ns/user)" != "$(readlink /proc/self/ns/user)" ]; do :; done 2>/dev/null
			exec runbuild rootless -- true'
}

# The filter that keeps raw frames from the host cannot be put there: there is no network then.
test_a_filter_that_is_refused_is_an_error() {
	needs_pasta
	wrap=("$scratch/bin/seccomp-run" pidfd_getfd=EPERM -- "$(type -P env)")
	fails_with 125 RB0614 'cannot close the network towards this host' 'pidfd_getfd(2)' 'ptrace_scope' -- \
		rootless --net=slirp4netns -- true
	wrap=("$scratch/bin/seccomp-run" seccomp=EBUSY -- "$(type -P env)")
	fails_with 125 RB0614 'cannot close the network towards this host' SECCOMP_FILTER_FLAG_NEW_LISTENER -- \
		rootless --net=pasta -- true
	rootless --net=pasta --allow-host-loopback -- ip route >"$scratch/out" 2>"$scratch/err"
	contains "$scratch/out" 'default via 10.0.2.2 dev tap0'
	contains "$scratch/err" 'are not stopped'
	# who has opened the host anyway goes on, and is told
	wrap=("$scratch/bin/seccomp-run" pidfd_getfd=EPERM -- "$(type -P env)")
	rootless --net=slirp4netns --allow-host-loopback -- true 2>"$scratch/err"
	contains "$scratch/err" 'are not stopped'
	helper_that "$(type -P slirp4netns) \"\$@\"" slirp4netns
	wrap=()
	fails_with 125 RB0614 'has no tap' 'not a program that starts it' -- \
		rootless --net=slirp4netns --slirp4netns-binary="$scratch/home/bin/slirp4netns" -- true
}

# What the host's link takes is no matter: slirp4netns ends the connection and makes another.
test_an_mtu_above_that_of_the_host_loses_nothing() {
	needs_tun
	needs_host
	local mtu

	services=()
	trap end_services EXIT
	with_neighbour
	ip link set cable mtu 1400
	in_neighbour ip link set cable-end mtu 1400
	: >"$scratch/service.out"
	nsenter --net="/proc/$neighbour/ns/net" "$scratch/lib/forward.py" serve 8082 203.0.113.2 >"$scratch/service.out" 2>&1 &
	services+=("$!")
	await 10 grep -q ready "$scratch/service.out" || fail "$(cat "$scratch/service.out")"
	for mtu in 65520 1500 576; do
		same "up, mtu $mtu" same "$(rootless --net=slirp4netns --mtu=$mtu -- \
			"$scratch/lib/forward.py" count 10.0.2.100 203.0.113.2 8082 3000000)"
		same "down, mtu $mtu" 3000000 "$(rootless --net=slirp4netns --mtu=$mtu -- \
			"$scratch/lib/forward.py" flood 10.0.2.100 203.0.113.2 8082 3000000)"
	done
}

# A refusal whose cause only a sysctl tells: a chroot that cannot be told, and
# files in place of the sysctls.
refused_with_sysctl() {
	mkdir -p "$scratch/apart" "$scratch/kernel"
	rm -f "$scratch/kernel"/*
	printf '%s\n' "$2" >"$scratch/kernel/$1"
	chmod -R a+rX "$scratch/kernel"
	wrap=(unshare --mount sh -c "mount --rbind / $scratch/apart && mount --bind $scratch/kernel $scratch/apart/proc/sys/kernel &&
		exec chroot $scratch/apart \"\$@\"" sh)
}

test_the_sysctl_of_debian_kernels_is_named() {
	needs_host
	refused_with_sysctl unprivileged_userns_clone 0
	fails_with 125 RB0200 'unprivileged_userns_clone is 0' 'sysctl -w kernel.unprivileged_userns_clone=1' -- rootless -- true
}

test_the_restriction_of_apparmor_is_named() {
	needs_host
	refused_with_sysctl apparmor_restrict_unprivileged_userns 1
	fails_with 125 RB0222 'AppArmor restricts' '/etc/apparmor.d/runbuild' 'userns,' 'apparmor_parser -r' -- rootless -- true
}

test_a_uid_without_a_passwd_entry_works_with_its_own_id() {
	needs_host
	install -d -o 4242 "$scratch/nobody"
	setpriv --reuid=4242 --regid=4242 --clear-groups --inh-caps=-all env -i PATH="$PATH" TMPDIR="$scratch/nobody" \
		"$runbuild" rootless --idmap=single -- sh -c 'echo "$(id -u) $USER"' >"$scratch/out" 2>"$scratch/err"
	same 'ids' '0 4242' "$(cat "$scratch/out")"
	same 'said' '' "$(cat "$scratch/err")"
}

test_a_read_only_sys_is_no_matter() {
	needs_host
	same 'interfaces and words' lo "$(in_host 'mount -o remount,bind,ro /sys' runbuild rootless --net=none -- ls /sys/class/net 2>&1)"
}

test_a_masked_proc_is_a_warning_with_its_remedy() {
	warns_with RB0306 'no pid namespace' 'systempaths=unconfined' 'procMount' -- \
		rootless -- sh -c 'mount -t tmpfs tmpfs /proc/fs && exec runbuild rootless -- true'
}

test_a_missing_fuse_device_is_no_matter() {
	needs_host
	same 'said' '' "$(in_host 'mkdir "$scratch/dev2"; mount -t tmpfs -o mode=0755 tmpfs "$scratch/dev2"; cp -a /dev/. "$scratch/dev2/"
		rm "$scratch/dev2/fuse"; mount --bind "$scratch/dev2" /dev' runbuild rootless -- true 2>&1)"
}

test_a_proxy_that_the_network_cuts_off_is_a_warning_without_its_value() {
	local url=http://u:pa55w0rd@127.0.0.1:3128

	needs_tun
	warns_with RB0253 'HTTPS_PROXY is on' 'the command cannot reach' --allow-host-addresses -- \
		as_user env HTTPS_PROXY="$url" runbuild rootless --net=slirp4netns -- true
	! grep -q pa55w0rd "$scratch/err" || fail 'the value is shown'
	warns_with RB0253 'http_proxy is on' 'steps cannot reach' 'another machine' -- \
		as_user env http_proxy="$url" runbuild rootless --step-net=slirp4netns -- true
	same 'network of the host' '' "$(as_user env HTTPS_PROXY="$url" runbuild rootless -- true 2>&1)"
	same 'no way out' '' "$(as_user env HTTPS_PROXY="$url" runbuild rootless --net=none --step-net=none -- true 2>&1)"
	same 'a proxy elsewhere' '' "$(as_user env HTTPS_PROXY=http://192.0.2.1:3128 runbuild rootless --net=slirp4netns -- true 2>&1)"
}

# proxied ADDRESS OPTION…: what a client in the launcher's network gets through a proxy there.
proxied() {
	local address=$1

	shift
	as_user env http_proxy="http://$address:3128" runbuild rootless --net=slirp4netns "$@" -- \
		curl --silent --show-error --max-time 20 http://some.example.test/x 2>&1
}

test_what_the_warning_of_a_proxy_advises_works() {
	needs_tun
	needs_host
	type -P curl >/dev/null || skip 'curl is missing'
	local name
	proxies=()
	trap 'kill "${proxies[@]}"; ip addr del 192.0.2.1/32 dev lo' EXIT
	ip addr replace 192.0.2.1/32 dev lo
	"$scratch/lib/proxy.py" 192.0.2.1 3128 >"$scratch/proxy.here" 2>&1 &
	proxies+=("$!")
	unshare --net "$scratch/lib/proxy.py" 0.0.0.0 3128 >"$scratch/proxy.there" 2>&1 &
	proxies+=("$!")
	for name in here there; do
		await 10 grep -q ready "$scratch/proxy.$name" || fail "$(cat "$scratch/proxy.$name")"
	done
	join_neighbour "${proxies[1]}" far 203.0.113.1/24 203.0.113.2/24
	same 'on another machine' 'proxied http://some.example.test/x' "$(proxied 203.0.113.2)"
	same 'on an address of this host' 'proxied http://some.example.test/x' "$(proxied 192.0.2.1 --allow-host-addresses)"
	# what is warned of, and the reason for the option
	contains <(proxied 192.0.2.1 || true) 'curl: '
}

test_a_runtime_directory_that_cannot_be_made_is_named() {
	needs_host
	local place=/tmp/runbuild-$user_id

	as_user mkdir -p -m 0700 "$place"
	warns_with RB0250 "$place" 'export XDG_RUNTIME_DIR' -- \
		in_host "cover \"\$scratch/lib\" $place" env -u XDG_RUNTIME_DIR runbuild rootless -- true
}

# Mount flags that the host has set stay set: a remount without them is refused
# in a user namespace (runc, until it kept them: "operation not permitted").
test_a_step_below_a_nosuid_nodev_mount_runs() {
	needs_host
	local store=$scratch/home/store busybox

	# shellcheck source=../../lib/bundle.sh
	source "$here/../lib/bundle.sh"
	busybox=$(find_busybox) || skip 'no static busybox'
	mkdir "$store"
	in_host 'mount -t tmpfs -o nosuid,nodev,mode=0777 tmpfs "$scratch/home/store"' \
		runbuild rootless -- sh -euc 'cd "$1"; mkdir -p rootfs/bin volume; cp "$2" rootfs/bin/sh; ln -sf sh rootfs/bin/cat
			runbuild spec --bundle . && jq --arg dir "$1/volume" ".process.terminal = false | .root.readonly = true |
				.process.args = [\"/bin/sh\", \"-c\", \"cat /proc/self/mountinfo\"] |
				.mounts += [{destination: \"/volume\", type: \"bind\", source: \$dir, options: [\"rbind\", \"ro\"]}]" config.json >changed.json && mv changed.json config.json
			exec runbuild run --bundle "$1" nosuid' sh "$store" "$busybox" >"$scratch/out" 2>"$scratch/err" || fail "$(cat "$scratch/err")"
	grep -E ' (/|/volume) ro,nosuid,nodev' "$scratch/out" >"$scratch/flags"
	same 'read-only mounts' 2 "$(grep -c '' "$scratch/flags")"
}
