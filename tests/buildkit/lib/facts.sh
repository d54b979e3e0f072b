#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs inside a build step under busybox: writes what it finds to /out, one
# file per fact. It never fails by itself; the tests judge.

put() {
	cat >"/out/$1"
}

# Prints the kernel's words for the error that "$@" meets, or "ok".
reason() {
	text=$(sh -c "$1" 2>&1 >/dev/null) && echo ok || echo "${text##*: }"
}

id | put id
umask | put umask
hostname | put hostname
put hosts </etc/hosts
reason 'echo x >>/etc/hosts' | put hosts-write
grep '^Cap' /proc/self/status | tr '\t' ' ' | put caps
grep '^Seccomp:' /proc/self/status | tr '\t' ' ' | put seccomp
grep '^NoNewPrivs' /proc/self/status | tr '\t' ' ' | put no-new-privs
(cd /proc && echo [0-9]*) | put pids
for kind in ipc mnt net pid user uts; do
	echo "$kind $(readlink "/proc/self/ns/$kind")"
done | put namespaces

if [ -x /bin/probe ]; then
	probe unknown-call | put unknown-call
	probe denied-call | put denied-call
	probe terminal | put terminal
fi

stat -c '%n %F %t:%T %a' /dev/full /dev/null /dev/random /dev/tty /dev/urandom /dev/zero | put devices
reason 'echo x >/dev/null' | put null-write
head -c 4 /dev/zero | od -An -tx1 | tr -d ' \n' | put zero-read
reason 'echo x >/dev/full' | put full-write
head -c 16 /dev/urandom | wc -c | put random-bytes
for name in fd stderr stdin stdout; do
	echo "$name -> $(readlink "/dev/$name")"
done | put dev-links
echo 'through /dev/fd' | cat /dev/fd/0 | put dev-fd
(cd /dev && printf '%s\n' *) | put dev-names
{ readlink /dev/ptmx || stat -c '%F %t:%T' /dev/ptmx; } | put ptmx
{
	stat -f -c %T /dev/shm
	stat -c %a /dev/shm
	df -k /dev/shm | awk 'END { print $2 }'
	echo written >/dev/shm/x
	cat /dev/shm/x
} | tr '\n' ' ' | put shm

awk '{
	flags = ""
	n = split($6, option, ",")
	for (i = 1; i <= n; i++)
		if (option[i] ~ /^(nosuid|nodev|noexec|ro)$/)
			flags = flags (flags == "" ? "" : ",") option[i]
	for (i = 7; $i != "-"; i++)
		;
	print $5, flags == "" ? "-" : flags, $(i + 1)
}' /proc/self/mountinfo | sort | put mounts
awk '{ for (i = 7; $i != "-"; i++) print $5, $i }' /proc/self/mountinfo | put propagation

for path in /proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats \
	/proc/timer_list /proc/timer_stats /proc/sched_debug /proc/scsi \
	/sys/firmware /sys/devices/virtual/powercap; do
	if [ -d "$path" ]; then
		echo "$path $(find "$path" -mindepth 1 | wc -l)"
	elif [ -e "$path" ]; then
		echo "$path $(head -c 4096 "$path" | wc -c)"
	fi
done | put masked
reason 'echo x >/proc/sys/kernel/domainname' | put proc-sys-write
for path in /proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger; do
	if [ ! -e "$path" ]; then
		echo "$path ro"
	else
		echo "$path $(awk -v path="$path" '$5 == path { print substr($6, 1, 2) }' /proc/self/mountinfo)"
	fi
done | put proc-read-only
if mount -t tmpfs none /tmp 2>/dev/null; then echo mounted; else echo refused; fi | put mount-tmpfs
if mknod /tmp/null c 1 3 2>/dev/null && echo x >/tmp/null; then echo made; else echo refused; fi 2>/dev/null | put mknod-null
