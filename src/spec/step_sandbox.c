/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces, network, protections, devices and cgroup of a step. What is not said is the strict
 * choice: every namespace its own, no network, the default filter, masks. Pure.
 */
#include <arpa/inet.h>
#include "base/strbuf.h"
#include "base/sys.h"
#include "spec/step_read.h"

static const char *const default_masks[] = {
	"/proc/acpi",
	"/proc/asound",
	"/proc/kcore",
	"/proc/keys",
	"/proc/latency_stats",
	"/proc/timer_list",
	"/proc/timer_stats",
	"/proc/sched_debug",
	"/proc/scsi",
	"/sys/firmware",
	"/sys/devices/virtual/powercap",
};

static const char *const default_read_only[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

/* One of "private" and "host" for each namespace that may be shared. */
static int read_namespaces(struct step_parser *p, const struct json_node *node, struct step *step)
{
	static const struct {
		const char *key;
		uint64_t type;
	} choices[] = {
		{"pid", CLONE_NEWPID},
		{"ipc", CLONE_NEWIPC},
		{"uts", CLONE_NEWUTS},
		{"cgroupNs", CLONE_NEWCGROUP},
	};
	static const char *const words[] = {"private", "host", NULL};
	struct spec_namespace *v = arena_array(p->base.arena, 8, sizeof(*v));
	size_t n = 0;

	if (!v)
		return err_set(p->base.err, RB_NO_MEMORY, ENOMEM, "namespaces");
	v[n++] = (struct spec_namespace){.type = CLONE_NEWNS, .origin = ""};
	for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
		unsigned host = 0;
		int r = step_read_word(p, node, choices[i].key, words, &host);

		if (r < 0)
			return r;
		if (!host)
			v[n++] = (struct spec_namespace){.type = choices[i].type, .origin = ""};
	}
	/* netns by descriptor is filled in by whoever has the descriptor */
	if (step->net != STEP_NET_HOST)
		v[n++] = (struct spec_namespace){.type = CLONE_NEWNET, .origin = "/net"};
	step->spec.namespaces = v;
	step->spec.n_namespaces = n;
	return 0;
}

static int paths_or_default(struct step_parser *p, const struct json_node *node, const char *key,
			    const char *const *defaults, size_t n, struct spec_strings *ret)
{
	int r = read_strings(&p->base, node, key, ret);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ret->n; i++)
		if (ret->v[i][0] != '/')
			return json_error(json_member(node, key), p->base.err, RB_CONFIG_VALUE,
					  "\"%.100s\" is not an absolute path", ret->v[i]);
	if (!json_member(node, key))
		*ret = (struct spec_strings){.v = (const char **)defaults, .n = n, .origin = ""};
	return 0;
}

/* landlock(7): who could get new privileges by execve(2) could leave the restriction. */
static int read_landlock(struct step_parser *p, const struct json_node *security,
			 const struct json_node *process, struct step *step)
{
	struct spec_landlock *landlock = &step->spec.landlock;
	const struct json_node *privileges = json_member(process, "noNewPrivileges");
	const struct json_node *node = NULL;
	size_t n = 0;
	int r = read_object(&p->base, security, "landlock", &node);

	if (r < 0 || !node)
		return r;
	step_known(p, node, "read write execute");
	for (size_t i = 0; i < LANDLOCK_ACCESSES; i++) {
		const char *name = spec_landlock_names[i];

		if (!json_member(node, name))
			continue;
		landlock->named |= 1u << i;
		r = paths_or_default(p, node, name, NULL, 0, &landlock->paths[i]);
		n += landlock->paths[i].n;
		if (r < 0)
			return r;
	}
	landlock->origin = read_origin(&p->base, node);
	if (!landlock->named)
		return read_missing(&p->base, node, "read, write, execute");
	if (n > LIMIT_LANDLOCK_PATHS)
		return json_error(node, p->base.err, RB_CONFIG_LIMIT, "more than %u paths",
				  LIMIT_LANDLOCK_PATHS);
	if (privileges && privileges->type == JSON_BOOL && !privileges->boolean)
		return json_error(node, p->base.err, RB_CONFIG_CONFLICT,
				  "landlock needs noNewPrivileges");
	return 0;
}

static int read_filter(struct step_parser *p, const struct json_node *node, bool insecure,
		       struct step *step)
{
	const struct json_node *filter = json_member(node, "seccomp");
	const struct json_node *oci = json_member(filter, "oci");
	int r;

	if (!filter) {
		step->default_filter = !insecure;
		return 0;
	}
	if (filter->type == JSON_STRING) {
		static const char *const words[] = {"default", "none", NULL};
		unsigned none = 0;

		r = step_read_word(p, node, "seccomp", words, &none);
		step->default_filter = !none;
		return r;
	}
	step_known(p, filter, "oci bpfFd");
	if ((r = json_expect(filter, JSON_OBJECT, p->base.err)) < 0 ||
	    (r = step_read_fd(p, filter, "bpfFd", &step->filter_fd)) < 0)
		return r;
	if ((oci != NULL) == (step->filter_fd != STEP_NO_FD))
		return json_error(filter, p->base.err, RB_CONFIG_CONFLICT,
				  "one of \"oci\" and \"bpfFd\" is needed");
	return oci ? spec_read_seccomp(&p->base, oci, &step->spec.seccomp) : 0;
}

static int read_security(struct step_parser *p, const struct json_node *node, struct step *step)
{
	static const char *const modes[] = {"sandbox", "insecure", NULL};
	const struct json_node *security = NULL;
	const struct json_node *process = json_member(node, "process");
	unsigned insecure = 0;
	int r;

	if ((r = read_object(&p->base, node, "security", &security)) < 0 ||
	    (r = step_read_word(p, security, "mode", modes, &insecure)) < 0 ||
	    (r = read_landlock(p, security, process, step)) < 0 ||
	    (r = read_filter(p, security, insecure, step)) < 0 ||
	    (r = paths_or_default(p, security, "maskedPaths", default_masks,
				  insecure ? 0 : ARRAY_LEN(default_masks),
				  &step->spec.masked_paths)) < 0 ||
	    (r = paths_or_default(p, security, "readonlyPaths", default_read_only,
				  insecure ? 0 : ARRAY_LEN(default_read_only),
				  &step->spec.readonly_paths)) < 0)
		return r;
	step_known(p, security, "mode seccomp maskedPaths readonlyPaths landlock");
	if (insecure && !json_member(process, "capabilities")) {
		struct spec_caps *caps = &step->spec.process.caps;

		/* everything that there is: the planner cuts it down to what can be granted */
		caps->bounding = caps->permitted = caps->effective = UINT64_MAX >> 23;
	}
	if (insecure && !json_member(process, "noNewPrivileges") && !step->spec.landlock.named)
		step->spec.process.no_new_privileges = false;
	return 0;
}

static int read_device(struct step_parser *p, const struct json_node *node,
		       struct spec_device *device)
{
	const char *type = "c";
	int r;

	step_known(p, node, "path type major minor mode uid gid");
	if ((r = json_expect(node, JSON_OBJECT, p->base.err)) < 0 ||
	    (r = read_string(&p->base, node, "path", &device->path)) < 0 ||
	    (r = read_string(&p->base, node, "type", &type)) < 0 ||
	    (r = read_u32(&p->base, node, "major", &device->major)) < 0 ||
	    (r = read_u32(&p->base, node, "minor", &device->minor)) < 0 ||
	    (r = read_u32(&p->base, node, "mode", &device->mode)) < 0 ||
	    (r = read_id(&p->base, node, "uid", &device->uid)) < 0 ||
	    (r = read_id(&p->base, node, "gid", &device->gid)) < 0)
		return r;
	if (!device->path || device->path[0] != '/')
		return json_error(node, p->base.err, RB_CONFIG_VALUE,
				  "a device needs an absolute \"path\"");
	if (strlen(type) != 1 || !strchr("cbup", type[0]))
		return json_error(node, p->base.err, RB_CONFIG_VALUE,
				  "unknown device type \"%.20s\": not c, b, u or p", type);
	device->has_mode = json_member(node, "mode") != NULL;
	device->mode &= 07777;
	device->type = type[0];
	device->origin = read_origin(&p->base, node);
	return 0;
}

static int read_devices(struct step_parser *p, const struct json_node *node, struct step *step)
{
	const struct json_node *array = NULL;
	struct spec_device *devices;
	int r;

	if ((r = read_unsupported(&p->base, node, "cdi")) < 0 ||
	    (r = read_array(&p->base, node, "devices", LIMIT_DEVICES, &array)) < 0 ||
	    (r = read_alloc(&p->base, array, sizeof(*devices), &devices)) < 0)
		return r;
	JSON_FOREACH (item, array)
		if ((r = read_device(p, item, &devices[step->spec.n_devices++])) < 0)
			return r;
	step->spec.devices = devices;
	return 0;
}

/* An address without anything that could begin another line. */
static bool address_is_plain(const char *text)
{
	unsigned char address[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

static bool word_is_plain(const char *text)
{
	if (!text[0])
		return false;
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == '#' || *text == 0x7f)
			return false;
	return true;
}

static int read_hosts(struct step_parser *p, const struct json_node *node, struct step *step)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	const struct json_node *array = NULL;
	int r = read_array(&p->base, node, "hosts", 1024, &array);

	if (r < 0 || !array)
		return r;
	strbuf_add(&text, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
	JSON_FOREACH (item, array) {
		const char *host = NULL;
		const char *ip = NULL;

		step_known(p, item, "host ip");
		if ((r = json_expect(item, JSON_OBJECT, p->base.err)) < 0 ||
		    (r = read_string(&p->base, item, "host", &host)) < 0 ||
		    (r = read_string(&p->base, item, "ip", &ip)) < 0)
			return r;
		if (!host || !ip || !word_is_plain(host) || !address_is_plain(ip))
			return json_error(item, p->base.err, RB_CONFIG_VALUE,
					  "an entry needs a \"host\" name and an \"ip\" address");
		strbuf_printf(&text, "%s\t%s\n", ip, host);
	}
	step->hosts = text.failed ? NULL : arena_strdup(p->base.arena, text.text);
	return step->hosts ? 0 : err_set(p->base.err, RB_NO_MEMORY, ENOMEM, "hosts");
}

static int add_words(struct step_parser *p, const struct json_node *node, const char *key,
		     const char *head, struct strbuf *text)
{
	struct spec_strings words = {0};
	bool per_line = str_eq(head, "nameserver");
	int r = read_strings(&p->base, node, key, &words);

	for (size_t i = 0; r == 0 && i < words.n; i++) {
		if (per_line ? !address_is_plain(words.v[i]) : !word_is_plain(words.v[i]))
			return json_error(json_member(node, key), p->base.err, RB_CONFIG_VALUE,
					  "\"%.60s\" does not belong here", words.v[i]);
		if (per_line || i == 0)
			strbuf_add(text, head);
		strbuf_printf(text, " %s%s", words.v[i], per_line || i + 1 == words.n ? "\n" : "");
	}
	return r;
}

static int read_resolv(struct step_parser *p, const struct json_node *node, struct step *step)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	const struct json_node *resolv = NULL;
	int r;

	if ((r = read_object(&p->base, node, "resolv", &resolv)) < 0 || !resolv)
		return r;
	step_known(p, resolv, "nameservers search options path");
	if ((r = read_string(&p->base, resolv, "path", &step->resolv_path)) < 0)
		return r;
	if (step->resolv_path && (step->resolv_path[0] != '/' || resolv->count > 1))
		return json_error(resolv, p->base.err, RB_CONFIG_VALUE,
				  "\"path\" must be absolute and stand alone");
	if (step->resolv_path)
		return 0;
	if ((r = add_words(p, resolv, "nameservers", "nameserver", &text)) < 0 ||
	    (r = add_words(p, resolv, "search", "search", &text)) < 0 ||
	    (r = add_words(p, resolv, "options", "options", &text)) < 0)
		return r;
	step->resolv = text.failed ? NULL : arena_strdup(p->base.arena, text.text ? text.text : "");
	return step->resolv ? 0 : err_set(p->base.err, RB_NO_MEMORY, ENOMEM, "resolv");
}

/* The limits as config.json has them, which is what cgroup/ understands. */
static int read_resources(struct step_parser *p, const struct json_node *cgroup, struct step *step)
{
	static const struct {
		const char *key, *group, *member;
	} numbers[] = {
		{"memory", "memory", "limit"},  {"memorySwap", "memory", "swap"},
		{"pidsMax", "pids", "limit"},   {"cpuShares", "cpu", "shares"},
		{"cpuPeriod", "cpu", "period"}, {"cpuQuota", "cpu", "quota"},
	};
	CLEANUP_STRBUF struct strbuf text = {0};
	const struct json_node *node = NULL;
	const struct json_node *parsed;
	const char *cpus = NULL;
	const char *mems = NULL;
	const char *group = "";
	int r;

	if ((r = read_object(&p->base, cgroup, "resources", &node)) < 0 || !node)
		return r;
	step_known(p, node,
		   "memory memorySwap cpuShares cpuPeriod cpuQuota cpusetCpus cpusetMems pidsMax");
	if ((r = read_string(&p->base, node, "cpusetCpus", &cpus)) < 0 ||
	    (r = read_string(&p->base, node, "cpusetMems", &mems)) < 0)
		return r;
	strbuf_add_char(&text, '{');
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		const struct json_node *member = json_member(node, numbers[i].key);
		int64_t value;

		if (!member)
			continue;
		if ((r = json_i64(member, &value, p->base.err)) < 0)
			return r;
		if (str_eq(group, numbers[i].group))
			strbuf_printf(&text, ",\"%s\":%" PRId64, numbers[i].member, value);
		else
			strbuf_printf(&text, "%s\"%s\":{\"%s\":%" PRId64, group[0] ? "}," : "",
				      numbers[i].group, numbers[i].member, value);
		group = numbers[i].group;
	}
	if (cpus || mems) {
		strbuf_add(&text, str_eq(group, "cpu") ? ","
				  : group[0]           ? "},\"cpu\":{"
						       : "\"cpu\":{");
		strbuf_add(&text, "\"cpus\":");
		strbuf_add_json(&text, cpus ? cpus : "");
		strbuf_add(&text, ",\"mems\":");
		strbuf_add_json(&text, mems ? mems : "");
		group = "cpu";
	}
	strbuf_add(&text, group[0] ? "}}" : "}");
	if (text.failed)
		return err_set(p->base.err, RB_NO_MEMORY, ENOMEM, "resources");
	step->limits = arena_strdup(p->base.arena, text.text);
	if (!step->limits)
		return err_set(p->base.err, RB_NO_MEMORY, ENOMEM, "resources");
	r = json_parse(p->base.arena, "resources", text.text, text.len, &parsed, p->base.err);
	return r < 0 ? r
		     : spec_parse_resources(p->base.arena, parsed, &step->spec.resources,
					    p->base.err);
}

static int read_cgroup(struct step_parser *p, const struct json_node *node, struct step *step)
{
	const struct json_node *cgroup = NULL;
	const char *parent = NULL;
	const char *path = NULL;
	int r;

	if ((r = read_object(&p->base, node, "cgroup", &cgroup)) < 0 || !cgroup)
		return r;
	step_known(p, cgroup, "parent path fd resources");
	if ((r = read_string(&p->base, cgroup, "parent", &parent)) < 0 ||
	    (r = read_string(&p->base, cgroup, "path", &path)) < 0 ||
	    (r = step_read_fd(p, cgroup, "fd", &step->cgroup_fd)) < 0 ||
	    (r = read_resources(p, cgroup, step)) < 0)
		return r;
	/* a group that the peer has made has the limits that the peer has given it */
	if (step->cgroup_fd != STEP_NO_FD && cgroup->count > 1)
		return json_error(cgroup, p->base.err, RB_CONFIG_CONFLICT,
				  "\"fd\" stands alone: the group has its limits");
	if (step->cgroup_fd != STEP_NO_FD)
		return 0;
	if (parent && path)
		return json_error(cgroup, p->base.err, RB_CONFIG_CONFLICT,
				  "only one of \"parent\" and \"path\" can be given");
	step->spec.cgroups_path = path ? path
				       : arena_printf(p->base.arena, "%s%srunbuild-%s",
						      parent ? parent : "", parent ? "/" : "",
						      step->id);
	return step->spec.cgroups_path ? 0 : err_set(p->base.err, RB_NO_MEMORY, ENOMEM, "cgroup");
}

static int read_hostname(struct step_parser *p, const struct json_node *node, struct step *step)
{
	int r = read_string(&p->base, node, "hostname", &step->spec.hostname);

	if (r < 0 || !step->spec.hostname)
		return r;
	if (strlen(step->spec.hostname) > 64)
		return json_error(json_member(node, "hostname"), p->base.err, RB_CONFIG_LIMIT,
				  "longer than 64 bytes: uname(2)");
	if (!spec_namespace_find(&step->spec, CLONE_NEWUTS))
		return json_error(json_member(node, "hostname"), p->base.err, RB_CONFIG_CONFLICT,
				  "a host name needs a private uts namespace");
	return 0;
}

int step_read_sandbox(struct step_parser *p, const struct json_node *node, struct step *step)
{
	int r;

	if ((r = step_read_net(p, node, step)) < 0 || (r = read_namespaces(p, node, step)) < 0 ||
	    (r = read_hostname(p, node, step)) < 0 || (r = read_hosts(p, node, step)) < 0 ||
	    (r = read_resolv(p, node, step)) < 0 || (r = read_security(p, node, step)) < 0 ||
	    (r = read_devices(p, node, step)) < 0)
		return r;
	return read_cgroup(p, node, step);
}
