/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The launcher's options, which `rootless`, `daemonless` and the name rootlesskit share. */
#include "cmd/options.h"
#include "rootless/rootless.h"

struct rootless_arguments {
	const char *net, *cidr, *ifname, *copy_up_mode, *propagation, *port_driver, *reaper;
	const char *evacuate_cgroup2, *idmap, *subid_source, *slirp_sandbox, *slirp_seccomp;
	const char *slirp_binary, *pasta_binary, *vpnkit_binary, *lxc_binary, *lxc_bridge;
	const char *state_dir, *step_net;
	struct option_list copy_up, publish;
	uint32_t mtu, step_net_pool;
	bool allow_host_loopback, allow_host_addresses, ipv6, ipcns, utsns, cgroupns;
	enum option_choice disable_host_loopback, pidns, detach_netns, source_ip_transparent;
	bool debug, print_semver, version; /* of rootlesskit */
	const char *buildkitd;             /* of daemonless */
};

#define ROOTLESS_OPT(member) offsetof(struct rootless_arguments, member)

#define ROOTLESS_OPTIONS                                                                            \
	{"net",         0,                                                                          \
	 OPTION_STRING, ROOTLESS_OPT(net),                                                          \
	 "DRIVER",      "host (default), none, slirp4netns or pasta"},                              \
		{"mtu",      0,                                                                     \
		 OPTION_U32, ROOTLESS_OPT(mtu),                                                     \
		 "BYTES",    "of the network's interface; default: 65520"},                         \
		{"cidr",         0,                                                                 \
		 OPTION_STRING,  ROOTLESS_OPT(cidr),                                                \
		 "NETWORK/BITS", "of the network; default: 10.0.2.0/24"},                           \
		{"ifname",      0,                                                                  \
		 OPTION_STRING, ROOTLESS_OPT(ifname),                                               \
		 "NAME",        "of the network's interface; default: tap0"},                       \
		{"ipv6", 0, OPTION_FLAG, ROOTLESS_OPT(ipv6), NULL, "IPv6 as well"},                 \
		{"disable-host-loopback",                                                           \
		 0,                                                                                 \
		 OPTION_CHOICE,                                                                     \
		 ROOTLESS_OPT(disable_host_loopback),                                               \
		 NULL,                                                                              \
		 "keep the host's 127.0.0.1 out of reach; this is the default"},                    \
		{"allow-host-loopback",                                                             \
		 0,                                                                                 \
		 OPTION_FLAG,                                                                       \
		 ROOTLESS_OPT(allow_host_loopback),                                                 \
		 NULL,                                                                              \
		 "let the gateway's address reach the host's 127.0.0.1"},                           \
		{"allow-host-addresses",                                                            \
		 0,                                                                                 \
		 OPTION_FLAG,                                                                       \
		 ROOTLESS_OPT(allow_host_addresses),                                                \
		 NULL,                                                                              \
		 "let the host's other addresses be reached through slirp4netns"},                  \
		{"publish",   'p',                                                                  \
		 OPTION_LIST, ROOTLESS_OPT(publish),                                                \
		 "SPEC",      "lead a port of the host inside: [IP:]PORT:[IP:]PORT/tcp or /udp"},   \
		{"port-driver", 0,                                                                  \
		 OPTION_STRING, ROOTLESS_OPT(port_driver),                                          \
		 "DRIVER",      "builtin, slirp4netns, implicit (the network's own way), none"},    \
		{"source-ip-transparent",                                                           \
		 0,                                                                                 \
		 OPTION_CHOICE,                                                                     \
		 ROOTLESS_OPT(source_ip_transparent),                                               \
		 NULL,                                                                              \
		 "builtin keeps the client's address; default: true"},                              \
		{"slirp4netns-binary",       0,      OPTION_STRING,                                 \
		 ROOTLESS_OPT(slirp_binary), "PATH", "the slirp4netns to use"},                     \
		{"slirp4netns-sandbox", 0,                                                          \
		 OPTION_STRING,         ROOTLESS_OPT(slirp_sandbox),                                \
		 "auto|true|false",     "slirp4netns's own sandbox; default: true"},                \
		{"slirp4netns-seccomp", 0,                                                          \
		 OPTION_STRING,         ROOTLESS_OPT(slirp_seccomp),                                \
		 "auto|true|false",     "slirp4netns's own seccomp filter; default: true"},         \
		{"pasta-binary",    0, OPTION_STRING, ROOTLESS_OPT(pasta_binary), "PATH",           \
		 "the pasta to use"},                                                               \
		{"step-net",    0,                                                                  \
		 OPTION_STRING, ROOTLESS_OPT(step_net),                                             \
		 "DRIVER",      "network of each build step: host (default), none or slirp4netns"}, \
		{"step-net-pool",                                                                   \
		 0,                                                                                 \
		 OPTION_U32,                                                                        \
		 ROOTLESS_OPT(step_net_pool),                                                       \
		 "N",                                                                               \
		 "keep N networks for steps ready"},                                                \
		{"copy-up",   0,                                                                    \
		 OPTION_LIST, ROOTLESS_OPT(copy_up),                                                \
		 "DIR",       "make DIR writable by a tmpfs with links; repeatable"},               \
		{"copy-up-mode", 0,                                                                 \
		 OPTION_STRING,  ROOTLESS_OPT(copy_up_mode),                                        \
		 "MODE",         "tmpfs+symlink, the only one"},                                    \
		{"propagation", 0,                                                                  \
		 OPTION_STRING, ROOTLESS_OPT(propagation),                                          \
		 "MODE",        "of mounts: [r]private, [r]slave or [r]shared; default: rprivate"}, \
		{"pidns",       0,                                                                  \
		 OPTION_CHOICE, ROOTLESS_OPT(pidns),                                                \
		 NULL,          "a pid namespace, or fail; default: one where it is possible"},     \
		{"cgroupns", 0, OPTION_FLAG, ROOTLESS_OPT(cgroupns), NULL, "a cgroup namespace"},   \
		{"ipcns", 0, OPTION_FLAG, ROOTLESS_OPT(ipcns), NULL, "an IPC namespace"},           \
		{"utsns", 0, OPTION_FLAG, ROOTLESS_OPT(utsns), NULL, "a UTS namespace"},            \
		{"reaper",                                                                          \
		 0,                                                                                 \
		 OPTION_STRING,                                                                     \
		 ROOTLESS_OPT(reaper),                                                              \
		 "auto|true|false",                                                                 \
		 "false: without a pid namespace, let go whoever leaves the command"},              \
		{"evacuate-cgroup2",                                                                \
		 0,                                                                                 \
		 OPTION_STRING,                                                                     \
		 ROOTLESS_OPT(evacuate_cgroup2),                                                    \
		 "NAME",                                                                            \
		 "move everything of our cgroup into its child NAME; needs --pidns --cgroupns"},    \
		{"idmap",                                                                           \
		 0,                                                                                 \
		 OPTION_STRING,                                                                     \
		 ROOTLESS_OPT(idmap),                                                               \
		 "auto|subids|single",                                                              \
		 "map all subordinate ids, or the own id alone"},                                   \
		{"subid-source",        0,                                                          \
		 OPTION_STRING,         ROOTLESS_OPT(subid_source),                                 \
		 "auto|dynamic|static", "where subordinate ids come from"},                         \
		{"state-dir",                                                                       \
		 0,                                                                                 \
		 OPTION_STRING,                                                                     \
		 ROOTLESS_OPT(state_dir),                                                           \
		 "DIR",                                                                             \
		 "keep lock, child_pid and api.sock in DIR; default: a temporary directory"},       \
	{                                                                                           \
		"detach-netns", 0, OPTION_CHOICE, ROOTLESS_OPT(detach_netns), NULL,                 \
			"stay outside; the state directory has it as netns"                         \
	}

/*
 * Checks the values and turns them into options, with everything in the arena; command is not
 * set. Errors: RB_USAGE, RB_UNSUPPORTED.
 */
int rootless_options_read(struct arena *arena, const struct rootless_arguments *arguments,
			  struct rootless_options *ret_options, struct rb_err *err);
