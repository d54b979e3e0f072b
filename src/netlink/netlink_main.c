/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runbuild-netlink: configures the network namespace it is started in. A program of its own,
 * because each step of a build starts runbuild, and what only a launcher needs (libmnl) would
 * cost every one of those starts. It has no privilege but that of whoever starts it, takes all it
 * knows from its arguments, and answers on standard output with "ok", or with an error's number,
 * text and remedy on a line each. runbuild words nothing itself.
 *
 *   runbuild-netlink loopback
 *   runbuild-netlink link NAME MTU ADDRESS PREFIX GATEWAY v4|v6
 *   runbuild-netlink await-route
 *   runbuild-netlink way-back MARK
 */
#include <arpa/inet.h>
#include "base/file.h"
#include "base/num.h"
#include "netlink/netlink.h"

static int usage(struct rb_err *err)
{
	err_set(err, RB_USAGE, 0, "runbuild-netlink: wrong arguments");
	err_fix(err, "it is runbuild's: install both in the same version");
	return -EINVAL;
}

static int address_parse(const char *text, uint32_t *ret_address)
{
	struct in_addr address;

	if (inet_pton(AF_INET, text, &address) != 1)
		return -EINVAL;
	*ret_address = ntohl(address.s_addr);
	return 0;
}

/* The six words of "link". */
static int link_configure(char **argv, struct rb_err *err)
{
	struct netlink_link link = {.ifname = argv[0], .ipv6 = str_eq(argv[5], "v6")};
	uint32_t prefix;

	if (num_parse_u32(argv[1], &link.mtu) < 0 || address_parse(argv[2], &link.address) < 0 ||
	    num_parse_u32(argv[3], &prefix) < 0 || prefix > 32 ||
	    address_parse(argv[4], &link.gateway) < 0)
		return usage(err);
	link.prefix = prefix;
	return netlink_configure(&link, err);
}

static int run(int argc, char **argv, struct rb_err *err)
{
	uint32_t mark;

	if (argc == 2 && str_eq(argv[1], "loopback"))
		return netlink_configure(NULL, err);
	if (argc == 8 && str_eq(argv[1], "link"))
		return link_configure(argv + 2, err);
	if (argc == 2 && str_eq(argv[1], "await-route"))
		return netlink_await_route(err);
	if (argc == 3 && str_eq(argv[1], "way-back") && num_parse_u32(argv[2], &mark) == 0)
		return netlink_way_back(mark, err);
	return usage(err);
}

int main(int argc, char **argv)
{
	struct rb_err err = {0};
	char text[sizeof(err) + 32];
	int rc = run(argc, argv, &err);
	int len = rc == 0 ? snprintf(text, sizeof(text), "ok\n")
			  : snprintf(text, sizeof(text), "%d\n%s\n%s\n", (int)err.code, err.what,
				     err.fix);

	(void)fd_write_all(STDOUT_FILENO, text, (size_t)len);
	return rc == 0 ? 0 : 1;
}
