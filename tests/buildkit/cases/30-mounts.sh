# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # scratch: set by the suite
#
# RUN --mount=type=cache|bind|secret|tmpfs, and RUN --network=none|host.

test_cache_mount_persists_between_builds() {
	local run

	for run in first second; do
		must_build "cache-$run" --opt build-arg:RUN="$run" <<-'D'
			FROM base
			ARG RUN
			RUN --mount=type=cache,id=persist,target=/var/cache/x echo "$RUN" >>/var/cache/x/runs && cat /var/cache/x/runs
		D
	done
	same 'runs' $'first\nsecond' "$(step_output cache-second)"
}

test_cache_mount_has_the_wanted_owner_and_mode() {
	must_build cache-owner <<-'D'
		FROM base
		USER app
		RUN --mount=type=cache,id=owner,target=/c,uid=1000,gid=33,mode=0750 stat -c '%u:%g %a' /c && echo x >/c/x && stat -c '%u:%g' /c/x
	D
	same 'cache folder' $'1000:33 750\n1000:1000' "$(step_output cache-owner)"
}

test_cache_mount_is_not_part_of_the_image() {
	must_build cache-image --output type=tar,dest="$scratch/build/cache-image/out.tar" <<-'D'
		FROM base
		RUN --mount=type=cache,id=image,target=/deep/cache echo x >/deep/cache/x && echo y >/y
	D
	tar_list "$scratch/build/cache-image/out.tar" >"$scratch/build/cache-image/list"
	contains "$scratch/build/cache-image/list" 'f 0644 0:0 2 y'
	same 'entries below the mount point' '' "$(grep -E ' deep/cache' "$scratch/build/cache-image/list" || true)"
}

# Both steps want the lock folder while they hold the cache; a step that finds
# it taken fails the build. Each holds it long enough for the other to start.
test_locked_cache_lets_one_step_in() {
	must_build cache-locked <<-'D'
		FROM base AS a
		RUN --mount=type=cache,id=locked,sharing=locked,target=/c mkdir /c/taken && usleep 400000 && echo a >>/c/order && rmdir /c/taken
		FROM base AS b
		RUN --mount=type=cache,id=locked,sharing=locked,target=/c mkdir /c/taken && usleep 400000 && echo b >>/c/order && rmdir /c/taken
		FROM base
		COPY --from=a /etc/group /a
		COPY --from=b /etc/group /b
		RUN --mount=type=cache,id=locked,sharing=locked,target=/c sort /c/order
	D
	same 'steps that had the cache' $'a\nb' "$(step_output cache-locked)"
}

test_bind_mount_shows_the_context_read_only() {
	local context

	context=$(context_of bind)
	mkdir -p "$context/src"
	echo source >"$context/src/file"
	must_build bind <<-'D'
		FROM base
		RUN --mount=type=bind,source=src,target=/src exec 2>&1; cat /src/file; echo x >/src/file || echo refused; echo >/src/new || echo refused; rm /src/file || echo refused
		RUN test ! -e /src/file && echo gone
	D
	same 'output' "source
/bin/sh: can't create /src/file: Read-only file system
refused
/bin/sh: can't create /src/new: Read-only file system
refused
rm: can't remove '/src/file': Read-only file system
refused
gone" "$(step_output bind)"
}

test_bind_mount_rw_discards_what_is_written() {
	local context

	context=$(context_of bind-rw)
	mkdir -p "$context/src"
	echo source >"$context/src/file"
	must_build bind-rw <<-'D'
		FROM base
		RUN --mount=type=bind,source=src,target=/src,rw echo changed >/src/file && cat /src/file
		RUN --mount=type=bind,source=src,target=/src cat /src/file
	D
	same 'output' $'changed\nsource' "$(step_output bind-rw)"
	same 'the context' source "$(cat "$context/src/file")"
}

test_bind_mount_of_a_stage() {
	must_build bind-stage <<-'D'
		FROM base AS maker
		RUN mkdir -p /made/sub && echo x >/made/sub/x && chown -R 33:1000 /made
		FROM base
		RUN --mount=type=bind,from=maker,source=/made,target=/made stat -c '%n %u:%g' /made /made/sub/x && cat /made/sub/x
	D
	same 'output' $'/made 33:1000\n/made/sub/x 33:1000\nx' "$(step_output bind-stage)"
}

test_secret_is_there_for_one_step_only() {
	local secret

	secret="key-$RANDOM$RANDOM-$suite_id"
	printf '%s' "$secret" >"$scratch/secret"
	must_build secret --secret id=token,src="$scratch/secret" \
		--output type=tar,dest="$scratch/build/secret/out.tar" <<-'D'
			FROM base
			RUN --mount=type=secret,id=token cat /run/secrets/token | sha256sum; stat -c '%F %a %u:%g' /run/secrets/token
			RUN test ! -e /run/secrets/token && echo gone
		D
	same 'output' "$(sha256sum <"$scratch/secret")
regular file 400 0:0
gone" "$(step_output secret)"
	! grep -qaF "$secret" "$scratch/build/secret/out.tar" || fail 'the image contains the secret'
	! grep -qaF "$secret" "$scratch/buildkitd.log" || fail 'the log of the daemon contains the secret'
	tar_list "$scratch/build/secret/out.tar" >"$scratch/build/secret/list"
	same 'entries at the mount point' '' "$(grep -F token "$scratch/build/secret/list" || true)"
}

test_secret_with_owner_mode_and_target() {
	printf 'word' >"$scratch/word"
	must_build secret-options --secret id=word,src="$scratch/word" <<-'D'
		FROM base
		USER app
		RUN --mount=type=secret,id=word,target=/etc/word,uid=1000,gid=33,mode=0440 cat /etc/word; echo; stat -c '%a %u:%g' /etc/word; echo 2>/dev/null >/etc/word || echo refused
		RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent && echo absent
	D
	same 'output' $'word\n440 1000:33\nrefused\nabsent' "$(step_output secret-options)"
}

test_secret_on_a_tmpfs_not_on_disk() {
	printf 'word' >"$scratch/word"
	must_build secret-tmpfs --secret id=word,src="$scratch/word" <<-'D'
		FROM base
		RUN --mount=type=secret,id=word awk '$5 == "/run/secrets/word" { for (i = 7; $i != "-"; i++); print $6 ~ /nosuid/, $6 ~ /nodev/, $6 ~ /noexec/, $(i + 1) }' /proc/self/mountinfo
	D
	same 'nosuid nodev noexec type' '1 1 1 tmpfs' "$(step_output secret-tmpfs)"
}

test_tmpfs_mount_has_its_size_and_forgets() {
	must_build tmpfs <<-'D'
		FROM base
		RUN --mount=type=tmpfs,target=/t,size=4194304 stat -f -c %T /t; df -k /t | awk 'END { print $2 }'; head -c 3000000 /dev/zero >/t/fits && echo fits; head -c 3000000 /dev/zero 2>/dev/null >/t/too-much || echo full
		RUN --mount=type=tmpfs,target=/t ls -A /t | wc -l
	D
	same 'output' $'tmpfs\n4096\nfits\nfull\n0' "$(step_output tmpfs | grep -v 'No space left')"
}

test_network_none_has_only_loopback() {
	local out=$scratch/build/net-none/out

	must_build net-none --output type=local,dest="$out" <<-'D'
		FROM base AS step
		RUN --network=none mkdir /out; tail -n +3 /proc/net/dev | cut -d : -f 1 | tr -d ' ' >/out/links; readlink /proc/self/ns/net >/out/ns; ip -o link show lo >/out/lo; tail -n +2 /proc/net/route | wc -l >/out/routes
		RUN --network=none (echo answer | nc -l -p 7 127.0.0.1 >/dev/null) & n=0; until nc 127.0.0.1 7 </dev/null >/out/answer 2>/dev/null; do n=$((n + 1)); [ $n -lt 100 ] || break; usleep 20000; done
		FROM scratch
		COPY --from=step /out /
	D
	same 'links' lo "$(cat "$out/links")"
	contains "$out/lo" 'LOOPBACK,UP'
	same 'routes' 0 "$(cat "$out/routes")"
	same 'answer over loopback' answer "$(cat "$out/answer")"
	[[ $(cat "$out/ns") != "$(readlink "/proc/$daemon_pid/ns/net")" ]] || fail "the daemon's network namespace"
}

test_network_host_is_the_daemon_s() {
	must_build net-host --allow network.host <<-'D'
		FROM base
		RUN --network=host readlink /proc/self/ns/net
	D
	same 'network namespace' "$(readlink "/proc/$daemon_pid/ns/net")" "$(step_output net-host)"
}

# BuildKit's proxy mode: a network of its own that leads to the proxy only, which answers for the
# daemon's; variables and a certificate in the image's own bundle say so, for the step alone.
test_a_step_behind_the_proxy_of_the_build() {
	local out=$scratch/build/net-proxy/out bundle=/etc/ssl/certs/ca-certificates.crt

	# BuildKit's own links need a network namespace that belongs to the daemon's user namespace
	[[ " ${launcher[*]} " != *" --net=host "* ]] || unrelated
	must_build net-proxy --proxy-network --output type=local,dest="$out" <<-D
		FROM base AS first
		RUN mkdir -p ${bundle%/*} /out && echo own >$bundle
		FROM first AS step
		RUN readlink /proc/self/ns/net >/out/ns; cp $bundle /out/seen; echo \$HTTP_PROXY >/out/proxy; tail -n +3 /proc/net/dev | grep -c -v lo: >/out/links
		RUN wget -q -O /out/answer http://127.0.0.1:1/ 2>/out/refusal; cp $bundle /out/seen-again
		FROM scratch
		COPY --from=step $bundle /bundle
		COPY --from=step /out /
	D
	[[ $(cat "$out/ns") != "$(readlink "/proc/$daemon_pid/ns/net")" ]] || fail "the daemon's network namespace"
	same 'links beside the loopback' 1 "$(cat "$out/links")"
	[[ $(cat "$out/proxy") == http://* ]] || fail "HTTP_PROXY: $(cat "$out/proxy")"
	contains "$out/seen" own 'BEGIN CERTIFICATE'
	contains "$out/seen-again" own 'BEGIN CERTIFICATE'
	same 'the bundle of the image' own "$(cat "$out/bundle")"
	# the proxy itself has answered, for a port that is closed
	contains "$out/refusal" '502'
}

test_options_of_the_build_reach_the_runtime() {
	must_build options --opt hostname=other-name --opt add-hosts=somewhere=192.0.2.7 \
		--opt shm-size=1048576 --opt ulimit=nofile=123:456 <<-'D'
			FROM base
			RUN hostname; grep somewhere /etc/hosts | tr '\t' ' '; df -k /dev/shm | awk 'END { print $2 }'; ulimit -Sn; ulimit -Hn
		D
	same 'output' $'other-name\n192.0.2.7 somewhere\n1024\n123\n456' "$(step_output options)"
}
