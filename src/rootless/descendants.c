/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ending everything below the calling process without a pid namespace. Runs in the parent and in
 * the init inside, both child subreapers: whoever loses its parent becomes a child of ours, so
 * killing children until there are none ends every descendant, also in sessions of their own.
 */
#include "base/file.h"
#include "base/num.h"
#include "rootless/rootless_private.h"

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
