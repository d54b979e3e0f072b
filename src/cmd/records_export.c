/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `records export`: a record as an OCI bundle, for any runtime. The configuration is what the step
 * was, written out; layers become a copy, because a bundle has one directory for its root. Runs
 * with the privilege that a replay has, and writes nothing outside of the new directory.
 */
#include <sys/stat.h>
#include "base/file.h"
#include "base/log.h"
#include "base/sys.h"
#include "cmd/records.h"
#include "worker/job_record.h"

/* generated from seccomp/default.json */
static const char default_profile[] =
#include "default_profile.inc"
	;

struct export
{
	struct arena *arena;
	int record, bundle;      /* directories, open */
	const char *record_path; /* of the record */
	const char *bundle_path; /* absolute */
	struct step step;
	const struct json_node *text; /* the step as it was recorded */
};

/*
 * Older runtimes refuse a filter with the name of a machine that they do not know; the others do not
 * matter to this one.
 */
static const char *const architectures[] = {
#if defined(__x86_64__)
	"SCMP_ARCH_X86_64",
	"SCMP_ARCH_X86",
	"SCMP_ARCH_X32",
#elif defined(__aarch64__)
	"SCMP_ARCH_AARCH64",
	"SCMP_ARCH_ARM",
#endif
};

static bool is_of_this_machine(const char *architecture)
{
	for (size_t i = 0; i < ARRAY_LEN(architectures); i++)
		if (str_eq(architecture, architectures[i]))
			return true;
	return ARRAY_LEN(architectures) == 0;
}

static const char *filter_text(struct arena *arena)
{
	CLEANUP_STRBUF struct strbuf out = {0};
	const struct json_node *profile;
	bool first = true;

	if (json_parse(arena, "default profile", default_profile, strlen(default_profile), &profile,
		       NULL) < 0)
		return NULL;
	strbuf_add(&out, "{\"architectures\":[");
	JSON_FOREACH (item, json_member(profile, "architectures")) {
		if (!is_of_this_machine(item->text))
			continue;
		strbuf_add(&out, first ? "" : ",");
		strbuf_add_json(&out, item->text);
		first = false;
	}
	strbuf_add_char(&out, ']');
	JSON_FOREACH (member, profile) {
		if (str_eq(member->key, "architectures"))
			continue;
		strbuf_add_char(&out, ',');
		strbuf_add_json(&out, member->key);
		strbuf_add_char(&out, ':');
		json_print(member, &out);
	}
	strbuf_add_char(&out, '}');
	return out.failed ? NULL : arena_strdup(arena, out.text);
}

#define refuse(err, fix, ...)                                                                      \
	(err_set(err, RB_RECORD, 0, __VA_ARGS__), err_fix(err, "%s", fix), -EOPNOTSUPP)

/* All layers as one tree: NAME below the bundle. *ret_path is its absolute path. */
static int copy_layers(const struct export *e, const struct step_snapshot *snapshot,
		       const char *kept, const char *name, const char **ret_path,
		       struct rb_err *err)
{
	size_t n = 0;
	const char **lower = arena_array(e->arena, snapshot->lower.n + 1, sizeof(*lower));
	struct snap_spec spec = {.lower = lower, .cache_dir = -1};
	struct snapshot merged = SNAPSHOT_NONE;
	char path[40];
	int r;

	*ret_path = arena_printf(e->arena, "%s/%s", e->bundle_path, name);
	if (!lower || !*ret_path)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "layers");
	if (kept || snapshot->upper)
		lower[n++] = kept ? kept : snapshot->upper;
	for (size_t i = 0; i < snapshot->lower.n; i++)
		lower[n++] = snapshot->lower.v[i];
	spec.n_lower = n;
	(void)snap_driver_parse(snapshot->driver, &spec.driver); /* checked by step_parse() */
	if ((r = snapshot_open(e->arena, &spec, &merged, err)) < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", merged.mount);
	r = snap_copy_upper(path, e->bundle, name, UINT64_MAX);
	if (r < 0)
		r = record_error(err, -r, "cannot copy the layers to", *ret_path);
	(void)snapshot_close(&merged, NULL);
	return r;
}

static int export_root(struct export *e, struct rb_err *err)
{
	const char *kept = NULL;
	struct stat st;

	if (e->step.root == STEP_FD)
		return refuse(err, "records of steps whose root is a path or a snapshot can be",
			      "the step's root was a descriptor, which is gone");
	if (e->step.root != STEP_SNAPSHOT)
		return 0;
	if (fstatat(e->record, "upper", &st, AT_SYMLINK_NOFOLLOW) == 0)
		kept = arena_printf(e->arena, "%s/upper", e->record_path);
	return copy_layers(e, e->step.root_snapshot, kept, "rootfs", &e->step.spec.root_path, err);
}

/* What a selector names, inside its source. */
static int select_part(struct arena *arena, const char *selector, const char **path,
		       struct rb_err *err)
{
	CLEANUP_FD int top = sys_openat(AT_FDCWD, *path, O_PATH | O_DIRECTORY, 0);
	CLEANUP_FD int part = top < 0 ? top
				      : sys_openat2(top, selector, O_PATH, 0,
						    RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	char link[40];
	char name[LIMIT_PATH_BYTES];
	ssize_t len;

	if (part < 0)
		return record_error(err, -part, "cannot open the selected part of", *path);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", part);
	len = readlink(link, name, sizeof(name) - 1);
	if (len < 0)
		return record_error(err, errno, "cannot name the selected part of", *path);
	*path = arena_strndup(arena, name, (size_t)len);
	return *path ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "mounts");
}

static int export_mount(const struct export *e, size_t i, struct spec_mount *mount,
			struct rb_err *err)
{
	const struct step_mount *source = &e->step.mounts[i];
	char name[32];
	int r;

	if (source->source == STEP_FD)
		return refuse(err, "remove the mount from the step, or use replay",
			      "the mount on %s was a descriptor, which is gone",
			      mount->destination);
	if (source->source == STEP_SNAPSHOT) {
		snprintf(name, sizeof(name), "mount-%zu", i);
		r = copy_layers(e, source->snapshot, NULL, name, &mount->source, err);
		if (r < 0)
			return r;
	}
	return source->selector && source->selector[0]
		       ? select_part(e->arena, source->selector, &mount->source, err)
		       : 0;
}

/* A text that the engine would have bound from its own directory. */
static int export_file(struct export *e, const char *name, const char *text, const char *path,
		       const char *destination, struct rb_err *err)
{
	struct spec_mount *mount = (struct spec_mount *)&e->step.spec.mounts[e->step.spec.n_mounts];
	int r;

	if (!text && !path)
		return 0;
	if (!path) {
		path = arena_printf(e->arena, "%s/%s", e->bundle_path, name);
		r = file_replace_at(e->bundle, name, text, strlen(text), 0644);
		if (r < 0 || !path)
			return record_error(err, r < 0 ? -r : ENOMEM, "cannot write", name);
	}
	*mount = (struct spec_mount){
		.destination = destination, .type = "", .source = path, .bind = true};
	e->step.spec.n_mounts++;
	return 0;
}

static int export_mounts(struct export *e, struct rb_err *err)
{
	struct step *step = &e->step;
	/* of this process alone: step_parse() has just made them */
	struct spec_mount *mounts = (struct spec_mount *)step->spec.mounts;
	int r = 0;

	for (size_t i = 0; r == 0 && i < step->spec.n_mounts; i++)
		r = export_mount(e, i, &mounts[i], err);
	if (r == 0)
		r = export_file(e, "hosts", step->hosts, NULL, "/etc/hosts", err);
	return r < 0 ? r
		     : export_file(e, "resolv.conf", step->resolv, step->resolv_path,
				   "/etc/resolv.conf", err);
}

/* What no config.json can say. */
static void tell_what_is_lost(const struct step *step)
{
	if (step->net == STEP_NET_SLIRP || step->net == STEP_NET_NETNS)
		log_warn("the bundle has a network of its own that leads nowhere: that of the step "
			 "was made for it");
	if (step->spec.landlock.named)
		log_warn("the bundle lacks the step's landlock rules: config.json has no word for "
			 "them");
	if (step->filter_fd != STEP_NO_FD)
		log_warn("the bundle has no filter of system calls: that of the step was a "
			 "descriptor");
}

static int export_user(struct export *e, struct rb_err *err)
{
	CLEANUP_FD int root = sys_openat(AT_FDCWD, e->step.spec.root_path, O_RDONLY | O_DIRECTORY,
					 0);

	if (root < 0)
		return record_error(err, -root, "cannot open the root", e->step.spec.root_path);
	return job_find_user(e->arena, root, &e->step, &e->step.spec.process, err);
}

static int export_step(struct export *e, struct strbuf *out, struct rb_err *err)
{
	struct spec *spec = &e->step.spec;
	struct spec_texts texts = {.resources = e->step.limits};
	int r;

	if (e->step.default_filter && !(texts.seccomp = filter_text(e->arena)))
		return err_set(err, RB_NO_MEMORY, ENOMEM, "filter");

	/* a namespace that came as a descriptor is a new one; so is that of slirp4netns */
	if ((r = export_root(e, err)) < 0 || (r = export_mounts(e, err)) < 0 ||
	    (r = export_user(e, err)) < 0)
		return r;
	tell_what_is_lost(&e->step);
	spec_print(spec, &texts, out);
	return 0;
}

/* A whole configuration stays what it is; only its root has another place. */
static void export_oci(struct export *e, struct strbuf *out)
{
	const struct json_node *oci = json_member(e->text, "oci");

	strbuf_add(out, "{\"root\":{\"path\":");
	strbuf_add_json(out, e->step.spec.root_path);
	strbuf_printf(out, ",\"readonly\":%s}", e->step.spec.root_readonly ? "true" : "false");
	JSON_FOREACH (member, oci) {
		if (str_eq(member->key, "root"))
			continue;
		strbuf_add_char(out, ',');
		strbuf_add_json(out, member->key);
		strbuf_add_char(out, ':');
		json_print(member, out);
	}
	strbuf_add(out, "}\n");
}

static int export_read(struct export *e, struct rb_err *err)
{
	struct step_unknown unknown = {.n = 0};
	char *text;
	size_t len;
	int r = file_read_at(e->arena, e->record, "step.json", LIMIT_CONFIG_BYTES, &text, &len);

	if (r < 0)
		return record_error(err, -r, "cannot read the record", e->record_path);
	if ((r = json_parse(e->arena, "record", text, len, &e->text, err)) < 0 ||
	    (r = json_expect(e->text, JSON_OBJECT, err)) < 0)
		return r;
	return step_parse(e->arena, e->text, LIMIT_MESSAGE_FDS, &e->step, &unknown, err);
}

static int export_write(struct export *e, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf config = {0};
	int r = export_read(e, err);

	if (r == 0 && e->step.oci)
		export_oci(e, &config);
	else if (r == 0)
		r = export_step(e, &config, err);
	if (r < 0)
		return r;
	r = config.failed
		    ? -ENOMEM
		    : file_replace_at(e->bundle, "config.json", config.text, config.len, 0600);
	return r < 0 ? record_error(err, -r, "cannot write the bundle", e->bundle_path) : 0;
}

int record_export(struct arena *arena, int records, const char *records_path, const char *id,
		  const char *directory, struct rb_err *err)
{
	char real[LIMIT_PATH_BYTES];
	char link[40];
	ssize_t len;
	struct export e = {.arena = arena, .bundle = -1};
	CLEANUP_FD int record = strchr(id, '/') ? -ENOENT : record_lock(records, id, LOCK_SH);
	CLEANUP_FD int bundle = -1;
	int r;

	if (record < 0)
		return record_error(err, 0, "no such record:", id);
	if (mkdirat(AT_FDCWD, directory, 0700) < 0)
		return refuse(err, "name a directory that is not there yet",
			      "cannot make the bundle '%s': %s", directory, strerrordesc_np(errno));
	bundle = sys_openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", bundle);
	len = bundle < 0 ? -1 : readlink(link, real, sizeof(real) - 1);
	e.record = record;
	e.bundle = bundle;
	e.record_path = arena_printf(arena, "%s/%s", records_path, id);
	e.bundle_path = len < 0 ? NULL : arena_strndup(arena, real, (size_t)len);
	r = e.record_path && e.bundle_path
		    ? export_write(&e, err)
		    : record_error(err, ENOENT, "cannot open the bundle", directory);
	if (r < 0) /* all or nothing */
		(void)file_remove_tree_at(AT_FDCWD, directory, RECORD_DEPTH);
	return r;
}
