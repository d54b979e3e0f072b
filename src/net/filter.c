/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter on the tap of slirp4netns: filter.h says why. Runs in the parent of slirp4netns. The program
 * is classic BPF, which needs no privilege over the kernel, and it belongs to the descriptor that
 * slirp4netns has of the tap: whoever is in the namespace, with whatever capability there, has no
 * way to that descriptor. The kernel runs it over every frame, also over those of packet(7) sockets
 * that leave queueing disciplines and netfilter out.
 */
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include "base/sys.h"
#include "net/filter.h"

/*
 * Offsets in a frame: Ethernet, then IPv4 or IPv6 without a VLAN tag (slirp4netns knows none) and
 * without extension headers (libslirp looks at nothing behind one).
 */
enum {
	AT_TYPE = 12,
	AT_IP = 14,
	AT_FRAGMENT = 20,
	AT_PROTOCOL = 23,
	AT_DESTINATION = 30,
	AT_V6_NEXT = 20,
	AT_V6_DESTINATION = 38,
	AT_V6_PAYLOAD = 54
};

struct builder {
	struct sock_filter *program;
	size_t n;
};

static void add(struct builder *b, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	b->program[b->n++] = (struct sock_filter){.code = code, .jt = jt, .jf = jf, .k = k};
}

/* If the accumulator compares so with k, the frame is dropped. */
static void drop_if(struct builder *b, uint16_t compare, uint32_t k)
{
	add(b, (uint16_t)(BPF_JMP | compare | BPF_K), k, 0, 1);
	add(b, BPF_RET | BPF_K, 0, 0, 0);
}

static void drop_unless_equal(struct builder *b, uint32_t k)
{
	add(b, BPF_JMP | BPF_JEQ | BPF_K, k, 1, 0);
	add(b, BPF_RET | BPF_K, 0, 0, 0);
}

static void let_pass(struct builder *b)
{
	add(b, BPF_RET | BPF_K, UINT32_MAX, 0, 0);
}

static void drop(struct builder *b)
{
	add(b, BPF_RET | BPF_K, 0, 0, 0);
}

/* A jump of any length: that of a condition has eight bits. */
static size_t jump_later(struct builder *b)
{
	add(b, BPF_JMP | BPF_JA, 0, 0, 0);
	return b->n - 1;
}

static void jump_lands_here(struct builder *b, size_t jump)
{
	b->program[jump].k = (uint32_t)(b->n - jump - 1);
}

/* Jumps when the accumulator is k. */
static size_t jump_if_equal(struct builder *b, uint32_t k)
{
	add(b, BPF_JMP | BPF_JEQ | BPF_K, k, 0, 1);
	return jump_later(b);
}

/* A fragment has no port and no flags to look at. */
static void no_fragments(struct builder *b)
{
	add(b, BPF_LD | BPF_H | BPF_ABS, AT_FRAGMENT, 0, 0);
	drop_if(b, BPF_JSET, 0x3fff);
}

static void only_ports(struct builder *b, uint32_t at_protocol)
{
	add(b, BPF_LD | BPF_B | BPF_ABS, at_protocol, 0, 0);
	add(b, BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 2, 0); /* past the next test */
	drop_unless_equal(b, IPPROTO_TCP);
}

/*
 * slirp4netns translates its name server's address to the host's, whatever the port: the host's
 * resolver is often a program on the host itself.
 */
static void only_questions(struct builder *b)
{
	no_fragments(b);
	only_ports(b, AT_PROTOCOL);
	add(b, BPF_LDX | BPF_B | BPF_MSH, AT_IP, 0, 0);
	add(b, BPF_LD | BPF_H | BPF_IND, AT_IP + 2, 0, 0);
	drop_unless_equal(b, 53);
	let_pass(b);
}

/*
 * To one of the host's own addresses: TCP but for its beginning. A client there that uses a
 * published port keeps its address, and only a SYN makes a connection in libslirp (tcp_input());
 * what belongs to none is answered with a reset. UDP has no beginning to tell apart.
 */
static void only_answers(struct builder *b)
{
	no_fragments(b);
	add(b, BPF_LD | BPF_B | BPF_ABS, AT_PROTOCOL, 0, 0);
	drop_unless_equal(b, IPPROTO_TCP);
	add(b, BPF_LDX | BPF_B | BPF_MSH, AT_IP, 0, 0);
	add(b, BPF_LD | BPF_B | BPF_IND, AT_IP + 13, 0, 0);
	add(b, BPF_ALU | BPF_AND | BPF_K, 0x12, 0, 0); /* SYN, ACK */
	drop_if(b, BPF_JEQ, 0x02);
	let_pass(b);
}

/* The last rule for IPv4. */
static void close_hosts(struct builder *b, const struct net_closure *closure)
{
	size_t n = closure->hosts ? closure->hosts->n : 0;
	size_t first = b->n + 1;

	for (size_t i = 0; i < n; i++)
		(void)jump_if_equal(b, closure->hosts->v[i]);
	let_pass(b);
	for (size_t i = 0; i < n; i++)
		jump_lands_here(b, first + 2 * i);
	if (closure->published)
		only_answers(b);
	else
		drop(b);
}

static void build_v4(struct builder *b, const struct net_closure *closure)
{
	size_t question;
	size_t other;

	add(b, BPF_LD | BPF_W | BPF_ABS, AT_DESTINATION, 0, 0);
	drop_if(b, BPF_JGE, 0xe0000000); /* multicast, reserved, broadcast */
	add(b, BPF_ALU | BPF_AND | BPF_K, 0xff000000, 0, 0);
	drop_if(b, BPF_JEQ, 0x7f000000);
	drop_if(b, BPF_JEQ, 0); /* connect(2) takes 0.0.0.0 for this host */
	add(b, BPF_LD | BPF_W | BPF_ABS, AT_DESTINATION, 0, 0);
	question = jump_if_equal(b, closure->dns);
	other = jump_later(b);
	jump_lands_here(b, question);
	only_questions(b);
	jump_lands_here(b, other);
	close_hosts(b, closure);
}

/*
 * Of ICMPv6 types 133 to 136: neighbours and routers. Whatever else is sent to a multicast address
 * libslirp takes for the host.
 */
static void only_neighbours(struct builder *b)
{
	add(b, BPF_LD | BPF_B | BPF_ABS, AT_V6_NEXT, 0, 0);
	drop_unless_equal(b, IPPROTO_ICMPV6);
	add(b, BPF_LD | BPF_B | BPF_ABS, AT_V6_PAYLOAD, 0, 0);
	drop_if(b, BPF_JGT, 136);
	add(b, BPF_JMP | BPF_JGE | BPF_K, 133, 1, 0);
	drop(b);
	let_pass(b);
}

static void only_questions_v6(struct builder *b)
{
	only_ports(b, AT_V6_NEXT);
	add(b, BPF_LD | BPF_H | BPF_ABS, AT_V6_PAYLOAD + 2, 0, 0);
	drop_unless_equal(b, 53);
	let_pass(b);
}

/* Is the destination, in M[0] to M[3], this address? What follows has `then` instructions. */
static void unless_v6(struct builder *b, const struct net_v6 *address, uint8_t then)
{
	/* the last word is what tells addresses apart */
	for (size_t i = 4; i-- > 0;) {
		add(b, BPF_LD | BPF_MEM, (uint32_t)i, 0, 0);
		add(b, BPF_JMP | BPF_JEQ | BPF_K, address->word[i], 0, (uint8_t)(2 * i + then));
	}
}

static void build_v6(struct builder *b, const struct net_closure *closure)
{
	static const struct net_v6 dns = {{0xfd000000, 0, 0, 3}}; /* slirp4netns(1) */
	size_t links[2];
	size_t question;
	size_t other;

	for (uint32_t i = 0; i < 4; i++) {
		add(b, BPF_LD | BPF_W | BPF_ABS, AT_V6_DESTINATION + 4 * i, 0, 0);
		add(b, BPF_ST, i, 0, 0);
	}
	/* ::/64: no address, loopback, addresses of IPv4 in IPv6 */
	add(b, BPF_LD | BPF_MEM, 1, 0, 0);
	add(b, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3);
	add(b, BPF_LD | BPF_MEM, 0, 0, 0);
	drop_if(b, BPF_JEQ, 0);
	add(b, BPF_LD | BPF_MEM, 0, 0, 0);
	add(b, BPF_ALU | BPF_AND | BPF_K, 0xff000000, 0, 0);
	links[0] = jump_if_equal(b, 0xff000000);
	add(b, BPF_LD | BPF_MEM, 0, 0, 0);
	add(b, BPF_ALU | BPF_AND | BPF_K, 0xffc00000, 0, 0);
	links[1] = jump_if_equal(b, 0xfe800000);
	unless_v6(b, &dns, 1);
	question = jump_later(b);
	for (size_t i = 0; closure->hosts && i < closure->hosts->n6; i++) {
		unless_v6(b, &closure->hosts->v6[i], 1);
		drop(b);
	}
	other = jump_later(b);
	jump_lands_here(b, question);
	only_questions_v6(b);
	jump_lands_here(b, links[0]);
	jump_lands_here(b, links[1]);
	only_neighbours(b);
	jump_lands_here(b, other);
	let_pass(b);
}

size_t net_filter_build(const struct net_closure *closure,
			struct sock_filter program[NET_FILTER_INSNS])
{
	struct builder b = {.program = program};
	size_t v6 = 0;

	add(&b, BPF_LD | BPF_H | BPF_ABS, AT_TYPE, 0, 0);
	add(&b, BPF_JMP | BPF_JEQ | BPF_K, 0x0806, 0, 1); /* ARP */
	let_pass(&b);
	if (closure->ipv6)
		v6 = jump_if_equal(&b, 0x86dd);
	drop_unless_equal(&b, 0x0800);
	build_v4(&b, closure);
	if (closure->ipv6) {
		jump_lands_here(&b, v6);
		build_v6(&b, closure);
	}
	return b.n;
}

/* The descriptors of slirp4netns are few; the one that TUNGETIFF knows is its tap. */
int net_tap_find(int pidfd)
{
	for (int number = 3; number < 64; number++) {
		/* close-on-exec by itself: pidfd_getfd(2) */
		CLEANUP_FD int fd = (int)SYS_CALL(SYS_pidfd_getfd, pidfd, number, 0);
		struct ifreq request = {0};

		if (fd == -EBADF)
			continue;
		if (fd < 0)
			return fd;
		if (sys_ioctl(fd, TUNGETIFF, (unsigned long)&request) == 0)
			return fd_take(&fd);
	}
	return -ENODEV;
}

int net_tap_filter(int tap, const struct sock_filter *program, size_t n)
{
	struct sock_fprog filter = {.len = (unsigned short)n,
				    .filter = (struct sock_filter *)program};

	return sys_ioctl(tap, TUNATTACHFILTER, (unsigned long)&filter);
}

void net_tap_drain(int tap)
{
	struct pollfd fd = {.fd = tap, .events = POLLIN};
	char frame[65536];

	/* whoever goes on writing writes through the filter; the queue has 1000 places: netdevice(7) */
	for (size_t i = 0; i < 16384 && poll(&fd, 1, 0) > 0 && (fd.revents & POLLIN); i++)
		if (read(tap, frame, sizeof(frame)) < 0)
			return;
}

int net_filter_failed(int rc, struct rb_err *err)
{
	err_set(err, RB_NET_FILTER, rc == -ENODEV ? 0 : -rc,
		rc == -ENODEV ? "slirp4netns has no tap to put a filter on"
			      : "cannot close the network towards this host");
	if (rc == -ENODEV)
		err_fix(err, "use slirp4netns itself, not a program that starts it");
	else
		err_fix(err, "pidfd_getfd(2) must be allowed by the seccomp profile around this "
			     "process, and kernel.yama.ptrace_scope be below 3");
	return rc;
}

int net_filter_attach(int pidfd, const struct sock_filter *program, size_t n, struct rb_err *err)
{
	CLEANUP_FD int tap = net_tap_find(pidfd);
	int r = tap < 0 ? tap : net_tap_filter(tap, program, n);

	return r < 0 ? net_filter_failed(r, err) : r;
}

int net_close_now(struct arena *arena, int pidfd, struct net_closure closure, struct rb_err *err)
{
	struct net_hosts *hosts = arena_alloc(arena, sizeof(*hosts));
	struct sock_filter *program = arena_array(arena, NET_FILTER_INSNS, sizeof(*program));
	int r = hosts && program ? net_hosts_read(hosts, err)
				 : err_set(err, RB_NO_MEMORY, ENOMEM, "network");

	closure.hosts = hosts;
	return r < 0 ? r
		     : net_filter_attach(pidfd, program, net_filter_build(&closure, program), err);
}
