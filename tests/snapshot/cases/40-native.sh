# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # set by the suite and by capture; read there
#
# The kernel's overlay: the trap of mounts without userxattr, volatile, old kernels.

test_directories_can_be_removed_on_tmpfs() {
	new_snapshot tmpfs
	mkdir -p "$scratch/mounts/tmpfs"
	mount -t tmpfs tmpfs "$scratch/mounts/tmpfs"
	upper=$scratch/mounts/tmpfs/upper work=$scratch/mounts/tmpfs/work
	mkdir -p "$upper" "$work" "$lower/d"
	: >"$lower/d/f"
	setfattr -n user.x -v y "$upper" 2>/dev/null || {
		umount -l "$scratch/mounts/tmpfs"
		skip 'tmpfs has no user attributes (Linux before 6.6)'
	}
	in_step 'rm -r /d && mkdir /d && ls -A /d'
	umount -l "$scratch/mounts/tmpfs"
	output_is ''
}

test_the_kernel_refuses_an_upper_on_an_overlay() {
	new_snapshot stacked_native
	upper_on_an_overlay n
	in_step true
	umount -l "$stacked"
	# the kernel's own words are passed on
	refused 125 'cannot mount the overlay (' 'overlay: ' '[RB0704]'
}

volatile_step() {
	bundle=$dir
	capture step --volatile -- sh -c "$1"
}

test_volatile_steps_follow_each_other() {
	new_snapshot volatile
	volatile_step 'echo 1 >/f'
	ran_well
	volatile_step 'cat /f; grep -c " / .*volatile" /proc/mounts'
	output_is $'1\n1'
}

# Nobody of ours is there at the end of a container but the process that keeps its locks.
test_a_volatile_mount_of_a_created_container_is_left_cleanly() {
	overlay_bundle volatile_oci 'touch /mnt/up; exec sleep 1000'
	jq '.mounts[-1].options += ["volatile"]' "$dir/config.json" >"$dir/config.new"
	mv "$dir/config.new" "$dir/config.json"
	(exec "$runbuild" --root "$state_root" create --bundle "$dir" volatile >"$dir/out" 2>"$dir/err" </dev/null) ||
		fail "$(cat "$dir/err")"
	"$runbuild" --root "$state_root" start volatile
	await 20 test -e "$upper/up" || fail 'the container does not start'
	"$runbuild" --root "$state_root" delete --force volatile
	await 5 no_process_named runbuild-lock || fail 'the locks are held'
	volatile_step 'ls /up'
	output_is /up
}

test_a_volatile_upper_that_was_not_left_cleanly_is_refused() {
	new_snapshot stale
	(cd "$work" && mkdir -p work/incompat/volatile)
	in_step true
	refused 125 'was in use with "volatile" and not left cleanly' 'begin again' '[RB0701]'
}

test_kernels_without_lowerdir_plus_get_one_string() {
	local layers=() i

	[[ -x $tools/native_string ]] || skip "the probe was not built: $(tail -n 1 "$tools/native_string.err" 2>/dev/null || true)"
	new_snapshot string
	mkdir "$lower/d"
	echo found >"$lower/d/f"
	same 'with an upper' found "$("$tools/native_string" "$upper" "$work" "$lower" "$scratch/base")"
	same 'read-only' found "$("$tools/native_string" - - "$lower" "$scratch/base")"
	for ((i = 1; i <= 240; i++)); do
		mkdir -p "$scratch/s/string/l/$i"
		layers+=("$scratch/s/string/l/$i")
	done
	same 'too many' '240 lower directories: this kernel takes about 220 of them' \
		"$("$tools/native_string" - - "${layers[@]}" || true)"
	same 'mounts' 0 "$(grep -c ' - overlay ' /proc/self/mountinfo || true)"
}

test_a_kernel_mark_cannot_be_forged_from_a_step() {
	[[ -x $tools/files ]] || skip 'no static C compiler'
	new_snapshot forged
	mkdir -p "$lower/d"
	: >"$lower/d/f"
	cp "$tools/files" "$lower/files"
	in_step '/files setxattr /d user.overlay.opaque; ls /d; /files whiteout /w'
	same 'the output' $'setxattr ok\nf\nwhiteout EPERM' "$(<"$dir/out")"
	in_step 'ls /d'
	output_is f
}
