/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last part of every plan, for the container's first process and for `exec`: limits,
 * identity, filter, execve. Pure.
 *
 * The order is forced. Descriptors are closed before chdir (a path like /proc/self/fd/N must not
 * find one of ours, CVE-2024-21626); the bounding set is cut while CAP_SETPCAP is there; ids
 * change with the capabilities kept; capset follows because setresuid clears the effective set;
 * the filter comes last, because it may forbid any of this. Without no_new_privs seccomp(2)
 * needs CAP_SYS_ADMIN, which is then dropped by one more capset, the only call besides execve
 * that the profile must allow (runc needs more of them).
 */
#include <linux/capability.h>
#include "base/sys.h"
#include "plan/plan_blob.h"

#define CAP_BIT(number) (UINT64_C(1) << (number))

/* An error for an id outside the container's map, with the usual remedy. */
static int process_id_error(struct plan_blob *b, const char *origin, const char *what, uint32_t id)
{
	err_set(b->err, RB_IDMAP_UNMAPPED, 0,
		"%s %u is not mapped in the container's user namespace", what, id);
	err_origin(b->err, origin);
	if (spec_namespace_find(b->spec, CLONE_NEWUSER))
		err_fix(b->err, "let linux.uidMappings and linux.gidMappings cover it");
	else
		err_fix(b->err,
			"give the user more subordinate ids in /etc/subuid and /etc/subgid, "
			"then restart the daemon");
	return -EINVAL;
}

/* Is setgroups(2) refused in the container's user namespace? user_namespaces(7) */
static bool process_setgroups_denied(const struct plan_blob *b)
{
	const struct spec_namespace *user = spec_namespace_find(b->spec, CLONE_NEWUSER);

	if (!user || user->path)
		return b->host->setgroups_denied;
	return plan_idmap_method(b) == IDMAP_DIRECT_DENY || b->host->setgroups_denied;
}

int plan_check_process_ids(struct plan_blob *b, const struct spec_process *process)
{
	if (!plan_id_mapped(b, process->uid, false))
		return process_id_error(b, "/process/user/uid", "uid", process->uid);
	if (!plan_id_mapped(b, process->gid, true))
		return process_id_error(b, "/process/user/gid", "gid", process->gid);
	for (size_t i = 0; i < process->n_groups; i++) {
		if (!plan_id_mapped(b, process->groups[i], true))
			return process_id_error(b, "/process/user/additionalGids", "gid",
						process->groups[i]);
		if (process->groups[i] != process->gid && process_setgroups_denied(b)) {
			err_set(b->err, RB_CONFIG_ID, 0,
				"cannot set any additional groups in a rootless container");
			err_origin(b->err, "/process/user/additionalGids");
			err_fix(b->err, "map more than one gid, or remove additionalGids");
			return -EINVAL;
		}
	}
	if (process->apparmor_profile && !b->host->apparmor && process->apparmor_profile[0] &&
	    !str_eq(process->apparmor_profile, "unconfined")) {
		err_set(b->err, RB_LSM, 0, "AppArmor is not active on this host");
		err_origin(b->err, "/process/apparmorProfile");
		return -EINVAL;
	}
	if (process->selinux_label && process->selinux_label[0] && !b->host->selinux) {
		err_set(b->err, RB_LSM, 0, "SELinux is not active on this host");
		err_origin(b->err, "/process/selinuxLabel");
		return -EINVAL;
	}
	return 0;
}

static bool env_has(const struct spec_strings *env, const char *prefix)
{
	for (size_t i = 0; i < env->n; i++)
		if (str_starts(env->v[i], prefix) && env->v[i][strlen(prefix)])
			return true;
	return false;
}

/* While the process is dumpable: /proc/self belongs to the host's root afterwards, proc(5). */
void plan_add_oom_score(struct plan_blob *b, const struct spec_process *process)
{
	uint32_t file;
	uint32_t value;
	struct plan_op *op;

	if (!process->has_oom_score_adj)
		return;
	file = blob_str(b, "self/oom_score_adj");
	value = blob_str(b, arena_printf(b->arena, "%d", process->oom_score_adj));
	op = blob_child(b, OP_WRITE_PROC, "/process/oomScoreAdj");
	op->slot = SLOT_PROC;
	op->str[0] = file;
	op->str[1] = value;
	/* proc(5): lowering it needs CAP_SYS_RESOURCE on the host */
	if (plan_in_user_namespace(b))
		op->on_error = ON_EACCES | ON_EPERM;
}

static void process_add_limits(struct plan_blob *b, const struct spec_process *process)
{
	struct plan_op *op;

	if (!b->first_process)
		plan_add_oom_score(b, process);
	for (size_t i = 0; i < process->n_rlimits; i++) {
		const struct spec_rlimit *limit = &process->rlimits[i];

		op = blob_child(b, OP_RLIMIT, limit->origin);
		op->arg[0] = (uint64_t)limit->resource;
		op->arg[1] = limit->soft;
		op->arg[2] = limit->hard;
	}
}

/* The words of a set up to the last one that is not empty. */
static uint32_t process_bits(struct plan_blob *b, const struct spec_bits *bits)
{
	size_t n = ARRAY_LEN(bits->word);

	while (n > 0 && bits->word[n - 1] == 0)
		n--;
	return blob_numbers(b, bits->word, n);
}

void plan_add_affinity(struct plan_blob *b, const struct spec_bits *cpus)
{
	uint32_t list;

	if (!cpus->present)
		return;
	list = process_bits(b, cpus);
	blob_child(b, OP_AFFINITY, cpus->origin)->list = list;
}

static void process_add_scheduler(struct plan_blob *b, const struct spec_scheduler *s)
{
	const uint32_t times[] = {
		(uint32_t)s->runtime,  (uint32_t)(s->runtime >> 32),
		(uint32_t)s->deadline, (uint32_t)(s->deadline >> 32),
		(uint32_t)s->period,   (uint32_t)(s->period >> 32),
	};
	uint32_t list;
	struct plan_op *op;

	if (!s->present)
		return;
	list = blob_numbers(b, times, ARRAY_LEN(times));
	op = blob_child(b, OP_SCHEDULER, s->origin);
	op->list = list;
	op->arg[0] = s->flags << 32 | s->policy;
	op->arg[1] = (uint64_t)(uint32_t)s->priority << 32 | (uint32_t)s->nice;
}

/* Scheduling goes with the privilege of the host, so before the ids change. */
static void process_add_scheduling(struct plan_blob *b, const struct spec_process *process)
{
	process_add_scheduler(b, &process->scheduler);
	if (process->has_io_priority)
		blob_child(b, OP_IO_PRIORITY, "/process/ioPriority")->arg[0] = process->io_priority;
	if (b->spec->has_memory_policy) {
		uint32_t nodes = process_bits(b, &b->spec->memory_nodes);
		struct plan_op *op = blob_child(b, OP_MEMORY_POLICY, "/linux/memoryPolicy");

		op->arg[0] = b->spec->memory_policy;
		op->list = nodes;
	}
	if (b->spec->has_personality)
		blob_child(b, OP_PERSONALITY, "/linux/personality")->arg[0] = b->spec->personality;
}

static void process_add_cwd(struct plan_blob *b, const struct spec_process *process, bool late)
{
	uint32_t path = blob_str(b, process->cwd);
	struct plan_op *op = blob_child(b, OP_CHDIR, "/process/cwd");

	op->slot = SLOT_CWD;
	op->str[0] = path;
	if (late)
		op->flags = OPF_IF_EMPTY;
	else
		/* a directory that only the user may enter (NFS with root_squash): tried again */
		op->on_error = ON_EACCES;
}

static void process_add_ids(struct plan_blob *b, const struct spec_process *process)
{
	uint32_t groups = blob_numbers(b, process->groups, process->n_groups);
	struct plan_op *op = blob_child(b, OP_IDS, "/process/user");

	op->arg[0] = process->uid;
	op->arg[1] = process->gid;
	op->arg[2] = process_setgroups_denied(b);
	op->list = groups;
}

static void process_add_caps(struct plan_blob *b, const struct spec_caps *caps, uint64_t extra)
{
	struct plan_op *op = blob_child(b, OP_CAPS, "/process/capabilities");

	op->arg[0] = caps->effective | extra;
	op->arg[1] = caps->permitted | extra;
	op->arg[2] = caps->inheritable;
}

/*
 * What can be granted: config.md#process says that the rest is a warning, not an error. A new
 * user namespace begins with every capability: capabilities(7).
 */
static struct spec_caps process_caps(const struct plan_blob *b, const struct spec_process *process)
{
	struct spec_caps caps = process->caps;
	uint64_t can = UINT64_MAX;

	if (!spec_namespace_find(b->spec, CLONE_NEWUSER))
		can = b->host->caps_bounding & b->host->caps_effective;
	caps.bounding &= can;
	caps.permitted &= can;
	caps.effective &= caps.permitted;
	caps.inheritable &= can;
	caps.ambient &= caps.permitted & caps.inheritable;
	return caps;
}

/* Before the filter, which need not know the calls; a further process gets it as the first did. */
static void process_add_landlock(struct plan_blob *b)
{
	const struct spec_landlock *landlock = &b->spec->landlock;
	const char *rules[LIMIT_LANDLOCK_PATHS];
	size_t n = 0;
	uint32_t list;
	struct plan_op *op;

	if (!landlock->named)
		return;
	for (size_t i = 0; i < LANDLOCK_ACCESSES; i++)
		for (size_t k = 0; k < landlock->paths[i].n; k++) {
			rules[n] = arena_printf(b->arena, "%zu:%s", i, landlock->paths[i].v[k]);
			b->pool.failed |= rules[n] == NULL;
			n++;
		}
	list = b->pool.failed ? 0 : blob_list(b, rules, n);
	op = blob_child(b, OP_LANDLOCK, landlock->origin);
	op->arg[0] = landlock->named;
	op->list = list;
}

static void process_add_start(struct plan_blob *b, const struct spec_process *process,
			      const struct spec_caps *caps, bool drop_admin)
{
	struct plan_op *op;

	blob_child(b, OP_FIND_PROGRAM, "/process/args");
	/* a second part comes when every guard is in place: it is the release */
	if (b->part == PLAN_WHOLE)
		blob_child(b, OP_SYNC, NULL)->stage = STAGE_READY;
	if (b->options->wait_start)
		blob_child(b, OP_WAIT_START, NULL)->slot = SLOT_START;
	plan_add_hooks(b, HOOK_START_CONTAINER, true);
	if (b->part == PLAN_WHOLE)
		blob_child(b, OP_RESET_SIGNALS, NULL);
	process_add_landlock(b);
	blob_child(b, OP_REPORT_EXEC, NULL);
	if (b->spec->seccomp.present) {
		op = blob_child(b, OP_SECCOMP, b->spec->seccomp.origin);
		op->arg[0] = b->spec->seccomp.flags |
			     (b->spec->seccomp.listener_path ? SECCOMP_FILTER_FLAG_NEW_LISTENER
							     : 0);
		if (drop_admin)
			process_add_caps(b, caps, 0);
	}
	{
		uint32_t args = blob_list(b, process->args.v, process->args.n);
		uint32_t env = blob_list(b, process->env.v, process->env.n);

		op = blob_child(b, OP_EXEC, "/process/args");
		op->list = args;
		op->list2 = env;
	}
}

static void process_add_bounding(struct plan_blob *b, const struct spec_caps *caps)
{
	blob_child(b, OP_BOUNDING, "/process/capabilities/bounding")->arg[0] = caps->bounding;
}

void plan_add_early_process(struct plan_blob *b, const struct spec_process *process)
{
	const struct spec_caps caps = process_caps(b, process);

	process_add_bounding(b, &caps);
	blob_child(b, OP_RESET_SIGNALS, NULL);
}

void plan_add_process(struct plan_blob *b, const struct spec_process *process)
{
	const struct spec_caps caps = process_caps(b, process);
	bool drop_admin = b->spec->seccomp.present && !process->no_new_privileges &&
			  !b->spec->landlock.named && !(caps.effective & CAP_BIT(CAP_SYS_ADMIN));

	process_add_limits(b, process);
	process_add_scheduling(b, process);
	plan_add_lsm(b, process);
	if (!env_has(&process->env, "HOME="))
		blob_child(b, OP_HOME, "/process/env")->arg[0] = process->uid;
	if (process->terminal_given)
		blob_child(b, OP_CONTROLLING_TTY, "/process/terminal");
	if (process->uid != 0 && !b->options->keep_stdio_owner)
		blob_child(b, OP_STDIO_OWNER, "/process/user/uid")->arg[0] = process->uid;
	blob_child(b, OP_CLOSE_FDS, NULL)->arg[0] = 3 + (uint64_t)b->options->preserve_fds;
	process_add_cwd(b, process, false);
	if (b->part == PLAN_WHOLE)
		process_add_bounding(b, &caps);
	process_add_ids(b, process);
	process_add_cwd(b, process, true);
	process_add_caps(b, &caps, drop_admin ? CAP_BIT(CAP_SYS_ADMIN) : 0);
	if (caps.ambient)
		blob_child(b, OP_AMBIENT, "/process/capabilities/ambient")->arg[0] = caps.ambient;
	blob_child(b, OP_UMASK, process->has_umask ? "/process/user/umask" : NULL)
		->arg[0] = process->has_umask ? process->umask : 022;
	if (b->options->foreground)
		blob_child(b, OP_DEATH_SIGNAL, NULL);
	if (process->no_new_privileges || b->spec->landlock.named)
		blob_child(b, OP_NO_NEW_PRIVS, "/process/noNewPrivileges");
	process_add_start(b, process, &caps, drop_admin);
}
