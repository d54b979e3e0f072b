/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The plan: everything that will be done to start one container, as a flat list of kernel
 * operations in one offset-addressed, versioned blob. The planner (pure) writes it, plan_check()
 * judges it, plan_print() shows it, exec/ and launch/ carry it out and add nothing.
 *
 * An op is one system call or one documented short sequence, named after it. Values that do not
 * exist at plan time (descriptors) are slots of a small table; strings are never patched. A
 * target inside the root file system is always a slot from an *_in_root op or a path that its op
 * resolves below SLOT_ROOT, never a host path: that is the line between the trusted plan and a
 * hostile image.
 */
#include "base/strbuf.h"
#include "host/host.h"
#include "spec/spec.h"

struct sock_filter;

#define PLAN_MAGIC   0x6e757262u /* "brun" */
#define PLAN_VERSION 1u

/* Descriptors that ops hand to each other. */
enum plan_slot {
	SLOT_NONE = -1,
	SLOT_ROOT,           /* the container's root, attached in the new mount namespace */
	SLOT_TREE,           /* scratch: a detached mount */
	SLOT_TARGET,         /* scratch: where it goes */
	SLOT_PROC,           /* a private procfs of the container's pid namespace, never attached */
	SLOT_NULL,           /* a verified /dev/null, for masks */
	SLOT_EMPTY,          /* an empty read-only tmpfs, for masks */
	SLOT_TTY,            /* the container's side of its terminal */
	SLOT_TTY_MASTER,     /* our side of it */
	SLOT_CWD,            /* the working directory when it could be entered early */
	SLOT_START,          /* the listening socket that `start` connects to */
	SLOT_STATE_CREATING, /* the container's state as early hooks read it */
	SLOT_STATE_CREATED,  /* and as startContainer hooks read it */
	SLOT_INIT,           /* exec: pidfd of the container's first process */
	SLOT_USER_NS,        /* namespaces to join by path, one slot each */
	SLOT_PID_NS,
	SLOT_NET_NS,
	SLOT_MOUNT_NS,
	SLOT_IPC_NS,
	SLOT_UTS_NS,
	SLOT_CGROUP_NS,
	SLOT_TIME_NS,
	SLOT_OUTER_MOUNTS, /* the runtime's mount namespace, which the container inherits */
	SLOT_COUNT,
};

/*
 * What an op does with its fields: kind, name in `explain`, fields and reference. The first
 * group runs in the child (exec/), the second in the parent (launch/).
 */
/* clang-format off */
#define PLAN_OPS(X) \
	X(OP_SYNC,            "sync")            /* stage: tell the parent, wait to be released: recvmsg(2) */ \
	/* namespaces */ \
	X(OP_SETNS,           "setns")           /* slot, arg[0] CLONE_NEW*: setns(2) */ \
	X(OP_UNSHARE,         "unshare")         /* arg[0] CLONE_NEW*: unshare(2) */ \
	X(OP_ROOT_IDS,        "root_ids")        /* arg[0] uid, arg[1] gid of a user namespace's root: \
						    setresgid(2), setresuid(2) */ \
	X(OP_UNDUMPABLE,      "undumpable")      /* PR_SET_DUMPABLE 0: prctl(2), ptrace(2) */ \
	X(OP_UMASK,           "umask")           /* arg[0]: umask(2) */ \
	X(OP_HOSTNAME,        "sethostname")     /* str[0]: sethostname(2) */ \
	X(OP_DOMAINNAME,      "setdomainname")   /* str[0]: setdomainname(2) */ \
	X(OP_LOOPBACK,        "loopback_up")     /* SIOCSIFFLAGS on lo: netdevice(7) */ \
	X(OP_KEYRING,         "keyring")         /* str[0]: keyctl(2) KEYCTL_JOIN_SESSION_KEYRING */ \
	X(OP_SETSID,          "setsid")          /* setsid(2) */ \
	X(OP_AFFINITY,        "affinity")        /* list: CPUs as 32-bit words: sched_setaffinity(2) */ \
	X(OP_ENTER_TIME,      "enter_time")      /* through slot: setns(2) into time_for_children, \
						    time_namespaces(7) */ \
	/* mounts */ \
	X(OP_PROPAGATION,     "propagation")     /* slot or str[0], arg[0] MS_*: mount_setattr(2) */ \
	X(OP_ATTACH_ROOT,     "attach_root")     /* str[0] host path, cloned over itself -> slot: open_tree(2) */ \
	X(OP_TAKE_MOUNT,      "take_mount")      /* arg[0]: a detached mount the launcher was handed -> slot: \
						    fsmount(2) */ \
	X(OP_STACK_ROOT,      "stack_root")      /* slot onto "/", for the pivot: move_mount(2) */ \
	X(OP_OPEN_ROOT,       "open_root")       /* "/" -> slot: open(2) O_PATH */ \
	X(OP_OPEN_TREE,       "open_tree")       /* str[0] host path -> slot: open_tree(2) */ \
	X(OP_TEXT_FILE,       "text_file")       /* str[0] name, str[1] text -> slot, on a tmpfs of its \
						    own: fsopen(2), openat(2), open_tree(2) */ \
	X(OP_TAKE_TREE,       "take_tree")       /* arg[0]: the parent's tree of that number -> slot: \
						    open_tree(2) */ \
	X(OP_OPEN_DEVICE,     "open_device")     /* str[0] host path, arg[0] dev_t -> slot, verified: \
						    open_tree(2), statx(2) */ \
	X(OP_FSMOUNT,         "fsmount")         /* str[0] type, str[1] source, list options, arg[0] \
						    attributes -> slot: fsopen(2) to fsmount(2) */ \
	X(OP_MOUNT_SETATTR,   "mount_setattr")   /* slot, arg[0] set, arg[1] clear: mount_setattr(2) */ \
	X(OP_OPEN_IN_ROOT,    "open_in_root")    /* str[0] -> slot: openat2(2) RESOLVE_IN_ROOT */ \
	X(OP_MAKE_TARGET,     "make_target")     /* str[0] -> slot, created like slot2 if missing: openat2(2), \
						    mkdirat(2). arg[0]: what slot2 must be, S_IFDIR or S_IFREG; 0: either */ \
	X(OP_MOVE_MOUNT,      "move_mount")      /* slot onto slot2, both closed: move_mount(2) */ \
	X(OP_LABEL,           "label")           /* str[0], the SELinux context of the mount slot's root: \
						    fsetxattr(2) */ \
	X(OP_COPY_UP,         "copy_up")         /* the directory slot2 into the mount slot: getdents64(2), \
						    fchownat(2) */ \
	X(OP_MKDIR_IN_ROOT,   "mkdir_in_root")   /* str[0] with its parents: mkdirat(2) */ \
	X(OP_SYMLINK_IN_ROOT, "symlink_in_root") /* str[0] target, str[1] path: symlinkat(2) */ \
	X(OP_MKNOD_IN_ROOT,   "mknod_in_root")   /* str[0], arg[0] mode, arg[1] dev_t, arg[2] uid<<32|gid: \
						    mknodat(2), fchownat(2) */ \
	X(OP_MASK,            "mask")            /* str[0]: SLOT_NULL over a file, SLOT_EMPTY over a \
						    directory: openat2(2), move_mount(2) */ \
	X(OP_READONLY,        "readonly")        /* str[0]: a read-only clone over itself: open_tree(2), \
						    mount_setattr(2) */ \
	X(OP_OPEN_MOUNT,      "open_mount")      /* str[0], a mount that the first part made -> slot: \
						    openat2(2) O_PATH */ \
	X(OP_PIVOT,           "pivot")           /* slot becomes "/": pivot_root(2), umount2(2) */ \
	X(OP_MOVE_ROOT,       "move_root")       /* --no-pivot: whole procfs and sysfs mounts of the host are \
						    taken away or covered, proc_pid_mountinfo(5), \
						    umount2(2), mount(2); then the slot goes onto "/": \
						    move_mount(2), chroot(2) */ \
	X(OP_CHROOT,          "chroot")          /* in a joined mount namespace, or on an emptied root: chroot(2) */ \
	X(OP_DETACH_ROOT,     "detach_root")     /* a clone of slot and of what is on it becomes "/", in the mount \
						    namespace slot2: open_tree(2), setns(2), chroot(2) */ \
	/* files, limits, terminal, hooks */ \
	X(OP_WRITE_PROC,      "write_proc")      /* str[0] below slot, str[1] value: openat2(2), proc(5) */ \
	X(OP_RLIMIT,          "rlimit")          /* arg[0] resource, arg[1] soft, arg[2] hard: prlimit(2) */ \
	X(OP_SCHEDULER,       "scheduler")       /* arg[0] flags<<32|policy, arg[1] priority<<32|nice, \
						    list runtime, deadline, period in two words each: \
						    sched_setattr(2) */ \
	X(OP_IO_PRIORITY,     "io_priority")     /* arg[0]: ioprio_set(2) */ \
	X(OP_MEMORY_POLICY,   "memory_policy")   /* arg[0] mode and flags, list nodes: set_mempolicy(2) */ \
	X(OP_PERSONALITY,     "personality")     /* arg[0]: personality(2) */ \
	X(OP_OPEN_TTY,        "open_tty")        /* arg[0] rows<<16|columns -> SLOT_TTY_MASTER, SLOT_TTY: \
						    pts(4), ioctl_tty(2) TIOCGPTPEER */ \
	X(OP_CONSOLE,         "console")         /* SLOT_TTY bound on /dev/console: move_mount(2) */ \
	X(OP_SEND_TTY,        "send_tty")        /* SLOT_TTY_MASTER to the parent: unix(7) */ \
	X(OP_TTY_STDIO,       "tty_stdio")       /* SLOT_TTY is controlling terminal and 0, 1, 2: \
						    ioctl_tty(2) TIOCSCTTY, dup3(2) */ \
	X(OP_CONTROLLING_TTY, "controlling_tty") /* 0 is a terminal of the caller: ioctl_tty(2) TIOCSCTTY */ \
	X(OP_STDIO_OWNER,     "stdio_owner")     /* arg[0] uid: fchown(2) of 0, 1, 2 */ \
	X(OP_HOOK,            "hook")            /* str[0] path, list args, list2 env, arg[0] timeout in \
						    seconds, arg[1] number, slot standard input, slot2 \
						    working directory: fchdir(2), clone(2), execve(2), waitid(2) */ \
	/* the identity of the process */ \
	X(OP_HOME,            "home")            /* arg[0] uid: HOME from /etc/passwd of the image: passwd(5) */ \
	X(OP_BOUNDING,        "bounding_set")    /* arg[0] what stays: prctl(2) PR_CAPBSET_DROP */ \
	X(OP_IDS,             "ids")             /* arg[0] uid, arg[1] gid, list groups, arg[2] 1: no \
						    setgroups(2): setresuid(2) */ \
	X(OP_CAPS,            "capset")          /* arg[0] effective, arg[1] permitted, arg[2] inheritable: \
						    capset(2) */ \
	X(OP_AMBIENT,         "ambient_set")     /* arg[0]: prctl(2) PR_CAP_AMBIENT */ \
	X(OP_NO_NEW_PRIVS,    "no_new_privs")    /* prctl(2) PR_SET_NO_NEW_PRIVS */ \
	X(OP_DEATH_SIGNAL,    "death_signal")    /* prctl(2) PR_SET_PDEATHSIG SIGKILL */ \
	X(OP_CLOSE_FDS,       "close_fds")       /* all from arg[0] up but what is still needed: close_range(2) */ \
	X(OP_CHDIR,           "chdir")           /* str[0]: chdir(2), then getcwd(2) must see "/..." */ \
	X(OP_FIND_PROGRAM,    "find_program")    /* args[0] along PATH: execvp(3) */ \
	X(OP_WAIT_START,      "wait_start")      /* until `start` connects to SLOT_START: accept(2), unix(7) */ \
	X(OP_RESET_SIGNALS,   "reset_signals")   /* default actions, nothing blocked: sigaction(2), \
						    sigprocmask(2) */ \
	X(OP_LANDLOCK,        "landlock")        /* arg[0] kinds of access, a bit for each enum \
						    landlock_access; list "N:/path": where number N of \
						    them is allowed: landlock(7), \
						    landlock_restrict_self(2) */ \
	X(OP_REPORT_EXEC,     "report_exec")     /* tell the parent that only execve is left: sendmsg(2) */ \
	X(OP_SECCOMP,         "seccomp")         /* the blob's BPF program, arg[0] flags: seccomp(2) */ \
	X(OP_AWAIT_PLAN,      "await_plan")      /* all slots closed, then the second part of the plan, \
						    its descriptors and 0, 1, 2 from the parent: \
						    recvmsg(2), mmap(2), dup3(2) */ \
	X(OP_EXEC,            "execve")          /* list args, list2 env: execve(2) */ \
	/* the parent's */ \
	X(OP_OPEN_NS,         "open_ns")         /* str[0] path -> slot: open(2), namespaces(7) */ \
	X(OP_INIT_ROOT,       "init_root")       /* the root of SLOT_INIT's process -> slot: \
						    proc_pid_root(5) */ \
	X(OP_CLONE,           "clone")           /* arg[0] new CLONE_NEW*, arg[1] those to be born into, of \
						    SLOT_INIT's process or open_ns, arg[2] 1: by a parent \
						    that ends what it leaves: setns(2), clone3(2), prctl(2) \
						    PR_SET_CHILD_SUBREAPER */ \
	X(OP_IDMAP,           "write_idmap")     /* str[0] uid map, str[1] gid map, arg[0] IDMAP_*: \
						    user_namespaces(7), newuidmap(1) */ \
	X(OP_HOST_TREE,       "host_tree")       /* str[0] host path, arg[0] its number: open_tree(2); list \
						    uid and gid map, arg[1] 1: of the whole tree, arg[2] \
						    IDMAP_*: mount_setattr(2) MOUNT_ATTR_IDMAP */ \
	X(OP_NET_DEVICE,      "net_device")      /* str[0] name, str[1] name in the child's namespace: \
						    rtnetlink(7) RTM_NEWLINK */ \
	X(OP_TAKE_NETWORK,    "take_network")    /* the namespace that a pool at str[0] has lent -> slot: \
						    unix(7) SCM_RIGHTS */ \
	X(OP_STEP_NETWORK,    "step_network")    /* str[0] slirp4netns, arg[0] network<<32|bits, arg[1] \
						    MTU, arg[2] enum plan_slirp, for the child's namespace; \
						    it ends with us: clone(2), execve(2); str[1] its API \
						    socket */ \
	X(OP_KEEP_NETWORK,    "keep_network")    /* the same by a process that ends with the child: \
						    poll(2), pidfd_send_signal(2) */ \
	X(OP_AWAIT_NETWORK,   "await_network")   /* until it is ready: poll(2), read(2) */ \
	X(OP_PUBLISH_PORT,    "publish_port")    /* arg[0] the host's address<<32|port, arg[1] that in the \
						    network, arg[2] 1: udp; by slirp4netns, asked at its \
						    socket str[0]: unix(7) */ \
	X(OP_CLOSE_NETWORK,   "close_network")   /* towards this host, but for questions to arg[0]: a \
						    filter on the tap: rtnetlink(7), pidfd_getfd(2), \
						    ioctl(2) TUNATTACHFILTER */ \
	X(OP_CGROUP,          "cgroup")          /* str[0] path, str[1] scope, or why there will be no \
						    limits; arg[0] 1: must, arg[1] enum plan_cgroup_kind: \
						    cgroups(7) */ \
	X(OP_CGROUP_WRITE,    "cgroup_write")    /* str[0] file, str[1] value, arg[0] enum \
						    host_controller, arg[1] 1: v2, arg[2] enum \
						    resource_flags: cgroups(7) */ \
	X(OP_CGROUP_DEVICES,  "cgroup_devices")  /* list: BPF program, two numbers an instruction: \
						    bpf(2) BPF_PROG_ATTACH */ \
	X(OP_CGROUP_JOIN,     "cgroup_join")     /* the child into the group: cgroups(7), cgroup.procs */ \
	X(OP_RESCTRL,         "resctrl")         /* the child into the class list[0] of the file system at \
						    str[0], and into its monitoring group list[1]; str[1] \
						    goes to its schemata, arg[0] enum plan_resctrl: \
						    mkdir(2), resctrl.rst of the kernel */ \
	X(OP_RECORD,          "record")          /* the state record: `state` and `kill` work from here: \
						    rename(2) */ \
	X(OP_PUBLISH,         "publish")         /* the record says that the container is set up, and \
						    `exec` may enter: rename(2) */ \
	X(OP_MONITOR,         "monitor")         /* the guard that outlives us: pidfd_send_signal(2), poll(2) */ \
	X(OP_RUN_HOOK,        "run_hook")        /* as hook, in the runtime's namespaces: clone(2), execve(2) */ \
	X(OP_SEND_PLAN,       "send_plan")       /* the second part, sealed, with what it names: \
						    memfd_create(2), unix(7) SCM_RIGHTS */ \
	X(OP_AWAIT,           "await")           /* stage: until the child has reached it: recvmsg(2) */ \
	X(OP_RELEASE,         "release")         /* stage: the child goes on: sendmsg(2) */ \
	X(OP_TAKE_TTY,        "take_tty")        /* the terminal: arg[0] enum plan_console: recvmsg(2) \
						    SCM_RIGHTS, unix(7) */ \
	X(OP_AWAIT_EXEC,      "await_exec")      /* until the program runs or the child has failed: recvmsg(2) \
						    end of file, waitid(2); a seccomp listener goes to \
						    str[0], with str[1]: seccomp_unotify(2) */ \
	X(OP_SEND_PIDFD,      "send_pidfd")      /* to the caller's socket: unix(7) SCM_RIGHTS */ \
	X(OP_PID_FILE,        "pid_file")        /* str[0]: rename(2) */

enum plan_op_kind {
#define X(kind, name) kind,
	PLAN_OPS(X)
#undef X
	OP_KINDS,
};
/* clang-format on */

/* Points at which child and parent wait for each other, in this order. */
enum plan_stage {
	STAGE_NAMESPACES, /* the child exists: its id maps are written and its cgroup is joined */
	STAGE_MOUNTS,     /* all mounted, not pivoted: prestart and createRuntime hooks run */
	STAGE_READY,      /* nothing left but to start the program: every guard is in place */
	STAGE_COUNT,
};

/* What happens when an op fails with an errno of this mask: the next `skip` ops are left out. */
enum plan_errno_mask {
	ON_ENOENT = 1 << 0,
	ON_EPERM = 1 << 1,
	ON_EACCES = 1 << 2,
	ON_ENOSYS = 1 << 3,
	ON_EINVAL = 1 << 4,
	ON_EDQUOT = 1 << 5,
	ON_EEXIST = 1 << 6,
	ON_ENOTDIR = 1 << 7,
	ON_EROFS = 1 << 8,
};

enum plan_op_flags {
	OPF_NO_SYMLINKS = 1 << 0, /* the target's path must not contain a symbolic link */
	OPF_RECURSIVE = 1 << 1,   /* AT_RECURSIVE */
	OPF_IF_EMPTY = 1 << 2,    /* only when the slot is empty, else `skip` more are left out */
	OPF_DIRECTORY = 1 << 3,   /* make_target: a directory, whatever slot2 is */
	OPF_NOFOLLOW = 1 << 4,    /* open_tree: do not follow a final symbolic link */
	OPF_FILTERED = 1 << 6,    /* hook: under the blob's seccomp program */
	OPF_REPLACE = 1 << 5,     /* symlink_in_root: in place of what is there */
};

/* Attributes that protect nothing: an OP_MOUNT_SETATTR of these, or one that clears, may fail. */
#define PLAN_ATTR_TIMES ((uint64_t)(MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME))

/* How OP_IDMAP writes the maps. */
enum plan_idmap_method {
	IDMAP_DIRECT,      /* we hold CAP_SETUID and CAP_SETGID */
	IDMAP_DIRECT_DENY, /* one id, our own, with setgroups(2) denied first */
	IDMAP_HELPER,      /* newuidmap(1) and newgidmap(1) */
};

/* Where OP_CGROUP gets the group from. */
enum plan_cgroup_kind {
	CGROUP_FILES,    /* made in the cgroup file system */
	CGROUP_SCOPE,    /* a scope unit of systemd, with the child in it; list: its properties */
	CGROUP_HANDED,   /* whose directory the caller has open: the child is born into it */
	CGROUP_EXISTING, /* exec: the container's; list: groups below it, "[CONTROLLERS:]PATH" */
};

/* How the slirp4netns of OP_STEP_NETWORK is different from the usual one. */
enum plan_slirp {
	SLIRP_NO_DNS = 1 << 0,        /* it answers no questions */
	SLIRP_HOST_LOOPBACK = 1 << 1, /* its gateway is the host's 127.0.0.1 */
	SLIRP_PORTS = 1 << 2,         /* clients of published ports are answered */
};

/* What OP_RESCTRL may do to the class. */
enum plan_resctrl {
	RESCTRL_MAKE = 1 << 0, /* make it when it is missing; else that is an error */
	RESCTRL_OWN = 1 << 1,  /* one that we made ends with the container */
	RESCTRL_JOIN = 1 << 2, /* exec: join what the container is in, if it is still there */
};

/* An op as it stands in the blob. Offsets are from the blob's start; 0 means "none". */
struct plan_op {
	uint8_t kind; /* enum plan_op_kind */
	int8_t slot;  /* enum plan_slot */
	int8_t slot2;
	uint8_t stage;     /* OP_SYNC */
	uint16_t flags;    /* enum plan_op_flags */
	uint16_t on_error; /* enum plan_errno_mask */
	uint16_t skip;     /* ops to leave out after an error of that mask; 0: just go on */
	uint16_t reserved;
	uint32_t origin; /* string: JSON pointer, or "" */
	uint32_t str[2]; /* strings */
	uint32_t list;   /* list of strings, see plan_list */
	uint32_t list2;
	uint64_t arg[3];
};
_Static_assert(sizeof(struct plan_op) == 56, "plan_op is part of the blob's layout");

/* In the blob: count, then `count` string offsets. An OP_IDS list holds group numbers instead. */
struct plan_list {
	uint32_t count;
	uint32_t item[];
};

/*
 * A plan may come in two parts: what can be done before anything is known of the step but its
 * class, and what is left. Between them the child waits, with an empty root of its own.
 */
enum plan_part { PLAN_WHOLE, PLAN_FIRST, PLAN_SECOND };

struct plan {
	uint32_t magic;
	uint32_t version;
	uint32_t size; /* of the whole blob, bytes */
	uint32_t n_child;
	uint32_t n_parent;
	uint32_t child;  /* offset of the child's ops */
	uint32_t parent; /* offset of the parent's ops */
	uint32_t bpf;    /* offset of struct sock_filter[], 0: no filter */
	uint32_t n_bpf;
	uint32_t part; /* enum plan_part */
};

static inline const struct plan_op *plan_child_ops(const struct plan *plan)
{
	return (const struct plan_op *)((const char *)plan + plan->child);
}

static inline const struct plan_op *plan_parent_ops(const struct plan *plan)
{
	return (const struct plan_op *)((const char *)plan + plan->parent);
}

/* A string of the blob; "" for offset 0. */
static inline const char *plan_str(const struct plan *plan, uint32_t offset)
{
	return offset ? (const char *)plan + offset : "";
}

static inline const struct plan_list *plan_list_at(const struct plan *plan, uint32_t offset)
{
	return offset ? (const struct plan_list *)((const char *)plan + offset) : NULL;
}

static inline const struct sock_filter *plan_bpf(const struct plan *plan)
{
	return plan->bpf ? (const struct sock_filter *)((const char *)plan + plan->bpf) : NULL;
}

/* The name of a kind as `explain` prints it. */
const char *plan_op_name(enum plan_op_kind kind);

/* What the caller of the runtime decides, next to the configuration. */
enum plan_console { CONSOLE_NONE, CONSOLE_OWN, CONSOLE_SOCKET };

/* The network of a process whose configuration leaves it in ours. */
enum plan_network_mode {
	PLAN_NETWORK_SPEC,  /* the configuration alone decides */
	PLAN_NETWORK_NONE,  /* a namespace of its own, loopback only */
	PLAN_NETWORK_SLIRP, /* with slirp4netns(1) */
	PLAN_NETWORK_LENT,  /* the same, made by a pool before it was needed */
};

struct plan_port {
	bool udp;
	uint32_t parent_ip, child_ip; /* IPv4, host byte order */
	uint16_t parent_port, child_port;
	const char *origin;
};

struct plan_network {
	enum plan_network_mode mode;
	const char *helper; /* of slirp4netns */
	const char *pool;
	uint32_t network, dns; /* IPv4, host byte order */
	unsigned prefix;
	uint32_t mtu;           /* 0: the usual one */
	unsigned slirp;         /* enum plan_slirp */
	const char *api_socket; /* a name; NULL: no ports */
	const struct plan_port *ports;
	size_t n_ports;
	const char
		*resolv_conf; /* the text in place of the mount's source; NULL: the mount's own */
};

enum plan_cgroup_manager { CGROUP_MANAGER_FILES, CGROUP_MANAGER_SYSTEMD, CGROUP_MANAGER_NONE };

struct plan_options {
	const char *
		id; /* of the container: names its cgroup when the configuration does not; or NULL */
	bool foreground; /* `run` without --detach: monitor, own pid namespace */
	bool wait_start; /* `create`: wait for `start` */
	bool no_pivot;
	bool no_mount_fallback; /* a flag that cannot be cleared is an error */
	bool no_new_keyring;
	bool keep_stdio_owner; /* 0, 1 and 2 are not the runtime's to give away */
	bool no_record;        /* nothing on disk: the container ends with the caller */
	enum plan_cgroup_manager cgroup_manager;
	const char *const *cgroup_below; /* exec --cgroup */
	size_t n_cgroup_below;
	bool cgroup_handed;     /* by the caller, as launch_context.cgroup_fd */
	bool rootless_cgroup;   /* a foreground step needs neither its group nor its limits */
	bool add_pid_namespace; /* when the configuration lists none */
	enum plan_console console;
	uint32_t preserve_fds; /* descriptors 3..3+n-1 stay open */
	const char *pid_file;  /* NULL: none */
	struct plan_network network;
	bool reaper;       /* nobody else ends what a step without a pid namespace leaves */
	bool pidfd_socket; /* somebody wants a descriptor of the process */
	/* a filter compiled before (from the cache); NULL: compile it here */
	const struct sock_filter *bpf;
	size_t n_bpf;
};

/*
 * Compiles a spec into a plan. Pure: the same input gives the same bytes. The plan lives in the
 * arena. Errors: RB_* with an origin.
 */
int plan_build(struct arena *arena, const struct spec *spec, const struct host *host,
	       const struct plan_options *options, const struct plan **ret_plan,
	       struct rb_err *err);

/*
 * The same in two parts. The first is the same bytes for every step of a class; false: this spec
 * has something that must stand before or between the mounts, so it has no parts.
 */
bool plan_has_parts(const struct spec *spec, const struct plan_options *options);
int plan_build_first(struct arena *arena, const struct spec *spec, const struct host *host,
		     const struct plan_options *options, const struct plan **ret_plan,
		     struct rb_err *err);
int plan_build_second(struct arena *arena, const struct spec *spec, const struct host *host,
		      const struct plan_options *options, const struct plan **ret_plan,
		      struct rb_err *err);

/*
 * The plan for a further process in a running container (`exec`). The namespaces to join are a
 * pidfd in SLOT_INIT; join is the mask of their CLONE_NEW* types, cgroup the container's group
 * or "".
 */
int plan_build_exec(struct arena *arena, const struct spec *spec,
		    const struct spec_process *process, const struct host *host, uint64_t join,
		    const char *cgroup, const struct plan_options *options,
		    const struct plan **ret_plan, struct rb_err *err);

/*
 * The safety rules every plan must satisfy, whoever built it; see plan_check.c for the list.
 * Errors: RB_INTERNAL with the broken rule, the list and the position.
 */
int plan_check(const struct plan *plan, struct rb_err *err);

enum plan_print_flags {
	PLAN_PRINT_JSON = 1 << 0,
	PLAN_PRINT_ENV = 1 << 1, /* environment values in clear */
};

/* What will happen, in order, for people or as JSON. */
void plan_print(const struct plan *plan, unsigned flags, struct strbuf *out);

/* the compiler's version; part of the cache key: change it with the output */
#define SECCOMP_COMPILER_VERSION "runbuild-bpf-1"

/*
 * What the plan amounts to, as members of a JSON object without its braces: args, ids,
 * namespaces, capabilities, and how many mounts, masks and filter instructions there are.
 */
void plan_summary(const struct plan *plan, struct strbuf *out);

/*
 * Compiles the rules for the native architecture and those of its compatibility modes that the
 * profile lists. Pure. *ret_program lives in the arena. Errors: RB_SECCOMP, RB_CONFIG_UNKNOWN.
 */
unsigned seccomp_native_arch(void); /* AUDIT_ARCH_* of this build */
int seccomp_compile(struct arena *arena, const struct spec_seccomp *seccomp, unsigned kernel_arch,
		    struct sock_filter **ret_program, size_t *ret_n, struct rb_err *err);
