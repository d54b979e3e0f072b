# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# The builtin port driver: what it passes on, what it keeps, and how it ends.

# start_forwarded OPTIONS…: a launcher with --port-driver=builtin and a server on 8082 inside. The
# host has 192.0.2.1 beside its loopback.
start_forwarded() {
	: >"$scratch/launcher.out"
	state=$scratch/home/state
	rm -rf "$state"
	ip addr replace 192.0.2.1/32 dev lo
	exec_as_user runbuild --debug rootless --state-dir="$state" --port-driver=builtin "$@" -- \
		"$scratch/lib/forward.py" serve 8082 >"$scratch/launcher.out" 2>"$scratch/launcher.err" &
	launcher=$!
	trap end_server EXIT
	await 20 grep -q ready "$scratch/launcher.out" || fail "$(cat "$scratch/launcher.err")"
}

# end WORD…: the client's end of a connection.
end() {
	"$scratch/lib/forward.py" "$@"
}

# The forwarder is the launcher's child that has its program, and no child of its own.
forwarder() {
	local pid

	for pid in $(children_of "$launcher" runbuild); do
		[[ $pid == "$(cat "$state/child_pid")" ]] || printf '%s\n' "$pid"
	done
}

test_a_forwarded_client_keeps_its_address() {
	needs_tun
	needs_host
	start_forwarded --net=slirp4netns -p 8081:8082/tcp
	same 'from afar' 192.0.2.1 "$(end ask 192.0.2.1 192.0.2.1 8081 peer)"
	same 'from the loopback' 127.0.0.1 "$(end ask 127.0.0.1 127.0.0.1 8081 peer)"
	as_user runbuild enter --state-dir="$state" -- ip rule list >"$scratch/out"
	contains "$scratch/out" 'fwmark 0x5242 lookup 21058'
	has "$(api GET /v1/info)" '"portDriver":{"driver":"builtin","protos":["tcp","tcp4","tcp6","udp","udp4","udp6"],"disallowLoopbackChildIP":false}'
}

test_a_forwarded_client_keeps_its_address_into_a_detached_network() {
	needs_tun
	needs_host
	state=$scratch/home/state
	rm -rf "$state"
	ip addr replace 192.0.2.1/32 dev lo
	exec_as_user runbuild rootless --state-dir="$state" --net=slirp4netns --detach-netns --port-driver=builtin -p 8081:8082/tcp -- \
		sh -c 'exec nsenter --net="$ROOTLESSKIT_STATE_DIR/netns" "$0" serve 8082' "$scratch/lib/forward.py" \
		>"$scratch/launcher.out" 2>"$scratch/launcher.err" &
	launcher=$!
	trap end_server EXIT
	await 20 grep -q ready "$scratch/launcher.out" || fail "$(cat "$scratch/launcher.err")"
	same 'from afar' 192.0.2.1 "$(end ask 192.0.2.1 192.0.2.1 8081 peer)"
}

test_a_forwarded_client_is_hidden_when_asked() {
	needs_host
	start_forwarded --net=none --source-ip-transparent=false -p 8081:8082/tcp
	same 'hidden' 127.0.0.1 "$(end ask 192.0.2.1 192.0.2.1 8081 peer)"
	as_user runbuild enter --state-dir="$state" -- ip rule list >"$scratch/out"
	contains "$scratch/out" 'lookup main'
	! grep fwmark "$scratch/out" || fail 'a rule without need'
}

test_forwarded_bytes_and_half_closed_connections_arrive() {
	needs_host
	start_forwarded --net=none -p 8081:8082/tcp
	same 'small' same "$(end count 192.0.2.1 192.0.2.1 8081 10)"
	same 'large' same "$(end count 127.0.0.1 127.0.0.1 8081 30000000)"
	same 'to a slow reader' 50000000 "$(end flood 192.0.2.1 192.0.2.1 8081 50000000)"
	has "$(end ask 192.0.2.1 192.0.2.1 8081 reset)" 'reset by peer'
}

test_a_forwarded_port_without_a_server_resets() {
	needs_host
	start_forwarded --net=none -p 8081:8099/tcp
	end ask 192.0.2.1 192.0.2.1 8081 peer >"$scratch/out"
	contains "$scratch/out" 'reset by peer' || fail "$(cat "$scratch/out")"
}

test_forwarded_connections_leave_no_descriptor() {
	needs_host
	local before

	start_forwarded --net=none -p 8081:8082/tcp
	end ask 127.0.0.1 127.0.0.1 8081 peer >/dev/null
	before=$(list_fds "$(forwarder)")
	same 'answered' 600 "$(end many 127.0.0.1 8081 600)"
	same 'answered' 600 "$(end many 192.0.2.1 8081 600)"
	await 5 eval '[[ $(list_fds "$(forwarder)") == "$before" ]]' ||
		fail "before: $before" "now: $(list_fds "$(forwarder)")"
}

list_fds() {
	find "/proc/$1/fd" -mindepth 1 -printf '%f\n' | sort -n | tr '\n' ' '
}

test_more_connections_than_descriptors_wait_their_turn() {
	needs_host
	local round

	ulimit -n 1024
	start_forwarded --net=none -p 8081:8082/tcp
	for round in 1 2; do
		same "round $round" 180 "$(end many 127.0.0.1 8081 180)"
	done
}

test_forwarded_datagrams_find_their_way_back() {
	needs_host
	start_forwarded --net=none -p 8081:8082/udp
	same 'from afar' 127.0.0.1 "$(end udp 192.0.2.1 192.0.2.1 8081 50)"
	same 'from the loopback' 127.0.0.1 "$(end udp 127.0.0.1 127.0.0.1 8081 50)"
}

test_forwarded_ports_come_and_go() {
	needs_host
	start_forwarded --net=none
	same 'no forwarder before the first port' '' "$(forwarder)"
	has "$(api POST /v1/ports '{"proto":"tcp","parentIP":"127.0.0.1","parentPort":8083,"childPort":8082}')" '201' '"id":1'
	has "$(api POST /v1/ports '{"proto":"udp","parentIP":"127.0.0.1","parentPort":8083,"childPort":8082}')" '201' '"id":2'
	has "$(api POST /v1/ports '{"proto":"tcp","parentIP":"127.0.0.1","parentPort":8083,"childPort":8082}')" '500' 'in use' RB0607
	has "$(api POST /v1/ports '{"proto":"udp","parentIP":"127.0.0.1","parentPort":8083,"childPort":8082}')" '500' 'in use' RB0607
	same 'tcp' 127.0.0.1 "$(end ask 127.0.0.1 127.0.0.1 8083 peer)"
	same 'deleted' '200' "$(api DELETE /v1/ports/1)"
	has "$(end ask 127.0.0.1 127.0.0.1 8083 peer)" refused
	same 'udp' 127.0.0.1 "$(end udp 127.0.0.1 127.0.0.1 8083 1)"
	has "$(api POST /v1/ports '{"proto":"tcp","parentIP":"127.0.0.1","parentPort":8083,"childPort":8082}')" '201' '"id":3'
	same 'tcp again' 127.0.0.1 "$(end ask 127.0.0.1 127.0.0.1 8083 peer)"
}

test_a_forwarder_has_no_power_over_its_host() {
	needs_host
	start_forwarded --net=none -p 8081:8082/tcp
	contains "/proc/$(forwarder)/status" $'CapEff:\t0000000000001000' $'CapBnd:\t0000000000000000' $'NoNewPrivs:\t1'
}

test_a_killed_forwarder_is_replaced_with_its_ports() {
	needs_host
	local old

	start_forwarded --net=none -p 8081:8082/tcp -p 8081:8082/udp
	old=$(forwarder)
	kill -KILL "$old"
	await 10 eval '[[ $(forwarder) != "" && $(forwarder) != "$old" ]]' || fail "$(cat "$scratch/launcher.err")"
	await 10 eval '[[ $(end ask 192.0.2.1 192.0.2.1 8081 peer) == 192.0.2.1 ]]' || fail 'no tcp'
	same 'udp' 127.0.0.1 "$(end udp 127.0.0.1 127.0.0.1 8081 1)"
	contains "$scratch/launcher.err" 'builtin port driver has ended with signal 9'
	same 'rules for the way back' 1 "$(as_user runbuild enter --state-dir="$state" -- ip rule | grep -c fwmark)"
}

test_a_forwarder_ends_with_a_killed_launcher() {
	needs_host
	local old

	start_forwarded --net=none -p 8081:8082/tcp
	old=$(forwarder)
	kill -KILL "$launcher"
	await 5 eval '! kill -0 "$old" 2>/dev/null' || fail 'it lives'
	has "$(end ask 127.0.0.1 127.0.0.1 8081 peer)" refused
}

test_builtin_ports_need_a_network_and_a_driver() {
	fails_with 125 RB0001 'needs a network' -- rootless --net=host --port-driver=builtin -p 8081:8082/tcp -- true
	fails_with 125 RB0001 'needs a network' '--port-driver=builtin' -- rootless --net=none -p 8081:8082/tcp -- true
	fails_with 125 RB0001 'needs a network' -- rootless --net=slirp4netns --port-driver=none -p 8081:8082/tcp -- true
}

test_forwarded_ports_lead_into_a_detached_network() {
	needs_tun
	needs_host

	: >"$scratch/launcher.out"
	state=$scratch/home/state
	rm -rf "$state"
	exec_as_user runbuild rootless --state-dir="$state" --net=slirp4netns --detach-netns --port-driver=builtin -p 127.0.0.1:8081:8082/tcp -- \
		sh -c 'exec nsenter --net="$ROOTLESSKIT_STATE_DIR/netns" "$0" serve 0.0.0.0 8082 inside' "$scratch/lib/tcp.py" \
		>"$scratch/launcher.out" 2>"$scratch/launcher.err" &
	launcher=$!
	trap end_server EXIT
	await 20 grep -q ready "$scratch/launcher.out" || fail "$(cat "$scratch/launcher.err")"
	has "$(get_port 8081)" inside
}

# start_families SPEC…: the host's ports of these specifications, to the server inside.
start_families() {
	local words=() spec

	for spec; do
		words+=(-p "$spec")
	done
	start_forwarded --net=none "${words[@]}"
}

answers() {
	[[ $(end ask "$1" "$2" 8081 peer) =~ ^[0-9.]+$ ]]
}

# As RootlessKit has it: "tcp" of any address is both families, the others are of one, and of two
# specifications neither is in the other's way.
test_ports_are_of_the_families_that_were_asked_for() {
	needs_host
	start_families 8081:8082/tcp 8081:8082/udp
	answers 127.0.0.1 127.0.0.1 || fail 'tcp: not IPv4'
	answers ::1 ::1 || fail 'tcp: not IPv6'
	same 'the address of a client of IPv4' 192.0.2.1 "$(end ask 192.0.2.1 192.0.2.1 8081 peer)"
	same 'udp, IPv4' 127.0.0.1 "$(end udp 192.0.2.1 192.0.2.1 8081 5)"
	same 'udp, IPv6' 127.0.0.1 "$(end udp ::1 ::1 8081 5)"
	same 'bytes by IPv6' same "$(end count ::1 ::1 8081 3000000)"
	kill "$launcher"
	wait "$launcher" || true
	start_families 0.0.0.0:8081:8082/tcp4
	answers 127.0.0.1 127.0.0.1 || fail 'tcp4: not IPv4'
	! answers ::1 ::1 || fail 'tcp4: IPv6'
	kill "$launcher"
	wait "$launcher" || true
	start_families '[::]:8081:8082/tcp6'
	! answers 127.0.0.1 127.0.0.1 || fail 'tcp6: IPv4'
	answers ::1 ::1 || fail 'tcp6: not IPv6'
	kill "$launcher"
	wait "$launcher" || true
	start_families 0.0.0.0:8081:8082/tcp4 '[::]:8081:8082/tcp6'
	answers 127.0.0.1 127.0.0.1 || fail 'tcp4 beside tcp6'
	answers ::1 ::1 || fail 'tcp6 beside tcp4'
	has "$(api GET /v1/ports)" '"proto":"tcp4","parentIP":"0.0.0.0"' '"proto":"tcp6","parentIP":"::"'
	has "$(api POST /v1/ports '{"proto":"tcp6","parentIP":"::1","parentPort":8084,"childPort":8082}')" '201'
	has "$(api POST /v1/ports '{"proto":"udp4","parentIP":"127.0.0.1","parentPort":8084,"childPort":8082}')" '201'
	has "$(api GET /v1/info)" '"protos":["tcp","tcp4","tcp6","udp","udp4","udp6"]'
}

# dockerd has a proxy inside on ::1 for each port of IPv6.
test_ports_lead_to_an_address_of_ipv6_inside() {
	needs_host
	start_families '[::]:8081:[::1]:8083/tcp6' 127.0.0.1:8081:8082/tcp4 '[::]:8081:[::1]:8083/udp6'
	exec_as_user runbuild enter --state-dir="$state" -- "$scratch/lib/forward.py" serve 8083 ::1 >"$scratch/second.out" 2>&1 &
	await 20 grep -q ready "$scratch/second.out" || fail "$(cat "$scratch/second.out")"
	same 'the address of a client of IPv6' ::1 "$(end ask ::1 ::1 8081 peer)"
	same 'the address of a client of IPv4' 127.0.0.1 "$(end ask 127.0.0.1 127.0.0.1 8081 peer)"
	same 'udp' ::1 "$(end udp ::1 ::1 8081 5)"
	same 'bytes' same "$(end count ::1 ::1 8081 3000000)"
	has "$(api GET /v1/ports)" '"parentIP":"::","parentPort":8081,"childIP":"::1","childPort":8083'
	has "$(api POST /v1/ports '{"proto":"tcp6","parentIP":"::1","parentPort":8084,"childIP":"::1","childPort":8083}')" \
		'201' '"childIP":"::1"'
	same 'by the API' ::1 "$(end ask ::1 ::1 8084 peer)"
	has "$(api POST /v1/ports '{"proto":"tcp6","parentIP":"::1","parentPort":8085,"childIP":"::g","childPort":8083}')" '400' 'in brackets'
}

test_slirp4netns_publishes_ipv4_and_says_so() {
	needs_tun
	needs_host
	fails_with 125 RB0607 'port 8081/tcp6' 'IPv4' '--port-driver=builtin' -- \
		rootless --net=slirp4netns -p '[::1]:8081:80/tcp6' -- true
	fails_with 125 RB0607 'port 8081/tcp' 'IPv4' '--port-driver=builtin' -- \
		rootless --net=slirp4netns -p '127.0.0.1:8081:[::1]:80/tcp' -- true
	start_server --net=slirp4netns -p 0.0.0.0:8081:8082/tcp4
	has "$(get_port 8081)" inside
	! "$scratch/lib/tcp.py" get ::1 8081 >"$scratch/out" || fail "IPv6: $(cat "$scratch/out")"
	has "$(api GET /v1/info)" '"protos":["tcp","tcp4","udp","udp4"]'
	has "$(api POST /v1/ports '{"proto":"tcp4","parentIP":"127.0.0.1","parentPort":8083,"childPort":8082}')" '201'
}
