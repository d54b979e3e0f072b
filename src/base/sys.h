/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One wrapper per system call that glibc 2.36 lacks, or whose glibc form does more than the
 * call (setresuid(2) signals other threads, for example). All return >= 0 or -errno, retry
 * nothing unless they say so, are async-signal-safe, and are therefore what the executor uses
 * between clone and exec. Reference: section 2 of the manual, under the call's own name.
 */
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "base/base.h"

/* <sys/mount.h> cannot be included beside <linux/mount.h> (glibc 2.36); umount2(2) */
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#ifndef UMOUNT_NOFOLLOW
#define UMOUNT_NOFOLLOW 8
#endif

static inline long sys_result(long r)
{
	return r < 0 ? -errno : r;
}
#define SYS_CALL(...) ((int)sys_result(syscall(__VA_ARGS__)))

static inline int sys_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	return SYS_CALL(SYS_openat, dirfd, path, flags | O_CLOEXEC, mode);
}

/*
 * openat2(2). EAGAIN (a rename raced with RESOLVE_IN_ROOT or RESOLVE_BENEATH) and EINTR are
 * retried a bounded number of times, as the manual page asks.
 */
static inline int sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode,
			      uint64_t resolve)
{
	struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
	int r = -EAGAIN;

	for (int tries = 0; tries < 128 && (r == -EAGAIN || r == -EINTR); tries++)
		r = SYS_CALL(SYS_openat2, dirfd, path, &how, sizeof(how));
	return r;
}

static inline int sys_close(int fd)
{
	return SYS_CALL(SYS_close, fd);
}

/* Closes *fd if it is open and leaves -1. */
static inline void sys_close_slot(int *fd)
{
	if (*fd >= 0)
		sys_close(*fd);
	*fd = -1;
}

static inline int sys_close_range(unsigned first, unsigned last, unsigned flags)
{
	return SYS_CALL(SYS_close_range, first, last, flags);
}

static inline int sys_dup3(int fd, int to, int flags)
{
	return SYS_CALL(SYS_dup3, fd, to, flags);
}

static inline int sys_fcntl(int fd, int command, long arg)
{
	return SYS_CALL(SYS_fcntl, fd, command, arg);
}

static inline ssize_t sys_read(int fd, void *buf, size_t len)
{
	return sys_result(syscall(SYS_read, fd, buf, len));
}

static inline ssize_t sys_write(int fd, const void *buf, size_t len)
{
	return sys_result(syscall(SYS_write, fd, buf, len));
}

static inline int sys_fstat(int fd, struct stat *st)
{
	/* glibc's fstat is newfstatat or statx where the former is missing; both are plain calls */
	return (int)sys_result(fstat(fd, st));
}

static inline int sys_mkdirat(int dirfd, const char *path, mode_t mode)
{
	return SYS_CALL(SYS_mkdirat, dirfd, path, mode);
}

static inline int sys_mknodat(int dirfd, const char *path, mode_t mode, dev_t dev)
{
	return SYS_CALL(SYS_mknodat, dirfd, path, mode, dev);
}

static inline int sys_symlinkat(const char *target, int dirfd, const char *path)
{
	return SYS_CALL(SYS_symlinkat, target, dirfd, path);
}

static inline int sys_unlinkat(int dirfd, const char *path, int flags)
{
	return SYS_CALL(SYS_unlinkat, dirfd, path, flags);
}

static inline ssize_t sys_readlinkat(int dirfd, const char *path, char *buf, size_t len)
{
	return sys_result(syscall(SYS_readlinkat, dirfd, path, buf, len));
}

static inline int sys_fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
	return SYS_CALL(SYS_fchownat, dirfd, path, uid, gid, flags);
}

static inline int sys_fchmod(int fd, mode_t mode)
{
	return SYS_CALL(SYS_fchmod, fd, mode);
}

static inline int sys_faccessat2(int dirfd, const char *path, int mode, int flags)
{
	return SYS_CALL(SYS_faccessat2, dirfd, path, mode, flags);
}

static inline long sys_getdents64(int fd, void *buf, size_t len)
{
	return sys_result(syscall(SYS_getdents64, fd, buf, len));
}

/* mounts by descriptor: open_tree(2), move_mount(2), fsopen(2), mount_setattr(2) */

static inline int sys_open_tree(int dirfd, const char *path, unsigned flags)
{
	return SYS_CALL(SYS_open_tree, dirfd, path, flags | OPEN_TREE_CLOEXEC);
}

static inline int sys_move_mount(int from, const char *from_path, int to, const char *to_path,
				 unsigned flags)
{
	return SYS_CALL(SYS_move_mount, from, from_path, to, to_path, flags);
}

static inline int sys_fsopen(const char *type)
{
	return SYS_CALL(SYS_fsopen, type, FSOPEN_CLOEXEC);
}

static inline int sys_fsetxattr(int fd, const char *name, const void *value, size_t len)
{
	return SYS_CALL(SYS_fsetxattr, fd, name, value, len, 0);
}

static inline int sys_fsconfig(int fd, unsigned command, const char *key, const char *value,
			       int aux)
{
	return SYS_CALL(SYS_fsconfig, fd, command, key, value, aux);
}

static inline int sys_fsmount(int fd, unsigned attr)
{
	return SYS_CALL(SYS_fsmount, fd, FSMOUNT_CLOEXEC, attr);
}

static inline int sys_mount_setattr(int dirfd, const char *path, unsigned flags,
				    struct mount_attr *attr)
{
	return SYS_CALL(SYS_mount_setattr, dirfd, path, flags, attr, sizeof(*attr));
}

static inline int sys_pivot_root(const char *new_root, const char *put_old)
{
	return SYS_CALL(SYS_pivot_root, new_root, put_old);
}

static inline int sys_umount2(const char *path, int flags)
{
	return SYS_CALL(SYS_umount2, path, flags);
}

static inline int sys_mount(const char *source, const char *target, const char *type,
			    unsigned long flags, const void *data)
{
	return SYS_CALL(SYS_mount, source, target, type, flags, data);
}

static inline int sys_fchdir(int fd)
{
	return SYS_CALL(SYS_fchdir, fd);
}

static inline int sys_chdir(const char *path)
{
	return SYS_CALL(SYS_chdir, path);
}

static inline int sys_chroot(const char *path)
{
	return SYS_CALL(SYS_chroot, path);
}

/* processes and namespaces */

static inline pid_t sys_clone3(struct clone_args *args)
{
	return SYS_CALL(SYS_clone3, args, sizeof(*args));
}

static inline int sys_unshare(uint64_t flags)
{
	return SYS_CALL(SYS_unshare, (unsigned long)flags);
}

static inline int sys_setns(int fd, uint64_t nstype)
{
	return SYS_CALL(SYS_setns, fd, (int)nstype);
}

static inline int sys_pidfd_open(pid_t pid)
{
	return SYS_CALL(SYS_pidfd_open, pid, 0);
}

/* ESRCH: the process has ended and was reaped, or (for 0) has ended. */
static inline int sys_pidfd_send_signal(int pidfd, int sig)
{
	return SYS_CALL(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
/* waitid(2) for one child named by its pidfd; __WALL because ours may have no exit signal. */
static inline int sys_wait_pidfd(int pidfd, siginfo_t *info, int options)
{
	int r;

	do
		r = SYS_CALL(SYS_waitid, P_PIDFD, pidfd, info, options | __WALL, NULL);
	while (r == -EINTR);
	return r;
}

/* CLOCK_MONOTONIC */
static inline int64_t sys_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* CLOCK_MONOTONIC */
static inline int64_t sys_now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Kills a child, waits for it and closes its pidfd; -1: there is none. */
static inline void sys_pidfd_end(int *pidfd)
{
	siginfo_t info;

	if (*pidfd < 0)
		return;
	(void)sys_pidfd_send_signal(*pidfd, SIGKILL); /* ESRCH: it has ended */
	(void)sys_wait_pidfd(*pidfd, &info, WEXITED);
	fd_close(pidfd);
}

static inline void sys_exit(int status) __attribute__((noreturn));
static inline void sys_exit(int status)
{
	for (;;)
		syscall(SYS_exit_group, status);
}

static inline pid_t sys_setsid(void)
{
	return SYS_CALL(SYS_setsid);
}

static inline int sys_prctl(int option, unsigned long arg2, unsigned long arg3, unsigned long arg4,
			    unsigned long arg5)
{
	return SYS_CALL(SYS_prctl, option, arg2, arg3, arg4, arg5);
}

/*
 * In a new process: its parent's death sends it a signal. A parent that died before this was in
 * place never will, and is seen by its number: then the process ends here. The one way to ask for a
 * death signal, but for the step's own (op_death_signal()). A change of credentials clears it, so
 * it comes after the last one, and so does execve(2) of a setuid program: prctl(2).
 */
static inline void sys_signal_at_death_of(pid_t parent, int signal)
{
	pid_t now;

	(void)sys_prctl(PR_SET_PDEATHSIG, (unsigned long)signal, 0, 0, 0);
	now = SYS_CALL(SYS_getppid);
	/* 0: it is in another pid namespace */
	if (now != 0 && now != parent)
		sys_exit(127);
}

static inline void sys_die_with(pid_t parent)
{
	sys_signal_at_death_of(parent, SIGKILL);
}

/* The same across pid namespaces, where the parent has no number. */
static inline void sys_die_with_pidfd(int parent)
{
	const struct timespec at_once = {0};
	struct pollfd fd = {.fd = parent, .events = POLLIN};
	int n;

	(void)sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	do
		n = SYS_CALL(SYS_ppoll, &fd, 1, &at_once, NULL, 0);
	while (n == -EINTR);
	if (n > 0)
		sys_exit(127);
}

static inline int sys_execve(const char *path, char *const argv[], char *const envp[])
{
	return SYS_CALL(SYS_execve, path, argv, envp);
}

/*
 * Before an execve(2) of somebody else's program: nothing blocked, and SIGPIPE and SIGXFSZ, which
 * this program ignores, as usual.
 */
static inline void sys_signals_reset(void)
{
	struct sigaction usual = {.sa_handler = SIG_DFL};
	sigset_t none;

	(void)sigaction(SIGPIPE, &usual, NULL);
	(void)sigaction(SIGXFSZ, &usual, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Bit N - 1: signal N has its default action. Those that libc keeps for itself are not asked. */
static inline uint64_t sys_default_signals(void)
{
	uint64_t mask = 0;

	for (int sig = 1; sig <= 64; sig++) {
		struct sigaction action;

		if (sigaction(sig, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
			mask |= UINT64_C(1) << (sig - 1);
	}
	return mask;
}

/* credentials: the plain system calls; the process has one thread */

static inline int sys_setresuid(uid_t uid)
{
	return SYS_CALL(SYS_setresuid, uid, uid, uid);
}

static inline int sys_setresgid(gid_t gid)
{
	return SYS_CALL(SYS_setresgid, gid, gid, gid);
}

static inline int sys_setgroups(size_t count, const gid_t *groups)
{
	return SYS_CALL(SYS_setgroups, count, groups);
}

static inline int sys_prlimit(pid_t pid, int resource, const struct rlimit64 *new_limit,
			      struct rlimit64 *old_limit)
{
	return SYS_CALL(SYS_prlimit64, pid, resource, new_limit, old_limit);
}

static inline long sys_keyctl(int command, unsigned long arg2)
{
	return sys_result(syscall(SYS_keyctl, command, arg2, 0, 0, 0));
}

static inline int sys_seccomp(unsigned operation, unsigned flags, void *args)
{
	return SYS_CALL(SYS_seccomp, operation, flags, args);
}

static inline int sys_sethostname(const char *name, size_t len)
{
	return SYS_CALL(SYS_sethostname, name, len);
}

static inline int sys_setdomainname(const char *name, size_t len)
{
	return SYS_CALL(SYS_setdomainname, name, len);
}

static inline mode_t sys_umask(mode_t mask)
{
	return (mode_t)syscall(SYS_umask, mask);
}

static inline int sys_ppoll(struct pollfd *fds, size_t count, const struct timespec *timeout)
{
	return SYS_CALL(SYS_ppoll, fds, count, timeout, NULL, 0);
}

static inline int sys_ioctl(int fd, unsigned long request, unsigned long arg)
{
	return SYS_CALL(SYS_ioctl, fd, request, arg);
}

static inline int sys_socket(int family, int type, int protocol)
{
	return SYS_CALL(SYS_socket, family, type | SOCK_CLOEXEC, protocol);
}
