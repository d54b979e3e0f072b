/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slirp4netns(1). Runs in the parent. Always with its sandbox and filter unless told otherwise,
 * because it parses what steps send, and without a way to the host's loopback. It ends when our
 * end of the exit pipe closes, whatever happens to us. The tap is ours and persistent, so another
 * slirp4netns can take the place of one that has died.
 */
#include <sys/un.h>
#include "base/json.h"
#include "base/strbuf.h"
#include "rootless/net_private.h"

#define API_SOCKET ".s4nn.sock" /* RootlessKit's name for it */

/* "1" on the ready pipe; -ETIMEDOUT, or -EPIPE when it has ended. */
static int slirp_wait(const struct net *net, int ready)
{
	struct pollfd fds[] = {{.fd = ready, .events = POLLIN},
			       {.fd = net->pidfd, .events = POLLIN}};
	char byte;
	int n;

	do
		n = poll(fds, 2, NET_READY_MS);
	while (n < 0 && errno == EINTR);
	if (n > 0 && (fds[0].revents & POLLIN) && read(ready, &byte, 1) == 1 && byte == '1')
		return 0;
	return n == 0 ? -ETIMEDOUT : -EPIPE;
}

/* NULL-terminated, in the arena; NULL: no memory. */
static char **slirp_argv(const struct net *net, int exit_end, int ready_end)
{
	const struct net_options *options = net->options;
	struct arena *arena = net->arena;
	char **argv = arena_array(arena, 16, sizeof(*argv));
	char network[16];
	size_t n = 0;

	if (!argv)
		return NULL;
	argv[n++] = arena_strdup(arena, net->helper);
	argv[n++] = arena_printf(arena, "--mtu=%u", options->mtu ? options->mtu : 65520);
	argv[n++] = arena_printf(arena, "--exit-fd=%d", exit_end);
	argv[n++] = arena_printf(arena, "--ready-fd=%d", ready_end);
	if (options->network)
		argv[n++] = arena_printf(arena, "--cidr=%s/%u",
					 net_address_text(options->network, network),
					 options->prefix);
	if (!options->no_sandbox)
		argv[n++] = arena_strdup(arena, "--enable-sandbox");
	if (!options->no_seccomp)
		argv[n++] = arena_strdup(arena, "--enable-seccomp");
	if (!options->allow_host_loopback)
		argv[n++] = arena_strdup(arena, "--disable-host-loopback");
	if (options->ipv6)
		argv[n++] = arena_strdup(arena, "--enable-ipv6");
	if (net->dir >= 0)
		argv[n++] = arena_strdup(arena, "--api-socket=" API_SOCKET);
	argv[n++] = arena_printf(arena, "%d", (int)net->target);
	argv[n++] = arena_strdup(arena, options->ifname ? options->ifname : "tap0");
	for (size_t i = 0; i < n; i++)
		if (!argv[i])
			return NULL;
	return argv;
}

static int slirp_spawn(struct net *net, const int pipes[3][2])
{
	struct net_exec exec = {
		.path = net->helper,
		.argv = slirp_argv(net, pipes[0][0], pipes[1][1]),
		.keep = {pipes[0][0], pipes[1][1]},
		.output = pipes[2][1],
		.dir = net->dir,
	};

	if (!exec.argv)
		return -ENOMEM;
	/* the one of a slirp4netns that has died is in the way of the next */
	if (net->dir >= 0)
		(void)unlinkat(net->dir, API_SOCKET, 0);
	return net_spawn(net, &exec);
}

int slirp_start(struct net *net, struct rb_err *err)
{
	int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}}; /* exit, ready, standard error */
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(pipes); i++)
		if (pipe2(pipes[i], O_CLOEXEC | (i == 2 ? O_NONBLOCK : 0)) < 0)
			rc = -errno;
	if (rc == 0)
		rc = slirp_spawn(net, pipes);
	fd_close(&pipes[0][0]);
	fd_close(&pipes[1][1]);
	fd_close(&pipes[2][1]);
	net->exit_fd = pipes[0][1];
	net->output = pipes[2][0];
	if (rc < 0) {
		err_set(err, RB_SLIRP_FAILED, -rc, "cannot start slirp4netns");
	} else {
		rc = slirp_wait(net, pipes[1][0]);
		if (rc < 0)
			rc = net_failed(net, rc, err);
	}
	fd_close(&pipes[1][0]);
	return rc;
}

/* slirp4netns(1), API SOCKET: one request per connection, the end of it by shutdown(2). */
static int api_exchange(const struct net *net, const struct strbuf *request, char *reply,
			size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = 5};
	CLEANUP_FD int sock = sys_socket(AF_UNIX, SOCK_STREAM, 0);
	size_t len = 0;
	ssize_t got;

	if (sock < 0 || request->failed)
		return sock < 0 ? sock : -ENOMEM;
	/* through our descriptor: a path could be too long for the address */
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" API_SOCKET,
		 net->dir);
	(void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    send(sock, request->text, request->len, MSG_NOSIGNAL) < 0 ||
	    shutdown(sock, SHUT_WR) < 0)
		return -errno;
	while (len < size - 1 && (got = recv(sock, reply + len, size - 1 - len, 0)) > 0)
		len += (size_t)got;
	reply[len] = '\0';
	return len ? 0 : -EIO;
}

/* The member "return" of the reply, or *err with what it complains about. */
static int api_call(const struct net *net, struct arena *arena, const struct strbuf *request,
		    const struct json_node **ret_result, struct rb_err *err)
{
	char reply[4096];
	const struct json_node *root;
	const struct json_node *desc;
	int rc = api_exchange(net, request, reply, sizeof(reply));

	if (rc < 0)
		return err_set(err, RB_PORT, -rc, "slirp4netns's API does not answer");
	rc = json_parse(arena, "slirp4netns's answer", reply, strlen(reply), &root, err);
	if (rc < 0)
		return rc;
	desc = json_member(json_member(root, "error"), "desc");
	if (desc) {
		err_set(err, RB_PORT, 0, "slirp4netns refuses: %.200s",
			desc->type == JSON_STRING ? desc->text : "no reason");
		err_fix(err, "use another port");
		return -EINVAL;
	}
	*ret_result = json_member(root, "return");
	return 0;
}

int slirp_publish(struct net *net, struct port_entry *entry, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf request = {0};
	CLEANUP_ARENA struct arena arena = {0};
	const struct port_spec *spec = &entry->spec;
	struct net_addresses addresses = net_addresses(net->options);
	const struct json_node *result = NULL;
	const struct json_node *id;
	char host[16];
	char guest[16];
	int rc;

	strbuf_printf(&request,
		      "{\"execute\":\"add_hostfwd\",\"arguments\":{\"proto\":\"%s\",\"host_addr\":"
		      "\"%s\",\"host_port\":%u,\"guest_addr\":\"%s\",\"guest_port\":%u}}",
		      spec->udp ? "udp" : "tcp", net_address_text(spec->parent_ip, host),
		      spec->parent_port,
		      net_address_text(spec->child_ip ? spec->child_ip : addresses.guest, guest),
		      spec->child_port);
	rc = api_call(net, &arena, &request, &result, err);
	if (rc < 0)
		return rc;
	id = json_member(result, "id");
	return id ? json_i64(id, &entry->helper_id, err)
		  : err_set(err, RB_PORT, EPROTO, "slirp4netns's answer has no id");
}

int slirp_unpublish(struct net *net, const struct port_entry *entry, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf request = {0};
	CLEANUP_ARENA struct arena arena = {0};
	const struct json_node *result;

	/* 1.2.0 dereferences a null pointer when a request has no "proto" */
	strbuf_printf(
		&request,
		"{\"execute\":\"remove_hostfwd\",\"arguments\":{\"proto\":\"%s\",\"id\":%" PRId64
		"}}",
		entry->spec.udp ? "udp" : "tcp", entry->helper_id);
	return api_call(net, &arena, &request, &result, err);
}
