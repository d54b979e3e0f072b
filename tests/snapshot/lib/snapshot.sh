# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # scratch, runbuild, driver, state_root: set by the suite
#
# Directories of a snapshot, and steps on them.

# new_snapshot NAME: an empty pair of directories in $upper and $work, a lower
# one in $lower that the test fills; $dir is around them.
new_snapshot() {
	dir=$scratch/s/$1
	upper=$dir/upper work=$dir/work lower=$dir/lower
	mkdir -p "$upper" "$work" "$lower"
}

# upper_on_an_overlay NAME: $upper and $work where the kernel's overlay cannot
# have them; "umount -l $stacked" ends it.
upper_on_an_overlay() {
	stacked=$scratch/mounts/$1
	mkdir -p "$dir/l" "$dir/u" "$dir/w" "$stacked"
	mount -t overlay -o "userxattr,lowerdir=$dir/l,upperdir=$dir/u,workdir=$dir/w" overlay "$stacked"
	upper=$stacked/upper work=$stacked/work
	mkdir "$upper" "$work"
}

# step [OPTION…] -- COMMAND…: a step on $lower above the base, with $upper.
step() {
	"${step_command[@]}" --lower "$lower" --lower "$scratch/base" --upper "$upper" --work "$work" "$@"
}

# What every step begins with.
step_command=("$runbuild" --root "$state_root" step --quiet --snapshot "$driver")

# in_step TEXT: the shell runs TEXT in the step; see capture of bundle.sh.
in_step() {
	bundle=$dir
	capture step -- sh -c "$1"
}

# Processes of this namespace by name.
processes_named() {
	local stat

	for stat in /proc/[0-9]*/stat; do
		{ read -r line <"$stat"; } 2>/dev/null || continue
		[[ $line != *"($1)"* || $line == *"($1) Z "* ]] || printf '%s\n' "${line%% *}"
	done
}

no_process_named() {
	[[ -z $(processes_named "$1") ]]
}

a_process_named() {
	[[ -n $(processes_named "$1") ]]
}

# Of the daemon only a name of 15 bytes is known: fuse-overlayfs.
no_daemon() {
	no_process_named fuse-overlayfs
}

no_snapshot_mounts() {
	! grep -qE ' - (overlay|fuse\.fuse-overlayfs) ' /proc/self/mountinfo
}

test_nothing_is_left() {
	await 5 no_daemon || fail "daemons: $(processes_named fuse-overlayfs)"
	await 5 no_process_named runbuild-guard || fail "guards: $(processes_named runbuild-guard)"
	await 5 no_snapshot_mounts || fail "$(grep -E ' - (overlay|fuse)' /proc/self/mountinfo)"
	same 'private directories' '' "$(find "$state_root" -name '@run-*')"
}

# start_step TEXT: the shell runs TEXT in a step in the background: $step_pid. The
# step is up once it has made the file /up.
start_step() {
	# exec: the process to kill is runbuild, not a shell around it
	(exec "${step_command[@]}" --lower "$lower" --lower "$scratch/base" --upper "$upper" --work "$work" \
		-- sh -c "touch /up; $1" >"$dir/out" 2>"$dir/err") &
	step_pid=$!
	await 20 test -e "$upper/up" || fail 'the step does not start' "$(cat "$dir/err")"
}

end_of_step() {
	status=0
	wait "$step_pid" || status=$?
}
