/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where and when the process runs: CPUs, scheduler, I/O priority, memory nodes, personality, time
 * namespace. Runs in the child, before the identity changes. Each handler is the one system call
 * in its name.
 */
#include <linux/ioprio.h>
#include "exec/ops.h"

/* Words of the plan as the kernel's array of unsigned long; returns the number of its bits. */
static unsigned long bits_fill(const struct exec_child *child, const struct plan_op *op,
			       unsigned long *mask, size_t n)
{
	const struct plan_list *list = plan_list_at(child->plan, op->list);
	const unsigned per_long = 8 * sizeof(unsigned long);

	for (size_t i = 0; i < n; i++)
		mask[i] = 0;
	for (uint32_t i = 0; list && i < list->count && 32 * i / per_long < n; i++)
		mask[32 * i / per_long] |= (unsigned long)list->item[i] << (32 * i % per_long);
	return n * per_long;
}

#define BITS_LONGS (SPEC_BITS / (8 * sizeof(unsigned long)))

int op_affinity(struct exec_child *child, const struct plan_op *op)
{
	unsigned long mask[BITS_LONGS];

	bits_fill(child, op, mask, BITS_LONGS);
	return SYS_CALL(SYS_sched_setaffinity, 0, sizeof(mask), mask);
}

/* linux/sched/types.h, whose first version cannot be included beside <sched.h> */
struct scheduling {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};
_Static_assert(sizeof(struct scheduling) == 48, "SCHED_ATTR_SIZE_VER0");

int op_scheduler(struct exec_child *child, const struct plan_op *op)
{
	const struct plan_list *times = plan_list_at(child->plan, op->list);
	struct scheduling attr = {
		.size = sizeof(attr),
		.policy = (uint32_t)op->arg[0],
		.flags = op->arg[0] >> 32,
		.nice = (int32_t)(uint32_t)op->arg[1],
		.priority = (uint32_t)(op->arg[1] >> 32),
	};

	if (times && times->count == 6) {
		attr.runtime = (uint64_t)times->item[1] << 32 | times->item[0];
		attr.deadline = (uint64_t)times->item[3] << 32 | times->item[2];
		attr.period = (uint64_t)times->item[5] << 32 | times->item[4];
	}
	return SYS_CALL(SYS_sched_setattr, 0, &attr, 0);
}

int op_io_priority(struct exec_child *child UNUSED, const struct plan_op *op)
{
	return SYS_CALL(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, (int)op->arg[0]);
}

int op_memory_policy(struct exec_child *child, const struct plan_op *op)
{
	unsigned long mask[BITS_LONGS];
	unsigned long bits = 0;

	/* no nodes are given as no mask at all: set_mempolicy(2) */
	if (op->list)
		bits = bits_fill(child, op, mask, BITS_LONGS);
	/* the number counts one bit more than the last: mbind(2), BUGS. The kernel takes a page */
	return SYS_CALL(SYS_set_mempolicy, (int)op->arg[0], bits ? mask : NULL, bits);
}

int op_personality(struct exec_child *child UNUSED, const struct plan_op *op)
{
	return SYS_CALL(SYS_personality, (unsigned long)op->arg[0]);
}

int op_enter_time(struct exec_child *child, const struct plan_op *op)
{
	int fd = sys_openat2(child->slots[op->slot], "self/ns/time_for_children", O_RDONLY, 0, 0);
	int r;

	if (fd < 0)
		return fd;
	r = sys_setns(fd, CLONE_NEWTIME);
	sys_close(fd);
	return r;
}

int op_take_tree(struct exec_child *child, const struct plan_op *op)
{
	int *tree = &child->trees[op->arg[0] % LIMIT_HOST_TREES];

	if (*tree < 0)
		return -EBADF;
	slot_set(child, op->slot, *tree);
	*tree = -1;
	return 0;
}
