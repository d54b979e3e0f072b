# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The part of the suite that runs as root, when it is started as root: it makes
# an ordinary user, lends it a private scratch directory and runs the suite as
# that user. Everything else in the suite runs without privilege.

create_user_if_absent() {
	local user=$1 uid=()

	getent passwd "$user" >/dev/null && return
	getent passwd 1001 >/dev/null || uid=(--uid 1001)
	useradd "${uid[@]}" --user-group --create-home --shell /bin/sh "$user"
	# useradd may have handed out ranges already (SUB_UID_COUNT in login.defs).
	grep -q "^$user:" /etc/subuid || usermod --add-subuids 100000-165535 "$user"
	grep -q "^$user:" /etc/subgid || usermod --add-subgids 100000-165535 "$user"
}

run_as() {
	local user=$1 group

	shift
	group=$(id -g "$user")
	setpriv --reuid="$(id -u "$user")" --regid="$group" --init-groups --inh-caps=-all "$@"
}

# lend USER DIR PATH: prints PATH, or a copy in DIR when USER cannot read it
# (a tool in root's cache folder, a checkout in root's home).
lend() {
	local user=$1 dir=$2 path=$3

	if run_as "$user" test -r "$path" 2>/dev/null; then
		printf '%s' "$path"
		return
	fi
	mkdir -p "$dir"
	cp -rL -- "$path" "$dir/"
	chmod -R a+rX "$dir"
	printf '%s' "$dir/${path##*/}"
}

# Runs "$@" as USER with a clean environment; a signal to us goes on as TERM,
# because a background child of a shell starts with SIGINT ignored.
run_suite_as_user() {
	local user=$1 scratch=$2 child status

	shift 2
	run_as "$user" env -i HOME="$scratch/home" USER="$user" LOGNAME="$user" SHELL=/bin/sh \
		LC_ALL=C.UTF-8 PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
		"$@" &
	child=$!
	trap 'kill -TERM "$child" 2>/dev/null || true' INT TERM HUP
	while :; do
		wait "$child" && status=0 || status=$?
		kill -0 "$child" 2>/dev/null || break
	done
	return "$status"
}
