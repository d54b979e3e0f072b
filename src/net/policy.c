/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy for steps' networks. Runs in the runtime and the worker, before a plan is made.
 */
#include <arpa/inet.h>
#include <sys/un.h>
#include "base/env.h"
#include "base/num.h"
#include "base/strbuf.h"
#include "base/sys.h"
#include "net/filter.h"
#include "base/fd_message.h"
#include "net/policy.h"
#include "net/rtnl.h"
#include "net/slirp.h"

enum { LEASE_PATIENCE_MS = 1000 };

int net_policy_mode(const char *text, enum net_policy_mode *ret_mode)
{
	static const char *const names[] = {"host", "none", "slirp4netns"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!str_eq(text, names[i]))
			continue;
		*ret_mode = (enum net_policy_mode)i;
		return 0;
	}
	return -EINVAL;
}

void net_policy_slirp(struct net_policy *ret_policy)
{
	*ret_policy = (struct net_policy){
		.mode = NET_POLICY_SLIRP,
		.network = 0x0a000200, /* 10.0.2.0: slirp4netns(1) */
		.prefix = 24,
	};
	ret_policy->dns = ret_policy->network + 3;
}

int net_cidr_read(const char *text, uint32_t *ret_network, unsigned *ret_prefix)
{
	const char *slash = strchr(text, '/');
	char address[16] = "";
	struct in_addr in;
	uint32_t network;
	uint32_t prefix;

	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, (size_t)(slash - text));
	if (inet_pton(AF_INET, address, &in) != 1 || num_parse_u32(slash + 1, &prefix) < 0)
		return -EINVAL;
	/* slirp4netns(1): the guest is number 100, so seven bits are needed */
	if (prefix < 1 || prefix > 25)
		return -ERANGE;
	network = ntohl(in.s_addr);
	if ((uint32_t)(network << prefix))
		return -EDOM;
	/* this network, loopback, multicast and what is reserved: RFC 6890; nobody answers there */
	if (network >> 24 == 0 || network >> 24 == 127 || network >= 0xe0000000)
		return -EADDRNOTAVAIL;
	*ret_network = network;
	*ret_prefix = prefix;
	return 0;
}

/* 1: it is there. */
static int read_network(struct net_policy *policy, struct rb_err *err)
{
	const char *cidr = env_get("RUNBUILD_STEP_NET_CIDR");

	if (cidr && net_cidr_read(cidr, &policy->network, &policy->prefix) < 0) {
		err_set(err, RB_STEP_NET, 0, "RUNBUILD_STEP_NET_CIDR: '%.40s' is no network", cidr);
		err_fix(err, "for example 10.0.2.0/24");
		return -EINVAL;
	}
	policy->dns = policy->network + 3;
	return cidr != NULL;
}

int net_policy_read(struct net_policy *ret_policy, struct rb_err *err)
{
	const char *mode = env_get("RUNBUILD_STEP_NET");
	struct net_policy policy;
	int r;

	net_policy_slirp(&policy);
	policy.mode = NET_POLICY_HOST;
	policy.pool = env_get("RUNBUILD_STEP_NET_POOL");
	if (mode && net_policy_mode(mode, &policy.mode) < 0) {
		err_set(err, RB_STEP_NET, 0, "RUNBUILD_STEP_NET: '%.40s' is unknown", mode);
		err_fix(err, "use host, none or slirp4netns");
		return -EINVAL;
	}
	if ((r = read_network(&policy, err)) < 0)
		return r;
	*ret_policy = policy;
	return 0;
}

uint32_t net_network_free(void)
{
	static const uint32_t private[] = {0x0a000300, 0x0a630200, 0xac1e0200, 0xc0a8f200,
					   0xc6120200};
	struct rtnl_route route;

	for (size_t i = 0; i < ARRAY_LEN(private); i++)
		if (rtnl_find_route(private[i], 24, &route) == 0)
			return private[i];
	return 0;
}

/*
 * Are we in a network of slirp4netns with the same addresses? Then there is nobody else in it, and
 * what is ours (the gateway that may lead to the host's loopback) is to be no place in the step's.
 */
static bool is_inside(const struct net_policy *policy, const struct net_hosts *hosts)
{
	for (size_t i = 0; i < hosts->n; i++)
		if (hosts->v[i] == policy->network + SLIRP_GUEST)
			return true;
	return false;
}

int net_policy_choose(struct net_policy *policy, const struct net_hosts *hosts, struct rb_err *err)
{
	struct rtnl_route route;
	uint32_t other = 0;
	int r = read_network(policy, err);

	if (r != 0)
		return r < 0 ? r : 0;
	/* where the routes cannot be read, the usual one */
	if (!is_inside(policy, hosts) &&
	    rtnl_find_route(policy->network, policy->prefix, &route) == 1)
		other = net_network_free();
	if (other) {
		policy->network = other;
		policy->prefix = 24;
		policy->dns = other + 3;
	}
	return 0;
}

int net_policy_find(struct arena *arena, struct net_policy *policy, struct rb_err *err)
{
	if (policy->mode != NET_POLICY_SLIRP)
		return 0;
	return slirp_find(arena, ", or --step-net=none or host", &policy->helper, err);
}

struct resolver {
	const struct net_policy *policy;
	const struct net_hosts *hosts;
	const char *own;
};

/* What BuildKit writes where all of the host's servers are on loopback. */
static bool server_is_stand_in(const struct resolver *r, const char *address)
{
	return (str_eq(address, "8.8.8.8") || str_eq(address, "8.8.4.4")) &&
	       !strstr(r->own, address);
}

/* Can a step in this network send to the server? */
static bool server_is_reachable(const struct resolver *r, const char *text, size_t len)
{
	const struct net_policy *policy = r->policy;
	const struct net_hosts *hosts = r->hosts;
	char address[16];
	struct in_addr in;
	uint32_t server;

	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(AF_INET, address, &in) != 1 || server_is_stand_in(r, address))
		return false;
	server = ntohl(in.s_addr);
	for (size_t i = 0; i < hosts->n; i++)
		if (hosts->v[i] == server)
			return false;
	return server >> 24 != 127 && server >> 24 != 0 && server < 0xe0000000 &&
	       (server ^ policy->network) >> (32 - policy->prefix) != 0;
}

/* One line of resolv.conf(5): is it a name server that must go? *ret_server: it is one. */
static bool line_is_unreachable(const struct resolver *r, const char *line, size_t len,
				bool *ret_server)
{
	static const char word[] = "nameserver";
	size_t at = sizeof(word) - 1;
	size_t end;

	*ret_server = len > at && strncmp(line, word, at) == 0 &&
		      (line[at] == ' ' || line[at] == '\t');
	if (!*ret_server)
		return false;
	while (at < len && (line[at] == ' ' || line[at] == '\t'))
		at++;
	for (end = at; end < len && line[end] != ' ' && line[end] != '\t' && line[end] != '\r';)
		end++;
	return !server_is_reachable(r, line + at, end - at);
}

const char *net_resolv_conf(struct arena *arena, const struct net_policy *policy,
			    const struct net_hosts *hosts, const char *own, const char *text)
{
	const struct resolver resolver = {.policy = policy, .hosts = hosts, .own = own};
	CLEANUP_STRBUF struct strbuf out = {0};
	bool changed = false;
	bool any = false;
	char dns[16];

	while (*text) {
		size_t len = strcspn(text, "\n");
		bool server;

		if (!line_is_unreachable(&resolver, text, len, &server)) {
			strbuf_add_bytes(&out, text, len);
			strbuf_add_char(&out, '\n');
			any |= server;
		} else {
			if (!changed && policy->dns)
				strbuf_printf(&out, "nameserver %s\n",
					      slirp_address_text(policy->dns, dns));
			changed = true;
		}
		text += len + (text[len] == '\n');
	}
	/* resolv.conf(5): without a server it is the one on 127.0.0.1 */
	if (!changed && !any && policy->dns)
		strbuf_printf(&out, "nameserver %s\n", slirp_address_text(policy->dns, dns));
	else if (!changed)
		return NULL;
	return out.failed ? NULL : arena_strdup(arena, out.text ? out.text : "");
}

int net_lease_take(const struct net_policy *policy, int *ret_lease, int *ret_netns)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_usec = LEASE_PATIENCE_MS * 1000 % 1000000,
				   .tv_sec = LEASE_PATIENCE_MS / 1000};
	CLEANUP_FD int sock = -1;
	char byte;
	int r;

	if (!policy->pool || strlen(policy->pool) >= sizeof(address.sun_path))
		return -ENOENT;
	memcpy(address.sun_path, policy->pool, strlen(policy->pool));
	sock = sys_socket(AF_UNIX, SOCK_SEQPACKET, 0);
	if (sock < 0)
		return sock;
	/* a pool that hangs must not hold a step up */
	(void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	r = fd_message_receive(sock, &byte, sizeof(byte), ret_netns);
	if (r == 0 && *ret_netns < 0)
		return -EPROTO;
	if (r == 0)
		*ret_lease = fd_take(&sock);
	return r;
}
