/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.json and the links. Runs in the parent when a container is made, and wherever state is
 * read. A record may be cut or garbled by a full disk or a crash: reading it then fails with one
 * clear error, and everything that ends a container works from the init link alone.
 */
#include <time.h>
#include "base/file.h"
#include "base/json.h"
#include "base/strbuf.h"
#include "base/sys.h"
#include "state/state.h"

void state_time(char *buf, size_t size)
{
	struct timespec now = {0};
	struct tm tm;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	len = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + len, size - len, ".%09ldZ", now.tv_nsec);
}

static void json_member_string(struct strbuf *out, const char *key, const char *value)
{
	strbuf_printf(out, ",\"%s\":", key);
	strbuf_add_json(out, value);
}

static void json_annotations(struct strbuf *out, const struct state_annotation *v, size_t n)
{
	if (n == 0)
		return;
	strbuf_add(out, ",\"annotations\":{");
	for (size_t i = 0; i < n; i++) {
		strbuf_add(out, i ? "," : "");
		strbuf_add_json(out, v[i].key);
		strbuf_add_char(out, ':');
		strbuf_add_json(out, v[i].value);
	}
	strbuf_add_char(out, '}');
}

void state_json(const struct state_record *record, const struct state_annotation *annotations,
		size_t n_annotations, const char *status, pid_t pid, struct strbuf *out)
{
	strbuf_add(out, "{\"ociVersion\":");
	strbuf_add_json(out, record->oci_version);
	json_member_string(out, "id", record->id);
	json_member_string(out, "status", status);
	if (pid > 0)
		strbuf_printf(out, ",\"pid\":%d", (int)pid);
	json_member_string(out, "bundle", record->bundle);
	json_annotations(out, annotations, n_annotations);
	strbuf_add_char(out, '}');
}

int container_note_cgroup(const struct container *container, const char *cgroup)
{
	char noted[4096];
	ssize_t len;

	if (!cgroup[0]) {
		(void)unlinkat(container->dir, "cgroup", 0);
		return 0;
	}
	if (symlinkat(cgroup, container->dir, "cgroup") == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	len = readlinkat(container->dir, "cgroup", noted, sizeof(noted));
	if (len == (ssize_t)strlen(cgroup) && memcmp(noted, cgroup, (size_t)len) == 0)
		return 0;
	(void)unlinkat(container->dir, "cgroup", 0);
	return symlinkat(cgroup, container->dir, "cgroup") < 0 ? -errno : 0;
}

static int write_links(struct container *container, const struct state_process *init,
		       unsigned flags, const char *cgroup, const char *identity)
{
	int r = container_note_cgroup(container, cgroup);

	if (r < 0)
		return r;
	if (symlinkat(identity, container->dir, "init") < 0)
		return -errno;
	container->init = *init;
	container->flags = flags;
	container->has_init = true;
	return 0;
}

static int write_failure(const struct container *container, int r, struct rb_err *err)
{
	err_set(err, RB_STATE_WRITE, -r, "cannot write the state of container %s", container->id);
	err_fix(err, "free some space in the state directory");
	return r;
}

/* A new file, which nobody takes for the record before it has its final name. */
static int setup_write(const struct container *container, const char *text, size_t len)
{
	CLEANUP_FD int fd = sys_openat(container->dir, "setup.json",
				       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);

	return fd < 0 ? fd : fd_write_all(fd, text, len);
}

int container_write(struct container *container, const struct state_process *init, unsigned flags,
		    const struct state_record *record, const struct state_annotation *annotations,
		    size_t n_annotations, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	char identity[STATE_INIT_BYTES];
	int r;

	state_process_text(init, flags, identity);
	strbuf_add(&text, "{\"version\":1");
	json_member_string(&text, "init", identity);
	json_member_string(&text, "ociVersion", record->oci_version);
	json_member_string(&text, "id", record->id);
	json_member_string(&text, "bundle", record->bundle);
	json_member_string(&text, "rootfs", record->rootfs);
	json_member_string(&text, "created", record->created);
	json_member_string(&text, "cgroup", record->cgroup);
	if (record->scope)
		json_member_string(&text, "systemdScope", record->scope);
	strbuf_printf(&text, ",\"owner\":%u", record->owner);
	json_annotations(&text, annotations, n_annotations);
	strbuf_add(&text, "}\n");
	strbuf_add_bytes(&text, record->config, record->config_len);
	if (text.failed)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "state record");
	/* the identity first: from then on the container can be killed and deleted */
	r = write_links(container, init, flags, record->cgroup, identity);
	if (r == 0)
		r = setup_write(container, text.text, text.len);
	return r < 0 ? write_failure(container, r, err) : 0;
}

int container_publish(const struct container *container, struct rb_err *err)
{
	int r = renameat(container->dir, "setup.json", container->dir, "state.json") < 0 ? -errno
											 : 0;

	return r < 0 ? write_failure(container, r, err) : 0;
}

/* The record, whether the container is set up already or not. */
static int record_text(struct arena *arena, const struct container *container, char **ret_text,
		       size_t *ret_len)
{
	int r = file_read_at(arena, container->dir, "state.json", LIMIT_STATE_BYTES, ret_text,
			     ret_len);

	if (r == -ENOENT)
		r = file_read_at(arena, container->dir, "setup.json", LIMIT_STATE_BYTES, ret_text,
				 ret_len);
	return r;
}

static int record_damaged(const char *id, struct rb_err *err)
{
	err_set(err, RB_STATE_DAMAGED, 0, "the state of container %s is damaged", id);
	err_fix(err, "remove it with 'runbuild delete --force %s'", id);
	return -EINVAL;
}

int container_recover(struct container *container)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct json_node *root;
	const struct json_node *init;
	const char *identity;
	char *text;
	size_t len;
	int r = record_text(&arena, container, &text, &len);

	if (r < 0)
		return r;
	r = json_parse(&arena, "state.json", text, strcspn(text, "\n"), &root, NULL);
	if (r < 0)
		return r;
	init = json_member(root, "init");
	r = init ? json_string(init, &identity, NULL) : -EINVAL;
	return r < 0 ? r : container_parse_init(container, identity);
}

int container_read(struct arena *arena, const struct container *container,
		   struct state_record *ret_record, struct rb_err *err)
{
	const struct {
		const char *key;
		const char **value;
	} strings[] = {
		{"ociVersion", &ret_record->oci_version}, {"id", &ret_record->id},
		{"bundle", &ret_record->bundle},          {"rootfs", &ret_record->rootfs},
		{"created", &ret_record->created},        {"cgroup", &ret_record->cgroup},
	};
	const struct json_node *root = NULL;
	const struct json_node *owner;
	char *text;
	size_t len;
	size_t line;

	if (record_text(arena, container, &text, &len) < 0)
		return record_damaged(container->id, err);
	line = strcspn(text, "\n");
	if (line == len || json_parse(arena, "state.json", text, line, &root, err) < 0)
		return record_damaged(container->id, err);
	*ret_record = (struct state_record){.config = text + line + 1,
					    .config_len = len - line - 1};
	for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
		const struct json_node *node = json_member(root, strings[i].key);

		if (!node || json_string(node, strings[i].value, err) < 0)
			return record_damaged(container->id, err);
	}
	owner = json_member(root, "owner");
	if (!owner || json_u32(owner, &ret_record->owner, err) < 0)
		return record_damaged(container->id, err);
	ret_record->annotations = json_member(root, "annotations");
	if (json_member(root, "systemdScope") &&
	    json_string(json_member(root, "systemdScope"), &ret_record->scope, err) < 0)
		return record_damaged(container->id, err);
	return 0;
}

const char *container_cgroup(struct arena *arena, const struct container *container)
{
	char text[LIMIT_PATH_BYTES];
	ssize_t len = readlinkat(container->dir, "cgroup", text, sizeof(text));

	if (len <= 0 || (size_t)len == sizeof(text))
		return NULL;
	return arena_strndup(arena, text, (size_t)len);
}
