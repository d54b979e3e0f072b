# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What bench/run and bench/buildkit-steps share: the scratch directory, the ordinary user, the way
# into a user namespace, the bundle. Sourced, never run. As root it drops to the user for
# everything but preparing the scratch directory; nothing here needs root.
#
# Layout of the scratch directory:
#   bin/   programs: the harness, the static true, the runtime under test. Belongs to whoever
#          started the script; as root, the user who runs the benchmark cannot write it.
#   user/  belongs to the user: bundles, logs, and user/run, a tmpfs inside the namespace.

bench_dir=${bench_dir:?set by the script that sources this}
scratch=
runner=builder
as_user=()
enter=()
entered=
inner=

say() {
	printf 'bench: %s\n' "$*" >&2
}

die() {
	say "$*"
	exit 2
}

# Ends what runs inside the namespace, by pid, waits for it, and removes the scratch directory.
lib_cleanup() {
	trap '' INT TERM HUP
	if [[ -n $inner ]] && kill -TERM "$inner" 2>/dev/null; then
		wait "$inner" 2>/dev/null || true
	fi
	inner=
	[[ -z $scratch ]] || rm -rf -- "$scratch"
}

lib_init() {
	trap lib_cleanup EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	scratch=$(mktemp -d "${TMPDIR:-/tmp}/runbuild-bench.XXXXXXXX")
	chmod 755 "$scratch"
	mkdir "$scratch/bin" "$scratch/user"
}

# Chooses the ordinary user: the caller, or, for root, $runner, made with a range of
# subordinate ids when missing. The user is kept: removing accounts is not a script's business.
lib_user() {
	if ((EUID != 0)); then
		runner=$(id -un)
	elif ! id -u "$runner" >/dev/null 2>&1; then
		say "creating the user $runner"
		useradd --create-home --shell /bin/bash "$runner"
	fi
	local file
	for file in /etc/subuid /etc/subgid; do
		grep -q "^$runner:" "$file" 2>/dev/null && continue
		((EUID == 0)) || die "$file has no line for $runner"
		say "giving $runner the ids 100000 to 165535 in $file"
		printf '%s:100000:65536\n' "$runner" >>"$file"
	done
	((EUID != 0)) ||
		as_user=(setpriv --reuid "$runner" --regid "$(id -g "$runner")" --init-groups --)
}

# The environment of everything that is measured.
lib_environment() {
	printf '%s\n' "PATH=$scratch/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
		"HOME=$scratch/user" "USER=$runner" "LOGNAME=$runner" LC_ALL=C \
		"XDG_RUNTIME_DIR=$scratch/user/run" "TMPDIR=$scratch/user"
}

# lib_compile OUTPUT SOURCE...
lib_compile() {
	local output=$1
	shift
	"${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -O2 -static -Wall -Wextra -o "$scratch/bin/$output" "$@" ||
		die "cannot build $output (a static libc is needed)"
}

# lib_runbuild PATH: puts the runtime under test where its user cannot write it.
lib_runbuild() {
	local path=$1 candidate
	if [[ -z $path ]]; then
		for candidate in "$bench_dir"/../build/runbuild "$bench_dir"/../runbuild \
			"$(command -v runbuild || true)"; do
			[[ -x $candidate && -f $candidate ]] && path=$candidate && break
		done
	fi
	[[ -n $path ]] || die "no runbuild found: build it, or give --runbuild PATH"
	[[ -x $path && -f $path ]] || die "$path is not a program"
	! grep -qa -e __asan_init -e __ubsan_handle -e __tsan_init "$path" ||
		die "$path is built with sanitizers: they would be measured, not the program"
	install -m 755 "$path" "$scratch/bin/runbuild"
}

# lib_bundle DIR ARGS [EDIT...]: a config.json out of the captured one. ARGS is the JSON array of
# the payload. EDIT: netns adds a network namespace; noseccomp and nomasks take a block away.
# ociVersion becomes 1.0.2, because crun 1.8.1 refuses 1.3.0; one file serves all runtimes.
lib_bundle() {
	local dir=$1 args=$2
	shift 2
	mkdir -p "$dir"
	awk -v bundle="$scratch/user/common" -v args="$args" -v edits=" $* " '
		function wanted(edit) { return index(edits, " " edit " ") > 0 }
		skip != "" { if (index($0, skip) == 1) skip = ""; next }
		/^ "ociVersion":/ { print " \"ociVersion\": \"1.0.2\","; next }
		/^  "args": \[$/ { print "  \"args\": " args ","; skip = "  ]"; next }
		/^  "seccomp": \{$/ && wanted("noseccomp") { skip = "  }"; next }
		/^  "maskedPaths": \[$/ && wanted("nomasks") { skip = "  ]"; next }
		{ gsub("@BUNDLE@", bundle); print }
		/^  "namespaces": \[$/ && wanted("netns") { print "   { \"type\": \"network\" }," }
	' "$bench_dir/../tests/data/buildkit-rootless.json.in" >"$dir/config.json"
	if ! grep -q '^}$' "$dir/config.json" || ! grep -qF "$args" "$dir/config.json" ||
		grep -qF '@BUNDLE@' "$dir/config.json"; then
		die "the captured config.json no longer has the layout that lib_bundle edits"
	fi
}

# The files that every bundle shares: root file system, bind sources. Needs bin/harness, bin/true.
lib_rootfs() {
	local common=$scratch/user/common busybox name
	busybox=$(command -v busybox) || die "busybox is missing (package busybox-static)"
	! ldd "$busybox" >/dev/null 2>&1 ||
		die "$busybox is linked dynamically; a static one is needed (package busybox-static)"
	mkdir -p "$common"/rootfs/{bin,dev,etc,proc,sys,tmp}
	install -m 755 "$busybox" "$common/rootfs/bin/busybox"
	install -m 755 "$scratch/bin/true" "$common/rootfs/bin/true"
	for name in sh sleep; do
		ln -s busybox "$common/rootfs/bin/$name"
	done
	# The targets of the file mounts exist, as they do for every step after the first.
	touch "$common"/rootfs/etc/{hosts,resolv.conf}
	printf '127.0.0.1 localhost\n' >"$common/hosts"
	printf 'nameserver 127.0.0.1\n' >"$common/resolv.conf"
	mkfifo "$common/rootfs/ready"
	"$scratch/bin/harness" --bind-socket "$common/otel-grpc.sock"
}

# lib_enter HOW: sets enter, the words before a command that runs it as root of a new user and
# mount namespace, and entered, which says how. HOW: auto, or a comma list out of runbuild,
# unshare, rootlesskit.
lib_enter() {
	local how=$1 state=$scratch/user/rootless
	[[ $how != auto ]] || how=runbuild,unshare
	for how in ${how//,/ }; do
		case $how in
		runbuild)
			enter=("$scratch/bin/runbuild" rootless --net=host "--state-dir=$state" --)
			entered="runbuild rootless --net=host"
			;;
		unshare)
			enter=(unshare --user --map-auto --map-root-user --mount --)
			entered="${enter[*]:0:5}"
			;;
		rootlesskit)
			enter=(rootlesskit --net=host "--state-dir=$state" --)
			entered="rootlesskit --net=host"
			;;
		*) die "unknown way into a user namespace: $how" ;;
		esac
		# shellcheck disable=SC2016 # the inner shell expands it
		if (lib_become timeout -k 5 20 "${enter[@]}" /bin/sh -c \
			'[ "$(id -u)" = 0 ] && mount -t tmpfs tmpfs "$HOME/run" && echo entered') \
			>"$scratch/enter.log" 2>&1 && [[ $(tail -n 1 "$scratch/enter.log") == entered ]]; then
			return
		fi
		say "cannot enter with '$entered': $(tail -n 1 "$scratch/enter.log")"
	done
	die "no way into a user namespace as $runner"
}

# Becomes a command that runs as the user with the environment of the benchmark.
lib_become() {
	local -a environment
	mapfile -t environment < <(lib_environment)
	cd /
	exec env -i "${environment[@]}" ${as_user[@]+"${as_user[@]}"} "$@"
}

# Starts a script inside the namespace and waits for it. Its status is the result.
lib_inside() {
	local status=0
	lib_become "${enter[@]}" "$@" & # no subshell between: the pid must be the command's
	inner=$!
	wait "$inner" || status=$?
	inner=
	return "$status"
}

# lib_cover NAME: starts a holder of a private mount namespace whose /sys/fs/cgroup is an empty
# tmpfs, and sets cover_pid. The holder ends when this process, and what it executes, has ended:
# then its stdin, which nobody writes to, reaches its end. Called inside the user namespace only.
cover_pid=
lib_cover() {
	coproc cover { exec unshare --mount --propagation private /bin/sh -c \
		'mount -t tmpfs tmpfs /sys/fs/cgroup && echo ready && read -r _'; }
	local line=
	read -r -t 10 line <&"${cover[0]}" || true
	[[ $line == ready ]] || die "cannot make a mount namespace with /sys/fs/cgroup covered"
	# bash closes a coprocess's descriptors, and copies of them, when it executes another
	# program. One that is opened anew stays.
	# shellcheck disable=SC2034 # only has to be open
	exec {cover_fd}>"/proc/self/fd/${cover[1]}"
	# shellcheck disable=SC2034,SC2154 # used by the caller; set by coproc
	cover_pid=$cover_PID
}

# lib_version PROGRAM: one line that names it.
lib_version() {
	"$1" --version 2>/dev/null | head -n 1 || true
}

lib_cgroup_layout() {
	local v1 v2
	v1=$(grep -c ' - cgroup ' /proc/self/mountinfo || true)
	v2=$(grep -c ' - cgroup2 ' /proc/self/mountinfo || true)
	if ((v1 && v2)); then
		echo "v1 and v2 (hybrid)"
	elif ((v1)); then
		echo v1
	elif ((v2)); then
		echo v2
	else
		echo none
	fi
}
