# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # set by the suite and by capture; read there
#
# What a step sees and leaves, whichever driver stacks the layers.

test_upper_layers_hide_lower_ones() {
	new_snapshot hides
	mkdir -p "$lower/etc" "$dir/second/etc"
	echo top >"$lower/etc/both"
	echo second >"$dir/second/etc/both"
	echo second >"$dir/second/etc/below"
	bundle=$dir
	capture "$runbuild" --root "$state_root" step --quiet --snapshot "$driver" --lower "$lower" \
		--lower "$dir/second" --lower "$scratch/base" --upper "$upper" --work "$work" \
		-- sh -c 'cat /etc/both /etc/below; id -u'
	output_is $'top\nsecond\n0'
}

test_changes_land_in_the_upper_directory_only() {
	new_snapshot changes
	mkdir -p "$lower/d"
	echo old >"$lower/d/changed"
	echo old >"$lower/d/removed"
	in_step 'echo new >/d/changed; rm /d/removed; mkdir -p /n/m; echo x >/n/m/f; ln -s f /n/m/l'
	ran_well
	same 'the lower file' old "$(<"$lower/d/changed")"
	same 'the lower file' old "$(<"$lower/d/removed")"
	same 'the upper file' new "$(<"$upper/d/changed")"
	in_step 'cat /d/changed; ls /d; cat /n/m/l'
	output_is $'new\nchanged\nx'
}

test_a_removed_directory_stays_removed_and_empty() {
	new_snapshot opaque
	mkdir -p "$lower/d/e"
	echo old >"$lower/d/e/f"
	in_step 'rm -rf /d; mkdir /d; ls -A /d'
	output_is ''
	in_step 'ls -A /d; rm -rf /d; ls -d /d 2>&1'
	same 'the listing' 'ls: /d: No such file or directory' "$(<"$dir/out")"
}

test_ids_and_modes_survive() {
	new_snapshot ids
	mkdir "$lower/d"
	echo x >"$lower/d/f"
	chown 33:33 "$lower/d/f"
	in_step 'stat -c "%u:%g %a" /d/f; chmod 0640 /d/f; chown 1000:1000 /d; stat -c "%u:%g %a" /d/f /d'
	output_is $'33:33 644\n33:33 640\n1000:1000 755'
}

test_names_with_meaning_for_mount_options_work() {
	local name=$'a,b:c\\d\ne '

	new_snapshot names
	dir=$scratch/s/names/$name
	# fuse-overlayfs 1.x cannot have them in the name of its upper directory
	[[ $driver == native ]] && upper=$dir/u:p
	work=$dir/w,k lower=$dir/l\\w
	mkdir -p "$upper" "$work" "$lower"
	echo found >"$lower/f"
	in_step 'cat /f; echo x >/g'
	output_is found
	same 'the upper file' x "$(<"$upper/g")"
}

test_paths_of_more_than_255_bytes_work() {
	local long

	long=$(printf 'x%.0s' {1..200})
	new_snapshot long
	lower=$dir/$long/$long upper=$dir/$long/upper work=$dir/$long/work
	mkdir -p "$lower" "$upper" "$work"
	echo found >"$lower/f"
	in_step 'cat /f'
	output_is found
}

# many_layers N: $layers holds the options of N directories, the last with /last.
many_layers() {
	local i

	layers=()
	mkdir -p "$scratch/s/many"
	for ((i = 1; i <= $1; i++)); do
		mkdir -p "$scratch/s/many/$i"
		layers+=(--lower "$scratch/s/many/$i")
	done
	rm -f "$scratch"/s/many/*/last
	echo last >"$scratch/s/many/$1/last"
}

test_500_layers_are_all_there() {
	new_snapshot layers500
	many_layers 499
	bundle=$dir
	capture "$runbuild" --root "$state_root" step --quiet --snapshot "$driver" "${layers[@]}" \
		--lower "$scratch/base" --upper "$upper" --work "$work" -- cat /last
	output_is last
}

test_501_layers_are_refused() {
	new_snapshot layers501
	many_layers 501
	bundle=$dir
	capture "$runbuild" --root "$state_root" step --quiet --snapshot "$driver" "${layers[@]}" \
		--upper "$upper" --work "$work" -- true
	refused 125 '501 lower directories: at most 500 are possible' '[RB0700]'
}

test_a_layer_named_twice_counts_once() {
	new_snapshot twice
	echo x >"$lower/f"
	bundle=$dir
	capture step --lower "$lower" -- cat /f
	output_is x
}

test_a_missing_layer_is_named() {
	new_snapshot missing
	rmdir "$lower"
	in_step true
	refused 125 "cannot use the lower directory '$lower': No such file or directory" '/rootfs/snapshot' '[RB0700]'
}

test_a_file_as_layer_is_refused() {
	new_snapshot file
	rmdir "$lower"
	: >"$lower"
	in_step true
	refused 125 "cannot use the lower directory '$lower': Not a directory" '[RB0700]'
}

test_a_layer_that_may_not_be_read_is_refused() {
	new_snapshot unreadable
	[[ ! -x /root ]] || skip '/root may be entered here'
	lower=/root/layer
	in_step true
	refused 125 "cannot use the lower directory '/root/layer': Permission denied" 'make it accessible' '[RB0700]'
}

test_upper_and_work_must_share_a_file_system() {
	new_snapshot elsewhere
	mkdir -p "$scratch/mounts/elsewhere"
	mount -t tmpfs tmpfs "$scratch/mounts/elsewhere"
	work=$scratch/mounts/elsewhere
	in_step true
	umount "$scratch/mounts/elsewhere"
	refused 125 'upper and work are on different file systems' '[RB0701]'
}

test_upper_may_not_be_a_lower_directory() {
	new_snapshot same
	bundle=$dir
	lower=$upper
	in_step true
	refused 125 'the upper directory is also a lower one' '[RB0701]'
}

test_work_may_not_lie_inside_upper() {
	new_snapshot inside
	work=$upper/work
	mkdir "$work"
	in_step true
	refused 125 'one of upper and work lies inside the other' '[RB0701]'
}

test_one_upper_serves_one_step_at_a_time() {
	new_snapshot locked
	mkfifo "$lower/go"
	start_step 'read x </go'
	bundle=$dir
	mkdir "$dir/work2"
	capture "$runbuild" --root "$state_root" step --quiet --snapshot "$driver" --lower "$scratch/base" \
		--upper "$upper" --work "$dir/work2" -- true
	refused 125 "the upper directory '$upper' is in use by another snapshot" '[RB0702]'
	mkdir "$dir/upper2"
	capture "$runbuild" --root "$state_root" step --quiet --snapshot "$driver" --lower "$scratch/base" \
		--upper "$dir/upper2" --work "$work" -- true
	refused 125 "the work directory '$work' is in use by another snapshot" '[RB0702]'
	kill -INT "$step_pid"
	kill -TERM "$step_pid"
	end_of_step
	in_step 'echo free'
	output_is free
}

test_without_upper_the_root_is_read_only() {
	new_snapshot readonly
	echo x >"$lower/f"
	bundle=$dir
	capture "$runbuild" --root "$state_root" step --quiet --snapshot "$driver" --lower "$lower" \
		--lower "$scratch/base" -- sh -c 'cat /f; touch /g 2>&1'
	same 'the output' $'x\ntouch: /g: Read-only file system' "$(<"$dir/out")"
}

test_changes_are_listed() {
	new_snapshot listed
	mkdir -p "$lower/d/gone"
	echo 1 >"$lower/d/changed"
	echo 2 >"$lower/d/removed"
	echo 3 >"$lower/d/gone/f"
	bundle=$dir
	capture step --changes -- sh -c \
		'echo xx >/d/changed; rm -r /d/removed /d/gone; mkdir /new; echo yyy >/new/f; touch /new-file'
	same 'the status' 0 "$status"
	same 'the changes' $'M /d\nM /d/changed\nD /d/gone\nD /d/removed\nA /new\nA /new/f\nA /new-file' "$(<"$dir/err")"
}

test_a_full_upper_gives_enospc_and_the_step_goes_on() {
	new_snapshot full
	mkdir -p "$scratch/mounts/full"
	mount -t tmpfs -o size=1m tmpfs "$scratch/mounts/full"
	upper=$scratch/mounts/full/upper work=$scratch/mounts/full/work
	mkdir "$upper" "$work"
	in_step 'dd if=/dev/zero of=/big bs=64k count=64 2>/dev/null; echo "dd $?"; rm /big; echo x >/small && cat /small'
	umount -l "$scratch/mounts/full"
	same 'the output' $'dd 1\nx' "$(<"$dir/out")"
}

test_few_descriptors_are_enough() {
	new_snapshot nofile
	echo x >"$lower/f"
	bundle=$dir
	capture bash -c 'ulimit -n 64; exec "$@"' sh "$runbuild" --root "$state_root" step --quiet --snapshot "$driver" \
		--lower "$lower" --lower "$scratch/base" --upper "$upper" --work "$work" -- cat /f
	output_is x
}

test_too_few_descriptors_are_a_clean_error() {
	new_snapshot nofile8
	bundle=$dir
	many_layers 60
	capture bash -c 'ulimit -n 32; exec "$@"' sh "$runbuild" --root "$state_root" step --quiet --snapshot "$driver" \
		"${layers[@]}" --lower "$scratch/base" --upper "$upper" --work "$work" -- cat /f
	refused 125 'Too many open files'
}

test_a_killed_supervisor_leaves_nothing() {
	new_snapshot killed
	start_step 'sleep 1000'
	kill -KILL "$step_pid"
	end_of_step
	same 'the status' 137 "$status"
	await 5 no_daemon || fail 'the daemon lives'
	await 5 no_process_named sleep || fail 'the step lives'
	await 5 no_process_named runbuild-guard || fail 'the guard lives'
	# the locks are free again
	in_step 'echo again'
	output_is again
}

test_a_killed_first_process_leaves_nothing() {
	new_snapshot first
	start_step 'exec sleep 1000'
	await 20 a_process_named sleep || fail 'the step does not go on'
	kill -KILL "$(processes_named sleep)"
	end_of_step
	same 'the status' 137 "$status"
	await 5 no_daemon || fail 'the daemon lives'
	await 5 no_snapshot_mounts || fail 'a mount is left'
	in_step 'echo again'
	output_is again
}

# A namespace's first process does not die of TERM: waiting for it would be for ever.
test_a_terminated_supervisor_leaves_nothing() {
	new_snapshot terminated
	start_step 'exec sleep 1000'
	kill -INT "$step_pid"
	kill -TERM "$step_pid"
	end_of_step
	((status != 0)) || fail 'the step went well'
	await 5 no_process_named sleep || fail 'the step lives'
	await 5 no_daemon || fail 'the daemon lives'
	in_step 'echo again'
	output_is again
}

# start_worker: a worker that runs a step on $lower with $upper: $step_pid, its input is descriptor 7.
start_worker() {
	mkfifo "$dir/in"
	(exec "$runbuild" --root "$state_root" worker --stdio <"$dir/in" >"$dir/out" 2>"$dir/err") &
	step_pid=$!
	exec 7>"$dir/in"
	jq -cn --arg driver "$driver" --arg lower "$lower" --arg base "$scratch/base" --arg upper "$upper" --arg work "$work" '
		{jsonrpc: "2.0", id: 1, method: "hello", params: {versions: [1]}},
		{jsonrpc: "2.0", id: 2, method: "step.run", params: {step: "s",
			process: {args: ["sh", "-c", "touch /up; exec sleep 1000"], env: ["PATH=/bin"]},
			rootfs: {snapshot: {lower: [$lower, $base], upper: $upper, work: $work, driver: $driver}},
			mounts: [{dest: "/tmp", snapshot: {lower: [$lower, $base], driver: $driver}}]}}' >&7
	await 20 test -e "$upper/up" || fail 'the step does not start' "$(cat "$dir/out" "$dir/err")"
}

nothing_of_the_worker_is_left() {
	await 5 no_process_named sleep || fail 'the step lives'
	await 5 no_daemon || fail 'a daemon lives'
	await 5 no_process_named runbuild-guard || fail 'the guard lives'
	await 5 no_snapshot_mounts || fail 'a mount is left'
	same 'private directories' '' "$(find "$state_root" -name '@run-*')"
	in_step 'echo again'
	output_is again
}

test_a_killed_worker_leaves_nothing() {
	new_snapshot killed_worker
	start_worker
	kill -KILL "$step_pid"
	end_of_step
	same 'the status' 137 "$status"
	exec 7>&-
	nothing_of_the_worker_is_left
}

test_a_worker_whose_peer_has_gone_leaves_nothing() {
	new_snapshot left_worker
	start_worker
	exec 7>&-
	end_of_step
	same 'the status' 0 "$status"
	nothing_of_the_worker_is_left
}

# overlay_bundle NAME TEXT: a container whose /mnt is the snapshot; it runs TEXT.
overlay_bundle() {
	local type=overlay

	[[ $driver == native ]] || type=fuse3.fuse-overlayfs
	new_snapshot "$1"
	"$runbuild" spec --bundle "$dir"
	mkdir "$dir/rootfs"
	cp -a "$scratch/base/." "$dir/rootfs"
	jq --arg type "$type" --arg lower "lowerdir=$lower:$scratch/base" --arg upper "upperdir=$upper" \
		--arg work "workdir=$work" --arg text "$2" '.process.terminal = false | .root.readonly = false
		| .process.args = ["sh", "-c", $text]
		| .mounts += [{destination: "/mnt", type: $type, source: "overlay", options: [$lower, $upper, $work]}]' \
		"$dir/config.json" >"$dir/config.new"
	mv "$dir/config.new" "$dir/config.json"
	bundle=$dir
}

start_container() {
	(exec "$runbuild" --root "$state_root" run --bundle "$dir" "$1" >"$dir/out" 2>"$dir/err") &
	step_pid=$!
	await 20 test -e "$upper/up" || fail 'the container does not start' "$(cat "$dir/err")"
}

test_an_upper_of_a_container_is_refused_to_a_step() {
	overlay_bundle shared 'touch /mnt/up; exec sleep 1000'
	start_container "shared-$driver"
	in_step true
	refused 125 'RB0702'
	"$runbuild" --root "$state_root" delete --force "shared-$driver"
	end_of_step
	in_step 'echo free'
	output_is free
}

test_mounts_of_a_configuration_are_snapshots() {
	overlay_bundle oci 'cat /mnt/f; rm -rf /mnt/etc; mkdir /mnt/etc; ls -A /mnt/etc; echo hi >/mnt/new'
	echo low >"$lower/f"
	capture "$runbuild" --root "$state_root" run --bundle "$dir" "oci-$driver"
	output_is low
	same 'the upper file' hi "$(<"$upper/new")"
}

test_set_id_bits_survive_a_copy_up() {
	local name

	new_snapshot setid
	for name in touched linked moved dated; do
		: >"$lower/$name"
		chmod 4755 "$lower/$name"
	done
	in_step 'touch /touched; ln /linked /link; mv /moved /other; touch -d 2001-01-01 /dated
		stat -c "%n %a" /touched /link /other /dated'
	output_is $'/touched 4755\n/link 4755\n/other 4755\n/dated 4755'
}

# To fuse-overlayfs it would be a whiteout, and the directory that has it would read as empty.
test_a_whiteout_cannot_be_made_by_a_step() {
	[[ -x $tools/files ]] || skip 'no static C compiler'
	new_snapshot whiteout
	mkdir "$lower/d"
	: >"$lower/d/f"
	cp "$tools/files" "$lower/files"
	in_step 'touch /d/g; /files whiteout /d/w; ls /d; mkfifo /d/p && echo fifo'
	output_is $'whiteout EPERM\nf\ng\nfifo'
}

# create returns, and what serves the mount must not: until the container is deleted.
test_mounts_of_a_created_container_live_until_its_end() {
	overlay_bundle lifecycle 'touch /mnt/up; cat /mnt/f; exec sleep 1000'
	echo low >"$lower/f"
	(exec "$runbuild" --root "$state_root" create --bundle "$dir" "lifecycle-$driver" >"$dir/out" 2>"$dir/err" </dev/null) ||
		fail "$(cat "$dir/err")"
	[[ $driver == native ]] || [[ -n $(processes_named fuse-overlayfs) ]] || fail 'there is no daemon'
	[[ ! -e $upper/up ]] || fail 'it runs already'
	"$runbuild" --root "$state_root" start "lifecycle-$driver"
	await 20 test -e "$upper/up" || fail 'the container does not start'
	same 'another process sees it' low "$("$runbuild" --root "$state_root" exec "lifecycle-$driver" cat /mnt/f)"
	in_step true
	refused 125 '[RB0702]'
	"$runbuild" --root "$state_root" kill "lifecycle-$driver" KILL
	await 5 no_process_named sleep || fail 'the container lives'
	"$runbuild" --root "$state_root" delete "lifecycle-$driver"
	await 5 no_daemon || fail 'the daemon lives'
	await 5 no_process_named runbuild-lock || fail 'the locks are held'
	await 5 no_snapshot_mounts || fail 'a mount is left'
	in_step 'cat /f; ls /up'
	output_is $'low\n/up'
}

test_an_unsafe_overlay_option_is_refused() {
	new_snapshot option
	"$runbuild" spec --bundle "$dir"
	mkdir "$dir/rootfs"
	jq --arg lower "lowerdir=$lower" '.mounts += [{destination: "/mnt", type: "overlay", source: "overlay",
		options: [$lower, "metacopy=on"]}] | .process.terminal = false' "$dir/config.json" >"$dir/config.new"
	mv "$dir/config.new" "$dir/config.json"
	bundle=$dir
	capture "$runbuild" --root "$state_root" run --bundle "$dir" option
	refused 1 'overlay option "metacopy=on" is not supported' '/mounts/7' '[RB0708]'
}
