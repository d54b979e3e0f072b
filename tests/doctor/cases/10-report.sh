# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2154 # inner shells; the suite sets
#
# A host that is set up, and the form of the report.

test_a_host_that_is_set_up_has_no_problem() {
	needs_host
	examine as_user "${doctor[@]}" "$scratch/home/store"
	only_these ''
	exits_with 0
}

test_json_has_the_same_members_for_every_finding() {
	examine as_user "${doctor[@]}" "$scratch/home/store"
	jq -e 'all(keys == ["code", "fix", "name", "status", "what"])' "$scratch/report" >/dev/null || fail 'members'
	jq -e 'all(.status | IN("ok", "info", "warning", "error"))' "$scratch/report" >/dev/null || fail 'status'
	jq -e 'all(.code == null or (.code | test("^RB[0-9]{4}$")))' "$scratch/report" >/dev/null || fail 'code'
	jq -e 'all(.what | length > 0)' "$scratch/report" >/dev/null || fail 'what'
	jq -e '[.[] | select(.status | IN("warning", "error"))] | all(.code != null and .fix != null)' \
		"$scratch/report" >/dev/null || fail 'a problem without code or remedy'
	jq -e '[.[] | select(.status == "ok")] | all(.code == null and .fix == null)' "$scratch/report" >/dev/null ||
		fail 'a remedy without a problem'
	same 'names that are given twice' '' "$(jq -r '.[].name' "$scratch/report" | sort | uniq -d)"
}

test_text_has_a_mark_cause_and_remedy() {
	needs_host
	local status=0 line

	in_host ': >"$scratch/empty"; cover "$scratch/empty" /etc/subgid' runbuild doctor "$scratch/home/store" \
		>"$scratch/text" || status=$?
	same 'exit status' 1 "$status"
	line=$(grep -A2 subgid "$scratch/text" | head -n 3)
	[[ $line == '✗ subgid'*'[RB0203]'*'why: '*'fix: sudo usermod'* ]] || fail "$line"
	contains "$scratch/text" '✓ subuid' '1 error: rootless builds do not work here yet'
}

test_text_is_ascii_outside_of_utf8_locales() {
	local locale

	for locale in C POSIX no_SUCH; do
		as_user env LC_ALL="$locale" runbuild doctor "$scratch/home/store" >"$scratch/text" || true
		! LC_ALL=C grep -n '[^ -~]' "$scratch/text" || fail "locale $locale"
		contains "$scratch/text" '+ kernel'
	done
}

test_arguments_are_checked() {
	local status words

	for words in '--format=xml' '--no-such-option' 'a b'; do
		status=0
		# shellcheck disable=SC2086 # words
		as_user runbuild doctor $words >"$scratch/text" 2>"$scratch/err" || status=$?
		((status != 0)) || fail "accepted: $words"
		contains "$scratch/err" RB0001
		! grep -q kernel "$scratch/text" || fail 'it was carried out'
	done
}

test_every_code_is_explained() {
	local code

	needs_host
	examine_host ': >"$scratch/empty"; cover "$scratch/empty" /etc/subuid'
	for code in $(jq -r '.[].code // empty' "$scratch/report"); do
		"$runbuild" explain "$code" >/dev/null || fail "$code"
	done
}

test_root_of_the_host_needs_no_ids_and_no_helpers() {
	needs_host
	examine env -i PATH=/nowhere "$runbuild" doctor --format json "$scratch"
	finds newuidmap ok - 'not needed'
	finds id-maps ok - directly
	finds login ok - root
	only_these ''
	exits_with 0
}

test_root_inside_the_launcher_is_well() {
	examine as_user runbuild rootless -- runbuild doctor --format json "$scratch/home/store"
	finds subuid ok - '65537 ids'
	finds overlay ok -
	exits_with 0
	examine as_user runbuild rootless --net=slirp4netns -- runbuild rootless -- runbuild doctor --format json "$scratch/home/store"
	exits_with 0
}

test_a_namespace_with_a_single_id_is_said_to_be_small() {
	examine as_user unshare --user --map-root-user --mount "$runbuild" doctor --format json "$scratch/home/store"
	finds subuid warning RB0218 'only 1 ids' 'surrounding container'
	finds login ok -
	exits_with 0
}

test_the_directory_is_found_by_the_environment() {
	as_user env XDG_DATA_HOME="$scratch/home/data/not/there" runbuild doctor --format json >"$scratch/report"
	finds overlay ok - "in $scratch/home"
	as_user runbuild doctor --format json >"$scratch/report"
	finds overlay ok - "in $scratch/home"
	same 'directories made' '' "$(as_user find "$scratch/home" -name '.local' -o -name data)"
	(cd "$scratch/home" && as_user runbuild doctor --format json store) >"$scratch/report"
	finds overlay ok - 'in store'
}

test_a_delegated_cgroup_is_found() {
	local group groups=() controller

	needs_host
	for controller in cpu memory pids; do
		group=/sys/fs/cgroup/$controller/runbuild-test.$$
		mkdir "$group" 2>/dev/null || skip "no cgroup can be made in $controller"
		groups+=("$group")
		chown "$user:" "$group" "$group/cgroup.procs"
	done
	status=0
	(
		for group in "${groups[@]}"; do
			echo $BASHPID >"$group/cgroup.procs"
		done
		exec_as_user "${doctor[@]}" "$scratch/home/store"
	) >"$scratch/report" || status=$?
	rmdir "${groups[@]}"
	finds cgroup ok - 'cpu memory pids'
	exits_with 0
}
