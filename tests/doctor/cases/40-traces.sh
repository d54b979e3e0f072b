# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2154 # inner shells; the suite sets
#
# Nothing is left, however a trial ends; and where the launcher points here.

# alone SCRIPT: runs it as root, as the first process of a pid namespace, with
# report "left", which prints what is left of others, for its end.
alone() {
	export -f cover exec_as_user alone_left
	export user scratch runbuild
	unshare --pid --fork --kill-child --mount --propagation private bash -euc \
		"mount -t proc proc /proc; wrap=(); $1; alone_left"
}

# Every process but this shell, then files, mounts and interfaces.
alone_left() {
	local pid

	for pid in /proc/[0-9]*; do
		pid=${pid#/proc/}
		[[ $pid == "$$" ]] || printf 'process %s: %s\n' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
	done
	find "$scratch/home" -name '.runbuild*'
	find "$scratch/home/store" -mindepth 1
	grep -E 'doctor|fuse-overlayfs' /proc/self/mountinfo || true
	find /sys/fs/cgroup -name 'runbuild-doctor*' 2>/dev/null || true
	grep -o 'tap[0-9]*' /proc/net/dev || true
}

test_nothing_is_left_behind() {
	needs_host
	same 'left' '' "$(alone '(exec_as_user runbuild doctor "$scratch/home/store") >/dev/null')"
	same 'left by root' '' "$(alone '"$runbuild" doctor "$scratch/home/store" >/dev/null')"
	same 'left on an overlay' '' "$(alone "$on_overlay"'(exec_as_user runbuild doctor "$scratch/o/m") >/dev/null
		find "$scratch/o/m" "$scratch/o/u" -name ".runbuild*"')"
	rm -rf "$scratch/o"
}

test_what_hangs_is_ended_and_named() {
	needs_host
	without_helpers
	helper_that 'test "$1" != --version || exit 0; sleep 1000 & sleep 1000' slirp4netns
	same 'left' '' "$(alone '(exec_as_user env PATH="$scratch/home/bin:/usr/bin:/usr/sbin" "$runbuild" doctor --format json "$scratch/home/store") >"$scratch/report"')"
	without_helpers
	finds slirp4netns warning RB0254 '15 s'
	only_these slirp4netns step-net
}

hang='cp "$(command -v sleep)" "$scratch/sleep"; mkdir -p "$scratch/hang"; printf "#!/bin/sh\nexec $scratch/sleep 1000\n" >"$scratch/home/bin/slirp4netns"; chmod 0755 "$scratch/home/bin/slirp4netns"; '

# ends_by SIGNAL: the doctor, while a helper hangs.
ends_by() {
	alone "$hang"'
		(exec_as_user env PATH="$scratch/home/bin:/usr/bin:/usr/sbin" "$runbuild" doctor "$scratch/home/store") >/dev/null 2>&1 &
		doctor=$!
		until grep -qsx sleep /proc/[0-9]*/comm; do read -r -t 0.02 <> <(:) || true; done
		kill -'"$1"' $doctor; wait $doctor && status=0 || status=$?; echo "status $status"'
}

test_a_signal_ends_it_at_once_and_nothing_is_left() {
	needs_host
	local began=$SECONDS

	same 'TERM' 'status 143' "$(ends_by TERM)"
	same 'HUP' 'status 129' "$(ends_by HUP)"
	((SECONDS - began < 14)) || fail 'it waited for the deadline'
	without_helpers
}

test_no_process_survives_its_sigkill() {
	needs_host
	local left

	left=$(alone "$hang"'
		(exec_as_user env PATH="$scratch/home/bin:/usr/bin:/usr/sbin" "$runbuild" doctor "$scratch/home/store") >/dev/null 2>&1 &
		doctor=$!
		until grep -qsx sleep /proc/[0-9]*/comm; do read -r -t 0.02 <> <(:) || true; done
		kill -KILL $doctor; wait $doctor || true
		for i in {1..250}; do grep -qsxE "sleep|runbuild" /proc/[0-9]*/comm || break; read -r -t 0.02 <> <(:) || true; done')
	without_helpers
	! grep process <<<"$left" || fail 'survivors'
	rm -rf "$scratch"/home/store/.runbuild-doctor*
}

test_a_launcher_that_fails_because_of_the_host_points_here() {
	needs_host
	local status=0

	printf 'other:100000:65536\n' >"$scratch/subuid"
	in_host "$hide_program hide_program newuidmap" runbuild rootless -- true 2>"$scratch/err" || status=$?
	same 'exit status' 125 "$status"
	same 'hints' 1 "$(grep -c "hint: 'runbuild doctor'" "$scratch/err")"
	same 'last line' "$(tail -n 1 "$scratch/err")" "$(grep hint "$scratch/err")"
}

test_other_errors_do_not() {
	as_user runbuild rootless --mtu=1 -- true 2>"$scratch/err" || true
	as_user runbuild rootless --state-dir=/proc/none -- true 2>>"$scratch/err" || true
	as_user runbuild rootless -- /none 2>>"$scratch/err" || true
	as_user runbuild run --bundle /none x 2>>"$scratch/err" || true
	same 'errors' 4 "$(grep -c error: "$scratch/err")"
	! grep hint "$scratch/err" || fail 'a hint that does not help'
}

test_what_a_killed_doctor_left_is_removed_by_the_next() {
	local store=$scratch/home/store holder

	as_user mkdir -p "$store/.runbuild-doctor.1.0/w/work" "$store/.runbuild-doctor.2.0"
	as_user chmod 0 "$store/.runbuild-doctor.1.0/w/work"
	exec {holder}<"$store/.runbuild-doctor.2.0"
	flock --nonblock "$holder"
	as_user runbuild doctor "$store" >/dev/null || true
	same 'one that is in use' "$store/.runbuild-doctor.2.0" "$(find "$store" -name '.runbuild-doctor*')"
	exec {holder}<&-
	as_user runbuild doctor "$store" >/dev/null || true
	same 'none in use' '' "$(find "$store" -name '.runbuild-doctor*')"
}
