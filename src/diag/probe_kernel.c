/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel and its security modules allow. Each function is a probe and runs in a process
 * of its own; where the table in doctor.c says so, as root of a user namespace.
 */
#include <linux/filter.h>
#include <sched.h>
#include <sys/utsname.h>
#include "base/file.h"
#include "base/num.h"
#include "diag/doctor_private.h"
#include "host/userns_check.h"

/* The first release in which everything that is used works: runbuild(7), RB0300. */
enum { KERNEL_MAJOR = 5, KERNEL_MINOR = 12 };

static int release_parse(const char *release, uint64_t *ret_major, uint64_t *ret_minor)
{
	size_t len = strspn(release, "0123456789");
	const char *rest = release + len;
	int r = num_parse_u64(release, len, 1000, ret_major);

	if (r < 0 || *rest != '.')
		return -EINVAL;
	rest++;
	return num_parse_u64(rest, strspn(rest, "0123456789"), 100000, ret_minor);
}

void probe_kernel(struct doctor *doctor UNUSED, struct finding *finding)
{
	struct utsname uts = {0};
	uint64_t major = 0;
	uint64_t minor = 0;

	if (uname(&uts) < 0 || release_parse(uts.release, &major, &minor) < 0)
		found_info(finding, "the release '%.60s' is of no known form", uts.release);
	else if (major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR))
		found(finding, FINDING_ERROR, RB_KERNEL, 0, "Linux %.60s is older than %d.%d",
		      uts.release, KERNEL_MAJOR, KERNEL_MINOR);
	else
		found_ok(finding, "Linux %.60s", uts.release);
}

/*
 * Calls with arguments that the kernel refuses before it does anything: EINVAL or EBADF means
 * that the call is there. EPERM, for root of a user namespace, is a seccomp filter's answer.
 */
static const struct open_how how = {.flags = O_CLOEXEC};
static const struct {
	const char *name;
	long number;
	long args[5];
} calls[] = {
	{"clone3", SYS_clone3, {0, 0}},
	{"close_range", SYS_close_range, {1, 0, 0}},
	{"faccessat2", SYS_faccessat2, {-1, (long)"", -1, -1}},
	{"fsconfig", SYS_fsconfig, {-1, 0, 0, 0, 0}},
	{"fsmount", SYS_fsmount, {-1, -1, -1}},
	{"fsopen", SYS_fsopen, {(long)"", -1}},
	{"mount_setattr", SYS_mount_setattr, {-1, (long)"", -1, 0, 0}},
	{"move_mount", SYS_move_mount, {-1, (long)"", -1, (long)"", -1}},
	{"open_tree", SYS_open_tree, {-1, (long)"", -1}},
	{"openat2", SYS_openat2, {-1, (long)"", (long)&how, 0}},
	{"pidfd_open", SYS_pidfd_open, {-1, 0}},
	{"pidfd_send_signal", SYS_pidfd_send_signal, {-1, 0, 0, 0}},
};

/* The names of those that answer with the error, as "a, b"; the number of them. */
static size_t calls_that_fail(int errnum, char *names, size_t size)
{
	size_t len = 0;
	size_t n = 0;

	names[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		const long *a = calls[i].args;

		if (SYS_CALL(calls[i].number, a[0], a[1], a[2], a[3], a[4]) != -errnum)
			continue;
		if (len < size)
			len += (size_t)snprintf(names + len, size - len, "%s%s", n ? ", " : "",
						calls[i].name);
		n++;
	}
	return n;
}

void probe_calls(struct doctor *doctor UNUSED, struct finding *finding)
{
	char names[300];

	if (calls_that_fail(ENOSYS, names, sizeof(names))) {
		found(finding, FINDING_ERROR, RB_KERNEL, 0, "system calls that are missing: %s",
		      names);
		err_fix(&finding->err,
			"Linux %d.%d or newer is needed; a sandbox or an old seccomp profile may "
			"hide calls as well",
			KERNEL_MAJOR, KERNEL_MINOR);
	} else if (calls_that_fail(EPERM, names, sizeof(names))) {
		found(finding, FINDING_ERROR, RB_USERNS_SECCOMP, 0,
		      "system calls that are blocked: %s", names);
	} else {
		found_ok(finding, "all %zu that are needed", ARRAY_LEN(calls));
	}
}

/* A filter that allows everything, installed for real: the process ends with the probe. */
void probe_seccomp(struct doctor *doctor UNUSED, struct finding *finding)
{
	struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog program = {ARRAY_LEN(code), code};
	int r = sys_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);

	if (r == 0)
		r = sys_seccomp(SECCOMP_SET_MODE_FILTER, 0, &program);
	if (r == 0) {
		found_ok(finding, "can be installed");
		return;
	}
	found(finding, FINDING_ERROR, RB_SECCOMP, -r, "a seccomp filter cannot be installed");
	err_fix(&finding->err, "use a kernel with CONFIG_SECCOMP_FILTER");
}

/* Namespaces alone say little: AppArmor lets them be made and then takes every capability. */
void probe_userns(struct doctor *doctor UNUSED, struct finding *finding)
{
	static const struct {
		const char *name;
		uint64_t flag;
	} inner[] = {
		{"mount", CLONE_NEWNS}, {"network", CLONE_NEWNET}, {"pid", CLONE_NEWPID},
		{"ipc", CLONE_NEWIPC},  {"uts", CLONE_NEWUTS},     {"cgroup", CLONE_NEWCGROUP},
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(inner); i++) {
		r = sys_unshare(inner[i].flag);
		if (r == 0)
			continue;
		(void)userns_explain(-r, true, &finding->err);
		err_context(&finding->err, "no %s namespace", inner[i].name);
		finding->status = FINDING_ERROR;
		return;
	}
	r = sys_mount("none", "/", NULL, 1UL << 18 | 1UL << 14, NULL); /* MS_PRIVATE | MS_REC */
	if (r == 0)
		r = sys_sethostname("doctor", 6);
	if (r == 0) {
		found_ok(finding, "can be made, and every other namespace in them");
		return;
	}
	if (!userns_explain_inside(-r, &finding->err))
		(void)userns_explain(-r, true, &finding->err);
	err_context(&finding->err, "without privilege inside");
	finding->status = FINDING_ERROR;
}

void probe_limits(struct doctor *doctor UNUSED, struct finding *finding)
{
	static const char *const names[] = {"user", "mnt", "net", "pid", "ipc", "uts", "cgroup"};
	int64_t first = -1;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[64];
		int64_t limit;

		snprintf(path, sizeof(path), "/proc/sys/user/max_%s_namespaces", names[i]);
		limit = sysctl_number(path);
		if (i == 0)
			first = limit;
		if (limit != 0)
			continue;
		found(finding, FINDING_ERROR, RB_USERNS_LIMIT, 0, "user.max_%s_namespaces is 0",
		      names[i]);
		err_fix(&finding->err,
			"sudo sysctl -w user.max_%s_namespaces=28633 (to keep it, put the same "
			"line into /etc/sysctl.d/99-userns.conf)",
			names[i]);
		return;
	}
	if (first < 0)
		found_info(finding, "/proc/sys/user cannot be read");
	else
		found_ok(finding, "user.max_user_namespaces is %" PRId64, first);
}

/* A patch of Debian's and Arch's kernels; elsewhere there is no such file. */
void probe_userns_sysctl(struct doctor *doctor UNUSED, struct finding *finding)
{
	int64_t value = sysctl_number("/proc/sys/kernel/unprivileged_userns_clone");

	if (value != 0) {
		found_ok(finding, value < 0 ? "this kernel has no unprivileged_userns_clone"
					    : "kernel.unprivileged_userns_clone is set");
		return;
	}
	found(finding, doctor->userns_fail ? FINDING_ERROR : FINDING_WARNING, RB_USERNS_DENIED, 0,
	      "kernel.unprivileged_userns_clone is 0");
	err_fix(&finding->err, "sudo sysctl -w kernel.unprivileged_userns_clone=1");
}

void probe_apparmor(struct doctor *doctor, struct finding *finding)
{
	static const char sysctl[] = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
	char label[128];
	ssize_t len = file_read_small(AT_FDCWD, "/proc/self/attr/apparmor/current", label,
				      sizeof(label));

	if (!doctor->host.apparmor) {
		found_ok(finding, "not active");
		return;
	}
	if (len <= 0)
		len = file_read_small(AT_FDCWD, "/proc/self/attr/current", label, sizeof(label));
	label[len > 0 ? strcspn(label, "\n") : 0] = '\0';
	if (sysctl_number(sysctl) == 1 && str_starts(label, "unconfined") && doctor->userns_fail) {
		(void)userns_explain(EPERM, true, &finding->err);
		finding->status = FINDING_ERROR;
	} else {
		found_ok(finding, "this program runs as '%.100s'", label);
	}
}

void probe_selinux(struct doctor *doctor, struct finding *finding)
{
	if (doctor->host.selinux)
		found_info(finding, "active: what it denies is in the audit log (ausearch -m avc)");
	else
		found_ok(finding, "not active");
}

/* How many mounts hide parts of /proc, and the first of them: proc(5), mountinfo. */
static size_t proc_masks(struct doctor *doctor, const char **ret_first)
{
	char *text = NULL;
	size_t n = 0;

	if (file_read_at(doctor->arena, AT_FDCWD, "/proc/self/mountinfo", LIMIT_CONFIG_BYTES, &text,
			 NULL) < 0)
		return 0;
	while (*text) {
		char *at = text;

		text += strcspn(text, "\n");
		if (*text)
			*text++ = '\0';
		for (int field = 0; field < 4 && at; field++) {
			at = strchr(at, ' ');
			at = at ? at + 1 : NULL;
		}
		if (!at || !str_starts(at, "/proc/"))
			continue;
		at[strcspn(at, " ")] = '\0';
		if (n++ == 0)
			*ret_first = at;
	}
	return n;
}

/* The kernel decides when the file system would be attached: fsmount(2) is enough. */
void probe_proc(struct doctor *doctor, struct finding *finding)
{
	CLEANUP_FD int fs = sys_fsopen("proc");
	const char *first = "none seen";
	size_t n;
	int r = fs < 0 ? fs : sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);

	if (r >= 0)
		r = sys_fsmount(fs, 0);
	if (r >= 0) {
		sys_close(r);
		found_ok(finding, "a step can have its own");
		return;
	}
	n = proc_masks(doctor, &first);
	if (fs < 0 || n == 0) {
		found(finding, FINDING_WARNING, RB_USERNS_SECCOMP, -r,
		      "a new /proc cannot be mounted, though none of its paths is masked");
		err_fix(&finding->err, "see system-calls: a seccomp profile around this process "
				       "may forbid fsopen, fsconfig or fsmount");
		return;
	}
	found(finding, FINDING_WARNING, RB_PROC_REFUSED, -r,
	      "the surrounding /proc has %zu masked paths (%.100s), so steps use it", n, first);
	err_fix(&finding->err, "docker: --security-opt systempaths=unconfined; Kubernetes: "
			       "procMount: Unmasked with hostUsers: false; GitLab: security_opt = "
			       "[\"systempaths:unconfined\"]");
}
