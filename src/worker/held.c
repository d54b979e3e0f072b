/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.mount and snapshot.umount: a snapshot that a peer holds without a step, attached in the
 * private directory of the worker. It ends with its connection; the guard detaches it when the
 * worker dies.
 */
#include "worker/worker_private.h"

struct held *held_find(struct worker *worker, const struct connection *owner, const char *name)
{
	for (struct held *held = worker->held; held; held = held->next)
		if (!held->dead && held->owner == owner && str_eq(held->name, name))
			return held;
	return NULL;
}

static void fail(struct held *held, const struct rb_err *err)
{
	connection_error(held->owner, held->request, kind_of(err), err, NULL);
	held->request = NULL;
	held->dead = true;
}

static void refuse(struct call *call, enum worker_kind kind, enum rb_code code, const char *text,
		   const struct step_unknown *unknown)
{
	struct rb_err err = {0};

	err_set(&err, code, 0, "%s", text);
	connection_error(call->connection, call->message.id, kind, &err, unknown);
}

static int attach(struct held *held, struct rb_err *err)
{
	struct worker *worker = held->owner->worker;
	const char *name = arena_printf(&held->arena, "mount-%s", held->name);
	CLEANUP_FD int place = -1;
	int r;

	held->path = name ? arena_printf(&held->arena, "%s/%s", worker->engine.directory, name)
			  : NULL;
	if (!held->path)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "snapshot");
	if (mkdirat(worker->engine.directory_fd, name, 0755) < 0)
		return err_set(err, RB_SNAP_MOUNT, errno, "cannot make '%s'", held->path);
	place = sys_openat(worker->engine.directory_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	r = place < 0 ? place
		      : sys_move_mount(held->snapshot.mount, "", place, "",
				       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	fd_close(&held->snapshot.mount);
	return r < 0 ? err_set(err, RB_SNAP_MOUNT, -r, "cannot attach the snapshot") : 0;
}

void held_turn(struct held *held)
{
	struct rb_err err = {0};
	struct strbuf out = {0};
	int r;

	if (held->dead || !held->request)
		return;
	r = snapshot_advance(&held->snapshot, &err);
	if (r == 0)
		return;
	if (r < 0 || attach(held, &err) < 0) {
		fail(held, &err);
		return;
	}
	reply_begin(&out, held->request);
	strbuf_add(&out, "\"path\":");
	strbuf_add_json(&out, held->path);
	strbuf_add(&out, ",\"driver\":");
	strbuf_add_json(&out, snap_driver_name(held->snapshot.driver));
	message_end(&out);
	connection_send(held->owner, &out, -1);
	held->request = NULL;
}

static void release(struct held *held)
{
	if (held->path) {
		(void)sys_umount2(held->path, MNT_DETACH | UMOUNT_NOFOLLOW);
		(void)unlinkat(AT_FDCWD, held->path, AT_REMOVEDIR);
	}
	held->path = NULL;
	(void)snapshot_close(&held->snapshot, NULL);
}

void held_free(struct held *held)
{
	release(held);
	arena_free(&held->arena);
	free(held);
}

static struct held *held_new(struct call *call, const char *name)
{
	struct worker *worker = call->connection->worker;
	struct held *held = calloc(1, sizeof(*held));

	if (!held)
		return NULL;
	held->snapshot = SNAPSHOT_NONE;
	held->owner = call->connection;
	held->arena = *call->arena;
	*call->arena = (struct arena){0};
	held->name = name;
	held->request = call->message.id;
	held->next = worker->held;
	worker->held = held;
	return held;
}

static bool read_mount(struct call *call, const char **ret_name, const struct step_snapshot **ret)
{
	const struct json_node *id = json_member(call->message.params, "id");
	struct step_unknown unknown = {.n = 0};
	struct rb_err err = {0};

	if (params_known(call->arena, call->message.params, "snapshot id", &unknown, &err) == 0 &&
	    id && id->type == JSON_STRING && step_id_is_valid(id->text) &&
	    step_parse_snapshot(call->arena, json_member(call->message.params, "snapshot"), ret,
				&unknown, &err) == 0) {
		*ret_name = id->text;
		return true;
	}
	if (!err.code)
		err_set(&err, RB_BAD_ID, 0, "\"id\" is not a name of 1 to 64 letters and digits");
	connection_error(call->connection, call->message.id, kind_of(&err), &err, &unknown);
	return false;
}

void held_mount(struct call *call)
{
	struct worker *worker = call->connection->worker;
	const struct step_snapshot *snapshot;
	struct rb_err err = {0};
	struct held *held;
	const char *name;

	if (!read_mount(call, &name, &snapshot))
		return;
	for (held = worker->held; held; held = held->next)
		if (!held->dead && str_eq(held->name, name)) {
			refuse(call, KIND_DUPLICATE_STEP, RB_OK,
			       "a snapshot of this name is mounted", NULL);
			return;
		}
	held = held_new(call, name);
	if (!held) {
		refuse(call, KIND_INTERNAL, RB_NO_MEMORY, "out of memory", NULL);
		return;
	}
	job_snap_spec(&worker->engine, snapshot, &held->spec);
	if (snapshot_begin(&held->arena, &held->spec, &held->snapshot, &err) < 0)
		fail(held, &err);
	else
		held_turn(held);
}

void held_unmount(struct call *call)
{
	const struct json_node *id = json_member(call->message.params, "id");
	struct step_unknown unknown = {.n = 0};
	struct rb_err err = {0};
	struct strbuf out = {0};
	struct held *held;

	if (params_known(call->arena, call->message.params, "id", &unknown, &err) < 0) {
		connection_error(call->connection, call->message.id, kind_of(&err), &err, &unknown);
		return;
	}
	held = id && id->type == JSON_STRING
		       ? held_find(call->connection->worker, call->connection, id->text)
		       : NULL;
	if (!held || held->request) {
		refuse(call, KIND_NO_SUCH_STEP, RB_OK, "no snapshot of this name is mounted here",
		       NULL);
		return;
	}
	/* before the answer: who has it may mount the same directories again */
	release(held);
	held->dead = true;
	reply_begin(&out, call->message.id);
	message_end(&out);
	connection_send(call->connection, &out, -1);
}
