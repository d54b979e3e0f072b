/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of the image's /etc/passwd: whatever the file holds, HOME is an absolute path without
 * the file's separators, of bounded length.
 */
#include <sys/stat.h>
#include "fuzz.h"
#include "tree.h"
#include "exec/ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t ids[] = {0, 1, 1000, 4294967294};
	int root = tree_open("passwd");
	struct exec_child *child = calloc(1, sizeof(*child));
	char *envp[3];
	int etc;

	assert(child && mkdirat(root, "etc", 0755) == 0);
	etc = sys_openat(root, "etc", O_RDONLY | O_DIRECTORY, 0);
	assert(etc >= 0 && file_replace_at(etc, "passwd", (const char *)data, size, 0644) == 0);
	close(etc);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		const struct plan_op op = {.kind = OP_HOME, .arg = {ids[i]}};
		const char *home = child->home;

		memset(envp, 0, sizeof(envp));
		child->envp = envp;
		child->n_envp = 0;
		child->slots[SLOT_ROOT] = root;
		memset(child->home, 'x', sizeof(child->home));
		assert(op_home(child, &op) == 0);
		assert(memchr(home, '\0', sizeof(child->home)));
		assert(str_starts(home, "HOME=/") && !strpbrk(home + 5, ":\n"));
		assert(envp[0] == home && !envp[1] && child->n_envp == 1);
	}
	free(child);
	tree_close("passwd", root);
	return 0;
}
