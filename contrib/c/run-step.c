/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one step through a worker and prints what it writes: an example of librunbuild-client, and
 * what its tests run.
 *
 *	run-step RUNBUILD|@SOCKET DESCRIPTION [SIGNAL]
 *
 * The signal is sent once the step has written something. The status is that of the step.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <runbuild-client.h>

static int run(struct runbuild_client *client, const char *description, const char *signal_name)
{
	struct runbuild_message message;
	uint64_t request;
	int r = runbuild_client_request(client, "step.run", description, NULL, 0, &request);

	while (r >= 0 && (r = runbuild_client_next(client, -1, &message)) > 0) {
		if (message.pidfd >= 0)
			close(message.pidfd);
		if (message.kind == RUNBUILD_OUTPUT) {
			fwrite(message.data, 1, message.len, message.stream == 1 ? stdout : stderr);
			if (signal_name)
				r = runbuild_client_signal(client, message.step, signal_name);
			signal_name = NULL;
		}
		if (message.id != request)
			continue;
		if (message.kind == RUNBUILD_ERROR) {
			fprintf(stderr, "%s: %s\n", message.error_kind, message.error_text);
			return 125;
		}
		return message.code >= 0 ? message.code : 128;
	}
	fprintf(stderr, "run-step: %s\n", strerror(-r));
	return 125;
}

int main(int argc, char **argv)
{
	struct runbuild_client *client;
	int r;

	if (argc < 3) {
		fprintf(stderr, "usage: run-step RUNBUILD|@SOCKET DESCRIPTION [SIGNAL]\n");
		return 2;
	}
	r = argv[1][0] == '@' ? runbuild_client_connect(argv[1] + 1, &client)
			      : runbuild_client_spawn(argv[1], &client);
	if (r < 0) {
		fprintf(stderr, "run-step: %s: %s\n", argv[1], strerror(-r));
		return 125;
	}
	r = run(client, argv[2], argc > 3 ? argv[3] : NULL);
	runbuild_client_close(client);
	return r;
}
