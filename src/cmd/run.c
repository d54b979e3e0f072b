/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `run` and `create`: bundle -> spec -> plan -> launch. `run` stays as the supervisor of its step
 * (unless detached); `create` leaves a process that waits for `start` and belongs to the caller.
 */
#include <sys/un.h>
#include "base/env.h"
#include "base/num.h"
#include "cmd/cmd.h"
#include "cmd/report.h"
#include "cmd/run.h"
#include "cmd/verbs.h"
#include "worker/handed.h"

#define OPT(member) offsetof(struct run_options, member)
/* clang-format off */
#define COMMON_OPTIONS                                                                             \
	{"bundle", 'b', OPTION_STRING, OPT(bundle), "DIR",                                         \
	 "the bundle; default: the current directory"},                                            \
		{"console-socket", 0, OPTION_STRING, OPT(console_socket), "PATH",                  \
		 "socket that receives the terminal's master"},                                    \
		{"pid-file", 0, OPTION_STRING, OPT(pid_file), "FILE",                              \
		 "write the process id to FILE"},                                                  \
		{"pidfd-socket", 0, OPTION_STRING, OPT(pidfd_socket), "PATH",                      \
		 "socket that receives a descriptor of the process"},                              \
		{"no-mount-fallback", 0, OPTION_FLAG, OPT(no_mount_fallback), NULL,                \
		 "fail where a bind mount keeps stricter flags than asked for"},                   \
		{"no-pivot", 0, OPTION_FLAG, OPT(no_pivot), NULL,                                  \
		 "move the root instead of pivot_root(2); less safe"},                             \
		{"no-new-keyring", 0, OPTION_FLAG, OPT(no_new_keyring), NULL,                      \
		 "keep the caller's session keyring"},                                             \
		{"preserve-fds", 0, OPTION_U32, OPT(preserve_fds), "N",                            \
		 "pass descriptors 3 to 3+N-1 on"}
/* clang-format on */

static const struct option_entry run_option_table[] = {
	COMMON_OPTIONS,
	{"detach", 'd', OPTION_FLAG, OPT(detach), NULL, "return once the program runs"},
	{"keep", 0, OPTION_FLAG, OPT(keep), NULL, "keep state and cgroup until 'delete'"},
	{"no-subreaper", 0, OPTION_IGNORED, 0, NULL, "accepted; runbuild is never a subreaper"},
	OPTION_END,
};

static const struct option_entry create_option_table[] = {
	COMMON_OPTIONS,
	OPTION_END,
};

/* Of a `run` that killed its step because it could not go on; see cmd.h. */
enum { STATUS_LOST = 125 };

struct run_job {
	struct arena *arena;
	const struct globals *globals;
	const struct run_options *options;
	bool create;
	const struct run_restore *from; /* NULL: not a restore */
	struct launch_restore restore;
	struct state_root root;
	struct bundle bundle;
	struct handed handed; /* overlay mounts of the configuration */
	struct pollfd watched[LIMIT_SNAPSHOTS];
	struct host host;
	struct plan_options plan_options;
	struct container container;
	struct state_record record;
	struct launch_context context;
	struct network_lease lease;
	struct launch launch;
	struct report_times times;
};

/* runc's three rules about terminals and who keeps them. */
static int run_check_terminal(struct run_job *job, struct rb_err *err)
{
	bool terminal = job->bundle.spec->process.terminal;
	bool detached = job->create || job->options->detach;

	if (detached && terminal && !job->options->console_socket) {
		err_set(err, RB_USAGE, 0,
			"cannot allocate tty if runc will detach without setting console socket");
		err_fix(err, "give --console-socket, or set process.terminal to false");
		return -EINVAL;
	}
	if ((!detached || !terminal) && job->options->console_socket) {
		err_set(err, RB_USAGE, 0,
			"cannot use console socket if runc will not detach or allocate tty");
		err_fix(err, "leave --console-socket out");
		return -EINVAL;
	}
	job->plan_options.console = !terminal  ? CONSOLE_NONE
				    : detached ? CONSOLE_SOCKET
					       : CONSOLE_OWN;
	return 0;
}

/*
 * Socket activation: sd_listen_fds(3). The descriptors keep their numbers, and the program is
 * process 1 of its namespace.
 */
static int run_listen_fds(struct run_job *job, struct rb_err *err)
{
	const char *fds = env_get("LISTEN_FDS");
	const char *pid = env_get("LISTEN_PID");
	struct spec *spec;
	struct spec_strings *env;
	const char **v;
	uint32_t n;
	uint32_t target;

	if (!fds || num_parse_u32(fds, &n) < 0 || n == 0 || n > LIMIT_PRESERVED_FDS ||
	    (pid && (num_parse_u32(pid, &target) < 0 || target != (uint32_t)getpid())))
		return 0;
	spec = arena_alloc(job->arena, sizeof(*spec));
	v = arena_array(job->arena, job->bundle.spec->process.env.n + 3, sizeof(*v));
	if (!spec || !v)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "environment");
	*spec = *job->bundle.spec;
	env = &spec->process.env;
	if (env->n)
		memcpy(v, env->v, env->n * sizeof(*v));
	v[env->n++] = arena_printf(job->arena, "LISTEN_FDS=%u", n);
	v[env->n++] = "LISTEN_PID=1";
	env->v = v;
	job->bundle.spec = spec;
	job->plan_options.preserve_fds += n;
	return 0;
}

/*
 * A step whose configuration lists no pid namespace cannot be ended completely, so a foreground
 * `run` gives it one. RUNBUILD_PIDNS=spec takes the configuration at its word.
 */
static void run_choose_pid_namespace(struct run_job *job)
{
	const char *choice = env_get("RUNBUILD_PIDNS");

	if (spec_namespace_find(job->bundle.spec, CLONE_NEWPID) || !job->plan_options.foreground)
		return;
	if (choice && str_eq(choice, "spec")) {
		log_warn("no pid namespace: processes of the step may outlive it");
		return;
	}
	job->plan_options.add_pid_namespace = true;
	log_warn("the configuration lists no pid namespace; the step gets one, so that it ends "
		 "completely");
}

static int run_prepare(struct run_job *job, const char *id, struct rb_err *err)
{
	const struct run_options *options = job->options;
	int r;

	job->plan_options = (struct plan_options){
		.foreground = !job->create && !options->detach,
		.wait_start = job->create,
		.no_pivot = options->no_pivot,
		.no_mount_fallback = options->no_mount_fallback,
		.pidfd_socket = options->pidfd_socket != NULL,
		.no_new_keyring = options->no_new_keyring,
		.id = id,
		.preserve_fds = options->preserve_fds,
		.pid_file = options->pid_file,
	};
	if (options->preserve_fds > LIMIT_PRESERVED_FDS)
		return err_set(err, RB_USAGE, 0, "--preserve-fds: at most %u", LIMIT_PRESERVED_FDS);
	if ((r = state_id_check(id, err)) < 0 ||
	    (r = bundle_load(job->arena, options->bundle, &job->bundle, err)) < 0 ||
	    (r = run_check_terminal(job, err)) < 0 || (r = run_listen_fds(job, err)) < 0 ||
	    (r = host_probe(bundle_host_wants(job->bundle.spec), &job->host, err)) < 0 ||
	    (r = globals_cgroup(job->globals, &job->host, &job->plan_options, err)) < 0 ||
	    (r = self_seal(&job->host, job->globals->argv, err)) < 0)
		return r;
	if (job->bundle.spec->process.caps_unknown)
		log_warn("the configuration names capabilities that this version does not know");
	run_choose_pid_namespace(job);
	r = state_root_open(job->arena, job->globals->root, true, &job->root, err);
	if (r == 0)
		r = bundle_filter(job->arena, job->bundle.spec, &job->root, &job->plan_options,
				  err);
	return r;
}

static int run_fill_context(struct run_job *job, const char *id, struct rb_err *err)
{
	char *created = arena_alloc(job->arena, 40);
	const struct spec *spec = job->bundle.spec;

	if (!created)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "state");
	state_time(created, 40);
	job->record = (struct state_record){
		.id = id,
		.oci_version = spec->oci_version,
		.bundle = job->bundle.path,
		.rootfs = spec->root_path,
		.created = created,
		.cgroup = "",
		.owner = job->host.euid,
		.config = job->bundle.config,
		.config_len = job->bundle.config_len,
	};
	job->context = (struct launch_context){
		.arena = job->arena,
		.root = &job->root,
		.container = &job->container,
		.record = &job->record,
		.annotations = bundle_annotations(job->arena, spec),
		.n_annotations = spec->n_annotations,
		.state_flags = (spec->hooks[HOOK_POSTSTOP].n ? STATE_POSTSTOP : 0) |
			       (spec->hooks[HOOK_POSTSTART].n ? STATE_POSTSTART : 0) |
			       (job->plan_options.foreground && !job->options->keep
					? STATE_FOREGROUND
					: 0),
		.keep = job->options->keep,
		.console_socket = job->options->console_socket,
		.pidfd_socket = job->options->pidfd_socket,
		.init_pidfd = -1,
		.start_socket = -1,
		.lease = job->lease.connection,
		.netns = job->lease.netns,
		.handed = job->handed.mounts,
		.n_handed = job->handed.n_mounts,
		.held = job->handed.held,
		.n_held = job->handed.n_held,
		.watched = job->watched,
		.signals = -1,
	};
	return job->context.annotations ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "state");
}

/* Where `start` will connect: a socket in the container's directory, which only we may enter. */
static int run_start_socket(struct run_job *job, struct rb_err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int sock = sys_socket(AF_UNIX, SOCK_SEQPACKET, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/start.sock",
		 job->container.dir);
	if (sock < 0 || bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(sock, 1) < 0) {
		err_set(err, RB_STATE_WRITE, errno, "cannot make the start socket");
		fd_close(&sock);
		return -EIO;
	}
	job->context.start_socket = sock;
	return 0;
}

/* What `run` made on disk and in the cgroup file system goes; the processes are gone already. */
static void run_remove(struct run_job *job)
{
	int r;

	if (job->launch.cgroup) {
		cgroup_kill(job->launch.cgroup);
		(void)cgroup_remove(job->launch.cgroup);
	}
	r = container_remove(&job->root, &job->container);
	if (r < 0)
		log_warn("cannot remove the state of container %s: %s", job->record.id,
			 strerrordesc_np(-r));
}

/* Overlays are mounted here, outside the container: fuse-overlayfs must live out of its reach. */
static int run_mount_overlays(struct run_job *job, struct rb_err *err)
{
	int r = handed_add_from_spec(job->arena, &job->handed, job->bundle.spec, job->root.fd,
				     !job->plan_options.foreground, &job->bundle.spec, err);

	return r < 0 ? r : handed_wait(&job->handed, err);
}

/* The end of a foreground step is the end of its overlays; a dead daemon explains its failure. */
static int run_end_overlays(struct run_job *job, int status, struct rb_err *err)
{
	int r = handed_close(&job->handed, err);

	return r < 0 ? r : status;
}

static int run_foreground(struct run_job *job, struct rb_err *err)
{
	int64_t deadline = INT64_MAX;
	int status;

	job->context.n_watched = handed_poll(&job->handed, job->watched, &deadline);

	job->times.started_ns = report_now_ns();
	status = launch_wait(&job->launch, err);
	job->times.ended_ns = report_now_ns();
	if (!job->options->keep) {
		if (job->bundle.spec->hooks[HOOK_POSTSTOP].n)
			hooks_run(job->bundle.spec, HOOK_POSTSTOP, &job->record,
				  job->context.annotations, 0);
		run_remove(job);
	}
	report_append(job->record.id, job->launch.plan, &job->times, status);
	/* last: until here the monitor would have done all this in our place */
	launch_end(&job->launch);
	return run_end_overlays(job, status, err);
}

static int run_launch(struct run_job *job, const char *id, struct rb_err *err)
{
	const struct plan *plan;
	int r;

	if ((job->from &&
	     (r = job->from->prepare(job->from->data, job->bundle.spec, &job->restore, err)) < 0) ||
	    (r = run_mount_overlays(job, err)) < 0 ||
	    (!job->from && (r = network_choose(job->arena, job->bundle.spec, &job->host,
					       &job->plan_options, &job->lease, err)) < 0) ||
	    (r = plan_build(job->arena, job->bundle.spec, &job->host, &job->plan_options, &plan,
			    err)) < 0 ||
	    (r = plan_check(plan, err)) < 0 || (r = run_fill_context(job, id, err)) < 0)
		return r;
	/* before anything exists that a signal could orphan */
	r = job->context.signals = launch_take_signals(err);
	if (r >= 0)
		r = container_create(&job->root, id, &job->container, err);
	if (r < 0)
		return r;
	if (job->create)
		r = run_start_socket(job, err);
	if (r == 0 && job->from)
		r = launch_restore(&job->launch, plan, &job->context, &job->restore, err);
	else if (r == 0)
		r = launch_start(&job->launch, plan, &job->context, err);
	handed_attached(&job->handed);
	fd_close(&job->lease.connection);
	fd_close(&job->lease.netns);
	fd_close(&job->context.start_socket);
	if (r < 0) {
		run_remove(job);
		return r;
	}
	if (job->plan_options.foreground)
		return run_foreground(job, err);
	if (handed_needs_holder(&job->handed) &&
	    (r = launch_hold(&job->launch, handed_release, &job->handed)) < 0)
		log_warn("the overlays of container %s are not locked: %s", id,
			 strerrordesc_np(-r));
	launch_end(&job->launch);
	return 0;
}

int run_main(struct arena *arena, const struct globals *globals, const struct run_options *options,
	     const char *id, const struct run_how *how, struct rb_err *err)
{
	struct run_job *job = arena_alloc(arena, sizeof(*job));
	int r;

	if (!job)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "run");
	*job = (struct run_job){
		.arena = arena,
		.globals = globals,
		.options = options,
		.create = how->create,
		.from = how->restore,
		.root.fd = -1,
		.container.dir = -1,
		.lease = {.connection = -1, .netns = -1},
		.context.signals = -1,
		.launch = {.pidfd = -1, .monitor_pidfd = -1},
		.times.begin_ns = report_now_ns(),
	};
	r = run_prepare(job, id, err);
	if (r == 0)
		r = run_launch(job, id, err);
	if (r < 0)
		(void)handed_close(&job->handed, NULL);
	if (r < 0 && job->launch.started)
		err->status = STATUS_LOST;
	fd_close(&job->context.signals);
	container_close(&job->container);
	state_root_close(&job->root);
	return r;
}

static int verb_run_main(struct arena *arena, const struct globals *globals, const void *options,
			 int argc UNUSED, char **argv, struct rb_err *err)
{
	return run_main(arena, globals, options, argv[0], &(struct run_how){0}, err);
}

static int verb_create_main(struct arena *arena, const struct globals *globals, const void *options,
			    int argc UNUSED, char **argv, struct rb_err *err)
{
	return run_main(arena, globals, options, argv[0], &(struct run_how){.create = true}, err);
}

const struct verb verb_run = {
	.name = "run",
	.summary = "create a container, run its program and wait for it",
	.args = "ID",
	.min_args = 1,
	.max_args = 1,
	.options = run_option_table,
	.options_size = sizeof(struct run_options),
	.run = verb_run_main,
};

const struct verb verb_create = {
	.name = "create",
	.summary = "create a container that waits for 'start'",
	.args = "ID",
	.min_args = 1,
	.max_args = 1,
	.options = create_option_table,
	.options_size = sizeof(struct run_options),
	.run = verb_create_main,
};
