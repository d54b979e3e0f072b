# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# The launcher inside a container or inside itself.

test_root_of_a_container_maps_its_ids_directly() {
	needs_host
	# a helper here would be an error: there is none in this PATH
	same 'map' '0 0 4294967295' "$(env -i PATH=/nowhere "$runbuild" rootless -- /bin/cat /proc/self/uid_map | tr -s ' ' | sed 's/^ //')"
}

test_nested_launchers_write_one_line_per_range_of_the_outer_map() {
	rootless -- runbuild rootless -- cat /proc/self/uid_map | tr -s ' ' | sed 's/^ //' >"$scratch/out"
	same 'map' '0 0 1
1 1 65536' "$(cat "$scratch/out")"
	rootless -- runbuild rootless -- runbuild rootless -- sh -c 'id -u; stat -c %u "$HOME"; chown 65536:65536 "$(mktemp)"' >"$scratch/out"
	same 'three deep' '0 0' "$(tr '\n' ' ' <"$scratch/out" | sed 's/ $//')"
}

test_nested_launchers_have_networks_of_their_own() {
	needs_tun
	local both='runbuild rootless --net=slirp4netns -- runbuild rootless --net=slirp4netns --'

	needs_host
	with_resolver
	# shellcheck disable=SC2086 # words
	as_user $both sh -c 'ip route; getent ahostsv4 some.example.test' >"$scratch/out" 2>"$scratch/err" || fail "$(cat "$scratch/err")"
	contains "$scratch/out" 'default via 10.0.3.2 dev tap0' 192.0.2.7
	same 'lines' 1 "$(grep -c '' "$scratch/err")"
	contains "$scratch/err" 'the network is 10.0.3.0/24' 'through tap0' RB0615
}

test_a_masked_proc_costs_the_pid_namespace_and_nothing_else() {
	local status=0

	rootless -- sh -c 'mount -t tmpfs tmpfs /proc/fs && exec runbuild rootless -- sh -c "
		kill -0 1 && readlink /proc/self/ns/pid; exit 9"' >"$scratch/out" 2>"$scratch/err" || status=$?
	same 'status' 9 "$status"
	contains "$scratch/err" 'a new /proc is refused'
	same 'warnings' 1 "$(grep -c '' "$scratch/err")"
}

test_nothing_is_left_without_a_pid_namespace() {
	local who

	rootless -- sh -c 'mount -t tmpfs tmpfs /proc/fs && exec "$@"' sh \
		deaths watch runbuild rootless -- sh -c 'setsid sleep 1000 & setsid setsid sleep 1000 & exit 0' 2>/dev/null
	for who in parent inner command; do
		rootless -- sh -c 'mount -t tmpfs tmpfs /proc/fs && exec "$@"' sh \
			deaths sweep "$who" runbuild rootless -- sh -c 'setsid sleep 300 & exit' 2>"$scratch/err"
	done
}
