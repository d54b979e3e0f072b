/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A bump allocator: memory that is needed until one piece of work ends and is freed as a whole.
 * The configuration, the plan under construction and all their strings live in one.
 */
#include "base/base.h"

struct arena_block;

struct arena {
	struct arena_block *block; /* the newest; blocks are linked backwards */
	size_t used;               /* bytes taken from the newest block */
};

/*
 * size bytes, zeroed, aligned for any object; valid until arena_free(). Returns NULL when memory
 * is exhausted or count * size overflows.
 */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_array(struct arena *arena, size_t count, size_t size);

/* A copy of len bytes with an end mark, or NULL when memory is exhausted. */
char *arena_strndup(struct arena *arena, const char *s, size_t len);
char *arena_strdup(struct arena *arena, const char *s);
char *arena_printf(struct arena *arena, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Frees everything; the arena may be used again. */
void arena_free(struct arena *arena);
#define CLEANUP_ARENA CLEANUP(arena_free)
