/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the options of `step` to a step description. The description is JSON and goes through the
 * same parser as a worker's request, so that there is one meaning of every field, and --print
 * shows what to send to a worker for the same step.
 */
#include "base/num.h"
#include "cmd/step.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#define usage(err, fix, ...)                                                                       \
	(err_set(err, RB_USAGE, 0, __VA_ARGS__), err_fix(err, "%s", fix), -EINVAL)

static void add_member(struct strbuf *out, const char *key, const char *value)
{
	strbuf_printf(out, ",\"%s\":", key);
	strbuf_add_json(out, value);
}

int step_parse_size(const char *text, uint64_t *ret)
{
	static const char suffixes[] = "kmgt";
	size_t len = strlen(text);
	const char *suffix = len ? strchr(suffixes, text[len - 1] | 0x20) : NULL;
	unsigned shift = suffix && *suffix ? 10u * (unsigned)(suffix - suffixes + 1) : 0;

	return num_parse_u64(text, len - (shift > 0), UINT64_MAX >> shift >> 11, ret) < 0
		       ? -EINVAL
		       : (int)((*ret <<= shift) & 0);
}

/* "90", "90s", "15m", "500ms", "1h": milliseconds. */
static int parse_duration(const char *text, uint64_t *ret)
{
	static const struct {
		const char *suffix;
		uint64_t factor;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"", 1000}};
	size_t len = strlen(text);

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		size_t n = strlen(units[i].suffix);

		if (len <= n || !str_eq(text + len - n, units[i].suffix))
			continue;
		if (num_parse_u64(text, len - n, UINT32_MAX, ret) < 0)
			return -EINVAL;
		*ret *= units[i].factor;
		return 0;
	}
	return -EINVAL;
}

static const char *absolute(struct arena *arena, const char *path)
{
	char cwd[LIMIT_PATH_BYTES];

	if (path[0] == '/')
		return path;
	if (!getcwd(cwd, sizeof(cwd)))
		return path;
	return str_eq(path, ".") ? arena_strdup(arena, cwd)
				 : arena_printf(arena, "%s/%s", cwd, path);
}

static int add_rootfs(struct arena *arena, const struct step_options *options, struct strbuf *out,
		      struct rb_err *err)
{
	if ((options->rootfs != NULL) == (options->lower.n > 0 || options->upper))
		return usage(err, "for example: runbuild step --rootfs DIR -- COMMAND",
			     "give either --rootfs or --lower and --upper");
	strbuf_add(out, ",\"rootfs\":{");
	if (options->rootfs) {
		strbuf_add(out, "\"path\":");
		strbuf_add_json(out, absolute(arena, options->rootfs));
	} else {
		strbuf_add(out, "\"snapshot\":{\"lower\":[");
		for (size_t i = 0; i < options->lower.n; i++) {
			strbuf_add(out, i ? "," : "");
			strbuf_add_json(out, absolute(arena, options->lower.v[i]));
		}
		strbuf_add_char(out, ']');
		if (options->upper)
			add_member(out, "upper", absolute(arena, options->upper));
		if (options->work)
			add_member(out, "work", absolute(arena, options->work));
		if (options->driver)
			add_member(out, "driver", options->driver);
		if (options->throw_away)
			strbuf_add(out, ",\"options\":[\"volatile\"]");
		strbuf_add_char(out, '}');
	}
	strbuf_add(out, options->read_only ? ",\"readonly\":true}" : "}");
	return 0;
}

/* One "key=value" of --mount. */
struct mount_words {
	const char *type, *source, *target, *size;
	bool read_only;
};

static int mount_word(struct arena *arena, const char *word, size_t len, struct mount_words *words)
{
	static const struct {
		const char *key;
		size_t offset;
	} keys[] = {
		{"type=", offsetof(struct mount_words, type)},
		{"source=", offsetof(struct mount_words, source)},
		{"src=", offsetof(struct mount_words, source)},
		{"target=", offsetof(struct mount_words, target)},
		{"destination=", offsetof(struct mount_words, target)},
		{"dst=", offsetof(struct mount_words, target)},
		{"size=", offsetof(struct mount_words, size)},
	};

	if ((len == 2 && strncmp(word, "ro", 2) == 0) ||
	    (len == 8 && strncmp(word, "readonly", 8) == 0)) {
		words->read_only = true;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		size_t n = strlen(keys[i].key);
		const char *value;

		if (len <= n || strncmp(word, keys[i].key, n) != 0)
			continue;
		value = arena_strndup(arena, word + n, len - n);
		if (!value)
			return -ENOMEM;
		memcpy((char *)words + keys[i].offset, &value, sizeof(value));
		return 0;
	}
	return -EINVAL;
}

static int add_mount(struct arena *arena, const char *text, struct strbuf *out, struct rb_err *err)
{
	static const char form[] = "[type=bind|tmpfs,]src=DIR,dst=DIR[,ro][,size=N]";
	struct mount_words words = {.type = "bind"};
	uint64_t size = 0;
	bool tmpfs;

	for (const char *at = text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (mount_word(arena, at, strcspn(at, ","), &words) < 0)
			return usage(err, form, "--mount: cannot read '%.200s'", text);
	tmpfs = str_eq(words.type, "tmpfs");
	if (!words.target || (!tmpfs && (!str_eq(words.type, "bind") || !words.source)) ||
	    (words.size && step_parse_size(words.size, &size) < 0))
		return usage(err, form, "--mount: '%.200s' is not complete", text);
	strbuf_add(out, "{\"dest\":");
	strbuf_add_json(out, words.target);
	if (tmpfs && words.size)
		strbuf_printf(out, ",\"tmpfs\":{\"size\":%" PRIu64 "}", size);
	else if (tmpfs)
		strbuf_add(out, ",\"tmpfs\":{}");
	else
		add_member(out, "src", absolute(arena, words.source));
	strbuf_add(out, words.read_only ? ",\"readonly\":true}" : "}");
	return 0;
}

static int add_mounts(struct arena *arena, const struct step_options *options, struct strbuf *out,
		      struct rb_err *err)
{
	int r = 0;

	if (options->mount.n == 0)
		return 0;
	strbuf_add(out, ",\"mounts\":[");
	for (size_t i = 0; r == 0 && i < options->mount.n; i++) {
		strbuf_add(out, i ? "," : "");
		r = add_mount(arena, options->mount.v[i], out, err);
	}
	strbuf_add_char(out, ']');
	return r;
}

static int add_process(const struct step_options *options, char *const *argv, struct strbuf *out,
		       struct rb_err *err)
{
	bool path = false;

	strbuf_add(out, ",\"process\":{\"args\":[");
	for (size_t i = 0; argv[i]; i++) {
		strbuf_add(out, i ? "," : "");
		strbuf_add_json(out, argv[i]);
	}
	strbuf_add(out, "],\"env\":[");
	for (size_t i = 0; i < options->env.n; i++) {
		const char *equals = strchr(options->env.v[i], '=');

		if (!equals || equals == options->env.v[i])
			return usage(err, "--env NAME=VALUE", "--env: '%.60s' has no value",
				     options->env.v[i]);
		path |= str_starts(options->env.v[i], "PATH=");
		strbuf_add(out, i ? "," : "");
		strbuf_add_json(out, options->env.v[i]);
	}
	if (!path) {
		strbuf_add(out, options->env.n ? "," : "");
		strbuf_add_json(out, DEFAULT_PATH);
	}
	strbuf_add_char(out, ']');
	if (options->user)
		add_member(out, "user", options->user);
	if (options->cwd)
		add_member(out, "cwd", options->cwd);
	strbuf_add(out, options->tty ? ",\"tty\":true}" : "}");
	return 0;
}

const char *step_net_mode(const char *text, struct rb_err *err)
{
	static const char *const known[] = {"none", "host", "slirp4netns"};
	static const char *const modes[] = {"none", "host", "slirp"};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eq(text, known[i]))
			return modes[i];
	(void)usage(err, "use none, host or slirp4netns", "unknown network '%.40s'", text);
	return NULL;
}

static int add_net(const struct step_options *options, struct strbuf *out, struct rb_err *err)
{
	const char *net = options->net ? options->net : "none";
	const char *mode = step_net_mode(net, err);

	if (options->cidr && !str_eq(net, "slirp4netns"))
		return usage(err, "add --net=slirp4netns",
			     "--cidr is of a network of the step's own");
	if (!mode)
		return -EINVAL;
	strbuf_printf(out, ",\"net\":{\"mode\":\"%s\"", mode);
	if (options->cidr)
		add_member(out, "cidr", options->cidr);
	strbuf_add_char(out, '}');
	return 0;
}

static int add_limits(const struct step_options *options, struct strbuf *out, struct rb_err *err)
{
	const char *separator = "";
	uint64_t number;

	if (options->timeout) {
		if (parse_duration(options->timeout, &number) < 0)
			return usage(err, "for example 90, 500ms, 15m or 1h",
				     "--timeout: '%.40s' is not a duration", options->timeout);
		strbuf_printf(out, ",\"timeoutMs\":%" PRIu64, number);
	}
	if (!options->memory && !options->pids)
		return 0;
	strbuf_add(out, ",\"cgroup\":{\"resources\":{");
	if (options->memory) {
		if (step_parse_size(options->memory, &number) < 0)
			return usage(err, "for example 512m or 2g",
				     "--memory: '%.40s' is not a size", options->memory);
		strbuf_printf(out, "\"memory\":%" PRIu64, number);
		separator = ",";
	}
	if (options->pids)
		strbuf_printf(out, "%s\"pidsMax\":%u", separator, options->pids);
	strbuf_add(out, "}}");
	return 0;
}

static int add_security(const struct step_options *options, struct strbuf *out, struct rb_err *err)
{
	const char *seccomp = options->seccomp;

	if (seccomp && !str_eq(seccomp, "default") && !str_eq(seccomp, "none"))
		return usage(err, "use default or none", "--seccomp: unknown choice '%.40s'",
			     seccomp);
	if (!options->insecure && !seccomp)
		return 0;
	strbuf_printf(out, ",\"security\":{\"mode\":\"%s\"",
		      options->insecure ? "insecure" : "sandbox");
	if (seccomp)
		add_member(out, "seccomp", seccomp);
	strbuf_add_char(out, '}');
	return 0;
}

int step_spec_text(struct arena *arena, const struct step_options *options, char *const *argv,
		   struct strbuf *out, struct rb_err *err)
{
	int r;

	strbuf_printf(out, "{\"step\":\"step-%d\"", (int)getpid());
	if ((r = add_process(options, argv, out, err)) < 0 ||
	    (r = add_rootfs(arena, options, out, err)) < 0 ||
	    (r = add_mounts(arena, options, out, err)) < 0 ||
	    (r = add_net(options, out, err)) < 0 || (r = add_limits(options, out, err)) < 0 ||
	    (r = add_security(options, out, err)) < 0)
		return r;
	if (options->hostname)
		add_member(out, "hostname", options->hostname);
	strbuf_add_char(out, '}');
	return out->failed ? err_set(err, RB_NO_MEMORY, ENOMEM, "step") : 0;
}
