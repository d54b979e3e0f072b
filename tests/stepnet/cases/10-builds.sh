# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2016,SC2034 # scratch: set by the suite; scripts of steps
#
# What a RUN step reaches under each policy, with and without the pool.

# The marks are in the output of the step, "#7 0.1 MARK": BuildKit prints the command as well.
# Services of the host: tcp on its loopback and on an outer address, an abstract socket. Of the
# daemon: its API, an abstract socket of its network.
readonly look='echo "net=$(readlink /proc/self/ns/net)"; for p in "127.0.0.1 9001" "198.51.100.5 9003"; do \
echo "to $p: $(nc -w 2 $p </dev/null 2>&1 | head -c 40)."; done; \
for s in stepnet daemon; do a=$(unixcat @runbuild-$s); echo "to @$s: ${a#abstract: }."; done; \
a=closed; /tools/buildctl --addr tcp://127.0.0.1:9900 debug workers 2>&1 | grep linux/ && a=SERVICE; \
echo "to the daemon: $a."'

reaches() {
	grep -qE "^#[0-9]+ [0-9.]+ to $1: SERVICE" "$scratch/log" || fail "no answer from $1" "$(cat "$scratch/log")"
}

does_not_reach() {
	grep -qE "^#[0-9]+ [0-9.]+ to $1: " "$scratch/log" || fail "$1 was not tried" "$(cat "$scratch/log")" || return 1
	! grep -qE "^#[0-9]+ [0-9.]+ to $1: SERVICE" "$scratch/log" || fail "$1 answers"
}

# networks_of_steps: one inode a line, of each step of the log.
networks_of_steps() {
	sed -nE 's/^#[0-9]+ [0-9.]+ net=net:\[([0-9]+)\].*/\1/p' "$scratch/log"
}

# everything reaches|does_not_reach: what the steps have tried.
everything() {
	local service

	for service in '127.0.0.1 9001' '198.51.100.5 9003' '@stepnet' '@daemon' 'the daemon'; do
		"$1" "$service"
	done
}

own_network() {
	build "$look" "$look"
	everything does_not_reach
	same 'steps that said their network' 2 "$(networks_of_steps | wc -l)"
	same 'steps in the network of the host' 0 "$(networks_of_steps | grep -cx "$(stat -L -c %i /proc/self/ns/net)" || true)"
}

closed_to_raw_frames() {
	build 'for a in "127.0.0.1 9001" "0.0.0.0 9004" "198.51.100.5 9003" "198.51.100.5 9004" "10.0.2.2 9001" "10.0.2.3 9004"; do echo "raw $a: $(raw $a)"; done'
	same 'raw frames that reach the host' '' "$(grep -E '^#[0-9]+ [0-9.]+ raw .*: reached' "$scratch/log" || true)"
	same 'raw frames that were sent' 6 "$(grep -cE '^#[0-9]+ [0-9.]+ raw .*: closed' "$scratch/log")"
}

resolves_through_the_host() {
	build 'cat /etc/resolv.conf; nslookup -type=a a.example.test. || true'
	log_has 'nameserver 10.0.2.3' '192.0.2.7'
	! grep -qE '^#[0-9]+ [0-9.]+ nameserver (127|8)' "$scratch/log" || fail 'a resolver that knows no private names is there'
}

nothing_left() {
	await 5 no_step_slirp || fail "slirp4netns is left: $(slirps)"
}

# Those of the pool wait for steps.
no_step_slirp() {
	(($(slirps | wc -l) <= pool_size))
}

slirps() {
	local file

	for file in /proc/[0-9]*/comm; do
		[[ $(cat "$file" 2>/dev/null) != slirp4netns ]] || [[ ! -e ${file%comm}ns/net ]] ||
			[[ $(readlink "${file%comm}ns/net" 2>/dev/null) != "$(readlink /proc/self/ns/net)" ]] ||
			printf '%s\n' "${file//[^0-9]/}"
	done
}

pool_is_full() {
	(($(slirps | wc -l) == pool_size))
}

test_host_policy_reaches_the_host() {
	start_daemon runbuild rootless --net=host --
	build "$look"
	everything reaches
	same 'network of the step' "$(stat -L -c %i /proc/self/ns/net)" "$(networks_of_steps)"
}

# Two steps of one build at the same time: one listens until the other has tried.
parallel_steps() {
	local dir=$scratch/context

	rm -rf "$dir"
	mkdir "$dir"
	cat >"$dir/Dockerfile" <<-'E'
		FROM scratch AS a
		COPY --from=base / /
		RUN --mount=type=cache,target=/m nc -ll -p 7007 -e echo SERVICE & unixcat -l @runbuild-step & \
			for i in $(seq 600); do nc -w 1 127.0.0.1 7007 </dev/null | grep SERVICE && break; sleep 0.1; done; \
			touch /m/up; for i in $(seq 600); do [ -e /m/done ] && break; sleep 0.1; done; rm -f /m/up /m/done; echo ended
		FROM scratch AS b
		COPY --from=base / /
		RUN --mount=type=cache,target=/m for i in $(seq 600); do [ -e /m/up ] && break; sleep 0.1; done; \
			[ -e /m/up ] && echo "side by side"; for h in 127.0.0.1 10.0.2.100 198.51.100.5; do \
			echo "to $h 7007: $(nc -w 2 $h 7007 </dev/null 2>&1 | head -c 40)."; done; \
			a=$(unixcat @runbuild-step); echo "to @step: ${a#abstract: }."; touch /m/done
		FROM scratch
		COPY --from=a /etc /a
		COPY --from=b /etc /b
	E
	chmod -R a+rX "$dir"
	build_context
	log_has 'side by side'
}

test_parallel_steps_meet_with_the_host_policy() {
	start_daemon runbuild rootless --net=host --
	parallel_steps
	reaches '127.0.0.1 7007'
	reaches '@step'
}

parallel_steps_do_not_meet() {
	local place

	parallel_steps
	for place in '127.0.0.1 7007' '10.0.2.100 7007' '198.51.100.5 7007' '@step'; do
		does_not_reach "$place"
	done
}

test_parallel_steps_cannot_reach_each_other() {
	local policy

	for policy in none slirp4netns 'slirp4netns --step-net-pool=2'; do
		# shellcheck disable=SC2086 # words
		start_daemon runbuild rootless --step-net=$policy --
		parallel_steps_do_not_meet || fail "--step-net=$policy"
		stop_daemon
	done
}

test_none_policy_is_loopback_only() {
	start_daemon runbuild rootless --step-net=none --
	own_network
	build 'ls /sys/class/net; cat /proc/net/dev | tail -n +3 | cut -d: -f1'
	! grep -qE '^#[0-9]+ [0-9.]+ *tap0' "$scratch/log" || fail 'there is a tap'
}

test_slirp4netns_policy_closes_the_host() {
	pool_size=0
	start_daemon runbuild rootless --step-net=slirp4netns --
	own_network
	closed_to_raw_frames
	resolves_through_the_host
	nothing_left
}

test_pool_closes_the_host_as_well() {
	pool_size=2
	start_daemon runbuild rootless --step-net=slirp4netns --step-net-pool=2 --
	await 5 pool_is_full
	ready=$(slirps)
	own_network
	same 'networks that were ready and were not used' '' \
		"$(slirps | grep -xFf <(printf '%s\n' "$ready") || true)"
	# an address that came after they were ready is closed as well
	ip addr add 198.51.100.77/24 dev outer
	build 'echo "raw later: $(raw 198.51.100.77 9004)"'
	ip addr del 198.51.100.77/24 dev outer
	log_has 'raw later: closed'
	closed_to_raw_frames
	resolves_through_the_host
	nothing_left
}

test_rootlesskit_reaches_the_host() {
	type -P rootlesskit >/dev/null || skip 'rootlesskit is not installed'
	start_daemon rootlesskit --net=host
	build "$look"
	everything reaches
}

test_parallel_steps_meet_under_rootlesskit() {
	type -P rootlesskit >/dev/null || skip 'rootlesskit is not installed'
	start_daemon rootlesskit --net=host
	parallel_steps
	reaches '127.0.0.1 7007'
	reaches '@step'
}

for name in host_policy_reaches_the_host rootlesskit_reaches_the_host none_policy_is_loopback_only \
	parallel_steps_meet_with_the_host_policy parallel_steps_meet_under_rootlesskit \
	parallel_steps_cannot_reach_each_other slirp4netns_policy_closes_the_host pool_closes_the_host_as_well; do
	run_test "$name"
done
