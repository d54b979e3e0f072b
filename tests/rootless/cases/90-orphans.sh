# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # the suite reads and sets
#
# A parent that dies before its child has asked for its death signal: each child
# of the launcher that does so (../supervision/orphan.c holds it meanwhile).

# orphans LEAST COMMAND…: the parent dies at each request for a death signal, of which there are
# that many at least.
orphans() {
	local least=$1 report=$scratch/orphans wrap=() points

	shift
	needs_host # root: calls are held without taking the rights of setuid helpers
	needs_tun
	[[ -x $scratch/bin/orphan ]] || cc -std=gnu11 -D_GNU_SOURCE -O1 -Wall -pthread \
		-o "$scratch/bin/orphan" "$here"/../supervision/{orphan,leftovers}.c || fail 'cannot build orphan.c'
	wrap=("$scratch/bin/orphan" --)
	as_user "$@" >"$report" 2>"$report.err" || fail "$(<"$report")" "$(tail -n 5 "$report.err")"
	points=$(sed -n 's/^points \([0-9]*\),.*/\1/p' "$report")
	((points >= least)) || fail "$points requests for a death signal, not $least"
	printf '# %s\n' "$(tail -n 1 "$report")"
}

# newuidmap, newgidmap, slirp4netns, and runbuild-netlink before it
test_the_launchers_helpers_go_with_a_parent_that_died_first() {
	clear_folders
	orphans 4 runbuild rootless --net=slirp4netns -- true
	clear_folders
}

test_the_keeper_of_a_detached_network_goes_with_a_parent_that_died_first() {
	clear_folders
	orphans 5 runbuild rootless --net=slirp4netns --detach-netns -- true
	clear_folders
}

test_the_port_forwarder_goes_with_a_parent_that_died_first() {
	clear_folders
	orphans 6 runbuild rootless --net=slirp4netns --port-driver=builtin -p 127.0.0.1:18080:80/tcp -- true
	clear_folders
}

# the pool comes to ask while the command runs, which waits for the first network
test_the_pool_of_networks_goes_with_a_parent_that_died_first() {
	clear_folders
	orphans 3 runbuild rootless --net=host --step-net=slirp4netns --step-net-pool=1 -- \
		runbuild step --rootfs / --net=slirp4netns -- true
	clear_folders
}

test_the_command_of_enter_goes_with_an_enter_that_died_first() {
	needs_host
	needs_tun
	start_launcher --net=slirp4netns
	orphans 1 runbuild enter --state-dir="$state" -- true
	stop_launcher
}
