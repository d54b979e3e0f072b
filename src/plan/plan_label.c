/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels of AppArmor and SELinux: of the process and its keyring, which are written to files of
 * /proc/self/attr, and of the container's file systems (linux.mountLabel). Pure.
 * Reference: proc_pid_attr(5).
 */
#include "plan/plan_blob.h"

static bool has_mount_label(const struct plan_blob *b)
{
	return b->spec->mount_label && b->spec->mount_label[0];
}

/*
 * File systems that take linux.mountLabel as an option. Not those of the kernel's own state; a
 * message queue file system exists before it is mounted, and its root is labelled instead.
 */
static bool mount_takes_context(const struct plan_blob *b, const char *type)
{
	static const char *const none[] = {"proc", "sysfs", "cgroup", "cgroup2", "mqueue"};

	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		if (str_eq(type, none[i]))
			return false;
	return has_mount_label(b);
}

size_t plan_mount_context(struct plan_blob *b, const char *type, const char **ret_option)
{
	if (!mount_takes_context(b, type))
		return 0;
	*ret_option = arena_printf(b->arena, "context=%s", b->spec->mount_label);
	return 1;
}

void plan_add_root_label(struct plan_blob *b)
{
	uint32_t label;
	struct plan_op *op;

	if (!has_mount_label(b))
		return;
	label = blob_str(b, b->spec->mount_label);
	op = blob_child(b, OP_LABEL, "/linux/mountLabel");
	op->slot = SLOT_TREE;
	op->str[0] = label;
}

static void label_write(struct plan_blob *b, const char *path, const char *label,
			const char *origin)
{
	uint32_t file = blob_str(b, path);
	uint32_t value = blob_str(b, label);
	struct plan_op *op = blob_child(b, OP_WRITE_PROC, origin);

	op->slot = SLOT_PROC;
	op->str[0] = file;
	op->str[1] = value;
}

void plan_add_lsm(struct plan_blob *b, const struct spec_process *process)
{
	const char *profile = process->apparmor_profile;

	if (profile && profile[0] && b->host->apparmor)
		label_write(b, "self/attr/exec", arena_printf(b->arena, "exec %s", profile),
			    "/process/apparmorProfile");
	if (process->selinux_label && process->selinux_label[0])
		label_write(b, "self/attr/exec", process->selinux_label, "/process/selinuxLabel");
}

/* A key has the label of who makes it, and the process could not use its own session keyring. */
void plan_add_keyring_label(struct plan_blob *b, const struct spec_process *process)
{
	if (process->selinux_label && process->selinux_label[0])
		label_write(b, "self/attr/keycreate", process->selinux_label,
			    "/process/selinuxLabel");
}
