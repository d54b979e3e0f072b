/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a container has come, by its directory and its first process, and waiting for that
 * process to be recorded. Runs in `state`, `kill`, `delete` and whatever asks before it acts.
 */
#include <sys/inotify.h>
#include "base/sys.h"
#include "state/state.h"

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

int container_wait_init(struct container *container, int timeout_ms)
{
	CLEANUP_FD int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	int64_t deadline = sys_now_ms() + timeout_ms;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", container->dir);
	if (watch < 0 || inotify_add_watch(watch, path, IN_CREATE | IN_DELETE_SELF) < 0)
		return -errno;
	for (;;) {
		char events[4096];
		struct pollfd poll_fd = {.fd = watch, .events = POLLIN};
		struct container again = *container;
		int64_t left = deadline - sys_now_ms();

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
