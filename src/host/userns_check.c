/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why this host refused a namespace. Runs in the parent after the fact; only reads. The checks go
 * from the causes that explain most other symptoms to the rare ones.
 */
#include <linux/capability.h>
#include "base/file.h"
#include "base/num.h"
#include "base/sys.h"
#include "host/userns_check.h"

int64_t sysctl_number(const char *path)
{
	char text[32];
	uint64_t value;
	ssize_t len = file_read_small(AT_FDCWD, path, text, sizeof(text));

	if (len <= 0 || num_parse_u64(text, strspn(text, "0123456789"), INT64_MAX, &value) < 0)
		return -1;
	return (int64_t)value;
}

static bool status_has(const char *line)
{
	char text[4096];

	return file_read_small(AT_FDCWD, "/proc/self/status", text, sizeof(text)) > 0 &&
	       strstr(text, line) != NULL;
}

/*
 * Is "/" something else than the root of our mount namespace? Certain when it is no mount at all
 * (statx(2), STATX_ATTR_MOUNT_ROOT), or is not what process 1 has, where that can be seen.
 */
static bool in_chroot(void)
{
	struct statx root;
	struct stat ours;
	struct stat first;

	if (statx(AT_FDCWD, "/", 0, 0, &root) == 0 &&
	    (root.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) &&
	    !(root.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return true;
	return stat("/", &ours) == 0 && stat("/proc/1/root/", &first) == 0 &&
	       (ours.st_dev != first.st_dev || ours.st_ino != first.st_ino);
}

static int explain_limit(struct rb_err *err)
{
	int64_t limit = sysctl_number("/proc/sys/user/max_user_namespaces");

	if (limit == 0) {
		err_set(err, RB_USERNS_LIMIT, 0,
			"user namespaces are switched off: "
			"user.max_user_namespaces is 0");
		err_fix(err, "sudo sysctl -w user.max_user_namespaces=28633 (to keep it, put the "
			     "same line into /etc/sysctl.d/99-userns.conf)");
	} else {
		err_set(err, RB_USERNS_LIMIT, ENOSPC,
			"the limit of namespaces is used up, here or in an outer user namespace");
		err_fix(err, "raise the sysctls user.max_*_namespaces on the host");
	}
	return -ENOSPC;
}

static bool holds_sys_admin(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

	return syscall(SYS_capget, &header, data) == 0 && (data[0].effective >> CAP_SYS_ADMIN & 1);
}

static int explain_seccomp(int errnum, struct rb_err *err)
{
	err_set(err, RB_USERNS_SECCOMP, errnum,
		"the seccomp profile around this process blocks namespaces or mounts");
	err_fix(err, "docker: --security-opt seccomp=unconfined; Kubernetes: "
		     "seccompProfile: {type: Unconfined}; GitLab: security_opt = "
		     "[\"seccomp:unconfined\"] in [runners.docker]");
	return -errnum;
}

/* The profile is for a path: this program's. */
static void explain_restriction(int errnum, const char *what, struct rb_err *err)
{
	char path[128];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[len > 0 ? len : 0] = '\0';
	err_set(err, RB_USERNS_APPARMOR, errnum, "AppArmor %s", what);
	err_fix(err,
		"printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile runbuild %s "
		"flags=(unconfined) { userns, }\\n' | sudo tee /etc/apparmor.d/runbuild && sudo "
		"apparmor_parser -r /etc/apparmor.d/runbuild",
		path);
}

static bool is_restricted(void)
{
	return sysctl_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1;
}

static int explain_user_denied(int errnum, struct rb_err *err)
{
	char map[8];

	if (status_has("\nSeccomp:\t2")) {
		return explain_seccomp(errnum, err);
	} else if (in_chroot()) {
		err_set(err, RB_USERNS_CHROOT, errnum,
			"user namespaces cannot be created in a chroot");
		err_fix(err, "run outside the chroot, or enter the tree with pivot_root");
	} else if (file_read_small(AT_FDCWD, "/proc/self/uid_map", map, sizeof(map)) == 0) {
		err_set(err, RB_USERNS_DENIED, errnum,
			"this process has no mapped uid (/proc/self/uid_map is empty)");
		err_fix(err, "whatever made this user namespace must write its uid_map first");
	} else if (sysctl_number("/proc/sys/kernel/unprivileged_userns_clone") == 0) {
		err_set(err, RB_USERNS_DENIED, errnum, "kernel.unprivileged_userns_clone is 0");
		err_fix(err, "sudo sysctl -w kernel.unprivileged_userns_clone=1");
	} else if (is_restricted()) {
		explain_restriction(errnum,
				    "restricts user namespaces of programs without a profile", err);
	} else {
		err_set(err, RB_USERNS_DENIED, errnum, "the kernel refuses a user namespace");
		err_fix(err, "run outside of a chroot; see the kernel's log (dmesg) for what a "
			     "security module has denied");
	}
	return -errnum;
}

size_t userns_label_confines(const char *label)
{
	const char *mode = strstr(label, " (enforce)");

	return mode ? (size_t)(mode - label) : 0;
}

bool userns_explain_inside(int errnum, struct rb_err *err)
{
	/* what Ubuntu puts a process into that has made a user namespace without a profile */
	static const char taken[] = "unprivileged_userns";
	char label[128];
	ssize_t len = file_read_small(AT_FDCWD, "/proc/self/attr/apparmor/current", label,
				      sizeof(label));
	size_t name;

	if (errnum != EPERM && errnum != EACCES)
		return false;
	if (len <= 0)
		len = file_read_small(AT_FDCWD, "/proc/self/attr/current", label, sizeof(label));
	name = len > 0 ? userns_label_confines(label) : 0;
	if (name && (name != strlen(taken) || strncmp(label, taken, name) != 0)) {
		err_set(err, RB_USERNS_APPARMOR, errnum,
			"the AppArmor profile '%.*s' around this process forbids it to set up a "
			"user namespace",
			(int)name, label);
		err_fix(err, "docker: --security-opt apparmor=unconfined; Kubernetes: "
			     "appArmorProfile: {type: Unconfined}");
	} else if (name || is_restricted()) {
		explain_restriction(errnum,
				    "takes all capabilities away from this program inside a user "
				    "namespace",
				    err);
	} else if (status_has("\nSeccomp:\t2")) {
		(void)explain_seccomp(errnum, err);
	} else {
		return false;
	}
	return true;
}

int userns_explain(int errnum, bool user, struct rb_err *err)
{
	if (errnum == ENOSPC)
		return explain_limit(err);
	/* container engines let clone3(2) look as if it did not exist, to be asked for clone(2) */
	if (errnum == ENOSYS && status_has("\nSeccomp:\t2"))
		return explain_seccomp(errnum, err);
	if (errnum == EINVAL || errnum == ENOSYS) {
		err_set(err, RB_KERNEL, errnum, "this kernel cannot make the namespaces");
		err_fix(err, "Linux 5.12 or newer with user namespaces is needed");
		return -errnum;
	}
	if (user && (errnum == EPERM || errnum == EACCES))
		return explain_user_denied(errnum, err);
	if (errnum == EPERM && holds_sys_admin() && status_has("\nSeccomp:\t2"))
		return explain_seccomp(errnum, err);
	if (errnum == EPERM) {
		err_set(err, RB_NOT_ROOT, EPERM, "cannot make namespaces without CAP_SYS_ADMIN");
		err_fix(err, "run under 'runbuild rootless --', or add a user namespace to the "
			     "configuration ('runbuild spec --rootless')");
		return -EPERM;
	}
	return err_set(err, RB_NAMESPACE, errnum, "cannot make the container's process");
}
