# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # scratch, runtime: set by the guest script; builder's script
#
# An ordinary user with what systemd delegated: its own scopes by way of
# systemd --user, and groups made by hand below a group of its own.

# user_bundle NAME PATH: a rootless bundle with limits, which prints them.
user_bundle() {
	local dir=$scratch/user-$1

	mkdir -p "$dir"
	(cd "$dir" && "$runtime" spec --rootless)
	jq --arg root "$scratch/rootfs" --arg path "$2" '
		.root = {path: $root, readonly: false} | .process.terminal = false
		| .process.args = ["/bin/sleep", "1000"] | .process.env = ["PATH=/bin"]
		| .linux.uidMappings[0].hostID = 1001 | .linux.gidMappings[0].hostID = 1001
		| .linux.cgroupsPath = $path
		| .linux.resources = {memory: {limit: 67108864}, pids: {limit: 40}, cpu: {quota: 25000, period: 50000}}' \
		"$dir/config.json" >"$dir/config.new"
	mv -- "$dir/config.new" "$dir/config.json"
	printf '%s' "$dir"
}

# What builder runs: arguments are the runtime with its options, the bundle, a name.
readonly user_life='set -euo pipefail
	bundle=$1 name=$2
	shift 2
	in_group() { cat "/sys/fs/cgroup$(sed -n "s/^0:://p" "/proc/$pid/cgroup")/$1"; }
	"$@" create --bundle "$bundle" --pid-file "/tmp/$name.pid" "$name" </dev/null >/tmp/$name.log 2>&1 ||
		{ cat /tmp/$name.log; exit 1; }
	"$@" start "$name"
	pid=$(cat "/tmp/$name.pid")
	sed "s/.*\///" "/proc/$pid/cgroup"
	in_group memory.max; in_group pids.max; in_group cpu.max
	"$@" update --memory 134217728 --pids-limit 50 "$name"
	in_group memory.max; in_group pids.max
	"$@" pause "$name"
	in_group cgroup.freeze
	"$@" resume "$name"
	in_group cgroup.freeze
	"$@" events --stats "$name" | jq .data.memory.usage.limit
	"$@" exec "$name" /bin/cat /proc/self/cgroup
	group=/sys/fs/cgroup$(sed -n "s/^0:://p" "/proc/$pid/cgroup")
	"$@" delete --force "$name"
	[[ ! -e $group ]] || { echo "left: $group"; exit 1; }
	rm "/tmp/$name.log" "/tmp/$name.pid"'

readonly user_values=$'67108864\n40\n25000 50000\n134217728\n50\n1\n0\n134217728'

test_user_scope_has_the_limits() {
	local output

	output=$(as_builder bash -c "$user_life" life "$(user_bundle scope user.slice:vmtest:userscope)" userscope \
		"$runtime" --systemd-cgroup 2>&1) || fail "$output"
	same 'the scope and its limits' $'vmtest-userscope.scope\n'"$user_values" "$(head -n -1 <<<"$output")"
	contains <(tail -n 1 <<<"$output") vmtest-userscope.scope
}

# systemd-run would make one $ of two, so they are not written here.
test_user_delegated_group_has_the_limits() {
	local output

	output=$(as_builder bash -c "$step_aside"'
		jq --arg path "$own/box" ".linux.cgroupsPath = \$path" "$2/config.json" >/tmp/vmbox.json
		mkdir /tmp/vmbox
		mv /tmp/vmbox.json /tmp/vmbox/config.json
		bash -c "$1" life /tmp/vmbox userbox "$3"
		rm -r /tmp/vmbox' delegated "$user_life" "$(user_bundle box box)" "$runtime" 2>&1) || fail "$output"
	same 'the group and its limits' $'box\n'"$user_values" "$(head -n -1 <<<"$output")"
}

# A group that is not the user's is not joined and limits nothing; the step runs all the same, as with runc.
test_user_runs_without_what_was_not_delegated() {
	local bundle

	bundle=$(user_bundle foreign /vmtest/foreign)
	jq '.process.args = ["/bin/echo", "ran"]' "$bundle/config.json" >"$bundle/config.new"
	mv -- "$bundle/config.new" "$bundle/config.json"
	same 'the output' ran "$(as_builder "$runtime" run --bundle "$bundle" foreign </dev/null)"
	[[ ! -e /sys/fs/cgroup/vmtest/foreign ]] || fail 'a group is left'
}
