/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The "process" object of config.json, which is also the whole of process.json: what is started,
 * as whom, with which limits. runtime-spec config.md#process. Pure.
 */
#include <sys/resource.h>
#include "base/num.h"
#include "spec/spec_read.h"

/* getrlimit(2) */
static const struct {
	const char *name;
	int resource;
} spec_rlimit_names[] = {
	{"RLIMIT_AS", RLIMIT_AS},
	{"RLIMIT_CORE", RLIMIT_CORE},
	{"RLIMIT_CPU", RLIMIT_CPU},
	{"RLIMIT_DATA", RLIMIT_DATA},
	{"RLIMIT_FSIZE", RLIMIT_FSIZE},
	{"RLIMIT_LOCKS", RLIMIT_LOCKS},
	{"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
	{"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
	{"RLIMIT_NICE", RLIMIT_NICE},
	{"RLIMIT_NOFILE", RLIMIT_NOFILE},
	{"RLIMIT_NPROC", RLIMIT_NPROC},
	{"RLIMIT_RSS", RLIMIT_RSS},
	{"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
	{"RLIMIT_RTTIME", RLIMIT_RTTIME},
	{"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
	{"RLIMIT_STACK", RLIMIT_STACK},
};

int spec_rlimit_number(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(spec_rlimit_names); i++)
		if (str_eq(name, spec_rlimit_names[i].name))
			return spec_rlimit_names[i].resource;
	return -1;
}

static int spec_read_rlimit(struct spec_parser *p, const struct json_node *node,
			    struct spec_rlimit *limit)
{
	const struct json_node *soft = json_member(node, "soft");
	const struct json_node *hard = json_member(node, "hard");
	const struct json_node *type = json_member(node, "type");
	int r;

	if (!type || !soft || !hard)
		return read_missing(p, node, !type ? "type" : !soft ? "soft" : "hard");
	if ((r = json_string(type, &limit->name, p->err)) < 0 ||
	    (r = json_u64(soft, UINT64_MAX, &limit->soft, p->err)) < 0 ||
	    (r = json_u64(hard, UINT64_MAX, &limit->hard, p->err)) < 0)
		return r;
	limit->resource = spec_rlimit_number(limit->name);
	if (limit->resource < 0)
		return json_error(type, p->err, RB_CONFIG_UNKNOWN,
				  "unknown resource limit \"%.60s\"", limit->name);
	if (limit->soft > limit->hard)
		return json_error(node, p->err, RB_CONFIG_VALUE,
				  "the soft limit is greater than the hard limit");
	limit->origin = read_origin(p, node);
	return 0;
}

static int spec_read_rlimits(struct spec_parser *p, const struct json_node *node,
			     struct spec_process *process)
{
	const struct json_node *array = NULL;
	struct spec_rlimit *limits;
	size_t n = 0;
	int r = read_array(p, node, "rlimits", 64, &array);

	if (r < 0 || !array)
		return r;
	r = read_alloc(p, array, sizeof(*limits), &limits);
	JSON_FOREACH (item, array) {
		if (r < 0 || (r = json_expect(item, JSON_OBJECT, p->err)) < 0 ||
		    (r = spec_read_rlimit(p, item, &limits[n])) < 0)
			return r;
		for (size_t i = 0; i < n; i++)
			if (limits[i].resource == limits[n].resource)
				return json_error(item, p->err, RB_CONFIG_CONFLICT,
						  "%s given twice", limits[n].name);
		n++;
	}
	process->rlimits = limits;
	process->n_rlimits = n;
	return r;
}

static int spec_read_user(struct spec_parser *p, const struct json_node *node,
			  struct spec_process *process)
{
	const struct json_node *user = NULL;
	const struct json_node *array = NULL;
	uint32_t *groups;
	size_t n = 0;
	int r;

	if ((r = read_object(p, node, "user", &user)) < 0 ||
	    (r = read_id(p, user, "uid", &process->uid)) < 0 ||
	    (r = read_id(p, user, "gid", &process->gid)) < 0 ||
	    (r = read_array(p, user, "additionalGids", LIMIT_GROUPS, &array)) < 0)
		return r;
	if (json_member(user, "umask")) {
		r = read_u32(p, user, "umask", &process->umask);
		if (r < 0)
			return r;
		process->has_umask = true;
		if (process->umask > 0777)
			return json_error(json_member(user, "umask"), p->err, RB_CONFIG_VALUE,
					  "not a umask: greater than 511 (octal 777)");
	}
	if (!array)
		return 0;
	r = read_alloc(p, array, sizeof(*groups), &groups);
	JSON_FOREACH (item, array)
		if (r < 0 || (r = read_id_node(p, item, &groups[n++])) < 0)
			return r;
	process->groups = groups;
	process->n_groups = n;
	return r;
}

static int spec_read_console(struct spec_parser *p, const struct json_node *node,
			     struct spec_process *process)
{
	const struct json_node *size = NULL;
	uint32_t height = 0;
	uint32_t width = 0;
	int r;

	if ((r = read_object(p, node, "consoleSize", &size)) < 0 ||
	    (r = read_u32(p, size, "height", &height)) < 0 ||
	    (r = read_u32(p, size, "width", &width)) < 0)
		return r;
	if (height > UINT16_MAX || width > UINT16_MAX)
		return json_error(size, p->err, RB_CONFIG_VALUE,
				  "a terminal has at most 65535 rows "
				  "and columns");
	process->rows = (uint16_t)height;
	process->columns = (uint16_t)width;
	return 0;
}

int spec_read_oom_score(struct spec_parser *p, const struct json_node *node,
			struct spec_process *process)
{
	const struct json_node *member = json_member(node, "oomScoreAdj");
	int64_t value;
	int r;

	if (!member)
		return 0;
	r = json_i64(member, &value, p->err);
	if (r < 0)
		return r;
	if (value < -1000 || value > 1000)
		return json_error(member, p->err, RB_CONFIG_VALUE, "not between -1000 and 1000");
	process->has_oom_score_adj = true;
	process->oom_score_adj = (int32_t)value;
	return 0;
}

static int spec_check_process(struct spec_parser *p, const struct json_node *node,
			      struct spec_process *process)
{
	const struct json_node *cwd = json_member(node, "cwd");
	const struct json_node *args = json_member(node, "args");

	if (!cwd)
		return read_missing(p, node, "cwd");
	if (process->cwd[0] != '/') {
		json_error(cwd, p->err, RB_CONFIG_VALUE,
			   "the working directory \"%.100s\" is not an absolute path",
			   process->cwd);
		err_fix(p->err, "let it begin with '/'");
		return -EINVAL;
	}
	if (!args)
		return read_missing(p, node, "args");
	if (process->args.n == 0 || process->args.v[0][0] == '\0')
		return json_error(args, p->err, RB_CONFIG_VALUE, "args must not be empty");
	return 0;
}

int spec_read_process(struct spec_parser *p, const struct json_node *node,
		      struct spec_process *process)
{
	bool unknown = false;
	int r = json_expect(node, JSON_OBJECT, p->err);

	if (r < 0)
		return r;
	if ((r = read_bool(p, node, "terminal", &process->terminal)) < 0 ||
	    (r = spec_read_console(p, node, process)) < 0 ||
	    (r = spec_read_user(p, node, process)) < 0 ||
	    (r = read_strings(p, node, "args", &process->args)) < 0 ||
	    (r = read_strings(p, node, "env", &process->env)) < 0 ||
	    (r = read_string(p, node, "cwd", &process->cwd)) < 0 ||
	    (r = read_caps(p, node, &process->caps, &unknown)) < 0 ||
	    (r = spec_read_rlimits(p, node, process)) < 0 ||
	    (r = read_bool(p, node, "noNewPrivileges", &process->no_new_privileges)) < 0 ||
	    (r = spec_read_oom_score(p, node, process)) < 0 ||
	    (r = read_string(p, node, "apparmorProfile", &process->apparmor_profile)) < 0 ||
	    (r = read_string(p, node, "selinuxLabel", &process->selinux_label)) < 0 ||
	    (r = spec_read_process_scheduling(p, node, process)) < 0)
		return r;
	process->caps_unknown = unknown;
	process->present = true;
	return spec_check_process(p, node, process);
}

int spec_parse_process(struct arena *arena, const char *text, size_t len,
		       struct spec_process *ret_process, struct rb_err *err)
{
	struct spec_parser p = {.arena = arena, .err = err, .bundle = ""};
	struct spec_process process = {0};
	const struct json_node *root;
	int r = json_parse(arena, "process.json", text, len, &root, err);

	if (r < 0 || (r = spec_read_process(&p, root, &process)) < 0)
		return r;
	*ret_process = process;
	return 0;
}
