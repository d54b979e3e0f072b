# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# A private dockerd with its own containerd, and the BuildKit in it. Containers
# come through containerd's shim; BuildKit calls what is named runc in dockerd's
# PATH.

start_client() {
	local options=()

	needs_program docker dockerd containerd
	prepare_store
	# No network of its own: that would change iptables, which a machine like ours
	# may have no modules for.
	[[ $as == root ]] || options=(--rootless)
	start_daemon none '/etc /run' dockerd "${options[@]}" "${dockerd_options[@]}" --bridge=none
	import_base
}

# prepare_store: sets dockerd_options, what every dockerd here is started with.
prepare_store() {
	# not below /run: dockerd compares the names of paths, and /run is links for an ordinary user
	store=/var/tmp/private-docker state_roots=("$store/exec/runtime-runc")
	cgroups_of_client='docker|docker/buildkit|system.slice'
	install -d -o "$user_id" "$store"
	printf '{}' >"$store/daemon.json"
	[[ ${runtime##*/} == runc ]] || ln -s "$runtime" "$scratch/bin/runc"
	client_environment=(DOCKER_HOST="unix://$store/sock" DOCKER_BUILDKIT=1 DOCKER_CONFIG="$home/docker")
	dockerd_options=(--host "unix://$store/sock" --data-root "$store/data" --exec-root "$store/exec"
		--pidfile "$store/pid" --config-file "$store/daemon.json" --iptables=false --ip6tables=false
		--ip-masq=false --exec-opt native.cgroupdriver=cgroupfs --storage-driver vfs
		--add-runtime tested="$runtime" --default-runtime tested)
}

import_base() {
	await 60 answers || refuse "dockerd: $(tail -n 5 "$store/log")"
	tar -C "$scratch/rootfs" -c . | docker import --change 'ENV PATH=/bin' - base >/dev/null
}

answers() {
	docker version >/dev/null 2>&1
}

# The containers of a test that has failed are in the way of those that use the same names and ports.
after_test() {
	local all

	mapfile -t all < <(docker ps --all --quiet)
	((${#all[@]} == 0)) || docker rm --force "${all[@]}" >/dev/null
}

stop_client() {
	[[ ! -f $store/daemon ]] || daemon=$(<"$store/daemon")
	after_test
	kill "$daemon"
	await 30 daemon_ended || fail 'dockerd lives after SIGTERM'
	# dockerd keeps it for --network host
	umount "$store/exec/netns/default" 2>/dev/null || true
}

daemon_ended() {
	[[ ! -d /proc/$daemon ]]
}

docker() {
	as_caller docker "$@"
}

run() {
	docker run --rm --network none "$@"
}

# started NAME OPTION…: a container in the background that waits to be ended.
started() {
	docker run -d --network none --name "$@" base \
		sh -c 'trap "exit 42" TERM; echo up; while :; do sleep 0.1; done' >/dev/null
	await 10 logs_show "$1" up
}

logs_show() {
	[[ $(docker logs "$1" 2>&1) == *"$2"* ]]
}

shown_by() {
	docker inspect --format "$2" "$1"
}

gone() {
	docker rm --force "$@" >/dev/null
}

# build NAME LINE…: an image from such a file; its output is in $scratch/out.
build() {
	local name=$1

	shift
	mkdir -p "$home/$name"
	printf '%s\n' "$@" >"$home/$name/Dockerfile"
	docker build --network none --progress plain --tag "$name" "$home/$name" >"$scratch/out" 2>&1
}

test_run_passes_output_and_status_on() {
	prints hello run base echo hello
	exits 7 run base sh -c 'exit 7'
	prints typed run -i base cat <<<typed
	shows oops run base sh -c 'echo oops >&2'
}

test_run_ends_as_docker_says_when_nothing_runs() {
	exits 125 run --no-such-option base true
	exits 127 run base no-such-program
	contains "$scratch/err" no-such-program
	exits 127 run base /no/such/program
	exits 126 run base /etc/passwd
}

test_run_with_a_terminal() {
	same 'the terminal' /dev/pts/0 "$(on_terminal run -it base tty)"
	same 'the size' '31 97' "$(on_terminal run -it base timeout 20 sh -c "$show_size")"
}

test_run_detached_logs_and_wait() {
	docker run -d --network none --name logs base sh -c 'echo one; echo two >&2; exit 3' >/dev/null
	same 'the status' 3 "$(docker wait logs)"
	same 'the log' $'one\ntwo' "$(docker logs logs 2>&1 | sort)"
	gone logs
}

test_exec() {
	started exec
	prints hello docker exec exec echo hello
	prints typed docker exec -i exec cat <<<typed
	exits 9 docker exec exec sh -c 'exit 9'
	exits 126 docker exec exec no-such-program
	contains "$scratch/out" no-such-program 'executable file not found'
	exits 126 docker exec exec /etc/passwd
	prints 1000 docker exec --user app exec id -u
	prints /tmp docker exec --workdir /tmp exec pwd
	prints v docker exec --env K=v exec sh -c 'echo $K'
	docker exec -d exec sh -c 'echo done >/tmp/marker'
	await 10 docker exec exec test -s /tmp/marker
	same 'the terminal' /dev/pts/0 "$(on_terminal docker exec -it exec tty)"
	gone exec
}

test_exec_in_a_privileged_way() {
	local bit='echo $((0x$(sed -n "s/CapEff:.//p" /proc/self/status) >> 21 & 1))'

	needs_all_capabilities
	started plain
	prints 0 docker exec plain sh -c "$bit"
	prints 1 docker exec --privileged plain sh -c "$bit"
	gone plain
}

test_privileged() {
	needs_all_capabilities
	needs_pid_namespace_of_the_host
	exits 0 run --privileged --pid host base sh -c 'test $$ != 1 && mount -t tmpfs none /tmp'
}

test_update_changes_the_limits() {
	local cpu=/sys/fs/cgroup/cpu/docker pids=/sys/fs/cgroup/pids/docker id

	[[ -d /sys/fs/cgroup/memory ]] || skip 'no v1 controllers: the v2 files have their tests in the guest'
	started limits --memory 64m --cpus 0.5 --pids-limit 33
	id=$(shown_by limits '{{.Id}}')
	same 'memory' 67108864 "$(<"/sys/fs/cgroup/memory/docker/$id/memory.limit_in_bytes")"
	same 'pids' 33 "$(<"$pids/$id/pids.max")"
	same 'cpu' 50000 "$(<"$cpu/$id/cpu.cfs_quota_us")"
	docker update --cpu-shares 512 --memory 96m --memory-swap 96m --cpus 0.7 --pids-limit 44 limits >/dev/null
	same 'memory' 100663296 "$(<"/sys/fs/cgroup/memory/docker/$id/memory.limit_in_bytes")"
	same 'pids' 44 "$(<"$pids/$id/pids.max")"
	same 'shares' 512 "$(<"$cpu/$id/cpu.shares")"
	same 'cpu' 70000 "$(<"$cpu/$id/cpu.cfs_quota_us")"
	gone limits
}

test_top_and_stats() {
	started top
	shows 'trap' docker top top
	shows 'sleep' docker top top -o pid,args
	shows top docker stats --no-stream --format '{{.Name}} {{.PIDs}}' top
	! grep -q -- -- "$scratch/out" || fail "no figures: $(<"$scratch/out")"
	gone top
}

test_pause_and_unpause() {
	started pause
	docker pause pause >/dev/null
	same 'the status' paused "$(shown_by pause '{{.State.Status}}')"
	exits 1 docker exec pause true
	docker unpause pause >/dev/null
	prints awake docker exec pause echo awake
	docker pause pause >/dev/null
	gone pause
}

test_kill_stop_start_restart() {
	started ends
	docker kill --signal TERM ends >/dev/null
	same 'the status' 42 "$(docker wait ends)"
	docker start ends >/dev/null
	docker restart --time 5 ends >/dev/null
	same 'the state' running "$(shown_by ends '{{.State.Status}}')"
	docker stop --time 5 ends >/dev/null
	same 'the status' 42 "$(shown_by ends '{{.State.ExitCode}}')"
	docker start ends >/dev/null
	docker kill ends >/dev/null
	same 'the status' 137 "$(docker wait ends)"
	gone ends
}

test_restart_policy() {
	docker run -d --network none --name again --restart on-failure:2 base sh -c 'echo try; exit 1' >/dev/null
	await 15 restarted again 2 || fail "restarts: $(shown_by again '{{.RestartCount}}')"
	await 10 stopped again
	gone again
}

restarted() {
	(($(shown_by "$1" '{{.RestartCount}}') == $2))
}

stopped() {
	[[ $(shown_by "$1" '{{.State.Status}}') == exited ]]
}

test_init_is_pid_1() {
	shows docker-init run --init base cat /proc/1/cmdline
	exits 9 run --init base sh -c '(true &) ; exit 9'
}

test_healthcheck() {
	started health --health-cmd 'test -e /tmp/well' --health-interval 1s --health-retries 1
	await 20 health_is unhealthy || fail "$(shown_by health '{{.State.Health.Status}}')"
	docker exec health touch /tmp/well
	await 20 health_is healthy || fail "$(shown_by health '{{.State.Health.Status}}')"
	gone health
}

health_is() {
	[[ $(shown_by health '{{.State.Health.Status}}') == "$1" ]]
}

test_oom_is_told() {
	[[ -d /sys/fs/cgroup/memory ]] || skip 'no v1 memory controller: v2 has its test in the guest'
	docker run -d --network none --name oom --memory 32m --memory-swap 32m base \
		sh -c 'head -c 200000000 /dev/zero | tail -c 190000000 >/dev/null; exit $?' >/dev/null
	docker wait oom >/dev/null
	same 'OOMKilled' true "$(shown_by oom '{{.State.OOMKilled}}')"
	gone oom
}

test_the_usual_options() {
	prints '33 33' run --user www-data base sh -c 'echo $(id -u) $(id -g)'
	prints /var run --workdir /var base pwd
	prints named run --hostname named base hostname
	prints 'CapEff:	0000000000000001' run --cap-drop ALL --cap-add CHOWN base grep CapEff /proc/self/status
	prints 'Seccomp:	2' run base grep Seccomp: /proc/self/status
	prints 'Seccomp:	0' run --security-opt seccomp=unconfined base grep Seccomp: /proc/self/status
	prints 'NoNewPrivs:	1' run --security-opt no-new-privileges base grep NoNewPrivs /proc/self/status
	prints 123 run --ulimit nofile=123:123 base sh -c 'ulimit -n'
	prints 10 run --sysctl net.ipv4.ip_unprivileged_port_start=10 base cat /proc/sys/net/ipv4/ip_unprivileged_port_start
	exits 1 run --read-only base touch /file
	exits 0 run --read-only --tmpfs /tmp base touch /tmp/file
	# in a user namespace a node cannot be made, and the host's is bound under its own name
	[[ $as == user ]] || prints 'character special file' run --device /dev/null:/dev/mynull base stat -c %F /dev/mynull
}

test_volumes() {
	mkdir -p "$home/shared" && echo content >"$home/shared/file"
	prints content run -v "$home/shared:/mnt" base cat /mnt/file
	exits 1 run -v "$home/shared:/mnt:ro" base touch /mnt/new
	prints content run --mount "type=bind,src=$home/shared/file,dst=/file,readonly" base cat /file
	prints '' run -v named:/data base sh -c 'echo kept >/data/file'
	prints kept run -v named:/data base cat /data/file
	docker volume rm named >/dev/null
}

test_namespaces_of_the_host_and_of_others() {
	started other
	prints "$(beside_daemon readlink /proc/self/ns/net)" docker run --rm --network host base readlink /proc/self/ns/net
	same 'the network namespace' "$(docker exec other readlink /proc/self/ns/net)" \
		"$(docker run --rm --network container:other base readlink /proc/self/ns/net)"
	shows trap run --pid container:other base ps
	gone other
}

test_pid_namespace_of_the_host() {
	needs_pid_namespace_of_the_host
	exits 0 run --pid host base sh -c 'test $$ != 1'
}

# This docker asks for a new /proc, and the kernel gives it to the namespace's owner only.
needs_pid_namespace_of_the_host() {
	[[ $as == root ]] || skip "the host's pid namespace is not the user's: no /proc of it can be mounted"
}

test_a_failing_mount_is_explained() {
	mkdir -p "$home/directory"
	exits 125 run -v "$home/directory:/etc/passwd" base true
	# docker adds its hint when it finds "not a directory"
	contains "$scratch/err" /etc/passwd 'mount a directory onto a file'
}

test_buildkit_builds() {
	build simple 'FROM base' 'RUN echo built >/built' 'RUN ["/bin/sh", "-c", "echo again >>/built"]' ||
		fail "$(<"$scratch/out")"
	prints $'built\nagain' run simple cat /built
}

test_buildkit_builds_stages_with_mounts_and_users() {
	build stages '# syntax-free' 'FROM base AS one' 'RUN mkdir /out && echo one >/out/file' \
		'FROM base AS two' 'COPY --from=one /out /in' 'WORKDIR /kept' 'RUN chown app /kept' 'USER app' \
		'RUN --mount=type=tmpfs,target=/spare touch /spare/x && id -u >/kept/id' \
		'RUN --mount=type=cache,target=/cache,uid=1000 echo cached >/cache/file' \
		'RUN --mount=type=cache,target=/cache,uid=1000 cp /cache/file /kept/cached' \
		'RUN --mount=type=bind,from=one,source=/out,target=/bound cat /bound/file >/kept/bound' ||
		fail "$(<"$scratch/out")"
	prints 'one 1000 cached one' run stages sh -c 'echo $(cat /in/file /kept/id /kept/cached /kept/bound)'
}

test_buildkit_reports_a_failing_step() {
	! build failing 'FROM base' 'RUN echo about-to-fail; exit 3' || fail 'the build succeeded'
	contains "$scratch/out" about-to-fail 'exit code: 3'
}

test_buildkit_names_a_missing_program() {
	! build missing 'FROM base' 'RUN ["no-such-program"]' || fail 'the build succeeded'
	contains "$scratch/out" no-such-program
}

test_buildkit_cancels_a_step() {
	mkdir -p "$home/long"
	printf '%s\n' 'FROM base' 'RUN sleep 54321' >"$home/long/Dockerfile"
	exec_as_caller docker build --network none --progress plain "$home/long" >"$scratch/out" 2>&1 &
	await 30 process_runs 54321 || fail "$(<"$scratch/out")"
	kill -TERM "$!"
	! wait "$!" || fail 'the build succeeded'
	await 10 step_ended || fail 'the step lives'
}

step_ended() {
	! process_runs 54321
}

test_many_at_once() {
	local i pids=()

	for i in 1 2 3 4 5; do
		run base sh -c "exit $i" &
		pids[i]=$!
	done
	for i in 1 2 3 4 5; do
		exits "$i" wait "${pids[i]}"
	done
}
