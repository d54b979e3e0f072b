/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root and "mounts" as ops. Pure. Each mount is made detached first, gets its attributes
 * while nobody can see it, and is then attached to a target that was looked up inside the root:
 *
 *	open_tree | fsmount  -> SLOT_TREE
 *	mount_setattr           SLOT_TREE
 *	make_target          -> SLOT_TARGET (RESOLVE_IN_ROOT)
 *	move_mount              SLOT_TREE onto SLOT_TARGET
 *
 * References: open_tree(2), fsopen(2), mount_setattr(2), move_mount(2); runtime-spec
 * config.md#mounts.
 */
#include <sys/sysmacros.h>
#include "base/num.h"
#include "base/sys.h"
#include "plan/plan_blob.h"

static void plan_add_root(struct plan_blob *b)
{
	const struct spec *spec = b->spec;
	bool isolated = spec->rootfs_propagation & (MS_PRIVATE | MS_UNBINDABLE);
	uint32_t slash = blob_str(b, "/");
	uint32_t root = blob_str(b, spec->root_path);
	struct plan_op *op;
	enum plan_op_kind attach = spec->root_handed ? OP_STACK_ROOT : OP_ATTACH_ROOT;

	/*
	 * Before anything is mounted: nothing of ours may reach the host's mount namespace, so
	 * "shared" only comes after the pivot; and an unbindable tree could not be cloned.
	 */
	if (b->part == PLAN_WHOLE) {
		op = blob_child(b, OP_PROPAGATION, NULL);
		op->str[0] = slash;
		op->arg[0] = isolated ? MS_PRIVATE : MS_SLAVE;
		op->flags = OPF_RECURSIVE;
	}
	if (spec->root_handed) {
		op = blob_child(b, OP_TAKE_MOUNT, "/root/path");
		op->slot = SLOT_ROOT;
		op->arg[0] = spec->root_handed - 1;
	}
	op = blob_child(b, attach, "/root/path");
	op->slot = SLOT_ROOT;
	op->str[0] = root;
}

/* SLOT_TREE onto the mount's destination. */
static void plan_attach(struct plan_blob *b, const struct spec_mount *mount, uint16_t flags)
{
	uint32_t path = blob_str(b, mount->destination);
	bool make = mount->target != TARGET_MUST_EXIST;
	enum plan_op_kind kind = make ? OP_MAKE_TARGET : OP_OPEN_IN_ROOT;
	struct plan_op *op = blob_child(b, kind, mount->origin);

	op->slot = SLOT_TARGET;
	op->slot2 = make ? SLOT_TREE : SLOT_NONE;
	op->str[0] = path;
	op->flags = flags;
	if (make && mount->target == TARGET_DIRECTORY)
		op->arg[0] = S_IFDIR;
	else if (make && mount->target == TARGET_FILE)
		op->arg[0] = S_IFREG;
	op = blob_child(b, OP_MOVE_MOUNT, mount->origin);
	op->slot = SLOT_TREE;
	op->slot2 = SLOT_TARGET;
}

static void plan_add_setattr(struct plan_blob *b, const char *origin, uint64_t set, uint64_t clear,
			     uint16_t flags)
{
	struct plan_op *op;

	if (set & ~PLAN_ATTR_TIMES) {
		op = blob_child(b, OP_MOUNT_SETATTR, origin);
		op->slot = SLOT_TREE;
		op->arg[0] = set & ~PLAN_ATTR_TIMES;
		op->flags = flags;
	}
	if (!clear && !(set & PLAN_ATTR_TIMES))
		return;
	op = blob_child(b, OP_MOUNT_SETATTR, origin);
	op->slot = SLOT_TREE;
	op->arg[0] = set & PLAN_ATTR_TIMES;
	op->arg[1] = clear;
	op->flags = flags;
	/* mount_namespaces(7): flags that came in from a more privileged namespace are locked.
	 * Keeping them leaves the mount stricter than asked for, never laxer. */
	if (!b->options->no_mount_fallback)
		op->on_error = ON_EPERM;
}

/* Propagation goes last: it is a property of the mount once it is attached. */
static void plan_add_propagation(struct plan_blob *b, const struct spec_mount *mount)
{
	uint32_t path;
	struct plan_op *op;

	if (!mount->propagation)
		return;
	path = blob_str(b, mount->destination);
	op = blob_child(b, OP_OPEN_IN_ROOT, mount->origin);
	op->slot = SLOT_TARGET;
	op->str[0] = path;
	op = blob_child(b, OP_PROPAGATION, mount->origin);
	op->slot = SLOT_TARGET;
	op->arg[0] = mount->propagation;
	op->flags = mount->propagation_recursive ? OPF_RECURSIVE : 0;
}

/* The source by the child itself, or else the parent's tree of it. */
static void plan_add_source(struct plan_blob *b, const struct spec_mount *mount)
{
	bool tree = plan_mount_has_tree(b, mount, b->trees);
	uint32_t source = blob_str(b, mount->source);
	struct plan_op *op;

	if (!mount->idmap) {
		op = blob_child(b, OP_OPEN_TREE, mount->origin);
		op->slot = SLOT_TREE;
		op->str[0] = source;
		op->flags = (mount->recursive ? OPF_RECURSIVE : 0) |
			    (mount->no_follow_source ? OPF_NOFOLLOW : 0);
		op->on_error = tree ? ON_EACCES : 0;
	}
	if (!tree)
		return;
	op = blob_child(b, OP_TAKE_TREE, mount->origin);
	op->slot = SLOT_TREE;
	op->arg[0] = b->trees++;
	op->flags = mount->idmap ? 0 : OPF_IF_EMPTY;
}

static void plan_add_bind(struct plan_blob *b, const struct spec_mount *mount)
{
	if (plan_mount_is_text(b, mount))
		plan_add_text(b, mount);
	else
		plan_add_source(b, mount);
	plan_add_setattr(b, mount->origin, mount->attr_set, mount->attr_clear, 0);
	plan_add_setattr(b, mount->origin, mount->attr_set_recursive, mount->attr_clear_recursive,
			 OPF_RECURSIVE);
	plan_attach(b, mount, 0);
}

/* A snapshot or another mount that exists already: plan_add_bind without opening a source. */
static void plan_add_handed(struct plan_blob *b, const struct spec_mount *mount)
{
	struct plan_op *op = blob_child(b, OP_TAKE_MOUNT, mount->origin);

	op->slot = SLOT_TREE;
	op->arg[0] = mount->handed - 1;
	plan_add_setattr(b, mount->origin, mount->attr_set, mount->attr_clear, 0);
	plan_add_setattr(b, mount->origin, mount->attr_set_recursive, mount->attr_clear_recursive,
			 OPF_RECURSIVE);
	plan_attach(b, mount, 0);
}

/* Is a devpts "gid=5" or the like an id that does not exist in the container's namespace? */
static bool data_id_unmapped(const struct plan_blob *b, const char *option)
{
	bool gid = str_starts(option, "gid=");
	uint32_t id;

	if (!gid && !str_starts(option, "uid="))
		return false;
	return num_parse_u32(option + 4, &id) == 0 && !plan_id_mapped(b, id, gid);
}

/* The file system's options; those of devpts that cannot work in a small user namespace go. */
static uint32_t plan_mount_data(struct plan_blob *b, const struct spec_mount *mount)
{
	const char **kept = arena_array(b->arena, mount->data.n + 2, sizeof(*kept));
	size_t n = 0;

	if (!kept) {
		b->pool.failed = true;
		return 0;
	}
	for (size_t i = 0; i < mount->data.n; i++)
		if (!str_eq(mount->type, "devpts") || !data_id_unmapped(b, mount->data.v[i]))
			kept[n++] = mount->data.v[i];
	n += plan_mount_context(b, mount->type, &kept[n]);
	return blob_list(b, kept, n);
}

static struct plan_op *plan_add_fsmount(struct plan_blob *b, const struct spec_mount *mount,
					const char *type, uint64_t attr)
{
	uint32_t type_at = blob_str(b, type);
	uint32_t source = blob_str(b, mount->source[0] ? mount->source : type);
	uint32_t data = plan_mount_data(b, mount);
	struct plan_op *op = blob_child(b, OP_FSMOUNT, mount->origin);

	op->slot = SLOT_TREE;
	op->str[0] = type_at;
	op->str[1] = source;
	op->list = data;
	op->arg[0] = attr;
	return op;
}

/*
 * sysfs and cgroup2 belong to the network and cgroup namespace; without an own one the kernel
 * refuses a new mount in a user namespace (EPERM), and the host's tree, read-only, takes its
 * place. This is what runc's rootless configuration does by hand.
 */
static void plan_add_fallback_bind(struct plan_blob *b, const struct spec_mount *mount,
				   const char *path)
{
	uint32_t source = blob_str(b, path);
	struct plan_op *op = blob_child(b, OP_OPEN_TREE, mount->origin);

	op->slot = SLOT_TREE;
	op->str[0] = source;
	op->flags = OPF_RECURSIVE | OPF_IF_EMPTY;
	op->skip = 1; /* a fresh mount keeps the attributes it was asked for */
	op = blob_child(b, OP_MOUNT_SETATTR, mount->origin);
	op->slot = SLOT_TREE;
	op->flags = OPF_RECURSIVE;
	op->arg[0] = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
}

static void plan_add_kernel_fs(struct plan_blob *b, const struct spec_mount *mount)
{
	bool cgroup = str_starts(mount->type, "cgroup");
	struct plan_op *op;

	if (cgroup && plan_add_cgroup_mount(b, mount))
		return;
	if (cgroup && b->host->cgroup_mode != HOST_CGROUP_V2) {
		/* v1 and hybrid: many file systems below one directory, read-only */
		plan_add_fallback_bind(b, mount, "/sys/fs/cgroup");
	} else {
		uint64_t attr = mount->attr_set;

		/* without a namespace of its own this is the host's whole tree: not to be written */
		if (cgroup && !plan_new_namespace(b, CLONE_NEWCGROUP))
			attr |= MOUNT_ATTR_RDONLY;
		op = plan_add_fsmount(b, mount, cgroup ? "cgroup2" : mount->type, attr);
		if (plan_in_user_namespace(b) && !str_eq(mount->type, "proc")) {
			op->on_error = ON_EPERM;
			plan_add_fallback_bind(b, mount, cgroup ? "/sys/fs/cgroup" : "/sys");
		}
	}
	plan_attach(b, mount, OPF_DIRECTORY | OPF_NO_SYMLINKS);
}

/* Read-only tmpfs: writable until everything below it has been made. See plan_add_protections. */
static bool mount_read_only_later(const struct spec_mount *mount)
{
	return str_eq(mount->type, "tmpfs") && (mount->attr_set & MOUNT_ATTR_RDONLY);
}

static void plan_add_other_fs(struct plan_blob *b, const struct spec_mount *mount)
{
	uint64_t attr = mount->attr_set;
	struct plan_op *op;

	if (mount_read_only_later(mount))
		attr &= ~(uint64_t)MOUNT_ATTR_RDONLY;
	plan_add_fsmount(b, mount, mount->type, attr);
	if (str_eq(mount->type, "mqueue"))
		plan_add_root_label(b);
	if (mount->copy_up) {
		uint32_t path = blob_str(b, mount->destination);

		op = blob_child(b, OP_OPEN_IN_ROOT, mount->origin);
		op->slot = SLOT_TARGET;
		op->str[0] = path;
		op->on_error = ON_ENOENT; /* nothing to copy, and nothing to open below */
		op->skip = 1;
		op = blob_child(b, OP_COPY_UP, mount->origin);
		op->slot = SLOT_TREE;
		op->slot2 = SLOT_TARGET;
	}
	plan_attach(b, mount, OPF_DIRECTORY);
}

static void plan_add_mount(struct plan_blob *b, const struct spec_mount *mount)
{
	static const char *const kernel_fs[] = {"proc", "sysfs", "cgroup", "cgroup2"};
	bool kernel = false;

	for (size_t k = 0; k < ARRAY_LEN(kernel_fs); k++)
		kernel |= str_eq(mount->type, kernel_fs[k]);
	if (mount->handed)
		plan_add_handed(b, mount);
	else if (mount->bind)
		plan_add_bind(b, mount);
	else if (kernel)
		plan_add_kernel_fs(b, mount);
	else
		plan_add_other_fs(b, mount);
	plan_add_propagation(b, mount);
}

/* Does path lie at or below directory? Both as they stand in a configuration. */
static bool path_is_below(const char *path, const char *directory)
{
	size_t len = strlen(directory);

	return str_starts(path, directory) && (path[len] == '/' || path[len] == '\0');
}

/* A standard mount that no other one carries: /proc, /dev, /sys. */
static bool mount_is_top(const struct spec *spec, const struct spec_mount *mount)
{
	if (!mount->standard)
		return false;
	for (const struct spec_mount *other = spec->mounts; other < mount; other++)
		if (other->standard && path_is_below(mount->destination, other->destination))
			return false;
	return true;
}

/* Is the path part of what a first part has made? */
static bool path_is_prepared(const struct spec *spec, const char *path)
{
	for (size_t i = 0; i < spec->n_mounts; i++)
		if (spec->mounts[i].standard && path_is_below(path, spec->mounts[i].destination))
			return true;
	return false;
}

/* As it stands it is where it leads: no "..", "." or empty component. */
static bool path_is_plain(const char *path)
{
	size_t len = strlen(path);

	return !strstr(path, "//") && !strstr(path, "/./") && !strstr(path, "/../") &&
	       !(len >= 2 && str_eq(path + len - 2, "/.")) &&
	       !(len >= 3 && str_eq(path + len - 3, "/.."));
}

/* Which half of a plan in two parts is a path's? */
static bool path_is_elsewhere(const struct plan_blob *b, const char *path)
{
	return b->part != PLAN_WHOLE && path_is_prepared(b->spec, path) != (b->part == PLAN_FIRST);
}

/* Masks all lie in what the first part makes; what is read-only may lie elsewhere. */
static bool protections_have_parts(const struct spec *spec)
{
	for (size_t i = 0; i < spec->masked_paths.n; i++)
		if (!path_is_plain(spec->masked_paths.v[i]) ||
		    !path_is_prepared(spec, spec->masked_paths.v[i]))
			return false;
	for (size_t i = 0; i < spec->readonly_paths.n; i++)
		if (!path_is_plain(spec->readonly_paths.v[i]))
			return false;
	return true;
}

static bool mounts_have_parts(const struct spec *spec)
{
	bool standard = false;

	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct spec_mount *mount = &spec->mounts[i];

		standard |= mount->standard;
		/* a mount among the prepared ones would be out of its order */
		if (!mount->standard && (mount->idmap || !path_is_plain(mount->destination) ||
					 path_is_prepared(spec, mount->destination)))
			return false;
	}
	return standard;
}

bool plan_has_parts(const struct spec *spec, const struct plan_options *options)
{
	const struct spec_process *process = &spec->process;

	for (size_t i = 0; i < spec->n_namespaces; i++)
		if (spec->namespaces[i].path ||
		    (spec->namespaces[i].type & (CLONE_NEWUSER | CLONE_NEWTIME)))
			return false;
	for (size_t i = 0; i < HOOK_KINDS; i++)
		if (spec->hooks[i].n)
			return false;
	/* its slirp4netns, or the parent that reaps for it, would have to wait as well */
	if (options->network.mode != PLAN_NETWORK_SPEC || options->reaper)
		return false;
	return mounts_have_parts(spec) && protections_have_parts(spec) && !process->terminal &&
	       !spec->n_devices && !spec->n_sysctls && !spec->n_net_devices &&
	       !spec->cgroups_path[0] && !options->cgroup_handed && !process->has_oom_score_adj &&
	       !process->apparmor_profile && !process->selinux_label && !spec->mount_label &&
	       options->foreground && options->rootless_cgroup && options->no_record &&
	       !options->no_pivot && !options->wait_start &&
	       !spec_resources_limit(&spec->resources);
}

/*
 * An empty file system as root of the first part: it carries the standard mounts until the step's
 * root is there to take them, and keeps nothing of the host's mounts busy meanwhile.
 */
void plan_add_prepared(struct plan_blob *b)
{
	static const char *const data[] = {"mode=755", "size=64k"};
	uint32_t slash = blob_str(b, "/");
	uint32_t tmpfs = blob_str(b, "tmpfs");
	uint32_t options = blob_list(b, data, ARRAY_LEN(data));
	struct plan_op *op = blob_child(b, OP_PROPAGATION, NULL);

	op->str[0] = slash;
	op->arg[0] = MS_PRIVATE;
	op->flags = OPF_RECURSIVE;
	op = blob_child(b, OP_FSMOUNT, NULL);
	op->slot = SLOT_ROOT;
	op->str[0] = op->str[1] = tmpfs;
	op->list = options;
	op->arg[0] = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	blob_child(b, OP_STACK_ROOT, NULL)->slot = SLOT_ROOT;
	for (size_t i = 0; i < b->spec->n_mounts; i++)
		if (b->spec->mounts[i].standard)
			plan_add_mount(b, &b->spec->mounts[i]);
}

/* One of the prepared mounts, with all that is on it, into the step's root. */
static void plan_add_moved(struct plan_blob *b, const struct spec_mount *mount)
{
	uint32_t path = blob_str(b, mount->destination);
	bool kernel = !str_eq(mount->type, "tmpfs");
	struct plan_op *op = blob_child(b, OP_OPEN_MOUNT, mount->origin);

	op->slot = SLOT_TREE;
	op->str[0] = path;
	plan_attach(b, mount, OPF_DIRECTORY | (kernel ? OPF_NO_SYMLINKS : 0));
}

void plan_add_mounts(struct plan_blob *b)
{
	plan_add_root(b);
	for (size_t i = 0; i < b->spec->n_mounts; i++) {
		const struct spec_mount *mount = &b->spec->mounts[i];

		if (b->part == PLAN_WHOLE || !mount->standard)
			plan_add_mount(b, mount);
		else if (mount_is_top(b->spec, mount))
			plan_add_moved(b, mount);
	}
	/* WORKDIR of an image need not exist; when it cannot be made, chdir says why */
	{
		uint32_t cwd = blob_str(b, b->spec->process.cwd);
		struct plan_op *op = blob_child(b, OP_MKDIR_IN_ROOT, "/process/cwd");

		op->str[0] = cwd;
		op->arg[0] = 0755;
		op->on_error = ON_EROFS | ON_EACCES | ON_EPERM | ON_EEXIST | ON_ENOTDIR;
	}
}

/* The image must not decide what "a masked file" is: the node is ours and verified. */
void plan_add_open_null(struct plan_blob *b)
{
	uint32_t path = blob_str(b, "/dev/null");
	struct plan_op *op = blob_child(b, OP_OPEN_DEVICE, "/linux/maskedPaths");

	op->slot = SLOT_NULL;
	op->str[0] = path;
	op->arg[0] = makedev(1, 3); /* null(4) */
}

static void plan_add_masks(struct plan_blob *b)
{
	const struct spec_strings *masked = &b->spec->masked_paths;
	uint32_t tmpfs = blob_str(b, "tmpfs");
	const char *context = NULL;
	uint32_t options = 0;
	struct plan_op *op;
	size_t n = 0;

	for (size_t i = 0; i < masked->n; i++)
		n += !path_is_elsewhere(b, masked->v[i]);
	if (n == 0)
		return;
	if (plan_mount_context(b, "tmpfs", &context))
		options = blob_list(b, &context, 1);
	op = blob_child(b, OP_FSMOUNT, masked->origin);
	op->slot = SLOT_EMPTY;
	op->str[0] = op->str[1] = tmpfs;
	op->list = options;
	op->arg[0] = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	plan_add_open_null(b);
	for (size_t i = 0; i < masked->n; i++) {
		uint32_t path;

		if (path_is_elsewhere(b, masked->v[i]))
			continue;
		path = blob_str(b, masked->v[i]);
		op = blob_child(b, OP_MASK, masked->origin);
		op->str[0] = path;
		op->on_error = ON_ENOENT | ON_ENOTDIR; /* nothing there, nothing to hide */
	}
}

void plan_add_protections(struct plan_blob *b)
{
	const struct spec_strings *read_only = &b->spec->readonly_paths;
	struct plan_op *op;

	for (size_t i = 0; i < read_only->n; i++) {
		uint32_t path;

		if (path_is_elsewhere(b, read_only->v[i]))
			continue;
		path = blob_str(b, read_only->v[i]);
		op = blob_child(b, OP_READONLY, read_only->origin);
		op->str[0] = path;
		op->on_error = ON_ENOENT | ON_ENOTDIR;
	}
	plan_add_masks(b);
	if (b->part == PLAN_FIRST)
		return;
	for (size_t i = 0; i < b->spec->n_mounts; i++) {
		const struct spec_mount *mount = &b->spec->mounts[i];
		uint32_t path;

		if (mount->bind || mount->handed || !mount_read_only_later(mount))
			continue;
		path = blob_str(b, mount->destination);
		op = blob_child(b, OP_OPEN_IN_ROOT, mount->origin);
		op->slot = SLOT_TARGET;
		op->str[0] = path;
		op = blob_child(b, OP_MOUNT_SETATTR, mount->origin);
		op->slot = SLOT_TARGET;
		op->arg[0] = MOUNT_ATTR_RDONLY;
	}
	if (b->spec->root_readonly) {
		op = blob_child(b, OP_MOUNT_SETATTR, "/root/readonly");
		op->slot = SLOT_ROOT;
		op->arg[0] = MOUNT_ATTR_RDONLY;
	}
}
