# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2154 # inner shells; set by the suite
#
# Running the doctor, and what it must have found.

doctor=(runbuild doctor --format json)

# examine COMMAND…: runs it; its report is in $scratch/report, $status its status.
examine() {
	status=0
	"$@" >"$scratch/report" 2>"$scratch/err" || status=$?
	same 'standard error' '' "$(<"$scratch/err")"
	jq -e 'length > 20' "$scratch/report" >/dev/null || fail "no report: $(<"$scratch/report")"
}

examine_host() {
	local script=$1

	shift
	needs_host
	examine in_host "$script" "${doctor[@]}" "$scratch/home/store" "$@"
}

# finding NAME: "status code", as the report has them.
finding() {
	jq -r --arg name "$1" '.[] | select(.name == $name) | .status + " " + (.code // "-")' "$scratch/report"
}

# finds NAME STATUS CODE TEXT…: each TEXT in the sentence or in the remedy.
finds() {
	local name=$1 expected="$2 $3" text words

	shift 3
	words=$(jq -r --arg name "$name" '.[] | select(.name == $name) | .what, .fix' "$scratch/report")
	[[ $(finding "$name") == "$expected" ]] ||
		fail "$name: expected $expected, found $(finding "$name"): $words" || return 1
	for text in "$@"; do
		[[ $words == *"$text"* ]] || fail "$name: not said: $text" "$words" || return 1
	done
}

# only_these NAME…: every other finding is ok, but for what the machine decides.
only_these() {
	local expected

	expected=$(printf '%s\n' "$@" | sort)
	same 'findings that are not ok' "$expected" "$(jq -r '.[] | select(.status != "ok") | .name' "$scratch/report" |
		grep -vxE 'cgroup|pasta|selinux|apparmor' | sort)"
}

exits_with() {
	same 'exit status' "$1" "$status"
	same 'errors agree with the exit status' "$1" \
		"$(jq 'if any(.status == "error") then 1 else 0 end' "$scratch/report")"
}

# helper_that SCRIPT NAME: a program NAME that comes first in $helper_path.
helper_that() {
	as_user sh -c 'printf "#!/bin/sh\n%s\n" "$1" >"$HOME/bin/$2" && chmod 0755 "$HOME/bin/$2"' sh "$1" "$2"
}

without_helpers() {
	rm -f "$scratch"/home/bin/*
}

with_helpers() {
	as_user env PATH="$scratch/home/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" "$runbuild" doctor \
		--format json "$scratch/home/store"
}
