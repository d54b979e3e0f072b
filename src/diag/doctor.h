/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * `runbuild doctor`: can this user run rootless builds on this host? Each thing that such a build
 * needs is tried for real, in a process of its own that is ended after DOCTOR_SECONDS, and nothing
 * of it is left: no process, mount, file, cgroup or interface.
 */
#include "base/arena.h"
#include "base/err.h"
#include "host/host.h"

enum finding_status {
	FINDING_OK,
	FINDING_INFO,    /* worth knowing, or not tried */
	FINDING_WARNING, /* builds work, with a loss */
	FINDING_ERROR,   /* rootless builds do not work */
};

/* err.what is the sentence in any case; code and fix are those of a problem. */
struct finding {
	const char *name;
	enum finding_status status;
	struct rb_err err;
};

enum { DOCTOR_PROBES_MAX = 40, DOCTOR_SECONDS = 15 };

struct doctor_report {
	struct finding v[DOCTOR_PROBES_MAX];
	size_t n;
};

/* Whose subordinate ids. */
struct doctor_owner {
	const char *file; /* "/etc/subuid", or the name of another source, for messages */
	const char *user;
	uint32_t uid;
	uint32_t own_id;                /* mapped by itself; UINT32_MAX: none */
	const struct host_idmap *outer; /* of the namespace around us */
};

/*
 * What is tried with the very code that a build would run. It belongs to folders on the floor of
 * this one, so the caller hands it in. All return 0 or -errno with *err.
 */
struct doctor_tools {
	/*
	 * The text of subuid(5) that another database than the two files has for a user, and the
	 * name of it; NULL: the files count.
	 */
	const char *(*ask_database)(struct arena *arena, const char *user, bool gid,
				    const char **ret_from);
	/*
	 * The id map that the launcher makes for an owner of such a text: own_id as 0, then the
	 * ranges as far as they exist in the outer map. Errors: RB_SUBID_*.
	 */
	int (*map_from_text)(struct arena *arena, const struct doctor_owner *owner,
			     const char *text, const char **ret_map, struct rb_err *err);
	/* The first block of 65536 ids that nobody in the text has. */
	uint32_t (*free_block)(const char *text);
	/* Writes both maps of a user namespace, through newuidmap(1) or directly. */
	int (*write_maps)(struct arena *arena, pid_t pid, const char *uid_map, const char *gid_map,
			  bool helpers, struct rb_err *err);
	/* Mounts an overlay in the directory, uses it, removes it again. */
	int (*try_overlay)(struct arena *arena, int directory, bool fuse, struct rb_err *err);
};

struct doctor_options {
	const char *directory; /* where snapshots would be; NULL: the user's data directory */
	const char *user;      /* the caller's entry in passwd(5); NULL: there is none */
	const char *home;      /* of the entry, or NULL */
	const struct doctor_tools *tools;
};

/*
 * Makes all trials, in order. Errors: RB_USAGE for a directory that is none; -EINTR when SIGINT,
 * SIGTERM, SIGHUP or SIGQUIT came meanwhile, which has its usual effect on return.
 */
int doctor_run(struct arena *arena, const struct doctor_options *options,
	       struct doctor_report *ret_report, struct rb_err *err);

/* No error among the findings: a rootless build can work. */
bool doctor_is_well(const struct doctor_report *report);

struct strbuf;

/* One line a finding, with cause and remedy below; marks from Unicode or ASCII. */
void doctor_print_text(const struct doctor_report *report, bool unicode, struct strbuf *out);

/* [{"name", "status", "code", "what", "fix"}, ...]; code and fix are null without a problem. */
void doctor_print_json(const struct doctor_report *report, struct strbuf *out);

/* Is it an error whose remedy `runbuild doctor` may find, or find more about? */
bool doctor_helps(enum rb_code code);
