/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev: the default nodes, those of "linux.devices", the standard links. Pure.
 * runtime-spec config-linux.md#default-devices; runc's choice of links.
 *
 * A node is made with mknod(2) by the host's root, and bound from the host in a user namespace,
 * where mknod of devices is refused: user_namespaces(7).
 */
#include <sys/sysmacros.h>
#include "base/sys.h"
#include "plan/plan_blob.h"

static const struct {
	const char *path;
	unsigned major, minor;
} default_nodes[] = {
	{"/dev/null", 1, 3}, {"/dev/zero", 1, 5},   {"/dev/full", 1, 7},
	{"/dev/tty", 5, 0},  {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9},
};

static const struct {
	const char *target, *path;
} default_links[] = {
	{"/proc/self/fd", "/dev/fd"},
	{"/proc/self/fd/0", "/dev/stdin"},
	{"/proc/self/fd/1", "/dev/stdout"},
	{"/proc/self/fd/2", "/dev/stderr"},
};

/* Has the configuration bound something of the host over /dev? Then it brings its own nodes. */
static bool dev_is_bound(const struct spec *spec)
{
	for (size_t i = 0; i < spec->n_mounts; i++)
		if (spec->mounts[i].bind && str_eq(spec->mounts[i].destination, "/dev"))
			return true;
	return false;
}

static void plan_bind_node(struct plan_blob *b, const char *path, dev_t dev, const char *origin)
{
	uint32_t at = blob_str(b, path);
	struct plan_op *op = blob_child(b, OP_OPEN_DEVICE, origin);

	op->slot = SLOT_TREE;
	op->str[0] = at;
	op->arg[0] = dev;
	op = blob_child(b, OP_MAKE_TARGET, origin);
	op->slot = SLOT_TARGET;
	op->slot2 = SLOT_TREE;
	op->str[0] = at;
	op = blob_child(b, OP_MOVE_MOUNT, origin);
	op->slot = SLOT_TREE;
	op->slot2 = SLOT_TARGET;
}

static void plan_make_node(struct plan_blob *b, const struct spec_device *device)
{
	static const struct {
		char type;
		uint32_t mode;
	} types[] = {{'c', S_IFCHR}, {'u', S_IFCHR}, {'b', S_IFBLK}, {'p', S_IFIFO}};
	uint32_t mode = device->has_mode ? device->mode : 0666;
	uint32_t path;
	struct plan_op *op;

	if (plan_in_user_namespace(b) && device->type != 'p') {
		plan_bind_node(b, device->path, makedev(device->major, device->minor),
			       device->origin);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (types[i].type == device->type)
			mode |= types[i].mode;
	path = blob_str(b, device->path);
	op = blob_child(b, OP_MKNOD_IN_ROOT, device->origin);
	op->str[0] = path;
	op->arg[0] = mode;
	op->arg[1] = device->type == 'p' ? 0 : makedev(device->major, device->minor);
	op->arg[2] = (uint64_t)device->uid << 32 | device->gid;
}

static void plan_add_links(struct plan_blob *b)
{
	uint32_t target;
	uint32_t path;
	struct plan_op *op;

	for (size_t i = 0; i < ARRAY_LEN(default_links); i++) {
		target = blob_str(b, default_links[i].target);
		path = blob_str(b, default_links[i].path);
		op = blob_child(b, OP_SYMLINK_IN_ROOT, NULL);
		op->str[0] = target;
		op->str[1] = path;
		op->on_error = ON_EEXIST; /* the image's own link stays, as with runc */
	}
	target = blob_str(b, "pts/ptmx");
	path = blob_str(b, "/dev/ptmx");
	op = blob_child(b, OP_SYMLINK_IN_ROOT, NULL);
	op->str[0] = target;
	op->str[1] = path;
	op->flags = OPF_REPLACE; /* the host's ptmx would open the host's pts */
}

void plan_add_devices(struct plan_blob *b)
{
	if (dev_is_bound(b->spec))
		return;
	for (size_t i = 0; i < ARRAY_LEN(default_nodes); i++) {
		struct spec_device device = {
			.type = 'c',
			.path = default_nodes[i].path,
			.major = default_nodes[i].major,
			.minor = default_nodes[i].minor,
		};

		plan_make_node(b, &device);
	}
	/* the link below takes its place, which it could not over a mount */
	for (size_t i = 0; i < b->spec->n_devices; i++)
		if (!str_eq(b->spec->devices[i].path, "/dev/ptmx"))
			plan_make_node(b, &b->spec->devices[i]);
	plan_add_links(b);
}
