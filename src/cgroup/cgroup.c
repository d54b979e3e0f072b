/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The group of a container in every hierarchy this host mounts below /sys/fs/cgroup. Runs in the
 * parent and in `delete`, with the caller's privilege. Must not touch a group above the
 * container's own: controllers and limits of the host are the administrator's.
 */
#include <dirent.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include "base/file.h"
#include "base/num.h"
#include "base/sys.h"
#include "cgroup/cgroup.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* One mounted hierarchy: a descriptor of its root. */
struct hierarchy {
	int fd;
	bool v2;
	char name[64]; /* directory below CGROUP_ROOT; "" for pure v2 */
};

enum { HIERARCHIES_MAX = 32 };

struct hierarchies {
	struct hierarchy v[HIERARCHIES_MAX];
	size_t n;
};

static void hierarchies_close(struct hierarchies *all)
{
	while (all->n > 0)
		fd_close(&all->v[--all->n].fd);
}

static void hierarchies_add(struct hierarchies *all, int fd, bool v2, const char *name)
{
	struct hierarchy *h = &all->v[all->n];

	if (all->n == HIERARCHIES_MAX || strlen(name) >= sizeof(h->name)) {
		close(fd);
		return;
	}
	h->fd = fd;
	h->v2 = v2;
	memcpy(h->name, name, strlen(name) + 1);
	all->n++;
}

static int hierarchies_open(struct hierarchies *all)
{
	int root = sys_openat(AT_FDCWD, CGROUP_ROOT, O_RDONLY | O_DIRECTORY, 0);
	struct statfs fs;
	DIR *stream;
	struct dirent *entry;

	*all = (struct hierarchies){.n = 0};
	if (root < 0)
		return root;
	if (fstatfs(root, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC) {
		hierarchies_add(all, root, true, "");
		return 0;
	}
	stream = fdopendir(root);
	if (!stream) {
		close(root);
		return -errno;
	}
	while ((entry = readdir(stream))) {
		int fd;

		/* "cpu,cpuacct" and the links to it are one hierarchy */
		if (entry->d_name[0] == '.' || entry->d_type == DT_LNK)
			continue;
		fd = sys_openat(root, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (fd < 0)
			continue;
		if (fstatfs(fd, &fs) == 0 &&
		    (fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC))
			hierarchies_add(all, fd, fs.f_type == CGROUP2_SUPER_MAGIC, entry->d_name);
		else
			close(fd);
	}
	closedir(stream);
	return all->n ? 0 : -ENOENT;
}

/* v1 cpuset: a new group has no cpus and no memory nodes, and nobody can join it: cpuset(7) */
static void cpuset_inherit(int parent, int group)
{
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char value[4096];
		ssize_t len = file_read_small(group, files[i], value, sizeof(value));

		if (len < 0 || value[0] != '\n')
			continue;
		len = file_read_small(parent, files[i], value, sizeof(value));
		if (len > 0)
			(void)file_write_at(group, files[i], value, (size_t)len);
	}
}

/* Opens or makes the group; *ret_made says whether its last part is new. */
static int group_open(const struct hierarchy *h, const char *path, bool make, bool *ret_made)
{
	CLEANUP_FD int dir = fd_dup(h->fd, 3);
	bool made = false;

	while (dir >= 0) {
		char name[NAME_MAX + 1];
		size_t len;
		int next;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len == 0)
			break;
		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path, len);
		name[len] = '\0';
		if (str_eq(name, ".."))
			return -EINVAL; /* a group above the container's own */
		path += len;
		made = make && mkdirat(dir, name, 0755) == 0;
		if (make && !made && errno != EEXIST)
			return -errno;
		next = sys_openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (next >= 0 && made && !h->v2)
			cpuset_inherit(dir, next);
		close(dir);
		dir = next;
	}
	if (ret_made)
		*ret_made = made;
	return fd_take(&dir);
}

static int group_add(int group, pid_t pid)
{
	char number[16];
	int len = snprintf(number, sizeof(number), "%d", (int)pid);

	return file_write_at(group, "cgroup.procs", number, (size_t)len);
}

static bool path_is_clean(const char *path)
{
	for (const char *at = path; *at;) {
		size_t len;

		at += strspn(at, "/");
		len = strcspn(at, "/");
		if (len == 2 && at[0] == '.' && at[1] == '.')
			return false;
		at += len;
	}
	return true;
}

/* A relative path goes below our own group, as /proc/self/cgroup names it. */
const char *cgroup_absolute(struct arena *arena, const char *path)
{
	char text[8192];
	ssize_t len;
	const char *own;

	if (path[0] == '/')
		return path;
	len = file_read_small(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text));
	if (len <= 0)
		return arena_printf(arena, "/%s", path);
	own = strstr(text, "0::/");
	if (!own || (own != text && own[-1] != '\n'))
		return arena_printf(arena, "/%s", path);
	own += 3;
	len = (ssize_t)strcspn(own, "\n");
	return arena_printf(arena, "%.*s/%s", len == 1 ? 0 : (int)len, own, path);
}

int cgroup_join(struct arena *arena, const char *path, pid_t pid, const char **ret_path,
		struct rb_err *err)
{
	CLEANUP(hierarchies_close) struct hierarchies all = {.n = 0};
	const char *absolute;
	size_t joined = 0;
	int r = 0;

	if (!path_is_clean(path)) {
		err_set(err, RB_CGROUP, 0, "the cgroup path \"%.100s\" contains \"..\"", path);
		return -EINVAL;
	}
	absolute = cgroup_absolute(arena, path);
	if (!absolute)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "cgroup");
	r = hierarchies_open(&all);
	if (r < 0) {
		err_set(err, RB_CGROUP, -r, "no cgroup hierarchy below " CGROUP_ROOT);
		return r;
	}
	for (size_t i = 0; i < all.n; i++) {
		CLEANUP_FD int group = group_open(&all.v[i], absolute, true, NULL);
		int added = group < 0 ? group : group_add(group, pid);

		if (added == 0)
			joined++;
		else
			r = added;
	}
	if (joined == all.n) {
		*ret_path = absolute;
		return 0;
	}
	if (joined == 0) {
		err_set(err, RB_CGROUP, -r, "unable to apply cgroup configuration: %s", absolute);
		err_fix(err, "have the cgroup delegated to this user (systemd: Delegate=yes)");
		(void)cgroup_remove(absolute);
		return r;
	}
	*ret_path = absolute;
	return 0;
}

int cgroup_enter(const char *path, pid_t pid, struct rb_err *err)
{
	CLEANUP(hierarchies_close) struct hierarchies all = {.n = 0};
	int r = hierarchies_open(&all);

	for (size_t i = 0; r == 0 && i < all.n; i++) {
		CLEANUP_FD int group = group_open(&all.v[i], path, false, NULL);

		/* a hierarchy the container could not be put into */
		if (group == -ENOENT)
			continue;
		r = group < 0 ? group : group_add(group, pid);
	}
	if (r < 0)
		err_set(err, RB_CGROUP, -r, "cannot enter the cgroup %s", path);
	return r;
}

/* SIGKILL for every process of the group; pids are those of our own pid namespace. */
static void group_kill_each(int group)
{
	CLEANUP_ARENA struct arena arena = {0};
	char *text;

	if (file_read_at(&arena, group, "cgroup.procs", LIMIT_STATE_BYTES, &text, NULL) < 0)
		return;
	for (char *at = text; *at;) {
		size_t len = strcspn(at, "\n");
		uint64_t pid;

		if (num_parse_u64(at, len, INT_MAX, &pid) == 0 && pid > 0) {
			CLEANUP_FD int pidfd = sys_pidfd_open((pid_t)pid);

			if (pidfd >= 0)
				(void)sys_pidfd_send_signal(pidfd, SIGKILL);
		}
		at += len + (at[len] == '\n');
	}
}

void cgroup_kill(const char *path)
{
	CLEANUP(hierarchies_close) struct hierarchies all = {.n = 0};

	if (hierarchies_open(&all) < 0)
		return;
	for (size_t i = 0; i < all.n; i++) {
		CLEANUP_FD int group = group_open(&all.v[i], path, false, NULL);

		if (group >= 0 && file_write_at(group, "cgroup.kill", "1", 1) < 0)
			group_kill_each(group);
	}
}

/* rmdir from the bottom up; cgroupfs directories contain nothing else to remove. */
static int group_remove(int parent, const char *name, unsigned depth)
{
	CLEANUP_FD int dir = -1;
	DIR *stream;
	struct dirent *entry;
	int fd;

	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (depth == 0)
		return -errno;
	fd = sys_openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	stream = fd < 0 ? NULL : fdopendir(fd);
	if (!stream) {
		if (fd >= 0)
			close(fd);
		return -errno;
	}
	while ((entry = readdir(stream)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			(void)group_remove(fd, entry->d_name, depth - 1);
	closedir(stream);
	return unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int cgroup_remove(const char *path)
{
	CLEANUP(hierarchies_close) struct hierarchies all = {.n = 0};
	int result = 0;
	const char *name = strrchr(path, '/');

	if (!name || !name[1] || !path_is_clean(path))
		return -EINVAL;
	if (hierarchies_open(&all) < 0)
		return 0; /* no cgroups, no group */
	for (size_t i = 0; i < all.n; i++) {
		CLEANUP_ARENA struct arena arena = {0};
		char *above = arena_strndup(&arena, path, (size_t)(name - path));
		CLEANUP_FD int parent = above ? group_open(&all.v[i], above, false, NULL) : -ENOMEM;
		int r;

		if (parent < 0)
			continue;
		r = group_remove(parent, name + 1, 16);
		if (r < 0)
			result = r;
	}
	return result;
}
