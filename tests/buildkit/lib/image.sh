# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # scratch, buildctl …: set by the suite
#
# The base image, made from files of this machine, and one call per build.

readonly build_seconds=120

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

# A root tree: busybox under its names, two users, the usual empty folders,
# and the probe program when a C compiler is there.
make_base_tree() {
	local tree=$1 busybox=$2 applet cc

	mkdir -p "$tree"/{bin,dev,etc,proc,root,sys,tmp,var}
	cp -- "$busybox" "$tree/bin/busybox"
	for applet in $("$busybox" --list); do
		[[ $applet == busybox ]] || ln -s busybox "$tree/bin/${applet##*/}"
	done
	printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'app:x:1000:1000:app:/home/app:/bin/sh' \
		'www-data:x:33:33:www-data:/var/www:/bin/sh' >"$tree/etc/passwd"
	printf '%s\n' 'root:x:0:' 'www-data:x:33:' 'app:x:1000:' 'extra:x:2000:app' \
		'more:x:3000:app,www-data' >"$tree/etc/group"
	chmod 0700 "$tree/root"
	chmod 1777 "$tree/tmp"
	if cc=$(type -P cc || type -P gcc || type -P clang); then
		"$cc" -O1 -static -o "$tree/bin/probe" "$here/lib/probe.c" ||
			printf '# %s cannot link a static program: the probe is left out\n' "$cc"
	fi
}

need_probe() {
	[[ -x $scratch/base/bin/probe ]] || skip 'no C compiler that links static programs'
}

# context_of NAME: the (new) context directory of build NAME.
context_of() {
	mkdir -p "$scratch/build/$1/context"
	printf '%s' "$scratch/build/$1/context"
}

# prepare_build NAME: the Dockerfile on stdin goes on top of the stage "base";
# sets client_command, which buildctl options may be added to.
prepare_build() {
	local dir=$scratch/build/$1

	mkdir -p "$dir/context" "$dir/dockerfile"
	{
		printf 'FROM scratch AS base\nCOPY --from=rootfs / /\nENV PATH=/bin\n'
		cat
	} >"$dir/dockerfile/Dockerfile"
	client_command=("$buildctl" --addr "$address" build --frontend dockerfile.v0
		--local context="$dir/context" --local dockerfile="$dir/dockerfile"
		--local rootfs="$scratch/base" --opt context:rootfs=local:rootfs --progress=plain)
}

# build NAME [OPTION…]: builds the Dockerfile on stdin; the log is the file
# that log_of names. Status: buildctl's.
build() {
	local name=$1 status=0 client_command

	shift
	prepare_build "$name"
	timeout --signal=INT --kill-after=10 "$build_seconds" "${client_command[@]}" "$@" \
		>"$(log_of "$name")" 2>&1 || status=$?
	((status == 0)) || printf 'build %s: buildctl ended with %d\n' "$name" "$status"
	return "$status"
}

# start_build NAME: the same as a background job; sets client, the pid. SIGINT
# has to reach it, and a shell's background jobs start with SIGINT ignored.
start_build() {
	local client_command

	prepare_build "$1"
	env --default-signal=INT "${client_command[@]}" >"$(log_of "$1")" 2>&1 &
	client=$!
}

client_ended() {
	! kill -0 "$client" 2>/dev/null
}

# The same for a build that has to succeed: its log is part of the failure.
must_build() {
	build "$@" || {
		tail -n 40 "$(log_of "$1")"
		return 1
	}
}

log_of() {
	printf '%s' "$scratch/build/$1/log"
}

# The lines that a step printed, without "#7 0.123 ".
step_output() {
	sed -nE 's/^#[0-9]+ [0-9]+\.[0-9]+ //p' "$(log_of "$1")"
}

# tar_list FILE: one line per entry, sorted: type mode uid:gid size name.
tar_list() {
	python3 "$here/lib/tarlist.py" "$1"
}
