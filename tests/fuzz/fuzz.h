/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A fuzz target: bytes in, nothing out; what must always hold is asserted. The same source is
 * linked with replay.c as a unit test, and with libFuzzer by tests/fuzz/run.
 */
#include <assert.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A text with an end mark, without zero bytes before it, in memory of exactly that size. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	assert(text);
	for (size_t i = 0; i < size; i++)
		text[i] = data[i] ? (char)data[i] : ' ';
	text[size] = '\0';
	return text;
}
