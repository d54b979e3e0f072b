# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # set by the suite

# A step whose whole user namespace was killed leaves an empty directory: the
# next one removes it.
test_nothing_is_left() {
	in_base -- true
	ran_well
	same 'private directories' '' "$(find "$XDG_RUNTIME_DIR" -name '@run-*')"
	same 'temporary files' '' "$(find "$TMPDIR" -mindepth 1)"
}
