# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2016 # set by the suite; the container's scripts
#
# Images that lie about what is at a path. Each one is given something to reach
# outside; nothing there may change, and what the step sees must be the real thing.

# hostile_bundle NAME: BuildKit's configuration, with masks, read-only paths and a
# tmpfs /dev, on an image that the test then spoils.
hostile_bundle() {
	buildkit_bundle "$1"
	rootfs=$bundle/rootfs
	outside_begin
	install -m 0755 "$tools/probe" "$rootfs/bin/probe"
}

# bind_into DESTINATION: the bundle's directory src, with a file in it.
bind_into() {
	mkdir -p "$bundle/src"
	echo mounted >"$bundle/src/mark"
	edit_config --arg source "$bundle/src" --arg destination "$1" \
		'.mounts += [{destination: $destination, type: "bind", source: $source, options: ["rbind", "rw"]}]'
}

test_image_dev_that_is_a_link_stays_inside() {
	local target

	for target in "$scratch/outside" "../../../../../../..$scratch/outside" /proc/self/root/tmp; do
		hostile_bundle devlink
		rm -rf "${rootfs:?}/dev" && ln -s "$target" "$rootfs/dev"
		set_script 'for n in null zero full random urandom tty; do test -c /dev/$n || echo "no $n"; done
			echo x >/dev/null && /bin/probe node /dev/null'
		capture timeout 30 "$runbuild" --root "$state_root" run --bundle "$bundle" hostile
		if ((status == 0)); then
			same "what the step sees ($target)" 'char 1:3' "$(<"$bundle/out")"
		else
			refused 1 'runbuild: error: ' || fail "$target"
		fi
		outside_is_untouched
		state_is_empty
		rm -rf "$bundle"
	done
}

test_image_mount_point_behind_a_link_stays_inside() {
	local target

	for target in "$scratch/outside" "../../../../../../..$scratch/outside" ../../.. / /proc/1/root; do
		hostile_bundle mountlink
		ln -s "$target" "$rootfs/mnt"
		bind_into /mnt/dir/new
		set_script 'cat /mnt/dir/new/mark; echo more >/mnt/dir/new/more'
		capture timeout 30 "$runbuild" --root "$state_root" run --bundle "$bundle" hostile
		if ((status == 0)); then
			same "the bind mount ($target)" mounted "$(<"$bundle/out")"
			[[ -f $bundle/src/more ]] || fail "$target: the write went elsewhere"
		else
			refused 1 'runbuild: error: ' || fail "$target"
		fi
		outside_is_untouched
		state_is_empty
		rm -rf "$bundle"
	done
}

test_image_file_mount_point_that_is_a_link_stays_inside() {
	hostile_bundle hostslink
	ln -sfn "$scratch/outside/file" "$rootfs/etc/hosts"
	ln -sfn "../../../../../../..$scratch/outside/new" "$rootfs/etc/resolv.conf"
	set_script 'cat /etc/hosts; cat /etc/resolv.conf'
	good_run
	contains "$bundle/out" localhost 192.0.2.1
	outside_is_untouched
}

test_image_proc_or_sys_that_is_a_link_is_refused() {
	local name

	for name in proc sys; do
		hostile_bundle "link_$name"
		[[ $name == proc ]] || edit_config \
			'.mounts += [{destination: "/sys", type: "bind", source: "/sys", options: ["rbind", "ro"]}]'
		rm -rf "${rootfs:?}/$name" && ln -s "$scratch/outside" "$rootfs/$name"
		mkdir -p "$rootfs$scratch/outside"
		if [[ $name == proc ]]; then
			bad_run 0305 'ordinary directory'
		else
			capture timeout 30 "$runbuild" --root "$state_root" run --bundle "$bundle" hostile
		fi
		outside_is_untouched
		state_is_empty
	done
}

test_image_null_that_is_not_null_masks_nothing_less() {
	local kind

	for kind in file link absent directory; do
		hostile_bundle "null_$kind"
		# /dev of the image itself: no tmpfs covers it
		edit_config '.mounts |= map(select(.destination | startswith("/dev") | not))
			| .linux.maskedPaths += ["/secret", "/secrets", "/missing", "/behind"]'
		rm -rf "$rootfs/dev/null"
		case $kind in
		file) echo planted >"$rootfs/dev/null" ;;
		link) ln -s "$scratch/outside/file" "$rootfs/dev/null" ;;
		directory) mkdir "$rootfs/dev/null" ;;
		esac
		echo secret >"$rootfs/secret"
		mkdir "$rootfs/secrets"
		echo secret >"$rootfs/secrets/file"
		ln -s /secret "$rootfs/behind"
		set_script '/bin/probe node /secret; cat /secret /secrets/file /behind 2>/dev/null; ls /secrets'
		capture timeout 30 "$runbuild" --root "$state_root" run --bundle "$bundle" hostile
		if ((status < 126)) && [[ $(<"$bundle/err") != *runbuild:\ error* ]]; then
			same "what the step reads ($kind)" 'char 1:3' "$(<"$bundle/out")"
		else
			refused 1 'runbuild: error: ' || fail "$kind"
		fi
		outside_is_untouched
		state_is_empty
	done
}

test_image_console_that_is_a_link_stays_inside() {
	hostile_bundle console
	edit_config '.mounts |= map(select(.destination != "/dev")) | .process.terminal = true
		| .process.args = ["/bin/sh", "-c", "echo terminal >/dev/console; tty"]'
	ln -s "$scratch/outside/file" "$rootfs/dev/console"
	mkdir -p "$rootfs/dev/pts" "$rootfs/dev/shm" "$rootfs/dev/mqueue"
	capture timeout 30 script -qec "'$runbuild' --root '$state_root' run --bundle '$bundle' hostile" /dev/null
	outside_is_untouched
	state_is_empty
	if ((status != 0)); then
		grep -q 'runbuild: error: .*\[RB0' "$bundle/out" || fail "status $status" "$(cat "$bundle/out" "$bundle/err")"
	fi
}

test_image_cwd_behind_a_link_stays_inside() {
	hostile_bundle cwdlink
	ln -s "$scratch/outside" "$rootfs/kept"
	edit_config '.process.cwd = "/kept/new"'
	set_script 'pwd -P; echo x >file'
	capture timeout 30 "$runbuild" --root "$state_root" run --bundle "$bundle" hostile
	((status == 0)) || refused 1 '[RB0'
	outside_is_untouched
	state_is_empty
}

# CVE-2024-21626: a descriptor of the caller as working directory.
test_cwd_through_a_descriptor_is_refused() {
	local fd path

	hostile_bundle cwdfd
	exec 9</ 8<"$scratch/outside"
	set_script 'pwd; ls ..; cat file ../file'
	for path in /proc/self/fd /proc/1/fd /proc/thread-self/fd; do
		for fd in 3 4 5 6 7 8 9 10 11 12; do
			edit_config --arg cwd "$path/$fd" '.process.cwd = $cwd'
			bad_run 0404 || fail "$path/$fd" "$(<"$bundle/out")"
		done
	done
	ln -s /proc/self/fd/9 "$rootfs/away"
	edit_config '.process.cwd = "/away"'
	bad_run 0404
	exec 9<&- 8<&-
	outside_is_untouched
}

test_descriptors_of_the_caller_do_not_reach_the_step() {
	local fd

	hostile_bundle fds
	edit_config '.process.args = ["/bin/probe", "descriptors"]'
	exec 3</ 4<"$scratch/outside" 7</etc/passwd 63</ 255</
	good_run
	same 'descriptors beyond the standard ones' 0 "$(<"$bundle/out")"
	exec 3<&- 4<&- 7<&- 63<&- 255<&-
}

test_image_passwd_that_is_no_file_is_not_waited_for() {
	local kind

	for kind in fifo directory link sparse long deep socket; do
		hostile_bundle "passwd_$kind"
		rm -rf "$rootfs/etc/passwd"
		case $kind in
		fifo) mkfifo "$rootfs/etc/passwd" ;;
		directory) mkdir "$rootfs/etc/passwd" ;;
		link) ln -s "$scratch/outside/file" "$rootfs/etc/passwd" ;;
		sparse) truncate -s 1T "$rootfs/etc/passwd" ;;
		long) head -c 2000000 /dev/zero | tr '\0' x >"$rootfs/etc/passwd" ;;
		deep) ln -s passwd "$rootfs/etc/passwd" ;;
		socket) python3 -c 'import socket, sys, os; os.chdir(sys.argv[1])
socket.socket(socket.AF_UNIX).bind("passwd")' "$rootfs/etc" ;;
		esac
		set_script 'echo "$HOME"'
		good_run
		same "HOME ($kind)" / "$(<"$bundle/out")"
		outside_is_untouched
	done
}

test_setuid_program_of_the_image_gives_nothing() {
	hostile_bundle setuid
	install -m 6755 "$tools/probe" "$rootfs/bin/su"
	edit_config '.process.user = {uid: 1000, gid: 1000} | .process.noNewPrivileges = true
		| .process.args = ["/bin/su", "ids"]'
	good_run
	same 'real, effective and saved id' '1000 1000 1000' "$(<"$bundle/out")"
}

test_setuid_bit_is_not_for_users_of_the_host() {
	hostile_bundle hostsetuid
	# what a step leaves belongs to the user, or to a subordinate id: never to the host's root
	set_script 'cp /bin/probe /bin/left; chmod 6755 /bin/left; chown 0:0 /bin/left; chmod 6755 /bin/left'
	good_run
	[[ $(stat -c %u "$rootfs/bin/left") == "$(stat -c %u "$bundle")" ]] ||
		fail "it belongs to $(stat -c %u "$rootfs/bin/left")"
}

test_a_terminal_of_the_caller_is_out_of_reach() {
	hostile_bundle tiocsti
	edit_config '.process.args = ["/bin/probe", "terminal"]'
	# runbuild has a controlling terminal here, and the step's streams are that terminal
	capture timeout 30 script -qec "'$runbuild' --root '$state_root' run --bundle '$bundle' hostile" /dev/null
	same 'what the step reached' 'no terminal' "$(tr -d '\r' <"$bundle/out")"
}

# CVE-2019-5736: our program file, while we enter the container.
test_our_program_file_cannot_be_written_from_inside() {
	local copy=$scratch/own/runbuild sum i

	hostile_bundle ownexe
	mkdir -p "$scratch/own"
	# one that the user, and so root of the container, may write
	install -m 0755 "$runbuild" "$copy"
	sum=$(sha256sum <"$copy")
	ln -s /proc/self/exe "$rootfs/bin/self"
	edit_config '.process.args = ["/bin/probe", "haunt"] | .linux.maskedPaths = [] | .linux.readonlyPaths = []
		| del(.linux.seccomp) | .process.capabilities |= map_values(. + ["CAP_SYS_PTRACE"])'
	"$copy" --root "$state_root" create --bundle "$bundle" haunted >"$bundle/out" 2>&1
	"$copy" --root "$state_root" start haunted
	await 10 grep -q started "$bundle/out"
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		"$copy" --root "$state_root" exec haunted /bin/true || fail "exec $i"
		# our own program as the container's: it is not hidden from its likes then
		"$copy" --root "$state_root" exec haunted /bin/self features >"$bundle/self" 2>&1 || true
	done
	runtime delete --force haunted
	! grep -q written "$bundle/out" || fail 'something was written'
	same 'the program file' "$sum" "$(sha256sum <"$copy")"
	state_is_empty
}

test_the_old_root_is_out_of_reach() {
	hostile_bundle oldroot
	set_script 'cd /; cd ../../../..; ls -d proc bin >/dev/null && pwd
		ls "'"$scratch"'/outside" /proc/1/root"'"$scratch"'/outside" /proc/1/cwd/../.."'"$scratch"'/outside" 2>/dev/null
		grep -c "'"$scratch"'/outside" /proc/self/mountinfo'
	capture timeout 30 "$runbuild" --root "$state_root" run --bundle "$bundle" hostile
	same 'what the step finds' $'/\n0' "$(<"$bundle/out")"
}

test_files_that_command_the_kernel_cannot_be_written() {
	spec_bundle kernelfiles
	edit_config 'del(.linux.seccomp)'
	set_script 'for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sysrq-trigger \
			/proc/sys/kernel/hotplug /sys/kernel/uevent_helper /proc/sys/fs/binfmt_misc/register \
			/proc/sys/vm/overcommit_memory /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/release_agent; do
			test -e $f || continue
			(: >>$f) 2>/dev/null && echo "can write $f"
		done; exit 0'
	good_run
	same 'what can be written' '' "$(<"$bundle/out")"
}
