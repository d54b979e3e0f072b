# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2016 # set by the suite; jq's variables
#
# Kernels without a call, and filters around us that forbid one: a clear refusal
# with the right cause, or no difference. There is no weaker way around openat2.

kernel_bundle() {
	[[ -x $tools/seccomp-run ]] || skip 'the sources of seccomp-run are not beside the tests'
	buildkit_bundle "$1"
	# below a filter of an ordinary user no setuid helper works: one id needs none
	[[ $mode != userns ]] || edit_config --argjson uid "$EUID" --argjson gid "$(id -g)" \
		'.linux.uidMappings = [{containerID: 0, hostID: $uid, size: 1}]
		| .linux.gidMappings = [{containerID: 0, hostID: $gid, size: 1}]
		| .process.user = {uid: 0, gid: 0} | .mounts |= map(.options |= map(select(. != "gid=5")))'
	set_script 'exit 3'
	capture timeout 30 "$runbuild" --root "$state_root" run --bundle "$bundle" hostile
	((status == 3)) || fail "undisturbed: status $status: $(<"$bundle/err")"
}

# without RULES CODE TEXT: `run` below seccomp-run RULES is refused so.
without() {
	local line

	capture timeout 30 "$tools/seccomp-run" "$1" -- "$runbuild" --root "$state_root" run --bundle "$bundle" hostile
	line=$(<"$bundle/err")
	# shellcheck disable=SC2053 # a pattern
	[[ $status == 1 && $line == 'runbuild: error: '*\[RB$2] && $line == *"$3"* && $line == *'; fix: '* &&
		$line != *$'\n'* ]] || fail "$1: status $status: $line" || return 1
	state_is_empty
}

test_a_missing_call_is_named_as_the_kernels() {
	local call

	kernel_bundle missing
	for call in openat2 close_range move_mount mount_setattr open_tree fsopen fsmount fsconfig statx; do
		without "$call=ENOSYS" 0300 'Linux 5.12 or newer'
	done
	# what docker's own profile answers without CAP_SYS_ADMIN
	without clone3=ENOSYS 0215 seccomp
}

test_a_forbidden_call_is_blamed_on_the_filter() {
	local call

	kernel_bundle forbidden
	# fsopen and the others: not the masks of the outer /proc, for which a new one may be refused too
	for call in openat2 close_range move_mount mount_setattr open_tree pivot_root fsopen fsmount fsconfig; do
		without "$call=EPERM" '03[0-9][0-9]' 'seccomp profile around this process'
	done
	without clone3=EPERM 0215 'seccomp profile around this process'
}

test_calls_that_can_be_done_without_are() {
	local call

	kernel_bundle optional
	for call in pidfd_open=ENOSYS pidfd_open=EPERM keyctl=EPERM keyctl=ENOSYS keyctl=EDQUOT inotify_init1=EMFILE \
		setpgid=EPERM memfd_secret=ENOSYS; do
		capture timeout 30 "$tools/seccomp-run" "$call" -- "$runbuild" --root "$state_root" run --bundle "$bundle" hostile
		((status == 3)) || fail "$call: status $status: $(<"$bundle/err")"
		state_is_empty
	done
}

test_without_pidfd_open_nothing_is_signalled_by_number() {
	kernel_bundle nopidfd
	set_script 'sleep 100'
	runtime create --bundle "$bundle" p >"$bundle/out" 2>&1
	capture timeout 30 "$tools/seccomp-run" pidfd_open=ENOSYS -- "$runbuild" --root "$state_root" kill p KILL
	refused 1 RB0300 'Function not implemented'
	capture timeout 30 "$tools/seccomp-run" pidfd_open=ENOSYS -- "$runbuild" --root "$state_root" delete --force p
	refused 1 RB0300
	[[ -d $state_root/p ]] || fail 'the state of a living container was removed'
	runtime delete --force p
	state_is_empty
}

# Without the new calls for mounts a launcher uses the old one.
test_a_launcher_has_its_proc_without_fsopen() {
	local rules

	[[ $mode == user ]] || skip 'needs to be root of a user namespace'
	[[ -x $tools/seccomp-run ]] || skip 'the sources of seccomp-run are not beside the tests'
	for rules in fsopen=EPERM fsopen=ENOSYS move_mount=EPERM; do
		capture timeout 30 "$tools/seccomp-run" "$rules" -- "$runbuild" rootless --state-dir "$scratch/inner" -- \
			sh -c 'readlink /proc/self/ns/pid; tr "\0" " " </proc/1/cmdline'
		((status == 0)) || fail "$rules: status $status: $(<"$bundle/err")"
		[[ $(head -n 1 "$bundle/out") != "$(readlink /proc/self/ns/pid)" ]] || fail "$rules: no pid namespace"
		contains "$bundle/out" "$runbuild"
	done
}
