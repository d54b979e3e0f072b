# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# unshare, enter, daemonless.

test_unshare_maps_the_same_ids_and_shares_the_rest() {
	clear_folders
	same 'map' "$(rootless -- cat /proc/self/uid_map)" "$(as_user runbuild unshare cat /proc/self/uid_map)"
	same 'pids, network' "$(readlink /proc/self/ns/pid) $(readlink /proc/self/ns/net)" \
		"$(as_user runbuild unshare -- sh -c 'echo $(readlink /proc/self/ns/pid) $(readlink /proc/self/ns/net)')"
	same 'shell' 'uid=0(root)' "$(printf 'id\n' | as_user env SHELL=/bin/sh runbuild unshare | cut -d' ' -f1)"
	same 'status' 3 "$(as_user runbuild unshare sh -c 'exit 3' || echo $?)"
	nothing_was_left
}

# passes_endings WORD…: a verb's command, by its words, ends with the statuses and signals of what
# it runs.
passes_endings() {
	local name status

	for name in TERM KILL; do
		status=0
		as_user "$@" sh -c "kill -$name \$\$" || status=$?
		same "death by $name" $((128 + $(kill -l "$name"))) "$status"
	done
	for name in INT TERM HUP USR1; do
		status=0
		: >"$scratch/signal.out"
		# a shell starts its background children with SIGINT ignored
		exec_as_user env --default-signal=INT,QUIT "$@" "$scratch/lib/await_signal.py" "$name" >"$scratch/signal.out" 2>&1 &
		await 20 grep -q up "$scratch/signal.out" || fail "$(cat "$scratch/signal.out")"
		kill -"$name" $!
		wait $! || status=$?
		same "after $name" 42 "$status"
	done
	printf 'text' | as_user sh -c 'cat >"$HOME/plain"'
	fails_with 127 RB0400 no-such-command -- as_user "$@" no-such-command
	fails_with 126 RB0401 "$scratch/home/plain" -- as_user "$@" "$scratch/home/plain"
}

test_unshare_passes_status_and_signals() {
	passes_endings runbuild unshare
	fails_with 125 RB0211 no_new_privs -- as_user setpriv --no-new-privs runbuild unshare true
}

test_unshare_can_remove_what_the_user_cannot() {
	rootless -- sh -c 'mkdir "$HOME/d" && touch "$HOME/d/f" && chown -R 1000:1000 "$HOME/d" && chmod 0700 "$HOME/d"'
	! as_user rm -rf "$scratch/home/d" 2>/dev/null || fail 'the test is pointless here'
	as_user runbuild unshare rm -rf "$scratch/home/d"
	[[ ! -e $scratch/home/d ]] || fail 'it is still there'
}

test_enter_joins_namespaces_ids_directory_and_environment() {
	needs_tun
	start_launcher --net=slirp4netns --ipcns --utsns --cgroupns
	(cd /usr/share && as_user env ONLY=outside runbuild enter --state-dir="$state" -- sh -c '
		id -u; pwd; echo "$ROOTLESSKIT_STATE_DIR ${ONLY-unset}"; ip -brief -4 addr show tap0; cat /proc/1/comm
		cd /proc/self/ns; readlink cgroup ipc mnt net pid user uts') >"$scratch/out"
	contains "$scratch/out" /usr/share "$state unset" 10.0.2.100 runbuild
	same 'id' 0 "$(head -n 1 "$scratch/out")"
	same 'namespaces' "$(cd "/proc/$inner/ns" && readlink cgroup ipc mnt net pid user uts)" "$(tail -n 7 "$scratch/out")"
	stop_launcher
}

test_enter_passes_status_and_signals() {
	local status=0

	start_launcher
	as_user runbuild enter --state-dir="$state" -- sh -c 'exit 9' || status=$?
	same 'status' 9 "$status"
	passes_endings runbuild enter --state-dir="$state" --
	stop_launcher
}

test_enter_ends_with_the_launcher_and_its_command_with_it() {
	local entered status=0

	start_launcher
	exec_as_user runbuild enter --state-dir="$state" -- sh -c 'echo up; exec sleep 1000' >"$scratch/entered.out" 2>&1 &
	entered=$!
	await 10 grep -q up "$scratch/entered.out" || fail "$(cat "$scratch/entered.out")"
	kill -KILL "$launcher"
	wait "$entered" || status=$?
	same 'status of what was inside' 137 "$status"
	nothing_is_left
	start_launcher
	exec_as_user runbuild enter --state-dir="$state" -- "$scratch/lib/await_signal.py" TERM >"$scratch/entered.out" 2>&1 &
	entered=$!
	await 10 grep -q up "$scratch/entered.out" || fail "$(cat "$scratch/entered.out")"
	kill -KILL "$entered"
	wait "$entered" || true
	await 10 none_inside python3 || fail 'the command outlives enter'
	stop_launcher
}

# none_inside NAME: no process of that name is in the launcher's pid namespace.
none_inside() {
	! as_user runbuild enter --state-dir="$state" -- grep -qsx "$1" /proc/[0-9]*/comm
}

test_enter_refuses_what_belongs_to_another_user() {
	needs_host
	start_launcher
	fails_with 125 RB0611 'Permission denied' 'as the user who started' -- \
		setpriv --reuid=4242 --regid=4242 --clear-groups --inh-caps=-all "$runbuild" enter --state-dir="$state" -- true
	stop_launcher
}

test_enter_finds_the_only_launcher_and_names_the_trouble_otherwise() {
	fails_with 125 RB0611 'no launcher runs' -- as_user runbuild enter -- true
	fails_with 125 RB0611 "$scratch/home/none" -- as_user runbuild enter --state-dir="$scratch/home/none" -- true
	exec_as_user runbuild rootless -- sh -c 'echo up; exec sleep 1000' >"$scratch/out" 2>&1 &
	launcher=$!
	trap 'kill $launcher $other 2>/dev/null || true' EXIT
	await 10 grep -q up "$scratch/out"
	same 'id' 0 "$(as_user runbuild enter id -u)"
	exec_as_user runbuild rootless -- sh -c 'echo up; exec sleep 1000' >"$scratch/other.out" 2>&1 &
	other=$!
	await 10 grep -q up "$scratch/other.out"
	fails_with 125 RB0611 'several launchers' -- as_user runbuild enter -- true
}

needs_buildkit() {
	local tools

	tools=$("$here/../buildkit/build-tools" 2>"$scratch/build-tools.err") || skip "$(tail -n 1 "$scratch/build-tools.err")"
	{ read -r buildkitd && read -r buildctl; } <<<"$tools"
	install -m 0755 "$buildkitd" "$buildctl" "$scratch/bin/"
}

test_daemonless_builds_and_leaves_nothing() {
	clear_folders
	needs_buildkit
	as_user mkdir -p "$scratch/home/context"
	printf 'FROM scratch\nCOPY Dockerfile /copied\n' | as_user tee "$scratch/home/context/Dockerfile" >/dev/null
	as_user deaths watch runbuild daemonless -- buildctl build --frontend dockerfile.v0 --local context="$scratch/home/context" \
		--local dockerfile="$scratch/home/context" --output type=local,dest="$scratch/home/result" >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
	[[ -f $scratch/home/result/copied ]] || fail "$(cat "$scratch/out")"
	nothing_was_left
}

test_daemonless_ends_with_the_clients_status() {
	needs_buildkit
	local status=0

	as_user runbuild daemonless -- sh -c 'buildctl debug workers >/dev/null && exit 5' || status=$?
	same 'status' 5 "$status"
	status=0
	as_user runbuild daemonless -- no-such-client 2>"$scratch/err" || status=$?
	same 'status' 127 "$status"
	contains "$scratch/err" RB0400
}

test_daemonless_shows_why_buildkitd_did_not_start() {
	needs_buildkit
	local status=0

	as_user env BUILDKITD_FLAGS=--no-such-flag runbuild daemonless -- buildctl debug workers 2>"$scratch/err" || status=$?
	same 'status' 125 "$status"
	contains "$scratch/err" 'flag provided but not defined' 'correct BUILDKITD_FLAGS' RB0612
	status=0
	as_user runbuild daemonless --buildkitd=/bin/false -- true 2>"$scratch/err" || status=$?
	same 'status' 125 "$status"
	contains "$scratch/err" 'ended with status 1' RB0612
	fails_with 125 RB0400 'no-such-daemon' -- as_user runbuild daemonless --buildkitd=no-such-daemon -- true
}

test_daemonless_says_what_to_do_about_a_known_failure() {
	needs_buildkit
	local store=$scratch/home/store2

	# one buildkitd inside the other: the store is in use
	as_user env BUILDKITD_FLAGS="--root=$store" runbuild daemonless -- runbuild daemonless -- true >"$scratch/out" 2>"$scratch/err" || true
	contains "$scratch/err" 'another instance running' 'end the other buildkitd, or give this one a store of its own' '[RB0612]'
	! grep -E '^\s|^main[.]main' "$scratch/err" || fail 'a stack is shown in place of what it is about'
}

# start_daemonless WORD…: in the background; sets watcher and launcher.
start_daemonless() {
	exec_as_user env --default-signal=INT,QUIT deaths watch runbuild daemonless "$@" >"$scratch/launcher.out" 2>"$scratch/err" &
	watcher=$!
	trap end_tree EXIT
	launcher=$(child_named "$watcher" runbuild)
}

test_daemonless_passes_signals_to_the_client_and_stops_everything() {
	needs_buildkit
	clear_folders
	start_daemonless --net=none -- sh -c 'trap "echo heard; exit 5" TERM; echo up; while :; do sleep 0.1; done'
	await 60 grep -q up "$scratch/launcher.out" || fail "$(cat "$scratch/err")"
	kill -TERM "$launcher"
	nothing_is_left
	contains "$scratch/launcher.out" heard
	nothing_was_left
}

test_daemonless_can_be_stopped_while_it_waits() {
	local status=0

	clear_folders
	helper_that 'echo up >"$HOME/waits"; exec sleep 1000' waits
	rm -f "$scratch/home/waits"
	exec_as_user runbuild daemonless --net=none --buildkitd="$scratch/home/bin/waits" -- true >"$scratch/out" 2>"$scratch/err" &
	await 20 test -s "$scratch/home/waits" || fail "$(cat "$scratch/err")"
	kill -TERM $!
	wait $! || status=$?
	same 'status' 143 "$status"
	nothing_was_left
}

test_daemonless_tells_of_a_daemon_that_dies_and_ends_with_the_client() {
	local status=0

	needs_buildkit
	exec_as_user runbuild daemonless --net=none -- sh -c 'echo up; while [ ! -e "$HOME/go" ]; do sleep 0.1; done; exit 6' \
		>"$scratch/launcher.out" 2>"$scratch/err" &
	launcher=$!
	trap end_server EXIT
	await 60 grep -q up "$scratch/launcher.out" || fail "$(cat "$scratch/err")"
	kill -KILL "$(descendant_named "$launcher" buildkitd)"
	await 20 grep -q 'buildkitd has ended with status 137; its last lines:' "$scratch/err" || fail "$(cat "$scratch/err")"
	as_user touch "$scratch/home/go"
	wait "$launcher" || status=$?
	same 'status' 6 "$status"
}

# descendant_named PID COMM: the first of the process's descendants with that name.
descendant_named() {
	local pid

	# shellcheck disable=SC2013
	for pid in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
		if [[ $(cat "/proc/$pid/comm") == "$2" ]]; then
			printf '%s' "$pid"
			return
		fi
		descendant_named "$pid" "$2"
	done
}

test_killing_daemonless_leaves_no_process() {
	needs_buildkit
	start_daemonless --net=none -- sh -c 'echo up; exec sleep 1000'
	await 60 grep -q up "$scratch/launcher.out" || fail "$(cat "$scratch/err")"
	stop_launcher
}

# BuildKit's own script, where the module is whose tools the tests use.
needs_daemonless_sh() {
	local cache version

	needs_buildkit
	type -P go >/dev/null || skip 'go is not installed: no module of BuildKit'
	cache=$(go env GOMODCACHE)
	version=$(sed -nE 's#^(require)?[[:space:]]*github.com/moby/buildkit (v[^ ]+).*#\2#p' "$here/../buildkit/go.mod")
	cache=$cache/github.com/moby/buildkit@$version/examples/buildctl-daemonless/buildctl-daemonless.sh
	[[ -r $cache ]] || skip "BuildKit's module $version is not in the module cache"
	install -m 0755 "$cache" "$scratch/bin/"
	ln -sf runbuild "$scratch/bin/rootlesskit"
	as_user mkdir -p "$scratch/home/context"
	printf 'FROM scratch\nCOPY Dockerfile /copied\n' | as_user tee "$scratch/home/context/Dockerfile" >/dev/null
}

test_buildctl_daemonless_sh_works_with_the_launcher() {
	local launcher

	needs_daemonless_sh
	clear_folders # of what was killed before
	for launcher in 'runbuild rootless' rootlesskit \
		'rootlesskit --net=slirp4netns --copy-up=/etc --disable-host-loopback'; do
		rm -rf "$scratch/home/result"
		as_user deaths watch env ROOTLESSKIT="$launcher" BUILDCTL_CONNECT_RETRIES_MAX=100 \
			BUILDKITD_FLAGS="--oci-worker-binary=$runbuild" buildctl-daemonless.sh build \
			--frontend dockerfile.v0 --local context="$scratch/home/context" \
			--local dockerfile="$scratch/home/context" --output type=local,dest="$scratch/home/result" \
			>"$scratch/out" 2>&1 || fail "$launcher: $(cat "$scratch/out")"
		[[ -f $scratch/home/result/copied ]] || fail "$launcher: $(cat "$scratch/out")"
		nothing_was_left
	done
}

test_buildctl_daemonless_sh_passes_a_failure_on() {
	local status=0

	needs_daemonless_sh
	as_user env ROOTLESSKIT='runbuild rootless' BUILDCTL_CONNECT_RETRIES_MAX=100 buildctl-daemonless.sh \
		build --frontend dockerfile.v0 --local context="$scratch/home/context" >"$scratch/out" 2>&1 || status=$?
	same 'status' 1 "$status" || fail "$(cat "$scratch/out")"
	# the daemon's words are the script's to show when it does not start
	status=0
	as_user env ROOTLESSKIT='runbuild rootless --net=none --publish=1:1/tcp' BUILDCTL_CONNECT_RETRIES_MAX=1 \
		buildctl-daemonless.sh build >"$scratch/out" 2>&1 || status=$?
	same 'status' 1 "$status"
	contains "$scratch/out" 'could not connect to' '--publish needs a network' '[RB0001]'
}
