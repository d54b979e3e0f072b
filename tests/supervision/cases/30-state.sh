# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # set by the suite and its library
#
# The state directory: private, lock-based, and never in the way.

create_sleeper() {
	new_bundle "$1"
	set_script 'sleep 100'
	runtime create --bundle "$bundle" --pid-file "$bundle/pid" "$2" >"$bundle/out" 2>&1
	runtime start "$2"
	pid=$(<"$bundle/pid")
}

# Our container's process; it may be a zombie until somebody reaps it.
process_is_gone() {
	! grep -qs '^State:.[^ZX]' "/proc/$1/status"
}

test_the_state_directory_is_private() {
	create_sleeper private p
	same 'mode of the root' 700 "$(stat -c %a "$state_root")"
	same 'mode of the container' 700 "$(stat -c %a "$state_root/p")"
	same 'mode of the record' 600 "$(stat -c %a "$state_root/p/state.json")"
	same 'the pid file' "$(tr -dc 0-9 <"$bundle/pid")" "$(cat "$bundle/pid"; printf x | tr -d x)"
	runtime delete --force p
	state_is_empty
}

# damage HOW: to the container d.
damage() {
	local dir=$state_root/d

	case $1 in
	empty) : >"$dir/state.json" ;;
	cut) truncate -s 40 "$dir/state.json" ;;
	junk) head -c 5000 /dev/urandom >"$dir/state.json" ;;
	deep) head -c 1000000 /dev/zero | tr '\0' '[' >"$dir/state.json" ;;
	huge) truncate -s 1T "$dir/state.json" ;;
	fifo) rm "$dir/state.json" && mkfifo "$dir/state.json" ;;
	directory) rm "$dir/state.json" && mkdir -p "$dir/state.json/with/files" ;;
	missing) rm "$dir/state.json" ;;
	link_missing) rm "$dir/init" ;;
	link_junk) ln -sfn 'no such process' "$dir/init" ;;
	link_file) rm "$dir/init" && echo 1 >"$dir/init" ;;
	link_pid_1) ln -sfn "1 1 $(</proc/sys/kernel/random/boot_id) 0" "$dir/init" ;;
	locked_dir) chmod 0 "$dir" ;;
	esac
}

test_damaged_state_can_be_deleted_and_its_process_ends() {
	local how

	for how in empty cut junk deep huge fifo directory missing link_missing link_junk link_file locked_dir; do
		create_sleeper "damaged_$how" d
		damage "$how"
		capture runtime delete --force d
		((status == 0)) || fail "$how: status $status" "$(cat "$bundle/err")"
		process_is_gone "$pid" || fail "$how: the process $pid lives"
		state_is_empty || fail "$how"
	done
}

test_damaged_state_is_one_error_for_everybody_else() {
	local how verb

	for how in empty cut junk deep huge fifo directory missing; do
		create_sleeper "told_$how" d
		damage "$how"
		for verb in state exec; do
			capture timeout 20 "$runbuild" --root "$state_root" "$verb" d /bin/true
			[[ $verb != exec ]] || capture timeout 20 "$runbuild" --root "$state_root" exec d /bin/true
			[[ $verb != state ]] || capture timeout 20 "$runbuild" --root "$state_root" state d
			grep -q 'runbuild: error: .*is damaged; fix: .*delete --force d.* \[RB0503\]$' "$bundle/err" ||
				fail "$how, $verb: status $status" "$(cat "$bundle/err")"
		done
		runtime kill d KILL || fail "$how: kill needs only the link"
		runtime delete --force d
	done
	state_is_empty
}

# The root of a container that is being set up still is the host's: a createRuntime
# hook runs at that moment.
test_a_container_cannot_be_entered_before_it_is_set_up() {
	local verb

	new_bundle early
	cat >"$bundle/hook" <<-E
		#!/bin/sh
		cat >/dev/null
		"$runbuild" --root "$state_root" state e >"$bundle/state" 2>&1
		"$runbuild" --root "$state_root" exec e /bin/ls / >"$bundle/exec" 2>&1
		echo "exec \$?" >>"$bundle/exec"
	E
	chmod +x "$bundle/hook"
	# shellcheck disable=SC2016 # jq's variable
	edit_config --arg hook "$bundle/hook" '.hooks = {createRuntime: [{path: $hook}]}'
	set_script 'exit 3'
	for verb in run create; do
		if [[ $verb == run ]]; then
			run_container e
			same 'the status' 3 "$status"
		else
			runtime create --bundle "$bundle" e >"$bundle/out" 2>&1
			same 'the state afterwards' created "$(runtime state e | jq -r .status)"
			# in a user namespace of its own a created one is still hidden from us
			[[ $mode == userns ]] || runtime exec e /bin/true
			runtime delete --force e
		fi
		same 'the state meanwhile' creating "$(jq -r .status "$bundle/state")"
		contains "$bundle/exec" 'being set up' RB0507 'exec 255'
	done
	state_is_empty
}

test_a_recorded_pid_of_somebody_else_is_left_alone() {
	local other

	sleep 100 &
	other=$!
	create_sleeper reused r
	runtime kill r KILL
	await 10 process_is_gone "$pid"
	ln -sfn "$other 1 $(</proc/sys/kernel/random/boot_id) 0" "$state_root/r/init"
	capture runtime kill r KILL
	refused 1 'container not running'
	runtime delete --force r
	kill -0 "$other" || fail 'it was killed'
	kill "$other"
	state_is_empty
}

test_what_stands_in_place_of_a_container_can_be_deleted() {
	install -d -m 0700 "$state_root" "$scratch/outside"
	new_bundle place
	: >"$scratch/outside/file"
	ln -s "$scratch/outside" "$state_root/link"
	: >"$state_root/plain"
	for id in link plain; do
		capture runtime state "$id"
		refused 1 RB0503
		run_container "$id"
		refused 1 'already exists'
		capture runtime delete --force "$id"
		ran_well
	done
	[[ -f $scratch/outside/file ]] || fail 'the link was followed'
	state_is_empty
}

test_of_racing_runs_exactly_one_wins() {
	local i k won lost racer racers

	new_bundle race
	set_script 'sleep 0.3; exit 6'
	for i in 1 2 3 4 5 6 7 8; do
		won=0 lost=0 racers=()
		# half of the rounds: with what a killed run left
		((i % 2)) || install -d -m 0700 "$state_root/race"
		for k in 1 2 3 4; do
			"$runbuild" --root "$state_root" run --bundle "$bundle" race >/dev/null 2>"$bundle/err.$k" </dev/null &
			racers+=($!)
		done
		k=0
		for racer in "${racers[@]}"; do
			status=0
			k=$((k + 1))
			wait "$racer" || status=$?
			if ((status == 6)); then
				won=$((won + 1))
			else
				grep -q 'already exists.*RB0502' "$bundle/err.$k" || fail "status $status" "$(cat "$bundle/err.$k")"
				lost=$((lost + 1))
			fi
		done
		# a late one may come after the first has ended
		((won >= 1 && won + lost == 4)) || fail "round $i: $won won, $lost lost"
		((won == 1)) || printf '# round %d: %d ran one after another\n' "$i" "$won"
		state_is_empty
	done
}

test_delete_force_during_a_starting_run_leaves_nothing() {
	local i

	new_bundle interrupted
	set_script 'sleep 20'
	for i in $(seq 1 "$(if [[ -n $full ]]; then echo 100; else echo 15; fi)"); do
		"$runbuild" --root "$state_root" run --bundle "$bundle" int >/dev/null 2>"$bundle/err" </dev/null &
		run=$!
		# a little later each time
		for ((k = 0; k < i * 40; k++)); do :; done
		while kill -0 "$run" 2>/dev/null; do
			runtime delete --force int || fail "round $i"
		done
		wait "$run" || true
		state_is_empty
	done
}

test_tight_limits_are_clean_errors() {
	local limit n

	new_bundle limits
	set_script 'exit 3'
	for limit in n f u v; do
		for n in $(case $limit in
			n) seq 3 24 ;;
			f) echo 0 1 2 ;;
			u) echo 1 2 3 ;;
			v) echo 2000 4000 8000 16000 ;;
			esac); do
			status=0
			# its error through a pipe: the limit on files is for this one as well
			# shellcheck disable=SC2016 # for the inner shell
			timeout 20 bash -c 'ulimit -"$1" "$2" 2>/dev/null || exit 99; shift 2; exec "$@"' limited \
				"$limit" "$n" "$runbuild" --root "$state_root" run --bundle "$bundle" lim 2>&1 </dev/null | cat >"$bundle/err" || status=$?
			case $status in
			3 | 99) ;;
			127 | 139 | 134) # the loader, before main()
				[[ $limit == v || $limit == n ]] || fail "ulimit -$limit $n: status $status" "$(cat "$bundle/err")"
				;;
			1 | 125)
				same 'error lines' 1 "$(grep -c '^runbuild: error: .*\[RB[0-9]*\]$' "$bundle/err")" ||
					fail "ulimit -$limit $n" "$(cat "$bundle/err")"
				;;
			*) fail "ulimit -$limit $n: status $status" "$(cat "$bundle/err")" ;;
			esac
			runtime delete --force lim
			state_is_empty
		done
	done
}

test_a_full_state_root_is_a_clean_error() {
	local options

	[[ $mode == user ]] || skip 'only root of a namespace may mount a tmpfs'
	new_bundle full
	set_script 'exit 3'
	for options in nr_inodes=1 nr_inodes=2 nr_inodes=3 nr_inodes=4 size=4k size=8k size=16k; do
		mkdir -p "$scratch/small"
		mount -t tmpfs -o "$options,mode=700" tmpfs "$scratch/small"
		capture timeout 20 "$runbuild" --root "$scratch/small" run --bundle "$bundle" f
		((status == 3)) || refused 1 'runbuild: error: ' 'No space left on device' || fail "$options"
		[[ -z $(find "$scratch/small" -mindepth 1 ! -name '@*' ! -path '*@*') ]] ||
			fail "$options: left: $(find "$scratch/small")"
		umount "$scratch/small"
	done
}
