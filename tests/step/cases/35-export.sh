# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016,SC2034 # set by the suite and by capture; scripts of steps
#
# A record as a bundle: what other runtimes make of it is what the step was.

records=$HOME/.local/state/runbuild/records

# recorded_step OPTION… -- COMMAND…: a step on layers that is recorded; $id is its record.
recorded_step() {
	dir=$scratch/s/exported
	"$runbuild" rootless -- rm -rf "$dir" "$records"
	mkdir -p "$dir/upper" "$dir/work" "$dir/mounted"
	echo inside >"$dir/mounted/file"
	bundle=$scratch/s/out
	capture "$runbuild" step --quiet --record always --lower "$base" --upper "$dir/upper" --work "$dir/work" "$@"
	id=$("$runbuild" records ls | awk '{ print $1 }')
	[[ -n $id ]] || fail 'no record' "$(cat "$bundle/err")"
}

# in_runtime RUNTIME: runs the bundle $dir/bundle where the step ran.
in_runtime() {
	capture "$runbuild" rootless -- "$1" run --bundle "$dir/bundle" "export-$BASHPID" </dev/null
}

readonly seen='id -u; id -g; pwd; hostname; echo "$TERM"; cat /mnt/file; touch /mnt/x 2>/dev/null || echo read-only
	grep -E "^(CapBnd|NoNewPrivs|Seccomp):" /proc/self/status; ls /sys/class/net | xargs; ls / | xargs
	cat /left 2>/dev/null; cat /proc/kcore 2>/dev/null | wc -c; ulimit -n; exit 6'

test_a_bundle_does_what_the_step_did() {
	local runtime expected

	recorded_step --user 1000:33 --cwd /tmp --hostname named -e TERM=dumb \
		--mount "type=bind,source=$scratch/s/exported/mounted,target=/mnt,ro" -- sh -c "$seen"
	same 'the status' 6 "$status" || fail "$(cat "$bundle/err")"
	expected=$(<"$bundle/out")
	capture "$runbuild" records export "$id" "$dir/bundle"
	ran_well
	for runtime in "$runbuild" $(type -P runc || true); do
		in_runtime "$runtime"
		same "the status of $runtime" 6 "$status" || fail "$(cat "$bundle/err")"
		same "what is seen in $runtime" "$expected" "$(<"$bundle/out")"
		printf '# %s\n' "$runtime"
	done
}

test_the_root_of_a_bundle_is_what_the_step_left() {
	recorded_step -- sh -c 'echo new >/left; rm /bin/ls; ln -s left /link; mkdir /deep; chmod 1770 /deep; exit 0'
	same 'the status' 0 "$status" || fail "$(cat "$bundle/err")"
	"$runbuild" records export "$id" "$dir/bundle"
	capture "$runbuild" rootless -- sh -c 'cd "$1" && cat link; stat -c "%a %U" deep; test -e bin/ls || echo removed
		find . -type c | wc -l; getfattr -R -h -d -m overlay . 2>/dev/null' sh "$dir/bundle/rootfs"
	output_is $'new\n1770 root\nremoved\n0'
	same 'the record is as it was' new "$("$runbuild" rootless -- cat "$records/$id/upper/left")"
	capture "$runbuild" rootless -- ls "$records/$id/upper/bin"
	output_is ls # the whiteout
}

test_the_root_of_a_step_on_a_directory_stays_where_it_is() {
	rm -rf "$records"
	dir=$scratch/s/exported
	"$runbuild" rootless -- rm -rf "$dir"
	mkdir -p "$dir"
	in_base --record always --net host -- sh -c 'exit 2'
	id=$("$runbuild" records ls | awk '{ print $1 }')
	capture "$runbuild" records export "$id" "$dir/bundle"
	ran_well
	same 'the root' "$base" "$(jq -r .root.path "$dir/bundle/config.json")"
	same 'files' config.json "$(ls "$dir/bundle")"
	same 'namespaces of the network' 0 "$(jq '[.linux.namespaces[] | select(.type == "network")] | length' "$dir/bundle/config.json")"
	in_runtime "$runbuild"
	same 'the status' 2 "$status" || fail "$(cat "$bundle/err")"
}

test_values_of_variables_stay_as_the_record_has_them() {
	recorded_step -e TOKEN=hunter2 -e LANG=C -- true
	"$runbuild" records export "$id" "$dir/bundle"
	! grep -rq hunter2 "$dir/bundle/config.json" || fail 'the bundle has the secret'
	same 'a plain one' LANG=C "$(jq -r '.process.env[] | select(startswith("LANG"))' "$dir/bundle/config.json")"
}

test_what_cannot_be_exported_leaves_nothing() {
	recorded_step -- true
	mkdir "$dir/there"
	capture "$runbuild" records export "$id" "$dir/there"
	refused 1 "cannot make the bundle '$dir/there': File exists" '[RB0806]'
	capture "$runbuild" records export nosuch "$dir/bundle"
	refused 1 "no such record: 'nosuch'" '[RB0806]'
	capture "$runbuild" records export "../$id" "$dir/bundle"
	refused 1 'no such record' '[RB0806]'
	"$runbuild" rootless -- rm -rf "$records/$id/upper" "$dir/upper"
	capture "$runbuild" records export "$id" "$dir/bundle"
	refused 1 "$dir/upper" '[RB07'
	printf '{"step":"a","process":{"args":["x"]},"rootfs":{"mountFd":0}}' >"$records/$id/step.json"
	capture "$runbuild" records export "$id" "$dir/bundle"
	refused 1 "the step's root was a descriptor" '[RB0806]'
	printf '{"step":"a","process":{"args":["x"]},"rootfs":{"path":"%s"},"mounts":[{"dest":"/x","fd":0}]}' "$base" >"$records/$id/step.json"
	capture "$runbuild" records export "$id" "$dir/bundle"
	refused 1 'the mount on /x was a descriptor' '[RB0806]'
	[[ ! -e $dir/bundle ]] || fail 'a part of a bundle is left'
}

# What only a worker's step can say.
test_files_parts_and_snapshots_become_files_of_the_bundle() {
	recorded_step -- true
	mkdir -p "$dir/a/part" "$dir/b"
	echo lower >"$dir/b/file"
	echo upper >"$dir/a/file"
	echo part >"$dir/a/part/file"
	jq -n --arg base "$base" --arg dir "$dir" '{step: "a", rootfs: {path: $base, readonly: true}, hostname: "h",
		process: {args: ["cat", "/etc/hosts", "/etc/resolv.conf", "/tmp/whole/file", "/tmp/part/file"], env: ["PATH=/bin"], cwd: "/",
			rlimits: [{type: "NOFILE", soft: 99, hard: 99}], oomScoreAdj: 7},
		mounts: [{dest: "/tmp", tmpfs: {size: 1048576}},
			{dest: "/tmp/whole", snapshot: {lower: [$dir + "/a", $dir + "/b"]}, readonly: true},
			{dest: "/tmp/part", src: ($dir + "/a"), selector: "part", options: ["nosuid", "private"]}],
		hosts: [{host: "somewhere", ip: "192.0.2.7"}], resolv: {nameservers: ["192.0.2.53"]},
		io: {fds: {stdout: 0}}, net: {mode: "netns", netnsFd: 1},
		cgroup: {parent: "/p", resources: {memory: 1048576, cpuQuota: 5, pidsMax: 9}},
		security: {maskedPaths: ["/proc/kcore"], landlock: {read: ["/"]}}}' >"$records/$id/step.json"
	capture "$runbuild" records export "$id" "$dir/bundle"
	same 'the status' 0 "$status" || fail "$(cat "$bundle/err")"
	contains "$bundle/err" 'a network of its own that leads nowhere' "lacks the step's landlock rules"
	same 'limits and the like' '{"memory":{"limit":1048576},"pids":{"limit":9},"cpu":{"quota":5}} /p/runbuild-a 7 RLIMIT_NOFILE 99' \
		"$(jq -r '"\(.linux.resources) \(.linux.cgroupsPath) \(.process.oomScoreAdj) \(.process.rlimits[0].type) \(.process.rlimits[0].hard)"' \
			"$dir/bundle/config.json")"
	same 'options' 'rbind,nosuid,private' "$(jq -r '.mounts[] | select(.destination == "/tmp/part").options | join(",")' "$dir/bundle/config.json")"
	# the machine need not have a cgroup for it
	"$runbuild" rootless -- sh -c 'jq "del(.linux.cgroupsPath, .linux.resources)" "$1" >"$1.new" && mv "$1.new" "$1"' sh "$dir/bundle/config.json"
	in_runtime "$runbuild"
	same 'the status' 0 "$status" || fail "$(cat "$bundle/err")"
	contains "$bundle/out" '192.0.2.7' 'nameserver 192.0.2.53' upper part
}
