# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # variables of the suite; single quotes hold the container's scripts
#
# The root, every type of mount and every option, masked and read-only paths.

# add_mount DESTINATION TYPE SOURCE OPTION…
add_mount() {
	edit_config --arg d "$1" --arg t "$2" --arg s "$3" --arg options "${*:4}" \
		'.mounts += [{destination: $d, type: $t, source: $s, options: ($options / " ")}]'
}

test_root_is_all_there_is() {
	in_container rootonly 'ls -a / | tr "\n" " "; awk "\$5 == \"/\"" /proc/self/mountinfo | wc -l' \
		'. .. bin dev etc proc root sys tmp var 1'
}

test_root_read_only_leaves_mounts_writable() {
	new_bundle rootro
	edit_config '.root.readonly = true'
	add_mount /tmp tmpfs tmpfs
	set_script 'touch /x 2>&1; touch /etc/x 2>&1; touch /tmp/x && echo written; echo >/dev/null && echo null'
	run_container rootro
	output_is 'touch: /x: Read-only file system
touch: /etc/x: Read-only file system
written
null'
}

test_bind_mounts_directories_and_files() {
	new_bundle bind
	mkdir -p "$bundle/dir"
	echo content >"$bundle/dir/file"
	add_mount /new/place bind "$bundle/dir" bind
	add_mount /etc/one.conf bind "$bundle/dir/file" rbind ro
	set_script 'cat /new/place/file /etc/one.conf; echo x >/new/place/made; echo x >/etc/one.conf'
	run_container bind
	same 'stdout' 'content
content' "$(<"$bundle/out")"
	contains "$bundle/err" 'Read-only file system'
	[[ -f $bundle/dir/made ]] || fail 'the bind is not writable'
}

test_bind_options_become_mount_flags() {
	local flag flags

	need_probe
	new_bundle bindflags
	mkdir -p "$bundle/dir"
	flags='ro nosuid nodev noexec nosymfollow'
	[[ $mode != root ]] || flags+=' noatime nodiratime relatime'
	for flag in $flags; do
		add_mount "/m/$flag" bind "$bundle/dir" bind "$flag"
	done
	add_mount /m/last bind "$bundle/dir" rbind ro nosuid rw suid noexec
	set_script "flags='$flags'"'; for f in $flags; do
		/bin/probe mountflags /m/$f | grep -qw $f || echo "$f: $(/bin/probe mountflags /m/$f)"; done
		/bin/probe mountflags /m/last | tr " " "\n" | grep -xE "ro|noexec"'
	run_container bindflags
	output_is noexec
}

# Such a mount keeps the atime mode it has; it is no reason to fail.
test_bind_with_a_locked_atime_mode_still_works() {
	need_mode user userns
	new_bundle atime
	mkdir -p "$bundle/dir"
	add_mount /m/a bind "$bundle/dir" bind noatime
	add_mount /m/b bind "$bundle/dir" bind nodiratime ro
	add_mount /m/c bind "$bundle/dir" rbind rnoatime rnodiratime
	set_script 'touch /m/b/x 2>&1'
	run_container atime
	same 'stdout' 'touch: /m/b/x: Read-only file system' "$(<"$bundle/out")"
}

test_recursive_attributes_reach_the_submounts() {
	local dir atime=noatime

	# only root can mount something below the source
	need_mode root user
	[[ $mode == root ]] || atime=
	need_probe
	new_bundle recursive
	mkdir -p "$bundle/dir/sub"
	printf '%s\n' 'mount -t tmpfs tmpfs "$1/dir/sub" && shift && exec "$@"' >"$bundle/with-submount"
	add_mount /plain bind "$bundle/dir" rbind ro
	add_mount /deep bind "$bundle/dir" rbind rro rnosuid rnodev rnoexec rnoatime
	add_mount /flat bind "$bundle/dir" bind rro
	set_script 'for d in /plain /plain/sub /deep /deep/sub; do echo "$d" $(/bin/probe mountflags $d); done;
		ls /plain/sub >/dev/null; touch /flat/sub/x 2>/dev/null || echo ro'
	capture unshare --mount bash "$bundle/with-submount" "$bundle" "$runbuild" --root "$state_root" \
		--log "$bundle/log" run --bundle "$bundle" recursive
	ran_well
	grep -qE '^/plain ro' "$bundle/out" || fail "$(<"$bundle/out")"
	! grep -qE '^/plain/sub .*\bro\b' "$bundle/out" || fail 'ro went down:' "$(<"$bundle/out")"
	for dir in /deep /deep/sub; do
		# atime is locked on mounts that come from another user's namespace: mount_namespaces(7)
		grep -qE "^$dir ro nosuid nodev noexec $atime" "$bundle/out" || fail "$dir:" "$(<"$bundle/out")"
	done
}

test_bind_of_a_missing_source_names_it() {
	new_bundle nosource
	add_mount /x bind "$scratch/nowhere" rbind
	run_container nosource
	refused 1 "$scratch/nowhere" 'no such file or directory' || contains "$bundle/err" 'No such file or directory'
}

test_bind_over_a_link_stays_inside_the_root() {
	new_bundle link
	mkdir -p "$bundle/dir" "$scratch/victim"
	echo content >"$bundle/dir/file"
	ln -s "$scratch/victim" "$bundle/rootfs/out"
	ln -s ../../../../etc/deep "$bundle/rootfs/up"
	add_mount /out/sub bind "$bundle/dir" bind
	add_mount /up bind "$bundle/dir" bind
	set_script 'cat /out/sub/file /etc/deep/file'
	run_container link
	output_is 'content
content'
	same 'the victim' '' "$(ls -A "$scratch/victim")"
}

test_tmpfs_has_its_options() {
	need_probe
	new_bundle tmpfs
	edit_config '.process.user = {uid: 1000, gid: 1000}'
	add_mount /t tmpfs tmpfs nosuid noexec nodev size=1m mode=1770 uid=1000 gid=33
	set_script 'stat -c "%a %u %g" /t; /bin/probe mountflags /t | tr " " "\n" | grep -xE "nosuid|noexec|nodev" | tr "\n" " ";
		dd if=/dev/zero of=/t/f bs=1M count=2 2>/dev/null; stat -c %s /t/f'
	run_container tmpfs
	output_is '1770 1000 33
nosuid nodev noexec 1048576'
}

test_tmpfs_read_only_is_read_only_at_the_end() {
	new_bundle tmpfsro
	add_mount /t tmpfs tmpfs ro
	add_mount /t/sub tmpfs tmpfs
	set_script 'touch /t/x 2>&1; touch /t/sub/x && echo written'
	run_container tmpfsro
	output_is 'touch: /t/x: Read-only file system
written'
}

test_tmpcopyup_brings_the_images_files_along() {
	new_bundle copyup
	mkdir -p "$bundle/rootfs/data/sub"
	echo deep >"$bundle/rootfs/data/sub/file"
	ln -s sub/file "$bundle/rootfs/data/link"
	chmod 640 "$bundle/rootfs/data/sub/file"
	chmod 1770 "$bundle/rootfs/data"
	add_mount /data tmpfs tmpfs tmpcopyup
	set_script 'cat /data/link; stat -c %a /data /data/sub/file; echo new >/data/sub/file; echo ok'
	run_container copyup
	output_is 'deep
1770
640
ok'
	same 'the file of the image' deep "$(<"$bundle/rootfs/data/sub/file")"
}

test_proc_shows_only_the_container() {
	in_container proc 'echo /proc/[0-9]*; cat /proc/1/comm; true' '/proc/1
sh'
}

test_devpts_is_a_new_instance() {
	in_container devpts 'ls /dev/pts; stat -c %a /dev/pts/ptmx; readlink /dev/ptmx' 'ptmx
666
pts/ptmx'
}

test_mqueue_is_mounted() {
	in_container mqueue 'awk "\$5 == \"/dev/mqueue\"" /proc/self/mountinfo | grep -c mqueue; touch /dev/mqueue/q && ls /dev/mqueue' '1
q'
}

test_sysfs_is_read_only() {
	new_bundle sysfs
	set_script 'ls -d /sys/class; echo 1 2>/dev/null >/sys/kernel/profiling || echo refused; mkdir /sys/x 2>/dev/null || echo refused'
	run_container sysfs
	output_is '/sys/class
refused
refused'
}

test_sysfs_without_an_own_network_is_the_hosts_read_only() {
	new_bundle sysfshost
	edit_config '.linux.namespaces |= map(select(.type != "network"))
		| .mounts |= map(if .destination == "/sys" then {destination: "/sys", type: "sysfs", source: "sysfs",
			options: ["nosuid", "noexec", "nodev", "ro"]} else . end)'
	set_script 'ls -d /sys/class; mkdir /sys/x 2>/dev/null || echo refused'
	run_container sysfshost
	output_is '/sys/class
refused'
}

test_cgroup_mount_is_read_only() {
	new_bundle cgroupmount
	jq -e '.mounts[] | select(.destination == "/sys/fs/cgroup")' "$bundle/config.json" >/dev/null
	set_script 'ls /sys/fs/cgroup | wc -l | grep -qv "^0$" && echo some; mkdir /sys/fs/cgroup/x 2>/dev/null || echo refused'
	run_container cgroupmount
	output_is 'some
refused'
}

test_propagation_of_a_mount_is_set() {
	new_bundle propagation
	mkdir -p "$bundle/dir"
	add_mount /shared bind "$bundle/dir" bind shared
	add_mount /private bind "$bundle/dir" bind private
	add_mount /unbindable bind "$bundle/dir" bind unbindable
	add_mount /rshared bind "$bundle/dir" rbind rshared
	set_script 'for d in /shared /private /unbindable /rshared; do
		echo $d $(awk -v d=$d "\$5 == d" /proc/self/mountinfo | grep -oE "shared:|unbindable|master:" | head -n 1 | grep . || echo none); done'
	run_container propagation
	output_is '/shared shared:
/private none
/unbindable unbindable
/rshared shared:'
}

test_rootfs_propagation_is_set() {
	new_bundle rootprop
	edit_config '.linux.rootfsPropagation = "shared"'
	set_script 'awk "\$5 == \"/\"" /proc/self/mountinfo | grep -o "shared:"'
	run_container rootprop
	output_is shared:
	edit_config '.linux.rootfsPropagation = "unbindable"'
	set_script 'awk "\$5 == \"/\"" /proc/self/mountinfo | grep -o "unbindable"'
	run_container rootprop
	output_is unbindable
	edit_config '.linux.rootfsPropagation = "private"'
	set_script 'awk "\$5 == \"/\"" /proc/self/mountinfo | grep -oE "shared:|master:" || echo none'
	run_container rootprop
	output_is none
}

# Mounts of the host reach a slave and no private one, and those of the container stay in it.
test_events_reach_a_slave_root_and_do_not_leave_it() {
	local kind

	need_mode root user
	for kind in slave private; do
		new_bundle "events$kind"
		mkdir "$bundle/rootfs/host" "$bundle/rootfs/own"
		edit_config --arg kind "$kind" '.linux.rootfsPropagation = $kind
			| .process.capabilities = (["CAP_SYS_ADMIN"] | {bounding: ., permitted: ., effective: .})'
		set_script 'exec sleep 600'
		# shellcheck disable=SC2016 # for the inner shell
		capture unshare --mount --propagation private bash -ec '
			runtime=("$1" --root "$2")
			mount --bind "$3" "$3"
			mount --make-shared "$3"
			"${runtime[@]}" run --detach --bundle "$3" "$4" </dev/null >/dev/null 2>&1
			mount -t tmpfs of_host "$3/rootfs/host"
			"${runtime[@]}" exec "$4" mount -t tmpfs of_container /own
			"${runtime[@]}" exec "$4" cut -d" " -f1,2 /proc/mounts | grep ^of_
			echo and
			cut -d" " -f1 /proc/mounts | grep ^of_
			"${runtime[@]}" delete --force "$4"' x "$runbuild" "$state_root" "$bundle" "events$kind"
		[[ $kind == private ]] || output_is $'of_host /host\nof_container /own\nand\nof_host'
		[[ $kind == slave ]] || output_is $'of_container /own\nand\nof_host'
	done
}

test_mounts_do_not_reach_the_caller() {
	local before

	before=$(wc -l </proc/self/mountinfo)
	in_container nomounts 'wc -l </proc/self/mountinfo >/dev/null; echo ran' ran
	same 'mounts of the caller' "$before" "$(wc -l </proc/self/mountinfo)"
}

test_later_mounts_lie_over_earlier_ones() {
	new_bundle order
	mkdir -p "$bundle/a" "$bundle/b"
	echo a >"$bundle/a/file"
	echo b >"$bundle/b/file"
	add_mount /m bind "$bundle/a" bind
	add_mount /m bind "$bundle/b" bind
	add_mount /m/sub tmpfs tmpfs
	set_script 'cat /m/file; ls -d /m/sub'
	run_container order
	output_is 'b
/m/sub'
}

test_masked_paths_are_empty() {
	new_bundle masks
	mkdir -p "$bundle/rootfs/secret"
	echo x >"$bundle/rootfs/secret/file"
	echo x >"$bundle/rootfs/etc/hidden"
	ln -s hidden "$bundle/rootfs/etc/alias"
	edit_config '.linux.maskedPaths += ["/secret", "/etc/alias", "/not/there"]'
	set_script 'ls -A /secret; cat /etc/hidden; touch /secret/x 2>/dev/null || echo refused;
		[ -c /etc/hidden ] && echo null; [ ! -e /proc/kcore ] || [ ! -s /proc/kcore ] && echo kcore; ls -A /proc/scsi /sys/firmware 2>/dev/null | grep -v : | tr -d "\n"'
	run_container masks
	output_is 'refused
null
kcore'
}

test_readonly_paths_are_read_only_with_what_is_below() {
	new_bundle ropaths
	mkdir -p "$bundle/rootfs/fixed/sub"
	add_mount /fixed/sub tmpfs tmpfs
	edit_config '.linux.readonlyPaths += ["/fixed", "/etc/passwd", "/not/there"]'
	set_script 'touch /fixed/x 2>&1; touch /fixed/sub/x 2>&1; (echo >>/etc/passwd); (echo 1 >/proc/sys/kernel/threads-max); true'
	run_container ropaths
	same 'stdout' 'touch: /fixed/x: Read-only file system
touch: /fixed/sub/x: Read-only file system' "$(<"$bundle/out")"
	same 'refusals' 2 "$(grep -c 'Read-only file system' "$bundle/err")" || fail "$(<"$bundle/err")"
}

test_proc_through_a_link_is_refused() {
	new_bundle proclink
	rmdir "$bundle/rootfs/proc"
	ln -s tmp "$bundle/rootfs/proc"
	run_container proclink
	refused 1 'must be mounted on ordinary directory' '(at /mounts/0)'
}
