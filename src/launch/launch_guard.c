/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One monitor for many children: the worker starts it once and tells it about each child, which
 * costs one message instead of one process per step. It runs outside every step's namespaces and
 * holds a pidfd of each first process, and the locks of its snapshots. When our end of the socket
 * closes, by whatever death, it kills what is left, waits for it, and removes cgroups, mounts and
 * files that we held.
 *
 * It also holds the mount namespace of a child that waits for its step. So the last mounts go when
 * the guard closes that, and not in the exit of the child, which would wait for the kernel's RCU
 * before anybody learns of the exit. A step with snapshots is not kept waiting for this: their
 * mounts must be gone when the step is answered.
 *
 * It has its own process group, is not dumpable, blocks every signal, keeps no descriptor but
 * what it was sent, allocates nothing after its start, and never writes anywhere.
 */
#include <dirent.h>
#include <sys/ioctl.h>
#include "base/file.h"
#include "launch/launch_private.h"

enum { GUARD_ENTRIES = 2 * 64 + 64 }; /* steps, and further processes in them */

struct guard_message {
	uint32_t key;    /* 0: no child is added */
	uint32_t n_drop; /* children that are gone: forget them */
	uint32_t drop[GUARD_DROPPED];
	char cgroup[1024]; /* "" without; sent as long as it is */
};

struct guard_entry {
	uint32_t key;                /* 0: free */
	int fds[1 + LIMIT_HELD_FDS]; /* pidfd; locks, or the mount namespace */
	char cgroup[1024];
};

struct guard_state {
	int sock;
	const char *directory;
	const char *scratch;
	struct guard_entry entries[GUARD_ENTRIES];
};

static void entry_release(struct guard_entry *entry)
{
	for (size_t i = 0; i < ARRAY_LEN(entry->fds); i++)
		fd_close(&entry->fds[i]);
	entry->key = 0;
}

static struct guard_entry *entry_find(struct guard_state *state, uint32_t key)
{
	for (size_t i = 0; i < GUARD_ENTRIES; i++)
		if (state->entries[i].key == key)
			return &state->entries[i];
	return NULL;
}

/* Kills first all, then waits: the steps die beside each other. */
static void guard_kill_all(struct guard_state *state)
{
	for (size_t i = 0; i < GUARD_ENTRIES; i++)
		if (state->entries[i].key)
			(void)sys_pidfd_send_signal(state->entries[i].fds[0], SIGKILL);
	for (size_t i = 0; i < GUARD_ENTRIES; i++) {
		struct guard_entry *entry = &state->entries[i];

		if (!entry->key)
			continue;
		monitor_wait_dead(entry->fds[0]);
		if (entry->cgroup[0]) {
			cgroup_kill(entry->cgroup);
			(void)cgroup_remove(entry->cgroup);
		}
		entry_release(entry);
	}
}

/* Is this the note of groups that are still there? What it names and nobody uses is removed. */
static bool is_note_to_keep(int dir, const char *name)
{
	CLEANUP_ARENA struct arena arena = {0};
	const char *end = strrchr(name, '.');
	char *note;

	return end && str_eq(end, CGROUP_NOTE) &&
	       file_read_at(&arena, dir, name, LIMIT_CGROUP_NOTE, &note, NULL) == 0 &&
	       cgroup_remove_noted(note) < 0;
}

/* The directory is flat but for mount points: DIR/ENTRY. What is mounted goes first. */
void guard_remove_directory(const char *directory)
{
	DIR *dir = opendir(directory);
	const struct dirent *item;

	while (dir && (item = readdir(dir))) {
		char path[LIMIT_PATH_BYTES];

		if (str_eq(item->d_name, ".") || str_eq(item->d_name, ".."))
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", directory, item->d_name) >=
		    (int)sizeof(path))
			continue;
		if (is_note_to_keep(dirfd(dir), item->d_name))
			continue;
		while (sys_umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
			; /* EINVAL: no mount (any more) */
		if (unlinkat(dirfd(dir), item->d_name, 0) < 0)
			(void)unlinkat(dirfd(dir), item->d_name, AT_REMOVEDIR);
	}
	if (dir)
		closedir(dir);
	(void)unlinkat(AT_FDCWD, directory, AT_REMOVEDIR);
}

static void guard_release(struct guard_state *state, const struct guard_message *message)
{
	for (uint32_t i = 0; i < message->n_drop && i < GUARD_DROPPED; i++) {
		struct guard_entry *entry = message->drop[i] ? entry_find(state, message->drop[i])
							     : NULL;

		if (entry)
			entry_release(entry);
	}
}

static void guard_take(struct guard_state *state, const struct guard_message *message,
		       struct msghdr *header)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(header);
	struct guard_entry *entry;
	size_t n = 0;

	guard_release(state, message);
	if (!message->key)
		return;
	entry = entry_find(state, message->key);
	if (!entry)
		entry = entry_find(state, 0);
	if (control && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS)
		n = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	if (!entry || n < 1 || n > ARRAY_LEN(entry->fds))
		return; /* the sender keeps to the number of entries */
	if (entry->key)
		entry_release(entry);
	memset(entry->fds, -1, sizeof(entry->fds));
	memcpy(entry->fds, CMSG_DATA(control), n * sizeof(int));
	memcpy(entry->cgroup, message->cgroup, sizeof(entry->cgroup));
	entry->cgroup[sizeof(entry->cgroup) - 1] = '\0';
	entry->key = message->key;
}

static void guard_main(struct guard_state *state) __attribute__((noreturn));
static void guard_main(struct guard_state *state)
{
	const int keep[] = {state->sock};

	monitor_become("runbuild-guard");
	fd_keep_only(keep, ARRAY_LEN(keep));
	(void)sys_chdir("/");
	for (;;) {
		union {
			struct cmsghdr header;
			char bytes[CMSG_SPACE(sizeof(int) * (1 + LIMIT_HELD_FDS))];
		} control;
		struct guard_message message = {.key = 0};
		struct iovec iov = {.iov_base = &message, .iov_len = sizeof(message)};
		struct msghdr header = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control),
		};
		ssize_t r = recvmsg(state->sock, &header, MSG_CMSG_CLOEXEC);

		/* an error is not the parent's end: only the end of the file is */
		if (r < 0)
			continue;
		if (r == 0)
			break;
		if ((size_t)r > offsetof(struct guard_message, cgroup))
			guard_take(state, &message, &header);
	}
	/* end of file: the parent is gone */
	guard_kill_all(state);
	if (state->directory)
		guard_remove_directory(state->directory);
	if (state->scratch)
		(void)file_remove_tree_at(AT_FDCWD, state->scratch, LIMIT_UPPER_DEPTH);
	sys_exit(0);
}

int guard_start(struct guard *guard, const char *directory, const char *scratch, struct rb_err *err)
{
	CLEANUP_FREE struct guard_state *state = calloc(1, sizeof(*state));
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&guard->pidfd,
		.exit_signal = SIGCHLD,
	};
	int pair[2];
	pid_t pid;

	*guard = (struct guard){.sock = -1, .pidfd = -1};
	if (!state)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "the guard");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, RB_SETUP_STEP, errno, "cannot start the guard");
	state->directory = directory;
	state->scratch = scratch;
	state->sock = pair[1];
	pid = sys_clone3(&args);
	if (pid == 0)
		guard_main(state);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return err_set(err, RB_SETUP_STEP, -pid, "cannot start the guard");
	}
	(void)setpgid(pid, pid); /* from both sides: whoever comes first */
	guard->sock = pair[0];
	return 0;
}

void guard_end(struct guard *guard)
{
	siginfo_t info;

	if (guard->pidfd < 0)
		return;
	(void)sys_pidfd_send_signal(guard->pidfd, SIGKILL);
	(void)sys_wait_pidfd(guard->pidfd, &info, WEXITED);
	fd_close(&guard->pidfd);
	fd_close(&guard->sock);
}

static int guard_send(struct guard *guard, struct guard_message *message, const int *fds, size_t n)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * (1 + LIMIT_HELD_FDS))];
	} control;
	struct iovec iov = {
		.iov_base = message,
		.iov_len = offsetof(struct guard_message, cgroup) + strlen(message->cgroup) + 1,
	};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};

	message->n_drop = (uint32_t)guard->n_dropped;
	memcpy(message->drop, guard->dropped, sizeof(message->drop));
	guard->n_dropped = 0;
	if (n > 0) {
		memset(&control, 0, sizeof(control));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n);
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * n);
	}
	while (sendmsg(guard->sock, &header, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* ioctl_pidfd(2), since Linux 6.11; before that through /proc, where it leaves entries to drop. */
static int mount_namespace(const struct launch *l)
{
	enum { PIDFD_MOUNT_NAMESPACE = _IO(0xff, 3) };
	char path[40];
	int fd = sys_ioctl(l->pidfd, PIDFD_MOUNT_NAMESPACE, 0);

	if (fd >= 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)l->pid);
	return sys_openat(AT_FDCWD, path, O_RDONLY, 0);
}

/* 0 means none, also after 2^32 children. */
uint32_t guard_next_key(struct guard *guard)
{
	if (++guard->last_key == 0)
		guard->last_key++;
	return guard->last_key;
}

int guard_add(struct launch *l, struct rb_err *err)
{
	struct guard *guard = l->context->guard;
	/* a second time: it holds more by now */
	struct guard_message message = {.key = l->guard_key ? l->guard_key : guard_next_key(guard)};
	int fds[1 + LIMIT_HELD_FDS] = {l->pidfd};
	CLEANUP_FD int namespace = -1;
	const char *cgroup;
	size_t n = 1;
	int r;

	if (l->guard_key && !l->context->releases_mounts && l->context->n_held == 0)
		return 0;
	if (l->plan->part == PLAN_FIRST)
	namespace = mount_namespace(l);
	if (namespace >= 0)
		fds[n++] = namespace;
	for (size_t i = 0; i < l->context->n_held && n < ARRAY_LEN(fds); i++)
		if (l->context->held[i] >= 0)
			fds[n++] = l->context->held[i];
	cgroup = launch_cgroup(l);
	snprintf(message.cgroup, sizeof(message.cgroup), "%s", cgroup ? cgroup : "");
	r = guard_send(guard, &message, fds, n);
	if (r < 0)
		return err_set(err, RB_SETUP_STEP, -r, "the guard is gone");
	l->guard_key = message.key;
	return 0;
}

void guard_flush(struct guard *guard)
{
	struct guard_message message = {.key = 0};

	/* EPIPE: the guard was killed; then there is nothing to forget */
	if (guard->n_dropped)
		(void)guard_send(guard, &message, NULL, 0);
}

void guard_forget(struct guard *guard, uint32_t key)
{
	guard->dropped[guard->n_dropped++] = key;
	if (guard->n_dropped == GUARD_DROPPED)
		guard_flush(guard);
}

void guard_drop(struct launch *l)
{
	struct guard *guard = l->guard_key ? l->context->guard : NULL;

	if (!guard)
		return;
	guard_forget(guard, l->guard_key);
	l->guard_key = 0;
	/* what only lies in memory can wait for the next message */
	if (l->context->releases_mounts || l->context->n_held || launch_cgroup(l))
		guard_flush(guard);
}
