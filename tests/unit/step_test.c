/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step descriptions to struct step: defaults, what excludes what, descriptors, and that nothing
 * unknown passes.
 */
#include "base/sys.h"
#include "spec/step.h"
#include "tap.h"

#define BASE "\"step\":\"s1\",\"process\":{\"args\":[\"true\"]},\"rootfs\":{\"path\":\"/r\"}"

static struct step_unknown unknown;

static int read_step(struct arena *arena, const char *text, uint32_t n_fds, struct step *step,
		     struct rb_err *err)
{
	const struct json_node *node;

	*err = (struct rb_err){0};
	if (json_parse(arena, "step", text, strlen(text), &node, err) < 0)
		return -EBADMSG;
	return step_parse(arena, node, n_fds, step, &unknown, err);
}

/* Parses well, or fails the test. */
static void good(struct arena *arena, const char *text, uint32_t n_fds, struct step *step)
{
	struct rb_err err;

	if (read_step(arena, text, n_fds, step, &err) < 0) {
		printf("# %s\n", err.what);
		tap_ok = false;
	}
}

static void refused(const char *text, uint32_t n_fds, enum rb_code code, const char *origin)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct step step;
	struct rb_err err;

	CHECK(read_step(&arena, text, n_fds, &step, &err) < 0);
	if (err.code != code || strcmp(err.origin, origin) != 0)
		printf("# %s: %d at %s: %s\n", text, err.code, err.origin, err.what);
	CHECK(err.code == code);
	CHECK_STR(err.origin, origin);
}

static void a_minimal_step_is_strict(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct step step;

	good(&arena, "{" BASE "}", 0, &step);
	CHECK_STR(step.id, "s1");
	CHECK(step.net == STEP_NET_NONE && step.default_filter &&
	      step.spec.process.no_new_privileges);
	CHECK(step.spec.masked_paths.n > 5 && step.spec.readonly_paths.n == 5);
	CHECK(spec_namespace_find(&step.spec, CLONE_NEWPID) &&
	      spec_namespace_find(&step.spec, CLONE_NEWNET) &&
	      spec_namespace_find(&step.spec, CLONE_NEWCGROUP));
	CHECK(step.spec.process.caps.bounding == 0xa80425fb && !step.spec.process.caps.ambient);
	CHECK(step.spec.n_mounts == 7 && step.io.in_band && !step.io.wants_stdin);
	CHECK(step.io.window == LIMIT_WINDOW && step.grace_ms == 5000 && step.timeout_ms == 0);
	CHECK(step.n_valid_codes == 1 && step.valid_codes[0] == 0);
}

static void unknown_members_are_refused_at_every_depth_and_all_named(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct step step;
	struct rb_err err;

	CHECK(read_step(
		      &arena,
		      "{\"step\":\"s\",\"process\":{\"args\":[\"a\"],\"readOnly\":1},\"rootfs\":{\"path\":"
		      "\"/r\",\"ro\":true},\"mounts\":[{\"dest\":\"/m\",\"src\":\"/s\",\"rw\":1}],"
		      "\"Security\":{}}",
		      0, &step, &err) < 0);
	CHECK(err.code == RB_STEP_MEMBER && unknown.n == 4);
	CHECK_STR(unknown.pointers[0], "/Security");
	CHECK_STR(unknown.pointers[1], "/process/readOnly");
	CHECK_STR(unknown.pointers[2], "/rootfs/ro");
	CHECK_STR(unknown.pointers[3], "/mounts/0/rw");
}

static void members_that_begin_with_x_are_ignored(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct step step;

	good(&arena, "{" BASE ",\"x-trace\":{\"a\":1}}", 0, &step);
}

static void part_of_a_name_is_not_the_name(void)
{
	refused("{" BASE ",\"ste\":1}", 0, RB_STEP_MEMBER, "");
	refused("{" BASE ",\"step process\":1}", 0, RB_STEP_MEMBER, "");
	refused("{" BASE ",\"\":1}", 0, RB_STEP_MEMBER, "");
}

static void names_of_steps_are_file_names(void)
{
	static const char *const bad[] = {"", ".", "-a", "a/b", "a b", "\\u00e9"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char text[256];

		snprintf(
			text, sizeof(text),
			"{\"step\":\"%s\",\"process\":{\"args\":[\"a\"]},\"rootfs\":{\"path\":\"/\"}}",
			bad[i]);
		refused(text, 0, RB_BAD_ID, "/step");
	}
}

static void what_is_needed_is_missed(void)
{
	refused("{}", 0, RB_CONFIG_MISSING, "");
	refused("{\"step\":\"s\"}", 0, RB_CONFIG_MISSING, "");
	refused("{\"step\":\"s\",\"process\":{\"args\":[]},\"rootfs\":{\"path\":\"/\"}}", 0,
		RB_CONFIG_MISSING, "/process");
	refused("{\"step\":\"s\",\"process\":{\"args\":[\"a\"]},\"rootfs\":{}}", 0,
		RB_CONFIG_MISSING, "/rootfs");
}

static void each_descriptor_is_used_once_and_was_sent(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct step step;

	good(&arena, "{" BASE ",\"io\":{\"fds\":{\"stdout\":1,\"stderr\":0}}}", 2, &step);
	CHECK(step.io.fds[0] == STEP_NO_FD && step.io.fds[1] == 1 && step.io.fds[2] == 0);
	refused("{" BASE ",\"io\":{\"fds\":{\"stdout\":2}}}", 2, RB_STEP_FDS, "/io/fds/stdout");
	refused("{" BASE ",\"io\":{\"fds\":{\"stdout\":1,\"stderr\":1}}}", 2, RB_STEP_FDS,
		"/io/fds/stderr");
	refused("{" BASE
		",\"io\":{\"fds\":{\"stdin\":0}},\"net\":{\"mode\":\"netns\",\"netnsFd\":0}}",
		1, RB_STEP_FDS, "/io/fds/stdin");
}

static void a_mount_comes_from_exactly_one_place(void)
{
	refused("{" BASE ",\"mounts\":[{\"dest\":\"/m\"}]}", 0, RB_CONFIG_CONFLICT, "/mounts/0");
	refused("{" BASE ",\"mounts\":[{\"dest\":\"/m\",\"src\":\"/a\",\"tmpfs\":{}}]}", 0,
		RB_CONFIG_CONFLICT, "/mounts/0");
	refused("{" BASE ",\"mounts\":[{\"dest\":\"/m\",\"src\":\"/a\",\"fd\":0}]}", 1,
		RB_CONFIG_CONFLICT, "/mounts/0");
	refused("{" BASE ",\"mounts\":[{\"dest\":\"m\",\"src\":\"/a\"}]}", 0, RB_CONFIG_VALUE,
		"/mounts/0/dest");
}

static void mounts_keep_their_order_behind_the_defaults(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct step step;
	const struct spec_mount *mount;

	good(&arena,
	     "{" BASE
	     ",\"mounts\":[{\"dest\":\"/a\",\"src\":\"/x\",\"readonly\":true,\"recursive\":false},"
	     "{\"dest\":\"/b\",\"tmpfs\":{\"size\":4096,\"mode\":448}},{\"dest\":\"/c\",\"fd\":0}]}",
	     1, &step);
	CHECK(step.spec.n_mounts == 10);
	mount = &step.spec.mounts[7];
	CHECK(mount->bind && !mount->recursive && (mount->attr_set & MOUNT_ATTR_RDONLY));
	CHECK_STR(step.spec.mounts[8].data.v[0], "mode=0700");
	CHECK_STR(step.spec.mounts[8].data.v[1], "size=4096");
	CHECK(step.mounts[9].source == STEP_FD && step.mounts[9].fd == 0);
}

static void users_are_numbers_names_or_objects(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct step step;

#define USER(value)                                                                                \
	"{\"step\":\"s\",\"process\":{\"args\":[\"a\"],\"user\":" value                            \
	"},\"rootfs\":{\"path\":\"/\"}}"
	good(&arena, USER("\"7:8\""), 0, &step);
	CHECK(step.spec.process.uid == 7 && step.spec.process.gid == 8 && !step.user_name);
	good(&arena, USER("\"app:8\""), 0, &step);
	CHECK_STR(step.user_name, "app");
	CHECK(step.spec.process.gid == 8 && step.has_group && !step.group_name);
	good(&arena, USER("{\"uid\":1,\"gid\":2,\"additionalGids\":[3,4],\"umask\":18}"), 0, &step);
	CHECK(step.spec.process.n_groups == 2 && step.spec.process.umask == 022);
	refused(USER("\":\""), 0, RB_CONFIG_VALUE, "/process/user");
	refused(USER("\"a:b:c\""), 0, RB_CONFIG_VALUE, "/process/user");
	refused(USER("\"4294967295\""), 0, RB_CONFIG_ID, "/process/user");
	refused(USER("{\"uid\":-1}"), 0, RB_CONFIG_VALUE, "/process/user/uid");
#undef USER
}

static void snapshots_name_absolute_layers(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct step step;

#define ROOT(value)                                                                                \
	"{\"step\":\"s\",\"process\":{\"args\":[\"a\"]},\"rootfs\":{\"snapshot\":" value "}}"
	good(&arena,
	     ROOT("{\"lower\":[\"/a\",\"/b\"],\"upper\":\"/u\",\"work\":\"/w\",\"driver\":\"fuse\","
		  "\"options\":[\"volatile\"]}"),
	     0, &step);
	CHECK(step.root == STEP_SNAPSHOT && step.root_snapshot->lower.n == 2);
	CHECK(step.root_snapshot->throw_away);
	CHECK_STR(step.root_snapshot->driver, "fuse");
	refused(ROOT("{\"lower\":[\"a\"]}"), 0, RB_CONFIG_VALUE, "/rootfs/snapshot/lower");
	refused(ROOT("{}"), 0, RB_CONFIG_MISSING, "/rootfs/snapshot");
	refused(ROOT("{\"lower\":[\"/a\"],\"driver\":\"zfs\"}"), 0, RB_CONFIG_VALUE,
		"/rootfs/snapshot/driver");
	refused(ROOT("{\"lower\":[\"/a\"],\"options\":[\"metacopy=on\"]}"), 0, RB_CONFIG_VALUE,
		"/rootfs/snapshot/options");
#undef ROOT
}

static void what_is_not_implemented_is_refused_by_name(void)
{
	refused("{" BASE ",\"cdi\":[\"a/b=c\"]}", 0, RB_UNSUPPORTED, "/cdi");
}

static void landlock_names_the_accesses_that_it_restricts(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct step step;

#define LANDLOCK(value) "{" BASE ",\"security\":{\"landlock\":" value "}}"
	good(&arena, LANDLOCK("{\"write\":[\"/tmp\",\"/out\"],\"execute\":[]}"), 0, &step);
	CHECK(step.spec.landlock.named == (1u << LANDLOCK_WRITE | 1u << LANDLOCK_EXECUTE));
	CHECK(step.spec.landlock.paths[LANDLOCK_WRITE].n == 2);
	refused(LANDLOCK("{}"), 0, RB_CONFIG_MISSING, "/security/landlock");
	refused(LANDLOCK("{\"read\":[\"a\"]}"), 0, RB_CONFIG_VALUE, "/security/landlock/read");
	refused(LANDLOCK("[]"), 0, RB_CONFIG_TYPE, "/security/landlock");
#undef LANDLOCK
}

static void a_step_may_share_the_pid_namespace(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct step step;

	good(&arena, "{" BASE ",\"pid\":\"host\"}", 0, &step);
	CHECK(!spec_namespace_find(&step.spec, CLONE_NEWPID));
	for (size_t i = 0; i < step.spec.n_mounts; i++)
		if (str_eq(step.spec.mounts[i].destination, "/proc"))
			CHECK(step.spec.mounts[i].bind && step.spec.mounts[i].recursive);
}

static void generated_files_cannot_be_broken_out_of(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct step step;

	good(&arena,
	     "{" BASE
	     ",\"hosts\":[{\"host\":\"a\",\"ip\":\"192.0.2.1\"}],\"resolv\":{\"nameservers\":"
	     "[\"192.0.2.2\"],\"search\":[\"x\",\"y\"]}}",
	     0, &step);
	CHECK(step.hosts && strstr(step.hosts, "192.0.2.1\ta\n"));
	CHECK_STR(step.resolv, "nameserver 192.0.2.2\nsearch x y\n");
	refused("{" BASE ",\"hosts\":[{\"host\":\"a\\n192.0.2.9 b\",\"ip\":\"192.0.2.1\"}]}", 0,
		RB_CONFIG_VALUE, "/hosts/0");
	refused("{" BASE ",\"resolv\":{\"search\":[\"x\\nnameserver 1.1.1.1\"]}}", 0,
		RB_CONFIG_VALUE, "/resolv/search");
}

static void a_whole_configuration_stands_nearly_alone(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct step step;

#define OCI                                                                                            \
	"\"oci\":{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},\"process\":{\"cwd\":\"/\"," \
	"\"args\":[\"a\"]},\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]}}"
	good(&arena, "{\"step\":\"s\",\"bundle\":\"/b\"," OCI "}", 0, &step);
	CHECK(step.oci && step.spec.n_mounts == 0 && !step.default_filter);
	CHECK_STR(step.spec.root_path, "/b/rootfs");
	refused("{\"step\":\"s\",\"bundle\":\"/b\"," OCI ",\"net\":{}}", 0, RB_STEP_MEMBER, "");
	refused("{\"step\":\"s\",\"bundle\":\"b\"," OCI "}", 0, RB_CONFIG_VALUE, "/bundle");
#undef OCI
}

TAP_MAIN(TEST(a_minimal_step_is_strict), TEST(landlock_names_the_accesses_that_it_restricts),
	 TEST(a_step_may_share_the_pid_namespace),
	 TEST(unknown_members_are_refused_at_every_depth_and_all_named),
	 TEST(members_that_begin_with_x_are_ignored), TEST(part_of_a_name_is_not_the_name),
	 TEST(names_of_steps_are_file_names), TEST(what_is_needed_is_missed),
	 TEST(each_descriptor_is_used_once_and_was_sent),
	 TEST(a_mount_comes_from_exactly_one_place),
	 TEST(mounts_keep_their_order_behind_the_defaults),
	 TEST(users_are_numbers_names_or_objects), TEST(snapshots_name_absolute_layers),
	 TEST(what_is_not_implemented_is_refused_by_name),
	 TEST(generated_files_cannot_be_broken_out_of),
	 TEST(a_whole_configuration_stands_nearly_alone))
