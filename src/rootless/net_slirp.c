/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slirp4netns(1) of the launcher. Runs in the parent. The tap is ours and persistent, so another
 * slirp4netns can take the place of one that has died. Ports are published through its API.
 */
#include <sys/un.h>
#include "base/json.h"
#include "base/strbuf.h"
#include "rootless/net_private.h"

#define API_SOCKET ".s4nn.sock" /* RootlessKit's name for it */

int slirp_start(struct net *net, struct rb_err *err)
{
	const struct net_options *options = net->options;
	const struct slirp_options slirp_options = {
		.helper = net->helper,
		.mtu = options->mtu,
		.network = options->network,
		.prefix = options->prefix,
		.ifname = options->ifname,
		.ipv6 = options->ipv6,
		.allow_host_loopback = options->allow_host_loopback,
		.no_sandbox = options->no_sandbox,
		.no_seccomp = options->no_seccomp,
		.target = net->target,
		.netns = -1,
		.userns = -1,
		.dir = net->dir,
		.api_socket = net->dir >= 0 ? API_SOCKET : NULL,
	};
	struct slirp slirp;
	int rc;

	/* the one of a slirp4netns that has died is in the way of the next */
	if (net->dir >= 0)
		(void)unlinkat(net->dir, API_SOCKET, 0);
	rc = slirp_spawn(&slirp, net->arena, &slirp_options);
	net->pidfd = slirp.pidfd;
	net->exit_fd = slirp.exit_fd;
	net->output = slirp.output;
	if (rc < 0) {
		err_set(err, RB_SLIRP_FAILED, -rc, "cannot start slirp4netns");
	} else {
		rc = slirp_await(&slirp, NET_READY_MS);
		if (rc < 0)
			rc = net_failed(net, rc, err);
	}
	fd_close(&slirp.ready);
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
