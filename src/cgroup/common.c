/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The group of a container in every hierarchy: found, made, joined, signalled, removed. Runs in
 * the parent and in the verbs, with the caller's privilege. Above the container's own group it
 * makes directories and turns controllers on for the groups below (v2 gives a group none of its
 * own accord), and changes nothing else: limits of the host are the administrator's.
 */
#include <dirent.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include "base/file.h"
#include "base/num.h"
#include "base/strbuf.h"
#include "cgroup/cgroup_private.h"

void cgroup_close(struct cgroup *cgroup)
{
	while (cgroup->n > 0)
		fd_close(&cgroup->v[--cgroup->n].fd);
}

static void hierarchies_add(struct cgroup *all, int fd, bool v2, const char *name)
{
	struct cgroup_member *h = &all->v[all->n];

	if (all->n == HIERARCHIES_MAX || strlen(name) >= sizeof(h->hierarchy)) {
		close(fd);
		return;
	}
	*h = (struct cgroup_member){.fd = fd, .v2 = v2, .path = "/"};
	memcpy(h->hierarchy, name, strlen(name) + 1);
	all->n++;
}

static void hierarchies_open_entry(struct cgroup *all, int root, const struct dirent *entry)
{
	struct statfs fs;
	int fd;

	/* "cpu,cpuacct" and the links to it are one hierarchy */
	if (entry->d_name[0] == '.' || entry->d_type == DT_LNK)
		return;
	fd = sys_openat(root, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return;
	if (fstatfs(fd, &fs) == 0 &&
	    (fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC))
		hierarchies_add(all, fd, fs.f_type == CGROUP2_SUPER_MAGIC, entry->d_name);
	else
		close(fd);
}

int hierarchies_open(struct cgroup *all)
{
	int root = sys_openat(AT_FDCWD, CGROUP_ROOT, O_RDONLY | O_DIRECTORY, 0);
	struct statfs fs;
	DIR *stream;
	struct dirent *entry;

	*all = (struct cgroup){.n = 0};
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
	while ((entry = readdir(stream)))
		hierarchies_open_entry(all, root, entry);
	closedir(stream);
	return all->n ? 0 : -ENOENT;
}

/* Makes what is missing of a path below a hierarchy's root. 0 with *ret_made, or -errno. */
static int group_enter(struct cgroup_member *group, const char *path, bool make)
{
	CLEANUP_FD int dir = fd_take(&group->fd);

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
		path += len;
		if (make && group->v2)
			v2_delegate(dir);
		group->made = make && mkdirat(dir, name, 0755) == 0;
		if (make && !group->made && errno != EEXIST)
			return -errno;
		next = sys_openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (next >= 0 && make && !group->v2)
			v1_prepare(dir, next);
		close(dir);
		dir = next;
	}
	if (dir < 0)
		return dir;
	group->fd = fd_take(&dir);
	return 0;
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
	return path[strcspn(path, "\n")] == '\0';
}

/* Our own group in a hierarchy: a line "N:CONTROLLERS:PATH" of /proc/self/cgroup, cgroups(7). */
static const char *own_path(struct arena *arena, const char *lines,
			    const struct cgroup_member *member)
{
	for (const char *line = lines; *line;) {
		size_t len = strcspn(line, "\n");
		const char *names = memchr(line, ':', len);
		const char *path = names ? memchr(names + 1, ':', len - (size_t)(names + 1 - line))
					 : NULL;
		char *list = path ? arena_strndup(arena, names + 1, (size_t)(path - names) - 1)
				  : NULL;
		bool match = list && (member->v2 ? list[0] == '\0'
				      : str_starts(list, "name=")
					      ? str_eq(list + 5, member->hierarchy)
					      : list_has(member->hierarchy, list) ||
							str_eq(list, member->hierarchy));

		if (match)
			return arena_strndup(arena, path + 1, len - (size_t)(path + 1 - line));
		line += len + (line[len] == '\n');
	}
	return "/";
}

/* Where a relative path leads in a hierarchy. */
static const char *path_absolute(struct arena *arena, const char *lines, const char *path,
				 const struct cgroup_member *member)
{
	const char *own;
	size_t len;

	/* a copy: the caller's text may be a plan's, which goes before the name of the group */
	if (path[0] == '/')
		return arena_strdup(arena, path);
	own = own_path(arena, lines, member);
	len = own ? strlen(own) : 0;
	/* beside our own group: it has processes, so nothing below it could be given controllers */
	if (member->v2)
		while (len > 0 && own[len - 1] != '/')
			len--;
	while (len > 0 && own[len - 1] == '/')
		len--;
	return arena_printf(arena, "%.*s/%s", (int)len, own ? own : "", path);
}

static int make_check(const struct cgroup *cgroup, const char *path, struct rb_err *err)
{
	if (!cgroup_frozen(cgroup))
		return 0;
	err_set(err, RB_CGROUP, 0, "container's cgroup unexpectedly frozen: %s", path);
	err_fix(err, "use another cgroupsPath, or thaw it");
	return -EBUSY;
}

int cgroup_make(struct arena *arena, const char *path, struct cgroup *ret_cgroup,
		struct rb_err *err)
{
	CLEANUP_CGROUP struct cgroup all = {.n = 0};
	char lines[8192];
	int failure = -ENOENT;
	int r;

	if (!path_is_clean(path)) {
		err_set(err, RB_CGROUP, 0, "the cgroup path \"%.100s\" contains \"..\"", path);
		err_origin(err, "/linux/cgroupsPath");
		return -EINVAL;
	}
	if (file_read_small(AT_FDCWD, "/proc/self/cgroup", lines, sizeof(lines)) < 0)
		lines[0] = '\0';
	r = hierarchies_open(&all);
	if (r < 0)
		return err_set(err, RB_CGROUP, -r, "no cgroup hierarchy below " CGROUP_ROOT);
	*ret_cgroup = (struct cgroup){.n = 0};
	for (size_t i = 0; i < all.n; i++) {
		struct cgroup_member *member = &ret_cgroup->v[ret_cgroup->n];

		*member = all.v[i];
		all.v[i].fd = -1; /* handed over */
		member->path = path_absolute(arena, lines, path, member);
		if (!member->path) {
			r = -ENOMEM;
			fd_close(&member->fd);
		} else {
			r = group_enter(member, member->path, true);
		}
		if (r == 0)
			ret_cgroup->n++;
		else if (failure == -ENOENT)
			failure = r;
	}
	if (ret_cgroup->n > 0) {
		r = make_check(ret_cgroup, path, err);
		if (r < 0)
			cgroup_close(ret_cgroup);
		return r;
	}
	err_set(err, RB_CGROUP, -failure, "unable to apply cgroup configuration: cannot make %s",
		path);
	err_fix(err, "have the cgroup delegated to this user (systemd: Delegate=yes)");
	/* of the form "permission denied": clients compare runc's lower-case texts */
	if (failure == -EACCES)
		err_set(err, RB_CGROUP, 0,
			"unable to apply cgroup configuration: mkdir %s: permission denied", path);
	return failure;
}

/* The path that a name gives for a hierarchy, or NULL. */
static const char *name_path(struct arena *arena, const char *name, const char *hierarchy)
{
	if (name[0] == '/')
		return name;
	for (const char *line = name; *line;) {
		size_t len = strcspn(line, "\n");
		size_t word = strcspn(line, " ");

		if (word < len && word == strlen(hierarchy) && memcmp(line, hierarchy, word) == 0)
			return arena_strndup(arena, line + word + 1, len - word - 1);
		line += len + (line[len] == '\n');
	}
	return NULL;
}

int cgroup_open(struct arena *arena, const char *name, struct cgroup *ret_cgroup)
{
	CLEANUP_CGROUP struct cgroup all = {.n = 0};
	int r = hierarchies_open(&all);

	*ret_cgroup = (struct cgroup){.n = 0};
	if (r < 0)
		return r;
	for (size_t i = 0; i < all.n; i++) {
		struct cgroup_member *member = &ret_cgroup->v[ret_cgroup->n];
		const char *path = name_path(arena, name, all.v[i].hierarchy);

		if (!path)
			continue;
		*member = all.v[i];
		all.v[i].fd = -1;
		member->path = path;
		if (group_enter(member, path, false) == 0)
			ret_cgroup->n++;
	}
	return ret_cgroup->n ? 0 : -ENOENT;
}

const char *cgroup_name(struct arena *arena, const struct cgroup *cgroup)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	bool same = true;

	for (size_t i = 0; i < cgroup->n; i++) {
		same &= str_eq(cgroup->v[i].path, cgroup->v[0].path);
		strbuf_printf(&text, "%s%s %s", i ? "\n" : "", cgroup->v[i].hierarchy,
			      cgroup->v[i].path);
	}
	if (cgroup->n && same)
		return cgroup->v[0].path;
	return text.failed || !text.text ? NULL : arena_strdup(arena, text.text);
}

/* In runc's words, which begin in lower case: clients look for them. */
static int add_error(const struct cgroup_member *member, const char *path, pid_t pid, int errnum,
		     struct rb_err *err)
{
	char why[64];

	snprintf(why, sizeof(why), "%s", strerrordesc_np(errnum) ? strerrordesc_np(errnum) : "");
	if (why[0] >= 'A' && why[0] <= 'Z')
		why[0] = (char)(why[0] - 'A' + 'a');
	err_set(err, RB_CGROUP, 0,
		"unable to apply cgroup configuration: error adding pid %d to cgroups: " CGROUP_ROOT
		"%s%s%s/cgroup.procs: %s",
		(int)pid, member->hierarchy[0] ? "/" : "", member->hierarchy, path, why);
	return -errnum;
}

int cgroup_add(const struct cgroup *cgroup, pid_t pid, struct rb_err *err)
{
	char number[16];
	int len = snprintf(number, sizeof(number), "%d", (int)pid);

	for (size_t i = 0; i < cgroup->n; i++) {
		const struct cgroup_member *member = &cgroup->v[i];
		int r = file_write_at(member->fd, "cgroup.procs", number, (size_t)len);

		if (r < 0)
			return add_error(member, member->path, pid, -r, err);
	}
	return 0;
}

int cgroup_descend(struct arena *arena, struct cgroup_member *member, const char *path, pid_t pid,
		   struct rb_err *err)
{
	const char *below = arena_printf(arena, "%s/%s", member->path, path + strspn(path, "/"));
	int fd;
	int r;

	if (!below)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "cgroup");
	if (!path_is_clean(path))
		return err_set(err, RB_USAGE, 0,
			       "bad sub cgroup path: %.100s is not a sub cgroup path", path);
	fd = fd_dup(member->fd, 3);
	if (fd < 0)
		return err_set(err, RB_CGROUP, -fd, "cgroup");
	r = group_enter(member, path, false);
	if (r < 0) {
		member->fd = fd;
		return add_error(member, below, pid, -r, err);
	}
	close(fd);
	member->path = below;
	return 0;
}

const char *cgroup_absolute(struct arena *arena, const char *path)
{
	CLEANUP_CGROUP struct cgroup all = {.n = 0};
	char lines[8192];

	if (hierarchies_open(&all) < 0)
		return NULL;
	if (file_read_small(AT_FDCWD, "/proc/self/cgroup", lines, sizeof(lines)) < 0)
		lines[0] = '\0';
	for (size_t i = 0; i < all.n; i++) {
		all.v[i].path = path_absolute(arena, lines, path, &all.v[i]);
		if (!all.v[i].path)
			return NULL;
	}
	return cgroup_name(arena, &all);
}

size_t cgroup_count(const struct cgroup *cgroup)
{
	size_t most = 0;

	for (size_t i = 0; i < cgroup->n; i++) {
		char text[4096];
		ssize_t len = file_read_small(cgroup->v[i].fd, "cgroup.procs", text, sizeof(text));
		size_t lines = 0;

		for (ssize_t k = 0; k < len; k++)
			lines += text[k] == '\n';
		if (lines > most)
			most = lines;
	}
	return most;
}

struct pid_list {
	struct arena *arena;
	pid_t *v;
	size_t n, room;
	bool foreign; /* one of them is in none of our pid namespaces */
};

static int pids_add_text(struct pid_list *pids, const char *text)
{
	for (const char *at = text; *at;) {
		size_t len = strcspn(at, "\n");
		uint64_t pid;

		/* 0: a process that is in none of our pid namespaces */
		if (num_parse_u64(at, len, INT_MAX, &pid) < 0 || pid == 0) {
			pids->foreign = true;
		} else {
			if (pids->n == pids->room) {
				size_t room = pids->room ? 2 * pids->room : 64;
				pid_t *v = arena_array(pids->arena, room, sizeof(*v));

				if (!v)
					return -ENOMEM;
				if (pids->n)
					memcpy(v, pids->v, pids->n * sizeof(*v));
				pids->v = v;
				pids->room = room;
			}
			pids->v[pids->n++] = (pid_t)pid;
		}
		at += len + (at[len] == '\n');
	}
	return 0;
}

enum { SCOPE_MS = 2000 };

/* The group's processes, then those of the groups below. */
static int pids_collect(struct pid_list *pids, int group, unsigned depth)
{
	struct dirent *entry;
	DIR *stream;
	char *text;
	int fd;
	int r = file_read_at(pids->arena, group, "cgroup.procs", LIMIT_STATE_BYTES, &text, NULL);

	/* ENODEV: removed meanwhile; EOPNOTSUPP: a threaded group */
	if (r == 0)
		r = pids_add_text(pids, text);
	fd = sys_openat(group, ".", O_RDONLY | O_DIRECTORY, 0);
	stream = depth == 0 || fd < 0 ? NULL : fdopendir(fd);
	if (!stream) {
		fd_close(&fd);
		return r;
	}
	while ((entry = readdir(stream))) {
		CLEANUP_FD int below = -1;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		below = sys_openat(group, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (below >= 0)
			(void)pids_collect(pids, below, depth - 1);
	}
	closedir(stream);
	return r;
}

int cgroup_pids(struct arena *arena, const struct cgroup *cgroup, pid_t **ret_pids, size_t *ret_n)
{
	struct pid_list pids = {.arena = arena};
	int r = -ENOENT;

	/* one hierarchy has them all; v2's first */
	for (size_t i = 0; i < cgroup->n && pids.n == 0; i++)
		r = pids_collect(&pids, cgroup->v[i].fd, GROUP_DEPTH_MAX);
	*ret_pids = pids.v;
	*ret_n = pids.n;
	return pids.n ? 0 : r;
}

bool group_is_used(struct arena *arena, int group)
{
	struct pid_list pids = {.arena = arena};

	return pids_collect(&pids, group, GROUP_DEPTH_MAX) < 0 || pids.n > 0 || pids.foreign;
}

int cgroup_freeze(const struct cgroup *cgroup, bool frozen, struct rb_err *err)
{
	const struct cgroup_member *v1 = cgroup_member_for(cgroup, false, "freezer");
	const struct cgroup_member *v2 = cgroup_member_for(cgroup, true, NULL);
	int r = v1 ? v1_freeze(v1->fd, frozen) : v2 ? v2_freeze(v2->fd, frozen) : -ENOENT;

	if (r < 0) {
		err_set(err, RB_CGROUP, -r, "cannot %s the processes of the container",
			frozen ? "freeze" : "thaw");
		err_fix(err, "pausing needs a cgroup that this user may write");
	}
	return r;
}

bool cgroup_frozen(const struct cgroup *cgroup)
{
	const struct cgroup_member *v1 = cgroup_member_for(cgroup, false, "freezer");
	const struct cgroup_member *v2 = cgroup_member_for(cgroup, true, NULL);

	return (v1 && v1_frozen(v1->fd)) || (v2 && v2_frozen(v2->fd));
}

bool cgroup_name_frozen(const char *name)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_CGROUP struct cgroup cgroup = {.n = 0};

	return cgroup_open(&arena, name, &cgroup) == 0 && cgroup_frozen(&cgroup);
}

void cgroup_signal(const char *name, int sig)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_CGROUP struct cgroup cgroup = {.n = 0};
	pid_t *pids;
	size_t n;

	if (cgroup_open(&arena, name, &cgroup) < 0 || cgroup_pids(&arena, &cgroup, &pids, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		CLEANUP_FD int pidfd = sys_pidfd_open(pids[i]);

		if (pidfd >= 0)
			(void)sys_pidfd_send_signal(pidfd, sig);
	}
}

void cgroup_kill(const char *name)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_CGROUP struct cgroup cgroup = {.n = 0};
	const struct cgroup_member *v1;
	bool killed = false;

	if (cgroup_open(&arena, name, &cgroup) < 0)
		return;
	for (size_t i = 0; i < cgroup.n; i++)
		killed |= cgroup.v[i].v2 && cgroup_write(&cgroup.v[i], "cgroup.kill", "1") == 0;
	if (!killed)
		cgroup_signal(name, SIGKILL);
	/* v1's frozen processes die only once they run again */
	v1 = cgroup_member_for(&cgroup, false, "freezer");
	if (v1 && v1_frozen(v1->fd))
		(void)v1_freeze(v1->fd, false);
}

/* Cgroupfs directories contain nothing else to remove. */
int group_remove(int parent, const char *name, unsigned depth)
{
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

/*
 * systemd ends a scope, and removes its group, when it hears that the group is empty. The kernel
 * tells that a moment later, and never of a group that is gone by then: the unit would stay. A
 * group that stays all the same is removed after SCOPE_MS.
 */
static void await_systemd(int parent, const char *name)
{
	const char *end = strrchr(name, '.');
	struct stat status;
	unsigned waited = 0;

	if (!end || !str_eq(end, ".scope") || stat("/run/systemd/system", &status) < 0)
		return;
	while (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && waited < SCOPE_MS)
		(void)cgroup_nap(&waited);
}

int group_above(struct arena *arena, const struct cgroup_member *root, const char *path,
		const char **ret_name)
{
	struct cgroup_member above = {.fd = fd_dup(root->fd, 3), .v2 = root->v2};
	const char *name = strrchr(path, '/');
	char *parent = name ? arena_strndup(arena, path, (size_t)(name - path)) : NULL;
	int r = parent && name[1] && path_is_clean(path) ? group_enter(&above, parent, false)
							 : -EINVAL;

	if (r < 0) {
		fd_close(&above.fd);
		return r;
	}
	*ret_name = name + 1;
	return above.fd;
}

/* A group is busy until its last process is reaped, which is a matter of milliseconds. */
static int member_remove(struct arena *arena, const struct cgroup_member *root, const char *path)
{
	const char *name;
	CLEANUP_FD int above = group_above(arena, root, path, &name);
	unsigned waited = 0;
	int r = above;

	if (r >= 0 && root->v2)
		await_systemd(above, name);
	if (r >= 0)
		do
			r = group_remove(above, name, GROUP_DEPTH_MAX);
		while (r == -EBUSY && waited < 2000 && cgroup_nap(&waited));
	return r == -ENOENT ? 0 : r;
}

int cgroup_remove(const char *name)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_CGROUP struct cgroup all = {.n = 0};
	int result = 0;

	/* a name of ours, and below the root of a hierarchy */
	if (!strchr(name, '/') || name[strlen(name) - 1] == '/' ||
	    (name[0] == '/' && !path_is_clean(name)))
		return -EINVAL;
	if (hierarchies_open(&all) < 0)
		return 0; /* no cgroups, no group */
	for (size_t i = 0; i < all.n; i++) {
		const char *path = name_path(&arena, name, all.v[i].hierarchy);
		int r = path ? member_remove(&arena, &all.v[i], path) : 0;

		/* ordinary users: hierarchies that they could not make it in either */
		if (r < 0 && r != -EACCES && r != -EPERM && r != -EROFS)
			result = r;
	}
	return result;
}
