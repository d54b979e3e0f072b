/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links, addresses and routes: rtnetlink(7) through libmnl, as one batch, with the kernel's own
 * words for what it refuses (NETLINK_EXT_ACK). Runs in runbuild-netlink.
 */
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include "base/sys.h"
#include "netlink/netlink.h"

enum { BATCH_BYTES = 2048, BATCH_MESSAGES = 8, READY_MS = 10000 };

struct batch {
	struct mnl_socket *sock;
	char bytes[BATCH_BYTES];
	size_t len;
	struct nlmsghdr *message; /* the one under construction */
	const char *what[BATCH_MESSAGES];
	unsigned n;
};

static int batch_open(struct batch *batch, unsigned groups, struct rb_err *err)
{
	int one = 1;

	batch->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!batch->sock || mnl_socket_bind(batch->sock, groups, MNL_SOCKET_AUTOPID) < 0)
		return err_set(err, RB_NETLINK, errno, "netlink socket");
	/* both only make errors clearer: an old kernel may refuse them */
	(void)mnl_socket_setsockopt(batch->sock, NETLINK_EXT_ACK, &one, sizeof(one));
	(void)mnl_socket_setsockopt(batch->sock, NETLINK_CAP_ACK, &one, sizeof(one));
	return 0;
}

static void batch_close(struct batch *batch)
{
	if (batch->sock)
		(void)mnl_socket_close(batch->sock);
}

/* Begins a message; what says what it does in an error. Returns its family header, zeroed. */
static void *batch_begin(struct batch *batch, uint16_t type, uint16_t flags, size_t header,
			 const char *what)
{
	batch->message = mnl_nlmsg_put_header(batch->bytes + batch->len);
	batch->message->nlmsg_type = type;
	batch->message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	batch->message->nlmsg_seq = ++batch->n;
	batch->what[batch->n - 1] = what;
	return mnl_nlmsg_put_extra_header(batch->message, header);
}

static void batch_end(struct batch *batch)
{
	batch->len += MNL_ALIGN(batch->message->nlmsg_len);
}

static void batch_link_up(struct batch *batch, unsigned index, uint32_t mtu, const char *what)
{
	struct ifinfomsg *link = batch_begin(batch, RTM_NEWLINK, 0, sizeof(*link), what);

	link->ifi_index = (int)index;
	link->ifi_flags = IFF_UP;
	link->ifi_change = IFF_UP;
	if (mtu)
		mnl_attr_put_u32(batch->message, IFLA_MTU, mtu);
	batch_end(batch);
}

static void batch_address(struct batch *batch, unsigned index, int family, const void *address,
			  unsigned prefix, const char *what)
{
	struct ifaddrmsg *header = batch_begin(batch, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL,
					       sizeof(*header), what);
	size_t size = family == AF_INET ? 4 : 16;

	header->ifa_family = (uint8_t)family;
	header->ifa_prefixlen = (uint8_t)prefix;
	header->ifa_index = index;
	mnl_attr_put(batch->message, IFA_LOCAL, size, address);
	mnl_attr_put(batch->message, IFA_ADDRESS, size, address);
	/* nobody else is on this link: usable at once, without a probe for duplicates */
	if (family == AF_INET6)
		mnl_attr_put_u32(batch->message, IFA_FLAGS, IFA_F_NODAD);
	batch_end(batch);
}

/*
 * How TCP behaves towards slirp4netns, which is the other end of every connection and answers from
 * the next process: the network begins behind it, with a TCP of the host's own. A host's choice for
 * long ways (bbr paces with timers) halves what passes, so reno, which every kernel has.
 */
static void batch_metrics(struct batch *batch)
{
	struct nlattr *metrics = mnl_attr_nest_start(batch->message, RTA_METRICS);

	mnl_attr_put_strz(batch->message, RTAX_CC_ALGO, "reno");
	mnl_attr_nest_end(batch->message, metrics);
}

static void batch_route(struct batch *batch, unsigned index, int family, const void *gateway)
{
	struct rtmsg *route = batch_begin(
		batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*route),
		family == AF_INET ? "set the default route" : "set the IPv6 default route");

	route->rtm_family = (uint8_t)family;
	route->rtm_table = RT_TABLE_MAIN;
	route->rtm_protocol = RTPROT_STATIC;
	route->rtm_scope = RT_SCOPE_UNIVERSE;
	route->rtm_type = RTN_UNICAST;
	mnl_attr_put(batch->message, RTA_GATEWAY, family == AF_INET ? 4 : 16, gateway);
	mnl_attr_put_u32(batch->message, RTA_OIF, index);
	batch_metrics(batch);
	batch_end(batch);
}

/* The kernel's text in an acknowledgement, or NULL: netlink(7), NETLINK_EXT_ACK. */
static const char *ack_text(const struct nlmsghdr *message)
{
	const struct nlmsgerr *error = (const void *)(message + 1);
	size_t at = sizeof(*message) + sizeof(*error);

	if (!(message->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(message->nlmsg_flags & NLM_F_CAPPED))
		at += error->msg.nlmsg_len - sizeof(error->msg);
	while (at + sizeof(struct nlattr) <= message->nlmsg_len) {
		const struct nlattr *attr = (const void *)((const char *)message + at);

		if (attr->nla_len < sizeof(*attr) || at + attr->nla_len > message->nlmsg_len)
			return NULL;
		if (attr->nla_type == NLMSGERR_ATTR_MSG)
			return (const char *)(attr + 1); /* '\0'-terminated */
		at += MNL_ALIGN(attr->nla_len);
	}
	return NULL;
}

static int ack_check(const struct batch *batch, const struct nlmsghdr *message, struct rb_err *err)
{
	const struct nlmsgerr *error = (const void *)(message + 1);
	const char *text = ack_text(message);
	unsigned n = message->nlmsg_seq;

	if (message->nlmsg_len < sizeof(*message) + sizeof(*error) || error->error == 0)
		return 0;
	err_set(err, RB_NETLINK, -error->error, "network: cannot %s%s%.200s",
		n >= 1 && n <= batch->n ? batch->what[n - 1] : "configure it", text ? ": " : "",
		text ? text : "");
	err_fix(err, "check --cidr, --mtu and --ifname");
	return error->error;
}

/* Sends the batch in one piece and reads one acknowledgement for each message. */
static int batch_run(struct batch *batch, struct rb_err *err)
{
	char buf[8192];
	unsigned left = batch->n;

	if (mnl_socket_sendto(batch->sock, batch->bytes, batch->len) < 0)
		return err_set(err, RB_NETLINK, errno, "netlink");
	while (left > 0) {
		ssize_t got = mnl_socket_recvfrom(batch->sock, buf, sizeof(buf));
		int len = (int)got;

		if (got < 0)
			return err_set(err, RB_NETLINK, errno, "netlink");
		for (struct nlmsghdr *message = (void *)buf; mnl_nlmsg_ok(message, len);
		     message = mnl_nlmsg_next(message, &len)) {
			int rc = message->nlmsg_type == NLMSG_ERROR ? ack_check(batch, message, err)
								    : 0;

			if (rc < 0)
				return rc;
			left -= message->nlmsg_type == NLMSG_ERROR && left > 0;
		}
	}
	return 0;
}

static void batch_add_link(struct batch *batch, const struct netlink_link *link, unsigned index)
{
	static const struct in6_addr address6 = {{{0xfd, [14] = 1, [15] = 0}}};
	static const struct in6_addr gateway6 = {{{0xfd, [15] = 2}}};
	uint32_t address = htonl(link->address);
	uint32_t gateway = htonl(link->gateway);

	batch_link_up(batch, index, link->mtu, "bring the tap up");
	batch_address(batch, index, AF_INET, &address, link->prefix, "set the address");
	batch_route(batch, index, AF_INET, &gateway);
	if (!link->ipv6)
		return;
	batch_address(batch, index, AF_INET6, &address6, 64, "set the IPv6 address");
	batch_route(batch, index, AF_INET6, &gateway6);
}

int netlink_configure(const struct netlink_link *link, struct rb_err *err)
{
	struct batch batch = {0};
	int rc = batch_open(&batch, 0, err);

	if (rc == 0) {
		/* the loopback interface is the first of every namespace */
		batch_link_up(&batch, 1, 0, "bring the loopback interface up");
		if (link)
			batch_add_link(&batch, link, if_nametoindex(link->ifname));
		rc = batch_run(&batch, err);
	}
	batch_close(&batch);
	return rc;
}

/* ip-rule(8): fwmark MARK lookup MARK priority MARK. */
static void batch_rule(struct batch *batch, uint32_t mark)
{
	struct fib_rule_hdr *rule = batch_begin(batch, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL,
						sizeof(*rule), "route by a mark");

	rule->family = AF_INET;
	rule->action = FR_ACT_TO_TBL;
	/* one without a priority is never the same as another: it would be made each time */
	mnl_attr_put_u32(batch->message, FRA_PRIORITY, mark);
	mnl_attr_put_u32(batch->message, FRA_FWMARK, mark);
	mnl_attr_put_u32(batch->message, FRA_TABLE, mark);
	batch_end(batch);
}

/* ip-route(8): local 0.0.0.0/0 dev lo table MARK. */
static void batch_all_local(struct batch *batch, uint32_t table)
{
	struct rtmsg *route = batch_begin(batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL,
					  sizeof(*route), "route to ourselves");

	route->rtm_family = AF_INET;
	route->rtm_protocol = RTPROT_STATIC;
	route->rtm_scope = RT_SCOPE_HOST;
	route->rtm_type = RTN_LOCAL;
	mnl_attr_put_u32(batch->message, RTA_TABLE, table);
	mnl_attr_put_u32(batch->message, RTA_OIF, 1); /* the loopback interface */
	batch_end(batch);
}

/* EEXIST: an earlier forwarder of this namespace has made them. */
int netlink_way_back(uint32_t mark, struct rb_err *err)
{
	struct batch batch = {0};
	int rc = batch_open(&batch, 0, err);

	if (rc == 0) {
		batch_rule(&batch, mark);
		batch_all_local(&batch, mark);
		rc = batch_run(&batch, err);
	}
	batch_close(&batch);
	return rc == -EEXIST ? 0 : rc;
}

static bool has_default_route(struct batch *batch)
{
	char buf[8192];
	struct rtmsg *route = batch_begin(batch, RTM_GETROUTE, NLM_F_DUMP, sizeof(*route), "list");
	bool found = false;
	bool done = false;

	route->rtm_family = AF_INET;
	batch_end(batch);
	if (mnl_socket_sendto(batch->sock, batch->bytes, batch->len) < 0)
		return false;
	while (!done) {
		ssize_t got = mnl_socket_recvfrom(batch->sock, buf, sizeof(buf));
		int len = (int)got;

		if (got <= 0)
			return found;
		for (struct nlmsghdr *message = (void *)buf; mnl_nlmsg_ok(message, len);
		     message = mnl_nlmsg_next(message, &len)) {
			const struct rtmsg *seen = (const void *)(message + 1);

			done |= message->nlmsg_type == NLMSG_DONE ||
				message->nlmsg_type == NLMSG_ERROR;
			found |= message->nlmsg_type == RTM_NEWROUTE && seen->rtm_dst_len == 0 &&
				 seen->rtm_table == RT_TABLE_MAIN;
		}
	}
	return found;
}

/* Subscribed before it looks: a route that comes in between wakes it up. */
int netlink_await_route(struct rb_err *err)
{
	int64_t deadline = sys_now_ms() + READY_MS;
	struct batch events = {0};
	int rc = batch_open(&events, RTMGRP_IPV4_ROUTE, err);

	while (rc == 0) {
		struct batch question = {0};
		struct pollfd fd = {.events = POLLIN};
		char buf[8192];
		bool found;

		rc = batch_open(&question, 0, err);
		found = rc == 0 && has_default_route(&question);
		batch_close(&question);
		if (rc < 0 || found)
			break;
		fd.fd = mnl_socket_get_fd(events.sock);
		if (poll(&fd, 1, (int)(deadline - sys_now_ms())) <= 0) {
			err_set(err, RB_PASTA_FAILED, 0, "pasta has made no route in %d s",
				READY_MS / 1000);
			err_fix(err, "does this host have a default route? Try --net=slirp4netns");
			rc = -ETIMEDOUT;
			break;
		}
		(void)mnl_socket_recvfrom(events.sock, buf, sizeof(buf));
	}
	batch_close(&events);
	return rc;
}
