/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runbuild-systemd: asks a systemd manager for a scope unit, or for other limits on one. A program
 * of its own, started by runbuild with a fixed environment; it reads nothing but its arguments,
 * writes nothing but one line of standard error, and ends.
 *
 *	runbuild-systemd SOCKET start UNIT SLICE PID [PROPERTY...]
 *	runbuild-systemd SOCKET set UNIT [PROPERTY...]
 *
 * SOCKET is the manager's own ("private"): no bus daemon is needed, and signals come unasked.
 * PROPERTY is NAME=t:NUMBER, NAME=ay:HEX or NAME=v:TEXT, a text of base/variant.h. Reference:
 * org.freedesktop.systemd1(5).
 */
#include "base/num.h"
#include "base/variant.h"
#include "systemd/wire.h"

static const char destination[] = "org.freedesktop.systemd1";
static const char manager_path[] = "/org/freedesktop/systemd1";
static const char manager[] = "org.freedesktop.systemd1.Manager";

static int complain(const char *what, const char *detail)
{
	dprintf(STDERR_FILENO, "%s%s%s\n", what, detail[0] ? ": " : "", detail);
	return 1;
}

/* (sv): name, then a variant with its signature */
static void property_begin(struct wire *w, const char *name, const char *type)
{
	wire_align(w, 8);
	wire_string(w, name);
	wire_signature(w, type);
}

static void property_string(struct wire *w, const char *name, const char *value)
{
	property_begin(w, name, "s");
	wire_string(w, value);
}

static void property_bool(struct wire *w, const char *name, bool value)
{
	property_begin(w, name, "b");
	wire_u32(w, value);
}

static int property_bytes(struct wire *w, const char *hex)
{
	size_t mark = wire_array_begin(w, 1);

	for (; hex[0] && hex[1]; hex += 2) {
		static const char digits[] = "0123456789abcdef";
		const char *high = strchr(digits, hex[0]);
		const char *low = strchr(digits, hex[1]);

		if (!high || !low)
			return -EINVAL;
		wire_u8(w, (uint8_t)((high - digits) << 4 | (low - digits)));
	}
	wire_array_end(w, mark, 1);
	return hex[0] ? -EINVAL : 0;
}

static size_t type_alignment(char type)
{
	if (strchr("ygv", type))
		return 1;
	if (strchr("nq", type))
		return 2;
	return strchr("biusoa", type) ? 4 : 8;
}

static void value_write(struct wire *w, const struct variant *v);

static void list_write(struct wire *w, const struct variant *v)
{
	size_t align = type_alignment(v->type[1]);
	size_t mark = wire_array_begin(w, align);
	bool key = true;

	for (const struct variant *item = v->child; item; item = item->next, key = !key) {
		if (v->kind == VARIANT_DICT && key)
			wire_align(w, 8);
		value_write(w, item);
	}
	/* a byte string has its end mark with it */
	for (const char *s = v->kind == VARIANT_BYTES ? v->text : NULL; s; s = *s ? s + 1 : NULL)
		wire_u8(w, (uint8_t)*s);
	wire_array_end(w, mark, align);
}

/* The D-Bus specification, "Marshaling". */
static void value_write(struct wire *w, const struct variant *v)
{
	switch (v->type[0]) {
	case 'y': wire_u8(w, (uint8_t)v->number); break;
	case 'n':
	case 'q':
		wire_align(w, 2);
		wire_u8(w, (uint8_t)v->number);
		wire_u8(w, (uint8_t)(v->number >> 8));
		break;
	case 'b':
	case 'i':
	case 'u': wire_u32(w, (uint32_t)v->number); break;
	case 's':
	case 'o': wire_string(w, v->text); break;
	case 'g': wire_signature(w, v->text); break;
	case 'v':
		wire_signature(w, v->child->type);
		value_write(w, v->child);
		break;
	case 'a': list_write(w, v); break;
	case '(':
		wire_align(w, 8);
		for (const struct variant *item = v->child; item; item = item->next)
			value_write(w, item);
		break;
	default: wire_u64(w, v->number); break; /* x, t, d */
	}
}

static int property_variant(struct wire *w, const char *name, const char *text)
{
	CLEANUP_ARENA struct arena arena = {0};
	const struct variant *value;
	const char *why;
	int r = variant_parse(&arena, text, &value, &why);

	if (r < 0)
		return r;
	property_begin(w, name, value->type);
	value_write(w, value);
	return 0;
}

/* NAME=TYPE:VALUE */
static int property_text(struct wire *w, const char *text)
{
	char name[64];
	size_t len = strcspn(text, "=");
	uint64_t number;

	if (len == 0 || len >= sizeof(name) || !text[len])
		return -EINVAL;
	memcpy(name, text, len);
	name[len] = '\0';
	text += len + 1;
	if (str_starts(text, "t:")) {
		if (num_parse_u64(text + 2, strlen(text + 2), UINT64_MAX, &number) < 0)
			return -EINVAL;
		property_begin(w, name, "t");
		wire_u64(w, number);
		return 0;
	}
	if (str_starts(text, "v:"))
		return property_variant(w, name, text + 2);
	if (!str_starts(text, "ay:"))
		return -EINVAL;
	property_begin(w, name, "ay");
	return property_bytes(w, text + 3);
}

static int properties_add(struct wire *w, char **v)
{
	for (; *v; v++)
		if (property_text(w, *v) < 0)
			return complain("not a property", *v);
	return 0;
}

/* StartTransientUnit(s name, s mode, a(sv) properties, a(sa(sv)) aux) -> o job */
static int start_body(struct wire *w, const char *unit, const char *slice, const char *pid,
		      char **properties)
{
	static const char *const accounting[] = {"CPUAccounting", "MemoryAccounting",
						 "IOAccounting", "TasksAccounting"};
	uint32_t number;
	size_t list;
	size_t pids;

	if (num_parse_u32(pid, &number) < 0)
		return complain("not a process id", pid);
	wire_string(w, unit);
	wire_string(w, "fail");
	list = wire_array_begin(w, 8);
	property_string(w, "Description", "runbuild container");
	property_string(w, "Slice", slice);
	/* a container that was killed for lack of memory must not leave a failed unit behind */
	property_string(w, "CollectMode", "inactive-or-failed");
	property_begin(w, "PIDs", "au");
	pids = wire_array_begin(w, 4);
	wire_u32(w, number);
	wire_array_end(w, pids, 4);
	/* the groups below are ours and the container's, not systemd's */
	property_bool(w, "Delegate", true);
	property_bool(w, "DefaultDependencies", false);
	for (size_t i = 0; i < ARRAY_LEN(accounting); i++)
		property_bool(w, accounting[i], true);
	if (properties_add(w, properties) != 0)
		return 1;
	wire_array_end(w, list, 8);
	list = wire_array_begin(w, 8);
	wire_array_end(w, list, 8);
	return 0;
}

/* SetUnitProperties(s name, b runtime, a(sv) properties) */
static int set_body(struct wire *w, const char *unit, char **properties)
{
	size_t list;

	wire_string(w, unit);
	wire_u32(w, 1);
	list = wire_array_begin(w, 8);
	if (properties_add(w, properties) != 0)
		return 1;
	wire_array_end(w, list, 8);
	return 0;
}

static int report_error(const struct wire_message *m)
{
	size_t offset = m->body;
	const char *text = m->raw.len > m->body ? wire_read_string(m, &offset) : NULL;

	return complain(text ? text : "refused", m->error);
}

/* JobRemoved(u id, o job, s unit, s result): ours, with "done"? 1: another one's. */
static int job_result(const struct wire_message *m, const char *job)
{
	size_t offset = m->body;
	const char *path;
	const char *result;

	(void)wire_read_u32(m, &offset);
	path = offset == SIZE_MAX ? NULL : wire_read_string(m, &offset);
	if (!path || !str_eq(path, job) || !wire_read_string(m, &offset))
		return -1;
	result = wire_read_string(m, &offset);
	if (result && str_eq(result, "done"))
		return 0;
	return complain("the job for the scope ended with", result ? result : "nothing");
}

enum { DONE_MAX = 16, DONE_BYTES = 128 };

/* A job that ended well: somebody else's, or ours before we know its name. */
static void remember_done(const struct wire_message *m, char done[DONE_MAX][DONE_BYTES], size_t *n)
{
	size_t offset = m->body;
	const char *path;
	const char *result;

	(void)wire_read_u32(m, &offset);
	path = offset == SIZE_MAX ? NULL : wire_read_string(m, &offset);
	if (!path || !wire_read_string(m, &offset))
		return;
	result = wire_read_string(m, &offset);
	if (!result || !str_eq(result, "done") || strlen(path) >= DONE_BYTES)
		return;
	snprintf(done[*n % DONE_MAX], DONE_BYTES, "%s", path);
	*n += 1;
}

/* The reply, and for a start the end of its job, which may be announced before the reply. */
static int wait_for(int sock, uint32_t serial, bool job)
{
	static struct wire_message m;
	static char done[DONE_MAX][DONE_BYTES];
	size_t n_done = 0;
	char wanted[DONE_BYTES] = "";

	for (;;) {
		int r = wire_receive(sock, &m);
		size_t offset = m.body;

		if (r < 0)
			return complain("the manager's answer", strerrordesc_np(-r));
		if (m.type == WIRE_ERROR && m.reply_to == serial)
			return report_error(&m);
		if (m.type == WIRE_REPLY && m.reply_to == serial) {
			const char *path = job ? wire_read_string(&m, &offset) : NULL;

			if (!job)
				return 0;
			snprintf(wanted, sizeof(wanted), "%s", path ? path : "");
			for (size_t i = 0; i < n_done && i < DONE_MAX; i++)
				if (str_eq(done[i], wanted))
					return 0;
		} else if (m.type == WIRE_SIGNAL && str_eq(m.member, "JobRemoved")) {
			r = job_result(&m, wanted);
			if (r >= 0)
				return r;
			remember_done(&m, done, &n_done);
		}
	}
}

int main(int argc, char **argv)
{
	static struct wire body;
	struct wire_call call = {destination, manager_path, manager, NULL, NULL, 1, &body};
	bool start = argc >= 6 && str_eq(argv[2], "start");
	int sock;
	int r;

	if (!start && !(argc >= 4 && str_eq(argv[2], "set")))
		return complain("usage: runbuild-systemd SOCKET start UNIT SLICE PID [PROPERTY...]",
				"or set UNIT [PROPERTY...]");
	call.member = start ? "StartTransientUnit" : "SetUnitProperties";
	call.signature = start ? "ssa(sv)a(sa(sv))" : "sba(sv)";
	if ((start ? start_body(&body, argv[3], argv[4], argv[5], argv + 6)
		   : set_body(&body, argv[3], argv + 4)) != 0)
		return 1;
	sock = wire_connect(argv[1]);
	if (sock < 0)
		return complain(argv[1], strerrordesc_np(-sock));
	r = wire_send(sock, &call);
	if (r < 0)
		return complain("cannot send", strerrordesc_np(-r));
	return wait_for(sock, call.serial, start);
}
