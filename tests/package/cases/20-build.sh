# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # set by the suite
#
# Builds the packages, twice each, and looks into them from outside.

test_all_parts_name_one_version() {
	local version

	version=$(sed -n 's/^AC_INIT(\[runbuild\], \[\([^]]*\)\].*/\1/p' "$top/configure.ac")
	same 'the version of the .deb' "$version" "$(sed -n '1s/.*(\(.*\)).*/\1/p' "$top/packaging/deb/debian/changelog")"
	same 'the version of the rpm' "$version" "$(sed -n 's/^Version: *//p' "$top/packaging/rpm/runbuild.spec")"
	same 'the first line of --version' "runbuild version $version" "$("$builddir/runbuild" --version | head -n 1)"
}

test_deb_and_rpm_are_built() {
	need dpkg-buildpackage dh autoreconf rpmbuild cpio
	in_parallel "$top/packaging/deb/build" "$scratch/out" -- "$top/packaging/rpm/build" "$scratch/out"
}

# What an rpm holds. The headers of a source rpm name the builder and a scratch
# directory, and those of the binary rpm the checksum of the source rpm.
contents_of_rpm() {
	rpm -qp --qf '[%{FILENAMES} %{FILEDIGESTS} %{FILEMODES:perms} %{FILEMTIMES} %{FILELINKTOS}\n]' "$1"
}

# The second builds run as an ordinary user, in a copy that is no git checkout.
test_second_build_of_another_user_gives_the_same_bytes() {
	local file

	built '*.deb' >/dev/null
	make_second_tree
	in_parallel build_second deb -- build_second rpm
	for file in "$scratch"/out/*.rpm; do
		same "contents of ${file##*/}" "$(contents_of_rpm "$file")" "$(contents_of_rpm "$scratch/user/out/${file##*/}")"
	done
	file=$(built '*.deb')
	cmp "$file" "$scratch/user/out/${file##*/}"
}

test_deb_holds_what_make_install_puts() {
	local deb

	deb=$(built '*.deb')
	mkdir "$scratch/deb"
	dpkg-deb -x "$deb" "$scratch/deb"
	same 'files of the .deb' "$(expected_files "/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)" .gz | sort)" \
		"$(cd "$scratch/deb" && find . -type f ! -path './usr/share/doc/*' -printf '%m /%P\n' | sort)"
	for file in copyright changelog.gz; do
		[[ -s $scratch/deb/usr/share/doc/runbuild/$file ]] || fail "no $file"
	done
	contains "$scratch/deb/usr/share/runbuild/apparmor/runbuild" \
		'profile runbuild /usr/bin/runbuild flags=(unconfined)' 'userns,'
	grep -qw uidmap <<<"$(dpkg-deb -f "$deb" Depends)" || fail 'no dependency on uidmap'
	same Recommends 'fuse-overlayfs, slirp4netns' "$(dpkg-deb -f "$deb" Recommends)"
}

# The program and the client library are two packages there. Whether and how pages
# are compressed is the distribution's setting of rpm.
test_rpm_holds_what_make_install_puts() {
	local rpm devel

	rpm=$(built "runbuild-[0-9]*.$(uname -m).rpm")
	devel=$(built "runbuild-devel-[0-9]*.$(uname -m).rpm")
	mkdir "$scratch/rpm"
	(cd "$scratch/rpm" && rpm2cpio "$rpm" | cpio -idm --quiet && rpm2cpio "$devel" | cpio -idm --quiet)
	same 'files of the rpms' "$(expected_files "$(rpm --eval '%_libdir')" | sort)" \
		"$(cd "$scratch/rpm" && find . -type f ! -path './usr/share/doc/*' ! -path './usr/share/licenses/*' -printf '%m /%P\n' |
			sed -E '/\/man\//s/\.(gz|bz2|xz|zst)$//' | sort)"
	grep -qxF /usr/bin/newuidmap <<<"$(rpm -qp --requires "$rpm")" || fail 'no dependency on newuidmap'
}

# A privilege of the program's own would be one more than its user has: SECURITY.md.
test_no_file_of_a_package_is_setuid() {
	built '*.deb' >/dev/null
	same 'setuid, setgid or world-writable files' '' \
		"$(find "$scratch/deb" "$scratch/rpm" \( -perm /6000 -o -perm -0002 ! -type l \) -printf '%M %p\n')"
	need getcap
	same 'file capabilities' '' "$(getcap -r "$scratch/deb" "$scratch/rpm")"
	dpkg-deb --fsys-tarfile "$(built '*.deb')" | tar -tv | awk '$2 != "root/root"' >"$scratch/owners"
	same 'files that do not belong to root' '' "$(<"$scratch/owners")"
}

# hardened PROGRAM: position-independent, no lazy binding, nothing writable that
# need not be, stack protector and checked libc functions in use.
hardened() {
	local program=$1 headers dynamic symbols

	headers=$(readelf --wide --file-header --program-headers "$program")
	dynamic=$(readelf --wide --dynamic "$program")
	symbols=$(readelf --wide --symbols --dyn-syms "$program")
	grep -q 'Type: *DYN' <<<"$headers" && grep -q 'FLAGS_1.*PIE' <<<"$dynamic" || fail "$program: not a PIE" || return 1
	grep -q GNU_RELRO <<<"$headers" || fail "$program: no RELRO" || return 1
	grep -q 'FLAGS_1.*NOW' <<<"$dynamic" || fail "$program: lazy binding" || return 1
	grep -Eq 'GNU_STACK .* RW +0x' <<<"$headers" || fail "$program: executable stack" || return 1
	! grep -Eq 'LOAD .* RWE ' <<<"$headers" || fail "$program: a segment for writing and executing" || return 1
	! grep -Eq 'TEXTREL|RPATH|RUNPATH' <<<"$dynamic" || fail "$program: TEXTREL, RPATH or RUNPATH" || return 1
	grep -q __stack_chk_fail <<<"$symbols" || fail "$program: no stack protector" || return 1
	grep -Eq '__(memcpy|snprintf|vsnprintf|read|longjmp|fprintf)_chk' <<<"$symbols" || fail "$program: no FORTIFY"
}

test_programs_are_hardened() {
	need readelf
	built '*.deb' >/dev/null
	hardened "$scratch/deb/usr/bin/runbuild"
	hardened "$scratch/rpm/usr/bin/runbuild"
	! grep -qa __asan_init "$builddir/runbuild" || skip "$builddir/runbuild is built with sanitizers"
	hardened "$builddir/runbuild"
}

# A distribution mends libraries in one place, so the packages link them all.
test_packaged_programs_use_shared_libraries() {
	local program

	built '*.deb' >/dev/null
	for program in "$scratch"/{deb,rpm}/usr/bin/runbuild; do
		same "libraries of $program" $'libc.so.6\nlibyajl.so.2' \
			"$(readelf -d "$program" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -v '^ld-' | sort)"
	done
}

test_every_compiler_call_of_the_deb_is_hardened() {
	need blhc
	built '*.deb' >/dev/null
	blhc --all "$scratch/out/deb.log" || fail 'blhc: see above'
}

test_lintian_accepts_the_deb() {
	local changes suppress=()

	need lintian
	changes=$(built '*.changes')
	[[ -n $(manual_pages) ]] || suppress=(--suppress-tags no-manual-page)
	chmod -R a+rX "$scratch/out"
	as_ordinary_user lintian --info --display-info --fail-on error,warning,info "${suppress[@]}" "$changes"
}

test_rpmlint_accepts_the_rpms() {
	need rpmlint
	built '*.src.rpm' >/dev/null
	rpmlint --config "$top/packaging/rpm/rpmlint.toml" "$scratch"/out/*.rpm >"$scratch/rpmlint.out" 2>&1 ||
		fail "$(<"$scratch/rpmlint.out")"
	contains "$scratch/rpmlint.out" '0 errors, 0 warnings' || fail "$(<"$scratch/rpmlint.out")"
}
