# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2016 # scratch: set by the suite; scripts of steps
#
# Networks of steps under a daemon that is not in the host's network either, or
# is while its own is detached; and what such a daemon gives steps without them.

test_steps_of_a_daemon_in_slirp4netns_have_networks() {
	pool_size=1
	start_daemon runbuild rootless --net=slirp4netns --copy-up=/etc --step-net=slirp4netns --
	own_network
	closed_to_raw_frames
	resolves_through_the_host
	nothing_left
}

test_steps_of_a_daemon_with_a_detached_network_have_networks() {
	# shellcheck disable=SC2034 # for nothing_left
	pool_size=1
	start_daemon runbuild rootless --net=slirp4netns --detach-netns --step-net=slirp4netns --
	own_network
	closed_to_raw_frames
	resolves_through_the_host
	nothing_left
}

# The daemon's own listeners and other steps are in reach, the host is not.
test_steps_in_the_network_of_a_daemon_do_not_reach_the_host() {
	local service

	start_daemon runbuild rootless --net=slirp4netns --copy-up=/etc --
	build "$look"
	for service in '127.0.0.1 9001' '198.51.100.5 9003' '@stepnet'; do
		does_not_reach "$service"
	done
	reaches '@daemon'
	reaches 'the daemon'
	closed_to_raw_frames
}

test_steps_in_the_network_of_rootlesskits_daemon_reach_it_by_raw_frames() {
	type -P rootlesskit >/dev/null || skip 'rootlesskit is not installed'
	start_daemon rootlesskit --net=slirp4netns --copy-up=/etc --disable-host-loopback
	build 'echo "raw: $(raw 127.0.0.1 9001) $(raw 198.51.100.5 9003)"'
	log_has 'raw: reached reached'
}

for name in steps_of_a_daemon_in_slirp4netns_have_networks steps_of_a_daemon_with_a_detached_network_have_networks \
	steps_in_the_network_of_a_daemon_do_not_reach_the_host \
	steps_in_the_network_of_rootlesskits_daemon_reach_it_by_raw_frames; do
	run_test "$name"
done
