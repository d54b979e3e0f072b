/* SPDX-License-Identifier: Apache-2.0 */
/* `pause` and `resume`: the freezer of the container's cgroup. */
#include "cmd/cmd.h"
#include "cmd/verbs.h"

static const struct option_entry no_options[] = {OPTION_END};

static int freeze(struct arena *arena, const struct globals *globals, const char *id, bool frozen,
		  struct rb_err *err)
{
	CLEANUP_CONTAINER struct container container = {.dir = -1};
	CLEANUP(state_root_close) struct state_root root = {.fd = -1};
	CLEANUP_CGROUP struct cgroup cgroup = {.n = 0};
	int status;
	int r = open_container(arena, globals, id, &root, &container, err);

	if (r < 0)
		return r;
	status = status_with_freezer(arena, &container);
	if (status < 0)
		return status_unknown(status, &container, err);
	if (frozen && status != STATUS_RUNNING && status != STATUS_CREATED) {
		err_set(err, RB_STATE_WRONG, 0, "container not running or created: %s",
			container_status_names[status]);
		return -EINVAL;
	}
	if (!frozen && status != STATUS_PAUSED) {
		err_set(err, RB_STATE_WRONG, 0, "container not paused");
		return -EINVAL;
	}
	r = open_container_cgroup(arena, &container, &cgroup, err);
	return r < 0 ? r : cgroup_freeze(&cgroup, frozen, err);
}

static int pause_main(struct arena *arena, const struct globals *globals,
		      const void *options UNUSED, int argc UNUSED, char **argv, struct rb_err *err)
{
	return freeze(arena, globals, argv[0], true, err);
}

static int resume_main(struct arena *arena, const struct globals *globals,
		       const void *options UNUSED, int argc UNUSED, char **argv, struct rb_err *err)
{
	return freeze(arena, globals, argv[0], false, err);
}

const struct verb verb_pause = {
	.name = "pause",
	.summary = "stop all processes of a container",
	.args = "ID",
	.min_args = 1,
	.max_args = 1,
	.options = no_options,
	.run = pause_main,
};

const struct verb verb_resume = {
	.name = "resume",
	.summary = "let the processes of a paused container go on",
	.args = "ID",
	.min_args = 1,
	.max_args = 1,
	.options = no_options,
	.run = resume_main,
};
