/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which filter of system calls a step gets: the engine's default one, that of its description,
 * one that the peer has compiled, or none. Pure but for compiling.
 */
#include "plan/plan.h"
#include "worker/job.h"

/* One of the description itself; the planner would do it as well, but not tell how long it took. */
static int compile_filter(struct job *job, struct plan_options *options, struct rb_err *err)
{
	struct sock_filter *program = NULL;
	int r;

	if (job->inside || !job->spec.seccomp.present)
		return 0;
	r = seccomp_compile(&job->arena, &job->spec.seccomp, seccomp_native_arch(), &program,
			    &options->n_bpf, err);
	options->bpf = program;
	return r;
}

int job_choose_filter(struct job *job, struct plan_options *options, struct rb_err *err)
{
	const struct engine_filter *filter = &job->engine->filter;
	int r = 0;

	if (job->step->filter_fd != STEP_NO_FD)
		return job->hands->filter(job, options, err);
	if (!job->step->default_filter)
		return compile_filter(job, options, err);
	if (job->hands->is_on_fuse(job))
		r = engine_fuse_filter(job->engine, &filter, err);
	job->spec.seccomp = filter->profile;
	options->bpf = filter->bpf;
	options->n_bpf = filter->n_bpf;
	return r;
}
