/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User and group names, looked up in the image. Runs in the parent before the step exists; the
 * files may be anything, so they are opened below the root without blocking, must be regular, and
 * are read to a cap. passwd(5), group(5).
 */
#include "base/file.h"
#include "base/num.h"
#include "base/sys.h"
#include "worker/job.h"

static int read_database(struct arena *arena, int root, const char *path, const char **ret_text,
			 struct rb_err *err)
{
	CLEANUP_FD int fd = sys_openat2(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
					RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	char *text;
	int r = fd < 0 ? fd : file_read_fd(arena, fd, LIMIT_PASSWD_BYTES, &text, NULL);

	*ret_text = "";
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return err_set(err, RB_STEP_USER, -r, "cannot read the image's %s", path);
	*ret_text = text;
	return 0;
}

/* Field number n of a line that ends at `end`. */
static bool field(const char *line, const char *end, unsigned n, const char **ret, size_t *ret_len)
{
	while (n > 0) {
		line = memchr(line, ':', (size_t)(end - line));
		if (!line)
			return false;
		line++;
		n--;
	}
	*ret = line;
	end = memchr(line, ':', (size_t)(end - line)) ? memchr(line, ':', (size_t)(end - line))
						      : end;
	*ret_len = (size_t)(end - line);
	return true;
}

static bool field_is(const char *line, const char *end, unsigned n, const char *text)
{
	const char *value;
	size_t len;

	return field(line, end, n, &value, &len) && len == strlen(text) &&
	       memcmp(value, text, len) == 0;
}

static bool field_id(const char *line, const char *end, unsigned n, uint32_t *ret)
{
	const char *value;
	size_t len;
	uint64_t id;

	if (!field(line, end, n, &value, &len) ||
	    num_parse_u64(value, len, UINT32_MAX - 1, &id) < 0)
		return false;
	*ret = (uint32_t)id;
	return true;
}

static const char *line_end(const char *line)
{
	return line + strcspn(line, "\n");
}

static const char *next_line(const char *end)
{
	return *end ? end + 1 : end;
}

/* By name, or by number as useradd(8) and the engines take it. ret_login: the name, for its groups. */
static bool find_user(struct arena *arena, const char *passwd, const char *name,
		      struct spec_process *process, const char **ret_login)
{
	uint32_t wanted;
	bool by_number = num_parse_u32(name, &wanted) == 0;

	for (const char *line = passwd; *line; line = next_line(line_end(line))) {
		const char *end = line_end(line);
		uint32_t uid;

		if (!field_id(line, end, 2, &uid) ||
		    !(field_is(line, end, 0, name) || (by_number && uid == wanted)))
			continue;
		process->uid = uid;
		(void)field_id(line, end, 3, &process->gid);
		*ret_login = arena_strndup(arena, line, strcspn(line, ":"));
		return true;
	}
	return by_number;
}

static bool member_of(const char *line, const char *end, const char *name)
{
	const char *list;
	size_t left;
	size_t name_len = strlen(name);

	if (!field(line, end, 3, &list, &left))
		return false;
	while (left > 0) {
		const char *comma = memchr(list, ',', left);
		size_t len = comma ? (size_t)(comma - list) : left;

		if (len == name_len && memcmp(list, name, len) == 0)
			return true;
		left -= comma ? len + 1 : len;
		list += comma ? len + 1 : len;
	}
	return false;
}

/*
 * initgroups(3): the primary group and every one that lists the user. Without the primary one a
 * setgid program could drop it, and with it what is forbidden to that group (CVE-2022-36109).
 */
static int add_groups(struct arena *arena, const char *group, const char *name,
		      struct spec_process *process)
{
	uint32_t *ids = arena_array(arena, 256, sizeof(*ids));
	size_t n = 1;

	if (!ids)
		return -ENOMEM;
	ids[0] = process->gid;
	for (const char *line = group; name && *line && n < 256; line = next_line(line_end(line)))
		if (member_of(line, line_end(line), name) &&
		    field_id(line, line_end(line), 2, &ids[n]) && ids[n] != ids[0])
			n++;
	process->groups = ids;
	process->n_groups = n;
	return 0;
}

static int not_found(struct rb_err *err, const char *what, const char *name, const char *file)
{
	err_set(err, RB_STEP_USER, 0, "no %s \"%.60s\" in the image's %s", what, name, file);
	err_origin(err, "/process/user");
	err_fix(err, "use a number, or a name that the file lists");
	return -ESRCH;
}

int job_find_user(struct arena *arena, int root, const struct step *step,
		  struct spec_process *process, struct rb_err *err)
{
	const char *passwd;
	const char *group;
	const char *login = NULL;
	uint32_t gid = process->gid;
	bool found = step->group_name == NULL;
	int r;

	if ((r = read_database(arena, root, "/etc/passwd", &passwd, err)) < 0 ||
	    (r = read_database(arena, root, "/etc/group", &group, err)) < 0)
		return r;
	if (step->user_name && !find_user(arena, passwd, step->user_name, process, &login))
		return not_found(err, "user", step->user_name, "/etc/passwd");
	if (step->has_group) {
		process->gid = gid;
		login = NULL; /* only the group that was asked for */
	}
	for (const char *line = group; *line && !found; line = next_line(line_end(line)))
		found = field_is(line, line_end(line), 0, step->group_name) &&
			field_id(line, line_end(line), 2, &process->gid);
	if (!found)
		return not_found(err, "group", step->group_name, "/etc/group");
	if (add_groups(arena, group, login, process) < 0)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "groups");
	return 0;
}
