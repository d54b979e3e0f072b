/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the doctor share. A probe fills one finding and runs in a process of its own. */
#include "base/sys.h"
#include "diag/doctor.h"

struct doctor {
	struct arena *arena;
	const struct doctor_options *options;
	struct doctor_report *report;
	struct host host;
	bool may_map;          /* CAP_SETUID and CAP_SETGID: id maps are written without helpers */
	bool userns_fail;      /* a user namespace was refused: what needs one is not tried */
	const char *user;      /* login name, or the uid in digits */
	const char *directory; /* the one that overlays are tried in */
	int parent;            /* the same, opened; -1: it cannot be */
	int scratch;           /* a directory of our own in it; -1: none could be made */
	int scratch_errno;     /* why not */
	char scratch_name[64];
	int signals; /* signalfd; readable when we are to end */
	bool interrupted;
};

struct probe {
	const char *name;
	uint64_t namespaces; /* CLONE_NEW*; with CLONE_NEWUSER the caller's id is mapped as 0 */
	enum finding_status worst; /* without a feature that builds can do without: a warning */
	void (*run)(struct doctor *doctor, struct finding *finding);
};

/* trial.c: runs one probe, at the latest to its deadline. */
void trial_run(struct doctor *doctor, const struct probe *probe, struct finding *finding);

/*
 * A further process in new namespaces that does nothing until it is killed; it dies with its
 * maker. mapped: as a probe with CLONE_NEWUSER, and ready on return.
 */
struct target {
	pid_t pid;
	int pidfd;
};
int target_start(const struct doctor *doctor, uint64_t namespaces, bool mapped,
		 struct target *ret_target, struct rb_err *err);
void target_end(struct target *target);

/*
 * Runs a program with a fixed environment to its end; the first line of its output, empty when
 * there is none. It dies with its maker.
 */
int program_first_line(const char *path, const char *const argv[], char *line, size_t size);

/* What a probe found. Returns nothing, so that `return found_...` is not needed. */
void found(struct finding *finding, enum finding_status status, enum rb_code code, int errnum,
	   const char *fmt, ...) PRINTF_LIKE(5, 6);
#define found_ok(finding, ...)   found(finding, FINDING_OK, RB_OK, 0, __VA_ARGS__)
#define found_info(finding, ...) found(finding, FINDING_INFO, RB_OK, 0, __VA_ARGS__)

/* probe_kernel.c */
void probe_kernel(struct doctor *doctor, struct finding *finding);
void probe_calls(struct doctor *doctor, struct finding *finding);
void probe_seccomp(struct doctor *doctor, struct finding *finding);
void probe_userns(struct doctor *doctor, struct finding *finding);
void probe_limits(struct doctor *doctor, struct finding *finding);
void probe_userns_sysctl(struct doctor *doctor, struct finding *finding);
void probe_apparmor(struct doctor *doctor, struct finding *finding);
void probe_selinux(struct doctor *doctor, struct finding *finding);
void probe_proc(struct doctor *doctor, struct finding *finding);

/* probe_ids.c */
void probe_subuid(struct doctor *doctor, struct finding *finding);
void probe_subgid(struct doctor *doctor, struct finding *finding);
void probe_newuidmap(struct doctor *doctor, struct finding *finding);
void probe_newgidmap(struct doctor *doctor, struct finding *finding);
void probe_idmaps(struct doctor *doctor, struct finding *finding);

/* probe_storage.c */
void probe_overlay(struct doctor *doctor, struct finding *finding);
void probe_dev_fuse(struct doctor *doctor, struct finding *finding);
void probe_fuse(struct doctor *doctor, struct finding *finding);
void storage_open(struct doctor *doctor);
void storage_close(struct doctor *doctor);
void probe_remove(struct doctor *doctor, struct finding *finding);

/* probe_network.c */
void probe_tun(struct doctor *doctor, struct finding *finding);
void probe_slirp(struct doctor *doctor, struct finding *finding);
void probe_step_net(struct doctor *doctor, struct finding *finding);
void probe_pasta(struct doctor *doctor, struct finding *finding);
void probe_resolver(struct doctor *doctor, struct finding *finding);
void probe_ping(struct doctor *doctor, struct finding *finding);
void probe_proxy(struct doctor *doctor, struct finding *finding);

/* probe_session.c */
void probe_runtime_dir(struct doctor *doctor, struct finding *finding);
void probe_login(struct doctor *doctor, struct finding *finding);
void probe_cgroup(struct doctor *doctor, struct finding *finding);
