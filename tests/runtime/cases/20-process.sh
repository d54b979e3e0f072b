# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # variables of the suite; single quotes hold the container's scripts
#
# "process" of config.json: what is started, as whom, with which limits.

# capabilities_of SET…: shell text that prints CapInh … as in /proc/self/status.
capability_sets='awk "/^Cap/ { print \$1, \$2 }" /proc/self/status'

test_args_and_env_arrive_byte_by_byte() {
	new_bundle args
	edit_config '.process.args = ["/bin/sh", "-c", "printf \"[%s]\" \"$@\"; printf \"{%s}\" \"$E\"", "argv0",
		"", " two  words ", "a\nb", "\u00e9\u4e16", "*", "$HOME"] | .process.env = ["PATH=/bin", "E=x=y z\n", "HOME=/h"]'
	run_container args
	ran_well
	same 'the output' $'[][ two  words ][a\nb][é世][*][$HOME]{x=y z\n}' "$(<"$bundle/out")"
}

test_env_is_exactly_the_configurations() {
	new_bundle env
	edit_config '.process.env = ["PATH=/bin", "A=1"] | .process.args = ["/bin/env"]'
	FOREIGN=1 NOTIFY_SOCKET=/x capture runtime run --bundle "$bundle" env
	output_is 'PATH=/bin
A=1
HOME=/root'
}

test_home_comes_from_the_images_passwd() {
	new_bundle home
	edit_config '.process.user = {uid: 1000, gid: 1000} | .process.args = ["/bin/sh", "-c", "echo $HOME"]'
	run_container home
	output_is /home/app
	edit_config '.process.user.uid = 4242'
	run_container home
	output_is /
	edit_config '.process.env += ["HOME=/own"]'
	run_container home
	output_is /own
}

test_program_is_found_along_the_containers_path() {
	new_bundle path
	mkdir "$bundle/rootfs/own"
	printf '#!/bin/sh\necho own\n' >"$bundle/rootfs/own/tool"
	printf 'not executable\n' >"$bundle/rootfs/etc/tool"
	chmod 755 "$bundle/rootfs/own/tool"
	edit_config '.process.env = ["PATH=/nowhere:/etc:/own:/bin"] | .process.args = ["tool"]'
	run_container path
	output_is own
}

test_cwd_is_entered_and_made_when_missing() {
	new_bundle cwdnew
	edit_config '.process.cwd = "/new/work dir" | .process.args = ["/bin/sh", "-c", "pwd; stat -c %a:%u . /new"]'
	run_container cwdnew
	output_is '/new/work dir
755:0
755:0'
	[[ -d "$bundle/rootfs/new/work dir" ]] || fail 'not made in the root'
}

test_cwd_only_the_user_may_enter_is_entered() {
	new_bundle cwdprivate
	edit_config '.process.capabilities = (["CAP_CHOWN", "CAP_FOWNER"] | {bounding: ., permitted: ., effective: .})'
	set_script 'mkdir -p /priv/dir; chmod 700 /priv; chown -R 1000:1000 /priv'
	run_container cwdprivate
	ran_well
	edit_config '.process.cwd = "/priv/dir" | .process.user = {uid: 1000, gid: 1000} | .process.args = ["/bin/pwd"]'
	run_container cwdprivate
	output_is /priv/dir
}

test_cwd_that_is_a_file_is_refused() {
	new_bundle cwdfile
	edit_config '.process.cwd = "/etc/passwd"'
	run_container cwdfile
	refused 1 '(at /process/cwd)'
}

test_user_and_supplementary_groups_are_set() {
	new_bundle user
	edit_config '.process.user = {uid: 1000, gid: 1000, additionalGids: [33, 2000]}'
	set_script 'id -u; id -g; grep -E "^(Uid|Gid|Groups)" /proc/self/status | tr "\t" " "'
	run_container user
	ran_well
	same 'the identity' '1000
1000
Uid: 1000 1000 1000 1000
Gid: 1000 1000 1000 1000
Groups: 33 2000' "$(sed 's/ *$//' "$bundle/out")"
}

test_groups_of_the_caller_are_dropped() {
	new_bundle nogroups
	set_script 'grep ^Groups /proc/self/status | tr -d "\t "'
	run_container nogroups
	output_is 'Groups:'
}

test_umask_is_022_unless_given() {
	new_bundle umask
	set_script 'umask; touch /f; stat -c %a /f'
	(umask 0 && run_container umask && output_is '0022
644') || fail
	edit_config '.process.user.umask = 63'
	set_script 'umask'
	run_container umask
	output_is 0077
}

test_capability_sets_are_those_of_the_configuration() {
	new_bundle caps
	edit_config '.process.capabilities = {
		bounding: ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
		permitted: ["CAP_CHOWN", "CAP_KILL"], effective: ["CAP_CHOWN"],
		inheritable: ["CAP_KILL"], ambient: ["CAP_KILL"]}
		| .process.user = {uid: 1000, gid: 1000}'
	set_script "$capability_sets"
	run_container caps
	# execve(2) of a program without file capabilities: only the ambient set stays
	output_is 'CapInh: 0000000000000020
CapPrm: 0000000000000020
CapEff: 0000000000000020
CapBnd: 0000000000002021
CapAmb: 0000000000000020'
}

test_root_gets_its_bounding_set_and_nothing_inheritable() {
	new_bundle rootcaps
	edit_config '.process.capabilities = (["CAP_CHOWN", "CAP_KILL"] | {bounding: ., permitted: ., effective: .})'
	set_script "$capability_sets"
	run_container rootcaps
	output_is 'CapInh: 0000000000000000
CapPrm: 0000000000000021
CapEff: 0000000000000021
CapBnd: 0000000000000021
CapAmb: 0000000000000000'
}

test_no_capabilities_means_none() {
	new_bundle nocaps
	edit_config 'del(.process.capabilities)'
	set_script "$capability_sets"
	run_container nocaps
	same 'lines that are not zero' '' "$(grep -v ' 0000000000000000$' "$bundle/out" || true)"
}

# facts: a config that asks for everything fails in runc where the host lacks one.
test_capabilities_beyond_the_hosts_are_left_out() {
	new_bundle allcaps
	capture "$runbuild" features
	cp -- "$bundle/out" "$scratch/features.json"
	edit_config --slurpfile f "$scratch/features.json" '.process.capabilities = ($f[0].linux.capabilities
		| {bounding: ., permitted: ., effective: .})'
	set_script 'echo ran'
	run_container allcaps
	output_is ran
}

test_unknown_capability_is_a_warning() {
	new_bundle oddcap
	edit_config '.process.capabilities.bounding += ["CAP_FROM_THE_FUTURE"]'
	set_script 'echo ran'
	run_container oddcap
	same 'the status' 0 "$status"
	contains "$bundle/log" 'level=warn' 'capabilities'
}

test_rlimits_are_set() {
	need_probe
	new_bundle rlimits
	edit_config '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 100, hard: 200},
		{type: "RLIMIT_CORE", soft: 0, hard: 0}, {type: "RLIMIT_STACK", soft: 4194304, hard: 8388608}]'
	set_script '/bin/probe rlimit 7; /bin/probe rlimit 4; /bin/probe rlimit 3'
	run_container rlimits
	output_is '100 200
0 0
4194304 8388608'
}

test_rlimits_without_entries_are_the_callers() {
	need_probe
	new_bundle norlimits
	edit_config 'del(.process.rlimits) | .process.args = ["/bin/probe", "rlimit", "7"]'
	(ulimit -Sn 300 && ulimit -Hn 400 && run_container norlimits && output_is '300 400') || fail
}

test_rlimit_above_the_callers_names_the_element() {
	new_bundle highlimit
	edit_config '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 500, hard: 500}]'
	ulimit -n 400
	run_container highlimit
	((status != 0)) || skip 'the caller has CAP_SYS_RESOURCE'
	refused_at /process/rlimits/0 'cannot set a resource limit'
}

test_no_new_privileges_is_set_and_left_alone() {
	new_bundle nnp
	edit_config '.process.noNewPrivileges = true'
	set_script 'grep NoNewPrivs /proc/self/status | tr "\t" " "'
	run_container nnp
	output_is 'NoNewPrivs: 1'
	edit_config '.process.noNewPrivileges = false'
	run_container nnp
	output_is 'NoNewPrivs: 0'
}

test_oom_score_adj_is_set() {
	new_bundle oom
	edit_config '.process.oomScoreAdj = 321'
	set_script 'cat /proc/self/oom_score_adj'
	run_container oom
	output_is 321
}

test_signals_start_with_default_actions() {
	new_bundle signals
	edit_config '.process.args = ["/bin/grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"]'
	(trap '' INT QUIT USR1 HUP CHLD PIPE && run_container signals && ran_well) || fail
	same 'masks' 'SigBlk 0000000000000000 SigIgn 0000000000000000 SigCgt 0000000000000000 ' \
		"$(tr -d ':' <"$bundle/out" | tr '\t\n' '  ')"
}

test_program_is_process_one_of_its_own_session() {
	new_bundle session
	edit_config '.process.args = ["/bin/sh", "-c", "echo $$; awk \"{print \\$5, \\$6}\" /proc/self/stat"]'
	run_container session
	output_is '1
1 1'
}

test_stdio_can_be_reopened_by_the_user() {
	new_bundle stdio
	edit_config '.process.user = {uid: 1000, gid: 1000}'
	set_script 'echo one >/dev/stdout; echo two >/dev/fd/1; echo three >/dev/stderr'
	runtime run --bundle "$bundle" stdio 2>"$bundle/err" | cat >"$bundle/out"
	same 'stdout' 'one
two' "$(<"$bundle/out")"
}

test_exec_runs_in_the_container_with_its_identity() {
	new_bundle exec
	edit_config '.process.user = {uid: 1000, gid: 1000} | .process.args = ["/bin/sleep", "600"]
		| .process.env += ["FROM=config"] | .process.cwd = "/etc" | .hostname = "inside"'
	start_detached exec
	capture runtime exec exec /bin/sh -c 'echo $FROM; id -u; pwd; hostname; exit 5'
	same 'the status' 5 "$status"
	same 'stdout' 'config
1000
/etc
inside' "$(<"$bundle/out")"
	capture runtime exec exec sh -c 'grep -E "^(CapBnd|NoNewPrivs)" /proc/self/status | tr "\t" " "'
	same 'its protection' "$(grep -E '^(CapBnd|NoNewPrivs)' "/proc/$(pid_of exec)/status" | tr '\t' ' ')" "$(<"$bundle/out")"
	remove exec
}

test_exec_options_change_the_process() {
	new_bundle execopts
	edit_config '.process.args = ["/bin/sleep", "600"] | .process.noNewPrivileges = false'
	start_detached execopts
	capture runtime exec --user 33:1000 --env 'A=b c' -e B=2 --cwd /tmp -g 2000 execopts \
		/bin/sh -c 'echo $A $B; id -u; id -g; pwd; grep Groups /proc/self/status | tr -d "\t "'
	output_is 'b c 2
33
1000
/tmp
Groups:2000'
	capture runtime exec --cap CAP_NET_RAW -c CAP_SYS_CHROOT execopts /bin/sh -c 'grep CapEff /proc/self/status'
	ran_well
	(((0x$(cut -f 2 "$bundle/out") & 0x42000) == 0x42000)) || fail "$(<"$bundle/out")"
	capture runtime exec --user 1000 --no-new-privs execopts /bin/sh -c 'id -u; grep NoNewPrivs /proc/self/status'
	output_is $'1000\nNoNewPrivs:\t1'
	remove execopts
}

test_exec_takes_a_process_file() {
	new_bundle execfile
	edit_config '.process.args = ["/bin/sleep", "600"] | .process.env += ["FROM=config"]'
	start_detached execfile
	jq '.process | .args = ["/bin/sh", "-c", "echo ${FROM-none}; id -u; umask; grep CapBnd /proc/self/status; exit 3"]
		| .env = ["PATH=/bin"] | .user = {uid: 1000, gid: 1000, umask: 31}
		| .capabilities = {bounding: ["CAP_KILL"]}' "$bundle/config.json" >"$bundle/process.json"
	capture runtime exec --process "$bundle/process.json" execfile
	same 'the status' 3 "$status"
	same 'stdout' $'none\n1000\n0037\nCapBnd:\t0000000000000020' "$(<"$bundle/out")"
	# what a shell makes of <(…), and a link
	ln -s process.json "$bundle/linked.json"
	capture runtime exec --process <(cat "$bundle/process.json") execfile
	same 'from a pipe' 3 "$status"
	capture runtime exec --process "$bundle/linked.json" execfile
	same 'through a link' 3 "$status"
	capture runtime exec -p "$scratch/nowhere.json" execfile
	refused 255 'exec failed'
	printf '{"args": ["/bin/true"], "cwd": "relative"}' >"$bundle/process.json"
	capture runtime exec -p "$bundle/process.json" execfile
	refused 255 'exec failed' '(at /cwd)'
	remove execfile
}

test_exec_detached_writes_its_pid_file_and_returns() {
	local pid

	sleeper execdetach
	capture runtime exec --detach --pid-file "$bundle/pid" execdetach /bin/sh -c 'echo up; exec sleep 600'
	same 'the status' 0 "$status"
	pid=$(<"$bundle/pid")
	[[ $pid =~ ^[0-9]+$ ]] || fail "pid file: $pid"
	same 'its pid namespace' "$(readlink "/proc/$(pid_of execdetach)/ns/pid")" "$(readlink "/proc/$pid/ns/pid")"
	await 10 file_has "$bundle/out" up || fail
	remove execdetach
	await 10 is_dead "$pid" || fail 'it outlives its container'
}

test_exec_foreground_with_pid_file_can_be_killed_by_it() {
	sleeper execpid
	runtime exec --pid-file "$bundle/pid" execpid /bin/sleep 600 >"$bundle/out" 2>&1 </dev/null &
	await 20 test -s "$bundle/pid" || fail
	kill -KILL "$(<"$bundle/pid")"
	wait $! && status=0 || status=$?
	same 'the status' 137 "$status"
	remove execpid
}

test_exec_pid_file_is_missing_when_the_program_is() {
	sleeper execnopid
	capture runtime exec --pid-file "$bundle/pid" execnopid /no/such/program
	refused 255 'exec failed' 'no such file or directory'
	[[ ! -e $bundle/pid ]] || fail 'there is a pid file'
	capture runtime exec --pid-file "$scratch/nowhere/pid" execnopid /bin/true
	refused 255 'exec failed' 'pid file'
	remove execnopid
}

test_exec_shares_every_namespace() {
	local type pid

	sleeper execns
	pid=$(pid_of execns)
	for type in cgroup ipc mnt net pid user uts; do
		readlink "/proc/$pid/ns/$type"
	done >"$bundle/expected"
	capture runtime exec execns /bin/sh -c 'for t in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$t; done'
	output_is "$(<"$bundle/expected")"
	remove execns
}

# The guard of a foreground exec is not for the container to see.
test_exec_brings_no_process_of_ours_into_the_container() {
	sleeper execps
	capture runtime exec execps /bin/ps -o comm
	output_is 'COMMAND
sleep
ps'
	remove execps
}

test_exec_passes_preserved_descriptors() {
	need_probe
	sleeper execfds
	capture runtime exec --preserve-fds 1 execfds /bin/probe fds 3</dev/null 4</dev/null
	output_is '0 1 2 3'
	capture runtime exec execfds /bin/probe fds 3</dev/null
	output_is '0 1 2'
	remove execfds
}

test_exec_works_in_a_created_container() {
	# where the caller may not trace the runtime's own, not yet dumpable process: ptrace(2)
	need_mode root user
	new_bundle execcreated
	set_script 'exec sleep 600'
	runtime create --bundle "$bundle" execcreated >"$bundle/detached" 2>&1 </dev/null
	capture runtime exec execcreated /bin/echo ran
	output_is ran
	same 'the status' created "$(status_of execcreated)"
	remove execcreated
}

test_exec_in_a_stopped_container_is_refused() {
	stopped execstopped
	capture runtime exec execstopped /bin/true
	refused 255 'exec failed' 'cannot exec in a stopped container'
	remove execstopped
}

test_exec_filter_is_the_containers() {
	need_probe
	new_bundle execseccomp
	edit_config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW",
		syscalls: [{names: ["getpriority"], action: "SCMP_ACT_ERRNO", errnoRet: 5}]} | .process.args = ["/bin/sleep", "600"]'
	start_detached execseccomp
	capture runtime exec execseccomp /bin/probe call 140
	output_is EIO
	remove execseccomp
}
