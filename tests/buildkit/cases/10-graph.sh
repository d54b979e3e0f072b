# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # scratch, snapshotter: set by the suite
#
# Stages, build arguments, users, working directories, copies.

test_worker_uses_the_snapshotter() {
	"$buildctl" --addr "$address" debug workers -v >"$scratch/workers-v"
	contains "$scratch/workers-v" 'worker.executor:' 'worker.snapshotter:' "$snapshotter"
	grep -qE "worker\.snapshotter:[[:space:]]*$snapshotter\$" "$scratch/workers-v"
}

test_stages_hand_files_on() {
	local out=$scratch/build/stages/out

	must_build stages --output type=local,dest="$out" <<-'D'
		FROM base AS one
		RUN mkdir /kept && echo one >/kept/log
		FROM one AS two
		RUN echo two >>/kept/log
		FROM base AS other
		RUN echo other >/made-elsewhere
		FROM two AS three
		COPY --from=other /made-elsewhere /kept/
		RUN echo three >>/kept/log
		FROM scratch
		COPY --from=three /kept /
	D
	same 'exported names' $'log\nmade-elsewhere' "$(ls "$out")"
	same 'log' $'one\ntwo\nthree' "$(cat "$out/log")"
	same 'made-elsewhere' other "$(cat "$out/made-elsewhere")"
}

# Every stage waits until all eight have arrived at the same place, so the
# build can only end when they really run at the same time.
test_eight_stages_run_at_once() {
	local i file=$scratch/build/eight.Dockerfile

	mkdir -p "$scratch/build"
	for i in 1 2 3 4 5 6 7 8; do
		printf 'FROM base AS stage%d\nRUN --mount=type=cache,id=meeting,target=/meeting' "$i"
		# shellcheck disable=SC2016 # for the step's shell
		printf ' n=0; : >/meeting/%d; until [ "$(ls /meeting | wc -l)" -eq 8 ]; do' "$i"
		# shellcheck disable=SC2016
		printf ' n=$((n + 1)); [ $n -lt 600 ] || { ls /meeting; exit 9; }; usleep 50000; done;'
		printf ' echo %d >/arrived%d\n' "$i" "$i"
	done >"$file"
	printf 'FROM scratch\n' >>"$file"
	for i in 1 2 3 4 5 6 7 8; do
		printf 'COPY --from=stage%d /arrived%d /\n' "$i" "$i"
	done >>"$file"
	must_build eight --output type=local,dest="$scratch/build/eight/out" <"$file"
	same 'arrivals' $'1\n2\n3\n4\n5\n6\n7\n8' "$(cat "$scratch"/build/eight/out/arrived*)"
}

test_arg_and_env_reach_the_step() {
	local out=$scratch/build/args/out

	# shellcheck disable=SC2016 # nobody expands it
	must_build args --opt build-arg:GIVEN='from the client, "quoted" $x' \
		--output type=local,dest="$out" <<-'D'
			FROM base AS step
			ARG DEFAULT=default
			ARG GIVEN=unused
			ENV PLAIN=value SPACED="a  b" QUOTED="it's \"so\"" UTF8=grün EMPTY= EXPANDED=${DEFAULT}-x
			RUN mkdir /out && tr '\0' '\n' </proc/1/environ | grep -E '^(DEFAULT|GIVEN|PLAIN|SPACED|QUOTED|UTF8|EMPTY|EXPANDED)=' | sort >/out/env
			FROM scratch
			COPY --from=step /out /
		D
	same 'environment of the step' "DEFAULT=default
EMPTY=
EXPANDED=default-x
GIVEN=from the client, \"quoted\" \$x
PLAIN=value
QUOTED=it's \"so\"
SPACED=a  b
UTF8=grün" "$(cat "$out/env")"
}

test_missing_workdir_is_made() {
	local out=$scratch/build/workdir/out

	must_build workdir --output type=local,dest="$out" <<-'D'
		FROM base AS step
		WORKDIR /not/there/yet
		RUN mkdir /out; pwd >/out/pwd; stat -c '%a %u:%g' . >/out/stat
		WORKDIR relative
		RUN pwd >>/out/pwd
		FROM scratch
		COPY --from=step /out /
	D
	same 'pwd' $'/not/there/yet\n/not/there/yet/relative' "$(cat "$out/pwd")"
	same 'mode and owner' '755 0:0' "$(cat "$out/stat")"
}

# BuildKit makes WORKDIR itself; only the runtime sees that it went away.
test_workdir_removed_by_a_step_is_made_again() {
	local out=$scratch/build/workdir-again/out

	must_build workdir-again --output type=local,dest="$out" <<-'D'
		FROM base AS step
		WORKDIR /went/away
		RUN cd / && rm -r /went
		RUN mkdir /out && pwd >/out/pwd
		FROM scratch
		COPY --from=step /out /
	D
	same 'pwd' /went/away "$(cat "$out/pwd")"
}

test_step_runs_as_uid_1000() {
	must_build uid-1000 <<-'D'
		FROM base
		USER 1000:1000
		RUN id
	D
	same 'id' 'uid=1000(app) gid=1000(app) groups=1000(app)' "$(step_output uid-1000)"
}

test_user_without_passwd_entry() {
	must_build uid-unknown <<-'D'
		FROM base
		USER 4711:815
		RUN echo "$(id -u):$(id -g):$(id -G)"
	D
	same 'ids' '4711:815:815' "$(step_output uid-unknown)"
}

test_named_user_gets_its_groups() {
	must_build user-name <<-'D'
		FROM base
		USER app
		RUN id -u; id -g; id -G; echo "$HOME"
	D
	same 'ids and home' $'1000\n1000\n1000 2000 3000\n/home/app' "$(step_output user-name)"
}

test_user_has_no_capabilities() {
	must_build user-caps <<-'D'
		FROM base
		USER app
		RUN grep -E '^Cap' /proc/self/status | tr '\t' ' '
	D
	same 'capabilities' 'CapInh: 0000000000000000
CapPrm: 0000000000000000
CapEff: 0000000000000000
CapBnd: 00000000a80425fb
CapAmb: 0000000000000000' "$(step_output user-caps)"
}

test_setuid_program_works_in_a_step() {
	need_probe
	must_build setuid-run <<-'D'
		FROM base
		RUN cp /bin/probe /bin/suid && chown 33:33 /bin/suid && chmod 6755 /bin/suid
		USER app
		RUN /bin/suid ids
	D
	same 'ids' 'ruid=1000 euid=33 rgid=1000 egid=33' "$(step_output setuid-run)"
}

test_copy_chown_and_chmod() {
	local context

	context=$(context_of copy)
	mkdir -p "$context/tree/sub"
	echo data >"$context/tree/sub/file"
	ln -s sub/file "$context/tree/link"
	echo alone >"$context/alone"
	chmod 0750 "$context/tree/sub"
	chmod 0600 "$context/tree/sub/file" "$context/alone"
	must_build copy --output type=tar,dest="$scratch/build/copy/out.tar" <<-'D'
		FROM base AS names
		COPY --chown=app:extra alone /n/by-name
		COPY --chown=www-data alone /n/by-user
		FROM scratch
		COPY alone /plain
		COPY --chown=1000:33 --chmod=0640 alone /both
		COPY --chmod=4755 alone /setuid
		COPY --chown=65534:7 tree /tree
		COPY --chmod=711 tree /modes
		COPY --from=names /n /n
		ADD --chown=5:6 alone /added/
	D
	same 'archive' 'd 0755 5:6 0 added
f 0600 5:6 6 added/alone
f 0640 1000:33 6 both
d 0711 0:0 0 modes
l 0777 0:0 0 modes/link -> sub/file
d 0711 0:0 0 modes/sub
f 0711 0:0 5 modes/sub/file
d 0755 0:0 0 n
f 0600 1000:2000 6 n/by-name
f 0600 33:33 6 n/by-user
f 0600 0:0 6 plain
f 4755 0:0 6 setuid
d 0755 65534:7 0 tree
l 0777 65534:7 0 tree/link -> sub/file
d 0750 65534:7 0 tree/sub
f 0600 65534:7 5 tree/sub/file' "$(tar_list "$scratch/build/copy/out.tar")"
}

test_unchanged_build_runs_no_step_again() {
	local i

	for i in first second; do
		must_build cached --output type=local,dest="$scratch/build/cached/$i" <<-'D'
			FROM base AS step
			RUN cat /proc/sys/kernel/random/uuid >/uuid
			FROM scratch
			COPY --from=step /uuid /
		D
	done
	contains "$(log_of cached)" CACHED
	cmp "$scratch/build/cached/first/uuid" "$scratch/build/cached/second/uuid"
}
