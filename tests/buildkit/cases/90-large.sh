# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # scratch, large_base: set by the suite
#
# A whole Debian (minbase) as the base: what package installation does. Only
# with --large. Nothing in these builds uses the network.

# One context for all these builds, so the tree travels and unpacks once.
large_build() {
	local name=$1 context

	shift
	context=$(context_of debian)
	[[ -f $context/debian.tar ]] || cp --reflink=auto -- "$large_base" "$context/debian.tar"
	{
		printf 'FROM scratch AS debian\nADD debian.tar /\n'
		printf 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n'
		cat
	} | must_build "$name" --local context="$context" "$@"
}

test_debian_base_has_its_owners_and_modes() {
	large_build debian-owners <<-'D'
		FROM debian
		RUN stat -c '%a %U:%G %n' /usr/bin/passwd /usr/bin/chage /var/mail /tmp /etc/shadow /var/cache/apt/archives/partial
	D
	same 'modes and owners' '4755 root:root /usr/bin/passwd
2755 root:shadow /usr/bin/chage
2775 root:mail /var/mail
1777 root:root /tmp
640 root:shadow /etc/shadow
700 _apt:root /var/cache/apt/archives/partial' "$(step_output debian-owners)"
}

test_dpkg_installs_a_package_with_many_owners() {
	local context

	context=$(context_of debian)
	mkdir -p "$context/DEBIAN"
	printf '%s\n' 'Package: runbuild-sample' 'Version: 1' 'Architecture: all' \
		'Maintainer: nobody <nobody@example.invalid>' 'Description: sample' >"$context/DEBIAN/control"
	cat >"$context/DEBIAN/postinst" <<-'S'
		#!/bin/sh
		set -e
		adduser --system --group --no-create-home --home /nonexistent sample >/dev/null 2>&1 ||
			useradd --system --user-group --no-create-home sample
		chown sample:sample /var/lib/sample
		echo "postinst $1"
	S
	chmod 0755 "$context/DEBIAN/postinst"
	large_build debian-dpkg <<-'D'
		FROM debian AS pack
		COPY DEBIAN /p/DEBIAN
		RUN mkdir -p /p/usr/bin /p/var/lib/sample && for u in 0 1 33 1000 65534; do echo $u >/p/usr/bin/of-$u && chown $u:$((65534 - u)) /p/usr/bin/of-$u && chmod 4755 /p/usr/bin/of-$u; done && dpkg-deb --build /p /sample.deb >/dev/null
		FROM debian
		COPY --from=pack /sample.deb /
		RUN dpkg -i /sample.deb >/log 2>&1 || { cat /log; exit 1; }; grep postinst /log
		RUN stat -c '%a %u:%g %n' /usr/bin/of-*; stat -c '%U:%G' /var/lib/sample; dpkg -s runbuild-sample | grep ^Status
		RUN dpkg -P runbuild-sample >/dev/null 2>&1 && ls /usr/bin/of-* 2>/dev/null | wc -l
	D
	same 'output' 'postinst configure
4755 0:65534 /usr/bin/of-0
4755 1:65533 /usr/bin/of-1
4755 1000:64534 /usr/bin/of-1000
4755 33:65501 /usr/bin/of-33
4755 65534:0 /usr/bin/of-65534
sample:sample
Status: install ok installed
0' "$(step_output debian-dpkg)"
}

test_useradd_and_su() {
	# shellcheck disable=SC2016 # for the step's shell
	large_build debian-su <<-'D'
		FROM debian
		RUN useradd --create-home --uid 1234 --groups www-data person && stat -c '%a %U:%G' /home/person
		RUN su -c 'id; cd; pwd; touch x; stat -c %U:%G x' person
		RUN su - person -c 'echo "$HOME $USER"; umask'
		RUN su -c 'cat /etc/shadow >/dev/null 2>&1 || echo unreadable; kill -0 1 2>/dev/null || echo untouchable' person
		USER person
		RUN test "$(id -un)" = person && passwd -S | cut -d ' ' -f 1,2
	D
	same 'output' '755 person:person
uid=1234(person) gid=1234(person) groups=1234(person),33(www-data)
/home/person
person:person
/home/person person
0022
unreadable
untouchable
person L' "$(step_output debian-su)"
}

test_tar_round_trip_with_many_owners() {
	large_build debian-tar <<-'D'
		FROM debian
		SHELL ["/bin/bash", "-c"]
		RUN mkdir -p /a/dir && cd /a && for u in 0 1 33 1000 4711 65534; do echo $u >f$u && chown $u:$u f$u; done && chmod 6755 f33 && mkfifo fifo && ln f1 hard && ln -s f1 soft && chown -h 33:33 soft && tar -C /a -cf /a.tar . && mkdir /b && tar -C /b -xpf /a.tar && for d in a b; do (cd /$d && find . -printf '%y %m %U:%G %s %n %p %l\n' | sort >/$d.list); done && sed -i 's/^d .* \([0-9]*\) \.$/root/' /a.list /b.list && diff <(grep -v '^root' /a.list) <(grep -v '^root' /b.list) && wc -l </b.list
		RUN tar -C / --one-file-system --exclude=./proc --exclude=./sys --exclude=./dev -cf - usr/bin usr/sbin var etc | tar -C /b -xpf - && diff <(cd / && find usr/bin usr/sbin var etc -xdev ! -path etc/hosts ! -path etc/resolv.conf -printf '%p %m %U:%G %l\n' | sort) <(cd /b && find usr/bin usr/sbin var etc ! -path etc/hosts ! -path etc/resolv.conf -printf '%p %m %U:%G %l\n' | sort) && echo same
	D
	same 'output' $'11\nsame' "$(step_output debian-tar)"
}
