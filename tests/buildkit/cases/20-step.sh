# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # scratch: set by the suite
#
# What a step finds around itself. One build collects the facts; each test
# looks at one of them.

# shellcheck disable=SC2016 # the Dockerfile's text belongs to the step's shell
collect_facts() {
	local context

	context=$(context_of facts)
	cp -- "$here/lib/facts.sh" "$context/"
	build facts --output type=local,dest="$scratch/build/facts/out" <<-'D'
		FROM base AS step
		COPY facts.sh /facts.sh
		RUN mkdir /out; readlink /proc/1/fd/0 >/out/stdin; cat | wc -c >/out/stdin-bytes; tr '\0' '\n' </proc/1/environ >/out/environ; sh /facts.sh
		FROM scratch
		COPY --from=step /out /
	D
}

# fact NAME: prints one fact, collecting all of them at the first call. Needs
# set -e in the caller; call it as x=$(fact NAME).
fact() {
	[[ -e $scratch/build/facts/log ]] || collect_facts >&2 || true
	[[ -f $scratch/build/facts/out/$1 ]] || {
		tail -n 40 "$(log_of facts)" >&2
		fail "the build that collects the facts has no $1" >&2
	}
	cat "$scratch/build/facts/out/$1"
}

fact_is() {
	local actual

	actual=$(fact "$1")
	same "$1" "$2" "$actual"
}

test_stdin_of_a_step_is_empty() {
	fact_is stdin-bytes 0
	printf '# stdin is %s\n' "$(fact stdin)"
}

test_step_has_only_the_standard_descriptors() {
	must_build descriptors <<-'D'
		FROM base
		RUN ["/bin/busybox", "ls", "/proc/self/fd"]
	D
	# 3 is the directory that ls reads.
	same 'descriptors' $'0\n1\n2\n3' "$(step_output descriptors)"
}

test_environment_is_the_image_s() {
	local actual

	actual=$(fact environ)
	actual=$(grep -vE '^(OTEL_[A-Z_]+|TRACEPARENT)=' <<<"$actual" | sort)
	same 'environment of process 1' $'HOME=/root\nPATH=/bin' "$actual"
}

test_step_runs_as_root_of_the_image() {
	fact_is id 'uid=0(root) gid=0(root) groups=0(root)'
}

test_umask_is_0022() {
	fact_is umask 0022
}

test_hostname_is_buildkitsandbox() {
	fact_is hostname buildkitsandbox
}

test_hosts_file_is_read_only_and_names_the_sandbox() {
	local hosts

	hosts=$(fact hosts)
	grep -qE '^127\.0\.0\.1[[:space:]].*buildkitsandbox' <<<"$hosts" || fail "$hosts"
	fact_is hosts-write 'Read-only file system'
}

test_capabilities_are_the_default_set() {
	fact_is caps 'CapInh: 0000000000000000
CapPrm: 00000000a80425fb
CapEff: 00000000a80425fb
CapBnd: 00000000a80425fb
CapAmb: 0000000000000000'
}

test_seccomp_filter_is_on() {
	fact_is seccomp 'Seccomp: 2'
}

test_no_new_privileges_stays_off() {
	fact_is no-new-privs 'NoNewPrivs: 0'
}

test_unknown_system_call_gives_enosys() {
	need_probe
	fact_is unknown-call ENOSYS
}

test_denied_system_call_gives_eperm() {
	need_probe
	fact_is denied-call EPERM
}

test_step_sees_only_its_own_processes() {
	local pids

	pids=$(fact pids)
	[[ $pids == 1* ]] || fail "no process 1: $pids"
	(($(wc -w <<<"$pids") <= 5)) || fail "foreign processes: $pids"
}

test_device_nodes_work() {
	fact_is devices '/dev/full character special file 1:7 666
/dev/null character special file 1:3 666
/dev/random character special file 1:8 666
/dev/tty character special file 5:0 666
/dev/urandom character special file 1:9 666
/dev/zero character special file 1:5 666'
	fact_is null-write ok
	fact_is zero-read 00000000
	fact_is full-write 'No space left on device'
	fact_is random-bytes 16
}

test_dev_links_lead_to_the_descriptors() {
	fact_is dev-links 'fd -> /proc/self/fd
stderr -> /proc/self/fd/2
stdin -> /proc/self/fd/0
stdout -> /proc/self/fd/1'
	fact_is dev-fd 'through /dev/fd'
}

test_dev_holds_nothing_else() {
	local names

	names=$(fact dev-names)
	same 'names in /dev' 'fd
full
mqueue
null
ptmx
pts
random
shm
stderr
stdin
stdout
tty
urandom
zero' "$(grep -vxE 'core|console|otel-grpc\.sock' <<<"$names")"
}

test_dev_shm_is_a_writable_tmpfs() {
	fact_is shm 'tmpfs 1777 65536 written '
}

test_dev_pts_gives_a_terminal() {
	need_probe
	fact_is terminal '/dev/pts/0 x'
	fact_is ptmx 'pts/ptmx'
}

test_mounts_have_the_flags_of_the_spec() {
	local mounts

	mounts=$(fact mounts)
	same 'mounts' '/dev nosuid tmpfs
/dev/mqueue nosuid,nodev,noexec mqueue
/dev/pts nosuid,noexec devpts
/dev/shm nosuid,nodev,noexec tmpfs
/proc nosuid,nodev,noexec proc' "$(grep -E '^(/proc|/dev|/dev/(mqueue|pts|shm)) ' <<<"$mounts")"
}

test_mounts_do_not_propagate() {
	fact_is propagation ''
}

test_masked_paths_are_masked() {
	local masked

	masked=$(fact masked)
	[[ -n $masked ]] || skip 'this kernel has none of the masked paths'
	same 'bytes or names that show through' '' "$(grep -v ' 0$' <<<"$masked" || true)"
	printf '# masked here: %s\n' "$(cut -d ' ' -f 1 <<<"$masked" | tr '\n' ' ')"
}

test_proc_sys_is_read_only() {
	fact_is proc-sys-write 'Read-only file system'
	fact_is proc-read-only '/proc/bus ro
/proc/fs ro
/proc/irq ro
/proc/sys ro
/proc/sysrq-trigger ro'
}

test_step_cannot_mount_or_make_devices() {
	fact_is mount-tmpfs refused
	fact_is mknod-null refused
}

test_step_has_its_own_namespaces() {
	local kinds kind inode daemon_inode

	kinds=$(fact namespaces)
	for kind in ipc mnt pid uts; do
		inode=$(sed -n "s/^$kind //p" <<<"$kinds")
		daemon_inode=$(readlink "/proc/$daemon_pid/ns/$kind")
		[[ -n $inode && $inode != "$daemon_inode" ]] || fail "$kind is the daemon's: $inode"
	done
}
