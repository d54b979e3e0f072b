/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raw ADDRESS PORT: a TCP SYN for ADDRESS as a frame of a packet(7) socket on tap0, past the routes of the namespace. Prints "reached" when a SYN ACK comes back, else "closed".
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
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static uint16_t sum(const uint8_t *bytes, size_t n, uint32_t seed)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		seed += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	while (seed >> 16)
		seed = (seed & 0xffff) + (seed >> 16);
	return (uint16_t)~seed;
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

int main(int argc, char **argv)
{
	static const uint8_t gateway[] = {0x52, 0x55, 0x0a, 0x00, 0x02, 0x02};
	struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct ifreq request = {.ifr_name = "tap0"};
	uint8_t f[54] = {0};
	uint32_t to;
	int sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));

	if (argc != 3 || sock < 0 || inet_pton(AF_INET, argv[1], &to) != 1 ||
	    ioctl(sock, SIOCGIFHWADDR, &request) < 0) {
		perror("raw");
		return 2;
	}
	link.sll_ifindex = (int)if_nametoindex("tap0");
	if (bind(sock, (struct sockaddr *)&link, sizeof(link)) < 0)
		return 2;
	memcpy(f, gateway, 6);
	memcpy(f + 6, request.ifr_hwaddr.sa_data, 6);
	put16(f + 12, ETH_P_IP);
	memcpy(f + 14, (const uint8_t[]){0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 2, 100},
	       16);
	memcpy(f + 30, &to, 4);
	put16(f + 24, sum(f + 14, 20, 0));
	put16(f + 34, (uint16_t)(40000 + getpid() % 20000));
	put16(f + 36, (uint16_t)atoi(argv[2]));
	f[41] = 1;
	f[46] = 0x50;
	f[47] = 2; /* SYN */
	put16(f + 48, 65535);
	{
		uint8_t pseudo[32];

		memcpy(pseudo, f + 26, 8);
		memcpy(pseudo + 8, (const uint8_t[]){0, 6, 0, 20}, 4);
		memcpy(pseudo + 12, f + 34, 20);
		put16(f + 50, sum(pseudo, sizeof(pseudo), 0));
	}
	for (int tries = 0; tries < 2; tries++) {
		struct pollfd fd = {.fd = sock, .events = POLLIN};

		if (send(sock, f, sizeof(f), 0) != (ssize_t)sizeof(f))
			return 2;
		while (poll(&fd, 1, 700) > 0) {
			uint8_t in[2048];
			ssize_t n = recv(sock, in, sizeof(in), 0);

			if (n >= 48 && in[23] == 6 && memcmp(in + 26, &to, 4) == 0 &&
			    (in[47] & 0x12) == 0x12) {
				puts("reached");
				return 0;
			}
		}
	}
	puts("closed");
	return 0;
}
