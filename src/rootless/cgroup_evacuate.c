/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --evacuate-cgroup2: cgroups(7), "no internal processes". Runs in the parent: everything in our
 * delegated cgroup moves into a leaf of it, so that the command can distribute its controllers.
 * The child, born before, has the cgroup itself as the root of its namespace.
 */
#include "base/file.h"
#include "base/strbuf.h"
#include "rootless/rootless_private.h"

static int evacuate_failed(int errnum, const char *what, struct rb_err *err)
{
	err_set(err, RB_CGROUP, errnum, "--evacuate-cgroup2: cannot %s", what);
	err_fix(err, "have the cgroup delegated: systemd-run --user --scope -p Delegate=yes ...");
	return -errnum;
}

/* Our cgroup2 directory: the mount of the tree and the line "0::PATH" of /proc/self/cgroup. */
static int cgroup2_open(struct arena *arena)
{
	static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	char *text = NULL;
	const char *at;
	int rc = file_read_at(arena, AT_FDCWD, "/proc/self/cgroup", LIMIT_SUBID_BYTES, &text, NULL);

	if (rc < 0)
		return rc;
	for (at = text; *at && !str_starts(at, "0::/"); at += strcspn(at, "\n"), at += *at == '\n')
		;
	if (!*at)
		return -ENOENT;
	at += strlen("0::/");
	rc = -ENOENT;
	for (size_t i = 0; i < ARRAY_LEN(mounts) && rc < 0; i++) {
		const char *path = arena_printf(arena, "%s/%.*s", mounts[i], (int)strcspn(at, "\n"),
						at);
		CLEANUP_FD int dir = path ? sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0)
					  : -ENOMEM;

		/* only a directory of this tree has the file */
		if (dir >= 0 && sys_faccessat2(dir, "cgroup.subtree_control", F_OK, 0) == 0)
			rc = fd_take(&dir);
	}
	return rc;
}

/* Every process of the cgroup, until none is left: they may fork meanwhile. */
static int cgroup_move_all(struct arena *arena, int from, int to)
{
	for (int round = 0; round < 100; round++) {
		char *text = NULL;
		int rc = file_read_at(arena, from, "cgroup.procs", LIMIT_SUBID_BYTES, &text, NULL);

		if (rc < 0 || !*text)
			return rc;
		for (char *at = text; *at;) {
			size_t len = strcspn(at, "\n");

			rc = file_write_at(to, "cgroup.procs", at, len);
			if (rc < 0 && rc != -ESRCH)
				return rc;
			at += len + (at[len] == '\n');
		}
	}
	return -EAGAIN;
}

static void cgroup_enable_all(struct arena *arena, int dir)
{
	char *text = NULL;

	if (file_read_at(arena, dir, "cgroup.controllers", LIMIT_SUBID_BYTES, &text, NULL) < 0)
		return;
	for (char *at = text; *at;) {
		size_t len = strcspn(at, " \n");
		char *word = arena_printf(arena, "+%.*s", (int)len, at);

		/* one by one: those that are not ours to give are left */
		if (word && len)
			(void)file_write_at(dir, "cgroup.subtree_control", word, len + 1);
		at += len + (at[len] != '\0');
	}
}

int evacuate_cgroup2(const char *name, struct rb_err *err)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_FD int dir = cgroup2_open(&arena);
	CLEANUP_FD int leaf = -1;
	int rc;

	if (dir < 0)
		return evacuate_failed(-dir, "find our cgroup2 directory", err);
	rc = sys_mkdirat(dir, name, 0755);
	if (rc < 0 && rc != -EEXIST)
		return evacuate_failed(-rc, "make the cgroup", err);
	leaf = sys_openat(dir, name, O_RDONLY | O_DIRECTORY, 0);
	if (leaf < 0)
		return evacuate_failed(-leaf, "open the cgroup", err);
	rc = cgroup_move_all(&arena, dir, leaf);
	if (rc < 0)
		return evacuate_failed(-rc, "move the processes", err);
	cgroup_enable_all(&arena, dir);
	return 0;
}

int child_mount_cgroup2(struct rb_err *err)
{
	CLEANUP_FD int fs = sys_fsopen("cgroup2");
	CLEANUP_FD int tree = -1;
	int rc = fs < 0 ? fs : sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);

	if (rc == 0) {
		tree = sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
		rc = tree < 0 ? tree
			      : sys_move_mount(tree, "", AT_FDCWD, "/sys/fs/cgroup",
					       MOVE_MOUNT_F_EMPTY_PATH);
	}
	return rc < 0 ? evacuate_failed(-rc, "mount the new cgroup tree", err) : 0;
}
