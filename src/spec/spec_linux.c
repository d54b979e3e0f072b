/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "linux" of config.json but for seccomp: namespaces, id maps, devices, sysctls, masks.
 * runtime-spec config-linux.md. Pure.
 */
#include "base/sys.h"
#include "spec/spec_read.h"

static int linux_read_namespaces(struct spec_parser *p, const struct json_node *node,
				 struct spec *spec)
{
	const struct json_node *array = NULL;
	struct spec_namespace *namespaces;
	size_t n = 0;
	int r = read_array(p, node, "namespaces", 16, &array);

	if (r < 0 || (r = read_alloc(p, array, sizeof(*namespaces), &namespaces)) < 0)
		return r;
	JSON_FOREACH (item, array) {
		struct spec_namespace *ns = &namespaces[n];
		const char *type = NULL;

		if ((r = json_expect(item, JSON_OBJECT, p->err)) < 0 ||
		    (r = read_string(p, item, "type", &type)) < 0 ||
		    (r = read_string(p, item, "path", &ns->path)) < 0)
			return r;
		if (!type)
			return read_missing(p, item, "type");
		ns->type = spec_namespace_type(type);
		if (!ns->type) {
			json_error(item, p->err, RB_CONFIG_UNKNOWN, "unknown namespace \"%.40s\"",
				   type);
			err_fix(p->err, "use pid, network, mount, ipc, uts, user, time or cgroup");
			return -EINVAL;
		}
		if (ns->path && ns->path[0] == '\0')
			ns->path = NULL;
		if (ns->path && ns->path[0] != '/')
			return json_error(item, p->err, RB_CONFIG_VALUE,
					  "the namespace path \"%.100s\" is not absolute",
					  ns->path);
		for (size_t i = 0; i < n; i++)
			if (namespaces[i].type == ns->type)
				return json_error(item, p->err, RB_CONFIG_CONFLICT,
						  "namespace \"%s\" given twice", type);
		ns->origin = read_origin(p, item);
		n++;
	}
	spec->namespaces = namespaces;
	spec->n_namespaces = n;
	return 0;
}

static int linux_read_device(struct spec_parser *p, const struct json_node *node,
			     struct spec_device *device)
{
	const char *type = NULL;
	int r;

	if ((r = json_expect(node, JSON_OBJECT, p->err)) < 0 ||
	    (r = read_string(p, node, "path", &device->path)) < 0 ||
	    (r = read_string(p, node, "type", &type)) < 0 ||
	    (r = read_u32(p, node, "major", &device->major)) < 0 ||
	    (r = read_u32(p, node, "minor", &device->minor)) < 0 ||
	    (r = read_u32(p, node, "fileMode", &device->mode)) < 0 ||
	    (r = read_id(p, node, "uid", &device->uid)) < 0 ||
	    (r = read_id(p, node, "gid", &device->gid)) < 0)
		return r;
	if (!device->path || !type)
		return read_missing(p, node, !device->path ? "path" : "type");
	if (device->path[0] != '/')
		return json_error(node, p->err, RB_CONFIG_VALUE,
				  "the device path \"%.100s\" is not absolute", device->path);
	if (strlen(type) != 1 || !strchr("cbup", type[0]))
		return json_error(node, p->err, RB_CONFIG_UNKNOWN,
				  "unknown device type \"%.20s\": not c, b, u or p", type);
	device->has_mode = json_member(node, "fileMode") != NULL;
	if (device->mode > 07777)
		device->mode &= 07777; /* docker writes the file type bits along */
	device->type = type[0];
	device->origin = read_origin(p, node);
	return 0;
}

static int linux_read_devices(struct spec_parser *p, const struct json_node *node,
			      struct spec *spec)
{
	const struct json_node *array = NULL;
	struct spec_device *devices;
	size_t n = 0;
	int r = read_array(p, node, "devices", LIMIT_DEVICES, &array);

	if (r < 0 || (r = read_alloc(p, array, sizeof(*devices), &devices)) < 0)
		return r;
	JSON_FOREACH (item, array)
		if ((r = linux_read_device(p, item, &devices[n++])) < 0)
			return r;
	spec->devices = devices;
	spec->n_devices = n;
	return 0;
}

/*
 * The kernel's namespaced sysctls; anything else would change the host. The list is that of
 * namespaces(7) and of every other runtime. type is the namespace that must be the container's.
 */
static uint64_t sysctl_namespace(const char *key)
{
	static const char *const ipc[] = {
		"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
		"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
	};

	for (size_t i = 0; i < ARRAY_LEN(ipc); i++)
		if (str_eq(key, ipc[i]))
			return CLONE_NEWIPC;
	if (str_starts(key, "fs.mqueue."))
		return CLONE_NEWIPC;
	if (str_starts(key, "net."))
		return CLONE_NEWNET;
	if (str_eq(key, "kernel.domainname") || str_eq(key, "kernel.hostname"))
		return CLONE_NEWUTS;
	if (str_starts(key, "user."))
		return CLONE_NEWUSER;
	return 0;
}

static int linux_read_sysctl(struct spec_parser *p, const struct json_node *node,
			     const struct spec *spec, struct spec_sysctl *sysctl)
{
	uint64_t type;
	char *path;
	char *dotted;
	int r = json_string(node, &sysctl->value, p->err);

	if (r < 0)
		return r;
	sysctl->key = node->key;
	path = arena_strdup(p->arena, node->key);
	dotted = arena_strdup(p->arena, node->key);
	if (!path || !dotted)
		return err_set(p->err, RB_NO_MEMORY, ENOMEM, "sysctl");
	/* sysctl(8): with a slash as the first separator, dots belong to names (eth0.100) */
	if (strcspn(path, "/") > strcspn(path, ".") || !strchr(path, '/')) {
		for (char *c = path; *c; c++)
			*c = *c == '.' ? '/' : *c == '/' ? '.' : *c;
	} else {
		for (char *c = dotted; *c; c++)
			*c = *c == '/' ? '.' : *c == '.' ? '/' : *c;
	}
	if (path[0] == '/' || path[0] == '\0' || strstr(path, "//") || strstr(path, "..") ||
	    path[strlen(path) - 1] == '/')
		return json_error(node, p->err, RB_CONFIG_VALUE, "\"%.100s\" is not a sysctl name",
				  node->key);
	type = sysctl_namespace(dotted);
	if (!type || !spec_namespace_find(spec, type)) {
		json_error(node, p->err, RB_CONFIG_CONFLICT,
			   "sysctl \"%.100s\" is not in a separate kernel namespace", node->key);
		err_fix(p->err,
			type ? "add a \"%s\" namespace to linux.namespaces"
			     : "set it on the host: it belongs to no namespace",
			type ? spec_namespace_name(type) : "");
		return -EINVAL;
	}
	sysctl->path = path;
	sysctl->origin = read_origin(p, node);
	return 0;
}

static int linux_read_sysctls(struct spec_parser *p, const struct json_node *node,
			      struct spec *spec)
{
	const struct json_node *object = NULL;
	struct spec_sysctl *sysctls;
	size_t n = 0;
	int r = read_object(p, node, "sysctl", &object);

	if (r < 0 || (r = read_alloc(p, object, sizeof(*sysctls), &sysctls)) < 0)
		return r;
	JSON_FOREACH (item, object)
		if ((r = linux_read_sysctl(p, item, spec, &sysctls[n++])) < 0)
			return r;
	spec->sysctls = sysctls;
	spec->n_sysctls = n;
	return 0;
}

/* Every element of masked and read-only paths must be absolute. */
static int linux_read_paths(struct spec_parser *p, const struct json_node *node, const char *key,
			    struct spec_strings *ret)
{
	int r = read_strings(p, node, key, ret);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ret->n; i++)
		if (ret->v[i][0] != '/')
			return json_error(json_member(node, key), p->err, RB_CONFIG_VALUE,
					  "\"%.100s\" is not an absolute path", ret->v[i]);
	return 0;
}

static int linux_read_propagation(struct spec_parser *p, const struct json_node *node,
				  struct spec *spec)
{
	const struct json_node *member = json_member(node, "rootfsPropagation");
	int r;

	if (!member)
		return 0;
	r = json_expect(member, JSON_STRING, p->err);
	if (r < 0 || member->len == 0)
		return r;
	spec->rootfs_propagation = spec_propagation(member->text,
						    &spec->rootfs_propagation_recursive);
	if (!spec->rootfs_propagation)
		return json_error(member, p->err, RB_CONFIG_UNKNOWN,
				  "unknown propagation \"%.40s\"", member->text);
	return 0;
}

static int linux_check_user_namespace(struct spec_parser *p, const struct json_node *node,
				      const struct spec *spec)
{
	const struct spec_namespace *user = spec_namespace_find(spec, CLONE_NEWUSER);
	bool mapped = spec->n_uid_map || spec->n_gid_map;

	if (user && !user->path && (!spec->n_uid_map || !spec->n_gid_map)) {
		json_error(node, p->err, RB_CONFIG_CONFLICT,
			   "a new user namespace needs uidMappings and gidMappings");
		err_fix(p->err,
			"add both to \"linux\"; 'runbuild spec --rootless' shows an example");
		return -EINVAL;
	}
	if (mapped && (!user || user->path))
		return json_error(node, p->err, RB_CONFIG_CONFLICT,
				  "uidMappings and gidMappings need a new user namespace");
	return 0;
}

/* netdevice(7): IFNAMSIZ; no slash, no blank, no colon */
static bool is_device_name(const char *name)
{
	return name[0] && strlen(name) < 16 && !str_eq(name, ".") && !str_eq(name, "..") &&
	       name[strcspn(name, "/: \t\n")] == '\0';
}

static int linux_read_net_devices(struct spec_parser *p, const struct json_node *node,
				  struct spec *spec)
{
	const struct spec_namespace *ns = spec_namespace_find(spec, CLONE_NEWNET);
	const struct json_node *object = NULL;
	struct spec_net_device *devices;
	size_t n = 0;
	int r = read_object(p, node, "netDevices", &object);

	if (r < 0 || (r = read_alloc(p, object, sizeof(*devices), &devices)) < 0)
		return r;
	if (object && object->count && !ns)
		return json_error(object, p->err, RB_CONFIG_CONFLICT,
				  "unable to move network devices without a private NET namespace");
	JSON_FOREACH (item, object) {
		struct spec_net_device *device = &devices[n++];

		device->name = device->new_name = item->key;
		device->origin = read_origin(p, item);
		if ((r = json_expect(item, JSON_OBJECT, p->err)) < 0 ||
		    (r = read_string(p, item, "name", &device->new_name)) < 0)
			return r;
		if (!device->new_name[0])
			device->new_name = device->name;
		if (!is_device_name(device->name) || !is_device_name(device->new_name))
			return json_error(item, p->err, RB_CONFIG_VALUE,
					  "\"%.40s\" is not a name of a network device",
					  is_device_name(device->name) ? device->new_name
								       : device->name);
	}
	spec->net_devices = devices;
	spec->n_net_devices = n;
	return 0;
}

/*
 * config-linux.md#intelrdt: the older schemas are written before "schemata", and of l3CacheSchema
 * not what memBwSchema says. All as lines.
 */
static int rdt_read_schemata(struct spec_parser *p, const struct json_node *object,
			     struct spec_strings *ret)
{
	struct spec_strings lines = {0};
	const char *caches = NULL;
	const char *bandwidth = NULL;
	const char **v;
	size_t room;
	size_t n = 0;
	int r;

	if ((r = read_string(p, object, "l3CacheSchema", &caches)) < 0 ||
	    (r = read_string(p, object, "memBwSchema", &bandwidth)) < 0 ||
	    (r = read_strings(p, object, "schemata", &lines)) < 0)
		return r;
	room = lines.n + 2;
	for (const char *at = caches; at && *at; at++)
		room += *at == '\n';
	v = arena_array(p->arena, room, sizeof(*v));
	if (!v)
		return err_set(p->err, RB_NO_MEMORY, ENOMEM, "intelRdt");
	for (const char *at = caches; at && *at;) {
		size_t len = strcspn(at, "\n");

		if (len && !(bandwidth && str_starts(at, "MB:")))
			v[n++] = arena_strndup(p->arena, at, len);
		at += len + (at[len] == '\n');
	}
	if (bandwidth && bandwidth[0])
		v[n++] = bandwidth;
	for (size_t i = 0; i < lines.n; i++)
		v[n++] = lines.v[i];
	for (size_t i = 0; i < n; i++)
		if (!v[i] || !v[i][0] || strchr(v[i], '\n'))
			return json_error(object, p->err, RB_CONFIG_VALUE,
					  "a schema is one line that is not empty");
	*ret = (struct spec_strings){.v = v, .n = n};
	return 0;
}

/* A name in resctrl, "/" for its root; these it has already. */
static bool is_rdt_class(const char *name)
{
	static const char *const taken[] = {".", "..", "info", "mon_data", "mon_groups"};

	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		if (str_eq(name, taken[i]))
			return false;
	return strlen(name) <= NAME_MAX && !strchr(name, '\n') &&
	       (!strchr(name, '/') || str_eq(name, "/"));
}

static int linux_read_rdt(struct spec_parser *p, const struct json_node *node, struct spec_rdt *rdt)
{
	const struct json_node *object = NULL;
	int r;

	if ((r = read_object(p, node, "intelRdt", &object)) < 0 || !object)
		return r;
	if ((r = read_string(p, object, "closID", &rdt->class)) < 0 ||
	    (r = read_bool(p, object, "enableMonitoring", &rdt->monitoring)) < 0 ||
	    (r = rdt_read_schemata(p, object, &rdt->schemata)) < 0)
		return r;
	if (rdt->class && !rdt->class[0])
		rdt->class = NULL;
	if (rdt->class && !is_rdt_class(rdt->class))
		return json_error(object, p->err, RB_CONFIG_VALUE,
				  "closID \"%.60s\" is not a name of a class", rdt->class);
	rdt->present = true;
	rdt->origin = read_origin(p, object);
	return 0;
}

int spec_read_linux(struct spec_parser *p, const struct json_node *node, struct spec *spec)
{
	const struct json_node *seccomp = NULL;
	const struct json_node *resources = NULL;
	int r;

	if ((r = linux_read_namespaces(p, node, spec)) < 0 ||
	    (r = read_idmap(p, node, "uidMappings", &spec->uid_map, &spec->n_uid_map)) < 0 ||
	    (r = read_idmap(p, node, "gidMappings", &spec->gid_map, &spec->n_gid_map)) < 0 ||
	    (r = linux_check_user_namespace(p, node, spec)) < 0 ||
	    (r = linux_read_devices(p, node, spec)) < 0 ||
	    (r = linux_read_sysctls(p, node, spec)) < 0 ||
	    (r = linux_read_propagation(p, node, spec)) < 0 ||
	    (r = linux_read_paths(p, node, "maskedPaths", &spec->masked_paths)) < 0 ||
	    (r = linux_read_paths(p, node, "readonlyPaths", &spec->readonly_paths)) < 0 ||
	    (r = read_string(p, node, "cgroupsPath", &spec->cgroups_path)) < 0 ||
	    (r = read_string(p, node, "mountLabel", &spec->mount_label)) < 0 ||
	    (r = read_object(p, node, "resources", &resources)) < 0 ||
	    (resources &&
	     (r = spec_parse_resources(p->arena, resources, &spec->resources, p->err)) < 0) ||
	    (r = spec_read_linux_scheduling(p, node, spec)) < 0 ||
	    (r = linux_read_net_devices(p, node, spec)) < 0 ||
	    (r = linux_read_rdt(p, node, &spec->rdt)) < 0 ||
	    (r = read_object(p, node, "seccomp", &seccomp)) < 0)
		return r;
	return seccomp ? spec_read_seccomp(p, seccomp, &spec->seccomp) : 0;
}
