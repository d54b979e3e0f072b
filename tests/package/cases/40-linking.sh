# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # set by the suite
#
# The two ways to link the program: what the static one must not lose.

# A static program cannot load the modules of name services, so getent(1) is asked.
test_user_of_a_name_service_is_known_by_name() {
	local name=$scratch/getent.err

	((EUID == 0)) || skip 'needs root, to become a user who is not in /etc/passwd'
	! getent passwd 4242 >/dev/null || skip 'this machine has a user 4242'
	mkdir "$scratch/names"
	printf '#!/bin/sh\n[ "$*" = "passwd 4242" ] && echo alice:x:4242:4242::/:/bin/sh\n' >"$scratch/names/getent"
	chmod +x "$scratch/names/getent"
	cp -- "$builddir/runbuild" "$scratch/names/"
	setpriv --reuid=4242 --regid=4242 --clear-groups --inh-caps=-all env PATH="$scratch/names:$PATH" \
		"$scratch/names/runbuild" rootless --idmap=subids -- true 2>"$name" && fail 'a user without ids was served'
	contains "$name" 'usermod --add-subuids' ' alice'
	setpriv --reuid=4242 --regid=4242 --clear-groups --inh-caps=-all \
		"$scratch/names/runbuild" rootless --idmap=subids -- true 2>"$name" && fail 'a user without ids was served'
	contains "$name" 'usermod --add-subuids' ' 4242'
}

# What configure found is what the program is.
test_program_is_linked_as_configured() {
	local wanted libraries

	wanted=$(make_variable RB_PROGRAM_LDFLAGS)
	libraries=$(readelf -d "$builddir/runbuild" | grep -c NEEDED || true)
	if [[ $wanted == *-static-pie* ]]; then
		same 'the number of shared libraries' 0 "$libraries"
	else
		((libraries >= 2)) || fail "$libraries shared libraries"
	fi
}
