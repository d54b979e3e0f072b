/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Whole-file reads and writes on directory descriptors. All open with O_CLOEXEC and O_NOFOLLOW,
 * never block on a fifo, and accept regular files (and files of /proc) only. Return -errno.
 */
#include "base/arena.h"

/*
 * Reads NAME below dirfd into the arena, at most max bytes, and adds an end mark. -EFBIG: longer
 * than max. -EINVAL: not a regular file. *ret_len may be NULL.
 */
int file_read_at(struct arena *arena, int dirfd, const char *name, size_t max, char **ret_text,
		 size_t *ret_len);

/* As above from an open descriptor, from its current position. */
int file_read_fd(struct arena *arena, int fd, size_t max, char **ret_text, size_t *ret_len);

/* All that comes from a pipe or terminal until its end. -EFBIG: more than max bytes. */
int stream_read(struct arena *arena, int fd, size_t max, char **ret_text, size_t *ret_len);

/*
 * A file that the caller named on the command line: links are followed, and a pipe (/dev/fd/63 of a
 * shell) is read to its end. Limits as above.
 */
int file_read_named(struct arena *arena, const char *path, size_t max, char **ret_text,
		    size_t *ret_len);

/* Reads at most size - 1 bytes of a small file, typically of /proc, and adds an end mark. */
ssize_t file_read_small(int dirfd, const char *name, char *buf, size_t size);

/* Writes everything, resuming after short writes and EINTR. */
int fd_write_all(int fd, const void *data, size_t len);

/* One write(2) of text to an existing file, as the files of /proc and cgroupfs want it. */
int file_write_at(int dirfd, const char *name, const char *text, size_t len);

/*
 * Creates or replaces NAME in one step: a temporary file in the same directory and rename(2).
 * A reader sees the old content or the new one. The temporary file is removed on failure.
 */
int file_replace_at(int dirfd, const char *name, const void *data, size_t len, mode_t mode);

/* A close-on-exec copy of fd with a number of at least `lowest`. */
int fd_dup(int fd, int lowest);

/* Closes every descriptor but those of the list (in any order, negative ones are ignored). */
void fd_keep_only(const int *keep, size_t n);

/* An unnamed, close-on-exec memory file that holds data, positioned at its start. */
int fd_from_bytes(const char *label, const void *data, size_t len);

/*
 * Removes NAME below dirfd with all it contains, on descriptors, without following links; at most
 * `depth` levels (-ELOOP beyond). 0 when it is gone or never was.
 */
int file_remove_content(int fd, unsigned depth); /* of an open directory */
int file_remove_tree_at(int dirfd, const char *name, unsigned depth);

/*
 * Adds what NAME below dirfd and all it contains take on the disk to *bytes; links are not
 * followed. What cannot be read is not counted, and -errno says so.
 */
int file_tree_bytes_at(int dirfd, const char *name, unsigned depth, uint64_t *bytes);
