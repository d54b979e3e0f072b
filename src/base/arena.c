/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bump allocator. Runs in the parent, never between clone and exec. Blocks start small,
 * because an ordinary build step needs about 100 KiB in all, and untouched pages cost nothing.
 */
#include "base/arena.h"

/*
 * Under AddressSanitizer what has not been handed out is poisoned, with a gap after every piece;
 * otherwise an overrun from one piece into the next would go unseen.
 */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISONED
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_POISONED
#endif

#ifdef ARENA_POISONED
#include <sanitizer/asan_interface.h>
enum { ARENA_GAP = 16 };
#define ARENA_CLOSE(at, size) ASAN_POISON_MEMORY_REGION(at, size)
#define ARENA_OPEN(at, size)  ASAN_UNPOISON_MEMORY_REGION(at, size)
#else
enum { ARENA_GAP = 0 };
#define ARENA_CLOSE(at, size) ((void)0)
#define ARENA_OPEN(at, size)  ((void)0)
#endif

/*
 * The first block is small: a worker makes an arena for each message. Each further block is twice
 * as large. Only what is handed out is zeroed: after a fork the first write to a page copies it.
 */
enum { ARENA_FIRST_BYTES = 16 * 1024, ARENA_MOST_BYTES = 256 * 1024 };

struct arena_block {
	struct arena_block *older;
	size_t size;
	max_align_t data[];
};

static struct arena_block *arena_block_new(size_t size)
{
	struct arena_block *block;
	size_t total;

	if (__builtin_add_overflow(sizeof(*block), size, &total))
		return NULL;
	block = malloc(total);
	if (!block)
		return NULL;
	block->size = size;
	ARENA_CLOSE(block->data, size);
	return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->block;
	size_t rounded;
	void *result;

	if (__builtin_add_overflow(size, sizeof(max_align_t) - 1 + ARENA_GAP, &rounded))
		return NULL;
	rounded -= rounded % sizeof(max_align_t);
	if (!block || block->size - arena->used < rounded) {
		size_t next = block ? block->size * 2 : ARENA_FIRST_BYTES;

		if (next > ARENA_MOST_BYTES)
			next = ARENA_MOST_BYTES;
		block = arena_block_new(rounded > next ? rounded : next);
		if (!block)
			return NULL;
		block->older = arena->block;
		arena->block = block;
		arena->used = 0;
	}
	result = (char *)block->data + arena->used;
	arena->used += rounded;
	ARENA_OPEN(result, size);
	return memset(result, 0, size);
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		return NULL;
	return arena_alloc(arena, total);
}

char *arena_strndup(struct arena *arena, const char *s, size_t len)
{
	char *copy;

	if (len == SIZE_MAX)
		return NULL;
	copy = arena_alloc(arena, len + 1);
	if (copy)
		memcpy(copy, s, len);
	return copy;
}

char *arena_strdup(struct arena *arena, const char *s)
{
	return arena_strndup(arena, s, strlen(s));
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0)
		return NULL;
	text = arena_alloc(arena, (size_t)len + 1);
	if (!text)
		return NULL;
	va_start(args, fmt);
	vsnprintf(text, (size_t)len + 1, fmt, args);
	va_end(args);
	return text;
}

void arena_free(struct arena *arena)
{
	while (arena->block) {
		struct arena_block *block = arena->block;

		arena->block = block->older;
		ARENA_OPEN(block->data, block->size);
		free(block);
	}
	arena->used = 0;
}
