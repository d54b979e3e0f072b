/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step's life. Runs in the worker or in `runbuild step`, outside the step's namespaces, as
 * root of the user namespace around it. Nothing here waits: what needs time is a state.
 */
#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <time.h>
#include "base/descendants.h"
#include "base/file.h"
#include "base/sys.h"
#include "worker/job.h"
#include "worker/pool.h"

static int64_t wall_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void job_init(struct job *job, struct engine *engine, const struct step *step)
{
	job->engine = engine;
	job->hands = &job_hands_real;
	job->step = step;
	job->state = JOB_NEW;
	job->began_us = sys_now_us();
	launch_init(&job->launch, NULL);
	job->net.ns = -1;
	job->poststop.running.pidfd = -1;
}

static void fill_context(struct job *job)
{
	const struct spec *spec = &job->spec;
	struct state_annotation *notes = arena_array(&job->arena, spec->n_annotations + 1,
						     sizeof(*notes));

	for (size_t i = 0; notes && i < spec->n_annotations; i++)
		notes[i] = (struct state_annotation){spec->annotations[i].key,
						     spec->annotations[i].value};
	/* what hooks are told */
	job->record = (struct state_record){
		.id = job->step->id,
		.oci_version = spec->oci_version ? spec->oci_version : "",
		.bundle = job->step->bundle ? job->step->bundle : "",
		.cgroup = "",
	};
	job->annotations = notes;
	job->context = (struct launch_context){
		.annotations = notes,
		.n_annotations = notes ? spec->n_annotations : 0,
		.arena = &job->arena,
		.record = job->inside ? NULL : &job->record,
		.init_pidfd = job->inside ? job->inside->launch.pidfd : -1,
		.start_socket = -1,
		.handed = job->handed.mounts,
		.n_handed = job->handed.n_mounts,
		.held = job->handed.held,
		.n_held = job->handed.n_held,
		.stdio = job->stdio,
		.cgroup_fd = job->cgroup_fd,
		.files_dir = job->engine->directory_fd,
		.used_net = job->net.ns >= 0 ? &job->net.ns : NULL,
		.releases_mounts = job->handed.n_snapshots > 0,
		.guard = &job->engine->guard,
		.default_signals = job->engine->default_signals,
		.may_return = true,
	};
}

static uint64_t joined_namespaces(const struct spec *spec)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < spec->n_namespaces; i++)
		mask |= spec->namespaces[i].type;
	return mask;
}

/* A step opens /dev/stdout again as its user; descriptors of others are left alone. */
static void own_pipes(struct job *job)
{
	for (size_t i = 0; i < ARRAY_LEN(job->stdio); i++)
		if (job->own_stdio[i] && job->stdio[i] >= 0)
			if (fchown(job->stdio[i], job->spec.process.uid, job->spec.process.gid) < 0)
				continue; /* EINVAL: an id that plan_check_process_ids() refuses */
}

/* 1: a waiting child has taken the step; 0: there is none for it; -errno. */
static int launch_warm(struct job *job, const struct plan_options *options, struct rb_err *err)
{
	struct pool *pool = job->engine->pool;
	const struct host *host = &job->engine->host;
	int64_t now = sys_now_us();
	const struct plan *plan;
	int r;

	if (!pool || job->step->oci || job->inside || !plan_has_parts(&job->spec, options))
		return 0;
	r = plan_build_first(&job->arena, &job->spec, host, options, &plan, err);
	if (r < 0)
		return r;
	if (!pool_has(pool, plan, now) || !job_hand_over_all(job) ||
	    !pool_take(pool, plan, &job->launch, &job->net)) {
		pool_lend_net(pool, plan, &job->net);
		return 0;
	}
	fill_context(job);
	r = plan_build_second(&job->arena, &job->spec, host, options, &plan, err);
	if (r == 0)
		r = plan_check(plan, err);
	if (r < 0) {
		launch_abandon(&job->launch);
		return r;
	}
	launch_resume(&job->launch, plan, &job->context);
	return 1;
}

static int launch_cold(struct job *job, const struct plan_options *options, struct rb_err *err)
{
	struct job *inside = job->inside;
	const struct host *host = &job->engine->host;
	const struct plan *plan;
	int r;

	if (inside) {
		inside->entered = true;
		r = plan_build_exec(&job->arena, &inside->spec, &job->spec.process, host,
				    joined_namespaces(&inside->spec),
				    inside->launch.cgroup ? inside->launch.cgroup : "", options,
				    &plan, err);
	} else {
		r = plan_build(&job->arena, &job->spec, host, options, &plan, err);
	}
	if (r < 0 || (r = plan_check(plan, err)) < 0)
		return r;
	fill_context(job);
	return launch_begin(&job->launch, plan, &job->context, err);
}

/* A further process goes where the first one was put. */
static int choose_cgroup(struct job *job, struct rb_err *err)
{
	const struct job *first = job->inside ? job->inside : job;
	int index = first->step->cgroup_fd;
	struct statfs fs;

	job->cgroup_fd = -1;
	if (first->step->oci || index == STEP_NO_FD)
		return 0;
	if (job->inside) {
		job->cgroup_fd = first->launch.group.n ? first->launch.group.v[0].fd : -1;
		return 0;
	}
	if (fstatfs(job->fds[index], &fs) < 0 || (unsigned long)fs.f_type != CGROUP2_SUPER_MAGIC)
		return err_set(err, RB_STEP_FDS, EINVAL,
			       "descriptor %d is not the directory of a cgroup v2", index);
	job->cgroup_fd = job->fds[index];
	return 0;
}

struct plan_options job_plan_options(struct job *job)
{
	const struct job *first = job->inside ? job->inside : job;
	const struct spec *spec = &first->spec;

	return (struct plan_options){
		.id = arena_printf(&job->arena, "%s-%s", job->engine->name, job->step->id),
		.foreground = true,
		.rootless_cgroup = job->engine->host.in_user_namespace || geteuid() != 0,
		.keep_stdio_owner = true,
		.no_record = true,
		.no_new_keyring = job->inside != NULL,
		.network = job->network,
		.cgroup_handed = !first->step->oci && first->step->cgroup_fd != STEP_NO_FD,
		.console = job->spec.process.terminal ? CONSOLE_OWN : CONSOLE_NONE,
		.reaper = !spec_namespace_find(spec, CLONE_NEWPID),
	};
}

static int launch(struct job *job, struct rb_err *err)
{
	const struct spec *spec = job->inside ? &job->inside->spec : &job->spec;
	struct plan_options options = job_plan_options(job);
	int r = choose_cgroup(job, err);

	job->filter_us = sys_now_us();
	if (r == 0)
		r = job_choose_filter(job, &options, err);
	job->filter_us = sys_now_us() - job->filter_us;
	if (job->inside && spec->seccomp.present) {
		options.bpf = job->inside->bpf;
		options.n_bpf = job->inside->n_bpf;
	}
	if (r < 0)
		return r;
	own_pipes(job);
	job->bpf = options.bpf;
	job->n_bpf = options.n_bpf;
	r = launch_warm(job, &options, err);
	job->warm = r == 1;
	job->options = options;
	if (r == 0)
		r = launch_cold(job, &options, err);
	if (r >= 0)
		job->state = JOB_LAUNCHING;
	return r < 0 ? r : 0;
}

/* After the clone the child has all of these; ours would keep mounts and pipes open. */
static void drop_child_side(struct job *job)
{
	handed_attached(&job->handed);
	for (size_t i = 0; i < ARRAY_LEN(job->stdio); i++)
		fd_close(&job->stdio[i]);
	for (size_t i = 0; i < ARRAY_LEN(job->fds); i++)
		fd_close(&job->fds[i]);
}

static int fail(struct job *job, int r)
{
	drop_child_side(job);
	used_net_close(&job->net);
	(void)handed_close(&job->handed, NULL);
	job_remove_files(job);
	job->state = JOB_RELEASED;
	return r;
}

int job_begin(struct job *job, struct rb_err *err)
{
	int r = 0;

	job->spec = job->step->spec;
	job->state = JOB_MOUNTING;
	if (job->inside)
		return 0;
	r = job_add_network(job, err);
	if (r == 0)
		r = job_add_mounts(job, err);
	return r < 0 ? fail(job, r) : 0;
}

int job_advance(struct job *job, struct rb_err *err)
{
	int r;

	if (job->state == JOB_MOUNTING) {
		r = handed_advance(&job->handed, err);
		if (r == 0)
			return 0;
		job->mounted_us = sys_now_us();
		if (r == 1 && !job->inside)
			r = job_select_in_snapshots(job, err);
		if (r < 0 || (!job->inside && (r = job_look_into_root(job, err)) < 0) ||
		    (r = launch(job, err)) < 0)
			return fail(job, r);
	}
	if (job->state != JOB_LAUNCHING)
		return 1;
	r = launch_advance(&job->launch, err);
	/* a waiting child was killed an instant ago; nothing has happened yet */
	if (r == -EPIPE && job->launch.plan == NULL && job->warm) {
		job->warm = false;
		used_net_close(&job->net);
		*err = (struct rb_err){0};
		if ((r = launch_cold(job, &job->options, err)) == 0)
			r = launch_advance(&job->launch, err);
	}
	if (r < 0)
		return fail(job, r);
	drop_child_side(job);
	if (r == 1) {
		job->state = JOB_RUNNING;
		job->started_us = sys_now_us();
		job->started_wall_us = wall_us();
	}
	return r;
}

size_t job_poll(const struct job *job, struct pollfd *fds, int64_t *deadline_ms)
{
	size_t n = 0;

	if (job->state == JOB_ENDED && job->poststop.running.pidfd >= 0)
		n += hook_poll(&job->poststop.running, fds + n, deadline_ms);
	else if (job->state == JOB_LAUNCHING)
		n += launch_poll(&job->launch, fds, deadline_ms);
	else if (job->state == JOB_RUNNING)
		fds[n++] = (struct pollfd){.fd = launch_end_fd(&job->launch), .events = POLLIN};
	else if (job->state == JOB_CLOSING && job->launch.reaper.pidfd >= 0)
		fds[n++] = (struct pollfd){.fd = job->launch.reaper.pidfd, .events = POLLIN};
	if (job->state == JOB_MOUNTING || job->state == JOB_RUNNING)
		n += handed_poll(&job->handed, fds + n, deadline_ms);
	if (job->state == JOB_RUNNING || job->state == JOB_CLOSING)
		n += launch_network_poll(&job->launch, fds + n);
	return n;
}

/* Is nothing left that belongs to it? */
static bool is_closed(struct job *job)
{
	bool network = launch_network_is_gone(&job->launch);

	return launch_reaper_is_gone(&job->launch) && network;
}

bool job_reap(struct job *job)
{
	siginfo_t info = {0};

	if (job->state == JOB_CLOSING && is_closed(job))
		job->state = JOB_ENDED;
	if (job->state != JOB_RUNNING)
		return job->state > JOB_CLOSING;
	if (!launch_reap(&job->launch, &info, &job->usage))
		return false;
	job->ended_us = sys_now_us();
	if (info.si_code == CLD_EXITED)
		job->code = info.si_status;
	else
		job->signal = info.si_status;
	launch_network_kill(&job->launch);
	job->state = is_closed(job) ? JOB_ENDED : JOB_CLOSING;
	return job->state == JOB_ENDED;
}

bool job_poststop(struct job *job)
{
	if (job->state != JOB_ENDED || job->inside || !job->annotations)
		return true;
	return hooks_advance(&job->poststop, &job->spec, HOOK_POSTSTOP, &job->record,
			     job->annotations, 0, false);
}

bool job_check_daemons(struct job *job, struct rb_err *err)
{
	if (job->state != JOB_RUNNING ||
	    (!handed_is_dead(&job->handed, err) && !launch_network_is_lost(&job->launch, err)))
		return false;
	(void)job_signal(job, SIGKILL, JOB_INIT);
	return true;
}

int job_signal(struct job *job, int sig, enum job_target target)
{
	if (job->state != JOB_RUNNING)
		return -ESRCH;
	/* the death of a pid namespace's init is the death of all in it: pid_namespaces(7) */
	if (target == JOB_INIT || (sig == SIGKILL && !job->inside))
		return sys_pidfd_send_signal(job->launch.pidfd, sig);
	/* orphans go to the init of a pid namespace, else to the reaper */
	if (target == JOB_ALL)
		return descendants_signal(job->launch.reaper.pid ? job->launch.reaper.pid
								 : job->launch.pid,
					  job->launch.reaper.pid == 0, sig);
	/* the child called setsid(2), so its group is its own; it cannot be reused while we can
	 * still wait for it */
	if (kill(-job->launch.pid, sig) < 0)
		return -errno;
	return 0;
}

static void empty_directory(int dirfd, const char *path)
{
	CLEANUP_FD int fd = sys_openat(dirfd, path, O_RDONLY | O_DIRECTORY, 0);

	if (fd >= 0)
		(void)file_remove_content(fd, LIMIT_UPPER_DEPTH);
}

void job_drop_upper(struct job *job)
{
	const struct step_snapshot *snapshot = job->step->root_snapshot;
	bool keep = job->step->keep_upper == STEP_ALWAYS ||
		    (job->step->keep_upper == STEP_FAILURE && !job_is_ok(job));

	if (keep || !snapshot || !snapshot->upper)
		return;
	empty_directory(AT_FDCWD, snapshot->upper);
	if (snapshot->work)
		empty_directory(AT_FDCWD, snapshot->work);
}

/* Could the step change its network namespace? What it did in there is counted by the kernel. */
static bool may_configure_net(const struct job *job)
{
	const struct spec *spec = &job->spec;
	const struct spec_caps *caps = &spec->process.caps;

	if (job->entered ||
	    (caps->present && caps->bounding & (1ull << CAP_NET_ADMIN | 1ull << CAP_SYS_ADMIN)))
		return true;
	for (size_t i = 0; i < spec->readonly_paths.n; i++)
		if (str_eq(spec->readonly_paths.v[i], "/proc/sys"))
			return false;
	return true;
}

/*
 * The next step may have the network namespace, once no process of this one is in it. Whether it
 * was used is looked at when the job is freed: nobody has to wait for the answer to that.
 */
static void release_net(struct job *job)
{
	if (job->state != JOB_ENDED || may_configure_net(job))
		used_net_close(&job->net);
}

int job_finish(struct job *job, struct rb_err *err)
{
	int r;

	if (job->state == JOB_RELEASED)
		return 0;
	if (job->launch.group.n && !job->inside) {
		cgroup_figures(&job->launch.group, &job->figures);
		job->has_figures = true;
	}
	hook_kill(&job->poststop.running);
	launch_end(&job->launch);
	if (job->launch.cgroup && !job->inside) {
		cgroup_kill(job->launch.cgroup);
		if (cgroup_remove(job->launch.cgroup) < 0)
			job->launch.cgroup_noted = false; /* the note stays as long as the group */
	}
	drop_child_side(job);
	release_net(job);
	r = handed_close(&job->handed, err);
	job_remove_stubs(job);
	job_remove_files(job);
	job->state = JOB_RELEASED;
	return r;
}

void job_abandon(struct job *job)
{
	siginfo_t info;

	switch (job->state) {
	case JOB_NEW: /* nothing but descriptors */
		drop_child_side(job);
		job->state = JOB_RELEASED;
		return;
	case JOB_LAUNCHING: launch_abandon(&job->launch); break;
	case JOB_RUNNING:
		(void)sys_pidfd_send_signal(job->launch.pidfd, SIGKILL);
		(void)sys_wait_pidfd(job->launch.pidfd, &info, WEXITED);
		break;
	default: break;
	}
	(void)job_finish(job, NULL);
	job_drop_upper(job);
}

void job_free(struct job *job)
{
	/* no engine: its description was refused before job_init() */
	if (job->engine && job->net.ns >= 0)
		used_nets_give(&job->engine->pool->nets, &job->net);
	drop_child_side(job);
	arena_free(&job->arena);
}

bool job_is_ok(const struct job *job)
{
	if (job->signal || job->timed_out || job->cancelled)
		return false;
	for (size_t i = 0; i < job->step->n_valid_codes; i++)
		if (job->step->valid_codes[i] == job->code)
			return true;
	return false;
}
