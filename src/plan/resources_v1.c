/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits as files of cgroup v1, for the controllers that this host has there. Pure.
 * Reference: the kernel's admin-guide/cgroup-v1/.
 */
#include "plan/resources_job.h"

struct v1_number {
	const struct spec_number *number;
	enum host_controller controller;
	const char *file;
	unsigned flags;
	bool zero; /* 0 is a value, not "not set" */
};

static void v1_number(struct resources_job *job, const struct v1_number *n)
{
	struct resource_write *w;

	if (!n->number->present || (n->number->value == 0 && !n->zero) ||
	    !resources_on_v1(job, n->controller))
		return;
	w = resources_add(job, n->controller, n->file, n->number->origin);
	resources_value(job, w, "%" PRId64, n->number->value);
	if (w)
		w->flags = n->flags;
}

static int v1_memory(struct resources_job *job)
{
	const struct spec_memory *m = &job->resources->memory;
	/* without swap accounting there is no memsw file; then "unlimited" needs none */
	unsigned swap_flags = RESOURCE_MAY_WAIT | (m->swap.value < 0 ? RESOURCE_IF_EXISTS : 0);
	const struct v1_number numbers[] = {
		{&m->limit, CONTROLLER_MEMORY, "memory.limit_in_bytes", RESOURCE_MAY_WAIT, false},
		{&m->swap, CONTROLLER_MEMORY, "memory.memsw.limit_in_bytes", swap_flags, false},
		{&m->reservation, CONTROLLER_MEMORY, "memory.soft_limit_in_bytes", 0, false},
		/* gone since Linux 5.16, where memory.limit_in_bytes counts it */
		{&m->kernel, CONTROLLER_MEMORY, "memory.kmem.limit_in_bytes", RESOURCE_IF_EXISTS,
		 false},
		{&m->kernel_tcp, CONTROLLER_MEMORY, "memory.kmem.tcp.limit_in_bytes", 0, false},
	};
	struct resource_write *w;

	if (m->swap.present && m->swap.value > 0 && m->limit.present && m->limit.value > 0 &&
	    m->swap.value < m->limit.value && resources_on_v1(job, CONTROLLER_MEMORY)) {
		err_set(job->err, RB_CONFIG_CONFLICT, 0,
			"memory+swap limit %" PRId64 " should be >= memory limit %" PRId64,
			m->swap.value, m->limit.value);
		err_origin(job->err, m->swap.origin);
		return -EINVAL;
	}
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		v1_number(job, &numbers[i]);
	if (!resources_on_v1(job, CONTROLLER_MEMORY))
		return 0;
	/* -1 is what some clients write for "leave it" */
	if (m->swappiness.present && m->swappiness.value >= 0) {
		w = resources_add(job, CONTROLLER_MEMORY, "memory.swappiness",
				  m->swappiness.origin);
		resources_value(job, w, "%" PRId64, m->swappiness.value);
	}
	if (m->disable_oom_killer.present && m->disable_oom_killer.value) {
		w = resources_add(job, CONTROLLER_MEMORY, "memory.oom_control",
				  m->disable_oom_killer.origin);
		resources_value(job, w, "1");
	}
	return 0;
}

/* Periods before the quotas that must fit into them, and 0 before a burst as on v2. */
static void v1_cpu(struct resources_job *job)
{
	const struct spec_cpu *c = &job->resources->cpu;
	const struct v1_number numbers[] = {
		{&c->idle, CONTROLLER_CPU, "cpu.idle", 0, true},
		{&c->shares, CONTROLLER_CPU, "cpu.shares", 0, false},
		{&c->realtime_period, CONTROLLER_CPU, "cpu.rt_period_us", RESOURCE_MAY_WAIT, false},
		{&c->realtime_runtime, CONTROLLER_CPU, "cpu.rt_runtime_us", RESOURCE_MAY_WAIT,
		 false},
		{&c->period, CONTROLLER_CPU, "cpu.cfs_period_us", RESOURCE_MAY_WAIT, false},
		{&c->quota, CONTROLLER_CPU, "cpu.cfs_quota_us", RESOURCE_MAY_WAIT, false},
		{&c->burst, CONTROLLER_CPU, "cpu.cfs_burst_us", 0, true},
	};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		/* shares of an idle group cannot be set */
		if (numbers[i].number == &c->shares && c->idle.present && c->idle.value == 1)
			continue;
		v1_number(job, &numbers[i]);
	}
}

static void v1_cpuset(struct resources_job *job)
{
	const struct spec_cpu *cpu = &job->resources->cpu;
	const struct {
		const struct spec_text *text;
		const char *file;
	} files[] = {{&cpu->cpus, "cpuset.cpus"}, {&cpu->mems, "cpuset.mems"}};

	for (size_t i = 0; resources_on_v1(job, CONTROLLER_CPUSET) && i < ARRAY_LEN(files); i++) {
		struct resource_write *w;

		if (!files[i].text->value || !files[i].text->value[0])
			continue;
		w = resources_add(job, CONTROLLER_CPUSET, files[i].file, files[i].text->origin);
		if (w)
			w->value = files[i].text->value;
	}
}

static void v1_pids(struct resources_job *job)
{
	const struct spec_number *pids = &job->resources->pids;
	struct resource_write *w;

	if (!pids->present || pids->value == 0 || !resources_on_v1(job, CONTROLLER_PIDS))
		return;
	w = resources_add(job, CONTROLLER_PIDS, "pids.max", pids->origin);
	if (pids->value < 0)
		resources_value(job, w, "max");
	else
		resources_value(job, w, "%" PRId64, pids->value);
}

/* CFQ's file went away with CFQ in Linux 5.0; BFQ has its own. */
static void v1_weight(struct resources_job *job, const struct spec_number *weight,
		      const char *const files[2], const char *device)
{
	for (size_t i = 0; weight->present && weight->value && i < 2; i++) {
		struct resource_write *w = resources_add(job, CONTROLLER_IO, files[i],
							 weight->origin);

		resources_value(job, w, "%s%" PRId64, device, weight->value);
		if (w)
			w->flags = i == 0 ? RESOURCE_IF_EXISTS : RESOURCE_ELSE;
	}
}

static void v1_blkio(struct resources_job *job)
{
	static const char *const weights[2] = {"blkio.weight", "blkio.bfq.weight"};
	static const char *const leaves[2] = {"blkio.leaf_weight", "blkio.bfq.leaf_weight"};
	static const char *const devices[2] = {"blkio.weight_device", "blkio.bfq.weight_device"};
	static const char *const rates[THROTTLE_KINDS] = {
		"blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device",
		"blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device"};
	const struct spec_blkio *io = &job->resources->blkio;

	if (!resources_on_v1(job, CONTROLLER_IO))
		return;
	v1_weight(job, &io->weight, weights, "");
	v1_weight(job, &io->leaf_weight, leaves, "");
	for (size_t i = 0; i < io->n_devices; i++) {
		char device[32];

		snprintf(device, sizeof(device), "%u:%u ", io->devices[i].major,
			 io->devices[i].minor);
		v1_weight(job, &io->devices[i].weight, devices, device);
	}
	for (size_t kind = 0; kind < THROTTLE_KINDS; kind++) {
		for (size_t i = 0; i < io->n_rates[kind]; i++) {
			const struct spec_blkio_rate *rate = &io->rates[kind][i];
			struct resource_write *w = resources_add(job, CONTROLLER_IO, rates[kind],
								 rate->origin);

			resources_value(job, w, "%u:%u %" PRIu64, rate->major, rate->minor,
					rate->rate);
		}
	}
}

static void v1_hugetlb(struct resources_job *job)
{
	const struct spec_resources *r = job->resources;

	for (size_t i = 0; resources_on_v1(job, CONTROLLER_HUGETLB) && i < r->n_hugepages; i++) {
		const char *file = arena_printf(job->writes->arena, "hugetlb.%s.limit_in_bytes",
						r->hugepages[i].size);
		struct resource_write *w = resources_add(job, CONTROLLER_HUGETLB, file,
							 r->hugepages[i].origin);

		resources_value(job, w, "%" PRIu64, r->hugepages[i].limit);
	}
}

static void v1_network(struct resources_job *job)
{
	const struct spec_resources *r = job->resources;
	const struct v1_number class = {&r->net_class, CONTROLLER_NET_CLS, "net_cls.classid", 0,
					false};

	v1_number(job, &class);
	for (size_t i = 0; resources_on_v1(job, CONTROLLER_NET_PRIO) && i < r->n_net_priorities;
	     i++) {
		struct resource_write *w = resources_add(job, CONTROLLER_NET_PRIO,
							 "net_prio.ifpriomap",
							 r->net_priorities[i].origin);

		resources_value(job, w, "%s %u", r->net_priorities[i].interface,
				r->net_priorities[i].priority);
	}
}

static void v1_rdma(struct resources_job *job)
{
	const struct spec_resources *r = job->resources;

	for (size_t i = 0; resources_on_v1(job, CONTROLLER_RDMA) && i < r->n_rdma; i++) {
		struct resource_write *w = resources_add(job, CONTROLLER_RDMA, "rdma.max",
							 r->rdma[i].origin);
		char handles[40] = "";
		char objects[40] = "";

		if (r->rdma[i].handles.present)
			snprintf(handles, sizeof(handles), " hca_handle=%" PRId64,
				 r->rdma[i].handles.value);
		if (r->rdma[i].objects.present)
			snprintf(objects, sizeof(objects), " hca_object=%" PRId64,
				 r->rdma[i].objects.value);
		resources_value(job, w, "%s%s%s", r->rdma[i].device, handles, objects);
	}
}

int resources_v1(struct resources_job *job)
{
	int r;

	if (job->host->cgroup_v1 == 0)
		return 0;
	if ((r = v1_memory(job)) < 0)
		return r;
	v1_cpu(job);
	v1_cpuset(job);
	v1_pids(job);
	v1_blkio(job);
	v1_hugetlb(job);
	v1_network(job);
	v1_rdma(job);
	return 0;
}
