# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # set by the suite and by capture; read there
#
# Which driver is chosen, and uppers that the other one wrote.

need_fuse() {
	type -P fuse-overlayfs >/dev/null || skip 'fuse-overlayfs is not installed'
	: 2>/dev/null <>/dev/fuse || skip '/dev/fuse is not there, or not open to this user'
}

# auto_step TEXT: as in_step, but the driver is chosen, and nothing is quiet.
auto_step() {
	bundle=$dir
	capture "$runbuild" --root "$state_root" step --json --lower "$lower" --lower "$scratch/base" \
		--upper "$upper" --work "$work" -- sh -c "$1"
}

chosen_driver() {
	tail -n 1 "$dir/err" | jq -r .snapshot.driver 2>/dev/null || cat "$dir/err"
}

test_native_is_chosen_where_it_works() {
	new_snapshot auto
	auto_step true
	same 'the driver' native "$(chosen_driver)"
	same 'what is left of the trial' '' "$(find "$dir" -name '.runbuild-probe*')"
}

test_the_trial_is_remembered() {
	new_snapshot cached
	rm -f "$state_root"/@snapshot-*
	auto_step true
	same 'files' 1 "$(find "$state_root" -name '@snapshot-*' | wc -l)"
	need_fuse
	# what the file says is believed: only its owner can write it
	sed -i 's/^native$/fuse/' "$state_root"/@snapshot-*
	auto_step true
	same 'the driver' fuse "$(chosen_driver)"
	# unless it is about another kernel
	sed -i '1s/ / another-/' "$state_root"/@snapshot-*
	auto_step true
	same 'the driver' native "$(chosen_driver)"
}

# Numbers of devices that are none are given again after an unmount.
test_another_file_system_is_tried_anew() {
	local place=$scratch/mounts/anew number name

	need_fuse
	new_snapshot anew
	mkdir -p "$place"
	mount -t tmpfs tmpfs "$place"
	upper=$place/upper work=$place/work
	mkdir "$upper" "$work"
	rm -f "$state_root"/@snapshot-*
	auto_step true
	same 'files' 1 "$(find "$state_root" -name '@snapshot-*' | wc -l)"
	same 'the driver' native "$(chosen_driver)"
	# the same number, another tmpfs: what the file says is not about this one
	sed -i 's/^native$/fuse/' "$state_root"/@snapshot-*
	umount "$place"
	mount -t tmpfs tmpfs "$place"
	mkdir "$upper" "$work"
	# the kernel need not have given it again already
	number=$(stat -c %d "$place")
	name=$state_root/@snapshot-$((number >> 8 & 0xfff))-$((number & 0xff | number >> 12 & 0xfff00))
	[[ -e $name ]] || mv "$state_root"/@snapshot-* "$name"
	auto_step true
	umount -l "$place"
	same 'the driver' native "$(chosen_driver)"
}

test_an_upper_on_an_overlay_falls_back_to_fuse() {
	need_fuse
	new_snapshot stacked
	upper_on_an_overlay stacked
	auto_step 'echo x >/f'
	umount -l "$stacked"
	same 'the status' 0 "$status" || fail "$(cat "$dir/err")"
	same 'the driver' fuse "$(chosen_driver)"
	contains "$dir/err" 'slower with many small files, because native:'
}

test_a_fuse_upper_is_translated_for_native() {
	need_fuse
	new_snapshot translated
	mkdir -p "$lower/d"
	echo old >"$lower/d/f"
	echo old >"$lower/g"
	# as another program leaves it: marks, and no note of ours
	mkdir "$dir/m"
	fuse-overlayfs -o "lowerdir=$lower,upperdir=$upper,workdir=$work" "$dir/m" 2>/dev/null
	rm -rf "$dir/m/d" "$dir/m/g"
	mkdir "$dir/m/d"
	echo new >"$dir/m/d/n"
	umount "$dir/m"
	await 5 no_daemon
	[[ -e $upper/d/.wh..wh..opq ]] || fail 'the test expects a mark of fuse-overlayfs'
	bundle=$dir
	capture "$runbuild" --root "$state_root" step --quiet --snapshot native --lower "$lower" --lower "$scratch/base" \
		--upper "$upper" --work "$work" -- sh -c 'ls -A /d; ls -d /g 2>&1'
	same 'the output' $'n\nls: /g: No such file or directory' "$(<"$dir/out")"
	same 'marks of fuse-overlayfs' '' "$(find "$upper" -name '.wh*'; getfattr -R -d -m user.fuseoverlayfs "$upper" 2>/dev/null)"
}

test_a_mark_without_counterpart_is_refused_for_native() {
	new_snapshot unknown
	mkdir "$upper/d"
	setfattr -n user.fuseoverlayfs.redirect -v /e "$upper/d"
	bundle=$dir
	capture "$runbuild" --root "$state_root" step --quiet --snapshot native --lower "$lower" --lower "$scratch/base" \
		--upper "$upper" --work "$work" -- true
	refused 125 'user.fuseoverlayfs.redirect' 'use the driver fuse' '[RB0707]'
}

test_what_this_driver_wrote_native_reads_right() {
	new_snapshot then_native
	mkdir -p "$lower/d/e"
	echo old >"$lower/d/e/f"
	echo old >"$lower/g"
	in_step 'rm -rf /d /g; mkdir -p /d/e; echo new >/d/e/n'
	ran_well
	bundle=$dir
	capture "$runbuild" --root "$state_root" step --quiet --snapshot native --lower "$lower" --lower "$scratch/base" \
		--upper "$upper" --work "$work" -- sh -c 'ls -A /d /d/e; ls -d /g 2>&1'
	same 'the output' $'/d:\ne\n\n/d/e:\nn\nls: /g: No such file or directory' "$(<"$dir/out")"
}
