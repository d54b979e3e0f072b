/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links, addresses and routes: rtnetlink(7) through libmnl, as one batch, with the kernel's own
 * words for what it refuses (NETLINK_EXT_ACK). Runs in the network namespace, as a process that
 * has CAP_NET_ADMIN there. libmnl is loaded only here: each step of a build starts this program,
 * and few of those starts configure a network.
 */
#include <dlfcn.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <arpa/inet.h>
#include "rootless/net_private.h"

enum { BATCH_BYTES = 2048, BATCH_MESSAGES = 8 };

#define MNL_FUNCTIONS(X)                                                                           \
	X(mnl_socket_open2)                                                                        \
	X(mnl_socket_bind)                                                                         \
	X(mnl_socket_setsockopt)                                                                   \
	X(mnl_socket_sendto)                                                                       \
	X(mnl_socket_recvfrom)                                                                     \
	X(mnl_socket_get_fd)                                                                       \
	X(mnl_socket_close)                                                                        \
	X(mnl_nlmsg_put_header)                                                                    \
	X(mnl_nlmsg_put_extra_header)                                                              \
	X(mnl_nlmsg_ok)                                                                            \
	X(mnl_nlmsg_next)                                                                          \
	X(mnl_attr_put)                                                                            \
	X(mnl_attr_put_u32)

struct mnl {
	struct mnl_socket *sock;
#define X(name) typeof(name) *name;
	MNL_FUNCTIONS(X)
#undef X
	char bytes[BATCH_BYTES];
	size_t len;
	struct nlmsghdr *message; /* the one under construction */
	const char *what[BATCH_MESSAGES];
	unsigned n;
};

static int mnl_load(struct mnl *mnl, struct rb_err *err)
{
	static const char *const names[] = {
#define X(name) #name,
		MNL_FUNCTIONS(X)
#undef X
	};
	void *const slots[] = {
#define X(name) &mnl->name,
		MNL_FUNCTIONS(X)
#undef X
	};
	void *library = dlopen("libmnl.so.0", RTLD_NOW | RTLD_LOCAL);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		void *symbol = library ? dlsym(library, names[i]) : NULL;

		if (!symbol) {
			err_set(err, RB_LIBMNL, 0, "the library libmnl cannot be loaded");
			err_fix(err, "sudo apt install libmnl0 (Fedora: sudo dnf install libmnl)");
			return -ENOENT;
		}
		memcpy(slots[i], &symbol, sizeof(symbol)); /* dlopen(3), EXAMPLES */
	}
	return 0;
}

static int mnl_open(struct mnl *mnl, unsigned groups, struct rb_err *err)
{
	int one = 1;
	int rc = mnl_load(mnl, err);

	if (rc < 0)
		return rc;
	mnl->sock = mnl->mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!mnl->sock || mnl->mnl_socket_bind(mnl->sock, groups, MNL_SOCKET_AUTOPID) < 0)
		return err_set(err, RB_NETLINK, errno, "netlink socket");
	/* both only make errors clearer: an old kernel may refuse them */
	(void)mnl->mnl_socket_setsockopt(mnl->sock, NETLINK_EXT_ACK, &one, sizeof(one));
	(void)mnl->mnl_socket_setsockopt(mnl->sock, NETLINK_CAP_ACK, &one, sizeof(one));
	return 0;
}

static void mnl_close(struct mnl *mnl)
{
	if (mnl->sock)
		(void)mnl->mnl_socket_close(mnl->sock);
}

/* Begins a message; what says what it does in an error. Returns its family header, zeroed. */
static void *batch_begin(struct mnl *mnl, uint16_t type, uint16_t flags, size_t header,
			 const char *what)
{
	mnl->message = mnl->mnl_nlmsg_put_header(mnl->bytes + mnl->len);
	mnl->message->nlmsg_type = type;
	mnl->message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	mnl->message->nlmsg_seq = ++mnl->n;
	mnl->what[mnl->n - 1] = what;
	return mnl->mnl_nlmsg_put_extra_header(mnl->message, header);
}

static void batch_end(struct mnl *mnl)
{
	mnl->len += MNL_ALIGN(mnl->message->nlmsg_len);
}

static void batch_link_up(struct mnl *mnl, unsigned index, uint32_t mtu, const char *what)
{
	struct ifinfomsg *link = batch_begin(mnl, RTM_NEWLINK, 0, sizeof(*link), what);

	link->ifi_index = (int)index;
	link->ifi_flags = IFF_UP;
	link->ifi_change = IFF_UP;
	if (mtu)
		mnl->mnl_attr_put_u32(mnl->message, IFLA_MTU, mtu);
	batch_end(mnl);
}

static void batch_address(struct mnl *mnl, unsigned index, int family, const void *address,
			  unsigned prefix, const char *what)
{
	struct ifaddrmsg *header = batch_begin(mnl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL,
					       sizeof(*header), what);
	size_t size = family == AF_INET ? 4 : 16;

	header->ifa_family = (uint8_t)family;
	header->ifa_prefixlen = (uint8_t)prefix;
	header->ifa_index = index;
	mnl->mnl_attr_put(mnl->message, IFA_LOCAL, size, address);
	mnl->mnl_attr_put(mnl->message, IFA_ADDRESS, size, address);
	/* nobody else is on this link: usable at once, without a probe for duplicates */
	if (family == AF_INET6)
		mnl->mnl_attr_put_u32(mnl->message, IFA_FLAGS, IFA_F_NODAD);
	batch_end(mnl);
}

static void batch_route(struct mnl *mnl, unsigned index, int family, const void *gateway,
			const char *what)
{
	struct rtmsg *route = batch_begin(mnl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL,
					  sizeof(*route), what);

	route->rtm_family = (uint8_t)family;
	route->rtm_table = RT_TABLE_MAIN;
	route->rtm_protocol = RTPROT_STATIC;
	route->rtm_scope = RT_SCOPE_UNIVERSE;
	route->rtm_type = RTN_UNICAST;
	mnl->mnl_attr_put(mnl->message, RTA_GATEWAY, family == AF_INET ? 4 : 16, gateway);
	mnl->mnl_attr_put_u32(mnl->message, RTA_OIF, index);
	batch_end(mnl);
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

static int ack_check(const struct mnl *mnl, const struct nlmsghdr *message, struct rb_err *err)
{
	const struct nlmsgerr *error = (const void *)(message + 1);
	const char *text = ack_text(message);
	unsigned n = message->nlmsg_seq;

	if (message->nlmsg_len < sizeof(*message) + sizeof(*error) || error->error == 0)
		return 0;
	err_set(err, RB_NETLINK, -error->error, "network: cannot %s%s%.200s",
		n >= 1 && n <= mnl->n ? mnl->what[n - 1] : "configure it", text ? ": " : "",
		text ? text : "");
	err_fix(err, "check --cidr, --mtu and --ifname");
	return error->error;
}

/* Sends the batch in one piece and reads one acknowledgement for each message. */
static int batch_run(struct mnl *mnl, struct rb_err *err)
{
	char buf[8192];
	unsigned left = mnl->n;

	if (mnl->mnl_socket_sendto(mnl->sock, mnl->bytes, mnl->len) < 0)
		return err_set(err, RB_NETLINK, errno, "netlink");
	while (left > 0) {
		ssize_t got = mnl->mnl_socket_recvfrom(mnl->sock, buf, sizeof(buf));
		int len = (int)got;

		if (got < 0)
			return err_set(err, RB_NETLINK, errno, "netlink");
		for (struct nlmsghdr *message = (void *)buf; mnl->mnl_nlmsg_ok(message, len);
		     message = mnl->mnl_nlmsg_next(message, &len)) {
			int rc = message->nlmsg_type == NLMSG_ERROR ? ack_check(mnl, message, err)
								    : 0;

			if (rc < 0)
				return rc;
			left -= message->nlmsg_type == NLMSG_ERROR && left > 0;
		}
	}
	return 0;
}

static void batch_add_link(struct mnl *mnl, const struct net_link *link, unsigned index)
{
	static const struct in6_addr address6 = {{{0xfd, [14] = 1, [15] = 0}}};
	static const struct in6_addr gateway6 = {{{0xfd, [15] = 2}}};
	uint32_t address = htonl(link->address);
	uint32_t gateway = htonl(link->gateway);

	batch_link_up(mnl, index, link->mtu, "bring the tap up");
	batch_address(mnl, index, AF_INET, &address, link->prefix, "set the address");
	batch_route(mnl, index, AF_INET, &gateway, "set the default route");
	if (!link->ipv6)
		return;
	batch_address(mnl, index, AF_INET6, &address6, 64, "set the IPv6 address");
	batch_route(mnl, index, AF_INET6, &gateway6, "set the IPv6 default route");
}

int net_link_configure(const struct net_link *link, struct rb_err *err)
{
	struct mnl mnl = {0};
	int rc = mnl_open(&mnl, 0, err);

	if (rc == 0) {
		/* the loopback interface is the first of every namespace */
		batch_link_up(&mnl, 1, 0, "bring the loopback interface up");
		if (link)
			batch_add_link(&mnl, link, if_nametoindex(link->ifname));
		rc = batch_run(&mnl, err);
	}
	mnl_close(&mnl);
	return rc;
}

int net_link_create_tap(const char *ifname, struct rb_err *err)
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

static bool has_default_route(struct mnl *mnl)
{
	char buf[8192];
	struct rtmsg *route = batch_begin(mnl, RTM_GETROUTE, NLM_F_DUMP, sizeof(*route), "list");
	bool found = false;
	bool done = false;

	route->rtm_family = AF_INET;
	batch_end(mnl);
	if (mnl->mnl_socket_sendto(mnl->sock, mnl->bytes, mnl->len) < 0)
		return false;
	while (!done) {
		ssize_t got = mnl->mnl_socket_recvfrom(mnl->sock, buf, sizeof(buf));
		int len = (int)got;

		if (got <= 0)
			return found;
		for (struct nlmsghdr *message = (void *)buf; mnl->mnl_nlmsg_ok(message, len);
		     message = mnl->mnl_nlmsg_next(message, &len)) {
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
int net_link_await_route(struct rb_err *err)
{
	int64_t deadline = net_now_ms() + NET_READY_MS;
	struct mnl events = {0};
	int rc = mnl_open(&events, RTMGRP_IPV4_ROUTE, err);

	while (rc == 0) {
		struct mnl question = {0};
		struct pollfd fd = {.events = POLLIN};
		char buf[8192];
		bool found;

		rc = mnl_open(&question, 0, err);
		found = rc == 0 && has_default_route(&question);
		mnl_close(&question);
		if (rc < 0 || found)
			break;
		fd.fd = events.mnl_socket_get_fd(events.sock);
		if (poll(&fd, 1, (int)(deadline - net_now_ms())) <= 0) {
			err_set(err, RB_PASTA_FAILED, 0, "pasta has made no route in %d s",
				NET_READY_MS / 1000);
			err_fix(err, "does this host have a default route? Try --net=slirp4netns");
			rc = -ETIMEDOUT;
			break;
		}
		(void)events.mnl_socket_recvfrom(events.sock, buf, sizeof(buf));
	}
	mnl_close(&events);
	return rc;
}
