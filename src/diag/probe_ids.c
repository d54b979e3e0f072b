/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subordinate ids and the programs that map them: subuid(5), newuidmap(1), user_namespaces(7). The
 * probes run on the host side, in processes of their own.
 */
#include "base/file.h"
#include "base/strbuf.h"
#include "diag/doctor_private.h"
#include "host/helper.h"

static struct doctor_owner owner_of(const struct doctor *doctor, bool gid)
{
	return (struct doctor_owner){
		.file = gid ? "/etc/subgid" : "/etc/subuid",
		.user = doctor->user,
		.uid = doctor->host.euid,
		.own_id = gid ? doctor->host.egid : doctor->host.euid,
		.outer = gid ? &doctor->host.gid_map : &doctor->host.uid_map,
	};
}

static int id_file_failed(int r, const char *path, struct rb_err *err)
{
	if (r == -ELOOP) {
		err_set(err, RB_SUBID_SYMLINK, 0, "%s is a symbolic link, which newuidmap refuses",
			path);
		err_fix(err, "make it a regular file");
	} else {
		err_set(err, RB_SUBID_NONE, -r, "cannot read %s", path);
		err_fix(err, "make it a regular file that everybody can read");
	}
	return r;
}

/* The lines that count, and in owner->file where they are from; "" when there are none. */
static int id_text(struct doctor *doctor, struct doctor_owner *owner, const char **ret_text,
		   struct rb_err *err)
{
	const char *asked = doctor->options->tools->ask_database(
		doctor->arena, owner->user, str_eq(owner->file, "/etc/subgid"), &owner->file);
	char *text = NULL;
	int r = asked ? 0
		      : file_read_at(doctor->arena, AT_FDCWD, owner->file, LIMIT_SUBID_BYTES, &text,
				     NULL);

	if (r < 0 && r != -ENOENT)
		return id_file_failed(r, owner->file, err);
	*ret_text = asked ? asked : text ? text : "";
	return 0;
}

/* The map that the launcher would write. */
static int ids_of(struct doctor *doctor, struct arena *arena, const struct doctor_owner *owner,
		  const char *text, struct host_idmap *ret_map, struct rb_err *err)
{
	const char *map_text;
	int r = doctor->options->tools->map_from_text(arena, owner, text, &map_text, err);

	if (r == 0 && host_idmap_parse(map_text, ret_map) < 0)
		return err_set(err, RB_IDMAP_LIMIT, 0, "%s: more ranges than the kernel takes",
			       owner->file);
	return r;
}

/* The subordinate ones: the first line is the own id. */
static uint64_t ids_total(const struct host_idmap *map)
{
	uint64_t total = 0;

	for (size_t i = 1; i < map->n; i++)
		total += map->v[i].count;
	return total;
}

static bool maps_overlap(const struct host_idmap *a, const struct host_idmap *b)
{
	for (size_t i = 1; i < a->n; i++) {
		for (size_t k = 1; k < b->n; k++) {
			const struct host_extent *x = &a->v[i];
			const struct host_extent *y = &b->v[k];

			if (x->outside < (uint64_t)y->outside + y->count &&
			    y->outside < (uint64_t)x->outside + x->count)
				return true;
		}
	}
	return false;
}

/*
 * Another owner with one of the ids, or NULL. Each line is read by the same parser, as if its
 * owner had asked.
 */
static const char *ids_shared(struct doctor *doctor, const struct doctor_owner *own,
			      const char *text, const struct host_idmap *own_map)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", own->uid);
	while (*text) {
		CLEANUP_ARENA struct arena arena = {0};
		size_t len = strcspn(text, "\n");
		const char *line = arena_strndup(&arena, text, len);
		struct doctor_owner other = *own;
		struct host_idmap map;

		text += len + (text[len] == '\n');
		other.user = line ? arena_strndup(&arena, line, strcspn(line, ":")) : NULL;
		other.uid = UINT32_MAX;
		other.own_id = UINT32_MAX;
		if (!other.user || !other.user[0] || str_eq(other.user, own->user) ||
		    str_eq(other.user, number) ||
		    ids_of(doctor, &arena, &other, line, &map, NULL) < 0)
			continue;
		if (maps_overlap(own_map, &map))
			return arena_strdup(doctor->arena, other.user);
	}
	return NULL;
}

/* A range that nobody has; or, where ranges come from a database, whom to ask. */
static void ids_fix(struct doctor *doctor, const struct doctor_owner *owner, const char *text,
		    struct finding *finding)
{
	uint32_t block = doctor->options->tools->free_block(text);

	if (owner->file[0] == '/')
		err_fix(&finding->err, "sudo usermod --add-subuids %u-%u --add-subgids %u-%u %s",
			block, block + 65535, block, block + 65535, owner->user);
	else
		err_fix(&finding->err, "ask its administrator for a range of 65536 ids");
}

static bool own_id_is_inside(struct doctor *doctor, const struct doctor_owner *owner,
			     const char *text, uint64_t total)
{
	struct doctor_owner nobody = *owner;
	struct host_idmap map;

	nobody.own_id = UINT32_MAX;
	return ids_of(doctor, doctor->arena, &nobody, text, &map, NULL) == 0 &&
	       ids_total(&map) > total;
}

static void ids_found(struct doctor *doctor, const struct doctor_owner *owner, const char *text,
		      const struct host_idmap *map, struct finding *finding)
{
	const char *other = ids_shared(doctor, owner, text, map);
	uint64_t total = ids_total(map);

	if (total + 1 < 65536) {
		found(finding, FINDING_WARNING, RB_SUBID_FEW, 0,
		      "only %" PRIu64 " ids for %s in %s; images use ids up to 65534", total,
		      owner->user, owner->file);
		ids_fix(doctor, owner, text, finding);
	} else if (other) {
		found(finding, FINDING_WARNING, RB_SUBID_SHARED, 0,
		      "%s and %.100s have the same ids in %s", owner->user, other, owner->file);
	} else if (own_id_is_inside(doctor, owner, text, total)) {
		found(finding, FINDING_WARNING, RB_SUBID_OWN, 0,
		      "%s gives %s its own id %u, which is left out", owner->file, owner->user,
		      owner->own_id);
	} else {
		found_ok(finding, "%" PRIu64 " ids for %s", total, owner->user);
	}
}

/* Who holds CAP_SETUID maps the ids that it has. */
static void ids_of_root(const struct host_idmap *map, struct finding *finding)
{
	uint64_t total = 0;

	for (size_t i = 0; i < map->n; i++)
		total += map->v[i].count;
	if (total < 65536) {
		found(finding, FINDING_WARNING, RB_SUBID_FEW, 0,
		      "this user namespace has only %" PRIu64 " ids; images use ids up to 65534",
		      total);
		err_fix(&finding->err, "give the surrounding container a larger range");
	} else {
		found_ok(finding, "not needed: the %" PRIu64 " ids of this namespace are used",
			 total);
	}
}

static void probe_subid(struct doctor *doctor, bool gid, struct finding *finding)
{
	struct doctor_owner owner = owner_of(doctor, gid);
	struct host_idmap map;
	const char *text;

	if (doctor->may_map) {
		ids_of_root(owner.outer, finding);
		return;
	}
	finding->status = FINDING_ERROR;
	if (id_text(doctor, &owner, &text, &finding->err) < 0)
		return;
	if (ids_of(doctor, doctor->arena, &owner, text, &map, &finding->err) == 0)
		ids_found(doctor, &owner, text, &map, finding);
	else if (finding->err.code == RB_SUBID_NONE)
		ids_fix(doctor, &owner, text, finding);
}

void probe_subuid(struct doctor *doctor, struct finding *finding)
{
	probe_subid(doctor, false, finding);
}

void probe_subgid(struct doctor *doctor, struct finding *finding)
{
	probe_subid(doctor, true, finding);
}

static void probe_helper(struct doctor *doctor, const char *name, struct finding *finding)
{
	const char *path = helper_find(doctor->arena, name);

	if (doctor->may_map) {
		found_ok(finding, "not needed: this process may map ids by itself");
	} else if (!path) {
		found(finding, FINDING_ERROR, RB_IDMAP_HELPER_MISSING, 0, "%s not found", name);
		err_fix(&finding->err,
			"sudo apt install uidmap (Fedora: sudo dnf install shadow-utils)");
	} else if (helper_check_idmap(path, &finding->err) < 0) {
		finding->status = FINDING_ERROR;
	} else {
		found_ok(finding, "%.200s has its privilege", path);
	}
}

void probe_newuidmap(struct doctor *doctor, struct finding *finding)
{
	probe_helper(doctor, "newuidmap", finding);
}

void probe_newgidmap(struct doctor *doctor, struct finding *finding)
{
	probe_helper(doctor, "newgidmap", finding);
}

/* What the launcher would write: the subordinate ids, or every id of our own namespace. */
static int map_text(struct doctor *doctor, bool gid, const char **ret_text, struct rb_err *err)
{
	struct doctor_owner owner = owner_of(doctor, gid);
	CLEANUP_STRBUF struct strbuf map = {0};
	const char *text;
	int r;

	if (!doctor->may_map) {
		r = id_text(doctor, &owner, &text, err);
		return r < 0 ? r
			     : doctor->options->tools->map_from_text(doctor->arena, &owner, text,
								     ret_text, err);
	}
	for (size_t i = 0; i < owner.outer->n; i++)
		strbuf_printf(&map, "%u %u %u\n", owner.outer->v[i].inside,
			      owner.outer->v[i].inside, owner.outer->v[i].count);
	*ret_text = map.failed ? NULL : arena_strndup(doctor->arena, map.text, map.len);
	return *ret_text ? 0 : err_set(err, RB_NO_MEMORY, ENOMEM, "id map");
}

/* What the kernel has now is what was asked for. */
static int map_verify(pid_t pid, const char *name, const char *text, struct rb_err *err)
{
	struct host_idmap wanted;
	struct host_idmap real;
	char content[16384];
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	if (file_read_small(AT_FDCWD, path, content, sizeof(content)) < 0 ||
	    host_idmap_parse(content, &real) < 0 || host_idmap_parse(text, &wanted) < 0 ||
	    real.n != wanted.n)
		return err_set(err, RB_IDMAP_WRITE, 0, "%s is not what was asked for", name);
	/* "outside" is seen from here: the same ids, except within an outer namespace's root */
	for (size_t i = 0; i < real.n; i++)
		if (real.v[i].inside != wanted.v[i].inside || real.v[i].count != wanted.v[i].count)
			return err_set(err, RB_IDMAP_WRITE, 0, "%s is not what was asked for",
				       name);
	return 0;
}

static bool any_failed(const struct doctor *doctor, const char *const *names)
{
	for (size_t i = 0; i < doctor->report->n; i++)
		for (size_t k = 0; names[k]; k++)
			if (str_eq(doctor->report->v[i].name, names[k]) &&
			    doctor->report->v[i].status == FINDING_ERROR)
				return true;
	return false;
}

void probe_idmaps(struct doctor *doctor, struct finding *finding)
{
	static const char *const needed[] = {"subuid", "subgid", "newuidmap", "newgidmap", NULL};
	struct target target;
	const char *uid_map = NULL;
	const char *gid_map = NULL;
	int r;

	if (any_failed(doctor, needed)) {
		found_info(finding, "not tried, because of the errors above");
		return;
	}
	finding->status = FINDING_ERROR;
	if (map_text(doctor, false, &uid_map, &finding->err) < 0 ||
	    map_text(doctor, true, &gid_map, &finding->err) < 0 ||
	    target_start(doctor, CLONE_NEWUSER, false, &target, &finding->err) < 0)
		return;
	r = doctor->options->tools->write_maps(doctor->arena, target.pid, uid_map, gid_map,
					       !doctor->may_map, &finding->err);
	if (r == 0)
		r = map_verify(target.pid, "uid_map", uid_map, &finding->err);
	if (r == 0)
		r = map_verify(target.pid, "gid_map", gid_map, &finding->err);
	target_end(&target);
	if (r == 0)
		found_ok(finding, "were written %s",
			 doctor->may_map ? "directly" : "by newuidmap and newgidmap");
}
