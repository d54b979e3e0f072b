# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # scratch, user, wrap, host_is_ours: set by the suite
#
# A host of its own for the programs under test: files and devices in private
# namespaces in place of the machine's, and commands as an ordinary user there.
# The suite re-executes itself under "unshare --mount --net" when it is root.

# cover FILE TARGET: FILE in place of TARGET, in this mount namespace.
cover() {
	mount --bind "$1" "$2"
}

needs_host() {
	[[ -n $host_is_ours ]] || skip 'needs root, to change the host that the program sees'
}

# as_user COMMAND…: as the ordinary user, with a clean environment and home.
# The words of the array wrap go in front, still as root.
as_user() {
	(exec_as_user "$@")
}

# The same in place of this shell: "exec_as_user COMMAND… &" makes $! the command.
exec_as_user() {
	local become=()

	((EUID != 0)) || become=(setpriv --reuid="$(id -u "$user")" --regid="$(id -g "$user")"
		--init-groups --inh-caps=-all --)
	exec "${wrap[@]}" "${become[@]}" env -i HOME="$scratch/home" USER="$user" LC_ALL=C.UTF-8 \
		XDG_RUNTIME_DIR="$scratch/home/run" TMPDIR="$scratch/home/tmp" \
		PATH="$scratch/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "$@"
}

# in_host SCRIPT COMMAND…: as_user COMMAND on a host that SCRIPT (run as root in
# a mount namespace of its own, with "cover" at hand) has changed.
in_host() {
	local script=$1

	shift
	(
		set -- "$@"
		export -f cover exec_as_user
		export user scratch
		unshare --mount --propagation private bash -euc "wrap=(); $script"$'\n''exec_as_user "$@"' in_host "$@"
	)
}

# join_neighbour PID LINK OURS THEIRS: the network namespace of that process is another machine
# behind LINK, until either goes.
join_neighbour() {
	local link=$2

	ip link add "$link" type veth peer name "$link-peer" netns "$1"
	ip addr add "$3" dev "$link"
	ip link set "$link" up
	nsenter --net="/proc/$1/ns/net" ip addr add "$4" dev "$link-peer"
	nsenter --net="/proc/$1/ns/net" ip link set "$link-peer" up
}
