/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log. Runs in the parent and the monitor. The sink is the one piece of file-level state
 * that this project allows itself: set once by cmd/ before anything else runs.
 *
 * With a log file, standard error stays silent but for the final error: most clients capture
 * standard output and standard error into one buffer and parse it (a warning would spoil it).
 */
#include <time.h>
#include "base/log.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "base/sys.h"

static struct {
	int fd;
	bool json;
	bool debug;
} log_sink = {.fd = -1};

int log_open(const char *path, bool json, bool debug, struct rb_err *err)
{
	int fd = -1;

	if (path) {
		/* O_NONBLOCK: opening a fifo that nobody reads fails instead of waiting */
		fd = sys_openat(AT_FDCWD, path,
				O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_NONBLOCK, 0644);
		if (fd < 0) {
			err_set(err, RB_LOG_FILE, -fd, "cannot open log file '%s'", path);
			err_fix(err, "name a file in a directory that exists and is writable");
			return fd;
		}
	}
	log_sink.fd = fd;
	log_sink.json = json;
	log_sink.debug = debug;
	return 0;
}

static void log_emit(int fd, enum log_level level, const char *msg)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	CLEANUP_STRBUF struct strbuf line = {0};
	char stamp[32];
	struct timespec now = {0};
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (log_sink.json)
		strbuf_printf(&line, "{\"level\":\"%s\",\"msg\":", names[level]);
	else
		strbuf_printf(&line, "time=\"%s\" level=%s msg=", stamp, names[level]);
	strbuf_add_json(&line, msg);
	if (log_sink.json)
		strbuf_printf(&line, ",\"time\":\"%s\"}", stamp);
	strbuf_add_char(&line, '\n');
	/* a full disk or a closed pipe must not turn a step's result into another one */
	if (!line.failed)
		(void)fd_write_all(fd, line.text, line.len);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char msg[1024];
	va_list args;

	if (level == LOG_DEBUG && !log_sink.debug)
		return;
	va_start(args, fmt);
	vsnprintf(msg, sizeof(msg), fmt, args);
	va_end(args);
	if (log_sink.fd >= 0)
		log_emit(log_sink.fd, level, msg);
	else if (level <= LOG_WARN || log_sink.debug)
		log_emit(STDERR_FILENO, level, msg);
}

void log_warn_code(enum rb_code code, const char *fix, const char *fmt, ...)
{
	struct rb_err err = {.code = code};
	char line[sizeof(err) + 64];
	va_list args;

	va_start(args, fmt);
	vsnprintf(err.what, sizeof(err.what), fmt, args);
	va_end(args);
	err_fix(&err, "%s", fix);
	log_warn("%s", err_line(&err, line, sizeof(line)));
}

void log_error(const struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf line = {0};
	char text[sizeof(*err) + 64];

	err_line(err, text, sizeof(text));
	if (log_sink.fd >= 0)
		log_emit(log_sink.fd, LOG_ERROR, text);
	strbuf_printf(&line, "runbuild: error: %s\n", text);
	if (!line.failed)
		(void)fd_write_all(STDERR_FILENO, line.text, line.len);
}
