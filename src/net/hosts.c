/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses of this network namespace: those under which a step would reach the host itself.
 * rtnetlink(7) RTM_GETADDR. Reads and listens only.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include "base/sys.h"
#include "net/filter.h"
#include "net/rtnl.h"

static int host_take_v4(struct net_hosts *hosts, const void *address)
{
	uint32_t in;

	if (hosts->n == LIMIT_HOST_ADDRESSES)
		return -E2BIG;
	memcpy(&in, address, sizeof(in));
	hosts->v[hosts->n++] = ntohl(in);
	return 0;
}

/* Those of a link and ::1 are closed in any case: filter.h. */
static int host_take_v6(struct net_hosts *hosts, const void *address)
{
	struct in6_addr in;

	memcpy(&in, address, sizeof(in));
	if (IN6_IS_ADDR_LINKLOCAL(&in) || IN6_IS_ADDR_LOOPBACK(&in))
		return 0;
	if (hosts->n6 == LIMIT_HOST_V6)
		return -E2BIG;
	for (size_t i = 0; i < 4; i++)
		hosts->v6[hosts->n6].word[i] = ntohl(in.s6_addr32[i]);
	hosts->n6++;
	return 0;
}

/* rtnetlink(7): IPv6 has IFA_LOCAL only on point-to-point links, where IFA_ADDRESS is the peer's. */
static int host_take(const struct nlmsghdr *header, void *data)
{
	struct net_hosts *hosts = data;
	const struct ifaddrmsg *head = NLMSG_DATA(header);
	size_t size = head->ifa_family == AF_INET    ? sizeof(struct in_addr)
		      : head->ifa_family == AF_INET6 ? sizeof(struct in6_addr)
						     : 0;
	const void *address = NULL;
	int left = (int)IFA_PAYLOAD(header);

	for (struct rtattr *a = IFA_RTA(head); RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (RTA_PAYLOAD(a) == size &&
		    (a->rta_type == IFA_LOCAL ||
		     (a->rta_type == IFA_ADDRESS && size == sizeof(struct in6_addr) && !address)))
			address = RTA_DATA(a);
	if (!address || !size)
		return 0;
	return size == sizeof(struct in_addr) ? host_take_v4(hosts, address)
					      : host_take_v6(hosts, address);
}

int net_hosts_read(struct net_hosts *ret_hosts, struct rb_err *err)
{
	int r;

	ret_hosts->n = ret_hosts->n6 = 0;
	r = rtnl_dump(RTM_GETADDR, AF_UNSPEC, RTM_NEWADDR, host_take, ret_hosts);
	if (r == 0)
		return 0;
	if (r == -E2BIG) {
		err_set(err, RB_NET_FILTER, 0,
			"this host has more than %u IPv4 or %u IPv6 addresses, too many to close",
			LIMIT_HOST_ADDRESSES, LIMIT_HOST_V6);
		err_fix(err, "use --step-net=none or host; --net=none, pasta or host");
		return r;
	}
	err_set(err, RB_NET_FILTER, -r, "cannot read this host's addresses");
	err_fix(err,
		"AF_NETLINK sockets must be allowed by the seccomp profile around this process");
	return r;
}

int net_hosts_watch(void)
{
	struct sockaddr_nl address = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
	};
	CLEANUP_FD int sock = sys_socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (sock >= 0 && bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return sock < 0 ? sock : fd_take(&sock);
}

void net_hosts_heard(int watch)
{
	char news[4096];

	ssize_t n;

	/* ENOBUFS: some were lost, no less a reason to look again */
	do
		n = recv(watch, news, sizeof(news), 0);
	while (n > 0 || (n < 0 && (errno == ENOBUFS || errno == EINTR)));
}
