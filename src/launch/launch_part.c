/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans in two parts, the parent's side: a child that waits with its first part done is given the
 * second. Runs in the worker with its privilege. A child is used once.
 */
#include "base/file.h"
#include "launch/launch_private.h"

int launch_is_waiting(struct launch *l)
{
	struct handshake record;
	int r = launch_receive(l->sock, MSG_DONTWAIT, &record, NULL);

	if (r == -EAGAIN)
		return 0;
	return r == 1 && record.type == HS_WAITING ? 1 : -ECANCELED;
}

bool launch_is_alive(const struct launch *l)
{
	char byte;

	return recv(l->sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

void launch_resume(struct launch *l, const struct plan *plan, const struct launch_context *context)
{
	const struct plan_op *exec = plan_child_ops(plan) + plan->n_child - 1;
	const struct plan_list *args = plan_list_at(plan, exec->list);
	char **argv = arena_array(context->arena, 2, sizeof(*argv));

	launch_drop_plan(l);
	l->plan = plan;
	l->context = context;
	l->next_op = 0;
	l->exec_reported = false;
	l->started = false;
	memset(l->reached, 0, sizeof(l->reached));
	/* for the words of an error */
	if (argv)
		argv[0] = (char *)plan_str(plan, args && args->count ? args->item[0] : 0);
	l->child.argv = argv;
}

/* A sealed copy: nobody changes it any more. */
int plan_seal(const struct plan *plan, struct rb_err *err)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	int fd = fd_from_bytes("plan", plan, plan->size);

	if (fd < 0)
		return err_set(err, RB_SETUP_STEP, -fd, "cannot keep the plan");
	if (fcntl(fd, F_ADD_SEALS, seals) < 0) {
		err_set(err, RB_SETUP_STEP, errno, "cannot seal the plan");
		fd_close(&fd);
		return -EPERM;
	}
	return fd;
}

/* size bytes of plan behind the record; 0: it is the first descriptor. */
static int part_send(int sock, const struct plan *plan, size_t size, const int *fds, size_t n)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * (1 + PART_STDIO + LIMIT_PART_MOUNTS))];
	} control = {.bytes = {0}};
	struct handshake record = {
		.magic = HANDSHAKE_MAGIC,
		.version = HANDSHAKE_VERSION,
		.type = HS_PLAN,
		.op = (uint32_t)size,
	};
	struct iovec iov[] = {{.iov_base = &record, .iov_len = sizeof(record)},
			      {.iov_base = (void *)plan, .iov_len = size}};
	struct msghdr message = {
		.msg_iov = iov,
		.msg_iovlen = ARRAY_LEN(iov),
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(sizeof(int) * n),
	};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n);
	while (sendmsg(sock, &message, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/*
 * OP_SEND_PLAN. A plan is a few KiB: in the message it is the child's own copy at once, and no
 * file has to be made, sealed, mapped and removed for it.
 */
int launch_send_plan(struct launch *l, struct rb_err *err)
{
	const struct launch_context *context = l->context;
	bool small = l->plan->size <= PART_PLAN_BYTES;
	CLEANUP_FD int plan = small ? -1 : plan_seal(l->plan, err);
	int fds[1 + PART_STDIO + LIMIT_PART_MOUNTS];
	size_t n = 0;
	int r;

	if (!small && plan < 0)
		return plan;
	if (!context->stdio || context->n_handed > LIMIT_PART_MOUNTS)
		return err_set(err, RB_INTERNAL, 0, "too much for a second part");
	if (!small)
		fds[n++] = plan;
	for (size_t i = 0; i < PART_STDIO; i++)
		fds[n++] = context->stdio[i];
	for (size_t i = 0; i < context->n_handed; i++)
		fds[n++] = context->handed[i];
	r = part_send(l->sock, l->plan, small ? l->plan->size : 0, fds, n);
	l->started |= r == 0;
	return r < 0 ? err_set(err, RB_SETUP_STEP, -r, "cannot hand the plan to its process") : 0;
}
