# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2016 # set by the suite; jq's variables
#
# Configurations and arguments that are broken, extreme or sly.

# spoil NAME CODE TEXT FILTER: a fresh configuration changed by FILTER is refused.
spoil() {
	cp -- "$bundle/good.json" "$bundle/config.json"
	edit_config "$4"
	bad_run "$2" "$3" || fail "$1"
}

begin_spoiling() {
	new_bundle "$1"
	cp -- "$bundle/config.json" "$bundle/good.json"
}

test_a_config_cut_at_any_place_is_refused() {
	local size at

	begin_spoiling cut
	size=$(stat -c %s "$bundle/good.json")
	for ((at = 0; at < size - 1; at += 199)); do
		head -c "$at" "$bundle/good.json" >"$bundle/config.json"
		bad_run 0102 || fail "cut at $at"
	done
}

test_a_config_that_is_no_object_is_refused() {
	local text

	begin_spoiling kinds
	for text in '' ' ' null 42 '"text"' '[]' '{}' '{"ociVersion":"1.0.2"}' '{]' '{"a":1,}' "{'a':1}" \
		$'\xef\xbb\xbf{}' '{"a":"\xff"}' '{} {}' '{"ociVersion":"1.0.2"}junk' 'NaN'; do
		printf '%b' "$text" >"$bundle/config.json"
		bad run --bundle "$bundle" hostile || fail "text: $text"
	done
	{ head -c 100 "$bundle/good.json" && printf '\0' && tail -c +101 "$bundle/good.json"; } >"$bundle/config.json"
	bad run --bundle "$bundle" hostile
}

test_a_million_nested_arrays_are_refused() {
	local million

	begin_spoiling deep
	million=$(head -c 1000000 /dev/zero | tr '\0' '[')
	printf '%s' "$million" >"$bundle/config.json"
	bad_run 0103 'nested'
	jq -c . "$bundle/good.json" | sed 's/}$/,"x":/' >"$bundle/config.json"
	printf '%s' "$million" >>"$bundle/config.json"
	bad_run 0103 'nested'
	awk 'BEGIN { for (i = 0; i < 500000; i++) printf "{\"a\":" }' >"$bundle/config.json"
	bad_run 0103 'nested'
}

test_a_config_of_too_many_values_is_refused() {
	begin_spoiling many
	jq -c . "$bundle/good.json" | sed 's/}$/,"x":[/' | tr -d '\n' >"$bundle/config.json"
	awk 'BEGIN { for (i = 0; i < 300000; i++) printf "1,"; print "1]}" }' >>"$bundle/config.json"
	bad_run 0103
}

test_a_config_with_a_member_twice_is_refused() {
	begin_spoiling twice
	jq -c . "$bundle/good.json" | sed 's/}$/,"root":{"path":"\/"}}/' >"$bundle/config.json"
	bad_run 0104 'root'
	jq -c . "$bundle/good.json" | sed 's/"process":{/"process":{"cwd":"\/","cwd":"\/",/' >"$bundle/config.json"
	bad_run 0104 'cwd'
	jq -c . "$bundle/good.json" | sed 's/"cwd":/"c\\u0077d":"\/x","cwd":/' >"$bundle/config.json"
	bad_run 0104 'cwd'
}

test_a_mutated_config_never_crashes() {
	local seed

	begin_spoiling mutated
	set_script 'exit 0'
	cp -- "$bundle/config.json" "$bundle/good.json"
	for seed in $(seq 1 "$(if [[ -n $full ]]; then echo 1000; else echo 60; fi)"); do
		python3 "$here/lib/mutate.py" "$seed" <"$bundle/good.json" >"$bundle/config.json"
		capture timeout 30 "$runbuild" --root "$state_root" run --bundle "$bundle" hostile
		case $status in
		0) ;;
		1) [[ $(grep -c '^runbuild: error: .*; fix: .*\[RB[0-9]*\]$' "$bundle/err") == 1 ]] ||
			fail "seed $seed: $(<"$bundle/err")" ;;
		# a shell that was given other words
		2 | 126 | 127) [[ $(<"$bundle/err") != *runbuild:\ error* ]] || fail "seed $seed: $(<"$bundle/err")" ;;
		*) fail "seed $seed: status $status" "$(<"$bundle/err")" ;;
		esac
		state_is_empty
	done
}

test_ids_that_are_none_are_refused() {
	local id member

	begin_spoiling ids
	# as text: jq would write large numbers in another form
	for id in 4294967295 4294967296 18446744073709551615 99999999999999999999 -1 1.5 '"0"' 1e3 '[]'; do
		for member in uid gid umask; do
			jq --arg m "$member" '.process.user[$m] = "@ID@"' "$bundle/good.json" |
				sed "s/\"@ID@\"/$id/" >"$bundle/config.json"
			bad_run '010[569]' "/process/user/$member" || fail "$member $id"
		done
		jq '.process.user.additionalGids = [0, "@ID@"]' "$bundle/good.json" |
			sed "s/\"@ID@\"/$id/" >"$bundle/config.json"
		bad_run '010[569]' /process/user/additionalGids/1 || fail "additional gid $id"
	done
}

test_ids_outside_the_map_are_refused() {
	begin_spoiling unmapped
	spoil uid 0210 /process/user '.process.user.uid = 4000000000'
	spoil gid 0210 /process/user '.process.user.gid = 4000000000'
	spoil groups 0210 /process/user '.process.user.additionalGids = [4000000000]'
}

test_id_maps_that_lie_are_refused() {
	local map

	begin_spoiling maps
	for map in '[{containerID: 0, hostID: 0, size: 0}]' '[{containerID: 4294967295, hostID: 0, size: 1}]' \
		'[{containerID: 0, hostID: 4294967295, size: 1}]' '[{containerID: 4294967290, hostID: 0, size: 10}]' \
		'[{containerID: 0, hostID: 4294967290, size: 10}]' '[{containerID: 0, hostID: -1, size: 1}]' \
		'[{containerID: 0, hostID: 0, size: 10}, {containerID: 5, hostID: 100, size: 10}]' \
		'[{containerID: 0, hostID: 0, size: 10}, {containerID: 20, hostID: 5, size: 10}]' \
		'[{containerID: 0, hostID: 0, size: 4294967296}]' '[{containerID: 0}]' '[]' '{}' \
		'[{containerID: 0, hostID: 3000000000, size: 1}]'; do
		cp -- "$bundle/good.json" "$bundle/config.json"
		edit_config ".linux.namespaces |= map(select(.type != \"user\")) + [{type: \"user\"}]
			| .linux.uidMappings = $map"
		bad run --bundle "$bundle" hostile || fail "uid map $map"
		edit_config ".linux.gidMappings = $map | .linux.uidMappings = [{containerID: 0, hostID: $EUID, size: 1}]"
		bad run --bundle "$bundle" hostile || fail "gid map $map"
	done
}

test_words_that_are_no_paths_are_refused() {
	begin_spoiling words
	spoil 'relative cwd' 0106 /process/cwd '.process.cwd = "tmp"'
	spoil 'empty cwd' 0106 /process/cwd '.process.cwd = ""'
	spoil 'cwd with dots' 0106 /process/cwd '.process.cwd = "../.."'
	spoil 'NUL in args' 010? '' '.process.args = ["a\u0000b"]'
	spoil 'NUL in a path' 0106 '' '.root.path = "/tmp\u0000/x"'
	spoil 'NUL in a key' 0106 '' '.annotations = {"a\u0000b": "c"}'
	spoil 'no root' 0302 '' '.root.path = "/nonexistent/rootfs"'
	spoil 'root is a file' 0302 '' '.root.path = "/etc/passwd"'
	spoil 'long path' '0[13]0[26]' '' '.root.path = "/" + ("x" * 5000)'
}

test_container_ids_that_could_be_paths_are_refused() {
	local id verb

	new_bundle ids2
	for id in '' . .. ../x a/b /a 'a b' $'a\nb' $'a\tb' 'ä' '@seccomp' 'a;b' '$(id)' 'a*' "$(printf 'x%.0s' {1..256})" \
		"$(printf 'x%.0s' {1..5000})" $'\x1b[31m'; do
		for verb in run create; do
			bad "$verb" --bundle "$bundle" "$id" || fail "$verb '$id'"
			grep -q 'RB0003' "$bundle/err" || fail "$verb '$id': $(<"$bundle/err")"
		done
		for verb in state kill delete start; do
			bad "$verb" "$id" || fail "$verb '$id'"
		done
		bad delete --force "$id" || fail "delete --force '$id'"
	done
	set_script 'exit 0'
	for id in a ... .a -- A+b_c-d.e "$(printf 'x%.0s' {1..255})"; do
		[[ $id != -- ]] || continue
		capture runtime run --bundle "$bundle" "$id"
		((status == 0)) || fail "id '$id': $(<"$bundle/err")"
	done
	state_is_empty
}

test_a_bundle_that_is_none_is_refused() {
	new_bundle nobundle
	bad run --bundle "$bundle/missing" hostile
	grep -q RB0100 "$bundle/err"
	bad run --bundle /etc/passwd hostile
	bad run --bundle '' hostile
	rm "$bundle/config.json"
	bad_run 0101 'config.json'
	mkfifo "$bundle/config.json"
	bad_run 0101
	rm "$bundle/config.json" && mkdir "$bundle/config.json"
	bad_run 0101
	rmdir "$bundle/config.json" && ln -s /dev/zero "$bundle/config.json"
	bad_run 0101
	ln -sfn /etc/shadow "$bundle/config.json"
	bad_run 0101
	rm "$bundle/config.json" && truncate -s 1T "$bundle/config.json"
	bad_run 0101 '4 MiB'
	rm "$bundle/config.json" && head -c 5000000 /dev/zero | tr '\0' ' ' >"$bundle/config.json"
	bad_run 0101 '4 MiB'
}

test_a_state_root_that_is_not_ours_is_refused() {
	local saved=$state_root

	new_bundle stateroot
	state_root=$scratch/sr-link
	mkdir -p "$scratch/sr-target"
	ln -sfn "$scratch/sr-target" "$state_root"
	bad run --bundle "$bundle" hostile
	grep -q RB0500 "$bundle/err" || fail "$(<"$bundle/err")"
	[[ -z $(ls -A "$scratch/sr-target") ]] || fail 'something was written through the link'
	state_root=$scratch/sr-file
	: >"$state_root"
	bad run --bundle "$bundle" hostile
	rm "$state_root"
	state_root=$scratch/sr-open
	mkdir -p "$state_root" && chmod 0777 "$state_root"
	bad run --bundle "$bundle" hostile
	state_root=/proc/sys/nowhere
	bad run --bundle "$bundle" hostile
	state_root=$bundle/config.json/x
	bad run --bundle "$bundle" hostile
	state_root=$saved
}

test_a_state_root_of_another_user_is_refused() {
	new_bundle otherroot
	[[ $mode == root ]] || skip 'only root can make files of another user'
	state_root=$scratch/sr-other
	install -d -m 0700 -o nobody "$state_root"
	bad run --bundle "$bundle" hostile
	grep -q 'belongs to another user.*RB0500' "$bundle/err" || fail "$(<"$bundle/err")"
}

test_a_log_that_is_no_file_is_refused() {
	new_bundle logs
	mkfifo "$bundle/fifo"
	for log in "$bundle" "$bundle/fifo" /nonexistent/log; do
		capture timeout 30 "$runbuild" --root "$state_root" --log "$log" run --bundle "$bundle" hostile
		refused 1 'runbuild: error: ' RB0005 || fail "$log"
	done
	# a full disk under the log is not the step's fault
	set_script 'exit 4'
	capture timeout 30 "$runbuild" --root "$state_root" --log /dev/full run --bundle "$bundle" hostile
	same 'the status' 4 "$status"
}

test_a_process_file_that_is_none_is_refused_by_exec() {
	new_bundle processfile
	set_script 'sleep 100'
	runtime create --bundle "$bundle" p >"$bundle/out" 2>&1
	runtime start p
	mkfifo "$bundle/fifo"
	echo '{"args":' >"$bundle/cut"
	head -c 1000000 /dev/zero | tr '\0' '[' >"$bundle/deep"
	echo '{"args":["/bin/true"],"cwd":"relative","user":{"uid":0,"gid":0}}' >"$bundle/cwd"
	echo '{"args":["/bin/true"],"cwd":"/","user":{"uid":4294967295,"gid":0}}' >"$bundle/uid"
	for file in missing fifo cut deep cwd uid; do
		capture timeout 30 "$runbuild" --root "$state_root" exec --process "$bundle/$file" p
		refused 255 'runbuild: error: exec failed: ' '[RB01' || fail "$file"
		[[ $(wc -l <"$bundle/err") == 1 ]] || fail "$file: $(<"$bundle/err")"
	done
	runtime delete --force p
	state_is_empty
}
