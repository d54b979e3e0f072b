/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of mounts that a container is handed. Runs in the parent, outside the container's
 * namespaces, with CAP_SYS_ADMIN in its user namespace when there are snapshots.
 */
#include "base/sys.h"
#include "worker/handed.h"

int handed_init(struct arena *arena, struct handed *handed, size_t size, struct rb_err *err)
{
	*handed = (struct handed){.size = size, .names_only = handed->names_only};
	if (size == 0)
		return 0;
	handed->mounts = arena_array(arena, size, sizeof(*handed->mounts));
	handed->snapshots = arena_array(arena, size, sizeof(*handed->snapshots));
	handed->snapshot_number = arena_array(arena, size, sizeof(*handed->snapshot_number));
	if (!handed->mounts || !handed->snapshots || !handed->snapshot_number) {
		handed->size = 0;
		return err_set(err, RB_NO_MEMORY, ENOMEM, "mounts");
	}
	return 0;
}

void handed_add(struct handed *handed, int *mount, uint32_t *ret_number)
{
	handed->mounts[handed->n_mounts++] = fd_take(mount);
	*ret_number = (uint32_t)handed->n_mounts;
}

int handed_add_snapshot(struct arena *arena, struct handed *handed, const struct snap_spec *spec,
			uint32_t *ret_number, struct rb_err *err)
{
	struct snapshot *snapshot = &handed->snapshots[handed->n_snapshots];
	int none = -1;
	int r;

	if (handed->n_snapshots == LIMIT_SNAPSHOTS) {
		err_set(err, RB_SNAP_LAYER, 0, "more than %u snapshots in one step",
			LIMIT_SNAPSHOTS);
		return -E2BIG;
	}
	if (handed->names_only) {
		handed_add(handed, &none, ret_number);
		return 0;
	}
	r = snapshot_begin(arena, spec, snapshot, err);
	if (r < 0)
		return r;
	if (snapshot->upper >= 0)
		handed->held[handed->n_held++] = snapshot->upper;
	if (snapshot->work >= 0)
		handed->held[handed->n_held++] = snapshot->work;
	handed->mounts[handed->n_mounts++] = fd_take(&snapshot->mount);
	*ret_number = (uint32_t)handed->n_mounts;
	handed->snapshot_number[handed->n_snapshots++] = *ret_number;
	return 0;
}

static int add_overlay(struct arena *arena, struct handed *handed, struct spec_mount *mount,
		       int cache_dir, bool outlives_caller, struct rb_err *err)
{
	struct snap_spec spec;
	int r = snap_spec_from_options(arena, mount->type, mount->data.v, mount->data.n, &spec,
				       err);

	spec.cache_dir = cache_dir;
	spec.outlives_caller = outlives_caller;
	if (r == 0)
		r = handed_add_snapshot(arena, handed, &spec, &mount->handed, err);
	if (r < 0)
		err_origin(err, mount->origin);
	return r;
}

int handed_add_from_spec(struct arena *arena, struct handed *handed, const struct spec *spec,
			 int cache_dir, bool outlives_caller, const struct spec **ret_spec,
			 struct rb_err *err)
{
	struct spec *copy;
	struct spec_mount *mounts;
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < spec->n_mounts; i++)
		n += !spec->mounts[i].bind && snap_is_overlay_type(spec->mounts[i].type);
	*ret_spec = spec;
	if (n == 0)
		return 0;
	copy = arena_alloc(arena, sizeof(*copy));
	mounts = arena_array(arena, spec->n_mounts, sizeof(*mounts));
	if (!copy || !mounts)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "mounts");
	if (handed->size - handed->n_mounts < n && (r = handed_init(arena, handed, n, err)) < 0)
		return r;
	memcpy(mounts, spec->mounts, spec->n_mounts * sizeof(*mounts));
	for (size_t i = 0; r == 0 && i < spec->n_mounts; i++)
		if (!mounts[i].bind && snap_is_overlay_type(mounts[i].type))
			r = add_overlay(arena, handed, &mounts[i], cache_dir, outlives_caller, err);
	*copy = *spec;
	copy->mounts = mounts;
	*ret_spec = copy;
	return r;
}

int handed_name_from_spec(struct arena *arena, struct handed *handed, const struct spec *spec,
			  const struct spec **ret_spec, char ***ret_names, struct rb_err *err)
{
	char **names = arena_array(arena, spec->n_mounts + 1, sizeof(*names));
	const struct spec *completed;
	size_t n = 0;
	int r;

	if (!names)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "mounts");
	handed->names_only = true;
	r = handed_add_from_spec(arena, handed, spec, -1, false, &completed, err);
	for (size_t i = 0; r == 0 && i < completed->n_mounts; i++) {
		const struct spec_mount *mount = &completed->mounts[i];

		if (!mount->handed)
			continue;
		names[n] = arena_printf(arena, "handed mount %u: the %s of %s", mount->handed - 1,
					mount->type, mount->destination);
		if (!names[n++])
			return err_set(err, RB_NO_MEMORY, ENOMEM, "mounts");
	}
	if (r < 0)
		return r;
	*ret_spec = completed;
	*ret_names = names;
	return 0;
}

int handed_advance(struct handed *handed, struct rb_err *err)
{
	int all = 1;

	for (size_t i = 0; i < handed->n_snapshots; i++) {
		int r = snapshot_advance(&handed->snapshots[i], err);

		if (r < 0)
			return r;
		all &= r;
	}
	return all;
}

size_t handed_poll(const struct handed *handed, struct pollfd *fds, int64_t *deadline_ms)
{
	size_t n = 0;

	for (size_t i = 0; i < handed->n_snapshots; i++) {
		const struct snapshot *snapshot = &handed->snapshots[i];
		struct pollfd own[2];
		size_t count = snapshot_poll(snapshot, own);

		for (size_t k = 0; k < count && k < 1; k++)
			fds[n++] = own[k];
		if (snapshot->prober >= 0 && snapshot->deadline_ms < *deadline_ms)
			*deadline_ms = snapshot->deadline_ms;
	}
	return n;
}

int handed_wait(struct handed *handed, struct rb_err *err)
{
	int r;

	while ((r = handed_advance(handed, err)) == 0) {
		struct pollfd fds[LIMIT_SNAPSHOTS];
		int64_t deadline = INT64_MAX;
		size_t n = handed_poll(handed, fds, &deadline);
		int64_t left = deadline - sys_now_ms();

		(void)poll(fds, n, left < 0 ? 0 : left > 60000 ? 60000 : (int)left);
	}
	return r < 0 ? r : 0;
}

void handed_attached(struct handed *handed)
{
	for (size_t i = 0; i < handed->n_mounts; i++)
		fd_close(&handed->mounts[i]);
}

bool handed_is_dead(struct handed *handed, struct rb_err *err)
{
	for (size_t i = 0; i < handed->n_snapshots; i++)
		if (snapshot_is_dead(&handed->snapshots[i], err))
			return true;
	return false;
}

int handed_close(struct handed *handed, struct rb_err *err)
{
	int first = 0;

	handed_attached(handed);
	for (size_t i = 0; i < handed->n_snapshots; i++) {
		int r = snapshot_close(&handed->snapshots[i], first < 0 ? NULL : err);

		if (r < 0 && first == 0)
			first = r;
	}
	handed->n_snapshots = handed->n_mounts = handed->n_held = 0;
	return first;
}

static bool needs_holder(const struct snapshot *snapshot)
{
	return snapshot->daemon < 0 && snapshot->upper >= 0;
}

bool handed_needs_holder(const struct handed *handed)
{
	for (size_t i = 0; i < handed->n_snapshots; i++)
		if (needs_holder(&handed->snapshots[i]))
			return true;
	return false;
}

void handed_release(void *data)
{
	struct handed *handed = data;

	for (size_t i = 0; i < handed->n_snapshots; i++)
		if (needs_holder(&handed->snapshots[i]))
			(void)snapshot_close(&handed->snapshots[i], NULL);
}
