# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # scratch, runtime: set by the guest script; the container's script
#
# checkpoint and restore through criu: what is restored goes on where it was.

# The container counts, in a file of its root.
readonly counter='i=0; while :; do i=$((i + 1)); echo $i >/root/count; sleep 0.1; done'

count_is_above() {
	local now

	now=$(cat "$scratch/rootfs/root/count")
	[[ -n $now ]] && ((now > $1))
}

counts_on() {
	await 60 count_is_above "$(cat "$scratch/rootfs/root/count")" || fail 'it does not count'
}

criu_bundle() {
	make_bundle counter '.linux.cgroupsPath = "/vmtest/counter"
		| .linux.resources = {memory: {limit: 67108864}}' "$counter"
}

checkpoint() {
	"$runtime" checkpoint --image-path "$scratch/$1" "${@:2}" counter >"$scratch/criu.log" 2>&1 ||
		fail "checkpoint: $(cat "$scratch/criu.log")"
}

test_checkpoint_leaves_running_when_asked() {
	printf '0\n' >"$scratch/rootfs/root/count"
	"$runtime" run --detach --bundle "$(criu_bundle)" counter </dev/null >/dev/null 2>&1
	await 60 count_is_above 3
	checkpoint pre --pre-dump
	counts_on
	checkpoint copy --leave-running
	counts_on
	same 'status' running "$("$runtime" state counter | jq -r .status)"
}

test_checkpoint_ends_the_container() {
	checkpoint images --parent-path ../pre
	[[ ! -e /sys/fs/cgroup/vmtest/counter ]] || fail 'its group is left'
	! "$runtime" state counter 2>/dev/null || fail 'it is still there'
}

test_restored_container_goes_on() {
	local before pid

	before=$(cat "$scratch/rootfs/root/count")
	"$runtime" restore --detach --bundle "$(criu_bundle)" --image-path "$scratch/images" \
		--pid-file "$scratch/pid" restored </dev/null >/dev/null 2>"$scratch/criu.log" ||
		fail "restore: $(cat "$scratch/criu.log")"
	await 60 count_is_above $((before + 2))
	pid=$(cat "$scratch/pid")
	same 'state' "running $pid" "$("$runtime" state restored | jq -r '"\(.status) \(.pid)"')"
	same 'its group' '0::/vmtest/counter' "$(cat "/proc/$pid/cgroup")"
	same 'its limit' 67108864 "$(cat /sys/fs/cgroup/vmtest/counter/memory.max)"
	same 'process 1 for exec' sh "$("$runtime" exec restored /bin/cat /proc/1/comm)"
	[[ $(cat /proc/self/mountinfo) != *"$scratch"* ]] || fail 'a mount is left'
}

test_restored_container_is_stopped_and_deleted() {
	"$runtime" kill restored KILL
	await 60 is_stopped restored
	"$runtime" delete restored
	[[ ! -e /sys/fs/cgroup/vmtest/counter ]] || fail 'its group is left'
}

is_stopped() {
	[[ $("$runtime" state "$1" | jq -r .status) == stopped ]]
}

# In the foreground restore is the supervisor: its end is that of the container, and of all of it.
test_restore_in_the_foreground_waits() {
	local before status=0 waiting

	before=$(cat "$scratch/rootfs/root/count")
	"$runtime" restore --bundle "$(criu_bundle)" --image-path "$scratch/images" \
		front </dev/null >/dev/null 2>"$scratch/criu.log" &
	waiting=$!
	await 100 count_is_above $((before + 2)) || fail "restore: $(cat "$scratch/criu.log")"
	"$runtime" kill front TERM
	"$runtime" kill front KILL
	wait "$waiting" || status=$?
	same 'status' 137 "$status"
	! "$runtime" state front 2>/dev/null || fail 'it is still there'
	[[ ! -e /sys/fs/cgroup/vmtest/counter ]] || fail 'its group is left'
}

test_restore_that_fails_quotes_criu_and_leaves_nothing() {
	local status=0

	mkdir -p "$scratch/broken"
	cp -- "$scratch/images/descriptors.json" "$scratch/broken/"
	"$runtime" restore --detach --bundle "$(criu_bundle)" --image-path "$scratch/broken" \
		broken </dev/null >/dev/null 2>"$scratch/criu.log" || status=$?
	same 'status' 1 "$status"
	contains "$scratch/criu.log" 'criu failed: Error ('
	contains "$scratch/criu.log" RB0323
	! "$runtime" state broken 2>/dev/null || fail 'it is there'
	[[ ! -e /sys/fs/cgroup/vmtest/counter ]] || fail 'its group is left'
}

# Memory goes to another criu, and is put beside the other images afterwards.
test_checkpoint_sends_memory_to_a_page_server() {
	local server before

	mkdir -p "$scratch/paged" "$scratch/pages"
	printf '0\n' >"$scratch/rootfs/root/count"
	"$runtime" run --detach --bundle "$(criu_bundle)" counter </dev/null >/dev/null 2>&1
	await 60 count_is_above 3
	criu page-server --images-dir "$scratch/pages" --address 127.0.0.1 --port 7654 >"$scratch/server.log" 2>&1 </dev/null &
	server=$!
	await 60 grep -qs ':1DE6 00000000:0000 0A' /proc/net/tcp || fail "page server: $(cat "$scratch/server.log")"
	checkpoint paged --page-server 127.0.0.1:7654
	wait "$server" || fail "page server: $(cat "$scratch/server.log")"
	compgen -G "$scratch/pages/pages-*.img" >/dev/null || fail 'no memory at the page server'
	! compgen -G "$scratch/paged/pages-*.img" >/dev/null || fail 'memory among the images'
	cp -n -- "$scratch/pages"/*.img "$scratch/paged/"
	before=$(cat "$scratch/rootfs/root/count")
	"$runtime" restore --detach --bundle "$(criu_bundle)" --image-path "$scratch/paged" \
		paged </dev/null >/dev/null 2>"$scratch/criu.log" || fail "restore: $(cat "$scratch/criu.log")"
	await 60 count_is_above $((before + 2))
	"$runtime" delete --force paged
}

# The memory stays with the source until it is used or all of it has been fetched, and then the
# source is deleted with its group: the restored container has to have another one, as with runc.
test_lazy_pages_are_fetched_while_the_restored_container_runs() {
	local source daemon ready

	mkdir -p "$scratch/lazy"
	mkfifo "$scratch/ready"
	exec {ready}<>"$scratch/ready"
	printf '0\n' >"$scratch/rootfs/root/count"
	"$runtime" run --detach --bundle "$(criu_bundle)" counter </dev/null >/dev/null 2>&1
	await 60 count_is_above 3
	"$runtime" checkpoint --image-path "$scratch/lazy" --lazy-pages --page-server 127.0.0.1:7655 \
		--status-fd "$ready" counter >"$scratch/criu.log" 2>&1 &
	source=$!
	read -r -d '' -t 60 -u "$ready" || fail "not ready: $(cat "$scratch/criu.log")"
	criu lazy-pages --page-server --address 127.0.0.1 --port 7655 --images-dir "$scratch/lazy" \
		>"$scratch/daemon.log" 2>&1 </dev/null &
	daemon=$!
	await 60 test -S "$scratch/lazy/lazy-pages.socket" || fail "daemon: $(cat "$scratch/daemon.log")"
	"$runtime" restore --detach --lazy-pages --bundle "$(make_bundle lazy '.linux.cgroupsPath = "/vmtest/lazy"
		| .linux.resources = {memory: {limit: 67108864}}' "$counter")" --image-path "$scratch/lazy" lazy \
		</dev/null >/dev/null 2>"$scratch/criu.log" || fail "restore: $(cat "$scratch/criu.log" "$scratch/daemon.log")"
	wait "$daemon" || fail "daemon: $(cat "$scratch/daemon.log")"
	wait "$source" || fail "checkpoint: $(cat "$scratch/criu.log")"
	# only now: what it counted before the source was gone says nothing
	counts_on || fail "$(cat "$scratch/daemon.log")"
	! "$runtime" state counter 2>/dev/null || fail 'the source is left'
	[[ ! -e /sys/fs/cgroup/vmtest/counter ]] || fail 'the group of the source is left'
	same 'its group' '0::/vmtest/lazy' "$(cat "/proc/$(pid_of lazy)/cgroup")"
	"$runtime" delete --force lazy
	[[ ! -e /sys/fs/cgroup/vmtest/lazy ]] || fail 'its group is left'
}

# The terminal of the images comes back over the console socket.
test_restored_terminal_goes_over_the_console_socket() {
	local receiver dir

	printf '0\n' >"$scratch/rootfs/root/count"
	dir=$(make_bundle terminal '.linux.cgroupsPath = "/vmtest/counter" | .process.terminal = true' "$counter")
	python3 "$here/../runtime/terminal.py" receive "$scratch/tty1" -- "$runtime" run --detach \
		--console-socket "$scratch/tty1" --bundle "$dir" counter >"$scratch/tty.log" 2>&1 &
	receiver=$!
	await 60 count_is_above 3 || fail "run: $(cat "$scratch/tty.log")"
	checkpoint tty
	wait "$receiver" || fail "run: $(cat "$scratch/tty.log")"
	python3 "$here/../runtime/terminal.py" receive "$scratch/tty2" -- "$runtime" restore --detach \
		--console-socket "$scratch/tty2" --bundle "$dir" --image-path "$scratch/tty" restoredtty \
		>"$scratch/tty.log" 2>&1 &
	receiver=$!
	counts_on
	contains "$scratch/tty.log" '1 descriptors'
	"$runtime" kill restoredtty KILL
	wait "$receiver" || fail "restore: $(cat "$scratch/tty.log")"
	"$runtime" delete --force restoredtty
}

test_podman_checkpoints_and_restores() {
	local name=checkpointed before

	podman_root run --detach --name "$name" --network none --rootfs "$scratch/rootfs" \
		/bin/sh -c "$counter" >/dev/null 2>"$scratch/criu.log" || fail "run: $(cat "$scratch/criu.log")"
	await 60 count_is_above 3
	podman_root container checkpoint "$name" >"$scratch/criu.log" 2>&1 ||
		fail "checkpoint: $(cat "$scratch/criu.log")"
	before=$(cat "$scratch/rootfs/root/count")
	podman_root container restore "$name" >"$scratch/criu.log" 2>&1 ||
		fail "restore: $(cat "$scratch/criu.log")"
	await 60 count_is_above $((before + 2))
	podman_root rm --force --time 0 "$name" >/dev/null 2>&1
}

podman_root() {
	podman --root "$scratch/store-criu" --runroot "$scratch/run-criu" --runtime "$runtime" \
		--cgroup-manager cgroupfs --events-backend file "$@"
}
