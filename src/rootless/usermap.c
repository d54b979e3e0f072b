/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose ids are mapped. Runs in the parent, before any namespace exists, because name services
 * must be asked in the host's. An ordinary user: own id as root, then all subordinate ids. A
 * process that may set ids (root of a container): the ids it has itself, one line per range of
 * its own map, because a line may not span two of them.
 */
#include <linux/capability.h>
#include "base/file.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "rootless/rootless_private.h"

/* Login name and home. No entry (a random uid in a pod) is no error: the number does. */
static int user_look_up(struct rootless *r, struct rb_err *err)
{
	struct user user;

	if (user_find(r->arena, r->uid, &user)) {
		r->user = user.name;
		r->home = user.home;
	} else {
		r->user = arena_printf(r->arena, "%u", r->uid);
	}
	return r->user ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "user name");
}

/* One of the two: "uid" or "gid". */
struct usermap {
	struct rootless *r;
	const char *file; /* "/etc/subuid", or the name of another source */
	bool gid;
	uint32_t own_id;
	const struct host_idmap *outer;
};

/* The text to parse, from the file or from a database. */
static int usermap_text(struct usermap *map, const char **ret_text, struct rb_err *err)
{
	struct rootless *r = map->r;
	const char *asked = subid_ask(r->arena, r->options->subid_source, r->user, map->gid,
				      &map->file);
	struct stat st;
	char *text = NULL;
	int rc;

	*ret_text = asked;
	if (asked)
		return 0;
	rc = file_read_at(r->arena, AT_FDCWD, map->file, LIMIT_SUBID_BYTES, &text, NULL);
	*ret_text = text ? text : "";
	if (rc == -ELOOP || (lstat(map->file, &st) == 0 && S_ISLNK(st.st_mode))) {
		err_set(err, RB_SUBID_SYMLINK, 0, "%s is a symbolic link, which newuidmap refuses",
			map->file);
		err_fix(err, "make it a regular file");
		return -ELOOP;
	}
	if (rc < 0 && rc != -ENOENT) {
		err_set(err, RB_SUBID_NONE, -rc, "cannot read %s", map->file);
		err_fix(err, "make it a regular file that everybody can read");
		return rc;
	}
	return 0;
}

static void usermap_none(const struct usermap *map, const char *text, struct rb_err *err)
{
	uint32_t block = subid_free_block(text);

	if (map->file[0] == '/')
		err_fix(err, "sudo usermod --add-subuids %u-%u --add-subgids %u-%u %s", block,
			block + 65535, block, block + 65535, map->r->user);
	else
		err_fix(err, "ask its administrator for a range, or use --idmap=single");
}

static const char *few_fix(const struct usermap *map, const char *text, char *fix, size_t size)
{
	uint32_t block = subid_free_block(text);

	if (map->file[0] != '/')
		return "ask the administrator of that database for a larger range";
	snprintf(fix, size, "sudo usermod --add-sub%ss %u-%u %s", map->gid ? "gid" : "uid", block,
		 block + 65535, map->r->user);
	return fix;
}

/* Fewer ids than images use, or ids that an outer namespace does not have. */
static void usermap_warn(const struct usermap *map, const char *text,
			 const struct subid_range *ranges, size_t n, uint64_t lost)
{
	uint64_t total = 0;
	char fix[160];

	for (size_t i = 0; i < n; i++)
		total += ranges[i].count;
	if (lost)
		log_warn_code(RB_SUBID_FEW, "give the outer container a larger range",
			      "%s: %" PRIu64 " of the ids do not exist in this user namespace",
			      map->file, lost);
	if (total < 65535)
		log_warn_code(RB_SUBID_FEW, few_fix(map, text, fix, sizeof(fix)),
			      "%s: only %" PRIu64 " ids are mapped; images use ids up to 65534",
			      map->file, total + 1);
}

static int usermap_read(struct usermap *map, const char **ret_map, struct rb_err *err)
{
	struct rootless *r = map->r;
	struct subid_range *ranges;
	const char *text;
	uint64_t lost;
	size_t n;
	int rc = usermap_text(map, &text, err);

	if (rc < 0)
		return rc;
	rc = subid_parse(r->arena, map->file, text, r->user, r->uid, map->own_id, &ranges, &n, err);
	if (rc < 0) {
		if (err && err->code == RB_SUBID_NONE)
			usermap_none(map, text, err);
		return rc;
	}
	ranges = subid_clip(r->arena, ranges, &n, map->outer, &lost);
	*ret_map = ranges ? subid_map_text(r->arena, map->own_id, ranges, n) : NULL;
	if (!*ret_map)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "%s", map->file);
	usermap_warn(map, text, ranges, n, lost);
	return 0;
}

/* "INSIDE INSIDE COUNT" for every range of our own map. */
static const char *identity_map(struct arena *arena, const struct host_idmap *map)
{
	CLEANUP_STRBUF struct strbuf text = {0};

	for (size_t i = 0; i < map->n; i++)
		strbuf_printf(&text, "%u %u %u\n", map->v[i].inside, map->v[i].inside,
			      map->v[i].count);
	return text.failed ? NULL : arena_strndup(arena, text.text, text.len);
}

static int usermap_identity(struct rootless *r, const struct host *host, struct rb_err *err)
{
	r->idmap_method = IDMAP_DIRECT;
	r->uid_map = identity_map(r->arena, &host->uid_map);
	r->gid_map = identity_map(r->arena, &host->gid_map);
	return r->uid_map && r->gid_map ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "id map");
}

static int usermap_single(struct rootless *r, struct rb_err *err)
{
	r->idmap_method = IDMAP_DIRECT_DENY;
	r->uid_map = arena_printf(r->arena, "0 %u 1\n", r->uid);
	r->gid_map = arena_printf(r->arena, "0 %u 1\n", r->gid);
	return r->uid_map && r->gid_map ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "id map");
}

static int usermap_subids(struct rootless *r, const struct host *host, struct rb_err *err)
{
	struct usermap uids = {r, "/etc/subuid", false, r->uid, &host->uid_map};
	struct usermap gids = {r, "/etc/subgid", true, r->gid, &host->gid_map};
	int rc;

	r->idmap_method = IDMAP_HELPER;
	rc = usermap_read(&uids, &r->uid_map, err);
	return rc < 0 ? rc : usermap_read(&gids, &r->gid_map, err);
}

int rootless_usermap(struct rootless *r, struct rb_err *err)
{
	struct host host;
	struct rb_err none = {0};
	char line[sizeof(none) + 64];
	int rc = host_probe(HOST_WANT_IDMAPS, &host, err);

	if (rc < 0)
		return rc;
	r->uid = host.euid;
	r->gid = host.egid;
	rc = user_look_up(r, err);
	if (rc < 0)
		return rc;
	if (r->options->idmap == ROOTLESS_IDMAP_SINGLE)
		return usermap_single(r, err);
	if (host_has_cap(&host, CAP_SETUID) && host_has_cap(&host, CAP_SETGID))
		return usermap_identity(r, &host, err);
	rc = usermap_subids(r, &host, &none);
	if (rc == -ENOENT && none.code == RB_SUBID_NONE &&
	    r->options->idmap == ROOTLESS_IDMAP_AUTO) {
		log_warn("only your own id is mapped, so steps cannot use any other: %s",
			 err_line(&none, line, sizeof(line)));
		return usermap_single(r, err);
	}
	if (rc < 0 && err)
		*err = none;
	return rc;
}
