/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a uid is. Runs in the parent, before any namespace exists. Reads /etc/passwd itself and
 * asks getent(1) for the rest: no name-service module is loaded into this process, which a static
 * program could not do and a privileged one should not.
 */
#include "base/file.h"
#include "base/num.h"
#include "host/helper.h"
#include "launch/launch.h"

/* Field n of a line of passwd(5), counted from 0; empty when the line has fewer. */
static const char *passwd_field(const char *line, unsigned n, size_t *ret_len)
{
	size_t len = strcspn(line, ":\n");

	for (; n > 0 && line[len] == ':'; n--) {
		line += len + 1;
		len = strcspn(line, ":\n");
	}
	*ret_len = n == 0 ? len : 0;
	return line;
}

/* The line with this uid. False: there is none. */
static bool user_from_lines(struct arena *arena, const char *text, uint32_t uid,
			    struct user *ret_user)
{
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t len;
		const char *field = passwd_field(line, 2, &len);
		uint64_t number;

		if (num_parse_u64(field, len, UINT32_MAX, &number) < 0 || number != uid)
			continue;
		field = passwd_field(line, 0, &len);
		ret_user->name = arena_strndup(arena, field, len);
		field = passwd_field(line, 5, &len);
		ret_user->home = len > 0 ? arena_strndup(arena, field, len) : NULL;
		return ret_user->name != NULL;
	}
	return false;
}

/* /etc/passwd, which is where nearly everybody is. */
static bool user_from_file(struct arena *arena, uint32_t uid, struct user *ret_user)
{
	char *text;

	return file_read_at(arena, AT_FDCWD, "/etc/passwd", LIMIT_PASSWD_BYTES, &text, NULL) == 0 &&
	       user_from_lines(arena, text, uid, ret_user);
}

/* The machine's name services (LDAP, systemd). */
static bool user_from_services(struct arena *arena, uint32_t uid, struct user *ret_user)
{
	const char *path = helper_find(arena, "getent");
	const char *const argv[] = {"getent", "passwd", arena_printf(arena, "%u", uid), NULL};
	const char *text = path && argv[2] ? helper_output(arena, path, argv) : NULL;

	return text && user_from_lines(arena, text, uid, ret_user);
}

bool user_find(struct arena *arena, uint32_t uid, struct user *ret_user)
{
	return user_from_file(arena, uid, ret_user) || user_from_services(arena, uid, ret_user);
}
