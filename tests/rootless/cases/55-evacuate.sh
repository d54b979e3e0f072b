# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2154 # inner shells; set by the suite
#
# --evacuate-cgroup2 on a host whose only cgroup tree is a delegated cgroup2: a
# cgroup of our own is the root of a cgroup namespace, with a tree in place of
# the machine's.

cgroup2_mount() {
	local path

	for path in /sys/fs/cgroup/unified /sys/fs/cgroup; do
		[[ -e $path/cgroup.procs && -e $path/cgroup.controllers ]] || continue
		printf '%s' "$path"
		return
	done
	return 1
}

# delegated COMMAND…: as the user, in $group, or in $leaf of it.
delegated() {
	(
		printf '%s' "$BASHPID" >"$group/${leaf:-}/cgroup.procs"
		export -f exec_as_user
		export user scratch
		exec unshare --cgroup --mount --propagation private bash -euc \
			'mount -t cgroup2 cgroup2 /sys/fs/cgroup; wrap=(); exec_as_user "$@"' delegated "$@"
	)
}

make_group() {
	local mount

	needs_host
	mount=$(cgroup2_mount) || skip 'no cgroup2 is mounted'
	group=$mount/runbuild-test-$$
	mkdir "$group"
	trap remove_group EXIT
	chown -R "${1:-$user}:" "$group"
}

# The kernel needs a moment for the last process.
remove_group() {
	await 5 eval 'find "$group" -depth -type d -exec rmdir {} + 2>/dev/null'
}

test_the_cgroup_is_free_for_the_command() {
	make_group
	delegated runbuild rootless --pidns --cgroupns --evacuate-cgroup2=init -- sh -ec '
		cat /proc/self/cgroup
		cd /sys/fs/cgroup
		echo "inside: $(wc -l <cgroup.procs)"
		echo "leaf: $(($(wc -l <init/cgroup.procs) > 0))"
		[ "$(cat cgroup.controllers)" = "$(cat cgroup.subtree_control)" ] && echo "all are enabled"
		mkdir mine
		echo $$ >mine/cgroup.procs
		cat /proc/self/cgroup
		echo 0 >init/cgroup.procs
		rmdir mine' >"$scratch/out" 2>"$scratch/err" || fail "$(cat "$scratch/out" "$scratch/err")"
	same 'output' $'0::/init\ninside: 0\nleaf: 1\nall are enabled\n0::/mine' "$(grep -v '^[1-9]' "$scratch/out")"
	same 'errors' '' "$(cat "$scratch/err")"
	same 'our cgroup' init "$(find "$group" -mindepth 1 -type d -printf '%f\n')"
}

# Whoever was in the cgroup is in the leaf now, and starts another launcher from there.
test_the_leaf_can_be_evacuated_in_turn() {
	local leaf

	make_group
	for leaf in '' init; do
		same "cgroup ${leaf:-at first}" 0::/init "$(delegated runbuild rootless --pidns --cgroupns --evacuate-cgroup2=init -- \
			grep '^0:' /proc/self/cgroup)"
	done
}

test_a_cgroup_that_is_not_delegated_is_explained() {
	make_group root
	fails_with 125 RB0314 '--evacuate-cgroup2: cannot make the cgroup' 'Delegate=yes' -- \
		delegated runbuild rootless --pidns --cgroupns --evacuate-cgroup2=init -- true
}
