/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The default filter for steps on a snapshot that fuse-overlayfs serves. A character device 0:0
 * made on it is a whiteout to the daemon: the directory that holds it reads as empty until its
 * next change. The kernel's overlay answers EPERM, and so does this filter. Pure but for the cache
 * of compiled filters.
 */
#include <sys/stat.h>
#include "base/sys.h"
#include "worker/job.h"

enum { NODE_RULES = 6 }; /* for each of the two calls */

/* What may be made: any node with a number other than 0:0, and 0:0 of these kinds. mknod(2) */
static const mode_t allowed_kinds[NODE_RULES - 1] = {0, S_IFREG, S_IFIFO, S_IFSOCK, S_IFBLK};

static const struct {
	const char *name;
	uint32_t mode, dev; /* which argument */
} node_calls[] = {{"mknod", 1, 2}, {"mknodat", 2, 3}};

static bool makes_nodes(const char *name)
{
	return str_eq(name, node_calls[0].name) || str_eq(name, node_calls[1].name);
}

/* The rule without the calls that make nodes. */
static int copy_rule(struct arena *arena, const struct spec_seccomp_rule *rule,
		     struct spec_seccomp_rule *ret_rule)
{
	const char **names = arena_array(arena, rule->names.n + 1, sizeof(*names));
	size_t n = 0;

	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < rule->names.n; i++)
		if (!makes_nodes(rule->names.v[i]))
			names[n++] = rule->names.v[i];
	*ret_rule = *rule;
	ret_rule->names.v = names;
	ret_rule->names.n = n;
	return 0;
}

static void add_call(struct spec_seccomp_rule *rules, struct spec_seccomp_arg *args,
		     const char **name, size_t call)
{
	*name = node_calls[call].name;
	for (size_t i = 0; i < NODE_RULES; i++) {
		if (i == 0)
			args[i] = (struct spec_seccomp_arg){
				.index = node_calls[call].dev, .op = SPEC_CMP_NE, .origin = ""};
		else
			args[i] = (struct spec_seccomp_arg){
				.index = node_calls[call].mode,
				.op = SPEC_CMP_MASKED_EQ,
				.value = S_IFMT,
				.value_two = allowed_kinds[i - 1],
				.origin = "",
			};
		rules[i] = (struct spec_seccomp_rule){
			.names = {.v = name, .n = 1},
			.action = SECCOMP_RET_ALLOW,
			.args = &args[i],
			.n_args = 1,
			.origin = "",
		};
	}
}

int fuse_profile(struct arena *arena, const struct spec_seccomp *profile,
		 struct spec_seccomp *ret_profile, struct rb_err *err)
{
	const size_t n_more = NODE_RULES * ARRAY_LEN(node_calls);
	struct spec_seccomp_rule *rules = arena_array(arena, profile->n_rules + n_more,
						      sizeof(*rules));
	struct spec_seccomp_arg *args = arena_array(arena, n_more, sizeof(*args));
	const char **names = arena_array(arena, ARRAY_LEN(node_calls), sizeof(*names));
	size_t n = 0;

	if (!rules || !args || !names)
		return err_set(err, RB_NO_MEMORY, ENOMEM, "filter");
	for (size_t i = 0; i < profile->n_rules; i++) {
		if (copy_rule(arena, &profile->rules[i], &rules[n]) < 0)
			return err_set(err, RB_NO_MEMORY, ENOMEM, "filter");
		n += rules[n].names.n > 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(node_calls); i++)
		add_call(rules + n + i * NODE_RULES, args + i * NODE_RULES, names + i, i);
	*ret_profile = *profile;
	ret_profile->rules = rules;
	ret_profile->n_rules = n + n_more;
	return 0;
}
