/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What would be done for a step, without doing it: the plan of a child of its own, or the two
 * parts that a worker splits it into when a child is waiting. No snapshot is mounted, no child
 * made, no directory but the root's /etc looked into; what is decided only when the step begins
 * stands in the notes.
 */
#include <linux/capability.h>
#include "base/sys.h"
#include "worker/job.h"

static void note(struct job_explanation *e, struct arena *arena, const char *text)
{
	if (text && e->n_notes < ARRAY_LEN(e->notes))
		e->notes[e->n_notes++] = arena_strdup(arena, text);
}

/* The number of a mount that the child is handed. */
static uint32_t hand(struct job *job, struct job_explanation *e, const char *text)
{
	note(e, &job->arena,
	     arena_printf(&job->arena, "handed mount %zu: %s", job->handed.n_mounts, text));
	return (uint32_t)++job->handed.n_mounts;
}

static const char *snapshot_text(struct arena *arena, const struct step_snapshot *snapshot)
{
	const char *text = arena_printf(
		arena, "a snapshot of %zu lower director%s%s%s, driver %s", snapshot->lower.n,
		snapshot->lower.n == 1 ? "y" : "ies", snapshot->upper ? " and the upper one " : "",
		snapshot->upper ? snapshot->upper : ", read-only", snapshot->driver);

	return text ? text : "a snapshot";
}

static void hand_root(struct job *job, bool parts, struct job_explanation *e)
{
	const struct step *step = job->step;
	const char *text = NULL;

	if (step->root == STEP_SNAPSHOT)
		text = snapshot_text(&job->arena, step->root_snapshot);
	else if (step->root == STEP_FD)
		text = "the descriptor of the root";
	else if (parts)
		text = job->spec.root_path;
	if (text)
		job->spec.root_handed = hand(job, e, text);
}

static void hand_mount(struct job *job, const struct step_mount *source, struct spec_mount *mount,
		       bool parts, struct job_explanation *e)
{
	const char *text = NULL;

	if (source && source->source == STEP_SNAPSHOT)
		text = snapshot_text(&job->arena, source->snapshot);
	else if (source && source->source == STEP_FD)
		text = arena_printf(&job->arena, "the descriptor %u", source->fd);
	else if (source && source->selector && source->selector[0])
		text = arena_printf(&job->arena, "%s below %s", source->selector, mount->source);
	else if (parts && mount->bind)
		text = mount->source;
	if (text)
		mount->handed = hand(job, e, text);
}

static void add_file(struct job *job, const char *name, const char *text, const char *path,
		     const char *destination)
{
	struct spec_mount *mount = (struct spec_mount *)&job->spec.mounts[job->spec.n_mounts];

	if (!text && !path)
		return;
	*mount = (struct spec_mount){
		.destination = destination,
		.type = "",
		.source = path ? path
			       : arena_printf(&job->arena, "%s/%s.%s", job->engine->directory,
					      job->step->id, name),
		.bind = true,
		.origin = "",
	};
	if (mount->source)
		job->spec.n_mounts++;
}

static int hand_all(struct job *job, bool parts, struct job_explanation *e, struct rb_err *err)
{
	const struct step *step = job->step;
	struct spec_mount *mounts = arena_array(&job->arena, step->spec.n_mounts + 2,
						sizeof(*mounts));

	if (!mounts)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "mounts");
	memcpy(mounts, step->spec.mounts, step->spec.n_mounts * sizeof(*mounts));
	job->spec.mounts = mounts;
	job_check_resolv(job);
	note(e, &job->arena, job->warning);
	add_file(job, "hosts", step->hosts, NULL, "/etc/hosts");
	add_file(job, "resolv", job->resolv, job->resolv_path, "/etc/resolv.conf");
	hand_root(job, parts, e);
	for (size_t i = 0; i < job->spec.n_mounts; i++)
		hand_mount(job, i < step->spec.n_mounts ? &step->mounts[i] : NULL, &mounts[i],
			   parts, e);
	return 0;
}

/* Names are looked up where that is possible before anything is mounted. */
static int find_user(struct job *job, struct job_explanation *e, struct rb_err *err)
{
	const struct step *step = job->step;
	CLEANUP_FD int root = -1;

	if (!step->user_name && !step->group_name)
		return 0;
	if (step->root == STEP_PATH)
		root = sys_openat(AT_FDCWD, job->spec.root_path, O_PATH | O_DIRECTORY, 0);
	if (root >= 0)
		return job_find_user(&job->arena, root, step, &job->spec.process, err);
	note(e, &job->arena,
	     "the user is looked up in the root once that is mounted; 0 stands for it here");
	return 0;
}

static int choose_filter(struct job *job, struct plan_options *options, struct rb_err *err)
{
	struct sock_filter *program;
	int r;

	if (job->step->filter_fd != STEP_NO_FD)
		return err_set(err, RB_UNSUPPORTED, 0,
			       "a filter in a descriptor is not known here");
	if (!job->step->default_filter)
		return 0;
	r = engine_default_profile(&job->arena, &job->spec.seccomp, err);
	if (r == 0)
		r = seccomp_compile(&job->arena, &job->spec.seccomp, seccomp_native_arch(),
				    &program, &options->n_bpf, err);
	if (r == 0)
		options->bpf = program;
	return r;
}

static const char used_net_note[] =
	"in a worker the network namespace is a new one, or that of an earlier step which sent "
	"nothing and left no socket in it";

static int build_parts(struct job *job, const struct plan_options *options,
		       struct job_explanation *e, struct rb_err *err)
{
	const struct host *host = &job->engine->host;
	int r = plan_build_first(&job->arena, &job->spec, host, options, &e->plan, err);

	if (r == 0 && (r = plan_check(e->plan, err)) == 0)
		r = plan_build_second(&job->arena, &job->spec, host, options, &e->second, err);
	if (r == 0 && pool_has_own_net(e->plan))
		note(e, &job->arena, used_net_note);
	return r == 0 ? plan_check(e->second, err) : r;
}

/* Its descriptor is not there; the plan names the namespace as it will be named. */
static int name_network(struct job *job, struct job_explanation *e, struct rb_err *err)
{
	const struct spec *spec = &job->spec;
	struct spec_namespace *namespaces;

	if (job->step->netns_fd == STEP_NO_FD)
		return job_add_network(job, err);
	namespaces = arena_array(&job->arena, spec->n_namespaces, sizeof(*namespaces));
	if (!namespaces)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "namespaces");
	memcpy(namespaces, spec->namespaces, spec->n_namespaces * sizeof(*namespaces));
	for (size_t i = 0; i < spec->n_namespaces; i++)
		if (namespaces[i].type == CLONE_NEWNET)
			namespaces[i].path = arena_printf(&job->arena, "/proc/self/fd/%d",
							  job->step->netns_fd);
	job->spec.namespaces = namespaces;
	note(e, &job->arena, "the network namespace is the descriptor of the request");
	return 0;
}

int job_explain(struct job *job, bool parts, struct job_explanation *ret_explanation,
		struct rb_err *err)
{
	struct job_explanation *e = ret_explanation;
	struct plan_options options;
	bool has_parts;
	int r;

	*e = (struct job_explanation){.n_notes = 0};
	if (!host_has_cap(&job->engine->host, CAP_SYS_ADMIN))
		note(e, &job->arena,
		     "this user's step runs as root of a namespace: 'runbuild rootless -- runbuild "
		     "explain' shows the plan there");
	job->spec = job->step->spec;
	if (job->step->oci)
		parts = false;
	else if ((r = name_network(job, e, err)) < 0)
		return r;
	options = job_plan_options(job);
	options.cgroup_handed = !job->step->oci && job->step->cgroup_fd != STEP_NO_FD;
	if ((r = choose_filter(job, &options, err)) < 0 || (r = find_user(job, e, err)) < 0)
		return r;
	has_parts = !job->step->oci && plan_has_parts(&job->spec, &options);
	if (parts && !has_parts)
		note(e, &job->arena, "this step has no parts: each gets a child of its own");
	parts &= has_parts;
	if (!job->step->oci && (r = hand_all(job, parts, e, err)) < 0)
		return r;
	if (parts)
		return build_parts(job, &options, e, err);
	r = plan_build(&job->arena, &job->spec, &job->engine->host, &options, &e->plan, err);
	if (r == 0 && has_parts && pool_has_own_net(e->plan))
		note(e, &job->arena, used_net_note);
	return r == 0 ? plan_check(e->plan, err) : r;
}
