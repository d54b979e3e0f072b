# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # here, state_root: of the suite
#
# A suite that an ordinary user runs in one of two modes, and root only starts:
#   user    as uid 0 of a user namespace that 'runbuild rootless --net=host' made
#   userns  as the user, with a user namespace in each configuration
# (root stays root, for what an ordinary user cannot have: cgroups.)
#
# The suite sets `here`, sources tap.sh, user.sh, bundle.sh and this, defines
# build_tools DIR, and calls suite_begin "$@"; what follows runs in its mode.

skip_everything() {
	printf '1..0 # SKIP %s\n' "$1"
	exit 77
}

refuse() {
	printf 'suite: %s\n' "$1" >&2
	exit 2
}

suite_usage() {
	cat <<-'E'
		usage: suite [--as root|user|userns] [--full] [--runtime PATH] [--only PATTERN]
		             [--user NAME] [--keep]

		--as MODE       who calls the runtime (default: userns)
		--full          every point instead of some: for releases
		--runtime PATH  the runtime (default: $RUNBUILD, else build/runbuild)
		--only PATTERN  only tests whose names match the shell pattern
		--user NAME     the ordinary user when started as root (default: builder)
		--keep          leave the scratch directory
	E
}

suite_options() {
	only='' keep='' full='' user=builder mode=userns
	runbuild=${RUNBUILD:-$here/../../build/runbuild}
	while (($# > 0)); do
		case $1 in
		--keep) keep=1 ;;
		--full) full=1 ;;
		--help | -h)
			suite_usage
			exit 0
			;;
		--as | --runtime | --only | --user)
			(($# > 1)) || refuse "$1 needs a value"
			case $1 in
			--as) mode=$2 ;;
			--runtime) runbuild=$2 ;;
			--only) only=$2 ;;
			--user) user=$2 ;;
			esac
			shift
			;;
		*) refuse "unknown option: $1" ;;
		esac
		shift
	done
	[[ $mode == root || $mode == user || $mode == userns ]] || refuse "--as: root, user or userns, not $mode"
	[[ -x $runbuild ]] || refuse 'no runtime: build it, or give --runtime'
	runbuild=$(realpath -s -- "$runbuild")
}

suite_needs() {
	local program

	find_busybox >/dev/null || skip_everything 'no static busybox (Debian: busybox-static)'
	for program in cc jq python3 setpriv timeout; do
		type -P "$program" >/dev/null || skip_everything "$program is missing"
	done
	[[ $mode != root ]] || ((EUID == 0)) || skip_everything 'mode root needs root'
}

# Files of ids that only a user namespace with the same map can remove.
suite_remove_scratch() {
	local status=$?

	trap - EXIT INT TERM HUP
	if [[ -z $keep && -z ${RUNBUILD_SUITE_INSIDE:-} ]]; then
		((EUID == 0)) || "$runbuild" rootless --net=host --state-dir "$scratch/launcher" -- \
			chmod -R u+rwX "$scratch/bundles" 2>/dev/null || true
		((EUID == 0)) || "$runbuild" rootless --net=host --state-dir "$scratch/launcher" -- \
			rm -rf "$scratch/bundles" "$scratch/launcher" 2>/dev/null || true
		[[ -n ${RUNBUILD_SUITE_SCRATCH:-} ]] || rm -rf -- "$scratch"
	fi
	exit "$status"
}

# Root's part: the suite once more as an ordinary user. The runtime is a copy
# that the user cannot write, as an installed one is.
suite_as_user() {
	local lent=$scratch/lent status=0 arguments=(--as "$mode" --only "$only")

	create_user_if_absent "$user" >&2
	mkdir -p "$scratch/runtime"
	install -m 0755 -- "$runbuild" "$scratch/runtime/runbuild"
	chown "$user:" "$scratch"
	chmod 0755 "$scratch"
	run_suite_as_user "$user" "$scratch" RUNBUILD_SUITE_SCRATCH="$scratch" \
		bash "$(lend "$user" "$lent" "${here%/*}")/${here##*/}/suite" "${arguments[@]}" \
		--runtime "$scratch/runtime/runbuild" ${full:+--full} ${keep:+--keep} || status=$?
	[[ -z $keep ]] || printf '# scratch: %s\n' "$scratch"
	exit "$status"
}

suite_inside() {
	local status=0

	install -d -m 0700 "$scratch/launcher"
	RUNBUILD_SUITE_SCRATCH=$scratch RUNBUILD_SUITE_INSIDE=1 \
		"$runbuild" rootless --net=host --state-dir "$scratch/launcher" -- \
		bash "$here/suite" --as user --only "$only" --runtime "$runbuild" ${full:+--full} ${keep:+--keep} ||
		status=$?
	exit "$status"
}

suite_begin() {
	suite_options "$@"
	suite_needs
	scratch=${RUNBUILD_SUITE_SCRATCH:-}
	[[ -n $scratch ]] || scratch=$(mktemp -d "${TMPDIR:-/tmp}/runbuild-${here##*/}.XXXXXX")
	trap suite_remove_scratch EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	tools=$scratch/tools
	if [[ ! -d $tools ]]; then
		mkdir -p "$tools"
		build_tools "$tools"
	fi
	((EUID != 0)) || [[ $mode == root || -n ${RUNBUILD_SUITE_INSIDE:-} ]] || suite_as_user
	[[ $mode != user || -n ${RUNBUILD_SUITE_INSIDE:-} ]] || suite_inside
	install -d -m 0700 "$scratch/run" "$scratch/tmp" "$scratch/home"
	export XDG_RUNTIME_DIR=$scratch/run TMPDIR=$scratch/tmp HOME=$scratch/home
	unset NOTIFY_SOCKET LISTEN_FDS LISTEN_PID RUNBUILD_PIDNS
	prepare_bundles
}

# state_is_empty: no container is left below the state root.
state_is_empty() {
	local left

	[[ ! -d $state_root ]] || left=$(find "$state_root" -mindepth 1 -maxdepth 1 ! -name '@*')
	[[ -z ${left:-} ]] || fail "state is left: $left"
}
