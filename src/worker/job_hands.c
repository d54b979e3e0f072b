/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a step that is to run gets from outside: snapshots, descriptors of the peer, parts of a
 * source, files in the engine's directory. Runs outside the step's namespaces with the worker's
 * privilege. Selectors are resolved inside their source; nothing else of a path is the image's.
 */
#include <linux/magic.h>
#include <sys/statfs.h>
#include "base/file.h"
#include "base/sys.h"
#include "worker/job.h"

#ifndef NSFS_MAGIC
#define NSFS_MAGIC 0x6e736673
#endif

/*
 * A mount of our namespace, cloned there, is a peer of its source where that is shared: what the
 * step mounts below it would show on the host. mount_namespaces(7), "Shared subtrees".
 */
static int isolate(int mount)
{
	struct mount_attr attr = {.propagation = MS_SLAVE};

	return sys_mount_setattr(mount, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr);
}

/* A copy of what a descriptor shows, as a mount of its own. -EINVAL: it is of another namespace. */
static int clone_tree(int fd)
{
	int mount = sys_open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | AT_RECURSIVE);
	int r = mount < 0 ? mount : isolate(mount);

	if (r < 0)
		fd_close(&mount);
	return r < 0 ? r : mount;
}

void job_snap_spec(const struct engine *engine, const struct step_snapshot *snapshot,
		   struct snap_spec *ret_spec)
{
	*ret_spec = (struct snap_spec){
		.lower = snapshot->lower.v,
		.n_lower = snapshot->lower.n,
		.upper = snapshot->upper,
		.work = snapshot->work,
		.throw_away = snapshot->throw_away,
		.cache_dir = engine->root.fd,
	};
	(void)snap_driver_parse(snapshot->driver, &ret_spec->driver); /* checked by step_parse() */
}

static void note_driver(struct job *job)
{
	const struct snapshot *snapshot = &job->handed.snapshots[job->handed.n_snapshots - 1];

	job->driver = snap_driver_name(snapshot->driver);
	job->driver_why = arena_strdup(&job->arena, snapshot->why);
}

static int take_snapshot(struct job *job, const struct step_snapshot *snapshot,
			 uint32_t *ret_number, struct rb_err *err)
{
	struct snap_spec spec;
	int r;

	job_snap_spec(job->engine, snapshot, &spec);
	r = handed_add_snapshot(&job->arena, &job->handed, &spec, ret_number, err);
	if (r == 0 && snapshot == job->step->root_snapshot)
		note_driver(job);
	return r;
}

/* A descriptor of the peer that must be a directory, as a mount of its own. */
static int take_directory(struct job *job, uint32_t index, uint32_t *ret_number, struct rb_err *err)
{
	CLEANUP_FD int mount = -1;
	struct stat st;

	if (fstat(job->fds[index], &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(err, RB_STEP_FDS, ENOTDIR, "descriptor %u is not a directory",
			       index);
	mount = clone_tree(job->fds[index]);
	/* a mount that is not attached anywhere can be used as it is */
	if (mount == -EINVAL)
		mount = fd_take(&job->fds[index]);
	if (mount < 0)
		return err_set(err, RB_STEP_FDS, -mount, "cannot clone descriptor %u", index);
	handed_add(&job->handed, &mount, ret_number);
	return 0;
}

/* What a selector names below a directory, resolved inside it, as a mount: openat2(2). */
static int select_part(int directory, const char *selector)
{
	CLEANUP_FD int fd = directory < 0 ? directory
					  : sys_openat2(directory, selector, O_PATH, 0,
							RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

	return fd < 0 ? fd : clone_tree(fd);
}

static int take_part(struct job *job, const char *source, const char *selector,
		     uint32_t *ret_number, struct rb_err *err)
{
	CLEANUP_FD int root = sys_openat(AT_FDCWD, source, O_PATH | O_DIRECTORY, 0);
	CLEANUP_FD int mount = select_part(root, selector);

	if (mount < 0) {
		err_set(err, RB_MOUNT_SOURCE, -mount, "cannot open '%s' below '%s'", selector,
			source);
		err_fix(err, "create it, or remove the mount");
		return mount;
	}
	handed_add(&job->handed, &mount, ret_number);
	return 0;
}

int job_select_attached(int place, const char *selector, int *ret_mount)
{
	CLEANUP_FD int root = sys_openat(place, ".", O_PATH | O_DIRECTORY, 0);

	*ret_mount = select_part(root, selector);
	return *ret_mount < 0 ? *ret_mount : 0;
}

static int take_tree(struct job *job, const char *path, unsigned flags, uint32_t *ret_number)
{
	CLEANUP_FD int mount = sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | flags);

	if (mount < 0 || isolate(mount) < 0 || job->handed.n_mounts == LIMIT_PART_MOUNTS)
		return -1;
	handed_add(&job->handed, &mount, ret_number);
	return 0;
}

static int take_overlays(struct job *job, struct rb_err *err)
{
	const struct spec *completed;
	int r = handed_add_from_spec(&job->arena, &job->handed, &job->step->spec,
				     job->engine->root.fd, false, &completed, err);

	if (r == 0)
		job->spec = *completed;
	return r;
}

static int write_file(struct job *job, const char *name, const char *text, struct rb_err *err)
{
	int r = file_replace_at(job->engine->directory_fd, name, text, strlen(text), 0644);

	return r < 0 ? err_set(err, RB_STATE_WRITE, -r, "cannot write %s/%s",
			       job->engine->directory, name)
		     : 0;
}

/* It is joined by its name in our /proc. */
static int name_network(struct job *job, const char **ret_path, struct rb_err *err)
{
	int fd = job->fds[job->step->netns_fd];
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0 || (unsigned long)fs.f_type != NSFS_MAGIC)
		return err_set(err, RB_STEP_FDS, EINVAL, "descriptor %d is not a namespace",
			       job->step->netns_fd);
	*ret_path = arena_printf(&job->arena, "/proc/self/fd/%d", fd);
	return *ret_path ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "network");
}

static int open_root(struct job *job, int *ret_fd, struct rb_err *err)
{
	int fd;

	if (job->spec.root_handed)
		fd = fd_dup(job->handed.mounts[job->spec.root_handed - 1], 3);
	else
		fd = sys_openat(AT_FDCWD, job->spec.root_path, O_PATH | O_DIRECTORY, 0);
	if (fd < 0) {
		err_set(err, RB_ROOTFS, -fd, "cannot use '%s' as the root file system",
			job->spec.root_path);
		err_origin(err, "/rootfs/path");
		err_fix(err, "name an existing directory");
		return fd;
	}
	*ret_fd = fd;
	return 0;
}

/* A compiled filter of the peer; the kernel judges it. */
static int read_filter(struct job *job, struct plan_options *options, struct rb_err *err)
{
	char *text;
	size_t len;
	int r = file_read_fd(&job->arena, job->fds[job->step->filter_fd],
			     LIMIT_BPF_INSNS * sizeof(uint64_t), &text, &len);

	if (r < 0 || len == 0 || len % sizeof(uint64_t))
		return err_set(err, RB_STEP_FDS, r < 0 ? -r : EINVAL,
			       "descriptor %d is not a file with a BPF program",
			       job->step->filter_fd);
	options->bpf = (const struct sock_filter *)text;
	options->n_bpf = len / sizeof(uint64_t);
	job->spec.seccomp.present = true;
	return 0;
}

static bool is_on_fuse(const struct job *job)
{
	for (size_t i = 0; i < job->handed.n_snapshots; i++)
		if (job->handed.snapshots[i].daemon >= 0)
			return true;
	return false;
}

const struct job_hands job_hands_real = {
	.snapshot = take_snapshot,
	.descriptor = take_directory,
	.part = take_part,
	.tree = take_tree,
	.overlays = take_overlays,
	.file = write_file,
	.network = name_network,
	.root = open_root,
	.filter = read_filter,
	.is_on_fuse = is_on_fuse,
};
