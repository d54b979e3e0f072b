/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's mounts. Runs in the init inside, as root of the new user namespace, in the new
 * mount namespace, before the command starts.
 */
#include <dirent.h>
#include <sys/utsname.h>
#include "base/file.h"
#include "rootless/rootless_private.h"

static int fs_mount(const char *type, const char *key, const char *value, unsigned attr)
{
	CLEANUP_FD int fs = sys_fsopen(type);
	int rc;

	if (fs < 0)
		return fs;
	if (key && (rc = sys_fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0)) < 0)
		return rc;
	rc = sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	return rc < 0 ? rc : sys_fsmount(fs, attr);
}

/*
 * Where the new calls are missing or a filter forbids them, mount(2) does the same at a path. It
 * says EPERM itself where the kernel refuses a new /proc.
 */
int child_mount_proc(void)
{
	CLEANUP_FD int proc = fs_mount("proc", NULL, NULL,
				       MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);

	int rc = proc < 0 ? proc
			  : sys_move_mount(proc, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH);

	if (rc == -EPERM || rc == -ENOSYS)
		rc = sys_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	return rc;
}

/* The outermost host ids of a map, as ids inside: the range that ping(8) may have. */
static void map_bounds(const struct host_idmap *map, uint32_t *ret_low, uint32_t *ret_high)
{
	uint32_t lowest = UINT32_MAX;
	uint32_t highest = 0;

	for (size_t i = 0; i < map->n; i++) {
		const struct host_extent *line = &map->v[i];
		uint32_t last = line->outside + (line->count - 1);

		if (line->outside <= lowest) {
			lowest = line->outside;
			*ret_low = line->inside;
		}
		if (last >= highest) {
			highest = last;
			*ret_high = line->inside + (line->count - 1);
		}
	}
}

/* icmp(7), ping_group_range: everybody inside. Best effort: without it ping needs a capability. */
void child_allow_ping(const struct rootless *r)
{
	struct host_idmap map;
	uint32_t low = 0;
	uint32_t high = 0;
	char text[32];
	int len;

	if (host_idmap_parse(r->gid_map, &map) < 0)
		return;
	map_bounds(&map, &low, &high);
	len = snprintf(text, sizeof(text), "%u %u", low, high);
	(void)file_write_at(AT_FDCWD, "/proc/sys/net/ipv4/ping_group_range", text, (size_t)len);
}

/*
 * /sys shows the network namespace it was mounted in, so a new namespace needs a new mount. The
 * cgroup tree stays. Where it is refused (parts of the outer /sys are hidden, as in a container)
 * the outer one stays and names the outer interfaces, which is a blemish and no error.
 * Where the outer one is read-only, so must be the new one: mount_namespaces(7).
 */
void child_mount_sys(void)
{
	const uint64_t flags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	CLEANUP_FD int sys = fs_mount("sysfs", NULL, NULL, flags);
	CLEANUP_FD int cgroup = sys_open_tree(AT_FDCWD, "/sys/fs/cgroup",
					      OPEN_TREE_CLONE | AT_RECURSIVE);

	if (sys == -EPERM)
		sys = fs_mount("sysfs", NULL, NULL, flags | MOUNT_ATTR_RDONLY);
	if (sys < 0 || sys_move_mount(sys, "", AT_FDCWD, "/sys", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return;
	if (cgroup >= 0)
		(void)sys_move_mount(cgroup, "", AT_FDCWD, "/sys/fs/cgroup",
				     MOVE_MOUNT_F_EMPTY_PATH);
}

/* NAME -> .roNNN/NAME for every entry; links are copied as they are. */
static int copy_up_entries(int tmpfs, int original, const char *below)
{
	int list = sys_openat(original, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = list < 0 ? NULL : fdopendir(list);
	struct dirent *entry;
	int rc = 0;

	if (!stream) {
		fd_close(&list);
		return -errno;
	}
	while (rc == 0 && (entry = readdir(stream))) {
		char target[LIMIT_PATH_BYTES];
		ssize_t len;

		if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
			continue;
		len = readlinkat(original, entry->d_name, target, sizeof(target) - 1);
		if (len >= 0)
			target[len] = '\0';
		else
			snprintf(target, sizeof(target), "%s/%s", below, entry->d_name);
		if (symlinkat(target, tmpfs, entry->d_name) < 0)
			rc = -errno;
	}
	closedir(stream);
	return rc;
}

/*
 * RootlessKit's "tmpfs+symlink": the directory becomes a tmpfs, what it held moves to a
 * subdirectory, links stand in for it. The daemon can then replace single entries.
 */
int child_copy_up(const char *directory, struct rb_err *err)
{
	static const char below[] = ".ro-runbuild";
	CLEANUP_FD int original = sys_open_tree(AT_FDCWD, directory,
						OPEN_TREE_CLONE | AT_RECURSIVE);
	CLEANUP_FD int tmpfs = -1;
	CLEANUP_FD int target = -1;
	int rc = original < 0 ? original : 0;

	if (rc == 0) {
		tmpfs = fs_mount("tmpfs", "mode", "755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
		rc = tmpfs < 0 ? tmpfs : 0;
	}
	if (rc == 0)
		rc = sys_move_mount(tmpfs, "", AT_FDCWD, directory, MOVE_MOUNT_F_EMPTY_PATH);
	if (rc == 0)
		rc = sys_mkdirat(tmpfs, below, 0755);
	if (rc == 0) {
		target = sys_openat(tmpfs, below, O_PATH | O_DIRECTORY, 0);
		rc = target < 0 ? target
				: sys_move_mount(original, "", target, "",
						 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	}
	if (rc == 0)
		rc = copy_up_entries(tmpfs, original, below);
	if (rc < 0) {
		err_set(err, RB_COPY_UP, -rc, "cannot copy up '%s'", directory);
		err_fix(err, "--copy-up takes an absolute path of an existing directory");
	}
	return rc;
}

/* The host's search domains and options, with the driver as the only server. */
static int resolv_conf_write(const struct rootless *r)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf text = {0};
	CLEANUP_FD int fd = sys_openat(AT_FDCWD, "/etc/resolv.conf", O_RDONLY | O_NONBLOCK, 0);
	struct net_addresses addresses = net_addresses(&r->options->net);
	char dns[16];
	char *host = NULL;

	if (fd >= 0 && file_read_fd(&arena, fd, LIMIT_RESOLV_BYTES, &host, NULL) < 0)
		host = NULL;
	strbuf_printf(&text, "nameserver %s\n", net_address_text(addresses.dns, dns));
	if (r->options->net.ipv6 && r->options->net.driver == NET_SLIRP4NETNS)
		strbuf_add(&text, "nameserver fd00::3\n"); /* slirp4netns(1) */
	while (host && *host) {
		size_t len = strcspn(host, "\n");

		if (str_starts(host, "search") || str_starts(host, "domain") ||
		    str_starts(host, "options")) {
			strbuf_add_bytes(&text, host, len);
			strbuf_add_char(&text, '\n');
		}
		host += len + (host[len] == '\n');
	}
	if (text.failed)
		return -ENOMEM;
	return file_replace_at(r->state_fd, "resolv.conf", text.text, text.len, 0644);
}

/* A file of ours over /etc/resolv.conf; where that is missing or dangles, /etc is copied up. */
int child_resolv_conf(const struct rootless *r, struct rb_err *err)
{
	CLEANUP_FD int tree = -1;
	CLEANUP_FD int target = -1;
	int rc;

	if (r->options->net.driver == NET_HOST || r->options->net.driver == NET_NONE)
		return 0;
	rc = resolv_conf_write(r);
	if (rc == 0) {
		tree = sys_open_tree(r->state_fd, "resolv.conf", OPEN_TREE_CLONE);
		rc = tree < 0 ? tree : 0;
	}
	if (rc < 0)
		return err_set(err, RB_RESOLV_CONF, -rc, "cannot make a resolv.conf");
	target = sys_openat(AT_FDCWD, "/etc/resolv.conf", O_PATH, 0);
	if (target == -ENOENT) {
		struct stat st;

		if (stat("/etc/.ro-runbuild", &st) < 0 && (rc = child_copy_up("/etc", err)) < 0)
			return rc;
		(void)unlink("/etc/resolv.conf");
		target = sys_openat(AT_FDCWD, "/etc/resolv.conf", O_RDONLY | O_CREAT | O_EXCL,
				    0644);
	}
	rc = target < 0 ? target
			: sys_move_mount(tree, "", target, "",
					 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	if (rc < 0) {
		err_set(err, RB_RESOLV_CONF, -rc, "cannot replace /etc/resolv.conf");
		err_fix(err, "try --copy-up=/etc");
	}
	return rc;
}

/* The host's file, with a line for the host's own name where it has none. */
static int hosts_write(const struct rootless *r)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf text = {0};
	CLEANUP_FD int fd = sys_openat(AT_FDCWD, "/etc/hosts", O_RDONLY | O_NONBLOCK, 0);
	struct utsname names;
	char *host = NULL;

	if (fd < 0 || file_read_fd(&arena, fd, LIMIT_RESOLV_BYTES, &host, NULL) < 0)
		host = NULL;
	strbuf_add(&text, host ? host : "127.0.0.1 localhost\n");
	if (text.len && text.text[text.len - 1] != '\n')
		strbuf_add_char(&text, '\n');
	if (uname(&names) == 0 && !(host && strstr(host, names.nodename)))
		strbuf_printf(&text, "127.0.0.1 %s\n", names.nodename);
	return text.failed ? -ENOMEM
			   : file_replace_at(r->state_fd, "hosts", text.text, text.len, 0644);
}

/* By path: after a copy-up the directory is found through another mount than before. */
static int netns_bind(const struct rootless *r, int netns)
{
	CLEANUP_FD int tree = sys_open_tree(netns, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
	CLEANUP_FD int file = sys_openat(r->state_fd, "netns", O_RDONLY | O_CREAT | O_EXCL, 0400);
	CLEANUP_FD int dir = sys_openat(AT_FDCWD, r->state_dir, O_PATH | O_DIRECTORY, 0);

	if (tree < 0 || file < 0 || dir < 0)
		return tree < 0 ? tree : file < 0 ? file : dir;
	return sys_move_mount(tree, "", dir, "netns", MOVE_MOUNT_F_EMPTY_PATH);
}

int child_netns_files(const struct rootless *r, int netns, struct rb_err *err)
{
	int rc = netns_bind(r, netns);

	if (rc == 0 && r->options->net.driver != NET_NONE)
		rc = resolv_conf_write(r);
	if (rc == 0)
		rc = hosts_write(r);
	if (rc < 0) {
		err_set(err, RB_STATE_DIR, -rc, "cannot keep the network in '%s/netns'",
			r->state_dir);
		err_fix(err, "name a --state-dir on a local file system");
	}
	return rc;
}
