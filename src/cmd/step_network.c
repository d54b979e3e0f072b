/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher's policy for a container whose configuration leaves it in our network: from the
 * environment to the planner's options. Runs before the plan is made; borrows from the pool.
 */
#include <linux/capability.h>
#include "base/file.h"
#include "cmd/cmd.h"
#include "net/filter.h"
#include "net/policy.h"

/* What the container's resolv.conf says, when it is a mount of a file. */
static const char *mounted_resolv_conf(struct arena *arena, const struct spec *spec)
{
	char *text = NULL;

	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct spec_mount *mount = &spec->mounts[i];

		if (!mount->bind || !str_eq(mount->destination, "/etc/resolv.conf"))
			continue;
		if (file_read_at(arena, AT_FDCWD, mount->source, LIMIT_RESOLV_BYTES, &text, NULL) <
		    0)
			text = NULL; /* the mount itself will say why */
	}
	return text;
}

static void network_slirp_options(const struct net_policy *policy, struct plan_network *network)
{
	*network = (struct plan_network){
		.mode = PLAN_NETWORK_SLIRP,
		.helper = "slirp4netns",
		.pool = policy->pool,
		.network = policy->network,
		.prefix = policy->prefix,
		.dns = policy->dns,
	};
}

static int read_resolv_conf(struct arena *arena, const struct spec *spec,
			    const struct net_policy *policy, const char **ret_text,
			    struct rb_err *err)
{
	const char *text = mounted_resolv_conf(arena, spec);
	struct net_hosts *hosts = text ? arena_alloc(arena, sizeof(*hosts)) : NULL;
	char *own = NULL;
	int r = hosts ? net_hosts_read(hosts, err) : 0;

	if (r == 0 && hosts) {
		if (file_read_at(arena, AT_FDCWD, "/etc/resolv.conf", LIMIT_RESOLV_BYTES, &own,
				 NULL) < 0)
			own = NULL;
		*ret_text = net_resolv_conf(arena, policy, hosts, own ? own : "", text);
	}
	return r;
}

/* Entering a namespace of the pool's needs rights in the user namespace that owns it: ours. */
static bool may_borrow(const struct net_policy *policy, const struct spec *spec,
		       const struct host *host, const struct plan_options *options)
{
	return policy->pool && options->foreground && !spec_namespace_find(spec, CLONE_NEWUSER) &&
	       host_has_cap(host, CAP_SYS_ADMIN);
}

int network_choose(struct arena *arena, const struct spec *spec, const struct host *host,
		   struct plan_options *options, struct network_lease *lease, struct rb_err *err)
{
	struct net_policy policy;
	int r = net_policy_read(&policy, err);

	if (r < 0 || policy.mode == NET_POLICY_HOST || spec_namespace_find(spec, CLONE_NEWNET))
		return r;
	if (policy.mode == NET_POLICY_NONE) {
		options->network.mode = PLAN_NETWORK_NONE;
		return 0;
	}
	network_slirp_options(&policy, &options->network);
	r = read_resolv_conf(arena, spec, &policy, &options->network.resolv_conf, err);
	if (r < 0)
		return r;
	/* whatever is wrong with the pool: a network of its own does as well, only later */
	if (may_borrow(&policy, spec, host, options) &&
	    (!lease || net_lease_take(&policy, &lease->connection, &lease->netns) == 0)) {
		options->network.mode = PLAN_NETWORK_LENT;
		return 0;
	}
	r = lease ? net_policy_find(arena, &policy, err) : 0;
	if (policy.helper)
		options->network.helper = policy.helper;
	return r;
}
