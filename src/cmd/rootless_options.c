/* SPDX-License-Identifier: Apache-2.0 */
/* The values of the launcher's options: checked, and turned into what rootless/ wants. */
#include "base/log.h"
#include "base/sys.h"
#include "cmd/rootless_options.h"

struct choice {
	const char *name;
	int value;
};

/* The value of a name; text NULL leaves *ret as it is. Errors: RB_USAGE. */
static int choose(const char *option, const char *text, const struct choice *choices, int *ret,
		  struct rb_err *err)
{
	char list[160] = "";
	size_t len = 0;

	for (size_t i = 0; text && choices[i].name; i++) {
		if (str_eq(text, choices[i].name)) {
			*ret = choices[i].value;
			return 0;
		}
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "",
					choices[i].name);
	}
	if (!text)
		return 0;
	err_set(err, RB_USAGE, 0, "--%s: '%.40s' is unknown", option, text);
	err_fix(err, "use one of %s", list);
	return -EINVAL;
}

static int path_check(const char *option, const char *path, struct rb_err *err)
{
	if (!path || (path[0] == '/' && path[1]))
		return 0;
	err_set(err, RB_USAGE, 0, "--%s: '%.100s' is not an absolute path of something below /",
		option, path);
	err_fix(err, "give it from / on");
	return -EINVAL;
}

static int unsupported(const char *option, const char *value, const char *instead,
		       struct rb_err *err)
{
	err_set(err, RB_UNSUPPORTED, 0, "--%s%s%s is not supported", option, value ? "=" : "",
		value ? value : "");
	err_fix(err, "%s", instead);
	return -EOPNOTSUPP;
}

static int read_driver(const struct rootless_arguments *arguments, struct net_options *net,
		       struct rb_err *err)
{
	static const struct choice drivers[] = {{"host", NET_HOST},
						{"none", NET_NONE},
						{"slirp4netns", NET_SLIRP4NETNS},
						{"pasta", NET_PASTA},
						{NULL, 0}};
	const char *name = arguments->net;
	int driver = NET_HOST;
	int rc;

	if (name && (str_eq(name, "vpnkit") || str_eq(name, "lxc-user-nic")))
		return unsupported("net", name, "use --net=slirp4netns or --net=pasta", err);
	if (name && str_eq(name, "gvisor-tap-vsock")) {
		log_warn("--net=gvisor-tap-vsock: using slirp4netns, which does the same here");
		name = "slirp4netns";
	}
	rc = choose("net", name, drivers, &driver, err);
	net->driver = (enum net_driver)driver;
	return rc;
}

enum { PORTS_NONE, PORTS_HELPER, PORTS_BUILTIN };

static int read_ports(struct arena *arena, const struct rootless_arguments *arguments,
		      struct net_options *net, struct rb_err *err)
{
	static const struct choice drivers[] = {{"none", PORTS_NONE},
						{"builtin", PORTS_BUILTIN},
						{"implicit", PORTS_HELPER},
						{"slirp4netns", PORTS_HELPER},
						{"gvisor-tap-vsock", PORTS_HELPER},
						{NULL, 0}};
	size_t n = arguments->publish.n;
	struct port_spec *ports = arena_array(arena, n + 1, sizeof(*ports));
	int driver = PORTS_HELPER;
	int rc = choose("port-driver", arguments->port_driver, drivers, &driver, err);

	if (!ports)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "ports");
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = port_parse(arguments->publish.v[i], &ports[i], err);
	if (rc == 0 && n > 0 &&
	    (net->driver == NET_HOST || driver == PORTS_NONE ||
	     (net->driver == NET_NONE && driver != PORTS_BUILTIN))) {
		err_set(err, RB_USAGE, 0, "--publish needs a network that can publish ports");
		err_fix(err, "add --net=slirp4netns%s",
			net->driver == NET_HOST ? "" : ", or --port-driver=builtin");
		return -EINVAL;
	}
	net->builtin_ports = driver == PORTS_BUILTIN;
	net->hide_clients = arguments->source_ip_transparent == CHOICE_NO;
	net->ports = ports;
	net->n_ports = n;
	return rc;
}

static int read_sandbox(const struct rootless_arguments *arguments, struct net_options *net,
			struct rb_err *err)
{
	static const struct choice words[] = {{"auto", 0}, {"true", 0}, {"false", 1}, {NULL, 0}};
	int no_sandbox = 0;
	int no_seccomp = 0;
	int rc = choose("slirp4netns-sandbox", arguments->slirp_sandbox, words, &no_sandbox, err);

	if (rc == 0)
		rc = choose("slirp4netns-seccomp", arguments->slirp_seccomp, words, &no_seccomp,
			    err);
	net->no_sandbox = no_sandbox;
	net->no_seccomp = no_seccomp;
	return rc;
}

static int read_interface(const struct rootless_arguments *arguments, struct net_options *net,
			  struct rb_err *err)
{
	const char *name = arguments->ifname;

	/* slirp4netns(1) */
	if (arguments->mtu && (arguments->mtu < 68 || arguments->mtu > 65521)) {
		err_set(err, RB_USAGE, 0, "--mtu: %u is not between 68 and 65521", arguments->mtu);
		err_fix(err, "leave it out for 65520");
		return -EINVAL;
	}
	/* RFC 8200, 5; the kernel takes IPv6 from an interface with less */
	if (arguments->ipv6 && arguments->mtu && arguments->mtu < 1280) {
		err_set(err, RB_USAGE, 0, "--mtu: %u is less than the 1280 of --ipv6",
			arguments->mtu);
		err_fix(err, "leave it out for 65520");
		return -EINVAL;
	}
	/* netdevice(7): IFNAMSIZ with its end mark */
	if (name && (!name[0] || strlen(name) > 15 || strpbrk(name, "/: \t%"))) {
		err_set(err, RB_USAGE, 0, "--ifname: '%.40s' is no interface name", name);
		err_fix(err, "use up to 15 letters and digits");
		return -EINVAL;
	}
	net->mtu = arguments->mtu;
	net->ifname = name;
	net->ipv6 = arguments->ipv6;
	net->allow_host_loopback = arguments->disable_host_loopback == CHOICE_NONE
					   ? arguments->allow_host_loopback
					   : arguments->disable_host_loopback == CHOICE_NO;
	/* who opens the gateway's way to 127.0.0.1 wants the host's services reached */
	net->allow_host_addresses = arguments->allow_host_addresses || net->allow_host_loopback;
	return arguments->cidr ? net_cidr_parse(arguments->cidr, net, err) : 0;
}

static int read_network(struct arena *arena, const struct rootless_arguments *arguments,
			struct net_options *net, struct rb_err *err)
{
	int rc = read_driver(arguments, net, err);

	if (rc == 0)
		rc = read_interface(arguments, net, err);
	if (rc == 0)
		rc = read_sandbox(arguments, net, err);
	if (rc == 0)
		rc = read_ports(arena, arguments, net, err);
	net->binary = net->driver == NET_PASTA ? arguments->pasta_binary : arguments->slirp_binary;
	return rc == 0 ? path_check("slirp4netns-binary", net->binary, err) : rc;
}

static int read_mounts(const struct rootless_arguments *arguments, struct rootless_options *options,
		       struct rb_err *err)
{
	static const struct choice modes[] = {{"tmpfs+symlink", 0}, {NULL, 0}};
	static const struct choice kinds[] = {
		{"private", MS_PRIVATE}, {"slave", MS_SLAVE}, {"shared", MS_SHARED}, {NULL, 0}};
	const char *propagation = arguments->propagation;
	int kind = MS_PRIVATE;
	int mode = 0;
	int rc = choose("copy-up-mode", arguments->copy_up_mode, modes, &mode, err);

	if (propagation && propagation[0] == 'r')
		propagation++;
	if (rc == 0)
		rc = choose("propagation", propagation, kinds, &kind, err);
	for (size_t i = 0; rc == 0 && i < arguments->copy_up.n; i++)
		rc = path_check("copy-up", arguments->copy_up.v[i], err);
	if (rc == 0 && kind == MS_SHARED && arguments->copy_up.n > 0) {
		err_set(err, RB_USAGE, 0, "--propagation=%s and --copy-up exclude each other",
			arguments->propagation);
		err_fix(err, "use --propagation=rslave");
		return -EINVAL;
	}
	options->propagation = (uint64_t)kind;
	options->propagation_of_root_only = arguments->propagation &&
					    propagation == arguments->propagation;
	options->copy_up = arguments->copy_up.v;
	options->n_copy_up = arguments->copy_up.n;
	return rc;
}

static int read_namespaces(const struct rootless_arguments *arguments,
			   struct rootless_options *options, struct rb_err *err)
{
	static const struct choice words[] = {{"auto", 0}, {"true", 0}, {"false", 1}, {NULL, 0}};
	int no_reaper = 0;
	int rc = choose("reaper", arguments->reaper, words, &no_reaper, err);

	options->no_reaper = no_reaper;
	options->ipcns = arguments->ipcns;
	options->utsns = arguments->utsns;
	options->cgroupns = arguments->cgroupns;
	options->evacuate_cgroup2 = arguments->evacuate_cgroup2;
	if (arguments->pidns != CHOICE_NONE)
		options->pidns = arguments->pidns == CHOICE_YES ? PIDNS_YES : PIDNS_NO;
	if (rc < 0 || !arguments->evacuate_cgroup2)
		return rc;
	if (!arguments->cgroupns || options->pidns == PIDNS_NO ||
	    strchr(arguments->evacuate_cgroup2, '/') || arguments->evacuate_cgroup2[0] == '.') {
		err_set(err, RB_USAGE, 0,
			"--evacuate-cgroup2 takes a name and needs --cgroupns and a "
			"pid namespace");
		err_fix(err, "for example --pidns --cgroupns --evacuate-cgroup2=init");
		return -EINVAL;
	}
	return 0;
}

static int read_ids(const struct rootless_arguments *arguments, struct rootless_options *options,
		    struct rb_err *err)
{
	static const struct choice maps[] = {{"auto", ROOTLESS_IDMAP_AUTO},
					     {"subids", ROOTLESS_IDMAP_SUBIDS},
					     {"single", ROOTLESS_IDMAP_SINGLE},
					     {NULL, 0}};
	static const struct choice sources[] = {{"auto", SUBID_AUTO},
						{"dynamic", SUBID_DYNAMIC},
						{"static", SUBID_STATIC},
						{NULL, 0}};
	int map = ROOTLESS_IDMAP_AUTO;
	int source = SUBID_AUTO;
	int rc = choose("idmap", arguments->idmap, maps, &map, err);

	if (rc == 0)
		rc = choose("subid-source", arguments->subid_source, sources, &source, err);
	options->idmap = (enum rootless_idmap)map;
	options->subid_source = (enum subid_source)source;
	return rc;
}

static int read_detached(struct net_options *net, struct rb_err *err)
{
	net->detached = net->driver != NET_HOST;
	if (net->detached)
		return 0;
	err_set(err, RB_USAGE, 0, "--detach-netns needs a network that is not the host's");
	err_fix(err, "add --net=slirp4netns");
	return -EINVAL;
}

static int read_step_network(const struct rootless_arguments *arguments,
			     struct rootless_options *options, struct rb_err *err)
{
	static const struct choice modes[] = {{"host", NET_POLICY_HOST},
					      {"none", NET_POLICY_NONE},
					      {"slirp4netns", NET_POLICY_SLIRP},
					      {NULL, 0}};
	struct net_policy inherited = {.mode = NET_POLICY_HOST};
	int rc = arguments->step_net ? 0 : net_policy_read(&inherited, err);
	int mode = (int)inherited.mode;

	if (rc == 0)
		rc = choose("step-net", arguments->step_net, modes, &mode, err);
	options->step_net_chosen = arguments->step_net;
	options->step_net = (enum net_policy_mode)mode;
	options->step_net_pool = arguments->step_net_pool;
	if (rc < 0 || !options->step_net_pool)
		return rc;
	if (options->step_net != NET_POLICY_SLIRP || options->step_net_pool > LIMIT_POOL) {
		err_set(err, RB_USAGE, 0,
			"--step-net-pool takes 1 to %u, and needs --step-net=slirp4netns",
			LIMIT_POOL);
		err_fix(err, "for example --step-net=slirp4netns --step-net-pool=4");
		return -EINVAL;
	}
	return 0;
}

int rootless_options_read(struct arena *arena, const struct rootless_arguments *arguments,
			  struct rootless_options *ret_options, struct rb_err *err)
{
	struct rootless_options options = *ret_options;
	int rc = read_network(arena, arguments, &options.net, err);

	if (rc == 0)
		rc = read_step_network(arguments, &options, err);
	if (rc == 0)
		rc = read_mounts(arguments, &options, err);
	if (rc == 0)
		rc = read_namespaces(arguments, &options, err);
	if (rc == 0)
		rc = read_ids(arguments, &options, err);
	if (rc == 0)
		rc = path_check("state-dir", arguments->state_dir, err);
	if (rc == 0 && arguments->detach_netns == CHOICE_YES)
		rc = read_detached(&options.net, err);
	options.state_dir = arguments->state_dir;
	if (rc == 0)
		*ret_options = options;
	return rc;
}
