# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # set by the suite
#
# The .deb in a fresh Debian root file system. pivot_root instead of chroot: the
# kernel refuses user namespaces to a process in a chroot (user_namespaces(7)).

# prepare_debian: unpacks the base in $scratch/debian and lets its apt use this
# machine's sources. Skips the test when that cannot be.
prepare_debian() {
	local base root=$scratch/debian

	((EUID == 0)) || skip 'needs root, for a root file system of its own'
	find_busybox >/dev/null || skip 'no static busybox (Debian: busybox-static)'
	base=$(debian_base "$scratch/mmdebstrap.log" 2>"$scratch/base.err") || skip "$(<"$scratch/base.err")"
	mkdir -p "$root/dev"
	tar -C "$root" --numeric-owner -xf "$base"
	# The base leaves documentation out; the package's has to be seen.
	rm -f -- "$root"/etc/dpkg/dpkg.cfg.d/99mmdebstrap
	rm -rf -- "$root"/etc/apt/sources.list{,.d}
	cp -r -- /etc/apt/sources.list.d "$root/etc/apt/"
	[[ ! -f /etc/apt/sources.list ]] || cp -- /etc/apt/sources.list "$root/etc/apt/"
	cp -rn -- /usr/share/keyrings "$root/usr/share/"
	[[ ! -f /etc/ssl/certs/ca-certificates.crt ]] || {
		mkdir -p "$root/etc/ssl/certs"
		cp -- /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
	}
	apt-config dump | grep '^Acquire::http' >"$root/etc/apt/apt.conf.d/99host" || true
	printf 'APT::Sandbox::User "root";\n' >>"$root/etc/apt/apt.conf.d/99host"
	cat /etc/resolv.conf >"$root/etc/resolv.conf"
	mkdir "$root/mnt/test"
	cp -- "$(built '*.deb')" "$root/mnt/test/runbuild.deb"
	make_base_rootfs "$root/mnt/test/rootfs" "$(find_busybox)"
	chmod -R a+rX "$root/mnt/test"
}

# in_debian COMMAND…: as root, in namespaces of its own, with the tree as root.
in_debian() {
	# shellcheck disable=SC2016 # the inner shell expands it
	env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		unshare --mount --pid --ipc --uts --fork --kill-child --propagation private bash -euc '
		root=$1
		shift
		mount --bind "$root" "$root"
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		mount --rbind /sys "$root/sys"
		cd "$root"
		pivot_root . .
		umount -l .
		exec "$@"' - "$scratch/debian" "$@"
}

# in_debian_as_user SCRIPT: the same as the ordinary user of that tree.
in_debian_as_user() {
	in_debian setpriv --reuid=1000 --regid=1000 --init-groups --inh-caps=-all \
		env HOME=/home/builder USER=builder bash -euc "cd; $1"
}

have_debian() {
	[[ -e $scratch/debian/installed ]] || skip 'the package is not installed: see an earlier test'
}

# The names of all files but what apt and dpkg keep about themselves.
files_of_debian() {
	(cd "$scratch/debian" && find . -xdev \( -path ./var/lib/apt -o -path ./var/lib/dpkg -o -path ./var/cache \
		-o -path ./var/log -o -path ./proc -o -path ./dev -o -path ./sys -o -path ./tmp -o -path ./home \
		-o -path ./installed \) -prune -o -printf '%p %y %m %U:%G %l\n' | sort)
}

test_deb_installs_into_a_fresh_debian() {
	prepare_debian
	# shellcheck disable=SC2016 # the inner shell expands it
	in_debian bash -euc '
		apt-get -qq -o Acquire::Retries=3 update
		apt-get -qq -y --no-install-recommends satisfy "$(dpkg-deb -f /mnt/test/runbuild.deb Depends)"
		useradd --uid 1000 --create-home --shell /bin/bash builder
		grep -q ^builder: /etc/subuid' || fail 'the dependencies or the user cannot be installed'
	files_of_debian >"$scratch/files.before"
	in_debian dpkg -i /mnt/test/runbuild.deb
	same 'dpkg -V' '' "$(in_debian dpkg -V runbuild)"
	: >"$scratch/debian/installed"
}

test_installed_program_answers_and_its_pages_are_found() {
	local page

	have_debian
	same '--version' "$("$builddir/runbuild" --version)" "$(in_debian runbuild --version)"
	[[ -n $(manual_pages) ]] || skip 'man/ has no pages'
	for page in $(manual_pages); do
		grep -q '^\.TH' <<<"$(zcat "$scratch/debian/usr/share/man/man${page##*.}/$page.gz")" || fail "no page $page"
	done
}

# Replaces what `spec` writes for an interactive shell.
# shellcheck disable=SC2016 # the inner shell expands it
readonly make_bundle='
	mkdir bundle && cp -a /mnt/test/rootfs bundle/rootfs && cd bundle
	runbuild spec $rootless
	sed -i "s/\"terminal\": true/\"terminal\": false/; s|^\(\t*\)\"sh\"\$|\1\"/bin/sh\", \"-c\", \"echo step \$(id -u) \$(hostname)\"|" config.json'

test_installed_runtime_runs_a_step_for_an_ordinary_user() {
	have_debian
	# shellcheck disable=SC2016
	same 'output of the step' 'step 0 runbuild' "$(in_debian_as_user '
		rootless=--rootless; '"$make_bundle"'
		runbuild run s1
		cd; rm -rf bundle')"
}

# The whole of it: newuidmap of the package uidmap, the launcher, the runtime.
test_installed_launcher_and_runtime_run_a_step() {
	have_debian
	# shellcheck disable=SC2016
	same 'output of the step' $'map 65537\nstep 0 runbuild' "$(in_debian_as_user '
		runbuild rootless --net=host -- bash -euc '\''
			awk "{ n += \$3 } END { print \"map \" n }" /proc/self/uid_map
			rootless=; '"${make_bundle//\'/\'\\\\\'\'}"'
			runbuild run s2
			cd; rm -rf bundle'\''')"
}

# Debian 12's parser cannot read the profile, so it must not be where it would try.
test_apparmor_profile_is_linked_only_where_it_can_be_read() {
	local link=$scratch/debian/etc/apparmor.d/runbuild

	have_debian
	[[ ! -L $link ]] || fail 'linked without AppArmor 4'
	mkdir -p "$scratch/debian/etc/apparmor.d/abi"
	: >"$scratch/debian/etc/apparmor.d/abi/4.0"
	in_debian bash -euc 'dpkg-trigger --by-package=apparmor /etc/apparmor.d/abi; dpkg --triggers-only runbuild'
	same 'the link' /usr/share/runbuild/apparmor/runbuild "$(readlink "$link")"
}

test_removal_leaves_nothing() {
	have_debian
	in_debian dpkg --purge runbuild
	# What an earlier test put there; rmdir fails when the package left something.
	rm -f -- "$scratch/debian/etc/apparmor.d/abi/4.0"
	[[ ! -d $scratch/debian/etc/apparmor.d ]] || rmdir -- "$scratch/debian"/etc/apparmor.d/{abi,}
	files_of_debian >"$scratch/files.after"
	same 'files before the installation and after the removal' '' \
		"$(diff "$scratch/files.before" "$scratch/files.after")"
	same 'what dpkg remembers' '' "$(in_debian sh -c 'ls /var/lib/dpkg/info | grep ^runbuild' || true)"
}
