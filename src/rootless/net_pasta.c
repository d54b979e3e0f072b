/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pasta(1). Runs in the parent. It is kept in the foreground, as our child; it joins the target's
 * user namespace, which clears the death signal that net_spawn() sets, and it does not end with
 * the namespace. So a guard, a process of a few pages, waits for our end and then ends pasta, which
 * is executed when the guard is there.
 */
#include "base/strbuf.h"
#include "rootless/net_private.h"

static void guard_main(const struct net *net, int pipe_end) __attribute__((noreturn));
static void guard_main(const struct net *net, int pipe_end)
{
	struct pollfd fds[] = {{.fd = pipe_end, .events = POLLIN},
			       {.fd = net->pidfd, .events = POLLIN}};

	(void)setpgid(0, 0);
	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	(void)sys_pidfd_send_signal(net->pidfd, SIGKILL);
	sys_exit(0);
}

/* The guard keeps a pidfd of pasta and the reading end of a pipe that only we write. */
static int guard_start(struct net *net)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&net->guard_pidfd,
		.exit_signal = SIGCHLD,
	};
	int pipes[2];
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	pid = sys_clone3(&args);
	if (pid == 0) {
		const int high = pipes[0] > net->pidfd ? pipes[0] : net->pidfd;
		const int low = pipes[0] > net->pidfd ? net->pidfd : pipes[0];

		/* our caller waits for the end of its pipes, and so must not see them in us */
		for (int fd = 0; fd < high; fd++)
			if (fd != low)
				(void)sys_close(fd);
		(void)sys_close_range((unsigned)high + 1, UINT_MAX, 0);
		guard_main(net, pipes[0]);
	}
	close(pipes[0]);
	net->exit_fd = pipes[1];
	return pid < 0 ? (int)pid : 0;
}

/* "8080:80,53:53" for one protocol, or "none". An address in front counts for all: pasta(1). */
static char *pasta_ports(const struct net *net, bool udp)
{
	CLEANUP_STRBUF struct strbuf text = {0};
	char address[16];

	for (size_t i = 0; i < net->options->n_ports; i++) {
		const struct port_spec *spec = &net->options->ports[i];

		if (spec->udp != udp || net->options->builtin_ports)
			continue;
		if (text.len)
			strbuf_add_char(&text, ',');
		else if (spec->parent_ip)
			strbuf_printf(&text, "%s/", net_address_text(spec->parent_ip, address));
		strbuf_printf(&text, "%u:%u", spec->parent_port, spec->child_port);
	}
	return text.failed ? NULL : arena_strdup(net->arena, text.len ? text.text : "none");
}

static char **pasta_argv(const struct net *net)
{
	const struct net_options *options = net->options;
	struct net_addresses addresses = net_addresses(options);
	struct arena *arena = net->arena;
	char **argv = arena_array(arena, 40, sizeof(*argv));
	char text[16];
	size_t n = 0;

	if (!argv)
		return NULL;
	argv[n++] = arena_strdup(arena, net->helper);
	argv[n++] = arena_strdup(arena, "--foreground");
	argv[n++] = arena_strdup(arena, "--quiet");
	argv[n++] = arena_strdup(arena, "--config-net");
	argv[n++] = arena_strdup(arena, "--ns-ifname");
	argv[n++] = arena_strdup(arena, options->ifname ? options->ifname : "tap0");
	argv[n++] = arena_strdup(arena, "--mtu");
	argv[n++] = arena_printf(arena, "%u", options->mtu ? options->mtu : 65520);
	argv[n++] = arena_strdup(arena, "--address");
	argv[n++] = arena_strdup(arena, net_address_text(addresses.guest, text));
	argv[n++] = arena_strdup(arena, "--netmask");
	argv[n++] = arena_printf(arena, "%u", addresses.prefix);
	argv[n++] = arena_strdup(arena, "--gateway");
	argv[n++] = arena_strdup(arena, net_address_text(addresses.gateway, text));
	argv[n++] = arena_strdup(arena, "--dns-forward");
	argv[n++] = arena_strdup(arena, net_address_text(addresses.dns, text));
	if (!options->allow_host_loopback)
		argv[n++] = arena_strdup(arena, "--no-map-gw");
	if (!options->ipv6)
		argv[n++] = arena_strdup(arena, "--ipv4-only");
	argv[n++] = arena_strdup(arena, "--tcp-ports");
	argv[n++] = pasta_ports(net, false);
	argv[n++] = arena_strdup(arena, "--udp-ports");
	argv[n++] = pasta_ports(net, true);
	/* the other direction would be the host's loopback */
	argv[n++] = arena_strdup(arena, "--tcp-ns");
	argv[n++] = arena_strdup(arena, "none");
	argv[n++] = arena_strdup(arena, "--udp-ns");
	argv[n++] = arena_strdup(arena, "none");
	/* as real root it becomes nobody, who may not enter what is root's */
	if (geteuid() == 0) {
		argv[n++] = arena_strdup(arena, "--runas");
		argv[n++] = arena_strdup(arena, "0:0");
	}
	argv[n++] = arena_printf(arena, "%d", (int)net->target);
	for (size_t i = 0; i < n; i++)
		if (!argv[i])
			return NULL;
	return argv;
}

int pasta_start(struct net *net, struct rb_err *err)
{
	struct net_exec exec = {
		.path = net->helper, .argv = pasta_argv(net), .keep = {-1, -1, -1, -1}, .dir = -1};
	int gate[2] = {-1, -1};
	int pipes[2];
	int rc;

	for (size_t i = 0; !net->options->builtin_ports && i < net->options->n_ports; i++) {
		rc = port_check(&net->options->ports[i], err);
		if (rc < 0)
			return rc;
	}
	if (!exec.argv)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "pasta");
	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(err, RB_PASTA_FAILED, errno, "pipe");
	net->output = pipes[0];
	exec.output = pipes[1];
	exec.gate = gate;
	rc = pipe2(gate, O_CLOEXEC) < 0 ? -errno : net_spawn(&exec, &net->pidfd);
	close(pipes[1]);
	fd_close(&gate[0]);
	if (rc > 0)
		rc = guard_start(net);
	/* from here on somebody ends it, whatever happens to us */
	if (rc == 0 && write(gate[1], "", 1) != 1)
		rc = -errno;
	fd_close(&gate[1]);
	return rc < 0 ? err_set(err, RB_PASTA_FAILED, -rc, "cannot start pasta") : 0;
}
