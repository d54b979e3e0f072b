# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # scratch, address, pipe, buildkitd: set by the suite
#
# Containers of BuildKit's gateway API: further processes in one that runs, as
# debuggers of builds have them. The client is built along with the solver.

test_gateway_container_runs_further_processes() {
	[[ -n $pipe ]] || unrelated
	timeout 90 "${buildkitd%/*}/gateway" "$address" "$scratch/base" >"$scratch/gateway.out" 2>&1 || {
		cat "$scratch/gateway.out"
		return 1
	}
	same 'what the processes said' 'input 0 typed first
terminal 0 12 34
signal 0
first 7' "$(sed 's/ *$//' "$scratch/gateway.out")"
	await 5 no_executor_directories || fail 'left:' "$(executor_directories)"
}
