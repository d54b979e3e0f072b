/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root and mounts of a step before its child is born: snapshots, descriptors of the peer, parts of
 * a source, generated files. Runs outside the step's namespaces with the worker's privilege.
 * Nothing of it resolves a path of the image on the host.
 */
#include "base/file.h"
#include "base/sys.h"
#include "worker/job.h"

/*
 * A mount of our namespace, cloned there, is a peer of its source where that is shared: what the
 * step mounts below it would show on the host. mount_namespaces(7), "Shared subtrees".
 */
int job_isolate(int mount)
{
	struct mount_attr attr = {.propagation = MS_SLAVE};

	return sys_mount_setattr(mount, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr);
}

/* A copy of what a descriptor shows, as a mount of its own. -EINVAL: it is of another namespace. */
static int clone_tree(int fd)
{
	int mount = sys_open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | AT_RECURSIVE);
	int r = mount < 0 ? mount : job_isolate(mount);

	if (r < 0)
		fd_close(&mount);
	return r < 0 ? r : mount;
}

/* A descriptor of the peer that must be a directory, as a mount of its own. */
static int take_directory(struct job *job, uint32_t index, int *ret_mount, struct rb_err *err)
{
	struct stat st;

	if (fstat(job->fds[index], &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(err, RB_STEP_FDS, ENOTDIR, "descriptor %u is not a directory",
			       index);
	*ret_mount = clone_tree(job->fds[index]);
	/* a mount that is not attached anywhere can be used as it is */
	if (*ret_mount == -EINVAL)
		*ret_mount = fd_take(&job->fds[index]);
	return *ret_mount < 0
		       ? err_set(err, RB_STEP_FDS, -*ret_mount, "cannot clone descriptor %u", index)
		       : 0;
}

/* The part of a source that a selector names, resolved inside the source: openat2(2). */
static int select_below(const char *source, const char *selector, int *ret_mount,
			struct rb_err *err)
{
	CLEANUP_FD int root = sys_openat(AT_FDCWD, source, O_PATH | O_DIRECTORY, 0);
	CLEANUP_FD int fd = root < 0 ? root
				     : sys_openat2(root, selector, O_PATH, 0,
						   RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

	*ret_mount = fd < 0 ? fd : clone_tree(fd);
	if (*ret_mount >= 0)
		return 0;
	err_set(err, RB_MOUNT_SOURCE, -*ret_mount, "cannot open '%s' below '%s'", selector, source);
	err_fix(err, "create it, or remove the mount");
	return *ret_mount;
}

static void note_driver(struct job *job)
{
	const struct snapshot *snapshot = &job->handed.snapshots[job->handed.n_snapshots - 1];

	job->driver = snap_driver_name(snapshot->driver);
	job->driver_why = arena_strdup(&job->arena, snapshot->why);
}

static int add_root(struct job *job, struct rb_err *err)
{
	const struct step *step = job->step;
	CLEANUP_FD int mount = -1;
	struct snap_spec spec;
	int r = 0;

	if (step->root == STEP_SNAPSHOT) {
		job_snap_spec(job->engine, step->root_snapshot, &spec);
		r = handed_add_snapshot(&job->arena, &job->handed, &spec, &job->spec.root_handed,
					err);
		if (r < 0)
			err_origin(err, step->root_snapshot->origin);
		else
			note_driver(job);
	} else if (step->root == STEP_FD) {
		r = take_directory(job, step->root_fd, &mount, err);
		if (r == 0)
			handed_add(&job->handed, &mount, &job->spec.root_handed);
	}
	return r;
}

static int add_mount(struct job *job, const struct step_mount *source, struct spec_mount *mount,
		     struct rb_err *err)
{
	CLEANUP_FD int fd = -1;
	struct snap_spec spec;
	int r = 0;

	if (source->source == STEP_SNAPSHOT) {
		job_snap_spec(job->engine, source->snapshot, &spec);
		r = handed_add_snapshot(&job->arena, &job->handed, &spec, &mount->handed, err);
	} else if (source->source == STEP_FD) {
		r = take_directory(job, source->fd, &fd, err);
	} else if (source->selector && source->selector[0]) {
		r = select_below(mount->source, source->selector, &fd, err);
	}
	if (r == 0 && fd >= 0)
		handed_add(&job->handed, &fd, &mount->handed);
	if (r < 0 && err)
		err_origin(err, mount->origin);
	return r;
}

/* What a selector names below a mount that is attached at `place`. */
static int select_attached(int place, const char *selector, int *ret_mount)
{
	CLEANUP_FD int root = sys_openat(place, ".", O_PATH | O_DIRECTORY, 0);
	CLEANUP_FD int fd = root < 0 ? root
				     : sys_openat2(root, selector, O_PATH, 0,
						   RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

	*ret_mount = fd < 0 ? fd : clone_tree(fd);
	return *ret_mount < 0 ? *ret_mount : 0;
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
		r = select_attached(*mount, source->selector, &part);
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
		r = file_replace_at(job->engine->directory_fd, file, text, strlen(text), 0644);
		if (r < 0)
			return err_set(err, RB_STATE_WRITE, -r, "cannot write %s", destination);
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
	static const char *const names[] = {"hosts", "resolv", "slirp"};
	const bool made[] = {job->step->hosts, job->resolv, job->network.api_socket};
	char file[LIMIT_STEP_ID + 16];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(file, sizeof(file), "%s.%s", job->step->id, names[i]);
		if (made[i])
			(void)unlinkat(job->engine->directory_fd, file, 0);
	}
}

static bool is_in_a_layer(const struct step_snapshot *snapshot, const char *path)
{
	bool found = false;

	for (size_t i = 0; i < snapshot->lower.n && !found; i++) {
		CLEANUP_FD int layer = sys_openat(AT_FDCWD, snapshot->lower.v[i],
						  O_PATH | O_DIRECTORY, 0);
		CLEANUP_FD int fd = layer < 0
					    ? layer
					    : sys_openat2(layer, path, O_PATH, 0,
							  RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

		found = fd >= 0;
	}
	return found;
}

/*
 * Name servers that nobody has asked for are no reason to refuse a step: a root that cannot be
 * written keeps what it has, and what it does not have cannot be mounted upon.
 */
void job_check_resolv(struct job *job)
{
	const struct step *step = job->step;
	const struct step_snapshot *root = step->root_snapshot;

	if (!job->resolv || step->resolv || step->resolv_path || !root || root->upper ||
	    is_in_a_layer(root, "etc/resolv.conf"))
		return;
	job->resolv = NULL;
	job->warning = "names are not resolved in the step: its root may only be read and has no "
		       "/etc/resolv.conf to mount upon";
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
	job_check_resolv(job);
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

static int add_oci_mounts(struct job *job, struct rb_err *err)
{
	const struct spec *completed;
	int r = handed_add_from_spec(&job->arena, &job->handed, &job->step->spec,
				     job->engine->root.fd, false, &completed, err);

	if (r == 0)
		job->spec = *completed;
	return r;
}

int job_add_mounts(struct job *job, struct rb_err *err)
{
	return job->step->oci ? add_oci_mounts(job, err) : add_mounts(job, err);
}
