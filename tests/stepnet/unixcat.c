/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unixcat @NAME: connects to the abstract socket NAME and prints "abstract: " with what it says;
 * "abstract: closed" when nobody is there.
 * unixcat -l @NAME: says "SERVICE" to whoever connects, as long as its parent lives.
 */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int serve(int sock, const struct sockaddr *address, socklen_t size)
{
	static const char text[] = "SERVICE\n";

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || bind(sock, address, size) < 0 ||
	    listen(sock, 16) < 0)
		return 1;
	for (;;) {
		int peer = accept(sock, NULL, NULL);

		if (peer < 0)
			return 1;
		(void)send(peer, text, sizeof(text) - 1, MSG_NOSIGNAL);
		close(peer);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listens = argc == 3 && strcmp(argv[1], "-l") == 0;
	const char *name = argc == 2 + listens ? argv[1 + listens] : "";
	size_t len = strlen(name);
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	char text[64];
	ssize_t n;

	if (len < 2 || len > sizeof(address.sun_path) || sock < 0)
		return 2;
	memcpy(address.sun_path, name, len);
	address.sun_path[0] = '\0';
	if (listens)
		return serve(sock, (struct sockaddr *)&address, size);
	if (connect(sock, (struct sockaddr *)&address, size) < 0) {
		puts("abstract: closed");
		return 0;
	}
	n = read(sock, text, sizeof(text));
	printf("abstract: %.*s\n", (int)(n > 0 ? n : 0), text);
	return 0;
}
