/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From decisions to instructions of classic BPF. Written backwards, see struct seccomp_code; a
 * target further away than the 255 instructions that a conditional jump reaches gets a stepping
 * stone behind the jump: another copy of the return, or an unconditional jump. Pure; runs in the
 * parent.
 *
 * The search over ranges keeps two numbers small: the instructions, because the kernel checks and
 * translates each, and the steps per number, because at installation the kernel runs the filter
 * once for every number of each architecture (kernel/seccomp.c, seccomp_cache_prepare()). A binary
 * tree gives few steps. Its leaves are chunks: a few single values tested for equality with one
 * other decision around them, which costs half of what a bisection of them would.
 */
#include "plan/seccomp.h"

enum {
	JUMP_REACH = 254,  /* 255, less the stepping stone that the other target may need */
	CHUNK_SINGLES = 3, /* values tested one after the other at a leaf */
};

static void code_push(struct seccomp_code *code, uint16_t opcode, uint8_t jt, uint8_t jf,
		      uint32_t k)
{
	if (code->n >= LIMIT_BPF_INSNS) {
		code->full = true;
		return;
	}
	code->n++;
	code->end[-(ptrdiff_t)code->n] = (struct sock_filter){opcode, jt, jf, k};
}

/* The position of a place that the next instruction can jump to. */
static size_t code_reach(struct seccomp_code *code, struct seccomp_label label)
{
	size_t i = (label.action ^ label.action >> 16) % ARRAY_LEN(code->last_return);

	if (!label.returns) {
		if (code->n - label.at <= JUMP_REACH)
			return label.at;
		code_push(code, BPF_JMP | BPF_JA, 0, 0, (uint32_t)(code->n - label.at));
		return code->n;
	}
	if (code->last_return[i].at == 0 || code->last_return[i].action != label.action ||
	    code->n - code->last_return[i].at > JUMP_REACH) {
		code_push(code, BPF_RET | BPF_K, 0, 0, label.action);
		code->last_return[i].action = label.action;
		code->last_return[i].at = code->n;
	}
	return code->last_return[i].at;
}

static struct seccomp_label label_here(const struct seccomp_code *code)
{
	return (struct seccomp_label){.at = code->n};
}

static bool label_equal(struct seccomp_label a, struct seccomp_label b)
{
	return a.returns == b.returns && a.action == b.action && a.at == b.at;
}

struct seccomp_label seccomp_jump(struct seccomp_code *code, unsigned op, uint32_t value,
				  struct seccomp_label yes, struct seccomp_label no)
{
	size_t jt, jf;

	if (label_equal(yes, no))
		return yes;
	jt = code_reach(code, yes);
	jf = code_reach(code, no);
	code_push(code, (uint16_t)(BPF_JMP | op | BPF_K), (uint8_t)(code->n - jt),
		  (uint8_t)(code->n - jf), value);
	return label_here(code);
}

void seccomp_begin(struct seccomp_code *code, struct seccomp_label entry)
{
	if (entry.returns)
		code_push(code, BPF_RET | BPF_K, 0, 0, entry.action);
	else if (entry.at != code->n)
		code_push(code, BPF_JMP | BPF_JA, 0, 0, (uint32_t)(code->n - entry.at));
}

struct seccomp_label seccomp_load(struct seccomp_code *code, uint32_t offset,
				  struct seccomp_label next)
{
	if (next.returns)
		return next;
	seccomp_begin(code, next);
	code_push(code, BPF_LD | BPF_W | BPF_ABS, 0, 0, offset);
	return label_here(code);
}

/* if ((word & mask) == value) goto yes; else goto no; loads the word */
static struct seccomp_label emit_masked(struct seccomp_code *code, uint32_t offset, uint32_t mask,
					uint32_t value, const struct seccomp_label target[2])
{
	struct seccomp_label entry;

	if (mask == 0)
		return target[1];
	if (mask == UINT32_MAX) {
		entry = seccomp_jump(code, BPF_JEQ, value, target[1], target[0]);
	} else if (value == 0) {
		entry = seccomp_jump(code, BPF_JSET, mask, target[0], target[1]);
	} else {
		entry = seccomp_jump(code, BPF_JEQ, value, target[1], target[0]);
		code_push(code, BPF_ALU | BPF_AND | BPF_K, 0, 0, mask);
		entry = label_here(code);
	}
	return seccomp_load(code, offset, entry);
}

/* A condition of any kind, on both words of an argument or the low one. */
static struct seccomp_label emit_cond(const struct seccomp_compiler *c, struct seccomp_code *code,
				      const struct seccomp_cond *cond, struct seccomp_label yes,
				      struct seccomp_label no)
{
	const uint32_t low_offset = seccomp_arg_offset(c, cond->index, false);
	const uint32_t high_offset = seccomp_arg_offset(c, cond->index, true);
	const uint32_t low = (uint32_t)cond->value, high = (uint32_t)(cond->value >> 32);
	/* target[1]: the comparison holds */
	const struct seccomp_label target[2] = {cond->negated ? yes : no, cond->negated ? no : yes};
	struct seccomp_label entry;

	if (cond->op == SECCOMP_EQ) {
		entry = emit_masked(code, low_offset, (uint32_t)cond->mask, low, target);
		return emit_masked(code, high_offset, (uint32_t)(cond->mask >> 32), high,
				   (const struct seccomp_label[2]){target[0], entry});
	}
	entry = seccomp_jump(code, cond->op == SECCOMP_GE ? BPF_JGE : BPF_JGT, low, target[1],
			     target[0]);
	entry = seccomp_load(code, low_offset, entry);
	if (!cond->wide)
		return entry;
	entry = seccomp_jump(code, BPF_JEQ, high, entry, target[0]);
	entry = seccomp_jump(code, BPF_JGT, high, target[1], entry);
	return seccomp_load(code, high_offset, entry);
}

/* The first match that holds, else the default. */
static int emit_matches(const struct seccomp_compiler *c, struct seccomp_code *code,
			const struct seccomp_match *first, struct seccomp_label *ret_entry)
{
	struct seccomp_label next = seccomp_return(c->spec->default_action);
	const struct seccomp_match **list;
	size_t n = 0;

	for (const struct seccomp_match *m = first; m; m = m->next)
		n++;
	list = arena_array(c->arena, n, sizeof(*list));
	if (!list)
		return err_set(c->err, RB_NO_MEMORY, ENOMEM, "seccomp filter");
	for (const struct seccomp_match *m = first; m; m = m->next)
		*list++ = m;
	for (; n > 0; n--) {
		const struct seccomp_match *m = *--list;
		struct seccomp_label entry = seccomp_return(m->action);

		for (size_t i = m->n; i-- > 0;)
			entry = emit_cond(c, code, &m->cond[i], entry, next);
		next = entry;
	}
	*ret_entry = next;
	return 0;
}

/* What a range leads to. */
static int emit_target(const struct seccomp_compiler *c, struct seccomp_code *code,
		       const struct seccomp_range *range, struct seccomp_label *ret_entry)
{
	struct seccomp_label entry;
	int r;

	if (range->matches)
		return emit_matches(c, code, range->matches, ret_entry);
	if (!range->word) {
		*ret_entry = seccomp_return(range->action);
		return 0;
	}
	r = seccomp_emit_ranges(c, code, range->word, &entry);
	if (r == 0)
		*ret_entry = seccomp_load(code, range->word->offset, entry);
	return r;
}

/* Ranges [first, first + n) of a word: single values, and otherwise what `around` leads to. */
struct chunk {
	size_t first, n;
	size_t around;
};

static bool range_single(const struct seccomp_word *word, size_t i)
{
	uint32_t last = i + 1 < word->n ? word->range[i + 1].first - 1 : word->end;

	return word->range[i].first == last;
}

static bool range_same(const struct seccomp_word *word, size_t a, size_t b)
{
	const struct seccomp_range *x = &word->range[a], *y = &word->range[b];

	return a == b ||
	       (!x->word && !x->matches && !y->word && !y->matches && x->action == y->action);
}

/* The longest chunk from `first` around a given range; it does not end in a single value. */
static struct chunk chunk_around(const struct seccomp_word *word, size_t first, size_t around)
{
	struct chunk chunk = {first, 1, around};
	size_t singles = 0;

	for (size_t i = first; i < word->n; i++) {
		if (range_same(word, i, around))
			chunk.n = i - first + 1;
		else if (!range_single(word, i) || ++singles > CHUNK_SINGLES)
			break;
	}
	return chunk;
}

static size_t chunks_build(const struct seccomp_word *word, struct chunk *chunks)
{
	size_t n = 0;

	for (size_t i = 0; i < word->n; i += chunks[n++].n) {
		struct chunk second;

		chunks[n] = chunk_around(word, i, i);
		if (i + 1 == word->n || !range_single(word, i))
			continue;
		second = chunk_around(word, i, i + 1);
		if (second.n > chunks[n].n)
			chunks[n] = second;
	}
	return n;
}

struct search {
	const struct seccomp_compiler *c;
	struct seccomp_code *code;
	const struct seccomp_word *word;
	const struct chunk *chunks;
};

static int emit_chunk(const struct search *s, const struct chunk *chunk,
		      struct seccomp_label *ret_entry)
{
	const struct seccomp_range *range = s->word->range;
	struct seccomp_label next, target;
	int r = emit_target(s->c, s->code, &range[chunk->around], &next);

	for (size_t i = chunk->first + chunk->n; r == 0 && i-- > chunk->first;) {
		if (range_same(s->word, i, chunk->around))
			continue;
		r = emit_target(s->c, s->code, &range[i], &target);
		if (r == 0)
			next = seccomp_jump(s->code, BPF_JEQ, range[i].first, target, next);
	}
	if (r == 0)
		*ret_entry = next;
	return r;
}

/* A binary tree over chunks [low, high). */
static int emit_search(const struct search *s, size_t low, size_t high,
		       struct seccomp_label *ret_entry)
{
	size_t middle = low + (high - low) / 2;
	struct seccomp_label below, above;
	int r;

	if (high - low == 1)
		return emit_chunk(s, &s->chunks[low], ret_entry);
	if ((r = emit_search(s, middle, high, &above)) < 0 ||
	    (r = emit_search(s, low, middle, &below)) < 0)
		return r;
	*ret_entry = seccomp_jump(s->code, BPF_JGE, s->word->range[s->chunks[middle].first].first,
				  above, below);
	return 0;
}

int seccomp_emit_ranges(const struct seccomp_compiler *c, struct seccomp_code *code,
			const struct seccomp_word *word, struct seccomp_label *ret_entry)
{
	struct chunk *chunks = arena_array(c->arena, word->n, sizeof(*chunks));
	const struct search s = {c, code, word, chunks};

	if (!chunks)
		return err_set(c->err, RB_NO_MEMORY, ENOMEM, "seccomp filter");
	return emit_search(&s, 0, chunks_build(word, chunks), ret_entry);
}
