/* SPDX-License-Identifier: Apache-2.0 */
/* `worker`, `dial` and `schema`: the command lines of the pipe protocol. */
#include "base/env.h"
#include "base/num.h"
#include "cmd/step.h"
#include "cmd/verbs.h"
#include "worker/worker.h"

struct worker_arguments {
	bool stdio;
	const char *fd;
	const char *listen;
	uint32_t drain;
	const char *warm;
	const char *lend;
	uint32_t lend_age;
};

enum { WARM_DEFAULT = 2, WARM_MOST = 8 };

static const struct option_entry worker_option_table[] = {
	{"stdio", 0, OPTION_FLAG, offsetof(struct worker_arguments, stdio), NULL,
	 "take requests on standard input, answer on standard output"},
	{"listen", 0, OPTION_STRING, offsetof(struct worker_arguments, listen), "PATH",
	 "make a socket and serve whoever connects"},
	{"fd", 0, OPTION_STRING, offsetof(struct worker_arguments, fd), "N",
	 "serve the peer of an inherited socket pair"},
	{"drain", 0, OPTION_U32, offsetof(struct worker_arguments, drain), "SECONDS",
	 "how long SIGTERM waits for running steps; default: 0"},
	{"warm", 0, OPTION_STRING, offsetof(struct worker_arguments, warm), "N",
	 "how many processes wait for steps of one kind, 0 to 8; default: 2"},
	{"lend", 0, OPTION_STRING, offsetof(struct worker_arguments, lend), "N",
	 "how many networks of one kind are kept ready for peers, 0 to 8; default: 0, none is lent"},
	{"lend-age", 0, OPTION_U32, offsetof(struct worker_arguments, lend_age), "SECONDS",
	 "how long one is kept that nobody takes; default: 60"},
	OPTION_END,
};

/* sd_listen_fds(3): one listening socket, descriptor 3. */
static int activation_socket(void)
{
	const char *fds = env_get("LISTEN_FDS");
	uint32_t n;

	return fds && num_parse_u32(fds, &n) == 0 && n == 1 ? 3 : -1;
}

static int read_transport(const struct worker_arguments *arguments, struct worker_options *options,
			  struct rb_err *err)
{
	uint32_t fd = 0;

	options->listener = -1;
	options->fd = -1;
	if (arguments->stdio + (arguments->fd != NULL) + (arguments->listen != NULL) > 1) {
		err_set(err, RB_USAGE, 0, "only one of --stdio, --listen and --fd can be given");
		return -EINVAL;
	}
	options->stdio = arguments->stdio;
	options->listen = arguments->listen;
	if (arguments->fd && num_parse_u32(arguments->fd, &fd) < 0) {
		err_set(err, RB_USAGE, 0, "--fd needs a number, not '%.40s'", arguments->fd);
		return -EINVAL;
	}
	if (arguments->fd)
		options->fd = (int)fd;
	if (arguments->stdio || arguments->fd || arguments->listen)
		return 0;
	options->listener = activation_socket();
	if (options->listener >= 0)
		return 0;
	err_set(err, RB_USAGE, 0, "no transport");
	err_fix(err, "give --stdio, --listen PATH or --fd N, or one socket by LISTEN_FDS");
	return -EINVAL;
}

static int worker_main(struct arena *arena, const struct globals *globals, const void *options,
		       int argc UNUSED, char **argv UNUSED, struct rb_err *err)
{
	const struct worker_arguments *arguments = options;
	struct worker_options worker = {.drain_s = arguments->drain,
					.warm = WARM_DEFAULT,
					.lend_age_s = 60,
					.root = globals->root};
	int r = read_transport(arguments, &worker, err);

	if (r < 0)
		return r;
	if (arguments->warm &&
	    (num_parse_u32(arguments->warm, &worker.warm) < 0 || worker.warm > WARM_MOST)) {
		err_set(err, RB_USAGE, 0, "--warm needs a number up to 8, not '%.40s'",
			arguments->warm);
		return -EINVAL;
	}
	if (arguments->lend &&
	    (num_parse_u32(arguments->lend, &worker.lend) < 0 || worker.lend > WARM_MOST)) {
		err_set(err, RB_USAGE, 0, "--lend needs a number up to 8, not '%.40s'",
			arguments->lend);
		return -EINVAL;
	}
	if (arguments->lend_age)
		worker.lend_age_s = arguments->lend_age;
	r = step_nest(arena, globals, err);
	return r == -EAGAIN ? worker_run(&worker, err) : r;
}

static int dial_main(struct arena *arena UNUSED, const struct globals *globals UNUSED,
		     const void *options UNUSED, int argc UNUSED, char **argv, struct rb_err *err)
{
	return worker_dial(argv[0], err);
}

static int schema_main(struct arena *arena UNUSED, const struct globals *globals UNUSED,
		       const void *options UNUSED, int argc UNUSED, char **argv UNUSED,
		       struct rb_err *err)
{
	CLEANUP_STRBUF struct strbuf text = {0};

	strbuf_add(&text, worker_schema);
	return print_all(&text, err);
}

static const struct option_entry no_options[] = {OPTION_END};

const struct verb verb_worker = {
	.name = "worker",
	.summary = "run build steps on request, over a pipe or a socket",
	.args = "",
	.options = worker_option_table,
	.options_size = sizeof(struct worker_arguments),
	.error_status = 125,
	.run = worker_main,
};

const struct verb verb_dial = {
	.name = "dial",
	.summary = "connect standard input and output with a worker's socket",
	.args = "PATH",
	.min_args = 1,
	.max_args = 1,
	.options = no_options,
	.run = dial_main,
};

const struct verb verb_schema = {
	.name = "schema",
	.summary = "print the JSON Schema of the worker's requests",
	.args = "",
	.options = no_options,
	.run = schema_main,
};
