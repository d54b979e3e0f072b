/* SPDX-License-Identifier: Apache-2.0 */
/* What v1 and v2 share in turning linux.resources into writes, and the two scales. Pure. */
#include "plan/resources_job.h"

struct resource_write *resources_add(struct resources_job *job, enum host_controller controller,
				     const char *file, const char *origin)
{
	struct resource_writes *w = job->writes;

	if (w->n == w->room) {
		size_t room = w->room ? 2 * w->room : 16;
		/* one spare entry takes the writes that memory did not suffice for */
		struct resource_write *v = arena_array(w->arena, room + 1, sizeof(*v));

		if (!v) {
			w->failed = true;
			if (!w->v)
				return NULL;
			return &w->v[w->room];
		}
		if (w->n)
			memcpy(v, w->v, w->n * sizeof(*v));
		w->v = v;
		w->room = room;
	}
	w->v[w->n] = (struct resource_write){
		.controller = controller,
		.v2 = !resources_on_v1(job, controller),
		.file = file,
		.value = "",
		.origin = origin,
	};
	return &w->v[w->n++];
}

void resources_value(struct resources_job *job, struct resource_write *write, const char *fmt, ...)
{
	char text[256];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (!write || len < 0 || (size_t)len >= sizeof(text) ||
	    !(write->value = arena_strndup(job->writes->arena, text, (size_t)len)))
		job->writes->failed = true;
}

/*
 * In a straight line from (2, 1) to (262144, 10000), as runc 1.1 and crun 1.8, whose clients
 * check the value. It makes 39 of the default 1024, where the kernel's default is 100; runtimes
 * since 2025 bend the line through that point.
 */
uint64_t resources_cpu_weight(uint64_t shares)
{
	if (shares < 2)
		shares = 2;
	if (shares > 262144)
		shares = 262144;
	return 1 + (shares - 2) * 9999 / 262142;
}

/* 10..1000 to 1..10000, in a straight line. */
uint64_t resources_io_weight(uint64_t weight)
{
	return weight < 10 ? 1 : 1 + (weight - 10) * 9999 / 990;
}
