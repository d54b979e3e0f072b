# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # variables of the suite; single quotes hold the container's scripts
#
# Filters, as the system calls see them. getpriority (140) stands for a call that
# nothing needs.

# with_filter NAME FILTER SCRIPT: a bundle with linux.seccomp = FILTER.
with_filter() {
	need_probe
	[[ $(uname -m) == x86_64 ]] || skip 'the numbers are those of x86_64'
	new_bundle "$1"
	edit_config ".linux.seccomp = ($2)"
	set_script "$3"
	run_container "$1"
}

allow_but() {
	printf '{defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"], syscalls: [%s]}' "$1"
}

test_seccomp_errno_is_eperm_or_what_was_asked() {
	with_filter errno "$(allow_but '{names: ["getpriority"], action: "SCMP_ACT_ERRNO"},
		{names: ["setpriority"], action: "SCMP_ACT_ERRNO", errnoRet: 71}')" \
		'/bin/probe call 140 0 0; /bin/probe call 141 0 0 0; /bin/probe call 39'
	output_is 'EPERM
EPROTO
ok'
}

test_seccomp_default_errno_is_used_for_what_is_not_listed() {
	local calls

	# what the probe and its libc need
	calls='"read", "write", "close", "fstat", "newfstatat", "mmap", "munmap", "brk", "arch_prctl", "execve",
		"exit_group", "exit", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "readlink", "readlinkat",
		"getrandom", "mprotect", "rt_sigaction", "rt_sigprocmask", "ioctl", "getuid", "geteuid", "getgid", "getegid",
		"getpid", "getppid", "uname", "stat", "lstat", "wait4", "vfork", "fork", "clone", "dup2", "fcntl", "open", "openat",
		"getcwd", "rt_sigreturn", "setgid", "setuid", "set_thread_area", "capset", "statx"'
	with_filter defaulterrno "{defaultAction: \"SCMP_ACT_ERRNO\", defaultErrnoRet: 38, architectures: [\"SCMP_ARCH_X86_64\"],
		syscalls: [{names: [$calls], action: \"SCMP_ACT_ALLOW\"}]}" '/bin/probe call 140 0 0; /bin/probe call 41 2 1 0'
	output_is 'ENOSYS
ENOSYS'
}

test_seccomp_calls_newer_than_the_profile_are_enosys() {
	# 600 is newer than any name; 41 (socket) is known and denied
	with_filter enosys '{defaultAction: "SCMP_ACT_ERRNO", architectures: ["SCMP_ARCH_X86_64"], syscalls: [
		{names: ["read", "write", "close", "fstat", "newfstatat", "mmap", "munmap", "brk", "arch_prctl", "execve", "exit_group",
		"set_tid_address", "set_robust_list", "rseq", "prlimit64", "readlink", "getrandom", "mprotect", "rt_sigaction",
		"rt_sigprocmask", "ioctl", "getuid", "geteuid", "getgid", "getegid", "getpid", "getppid", "uname", "stat", "lstat", "wait4",
		"vfork", "fork", "clone", "openat", "getcwd", "rt_sigreturn", "capset", "statx"], action: "SCMP_ACT_ALLOW"}]}' \
		'/bin/probe call 600; /bin/probe call 41 2 1 0'
	output_is 'ENOSYS
EPERM'
}

test_seccomp_kill_process_kills_with_sigsys() {
	with_filter killprocess "$(allow_but '{names: ["getpriority"], action: "SCMP_ACT_KILL_PROCESS"}')" \
		'/bin/probe child-call 140; echo next'
	output_is 'killed by SIGSYS
next'
}

test_seccomp_kill_and_kill_thread_kill() {
	local action

	for action in SCMP_ACT_KILL SCMP_ACT_KILL_THREAD; do
		with_filter "k$action" "$(allow_but "{names: [\"getpriority\"], action: \"$action\"}")" '/bin/probe child-call 140'
		output_is 'killed by SIGSYS'
	done
}

test_seccomp_kill_of_process_one_is_the_steps_status() {
	with_filter killone "$(allow_but '{names: ["getpriority"], action: "SCMP_ACT_KILL_PROCESS"}')" 'exec /bin/probe call 140'
	same 'the status' $((128 + 31)) "$status"
}

test_seccomp_trap_raises_sigsys_with_the_number() {
	with_filter trap "$(allow_but '{names: ["getpriority"], action: "SCMP_ACT_TRAP"}')" '/bin/probe trap 140'
	output_is 'SIGSYS 140'
}

test_seccomp_trace_tells_the_tracer_or_is_enosys() {
	with_filter trace "$(allow_but '{names: ["getpriority"], action: "SCMP_ACT_TRACE", errnoRet: 123}')" \
		'/bin/probe call 140; /bin/probe trace 140'
	output_is 'ENOSYS
traced 123'
}

test_seccomp_log_lets_the_call_pass() {
	with_filter log "$(allow_but '{names: ["getpriority"], action: "SCMP_ACT_LOG"}')" '/bin/probe call 140 0 0'
	output_is ok
}

test_seccomp_compares_arguments() {
	with_filter args "$(allow_but '
		{names: ["getpriority"], action: "SCMP_ACT_ERRNO", errnoRet: 1, args: [{index: 1, value: 7, op: "SCMP_CMP_EQ"}]},
		{names: ["setpriority"], action: "SCMP_ACT_ERRNO", errnoRet: 5, args: [{index: 2, value: 100, op: "SCMP_CMP_GT"}]},
		{names: ["sched_yield"], action: "SCMP_ACT_ERRNO", errnoRet: 6,
			args: [{index: 0, value: 4294967295, valueTwo: 256, op: "SCMP_CMP_MASKED_EQ"}]},
		{names: ["getpgid"], action: "SCMP_ACT_ERRNO", errnoRet: 7, args: [{index: 0, value: 1, op: "SCMP_CMP_NE"}]},
		{names: ["personality"], action: "SCMP_ACT_ERRNO", errnoRet: 8,
			args: [{index: 0, value: 2, op: "SCMP_CMP_GE"}, {index: 0, value: 3, op: "SCMP_CMP_LE"}]},
		{names: ["times"], action: "SCMP_ACT_ERRNO", errnoRet: 9, args: [{index: 5, value: 4294967296, op: "SCMP_CMP_LT"}]}')" \
		'/bin/probe call 140 0 7; /bin/probe call 140 0 0; /bin/probe call 141 0 0 101; /bin/probe call 24 256; /bin/probe call 24 1;
		/bin/probe call 121 1; /bin/probe call 121 0; /bin/probe call 135 2; /bin/probe call 100 0 0 0 0 0 4294967295; /bin/probe call 100 0 0 0 0 0 4294967296'
	output_is 'EPERM
ok
EIO
ENXIO
ok
ok
E2BIG
ENOEXEC
EBADF
ok'
}

test_seccomp_flags_are_taken() {
	with_filter flags "$(allow_but '{names: ["getpriority"], action: "SCMP_ACT_ERRNO"}') + {flags: [\"SECCOMP_FILTER_FLAG_LOG\",
		\"SECCOMP_FILTER_FLAG_SPEC_ALLOW\", \"SECCOMP_FILTER_FLAG_TSYNC\"]}" '/bin/probe call 140'
	output_is EPERM
}

test_seccomp_works_without_no_new_privileges() {
	need_probe
	new_bundle nonnp
	edit_config ".process.noNewPrivileges = false | .process.user = {uid: 1000, gid: 1000}
		| .linux.seccomp = $(allow_but '{names: ["getpriority"], action: "SCMP_ACT_ERRNO"}')"
	set_script '/bin/probe call 140; grep -E "^(NoNewPrivs|Seccomp|CapEff):" /proc/self/status | tr -d "\t"'
	run_container nonnp
	output_is 'EPERM
CapEff:0000000000000000
NoNewPrivs:0
Seccomp:2'
}

# A deny rule that silently does not exist would be a hole; an allow rule is none.
test_seccomp_unknown_call_is_skipped_unless_a_deny_rule_needs_it() {
	with_filter unknowncall "$(allow_but '{names: ["a_call_of_the_future"], action: "SCMP_ACT_ALLOW"},
		{names: ["getpriority"], action: "SCMP_ACT_ERRNO"}')" '/bin/probe call 140'
	output_is EPERM
	edit_config '.linux.seccomp.syscalls[0].action = "SCMP_ACT_ERRNO"'
	refused_at /linux/seccomp/syscalls/0/names/0 a_call_of_the_future
}

test_seccomp_foreign_architecture_is_killed_or_refused() {
	# x32: bit 30 of the number
	with_filter x32 "$(allow_but '{names: ["getpriority"], action: "SCMP_ACT_ERRNO"}')" '/bin/probe child-call 0x40000014; true'
	[[ $(<"$bundle/out") != 'exit 0' ]] || {
		need_probe
		set_script '/bin/probe call 0x40000027'
		run_container x32
		[[ $(<"$bundle/out") != ok ]] || fail 'an x32 call passes'
	}
}

test_seccomp_unknown_names_are_refused() {
	new_bundle badseccomp
	edit_config '.linux.seccomp = {defaultAction: "SCMP_ACT_MAYBE"}'
	refused_at /linux/seccomp/defaultAction SCMP_ACT_MAYBE
	edit_config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_NEW"]}'
	refused_at /linux/seccomp/flags/0 SECCOMP_FILTER_FLAG_NEW
	edit_config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_Z80"]}'
	refused_at /linux/seccomp/architectures SCMP_ARCH_Z80 || refused_at /linux/seccomp/architectures/0 SCMP_ARCH_Z80
	edit_config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["read"], action: "SCMP_ACT_ERRNO",
		args: [{index: 0, value: 1, op: "SCMP_CMP_ABOUT"}]}]}'
	refused_at /linux/seccomp/syscalls/0/args/0/op SCMP_CMP_ABOUT
	edit_config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["read"], action: "SCMP_ACT_ERRNO",
		args: [{index: 6, value: 1, op: "SCMP_CMP_EQ"}]}]}'
	refused_at /linux/seccomp/syscalls/0/args/0/index
}

test_seccomp_cached_filter_is_the_same_filter() {
	local first

	with_filter cached "$(allow_but '{names: ["getpriority"], action: "SCMP_ACT_ERRNO", errnoRet: 33}')" '/bin/probe call 140'
	output_is EDOM
	first=$(ls "$state_root/@seccomp")
	[[ -n $first ]] || fail 'no filter in the cache'
	run_container cached
	output_is EDOM
	same 'the cache' "$first" "$(ls "$state_root/@seccomp")"
	# the action differs, the names are the same: another entry
	edit_config '.linux.seccomp.syscalls[0].errnoRet = 34'
	run_container cached
	output_is ERANGE
}
