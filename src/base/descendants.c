/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ending everything below the calling process without a pid namespace. Runs in processes that are
 * child subreapers (the launcher, its init inside, the reaper of a step): whoever loses its parent
 * becomes a child of theirs, so killing children until there are none ends every descendant, also
 * in sessions of their own.
 */
#include <dirent.h>
#include "base/descendants.h"
#include "base/file.h"
#include "base/num.h"
#include "base/sys.h"

/* Rounds of killing, each with everybody's children: what forks faster than that is left. */
enum { ROUNDS_MAX = 1000 };

/* proc(5), /proc/PID/task/TID/children */
void descendants_list(struct pid_list *ret_list)
{
	char text[LIMIT_CHILDREN * 11 + 1];
	ssize_t len = file_read_small(AT_FDCWD, "/proc/thread-self/children", text, sizeof(text));
	const char *at = text;

	ret_list->n = 0;
	while (len > 0 && ret_list->n < LIMIT_CHILDREN) {
		size_t digits = strspn(at, "0123456789");
		uint64_t pid;

		/* a number that the end of the buffer has cut is in the next list */
		if (at[digits] != ' ' || num_parse_u64(at, digits, INT32_MAX, &pid) < 0)
			break;
		ret_list->v[ret_list->n++] = (pid_t)pid;
		at += digits + 1;
	}
}

static bool list_has(const struct pid_list *list, pid_t pid)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i] == pid)
			return true;
	return false;
}

void descendants_end(const struct pid_list *except)
{
	for (int round = 0; round < ROUNDS_MAX; round++) {
		struct pid_list list;
		bool found = false;

		descendants_list(&list);
		for (size_t i = 0; i < list.n; i++) {
			if (list_has(except, list.v[i]))
				continue;
			found = true;
			(void)kill(list.v[i], SIGKILL);
			/* its children become ours before it can be waited for: wait(2) */
			(void)waitpid(list.v[i], NULL, __WALL);
		}
		if (!found)
			return;
	}
}

/* Who was whose child, in the order of their numbers. */
struct family {
	struct member {
		pid_t pid, parent;
	} * v;
	size_t n, size;
};

/* proc(5), /proc/PID/stat: the name may hold anything, so from its last bracket on. */
static pid_t parent_of(const char *pid)
{
	char path[32];
	char text[512];
	uint64_t parent;
	const char *at;

	snprintf(path, sizeof(path), "/proc/%.12s/stat", pid);
	if (file_read_small(AT_FDCWD, path, text, sizeof(text)) <= 0 ||
	    !(at = strrchr(text, ')')) || strlen(at) < 5)
		return -1;
	at += 4; /* ") S " */
	return num_parse_u64(at, strspn(at, "0123456789"), INT32_MAX, &parent) < 0 ? -1
										   : (pid_t)parent;
}

static int family_add(struct family *family, pid_t pid, pid_t parent)
{
	if (family->n == family->size) {
		size_t size = family->size ? 2 * family->size : 256;
		struct member *larger = realloc(family->v, size * sizeof(*larger));

		if (!larger)
			return -ENOMEM;
		family->v = larger;
		family->size = size;
	}
	family->v[family->n++] = (struct member){.pid = pid, .parent = parent};
	return 0;
}

static int family_read(struct family *family)
{
	DIR *proc = opendir("/proc");
	const struct dirent *item;
	int r = proc ? 0 : -errno;

	while (proc && r == 0 && (item = readdir(proc))) {
		uint64_t pid;

		if (num_parse_u64(item->d_name, strlen(item->d_name), INT32_MAX, &pid) == 0)
			r = family_add(family, (pid_t)pid, parent_of(item->d_name));
	}
	if (proc)
		closedir(proc);
	return r;
}

static int compare_members(const void *a, const void *b)
{
	const struct member *left = a;
	const struct member *right = b;

	return (left->pid > right->pid) - (left->pid < right->pid);
}

/* From parent to parent; a number that was given again meanwhile may lead in a circle. */
static bool is_below(const struct family *family, const struct member *member, pid_t root)
{
	for (size_t i = 0; member && i < family->n; i++) {
		const struct member parent = {.pid = member->parent};

		if (parent.pid == root)
			return true;
		member = bsearch(&parent, family->v, family->n, sizeof(parent), compare_members);
	}
	return false;
}

int descendants_signal(pid_t root, bool itself, int sig)
{
	struct family family = {.n = 0};
	int r = family_read(&family);
	int told = 0;

	if (family.n)
		qsort(family.v, family.n, sizeof(*family.v), compare_members);
	for (size_t i = 0; r == 0 && i < family.n; i++) {
		const struct member *m = &family.v[i];
		bool meant = m->pid == root ? itself : is_below(&family, m, root);
		CLEANUP_FD int pidfd = meant ? sys_pidfd_open(m->pid) : -1;
		char name[16];

		snprintf(name, sizeof(name), "%d", (int)m->pid);
		/* the number may be somebody else's by now */
		if (pidfd >= 0 && parent_of(name) == m->parent &&
		    sys_pidfd_send_signal(pidfd, sig) == 0)
			told++;
	}
	free(family.v);
	return r < 0 ? r : told;
}
