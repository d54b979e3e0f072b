# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016,SC2034 # set by the guest script; the container's script; for the cases
#
# Bundles, users and cgroup files, for the cases in the guest.

# For `bash -c`: a delegated group, $own, without the caller, who is in its way: a group with
# processes hands no controllers on, cgroups(7).
readonly step_aside='set -e
	own=$(sed -n "s/^0:://p" /proc/self/cgroup)
	mkdir "/sys/fs/cgroup$own/init"
	echo "$BASHPID" >"/sys/fs/cgroup$own/init/cgroup.procs"
'

make_root_file_system() {
	local tree=$1

	mkdir -p "$tree"/{bin,dev,etc,proc,root,sys,tmp}
	cp -- "$(type -P busybox)" "$tree/bin/busybox"
	# one process in place of hundreds, which take long here
	"$tree/bin/busybox" --install "$tree/bin"
	printf 'root:x:0:0:root:/root:/bin/sh\n' >"$tree/etc/passwd"
	printf 'root:x:0:\n' >"$tree/etc/group"
	# podman makes them, and an ordinary user could not
	ln -s /proc/mounts "$tree/etc/mtab"
	mkdir "$tree/run"
	touch "$tree"/etc/{hosts,hostname,resolv.conf} "$tree/run/.containerenv"
}

# make_bundle NAME JQ COMMAND: a bundle whose configuration is edited by JQ and
# which runs COMMAND in a shell. Prints its directory.
make_bundle() {
	local dir=$scratch/bundle-$1

	mkdir -p "$dir"
	(cd "$dir" && rm -f config.json && "$runtime" spec)
	jq --arg root "$scratch/rootfs" --arg command "$3" "
		.root = {path: \$root, readonly: false} | .process.terminal = false
		| .process.args = [\"/bin/sh\", \"-c\", \$command]
		| .process.env = [\"PATH=/bin\"] | $2" "$dir/config.json" >"$dir/config.new"
	mv -- "$dir/config.new" "$dir/config.json"
	printf '%s' "$dir"
}

# The cgroup directory of a process, as the host sees it.
cgroup_of() {
	printf '/sys/fs/cgroup%s' "$(sed -n 's/^0:://p' "/proc/$1/cgroup")"
}

# as_builder COMMAND…: with the environment of a login session, inside its
# delegated subtree.
as_builder() {
	systemd-run --quiet --collect --wait --pipe --user --machine=builder@.host \
		--property=Delegate=yes --setenv=PATH="$PATH" --working-directory=/ -- "$@"
}

pid_of() {
	"$runtime" state "$1" | jq .pid
}

state_is() {
	[[ $("$runtime" state "$1" 2>/dev/null | jq -r .status) == "$2" ]]
}

# in_group GROUP FILE…: the values of a group's files, one a line.
in_group() {
	local group=$1 file

	shift
	for file in "$@"; do
		tr '\n' ' ' <"$group/$file"
		echo
	done
}

# start_sleeper NAME JQ [COMMAND]: a container in the background.
start_sleeper() {
	"$runtime" create --bundle "$(make_bundle "$1" "$2" "${3:-exec sleep 1000}")" "$1" \
		</dev/null >"$scratch/$1.log" 2>&1 || fail "create: $(cat "$scratch/$1.log")"
	"$runtime" start "$1"
}

# refused NAME JQ TEXT…: a container that is not made, with the TEXTs in what is
# said; its command did not run, and nothing of it is left.
refused() {
	local name=$1 status=0

	rm -f "$scratch/rootfs/ran"
	"$runtime" run --bundle "$(make_bundle "$name" "$2" '>/ran')" "$name" \
		</dev/null >"$scratch/refusal" 2>&1 || status=$?
	shift 2
	((status != 0)) || fail 'it was not refused'
	contains "$scratch/refusal" "$@" || fail "said: $(cat "$scratch/refusal")"
	same 'lines' 1 "$(wc -l <"$scratch/refusal")" || fail "$(cat "$scratch/refusal")"
	[[ ! -e $scratch/rootfs/ran ]] || fail 'its command ran'
	! "$runtime" state "$name" >/dev/null 2>&1 || fail 'its state is left'
}

# podman_as USER MANAGER ARGUMENT…
podman_as() {
	local user=$1 manager=$2

	shift 2
	if [[ $user == root ]]; then
		podman --root "$scratch/store-root" --runroot "$scratch/run-root" \
			--runtime "$runtime" --cgroup-manager "$manager" --events-backend file "$@"
	else
		as_builder podman --runtime "$runtime" --cgroup-manager "$manager" --events-backend file "$@"
	fi
}

# MAJOR:MINOR of the disk that the containers' roots are on.
disk() {
	mountpoint -d "$(stat -c %m "$scratch")"
}

# io_limits BYTES OPERATIONS: as linux.resources.blockIO, in jq's words.
io_limits() {
	local number

	number=$(disk)
	printf '{blockIO: {throttleReadBpsDevice: [{major: %d, minor: %d, rate: %d}],
		throttleWriteBpsDevice: [{major: %d, minor: %d, rate: %d}],
		throttleReadIOPSDevice: [{major: %d, minor: %d, rate: %d}]}}' \
		"${number%:*}" "${number#*:}" "$1" "${number%:*}" "${number#*:}" "$1" \
		"${number%:*}" "${number#*:}" "$2"
}

# devices_that_open NAME: what a container can do with device nodes that may write
# to 1:11, kmsg, and nothing else beyond the default ones. 1:4 is port. Nodes may be
# made, as with runc, whose own rules allow that; opening them is what is refused.
devices_that_open() {
	mknod "$scratch/rootfs/kmsg" c 1 11
	mknod "$scratch/rootfs/disk" b "$(disk | cut -d : -f 1)" "$(disk | cut -d : -f 2)"
	"$runtime" run --bundle "$(make_bundle "$1" ".linux.cgroupsPath = \"/vmtest/$1\""'
		| .process.capabilities |= map_values(. + ["CAP_MKNOD", "CAP_SYSLOG"])
		| .linux.resources = {devices: [{allow: false, access: "rwm"},
			{allow: true, type: "c", major: 1, minor: 11, access: "w"}]}' "$try_devices")" \
		"$1" </dev/null 2>&1
	rm -- "$scratch/rootfs/kmsg" "$scratch/rootfs/disk" "$scratch/rootfs/port"
}

readonly try_devices='try() { eval "$2" 2>/dev/null && echo "$1"; }
	try "null written" "echo x >/dev/null"
	try "kmsg written" "echo \"<7>runbuild test\" >/kmsg"
	try "kmsg read" "dd if=/kmsg of=/dev/null bs=8k count=1"
	try "disk read" "head -c 1 /disk >/dev/null"
	try "port made" "mknod /port c 1 4"
	try "port read" "head -c 1 /port >/dev/null"
	true'

# lines_of_type TYPE N: has `events`, into $scratch/events, said that often enough?
lines_of_type() {
	(($(grep -c "\"type\":\"$1\"" "$scratch/events") >= $2))
}

# A reading at every interval, in $scratch/events, and the OOM killer as it strikes.
events_tell_the_oom_killer() {
	local listener

	start_sleeper telling '.linux.cgroupsPath = "/vmtest/telling"
		| .linux.resources = {memory: {limit: 25165824, swap: 25165824}}'
	"$runtime" events --interval 100ms telling >"$scratch/events" 2>"$scratch/events.log" &
	listener=$!
	await 60 lines_of_type stats 3 || fail "$(cat "$scratch/events" "$scratch/events.log")"
	"$runtime" exec telling /bin/tail /dev/zero 2>/dev/null || true
	await 60 lines_of_type oom 1 || fail "$(cat "$scratch/events" "$scratch/events.log")"
	"$runtime" delete --force telling
	wait "$listener" || fail "events ended with $?: $(cat "$scratch/events.log")"
}

processes_in() {
	(($(wc -l <"$1/cgroup.procs") == $2))
}

scope_is_gone() {
	[[ $(systemctl is-active "$1") != active ]]
}
