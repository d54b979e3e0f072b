/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the process that was recorded still the one with that number? Runs wherever state is read.
 * proc_pid_stat(5), pidfd_open(2). A zombie counts as ended: the container is.
 */
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
