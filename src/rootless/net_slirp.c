/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slirp4netns(1) of the launcher. Runs in the parent. The tap is persistent, so another
 * slirp4netns can take the place of one that has died. Each gets the filter of net/filter.h before
 * it reads its first frame, and again when the host's addresses change. Ports are published
 * through its API.
 */
#include "base/log.h"
#include "net/filter.h"
#include "net/slirp_api.h"
#include "rootless/net_private.h"

#define API_SOCKET ".s4nn.sock" /* RootlessKit's name for it */

/*
 * Where the host's own addresses are open the rest of the filter still means what is not: loopback
 * addresses, other than the gateway's 127.0.0.1 if that is, and what is beside the name server.
 */
static int closure_program(const struct net *net, struct arena *arena, struct sock_filter **ret,
			   size_t *ret_n, struct rb_err *err)
{
	const struct net_options *options = net->options;
	struct net_hosts *hosts = arena_alloc(arena, sizeof(*hosts));
	struct sock_filter *program = arena_array(arena, NET_FILTER_INSNS, sizeof(*program));
	struct net_closure closure = {
		.hosts = options->allow_host_addresses ? NULL : hosts,
		.dns = net_addresses(options).dns,
		.published = !options->builtin_ports,
		.ipv6 = options->ipv6,
	};
	int rc;

	if (!hosts || !program)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "network");
	rc = closure.hosts ? net_hosts_read(hosts, err) : 0;
	if (rc < 0)
		return rc;
	*ret = program;
	*ret_n = net_filter_build(&closure, program);
	return 0;
}

/* Its tap, which it opens sooner or later, or ends. */
static int await_tap(struct net *net)
{
	int64_t until = sys_now_ms() + NET_READY_MS;
	int tap;

	for (;;) {
		struct pollfd fds[] = {{.fd = net->pidfd, .events = POLLIN},
				       {.fd = net->output, .events = POLLIN}};

		tap = net_tap_find(net->pidfd);
		if (tap != -ENODEV || sys_now_ms() > until)
			return tap;
		/* that it has opened something is no event; what it says is a sign of it */
		(void)poll(fds, 2, 1);
		if (fds[0].revents)
			return -EPIPE;
		net_output_listen(&net->output, "slirp4netns", net->said);
	}
}

static int close_tap(struct net *net, bool fresh, struct rb_err *err)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_FD int tap = -1;
	struct sock_filter *program;
	size_t n;
	int rc = closure_program(net, &arena, &program, &n, err);

	if (rc < 0)
		return rc;
	/* one that is ours is known */
	if (net->tap >= 0) {
		rc = net_tap_filter(net->tap, program, n);
		return rc < 0 ? net_filter_failed(rc, err) : 0;
	}
	tap = fresh ? await_tap(net) : net_tap_find(net->pidfd);
	/* one that has ended says why itself */
	if (tap == -EPIPE || tap == -ESRCH)
		return 0;
	rc = tap < 0 ? tap : net_tap_filter(tap, program, n);
	if (rc < 0)
		return net_filter_failed(rc, err);
	if (fresh)
		net_tap_drain(tap);
	return 0;
}

/* Without the filter there is no network, unless the host was opened anyway. */
int net_close(struct net *net, bool fresh, struct rb_err *err)
{
	int rc = close_tap(net, fresh, err);

	if (rc == 0 || !net->options->allow_host_loopback)
		return rc;
	log_warn("raw frames for the host's loopback addresses are not stopped: %s", err->what);
	return 0;
}

void net_watch_hosts(struct net *net)
{
	if (net->hosts_watch >= 0 || net->options->allow_host_addresses)
		return;
	net->hosts_watch = net_hosts_watch();
	if (net->hosts_watch < 0)
		log_warn("addresses that this host gets later will not be closed to the network: "
			 "%s",
			 strerrordesc_np(-net->hosts_watch));
}

void slirp_hosts_event(struct net *net)
{
	struct pollfd fd = {.fd = net->hosts_watch, .events = POLLIN};
	struct rb_err err = {0};

	if (net->hosts_watch < 0 || poll(&fd, 1, 0) <= 0)
		return;
	net_hosts_heard(net->hosts_watch);
	if (net->pidfd < 0 || net_close(net, false, &err) == 0)
		return;
	log_error(&err);
	/* not open a second longer; its end is noticed, and another one tries */
	(void)sys_pidfd_send_signal(net->pidfd, SIGKILL);
}

void slirp_tap_event(struct net *net)
{
	struct pollfd fd = {.fd = net->output, .events = POLLIN};
	CLEANUP_FD int tap = -1;

	if (net->options->driver != NET_SLIRP4NETNS || net->pidfd < 0 || poll(&fd, 1, 0) <= 0)
		return;
	tap = net_tap_find(net->pidfd);
	if (tap != -ENODEV)
		return;
	/* 1.2.0 reads on, and complains each time */
	log_warn("slirp4netns has lost its tap: was it removed inside? Ending it");
	(void)sys_pidfd_send_signal(net->pidfd, SIGKILL);
}

static int slirp_ready(struct net *net, struct slirp *slirp, struct rb_err *err)
{
	int rc = slirp_release(slirp);

	/* one that has ended is waited for, and says why */
	if (rc == 0 || rc == -EPIPE)
		rc = slirp_await(slirp, NET_READY_MS);
	return rc < 0 ? net_failed(net, rc, err) : 0;
}

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
		.held = true,
	};
	struct slirp slirp;
	int rc;

	net_watch_hosts(net);
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
		rc = net_close(net, true, err);
		if (rc < 0)
			net_helper_end(net);
		else
			rc = slirp_ready(net, &slirp, err);
	}
	fd_close(&slirp.ready);
	return rc;
}

/* One request and the member "return" of its answer. */
static int api_call(const struct net *net, struct arena *arena, const struct strbuf *request,
		    const struct json_node **ret_result, struct rb_err *err)
{
	struct timeval patience = {.tv_sec = 5};
	CLEANUP_FD int sock = -1;
	char reply[4096];
	size_t len = 0;
	ssize_t got;
	int rc = slirp_api_ask(net->dir, API_SOCKET, request, &sock);

	if (rc < 0)
		return slirp_api_failed(rc, err);
	(void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (len < sizeof(reply) && (got = recv(sock, reply + len, sizeof(reply) - len, 0)) > 0)
		len += (size_t)got;
	return slirp_api_result(arena, reply, len, ret_result, err);
}

int slirp_publish(struct net *net, struct port_entry *entry, struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf request = {0};
	CLEANUP_ARENA struct arena arena = {0};
	const struct json_node *result = NULL;
	const struct json_node *id;
	int rc;

	slirp_api_add_port(&request, &entry->spec, net_addresses(net->options).guest);
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
