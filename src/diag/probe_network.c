/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network of one's own, and what of the host's configuration does not reach into it. Nothing
 * leaves the host: slirp4netns is started on an empty network namespace and ended.
 */
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include "base/file.h"
#include "diag/doctor_private.h"
#include "host/helper.h"
#include "net/filter.h"
#include "net/proxy.h"
#include "net/slirp.h"

static void tun_refused(int errnum, struct finding *finding)
{
	struct stat st;

	if (errnum == ENOENT || errnum == ENODEV || errnum == ENXIO ||
	    stat("/dev/net/tun", &st) < 0) {
		found(finding, FINDING_WARNING, RB_TUN, errnum, "/dev/net/tun");
		err_fix(&finding->err, "sudo modprobe tun, or docker run --device /dev/net/tun");
		return;
	}
	found(finding, FINDING_WARNING, RB_TUN, errnum,
	      "/dev/net/tun has mode %04o, owner %u, and cannot be opened", st.st_mode & 07777,
	      st.st_uid);
	err_fix(&finding->err, "sudo chmod 666 /dev/net/tun (for good: a udev rule)");
}

/*
 * The owner has a name outside of a user namespace only, and an interface belongs to the network
 * namespace that the device was opened in: so it is opened twice.
 */
void probe_tun(struct doctor *doctor UNUSED, struct finding *finding)
{
	CLEANUP_FD int outside = sys_openat(AT_FDCWD, "/dev/net/tun", O_RDWR, 0);
	CLEANUP_FD int fd = -1;
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int r;

	if (outside < 0) {
		tun_refused(-outside, finding);
		return;
	}
	memcpy(request.ifr_name, "tap0", sizeof("tap0"));
	r = sys_unshare(CLONE_NEWUSER | CLONE_NEWNET);
	if (r == 0)
		r = fd = sys_openat(AT_FDCWD, "/dev/net/tun", O_RDWR, 0);
	if (r >= 0)
		r = sys_ioctl(fd, TUNSETIFF, (unsigned long)&request);
	if (r == 0) {
		found_ok(finding, "makes an interface in a network namespace");
		return;
	}
	found(finding, FINDING_WARNING, RB_TUN, -r, "/dev/net/tun makes no interface");
	err_fix(&finding->err, "is it the device 10:200? sudo modprobe tun");
}

/* Asked about slirp4netns once it runs; its pidfd. */
typedef int slirp_question(int pidfd, struct rb_err *err);

/* Waited for to the trial's deadline. ask, if not NULL, has the last word. RB_SLIRP_FAILED. */
static int slirp_try(const struct doctor *doctor, const char *path, pid_t target,
		     slirp_question *ask, struct rb_err *err)
{
	const struct slirp_options options = {
		.helper = path,
		.configure = true,
		.target = target,
		.netns = -1,
		.userns = -1,
		.dir = -1,
		.same_group = true,
	};
	struct slirp slirp;
	int r = slirp_spawn(&slirp, doctor->arena, &options);

	if (r < 0) {
		slirp_end(&slirp);
		return err_set(err, RB_SLIRP_FAILED, -r, "cannot start slirp4netns");
	}
	r = slirp_await(&slirp, -1);
	if (r < 0) {
		r = slirp_failed(&slirp, r, 0, err);
		err_fix(err, "use another version of %s, or --net=host", path);
		return r;
	}
	r = ask ? ask(slirp.pidfd, err) : 0;
	slirp_end(&slirp);
	return r;
}

static bool works(const struct doctor *doctor, const char *name)
{
	for (size_t i = 0; i < doctor->report->n; i++)
		if (str_eq(doctor->report->v[i].name, name))
			return doctor->report->v[i].status == FINDING_OK;
	return false;
}

static int slirp_try_network(const struct doctor *doctor, const char *path, slirp_question *ask,
			     struct rb_err *err)
{
	struct target target;
	int r = target_start(doctor, CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS, true, &target,
			     err);

	if (r < 0)
		return r;
	r = slirp_try(doctor, path, target.pid, ask, err);
	target_end(&target);
	return r;
}

void probe_slirp(struct doctor *doctor, struct finding *finding)
{
	const char *path = helper_find(doctor->arena, "slirp4netns");
	const char *const argv[] = {path, "--version", NULL};
	char version[80];

	if (!path) {
		found(finding, FINDING_WARNING, RB_SLIRP_MISSING, 0, "slirp4netns not found");
		err_fix(&finding->err, "sudo apt install slirp4netns (Fedora: sudo dnf install "
				       "slirp4netns), or use --net=host");
		return;
	}
	if (program_first_line(path, argv, version, sizeof(version)) != 0)
		snprintf(version, sizeof(version), "slirp4netns of no known version");
	if (!works(doctor, "dev-net-tun")) {
		found_info(finding, "%s; not started, because /dev/net/tun cannot be used",
			   version);
		return;
	}
	finding->status = FINDING_WARNING;
	if (slirp_try_network(doctor, path, NULL, &finding->err) == 0)
		found_ok(finding, "%s; makes a network", version);
}

/* What closes the host to raw frames of a step: net/filter.h. Here it lets nothing pass. */
static int filter_try(int pidfd, struct rb_err *err)
{
	static const struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};

	return net_filter_attach(pidfd, nothing, ARRAY_LEN(nothing), err);
}

/* The network of one step: rootless --step-net. slirp4netns is of use only with the filter. */
void probe_step_net(struct doctor *doctor, struct finding *finding)
{
	const char *path = helper_find(doctor->arena, "slirp4netns");

	if (!path || !works(doctor, "slirp4netns")) {
		found_info(finding, "--step-net=slirp4netns not tried: it needs slirp4netns and "
				    "/dev/net/tun; --step-net=none does without them");
		return;
	}
	finding->status = FINDING_WARNING;
	if (slirp_try_network(doctor, path, filter_try, &finding->err) == 0)
		found_ok(finding, "each step can have its own, closed to the host: runbuild "
				  "rootless --step-net=slirp4netns");
}

void probe_pasta(struct doctor *doctor, struct finding *finding)
{
	const char *path = helper_find(doctor->arena, "pasta");
	const char *const argv[] = {path, "--version", NULL};
	char version[80];

	if (!path)
		found_info(finding, "not installed; slirp4netns does the same");
	else if (program_first_line(path, argv, version, sizeof(version)) == 0 && version[0])
		found_ok(finding, "%s", version);
	else
		found_info(finding, "%.200s does not say its version", path);
}

/* resolv.conf(5): "nameserver ADDRESS" lines; how many, and how many of them on loopback. */
static unsigned count_servers(const char *text, unsigned *ret_loopback)
{
	unsigned n = 0;

	*ret_loopback = 0;
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		const char *at = text + strlen("nameserver");
		size_t len;

		if (!str_starts(text, "nameserver") || (*at != ' ' && *at != '\t'))
			continue;
		at += strspn(at, " \t");
		len = strcspn(at, " \t\n%");
		n++;
		*ret_loopback += proxy_host_is_loopback(at, len);
	}
	return n;
}

void probe_resolver(struct doctor *doctor, struct finding *finding)
{
	/* a link, usually: followed, as the resolver does */
	CLEANUP_FD int fd = sys_openat(AT_FDCWD, "/etc/resolv.conf", O_RDONLY | O_NONBLOCK, 0);
	char *text = NULL;
	unsigned loopback = 0;
	unsigned n = 0;
	int r = fd < 0 ? fd : file_read_fd(doctor->arena, fd, LIMIT_RESOLV_BYTES, &text, NULL);

	if (r < 0) {
		found(finding, FINDING_WARNING, RB_RESOLVER, -r, "cannot read /etc/resolv.conf");
		err_fix(&finding->err, "make /etc/resolv.conf a file, or start the service that "
				       "its link belongs to");
		return;
	}
	n = count_servers(text, &loopback);
	if (n > 0 && loopback == n) {
		found(finding, FINDING_INFO, RB_RESOLVER, 0,
		      "all name servers are on the loopback interface");
		err_fix(&finding->err, "give steps a network by --net=slirp4netns, whose resolver "
				       "asks the host's; BuildKit puts public servers in place of "
				       "loopback ones");
	} else {
		found_ok(finding, "%u name server%s", n, n == 1 ? "" : "s");
	}
}

void probe_ping(struct doctor *doctor, struct finding *finding)
{
	char text[64];
	uint32_t from = 1;
	uint32_t to = 0;

	if (file_read_small(AT_FDCWD, "/proc/sys/net/ipv4/ping_group_range", text, sizeof(text)) <=
		    0 ||
	    sscanf(text, "%" SCNu32 " %" SCNu32, &from, &to) != 2) {
		found_info(finding, "net.ipv4.ping_group_range cannot be read");
	} else if (from <= doctor->host.egid && doctor->host.egid <= to) {
		found_ok(finding, "allowed without privilege");
	} else {
		found_info(finding, "not allowed on the host's network without privilege");
		err_fix(&finding->err, "sudo sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"");
	}
}

void probe_proxy(struct doctor *doctor UNUSED, struct finding *finding)
{
	const char *set;
	const char *loopback = proxy_on_loopback(&set);

	if (loopback)
		found(finding, FINDING_WARNING, RB_PROXY, 0,
		      "%s is on the loopback interface, which steps cannot reach", loopback);
	else
		found_ok(finding, set ? "%s can be reached from steps" : "none is set", set);
}
