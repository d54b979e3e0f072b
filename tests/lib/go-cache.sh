# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Go programs that tests need are built once into the cache folder. The sourcing
# program defines give_up MESSAGE, which must not return.

cache_folder() {
	local cache=${RUNBUILD_CACHE:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/runbuild}

	[[ $cache == /* ]] || cache=$PWD/$cache
	printf '%s' "$cache"
}

# $1 and $2 are dotted numbers: true when $1 >= $2.
version_at_least() {
	[[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]
}

# Prints "go1.26.8"; status 1 when there is no Go. The go line of go.mod
# decides, not a newer toolchain that Go would fetch.
go_version() {
	local found

	found=$(cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || return 1
	printf '%s' "${found%% *}"
}

# go_is_new_enough VERSION DIR: for the go.mod in DIR.
go_is_new_enough() {
	version_at_least "$(sed -E 's/^go([0-9.]+).*/\1/' <<<"$1")" "$(go_wanted_by "$2")"
}

go_wanted_by() {
	sed -n 's/^go //p' "$1/go.mod"
}

# go_build_once FOLDER DIR PROGRAM ARGUMENT…: 'go build ARGUMENT…' in DIR into
# FOLDER, unless PROGRAM is there. Two at once: the second waits for the lock,
# then finds the folder. One that is killed leaves only a folder named *.tmp.*,
# swept by the next.
go_build_once() {
	local folder=$1 directory=$2 program=$3 partial log reason

	shift 3
	[[ ! -x $folder/$program ]] || return 0
	mkdir -p "${folder%/*}"
	exec 9>"${folder%/*}/.go-build.lock"
	flock 9
	if [[ ! -x $folder/$program ]]; then
		rm -rf -- "$folder" "$folder".tmp.*
		partial=$(mktemp -d "$folder.tmp.XXXXXX")
		log=$partial/build.log
		if ! (cd "$directory" && GOTOOLCHAIN=local CGO_ENABLED=0 go build -trimpath \
			-buildvcs=false -mod=readonly -o "$partial/" "$@") >"$log" 2>&1; then
			reason=$(tail -n 1 "$log")
			rm -rf -- "$partial"
			give_up "go build in ${directory##*/} failed: $reason"
		fi
		rm -f -- "$log"
		chmod 0755 "$partial"
		mv -T -- "$partial" "$folder"
	fi
	exec 9>&-
}
