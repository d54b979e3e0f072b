/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is shared by all steps of one process: facts of the host, the compiled default filter, the
 * guard, and a private directory for small files. Needs CAP_SYS_ADMIN in its user namespace.
 */
#include <linux/capability.h>
#include <dirent.h>
#include <sys/file.h>
#include "base/file.h"
#include "base/sys.h"
#include "worker/job.h"

/* generated from seccomp/default.json */
static const char default_profile[] =
#include "default_profile.inc"
	;

/* Directories "@run-*" whose owner is dead: nobody holds the lock. */
static void remove_stale_directories(const struct state_root *root)
{
	int copy = sys_openat(root->fd, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *item;

	if (!stream) {
		fd_close(&copy);
		return;
	}
	while ((item = readdir(stream))) {
		char path[LIMIT_PATH_BYTES];
		CLEANUP_FD int fd = -1;

		if (!str_starts(item->d_name, "@run-"))
			continue;
		fd = sys_openat(root->fd, item->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", root->path, item->d_name) <
		    (int)sizeof(path))
			guard_remove_directory(path);
	}
	closedir(stream);
}

/* The guard comes first: a directory that nobody would remove must not exist for an instant. */
static int make_directory(struct engine *engine, const char *scratch, struct rb_err *err)
{
	const char *name = arena_printf(&engine->arena, "@run-%d-%" PRIx64, (int)getpid(),
					(uint64_t)sys_now_us());
	int r;

	remove_stale_directories(&engine->root);
	engine->name = name ? name + 1 : NULL;
	engine->directory = name ? arena_printf(&engine->arena, "%s/%s", engine->root.path, name)
				 : NULL;
	if (!engine->directory)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "run directory");
	r = guard_start(&engine->guard, engine->directory, scratch, err);
	if (r < 0)
		return r;
	if (mkdirat(engine->root.fd, name, 0700) < 0)
		return err_set(err, RB_STATE_WRITE, errno, "cannot make '%s'", engine->directory);
	engine->directory_fd = sys_openat(engine->root.fd, name,
					  O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (engine->directory_fd < 0 || flock(engine->directory_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, RB_STATE_WRITE, errno, "cannot lock '%s'", engine->directory);
	return 0;
}

/* Compiled once for all steps, and kept on disk for the next process. */
static int compile_filter(struct engine *engine, struct engine_filter *filter, struct rb_err *err)
{
	struct sock_filter *program;
	uint8_t digest[32];
	int r;

	spec_seccomp_digest(&filter->profile, SECCOMP_COMPILER_VERSION, digest);
	if (filter_cache_load(&engine->arena, &engine->root, digest, &program, &filter->n_bpf) <
	    0) {
		r = seccomp_compile(&engine->arena, &filter->profile, seccomp_native_arch(),
				    &program, &filter->n_bpf, err);
		if (r < 0)
			return r;
		filter_cache_store(&engine->root, digest, program, filter->n_bpf);
	}
	filter->bpf = program;
	return 0;
}

static int default_filter_profile(struct arena *arena, struct spec_seccomp *ret_profile,
				  struct rb_err *err)
{
	const struct json_node *node;
	int r = json_parse(arena, "default profile", default_profile, strlen(default_profile),
			   &node, err);

	return r < 0 ? r : spec_parse_seccomp(arena, node, ret_profile, err);
}

int engine_default_filter(struct engine *engine, struct rb_err *err)
{
	int r = default_filter_profile(&engine->arena, &engine->filter.profile, err);

	return r < 0 ? r : compile_filter(engine, &engine->filter, err);
}

int engine_fuse_filter(struct engine *engine, const struct engine_filter **ret_filter,
		       struct rb_err *err)
{
	struct engine_filter *filter = &engine->fuse_filter;
	int r = 0;

	if (!filter->bpf)
		r = fuse_profile(&engine->arena, &engine->filter.profile, &filter->profile, err);
	if (r == 0 && !filter->bpf)
		r = compile_filter(engine, filter, err);
	*ret_filter = filter;
	return r;
}

int engine_open(struct engine *engine, const char *root, const char *scratch, struct rb_err *err)
{
	int r;

	*engine = (struct engine){
		.root.fd = -1,
		.directory_fd = -1,
		.guard = {.sock = -1, .pidfd = -1},
		.default_signals = sys_default_signals(),
	};
	if ((r = host_probe(HOST_WANT_ALL, &engine->host, err)) < 0)
		return r;
	if (!host_has_cap(&engine->host, CAP_SYS_ADMIN)) {
		err_set(err, RB_NOT_ROOT, 0, "steps need CAP_SYS_ADMIN in a user namespace");
		err_fix(err, "run it as 'runbuild rootless -- runbuild ...'");
		return -EPERM;
	}
	if ((r = state_root_open(&engine->arena, root, true, &engine->root, err)) < 0 ||
	    (r = make_directory(engine, scratch, err)) < 0 ||
	    (r = engine_default_filter(engine, err)) < 0) {
		engine_close(engine);
		return r;
	}
	return 0;
}

void engine_close(struct engine *engine)
{
	if (engine->directory)
		guard_remove_directory(engine->directory);
	guard_end(&engine->guard);
	fd_close(&engine->directory_fd);
	state_root_close(&engine->root);
	arena_free(&engine->arena);
}
