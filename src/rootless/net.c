/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which network, and which driver does what for it. Runs in the parent.
 */
#include "base/log.h"
#include "base/num.h"
#include "host/helper.h"
#include "net/policy.h"
#include "net/rtnl.h"
#include "rootless/net_private.h"

int net_cidr_parse(const char *text, struct net_options *options, struct rb_err *err)
{
	int rc = net_cidr_read(text, &options->network, &options->prefix);

	if (rc == -EINVAL) {
		err_set(err, RB_USAGE, 0, "--cidr: '%.40s' is not ADDRESS/BITS", text);
		err_fix(err, "for example 10.0.3.0/24");
	} else if (rc == -ERANGE) {
		err_set(err, RB_USAGE, 0, "--cidr: '%.40s' is not between /1 and /25", text);
		err_fix(err, "use a larger network, for example 10.0.3.0/24");
	} else if (rc == -EADDRNOTAVAIL) {
		err_set(err, RB_USAGE, 0, "--cidr: '%.40s' has addresses that no machine can have",
			text);
		err_fix(err, "use a network for private use, for example 10.0.3.0/24");
	} else if (rc < 0) {
		err_set(err, RB_USAGE, 0, "--cidr: '%.40s' has bits behind its prefix", text);
		err_fix(err, "give the address of the network itself, with zeros at its end");
	}
	return rc;
}

void net_init(struct net *net, struct arena *arena, const struct net_options *options)
{
	*net = (struct net){
		.arena = arena,
		.options = options,
		.dir = -1,
		.pidfd = -1,
		.netns = -1,
		.holder_pidfd = -1,
		.holder_sock = -1,
		.guard_pidfd = -1,
		.exit_fd = -1,
		.output = -1,
		.hosts_watch = -1,
		.tap = -1,
		.forward = {.pidfd = -1, .sock = -1},
	};
}

static int check_helper(struct net *net, struct rb_err *err)
{
	bool pasta = net->options->driver == NET_PASTA;
	const char *name = pasta ? "pasta" : "slirp4netns";

	net->helper = net->options->binary ? net->options->binary : helper_find(net->arena, name);
	if (net->helper)
		return net_tun_check(err);
	err_set(err, pasta ? RB_PASTA_MISSING : RB_SLIRP_MISSING, 0, "%s not found", name);
	err_fix(err, "sudo apt install %s (Fedora: sudo dnf install %s)%s", pasta ? "passt" : name,
		pasta ? "passt" : name,
		pasta                              ? ", or --net=slirp4netns"
		: helper_find(net->arena, "pasta") ? ", or --net=pasta"
						   : ", or --net=host");
	return -ENOENT;
}

static void warn_of_route(const struct net_options *options, const struct rtnl_route *route,
			  uint32_t other)
{
	struct net_addresses addresses = net_addresses(options);
	char theirs[16];
	char ours[16];
	char text[16];
	char fix[64];

	snprintf(fix, sizeof(fix), "use another one: --cidr=%s/24",
		 other ? net_address_text(other, text) : "NETWORK");
	log_warn_code(RB_NET_OVERLAP, fix,
		      "the network %s/%u overlaps %s/%u, which this host reaches through %s: what "
		      "is there is out of reach",
		      net_address_text(addresses.gateway - 2, ours), addresses.prefix,
		      net_address_text(route->network, theirs), route->prefix,
		      route->ifname[0] ? route->ifname : "an interface");
}

/* Has the user named the network, or the address that the command has in the default one? */
static bool is_named(const struct net_options *options)
{
	uint32_t guest = net_addresses(options).guest;

	for (size_t i = 0; i < options->n_ports; i++)
		if (options->ports[i].child_ip == guest)
			return true;
	return options->network != 0;
}

void net_choose_network(struct net_options *options)
{
	struct net_addresses addresses = net_addresses(options);
	struct rtnl_route route;
	char theirs[16];
	char ours[16];
	uint32_t other;

	/* not knowing is no reason to complain */
	if (rtnl_find_route(addresses.gateway - 2, addresses.prefix, &route) <= 0)
		return;
	other = net_network_free();
	if (!other || is_named(options)) {
		warn_of_route(options, &route, other);
		return;
	}
	options->network = other;
	options->prefix = 24;
	log_warn_code(RB_NET_OVERLAP, "none is needed; --cidr names another network",
		      "the network is %s/24: this host reaches %s/%u, with which the usual one "
		      "overlaps, through %s",
		      net_address_text(other, ours), net_address_text(route.network, theirs),
		      route.prefix, route.ifname[0] ? route.ifname : "an interface");
}

int net_check(struct net *net, struct rb_err *err)
{
	if (net->options->driver == NET_HOST)
		return 0;
	net->netlink = helper_find_own(net->arena, PKGLIBEXECDIR, "runbuild-netlink");
	if (!net->netlink) {
		err_set(err, RB_NETLINK_PROGRAM, 0, "runbuild-netlink not found in %s",
			PKGLIBEXECDIR);
		err_fix(err, "install runbuild as a whole: make install, or its package");
		return -ENOENT;
	}
	return net->options->driver == NET_NONE ? 0 : check_helper(net, err);
}

int net_start(struct net *net, pid_t target, struct rb_err *err)
{
	int rc = 0;

	net->target = target;
	net->started_ms = sys_now_ms();
	if (net->options->driver == NET_SLIRP4NETNS)
		rc = slirp_start(net, err);
	else if (net->options->driver == NET_PASTA)
		rc = pasta_start(net, err);
	if (net->options->driver == NET_PASTA && !net->options->builtin_ports)
		return rc; /* it publishes the ports itself */
	for (size_t i = 0; rc == 0 && i < net->options->n_ports; i++)
		rc = net_publish(net, &net->options->ports[i], NULL, err);
	return rc;
}

static bool can_publish(const struct net *net)
{
	const struct net_options *options = net->options;

	return options->builtin_ports ? options->driver != NET_HOST
				      : options->driver == NET_SLIRP4NETNS && net->dir >= 0;
}

/* By whoever publishes the ports of this network. */
static int entry_publish(struct net *net, struct port_entry *entry, struct rb_err *err)
{
	int rc = 0;

	if (!net->options->builtin_ports) {
		rc = port_check(&entry->spec, err);
		return rc < 0 ? rc : slirp_publish(net, entry, err);
	}
	net->forward.netlink = net->netlink;
	net->forward.hide_clients = net->options->hide_clients;
	if (net->forward.sock < 0)
		rc = forward_start(&net->forward, net->target, err);
	return rc < 0 ? rc : forward_publish(&net->forward, entry, err);
}

int net_publish(struct net *net, const struct port_spec *spec, unsigned *ret_id, struct rb_err *err)
{
	struct ports *ports = &net->ports;
	struct port_entry *entry = &ports->v[ports->n];
	int rc;

	if (!can_publish(net)) {
		err_set(err, RB_PORT, 0, "the network '%s' cannot publish ports at run time",
			net_driver_name(net->options->driver));
		err_fix(err, "use --net=slirp4netns, or --port-driver=builtin");
		return -EOPNOTSUPP;
	}
	if (ports->n == LIMIT_PORTS) {
		err_set(err, RB_PORT, 0, "more than %u ports", LIMIT_PORTS);
		err_fix(err, "unpublish some");
		return -ENOSPC;
	}
	*entry = (struct port_entry){.id = ports->last_id + 1, .spec = *spec};
	rc = entry_publish(net, entry, err);
	if (rc < 0)
		return rc;
	ports->n++;
	ports->last_id++;
	if (ret_id)
		*ret_id = entry->id;
	return 0;
}

int net_unpublish(struct net *net, unsigned id, struct rb_err *err)
{
	struct ports *ports = &net->ports;
	int rc;

	for (size_t i = 0; i < ports->n; i++) {
		if (ports->v[i].id != id)
			continue;
		rc = net->options->builtin_ports
			     ? forward_unpublish(&net->forward, &ports->v[i], err)
			     : slirp_unpublish(net, &ports->v[i], err);
		if (rc < 0)
			return rc;
		ports->n--;
		memmove(&ports->v[i], &ports->v[i + 1], (ports->n - i) * sizeof(ports->v[0]));
		return 0;
	}
	err_set(err, RB_PORT, 0, "no published port has the id %u", id);
	err_fix(err, "GET /v1/ports lists them");
	return -ENOENT;
}

static void net_start_again(struct net *net)
{
	struct rb_err err = {0};
	int rc;

	net->started_ms = sys_now_ms();
	net->said[0] = '\0';
	rc = net->options->driver == NET_PASTA ? pasta_start(net, &err) : slirp_start(net, &err);
	for (size_t i = 0; rc == 0 && !net->options->builtin_ports && i < net->ports.n; i++)
		rc = slirp_publish(net, &net->ports.v[i], &err);
	if (rc < 0)
		log_error(&err);
}

/* A forwarder that was killed: the next one gets the ports, the connections are lost. */
static void forward_event(struct net *net)
{
	struct rb_err err = {0};
	siginfo_t info = {0};
	int rc = 0;

	if (net->forward.pidfd < 0 ||
	    sys_wait_pidfd(net->forward.pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
	    info.si_pid == 0)
		return;
	log_warn("the builtin port driver has ended with %s %d; starting it again, open "
		 "connections are lost",
		 info.si_code == CLD_EXITED ? "status" : "signal", info.si_status);
	forward_end(&net->forward);
	for (size_t i = 0; rc == 0 && i < net->ports.n; i++)
		rc = entry_publish(net, &net->ports.v[i], &err);
	if (rc < 0)
		log_error(&err);
}

void net_event(struct net *net)
{
	const char *name = net_driver_name(net->options->driver);
	int64_t now = sys_now_ms();
	bool by_signal;
	int status;

	forward_event(net);
	slirp_tap_event(net);
	net_listen(net);
	slirp_hosts_event(net);
	if (!net_reap(net, &status, &by_signal))
		return;
	/* one that cannot live is not started for ever */
	net->restarts = now - net->started_ms < 10000 ? net->restarts + 1 : 0;
	log_warn("%s has ended with %s %d%s%s; %s", name, by_signal ? "signal" : "status", status,
		 net->said[0] ? ", saying: " : "", net->said,
		 net->restarts <= NET_RESTARTS_MAX ? "starting it again, open connections are lost"
						   : "the network is gone");
	if (net->restarts <= NET_RESTARTS_MAX)
		net_start_again(net);
}

void net_retry(struct net *net)
{
	bool has_helper = net->options->driver == NET_SLIRP4NETNS ||
			  net->options->driver == NET_PASTA;

	if (!has_helper || net->pidfd >= 0 || net->restarts > NET_RESTARTS_MAX)
		return;
	net->restarts++;
	net_start_again(net);
}
