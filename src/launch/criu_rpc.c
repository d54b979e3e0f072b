/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding and decoding of criu's messages. Pure. Field numbers are those of criu's
 * images/rpc.proto, which never change; the encoding is that of
 * https://protobuf.dev/programming-guides/encoding/.
 */
#include "launch/criu_rpc.h"

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* criu_opts */
enum {
	OPTS_IMAGES = 1,
	OPTS_PID = 2,
	OPTS_LEAVE_RUNNING = 3,
	OPTS_EXT_UNIX_SK = 4,
	OPTS_TCP_ESTABLISHED = 5,
	OPTS_EVASIVE_DEVICES = 6,
	OPTS_SHELL_JOB = 7,
	OPTS_FILE_LOCKS = 8,
	OPTS_LOG_LEVEL = 9,
	OPTS_LOG_FILE = 10,
	OPTS_PAGE_SERVER = 11,
	OPTS_NOTIFY_SCRIPTS = 12,
	OPTS_ROOT = 13,
	OPTS_PARENT = 14,
	OPTS_TRACK_MEM = 15,
	OPTS_AUTO_DEDUP = 16,
	OPTS_WORK = 17,
	OPTS_LINK_REMAP = 18,
	OPTS_EXT_MNT = 23,
	OPTS_MANAGE_CGROUPS = 24,
	OPTS_CG_ROOT = 25,
	OPTS_SIBLING = 26,
	OPTS_INHERIT_FD = 27,
	OPTS_CGROUPS_MODE = 34,
	OPTS_EXTERNAL = 37,
	OPTS_EMPTY_NS = 38,
	OPTS_FREEZE_CGROUP = 44,
	OPTS_TCP_SKIP_IN_FLIGHT = 46,
	OPTS_LAZY_PAGES = 48,
	OPTS_ORPHAN_PTS_MASTER = 50,
	OPTS_LSM_PROFILE = 53,
	OPTS_LSM_MOUNT_CONTEXT = 63,
};

/* criu_req, criu_resp, criu_notify */
enum { REQ_TYPE = 1, REQ_OPTS = 2, REQ_NOTIFY_SUCCESS = 3 };
enum { RESP_TYPE = 1, RESP_SUCCESS = 2, RESP_RESTORE = 4, RESP_NOTIFY = 5, RESP_ERRNO = 7 };
enum { RESTORE_PID = 1, NOTIFY_SCRIPT = 1, NOTIFY_PID = 2 };

static void put_varint(struct strbuf *out, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		strbuf_add_char(out, (char)(value | 0x80));
	strbuf_add_char(out, (char)value);
}

static void put_number(struct strbuf *out, unsigned field, uint64_t value)
{
	put_varint(out, field << 3 | WIRE_VARINT);
	put_varint(out, value);
}

static void put_flag(struct strbuf *out, unsigned field, bool value)
{
	if (value)
		put_number(out, field, 1);
}

static void put_bytes(struct strbuf *out, unsigned field, const char *bytes, size_t len)
{
	put_varint(out, field << 3 | WIRE_BYTES);
	put_varint(out, len);
	strbuf_add_bytes(out, bytes, len);
}

static void put_text(struct strbuf *out, unsigned field, const char *text)
{
	if (text)
		put_bytes(out, field, text, strlen(text));
}

static void put_message(struct strbuf *out, unsigned field, const struct strbuf *message)
{
	out->failed |= message->failed;
	put_bytes(out, field, message->text ? message->text : "", message->len);
}

static void put_pair(struct strbuf *out, unsigned field, const struct criu_pair *pair)
{
	CLEANUP_STRBUF struct strbuf message = {0};

	put_text(&message, 1, pair->key);
	put_text(&message, 2, pair->value);
	put_message(out, field, &message);
}

/* criu_page_server_info */
static void put_page_server(struct strbuf *out, const struct criu_request *request)
{
	CLEANUP_STRBUF struct strbuf message = {0};

	if (!request->page_server)
		return;
	put_text(&message, 1, request->page_server);
	put_number(&message, 2, request->page_server_port);
	put_message(out, OPTS_PAGE_SERVER, &message);
}

static void put_lists(struct strbuf *out, const struct criu_request *request)
{
	for (size_t i = 0; i < request->n_mounts; i++)
		put_pair(out, OPTS_EXT_MNT, &request->mounts[i]);
	for (size_t i = 0; i < request->n_cgroup_roots; i++)
		put_pair(out, OPTS_CG_ROOT, &request->cgroup_roots[i]);
	for (size_t i = 0; i < request->n_inherited; i++) {
		CLEANUP_STRBUF struct strbuf message = {0};

		put_text(&message, 1, request->inherited[i].key);
		put_number(&message, 2, (uint64_t)request->inherited[i].fd);
		put_message(out, OPTS_INHERIT_FD, &message);
	}
	for (size_t i = 0; i < request->n_external; i++)
		put_text(out, OPTS_EXTERNAL, request->external[i]);
}

static void put_options(struct strbuf *out, const struct criu_request *request)
{
	bool restore = request->type == CRIU_RESTORE;

	put_number(out, OPTS_IMAGES, (uint64_t)request->images);
	if (request->pid > 0)
		put_number(out, OPTS_PID, (uint64_t)request->pid);
	put_flag(out, OPTS_LEAVE_RUNNING, request->leave_running);
	put_flag(out, OPTS_EXT_UNIX_SK, request->ext_unix_sk);
	put_flag(out, OPTS_TCP_ESTABLISHED, request->tcp_established);
	put_flag(out, OPTS_EVASIVE_DEVICES, restore);
	put_flag(out, OPTS_SHELL_JOB, request->shell_job);
	put_flag(out, OPTS_FILE_LOCKS, request->file_locks);
	put_number(out, OPTS_LOG_LEVEL, 4);
	put_text(out, OPTS_LOG_FILE, request->log);
	put_page_server(out, request);
	put_flag(out, OPTS_NOTIFY_SCRIPTS, true);
	put_text(out, OPTS_ROOT, request->root);
	put_text(out, OPTS_PARENT, request->parent);
	put_flag(out, OPTS_TRACK_MEM, request->parent || request->type == CRIU_PRE_DUMP);
	put_flag(out, OPTS_AUTO_DEDUP, request->auto_dedup);
	if (request->work >= 0)
		put_number(out, OPTS_WORK, (uint64_t)request->work);
	put_flag(out, OPTS_LINK_REMAP, request->link_remap);
	put_flag(out, OPTS_MANAGE_CGROUPS, true);
	put_flag(out, OPTS_SIBLING, restore);
	put_number(out, OPTS_CGROUPS_MODE, (uint64_t)request->cgroups);
	if (request->empty_ns)
		put_number(out, OPTS_EMPTY_NS, request->empty_ns);
	put_text(out, OPTS_FREEZE_CGROUP, request->freeze_cgroup);
	put_flag(out, OPTS_TCP_SKIP_IN_FLIGHT, request->tcp_skip_in_flight);
	put_flag(out, OPTS_LAZY_PAGES, request->lazy_pages);
	put_flag(out, OPTS_ORPHAN_PTS_MASTER, true);
	put_text(out, OPTS_LSM_PROFILE, request->lsm_profile);
	put_text(out, OPTS_LSM_MOUNT_CONTEXT, request->lsm_mount_context);
	put_lists(out, request);
}

void criu_encode(const struct criu_request *request, struct strbuf *out)
{
	CLEANUP_STRBUF struct strbuf options = {0};

	put_options(&options, request);
	put_number(out, REQ_TYPE, request->type);
	put_message(out, REQ_OPTS, &options);
}

void criu_encode_noted(bool success, struct strbuf *out)
{
	put_number(out, REQ_TYPE, CRIU_NOTIFY);
	put_number(out, REQ_NOTIFY_SUCCESS, success);
}

struct cursor {
	const uint8_t *at, *end;
};

struct field {
	unsigned number;
	uint64_t value;
	struct cursor bytes; /* WIRE_BYTES */
};

static int take_varint(struct cursor *c, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (c->at == c->end)
			return -EPROTO;
		value |= (uint64_t)(*c->at & 0x7f) << shift;
		if (!(*c->at++ & 0x80)) {
			*ret_value = value;
			return 0;
		}
	}
	return -EPROTO;
}

/* 1: a field; 0: the end. */
static int take_field(struct cursor *c, struct field *ret)
{
	uint64_t key;
	uint64_t len;

	if (c->at == c->end)
		return 0;
	if (take_varint(c, &key) < 0)
		return -EPROTO;
	*ret = (struct field){.number = (unsigned)(key >> 3)};
	switch (key & 7) {
	case WIRE_VARINT: return take_varint(c, &ret->value) < 0 ? -EPROTO : 1;
	case WIRE_FIXED64: len = 8; break;
	case WIRE_FIXED32: len = 4; break;
	case WIRE_BYTES:
		if (take_varint(c, &len) < 0)
			return -EPROTO;
		break;
	default: return -EPROTO;
	}
	if (len > (uint64_t)(c->end - c->at))
		return -EPROTO;
	ret->bytes = (struct cursor){c->at, c->at + len};
	c->at += len;
	return 1;
}

/* criu_notify (with a script) and criu_restore_resp, which differ in the number of the pid. */
static int take_process(struct cursor c, unsigned pid_field, struct criu_reply *reply)
{
	struct field f;
	int r;

	while ((r = take_field(&c, &f)) > 0) {
		if (f.number == pid_field)
			reply->pid = (pid_t)f.value;
		else if (f.number == NOTIFY_SCRIPT && f.bytes.at)
			snprintf(reply->script, sizeof(reply->script), "%.*s",
				 (int)(f.bytes.end - f.bytes.at), (const char *)f.bytes.at);
	}
	return r;
}

int criu_decode(const void *bytes, size_t len, struct criu_reply *ret_reply)
{
	struct cursor c = {bytes, (const uint8_t *)bytes + len};
	struct criu_reply reply = {0};
	struct field f;
	int r;

	while ((r = take_field(&c, &f)) > 0) {
		switch (f.number) {
		case RESP_TYPE: reply.type = (int)f.value; break;
		case RESP_SUCCESS: reply.success = f.value != 0; break;
		case RESP_ERRNO: reply.errnum = (int)f.value; break;
		case RESP_RESTORE: r = take_process(f.bytes, RESTORE_PID, &reply); break;
		case RESP_NOTIFY: r = take_process(f.bytes, NOTIFY_PID, &reply); break;
		default: break;
		}
		if (r < 0)
			return r;
	}
	if (r < 0 || reply.type == 0)
		return -EPROTO;
	*ret_reply = reply;
	return 0;
}
