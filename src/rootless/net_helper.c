/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the drivers and those who choose among them share: names and addresses, and the end of a
 * helper, told in words. Runs in the parent.
 */
#include "rootless/net_private.h"

static const char *const driver_names[] = {
	[NET_HOST] = "host",
	[NET_NONE] = "none",
	[NET_SLIRP4NETNS] = "slirp4netns",
	[NET_PASTA] = "pasta",
};

const char *net_driver_name(enum net_driver driver)
{
	return driver_names[driver];
}

struct net_addresses net_addresses(const struct net_options *options)
{
	uint32_t network = options->network ? options->network : 0x0a000200; /* 10.0.2.0 */

	return (struct net_addresses){
		.gateway = network + 2,
		.dns = network + 3,
		.guest = network + SLIRP_GUEST,
		.prefix = options->prefix ? options->prefix : 24,
	};
}

const char *net_address_text(uint32_t address, char buf[16])
{
	return slirp_address_text(address, buf);
}

void net_listen(struct net *net)
{
	net_output_listen(&net->output, net_driver_name(net->options->driver), net->said);
}

void net_helper_end(struct net *net)
{
	siginfo_t info;

	fd_close(&net->exit_fd);
	sys_pidfd_end(&net->pidfd);
	if (net->guard_pidfd >= 0) {
		(void)sys_wait_pidfd(net->guard_pidfd, &info, WEXITED);
		fd_close(&net->guard_pidfd);
	}
	fd_close(&net->output);
}

bool net_reap(struct net *net, int *ret_status, bool *ret_signal)
{
	siginfo_t info = {0};

	if (net->pidfd < 0 || sys_wait_pidfd(net->pidfd, &info, WEXITED | WNOHANG) < 0 ||
	    info.si_pid == 0)
		return false;
	net_listen(net);
	*ret_status = info.si_status;
	*ret_signal = info.si_code != CLD_EXITED;
	net_helper_end(net);
	return true;
}

int net_failed(struct net *net, int rc, struct rb_err *err)
{
	bool pasta = net->options->driver == NET_PASTA;
	const char *name = net_driver_name(net->options->driver);
	siginfo_t info = {0};

	if (rc == -ETIMEDOUT)
		(void)sys_pidfd_send_signal(net->pidfd, SIGKILL);
	(void)sys_wait_pidfd(net->pidfd, &info, WEXITED);
	fd_close(&net->pidfd);
	net_listen(net);
	if (rc == -ETIMEDOUT)
		err_set(err, pasta ? RB_PASTA_FAILED : RB_SLIRP_FAILED, 0,
			"%s was not ready after %d s: %s", name, NET_READY_MS / 1000, net->said);
	else
		err_set(err, pasta ? RB_PASTA_FAILED : RB_SLIRP_FAILED, 0,
			"%s ended with %s %d: %s", name,
			info.si_code == CLD_EXITED ? "status" : "signal", info.si_status,
			net->said[0] ? net->said : "it said nothing");
	if (pasta && strstr(net->said, "routable interface"))
		err_fix(err, "pasta takes the host's default route, and there is none: use "
			     "--net=slirp4netns");
	else
		err_fix(err, "use another version of %s, or --net=host", net->helper);
	net_end(net);
	return -EPIPE;
}

void net_end(struct net *net)
{
	forward_end(&net->forward);
	net_helper_end(net);
	fd_close(&net->hosts_watch);
	fd_close(&net->tap);
}
