/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Log lines for the people and programs behind --log: one line per event, written by a single
 * write(2), so that several containers may share one file opened with O_APPEND. Formats are
 * runc's, because containerd's shim and BuildKit read them. Never pass environment values or
 * file contents.
 */
#include "base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/*
 * Opens the log. path NULL means no log file: warnings and errors then go to standard error.
 * json selects {"level":...,"msg":...,"time":...} lines. Called once by cmd/.
 */
int log_open(const char *path, bool json, bool debug, struct rb_err *err);

/* One line. Goes to the log file if there is one, else warnings go to standard error. */
void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/* A warning that says what can be done and has a code, worded as an error is: err_line(). */
void log_warn_code(enum rb_code code, const char *fix, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The final error of a command: into the log file, and plain to standard error. */
void log_error(const struct rb_err *err);
