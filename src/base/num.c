/* SPDX-License-Identifier: Apache-2.0 */
/* Checked number parsing; pure. */
#include "base/num.h"

static int num_parse_base(const char *s, size_t len, unsigned base, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (len == 0)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		unsigned digit = (unsigned)(unsigned char)s[i] - '0';

		if (digit >= base)
			return -EINVAL;
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit, &value))
			return -ERANGE;
	}
	if (value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}

int num_parse_u64(const char *s, size_t len, uint64_t max, uint64_t *ret_value)
{
	return num_parse_base(s, len, 10, max, ret_value);
}

int num_parse_u32(const char *s, uint32_t *ret_value)
{
	uint64_t value;
	int r = num_parse_base(s, strlen(s), 10, UINT32_MAX, &value);

	if (r == 0)
		*ret_value = (uint32_t)value;
	return r;
}

int num_parse_octal(const char *s, uint32_t max, uint32_t *ret_value)
{
	uint64_t value;
	int r = num_parse_base(s, strlen(s), 8, max, &value);

	if (r == 0)
		*ret_value = (uint32_t)value;
	return r;
}
