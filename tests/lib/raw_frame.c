/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raw_frame ADDRESS PORT: a TCP SYN for ADDRESS, IPv4 or IPv6, as a frame of a packet(7) socket on
 * tap0, past the routes of the namespace. Prints "reached" when a SYN ACK comes back, else "closed".
 * raw_frame --flood ADDRESS PORT: such frames without end, whatever becomes of the tap.
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ETHER = 14, TCP = 20 };

struct frame {
	uint8_t bytes[ETHER + 40 + TCP];
	size_t len;
	size_t ip;   /* length of its header */
	size_t from; /* where its addresses begin, seen from it */
	size_t size; /* of an address */
};

static uint16_t sum(const uint8_t *bytes, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static int make_ip(struct frame *f, const char *to)
{
	static const uint8_t v4[] = {0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 2, 100};
	static const uint8_t v6[] = {0x60, 0, 0, 0, 0, TCP, 6, 64};
	uint8_t *ip = f->bytes + ETHER;
	int family = strchr(to, ':') ? AF_INET6 : AF_INET;

	f->ip = family == AF_INET ? 20 : 40;
	f->from = family == AF_INET ? 12 : 8;
	f->size = family == AF_INET ? 4 : 16;
	put16(f->bytes + 12, family == AF_INET ? ETH_P_IP : ETH_P_IPV6);
	if (family == AF_INET)
		memcpy(ip, v4, sizeof(v4));
	else
		memcpy(ip, v6, sizeof(v6));
	if (family == AF_INET6)
		(void)inet_pton(AF_INET6, "fd00::100", ip + f->from);
	if (inet_pton(family, to, ip + f->from + f->size) != 1)
		return -1;
	if (family == AF_INET)
		put16(ip + 10, sum(ip, 20));
	return 0;
}

static void make_syn(struct frame *f, uint16_t from, uint16_t port)
{
	uint8_t *tcp = f->bytes + ETHER + f->ip;
	uint8_t pseudo[32 + 4 + TCP] = {0};
	size_t n = 2 * f->size;

	put16(tcp, from);
	put16(tcp + 2, port);
	tcp[7] = 1;
	tcp[12] = 0x50;
	tcp[13] = 2;
	put16(tcp + 14, 65535);
	put16(tcp + 16, 0);
	memcpy(pseudo, f->bytes + ETHER + f->from, n);
	pseudo[n + 1] = 6;
	pseudo[n + 3] = TCP;
	memcpy(pseudo + n + 4, tcp, TCP);
	put16(tcp + 16, sum(pseudo, n + 4 + TCP));
	f->len = ETHER + f->ip + TCP;
}

static int is_answer(const struct frame *f, const uint8_t *in, ssize_t n)
{
	return n >= (ssize_t)f->len && memcmp(in + 12, f->bytes + 12, 2) == 0 &&
	       memcmp(in + ETHER + f->from, f->bytes + ETHER + f->from + f->size, f->size) == 0 &&
	       (in[ETHER + f->ip + 13] & 0x12) == 0x12;
}

static void flood(int sock, struct frame *f, uint16_t port) __attribute__((noreturn));
static void flood(int sock, struct frame *f, uint16_t port)
{
	for (unsigned i = 0;; i++) {
		make_syn(f, (uint16_t)(20000 + i % 40000), port);
		/* the tap is down when nobody has it open */
		if (send(sock, f->bytes, f->len, 0) < 0)
			(void)poll(NULL, 0, 1);
	}
}

static int ask(int sock, struct frame *f, uint16_t port)
{
	make_syn(f, (uint16_t)(20000 + getpid() % 40000), port);
	for (int tries = 0; tries < 2; tries++) {
		struct pollfd fd = {.fd = sock, .events = POLLIN};

		if (send(sock, f->bytes, f->len, 0) != (ssize_t)f->len)
			return 2;
		while (poll(&fd, 1, 700) > 0) {
			uint8_t in[2048];

			if (is_answer(f, in, recv(sock, in, sizeof(in), 0))) {
				puts("reached");
				return 0;
			}
		}
	}
	puts("closed");
	return 0;
}

int main(int argc, char **argv)
{
	static const uint8_t macs[] = {0x52, 0x55, 0x0a, 0, 2, 2, 2, 0, 0, 0, 0, 1};
	struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	int forever = argc == 4 && strcmp(argv[1], "--flood") == 0;
	struct frame f = {.len = 0};

	link.sll_ifindex = (int)if_nametoindex("tap0");
	if (argc != 3 + forever || make_ip(&f, argv[1 + forever]) < 0 ||
	    bind(sock, (struct sockaddr *)&link, sizeof(link)) < 0) {
		perror("raw_frame");
		return 2;
	}
	memcpy(f.bytes, macs, sizeof(macs));
	if (forever)
		flood(sock, &f, (uint16_t)atoi(argv[3]));
	return ask(sock, &f, (uint16_t)atoi(argv[2]));
}
