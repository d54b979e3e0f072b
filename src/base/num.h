/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Numbers from text: the whole text must be the number, and the number must fit. */
#include "base/base.h"

/*
 * Decimal digits only: no sign, no spaces, no leading '+'. 0, or -EINVAL (not a number) or
 * -ERANGE (greater than max); *ret_value is untouched on failure.
 */
int num_parse_u64(const char *s, size_t len, uint64_t max, uint64_t *ret_value);

/* As above for a '\0'-terminated text and 32 bits. */
int num_parse_u32(const char *s, uint32_t *ret_value);

/* Octal digits, as file modes are written: "755", "0644". At most max. */
int num_parse_octal(const char *s, uint32_t max, uint32_t *ret_value);
