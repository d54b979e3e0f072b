/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts behind the codes of base/err.h. Pure data. A code is given once and never reused;
 * tests/unit/diag_test.c checks that every code has an entry, and the manual page
 * runbuild-errors(7) is generated from here.
 */
#include "base/num.h"
#include "diag/catalogue.h"

static const struct catalogue_entry entries[] = {
	{RB_USAGE, "wrong usage", "An option or argument is unknown, missing or malformed.",
	 "Run the verb with --help."},
	{RB_UNKNOWN_COMMAND, "unknown verb", "The first word is not a verb of runbuild.",
	 "'runbuild --help' lists the verbs."},
	{RB_BAD_ID, "invalid container id",
	 "An id may hold 1 to 255 letters, digits, '_', '+', '.' and '-', and may not be '.' or "
	 "'..', because it names a directory.",
	 "Use another id."},
	{RB_BAD_SIGNAL, "unknown signal", "The signal is neither a number nor a name of signal(7).",
	 "Use for example KILL, SIGTERM or 9."},
	{RB_LOG_FILE, "log file", "The file of --log cannot be opened for appending.",
	 "Name a file in an existing, writable directory."},
	{RB_PID_FILE, "pid file", "The file of --pid-file cannot be written.",
	 "Name a file in an existing, writable directory."},
	{RB_INTERNAL, "internal error", "runbuild found itself in a state it should not be in.",
	 "Please report it with the whole message."},
	{RB_NO_MEMORY, "out of memory", "The process could not get memory.",
	 "Raise the memory limit around it."},
	{RB_UNSUPPORTED, "unsupported element",
	 "The configuration asks for something this version does not implement. It is refused "
	 "instead of ignored, because it might be there for protection.",
	 "Remove the element that the message names."},
	{RB_BUNDLE, "bundle", "The bundle directory cannot be opened.",
	 "--bundle names a directory with a config.json."},
	{RB_CONFIG_FILE, "configuration file",
	 "config.json (or process.json) is missing, unreadable, too large or not a regular file.",
	 "'runbuild spec' writes one to begin with."},
	{RB_CONFIG_SYNTAX, "not valid JSON", "The file is cut off or not JSON.",
	 "Check it with a JSON validator; the message names line and column."},
	{RB_CONFIG_LIMIT, "limit exceeded",
	 "A size, count or nesting depth is beyond what is accepted.",
	 "Make the element that the message names smaller."},
	{RB_CONFIG_DUPLICATE, "duplicate member",
	 "An object has two members of the same name. Programs disagree on which one counts, so "
	 "neither is taken.",
	 "Keep one of them."},
	{RB_CONFIG_TYPE, "wrong type",
	 "An element has another JSON type than the specification says.",
	 "Compare the element that the message names with the runtime specification."},
	{RB_CONFIG_VALUE, "wrong value", "An element has a value that is not allowed.",
	 "Compare the element that the message names with the runtime specification."},
	{RB_CONFIG_UNKNOWN, "unknown name",
	 "A name (of a namespace, limit, action, architecture or device type) is not known. It is "
	 "refused instead of ignored.",
	 "Check the spelling; 'runbuild features' lists what is known."},
	{RB_CONFIG_MISSING, "missing member", "A member that must be there is not.",
	 "Add the member that the message names."},
	{RB_CONFIG_ID, "invalid id",
	 "A user or group id is 4294967295 (which the kernel takes as \"no change\"), or an id map "
	 "is empty, wraps around or overlaps itself.",
	 "Use ids from 0 to 4294967294 and maps that do not overlap."},
	{RB_CONFIG_CONFLICT, "contradiction",
	 "Two elements of the configuration exclude each other.",
	 "Change the one that the message names."},
	{RB_CONFIG_VERSION, "unknown version",
	 "ociVersion has a major version that this program does not know.",
	 "Versions 1.x are understood."},
	{RB_USERNS_DENIED, "user namespaces refused",
	 "The kernel, a sysctl or a security module does not let this user make user namespaces.",
	 "The message names the cause as far as it can be seen; see also AppArmor's "
	 "kernel.apparmor_restrict_unprivileged_userns."},
	{RB_USERNS_LIMIT, "namespace limit",
	 "user.max_user_namespaces (or another user.max_*_namespaces) is 0 or used up, here or in "
	 "an outer user namespace.",
	 "sudo sysctl -w user.max_user_namespaces=28633"},
	{RB_NOT_ROOT, "no privilege for namespaces",
	 "An ordinary user needs a user namespace to make the others, and the configuration has "
	 "none.",
	 "Run under 'runbuild rootless --', or use a configuration of 'runbuild spec --rootless'."},
	{RB_SUBID_NONE, "no subordinate ids", "/etc/subuid or /etc/subgid gives this user no ids.",
	 "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, with a range "
	 "that nobody else has."},
	{RB_SUBID_LINE, "malformed subordinate id line",
	 "A line for this user in /etc/subuid or /etc/subgid is not name:start:count.",
	 "Correct the line that the message names."},
	{RB_SUBID_ROOT, "subordinate id 0",
	 "A line hands out id 0 of the host, which would make the user root.",
	 "Change the range to one that begins at 100000 or above."},
	{RB_IDMAP_HELPER_MISSING, "newuidmap is missing",
	 "The programs newuidmap and newgidmap are not installed.",
	 "sudo apt install uidmap (Fedora: sudo dnf install shadow-utils)"},
	{RB_IDMAP_HELPER_PRIVILEGE, "newuidmap has no privilege",
	 "newuidmap is neither setuid root nor has file capabilities, or it is on a file system "
	 "mounted nosuid.",
	 "sudo chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap"},
	{RB_IDMAP_HELPER_FAILED, "newuidmap failed",
	 "newuidmap or newgidmap refused the ranges. It accepts only what /etc/subuid and "
	 "/etc/subgid give to the user, and refuses a symbolic link in their place.",
	 "Compare the ranges with the two files."},
	{RB_IDMAP_WRITE, "id map refused", "The kernel did not accept the id map.",
	 "Each range must lie inside one line of the outer map; see user_namespaces(7)."},
	{RB_IDMAP_UNMAPPED, "id not mapped",
	 "The configuration uses an id that does not exist in the user namespace.",
	 "Map it, or give the user more subordinate ids."},
	{RB_NO_NEW_PRIVS, "no_new_privs",
	 "no_new_privs is set around this process, so setuid programs such as newuidmap get no "
	 "privilege.",
	 "Kubernetes: allowPrivilegeEscalation: true; systemd: NoNewPrivileges=no"},
	{RB_IDMAP_LIMIT, "id map too large", "The kernel takes 340 ranges and 4095 bytes.",
	 "Use fewer, larger ranges."},
	{RB_SUBID_SYMLINK, "subordinate id file is a link",
	 "newuidmap refuses /etc/subuid or /etc/subgid when it is a symbolic link.",
	 "Make it a regular file."},
	{RB_USERNS_CHROOT, "in a chroot", "User namespaces cannot be created in a chroot.",
	 "Run outside of it, or enter the tree with pivot_root."},
	{RB_USERNS_SECCOMP, "seccomp around us",
	 "The seccomp profile of the surrounding container blocks user namespaces, or mounts in them.",
	 "docker: --security-opt seccomp=unconfined; Kubernetes: seccompProfile Unconfined"},
	{RB_IDMAP_SETUID_BOUND, "CAP_SETUID not available",
	 "CAP_SETUID or CAP_SETGID is not in the bounding set of the surrounding container.",
	 "Add the capabilities SETUID and SETGID to it."},
	{RB_NO_PASSWD, "user without a passwd entry",
	 "newuidmap and newgidmap look their caller up by number and refuse one that has no name, "
	 "such as the random uid of a pod.",
	 "Add an entry for the uid to /etc/passwd of the image."},
	{RB_SUBID_FEW, "few subordinate ids",
	 "Less than 65536 ids are mapped. Images have files of ids up to 65534, and a change of "
	 "owner to an id that is not mapped fails.",
	 "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, with a range "
	 "that nobody else has."},
	{RB_SUBID_SHARED, "subordinate ids of two users",
	 "Two users have the same subordinate ids: each can read and change what steps of the other "
	 "wrote.",
	 "Give each user its own range in /etc/subuid and /etc/subgid."},
	{RB_SUBID_OWN, "own id among the subordinate ones",
	 "A range in /etc/subuid or /etc/subgid contains the user's own id. It is mapped already, so "
	 "it is left out here, but other programs fail with \"Invalid argument\".",
	 "Change the range to one that begins at 100000 or above."},
	{RB_SUBID_OVERLAP, "overlapping subordinate ids",
	 "Two lines of one user in /etc/subuid or /etc/subgid overlap. Both are used, as one range; "
	 "other programs fail with \"Invalid argument\".",
	 "Make the two lines one."},
	{RB_USERNS_APPARMOR, "AppArmor",
	 "AppArmor refuses user namespaces to programs without a profile, or lets them be made and "
	 "takes all capabilities away inside (Ubuntu since 23.10); or the profile of the surrounding "
	 "container forbids mounts.",
	 "Load a profile with the rule 'userns,' for the path of runbuild: the message has the commands, "
	 "the package brings one. docker: --security-opt apparmor=unconfined"},
	{RB_RUNTIME_DIR, "runtime directory",
	 "XDG_RUNTIME_DIR is not set, or is no directory of the user with mode 0700. Daemons then "
	 "look for places that only root may write to.",
	 "sudo loginctl enable-linger USER, then log in again."},
	{RB_LOGIN, "login variables",
	 "USER or HOME is missing or wrong. A daemon then takes its settings for root.",
	 "Start it by 'runbuild rootless', which sets them, or export them."},
	{RB_RESOLVER, "resolver",
	 "/etc/resolv.conf cannot be read, or all its name servers are on the loopback interface, "
	 "where a step with a network of its own does not reach them.",
	 "Give steps a network by --net=slirp4netns: its resolver asks the host's."},
	{RB_PROXY, "proxy on loopback",
	 "A proxy variable names the loopback interface. A step with a network of its own has "
	 "another one, so what it fetches hangs or is refused.",
	 "Name a proxy on another machine, or one on an address of the host with "
	 "--allow-host-addresses. For --step-net only the former does."},
	{RB_TRIAL_TIME, "trial took too long",
	 "A trial of 'runbuild doctor' did not end in time: a helper program or a file system hangs.",
	 "Look for processes in state D, and run the named program by hand."},
	{RB_KERNEL, "kernel too old", "The kernel lacks a system call or flag that is needed.",
	 "Linux 5.12 or newer is needed; or a seccomp profile around this process hides the call."},
	{RB_NAMESPACE, "namespace", "A namespace could not be made, joined or set up.",
	 "Check the caller's privilege and the limits user.max_*_namespaces."},
	{RB_ROOTFS, "root file system", "The container's root cannot be used.",
	 "root.path must be a directory that the container's root user can reach."},
	{RB_MOUNT, "mount", "A mount of the configuration failed.",
	 "Check type, source and options of the mount that the message names."},
	{RB_MOUNT_SOURCE, "mount source", "The source of a bind mount cannot be opened.",
	 "Create it, or make it accessible."},
	{RB_MOUNT_TARGET, "mount destination",
	 "The place to mount on cannot be made inside the root, or leads through a symbolic link "
	 "where a plain directory is demanded.",
	 "Correct the image or the destination."},
	{RB_PROC_REFUSED, "proc refused",
	 "Parts of the surrounding /proc are hidden, and the kernel then refuses a new proc mount.",
	 "docker: --security-opt systempaths=unconfined; Kubernetes: procMount: Unmasked with "
	 "hostUsers: false"},
	{RB_DEVICE, "device node", "A device node cannot be made or bound.",
	 "A rootless container can only bind nodes that exist on the host."},
	{RB_CREDENTIALS, "credentials", "The user, groups or capabilities could not be set.",
	 "Check process.user and process.capabilities against the id maps."},
	{RB_SECCOMP, "seccomp filter", "The filter could not be compiled or installed.",
	 "The message names the rule."},
	{RB_SYSCTL, "sysctl", "A value below /proc could not be written.",
	 "The sysctl must belong to a namespace of the container."},
	{RB_RLIMIT, "resource limit", "A resource limit could not be set.",
	 "Hard limits can be raised only with CAP_SYS_RESOURCE on the host."},
	{RB_TERMINAL, "terminal", "The container's terminal could not be made.",
	 "A terminal needs a mount of type devpts on /dev/pts."},
	{RB_HOOK, "hook", "A hook failed or ran out of time.", "See its output above the message."},
	{RB_CGROUP, "cgroup", "The cgroup could not be made or joined.",
	 "Have it delegated (systemd: Delegate=yes), or leave cgroupsPath out."},
	{RB_SETUP_KILLED, "killed during set-up",
	 "The container's process was killed before its program started.",
	 "Was it cancelled, or did memory run out?"},
	{RB_SETUP_STEP, "set-up", "A step of the set-up failed in the runtime itself.",
	 "Free what the message says is short (memory, descriptors, processes) and run it again."},
	{RB_LSM, "security module",
	 "The configuration asks for AppArmor or SELinux, which is not active here, or does not know "
	 "the profile or label.",
	 "Load the profile, or remove it or the label from the configuration."},
	{RB_CGROUP_CONTROLLER, "no such cgroup controller",
	 "A limit needs a controller that this host does not have, or has only on the other version "
	 "of cgroups.",
	 "Remove the limit, or enable the controller."},
	{RB_SYSTEMD, "systemd", "systemd did not make, change or end the container's scope unit.",
	 "Is the (user) bus there? --cgroup-manager=cgroupfs does without."},
	{RB_NETDEV, "network device", "A network device could not be moved into the container.",
	 "It must exist, and moving it needs CAP_NET_ADMIN on the host."},
	{RB_SCHEDULING, "scheduling",
	 "A scheduler, priority, affinity or memory policy was refused.",
	 "Real-time policies need CAP_SYS_NICE on the host; CPUs and nodes must exist."},
	{RB_RDT, "resource control", "The host has no resource control file system (resctrl).",
	 "Remove linux.intelRdt, or mount it: mount -t resctrl resctrl /sys/fs/resctrl"},
	{RB_CRIU, "criu", "criu is missing, does not start here, or could not do its work.",
	 "Install criu, as new as the kernel; dump.log or restore.log in the work directory says "
	 "more."},
	{RB_LANDLOCK, "landlock",
	 "The step asks for security.landlock, which this kernel lacks, has switched off (lsm=), or which "
	 "a seccomp profile around this process hides.",
	 "Boot with landlock among the modules of lsm=, or remove security.landlock."},
	{RB_LANDLOCK_PATH, "path of landlock",
	 "A path of security.landlock cannot be opened in the step's root.",
	 "Create it, or remove it from the list."},
	{RB_EXEC_NOT_FOUND, "program not found",
	 "The program, or the interpreter of a script, does not exist in the container.",
	 "Check the command and PATH."},
	{RB_EXEC_PERMISSION, "program not executable",
	 "The program may not be executed by the container's user.",
	 "chmod +x, and no noexec on its mount."},
	{RB_EXEC_FORMAT, "exec format error",
	 "The program is for another architecture, or a script without '#!'.",
	 "Use an image of the host's architecture, or install qemu-user-static."},
	{RB_EXEC_FAILED, "execve failed", "The kernel refused to start the program.",
	 "Check the program that the message names."},
	{RB_CWD, "working directory", "process.cwd cannot be entered.",
	 "It must be a directory inside the root that the user may enter."},
	{RB_EXEC_SIGNAL, "ended by a signal",
	 "A signal ended the command of a launcher under the name rootlesskit, whose exit status, 255, "
	 "does not tell which.",
	 "If nobody sent it: see what the command said before, and the kernel's log (dmesg) for memory "
	 "that ran out."},
	{RB_STATE_ROOT, "state directory",
	 "The directory for state cannot be made or opened, belongs to another user, or is "
	 "writable by others.",
	 "Set XDG_RUNTIME_DIR or --root to a directory of yours with mode 0700."},
	{RB_STATE_MISSING, "no such container", "There is no container of this id.",
	 "Was it made with another --root or XDG_RUNTIME_DIR?"},
	{RB_STATE_EXISTS, "container exists", "The id is in use.",
	 "Use another id, or 'runbuild delete --force ID'."},
	{RB_STATE_DAMAGED, "damaged state", "The record of a container is cut or garbled.",
	 "runbuild delete --force ID"},
	{RB_STATE_WRITE, "state not written",
	 "The record of a container cannot be written or removed.",
	 "Free some space in the state directory."},
	{RB_NOT_RUNNING, "not running", "The container has ended.", "Nothing is left to signal."},
	{RB_STILL_RUNNING, "still running", "The container has not ended.",
	 "Kill it first, or use 'delete --force'."},
	{RB_STATE_WRONG, "wrong state", "The container is not in the state the verb needs.",
	 "'runbuild state ID' shows it."},
	{RB_CONSOLE_SOCKET, "console socket",
	 "The terminal could not be sent to the console socket.",
	 "It must be a unix stream socket that somebody listens on."},
	{RB_SLIRP_MISSING, "slirp4netns is missing", "The program slirp4netns is not installed.",
	 "sudo apt install slirp4netns, or use --net=host"},
	{RB_SLIRP_FAILED, "slirp4netns failed", "slirp4netns ended instead of becoming ready.",
	 "The message has its last words."},
	{RB_TUN, "/dev/net/tun", "The tun device is missing or may not be opened.",
	 "sudo modprobe tun; sudo chmod 666 /dev/net/tun; docker run --device /dev/net/tun"},
	{RB_COPY_UP, "copy-up", "A directory could not be made writable for the daemon.",
	 "--copy-up takes an absolute path of an existing directory."},
	{RB_RESOLV_CONF, "resolv.conf", "A private resolv.conf could not be put in place.",
	 "Use --copy-up=/etc."},
	{RB_STATE_DIR, "launcher's state directory",
	 "The directory of --state-dir cannot be used, or another launcher uses it.",
	 "Name another directory."},
	{RB_NETLINK, "network configuration",
	 "The kernel refused an address, route or interface of the launcher's network; the message "
	 "has its own words.",
	 "Check --cidr, --mtu and --ifname."},
	{RB_PORT, "published port", "A port of the host cannot be published.",
	 "The message says why: it is in use, privileged, or the network has no way to do it."},
	{RB_PASTA_MISSING, "pasta is missing", "The program pasta is not installed.",
	 "sudo apt install passt, or use --net=slirp4netns"},
	{RB_PASTA_FAILED, "pasta failed", "pasta ended instead of making the network.",
	 "The message has its last words; --net=slirp4netns does the same."},
	{RB_NETLINK_PROGRAM, "runbuild-netlink is missing",
	 "The program that configures the launcher's network is not where it was installed, or does "
	 "not start.",
	 "Install runbuild as a whole: make install, or its package."},
	{RB_LAUNCHER_NONE, "no running launcher",
	 "'enter' found no launcher that runs, or several of them.",
	 "Start 'runbuild rootless', or name its directory with --state-dir."},
	{RB_DAEMON, "daemon did not start", "buildkitd ended, or did not get ready.",
	 "Its last lines stand above the message."},
	{RB_STEP_NET, "network of a step",
	 "The step's own network (rootless --step-net, step --net, \"net\" of a worker's step) could "
	 "not be made or closed towards the host, or its slirp4netns has ended while the step ran.",
	 "The message says which; the mode host gives the step the network of its daemon or caller, "
	 "and with it the host's loopback."},
	{RB_NET_FILTER, "filter of the tap",
	 "The filter that keeps raw frames from this host could not be put on the tap of slirp4netns or "
	 "pasta.",
	 "The message says what refused it; a network without slirp4netns (--net=none, "
	 "--step-net=none) needs no filter."},
	{RB_NET_OVERLAP, "overlapping networks",
	 "The launcher's network has addresses that this host reaches through a route of its own: what "
	 "is there, a company network perhaps, is out of the command's reach. Where --cidr was not "
	 "given the launcher takes another network by itself, and says which.",
	 "Use addresses that nobody has: --cidr, for example 172.30.2.0/24."},
	{RB_SNAP_LAYER, "snapshot layer",
	 "A directory of a snapshot is missing, is not a directory, may not be searched by the root "
	 "of the user namespace, or there are more than 500 of them.",
	 "The message names the directory."},
	{RB_SNAP_UPPER, "upper directory",
	 "Upper and work directory do not fit together: different file systems, one inside the "
	 "other, the upper one also among the lower ones, or left over from a \"volatile\" mount that "
	 "did not end cleanly.",
	 "Make a fresh pair side by side on one file system."},
	{RB_SNAP_LOCKED, "snapshot in use",
	 "Another snapshot has this upper or work directory mounted. The kernel would accept a second "
	 "mount and the files of both would be undefined.",
	 "Wait for the other step, or give each step its own directories."},
	{RB_SNAP_DRIVER, "no snapshot driver",
	 "Neither the kernel's overlay nor fuse-overlayfs passed the trial on this file system.",
	 "The message says what was wrong with each; runbuild-snapshot(7) lists what they need."},
	{RB_SNAP_MOUNT, "overlay mount", "The kernel refused the overlay.",
	 "Use another file system for the upper directory, or the driver fuse."},
	{RB_SNAP_FUSE, "fuse is not available",
	 "/dev/fuse or the program fuse-overlayfs is missing or may not be used.",
	 "Install fuse-overlayfs and make /dev/fuse accessible to the user."},
	{RB_SNAP_DAEMON, "snapshot daemon died",
	 "fuse-overlayfs ended, was killed or did not answer. The files of the step are served by it, "
	 "so the step was ended.",
	 "Run the step again; names of more than 251 bytes in a layer are a known cause."},
	{RB_SNAP_MIXED, "upper directory of another driver",
	 "fuse-overlayfs wrote marks into the upper directory that the kernel's overlay does not know.",
	 "Use the driver fuse for it."},
	{RB_SNAP_OPTION, "overlay option",
	 "A mount of type overlay has an option that is not supported.", "Leave it out."},
	{RB_STEP_MEMBER, "unknown member",
	 "A step description has a member that this version does not know. It is refused instead of "
	 "ignored, because it might be there for protection.",
	 "Remove it, or give it a name that begins with x-."},
	{RB_STEP_FDS, "descriptors",
	 "A message names a descriptor that was not sent with it, names one twice, or one is of the "
	 "wrong kind.",
	 "Send the descriptors with the first byte of the message and count them in \"fds\"."},
	{RB_STEP_USER, "user not found", "The image's /etc/passwd or /etc/group has no such name.",
	 "Use a number, or a name of the image."},
	{RB_STEP_CANCELLED, "cancelled", "The step was ended before its program was started.",
	 "Nothing: somebody asked for it."},
	{RB_WORKER_LISTEN, "socket of the worker",
	 "The worker cannot listen or accept on its socket.",
	 "Name a path in a directory of yours with mode 0700."},
	{RB_WORKER_CONNECT, "no worker", "Nobody listens on the worker's socket.",
	 "Start 'runbuild worker --listen PATH' first."},
	{RB_RECORD, "record", "The record of a step cannot be read or written.",
	 "'runbuild records ls' lists the records there are."},
};

const struct catalogue_entry *catalogue_find(int code)
{
	for (size_t i = 0; i < ARRAY_LEN(entries); i++)
		if ((int)entries[i].code == code)
			return &entries[i];
	return NULL;
}

int catalogue_print(const char *code, struct strbuf *out)
{
	const struct catalogue_entry *entry;
	uint64_t number;

	/* as err_line() prints it: always four digits */
	if (!str_starts(code, "RB") || strlen(code) != 6 ||
	    num_parse_u64(code + 2, 4, 9999, &number) < 0)
		return -EINVAL;
	entry = catalogue_find((int)number);
	if (!entry)
		return -EINVAL;
	strbuf_printf(out, "RB%04d: %s\n\n  why: %s\n  fix: %s\n", (int)number, entry->title,
		      entry->cause, entry->fix);
	return 0;
}

void catalogue_each(void (*visit)(const struct catalogue_entry *entry, void *context),
		    void *context)
{
	for (size_t i = 0; i < ARRAY_LEN(entries); i++)
		visit(&entries[i], context);
}
