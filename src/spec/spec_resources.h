/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * linux.resources as checked data: runtime-spec config-linux.md#control-groups. Values are those
 * of the document, in its units; what they become on cgroup v1 and v2 is plan/resources.h.
 */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"

struct strbuf;

/* A number that may be absent. */
struct spec_number {
	bool present;
	int64_t value;
	const char *origin; /* JSON pointer */
};

struct spec_text {
	const char *value; /* NULL: absent */
	const char *origin;
};

struct spec_memory {
	struct spec_number limit, reservation, swap; /* bytes; -1: unlimited */
	struct spec_number kernel, kernel_tcp;       /* bytes; v1 only */
	struct spec_number swappiness;               /* 0 to 100; v1 only */
	struct spec_number disable_oom_killer;       /* 0, 1; v1 only */
	struct spec_number use_hierarchy;            /* 0, 1; what every kernel does anyway */
	struct spec_number check_before_update;      /* 0, 1 */
};

struct spec_cpu {
	struct spec_number shares, quota, burst, period; /* times in microseconds */
	struct spec_number realtime_runtime, realtime_period;
	struct spec_number idle; /* 0, 1 */
	struct spec_text cpus, mems;
};

struct spec_blkio_weight {
	uint32_t major, minor;
	struct spec_number weight, leaf_weight;
};

struct spec_blkio_rate {
	uint32_t major, minor;
	uint64_t rate; /* bytes or operations per second */
	const char *origin;
};

enum spec_throttle {
	THROTTLE_READ_BPS,
	THROTTLE_WRITE_BPS,
	THROTTLE_READ_IOPS,
	THROTTLE_WRITE_IOPS,
	THROTTLE_KINDS
};

struct spec_blkio {
	struct spec_number weight, leaf_weight; /* 10 to 1000 */
	const struct spec_blkio_weight *devices;
	size_t n_devices;
	const struct spec_blkio_rate *rates[THROTTLE_KINDS];
	size_t n_rates[THROTTLE_KINDS];
};

struct spec_hugepages {
	const char *size; /* "2MB" */
	uint64_t limit;   /* bytes */
	const char *origin;
};

struct spec_net_priority {
	const char *interface;
	uint32_t priority;
	const char *origin;
};

struct spec_rdma {
	const char *device;
	struct spec_number handles, objects;
	const char *origin;
};

/* One file of cgroup v2, written as it is. */
struct spec_unified {
	const char *file, *value;
	const char *origin;
};

enum spec_device_access { DEVICE_MKNOD = 1, DEVICE_READ = 2, DEVICE_WRITE = 4 };

struct spec_device_rule {
	bool allow;
	char type;            /* 'a', 'b' or 'c' */
	int64_t major, minor; /* -1: any */
	unsigned access;      /* enum spec_device_access */
	const char *origin;
};

struct spec_resources {
	bool present;
	const char *origin;
	struct spec_memory memory;
	struct spec_cpu cpu;
	struct spec_number pids; /* processes; -1: unlimited */
	struct spec_blkio blkio;
	const struct spec_hugepages *hugepages;
	size_t n_hugepages;
	struct spec_number net_class;
	const struct spec_net_priority *net_priorities;
	size_t n_net_priorities;
	const struct spec_rdma *rdma;
	size_t n_rdma;
	const struct spec_unified *unified;
	size_t n_unified;
	const struct spec_device_rule *devices;
	size_t n_devices;
};

/*
 * Reads an object of the form of linux.resources over what *resources holds: members that are
 * absent stay as they are, so that `update` can lay one over another. Pure.
 * Errors: RB_CONFIG_* with the pointer of the offending element.
 */
int spec_parse_resources(struct arena *arena, const struct json_node *node,
			 struct spec_resources *resources, struct rb_err *err);

/*
 * The scalar members and "unified" as JSON that spec_parse_resources() reads back: what `update`
 * remembers. Lists (devices, rates, huge pages) are not remembered; no later update depends on
 * them.
 */
void spec_print_resources(const struct spec_resources *resources, struct strbuf *out);

/* Does it ask for a limit? Device rules and an empty object do not. */
bool spec_resources_limit(const struct spec_resources *resources);
