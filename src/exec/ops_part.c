/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans in two parts. Runs in a child that was made before anybody asked for its step: it has
 * namespaces and an empty root with the standard mounts, holds no descriptor but the handshake,
 * and waits. It takes one second part, from nobody but its parent; the parent's end is its own.
 */
#include <sys/mman.h>
#include "exec/ops.h"

enum { PART_FDS = 1 + PART_STDIO + LIMIT_PART_MOUNTS };

/* What a second part comes with. */
struct part {
	struct handshake record;
	void *plan; /* room for PART_PLAN_BYTES */
	int fds[PART_FDS];
	size_t n;
};

static void *part_map(size_t size, int fd)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE;
	int protection = fd < 0 ? PROT_READ | PROT_WRITE : PROT_READ;
	long at = sys_result(syscall(SYS_mmap, NULL, size, protection, flags, fd, 0));

	return at < 0 && at > -4096 ? NULL : (void *)at;
}

/* The message and what came with it. 0, or -errno; -EPIPE: the parent is gone. */
static int part_receive(int sock, struct part *part)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * PART_FDS)];
	} control;
	struct iovec iov[] = {{.iov_base = &part->record, .iov_len = sizeof(part->record)},
			      {.iov_base = part->plan, .iov_len = PART_PLAN_BYTES}};
	struct msghdr message = {
		.msg_iov = iov,
		.msg_iovlen = ARRAY_LEN(iov),
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	const struct handshake *record = &part->record;
	const struct cmsghdr *header;
	size_t least;
	int r;

	do
		r = SYS_CALL(SYS_recvmsg, sock, &message, MSG_CMSG_CLOEXEC);
	while (r == -EINTR);
	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	header = CMSG_FIRSTHDR(&message);
	if ((size_t)r < sizeof(*record) || record->magic != HANDSHAKE_MAGIC ||
	    record->version != HANDSHAKE_VERSION || record->type != HS_PLAN ||
	    (size_t)r - sizeof(*record) != record->op || !header ||
	    header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	    (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return -EPROTO;
	part->n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	least = PART_STDIO + (record->op == 0);
	if (part->n < least || part->n > PART_FDS)
		return -EPROTO;
	memcpy(part->fds, CMSG_DATA(header), part->n * sizeof(int));
	return 0;
}

/* One that did not fit in the message. Sealed: it stays what it is. */
static int part_map_plan(struct part *part)
{
	struct statx st;
	int r = fd_statx(part->fds[0], &st);

	if (r < 0)
		return r;
	if (st.stx_size < sizeof(struct plan))
		return -EPROTO;
	part->plan = part_map(st.stx_size, part->fds[0]);
	sys_close(part->fds[0]);
	return part->plan ? 0 : -ENOMEM;
}

static void part_point(const struct plan *plan, uint32_t offset, char **v, size_t *ret_n)
{
	const struct plan_list *list = plan_list_at(plan, offset);

	*ret_n = list ? list->count : 0;
	for (size_t i = 0; i < *ret_n; i++)
		v[i] = (char *)plan_str(plan, list->item[i]);
	v[*ret_n] = NULL;
}

/* The strings of execve; with one free place for HOME. */
static int part_strings(struct exec_child *child)
{
	const struct plan_op *exec = plan_child_ops(child->plan) + child->plan->n_child - 1;
	const struct plan_list *args = plan_list_at(child->plan, exec->list);
	const struct plan_list *env = plan_list_at(child->plan, exec->list2);
	size_t n = (args ? args->count : 0) + (env ? env->count : 0) + 3;
	char **v = part_map(n * sizeof(*v), -1);
	size_t n_args;

	if (!v)
		return -ENOMEM;
	part_point(child->plan, exec->list, v, &n_args);
	child->argv = v;
	child->envp = v + n_args + 1;
	part_point(child->plan, exec->list2, child->envp, &child->n_envp);
	return 0;
}

/* plan_check() has judged it. */
static int part_take(struct exec_child *child, struct part *part)
{
	size_t at = part->record.op ? 0 : 1;
	int r = part->record.op ? 0 : part_map_plan(part);

	if (r < 0)
		return r;
	if (part->record.op && part->record.op < sizeof(struct plan))
		return -EPROTO;
	child->plan = part->plan;
	for (int i = 0; r >= 0 && i < PART_STDIO; i++, at++) {
		r = sys_dup3(part->fds[at], i, 0);
		sys_close(part->fds[at]);
	}
	child->n_handed = part->n - at;
	if (child->n_handed > LIMIT_PART_MOUNTS)
		return -EPROTO;
	for (size_t i = 0; i < child->n_handed; i++)
		child->received[i] = part->fds[at + i];
	child->handed = child->received;
	return r < 0 ? r : part_strings(child);
}

int op_await_plan(struct exec_child *child, const struct plan_op *op UNUSED)
{
	struct handshake record = {.type = HS_WAITING};
	struct part part = {.plan = part_map(PART_PLAN_BYTES, -1)};
	int r;

	if (!part.plan)
		return -ENOMEM;
	/* the kernel takes its time for a mount that goes with its descriptor */
	for (int slot = 0; slot < SLOT_COUNT; slot++) {
		sys_close_slot(&child->slots[slot]);
		child->attached[slot] = false;
	}
	r = handshake_send(child->sock, &record, -1);
	if (r == 0)
		r = part_receive(child->sock, &part);
	if (r == -EPIPE || r == -ECONNRESET)
		sys_exit(125); /* the parent died, or has no use for us */
	if (r == 0)
		r = part_take(child, &part);
	if (r < 0)
		return r;
	exec_run(child);
}
