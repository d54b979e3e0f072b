# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# podman and its conmon. Both call the runtime without --root; conmon creates
# and execs, podman starts, kills, pauses and deletes.

start_client() {
	needs_program podman conmon
	store=$home/containers state_roots=() cgroups_of_client='(libpod_parent(/[0-9a-f]{64})?)?/?(conmon)?'
	as_caller mkdir "$store"
	cat >"$store/containers.conf" <<-E
		[containers]
		netns = "none"
		log_driver = "k8s-file"
		# An ordinary user need not have the pids controller.
		$([[ $as == root ]] || printf 'pids_limit = 0')
		[engine]
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		runtime = "$runtime"
		tmp_dir = "$home/run/libpod"
		network_backend = "netavark"
	E
	cat >"$store/storage.conf" <<-E
		[storage]
		driver = "vfs"
		graphroot = "$store/graph"
		runroot = "$home/run/storage"
	E
	client_environment=(CONTAINERS_CONF="$store/containers.conf" CONTAINERS_STORAGE_CONF="$store/storage.conf")
	tar -C "$scratch/rootfs" -c . |
		as_caller podman import --quiet --change ENV=PATH=/bin - base >/dev/null 2>"$scratch/import.err" ||
		refuse "podman import: $(cat "$scratch/import.err")"
}

remove_containers() {
	podman pod rm --all --force --time 0 >/dev/null
	podman rm --all --force --time 0 >/dev/null
}

# The containers of a test that has failed are in the way of those that use the same names.
after_test() {
	((last_status == 0 || last_status == skip_status)) || remove_containers
}

stop_client() {
	local pause

	remove_containers
	same 'containers' '' "$(podman ps --all --quiet)"
	# The process that holds an ordinary user's namespaces open.
	pause=$(cat "$home/run/libpod/pause.pid" 2>/dev/null) || return 0
	kill "$pause"
}

podman() {
	as_caller podman "$@"
}

# run OPTION… IMAGE COMMAND…: a container that is gone afterwards.
run() {
	podman run --rm "$@"
}

# started NAME OPTION…: a container in the background that waits to be ended.
started() {
	podman run -d --name "$@" base sh -c 'trap "exit 42" TERM; echo up; while :; do sleep 0.1; done' >/dev/null
	await 10 logs_show "$1" up
}

logs_show() {
	[[ $(podman logs "$1" 2>&1) == *"$2"* ]]
}

status_of() {
	podman inspect --format '{{.State.Status}}' "$1"
}

status_is() {
	[[ $(status_of "$1") == "$2" ]]
}

gone() {
	podman rm --force --time 0 "$@" >/dev/null
}

test_run_passes_output_and_status_on() {
	prints hello run base echo hello
	exits 7 run base sh -c 'exit 7'
	exits 130 run base sh -c 'sh -c "kill -INT \$\$"; exit $?'
	shows oops run base sh -c 'echo oops >&2'
}

test_run_ends_as_podman_says_when_nothing_runs() {
	exits 125 run --no-such-option base true
	exits 126 run base /etc/passwd
	exits 127 run base no-such-program
	exits 127 run base /no/such/program
}

test_a_runtime_named_runc_or_crun_is_dropped_in() {
	local name

	# podman passes --log and --log-format to these names alone
	for name in runc crun; do
		[[ -e $scratch/bin/$name ]] || cp "$runtime" "$scratch/bin/$name"
		prints "$name" podman --runtime "$scratch/bin/$name" run --rm base echo "$name"
		exits 127 podman --runtime "$scratch/bin/$name" run --rm base no-such-program
		contains "$scratch/err" no-such-program
	done
}

test_stdin_reaches_the_container() {
	prints 'from outside' run -i base cat <<<'from outside'
}

test_run_detached_logs_and_wait() {
	podman run -d --name logs base sh -c 'echo one; echo two >&2; exit 3' >/dev/null
	same 'the status' 3 "$(podman wait logs)"
	same 'the log' $'one\ntwo' "$(podman logs logs 2>&1 | sort)"
	gone logs
}

test_create_start_attach() {
	podman create --name attach base sh -c 'echo attached; exit 5' >/dev/null
	exits 5 podman start --attach attach
	same 'the output' attached "$(<"$scratch/out")"
	exits 5 podman start --attach attach
	gone attach
}

test_init_creates_without_starting() {
	podman create --name init base echo hi >/dev/null
	podman init init >/dev/null
	same 'the status' initialized "$(status_of init)"
	prints hi podman start --attach init
	podman container cleanup init >/dev/null 2>&1 || true
	gone init
}

test_exec() {
	started exec
	prints hello podman exec exec echo hello
	prints typed podman exec -i exec cat <<<typed
	prints 1000 podman exec --user app exec id -u
	prints /tmp podman exec --workdir /tmp exec pwd
	prints v podman exec --env K=v exec sh -c 'echo $K'
	exits 9 podman exec exec sh -c 'exit 9'
	exits 127 podman exec exec no-such-program
	exits 126 podman exec exec /etc/passwd
	gone exec
}

test_exec_detached() {
	started detached
	podman exec -d detached sh -c 'echo done >/tmp/marker'
	await 10 podman exec detached test -s /tmp/marker
	gone detached
}

test_exec_passes_descriptors_on() {
	started fds
	same 'descriptor 3' three "$(podman exec --preserve-fds 1 fds sh -c 'cat <&3' 3<<<three)"
	gone fds
}

test_run_passes_descriptors_on() {
	same 'descriptor 4' four "$(run --preserve-fds 2 base sh -c 'cat <&4' 3</dev/null 4<<<four)"
}

test_terminals() {
	prints '/dev/pts/0' run -t base tty
	started tty
	prints '/dev/pts/0' podman exec -t tty tty
	same 'the size' '31 97' "$(on_terminal podman exec -it tty timeout 20 sh -c "$show_size")"
	gone tty
}

test_top_lists_the_processes() {
	started top
	shows 'sh' podman top top pid,comm
	gone top
}

test_pause_and_unpause() {
	started pause
	podman pause pause >/dev/null
	same 'the status' paused "$(status_of pause)"
	exits 255 podman exec pause true
	podman unpause pause >/dev/null
	same 'the status' running "$(status_of pause)"
	prints awake podman exec pause echo awake
	podman pause pause >/dev/null
	gone pause
}

test_kill_stop_start_restart() {
	started ends
	podman kill --signal TERM ends >/dev/null
	same 'the status' 42 "$(podman wait ends)"
	podman start ends >/dev/null
	podman restart --time 5 ends >/dev/null
	same 'the state' running "$(status_of ends)"
	podman stop --time 5 ends >/dev/null
	same 'the status' 42 "$(podman inspect --format '{{.State.ExitCode}}' ends)"
	podman start ends >/dev/null
	podman kill ends >/dev/null
	same 'the status' 137 "$(podman wait ends)"
	gone ends
}

test_rm_force_ends_a_running_container() {
	started forced
	podman exec -d forced sleep 1000
	podman rm --force --time 0 forced >/dev/null
	exits 1 podman container exists forced
}

test_healthcheck() {
	podman run -d --name health --health-cmd 'test -e /tmp/well' --health-interval disable \
		base sleep 1000 >/dev/null
	exits 1 podman healthcheck run health
	podman exec health touch /tmp/well
	exits 0 podman healthcheck run health
	gone health
}

test_pods_share_namespaces() {
	podman pod create --name pod --share ipc,net,uts --hostname podhost >/dev/null
	podman run -d --pod pod --name first base sh -c 'touch /dev/shm/seen; exec sleep 1000' >/dev/null
	prints podhost podman run --rm --pod pod base hostname
	await 10 podman exec first test -e /dev/shm/seen
	exits 0 podman run --rm --pod pod base test -e /dev/shm/seen
	same 'the network namespace' "$(podman exec first readlink /proc/self/ns/net)" \
		"$(podman run --rm --pod pod base readlink /proc/self/ns/net)"
	podman pod stop --time 0 pod >/dev/null
	podman pod rm --force --time 0 pod >/dev/null
}

test_pods_share_a_pid_namespace() {
	podman pod create --name pids --share pid >/dev/null
	podman run -d --pod pids --name worker base sleep 12345 >/dev/null
	shows 'sleep 12345' podman run --rm --pod pids base ps
	podman pod rm --force --time 0 pids >/dev/null
}

test_userns_keep_id() {
	[[ $as == user ]] || skip 'podman has it for ordinary users only'
	prints "$user_id" run --userns keep-id base id -u
	as_caller mkdir -p "$home/mine"
	prints '' run --userns keep-id -v "$home/mine:/mine" base touch /mine/file
	same 'the owner' "$user_id" "$(stat -c %u "$home/mine/file")"
}

test_userns_with_given_maps() {
	local first

	[[ $as == root ]] || skip 'needs root: the maps are host ids'
	first=200000
	prints "         0     $first       1000" run --uidmap "0:$first:1000" --gidmap "0:$first:1000" base cat /proc/self/uid_map
}

test_userns_with_subordinate_ids() {
	[[ $as == user ]] || skip 'root has no subordinate ids'
	prints 0 run --uidmap 0:1:1000 --gidmap 0:1:1000 base id -u
}

test_volumes() {
	as_caller mkdir -p "$home/shared/deep"
	as_caller sh -c 'echo content >shared/file'
	prints content run -v "$home/shared:/mnt" base cat /mnt/file
	exits 1 run -v "$home/shared:/mnt:ro" base touch /mnt/new
	prints '' run -v "$home/shared:/mnt:rshared" base touch /mnt/new
	prints content run --mount "type=bind,src=$home/shared/file,dst=/file,ro=true" base cat /file
	podman volume create named >/dev/null
	prints '' run -v named:/data base sh -c 'echo kept >/data/file'
	prints kept run -v named:/data base cat /data/file
	podman volume rm named >/dev/null
}

test_read_only_root() {
	exits 1 run --read-only base touch /file
	contains "$scratch/err" 'Read-only file system'
	# podman gives such a container writable tmpfs folders
	prints '' run --read-only base touch /tmp/file /run/file
	exits 1 run --read-only --read-only-tmpfs=false base touch /tmp/file
}

test_init_is_pid_1_and_reaps() {
	shows init run --init base cat /proc/1/cmdline
	exits 9 run --init base sh -c '(true &) ; exit 9'
}

test_user_and_workdir() {
	prints '33 33' run --user www-data base sh -c 'echo $(id -u) $(id -g)'
	prints '7 8' run --user 7:8 base sh -c 'echo $(id -u) $(id -g)'
	prints '1000 2000' run --user app --group-add extra base sh -c 'set -- $(id -G); echo $1 $2'
	prints /var run --workdir /var base pwd
}

test_capabilities() {
	local none=0000000000000000

	prints "CapEff:	$none" run --cap-drop ALL base grep CapEff /proc/self/status
	prints 'CapEff:	0000000000000001' run --cap-drop ALL --cap-add CHOWN base grep CapEff /proc/self/status
	prints "CapEff:	$none" run --user app base grep CapEff /proc/self/status
	exits 1 run --cap-drop CHOWN base chown 33 /tmp
}

test_seccomp_profiles() {
	local profile=$home/seccomp.json

	prints 'Seccomp:	2' run base grep Seccomp: /proc/self/status
	prints 'Seccomp:	0' run --security-opt seccomp=unconfined base grep Seccomp: /proc/self/status
	printf '%s' '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],
		"action":"SCMP_ACT_ERRNO","errnoRet":38}]}' >"$profile"
	chmod 0644 "$profile"
	exits 1 run --security-opt "seccomp=$profile" base mkdir /new
	contains "$scratch/err" 'Function not implemented'
}

test_no_new_privileges_and_unmask() {
	prints 'NoNewPrivs:	1' run --security-opt no-new-privileges base grep NoNewPrivs /proc/self/status
	same 'a masked file' '' "$(run base cat /proc/kcore)"
	exits 0 run --security-opt unmask=ALL base sh -c '! grep -q " /proc/kcore " /proc/self/mountinfo'
}

test_tmpfs_and_shm() {
	shows 'size=1024k' run --tmpfs /scratch:size=1m,mode=0750 base grep ' /scratch ' /proc/mounts
	contains "$scratch/out" 'mode=750'
	shows 'size=2048k' run --shm-size 2m base grep ' /dev/shm ' /proc/mounts
}

test_devices() {
	prints 'character special file' run --device /dev/null:/dev/mynull base stat -c %F /dev/mynull
	prints ok run --device /dev/zero:/dev/z base sh -c 'head -c 1 /dev/z | grep -c . >/dev/null; echo ok'
	exits 1 run base test -e /dev/kmsg
}

test_hostname_environment_and_annotations() {
	prints named run --hostname named base hostname
	prints 'a b' run --env 'X=a b' base sh -c 'echo "$X"'
	podman run -d --name annotated --annotation example.key=value base sleep 1000 >/dev/null
	same 'the annotation' value "$(podman inspect --format '{{index .Config.Annotations "example.key"}}' annotated)"
	gone annotated
}

test_ulimits() {
	# With any limit podman sets its default for nproc, too, which may be above ours.
	prints 123 run --ulimit nofile=123:123 --ulimit nproc=500:500 base sh -c 'ulimit -n'
	prints 0 run --ulimit core=0:0 --ulimit nproc=500:500 --ulimit nofile=100:100 base sh -c 'ulimit -c'
}

test_sysctls() {
	prints 10 run --sysctl net.ipv4.ip_unprivileged_port_start=10 base cat /proc/sys/net/ipv4/ip_unprivileged_port_start
}

test_namespaces_of_the_host() {
	same 'the network namespace' "$(readlink /proc/self/ns/net)" "$(run --network host base readlink /proc/self/ns/net)"
	[[ ! -d /dev/mqueue ]] || same 'the ipc namespace' "$(readlink /proc/self/ns/ipc)" "$(run --ipc host base readlink /proc/self/ns/ipc)"
	prints clients run --uts host base hostname
	exits 0 run --pid host base sh -c 'test $$ != 1'
}

test_namespaces_of_another_container() {
	started other
	same 'the network namespace' "$(podman exec other readlink /proc/self/ns/net)" \
		"$(run --network container:other base readlink /proc/self/ns/net)"
	shows 'trap' run --pid container:other base ps
	gone other
}

test_limits_are_set() {
	local memory=/sys/fs/cgroup/memory/memory.limit_in_bytes

	[[ $as == root && -e /sys/fs/cgroup/memory ]] || skip 'no memory controller for this caller on this machine'
	started limits --memory 64m --cpus 0.5 --pids-limit 33
	prints 67108864 podman exec limits cat "$memory"
	prints 33 podman exec limits cat /sys/fs/cgroup/pids/pids.max
	gone limits
}

test_privileged() {
	exits 0 run --privileged base sh -c 'mount -t tmpfs none /tmp && touch /tmp/file'
}

test_copy_diff_commit_export() {
	started copied
	podman exec copied sh -c 'echo inside >/tmp/file'
	podman cp copied:/tmp/file "$home/copied"
	same 'the file' inside "$(<"$home/copied")"
	shows '/tmp/file' podman diff copied
	podman commit --quiet copied committed >/dev/null
	gone copied
	prints inside run committed cat /tmp/file
	podman rmi committed >/dev/null
}

test_build() {
	as_caller mkdir -p "$home/context"
	printf '%s\n' 'FROM base' 'RUN echo built >/built' 'CMD cat /built' >"$home/context/Containerfile"
	podman build --quiet --isolation oci --network none --tag built "$home/context" >/dev/null
	prints built run built
	podman rmi built >/dev/null
}

test_many_at_once() {
	local i

	for i in 1 2 3 4 5; do
		run base sh -c "exit $i" &
		pids[i]=$!
	done
	for i in 1 2 3 4 5; do
		exits "$i" wait "${pids[i]}"
	done
}
