# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # set by the suite
#
# make install, uninstall, dist and distcheck; the bash completion.

# manual_pages: the pages whose sources stand in man/, as runbuild.1.
manual_pages() {
	local page

	for page in "$top"/man/*.scd; do
		[[ ! -f $page ]] || basename "$page" .scd
	done | sed '/^runbuild-errors/d'
	# Written from the catalogue.
	[[ ! -f $top/man/errors.awk ]] || printf 'runbuild-errors.7\n'
}

# expected_files LIBDIR [SUFFIX]: prints "mode path" of every file that make install
# puts below a prefix of /usr; SUFFIX is what a package's compression adds to pages.
expected_files() {
	local page libdir=$1 suffix=${2:-}

	printf '755 /usr/bin/runbuild\n'
	printf '755 /usr/libexec/runbuild/%s\n' runbuild-netlink runbuild-subids runbuild-systemd
	printf '644 /usr/include/runbuild-client.h\n'
	printf "644 $libdir/%s\n" librunbuild-client.a pkgconfig/runbuild-client.pc
	printf '644 /usr/share/%s\n' bash-completion/completions/runbuild \
		runbuild/apparmor/runbuild runbuild/seccomp/default.json
	type -P scdoc >/dev/null || return 0
	for page in $(manual_pages); do
		printf '644 /usr/share/man/man%s/%s\n' "${page##*.}" "$page$suffix"
	done
}

make_quietly() {
	make -C "$builddir" "$@" >"$scratch/make.log" 2>&1 || fail "make $*:" "$(tail -n 30 "$scratch/make.log")"
}

test_install_puts_every_file_below_destdir_and_prefix() {
	make_quietly install DESTDIR="$scratch/dest" prefix=/usr
	same 'installed files' "$(expected_files /usr/lib | sort)" \
		"$(cd "$scratch/dest" && find . -type f -printf '%m /%P\n' | sort)"
	cmp "$top/seccomp/default.json" "$scratch/dest/usr/share/runbuild/seccomp/default.json"
}

test_uninstall_removes_what_install_put() {
	[[ -d $scratch/dest ]] || skip 'nothing was installed: see an earlier test'
	make_quietly uninstall DESTDIR="$scratch/dest" prefix=/usr
	same 'files that stay' '' "$(find "$scratch/dest" ! -type d)"
	[[ ! -e $scratch/dest/usr/share/runbuild ]] || fail 'the empty folder share/runbuild stays'
}

# The release is what the repository holds, and what autoreconf makes of it.
test_release_is_the_repository_and_generated_build_files() {
	local tarball

	make_quietly dist
	tarball=$(ls "$builddir"/runbuild-*.tar.xz)
	tar -tf "$tarball" | sed -n 's|^[^/]*/||; /./{/\/$/!p}' | sort >"$scratch/in-release"
	"$top/scripts/list-files" | sort >"$scratch/in-tree"
	same 'files of the tree that are not in the release' '' "$(comm -23 "$scratch/in-tree" "$scratch/in-release")"
	same 'files in the release that are not in the tree' '' "$(comm -13 "$scratch/in-tree" "$scratch/in-release" |
		grep -vxE 'Makefile\.in|aclocal\.m4|config\.h\.in|configure|build-aux/[a-z.-]+|man/[a-z-]+\.[1-8]|man/runbuild-errors\.7\.scd' || true)"
}

test_release_is_the_same_bytes_every_time() {
	local tarball before

	tarball=$(ls "$builddir"/runbuild-*.tar.xz)
	before=$(sha256sum <"$tarball")
	(umask 077 && TZ=Asia/Kathmandu make_quietly dist)
	same 'the checksum of the release' "$before" "$(sha256sum <"$tarball")"
}

# Unpacks the release and configures, builds, installs, uninstalls and packs it out of its tree.
# Without the tests, which the other suites run here; `make distcheck` alone has them as well.
test_distcheck_passes() {
	make_quietly -j2 distcheck AM_DISTCHECK_CONFIGURE_FLAGS=--disable-tests
}

# make_variable NAME: its value in the build directory.
# shellcheck disable=SC2016 # make expands it
make_variable() {
	printf 'include Makefile\nshow-it:\n\t@echo $(%s)\n' "$1" | make -C "$builddir" -s -f - show-it
}

test_apparmor_profile_names_the_installed_program() {
	local profile=$scratch/profile

	cp -- "$builddir/apparmor/runbuild" "$profile"
	contains "$profile" "profile runbuild $(make_variable bindir)/runbuild flags=(unconfined)" 'userns,' 'abi <abi/4.0>'
	need apparmor_parser
	# Without what AppArmor 3 does not know: this release's parser may be one.
	[[ -e /etc/apparmor.d/abi/4.0 ]] || sed -i '/abi <abi/d; /userns,/d' "$profile"
	apparmor_parser --skip-kernel-load --skip-cache "$profile"
}

# complete_words WORD…: what bash offers for the last word.
complete_words() {
	# shellcheck disable=SC2016 # the inner shell expands it
	bash -c '
		source "$1"
		compopt() { :; }
		shift
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_runbuild "$1" "${@: -1}"
		printf "%s\n" "${COMPREPLY[@]}"' - "$top/packaging/bash-completion/runbuild" "$builddir/runbuild" "$@"
}

test_completion_offers_what_help_lists() {
	local verb

	same 'the verbs' "$("$builddir/runbuild" --help | awk '/^[A-Z]/ { on = /^VERBS/; next } on && NF { print $1 }')" \
		"$(complete_words '')"
	for verb in $(complete_words ''); do
		same "the options of $verb" \
			"$("$builddir/runbuild" "$verb" --help | awk '/^[A-Z]/ { on = /OPTIONS/; next } on && /^   --/ { sub(",", "", $1); print $1 }')" \
			"$(complete_words "$verb" --)"
	done
	same 'values of --log-format' $'text\njson' "$(complete_words --log-format '')"
	same 'values of --log-format=' json "$(complete_words --log-format = j)"
	same 'values in a line that is too long for its column' $'auto\ntrue\nfalse' \
		"$(complete_words rootless --slirp4netns-sandbox '')"
	same 'values after a short option' '' "$(complete_words rootless -p --net)"
	same 'a command of the user' '' "$(complete_words rootless -- ls --)"
}
