/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.resources as writes to the groups of v1 and v2. Pure. References: the kernel's
 * admin-guide/cgroup-v2.rst; runtime-spec config-linux.md#control-groups.
 */
#include "plan/resources_job.h"

/* A limit whose controller this host does not have must not be dropped in silence. */
static int check_controller(struct resources_job *job, enum host_controller controller,
			    const char *origin)
{
	uint32_t all = job->host->cgroup_v1 | job->host->cgroup_v2;

	if (!origin || (all >> controller & 1))
		return 0;
	err_set(job->err, RB_CGROUP_CONTROLLER, 0,
		"unable to apply cgroup configuration: this host has no cgroup controller \"%s\"",
		host_controller_names[controller]);
	err_origin(job->err, origin);
	err_fix(job->err, "remove the limit, or enable the controller (cgroup_disable= on the "
			  "kernel's command line, systemd: Delegate=)");
	return -EINVAL;
}

static const char *origin_of(const struct spec_number *number)
{
	return number->present && number->value > 0 ? number->origin : NULL;
}

/* The first limit for each controller stands for all of them in the message. */
static int check_controllers(struct resources_job *job)
{
	const struct spec_resources *r = job->resources;
	const struct {
		enum host_controller controller;
		const char *origin;
	} wanted[] = {
		{CONTROLLER_MEMORY, origin_of(&r->memory.limit)},
		{CONTROLLER_MEMORY, origin_of(&r->memory.reservation)},
		{CONTROLLER_MEMORY, origin_of(&r->memory.swap)},
		{CONTROLLER_CPU, origin_of(&r->cpu.shares)},
		{CONTROLLER_CPU, origin_of(&r->cpu.quota)},
		{CONTROLLER_CPU, origin_of(&r->cpu.realtime_runtime)},
		{CONTROLLER_CPUSET,
		 r->cpu.cpus.value && r->cpu.cpus.value[0] ? r->cpu.cpus.origin : NULL},
		{CONTROLLER_CPUSET,
		 r->cpu.mems.value && r->cpu.mems.value[0] ? r->cpu.mems.origin : NULL},
		{CONTROLLER_PIDS, origin_of(&r->pids)},
		{CONTROLLER_IO, origin_of(&r->blkio.weight)},
		{CONTROLLER_IO, r->blkio.n_rates[THROTTLE_READ_BPS]
					? r->blkio.rates[THROTTLE_READ_BPS]->origin
					: NULL},
		{CONTROLLER_HUGETLB, r->n_hugepages ? r->hugepages->origin : NULL},
		{CONTROLLER_RDMA, r->n_rdma ? r->rdma->origin : NULL},
		{CONTROLLER_NET_CLS, origin_of(&r->net_class)},
		{CONTROLLER_NET_PRIO, r->n_net_priorities ? r->net_priorities->origin : NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		int result = check_controller(job, wanted[i].controller, wanted[i].origin);

		if (result < 0)
			return result;
	}
	return 0;
}

int resources_convert(struct arena *arena, const struct spec_resources *resources,
		      const struct host *host, struct resource_writes *ret_writes,
		      struct rb_err *err)
{
	struct resource_writes writes = {.arena = arena};
	struct resources_job job = {resources, host, &writes, err};
	int r;

	if ((r = check_controllers(&job)) < 0 || (r = resources_v1(&job)) < 0 ||
	    (r = resources_v2(&job)) < 0)
		return r;
	if (writes.failed)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "resources");
	*ret_writes = writes;
	return 0;
}
