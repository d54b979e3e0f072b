/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every process of ours that outlives us by an instant is made of: that of one child
 * (launch_monitor.c) and that of many (launch_guard.c). Runs in it, after a fork.
 */
#include "launch/launch_private.h"

void monitor_become(const char *name)
{
	sigset_t all;

	(void)setpgid(0, 0);
	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)sys_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)sys_prctl(PR_SET_NAME, (unsigned long)name, 0, 0, 0);
}

void monitor_wait_dead(int pidfd)
{
	struct pollfd fd = {.fd = pidfd, .events = POLLIN};

	while (sys_ppoll(&fd, 1, NULL) == -EINTR)
		;
}

const char *launch_cgroup(const struct launch *l)
{
	const struct plan_op *ops = plan_parent_ops(l->plan);

	/* of a further process (CGROUP_EXISTING) the group is the container's, and a scope is
	 * systemd's */
	for (size_t i = 0; !l->cgroup && i < l->plan->n_parent; i++)
		if (ops[i].kind == OP_CGROUP && ops[i].arg[1] == CGROUP_FILES)
			return cgroup_absolute(l->context->arena, plan_str(l->plan, ops[i].str[0]));
	return l->cgroup;
}
