/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over its corpus, tests/fuzz/corpus/NAME for the program NAME_fuzz, and over
 * every file cut at a few places. Prints TAP: the corpus is a unit test.
 */
#include <dirent.h>

#include "base/file.h"
#include "fuzz.h"

static void replay(const char *text, size_t len)
{
	static const unsigned parts[] = {1, 2, 3, 7};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		size_t cut = len / parts[i];
		/* exactly as long as it says, so that a sanitizer sees a read beyond it */
		CLEANUP_FREE uint8_t *copy = malloc(cut ? cut : 1);

		assert(copy);
		memcpy(copy, text, cut);
		LLVMFuzzerTestOneInput(copy, cut);
	}
}

/* The number of files, all of them run; a crash ends the program, which the suite reports. */
static size_t replay_all(DIR *stream)
{
	struct dirent *entry;
	size_t n = 0;

	while ((entry = readdir(stream))) {
		CLEANUP_ARENA struct arena arena = {0};
		char *text;
		size_t len;

		if (entry->d_name[0] == '.')
			continue;
		if (file_read_at(&arena, dirfd(stream), entry->d_name, 1 << 20, &text, &len) < 0)
			return 0;
		replay(text, len);
		n++;
	}
	return n;
}

int main(int argc, char **argv)
{
	CLEANUP_ARENA struct arena arena = {0};
	const char *top = getenv("top_srcdir");
	const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	const char *path = argc > 1 ? argv[1]
				    : arena_printf(&arena, "%s/tests/fuzz/corpus/%.*s",
						   top ? top : ".", (int)strcspn(name, "_"), name);
	DIR *stream = opendir(path);
	size_t n = stream ? replay_all(stream) : 0;

	printf("# %zu files of %s\n%sok 1 - corpus_replays_without_a_finding\n1..1\n", n, path,
	       n ? "" : "not ");
	if (stream)
		closedir(stream);
	return n ? 0 : 1;
}
