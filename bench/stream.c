// SPDX-License-Identifier: Apache-2.0
/*
 * The two ends of a TCP connection that carries a given number of bytes at a time. `stream serve`
 * waits on a port and forks for each connection; `stream client` connects, reads
 * numbers of bytes from its standard input, moves each through the connection and writes what that
 * cost: nanoseconds, its own processor time and that of the other end.
 *
 * A transfer is over when its receiver has all of it: what buffers hold when a clock runs out is
 * nobody's, and would be moved in the time of whoever comes next.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* iperf3's */
enum { BLOCK_BYTES = 128 * 1024 };

/* What the client asks for and what the server answers, after a download and after an upload. */
struct request {
	uint64_t bytes;
	uint64_t upload;
};

struct answer {
	int64_t cpu_ns;
};

static char block[BLOCK_BYTES];

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool send_bytes(int sock, const void *from, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = send(sock, (const char *)from + done, size - done, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return false;
		done += n > 0 ? (size_t)n : 0;
	}
	return true;
}

static bool receive_bytes(int sock, void *into, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = recv(sock, (char *)into + done, size - done, 0);

		if (n == 0 || (n < 0 && errno != EINTR))
			return false;
		done += n > 0 ? (size_t)n : 0;
	}
	return true;
}

static size_t next_block(uint64_t left)
{
	return left < sizeof(block) ? (size_t)left : sizeof(block);
}

static bool send_payload(int sock, uint64_t bytes)
{
	for (uint64_t left = bytes; left > 0; left -= next_block(left))
		if (!send_bytes(sock, block, next_block(left)))
			return false;
	return true;
}

/* What has come, however little: a receiver that waits for whole blocks would sleep more. */
static bool receive_payload(int sock, uint64_t bytes)
{
	while (bytes > 0) {
		ssize_t n = recv(sock, block, next_block(bytes), 0);

		if (n == 0 || (n < 0 && errno != EINTR))
			return false;
		bytes -= n > 0 ? (uint64_t)n : 0;
	}
	return true;
}

static void serve_connection(int sock)
{
	struct request request;

	while (receive_bytes(sock, &request, sizeof(request))) {
		int64_t from = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
		struct answer answer;

		if (request.upload ? !receive_payload(sock, request.bytes)
				   : !send_payload(sock, request.bytes))
			return;
		answer.cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - from;
		if (!send_bytes(sock, &answer, sizeof(answer)))
			return;
	}
}

static int serve(const struct sockaddr_in *address)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
	    listen(listener, 16) < 0) {
		perror("stream: listen");
		return 2;
	}
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (sock >= 0 && fork() == 0) {
			close(listener);
			serve_connection(sock);
			_exit(0);
		}
		close(sock);
	}
}

static int client(const struct sockaddr_in *address, bool upload)
{
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct request request = {.upload = upload};
	struct answer answer;

	if (connect(sock, (const struct sockaddr *)address, sizeof(*address)) < 0) {
		perror("stream: connect");
		return 2;
	}
	while (scanf("%" SCNu64, &request.bytes) == 1) {
		int64_t from = clock_ns(CLOCK_MONOTONIC);
		int64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);

		if (!send_bytes(sock, &request, sizeof(request)) ||
		    (upload ? !send_payload(sock, request.bytes)
			    : !receive_payload(sock, request.bytes)) ||
		    !receive_bytes(sock, &answer, sizeof(answer))) {
			fprintf(stderr, "stream: the connection has ended\n");
			return 2;
		}
		printf("%" PRId64 " %" PRId64 " %" PRId64 "\n", clock_ns(CLOCK_MONOTONIC) - from,
		       clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu, answer.cpu_ns);
		fflush(stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};

	if (argc < 4 || inet_pton(AF_INET, argv[2], &address.sin_addr) != 1) {
		fprintf(stderr, "usage: stream serve ADDRESS PORT\n"
				"       stream client ADDRESS PORT up|down\n");
		return 2;
	}
	address.sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10));
	if (strcmp(argv[1], "serve") == 0)
		return serve(&address);
	return client(&address, argc > 4 && strcmp(argv[4], "up") == 0);
}
