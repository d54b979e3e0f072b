/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sd_notify(3) across the namespaces. Runs in the parent. The command gets a socket of ours as
 * NOTIFY_SOCKET, and what it says goes on to the caller's under our process number: a service
 * manager then needs no NotifyAccess=all, and an abstract socket, which another network namespace
 * cannot reach, works too. Process numbers from inside mean nothing outside and are left out.
 */
#include <sys/un.h>
#include "base/env.h"
#include "rootless/rootless_private.h"

#define NOTIFY_NAME "notify.sock"

static int notify_target(const char *text, struct sockaddr_un *ret_address, socklen_t *ret_len)
{
	size_t len = strlen(text);

	if ((text[0] != '/' && text[0] != '@') || len >= sizeof(ret_address->sun_path))
		return -EINVAL;
	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret_address->sun_path, text, len);
	if (text[0] == '@')
		ret_address->sun_path[0] = '\0';
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (text[0] == '/'));
	return 0;
}

int notify_open(struct rootless *r, struct rb_err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *own = r->options->notify_socket;
	const char *caller = own ? own : env_get("NOTIFY_SOCKET");
	CLEANUP_FD int in = -1;
	CLEANUP_FD int out = -1;
	struct sockaddr_un target;
	socklen_t len;

	if (!caller || notify_target(caller, &target, &len) < 0)
		return 0;
	in = sys_socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	out = sys_socket(AF_UNIX, SOCK_DGRAM, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" NOTIFY_NAME,
		 r->state_fd);
	if (in < 0 || out < 0 || connect(out, (struct sockaddr *)&target, len) < 0)
		return 0; /* nobody listens: the command finds out by itself */
	if (bind(in, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, RB_STATE_DIR, errno, "cannot make " NOTIFY_NAME);
	r->notify_in = fd_take(&in);
	r->notify_out = fd_take(&out);
	return 0;
}

void notify_forward(struct rootless *r)
{
	char text[4096];
	char kept[sizeof(text)];
	size_t len = 0;
	ssize_t got = recv(r->notify_in, text, sizeof(text) - 1, MSG_DONTWAIT);

	if (got < 0)
		return;
	text[got] = '\0';
	for (const char *at = text; *at;) {
		size_t line = strcspn(at, "\n");

		if (!str_starts(at, "MAINPID=")) {
			memcpy(kept + len, at, line);
			len += line;
			kept[len++] = '\n';
		}
		at += line + (at[line] == '\n');
	}
	if (len)
		(void)send(r->notify_out, kept, len, MSG_NOSIGNAL);
}
