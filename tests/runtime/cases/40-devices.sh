# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # variables of the suite; single quotes hold the container's scripts
#
# Devices, links of /dev, sysctls.

test_default_devices_are_there_and_work() {
	in_container devices 'for d in null zero full tty random urandom; do stat -c "%F %t:%T %a" /dev/$d; done;
		head -c 4 /dev/urandom | wc -c; head -c 2 /dev/zero | wc -c; echo x >/dev/null; echo x >/dev/full' \
		'' >/dev/null 2>&1 || true
	same 'stdout' 'character special file 1:3 666
character special file 1:5 666
character special file 1:7 666
character special file 5:0 666
character special file 1:8 666
character special file 1:9 666
4
2' "$(<"$bundle/out")"
	contains "$bundle/err" 'No space left on device'
}

test_dev_has_the_usual_links() {
	in_container devlinks 'for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; ls /dev | tr "\n" " "' \
		'/proc/self/fd
/proc/self/fd/0
/proc/self/fd/1
/proc/self/fd/2
pts/ptmx
fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero '
}

test_configured_devices_are_made() {
	new_bundle moredevices
	edit_config '.linux.devices = [{path: "/dev/mine", type: "c", major: 1, minor: 5, fileMode: 438, uid: 1000, gid: 33},
		{path: "/dev/deep/fifo", type: "p", fileMode: 384, uid: 1000, gid: 1000}]'
	if [[ $mode == root ]]; then
		set_script 'stat -c "%F %t:%T %a %u:%g" /dev/mine; stat -c "%F %a %u:%g" /dev/deep/fifo; head -c 3 /dev/mine | wc -c'
		run_container moredevices
		output_is 'character special file 1:5 666 1000:33
fifo 600 1000:1000
3'
	else
		# in a user namespace a node is the host's of the same name, so it must be there
		edit_config '.linux.devices[0].path = "/dev/zero"'
		set_script 'stat -c "%F %t:%T" /dev/zero; stat -c "%F %a %u:%g" /dev/deep/fifo'
		run_container moredevices
		output_is 'character special file 1:5
fifo 600 1000:1000'
	fi
}

test_configured_ptmx_is_the_containers_own() {
	new_bundle ptmx
	edit_config '.linux.devices = [{path: "/dev/ptmx", type: "c", major: 5, minor: 2}]'
	set_script 'ls -lLn /dev/ptmx | cut -c1-10; readlink /dev/ptmx'
	run_container ptmx
	output_is 'crw-rw-rw-
pts/ptmx'
}

test_missing_device_of_the_host_names_the_element() {
	need_mode user userns
	new_bundle nodevice
	edit_config '.linux.devices = [{path: "/dev/no-such-device", type: "c", major: 10, minor: 1}]'
	refused_at /linux/devices/0 /dev/no-such-device
}

test_device_with_another_number_is_refused() {
	need_mode user userns
	new_bundle falsedevice
	edit_config '.linux.devices = [{path: "/dev/null", type: "c", major: 1, minor: 5}]'
	refused_at /linux/devices/0 /dev/null
}

test_image_links_in_dev_do_not_lead_out() {
	new_bundle devlink
	edit_config '.mounts |= map(select(.destination | startswith("/dev") | not))'
	mkdir -p "$scratch/outside"
	rm -rf -- "$bundle/rootfs/dev"
	ln -s "$scratch/outside" "$bundle/rootfs/dev"
	set_script 'stat -L -c %t:%T /dev/null'
	run_container devlink
	same 'the folder outside' '' "$(ls -A "$scratch/outside")"
	output_is 1:3
}

test_sysctls_are_set_in_the_containers_namespaces() {
	new_bundle sysctl
	edit_config '.linux.namespaces |= (map(select(.type != "network")) + [{type: "network"}])
		| .linux.sysctl = {"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1", "net/ipv4/ping_group_range": "0 0"}'
	set_script 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ping_group_range'
	run_container sysctl
	output_is $'1\n1\n0\t0'
}

test_sysctl_of_the_host_is_refused() {
	new_bundle hostsysctl
	edit_config '.linux.sysctl = {"kernel.panic": "1"}'
	refused_at /linux/sysctl/kernel.panic kernel.panic
	edit_config '.linux.sysctl = {"net.ipv4.ip_forward": "1"} | .linux.namespaces |= map(select(.type != "network"))'
	refused_at /linux/sysctl/net.ipv4.ip_forward net.ipv4.ip_forward
}

test_sysctl_that_does_not_exist_names_the_element() {
	new_bundle nosysctl
	edit_config '.linux.namespaces |= (map(select(.type != "network")) + [{type: "network"}])
		| .linux.sysctl = {"net.no.such": "1"}'
	refused_at /linux/sysctl/net.no.such
}
