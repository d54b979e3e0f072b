/* SPDX-License-Identifier: Apache-2.0 */
/* A step's result in words of JSON: runbuild-protocol(7), "Result". No system calls but readdir. */
#include "base/strbuf.h"
#include "worker/job.h"

static int64_t timeval_us(struct timeval time)
{
	return (int64_t)time.tv_sec * 1000000 + time.tv_usec;
}

static void add_usage(const struct job *job, struct strbuf *out)
{
	const struct rusage *usage = &job->usage;

	strbuf_printf(out,
		      "\"usage\":{\"wallUsec\":%" PRId64 ",\"utimeUsec\":%" PRId64
		      ",\"stimeUsec\":%" PRId64 ",\"maxRssKib\":%ld,\"minflt\":%ld,\"majflt\":%ld,"
		      "\"inblock\":%ld,\"oublock\":%ld,\"nvcsw\":%ld,\"nivcsw\":%ld}",
		      job->ended_us - job->started_us, timeval_us(usage->ru_utime),
		      timeval_us(usage->ru_stime), usage->ru_maxrss, usage->ru_minflt,
		      usage->ru_majflt, usage->ru_inblock, usage->ru_oublock, usage->ru_nvcsw,
		      usage->ru_nivcsw);
}

static void add_figure(struct strbuf *out, const char *name, uint64_t value)
{
	if (value != UINT64_MAX)
		strbuf_printf(out, "%s\"%s\":%" PRIu64, out->text[out->len - 1] == '{' ? "" : ",",
			      name, value);
}

void job_add_cgroup(const struct job *job, struct strbuf *out)
{
	struct cgroup_figures figures = job->figures;

	if (!job->has_figures &&
	    (job->state < JOB_RUNNING || job->state > JOB_ENDED || !job->launch.group.n)) {
		strbuf_add(out, "\"oom\":null,\"cgroup\":null");
		return;
	}
	if (!job->has_figures)
		cgroup_figures(&job->launch.group, &figures);
	strbuf_printf(out, "\"oom\":{\"killed\":%s,\"count\":%" PRIu64 "},\"cgroup\":{",
		      figures.oom_kills ? "true" : "false", figures.oom_kills);
	add_figure(out, "memoryPeak", figures.memory_peak);
	add_figure(out, "cpuUsageUsec", figures.cpu_usage_us);
	add_figure(out, "pidsPeak", figures.pids_peak);
	add_figure(out, "ioReadBytes", figures.io_read);
	add_figure(out, "ioWriteBytes", figures.io_write);
	strbuf_add_char(out, '}');
}

static void add_snapshot(const struct job *job, struct strbuf *out)
{
	const struct step_snapshot *snapshot = job->step->root_snapshot;

	if (!snapshot || !job->driver)
		return;
	strbuf_add(out, ",\"snapshot\":{\"driver\":");
	strbuf_add_json(out, job->driver);
	if (snapshot->upper) {
		strbuf_add(out, ",\"upper\":");
		strbuf_add_json(out, snapshot->upper);
	}
	strbuf_add_char(out, '}');
}

void job_result(const struct job *job, struct strbuf *out)
{
	strbuf_add(out, "\"step\":");
	strbuf_add_json(out, job->inside ? job->inside->step->id : job->step->id);
	if (job->inside) {
		strbuf_add(out, ",\"exec\":");
		strbuf_add_json(out, job->step->id);
	}
	strbuf_printf(out, ",\"ok\":%s,", job_is_ok(job) ? "true" : "false");
	if (job->signal)
		strbuf_printf(out, "\"code\":null,\"signal\":\"%s\"",
			      sigabbrev_np(job->signal) ? sigabbrev_np(job->signal) : "RT");
	else
		strbuf_printf(out, "\"code\":%d,\"signal\":null", job->code);
	strbuf_printf(out, ",\"cancelled\":%s,\"timedOut\":%s,", job->cancelled ? "true" : "false",
		      job->timed_out ? "true" : "false");
	add_usage(job, out);
	strbuf_add_char(out, ',');
	job_add_cgroup(job, out);
	strbuf_printf(out,
		      ",\"setupUsec\":{\"mount\":%" PRId64 ",\"net\":%" PRId64 ",\"idmap\":%" PRId64
		      ",\"seccomp\":%" PRId64 ",\"exec\":%" PRId64 "}",
		      job->mounted_us - job->began_us, job->launch.net_us, job->launch.idmap_us,
		      job->filter_us, job->started_us - job->mounted_us);
	add_snapshot(job, out);
}

struct change_list {
	struct strbuf *out;
	size_t n, limit;
	bool more;
	char *last;
	struct arena *arena;
};

static bool add_change(const struct snap_change *change, void *context)
{
	struct change_list *list = context;

	if (list->n == list->limit) {
		list->more = true;
		return false;
	}
	strbuf_printf(list->out, "%s{\"path\":", list->n ? "," : "");
	strbuf_add_json(list->out, change->path);
	strbuf_printf(list->out, ",\"kind\":\"%c\",\"type\":\"%c\",\"size\":%" PRIu64 "}",
		      change->kind, change->type, change->size);
	list->n++;
	list->last = arena_strdup(list->arena, change->path);
	return true;
}

int snapshot_changes_json(struct arena *arena, const struct snap_spec *spec, const char *cursor,
			  size_t limit, struct strbuf *out, struct rb_err *err)
{
	struct change_list list = {.out = out, .limit = limit, .arena = arena};
	int r;

	strbuf_add(out, "\"changes\":[");
	r = snap_changes(arena, spec, cursor, add_change, &list, err);
	strbuf_add_char(out, ']');
	if (list.more && list.last) {
		strbuf_add(out, ",\"cursor\":");
		strbuf_add_json(out, list.last);
	}
	return r;
}

int job_changes(struct job *job, const char *cursor, size_t limit, struct strbuf *out,
		struct rb_err *err)
{
	struct snap_spec spec;

	if (!job->step->root_snapshot) {
		err_set(err, RB_UNSUPPORTED, 0, "the root of this step is not a snapshot");
		return -ENOTSUP;
	}
	job_snap_spec(job->engine, job->step->root_snapshot, &spec);
	return snapshot_changes_json(&job->arena, &spec, cursor, limit, out, err);
}
