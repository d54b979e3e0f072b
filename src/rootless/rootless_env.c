/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command's environment: the caller's, with what buildkitd needs and cron jobs and containers
 * lack. Runs in the parent, before any namespace exists.
 */
#include "base/env.h"
#include "base/log.h"
#include "base/num.h"
#include "net/proxy.h"
#include "rootless/rootless_private.h"

struct environment {
	struct arena *arena;
	char **v; /* NULL-terminated, with room for EXTRA more */
	size_t n;
	bool failed;
};

enum { EXTRA = 20 };

static int environment_copy(struct environment *env, char **from)
{
	while (from[env->n])
		env->n++;
	env->v = arena_array(env->arena, env->n + EXTRA + 1, sizeof(*env->v));
	if (!env->v)
		return -ENOMEM;
	memcpy(env->v, from, env->n * sizeof(*env->v));
	return 0;
}

static char **environment_find(struct environment *env, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < env->n; i++)
		if (strncmp(env->v[i], name, len) == 0 && env->v[i][len] == '=')
			return &env->v[i];
	return NULL;
}

static void environment_set(struct environment *env, const char *name, const char *value)
{
	char *entry = value ? arena_printf(env->arena, "%s=%s", name, value) : NULL;
	char **old = environment_find(env, name);

	if (!entry)
		env->failed = true;
	else if (old)
		*old = entry;
	else
		env->v[env->n++] = entry;
}

static void environment_set_id(struct environment *env, const char *name, uint32_t id)
{
	char digits[16];

	snprintf(digits, sizeof(digits), "%u", id);
	environment_set(env, name, digits);
}

static void environment_unset(struct environment *env, const char *name)
{
	char **at = environment_find(env, name);

	if (!at)
		return;
	memmove(at, at + 1, (size_t)(env->v + env->n - at) * sizeof(*at));
	env->n--;
}

/*
 * sd_listen_fds(3): the descriptors are meant for the process whose number LISTEN_PID is. When
 * that is us, they go on to the command, which gets its own number when it has one.
 */
static void environment_listen(struct environment *env)
{
	static const char *const names[] = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"};
	const char *text = env_get("LISTEN_PID");
	uint32_t pid;

	if (text && num_parse_u32(text, &pid) == 0 && pid == (uint32_t)getpid())
		return;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		environment_unset(env, names[i]);
}

/*
 * buildkitd takes its rootless defaults only when USER is set and is not root, and cannot start
 * without a runtime directory; both are missing in cron jobs and containers.
 */
static const char *runtime_directory(struct rootless *r)
{
	const char *path = env_get("XDG_RUNTIME_DIR");
	struct stat st;

	if (path && path[0] == '/' && sys_faccessat2(AT_FDCWD, path, W_OK, AT_EACCESS) == 0)
		return path;
	path = arena_printf(r->arena, "/tmp/runbuild-%u", r->uid);
	if (!path || (mkdir(path, 0700) < 0 && errno != EEXIST) || lstat(path, &st) < 0 ||
	    !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077)) {
		log_warn_code(RB_RUNTIME_DIR,
			      "export XDG_RUNTIME_DIR, a directory of yours with mode 0700",
			      "XDG_RUNTIME_DIR is no directory that can be written to, and "
			      "/tmp/runbuild-%u cannot take its place",
			      r->uid);
		return NULL;
	}
	return path;
}

/*
 * What looks for such a proxy in the new network hangs or is refused, and does not say why. A
 * network that leads nowhere needs no word about it: no proxy is of use there.
 */
static void warn_of_proxy(const struct rootless_options *options)
{
	const struct net_options *net = &options->net;
	const char *set;
	const char *name = proxy_on_loopback(&set);
	bool apart = net->driver != NET_HOST && net->driver != NET_NONE && !net->detached &&
		     !net->allow_host_loopback;
	bool steps_apart = options->step_net_chosen && options->step_net == NET_POLICY_SLIRP;

	if (!name || (!apart && !steps_apart))
		return;
	log_warn_code(RB_PROXY,
		      steps_apart ? "name a proxy on another machine"
				  : "name a proxy on another machine, or one on an address of "
				    "this host with --allow-host-addresses",
		      "%s is on this host's loopback interface, which %s cannot reach", name,
		      apart ? "the command" : "steps");
}

/*
 * The policy for steps, which the runtime reads: net/policy.h. Their network has the addresses of
 * ours, so that what is ours (the daemon's listeners) is no place in theirs.
 */
static void environment_step_net(struct rootless *r, struct environment *env)
{
	static const char *const modes[] = {"host", "none", "slirp4netns"};
	const struct net_options *net = &r->options->net;
	char address[16];

	/* an outer launcher's pool lends what cannot be entered from here */
	environment_unset(env, "RUNBUILD_STEP_NET_POOL");
	if (r->options->step_net_chosen) {
		environment_unset(env, "RUNBUILD_STEP_NET_CIDR");
		environment_set(env, "RUNBUILD_STEP_NET", modes[r->options->step_net]);
	}
	if (net->network)
		environment_set(env, "RUNBUILD_STEP_NET_CIDR",
				arena_printf(env->arena, "%s/%u",
					     net_address_text(net->network, address), net->prefix));
	if (r->options->step_net_pool)
		environment_set(env, "RUNBUILD_STEP_NET_POOL",
				arena_printf(env->arena, "%s/" POOL_SOCKET, r->state_dir));
}

int rootless_environment(struct rootless *r, struct rb_err *err)
{
	struct environment env = {.arena = r->arena};
	const char *user = env_get("USER");
	const char *runtime = runtime_directory(r);

	if (environment_copy(&env, environ) < 0)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "environment");
	warn_of_proxy(r->options);
	environment_listen(&env);
	if (!user || str_eq(user, "root"))
		environment_set(&env, "USER", r->user);
	if (!env_get("HOME") && r->home)
		environment_set(&env, "HOME", r->home);
	if (runtime)
		environment_set(&env, "XDG_RUNTIME_DIR", runtime);
	if (r->notify_in >= 0)
		environment_set(&env, "NOTIFY_SOCKET",
				arena_printf(r->arena, "%s/notify.sock", r->state_dir));
	environment_set(&env, "ROOTLESSKIT_STATE_DIR", r->state_dir);
	environment_set_id(&env, "ROOTLESSKIT_PARENT_EUID", r->uid);
	environment_set_id(&env, "ROOTLESSKIT_PARENT_EGID", r->gid);
	environment_step_net(r, &env);
	if (env.failed)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "environment");
	r->environment = env.v;
	return 0;
}
