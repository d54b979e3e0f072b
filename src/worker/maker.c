/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The maker of waiting children. It begins each as the worker would, tells the guard, and hands
 * pidfd and handshake over; nothing of a child stays here. A child whose handshake nobody holds
 * any more ends by itself, so a maker may die at any moment: what it had begun is found by its
 * number in shared memory, and reaped by the worker, whose child it is.
 *
 * Dumpable, because the children inherit that and write to their own files in /proc. Blocks every
 * signal, keeps no descriptor of the worker's but the guard's.
 */
#include <sys/mman.h>
#include "base/fd_message.h"
#include "base/file.h"
#include "base/sys.h"
#include "worker/maker.h"

struct order_message {
	uint32_t number, plan, guard_key;
	bool has_plan, has_net, wants_net;
};

struct child_message {
	uint32_t number, guard_key;
	int32_t pid; /* 0: none was born */
	int32_t error;
};

/* In the order they are sent: handshake and pidfd, then those of struct used_net. */
enum { CHILD_FDS = 2, NET_FDS = 3 };

/* ---- in the maker ---- */

struct maker_state {
	int sock;
	int guard;
	int stdio[3];
	pid_t *last;
	uint64_t default_signals;
	const struct plan *plans[MAKER_PLANS];
};

static void keep_plan(struct maker_state *state, uint32_t number, int fd)
{
	const struct plan **place = &state->plans[number];
	struct stat st;
	void *map;

	if (*place)
		launch_forget_plan(*place);
	*place = NULL;
	if (fstat(fd, &st) < 0)
		return;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map != MAP_FAILED)
		*place = map;
}

static void hand_over(const struct maker_state *state, const struct order_message *order,
		      struct launch *launch, int error)
{
	struct child_message message = {
		.number = order->number,
		.guard_key = order->guard_key,
		.pid = *state->last,
		.error = error,
	};
	struct used_net net = {.ns = -1};
	int fds[CHILD_FDS + NET_FDS];
	size_t n = 0;

	if (error == 0) {
		fds[n++] = launch->sock;
		fds[n++] = launch->pidfd;
	}
	if (error == 0 && order->wants_net && used_net_open(&net, launch->pid)) {
		fds[n++] = net.ns;
		fds[n++] = net.devices;
		fds[n++] = net.sockets;
	}
	if (fd_message_send_many(state->sock, &message, sizeof(message), fds, n) < 0)
		sys_exit(1); /* the worker is gone, or has never taken anything */
	used_net_close(&net);
}

static void make(const struct maker_state *state, const struct order_message *order, int net)
{
	struct guard guard = {.sock = state->guard, .pidfd = -1, .last_key = order->guard_key - 1};
	struct arena arena = {0};
	struct launch_context context = {
		.arena = &arena,
		.init_pidfd = -1,
		.start_socket = -1,
		.stdio = state->stdio,
		.guard = &guard,
		.default_signals = state->default_signals,
		.used_net = net >= 0 ? &net : NULL,
		.sibling = state->last,
		.plan_is_kept = true,
		.may_return = true,
	};
	const struct plan *plan = state->plans[order->plan];
	struct rb_err err = {0};
	struct launch launch;
	int r;

	*state->last = 0;
	r = plan ? launch_begin(&launch, plan, &context, &err) : -ENOMEM;
	if (r == 0)
		r = launch_advance(&launch, &err);
	hand_over(state, order, &launch, r < 0 ? r : 0);
	if (r == 1)
		launch_part_with(&launch);
	arena_free(&arena);
}

static void maker_main(struct maker_state *state) __attribute__((noreturn));
static void maker_main(struct maker_state *state)
{
	const int keep[] = {0, 1, 2, state->sock, state->guard};
	sigset_t all;

	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)sys_prctl(PR_SET_NAME, (unsigned long)"runbuild-maker", 0, 0, 0);
	for (int fd = 0; fd < 3; fd++)
		(void)sys_dup3(state->stdio[fd], fd, 0);
	for (int fd = 0; fd < 3; fd++)
		state->stdio[fd] = fd;
	fd_keep_only(keep, ARRAY_LEN(keep));
	(void)sys_chdir("/");
	for (;;) {
		struct order_message order;
		int fds[LIMIT_MESSAGE_MANY];
		size_t n;
		ssize_t r = fd_message_take_many(state->sock, &order, sizeof(order), 0, fds, &n);

		if (r != sizeof(order) || order.plan >= MAKER_PLANS ||
		    n != (size_t)order.has_plan + order.has_net)
			sys_exit(r != 0);
		if (order.has_plan)
			keep_plan(state, order.plan, fds[0]);
		make(state, &order, order.has_net ? fds[order.has_plan] : -1);
		while (n > 0)
			close(fds[--n]);
	}
}

/* ---- in the worker ---- */

static int start(struct maker *maker, struct maker_state *state)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&maker->pidfd,
		.exit_signal = SIGCHLD,
	};
	int pair[2];
	pid_t parent = getpid();
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	state->sock = pair[1];
	pid = sys_clone3(&args);
	if (pid == 0) {
		sys_die_with(parent);
		maker_main(state);
	}
	close(pair[1]);
	maker->sock = pair[0];
	return pid < 0 ? pid : 0;
}

int maker_start(struct maker *maker, const struct guard *guard, uint64_t default_signals, int null,
		struct rb_err *err)
{
	struct maker_state state = {
		.guard = guard->sock,
		.stdio = {null, null, null},
		.default_signals = default_signals,
	};
	int r;

	*maker = (struct maker){.sock = -1, .pidfd = -1};
	state.last = mmap(NULL, sizeof(*state.last), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (state.last == MAP_FAILED)
		return err_set(err, RB_SETUP_STEP, errno, "cannot start the maker of processes");
	maker->last = state.last;
	r = start(maker, &state);
	if (r == 0)
		return 0;
	maker_end(maker);
	return err_set(err, RB_SETUP_STEP, -r, "cannot start the maker of processes");
}

int maker_ask(struct maker *maker, const struct maker_order *order)
{
	struct order_message message = {
		.number = order->number,
		.plan = order->plan,
		.guard_key = order->guard_key,
		.has_plan = order->plan_fd >= 0,
		.has_net = order->net >= 0,
		.wants_net = order->wants_net,
	};
	int fds[2];
	size_t n = 0;

	if (message.has_plan)
		fds[n++] = order->plan_fd;
	if (message.has_net)
		fds[n++] = order->net;
	return fd_message_send_many(maker->sock, &message, sizeof(message), fds, n);
}

/* Ours, and not waited for yet: so the number is its own. */
static void reap(pid_t pid)
{
	siginfo_t info;

	if (pid <= 0)
		return;
	(void)kill(pid, SIGKILL);
	while (SYS_CALL(SYS_waitid, P_PID, pid, &info, WEXITED | __WALL, NULL) == -EINTR)
		;
}

int maker_take(struct maker *maker, struct maker_child *ret_child)
{
	struct child_message message = {.pid = 0};
	int fds[LIMIT_MESSAGE_MANY];
	size_t n;
	ssize_t r = fd_message_take_many(maker->sock, &message, sizeof(message), MSG_DONTWAIT, fds,
					 &n);

	if (r == -EAGAIN)
		return 0;
	if (r != sizeof(message) && r != -EPROTO)
		return r < 0 ? (int)r : -EPIPE;
	*ret_child = (struct maker_child){
		.number = message.number,
		.error = r == -EPROTO ? -EMFILE : message.error,
		.begun = {.pid = message.pid,
			  .pidfd = -1,
			  .sock = -1,
			  .guard_key = message.guard_key},
		.net.ns = -1,
	};
	maker->taken = message.pid;
	if (ret_child->error < 0) {
		reap(message.pid);
		return 1;
	}
	ret_child->begun.sock = fds[0];
	ret_child->begun.pidfd = fds[1];
	if (n == CHILD_FDS + NET_FDS)
		ret_child->net = (struct used_net){
			.ns = fds[CHILD_FDS],
			.devices = fds[CHILD_FDS + 1],
			.sockets = fds[CHILD_FDS + 2],
			.kernel_sockets = -1,
		};
	return 1;
}

void maker_end(struct maker *maker)
{
	struct maker_child child;
	siginfo_t info;

	if (maker->pidfd >= 0) {
		(void)sys_pidfd_send_signal(maker->pidfd, SIGKILL);
		(void)sys_wait_pidfd(maker->pidfd, &info, WEXITED);
	}
	fd_close(&maker->pidfd);
	while (maker->sock >= 0 && maker_take(maker, &child) == 1) {
		fd_close(&child.begun.sock);
		fd_close(&child.begun.pidfd);
		used_net_close(&child.net);
		if (child.error == 0)
			reap(child.begun.pid);
	}
	fd_close(&maker->sock);
	/* born, and not handed over */
	if (maker->last && *maker->last != maker->taken)
		reap(*maker->last);
	if (maker->last)
		munmap(maker->last, sizeof(*maker->last));
	maker->last = NULL;
}
