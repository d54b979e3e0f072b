/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mount option words, separated by newlines, on a tmpfs and on a bind mount. An attribute is
 * never both set and cleared (but for the atime field, which is cleared to be set), and nothing
 * but attributes of mount_setattr(2) comes out.
 */
#include "base/strbuf.h"
#include "base/sys.h"
#include "fuzz.h"
#include "spec/spec.h"

static const uint64_t attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				   MOUNT_ATTR_NOEXEC | MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME |
				   MOUNT_ATTR_NOSYMFOLLOW;

static void check_attributes(uint64_t set, uint64_t clear)
{
	assert(!((set | clear) & ~attributes));
	assert(!(set & clear & ~(uint64_t)MOUNT_ATTR__ATIME));
	assert(!(set & MOUNT_ATTR__ATIME) || (clear & MOUNT_ATTR__ATIME) == MOUNT_ATTR__ATIME);
	/* mount_setattr(2): one atime mode, not two */
	assert((set & MOUNT_ATTR__ATIME) != (MOUNT_ATTR_NOATIME | MOUNT_ATTR_STRICTATIME));
}

static void check_mount(const struct spec_mount *mount)
{
	check_attributes(mount->attr_set, mount->attr_clear);
	check_attributes(mount->attr_set_recursive, mount->attr_clear_recursive);
	assert(mount->propagation == 0 || mount->propagation == MS_PRIVATE ||
	       mount->propagation == MS_SLAVE || mount->propagation == MS_SHARED ||
	       mount->propagation == MS_UNBINDABLE);
	assert(mount->bind || !mount->recursive);
	assert(!mount->bind || mount->data.n == 0);
	assert(mount->destination[0] == '/' && (!mount->bind || mount->source[0] == '/'));
}

static void try_words(const char *words, const char *fields)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf text = {0};
	const struct spec *spec = NULL;
	struct rb_err err = {0};

	strbuf_printf(&text,
		      "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"mounts\":[{%s,"
		      "\"options\":[",
		      fields);
	while (*words) {
		size_t len = strcspn(words, "\n");

		strbuf_add_json(&text, arena_strndup(&arena, words, len));
		words += len + (words[len] == '\n');
		strbuf_add(&text, *words ? "," : "");
	}
	strbuf_add(&text, "]}]}");
	if (spec_parse(&arena, text.text, text.len, "/b", &spec, &err) == 0)
		check_mount(&spec->mounts[0]);
	else
		assert(err.code && err.origin[0] && !spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *text = fuzz_text(data, size < 2000 ? size : 2000);

	try_words(text, "\"destination\":\"/d\",\"type\":\"tmpfs\",\"source\":\"s\"");
	try_words(text, "\"destination\":\"d\",\"type\":\"bind\",\"source\":\"s\"");
	return 0;
}
