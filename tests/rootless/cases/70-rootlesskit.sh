# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# Under the name rootlesskit: its options, its exit statuses.

rootlesskit() {
	ln -sf runbuild "$scratch/bin/rootlesskit"
	as_user "$scratch/bin/rootlesskit" "$@"
}

test_rootlesskits_command_lines_are_taken() {
	needs_tun
	# docker, nerdctl, BuildKit's unit and image
	rootlesskit --net=slirp4netns --mtu=65520 --slirp4netns-sandbox=auto --slirp4netns-seccomp=auto \
		--disable-host-loopback --port-driver=builtin --copy-up=/etc --copy-up=/run --propagation=rslave true
	rootlesskit --state-dir="$scratch/home/rk" --net=slirp4netns --mtu=65520 --slirp4netns-sandbox=auto \
		--slirp4netns-seccomp=auto --disable-host-loopback --port-driver=builtin --copy-up=/etc --copy-up=/run \
		--copy-up=/var/lib --propagation=rslave --detach-netns=false true
	rootlesskit --net=slirp4netns --copy-up=/etc --disable-host-loopback true
	rootlesskit true
	rootlesskit --pidns --cgroupns --utsns --ipcns --reaper=auto --net=host --copy-up-mode=tmpfs+symlink \
		--subid-source=auto --source-ip-transparent=false true
}

test_options_may_have_one_dash_and_end_at_the_command() {
	same 'one dash' lo "$(rootlesskit -net none ls /sys/class/net)"
	same 'two dashes' lo "$(rootlesskit --net none -- ls /sys/class/net)"
	same 'options of the command' '--net=x -v' "$(rootlesskit -net=none printf '%s' '--net=x -v')"
}

test_exit_statuses_are_rootlesskits() {
	local status name

	status=0
	rootlesskit sh -c 'exit 7' || status=$?
	same 'status' 7 "$status"
	for name in TERM KILL; do
		for option in --pidns=false --pidns; do
			status=0
			rootlesskit "$option" sh -c "kill -$name \$\$" || status=$?
			same "$name $option" 255 "$status"
		done
	done
	fails_with 1 RB0400 -- rootlesskit no-such-command
	fails_with 1 RB0401 -- rootlesskit /etc
	fails_with 1 RB0001 'no command' -- rootlesskit
}

test_help_and_version_have_what_scripts_look_for() {
	has "$(rootlesskit --help)" --detach-netns --net --copy-up --port-driver --lxc-user-nic-bridge
	has "$(rootlesskit --version)" 'rootlesskit version 2.'
	same 'semver' '2' "$(rootlesskit --print-semver | cut -d. -f1)"
}

test_processes_are_the_hosts_without_pidns() {
	same 'pid namespace' "$(readlink /proc/self/ns/pid)" "$(rootlesskit readlink /proc/self/ns/pid)"
	[[ $(rootlesskit --pidns readlink /proc/self/ns/pid) != $(readlink /proc/self/ns/pid) ]] || fail 'shared'
}

test_networks_of_others_are_refused_or_replaced_with_a_word() {
	needs_tun
	fails_with 1 RB0009 vpnkit 'slirp4netns' -- rootlesskit --net=vpnkit true
	fails_with 1 RB0009 lxc-user-nic -- rootlesskit --net=lxc-user-nic true
	rootlesskit --net=gvisor-tap-vsock true 2>"$scratch/err"
	contains "$scratch/err" 'using slirp4netns'
}

# RootlessKit's own integration checks, in our words. Each of the ways that a
# command can be supervised:
reapers=('--pidns=false' '--pidns --reaper=auto' '--pidns --reaper=true' '--pidns --reaper=false' '--pidns=false --reaper=true')

# start_rootlesskit OPTION…: one in the background that sleeps; sets kit, inner, state.
start_rootlesskit() {
	ln -sf runbuild "$scratch/bin/rootlesskit"
	state=$scratch/home/rk
	exec_as_user "$scratch/bin/rootlesskit" --state-dir="$state" "$@" sleep infinity >"$scratch/kit.out" 2>&1 &
	kit=$!
	trap 'kill -KILL "$kit" 2>/dev/null || true' EXIT
	await 20 test -s "$state/child_pid" || fail "$(cat "$scratch/kit.out")"
	inner=$(cat "$state/child_pid")
}

# sleeps PID: has it a child that executes sleep by now?
sleeps() {
	local pid

	# shellcheck disable=SC2013
	for pid in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
		[[ $(cat "/proc/$pid/comm" 2>/dev/null) != sleep ]] || return 0
	done
	return 1
}

test_rootlesskit_exit_status_is_the_commands() {
	local reaper status code

	for reaper in "${reapers[@]}"; do
		for code in 0 42; do
			status=0
			# shellcheck disable=SC2086 # words
			rootlesskit $reaper sh -ec "exit $code" || status=$?
			same "status with $reaper" "$code" "$status"
		done
	done
}

test_rootlesskit_a_signal_to_the_child_reaches_the_command_and_is_named() {
	local reaper status

	for reaper in "${reapers[@]}"; do
		# shellcheck disable=SC2086 # words
		start_rootlesskit $reaper
		await 20 sleeps "$inner" || fail 'no sleep'
		status=0
		kill -USR1 "$inner"
		wait "$kit" || status=$?
		same "status with $reaper" 255 "$status"
		contains "$scratch/kit.out" '[RB0405]' 'user defined signal 1'
	done
}

test_rootlesskit_death_of_the_parent_ends_the_child_and_the_state_dir_is_reusable() {
	local reaper status

	for reaper in "${reapers[@]}"; do
		# shellcheck disable=SC2086 # words
		start_rootlesskit $reaper
		status=0
		kill -KILL "$kit"
		wait "$kit" || status=$?
		same 'status' 137 "$status"
		await 10 eval "! kill -0 $inner 2>/dev/null" || fail "the child lives with $reaper"
		rootlesskit --state-dir="$state" true
	done
}

test_rootlesskit_a_killed_one_is_restarted_without_its_ports() {
	needs_tun
	start_rootlesskit --port-driver=builtin --net=slirp4netns
	same 'a port' 201 "$("$scratch/lib/api.py" "$state/api.sock" POST /v1/ports \
		'{"proto":"tcp","parentIP":"127.0.0.1","parentPort":8097,"childPort":80}' | cut -d' ' -f1)"
	kill -KILL "$kit"
	wait "$kit" || true
	same 'ports' '200 []' "$(rootlesskit --state-dir="$state" --port-driver=builtin --net=slirp4netns \
		sh -c '"$1" "$ROOTLESSKIT_STATE_DIR/api.sock" GET /v1/ports' sh "$scratch/lib/api.py")"
}

test_rootlesskit_mounts_of_the_host_arrive_as_propagation_says() {
	needs_host
	local mode expected seen

	mkdir "$scratch/spread"
	mount --make-rshared /
	for mode in private:no rprivate:no slave:yes rslave:yes shared:yes rshared:yes; do
		start_rootlesskit --propagation="${mode%:*}"
		trap 'kill -KILL "$kit" 2>/dev/null || true; umount "$scratch/spread" 2>/dev/null || true; mount --make-rprivate /' EXIT
		mount -t tmpfs none "$scratch/spread"
		touch "$scratch/spread/after_mount"
		expected=${mode#*:} seen=no
		[[ ! -e /proc/$inner/root$scratch/spread/after_mount ]] || seen=yes
		same "seen with ${mode%:*}" "$expected" "$seen"
		umount "$scratch/spread"
		kill "$kit"
		wait "$kit" || true
	done
}

test_rootlesskit_without_a_reaper_output_status_and_terminal_are_the_commands() {
	local status=0

	same 'output' hello "$(rootlesskit --reaper=false echo hello)"
	rootlesskit --reaper=false sh -c 'exit 42' || status=$?
	same 'status' 42 "$status"
	type -P script >/dev/null || skip 'script is not installed'
	ln -sf runbuild "$scratch/bin/rootlesskit"
	as_user script -qec 'rootlesskit --reaper=false sh -c "test -t 0 && : </dev/tty && echo DONE"' /dev/null >"$scratch/out" 2>&1 </dev/null
	contains "$scratch/out" DONE
}

test_rootlesskit_ipv6_leads_to_the_host() {
	needs_tun
	needs_host
	ip addr add fd42:7::1/128 dev lo
	: >"$scratch/six.out"
	"$scratch/lib/tcp.py" serve fd42:7::1 8094 'hello ipv6' >"$scratch/six.out" 2>&1 &
	server=$!
	trap 'kill "$server"; ip addr del fd42:7::1/128 dev lo' EXIT
	await 10 grep -q ready "$scratch/six.out" || fail "$(cat "$scratch/six.out")"
	rootlesskit --net=slirp4netns --ipv6 "$scratch/lib/tcp.py" get fd42:7::1 8094 >"$scratch/out"
	contains "$scratch/out" 'hello ipv6'
}

test_rootlesskit_socket_activation_passes_every_socket() {
	local n

	ln -sf runbuild "$scratch/bin/rootlesskit"
	for n in 1 2 3; do
		same "$n sockets" "$n 1" "$(as_user sh -c 'LISTEN_FDS=$1 LISTEN_PID=$$ LISTEN_FDNAMES=a:b:c exec rootlesskit sh -c "
			test \$LISTEN_PID = \$\$ && test \$LISTEN_FDNAMES = a:b:c && for fd in 3 4 5; do test ! -e /proc/self/fd/\$fd || n=\$((n + 1)); done
			echo \$n \$((LISTEN_FDS == n))"' sh "$n" 3</dev/null 4</dev/null 5</dev/null)"
	done
}

test_rootlesskit_socket_activation_passes() {
	ln -sf runbuild "$scratch/bin/rootlesskit"
	same 'descriptor' 'hello 1' "$(as_user sh -c 'LISTEN_FDS=1 LISTEN_PID=$$ exec rootlesskit --pidns sh -c "
		cat <&3; test \$LISTEN_PID = \$\$ && echo \$LISTEN_FDS"' 3< <(printf 'hello ') | tr -d '\n')"
}

# nerdctl and docker: the daemon stays outside, and enters the file by itself.
test_rootlesskit_detached_network_is_a_file_that_the_command_enters() {
	needs_tun
	same 'its own namespace' "$(readlink /proc/self/ns/net)" "$(rootlesskit --net=slirp4netns --detach-netns readlink /proc/self/ns/net)"
	rootlesskit --state-dir="$scratch/home/rk" --net=slirp4netns --mtu=1500 --slirp4netns-sandbox=auto --slirp4netns-seccomp=auto \
		--disable-host-loopback --copy-up=/etc --copy-up=/run --copy-up=/var/lib --propagation=rslave --detach-netns sh -c '
		cd "$ROOTLESSKIT_STATE_DIR" && stat -f -c %T netns && cat resolv.conf hosts && ls /sys/class/net
		exec nsenter --net="$ROOTLESSKIT_STATE_DIR/netns" sh -c "ip -brief -4 addr; ip route; ip link"' >"$scratch/out"
	contains "$scratch/out" 'nameserver 10.0.2.3' '127.0.0.1' '10.0.2.100/24' 'default via 10.0.2.2 dev tap0' 'mtu 1500'
	same 'file system' nsfs "$(head -n 1 "$scratch/out")"
	same 'the host has no tap' '' "$(find /sys/class/net -name 'tap0')"
	[[ ! -e $scratch/home/rk ]] || fail "left: $(ls -la "$scratch/home/rk")"
	fails_with 1 RB0001 'add --net=slirp4netns' -- rootlesskit --detach-netns true
	same 'without a driver' 'lo' "$(rootlesskit --net=none --detach-netns sh -c 'nsenter --net="$ROOTLESSKIT_STATE_DIR/netns" ip -brief -4 addr' | cut -d' ' -f1)"
}
