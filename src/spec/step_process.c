/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "process" of a step: what is started, as whom, with which limits. The differences to
 * config.json are names that clients of a pipe type by hand (user "1000:1000", limits without a
 * prefix) and defaults where config.json has none. Pure.
 */
#include "base/num.h"
#include "spec/step_read.h"

/* What a step may do as root of its sandbox: the set of the engines that BuildKit knows. */
static const char *const default_caps[] = {
	"CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
	"CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
	"CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
	"CAP_KILL",    "CAP_AUDIT_WRITE",
};

static int read_user_text(struct step_parser *p, const struct json_node *node, struct step *step)
{
	struct spec_process *process = &step->spec.process;
	const char *colon = strchr(node->text, ':');
	size_t len = colon ? (size_t)(colon - node->text) : node->len;
	const char *user = arena_strndup(p->base.arena, node->text, len);
	const char *group = colon ? colon + 1 : NULL;

	if (!user)
		return err_set(p->base.err, RB_NO_MEMORY, ENOMEM, "user");
	if (len == 0 || (group && !group[0]) || (group && strchr(group, ':')))
		return json_error(node, p->base.err, RB_CONFIG_VALUE,
				  "\"%.60s\" is not USER or USER:GROUP", node->text);
	/* an id alone leaves the group to the image's /etc/passwd, if that knows the id */
	if (num_parse_u32(user, &process->uid) < 0 || !group)
		step->user_name = user;
	if (group && num_parse_u32(group, &process->gid) < 0)
		step->group_name = group;
	if (process->uid == SPEC_ID_NONE || process->gid == SPEC_ID_NONE)
		return json_error(
			node, p->base.err, RB_CONFIG_ID,
			"id 4294967295 is not valid: the kernel takes it as \"no change\"");
	step->has_group = group != NULL;
	return 0;
}

static int read_user(struct step_parser *p, const struct json_node *node, struct step *step)
{
	const struct json_node *user = json_member(node, "user");
	struct spec_process *process = &step->spec.process;
	const struct json_node *array = NULL;
	uint32_t *groups;
	int r;

	if (!user)
		return 0;
	if (user->type == JSON_STRING)
		return read_user_text(p, user, step);
	step_known(p, user, "uid gid additionalGids umask");
	if ((r = json_expect(user, JSON_OBJECT, p->base.err)) < 0 ||
	    (r = read_id(&p->base, user, "uid", &process->uid)) < 0 ||
	    (r = read_id(&p->base, user, "gid", &process->gid)) < 0 ||
	    (r = read_u32(&p->base, user, "umask", &process->umask)) < 0 ||
	    (r = read_array(&p->base, user, "additionalGids", LIMIT_GROUPS, &array)) < 0 ||
	    (r = read_alloc(&p->base, array, sizeof(*groups), &groups)) < 0)
		return r;
	process->has_umask = json_member(user, "umask") != NULL;
	if (process->umask > 0777)
		return json_error(json_member(user, "umask"), p->base.err, RB_CONFIG_VALUE,
				  "not a umask: greater than 511 (octal 777)");
	JSON_FOREACH (item, array)
		if ((r = read_id_node(&p->base, item, &groups[process->n_groups++])) < 0)
			return r;
	process->groups = groups;
	return 0;
}

static int read_rlimit(struct step_parser *p, const struct json_node *node,
		       struct spec_rlimit *limit)
{
	const char *type = NULL;
	int r;

	step_known(p, node, "type soft hard");
	if ((r = json_expect(node, JSON_OBJECT, p->base.err)) < 0 ||
	    (r = read_string(&p->base, node, "type", &type)) < 0 ||
	    (r = step_read_u64(p, node, "soft", &limit->soft)) < 0 ||
	    (r = step_read_u64(p, node, "hard", &limit->hard)) < 0)
		return r;
	if (!type || !json_member(node, "soft") || !json_member(node, "hard"))
		return read_missing(&p->base, node, type ? "soft, hard" : "type");
	limit->name = str_starts(type, "RLIMIT_") ? type
						  : arena_printf(p->base.arena, "RLIMIT_%s", type);
	limit->resource = limit->name ? spec_rlimit_number(limit->name) : -1;
	if (limit->resource < 0)
		return json_error(node, p->base.err, RB_CONFIG_VALUE,
				  "unknown resource limit \"%.60s\"", type);
	if (limit->soft > limit->hard)
		return json_error(node, p->base.err, RB_CONFIG_VALUE,
				  "the soft limit is greater than the hard limit");
	limit->origin = read_origin(&p->base, node);
	return 0;
}

static int read_rlimits(struct step_parser *p, const struct json_node *node,
			struct spec_process *process)
{
	const struct json_node *array = NULL;
	struct spec_rlimit *limits;
	size_t n = 0;
	int r = read_array(&p->base, node, "rlimits", 64, &array);

	if (r < 0 || (r = read_alloc(&p->base, array, sizeof(*limits), &limits)) < 0)
		return r;
	JSON_FOREACH (item, array) {
		if ((r = read_rlimit(p, item, &limits[n])) < 0)
			return r;
		for (size_t i = 0; i < n; i++)
			if (limits[i].resource == limits[n].resource)
				return json_error(item, p->base.err, RB_CONFIG_CONFLICT,
						  "%s given twice", limits[n].name);
		n++;
	}
	process->rlimits = limits;
	process->n_rlimits = n;
	return 0;
}

static int read_capabilities(struct step_parser *p, const struct json_node *node,
			     struct spec_process *process)
{
	const struct json_node *caps = json_member(node, "capabilities");
	uint64_t set = 0;

	step_known(p, caps, "bounding effective inheritable permitted ambient");
	if (caps)
		return read_caps(&p->base, node, &process->caps, &process->caps_unknown);
	for (size_t i = 0; i < ARRAY_LEN(default_caps); i++)
		set |= UINT64_C(1) << spec_cap_number(default_caps[i]);
	process->caps.present = true;
	process->caps.bounding = process->caps.permitted = process->caps.effective = set;
	return 0;
}

static int read_size(struct step_parser *p, const struct json_node *node,
		     struct spec_process *process)
{
	uint32_t rows = 0;
	uint32_t cols = 0;
	int r;

	if ((r = read_u32(&p->base, node, "rows", &rows)) < 0 ||
	    (r = read_u32(&p->base, node, "cols", &cols)) < 0)
		return r;
	if (rows > UINT16_MAX || cols > UINT16_MAX)
		return json_error(node, p->base.err, RB_CONFIG_VALUE,
				  "a terminal has at most 65535 rows and columns");
	process->rows = (uint16_t)rows;
	process->columns = (uint16_t)cols;
	return 0;
}

static int check_environment(struct step_parser *p, const struct json_node *node,
			     const struct spec_process *process)
{
	for (size_t i = 0; i < process->env.n; i++)
		if (!strchr(process->env.v[i], '=') || process->env.v[i][0] == '=')
			return json_error(json_member(node, "env"), p->base.err, RB_CONFIG_VALUE,
					  "entry %zu is not NAME=VALUE", i);
	return 0;
}

int step_read_process(struct step_parser *p, const struct json_node *node, struct step *step)
{
	struct spec_process *process = &step->spec.process;
	const struct json_node *cwd = json_member(node, "cwd");
	int r;

	process->cwd = "/";
	process->no_new_privileges = true;
	step_known(p, node,
		   "args env cwd user tty rows cols noNewPrivileges oomScoreAdj rlimits "
		   "capabilities apparmor selinux");
	if ((r = read_strings(&p->base, node, "args", &process->args)) < 0 ||
	    (r = read_strings(&p->base, node, "env", &process->env)) < 0 ||
	    (r = read_string(&p->base, node, "cwd", &process->cwd)) < 0 ||
	    (r = read_user(p, node, step)) < 0 ||
	    (r = read_bool(&p->base, node, "tty", &process->terminal)) < 0 ||
	    (r = read_size(p, node, process)) < 0 ||
	    (r = read_bool(&p->base, node, "noNewPrivileges", &process->no_new_privileges)) < 0 ||
	    (r = spec_read_oom_score(&p->base, node, process)) < 0 ||
	    (r = read_rlimits(p, node, process)) < 0 ||
	    (r = read_capabilities(p, node, process)) < 0 ||
	    (r = read_string(&p->base, node, "apparmor", &process->apparmor_profile)) < 0 ||
	    (r = read_string(&p->base, node, "selinux", &process->selinux_label)) < 0 ||
	    (r = check_environment(p, node, process)) < 0)
		return r;
	if (process->args.n == 0 || process->args.v[0][0] == '\0')
		return read_missing(&p->base, node, "args");
	if (process->cwd[0] != '/')
		return json_error(cwd, p->base.err, RB_CONFIG_VALUE,
				  "the working directory \"%.100s\" is not an absolute path",
				  process->cwd);
	process->present = true;
	return 0;
}
