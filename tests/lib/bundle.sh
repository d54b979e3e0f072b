# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # scratch, runbuild, mode: set by the suite
#
# Bundles made of files of this machine, and one call to run a container.
#
# The suite sets, before prepare_bundles:
#   scratch    its directory; everything below is made in there
#   runbuild   the runtime
#   mode       who asks: root (on the host), user (uid 0 of a user namespace that
#              a launcher made; no user namespace in the configuration), or userns
#              (an ordinary user; the configuration has the user namespace and maps)
#
# A test then reads like this:
#   new_bundle NAME
#   edit_config '.hostname = "h"'
#   set_script 'hostname'
#   run_container ID
#   same 'host name' h "$(<"$bundle/out")"

# Prints the path of a static busybox.
find_busybox() {
	local busybox

	for busybox in $(type -aP busybox) /usr/lib/initramfs-tools/bin/busybox /bin/busybox.static; do
		[[ -x $busybox ]] || continue
		ldd "$busybox" >/dev/null 2>&1 || {
			printf '%s' "$busybox"
			return
		}
	done
	return 1
}

# build_probe SOURCE.c TARGET: a static C program for the inside of a container;
# status 1 when this machine cannot link one.
build_probe() {
	local cc

	cc=$(type -P cc || type -P gcc || type -P clang) &&
		"$cc" -O1 -Wall -static -o "$2" "$1"
}

# make_base_rootfs DIR BUSYBOX: busybox under its names, three users and groups,
# the usual empty folders.
make_base_rootfs() {
	local tree=$1 busybox=$2 applet

	mkdir -p "$tree"/{bin,dev,etc,proc,root,sys,tmp,var}
	cp -- "$busybox" "$tree/bin/busybox"
	for applet in $("$busybox" --list); do
		[[ $applet == busybox ]] || ln -s busybox "$tree/bin/${applet##*/}"
	done
	printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'app:x:1000:1000:app:/home/app:/bin/sh' \
		'www-data:x:33:33:www-data:/var/www:/bin/sh' >"$tree/etc/passwd"
	printf '%s\n' 'root:x:0:' 'www-data:x:33:' 'app:x:1000:' 'extra:x:2000:app' >"$tree/etc/group"
	chmod 0700 "$tree/root"
	chmod 1777 "$tree/tmp"
}

# first_subid FILE: the first subordinate id of this user.
first_subid() {
	awk -F: -v name="$(id -un)" -v uid="$EUID" '$1 == name || $1 == uid { print $2; exit }' "$1"
}

# The part of the configuration that depends on who asks.
mode_filter() {
	local uid gid

	[[ $mode == userns ]] || {
		printf '.'
		return
	}
	uid=$(first_subid /etc/subuid) gid=$(first_subid /etc/subgid)
	printf '.linux.uidMappings = [{containerID: 0, hostID: %d, size: 1},
		{containerID: 1, hostID: %d, size: 65535}] |
		.linux.gidMappings = [{containerID: 0, hostID: %d, size: 1},
		{containerID: 1, hostID: %d, size: 65535}]' \
		"$EUID" "${uid:?no subuid range}" "$(id -g)" "${gid:?no subgid range}"
}

# prepare_bundles: makes what all bundles share. Call it once.
prepare_bundles() {
	local dir=$scratch/base rootless=()

	[[ $mode != userns ]] || rootless=(--rootless)
	mkdir -p "$dir" "$scratch/bundles"
	make_base_rootfs "$dir/rootfs" "$(find_busybox)"
	"$runbuild" spec "${rootless[@]}" --bundle "$dir"
	# the same on every host: with cgroup v1, spec writes no cgroup namespace
	jq --arg mode "$mode" 'if $mode != "userns" and all(.linux.namespaces[]; .type != "cgroup")
		then .linux.namespaces += [{type: "cgroup"}] else . end' "$dir/config.json" >"$dir/spec.json"
	rm -- "$dir/config.json"
	# A small, quiet container: no terminal, a writable root, no filter. What these
	# leave out has its own tests.
	jq "$(mode_filter) | .process.terminal = false | .root.readonly = false | del(.linux.seccomp)
		| .process.args = [\"/bin/true\"] | .process.env = [\"PATH=/bin\"]" \
		"$dir/spec.json" >"$dir/config.json"
	state_root=$scratch/state
}

# new_bundle NAME: a fresh bundle in $bundle; its root may be written.
new_bundle() {
	bundle=$scratch/bundles/$1
	mkdir -p "$bundle"
	# Programs are shared by hard links; the rest is a copy.
	cp -al -- "$scratch/base/rootfs" "$bundle/rootfs"
	rm -rf -- "$bundle/rootfs/etc"
	cp -a -- "$scratch/base/rootfs/etc" "$bundle/rootfs/etc"
	cp -- "$scratch/base/config.json" "$bundle/config.json"
}

# spec_bundle NAME: as new_bundle, with the configuration that `spec` wrote.
spec_bundle() {
	new_bundle "$1"
	jq "$(mode_filter) | .process.terminal = false" "$scratch/base/spec.json" >"$bundle/config.json"
}

# buildkit_bundle NAME: as new_bundle, with a configuration as a rootless
# BuildKit writes it, and the files that it names.
buildkit_bundle() {
	local data

	data=$(dirname "${BASH_SOURCE[0]}")/../data
	new_bundle "$1"
	printf 'nameserver 192.0.2.1\n' >"$bundle/resolv.conf"
	printf '127.0.0.1 localhost\n' >"$bundle/hosts"
	: >"$bundle/otel-grpc.sock"
	sed "s|@BUNDLE@|$bundle|g" "$data/buildkit-rootless.json.in" | jq "$(mode_filter)" >"$bundle/config.json"
	# BuildKit's own configuration has no user namespace: its launcher made one.
	[[ $mode != userns ]] || edit_config '.linux.namespaces += [{type: "user"}]'
}

# edit_config [JQ-OPTION…] FILTER: changes the configuration of $bundle.
edit_config() {
	jq "$@" "$bundle/config.json" >"$bundle/config.new"
	mv -- "$bundle/config.new" "$bundle/config.json"
}

# set_script TEXT: the container runs TEXT in the shell.
# shellcheck disable=SC2016 # jq's $script
set_script() {
	edit_config --arg script "$1" '.process.args = ["/bin/sh", "-c", $script]'
}

# runtime ARGUMENT…: the runtime with the suite's state root and the bundle's log.
runtime() {
	"$runbuild" --root "$state_root" --log "$bundle/log" "$@"
}

# capture COMMAND…: status in $status, output in $bundle/out and $bundle/err.
# shellcheck disable=SC2034 # status: read by the tests
capture() {
	bundle=${bundle:-$scratch}
	status=0
	# a step gets its standard streams as its own: the last ones may not be ours any more
	rm -f -- "$bundle/out" "$bundle/err"
	"$@" >"$bundle/out" 2>"$bundle/err" || status=$?
}

# run_container ID [OPTION…]: runs $bundle in the foreground; see capture.
run_container() {
	local id=$1

	shift
	capture runtime run --bundle "$bundle" "$@" "$id"
}

# ran_well: the last capture ended with status 0 and wrote nothing to stderr.
ran_well() {
	if ((status != 0)) || [[ -s $bundle/err ]]; then
		fail "status $status; stdout, stderr, log:" "$(cat "$bundle/out" "$bundle/err" "$bundle/log" 2>/dev/null)"
	fi
}

# output_is TEXT: the last capture was clean and printed TEXT.
output_is() {
	ran_well && same 'the output' "$1" "$(<"$bundle/out")"
}

# refused STATUS TEXT…: the last capture ended with STATUS, every TEXT stands in
# its stderr, and nothing on stdout.
refused() {
	local expected=$1

	shift
	same 'the status' "$expected" "$status" || fail "$(cat "$bundle/err")" || return 1
	contains "$bundle/err" "$@" || fail 'stderr was:' "$(cat "$bundle/err")"
}
