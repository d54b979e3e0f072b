# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # variables of the suite; single quotes hold the container's scripts
#
# The verbs and their options, one rule a test.

test_run_passes_output_and_status() {
	new_bundle run
	set_script 'echo out; echo err >&2; exit 42'
	run_container run
	same 'the status' 42 "$status"
	same 'stdout' out "$(<"$bundle/out")"
	same 'stderr' err "$(<"$bundle/err")"
	same 'the log' '' "$(cat "$bundle/log")"
	[[ ! -e $state_root/run ]] || fail 'state is left'
}

test_run_hands_stdin_over() {
	local status=0

	new_bundle stdin
	set_script 'read a; read b; echo "$b $a"'
	printf 'one\ntwo\n' | runtime run --bundle "$bundle" stdin >"$bundle/out" || status=$?
	same 'stdout' 'two one' "$(<"$bundle/out")"
}

# runc puts a pipe in between and waits for its writer.
test_run_ends_while_stdin_stays_open() {
	local fifo=$scratch/stdin-fifo

	new_bundle stdinopen
	mkfifo "$fifo"
	exec 7<>"$fifo"
	timeout 30 "$runbuild" --root "$state_root" run --bundle "$bundle" stdinopen <&7 || fail 'run waits for stdin'
	exec 7>&-
}

test_run_answers_128_and_the_signal() {
	new_bundle signal
	# process 1 of a pid namespace cannot be killed from inside
	set_script 'exec sleep 600'
	runtime run --bundle "$bundle" signal >"$bundle/out" 2>&1 &
	await 20 status_is signal running
	runtime kill signal 9
	wait $! && status=0 || status=$?
	same 'the status' 137 "$status"
}

test_run_takes_the_current_directory_as_bundle() {
	new_bundle cwd
	set_script 'echo here'
	(cd "$bundle" && "$runbuild" --root "$state_root" run cwd >out) || fail
	same 'stdout' here "$(<"$bundle/out")"
}

test_run_takes_a_relative_bundle_and_short_option() {
	new_bundle relative
	set_script 'echo here'
	edit_config '.root.path = "rootfs"'
	(cd "$bundle/.." && "$runbuild" --root "$state_root" run -b relative relative >relative/out) || fail
	same 'stdout' here "$(<"$bundle/out")"
}

test_options_may_follow_each_other_in_any_spelling() {
	new_bundle spelling
	set_script 'echo here'
	capture "$runbuild" "--root=$state_root" "--log=$bundle/log" --log-format=json --debug=false run \
		"--bundle=$bundle" --no-new-keyring=true -- spelling
	output_is here
}

test_run_keep_leaves_the_state_for_delete() {
	stopped keep
	same 'the status' stopped "$(status_of keep)"
	same 'the pid' 0 "$(pid_of keep)"
	run_container keep
	refused 1 'container with given ID already exists'
	capture runtime delete keep
	output_is ''
	capture runtime state keep
	refused 1 'container does not exist'
}

test_run_with_no_pivot_has_the_same_root() {
	new_bundle nopivot
	set_script 'ls -d /bin /etc; [ ! -e /work ] && cat /proc/self/mountinfo | wc -l'
	run_container nopivot --no-pivot
	ran_well
	same 'the root' /bin "$(head -n 1 "$bundle/out")"
}

# A whole procfs of the host in the mount namespace would allow another one without the masks.
test_run_with_no_pivot_exposes_no_unmasked_proc() {
	local pivot

	for pivot in '' --no-pivot; do
		new_bundle "bareproc$pivot"
		edit_config '.process.capabilities |= with_entries(.value += ["CAP_SETFCAP", "CAP_SYS_ADMIN"])'
		set_script 'unshare -mr sh -c "mount -t proc none /mnt && echo exposed" 2>&1
			unshare -mrn sh -c "mount -t sysfs none /mnt && cat /mnt/kernel/notes && echo exposed" 2>&1'
		mkdir -p "$bundle/rootfs/mnt"
		run_container bareproc ${pivot:+"$pivot"}
		same "mounts refused $pivot" 2 "$(grep -c 'mount: permission denied' "$bundle/out")"
		! grep exposed "$bundle/out" || fail "$(<"$bundle/out")"
	done
}

test_pid_file_holds_only_digits() {
	new_bundle pidfile
	set_script 'exec sleep 600'
	printf 'an old and much longer content\n' >"$bundle/pid"
	start_detached pidfile --pid-file "$bundle/pid"
	same 'the pid' "$(pid_of pidfile)" "$(<"$bundle/pid")"
	same 'its bytes' "$(pid_of pidfile | tr -d '\n' | wc -c)" "$(wc -c <"$bundle/pid")"
	same 'temporary files' '' "$(find "$bundle" -maxdepth 1 -name '.*' -type f)"
	remove pidfile
}

test_pid_file_is_put_in_place_by_rename() {
	local before

	new_bundle pidrename
	set_script 'exec sleep 600'
	printf 1 >"$bundle/pid"
	exec 8<"$bundle/pid"
	before=$(stat -c %i "$bundle/pid")
	start_detached pidrename --pid-file "$bundle/pid"
	same 'the old file' 1 "$(cat <&8)"
	[[ $(stat -c %i "$bundle/pid") != "$before" ]] || fail 'the file was overwritten in place'
	exec 8<&-
	remove pidrename
}

test_pid_file_path_is_relative_to_the_caller() {
	new_bundle pidrel
	set_script 'exec sleep 600'
	(cd "$bundle" && "$runbuild" --root "$state_root" run -d --pid-file pid pidrel </dev/null >detached 2>&1) || fail
	same 'the pid' "$(pid_of pidrel)" "$(<"$bundle/pid")"
	remove pidrel
}

test_pid_file_that_cannot_be_written_fails_the_run() {
	new_bundle pidbad
	set_script 'exec sleep 600'
	run_container pidbad --detach --pid-file "$scratch/nowhere/pid"
	refused 1 'pid file'
	[[ ! -e $state_root/pidbad ]] || fail 'state is left'
}

test_pid_file_is_not_written_for_a_failed_start() {
	new_bundle pidnone
	edit_config '.process.args = ["/no/such/program"]'
	run_container pidnone --pid-file "$bundle/pid"
	refused 1 'no such file or directory'
	[[ ! -e $bundle/pid ]] || fail 'there is a pid file'
}

test_detached_run_returns_and_leaves_the_program() {
	new_bundle detach
	set_script 'echo started; exec sleep 600'
	start_detached detach
	same 'the status' running "$(status_of detach)"
	await 10 file_has "$bundle/detached" started || fail
	kill -0 "$(pid_of detach)"
	remove detach
}

test_preserve_fds_passes_only_what_was_open() {
	need_probe
	new_bundle preserve
	edit_config '.process.args = ["/bin/probe", "fds"]'
	# 4 is closed: it must not become one of ours. 5 lies beyond.
	capture runtime run --bundle "$bundle" --preserve-fds 2 preserve 3</dev/null 4<&- 5</dev/null
	output_is '0 1 2 3'
}

test_descriptors_of_the_caller_stay_outside() {
	need_probe
	new_bundle nofds
	edit_config '.process.args = ["/bin/probe", "fds"]'
	capture runtime run --bundle "$bundle" nofds 3</dev/null 4</etc/passwd 200</dev/null
	output_is '0 1 2'
}

test_listen_fds_are_passed_on_to_process_one() {
	need_probe
	new_bundle listen
	set_script 'echo $LISTEN_FDS $LISTEN_PID; exec /bin/probe fds'
	LISTEN_FDS=1 capture runtime run --bundle "$bundle" listen 3</dev/null 4</dev/null
	output_is '1 1
0 1 2 3'
}

# The probe joins a new session keyring, prints its number and becomes the runtime.
test_session_keyring_is_new_unless_told_otherwise() {
	local probe=$scratch/base/rootfs/bin/probe

	need_probe
	[[ $("$probe" keyring) != ENOSYS ]] || skip 'the kernel has no keyrings'
	new_bundle keyring
	edit_config '.process.args = ["/bin/probe", "keyring"]'
	capture "$probe" in-keyring "$runbuild" --root "$state_root" run --bundle "$bundle" keyring
	ran_well
	same 'different keyrings' 2 "$(sort -u "$bundle/out" | wc -l)"
	capture "$probe" in-keyring "$runbuild" --root "$state_root" run --no-new-keyring --bundle "$bundle" keyring
	ran_well
	same 'different keyrings' 1 "$(sort -u "$bundle/out" | wc -l)"
}

test_no_subreaper_is_taken() {
	new_bundle subreaper
	run_container subreaper --no-subreaper
	output_is ''
}

test_create_waits_for_start() {
	new_bundle created
	set_script 'echo started; exec sleep 600'
	runtime create --bundle "$bundle" --pid-file "$bundle/pid" created >"$bundle/detached" 2>&1 </dev/null
	same 'the status' created "$(status_of created)"
	same 'the pid' "$(<"$bundle/pid")" "$(pid_of created)"
	same 'output before start' '' "$(<"$bundle/detached")"
	capture runtime start created
	output_is ''
	same 'the status' running "$(status_of created)"
	await 10 file_has "$bundle/detached" started || fail
	capture runtime start created
	refused 1 'cannot start an already running container'
	runtime kill created KILL
	await 20 status_is created stopped
	capture runtime start created
	refused 1 'cannot start a container that has stopped'
	remove created
}

test_start_of_a_missing_program_says_so() {
	new_bundle startbad
	edit_config '.process.args = ["nosuchprogram"]'
	capture runtime create --bundle "$bundle" startbad
	if ((status == 0)); then
		capture runtime start startbad
		remove startbad
	fi
	refused 1 'executable file not found in $PATH'
}

test_created_container_can_be_deleted() {
	new_bundle createdel
	runtime create --bundle "$bundle" createdel >/dev/null 2>&1 </dev/null
	capture runtime delete createdel
	output_is ''
	[[ ! -e $state_root/createdel ]] || fail 'state is left'
}

test_state_has_runcs_members_in_runcs_order() {
	sleeper state
	capture runtime state state
	ran_well
	same 'the members' 'ociVersion id pid status bundle rootfs created owner' \
		"$(jq -r 'keys_unsorted | join(" ")' "$bundle/out")"
	same 'bundle and rootfs' "$bundle $bundle/rootfs" "$(jq -r '.bundle + " " + .rootfs' "$bundle/out")"
	same 'ids' "state running" "$(jq -r '.id + " " + .status' "$bundle/out")"
	jq -r .created "$bundle/out" | grep -qE '^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{1,9}Z$' ||
		fail "created: $(jq -r .created "$bundle/out")"
	remove state
}

test_state_makes_a_relative_root_absolute() {
	new_bundle relroot
	edit_config '.root.path = "rootfs" | .process.args = ["/bin/sleep", "600"]'
	start_detached relroot
	same 'rootfs' "$bundle/rootfs" "$(runtime state relroot | jq -r .rootfs)"
	remove relroot
}

test_state_has_the_annotations() {
	new_bundle annotations
	edit_config '.annotations = {"org.example.a": "1", "quote": "a\"b\nc"} | .process.args = ["/bin/sleep", "600"]'
	start_detached annotations
	same 'annotations' '{"org.example.a":"1","quote":"a\"b\nc"}' "$(runtime state annotations | jq -c .annotations)"
	remove annotations
}

test_state_writes_no_warning_to_stderr() {
	sleeper quiet
	# without --log, a warning would go to stderr
	capture "$runbuild" --root "$state_root" state quiet
	ran_well
	jq -e . "$bundle/out" >/dev/null
	remove quiet
}

test_kill_takes_names_and_numbers() {
	local signal

	for signal in TERM SIGTERM term 15; do
		new_bundle "kill$signal"
		set_script 'trap "echo got TERM; exit 7" TERM; echo ready; while :; do sleep 0.05; done'
		runtime run --bundle "$bundle" "kill$signal" >"$bundle/out" 2>&1 </dev/null &
		await 20 file_has "$bundle/out" ready || fail
		runtime kill "kill$signal" "$signal"
		wait $! && status=0 || status=$?
		same "the status after $signal" 7 "$status"
	done
}

test_kill_without_a_signal_is_term() {
	new_bundle killdefault
	set_script 'trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done'
	runtime run --bundle "$bundle" killdefault >"$bundle/out" 2>&1 </dev/null &
	await 20 file_has "$bundle/out" ready || fail
	runtime kill killdefault
	wait $! && status=0 || status=$?
	same 'the status' 9 "$status"
}

test_kill_all_reaches_every_process() {
	new_bundle killall
	set_script 'sh -c "trap \"echo child\" USR1; echo ready; while :; do sleep 0.05; done" &
		trap "echo parent" USR1; while :; do sleep 0.05; done'
	start_detached killall
	await 20 file_has "$bundle/detached" ready || fail
	runtime kill --all killall USR1
	await 10 file_has "$bundle/detached" parent || fail "$(<"$bundle/detached")"
	await 10 file_has "$bundle/detached" child || fail "$(<"$bundle/detached")"
	runtime kill -a killall KILL
	await 20 status_is killall stopped || fail
	remove killall
}

test_kill_zero_only_asks() {
	sleeper kill0
	capture runtime kill kill0 0
	output_is ''
	same 'the status' running "$(status_of kill0)"
	remove kill0
}

test_delete_force_ends_the_container() {
	local pid

	sleeper force
	pid=$(pid_of force)
	capture runtime delete force
	refused 1 'cannot delete container force that is not stopped: running'
	capture runtime delete --force force
	output_is ''
	is_dead "$pid" || fail 'the process lives' "$(cat "/proc/$pid/status")"
	capture runtime delete --force force
	output_is ''
}

test_version_has_runcs_form() {
	capture "$runbuild" --version
	ran_well
	sed -n 1p "$bundle/out" | grep -qE '^(runbuild|runc) version [0-9]' || fail "$(<"$bundle/out")"
	grep -q '^spec: [0-9]' "$bundle/out" || fail "$(<"$bundle/out")"
	capture "$runbuild" -v
	ran_well
}

test_runs_under_the_names_of_runc() {
	local name

	for name in runc buildkit-runc; do
		mkdir -p "$scratch/names"
		ln -sf -- "$runbuild" "$scratch/names/$name"
		new_bundle "as-$name"
		set_script 'echo ran'
		capture "$scratch/names/$name" --root "$state_root" --log "$bundle/log" --log-format json \
			run --bundle "$bundle" "as-$name"
		output_is ran
	done
}

test_features_lists_what_is_supported() {
	capture "$runbuild" features
	ran_well
	jq -e '.ociVersionMin == "1.0.0" and (.ociVersionMax | startswith("1."))
		and (.hooks == ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"])
		and (.mountOptions | index("rro") and index("tmpcopyup") and index("rprivate"))
		and (.linux.namespaces | sort == ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"])
		and (.linux.capabilities | index("CAP_CHOWN") and index("CAP_CHECKPOINT_RESTORE"))
		and .linux.seccomp.enabled
		and (.linux.seccomp.actions | index("SCMP_ACT_KILL_PROCESS") and index("SCMP_ACT_LOG") and index("SCMP_ACT_NOTIFY"))
		and (.linux.seccomp.operators | length == 7)
		and (.linux.seccomp.archs | index("SCMP_ARCH_X86_64"))
		and (.linux.cgroup.v1 and .linux.cgroup.v2)' "$bundle/out" >/dev/null || fail "$(<"$bundle/out")"
}

# Every mount option that `features` lists is taken.
test_features_tells_the_truth_about_mount_options() {
	new_bundle truth
	capture "$runbuild" features
	cp -- "$bundle/out" "$scratch/features.json"
	edit_config --slurpfile f "$scratch/features.json" '.mounts += [$f[0].mountOptions[]
		| select(. as $o | ["bind", "rbind", "remount", "dirsync", "iversion", "lazytime", "mand", "sync", "shared",
			"rshared", "slave", "rslave", "private", "rprivate", "unbindable", "runbindable", "silent"] | index($o) | not)
		| {destination: ("/opt/" + .), type: "tmpfs", source: "tmpfs", options: [.]}]'
	run_container truth
	output_is ''
}

test_spec_writes_runcs_example() {
	local cgroup=true

	[[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]] || cgroup=false
	new_bundle spec
	rm -- "$bundle/config.json"
	(cd "$bundle" && capture "$runbuild" spec && output_is '') || fail
	jq -e --argjson cgroup "$cgroup" '.ociVersion and .process.terminal and .process.args == ["sh"] and .root == {path: "rootfs", readonly: true}
		and ([.linux.namespaces[].type] | sort == ["cgroup", "ipc", "mount", "network", "pid", "uts"] - if $cgroup then [] else ["cgroup"] end)
		and ([.mounts[].destination] == ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"])
		and (.linux.resources.devices == [{allow: false, access: "rwm"}])' "$bundle/config.json" >/dev/null ||
		fail "$(<"$bundle/config.json")"
	(cd "$bundle" && capture "$runbuild" spec; refused 1 'File config.json exists. Remove it first') || fail
	contains "$bundle/err" "fix: remove './config.json', or name another directory"
}

test_a_file_or_descriptor_that_is_not_there_has_a_remedy_of_its_own() {
	new_bundle nothere
	capture "$runbuild" explain --step "$bundle/nothing"
	refused 1 "cannot read '$bundle/nothing'"
	contains "$bundle/err" "as 'runbuild step --print' writes it"
	capture "$runbuild" worker --fd 77
	refused 125 'cannot use the descriptors 77 and 77'
	contains "$bundle/err" 'whoever starts the worker must leave a socket'
}

test_spec_rootless_maps_only_the_caller() {
	new_bundle specrootless
	rm -- "$bundle/config.json"
	capture "$runbuild" spec --rootless --bundle "$bundle"
	output_is ''
	jq -e --argjson uid "$EUID" --argjson gid "$(id -g)" '
		.linux.uidMappings == [{containerID: 0, hostID: $uid, size: 1}]
		and .linux.gidMappings == [{containerID: 0, hostID: $gid, size: 1}]
		and ([.linux.namespaces[].type] | sort == ["ipc", "mount", "pid", "user", "uts"])
		and (.linux | has("resources") | not)
		and ([.mounts[] | select(.destination == "/sys")] | .[0].options | sort == ["nodev", "noexec", "nosuid", "rbind", "ro"])' \
		"$bundle/config.json" >/dev/null || fail "$(<"$bundle/config.json")"
}

# The example as it is, with its filter and masks; only the terminal is off.
test_spec_config_runs() {
	spec_bundle specrun
	set_script 'hostname; id -u; touch /x 2>&1'
	run_container specrun
	same 'the status' 1 "$status"
	same 'stdout' "runbuild
0
touch: /x: Read-only file system" "$(<"$bundle/out")"
}

test_spec_rootless_config_runs() {
	# in mode userns every other test does it
	need_mode root user
	new_bundle specnested
	rm -- "$bundle/config.json"
	"$runbuild" spec --rootless --bundle "$bundle"
	edit_config '.process.terminal = false | .process.args = ["/bin/id", "-u"]'
	run_container specnested
	output_is 0
}

test_buildkit_config_runs() {
	buildkit_bundle buildkit
	run_container buildkit
	output_is ''
	same 'the file of the step' hello "$(<"$bundle/rootfs/x")"
}

test_explain_text_shows_the_plan_without_doing_it() {
	new_bundle explain
	edit_config '.process.env += ["TOKEN=topsecret"] | .hostname = "named"'
	capture "$runbuild" explain --bundle "$bundle"
	ran_well
	contains "$bundle/out" clone pivot execve named /bin/true
	! grep -q topsecret "$bundle/out" || fail 'an environment value is shown'
	capture "$runbuild" explain --env --format text -b "$bundle"
	contains "$bundle/out" topsecret
}

test_explain_json_has_the_same_operations() {
	local words

	new_bundle explainjson
	capture "$runbuild" explain --format json --bundle "$bundle"
	ran_well
	jq -e . "$bundle/out" >/dev/null || fail 'not JSON'
	for words in clone pivot execve move_mount; do
		grep -q "\"$words\"" "$bundle/out" || fail "no $words in: $(<"$bundle/out")"
	done
	capture "$runbuild" explain --format xml --bundle "$bundle"
	refused 1 'unknown format'
}

test_explain_refuses_what_run_refuses() {
	new_bundle explainbad
	edit_config '.process.cwd = "relative"'
	capture "$runbuild" explain --bundle "$bundle"
	refused 1 '(at /process/cwd)'
}

test_log_is_appended_in_both_formats() {
	new_bundle log
	printf 'before\n' >"$bundle/log"
	capture runtime state nosuch
	capture "$runbuild" --root "$state_root" --log "$bundle/log" --log-format json state nosuch
	refused 1 'container does not exist'
	same 'the lines' 3 "$(wc -l <"$bundle/log")"
	sed -n 2p "$bundle/log" | grep -qE '^time="20[0-9-]{8}T[0-9:]{8}Z" level=error msg="container does not exist' ||
		fail "$(<"$bundle/log")"
	sed -n 3p "$bundle/log" | jq -e '.level == "error" and (.msg | startswith("container does not exist"))
		and (.time | test("^20[0-9-]{8}T[0-9:]{8}Z$"))' >/dev/null || fail "$(<"$bundle/log")"
}

test_debug_adds_debug_lines_only_to_the_log() {
	new_bundle debug
	set_script 'echo ran'
	capture "$runbuild" --root "$state_root" --log "$bundle/log" --log-format json --debug run --bundle "$bundle" debug
	output_is ran
	[[ ! -s $bundle/log ]] || jq -es 'all(.level == "debug" or .level == "info")' "$bundle/log" >/dev/null ||
		fail "$(<"$bundle/log")"
}

test_log_that_cannot_be_opened_is_an_error() {
	new_bundle logbad
	capture "$runbuild" --root "$state_root" --log "$scratch/nowhere/log" state x
	refused 1 'log'
}

# oci-clients: podman runs us with a uid that looks like 0 and the user's folder.
test_state_root_follows_xdg_runtime_dir() {
	new_bundle xdg
	edit_config '.process.args = ["/bin/sleep", "600"]'
	mkdir -m 0700 "$scratch/xdg"
	export XDG_RUNTIME_DIR=$scratch/xdg
	"$runbuild" run -d --bundle "$bundle" xdg </dev/null >/dev/null 2>&1 || fail 'run'
	[[ -d $scratch/xdg/runbuild/xdg ]] || fail "not in $scratch/xdg: $(find "$scratch/xdg")"
	same 'its mode' 700 "$(stat -c %a "$scratch/xdg/runbuild")"
	capture "$runbuild" state xdg
	ran_well
	"$runbuild" delete --force xdg
	rm -rf -- "$scratch/xdg"
}

test_state_root_of_root_is_run() {
	need_mode root
	new_bundle slashrun
	edit_config '.process.args = ["/bin/sleep", "600"]'
	unset XDG_RUNTIME_DIR
	"$runbuild" run -d --bundle "$bundle" "$suite_id-run" </dev/null >/dev/null 2>&1 || fail 'run'
	[[ -d /run/runbuild/$suite_id-run ]] || fail 'not in /run/runbuild'
	"$runbuild" delete --force "$suite_id-run"
	[[ ! -e /run/runbuild/$suite_id-run ]] || fail 'state is left'
}
