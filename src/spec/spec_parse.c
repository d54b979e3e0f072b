/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json as a whole: the top-level members, and what holds between the parts. Pure: it is
 * given bytes and opens nothing, so a fuzzer can drive it. runtime-spec config.md.
 */
#include "base/sys.h"
#include "spec/spec_read.h"

static int spec_read_version(struct spec_parser *p, const struct json_node *root, struct spec *spec)
{
	const struct json_node *node = json_member(root, "ociVersion");
	int r;

	if (!node)
		return read_missing(p, root, "ociVersion");
	r = json_string(node, &spec->oci_version, p->err);
	if (r < 0)
		return r;
	/* semantic versioning: a different major version may change meanings */
	if (!str_starts(spec->oci_version, "1.")) {
		json_error(node, p->err, RB_CONFIG_VERSION, "unknown version \"%.40s\"",
			   spec->oci_version);
		err_fix(p->err, "versions 1.x of the runtime specification are understood");
		return -EINVAL;
	}
	return 0;
}

static int spec_read_root(struct spec_parser *p, const struct json_node *root, struct spec *spec)
{
	const struct json_node *node = NULL;
	const char *path = NULL;
	int r;

	if ((r = read_object(p, root, "root", &node)) < 0)
		return r;
	if (!node)
		return read_missing(p, root, "root");
	if ((r = read_string(p, node, "path", &path)) < 0 ||
	    (r = read_bool(p, node, "readonly", &spec->root_readonly)) < 0)
		return r;
	if (!path || path[0] == '\0')
		return read_missing(p, node, "path");
	spec->root_path = path[0] == '/' ? path : arena_printf(p->arena, "%s/%s", p->bundle, path);
	if (!spec->root_path)
		return err_set(p->err, RB_NO_MEMORY, ENOMEM, "root");
	return 0;
}

static int hook_read(struct spec_parser *p, const struct json_node *node, struct spec_hook *hook)
{
	const struct json_node *timeout = json_member(node, "timeout");
	int64_t seconds;
	int r;

	if ((r = json_expect(node, JSON_OBJECT, p->err)) < 0 ||
	    (r = read_string(p, node, "path", &hook->path)) < 0 ||
	    (r = read_strings(p, node, "args", &hook->args)) < 0 ||
	    (r = read_strings(p, node, "env", &hook->env)) < 0)
		return r;
	if (!hook->path)
		return read_missing(p, node, "path");
	if (hook->path[0] != '/')
		return json_error(node, p->err, RB_CONFIG_VALUE,
				  "the hook's path \"%.100s\" is not absolute", hook->path);
	if (hook->args.n > LIMIT_HOOK_STRINGS || hook->env.n > LIMIT_HOOK_STRINGS)
		return json_error(node, p->err, RB_CONFIG_LIMIT,
				  "a hook takes at most 512 arguments and 512 variables");
	if (timeout) {
		if ((r = json_i64(timeout, &seconds, p->err)) < 0)
			return r;
		if (seconds <= 0 || seconds > INT32_MAX)
			return json_error(timeout, p->err, RB_CONFIG_VALUE,
					  "a timeout must be greater than zero");
		hook->timeout_s = (uint32_t)seconds;
	}
	hook->origin = read_origin(p, node);
	return 0;
}

int spec_read_hooks(struct spec_parser *p, const struct json_node *node, struct spec *spec)
{
	for (size_t kind = 0; node && kind < HOOK_KINDS; kind++) {
		const struct json_node *array = NULL;
		struct spec_hook *hooks;
		size_t n = 0;
		int r = read_array(p, node, spec_hook_names[kind], LIMIT_HOOKS, &array);

		if (r < 0 || (r = read_alloc(p, array, sizeof(*hooks), &hooks)) < 0)
			return r;
		JSON_FOREACH (item, array)
			if ((r = hook_read(p, item, &hooks[n++])) < 0)
				return r;
		spec->hooks[kind] = (struct spec_hooks){.v = hooks, .n = n};
	}
	return 0;
}

static int spec_read_annotations(struct spec_parser *p, const struct json_node *root,
				 struct spec *spec)
{
	const struct json_node *object = NULL;
	struct spec_annotation *annotations;
	size_t n = 0;
	int r = read_object(p, root, "annotations", &object);

	if (r < 0 || (r = read_alloc(p, object, sizeof(*annotations), &annotations)) < 0)
		return r;
	JSON_FOREACH (item, object) {
		annotations[n].key = item->key;
		if ((r = json_string(item, &annotations[n++].value, p->err)) < 0)
			return r;
	}
	spec->annotations = annotations;
	spec->n_annotations = n;
	return 0;
}

/* Host names live in the uts namespace: setting one without an own namespace renames the host. */
static int spec_check_names(struct spec_parser *p, const struct json_node *root, struct spec *spec)
{
	const char *const keys[] = {"hostname", "domainname"};
	const char **const values[] = {&spec->hostname, &spec->domainname};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *value = *values[i];

		if (!value || value[0] == '\0') {
			*values[i] = NULL;
			continue;
		}
		if (strlen(value) > 64)
			return json_error(json_member(root, keys[i]), p->err, RB_CONFIG_LIMIT,
					  "longer than 64 bytes: uname(2)");
		if (!spec_namespace_find(spec, CLONE_NEWUTS)) {
			json_error(json_member(root, keys[i]), p->err, RB_CONFIG_CONFLICT,
				   "unable to set %s without a private UTS namespace", keys[i]);
			err_fix(p->err, "add {\"type\":\"uts\"} to linux.namespaces");
			return -EINVAL;
		}
	}
	return 0;
}

int spec_parse_node(struct arena *arena, const struct json_node *root, const char *bundle,
		    struct spec *ret_spec, struct rb_err *err)
{
	struct spec_parser p = {.arena = arena, .err = err, .bundle = bundle};
	struct spec read = {.cgroups_path = ""};
	const struct json_node *mounts = NULL;
	const struct json_node *hooks = NULL;
	const struct json_node *linux_node = NULL;
	const struct json_node *process = NULL;
	struct spec *spec = &read;
	int r;

	if ((r = json_expect(root, JSON_OBJECT, err)) < 0 ||
	    (r = spec_read_version(&p, root, spec)) < 0 ||
	    (r = spec_read_root(&p, root, spec)) < 0 ||
	    (r = read_object(&p, root, "process", &process)) < 0 ||
	    (process && (r = spec_read_process(&p, process, &spec->process)) < 0) ||
	    (r = read_string(&p, root, "hostname", &spec->hostname)) < 0 ||
	    (r = read_string(&p, root, "domainname", &spec->domainname)) < 0 ||
	    (r = read_array(&p, root, "mounts", LIMIT_MOUNTS, &mounts)) < 0 ||
	    (r = spec_read_mounts(&p, mounts, spec)) < 0 ||
	    (r = read_object(&p, root, "hooks", &hooks)) < 0 ||
	    (r = spec_read_hooks(&p, hooks, spec)) < 0 ||
	    (r = spec_read_annotations(&p, root, spec)) < 0 ||
	    (r = read_object(&p, root, "linux", &linux_node)) < 0 ||
	    (linux_node && (r = spec_read_linux(&p, linux_node, spec)) < 0) ||
	    (r = spec_check_names(&p, root, spec)) < 0)
		return r;
	*ret_spec = read;
	return 0;
}

int spec_parse(struct arena *arena, const char *text, size_t len, const char *bundle,
	       const struct spec **ret_spec, struct rb_err *err)
{
	const struct json_node *root;
	struct spec *spec = arena_alloc(arena, sizeof(*spec));
	int r;

	if (!spec)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "config.json");
	if ((r = json_parse(arena, "config.json", text, len, &root, err)) < 0 ||
	    (r = spec_parse_node(arena, root, bundle, spec, err)) < 0)
		return r;
	*ret_spec = spec;
	return 0;
}
