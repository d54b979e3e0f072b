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

# RootlessKit's own integration checks, in our words.

test_rootlesskit_death_of_the_parent_ends_the_child_and_the_state_dir_is_reusable() {
	local status=0

	ln -sf runbuild "$scratch/bin/rootlesskit"
	exec_as_user "$scratch/bin/rootlesskit" --state-dir="$scratch/home/rk" sleep 1000 &
	await 10 test -s "$scratch/home/rk/child_pid"
	inner=$(cat "$scratch/home/rk/child_pid")
	kill -KILL $!
	wait $! || status=$?
	same 'status' 137 "$status"
	await 2 eval "! kill -0 $inner 2>/dev/null" || fail 'the child lives'
	rootlesskit --state-dir="$scratch/home/rk" true
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
