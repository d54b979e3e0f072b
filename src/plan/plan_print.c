/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan for people and for programs: what `runbuild explain` shows. Pure. Reads nothing but the
 * blob, so what is printed is what will be done. Environment values, maybe secrets, only if asked.
 */
#include <sys/sysmacros.h>
#include "base/sys.h"
#include "plan/plan.h"
#include "plan/resources.h"

static const char *const op_names[] = {
#define X(kind, name) [kind] = name,
	PLAN_OPS(X)
#undef X
};

const char *plan_op_name(enum plan_op_kind kind)
{
	return (size_t)kind < ARRAY_LEN(op_names) ? op_names[kind] : "?";
}

static const char *const slot_names[SLOT_COUNT] = {
	[SLOT_ROOT] = "root",
	[SLOT_TREE] = "tree",
	[SLOT_TARGET] = "target",
	[SLOT_PROC] = "proc",
	[SLOT_NULL] = "null",
	[SLOT_EMPTY] = "empty",
	[SLOT_TTY] = "tty",
	[SLOT_TTY_MASTER] = "tty-master",
	[SLOT_CWD] = "cwd",
	[SLOT_START] = "start-socket",
	[SLOT_STATE_CREATING] = "state",
	[SLOT_STATE_CREATED] = "state",
	[SLOT_INIT] = "init",
	[SLOT_USER_NS] = "user-ns",
	[SLOT_PID_NS] = "pid-ns",
	[SLOT_NET_NS] = "net-ns",
	[SLOT_MOUNT_NS] = "mount-ns",
	[SLOT_IPC_NS] = "ipc-ns",
	[SLOT_UTS_NS] = "uts-ns",
	[SLOT_CGROUP_NS] = "cgroup-ns",
	[SLOT_TIME_NS] = "time-ns",
	[SLOT_OUTER_MOUNTS] = "outer-mounts",
};

static const char *const stage_names[STAGE_COUNT] = {"namespaces", "mounts", "ready"};

struct flag_name {
	uint64_t flag;
	const char *name;
};

static const struct flag_name attr_names[] = {
	{MOUNT_ATTR_RDONLY, "ro"},
	{MOUNT_ATTR_NOSUID, "nosuid"},
	{MOUNT_ATTR_NODEV, "nodev"},
	{MOUNT_ATTR_NOEXEC, "noexec"},
	{MOUNT_ATTR_NOATIME, "noatime"},
	{MOUNT_ATTR_STRICTATIME, "strictatime"},
	{MOUNT_ATTR_NODIRATIME, "nodiratime"},
	{MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"},
};

static const struct flag_name propagation_names[] = {
	{MS_PRIVATE, "private"},
	{MS_SLAVE, "slave"},
	{MS_SHARED, "shared"},
	{MS_UNBINDABLE, "unbindable"},
};

static const struct flag_name errno_names[] = {
	{ON_ENOENT, "ENOENT"}, {ON_EPERM, "EPERM"},     {ON_EACCES, "EACCES"},
	{ON_ENOSYS, "ENOSYS"}, {ON_EINVAL, "EINVAL"},   {ON_EDQUOT, "EDQUOT"},
	{ON_EEXIST, "EEXIST"}, {ON_ENOTDIR, "ENOTDIR"}, {ON_EROFS, "EROFS"},
};

static void print_flags(struct strbuf *out, const struct flag_name *names, size_t n, uint64_t flags,
			const char *separator)
{
	bool first = true;

	for (size_t i = 0; i < n; i++) {
		if (!(flags & names[i].flag))
			continue;
		strbuf_printf(out, "%s%s", first ? "" : separator, names[i].name);
		first = false;
	}
	if (first)
		strbuf_add(out, "none");
}

static void print_namespaces(struct strbuf *out, uint64_t types)
{
	bool first = true;

	for (unsigned bit = 0; bit < 64; bit++) {
		const char *name = types >> bit & 1 ? spec_namespace_name(UINT64_C(1) << bit)
						    : NULL;

		if (!name)
			continue;
		strbuf_printf(out, "%s%s", first ? "" : ",", name);
		first = false;
	}
	if (first)
		strbuf_add(out, "none");
}

static void print_caps(struct strbuf *out, uint64_t caps)
{
	bool first = true;

	if ((caps & 0x1ffffffffff) == 0x1ffffffffff) {
		strbuf_add(out, "all");
		return;
	}
	for (unsigned cap = 0; cap < 64; cap++) {
		if (!(caps >> cap & 1))
			continue;
		if (spec_cap_name(cap))
			strbuf_printf(out, "%s%s", first ? "" : ",", spec_cap_name(cap) + 4);
		else
			strbuf_printf(out, "%s%u", first ? "" : ",", cap);
		first = false;
	}
	if (first)
		strbuf_add(out, "none");
}

/* A word as a shell would take it, so that odd names stay visible. */
static void print_word(struct strbuf *out, const char *word)
{
	bool plain = word[0] != '\0';

	for (const char *s = word; *s; s++)
		plain &= *s > ' ' && *s < 0x7f && !strchr("\"'\\$`", *s);
	if (plain)
		strbuf_add(out, word);
	else
		strbuf_add_json(out, word);
}

static void print_list(const struct plan *plan, uint32_t offset, const char *separator,
		       struct strbuf *out)
{
	const struct plan_list *list = plan_list_at(plan, offset);

	for (uint32_t i = 0; list && i < list->count; i++) {
		if (i)
			strbuf_add(out, separator);
		print_word(out, plan_str(plan, list->item[i]));
	}
}

static void print_env(const struct plan *plan, uint32_t offset, bool values, struct strbuf *out)
{
	const struct plan_list *list = plan_list_at(plan, offset);

	for (uint32_t i = 0; list && i < list->count; i++) {
		const char *entry = plan_str(plan, list->item[i]);
		size_t name = strcspn(entry, "=");

		strbuf_add(out, i ? " " : "");
		if (values) {
			print_word(out, entry);
		} else {
			strbuf_add_bytes(out, entry, name);
			strbuf_add(out, entry[name] ? "=..." : "");
		}
	}
}

static void print_map(const struct plan *plan, uint32_t offset, struct strbuf *out)
{
	for (const char *s = plan_str(plan, offset); *s; s++)
		if (*s != '\n')
			strbuf_add_char(out, *s);
		else if (s[1])
			strbuf_add(out, "; ");
}

static void print_numbers(const struct plan *plan, uint32_t offset, struct strbuf *out)
{
	const struct plan_list *list = plan_list_at(plan, offset);

	for (uint32_t i = 0; list && i < list->count; i++)
		strbuf_printf(out, "%s%u", i ? "," : "", list->item[i]);
	if (!list || !list->count)
		strbuf_add(out, "none");
}

static void print_device(struct strbuf *out, uint64_t dev)
{
	strbuf_printf(out, "%u:%u", major((dev_t)dev), minor((dev_t)dev));
}

static const char *slot_name(int slot)
{
	return slot >= 0 && slot < SLOT_COUNT ? slot_names[slot] : "-";
}

static void print_limit(struct strbuf *out, uint64_t value)
{
	if (value == UINT64_MAX)
		strbuf_add(out, "unlimited");
	else
		strbuf_printf(out, "%" PRIu64, value);
}

/* Ops about mounts and paths. Returns false for a kind of another group. */
static bool print_mount_op(const struct plan *plan, const struct plan_op *op, struct strbuf *out)
{
	const char *first = plan_str(plan, op->str[0]);
	const char *second = plan_str(plan, op->str[1]);

	switch (op->kind) {
	case OP_PROPAGATION:
		print_word(out, op->slot == SLOT_NONE ? first : slot_name(op->slot));
		strbuf_add(out, op->flags & OPF_RECURSIVE ? " recursive " : " ");
		print_flags(out, propagation_names, ARRAY_LEN(propagation_names), op->arg[0], ",");
		return true;
	case OP_OPEN_TREE:
	case OP_ATTACH_ROOT:
		strbuf_printf(out, "%s = host:", slot_name(op->slot));
		print_word(out, first);
		strbuf_add(out, op->flags & OPF_RECURSIVE ? " recursive" : "");
		strbuf_add(out, op->flags & OPF_NOFOLLOW ? " nofollow" : "");
		return true;
	case OP_OPEN_DEVICE:
		strbuf_printf(out, "%s = host:", slot_name(op->slot));
		print_word(out, first);
		strbuf_add(out, " which must be ");
		print_device(out, op->arg[0]);
		return true;
	case OP_TAKE_MOUNT:
		strbuf_printf(out, "%s = handed mount %" PRIu64, slot_name(op->slot), op->arg[0]);
		return true;
	case OP_OPEN_MOUNT: strbuf_printf(out, "%s = %s", slot_name(op->slot), first); return true;
	case OP_STACK_ROOT: strbuf_printf(out, "%s on /", slot_name(op->slot)); return true;
	case OP_OPEN_ROOT: strbuf_printf(out, "%s = /", slot_name(op->slot)); return true;
	case OP_FSMOUNT:
		strbuf_printf(out, "%s = %s ", slot_name(op->slot), first);
		print_flags(out, attr_names, ARRAY_LEN(attr_names), op->arg[0], ",");
		strbuf_add(out, op->list ? " " : "");
		print_list(plan, op->list, ",", out);
		return true;
	case OP_MOUNT_SETATTR:
		strbuf_printf(out, "%s%s", slot_name(op->slot),
			      op->flags & OPF_RECURSIVE ? " recursive" : "");
		if (op->arg[0]) {
			strbuf_add(out, " set ");
			print_flags(out, attr_names, ARRAY_LEN(attr_names), op->arg[0], ",");
		}
		if (op->arg[1]) {
			strbuf_add(out, " clear ");
			if ((op->arg[1] & MOUNT_ATTR__ATIME) == MOUNT_ATTR__ATIME)
				strbuf_add(out,
					   op->arg[1] == MOUNT_ATTR__ATIME ? "atime" : "atime,");
			if (op->arg[1] != MOUNT_ATTR__ATIME)
				print_flags(out, attr_names, ARRAY_LEN(attr_names),
					    op->arg[1] & ~(uint64_t)MOUNT_ATTR__ATIME, ",");
		}
		return true;
	case OP_OPEN_IN_ROOT:
	case OP_LABEL:
	case OP_MAKE_TARGET:
		strbuf_printf(out, "%s = ", slot_name(op->slot));
		print_word(out, first);
		strbuf_add(out, op->flags & OPF_NO_SYMLINKS ? " without symlinks" : "");
		strbuf_add(out, op->arg[0] == S_IFDIR ? ", a directory" : "");
		strbuf_add(out, op->arg[0] == S_IFREG ? ", a file" : "");
		return true;
	case OP_MOVE_MOUNT:
		strbuf_printf(out, "%s onto %s", slot_name(op->slot), slot_name(op->slot2));
		return true;
	case OP_COPY_UP:
		strbuf_printf(out, "%s into %s", slot_name(op->slot2), slot_name(op->slot));
		return true;
	case OP_MKDIR_IN_ROOT:
		print_word(out, first);
		strbuf_printf(out, " mode %04o", (unsigned)op->arg[0]);
		return true;
	case OP_SYMLINK_IN_ROOT:
		print_word(out, second);
		strbuf_add(out, " -> ");
		print_word(out, first);
		return true;
	case OP_MKNOD_IN_ROOT:
		print_word(out, first);
		strbuf_add(out, " ");
		print_device(out, op->arg[1]);
		strbuf_printf(out, " mode %06o owner %u:%u", (unsigned)op->arg[0],
			      (unsigned)(op->arg[2] >> 32), (unsigned)op->arg[2]);
		return true;
	case OP_MASK:
	case OP_READONLY: print_word(out, first); return true;
	case OP_PIVOT:
	case OP_MOVE_ROOT:
	case OP_CHROOT: strbuf_printf(out, "%s becomes /", slot_name(op->slot)); return true;
	case OP_DETACH_ROOT:
		strbuf_add(out, "clone of root becomes / in outer-mounts");
		return true;
	default: return false;
	}
}

static void print_landlock(const struct plan *plan, const struct plan_op *op, struct strbuf *out)
{
	const struct plan_list *rules = plan_list_at(plan, op->list);

	for (unsigned i = 0; i < LANDLOCK_ACCESSES; i++) {
		if (!(op->arg[0] & 1u << i))
			continue;
		strbuf_printf(out, "%s%s only below:", out->len ? "; " : "",
			      spec_landlock_names[i]);
		for (uint32_t k = 0; rules && k < rules->count; k++) {
			const char *rule = plan_str(plan, rules->item[k]);

			if (rule[0] != (char)('0' + i))
				continue;
			strbuf_add_char(out, ' ');
			print_word(out, rule + 2);
		}
	}
}

/* Ops about the identity of the process. */
static bool print_process_op(const struct plan *plan, const struct plan_op *op, bool env,
			     struct strbuf *out)
{
	switch (op->kind) {
	case OP_IDS:
		strbuf_printf(out, "uid %u gid %u groups ", (unsigned)op->arg[0],
			      (unsigned)op->arg[1]);
		if (op->arg[2])
			strbuf_add(out, "unchanged");
		else
			print_numbers(plan, op->list, out);
		return true;
	case OP_ROOT_IDS:
		strbuf_printf(out, "uid %u gid %u", (unsigned)op->arg[0], (unsigned)op->arg[1]);
		return true;
	case OP_CAPS:
		strbuf_add(out, "effective ");
		print_caps(out, op->arg[0]);
		if (op->arg[1] != op->arg[0]) {
			strbuf_add(out, " permitted ");
			print_caps(out, op->arg[1]);
		}
		if (op->arg[2]) {
			strbuf_add(out, " inheritable ");
			print_caps(out, op->arg[2]);
		}
		return true;
	case OP_BOUNDING:
		strbuf_add(out, "keep ");
		print_caps(out, op->arg[0]);
		return true;
	case OP_AMBIENT: print_caps(out, op->arg[0]); return true;
	case OP_UMASK: strbuf_printf(out, "%04o", (unsigned)op->arg[0]); return true;
	case OP_RLIMIT:
		strbuf_printf(out, "resource %u soft ", (unsigned)op->arg[0]);
		print_limit(out, op->arg[1]);
		strbuf_add(out, " hard ");
		print_limit(out, op->arg[2]);
		return true;
	case OP_HOME:
	case OP_STDIO_OWNER: strbuf_printf(out, "uid %u", (unsigned)op->arg[0]); return true;
	case OP_CLOSE_FDS: strbuf_printf(out, "from %u up", (unsigned)op->arg[0]); return true;
	case OP_CHDIR:
		print_word(out, plan_str(plan, op->str[0]));
		strbuf_add(out, op->flags & OPF_IF_EMPTY ? " unless entered before" : "");
		return true;
	case OP_LANDLOCK: print_landlock(plan, op, out); return true;
	case OP_SECCOMP:
		strbuf_printf(out, "%u instructions", plan->n_bpf);
		if (op->arg[0])
			strbuf_printf(out, " flags %#x", (unsigned)op->arg[0]);
		return true;
	case OP_HOOK:
	case OP_RUN_HOOK:
		strbuf_printf(out, "%s ",
			      op->arg[1] < HOOK_KINDS ? spec_hook_names[op->arg[1]] : "?");
		print_word(out, plan_str(plan, op->str[0]));
		if (op->arg[0])
			strbuf_printf(out, " timeout %us", (unsigned)op->arg[0]);
		if (op->slot2 != SLOT_NONE)
			strbuf_printf(out, " in %s", slot_name(op->slot2));
		return true;
	case OP_EXEC:
		print_list(plan, op->list, " ", out);
		if (op->list2) {
			strbuf_add(out, "  env ");
			print_env(plan, op->list2, env, out);
		}
		return true;
	default: return false;
	}
}

/* A set of CPUs or nodes as a list like 0-3,7. */
static void print_bits(const struct plan *plan, uint32_t offset, struct strbuf *out)
{
	const struct plan_list *list = plan_list_at(plan, offset);
	uint32_t bits = list ? 32 * list->count : 0;
	const char *separator = "";

	for (uint32_t bit = 0; bit < bits; bit++) {
		uint32_t first = bit;

		while (bit < bits && (list->item[bit / 32] >> bit % 32 & 1))
			bit++;
		if (bit == first)
			continue;
		strbuf_printf(out, "%s%u", separator, first);
		if (bit - 1 > first)
			strbuf_printf(out, "-%u", bit - 1);
		separator = ",";
	}
}

/* Scheduling, devices of the network, trees of the parent. */
static bool print_spec_op(const struct plan *plan, const struct plan_op *op, struct strbuf *out)
{
	switch (op->kind) {
	case OP_AFFINITY:
		strbuf_add(out, "CPUs ");
		print_bits(plan, op->list, out);
		return true;
	case OP_SCHEDULER:
		strbuf_printf(
			out, "policy %u nice %d priority %u", (unsigned)(op->arg[0] & 0xffffffff),
			(int)(int32_t)(op->arg[1] & 0xffffffff), (unsigned)(op->arg[1] >> 32));
		return true;
	case OP_IO_PRIORITY:
		strbuf_printf(out, "class %u level %u", (unsigned)(op->arg[0] >> 13),
			      (unsigned)(op->arg[0] & 0x1fff));
		return true;
	case OP_MEMORY_POLICY:
		strbuf_printf(out, "mode %#x nodes ", (unsigned)op->arg[0]);
		print_bits(plan, op->list, out);
		return true;
	case OP_PERSONALITY: strbuf_printf(out, "%#x", (unsigned)op->arg[0]); return true;
	case OP_HOST_TREE:
		strbuf_printf(out, "%u = host:", (unsigned)op->arg[0]);
		print_word(out, plan_str(plan, op->str[0]));
		strbuf_add(out, op->arg[1] ? " recursive " : " ");
		print_list(plan, op->list, " ", out);
		return true;
	case OP_TAKE_TREE:
		strbuf_printf(out, "%s = tree %u of the parent", slot_name(op->slot),
			      (unsigned)op->arg[0]);
		return true;
	case OP_NET_DEVICE:
		print_word(out, plan_str(plan, op->str[0]));
		strbuf_add(out, " as ");
		print_word(out, plan_str(plan, op->str[1]));
		return true;
	case OP_AWAIT_EXEC:
		if (op->str[0]) {
			strbuf_add(out, "seccomp listener to ");
			print_word(out, plan_str(plan, op->str[0]));
		}
		return true;
	default: return false;
	}
}

static void print_address(struct strbuf *out, uint32_t address)
{
	strbuf_printf(out, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
		      address & 255);
}

static void print_slirp(const struct plan *plan, const struct plan_op *op, struct strbuf *out)
{
	static const char *const different[] = {" without dns", " with the host's loopback", ""};

	print_word(out, plan_str(plan, op->str[0]));
	strbuf_add_char(out, ' ');
	print_address(out, (uint32_t)(op->arg[0] >> 32));
	strbuf_printf(out, "/%u mtu %u", (unsigned)(op->arg[0] & 0xff), (unsigned)op->arg[1]);
	for (size_t i = 0; i < ARRAY_LEN(different); i++)
		if (op->arg[2] & 1u << i)
			strbuf_add(out, different[i]);
}

static void print_port(const struct plan_op *op, struct strbuf *out)
{
	print_address(out, (uint32_t)(op->arg[0] >> 32));
	strbuf_printf(out, ":%u/%s to ", (unsigned)(op->arg[0] & 0xffff),
		      op->arg[2] ? "udp" : "tcp");
	print_address(out, (uint32_t)(op->arg[1] >> 32));
	strbuf_printf(out, ":%u", (unsigned)(op->arg[1] & 0xffff));
}

/* The network of a step. Returns false for a kind of another group. */
static bool print_network_op(const struct plan *plan, const struct plan_op *op, struct strbuf *out)
{
	switch (op->kind) {
	case OP_TAKE_NETWORK:
		strbuf_printf(out, "%s from ", slot_name(op->slot));
		print_word(out, plan_str(plan, op->str[0]));
		return true;
	case OP_STEP_NETWORK:
	case OP_KEEP_NETWORK: print_slirp(plan, op, out); return true;
	case OP_CLOSE_NETWORK:
		strbuf_add(out, "towards this host");
		if (op->arg[0]) {
			strbuf_add(out, ", but for questions to ");
			print_address(out, (uint32_t)op->arg[0]);
		}
		strbuf_add(out, op->arg[1] ? ", and answers to clients of ports" : "");
		return true;
	case OP_PUBLISH_PORT: print_port(op, out); return true;
	case OP_TEXT_FILE:
		strbuf_printf(out, "%s = ", slot_name(op->slot));
		print_word(out, plan_str(plan, op->str[0]));
		strbuf_printf(out, " of %zu bytes", strlen(plan_str(plan, op->str[1])));
		return true;
	default: return false;
	}
}

/* The cgroup and its limits. Returns false for a kind of another group. */
static bool print_cgroup_op(const struct plan *plan, const struct plan_op *op, struct strbuf *out)
{
	const struct plan_list *list = plan_list_at(plan, op->list);

	switch (op->kind) {
	case OP_CGROUP:
		if (op->arg[1] == CGROUP_SCOPE) {
			strbuf_add(out, "systemd scope ");
			print_word(out, plan_str(plan, op->str[1]));
			strbuf_add(out, " in ");
		}
		print_word(out, plan_str(plan, op->str[0]));
		if (op->list) {
			strbuf_add_char(out, ' ');
			print_list(plan, op->list, " ", out);
		}
		strbuf_add(out, op->arg[0] ? "" : " if it can be");
		if (op->arg[1] == CGROUP_FILES && op->str[1])
			strbuf_add(out, " without limits");
		return true;
	case OP_CGROUP_WRITE:
		print_word(out, plan_str(plan, op->str[0]));
		strbuf_add(out, " = ");
		print_word(out, plan_str(plan, op->str[1]));
		strbuf_add(out, op->arg[1] ? "" : " (v1)");
		if (op->arg[2] & RESOURCE_IF_EXISTS)
			strbuf_add(out, " if there is such a file");
		if (op->arg[2] & RESOURCE_ELSE)
			strbuf_add(out, " otherwise");
		return true;
	case OP_RESCTRL:
		print_word(out, plan_str(plan, op->str[0]));
		strbuf_add_char(out, ' ');
		print_list(plan, op->list, " monitored by ", out);
		if (op->str[1]) {
			strbuf_add(out, " schemata ");
			print_word(out, plan_str(plan, op->str[1]));
		}
		strbuf_add(out, op->arg[0] & RESCTRL_OWN    ? " made, removed with the container"
				: op->arg[0] & RESCTRL_MAKE ? " made if missing"
				: op->arg[0] & RESCTRL_JOIN ? " if it is there"
							    : "");
		return true;
	case OP_CGROUP_DEVICES:
		strbuf_printf(out, "BPF program of %u instructions", list ? list->count / 2 : 0);
		return true;
	default: return false;
	}
}

/* The rest: namespaces, the parent's ops. */
static void print_other_op(const struct plan *plan, const struct plan_op *op, struct strbuf *out)
{
	static const char *const idmap_methods[] = {"directly", "directly, setgroups denied",
						    "newuidmap and newgidmap"};
	static const char *const consoles[] = {"dropped", "ours", "to the console socket"};

	switch (op->kind) {
	case OP_SYNC:
	case OP_AWAIT:
	case OP_RELEASE: strbuf_add(out, stage_names[op->stage % STAGE_COUNT]); return;
	case OP_SETNS:
		strbuf_printf(out, "%s ", slot_name(op->slot));
		print_namespaces(out, op->arg[0]);
		return;
	case OP_UNSHARE: print_namespaces(out, op->arg[0]); return;
	case OP_CLONE:
		strbuf_add(out, "new ");
		print_namespaces(out, op->arg[0]);
		if (op->arg[1]) {
			strbuf_add(out, " joined ");
			print_namespaces(out, op->arg[1]);
		}
		strbuf_add(out, op->arg[2] ? " below a reaper" : "");
		return;
	case OP_IDMAP:
		strbuf_add(out, "uid ");
		print_map(plan, op->str[0], out);
		strbuf_add(out, " gid ");
		print_map(plan, op->str[1], out);
		strbuf_printf(out, " %s", idmap_methods[op->arg[0] % ARRAY_LEN(idmap_methods)]);
		return;
	case OP_OPEN_TTY:
		strbuf_printf(out, "%u rows %u columns", (unsigned)(op->arg[0] >> 16),
			      (unsigned)(op->arg[0] & 0xffff));
		return;
	case OP_TAKE_TTY: strbuf_add(out, consoles[op->arg[0] % ARRAY_LEN(consoles)]); return;
	case OP_WRITE_PROC:
		print_word(out, plan_str(plan, op->str[0]));
		strbuf_add(out, " = ");
		print_word(out, plan_str(plan, op->str[1]));
		return;
	case OP_OPEN_NS:
	case OP_HOSTNAME:
	case OP_DOMAINNAME:
	case OP_PID_FILE: print_word(out, plan_str(plan, op->str[0])); return;
	default: strbuf_add(out, op->slot == SLOT_NONE ? "" : slot_name(op->slot));
	}
}

static void print_details(const struct plan *plan, const struct plan_op *op, unsigned flags,
			  struct strbuf *out)
{
	if (!print_mount_op(plan, op, out) && !print_cgroup_op(plan, op, out) &&
	    !print_spec_op(plan, op, out) && !print_network_op(plan, op, out) &&
	    !print_process_op(plan, op, flags & PLAN_PRINT_ENV, out))
		print_other_op(plan, op, out);
	if (op->flags & OPF_IF_EMPTY && op->kind != OP_CHDIR)
		strbuf_add(out, " if none yet");
	if (op->on_error) {
		strbuf_add(out, " [");
		print_flags(out, errno_names, ARRAY_LEN(errno_names), op->on_error, ",");
		strbuf_add(out, op->skip ? ": skip" : ": go on");
		if (op->skip)
			strbuf_printf(out, " %u", op->skip);
		strbuf_add(out, "]");
	}
}

static void print_text_list(const struct plan *plan, const struct plan_op *ops, size_t n,
			    unsigned flags, struct strbuf *out)
{
	for (size_t i = 0; i < n; i++) {
		CLEANUP_STRBUF struct strbuf details = {0};

		print_details(plan, &ops[i], flags, &details);
		strbuf_printf(out, "%4zu  %-15s %s", i, plan_op_name(ops[i].kind),
			      details.text ? details.text : "");
		/* no blanks at the end of a line */
		while (out->len && out->text[out->len - 1] == ' ')
			out->text[--out->len] = '\0';
		if (ops[i].origin)
			strbuf_printf(out, "  # %s", plan_str(plan, ops[i].origin));
		strbuf_add_char(out, '\n');
	}
}

static void print_json_list(const struct plan *plan, const char *key, const struct plan_op *ops,
			    size_t n, unsigned flags, struct strbuf *out)
{
	strbuf_printf(out, "\"%s\":[", key);
	for (size_t i = 0; i < n; i++) {
		CLEANUP_STRBUF struct strbuf details = {0};

		print_details(plan, &ops[i], flags, &details);
		strbuf_printf(out, "%s\n{\"op\":\"%s\",\"details\":", i ? "," : "",
			      plan_op_name(ops[i].kind));
		strbuf_add_json(out, details.text ? details.text : "");
		strbuf_add(out, ",\"origin\":");
		strbuf_add_json(out, plan_str(plan, ops[i].origin));
		strbuf_add_char(out, '}');
	}
	strbuf_add(out, "]");
}

void plan_print(const struct plan *plan, unsigned flags, struct strbuf *out)
{
	const struct plan_op *child = plan_child_ops(plan);
	const struct plan_op *parent = plan_parent_ops(plan);

	if (flags & PLAN_PRINT_JSON) {
		strbuf_printf(out, "{\"version\":%u,", plan->version);
		print_json_list(plan, "parent", parent, plan->n_parent, flags, out);
		strbuf_add_char(out, ',');
		print_json_list(plan, "child", child, plan->n_child, flags, out);
		strbuf_printf(out, ",\"seccompInstructions\":%u}\n", plan->n_bpf);
		return;
	}
	strbuf_add(out, "parent (outside the new namespaces)\n");
	print_text_list(plan, parent, plan->n_parent, flags, out);
	strbuf_add(out, "child (becomes the program)\n");
	print_text_list(plan, child, plan->n_child, flags, out);
}
