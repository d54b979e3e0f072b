# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # variables of the suite; single quotes hold the container's scripts
#
# Hooks: order, place, state on standard input, time, what a failure means.

# add_hook KIND SCRIPT [TIMEOUT]: /bin/sh of the host, or of the image for
# startContainer; both exist.
add_hook() {
	edit_config --arg kind "$1" --arg script "$2" --argjson timeout "${3:-null}" \
		'.hooks[$kind] += [{path: "/bin/sh", args: ["sh", "-c", $script], env: ["PATH=/usr/bin:/bin"]}
			+ if $timeout then {timeout: $timeout} else {} end]'
}

test_hooks_run_in_order_around_the_program() {
	local kind

	new_bundle order
	for kind in prestart createRuntime createContainer poststart poststop; do
		add_hook "$kind" "echo $kind 1 >>$bundle/order"
		add_hook "$kind" "echo $kind 2 >>$bundle/order"
	done
	mkdir -p "$bundle/shared"
	edit_config --arg b "$bundle" '.mounts += [{destination: "/shared", type: "bind", source: ($b + "/shared"), options: ["bind"]}]'
	add_hook startContainer 'echo startContainer >/shared/start'
	set_script 'cat /shared/start'
	run_container order
	output_is startContainer
	same 'the order' 'prestart 1
prestart 2
createRuntime 1
createRuntime 2
createContainer 1
createContainer 2
poststart 1
poststart 2
poststop 1
poststop 2' "$(<"$bundle/order")"
}

test_hooks_read_the_state_on_stdin() {
	local kind

	new_bundle hookstate
	edit_config '.annotations = {a: "b"}'
	for kind in prestart createRuntime createContainer poststart poststop; do
		add_hook "$kind" "cat >$bundle/$kind.json"
	done
	add_hook startContainer 'cat >/startContainer.json'
	set_script 'sleep 0.2'
	run_container hookstate
	output_is ''
	mv "$bundle/rootfs/startContainer.json" "$bundle"
	for kind in prestart:creating createRuntime:creating createContainer:creating startContainer:created poststart:running poststop:stopped; do
		jq -e --arg b "$bundle" --arg status "${kind#*:}" '.id == "hookstate" and .bundle == $b and .status == $status
			and .ociVersion and .annotations == {a: "b"}' "$bundle/${kind%:*}.json" >/dev/null ||
			fail "${kind%:*}: $(<"$bundle/${kind%:*}.json")"
	done
	jq -e '.pid > 0' "$bundle/createRuntime.json" >/dev/null || fail 'no pid'
	jq -e '(.pid // 0) == 0' "$bundle/poststop.json" >/dev/null || fail "$(<"$bundle/poststop.json")"
}

test_hooks_run_where_the_specification_says() {
	new_bundle hookplace
	add_hook createRuntime "readlink /proc/self/ns/mnt >$bundle/runtime; readlink /proc/self/ns/net >>$bundle/runtime"
	add_hook createContainer "readlink /proc/self/ns/mnt >$bundle/container; [ -d $bundle/rootfs/proc/1 ] && echo mounted >>$bundle/container
		[ ./bin -ef $bundle/rootfs/bin ] && echo 'in the root' >>$bundle/container"
	add_hook startContainer 'pwd >/place; ls / | wc -l >>/place'
	set_script 'readlink /proc/self/ns/mnt'
	run_container hookplace
	ran_well
	same 'createRuntime' "$(readlink /proc/self/ns/mnt)
$(readlink /proc/self/ns/net)" "$(<"$bundle/runtime")"
	same 'createContainer' "$(<"$bundle/out")
mounted
in the root" "$(<"$bundle/container")"
	[[ -s $bundle/rootfs/place ]] || fail 'startContainer did not see the root'
}

test_hook_output_does_not_mix_with_the_programs_stdout() {
	new_bundle hookout
	add_hook createRuntime 'echo from-hook'
	add_hook startContainer 'echo from-start'
	set_script 'echo program'
	run_container hookout
	same 'stdout' program "$(<"$bundle/out")"
}

test_failing_early_hook_fails_the_run_and_leaves_nothing() {
	local kind

	for kind in prestart createRuntime createContainer startContainer; do
		new_bundle "fail$kind"
		add_hook "$kind" 'true'
		add_hook "$kind" 'exit 3'
		edit_config --arg b "$bundle" '.hooks.poststop = [{path: "/bin/sh", args: ["sh", "-c", "touch \($b)/poststop"]}]'
		set_script 'echo ran'
		run_container "fail$kind"
		refused 1 "error running $kind hook #1" '3'
		[[ ! -e $state_root/fail$kind ]] || fail 'state is left'
		same 'stdout' '' "$(<"$bundle/out")"
	done
}

test_failing_late_hooks_are_warnings() {
	local kind

	for kind in poststart poststop; do
		new_bundle "late$kind"
		add_hook "$kind" 'exit 3'
		set_script 'echo ran'
		run_container "late$kind"
		output_is ran
		contains "$bundle/log" level=warning "$kind hook #0"
	done
}

test_hook_beyond_its_time_is_killed() {
	local began

	new_bundle timeout
	add_hook createRuntime 'exec sleep 600' 1
	began=$(microseconds)
	run_container timeout
	refused 1 'error running createRuntime hook #0' 'ran out of time'
	(($(microseconds) - began < 30000000)) || fail 'it took too long'
	new_bundle timeoutin
	add_hook startContainer 'exec sleep 600' 1
	run_container timeoutin
	refused 1 'error running startContainer hook #0' 'ran out of time'
}

test_hook_program_that_does_not_exist_is_named() {
	new_bundle nohook
	edit_config '.hooks.createRuntime = [{path: "/no/such/hook"}]'
	run_container nohook
	refused 1 /no/such/hook
}

test_hook_that_dies_is_told_with_its_signal() {
	local kind

	for kind in createRuntime createContainer startContainer; do
		new_bundle "dies$kind"
		add_hook "$kind" 'kill -9 $$'
		run_container "dies$kind"
		refused 1 "error running $kind hook #0" 'signal: killed'
		[[ ! -e $state_root/dies$kind ]] || fail 'state is left'
	done
}

# The end of the runtime ends a hook that hangs, and nothing of the container is left.
test_hook_that_hangs_ends_with_the_runtime() {
	local kind pid seconds=$((100000 + $$))

	for kind in createRuntime createContainer startContainer; do
		new_bundle "hangs$kind"
		mkdir -p "$bundle/rootfs/shared" "$bundle/shared"
		edit_config --arg b "$bundle" '.mounts += [{destination: "/shared", type: "bind", source: ($b + "/shared"), options: ["bind"]}]'
		add_hook "$kind" "[ -d /shared ] || cd $bundle; echo >shared/here 2>/dev/null || echo >/shared/here; exec sleep $seconds"
		"$runbuild" --root "$state_root" run --bundle "$bundle" "hangs$kind" >"$bundle/out" 2>"$bundle/err" </dev/null &
		pid=$!
		await 20 test -s "$bundle/shared/here" || fail "$kind: the hook did not run: $(<"$bundle/err")"
		kill -KILL "$pid"
		wait "$pid" 2>/dev/null || true
		await 20 no_process_of_suite || fail "$kind: $(processes_of_suite | show_processes)"
		# a hook in the runtime's namespaces has nothing of the suite's in its own words
		await 20 no_sleeper_of "$seconds" || fail "$kind: the hook lives"
		capture runtime delete --force "hangs$kind"
		[[ ! -e $state_root/hangs$kind ]] || fail "$kind: state is left"
	done
}

# What the hook of the suite has started: sleeps of three numbers in a row, one in a session of its own.
hook_with_children() {
	local first=$1 mark=$2

	add_hook createRuntime "setsid sleep $first & (sleep $((first + 1)) &); echo >$mark; sleep $((first + 2)); true"
}

test_what_a_hook_has_started_ends_with_the_runtime() {
	local pid seconds=$((200000 + $$ * 10))

	new_bundle hookchildren
	hook_with_children "$seconds" "$bundle/here"
	"$runbuild" --root "$state_root" run --bundle "$bundle" hookchildren >"$bundle/out" 2>"$bundle/err" </dev/null &
	pid=$!
	await 20 test -s "$bundle/here" || fail "the hook did not run: $(<"$bundle/err")"
	await 20 sleeper_of "$((seconds + 2))"
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null || true
	await 20 no_sleepers_from "$seconds" || fail 'a process of the hook lives'
	capture runtime delete --force hookchildren
}

test_what_a_hook_has_started_ends_with_its_time() {
	local seconds=$((300000 + $$ * 10))

	new_bundle hooktime
	hook_with_children "$seconds" "$bundle/here"
	edit_config '.hooks.createRuntime[0].timeout = 1'
	run_container hooktime
	refused 1 'ran out of time (1 s)'
	no_sleepers_from "$seconds" || fail 'a process of the hook lives'
}

test_daemon_of_a_hook_that_succeeds_stays() {
	local seconds=$((400000 + $$ * 10))

	new_bundle hookdaemon
	add_hook createRuntime "setsid sleep $seconds >/dev/null 2>&1 </dev/null &"
	run_container hookdaemon
	same 'the status' 0 "$status"
	await 20 sleeper_of "$seconds" || fail 'it is gone'
	kill -KILL "$(pid_of_sleeper "$seconds")"
}

sleeper_of() {
	grep -qaszxF -e "$1" /proc/[0-9]*/cmdline
}

pid_of_sleeper() {
	local file

	file=$(grep -alszxF -e "$1" /proc/[0-9]*/cmdline || true) # others come and go
	file=${file#/proc/}
	printf '%s' "${file%%/*}"
}

no_sleepers_from() {
	! sleeper_of "$1" && ! sleeper_of "$(($1 + 1))" && ! sleeper_of "$(($1 + 2))"
}

no_sleeper_of() {
	! grep -qaszxF -e "$1" /proc/[0-9]*/cmdline
}

test_late_hook_that_has_vanished_is_a_warning() {
	new_bundle vanished
	printf '#!/bin/sh\n' >"$bundle/hook"
	chmod 0755 "$bundle/hook"
	edit_config --arg b "$bundle" '.hooks.poststart = [{path: ($b + "/hook")}] | .hooks.poststop = .hooks.poststart'
	set_script 'exec sleep 600'
	runtime create --bundle "$bundle" vanished >"$bundle/detached" 2>&1 </dev/null
	rm -- "$bundle/hook"
	capture runtime start vanished
	same 'start' 0 "$status"
	contains "$bundle/log" 'poststart hook #0'
	capture runtime delete --force vanished
	same 'delete' 0 "$status"
	contains "$bundle/log" 'poststop hook #0'
	[[ ! -e $state_root/vanished ]] || fail 'state is left'
}

test_hook_has_only_its_own_environment() {
	new_bundle hookenv
	edit_config --arg b "$bundle" '.hooks.createRuntime = [{path: "/usr/bin/env", args: ["env"], env: ["A=1"]}]'
	FOREIGN=1 run_container hookenv
	same 'the environment' 'A=1' "$(cat "$bundle/err" "$bundle/out")"
}

test_hooks_of_create_and_start_and_delete() {
	local kind

	new_bundle hookcreate
	for kind in createRuntime poststart poststop; do
		add_hook "$kind" "echo $kind >>$bundle/order"
	done
	set_script 'exec sleep 600'
	runtime create --bundle "$bundle" hookcreate >"$bundle/detached" 2>&1 </dev/null
	same 'after create' createRuntime "$(<"$bundle/order")"
	runtime start hookcreate
	same 'after start' 'createRuntime
poststart' "$(<"$bundle/order")"
	remove hookcreate
	same 'after delete' 'createRuntime
poststart
poststop' "$(<"$bundle/order")"
}

test_bad_hooks_are_refused() {
	new_bundle badhook
	edit_config '.hooks.prestart = [{path: "relative"}]'
	refused_at /hooks/prestart/0
	edit_config '.hooks.prestart = [{path: "/bin/true", timeout: 0}]'
	refused_at /hooks/prestart/0/timeout
}
