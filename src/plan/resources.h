/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * linux.resources as writes to files of the cgroup file system, for the controllers that this
 * host has on v2 and on v1. Pure. launch/ writes them when a container is made, `update` later.
 */
#include "host/host.h"
#include "spec/spec.h"

enum resource_flags {
	/* the file may be missing: the value is what its absence means, or an alternative follows */
	RESOURCE_IF_EXISTS = 1 << 0,
	RESOURCE_ELSE = 1 << 1, /* only when the write before found no file */
	/* v1: the kernel takes memory and swap limits in one order only, depending on what is set */
	RESOURCE_MAY_WAIT = 1 << 2,
};

struct resource_write {
	enum host_controller controller;
	bool v2;
	unsigned flags; /* enum resource_flags */
	const char *file;
	const char *value;
	const char *origin; /* JSON pointer of the limit */
};

struct resource_writes {
	struct arena *arena;
	struct resource_write *v;
	size_t n, room;
	bool failed; /* memory ran out */
};

/*
 * All writes for the resources but those for devices, in the order in which they must be made.
 * Errors: RB_CGROUP_CONTROLLER (this host has no such controller), RB_UNSUPPORTED (v1 only, but
 * the controller is on v2), RB_CONFIG_VALUE, RB_CONFIG_CONFLICT.
 */
int resources_convert(struct arena *arena, const struct spec_resources *resources,
		      const struct host *host, struct resource_writes *ret_writes,
		      struct rb_err *err);

/* cgroup v2 has other scales: shares 2..262144 to weight 1..10000, and 10..1000 likewise. */
uint64_t resources_cpu_weight(uint64_t shares);
uint64_t resources_io_weight(uint64_t weight);
