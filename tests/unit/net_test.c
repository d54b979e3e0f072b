/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of a step without a kernel: what its filter lets through, and which resolv.conf it
 * gets. The filter is run by the simulator of classic BPF below, over frames as a step would write
 * them.
 */
#include "tap.h"
#include "net/filter.h"
#include "net/policy.h"
#include "base/sys.h"

enum { DNS = 0x0a000203, HOST = 0xc6336405, OTHER = 0xcb007101 };

struct frame {
	unsigned char bytes[64];
	size_t len;
};

static struct frame make_frame(uint16_t type, uint32_t to, unsigned char protocol, uint16_t port)
{
	struct frame f = {.len = 54};

	f.bytes[12] = (unsigned char)(type >> 8);
	f.bytes[13] = (unsigned char)type;
	f.bytes[14] = 0x45;
	f.bytes[23] = protocol;
	for (int i = 0; i < 4; i++)
		f.bytes[30 + i] = (unsigned char)(to >> (24 - 8 * i));
	f.bytes[36] = (unsigned char)(port >> 8);
	f.bytes[37] = (unsigned char)port;
	return f;
}

static bool load(const struct frame *f, uint32_t at, unsigned size, uint32_t *ret)
{
	*ret = 0;
	if (at + size > f->len)
		return false;
	for (unsigned i = 0; i < size; i++)
		*ret = *ret << 8 | f->bytes[at + i];
	return true;
}

/* filter.rst of the kernel's documentation; an unknown instruction passes nothing. */
static bool passes(const struct sock_filter *program, size_t n, const struct frame *f)
{
	uint32_t a = 0;
	uint32_t x = 0;
	uint32_t mem[BPF_MEMWORDS] = {0};

	for (size_t i = 0; i < n; i++) {
		const struct sock_filter *op = &program[i];
		bool jump = false;

		switch (op->code) {
		case BPF_RET | BPF_K: return op->k != 0;
		case BPF_LD | BPF_B | BPF_ABS:
			if (!load(f, op->k, 1, &a))
				return false;
			break;
		case BPF_LD | BPF_H | BPF_ABS:
			if (!load(f, op->k, 2, &a))
				return false;
			break;
		case BPF_LD | BPF_W | BPF_ABS:
			if (!load(f, op->k, 4, &a))
				return false;
			break;
		case BPF_LD | BPF_MEM: a = mem[op->k]; break;
		case BPF_ST: mem[op->k] = a; break;
		case BPF_LD | BPF_B | BPF_IND:
			if (!load(f, x + op->k, 1, &a))
				return false;
			break;
		case BPF_LD | BPF_H | BPF_IND:
			if (!load(f, x + op->k, 2, &a))
				return false;
			break;
		case BPF_LDX | BPF_B | BPF_MSH:
			if (!load(f, op->k, 1, &x))
				return false;
			x = (x & 15) * 4;
			break;
		case BPF_ALU | BPF_AND | BPF_K: a &= op->k; break;
		case BPF_JMP | BPF_JA: i += op->k; break;
		case BPF_JMP | BPF_JEQ | BPF_K: jump = true; break;
		case BPF_JMP | BPF_JGT | BPF_K: jump = true; break;
		case BPF_JMP | BPF_JGE | BPF_K: jump = true; break;
		case BPF_JMP | BPF_JSET | BPF_K: jump = true; break;
		default: return false;
		}
		if (jump) {
			unsigned how = BPF_OP(op->code);
			bool yes = how == BPF_JEQ   ? a == op->k
				   : how == BPF_JGE ? a >= op->k
				   : how == BPF_JGT ? a > op->k
						    : (a & op->k) != 0;

			i += yes ? op->jt : op->jf;
		}
	}
	return false;
}

static const struct net_hosts some_hosts = {
	.v = {0x7f000001, HOST},
	.n = 2,
	.v6 = {{{0x20010db8, 0, 0, 1}}, {{0x20010db8, 0, 7, 1}}},
	.n6 = 2,
};

static bool closure_lets(const struct net_closure *closure, struct frame f)
{
	struct sock_filter program[NET_FILTER_INSNS];

	return passes(program, net_filter_build(closure, program), &f);
}

static bool lets(struct frame f)
{
	const struct net_closure closure = {.hosts = &some_hosts, .dns = DNS};

	return closure_lets(&closure, f);
}

static void filter_lets_the_world_and_arp_through(void)
{
	CHECK(lets(make_frame(0x0800, OTHER, 6, 80)));
	CHECK(lets(make_frame(0x0800, OTHER, 1, 0)));
	CHECK(lets(make_frame(0x0800, 0x0a000202, 1, 0)));
	CHECK(lets(make_frame(0x0806, 0, 0, 0)));
}

static void filter_drops_what_reaches_this_host(void)
{
	static const uint32_t closed[] = {0x7f000001, 0x7f000035, 0x7fffffff, 0,         0x00ffffff,
					  HOST,       0xe00000fb, 0xefffffff, 0xffffffff};

	for (size_t i = 0; i < ARRAY_LEN(closed); i++) {
		CHECK(!lets(make_frame(0x0800, closed[i], 6, 80)));
		CHECK(!lets(make_frame(0x0800, closed[i], 17, 53)));
	}
	CHECK(lets(make_frame(0x0800, 0x80000000, 6, 80)) &&
	      lets(make_frame(0x0800, 0x7effffff, 6, 80)) &&
	      lets(make_frame(0x0800, 0x01000000, 6, 80)));
}

static void filter_drops_other_protocols_and_stumps(void)
{
	struct frame stump = make_frame(0x0800, OTHER, 6, 80);

	CHECK(!lets(make_frame(0x86dd, OTHER, 6, 80)));
	CHECK(!lets(make_frame(0x8100, OTHER, 6, 80)));
	stump.len = 30;
	CHECK(!lets(stump));
}

static void filter_lets_only_questions_to_the_name_server(void)
{
	struct frame f = make_frame(0x0800, DNS, 17, 53);

	CHECK(lets(f) && lets(make_frame(0x0800, DNS, 6, 53)));
	CHECK(!lets(make_frame(0x0800, DNS, 6, 80)) && !lets(make_frame(0x0800, DNS, 17, 5353)));
	CHECK(!lets(make_frame(0x0800, DNS, 1, 53)) && !lets(make_frame(0x0800, DNS, 132, 53)));
	f.bytes[20] = 0x20; /* more fragments */
	CHECK(!lets(f));
	f.bytes[20] = 0;
	f.bytes[21] = 1; /* a later one */
	CHECK(!lets(f));
	/* options move the port: what stands where it would be otherwise is not believed */
	f = make_frame(0x0800, DNS, 17, 53);
	f.bytes[14] = 0x46;
	CHECK(!lets(f));
	f.bytes[41] = 53;
	CHECK(lets(f));
}

static struct frame with_flags(uint32_t to, unsigned char flags)
{
	struct frame f = make_frame(0x0800, to, 6, 80);

	f.bytes[47] = flags;
	return f;
}

static void filter_lets_a_published_port_answer_and_no_more(void)
{
	const struct net_closure closure = {.hosts = &some_hosts, .dns = DNS, .published = true};
	struct frame f = with_flags(HOST, 0x12);

	CHECK(closure_lets(&closure, f) && closure_lets(&closure, with_flags(HOST, 0x10)));
	CHECK(closure_lets(&closure, with_flags(HOST, 0x11)));
	CHECK(closure_lets(&closure, with_flags(HOST, 0x04)));
	CHECK(!closure_lets(&closure, with_flags(HOST, 0x02)));
	CHECK(!closure_lets(&closure, with_flags(HOST, 0x2b)));
	CHECK(!closure_lets(&closure, with_flags(0x7f000002, 0x12)));
	CHECK(!closure_lets(&closure, make_frame(0x0800, HOST, 17, 80)));
	CHECK(!closure_lets(&closure, make_frame(0x0800, HOST, 1, 80)));
	/* the flags of a fragment stand in the next one */
	f.bytes[20] = 0x20;
	CHECK(!closure_lets(&closure, f));
	/* without published ports there is nothing to answer */
	CHECK(!lets(with_flags(HOST, 0x12)));
	CHECK(closure_lets(&closure, with_flags(OTHER, 0x02)));
}

static void filter_leaves_the_hosts_addresses_open_when_told(void)
{
	const struct net_closure closure = {.dns = DNS};

	CHECK(closure_lets(&closure, make_frame(0x0800, HOST, 6, 80)));
	CHECK(!closure_lets(&closure, make_frame(0x0800, 0x7f000001, 6, 80)));
	CHECK(!closure_lets(&closure, make_frame(0x0800, DNS, 6, 80)));
}

static struct frame make_v6(const uint32_t to[4], unsigned char next, uint16_t port)
{
	struct frame f = {.len = 64};

	f.bytes[12] = 0x86;
	f.bytes[13] = 0xdd;
	f.bytes[20] = next;
	for (int i = 0; i < 16; i++)
		f.bytes[38 + i] = (unsigned char)(to[i / 4] >> (24 - 8 * (i % 4)));
	f.bytes[56] = (unsigned char)(port >> 8);
	f.bytes[57] = (unsigned char)port;
	return f;
}

static bool lets_v6(uint32_t a, uint32_t b, uint32_t c, uint32_t d, struct frame f)
{
	const struct net_closure closure = {.hosts = &some_hosts, .dns = DNS, .ipv6 = true};
	const uint32_t to[] = {a, b, c, d};

	for (int i = 0; i < 16; i++)
		f.bytes[38 + i] = (unsigned char)(to[i / 4] >> (24 - 8 * (i % 4)));
	return closure_lets(&closure, f);
}

static void filter_closes_ipv6_as_well(void)
{
	static const uint32_t nowhere[4];
	const struct frame tcp = make_v6(nowhere, 6, 80);
	const struct frame udp = make_v6(nowhere, 17, 53);
	struct frame icmp = make_v6(nowhere, 58, 0);

	CHECK(lets_v6(0x20010db8, 0, 0, 2, tcp) && lets_v6(0x20010db8, 0, 0, 2, icmp));
	CHECK(lets_v6(0x20010db8, 1, 0, 1, tcp) && lets_v6(0xfd000000, 0, 0, 2, tcp));
	CHECK(!lets_v6(0x20010db8, 0, 0, 1, tcp) && !lets_v6(0x20010db8, 0, 7, 1, udp));
	CHECK(!lets_v6(0, 0, 0, 0, tcp) && !lets_v6(0, 0, 0, 1, tcp));
	CHECK(!lets_v6(0, 0, 0xffff, 0x7f000001, tcp) && !lets_v6(0, 0, 0, 0x7f000001, udp));
	CHECK(lets_v6(0x0064ff9b, 0, 0, 0x08080808, tcp));
	CHECK(lets_v6(0xfd000000, 0, 0, 3, udp) && !lets_v6(0xfd000000, 0, 0, 3, tcp));
	CHECK(!lets_v6(0xfd000000, 0, 0, 3, icmp));
	/* neighbours and routers only */
	CHECK(!lets_v6(0xfe800000, 0, 0, 2, tcp) && !lets_v6(0xff020000, 0, 0, 1, udp));
	CHECK(!lets_v6(0xff020000, 0, 0, 1, icmp));
	icmp.bytes[54] = 135;
	CHECK(lets_v6(0xff020000, 0, 1, 0xff000002, icmp) && lets_v6(0xfebf0000, 0, 0, 2, icmp));
	icmp.bytes[54] = 137;
	CHECK(!lets_v6(0xff020000, 0, 1, 0xff000002, icmp));
	icmp.bytes[54] = 132;
	CHECK(!lets_v6(0xfe800000, 0, 0, 2, icmp));
	/* IPv4 is closed as before */
	CHECK(lets_v6(0, 0, 0, 0, make_frame(0x0806, 0, 0, 0)));
	CHECK(!closure_lets(&(struct net_closure){.hosts = &some_hosts, .dns = DNS, .ipv6 = true},
			    make_frame(0x0800, 0x7f000001, 6, 80)));
}

/* The kernel's own check: attach it to a socket. */
static void filter_is_accepted_by_the_kernel(void)
{
	static struct net_hosts hosts;
	static struct sock_filter program[NET_FILTER_INSNS];
	struct sock_fprog filter = {.filter = program};
	CLEANUP_FD int sock = sys_socket(AF_UNIX, SOCK_DGRAM, 0);

	const struct net_closure closure = {
		.hosts = &hosts, .dns = DNS, .published = true, .ipv6 = true};

	hosts.n = LIMIT_HOST_ADDRESSES;
	hosts.n6 = LIMIT_HOST_V6;
	filter.len = (unsigned short)net_filter_build(&closure, program);
	CHECK(filter.len <= NET_FILTER_INSNS);
	CHECK(setsockopt(sock, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) == 0);
}

static void resolv_of(const char *own, const char *text, const char *expected)
{
	static const struct net_hosts hosts = {.v = {HOST}, .n = 1};
	CLEANUP_ARENA struct arena arena = {0};
	struct net_policy policy;
	const char *got;

	net_policy_slirp(&policy);
	got = net_resolv_conf(&arena, &policy, &hosts, own, text);
	CHECK_STR(got ? got : "as it is", expected);
}

static void resolv_is(const char *text, const char *expected)
{
	resolv_of("nameserver 127.0.0.53\n", text, expected);
}

static void resolv_conf_keeps_what_can_be_reached(void)
{
	resolv_is("nameserver 192.0.2.1\nsearch a.test\n", "as it is");
	resolv_is("nameserver\t192.0.2.1 # a\nnameserver 192.0.2.2\n", "as it is");
}

static void resolv_conf_replaces_servers_that_cannot_be_reached(void)
{
	resolv_is("nameserver 127.0.0.53\noptions edns0\nsearch a.test\n",
		  "nameserver 10.0.2.3\noptions edns0\nsearch a.test\n");
	resolv_is("nameserver 127.0.0.1\nnameserver 192.0.2.1\n",
		  "nameserver 10.0.2.3\nnameserver 192.0.2.1\n");
	resolv_is("nameserver 198.51.100.5\n", "nameserver 10.0.2.3\n"); /* this host's */
	resolv_is("nameserver 10.0.2.3\n", "nameserver 10.0.2.3\n");
	resolv_is("nameserver fd00::3\nnameserver ::1", "nameserver 10.0.2.3\n");
	resolv_is("nameserver 0.0.0.0\n", "nameserver 10.0.2.3\n");
	resolv_is("nameserver 127.0.0.999999999999999999\n", "nameserver 10.0.2.3\n");
}

static void resolv_conf_replaces_the_stand_ins_of_buildkit(void)
{
	static const char text[] = "nameserver 8.8.8.8\nnameserver 8.8.4.4\noptions ndots:1\n";

	resolv_is(text, "nameserver 10.0.2.3\noptions ndots:1\n");
	resolv_of("nameserver 8.8.8.8\nnameserver 8.8.4.4\n", text, "as it is");
	resolv_is("nameserver 1.1.1.1\n", "as it is");
}

static void resolv_conf_without_a_server_gets_one(void)
{
	resolv_is("", "nameserver 10.0.2.3\n");
	resolv_is("search a.test", "search a.test\nnameserver 10.0.2.3\n");
	resolv_is("#nameserver 1.1.1.1\n", "#nameserver 1.1.1.1\nnameserver 10.0.2.3\n");
}

TAP_MAIN(TEST(filter_lets_the_world_and_arp_through), TEST(filter_drops_what_reaches_this_host),
	 TEST(filter_drops_other_protocols_and_stumps),
	 TEST(filter_lets_only_questions_to_the_name_server),
	 TEST(filter_lets_a_published_port_answer_and_no_more),
	 TEST(filter_leaves_the_hosts_addresses_open_when_told), TEST(filter_closes_ipv6_as_well),
	 TEST(filter_is_accepted_by_the_kernel), TEST(resolv_conf_keeps_what_can_be_reached),
	 TEST(resolv_conf_replaces_servers_that_cannot_be_reached),
	 TEST(resolv_conf_replaces_the_stand_ins_of_buildkit),
	 TEST(resolv_conf_without_a_server_gets_one))
