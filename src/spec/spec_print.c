/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parsed configuration as a config.json that other runtimes read: config.md, config-linux.md of
 * the runtime-spec. Of what the description of a step can say; hooks, sysctls and the like only
 * come with a whole configuration, which is a text already. Pure.
 */
#include "base/strbuf.h"
#include "base/sys.h"
#include "spec/spec_read.h"

/* ',"key":' or '"key":' after a bracket. */
static void add_key(struct strbuf *out, const char *key)
{
	char last = out->len ? out->text[out->len - 1] : '{';

	if (last != '{' && last != '[')
		strbuf_add_char(out, ',');
	strbuf_add_json(out, key);
	strbuf_add_char(out, ':');
}

static void add_string(struct strbuf *out, const char *key, const char *value)
{
	if (!value)
		return;
	add_key(out, key);
	strbuf_add_json(out, value);
}

static void add_number(struct strbuf *out, const char *key, uint64_t value)
{
	add_key(out, key);
	strbuf_printf(out, "%" PRIu64, value);
}

static void add_flag(struct strbuf *out, const char *key, bool value)
{
	add_key(out, key);
	strbuf_add(out, value ? "true" : "false");
}

/* The next item of an array. */
static void add_item(struct strbuf *out, const char *value)
{
	if (out->len && out->text[out->len - 1] != '[')
		strbuf_add_char(out, ',');
	strbuf_add_json(out, value);
}

static void begin_item(struct strbuf *out)
{
	strbuf_add(out, out->len && out->text[out->len - 1] == '[' ? "{" : ",{");
}

static void add_list(struct strbuf *out, const char *key, const struct spec_strings *list)
{
	add_key(out, key);
	strbuf_add_char(out, '[');
	for (size_t i = 0; i < list->n; i++)
		add_item(out, list->v[i]);
	strbuf_add_char(out, ']');
}

static void add_caps(struct strbuf *out, const char *key, uint64_t caps)
{
	add_key(out, key);
	strbuf_add_char(out, '[');
	for (unsigned number = 0; number < 64; number++)
		if ((caps >> number & 1) && spec_cap_name(number))
			add_item(out, spec_cap_name(number));
	strbuf_add_char(out, ']');
}

static void add_user(struct strbuf *out, const struct spec_process *process)
{
	add_key(out, "user");
	strbuf_add_char(out, '{');
	add_number(out, "uid", process->uid);
	add_number(out, "gid", process->gid);
	if (process->has_umask)
		add_number(out, "umask", process->umask);
	add_key(out, "additionalGids");
	strbuf_add_char(out, '[');
	for (size_t i = 0; i < process->n_groups; i++)
		strbuf_printf(out, "%s%" PRIu32, i ? "," : "", process->groups[i]);
	strbuf_add(out, "]}");
}

static void add_rlimits(struct strbuf *out, const struct spec_process *process)
{
	add_key(out, "rlimits");
	strbuf_add_char(out, '[');
	for (size_t i = 0; i < process->n_rlimits; i++) {
		const struct spec_rlimit *limit = &process->rlimits[i];

		begin_item(out);
		add_key(out, "type");
		strbuf_printf(out, "\"%s%s\"", str_starts(limit->name, "RLIMIT_") ? "" : "RLIMIT_",
			      limit->name);
		add_number(out, "soft", limit->soft);
		add_number(out, "hard", limit->hard);
		strbuf_add_char(out, '}');
	}
	strbuf_add_char(out, ']');
}

static void add_process(struct strbuf *out, const struct spec_process *process)
{
	const struct spec_caps *caps = &process->caps;

	add_key(out, "process");
	strbuf_add_char(out, '{');
	add_flag(out, "terminal", process->terminal);
	add_user(out, process);
	add_list(out, "args", &process->args);
	add_list(out, "env", &process->env);
	add_string(out, "cwd", process->cwd);
	add_flag(out, "noNewPrivileges", process->no_new_privileges);
	add_string(out, "apparmorProfile", process->apparmor_profile);
	add_string(out, "selinuxLabel", process->selinux_label);
	if (process->has_oom_score_adj) {
		add_key(out, "oomScoreAdj");
		strbuf_printf(out, "%" PRId32, process->oom_score_adj);
	}
	if (caps->present) {
		add_key(out, "capabilities");
		strbuf_add_char(out, '{');
		add_caps(out, "bounding", caps->bounding);
		add_caps(out, "effective", caps->effective);
		add_caps(out, "permitted", caps->permitted);
		add_caps(out, "inheritable", caps->inheritable);
		add_caps(out, "ambient", caps->ambient);
		strbuf_add_char(out, '}');
	}
	add_rlimits(out, process);
	strbuf_add_char(out, '}');
}

static void add_word(struct strbuf *out, bool recursive, const char *word)
{
	char text[32];

	snprintf(text, sizeof(text), "%s%s", recursive ? "r" : "", word);
	add_item(out, text);
}

static void add_attributes(struct strbuf *out, uint64_t set, uint64_t clear, bool recursive)
{
	static const uint64_t attributes[] = {
		MOUNT_ATTR_RDONLY,     MOUNT_ATTR_NOSUID,      MOUNT_ATTR_NODEV,
		MOUNT_ATTR_NOEXEC,     MOUNT_ATTR_NOATIME,     MOUNT_ATTR_STRICTATIME,
		MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOSYMFOLLOW,
	};

	for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
		const char *word = (set | clear) & attributes[i]
					   ? spec_attribute_word(attributes[i], set & attributes[i])
					   : NULL;

		if (word)
			add_word(out, recursive, word);
	}
}

static void add_mappings(struct strbuf *out, const char *key, const struct spec_idmap *map,
			 size_t n)
{
	if (!n)
		return;
	add_key(out, key);
	strbuf_add_char(out, '[');
	for (size_t i = 0; i < n; i++) {
		begin_item(out);
		add_number(out, "containerID", map[i].inside);
		add_number(out, "hostID", map[i].outside);
		add_number(out, "size", map[i].count);
		strbuf_add_char(out, '}');
	}
	strbuf_add_char(out, ']');
}

static void add_mount(struct strbuf *out, const struct spec_mount *mount)
{
	begin_item(out);
	add_string(out, "destination", mount->destination);
	add_string(out, "type", mount->type[0] ? mount->type : "bind");
	add_string(out, "source", mount->source);
	add_key(out, "options");
	strbuf_add_char(out, '[');
	if (mount->bind)
		add_item(out, mount->recursive ? "rbind" : "bind");
	add_attributes(out, mount->attr_set, mount->attr_clear, false);
	add_attributes(out, mount->attr_set_recursive, mount->attr_clear_recursive, true);
	if (mount->propagation)
		add_word(out, mount->propagation_recursive,
			 spec_propagation_name(mount->propagation));
	if (mount->idmap)
		add_item(out, mount->idmap_recursive ? "ridmap" : "idmap");
	for (size_t i = 0; i < mount->data.n; i++)
		add_item(out, mount->data.v[i]);
	strbuf_add_char(out, ']');
	add_mappings(out, "uidMappings", mount->uid_map, mount->n_uid_map);
	add_mappings(out, "gidMappings", mount->gid_map, mount->n_gid_map);
	strbuf_add_char(out, '}');
}

static void add_namespaces(struct strbuf *out, const struct spec *spec)
{
	add_key(out, "namespaces");
	strbuf_add_char(out, '[');
	for (size_t i = 0; i < spec->n_namespaces; i++) {
		begin_item(out);
		add_string(out, "type", spec_namespace_name(spec->namespaces[i].type));
		add_string(out, "path", spec->namespaces[i].path);
		strbuf_add_char(out, '}');
	}
	strbuf_add_char(out, ']');
}

static void add_devices(struct strbuf *out, const struct spec *spec)
{
	if (!spec->n_devices)
		return;
	add_key(out, "devices");
	strbuf_add_char(out, '[');
	for (size_t i = 0; i < spec->n_devices; i++) {
		const struct spec_device *device = &spec->devices[i];
		const char type[] = {device->type, '\0'};

		begin_item(out);
		add_string(out, "type", type);
		add_string(out, "path", device->path);
		add_number(out, "major", device->major);
		add_number(out, "minor", device->minor);
		if (device->has_mode)
			add_number(out, "fileMode", device->mode);
		add_number(out, "uid", device->uid);
		add_number(out, "gid", device->gid);
		strbuf_add_char(out, '}');
	}
	strbuf_add_char(out, ']');
}

static void add_linux(struct strbuf *out, const struct spec *spec, const struct spec_texts *texts)
{
	add_key(out, "linux");
	strbuf_add_char(out, '{');
	add_namespaces(out, spec);
	add_list(out, "maskedPaths", &spec->masked_paths);
	add_list(out, "readonlyPaths", &spec->readonly_paths);
	add_devices(out, spec);
	add_string(out, "rootfsPropagation", spec_propagation_name(spec->rootfs_propagation));
	if (spec->cgroups_path[0])
		add_string(out, "cgroupsPath", spec->cgroups_path);
	if (texts->resources) {
		add_key(out, "resources");
		strbuf_add(out, texts->resources);
	}
	if (texts->seccomp) {
		add_key(out, "seccomp");
		strbuf_add(out, texts->seccomp);
	} else if (spec->seccomp.present && spec->seccomp.node) {
		add_key(out, "seccomp");
		json_print(spec->seccomp.node, out);
	}
	strbuf_add_char(out, '}');
}

void spec_print(const struct spec *spec, const struct spec_texts *texts, struct strbuf *out)
{
	strbuf_add_char(out, '{');
	add_string(out, "ociVersion", "1.0.2");
	add_process(out, &spec->process);
	add_key(out, "root");
	strbuf_add_char(out, '{');
	add_string(out, "path", spec->root_path);
	add_flag(out, "readonly", spec->root_readonly);
	strbuf_add_char(out, '}');
	add_string(out, "hostname", spec->hostname);
	add_key(out, "mounts");
	strbuf_add_char(out, '[');
	for (size_t i = 0; i < spec->n_mounts; i++)
		add_mount(out, &spec->mounts[i]);
	strbuf_add_char(out, ']');
	add_linux(out, spec, texts);
	strbuf_add(out, "}\n");
}
