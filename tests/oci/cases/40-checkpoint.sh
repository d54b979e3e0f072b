# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of the suite
#
# checkpoint and restore where they cannot work: the reason in criu's words, nothing changed and
# nothing left. Where they work, they are tested by the suite vm.

# criu_fails NAME ARGUMENT…: the runtime fails with the code of criu; its words are in $bundle/err.
criu_fails() {
	local status=0

	(cd "$bundle" && runtime "$@") >"$bundle/out" 2>"$bundle/err" || status=$?
	same 'status' 1 "$status"
	contains "$bundle/err" RB0323
}

test_checkpoint_without_a_working_criu_changes_nothing() {
	need_root
	grouped criu
	up criu
	criu_fails --criu /nonexistent/criu checkpoint criu
	contains "$bundle/err" "cannot run '/nonexistent/criu': No such file"
	criu_fails --criu /bin/false checkpoint criu
	contains "$bundle/err" 'criu ended without an answer'
	same 'status' running "$(status_of criu)"
	down criu
}

test_checkpoint_quotes_the_criu_that_does_not_start_here() {
	need_root
	type -P criu >/dev/null || skip 'criu is not installed'
	! criu check >/dev/null 2>&1 || skip 'criu starts here'
	grouped quoted
	up quoted
	criu_fails checkpoint quoted
	contains "$bundle/err" 'criu failed: Error (criu/'
	same 'status' running "$(status_of quoted)"
	down quoted
}

test_checkpoint_options_that_make_no_sense_are_refused() {
	local server

	need_root
	grouped criu
	up criu
	for server in 127.0.0.1 :80 127.0.0.1:0 127.0.0.1:65536 127.0.0.1:x fe80::1:80 '[]:80'; do
		capture runtime --criu /bin/false checkpoint --image-path "$bundle/images" --page-server "$server" criu
		refused 1 'Use --page-server ADDRESS:PORT to specify page server' || fail "$server"
	done
	# what is well formed goes as far as criu
	for server in 127.0.0.1:80 '[::1]:80' name:65535; do
		criu_fails --criu /bin/false checkpoint --image-path images --page-server "$server" criu
	done
	capture runtime --criu /bin/false checkpoint --image-path "$bundle/images" --status-fd 99 criu
	refused 1 'invalid --status-fd argument 99: not an open descriptor'
	capture runtime --criu /bin/false checkpoint --image-path "$bundle/images" --status-fd 9 criu 9</dev/null
	refused 1 'invalid --status-fd argument 9: not writable'
	same 'status' running "$(status_of criu)"
	down criu
}

test_restore_without_a_working_criu_leaves_nothing() {
	need_root
	grouped criu
	mkdir -p "$bundle/checkpoint"
	printf '["/dev/null","/dev/null","/dev/null"]' >"$bundle/checkpoint/descriptors.json"
	criu_fails --criu /bin/false restore --detach criu
	criu_fails restore --image-path nowhere criu
	contains "$bundle/err" "cannot open 'nowhere'"
	rm -- "$bundle/checkpoint/descriptors.json"
	criu_fails --criu /bin/false restore criu
	contains "$bundle/err" descriptors.json
	same 'containers' '' "$(runtime list -q)"
	same 'groups that are left' '' "$(find /sys/fs/cgroup -type d -path "*$suite_id/*")"
}

test_checkpoint_of_an_ordinary_user_is_refused() {
	[[ $caller != root ]] || skip 'needs an ordinary user'
	new_bundle criu
	edit_config '.process.args = ["/bin/sleep", "1000"]'
	up criu
	criu_fails --criu /bin/false checkpoint criu
	contains "$bundle/err" 'criu needs root of the host'
	runtime delete --force criu
}
