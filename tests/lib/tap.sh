# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# TAP output, small assertions, and waiting with a deadline. A test is a
# function test_NAME; it runs in a subshell under set -e and fails by leaving
# with a status other than 0. Lines "# …" that a passing test prints are shown.

readonly skip_status=77
readonly unrelated_status=78
tap_count=0
tap_failed=0
last_status=0

# A pipe nobody writes to: read -t on it waits without a process.
exec {nap_fd}<> <(:)

nap() {
	read -r -t 0.02 -u "$nap_fd" || true
}

microseconds() {
	local now=$EPOCHREALTIME
	printf '%s' "${now/[.,]/}"
}

# await SECONDS COMMAND…: polls until COMMAND succeeds; fails at the deadline.
await() {
	local deadline=$(($(microseconds) + $1 * 1000000))

	shift
	until "$@"; do
		(($(microseconds) < deadline)) || return 1
		nap
	done
}

skip() {
	printf '%s\n' "$1"
	exit "$skip_status"
}

# The test is about another way to run the suite, which has a run of its own: it
# is not counted here.
unrelated() {
	exit "$unrelated_status"
}

fail() {
	printf '%s\n' "$@"
	return 1
}

# same WHAT EXPECTED ACTUAL: compares two texts and shows the difference.
same() {
	[[ $2 != "$3" ]] || return 0
	printf '%s differs (- expected, + actual):\n' "$1"
	diff -u <(printf '%s\n' "$2") <(printf '%s\n' "$3") | tail -n +3 || true
	return 1
}

# contains FILE TEXT…: each TEXT stands somewhere in FILE.
contains() {
	local file=$1 text

	shift
	for text in "$@"; do
		grep -qF -e "$text" "$file" || fail "not found in $file: $text" || return 1
	done
}

report_test() {
	local status=$1 name=$2 output=$3

	((status != unrelated_status)) || return 0
	tap_count=$((tap_count + 1))
	case $status in
	0)
		printf 'ok %d - %s\n' "$tap_count" "$name"
		grep '^# ' "$output" || true
		;;
	"$skip_status")
		printf 'ok %d - %s # SKIP %s\n' "$tap_count" "$name" "$(tail -n 1 "$output")"
		;;
	*)
		tap_failed=$((tap_failed + 1))
		printf 'not ok %d - %s\n' "$tap_count" "$name"
		tail -n 80 "$output" | sed 's/^/# /'
		;;
	esac
}

# What a program of an earlier test said must not count for the next one.
# shellcheck disable=SC2154 # scratch: set by the suite
forget_output() {
	local file

	for file in "$scratch"/{out,err} "$scratch"/*.{out,err}; do
		[[ ! -f $file ]] || rm -f "$file"
	done
}

# A suite whose tests share a daemon says what has to be put right between two of them, whether the
# first has failed or not. What goes wrong here is the next test's to find.
after_test() {
	:
}

# run_test NAME: runs test_NAME unless --only leaves it out; sets last_status.
# Never call it in a condition: set -e would then mean nothing inside.
# shellcheck disable=SC2154 # only, scratch: set by the suite
run_test() {
	local name=$1 output=$scratch/tests/$1.out began

	last_status=0
	# shellcheck disable=SC2053 # --only is a pattern
	[[ -z $only || $name == $only ]] || return 0
	mkdir -p "$scratch/tests"
	forget_output
	began=$(microseconds)
	set +e
	(
		set -e
		"test_$name"
	) >"$output" 2>&1 </dev/null
	last_status=$?
	(after_test) >>"$output" 2>&1 </dev/null
	set -e
	report_test "$last_status" "$name" "$output"
	printf '%d ms %s\n' $((($(microseconds) - began) / 1000)) "$name" >>"$scratch/times"
}

# run_tests_in FILE: every test_ function that FILE defines, in the file's order.
run_tests_in() {
	local name

	# shellcheck disable=SC2013 # names are words
	for name in $(sed -nE 's/^test_([a-z0-9_]+)\(\).*/\1/p' "$1"); do
		run_test "$name"
	done
}

# The same for a file that has to be read first.
run_tests_of() {
	# shellcheck source=/dev/null
	source "$1"
	run_tests_in "$1"
}

finish_tap() {
	printf '1..%d\n' "$tap_count"
	((tap_failed == 0))
}
