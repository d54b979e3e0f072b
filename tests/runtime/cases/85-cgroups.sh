# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # variables of the suite; single quotes hold the container's scripts
#
# Cgroups: joined where they can be; where not, one warning and never a failed step.

groups_of_suite() {
	find /sys/fs/cgroup -mindepth 1 -type d -name "*$suite_id*" 2>/dev/null
}

test_cgroup_is_joined_and_removed() {
	need_mode root
	[[ -w /sys/fs/cgroup ]] || skip 'no writable cgroup file system'
	new_bundle cgroup
	edit_config --arg path "/$suite_id/step" '.linux.cgroupsPath = $path | .linux.namespaces |= map(select(.type != "cgroup"))'
	set_script 'cat /proc/self/cgroup'
	run_container cgroup
	ran_well
	grep -q "/$suite_id/step" "$bundle/out" || fail "$(<"$bundle/out")"
	same 'the group is gone' '' "$(find /sys/fs/cgroup -type d -path "*$suite_id/step" 2>/dev/null)"
	find /sys/fs/cgroup -mindepth 1 -depth -type d -name "$suite_id" -exec rmdir {} +
}

test_keep_leaves_the_cgroup_until_delete() {
	need_mode root
	new_bundle cgroupkeep
	edit_config --arg path "/$suite_id-keep" '.linux.cgroupsPath = $path'
	run_container cgroupkeep --keep
	ran_well
	[[ -n $(groups_of_suite) ]] || fail 'the group is gone before delete'
	runtime delete cgroupkeep
	same 'groups after delete' '' "$(groups_of_suite)"
}

test_cgroup_namespace_hides_the_path() {
	need_mode root
	new_bundle cgroupns
	edit_config --arg path "/$suite_id-ns" '.linux.cgroupsPath = $path'
	set_script "! grep -q $suite_id /proc/self/cgroup && echo hidden"
	run_container cgroupns
	output_is hidden
	same 'groups' '' "$(groups_of_suite)"
}

test_cgroup_that_cannot_be_joined_is_one_warning() {
	need_mode user userns
	new_bundle nocgroup
	edit_config --arg path "/$suite_id/step" '.linux.cgroupsPath = $path'
	set_script 'echo ran'
	run_container nocgroup
	output_is ran
	same 'warnings' 1 "$(grep -c level=warning "$bundle/log")"
	contains "$bundle/log" cgroup
	new_bundle nocgroup2
	edit_config --arg path "/$suite_id/step" '.linux.cgroupsPath = $path'
	set_script 'exit 3'
	capture "$runbuild" --root "$state_root" run --bundle "$bundle" nocgroup2
	same 'the status' 3 "$status"
	same 'warnings without --log' 1 "$(grep -c level=warning "$bundle/err")"
}

test_cgroup_manager_disabled_joins_none() {
	new_bundle cgdisabled
	edit_config --arg path "/$suite_id-disabled" '.linux.cgroupsPath = $path'
	capture runtime --cgroup-manager disabled run --bundle "$bundle" cgdisabled
	output_is ''
	same 'groups' '' "$(groups_of_suite)"
}

test_limits_that_nobody_can_apply_do_not_fail_a_rootless_step() {
	need_mode user userns
	new_bundle nolimits
	edit_config --arg path "/$suite_id/step" '.linux.cgroupsPath = $path
		| .linux.resources = {devices: [{allow: false, access: "rwm"}], memory: {limit: 67108864}, pids: {limit: 100}, cpu: {shares: 512}}'
	set_script 'echo ran'
	run_container nolimits
	output_is ran
}

# Nobody asked for a limit, so it does without; the record of it could not be written.
test_group_that_an_ordinary_user_may_not_join_is_none() {
	local group home

	need_mode root
	group=$(cgroup2_tree)/$suite_id-theirs || skip 'no cgroup v2 that root may write to'
	new_bundle nojoin
	home=$(mktemp -d "$scratch/nojoin.XXXXXX")
	chown "$user" "$home"
	chmod o+x "$scratch" "$scratch/bundles" "$bundle"
	mkdir "$group"
	capture runuser -u "$user" -- env TMPDIR="$home" "$runbuild" rootless --net=host sh -c '
		"$1" --root "$2" create --bundle "$3" "$4" </dev/null && "$1" --root "$2" state "$4" && "$1" --root "$2" delete --force "$4"
		ls "$2"' x "$runbuild" "$home/state" "$bundle" "$suite_id-theirs"
	rmdir "$group"
	same 'the status' 0 "$status" || fail "$(<"$bundle/err")"
	grep -q '"status": "created"' "$bundle/out" || fail "$(<"$bundle/err")"
	same 'left' '}' "$(tail -n 1 "$bundle/out")"
}

test_state_of_a_frozen_container_is_paused() {
	local freezer=/sys/fs/cgroup/freezer

	need_mode root
	[[ -d $freezer ]] || skip 'no v1 freezer on this host'
	grep -qw pause <<<"$("$runbuild" --help)" || skip 'this build has no pause'
	new_bundle frozen
	edit_config --arg path "/$suite_id-frozen" '.linux.cgroupsPath = $path | .process.args = ["/bin/sleep", "600"]'
	start_detached frozen
	echo FROZEN >"$freezer/$suite_id-frozen/freezer.state"
	await 10 status_is frozen paused || fail "status $(status_of frozen)"
	capture runtime exec frozen /bin/true
	echo THAWED >"$freezer/$suite_id-frozen/freezer.state"
	refused 255 'cannot exec in a paused container (use --ignore-paused to override)'
	remove frozen
	same 'groups' '' "$(groups_of_suite)"
}
