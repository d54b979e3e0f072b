/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `exec`: a further process in a running container. The process comes from a file, or from the
 * container's own configuration with a few options on top; the filter always is the container's.
 * Exit status 255 for every error of ours, as runc's clients expect.
 */
#include "base/file.h"
#include "base/num.h"
#include "cmd/cmd.h"
#include "cmd/verbs.h"

struct exec_options {
	const char *process;
	const char *pid_file;
	const char *console_socket;
	const char *user;
	const char *cwd;
	const char *apparmor;
	const char *process_label;
	const char *pidfd_socket;
	struct option_list cgroup;
	struct option_list env;
	struct option_list cap;
	struct option_list additional_gids;
	bool detach;
	bool tty;
	bool no_new_privs;
	bool ignore_paused;
	uint32_t preserve_fds;
};

#define OPT(member) offsetof(struct exec_options, member)

static const struct option_entry exec_option_table[] = {
	{"process", 'p', OPTION_STRING, OPT(process), "FILE", "the process as JSON (process.json)"},
	{"pid-file", 0, OPTION_STRING, OPT(pid_file), "FILE", "write the process id to FILE"},
	{"console-socket", 0, OPTION_STRING, OPT(console_socket), "PATH",
	 "socket that receives the terminal's master"},
	{"detach", 'd', OPTION_FLAG, OPT(detach), NULL, "return once the program runs"},
	{"tty", 't', OPTION_FLAG, OPT(tty), NULL, "give the process a terminal"},
	{"user", 'u', OPTION_STRING, OPT(user), "UID[:GID]", "run as this user"},
	{"env", 'e', OPTION_LIST, OPT(env), "NAME=VALUE",
	 "set an environment variable; repeatable"},
	{"cwd", 0, OPTION_STRING, OPT(cwd), "DIR", "the working directory"},
	{"cap", 'c', OPTION_LIST, OPT(cap), "CAP_NAME", "add a capability; repeatable"},
	{"additional-gids", 'g', OPTION_LIST, OPT(additional_gids), "GID",
	 "add a supplementary group; repeatable"},
	{"no-new-privs", 0, OPTION_FLAG, OPT(no_new_privs), NULL, "set no_new_privs"},
	{"apparmor", 0, OPTION_STRING, OPT(apparmor), "PROFILE", "AppArmor profile"},
	{"preserve-fds", 0, OPTION_U32, OPT(preserve_fds), "N", "pass descriptors 3 to 3+N-1 on"},
	{"ignore-paused", 0, OPTION_FLAG, OPT(ignore_paused), NULL,
	 "start the process in a paused container as well"},
	{"process-label", 0, OPTION_STRING, OPT(process_label), "LABEL", "SELinux label"},
	{"cgroup", 0, OPTION_LIST, OPT(cgroup), "[CONTROLLERS:]PATH",
	 "join a group below the container's; repeatable on cgroup v1"},
	{"pidfd-socket", 0, OPTION_STRING, OPT(pidfd_socket), "PATH",
	 "socket that receives a descriptor of the process"},
	{"no-subreaper", 0, OPTION_IGNORED, 0, NULL, "accepted; runbuild is never a subreaper"},
	OPTION_END,
};

static int exec_no_memory(struct rb_err *err)
{
	return err_set(err, RB_NO_MEMORY, ENOMEM, "exec");
}

/* UID[:GID] */
static int exec_user(const char *text, struct spec_process *process, struct rb_err *err)
{
	uint64_t uid;
	uint64_t gid = process->gid;
	size_t len = strcspn(text, ":");

	if (num_parse_u64(text, len, SPEC_ID_NONE - 1, &uid) < 0 ||
	    (text[len] &&
	     num_parse_u64(text + len + 1, strlen(text + len + 1), SPEC_ID_NONE - 1, &gid) < 0)) {
		err_set(err, RB_USAGE, 0, "--user: '%.60s' is not UID or UID:GID", text);
		err_fix(err, "use numbers from 0 to 4294967294");
		return -EINVAL;
	}
	process->uid = (uint32_t)uid;
	process->gid = (uint32_t)gid;
	return 0;
}

static int exec_caps(const struct option_list *names, struct spec_process *process,
		     struct rb_err *err)
{
	for (size_t i = 0; i < names->n; i++) {
		int number = spec_cap_number(names->v[i]);
		uint64_t bit = UINT64_C(1) << (number & 63);

		if (number < 0)
			return err_set(err, RB_USAGE, 0, "--cap: unknown capability '%.60s'",
				       names->v[i]);
		process->caps.bounding |= bit;
		process->caps.effective |= bit;
		process->caps.permitted |= bit;
		process->caps.present = true;
	}
	return 0;
}

static int exec_groups(struct arena *arena, const struct option_list *groups,
		       struct spec_process *process, struct rb_err *err)
{
	uint32_t *v = arena_array(arena, process->n_groups + groups->n + 1, sizeof(*v));

	if (!v)
		return exec_no_memory(err);
	if (process->n_groups)
		memcpy(v, process->groups, process->n_groups * sizeof(*v));
	process->groups = v;
	for (size_t i = 0; i < groups->n; i++) {
		uint32_t gid;

		if (num_parse_u32(groups->v[i], &gid) < 0 || gid == SPEC_ID_NONE)
			return err_set(err, RB_USAGE, 0, "--additional-gids: '%.60s' is not a gid",
				       groups->v[i]);
		v[process->n_groups++] = gid;
	}
	return 0;
}

static int exec_env(struct arena *arena, const struct option_list *env,
		    struct spec_process *process, struct rb_err *err)
{
	const char **v = arena_array(arena, process->env.n + env->n + 1, sizeof(*v));

	if (!v)
		return exec_no_memory(err);
	if (process->env.n)
		memcpy(v, process->env.v, process->env.n * sizeof(*v));
	for (size_t i = 0; i < env->n; i++)
		v[process->env.n++] = env->v[i];
	process->env.v = v;
	return 0;
}

/* The container's own process with the command line's changes. */
static int exec_from_options(struct arena *arena, const struct exec_options *options,
			     const struct spec *spec, int argc, char **argv,
			     struct spec_process *process, struct rb_err *err)
{
	int r;

	if (argc == 0) {
		err_set(err, RB_USAGE, 0, "process args cannot be empty");
		err_fix(err, "give a command after the id, or --process");
		return -EINVAL;
	}
	*process = spec->process;
	process->terminal = options->tty;
	process->rows = process->columns = 0;
	process->args = (struct spec_strings){.v = (const char **)argv, .n = (size_t)argc};
	if (options->cwd) {
		if (options->cwd[0] != '/')
			return err_set(err, RB_USAGE, 0, "--cwd: '%.100s' is not absolute",
				       options->cwd);
		process->cwd = options->cwd;
	}
	if (options->no_new_privs)
		process->no_new_privileges = true;
	if (options->apparmor)
		process->apparmor_profile = options->apparmor;
	if (options->process_label)
		process->selinux_label = options->process_label;
	if ((options->user && (r = exec_user(options->user, process, err)) < 0) ||
	    (r = exec_caps(&options->cap, process, err)) < 0 ||
	    (r = exec_groups(arena, &options->additional_gids, process, err)) < 0)
		return r;
	return exec_env(arena, &options->env, process, err);
}

static int exec_read_process(struct arena *arena, const struct exec_options *options,
			     const struct spec *spec, int argc, char **argv,
			     struct spec_process *process, struct rb_err *err)
{
	char *text;
	size_t len;
	int r;

	if (!options->process)
		return exec_from_options(arena, options, spec, argc, argv, process, err);
	r = file_read_named(arena, options->process, LIMIT_CONFIG_BYTES, &text, &len);
	if (r < 0) {
		err_set(err, RB_CONFIG_FILE, -r, "cannot read the process file '%s'",
			options->process);
		return r;
	}
	r = spec_parse_process(arena, text, len, process, err);
	if (r == 0 && options->tty)
		process->terminal = true;
	return r;
}

/* The namespaces of the first process that are not ours: setns(2) refuses one's own user ns. */
static int exec_join_mask(pid_t pid, uint64_t *ret_join, struct rb_err *err)
{
	static const struct {
		const char *name;
		uint64_t type;
	} kinds[] = {
		{"user", CLONE_NEWUSER},     {"mnt", CLONE_NEWNS},    {"pid", CLONE_NEWPID},
		{"net", CLONE_NEWNET},       {"ipc", CLONE_NEWIPC},   {"uts", CLONE_NEWUTS},
		{"cgroup", CLONE_NEWCGROUP}, {"time", CLONE_NEWTIME},
	};

	*ret_join = 0;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		char path[64];
		struct stat theirs;
		struct stat ours;

		snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i].name);
		if (stat(path, &ours) < 0)
			continue; /* a kernel without this namespace */
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kinds[i].name);
		if (stat(path, &theirs) < 0) {
			err_set(err, RB_NAMESPACE, errno, "cannot see the container's namespaces");
			err_fix(err, "exec must be called by the user, and in the user namespace, "
				     "that started the container; a created one needs a "
				     "'start' first");
			return -EACCES;
		}
		if (ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev)
			*ret_join |= kinds[i].type;
	}
	return 0;
}

static int exec_check(const struct exec_options *options, const struct spec_process *process,
		      const char *id, struct plan_options *plan_options, struct rb_err *err)
{
	if (options->detach && process->terminal && !options->console_socket)
		return err_set(err, RB_USAGE, 0,
			       "cannot allocate tty if runc will detach without setting console "
			       "socket");
	if ((!options->detach || !process->terminal) && options->console_socket)
		return err_set(err, RB_USAGE, 0,
			       "cannot use console socket if runc will not detach or allocate tty");
	if (options->preserve_fds > LIMIT_PRESERVED_FDS)
		return err_set(err, RB_USAGE, 0, "--preserve-fds: at most %u", LIMIT_PRESERVED_FDS);
	*plan_options = (struct plan_options){
		.id = id,
		.foreground = !options->detach,
		.console = !process->terminal ? CONSOLE_NONE
			   : options->detach  ? CONSOLE_SOCKET
					      : CONSOLE_OWN,
		.preserve_fds = options->preserve_fds,
		.pid_file = options->pid_file,
		.pidfd_socket = options->pidfd_socket != NULL,
		.cgroup_below = options->cgroup.v,
		.n_cgroup_below = options->cgroup.n,
	};
	return 0;
}

static int exec_open(struct arena *arena, const struct globals *globals, const char *id,
		     struct state_root *root, struct container *container, struct rb_err *err)
{
	int pidfd;
	int r = open_container(arena, globals, id, root, container, err);

	if (r < 0)
		return r;
	pidfd = container_init_open(container);
	if (pidfd < 0 && pidfd != -ESRCH)
		return status_unknown(pidfd, container, err);
	if (pidfd < 0) {
		err_set(err, RB_STATE_WRONG, 0, "cannot exec in a stopped container");
		err_fix(err, "start a container first: 'runbuild state %s' shows what it is", id);
		return -ESRCH;
	}
	return pidfd;
}

static int exec_check_status(struct arena *arena, const struct exec_options *options,
			     const struct container *container, struct rb_err *err)
{
	int status = status_with_freezer(arena, container);

	if (status < 0)
		return status_unknown(status, container, err);
	if (status == STATUS_CREATING) {
		/* its mount namespace may still have the host's root */
		err_set(err, RB_STATE_WRONG, 0, "cannot exec in a container that is being set up");
		err_fix(err, "wait until 'runbuild state %s' says created or running",
			container->id);
		return -EAGAIN;
	}
	if (options->ignore_paused || status != STATUS_PAUSED)
		return 0;
	err_set(err, RB_STATE_WRONG, 0,
		"cannot exec in a paused container (use --ignore-paused to override)");
	err_fix(err, "runbuild resume %s", container->id);
	return -EBUSY;
}

static int exec_run_process(struct arena *arena, const struct globals *globals,
			    const struct exec_options *options, int argc, char **argv,
			    struct rb_err *err)
{
	CLEANUP_CONTAINER struct container container = {.dir = -1};
	CLEANUP(state_root_close) struct state_root root = {.fd = -1};
	CLEANUP_FD int init = -1;
	CLEANUP_FD int signals = -1;
	struct state_record record;
	struct spec_process process = {0};
	struct plan_options plan_options;
	struct launch_context context;
	struct launch launch;
	const struct spec *spec;
	const struct plan *plan;
	struct host host;
	uint64_t join;
	int r;

	init = exec_open(arena, globals, argv[0], &root, &container, err);
	if (init < 0)
		return init;
	if ((r = container_read(arena, &container, &record, err)) < 0 ||
	    (r = exec_check_status(arena, options, &container, err)) < 0 ||
	    (r = spec_parse(arena, record.config, record.config_len, record.bundle, &spec, err)) <
		    0 ||
	    (r = host_probe(HOST_WANT_IDMAPS | HOST_WANT_LSM, &host, err)) < 0 ||
	    /* it may start us anew, and what a pipe held would be gone */
	    (r = self_seal(&host, globals->argv, err)) < 0 ||
	    (r = exec_read_process(arena, options, spec, argc - 1, argv + 1, &process, err)) < 0 ||
	    (r = exec_check(options, &process, container.id, &plan_options, err)) < 0 ||
	    (r = globals_cgroup(globals, &host, &plan_options, err)) < 0 ||
	    (r = exec_join_mask(container.init.pid, &join, err)) < 0 ||
	    (r = bundle_filter(arena, spec, &root, &plan_options, err)) < 0 ||
	    (r = plan_build_exec(arena, spec, &process, &host, join, record.cgroup, &plan_options,
				 &plan, err)) < 0 ||
	    (r = plan_check(plan, err)) < 0 || (r = signals = launch_take_signals(err)) < 0)
		return r;
	context = (struct launch_context){
		.arena = arena,
		.console_socket = options->console_socket,
		.pidfd_socket = options->pidfd_socket,
		.record = &record,
		.annotations = bundle_annotations(arena, spec),
		.n_annotations = spec->n_annotations,
		.init_pidfd = init,
		.init_pid = container.init.pid,
		.start_socket = -1,
		.signals = signals,
	};
	r = launch_start(&launch, plan, &context, err);
	if (r < 0)
		return r;
	if (plan_options.foreground)
		r = launch_wait(&launch, err);
	launch_end(&launch);
	return r;
}

static int exec_main(struct arena *arena, const struct globals *globals, const void *options,
		     int argc, char **argv, struct rb_err *err)
{
	int r = exec_run_process(arena, globals, options, argc, argv, err);

	if (r < 0 && !str_starts(err->what, "exec failed"))
		err_context(err, "exec failed");
	return r;
}

const struct verb verb_exec = {
	.name = "exec",
	.summary = "run a further process in a container",
	.args = "ID [COMMAND [ARGUMENT...]]",
	.min_args = 1,
	.max_args = -1,
	.options = exec_option_table,
	.options_size = sizeof(struct exec_options),
	.error_status = 255,
	.run = exec_main,
};
