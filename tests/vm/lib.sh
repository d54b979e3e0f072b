# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # scratch, runtime: set by the guest script
#
# Bundles, users and cgroup files, for the cases in the guest.

make_root_file_system() {
	local tree=$1 applet

	mkdir -p "$tree"/{bin,dev,etc,proc,root,sys,tmp}
	cp -- "$(type -P busybox)" "$tree/bin/busybox"
	for applet in $(busybox --list); do
		[[ $applet == busybox ]] || ln -s busybox "$tree/bin/${applet##*/}"
	done
	printf 'root:x:0:0:root:/root:/bin/sh\n' >"$tree/etc/passwd"
	printf 'root:x:0:\n' >"$tree/etc/group"
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
