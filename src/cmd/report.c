/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report of a step; see report.h. Runs in `run` after the step's end, with the caller's
 * privilege. The file is opened only then, so the step can never have held it.
 */
#include <time.h>
#include "base/env.h"
#include "base/file.h"
#include "cmd/report.h"
#include "base/log.h"
#include "base/sys.h"

int64_t report_now_ns(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void report_text(const char *id, const struct plan *plan, const struct report_times *times,
			int status, struct strbuf *line)
{
	struct rusage usage = {0};
	int64_t now_ns = report_now_ns();

	/* what we have waited for: the step with its descendants, and id-map helpers and hooks */
	getrusage(RUSAGE_CHILDREN, &usage);
	strbuf_add(line, "{\"id\":");
	strbuf_add_json(line, id);
	strbuf_printf(line,
		      ",\"status\":%d,\"setupUsec\":%" PRId64 ",\"stepUsec\":%" PRId64
		      ",\"teardownUsec\":%" PRId64,
		      status, (times->started_ns - times->begin_ns) / 1000,
		      (times->ended_ns - times->started_ns) / 1000,
		      (now_ns - times->ended_ns) / 1000);
	strbuf_printf(line, ",\"cpuUsec\":%lld,\"maxRssKib\":%ld,",
		      (long long)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
			      usage.ru_utime.tv_usec + usage.ru_stime.tv_usec,
		      usage.ru_maxrss);
	plan_summary(plan, line);
	strbuf_add(line, "}\n");
}

/* One write(2) with O_APPEND: lines of steps that end at the same time do not mix. */
static int report_write(const char *path, const struct strbuf *line)
{
	CLEANUP_FD int fd = sys_openat(
		AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
		0600);
	struct stat st;

	if (fd < 0)
		return fd;
	if (sys_fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	return fd_write_all(fd, line->text, line->len);
}

void report_append(const char *id, const struct plan *plan, const struct report_times *times,
		   int status)
{
	CLEANUP_STRBUF struct strbuf line = {0};
	const char *path = env_get("RUNBUILD_REPORT");
	int r;

	if (!path)
		return;
	report_text(id, plan, times, status, &line);
	r = line.failed ? -ENOMEM : report_write(path, &line);
	if (r < 0)
		log_warn("RUNBUILD_REPORT: cannot write '%s': %s", path, strerrordesc_np(-r));
}
