/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A step description as a whole: its members, which of them exclude each other, input and
 * output, and what happens at the end. runbuild-protocol(7), "Step specification". Pure: a fuzzer
 * can drive it.
 */
#include "base/sys.h"
#include "spec/step_read.h"

bool step_id_is_valid(const char *id)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";
	size_t len = strlen(id);

	return len >= 1 && len <= LIMIT_STEP_ID && strspn(id, allowed) == len &&
	       !strchr("_.-", id[0]);
}

static int read_id_member(struct step_parser *p, const struct json_node *node, const char *key,
			  const char **ret)
{
	int r = read_string(&p->base, node, key, ret);

	if (r < 0)
		return r;
	if (!*ret)
		return read_missing(&p->base, node, key);
	if (!step_id_is_valid(*ret)) {
		json_error(json_member(node, key), p->base.err, RB_BAD_ID,
			   "\"%.70s\" is not a step's name", *ret);
		err_fix(p->base.err, "1 to 64 letters, digits, '_', '.' and '-', a letter or digit "
				     "first");
		return -EINVAL;
	}
	return 0;
}

int step_read_io(struct step_parser *p, const struct json_node *node, struct step *step)
{
	static const char *const streams[] = {"stdin", "stdout", "stderr"};
	const struct json_node *fds = NULL;
	struct step_io *io = &step->io;
	int r;

	*io = (struct step_io){
		.fds = {STEP_NO_FD, STEP_NO_FD, STEP_NO_FD},
		.console = STEP_NO_FD,
		.in_band = true,
		.window = LIMIT_WINDOW,
	};
	step_known(p, node, "fds inband stdin window merge consoleFd");
	if ((r = read_object(&p->base, node, "fds", &fds)) < 0 ||
	    (r = read_bool(&p->base, node, "inband", &io->in_band)) < 0 ||
	    (r = read_bool(&p->base, node, "stdin", &io->wants_stdin)) < 0 ||
	    (r = read_bool(&p->base, node, "merge", &io->merge)) < 0 ||
	    (r = step_read_u64(p, node, "window", &io->window)) < 0 ||
	    (r = step_read_fd(p, node, "consoleFd", &io->console)) < 0)
		return r;
	step_known(p, fds, "stdin stdout stderr");
	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		if ((r = step_read_fd(p, fds, streams[i], &io->fds[i])) < 0)
			return r;
	if (io->window > LIMIT_WINDOW)
		io->window = LIMIT_WINDOW; /* a limit told in hello, not an error */
	if ((step->spec.process.terminal || io->console != STEP_NO_FD) && fds)
		return json_error(fds, p->base.err, RB_CONFIG_CONFLICT,
				  "a step with a terminal has no other streams");
	if (io->console == STEP_NO_FD)
		return 0;
	/* the peer has the other side: nothing is left to be copied or resized here */
	step->spec.process.terminal = false;
	step->spec.process.terminal_given = true;
	io->in_band = io->wants_stdin = io->merge = false;
	return 0;
}

static int read_valid_codes(struct step_parser *p, const struct json_node *node, struct step *step)
{
	static const uint8_t zero[] = {0};
	const struct json_node *array = NULL;
	uint8_t *codes;
	size_t n = 0;
	int r = read_array(&p->base, node, "validExitCodes", 256, &array);

	step->valid_codes = zero;
	step->n_valid_codes = 1;
	if (r < 0 || !array || (r = read_alloc(&p->base, array, sizeof(void *), &codes)) < 0)
		return r;
	JSON_FOREACH (item, array) {
		uint64_t code;

		if ((r = json_u64(item, 255, &code, p->base.err)) < 0)
			return r;
		codes[n++] = (uint8_t)code;
	}
	step->valid_codes = codes;
	step->n_valid_codes = n;
	return 0;
}

static int read_end(struct step_parser *p, const struct json_node *node, struct step *step)
{
	static const char *const keeps[] = {"never", "failure", "always", NULL};
	static const char *const stubs[] = {"none", "leaf", "recursive", NULL};
	const struct json_node *on_exit = NULL;
	const struct json_node *labels = NULL;
	unsigned keep = STEP_ALWAYS;
	unsigned record = STEP_NEVER;
	unsigned stub = 0;
	int r;

	if ((r = read_object(&p->base, node, "onExit", &on_exit)) < 0 ||
	    (r = read_object(&p->base, node, "labels", &labels)) < 0 ||
	    (r = read_bool(&p->base, on_exit, "changes", &step->want_changes)) < 0 ||
	    (r = read_bool(&p->base, on_exit, "stats", &step->want_stats)) < 0 ||
	    (r = step_read_word(p, on_exit, "keepUpper", keeps, &keep)) < 0 ||
	    (r = step_read_word(p, node, "record", keeps, &record)) < 0 ||
	    (r = step_read_word(p, node, "removeStubs", stubs, &stub)) < 0 ||
	    (r = step_read_u64(p, node, "timeoutMs", &step->timeout_ms)) < 0 ||
	    (r = step_read_u64(p, node, "timeoutGraceMs", &step->grace_ms)) < 0 ||
	    (r = read_string(&p->base, node, "traceparent", &step->traceparent)) < 0 ||
	    (r = read_valid_codes(p, node, step)) < 0)
		return r;
	step_known(p, on_exit, "changes keepUpper stats");
	JSON_FOREACH (item, labels)
		if ((r = json_expect(item, JSON_STRING, p->base.err)) < 0)
			return r;
	step->keep_upper = (enum step_keep)keep;
	step->record = (enum step_keep)record;
	step->stubs.leaf = stub > 0;
	step->stubs.parents = stub > 1;
	return 0;
}

/* Of several errors an unknown member is the one to tell: it may explain the others. */
static int finish(struct step_parser *p, const struct json_node *node)
{
	if (p->unknown->n == 0)
		return 0;
	err_set(p->base.err, RB_STEP_MEMBER, 0, "unknown member %s%s", p->unknown->pointers[0],
		p->unknown->n > 1 ? " and others" : "");
	err_origin(p->base.err, json_pointer(p->base.arena, node));
	err_fix(p->base.err, "remove it; names that begin with x- are ignored");
	return -EINVAL;
}

static int read_oci(struct step_parser *p, const struct json_node *node, struct step *step)
{
	const struct json_node *oci = json_member(node, "oci");
	int r;

	step->oci = true;
	step_known(p, node, "step oci io bundle timeoutMs timeoutGraceMs record");
	if ((r = read_string(&p->base, node, "bundle", &step->bundle)) < 0)
		return r;
	if (step->bundle && step->bundle[0] != '/')
		return json_error(json_member(node, "bundle"), p->base.err, RB_CONFIG_VALUE,
				  "\"%.100s\" is not an absolute path", step->bundle);
	r = spec_parse_node(p->base.arena, oci, step->bundle ? step->bundle : "", &step->spec,
			    p->base.err);
	if (r < 0)
		return r;
	step->root = STEP_PATH;
	if (step->spec.root_path[0] != '/')
		return json_error(oci, p->base.err, RB_CONFIG_VALUE,
				  "a relative root.path needs \"bundle\"");
	if (!step->spec.process.present)
		return read_missing(&p->base, oci, "process");
	return 0;
}

static int read_fields(struct step_parser *p, const struct json_node *node, struct step *step)
{
	const struct json_node *process = NULL;
	const struct json_node *rootfs = NULL;
	const struct json_node *mounts = NULL;
	int r;

	step_known(p, node,
		   "step process rootfs mounts removeStubs hostname hosts resolv net security pid "
		   "ipc uts cgroupNs cgroup devices cdi io timeoutMs timeoutGraceMs validExitCodes "
		   "onExit record traceparent labels");
	if ((r = read_object(&p->base, node, "process", &process)) < 0 ||
	    (r = read_object(&p->base, node, "rootfs", &rootfs)) < 0 ||
	    (r = read_array(&p->base, node, "mounts", LIMIT_STEP_MOUNTS, &mounts)) < 0)
		return r;
	if (!process || !rootfs)
		return read_missing(&p->base, node, process ? "rootfs" : "process");
	if ((r = step_read_process(p, process, step)) < 0 ||
	    (r = step_read_rootfs(p, rootfs, step)) < 0 ||
	    (r = step_read_sandbox(p, node, step)) < 0)
		return r;
	return step_read_mounts(p, mounts, step);
}

int step_parse(struct arena *arena, const struct json_node *node, uint32_t n_fds,
	       struct step *ret_step, struct step_unknown *ret_unknown, struct rb_err *err)
{
	struct step_parser p = {
		.base = {.arena = arena, .err = err, .bundle = ""},
		.unknown = ret_unknown,
		.n_fds = n_fds,
	};
	struct step step = {
		.cgroup_fd = STEP_NO_FD,
		.netns_fd = STEP_NO_FD,
		.filter_fd = STEP_NO_FD,
		.grace_ms = 5000,
		.keep_upper = STEP_ALWAYS,
		.spec = {.cgroups_path = ""},
	};
	const struct json_node *io = NULL;
	int r;

	ret_unknown->n = 0;
	if ((r = json_expect(node, JSON_OBJECT, err)) < 0 ||
	    (r = read_id_member(&p, node, "step", &step.id)) < 0 ||
	    (r = json_member(node, "oci") ? read_oci(&p, node, &step)
					  : read_fields(&p, node, &step)) < 0 ||
	    (r = read_object(&p.base, node, "io", &io)) < 0 ||
	    (r = step_read_io(&p, io, &step)) < 0 || (r = read_end(&p, node, &step)) < 0 ||
	    (r = finish(&p, node)) < 0)
		return ret_unknown->n ? finish(&p, node) : r;
	*ret_step = step;
	return 0;
}

int step_parse_exec(struct arena *arena, const struct json_node *node, uint32_t n_fds,
		    struct step *ret_step, struct step_unknown *ret_unknown, struct rb_err *err)
{
	struct step_parser p = {
		.base = {.arena = arena, .err = err, .bundle = ""},
		.unknown = ret_unknown,
		.n_fds = n_fds,
	};
	struct step step = {.netns_fd = STEP_NO_FD, .filter_fd = STEP_NO_FD};
	const struct json_node *process = NULL;
	const struct json_node *io = NULL;
	int r;

	ret_unknown->n = 0;
	step_known(&p, node, "step exec process io");
	if ((r = read_id_member(&p, node, "exec", &step.id)) < 0 ||
	    (r = read_object(&p.base, node, "process", &process)) < 0)
		return r;
	if (!process)
		return read_missing(&p.base, node, "process");
	if ((r = step_read_process(&p, process, &step)) < 0 ||
	    (r = read_object(&p.base, node, "io", &io)) < 0 ||
	    (r = step_read_io(&p, io, &step)) < 0 || (r = read_valid_codes(&p, node, &step)) < 0 ||
	    (r = finish(&p, node)) < 0)
		return ret_unknown->n ? finish(&p, node) : r;
	*ret_step = step;
	return 0;
}

int step_parse_snapshot(struct arena *arena, const struct json_node *node,
			const struct step_snapshot **ret, struct step_unknown *ret_unknown,
			struct rb_err *err)
{
	struct step_parser p = {
		.base = {.arena = arena, .err = err, .bundle = ""},
		.unknown = ret_unknown,
	};
	int r;

	ret_unknown->n = 0;
	if (!node)
		return err_set(err, RB_CONFIG_MISSING, 0, "\"snapshot\" is missing");
	r = step_read_snapshot(&p, node, ret);
	return r < 0 ? r : finish(&p, node);
}
