/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records there are: their names, which of them are in use, removing them, and the copy of
 * what a step has left. Runs in the verbs, and beside the worker in a process of its own (see
 * keeper.c), as root of the namespace that wrote the files.
 */
#include <dirent.h>
#include <sys/file.h>
#include "base/file.h"
#include "base/sys.h"
#include "worker/job_record.h"

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int record_names(struct arena *arena, int records, char ***ret_names, size_t *ret_n)
{
	int copy = sys_openat(records, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *item;
	char **names = arena_array(arena, LIMIT_RECORDS, sizeof(*names));
	size_t n = 0;

	if (!stream || !names) {
		if (stream)
			closedir(stream);
		else
			fd_close(&copy);
		return -EIO;
	}
	while ((item = readdir(stream)) && n < LIMIT_RECORDS)
		if (item->d_name[0] != '.')
			names[n++] = arena_strdup(arena, item->d_name);
	closedir(stream);
	for (size_t i = 0; i < n; i++)
		if (!names[i])
			return -ENOMEM;
	qsort(names, n, sizeof(*names), compare_names);
	*ret_names = names;
	*ret_n = n;
	return 0;
}

int record_lock(int records, const char *name, int operation)
{
	CLEANUP_FD int fd = sys_openat(records, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	if (fd >= 0 && flock(fd, operation | LOCK_NB) < 0)
		return -errno;
	return fd_take(&fd);
}

int record_remove(int records, const char *name)
{
	CLEANUP_FD int lock = record_lock(records, name, LOCK_EX);

	return lock < 0 ? lock : file_remove_tree_at(records, name, RECORD_DEPTH);
}

int record_remove_error(struct rb_err *err, int r, const char *name)
{
	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
		return record_error(err, 0, "no such record:", name);
	if (r != -EWOULDBLOCK)
		return record_error(err, -r, "cannot remove the record", name);
	err_set(err, RB_RECORD, 0, "the record '%s' is being replayed", name);
	err_fix(err, "end the replay first");
	return -EBUSY;
}

int records_prune(struct arena *arena, int records, size_t keep, uint64_t bytes, struct rb_err *err)
{
	char **names;
	size_t n;
	size_t first;
	uint64_t used = 0;
	int r = record_names(arena, records, &names, &n);

	if (r < 0)
		return record_error(err, -r, "cannot read", "records");
	for (first = n; first > 0 && n - first < keep; first--) {
		(void)file_tree_bytes_at(records, names[first - 1], RECORD_DEPTH, &used);
		if (used > bytes)
			break;
	}
	for (size_t i = 0; i < first; i++)
		if ((r = record_remove(records, names[i])) < 0 && r != -EWOULDBLOCK)
			return record_remove_error(err, r, names[i]);
	return 0;
}

int record_keep_upper(int record, const char *upper)
{
	int r = snap_copy_upper(upper, record, RECORD_PARTIAL, LIMIT_RECORD_UPPER);

	if (r == 0 && renameat(record, RECORD_PARTIAL, record, "upper") < 0)
		r = -errno;
	if (r < 0)
		(void)file_remove_tree_at(record, RECORD_PARTIAL, RECORD_DEPTH);
	return r;
}

const char *record_keep_text(int errnum)
{
	return errnum == EFBIG         ? "it takes more than 256 MiB"
	       : errnum == EWOULDBLOCK ? "the next step has it already"
				       : strerrordesc_np(errnum);
}
