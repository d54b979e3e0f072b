/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What every file of the project includes first: fixed-width types, the cleanup attributes and
 * a handful of macros. Nothing here has state.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/banned.h"

/* Number of elements of an array; a pointer does not compile. */
#define ARRAY_LEN(a)                                                                               \
	(sizeof(a) / sizeof((a)[0]) +                                                              \
	 0 * sizeof(char[1 - 2 * __builtin_types_compatible_p(typeof(a), typeof(&(a)[0]))]))

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED                 __attribute__((unused))
#define MUST_CHECK             __attribute__((warn_unused_result))

/* Runs FUNC(&variable) when the variable leaves its scope. */
#define CLEANUP(func) __attribute__((cleanup(func)))

/* Closes *fd unless it is negative, and makes it -1. For CLEANUP and for explicit use. */
static inline void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd); /* never retried: close(2), "Dealing with error returns" */
	*fd = -1;
}
#define CLEANUP_FD CLEANUP(fd_close)

/* Hands a descriptor over to the caller: returns it and leaves -1 behind. */
static inline int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static inline void ptr_free(void *ptr)
{
	free(*(void **)ptr);
	*(void **)ptr = NULL;
}
#define CLEANUP_FREE CLEANUP(ptr_free)

static inline bool str_eq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static inline bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}
