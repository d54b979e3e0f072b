/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mount points that exist only because a step had a mount there. They are noted before the step
 * and removed after it where they are still empty, in the directory that holds the step's
 * changes: the upper one, or the root itself. Runs in the parent; every look-up stays below the
 * directory it begins in.
 */
#include "base/sys.h"
#include "worker/job.h"

/* How many bytes of the path exist already, at component borders. */
static size_t existing_part(struct arena *arena, int root, const char *path)
{
	size_t len = strlen(path);

	while (len > 1) {
		char *part = arena_strndup(arena, path, len);
		CLEANUP_FD int fd = part ? sys_openat2(root, part, O_PATH, 0,
						       RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
					 : -1;

		if (fd >= 0)
			return len;
		while (len > 1 && path[len - 1] != '/')
			len--;
		while (len > 1 && path[len - 1] == '/')
			len--;
	}
	return len;
}

int job_note_stubs(struct job *job, int root)
{
	job->stubs = arena_array(&job->arena, job->spec.n_mounts + 1, sizeof(*job->stubs));
	if (!job->stubs)
		return -ENOMEM;
	for (size_t i = 0; i < job->spec.n_mounts; i++) {
		const char *path = job->spec.mounts[i].destination;
		size_t existed = existing_part(&job->arena, root, path);

		if (existed < strlen(path))
			job->stubs[job->n_stubs++] = (struct job_stub){path, existed};
	}
	return 0;
}

/* An empty directory or file at the end of path goes. false: it is not empty or not there. */
static bool remove_one(int root, const char *path, size_t len)
{
	char parent[LIMIT_PATH_BYTES];
	size_t cut = len;
	CLEANUP_FD int dir = -1;
	struct stat st;
	const char *name;

	if (len >= sizeof(parent))
		return false;
	memcpy(parent, path, len);
	parent[len] = '\0';
	while (cut > 0 && parent[cut - 1] != '/')
		cut--;
	name = parent + cut;
	if (cut > 1)
		parent[cut - 1] = '\0';
	dir = sys_openat2(root, cut > 1 ? parent : "/", O_PATH | O_DIRECTORY, 0,
			  RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
	if (dir < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	if (S_ISDIR(st.st_mode))
		return unlinkat(dir, name, AT_REMOVEDIR) == 0;
	return S_ISREG(st.st_mode) && st.st_size == 0 && unlinkat(dir, name, 0) == 0;
}

void job_remove_stubs(struct job *job)
{
	const struct step_snapshot *snapshot = job->step->root_snapshot;
	const char *place = snapshot ? snapshot->upper : job->spec.root_path;
	CLEANUP_FD int root = -1;

	if (job->n_stubs == 0 || !place || job->step->root == STEP_FD)
		return;
	root = sys_openat(AT_FDCWD, place, O_PATH | O_DIRECTORY, 0);
	if (root < 0)
		return;
	/* the last mounted first: it may lie below an earlier one */
	for (size_t i = job->n_stubs; i-- > 0;) {
		const struct job_stub *stub = &job->stubs[i];
		size_t len = strlen(stub->path);

		while (len > stub->existed && remove_one(root, stub->path, len)) {
			while (len > stub->existed && stub->path[len - 1] != '/')
				len--;
			while (len > stub->existed && stub->path[len - 1] == '/')
				len--;
			if (!job->step->stubs.parents)
				break;
		}
	}
}
