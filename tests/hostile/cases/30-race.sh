# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2016 # set by the suite; the container's scripts
#
# A second process that exchanges directories while the container is being set up:
# a concurrent step with the same cache mount can do that.

# raced_runs BELOW: runs $bundle while BELOW/a and BELOW/evil change places.
# Each run works, or is one clean error; nothing outside changes.
raced_runs() {
	local below=$1 i worked=0 refused=0 rounds

	rounds=$(if [[ -n $full ]]; then echo 500; else echo 60; fi)
	python3 "$here/lib/exchange.py" "$below/a" "$below/evil" >"$bundle/swaps" &
	swapper=$!
	trap 'kill "$swapper" 2>/dev/null || true' EXIT
	for ((i = 0; i < rounds; i++)); do
		capture timeout 30 "$runbuild" --root "$state_root" run --bundle "$bundle" hostile
		case $status in
		0)
			worked=$((worked + 1))
			[[ $(<"$bundle/out") == mounted ]] || fail "round $i: the step saw: $(<"$bundle/out")"
			;;
		1)
			refused=$((refused + 1))
			[[ $(grep -c '^runbuild: error: .*; fix: .*\[RB[0-9]*\]$' "$bundle/err") == 1 ]] ||
				fail "round $i: $(<"$bundle/err")"
			;;
		*) fail "round $i: status $status" "$(<"$bundle/err")" ;;
		esac
		state_is_empty
		outside_is_untouched || fail "round $i"
	done
	kill -0 "$swapper" || fail 'the exchanges ended early' "$(<"$bundle/swaps")"
	kill "$swapper"
	wait "$swapper" 2>/dev/null || true
	printf '# %d worked, %d refused\n' "$worked" "$refused"
	((worked > 0)) || fail 'no run worked: the race was not tried'
}

# trap_tree BELOW: BELOW/a/b/c is a directory; below BELOW/evil the same names lead out.
trap_tree() {
	mkdir -p "$1/a/b/c" "$1/evil/b"
	ln -s "$scratch/outside" "$1/evil/b/c"
}

test_directories_of_the_image_exchanged_during_set_up_lead_nowhere() {
	hostile_bundle race_image
	trap_tree "$rootfs"
	bind_into /a/b/c/new
	# the mount is where it was put, which the exchange may have moved away
	set_script 'until cat /a/b/c/new/mark || cat /evil/b/c/new/mark; do :; done 2>/dev/null'
	raced_runs "$rootfs"
}

test_directories_of_a_shared_mount_exchanged_during_set_up_lead_nowhere() {
	hostile_bundle race_cache
	mkdir -p "$bundle/cache" "$rootfs/cache"
	trap_tree "$bundle/cache"
	edit_config --arg cache "$bundle/cache" '.mounts += [{destination: "/cache", type: "bind",
		source: $cache, options: ["rbind", "rw"]}] | .linux.maskedPaths += ["/cache/a/b/c/secret"]
		| .linux.readonlyPaths += ["/cache/a/b"]'
	bind_into /cache/a/b/c/new
	set_script 'until cat /cache/a/b/c/new/mark || cat /cache/evil/b/c/new/mark; do :; done 2>/dev/null'
	raced_runs "$bundle/cache"
}
