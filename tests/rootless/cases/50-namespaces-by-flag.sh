# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# Namespaces, propagation and id sources that options choose.

# own_namespaces OPTION…: the kinds that differ from the caller's.
own_namespaces() {
	local kind

	rootless "$@" -- sh -c 'cd /proc/self/ns && for kind in cgroup ipc net pid user uts; do readlink $kind; done' >"$scratch/out"
	for kind in cgroup ipc net pid user uts; do
		grep -qxF "$(readlink "/proc/self/ns/$kind")" "$scratch/out" || printf '%s ' "$kind"
	done
}

test_namespaces_are_made_as_asked() {
	same 'default' 'pid user ' "$(own_namespaces)"
	same '--pidns=false' 'user ' "$(own_namespaces --pidns=false)"
	same 'all' 'cgroup ipc net pid user uts ' "$(own_namespaces --net=none --pidns --ipcns --utsns --cgroupns)"
	same 'uts' 'pid user uts ' "$(own_namespaces --utsns)"
}

test_pidns_asked_for_by_name_is_an_error_where_proc_is_refused() {
	local status=0

	rootless -- sh -c 'mount -t tmpfs tmpfs /proc/fs && exec runbuild rootless --pidns -- true' 2>"$scratch/err" || status=$?
	same 'status' 125 "$status"
	contains "$scratch/err" RB0306 'systempaths=unconfined'
}

test_without_reaper_whoever_leaves_may_stay() {
	rootless --pidns=false --reaper=false -- sh -c 'setsid sleep 1000 >/dev/null 2>&1 & echo $!' >"$scratch/out"
	kill -0 "$(cat "$scratch/out")" || fail 'it was killed'
	kill "$(cat "$scratch/out")"
	rootless --pidns=false -- sh -c 'setsid sleep 1000 >/dev/null 2>&1 & echo $!' >"$scratch/out"
	! kill -0 "$(cat "$scratch/out")" 2>/dev/null || fail 'it was not killed'
}

test_propagation_is_as_asked() {
	needs_host
	local mode

	for mode in rprivate:0 rslave:1 slave:1; do
		same "$mode" "${mode#*:}" "$(in_host 'mount --make-rshared /' runbuild rootless --propagation="${mode%:*}" -- \
			awk '$5 == "/" { n = /master:/ } END { print n + 0 }' /proc/self/mountinfo)"
	done
	same 'rshared' 1 "$(in_host 'mount --make-rshared /' runbuild rootless --propagation=rshared -- \
		awk '$5 == "/" { n = /shared:/ } END { print n + 0 }' /proc/self/mountinfo)"
}

test_mounts_of_the_host_arrive_with_rslave() {
	needs_host
	local slave=$scratch/slave

	mkdir "$slave"
	in_host 'mount --make-rshared /; mkfifo -m 0666 "$scratch/go"
		(read -r _ <"$scratch/go"; mount -t tmpfs late "$scratch/slave"; echo done >"$scratch/go") &' \
		runbuild rootless --propagation=rslave -- sh -c 'echo >'"$scratch/go"'; read -r _ <'"$scratch/go"'; grep -c "^.* - tmpfs late" /proc/self/mountinfo' >"$scratch/out"
	same 'mounts' 1 "$(cat "$scratch/out")"
}

# with_database SCRIPT COMMAND…: nsswitch.conf names a database, which is there as a module, and
# the files have other ranges.
with_database() {
	local library script=$1

	needs_host
	shift
	library=$(dirname "$(ldconfig -p | awk '/libsubid[.]so[.]/ && !found++ { print $NF }')")
	mkdir -p "$scratch/modules"
	cc -shared -fPIC -o "$scratch/modules/libsubid_rbtest.so" "$here/lib/subid_module.c" 2>/dev/null ||
		skip 'shadow/subid.h is not installed (package libsubid-dev)'
	printf 'passwd: files\nsubid: rbtest\n' >"$scratch/nsswitch"
	chmod -R a+rX "$scratch/modules" "$scratch/nsswitch"
	in_host "mount -t overlay -o lowerdir=$scratch/modules:$library modules $library
		cover \"\$scratch/nsswitch\" /etc/nsswitch.conf; $script" "$@"
}

test_a_database_that_nsswitch_names_is_asked_through_libsubid() {
	[[ -x $scratch/bin/runbuild-subids ]] || skip 'built without libsubid'
	same 'ids' "0 $user_id 1
1 700000 100
0 $(id -g "$user") 1
1 800000 200" "$(with_database ': >"$scratch/none"; cover "$scratch/none" "$(command -v getsubids)"' \
		runbuild rootless -- cat /proc/self/uid_map /proc/self/gid_map 2>"$scratch/err" | tr -s ' ' | sed 's/^ //')"
	contains "$scratch/err" "database 'rbtest'" 'only 101 ids are mapped'
}

test_a_database_that_nsswitch_names_is_asked_through_getsubids() {
	same 'ids' '1 700000 100' "$(with_database 'mkdir "$scratch/apart"; cp "$scratch/bin/runbuild" "$scratch/apart/"' \
		"$scratch/apart/runbuild" rootless -- sed -n 2p /proc/self/uid_map 2>"$scratch/err" | tr -s ' ' | sed 's/^ //')"
}

test_subid_source_dynamic_finds_what_the_files_have() {
	same 'map' "0 $user_id 1
1 100000 65536" "$(rootless --subid-source=dynamic -- cat /proc/self/uid_map | tr -s ' ' | sed 's/^ //')"
	same 'static' "0 $user_id 1
1 100000 65536" "$(rootless --subid-source=static -- cat /proc/self/uid_map | tr -s ' ' | sed 's/^ //')"
}

test_ranges_are_split_where_the_outer_map_is() {
	needs_host
	# an outer namespace with two lines that meet inside builder's range
	"$scratch/lib/in_userns.py" '0 0 120000
120000 200000 400000' setpriv --reuid="$user_id" --regid="$(id -g "$user")" --clear-groups \
		env HOME="$scratch/home" TMPDIR="$scratch/home/tmp" "$runbuild" rootless -- cat /proc/self/uid_map >"$scratch/out" 2>"$scratch/err" ||
		fail "$(cat "$scratch/err")"
	same 'map' "0 $user_id 1
1 100000 20000
20001 120000 45536" "$(tr -s ' ' <"$scratch/out" | sed 's/^ //')"
}

test_notify_messages_pass_without_process_numbers() {
	as_user "$scratch/lib/notify.py" runbuild rootless --net=none -- \
		"$scratch/lib/notify.py" --send 'READY=1
MAINPID=7
STATUS=fine' >"$scratch/out"
	same 'what arrives' 'READY=1 STATUS=fine' "$(tr '\n' ' ' <"$scratch/out" | sed 's/ $//')"
}
