/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What survives on disk: the state root and who may own it, container directories, records that
 * are cut or garbled, the identity of processes, and the cache of compiled filters.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/wait.h>
#include "base/json.h"
#include "base/strbuf.h"
#include "base/sys.h"
#include "state/state.h"
#include "scratch.h"
#include "tap.h"

static struct state_root root_in(const struct scratch *scratch)
{
	return (struct state_root){.fd = scratch->fd, .path = scratch->path};
}

static int open_root(const char *path, bool create, struct rb_err *err)
{
	CLEANUP_ARENA struct arena arena = {0};
	struct state_root root = {.fd = -1};
	int r = state_root_open(&arena, path, create, &root, err);

	if (r == 0)
		state_root_close(&root);
	return r;
}

/* ---- the root ------------------------------------------------------------------------------ */

static void root_is_made_private_with_its_parents(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_ARENA struct arena arena = {0};
	struct rb_err err = {0};
	struct stat st;

	umask(0);
	CHECK(open_root(arena_printf(&arena, "%s/a/b", scratch.path), true, &err) == 0);
	CHECK(fstatat(scratch.fd, "a/b", &st, 0) == 0 && (st.st_mode & 07777) == 0700);
	CHECK(fstatat(scratch.fd, "a", &st, 0) == 0 && (st.st_mode & 07777) == 0700);
}

static void root_that_is_absent_is_only_made_on_request(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_ARENA struct arena arena = {0};
	struct state_root root;
	struct rb_err err = {0};

	CHECK(state_root_open(&arena, arena_printf(&arena, "%s/no", scratch.path), false, &root,
			      &err) == 0 &&
	      root.fd == -1);
	CHECK(faccessat(scratch.fd, "no", F_OK, 0) < 0);
}

static void root_that_others_may_write_is_refused(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct rb_err err = {0};

	CHECK(fchmod(scratch.fd, 0722) == 0);
	CHECK(open_root(scratch.path, false, &err) == -EPERM && err.code == RB_STATE_ROOT);
	CHECK(strstr(err.what, "writable by other users") && strstr(err.fix, scratch.path));
	CHECK(fchmod(scratch.fd, 0700) == 0 && open_root(scratch.path, false, &err) == 0);
}

static void root_of_another_user_is_refused(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct rb_err err = {0};
	/* an ordinary user finds one: the root directory */
	const char *path = geteuid() == 0 ? scratch.path : "/";

	if (geteuid() == 0)
		CHECK(fchown(scratch.fd, 4242, 4242) == 0);
	CHECK(open_root(path, false, &err) == -EPERM && err.code == RB_STATE_ROOT);
	CHECK(strstr(err.what, "belongs to another user"));
}

static void root_that_is_a_link_or_a_file_is_refused(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_ARENA struct arena arena = {0};
	struct rb_err err = {0};

	CHECK(mkdirat(scratch.fd, "dir", 0700) == 0 && symlinkat("dir", scratch.fd, "link") == 0);
	scratch_file(&scratch, "file", "", 0);
	CHECK(open_root(arena_printf(&arena, "%s/link", scratch.path), true, &err) < 0 &&
	      err.code == RB_STATE_ROOT);
	CHECK(open_root(arena_printf(&arena, "%s/file", scratch.path), true, &err) < 0 &&
	      err.code == RB_STATE_ROOT);
	CHECK(open_root(arena_printf(&arena, "%s/file/x", scratch.path), true, &err) < 0 &&
	      err.code == RB_STATE_ROOT);
}

/* ---- ids ----------------------------------------------------------------------------------- */

static void id_that_could_be_a_path_is_refused(void)
{
	static const char *const bad[] = {"",         ".",   "..",  "/",    "a/b",
					  "../x",     "a b", "a\n", "a\tb", "\xc3\xa9",
					  "@seccomp", "a:b", "a*",  "~"};
	static const char *const good[] = {"a", "0", "...", ".a", "a..b", "A_b+c.d-e", "-"};
	char longest[LIMIT_ID_BYTES + 2];
	struct rb_err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(state_id_check(bad[i], &err) == -EINVAL && err.code == RB_BAD_ID);
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		CHECK(state_id_check(good[i], &err) == 0);
	memset(longest, 'x', sizeof(longest));
	longest[LIMIT_ID_BYTES + 1] = '\0';
	CHECK(state_id_check(longest, &err) == -EINVAL);
	longest[LIMIT_ID_BYTES] = '\0';
	CHECK(state_id_check(longest, &err) == 0);
}

/* ---- containers ---------------------------------------------------------------------------- */

static const struct state_annotation annotations[] = {{"a\"b", "c\nd"}, {"", ""}};

static int write_container(struct container *container, struct rb_err *err)
{
	static const char config[] = "{\"not\": \"parsed\"}\n\nsecond line";
	struct state_process init;
	struct state_record record = {
		.id = container->id,
		.oci_version = "1.2.0",
		.bundle = "/b \"x\"\n",
		.rootfs = "/b/r",
		.created = "2026-01-01T00:00:00.000000000Z",
		.cgroup = "/x/y",
		.owner = 4294967294u,
		.config = config,
		.config_len = sizeof(config) - 1,
	};

	CHECK(state_process_identify(getpid(), &init) == 0);
	CHECK(container_write(container, &init, STATE_POSTSTOP, &record, annotations,
			      ARRAY_LEN(annotations), err) == 0);
	CHECK(container_status(container) == STATUS_CREATING);
	return container_publish(container, err);
}

static void record_written_is_read_back(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_ARENA struct arena arena = {0};
	struct state_root root = root_in(&scratch);
	CLEANUP_CONTAINER struct container made = {.dir = -1};
	CLEANUP_CONTAINER struct container opened = {.dir = -1};
	struct state_record record = {0};
	struct rb_err err = {0};
	struct stat st;

	CHECK(container_create(&root, "c1", &made, &err) == 0 && write_container(&made, &err) == 0);
	CHECK(container_open(&root, "c1", &opened, &err) == 0 && opened.has_init);
	CHECK(opened.init.pid == getpid() && opened.init.start == made.init.start &&
	      opened.flags == STATE_POSTSTOP);
	CHECK(container_read(&arena, &opened, &record, &err) == 0);
	CHECK_STR(record.bundle, "/b \"x\"\n");
	CHECK_STR(record.rootfs, "/b/r");
	CHECK_STR(record.config, "{\"not\": \"parsed\"}\n\nsecond line");
	CHECK(record.owner == 4294967294u && record.config_len == strlen(record.config));
	CHECK(record.annotations && record.annotations->count == 2);
	CHECK_STR(json_member(record.annotations, "a\"b")->text, "c\nd");
	CHECK_STR(container_cgroup(&arena, &opened), "/x/y");
	CHECK(fstatat(opened.dir, "state.json", &st, 0) == 0 && (st.st_mode & 07777) == 0600);
	CHECK(container_status(&opened) == STATUS_RUNNING);
	CHECK(container_remove(&root, &made) == 0 && container_remove(&root, &made) == 0);
}

/* A link that is absent, garbled or of another process with that number leads to nobody. */
static void network_keeper_is_found_by_its_identity(void)
{
	static const char *const others[] = {"1", "x 1 b 0", "-1 1 b 0", "1 1 0-0 0"};
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct state_root root = root_in(&scratch);
	CLEANUP_CONTAINER struct container container = {.dir = -1};
	CLEANUP_FD int keeper = -1;
	struct rb_err err = {0};

	CHECK(container_create(&root, "c1", &container, &err) == 0);
	CHECK(container_network_open(&container) == -ESRCH);
	CHECK(container_note_network(&container, getpid()) == 0);
	keeper = container_network_open(&container);
	CHECK(keeper >= 0 && sys_pidfd_send_signal(keeper, 0) == 0);
	CHECK(container_note_network(&container, getpid()) == -EEXIST);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		CHECK(unlinkat(container.dir, "network", 0) == 0 &&
		      symlinkat(others[i], container.dir, "network") == 0);
		CHECK(container_network_open(&container) == -ESRCH);
	}
	CHECK(container_remove(&root, &container) == 0 && !container_linked(&container));
}

static void record_cut_at_any_byte_is_damaged(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_ARENA struct arena arena = {0};
	struct state_root root = root_in(&scratch);
	CLEANUP_CONTAINER struct container container = {.dir = -1};
	struct scratch inside;
	struct rb_err err = {0};
	char *text;
	size_t line;
	size_t wrong = 0;

	CHECK(container_create(&root, "c1", &container, &err) == 0 &&
	      write_container(&container, &err) == 0);
	CHECK(file_read_at(&arena, container.dir, "state.json", 1 << 16, &text, NULL) == 0);
	line = strcspn(text, "\n");
	inside = (struct scratch){.fd = container.dir};
	for (size_t len = 0; len <= line; len++) {
		CLEANUP_ARENA struct arena one = {0};
		struct state_record record;

		scratch_file(&inside, "state.json", text, len);
		err = (struct rb_err){0};
		wrong += container_read(&one, &container, &record, &err) >= 0 ||
			 err.code != RB_STATE_DAMAGED || !strstr(err.fix, "delete --force c1");
	}
	CHECK(line > 100 && wrong == 0);
	/* and yet it is known whose it was, so it can be killed and removed */
	CHECK(container_reload(&container) == 0 && container.init.pid == getpid());
	CHECK(container_remove(&root, &container) == 0);
}

static void record_of_another_kind_is_damaged(void)
{
	static const char *const texts[] = {
		"\n",
		"{}\n",
		"[]\n",
		"null\n",
		"junk\n",
		"{\"version\":1}\n",
		"{\"ociVersion\":1,\"id\":\"x\",\"bundle\":\"\",\"rootfs\":\"\",\"created\":\"\","
		"\"cgroup\":\"\",\"owner\":0}\n",
		"{\"ociVersion\":\"\",\"id\":\"x\",\"bundle\":\"\",\"rootfs\":\"\",\"created\":\"\","
		"\"cgroup\":\"\",\"owner\":-1}\n",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
	};
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct container container = {.dir = scratch.fd, .id = "c1"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		CLEANUP_ARENA struct arena arena = {0};
		struct state_record record;
		struct rb_err err = {0};

		scratch_file(&scratch, "state.json", texts[i], strlen(texts[i]));
		CHECK(container_read(&arena, &container, &record, &err) < 0 &&
		      err.code == RB_STATE_DAMAGED);
	}
}

static void record_that_is_no_file_is_damaged(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_ARENA struct arena arena = {0};
	struct container container = {.dir = scratch.fd, .id = "c1"};
	struct state_record record;
	struct rb_err err = {0};

	CHECK(container_read(&arena, &container, &record, &err) < 0 &&
	      err.code == RB_STATE_DAMAGED);
	CHECK(mkfifoat(scratch.fd, "state.json", 0600) == 0);
	CHECK(container_read(&arena, &container, &record, &err) < 0 &&
	      err.code == RB_STATE_DAMAGED);
	CHECK(unlinkat(scratch.fd, "state.json", 0) == 0);
	CHECK(symlinkat("/etc/passwd", scratch.fd, "state.json") == 0);
	CHECK(container_read(&arena, &container, &record, &err) < 0 &&
	      err.code == RB_STATE_DAMAGED);
}

static void init_link_of_another_kind_is_no_process(void)
{
	static const char *const texts[] = {
		"x",          "1",
		"1 2",        "1 2 abc",
		"0 2 abc 0",  "-1 2 abc 0",
		"1 2 ABC 0",  "99999999999 2 abc 0",
		"1 -2 abc x", "1 2 0123456789012345678901234567890123456789012345 0",
	};
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct container container = {.dir = scratch.fd};

	CHECK(container_reload(&container) == -ENOENT);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		CHECK(symlinkat(texts[i], scratch.fd, "init") == 0);
		if (container_reload(&container) != -EINVAL || container.has_init)
			CHECK_STR(texts[i], "an error");
		CHECK(unlinkat(scratch.fd, "init", 0) == 0);
	}
	CHECK(container_init_open(&container) == -ESRCH);
	CHECK(container_status(&container) == STATUS_STOPPED);
}

static void id_is_given_to_one_of_two(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct state_root root = root_in(&scratch);
	CLEANUP_CONTAINER struct container first = {.dir = -1};
	struct container second = {.dir = -1};
	struct rb_err err = {0};

	CHECK(container_create(&root, "c1", &first, &err) == 0);
	CHECK(container_create(&root, "c1", &second, &err) == -EEXIST);
	CHECK(err.code == RB_STATE_EXISTS && second.dir == -1);
	CHECK(container_locked(&first));
	CHECK(container_create(&root, "c2", &second, &err) == 0);
	CHECK(container_remove(&root, &second) == 0);
	container_close(&second);
	CHECK(container_remove(&root, &first) == 0);
}

static void directory_that_a_killed_run_left_is_taken_over(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct state_root root = root_in(&scratch);
	CLEANUP_CONTAINER struct container left = {.dir = -1};
	CLEANUP_CONTAINER struct container taken = {.dir = -1};
	struct rb_err err = {0};
	char text[64];

	/* before anything was started */
	CHECK(mkdirat(scratch.fd, "c1", 0700) == 0);
	CHECK(container_create(&root, "c1", &left, &err) == 0);
	/* a process of another boot, of a foreground run */
	snprintf(text, sizeof(text), "%d 1 0-0 %d", getpid(), STATE_FOREGROUND);
	CHECK(symlinkat(text, left.dir, "init") == 0);
	CHECK(container_create(&root, "c1", &taken, &err) == -EEXIST);
	container_close(&left);
	CHECK(container_create(&root, "c1", &taken, &err) == 0);
	CHECK(container_reload(&taken) == -ENOENT);
	CHECK(container_remove(&root, &taken) == 0);
}

static void directory_that_was_kept_is_not_taken_over(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct state_root root = root_in(&scratch);
	CLEANUP_CONTAINER struct container kept = {.dir = -1};
	CLEANUP_CONTAINER struct container taken = {.dir = -1};
	struct rb_err err = {0};

	CHECK(container_create(&root, "c1", &kept, &err) == 0);
	CHECK(symlinkat("1 1 0-0 0", kept.dir, "init") == 0);
	container_close(&kept);
	CHECK(container_create(&root, "c1", &taken, &err) == -EEXIST);
	CHECK(container_open(&root, "c1", &kept, &err) == 0);
	CHECK(container_remove(&root, &kept) == 0);
}

static void process_is_found_again_without_the_link(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct state_root root = root_in(&scratch);
	CLEANUP_CONTAINER struct container made = {.dir = -1};
	CLEANUP_CONTAINER struct container opened = {.dir = -1};
	struct rb_err err = {0};

	CHECK(container_create(&root, "c1", &made, &err) == 0 && write_container(&made, &err) == 0);
	CHECK(unlinkat(made.dir, "init", 0) == 0);
	CHECK(container_open(&root, "c1", &opened, &err) == 0 && opened.has_init);
	CHECK(opened.init.pid == getpid() && opened.flags == STATE_POSTSTOP);
	/* it may live, so nobody takes its place */
	container_close(&made);
	CHECK(container_create(&root, "c1", &made, &err) == -EEXIST);
	CHECK(container_remove(&root, &opened) == 0);
}

static void container_that_is_absent_is_not_found(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct state_root root = root_in(&scratch);
	struct state_root none = {.fd = -1, .path = "/nowhere"};
	struct container container = {.dir = -1};
	struct rb_err err = {0};

	CHECK(container_open(&root, "c1", &container, &err) == -ENOENT &&
	      err.code == RB_STATE_MISSING);
	CHECK_STR(err.what, "container does not exist"); /* BuildKit looks for this text */
	CHECK(container_open(&none, "c1", &container, &err) == -ENOENT);
	CHECK(container_open(&root, "../c1", &container, &err) == -EINVAL && err.code == RB_BAD_ID);
}

static void link_in_place_of_a_container_is_not_followed(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_SCRATCH struct scratch other = scratch_enter();
	struct state_root root = root_in(&scratch);
	struct container container = {.dir = -1};
	struct rb_err err = {0};

	scratch_file(&other, "keep", "", 0);
	CHECK(symlinkat(other.path, scratch.fd, "c1") == 0);
	CHECK(container_open(&root, "c1", &container, &err) < 0 && err.code == RB_STATE_DAMAGED);
	CHECK(container_create(&root, "c1", &container, &err) == -EEXIST);
	CHECK(container_open_damaged(&root, "c1", &container, &err) == -ENOENT &&
	      err.code == RB_STATE_MISSING);
	CHECK(faccessat(other.fd, "keep", F_OK, 0) == 0);
	CHECK(faccessat(scratch.fd, "c1", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
}

static void unexpected_files_do_not_keep_a_container(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct state_root root = root_in(&scratch);
	CLEANUP_CONTAINER struct container container = {.dir = -1};
	struct scratch inside;
	struct rb_err err = {0};

	CHECK(container_create(&root, "c1", &container, &err) == 0);
	inside = (struct scratch){.fd = container.dir};
	scratch_file(&inside, "core", "x", 1);
	CHECK(mkdirat(container.dir, "dir", 0700) == 0 &&
	      mkfifoat(container.dir, "fifo", 0600) == 0);
	CHECK(container_remove(&root, &container) == 0);
	CHECK(faccessat(scratch.fd, "c1", F_OK, 0) < 0);
}

static void state_json_is_what_hooks_read(void)
{
	CLEANUP_ARENA struct arena arena = {0};
	CLEANUP_STRBUF struct strbuf text = {0};
	const struct state_record record = {.id = "c\"1", .oci_version = "1.2.0", .bundle = "/b"};
	const struct json_node *root;
	struct rb_err err;

	state_json(&record, annotations, ARRAY_LEN(annotations), "creating", 7, &text);
	CHECK(json_parse(&arena, "state", text.text, text.len, &root, &err) == 0);
	CHECK_STR(json_member(root, "status")->text, "creating");
	CHECK_STR(json_member(root, "id")->text, "c\"1");
	CHECK_STR(json_member(root, "pid")->text, "7");
	CHECK(json_member(root, "annotations")->count == 2);
	strbuf_free(&text);
	state_json(&record, NULL, 0, "stopped", 0, &text);
	CHECK(json_parse(&arena, "state", text.text, text.len, &root, &err) == 0);
	CHECK(!json_member(root, "pid") && !json_member(root, "annotations"));
}

static void time_has_nanoseconds_and_utc(void)
{
	char text[36];

	state_time(text, sizeof(text));
	CHECK(strlen(text) == 30 && text[10] == 'T' && text[19] == '.' && text[29] == 'Z');
}

/* ---- processes ----------------------------------------------------------------------------- */

static void process_is_known_by_more_than_its_number(void)
{
	struct state_process process;
	int pidfd;

	CHECK(state_process_identify(getpid(), &process) == 0 && process.start > 0);
	pidfd = state_process_open(&process);
	CHECK(pidfd >= 0);
	close(pidfd);
	process.start++;
	CHECK(state_process_open(&process) == -ESRCH);
	process.start--;
	process.boot[0] ^= 1;
	CHECK(state_process_open(&process) == -ESRCH);
}

static void zombie_has_ended(void)
{
	struct state_process process;
	siginfo_t info;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
	CHECK(state_process_identify(pid, &process) < 0 || state_process_open(&process) == -ESRCH);
	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK(state_process_identify(pid, &process) == -ESRCH);
}

/* ---- compiled filters ---------------------------------------------------------------------- */

static const struct sock_filter program[] = {
	{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
	{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
};
static const uint8_t key[32] = {1, 2, 3};
#define KEY_NAME "0102030000000000000000000000000000000000000000000000000000000000"

/* The number of instructions that come back, 0 for none. */
static size_t cached(const struct state_root *root, const uint8_t digest[32])
{
	CLEANUP_ARENA struct arena arena = {0};
	struct sock_filter *loaded = NULL;
	size_t n = 0;

	if (filter_cache_load(&arena, root, digest, &loaded, &n) < 0)
		return 0;
	CHECK(n == ARRAY_LEN(program) && memcmp(loaded, program, sizeof(program)) == 0);
	return n;
}

static void filter_stored_is_loaded(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct state_root root = root_in(&scratch);
	const uint8_t other[32] = {1, 2, 4};
	struct stat st;

	CHECK(cached(&root, key) == 0);
	filter_cache_store(&root, key, program, ARRAY_LEN(program));
	CHECK(cached(&root, key) == 2 && cached(&root, other) == 0);
	CHECK(fstatat(scratch.fd, "@seccomp/" KEY_NAME, &st, 0) == 0 &&
	      (st.st_mode & 07777) == 0400);
	CHECK(fstatat(scratch.fd, "@seccomp", &st, 0) == 0 && (st.st_mode & 07777) == 0700);
}

static void filter_changed_in_any_bit_is_not_used(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	CLEANUP_ARENA struct arena arena = {0};
	struct state_root root = root_in(&scratch);
	char *text;
	size_t len;
	size_t used = 0;
	int fd;

	filter_cache_store(&root, key, program, ARRAY_LEN(program));
	CHECK(fchmodat(scratch.fd, "@seccomp/" KEY_NAME, 0600, 0) == 0);
	fd = openat(scratch.fd, "@seccomp/" KEY_NAME, O_RDWR | O_CLOEXEC);
	CHECK(file_read_fd(&arena, fd, 4096, &text, &len) == 0 && len == 80 + sizeof(program));
	for (size_t bit = 0; bit < 8 * len; bit++) {
		char changed = (char)(text[bit / 8] ^ 1 << bit % 8);

		CHECK(pwrite(fd, &changed, 1, (off_t)(bit / 8)) == 1);
		used += cached(&root, key);
		CHECK(pwrite(fd, &text[bit / 8], 1, (off_t)(bit / 8)) == 1);
	}
	CHECK(used == 0 && cached(&root, key) == 2);
	CHECK(ftruncate(fd, (off_t)len - 1) == 0 && cached(&root, key) == 0);
	CHECK(ftruncate(fd, (off_t)len + 1) == 0 && cached(&root, key) == 0);
	close(fd);
}

static void filter_that_others_could_have_written_is_not_used(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct state_root root = root_in(&scratch);

	filter_cache_store(&root, key, program, ARRAY_LEN(program));
	CHECK(fchmodat(scratch.fd, "@seccomp/" KEY_NAME, 0420, 0) == 0 && cached(&root, key) == 0);
	CHECK(fchmodat(scratch.fd, "@seccomp/" KEY_NAME, 0400, 0) == 0 && cached(&root, key) == 2);
	CHECK(fchmodat(scratch.fd, "@seccomp", 0770, 0) == 0 && cached(&root, key) == 0);
	CHECK(fchmodat(scratch.fd, "@seccomp", 0700, 0) == 0 && cached(&root, key) == 2);
	CHECK(renameat(scratch.fd, "@seccomp/" KEY_NAME, scratch.fd, "moved") == 0 &&
	      symlinkat("../moved", scratch.fd, "@seccomp/" KEY_NAME) == 0 &&
	      cached(&root, key) == 0);
	CHECK(unlinkat(scratch.fd, "@seccomp/" KEY_NAME, 0) == 0 &&
	      mkfifoat(scratch.fd, "@seccomp/" KEY_NAME, 0400) == 0 && cached(&root, key) == 0);
}

static void filter_cache_behind_a_link_is_not_used(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct state_root root = root_in(&scratch);

	filter_cache_store(&root, key, program, ARRAY_LEN(program));
	CHECK(renameat(scratch.fd, "@seccomp", scratch.fd, "moved") == 0 &&
	      symlinkat("moved", scratch.fd, "@seccomp") == 0 && cached(&root, key) == 0);
}

static void filter_cache_does_not_grow_without_end(void)
{
	CLEANUP_SCRATCH struct scratch scratch = scratch_enter();
	struct state_root root = root_in(&scratch);
	uint8_t digest[32] = {0};
	size_t kept = 0;

	for (unsigned i = 0; i < 300; i++) {
		memcpy(digest, &i, sizeof(i));
		filter_cache_store(&root, digest, program, ARRAY_LEN(program));
		CHECK(cached(&root, digest) == 2);
	}
	for (unsigned i = 0; i < 300; i++) {
		memcpy(digest, &i, sizeof(i));
		kept += cached(&root, digest) != 0;
	}
	CHECK(kept > 0 && kept < 100);
}

TAP_MAIN(TEST(root_is_made_private_with_its_parents),
	 TEST(root_that_is_absent_is_only_made_on_request),
	 TEST(root_that_others_may_write_is_refused), TEST(root_of_another_user_is_refused),
	 TEST(root_that_is_a_link_or_a_file_is_refused), TEST(id_that_could_be_a_path_is_refused),
	 TEST(record_written_is_read_back), TEST(network_keeper_is_found_by_its_identity),
	 TEST(record_cut_at_any_byte_is_damaged), TEST(record_of_another_kind_is_damaged),
	 TEST(record_that_is_no_file_is_damaged), TEST(init_link_of_another_kind_is_no_process),
	 TEST(id_is_given_to_one_of_two), TEST(directory_that_a_killed_run_left_is_taken_over),
	 TEST(directory_that_was_kept_is_not_taken_over),
	 TEST(process_is_found_again_without_the_link), TEST(container_that_is_absent_is_not_found),
	 TEST(link_in_place_of_a_container_is_not_followed),
	 TEST(unexpected_files_do_not_keep_a_container), TEST(state_json_is_what_hooks_read),
	 TEST(time_has_nanoseconds_and_utc), TEST(process_is_known_by_more_than_its_number),
	 TEST(zombie_has_ended), TEST(filter_stored_is_loaded),
	 TEST(filter_changed_in_any_bit_is_not_used),
	 TEST(filter_that_others_could_have_written_is_not_used),
	 TEST(filter_cache_behind_a_link_is_not_used), TEST(filter_cache_does_not_grow_without_end))
