# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016,SC2034 # set by the suite and by capture; scripts of steps
#
# What a record holds, and what a replay shows and leaves alone.

records=$HOME/.local/state/runbuild/records

# recorded OPTION… -- COMMAND…: a step that is recorded, with the upper directory $dir/upper; $id
# is its record.
recorded() {
	dir=$scratch/s/recorded
	"$runbuild" rootless -- rm -rf "$dir" "$records"
	mkdir -p "$dir/upper" "$dir/work"
	bundle=$scratch/s/out
	capture "$runbuild" step --quiet --record always --lower "$base" --upper "$dir/upper" --work "$dir/work" "$@"
	id=$("$runbuild" records ls | awk '{ print $1 }')
	same 'lines of the list' 1 "$("$runbuild" records ls | wc -l)"
	[[ -n $id ]] || fail 'no record' "$(cat "$bundle/err")"
}

# The content of trees of subordinate ids: names, kinds, owners, modes, times, sums.
state_of() {
	"$runbuild" rootless -- sh -c 'cd "$1" && find . -printf "%p %y %m %U:%G %s %T@ %n\n" | sort &&
		find . -type f -exec sha256sum {} + | sort && getfattr -R -h -d -m - . 2>/dev/null' sh "$1"
}

replay() {
	capture "$runbuild" replay --quiet "$@"
}

test_records_are_kept_listed_replayed_and_removed() {
	recorded -e TOKEN=secret -- sh -c 'ls /left 2>/dev/null; echo x >/left; exit 5'
	same 'the status' 5 "$status"
	same 'the list' "$id 5 sh -c ls" "$("$runbuild" records ls | awk '{ print $1, $2, $3, $4, $5 }')"
	! grep -rq secret "$records" || fail 'the record has the secret'
	replay "$id"
	same 'the status' 5 "$status" || fail "$(cat "$bundle/err")"
	same 'the output: what the step left is there' /left "$(<"$bundle/out")"
	same 'what is left of the replay' '' "$(find "$records/$id" -name 'replay-*')"
	"$runbuild" records rm "$id"
	same 'records' '' "$("$runbuild" records ls)"
	replay "$id"
	refused 125 "no such record: '$id'" '[RB0806]'
}

test_a_step_that_succeeds_is_recorded_only_always() {
	rm -rf "$records"
	in_base --record failure -- true
	same 'records' '' "$("$runbuild" records ls)"
	in_base --record always -- true
	same 'records' 0 "$("$runbuild" records ls | awk '{ print $2 }')"
	in_base --record never -- false
	same 'records' 1 "$("$runbuild" records ls | wc -l)"
	in_base --record sometimes -- true
	refused 125 "--record: unknown choice 'sometimes'" '[RB0001]'
}

test_a_replay_may_have_another_network_and_no_filter() {
	recorded --net none -- sh -c 'ls /sys/class/net | xargs; grep Seccomp: /proc/self/status | tr -d "\t"'
	same 'as recorded' $'lo\nSeccomp:2' "$(<"$bundle/out")"
	replay --net host --seccomp none "$id"
	same 'the filter' Seccomp:0 "$(tail -n 1 "$bundle/out")"
	same 'the network' "$("$runbuild" rootless -- sh -c 'ls /sys/class/net | xargs')" "$(head -n 1 "$bundle/out")"
	replay --net host --print "$id"
	same 'the rest is as recorded' "$("$runbuild" replay --print "$id" | jq -c 'del(.net, .rootfs.snapshot)')" \
		"$(jq -c 'del(.net, .rootfs.snapshot)' "$bundle/out")"
	replay --net bridge "$id"
	refused 125 "unknown network 'bridge'" '[RB0001]'
	replay --seccomp default "$id"
	refused 125 "--seccomp: unknown choice 'default'" '[RB0001]'
	same 'what is left of the replays' '' "$(find "$records/$id" -name 'replay-*')"
}

test_the_result_names_the_record() {
	bundle=$scratch/s/out
	rm -rf "$records"
	capture "$runbuild" step --json --record always --rootfs "$base" -- true
	same 'lines' 1 "$(wc -l <"$bundle/err")"
	same 'the record' "$("$runbuild" records ls | awk '{ print $1 }')" "$(jq -r .record "$bundle/err")"
	capture "$runbuild" step --record always --rootfs "$base" -- true
	contains "$bundle/err" "runbuild: recorded: runbuild replay $("$runbuild" records ls | awk 'END { print $1 }')"
	capture "$runbuild" step --json --record failure --rootfs "$base" -- true
	same 'none' null "$(jq -r .record "$bundle/err")"
}

# What a directory must keep to be the layer that it was.
test_a_record_keeps_what_the_step_left() {
	recorded -- sh -c 'mkdir -p /n/m && echo data >/n/f && ln /n/f /n/m/hard && ln -s f /n/soft && mkfifo /n/p
		chown 33:1000 /n/f && chmod 4751 /n/f && touch -d "2001-02-03 04:05:06" /n/f
		dd if=/dev/zero of=/n/sparse bs=1 count=1 seek=50000000 2>/dev/null
		rm -r /etc && mkdir /etc && echo new >/etc/one'
	ran_well
	same 'the copy' "$(state_of "$dir/upper")" "$(state_of "$records/$id/upper")"
	(($("$runbuild" rootless -- du -k "$records/$id/upper/n/sparse" | cut -f 1) < 1000)) || fail 'the hole is filled'
	# the next step on the same directory changes nothing of it
	"$runbuild" rootless -- rm -rf "$dir/upper/n" "$dir/upper/etc"
	replay --shell "$id" <<<'ls /etc /n; stat -c "%u:%g %a %h" /n/f; readlink /n/soft'
	output_is $'/etc:\none\n\n/n:\nf\nm\np\nsoft\nsparse\n33:1000 4751 2\nf'
}

test_a_replay_leaves_the_evidence_alone() {
	local before live

	recorded -- sh -c 'echo x >/left; rm /etc/group'
	before=$(state_of "$records/$id/upper") live=$(state_of "$dir/upper")
	replay --shell "$id" <<<'cat /left; echo y >/left; rm /left; touch /etc/group /more'
	output_is x
	same 'the record' "$before" "$(state_of "$records/$id/upper")"
	same 'the upper directory' "$live" "$(state_of "$dir/upper")"
	replay --shell "$id" <<<'cat /left; ls /more /etc/group'
	same 'the next replay' x "$(<"$bundle/out")"
}

test_a_plain_root_is_not_changed_by_a_replay() {
	rm -rf "$records"
	in_base --record always -- sh -c 'echo x >/tmp/mine'
	id=$("$runbuild" records ls | awk '{ print $1 }')
	replay --shell "$id" <<<'cat /tmp/mine; echo y >/tmp/mine; cat /tmp/mine'
	output_is $'x\ny'
	same 'the file' x "$(<"$base/tmp/mine")"
	in_base -- rm /tmp/mine
	in_base --record always --read-only -- true
	id=$("$runbuild" records ls | awk 'END { print $1 }')
	replay --shell "$id" <<<'touch /tmp/mine 2>/dev/null || echo read-only'
	output_is read-only
}

test_a_replay_opens_a_shell_on_a_terminal() {
	recorded --timeout 1m -- sh -c 'echo x >/left; exit 5'
	terminal --after '# ' --send 'cat /left; tty; exit 6\n' -- "$runbuild" replay --shell "$id"
	same 'the status' 6 "$status" || fail "$(cat -v "$bundle/out")"
	contains "$bundle/text" $'\nx\n/dev/pts/0\n' || fail "$(cat -v "$bundle/out")"
	# who looks around has more time than the step had
	capture "$runbuild" replay --shell --print "$id"
	same 'command and time' '["/bin/sh"] null' "$(jq -cr '"\(.process.args | tojson) \(.timeoutMs)"' "$bundle/out")"
	capture "$runbuild" replay --print "$id"
	same 'the time' 60000 "$(jq .timeoutMs "$bundle/out")"
	same 'what is left' '' "$(find "$records/$id" -name 'replay-*')"
}

test_values_of_variables_are_kept_when_asked_for() {
	local hash

	recorded -e TOKEN=secret -e LANG=C -- env
	hash=$(printf 'TOKEN=secret' | sha256sum | cut -c 1-8)
	replay "$id"
	contains "$bundle/out" "TOKEN=redacted-$hash" LANG=C
	recorded --record-env -e TOKEN=secret -- env
	same 'who may read it' '700 600' "$(stat -c %a "$records/$id") $(stat -c %a "$records/$id/step.json")"
	replay "$id"
	contains "$bundle/out" TOKEN=secret
}

# A worker's step has the streams of its request.
test_a_record_of_a_worker_is_replayed_on_streams_of_its_own() {
	recorded -- sh -c 'echo out; echo err >&2'
	jq '.io = {fds: {stdout: 0, stderr: 1}, window: 65536}' "$records/$id/step.json" >"$scratch/s/step.json"
	cat "$scratch/s/step.json" >"$records/$id/step.json"
	replay "$id"
	same 'the output' out "$(<"$bundle/out")"
	same 'the errors' err "$(<"$bundle/err")"
}

test_a_layer_that_is_gone_is_named_by_the_replay() {
	recorded -- true
	mv "$base" "$base.away"
	replay "$id"
	mv "$base.away" "$base"
	refused 125 "cannot use the lower directory '$base'" '[RB0700]'
	same 'what is left' '' "$(find "$records/$id" -name 'replay-*')"
}

test_bad_records_are_named() {
	mkdir -p "$records/20200101-000000-1" "$records/20200101-000001-1"
	bundle=$scratch/s/out
	replay nosuch
	refused 125 "no such record: 'nosuch'" '[RB0806]'
	replay ../records
	refused 125 "no such record: '../records'" '[RB0806]'
	replay 20200101-000000-1
	refused 125 "cannot read the record '20200101-000000-1'" '[RB0806]'
	echo '[1]' >"$records/20200101-000001-1/step.json"
	replay 20200101-000001-1
	refused 125 'expected' '[RB'
	same 'what is left' '' "$(find "$records" -name 'replay-*')"
	capture "$runbuild" records rm nosuch .. / 20200101-000000-1
	refused 1 'no such record' '[RB0806]'
	[[ ! -e $records/20200101-000000-1 ]] || fail 'the others were not removed'
	capture "$runbuild" records rm
	refused 1 'records takes ls, rm ID..., prune, or export ID DIR' '[RB0001]'
	capture "$runbuild" records prune --size much
	refused 1 "--size: 'much' is not a size" '[RB0001]'
}

names_of_records() {
	find "$records" -mindepth 1 -maxdepth 1 -printf '%f\n' | LC_ALL=C sort
}

# make_records FIRST LAST KIB: records of this size.
make_records() {
	local i

	for ((i = $1; i <= $2; i++)); do
		mkdir -p "$records/20200101-0000$i-1"
		dd if=/dev/zero of="$records/20200101-0000$i-1/data" bs=1k count="$3" 2>/dev/null
	done
}

test_prune_keeps_the_newest_twenty() {
	"$runbuild" rootless -- rm -rf "$records"
	make_records 10 34 1
	"$runbuild" records prune
	same 'the oldest' 20200101-000015-1 "$(names_of_records | sed -n 1p)"
	same 'how many' 20 "$(names_of_records | wc -l)"
	"$runbuild" records prune --keep 2
	same 'the rest' $'20200101-000033-1\n20200101-000034-1' "$(names_of_records)"
	"$runbuild" records prune --keep 0
	same 'nothing' '' "$(names_of_records)"
}

test_prune_keeps_what_fits() {
	rm -rf "$records"
	make_records 10 14 100
	"$runbuild" records prune --size 350k
	same 'the rest' $'20200101-000012-1\n20200101-000013-1\n20200101-000014-1' "$(names_of_records)"
}

test_a_new_record_takes_the_place_of_the_oldest() {
	rm -rf "$records"
	make_records 10 29 1
	in_base --record always -- true
	same 'how many' 20 "$(names_of_records | wc -l)"
	same 'the oldest' 20200101-000011-1 "$(names_of_records | sed -n 1p)"
	rm -rf "$records"
}

test_a_record_is_not_removed_under_its_replay() {
	recorded -- true
	mkfifo "$scratch/s/ready" "$scratch/s/go" 2>/dev/null || true
	(exec "$runbuild" replay --quiet --shell "$id" <"$scratch/s/go" >"$scratch/s/ready") &
	exec 7>"$scratch/s/go"
	echo 'echo up; read x; echo "still $x"' >&7
	exec 8<"$scratch/s/ready"
	read -r -u 8 word
	same 'it runs' up "$word"
	capture "$runbuild" records rm "$id"
	refused 1 "the record '$id' is being replayed" '[RB0806]'
	"$runbuild" records prune --keep 0
	echo here >&7
	exec 7>&-
	same 'what it says' 'still here' "$(cat <&8)"
	wait $!
	capture "$runbuild" records rm "$id"
	ran_well
	same 'records' '' "$(names_of_records)"
}

# A replay that was killed leaves directories: the next one removes them.
test_what_a_killed_replay_left_goes_with_the_next() {
	recorded -- true
	mkdir -p "$records/$id/replay-999999/upper"
	replay "$id"
	ran_well
	same 'what is left' '' "$(find "$records/$id" -name 'replay-*')"
	"$runbuild" records rm "$id"
}

test_an_upper_directory_that_is_too_large_is_only_named() {
	recorded -- dd if=/dev/zero of=/large bs=1M count=257
	contains "$bundle/err" "the record only names the upper directory '$dir/upper', without a copy: it takes more than 256 MiB"
	[[ ! -e $records/$id/upper ]] || fail 'a part was kept'
	replay --shell "$id" <<<'wc -c </large'
	output_is 269484032
	"$runbuild" records rm "$id"
	"$runbuild" rootless -- rm -rf "$dir"
}
