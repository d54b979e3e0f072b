/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces, limits and the identity of the process. Runs in the child. Each handler is the one
 * system call in its name, or the short sequence its comment gives.
 */
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include "exec/ops.h"

int op_setns(struct exec_child *child, const struct plan_op *op)
{
	return sys_setns(child->slots[op->slot], op->arg[0]);
}

int op_unshare(struct exec_child *child UNUSED, const struct plan_op *op)
{
	return sys_unshare(op->arg[0]);
}

int op_root_ids(struct exec_child *child UNUSED, const struct plan_op *op)
{
	int r = sys_setresgid((gid_t)op->arg[1]);

	return r < 0 ? r : sys_setresuid((uid_t)op->arg[0]);
}

/* No ptrace, no /proc/PID/exe, fd or mem for whoever else lives in these namespaces. */
int op_undumpable(struct exec_child *child UNUSED, const struct plan_op *op UNUSED)
{
	return sys_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

int op_umask(struct exec_child *child UNUSED, const struct plan_op *op)
{
	sys_umask((mode_t)op->arg[0]);
	return 0;
}

int op_hostname(struct exec_child *child, const struct plan_op *op)
{
	const char *name = op_str(child, op, 0);

	return sys_sethostname(name, strlen(name));
}

int op_domainname(struct exec_child *child, const struct plan_op *op)
{
	const char *name = op_str(child, op, 0);

	return sys_setdomainname(name, strlen(name));
}

/* netdevice(7): get the flags of "lo", set them with IFF_UP. */
int op_loopback(struct exec_child *child UNUSED, const struct plan_op *op UNUSED)
{
	struct ifreq request = {.ifr_name = "lo"};
	int sock = sys_socket(AF_INET, SOCK_DGRAM, 0);
	int r;

	if (sock < 0)
		return sock;
	r = sys_ioctl(sock, SIOCGIFFLAGS, (unsigned long)&request);
	request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
	if (r == 0)
		r = sys_ioctl(sock, SIOCSIFFLAGS, (unsigned long)&request);
	sys_close(sock);
	return r;
}

/* An anonymous session keyring, so that the program cannot search ours. */
int op_keyring(struct exec_child *child UNUSED, const struct plan_op *op UNUSED)
{
	long r = sys_keyctl(KEYCTL_JOIN_SESSION_KEYRING, 0);

	return r < 0 ? (int)r : 0;
}

int op_setsid(struct exec_child *child UNUSED, const struct plan_op *op UNUSED)
{
	int r = sys_setsid();

	/* EPERM: already the leader of its group, so of a session nobody shares (pid 1 is) */
	return r < 0 && r != -EPERM ? r : 0;
}

int op_write_proc(struct exec_child *child, const struct plan_op *op)
{
	const char *value = op_str(child, op, 1);
	size_t len = strlen(value);
	int fd = sys_openat2(child->slots[op->slot], op_str(child, op, 0), O_WRONLY | O_NOFOLLOW, 0,
			     RESOLVE_BENEATH | RESOLVE_NO_XDEV);
	ssize_t r;

	if (fd < 0)
		return fd;
	r = sys_write(fd, value, len);
	sys_close(fd);
	if (r < 0)
		return (int)r;
	return (size_t)r == len ? 0 : -EIO;
}

int op_rlimit(struct exec_child *child UNUSED, const struct plan_op *op)
{
	struct rlimit64 limit = {.rlim_cur = op->arg[1], .rlim_max = op->arg[2]};

	return sys_prlimit(0, (int)op->arg[0], &limit, NULL);
}

int op_bounding(struct exec_child *child UNUSED, const struct plan_op *op)
{
	for (unsigned cap = 0; cap < 64; cap++) {
		int r;

		if (op->arg[0] >> cap & 1)
			continue;
		r = sys_prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
		if (r == -EINVAL) /* beyond the kernel's last capability */
			return 0;
		/* without CAP_SETPCAP it may be gone already */
		if (r == -EPERM && sys_prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 0)
			continue;
		if (r < 0)
			return r;
	}
	return 0;
}

/* setgroups, setresgid, setresuid; capabilities stay permitted for the capset that follows. */
int op_ids(struct exec_child *child, const struct plan_op *op)
{
	const struct plan_list *groups = plan_list_at(child->plan, op->list);
	int r = 0;

	if (op->arg[2] == 0)
		r = sys_setgroups(groups ? groups->count : 0, groups ? groups->item : NULL);
	if (r == 0)
		r = sys_setresgid((gid_t)op->arg[1]);
	if (r == 0)
		r = sys_prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
	if (r == 0)
		r = sys_setresuid((uid_t)op->arg[0]);
	if (r == 0)
		r = sys_prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
	return r;
}

int op_caps(struct exec_child *child UNUSED, const struct plan_op *op)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
		{(uint32_t)op->arg[0], (uint32_t)op->arg[1], (uint32_t)op->arg[2]},
		{(uint32_t)(op->arg[0] >> 32), (uint32_t)(op->arg[1] >> 32),
		 (uint32_t)(op->arg[2] >> 32)},
	};

	return SYS_CALL(SYS_capset, &header, data);
}

int op_ambient(struct exec_child *child UNUSED, const struct plan_op *op)
{
	int r = sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);

	for (unsigned cap = 0; r == 0 && cap < 64; cap++)
		if (op->arg[0] >> cap & 1)
			r = sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
	return r;
}

int op_no_new_privs(struct exec_child *child UNUSED, const struct plan_op *op UNUSED)
{
	return sys_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/*
 * The second line behind the monitor. Set after the ids, whose change clears it: prctl(2). A
 * parent that died before is noticed by the next message to it.
 */
int op_death_signal(struct exec_child *child UNUSED, const struct plan_op *op UNUSED)
{
	return sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

/*
 * To the parent, which knows the agent. The filter is in force already: sendmsg(2) must be allowed
 * by it, and not be one of those that wait for the agent (spec_seccomp.c makes sure).
 */
static int send_listener(struct exec_child *child, int listener)
{
	struct handshake record = {.type = HS_LISTENER};
	int r = handshake_send(child->sock, &record, listener);

	sys_close(listener);
	return r;
}

int filter_install(const struct exec_child *child, uint64_t flags)
{
	struct sock_fprog program = {
		.len = (unsigned short)child->plan->n_bpf,
		.filter = (struct sock_filter *)plan_bpf(child->plan),
	};

	return sys_seccomp(SECCOMP_SET_MODE_FILTER, (unsigned)flags, &program);
}

int op_seccomp(struct exec_child *child, const struct plan_op *op)
{
	int r = filter_install(child, op->arg[0]);

	if (r < 0 || !(op->arg[0] & SECCOMP_FILTER_FLAG_NEW_LISTENER))
		return r < 0 ? r : 0;
	return send_listener(child, r);
}

/* The kernel's struct sigaction, which glibc hides behind its own. */
struct kernel_sigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	unsigned char mask[8];
};

/*
 * What has its default action already keeps it: execve(2) resets what is handled and nothing else.
 * So says a parent that starts many children and changes no action between them; of others all are
 * reset.
 */
int op_reset_signals(struct exec_child *child, const struct plan_op *op UNUSED)
{
	static const struct kernel_sigaction action; /* SIG_DFL, no flags */
	static const unsigned char nothing[8];

	for (int sig = 1; sig <= 64; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && !(child->default_signals >> (sig - 1) & 1))
			/* EINVAL: a number this architecture lacks */
			(void)SYS_CALL(SYS_rt_sigaction, sig, &action, NULL, sizeof(nothing));
	return SYS_CALL(SYS_rt_sigprocmask, SIG_SETMASK, nothing, NULL, sizeof(nothing));
}
