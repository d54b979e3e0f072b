/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs of steps mount overlays, for which an ordinary user needs a user namespace: they run the
 * same command line once more inside the launcher.
 */
#include <linux/capability.h>
#include "cmd/cmd.h"
#include "cmd/step.h"
#include "host/host.h"
#include "rootless/rootless.h"

int step_nest(struct arena *arena, const struct globals *globals, struct rb_err *err)
{
	struct rootless_options options = {.net = NET_HOST};
	char self[LIMIT_PATH_BYTES];
	struct host host;
	ssize_t len;
	size_t n = 0;
	char **command;
	int r = host_probe(0, &host, err);

	if (r < 0)
		return r;
	if (host_has_cap(&host, CAP_SYS_ADMIN)) {
		r = self_seal(&host, globals->argv, err);
		return r < 0 ? r : -EAGAIN;
	}
	len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len < 0)
		return err_set(err, RB_INTERNAL, errno, "/proc/self/exe");
	self[len] = '\0';
	while (globals->argv[n])
		n++;
	command = arena_array(arena, n + 1, sizeof(*command));
	if (!command)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "arguments");
	memcpy(command, globals->argv, n * sizeof(*command));
	command[0] = self;
	options.command = command;
	return rootless_run(arena, &options, err);
}
