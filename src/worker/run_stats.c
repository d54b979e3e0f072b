/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a step while it lives: for `stats`, and for `step.stats` where that was asked
 * for. Runs in the worker; reads the step's cgroup.
 */
#include "worker/worker_private.h"

const char *run_state_name(const struct run *run)
{
	switch (run->job.state) {
	case JOB_NEW:
	case JOB_MOUNTING: return "mounting";
	case JOB_LAUNCHING: return "starting";
	case JOB_RUNNING:
	case JOB_CLOSING: return "running";
	default: return "ended";
	}
}

void run_add_name(const struct run *run, struct strbuf *out)
{
	strbuf_add(out, "\"step\":");
	strbuf_add_json(out, run->job.inside ? run->job.inside->step->id : run->step.id);
	if (run->job.inside) {
		strbuf_add(out, ",\"exec\":");
		strbuf_add_json(out, run->step.id);
	}
}

void run_stats(const struct run *run, struct strbuf *out)
{
	const struct job *job = &run->job;
	int64_t end = job->ended_us ? job->ended_us : sys_now_us();

	run_add_name(run, out);
	strbuf_printf(out,
		      ",\"state\":\"%s\",\"wallUsec\":%" PRId64 ",\"output\":{\"1\":%" PRIu64
		      ",\"2\":%" PRIu64 "},",
		      run_state_name(run), job->started_us ? end - job->started_us : 0,
		      run->streams[0].off, run->streams[1].off);
	job_add_cgroup(job, out);
}

void run_tell_stats(struct run *run)
{
	struct strbuf out = {0};

	notify_begin(&out, "step.stats");
	run_stats(run, &out);
	message_end(&out);
	connection_send(run->owner, &out, -1);
}
