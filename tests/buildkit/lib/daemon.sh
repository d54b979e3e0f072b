# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # scratch, launcher, runtime …: set by the suite
#
# The BuildKit daemon under the launcher: start, readiness, stop, and what
# belongs to it. A process belongs to the suite when its environment carries
# the suite's id (the daemon, its launcher, every runtime it starts) or when it
# lives in the daemon's user namespace (every step). Nothing else is ever
# signalled.

launcher_pid=
daemon_pid=
daemon_userns=

daemon_arguments() {
	if [[ -n ${pipe:-} ]]; then # only the suite has it, scripts/try does not
		arguments=(--runbuild "$runtime" --root "$scratch/bk/root" --addr "$address" --snapshotter "$snapshotter")
	else
		: >"$scratch/buildkitd.toml"
		arguments=(--config "$scratch/buildkitd.toml" --root "$scratch/bk/root" --addr "$address"
			--oci-worker=true --oci-worker-gc=false --containerd-worker=false
			--oci-worker-snapshotter="$snapshotter" --oci-worker-binary="$runtime")
	fi
}

start_daemon() {
	local arguments

	mkdir -p "$scratch/bk"
	daemon_arguments
	env RUNBUILD_SUITE_ID="$suite_id" BUILDKIT_STEP_LOG_MAX_SIZE=-1 BUILDKIT_STEP_LOG_MAX_SPEED=-1 \
		setsid "${launcher[@]}" "$buildkitd" "${arguments[@]}" --allow-insecure-entitlement network.host \
		>"$scratch/buildkitd.log" 2>&1 </dev/null &
	launcher_pid=$!
}

daemon_answers_or_died() {
	"$buildctl" --addr "$address" debug workers >"$scratch/workers" 2>&1 ||
		! kill -0 "$launcher_pid" 2>/dev/null
}

# The daemon is the one whose first argument is the program; the launcher's
# processes carry it later in their command lines.
find_daemon_pid() {
	local pid

	for pid in $(processes_of_suite); do
		[[ $(tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | head -n 1) == "$buildkitd" ]] || continue
		printf '%s' "$pid"
		return
	done
	return 1
}

wait_for_daemon() {
	await 20 daemon_answers_or_died || fail 'buildkitd did not answer within 20 s' || return 1
	kill -0 "$launcher_pid" 2>/dev/null || fail 'the launcher ended before buildkitd answered' || return 1
	daemon_pid=$(find_daemon_pid) || fail 'no buildkitd process found' || return 1
	daemon_userns=$(stat -L -c %i "/proc/$daemon_pid/ns/user")
	[[ $daemon_userns != "$(stat -L -c %i /proc/self/ns/user)" ]] ||
		fail 'the launcher made no user namespace' || return 1
}

# Pids, one a line. The glob and the reads race with processes that end, so
# errors of grep and stat mean nothing here.
processes_of_suite() {
	local file inode

	{
		grep -lazF -f <(printf 'RUNBUILD_SUITE_ID=%s\n' "$suite_id") /proc/[0-9]*/environ 2>/dev/null || true
		if [[ -n $daemon_userns ]]; then
			stat -L -c '%i %n' /proc/[0-9]*/ns/user 2>/dev/null | while read -r inode file; do
				[[ $inode != "$daemon_userns" ]] || printf '%s\n' "$file"
			done || true
		fi
	} | cut -d / -f 3 | sort -u
}

# Pids whose command line contains MARK; the mark never stands in grep's own.
processes_with_mark() {
	grep -laF -f <(printf '%s\n' "$1") /proc/[0-9]*/cmdline 2>/dev/null | cut -d / -f 3 || true
}

show_processes() {
	local pid

	while read -r pid; do
		printf 'left: %s %s\n' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
	done
}

no_process_of_suite() {
	[[ -z $(processes_of_suite) ]]
}

no_process_with_mark() {
	[[ -z $(processes_with_mark "$1") ]]
}

launcher_ended() {
	! kill -0 "$launcher_pid" 2>/dev/null
}

# Mount points below the daemon's root that its own mount namespace shows, but for the networks
# that BuildKit's proxy mode keeps for the next step.
step_mounts() {
	awk -v root="$scratch/bk/root/" 'index($5, root) == 1 && index($5, root "net/proxy/") != 1 { print $5 }' \
		"/proc/$daemon_pid/mountinfo"
}

no_step_mounts() {
	[[ -z $(step_mounts) ]]
}

# Bundles in the executor's folder, or hosts files that BuildKit made for one
# step: there while the step runs, gone afterwards.
executor_directories() {
	find "$scratch"/bk/root/runc-*/executor -mindepth 1 -maxdepth 1 \( -type d -o -name 'hosts.*' \)
}

no_executor_directories() {
	[[ -z $(executor_directories) ]]
}

stop_daemon() {
	[[ -n $launcher_pid ]] || return 0
	kill -TERM "$launcher_pid" 2>/dev/null || true
	await 15 launcher_ended || return 1
	# Its status is the daemon's own for SIGTERM; what counts is that it ended.
	wait "$launcher_pid" 2>/dev/null || true
}

# Last resort, for a failed run: whatever still carries this suite's id.
kill_processes_of_suite() {
	local pid

	for pid in $(processes_of_suite); do
		kill -KILL "$pid" 2>/dev/null || true
	done
	await 5 no_process_of_suite || true
}

# Files of the store belong to subordinate ids, so the launcher's namespace
# has to remove them.
remove_store() {
	[[ -e $scratch/bk ]] || return 0
	"${launcher[@]}" rm -rf -- "$scratch/bk" >"$scratch/remove.log" 2>&1 || {
		printf '# the store could not be removed: %s\n' "$(tail -n 1 "$scratch/remove.log")"
	}
}
