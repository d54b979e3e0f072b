# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A Debian minbase tree of this machine's release, made once by mmdebstrap and
# kept as a tar in the cache folder. Without device nodes, which no ordinary
# user can unpack, and without documentation.

cache_folder() {
	printf '%s' "${RUNBUILD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/runbuild}"
}

debian_codename() {
	# shellcheck source=/dev/null
	(. /etc/os-release && [[ ${ID:-} == debian ]] && printf '%s' "${VERSION_CODENAME:-bookworm}") ||
		printf bookworm
}

# debian_base LOG: prints the path of the tar, which it makes when there is none.
# Status 1: the reason stands in stderr, mmdebstrap's output in LOG.
debian_base() {
	local log=$1 codename tar partial cache

	cache=$(cache_folder)
	codename=$(debian_codename)
	tar=$cache/debian-minbase-$codename.tar
	if [[ ! -f $tar ]]; then
		type -P mmdebstrap >/dev/null || {
			printf 'no mmdebstrap, and no tar in the cache folder\n' >&2
			return 1
		}
		mkdir -p "$cache"
		exec 8>"$cache/.debian.lock"
		flock 8
	fi
	if [[ ! -f $tar ]]; then
		partial=$(mktemp "$tar.tmp.XXXXXX.tar")
		mmdebstrap --quiet --variant=minbase --format=tar --skip=output/dev \
			--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
			--dpkgopt='path-exclude=/usr/share/man/*' "$codename" "$partial" >"$log" 2>&1 || {
			rm -f -- "$partial"
			printf 'mmdebstrap: %s\n' "$(tail -n 1 "$log")" >&2
			return 1
		}
		chmod 0644 "$partial"
		mv -- "$partial" "$tar"
	fi
	exec 8>&-
	printf '%s' "$tar"
}
