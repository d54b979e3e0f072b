/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pasta(1). Runs in the parent. It is kept in the foreground, as our child; it joins the target's
 * user namespace, which clears the death signal that net_spawn() sets, and it does not end with
 * the namespace. So a guard, a process of a few pages, waits for our end and then ends pasta, which
 * is executed when the guard is there.
 */
#include "base/fd_message.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "rootless/net_private.h"

/* What the guard keeps, and nothing else. */
enum { GUARD_PIPE, GUARD_PASTA, GUARD_LISTENER, GUARD_TAP, GUARD_FDS };

static void guard_main(int fd[GUARD_FDS]) __attribute__((noreturn));
static void guard_main(int fd[GUARD_FDS])
{
	for (;;) {
		struct pollfd fds[] = {{.fd = fd[GUARD_PIPE], .events = POLLIN},
				       {.fd = fd[GUARD_PASTA], .events = POLLIN},
				       {.fd = fd[GUARD_LISTENER], .events = POLLIN}};

		if (poll(fds, ARRAY_LEN(fds), -1) < 0)
			continue;
		if (fds[GUARD_PIPE].revents || fds[GUARD_PASTA].revents)
			break;
		/* it asks once; its tap must end with it, and so not stay open in here */
		net_tap_hand_over(fd[GUARD_LISTENER], fd[GUARD_TAP]);
		fd_close(&fd[GUARD_LISTENER]);
		fd_close(&fd[GUARD_TAP]);
	}
	(void)sys_pidfd_send_signal(fd[GUARD_PASTA], SIGKILL);
	sys_exit(0);
}

/* Closes everything but these: our caller waits for the end of its pipes, and must not see them in us. */
static void keep_only(const int keep[GUARD_FDS])
{
	int high = 0;

	for (size_t i = 0; i < GUARD_FDS; i++)
		high = keep[i] > high ? keep[i] : high;
	for (int fd = 0; fd < high; fd++) {
		bool wanted = false;

		for (size_t i = 0; i < GUARD_FDS; i++)
			wanted |= keep[i] == fd;
		if (!wanted)
			(void)sys_close(fd);
	}
	(void)sys_close_range((unsigned)high + 1, UINT_MAX, 0);
}

/* The guard keeps a pidfd of pasta, the reading end of a pipe that only we write, and its tap. */
static int guard_start(struct net *net, int listener)
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
		int keep[GUARD_FDS] = {pipes[0], net->pidfd, listener, net->tap};

		(void)setpgid(0, 0);
		keep_only(keep);
		guard_main(keep);
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

/* A tap with the filter, for pasta to have in place of its own. */
static int pasta_tap(struct net *net, struct rb_err *err)
{
	const char *ifname = net->options->ifname;
	int rc;

	net_watch_hosts(net);
	fd_close(&net->tap); /* that of a pasta that has died */
	rc = net_tap_make(net->target, ifname ? ifname : "tap0", &net->tap, err);
	return rc < 0 ? rc : net_close(net, true, err);
}

/*
 * The descriptor by which pasta's request for its tap is answered, once it is at the gate. Without
 * it there is no network, unless the host was opened anyway: pasta then makes its own tap.
 */
static int listener_take(struct net *net, int gate, int *ret_listener, struct rb_err *err)
{
	int prepared = 0;
	int rc = fd_message_receive(gate, &prepared, sizeof(prepared), ret_listener);

	if (rc == 0)
		rc = prepared;
	if (rc >= 0)
		return 0;
	if (net->options->allow_host_loopback) {
		log_warn("raw frames for the host's loopback addresses are not stopped: %s",
			 strerrordesc_np(-rc));
		fd_close(&net->tap);
		return 0;
	}
	err_set(err, RB_NET_FILTER, -rc, "cannot close the network towards this host");
	err_fix(err, "seccomp(2) with SECCOMP_FILTER_FLAG_NEW_LISTENER must be allowed around this "
		     "process; --net=slirp4netns needs pidfd_getfd(2) instead");
	return rc;
}

int pasta_start(struct net *net, struct rb_err *err)
{
	struct net_exec exec = {.path = net->helper,
				.argv = pasta_argv(net),
				.keep = {-1, -1, -1, -1},
				.dir = -1,
				.prepare = net_tap_await_request};
	CLEANUP_FD int listener = -1;
	int gate[2] = {-1, -1};
	int pipes[2];
	int rc = 0;

	for (size_t i = 0; !net->options->builtin_ports && i < net->options->n_ports; i++) {
		rc = port_check(&net->options->ports[i], err);
		if (rc < 0)
			return rc;
	}
	if (!exec.argv)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "pasta");
	rc = pasta_tap(net, err);
	if (rc < 0)
		return rc;
	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(err, RB_PASTA_FAILED, errno, "pipe");
	net->output = pipes[0];
	exec.output = pipes[1];
	exec.gate = gate;
	rc = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, gate) < 0
		     ? -errno
		     : net_spawn(&exec, &net->pidfd);
	close(pipes[1]);
	fd_close(&gate[0]);
	if (rc > 0 && listener_take(net, gate[1], &listener, err) < 0) {
		fd_close(&gate[1]);
		net_helper_end(net);
		return -EPERM;
	}
	if (rc > 0)
		rc = guard_start(net, listener);
	/* from here on somebody ends it, whatever happens to us */
	if (rc == 0 && write(gate[1], "", 1) != 1)
		rc = -errno;
	fd_close(&gate[1]);
	return rc < 0 ? err_set(err, RB_PASTA_FAILED, -rc, "cannot start pasta") : 0;
}
