/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warm.take: network namespaces made before they are asked for, for a peer that starts its steps
 * itself. Off unless the worker is told to. A lease ends with its connection, and with it
 * slirp4netns. What was lent never comes back: nobody here can know who was in there, with which
 * rights, or who still is. So there is always a new one, and what nobody takes gets no older than
 * --lend-age. Runs in the worker; makes one namespace in a turn, when nothing else is to be done.
 */
#include "base/log.h"
#include "net/filter.h"
#include "net/namespace.h"
#include "net/policy.h"
#include "worker/worker_private.h"

enum { READY_MS = 10000, LEND_FAILURES = 3 };

static const char *const kind_names[LEND_KINDS] = {"none", "slirp"};

static int start_slirp(struct lent *lent, struct rb_err *err)
{
	struct slirp_options options = {.configure = true, .userns = -1, .dir = -1};
	int r;

	net_policy_slirp(&lent->policy);
	r = net_policy_find(&lent->arena, &lent->policy, err);
	if (r < 0)
		return r;
	options.helper = lent->policy.helper;
	options.netns = lent->netns;
	lent->deadline_ms = sys_now_ms() + READY_MS;
	r = slirp_spawn(&lent->slirp, &lent->arena, &options);
	return r < 0 ? err_set(err, RB_SLIRP_FAILED, -r, "cannot start slirp4netns") : 0;
}

static struct lent *lent_new(struct worker *worker, enum lend_kind kind, struct rb_err *err)
{
	struct lent *lent = calloc(1, sizeof(*lent));

	if (!lent) {
		err_set(err, RB_NO_MEMORY, ENOMEM, "network");
		return NULL;
	}
	slirp_init(&lent->slirp);
	lent->kind = kind;
	lent->born_us = sys_now_us();
	lent->netns = net_namespace_make();
	lent->next = worker->lent;
	worker->lent = lent;
	if (lent->netns < 0)
		err_set(err, RB_STEP_NET, -lent->netns, "cannot make a network namespace");
	else if (kind == LEND_NONE || start_slirp(lent, err) == 0)
		return lent;
	lent->dead = true;
	return NULL;
}

void lent_free(struct lent *lent)
{
	slirp_end(&lent->slirp);
	fd_close(&lent->netns);
	arena_free(&lent->arena);
	free(lent);
}

static void hand_over(struct lent *lent)
{
	struct worker *worker = lent->owner->worker;
	struct strbuf out = {0};

	reply_begin_with_fd(&out, lent->request);
	strbuf_printf(&out, "\"lease\":\"l-%" PRIu64 "\",\"netnsFd\":0", ++worker->leases);
	message_end(&out);
	connection_send(lent->owner, &out, fd_take(&lent->netns));
	lent->request = NULL;
}

static void fail(struct worker *worker, struct lent *lent, const struct rb_err *err)
{
	if (lent->request)
		connection_error(lent->owner, lent->request, KIND_NET, err, NULL);
	else
		worker_log(worker, WORKER_LOG_WARN, err->what);
	lent->request = NULL;
	lent->dead = true;
}

/* 1: it can be lent; 0: not yet; -errno. */
static int is_ready(struct lent *lent, struct rb_err *err)
{
	int r = lent->ready || lent->kind == LEND_NONE ? 0 : slirp_await(&lent->slirp, 0);

	slirp_listen(&lent->slirp); /* else it would wake us again */
	if (r == -ETIMEDOUT && sys_now_ms() < lent->deadline_ms)
		return 0;
	if (r < 0)
		return slirp_failed(&lent->slirp, r, READY_MS, err);
	lent->ready = true;
	return 1;
}

/* One that has died while nobody waits for it is only replaced. */
static bool has_died(struct lent *lent)
{
	siginfo_t info = {0};

	slirp_listen(&lent->slirp);
	return lent->slirp.pidfd >= 0 &&
	       sys_wait_pidfd(lent->slirp.pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid != 0;
}

void lent_turn(struct worker *worker, struct lent *lent)
{
	struct rb_err err = {0};
	int r;

	if (lent->dead)
		return;
	if (lent->owner && !lent->request) {
		lent->dead = lent->kind == LEND_SLIRP && has_died(lent);
		return;
	}
	r = is_ready(lent, &err);
	if (r < 0)
		worker->lend_failures++;
	/* with the host's addresses of now, not of when it was made */
	if (r == 1 && lent->request && lent->kind == LEND_SLIRP)
		r = net_close_now(&lent->arena, lent->slirp.pidfd,
				  (struct net_closure){.dns = lent->policy.dns}, &err);
	if (r < 0) {
		fail(worker, lent, &err);
		return;
	}
	if (!lent->ready)
		return;
	worker->lend_failures = 0;
	if (lent->request)
		hand_over(lent);
	else
		lent->dead = has_died(lent) ||
			     sys_now_us() >=
				     lent->born_us + worker->options->lend_age_s * 1000000ll;
}

size_t lent_poll(const struct worker *worker, const struct lent *lent, struct pollfd fds[3],
		 int64_t *deadline_us)
{
	size_t n = 0;

	if (lent->slirp.pidfd >= 0)
		fds[n++] = (struct pollfd){.fd = lent->slirp.pidfd, .events = POLLIN};
	if (lent->slirp.output >= 0)
		fds[n++] = (struct pollfd){.fd = lent->slirp.output, .events = POLLIN};
	if (lent->kind == LEND_SLIRP && !lent->ready) {
		fds[n++] = (struct pollfd){.fd = lent->slirp.ready, .events = POLLIN};
		*deadline_us = lent->deadline_ms * 1000;
	} else if (!lent->owner) {
		*deadline_us = lent->born_us + worker->options->lend_age_s * 1000000ll;
	}
	return n;
}

/* Kinds that were asked for lately, and have fewer ready than the worker may keep. */
static enum lend_kind kind_short(const struct worker *worker)
{
	for (unsigned kind = 0; kind < LEND_KINDS; kind++) {
		size_t n = 0;

		for (const struct lent *lent = worker->lent; lent; lent = lent->next)
			n += !lent->dead && !lent->owner && lent->kind == kind;
		if (worker->lend_asked_us[kind] && n < worker->options->lend &&
		    worker->lend_failures < LEND_FAILURES &&
		    sys_now_us() <
			    worker->lend_asked_us[kind] + worker->options->lend_age_s * 1000000ll)
			return (enum lend_kind)kind;
	}
	return LEND_KINDS;
}

bool lend_is_short(const struct worker *worker)
{
	return !worker->stopping && kind_short(worker) != LEND_KINDS;
}

void lend_fill(struct worker *worker)
{
	enum lend_kind kind = kind_short(worker);
	struct rb_err err = {0};

	if (kind == LEND_KINDS || lent_new(worker, kind, &err))
		return;
	worker->lend_failures++;
	worker_log(worker, WORKER_LOG_WARN, err.what);
}

static size_t count_owned(const struct worker *worker)
{
	size_t n = 0;

	for (const struct lent *lent = worker->lent; lent; lent = lent->next)
		n += !lent->dead && lent->owner;
	return n;
}

static struct lent *find_idle(struct worker *worker, enum lend_kind kind)
{
	struct lent *found = NULL;

	for (struct lent *lent = worker->lent; lent; lent = lent->next)
		if (!lent->dead && !lent->owner && lent->kind == kind &&
		    (!found || lent->born_us < found->born_us) && !has_died(lent))
			found = lent;
	return found;
}

/* May this call have one? */
static bool may_take(const struct call *call, enum lend_kind kind, enum worker_kind *ret_kind,
		     struct rb_err *err)
{
	const struct worker *worker = call->connection->worker;

	if (!worker->options->lend) {
		*ret_kind = KIND_UNSUPPORTED;
		err_set(err, RB_UNSUPPORTED, 0, "this worker lends no networks");
		err_fix(err, "start it with --lend");
	} else if (!call->connection->wants_fds) {
		*ret_kind = KIND_UNSUPPORTED;
		err_set(err, RB_UNSUPPORTED, 0, "a network is lent as a descriptor");
		err_fix(err, "use a socket, and \"io.fds\" in \"want\" of hello");
	} else if (kind == LEND_KINDS) {
		*ret_kind = KIND_INVALID_PARAMS;
		err_set(err, RB_CONFIG_VALUE, 0, "\"net\" is neither none nor slirp");
		err_origin(err, "/net");
	} else if (count_owned(worker) >= MAX_STEPS) {
		*ret_kind = KIND_TOO_MANY_STEPS;
		err_set(err, RB_CONFIG_LIMIT, 0, "%d networks are lent", MAX_STEPS);
	}
	return err->code == RB_OK;
}

bool lend_take(struct call *call, const char *net, enum worker_kind *ret_kind, struct rb_err *err)
{
	struct worker *worker = call->connection->worker;
	unsigned kind = 0;
	struct lent *lent;

	while (kind < LEND_KINDS && !(net && str_eq(net, kind_names[kind])))
		kind++;
	if (!may_take(call, (enum lend_kind)kind, ret_kind, err))
		return false;
	worker->lend_asked_us[kind] = sys_now_us();
	lent = find_idle(worker, (enum lend_kind)kind);
	if (!lent)
		lent = lent_new(worker, (enum lend_kind)kind, err);
	if (!lent) {
		*ret_kind = KIND_NET;
		return false;
	}
	lent->owner = call->connection;
	lent->request = arena_strdup(&lent->arena, call->message.id);
	lent_turn(worker, lent);
	return true;
}
