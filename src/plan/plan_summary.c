/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a plan amounts to, as a few numbers and names: the sandbox of a step at a glance. Pure.
 * Counted from the operations themselves, so it cannot say more than will be done.
 */
#include "base/sys.h"
#include "plan/plan.h"

static size_t count_ops(const struct plan *plan, enum plan_op_kind kind)
{
	const struct plan_op *ops = plan_child_ops(plan);
	size_t n = 0;

	for (size_t i = 0; i < plan->n_child; i++)
		n += ops[i].kind == kind;
	return n;
}

static const struct plan_op *find_op(const struct plan_op *ops, size_t n, enum plan_op_kind kind)
{
	for (size_t i = 0; i < n; i++)
		if (ops[i].kind == kind)
			return &ops[i];
	return NULL;
}

static void add_namespaces(struct strbuf *out, const char *member, uint64_t types)
{
	const char *separator = "";

	strbuf_printf(out, "\"%s\":[", member);
	for (unsigned bit = 0; bit < 64; bit++) {
		const char *name = types >> bit & 1 ? spec_namespace_name(UINT64_C(1) << bit)
						    : NULL;

		if (!name)
			continue;
		strbuf_printf(out, "%s\"%s\"", separator, name);
		separator = ",";
	}
	strbuf_add_char(out, ']');
}

static void add_capabilities(struct strbuf *out, uint64_t caps)
{
	const char *separator = "";

	strbuf_add(out, "\"capabilities\":[");
	for (unsigned cap = 0; cap < 64; cap++) {
		if (!(caps >> cap & 1) || !spec_cap_name(cap))
			continue;
		strbuf_printf(out, "%s\"%s\"", separator, spec_cap_name(cap));
		separator = ",";
	}
	strbuf_add_char(out, ']');
}

static void add_args(struct strbuf *out, const struct plan *plan, const struct plan_op *exec)
{
	const struct plan_list *args = plan_list_at(plan, exec ? exec->list : 0);

	strbuf_add(out, "\"args\":[");
	for (uint32_t i = 0; args && i < args->count; i++) {
		strbuf_add(out, i ? "," : "");
		strbuf_add_json(out, plan_str(plan, args->item[i]));
	}
	strbuf_add_char(out, ']');
}

void plan_summary(const struct plan *plan, struct strbuf *out)
{
	const struct plan_op *child = plan_child_ops(plan);
	const struct plan_op *clone = find_op(plan_parent_ops(plan), plan->n_parent, OP_CLONE);
	const struct plan_op *lent = find_op(plan_parent_ops(plan), plan->n_parent,
					     OP_TAKE_NETWORK);
	const struct plan_op *unshare = find_op(child, plan->n_child, OP_UNSHARE);
	const struct plan_op *ids = find_op(child, plan->n_child, OP_IDS);
	const struct plan_op *bounding = find_op(child, plan->n_child, OP_BOUNDING);

	add_args(out, plan, find_op(child, plan->n_child, OP_EXEC));
	strbuf_printf(out, ",\"uid\":%" PRIu64 ",\"gid\":%" PRIu64 ",", ids ? ids->arg[0] : 0,
		      ids ? ids->arg[1] : 0);
	add_namespaces(out, "newNamespaces",
		       (clone ? clone->arg[0] : 0) | (unshare ? unshare->arg[0] : 0));
	strbuf_add_char(out, ',');
	add_namespaces(out, "joinedNamespaces",
		       (clone ? clone->arg[1] : 0) | (lent ? CLONE_NEWNET : 0));
	strbuf_add_char(out, ',');
	add_capabilities(out, bounding ? bounding->arg[0] : 0);
	strbuf_printf(out,
		      ",\"mounts\":%zu,\"maskedPaths\":%zu,\"readonlyPaths\":%zu,"
		      "\"seccompInstructions\":%u,\"noNewPrivileges\":%s",
		      count_ops(plan, OP_MOVE_MOUNT), count_ops(plan, OP_MASK),
		      count_ops(plan, OP_READONLY), plan->n_bpf,
		      count_ops(plan, OP_NO_NEW_PRIVS) ? "true" : "false");
}
