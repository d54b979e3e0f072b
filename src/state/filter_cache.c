/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled filters, stored under the hash of what they were compiled from. Runs in the parent.
 *
 * Whoever writes the cache chooses the filter of the next container, so it lives in the state
 * root (0700, ours, outside anything a container sees), is opened with O_NOFOLLOW, and an entry
 * is used only when it is a regular file of ours that nobody else may write, has our header and
 * its body's hash. Anything else counts as absent: the filter is compiled again.
 */
#include <dirent.h>
#include <linux/filter.h>
#include "base/file.h"
#include "base/sha256.h"
#include "base/sys.h"
#include "state/state.h"

enum { FILTER_CACHE_ENTRIES = 64 };

struct filter_header {
	char magic[8];
	uint32_t version;
	uint32_t count; /* instructions that follow */
	uint8_t key[SHA256_BYTES];
	uint8_t body[SHA256_BYTES]; /* hash of the instructions */
};
_Static_assert(sizeof(struct filter_header) == 80, "struct filter_header is a file format");

static const char filter_magic[8] = "rb-bpf\n";

/* The directory, checked on its descriptor; created if asked. */
static int filter_cache_open(const struct state_root *root, bool create)
{
	CLEANUP_FD int dir = sys_openat(root->fd, "@seccomp", O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
					0);
	struct stat st;

	if (dir == -ENOENT && create) {
		if (mkdirat(root->fd, "@seccomp", 0700) < 0 && errno != EEXIST)
			return -errno;
		dir = sys_openat(root->fd, "@seccomp", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	}
	if (dir < 0)
		return dir;
	if (fstat(dir, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 077))
		return -EPERM;
	return fd_take(&dir);
}

static void body_hash(const struct sock_filter *program, size_t n, uint8_t hash[SHA256_BYTES])
{
	struct sha256 sha;

	sha256_init(&sha);
	sha256_add(&sha, program, n * sizeof(*program));
	sha256_end(&sha, hash);
}

/* Reads exactly len bytes: a shorter or longer file is not ours. */
static bool read_exactly(int fd, void *buf, size_t len)
{
	char *at = buf;

	while (len > 0) {
		ssize_t got = read(fd, at, len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		at += got;
		len -= (size_t)got;
	}
	return true;
}

int filter_cache_load(struct arena *arena, const struct state_root *root, const uint8_t digest[32],
		      struct sock_filter **ret_program, size_t *ret_n)
{
	CLEANUP_FD int dir = filter_cache_open(root, false);
	CLEANUP_FD int fd = -1;
	struct filter_header header;
	struct sock_filter *program;
	uint8_t hash[SHA256_BYTES];
	char name[SHA256_HEX];
	struct stat st;

	if (dir < 0)
		return -ENOENT;
	sha256_hex(digest, name);
	fd = sys_openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & 077) || !read_exactly(fd, &header, sizeof(header)) ||
	    memcmp(header.magic, filter_magic, sizeof(filter_magic)) != 0 || header.version != 1 ||
	    header.count == 0 || header.count > LIMIT_BPF_INSNS ||
	    memcmp(header.key, digest, SHA256_BYTES) != 0 ||
	    (uint64_t)st.st_size != sizeof(header) + header.count * sizeof(*program))
		return -ENOENT;
	program = arena_array(arena, header.count, sizeof(*program));
	if (!program || !read_exactly(fd, program, header.count * sizeof(*program)))
		return -ENOENT;
	body_hash(program, header.count, hash);
	if (memcmp(hash, header.body, sizeof(hash)) != 0)
		return -ENOENT;
	*ret_program = program;
	*ret_n = header.count;
	return 0;
}

/* Profiles are few; when somebody makes many, begin again rather than grow. */
static void filter_cache_bound(int dir)
{
	int fd = sys_openat(dir, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	size_t n = 0;

	if (!stream) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while (readdir(stream))
		n++;
	rewinddir(stream);
	while (n > FILTER_CACHE_ENTRIES && (entry = readdir(stream)))
		if (entry->d_name[0] != '.')
			(void)unlinkat(dir, entry->d_name, 0);
	closedir(stream);
}

void filter_cache_store(const struct state_root *root, const uint8_t digest[32],
			const struct sock_filter *program, size_t n)
{
	CLEANUP_FD int dir = filter_cache_open(root, true);
	CLEANUP_FREE char *entry = NULL;
	struct filter_header header = {.version = 1, .count = (uint32_t)n};
	size_t len = sizeof(header) + n * sizeof(*program);
	char name[SHA256_HEX];

	if (dir < 0)
		return;
	entry = malloc(len);
	if (!entry)
		return;
	memcpy(header.magic, filter_magic, sizeof(filter_magic));
	memcpy(header.key, digest, SHA256_BYTES);
	body_hash(program, n, header.body);
	memcpy(entry, &header, sizeof(header));
	memcpy(entry + sizeof(header), program, n * sizeof(*program));
	sha256_hex(digest, name);
	filter_cache_bound(dir);
	(void)file_replace_at(dir, name, entry, len, 0400);
}
