# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# What reaches the host through slirp4netns by frames that the namespace's routes would not send:
# with CAP_NET_RAW, and with CAP_NET_ADMIN against the filter that stops them.

readonly everywhere='127.0.0.1 127.0.0.9 0.0.0.0 192.0.2.1 10.0.2.2 10.0.2.3'
readonly everywhere_v6='::1 :: ::ffff:127.0.0.1 2001:db8::1 fd00::2 fd00::3 fe80::1 ff02::1'

# A host with an address beside its loopback, and services on 8099 of all its addresses.
with_services() {
	local service

	needs_tun
	needs_host
	ip addr replace 192.0.2.1/32 dev lo
	ip -6 addr replace 2001:db8::1/128 dev lo
	trap end_services EXIT
	services=()
	for service in 0.0.0.0 ::; do
		: >"$scratch/service$service"
		"$scratch/lib/tcp.py" serve "$service" 8099 hello >"$scratch/service$service" 2>&1 &
		services+=("$!")
		await 10 grep -q ready "$scratch/service$service" || fail "$(cat "$scratch/service$service")"
	done
}

end_services() {
	[[ -z ${watcher:-} ]] || end_tree
	kill "${services[@]}" 2>/dev/null || true
	ip addr del 192.0.2.1/32 dev lo 2>/dev/null || true
	ip -6 addr del 2001:db8::1/128 dev lo 2>/dev/null || true
	ip addr del 192.0.2.9/32 dev lo 2>/dev/null || true
}

# send_frames ADDRESS…: a script that tries each address at the same time.
send_frames() {
	printf 'for a in %s; do echo "$a $(raw_frame "$a" 8099)" & done; wait' "$*"
}

# frames_reach EXPECTED OUTPUT: the addresses that were reached; all were tried.
frames_reach() {
	same 'reached' "$1" "$(printf '%s\n' "$2" | sed -n 's/ reached$//p' | LC_ALL=C sort | tr '\n' ' ' | sed 's/ $//')"
	(($(grep -c . <<<"$2") >= 6)) || fail "not all were tried: $2"
	! grep -v -e ' reached$' -e ' closed$' <<<"$2" || fail "$2"
}

# The same frames where slirp4netns is started by hand, as RootlessKit does it.
without_filter() {
	: >"$scratch/out"
	as_user unshare --user --net --map-root-user sh -c 'echo $$ >"$1"; while [ ! -e "$1.up" ]; do sleep 0.05; done; eval "$2"' \
		sh "$scratch/home/pid" "$1" >"$scratch/out" &
	services+=("$!")
	await 10 test -s "$scratch/home/pid"
	exec {ready}<> <(:)
	exec_as_user slirp4netns --configure --enable-ipv6 --disable-host-loopback --ready-fd="$ready" "$(cat "$scratch/home/pid")" tap0 \
		>"$scratch/slirp" 2>&1 &
	services+=("$!")
	read -r -t 10 -n 1 -u "$ready" || fail "$(cat "$scratch/slirp")"
	touch "$scratch/home/pid.up"
	wait "${services[2]}"
	kill "${services[3]}"
	rm -f "$scratch/home/pid" "$scratch/home/pid.up"
}

test_raw_frames_reach_the_host_without_the_filter() {
	with_services
	without_filter "$(send_frames "$everywhere")"
	frames_reach '0.0.0.0 127.0.0.1 127.0.0.9 192.0.2.1' "$(cat "$scratch/out")"
}

test_raw_ipv6_frames_reach_the_host_without_the_filter() {
	with_services
	# slirp4netns leaves the address to the kernel, which takes seconds for it
	without_filter "ip -6 addr add fd00::100/64 dev tap0 nodad; $(send_frames "$everywhere_v6")"
	frames_reach '2001:db8::1 :: ::1 ::ffff:127.0.0.1' "$(cat "$scratch/out")"
}

test_raw_frames_do_not_reach_the_host() {
	with_services
	frames_reach '' "$(rootless --net=slirp4netns -- sh -c "$(send_frames "$everywhere")")"
	frames_reach '' "$(rootless --net=slirp4netns --ipv6 -- sh -c "$(send_frames "$everywhere $everywhere_v6")")"
	frames_reach '' "$(rootless --net=slirp4netns --detach-netns --ipv6 -- \
		sh -c 'nsenter --net="$ROOTLESSKIT_STATE_DIR/netns" sh -c "$1"' sh "$(send_frames "$everywhere $everywhere_v6")")"
}

# pasta's tap is made for it, with the filter.
# It executes itself again under a name of the processor's: passt.avx2.
pasta_of_launcher() {
	local pid

	# shellcheck disable=SC2013
	for pid in $(cat "/proc/$launcher/task/$launcher/children"); do
		[[ $(cat "/proc/$pid/comm") != pas* ]] || printf '%s' "$pid"
	done
}

test_raw_frames_do_not_reach_the_host_through_pasta() {
	local old

	needs_pasta
	with_services
	frames_reach '' "$(rootless --net=pasta -- sh -c "$(send_frames "$everywhere")")"
	frames_reach '' "$(rootless --net=pasta --detach-netns -- \
		sh -c 'nsenter --net="$ROOTLESSKIT_STATE_DIR/netns" sh -c "$1"' sh "$(send_frames "$everywhere")")"
	frames_reach '192.0.2.1' "$(rootless --net=pasta --allow-host-addresses -- sh -c "$(send_frames "$everywhere")")"
	start_launcher --net=pasta
	ip addr add 192.0.2.9/32 dev lo
	await 10 closed_inside 192.0.2.9 || fail "$(cat "$scratch/launcher.err")"
	ip addr del 192.0.2.9/32 dev lo
	# its successor's tap as well
	old=$(pasta_of_launcher)
	kill -KILL "$old"
	await 20 grep -q 'pasta has ended with signal 9' "$scratch/launcher.err" || fail "$(cat "$scratch/launcher.err")"
	await 20 eval 'inside ip route | grep -q default' || fail "$(cat "$scratch/launcher.err")"
	frames_reach '' "$(inside sh -c "$(send_frames "$everywhere")")"
	stop_launcher
}

test_raw_frames_reach_the_host_through_a_pasta_of_its_own() {
	needs_pasta
	with_services
	: >"$scratch/out"
	as_user unshare --user --net --map-root-user sh -c 'echo $$ >"$1"; while [ -z "$(ip route)" ]; do sleep 0.05; done; eval "$2"' \
		sh "$scratch/home/pid" "$(send_frames "$everywhere")" >"$scratch/out" &
	services+=("$!")
	await 10 test -s "$scratch/home/pid"
	exec_as_user env --default-signal=PIPE pasta --foreground --quiet --config-net --ipv4-only --no-map-gw --ns-ifname tap0 \
		--address 10.0.2.100 --netmask 24 --gateway 10.0.2.2 --tcp-ns none --udp-ns none \
		"$(cat "$scratch/home/pid")" >"$scratch/pasta.out" 2>&1 &
	services+=("$!")
	wait "${services[2]}"
	frames_reach '0.0.0.0 127.0.0.1 127.0.0.9 192.0.2.1' "$(cat "$scratch/out")"
	rm -f "$scratch/home/pid"
}

test_host_loopback_by_the_gateway_opens_nothing_else_of_it() {
	with_services
	frames_reach '10.0.2.2 192.0.2.1 2001:db8::1 fd00::2' \
		"$(rootless --net=slirp4netns --disable-host-loopback=false --ipv6 -- \
			sh -c "$(send_frames "$everywhere $everywhere_v6")")"
}

test_the_hosts_other_addresses_can_be_opened_alone() {
	with_services
	frames_reach '192.0.2.1 2001:db8::1' "$(rootless --net=slirp4netns --allow-host-addresses --ipv6 -- \
		sh -c "$(send_frames "$everywhere $everywhere_v6")")"
	same 'a plain connection' 'hello 192.0.2.1' \
		"$(rootless --net=slirp4netns --allow-host-addresses -- "$scratch/lib/tcp.py" get 192.0.2.1 8099)"
	ln -sf runbuild "$scratch/bin/rootlesskit"
	same 'as RootlessKit' 'hello 192.0.2.1' \
		"$(as_user "$scratch/bin/rootlesskit" --net=slirp4netns "$scratch/lib/tcp.py" get 192.0.2.1 8099)"
}

test_the_name_server_still_answers_with_the_filter() {
	needs_tun
	needs_host
	: >"$scratch/resolver.out"
	"$scratch/lib/resolver.py" 127.0.0.53 53 192.0.2.7 >"$scratch/resolver.out" 2>&1 &
	services=("$!")
	trap end_services EXIT
	await 10 grep -q ready "$scratch/resolver.out" || fail "$(cat "$scratch/resolver.out")"
	rootless --net=slirp4netns --ipv6 -- getent ahostsv4 some.example.test >"$scratch/out"
	contains "$scratch/out" '192.0.2.7'
}

# Another host, 203.0.113.2, on a cable to this one.
with_neighbour() {
	unshare --net sleep 1000 &
	neighbour=$!
	services+=("$neighbour")
	await 10 eval '! [[ /proc/$neighbour/ns/net -ef /proc/self/ns/net ]]'
	ip link add cable type veth peer name cable-end netns "$neighbour"
	ip addr add 203.0.113.1/24 dev cable
	ip link set cable up
	in_neighbour ip addr add 203.0.113.2/24 dev cable-end
	in_neighbour ip link set cable-end up
}

in_neighbour() {
	nsenter --net="/proc/$neighbour/ns/net" "$@"
}

# A client on the host itself has one of the addresses that are closed.
test_published_ports_answer_with_the_filter() {
	with_services
	state=$scratch/home/state
	rm -rf "$state"
	: >"$scratch/launcher.out"
	exec_as_user runbuild rootless --state-dir="$state" --net=slirp4netns -p 8081:8082/tcp -p 8081:8082/udp -- \
		"$scratch/lib/forward.py" serve 8082 0.0.0.0 >"$scratch/launcher.out" 2>"$scratch/launcher.err" &
	services+=("$!")
	await 20 grep -q ready "$scratch/launcher.out" || fail "$(cat "$scratch/launcher.err")"
	same 'from the host' 192.0.2.1 "$("$scratch/lib/forward.py" ask 192.0.2.1 192.0.2.1 8081 peer)"
	same 'bytes' same "$("$scratch/lib/forward.py" count 192.0.2.1 192.0.2.1 8081 3000000)"
	same 'from the loopback' 10.0.2.2 "$("$scratch/lib/forward.py" ask 127.0.0.1 127.0.0.1 8081 peer)"
	with_neighbour
	same 'udp from afar' 203.0.113.2 "$(in_neighbour "$scratch/lib/forward.py" udp 203.0.113.2 203.0.113.1 8081 1)"
	same 'tcp from afar' 203.0.113.2 "$(in_neighbour "$scratch/lib/forward.py" ask 203.0.113.2 203.0.113.1 8081 peer)"
	frames_reach '' "$(inside sh -c "$(send_frames "$everywhere")")"
}

test_an_address_that_the_host_gets_later_is_closed() {
	with_services
	start_launcher --net=slirp4netns
	ip addr add 192.0.2.9/32 dev lo
	await 10 closed_inside 192.0.2.9 || fail "$(cat "$scratch/launcher.err")"
	ip addr del 192.0.2.9/32 dev lo
	stop_launcher
}

# inside COMMAND…: in the launcher's namespaces.
inside() {
	as_user runbuild enter --state-dir="$state" -- "$@"
}

closed_inside() {
	[[ $(inside raw_frame "$1" 8099) == closed ]]
}

slirp_has_changed() {
	local now

	now=$(children_of "$launcher" slirp4netns)
	[[ -n $now && $now != "$1" ]]
}

serves() {
	[[ $(inside tap.py ping 10.0.2.2) == answered ]]
}

# Somebody inside writes frames all the time; not one may slip through while there is a new one.
test_no_raw_frame_slips_through_a_restart() {
	local old

	with_services
	start_launcher --net=slirp4netns
	inside raw_frame --flood 127.0.0.1 8099 &
	services+=("$!")
	for _ in 1 2 3; do
		old=$(child_named "$launcher" slirp4netns)
		kill -KILL "$old"
		await 10 slirp_has_changed "$old" || fail "$(cat "$scratch/launcher.err")"
		await 10 serves || fail "$(cat "$scratch/launcher.err")"
	done
	kill -0 "${services[2]}"
	same 'clients' '' "$(grep client "$scratch/service0.0.0.0" | tail -n 3)"
	stop_launcher
}

test_the_filter_is_out_of_reach_of_cap_net_admin() {
	with_services
	start_launcher --net=slirp4netns
	same 'the same tap once more' EBUSY "$(inside tap.py open single)"
	same 'a second queue of it' EINVAL "$(inside tap.py open multi)"
	same 'descriptors of slirp4netns' nothing "$(inside tap.py find)"
	# in another namespace the filter is still where slirp4netns reads
	frames_reach '' "$(inside tap.py move "$(send_frames "$everywhere")")"
	stop_launcher
}

# A slirp4netns without its tap would complain for ever; the next one's tap is closed as well.
test_a_tap_made_inside_is_closed_as_well() {
	local old

	with_services
	start_launcher --net=slirp4netns
	old=$(child_named "$launcher" slirp4netns)
	# while it has no time to start another one
	kill -STOP "$launcher"
	inside sh -c 'ip link del tap0; tap.py persist' >"$scratch/out"
	kill -CONT "$launcher"
	await 10 slirp_has_changed "$old" || fail "$(cat "$scratch/launcher.err")"
	await 10 serves || fail "$(cat "$scratch/launcher.err")"
	contains "$scratch/launcher.err" 'has lost its tap' 'starting it again'
	frames_reach '' "$(inside sh -c "$(send_frames "$everywhere")")"
	stop_launcher
}
