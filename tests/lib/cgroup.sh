# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A private cgroup v2 tree that belongs to an ordinary user, as a delegated one on a
# pure v2 host: a group of its own that is the root of a cgroup namespace. Root's part.

# Where this host has cgroup v2, if root may write there.
cgroup2_tree() {
	local tree=/sys/fs/cgroup

	[[ $(stat -f -c %T $tree) == cgroup2fs ]] || tree=/sys/fs/cgroup/unified
	[[ -w $tree/cgroup.procs ]] && printf '%s' "$tree"
}

# in_private_cgroup NAME USER COMMAND...: in new cgroup, mount and pid namespaces; the
# group NAME is made for USER and removed afterwards.
in_private_cgroup() {
	local status=0 group

	group=$(cgroup2_tree)/$1
	mkdir "$group"
	chown -R "$2" "$group"
	shift 2
	(
		echo "$BASHPID" >"$group/cgroup.procs"
		# shellcheck disable=SC2016 # for the inner shell
		exec unshare --cgroup --mount --pid --fork --kill-child --propagation private bash -c '
			mount -t proc proc /proc && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"' x "$@"
	) || status=$?
	find "$group" -depth -type d -exec rmdir {} \;
	return "$status"
}
