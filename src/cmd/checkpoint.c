/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `checkpoint` and `restore`: the processes of a container as files, by criu(8). What is said to
 * criu here are runc's choices, so that images made under either can be restored under either:
 * bind mounts and masked files come from outside, descriptors.json names the standard streams.
 * Needs root of the host, as criu does.
 */
#include "base/file.h"
#include "base/json.h"
#include "base/num.h"
#include "cmd/run.h"
#include "cmd/verbs.h"
#include "host/helper.h"

enum { STREAMS = 3 };

struct criu_options {
	const char *image_path, *work_path, *manage_cgroups, *empty_ns;
	bool tcp_established, ext_unix_sk, shell_job, file_locks, auto_dedup;
};

struct checkpoint_options {
	struct criu_options criu;
	const char *parent_path, *page_server, *status_fd;
	bool leave_running, pre_dump, lazy_pages, link_remap, tcp_skip_in_flight;
};

struct restore_options {
	struct criu_options criu;
	struct run_options run;
	const char *lsm_profile, *lsm_mount_context;
	bool lazy_pages;
};

/* Both structs begin with it. */
#define CRIU(member) offsetof(struct criu_options, member)
/* clang-format off */
#define CRIU_OPTIONS                                                                               \
	{"image-path", 0, OPTION_STRING, CRIU(image_path), "DIR",                                  \
	 "where the images are; default: checkpoint"},                                             \
		{"work-path", 0, OPTION_STRING, CRIU(work_path), "DIR",                            \
		 "where criu's log goes; default: with the images"},                               \
		{"tcp-established", 0, OPTION_FLAG, CRIU(tcp_established), NULL,                   \
		 "allow open TCP connections"},                                                    \
		{"ext-unix-sk", 0, OPTION_FLAG, CRIU(ext_unix_sk), NULL,                           \
		 "allow external unix sockets"},                                                   \
		{"shell-job", 0, OPTION_FLAG, CRIU(shell_job), NULL,                               \
		 "allow a terminal of the caller"},                                                \
		{"file-locks", 0, OPTION_FLAG, CRIU(file_locks), NULL, "allow file locks"},        \
		{"auto-dedup", 0, OPTION_FLAG, CRIU(auto_dedup), NULL,                             \
		 "drop pages that the parent has"},                                                \
		{"manage-cgroups-mode", 0, OPTION_STRING, CRIU(manage_cgroups), "MODE",            \
		 "criu's mode: soft (default), full, strict or ignore"},                           \
		{"empty-ns", 0, OPTION_STRING, CRIU(empty_ns), "TYPE",                             \
		 "network: that namespace without its content"}
/* clang-format on */

#define OPT(member) offsetof(struct checkpoint_options, member)

static const struct option_entry checkpoint_option_table[] = {
	CRIU_OPTIONS,
	{"parent-path", 0, OPTION_STRING, OPT(parent_path), "DIR",
	 "images of a pre-dump, relative to those of --image-path"},
	{"leave-running", 0, OPTION_FLAG, OPT(leave_running), NULL,
	 "let the container go on afterwards"},
	{"pre-dump", 0, OPTION_FLAG, OPT(pre_dump), NULL,
	 "only memory, for a later checkpoint; the container goes on"},
	{"page-server", 0, OPTION_STRING, OPT(page_server), "ADDRESS:PORT",
	 "send memory to the page server there"},
	{"lazy-pages", 0, OPTION_FLAG, OPT(lazy_pages), NULL,
	 "leave memory here, for a restore that fetches it when it is used"},
	{"status-fd", 0, OPTION_STRING, OPT(status_fd), "N",
	 "descriptor that gets a zero byte once lazy pages can be fetched"},
	{"link-remap", 0, OPTION_FLAG, OPT(link_remap), NULL,
	 "allow open files without a name: they get one for the time being"},
	{"tcp-skip-in-flight", 0, OPTION_FLAG, OPT(tcp_skip_in_flight), NULL,
	 "leave out TCP connections that are not established yet"},
	OPTION_END,
};

#undef OPT
#define OPT(member) offsetof(struct restore_options, member)

static const struct option_entry restore_option_table[] = {
	CRIU_OPTIONS,
	{"bundle", 'b', OPTION_STRING, OPT(run.bundle), "DIR",
	 "the bundle; default: the current directory"},
	{"detach", 'd', OPTION_FLAG, OPT(run.detach), NULL, "return once the container goes on"},
	{"pid-file", 0, OPTION_STRING, OPT(run.pid_file), "FILE", "write the process id to FILE"},
	{"console-socket", 0, OPTION_STRING, OPT(run.console_socket), "PATH",
	 "socket that receives the terminal's master"},
	{"lazy-pages", 0, OPTION_FLAG, OPT(lazy_pages), NULL,
	 "memory comes from criu's lazy-pages daemon when it is used"},
	{"lsm-profile", 0, OPTION_STRING, OPT(lsm_profile), "TYPE:NAME",
	 "AppArmor profile or SELinux label instead of that of the images"},
	{"lsm-mount-context", 0, OPTION_STRING, OPT(lsm_mount_context), "CONTEXT",
	 "SELinux context of mounts instead of that of the images"},
	{"no-pivot", 0, OPTION_IGNORED, 0, NULL, "accepted; criu enters the root"},
	{"no-subreaper", 0, OPTION_IGNORED, 0, NULL, "accepted; runbuild is never a subreaper"},
	OPTION_END,
};

/* ---- what both ask for ---- */

static int criu_cgroups_mode(const char *text, struct criu_request *request, struct rb_err *err)
{
	static const struct {
		const char *name;
		int mode;
	} modes[] = {
		{"soft", CRIU_CGROUPS_SOFT},
		{"full", CRIU_CGROUPS_FULL},
		{"strict", CRIU_CGROUPS_STRICT},
		{"ignore", CRIU_CGROUPS_IGNORE},
	};

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (!str_eq(text ? text : "soft", modes[i].name))
			continue;
		request->cgroups = modes[i].mode;
		return 0;
	}
	return err_set(err, RB_USAGE, 0, "Invalid manage-cgroups-mode: '%s'", text);
}

static int criu_directory(const char *path, bool make, int *ret_fd, struct rb_err *err)
{
	int fd;

	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(err, RB_CRIU, errno, "cannot make '%s'", path);
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0) {
		err_set(err, RB_CRIU, -fd, "cannot open '%s'", path);
		err_fix(err, "--image-path and --work-path name directories");
		return fd;
	}
	*ret_fd = fd;
	return 0;
}

static const char *criu_image_path(const struct criu_options *options)
{
	return options->image_path ? options->image_path : "checkpoint";
}

static int criu_common(const struct criu_options *options, bool dump, struct criu_request *request,
		       struct rb_err *err)
{
	int r;

	request->images = request->work = -1;
	request->tcp_established = options->tcp_established;
	request->ext_unix_sk = options->ext_unix_sk;
	request->shell_job = options->shell_job;
	request->file_locks = options->file_locks;
	request->auto_dedup = options->auto_dedup;
	if (options->empty_ns && !str_eq(options->empty_ns, "network"))
		return err_set(err, RB_USAGE, 0, "namespace %s is not supported",
			       options->empty_ns);
	request->empty_ns = options->empty_ns ? CLONE_NEWNET : 0;
	if (geteuid() != 0)
		return err_set(err, RB_CRIU, EPERM, "criu needs root of the host");
	r = criu_cgroups_mode(options->manage_cgroups, request, err);
	if (r == 0)
		r = criu_directory(criu_image_path(options), dump, &request->images, err);
	if (r == 0 && options->work_path)
		r = criu_directory(options->work_path, true, &request->work, err);
	return r;
}

static int criu_find(struct arena *arena, const struct globals *globals, struct criu_start *start,
		     struct rb_err *err)
{
	int r;

	start->path = globals->criu ? globals->criu : helper_find(arena, "criu");
	if (!start->path) {
		err_set(err, RB_CRIU, 0, "criu is not installed");
		err_fix(err, "sudo apt install criu");
		return -ENOENT;
	}
	r = sys_faccessat2(AT_FDCWD, start->path, X_OK, AT_EACCESS);
	return r < 0 ? err_set(err, RB_CRIU, -r, "cannot run '%s'", start->path) : 0;
}

/* Where links below the root lead: criu knows a mount by the place where it is. */
static const char *mount_place(struct arena *arena, int root, const char *root_path,
			       const char *destination)
{
	CLEANUP_FD int fd = sys_openat2(root, destination, O_PATH, 0, RESOLVE_IN_ROOT);
	char link[64];
	char place[4096];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = fd < 0 ? -1 : readlink(link, place, sizeof(place) - 1);
	if (len <= 0 || (size_t)len >= sizeof(place) - 1)
		return destination;
	place[len] = '\0';
	if (!str_starts(place, root_path) || place[strlen(root_path)] != '/')
		return destination;
	return arena_strdup(arena, place + strlen(root_path));
}

static void add_mount(struct criu_request *request, struct criu_pair *pairs, const char *place,
		      const char *from)
{
	pairs[request->n_mounts++] = (struct criu_pair){place, from};
}

/*
 * Mounts from outside: noted under their own place in a dump, and found again by it. A masked
 * directory is a tmpfs of the container, a masked file is the host's null device.
 */
static int criu_mounts(struct arena *arena, const struct spec *spec, int root,
		       struct criu_request *request, struct rb_err *err)
{
	bool dump = request->type != CRIU_RESTORE;
	struct criu_pair *pairs = arena_array(
		arena, spec->n_mounts + spec->masked_paths.n + spec->n_devices + 1, sizeof(*pairs));
	struct stat st;

	if (!pairs)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "mounts");
	request->mounts = pairs;
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct spec_mount *mount = &spec->mounts[i];
		const char *place;

		if (!mount->bind)
			continue;
		place = mount_place(arena, root, spec->root_path, mount->destination);
		add_mount(request, pairs, place, dump ? place : mount->source);
	}
	/* where they are is known by the images; the container's own file systems show the kind */
	for (size_t i = 0; dump && i < spec->masked_paths.n; i++)
		if (stat(arena_printf(arena, "/proc/%d/root/%s", (int)request->pid,
				      spec->masked_paths.v[i]),
			 &st) == 0 &&
		    !S_ISDIR(st.st_mode))
			add_mount(request, pairs, spec->masked_paths.v[i], "/dev/null");
	if (!dump && spec->masked_paths.n)
		add_mount(request, pairs, "/dev/null", "/dev/null");
	for (size_t i = 0; i < spec->n_devices; i++)
		add_mount(request, pairs, spec->devices[i].path, spec->devices[i].path);
	return 0;
}

/* Namespaces that the configuration names by path are there before and after: criu leaves them. */
static const struct {
	uint64_t type;
	const char *name, *key;
} outer_namespaces[] = {
	{CLONE_NEWNET, "net", "extRootNetNS"},
	{CLONE_NEWPID, "pid", "extRootPidNS"},
};

/* ---- checkpoint ---- */

static int checkpoint_namespaces(struct arena *arena, const struct spec *spec,
				 struct criu_request *request, struct rb_err *err)
{
	request->external = arena_array(arena, ARRAY_LEN(outer_namespaces) + STREAMS,
					sizeof(char *));
	if (!request->external)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "namespaces");
	for (size_t i = 0; i < ARRAY_LEN(outer_namespaces); i++) {
		const struct spec_namespace *ns = spec_namespace_find(spec,
								      outer_namespaces[i].type);
		struct stat st;

		if (!ns || !ns->path)
			continue;
		if (stat(ns->path, &st) < 0)
			return err_set(err, RB_NAMESPACE, errno, "cannot open the namespace '%s'",
				       ns->path);
		request->external[request->n_external++] = arena_printf(
			arena, "%s[%lu]:%s", outer_namespaces[i].name, (unsigned long)st.st_ino,
			outer_namespaces[i].key);
	}
	return 0;
}

/* Is the mount of an open file one of the process's own? mountinfo: proc_pid_mountinfo(5) */
static bool mount_inside(struct arena *arena, pid_t pid, unsigned mount)
{
	const char *path = arena_printf(arena, "/proc/%d/mountinfo", (int)pid);
	const char *wanted = arena_printf(arena, "\n%u ", mount);
	char *text;

	if (!path || !wanted ||
	    file_read_at(arena, AT_FDCWD, path, LIMIT_STATE_BYTES, &text, NULL) < 0)
		return true;
	return str_starts(text, wanted + 1) || strstr(text, wanted);
}

/*
 * A standard stream that is a file of the host: criu takes it as external by its mount and
 * inode, "file[MNT:INODE]", and is given the stream of the caller for it. NULL: it is not one.
 */
static const char *stream_outside(struct arena *arena, pid_t pid, int fd)
{
	const char *path = arena_printf(arena, "/proc/%d/fd/%d", (int)pid, fd);
	char info[1024];
	const char *mount;
	unsigned id = 0;
	struct stat st;

	if (!path || stat(path, &st) < 0 || S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
		return NULL;
	path = arena_printf(arena, "/proc/%d/fdinfo/%d", (int)pid, fd);
	if (!path || file_read_small(AT_FDCWD, path, info, sizeof(info)) <= 0)
		return NULL;
	mount = strstr(info, "mnt_id:");
	for (mount = mount ? mount + strcspn(mount, "0123456789") : "";
	     *mount >= '0' && *mount <= '9'; mount++)
		id = id * 10 + (unsigned)(*mount - '0');
	if (!id || mount_inside(arena, pid, id))
		return NULL;
	return arena_printf(arena, "file[%x:%lx]", id, (unsigned long)st.st_ino);
}

/* What the standard streams are: what comes from outside is replaced by what `restore` has. */
static int checkpoint_streams(struct arena *arena, struct criu_request *request, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	int r;

	for (int fd = 0; fd < STREAMS; fd++) {
		const char *outside = stream_outside(arena, request->pid, fd);
		char path[64];
		char link[4096];
		ssize_t len;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)request->pid, fd);
		len = readlink(path, link, sizeof(link) - 1);
		link[len < 0 ? 0 : len] = '\0';
		strbuf_add(&text, fd ? "," : "[");
		strbuf_add_json(&text, outside ? outside : link);
		if (outside)
			request->external[request->n_external++] = outside;
	}
	strbuf_add(&text, "]");
	r = text.failed ? -ENOMEM
			: file_replace_at(request->images, "descriptors.json", text.text, text.len,
					  0600);
	return r < 0 ? err_set(err, RB_CRIU, -r, "cannot write the images' descriptors.json") : 0;
}

/* A directory of cgroupfs: criu stops the processes there, all at once. */
static const char *checkpoint_freezer(struct arena *arena, const struct container *container)
{
	CLEANUP_CGROUP struct cgroup cgroup = {.n = 0};
	const char *name = container_cgroup(arena, container);
	const struct cgroup_member *member;
	char link[64];
	char path[4096];
	ssize_t len;

	if (!name || cgroup_open(arena, name, &cgroup) < 0)
		return NULL;
	member = cgroup_member_for(&cgroup, false, "freezer");
	for (size_t i = 0; !member && i < cgroup.n; i++)
		if (cgroup.v[i].v2)
			member = &cgroup.v[i];
	if (!member)
		return NULL;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", member->fd);
	len = readlink(link, path, sizeof(path));
	return len > 0 && (size_t)len < sizeof(path) ? arena_strndup(arena, path, (size_t)len)
						     : NULL;
}

static int checkpoint_parent(const struct checkpoint_options *options, struct criu_request *request,
			     struct rb_err *err)
{
	CLEANUP_FD int parent = -1;

	request->parent = options->parent_path;
	if (!options->parent_path)
		return 0;
	if (options->parent_path[0] == '/')
		return err_set(err, RB_USAGE, 0, "--parent-path must be relative to --image-path");
	parent = sys_openat(request->images, options->parent_path, O_PATH | O_DIRECTORY, 0);
	return parent < 0 ? err_set(err, RB_USAGE, -parent, "invalid --parent-path '%s'",
				    options->parent_path)
			  : 0;
}

/* "ADDRESS:PORT", "[ADDRESS]:PORT" */
static int checkpoint_page_server(struct arena *arena, const char *text,
				  struct criu_request *request, struct rb_err *err)
{
	const char *colon = text ? strrchr(text, ':') : NULL;
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (!text)
		return 0;
	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	} else if (text[0] == '[' || memchr(text, ':', len)) {
		len = 0;
	}
	if (len == 0 || num_parse_u32(colon + 1, &request->page_server_port) < 0 ||
	    request->page_server_port == 0 || request->page_server_port > 65535) {
		err_set(err, RB_USAGE, 0, "Use --page-server ADDRESS:PORT to specify page server");
		return -EINVAL;
	}
	request->page_server = arena_strndup(arena, text, len);
	return request->page_server ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "page server");
}

/* A descriptor of the caller, for one byte. */
static int checkpoint_status_fd(const char *text, int *ret_fd, struct rb_err *err)
{
	uint32_t number = 0;
	int flags;

	if (!text)
		return 0;
	flags = num_parse_u32(text, &number) < 0 || number > INT_MAX ? -1
								     : fcntl((int)number, F_GETFL);
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return err_set(err, RB_USAGE, 0, "invalid --status-fd argument %.20s: %s", text,
			       flags < 0 ? "not an open descriptor" : "not writable");
	*ret_fd = (int)number;
	return 0;
}

static int checkpoint_request(struct arena *arena, const struct checkpoint_options *options,
			      const struct container *container, const struct spec *spec,
			      struct criu_request *request, struct rb_err *err)
{
	CLEANUP_FD int root = -1;
	int r;

	request->type = options->pre_dump ? CRIU_PRE_DUMP : CRIU_DUMP;
	request->pid = container->init.pid;
	request->log = "dump.log";
	request->root = spec->root_path;
	request->leave_running = options->leave_running;
	request->lazy_pages = options->lazy_pages;
	request->link_remap = options->link_remap;
	request->tcp_skip_in_flight = options->tcp_skip_in_flight;
	request->freeze_cgroup = checkpoint_freezer(arena, container);
	if ((r = criu_common(&options->criu, true, request, err)) < 0 ||
	    (r = checkpoint_parent(options, request, err)) < 0 ||
	    (r = checkpoint_page_server(arena, options->page_server, request, err)) < 0 ||
	    (r = checkpoint_namespaces(arena, spec, request, err)) < 0 || options->pre_dump)
		return r;
	root = sys_openat(AT_FDCWD, spec->root_path, O_PATH | O_DIRECTORY, 0);
	r = criu_mounts(arena, spec, root, request, err);
	return r < 0 ? r : checkpoint_streams(arena, request, err);
}

/* A zero byte, and the end of the file: from now on memory can be fetched. */
static int checkpoint_noted(void *data, const struct criu_reply *reply, int *fd UNUSED,
			    struct rb_err *err)
{
	int *status_fd = data;
	int r;

	if (*status_fd < 0 || !str_eq(reply->script, "status-ready"))
		return 0;
	r = fd_write_all(*status_fd, "", 1);
	fd_close(status_fd);
	return r < 0 ? err_set(err, RB_CRIU, -r, "cannot write to --status-fd") : 0;
}

static int checkpoint_ask(const struct criu_start *start, const struct criu_request *request,
			  int status_fd, struct rb_err *err)
{
	const struct criu_listener listener = {
		.noted = checkpoint_noted, .data = &status_fd, .signals = -1};
	struct criu criu;
	int r = criu_start(start, &criu, err);

	if (r < 0)
		return r;
	r = criu_ask(&criu, request, &listener, err);
	criu_end(&criu);
	if (r < 0)
		criu_explain(request->work >= 0 ? request->work : request->images, request->log,
			     err);
	return r;
}

static int checkpoint_main(struct arena *arena, const struct globals *globals, const void *options,
			   int argc UNUSED, char **argv, struct rb_err *err)
{
	const struct checkpoint_options *own = options;
	CLEANUP_CONTAINER struct container container = {.dir = -1};
	CLEANUP(state_root_close) struct state_root root = {.fd = -1};
	struct criu_request request = {.images = -1, .work = -1};
	struct criu_start start = {0};
	struct state_record record;
	const struct spec *spec;
	int status_fd = -1;
	int status;
	int r = open_container(arena, globals, argv[0], &root, &container, err);

	if (r < 0)
		return r;
	status = status_with_freezer(arena, &container);
	if (status < 0)
		return status_unknown(status, &container, err);
	if (status != STATUS_RUNNING && status != STATUS_PAUSED)
		return err_set(err, RB_STATE_WRONG, 0,
			       "Container cannot be checkpointed in %s state",
			       container_status_names[status]);
	if ((r = criu_find(arena, globals, &start, err)) == 0 &&
	    (r = checkpoint_status_fd(own->status_fd, &status_fd, err)) == 0 &&
	    (r = container_read(arena, &container, &record, err)) == 0 &&
	    (r = spec_parse(arena, record.config, record.config_len, record.bundle, &spec, err)) ==
		    0 &&
	    (r = checkpoint_request(arena, own, &container, spec, &request, err)) == 0)
		r = checkpoint_ask(&start, &request, status_fd, err);
	fd_close(&request.images);
	fd_close(&request.work);
	if (r < 0 || own->leave_running || own->pre_dump)
		return r;
	/* it is in the images now, and its name is free for `restore` */
	return container_delete(arena, &root, &container, true, err);
}

/* ---- restore ---- */

struct restore_job {
	struct arena *arena;
	const struct globals *globals;
	const struct restore_options *options;
	struct criu_request request; /* its directories are ours to close */
	struct criu_inherited inherited[STREAMS + ARRAY_LEN(outer_namespaces)];
	int fds[ARRAY_LEN(outer_namespaces)];
	size_t n_fds;
};

static int restore_namespaces(struct restore_job *job, const struct spec *spec, struct rb_err *err)
{
	struct criu_request *request = &job->request;

	for (size_t i = 0; i < ARRAY_LEN(outer_namespaces); i++) {
		const struct spec_namespace *ns = spec_namespace_find(spec,
								      outer_namespaces[i].type);
		int fd;

		if (!ns || !ns->path)
			continue;
		fd = sys_openat(AT_FDCWD, ns->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
		if (fd < 0)
			return err_set(err, RB_NAMESPACE, -fd, "cannot open the namespace '%s'",
				       ns->path);
		job->inherited[request->n_inherited++] = (struct criu_inherited){
			outer_namespaces[i].key, 4 + (int)job->n_fds};
		job->fds[job->n_fds++] = fd;
	}
	return 0;
}

static int restore_streams(struct restore_job *job, struct rb_err *err)
{
	struct criu_request *request = &job->request;
	const struct json_node *list;
	char *text;
	size_t len;
	int fd = 0;
	int r = file_read_at(job->arena, request->images, "descriptors.json", LIMIT_CONFIG_BYTES,
			     &text, &len);

	if (r < 0) {
		err_set(err, RB_CRIU, -r, "cannot read the images' descriptors.json");
		err_fix(err, "--image-path names a directory that 'checkpoint' has filled");
		return r;
	}
	r = json_parse(job->arena, "descriptors.json", text, len, &list, err);
	if (r < 0)
		return r;
	JSON_FOREACH (item, list) {
		if (fd < STREAMS && item->text &&
		    (str_starts(item->text, "pipe:") || str_starts(item->text, "file[")))
			job->inherited[request->n_inherited++] = (struct criu_inherited){item->text,
											 fd};
		fd++;
	}
	return 0;
}

static int restore_prepare(void *data, const struct spec *spec, struct launch_restore *ret_restore,
			   struct rb_err *err)
{
	struct restore_job *job = data;
	CLEANUP_FD int root = sys_openat(AT_FDCWD, spec->root_path, O_PATH | O_DIRECTORY, 0);
	struct criu_request *request = &job->request;
	int r;

	request->type = CRIU_RESTORE;
	request->log = "restore.log";
	request->root = spec->root_path;
	request->lazy_pages = job->options->lazy_pages;
	request->lsm_profile = job->options->lsm_profile;
	request->lsm_mount_context = job->options->lsm_mount_context;
	request->inherited = job->inherited;
	ret_restore->keep_tty = spec->process.terminal && !job->options->run.console_socket;
	if ((r = criu_find(job->arena, job->globals, &ret_restore->start, err)) < 0 ||
	    (r = criu_common(&job->options->criu, false, request, err)) < 0 ||
	    (r = criu_mounts(job->arena, spec, root, request, err)) < 0 ||
	    (r = restore_namespaces(job, spec, err)) < 0 || (r = restore_streams(job, err)) < 0)
		return r;
	ret_restore->request = *request;
	ret_restore->start.root = spec->root_path;
	ret_restore->start.images = criu_image_path(&job->options->criu);
	ret_restore->start.work = job->options->criu.work_path ? job->options->criu.work_path
							       : ret_restore->start.images;
	ret_restore->start.fds = job->fds;
	ret_restore->start.n_fds = job->n_fds;
	return 0;
}

static int restore_main(struct arena *arena, const struct globals *globals, const void *options,
			int argc UNUSED, char **argv, struct rb_err *err)
{
	const struct restore_options *own = options;
	struct restore_job job = {.arena = arena,
				  .globals = globals,
				  .options = own,
				  .request = {.images = -1, .work = -1}};
	const struct run_restore restore = {.prepare = restore_prepare, .data = &job};
	int r = run_main(arena, globals, &own->run, argv[0], &(struct run_how){.restore = &restore},
			 err);

	fd_close(&job.request.images);
	fd_close(&job.request.work);
	for (size_t i = 0; i < job.n_fds; i++)
		fd_close(&job.fds[i]);
	return r;
}

const struct verb verb_checkpoint = {
	.name = "checkpoint",
	.summary = "write the processes of a container to disk, through criu",
	.args = "ID",
	.min_args = 1,
	.max_args = 1,
	.options = checkpoint_option_table,
	.options_size = sizeof(struct checkpoint_options),
	.run = checkpoint_main,
};

const struct verb verb_restore = {
	.name = "restore",
	.summary = "let the processes of a checkpoint go on, through criu",
	.args = "ID",
	.min_args = 1,
	.max_args = 1,
	.options = restore_option_table,
	.options_size = sizeof(struct restore_options),
	.run = restore_main,
};
