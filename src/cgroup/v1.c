/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only cgroup v1 has: cpuset groups that are born without cpus, and the freezer controller.
 * Runs in the parent and in the verbs. Reference: the kernel's admin-guide/cgroup-v1/.
 */
#include "base/file.h"
#include "cgroup/cgroup_private.h"

/* cpuset(7): nobody can join a group that has no cpus or no memory nodes. */
void v1_prepare(int parent, int group)
{
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char value[4096];
		ssize_t len = file_read_small(group, files[i], value, sizeof(value));

		if (len < 0 || value[0] != '\n')
			continue;
		len = file_read_small(parent, files[i], value, sizeof(value));
		if (len > 0)
			(void)file_write_at(group, files[i], value, (size_t)len);
	}
}

bool v1_frozen(int group)
{
	char text[32];

	/* FREEZING counts: what is on its way cannot be entered either */
	return file_read_small(group, "freezer.state", text, sizeof(text)) > 0 &&
	       !str_starts(text, "THAWED");
}

/*
 * freezer-subsystem.rst: a group with new or vanishing processes may stay FREEZING until the
 * state is written again.
 */
int v1_freeze(int group, bool frozen)
{
	const char *wanted = frozen ? "FROZEN" : "THAWED";
	unsigned waited = 0;

	for (;;) {
		char text[32];
		int r = file_write_at(group, "freezer.state", wanted, strlen(wanted));

		if (r < 0)
			return r;
		if (file_read_small(group, "freezer.state", text, sizeof(text)) > 0 &&
		    str_starts(text, wanted))
			return 0;
		if (cgroup_nap(&waited))
			continue;
		if (frozen)
			(void)file_write_at(group, "freezer.state", "THAWED", 6);
		return -ETIMEDOUT;
	}
}
