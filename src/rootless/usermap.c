/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose ids are mapped. Runs in the parent, before any namespace exists, because name services
 * must be asked in the host's. An ordinary user: own id as root, then all subordinate ids. A
 * process that may set ids (root of a container): the ids it has itself, one line per range of
 * its own map, because a line may not span two of them.
 */
#include <linux/capability.h>
#include <pwd.h>
#include "base/file.h"
#include "base/strbuf.h"
#include "rootless/rootless_private.h"

/* Login name and home. No entry (a random uid in a pod) is no error: the number does. */
static int user_look_up(struct rootless *r, struct rb_err *err)
{
	struct passwd entry;
	struct passwd *found = NULL;
	char buf[16384];

	if (getpwuid_r(r->uid, &entry, buf, sizeof(buf), &found) == 0 && found) {
		r->user = arena_strdup(r->arena, found->pw_name);
		r->home = arena_strdup(r->arena, found->pw_dir);
	} else {
		r->user = arena_printf(r->arena, "%u", r->uid);
	}
	return r->user ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "user name");
}

/* subid_parse() on the file, with the remedy that needs the whole file. */
static int subid_read(struct rootless *r, const char *file, uint32_t own_id, const char **ret_map,
		      struct rb_err *err)
{
	struct subid_range *ranges;
	struct stat st;
	size_t n;
	char *text = NULL;
	int rc = file_read_at(r->arena, AT_FDCWD, file, LIMIT_SUBID_BYTES, &text, NULL);

	if (rc == -ELOOP || (lstat(file, &st) == 0 && S_ISLNK(st.st_mode))) {
		err_set(err, RB_SUBID_SYMLINK, 0, "%s is a symbolic link, which newuidmap refuses",
			file);
		err_fix(err, "make it a regular file");
		return -ELOOP;
	}
	if (rc < 0 && rc != -ENOENT) {
		err_set(err, RB_SUBID_NONE, -rc, "cannot read %s", file);
		err_fix(err, "make it a regular file that everybody can read");
		return rc;
	}
	rc = subid_parse(r->arena, file, text ? text : "", r->user, r->uid, own_id, &ranges, &n,
			 err);
	if (rc < 0) {
		uint32_t block = subid_free_block(text ? text : "");

		if (err && err->code == RB_SUBID_NONE)
			err_fix(err, "sudo usermod --add-subuids %u-%u --add-subgids %u-%u %s",
				block, block + 65535, block, block + 65535, r->user);
		return rc;
	}
	*ret_map = subid_map_text(r->arena, own_id, ranges, n);
	return *ret_map ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "%s", file);
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

int rootless_usermap(struct rootless *r, struct rb_err *err)
{
	struct host host;
	int rc = host_probe(HOST_WANT_IDMAPS, &host, err);

	if (rc < 0)
		return rc;
	r->uid = host.euid;
	r->gid = host.egid;
	rc = user_look_up(r, err);
	if (rc < 0)
		return rc;
	if (host_has_cap(&host, CAP_SETUID) && host_has_cap(&host, CAP_SETGID)) {
		r->idmap_method = IDMAP_DIRECT;
		r->uid_map = identity_map(r->arena, &host.uid_map);
		r->gid_map = identity_map(r->arena, &host.gid_map);
		return r->uid_map && r->gid_map ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "id map");
	}
	r->idmap_method = IDMAP_HELPER;
	rc = subid_read(r, "/etc/subuid", r->uid, &r->uid_map, err);
	return rc < 0 ? rc : subid_read(r, "/etc/subgid", r->gid, &r->gid_map, err);
}
