/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What resources.c, its halves for v1 and v2, resources_write.c and devices.c share. Private to plan/. */
#include "plan/resources.h"

struct bpf_insn;

struct resources_job {
	const struct spec_resources *resources;
	const struct host *host;
	struct resource_writes *writes;
	struct rb_err *err;
};

struct resource_write *resources_add(struct resources_job *job, enum host_controller controller,
				     const char *file, const char *origin);
void resources_value(struct resources_job *job, struct resource_write *write, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
int resources_v2(struct resources_job *job);
int resources_v1(struct resources_job *job);

/* Where a controller is on this host. */
static inline bool resources_on_v1(const struct resources_job *job, enum host_controller controller)
{
	return (job->host->cgroup_v1 >> controller & 1) != 0;
}

static inline bool resources_on_v2(const struct resources_job *job, enum host_controller controller)
{
	return !resources_on_v1(job, controller) && (job->host->cgroup_v2 >> controller & 1);
}

/*
 * Device rules: the list of the configuration, then the devices that every container has
 * (config-linux.md#default-devices), reduced as the v1 controller reduces it.
 */
struct device_exception {
	char type;            /* 'b' or 'c' */
	int64_t major, minor; /* -1: any */
	unsigned access;
};

struct device_policy {
	bool allow; /* what holds for devices without an exception */
	struct device_exception *v;
	size_t n;
};

int devices_reduce(struct arena *arena, const struct spec_resources *resources,
		   struct device_policy *ret_policy, struct rb_err *err);

/* The same as a program of type BPF_PROG_TYPE_CGROUP_DEVICE: it returns 1 for "allowed". */
int devices_compile(struct arena *arena, const struct device_policy *policy,
		    struct bpf_insn **ret_program, size_t *ret_n, struct rb_err *err);

/* And as writes to devices.deny and devices.allow. */
void devices_write_v1(struct resources_job *job, const struct device_policy *policy);
