/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a network. Runs in the new network namespace, as a process that has CAP_NET_ADMIN
 * there. The tap is made here, because rtnetlink(7) cannot; the rest is runbuild-netlink's.
 */
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include "base/num.h"
#include "launch/launch.h"
#include "rootless/net_private.h"

/* A persistent tap: it stays with its addresses when a helper ends. */
static int net_tap_create(const char *ifname, struct rb_err *err)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	CLEANUP_FD int tun = sys_openat(AT_FDCWD, "/dev/net/tun", O_RDWR, 0);

	if (tun < 0) {
		err_set(err, RB_TUN, -tun, "/dev/net/tun");
		err_fix(err, "sudo chmod 666 /dev/net/tun (for good: a udev rule)");
		return tun;
	}
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	if (ioctl(tun, TUNSETIFF, &request) < 0 || ioctl(tun, TUNSETPERSIST, 1) < 0) {
		err_set(err, RB_TUN, errno, "cannot make the interface %s", ifname);
		err_fix(err, "use another --ifname");
		return -EINVAL;
	}
	return 0;
}

/* The three lines of an answer that is not "ok" into an error. */
static int netlink_error(char *answer, struct rb_err *err)
{
	char *what = strchr(answer, '\n');
	char *fix = what ? strchr(what + 1, '\n') : NULL;
	uint32_t code;

	if (fix) {
		*what++ = '\0';
		*fix++ = '\0';
		fix[strcspn(fix, "\n")] = '\0';
	}
	if (!fix || num_parse_u32(answer, &code) < 0) {
		err_set(err, RB_NETLINK_PROGRAM, 0, "runbuild-netlink ended without an answer");
		err_fix(err, "does 'runbuild-netlink loopback' start? Install the package again");
		return -EIO;
	}
	err_set(err, (enum rb_code)code, 0, "%s", what);
	err_fix(err, "%s", fix);
	return -EIO;
}

static int netlink_run(const char *const argv[], int alive, struct rb_err *err)
{
	CLEANUP_ARENA struct arena arena = {0};
	char *answer = helper_output_while(&arena, argv[0], argv, alive);

	if (answer && str_eq(answer, "ok\n"))
		return 0;
	return netlink_error(answer ? answer : arena_strdup(&arena, ""), err);
}

int net_inside_set_up(const struct net *net, struct rb_err *err)
{
	const struct net_options *options = net->options;
	struct net_addresses addresses = net_addresses(options);
	const char *ifname = options->ifname ? options->ifname : "tap0";
	const char *const loopback[] = {net->netlink, "loopback", NULL};
	char mtu[16];
	char address[16];
	char prefix[16];
	char gateway[16];
	const char *const link[] = {net->netlink,
				    "link",
				    ifname,
				    mtu,
				    net_address_text(addresses.guest, address),
				    prefix,
				    net_address_text(addresses.gateway, gateway),
				    options->ipv6 ? "v6" : "v4",
				    NULL};

	if (options->driver != NET_SLIRP4NETNS)
		return netlink_run(loopback, -1, err);
	snprintf(mtu, sizeof(mtu), "%u", options->mtu ? options->mtu : 65520);
	snprintf(prefix, sizeof(prefix), "%u", addresses.prefix);
	return net_tap_create(ifname, err) < 0 ? -EACCES : netlink_run(link, -1, err);
}

int net_inside_await(const struct net *net, int alive, struct rb_err *err)
{
	const char *const argv[] = {net->netlink, "await-route", NULL};

	return net->options->driver == NET_PASTA ? netlink_run(argv, alive, err) : 0;
}
