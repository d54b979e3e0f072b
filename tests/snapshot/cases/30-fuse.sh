# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # set by the suite and by capture; read there
#
# fuse-overlayfs that is missing, dies, hangs or lies. A program takes its place
# by a mount in the namespace of the suite.

# impostor TEXT: from now on, in this test, fuse-overlayfs is a shell script.
impostor() {
	local program

	program=$(type -P fuse-overlayfs)
	printf '#!/bin/sh\n%s\n' "$1" >"$dir/impostor"
	chmod 0755 "$dir/impostor"
	mount --bind "$dir/impostor" "$program"
	# shellcheck disable=SC2064 # now
	trap "umount -l '$program'" EXIT
}

test_a_daemon_that_fails_says_why() {
	new_snapshot fails
	impostor 'echo "no such thing" >&2; exit 1'
	in_step true
	refused 125 'fuse-overlayfs ended before it served anything: no such thing' '[RB0706]'
}

test_a_daemon_that_leaves_without_a_word_is_an_error() {
	new_snapshot leaves
	impostor 'exit 0'
	in_step true
	refused 125 'fuse-overlayfs ended before it served anything' '[RB0706]'
}

# The kernel takes the mount away while it hands the daemon a request: seldom, and on busy machines.
test_a_daemon_that_was_aborted_with_the_mount_is_no_error() {
	new_snapshot aborted
	cp "$(command -v fuse-overlayfs)" "$dir/real"
	impostor "'$dir/real' \"\$@\"; echo 'fuse: reading device: Software caused connection abort' >&2; exit 1"
	in_step 'echo fine'
	output_is fine
}

test_a_program_that_cannot_be_executed_is_an_error() {
	new_snapshot noexec
	impostor 'exit 0'
	printf 'neither a script nor a program' >"$dir/impostor"
	in_step true
	refused 125 'fuse-overlayfs ended before it served anything' '[RB0706]'
}

test_a_missing_program_is_named() {
	new_snapshot noprogram
	impostor 'exit 0'
	chmod 0644 "$dir/impostor"
	in_step true
	refused 125 'fuse-overlayfs is not installed' 'install the package fuse-overlayfs' '[RB0705]'
}

test_a_missing_device_is_named() {
	new_snapshot nodevice
	: >"$dir/plain"
	mount --bind "$dir/plain" /dev/fuse
	trap 'umount -l /dev/fuse' EXIT
	in_step true
	refused 125 'cannot mount fuse' '[RB0705]'
}

test_a_daemon_killed_in_mid_step_ends_the_step() {
	new_snapshot dies
	start_step 'sleep 1000'
	kill -KILL "$(processes_named fuse-overlayfs)"
	end_of_step
	same 'the status' 125 "$status"
	contains "$dir/err" "the snapshot's daemon fuse-overlayfs was killed by signal 9 (KILL) while the step ran" '[RB0706]'
	await 5 no_process_named sleep || fail 'the step lives'
}

test_a_daemon_that_was_asked_to_leave_ends_the_step() {
	new_snapshot leaves_early
	start_step 'sleep 1000'
	kill -TERM "$(processes_named fuse-overlayfs)"
	end_of_step
	same 'the status' 125 "$status"
	contains "$dir/err" "the snapshot's daemon fuse-overlayfs" 'while the step ran' '[RB0706]'
	await 5 no_process_named sleep || fail 'the step lives'
}

test_a_daemon_of_a_container_killed_in_mid_run_is_told() {
	overlay_bundle dies_oci 'touch /mnt/up; exec sleep 1000'
	start_container dies
	kill -KILL "$(processes_named fuse-overlayfs)"
	end_of_step
	((status != 0)) || fail 'the container went well'
	contains "$dir/err" "daemon fuse-overlayfs was killed by signal 9 (KILL)" '[RB0706]'
	await 5 no_process_named sleep || fail 'the container lives'
}

test_a_daemon_that_never_serves_is_given_up() {
	new_snapshot hangs
	impostor 'exec sleep 1000'
	in_step true
	refused 125 'fuse-overlayfs' '[RB0706]'
	await 5 no_process_named sleep || fail 'the program lives'
}

test_throw_away_steps_work() {
	new_snapshot throw_away
	bundle=$dir
	capture step --volatile -- sh -c 'echo 1 >/f; sync; cat /f'
	output_is 1
}

test_a_stopped_daemon_does_not_outlive_its_step() {
	new_snapshot stops
	start_step 'sleep 1000'
	kill -STOP "$(processes_named fuse-overlayfs)"
	kill -INT "$step_pid"
	kill -TERM "$step_pid"
	end_of_step
	await 5 no_daemon || fail 'the daemon lives'
}

test_unlinking_a_name_of_252_bytes_is_explained() {
	local name

	new_snapshot longname
	name=$(printf 'n%.0s' {1..252})
	: >"$lower/$name"
	in_step "rm /n*"
	if ((status == 0)); then
		printf '# this fuse-overlayfs survives names of 252 bytes\n'
		return
	fi
	refused 125 "the snapshot's daemon fuse-overlayfs" '[RB0706]'
}

test_versions_that_mount_by_themselves_work() {
	new_snapshot path
	mkdir "$lower/d"
	echo old >"$lower/d/f"
	bundle=$dir
	capture "$runbuild" --root "$state_root" step --quiet --snapshot fuse-path --lower "$lower" --lower "$scratch/base" \
		--upper "$upper" --work "$work" -- sh -c 'cat /d/f; rm -r /d; mkdir /d; ls -A /d; echo x >/n'
	output_is old
	same 'the upper file' x "$(<"$upper/n")"
	await 5 no_daemon || fail 'the daemon lives'
	await 5 no_snapshot_mounts || fail 'a mount is left'
}

# Where native cannot be, so that the choice falls on fuse.
test_a_version_without_dev_fd_is_driven_by_path() {
	new_snapshot no_dev_fd
	upper_on_an_overlay no_dev_fd
	cp "$(type -P fuse-overlayfs)" "$dir/real"
	impostor "case \"\$*\" in */dev/fd/*) echo 'no mount point' >&2; exit 1 ;; esac; exec '$dir/real' \"\$@\""
	auto_step 'echo x >/f'
	same 'the status' 0 "$status" || fail "$(cat "$dir/err")"
	same 'the driver' fuse-path "$(chosen_driver)"
	same 'the upper file' x "$(<"$upper/f")"
	await 5 no_process_named real || fail 'the daemon lives'
	umount -l "$stacked"
}

test_a_file_kept_open_does_not_hold_the_daemon() {
	new_snapshot open
	in_step 'exec 3>/kept; (sleep 1000 >&3 2>/dev/null </dev/null &) ; echo done'
	output_is 'done'
	await 5 no_daemon || fail 'the daemon lives'
}

test_an_upper_name_that_the_daemon_misreads_is_refused() {
	local name

	for name in u:p 'u\p'; do
		new_snapshot misread
		upper=$dir/$name
		mkdir -p "$upper"
		in_step true
		refused 125 'fuse-overlayfs misreads a colon or a backslash' 'use the driver native' '[RB0701]'
	done
}

test_o_tmpfile_is_refused_as_documented() {
	[[ -x $tools/files ]] || skip 'no static C compiler'
	new_snapshot tmpfile
	cp "$tools/files" "$lower/files"
	in_step '/files tmpfile /tmp'
	output_is 'tmpfile EOPNOTSUPP'
}

# Neither the kernel nor a second fuse-overlayfs can make whiteouts there.
test_an_upper_on_fuse_overlayfs_is_refused() {
	new_snapshot on_fuse
	stacked=$scratch/mounts/on_fuse
	mkdir -p "$dir/l" "$dir/u" "$dir/w" "$stacked"
	fuse-overlayfs -o "lowerdir=$dir/l,upperdir=$dir/u,workdir=$dir/w" "$stacked" 2>/dev/null
	upper=$stacked/upper work=$stacked/work
	mkdir "$upper" "$work"
	auto_step true
	same 'what is left of the trial' '' "$(find "$stacked" -name '.runbuild-probe*')"
	umount -l "$stacked"
	refused 125 'no snapshot driver works here; native: ' '; fuse: it mounts but cannot remove a file' '[RB0703]'
	await 5 no_daemon || fail 'a daemon lives'
}
