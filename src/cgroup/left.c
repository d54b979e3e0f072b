/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups whose maker may die without a word: a note says which ones were made, and whoever comes
 * later removes them by it. Runs in the worker, its guard, and the next process of the same state
 * root. Must not touch what is not certainly the noted one: a group is known by the number of its
 * directory, which the kernel does not give twice, and one that anybody is in stays.
 */
#include <sys/stat.h>
#include "base/num.h"
#include "base/strbuf.h"
#include "cgroup/cgroup_private.h"

void cgroup_note(const struct cgroup *cgroup, struct strbuf *out)
{
	for (size_t i = 0; i < cgroup->n; i++) {
		const struct cgroup_member *member = &cgroup->v[i];
		struct stat status;

		if (member->made && fstat(member->fd, &status) == 0)
			strbuf_printf(out, "%" PRIu64 " %s %s\n", (uint64_t)status.st_ino,
				      member->hierarchy, member->path);
	}
}

/* One line of a note. */
struct noted {
	uint64_t inode;
	const char *hierarchy, *path;
};

static int noted_parse(struct arena *arena, const char *line, size_t len, struct noted *ret)
{
	const char *hierarchy = memchr(line, ' ', len);
	const char *path = hierarchy ? memchr(hierarchy + 1, ' ',
					      len - (size_t)(hierarchy + 1 - line))
				     : NULL;

	if (!path || num_parse_u64(line, (size_t)(hierarchy - line), UINT64_MAX, &ret->inode) < 0)
		return -EINVAL;
	ret->hierarchy = arena_strndup(arena, hierarchy + 1, (size_t)(path - hierarchy) - 1);
	ret->path = arena_strndup(arena, path + 1, len - (size_t)(path + 1 - line));
	return ret->hierarchy && ret->path ? 0 : -ENOMEM;
}

static const struct cgroup_member *hierarchy_find(const struct cgroup *all, const char *name)
{
	for (size_t i = 0; i < all->n; i++)
		if (str_eq(all->v[i].hierarchy, name))
			return &all->v[i];
	return NULL;
}

/* 0: it is gone, or another one has its name. */
static int noted_remove(struct arena *arena, const struct cgroup *all, const struct noted *noted)
{
	const struct cgroup_member *root = hierarchy_find(all, noted->hierarchy);
	CLEANUP_FD int above = -1;
	CLEANUP_FD int group = -1;
	const char *name;
	struct stat status;

	if (!root)
		return -ENODEV;
	above = group_above(arena, root, noted->path, &name);
	group = above < 0 ? above : sys_openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (group == -ENOENT)
		return 0;
	if (group < 0)
		return group;
	if (fstat(group, &status) < 0)
		return -errno;
	if ((uint64_t)status.st_ino != noted->inode)
		return 0;
	return group_is_used(arena, group) ? -EBUSY : group_remove(above, name, GROUP_DEPTH_MAX);
}

int cgroup_remove_noted(const char *note)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_CGROUP struct cgroup all = {.n = 0};
	int result = hierarchies_open(&all);
	const char *end;

	/* the last line has no end when its writer was killed: then it says nothing certain */
	for (; result != -ENOMEM && (end = strchr(note, '\n')); note = end + 1) {
		struct noted noted;
		int r = noted_parse(&arena, note, (size_t)(end - note), &noted);

		if (r == 0)
			r = noted_remove(&arena, &all, &noted);
		if (r < 0 && r != -EINVAL)
			result = r;
	}
	return result;
}
