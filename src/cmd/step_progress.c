/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person sees while a step runs: its output, and below it one line with the elapsed time,
 * the processor time and the memory of its processes. Only when standard error is a terminal; then
 * the step writes into pipes, so that the line can be taken away before each output.
 */
#include "base/file.h"
#include "base/num.h"
#include "cmd/step.h"

enum { PROGRESS_PROCESSES = 512 };

int step_progress_begin(struct step_progress *progress, int stdio[3])
{
	*progress = (struct step_progress){.pipes = {-1, -1}, .at_line_start = true};
	if (!isatty(STDERR_FILENO))
		return 0;
	for (int i = 0; i < 2; i++) {
		int pair[2];

		if (pipe2(pair, O_CLOEXEC) < 0)
			return -errno;
		(void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
		progress->pipes[i] = pair[0];
		stdio[i + 1] = pair[1];
	}
	progress->on = true;
	return 0;
}

size_t step_progress_poll(const struct step_progress *progress, struct pollfd fds[2])
{
	for (int i = 0; i < 2; i++)
		fds[i] = (struct pollfd){.fd = progress->pipes[i], .events = POLLIN};
	return progress->on ? 2 : 0;
}

static void take_line_away(struct step_progress *progress)
{
	if (progress->shown)
		(void)fd_write_all(STDERR_FILENO, "\r\033[K", 4);
	progress->shown = false;
}

static void copy_stream(struct step_progress *progress, int stream)
{
	char buffer[16384];
	ssize_t got = read(progress->pipes[stream], buffer, sizeof(buffer));

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		fd_close(&progress->pipes[stream]);
	if (got <= 0)
		return;
	take_line_away(progress);
	/* whoever reads it is gone: the step will see that when its pipe closes */
	if (fd_write_all(stream == 0 ? STDOUT_FILENO : STDERR_FILENO, buffer, (size_t)got) < 0)
		fd_close(&progress->pipes[stream]);
	progress->at_line_start = buffer[got - 1] == '\n';
	progress->next_us = sys_now_us() + 500000;
}

void step_progress_copy(struct step_progress *progress, const struct pollfd fds[2])
{
	for (int i = 0; progress->on && i < 2; i++)
		if (fds[i].revents && progress->pipes[i] >= 0)
			copy_stream(progress, i);
}

/* Numbers of one process from /proc/PID/stat: clock ticks and pages. proc(5) */
static void add_process(pid_t pid, uint64_t *ticks, uint64_t *pages)
{
	char path[64];
	char text[1024];
	const char *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read_small(AT_FDCWD, path, text, sizeof(text)) < 0 || !(at = strrchr(text, ')')))
		return;
	/* the state is field 3; utime, stime, cutime, cstime are 14 to 17, rss is 24 */
	at++;
	for (int number = 3; *at; number++) {
		uint64_t value;
		size_t len;

		at += strspn(at, " ");
		len = strcspn(at, " \n");
		if (num_parse_u64(at, len, UINT64_MAX, &value) == 0) {
			if (number >= 14 && number <= 17)
				*ticks += value;
			if (number == 24)
				*pages += value;
		}
		at += len;
		at += *at == '\n';
	}
}

/* The step's first process and all below it. */
static void sum_processes(pid_t first, uint64_t *ticks, uint64_t *pages)
{
	pid_t pids[PROGRESS_PROCESSES] = {first};
	size_t n = 1;

	for (size_t i = 0; i < n; i++) {
		char path[64];
		char text[4096];

		add_process(pids[i], ticks, pages);
		snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pids[i],
			 (int)pids[i]);
		if (file_read_small(AT_FDCWD, path, text, sizeof(text)) < 0)
			continue;
		for (const char *at = text; *at && n < PROGRESS_PROCESSES;) {
			size_t len = strcspn(at, " ");
			uint64_t pid;

			if (num_parse_u64(at, len, INT_MAX, &pid) == 0)
				pids[n++] = (pid_t)pid;
			at += len;
			at += strspn(at, " ");
		}
	}
}

void step_progress_tick(struct step_progress *progress, const struct job *job)
{
	int64_t now = sys_now_us();
	int64_t elapsed = now - job->started_us;
	uint64_t ticks = 0;
	uint64_t pages = 0;
	char line[128];
	int len;

	if (!progress->on || job->state != JOB_RUNNING || now < progress->next_us)
		return;
	progress->next_us = now + 500000;
	if (elapsed < 1000000 || !progress->at_line_start)
		return;
	sum_processes(job->launch.pid, &ticks, &pages);
	len = snprintf(line, sizeof(line),
		       "\r\033[K[%" PRId64 ".%" PRId64 " s, cpu %.1f s, memory %" PRIu64 " MiB]",
		       elapsed / 1000000, elapsed / 100000 % 10,
		       (double)ticks / (double)sysconf(_SC_CLK_TCK),
		       pages * (uint64_t)sysconf(_SC_PAGESIZE) >> 20);
	(void)fd_write_all(STDERR_FILENO, line, (size_t)len);
	progress->shown = true;
}

void step_progress_end(struct step_progress *progress)
{
	if (!progress->on)
		return;
	/* what the step has written is there; what others still hold open is not waited for */
	for (int i = 0; i < 2; i++) {
		struct pollfd fd = {.fd = progress->pipes[i], .events = POLLIN};

		while (progress->pipes[i] >= 0 && poll(&fd, 1, 0) > 0)
			copy_stream(progress, i);
		fd_close(&progress->pipes[i]);
	}
	take_line_away(progress);
}
