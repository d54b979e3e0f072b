/* SPDX-License-Identifier: Apache-2.0 */
/* "mounts" and "hooks" of config.json to struct spec. */
#include "base/strbuf.h"
#include "base/sys.h"
#include "config.h"

/* ---- mounts -------------------------------------------------------------------------------- */

static const struct spec_mount *mount_of(struct arena *arena, const char *fields)
{
	const struct spec *spec = parse_with(arena, TOP,
					     arena_printf(arena, ",\"mounts\":[{%s}]", fields));

	return spec && spec->n_mounts == 1 ? &spec->mounts[0] : NULL;
}

/* A mount of type tmpfs with these option words. */
static const struct spec_mount *tmpfs_with(struct arena *arena, const char *words)
{
	return mount_of(arena,
			arena_printf(arena,
				     "\"destination\":\"/d\",\"type\":\"tmpfs\",\"options\":[%s]",
				     words));
}

/* What a word alone does to a mount. */
struct word_effect {
	const char *word;
	uint64_t set, clear; /* of the mount, or of the tree for an r... word */
	uint64_t propagation;
	bool data, bind, other;
};

#define ATIME MOUNT_ATTR__ATIME

static const struct word_effect effects[] = {
	{.word = "async"},
	{.word = "defaults"},
	{.word = "loud"},
	{.word = "nolazytime"},
	{.word = "nomand"},
	{.word = "noiversion"},
	{.word = "silent"},
	{.word = "remount"},
	{"ro", MOUNT_ATTR_RDONLY, 0, 0, 0, 0, 0},
	{"rw", 0, MOUNT_ATTR_RDONLY, 0, 0, 0, 0},
	{"nosuid", MOUNT_ATTR_NOSUID, 0, 0, 0, 0, 0},
	{"suid", 0, MOUNT_ATTR_NOSUID, 0, 0, 0, 0},
	{"nodev", MOUNT_ATTR_NODEV, 0, 0, 0, 0, 0},
	{"dev", 0, MOUNT_ATTR_NODEV, 0, 0, 0, 0},
	{"noexec", MOUNT_ATTR_NOEXEC, 0, 0, 0, 0, 0},
	{"exec", 0, MOUNT_ATTR_NOEXEC, 0, 0, 0, 0},
	{"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0, 0, 0, 0, 0},
	{"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW, 0, 0, 0, 0},
	{"nodiratime", MOUNT_ATTR_NODIRATIME, 0, 0, 0, 0, 0},
	{"diratime", 0, MOUNT_ATTR_NODIRATIME, 0, 0, 0, 0},
	{"noatime", MOUNT_ATTR_NOATIME, ATIME, 0, 0, 0, 0},
	{"atime", 0, ATIME, 0, 0, 0, 0},
	{"relatime", MOUNT_ATTR_RELATIME, ATIME, 0, 0, 0, 0},
	{"norelatime", 0, ATIME, 0, 0, 0, 0},
	{"strictatime", MOUNT_ATTR_STRICTATIME, ATIME, 0, 0, 0, 0},
	{"nostrictatime", 0, ATIME, 0, 0, 0, 0},
	{"sync", 0, 0, 0, true, 0, 0},
	{"dirsync", 0, 0, 0, true, 0, 0},
	{"lazytime", 0, 0, 0, true, 0, 0},
	{"mand", 0, 0, 0, true, 0, 0},
	{"iversion", 0, 0, 0, true, 0, 0},
	{"private", 0, 0, MS_PRIVATE, 0, 0, 0},
	{"shared", 0, 0, MS_SHARED, 0, 0, 0},
	{"slave", 0, 0, MS_SLAVE, 0, 0, 0},
	{"unbindable", 0, 0, MS_UNBINDABLE, 0, 0, 0},
	{"bind", 0, 0, 0, 0, true, 0},
	{"tmpcopyup", 0, 0, 0, 0, 0, true},
	{"src-nofollow", 0, 0, 0, 0, 0, true},
};

static const struct word_effect *effect_of(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(effects); i++)
		if (str_eq(effects[i].word, word))
			return &effects[i];
	return NULL;
}

/* One word of the list, as itself or, with an r in front, for the whole tree. */
static bool word_does_what_it_says(const char *word)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct word_effect *effect = effect_of(word);
	bool recursive = !effect && word[0] == 'r';
	const struct spec_mount *m = mount_of(
		&arena, arena_printf(&arena,
				     "\"destination\":\"/d\",\"type\":\"tmpfs\","
				     "\"source\":\"/s\",\"options\":[\"%s\"]",
				     word));

	if (recursive)
		effect = effect_of(word + 1);
	if (!m || !effect)
		return false;
	return (recursive ? m->attr_set_recursive : m->attr_set) == effect->set &&
	       (recursive ? m->attr_clear_recursive : m->attr_clear) == effect->clear &&
	       (recursive ? m->attr_set : m->attr_set_recursive) == 0 &&
	       (recursive ? m->attr_clear : m->attr_clear_recursive) == 0 &&
	       m->propagation == effect->propagation &&
	       m->propagation_recursive == (recursive && effect->propagation) &&
	       m->bind == effect->bind && m->recursive == (recursive && effect->bind) &&
	       m->data.n == effect->data && m->copy_up == str_eq(word, "tmpcopyup") &&
	       m->no_follow_source == str_eq(word, "src-nofollow");
}

static void every_listed_mount_option_does_what_it_says(void)
{
	size_t n = 0;

	for (; spec_mount_option_names[n]; n++) {
		if (word_does_what_it_says(spec_mount_option_names[n]))
			continue;
		printf("# %s\n", spec_mount_option_names[n]);
		tap_ok = false;
	}
	CHECK(n == 61);
	for (size_t i = 1; i < n; i++)
		CHECK(strcmp(spec_mount_option_names[i - 1], spec_mount_option_names[i]) < 0);
}

static void later_mount_options_win(void)
{
	static const struct {
		const char *words;
		uint64_t set, clear;
	} rows[] = {
		{"\"ro\",\"rw\"", 0, MOUNT_ATTR_RDONLY},
		{"\"rw\",\"ro\"", MOUNT_ATTR_RDONLY, 0},
		{"\"noatime\",\"strictatime\"", MOUNT_ATTR_STRICTATIME, ATIME},
		{"\"strictatime\",\"noatime\"", MOUNT_ATTR_NOATIME, ATIME},
		{"\"noatime\",\"relatime\"", 0, ATIME},
		{"\"noatime\",\"atime\"", 0, ATIME},
		{"\"nosuid\",\"nodev\",\"suid\"", MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID},
		{"\"noatime\",\"nodiratime\"", MOUNT_ATTR_NOATIME | MOUNT_ATTR_NODIRATIME, ATIME},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		const struct spec_mount *m = tmpfs_with(&arena, rows[i].words);

		CHECK(m && m->attr_set == rows[i].set && m->attr_clear == rows[i].clear);
	}
}

static void unknown_mount_options_go_to_the_file_system(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec_mount *m = tmpfs_with(&arena,
						"\"size=64k\",\"ro\",\"mode=755\",\"huge\"");

	CHECK(m && m->data.n == 3 && m->attr_set == MOUNT_ATTR_RDONLY);
	CHECK_STR(m->data.v[0], "size=64k");
	CHECK_STR(m->data.v[2], "huge");
	/* but not for a bind mount, which has none */
	m = mount_of(&arena,
		     "\"destination\":\"/d\",\"source\":\"/s\",\"options\":[\"bind\",\"size=1\"]");
	CHECK(m && m->bind && m->data.n == 0);
}

static void mount_paths_become_absolute(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec_mount *m = mount_of(
		&arena, "\"destination\":\"d/e\",\"type\":\"bind\",\"source\":\"s\"");

	CHECK(m && m->bind && !m->recursive);
	CHECK_STR(m->destination, "/d/e");
	CHECK_STR(m->source, "/bundle/s");
	m = mount_of(&arena, "\"destination\":\"/d\",\"type\":\"rbind\",\"source\":\"/s\"");
	CHECK(m && m->bind && m->recursive);
	CHECK_STR(m->source, "/s");
	/* the source of a file system is a word, not a path */
	m = mount_of(&arena, "\"destination\":\"/d\",\"type\":\"proc\",\"source\":\"proc\"");
	CHECK(m);
	CHECK_STR(m->source, "proc");
}

#define MOUNT(fields) ",\"mounts\":[{" fields "}]"

static void mounts_that_make_no_sense_are_refused(void)
{
	static const struct refusal rows[] = {
		{TOP, ",\"mounts\":[1]", RB_CONFIG_TYPE, "/mounts/0"},
		{TOP, MOUNT(""), RB_CONFIG_MISSING, "/mounts/0"},
		{TOP, MOUNT("\"destination\":\"\",\"type\":\"tmpfs\""), RB_CONFIG_MISSING,
		 "/mounts/0"},
		{TOP, MOUNT("\"destination\":\"/d\""), RB_CONFIG_MISSING, "/mounts/0"},
		{TOP, MOUNT("\"destination\":1,\"type\":\"tmpfs\""), RB_CONFIG_TYPE,
		 "/mounts/0/destination"},
		{TOP, MOUNT("\"destination\":\"/d\",\"type\":\"bind\""), RB_CONFIG_MISSING,
		 "/mounts/0"},
		{TOP, MOUNT("\"destination\":\"/d\",\"options\":[\"rbind\"]"), RB_CONFIG_MISSING,
		 "/mounts/0"},
		{TOP, MOUNT("\"destination\":\"/d\",\"type\":\"tmpfs\",\"options\":\"ro\""),
		 RB_CONFIG_TYPE, "/mounts/0/options"},
		{TOP, MOUNT("\"destination\":\"/d\",\"type\":\"tmpfs\",\"options\":[\"ro\",0]"),
		 RB_CONFIG_TYPE, "/mounts/0/options/1"},
		{TOP, MOUNT("\"destination\":\"/d\",\"type\":\"proc\",\"options\":[\"tmpcopyup\"]"),
		 RB_CONFIG_VALUE, "/mounts/0"},
		{TOP, MOUNT("\"destination\":\"/d\",\"type\":\"tmpfs\",\"options\":[\"idmap\"]"),
		 RB_CONFIG_CONFLICT, "/mounts/0"},
		{TOP,
		 MOUNT("\"destination\":\"/d\",\"source\":\"/\",\"options\":[\"dest-nofollow\"]"),
		 RB_UNSUPPORTED, "/mounts/0/options/0"},
		{TOP,
		 MOUNT("\"destination\":\"/d\",\"type\":\"bind\",\"source\":\"/\","
		       "\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}]"),
		 RB_CONFIG_MISSING, "/mounts/0"},
	};

	check_refusals(rows, ARRAY_LEN(rows));
}

static void mount_path_beyond_the_kernels_limit_is_refused(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	char *path = arena_alloc(&arena, LIMIT_PATH_BYTES + 1);
	struct refusal row = {TOP, NULL, RB_CONFIG_LIMIT, "/mounts/0"};

	memset(path, '/', LIMIT_PATH_BYTES);
	row.members = arena_printf(&arena, MOUNT("\"destination\":\"%s\",\"type\":\"tmpfs\""),
				   path);
	check_refusals(&row, 1);
	path[LIMIT_PATH_BYTES - 1] = '\0';
	CHECK(mount_of(&arena,
		       arena_printf(&arena, "\"destination\":\"%s\",\"type\":\"tmpfs\"", path)));
}

static void mounts_beyond_the_limit_are_refused(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf text = {0};
	struct refusal row = {TOP, NULL, RB_CONFIG_LIMIT, "/mounts"};

	strbuf_add(&text, ",\"mounts\":[");
	for (size_t i = 0; i <= LIMIT_MOUNTS; i++)
		strbuf_printf(&text, "%s{\"destination\":\"/d\",\"type\":\"tmpfs\"}", i ? "," : "");
	strbuf_add(&text, "]");
	row.members = text.text;
	check_refusals(&row, 1);
}

/* ---- hooks --------------------------------------------------------------------------------- */

static void hooks_of_all_six_kinds_are_read(void)
{
	static const char *const kinds[] = {"prestart",       "createRuntime", "createContainer",
					    "startContainer", "poststart",     "poststop"};

	for (size_t i = 0; i < HOOK_KINDS; i++) {
		CLEANUP_ARENA struct arena arena = {0};
		const struct spec *spec = parse_with(
			&arena, TOP,
			arena_printf(
				&arena,
				",\"hooks\":{\"%s\":[{\"path\":\"/a\"},{\"path\":\"/h\",\"args\":"
				"[\"h\",\"1\"],\"env\":[\"K=v\"],\"timeout\":5}]}",
				kinds[i]));
		const struct spec_hooks *hooks = spec ? &spec->hooks[i] : NULL;

		CHECK(hooks && hooks->n == 2 && hooks->v[0].timeout_s == 0 &&
		      hooks->v[1].timeout_s == 5 && hooks->v[1].args.n == 2 &&
		      hooks->v[1].env.n == 1);
		CHECK_STR(hooks->v[1].path, "/h");
		CHECK_STR(hooks->v[1].origin, arena_printf(&arena, "/hooks/%s/1", kinds[i]));
		CHECK_STR(spec_hook_names[i], kinds[i]);
	}
}

#define HOOK(fields) ",\"hooks\":{\"prestart\":[{" fields "}]}"

static void hooks_that_make_no_sense_are_refused(void)
{
	static const struct refusal rows[] = {
		{TOP, ",\"hooks\":{\"poststop\":{}}", RB_CONFIG_TYPE, "/hooks/poststop"},
		{TOP, ",\"hooks\":{\"poststop\":[1]}", RB_CONFIG_TYPE, "/hooks/poststop/0"},
		{TOP, HOOK(""), RB_CONFIG_MISSING, "/hooks/prestart/0"},
		{TOP, HOOK("\"path\":\"bin/x\""), RB_CONFIG_VALUE, "/hooks/prestart/0"},
		{TOP, HOOK("\"path\":\"/x\",\"timeout\":0"), RB_CONFIG_VALUE,
		 "/hooks/prestart/0/timeout"},
		{TOP, HOOK("\"path\":\"/x\",\"timeout\":-1"), RB_CONFIG_VALUE,
		 "/hooks/prestart/0/timeout"},
		{TOP, HOOK("\"path\":\"/x\",\"timeout\":2147483648"), RB_CONFIG_VALUE,
		 "/hooks/prestart/0/timeout"},
		{TOP, HOOK("\"path\":\"/x\",\"args\":[1]"), RB_CONFIG_TYPE,
		 "/hooks/prestart/0/args/0"},
		{TOP, HOOK("\"path\":\"/x\",\"env\":1"), RB_CONFIG_TYPE, "/hooks/prestart/0/env"},
	};

	check_refusals(rows, ARRAY_LEN(rows));
}

static void annotations_are_kept_in_order(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct spec *spec = parse_with(&arena, TOP,
					     ",\"annotations\":{\"z\":\"1\",\"a\":\"\"}");

	CHECK(spec && spec->n_annotations == 2);
	CHECK_STR(spec->annotations[0].key, "z");
	CHECK_STR(spec->annotations[1].value, "");
}

TAP_MAIN(TEST(every_listed_mount_option_does_what_it_says), TEST(later_mount_options_win),
	 TEST(unknown_mount_options_go_to_the_file_system), TEST(mount_paths_become_absolute),
	 TEST(mounts_that_make_no_sense_are_refused),
	 TEST(mount_path_beyond_the_kernels_limit_is_refused),
	 TEST(mounts_beyond_the_limit_are_refused), TEST(hooks_of_all_six_kinds_are_read),
	 TEST(hooks_that_make_no_sense_are_refused), TEST(annotations_are_kept_in_order))
