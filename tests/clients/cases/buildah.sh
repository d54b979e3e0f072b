# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells; the suite sets and reads
#
# buildah calls create, start, state, kill and delete itself, and waits for the
# container's init as its subreaper: a process of the runtime in between, or a
# status other than running and stopped, fails the step.

start_client() {
	needs_program buildah
	store=$home/containers state_roots=() cgroups_of_client=''
	as_caller mkdir "$store"
	cat >"$store/storage.conf" <<-E
		[storage]
		driver = "vfs"
		graphroot = "$store/graph"
		runroot = "$home/run/storage"
	E
	printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >"$store/policy.json"
	client_environment=(CONTAINERS_STORAGE_CONF="$store/storage.conf" BUILDAH_ISOLATION=oci
		BUILDAH_RUNTIME="$runtime")
	make_base_image
}

# The local base: FROM scratch, with the folder that the suite made.
make_base_image() {
	as_caller mkdir "$home/base"
	tar -C "$scratch/rootfs" -cf "$home/base/root.tar" .
	chmod 0644 "$home/base/root.tar"
	printf '%s\n' 'FROM scratch' 'ADD root.tar /' 'ENV PATH=/bin' >"$home/base/Containerfile"
	bud --tag base "$home/base" >"$scratch/bud.out" 2>&1 || refuse "buildah: $(cat "$scratch/bud.out")"
	working=$(buildah from localhost/base) || refuse 'buildah from'
}

buildah() {
	as_caller buildah "$@"
}

bud() {
	buildah bud --quiet --network none --signature-policy "$store/policy.json" "$@"
}

run() {
	buildah run --isolation oci --runtime "$runtime" --network none "$@"
}

# build NAME LINE…: an image from such a file; its output is in $scratch/out.
build() {
	local name=$1

	shift
	as_caller mkdir -p "$home/$name"
	printf '%s\n' "$@" >"$home/$name/Containerfile"
	bud --runtime "$runtime" --tag "$name" "$home/$name" >"$scratch/out" 2>&1
}

# in_image IMAGE COMMAND…
in_image() {
	local container

	container=$(buildah from "localhost/$1")
	shift
	run "$container" -- "$@"
	buildah rm "$container" >/dev/null
}

stop_client() {
	buildah rm --all >/dev/null
	buildah rmi --all --force >/dev/null
	same 'images' '' "$(buildah images --quiet)"
}

test_run_passes_output_and_status_on() {
	prints hello run "$working" -- echo hello
	exits 7 run "$working" -- sh -c 'exit 7'
	exits 1 run "$working" -- no-such-program
	contains "$scratch/err" no-such-program
}

test_stdin_reaches_the_container() {
	prints typed run "$working" -- cat <<<typed
}

test_run_with_a_terminal() {
	prints /dev/pts/0 run --terminal "$working" -- tty
}

test_run_as_another_user() {
	prints '33 33' run --user www-data "$working" -- sh -c 'echo $(id -u) $(id -g)'
	prints /tmp run --workingdir /tmp "$working" -- pwd
	prints value run --env K=value "$working" -- sh -c 'echo $K'
	prints named run --hostname named "$working" -- hostname
}

test_run_with_capabilities() {
	local bit='echo $((0x$(sed -n "s/CapEff:.//p" /proc/self/status) >> BIT & 1))'

	prints 0 run --cap-drop CAP_CHOWN "$working" -- sh -c "${bit/BIT/0}"
	prints 1 run --cap-add CAP_NET_ADMIN "$working" -- sh -c "${bit/BIT/12}"
	prints 0 run "$working" -- sh -c "${bit/BIT/12}"
}

test_run_with_volumes() {
	as_caller sh -c 'echo content >file'
	prints content run --volume "$home/file:/file:ro" "$working" -- cat /file
	exits 1 run --volume "$home/file:/file:ro" "$working" -- sh -c 'echo x >/file'
	prints fresh run --mount type=tmpfs,dst=/scratch "$working" -- sh -c 'echo fresh >/scratch/f && cat /scratch/f'
}

test_run_with_the_network_of_the_host() {
	prints "$(readlink /proc/self/ns/net)" buildah run --isolation oci --runtime "$runtime" --network host \
		"$working" -- readlink /proc/self/ns/net
}

test_run_keeps_what_is_written() {
	exits 0 run "$working" -- sh -c 'echo kept >/kept'
	prints kept run "$working" -- cat /kept
}

test_background_processes_end_with_the_step() {
	exits 0 run "$working" -- sh -c 'sleep 12345 & exit 0'
	! process_runs 12345 || fail 'the background process lives'
}

test_many_steps_at_once() {
	local i pids=()

	for i in 1 2 3 4; do
		run "$working" -- sh -c "exit $i" &
		pids[i]=$!
	done
	for i in 1 2 3 4; do
		exits "$i" wait "${pids[i]}"
	done
}

test_build_of_several_stages() {
	build stages 'FROM base AS first' 'RUN mkdir /out && echo one >/out/file' \
		'FROM base AS second' 'COPY --from=first /out /in' 'RUN echo two >>/in/file' \
		'FROM scratch' 'COPY --from=base / /' 'COPY --from=second /in/file /file' 'ENV PATH=/bin' \
		'RUN ["/bin/sh", "-c", "echo three >>/file"]' || fail "$(<"$scratch/out")"
	prints $'one\ntwo\nthree' in_image stages cat /file
}

test_build_with_arguments_users_and_mounts() {
	as_caller mkdir -p "$home/kinds"
	printf 'secret-text' >"$home/kinds/secret"
	chmod 0644 "$home/kinds/secret"
	as_caller sh -c 'echo context >kinds/data'
	printf '%s\n' 'FROM base' 'ARG WHAT' 'RUN echo $WHAT >/what' 'WORKDIR /kept' \
		'RUN chown app /kept' 'USER app' 'RUN id -u >/kept/id' \
		'RUN --mount=type=bind,source=data,target=/data cat /data >/kept/data' \
		'RUN --mount=type=tmpfs,target=/scratch df /scratch | grep -q tmpfs' \
		'RUN --mount=type=secret,id=s,mode=0444 cat /run/secrets/s >/kept/secret' >"$home/kinds/Containerfile"
	bud --runtime "$runtime" --build-arg WHAT=arg --secret "id=s,src=$home/kinds/secret" \
		--tag kinds "$home/kinds" >"$scratch/out" 2>&1 || fail "$(<"$scratch/out")"
	prints 'arg 1000 context secret-text' in_image kinds sh -c 'echo $(cat /what /kept/id /kept/data /kept/secret)'
}

test_a_failing_step_fails_the_build() {
	! build broken 'FROM base' 'RUN echo about-to-fail; exit 3' || fail 'the build succeeded'
	contains "$scratch/out" about-to-fail 'exit status 3'
}

test_a_missing_program_fails_the_build_with_its_name() {
	! build missing 'FROM base' 'RUN ["no-such-program"]' || fail 'the build succeeded'
	contains "$scratch/out" no-such-program
}

test_the_build_is_interrupted() {
	as_caller mkdir -p "$home/long"
	printf '%s\n' 'FROM base' 'RUN sleep 54321' >"$home/long/Containerfile"
	exec_as_caller buildah bud --quiet --network none --signature-policy "$store/policy.json" \
		--runtime "$runtime" "$home/long" >"$scratch/out" 2>&1 &
	build=$!
	await 20 step_runs || fail "$(<"$scratch/out")"
	await 20 interrupted || fail 'the build goes on'
	! wait "$build" || fail 'the build succeeded'
	await 10 step_ended || fail 'the step lives'
}

# Ctrl-C, and again: buildah listens for signals only after the runtime has started the step, and what
# comes before that is lost where, as in a job of a shell in the background, SIGINT was ignored.
interrupted() {
	kill -INT "$build" 2>/dev/null || return 0
	sleep 0.3
	! kill -0 "$build" 2>/dev/null
}

step_runs() {
	process_runs 54321
}

step_ended() {
	! step_runs
}
