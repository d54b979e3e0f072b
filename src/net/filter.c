/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter on the tap of a step: filter.h says why. Runs in the parent of slirp4netns. The program
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

/* Offsets in a frame: Ethernet, then IPv4 without a VLAN tag (slirp4netns knows none). */
enum { AT_TYPE = 12, AT_IP = 14, AT_FRAGMENT = 20, AT_PROTOCOL = 23, AT_DESTINATION = 30 };

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

/*
 * slirp4netns translates its name server's address to the host's, whatever the port: the host's
 * resolver is often a program on the host itself. A fragment has no port to look at.
 */
static void only_questions(struct builder *b)
{
	add(b, BPF_LD | BPF_H | BPF_ABS, AT_FRAGMENT, 0, 0);
	drop_if(b, BPF_JSET, 0x3fff);
	add(b, BPF_LD | BPF_B | BPF_ABS, AT_PROTOCOL, 0, 0);
	add(b, BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 2, 0); /* past the next test */
	drop_unless_equal(b, IPPROTO_TCP);
	add(b, BPF_LDX | BPF_B | BPF_MSH, AT_IP, 0, 0);
	add(b, BPF_LD | BPF_H | BPF_IND, AT_IP + 2, 0, 0);
	drop_unless_equal(b, 53);
	let_pass(b);
}

size_t net_filter_build(const struct net_hosts *hosts, uint32_t dns,
			struct sock_filter program[NET_FILTER_INSNS])
{
	struct builder b = {.program = program};

	add(&b, BPF_LD | BPF_H | BPF_ABS, AT_TYPE, 0, 0);
	add(&b, BPF_JMP | BPF_JEQ | BPF_K, 0x0806, 0, 1); /* ARP */
	let_pass(&b);
	drop_unless_equal(&b, 0x0800); /* IPv4 */
	add(&b, BPF_LD | BPF_W | BPF_ABS, AT_DESTINATION, 0, 0);
	drop_if(&b, BPF_JGE, 0xe0000000); /* multicast, reserved, broadcast */
	add(&b, BPF_ALU | BPF_AND | BPF_K, 0xff000000, 0, 0);
	drop_if(&b, BPF_JEQ, 0x7f000000);
	drop_if(&b, BPF_JEQ, 0); /* connect(2) takes 0.0.0.0 for this host */
	add(&b, BPF_LD | BPF_W | BPF_ABS, AT_DESTINATION, 0, 0);
	add(&b, BPF_JMP | BPF_JEQ | BPF_K, dns, 0, 0);
	{
		struct sock_filter *skip = &program[b.n - 1];
		size_t from = b.n;

		only_questions(&b);
		skip->jf = (uint8_t)(b.n - from);
	}
	for (size_t i = 0; i < hosts->n; i++)
		drop_if(&b, BPF_JEQ, hosts->v[i]);
	let_pass(&b);
	return b.n;
}

/* The descriptors of slirp4netns are few; the one that TUNGETIFF knows is its tap. */
static int find_tap(int pidfd)
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

int net_filter_attach(int pidfd, const struct sock_filter *program, size_t n, struct rb_err *err)
{
	struct sock_fprog filter = {.len = (unsigned short)n,
				    .filter = (struct sock_filter *)program};
	CLEANUP_FD int tap = find_tap(pidfd);
	int r = tap < 0 ? tap : sys_ioctl(tap, TUNATTACHFILTER, (unsigned long)&filter);

	if (r < 0) {
		err_set(err, RB_STEP_NET, -r, "cannot close the step's network towards this host");
		err_fix(err, "pidfd_getfd(2) must be allowed by the seccomp profile around this "
			     "process, and kernel.yama.ptrace_scope be below 3");
	}
	return r;
}
