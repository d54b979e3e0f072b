# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# How the network is configured: with how many messages, and what is said when
# the kernel refuses one. Where no option leads to a refusal, a program in the
# place of runbuild-netlink asks for something else than it was told to.

# netlink_that SCRIPT: sets launcher_of, a runbuild whose runbuild-netlink is SCRIPT; in there
# $netlink is the real one.
netlink_that() {
	mkdir -p "$scratch/other"
	ln -f "$scratch/bin/runbuild" "$scratch/other/runbuild"
	printf '#!/bin/sh\nnetlink=%s\n%s\n' "$scratch/bin/runbuild-netlink" "$1" >"$scratch/other/runbuild-netlink"
	chmod 0755 "$scratch/other" "$scratch/other/runbuild-netlink"
	launcher_of=("$scratch/other/runbuild")
}

# sent: the messages of the calls that the last launcher has made, one call a line.
sent() {
	grep -o 'RTM_[A-Z]*\|^send' "$scratch/home/netlink.strace" | tr '\n' ' ' | sed 's/send/\n&/g' | sed '/^$/d; s/ *$//'
	echo
}

test_a_network_is_configured_by_one_message_to_the_kernel() {
	needs_tun
	type -P strace >/dev/null || skip 'strace is not installed'
	local link='RTM_NEWLINK RTM_NEWLINK RTM_NEWADDR RTM_NEWROUTE' trace='exec strace -A -qq -e trace=sendto,sendmsg,sendmmsg \
		-e signal=none -o '"$scratch/home/netlink.strace"' -- "$netlink" "$@"'

	netlink_that "$trace"
	rm -f "$scratch/home/netlink.strace"
	as_user "${launcher_of[@]}" rootless --net=slirp4netns -- true
	same 'IPv4' "send $link" "$(sent)"
	rm -f "$scratch/home/netlink.strace"
	as_user "${launcher_of[@]}" rootless --net=slirp4netns --ipv6 -- true
	same 'IPv4 and IPv6' "send $link RTM_NEWADDR RTM_NEWROUTE" "$(sent)"
	rm -f "$scratch/home/netlink.strace"
	as_user "${launcher_of[@]}" rootless --net=none -- true
	same 'loopback' 'send RTM_NEWLINK' "$(sent)"
}

# refused_with TEXT REQUEST: as an error of the launcher, with the kernel's words.
refused_with() {
	netlink_that "exec \"\$netlink\" $2"
	fails_with 125 RB0606 "network: cannot $1" -- as_user "${launcher_of[@]}" rootless --net=slirp4netns -- true
}

test_the_kernels_words_are_in_the_error() {
	needs_tun
	refused_with 'set the default route: Nexthop has invalid gateway: Network is unreachable' \
		'link "$2" "$3" "$4" "$5" 192.0.2.1 "$7"'
	refused_with 'bring the tap up: mtu greater than device maximum: Invalid argument' \
		'link "$2" 99999 "$4" "$5" "$6" "$7"'
	# without words of the kernel those of the error number
	refused_with 'bring the tap up: No such device' 'link none "$3" "$4" "$5" "$6" "$7"'
	netlink_that '"$netlink" "$@" >/dev/null; exec "$netlink" "$@"'
	fails_with 125 RB0606 'cannot set the address: ipv4: Address already assigned: File exists' -- \
		as_user "${launcher_of[@]}" rootless --net=slirp4netns -- true
}

test_a_netlink_program_that_says_nothing_is_explained() {
	needs_tun
	netlink_that 'exit 3'
	fails_with 125 RB0610 'ended without an answer' -- as_user "${launcher_of[@]}" rootless --net=slirp4netns -- true
}
