/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent's half of a plan: what has to happen outside the new namespaces, and when the child
 * may go on. Pure. launch/ carries it out.
 */
#include <linux/capability.h>
#include "base/sys.h"
#include "plan/plan_blob.h"

static const struct {
	uint64_t type;
	enum plan_slot slot;
} namespace_slots[] = {
	{CLONE_NEWUSER, SLOT_USER_NS},     {CLONE_NEWPID, SLOT_PID_NS},
	{CLONE_NEWNET, SLOT_NET_NS},       {CLONE_NEWNS, SLOT_MOUNT_NS},
	{CLONE_NEWIPC, SLOT_IPC_NS},       {CLONE_NEWUTS, SLOT_UTS_NS},
	{CLONE_NEWCGROUP, SLOT_CGROUP_NS}, {CLONE_NEWTIME, SLOT_TIME_NS},
};

/* One own id needs no help: user_namespaces(7), "Defining user and group ID mappings". */
static bool idmap_is_own_id(const struct spec_idmap *map, size_t n, uint32_t id)
{
	return n == 1 && map->count == 1 && map->outside == id;
}

enum plan_idmap_method plan_idmap_method(const struct plan_blob *b)
{
	const struct spec *spec = b->spec;

	if (host_has_cap(b->host, CAP_SETUID) && host_has_cap(b->host, CAP_SETGID))
		return IDMAP_DIRECT;
	if (idmap_is_own_id(spec->uid_map, spec->n_uid_map, b->host->euid) &&
	    idmap_is_own_id(spec->gid_map, spec->n_gid_map, b->host->egid))
		return IDMAP_DIRECT_DENY;
	return IDMAP_HELPER;
}

/*
 * The lines of one map. A line may not span two extents of the map it is written under (EPERM),
 * so a mapping is split where the outer namespace's extents end.
 */
static uint32_t idmap_text(struct plan_blob *b, const struct spec_idmap *map, size_t n,
			   const struct host_idmap *outer)
{
	CLEANUP_STRBUF struct strbuf text = {0};

	for (size_t i = 0; i < n; i++) {
		uint32_t inside = map[i].inside;
		uint32_t outside = map[i].outside;
		uint32_t left = map[i].count;

		while (left > 0) {
			uint32_t count = left;

			for (size_t k = 0; k < outer->n; k++) {
				uint32_t offset = outside - outer->v[k].inside;

				if (outside >= outer->v[k].inside && offset < outer->v[k].count &&
				    count > outer->v[k].count - offset)
					count = outer->v[k].count - offset;
			}
			strbuf_printf(&text, "%u %u %u\n", inside, outside, count);
			inside += count;
			outside += count;
			left -= count;
		}
	}
	if (text.failed)
		b->pool.failed = true;
	return blob_str(b, text.text);
}

static int idmap_check_outside(struct plan_blob *b, const struct spec_idmap *map, size_t n,
			       const struct host_idmap *outer)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t last = (uint64_t)map[i].outside + map[i].count - 1;

		/* every id of it: extents may touch, so walk them */
		for (uint64_t id = map[i].outside; id <= last;) {
			const struct host_extent *found = NULL;

			for (size_t k = 0; k < outer->n && !found; k++)
				if (id >= outer->v[k].inside &&
				    id - outer->v[k].inside < outer->v[k].count)
					found = &outer->v[k];
			if (!found) {
				err_set(b->err, RB_IDMAP_UNMAPPED, 0,
					"host id %" PRIu64 " is not mapped in this user namespace",
					id);
				err_origin(b->err, map[i].origin);
				err_fix(b->err,
					"map only ids that /proc/self/uid_map and gid_map list");
				return -EINVAL;
			}
			id = (uint64_t)found->inside + found->count;
		}
	}
	return 0;
}

static int plan_add_idmap(struct plan_blob *b)
{
	const struct spec *spec = b->spec;
	uint32_t uids;
	uint32_t gids;
	struct plan_op *op;
	int r;

	if (spec->n_uid_map == 0)
		return 0;
	if ((r = idmap_check_outside(b, spec->uid_map, spec->n_uid_map, &b->host->uid_map)) < 0 ||
	    (r = idmap_check_outside(b, spec->gid_map, spec->n_gid_map, &b->host->gid_map)) < 0)
		return r;
	uids = idmap_text(b, spec->uid_map, spec->n_uid_map, &b->host->uid_map);
	gids = idmap_text(b, spec->gid_map, spec->n_gid_map, &b->host->gid_map);
	op = blob_parent(b, OP_IDMAP, "/linux/uidMappings");
	op->str[0] = uids;
	op->str[1] = gids;
	op->arg[0] = (uint64_t)plan_idmap_method(b);
	return 0;
}

static uint32_t mount_maps(struct plan_blob *b, const struct spec_mount *mount)
{
	bool own = mount->n_uid_map > 0;
	const struct spec *spec = b->spec;
	const uint32_t texts[2] = {
		own ? idmap_text(b, mount->uid_map, mount->n_uid_map, &b->host->uid_map)
		    : idmap_text(b, spec->uid_map, spec->n_uid_map, &b->host->uid_map),
		own ? idmap_text(b, mount->gid_map, mount->n_gid_map, &b->host->gid_map)
		    : idmap_text(b, spec->gid_map, spec->n_gid_map, &b->host->gid_map),
	};
	const char *list[2] = {"", ""};

	for (size_t i = 0; i < 2 && !b->pool.failed; i++)
		list[i] = arena_strdup(b->arena, b->pool.text + texts[i]);
	return blob_list(b, list, 2);
}

/*
 * Sources that the parent opens for the child to inherit. Those whose ids are mapped: that needs
 * privilege over the file system, which a child in a user namespace of its own no longer has. And,
 * for root, all others of such a child: what its ids may not reach is then taken from there.
 */
bool plan_mount_has_tree(const struct plan_blob *b, const struct spec_mount *mount, uint64_t number)
{
	const struct spec_namespace *user = spec_namespace_find(b->spec, CLONE_NEWUSER);

	if (plan_mount_is_text(b, mount))
		return false;
	return mount->idmap || (mount->bind && user && !user->path && b->host->euid == 0 &&
				!b->host->in_user_namespace && number < LIMIT_HOST_TREES / 2);
}

static int plan_add_host_trees(struct plan_blob *b)
{
	uint64_t number = 0;

	for (size_t i = 0; i < b->spec->n_mounts; i++) {
		const struct spec_mount *mount = &b->spec->mounts[i];
		uint32_t maps = 0;
		uint32_t source;
		struct plan_op *op;

		if (!plan_mount_has_tree(b, mount, number))
			continue;
		if (mount->idmap && !mount->n_uid_map && !b->spec->n_uid_map) {
			err_set(b->err, RB_CONFIG_CONFLICT, 0,
				"an id-mapped mount without mappings and without a user namespace");
			err_origin(b->err, mount->origin);
			err_fix(b->err, "add uidMappings and gidMappings to the mount");
			return -EINVAL;
		}
		if (number == LIMIT_HOST_TREES)
			return err_set(b->err, RB_CONFIG_LIMIT, 0, "more than %u id-mapped mounts",
				       LIMIT_HOST_TREES);
		if (mount->idmap)
			maps = mount_maps(b, mount);
		source = blob_str(b, mount->source);
		op = blob_parent(b, OP_HOST_TREE, mount->origin);
		op->str[0] = source;
		op->list = maps;
		op->flags = (mount->recursive ? OPF_RECURSIVE : 0) |
			    (mount->no_follow_source ? OPF_NOFOLLOW : 0);
		op->arg[0] = number++;
		op->arg[1] = mount->idmap_recursive;
		op->arg[2] = host_has_cap(b->host, CAP_SETUID) && host_has_cap(b->host, CAP_SETGID)
				     ? IDMAP_DIRECT
				     : IDMAP_HELPER;
	}
	return 0;
}

static void plan_add_net_devices(struct plan_blob *b)
{
	for (size_t i = 0; i < b->spec->n_net_devices; i++) {
		const struct spec_net_device *device = &b->spec->net_devices[i];
		uint32_t name = blob_str(b, device->name);
		uint32_t new_name = blob_str(b, device->new_name);
		struct plan_op *op = blob_parent(b, OP_NET_DEVICE, device->origin);

		op->str[0] = name;
		op->str[1] = new_name;
	}
}

/* A place for the mounts all the same; the child leaves it in plan_add_pivot(). */
static void plan_add_outer_mounts(struct plan_blob *b)
{
	uint32_t path = blob_str(b, "/proc/self/ns/mnt");
	struct plan_op *op = blob_parent(b, OP_OPEN_NS, "/linux/namespaces");

	op->slot = SLOT_OUTER_MOUNTS;
	op->str[0] = path;
	op->arg[0] = CLONE_NEWNS;
}

static void plan_add_clone(struct plan_blob *b)
{
	uint64_t fresh = b->options->add_pid_namespace ? CLONE_NEWPID : 0;
	uint64_t joined = 0;
	struct plan_op *op;

	if (plan_inherits_mounts(b)) {
		fresh |= CLONE_NEWNS;
		plan_add_outer_mounts(b);
	}

	if (plan_new_namespace(b, CLONE_NEWNET))
		fresh |= CLONE_NEWNET;
	for (size_t i = 0; i < b->spec->n_namespaces; i++) {
		const struct spec_namespace *ns = &b->spec->namespaces[i];
		uint32_t path;

		if (!ns->path) {
			/* the cgroup namespace is made after the cgroup was joined, and a time
			 * namespace takes its offsets only as long as nobody is in it */
			if (ns->type != CLONE_NEWCGROUP && ns->type != CLONE_NEWTIME &&
			    (ns->type != CLONE_NEWIPC || !plan_ipc_comes_later(b)))
				fresh |= ns->type;
			continue;
		}
		joined |= ns->type;
		path = blob_str(b, ns->path);
		op = blob_parent(b, OP_OPEN_NS, ns->origin);
		op->str[0] = path;
		op->arg[0] = ns->type;
		for (size_t k = 0; k < ARRAY_LEN(namespace_slots); k++)
			if (namespace_slots[k].type == ns->type)
				op->slot = (int8_t)namespace_slots[k].slot;
	}
	plan_add_handed_cgroup(b);
	op = blob_parent(b, OP_CLONE, "/linux/namespaces");
	op->arg[0] = fresh;
	op->arg[1] = joined;
	op->arg[2] = b->options->reaper;
}

/*
 * The child waits at STAGE_NAMESPACES only when something must happen to it from outside first;
 * otherwise it sets itself up while the parent writes the record and starts the monitor. Either
 * way it waits at STAGE_READY, before the first instruction of the image runs, for every guard.
 */
static void plan_add_namespaces_sync(struct plan_blob *b, bool needed)
{
	if (!needed)
		return;
	blob_parent(b, OP_AWAIT, NULL)->stage = STAGE_NAMESPACES;
	blob_parent(b, OP_RELEASE, NULL)->stage = STAGE_NAMESPACES;
	blob_child(b, OP_SYNC, NULL)->stage = STAGE_NAMESPACES;
}

int plan_add_parent_start(struct plan_blob *b)
{
	bool cgroup;
	bool early;
	int r;

	r = plan_add_host_trees(b);
	if (r < 0)
		return r;
	plan_add_lent_network(b);
	plan_add_clone(b);
	r = plan_add_idmap(b);
	if (r < 0)
		return r;
	/* a death between a group and the monitor would leave the group: the monitor comes first */
	early = b->options->foreground && (plan_wants_cgroup(b) || b->spec->rdt.present);
	if (early)
		blob_parent(b, OP_MONITOR, NULL);
	r = plan_add_cgroup(b, &cgroup);
	if (r < 0)
		return r;
	plan_add_resctrl(b);
	plan_add_net_devices(b);
	plan_add_network(b);
	plan_add_namespaces_sync(b, cgroup || b->spec->n_uid_map || b->spec->n_net_devices ||
					    b->spec->rdt.present);
	if (!b->options->no_record)
		blob_parent(b, OP_RECORD, NULL);
	if (b->options->foreground && !early)
		blob_parent(b, OP_MONITOR, NULL);
	if (plan_has_early_hooks(b->spec)) {
		blob_parent(b, OP_AWAIT, NULL)->stage = STAGE_MOUNTS;
		plan_add_hooks(b, HOOK_PRESTART, false);
		plan_add_hooks(b, HOOK_CREATE_RUNTIME, false);
		blob_parent(b, OP_RELEASE, NULL)->stage = STAGE_MOUNTS;
	}
	return 0;
}

void plan_add_exec_clone(struct plan_blob *b, uint64_t join, const char *cgroup)
{
	struct plan_op *op;
	bool grouped;

	plan_add_handed_cgroup(b);
	if (plan_root_is_inits(b))
		blob_parent(b, OP_INIT_ROOT, NULL)->slot = SLOT_ROOT;
	op = blob_parent(b, OP_CLONE, NULL);
	op->slot = SLOT_INIT;
	op->arg[1] = join & PLAN_BORN_INTO;
	op->arg[2] = b->options->reaper;
	grouped = plan_add_exec_cgroup(b, cgroup);
	plan_add_resctrl(b);
	plan_add_namespaces_sync(b, grouped || (b->spec->rdt.present && b->host->resctrl[0]));
	if (b->options->foreground)
		blob_parent(b, OP_MONITOR, NULL);
}

static void plan_add_await_exec(struct plan_blob *b)
{
	const struct spec_seccomp *seccomp = &b->spec->seccomp;
	uint32_t path = blob_str(b, seccomp->listener_path);
	uint32_t metadata = blob_str(b, seccomp->listener_metadata);
	struct plan_op *op = blob_parent(b, OP_AWAIT_EXEC, path ? seccomp->origin : NULL);

	op->str[0] = path;
	op->str[1] = metadata;
}

void plan_add_parent_end(struct plan_blob *b, bool terminal)
{
	uint32_t pid_file = blob_str(b, b->options->pid_file);

	if (terminal) {
		struct plan_op *op = blob_parent(b, OP_TAKE_TTY, "/process/terminal");

		op->slot = SLOT_TTY_MASTER;
		op->arg[0] = (uint64_t)b->options->console;
	}
	if (b->part == PLAN_SECOND) {
		plan_add_await_exec(b);
		return;
	}
	blob_parent(b, OP_AWAIT, NULL)->stage = STAGE_READY;
	/* before that, whoever enters would stand in the host's files */
	if (b->first_process && !b->options->no_record)
		blob_parent(b, OP_PUBLISH, NULL);
	plan_add_network_end(b);
	if (b->options->pidfd_socket)
		blob_parent(b, OP_SEND_PIDFD, NULL);
	if (b->options->wait_start) {
		if (pid_file)
			blob_parent(b, OP_PID_FILE, NULL)->str[0] = pid_file;
		blob_parent(b, OP_RELEASE, NULL)->stage = STAGE_READY;
		return;
	}
	blob_parent(b, OP_RELEASE, NULL)->stage = STAGE_READY;
	plan_add_await_exec(b);
	if (pid_file)
		blob_parent(b, OP_PID_FILE, NULL)->str[0] = pid_file;
	plan_add_hooks(b, HOOK_POSTSTART, false);
}
