/* SPDX-License-Identifier: Apache-2.0 */
/* `rootless`: the launcher's command line. */
#include "cmd/cmd.h"
#include "cmd/verbs.h"
#include "rootless/rootless.h"

struct rootless_arguments {
	const char *net;
	const char *state_dir;
	struct option_list copy_up;
	uint32_t mtu;
	bool allow_host_loopback;
	bool disable_host_loopback;
};

#define OPT(member) offsetof(struct rootless_arguments, member)

static const struct option_entry rootless_option_table[] = {
	{"net", 0, OPTION_STRING, OPT(net), "host|none|slirp4netns",
	 "the command's network; default: host"},
	{"copy-up", 0, OPTION_LIST, OPT(copy_up), "DIR",
	 "make DIR writable by a tmpfs with links; repeatable"},
	{"state-dir", 0, OPTION_STRING, OPT(state_dir), "DIR",
	 "keep lock and child_pid in DIR; default: a temporary directory"},
	{"mtu", 0, OPTION_U32, OPT(mtu), "BYTES", "of slirp4netns's interface; default: 65520"},
	{"disable-host-loopback", 0, OPTION_FLAG, OPT(disable_host_loopback), NULL,
	 "accepted; this is the default"},
	{"allow-host-loopback", 0, OPTION_FLAG, OPT(allow_host_loopback), NULL,
	 "let 10.0.2.2 reach the host's 127.0.0.1"},
	OPTION_END,
};

static int path_check(const char *option, const char *path, struct rb_err *err)
{
	if (path[0] == '/' && path[1])
		return 0;
	err_set(err, RB_USAGE, 0, "--%s: '%.100s' is not an absolute path of a directory below /",
		option, path);
	err_fix(err, "give it from / on");
	return -EINVAL;
}

static int rootless_check(const struct rootless_arguments *arguments,
			  struct rootless_options *options, struct rb_err *err)
{
	static const struct {
		const char *name;
		enum rootless_net net;
	} nets[] = {{"host", NET_HOST}, {"none", NET_NONE}, {"slirp4netns", NET_SLIRP4NETNS}};
	bool found = arguments->net == NULL;
	int rc;

	for (size_t i = 0; arguments->net && i < ARRAY_LEN(nets); i++) {
		if (str_eq(arguments->net, nets[i].name)) {
			options->net = nets[i].net;
			found = true;
		}
	}
	if (!found) {
		err_set(err, RB_USAGE, 0, "unknown network '%.40s'", arguments->net);
		err_fix(err, "use host, none or slirp4netns");
		return -EINVAL;
	}
	/* slirp4netns(1) */
	if (arguments->mtu && (arguments->mtu < 68 || arguments->mtu > 65521)) {
		err_set(err, RB_USAGE, 0, "--mtu: %u is not between 68 and 65521", arguments->mtu);
		err_fix(err, "leave it out for 65520");
		return -EINVAL;
	}
	for (size_t i = 0; i < arguments->copy_up.n; i++) {
		rc = path_check("copy-up", arguments->copy_up.v[i], err);
		if (rc < 0)
			return rc;
	}
	return arguments->state_dir ? path_check("state-dir", arguments->state_dir, err) : 0;
}

static int rootless_main(struct arena *arena, const struct globals *globals UNUSED,
			 const void *options, int argc UNUSED, char **argv, struct rb_err *err)
{
	const struct rootless_arguments *arguments = options;
	struct rootless_options rootless = {
		.mtu = arguments->mtu,
		.allow_host_loopback = arguments->allow_host_loopback &&
				       !arguments->disable_host_loopback,
		.copy_up = arguments->copy_up.v,
		.n_copy_up = arguments->copy_up.n,
		.state_dir = arguments->state_dir,
		.command = argv,
	};
	int r = rootless_check(arguments, &rootless, err);

	return r < 0 ? r : rootless_run(arena, &rootless, err);
}

const struct verb verb_rootless = {
	.name = "rootless",
	.summary = "run a command as root of a user namespace with all subordinate ids",
	.args = "-- COMMAND [ARGUMENT...]",
	.min_args = 1,
	.max_args = -1,
	.options = rootless_option_table,
	.options_size = sizeof(struct rootless_arguments),
	.error_status = 125,
	.run = rootless_main,
};
