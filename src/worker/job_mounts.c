/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root and mounts of a step before its child is born: which of them are handed over, which files
 * are generated, and in which order. How that is done is job->hands'. Runs outside the step's
 * namespaces. Nothing of it resolves a path of the image on the host.
 */
#include "base/file.h"
#include "base/sys.h"
#include "worker/job.h"

/* What is handed over for a source, if anything: a path alone is opened by the child. */
static int hand_source(struct job *job, const struct step_mount *source, const char *path,
		       uint32_t *ret_number, struct rb_err *err)
{
	if (source->source == STEP_SNAPSHOT)
		return job->hands->snapshot(job, source->snapshot, ret_number, err);
	if (source->source == STEP_FD)
		return job->hands->descriptor(job, source->fd, ret_number, err);
	if (source->selector && source->selector[0])
		return job->hands->part(job, path, source->selector, ret_number, err);
	return 0;
}

static int add_root(struct job *job, struct rb_err *err)
{
	const struct step *step = job->step;
	const struct step_mount source = {
		.source = step->root,
		.snapshot = step->root_snapshot,
		.fd = step->root_fd,
	};
	int r = hand_source(job, &source, NULL, &job->spec.root_handed, err);

	if (r < 0 && step->root == STEP_SNAPSHOT)
		err_origin(err, step->root_snapshot->origin);
	return r;
}

static int add_mount(struct job *job, const struct step_mount *source, struct spec_mount *mount,
		     struct rb_err *err)
{
	int r = hand_source(job, source, mount->source, &mount->handed, err);

	if (r < 0 && err)
		err_origin(err, mount->origin);
	return r;
}

/*
 * The part of a snapshot that a selector names takes the snapshot's place. Kernels before 6.15
 * clone only what is attached somewhere: for a moment it is, in our private directory, which the
 * guard empties.
 */
static int select_in_snapshot(struct job *job, const struct step_mount *source, int *mount)
{
	const struct engine *engine = job->engine;
	char name[LIMIT_STEP_ID + 16];
	char *path;
	int part = -1;
	int r;

	snprintf(name, sizeof(name), "%s.part", job->step->id);
	path = arena_printf(&job->arena, "%s/%s", engine->directory, name);
	if (!path || mkdirat(engine->directory_fd, name, 0700) < 0)
		return path ? -errno : -ENOMEM;
	r = sys_move_mount(*mount, "", engine->directory_fd, name, MOVE_MOUNT_F_EMPTY_PATH);
	if (r == 0) {
		r = job_select_attached(*mount, source->selector, &part);
		(void)sys_umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
	}
	(void)unlinkat(engine->directory_fd, name, AT_REMOVEDIR);
	if (r == 0) {
		close(*mount);
		*mount = part;
	}
	return r;
}

int job_select_in_snapshots(struct job *job, struct rb_err *err)
{
	for (size_t i = 0; !job->step->oci && i < job->step->spec.n_mounts; i++) {
		const struct step_mount *source = &job->step->mounts[i];
		const struct spec_mount *mount = &job->spec.mounts[i];
		int r;

		if (source->source != STEP_SNAPSHOT || !source->selector || !source->selector[0])
			continue;
		r = select_in_snapshot(job, source, &job->handed.mounts[mount->handed - 1]);
		if (r == 0)
			continue;
		err_set(err, RB_MOUNT_SOURCE, -r, "cannot open '%s' below the snapshot",
			source->selector);
		err_origin(err, mount->origin);
		err_fix(err, "create it, or remove the mount");
		return r;
	}
	return 0;
}

/* /etc/hosts and the like: a file in our directory, bound read-write as other engines do. */
static int add_file(struct job *job, const char *name, const char *text, const char *path,
		    const char *destination, struct rb_err *err)
{
	struct spec_mount *mount = (struct spec_mount *)&job->spec.mounts[job->spec.n_mounts];
	const char *file = arena_printf(&job->arena, "%s.%s", job->step->id, name);
	int r;

	if (!text && !path)
		return 0;
	if (!path) {
		path = file ? arena_printf(&job->arena, "%s/%s", job->engine->directory, file)
			    : NULL;
		if (!path)
			return err_set(err, RB_NO_MEMORY, ENOMEM, "%s", destination);
		r = job->hands->file(job, file, text, err);
		if (r < 0)
			return r;
	}
	*mount = (struct spec_mount){
		.destination = destination,
		.type = "",
		.source = path,
		.bind = true,
		.origin = "",
	};
	job->spec.n_mounts++;
	return 0;
}

void job_remove_files(const struct job *job)
{
	static const char *const names[] = {".hosts", ".resolv", ".slirp", CGROUP_NOTE};
	const bool made[] = {job->step->hosts, job->resolv, job->network.api_socket,
			     job->launch.cgroup_noted};
	char file[LIMIT_STEP_ID + 16];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(file, sizeof(file), "%s%s", job->step->id, names[i]);
		if (made[i])
			(void)unlinkat(job->engine->directory_fd, file, 0);
	}
}

static int open_in(int tree, const char *path)
{
	return sys_openat2(tree, path, O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/*
 * Has this tree the file, or may it be made there? We have the rights that the step's root has. Of
 * a tree that cannot be opened the mount itself will say so.
 */
static bool tree_takes_resolv(const char *path, bool only_read)
{
	CLEANUP_FD int tree = sys_openat(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
	CLEANUP_FD int file = tree < 0 ? tree : open_in(tree, "etc/resolv.conf");
	CLEANUP_FD int etc = tree < 0 ? tree : open_in(tree, "etc");

	if (only_read || tree < 0 || file >= 0)
		return file >= 0 || (tree < 0 && !only_read);
	return sys_faccessat2(etc < 0 ? tree : etc, "", W_OK | X_OK, AT_EACCESS | AT_EMPTY_PATH) ==
	       0;
}

/* What is mounted upon /etc has the file, or room for it, or says that it has not. */
static bool root_takes_resolv(const struct step *step)
{
	const struct step_snapshot *snapshot = step->root_snapshot;
	bool takes = step->root == STEP_FD || (snapshot && snapshot->upper);

	for (size_t i = 0; i < step->spec.n_mounts; i++)
		takes |= str_eq(step->spec.mounts[i].destination, "/etc");
	if (step->root == STEP_PATH)
		takes |= tree_takes_resolv(step->spec.root_path, false);
	for (size_t i = 0; snapshot && i < snapshot->lower.n && !takes; i++)
		takes = tree_takes_resolv(snapshot->lower.v[i], true);
	return takes;
}

/*
 * Name servers that nobody has asked for are no reason to refuse a step: a root that cannot be
 * written keeps what it has, and what it does not have cannot be mounted upon.
 */
static void check_resolv(struct job *job)
{
	const struct step *step = job->step;

	if (!job->resolv || step->resolv || step->resolv_path || root_takes_resolv(step))
		return;
	job->resolv = NULL;
	job->warning = "names are not resolved in the step: its root has no /etc/resolv.conf to "
		       "mount upon, and none can be made there";
}

static int add_mounts(struct job *job, struct rb_err *err)
{
	const struct step *step = job->step;
	struct spec_mount *mounts = arena_array(&job->arena, step->spec.n_mounts + 2,
						sizeof(*mounts));
	int r = handed_init(&job->arena, &job->handed, step->spec.n_mounts + 3, err);

	if (!mounts)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "mounts");
	memcpy(mounts, step->spec.mounts, step->spec.n_mounts * sizeof(*mounts));
	job->spec.mounts = mounts;
	check_resolv(job);
	if (r == 0)
		r = add_root(job, err);
	for (size_t i = 0; r == 0 && i < step->spec.n_mounts; i++)
		r = add_mount(job, &step->mounts[i], &mounts[i], err);
	if (r == 0)
		r = add_file(job, "hosts", step->hosts, NULL, "/etc/hosts", err);
	if (r == 0)
		r = add_file(job, "resolv", job->resolv, job->resolv_path, "/etc/resolv.conf", err);
	return r;
}

int job_add_mounts(struct job *job, struct rb_err *err)
{
	return job->step->oci ? job->hands->overlays(job, err) : add_mounts(job, err);
}

bool job_hand_over_all(struct job *job)
{
	const struct job_hands *hands = job->hands;
	struct spec_mount *mounts = (struct spec_mount *)job->spec.mounts;

	if (job->step->root == STEP_PATH &&
	    hands->tree(job, job->spec.root_path, AT_RECURSIVE, &job->spec.root_handed) < 0)
		return false;
	for (size_t i = 0; i < job->spec.n_mounts; i++) {
		struct spec_mount *mount = &mounts[i];

		if (mount->bind && !mount->handed &&
		    hands->tree(job, mount->source,
				(mount->recursive ? AT_RECURSIVE : 0) |
					(mount->no_follow_source ? AT_SYMLINK_NOFOLLOW : 0),
				&mount->handed) < 0)
			return false;
	}
	return job->handed.n_mounts <= LIMIT_PART_MOUNTS;
}

int job_look_into_root(struct job *job, struct rb_err *err)
{
	const struct step *step = job->step;
	CLEANUP_FD int root = -1;
	int r = job->hands->root(job, &root, err);

	if (r < 0 || root < 0)
		return r;
	if (step->user_name || step->group_name)
		r = job_find_user(&job->arena, root, step, &job->spec.process, err);
	if (r == 0 && step->stubs.leaf)
		r = job_note_stubs(job, root);
	return r;
}
