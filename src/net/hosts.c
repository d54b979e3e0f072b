/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses of this network namespace: those under which a step would reach the host itself.
 * rtnetlink(7) RTM_GETADDR, spoken by hand: it is one question. Reads only.
 */
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include "base/sys.h"
#include "net/filter.h"

static int host_take(struct net_hosts *hosts, const struct nlmsghdr *header)
{
	const struct ifaddrmsg *head = NLMSG_DATA(header);
	int left = (int)IFA_PAYLOAD(header);

	if (head->ifa_family != AF_INET)
		return 0;
	for (struct rtattr *a = IFA_RTA(head); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		uint32_t address;

		if (a->rta_type != IFA_LOCAL || RTA_PAYLOAD(a) != sizeof(address))
			continue;
		if (hosts->n == LIMIT_HOST_ADDRESSES)
			return -E2BIG;
		memcpy(&address, RTA_DATA(a), sizeof(address));
		hosts->v[hosts->n++] = ntohl(address);
	}
	return 0;
}

/* 1: that was the last piece; 0: there is more. */
static int hosts_piece(int sock, struct net_hosts *hosts)
{
	char answer[32768];
	ssize_t n = recv(sock, answer, sizeof(answer), 0);
	size_t left = n < 0 ? 0 : (size_t)n;

	if (n <= 0)
		return n < 0 && errno == EINTR ? 0 : n < 0 ? -errno : -EPROTO;
	for (struct nlmsghdr *h = (struct nlmsghdr *)answer; NLMSG_OK(h, left);
	     h = NLMSG_NEXT(h, left)) {
		int r = 0;

		if (h->nlmsg_type == NLMSG_DONE)
			return 1;
		if (h->nlmsg_type == NLMSG_ERROR)
			return -EPROTO;
		if (h->nlmsg_type == RTM_NEWADDR)
			r = host_take(hosts, h);
		if (r < 0)
			return r;
	}
	return 0;
}

int net_hosts_read(struct net_hosts *ret_hosts, struct rb_err *err)
{
	struct {
		struct nlmsghdr header;
		struct ifaddrmsg body;
	} question = {
		.header = {.nlmsg_len = sizeof(question),
			   .nlmsg_type = RTM_GETADDR,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.body = {.ifa_family = AF_INET},
	};
	CLEANUP_FD int sock = sys_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	int r = sock < 0 ? sock : 0;

	ret_hosts->n = 0;
	if (r == 0 && send(sock, &question, sizeof(question), 0) < 0)
		r = -errno;
	while (r == 0)
		r = hosts_piece(sock, ret_hosts);
	if (r > 0)
		return 0;
	if (r == -E2BIG) {
		err_set(err, RB_STEP_NET, 0,
			"this host has more than %u addresses, too many to close them all",
			LIMIT_HOST_ADDRESSES);
		err_fix(err, "use --step-net=none or --step-net=host");
		return r;
	}
	err_set(err, RB_STEP_NET, -r, "cannot read this host's addresses");
	err_fix(err,
		"AF_NETLINK sockets must be allowed by the seccomp profile around this process");
	return r;
}
