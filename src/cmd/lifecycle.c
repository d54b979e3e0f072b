/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `start`, `kill`, `delete`, `state`: what happens to a container that exists. `kill`, `delete`
 * and `state` stay below a millisecond: they read links, and parse JSON only when they must.
 * The words of their errors are runc's; clients look for them.
 */
#include <dirent.h>
#include <sys/un.h>
#include "base/file.h"
#include "base/num.h"
#include "cmd/cmd.h"
#include "cmd/verbs.h"

enum { KILL_WAIT_MS = 5000, DELETE_WAIT_MS = 10000 };

static const struct option_entry no_options[] = {OPTION_END};

/* start */

static int start_connect(const struct container *container, struct rb_err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP_FD int sock = sys_socket(AF_UNIX, SOCK_SEQPACKET, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/start.sock",
		 container->dir);
	if (sock < 0)
		return err_set(err, RB_INTERNAL, -sock, "socket");
	if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0) {
		/* ECONNREFUSED: another `start` was first and died before it removed the socket */
		(void)unlinkat(container->dir, "start.sock", 0);
		return err_set(err, RB_STATE_WRONG, 0, "cannot start an already running container");
	}
	/* from now on the container counts as running, whatever becomes of us */
	(void)unlinkat(container->dir, "start.sock", 0);
	return fd_take(&sock);
}

/* poststart hooks: a failure is logged, the container goes on. */
static void start_hooks(struct arena *arena, const struct container *container)
{
	struct state_record record;
	const struct spec *spec;
	struct rb_err err;

	if (container_read(arena, container, &record, &err) < 0 ||
	    spec_parse(arena, record.config, record.config_len, record.bundle, &spec, &err) < 0) {
		log_warn("poststart hooks are lost: %s", err.what);
		return;
	}
	hooks_run(spec, HOOK_POSTSTART, &record, bundle_annotations(arena, spec),
		  container->init.pid);
}

/* The filter of a created container is installed only now: its listener comes to us. */
static int start_listener(struct arena *arena, const struct container *container, int listener,
			  struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf state = {0};
	struct state_record record;
	const struct spec *spec;
	int r;

	if ((r = container_read(arena, container, &record, err)) < 0 ||
	    (r = spec_parse(arena, record.config, record.config_len, record.bundle, &spec, err)) <
		    0)
		return r;
	if (!spec->seccomp.listener_path)
		return err_set(err, RB_INTERNAL, EPROTO,
			       "a seccomp listener that nobody asked for");
	state_json(&record, bundle_annotations(arena, spec), spec->n_annotations, "created",
		   container->init.pid, &state);
	return listener_send(spec->seccomp.listener_path, listener, container->init.pid,
			     spec->seccomp.listener_metadata ? spec->seccomp.listener_metadata : "",
			     state.text ? state.text : "{}", err);
}

static int start_main(struct arena *arena, const struct globals *globals,
		      const void *options UNUSED, int argc UNUSED, char **argv, struct rb_err *err)
{
	CLEANUP_CONTAINER struct container container = {.dir = -1};
	CLEANUP_FD int sock = -1;
	CLEANUP_FD int listener = -1;
	CLEANUP_FD int init = -1;
	bool exec_reported = false;
	struct state_root root;
	int r = open_container(arena, globals, argv[0], &root, &container, err);

	if (r < 0)
		return r;
	init = container_init_open(&container);
	r = container_status(&container);
	if (r < 0)
		return status_unknown(r, &container, err);
	switch (r) {
	case STATUS_CREATED: break;
	case STATUS_STOPPED:
		return err_set(err, RB_STATE_WRONG, 0, "cannot start a container that has stopped");
	case STATUS_CREATING:
		return err_set(err, RB_STATE_WRONG, 0,
			       "cannot start a container that is being set up");
	default:
		return err_set(err, RB_STATE_WRONG, 0, "cannot start an already running container");
	}
	sock = start_connect(&container, err);
	if (sock < 0)
		return sock;
	r = launch_await_start(sock, &exec_reported, &listener, err);
	if (r == 1) {
		r = start_listener(arena, &container, listener, err);
		fd_close(&listener);
		/* nobody answers its system calls: without an agent it must not go on */
		if (r < 0)
			(void)sys_pidfd_send_signal(init, SIGKILL);
		else
			r = launch_await_start(sock, &exec_reported, &listener, err);
	}
	if (r < 0)
		return r;
	if (container.flags & STATE_POSTSTART)
		start_hooks(arena, &container);
	return 0;
}

const struct verb verb_start = {
	.name = "start",
	.summary = "start the program of a created container",
	.args = "ID",
	.min_args = 1,
	.max_args = 1,
	.options = no_options,
	.run = start_main,
};

/* kill */

struct kill_options {
	bool all;
};

static const struct option_entry kill_option_table[] = {
	{"all", 'a', OPTION_FLAG, offsetof(struct kill_options, all), NULL,
	 "signal every process of the container"},
	OPTION_END,
};

/* Every process of the container, each by a descriptor that cannot mean another one. */
static void kill_each(struct arena *arena, const struct container *container, int sig)
{
	struct rb_err ignored; /* none left to signal */
	pid_t *pids;
	size_t n;

	if (container_pids(arena, container, &pids, &n, &ignored) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		CLEANUP_FD int pidfd = sys_pidfd_open(pids[i]);

		if (pidfd >= 0)
			(void)sys_pidfd_send_signal(pidfd, sig);
	}
}

/* v1: a frozen process takes its SIGKILL only when it is thawed. v2 needs no help. */
static void kill_thaw(struct arena *arena, const struct container *container)
{
	CLEANUP_CGROUP struct cgroup cgroup = {.n = 0};
	const char *name = container_cgroup(arena, container);
	struct rb_err ignored;

	if (name && cgroup_open(arena, name, &cgroup) == 0 && cgroup_frozen(&cgroup))
		(void)cgroup_freeze(&cgroup, false, &ignored);
}

static int kill_main(struct arena *arena, const struct globals *globals, const void *options,
		     int argc, char **argv, struct rb_err *err)
{
	const struct kill_options *kill_options = options;
	CLEANUP_CONTAINER struct container container = {.dir = -1};
	CLEANUP_FD int pidfd = -1;
	struct state_root root;
	int sig = SIGTERM;
	int r;

	if ((argc > 1 && (r = signal_parse(argv[1], &sig, err)) < 0) ||
	    (r = open_container(arena, globals, argv[0], &root, &container, err)) < 0)
		return r;
	/* still being set up: BuildKit kills once, and must hit */
	if (!container.has_init && container_locked(&container))
		(void)container_wait_init(&container, KILL_WAIT_MS);
	pidfd = container_init_open(&container);
	if (pidfd >= 0) {
		if (kill_options->all)
			kill_each(arena, &container, sig);
		r = sys_pidfd_send_signal(pidfd, sig);
		if (r == 0 && sig == SIGKILL)
			kill_thaw(arena, &container);
		if (r == 0 || (r == -ESRCH && kill_options->all))
			return 0;
		if (r != -ESRCH)
			return err_set(err, RB_INTERNAL, -r, "cannot signal the container");
	}
	if (pidfd < 0 && pidfd != -ESRCH)
		return status_unknown(pidfd, &container, err);
	if (kill_options->all) {
		const char *cgroup = container_cgroup(arena, &container);

		/* a container without a pid namespace: what is left is in its cgroup */
		if (cgroup && sig == SIGKILL)
			cgroup_kill(cgroup);
		else if (cgroup)
			cgroup_signal(cgroup, sig);
		return 0;
	}
	return err_set(err, RB_NOT_RUNNING, 0, "container not running");
}

const struct verb verb_kill = {
	.name = "kill",
	.summary = "send a signal to a container",
	.args = "ID [SIGNAL]",
	.min_args = 1,
	.max_args = 2,
	.options = kill_option_table,
	.options_size = sizeof(struct kill_options),
	.run = kill_main,
};

/* delete */

struct delete_options {
	bool force;
};

static const struct option_entry delete_option_table[] = {
	{"force", 'f', OPTION_FLAG, offsetof(struct delete_options, force), NULL,
	 "kill a running container first; a missing one is no error"},
	OPTION_END,
};

/* SIGKILL and wait for the end, which the kernel delivers with the whole pid namespace. */
static int kill_and_wait(int pidfd, int timeout_ms)
{
	struct pollfd fd = {.fd = pidfd, .events = POLLIN};
	int r = sys_pidfd_send_signal(pidfd, SIGKILL);

	if (r < 0)
		return r == -ESRCH ? 0 : r;
	do
		r = poll(&fd, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	return r == 1 ? 0 : -ETIMEDOUT;
}

static void delete_poststop(struct arena *arena, const struct container *container)
{
	struct state_record record;
	const struct spec *spec;
	struct rb_err err;

	if (!(container->flags & STATE_POSTSTOP))
		return;
	if (container_read(arena, container, &record, &err) < 0 ||
	    spec_parse(arena, record.config, record.config_len, record.bundle, &spec, &err) < 0) {
		log_warn("poststop hooks are lost: %s", err.what);
		return;
	}
	hooks_run(spec, HOOK_POSTSTOP, &record, bundle_annotations(arena, spec), 0);
}

/*
 * A `run` that has the lock but no process yet, whose record is damaged, or that hangs: whoever
 * holds the lock is ended; its child then sees the end of file, or its monitor kills the
 * container.
 */
static int delete_evict(const struct container *container)
{
	CLEANUP_FD int owner = container_lock_owner(container);

	/* -ESRCH: it let go, or only its monitor is left, which is about to */
	if (owner < 0)
		return owner == -ESRCH ? 0 : owner;
	return kill_and_wait(owner, DELETE_WAIT_MS);
}

static int delete_end(struct arena *arena, struct container *container, bool force,
		      struct rb_err *err)
{
	CLEANUP_FD int pidfd = -1;
	int status;
	int r;

	if (!container->has_init) {
		if (!force && container_locked(container)) {
			err_set(err, RB_STILL_RUNNING, 0,
				"cannot delete container %s that is not stopped: creating",
				container->id);
			err_fix(err, "kill it first, or use --force");
			return -EBUSY;
		}
		if (container_locked(container) && container_wait_init(container, 1000) < 0 &&
		    (r = delete_evict(container)) < 0)
			return err_set(err, RB_STILL_RUNNING, -r, "cannot end the 'run' of %s",
				       container->id);
	}
	pidfd = container_init_open(container);
	if (pidfd == -ESRCH)
		return 0;
	status = pidfd < 0 ? pidfd : status_with_freezer(arena, container);
	if (status < 0)
		return status_unknown(status, container, err);
	if (!force && status != STATUS_CREATED) {
		err_set(err, RB_STILL_RUNNING, 0,
			"cannot delete container %s that is not stopped: %s", container->id,
			container_status_names[status]);
		err_fix(err, "kill it first, or use --force");
		return -EBUSY;
	}
	if (status == STATUS_PAUSED) {
		/* not dead before it is thawed, on v1 */
		(void)sys_pidfd_send_signal(pidfd, SIGKILL);
		kill_thaw(arena, container);
	}
	r = kill_and_wait(pidfd, DELETE_WAIT_MS);
	return r < 0 ? err_set(err, RB_STILL_RUNNING, -r, "cannot kill container %s", container->id)
		     : 0;
}

/*
 * The container's lock, so that nobody else removes it or takes its name: a foreground `run`
 * holds it until it has tidied up itself. 1: locked; 0: the container is gone.
 */
static int delete_lock(const struct container *container, bool force, struct rb_err *err)
{
	int r = container_lock(container, DELETE_WAIT_MS);

	if (r == -ETIMEDOUT && force && (r = delete_evict(container)) == 0)
		r = container_lock(container, DELETE_WAIT_MS);
	if (r == 0)
		return container_linked(container);
	err_set(err, RB_STILL_RUNNING, -r, "the 'run' of container %s does not end", container->id);
	err_fix(err, force ? "end that process, then run the command again" : "use --force");
	return r;
}

/*
 * The keeper of its network, which ends with the first process: whoever looks for what is left, and
 * whoever takes the same published port next, finds nothing of it.
 */
static void delete_network(const struct container *container)
{
	CLEANUP_FD int keeper = container_network_open(container);
	struct pollfd fd = {.fd = keeper, .events = POLLIN};
	int64_t until = sys_now_ms() + KILL_WAIT_MS;
	int r = 0;

	if (keeper < 0)
		return;
	do
		r = poll(&fd, 1, KILL_WAIT_MS);
	while (r < 0 && errno == EINTR && sys_now_ms() < until);
	/* slirp4netns ends with it, whatever ended it */
	if (r != 1 && kill_and_wait(keeper, KILL_WAIT_MS) < 0)
		log_warn("the network of container %s does not end", container->id);
}

int container_delete(struct arena *arena, const struct state_root *root,
		     struct container *container, bool force, struct rb_err *err)
{
	const char *cgroup;
	int r;

	if ((r = delete_end(arena, container, force, err)) < 0 ||
	    (r = delete_lock(container, force, err)) <= 0)
		return r;
	cgroup = container_cgroup(arena, container);
	if (cgroup) {
		/* noted and no more: whoever is in there was there before */
		if (container->has_init)
			cgroup_kill(cgroup);
		(void)cgroup_remove(cgroup);
	}
	delete_network(container);
	delete_poststop(arena, container);
	r = container_remove(root, container);
	if (r < 0) {
		err_set(err, RB_STATE_WRITE, -r, "cannot remove '%s/%s'", root->path,
			container->id);
		err_fix(err, "run the command again");
	}
	return r;
}

static int delete_main(struct arena *arena, const struct globals *globals, const void *options,
		       int argc UNUSED, char **argv, struct rb_err *err)
{
	const struct delete_options *delete_options = options;
	CLEANUP_CONTAINER struct container container = {.dir = -1};
	struct state_root root;
	int r = open_container(arena, globals, argv[0], &root, &container, err);

	if (r < 0 && err->code == RB_STATE_DAMAGED && delete_options->force)
		r = container_open_damaged(&root, argv[0], &container, err);
	if (r == -ENOENT && err->code == RB_STATE_MISSING && delete_options->force)
		return 0;
	return r < 0 ? r : container_delete(arena, &root, &container, delete_options->force, err);
}

const struct verb verb_delete = {
	.name = "delete",
	.summary = "remove what a container has left",
	.args = "ID",
	.min_args = 1,
	.max_args = 1,
	.options = delete_option_table,
	.options_size = sizeof(struct delete_options),
	.run = delete_main,
};

/* state */

static void state_print(const struct state_record *record, const char *id,
			enum container_status status, pid_t pid, struct strbuf *out)
{
	const char *const pairs[][2] = {
		{"status", container_status_names[status]},
		{"bundle", record->bundle},
		{"rootfs", record->rootfs},
		{"created", record->created},
	};

	strbuf_add(out, "{\n  \"ociVersion\": ");
	strbuf_add_json(out, record->oci_version);
	strbuf_add(out, ",\n  \"id\": ");
	strbuf_add_json(out, id);
	strbuf_printf(out, ",\n  \"pid\": %d", status == STATUS_STOPPED ? 0 : (int)pid);
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		strbuf_printf(out, ",\n  \"%s\": ", pairs[i][0]);
		strbuf_add_json(out, pairs[i][1]);
	}
	if (record->annotations && record->annotations->count) {
		const char *separator = "";

		strbuf_add(out, ",\n  \"annotations\": {");
		JSON_FOREACH (item, record->annotations) {
			strbuf_printf(out, "%s\n    ", separator);
			strbuf_add_json(out, item->key);
			strbuf_add(out, ": ");
			strbuf_add_json(out, item->text);
			separator = ",";
		}
		strbuf_add(out, "\n  }");
	}
	/* runc prints the user's name, empty when it has none; nobody reads it */
	strbuf_add(out, ",\n  \"owner\": \"\"\n}\n");
}

static int state_main(struct arena *arena, const struct globals *globals,
		      const void *options UNUSED, int argc UNUSED, char **argv, struct rb_err *err)
{
	CLEANUP_CONTAINER struct container container = {.dir = -1};
	CLEANUP_STRBUF struct strbuf text = {0};
	struct state_record record;
	struct state_root root;
	int status;
	int r;

	if ((r = open_container(arena, globals, argv[0], &root, &container, err)) < 0 ||
	    (r = container_read(arena, &container, &record, err)) < 0)
		return r;
	status = status_with_freezer(arena, &container);
	if (status < 0)
		return status_unknown(status, &container, err);
	state_print(&record, argv[0], (enum container_status)status, container.init.pid, &text);
	return print_all(&text, err);
}

const struct verb verb_state = {
	.name = "state",
	.summary = "print the state of a container as JSON",
	.args = "ID",
	.min_args = 1,
	.max_args = 1,
	.options = no_options,
	.run = state_main,
};
