# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # scratch, user, as: set by the suite
#
# A machine of its own for a client and all it starts: mount, pid, network, ipc,
# uts and cgroup namespaces, with /run, /tmp and /var/tmp on a tmpfs, so that
# daemons with fixed paths write nowhere else and everything ends with pid 1.
#
# Its cgroups are one new directory in each hierarchy of the real machine, which
# the cgroup namespace turns into the root (cgroup_namespaces(7)). As root the
# hierarchies look like the machine's own, whether v1, v2 or both. An ordinary
# user gets a pure cgroup v2 that belongs to it, as systemd would delegate it:
# v1 hierarchies cannot be delegated safely.

# hierarchies: a line "VERSION MOUNTPOINT OPTIONS" for each of the machine's.
hierarchies() {
	# mountinfo: see proc_pid_mountinfo(5); the fields after "-" are type, source, options
	awk '{ for (i = 7; $i != "-"; i++) ; type = $(i + 1); options = $(i + 3) }
		type == "cgroup2" { print "v2", $5, "-" }
		type == "cgroup" { sub(/^rw,?/, "", options); print "v1", $5, options }' /proc/self/mountinfo
}

# own_cgroup VERSION MOUNTPOINT OPTIONS: the directory below which ours is made.
own_cgroup() {
	local path=

	# On v2 a cgroup with processes has no controllers to hand on, but the root has.
	[[ $1 == v2 ]] || path=$(awk -F: -v c="${3#xattr,}" '$2 == c { print $3; exit }' /proc/self/cgroup)
	[[ -n $path && -d $2$path ]] || path=
	printf '%s' "$2${path%/}"
}

# make_cgroups: a directory in each hierarchy, listed in $scratch/cgroups.
make_cgroups() {
	local version mountpoint options group file

	while read -r version mountpoint options; do
		group=$(own_cgroup "$version" "$mountpoint" "$options")/${scratch##*/}
		mkdir "$group" 2>/dev/null || continue
		printf '%s %s %s %s\n' "$version" "$mountpoint" "$options" "$group" >>"$scratch/cgroups"
		# An empty cpuset takes no process: cpuset(7).
		for file in cpuset.cpus cpuset.mems; do
			[[ ! -f $group/$file || $version == v2 ]] || cat "${group%/*}/$file" >"$group/$file"
		done
	done < <(hierarchies)
	[[ -s $scratch/cgroups ]]
}

# join_cgroups NAME: this shell, in each of the directories, or in NAME below it.
join_cgroups() {
	local version group

	while read -r version _ _ group; do
		if [[ -z $1 ]]; then
			printf '%d' "$BASHPID" >"$group/cgroup.procs"
		elif [[ $version == v2 ]]; then
			mkdir "$group/$1"
			printf '%d' "$BASHPID" >"$group/$1/cgroup.procs"
		fi
	done <"$scratch/cgroups"
}

# remove_cgroups: exactly what make_cgroups made, with what was made in there.
remove_cgroups() {
	local group

	[[ -f $scratch/cgroups ]] || return 0
	while read -r _ _ _ group; do
		find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
	done <"$scratch/cgroups"
}

# run_in_machine COMMAND…: its status is ours. Everything in there dies with us.
run_in_machine() {
	local status

	export scratch
	export -f join_cgroups
	(
		join_cgroups ''
		# On v2 the root of the namespace must be free of processes before it can
		# hand on controllers: so what waits for the machine leaves it as well.
		# shellcheck disable=SC2016 # the inner shell's
		exec unshare --cgroup "$BASH" -euc 'join_cgroups init; exec "$@"' machine \
			unshare --mount --pid --net --ipc --uts --fork --kill-child \
			--propagation private --mount-proc "$@"
	) <&0 &
	machine=$!
	while :; do
		wait "$machine" && status=0 || status=$?
		kill -0 "$machine" 2>/dev/null || break
	done
	machine=
	return "$status"
}

# The rest runs inside, as pid 1 and root.

mount_cgroups_like_the_machine() {
	local version mountpoint options

	awk '$2 == "/sys/fs/cgroup" { found = 1 } END { exit !found }' "$scratch/cgroups" ||
		mount -t tmpfs -o mode=0755 cgroup /sys/fs/cgroup
	while read -r version mountpoint options _; do
		mkdir -p "$mountpoint"
		if [[ $version == v2 ]]; then
			mount -t cgroup2 cgroup2 "$mountpoint"
		else
			mount -t cgroup -o "$options" cgroup "$mountpoint"
		fi
	done <"$scratch/cgroups"
	[[ $(stat -fc %T /sys/fs/cgroup) != cgroup2fs ]] || enable_controllers
}

# mount_delegated_cgroup: v2 alone, the user's, with the caller's processes below.
mount_delegated_cgroup() {
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	enable_controllers
	mkdir /sys/fs/cgroup/user
	# The files that systemd hands over: systemd.exec(5), Delegate=; cgroups(7).
	chown "$user:" /sys/fs/cgroup{,/user}{,/cgroup.{procs,threads,subtree_control}}
}

enable_controllers() {
	local controller

	for controller in $(</sys/fs/cgroup/cgroup.controllers); do
		printf '+%s' "$controller" >/sys/fs/cgroup/cgroup.subtree_control
	done
}

# set_up_machine FROM TO: the mounts; the folder FROM is copied to TO, which is
# on the new tmpfs.
set_up_machine() {
	local from=$1 to=$2 keep

	keep=$(mktemp -d /dev/shm/clients.XXXXXX)
	mount -t tmpfs -o mode=0755 run "$keep"
	mkdir -p "$keep/${to#/run/}" "$keep/tmp" "$keep/var-tmp" "$keep/lock" "$keep/user"
	chmod 1777 "$keep/tmp" "$keep/var-tmp" "$keep/lock"
	cp -a -- "$from/." "$keep/${to#/run/}"
	mount --no-mtab --move "$keep" /run
	rmdir "$keep"
	mount --bind /run/tmp /tmp
	mount --bind /run/var-tmp /var/tmp
	mount -t sysfs sysfs /sys
	# podman expects it of a machine, and warns otherwise
	mount --make-rshared /
	scratch=$to
	if [[ $as == user ]]; then
		mount_delegated_cgroup
	else
		mount_cgroups_like_the_machine
	fi
	ip link set lo up
	hostname clients
}

# machine_cgroups: the cgroups of this machine that are not its own, one a line.
machine_cgroups() {
	local mountpoint

	while read -r mountpoint; do
		find "$mountpoint" -mindepth 1 -type d -printf '%P\n'
	done < <(awk '$(NF - 2) ~ /^cgroup2?$/ { print $5 }' /proc/self/mountinfo) |
		grep -vxE 'init|user' | sort -u
}

# machine_processes: all but this shell and those that wait for it. Starts none
# itself.
machine_processes() {
	local pid=$BASHPID own=' ' process

	while ((pid > 0)); do
		own+="$pid "
		pid=$(parent_of "$pid")
	done
	for process in /proc/[0-9]*; do
		[[ $own == *" ${process#/proc/} "* || ! -d $process ]] || printf '%s %s\n' "${process#/proc/}" \
			"$({ tr '\0' ' ' <"$process/cmdline"; } 2>/dev/null)"
	done
}

parent_of() {
	awk '$1 == "PPid:" { print $2 }' "/proc/$1/status"
}
