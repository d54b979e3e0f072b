/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the process that was recorded still the one with that number? Runs wherever state is read.
 * proc_pid_stat(5), pidfd_open(2). A zombie counts as ended: the container is.
 */
#include <sys/inotify.h>
#include <time.h>
#include "base/file.h"
#include "base/num.h"
#include "base/sys.h"
#include "state/state.h"

static int boot_id(char boot[40])
{
	ssize_t len = file_read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", boot, 40);

	if (len < 0)
		return (int)len;
	boot[strcspn(boot, "\n")] = '\0';
	return 0;
}

/* Field 22 of /proc/PID/stat; the command name before it may hold anything, even ')'. */
static int process_start_time(pid_t pid, uint64_t *ret_start)
{
	char path[32];
	char text[1024];
	const char *at;
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	len = file_read_small(AT_FDCWD, path, text, sizeof(text));
	if (len < 0)
		return len == -ENOENT ? -ESRCH : (int)len;
	at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return -EINVAL;
	return num_parse_u64(at + 1, strspn(at + 1, "0123456789"), UINT64_MAX, ret_start);
}

int state_process_identify(pid_t pid, struct state_process *ret)
{
	struct state_process process = {.pid = pid};
	int r = process_start_time(pid, &process.start);

	if (r == 0)
		r = boot_id(process.boot);
	if (r == 0)
		*ret = process;
	return r;
}

int state_process_open(const struct state_process *process)
{
	CLEANUP_FD int pidfd = sys_pidfd_open(process->pid);
	struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
	struct state_process now;
	int r;

	if (pidfd < 0)
		return pidfd == -EINVAL ? -ESRCH : pidfd;
	/* the descriptor names one process for good; then compare */
	r = state_process_identify(process->pid, &now);
	if (r < 0)
		return r;
	if (now.start != process->start || !str_eq(now.boot, process->boot))
		return -ESRCH;
	if (poll(&poll_fd, 1, 0) == 1)
		return -ESRCH;
	return fd_take(&pidfd);
}

int container_init_open(const struct container *container)
{
	return container->has_init ? state_process_open(&container->init) : -ESRCH;
}

const char *const container_status_names[] = {"created", "running", "paused", "stopped",
					      "creating"};

int container_status(const struct container *container)
{
	CLEANUP_FD int pidfd = container_init_open(container);
	struct stat st;

	if (pidfd < 0)
		return pidfd == -ESRCH ? STATUS_STOPPED : pidfd;
	if (fstatat(container->dir, "state.json", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? STATUS_CREATING : -errno;
	if (fstatat(container->dir, "start.sock", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return STATUS_CREATED;
	return STATUS_RUNNING;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int container_wait_init(struct container *container, int timeout_ms)
{
	CLEANUP_FD int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	int64_t deadline = now_ms() + timeout_ms;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", container->dir);
	if (watch < 0 || inotify_add_watch(watch, path, IN_CREATE | IN_DELETE_SELF) < 0)
		return -errno;
	for (;;) {
		char events[4096];
		struct pollfd poll_fd = {.fd = watch, .events = POLLIN};
		struct container again = *container;
		int64_t left = deadline - now_ms();

		if (container_reload(&again) == 0) {
			*container = again;
			return 0;
		}
		if (left <= 0 || !container_locked(container))
			return -ETIMEDOUT;
		if (poll(&poll_fd, 1, (int)(left < 50 ? left : 50)) == 1)
			(void)!read(watch, events, sizeof(events));
	}
}
