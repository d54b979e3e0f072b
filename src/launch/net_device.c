/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network device of the runtime's namespace, moved into the child's: runtime-spec
 * config-linux.md#network-devices. Runs in the parent; a short-lived process enters the child's
 * namespace to give the device its addresses back and set it up. rtnetlink(7), spoken by hand:
 * a handful of messages need no library.
 */
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include "launch/launch_private.h"

enum { NET_MESSAGE_BYTES = 1024, NET_ADDRESSES_MAX = 128 };

struct net_message {
	struct nlmsghdr header;
	char body[NET_MESSAGE_BYTES];
};

/* A permanent, global address as the kernel described it. */
struct net_address {
	struct ifaddrmsg head;
	unsigned char local[16], peer[16];
	unsigned char len;
	bool has_peer;
};

struct net_addresses {
	struct net_address v[NET_ADDRESSES_MAX];
	size_t n;
};

static void net_attribute(struct net_message *m, unsigned short type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)m + NLMSG_ALIGN(m->header.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), data, len);
	m->header.nlmsg_len = NLMSG_ALIGN(m->header.nlmsg_len) + (uint32_t)RTA_ALIGN(a->rta_len);
}

static int net_open(void)
{
	return sys_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
}

/* Sends a request and takes its acknowledgement: 0 or -errno. */
static int net_request(int sock, struct net_message *m)
{
	char answer[4096];
	struct nlmsghdr *header = (struct nlmsghdr *)answer;
	ssize_t n;

	m->header.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (send(sock, m, m->header.nlmsg_len, 0) < 0)
		return -errno;
	do
		n = recv(sock, answer, sizeof(answer), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (!NLMSG_OK(header, (size_t)n) || header->nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return ((struct nlmsgerr *)NLMSG_DATA(header))->error;
}

static void address_take(struct net_addresses *all, const struct nlmsghdr *header, unsigned index)
{
	const struct ifaddrmsg *head = NLMSG_DATA(header);
	struct net_address address = {.head = *head};
	int left = (int)IFA_PAYLOAD(header);
	bool local = false;

	if (head->ifa_index != index || head->ifa_scope != RT_SCOPE_UNIVERSE ||
	    !(head->ifa_flags & IFA_F_PERMANENT) || all->n == NET_ADDRESSES_MAX)
		return;
	for (struct rtattr *a = IFA_RTA(head); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		size_t len = RTA_PAYLOAD(a);

		if (len > sizeof(address.local))
			continue;
		if (a->rta_type == IFA_LOCAL) {
			memcpy(address.local, RTA_DATA(a), len);
			address.len = (unsigned char)len;
			local = true;
		} else if (a->rta_type == IFA_ADDRESS) {
			memcpy(address.peer, RTA_DATA(a), len);
			address.len = (unsigned char)len;
			address.has_peer = true;
		}
	}
	/* IPv6 has no IFA_LOCAL unless there is a peer */
	if (!local)
		memcpy(address.local, address.peer, sizeof(address.local));
	if (address.len)
		all->v[all->n++] = address;
}

/* RTM_GETADDR: all devices' addresses; those of one device are kept. */
static int addresses_read(int sock, unsigned index, struct net_addresses *ret)
{
	struct net_message m = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
			   .nlmsg_type = RTM_GETADDR,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
	};
	char answer[32768];

	ret->n = 0;
	if (send(sock, &m, m.header.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t n = recv(sock, answer, sizeof(answer), 0);
		size_t left = n < 0 ? 0 : (size_t)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPROTO;
		for (struct nlmsghdr *h = (struct nlmsghdr *)answer; NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return -EPROTO;
			if (h->nlmsg_type == RTM_NEWADDR)
				address_take(ret, h, index);
		}
	}
}

/* RTM_NEWLINK with another namespace and name moves the device. */
static int device_move(int sock, unsigned index, int ns, const char *new_name)
{
	struct net_message m = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			   .nlmsg_type = RTM_NEWLINK},
	};
	struct ifinfomsg head = {
		.ifi_family = AF_UNSPEC, .ifi_index = (int)index, .ifi_change = IFF_UP};
	uint32_t fd = (uint32_t)ns;

	memcpy(m.body, &head, sizeof(head));
	net_attribute(&m, IFLA_NET_NS_FD, &fd, sizeof(fd));
	net_attribute(&m, IFLA_IFNAME, new_name, strlen(new_name) + 1);
	return net_request(sock, &m);
}

static int device_up(int sock, unsigned index)
{
	struct net_message m = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			   .nlmsg_type = RTM_NEWLINK},
	};
	struct ifinfomsg head = {.ifi_family = AF_UNSPEC,
				 .ifi_index = (int)index,
				 .ifi_flags = IFF_UP,
				 .ifi_change = IFF_UP};

	memcpy(m.body, &head, sizeof(head));
	return net_request(sock, &m);
}

static int address_add(int sock, unsigned index, const struct net_address *address)
{
	struct net_message m = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
			   .nlmsg_type = RTM_NEWADDR,
			   .nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE},
	};
	struct ifaddrmsg head = address->head;

	head.ifa_index = index;
	memcpy(m.body, &head, sizeof(head));
	net_attribute(&m, IFA_LOCAL, address->local, address->len);
	if (address->has_peer)
		net_attribute(&m, IFA_ADDRESS, address->peer, address->len);
	return net_request(sock, &m);
}

/* In the helper, inside the child's namespace. The index survives the move or is looked up. */
static int device_finish(const char *name, const struct net_addresses *addresses)
{
	unsigned index = if_nametoindex(name);
	int sock = net_open();
	int r = sock < 0 ? sock : index == 0 ? -ENODEV : 0;

	for (size_t i = 0; r == 0 && i < addresses->n; i++)
		r = address_add(sock, index, &addresses->v[i]);
	if (r == 0)
		r = device_up(sock, index);
	fd_close(&sock);
	return r;
}

/* A process that may enter the child's namespace and leave it by ending. */
static int run_inside(int ns, int user, const char *name, const struct net_addresses *addresses)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	siginfo_t info = {0};
	pid_t pid = sys_clone3(&args);
	int r;

	if (pid < 0)
		return pid;
	if (pid == 0) {
		r = sys_setns(ns, CLONE_NEWNET);
		if (r == -EPERM && user >= 0 && sys_setns(user, CLONE_NEWUSER) == 0)
			r = sys_setns(ns, CLONE_NEWNET);
		if (r == 0)
			r = device_finish(name, addresses);
		sys_exit(-r & 0xff);
	}
	r = sys_wait_pidfd(pidfd, &info, WEXITED);
	close(pidfd);
	if (r < 0)
		return r;
	return info.si_code == CLD_EXITED ? -info.si_status : -ECANCELED;
}

static int device_failed(const char *name, const char *what, int r, struct rb_err *err)
{
	err_set(err, RB_NETDEV, -r, "cannot %s the network device '%s'", what, name);
	if (r == -EEXIST)
		err_fix(err, "the container's namespace has a device of that name already");
	else if (r == -EPERM)
		err_fix(err, "it needs CAP_NET_ADMIN in the user namespace that owns it");
	else if (r == -EINVAL)
		err_fix(err, "devices like lo cannot be moved");
	return r;
}

static int device_take(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	const char *name = plan_str(l->plan, op->str[0]);
	const char *new_name = plan_str(l->plan, op->str[1]);
	struct net_addresses *addresses = arena_alloc(l->context->arena, sizeof(*addresses));
	unsigned index = if_nametoindex(name);
	CLEANUP_FD int sock = net_open();
	CLEANUP_FD int ns = -1;
	CLEANUP_FD int user = -1;
	char path[64];
	int r;

	if (!addresses || sock < 0)
		return err_set(err, RB_NETDEV, sock < 0 ? -sock : ENOMEM, "network devices");
	if (index == 0)
		return device_failed(name, "find", -ENODEV, err);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)l->pid);
	ns = sys_openat(AT_FDCWD, path, O_RDONLY, 0);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)l->pid);
	user = sys_openat(AT_FDCWD, path, O_RDONLY, 0);
	r = ns < 0 ? ns : addresses_read(sock, index, addresses);
	if (r == 0)
		r = device_move(sock, index, ns, new_name);
	if (r < 0)
		return device_failed(name, "move", r, err);
	/* with a pattern the kernel chooses the name, and nobody can ask for addresses by it */
	if (strchr(new_name, '%'))
		return 0;
	r = run_inside(ns, user, new_name, addresses);
	return r < 0 ? device_failed(new_name, "set up", r, err) : 0;
}

int launch_net_device(struct launch *l, const struct plan_op *op, struct rb_err *err)
{
	int r = device_take(l, op, err);

	if (r < 0)
		err_origin(err, plan_str(l->plan, op->origin));
	return r;
}
