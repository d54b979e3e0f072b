# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2154 # set by the suite and its library
#
# A parent that dies before its child has asked for its death signal (orphan.c).

# orphans POINTS COMMAND…: at each request for a death signal, of which there are that many at least.
orphans() {
	local least=$1 report=$bundle/orphans points

	shift
	[[ $mode != userns ]] || skip 'an ordinary user cannot hold calls and keep setuid helpers'
	"$tools/orphan" -- "$@" >"$report" 2>"$report.err" || fail "$(<"$report")" "$(tail -n 5 "$report.err")"
	points=$(sed -n 's/^points \([0-9]*\),.*/\1/p' "$report")
	((points >= least)) || fail "$points requests for a death signal, not $least"
	printf '# %s\n' "$(tail -n 1 "$report")"
}

test_a_hook_and_a_step_go_with_a_parent_that_died_first() {
	buildkit_bundle orphans
	set_script 'exit 0'
	edit_config '.hooks.createRuntime = [{path: "/bin/true"}] | .hooks.poststart = [{path: "/bin/true"}]'
	orphans 5 "$runbuild" --root "$state_root" run --bundle "$bundle" orphaned
	runtime delete --force orphaned
	state_is_empty
}

test_the_process_of_an_id_map_goes_with_a_parent_that_died_first() {
	buildkit_bundle orphanmap
	set_script 'exit 0'
	mkdir "$bundle/source"
	edit_config --arg source "$bundle/source" '.mounts += [{destination: "/mapped", type: "bind",
		source: $source, options: ["bind"], uidMappings: [{containerID: 0, hostID: 5, size: 1}],
		gidMappings: [{containerID: 0, hostID: 5, size: 1}]}]'
	capture runtime run --bundle "$bundle" orphanmap
	((status == 0)) || skip "no id-mapped mounts here: $(tail -n 1 "$bundle/err")"
	orphans 1 "$runbuild" --root "$state_root" run --bundle "$bundle" orphaned
	runtime delete --force orphaned
	state_is_empty
}

test_the_probes_of_doctor_go_with_a_doctor_that_died_first() {
	buildkit_bundle orphandoctor
	capture "$runbuild" doctor
	((status <= 1)) || fail "status $status" "$(tail -n 3 "$bundle/err")"
	orphans 10 /bin/sh -c "'$runbuild' doctor || test \$? = 1"
}
