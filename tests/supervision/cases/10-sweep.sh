# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # set by the suite and its library
#
# The sweeps. Each test prints the table line of its sweep.

# stride FAST: how far apart the points are.
stride() {
	if [[ -n $full ]]; then printf 1; else printf '%s' "$1"; fi
}

# A step as BuildKit starts it that prints a digest of how it is confined, so
# that a protection that got lost in an error cannot pass for the same result.
sweep_bundle() {
	buildkit_bundle "$1"
	# shellcheck disable=SC2016 # for the step's shell
	set_script '{ grep -E "^(NoNewPrivs|Seccomp:|Cap|Groups|Uid|Gid)" /proc/self/status
		cut -d" " -f5-6 /proc/self/mountinfo; umask; ls /proc/self/fd; ulimit -a; hostname
		for f in /proc/kcore /proc/keys; do cat $f 2>&1 | head -c 20; done; } | md5sum
		exit 3'
	capture runtime run --bundle "$bundle" clean
	((status == 3)) || fail "status $status" "$(<"$bundle/err")"
	mark=$(<"$bundle/out")
	[[ $mark == *-* ]] || fail "no digest: $mark"
}

# sweep_run OPTION…: `run` of $bundle. Every other point goes without the
# `delete --force`: the next run of the id must do.
sweep_run() {
	local rb="'$runbuild' --root '$state_root'" report=$bundle/report

	"$sweep" --expect 3 --mark "$mark" --state "$state_root" --below "$scratch" \
		--after "test \$((POINT % 2)) = 1 || $rb delete --force swept; \
			$rb run --bundle '$bundle' swept; test \$? = 3 && $rb delete --force swept" \
		"$@" -- "$runbuild" --root "$state_root" run --bundle "$bundle" swept >"$report" || {
		cat "$report"
		return 1
	}
	printf '# %s: %s\n' "$*" "$(tail -n 1 "$report")"
}

# The processes that run makes, in order: the step; in mode userns newuidmap and
# newgidmap; the monitor.
monitor_child() {
	if [[ $mode == userns ]]; then printf 4; else printf 2; fi
}

test_killing_run_at_every_call_leaves_nothing() {
	sweep_bundle killrun
	sweep_run --step "$(stride 5)"
}

test_killing_the_executor_at_every_call_is_one_error() {
	sweep_bundle killexec
	sweep_run --child 1 --step "$(stride 11)"
}

test_killing_the_monitor_changes_nothing() {
	sweep_bundle killmon
	sweep_run --child "$(monitor_child)" --every --last 11 --survives
}

test_killing_an_id_map_helper_is_one_error() {
	[[ $mode == userns ]] || skip 'no id map is written in this mode'
	sweep_bundle killmap
	sweep_run --child 2
	sweep_run --child 3
}

test_an_error_in_any_call_of_run_is_told_truly() {
	local i

	sweep_bundle failrun
	for i in "${!errnos[@]}"; do
		sweep_run --errno "${errnos[i]}" --first $((i + 1)) --step "$(stride 17)"
	done
}

test_an_error_in_any_call_of_the_executor_is_told_truly() {
	local i

	sweep_bundle failexec
	for i in "${!errnos[@]}"; do
		sweep_run --child 1 --errno "${errnos[i]}" --first $((i + 1)) --step "$(stride 37)"
	done
}

test_an_error_in_any_call_of_the_monitor_changes_nothing() {
	local i

	sweep_bundle failmon
	for i in "${!errnos[@]}"; do
		sweep_run --child "$(monitor_child)" --errno "${errnos[i]}" --step "$(stride 3)" \
			--every --last 11 --survives
	done
}

test_killing_run_ends_a_step_that_clings() {
	sweep_bundle cling
	install -m 0755 "$tools/clinger" "$bundle/rootfs/bin/clinger"
	edit_config '.process.args = ["/bin/clinger"]'
	"$sweep" --when started --last "$(if [[ -n $full ]]; then printf 200; else printf 15; fi)" \
		--state "$state_root" --below "$scratch" \
		-- "$runbuild" --root "$state_root" run --bundle "$bundle" clings >"$bundle/report" ||
		fail "$(<"$bundle/report")"
	sed 's/^/# /' "$bundle/report"
}

# Half of the points lie beyond the last call: those runs end by themselves.
test_many_runs_killed_at_random_leave_the_machine_as_it_was() {
	sweep_bundle random
	sweep_run --random "$(if [[ -n $full ]]; then printf 500; else printf 60; fi)" --last 400
}

# The other verbs. What they leave running belongs to us; the check repairs.

# sweep_verb LABEL BEFORE AFTER COMMAND…: kills and errors at every call.
sweep_verb() {
	local label=$1 before=$2 after=$3 fate fates=(kill ENOMEM EMFILE) how report=$bundle/report

	shift 3
	[[ -z $full ]] || fates=(kill "${errnos[@]}")
	for fate in "${fates[@]}"; do
		how=()
		[[ $fate == kill ]] || how=(--errno "$fate")
		"$sweep" --before "$before" --after "$after" --owned --state "$state_root" --below "$scratch" \
			"${how[@]}" --step "$(stride 13)" "${sweep_options[@]}" -- "$runbuild" --root "$state_root" "$@" >"$report" || {
			cat "$report"
			return 1
		}
		printf '# %s, %s: %s\n' "$label" "$fate" "$(tail -n 1 "$report")"
	done
}

verb_bundle() {
	buildkit_bundle "$1"
	set_script "${2:-sleep 100}"
	rb="'$runbuild' --root '$state_root'"
	out="$bundle/verb.out"
	sweep_options=()
}

test_create_disturbed_at_any_call_can_be_deleted() {
	verb_bundle vcreate
	sweep_verb create : "$rb delete --force v" create --bundle "$bundle" v
}

test_start_disturbed_at_any_call_can_be_deleted() {
	verb_bundle vstart
	sweep_verb start "$rb create --bundle '$bundle' v >$out 2>&1" "$rb delete --force v" start v
}

test_delete_disturbed_at_any_call_can_be_repeated() {
	verb_bundle vdelete
	sweep_verb delete "$rb create --bundle '$bundle' v >$out 2>&1" \
		"$rb delete --force v && ! $rb state v" delete v
}

test_delete_force_disturbed_at_any_call_can_be_repeated() {
	verb_bundle vforce
	sweep_verb 'delete --force' "$rb create --bundle '$bundle' v >$out 2>&1 && $rb start v" \
		"$rb delete --force v && ! $rb state v" delete --force v
}

test_kill_disturbed_at_any_call_can_be_repeated() {
	verb_bundle vkill
	sweep_verb kill "$rb create --bundle '$bundle' v >$out 2>&1 && $rb start v" \
		"$rb kill v KILL || $rb state v | grep -q stopped; $rb delete --force v" kill v KILL
}

test_exec_disturbed_at_any_call_leaves_the_container_alone() {
	verb_bundle vexec
	runtime create --bundle "$bundle" v >"$out" 2>&1 && runtime start v
	capture runtime exec v /bin/true
	runtime delete --force v
	((status == 0)) || skip "exec does not work in this mode: $(tail -n 1 "$bundle/err")"
	sweep_options=(--expect 3 --mark started --error 255 --lost 255)
	sweep_verb exec "$rb create --bundle '$bundle' v >$out 2>&1 && $rb start v" \
		"$rb exec v /bin/true && test \$($rb exec v /bin/ps | grep -c 'sle[e]p 77') = 0 && \
			$rb delete --force v" \
		exec v /bin/sh -c 'echo started; exit 3'
	# a killed exec takes its process along
	sweep_options=(--when started --last 5 --timeout 5000)
	"$sweep" "${sweep_options[@]}" --owned --state "$state_root" \
		--before "$rb create --bundle '$bundle' v >$out 2>&1 && $rb start v" \
		--after "for i in 1 2 3 4 5 6 7 8 9 10; do
			test \$($rb exec v /bin/ps | grep -c 'sle[e]p 77') = 0 && break; done; \
			test \$i -lt 10 && $rb delete --force v" \
		-- "$runbuild" --root "$state_root" exec v /bin/sh -c 'echo started; exec sleep 77'
}

test_killing_run_in_a_cgroup_leaves_no_cgroup() {
	local group=/runbuild-suite-$$

	[[ $mode == root ]] || skip 'only root may make a cgroup here'
	buildkit_bundle cg
	set_script 'echo started; exit 3'
	# shellcheck disable=SC2016 # jq's variable
	edit_config --arg path "$group" '.linux.cgroupsPath = $path'
	capture runtime run --bundle "$bundle" clean
	((status == 3)) || skip "a container of root's own does not run here: $(tail -n 1 "$bundle/err")"
	mark=started
	"$sweep" --expect 3 --mark started --state "$state_root" --below "$scratch" --step "$(stride 7)" \
		--after "test -z \"\$(find /sys/fs/cgroup -maxdepth 3 -name '${group#/}')\" && \
			'$runbuild' --root '$state_root' delete --force swept" \
		-- "$runbuild" --root "$state_root" run --bundle "$bundle" swept >"$bundle/report" || {
		cat "$bundle/report"
		find /sys/fs/cgroup -maxdepth 3 -name "${group#/}" -exec rmdir {} +
		return 1
	}
	printf '# %s\n' "$(tail -n 1 "$bundle/report")"
}

test_delete_finds_the_cgroup_of_a_create_that_was_killed() {
	local group=/runbuild-suite-$$-create

	[[ $mode == root ]] || skip 'only root may make a cgroup here'
	verb_bundle cgcreate
	# shellcheck disable=SC2016 # jq's variable
	edit_config --arg path "$group" '.linux.cgroupsPath = $path'
	capture runtime create --bundle "$bundle" v
	((status == 0)) || skip "a container of root's own does not run here: $(tail -n 1 "$bundle/err")"
	runtime delete --force v
	"$sweep" --owned --state "$state_root" --below "$scratch" --step "$(stride 13)" \
		--after "$rb delete --force v && test -z \"\$(find /sys/fs/cgroup -maxdepth 3 -name '${group#/}')\"" \
		-- "$runbuild" --root "$state_root" create --bundle "$bundle" v >"$bundle/report" || {
		cat "$bundle/report"
		find /sys/fs/cgroup -maxdepth 3 -name "${group#/}" -exec rmdir {} +
		return 1
	}
	printf '# %s\n' "$(tail -n 1 "$bundle/report")"
}
