/* SPDX-License-Identifier: Apache-2.0 */
/* What several verbs share: reading a bundle, its filter, containers, signals, output. */
#include <dirent.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include "base/file.h"
#include "base/num.h"
#include "cmd/cmd.h"

static const char *path_absolute(struct arena *arena, const char *path)
{
	char cwd[LIMIT_PATH_BYTES];

	if (path[0] == '/')
		return path;
	if (!getcwd(cwd, sizeof(cwd)))
		return NULL;
	return str_eq(path, ".") ? arena_strdup(arena, cwd)
				 : arena_printf(arena, "%s/%s", cwd, path);
}

int bundle_load(struct arena *arena, const char *path, struct bundle *ret_bundle,
		struct rb_err *err)
{
	struct bundle bundle = {.path = path_absolute(arena, path ? path : ".")};
	CLEANUP_FD int dir = -1;
	int r;

	if (!bundle.path)
		return err_set(err, RB_BUNDLE, ENOENT, "no current directory");
	dir = sys_openat(AT_FDCWD, bundle.path, O_PATH | O_DIRECTORY, 0);
	if (dir < 0) {
		err_set(err, RB_BUNDLE, -dir, "cannot open the bundle '%s'", bundle.path);
		err_fix(err, "--bundle names a directory with a config.json");
		return dir;
	}
	r = file_read_at(arena, dir, "config.json", LIMIT_CONFIG_BYTES, &bundle.config,
			 &bundle.config_len);
	if (r == -ENOENT) {
		err_set(err, RB_CONFIG_FILE, 0,
			"JSON specification file config.json not found in '%s'", bundle.path);
		err_fix(err, "'runbuild spec' writes one");
		return r;
	}
	if (r < 0) {
		err_set(err, RB_CONFIG_FILE, -r, "cannot read '%s/config.json'", bundle.path);
		err_fix(err, "%s",
			r == -EFBIG ? "it may have at most 4 MiB"
				    : "it must be a readable regular file");
		return r;
	}
	r = spec_parse(arena, bundle.config, bundle.config_len, bundle.path, &bundle.spec, err);
	if (r == 0)
		*ret_bundle = bundle;
	return r;
}

unsigned bundle_host_wants(const struct spec *spec)
{
	unsigned want = HOST_WANT_IDMAPS;

	for (size_t i = 0; i < spec->n_mounts; i++)
		if (str_starts(spec->mounts[i].type, "cgroup"))
			want |= HOST_WANT_CGROUP;
	if (spec->process.apparmor_profile || spec->process.selinux_label || spec->mount_label ||
	    spec->rdt.present)
		want |= HOST_WANT_LSM;
	/* root of the host makes a group for every container */
	want |= HOST_WANT_CGROUP_AS_ROOT;
	if (spec->cgroups_path[0] || spec->resources.present)
		want |= HOST_WANT_CGROUP;
	return want;
}

int bundle_filter(struct arena *arena, const struct spec *spec, const struct state_root *root,
		  struct plan_options *options, struct rb_err *err)
{
	struct sock_filter *program;
	uint8_t digest[32];
	int r;

	if (!spec->seccomp.present)
		return 0;
	spec_seccomp_digest(&spec->seccomp, SECCOMP_COMPILER_VERSION, digest);
	r = filter_cache_load(arena, root, digest, &program, &options->n_bpf);
	if (r < 0) {
		r = seccomp_compile(arena, &spec->seccomp, seccomp_native_arch(), &program,
				    &options->n_bpf, err);
		if (r < 0)
			return r;
		filter_cache_store(root, digest, program, options->n_bpf);
	}
	options->bpf = program;
	return 0;
}

const struct state_annotation *bundle_annotations(struct arena *arena, const struct spec *spec)
{
	struct state_annotation *v = arena_array(arena, spec->n_annotations + 1, sizeof(*v));

	for (size_t i = 0; v && i < spec->n_annotations; i++)
		v[i] = (struct state_annotation){spec->annotations[i].key,
						 spec->annotations[i].value};
	return v;
}

/* A read-only view of our file: cheap, but needs CAP_SYS_ADMIN. */
static int seal_by_mount(void)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
	CLEANUP_FD int tree = sys_open_tree(AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE);
	int r;

	if (tree < 0)
		return tree;
	r = sys_mount_setattr(tree, "", AT_EMPTY_PATH, &attr);
	return r < 0 ? r : fd_take(&tree);
}

/* A copy that nobody can write. */
static int seal_by_copy(void)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	CLEANUP_FD int from = sys_openat(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0);
	CLEANUP_FD int to = memfd_create("runbuild", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ssize_t n;

	if (from < 0 || to < 0)
		return from < 0 ? from : -errno;
	while ((n = sendfile(to, from, NULL, 1 << 20)) > 0)
		;
	if (n < 0 || fchmod(to, 0555) < 0 || fcntl(to, F_ADD_SEALS, seals) < 0)
		return -errno;
	return fd_take(&to);
}

static bool self_is_sealed(void)
{
	CLEANUP_FD int fd = sys_openat(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0);
	int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & F_SEAL_WRITE);
}

int self_seal(const struct host *host, char **argv, struct rb_err *err)
{
	CLEANUP_FD int fd = -1;

	if (!host->exe_writable || self_is_sealed())
		return 0;
	fd = seal_by_mount();
	if (fd < 0)
		fd = seal_by_copy();
	if (fd >= 0)
		fd = SYS_CALL(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
	err_set(err, RB_SETUP_STEP, -fd, "cannot protect this program's file from the container");
	err_fix(err, "install runbuild where the calling user cannot write it");
	return -EPERM;
}

int print_all(const struct strbuf *text, struct rb_err *err)
{
	int r = text->failed ? -ENOMEM
			     : fd_write_all(STDOUT_FILENO, text->text ? text->text : "", text->len);

	return r < 0 ? err_set(err, RB_INTERNAL, -r, "cannot write to standard output") : 0;
}

int globals_cgroup(const struct globals *globals, const struct host *host,
		   struct plan_options *plan_options, struct rb_err *err)
{
	const char *manager = globals->cgroup_manager ? globals->cgroup_manager : "cgroupfs";
	const char *rootless = globals->rootless ? globals->rootless : "auto";

	if (globals->systemd_cgroup || str_eq(manager, "systemd"))
		plan_options->cgroup_manager = CGROUP_MANAGER_SYSTEMD;
	else if (str_eq(manager, "disabled"))
		plan_options->cgroup_manager = CGROUP_MANAGER_NONE;
	else if (str_eq(manager, "cgroupfs"))
		plan_options->cgroup_manager = CGROUP_MANAGER_FILES;
	else
		return err_set(err, RB_USAGE, 0,
			       "--cgroup-manager: '%.40s' is not cgroupfs, systemd or disabled",
			       manager);
	if (str_eq(rootless, "auto"))
		plan_options->rootless_cgroup = host->in_user_namespace || host->euid != 0;
	else if (str_eq(rootless, "true") || str_eq(rootless, "false"))
		plan_options->rootless_cgroup = rootless[0] == 't';
	else
		return err_set(err, RB_USAGE, 0, "--rootless: '%.40s' is not true, false or auto",
			       rootless);
	return 0;
}

int status_with_freezer(struct arena *arena, const struct container *container)
{
	int status = container_status(container);
	const char *cgroup;

	if (status != STATUS_RUNNING && status != STATUS_CREATED)
		return status;
	cgroup = container_cgroup(arena, container);
	return cgroup && cgroup_name_frozen(cgroup) ? STATUS_PAUSED : status;
}

int open_container_cgroup(struct arena *arena, const struct container *container,
			  struct cgroup *ret_cgroup, struct rb_err *err)
{
	const char *name = container_cgroup(arena, container);

	if (name && cgroup_open(arena, name, ret_cgroup) == 0)
		return 0;
	err_set(err, RB_CGROUP, 0, "container %s has no cgroup", container->id);
	err_fix(err, "as an ordinary user, set cgroupsPath to a group that is delegated to you");
	return -ENOENT;
}

/* Every process that shares the first one's pid namespace. */
static int namespace_pids(struct arena *arena, pid_t init, pid_t **ret_pids, size_t *ret_n)
{
	char path[64];
	struct stat ours;
	struct dirent *entry;
	DIR *proc;
	pid_t *v = NULL;
	size_t room = 0;
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)init);
	proc = stat(path, &ours) < 0 ? NULL : opendir("/proc");
	while (proc && (entry = readdir(proc))) {
		struct stat theirs;
		uint32_t pid;

		if (num_parse_u32(entry->d_name, &pid) < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%u/ns/pid", pid);
		if (stat(path, &theirs) < 0 || theirs.st_ino != ours.st_ino ||
		    theirs.st_dev != ours.st_dev)
			continue;
		if (n == room) {
			pid_t *more = arena_array(arena, 2 * room + 64, sizeof(*more));

			if (!more)
				break;
			if (n)
				memcpy(more, v, n * sizeof(*v));
			v = more;
			room = 2 * room + 64;
		}
		v[n++] = (pid_t)pid;
	}
	if (proc)
		closedir(proc);
	*ret_pids = v;
	*ret_n = n;
	return proc ? 0 : -ESRCH;
}

int container_pids(struct arena *arena, const struct container *container, pid_t **ret_pids,
		   size_t *ret_n, struct rb_err *err)
{
	CLEANUP_CGROUP struct cgroup cgroup = {.n = 0};
	const char *name = container_cgroup(arena, container);
	int r;

	*ret_pids = NULL;
	*ret_n = 0;
	if (container_status(container) == STATUS_STOPPED)
		return 0;
	if (name && cgroup_open(arena, name, &cgroup) == 0)
		return cgroup_pids(arena, &cgroup, ret_pids, ret_n);
	r = namespace_pids(arena, container->init.pid, ret_pids, ret_n);
	return r < 0 ? err_set(err, RB_NAMESPACE, -r, "cannot list the container's processes") : 0;
}

int open_container(struct arena *arena, const struct globals *globals, const char *id,
		   struct state_root *ret_root, struct container *ret_container, struct rb_err *err)
{
	int r = state_id_check(id, err);

	if (r == 0)
		r = state_root_open(arena, globals->root, false, ret_root, err);
	if (r == 0)
		r = container_open(ret_root, id, ret_container, err);
	return r;
}

int status_unknown(int r, const struct container *container, struct rb_err *err)
{
	err_set(err, r == -ENOSYS ? RB_KERNEL : RB_INTERNAL, -r,
		"cannot tell whether container %s is running", container->id);
	if (r != -ENOSYS)
		err_fix(err, "run the command again");
	return r;
}

int signal_parse(const char *text, int *ret_signal, struct rb_err *err)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	uint32_t number;

	if (num_parse_u32(text, &number) == 0 && number <= 64) {
		*ret_signal = (int)number;
		return 0;
	}
	for (int sig = 1; sig < SIGRTMIN; sig++) {
		const char *known = sigabbrev_np(sig);

		if (known && strcasecmp(name, known) == 0) {
			*ret_signal = sig;
			return 0;
		}
	}
	/* signal(7): 34 and 64 are the kernel's numbers for programs that use glibc */
	if (strncasecmp(name, "RTMIN", 5) == 0 &&
	    (name[5] == '\0' || (name[5] == '+' && num_parse_u32(name + 6, &number) == 0))) {
		number = name[5] ? number : 0;
		if (number <= 30) {
			*ret_signal = 34 + (int)number;
			return 0;
		}
	}
	err_set(err, RB_BAD_SIGNAL, 0, "unknown signal \"%.40s\"", text);
	err_fix(err, "use a number or a name of signal(7)");
	return -EINVAL;
}
