/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines in, lines out. Pure. What yajl accepts and RFC 8259 or the protocol does not is caught on
 * the raw bytes first: UTF-8 by its real rules (yajl checks shapes only), lone surrogate escapes,
 * \u0000, depth. No effect of a line happens here, or before the whole line was checked.
 */
#include "base/num.h"
#include "worker/codec.h"

static const struct {
	int number;
	const char *name;
} kinds[] = {
#define X(kind, number, name) [kind] = {number, name},
	WORKER_KINDS(X)
#undef X
};

/*
 * Length of the UTF-8 character at s (RFC 3629, table 3-7 of Unicode), 0: not one, or -1: cut off
 * by the end.
 */
static int utf8_char(const unsigned char *s, size_t len)
{
	unsigned char low = 0x80;
	unsigned char high = 0xbf;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] == 0xe0)
		low = 0xa0; /* shorter forms exist */
	else if (s[0] == 0xed)
		high = 0x9f; /* surrogates */
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f; /* above U+10FFFF */
	for (size_t i = 1; i < n; i++) {
		if (i == len)
			return -1;
		if (s[i] < low || s[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return (int)n;
}

static bool hex4(const char *s, size_t len, unsigned *ret)
{
	unsigned value = 0;

	if (len < 4)
		return false;
	for (size_t i = 0; i < 4; i++) {
		unsigned char c = (unsigned char)s[i];
		unsigned digit = c >= '0' && c <= '9'   ? c - '0'
				 : c >= 'a' && c <= 'f' ? c - 'a' + 10
				 : c >= 'A' && c <= 'F' ? c - 'A' + 10
							: 16;

		if (digit == 16)
			return false;
		value = value << 4 | digit;
	}
	*ret = value;
	return true;
}

/* An escape at s[0] == '\\'. Its length, or 0 with *ret_wrong; JSON's own rules are yajl's. */
static size_t check_escape(const char *s, size_t len, const char **ret_wrong)
{
	unsigned first;
	unsigned second;

	if (len < 2 || s[1] != 'u' || !hex4(s + 2, len - 2, &first))
		return 2;
	if (first == 0) {
		*ret_wrong = "\\u0000 in a string";
		return 0;
	}
	if (first < 0xd800 || first > 0xdfff)
		return 6;
	if (first < 0xdc00 && len >= 12 && s[6] == '\\' && s[7] == 'u' &&
	    hex4(s + 8, len - 8, &second) && second >= 0xdc00 && second <= 0xdfff)
		return 12;
	*ret_wrong = "half of a surrogate pair";
	return 0;
}

const char *line_check(const char *line, size_t len)
{
	const char *wrong = NULL;
	bool inside = false;
	unsigned depth = 0;

	for (size_t i = 0; i < len;) {
		int n = utf8_char((const unsigned char *)line + i, len - i);

		if (n <= 0)
			return "not UTF-8";
		if (line[i] == '\0' || line[i] == '\r')
			return "a raw control character";
		if (inside && line[i] == '\\') {
			size_t escape = check_escape(line + i, len - i, &wrong);

			if (escape == 0)
				return wrong;
			i += escape;
			continue;
		}
		if (line[i] == '"')
			inside = !inside;
		else if (!inside && (line[i] == '{' || line[i] == '[') &&
			 ++depth > WORKER_JSON_DEPTH)
			return "nested deeper than 32 levels";
		else if (!inside && (line[i] == '}' || line[i] == ']') && depth > 0)
			depth--;
		i += (size_t)n;
	}
	return NULL;
}

/*
 * The id as it goes into the answer; a number must be an integer from 0 to 2^53-1. The JSON-RPC
 * libraries of Go and Python that Debian has count from 0.
 */
static int read_id(struct arena *arena, const struct json_node *node, const char **ret_id)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	uint64_t number;

	if (node->type == JSON_NUMBER) {
		if (num_parse_u64(node->text, node->len, (UINT64_C(1) << 53) - 1, &number) < 0)
			return -EINVAL;
	} else if (node->type != JSON_STRING || node->len == 0 || node->len > 64) {
		return -EINVAL;
	}
	json_print(node, &text);
	*ret_id = text.failed ? NULL : arena_strdup(arena, text.text);
	return *ret_id ? 0 : -ENOMEM;
}

static int bad(enum worker_kind *ret_kind, enum worker_kind kind, struct rb_err *err,
	       const char *text)
{
	*ret_kind = kind;
	err_set(err, RB_CONFIG_VALUE, 0, "%s", text);
	return -EINVAL;
}

/* The members around params: JSON-RPC 2.0, and "fds". */
static int read_envelope(struct arena *arena, const struct json_node *root, struct message *message,
			 enum worker_kind *ret_kind, struct rb_err *err)
{
	const struct json_node *version = NULL;
	bool has_id = false;
	bool id_is_good = true;
	uint64_t fds;

	JSON_FOREACH (member, root) {
		if (str_eq(member->key, "jsonrpc")) {
			version = member;
		} else if (str_eq(member->key, "id")) {
			has_id = true;
			id_is_good = read_id(arena, member, &message->id) == 0;
		} else if (str_eq(member->key, "method")) {
			message->method = member->type == JSON_STRING ? member->text : NULL;
		} else if (str_eq(member->key, "params")) {
			message->params = member;
		} else if (str_eq(member->key, "fds")) {
			if (member->type != JSON_NUMBER ||
			    num_parse_u64(member->text, member->len, LIMIT_MESSAGE_FDS, &fds) < 0)
				return bad(ret_kind, KIND_BAD_FDS, err,
					   "\"fds\" is not a number from 0 to 16");
			message->n_fds = (uint32_t)fds;
		} else if (!str_starts(member->key, "x-")) {
			return bad(ret_kind, KIND_INVALID_REQUEST, err,
				   "an unknown member around params");
		}
	}
	if (has_id && !id_is_good)
		return bad(ret_kind, KIND_INVALID_REQUEST, err,
			   "\"id\" is neither an integer from 0 on nor a string of 1 to 64 bytes");
	if (!version || version->type != JSON_STRING || !str_eq(version->text, "2.0"))
		return bad(ret_kind, KIND_INVALID_REQUEST, err, "\"jsonrpc\" is not \"2.0\"");
	if (!message->method)
		return bad(ret_kind, KIND_INVALID_REQUEST, err, "no \"method\"");
	if (message->params && message->params->type != JSON_OBJECT)
		return bad(ret_kind, KIND_INVALID_PARAMS, err, "\"params\" is not an object");
	return 0;
}

int message_parse(struct arena *arena, const char *line, size_t len, struct message *ret_message,
		  enum worker_kind *ret_kind, struct rb_err *err)
{
	const char *wrong = line_check(line, len);
	const struct json_node *root;

	*ret_message = (struct message){0};
	if (wrong)
		return bad(ret_kind, KIND_PARSE, err, wrong);
	if (json_parse(arena, "the line", line, len, &root, err) < 0) {
		*ret_kind = KIND_PARSE;
		err_fix(err, "one JSON object on one line, without duplicate members");
		return -EINVAL;
	}
	if (root->type != JSON_OBJECT)
		return bad(ret_kind, KIND_INVALID_REQUEST, err, "the line is not an object");
	return read_envelope(arena, root, ret_message, ret_kind, err);
}

int params_known(struct arena *arena, const struct json_node *params, const char *names,
		 struct step_unknown *ret_unknown, struct rb_err *err)
{
	ret_unknown->n = 0;
	step_check_members(arena, params, names, ret_unknown);
	if (ret_unknown->n == 0)
		return 0;
	err_set(err, RB_STEP_MEMBER, 0, "unknown member %s%s", ret_unknown->pointers[0],
		ret_unknown->n > 1 ? " and others" : "");
	return -EINVAL;
}

/* Pointers are told from the parameters on, as a description is written. */
static const char *below_params(const char *pointer)
{
	return str_starts(pointer, "/params") ? pointer + strlen("/params") : pointer;
}

enum worker_kind kind_of(const struct rb_err *err)
{
	static const struct {
		enum rb_code first, last;
		enum worker_kind kind;
	} ranges[] = {
		{RB_UNSUPPORTED, RB_UNSUPPORTED, KIND_UNSUPPORTED},
		{RB_BAD_ID, RB_BAD_SIGNAL, KIND_INVALID_PARAMS},
		{RB_CONFIG_SYNTAX, RB_CONFIG_VERSION, KIND_INVALID_PARAMS},
		{RB_SUBID_NONE, RB_SUBID_SYMLINK, KIND_IDMAP},
		{RB_IDMAP_SETUID_BOUND, RB_IDMAP_SETUID_BOUND, KIND_IDMAP},
		{RB_SUBID_FEW, RB_SUBID_OWN, KIND_IDMAP},
		{RB_ROOTFS, RB_ROOTFS, KIND_ROOTFS},
		{RB_MOUNT, RB_DEVICE, KIND_MOUNT},
		{RB_SECCOMP, RB_SECCOMP, KIND_SECCOMP},
		{RB_TERMINAL, RB_TERMINAL, KIND_TTY},
		{RB_HOOK, RB_HOOK, KIND_HOOK},
		{RB_CGROUP, RB_CGROUP, KIND_CGROUP},
		{RB_LSM, RB_LSM, KIND_UNSUPPORTED},
		{RB_LANDLOCK, RB_LANDLOCK, KIND_UNSUPPORTED},
		{RB_LANDLOCK_PATH, RB_LANDLOCK_PATH, KIND_ROOTFS},
		{RB_CGROUP_CONTROLLER, RB_SYSTEMD, KIND_CGROUP},
		{RB_NETDEV, RB_NETDEV, KIND_NET},
		{RB_RDT, RB_RDT, KIND_CGROUP},
		{RB_EXEC_NOT_FOUND, RB_CWD, KIND_EXEC_FAILED},
		{RB_SLIRP_MISSING, RB_TUN, KIND_NET},
		{RB_RESOLV_CONF, RB_RESOLV_CONF, KIND_NET},
		{RB_NETLINK, RB_NETLINK_PROGRAM, KIND_NET},
		{RB_STEP_NET, RB_NET_FILTER, KIND_NET},
		{RB_SNAP_LAYER, RB_SNAP_OPTION, KIND_ROOTFS},
		{RB_STEP_MEMBER, RB_STEP_MEMBER, KIND_UNKNOWN_MEMBER},
		{RB_STEP_FDS, RB_STEP_FDS, KIND_BAD_FDS},
		{RB_STEP_USER, RB_STEP_USER, KIND_USER_NOT_FOUND},
	};

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (err->code >= ranges[i].first && err->code <= ranges[i].last)
			return ranges[i].kind;
	if (err->code == RB_NAMESPACE && str_starts(below_params(err->origin), "/net"))
		return KIND_NET;
	return err->errnum == EPERM || err->errnum == EACCES ? KIND_DENIED : KIND_INTERNAL;
}

void reply_error(struct strbuf *out, const char *id, enum worker_kind kind,
		 const struct rb_err *err, const struct step_unknown *unknown)
{
	strbuf_printf(out, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{\"code\":%d,\"message\":",
		      id ? id : "null", kinds[kind].number);
	strbuf_add_json(out, err->what);
	strbuf_printf(out, ",\"data\":{\"kind\":\"%s\"", kinds[kind].name);
	if (err->errnum) {
		strbuf_add(out, ",\"errno\":");
		strbuf_add_json(out,
				strerrorname_np(err->errnum) ? strerrorname_np(err->errnum) : "?");
	}
	if (err->origin[0]) {
		strbuf_add(out, ",\"path\":");
		strbuf_add_json(out, below_params(err->origin));
	}
	if (err->fix[0]) {
		strbuf_add(out, ",\"hint\":");
		strbuf_add_json(out, err->fix);
	}
	if (err->code)
		strbuf_printf(out, ",\"rb\":\"RB%04d\"", (int)err->code);
	if (kind == KIND_EXEC_FAILED)
		strbuf_printf(out, ",\"exitCodeHint\":%d",
			      err->code == RB_EXEC_NOT_FOUND ? 127 : 126);
	if (kind == KIND_VERSION)
		strbuf_add(out, ",\"supported\":[1]");
	for (size_t i = 0; unknown && i < unknown->n; i++) {
		strbuf_add(out, i ? "," : ",\"members\":[");
		strbuf_add_json(out, below_params(unknown->pointers[i]));
	}
	strbuf_add(out, unknown && unknown->n ? "]}}}" : "}}}");
}

void reply_begin(struct strbuf *out, const char *id)
{
	strbuf_printf(out, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{", id);
}

void reply_begin_with_fd(struct strbuf *out, const char *id)
{
	strbuf_printf(out, "{\"jsonrpc\":\"2.0\",\"fds\":1,\"id\":%s,\"result\":{", id);
}

void notify_begin(struct strbuf *out, const char *method)
{
	strbuf_printf(out, "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":{", method);
}

void message_end(struct strbuf *out)
{
	strbuf_add(out, "}}");
}

/* RFC 4648, section 4 */
static void add_base64(struct strbuf *out, const unsigned char *s, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char block[256];
	size_t used = 0;

	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		unsigned value = (unsigned)s[i] << 16 | (n > 1 ? (unsigned)s[i + 1] << 8 : 0) |
				 (n > 2 ? s[i + 2] : 0);

		if (used + 4 > sizeof(block)) {
			strbuf_add_bytes(out, block, used);
			used = 0;
		}
		block[used++] = digits[value >> 18];
		block[used++] = digits[value >> 12 & 63];
		block[used++] = n > 1 ? digits[value >> 6 & 63] : '=';
		block[used++] = n > 2 ? digits[value & 63] : '=';
	}
	strbuf_add_bytes(out, block, used);
}

/* How many bytes from here on are ASCII without zero bytes: eight at a time, nearly always all. */
static size_t plain_bytes(const char *bytes, size_t len)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	size_t n = 0;
	uint64_t eight;

	for (; n + sizeof(eight) <= len; n += sizeof(eight)) {
		memcpy(&eight, bytes + n, sizeof(eight));
		/* the top bit is set in x of what is not ASCII, and in x - 1 of zero */
		if ((eight | (eight - ones)) & ones << 7)
			break;
	}
	while (n < len && (signed char)bytes[n] > 0)
		n++;
	return n;
}

size_t add_output(struct strbuf *out, const char *bytes, size_t len, bool last)
{
	size_t valid = plain_bytes(bytes, len);

	while (valid < len && bytes[valid] != '\0') {
		int n = utf8_char((const unsigned char *)bytes + valid, len - valid);

		/* the rest of the character is still to come */
		if (n == -1 && !last && valid == 0)
			return 0;
		if (n == -1 && !last)
			len = valid;
		if (n <= 0)
			break;
		valid += (size_t)n;
		valid += plain_bytes(bytes + valid, len - valid);
	}
	if (valid == len) {
		strbuf_add(out, "\"text\":");
		strbuf_add_json_bytes(out, bytes, len);
		return len;
	}
	strbuf_add(out, "\"data\":\"");
	add_base64(out, (const unsigned char *)bytes, len);
	strbuf_add_char(out, '"');
	return len;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Padded, without line ends or other characters; unused bits must be zero. */
static int decode_base64(const char *s, size_t len, char *out, size_t *ret_len)
{
	size_t used = 0;

	if (len % 4)
		return -EINVAL;
	for (size_t i = 0; i < len; i += 4) {
		bool end = i + 4 == len;
		size_t pad = end && s[i + 3] == '=' ? s[i + 2] == '=' ? 2 : 1 : 0;
		unsigned value = 0;

		for (size_t k = 0; k < 4; k++) {
			int digit = k >= 4 - pad ? 0 : base64_value(s[i + k]);

			if (digit < 0)
				return -EINVAL;
			value = value << 6 | (unsigned)digit;
		}
		if ((pad == 1 && (value & 0xff)) || (pad == 2 && (value & 0xffff)))
			return -EINVAL;
		for (size_t k = 0; k < 3 - pad; k++)
			out[used++] = (char)(value >> (16 - 8 * k) & 0xff);
	}
	*ret_len = used;
	return 0;
}

int read_input(struct arena *arena, const struct json_node *params, const char **ret_bytes,
	       size_t *ret_len, struct rb_err *err)
{
	const struct json_node *text = json_member(params, "text");
	const struct json_node *data = json_member(params, "data");
	const struct json_node *node = text ? text : data;
	char *bytes;
	int r;

	*ret_bytes = "";
	*ret_len = 0;
	if (!node)
		return 0;
	if (text && data)
		return json_error(params, err, RB_CONFIG_CONFLICT,
				  "only one of \"text\" and \"data\" can be given");
	if ((r = json_expect(node, JSON_STRING, err)) < 0)
		return r;
	if (text) {
		*ret_bytes = text->text;
		*ret_len = text->len;
		return 0;
	}
	bytes = arena_alloc(arena, data->len + 1);
	if (!bytes)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "input");
	if (decode_base64(data->text, data->len, bytes, ret_len) < 0)
		return json_error(data, err, RB_CONFIG_VALUE, "not base64 (RFC 4648, padded)");
	*ret_bytes = bytes;
	return 0;
}
