/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probing. Runs in the parent before anything is created, with the caller's privilege, and only
 * reads: /proc/self, /sys/fs/cgroup and /sys/kernel/security. Every missing file is an answer.
 */
#include <dirent.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include "base/file.h"
#include "base/num.h"
#include "base/strbuf.h"
#include "base/sys.h"
#include "host/host.h"

static int host_probe_caps(struct host *host, struct rb_err *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

	if (syscall(SYS_capget, &header, data) < 0)
		return err_set(err, RB_INTERNAL, errno, "cannot read the capabilities");
	host->caps_effective = (uint64_t)data[1].effective << 32 | data[0].effective;
	for (unsigned cap = 0; cap < 64; cap++) {
		int r = sys_prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (r == -EINVAL) /* beyond the kernel's last capability */
			break;
		if (r < 0)
			return err_set(err, RB_INTERNAL, -r, "cannot read the bounding set");
		if (r == 1)
			host->caps_bounding |= UINT64_C(1) << cap;
	}
	return 0;
}

int host_idmap_parse(const char *text, struct host_idmap *ret_map)
{
	const char *at = text;

	ret_map->n = 0;
	while (*at) {
		uint32_t number[3];

		for (size_t i = 0; i < 3; i++) {
			size_t len;
			uint64_t value;

			at += strspn(at, " \t");
			len = strspn(at, "0123456789");
			if (num_parse_u64(at, len, UINT32_MAX, &value) < 0)
				return -EINVAL;
			number[i] = (uint32_t)value;
			at += len;
		}
		at += strspn(at, " \t");
		if (*at && *at != '\n')
			return -EINVAL;
		at += *at == '\n';
		if (ret_map->n == LIMIT_IDMAP_EXTENTS)
			return -EINVAL;
		ret_map->v[ret_map->n++] = (struct host_extent){number[0], number[1], number[2]};
	}
	return 0;
}

static int host_probe_idmaps(struct host *host, struct rb_err *err)
{
	char text[16384];
	ssize_t len = file_read_small(AT_FDCWD, "/proc/self/uid_map", text, sizeof(text));
	const struct host_extent *first = &host->uid_map.v[0];

	if (len < 0 || host_idmap_parse(text, &host->uid_map) < 0) {
		err_set(err, RB_INTERNAL, len < 0 ? (int)-len : EINVAL,
			"cannot read /proc/self/uid_map");
		err_fix(err, "mount a proc file system on /proc");
		return -EIO;
	}
	len = file_read_small(AT_FDCWD, "/proc/self/gid_map", text, sizeof(text));
	if (len < 0 || host_idmap_parse(text, &host->gid_map) < 0)
		return err_set(err, RB_INTERNAL, EIO, "cannot read /proc/self/gid_map");
	len = file_read_small(AT_FDCWD, "/proc/self/setgroups", text, sizeof(text));
	host->setgroups_denied = len > 0 && str_starts(text, "deny");
	/* only the initial namespace maps everything onto itself: user_namespaces(7) */
	host->in_user_namespace = !(host->uid_map.n == 1 && first->inside == 0 &&
				    first->outside == 0 && first->count == UINT32_MAX);
	return 0;
}

static enum host_cgroup_mode host_probe_cgroup(void)
{
	struct statfs fs;

	if (statfs("/sys/fs/cgroup", &fs) < 0)
		return HOST_CGROUP_NONE;
	if (fs.f_type == CGROUP2_SUPER_MAGIC)
		return HOST_CGROUP_V2;
	if (fs.f_type != TMPFS_MAGIC)
		return HOST_CGROUP_NONE;
	if (statfs("/sys/fs/cgroup/unified", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
		return HOST_CGROUP_HYBRID;
	if (statfs("/sys/fs/cgroup/memory", &fs) == 0 && fs.f_type == CGROUP_SUPER_MAGIC)
		return HOST_CGROUP_V1;
	return HOST_CGROUP_NONE;
}

const char *const host_controller_names[CONTROLLERS] = {
	[CONTROLLER_CPU] = "cpu",
	[CONTROLLER_CPUACCT] = "cpuacct",
	[CONTROLLER_CPUSET] = "cpuset",
	[CONTROLLER_MEMORY] = "memory",
	[CONTROLLER_IO] = "io",
	[CONTROLLER_PIDS] = "pids",
	[CONTROLLER_HUGETLB] = "hugetlb",
	[CONTROLLER_RDMA] = "rdma",
	[CONTROLLER_MISC] = "misc",
	[CONTROLLER_DEVICES] = "devices",
	[CONTROLLER_FREEZER] = "freezer",
	[CONTROLLER_NET_CLS] = "net_cls",
	[CONTROLLER_NET_PRIO] = "net_prio",
};

/* Words separated by blanks, commas or line ends; unknown ones are none of ours. */
static uint32_t controllers_parse(const char *text)
{
	uint32_t mask = 0;

	while (*text) {
		size_t len = strcspn(text, " ,\n");

		for (size_t i = 0; i < CONTROLLERS; i++)
			if (strlen(host_controller_names[i]) == len &&
			    memcmp(text, host_controller_names[i], len) == 0)
				mask |= UINT32_C(1) << i;
		text += len;
		text += strspn(text, " ,\n");
	}
	return mask;
}

/* Is it the mount of a hierarchy, and not just a directory of the tmpfs? */
static bool is_hierarchy(const char *name)
{
	char path[NAME_MAX + 32];
	struct statfs fs;

	snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", name);
	return statfs(path, &fs) == 0 &&
	       (fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC);
}

static void host_probe_hierarchies(struct host *host)
{
	size_t room = sizeof(host->cgroup_hierarchies);
	DIR *stream = opendir("/sys/fs/cgroup");
	struct dirent *entry;
	size_t len = 0;

	while (stream && (entry = readdir(stream))) {
		size_t n = strlen(entry->d_name);

		/* links are other names of a directory that is there as well */
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' || len + n + 2 > room ||
		    !is_hierarchy(entry->d_name))
			continue;
		if (len)
			host->cgroup_hierarchies[len++] = ' ';
		memcpy(host->cgroup_hierarchies + len, entry->d_name, n + 1);
		len += n;
	}
	if (stream)
		closedir(stream);
}

static void host_probe_controllers(struct host *host)
{
	const char *file = host->cgroup_mode == HOST_CGROUP_V2
				   ? "/sys/fs/cgroup/cgroup.controllers"
				   : "/sys/fs/cgroup/unified/cgroup.controllers";
	char text[512];
	struct statfs fs;

	if (file_read_small(AT_FDCWD, file, text, sizeof(text)) > 0)
		host->cgroup_v2 = controllers_parse(text);
	for (int i = 0; host->cgroup_mode != HOST_CGROUP_V2 && i < CONTROLLERS; i++) {
		snprintf(text, sizeof(text), "/sys/fs/cgroup/%s",
			 host_controller_v1_name((enum host_controller)i));
		if (statfs(text, &fs) == 0 && fs.f_type == CGROUP_SUPER_MAGIC)
			host->cgroup_v1 |= UINT32_C(1) << i;
	}
}

/* Anywhere else than where it belongs: the first mount of that type, proc_pid_mountinfo(5). */
static void resctrl_find_mount(char *ret, size_t size)
{
	CLEANUP_ARENA struct arena arena = {0};
	char *text;
	size_t len;
	char *line;

	if (file_read_at(&arena, AT_FDCWD, "/proc/self/mountinfo", LIMIT_CONFIG_BYTES, &text,
			 &len) < 0)
		return;
	while ((line = strsep(&text, "\n"))) {
		char *type = strstr(line, " - ");

		if (!type || !str_starts(type, " - resctrl "))
			continue;
		for (int field = 0; field < 4 && line; field++)
			(void)strsep(&line, " ");
		line = line ? strsep(&line, " ") : NULL;
		/* the kernel writes a blank as \040: such a place is not found */
		if (line && strlen(line) < size && !strchr(line, '\\'))
			memcpy(ret, line, strlen(line) + 1);
		return;
	}
}

static void host_probe_resctrl(struct host *host)
{
	static const char usual[] = "/sys/fs/resctrl";
	struct statfs fs;

	/* the kernel makes the directory when it and the processor know resource control */
	if (statfs(usual, &fs) < 0)
		return;
	if (fs.f_type == RDTGROUP_SUPER_MAGIC)
		memcpy(host->resctrl, usual, sizeof(usual));
	else
		resctrl_find_mount(host->resctrl, sizeof(host->resctrl));
}

static void host_probe_lsm(struct host *host)
{
	char text[64];
	struct statfs fs;

	host->apparmor = file_read_small(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", text,
					 sizeof(text)) > 0 &&
			 text[0] == 'Y';
	host_probe_resctrl(host);
	/* until a policy is loaded everything is "kernel", and no context is known */
	host->selinux = statfs("/sys/fs/selinux", &fs) == 0 && fs.f_type == SELINUX_MAGIC &&
			file_read_small(AT_FDCWD, "/proc/self/attr/current", text, sizeof(text)) >
				0 &&
			!str_eq(text, "kernel");
}

int host_probe(unsigned want, struct host *ret_host, struct rb_err *err)
{
	struct host *host = ret_host;
	int r;

	*host = (struct host){.euid = geteuid(), .egid = getegid()};
	r = host_probe_caps(host, err);
	if (r < 0)
		return r;
	host->no_new_privileges = sys_prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	/*
	 * A program file that we may write could be replaced by the container through
	 * /proc/PID/exe (CVE-2019-5736). EROFS (a read-only mount) counts as not writable.
	 */
	host->exe_writable = sys_faccessat2(AT_FDCWD, "/proc/self/exe", W_OK, AT_EACCESS) == 0;
	if ((want & HOST_WANT_IDMAPS) && (r = host_probe_idmaps(host, err)) < 0)
		return r;
	if ((want & HOST_WANT_CGROUP_AS_ROOT) && host->euid == 0 && !host->in_user_namespace)
		want |= HOST_WANT_CGROUP;
	if (want & HOST_WANT_CGROUP) {
		host->cgroup_mode = host_probe_cgroup();
		if (host->cgroup_mode != HOST_CGROUP_NONE)
			host_probe_controllers(host);
		if (host->cgroup_mode == HOST_CGROUP_V1 || host->cgroup_mode == HOST_CGROUP_HYBRID)
			host_probe_hierarchies(host);
	}
	if (want & HOST_WANT_LSM)
		host_probe_lsm(host);
	return 0;
}

bool host_id_mapped(const struct host_idmap *map, uint32_t id)
{
	for (size_t i = 0; i < map->n; i++)
		if (id >= map->v[i].inside && id - map->v[i].inside < map->v[i].count)
			return true;
	return false;
}

static const char *const cgroup_mode_names[] = {"none", "v1", "hybrid", "v2"};

static void host_print_map(const char *key, const struct host_idmap *map, struct strbuf *out)
{
	for (size_t i = 0; i < map->n; i++)
		strbuf_printf(out, "%s %u %u %u\n", key, map->v[i].inside, map->v[i].outside,
			      map->v[i].count);
}

static void host_print_controllers(const char *key, uint32_t mask, struct strbuf *out)
{
	const char *separator = " ";

	if (!mask)
		return;
	strbuf_add(out, key);
	for (size_t i = 0; i < CONTROLLERS; i++) {
		if (!(mask >> i & 1))
			continue;
		strbuf_printf(out, "%s%s", separator, host_controller_names[i]);
		separator = ",";
	}
	strbuf_add_char(out, '\n');
}

void host_print(const struct host *host, struct strbuf *out)
{
	strbuf_printf(out, "euid %u\negid %u\n", host->euid, host->egid);
	strbuf_printf(out, "caps_effective %" PRIu64 "\ncaps_bounding %" PRIu64 "\n",
		      host->caps_effective, host->caps_bounding);
	strbuf_printf(out, "in_user_namespace %d\nsetgroups_denied %d\nno_new_privileges %d\n",
		      host->in_user_namespace, host->setgroups_denied, host->no_new_privileges);
	host_print_map("uid_map", &host->uid_map, out);
	host_print_map("gid_map", &host->gid_map, out);
	strbuf_printf(out, "cgroup_mode %s\napparmor %d\nselinux %d\nexe_writable %d\n",
		      cgroup_mode_names[host->cgroup_mode], host->apparmor, host->selinux,
		      host->exe_writable);
	host_print_controllers("cgroup_v1", host->cgroup_v1, out);
	host_print_controllers("cgroup_v2", host->cgroup_v2, out);
	if (host->resctrl[0])
		strbuf_printf(out, "resctrl %s\n", host->resctrl);
	if (host->cgroup_hierarchies[0])
		strbuf_printf(out, "cgroup_hierarchies %s\n", host->cgroup_hierarchies);
}

static int host_load_text(const char *value, char *ret, size_t size)
{
	if (strlen(value) >= size)
		return -EINVAL;
	memcpy(ret, value, strlen(value) + 1);
	return 0;
}

/* One "key value" line into the host. */
static int host_load_line(const char *key, const char *value, struct host *host)
{
	const struct {
		const char *key;
		bool *flag;
	} flags[] = {
		{"in_user_namespace", &host->in_user_namespace},
		{"setgroups_denied", &host->setgroups_denied},
		{"no_new_privileges", &host->no_new_privileges},
		{"apparmor", &host->apparmor},
		{"selinux", &host->selinux},
		{"exe_writable", &host->exe_writable},
	};
	struct host_idmap line;
	bool uid = str_eq(key, "uid_map");

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (str_eq(key, flags[i].key)) {
			*flags[i].flag = str_eq(value, "1");
			return *flags[i].flag || str_eq(value, "0") ? 0 : -EINVAL;
		}
	}
	if (str_eq(key, "euid"))
		return num_parse_u32(value, &host->euid);
	if (str_eq(key, "egid"))
		return num_parse_u32(value, &host->egid);
	if (str_eq(key, "caps_effective"))
		return num_parse_u64(value, strlen(value), UINT64_MAX, &host->caps_effective);
	if (str_eq(key, "caps_bounding"))
		return num_parse_u64(value, strlen(value), UINT64_MAX, &host->caps_bounding);
	if (uid || str_eq(key, "gid_map")) {
		struct host_idmap *map = uid ? &host->uid_map : &host->gid_map;

		if (host_idmap_parse(value, &line) < 0 || line.n != 1 ||
		    map->n == LIMIT_IDMAP_EXTENTS)
			return -EINVAL;
		map->v[map->n++] = line.v[0];
		return 0;
	}
	if (str_eq(key, "cgroup_hierarchies"))
		return host_load_text(value, host->cgroup_hierarchies,
				      sizeof(host->cgroup_hierarchies));
	if (str_eq(key, "resctrl"))
		return host_load_text(value, host->resctrl, sizeof(host->resctrl));
	if (str_eq(key, "cgroup_v1") || str_eq(key, "cgroup_v2")) {
		*(key[8] == '1' ? &host->cgroup_v1 : &host->cgroup_v2) = controllers_parse(value);
		return 0;
	}
	if (str_eq(key, "cgroup_mode"))
		for (size_t i = 0; i < ARRAY_LEN(cgroup_mode_names); i++)
			if (str_eq(value, cgroup_mode_names[i])) {
				host->cgroup_mode = (enum host_cgroup_mode)i;
				return 0;
			}
	return -EINVAL;
}

int host_load(const char *text, struct host *ret_host, struct rb_err *err)
{
	unsigned number = 0;

	*ret_host = (struct host){0};
	while (*text) {
		char line[640];
		size_t len = strcspn(text, "\n");
		char *space;

		number++;
		if (len >= sizeof(line))
			return err_set(err, RB_CONFIG_SYNTAX, 0, "host facts: line %u is too long",
				       number);
		memcpy(line, text, len);
		line[len] = '\0';
		text += len + (text[len] == '\n');
		if (len == 0 || line[0] == '#')
			continue;
		space = strchr(line, ' ');
		if (space)
			*space++ = '\0';
		if (!space || host_load_line(line, space, ret_host) < 0)
			return err_set(err, RB_CONFIG_SYNTAX, 0, "host facts: line %u: \"%s\"",
				       number, line);
	}
	return 0;
}
