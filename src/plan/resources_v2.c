/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits as files of cgroup v2. Pure. Where v2 has no equivalent a limit is refused, because a
 * container that runs without it would look as if it had one; what only tunes is left out.
 * Reference: the kernel's admin-guide/cgroup-v2.rst.
 */
#include "plan/resources_job.h"

/* Refuses a limit of v1 that v2 cannot express; 0 and "off" ask for nothing. */
static int v2_refuse(struct resources_job *job, const struct spec_number *number, const char *what)
{
	if (!number->present || number->value <= 0)
		return 0;
	err_set(job->err, RB_UNSUPPORTED, 0,
		"unable to apply cgroup configuration: cgroup v2 has no %s", what);
	err_origin(job->err, number->origin);
	err_fix(job->err, "remove the limit; it exists on cgroup v1 only");
	return -EINVAL;
}

/* A number of bytes, or "max" for -1. 0 means "not set", as with runc. */
static void v2_bytes(struct resources_job *job, const struct spec_number *number, const char *file)
{
	struct resource_write *w;

	if (!number->present || number->value == 0)
		return;
	w = resources_add(job, CONTROLLER_MEMORY, file, number->origin);
	if (number->value < 0)
		resources_value(job, w, "max");
	else
		resources_value(job, w, "%" PRId64, number->value);
}

/*
 * "swap" is memory and swap together; memory.swap.max is swap alone. An unlimited memory without
 * a word about swap is unlimited swap, as it was on v1.
 */
static int v2_swap(struct resources_job *job)
{
	const struct spec_memory *m = &job->resources->memory;
	struct resource_write *w;
	int64_t limit = m->limit.present ? m->limit.value : 0;
	int64_t swap = m->swap.present ? m->swap.value : 0;

	if (limit == -1 && swap == 0)
		swap = -1;
	if (swap == 0)
		return 0;
	if (swap > 0 && limit <= 0 && m->limit.present && limit == -1) {
		err_set(job->err, RB_CONFIG_CONFLICT, 0,
			"unable to set swap limit without memory limit");
		err_origin(job->err, m->swap.origin);
		return -EINVAL;
	}
	if (swap > 0 && limit == 0) {
		err_set(job->err, RB_CONFIG_CONFLICT, 0,
			"unable to set swap limit without memory limit");
		err_origin(job->err, m->swap.origin);
		err_fix(job->err, "set memory.limit as well: swap is the sum of both");
		return -EINVAL;
	}
	if (swap > 0 && swap < limit) {
		err_set(job->err, RB_CONFIG_CONFLICT, 0,
			"memory+swap limit %" PRId64 " should be >= memory limit %" PRId64, swap,
			limit);
		err_origin(job->err, m->swap.origin);
		return -EINVAL;
	}
	w = resources_add(job, CONTROLLER_MEMORY, "memory.swap.max",
			  m->swap.present ? m->swap.origin : m->limit.origin);
	if (swap < 0)
		resources_value(job, w, "max");
	else
		resources_value(job, w, "%" PRId64, swap - limit);
	/* a kernel without swap has no file, and no swap to limit */
	if (w && (swap < 0 || swap == limit))
		w->flags = RESOURCE_IF_EXISTS;
	return 0;
}

static int v2_memory(struct resources_job *job)
{
	const struct spec_memory *m = &job->resources->memory;
	int r;

	if (!resources_on_v2(job, CONTROLLER_MEMORY))
		return 0;
	if ((r = v2_refuse(job, &m->kernel, "limit of kernel memory alone")) < 0 ||
	    (r = v2_refuse(job, &m->kernel_tcp, "limit of TCP memory alone")) < 0 ||
	    (r = v2_swap(job)) < 0)
		return r;
	v2_bytes(job, &m->limit, "memory.max");
	v2_bytes(job, &m->reservation, "memory.low");
	return 0;
}

static int v2_cpu(struct resources_job *job)
{
	const struct spec_cpu *cpu = &job->resources->cpu;
	struct resource_write *w;
	int r;

	if (!resources_on_v2(job, CONTROLLER_CPU))
		return 0;
	if ((r = v2_refuse(job, &cpu->realtime_runtime, "budget for real-time tasks")) < 0)
		return r;
	if (cpu->idle.present) {
		w = resources_add(job, CONTROLLER_CPU, "cpu.idle", cpu->idle.origin);
		resources_value(job, w, "%" PRId64, cpu->idle.value);
	}
	/* a weight is refused by the kernel (EINVAL) while cpu.idle is 1 */
	if (cpu->shares.present && cpu->shares.value != 0 &&
	    !(cpu->idle.present && cpu->idle.value == 1)) {
		w = resources_add(job, CONTROLLER_CPU, "cpu.weight", cpu->shares.origin);
		resources_value(job, w, "%" PRIu64,
				resources_cpu_weight((uint64_t)cpu->shares.value));
	}
	/* a burst above the new quota, or a quota below the old burst, is refused: 0 first */
	if (cpu->burst.present) {
		w = resources_add(job, CONTROLLER_CPU, "cpu.max.burst", cpu->burst.origin);
		resources_value(job, w, "0");
		if (w)
			w->flags = RESOURCE_IF_EXISTS;
	}
	if ((cpu->quota.present && cpu->quota.value) ||
	    (cpu->period.present && cpu->period.value)) {
		bool quota = cpu->quota.present && cpu->quota.value > 0;
		int64_t period = cpu->period.present && cpu->period.value ? cpu->period.value
									  : 100000;

		w = resources_add(job, CONTROLLER_CPU, "cpu.max",
				  quota ? cpu->quota.origin : cpu->period.origin);
		if (quota)
			resources_value(job, w, "%" PRId64 " %" PRId64, cpu->quota.value, period);
		else
			resources_value(job, w, "max %" PRId64, period);
	}
	if (cpu->burst.present && cpu->burst.value) {
		w = resources_add(job, CONTROLLER_CPU, "cpu.max.burst", cpu->burst.origin);
		resources_value(job, w, "%" PRId64, cpu->burst.value);
	}
	return 0;
}

static void v2_cpuset(struct resources_job *job)
{
	const struct spec_cpu *cpu = &job->resources->cpu;
	const struct {
		const struct spec_text *text;
		const char *file;
	} files[] = {{&cpu->cpus, "cpuset.cpus"}, {&cpu->mems, "cpuset.mems"}};

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct resource_write *w;

		if (!files[i].text->value || !files[i].text->value[0] ||
		    !resources_on_v2(job, CONTROLLER_CPUSET))
			continue;
		w = resources_add(job, CONTROLLER_CPUSET, files[i].file, files[i].text->origin);
		if (w)
			w->value = files[i].text->value;
	}
}

static void v2_pids(struct resources_job *job)
{
	const struct spec_number *pids = &job->resources->pids;
	struct resource_write *w;

	if (!pids->present || pids->value == 0 || !resources_on_v2(job, CONTROLLER_PIDS))
		return;
	w = resources_add(job, CONTROLLER_PIDS, "pids.max", pids->origin);
	if (pids->value < 0)
		resources_value(job, w, "max");
	else
		resources_value(job, w, "%" PRId64, pids->value);
}

/* BFQ and the cost model are two implementations of weights, each with a file of its own. */
static void v2_io_weight(struct resources_job *job, const struct spec_number *weight,
			 const char *device)
{
	struct resource_write *w;

	if (!weight->present || weight->value == 0)
		return;
	w = resources_add(job, CONTROLLER_IO, "io.bfq.weight", weight->origin);
	resources_value(job, w, "%s%" PRId64, device, weight->value);
	if (w)
		w->flags = RESOURCE_IF_EXISTS;
	w = resources_add(job, CONTROLLER_IO, "io.weight", weight->origin);
	resources_value(job, w, "%s%" PRIu64, device[0] ? device : "default ",
			resources_io_weight((uint64_t)weight->value));
	if (w)
		w->flags = RESOURCE_ELSE;
}

static void v2_io(struct resources_job *job)
{
	static const char *const keys[THROTTLE_KINDS] = {"rbps", "wbps", "riops", "wiops"};
	const struct spec_blkio *io = &job->resources->blkio;

	if (!resources_on_v2(job, CONTROLLER_IO))
		return;
	v2_io_weight(job, &io->weight, "");
	for (size_t i = 0; i < io->n_devices; i++) {
		char device[32];

		snprintf(device, sizeof(device), "%u:%u ", io->devices[i].major,
			 io->devices[i].minor);
		v2_io_weight(job, &io->devices[i].weight, device);
	}
	for (size_t kind = 0; kind < THROTTLE_KINDS; kind++) {
		for (size_t i = 0; i < io->n_rates[kind]; i++) {
			const struct spec_blkio_rate *rate = &io->rates[kind][i];
			struct resource_write *w = resources_add(job, CONTROLLER_IO, "io.max",
								 rate->origin);

			if (rate->rate == 0) /* blkio's way to say "no limit" */
				resources_value(job, w, "%u:%u %s=max", rate->major, rate->minor,
						keys[kind]);
			else
				resources_value(job, w, "%u:%u %s=%" PRIu64, rate->major,
						rate->minor, keys[kind], rate->rate);
		}
	}
}

static void v2_hugetlb(struct resources_job *job)
{
	const struct spec_resources *r = job->resources;

	for (size_t i = 0; resources_on_v2(job, CONTROLLER_HUGETLB) && i < r->n_hugepages; i++) {
		static const char *const files[] = {"max", "rsvd.max"};

		for (size_t k = 0; k < ARRAY_LEN(files); k++) {
			const char *file = arena_printf(job->writes->arena, "hugetlb.%s.%s",
							r->hugepages[i].size, files[k]);
			struct resource_write *w = resources_add(job, CONTROLLER_HUGETLB, file,
								 r->hugepages[i].origin);

			resources_value(job, w, "%" PRIu64, r->hugepages[i].limit);
			/* reservations are counted since Linux 5.7 */
			if (w && k == 1)
				w->flags = RESOURCE_IF_EXISTS;
		}
	}
}

/* rdma.max is the same file on both. */
static void rdma_writes(struct resources_job *job)
{
	const struct spec_resources *r = job->resources;

	for (size_t i = 0; resources_on_v2(job, CONTROLLER_RDMA) && i < r->n_rdma; i++) {
		const struct spec_rdma *rdma = &r->rdma[i];
		struct resource_write *w = resources_add(job, CONTROLLER_RDMA, "rdma.max",
							 rdma->origin);

		if (rdma->handles.present && rdma->objects.present)
			resources_value(job, w, "%s hca_handle=%" PRId64 " hca_object=%" PRId64,
					rdma->device, rdma->handles.value, rdma->objects.value);
		else if (rdma->handles.present)
			resources_value(job, w, "%s hca_handle=%" PRId64, rdma->device,
					rdma->handles.value);
		else if (rdma->objects.present)
			resources_value(job, w, "%s hca_object=%" PRId64, rdma->device,
					rdma->objects.value);
	}
}

/* "unified": config-linux.md#unified. The file's first word is its controller. */
static int v2_unified(struct resources_job *job)
{
	const struct spec_resources *r = job->resources;

	for (size_t i = 0; i < r->n_unified; i++) {
		const struct spec_unified *u = &r->unified[i];
		size_t len = strcspn(u->file, ".");
		int controller = -1;
		struct resource_write *w;

		if (job->host->cgroup_mode != HOST_CGROUP_V2) {
			err_set(job->err, RB_CGROUP_CONTROLLER, 0,
				"unable to apply cgroup configuration: invalid configuration: "
				"unified resources need cgroup v2");
			err_origin(job->err, u->origin);
			err_fix(job->err, "remove \"unified\": this host has cgroup v1");
			return -EINVAL;
		}
		for (int c = 0; c < CONTROLLERS; c++)
			if (strlen(host_controller_names[c]) == len &&
			    memcmp(host_controller_names[c], u->file, len) == 0)
				controller = c;
		if (controller >= 0 && !(job->host->cgroup_v2 >> controller & 1)) {
			err_set(job->err, RB_CGROUP_CONTROLLER, 0,
				"unable to set unified resource \"%s\": controller \"%.*s\" not "
				"available",
				u->file, (int)len, u->file);
			err_origin(job->err, u->origin);
			return -EINVAL;
		}
		/* unknown ones go to the kernel: it may be newer than we are */
		w = resources_add(job,
				  controller >= 0 ? (enum host_controller)controller : CONTROLLERS,
				  u->file, u->origin);
		if (w) {
			w->v2 = true;
			w->value = u->value;
		}
	}
	return 0;
}

int resources_v2(struct resources_job *job)
{
	int r;

	if ((r = v2_memory(job)) < 0 || (r = v2_cpu(job)) < 0)
		return r;
	v2_cpuset(job);
	v2_pids(job);
	v2_io(job);
	v2_hugetlb(job);
	rdma_writes(job);
	return v2_unified(job);
}
