/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slirp4netns(1). Runs in its parent: the launcher, the runtime of a step, or a process that keeps
 * a network. Always with its sandbox and filter unless told otherwise, because it parses what steps
 * send, and without a way to the host's loopback. It ends when our end of the exit pipe closes, and
 * by our death signal, whatever happens to us.
 */
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include "base/log.h"
#include "base/sys.h"
#include "host/helper.h"
#include "net/filter.h"
#include "net/slirp.h"
#include "net/spawn.h"

enum { PIPE_EXIT, PIPE_READY, PIPE_OUTPUT, PIPES };

void slirp_init(struct slirp *slirp)
{
	*slirp = (struct slirp){.pidfd = -1, .exit_fd = -1, .ready = -1, .output = -1};
}

const char *slirp_address_text(uint32_t address, char buf[16])
{
	snprintf(buf, 16, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
		 address & 255);
	return buf;
}

int net_tun_check(struct rb_err *err)
{
	struct stat st;

	if (sys_faccessat2(AT_FDCWD, "/dev/net/tun", R_OK | W_OK, AT_EACCESS) == 0)
		return 0;
	if (stat("/dev/net/tun", &st) < 0) {
		err_set(err, RB_TUN, errno, "/dev/net/tun");
		err_fix(err, "sudo modprobe tun, or docker run --device /dev/net/tun");
	} else {
		err_set(err, RB_TUN, 0,
			"/dev/net/tun has mode %04o, owner %u, and cannot be opened",
			st.st_mode & 07777, st.st_uid);
		err_fix(err, "sudo chmod 666 /dev/net/tun (for good: a udev rule)");
	}
	return -EACCES;
}

int slirp_find(struct arena *arena, const char *otherwise, const char **ret_helper,
	       struct rb_err *err)
{
	const char *helper = helper_find(arena, "slirp4netns");

	if (!helper) {
		err_set(err, RB_SLIRP_MISSING, 0, "slirp4netns not found");
		err_fix(err,
			"sudo apt install slirp4netns (Fedora: sudo dnf install slirp4netns)%s",
			otherwise);
		return -ENOENT;
	}
	*ret_helper = helper;
	return net_tun_check(err);
}

/* Where the network is to be: by descriptor, which cannot be somebody else's by then, or process. */
static size_t argv_target(struct arena *arena, const struct slirp_options *options, char **argv)
{
	size_t n = 0;

	if (options->userns >= 0)
		argv[n++] = arena_printf(arena, "--userns-path=/proc/self/fd/%d", options->userns);
	if (options->netns >= 0) {
		argv[n++] = arena_strdup(arena, "--netns-type=path");
		argv[n++] = arena_printf(arena, "/proc/self/fd/%d", options->netns);
	} else {
		argv[n++] = arena_printf(arena, "%d", (int)options->target);
	}
	argv[n++] = arena_strdup(arena, options->ifname ? options->ifname : "tap0");
	return n;
}

/* NULL-terminated, in the arena; NULL: no memory. */
static char **slirp_argv(struct arena *arena, const struct slirp_options *options,
			 const int pipes[PIPES][2])
{
	char **argv = arena_array(arena, 20, sizeof(*argv));
	char network[16];
	size_t n = 0;

	if (!argv)
		return NULL;
	argv[n++] = arena_strdup(arena, options->helper);
	argv[n++] = arena_printf(arena, "--mtu=%u", options->mtu ? options->mtu : 65520);
	argv[n++] = arena_printf(arena, "--exit-fd=%d", pipes[PIPE_EXIT][0]);
	argv[n++] = arena_printf(arena, "--ready-fd=%d", pipes[PIPE_READY][1]);
	if (options->network)
		argv[n++] = arena_printf(arena, "--cidr=%s/%u",
					 slirp_address_text(options->network, network),
					 options->prefix);
	if (options->configure)
		argv[n++] = arena_strdup(arena, "--configure");
	if (!options->no_sandbox)
		argv[n++] = arena_strdup(arena, "--enable-sandbox");
	if (!options->no_seccomp)
		argv[n++] = arena_strdup(arena, "--enable-seccomp");
	if (!options->allow_host_loopback)
		argv[n++] = arena_strdup(arena, "--disable-host-loopback");
	if (options->no_dns)
		argv[n++] = arena_strdup(arena, "--disable-dns");
	if (options->ipv6)
		argv[n++] = arena_strdup(arena, "--enable-ipv6");
	if (options->api_socket)
		argv[n++] = arena_printf(arena, "--api-socket=%s", options->api_socket);
	n += argv_target(arena, options, argv + n);
	for (size_t i = 0; i < n; i++)
		if (!argv[i])
			return NULL;
	return argv;
}

/*
 * The pipe on which it says that it is ready is full: slirp4netns has opened its tap by then, reads
 * from it after that, and waits in write(2) until somebody makes room. Only its tap is not waited
 * for: how long that takes nobody says.
 */
static int pipe_fill(int fd, size_t *ret_bytes)
{
	static const char filler[4096];
	int flags = sys_fcntl(fd, F_GETFL, 0);
	ssize_t n;
	int r;

	/* the smallest there is; one that could not be made smaller is as good */
	(void)sys_fcntl(fd, F_SETPIPE_SZ, sizeof(filler));
	r = flags < 0 ? flags : sys_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	while (r >= 0 && (n = write(fd, filler, sizeof(filler))) > 0)
		*ret_bytes += (size_t)n;
	return r < 0 ? r : sys_fcntl(fd, F_SETFL, flags);
}

int slirp_release(struct slirp *slirp)
{
	char filler[4096];

	while (slirp->held > 0) {
		size_t want = slirp->held < sizeof(filler) ? slirp->held : sizeof(filler);
		ssize_t n = read(slirp->ready, filler, want);

		if (n == 0 || (n < 0 && errno != EINTR))
			return n < 0 ? -errno : -EPIPE;
		slirp->held -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int slirp_spawn(struct slirp *slirp, struct arena *arena, const struct slirp_options *options)
{
	int pipes[PIPES][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
	struct net_exec exec = {
		.path = options->helper, .dir = options->dir, .same_group = options->same_group};
	int rc = 0;

	slirp_init(slirp);
	for (size_t i = 0; rc == 0 && i < PIPES; i++)
		if (pipe2(pipes[i], O_CLOEXEC | (i == PIPE_OUTPUT ? O_NONBLOCK : 0)) < 0)
			rc = -errno;
	if (rc == 0 && options->held)
		rc = pipe_fill(pipes[PIPE_READY][1], &slirp->held);
	if (rc >= 0) {
		const int keep[] = {pipes[PIPE_EXIT][0], pipes[PIPE_READY][1], options->netns,
				    options->userns};

		memcpy(exec.keep, keep, sizeof(keep));
		exec.output = pipes[PIPE_OUTPUT][1];
		exec.argv = slirp_argv(arena, options, pipes);
		rc = exec.argv ? net_spawn(&exec, &slirp->pidfd) : -ENOMEM;
	}
	/* the other ends are its own: their end of file must be its end */
	fd_close(&pipes[PIPE_EXIT][0]);
	fd_close(&pipes[PIPE_READY][1]);
	fd_close(&pipes[PIPE_OUTPUT][1]);
	slirp->exit_fd = pipes[PIPE_EXIT][1];
	slirp->ready = pipes[PIPE_READY][0];
	slirp->output = pipes[PIPE_OUTPUT][0];
	return rc < 0 ? rc : 0;
}

int slirp_await(const struct slirp *slirp, int timeout_ms)
{
	struct pollfd fds[] = {{.fd = slirp->ready, .events = POLLIN},
			       {.fd = slirp->pidfd, .events = POLLIN}};
	char byte;
	int n;

	do
		n = poll(fds, 2, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n > 0 && (fds[0].revents & POLLIN) && read(slirp->ready, &byte, 1) == 1 && byte == '1')
		return 0;
	return n == 0 ? -ETIMEDOUT : -EPIPE;
}

void net_output_listen(int *output, const char *name, char said[NET_SAID_BYTES])
{
	char text[1024];
	size_t from;
	ssize_t len;

	if (*output < 0)
		return;
	while ((len = read(*output, text, sizeof(text) - 1)) > 0) {
		while (len > 0 && text[len - 1] == '\n')
			len--;
		text[len] = '\0';
		for (char *at = text; *at; at++)
			if (*at == '\n')
				*at = ';';
		from = len < NET_SAID_BYTES ? 0 : (size_t)len - NET_SAID_BYTES + 1;
		memcpy(said, text + from, (size_t)len - from + 1);
		log_debug("%s: %s", name, text);
	}
	if (len == 0)
		fd_close(output);
}

void slirp_listen(struct slirp *slirp)
{
	net_output_listen(&slirp->output, "slirp4netns", slirp->said);
}

int slirp_failed(struct slirp *slirp, int rc, int timeout_ms, struct rb_err *err)
{
	siginfo_t info = {0};

	if (rc == -ETIMEDOUT)
		(void)sys_pidfd_send_signal(slirp->pidfd, SIGKILL);
	(void)sys_wait_pidfd(slirp->pidfd, &info, WEXITED);
	fd_close(&slirp->pidfd);
	slirp_listen(slirp);
	if (rc == -ETIMEDOUT)
		err_set(err, RB_SLIRP_FAILED, 0, "slirp4netns was not ready after %d ms: %s",
			timeout_ms, slirp->said);
	else
		err_set(err, RB_SLIRP_FAILED, 0, "slirp4netns ended with %s %d: %s",
			info.si_code == CLD_EXITED ? "status" : "signal", info.si_status,
			slirp->said[0] ? slirp->said : "it said nothing");
	slirp_end(slirp);
	return -EPIPE;
}

/*
 * tun(4): 20 ms of rcu_barrier in its exit_files() otherwise. One without a tap yet dies at once. The
 * exit pipe is closed: it was done before.
 */
void slirp_kill(struct slirp *slirp)
{
	bool done = slirp->pidfd < 0 || slirp->exit_fd < 0;
	CLEANUP_FD int tap = done ? -1 : net_tap_find(slirp->pidfd);

	if (tap >= 0)
		(void)sys_ioctl(tap, TUNSETPERSIST, 1);
	fd_close(&slirp->exit_fd);
	if (slirp->pidfd >= 0)
		(void)sys_pidfd_send_signal(slirp->pidfd, SIGKILL);
}

void slirp_end(struct slirp *slirp)
{
	slirp_kill(slirp);
	sys_pidfd_end(&slirp->pidfd);
	fd_close(&slirp->ready);
	fd_close(&slirp->output);
}
