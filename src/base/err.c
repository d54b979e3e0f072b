/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of an error. Runs in every process of ours but the executor, which only reports numbers.
 * Truncation is harmless here: the buffers hold texts for people, and every cut is at the end.
 */
#include "base/err.h"

int err_set(struct rb_err *err, enum rb_code code, int errnum, const char *fmt, ...)
{
	va_list args;
	size_t used;

	if (!err)
		return errnum ? -errnum : -EINVAL;
	*err = (struct rb_err){.code = code, .errnum = errnum};
	va_start(args, fmt);
	vsnprintf(err->what, sizeof(err->what), fmt, args);
	va_end(args);
	if (!errnum)
		return -EINVAL;
	used = strlen(err->what);
	snprintf(err->what + used, sizeof(err->what) - used, ": %s", strerrordesc_np(errnum));
	return -errnum;
}

void err_fix(struct rb_err *err, const char *fmt, ...)
{
	va_list args;

	if (!err)
		return;
	va_start(args, fmt);
	vsnprintf(err->fix, sizeof(err->fix), fmt, args);
	va_end(args);
}

void err_context(struct rb_err *err, const char *fmt, ...)
{
	char context[sizeof(err->what)];
	char what[sizeof(err->what)];
	va_list args;

	if (!err)
		return;
	va_start(args, fmt);
	vsnprintf(context, sizeof(context), fmt, args);
	va_end(args);
	memcpy(what, err->what, sizeof(what));
	if (snprintf(err->what, sizeof(err->what), "%s: %s", context, what) < 0)
		memcpy(err->what, what, sizeof(what));
}

void err_origin(struct rb_err *err, const char *pointer)
{
	if (err)
		snprintf(err->origin, sizeof(err->origin), "%s", pointer ? pointer : "");
}

const char *err_line(const struct rb_err *err, char *buf, size_t size)
{
	snprintf(buf, size, "%s%s%s%s%s%s [RB%04d]", err->what, err->origin[0] ? " (at " : "",
		 err->origin, err->origin[0] ? ")" : "", err->fix[0] ? "; fix: " : "", err->fix,
		 (int)err->code);
	/* one line whatever the texts quote, and nothing a terminal would obey */
	for (char *at = buf; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';
	return buf;
}
