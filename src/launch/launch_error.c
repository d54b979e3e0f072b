/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a number in the child to a sentence in the parent. Runs in the parent (and in `start`,
 * which has no plan and words what the record carries). The texts that clients look for are
 * runc's: "executable file not found in $PATH", "no such file or directory", "permission denied".
 */
#include "base/sys.h"
#include "exec/handshake.h"
#include "launch/launch_private.h"

static int failure_program(const struct handshake *record, const char *argv0, struct rb_err *err)
{
	const char *name = argv0 ? argv0 : record->detail;

	switch (record->errnum) {
	case ENOENT:
		if (strchr(name, '/'))
			err_set(err, RB_EXEC_NOT_FOUND, 0,
				"exec: \"%s\": stat %s: no such file or directory", name, name);
		else
			err_set(err, RB_EXEC_NOT_FOUND, 0,
				"exec: \"%s\": executable file not found in $PATH", name);
		err_fix(err, "check the command, PATH in the environment, and for a script the "
			     "interpreter in its first line");
		return -ENOENT;
	case EACCES:
	case EPERM:
		err_set(err, RB_EXEC_PERMISSION, 0, "exec: \"%s\": permission denied", name);
		err_fix(err, "make it executable for the user that runs it (chmod +x), on a file "
			     "system mounted without noexec");
		return -EACCES;
	case ENOEXEC:
		err_set(err, RB_EXEC_FORMAT, 0, "exec: \"%s\": exec format error", name);
		err_fix(err, "the program is for another architecture, or a script without #!");
		return -ENOEXEC;
	default: return err_set(err, RB_EXEC_FAILED, record->errnum, "exec: \"%s\"", name);
	}
}

static int failure_move(int e, const char *target, struct rb_err *err)
{
	err_set(err, RB_MOUNT, e, "cannot mount on '%s'", target);
	if (e == ENOTDIR)
		err_fix(err, "a directory goes on a directory, and a file on a file: check that "
			     "the source is what it should be");
	return -e;
}

/* EINVAL: the policy does not know the context; EACCES, EPERM: it does not let us use it. */
static int failure_selinux(int e, const char *label, const char *origin, struct rb_err *err)
{
	bool unknown = e == EINVAL;

	err_set(err, RB_LSM, unknown ? 0 : e, "%s the SELinux label '%s'",
		unknown ? "the loaded policy does not know" : "cannot set", label);
	err_origin(err, origin);
	err_fix(err, unknown ? "use a context of the loaded policy: seinfo, sestatus"
			     : "let the policy allow it: ausearch -m avc says what it refused");
	return -e;
}

static int failure_option(const struct handshake *record, const char *what, const char *option,
			  struct rb_err *err)
{
	static const char context[] = "context=";

	if (str_starts(option, context))
		return failure_selinux(record->errnum, option + strlen(context),
				       "/linux/mountLabel", err);
	err_set(err, RB_MOUNT, record->errnum, "cannot mount %s: option '%s'", what, option);
	err_fix(err, "remove it, or give it a value that this type of file system takes");
	return -record->errnum;
}

/* The option that the child has named, or NULL. */
static const char *failed_option(const struct handshake *record, const struct plan *plan,
				 const struct plan_op *op)
{
	const struct plan_list *options = op ? plan_list_at(plan, op->list) : NULL;
	uint32_t i = (uint32_t)record->status - HS_STATUS_OPTION;

	if (!options || record->status < HS_STATUS_OPTION || i >= options->count)
		return NULL;
	return plan_str(plan, options->item[i]);
}

static int failure_fsmount(const struct handshake *record, const char *what, struct rb_err *err)
{
	int e = record->errnum;

	if (str_eq(what, "proc") && e == EPERM && record->status != HS_STATUS_FILTER) {
		err_set(err, RB_PROC_REFUSED, 0,
			"cannot mount proc: the outer /proc is partly hidden, and the kernel then "
			"refuses a new one");
		err_fix(err, "docker: --security-opt systempaths=unconfined; Kubernetes: "
			     "procMount: Unmasked with hostUsers: false");
		return -EPERM;
	}
	err_set(err, RB_MOUNT, e, "cannot mount %s", what);
	if (e == ENODEV)
		err_fix(err, "the kernel does not know this type of file system");
	else if (e == EINVAL)
		err_fix(err, "one of the mount's options is not accepted");
	else if (e == EPERM && record->status != HS_STATUS_FILTER)
		err_fix(err, "it needs a namespace of the container's own, or is not allowed in a "
			     "user namespace");
	return -e;
}

/* The calling process, and so the child, is below a filter that is not ours. */
static bool is_filtered(void)
{
	return sys_prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER;
}

static int failure_target(const struct handshake *record, const char *what, struct rb_err *err)
{
	int e = record->errnum;

	if (record->status == HS_STATUS_SOURCE) {
		err_set(err, RB_MOUNT_TARGET, 0,
			"'%s' is to be a %s, and what is mounted there is %s", what,
			e == EISDIR ? "file" : "directory", e == EISDIR ? "a directory" : "none");
		err_fix(err, "name another source, or leave \"createDest\" out");
		return -e;
	}
	if (e == ELOOP) {
		err_set(err, RB_MOUNT_TARGET, 0,
			"mount destination '%s' goes through a symbolic link: it must be "
			"mounted on ordinary directory",
			what);
		err_fix(err, "replace the link in the image by a directory");
		return -ELOOP;
	}
	err_set(err, RB_MOUNT_TARGET, e, "cannot make mount destination '%s'", what);
	/* EPERM: /proc and /sys, unless a filter says it */
	if (e == EROFS || e == EACCES || (e == EPERM && !is_filtered()))
		err_fix(err,
			"the root cannot be written to here: make an empty '%s' in the image, "
			"or mount a tmpfs over the directory it is in",
			what);
	return -e;
}

static int failure_mount(const struct handshake *record, const char *what, struct rb_err *err)
{
	int e = record->errnum;

	switch (record->kind) {
	case OP_ATTACH_ROOT:
		err_set(err, RB_ROOTFS, e, "cannot use '%s' as the root file system", what);
		if (e == ENOENT || e == ENOTDIR)
			err_fix(err, "root.path must be an existing directory");
		else if (e == EACCES)
			err_fix(err, "every directory above it must be searchable (chmod o+x) for "
				     "the mapped root user");
		return -e;
	case OP_STACK_ROOT: return err_set(err, RB_ROOTFS, e, "cannot attach the snapshot");
	case OP_OPEN_TREE:
		err_set(err, RB_MOUNT_SOURCE, e, "cannot open mount source '%s'", what);
		err_fix(err, "%s",
			e == ENOENT ? "create it, or remove the mount"
				    : "make it accessible to the container's root user");
		return -e;
	case OP_OPEN_DEVICE:
		err_set(err, RB_DEVICE, e, "cannot use the host's '%s'", what);
		err_fix(err, "a rootless container can only bind existing device nodes");
		return -e;
	case OP_MAKE_TARGET: return failure_target(record, what, err);
	case OP_OPEN_IN_ROOT:
		err_set(err, RB_MOUNT_TARGET, e, "cannot open mount destination '%s'", what);
		if (e == ENOENT)
			err_fix(err, "create it in the root, or let it be made");
		return -e;
	case OP_FSMOUNT: return failure_fsmount(record, what, err);
	case OP_MOVE_MOUNT: return failure_move(e, what, err);
	default:
		return err_set(err, RB_SETUP_STEP, e, "set-up of the container: %s%s%s",
			       plan_op_name((enum plan_op_kind)record->kind), what[0] ? " " : "",
			       what);
	}
}

const char *signal_text(int sig, char text[64])
{
	const char *name = sigdescr_np(sig);

	snprintf(text, 64, "%s (%d)", name ? name : "unknown", sig);
	if (text[0] >= 'A' && text[0] <= 'Z')
		text[0] = (char)(text[0] - 'A' + 'a');
	return text;
}

/*
 * A call that the kernel does not know, or that a filter around us forbids: neither is about the
 * configuration, whatever the op was. Programs have causes of their own.
 */
static int failure_kernel(const struct handshake *record, struct rb_err *err)
{
	const char *step = plan_op_name((enum plan_op_kind)record->kind);

	if (record->errnum != ENOSYS || record->kind == OP_HOOK)
		return 1;
	err_set(err, RB_KERNEL, ENOSYS, "this kernel lacks a system call that %s needs", step);
	err_fix(err, "Linux 5.12 or newer is needed; or a seccomp profile around this process "
		     "hides the call (docker: --security-opt seccomp=unconfined)");
	return -ENOSYS;
}

/* A refusal that nothing else explains, below a filter that is not ours. */
static void failure_filtered(const struct handshake *record, struct rb_err *err)
{
	if (record->errnum == EPERM && !err->fix[0] && is_filtered())
		err_fix(err, "the seccomp profile around this process may forbid it: docker: "
			     "--security-opt seccomp=unconfined; Kubernetes: seccompProfile: "
			     "{type: Unconfined}");
}

static int failure_hook(const struct handshake *record, const struct plan_op *op,
			struct rb_err *err)
{
	const char *kind = op && op->arg[1] < HOOK_KINDS ? spec_hook_names[op->arg[1]]
							 : spec_hook_names[HOOK_START_CONTAINER];
	unsigned number = op ? (unsigned)op->arg[2] : 0;
	char text[64];

	if (record->status == -1)
		err_set(err, RB_HOOK, 0, "error running %s hook #%u: '%s' ran out of time", kind,
			number, record->detail);
	else if (record->status > 0 && record->status < 256)
		err_set(err, RB_HOOK, 0,
			"error running %s hook #%u: error running hook '%s': signal: %s", kind,
			number, record->detail, signal_text(record->status & 0x7f, text));
	else if (record->status >= 256)
		err_set(err, RB_HOOK, 0, "error running %s hook #%u: exit status %d", kind, number,
			record->status >> 8);
	else
		err_set(err, RB_HOOK, record->errnum, "error running %s hook #%u", kind, number);
	return -ECANCELED;
}

/* Either a path of the step, or the kernel cannot do it at all. */
static int failure_landlock(const struct handshake *record, const struct plan *plan,
			    const struct plan_op *op, struct rb_err *err)
{
	const struct plan_list *rules = op ? plan_list_at(plan, op->list) : NULL;
	int e = record->errnum;

	if (record->status > 0 && rules && (uint32_t)record->status <= rules->count) {
		err_set(err, RB_LANDLOCK_PATH, e, "landlock: cannot open '%s' in the root",
			plan_str(plan, rules->item[record->status - 1]) + 2);
		err_fix(err, "create it, or remove it from the list");
		return -e;
	}
	err_set(err, RB_LANDLOCK, e, "landlock cannot be used here");
	err_fix(err, "%s",
		e == EOPNOTSUPP
			? "boot with landlock among the modules of lsm="
			: "Linux 5.13 or newer is needed, and no seccomp profile around this "
			  "process that hides the calls");
	return -e;
}

/*
 * A label that the security module does not take. AppArmor: ENOENT, no profile of that name is
 * loaded. SELinux: EINVAL, the policy does not know the context. Returns 1 when it is neither.
 */
static int failure_label(const struct handshake *record, const struct plan *plan,
			 const struct plan_op *op, struct rb_err *err)
{
	static const char verb[] = "exec ";
	const char *value;

	if (!op || (!str_eq(plan_str(plan, op->str[0]), "self/attr/exec") &&
		    !str_eq(plan_str(plan, op->str[0]), "self/attr/keycreate")))
		return 1;
	value = plan_str(plan, op->str[1]);
	if (!str_eq(plan_str(plan, op->origin), "/process/apparmorProfile"))
		return failure_selinux(record->errnum, value, "/process/selinuxLabel", err);
	value += str_starts(value, verb) ? strlen(verb) : 0;
	if (record->errnum == ENOENT) {
		err_set(err, RB_LSM, 0, "the AppArmor profile '%s' is not loaded", value);
		err_fix(err, "load it with apparmor_parser, or remove it from the configuration");
	} else {
		err_set(err, RB_LSM, record->errnum, "cannot set the AppArmor profile '%s'", value);
		err_fix(err, "see what confines the caller: /proc/self/attr/current");
	}
	return -record->errnum;
}

/* Kinds whose failure has one code and one sentence. */
static const struct {
	enum plan_op_kind kind;
	enum rb_code code;
	const char *what; /* may take the op's string */
} plain_failures[] = {
	{OP_SETNS, RB_NAMESPACE, "cannot join the container's namespaces"},
	{OP_UNSHARE, RB_NAMESPACE, "cannot make a cgroup, IPC or time namespace"},
	{OP_ENTER_TIME, RB_NAMESPACE, "cannot enter the time namespace"},
	{OP_AFFINITY, RB_SCHEDULING, "cannot set the CPU affinity"},
	{OP_SCHEDULER, RB_SCHEDULING, "cannot set the scheduler"},
	{OP_IO_PRIORITY, RB_SCHEDULING, "cannot set the I/O priority"},
	{OP_MEMORY_POLICY, RB_SCHEDULING, "cannot set the memory policy"},
	{OP_PERSONALITY, RB_SCHEDULING, "cannot set the personality"},
	{OP_ROOT_IDS, RB_CREDENTIALS, "cannot become root of the user namespace"},
	{OP_HOSTNAME, RB_NAMESPACE, "cannot set the host name '%s'"},
	{OP_DOMAINNAME, RB_NAMESPACE, "cannot set the domain name '%s'"},
	{OP_LOOPBACK, RB_NAMESPACE, "cannot bring the loopback interface up"},
	{OP_WRITE_PROC, RB_SYSCTL, "cannot write /proc/%s"},
	{OP_RLIMIT, RB_RLIMIT, "cannot set a resource limit"},
	{OP_OPEN_TTY, RB_TERMINAL, "cannot make a terminal from the container's /dev/pts"},
	{OP_CONSOLE, RB_TERMINAL, "cannot put the terminal on /dev/console"},
	{OP_SEND_TTY, RB_TERMINAL, "cannot hand the terminal over"},
	{OP_CONTROLLING_TTY, RB_TERMINAL, "cannot control the terminal that was given"},
	{OP_TTY_STDIO, RB_TERMINAL, "cannot use the terminal"},
	{OP_IDS, RB_CREDENTIALS, "cannot change to the user of the process"},
	{OP_CAPS, RB_CREDENTIALS, "unable to apply caps"},
	{OP_BOUNDING, RB_CREDENTIALS, "cannot cut the capability bounding set"},
	{OP_AMBIENT, RB_CREDENTIALS, "cannot set ambient capabilities"},
	{OP_SECCOMP, RB_SECCOMP, "cannot install the seccomp filter"},
	{OP_CHDIR, RB_CWD, "cannot enter the working directory '%s'"},
	{OP_MKDIR_IN_ROOT, RB_CWD, "cannot make the working directory '%s'"},
	{OP_PIVOT, RB_ROOTFS, "cannot change to the new root"},
	{OP_CHROOT, RB_ROOTFS, "cannot change to the new root"},
	{OP_DETACH_ROOT, RB_ROOTFS, "cannot go back to the inherited mount namespace"},
	{OP_MASK, RB_MOUNT, "cannot mask '%s'"},
	{OP_READONLY, RB_MOUNT, "cannot make '%s' read-only"},
	{OP_MKNOD_IN_ROOT, RB_DEVICE, "cannot make the device node '%s'"},
	{OP_TEXT_FILE, RB_MOUNT, "cannot make the file '%s' of the step's network"},
	{OP_COPY_UP, RB_MOUNT, "cannot copy the image's files into a tmpfs (tmpcopyup)"},
};

static void failure_hint(const struct handshake *record, struct rb_err *err)
{
	if (record->kind == OP_RLIMIT && record->errnum == EPERM)
		err_fix(err, "a hard limit above the caller's needs CAP_SYS_RESOURCE on the host");
	else if (record->kind == OP_CHDIR && record->errnum == EXDEV)
		err_fix(err, "it lies outside the container's root");
	else if (record->kind == OP_MKDIR_IN_ROOT && record->errnum == ELOOP)
		err_fix(err, "it goes through links of /proc, or through links in a circle");
	else if (record->kind == OP_IDS && record->errnum == EINVAL)
		err_fix(err, "map the ids of process.user");
	else if (record->kind == OP_SECCOMP && record->errnum == EACCES)
		err_fix(err, "set noNewPrivileges");
}

/* What the op was about. A mount is attached by slots: its name is that of the target before. */
static const char *failure_object(const struct plan *plan, const struct plan_op *op)
{
	const struct plan_op *first = plan_child_ops(plan);
	const struct plan_op *named = op;

	if (op->kind == OP_MOVE_MOUNT)
		while (named > first && named->kind != OP_MAKE_TARGET &&
		       named->kind != OP_OPEN_IN_ROOT)
			named--;
	return plan_str(plan, named->str[0]);
}

int launch_failure(const struct handshake *record, const struct plan *plan, const char *argv0,
		   struct rb_err *err)
{
	const struct plan_op *op = plan && record->op < plan->n_child
					   ? &plan_child_ops(plan)[record->op]
					   : NULL;
	const char *what = op ? failure_object(plan, op) : record->detail;
	char detail[sizeof(record->detail) + 1] = {0};
	int r = 1;

	if (!op) {
		memcpy(detail, record->detail, sizeof(record->detail));
		what = detail;
	}
	r = record->kind == OP_LANDLOCK ? failure_landlock(record, plan, op, err)
					: failure_kernel(record, err);
	if (r > 0 && (record->kind == OP_EXEC || record->kind == OP_FIND_PROGRAM))
		r = failure_program(record, argv0, err);
	else if (r > 0 && record->kind == OP_HOOK)
		r = failure_hook(record, op, err);
	else if (r > 0 && record->kind == OP_WRITE_PROC)
		r = failure_label(record, plan, op, err);
	else if (r > 0 && record->kind == OP_LABEL)
		r = failure_selinux(record->errnum, what, "/linux/mountLabel", err);
	else if (r > 0 && record->kind == OP_FSMOUNT && failed_option(record, plan, op))
		r = failure_option(record, what, failed_option(record, plan, op), err);
	for (size_t i = 0; r > 0 && i < ARRAY_LEN(plain_failures); i++) {
		char sentence[256];

		if (plain_failures[i].kind != (enum plan_op_kind)record->kind)
			continue;
		if (strstr(plain_failures[i].what, "%s"))
			snprintf(sentence, sizeof(sentence), "%.*s%.150s%s",
				 (int)(strstr(plain_failures[i].what, "%s") -
				       plain_failures[i].what),
				 plain_failures[i].what, what,
				 strstr(plain_failures[i].what, "%s") + 2);
		else
			snprintf(sentence, sizeof(sentence), "%s", plain_failures[i].what);
		r = err_set(err, plain_failures[i].code, record->errnum, "%s", sentence);
		failure_hint(record, err);
	}
	if (r > 0)
		r = failure_mount(record, what, err);
	failure_filtered(record, err);
	if (!err->origin[0])
		err_origin(err, op ? plan_str(plan, op->origin) : record->origin);
	return r;
}
