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
	fails_with 127 RB0400 -- as_user runbuild enter --state-dir="$state" -- no-such-command
	exec_as_user runbuild enter --state-dir="$state" -- "$scratch/lib/await_signal.py" TERM >"$scratch/out" 2>&1 &
	await 10 grep -q up "$scratch/out" || fail "$(cat "$scratch/out")"
	kill -TERM $!
	status=0
	wait $! || status=$?
	same 'after the signal' 42 "$status"
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

test_killing_daemonless_leaves_no_process() {
	needs_buildkit
	exec_as_user deaths watch runbuild daemonless --net=none -- sh -c 'echo up; exec sleep 1000' >"$scratch/launcher.out" 2>"$scratch/err" &
	watcher=$!
	await 30 grep -q up "$scratch/launcher.out" || fail "$(cat "$scratch/err")"
	launcher=$(child_named "$watcher" runbuild)
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
