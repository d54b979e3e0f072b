/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root and mounts of a step, and the mounts every step has: /proc, /dev and what belongs in it,
 * /sys, the cgroup tree. Pure.
 */
#include "base/sys.h"
#include "spec/step_read.h"

#define SAFE (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV)

static const char *const dev_data[] = {"mode=755", "size=65536k", NULL};
static const char *const pts_data[] = {"newinstance", "ptmxmode=0666", "mode=0620", "gid=5", NULL};
static const char *const shm_data[] = {"mode=1777", "size=65536k", NULL};

static const struct {
	const char *destination, *type, *source;
	uint64_t attr;
	const char *const *data;
} default_mounts[] = {
	{"/proc", "proc", "proc", SAFE, NULL},
	{"/dev", "tmpfs", "tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME, dev_data},
	{"/dev/pts", "devpts", "devpts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, pts_data},
	{"/dev/shm", "tmpfs", "shm", SAFE, shm_data},
	{"/dev/mqueue", "mqueue", "mqueue", SAFE, NULL},
	{"/sys", "sysfs", "sysfs", SAFE | MOUNT_ATTR_RDONLY, NULL},
	{"/sys/fs/cgroup", "cgroup", "cgroup", SAFE | MOUNT_ATTR_RDONLY, NULL},
};

enum { GENERATED_FILES = 2 }; /* /etc/hosts and /etc/resolv.conf, added by whoever writes them */

static size_t count(const char *const *v)
{
	size_t n = 0;

	while (v && v[n])
		n++;
	return n;
}

/* What the worker has there, with whatever is mounted on it. */
static void show_ours(struct spec_mount *mount)
{
	mount->type = "";
	mount->source = mount->destination;
	mount->bind = mount->recursive = true;
	mount->data = (struct spec_strings){.n = 0};
	mount->standard = false;
}

/*
 * A procfs belongs to a pid namespace, and both places of POSIX IPC to an ipc namespace: where the
 * worker's is shared, its /proc and /dev/shm are shown. Its message queues need not be mounted
 * anywhere, and only who owns the namespace can mount them: they are reached by mq_overview(7)'s
 * calls alone. Returns how many mounts there are.
 */
static size_t add_default_mounts(struct spec_mount *mounts, struct step_mount *sources,
				 const struct spec *spec)
{
	bool own_pids = spec_namespace_find(spec, CLONE_NEWPID) != NULL;
	bool own_ipc = spec_namespace_find(spec, CLONE_NEWIPC) != NULL;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(default_mounts); i++) {
		const char *destination = default_mounts[i].destination;

		if (!own_ipc && str_eq(destination, "/dev/mqueue"))
			continue;
		mounts[n] = (struct spec_mount){
			.destination = destination,
			.type = default_mounts[i].type,
			.source = default_mounts[i].source,
			.attr_set = default_mounts[i].attr,
			.data = {.v = (const char **)default_mounts[i].data,
				 .n = count(default_mounts[i].data)},
			.standard = true,
			.origin = "",
		};
		sources[n].source = STEP_PATH;
		if ((!own_pids && str_eq(destination, "/proc")) ||
		    (!own_ipc && str_eq(destination, "/dev/shm")))
			show_ours(&mounts[n]);
		n++;
	}
	return n;
}

static int absolute(struct step_parser *p, const struct json_node *node, const char *key,
		    const char *path)
{
	if (path && path[0] != '/')
		return json_error(json_member(node, key), p->base.err, RB_CONFIG_VALUE,
				  "\"%.100s\" is not an absolute path", path);
	if (path && strlen(path) >= LIMIT_PATH_BYTES)
		return json_error(json_member(node, key), p->base.err, RB_CONFIG_LIMIT,
				  "longer than 4095 bytes");
	return 0;
}

int step_read_snapshot(struct step_parser *p, const struct json_node *node,
		       const struct step_snapshot **ret)
{
	static const char *const drivers[] = {"auto", "native", "fuse", "fuse-path", "bind", NULL};
	struct step_snapshot *snapshot = arena_alloc(p->base.arena, sizeof(*snapshot));
	struct spec_strings options = {0};
	unsigned driver = 0;
	int r;

	if (!snapshot)
		return err_set(p->base.err, RB_NO_MEMORY, ENOMEM, "snapshot");
	step_known(p, node, "lower upper work driver options");
	if ((r = json_expect(node, JSON_OBJECT, p->base.err)) < 0 ||
	    (r = read_strings(&p->base, node, "lower", &snapshot->lower)) < 0 ||
	    (r = read_string(&p->base, node, "upper", &snapshot->upper)) < 0 ||
	    (r = read_string(&p->base, node, "work", &snapshot->work)) < 0 ||
	    (r = step_read_word(p, node, "driver", drivers, &driver)) < 0 ||
	    (r = read_strings(&p->base, node, "options", &options)) < 0 ||
	    (r = absolute(p, node, "upper", snapshot->upper)) < 0 ||
	    (r = absolute(p, node, "work", snapshot->work)) < 0)
		return r;
	for (size_t i = 0; i < snapshot->lower.n; i++)
		if ((r = absolute(p, node, "lower", snapshot->lower.v[i])) < 0)
			return r;
	for (size_t i = 0; i < options.n; i++) {
		if (!str_eq(options.v[i], "volatile"))
			return json_error(json_member(node, "options"), p->base.err,
					  RB_CONFIG_VALUE, "unknown option \"%.60s\"",
					  options.v[i]);
		snapshot->throw_away = true;
	}
	if (snapshot->lower.n == 0 && !snapshot->upper)
		return read_missing(&p->base, node, "lower");
	snapshot->driver = drivers[driver];
	snapshot->origin = read_origin(&p->base, node);
	*ret = snapshot;
	return 0;
}

/* Exactly one of the places a file tree can come from. */
static int read_source(struct step_parser *p, const struct json_node *node, const char *path_key,
		       const char *fd_key, struct step_mount *source, const char **ret_path)
{
	const struct json_node *snapshot = json_member(node, "snapshot");
	int fd = STEP_NO_FD;
	int r;

	if ((r = read_string(&p->base, node, path_key, ret_path)) < 0 ||
	    (r = absolute(p, node, path_key, *ret_path)) < 0 ||
	    (r = step_read_fd(p, node, fd_key, &fd)) < 0 ||
	    (snapshot && (r = step_read_snapshot(p, snapshot, &source->snapshot)) < 0))
		return r;
	if ((*ret_path != NULL) + (fd != STEP_NO_FD) + (snapshot != NULL) > 1)
		return json_error(node, p->base.err, RB_CONFIG_CONFLICT,
				  "only one of \"%s\", \"snapshot\" and \"%s\" can be given",
				  path_key, fd_key);
	source->source = *ret_path          ? STEP_PATH
			 : snapshot         ? STEP_SNAPSHOT
			 : fd != STEP_NO_FD ? STEP_FD
					    : STEP_NOTHING;
	source->fd = fd == STEP_NO_FD ? 0 : (uint32_t)fd;
	return 0;
}

int step_read_rootfs(struct step_parser *p, const struct json_node *node, struct step *step)
{
	static const char *const words[] = {"private", "slave", "shared", "unbindable", NULL};
	static const uint64_t flags[] = {MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE};
	struct step_mount source = {0};
	unsigned propagation = 0;
	int r;

	step_known(p, node, "path snapshot mountFd readonly propagation");
	if ((r = read_source(p, node, "path", "mountFd", &source, &step->spec.root_path)) < 0 ||
	    (r = read_bool(&p->base, node, "readonly", &step->spec.root_readonly)) < 0 ||
	    (r = step_read_word(p, node, "propagation", words, &propagation)) < 0)
		return r;
	if (json_member(node, "propagation"))
		step->spec.rootfs_propagation = flags[propagation];
	if (source.source == STEP_NOTHING)
		return read_missing(&p->base, node, "path");
	step->root = source.source;
	step->root_snapshot = source.snapshot;
	step->root_fd = source.fd;
	if (!step->spec.root_path)
		step->spec.root_path = "/";
	return 0;
}

static int read_tmpfs(struct step_parser *p, const struct json_node *node, struct spec_mount *mount)
{
	const char **data = arena_array(p->base.arena, 3, sizeof(*data));
	uint64_t size = 0;
	uint32_t mode = 01777;
	int r;

	step_known(p, node, "size mode");
	if (!data)
		return err_set(p->base.err, RB_NO_MEMORY, ENOMEM, "mounts");
	if ((r = json_expect(node, JSON_OBJECT, p->base.err)) < 0 ||
	    (r = step_read_u64(p, node, "size", &size)) < 0 ||
	    (r = read_u32(&p->base, node, "mode", &mode)) < 0)
		return r;
	if (mode > 07777)
		return json_error(json_member(node, "mode"), p->base.err, RB_CONFIG_VALUE,
				  "not a mode: greater than 4095 (octal 7777)");
	data[0] = arena_printf(p->base.arena, "mode=%04o", mode);
	data[1] = size ? arena_printf(p->base.arena, "size=%" PRIu64, size) : NULL;
	mount->type = mount->source = "tmpfs";
	mount->attr_set |= MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
	mount->data = (struct spec_strings){.v = data, .n = size ? 2 : 1};
	return 0;
}

static int read_target(struct step_parser *p, const struct json_node *node,
		       struct spec_mount *mount)
{
	static const char *const kinds[] = {"dir", "file", "none", NULL};
	static const enum spec_target targets[] = {TARGET_DIRECTORY, TARGET_FILE,
						   TARGET_MUST_EXIST};
	unsigned kind = 0;
	int r;

	if ((r = read_string(&p->base, node, "dest", &mount->destination)) < 0 ||
	    (r = absolute(p, node, "dest", mount->destination)) < 0 ||
	    (r = step_read_word(p, node, "createDest", kinds, &kind)) < 0)
		return r;
	if (!mount->destination)
		return read_missing(&p->base, node, "dest");
	if (json_member(node, "createDest"))
		mount->target = targets[kind];
	return 0;
}

/* Mappings as in an OCI configuration, for a path: what is handed over has its ids already. */
static int read_idmap_member(struct step_parser *p, const struct json_node *node,
			     const struct step_mount *source, struct spec_mount *mount)
{
	const struct json_node *idmap = NULL;
	int r = read_object(&p->base, node, "idmap", &idmap);

	if (r < 0 || !idmap)
		return r;
	step_known(p, idmap, "uidMappings gidMappings");
	if (source->source != STEP_PATH || json_member(node, "selector"))
		return json_error(idmap, p->base.err, RB_CONFIG_CONFLICT,
				  "\"idmap\" needs a \"src\", and no \"selector\"");
	if ((r = read_idmap(&p->base, idmap, "uidMappings", &mount->uid_map, &mount->n_uid_map)) <
		    0 ||
	    (r = read_idmap(&p->base, idmap, "gidMappings", &mount->gid_map, &mount->n_gid_map)) <
		    0)
		return r;
	if (!mount->n_uid_map || !mount->n_gid_map)
		return read_missing(&p->base, idmap,
				    mount->n_uid_map ? "gidMappings" : "uidMappings");
	mount->idmap = true;
	mount->idmap_recursive = mount->recursive;
	return 0;
}

static int read_mount(struct step_parser *p, const struct json_node *node, struct spec_mount *mount,
		      struct step_mount *source)
{
	const struct json_node *tmpfs = json_member(node, "tmpfs");
	const char *path = NULL;
	bool readonly = false;
	int r;

	*mount = (struct spec_mount){.type = "", .source = "", .recursive = true};
	step_known(
		p, node,
		"dest src tmpfs snapshot fd selector readonly recursive options createDest idmap");
	if ((r = json_expect(node, JSON_OBJECT, p->base.err)) < 0 ||
	    (r = read_target(p, node, mount)) < 0 ||
	    (r = read_source(p, node, "src", "fd", source, &path)) < 0 ||
	    (r = read_idmap_member(p, node, source, mount)) < 0 ||
	    (r = read_string(&p->base, node, "selector", &source->selector)) < 0 ||
	    (r = read_bool(&p->base, node, "readonly", &readonly)) < 0 ||
	    (r = read_bool(&p->base, node, "recursive", &mount->recursive)) < 0 ||
	    (r = spec_read_mount_options(&p->base, node, mount)) < 0)
		return r;
	if ((source->source != STEP_NOTHING) == (tmpfs != NULL))
		return json_error(
			node, p->base.err, RB_CONFIG_CONFLICT,
			"a mount needs one of \"src\", \"tmpfs\", \"snapshot\" and \"fd\"");
	if (mount->data.n > 0 || mount->copy_up)
		return json_error(json_member(node, "options"), p->base.err, RB_CONFIG_VALUE,
				  "unknown option \"%.60s\"",
				  mount->copy_up ? "tmpcopyup" : mount->data.v[0]);
	/* a part of one may be a file */
	if (mount->target == TARGET_FILE && (!path || source->snapshot) && !source->selector)
		return json_error(json_member(node, "createDest"), p->base.err, RB_CONFIG_CONFLICT,
				  "what is mounted here is a directory");
	if (readonly)
		mount->attr_set |= MOUNT_ATTR_RDONLY;
	mount->origin = read_origin(&p->base, node);
	if (tmpfs) {
		source->source = STEP_PATH;
		return read_tmpfs(p, tmpfs, mount);
	}
	mount->bind = true;
	mount->source = path ? path : "";
	return 0;
}

int step_read_mounts(struct step_parser *p, const struct json_node *node, struct step *step)
{
	size_t most = ARRAY_LEN(default_mounts) + (node ? node->count : 0) + GENERATED_FILES;
	struct spec_mount *mounts = arena_array(p->base.arena, most, sizeof(*mounts));
	struct step_mount *sources = arena_array(p->base.arena, most, sizeof(*sources));
	size_t n;
	int r;

	if (!mounts || !sources)
		return err_set(p->base.err, RB_NO_MEMORY, ENOMEM, "mounts");
	n = add_default_mounts(mounts, sources, &step->spec);
	JSON_FOREACH (item, node) {
		if ((r = read_mount(p, item, &mounts[n], &sources[n])) < 0)
			return r;
		n++;
	}
	step->spec.mounts = mounts;
	step->spec.n_mounts = n;
	step->mounts = sources;
	return 0;
}
