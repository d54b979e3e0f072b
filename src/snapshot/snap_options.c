/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Overlay mounts as a configuration writes them: containerd's and BuildKit's mount lists, podman's
 * volumes. Pure. A comma cannot reach us inside a value (they come as separate strings); a colon
 * or a backslash in a layer's name is escaped by a backslash: overlayfs.rst, "Multiple lower
 * layers".
 */
#include "base/sys.h"
#include "snapshot/snapshot.h"

static const struct {
	const char *type;
	enum snap_driver driver;
} overlay_types[] = {
	{"overlay", SNAP_AUTO},
	{"fuse-overlayfs", SNAP_FUSE},
	{"fuse.fuse-overlayfs", SNAP_FUSE},
	{"fuse3.fuse-overlayfs", SNAP_FUSE},
};

/* What is always so, or makes no difference for a step: accepted and left out. */
static const char *const ignored_options[] = {
	"userxattr", "index=off",      "xino=off", "xino=auto", "metacopy=off", "redirect_dir=off",
	"uuid=null", "nfs_export=off", "noacl",    "fsync=1",   "threaded=0",
};

bool snap_is_overlay_type(const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(overlay_types); i++)
		if (str_eq(type, overlay_types[i].type))
			return true;
	return false;
}

/* Up to the next bare colon, without the escapes; *at moves behind it. */
static char *next_layer(struct arena *arena, const char **at)
{
	char *path = arena_alloc(arena, strlen(*at) + 1);
	size_t len = 0;
	const char *c = *at;

	if (!path)
		return NULL;
	for (; *c && *c != ':'; c++) {
		if (*c == '\\' && c[1])
			c++;
		path[len++] = *c;
	}
	*at = *c ? c + 1 : NULL;
	path[len] = '\0';
	return path;
}

static int parse_lower(struct arena *arena, const char *value, struct snap_spec *spec,
		       struct rb_err *err)
{
	const char **v;
	size_t most = 1;

	for (const char *c = value; *c; c++)
		most += *c == ':';
	v = arena_array(arena, spec->n_lower + most, sizeof(*v));
	if (!v)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "layers");
	for (size_t i = 0; i < spec->n_lower; i++)
		v[i] = spec->lower[i];
	for (const char *at = value; at;) {
		char *path = next_layer(arena, &at);

		if (!path)
			return err_set(err, RB_NO_MEMORY, ENOMEM, "layers");
		if (!path[0])
			return err_set(err, RB_SNAP_OPTION, 0,
				       "an empty name in \"lowerdir\" (data-only layers are not "
				       "possible without privilege)");
		v[spec->n_lower++] = path;
	}
	spec->lower = v;
	return 0;
}

static int parse_option(struct arena *arena, const char *option, struct snap_spec *spec,
			struct rb_err *err)
{
	if (str_starts(option, "lowerdir="))
		return parse_lower(arena, option + 9, spec, err);
	if (str_starts(option, "lowerdir+="))
		return parse_lower(arena, option + 10, spec, err);
	if (str_starts(option, "upperdir="))
		spec->upper = option + 9;
	else if (str_starts(option, "workdir="))
		spec->work = option + 8;
	else if (str_eq(option, "volatile") || str_eq(option, "fsync=0"))
		spec->throw_away = true;
	else {
		for (size_t i = 0; i < ARRAY_LEN(ignored_options); i++)
			if (str_eq(option, ignored_options[i]))
				return 0;
		err_set(err, RB_SNAP_OPTION, 0, "overlay option \"%.100s\" is not supported",
			option);
		err_fix(err, "leave it out: runbuild chooses what is safe for untrusted layers");
		return -EINVAL;
	}
	return 0;
}

int snap_spec_from_options(struct arena *arena, const char *type, const char *const *options,
			   size_t n_options, struct snap_spec *ret_spec, struct rb_err *err)
{
	struct snap_spec spec = {.driver = SNAP_AUTO, .cache_dir = -1};

	for (size_t i = 0; i < ARRAY_LEN(overlay_types); i++)
		if (str_eq(type, overlay_types[i].type))
			spec.driver = overlay_types[i].driver;
	for (size_t i = 0; i < n_options; i++) {
		int r = parse_option(arena, options[i], &spec, err);

		if (r < 0)
			return r;
	}
	if (spec.n_lower == 0)
		return err_set(err, RB_SNAP_OPTION, 0, "an overlay without \"lowerdir\"");
	if ((spec.upper != NULL) != (spec.work != NULL))
		return err_set(err, RB_SNAP_OPTION, 0,
			       "\"upperdir\" and \"workdir\" belong together");
	*ret_spec = spec;
	return 0;
}
