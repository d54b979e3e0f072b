# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# dockerd as the distribution's own dockerd-rootless.sh starts it, with this
# launcher under the name rootlesskit: the published ports of its containers.
# The machine is the host, its network namespace has the ports. dockerd's bridge
# is inside the launcher's network, and for each port it runs
# rootlesskit-docker-proxy, which asks for it at the launcher's api.sock.

# shellcheck source=docker.sh
source "$scratch/suite/cases/docker.sh"

readonly script=/usr/share/docker.io/contrib/dockerd-rootless.sh

start_client() {
	[[ $as == user ]] || skip_everything 'dockerd-rootless.sh is for ordinary users'
	[[ ${runtime##*/} == runbuild ]] || skip_everything 'the launcher under test is runbuild'
	[[ -f $script ]] || skip_everything "no $script (package docker.io)"
	needs_program docker dockerd containerd slirp4netns rootlesskit-docker-proxy docker-proxy python3
	as_caller test -w /dev/net/tun || skip_everything '/dev/net/tun cannot be opened'
	ip link add bridged type bridge 2>/dev/null || skip_everything 'this kernel has no bridges'
	ip link del bridged
	ln -s "$runtime" "$scratch/bin/rootlesskit"
	prepare_store
	# an address of the host that is not its loopback
	ip link add outer type veth peer name outer-peer
	ip addr add 198.51.100.5/24 dev outer
	ip link set outer up
	ip link set outer-peer up
	start_dockerd builtin
	import_base
}

# start_dockerd PORT-DRIVER
start_dockerd() {
	client_environment+=(DOCKERD_ROOTLESS_ROOTLESSKIT_PORT_DRIVER="$1"
		DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS="--state-dir=$home/launcher")
	daemon_network=slirp4netns
	exec_as_caller "$script" "${dockerd_options[@]}" >"$store/log" 2>&1 &
	daemon=$!
	# for who comes after a test, which is a subshell
	printf '%d' "$daemon" >"$store/daemon"
}

# web NAME OPTION…: a container whose port 80 answers its name.
web() {
	docker run -d --name "$@" base sh -c 'mkdir -p /www && hostname >/www/index.html && exec httpd -f -p 80 -h /www' >/dev/null
}

# get ADDRESS PORT: what a client of the host is answered.
get() {
	timeout 5 "$BASH" -c 'exec 5<>"/dev/tcp/$0/$1" && printf "GET / HTTP/1.0\r\n\r\n" >&5 && cat <&5' "$@" 2>&1
}

answered() {
	[[ $(get "$1" "$2") == *"$3"* ]]
}

# The launcher's list, as text.
published() {
	# the caller's directory may be below the /tmp that is hidden here, and python3 a script that enters it
	(cd / && "$scratch/suite/lib/api.py" "$home/launcher/api.sock" GET /v1/ports)
}

refused() {
	[[ $(get "$1" "$2") == *refused* ]]
}

test_a_published_port_leads_to_the_container() {
	web one --hostname here-one -p 8081:80
	await 10 answered 127.0.0.1 8081 here-one || fail "$(get 127.0.0.1 8081)" "$(tail -n 5 "$store/log")"
	await 10 answered 198.51.100.5 8081 here-one || fail "$(get 198.51.100.5 8081)"
	await 10 answered ::1 8081 here-one || fail "$(get ::1 8081)"
	same 'docker port' $'80/tcp -> 0.0.0.0:8081\n80/tcp -> :::8081' "$(docker port one)"
	published >"$scratch/out"
	contains "$scratch/out" '"proto":"tcp4","parentIP":"0.0.0.0","parentPort":8081,"childIP":"127.0.0.1","childPort":8081' \
		'"proto":"tcp6","parentIP":"::","parentPort":8081,"childIP":"::1","childPort":8081'
	gone one
	await 10 refused 127.0.0.1 8081 || fail "$(get 127.0.0.1 8081)"
	same 'published' '200 []' "$(published)"
}

test_a_port_of_one_address_is_of_that_alone() {
	web one --hostname here-one -p 127.0.0.1:8081:80
	await 10 answered 127.0.0.1 8081 here-one || fail "$(get 127.0.0.1 8081)"
	refused 198.51.100.5 8081 || fail "$(get 198.51.100.5 8081)"
	gone one
}

test_a_port_is_chosen_when_none_was_given() {
	local port

	web one --hostname here-one -p 127.0.0.1::80
	port=$(docker port one 80/tcp)
	await 10 answered 127.0.0.1 "${port##*:}" here-one || fail "$port: $(get 127.0.0.1 "${port##*:}")"
	gone one
}

test_containers_have_ports_of_their_own_and_give_them_back() {
	web one --hostname here-one -p 8081:80
	web two --hostname here-two -p 8082:80
	await 10 answered 127.0.0.1 8081 here-one
	await 10 answered 127.0.0.1 8082 here-two
	docker restart --time 1 one >/dev/null
	await 10 answered 127.0.0.1 8081 here-one || fail "$(get 127.0.0.1 8081)"
	gone one
	web three --hostname here-three -p 8081:80
	await 10 answered 127.0.0.1 8081 here-three || fail "$(get 127.0.0.1 8081)"
	gone two three
}

test_a_port_of_the_host_that_is_taken_is_explained() {
	web one -p 8081:80
	exits 125 docker run --rm -p 8081:80 base true
	# dockerd knows its own; the host's it is told by the launcher
	contains "$scratch/err" 'port is already allocated'
	gone one
	exec_as_caller python3 -m http.server --bind 127.0.0.1 8083 >/dev/null 2>&1 &
	taken=$!
	trap 'kill "$taken"' EXIT
	await 10 eval 'ss -Hltn "sport = :8083" | grep -q 8083'
	exits 125 docker run --rm -p 127.0.0.1:8083:80 base true
	contains "$scratch/err" 'cannot publish port 8083/tcp4' 'in use' RB0607
}

test_a_privileged_port_is_explained() {
	printf 1024 >/proc/sys/net/ipv4/ip_unprivileged_port_start
	exits 125 docker run --rm -p 127.0.0.1:80:80 base true
	contains "$scratch/err" 'port 80 is privileged' 'net.ipv4.ip_unprivileged_port_start=80' RB0607
}

# read, a byte at a time, would lose the rest of the datagram
ask_udp() {
	timeout 2 "$BASH" -c 'exec 5<>"/dev/udp/$0/$1" && echo question >&5 && head -n 1 <&5' "$@" 2>&1
}

udp_answers() {
	[[ $(ask_udp "$1" "$2") == 'to question' ]]
}

test_udp() {
	# the image's busybox knows no UDP
	docker run -d --name one -p 8053:53/udp -v /usr:/usr:ro -v /lib:/lib:ro -v /lib64:/lib64:ro base /usr/bin/python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 53))
while True:
    data, client = s.recvfrom(999)
    s.sendto(b"to " + data, client)' >/dev/null
	await 20 udp_answers 127.0.0.1 8053 || fail "$(ask_udp 127.0.0.1 8053)" "$(docker logs one 2>&1)"
	await 20 udp_answers 198.51.100.5 8053 || fail "$(ask_udp 198.51.100.5 8053)"
	gone one
}

test_containers_reach_the_host_no_more_than_the_launcher_lets_them() {
	busybox nc -ll -p 9001 -e echo SERVICE &
	taken=$!
	trap 'kill "$taken"' EXIT
	await 10 answered 127.0.0.1 9001 SERVICE
	docker run --rm base sh -c 'for h in 127.0.0.1 10.0.2.2 172.17.0.1; do nc -w 1 $h 9001 </dev/null; done; true' >"$scratch/out" 2>&1
	! grep -q SERVICE "$scratch/out" || fail "$(<"$scratch/out")"
}

# The script has a setting for it; IPv4 alone, and the guest's address in place of 127.0.0.1.
test_ports_by_slirp4netns() {
	stop_client
	start_dockerd slirp4netns
	await 60 answers || fail "$(tail -n 5 "$store/log")"
	web one --hostname here-one -p 8081:80
	await 10 answered 127.0.0.1 8081 here-one || fail "$(get 127.0.0.1 8081)" "$(tail -n 5 "$store/log")"
	await 10 answered 198.51.100.5 8081 here-one || fail "$(get 198.51.100.5 8081)"
	published >"$scratch/out"
	contains "$scratch/out" '"proto":"tcp4","parentIP":"0.0.0.0","parentPort":8081,"childIP":"10.0.2.100","childPort":8081'
	gone one
	await 10 refused 127.0.0.1 8081 || fail "$(get 127.0.0.1 8081)"
}
