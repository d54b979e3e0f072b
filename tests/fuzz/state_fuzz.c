/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's directory after a crash: the first line of the input is the text of the init
 * link, the rest is state.json. Reading either gives what it says or one error, and never a
 * process number that is not one.
 */
#include "base/json.h"
#include "fuzz.h"
#include "scratch.h"
#include "state/state.h"

static void check_init(struct container *container, const char *link)
{
	if (!*link || symlinkat(link, container->dir, "init") < 0)
		return;
	if (container_reload(container) == 0)
		assert(container->has_init && container->init.pid > 0 &&
		       memchr(container->init.boot, '\0', sizeof(container->init.boot)));
	else
		assert(!container->has_init && container->init.pid == 0);
	unlinkat(container->dir, "init", 0);
}

static void check_record(const struct container *container)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct state_record record;
	struct rb_err err = {0};

	if (container_read(&arena, container, &record, &err) < 0) {
		assert(err.code == RB_STATE_DAMAGED && err.fix[0]);
		return;
	}
	assert(record.id && record.oci_version && record.bundle && record.rootfs &&
	       record.created && record.cgroup);
	assert(strlen(record.config) <= record.config_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *text = fuzz_text(data, size);
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct container container = {.dir = scratch.fd, .id = "c1"};
	size_t line = strcspn(text, "\n");

	if (line < size) {
		text[line] = '\0';
		scratch_file(&scratch, "state.json", text + line + 1, size - line - 1);
		check_record(&container);
	}
	check_init(&container, text);
	return 0;
}
