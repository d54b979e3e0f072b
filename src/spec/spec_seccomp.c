/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "linux.seccomp" of config.json: names and numbers are checked here, so that the compiler in
 * plan/ only sees valid rules. runtime-spec config-linux.md#seccomp. Pure.
 */
#include "base/sha256.h"
#include "base/sys.h"
#include "spec/spec_read.h"

static const struct {
	const char *name;
	uint32_t value;
	bool takes_errno;
} seccomp_actions[] = {
	{"SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW, false},
	{"SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO, true},
	{"SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD, false},
	{"SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS, false},
	{"SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD, false},
	{"SCMP_ACT_LOG", SECCOMP_RET_LOG, false},
	{"SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF, false},
	{"SCMP_ACT_TRACE", SECCOMP_RET_TRACE, true},
	{"SCMP_ACT_TRAP", SECCOMP_RET_TRAP, false},
};

const char *const spec_seccomp_action_names[] = {
	"SCMP_ACT_ALLOW",       "SCMP_ACT_ERRNO",
	"SCMP_ACT_KILL",        "SCMP_ACT_KILL_PROCESS",
	"SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
	"SCMP_ACT_NOTIFY",      "SCMP_ACT_TRACE",
	"SCMP_ACT_TRAP",        NULL,
};

/* the position is the value of enum spec_seccomp_op */
const char *const spec_seccomp_op_names[] = {
	"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",        "SCMP_CMP_EQ",
	"SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ", NULL,
};

const char *const spec_seccomp_flag_names[] = {
	"SECCOMP_FILTER_FLAG_TSYNC",
	"SECCOMP_FILTER_FLAG_LOG",
	"SECCOMP_FILTER_FLAG_SPEC_ALLOW",
	"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
	NULL,
};

/* the action and errnoRet members of the default (prefix "default") or of a rule */
static int seccomp_read_action(struct spec_parser *p, const struct json_node *object,
			       const char *action_key, const char *errno_key, uint32_t *ret)
{
	const struct json_node *node = json_member(object, action_key);
	const struct json_node *errno_node = json_member(object, errno_key);
	uint64_t data = EPERM; /* runc's and the specification's default */
	int r;

	if (!node)
		return read_missing(p, object, action_key);
	r = json_expect(node, JSON_STRING, p->err);
	if (r < 0)
		return r;
	if (errno_node && (r = json_u64(errno_node, SECCOMP_RET_DATA, &data, p->err)) < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(seccomp_actions); i++) {
		if (!str_eq(node->text, seccomp_actions[i].name))
			continue;
		if (errno_node && !seccomp_actions[i].takes_errno)
			return json_error(errno_node, p->err, RB_CONFIG_CONFLICT,
					  "%s takes no errno value", node->text);
		*ret = seccomp_actions[i].value |
		       (seccomp_actions[i].takes_errno ? (uint32_t)data : 0);
		return 0;
	}
	json_error(node, p->err, RB_CONFIG_UNKNOWN, "unknown seccomp action \"%.60s\"", node->text);
	err_fix(p->err, "use one of the names that 'runbuild features' lists");
	return -EINVAL;
}

static int seccomp_read_arg(struct spec_parser *p, const struct json_node *node,
			    struct spec_seccomp_arg *arg)
{
	const struct json_node *op = json_member(node, "op");
	const struct json_node *value = json_member(node, "value");
	const struct json_node *value_two = json_member(node, "valueTwo");
	const struct json_node *index = json_member(node, "index");
	uint64_t number;
	int r;

	if (!index || !value || !op)
		return read_missing(p, node, !index ? "index" : !value ? "value" : "op");
	if ((r = json_u64(index, 5, &number, p->err)) < 0 ||
	    (r = json_u64(value, UINT64_MAX, &arg->value, p->err)) < 0 ||
	    (value_two && (r = json_u64(value_two, UINT64_MAX, &arg->value_two, p->err)) < 0) ||
	    (r = json_expect(op, JSON_STRING, p->err)) < 0)
		return r;
	arg->index = (uint32_t)number;
	arg->origin = read_origin(p, node);
	for (int i = 0; spec_seccomp_op_names[i]; i++) {
		if (str_eq(op->text, spec_seccomp_op_names[i])) {
			arg->op = i;
			return 0;
		}
	}
	return json_error(op, p->err, RB_CONFIG_UNKNOWN, "unknown comparison \"%.60s\"", op->text);
}

static int seccomp_read_rule(struct spec_parser *p, const struct json_node *node,
			     struct spec_seccomp_rule *rule)
{
	const struct json_node *array = NULL;
	struct spec_seccomp_arg *args;
	int r;

	if ((r = json_expect(node, JSON_OBJECT, p->err)) < 0 ||
	    (r = read_strings(p, node, "names", &rule->names)) < 0 ||
	    (r = seccomp_read_action(p, node, "action", "errnoRet", &rule->action)) < 0 ||
	    (r = read_array(p, node, "args", 64, &array)) < 0 ||
	    (r = read_alloc(p, array, sizeof(*args), &args)) < 0)
		return r;
	if (rule->names.n == 0)
		return read_missing(p, node, "names");
	JSON_FOREACH (item, array) {
		if ((r = json_expect(item, JSON_OBJECT, p->err)) < 0 ||
		    (r = seccomp_read_arg(p, item, &args[rule->n_args++])) < 0)
			return r;
	}
	rule->args = args;
	rule->origin = read_origin(p, node);
	return 0;
}

static int seccomp_read_flags(struct spec_parser *p, const struct json_node *node, uint32_t *ret)
{
	static const uint32_t values[] = {
		0, /* TSYNC: our process has one thread, so there is nothing to synchronise */
		SECCOMP_FILTER_FLAG_LOG,
		SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
	};
	const struct json_node *array = NULL;
	int r = read_array(p, node, "flags", 16, &array);

	JSON_FOREACH (item, array) {
		size_t i = 0;

		if (r < 0 || (r = json_expect(item, JSON_STRING, p->err)) < 0)
			return r;
		while (spec_seccomp_flag_names[i] &&
		       !str_eq(item->text, spec_seccomp_flag_names[i]))
			i++;
		if (!spec_seccomp_flag_names[i])
			return json_error(item, p->err, RB_CONFIG_UNKNOWN,
					  "unknown seccomp flag \"%.60s\"", item->text);
		*ret |= values[i];
	}
	return r;
}

static int seccomp_read_rules(struct spec_parser *p, const struct json_node *node,
			      struct spec_seccomp *seccomp)
{
	const struct json_node *array = NULL;
	struct spec_seccomp_rule *rules;
	size_t n = 0;
	int r = read_array(p, node, "syscalls", LIMIT_SECCOMP_RULES, &array);

	if (r < 0 || (r = read_alloc(p, array, sizeof(*rules), &rules)) < 0)
		return r;
	JSON_FOREACH (item, array)
		if ((r = seccomp_read_rule(p, item, &rules[n++])) < 0)
			return r;
	seccomp->rules = rules;
	seccomp->n_rules = n;
	return 0;
}

/*
 * config-linux.md#seccomp: who notifies must say whom. The system call that hands the listener
 * over cannot wait for an answer from whom it is on its way to; runc's texts.
 */
static int seccomp_check_listener(struct spec_parser *p, const struct json_node *node,
				  struct spec_seccomp *seccomp)
{
	static const char *const own[] = {"sendmsg", "write"};
	bool notifies = false;

	if (seccomp->default_action == SECCOMP_RET_USER_NOTIF)
		return json_error(node, p->err, RB_SECCOMP,
				  "SCMP_ACT_NOTIFY cannot be used as default action");
	for (size_t i = 0; i < seccomp->n_rules; i++) {
		const struct spec_seccomp_rule *rule = &seccomp->rules[i];

		if (rule->action != SECCOMP_RET_USER_NOTIF)
			continue;
		notifies = true;
		for (size_t k = 0; k < rule->names.n; k++)
			for (size_t n = 0; n < ARRAY_LEN(own); n++)
				if (str_eq(rule->names.v[k], own[n])) {
					err_set(p->err, RB_SECCOMP, 0,
						"SCMP_ACT_NOTIFY cannot be used for the %s syscall",
						own[n]);
					err_origin(p->err, rule->origin);
					return -EINVAL;
				}
	}
	if (!notifies)
		seccomp->flags &= ~(uint32_t)SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	if (seccomp->listener_path && !seccomp->listener_path[0])
		seccomp->listener_path = NULL;
	if (notifies && !seccomp->listener_path) {
		json_error(node, p->err, RB_SECCOMP,
			   "listenerPath is not set, but SCMP_ACT_NOTIFY is used");
		err_fix(p->err, "name the socket of a seccomp agent in listenerPath");
		return -EINVAL;
	}
	/* an agent that nobody would talk to is not connected to, as with runc */
	if (!notifies)
		seccomp->listener_path = NULL;
	if (seccomp->listener_path && seccomp->listener_path[0] != '/')
		return json_error(json_member(node, "listenerPath"), p->err, RB_CONFIG_VALUE,
				  "\"%.100s\" is not an absolute path", seccomp->listener_path);
	return 0;
}

int spec_read_seccomp(struct spec_parser *p, const struct json_node *node,
		      struct spec_seccomp *seccomp)
{
	int r;

	seccomp->node = node;
	seccomp->origin = read_origin(p, node);
	if ((r = json_expect(node, JSON_OBJECT, p->err)) < 0 ||
	    (r = read_string(p, node, "listenerPath", &seccomp->listener_path)) < 0 ||
	    (r = read_string(p, node, "listenerMetadata", &seccomp->listener_metadata)) < 0 ||
	    (r = seccomp_read_action(p, node, "defaultAction", "defaultErrnoRet",
				     &seccomp->default_action)) < 0 ||
	    (r = read_strings(p, node, "architectures", &seccomp->architectures)) < 0 ||
	    (r = seccomp_read_flags(p, node, &seccomp->flags)) < 0 ||
	    (r = seccomp_read_rules(p, node, seccomp)) < 0 ||
	    (r = seccomp_check_listener(p, node, seccomp)) < 0)
		return r;
	seccomp->present = true;
	return 0;
}

int spec_parse_seccomp(struct arena *arena, const struct json_node *node,
		       struct spec_seccomp *ret_seccomp, struct rb_err *err)
{
	struct spec_parser p = {.arena = arena, .err = err, .bundle = ""};
	struct spec_seccomp seccomp = {0};
	int r = spec_read_seccomp(&p, node, &seccomp);

	if (r == 0)
		*ret_seccomp = seccomp;
	return r;
}

static void digest_strings(struct sha256 *hash, const struct spec_strings *list)
{
	uint64_t n = list->n;

	sha256_add(hash, &n, sizeof(n));
	for (size_t i = 0; i < list->n; i++)
		sha256_add(hash, list->v[i], strlen(list->v[i]) + 1);
}

void spec_seccomp_digest(const struct spec_seccomp *seccomp, const char *salt, uint8_t digest[32])
{
	struct sha256 hash;
	uint64_t numbers[4] = {seccomp->default_action, seccomp->flags, seccomp->n_rules};

	sha256_init(&hash);
	sha256_add(&hash, salt, strlen(salt) + 1);
	sha256_add(&hash, numbers, sizeof(numbers));
	digest_strings(&hash, &seccomp->architectures);
	for (size_t i = 0; i < seccomp->n_rules; i++) {
		const struct spec_seccomp_rule *rule = &seccomp->rules[i];
		uint64_t head[2] = {rule->action, rule->n_args};

		sha256_add(&hash, head, sizeof(head));
		digest_strings(&hash, &rule->names);
		for (size_t k = 0; k < rule->n_args; k++) {
			const struct spec_seccomp_arg *arg = &rule->args[k];
			uint64_t body[4] = {arg->index, (uint64_t)arg->op, arg->value,
					    arg->value_two};

			sha256_add(&hash, body, sizeof(body));
		}
	}
	sha256_end(&hash, digest);
}
