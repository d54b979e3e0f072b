/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of the trials, and what one finding means for another. Runs in the parent, which only
 * looks at its own facts, makes the scratch directory and waits; all trials are in processes of
 * their own (trial.c). From the causes that explain most other symptoms to those that concern one
 * feature.
 */
#include <linux/capability.h>
#include <sys/signalfd.h>
#include "diag/doctor_private.h"

#define NEED_ROOT  CLONE_NEWUSER
#define NEED_MOUNT (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID)

/* clang-format off */
static const struct probe probes[] = {
	{"kernel",          0,                         FINDING_ERROR,   probe_kernel},
	{"user-namespaces", NEED_ROOT,                 FINDING_ERROR,   probe_userns},
	{"namespace-limits",0,                         FINDING_ERROR,   probe_limits},
	{"userns-sysctl",   0,                         FINDING_ERROR,   probe_userns_sysctl},
	{"apparmor",        0,                         FINDING_ERROR,   probe_apparmor},
	{"selinux",         0,                         FINDING_ERROR,   probe_selinux},
	{"system-calls",    NEED_ROOT | CLONE_NEWNS,   FINDING_ERROR,   probe_calls},
	{"seccomp-filter",  0,                         FINDING_ERROR,   probe_seccomp},
	{"subuid",          0,                         FINDING_ERROR,   probe_subuid},
	{"subgid",          0,                         FINDING_ERROR,   probe_subgid},
	{"newuidmap",       0,                         FINDING_ERROR,   probe_newuidmap},
	{"newgidmap",       0,                         FINDING_ERROR,   probe_newgidmap},
	{"id-maps",         0,                         FINDING_ERROR,   probe_idmaps},
	{"proc",            NEED_MOUNT,                FINDING_WARNING, probe_proc},
	{"overlay",         NEED_MOUNT,                FINDING_ERROR,   probe_overlay},
	{"dev-fuse",        0,                         FINDING_ERROR,   probe_dev_fuse},
	{"fuse-overlayfs",  NEED_MOUNT,                FINDING_ERROR,   probe_fuse},
	{"dev-net-tun",     0,                         FINDING_WARNING, probe_tun},
	{"slirp4netns",     0,                         FINDING_WARNING, probe_slirp},
	{"pasta",           0,                         FINDING_WARNING, probe_pasta},
	{"step-net",        0,                         FINDING_WARNING, probe_step_net},
	{"runtime-dir",     0,                         FINDING_WARNING, probe_runtime_dir},
	{"login",           0,                         FINDING_WARNING, probe_login},
	{"cgroup",          0,                         FINDING_WARNING, probe_cgroup},
	{"resolver",        0,                         FINDING_WARNING, probe_resolver},
	{"ping",            0,                         FINDING_WARNING, probe_ping},
	{"proxy",           0,                         FINDING_WARNING, probe_proxy},
};
/* clang-format on */
_Static_assert(ARRAY_LEN(probes) <= DOCTOR_PROBES_MAX, "the report holds every finding");

/* Without a user namespace these only repeat its failure. */
static bool needs_userns(const struct probe *probe)
{
	return probe->run != probe_userns &&
	       (probe->namespaces & CLONE_NEWUSER || probe->run == probe_idmaps ||
		probe->run == probe_tun || probe->run == probe_slirp ||
		probe->run == probe_step_net);
}

static struct finding *find(struct doctor_report *report, const char *name)
{
	for (size_t i = 0; i < report->n; i++)
		if (str_eq(report->v[i].name, name))
			return &report->v[i];
	return NULL;
}

/* One way to stack layers is enough; without the kernel's own, builds are slower. */
static void judge_storage(struct doctor_report *report)
{
	struct finding *native = find(report, "overlay");
	struct finding *fuse = find(report, "fuse-overlayfs");
	struct finding *device = find(report, "dev-fuse");

	if (!native || !fuse || !device)
		return;
	if (native->status == FINDING_OK) {
		if (fuse->status == FINDING_ERROR)
			fuse->status = FINDING_INFO;
		if (device->status == FINDING_ERROR)
			device->status = FINDING_INFO;
	} else if (fuse->status == FINDING_OK && native->status == FINDING_ERROR) {
		native->status = FINDING_WARNING;
	}
}

static void run_probes(struct doctor *doctor)
{
	struct doctor_report *report = doctor->report;

	for (size_t i = 0; i < ARRAY_LEN(probes) && !doctor->interrupted; i++) {
		struct finding *finding = &report->v[report->n];

		*finding = (struct finding){.name = probes[i].name};
		if (doctor->userns_fail && needs_userns(&probes[i]))
			found_info(finding, "not tried, because it needs a user namespace");
		else
			trial_run(doctor, &probes[i], finding);
		report->n++;
		if (probes[i].run == probe_userns && finding->status == FINDING_ERROR)
			doctor->userns_fail = true;
	}
	judge_storage(report);
}

int doctor_run(struct arena *arena, const struct doctor_options *options,
	       struct doctor_report *ret_report, struct rb_err *err)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct doctor doctor = {
		.arena = arena,
		.options = options,
		.report = ret_report,
		.parent = -1,
		.scratch = -1,
		.signals = -1,
	};
	sigset_t set;
	sigset_t before;
	int r;

	ret_report->n = 0;
	r = host_probe(HOST_WANT_ALL, &doctor.host, err);
	if (r < 0)
		return r;
	doctor.user = options->user ? options->user : arena_printf(arena, "%u", doctor.host.euid);
	if (!doctor.user)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "user name");
	doctor.may_map = host_has_cap(&doctor.host, CAP_SETUID) &&
			 host_has_cap(&doctor.host, CAP_SETGID);
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		sigaddset(&set, ends[i]);
	(void)sigprocmask(SIG_BLOCK, &set, &before);
	doctor.signals = signalfd(-1, &set, SFD_CLOEXEC);
	(void)sys_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	storage_open(&doctor);
	run_probes(&doctor);
	storage_close(&doctor);
	fd_close(&doctor.signals);
	(void)sigprocmask(SIG_SETMASK, &before, NULL); /* the signal, never read, ends us here */
	return doctor.interrupted ? err_set(err, RB_INTERNAL, EINTR, "interrupted") : 0;
}
