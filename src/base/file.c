/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole-file I/O. Runs in the parent with whatever privilege it has; must not follow a symbolic
 * link in the last component, because bundle and state directories may be shared with others.
 */
#include <dirent.h>
#include <sys/mman.h>
#include "base/sys.h"
#include "base/file.h"

int file_read_fd(struct arena *arena, int fd, size_t max, char **ret_text, size_t *ret_len)
{
	struct stat st;
	size_t size;
	size_t len = 0;
	char *text;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > 0 && (uint64_t)st.st_size > max)
		return -EFBIG;
	/* a file of /proc says 0; anything may grow while it is read */
	size = st.st_size > 0 ? (size_t)st.st_size + 1 : 4096;
	text = arena_alloc(arena, size + 1);
	while (text) {
		ssize_t got = read(fd, text + len, size - len);
		char *larger;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		len += (size_t)got;
		if (len > max)
			return -EFBIG;
		if (len < size)
			continue;
		size *= 2;
		larger = arena_alloc(arena, size + 1);
		if (larger)
			memcpy(larger, text, len);
		text = larger;
	}
	if (!text)
		return -ENOMEM;
	text[len] = '\0';
	*ret_text = text;
	if (ret_len)
		*ret_len = len;
	return 0;
}

static int file_open_regular(int dirfd, const char *name)
{
	/* O_NONBLOCK: a fifo in place of the file must not stop us; it has no effect on files */
	return sys_openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
}

int file_read_at(struct arena *arena, int dirfd, const char *name, size_t max, char **ret_text,
		 size_t *ret_len)
{
	CLEANUP_FD int fd = file_open_regular(dirfd, name);

	if (fd < 0)
		return fd;
	return file_read_fd(arena, fd, max, ret_text, ret_len);
}

int file_read_named(struct arena *arena, const char *path, size_t max, char **ret_text,
		    size_t *ret_len)
{
	/* O_NONBLOCK: a fifo that nobody writes to is empty; one with a writer is waited for */
	CLEANUP_FD int fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISFIFO(st.st_mode) && fcntl(fd, F_SETFL, 0) < 0)
		return -errno;
	if (S_ISFIFO(st.st_mode))
		return stream_read(arena, fd, max, ret_text, ret_len);
	return file_read_fd(arena, fd, max, ret_text, ret_len);
}

ssize_t file_read_small(int dirfd, const char *name, char *buf, size_t size)
{
	CLEANUP_FD int fd = file_open_regular(dirfd, name);
	size_t len = 0;

	if (fd < 0)
		return fd;
	while (len < size - 1) {
		ssize_t got = read(fd, buf + len, size - 1 - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		len += (size_t)got;
	}
	buf[len] = '\0';
	return (ssize_t)len;
}

int fd_write_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t put = write(fd, at, len);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		at += put;
		len -= (size_t)put;
	}
	return 0;
}

int file_write_at(int dirfd, const char *name, const char *text, size_t len)
{
	CLEANUP_FD int fd = sys_openat(dirfd, name, O_WRONLY | O_NOFOLLOW | O_NOCTTY, 0);
	ssize_t put;

	if (fd < 0)
		return fd;
	do
		put = write(fd, text, len);
	while (put < 0 && errno == EINTR);
	if (put < 0)
		return -errno;
	return (size_t)put == len ? 0 : -EIO;
}

int file_replace_at(int dirfd, const char *name, const void *data, size_t len, mode_t mode)
{
	CLEANUP_FD int fd = -1;
	char temporary[NAME_MAX + 1];
	int r;

	/* the name is private to this process; O_EXCL makes a planted one an error */
	r = snprintf(temporary, sizeof(temporary), ".%.200s.%d", name, (int)getpid());
	if (r < 0 || (size_t)r >= sizeof(temporary))
		return -ENAMETOOLONG;
	fd = sys_openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
	if (fd < 0)
		return fd;
	r = fd_write_all(fd, data, len);
	if (r == 0 && renameat(dirfd, temporary, dirfd, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dirfd, temporary, 0);
	return r;
}

int fd_dup(int fd, int lowest)
{
	return sys_fcntl(fd, F_DUPFD_CLOEXEC, lowest);
}

void fd_keep_only(const int *keep, size_t n)
{
	unsigned from = 0;

	for (;;) {
		unsigned next = UINT_MAX;

		for (size_t i = 0; i < n; i++)
			if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next)
				next = (unsigned)keep[i];
		if (next > from)
			(void)sys_close_range(from, next == UINT_MAX ? next : next - 1, 0);
		if (next == UINT_MAX)
			return;
		from = next + 1;
	}
}

int fd_from_bytes(const char *label, const void *data, size_t len)
{
	CLEANUP_FD int fd = memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, data, len);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? r : fd_take(&fd);
}

int file_remove_content(int fd, unsigned depth)
{
	int copy = sys_openat(fd, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *item;
	int r = 0;

	if (!stream) {
		fd_close(&copy);
		return -EIO;
	}
	while (r == 0 && (item = readdir(stream)))
		if (!str_eq(item->d_name, ".") && !str_eq(item->d_name, ".."))
			r = file_remove_tree_at(dirfd(stream), item->d_name, depth);
	closedir(stream);
	return r;
}

int file_remove_tree_at(int dirfd, const char *name, unsigned depth)
{
	CLEANUP_FD int fd = -1;
	int r;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
		return 0;
	if (depth == 0)
		return -ELOOP;
	fd = sys_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	r = fd < 0 ? fd : file_remove_content(fd, depth - 1);
	if (r == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0)
		r = -errno;
	return r;
}

int file_tree_bytes_at(int dirfd, const char *name, unsigned depth, uint64_t *bytes)
{
	const struct dirent *item;
	struct stat st;
	DIR *stream;
	int fd;
	int r = 0;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	*bytes += (uint64_t)st.st_blocks * 512;
	if (!S_ISDIR(st.st_mode))
		return 0;
	if (depth == 0)
		return -ELOOP;
	fd = sys_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	stream = fd < 0 ? NULL : fdopendir(fd);
	if (!stream) {
		fd_close(&fd);
		return -EIO;
	}
	while ((item = readdir(stream)))
		if (!str_eq(item->d_name, ".") && !str_eq(item->d_name, ".."))
			if (file_tree_bytes_at(fd, item->d_name, depth - 1, bytes) < 0)
				r = -EIO;
	closedir(stream);
	return r;
}

int stream_read(struct arena *arena, int fd, size_t max, char **ret_text, size_t *ret_len)
{
	size_t room = 8192;
	size_t len = 0;
	char *text = arena_alloc(arena, room);

	while (text) {
		ssize_t n = read(fd, text + len, room - len - 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len += (size_t)n;
		if (n == 0) {
			text[len] = '\0';
			*ret_text = text;
			*ret_len = len;
			return 0;
		}
		if (len == room - 1) {
			char *more = room > max ? NULL : arena_alloc(arena, 2 * room);

			if (!more)
				return room > max ? -EFBIG : -ENOMEM;
			memcpy(more, text, len);
			text = more;
			room *= 2;
		}
	}
	return -ENOMEM;
}
