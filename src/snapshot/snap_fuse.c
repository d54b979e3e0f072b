/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse-overlayfs(1) as a helper of one mount. We open /dev/fuse and make the mount, which stays
 * detached; the daemon gets the descriptor and, as libfuse3's convention has it, /dev/fd/N for a
 * mount point. So it needs no privilege and no mount of its own, and ends by itself when the
 * step's namespace, the only place where the mount is attached, is gone.
 *
 * Rules that follow from how the kernel behaves (fuse(4), and seen):
 *  - our copy of the /dev/fuse descriptor is closed as soon as the daemon runs: while it is open
 *    a dead daemon means a hang that only SIGKILL ends, afterwards it means ENOTCONN
 *  - nobody of ours touches the mount before the daemon has answered once: a child asks first
 *  - the daemon's output is a pipe whose writing end does not block, so nobody has to read it
 */
#include <sched.h>
#include <sys/statfs.h>
#include "base/file.h"
#include "base/num.h"
#include "base/strbuf.h"
#include "host/helper.h"
#include "snapshot/snap_private.h"

enum {
	FUSE_LOWEST_FD = 10, /* away from the numbers that the daemon opens itself */
	FUSE_STACK_BYTES = 16384,
};

struct fuse_start {
	const char *program;
	const char *const *argv;
	const struct snap_layers *layers;
	int fuse; /* -1: the daemon mounts by itself */
	int output;
	pid_t parent;
};

static int fuse_error(struct rb_err *err, enum rb_code code, int errnum, const char *what,
		      const char *fix)
{
	err_set(err, code, errnum, "%s", what);
	err_fix(err, "%s", fix);
	return errnum ? -errnum : -EIO;
}

/* A detached FUSE mount served on *ret_fuse. Ids are those of our user namespace. */
static int fuse_make_mount(int *ret_fuse, int *ret_mount, struct rb_err *err)
{
	CLEANUP_FD int opened = sys_openat(AT_FDCWD, "/dev/fuse", O_RDWR, 0);
	CLEANUP_FD int fuse = opened < 0 ? opened : fd_dup(opened, FUSE_LOWEST_FD);
	CLEANUP_FD int fs = -1;
	char number[16];
	const struct {
		const char *key, *value;
	} options[] = {
		{"source", "fuse-overlayfs"},
		{"subtype", "fuse-overlayfs"},
		{"fd", number},
		{"rootmode", "40000"},
		{"user_id", "0"},
		{"group_id", "0"},
		{"default_permissions", NULL},
		{"allow_other", NULL},
	};
	int r = 0;

	if (fuse < 0)
		return fuse_error(err, RB_SNAP_FUSE, -fuse, "cannot open /dev/fuse",
				  fuse == -ENOENT
					  ? "load the module: modprobe fuse; in a container "
					    "pass --device /dev/fuse"
					  : "make it accessible: chmod 666 /dev/fuse");
	snprintf(number, sizeof(number), "%d", fuse);
	fs = sys_fsopen("fuse");
	if (fs < 0)
		return fuse_error(err, RB_SNAP_FUSE, -fs, "cannot mount fuse",
				  "run inside 'runbuild rootless'");
	for (size_t i = 0; r >= 0 && i < ARRAY_LEN(options); i++)
		r = sys_fsconfig(fs, options[i].value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG,
				 options[i].key, options[i].value, 0);
	if (r >= 0)
		r = sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (r >= 0)
		r = sys_fsmount(fs, 0);
	if (r < 0)
		return fuse_error(err, RB_SNAP_FUSE, -r, "cannot mount fuse",
				  "the user namespace must be allowed to mount fuse");
	*ret_mount = r;
	*ret_fuse = fd_take(&fuse);
	return 0;
}

static const char *fuse_options(struct arena *arena, const struct snap_layers *layers)
{
	CLEANUP_STRBUF struct strbuf text = {0};

	for (size_t i = 0; i < layers->n_lower; i++)
		strbuf_printf(&text, "%s/proc/self/fd/%d", i ? ":" : "lowerdir=", layers->lower[i]);
	if (layers->upper >= 0)
		strbuf_printf(&text, ",upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d",
			      layers->upper, layers->work);
	if (layers->spec->throw_away)
		strbuf_add(&text, ",volatile");
	return text.failed ? NULL : arena_strdup(arena, text.text);
}

static void keep_over_exec(int fd)
{
	if (fd >= 0)
		(void)sys_fcntl(fd, F_SETFD, 0);
}

/* In the new process: only calls that are safe after a fork. */
static void fuse_exec(const struct fuse_start *start) __attribute__((noreturn));
static void fuse_exec(const struct fuse_start *start)
{
	static const char *const envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	int null = sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);

	if (!start->layers->spec->outlives_caller)
		sys_die_with(start->parent);
	(void)setpgid(0, 0); /* a Ctrl-C is for the step */
	(void)sys_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* 1.10 tries mknod relative to descriptor 0 */
	(void)sys_dup3(null, 0, 0);
	(void)sys_dup3(start->output, 1, 0);
	(void)sys_dup3(start->output, 2, 0);
	(void)sys_close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	for (size_t i = 0; i < start->layers->n_lower; i++)
		keep_over_exec(start->layers->lower[i]);
	keep_over_exec(start->layers->upper);
	keep_over_exec(start->layers->work);
	keep_over_exec(start->fuse);
	(void)sys_chdir("/");
	(void)sys_umask(0);
	sys_signals_reset();
	(void)sys_execve(start->program, (char *const *)start->argv, (char *const *)envp);
	sys_exit(127);
}

static int fuse_child(void *start)
{
	fuse_exec(start);
}

/*
 * As vfork(2) does it: the new process borrows our memory, and we stand still, until it has
 * executed. A copy of our page tables would be made only to be thrown away, with everything that
 * either side writes meanwhile. It gets a stack of its own, because it returns from nothing.
 * Signals wait: no handler of ours may run in there.
 */
static pid_t fuse_clone(struct fuse_start *start, int *ret_pidfd)
{
	char stack[FUSE_STACK_BYTES] __attribute__((aligned(16)));
	sigset_t all, before;
	pid_t pid;
	int e;

	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	pid = clone(fuse_child, stack + sizeof(stack),
		    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, start, ret_pidfd);
	e = errno;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return pid < 0 ? -e : pid;
}

static int fuse_spawn(struct fuse_start *start, struct snapshot *snapshot, struct rb_err *err)
{
	int pipes[2];
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(err, RB_SNAP_FUSE, errno, "cannot start fuse-overlayfs");
	start->output = pipes[1];
	start->parent = getpid();
	pid = fuse_clone(start, &snapshot->daemon);
	close(pipes[1]);
	snapshot->output = pipes[0];
	if (pid < 0) {
		snapshot->daemon = -1;
		return err_set(err, RB_SNAP_FUSE, -pid, "cannot start fuse-overlayfs");
	}
	return 0;
}

/* A request that is sent before the daemon answers can only be left by SIGKILL: so not from us. */
static int fuse_ask(struct snapshot *snapshot, struct rb_err *err)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)&snapshot->prober,
		.exit_signal = SIGCHLD,
	};
	pid_t parent = getpid();
	pid_t pid = sys_clone3(&args);

	if (pid == 0) {
		struct statfs fs;

		sys_die_with(parent);
		sys_exit(SYS_CALL(SYS_fstatfs, snapshot->mount, &fs) < 0 ? 1 : 0);
	}
	if (pid < 0)
		snapshot->prober = -1;
	return pid < 0 ? err_set(err, RB_SNAP_FUSE, -pid, "cannot start fuse-overlayfs") : 0;
}

/* The mount that holds a path, without asking its file system anything: proc(5), fdinfo. */
static int mount_id(const char *path)
{
	CLEANUP_FD int fd = sys_openat(AT_FDCWD, path, O_PATH, 0);
	char name[40];
	char text[256];
	const char *at;
	uint64_t id = 0;

	snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fd);
	if (fd < 0 || file_read_small(AT_FDCWD, name, text, sizeof(text)) < 0)
		return -1;
	at = strstr(text, "mnt_id:\t");
	if (at)
		(void)num_parse_u64(at + 8, strcspn(at + 8, "\n"), INT_MAX, &id);
	return (int)id;
}

/*
 * For versions that do not know /dev/fd/N: the daemon mounts on a directory of its own. That
 * mount, once cloned, must go at once: attached where the daemon lives it would keep it alive.
 */
static int fuse_await_path(struct snapshot *snapshot, const char *place, int before,
			   struct rb_err *err)
{
	CLEANUP_FD int mounts = sys_openat(AT_FDCWD, "/proc/self/mountinfo", O_RDONLY, 0);
	const char *words;
	bool ended = false;

	while (!ended && sys_now_ms() < snapshot->deadline_ms) {
		/* proc(5): a change of the mounts is an exceptional condition */
		struct pollfd fds[] = {{.fd = mounts, .events = POLLPRI},
				       {.fd = snapshot->daemon, .events = POLLIN}};

		if (mount_id(place) != before) {
			snapshot->mount = sys_open_tree(AT_FDCWD, place, OPEN_TREE_CLONE);
			(void)sys_umount2(place, MNT_DETACH | UMOUNT_NOFOLLOW);
			return snapshot->mount < 0
				       ? err_set(err, RB_SNAP_FUSE, -snapshot->mount,
						 "cannot take over the mount of fuse-overlayfs")
				       : 0;
		}
		(void)poll(fds, 2, 50);
		ended = fds[1].revents != 0;
	}
	words = fuse_words(snapshot);
	err_set(err, RB_SNAP_DAEMON, 0, "fuse-overlayfs did not mount%s%s", words[0] ? ": " : "",
		words);
	err_fix(err, "run it by hand with the same directories to see why");
	return -EIO;
}

/* The name that an open directory has now, as the daemon can use it: proc(5), "fd". */
static int name_of(int fd, char path[static LIMIT_PATH_BYTES])
{
	char link[32];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, LIMIT_PATH_BYTES - 1);
	if (len < 0)
		return -errno;
	path[len] = '\0';
	return 0;
}

/*
 * fuse-overlayfs 1.x resolves the name of its upper directory and then reads the result as a list
 * with escapes: a colon or a backslash in it means another directory.
 */
static int fuse_check_upper(const struct snap_layers *layers, struct rb_err *err)
{
	char path[LIMIT_PATH_BYTES];
	int r;

	if (layers->upper < 0)
		return 0;
	if ((r = name_of(layers->upper, path)) < 0)
		return err_set(err, RB_SNAP_UPPER, -r, "cannot read the upper directory's name");
	if (!strpbrk(path, ":\\"))
		return 0;
	err_set(err, RB_SNAP_UPPER, 0,
		"fuse-overlayfs misreads a colon or a backslash in the upper directory's name '%s'",
		path);
	err_fix(err, "rename it, or use the driver native");
	return -EINVAL;
}

/* 10 s and, because each layer is compared with each, a thousandth of a ms for each pair. */
static int64_t fuse_deadline(size_t layers)
{
	return sys_now_ms() + 10000 + (int64_t)(layers * layers / 1000);
}

int fuse_begin(struct arena *arena, const struct snap_layers *layers, bool by_path,
	       struct snapshot *snapshot, struct rb_err *err)
{
	CLEANUP_FD int fuse = -1;
	char point[32];
	const char *argv[] = {
		"fuse-overlayfs", "-f", "-o", fuse_options(arena, layers), point, NULL};
	char place[LIMIT_PATH_BYTES] = "";
	int before = -1;
	struct fuse_start start = {.argv = argv, .layers = layers};
	int r;

	start.program = helper_find(arena, "fuse-overlayfs");
	if (!start.program)
		return fuse_error(err, RB_SNAP_FUSE, 0, "fuse-overlayfs is not installed",
				  "install the package fuse-overlayfs");
	if (!argv[3])
		return err_set(err, RB_NO_MEMORY, ENOMEM, "layers");
	if ((r = fuse_check_upper(layers, err)) < 0)
		return r;
	if (by_path) {
		/* given as /proc/self/fd/N it would be another file for the daemon */
		if ((r = name_of(layers->work >= 0 ? layers->work : layers->lower[0], place)) < 0)
			return err_set(err, RB_SNAP_FUSE, -r, "cannot name a place to mount on");
		before = mount_id(place);
		argv[4] = place;
	} else if ((r = fuse_make_mount(&fuse, &snapshot->mount, err)) < 0)
		return r;
	else
		snprintf(point, sizeof(point), "/dev/fd/%d", fuse);
	start.fuse = fuse;
	snapshot->deadline_ms = fuse_deadline(layers->n_lower);
	r = fuse_spawn(&start, snapshot, err);
	fd_close(&fuse); /* see above: before anybody waits for an answer */
	if (r == 0 && by_path)
		r = fuse_await_path(snapshot, place, before, err);
	return r < 0 ? r : fuse_ask(snapshot, err);
}

static bool wait_for(int pidfd, int ms)
{
	struct pollfd fd = {.fd = pidfd, .events = POLLIN};
	int64_t deadline = sys_now_ms() + ms;
	int64_t left = ms;

	while (left >= 0 && poll(&fd, 1, (int)left) <= 0)
		if ((left = deadline - sys_now_ms()) < 0)
			return false;
	return true;
}

void fuse_end(struct snapshot *snapshot, siginfo_t *ret_info)
{
	bool silent = snapshot->prober >= 0;

	if (silent) {
		siginfo_t info;

		(void)sys_pidfd_send_signal(snapshot->prober, SIGKILL);
		(void)sys_wait_pidfd(snapshot->prober, &info, WEXITED);
		fd_close(&snapshot->prober);
	}
	fd_close(&snapshot->mount);
	if (snapshot->daemon < 0)
		return;
	/* it ends by itself (ENODEV from /dev/fuse) when the mount is gone everywhere; one that has
	 * not answered yet has nothing to finish, and may never look */
	if (silent || !wait_for(snapshot->daemon, 2000))
		(void)sys_pidfd_send_signal(snapshot->daemon, SIGKILL);
	(void)sys_wait_pidfd(snapshot->daemon, ret_info, WEXITED);
	fd_close(&snapshot->daemon);
}

const char *fuse_words(struct snapshot *snapshot)
{
	char text[4096];
	ssize_t got;
	size_t len = 0;
	char *line;

	while (snapshot->output >= 0 && len < sizeof(text) - 1 &&
	       (got = read(snapshot->output, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)got;
	while (len > 0 && text[len - 1] == '\n')
		len--;
	text[len] = '\0';
	line = strrchr(text, '\n');
	if (len > 0)
		snprintf(snapshot->words, sizeof(snapshot->words), "%.199s",
			 line ? line + 1 : text);
	return snapshot->words;
}

/*
 * The mount is gone: fuse(4) says ENODEV and the daemon ends with 0, or with the mount went a request
 * that it was just being given, and that is ECONNABORTED.
 */
bool fuse_ended_with_mount(struct snapshot *snapshot, const siginfo_t *info)
{
	static const char *const aborted[] = {
		"fuse: reading device: Software caused connection abort", /* glibc */
		"fuse: reading device: Connection aborted",               /* musl */
	};

	if (info->si_code != CLD_EXITED || info->si_status == 0)
		return info->si_code == CLD_EXITED;
	for (size_t i = 0; i < ARRAY_LEN(aborted); i++)
		if (strcmp(fuse_words(snapshot), aborted[i]) == 0)
			return true;
	return false;
}
