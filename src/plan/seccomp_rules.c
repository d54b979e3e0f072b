/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the rules of a profile to the verdict for each system call number of one ABI, with the
 * meaning that runc and libseccomp give to them. Pure; runs in the parent.
 *
 * What follows from the two (runc libcontainer/seccomp, libseccomp 2.5 db.c and syscalls.c):
 *  - A rule whose action is the default action says nothing, but its names count as known.
 *  - Conditions of a rule must all hold. If two of them concern the same argument, each becomes a
 *    rule of its own, so any of them suffices.
 *  - A masked comparison masks both sides. Where the mask is 0 it always holds and is dropped; a
 *    rule without conditions left is unconditional.
 *  - An unconditional rule beats all conditional ones of the call, wherever it stands; of several
 *    unconditional ones the first counts.
 *  - 32-bit ABIs, and x32, compare the low 32 bits of an argument with the low 32 bits of a value.
 *  - Where socketcall(2) or ipc(2) exists, a rule for a call that it multiplexes also becomes a
 *    rule for the multiplexer: argument 0 is then the call, and a condition on the original
 *    argument 0, which is in memory, is lost. The call's direct number keeps the rule as it is.
 * libseccomp leaves open, or refuses, what happens when conditional rules with different actions
 * hold at once. Here the first one in the profile wins.
 */
#include <assert.h>

#include "plan/seccomp.h"

/* ALLOW and LOG let the call happen; runc counts TRACE as permissive for a default. */
static bool action_restricts(uint32_t action)
{
	action &= SECCOMP_RET_ACTION_FULL;
	return action != SECCOMP_RET_ALLOW && action != SECCOMP_RET_LOG;
}

static bool action_permissive_default(uint32_t action)
{
	return !action_restricts(action) || (action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_TRACE;
}

/*
 * A name that is not in the table belongs to a newer kernel. Under a restrictive default nothing
 * is lost: the number is beyond all known ones and gets ENOSYS. Under a permissive default a rule
 * that restricts it would silently not exist.
 */
static int unknown_name(struct seccomp_compiler *c, const struct spec_seccomp_rule *rule, size_t i)
{
	if (rule->action == c->spec->default_action || !action_restricts(rule->action) ||
	    !action_permissive_default(c->spec->default_action))
		return 0;
	err_set(c->err, RB_SECCOMP, 0, "unknown system call \"%.60s\" in a deny rule",
		rule->names.v[i]);
	err_fix(c->err, "remove the name, or use an allow list, where unknown calls are denied");
	err_origin(c->err, rule->names.origin
				   ? arena_printf(c->arena, "%s/%zu", rule->names.origin, i)
				   : NULL);
	return -EINVAL;
}

int seccomp_resolve(struct seccomp_compiler *c)
{
	const struct spec_seccomp *spec = c->spec;
	struct seccomp_use *use;
	size_t n = 0;
	int r;

	for (size_t i = 0; i < spec->n_rules; i++)
		n += spec->rules[i].names.n;
	use = arena_array(c->arena, n ? n : 1, sizeof(*use));
	if (!use)
		return err_set(c->err, RB_NO_MEMORY, ENOMEM, "seccomp profile");
	n = 0;
	for (size_t i = 0; i < spec->n_rules; i++) {
		const struct spec_seccomp_rule *rule = &spec->rules[i];

		for (size_t k = 0; k < rule->names.n; k++) {
			const struct syscall_row *row = syscall_find(rule->names.v[k]);

			if (row)
				use[n++] = (struct seccomp_use){row, rule};
			else if ((r = unknown_name(c, rule, k)) < 0)
				return r;
		}
	}
	c->enosys = !action_permissive_default(spec->default_action) &&
		    spec->default_action != (SECCOMP_RET_ERRNO | ENOSYS);
	c->use = use;
	c->n_use = n;
	return 0;
}

static struct seccomp_cond cond_from_arg(const struct spec_seccomp_arg *arg, bool wide)
{
	static const struct {
		enum seccomp_op op;
		bool negated;
	} ops[] = {
		[SPEC_CMP_NE] = {SECCOMP_EQ, true},         [SPEC_CMP_LT] = {SECCOMP_GE, true},
		[SPEC_CMP_LE] = {SECCOMP_GT, true},         [SPEC_CMP_EQ] = {SECCOMP_EQ, false},
		[SPEC_CMP_GE] = {SECCOMP_GE, false},        [SPEC_CMP_GT] = {SECCOMP_GT, false},
		[SPEC_CMP_MASKED_EQ] = {SECCOMP_EQ, false},
	};
	uint64_t width = wide ? UINT64_MAX : UINT32_MAX;
	struct seccomp_cond cond = {
		.index = (uint8_t)arg->index,
		.op = (uint8_t)ops[arg->op].op,
		.negated = ops[arg->op].negated,
		.wide = wide,
		.mask = width,
		.value = arg->value & width,
	};

	if (arg->op == SPEC_CMP_MASKED_EQ) {
		cond.mask = arg->value & width;
		cond.value = arg->value_two & cond.mask;
	}
	return cond;
}

/* Adds a rule with the given conditions to a number. */
static int verdict_add(struct seccomp_compiler *c, struct seccomp_rules *rules, size_t slot,
		       const struct seccomp_match *match)
{
	struct seccomp_verdict *verdict = &rules->verdict[slot];
	size_t size = sizeof(*match) + match->n * sizeof(match->cond[0]);
	struct seccomp_match *copy;

	if (verdict->kind == VERDICT_ACTION)
		return 0;
	if (match->n == 0) {
		*verdict = (struct seccomp_verdict){VERDICT_ACTION, match->action, NULL, NULL};
		return 0;
	}
	if (rules->n_matches++ >= SECCOMP_MATCHES) {
		err_set(c->err, RB_CONFIG_LIMIT, 0,
			"more than %d seccomp rules with conditions on arguments", SECCOMP_MATCHES);
		err_origin(c->err, c->spec->origin);
		return -EINVAL;
	}
	copy = arena_alloc(c->arena, size);
	if (!copy)
		return err_set(c->err, RB_NO_MEMORY, ENOMEM, "seccomp profile");
	memcpy(copy, match, size);
	copy->next = NULL;
	if (verdict->last)
		verdict->last->next = copy;
	else
		verdict->first = copy;
	verdict->last = copy;
	verdict->kind = VERDICT_MATCHES;
	return 0;
}

/*
 * Adds n arguments of a rule as one match. part is 0, or the call of a multiplexer, which then is
 * the condition on argument 0.
 */
static int args_add(struct seccomp_compiler *c, struct seccomp_rules *rules, size_t slot,
		    const struct spec_seccomp_rule *rule, const struct spec_seccomp_arg *args,
		    size_t n, unsigned part)
{
	struct {
		struct seccomp_match match;
		struct seccomp_cond cond[7];
	} m = {.match.action = rule->action};

	if (part)
		m.match.cond[m.match.n++] = (struct seccomp_cond){
			.op = SECCOMP_EQ,
			.wide = rules->abi->wide,
			.mask = rules->abi->wide ? UINT64_MAX : UINT32_MAX,
			.value = part,
		};
	for (size_t i = 0; i < n; i++) {
		struct seccomp_cond cond = cond_from_arg(&args[i], rules->abi->wide);

		if ((part && cond.index == 0) || cond.mask == 0)
			continue;
		m.match.cond[m.match.n++] = cond;
	}
	return verdict_add(c, rules, slot, &m.match);
}

/* runc matchCall(): two conditions on one argument make each condition a rule of its own */
static bool args_repeat_index(const struct spec_seccomp_rule *rule)
{
	unsigned seen = 0;

	for (size_t i = 0; i < rule->n_args; i++) {
		unsigned bit = 1u << rule->args[i].index;

		assert(rule->args[i].index < 6);
		if (seen & bit)
			return true;
		seen |= bit;
	}
	return false;
}

static int rule_add(struct seccomp_compiler *c, struct seccomp_rules *rules, int32_t number,
		    const struct spec_seccomp_rule *rule, unsigned part)
{
	size_t slot = (size_t)number;
	int r = 0;

	if (number >= SYSCALL_LIMIT)
		slot = (size_t)number - SYSCALL_ARM_BASE + SYSCALL_LIMIT;
	assert(slot < SECCOMP_SLOTS); /* tests/unit/seccomp_test.c checks every row */
	if (!args_repeat_index(rule))
		return args_add(c, rules, slot, rule, rule->args, rule->n_args, part);
	for (size_t i = 0; i < rule->n_args && r == 0; i++)
		r = args_add(c, rules, slot, rule, &rule->args[i], 1, part);
	return r;
}

/* runc's stub needs a largest number that is not 0 */
bool seccomp_rules_bounded(const struct seccomp_compiler *c, const struct seccomp_rules *rules)
{
	return c->enosys && rules->last > 0;
}

int seccomp_rules_fill(struct seccomp_compiler *c, const struct seccomp_abi *abi,
		       struct seccomp_rules *rules)
{
	const struct syscall_row *socketcall = syscall_find("socketcall");
	const struct syscall_row *ipc = syscall_find("ipc");

	memset(rules, 0, sizeof(*rules));
	rules->abi = abi;
	for (size_t i = 0; i < c->n_use; i++) {
		const struct syscall_row *row = c->use[i].row;
		const struct spec_seccomp_rule *rule = c->use[i].rule;
		int32_t number = row->number[abi->column];
		int r = 0;

		if (number > 0 && (uint32_t)number > rules->last)
			rules->last = (uint32_t)number;
		if (rule->action == c->spec->default_action)
			continue;
		if (row->part && abi->multiplexed) {
			const struct syscall_row *whole = row->part < 200 ? socketcall : ipc;

			r = rule_add(c, rules, whole->number[abi->column], rule, row->part % 100);
		}
		if (r == 0 && number >= 0)
			r = rule_add(c, rules, number, rule, 0);
		if (r < 0)
			return r;
	}
	/*
	 * s390: a number too large for the instruction is passed in a register with number 0, which
	 * stays 0 when the kernel does not know the call. runc answers it like an unknown number.
	 */
	if (seccomp_rules_bounded(c, rules) &&
	    (abi->column == SYSCALL_S390X || abi->column == SYSCALL_S390))
		rules->verdict[0] = (struct seccomp_verdict){
			VERDICT_ACTION, SECCOMP_RET_ERRNO | ENOSYS, NULL, NULL};
	return 0;
}
