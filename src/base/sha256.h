/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * SHA-256 (FIPS 180-4), for names and checks of the compiled-filter cache. Here because a
 * cryptographic library costs more to load than a whole step takes to start; tested against the
 * standard's vectors.
 */
#include "base/base.h"

enum { SHA256_BYTES = 32, SHA256_HEX = 65 };

struct sha256 {
	uint32_t state[8];
	uint64_t bytes;
	uint8_t block[64];
};

void sha256_init(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *data, size_t len);
void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_BYTES]);

/* 64 lower-case digits and an end mark. */
void sha256_hex(const uint8_t digest[SHA256_BYTES], char hex[SHA256_HEX]);
