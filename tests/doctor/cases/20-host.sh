# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets
#
# One thing is broken: the doctor names it, and only it.

# hide_program NAME: a file that cannot be executed in its place.
hide_program='hide_program() { printf "" >"$scratch/none"; chmod 0644 "$scratch/none"; cover "$scratch/none" "$(command -v "$1")"; }; '

test_missing_id_map_helpers_are_named() {
	local name

	for name in newuidmap newgidmap; do
		examine_host "$hide_program hide_program $name"
		finds "$name" error RB0206 "$name not found" 'apt install uidmap'
		finds id-maps info - 'not tried'
		only_these "$name" id-maps
		exits_with 1
	done
}

test_a_helper_without_the_setuid_bit_is_named_with_its_mode() {
	examine_host 'install -m 0755 "$(command -v newgidmap)" "$scratch/plain"; cover "$scratch/plain" "$(command -v newgidmap)"'
	finds newgidmap error RB0207 'mode 0755' 'chmod u+s'
	only_these newgidmap id-maps
	exits_with 1
}

test_a_helper_with_file_capabilities_is_accepted() {
	type -P setcap >/dev/null || skip 'setcap is not installed'
	examine_host 'for n in newuidmap:cap_setuid newgidmap:cap_setgid; do
		it=$(command -v "${n%:*}"); install -m 0755 "$it" "$scratch/${n%:*}"; setcap "${n#*:}=ep" "$scratch/${n%:*}"; cover "$scratch/${n%:*}" "$it"
	done'
	only_these ''
	exits_with 0
}

test_a_helper_on_a_nosuid_mount_is_told_apart() {
	examine_host 'it=$(command -v newuidmap); cover "$it" "$it"; mount -o remount,bind,nosuid "$it"'
	finds newuidmap error RB0207 'mounted nosuid'
	exits_with 1
}

test_no_new_privs_is_told_apart() {
	examine as_user setpriv --no-new-privs runbuild doctor --format json "$scratch/home/store"
	finds newuidmap error RB0211 no_new_privs allowPrivilegeEscalation
	finds newgidmap error RB0211 no_new_privs
	finds overlay ok -
	exits_with 1
}

test_a_bounding_set_without_setuid_is_told_apart() {
	needs_host
	examine setpriv --reuid="$user_id" --regid="$(id -g "$user")" --init-groups --inh-caps=-all \
		--bounding-set=-setuid,-setgid -- env -i USER="$user" HOME="$scratch/home" \
		PATH="$PATH" "$runbuild" doctor --format json "$scratch/home/store"
	finds newuidmap error RB0216 CAP_SETUID 'bounding set'
	finds newgidmap error RB0216 CAP_SETGID
	exits_with 1
}

# subids TEXT…: examines with these lines in /etc/subuid.
subids() {
	needs_host
	printf '%s\n' "$@" >"$scratch/subuid"
	examine_host 'cover "$scratch/subuid" /etc/subuid'
}

test_no_range_is_answered_with_a_free_one() {
	subids other:100000:65536
	finds subuid error RB0203 "$user (uid $user_id)" "usermod --add-subuids 165536-231071 --add-subgids 165536-231071 $user"
	only_these subuid id-maps
	exits_with 1
}

test_bad_lines_are_named() {
	subids "$user:x:1"
	finds subuid error RB0204 'line 1'
	subids x "$user:0:10"
	finds subuid error RB0205 'line 2'
	exits_with 1
}

test_a_symbolic_link_is_named() {
	examine_host 'umount /etc/subuid; cp -a /etc "$scratch/etc"; mv "$scratch/etc/subuid" "$scratch/etc/real"
		ln -s real "$scratch/etc/subuid"; cover "$scratch/etc" /etc; cover "$scratch/resolv.conf" "$(readlink -f /etc/resolv.conf)"'
	rm -rf "${scratch:?}/etc"
	finds subuid error RB0213 'symbolic link'
	exits_with 1
}

test_few_ids_are_a_warning() {
	subids "$user:100000:10"
	finds subuid warning RB0218 'only 10 ids' '/etc/subuid' 'sudo usermod'
	only_these subuid
	exits_with 0
	subids "$user:100000:65534"
	finds subuid warning RB0218
	subids "$user:100000:65535"
	finds subuid ok -
}

test_ids_of_two_users_are_a_warning() {
	local line

	for line in other:165535:1 other:99999:2 4242:100000:65536 other:1:4000000000; do
		subids "$user:100000:65536" "$line" "$user_id:100000:65536"
		finds subuid warning RB0219 "${line%%:*}"
		exits_with 0
	done
	subids other:99999:1 "$user:100000:65536" third:165536:65536 bad:line
	finds subuid ok -
}

test_another_database_in_place_of_the_files_is_named() {
	local library

	# what libsubid and getsubids(1) fall back to is empty as well
	# awk reads to the end: one that leaves early kills ldconfig, and pipefail the test
	library=$(ldconfig -p | awk '/libsubid.so/ && !found++ { print $NF }')
	examine_host 'printf "passwd: files\nsubid: sss\n" >"$scratch/nss"; cover "$scratch/nss" /etc/nsswitch.conf
		: >"$scratch/none"; for it in '"$library"' $(command -v getsubids); do cover "$scratch/none" "$it"; done'
	finds subuid error RB0203 "database 'sss'" 'administrator'
	finds subgid error RB0203 "'sss'"
	exits_with 1
}

test_ids_that_an_outer_namespace_lacks_do_not_count() {
	needs_host
	# as in a container whose user namespace has 65536 ids, of which the file knows nothing
	examine as_user runbuild rootless -- unshare --mount sh -c '
		printf "%s:60000:65536\n" "$1" >"$2/home/subid" && mount --bind "$2/home/subid" /etc/subuid &&
		mount --bind "$2/home/subid" /etc/subgid &&
		exec setpriv --reuid="$3" --regid="$3" --clear-groups --inh-caps=-all --bounding-set=+all \
			env -i PATH="$PATH" HOME="$2/home" USER="$1" "$2/bin/runbuild" doctor --format json /tmp' \
		sh "$user" "$scratch" "$user_id"
	finds subuid warning RB0218 'only 5537 ids'
}

test_own_id_in_a_range_is_a_warning() {
	subids "$user:$user_id:70000"
	finds subuid warning RB0220 "own id $user_id"
	only_these subuid
	exits_with 0
}

test_a_helper_that_fails_is_quoted() {
	examine_host 'install -m 4755 /bin/true "$scratch/fake"; cover "$scratch/fake" "$(command -v newuidmap)"'
	finds id-maps error RB0208 'wrote no uid_map'
	only_these id-maps
	exits_with 1
}

test_a_uid_without_a_passwd_entry_is_explained() {
	needs_host
	printf '4242:100000:65536\n' >"$scratch/subuid"
	install -d -o 4242 "$scratch/nobody"
	examine unshare --mount --propagation private sh -c 'mount --bind "$1/subuid" /etc/subuid && mount --bind "$1/subuid" /etc/subgid &&
		exec setpriv --reuid=4242 --regid=4242 --clear-groups --inh-caps=-all env -i PATH="$PATH" HOME="$1/nobody" USER=4242 \
		"$1/bin/runbuild" doctor --format json "$1/nobody"' sh "$scratch"
	finds login warning RB0217 'uid 4242'
	finds id-maps error RB0217 'uid 4242' '/etc/passwd'
	exits_with 1
}

test_a_seccomp_profile_that_blocks_user_namespaces_is_named() {
	local rules

	needs_host
	# as Docker's default profile has it, and as older ones
	for rules in clone3=ENOSYS,unshare=EPERM clone3=EPERM,unshare=EPERM; do
		wrap=("$scratch/bin/seccomp-run" "$rules" -- "$(type -P env)")
		examine as_user "${doctor[@]}" "$scratch/home/store"
		finds user-namespaces error RB0215 'seccomp profile' 'seccomp=unconfined'
		finds overlay info - 'needs a user namespace'
		finds kernel ok -
		finds newuidmap ok -
		exits_with 1
	done
}

test_missing_and_blocked_calls_are_listed() {
	needs_host
	wrap=("$scratch/bin/seccomp-run" "openat2=ENOSYS,close_range=ENOSYS" -- "$(type -P env)")
	examine as_user "${doctor[@]}" "$scratch/home/store"
	finds system-calls error RB0300 'missing: close_range, openat2'
	wrap=("$scratch/bin/seccomp-run" mount_setattr=EPERM -- "$(type -P env)")
	examine as_user "${doctor[@]}" "$scratch/home/store"
	finds system-calls error RB0215 'blocked: mount_setattr'
	exits_with 1
}

test_a_kernel_without_filters_is_named() {
	needs_host
	wrap=("$scratch/bin/seccomp-run" seccomp=EINVAL -- "$(type -P env)")
	examine as_user "${doctor[@]}" "$scratch/home/store"
	finds seccomp-filter error RB0309 CONFIG_SECCOMP_FILTER
	only_these seccomp-filter slirp4netns step-net
	exits_with 1
}

test_namespaces_switched_off_are_named_with_the_sysctl() {
	local kind

	for kind in user net; do
		examine as_user runbuild rootless -- sh -c 'echo 0 >"/proc/sys/user/max_$1_namespaces" &&
			exec runbuild doctor --format json "$2"' sh "$kind" "$scratch/home/store"
		finds namespace-limits error RB0201 "user.max_${kind}_namespaces is 0" "sysctl -w user.max_${kind}_namespaces"
		finds user-namespaces error RB0201
		finds overlay info - 'not tried'
		exits_with 1
	done
}

test_a_chroot_is_named() {
	needs_host
	local tree=$scratch/tree name

	mkdir "$tree"
	for name in bin dev etc lib lib64 proc sbin tmp usr; do
		[[ ! -e /$name ]] || mkdir "$tree/$name"
	done
	wrap=(unshare --mount sh -c "for d in $tree/*; do mount --rbind \"/\${d##*/}\" \"\$d\"; done && exec chroot $tree \"\$@\"" sh)
	examine as_user "${doctor[@]}" "$scratch/home/store"
	finds user-namespaces error RB0214 'in a chroot'
	exits_with 1
}

test_the_sysctl_of_debian_kernels_is_seen() {
	examine_host 'mkdir "$scratch/kernel"; echo 0 >"$scratch/kernel/unprivileged_userns_clone"
		chmod -R a+rX "$scratch/kernel"; cover "$scratch/kernel" /proc/sys/kernel'
	finds userns-sysctl warning RB0200 'unprivileged_userns_clone is 0' 'sysctl -w'
	finds proc warning RB0306
	exits_with 0
}

test_a_masked_proc_is_a_warning_with_the_first_mask() {
	examine as_user runbuild rootless -- sh -c 'mount -t tmpfs tmpfs /proc/fs && mount --bind /dev/null /proc/cpuinfo &&
		exec runbuild doctor --format json "$1"' sh "$scratch/home/store"
	finds proc warning RB0306 '2 masked paths' '/proc/fs' 'systempaths=unconfined'
	exits_with 0
}
