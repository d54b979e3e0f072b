# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the suite and `update` share: from a case to the text that is compared.

# shellcheck disable=SC2154 # here, scratch, runbuild: set by the caller

# Copies the configuration NAME into the bundle, with the bundle's path in it.
golden_config() {
	local name=$1 bundle=$scratch/bundle

	rm -f "$bundle/config.json"
	case $name in
	buildkit-rootless)
		sed "s|@BUNDLE@|$bundle|g" "$here/../data/buildkit-rootless.json.in" >"$bundle/config.json"
		;;
	spec)
		"$runbuild" spec --bundle "$bundle"
		# a host with cgroup v1 gets none
		grep -q '{"type": "cgroup"}' "$bundle/config.json" ||
			sed -i 's|^\(\t*\){"type": "mount"}$|\1{"type": "mount"},\n\1{"type": "cgroup"}|' "$bundle/config.json"
		;;
	spec-rootless)
		"$runbuild" spec --rootless --bundle "$bundle"
		# whoever runs the test: the hosts know the user 1001
		sed -i -E 's/("hostID": )[0-9]+/\11001/' "$bundle/config.json"
		;;
	*) sed "s|@BUNDLE@|$bundle|g" "$here/configs/$name.json" >"$bundle/config.json" ;;
	esac
}

# golden_text CONFIG HOST OPTIONS…: what explain prints, and its status when it is not 0.
golden_text() {
	local config=$1 host=$2 status=0 environment=() what=(--bundle "$scratch/bundle")

	shift 2
	golden_config "$config"
	while [[ ${1:-} == RUNBUILD_*=* ]]; do
		environment+=("$1")
		shift
	done
	[[ $config != step-* ]] || what=(--step "$scratch/bundle/config.json")
	env "${environment[@]}" "$runbuild" explain "${what[@]}" --host-facts "$here/hosts/$host" "$@" \
		>"$scratch/out" 2>"$scratch/err" || status=$?
	cat "$scratch/out" "$scratch/err" | sed "s|$scratch/bundle|/bundle|g" | golden_portable
	((status == 0)) || printf 'status %d\n' "$status"
}

# The length of a filter belongs to the architecture that it was compiled for.
golden_portable() {
	if [[ $(uname -m) == x86_64 ]]; then
		cat
	else
		sed -E 's/[0-9]+ instructions/N instructions/; s/("seccompInstructions":)[0-9]+/\1N/'
	fi
}

# Calls COMMAND NAME CONFIG HOST OPTIONS… for every case.
each_case() {
	local command=$1 words

	while read -r -a words; do
		[[ ${words[0]:-#} != '#'* ]] || continue
		"$command" "${words[@]}"
	done <"$here/cases"
}

# The configuration in the bundle up to its seccomp profile.
golden_spec() {
	sed '/^\t\t"seccomp": /,$d' "$scratch/bundle/config.json"
}
