/* SPDX-License-Identifier: Apache-2.0 */
/* rtnl.h. Runs in the launcher, the runtime of a step or the pool; reads only, needs no privilege. */
#include <net/if.h>
#include <netinet/in.h>
#include "base/sys.h"
#include "net/rtnl.h"

struct dump {
	uint16_t reply;
	int (*take)(const struct nlmsghdr *answer, void *data);
	void *data;
};

/* 1: that was the last piece; 0: there is more. */
static int dump_piece(int sock, const struct dump *dump)
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
		if (h->nlmsg_type == dump->reply)
			r = dump->take(h, dump->data);
		if (r < 0)
			return r;
	}
	return 0;
}

int rtnl_dump(uint16_t question, unsigned char family, uint16_t reply,
	      int (*take)(const struct nlmsghdr *answer, void *data), void *data)
{
	struct {
		struct nlmsghdr header;
		struct rtgenmsg body;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = question,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.body = {.rtgen_family = family},
	};
	const struct dump dump = {.reply = reply, .take = take, .data = data};
	CLEANUP_FD int sock = sys_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	int r = sock < 0 ? sock : 0;

	if (r == 0 && send(sock, &request, sizeof(request), 0) < 0)
		r = -errno;
	while (r == 0)
		r = dump_piece(sock, &dump);
	return r < 0 ? r : 0;
}

struct search {
	uint32_t network;
	unsigned prefix;
	bool found;
	struct rtnl_route route;
};

static uint32_t word_of(const struct rtattr *attribute)
{
	uint32_t word = 0;

	if (RTA_PAYLOAD(attribute) >= sizeof(word))
		memcpy(&word, RTA_DATA(attribute), sizeof(word));
	return word;
}

static int route_take(const struct nlmsghdr *answer, void *data)
{
	const struct rtmsg *head = NLMSG_DATA(answer);
	struct search *search = data;
	unsigned bits = head->rtm_dst_len < search->prefix ? head->rtm_dst_len : search->prefix;
	int left = (int)RTM_PAYLOAD(answer);
	uint32_t network = 0;
	uint32_t link = 0;

	if (search->found || head->rtm_type != RTN_UNICAST || head->rtm_dst_len == 0)
		return 0;
	for (struct rtattr *a = RTM_RTA(head); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == RTA_DST)
			network = ntohl(word_of(a));
		if (a->rta_type == RTA_OIF)
			link = word_of(a);
	}
	if (bits == 0 || (network ^ search->network) >> (32 - bits) != 0)
		return 0;
	search->found = true;
	search->route = (struct rtnl_route){.network = network, .prefix = head->rtm_dst_len};
	(void)if_indextoname(link, search->route.ifname);
	return 0;
}

int rtnl_find_route(uint32_t network, unsigned prefix, struct rtnl_route *ret_route)
{
	struct search search = {.network = network, .prefix = prefix};
	int r = rtnl_dump(RTM_GETROUTE, AF_INET, RTM_NEWROUTE, route_take, &search);

	if (r == 0 && search.found)
		*ret_route = search.route;
	return r < 0 ? r : search.found;
}
