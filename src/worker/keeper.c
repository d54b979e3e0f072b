/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record's copy of the upper directory, made beside the worker: copying and removing old records
 * take longer than other steps may wait. The answer to the step waits for it, so that the next one
 * on the same directory changes no evidence. Runs in a process of its own, which ends with the
 * worker; what it had begun is no part of the record then.
 */
#include <sys/file.h>
#include <sys/wait.h>
#include "base/file.h"
#include "worker/job_record.h"
#include "worker/worker_private.h"

/* In the new process, which has the worker's memory and no threads: its status is an errno. */
static void keep(const struct run *run, int records, int record) __attribute__((noreturn));
static void keep(const struct run *run, int records, int record)
{
	const struct step_snapshot *snapshot = run->step.root_snapshot;
	const int kept[] = {records, record};
	struct arena arena = {0};
	struct rb_err err;
	int r = 0;

	/* the connections of others end when the worker closes them */
	fd_keep_only(kept, ARRAY_LEN(kept));
	if (snapshot && snapshot->upper)
		r = record_keep_upper(record, snapshot->upper);
	(void)records_prune(&arena, records, LIMIT_RECORDS_KEPT, LIMIT_RECORDS_BYTES, &err);
	sys_exit(-r & 0xff);
}

static int start(struct run *run, int records, int record)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)&run->keeper,
		.exit_signal = SIGCHLD,
	};
	pid_t parent = getpid();
	pid_t pid = sys_clone3(&args);

	if (pid == 0) {
		sys_die_with(parent);
		keep(run, records, record);
	}
	if (pid < 0)
		run->keeper = -1;
	return pid < 0 ? pid : 0;
}

static void tell_no_copy(struct run *run, int errnum)
{
	const char *upper = run->step.root_snapshot ? run->step.root_snapshot->upper : NULL;
	const char *text = arena_printf(&run->job.arena,
					"the record only names the upper directory '%s', without a "
					"copy: %s",
					upper ? upper : "", record_keep_text(errnum));

	if (upper && text && run->owner)
		connection_warn(run->owner, run->step.id, "record", text);
}

void keeper_start(struct run *run)
{
	struct arena *arena = &run->job.arena;
	CLEANUP_FD int records = -1;
	CLEANUP_FD int record = -1;
	struct rb_err err = {0};
	const char *path;
	int r;

	if (run->step.record != STEP_ALWAYS &&
	    (run->step.record != STEP_FAILURE || job_is_ok(&run->job)))
		return;
	if (record_write(arena, run->params, false, &run->job, &run->record, &err) < 0 ||
	    (records = records_open(arena, &path, &err)) < 0) {
		worker_log(run->worker, WORKER_LOG_ERROR, err.what);
		return;
	}
	record = record_lock(records, run->record, LOCK_SH);
	r = record < 0 ? record : start(run, records, record);
	if (r < 0)
		tell_no_copy(run, -r);
}

bool keeper_is_done(struct run *run)
{
	siginfo_t info = {0};

	if (run->keeper < 0)
		return true;
	if (sys_wait_pidfd(run->keeper, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
		return false;
	fd_close(&run->keeper);
	if (info.si_code != CLD_EXITED || info.si_status != 0)
		tell_no_copy(run, info.si_code == CLD_EXITED ? info.si_status : ECANCELED);
	return true;
}

void keeper_end(struct run *run)
{
	CLEANUP_FD int records = -1;
	CLEANUP_FD int record = -1;
	const char *path;
	siginfo_t info;

	if (run->keeper < 0)
		return;
	(void)sys_pidfd_send_signal(run->keeper, SIGKILL);
	(void)sys_wait_pidfd(run->keeper, &info, WEXITED);
	fd_close(&run->keeper);
	records = records_open(&run->job.arena, &path, NULL);
	record = records < 0 ? -1 : record_lock(records, run->record, LOCK_SH);
	if (record >= 0)
		(void)file_remove_tree_at(record, RECORD_PARTIAL, RECORD_DEPTH);
}
