/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only cgroup v2 has: controllers that are handed down, the freezer as a file of every
 * group, device access as a BPF program. Runs in the parent and in the verbs.
 * Reference: the kernel's admin-guide/cgroup-v2.rst; bpf(2).
 */
#include <linux/bpf.h>
#include "base/file.h"
#include "cgroup/cgroup_private.h"

/*
 * Turns on for the groups below what the group itself has. One by one: a single refused controller
 * (cpu while real-time tasks run, none at all without delegation) must not take the others along.
 * What could not be turned on shows as a missing file when a limit is written.
 */
void v2_delegate(int group)
{
	char all[512];
	char on[512];

	if (file_read_small(group, "cgroup.controllers", all, sizeof(all)) <= 0 ||
	    file_read_small(group, "cgroup.subtree_control", on, sizeof(on)) < 0)
		return;
	for (char *c = on; *c; c++)
		if (*c == ' ' || *c == '\n')
			*c = ',';
	for (char *word = all; *word;) {
		char command[520];
		size_t len = strcspn(word, " \n");
		bool last = word[len] == '\0';

		word[len] = '\0';
		if (len > 0 && len < sizeof(command) - 2 && !list_has(on, word)) {
			snprintf(command, sizeof(command), "+%s", word);
			(void)file_write_at(group, "cgroup.subtree_control", command, len + 1);
		}
		word += len + !last;
	}
}

bool v2_frozen(int group)
{
	char text[16];

	return file_read_small(group, "cgroup.freeze", text, sizeof(text)) > 0 && text[0] == '1';
}

/* cgroup.events says "frozen 1" once every process has stopped. */
static bool v2_has_frozen(int group)
{
	char text[256];

	return file_read_small(group, "cgroup.events", text, sizeof(text)) > 0 &&
	       strstr(text, "frozen 1");
}

int v2_freeze(int group, bool frozen)
{
	unsigned waited = 0;
	int r = file_write_at(group, "cgroup.freeze", frozen ? "1" : "0", 1);

	if (r < 0)
		return r;
	while (v2_has_frozen(group) != frozen) {
		if (cgroup_nap(&waited))
			continue;
		/* a process in an uninterruptible wait: leave nothing half stopped */
		if (frozen)
			(void)file_write_at(group, "cgroup.freeze", "0", 1);
		return -ETIMEDOUT;
	}
	return 0;
}

static int sys_bpf(enum bpf_cmd command, union bpf_attr *attr)
{
	return SYS_CALL(SYS_bpf, command, attr, sizeof(*attr));
}

/*
 * Loading needs no RLIMIT_MEMLOCK since Linux 5.11: the memory is the group's. An older kernel
 * says EPERM, as does one without the privilege.
 */
int cgroup_attach_devices(const struct cgroup *cgroup, const void *program, size_t n)
{
	const struct cgroup_member *member = cgroup_member_for(cgroup, true, NULL);
	union bpf_attr load = {
		.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
		.insns = (uint64_t)(uintptr_t)program,
		.insn_cnt = (uint32_t)n,
		.license = (uint64_t)(uintptr_t) "Apache-2.0",
		.prog_name = "runbuild_dev",
	};
	union bpf_attr attach = {0};
	CLEANUP_FD int fd = -1;

	if (!member)
		return -ENOENT;
	fd = sys_bpf(BPF_PROG_LOAD, &load);
	if (fd < 0)
		return fd;
	attach.target_fd = (uint32_t)member->fd;
	attach.attach_bpf_fd = (uint32_t)fd;
	attach.attach_type = BPF_CGROUP_DEVICE;
	/* several programs must all agree: systemd's and a nested runtime's stay in force */
	attach.attach_flags = BPF_F_ALLOW_MULTI;
	return sys_bpf(BPF_PROG_ATTACH, &attach);
}
