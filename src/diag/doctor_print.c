/* SPDX-License-Identifier: Apache-2.0 */
/* What a report means, and its forms: text for people, JSON for programs. Pure. */
#include "base/strbuf.h"
#include "diag/catalogue.h"
#include "diag/doctor.h"

static const char *const status_names[] = {"ok", "info", "warning", "error"};

bool doctor_is_well(const struct doctor_report *report)
{
	for (size_t i = 0; i < report->n; i++)
		if (report->v[i].status == FINDING_ERROR)
			return false;
	return true;
}

bool doctor_helps(enum rb_code code)
{
	/* clang-format off */
	static const enum rb_code codes[] = {
		RB_USERNS_DENIED, RB_USERNS_LIMIT, RB_USERNS_CHROOT, RB_USERNS_SECCOMP,
		RB_SUBID_NONE, RB_SUBID_LINE, RB_SUBID_ROOT, RB_SUBID_SYMLINK,
		RB_IDMAP_HELPER_MISSING, RB_IDMAP_HELPER_PRIVILEGE, RB_IDMAP_HELPER_FAILED,
		RB_IDMAP_WRITE, RB_IDMAP_SETUID_BOUND, RB_NO_NEW_PRIVS, RB_NO_PASSWD,
		RB_KERNEL, RB_NAMESPACE, RB_SLIRP_MISSING, RB_SLIRP_FAILED, RB_TUN,
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i] == code)
			return true;
	return false;
}

/* The remedy of this case, or else the general one of its code; NULL: nothing to do. */
static const char *finding_fix(const struct finding *finding)
{
	const struct catalogue_entry *entry = catalogue_find((int)finding->err.code);

	if (finding->err.fix[0])
		return finding->err.fix;
	return finding->err.code != RB_OK && entry ? entry->fix : NULL;
}

static void print_finding(const struct finding *finding, const char *mark, struct strbuf *out)
{
	const struct catalogue_entry *entry = catalogue_find((int)finding->err.code);
	const char *fix = finding_fix(finding);
	bool problem = finding->status >= FINDING_WARNING;

	strbuf_printf(out, "%s %-16s %s", mark, finding->name, finding->err.what);
	if (finding->err.code != RB_OK)
		strbuf_printf(out, " [RB%04d]", (int)finding->err.code);
	strbuf_add_char(out, '\n');
	if (problem && entry && finding->err.code != RB_OK)
		strbuf_printf(out, "      why: %s\n", entry->cause);
	if (fix && finding->status != FINDING_OK)
		strbuf_printf(out, "      fix: %s\n", fix);
}

static const char *plural(unsigned n)
{
	return n == 1 ? "" : "s";
}

void doctor_print_text(const struct doctor_report *report, bool unicode, struct strbuf *out)
{
	static const char *const marks[2][4] = {
		{"+", "-", "!", "x"},
		{"\u2713", "\u00b7", "!", "\u2717"},
	};
	unsigned count[4] = {0};

	for (size_t i = 0; i < report->n; i++) {
		print_finding(&report->v[i], marks[unicode][report->v[i].status], out);
		count[report->v[i].status]++;
	}
	strbuf_printf(out, "\n%u ok, %u note%s, %u warning%s, %u error%s: rootless builds %s\n",
		      count[FINDING_OK], count[FINDING_INFO], plural(count[FINDING_INFO]),
		      count[FINDING_WARNING], plural(count[FINDING_WARNING]), count[FINDING_ERROR],
		      plural(count[FINDING_ERROR]),
		      doctor_is_well(report) ? "can work here" : "do not work here yet");
}

void doctor_print_json(const struct doctor_report *report, struct strbuf *out)
{
	strbuf_add_char(out, '[');
	for (size_t i = 0; i < report->n; i++) {
		const struct finding *finding = &report->v[i];
		const char *fix = finding->status == FINDING_OK ? NULL : finding_fix(finding);

		strbuf_printf(out, "%s\n  {\"name\": \"%s\", \"status\": \"%s\", \"code\": ",
			      i ? "," : "", finding->name, status_names[finding->status]);
		if (finding->err.code == RB_OK)
			strbuf_add(out, "null");
		else
			strbuf_printf(out, "\"RB%04d\"", (int)finding->err.code);
		strbuf_add(out, ", \"what\": ");
		strbuf_add_json(out, finding->err.what);
		strbuf_add(out, ", \"fix\": ");
		if (fix)
			strbuf_add_json(out, fix);
		else
			strbuf_add(out, "null");
		strbuf_add_char(out, '}');
	}
	strbuf_add(out, "\n]\n");
}
