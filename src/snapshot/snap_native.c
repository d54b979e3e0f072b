/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's overlay. Runs in a process with CAP_SYS_ADMIN in its user namespace.
 *
 * Always with "userxattr": without it a mount in a user namespace succeeds, and then every
 * removal of a lower directory fails with EIO, because the kernel may not write trusted.*
 * attributes there. It also switches redirect_dir and metacopy off, which a hostile layer could
 * otherwise abuse: overlayfs.rst, "User xattr".
 */
#include <linux/magic.h>
#include <sys/statfs.h>
#include "snapshot/snap_private.h"

enum { FD_PATH = 32 };

static const char *fd_path(int fd, char buf[FD_PATH])
{
	snprintf(buf, FD_PATH, "/proc/self/fd/%d", fd);
	return buf;
}

/* What the kernel said, in its own words: lines "e overlay: text" on the context's descriptor. */
static void context_text(int fs, char *text, size_t size)
{
	char line[256];
	ssize_t got;
	size_t used = 0;

	text[0] = '\0';
	while ((got = read(fs, line, sizeof(line) - 1)) > 0) {
		const char *from = line;

		line[got] = '\0';
		line[strcspn(line, "\n")] = '\0';
		if (line[0] && line[1] == ' ')
			from += 2;
		if (used < size)
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "; " : "",
						 from);
	}
}

static int native_error(int fs, int errnum, const char *what, struct rb_err *err)
{
	char text[300];

	context_text(fs, text, sizeof(text));
	err_set(err, RB_SNAP_MOUNT, errnum, "cannot mount the overlay (%s)%s%s", what,
		text[0] ? ": " : "", text);
	if (errnum == EPERM)
		err_fix(err, "the kernel is older than 5.11, or a security module forbids it; use "
			     "the driver fuse");
	else if (errnum == EINVAL)
		err_fix(err, "the upper directory's file system may not be able to hold one; try "
			     "the driver fuse or another disk");
	return -errnum;
}

/* By descriptor where the kernel takes one (6.13), else by its name in /proc. */
static int native_add_lower(int fs, int fd, bool *by_name)
{
	char path[FD_PATH];
	int r = -EOPNOTSUPP;

	if (!*by_name)
		r = sys_fsconfig(fs, FSCONFIG_SET_FD, "lowerdir+", NULL, fd);
	if (r >= 0)
		return r;
	*by_name = true;
	return sys_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", fd_path(fd, path), 0);
}

static int native_configure(int fs, const struct snap_layers *layers, const char **ret_what)
{
	char path[FD_PATH];
	bool by_name = false;
	int r;

	*ret_what = "lowerdir";
	(void)sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", "overlay", 0); /* a label */
	for (size_t i = 0; i < layers->n_lower; i++)
		if ((r = native_add_lower(fs, layers->lower[i], &by_name)) < 0)
			return r;
	*ret_what = "userxattr";
	if ((r = sys_fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0)) < 0)
		return r;
	*ret_what = "upperdir";
	if (layers->upper >= 0 && ((r = sys_fsconfig(fs, FSCONFIG_SET_STRING, "upperdir",
						     fd_path(layers->upper, path), 0)) < 0 ||
				   (r = sys_fsconfig(fs, FSCONFIG_SET_STRING, "workdir",
						     fd_path(layers->work, path), 0)) < 0))
		return r;
	*ret_what = "volatile";
	if (layers->spec->throw_away && layers->upper >= 0 &&
	    (r = sys_fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0)) < 0)
		return r;
	*ret_what = "create";
	return sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
}

/*
 * Does this kernel know "lowerdir+"? Kernels before 6.5 take any option and complain at the end,
 * so an unknown one tells them apart.
 */
static bool context_checks_options(void)
{
	CLEANUP_FD int fs = sys_fsopen("overlay");

	return fs >= 0 && sys_fsconfig(fs, FSCONFIG_SET_FLAG, "no-such-option", NULL, 0) < 0;
}

int native_mount(const struct snap_layers *layers, int *ret_mount, struct rb_err *err)
{
	CLEANUP_FD int fs = sys_fsopen("overlay");
	const char *what;
	int r;

	if (fs < 0) {
		err_set(err, RB_SNAP_MOUNT, -fs, "cannot mount an overlay");
		err_fix(err, fs == -ENODEV ? "load the module: modprobe overlay"
					   : "run inside 'runbuild rootless'");
		return fs;
	}
	r = native_configure(fs, layers, &what);
	if (r == -EINVAL && !context_checks_options())
		return native_mount_string(layers, ret_mount, err);
	if (r < 0)
		return native_error(fs, -r, what, err);
	r = sys_fsmount(fs, 0);
	if (r < 0)
		return native_error(fs, -r, "fsmount", err);
	*ret_mount = r;
	return 0;
}

static int native_option_string(const struct snap_layers *layers, char *text, size_t size)
{
	int used = snprintf(text, size, "userxattr%s",
			    layers->spec->throw_away && layers->upper >= 0 ? ",volatile" : "");

	for (size_t i = 0; i < layers->n_lower && used < (int)size; i++)
		used += snprintf(text + used, size - (size_t)used, "%s/proc/self/fd/%d",
				 i ? ":" : ",lowerdir=", layers->lower[i]);
	if (layers->upper >= 0 && used < (int)size)
		used += snprintf(text + used, size - (size_t)used,
				 ",upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d",
				 layers->upper, layers->work);
	/* mount(2) takes one page and cuts what is longer, silently */
	return used < (int)size ? 0 : -E2BIG;
}

/* The overlay on top of `place` as a detached mount; the attached one goes. */
static int native_take(const char *place, int *ret_mount)
{
	CLEANUP_FD int mount = sys_open_tree(AT_FDCWD, place, OPEN_TREE_CLONE);
	struct statfs fs;
	int r = mount < 0 ? mount : 0;

	if (r == 0 &&
	    (fstatfs(mount, &fs) < 0 || (unsigned long)fs.f_type != OVERLAYFS_SUPER_MAGIC))
		r = -ESTALE; /* somebody mounted over it in between */
	(void)sys_umount2(place, MNT_DETACH | UMOUNT_NOFOLLOW);
	if (r == 0)
		*ret_mount = fd_take(&mount);
	return r;
}

int native_mount_string(const struct snap_layers *layers, int *ret_mount, struct rb_err *err)
{
	const struct snap_spec *spec = layers->spec;
	const char *place = spec->work ? spec->work : spec->lower[0];
	char options[4096];
	int r = native_option_string(layers, options, sizeof(options));

	if (r < 0) {
		err_set(err, RB_SNAP_LAYER, 0,
			"%zu lower directories: this kernel takes about 220 of them",
			spec->n_lower);
		err_fix(err, "merge some layers, or use Linux 6.5 or later");
		return r;
	}
	/* for an instant, on a directory that nobody else uses: it is locked */
	r = sys_mount("overlay", place, "overlay", 0, options);
	if (r == 0)
		r = native_take(place, ret_mount);
	if (r < 0) {
		err_set(err, RB_SNAP_MOUNT, -r, "cannot mount the overlay on '%s'", place);
		err_fix(err, "%s",
			r == -EPERM ? "the kernel is older than 5.11; use the driver fuse"
				    : "see the kernel's log (dmesg)");
	}
	return r;
}
