/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "mounts" of config.json: destinations, sources and the option words of mount(8) turned into
 * the attributes of mount_setattr(2). runtime-spec config.md#mounts and
 * config.md#linux-mount-options. Pure. Words that are not in the table go to the file system.
 */
#include "base/sys.h"
#include "spec/spec_read.h"

enum mount_word_kind {
	WORD_IGNORE,    /* has no meaning for a new mount */
	WORD_SET,       /* attribute on, this mount only */
	WORD_CLEAR,     /* attribute off */
	WORD_SET_REC,   /* attribute on, whole tree */
	WORD_CLEAR_REC, /* attribute off, whole tree */
	WORD_DATA,      /* a flag of the file system, not of the mount: passed on, not for binds */
	WORD_BIND,
	WORD_RBIND,
	WORD_PROPAGATION,
	WORD_COPY_UP,
	WORD_NO_FOLLOW_SOURCE,
	WORD_IDMAP,
	WORD_UNSUPPORTED,
};

struct mount_word {
	const char *word;
	enum mount_word_kind kind;
	uint64_t value;
};

/* MOUNT_ATTR_RELATIME is 0: setting any atime mode clears the whole field first */
static const struct mount_word mount_words[] = {
	{"defaults", WORD_IGNORE, 0},
	{"async", WORD_IGNORE, 0},
	{"loud", WORD_IGNORE, 0},
	{"nolazytime", WORD_IGNORE, 0},
	{"nomand", WORD_IGNORE, 0},
	{"noiversion", WORD_IGNORE, 0},
	{"silent", WORD_IGNORE, 0},
	{"remount", WORD_IGNORE, 0},
	{"nodiratime", WORD_SET, MOUNT_ATTR_NODIRATIME},
	{"diratime", WORD_CLEAR, MOUNT_ATTR_NODIRATIME},
	{"ro", WORD_SET, MOUNT_ATTR_RDONLY},
	{"rw", WORD_CLEAR, MOUNT_ATTR_RDONLY},
	{"nosuid", WORD_SET, MOUNT_ATTR_NOSUID},
	{"suid", WORD_CLEAR, MOUNT_ATTR_NOSUID},
	{"nodev", WORD_SET, MOUNT_ATTR_NODEV},
	{"dev", WORD_CLEAR, MOUNT_ATTR_NODEV},
	{"noexec", WORD_SET, MOUNT_ATTR_NOEXEC},
	{"exec", WORD_CLEAR, MOUNT_ATTR_NOEXEC},
	{"nosymfollow", WORD_SET, MOUNT_ATTR_NOSYMFOLLOW},
	{"symfollow", WORD_CLEAR, MOUNT_ATTR_NOSYMFOLLOW},
	{"noatime", WORD_SET, MOUNT_ATTR_NOATIME},
	{"atime", WORD_CLEAR, MOUNT_ATTR__ATIME},
	{"relatime", WORD_SET, MOUNT_ATTR_RELATIME},
	{"norelatime", WORD_CLEAR, MOUNT_ATTR__ATIME},
	{"strictatime", WORD_SET, MOUNT_ATTR_STRICTATIME},
	{"nostrictatime", WORD_CLEAR, MOUNT_ATTR__ATIME},
	{"rro", WORD_SET_REC, MOUNT_ATTR_RDONLY},
	{"rrw", WORD_CLEAR_REC, MOUNT_ATTR_RDONLY},
	{"rnosuid", WORD_SET_REC, MOUNT_ATTR_NOSUID},
	{"rsuid", WORD_CLEAR_REC, MOUNT_ATTR_NOSUID},
	{"rnodev", WORD_SET_REC, MOUNT_ATTR_NODEV},
	{"rdev", WORD_CLEAR_REC, MOUNT_ATTR_NODEV},
	{"rnoexec", WORD_SET_REC, MOUNT_ATTR_NOEXEC},
	{"rexec", WORD_CLEAR_REC, MOUNT_ATTR_NOEXEC},
	{"rnodiratime", WORD_SET_REC, MOUNT_ATTR_NODIRATIME},
	{"rdiratime", WORD_CLEAR_REC, MOUNT_ATTR_NODIRATIME},
	{"rnosymfollow", WORD_SET_REC, MOUNT_ATTR_NOSYMFOLLOW},
	{"rsymfollow", WORD_CLEAR_REC, MOUNT_ATTR_NOSYMFOLLOW},
	{"rnoatime", WORD_SET_REC, MOUNT_ATTR_NOATIME},
	{"ratime", WORD_CLEAR_REC, MOUNT_ATTR__ATIME},
	{"rrelatime", WORD_SET_REC, MOUNT_ATTR_RELATIME},
	{"rnorelatime", WORD_CLEAR_REC, MOUNT_ATTR__ATIME},
	{"rstrictatime", WORD_SET_REC, MOUNT_ATTR_STRICTATIME},
	{"rnostrictatime", WORD_CLEAR_REC, MOUNT_ATTR__ATIME},
	{"sync", WORD_DATA, 0},
	{"dirsync", WORD_DATA, 0},
	{"lazytime", WORD_DATA, 0},
	{"mand", WORD_DATA, 0},
	{"iversion", WORD_DATA, 0},
	{"bind", WORD_BIND, 0},
	{"rbind", WORD_RBIND, 0},
	{"private", WORD_PROPAGATION, 0},
	{"rprivate", WORD_PROPAGATION, 0},
	{"shared", WORD_PROPAGATION, 0},
	{"rshared", WORD_PROPAGATION, 0},
	{"slave", WORD_PROPAGATION, 0},
	{"rslave", WORD_PROPAGATION, 0},
	{"unbindable", WORD_PROPAGATION, 0},
	{"runbindable", WORD_PROPAGATION, 0},
	{"tmpcopyup", WORD_COPY_UP, 0},
	{"src-nofollow", WORD_NO_FOLLOW_SOURCE, 0},
	{"dest-nofollow", WORD_UNSUPPORTED, 0},
	{"idmap", WORD_IDMAP, 0},
	{"ridmap", WORD_IDMAP, 1},
};

/* what `runbuild features` lists, in the order of runc */
const char *const spec_mount_option_names[] = {
	"async",
	"atime",
	"bind",
	"defaults",
	"dev",
	"diratime",
	"dirsync",
	"exec",
	"iversion",
	"lazytime",
	"loud",
	"mand",
	"noatime",
	"nodev",
	"nodiratime",
	"noexec",
	"noiversion",
	"nolazytime",
	"nomand",
	"norelatime",
	"nostrictatime",
	"nosuid",
	"nosymfollow",
	"private",
	"ratime",
	"rbind",
	"rdev",
	"rdiratime",
	"relatime",
	"remount",
	"rexec",
	"rnoatime",
	"rnodev",
	"rnodiratime",
	"rnoexec",
	"rnorelatime",
	"rnostrictatime",
	"rnosuid",
	"rnosymfollow",
	"ro",
	"rprivate",
	"rrelatime",
	"rro",
	"rrw",
	"rshared",
	"rslave",
	"rstrictatime",
	"rsuid",
	"rsymfollow",
	"runbindable",
	"rw",
	"shared",
	"silent",
	"slave",
	"src-nofollow",
	"strictatime",
	"suid",
	"symfollow",
	"sync",
	"tmpcopyup",
	"unbindable",
	NULL,
};

static const struct {
	const char *name;
	uint64_t flag;
} propagation_words[] = {
	{"private", MS_PRIVATE},
	{"shared", MS_SHARED},
	{"slave", MS_SLAVE},
	{"unbindable", MS_UNBINDABLE},
};

uint64_t spec_propagation(const char *name, bool *ret_recursive)
{
	*ret_recursive = name[0] == 'r';
	for (size_t i = 0; i < ARRAY_LEN(propagation_words); i++)
		if (str_eq(name + *ret_recursive, propagation_words[i].name))
			return propagation_words[i].flag;
	return 0;
}

const char *spec_propagation_name(uint64_t flag)
{
	for (size_t i = 0; i < ARRAY_LEN(propagation_words); i++)
		if (flag == propagation_words[i].flag)
			return propagation_words[i].name;
	return NULL;
}

const char *spec_attribute_word(uint64_t attribute, bool set)
{
	enum mount_word_kind kind = set ? WORD_SET : WORD_CLEAR;

	for (size_t i = 0; i < ARRAY_LEN(mount_words); i++)
		if (mount_words[i].kind == kind && mount_words[i].value == attribute)
			return mount_words[i].word;
	return NULL;
}

static const struct mount_word *mount_word_find(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(mount_words); i++)
		if (str_eq(word, mount_words[i].word))
			return &mount_words[i];
	return NULL;
}

/* Later words win over earlier ones, as with mount(8). */
static void mount_attr_add(uint64_t *set, uint64_t *clear, uint64_t value, bool on)
{
	bool atime = value == MOUNT_ATTR_RELATIME || (value & MOUNT_ATTR__ATIME);

	*set &= ~(atime ? MOUNT_ATTR__ATIME : value);
	*clear &= ~value;
	if (atime)
		*clear |= MOUNT_ATTR__ATIME;
	else if (!on)
		*clear |= value;
	if (on)
		*set |= value;
}

static int mount_option(struct spec_parser *p, const struct json_node *node,
			struct spec_mount *mount)
{
	const char *word = node->text;
	const struct mount_word *known = mount_word_find(word);

	switch (known ? known->kind : WORD_DATA) {
	case WORD_IGNORE: break;
	case WORD_SET:
		mount_attr_add(&mount->attr_set, &mount->attr_clear, known->value, true);
		break;
	case WORD_CLEAR:
		mount_attr_add(&mount->attr_set, &mount->attr_clear, known->value, false);
		break;
	case WORD_SET_REC:
		mount_attr_add(&mount->attr_set_recursive, &mount->attr_clear_recursive,
			       known->value, true);
		break;
	case WORD_CLEAR_REC:
		mount_attr_add(&mount->attr_set_recursive, &mount->attr_clear_recursive,
			       known->value, false);
		break;
	case WORD_DATA: mount->data.v[mount->data.n++] = word; break;
	case WORD_RBIND: mount->recursive = true; /* fallthrough */
	case WORD_BIND: mount->bind = true; break;
	case WORD_PROPAGATION:
		mount->propagation = spec_propagation(word, &mount->propagation_recursive);
		break;
	case WORD_COPY_UP: mount->copy_up = true; break;
	case WORD_NO_FOLLOW_SOURCE: mount->no_follow_source = true; break;
	case WORD_IDMAP:
		mount->idmap = true;
		mount->idmap_recursive = known->value == 1;
		break;
	case WORD_UNSUPPORTED:
		return json_error(node, p->err, RB_UNSUPPORTED,
				  "mount option \"%s\" is not supported", word);
	}
	return 0;
}

int spec_read_mount_options(struct spec_parser *p, const struct json_node *node,
			    struct spec_mount *mount)
{
	const struct json_node *array = NULL;
	int r = read_array(p, node, "options", 1024, &array);

	if (r < 0 || (r = read_alloc(p, array, sizeof(*mount->data.v), &mount->data.v)) < 0)
		return r;
	JSON_FOREACH (item, array) {
		const char *word;

		if ((r = json_string(item, &word, p->err)) < 0 ||
		    (r = mount_option(p, item, mount)) < 0)
			return r;
	}
	return 0;
}

static int mount_check_idmap(struct spec_parser *p, const struct json_node *node,
			     struct spec_mount *mount)
{
	bool uids = mount->n_uid_map > 0;
	bool gids = mount->n_gid_map > 0;

	if (uids != gids)
		return read_missing(p, node, uids ? "gidMappings" : "uidMappings");
	/* config.md#mounts: mappings without the word still ask for it */
	mount->idmap |= uids;
	if (mount->idmap && !mount->bind)
		return json_error(node, p->err, RB_CONFIG_CONFLICT,
				  "id-mapped mounts are only possible for bind mounts");
	return 0;
}

static int mount_check(struct spec_parser *p, const struct json_node *node,
		       struct spec_mount *mount)
{
	if (mount->bind) {
		if (mount->source[0] == '\0')
			return read_missing(p, node, "source");
		if (mount->source[0] != '/')
			mount->source = arena_printf(p->arena, "%s/%s", p->bundle, mount->source);
		/* config.md#linux-mount-options: words for a file system mean nothing here */
		mount->data.n = 0;
	} else if (mount->type[0] == '\0') {
		return read_missing(p, node, "type");
	}
	if (mount->destination[0] != '/')
		/* config.md#mounts allows it as deprecated and takes it from the root */
		mount->destination = arena_printf(p->arena, "/%s", mount->destination);
	if (!mount->source || !mount->destination)
		return err_set(p->err, RB_NO_MEMORY, ENOMEM, "mounts");
	if (strlen(mount->destination) >= LIMIT_PATH_BYTES ||
	    strlen(mount->source) >= LIMIT_PATH_BYTES)
		return json_error(node, p->err, RB_CONFIG_LIMIT,
				  "a path is longer than 4095 bytes");
	if (mount->copy_up && !str_eq(mount->type, "tmpfs"))
		return json_error(node, p->err, RB_CONFIG_VALUE,
				  "tmpcopyup needs a mount of type tmpfs");
	return 0;
}

static int mount_read(struct spec_parser *p, const struct json_node *node, struct spec_mount *mount)
{
	int r;

	mount->type = "";
	mount->source = "";
	if ((r = json_expect(node, JSON_OBJECT, p->err)) < 0 ||
	    (r = read_idmap(p, node, "uidMappings", &mount->uid_map, &mount->n_uid_map)) < 0 ||
	    (r = read_idmap(p, node, "gidMappings", &mount->gid_map, &mount->n_gid_map)) < 0 ||
	    (r = read_string(p, node, "destination", &mount->destination)) < 0 ||
	    (r = read_string(p, node, "type", &mount->type)) < 0 ||
	    (r = read_string(p, node, "source", &mount->source)) < 0 ||
	    (r = spec_read_mount_options(p, node, mount)) < 0)
		return r;
	if (!mount->destination || mount->destination[0] == '\0')
		return read_missing(p, node, "destination");
	if (str_eq(mount->type, "bind"))
		mount->bind = true;
	if (str_eq(mount->type, "rbind"))
		mount->bind = mount->recursive = true;
	mount->origin = read_origin(p, node);
	if ((r = mount_check_idmap(p, node, mount)) < 0)
		return r;
	return mount_check(p, node, mount);
}

int spec_read_mounts(struct spec_parser *p, const struct json_node *array, struct spec *spec)
{
	struct spec_mount *mounts;
	size_t n = 0;
	int r = read_alloc(p, array, sizeof(*mounts), &mounts);

	JSON_FOREACH (item, array)
		if (r < 0 || (r = mount_read(p, item, &mounts[n++])) < 0)
			return r;
	spec->mounts = mounts;
	spec->n_mounts = n;
	return r;
}
