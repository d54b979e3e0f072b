# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# The network's own options, published ports, and a helper that dies.

test_addresses_follow_from_cidr() {
	needs_tun
	rootless --net=slirp4netns --cidr=10.9.0.0/16 --ifname=up0 --mtu=9000 -- sh -c 'ip addr show up0; ip route; cat /etc/resolv.conf' >"$scratch/out"
	contains "$scratch/out" '10.9.0.100/16' 'default via 10.9.0.2 dev up0' 'nameserver 10.9.0.3' 'mtu 9000'
}

test_tcp_is_told_that_its_peer_is_the_next_process() {
	needs_tun
	rootless --net=slirp4netns --ipv6 -- sh -c 'ip route show default; ip -6 route show default' >"$scratch/out"
	same 'routes with reno' 2 "$(grep -c ' congctl reno' "$scratch/out")"
	# what leaves by no route of ours keeps the host's ways
	same 'the namespace' "$(cat /proc/sys/net/ipv4/tcp_congestion_control)" \
		"$(rootless --net=slirp4netns -- cat /proc/sys/net/ipv4/tcp_congestion_control)"
}

# with_route NETWORK: the host reaches it through another interface.
with_route() {
	ip link add lan type dummy 2>/dev/null || ip link add lan type veth peer name lan-peer
	trap 'ip link del lan' EXIT
	ip link set lan up
	ip route add "$1" dev lan
}

# with_lan: 10.0.2.0/24 is the host's own, and a machine there, 10.0.2.9, has a service on port 8082.
with_lan() {
	unshare --net "$scratch/lib/tcp.py" serve 0.0.0.0 8082 'from the lan' >"$scratch/lan.out" 2>&1 &
	neighbour=$!
	trap 'kill "$neighbour"; ip link del lan 2>/dev/null' EXIT
	await 10 grep -q ready "$scratch/lan.out" || fail "$(cat "$scratch/lan.out")"
	join_neighbour "$neighbour" lan 10.0.2.15/24 10.0.2.9/24
}

test_another_network_is_chosen_where_the_host_reaches_the_default_one() {
	needs_tun
	needs_host
	with_lan
	warns_with RB0615 'the network is 10.0.3.0/24' 'this host reaches 10.0.2.0/24' 'through lan' '--cidr' -- \
		rootless --net=slirp4netns --step-net=slirp4netns -- \
		sh -c 'ip route; cat /etc/resolv.conf; echo "$RUNBUILD_STEP_NET_CIDR"; exec "$0" get 10.0.2.9 8082' "$scratch/lib/tcp.py"
	contains "$scratch/out" 'default via 10.0.3.2' 'nameserver 10.0.3.3' 10.0.3.0/24 'from the lan'
	# the network of steps alone
	warns_with RB0615 'the network is 10.0.3.0/24' -- rootless --step-net=slirp4netns -- sh -c 'echo "$RUNBUILD_STEP_NET_CIDR"'
	same 'for steps' 10.0.3.0/24 "$(cat "$scratch/out")"
	# the address that the command is to have was named
	warns_with RB0615 'the network 10.0.2.0/24 overlaps 10.0.2.0/24' '--cidr=10.0.3.0/24' -- \
		rootless --net=slirp4netns -p 127.0.0.1:8081:10.0.2.100:80/tcp -- ip route
	contains "$scratch/out" 'default via 10.0.2.2'
	rootless --net=none --step-net=none -- true 2>"$scratch/err"
	same 'without addresses' '' "$(cat "$scratch/err")"
}

test_a_network_that_was_named_and_that_the_host_reaches_already_is_said() {
	needs_tun
	needs_host
	with_route 10.0.0.0/8
	warns_with RB0615 'the network is 172.30.2.0/24' 'this host reaches 10.0.0.0/8' -- rootless --net=slirp4netns -- true
	warns_with RB0615 '10.0.2.0/24 overlaps 10.0.0.0/8' 'through lan' '--cidr=172.30.2.0/24' -- \
		rootless --net=slirp4netns --cidr=10.0.2.0/24 -- true
	rootless --net=slirp4netns --cidr=10.9.0.0/16 -- true 2>"$scratch/err"
	contains "$scratch/err" '10.9.0.0/16 overlaps 10.0.0.0/8'
	rootless --net=slirp4netns --cidr=172.30.2.0/24 -- true 2>"$scratch/err"
	same 'with the one that was named' '' "$(cat "$scratch/err")"
	rootless --net=none -- true 2>"$scratch/err"
	same 'without addresses' '' "$(cat "$scratch/err")"
}

test_a_network_in_the_way_of_a_smaller_one_is_said() {
	needs_tun
	needs_host
	with_route 10.9.7.0/24
	rootless --net=slirp4netns --cidr=10.9.0.0/16 -- true 2>"$scratch/err"
	contains "$scratch/err" '10.9.0.0/16 overlaps 10.9.7.0/24' '--cidr=10.0.3.0/24'
	rootless --net=slirp4netns -- true 2>"$scratch/err"
	same 'a network beside it' '' "$(cat "$scratch/err")"
}

# step_net WORD…: what the runtime of a step would be told.
step_net() {
	as_user env "$@" -- sh -c 'echo "$RUNBUILD_STEP_NET $RUNBUILD_STEP_NET_CIDR $RUNBUILD_STEP_NET_POOL"'
}

test_the_network_of_steps_is_inherited_unless_it_is_given() {
	same 'inherited' 'none  ' "$(step_net RUNBUILD_STEP_NET=none runbuild rootless)"
	same 'given' 'host  ' "$(step_net RUNBUILD_STEP_NET=none RUNBUILD_STEP_NET_CIDR=10.7.0.0/16 RUNBUILD_STEP_NET_POOL=/x \
		runbuild rootless --step-net=host)"
	same 'its addresses' 'none 10.7.0.0/16 ' "$(step_net RUNBUILD_STEP_NET=none RUNBUILD_STEP_NET_CIDR=10.7.0.0/16 \
		RUNBUILD_STEP_NET_POOL=/x runbuild rootless)"
	same 'nothing' '  ' "$(step_net runbuild rootless)"
	same 'unshare' 'none  ' "$(step_net RUNBUILD_STEP_NET=none runbuild unshare)"
	fails_with 125 RB0613 "RUNBUILD_STEP_NET: 'bridge' is unknown" -- as_user env RUNBUILD_STEP_NET=bridge runbuild rootless -- true
}

test_ipv6_is_usable_at_once() {
	needs_tun
	rootless --net=slirp4netns --ipv6 -- sh -c 'ip -6 addr show tap0; ip -6 route; cat /etc/resolv.conf' >"$scratch/out"
	contains "$scratch/out" 'fd00::100/64 scope global' 'default via fd00::2 dev tap0' 'nameserver fd00::3'
	! grep -E 'fd00::100.*tentative' "$scratch/out" || fail 'the address waits for duplicates'
}

test_ping_needs_no_capability() {
	needs_tun
	same 'range' "0	65536" "$(rootless --net=slirp4netns -- cat /proc/sys/net/ipv4/ping_group_range)"
	same 'as another id, without any' answered "$(rootless --net=slirp4netns -- setpriv --reuid=1000 --regid=1000 \
		--clear-groups --inh-caps=-all --bounding-set=-all "$scratch/lib/ping.py" 10.0.2.2)"
}

# Nothing but what has to have privilege, and the user-mode network itself, is executed.
test_a_network_needs_no_other_program() {
	needs_tun
	local name

	mkdir -p "$scratch/few"
	for name in newuidmap newgidmap slirp4netns; do
		ln -sf "$(type -P "$name")" "$scratch/few/$name"
	done
	as_user env PATH="$scratch/few" "$runbuild" rootless --net=slirp4netns --copy-up=/etc --ipv6 -- \
		"$(type -P cat)" /proc/net/route >"$scratch/out"
	contains "$scratch/out" tap0
}

# start_server: a launcher that publishes port 8081, with a server on 8082 inside.
start_server() {
	: >"$scratch/launcher.out"
	state=$scratch/home/state
	rm -rf "$state"
	exec_as_user runbuild --debug rootless --state-dir="$state" "$@" -- \
		"$scratch/lib/tcp.py" serve 0.0.0.0 8082 inside >"$scratch/launcher.out" 2>"$scratch/launcher.err" &
	launcher=$!
	trap end_server EXIT
	await 20 grep -q ready "$scratch/launcher.out" || fail "$(cat "$scratch/launcher.err")"
}

get_port() {
	"$scratch/lib/tcp.py" get 127.0.0.1 "$1"
}

api() {
	"$scratch/lib/api.py" "$state/api.sock" "$@"
}

test_published_ports_lead_inside_from_the_start() {
	needs_tun
	needs_host
	start_server --net=slirp4netns -p 127.0.0.1:8081:8082/tcp
	has "$(get_port 8081)" inside
	has "$(api GET /v1/ports)" '"parentPort":8081' '"childPort":8082'
}

test_ports_come_and_go_through_the_api() {
	needs_tun
	needs_host
	start_server --net=slirp4netns
	api GET /v1/info >"$scratch/out"
	contains "$scratch/out" '200' "\"childPID\":$(cat "$state/child_pid")" '"driver":"slirp4netns"' '"childIP":"10.0.2.100"' "\"stateDir\":\"$state\""
	same 'no ports' '200 []' "$(api GET /v1/ports)"
	has "$(api POST /v1/ports '{"proto":"tcp","parentIP":"127.0.0.1","parentPort":8083,"childPort":8082}')" '201' '"id":1'
	has "$(get_port 8083)" inside
	has "$(api POST /v1/ports '{"proto":"tcp","parentIP":"127.0.0.1","parentPort":8083,"childPort":8082}')" '500' 'in use' RB0607
	has "$(api POST /v1/ports '{"proto":"udp","parentIP":"127.0.0.1","parentPort":8083,"childPort":8082}')" '201' '"id":2'
	same 'deleted' '200' "$(api DELETE /v1/ports/1)"
	has "$(get_port 8083 || true)" 'refused'
	has "$(api GET /v1/ports)" '"id":2'
}

test_bad_requests_are_answered_and_harm_nothing() {
	needs_tun
	needs_host
	start_server --net=slirp4netns
	has "$(api GET /v2/ports)" '404'
	has "$(api POST /v1/ports 'no json')" '400' message
	has "$(api POST /v1/ports '{"parentPort":1,"childPort":2}')" '400' 'protocol'
	has "$(api POST /v1/ports '{"proto":"tcp","parentPort":99999,"childPort":2}')" '400'
	has "$(api DELETE /v1/ports/9)" '500' 'no published port'
	has "$(api DELETE /v1/ports/x)" '400'
	has "$(api RAW 'nonsense\r\n\r\n')" '400'
	has "$(api RAW 'POST /v1/ports HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n')" '400'
	"$scratch/lib/api.py" "$state/api.sock" HOLD 20
	has "$(api GET /v1/info)" '200'
}

test_a_port_that_cannot_be_published_is_explained() {
	needs_tun
	needs_host
	with_service
	fails_with 125 RB0607 'port 8099/tcp' 'in use' -- rootless --net=slirp4netns -p 127.0.0.1:8099:80/tcp -- true
	fails_with 125 RB0607 'port 80 is privileged' 'ip_unprivileged_port_start=80' -- \
		in_host 'echo 1024 >/proc/sys/net/ipv4/ip_unprivileged_port_start; trap "echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start" EXIT' \
		runbuild rootless --net=slirp4netns -p 80:80/tcp -- true
	printf 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
}

slirp_is_new() {
	local now

	now=$(children_of "$launcher" slirp4netns)
	[[ -n $now && $now != "$1" ]]
}

test_a_slirp4netns_that_dies_is_replaced_with_its_ports() {
	needs_tun
	needs_host
	local old round

	start_server --net=slirp4netns -p 127.0.0.1:8081:8082/tcp
	for round in 1 2; do
		old=$(child_named "$launcher" slirp4netns)
		kill -KILL "$old"
		await 10 slirp_is_new "$old" || fail "round $round: $(cat "$scratch/launcher.err")"
		await 10 eval 'grep -q inside <<<"$(get_port 8081)"' || fail "round $round"
	done
	contains "$scratch/launcher.err" 'slirp4netns has ended with signal 9' 'starting it again'
	kill -0 "$launcher"
}

# Its standard error, to its last word.
test_a_slirp4netns_that_dies_is_quoted() {
	needs_tun
	needs_host

	helper_that "exec 3>&2; echo 'its last words' >&2; exec $(type -P slirp4netns) \"\$@\" 2>/dev/null" slirp4netns
	start_server --net=slirp4netns --slirp4netns-binary="$scratch/home/bin/slirp4netns"
	kill -KILL "$(child_named "$launcher" slirp4netns)"
	await 10 grep -q 'has ended with signal 9, saying: its last words; starting it again' "$scratch/launcher.err" ||
		fail "$(cat "$scratch/launcher.err")"
}

test_the_sandbox_of_slirp4netns_can_be_left_out() {
	needs_tun
	needs_host
	start_launcher --net=slirp4netns --slirp4netns-sandbox=false --slirp4netns-seccomp=false
	contains "/proc/$(child_named "$launcher" slirp4netns)/status" $'Seccomp:\t0'
	stop_launcher
}

test_a_slirp4netns_that_cannot_live_is_given_up() {
	needs_tun
	needs_host
	local old

	start_server --net=slirp4netns
	for _ in 1 2 3 4; do
		await 10 child_exists "$launcher" slirp4netns || fail "$(cat "$scratch/launcher.err")"
		old=$(children_of "$launcher" slirp4netns)
		kill -KILL "$old"
		await 10 eval "! kill -0 $old 2>/dev/null"
	done
	await 10 grep -q 'the network is gone' "$scratch/launcher.err" || fail "$(cat "$scratch/launcher.err")"
	kill -0 "$launcher"
}

needs_pasta() {
	type -P pasta >/dev/null || skip 'pasta is not installed (package passt)'
	needs_tun
	needs_host
	ip link show veth-host >/dev/null 2>&1 || {
		ip link add veth-host type veth peer name veth-peer
		ip addr add 192.0.2.1/24 dev veth-host
		ip link set veth-host up
		ip link set veth-peer up
		ip route add default via 192.0.2.2
	}
}

test_pasta_makes_the_same_network() {
	needs_pasta
	rootless --net=pasta -- sh -c 'ip -brief -4 addr; ip route; cat /etc/resolv.conf' >"$scratch/out"
	contains "$scratch/out" '10.0.2.100/24' 'default via 10.0.2.2 dev tap0' 'nameserver 10.0.2.3'
	with_service
	! rootless --net=pasta -- "$scratch/lib/tcp.py" get 10.0.2.2 8099 >"$scratch/out" || fail "reached: $(cat "$scratch/out")"
}

test_pasta_on_a_host_without_a_route_is_explained() {
	local wrap=(unshare --net --)

	needs_pasta
	needs_host
	fails_with 125 RB0609 'routable interface' "the host's default route" -- rootless --net=pasta -- true
}

test_pasta_serves_real_root_as_well() {
	needs_pasta
	"$runbuild" rootless --net=pasta -- ip route >"$scratch/out" 2>"$scratch/err" || fail "$(cat "$scratch/err")"
	contains "$scratch/out" 'default via 10.0.2.2 dev tap0'
}

test_names_resolve_through_pasta_and_a_resolver_on_the_hosts_loopback() {
	needs_pasta
	names_resolve pasta
}

test_pasta_ends_with_the_launcher_however_that_ends() {
	needs_pasta
	start_launcher --net=pasta
	stop_launcher
	start_launcher --net=pasta
	kill -KILL "$inner"
	nothing_is_left
	start_launcher --net=pasta
	kill -USR1 "$launcher"
	nothing_is_left
}

# Inside, a process waits for what pasta does, which may have died with the launcher.
test_killing_the_launcher_of_a_pasta_at_any_system_call_leaves_nothing() {
	needs_pasta
	as_user deaths sweep parent runbuild rootless --net=pasta --state-dir="$scratch/home/swept" -- \
		sh -c 'setsid sleep 300 & exit' 2>"$scratch/err"
	as_user deaths sweep inner runbuild rootless --net=pasta --state-dir="$scratch/home/swept" -- \
		sh -c 'setsid sleep 300 & exit' 2>"$scratch/err"
}

test_killing_the_launcher_of_a_detached_pasta_at_any_system_call_leaves_nothing() {
	needs_pasta
	as_user deaths sweep parent runbuild rootless --net=pasta --detach-netns --state-dir="$scratch/home/swept" -- \
		sh -c 'setsid sleep 300 & exit' 2>"$scratch/err"
	as_user deaths sweep inner/4 runbuild rootless --net=pasta --detach-netns --state-dir="$scratch/home/swept" -- \
		sh -c 'setsid sleep 300 & exit' 2>"$scratch/err"
}

test_a_pasta_that_fails_is_quoted() {
	needs_tun
	rm -rf "$scratch/home/bin"
	helper_that 'echo no such luck >&2; exit 4' pasta
	fails_with 125 RB0609 'status 4: no such luck' -- as_user_with_helpers "$runbuild" rootless --net=pasta -- true
}

test_pasta_starts_where_a_broken_pipe_is_ignored() {
	needs_pasta
	# pasta of 2023 takes it for an error, and Python, Go and many service managers ignore it
	as_user env --ignore-signal=PIPE runbuild rootless --net=pasta -- ip route >"$scratch/out"
	contains "$scratch/out" 'default via 10.0.2.2 dev tap0'
}

test_ports_of_pasta_are_those_of_the_start() {
	needs_pasta
	start_server --net=pasta -p 127.0.0.1:8081:8082/tcp
	has "$(get_port 8081)" inside
	has "$(api POST /v1/ports '{"proto":"tcp","parentIP":"127.0.0.1","parentPort":8083,"childPort":8082}')" \
		'500' 'cannot publish ports at run time' '--net=slirp4netns'
}

test_a_detached_network_is_carried_by_either_driver() {
	needs_pasta
	local driver

	for driver in slirp4netns pasta; do
		rootless --net=$driver --detach-netns -- sh -c 'nsenter --net="$ROOTLESSKIT_STATE_DIR/netns" ip route' >"$scratch/out"
		contains "$scratch/out" 'default via 10.0.2.2 dev tap0'
	done
}

# The keeper of the namespace may be lost as well: the namespace is not.
# The launcher's child that keeps a detached network.
keeper_of() {
	children_of "$launcher" runbuild | grep -vx "$inner" || :
}

test_a_detached_network_survives_its_processes() {
	needs_tun
	needs_host
	local old keeper

	state=$scratch/home/state
	start_launcher --net=slirp4netns --detach-netns
	for keeper in keep lose; do
		old=$(child_named "$launcher" slirp4netns)
		if [[ $keeper = lose ]]; then
			kill -KILL "$(keeper_of)"
		fi
		kill -KILL "$old"
		await 10 slirp_is_new "$old" || fail "$keeper: $(cat "$scratch/launcher.err")"
		# it answers when the new one is ready
		has "$(api GET /v1/info)" 200 || fail "$keeper: $(cat "$scratch/launcher.err")"
	done
	old=$(keeper_of)
	kill -KILL "$old"
	await 10 eval '[[ $(keeper_of) != "" && $(keeper_of) != "$old" ]]' || fail "$(cat "$scratch/launcher.err")"
	as_user runbuild enter --state-dir="$state" -- sh -c 'nsenter --net="$ROOTLESSKIT_STATE_DIR/netns" ip route' >"$scratch/out"
	contains "$scratch/out" 'default via 10.0.2.2 dev tap0'
	stop_launcher
}
