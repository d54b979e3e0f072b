/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mount of type "cgroup" as ops. Pure. What a container sees there is its own group: through its
 * cgroup namespace, or, without one, as a bind mount of the group. The hierarchy of the host is
 * shown only where neither can be had, and then read-only.
 *
 * v2 is one file system; v1 is a directory with one file system per hierarchy of the host, as
 * cgroups(7) and every program that reads them expect.
 */
#include "base/sys.h"
#include "plan/plan_blob.h"
#include "plan/scope.h"

#define CGROUP_PATH "/sys/fs/cgroup"

static void add_tmpfs(struct plan_blob *b, const struct spec_mount *mount)
{
	const char *options[2] = {"mode=755"};
	size_t n = 1 + plan_mount_context(b, "tmpfs", &options[1]);
	uint32_t type = blob_str(b, "tmpfs");
	uint32_t list = blob_list(b, options, n);
	struct plan_op *op = blob_child(b, OP_FSMOUNT, mount->origin);

	op->slot = SLOT_TREE;
	op->str[0] = op->str[1] = type;
	op->list = list;
	/* read-only once everything below it has been made */
	op->arg[0] = mount->attr_set & ~(uint64_t)MOUNT_ATTR_RDONLY;
}

/* SLOT_TREE onto a directory below the mount's destination. */
static void attach_below(struct plan_blob *b, const struct spec_mount *mount, const char *name)
{
	const char *text = name[0] ? arena_printf(b->arena, "%s/%s", mount->destination, name)
				   : mount->destination;
	uint32_t path = blob_str(b, text);
	struct plan_op *op = blob_child(b, OP_MAKE_TARGET, mount->origin);

	op->slot = SLOT_TARGET;
	op->slot2 = SLOT_TREE;
	op->str[0] = path;
	op->flags = OPF_DIRECTORY | OPF_NO_SYMLINKS;
	op = blob_child(b, OP_MOVE_MOUNT, mount->origin);
	op->slot = SLOT_TREE;
	op->slot2 = SLOT_TARGET;
}

/* Are all words of "cpu,cpuacct" controllers? A named hierarchy ("systemd") has none. */
static bool is_controllers(const char *directory)
{
	while (*directory) {
		size_t len = strcspn(directory, ",");
		bool known = false;

		for (int i = 0; i < CONTROLLERS; i++) {
			const char *name = host_controller_v1_name((enum host_controller)i);

			known |= strlen(name) == len && memcmp(name, directory, len) == 0;
		}
		if (!known && !(len == 10 && memcmp(directory, "perf_event", 10) == 0))
			return false;
		directory += len + (directory[len] == ',');
	}
	return true;
}

/* One hierarchy as its cgroup namespace shows it. */
static void add_hierarchy(struct plan_blob *b, const struct spec_mount *mount,
			  const char *directory)
{
	bool v2 = str_eq(directory, "unified");
	const char *options[CONTROLLERS + 2];
	size_t n = 0;
	uint32_t type = blob_str(b, v2 ? "cgroup2" : "cgroup");
	uint32_t list;
	struct plan_op *op;

	if (!v2 && is_controllers(directory)) {
		for (const char *at = directory; *at && n < ARRAY_LEN(options);) {
			size_t len = strcspn(at, ",");

			options[n++] = arena_strndup(b->arena, at, len);
			at += len + (at[len] == ',');
		}
	} else if (!v2) {
		options[n++] = "none";
		options[n++] = arena_printf(b->arena, "name=%s", directory);
	}
	list = blob_list(b, options, n);
	op = blob_child(b, OP_FSMOUNT, mount->origin);
	op->slot = SLOT_TREE;
	op->str[0] = op->str[1] = type;
	op->list = list;
	op->arg[0] = mount->attr_set;
	attach_below(b, mount, directory);
}

/* The path of the container's group when it surely exists before the child gets here, or NULL. */
static const char *own_group(struct plan_blob *b)
{
	bool surely = !b->options->rootless_cgroup || !b->options->foreground;
	struct rb_err ignored; /* plan_add_cgroup() says it */
	struct scope scope;

	if (!surely)
		return NULL;
	if (b->options->cgroup_manager == CGROUP_MANAGER_FILES)
		return b->spec->cgroups_path[0] == '/' ? b->spec->cgroups_path : NULL;
	/* a user's systemd has its groups below one of its own */
	if (b->options->cgroup_manager != CGROUP_MANAGER_SYSTEMD || b->host->euid != 0 ||
	    b->host->in_user_namespace ||
	    scope_describe(b->arena, b->spec, b->host, b->options->id, &scope, &ignored) < 0)
		return NULL;
	return scope_group(b->arena, &scope);
}

/* The container's own group in a hierarchy, bound. Its path is known: it was made before. */
static void add_own_group(struct plan_blob *b, const struct spec_mount *mount, const char *group,
			  const char *directory)
{
	uint32_t path = blob_str(b, arena_printf(b->arena, CGROUP_PATH "%s%s%s",
						 directory[0] ? "/" : "", directory, group));
	struct plan_op *op = blob_child(b, OP_OPEN_TREE, mount->origin);

	op->slot = SLOT_TREE;
	op->str[0] = path;
	op = blob_child(b, OP_MOUNT_SETATTR, mount->origin);
	op->slot = SLOT_TREE;
	op->arg[0] = mount->attr_set;
	attach_below(b, mount, directory);
}

/* "cpu" and "cpuacct" beside "cpu,cpuacct", as links: systemd and docker make them so. */
static void add_links(struct plan_blob *b, const struct spec_mount *mount, const char *directory)
{
	for (const char *at = directory; strchr(directory, ',') && *at;) {
		size_t len = strcspn(at, ",");
		const char *name = arena_strndup(b->arena, at, len);
		uint32_t target = blob_str(b, directory);
		uint32_t path = blob_str(
			b, arena_printf(b->arena, "%s/%s", mount->destination, name ? name : ""));
		struct plan_op *op = blob_child(b, OP_SYMLINK_IN_ROOT, mount->origin);

		op->str[0] = target;
		op->str[1] = path;
		op->on_error = ON_EEXIST;
		at += len + (at[len] == ',');
	}
}

static void add_v1(struct plan_blob *b, const struct spec_mount *mount, const char *group)
{
	const char *at = b->host->cgroup_hierarchies;

	add_tmpfs(b, mount);
	attach_below(b, mount, "");
	while (*at) {
		size_t len = strcspn(at, " ");
		const char *directory = arena_strndup(b->arena, at, len);

		if (!directory) {
			b->pool.failed = true;
			return;
		}
		if (group)
			add_own_group(b, mount, group, directory);
		else
			add_hierarchy(b, mount, directory);
		add_links(b, mount, directory);
		at += len + (at[len] == ' ');
	}
	if (mount->attr_set & MOUNT_ATTR_RDONLY) {
		uint32_t path = blob_str(b, mount->destination);
		struct plan_op *op = blob_child(b, OP_OPEN_IN_ROOT, mount->origin);

		op->slot = SLOT_TARGET;
		op->str[0] = path;
		op = blob_child(b, OP_MOUNT_SETATTR, mount->origin);
		op->slot = SLOT_TARGET;
		op->arg[0] = MOUNT_ATTR_RDONLY;
	}
}

bool plan_add_cgroup_mount(struct plan_blob *b, const struct spec_mount *mount)
{
	bool namespaced = plan_new_namespace(b, CLONE_NEWCGROUP);
	const char *group = namespaced ? NULL : own_group(b);

	if (!namespaced && !group)
		return false;
	/* there v1 cannot be mounted at all, and v2 only bound */
	if (plan_in_user_namespace(b) && (namespaced || b->host->cgroup_mode != HOST_CGROUP_V2))
		return false;
	if (b->host->cgroup_mode == HOST_CGROUP_V2) {
		if (namespaced)
			return false; /* an ordinary mount of cgroup2 does it */
		add_own_group(b, mount, group, "");
		return true;
	}
	if (!b->host->cgroup_hierarchies[0])
		return false;
	add_v1(b, mount, group);
	return true;
}
