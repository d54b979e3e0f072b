# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2016,SC2034 # scratch: set by the suite; scripts of steps
#
# The network of one step without a daemon: `step --net=slirp4netns`, and the
# worker's net mode slirp, which are the same engine.

readonly look_once='for p in "127.0.0.1 9001" "198.51.100.5 9003" "10.0.2.2 9001"; do
	echo "to $p: $(nc -w 2 $p </dev/null 2>&1 | head -c 40)."; done
	for a in "127.0.0.1 9001" "0.0.0.0 9004" "198.51.100.5 9003"; do echo "raw $a: $(raw $a)"; done
	cat /etc/resolv.conf; nslookup -type=a a.example.test. || true
	unixcat @runbuild-stepnet'

# own_step NET SCRIPT: in the background, its output in $scratch/step.log.
own_step() {
	trap end_step EXIT
	exec_as_user runbuild step --net="$1" --rootfs "$scratch/step-base" -- sh -c "$2" >"$scratch/step.log" 2>&1 &
	launcher=$!
}

# request NET SCRIPT: what makes a worker run a step.
request() {
	printf '%s\n' '{"jsonrpc":"2.0","id":1,"method":"hello","params":{"versions":[1]}}'
	jq -cn --arg net "$1" --arg script "$2" --arg root "$scratch/step-base" '{jsonrpc: "2.0", id: 2, method: "step.run",
		params: {step: "a", process: {args: ["/bin/sh", "-c", $script], env: ["PATH=/bin"]},
		rootfs: {path: $root}, net: {mode: $net}}}'
}

# own_worker NET SCRIPT: likewise, by a worker that lives until its peer goes.
own_worker() {
	trap end_step EXIT
	rm -f "$scratch/to-worker"
	mkfifo "$scratch/to-worker"
	exec_as_user runbuild worker --stdio <"$scratch/to-worker" >"$scratch/step.log" 2>&1 &
	launcher=$!
	exec 7>"$scratch/to-worker"
	request "$1" "$2" >&7
}

prepare_own_step() {
	[[ -d $scratch/step-base ]] || {
		cp -a "$scratch/base" "$scratch/step-base"
		chown -R "$user:" "$scratch/step-base"
	}
}

worker_answers() {
	grep -q '"id":2,' "$scratch/step.log"
}

# What the step printed, whoever ran it.
printed() {
	jq -rRj 'fromjson? | select(.method == "step.output") | .params.text // (.params.data | @base64d)' \
		"$scratch/step.log" >"$scratch/printed"
}

saw_nothing_of_the_host() {
	contains "$1" 'to 127.0.0.1 9001: ' 'to 198.51.100.5 9003: ' 'to 10.0.2.2 9001: ' \
		'nameserver 10.0.2.3' '192.0.2.7' 'abstract: closed' || fail "$(cat "$1")"
	! grep -qE 'SERVICE|: reached' "$1" || fail 'the step has reached the host' "$(cat "$1")"
	same 'raw frames that were sent' 3 "$(grep -c '^raw .*: closed' "$1")"
}

test_a_step_with_slirp4netns_does_not_reach_the_host() {
	prepare_own_step
	own_step slirp4netns "$look_once"
	wait "$launcher" || fail "$(cat "$scratch/step.log")"
	launcher=
	saw_nothing_of_the_host "$scratch/step.log"
	all_gone
}

test_nothing_outlives_a_step_without_a_daemon() {
	local net

	prepare_own_step
	for net in host none slirp4netns; do
		as_user alone.py runbuild step --net=$net --rootfs "$scratch/step-base" -- true >"$scratch/out" 2>&1 ||
			fail "$net: $(cat "$scratch/out")"
	done
}

test_a_step_in_the_network_of_the_host_reaches_it() {
	prepare_own_step
	own_step host "$look_once"
	wait "$launcher" || fail "$(cat "$scratch/step.log")"
	launcher=
	contains "$scratch/step.log" 'to 127.0.0.1 9001: SERVICE' 'to 198.51.100.5 9003: SERVICE' 'abstract: SERVICE' ||
		fail "$(cat "$scratch/step.log")"
}

test_a_step_of_a_worker_does_not_reach_the_host() {
	prepare_own_step
	own_worker slirp "$look_once"
	await 20 worker_answers || fail "$(cat "$scratch/step.log")"
	printed
	saw_nothing_of_the_host "$scratch/printed"
	await 5 none_of slirp4netns || fail 'slirp4netns outlives its step'
	exec 7>&-
	wait "$launcher" || true
	launcher=
	all_gone
}

# One listens until the other has tried.
two_steps() {
	prepare_own_step
	own_worker "$1" 'nc -ll -p 7007 -e echo SERVICE & echo up; read x </dev/zero'
	await 10 grep -q up "$scratch/step.log" || fail "$(cat "$scratch/step.log")"
	request "$1" 'for i in 1 2 3; do for h in 127.0.0.1 10.0.2.100 198.51.100.5; do
		echo "to $h: $(nc -w 1 $h 7007 </dev/null 2>&1)"; done; done' |
		sed -n '2s/"step":"a"/"step":"b"/;2s/"id":2/"id":3/p' >&7
	await 30 grep -q '"id":3,' "$scratch/step.log" || fail "$(cat "$scratch/step.log")"
	printed
	contains "$scratch/printed" 'to 127.0.0.1: ' 'to 10.0.2.100: ' || fail "$(cat "$scratch/printed")"
	exec 7>&-
	wait "$launcher" || true
	launcher=
	all_gone
}

# What the image lacks is made where the root can be written to, also below a read-only mount.
# without_names OPTION…: the step has its network and no name servers, and a line says so.
without_names() {
	as_user runbuild step --quiet --net=slirp4netns "$@" -- sh -c \
		'ls /sys/class/net; ls /etc/resolv.conf 2>&1' >"$scratch/step.log" 2>"$scratch/step.err" || true
	cat "$scratch/step.err"
	same 'links, and no file' $'lo\ntap0\nls: /etc/resolv.conf: No such file or directory' "$(<"$scratch/step.log")" &&
		same 'lines' 1 "$(grep -c '' "$scratch/step.err")" &&
		contains "$scratch/step.err" 'level=warning' 'names are not resolved in the step'
}

# with_names SERVER OPTION…
with_names() {
	local server=$1

	shift
	as_user runbuild step --quiet --net=slirp4netns "$@" -- cat /etc/resolv.conf >"$scratch/step.log" 2>"$scratch/step.err" ||
		fail "$(<"$scratch/step.err")"
	contains "$scratch/step.log" "nameserver $server"
	same 'warnings' '' "$(<"$scratch/step.err")"
}

# bare_root: one without /etc.
bare_root() {
	rm -rf "$scratch/bare"
	cp -a "$scratch/base" "$scratch/bare"
	rm -rf "$scratch/bare/etc"
	chown -R "$user:" "$scratch/bare"
}

test_a_root_without_resolv_conf_gets_one_or_has_a_network_without_names() {
	local status=0

	prepare_own_step
	bare_root
	with_names 10.7.0.3 --cidr=10.7.0.0/24 --read-only --rootfs "$scratch/bare"
	# nobody may write it
	bare_root
	chown root: "$scratch/bare"
	without_names --rootfs "$scratch/bare"
	mkdir "$scratch/bare/etc"
	without_names --read-only --rootfs "$scratch/bare"
	# asked for by name
	as_user runbuild step --quiet --net=slirp4netns --rootfs "$scratch/bare" \
		--mount type=bind,src=/etc/resolv.conf,dst=/etc/resolv.conf -- true >"$scratch/step.log" 2>&1 || status=$?
	same 'the status' 125 "$status"
	contains "$scratch/step.log" "cannot make mount destination '/etc/resolv.conf'" '[RB0305]' \
		"make an empty '/etc/resolv.conf' in the image, or mount a tmpfs"
	status=0
	# a place that is not the root's
	with_names 10.0.2.3 --rootfs "$scratch/bare" --mount type=tmpfs,dst=/etc
	with_names 10.0.2.3 --lower "$scratch/bare" --mount type=tmpfs,dst=/etc
	: >"$scratch/bare/etc/resolv.conf"
	with_names 10.0.2.3 --rootfs "$scratch/bare"
	# read-only as a mount, whoever owns it
	bare_root
	mkdir "$scratch/bare/etc"
	mount --bind "$scratch/bare" "$scratch/bare"
	mount -o remount,bind,ro "$scratch/bare"
	without_names --rootfs "$scratch/bare" || status=$?
	umount "$scratch/bare"
	same 'on a read-only mount' 0 "$status"
}

test_two_steps_of_a_worker_do_not_reach_each_other() {
	two_steps slirp
	! grep -q SERVICE "$scratch/printed" || fail 'one step reaches the other'
}

test_two_steps_of_a_worker_meet_in_the_network_of_the_host() {
	two_steps host
	contains "$scratch/printed" 'to 127.0.0.1: SERVICE' || fail "$(cat "$scratch/printed")"
}

test_a_killed_slirp4netns_ends_the_step() {
	local status=0

	prepare_own_step
	own_step slirp4netns 'echo up; sleep 60; echo went on'
	await 10 step_says up || fail "$(cat "$scratch/step.log")"
	kill_first slirp4netns
	wait "$launcher" || status=$?
	launcher=
	same 'status' 125 "$status"
	contains "$scratch/step.log" 'the step has lost its network: slirp4netns has ended with signal 9' '[RB0613]' ||
		fail "$(cat "$scratch/step.log")"
	all_gone
}

test_a_killed_slirp4netns_ends_the_step_of_a_worker_alone() {
	prepare_own_step
	own_worker slirp 'echo up; sleep 60; echo went on'
	await 10 step_says '"up' || fail "$(cat "$scratch/step.log")"
	kill_first slirp4netns
	await 10 worker_answers || fail "$(cat "$scratch/step.log")"
	contains "$scratch/step.log" 'the step has lost its network' '"kind":"net"' 'RB0613' || fail "$(cat "$scratch/step.log")"
	printf '%s\n' '{"jsonrpc":"2.0","id":4,"method":"ping"}' >&7
	await 5 grep -q '"id":4,"result"' "$scratch/step.log" || fail "$(cat "$scratch/step.log")"
	exec 7>&-
	wait "$launcher" || true
	launcher=
	all_gone
}

test_nothing_is_left_when_a_process_of_a_step_is_killed() {
	local how name

	prepare_own_step
	for how in own_step own_worker; do
		for name in runbuild runbuild-guard launcher; do
			rm -f "$scratch/step-base/done"
			if [[ $how == own_step ]]; then
				own_step slirp4netns "$until_done"
			else
				own_worker slirp "$until_done"
			fi
			gone_after "$name" "$scratch/step-base" || fail "after the death of $name, $how"
		done
	done
}

# The place of /etc/resolv.conf cannot be made in layers that nobody may write.
test_layers_without_resolv_conf_have_a_network_without_names() {
	prepare_own_step
	mkdir -p "$scratch/step-layer/etc"
	: >"$scratch/step-layer/etc/resolv.conf"
	mv "$scratch/step-base/etc/resolv.conf" "$scratch/resolv.away" 2>/dev/null || true
	chmod 0755 "$scratch/step-layer" "$scratch/step-layer/etc"
	without_names --lower "$scratch/step-base"
	with_names 10.0.2.3 --lower "$scratch/step-layer" --lower "$scratch/step-base"
}

# from_step COMMAND…: what a step started by it sees of the machine 10.0.2.9.
from_step() {
	as_user "$@" --rootfs "$scratch/step-base" -- sh -c 'cat /etc/resolv.conf; nc -w 5 10.0.2.9 8082 </dev/null 2>&1' \
		>"$scratch/seen" 2>"$scratch/step.log" || true
}

# sees TEXT…: the step did.
sees() {
	contains "$scratch/seen" "$@" || fail "$(cat "$scratch/seen" "$scratch/step.log")"
}

end_lan() {
	ip link del lan 2>/dev/null || true
	kill "$neighbour" 2>/dev/null || true
}

test_the_network_of_a_step_hides_nothing_that_the_host_reaches() {
	prepare_own_step
	unshare --net "$here/../rootless/lib/tcp.py" serve 0.0.0.0 8082 'from the lan' >"$scratch/lan.out" 2>&1 &
	neighbour=$!
	trap end_lan EXIT
	await 10 grep -q ready "$scratch/lan.out" || fail "$(cat "$scratch/lan.out")"
	join_neighbour "$neighbour" lan 10.0.2.15/24 10.0.2.9/24
	from_step runbuild step --net=slirp4netns
	sees 'nameserver 10.0.3.3' 'from the lan'
	# what was named stays
	from_step runbuild step --net=slirp4netns --cidr=10.0.2.0/24
	sees 'nameserver 10.0.2.3'
	! grep -q 'from the lan' "$scratch/seen" || fail 'reached' "$(cat "$scratch/seen")"
	# the launcher's choice is the step's
	from_step runbuild rootless --net=slirp4netns -- runbuild step --net=slirp4netns
	sees 'nameserver 10.0.3.3' 'from the lan'
	# and its tap is no reason to choose
	ip link del lan
	from_step runbuild rootless --net=slirp4netns -- runbuild step --net=slirp4netns
	sees 'nameserver 10.0.2.3'
	from_step env RUNBUILD_STEP_NET_CIDR=10.0.9.0 runbuild step --net=slirp4netns
	contains "$scratch/step.log" '[RB0613]' "'10.0.9.0' is no network"
}

for name in a_step_with_slirp4netns_does_not_reach_the_host a_step_in_the_network_of_the_host_reaches_it \
	a_step_of_a_worker_does_not_reach_the_host two_steps_of_a_worker_do_not_reach_each_other \
	two_steps_of_a_worker_meet_in_the_network_of_the_host \
	a_root_without_resolv_conf_gets_one_or_has_a_network_without_names \
	a_killed_slirp4netns_ends_the_step a_killed_slirp4netns_ends_the_step_of_a_worker_alone \
	nothing_is_left_when_a_process_of_a_step_is_killed \
	layers_without_resolv_conf_have_a_network_without_names \
	the_network_of_a_step_hides_nothing_that_the_host_reaches nothing_outlives_a_step_without_a_daemon; do
	run_test "$name"
done
