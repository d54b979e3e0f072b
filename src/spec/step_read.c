/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single members of a step description: which are known, descriptors, words, numbers. Pure.
 *
 * A member that is not known is an error (a "readonly" that an old worker drops silently would be
 * a hole), and all of them are reported at once.
 */
#include "spec/step_read.h"

static bool name_in(const char *names, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = names; (at = strstr(at, name)); at += len)
		if ((at == names || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

void step_known(struct step_parser *p, const struct json_node *object, const char *names)
{
	step_check_members(p->base.arena, object, names, p->unknown);
}

void step_check_members(struct arena *arena, const struct json_node *object, const char *names,
			struct step_unknown *unknown)
{
	if (!object || object->type != JSON_OBJECT)
		return;
	JSON_FOREACH (member, object) {
		if (str_starts(member->key, "x-") ||
		    (!strchr(member->key, ' ') && member->key[0] && name_in(names, member->key)))
			continue;
		if (unknown->n < ARRAY_LEN(unknown->pointers))
			unknown->pointers[unknown->n++] = json_pointer(arena, member);
	}
}

int step_read_fd(struct step_parser *p, const struct json_node *object, const char *key, int *ret)
{
	const struct json_node *node = json_member(object, key);
	uint32_t index;
	int r;

	if (!node)
		return 0;
	r = json_u32(node, &index, p->base.err);
	if (r < 0)
		return r;
	if (index >= p->n_fds)
		return json_error(node, p->base.err, RB_STEP_FDS,
				  "descriptor %u was not sent: the message carries %u", index,
				  p->n_fds);
	if (p->used_fds & 1u << index)
		return json_error(node, p->base.err, RB_STEP_FDS, "descriptor %u is used twice",
				  index);
	p->used_fds |= 1u << index;
	*ret = (int)index;
	return 0;
}

int step_read_word(struct step_parser *p, const struct json_node *object, const char *key,
		   const char *const *words, unsigned *ret)
{
	const struct json_node *node = json_member(object, key);
	int r = node ? json_expect(node, JSON_STRING, p->base.err) : 0;

	if (r < 0 || !node)
		return r;
	for (unsigned i = 0; words[i]; i++) {
		if (str_eq(node->text, words[i])) {
			*ret = i;
			return 0;
		}
	}
	return json_error(node, p->base.err, RB_CONFIG_VALUE, "unknown value \"%.60s\"",
			  node->text);
}

int step_read_u64(struct step_parser *p, const struct json_node *object, const char *key,
		  uint64_t *ret)
{
	const struct json_node *node = json_member(object, key);

	return node ? json_u64(node, (UINT64_C(1) << 53) - 1, ret, p->base.err) : 0;
}
