/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unixcat @NAME: connects to the abstract socket NAME and prints "abstract: " with what it says;
 * "abstract: closed" when nobody is there.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char text[64];
	size_t len = argc == 2 ? strlen(argv[1]) : 0;
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);
	ssize_t n;

	if (len < 2 || len > sizeof(address.sun_path) || sock < 0)
		return 2;
	memcpy(address.sun_path, argv[1], len);
	address.sun_path[0] = '\0';
	if (connect(sock, (struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0) {
		puts("abstract: closed");
		return 0;
	}
	n = read(sock, text, sizeof(text));
	printf("abstract: %.*s\n", (int)(n > 0 ? n : 0), text);
	return 0;
}
