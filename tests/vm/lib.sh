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
