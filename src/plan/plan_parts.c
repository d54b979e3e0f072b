/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What several sections of a plan ask of the configuration, and the hooks that stand in both of
 * its halves. Pure.
 */
#include "base/sys.h"
#include "plan/plan_blob.h"

bool plan_new_namespace(const struct plan_blob *b, uint64_t type)
{
	const struct spec_namespace *ns = spec_namespace_find(b->spec, type);

	if (!ns && type == CLONE_NEWNET)
		return plan_network_by_policy(b) && b->options->network.mode != PLAN_NETWORK_LENT;
	if (!ns)
		return type == CLONE_NEWPID && b->options->add_pid_namespace;
	return ns->path == NULL;
}

bool plan_inherits_mounts(const struct plan_blob *b)
{
	return !spec_namespace_find(b->spec, CLONE_NEWNS);
}

bool plan_root_is_inits(const struct plan_blob *b)
{
	const struct spec_namespace *mount = spec_namespace_find(b->spec, CLONE_NEWNS);

	return !mount || mount->path;
}

bool plan_ipc_comes_later(const struct plan_blob *b)
{
	const struct spec *spec = b->spec;
	const struct spec_namespace *user = spec_namespace_find(spec, CLONE_NEWUSER);

	if (!user || user->path || !plan_new_namespace(b, CLONE_NEWIPC))
		return false;
	for (size_t i = 0; i < spec->n_uid_map; i++)
		if (b->host->euid >= spec->uid_map[i].outside &&
		    b->host->euid - spec->uid_map[i].outside < spec->uid_map[i].count)
			return false;
	return true;
}

bool plan_in_user_namespace(const struct plan_blob *b)
{
	return b->host->in_user_namespace || spec_namespace_find(b->spec, CLONE_NEWUSER) != NULL;
}

bool plan_id_mapped(const struct plan_blob *b, uint32_t id, bool gid)
{
	const struct spec_namespace *user = spec_namespace_find(b->spec, CLONE_NEWUSER);
	const struct spec_idmap *map = gid ? b->spec->gid_map : b->spec->uid_map;
	size_t n = gid ? b->spec->n_gid_map : b->spec->n_uid_map;

	if (!user)
		return host_id_mapped(gid ? &b->host->gid_map : &b->host->uid_map, id);
	if (user->path)
		return true; /* its map is not known here; the kernel will say */
	for (size_t i = 0; i < n; i++)
		if (id >= map[i].inside && id - map[i].inside < map[i].count)
			return true;
	return false;
}

void plan_add_hooks(struct plan_blob *b, enum spec_hook_kind kind, bool in_child)
{
	const struct spec_hooks *hooks = &b->spec->hooks[kind];

	for (size_t i = 0; b->first_process && i < hooks->n; i++) {
		const struct spec_hook *hook = &hooks->v[i];
		uint32_t path = blob_str(b, hook->path);
		/* config.md#posix-platform-hooks: args as in execv(3), so with argv[0] */
		uint32_t args = hook->args.n ? blob_list(b, hook->args.v, hook->args.n)
					     : blob_list(b, &hook->path, 1);
		uint32_t env = blob_list(b, hook->env.v, hook->env.n);
		struct plan_op *op = in_child ? blob_child(b, OP_HOOK, hook->origin)
					      : blob_parent(b, OP_RUN_HOOK, hook->origin);

		op->str[0] = path;
		op->list = args;
		op->list2 = env;
		op->arg[0] = hook->timeout_s;
		op->arg[1] = (uint64_t)kind;
		op->arg[2] = i;
		if (in_child)
			op->slot = kind == HOOK_START_CONTAINER ? SLOT_STATE_CREATED
								: SLOT_STATE_CREATING;
		/* before the pivot nothing else tells it where the root is; runc does the same */
		if (in_child && kind == HOOK_CREATE_CONTAINER)
			op->slot2 = SLOT_ROOT;
		/* its program is the image's: nothing of the image runs outside the filter */
		if (in_child && kind == HOOK_START_CONTAINER && b->spec->seccomp.present)
			op->flags = OPF_FILTERED;
	}
}
